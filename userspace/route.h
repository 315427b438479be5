/* SPDX-License-Identifier: MIT */
/*
 * route: which backends a server name leads to. The steward adds and removes;
 * workers look up under liburcu's QSBR, without a lock, while it does.
 *
 * Names are lower case without a trailing dot. "*.x.y" stands for one label
 * before x.y; "*" is the default route.
 */
#ifndef SLUICE_ROUTE_H
#define SLUICE_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <urcu-qsbr.h>
#include <urcu/rculfhash.h>

#include "state.h"

enum {
	ROUTE_TARGETS_MAX = 32,
	ROUTE_NAME_MAX = 253,    /* RFC 1035 s2.3.4 */
};

struct route_target {
	uint32_t backend;        /* slot in backends */
	uint32_t weight;         /* above 0 */
	bool v4;                 /* family of its address */
	uint64_t identity;       /* of its address and port: the same in every relay */
};

/* What a name leads to. */
struct route_plan {
	bool ask;                /* no targets: the control process is asked for each client's backend */
	bool pinned;             /* migration: pinned */
	bool preserve;           /* client_ip: preserve */
	uint32_t count;
	struct route_target targets[ROUTE_TARGETS_MAX]; /* in any order, each backend once */
};

struct route {
	struct cds_lfht_node node;
	struct rcu_head rcu;
	uint32_t id;             /* protocol_route_id of the name: sessions keep it, over restarts too */
	uint32_t snapshot;       /* steward: the last one that named it */
	const char *fqdn;
	bool ask, pinned, preserve;
	uint32_t count;
	struct route_target targets[]; /* and behind them the name */
};

struct route_table {
	struct cds_lfht *names;
	uint64_t seed;
	uint32_t snapshot;       /* number of the last one begun */
	size_t count;
};

/* 0 or -ENOMEM. The calling thread must be registered with liburcu-qsbr. */
int route_table_init(struct route_table *table);
void route_table_end(struct route_table *table);

/* Steward: adds the route of a name, or changes its plan. Running sessions are not touched. 0 or -ENOMEM. */
int route_set(struct route_table *table, const char *fqdn, const struct route_plan *plan);

/* For route_target.identity. */
uint64_t route_target_identity(const struct addr *address, __be16 port_be);

/* Steward: 0 or -ENOENT. */
int route_remove(struct route_table *table, const char *fqdn);

/* Steward: a bit in `slots` for each backend of each route. */
void route_mark_backends(const struct route_table *table, uint64_t *slots);

/*
 * Steward: what is set between these two is all there is; what was there
 * before and is not set again goes at the end. How many went. A snapshot that
 * another follows without an end removes nothing.
 */
void route_snapshot_begin(struct route_table *table);
size_t route_snapshot_end(struct route_table *table);

/*
 * Worker (RCU reader): exact name, then "*." and the rest after the first
 * label, then "*". NULL: none. The route is valid until the next quiescent state.
 * name: lower case; NULL asks for the default route alone.
 */
const struct route *route_lookup(const struct route_table *table, const char *name);

/*
 * The backend of a client, of the client's own IP family if there is one;
 * SLOT_NONE when the route has no targets. Weighted
 * rendezvous hashing (Thaler and Ravishankar, 1998; weights: Schindelhauer and
 * Schomaker, 2005) of client and target: a client's further connections and
 * retries come to the same backend, a target that goes moves only its own
 * clients, and relays that share a listener's address agree without a word.
 * No key: a client that picks its port to pick its backend gains nothing.
 */
uint32_t route_choose(const struct route *route, const struct addr *client, __be16 client_port_be);

#endif
