/* SPDX-License-Identifier: MIT */
/*
 * way: where routes lead, each kind of way stored once for all routes that
 * share it. Steward thread; RCU readers may hold a way that was taken back
 * until ways_reclaim. The values are the kernel's.
 */
#ifndef SLUICE_WAY_H
#define SLUICE_WAY_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"

enum way_kind {
	WAY_NOWHERE,
	WAY_OUT,     /* of one of our interfaces */
	WAY_THROW,   /* ask the next table */
};

/* Compared as bytes: no padding. */
struct way {
	struct addr gateway;   /* of either family; all zero: on link */
	struct addr source;    /* RTA_PREFSRC; all zero: none */
	uint32_t ifindex;      /* 0: none; of a multipath route the first */
	uint16_t interface;    /* WAY_OUT: slot in nexthop.interface */
	uint16_t mtu_bytes;    /* RTAX_MTU; 0: the link's */
	uint8_t kind;          /* enum way_kind */
	uint8_t multipath;
	uint8_t object;        /* has an RTA_NH_ID */
	uint8_t unused[5];
};
ASSERT_SIZE(struct way, 48);

static inline bool addr_is_set(const struct addr *addr)
{
	return addr->halves[0] | addr->halves[1];
}

struct stored_way;

struct ways {
	struct siphash_key hash_key;
	struct stored_way *buckets[1024]; /* ways are few: routers times interfaces */
	struct stored_way *retired;
};

/* The stored equal of `way`, with one more user; the same pointer while it has any. NULL when out of memory. */
const struct way *way_get(struct ways *ways, const struct way *way);

/* One user less; the last one's leave retires it. */
void way_put(struct ways *ways, const struct way *way);

/* Frees what is retired: when no reader can hold it any more. */
void ways_reclaim(struct ways *ways);

/* Might a stored way come or go with this link, or this address of it? Does any come from a nexthop object? */
bool ways_use_link(const struct ways *ways, uint32_t ifindex);
bool ways_use_address(const struct ways *ways, uint32_t ifindex, const struct addr *address);
bool ways_use_objects(const struct ways *ways);

#endif
