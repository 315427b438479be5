/* SPDX-License-Identifier: MIT */
/* redis_sessions: sessions of this relay to Redis, and those of others from there; see redis.h. Redis' answers may be anything. */
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

void redis_sessions_put(struct redis *redis, const struct session_cid *cids, unsigned count, uint32_t ttl_s)
{
	const struct redis_expected expected = { .command = REDIS_SESSIONS_PUT, .replies_left = count };
	char key[SESSION_KEY_BYTES], text[SESSION_TEXT_BYTES], ttl[12];
	const char *words[] = { "SET", key, text, "EX", ttl };
	int error = 0;

	snprintf(ttl, sizeof(ttl), "%u", ttl_s);
	/* An error is the connection's, which redis_handle will find broken. */
	for (unsigned i = 0; i < count && !error; i++) {
		session_record_key(key, cids[i].cid, cids[i].len);
		session_record_write(text, &cids[i].record);
		error = i == 0 ? redis_send(redis, &expected, 5, words) : redis_send_more(redis, 5, words);
	}
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
	redis_send(redis, &expected, count, words);
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
			redis->stats.sessions_put++;
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
