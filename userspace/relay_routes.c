/* SPDX-License-Identifier: MIT */
/* relay_routes: see relay_routes.h. */
#include "relay_routes.h"

#include <errno.h>

#include "endpoint.h"

int relay_route_set(struct relay *relay, const char *fqdn, const struct addr *address, __be16 port_be)
{
	struct endpoint endpoint;
	uint32_t slot, backend;

	if (endpoint_find(&relay->state, address, port_be, &slot, &endpoint))
		return -ELOOP;
	if (backend_intern(&relay->backends, address, port_be, &backend) == -ENOSPC)
		return -ENOSPC;
	return route_set(&relay->routes, fqdn, backend);
}

const char *relay_route_error(int error)
{
	switch (error) {
	case -ELOOP:
		return "is a listener of this relay: a loop";
	case -ENOSPC:
		return "too many backends";
	default:
		return "no memory";
	}
}
