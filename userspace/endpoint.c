/* SPDX-License-Identifier: MIT */
/* endpoint: see endpoint.h. */
#include "endpoint.h"

#include <arpa/inet.h>
#include <errno.h>

/* Disabled ones too: they keep their slot. */
static bool endpoint_find_any(const struct state *state, const struct addr *address, __be16 port_be, uint32_t *slot,
			      struct endpoint *endpoint)
{
	uint64_t hash = endpoint_hash(address, port_be);

	for (uint32_t i = 0; table_next(&state->endpoints, hash, &i, slot, endpoint);)
		if (endpoint->port_be == port_be && addr_equal(&endpoint->address, address))
			return true;
	return false;
}

bool endpoint_find(const struct state *state, const struct addr *address, __be16 port_be, uint32_t *slot,
		   struct endpoint *endpoint)
{
	return endpoint_find_any(state, address, port_be, slot, endpoint) && endpoint->kind != ENDPOINT_DISABLED;
}

bool endpoint_read(const struct state *state, uint32_t slot, struct endpoint *endpoint)
{
	return slot < ENDPOINT_SLOTS &&
	       entry_read(table_at(&state->endpoints, slot), endpoint, sizeof(*endpoint), NULL);
}

bool endpoint_is_relay_port(const struct state *state, __be16 port_be)
{
	const uint16_t *range = state->globals->relay_ports;
	uint16_t port = ntohs(port_be);

	return port != 0 && ((port >= range[0] && port <= range[1]) || (port >= range[2] && port <= range[3]));
}

/* Room for new ones; sessions that still know a disabled endpoint lose it. */
static void endpoints_reclaim(struct state *state)
{
	for (uint32_t slot = 0; slot < ENDPOINT_SLOTS; slot++) {
		struct endpoint endpoint;

		if (endpoint_read(state, slot, &endpoint) && endpoint.kind == ENDPOINT_DISABLED)
			table_remove(&state->endpoints, slot, endpoint_hash(&endpoint.address, endpoint.port_be));
	}
}

static uint32_t endpoints_count(const struct state *state)
{
	uint32_t count = 0;

	for (uint32_t slot = 0; slot < ENDPOINT_SLOTS; slot++)
		count += entry_is_live(table_at(&state->endpoints, slot));
	return count;
}

int endpoint_add(struct state *state, enum endpoint_kind kind, const struct addr *address, __be16 port_be,
		 uint16_t listener, uint8_t relay_address)
{
	struct endpoint endpoint;
	uint32_t slot;

	if (endpoint_find_any(state, address, port_be, &slot, &endpoint)) {
		if (endpoint.kind == kind && endpoint.listener == listener && endpoint.relay_address == relay_address)
			return 0;
	} else {
		if (endpoints_count(state) >= ENDPOINT_SLOTS / 2)
			endpoints_reclaim(state);
		if (endpoints_count(state) >= ENDPOINT_SLOTS / 2)
			return -ENOSPC;
		slot = table_claim(&state->endpoints, endpoint_hash(address, port_be));
		if (slot == SLOT_NONE)
			return -ENOSPC;
	}
	endpoint = (struct endpoint){
		.port_be = port_be,
		.kind = (uint8_t)kind,
		.relay_address = relay_address,
		.address = *address,
		.listener = listener,
	};
	entry_write(table_at(&state->endpoints, slot), &endpoint, sizeof(endpoint));
	return 0;
}

void endpoint_disable(struct state *state, uint32_t slot)
{
	struct endpoint endpoint;

	if (!endpoint_read(state, slot, &endpoint))
		return;
	endpoint.kind = ENDPOINT_DISABLED;
	entry_write(table_at(&state->endpoints, slot), &endpoint, sizeof(endpoint));
}

void endpoint_remove(struct state *state, const struct addr *address, __be16 port_be)
{
	struct endpoint endpoint;
	uint32_t slot;

	if (endpoint_find(state, address, port_be, &slot, &endpoint))
		endpoint_disable(state, slot);
}
