/* SPDX-License-Identifier: MIT */
/*
 * redis_sessions: sessions of this relay to Redis, and those of others from there; see
 * redis.h. Redis' answers may be anything.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/redis_state.h"

enum {
	/*
	 * On their way at a time. Few round trips fill a fast Redis: 512 IDs in 1 ms. More
	 * would have routes wait behind them.
	 */
	PUTS_MAX = 8,
	FINDS_MAX = 128,               /* the rest of REDIS_EXPECTED_MAX is for routes */
	FIND_KEYS_MAX = CID_LEN_MAX,
};

static bool has_room(const struct redis *redis, enum redis_command command, unsigned max)
{
	return redis->phase == REDIS_READY && redis->expected_of[command] < max &&
	       redis->expected_count < REDIS_EXPECTED_MAX - 1 &&
	       redis_connection_unsent(&redis->commands) <= REDIS_UNSENT_BYTES_MAX;
}

bool redis_sessions_room(const struct redis *redis)
{
	return has_room(redis, REDIS_SESSIONS_PUT, PUTS_MAX);
}

/* `expected`: to be noted with the first command; NULL: it has been. */
static int put_one(struct redis *redis, const struct session_cid *cid, const char *ttl,
		   const struct redis_expected *expected)
{
	char key[SESSION_KEY_BYTES], text[SESSION_TEXT_BYTES];
	const char *set[] = { "SET", key, text, "EX", ttl, "NX" };
	const char *expire[] = { "EXPIRE", key, ttl };
	int words = cid->alias ? 6 : 5, error;

	session_record_key(key, cid->cid, cid->len);
	session_record_write(text, &cid->record);
	error = expected ? redis_send(redis, expected, words, set) : redis_send_more(redis, words, set);
	/* Whose it is stays, be it ours or another's; but it lives. */
	if (!error && cid->alias)
		error = redis_send_more(redis, 3, expire);
	return error;
}

void redis_sessions_put(struct redis *redis, const struct session_cid *cids, unsigned count, uint32_t ttl_s)
{
	struct redis_expected expected = { .command = REDIS_SESSIONS_PUT, .replies_left = count };
	char ttl[12];
	int error = 0;

	snprintf(ttl, sizeof(ttl), "%u", ttl_s);
	for (unsigned i = 0; i < count; i++)
		expected.replies_left += cids[i].alias;
	for (unsigned i = 0; i < count && !error; i++)
		error = put_one(redis, &cids[i], ttl, i == 0 ? &expected : NULL);
	redis->no_memory |= error != 0;
	redis_wake(redis);
}

int redis_session_find(struct redis *redis, uint64_t id, const uint8_t *cid, uint8_t min_len, uint8_t max_len)
{
	const struct redis_expected expected = { .command = REDIS_SESSION_FIND, .replies_left = 1,
						 .find = { id, min_len, max_len } };
	char keys[FIND_KEYS_MAX][SESSION_KEY_BYTES];
	const char *words[1 + FIND_KEYS_MAX] = { "MGET" };
	int count = 1;

	if (!has_room(redis, REDIS_SESSION_FIND, FINDS_MAX)) {
		redis->stats.session_finds_refused++;
		return -EAGAIN;
	}
	for (unsigned len = max_len; len >= min_len && len > 0; len--, count++) {
		session_record_key(keys[count - 1], cid, len);
		words[count] = keys[count - 1];
	}
	redis->no_memory |= redis_send(redis, &expected, count, words) != 0;
	redis_wake(redis);
	return 0;
}

/* The longest first, as they were asked for. */
static void tell_found(struct redis *redis, const struct redis_expected *expected, const struct redis_reply *values)
{
	struct session_record record;
	uint8_t len = expected->find.max_len;

	redis->stats.session_finds++;
	for (size_t i = 0; i < values->count; i++, len--) {
		const struct redis_reply *value = values->elements[i];

		if (value->type != REDIS_STRING)
			continue;
		if (session_record_read(value->text, value->len, &record)) {
			redis->stats.invalid++;
			continue;
		}
		if (record.ended)
			break;
		redis->stats.sessions_found++;
		redis->callbacks.session_found(redis->callbacks.context, expected->find.id, len, &record);
		return;
	}
	redis->callbacks.session_found(redis->callbacks.context, expected->find.id, 0, NULL);
}

int redis_session_reply(struct redis *redis, const struct redis_expected *expected, const struct redis_reply *reply,
			const char **why)
{
	if (expected->command == REDIS_SESSIONS_PUT) {
		if (reply->type != REDIS_ERROR) {
			redis->stats.sessions_put += reply->type == REDIS_STATUS; /* else EXPIRE's, or another has it */
			return 0;
		}
		redis->stats.sessions_refused++;
		*why = reply->text;
		/* A replica now: the address may lead to another master. Else it is written again when due. */
		return strncmp(reply->text, "READONLY ", strlen("READONLY ")) == 0 ? -EBUSY : 0;
	}
	if (reply->type == REDIS_ERROR) {
		redis->stats.session_finds_refused++;
		return 0; /* who asked will ask again */
	}
	if (reply->type != REDIS_ARRAY || reply->count != 1u + expected->find.max_len - expected->find.min_len) {
		*why = "not an answer to MGET";
		return -EPROTO;
	}
	tell_found(redis, expected, reply);
	return 0;
}
