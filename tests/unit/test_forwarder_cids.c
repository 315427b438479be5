/* SPDX-License-Identifier: MIT */
/*
 * Unit tests of the forwarder: which session a connection ID and a 4-tuple mean,
 * and what happens when the client's address or CID changes.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lib/forwarder_bench.h"

/* quic-go's client, while its handshake is not over, takes up a CID that came in 0.5-RTT, and stays with it. */
static void new_short_cid_in_the_handshake_reaches_the_only_session(void **unused)
{
	struct bench *bench = bench_open(64);
	uint8_t datagram[1500];

	(void)unused;
	from(bench, "192.0.2.1", CLIENT_PORT, datagram, initial(datagram, "a.test", "a001020304050607"));
	from_server(bench, A, relay_port(bench), datagram, opaque(datagram, QUIC_INITIAL, "", "a1a2a3a4", 1200));
	from(bench, "192.0.2.1", CLIENT_PORT, datagram, opaque(datagram, QUIC_INITIAL, "a5a6a7a8", "", 1200));
	assert_to_backend(bench, A);
	for (unsigned i = 0; i < 2 * WRONG_GUESSES_MAX; i++) {
		from(bench, "192.0.2.1", CLIENT_PORT, datagram, short_header(datagram, "a5a6a7a8", 60));
		assert_to_backend(bench, A);
	}
	bench_close(bench);
}

/* quinn and quic-go open connections to several names from one socket. */
static void two_connections_of_one_socket_go_to_two_backends(void **unused)
{
	struct bench *bench = bench_open(64);
	uint8_t datagram[1500];
	uint16_t port_a, port_b;

	(void)unused;
	port_a = connect_to(bench, "192.0.2.1", CLIENT_PORT, "a.test", "a001020304050607", "a1a2a3a4");
	port_b = connect_to(bench, "192.0.2.1", CLIENT_PORT, "b.test", "b001020304050607", "b1b2b3b4");
	assert_int_not_equal(port_a, port_b);
	for (unsigned i = 0; i < 3; i++) {
		from(bench, "192.0.2.1", CLIENT_PORT, datagram, short_header(datagram, "a1a2a3a4", 60));
		assert_to_backend(bench, A);
		assert_int_equal(relay_port(bench), port_a);
		from(bench, "192.0.2.1", CLIENT_PORT, datagram, short_header(datagram, "b1b2b3b4", 60));
		assert_to_backend(bench, B);
		assert_int_equal(relay_port(bench), port_b);
	}
	from(bench, "192.0.2.1", CLIENT_PORT, datagram, short_header(datagram, "c1c2c3c4", 60));
	assert_dropped(bench, DROP_AMBIGUOUS_4TUPLE, 1);
	bench_close(bench);
}

/* A has taken up an alias already, so an unknown CID can only be b's. */
static void unknown_cid_of_two_sessions_goes_to_the_one_without_alias(void **unused)
{
	struct bench *bench = bench_open(64);
	uint8_t datagram[1500];

	(void)unused;
	connect_to(bench, "192.0.2.1", CLIENT_PORT, "a.test", "a001020304050607", "a1a2a3a4");
	for (unsigned i = 0; i < 2; i++)
		from(bench, "192.0.2.1", CLIENT_PORT, datagram, short_header(datagram, "a5a6a7a8", 60));
	assert_int_equal(bench->f.counters->events[EVENT_ALIAS_LEARNED], 1);
	connect_to(bench, "192.0.2.1", CLIENT_PORT, "b.test", "b001020304050607", "b1b2b3b4");
	from(bench, "192.0.2.1", CLIENT_PORT, datagram, short_header(datagram, "b5b6b7b8", 60));
	assert_to_backend(bench, B);
	from(bench, "192.0.2.1", CLIENT_PORT, datagram, short_header(datagram, "a5a6a7a8", 60));
	assert_to_backend(bench, A);
	bench_close(bench);
}

/* Later connections of a socket whose paths are confirmed already learn aliases too. */
static void second_connections_of_one_socket_learn_aliases(void **unused)
{
	struct bench *bench = bench_open(64);
	uint8_t datagram[1500];
	char dcid[17], cid[17];

	(void)unused;
	for (unsigned i = 0; i < 4; i++) {
		snprintf(dcid, sizeof(dcid), "00000000000000%02x", i);
		snprintf(cid, sizeof(cid), "ff000000000000%02x", i);
		connect_to(bench, "192.0.2.1", CLIENT_PORT, i % 2 ? "b.test" : "a.test", dcid, cid);
		assert_int_equal(bench->f.counters->events[EVENT_SESSION_CONFIRMED], i + 1);
		snprintf(cid, sizeof(cid), "aa000000000000%02x", i);
		for (unsigned sight = 0; sight < 2; sight++) {
			from(bench, "192.0.2.1", CLIENT_PORT, datagram, short_header(datagram, cid, 60));
			assert_to_backend(bench, i % 2 ? B : A);
		}
		assert_int_equal(bench->f.counters->events[EVENT_ALIAS_LEARNED], i + 1);
	}
	for (unsigned i = 0; i < 4; i++) {
		snprintf(cid, sizeof(cid), "aa000000000000%02x", i);
		from(bench, "192.0.2.1", CLIENT_PORT, datagram, short_header(datagram, cid, 60));
		assert_to_backend(bench, i % 2 ? B : A);
	}
	bench_close(bench);
}

static void equal_short_cids_of_two_backends_do_not_mix(void **unused)
{
	struct bench *bench = bench_open(64);
	uint8_t datagram[1500];

	(void)unused;
	connect_to(bench, "192.0.2.1", 1, "a.test", "a001020304050607", "c1c2c3c4");
	connect_to(bench, "192.0.2.2", 2, "b.test", "b001020304050607", "c1c2c3c4");
	for (unsigned i = 0; i < 2; i++) {
		from(bench, "192.0.2.1", 1, datagram, short_header(datagram, "c1c2c3c4", 60));
		assert_to_backend(bench, A);
		from(bench, "192.0.2.2", 2, datagram, short_header(datagram, "c1c2c3c4", 60));
		assert_to_backend(bench, B);
	}
	bench_close(bench);
}

static void changed_address_gets_a_path_of_its_own(void **unused)
{
	struct bench *bench = bench_open(64);
	struct tuple tuple = { plain_addr("198.51.100.9"), htons(777), 0 };
	struct addr listener = plain_addr(LISTENER);
	struct endpoint endpoint;
	struct path_entry path;
	uint8_t datagram[1500];
	uint16_t old, new;
	uint32_t slot;

	(void)unused;
	old = connect_to(bench, "192.0.2.1", CLIENT_PORT, "a.test", "0001020304050607", SERVER_CID);
	from(bench, "198.51.100.9", 777, datagram, short_header(datagram, SERVER_CID, 60));
	assert_to_backend(bench, A);
	new = relay_port(bench);
	assert_int_not_equal(old, new);
	assert_int_equal(bench->f.counters->events[EVENT_PATH_MIGRATED], 1);
	from_server(bench, A, new, datagram, short_header(datagram, "", 60));
	assert_to_client(bench, "198.51.100.9", 777);
	from_server(bench, A, old, datagram, short_header(datagram, "", 60));
	assert_to_client(bench, "192.0.2.1", CLIENT_PORT);
	/* The new path's entry carries the CID, so that the kernel need not look in the index. */
	assert_true(endpoint_find(&bench->state, &listener, htons(443), &slot, &endpoint));
	tuple.endpoint = (uint16_t)slot;
	assert_true(path_find(&bench->state, &tuple, &slot, &path));
	assert_int_equal(path.cid_len, 8);
	assert_false(path.flags & PATH_CONFIRMED);
	/* The backend has answered there: the next packet makes the path the kernel's. */
	from(bench, "198.51.100.9", 777, datagram, short_header(datagram, SERVER_CID, 60));
	assert_int_equal(relay_port(bench), new);
	assert_true(path_find(&bench->state, &tuple, &slot, &path));
	assert_true(path.flags & PATH_CONFIRMED);
	from(bench, "192.0.2.1", CLIENT_PORT, datagram, short_header(datagram, SERVER_CID, 60));
	assert_int_equal(relay_port(bench), old);
	bench_close(bench);
}

static void alias_survives_a_changed_address(void **unused)
{
	struct bench *bench = bench_open(64);
	uint8_t datagram[1500];

	(void)unused;
	connect_to(bench, "192.0.2.1", CLIENT_PORT, "a.test", "0001020304050607", SERVER_CID);
	from(bench, "192.0.2.1", CLIENT_PORT, datagram, short_header(datagram, "1122334455667788", 60));
	assert_to_backend(bench, A);
	assert_int_equal(bench->f.counters->events[EVENT_ALIAS_LEARNED], 0);
	from(bench, "192.0.2.7", 7, datagram, short_header(datagram, "1122334455667788", 60));
	assert_dropped(bench, DROP_UNKNOWN_CID, 1);
	from(bench, "192.0.2.1", CLIENT_PORT, datagram, short_header(datagram, "1122334455667788", 60));
	assert_to_backend(bench, A);
	assert_int_equal(bench->f.counters->events[EVENT_ALIAS_LEARNED], 1);
	from(bench, "192.0.2.7", 7, datagram, short_header(datagram, "1122334455667788", 60));
	assert_to_backend(bench, A);
	bench_close(bench);
}

/* aliases_per_session is 2 here: the oldest alias goes, the handshake's CID stays. */
static void aliases_are_capped(void **unused)
{
	struct bench *bench = bench_open(64);
	static const char *const aliases[] = { "1122334455667701", "1122334455667702", "1122334455667703" };
	uint8_t datagram[1500];

	(void)unused;
	connect_to(bench, "192.0.2.1", CLIENT_PORT, "a.test", "0001020304050607", SERVER_CID);
	for (unsigned i = 0; i < 6; i++)
		from(bench, "192.0.2.1", CLIENT_PORT, datagram, short_header(datagram, aliases[i / 2], 60));
	assert_int_equal(bench->f.counters->events[EVENT_ALIAS_LEARNED], 3);
	from(bench, "192.0.2.7", 7, datagram, short_header(datagram, aliases[0], 60));
	assert_dropped(bench, DROP_UNKNOWN_CID, 1);
	from(bench, "192.0.2.7", 7, datagram, short_header(datagram, SERVER_CID, 60));
	assert_to_backend(bench, A);
	from(bench, "192.0.2.8", 8, datagram, short_header(datagram, aliases[2], 60));
	assert_to_backend(bench, A);
	bench_close(bench);
}

static void seen_cid_cannot_eat_every_relay_port(void **unused)
{
	struct bench *bench = bench_open(64);
	uint8_t datagram[1500];

	(void)unused;
	connect_to(bench, "192.0.2.1", CLIENT_PORT, "a.test", "0001020304050607", SERVER_CID);
	for (unsigned i = 0; i < PATHS_UNANSWERED_MAX; i++) {
		from(bench, "198.51.100.9", (uint16_t)(100 + i), datagram, short_header(datagram, SERVER_CID, 60));
		assert_to_backend(bench, A);
	}
	from(bench, "198.51.100.9", 200, datagram, short_header(datagram, SERVER_CID, 60));
	assert_dropped(bench, DROP_UNANSWERED_PATHS, 1);
	bench->f.now_s += PATH_UNANSWERED_S;
	from(bench, "198.51.100.9", 200, datagram, short_header(datagram, SERVER_CID, 60));
	assert_to_backend(bench, A);
	from(bench, "192.0.2.1", CLIENT_PORT, datagram, short_header(datagram, SERVER_CID, 60));
	assert_to_backend(bench, A);
	bench_close(bench);
}

/* Chromium: zero-length client CID; and servers with a zero-length CID of their own. */
static void zero_length_server_cid_is_confirmed_by_a_short_answer(void **unused)
{
	struct bench *bench = bench_open(64);
	uint8_t datagram[1500];
	uint16_t port;

	(void)unused;
	from(bench, "192.0.2.1", CLIENT_PORT, datagram, initial(datagram, "a.test", "0001020304050607"));
	port = relay_port(bench);
	from_server(bench, A, port, datagram, opaque(datagram, QUIC_INITIAL, "", "", 1200));
	from(bench, "192.0.2.1", CLIENT_PORT, datagram, opaque(datagram, QUIC_HANDSHAKE, "", "", 100));
	assert_to_backend(bench, A);
	from(bench, "192.0.2.1", CLIENT_PORT, datagram, short_header(datagram, "", 60));
	assert_to_backend(bench, A);
	assert_int_equal(bench->f.counters->events[EVENT_SESSION_CONFIRMED], 0);
	from_server(bench, A, port, datagram, short_header(datagram, "", 60));
	assert_to_client(bench, "192.0.2.1", CLIENT_PORT);
	assert_int_equal(bench->f.counters->events[EVENT_SESSION_CONFIRMED], 1);
	bench_close(bench);
}

static void backend_may_only_speak_for_its_own_sessions(void **unused)
{
	struct bench *bench = bench_open(64);
	uint8_t datagram[1500];
	uint16_t port = connect_to(bench, "192.0.2.1", CLIENT_PORT, "a.test", "0001020304050607", SERVER_CID);

	(void)unused;
	from_server(bench, B, port, datagram, short_header(datagram, "", 60));
	assert_dropped(bench, DROP_UNKNOWN_RELAY_PORT, 1);
	from_server(bench, A, (uint16_t)(port + 1), datagram, short_header(datagram, "", 60));
	assert_dropped(bench, DROP_UNKNOWN_RELAY_PORT, 2);
	/* A CID of another session is not taken over. */
	connect_to(bench, "192.0.2.2", 2, "b.test", "b001020304050607", "b1b2b3b4b5b6b7b8");
	from_server(bench, A, port, datagram, opaque(datagram, QUIC_HANDSHAKE, "", "b1b2b3b4b5b6b7b8", 100));
	assert_int_equal(bench->f.counters->events[EVENT_CID_CONFLICT], 1);
	from(bench, "192.0.2.2", 2, datagram, short_header(datagram, "b1b2b3b4b5b6b7b8", 60));
	assert_to_backend(bench, B);
	bench_close(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_short_cid_in_the_handshake_reaches_the_only_session),
		cmocka_unit_test(two_connections_of_one_socket_go_to_two_backends),
		cmocka_unit_test(unknown_cid_of_two_sessions_goes_to_the_one_without_alias),
		cmocka_unit_test(second_connections_of_one_socket_learn_aliases),
		cmocka_unit_test(equal_short_cids_of_two_backends_do_not_mix),
		cmocka_unit_test(changed_address_gets_a_path_of_its_own),
		cmocka_unit_test(alias_survives_a_changed_address),
		cmocka_unit_test(aliases_are_capped),
		cmocka_unit_test(seen_cid_cannot_eat_every_relay_port),
		cmocka_unit_test(zero_length_server_cid_is_confirmed_by_a_short_answer),
		cmocka_unit_test(backend_may_only_speak_for_its_own_sessions),
	};

	return cmocka_run_group_tests_name("forwarder_cids", tests, bench_thread_begin, bench_thread_end);
}
