/* SPDX-License-Identifier: MIT */
/* relay_routes: a name's way to its servers in the running relay: their backends, then the route. Steward thread. */
#ifndef SLUICE_RELAY_ROUTES_H
#define SLUICE_RELAY_ROUTES_H

#include "control/protocol.h"
#include "steward.h"

/*
 * 0, or -ELOOP: all targets are listeners of ours (some are passed over: a name
 * may lead anywhere); -ENOSPC: too many backends; -ENOMEM. A backend without a way there is taken: one may come.
 */
int relay_route_set(struct relay *relay, const char *fqdn, const struct protocol_route *route);

/* A route of the file, but for its targets that are names: to resolve those is the control process' work. */
int relay_route_set_file(struct relay *relay, const struct config_route *route);

/* The slot of one server that a client was given. Errors as above. */
int relay_backend(struct relay *relay, const struct addr *address, __be16 port_be, uint32_t *slot);

/*
 * Sessions whose backends see their clients' own addresses may be opened from now on. For good: they outlive what asked
 * for them, and to look for them costs only what is not ours, and little.
 */
void relay_expect_client_replies(struct relay *relay);

/* What its error means, for the log. */
const char *relay_route_error(int error);

#endif
