/* SPDX-License-Identifier: MIT */
/* bars: what the figures should be. Reported, not enforced. */
#ifndef SLUICE_BENCH_BARS_H
#define SLUICE_BENCH_BARS_H

void bars_print(void);

#endif
