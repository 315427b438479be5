/* SPDX-License-Identifier: MIT */
/*
 * sessions: the relay's sessions and backends as JSON, read from its tables
 * (view) while it goes on: a listing is no snapshot, what comes or goes during
 * it may be in it or not. API threads.
 */
#ifndef SLUICE_SESSIONS_H
#define SLUICE_SESSIONS_H

#include <jansson.h>

#include "control/protocol.h"
#include "control/routes.h"
#include "control/servers.h"
#include "userspace/state.h"

/* What a session must be to be listed; all zero: any. */
struct sessions_filter {
	uint32_t route;                /* protocol_route_id; 0: any */
	bool by_backend, by_client;
	struct addr backend, client;
	__be16 backend_port_be;
	__be16 client_port_be;         /* 0: any of that address */
};

enum { SESSIONS_PAGE_MAX = 1000 };

/*
 * {"sessions": [...], "next": the `after` of the next page, or null}. after:
 * slots below are passed over. NULL: no memory.
 */
json_t *sessions_page(const struct state *state, struct routes *routes, const struct sessions_filter *filter,
		      uint32_t after, unsigned limit);

/* The session whose client this backend sees at this address and port, the relay's or its own. NULL: none. */
json_t *sessions_by_path(const struct state *state, struct routes *routes, const struct config_address *backend,
			 const struct config_address *relay);

/*
 * {"backends": [...], "next": ...}: those of the relay's table, then those that
 * only this process knows. NULL: no memory.
 */
json_t *sessions_backends(const struct state *state, struct servers *servers, uint32_t after, unsigned limit);

/*
 * Calls for each session of a route (protocol_route_id) whose backend is none of
 * the targets of `keep`. How many there are.
 */
size_t sessions_of_route(const struct state *state, uint32_t route, const struct protocol_route *keep,
			 void (*call)(void *context, uint32_t slot, uint32_t generation), void *context);

/* An id as listings have it: "<slot>-<generation>". False: it is none. */
bool sessions_id_parse(const char *text, uint32_t *slot, uint32_t *generation);

/* True if this address and port is a listener of the relay: as a target it would be a loop. */
bool sessions_is_listener(const struct state *state, const struct config_address *address);

#endif
