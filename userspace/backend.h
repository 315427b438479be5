/* SPDX-License-Identifier: MIT */
/*
 * backend: the servers behind the relay, as slots of the shared `backends`
 * table: address, way there, source address towards it. Steward only; workers
 * and kernel read the entries.
 */
#ifndef SLUICE_BACKEND_H
#define SLUICE_BACKEND_H

#include "nexthop.h"
#include "state.h"

enum {
	BACKENDS_MAX = 131072,
	BACKEND_SLOTS = 2 * BACKENDS_MAX,
};

struct backend_table {
	struct state *state;
	struct nexthops *nexthops;
	const struct addr *configured;   /* relay.addresses, borrowed; the first of the family is used */
	unsigned configured_count;
	uint32_t count;
};

/* The slot of a server; made if there is none. 0, -ENOSPC, or -ENETUNREACH (still made; it may become reachable). */
int backend_intern(struct backend_table *table, const struct addr *address, __be16 port_be, uint32_t *slot);

/* Routes or addresses of the host changed: next hop and source of every backend anew. */
void backend_refresh(struct backend_table *table);

#endif
