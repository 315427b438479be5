/* SPDX-License-Identifier: MIT */
/* relay_routes: a name's way to a server in the running relay: its backend, then its route. Steward thread. */
#ifndef SLUICE_RELAY_ROUTES_H
#define SLUICE_RELAY_ROUTES_H

#include "steward.h"

/*
 * 0, or -ELOOP: the target is one of our listeners; -ENOSPC: too many
 * backends; -ENOMEM. A backend without a way there is taken: one may come.
 */
int relay_route_set(struct relay *relay, const char *fqdn, const struct addr *address, __be16 port_be);

/* What its error means, for the log. */
const char *relay_route_error(int error);

#endif
