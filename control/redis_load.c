/* SPDX-License-Identifier: MIT */
/* redis_load: what Redis holds, and what is published about it; see redis.h. All of it is checked. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/redis_state.h"

int redis_know(struct redis_table *table, size_t max, const char *fqdn, enum route_type type, const char *target)
{
	struct redis_entry *entry = redis_table_find(table, fqdn);

	if (!target) {
		if (entry)
			redis_table_remove(table, entry);
		return 0;
	}
	if (!entry && table->count >= max)
		return -ENOSPC;
	return redis_table_put(table, fqdn, type, target) ? 0 : -ENOMEM;
}

/* --- the load ------------------------------------------------------------------------------------ */

static int scan(struct redis *redis, const char *cursor)
{
	const char *key = redis->loading_agones ? REDIS_KEY_AGONES : REDIS_KEY_SIMPLE;
	char count[12];
	const char *words[] = { "HSCAN", key, cursor, "COUNT", count };

	snprintf(count, sizeof(count), "%d", REDIS_SCAN_COUNT);
	return redis_send(redis, REDIS_SCAN, 1, NULL, 5, words);
}

int redis_load_begin(struct redis *redis, const char **why)
{
	redis_table_end(&redis->loading);
	redis_table_end(&redis->news);
	redis->loading_agones = false;
	if (redis_table_init(&redis->loading) || redis_table_init(&redis->news)) {
		*why = "no memory";
		return -ENOMEM;
	}
	*why = redis->commands.error;
	return scan(redis, "0");
}

static void told_route(struct redis *redis, const struct redis_entry *entry)
{
	struct routes_route route = { .origin = ROUTES_REDIS };

	if (redis->callbacks.snapshot_route && !routes_check(entry->fqdn, entry->type, entry->target, &route))
		redis->callbacks.snapshot_route(redis->callbacks.context, &route);
}

static void tell_snapshot(struct redis *redis)
{
	if (redis->callbacks.snapshot_begin)
		redis->callbacks.snapshot_begin(redis->callbacks.context);
	for (const struct redis_entry *entry = redis->held.first; entry; entry = entry->after)
		told_route(redis, entry);
	if (redis->callbacks.snapshot_end)
		redis->callbacks.snapshot_end(redis->callbacks.context);
}

/* All values of `over` on top of those of `table`. */
static int overlay(struct redis *redis, struct redis_table *table, const struct redis_table *over)
{
	for (const struct redis_entry *entry = over->first; entry; entry = entry->after) {
		int error = redis_know(table, redis->options.routes_max, entry->fqdn, entry->type, entry->target);

		if (error == -ENOMEM)
			return error;
		if (error)
			redis->stats.invalid++;
	}
	return 0;
}

static int load_end(struct redis *redis, const char **why)
{
	if (overlay(redis, &redis->loading, &redis->news) || overlay(redis, &redis->loading, &redis->writes)) {
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

/* Fields and values by turns. */
static int load_chunk(struct redis *redis, const struct redis_reply *pairs, const char **why)
{
	enum route_type type = redis->loading_agones ? ROUTE_AGONES : ROUTE_SIMPLE;
	struct routes_route route;

	for (size_t i = 0; i + 1 < pairs->count; i += 2) {
		const struct redis_reply *fqdn = pairs->elements[i], *target = pairs->elements[i + 1];
		int error = -EINVAL;

		if (fqdn->type == REDIS_STRING && target->type == REDIS_STRING && strlen(fqdn->text) == fqdn->len &&
		    strlen(target->text) == target->len && !routes_check(fqdn->text, type, target->text, &route))
			error = redis_know(&redis->loading, redis->options.routes_max, route.fqdn, type, route.target);
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
	if (!redis->loading_agones) {
		redis->loading_agones = true;
		*why = redis->commands.error;
		return scan(redis, "0");
	}
	error = load_end(redis, why);
	return error ? error : 1;
}

/* --- changes ------------------------------------------------------------------------------------- */

static int apply(struct redis *redis, const struct redis_message *message)
{
	const struct routes_route *route = &message->route;
	const char *target = message->deleted ? NULL : route->target;
	struct routes_route changed = *route;
	int error;

	if (redis_entry_says(redis_table_find(&redis->held, route->fqdn), route->type, target))
		return 0;
	error = redis_know(&redis->held, redis->options.routes_max, route->fqdn, route->type, target);
	if (error)
		return error;
	changed.origin = ROUTES_REDIS;
	if (target && redis->callbacks.changed)
		redis->callbacks.changed(redis->callbacks.context, &changed);
	else if (!target && redis->callbacks.deleted)
		redis->callbacks.deleted(redis->callbacks.context, route->fqdn);
	return 0;
}

/* Until the load is done the newest of each name is kept: what HSCAN read may be older. */
static int keep(struct redis *redis, const struct redis_message *message)
{
	const struct routes_route *route = &message->route;

	if (!redis->news.buckets)
		return 0; /* the load has not begun: it will read that */
	if (redis->news.count >= redis->options.routes_max && !redis_table_find(&redis->news, route->fqdn))
		return -ENOSPC;
	return redis_table_put(&redis->news, route->fqdn, route->type, message->deleted ? NULL : route->target) ?
		0 : -ENOMEM;
}

int redis_published(struct redis *redis, bool own_channel, const struct redis_reply *text, const char **why)
{
	struct redis_message message;
	int error = -EBADMSG;

	redis->stats.messages++;
	if (text->type == REDIS_STRING)
		error = redis_message_read(text->text, text->len, &message);
	/* Deletions are ours: in Porter's channel nobody says them. */
	if (error || (message.deleted && !own_channel)) {
		redis->stats.invalid++;
		return 0;
	}
	if (own_channel && strcmp(message.origin, redis->origin) == 0) {
		redis_write_echo(redis, message.route.fqdn);
		return 0;
	}
	if (redis_write_covers(redis, message.route.fqdn))
		return 0;
	error = redis->phase == REDIS_READY ? apply(redis, &message) : keep(redis, &message);
	if (error == -ENOMEM) {
		*why = "no memory";
		return error;
	}
	if (error)
		redis->stats.invalid++;
	return 0;
}
