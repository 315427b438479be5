/* SPDX-License-Identifier: MIT */
/*
 * backend: the servers behind the relay, as slots of the shared `backends`
 * table: address, way there, source address towards it. Steward only; workers
 * and kernel read the entries.
 */
#ifndef SLUICE_BACKEND_H
#define SLUICE_BACKEND_H

#include "log.h"
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
	struct log_limit unreachable;
};

/* The slot of a server; made if there is none. 0, -ENOSPC, or -ENETUNREACH (still made; it may become reachable). */
int backend_intern(struct backend_table *table, const struct addr *address, __be16 port_be, uint32_t *slot);

/* Where a server is, or, with false, where it would be put. */
bool backend_find(const struct state *state, const struct addr *address, __be16 port_be, uint32_t *slot);

/*
 * needed: a bit for each slot that a route or session names. One that is not
 * needed twice running is nobody's from then on, and its slot may be given to
 * another server: so leave more time between two sweeps than a worker may hold
 * a slot that is in neither (limits.pending_seconds). How many went.
 */
uint32_t backend_sweep(struct state *state, const uint64_t *needed);

/* Routes or addresses of the host changed: next hop and source of every backend anew. */
void backend_refresh(struct backend_table *table);

#endif
