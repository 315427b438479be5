/* SPDX-License-Identifier: MIT */
/*
 * histogram: how long things took, in fixed buckets, for Prometheus. Any
 * thread, without a lock; copied as a plain struct where only one thread adds.
 */
#ifndef SLUICE_HISTOGRAM_H
#define SLUICE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

/* From 100 us (an answer over loopback) to 10 s (beyond what anybody waits), 2 to 2.5 times apart. */
enum { HISTOGRAM_BOUNDS = 16 };

struct histogram {
	_Atomic uint64_t counts[HISTOGRAM_BOUNDS + 1]; /* of each bucket alone; the last: above all bounds */
	_Atomic uint64_t sum_ns;
};

void histogram_add(struct histogram *histogram, uint64_t ns);
uint64_t histogram_count(const struct histogram *histogram);

/* The samples of family `name` in text format 0.0.4, in seconds; HELP and TYPE are the caller's. */
void histogram_print(FILE *out, const char *name, const struct histogram *histogram);

#endif
