/* SPDX-License-Identifier: MIT */
/*
 * test_allocation: sharing, what is remembered, rates and bounds, with a source
 * that answers when the test lets it, and a clock that the test moves.
 */
#include <endian.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "bpf/table.h"
#include "control/allocation.h"

#define S_NS UINT64_C(1000000000)

enum { IDS = 4096, PATIENCE_S = 10, FLEETS = 3 };

/* All under the lock; `changed` after each change. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool held;                     /* the source waits until it is not */
	enum agones_verdict verdict;
	unsigned calls, inside, fleet_inside[FLEETS]; /* by the fleet's last letter, "a" on */
	unsigned answers[IDS], answer_count;
	enum agones_verdict verdicts[IDS];
	uint16_t ports[IDS];           /* of the server: the number of the call; 0: none */
} seen = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static _Atomic uint64_t clock_ns;
static struct allocation *allocation;
static struct config_agones config;
static const struct config_address client = { .addr = { .bytes = { [10] = 0xff, 0xff, 10, 0, 0, 1 } }, .port = 5000 };

static uint64_t fake_now_ns(void)
{
	return atomic_load(&clock_ns);
}

static void pass(uint64_t ns)
{
	atomic_fetch_add(&clock_ns, ns);
}

static enum agones_verdict source(void *context, const char *fleet, struct agones_server *server,
				  char error[static AGONES_ERROR_BYTES])
{
	unsigned which = (unsigned)(fleet[strlen(fleet) - 1] - 'a') % FLEETS;
	enum agones_verdict verdict;

	(void)context;
	memset(server, 0, sizeof(*server));
	pthread_mutex_lock(&seen.lock);
	server->address.port = (uint16_t)++seen.calls;
	seen.inside++;
	seen.fleet_inside[which]++;
	pthread_cond_broadcast(&seen.changed);
	while (seen.held)
		pthread_cond_wait(&seen.changed, &seen.lock);
	seen.inside--;
	seen.fleet_inside[which]--;
	verdict = seen.verdict;
	pthread_mutex_unlock(&seen.lock);
	snprintf(error, AGONES_ERROR_BYTES, "%s", agones_verdict_name(verdict));
	return verdict;
}

static void answer(void *context, uint64_t id, enum agones_verdict verdict, const struct config_address *address)
{
	(void)context;
	pthread_mutex_lock(&seen.lock);
	seen.answers[id]++;
	seen.answer_count++;
	seen.verdicts[id] = verdict;
	seen.ports[id] = address ? address->port : 0;
	pthread_cond_broadcast(&seen.changed);
	pthread_mutex_unlock(&seen.lock);
}

static void hold(bool held)
{
	pthread_mutex_lock(&seen.lock);
	seen.held = held;
	pthread_cond_broadcast(&seen.changed);
	pthread_mutex_unlock(&seen.lock);
}

/* Until the number is at least that. */
static void wait_for(const unsigned *number, unsigned wanted)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	pthread_mutex_lock(&seen.lock);
	while (*number < wanted)
		if (pthread_cond_timedwait(&seen.changed, &seen.lock, &until)) {
			unsigned got = *number;

			pthread_mutex_unlock(&seen.lock);
			fail_msg("%u instead of %u", got, wanted);
		}
	pthread_mutex_unlock(&seen.lock);
}

static void start(const struct allocation_options *options)
{
	struct allocation_options all = options ? *options : (struct allocation_options){ 0 };

	all.config = &config;
	all.answer = answer;
	all.source = source;
	all.now_ns = fake_now_ns;
	allocation = allocation_new(&all);
	assert_non_null(allocation);
}

static int set_up(void **unused)
{
	(void)unused;
	seen.held = false;
	seen.verdict = AGONES_ALLOCATED;
	seen.calls = seen.inside = seen.answer_count = 0;
	memset(seen.answers, 0, sizeof(seen.answers));
	atomic_store(&clock_ns, 100 * S_NS);
	config = (struct config_agones){ .timeout_ms = 4000, .max_allocations_per_s = 10000,
					 .max_allocations_per_s_per_client = 10000 };
	return 0;
}

/* Also after a failure, wherever it was. */
static int tear_down(void **unused)
{
	(void)unused;
	hold(false);
	allocation_free(allocation);
	allocation = NULL;
	return 0;
}

static struct allocation_stats stats(void)
{
	struct allocation_stats all;

	allocation_stats(allocation, &all);
	return all;
}

static void ask(uint64_t id)
{
	allocation_ask(allocation, id, &client, "a.test", "fleet-a");
}

static void ask_from(uint64_t id, uint16_t port)
{
	struct config_address other = client;

	other.port = port;
	allocation_ask(allocation, id, &other, "a.test", "fleet-a");
}

static void assert_answer(uint64_t id, enum agones_verdict verdict, uint16_t port)
{
	assert_int_equal(seen.answers[id], 1);
	assert_int_equal(seen.verdicts[id], verdict);
	assert_int_equal(seen.ports[id], port);
}

/* --- sharing -------------------------------------------------------------------------------------- */

static void thousand_questions_of_one_client_make_one_allocation(void **unused)
{
	(void)unused;
	start(NULL);
	hold(true);
	for (unsigned id = 0; id < 1000; id++)
		ask(id);
	wait_for(&seen.calls, 1);
	assert_int_equal(seen.answer_count, 0);
	assert_int_equal(stats().waiting, 1000);
	hold(false);
	wait_for(&seen.answer_count, 1000);
	for (unsigned id = 0; id < 1000; id++)
		assert_answer(id, AGONES_ALLOCATED, 1);
	for (unsigned id = 1000; id < 2000; id++) {
		ask(id);
		assert_answer(id, AGONES_ALLOCATED, 1);
	}
	assert_int_equal(seen.calls, 1);
	assert_int_equal(stats().shared, 999);
	assert_int_equal(stats().remembered, 1000);
	assert_int_equal(stats().answers[AGONES_ALLOCATED], 2000);
	assert_int_equal(stats().waiting, 0);
	assert_int_equal(stats().keys, 1);
}

static void same_id_gets_one_answer(void **unused)
{
	(void)unused;
	start(NULL);
	hold(true);
	for (unsigned i = 0; i < 100; i++)
		ask(7);
	ask(8);
	assert_int_equal(stats().waiting, 2);
	hold(false);
	wait_for(&seen.answer_count, 2);
	allocation_free(allocation); /* nothing more can come */
	allocation = NULL;
	assert_answer(7, AGONES_ALLOCATED, 1);
	assert_answer(8, AGONES_ALLOCATED, 1);
	assert_int_equal(seen.answer_count, 2);
}

static void what_differs_is_not_shared(void **unused)
{
	struct config_address other = client;

	(void)unused;
	start(NULL);
	hold(true);
	ask(0);
	ask_from(1, 5001);
	allocation_ask(allocation, 2, &client, "b.test", "fleet-a");
	allocation_ask(allocation, 3, &client, "a.test", "fleet-b");
	other.addr.bytes[15]++;
	allocation_ask(allocation, 4, &other, "a.test", "fleet-a");
	wait_for(&seen.calls, 5);
	hold(false);
	wait_for(&seen.answer_count, 5);
	assert_int_equal(stats().keys, 5);
	assert_int_equal(stats().shared, 0);
	for (unsigned id = 0; id < 5; id++)
		assert_int_equal(seen.answers[id], 1);
}

static void server_is_known_for_ten_seconds(void **unused)
{
	(void)unused;
	start(NULL);
	ask(0);
	wait_for(&seen.answer_count, 1);
	pass(10 * S_NS - 1);
	ask(1);
	assert_answer(1, AGONES_ALLOCATED, 1);
	pass(1);
	ask(2);
	wait_for(&seen.answer_count, 3);
	assert_answer(2, AGONES_ALLOCATED, 2);
	assert_int_equal(stats().keys, 1);
}

static void failure_is_known_for_a_second(void **unused)
{
	(void)unused;
	start(NULL);
	seen.verdict = AGONES_NONE_FREE;
	ask(0);
	wait_for(&seen.answer_count, 1);
	assert_answer(0, AGONES_NONE_FREE, 0);
	pass(S_NS - 1);
	ask(1);
	assert_answer(1, AGONES_NONE_FREE, 0);
	seen.verdict = AGONES_ALLOCATED;
	pass(1);
	ask(2);
	wait_for(&seen.answer_count, 3);
	assert_answer(2, AGONES_ALLOCATED, 2);
}

/* --- rates ---------------------------------------------------------------------------------------- */

static void one_client_has_its_rate(void **unused)
{
	unsigned limited = 0;

	(void)unused;
	config.max_allocations_per_s_per_client = 5;
	start(NULL);
	for (unsigned id = 0; id < 100; id++) /* each from another port, so nothing is shared */
		ask_from(id, (uint16_t)(1000 + id));
	wait_for(&seen.answer_count, 100);
	for (unsigned id = 0; id < 100; id++)
		limited += seen.verdicts[id] == AGONES_LIMITED;
	assert_int_equal(limited, 95);
	assert_int_equal(seen.calls, 5);
	assert_int_equal(stats().limited_client, 95);
	assert_int_equal(stats().answers[AGONES_LIMITED], 95);
	pass(S_NS / 5); /* one more each fifth of a second */
	ask_from(100, 3000);
	ask_from(101, 3001);
	wait_for(&seen.answer_count, 102);
	assert_int_equal(seen.verdicts[100], AGONES_ALLOCATED);
	assert_int_equal(seen.verdicts[101], AGONES_LIMITED);
}

static void ipv6_site_is_one_client(void **unused)
{
	struct config_address other = { .addr = { .bytes = { 0x20, 0x01, 0x0d, 0xb8 } }, .port = 5000 };

	(void)unused;
	config.max_allocations_per_s_per_client = 1;
	start(NULL);
	for (uint8_t id = 0; id < 10; id++) {
		other.addr.bytes[15] = id + 1;
		allocation_ask(allocation, id, &other, "a.test", "fleet-a");
	}
	other.addr.bytes[7] = 1; /* another /64 */
	allocation_ask(allocation, 10, &other, "a.test", "fleet-a");
	wait_for(&seen.answer_count, 11);
	assert_int_equal(seen.calls, 2);
	assert_int_equal(seen.verdicts[10], AGONES_ALLOCATED);
	assert_int_equal(stats().limited_client, 9);
}

static void flood_from_everywhere_has_the_overall_rate(void **unused)
{
	struct agones_server server;
	char error[AGONES_ERROR_BYTES];
	struct config_address other = client;

	(void)unused;
	config.max_allocations_per_s = 100;
	config.max_allocations_per_s_per_client = 5;
	start(NULL);
	for (unsigned id = 0; id < 1000; id++) {
		other.addr.words_be[3] = htobe32(0x0b000000 + id);
		allocation_ask(allocation, id, &other, "a.test", "fleet-a");
	}
	wait_for(&seen.answer_count, 1000);
	assert_int_equal(seen.calls, 100);
	assert_int_equal(stats().limited_overall, 900);
	assert_int_equal(allocation_allocate(allocation, "fleet-a", &server, error), AGONES_LIMITED);
	assert_string_equal(error, "more than agones.max_allocations_per_s");
	pass(S_NS / 100);
	assert_int_equal(allocation_allocate(allocation, "fleet-a", &server, error), AGONES_ALLOCATED);
	assert_int_equal(server.address.port, 101);
	assert_int_equal(allocation_allocate(allocation, "fleet-a", &server, error), AGONES_LIMITED);
	assert_int_equal(stats().limited_overall, 902);
}

/* A client over its own rate takes nothing from the rate of all. */
static void one_client_does_not_use_up_the_overall_rate(void **unused)
{
	struct config_address other = client;

	(void)unused;
	config.max_allocations_per_s = 10;
	config.max_allocations_per_s_per_client = 5;
	start(NULL);
	for (unsigned id = 0; id < 100; id++)
		ask_from(id, (uint16_t)(1000 + id));
	other.addr.bytes[15]++;
	for (unsigned id = 100; id < 105; id++) {
		other.port++;
		allocation_ask(allocation, id, &other, "a.test", "fleet-a");
	}
	wait_for(&seen.answer_count, 105);
	for (unsigned id = 100; id < 105; id++)
		assert_int_equal(seen.verdicts[id], AGONES_ALLOCATED);
}

/* --- bounds --------------------------------------------------------------------------------------- */

static void full_is_limited_at_once(void **unused)
{
	static const struct {
		const char *name;
		struct allocation_options options;
		unsigned waiting; /* of 20 questions, each from another port */
	} rows[] = {
		{ "keys", { .keys_max = 4 }, 4 },
		{ "ids that wait", { .waiting_max = 6 }, 6 },
		{ "keys that wait for a worker", { .queue_max = 3, .workers = 1 }, 4 }, /* one is being asked for */
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		set_up(NULL);
		start(&rows[i].options);
		hold(true);
		ask_from(0, 1000);
		wait_for(&seen.inside, 1);
		for (unsigned id = 1; id < 20; id++)
			ask_from(id, (uint16_t)(1000 + id));
		if (seen.answer_count != 20 - rows[i].waiting || stats().limited_full != 20 - rows[i].waiting ||
		    stats().waiting != rows[i].waiting || seen.verdicts[19] != AGONES_LIMITED)
			fail_msg("%s: %u answers", rows[i].name, seen.answer_count);
		hold(false);
		wait_for(&seen.answer_count, 20);
		assert_int_equal(seen.calls, rows[i].waiting);
		tear_down(NULL);
	}
}

static void room_comes_back(void **unused)
{
	static const struct allocation_options options = { .keys_max = 4 };

	(void)unused;
	start(&options);
	for (unsigned id = 0; id < 5; id++)
		ask_from(id, (uint16_t)(1000 + id));
	wait_for(&seen.answer_count, 5);
	assert_int_equal(seen.verdicts[4], AGONES_LIMITED);
	pass(10 * S_NS);
	ask_from(5, 2000);
	wait_for(&seen.answer_count, 6);
	assert_int_equal(seen.verdicts[5], AGONES_ALLOCATED);
	assert_int_equal(stats().keys, 1);
}

static void question_that_waited_too_long_is_not_asked(void **unused)
{
	static const struct allocation_options options = { .workers = 1 };

	(void)unused;
	start(&options);
	hold(true);
	ask_from(0, 1000);
	wait_for(&seen.inside, 1);
	ask_from(1, 1001);
	pass(S_NS);
	ask_from(2, 1002);
	pass(S_NS + 1); /* the second has waited for more than half of timeout_ms, the third has not */
	hold(false);
	wait_for(&seen.answer_count, 3);
	assert_answer(0, AGONES_ALLOCATED, 1);
	assert_answer(1, AGONES_LIMITED, 0);
	assert_answer(2, AGONES_ALLOCATED, 2);
	assert_int_equal(stats().limited_late, 1);
}

static void one_fleet_leaves_workers_to_others(void **unused)
{
	static const struct allocation_options options = { .workers = 8 };

	(void)unused;
	start(&options);
	hold(true);
	for (unsigned id = 0; id < 20; id++)
		ask_from(id, (uint16_t)(1000 + id));
	wait_for(&seen.fleet_inside[0], 6);
	allocation_ask(allocation, 20, &client, "b.test", "fleet-b");
	allocation_ask(allocation, 21, &client, "c.test", "fleet-c");
	wait_for(&seen.fleet_inside[1], 1);
	wait_for(&seen.fleet_inside[2], 1);
	assert_int_equal(seen.fleet_inside[0], 6);
	assert_int_equal(stats().queued, 14);
	hold(false);
	wait_for(&seen.answer_count, 22);
	assert_int_equal(seen.calls, 22);
}

static void ends_with_questions_waiting(void **unused)
{
	static const struct allocation_options options = { .workers = 1 };

	(void)unused;
	start(&options);
	hold(true);
	ask_from(0, 1000);
	ask_from(1, 1001);
	wait_for(&seen.inside, 1);
	tear_down(NULL); /* leaks are AddressSanitizer's to find */
	assert_in_range(seen.answer_count, 1, 2);
}

/* --- threads -------------------------------------------------------------------------------------- */

static void *ask_many(void *first)
{
	for (unsigned i = 0; i < 1000; i++)
		ask_from(*(unsigned *)first + i, (uint16_t)(1000 + i % 50));
	return NULL;
}

static void any_thread_may_ask(void **unused)
{
	unsigned first[] = { 0, 1000, 2000, 3000 };
	pthread_t threads[4];

	(void)unused;
	start(NULL);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, ask_many, &first[i]), 0);
	for (unsigned i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	wait_for(&seen.answer_count, 4000);
	for (unsigned id = 0; id < 4000; id++)
		assert_int_equal(seen.answers[id], 1);
	assert_int_equal(seen.calls, 50);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(thousand_questions_of_one_client_make_one_allocation),
		TEST(same_id_gets_one_answer),
		TEST(what_differs_is_not_shared),
		TEST(server_is_known_for_ten_seconds),
		TEST(failure_is_known_for_a_second),
		TEST(one_client_has_its_rate),
		TEST(ipv6_site_is_one_client),
		TEST(flood_from_everywhere_has_the_overall_rate),
		TEST(one_client_does_not_use_up_the_overall_rate),
		TEST(full_is_limited_at_once),
		TEST(room_comes_back),
		TEST(question_that_waited_too_long_is_not_asked),
		TEST(one_fleet_leaves_workers_to_others),
		TEST(ends_with_questions_waiting),
		TEST(any_thread_may_ask),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
