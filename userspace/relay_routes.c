/* SPDX-License-Identifier: MIT */
/* relay_routes: see relay_routes.h. */
#include "relay_routes.h"

#include <arpa/inet.h>
#include <errno.h>

#include "endpoint.h"

_Static_assert((int)ROUTE_TARGETS_MAX == (int)PROTOCOL_TARGETS_MAX, "a message's targets fit a route");
_Static_assert((int)ROUTE_SPEC_TARGETS_MAX == (int)PROTOCOL_TARGETS_MAX, "the file's targets fit a message");

int relay_backend(struct relay *relay, const struct addr *address, __be16 port_be, uint32_t *slot)
{
	struct endpoint endpoint;
	uint32_t at;

	if (endpoint_find(&relay->state, address, port_be, &at, &endpoint))
		return -ELOOP;
	return backend_intern(&relay->backends, address, port_be, slot) == -ENOSPC ? -ENOSPC : 0;
}

void relay_expect_client_replies(struct relay *relay)
{
	/* Before any session is opened so. Workers only read it. */
	__atomic_fetch_or(&relay->state.globals->features, FEATURE_CLIENT_IP, __ATOMIC_RELAXED);
}

/* One more target; a server that two of them name has the weight of both. */
static void target_add(struct route_plan *plan, const struct protocol_target *target, uint32_t backend)
{
	for (uint32_t i = 0; i < plan->count; i++)
		if (plan->targets[i].backend == backend) {
			plan->targets[i].weight += target->weight;
			return;
		}
	plan->targets[plan->count++] = (struct route_target){
		.backend = backend,
		.weight = target->weight,
		.v4 = addr_is_v4(&target->address),
		.identity = route_target_identity(&target->address, target->port_be),
	};
}

int relay_route_set(struct relay *relay, const char *fqdn, const struct protocol_route *route)
{
	struct route_plan plan = {
		.ask = route->flags & PROTOCOL_ROUTE_ASK,
		.pinned = route->flags & PROTOCOL_ROUTE_PINNED,
		.preserve = route->flags & PROTOCOL_ROUTE_PRESERVE,
	};
	bool loops = false;

	for (unsigned i = 0; i < route->count; i++) {
		const struct protocol_target *target = &route->targets[i];
		uint32_t backend;
		int error = relay_backend(relay, &target->address, target->port_be, &backend);

		if (!error)
			target_add(&plan, target, backend);
		else if (error == -ELOOP)
			loops = true;
		else
			return error;
	}
	if (loops && plan.count == 0)
		return -ELOOP;
	if (plan.preserve)
		relay_expect_client_replies(relay);
	return route_set(&relay->routes, fqdn, &plan);
}

int relay_route_set_file(struct relay *relay, const struct config_route *route)
{
	const struct route_spec *spec = route->spec;
	struct protocol_route message = {
		.flags = (spec->type == ROUTE_AGONES ? PROTOCOL_ROUTE_ASK : 0) |
			 (spec->migration == MIGRATION_PINNED ? PROTOCOL_ROUTE_PINNED : 0) |
			 (spec->client_ip == CLIENT_IP_PRESERVE ? PROTOCOL_ROUTE_PRESERVE : 0),
	};

	for (unsigned i = 0; spec->type == ROUTE_SIMPLE && i < spec->count; i++)
		if (spec->targets[i].name_len == 0)
			message.targets[message.count++] = (struct protocol_target){
				.address = spec->targets[i].address.addr,
				.port_be = htons(spec->targets[i].address.port),
				.weight = spec->targets[i].weight,
			};
	return relay_route_set(relay, route->fqdn, &message);
}

const char *relay_route_error(int error)
{
	switch (error) {
	case -ELOOP:
		return "a target is a listener of this relay: a loop";
	case -ENOSPC:
		return "too many backends";
	default:
		return "no memory";
	}
}
