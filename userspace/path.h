/* SPDX-License-Identifier: MIT */
/*
 * path: (client 4-tuple, relay address:port, backend), as its two entries in
 * the shared tables: `paths`, found from the client's side, and `replies`,
 * found from the backend's. Where the backend sees the client's own address
 * (RELAY_ADDRESS_CLIENT) no relay port is drawn. Any worker finds; the worker that owns the
 * client's 4-tuple opens, changes and closes.
 */
#ifndef SLUICE_PATH_H
#define SLUICE_PATH_H

#include "state.h"

/* Which relay ports a worker may take: those that are `worker` modulo `workers`, so that none are taken twice. */
struct port_share {
	uint32_t worker, workers;
	uint64_t random;        /* state of the generator; seeded by the owner, never 0 */
};

/* The default entry of a 4-tuple. False: unknown. */
bool path_find(const struct state *state, const struct tuple *tuple, uint32_t *slot, struct path_entry *path);

/* The entry of a 4-tuple with this ordinal; 0 is the default one. */
bool path_find_ordinal(const struct state *state, const struct tuple *tuple, unsigned ordinal, uint32_t *slot,
		       struct path_entry *path);

/* The path of a 4-tuple to one backend. False: none. */
bool path_find_backend(const struct state *state, const struct tuple *tuple, uint32_t backend, uint32_t *slot,
		       struct path_entry *path);

/* Reads the entry in a slot that is known to hold a path. */
bool path_read(const struct state *state, uint32_t slot, struct path_entry *path);

/* The reply entry for a packet from a backend. False: unknown. */
bool reply_find(const struct state *state, const struct reply_key *key, uint32_t *slot, struct reply_entry *reply);

/* What an entry is found by. */
struct reply_key reply_key_of(const struct reply_entry *reply);

/* The reply entry that belongs to the path in a slot. */
bool path_reply(const struct state *state, uint32_t path_slot, const struct path_entry *path, uint32_t *slot,
		struct reply_entry *reply);

/* What it is found by. */
struct reply_key path_reply_key(const struct state *state, const struct path_entry *path);

struct tuple path_tuple(const struct path_entry *path);

/* Its source towards the backend; the port is path->relay_port_be. */
static inline const struct addr *path_source(const struct state *state, const struct path_entry *path)
{
	return path->relay_address == RELAY_ADDRESS_CLIENT ? &path->client :
							     &state->relay_addresses[path->relay_address].address;
}

enum path_verdict {
	PATH_OPENED,
	PATH_PORTS_EXHAUSTED,   /* towards this backend */
	PATH_TAKEN,             /* its own port is, towards this backend: it came by another listener, too */
	PATH_TABLE_FULL,        /* or PATH_SIBLINGS_MAX further backends on this 4-tuple already */
};

/*
 * Owner: opens a path for a 4-tuple that has none to this backend; nexthop is
 * the way to the client. The path is unconfirmed and belongs to no session.
 * preserve: its source is the client's own, if the backend is of its IP family,
 * and it is not link-local.
 */
enum path_verdict path_open(struct state *state, struct port_share *ports, const struct tuple *tuple,
			    uint32_t backend, bool preserve, uint16_t nexthop, uint32_t now_s, uint32_t *slot);

/* Owner: writes a changed copy back. */
void path_write(struct state *state, uint32_t slot, const struct path_entry *path);

/* Owner: lets the kernel forward on this path, both ways. */
void path_confirm(struct state *state, uint32_t slot);

/* Owner: takes both entries out of the tables. */
void path_close(struct state *state, uint32_t slot);

/*
 * Owner: the path's relay port, not a client's own, leads to another 4-tuple from now on, which has
 * no path to this backend; nexthop is the way to it. The old entry in `paths`
 * stays for path_vacate, so that whoever dies between finds either good. False:
 * no room, nothing has changed.
 */
bool path_move(struct state *state, uint32_t from, const struct tuple *to, uint16_t nexthop, uint32_t now_s,
	       uint32_t *slot);

/* Owner: takes the entry in `paths` out alone. */
void path_vacate(struct state *state, uint32_t slot);

/* The later of both directions' time stamps. 0: no such path. */
uint32_t path_last_seen_s(const struct state *state, uint32_t slot);

static inline void last_seen_set(uint32_t *last_seen_s, uint32_t now_s)
{
	if (__atomic_load_n(last_seen_s, __ATOMIC_RELAXED) != now_s)
		__atomic_store_n(last_seen_s, now_s, __ATOMIC_RELAXED);
}

#endif
