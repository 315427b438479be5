/* SPDX-License-Identifier: MIT */
/* constant_way: the constants of constant_rewrite.h in a lane. */
#ifndef SLUICE_BENCH_CONSTANT_WAY_H
#define SLUICE_BENCH_CONSTANT_WAY_H

#include <arpa/inet.h>
#include <string.h>

#include "constant_rewrite.h"
#include "lane.h"

enum { CONSTANT_PORT = 20000 };      /* in the place of a relay port */

static inline struct constant_way constant_way_of(const struct lane *lane)
{
	struct constant_way way = {
		.saddr = inet_addr(LANE_RELAY),
		.daddr = inet_addr(LANE_BACKEND),
		.source = htons(CONSTANT_PORT),
		.dest = htons(BACKEND_PORT),
	};

	memcpy(way.macs, lane->backend.mac, 6);
	memcpy((uint8_t *)way.macs + 6, lane->out.mac, 6);
	return way;
}

#endif
