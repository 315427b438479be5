/* SPDX-License-Identifier: MIT */
/*
 * state: the shared maps as memory of this process. Filled in by dataplane
 * (mmap of the BPF maps), or by tests (plain memory). Who writes what:
 *
 *     paths, replies, cids, sessions   the worker that owns the client's 4-tuple
 *     backends, endpoints, relay_addresses, nexthops, globals   the steward
 *     backends[].cid_len, globals.cid_lengths                   any worker, alone
 *     host_ports                                                the steward
 *     worker_counters[i].counters, .gauges                      worker i
 *     worker_counters[i].sockets                                see bpf/abi.h
 *     last_seen_s                                               whoever forwards
 */
#ifndef SLUICE_STATE_H
#define SLUICE_STATE_H

#include "table.h"

/*
 * Slots of the tables, for each four sessions of limits.sessions.
 *
 * Paths and replies: one a session, and those of migrated clients. CIDs: the
 * client's and the backend's first while a session is young, the backend's and
 * aliases later. More slots cost 64 bytes each (CIDs 32); with fewer, more
 * entries are beyond the first pair, which is a second miss of the cache, or
 * find no slot at all. At limits.sessions, one path each: 15 % are beyond it,
 * and 1 key in 6,000,000 finds no slot; with two CIDs each 17 %, and 1 in
 * 360,000 (test_table measures it); with two and a half 1 in 1,000, and then
 * aliases go unlearned first.
 */
enum {
	PATH_SLOTS_PER_4 = 7,
	CID_SLOTS_PER_4 = 13,
};

struct state {
	struct globals *globals;
	struct table paths, replies, cids, endpoints;
	struct session *sessions;
	struct backend *backends;
	struct relay_address *relay_addresses;
	struct nexthop *nexthops;
	struct worker_record *worker_counters; /* [WORKERS_MAX] */
	uint64_t *host_ports;            /* bitmap of UDP ports that sockets of the host have */
	uint32_t session_slots, backend_slots;
	struct siphash_key hash_key;     /* globals', fixed while the tables live */
};

/* A client's address and port and the listener it talks to. */
struct tuple {
	struct addr client;
	__be16 client_port_be;
	uint16_t endpoint;               /* slot in endpoints */
};

/* Of paths, and of replies. */
static inline uint32_t state_path_slots(uint32_t sessions)
{
	return table_slots_for((uint64_t)sessions * PATH_SLOTS_PER_4 / 4);
}

static inline uint32_t state_cid_slots(uint32_t sessions)
{
	return table_slots_for((uint64_t)sessions * CID_SLOTS_PER_4 / 4);
}

static inline uint64_t tuple_hash(const struct state *state, const struct tuple *tuple)
{
	return path_hash(&state->hash_key, &tuple->client, tuple->client_port_be, tuple->endpoint, 0);
}

#endif
