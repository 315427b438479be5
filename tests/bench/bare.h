/* SPDX-License-Identifier: MIT */
/* bare: the baseline program of bare.bpf.c in the place of a relay's. Main thread. */
#ifndef SLUICE_BENCH_BARE_H
#define SLUICE_BENCH_BARE_H

#include "lane.h"

struct bare;

/* Loads it for a lane and attaches it; NULL: said why. */
struct bare *bare_start(const struct lane *lane);
void bare_stop(struct bare *bare, const struct lane *lane);

int bare_program(const struct bare *bare);

#endif
