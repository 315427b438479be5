/* SPDX-License-Identifier: MIT */
/*
 * Unit tests of health and drain: who is dead and when, by a clock and a
 * network of our own, and which servers a route is left with.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bpf/table.h"
#include "control/clock.h"
#include "control/config.h"
#include "control/servers.h"
#include "userspace/log.h"

/* What was sent last, and how sending ends. */
static struct {
	unsigned count;
	int error;
	uint8_t last[PROBE_BYTES];
} sent;

static int fake_send(void *context, const struct addr *address, __be16 port_be, const uint8_t probe[static PROBE_BYTES])
{
	(void)context;
	(void)address;
	(void)port_be;
	sent.count++;
	memcpy(sent.last, probe, PROBE_BYTES);
	return -sent.error;
}

static struct protocol_target target_of(const char *text)
{
	struct config_address address;

	assert_int_equal(config_address_parse(text, &address), 0);
	return (struct protocol_target){ .address = address.addr, .port_be = htons(address.port), .weight = 1 };
}

static struct protocol_route route_of(const char *first, const char *second)
{
	struct protocol_route route = { .count = second ? 2 : 1 };

	route.targets[0] = target_of(first);
	if (second)
		route.targets[1] = target_of(second);
	return route;
}

static void watch(struct servers *servers, const struct route_health *health, const struct protocol_route *route)
{
	servers_watch_begin(servers);
	if (route)
		servers_watch(servers, health, route, 0);
	servers_watch_end(servers, 0);
}

static const struct route_health usual = { .interval_s = 5, .timeout_s = 1, .rise = 2, .fall = 3 };

static struct addr one_addr;
static __be16 one_port_be;

/* A world with one server, 10.0.0.1:5; *now_ns: its first probe is due. */
static struct servers *one_server(uint64_t *now_ns)
{
	struct servers *servers = servers_new();
	struct protocol_route route = route_of("10.0.0.1:5", NULL);

	assert_non_null(servers);
	one_addr = route.targets[0].address;
	one_port_be = route.targets[0].port_be;
	memset(&sent, 0, sizeof(sent));
	watch(servers, &usual, &route);
	*now_ns = 5 * S_NS;
	return servers;
}

static bool one_is_up(struct servers *servers)
{
	struct servers_status status;

	assert_true(servers_status(servers, &one_addr, one_port_be, &status));
	assert_true(status.watched);
	return status.up;
}

/* Sends the next probe: returns when it was. */
static void probe_next(struct servers *servers, uint64_t *now_ns)
{
	unsigned before = sent.count;

	while (sent.count == before) {
		uint64_t next_ns = servers_step(servers, *now_ns, fake_send, NULL);

		if (sent.count == before) {
			assert_true(next_ns > *now_ns);
			*now_ns = next_ns;
		}
	}
}

/* The answer to the last probe; dcid_flip makes it a wrong one. */
static void answer(struct servers *servers, const struct addr *address, uint8_t dcid_flip)
{
	uint8_t bytes[PROBE_HEAD_BYTES + 4] = { 0x80, [5] = 8, [14] = 8, [26] = 1 };

	memcpy(bytes + 6, sent.last + 15, 8);
	memcpy(bytes + 15, sent.last + 6, 8);
	bytes[6] ^= dcid_flip;
	servers_answer(servers, address, one_port_be, bytes, sizeof(bytes));
}

static void three_failures_make_it_dead_and_two_answers_alive(void **unused)
{
	uint64_t now_ns, begin_ns;
	struct servers *servers = one_server(&now_ns);
	struct servers_stats stats;

	(void)unused;
	assert_true(one_is_up(servers)); /* before it was ever asked */
	probe_next(servers, &now_ns);
	begin_ns = now_ns;
	probe_next(servers, &now_ns);
	assert_in_range(now_ns - begin_ns, 4500 * MS_NS, 5000 * MS_NS);
	probe_next(servers, &now_ns);
	assert_true(one_is_up(servers)); /* two failures; the third probe is under way */
	servers_step(servers, now_ns + S_NS - 1, fake_send, NULL);
	assert_true(one_is_up(servers));
	assert_false(servers_tell_begin(servers));
	servers_step(servers, now_ns + S_NS, fake_send, NULL);
	assert_false(one_is_up(servers));
	assert_true(now_ns + S_NS - begin_ns <= 3 * 5 * S_NS);
	assert_true(servers_tell_begin(servers));
	servers_tell_end(servers);

	probe_next(servers, &now_ns);
	answer(servers, &one_addr, 0);
	assert_false(one_is_up(servers));
	probe_next(servers, &now_ns);
	probe_next(servers, &now_ns); /* the one before had no answer: counted anew */
	answer(servers, &one_addr, 0);
	answer(servers, &one_addr, 0); /* said twice is said once */
	assert_false(one_is_up(servers));
	probe_next(servers, &now_ns);
	answer(servers, &one_addr, 0);
	assert_true(one_is_up(servers));
	assert_true(servers_tell_begin(servers));
	servers_tell_end(servers);
	servers_stats(servers, &stats);
	assert_int_equal(stats.probes, sent.count);
	assert_int_equal(stats.failures, 4);
	servers_free(servers);
}

static void failures_must_be_in_a_row(void **unused)
{
	uint64_t now_ns;
	struct servers *servers = one_server(&now_ns);

	(void)unused;
	for (int i = 0; i < 9; i++) {
		probe_next(servers, &now_ns);
		if (i % 3 == 2)
			answer(servers, &one_addr, 0);
	}
	assert_true(one_is_up(servers));
	servers_free(servers);
}

static void only_its_own_answers_help(void **unused)
{
	const struct addr other = target_of("10.0.0.2:5").address;
	uint64_t now_ns;
	struct servers *servers = one_server(&now_ns);

	(void)unused;
	for (int i = 0; i < 3; i++) {
		probe_next(servers, &now_ns);
		answer(servers, &one_addr, 1);
		answer(servers, &other, 0);
		servers_answer(servers, &one_addr, one_port_be, sent.last, sizeof(sent.last));
		servers_step(servers, now_ns + S_NS, fake_send, NULL);
		answer(servers, &one_addr, 0); /* too late */
	}
	assert_false(one_is_up(servers));
	servers_free(servers);
}

static void refusals_count_at_once(void **unused)
{
	uint64_t now_ns;
	struct servers *servers = one_server(&now_ns);

	(void)unused;
	for (int i = 0; i < 3; i++) {
		assert_true(one_is_up(servers));
		probe_next(servers, &now_ns);
		servers_refused(servers, &one_addr, one_port_be, sent.last, 28);
		servers_refused(servers, &one_addr, one_port_be, sent.last, 28);
	}
	assert_false(one_is_up(servers));
	servers_free(servers);
}

/* Forged: who sends it has not seen the probe. */
static void refusals_that_quote_nothing_do_not_count(void **unused)
{
	static const uint8_t zeros[PROBE_BYTES];
	uint64_t now_ns;
	struct servers *servers = one_server(&now_ns);
	struct servers_stats stats;

	(void)unused;
	for (int i = 0; i < 3; i++) {
		probe_next(servers, &now_ns);
		servers_refused(servers, &one_addr, one_port_be, sent.last, 13);
		servers_refused(servers, &one_addr, one_port_be, zeros, sizeof(zeros));
		answer(servers, &one_addr, 0);
	}
	servers_stats(servers, &stats);
	assert_int_equal(stats.failures, 0);
	servers_free(servers);
}

static void errors_of_sending_are_told_apart(void **unused)
{
	uint64_t now_ns;
	struct servers *servers = one_server(&now_ns);

	(void)unused;
	sent.error = ENOBUFS; /* ours */
	for (int i = 0; i < 9; i++)
		probe_next(servers, &now_ns);
	assert_true(one_is_up(servers));
	sent.error = ENETUNREACH; /* its */
	for (int i = 0; i < 3; i++)
		probe_next(servers, &now_ns);
	assert_false(one_is_up(servers));
	servers_free(servers);
}

static void strictest_numbers_hold_for_all_routes(void **unused)
{
	const struct route_health slow = { .interval_s = 60, .timeout_s = 1, .rise = 1, .fall = 1 };
	const struct route_health fast = { .interval_s = 2, .timeout_s = 2, .rise = 2, .fall = 3 };
	const struct protocol_route route = route_of("10.0.0.1:5", NULL);
	struct servers *servers = servers_new();
	uint64_t now_ns = 0, first_ns;

	(void)unused;
	memset(&sent, 0, sizeof(sent));
	servers_watch_begin(servers);
	servers_watch(servers, &slow, &route, 0);
	servers_watch(servers, &fast, &route, 0);
	servers_watch_end(servers, 0);
	probe_next(servers, &now_ns);
	assert_true(now_ns <= 2 * S_NS);
	first_ns = now_ns;
	servers_step(servers, now_ns + S_NS, fake_send, NULL); /* timeout 1, fall 1 */
	assert_false(one_is_up(servers));
	probe_next(servers, &now_ns);
	assert_in_range(now_ns - first_ns, 1800 * MS_NS, 2000 * MS_NS); /* once for both, not twice */
	answer(servers, &one_addr, 0);
	assert_false(one_is_up(servers)); /* rise 2 */
	servers_free(servers);
}

static void nobody_watches_what_no_route_names(void **unused)
{
	uint64_t now_ns;
	struct servers *servers = one_server(&now_ns);
	struct servers_status status, *list;

	(void)unused;
	for (int i = 0; i < 4; i++)
		probe_next(servers, &now_ns);
	assert_false(one_is_up(servers));
	assert_true(servers_tell_begin(servers));
	servers_tell_end(servers);
	watch(servers, NULL, NULL);
	assert_false(servers_status(servers, &one_addr, one_port_be, &status));
	assert_int_equal(servers_list(servers, &list), 0);
	free(list);
	assert_true(servers_step(servers, now_ns + 100 * S_NS, fake_send, NULL) == UINT64_MAX);
	servers_free(servers);
}

static void servers_beyond_the_bound_count_as_alive(void **unused)
{
	struct protocol_route route = { .count = 2 };
	struct servers *servers = servers_new();
	struct servers_stats stats;
	uint64_t now_ns;

	(void)unused;
	memset(&sent, 0, sizeof(sent));
	servers_watch_begin(servers);
	for (unsigned i = 0; i < SERVERS_WATCHED_MAX + 10; i += 2) {
		route.targets[0] = route.targets[1] = target_of("10.0.0.1:5");
		route.targets[0].port_be = htons((uint16_t)(i + 1));
		route.targets[1].port_be = htons((uint16_t)(i + 2));
		servers_watch(servers, &usual, &route, 0);
	}
	servers_watch_end(servers, 0);
	servers_stats(servers, &stats);
	assert_int_equal(stats.watched, SERVERS_WATCHED_MAX);
	assert_int_equal(stats.unwatched, 10);
	/* All of them due, as after a long pause: some at a time. */
	now_ns = 100 * S_NS;
	servers_step(servers, now_ns, fake_send, NULL);
	assert_int_equal(sent.count, SERVERS_PROBES_AT_ONCE);
	servers_choose(servers, "a", true, &route);
	assert_int_equal(route.count, 2);
	servers_free(servers);
}

/* First probes are not all at one time. */
static void probes_are_spread(void **unused)
{
	struct servers *servers = servers_new();
	struct protocol_route route = { .count = 1 };

	(void)unused;
	memset(&sent, 0, sizeof(sent));
	servers_watch_begin(servers);
	for (unsigned i = 1; i <= 200; i++) {
		route.targets[0] = target_of("10.0.0.1:5");
		route.targets[0].port_be = htons((uint16_t)i);
		servers_watch(servers, &usual, &route, 0);
	}
	servers_watch_end(servers, 0);
	for (uint64_t ms = 0; ms <= 2500; ms += 10)
		servers_step(servers, ms * MS_NS, fake_send, NULL);
	assert_in_range(sent.count, 50, 150); /* half; 5 standard deviations are 35 */
	servers_free(servers);
}

/* --- what a route is left with ----------------------------------------------------------------------- */

static void die(struct servers *servers, const char *text)
{
	const struct route_health strict = { .interval_s = 1, .timeout_s = 1, .rise = 1, .fall = 1 };
	const struct protocol_route route = route_of(text, NULL);

	watch(servers, &strict, &route);
	sent.error = ECONNREFUSED;
	servers_step(servers, 10 * S_NS, fake_send, NULL);
	sent.error = 0;
}

static void dead_servers_are_left_out(void **unused)
{
	struct servers *servers = servers_new();
	struct protocol_route two = route_of("10.0.0.1:5", "10.0.0.2:5"), without = two;

	(void)unused;
	die(servers, "10.0.0.1:5");
	assert_true(servers_tell_begin(servers));
	assert_true(servers_concern(servers, true, &two));
	assert_false(servers_concern(servers, false, &two)); /* its route did not ask for it */
	servers_tell_end(servers);
	servers_choose(servers, "without", false, &without);
	assert_int_equal(without.count, 2);
	servers_choose(servers, "two", true, &two);
	assert_int_equal(two.count, 1);
	assert_int_equal(two.targets[0].address.bytes[15], 2);
	servers_free(servers);
}

static void all_dead_are_all_used(void **unused)
{
	struct servers *servers = servers_new();
	struct protocol_route one = route_of("10.0.0.1:5", NULL), mixed = route_of("10.0.0.1:5", "[2001:db8::1]:5");
	struct servers_stats stats;

	(void)unused;
	die(servers, "10.0.0.1:5");
	servers_choose(servers, "one", true, &one);
	assert_int_equal(one.count, 1);
	servers_stats(servers, &stats);
	assert_int_equal(stats.fail_open, 1);
	servers_choose(servers, "mixed", true, &mixed); /* an IPv4 client cannot go to the other */
	assert_int_equal(mixed.count, 2);
	servers_free(servers);
}

static void draining_servers_are_left_out_of_every_route(void **unused)
{
	struct servers *servers = servers_new();
	struct protocol_route two = route_of("10.0.0.1:5", "10.0.0.2:5"), last = route_of("10.0.0.1:5", NULL);
	struct config_address address;
	struct servers_status status, *list;

	(void)unused;
	assert_int_equal(config_address_parse("10.0.0.1:5", &address), 0);
	assert_int_equal(servers_drain(servers, &address, false), -ENOENT);
	assert_int_equal(servers_drain(servers, &address, true), 0);
	assert_int_equal(servers_drain(servers, &address, true), 0); /* again: the same */
	assert_true(servers_status(servers, &address.addr, htons(5), &status));
	assert_true(status.draining && status.up && !status.watched);
	assert_true(servers_tell_begin(servers));
	assert_true(servers_concern(servers, false, &two));
	servers_tell_end(servers);
	assert_false(servers_tell_begin(servers));
	servers_choose(servers, "two", false, &two);
	assert_int_equal(two.count, 1);
	assert_int_equal(two.targets[0].address.bytes[15], 2);
	servers_choose(servers, "last", true, &last); /* it is what the operator asked for */
	assert_int_equal(last.count, 0);
	watch(servers, NULL, NULL); /* no pass forgets it */
	assert_int_equal(servers_list(servers, &list), 1);
	free(list);

	assert_int_equal(servers_drain(servers, &address, false), 0);
	assert_int_equal(servers_drain(servers, &address, false), -ENOENT);
	last = route_of("10.0.0.1:5", NULL);
	assert_true(servers_tell_begin(servers));
	assert_true(servers_concern(servers, false, &last));
	servers_tell_end(servers);
	servers_choose(servers, "last", false, &last);
	assert_int_equal(last.count, 1);
	servers_free(servers);
}

static void drains_are_bounded(void **unused)
{
	struct servers *servers = servers_new();
	struct config_address address;

	(void)unused;
	assert_int_equal(config_address_parse("10.0.0.1:5", &address), 0);
	for (unsigned i = 1; i <= SERVERS_DRAINING_MAX; i++) {
		address.port = (uint16_t)i;
		assert_int_equal(servers_drain(servers, &address, true), 0);
	}
	address.port = SERVERS_DRAINING_MAX + 1;
	assert_int_equal(servers_drain(servers, &address, true), -ENOSPC);
	address.port = 1;
	assert_int_equal(servers_drain(servers, &address, false), 0);
	address.port = SERVERS_DRAINING_MAX + 1;
	assert_int_equal(servers_drain(servers, &address, true), 0);
	servers_free(servers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(three_failures_make_it_dead_and_two_answers_alive),
		cmocka_unit_test(failures_must_be_in_a_row),
		cmocka_unit_test(only_its_own_answers_help),
		cmocka_unit_test(refusals_count_at_once),
		cmocka_unit_test(refusals_that_quote_nothing_do_not_count),
		cmocka_unit_test(errors_of_sending_are_told_apart),
		cmocka_unit_test(strictest_numbers_hold_for_all_routes),
		cmocka_unit_test(nobody_watches_what_no_route_names),
		cmocka_unit_test(servers_beyond_the_bound_count_as_alive),
		cmocka_unit_test(probes_are_spread),
		cmocka_unit_test(dead_servers_are_left_out),
		cmocka_unit_test(all_dead_are_all_used),
		cmocka_unit_test(draining_servers_are_left_out_of_every_route),
		cmocka_unit_test(drains_are_bounded),
	};

	log_setup(LOG_WARN, false); /* else a line for each drain */
	return cmocka_run_group_tests_name("health", tests, NULL, NULL);
}
