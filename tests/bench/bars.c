/* SPDX-License-Identifier: MIT */
/* bars: see bars.h. */
#include "bars.h"

#include <math.h>
#include <stdio.h>

#include "bench.h"

static const struct bar {
	const char *figure;
	enum { AT_MOST, AT_LEAST } sense;
	double bound;
} bars[] = {
	{ "xdp.ns.1k", AT_MOST, 40 },
	{ "ratio:xdp.ns.1k/xdp.ns.bare", AT_MOST, 2.5 },
	{ "ratio:xdp.mpps.64/bare.mpps.64", AT_LEAST, 0.85 },
	{ "ratio:xdp.mpps.1200/bare.mpps.1200", AT_LEAST, 0.85 },
	{ "ratio:xdp.mpps.64.1m/bare.mpps.64.1m", AT_LEAST, 0.35 },
	{ "ratio:worker.mpps.64/xsk.mpps.64", AT_LEAST, 0.90 },
	{ "ratio:worker.mpps.1200/xsk.mpps.1200", AT_LEAST, 0.90 },
	{ "ratio:worker.mpps.64/socket.mpps.64", AT_LEAST, 2.5 },
	{ "ratio:worker.mpps.1200/socket.mpps.1200", AT_LEAST, 2.0 },
	{ "ratio:initial.per_s/initial.crypto.per_s", AT_LEAST, 0.75 },
	{ "handshake.per_s", AT_LEAST, 100000 },
	{ "ratio:rtt.us.p50.kernel/ipfwd.us.p50", AT_MOST, 1.1 },
	{ "ratio:rtt.us.p50.worker/ipfwd.us.p50", AT_MOST, 1.8 },
	{ "session.bytes", AT_MOST, 512 },
	{ "start.s.1m", AT_MOST, 2 },
	{ "idle.cpu", AT_MOST, 2 },
};

void bars_print(void)
{
	printf("\n%-44s %-9s %10s %10s\n", "bar", "", "wanted", "median");
	for (size_t i = 0; i < sizeof(bars) / sizeof(bars[0]); i++) {
		const struct bar *bar = &bars[i];
		double median = bench_median(bar->figure);
		const char *verdict = isnan(median) ? "absent" :
				      (bar->sense == AT_MOST ? median <= bar->bound : median >= bar->bound) ? "met" : "MISSED";

		printf("%-44s %-9s %s %7g %10.3f   %s\n", bar->figure, bar->sense == AT_MOST ? "at most" : "at least", "",
		       bar->bound, median, verdict);
	}
}
