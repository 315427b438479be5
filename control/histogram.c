/* SPDX-License-Identifier: MIT */
/* histogram: see histogram.h. Text format: https://prometheus.io/docs/instrumenting/exposition_formats/ */
#include "control/histogram.h"

#define US_NS UINT64_C(1000)

static const uint64_t bounds_us[HISTOGRAM_BOUNDS] = {
	100,   250,    500,    1000,   2500,    5000,    10000,   25000,
	50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000,
};

/* Relaxed throughout: each number stands alone, and a scrape may see one without the other. */
void histogram_add(struct histogram *histogram, uint64_t ns)
{
	unsigned i = 0;

	while (i < HISTOGRAM_BOUNDS && ns > bounds_us[i] * US_NS)
		i++;
	atomic_fetch_add_explicit(&histogram->counts[i], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&histogram->sum_ns, ns, memory_order_relaxed);
}

uint64_t histogram_count(const struct histogram *histogram)
{
	uint64_t count = 0;

	for (unsigned i = 0; i <= HISTOGRAM_BOUNDS; i++)
		count += atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
	return count;
}

void histogram_print(FILE *out, const char *name, const struct histogram *histogram)
{
	uint64_t count = 0; /* of this bucket and those below: so is _count that of +Inf, whatever is added meanwhile */

	for (unsigned i = 0; i < HISTOGRAM_BOUNDS; i++) {
		count += atomic_load_explicit(&histogram->counts[i], memory_order_relaxed);
		fprintf(out, "%s_bucket{le=\"%g\"} %llu\n", name, (double)bounds_us[i] / 1e6,
			(unsigned long long)count);
	}
	count += atomic_load_explicit(&histogram->counts[HISTOGRAM_BOUNDS], memory_order_relaxed);
	fprintf(out, "%s_bucket{le=\"+Inf\"} %llu\n", name, (unsigned long long)count);
	fprintf(out, "%s_sum %.9f\n", name,
		(double)atomic_load_explicit(&histogram->sum_ns, memory_order_relaxed) / 1e9);
	fprintf(out, "%s_count %llu\n", name, (unsigned long long)count);
}
