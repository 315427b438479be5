/* SPDX-License-Identifier: MIT */
/* source_limit: see source_limit.h. */
#include "source_limit.h"

#include <string.h>

#include "bpf/table.h"

void source_limit_init(struct source_limit *limit, const struct siphash_key *hash_key, uint32_t per_s)
{
	memset(limit, 0, sizeof(*limit));
	limit->hash_key = *hash_key;
	limit->interval_ns = 1000000000ull / per_s;
	limit->burst_ns = 1000000000ull;
}

void source_limit_set(struct source_limit *limit, uint32_t per_s)
{
	limit->interval_ns = 1000000000ull / per_s;
}

bool source_limit_take(struct source_limit *limit, const struct addr *source, uint64_t now_ns)
{
	uint64_t hash = table_hash_addr(&limit->hash_key, &(struct addr){ .halves = { source->halves[0],
							  addr_is_v4(source) ? source->halves[1] : 0 } }, 0, 0) | 1;
	uint32_t set = (hash >> 1) % SOURCE_SETS;
	unsigned way = 0;

	for (unsigned i = 0; i < SOURCE_WAYS; i++) {
		if (limit->sets[set][i].source == hash) {
			way = i;
			break;
		}
		if (limit->sets[set][i].next_ns < limit->sets[set][way].next_ns)
			way = i;
	}
	if (limit->sets[set][way].source != hash) {
		limit->sets[set][way].source = hash;
		limit->sets[set][way].next_ns = 0;
	}
	return gcra_take(&limit->sets[set][way].next_ns, limit->interval_ns, limit->burst_ns, now_ns);
}
