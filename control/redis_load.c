/* SPDX-License-Identifier: MIT */
/* redis_load: what Redis holds, and what is published about it; see redis.h. All of it is checked. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/redis_state.h"

const char *const redis_keys[REDIS_HASHES] = {
	[REDIS_HASH_OURS] = REDIS_KEY_OURS,
	[REDIS_HASH_SIMPLE] = REDIS_KEY_SIMPLE,
	[REDIS_HASH_AGONES] = REDIS_KEY_AGONES,
};

int redis_know(struct redis_table *table, size_t max, const char *fqdn, const char *spelling, struct route_spec *spec)
{
	struct redis_entry *entry = redis_table_find(table, fqdn);

	if (!spec) {
		if (entry)
			redis_table_remove(table, entry);
		return 0;
	}
	if (!entry && table->count >= max)
		return -ENOSPC;
	entry = redis_table_put(table, fqdn, spec);
	return entry ? redis_entry_spell(entry, spelling) : -ENOMEM;
}

/* --- the load ------------------------------------------------------------------------------------ */

static int scan(struct redis *redis, const char *cursor)
{
	char count[12];
	const char *words[] = { "HSCAN", redis_keys[redis->loading_hash], cursor, "COUNT", count };

	snprintf(count, sizeof(count), "%d", REDIS_SCAN_COUNT);
	return redis_send(redis, &(struct redis_expected){ .command = REDIS_SCAN, .replies_left = 1 }, 5, words);
}

int redis_load_begin(struct redis *redis, const char **why)
{
	redis_table_end(&redis->loading);
	redis_table_end(&redis->news);
	redis->loading_hash = 0;
	if (redis_table_init(&redis->loading) || redis_table_init(&redis->news)) {
		*why = "no memory";
		return -ENOMEM;
	}
	*why = redis->commands.error;
	return scan(redis, "0");
}

static void tell_snapshot(struct redis *redis)
{
	if (redis->callbacks.snapshot_begin)
		redis->callbacks.snapshot_begin(redis->callbacks.context);
	for (const struct redis_entry *entry = redis->held.first; entry; entry = entry->after)
		if (redis->callbacks.snapshot_route && entry->spec)
			redis->callbacks.snapshot_route(redis->callbacks.context, entry->fqdn, entry->spec);
	if (redis->callbacks.snapshot_end)
		redis->callbacks.snapshot_end(redis->callbacks.context);
}

/* All values of `over` on top of those of `table`. */
static int overlay(struct redis *redis, struct redis_table *table, const struct redis_table *over)
{
	for (const struct redis_entry *entry = over->first; entry; entry = entry->after) {
		int error = redis_know(table, redis->options.routes_max, entry->fqdn, entry->spelling, entry->spec);

		if (error == -ENOMEM)
			return error;
		if (error)
			redis->stats.invalid++;
	}
	return 0;
}

/* Writes that waited for Redis learn only now how it spells their names. */
static int spell_writes(struct redis *redis)
{
	int error = 0;

	for (struct redis_entry *entry = redis->writes.first; entry && !error; entry = entry->after) {
		const struct redis_entry *loaded = redis_table_find(&redis->loading, entry->fqdn);

		error = loaded ? redis_entry_spell(entry, loaded->spelling) : 0;
	}
	return error;
}

static int load_end(struct redis *redis, const char **why)
{
	if (overlay(redis, &redis->loading, &redis->news) || spell_writes(redis) ||
	    overlay(redis, &redis->loading, &redis->writes)) {
		*why = "no memory";
		return -ENOMEM;
	}
	redis_table_end(&redis->news);
	redis_table_end(&redis->held);
	redis->held = redis->loading;
	memset(&redis->loading, 0, sizeof(redis->loading));
	tell_snapshot(redis);
	return 0;
}

/* A field and its value; NULL: no route that can be. */
static struct route_spec *read_pair(const struct redis *redis, const struct redis_reply *field,
				    const struct redis_reply *value, char name[static CONFIG_FQDN_MAX + 1])
{
	enum route_type type = redis->loading_hash == REDIS_HASH_AGONES ? ROUTE_AGONES : ROUTE_SIMPLE;
	struct route_spec *spec;

	if (field->type != REDIS_STRING || value->type != REDIS_STRING || strlen(field->text) != field->len ||
	    strlen(value->text) != value->len || routes_name(field->text, name))
		return NULL;
	if (redis->loading_hash == REDIS_HASH_OURS)
		return redis_value_read(value->text, value->len);
	return route_spec_plain(type, value->text, &spec) ? NULL : spec;
}

/* Fields and values by turns. */
static int load_chunk(struct redis *redis, const struct redis_reply *pairs, const char **why)
{
	for (size_t i = 0; i + 1 < pairs->count; i += 2) {
		char name[CONFIG_FQDN_MAX + 1];
		struct route_spec *spec = read_pair(redis, pairs->elements[i], pairs->elements[i + 1], name);
		const char *spelling = pairs->elements[i]->text;
		int error = spec ? redis_know(&redis->loading, redis->options.routes_max, name, spelling, spec) : -EINVAL;

		route_spec_release(spec);
		if (error == -ENOMEM) {
			*why = "no memory";
			return error;
		}
		if (error)
			redis->stats.invalid++;
	}
	return 0;
}

int redis_load_reply(struct redis *redis, const struct redis_reply *reply, const char **why)
{
	const struct redis_reply *cursor;
	int error;

	*why = "not an answer to HSCAN";
	if (reply->type == REDIS_ERROR)
		*why = reply->text;
	if (reply->type != REDIS_ARRAY || reply->count != 2 || reply->elements[0]->type != REDIS_STRING ||
	    reply->elements[1]->type != REDIS_ARRAY)
		return -EPROTO;
	error = load_chunk(redis, reply->elements[1], why);
	if (error)
		return error;
	cursor = reply->elements[0];
	if (!redis_reply_is(cursor, REDIS_STRING, "0")) {
		*why = redis->commands.error;
		return scan(redis, cursor->text);
	}
	if (redis->loading_hash + 1 < REDIS_HASHES) {
		redis->loading_hash++;
		*why = redis->commands.error;
		return scan(redis, "0");
	}
	error = load_end(redis, why);
	return error ? error : 1;
}

/* --- changes ------------------------------------------------------------------------------------- */

static int apply(struct redis *redis, const struct redis_message *message)
{
	int error;

	if (redis_entry_says(redis_table_find(&redis->held, message->fqdn), message->spec))
		return 0;
	error = redis_know(&redis->held, redis->options.routes_max, message->fqdn, message->spelling, message->spec);
	if (error)
		return error;
	if (message->spec && redis->callbacks.changed)
		redis->callbacks.changed(redis->callbacks.context, message->fqdn, message->spec);
	else if (!message->spec && redis->callbacks.deleted)
		redis->callbacks.deleted(redis->callbacks.context, message->fqdn);
	return 0;
}

/* Until the load is done the newest of each name is kept: what HSCAN read may be older. */
static int keep(struct redis *redis, const struct redis_message *message)
{
	struct redis_entry *entry;

	if (!redis->news.buckets)
		return 0; /* the load has not begun: it will read that */
	if (redis->news.count >= redis->options.routes_max && !redis_table_find(&redis->news, message->fqdn))
		return -ENOSPC;
	entry = redis_table_put(&redis->news, message->fqdn, message->spec);
	return entry ? redis_entry_spell(entry, message->spelling) : -ENOMEM;
}

static int take(struct redis *redis, bool own_channel, const struct redis_message *message)
{
	/* Deletions, and what Porter cannot say, are ours: in Porter's channel nobody says them. */
	if (!own_channel && (!message->spec || !route_spec_is_plain(message->spec)))
		return -EBADMSG;
	if (own_channel && strcmp(message->origin, redis->origin) == 0) {
		redis_write_echo(redis, message->fqdn);
		return 0;
	}
	if (redis_write_covers(redis, message->fqdn))
		return 0;
	return redis->phase == REDIS_READY ? apply(redis, message) : keep(redis, message);
}

int redis_published(struct redis *redis, bool own_channel, const struct redis_reply *text, const char **why)
{
	struct redis_message message = { .spec = NULL };
	int error = -EBADMSG;

	redis->stats.messages++;
	if (text->type == REDIS_STRING)
		error = redis_message_read(text->text, text->len, &message);
	if (!error)
		error = take(redis, own_channel, &message);
	route_spec_release(message.spec);
	if (error == -ENOMEM) {
		*why = "no memory";
		return error;
	}
	if (error)
		redis->stats.invalid++;
	return 0;
}
