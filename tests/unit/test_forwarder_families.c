/* SPDX-License-Identifier: MIT */
/*
 * Unit tests of the forwarder between IP families: sessions of a client of one
 * and a backend of the other, clients that change their family on the way, and
 * answers to what the way out does not take.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lib/families_bench.h"

#define DCID "0001020304050607"

static void from_backend_any(struct bench *bench, uint32_t backend, uint16_t port, const void *payload, size_t len)
{
	if (backend == SIX)
		send_flow(bench, &(struct udp_flow){ .src = BACKEND6, .src_port = 7003, .dst = RELAY6, .dst_port = port },
			  payload, len);
	else
		from_server(bench, backend, port, payload, len);
}

/* One datagram there; the relay port that it came from. */
static uint16_t there(struct bench *bench, const char *client, uint32_t backend, const void *payload, size_t len)
{
	from_any(bench, client, payload, len);
	assert_sent(bench, backend == SIX ? RELAY6 : RELAY, 0, backend == SIX ? BACKEND6 : "10.0.0.5",
		    backend == SIX ? 7003 : 7001, payload, len);
	return relay_port(bench);
}

static void back(struct bench *bench, const char *client, uint32_t backend, uint16_t port, const void *payload,
		 size_t len)
{
	from_backend_any(bench, backend, port, payload, len);
	assert_sent(bench, is_v6(client) ? LISTENER6 : LISTENER, 443, client, CLIENT_PORT, payload, len);
	assert_int_equal(bench->out[0].interface, 0);
}

/* A confirmed session; its relay port. */
static uint16_t connect_any(struct bench *bench, const char *client, uint32_t backend)
{
	uint8_t datagram[1500];
	uint16_t port;

	port = there(bench, client, backend, datagram, initial(datagram, backend == SIX ? "six.test" : "a.test", DCID));
	back(bench, client, backend, port, datagram, opaque(datagram, QUIC_INITIAL, "", SERVER_CID, 1200));
	there(bench, client, backend, datagram, opaque(datagram, QUIC_HANDSHAKE, SERVER_CID, "", 100));
	return port;
}

static void a_session_between_the_families(void **unused)
{
	static const struct {
		const char *client;
		uint32_t backend;
	} rows[] = { { CLIENT4, SIX }, { CLIENT6, A } };

	(void)unused;
	for (size_t i = 0; i < 2; i++) {
		struct bench *bench = families_open();
		uint8_t datagram[1500];
		uint16_t port = connect_any(bench, rows[i].client, rows[i].backend);

		assert_int_equal(there(bench, rows[i].client, rows[i].backend, datagram,
				       short_header(datagram, SERVER_CID, 1201)), port);
		back(bench, rows[i].client, rows[i].backend, port, datagram, short_header(datagram, "", 701));
		assert_int_equal(bench->f.counters->events[EVENT_SESSION_CONFIRMED], 1);
		bench_close(bench);
	}
}

/* What was held goes on in the other family too: frames from a flight have room in front. */
static void held_flight_goes_on_in_the_other_family(void **unused)
{
	struct bench *bench = families_open();
	uint8_t halves[2][1500];
	size_t len[2];

	(void)unused;
	initial_halves(halves, len, "six.test", DCID);
	from_any(bench, CLIENT4, halves[0], len[0]);
	assert_int_equal(bench->outputs, 0);
	from_any(bench, CLIENT4, halves[1], len[1]);
	assert_int_equal(bench->outputs, 2);
	for (unsigned i = 0; i < 2; i++) {
		assert_false(bench->out[i].packet.v4);
		assert_memory_equal(packet_payload(&bench->out[i].packet), halves[i], len[i]);
	}
	bench_close(bench);
}

/* A target of the client's own family goes first; one of the other is better than none. */
static void own_family_is_preferred(void **unused)
{
	struct bench *bench = families_open();
	uint8_t datagram[1500];

	(void)unused;
	bench_route(bench, "both.test", 2, (const uint32_t[]){ A, SIX });
	there(bench, CLIENT4, A, datagram, initial(datagram, "both.test", DCID));
	there(bench, CLIENT6, SIX, datagram, initial(datagram, "both.test", "1011121314151617"));
	bench_close(bench);
}

/* A client goes from one family to the other and back within a connection: a path each, one backend. */
static void client_changes_its_family_and_back(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < 4; i++) {
		const char *first = i % 2 ? CLIENT6 : CLIENT4, *second = i % 2 ? CLIENT4 : CLIENT6;
		uint32_t backend = i / 2 ? SIX : A;
		struct bench *bench = families_open();
		uint8_t datagram[1500];
		size_t len = short_header(datagram, SERVER_CID, 100);
		uint16_t home = connect_any(bench, first, backend), away;

		away = there(bench, second, backend, datagram, len);
		assert_int_not_equal(away, home);
		assert_int_equal(bench->f.counters->events[EVENT_PATH_MIGRATED], 1);
		assert_int_equal(bench->f.sessions.live, 1);
		/* The backend validates the new path, on it. */
		back(bench, second, backend, away, datagram, len);
		assert_int_equal(there(bench, second, backend, datagram, len), away);
		assert_int_equal(there(bench, first, backend, datagram, len), home);
		back(bench, first, backend, home, datagram, len);
		back(bench, second, backend, away, datagram, len);
		assert_int_equal(bench->f.counters->events[EVENT_PATH_MIGRATED], 1);
		bench_close(bench);
	}
}

/* --- what does not fit ----------------------------------------------------------------------------- */

/* The largest payload that fits goes on, one byte more is answered; in each combination, both directions. */
static void too_big_is_answered_to_its_sender(void **unused)
{
	static const struct {
		const char *client;
		uint32_t backend;
		size_t fits_there, fits_back;  /* bytes of UDP payload through an MTU of 1,400 */
		unsigned told_client, told_backend;
	} rows[] = {
		{ CLIENT4, A, 1372, 1372, 1400, 1400 },
		{ CLIENT6, SIX, 1352, 1352, 1400, 1400 },
		{ CLIENT4, SIX, 1352, 1372, 1380, 1420 },
		{ CLIENT6, A, 1372, 1352, 1420, 1380 },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *client = rows[i].client;
		struct bench *bench = families_open();
		uint8_t datagram[1500];
		uint16_t port = connect_any(bench, client, rows[i].backend);

		short_header(datagram, SERVER_CID, sizeof(datagram));
		plain_nexthop(&bench->state, TO_BACKENDS, 1, 1400);
		there(bench, client, rows[i].backend, datagram, rows[i].fits_there);
		from_any(bench, client, datagram, rows[i].fits_there + 1);
		assert_too_big(bench, is_v6(client) ? LISTENER6 : LISTENER, client, 0, rows[i].told_client);

		plain_nexthop(&bench->state, TO_BACKENDS, 1, 1500);
		plain_nexthop(&bench->state, TO_CLIENTS, 0, 1400);
		back(bench, client, rows[i].backend, port, datagram, rows[i].fits_back);
		from_backend_any(bench, rows[i].backend, port, datagram, rows[i].fits_back + 1);
		assert_too_big(bench, rows[i].backend == SIX ? RELAY6 : RELAY,
			       rows[i].backend == SIX ? BACKEND6 : "10.0.0.5", 1, rows[i].told_backend);
		assert_int_equal(bench->f.counters->drops[DROP_EGRESS_MTU], 2);
		assert_int_equal(bench->f.counters->events[EVENT_TOO_BIG_SENT], 2);
		bench_close(bench);
	}
}

static void answers_are_limited_and_counted(void **unused)
{
	struct bench *bench = families_open();
	uint8_t datagram[1500];

	(void)unused;
	connect_any(bench, CLIENT4, SIX);
	short_header(datagram, SERVER_CID, sizeof(datagram));
	plain_nexthop(&bench->state, TO_BACKENDS, 1, 1300);
	for (unsigned i = 0; i < 30; i++) {
		from_any(bench, CLIENT4, datagram, 1400);
		assert_int_equal(bench->outputs, i < ICMP_PER_S_PER_SOURCE);
	}
	assert_int_equal(bench->f.counters->drops[DROP_EGRESS_MTU], 30);
	assert_int_equal(bench->f.counters->events[EVENT_TOO_BIG_SENT], ICMP_PER_S_PER_SOURCE);
	assert_int_equal(bench->f.counters->events[EVENT_TOO_BIG_LIMITED], 30 - ICMP_PER_S_PER_SOURCE);
	bench->f.now_ns += 1000000000;
	from_any(bench, CLIENT4, datagram, 1400);
	assert_too_big(bench, LISTENER, CLIENT4, 0, 1280);
	bench_close(bench);
}

static void nobody_else_is_answered(void **unused)
{
	struct bench *bench = families_open();
	uint8_t datagram[1500];

	(void)unused;
	connect_any(bench, CLIENT4, SIX);
	plain_nexthop(&bench->state, TO_BACKENDS, 1, 1300);
	short_header(datagram, "ffffffffffffffff", sizeof(datagram));
	from_any(bench, "192.0.2.99", datagram, 1400);
	assert_dropped(bench, DROP_UNKNOWN_CID, 1);
	from_server(bench, B, 20001, datagram, 1400);
	assert_dropped(bench, DROP_UNKNOWN_RELAY_PORT, 1);
	/* Below what QUIC needs there is nothing to tell. */
	short_header(datagram, SERVER_CID, sizeof(datagram));
	plain_nexthop(&bench->state, TO_BACKENDS, 1, 1000);
	from_any(bench, CLIENT4, datagram, 1200);
	assert_dropped(bench, DROP_EGRESS_MTU, 1);
	/* The way back is not known any more. */
	bench->state.nexthops[TO_CLIENTS].flags = 0;
	from_any(bench, CLIENT4, datagram, 1400);
	assert_dropped(bench, DROP_EGRESS_MTU, 2);
	assert_int_equal(bench->f.counters->events[EVENT_TOO_BIG_SENT], 0);
	bench_close(bench);
}

/* A listener's slot that another took: the way to the client begins in the wrong family. */
static void way_of_two_families_is_dropped(void **unused)
{
	struct bench *bench = families_open();
	uint8_t datagram[1500];
	uint16_t port = connect_any(bench, CLIENT4, A);
	struct addr listener = plain_addr(LISTENER);
	struct endpoint endpoint;
	uint32_t slot;

	(void)unused;
	assert_true(endpoint_find(&bench->state, &listener, htons(443), &slot, &endpoint));
	((struct endpoint *)table_at(&bench->state.endpoints, slot))->address = plain_addr(LISTENER6);
	from_server(bench, A, port, datagram, short_header(datagram, "", 100));
	assert_dropped(bench, DROP_FAMILY_MISMATCH, 1);
	bench_close(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_session_between_the_families),
		cmocka_unit_test(held_flight_goes_on_in_the_other_family),
		cmocka_unit_test(own_family_is_preferred),
		cmocka_unit_test(client_changes_its_family_and_back),
		cmocka_unit_test(too_big_is_answered_to_its_sender),
		cmocka_unit_test(answers_are_limited_and_counted),
		cmocka_unit_test(nobody_else_is_answered),
		cmocka_unit_test(way_of_two_families_is_dropped),
	};

	return cmocka_run_group_tests_name("forwarder_families", tests, bench_thread_begin, bench_thread_end);
}
