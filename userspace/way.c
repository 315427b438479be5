/* SPDX-License-Identifier: MIT */
/* way: see way.h. */
#include "way.h"

#include <stdlib.h>
#include <string.h>

#include "bpf/table.h"

enum { BUCKETS = sizeof(((struct ways *)0)->buckets) / sizeof(((struct ways *)0)->buckets[0]) };

struct stored_way {
	struct way way;           /* first: what users hold */
	uint32_t users;
	struct stored_way *next;  /* in its bucket, or in ways.retired */
};

static struct stored_way **way_bucket(struct ways *ways, const struct way *way)
{
	return &ways->buckets[table_hash_addr(&ways->hash_key, &way->gateway, way->ifindex, 0) % BUCKETS];
}

const struct way *way_get(struct ways *ways, const struct way *way)
{
	struct stored_way **bucket = way_bucket(ways, way);
	struct stored_way *stored;

	for (stored = *bucket; stored; stored = stored->next)
		if (memcmp(&stored->way, way, sizeof(*way)) == 0)
			break;
	if (!stored) {
		stored = malloc(sizeof(*stored));
		if (!stored)
			return NULL;
		*stored = (struct stored_way){ .way = *way, .next = *bucket };
		*bucket = stored;
	}
	stored->users++;
	return &stored->way;
}

void way_put(struct ways *ways, const struct way *way)
{
	struct stored_way *stored = (struct stored_way *)way;
	struct stored_way **link = way_bucket(ways, way);

	if (--stored->users)
		return;
	while (*link != stored)
		link = &(*link)->next;
	*link = stored->next;
	stored->next = ways->retired;
	ways->retired = stored;
}

void ways_reclaim(struct ways *ways)
{
	while (ways->retired) {
		struct stored_way *stored = ways->retired;

		ways->retired = stored->next;
		free(stored);
	}
}

/* True if a way has the object mark, or the ifindex, or the source; each may be "none". */
static bool ways_any(const struct ways *ways, bool object, uint32_t ifindex, const struct addr *source)
{
	for (unsigned i = 0; i < BUCKETS; i++) {
		for (const struct stored_way *stored = ways->buckets[i]; stored; stored = stored->next) {
			const struct way *way = &stored->way;

			/* Of a multipath route's interfaces only the first is known. */
			if ((object && way->object) || (ifindex && (way->ifindex == ifindex || way->multipath)) ||
			    (source && addr_equal(&way->source, source)))
				return true;
		}
	}
	return false;
}

bool ways_use_link(const struct ways *ways, uint32_t ifindex)
{
	return ways_any(ways, false, ifindex, NULL);
}

bool ways_use_address(const struct ways *ways, uint32_t ifindex, const struct addr *address)
{
	return ways_any(ways, false, ifindex, address);
}

bool ways_use_objects(const struct ways *ways)
{
	return ways_any(ways, true, 0, NULL);
}
