/* SPDX-License-Identifier: MIT */
/* bench: see bench.h. */
#include "bench.h"

#include <math.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { FIGURES_MAX = 256, NAME_MAX_LEN = 64, FAILURES_MAX = 32 };

struct figure {
	char name[NAME_MAX_LEN], unit[8];
	double *samples;
	size_t count;
};

struct bench_options bench_options;
static struct figure figures[FIGURES_MAX];
static size_t figure_count;
static unsigned failures;

static double clock_s(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

double bench_now_s(void)
{
	return clock_s(CLOCK_MONOTONIC);
}

double bench_cpu_s(void)
{
	return clock_s(CLOCK_THREAD_CPUTIME_ID);
}

void bench_pin(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set)) {
		perror("bench: sched_setaffinity");
		exit(1);
	}
}

bool bench_failed(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "bench: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	failures++;
	return false;
}

static struct figure *figure_find(const char *name)
{
	for (size_t i = 0; i < figure_count; i++)
		if (strcmp(figures[i].name, name) == 0)
			return &figures[i];
	return NULL;
}

void bench_sample(const char *name, const char *unit, double value)
{
	struct figure *figure = figure_find(name);

	if (!figure) {
		if (figure_count == FIGURES_MAX)
			abort();
		figure = &figures[figure_count++];
		snprintf(figure->name, sizeof(figure->name), "%s", name);
		snprintf(figure->unit, sizeof(figure->unit), "%s", unit);
	}
	figure->samples = realloc(figure->samples, (figure->count + 1) * sizeof(double));
	if (!figure->samples)
		abort();
	figure->samples[figure->count++] = value;
}

static int compare_doubles(const void *a, const void *b)
{
	double difference = *(const double *)a - *(const double *)b;

	return (difference > 0) - (difference < 0);
}

double median_of(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), compare_doubles);
	return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

double bench_median(const char *name)
{
	struct figure *figure = figure_find(name);

	return figure ? median_of(figure->samples, figure->count) : NAN;
}

/* A measurement that could not be made; the rest of the comparison would say nothing. */
static bool side_measure(const struct side *side, double values[static FIGURES_PER_SIDE])
{
	if (side->measure(side->context, values))
		return true;
	return bench_failed("%s: not measured", side->figures[0]);
}

static void side_note(const char *unit, const struct side *side, const double values[static FIGURES_PER_SIDE])
{
	for (unsigned i = 0; i < FIGURES_PER_SIDE && side->figures[i]; i++)
		bench_sample(side->figures[i], unit, values[i]);
}

static void progress(const char *a, const char *b)
{
	fprintf(stderr, "  %s%s%s\n", a, b ? " / " : "", b ? b : "");
}

void bench_alone(const char *unit, const struct side *side)
{
	double values[FIGURES_PER_SIDE];

	progress(side->figures[0], NULL);
	for (unsigned round = 0; round < bench_options.rounds; round++) {
		if (!side_measure(side, values))
			return;
		side_note(unit, side, values);
	}
}

void bench_compare(const char *unit, const struct side *a, const struct side *b)
{
	double of_a[FIGURES_PER_SIDE], of_b[FIGURES_PER_SIDE];

	progress(a->figures[0], b->figures[0]);
	for (unsigned round = 0; round < bench_options.rounds; round++) {
		bool a_first = round % 2 == 0;

		if (!side_measure(a_first ? a : b, a_first ? of_a : of_b) ||
		    !side_measure(a_first ? b : a, a_first ? of_b : of_a))
			return;
		side_note(unit, a, of_a);
		side_note(unit, b, of_b);
		for (unsigned i = 0; i < FIGURES_PER_SIDE && a->figures[i]; i++) {
			char name[NAME_MAX_LEN];

			snprintf(name, sizeof(name), "ratio:%s/%s", a->figures[i], b->figures[i]);
			bench_sample(name, "x", of_a[i] / of_b[i]);
		}
	}
}

/* --- the table ------------------------------------------------------------------------------------- */

static void row_print(FILE *out, const char *format, struct figure *figure)
{
	double median = median_of(figure->samples, figure->count);
	int digits = median >= 1000 ? 0 : median >= 100 ? 1 : 3;

	fprintf(out, format, figure->name, figure->unit, digits, figure->samples[0], digits, median, digits,
		figure->samples[figure->count - 1]);
}

bool bench_report(const char *tsv)
{
	FILE *file = fopen(tsv, "w");

	if (!file)
		return bench_failed("%s: cannot be written", tsv);
	fprintf(file, "figure\tunit\tmin\tmedian\tmax\n");
	printf("%-44s %-5s %12s %12s %12s\n", "figure", "unit", "min", "median", "max");
	for (size_t i = 0; i < figure_count; i++) {
		row_print(file, "%s\t%s\t%.*f\t%.*f\t%.*f\n", &figures[i]);
		row_print(stdout, "%-44s %-5s %12.*f %12.*f %12.*f\n", &figures[i]);
	}
	if (fclose(file))
		return bench_failed("%s: cannot be written", tsv);
	return failures == 0;
}
