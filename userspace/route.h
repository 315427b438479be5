/* SPDX-License-Identifier: MIT */
/*
 * route: which backend a server name leads to. The steward adds and removes;
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

struct route {
	struct cds_lfht_node node;
	struct rcu_head rcu;
	uint32_t id;             /* protocol_route_id of the name: sessions keep it, over restarts too */
	uint32_t backend;        /* slot in backends */
	uint32_t snapshot;       /* steward: the last one that named it */
	char fqdn[];
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

/* Steward: adds the route of a name, or changes its backend. Running sessions are not touched. 0 or -ENOMEM. */
int route_set(struct route_table *table, const char *fqdn, uint32_t backend);

/* Steward: 0 or -ENOENT. */
int route_remove(struct route_table *table, const char *fqdn);

/* Steward: a bit in `slots` for the backend of each route. */
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

#endif
