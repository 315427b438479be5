/* SPDX-License-Identifier: MIT */
/* redis_write: our changes on their way to Redis and back; see redis.h. Redis' answers may be anything. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/clock.h"
#include "control/redis_state.h"

enum { MILLISECOND_NS = 1000 * 1000 };

bool redis_write_covers(const struct redis *redis, const char *fqdn)
{
	const struct redis_entry *entry = redis_table_find(&redis->writes, fqdn);

	/* Our own echo comes behind all that Redis took before our write. */
	return entry && (entry->queued || entry->echoes_due > 0);
}

static void forget_if_done(struct redis *redis, struct redis_entry *entry)
{
	if (!entry->queued && entry->replies_due == 0 && entry->echoes_due == 0)
		redis_table_remove(&redis->writes, entry);
}

void redis_write_echo(struct redis *redis, const char *fqdn)
{
	struct redis_entry *entry = redis_table_find(&redis->writes, fqdn);

	if (!entry || entry->echoes_due == 0)
		return; /* anyone may publish in our name */
	entry->echoes_due--;
	forget_if_done(redis, entry);
}

void redis_writes_restart(struct redis *redis)
{
	for (struct redis_entry *entry = redis->writes.first; entry; entry = entry->after) {
		/* Those that Redis may have taken unheard are the same when taken twice. */
		entry->queued = true;
		entry->replies_due = 0;
		entry->echoes_due = 0;
	}
}

bool redis_writes_late(const struct redis *redis, uint64_t now_ns)
{
	uint64_t limit_ns = (uint64_t)redis->options.timeout_ms * MILLISECOND_NS;

	for (const struct redis_entry *entry = redis->writes.first; entry; entry = entry->after) {
		if (entry->replies_due + entry->echoes_due > 0 && now_ns - entry->sent_ns > limit_ns)
			return true;
	}
	return false;
}

/* Which hash a route stands in, and its value there, to be freed; NULL: no memory. */
static char *value_of(const struct route_spec *spec, enum redis_hash *hash)
{
	if (!route_spec_is_plain(spec)) {
		*hash = REDIS_HASH_OURS;
		return redis_value_write(spec);
	}
	*hash = spec->type == ROUTE_SIMPLE ? REDIS_HASH_SIMPLE : REDIS_HASH_AGONES;
	return strdup(spec->targets[0].text);
}

/* HSET in one hash (REDIS_HASHES: in none), HDEL from the others; and from all as others spell the name. */
static int send_hashes(struct redis *redis, const struct redis_entry *entry, enum redis_hash in, const char *value)
{
	int error = 0;

	for (enum redis_hash hash = 0; hash < REDIS_HASHES && !error; hash++) {
		const char *set[] = { "HSET", redis_keys[hash], entry->fqdn, value };
		const char *unset[] = { "HDEL", redis_keys[hash], entry->fqdn };
		const char *unspell[] = { "HDEL", redis_keys[hash], entry->spelling };

		error = hash == in ? redis_send_more(redis, 4, set) : redis_send_more(redis, 3, unset);
		if (!error && entry->spelling)
			error = redis_send_more(redis, 3, unspell);
	}
	return error;
}

/* The transaction of redis.h. Ours goes first: who hears it knows that Porter's, right behind it, is the same. */
static int send_write(struct redis *redis, struct redis_entry *entry)
{
	bool porters_too = entry->spec && route_spec_is_plain(entry->spec);
	enum redis_hash in = REDIS_HASHES;
	char *value = entry->spec ? value_of(entry->spec, &in) : NULL;
	char *ours = redis_message_write(entry->fqdn, entry->spec, redis->origin);
	char *porters = porters_too ? redis_message_write(entry->fqdn, entry->spec, NULL) : NULL;
	const char *multi[] = { "MULTI" }, *exec[] = { "EXEC" };
	const char *publish[] = { "PUBLISH", redis->own_channel, ours };
	const char *publish_porters[] = { "PUBLISH", redis->channel, porters };
	/* MULTI, EXEC, and what is queued between them. */
	const struct redis_expected expected = {
		.command = REDIS_WRITE,
		.replies_left = 3 + REDIS_HASHES * (entry->spelling ? 2 : 1) + porters_too,
		.entry = entry,
	};
	int error = -ENOMEM;

	if (!ours || (porters_too && !porters) || (entry->spec && !value))
		goto out;
	error = redis_send(redis, &expected, 1, multi);
	if (!error)
		error = redis_send_more(redis, 3, publish);
	if (!error)
		error = send_hashes(redis, entry, in, value);
	if (!error && porters_too)
		error = redis_send_more(redis, 3, publish_porters);
	if (!error)
		error = redis_send_more(redis, 1, exec);
	entry->queued = false;
	entry->replies_due++;
	entry->echoes_due++;
	entry->sent_ns = clock_now_ns();
out:
	free(value);
	free(ours);
	free(porters);
	return error;
}

int redis_writes_send(struct redis *redis)
{
	int error = 0;

	if (redis->phase != REDIS_READY)
		return 0;
	for (struct redis_entry *entry = redis->writes.first; entry && !error; entry = entry->after) {
		/* Room is left for a PING; the rest waits for answers. */
		if (redis->expected_count >= REDIS_EXPECTED_MAX - 1 ||
		    redis_connection_unsent(&redis->commands) > REDIS_UNSENT_BYTES_MAX)
			break;
		if (entry->queued)
			error = send_write(redis, entry);
	}
	return error;
}

/* Of these it is the server's state that stands against the write, not the write. */
static bool is_for_now(const char *error)
{
	static const char *const words[] = { "BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOAUTH",
					     "NOREPLICAS", "OOM", "READONLY", "TRYAGAIN" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t len = strlen(words[i]);

		if (strncmp(error, words[i], len) == 0 && (error[len] == ' ' || error[len] == '\0'))
			return true;
	}
	return false;
}

static void note_error(struct redis *redis, const struct redis_reply *reply)
{
	if (reply->type == REDIS_ERROR && !redis->write_error[0])
		snprintf(redis->write_error, sizeof(redis->write_error), "%s", reply->text);
	for (size_t i = 0; i < reply->count; i++)
		note_error(redis, reply->elements[i]);
}

int redis_write_reply(struct redis *redis, struct redis_expected *expected, const struct redis_reply *reply,
		      const char **why)
{
	struct redis_entry *entry = expected->entry;

	/* EXEC may fail for what was said before it: "Transaction discarded because of previous errors". */
	note_error(redis, reply);
	if (expected->replies_left > 0)
		return 0;
	if (reply->type != REDIS_ARRAY && !redis->write_error[0]) {
		*why = "not an answer to EXEC";
		return -EPROTO;
	}
	entry->replies_due--;
	if (redis->write_error[0]) {
		redis->stats.command_errors++;
		/* A write error's text stays where it is until it has been told. */
		if (is_for_now(redis->write_error)) {
			*why = redis->write_error;
			return -EBUSY;
		}
		/* WRONGTYPE comes from EXEC itself: the message was published all the same. */
		if (reply->type == REDIS_ERROR && entry->echoes_due > 0)
			entry->echoes_due--;
		redis->stats.writes_dropped++;
		if (redis->callbacks.refused)
			redis->callbacks.refused(redis->callbacks.context, entry->fqdn, redis->write_error);
	}
	redis->write_error[0] = '\0';
	forget_if_done(redis, entry);
	return 0;
}

/* --- from the caller ----------------------------------------------------------------------------- */

static int write_queue(struct redis *redis, const char *fqdn, struct route_spec *spec)
{
	struct redis_entry *entry = redis_table_find(&redis->writes, fqdn);
	const struct redis_entry *held = redis_table_find(&redis->held, fqdn);

	if (!entry && redis->phase == REDIS_READY && redis_entry_says(held, spec))
		return 0;
	if (!entry && redis->writes.count >= redis->options.writes_max) {
		redis->stats.writes_dropped++;
		return -ENOSPC;
	}
	entry = redis_table_put(&redis->writes, fqdn, spec);
	if (!entry || (held && redis_entry_spell(entry, held->spelling)))
		return -ENOMEM;
	entry->queued = true;
	/* Beyond routes_max it is only not recognised when it comes back. */
	redis_know(&redis->held, redis->options.routes_max, fqdn, NULL, spec);
	/* Sent from redis_handle, which the caller's wait comes to at once: one place where connections fail. */
	redis_wake(redis);
	return 0;
}

int redis_set(struct redis *redis, const char *fqdn, struct route_spec *spec)
{
	return write_queue(redis, fqdn, spec);
}

int redis_delete(struct redis *redis, const char *fqdn)
{
	return write_queue(redis, fqdn, NULL);
}
