/* SPDX-License-Identifier: MIT */
/*
 * routes: all routes that the control process knows, by name in order. Any
 * thread: a lock inside. Names are lower case, as config_value_fqdn leaves
 * them. What it is given has been checked (routes_check).
 */
#ifndef SLUICE_ROUTES_H
#define SLUICE_ROUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/config.h"

enum {
	ROUTES_MAX = 1 << 20,
	ROUTES_TARGET_MAX = 63,        /* characters: an address and port, or the name of a fleet */
};

enum routes_origin {
	ROUTES_FILE,                   /* config.yaml */
	ROUTES_API,
	ROUTES_REDIS,
	ROUTES_ALLOCATED,              /* a game server that was asked for */
};

struct routes_route {
	char fqdn[CONFIG_FQDN_MAX + 1];
	enum route_type type;
	char target[ROUTES_TARGET_MAX + 1]; /* as written */
	struct config_address address; /* ROUTE_SIMPLE: target parsed */
	enum routes_origin origin;
	uint64_t version;              /* of the store when this was set: later changes have higher ones */
};

struct routes;

/* max: at most this many routes. NULL: no memory. */
struct routes *routes_new(size_t max);
void routes_free(struct routes *routes);

/*
 * Fills in *route from what a user wrote; fqdn in any case. NULL, or what is
 * wrong with it: "fqdn: must ...", for the user to read. origin and version are
 * left alone.
 */
const char *routes_check(const char *fqdn, enum route_type type, const char *target, struct routes_route *route);

/* Adds, or replaces the one of its name, whatever its origin. 0, -ENOSPC or -ENOMEM: nothing changed. */
int routes_set(struct routes *routes, const struct routes_route *route);

/* 0 or -ENOENT. */
int routes_remove(struct routes *routes, const char *fqdn);

/* False: there is none. */
bool routes_get(struct routes *routes, const char *fqdn, struct routes_route *route);

/* Up to `max` routes whose names come after `after` ("": from the first), in order. How many. */
size_t routes_list(struct routes *routes, const char *after, struct routes_route *list, size_t max);

size_t routes_count(struct routes *routes);

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
 * nor call routes_ functions. route NULL: the name is gone. Listeners stay for
 * the store's life; they are added before other threads know the store.
 */
enum { ROUTES_LISTENERS_MAX = 4 };
typedef void routes_listener(void *context, const char *fqdn, const struct routes_route *route);
int routes_listen(struct routes *routes, routes_listener *listener, void *context);

const char *routes_type_name(enum route_type type);
const char *routes_origin_name(enum routes_origin origin);

#endif
