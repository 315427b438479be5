/* SPDX-License-Identifier: MIT */
/*
 * bench: rounds, pairing and the table of figures. Main thread only.
 *
 * The machine is shared and its speed changes by the minute, so a figure alone
 * says little. Whatever is judged is measured in rounds beside its baseline,
 * A B, B A, A B ..., and each round gives one ratio: what slows both down
 * drops out, and so does a drift that favours who comes second.
 */
#ifndef SLUICE_BENCH_H
#define SLUICE_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	FIGURES_PER_SIDE = 2,
	CPU_TRAFFIC = 0,             /* generator, receiving softirqs, endpoints; also the whole kernel path */
	CPU_WORKER = 1,              /* the relay's threads, or the user space baseline in their place */
};

struct bench_options {
	unsigned rounds;
	double round_s;              /* of one side */
	bool quick;
};

extern struct bench_options bench_options;

/* What is measured in a round: one value for each figure that is named. False: it could not be. */
struct side {
	const char *figures[FIGURES_PER_SIDE];
	bool (*measure)(void *context, double values[static FIGURES_PER_SIDE]);
	void *context;
};

/* Adds a value to a figure. */
void bench_sample(const char *figure, const char *unit, double value);

/* Rounds of one side alone. */
void bench_alone(const char *unit, const struct side *side);

/* Paired rounds; for each pair of figures a row ratio:<a>/<b> besides. */
void bench_compare(const char *unit, const struct side *a, const struct side *b);

/* Says that something could not be measured, and why: the run fails in the end. Returns false. */
bool bench_failed(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The median of a figure, or NaN. */
double bench_median(const char *figure);

/* Prints the table and writes it to a file. True: everything was measured. */
bool bench_report(const char *tsv);

/* Seconds of CLOCK_MONOTONIC. */
double bench_now_s(void);

/* Seconds that the calling thread has run: for work of one thread, which another's turn must not lengthen. */
double bench_cpu_s(void);

/* Binds the calling thread to one CPU. */
void bench_pin(unsigned cpu);

/* The middle one; sorts the values. */
double median_of(double *values, size_t count);

#endif
