/* SPDX-License-Identifier: MIT */
/*
 * source_limit: how many new connections one source may begin per second. A
 * source is an IPv4 address or an IPv6 /64 (what one site can number freely).
 * Worker thread; fixed memory: of more sources than fit, those seen longest
 * ago are forgotten, so a flood from everywhere is not stopped here but by the
 * bounds of the tables behind.
 */
#ifndef SLUICE_SOURCE_LIMIT_H
#define SLUICE_SOURCE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"

enum { SOURCE_SETS = 2048, SOURCE_WAYS = 4 };

struct source_limit {
	struct siphash_key hash_key;
	uint64_t interval_ns;            /* between connections at the allowed rate */
	uint64_t burst_ns;               /* how far a source may run ahead */
	struct {
		uint64_t source;         /* hash; 0 is free */
		uint64_t next_ns;        /* see gcra_take */
	} sets[SOURCE_SETS][SOURCE_WAYS];
};

/*
 * The generic cell rate algorithm (ITU-T I.371 annex A): one time stamp, no
 * refill. *next_ns: when the next cell would be on time. False: over the rate.
 */
static inline bool gcra_take(uint64_t *next_ns, uint64_t interval_ns, uint64_t burst_ns, uint64_t now_ns)
{
	uint64_t due_ns = *next_ns < now_ns ? now_ns : *next_ns;

	if (due_ns + interval_ns > now_ns + burst_ns)
		return false;
	*next_ns = due_ns + interval_ns;
	return true;
}

/* per_s: connections a second and source, and the burst of one second's worth. */
void source_limit_init(struct source_limit *limit, const struct siphash_key *hash_key, uint32_t per_s);

/* Another rate; who is over it stays so. */
void source_limit_set(struct source_limit *limit, uint32_t per_s);

/* Counts one connection. False: over the rate. */
bool source_limit_take(struct source_limit *limit, const struct addr *source, uint64_t now_ns);

#endif
