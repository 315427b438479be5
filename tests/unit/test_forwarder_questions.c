/* SPDX-License-Identifier: MIT */
/* Unit tests of first flights whose backend the control process is asked for, and of routes with several backends or none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lib/forwarder_bench.h"

#define CLIENT "192.0.2.7"
#define DCID "a0a1a2a3a4a5a6a7"
#define HALF_SECOND_NS 500000000ull

static void route_ask(struct bench *bench, const char *fqdn)
{
	assert_int_equal(route_set(&bench->routes, fqdn, &(struct route_plan){ .ask = true }), 0);
}

static struct bench *open_with_fleet(void)
{
	struct bench *bench = bench_open(64);

	route_ask(bench, "*.fleet.test");
	return bench;
}

/* A first flight of one datagram; its length. */
static size_t send_initial(struct bench *bench, const char *sni, const char *dcid)
{
	uint8_t datagram[1500];
	size_t len = initial(datagram, sni, dcid);

	from(bench, CLIENT, CLIENT_PORT, datagram, len);
	return len;
}

/* The only question that was asked since the last time. */
static uint64_t asked(struct bench *bench)
{
	struct question *question = ring_front(&bench->questions);
	struct addr client = plain_addr(CLIENT);
	uint64_t id;

	assert_non_null(question);
	assert_string_equal(question->route, "*.fleet.test");
	assert_true(addr_equal(&question->client, &client));
	id = question->id;
	ring_pop(&bench->questions);
	assert_null(ring_front(&bench->questions));
	return id;
}

static void answer(struct bench *bench, uint64_t id, uint32_t backend)
{
	forwarder_answer(&bench->f, id, backend);
	collect(bench);
}

static void pass_time(struct bench *bench, uint64_t ns)
{
	bench->f.now_ns += ns;
	forwarder_housekeeping(&bench->f, 0);
	collect(bench);
}

static void flight_waits_for_its_answer(void **unused)
{
	struct bench *bench = open_with_fleet();
	uint8_t early[1500];
	uint64_t id;

	(void)unused;
	send_initial(bench, "g1.fleet.test", DCID);
	assert_int_equal(bench->outputs, 0);
	id = asked(bench);
	/* Repeated, and followed by 0-RTT: no further question; all of it arrives, in order. */
	send_initial(bench, "g1.fleet.test", DCID);
	from(bench, CLIENT, CLIENT_PORT, early, opaque(early, QUIC_0RTT, DCID, "c1", 600));
	assert_null(ring_front(&bench->questions));
	answer(bench, id, B);
	assert_int_equal(bench->outputs, 3);
	assert_int_equal(bench->out[0].packet.payload_len_bytes, 1200);
	assert_int_equal(bench->out[2].packet.payload_len_bytes, 600);
	assert_int_equal(bench->out[0].packet.dst_port_be, bench->state.backends[B].port_be);
	assert_int_equal(bench->f.flights.used, 0);
	/* The connection goes on there. */
	send_initial(bench, "g1.fleet.test", DCID);
	assert_to_backend(bench, B);
	bench_close(bench);
}

static void question_is_asked_again(void **unused)
{
	struct bench *bench = open_with_fleet();
	uint64_t id;

	(void)unused;
	send_initial(bench, "g1.fleet.test", DCID);
	id = asked(bench);
	pass_time(bench, HALF_SECOND_NS);
	assert_null(ring_front(&bench->questions));
	pass_time(bench, HALF_SECOND_NS);
	assert_true(asked(bench) == id);
	answer(bench, id, A);
	assert_to_backend(bench, A);
	answer(bench, id, B); /* that of the second question */
	assert_int_equal(bench->outputs, 0);
	bench_close(bench);
}

static void no_server_ends_the_flight(void **unused)
{
	struct bench *bench = open_with_fleet();
	uint64_t id;

	(void)unused;
	send_initial(bench, "g1.fleet.test", DCID);
	answer(bench, asked(bench), SLOT_NONE);
	assert_dropped(bench, DROP_NOT_ALLOCATED, 1);
	assert_int_equal(bench->f.flights.used, 0);
	/* Nor does it wait for ever. */
	send_initial(bench, "g1.fleet.test", DCID);
	id = asked(bench);
	pass_time(bench, 6000000000ull);
	assert_dropped(bench, DROP_NOT_ALLOCATED, 2);
	assert_int_equal(bench->f.flights.used, 0);
	assert_int_equal(bench->f.flights.waiting, 0);
	answer(bench, id, A);
	assert_int_equal(bench->outputs, 0);
	bench_close(bench);
}

/* The slot of the flight is another's by the time the answer comes. */
static void late_answer_is_nobody_elses(void **unused)
{
	struct bench *bench = open_with_fleet();
	uint64_t id;

	(void)unused;
	send_initial(bench, "g1.fleet.test", DCID);
	id = asked(bench);
	answer(bench, id, SLOT_NONE);
	send_initial(bench, "g1.fleet.test", "b0b1b2b3b4b5b6b7");
	assert_true(asked(bench) != id);
	answer(bench, id, A);
	answer(bench, id | 1ull << 56, A);
	answer(bench, ~0ull, A);
	assert_int_equal(bench->outputs, 0);
	assert_int_equal(bench->f.flights.used, 1);
	bench_close(bench);
}

static void route_may_change_meanwhile(void **unused)
{
	struct bench *bench = open_with_fleet();

	(void)unused;
	send_initial(bench, "g1.fleet.test", DCID);
	asked(bench);
	bench_route(bench, "g1.fleet.test", 1, (const uint32_t[]){ A });
	pass_time(bench, HALF_SECOND_NS + 1);
	assert_to_backend(bench, A);

	send_initial(bench, "g2.fleet.test", "b0b1b2b3b4b5b6b7");
	asked(bench);
	assert_int_equal(route_remove(&bench->routes, "*.fleet.test"), 0);
	pass_time(bench, HALF_SECOND_NS + 1);
	assert_dropped(bench, DROP_NO_ROUTE, 1);
	assert_int_equal(bench->f.flights.waiting, 0);
	bench_close(bench);
}

static void answer_may_wait_for_the_next_hop(void **unused)
{
	struct bench *bench = open_with_fleet();

	(void)unused;
	bench->nexthop = NEXTHOP_WANTED;
	send_initial(bench, "g1.fleet.test", DCID);
	answer(bench, asked(bench), A);
	assert_int_equal(bench->outputs, 0);
	assert_int_equal(bench->f.flights.waiting, 1);
	bench->nexthop = NEXTHOP_FOUND;
	pass_time(bench, 1);
	assert_to_backend(bench, A);
	assert_int_equal(bench->f.flights.waiting, 0);
	bench_close(bench);
}

/* Twenty clients of two servers of equal weight: both get some, and each client's next connection goes where its first went. */
static void client_keeps_its_choice(void **unused)
{
	struct bench *bench = bench_open(256);
	unsigned to_a = 0;

	(void)unused;
	bench_route(bench, "two.test", 2, (const uint32_t[]){ A, B });
	for (unsigned i = 0; i < 20; i++) {
		char dcid[17];
		uint8_t datagram[1500];
		__be16 first;

		for (unsigned again = 0; again < 2; again++) {
			snprintf(dcid, sizeof(dcid), "c0c1c2c3c4c5%02x%02x", i, again);
			from(bench, CLIENT, (uint16_t)(CLIENT_PORT + i), datagram, initial(datagram, "two.test", dcid));
			assert_int_equal(bench->outputs, 1);
			if (again)
				assert_int_equal(bench->out[0].packet.dst_port_be, first);
			first = bench->out[0].packet.dst_port_be;
		}
		to_a += first == bench->state.backends[A].port_be;
	}
	assert_in_range(to_a, 1, 19);
	bench_close(bench);
}

static void route_without_backend_drops(void **unused)
{
	struct bench *bench = bench_open(64);

	(void)unused;
	bench_route(bench, "none.test", 0, NULL);
	send_initial(bench, "none.test", DCID);
	assert_dropped(bench, DROP_NO_BACKEND, 1);
	bench_close(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flight_waits_for_its_answer),
		cmocka_unit_test(question_is_asked_again),
		cmocka_unit_test(no_server_ends_the_flight),
		cmocka_unit_test(late_answer_is_nobody_elses),
		cmocka_unit_test(route_may_change_meanwhile),
		cmocka_unit_test(answer_may_wait_for_the_next_hop),
		cmocka_unit_test(client_keeps_its_choice),
		cmocka_unit_test(route_without_backend_drops),
	};

	return cmocka_run_group_tests_name("forwarder_questions", tests, bench_thread_begin, bench_thread_end);
}
