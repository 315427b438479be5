/* SPDX-License-Identifier: MIT */
/* test_histogram: the text that Prometheus reads, byte by byte, and threads that add at once. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "control/histogram.h"

enum { THREADS = 4, ADDITIONS = 20000 };

static void prints_cumulative_buckets(void **unused)
{
	struct histogram histogram = { 0 };
	size_t len;
	char *text;
	FILE *out = open_memstream(&text, &len);

	(void)unused;
	histogram_add(&histogram, 100000);      /* a bound belongs to its bucket (le: less or equal) */
	histogram_add(&histogram, 100001);
	histogram_add(&histogram, 1500000000);
	histogram_add(&histogram, 10000000001); /* above all */
	histogram_print(out, "x_seconds", &histogram);
	fclose(out);
	assert_string_equal(text, "x_seconds_bucket{le=\"0.0001\"} 1\nx_seconds_bucket{le=\"0.00025\"} 2\n"
				  "x_seconds_bucket{le=\"0.0005\"} 2\nx_seconds_bucket{le=\"0.001\"} 2\n"
				  "x_seconds_bucket{le=\"0.0025\"} 2\nx_seconds_bucket{le=\"0.005\"} 2\n"
				  "x_seconds_bucket{le=\"0.01\"} 2\nx_seconds_bucket{le=\"0.025\"} 2\n"
				  "x_seconds_bucket{le=\"0.05\"} 2\nx_seconds_bucket{le=\"0.1\"} 2\n"
				  "x_seconds_bucket{le=\"0.25\"} 2\nx_seconds_bucket{le=\"0.5\"} 2\n"
				  "x_seconds_bucket{le=\"1\"} 2\nx_seconds_bucket{le=\"2.5\"} 3\n"
				  "x_seconds_bucket{le=\"5\"} 3\nx_seconds_bucket{le=\"10\"} 3\n"
				  "x_seconds_bucket{le=\"+Inf\"} 4\nx_seconds_sum 11.500200002\nx_seconds_count 4\n");
	free(text);
}

static void *add_many(void *histogram)
{
	for (unsigned i = 0; i < ADDITIONS; i++)
		histogram_add(histogram, i * 1000);
	return NULL;
}

static void loses_nothing_to_other_threads(void **unused)
{
	static struct histogram histogram;
	pthread_t threads[THREADS];

	(void)unused;
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, add_many, &histogram), 0);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(histogram_count(&histogram), THREADS * ADDITIONS);
	assert_int_equal(histogram.sum_ns, UINT64_C(1000) * THREADS * (ADDITIONS / 2) * (ADDITIONS - 1));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(prints_cumulative_buckets),
		cmocka_unit_test(loses_nothing_to_other_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
