/* SPDX-License-Identifier: MIT */
/*
 * endpoint: the local address:port pairs that are ours. Listeners, and relay
 * addresses (port 0). Any worker finds; only the steward adds and removes.
 */
#ifndef SLUICE_ENDPOINT_H
#define SLUICE_ENDPOINT_H

#include "state.h"

/* Slot in endpoints and a copy. port_be 0: the relay address. False: not ours. */
bool endpoint_find(const struct state *state, const struct addr *address, __be16 port_be, uint32_t *slot,
		   struct endpoint *endpoint);

bool endpoint_read(const struct state *state, uint32_t slot, struct endpoint *endpoint);

/* True for a port (network order) that we use towards backends. */
bool endpoint_is_relay_port(const struct state *state, __be16 port_be);

/* Steward. 0, also if it is there already; -ENOSPC when half of ENDPOINT_SLOTS are taken. */
int endpoint_add(struct state *state, enum endpoint_kind kind, const struct addr *address, __be16 port_be,
		 uint16_t listener, uint8_t relay_address);

/* Steward: matches nothing from now on, until endpoint_add brings the same address and port back at this slot. */
void endpoint_disable(struct state *state, uint32_t slot);

/*
 * Steward. Nothing happens if it is not there. It keeps its slot: sessions know
 * it by that, and an address that comes back should be theirs again.
 */
void endpoint_remove(struct state *state, const struct addr *address, __be16 port_be);

#endif
