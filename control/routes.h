/* SPDX-License-Identifier: MIT */
/*
 * routes: all routes that the control process knows, by name in order. Any
 * thread: a lock inside. Names are lower case, as config_value_fqdn leaves
 * them. What it is given has been checked (routes_name, route_spec.h).
 */
#ifndef SLUICE_ROUTES_H
#define SLUICE_ROUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/config.h"

enum {
	ROUTES_MAX = 1 << 20,
};

enum routes_origin {
	ROUTES_FILE,                   /* config.yaml */
	ROUTES_API,
	ROUTES_REDIS,
	ROUTES_ALLOCATED,              /* a game server that was asked for */
};

struct routes_route {
	char fqdn[CONFIG_FQDN_MAX + 1];
	struct route_spec *spec;
	enum routes_origin origin;
	uint64_t version;              /* of the store when this was set: later changes have higher ones */
};

struct routes;

/* max: at most this many routes. NULL: no memory. */
struct routes *routes_new(size_t max);
void routes_free(struct routes *routes);

/* A name as the store has it, from one in any case. NULL, or what it must be. */
const char *routes_name(const char *fqdn, char name[static CONFIG_FQDN_MAX + 1]);

/*
 * Adds, or replaces the one of its name, whatever its origin. The store takes a
 * reference of its own. 0, -ENOSPC or -ENOMEM: nothing changed.
 */
int routes_set(struct routes *routes, const struct routes_route *route);

/* 0 or -ENOENT. */
int routes_remove(struct routes *routes, const char *fqdn);

/* A copy, to be ended by routes_end. False: there is none. */
bool routes_get(struct routes *routes, const char *fqdn, struct routes_route *route);

/* Gives back what a copy, or each of a list, holds. */
void routes_end(struct routes_route *list, size_t count);

/* Up to `max` routes whose names come after `after` ("": from the first), in order, to be ended. How many. */
size_t routes_list(struct routes *routes, const char *after, struct routes_route *list, size_t max);

/* Calls for every route, in order; what changes meanwhile may be passed over. May wait, and call routes_ functions. */
void routes_each(struct routes *routes, void (*call)(void *context, const struct routes_route *route), void *context);

size_t routes_count(struct routes *routes);

/* Of the last change. */
uint64_t routes_version(struct routes *routes);

/* Removes those whose time is over (CLOCK_REALTIME, seconds). How many. Cheap while none has one. */
size_t routes_expire(struct routes *routes, uint64_t now_s);

struct routes_tally {
	size_t set, removed, unchanged;
};

/*
 * The file as it is now: its routes are set (over those of other origins, if
 * the file changed for that name), and routes of origin ROUTES_FILE that it
 * does not name are removed. 0, -ENOSPC or -ENOMEM: nothing changed.
 */
int routes_reload(struct routes *routes, const struct config *config, struct routes_tally *tally);

/*
 * Called for every change, in order, under the store's lock: it must not wait,
 * nor call routes_ functions. route NULL: the name is gone, and `was` is where it
 * came from. Listeners stay for the store's life; they are added before other
 * threads know the store.
 */
enum { ROUTES_LISTENERS_MAX = 6 };
typedef void routes_listener(void *context, const char *fqdn, const struct routes_route *route,
			     enum routes_origin was);
int routes_listen(struct routes *routes, routes_listener *listener, void *context);

const char *routes_origin_name(enum routes_origin origin);

#endif
