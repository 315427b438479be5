/* SPDX-License-Identifier: MIT */
/*
 * Unit tests of the forwarder against clients that want more than their own:
 * confirmation without seeing replies, others' sessions, ports held for good.
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

static uint64_t event_count(const struct bench *bench, enum event event)
{
	return bench->f.counters->events[event];
}

static bool path_of(struct bench *bench, const char *client, uint16_t port, uint32_t *slot, struct path_entry *path)
{
	struct tuple tuple = { plain_addr(client), htons(port), 0 };
	struct addr listener = plain_addr(LISTENER);
	struct endpoint endpoint;
	uint32_t endpoint_slot;

	assert_true(endpoint_find(&bench->state, &listener, htons(443), &endpoint_slot, &endpoint));
	tuple.endpoint = (uint16_t)endpoint_slot;
	return path_find(&bench->state, &tuple, slot, path);
}

/* With no port left, an unconfirmed session must not be ended for the sake of its own new path. */
static void migration_does_not_evict_its_own_session(void **unused)
{
	struct bench *bench = bench_open(64);
	uint8_t datagram[1500];
	uint16_t port;

	(void)unused;
	memcpy(bench->state.globals->relay_ports, (uint16_t[]){ 2000, 2000, 0, 0 }, 8);
	from(bench, "192.0.2.1", CLIENT_PORT, datagram, initial(datagram, "a.test", "0001020304050607"));
	port = relay_port(bench);
	from_server(bench, A, port, datagram, opaque(datagram, QUIC_INITIAL, "", SERVER_CID, 1200));
	from(bench, "198.51.100.9", 9, datagram, short_header(datagram, SERVER_CID, 60));
	assert_dropped(bench, DROP_PORTS_EXHAUSTED, 1);
	assert_int_equal(event_count(bench, EVENT_SESSION_EVICTED), 0);
	assert_int_equal(bench->f.sessions.live, 1);
	assert_int_equal(bench->f.sessions.free_count, 63);
	from(bench, "192.0.2.1", CLIENT_PORT, datagram, opaque(datagram, QUIC_HANDSHAKE, SERVER_CID, "", 100));
	assert_to_backend(bench, A);
	bench_close(bench);
}

/* Session slots are reused, so a path that two migrated sessions share must forget the one that ends. */
static void shared_path_forgets_a_session_that_ends(void **unused)
{
	struct bench *bench = bench_open(64);
	uint8_t datagram[1500];
	struct path_entry path;
	struct session session;
	char dcid[17], cid[17];
	uint32_t slot, first;

	(void)unused;
	connect_to(bench, "192.0.2.1", 1, "a.test", "0000000000000000", "ff00000000000000");
	connect_to(bench, "192.0.2.1", 1, "a.test", "0000000000000001", "ff00000000000001");
	from(bench, "198.51.100.9", 9, datagram, short_header(datagram, "ff00000000000000", 60));
	from(bench, "198.51.100.9", 9, datagram, short_header(datagram, "ff00000000000001", 60));
	assert_true(path_of(bench, "198.51.100.9", 9, &slot, &path));
	assert_int_equal(path.sessions, 2);
	first = path.session;
	for (unsigned i = 2; i <= SESSIONS_PER_PATH; i++) {
		snprintf(dcid, sizeof(dcid), "00000000000000%02x", i);
		snprintf(cid, sizeof(cid), "ff000000000000%02x", i);
		connect_to(bench, "192.0.2.1", 1, "a.test", dcid, cid);
	}
	assert_int_equal(event_count(bench, EVENT_SESSION_REPLACED), 1);
	assert_false(session_read(&bench->state, first, &session));
	assert_true(path_of(bench, "198.51.100.9", 9, &slot, &path));
	assert_int_equal(path.sessions, 1);
	assert_int_not_equal(path.session, first);
	from(bench, "198.51.100.9", 9, datagram, short_header(datagram, "ff00000000000001", 60));
	assert_to_backend(bench, A);
	bench_close(bench);
}

/* A 4-byte CID may be guessed: after 8 wrong ones, short or long, the right one confirms nothing. */
static void guessed_short_cid_confirms_nothing(void **unused)
{
	static const struct {
		const char *name;
		int kind;                /* enum quic_type; -1: short header */
	} rows[] = { { "short header", -1 }, { "Initial", QUIC_INITIAL }, { "0-RTT", QUIC_0RTT }, { "Handshake", QUIC_HANDSHAKE } };

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bench *bench = bench_open(64);
		uint8_t datagram[1500];

		print_message("row: %s\n", rows[i].name);
		from(bench, "192.0.2.1", 1, datagram, initial(datagram, "a.test", "0001020304050607"));
		from_server(bench, A, relay_port(bench), datagram,
			    opaque(datagram, QUIC_INITIAL, "", "a1a2a3a4", 1200));
		for (unsigned guess = 0; guess <= WRONG_GUESSES_MAX; guess++) {
			char cid[9] = "a1a2a3a4";

			if (guess < WRONG_GUESSES_MAX)
				snprintf(cid, sizeof(cid), "0102030%x", guess);
			if (rows[i].kind < 0)
				short_header(datagram, cid, 60);
			else
				opaque(datagram, (enum quic_type)rows[i].kind, cid, "", 1200);
			from(bench, "192.0.2.1", 1, datagram, rows[i].kind < 0 ? 60 : 1200);
		}
		assert_int_equal(event_count(bench, EVENT_SESSION_CONFIRMED), 0);
		bench_close(bench);
	}
}

/* Three seconds from the first packet, not from the last: who goes on sending holds no path either. */
static void unanswered_path_ends_though_its_client_goes_on(void **unused)
{
	struct bench *bench = bench_open(64);
	uint8_t datagram[1500];

	(void)unused;
	connect_to(bench, "192.0.2.1", CLIENT_PORT, "a.test", "0001020304050607", SERVER_CID);
	for (unsigned second = 0; second < PATH_UNANSWERED_S; second++, bench->f.now_s++)
		for (unsigned i = 0; i < PATHS_UNANSWERED_MAX; i++)
			from(bench, "198.51.100.9", (uint16_t)(100 + i), datagram,
			     short_header(datagram, SERVER_CID, 60));
	from(bench, "203.0.113.77", 200, datagram, short_header(datagram, SERVER_CID, 60));
	assert_to_backend(bench, A);
	bench_close(bench);
}

/*
 * A path that a migration confirmed proves that the backend answers there, not
 * that anybody listens: new sessions on it are limited like all others.
 */
static void path_confirmed_by_migration_does_not_lift_the_limit(void **unused)
{
	struct bench *bench = bench_open(64);
	uint8_t datagram[1500];
	struct path_entry path;
	uint32_t slot;
	uint16_t port;

	(void)unused;
	connect_to(bench, "192.0.2.1", CLIENT_PORT, "a.test", "0001020304050607", SERVER_CID);
	from(bench, "198.51.100.9", 9, datagram, short_header(datagram, SERVER_CID, 60));
	port = relay_port(bench);
	from_server(bench, A, port, datagram, short_header(datagram, "", 60));
	from(bench, "198.51.100.9", 9, datagram, short_header(datagram, SERVER_CID, 60));
	assert_true(path_of(bench, "198.51.100.9", 9, &slot, &path));
	assert_true(path.flags & PATH_CONFIRMED);

	from(bench, "198.51.100.9", 9, datagram, initial(datagram, "a.test", "1011121314151617"));
	assert_int_equal(relay_port(bench), port);
	for (unsigned i = 0; i < 3; i++) {
		from_server(bench, A, port, datagram, opaque(datagram, QUIC_INITIAL, "", "c0c0c0c001020304", 1200));
		assert_to_client(bench, "198.51.100.9", 9);
	}
	from_server(bench, A, port, datagram, opaque(datagram, QUIC_HANDSHAKE, "", "c0c0c0c001020304", 1200));
	assert_dropped(bench, DROP_AMPLIFICATION, 1);
	bench_close(bench);
}

/* The backend's entry is another thread's; a CID length that is not (yet) known there must not be believed. */
static void ambiguous_cid_is_cut_by_its_sessions_length(void **unused)
{
	struct bench *bench = bench_open(64);
	uint8_t datagram[1500];

	(void)unused;
	connect_to(bench, "192.0.2.1", CLIENT_PORT, "a.test", "a001020304050607", "a1a2a3a4");
	for (unsigned i = 0; i < 2; i++)
		from(bench, "192.0.2.1", CLIENT_PORT, datagram, short_header(datagram, "a5a6a7a8", 60));
	connect_to(bench, "192.0.2.1", CLIENT_PORT, "b.test", "b001020304050607", "b1b2b3b4");
	bench->state.backends[B].cid_len = CID_LEN_UNKNOWN;
	for (unsigned i = 0; i < 2; i++) {
		from(bench, "192.0.2.1", CLIENT_PORT, datagram, short_header(datagram, "b5b6b7b8", 60));
		assert_to_backend(bench, B);
	}
	assert_int_equal(event_count(bench, EVENT_ALIAS_LEARNED), 2);
	bench_close(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(migration_does_not_evict_its_own_session),
		cmocka_unit_test(shared_path_forgets_a_session_that_ends),
		cmocka_unit_test(guessed_short_cid_confirms_nothing),
		cmocka_unit_test(unanswered_path_ends_though_its_client_goes_on),
		cmocka_unit_test(path_confirmed_by_migration_does_not_lift_the_limit),
		cmocka_unit_test(ambiguous_cid_is_cut_by_its_sessions_length),
	};

	return cmocka_run_group_tests_name("forwarder_attacks", tests, bench_thread_begin, bench_thread_end);
}
