/* SPDX-License-Identifier: MIT */
/*
 * Unit tests of the forwarder: whole datagrams in, whole frames out, on plain
 * memory and a clock of our own (tests/lib/forwarder_bench.h).
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

/* --- tests ------------------------------------------------------------------------------------------ */

static void sni_names_the_backend_and_replies_come_back(void **unused)
{
	struct bench *bench = bench_open(64);
	uint8_t datagram[1500], sent[1500];
	size_t len = initial(sent, "a.test", "0001020304050607");
	struct path_entry path;
	struct tuple tuple = { plain_addr("192.0.2.1"), htons(CLIENT_PORT), 0 };
	uint32_t slot;
	struct endpoint endpoint;
	struct addr listener = plain_addr(LISTENER);
	uint16_t port;

	(void)unused;
	send_flow(bench, &(struct udp_flow){ "192.0.2.1", CLIENT_PORT, LISTENER, 443, 7, 0x2b }, sent, len);
	assert_to_backend(bench, A);
	assert_int_equal(bench->out[0].packet.ttl, 6);
	assert_int_equal(bench->out[0].bytes[15], 0x2b);
	assert_int_equal(bench->out[0].packet.payload_len_bytes, len);
	assert_memory_equal(packet_payload(&bench->out[0].packet), sent, len);
	port = relay_port(bench);

	from_server(bench, A, port, datagram, opaque(datagram, QUIC_INITIAL, "", SERVER_CID, 1200));
	assert_to_client(bench, "192.0.2.1", CLIENT_PORT);
	assert_true(endpoint_find(&bench->state, &listener, htons(443), &slot, &endpoint));
	tuple.endpoint = (uint16_t)slot;
	assert_true(path_find(&bench->state, &tuple, &slot, &path));
	assert_false(path.flags & PATH_CONFIRMED);
	from(bench, "192.0.2.1", CLIENT_PORT, datagram, opaque(datagram, QUIC_HANDSHAKE, SERVER_CID, "", 100));
	assert_to_backend(bench, A);
	assert_true(path_find(&bench->state, &tuple, &slot, &path));
	assert_true(path.flags & PATH_CONFIRMED);
	assert_int_equal(path.cid_len, 8);

	from(bench, "192.0.2.1", CLIENT_PORT, datagram, short_header(datagram, SERVER_CID, 60));
	assert_to_backend(bench, A);
	from_server(bench, A, port, datagram, short_header(datagram, "", 700));
	assert_to_client(bench, "192.0.2.1", CLIENT_PORT);
	bench_close(bench);
}

static void first_flight_over_two_datagrams_is_held_and_sent_in_order(void **unused)
{
	(void)unused;
	for (unsigned first = 0; first < 2; first++) {
		struct bench *bench = bench_open(64);
		uint8_t halves[2][1500], zero_rtt[1500];
		size_t len[2], zero_rtt_len = opaque(zero_rtt, QUIC_0RTT, "1011121314151617", "", 300);

		initial_halves(halves, len, "b.test", "1011121314151617");
		from(bench, "192.0.2.1", CLIENT_PORT, halves[first], len[first]);
		assert_int_equal(bench->outputs, 0);
		from(bench, "192.0.2.1", CLIENT_PORT, zero_rtt, zero_rtt_len);
		assert_int_equal(bench->outputs, 0);
		from(bench, "192.0.2.1", CLIENT_PORT, halves[!first], len[!first]);
		assert_int_equal(bench->outputs, 3);
		assert_memory_equal(packet_payload(&bench->out[0].packet), halves[first], len[first]);
		assert_memory_equal(packet_payload(&bench->out[1].packet), zero_rtt, zero_rtt_len);
		assert_memory_equal(packet_payload(&bench->out[2].packet), halves[!first], len[!first]);
		for (unsigned i = 0; i < 3; i++) {
			assert_int_equal(bench->out[i].packet.dst_port_be, htons(7002));
			assert_int_equal(bench->out[i].packet.src_port_be, bench->out[0].packet.src_port_be);
		}
		assert_int_equal(bench->f.flights.used, 0);
		/* 0-RTT that comes late is known by the client's own DCID. */
		from(bench, "192.0.2.1", CLIENT_PORT, zero_rtt, zero_rtt_len);
		assert_to_backend(bench, B);
		bench_close(bench);
	}
}

static void what_may_not_open_state_is_dropped_with_its_reason(void **unused)
{
	struct {
		const char *name, *client, *sni, *dcid;
		size_t cut;              /* datagram shortened to this; 0: whole */
		size_t damage;           /* this byte flipped; 0: none */
		enum drop_reason reason;
	} rows[] = {
		{ "no route for the name", "192.0.2.1", "c.test", "0001020304050607", 0, 0, DROP_NO_ROUTE },
		{ "no name, no default route", "192.0.2.1", NULL, "0001020304050607", 0, 0, DROP_NO_ROUTE },
		{ "DCID of 7 bytes", "192.0.2.1", "a.test", "00010203040506", 0, 0, DROP_DCID_TOO_SHORT },
		{ "damaged payload", "192.0.2.1", "a.test", "0001020304050607", 0, 600, DROP_DECRYPT_FAILED },
		{ "cut datagram", "192.0.2.1", "a.test", "0001020304050607", 1199, 0, DROP_MALFORMED_LONG },
		{ "cut header", "192.0.2.1", "a.test", "0001020304050607", 10, 0, DROP_MALFORMED_LONG },
		{ "backend of the other IP family", "192.0.2.1", "six.test", "0001020304050607", 0, 0, DROP_FAMILY_MISMATCH },
		{ "from our own address", RELAY, "a.test", "0001020304050607", 0, 0, DROP_LOOP },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bench *bench = bench_open(64);
		uint8_t datagram[1500];
		size_t len = initial(datagram, rows[i].sni, rows[i].dcid);

		print_message("row: %s\n", rows[i].name);
		plain_backend(&bench->state, 3, "2001:db8::5", 7003, TO_BACKENDS, 0);
		bench_route(bench, "six.test", 1, (const uint32_t[]){ 3 });
		if (rows[i].damage)
			datagram[rows[i].damage] ^= 1;
		from(bench, rows[i].client, CLIENT_PORT, datagram, rows[i].cut ? rows[i].cut : len);
		assert_dropped(bench, rows[i].reason, 1);
		assert_int_equal(bench->f.sessions.live, 0);
		assert_int_equal(plain_count(&bench->state.paths), 0);
		bench_close(bench);
	}
}

static void small_initial_opens_nothing(void **unused)
{
	struct bench *bench = bench_open(64);
	uint8_t datagram[1500], hello[500];
	struct initial_spec spec = initial_spec_default();

	(void)unused;
	spec.size = 1199;
	from(bench, "192.0.2.1", CLIENT_PORT, datagram,
	     initial_write_crypto(datagram, &spec, hello, 0, client_hello_write(hello, "a.test", 0)));
	assert_dropped(bench, DROP_INITIAL_TOO_SMALL, 1);
	bench_close(bench);
}

static void packets_of_no_connection_are_dropped(void **unused)
{
	struct {
		const char *name;
		int kind;                /* enum quic_type; -1: short header */
		size_t size;
		enum drop_reason reason;
	} rows[] = {
		{ "0-RTT", QUIC_0RTT, 1200, DROP_NOT_INITIAL },
		{ "Handshake", QUIC_HANDSHAKE, 1200, DROP_NOT_INITIAL },
		{ "short header", -1, 1200, DROP_UNKNOWN_CID },
		{ "short header of 20 bytes", -1, 20, DROP_MALFORMED_SHORT },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bench *bench = bench_open(64);
		uint8_t datagram[1500];

		print_message("row: %s\n", rows[i].name);
		if (rows[i].kind < 0)
			short_header(datagram, "0102030405060708", rows[i].size);
		else
			opaque(datagram, (enum quic_type)rows[i].kind, "0102030405060708", "", rows[i].size);
		from(bench, "192.0.2.1", CLIENT_PORT, datagram, rows[i].size);
		assert_dropped(bench, rows[i].reason, 1);
		bench_close(bench);
	}
}

static void unknown_version_goes_to_the_default_route_if_there_is_one(void **unused)
{
	struct bench *bench = bench_open(64);
	struct quic_cid dcid = cid_from_hex("0001020304050607"), scid = cid_from_hex("");
	uint8_t datagram[1500];
	uint16_t port;

	(void)unused;
	opaque_packet_write(datagram, QUIC_INITIAL, 0x1a2a3a4a, &dcid, &scid, 1200);
	from(bench, "192.0.2.1", CLIENT_PORT, datagram, 1200);
	assert_dropped(bench, DROP_UNSUPPORTED_VERSION, 1);
	bench_route(bench, "*", 1, (const uint32_t[]){ B });
	from(bench, "192.0.2.1", CLIENT_PORT, datagram, 1200);
	assert_to_backend(bench, B);
	port = relay_port(bench);
	/* Version Negotiation, RFC 8999 s6: DCID empty, SCID the client's DCID, version 1. */
	memcpy(datagram, "\x80\0\0\0\0\0\x08\0\1\2\3\4\5\6\7\0\0\0\1", 19);
	from_server(bench, B, port, datagram, 19);
	assert_to_client(bench, "192.0.2.1", CLIENT_PORT);
	assert_int_equal(bench->f.counters->events[EVENT_VERSION_NEGOTIATION], 1);
	bench_close(bench);
}

static void wildcard_and_default_routes(void **unused)
{
	struct bench *bench = bench_open(64);
	uint8_t datagram[1500];

	(void)unused;
	bench_route(bench, "*.games.test", 1, (const uint32_t[]){ A });
	bench_route(bench, "*", 1, (const uint32_t[]){ B });
	from(bench, "192.0.2.1", 1, datagram, initial(datagram, "X.Games.TEST", "0001020304050607"));
	assert_to_backend(bench, A);
	from(bench, "192.0.2.1", 2, datagram, initial(datagram, "y.x.games.test", "0001020304050607"));
	assert_to_backend(bench, B);
	from(bench, "192.0.2.1", 3, datagram, initial(datagram, NULL, "0001020304050607"));
	assert_to_backend(bench, B);
	assert_int_equal(route_remove(&bench->routes, "*"), 0);
	from(bench, "192.0.2.1", 4, datagram, initial(datagram, "y.x.games.test", "0001020304050607"));
	assert_dropped(bench, DROP_NO_ROUTE, 1);
	bench_close(bench);
}

/* RFC 9000 s8.1: three times what the client sent, until it has used the server's CID. */
static void unconfirmed_client_gets_three_times_what_it_sent(void **unused)
{
	struct bench *bench = bench_open(64);
	uint8_t datagram[1500];
	uint16_t port;

	(void)unused;
	from(bench, "192.0.2.1", CLIENT_PORT, datagram, initial(datagram, "a.test", "0001020304050607"));
	port = relay_port(bench);
	for (unsigned i = 0; i < 3; i++) {
		from_server(bench, A, port, datagram, opaque(datagram, QUIC_INITIAL, "", SERVER_CID, 1200));
		assert_to_client(bench, "192.0.2.1", CLIENT_PORT);
	}
	from_server(bench, A, port, datagram, opaque(datagram, QUIC_HANDSHAKE, "", SERVER_CID, 30));
	assert_dropped(bench, DROP_AMPLIFICATION, 1);
	from(bench, "192.0.2.1", CLIENT_PORT, datagram, opaque(datagram, QUIC_HANDSHAKE, SERVER_CID, "", 50));
	from_server(bench, A, port, datagram, opaque(datagram, QUIC_HANDSHAKE, "", SERVER_CID, 1200));
	assert_to_client(bench, "192.0.2.1", CLIENT_PORT);
	bench_close(bench);
}

/*
 * quic-go's client takes up a CID that came in 0.5-RTT before it has used the
 * one we saw. Its backend sends more than three times what it got, which
 * without a token it would not unless the handshake had proved the address.
 */
static void backend_that_sends_more_has_validated_a_client_without_token(void **unused)
{
	static const struct {
		const char *name;
		const char *token;
		bool sends_short, confirmed;
	} rows[] = {
		{ "no token", "", true, true },
		{ "a token, which proves nothing", "token", true, false },
		{ "no short header of the client", "", false, false },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bench *bench = bench_open(64);
		struct initial_spec spec = initial_spec_default();
		uint8_t datagram[1500], hello[500];
		uint16_t port;

		print_message("row: %s\n", rows[i].name);
		spec.token = (const uint8_t *)rows[i].token;
		spec.token_len = strlen(rows[i].token);
		from(bench, "192.0.2.1", CLIENT_PORT, datagram,
		     initial_write_crypto(datagram, &spec, hello, 0, client_hello_write(hello, "a.test", 0)));
		port = relay_port(bench);
		from_server(bench, A, port, datagram, opaque(datagram, QUIC_INITIAL, "", "a1a2a3a4", 1200));
		if (rows[i].sends_short)
			from(bench, "192.0.2.1", CLIENT_PORT, datagram, short_header(datagram, "a5a6a7a8", 60));
		else
			from(bench, "192.0.2.1", CLIENT_PORT, datagram,
			     opaque(datagram, QUIC_HANDSHAKE, "a5a6a7a8", "", 60));
		assert_to_backend(bench, A);
		for (unsigned sent = 0; sent < 2; sent++)
			from_server(bench, A, port, datagram, short_header(datagram, "", 1200));
		assert_int_equal(bench->f.counters->events[EVENT_SESSION_CONFIRMED], 0);
		from_server(bench, A, port, datagram, short_header(datagram, "", 1200));
		if (rows[i].confirmed)
			assert_to_client(bench, "192.0.2.1", CLIENT_PORT);
		else
			assert_dropped(bench, DROP_AMPLIFICATION, 1);
		assert_int_equal(bench->f.counters->events[EVENT_SESSION_CONFIRMED], rows[i].confirmed);
		bench_close(bench);
	}
}

static void retry_keeps_the_session(void **unused)
{
	struct bench *bench = bench_open(64);
	struct initial_spec spec = initial_spec_default();
	uint8_t datagram[1500], hello[500];
	uint16_t port;

	(void)unused;
	from(bench, "192.0.2.1", CLIENT_PORT, datagram, initial(datagram, "a.test", "0001020304050607"));
	port = relay_port(bench);
	from_server(bench, A, port, datagram, retry(datagram, "", "aabbccdd"));
	assert_to_client(bench, "192.0.2.1", CLIENT_PORT);
	assert_int_equal(bench->f.counters->events[EVENT_RETRY], 1);
	spec.dcid = spec.key_dcid = cid_from_hex("aabbccdd");
	from(bench, "192.0.2.1", CLIENT_PORT, datagram,
	     initial_write_crypto(datagram, &spec, hello, 0, client_hello_write(hello, "a.test", 0)));
	assert_to_backend(bench, A);
	assert_int_equal(relay_port(bench), port);
	assert_int_equal(bench->f.sessions.live, 1);
	assert_int_equal(bench->f.counters->events[EVENT_SESSION_CONFIRMED], 1);
	bench_close(bench);
}

static void client_waits_for_its_next_hop(void **unused)
{
	struct bench *bench = bench_open(64);
	uint8_t datagram[1500];

	(void)unused;
	bench->nexthop = NEXTHOP_WANTED;
	from(bench, "192.0.2.1", CLIENT_PORT, datagram, initial(datagram, "a.test", "0001020304050607"));
	assert_int_equal(bench->outputs, 0);
	assert_false(ring_is_empty(&bench->requests));
	from(bench, "192.0.2.1", CLIENT_PORT, datagram, initial(datagram, "a.test", "0001020304050607"));
	assert_int_equal(bench->outputs, 0);
	forwarder_housekeeping(&bench->f, 1);
	collect(bench);
	assert_int_equal(bench->outputs, 0);
	bench->nexthop = NEXTHOP_FOUND;
	forwarder_housekeeping(&bench->f, 1);
	collect(bench);
	assert_int_equal(bench->outputs, 2);
	assert_int_equal(bench->f.sessions.live, 1);
	assert_int_equal(bench->f.flights.used, 0);
	assert_int_equal(bench->f.flights.waiting, 0);
	bench->nexthop = NEXTHOP_NO_ROUTE;
	from(bench, "192.0.2.2", CLIENT_PORT, datagram, initial(datagram, "a.test", "0001020304050607"));
	assert_dropped(bench, DROP_NO_NEXTHOP, 1);
	bench_close(bench);
}

static void pending_flights_are_bounded(void **unused)
{
	struct bench *bench = bench_open(64);
	uint8_t halves[2][1500];
	size_t len[2];

	(void)unused;
	initial_halves(halves, len, "a.test", "0001020304050607");
	for (unsigned i = 0; i < 5; i++)
		from(bench, "192.0.2.1", (uint16_t)(1 + i), halves[0], len[0]);
	assert_dropped(bench, DROP_PENDING_FULL, 1);
	assert_int_equal(bench->f.flights.used, 4);
	forwarder_housekeeping(&bench->f, 1);
	assert_int_equal(bench->state.worker_counters[0].gauges.flights, 4);
	assert_int_equal(bench->state.worker_counters[0].gauges.flights_max, 4);
	assert_int_equal(bench->state.worker_counters[0].gauges.frames_free, CHUNKS);
	/* The oldest went, the youngest is complete with its second half. */
	from(bench, "192.0.2.1", 5, halves[1], len[1]);
	assert_int_equal(bench->outputs, 2);
	for (unsigned i = 0; i < 4; i++)
		from(bench, "192.0.2.1", 4, halves[0], len[0]);
	assert_dropped(bench, DROP_PENDING_BYTES, 1);
	bench->f.now_ns += 5000000001;
	forwarder_housekeeping(&bench->f, 1);
	assert_dropped(bench, DROP_PENDING_TIMEOUT, 3);
	assert_int_equal(bench->f.flights.used, 0);
	assert_int_equal(bench->f.gauges->flights, 0);
	bench_close(bench);
}

/* RFC 9000 s12.2: coalesced in any order; the name stands behind a 0-RTT packet. */
static void initial_behind_zero_rtt_completes_a_flight(void **unused)
{
	struct bench *bench = bench_open(64);
	uint8_t halves[2][1500], datagram[1500];
	size_t len[2], zero_rtt_len = 60;

	(void)unused;
	initial_halves(halves, len, "a.test", "0001020304050607");
	from(bench, "192.0.2.1", CLIENT_PORT, halves[0], len[0]);
	opaque(datagram, QUIC_0RTT, "0001020304050607", "", zero_rtt_len);
	memcpy(datagram + zero_rtt_len, halves[1], len[1]);
	from(bench, "192.0.2.1", CLIENT_PORT, datagram, zero_rtt_len + len[1]);
	assert_int_equal(bench->outputs, 2);
	assert_int_equal(bench->out[1].packet.payload_len_bytes, zero_rtt_len + len[1]);
	bench_close(bench);
}

static void garbage_does_not_spoil_a_flight(void **unused)
{
	struct bench *bench = bench_open(64);
	uint8_t halves[2][1500], garbage[1500];
	size_t len[2];

	(void)unused;
	initial_halves(halves, len, "a.test", "0001020304050607");
	from(bench, "192.0.2.1", CLIENT_PORT, halves[0], len[0]);
	memcpy(garbage, halves[1], len[1]);
	garbage[700] ^= 0x80;
	from(bench, "192.0.2.1", CLIENT_PORT, garbage, len[1]);
	assert_dropped(bench, DROP_DECRYPT_FAILED, 1);
	from(bench, "192.0.2.1", CLIENT_PORT, halves[1], len[1]);
	assert_int_equal(bench->outputs, 2);
	bench_close(bench);
}

static void new_sessions_of_one_source_are_limited(void **unused)
{
	struct bench *bench = bench_open(128);
	uint8_t datagram[1500];
	size_t len = initial(datagram, "a.test", "0001020304050607");

	(void)unused;
	for (unsigned i = 0; i < 60; i++)
		from(bench, "192.0.2.1", (uint16_t)(1 + i), datagram, len);
	assert_int_equal(bench->f.sessions.live, 50);
	assert_dropped(bench, DROP_SOURCE_RATE, 10);
	from(bench, "192.0.2.2", 1, datagram, len);
	assert_to_backend(bench, A);
	bench->f.now_ns += 1000000000;
	from(bench, "192.0.2.1", 1000, datagram, len);
	assert_to_backend(bench, A);
	bench_close(bench);
}

/* Full of confirmed sessions: refused. Full with unconfirmed ones: the oldest of them goes. */
static void full_table_evicts_unconfirmed_sessions_only(void **unused)
{
	struct bench *bench = bench_open(8);
	uint8_t datagram[1500];
	char dcid[17], cid[17];

	(void)unused;
	for (unsigned i = 0; i < 7; i++) {
		snprintf(dcid, sizeof(dcid), "00000000000000%02x", i);
		snprintf(cid, sizeof(cid), "ff000000000000%02x", i);
		connect_to(bench, "192.0.2.1", (uint16_t)(1 + i), "a.test", dcid, cid);
	}
	for (unsigned i = 0; i < 2; i++) {
		from(bench, "192.0.2.2", (uint16_t)(1 + i), datagram, initial(datagram, "a.test", "0001020304050607"));
		assert_to_backend(bench, A);
	}
	assert_int_equal(bench->f.counters->events[EVENT_SESSION_EVICTED], 1);
	connect_to(bench, "192.0.2.2", 9, "a.test", "0001020304050608", "ff000000000000ff");
	from(bench, "192.0.2.3", 1, datagram, initial(datagram, "a.test", "0001020304050607"));
	assert_dropped(bench, DROP_SESSIONS_FULL, 1);
	from(bench, "192.0.2.1", 1, datagram, short_header(datagram, "ff00000000000000", 60));
	assert_to_backend(bench, A);
	bench_close(bench);
}

static void idle_sessions_end_and_leave_nothing(void **unused)
{
	struct bench *bench = bench_open(64);
	uint8_t datagram[1500];

	(void)unused;
	connect_to(bench, "192.0.2.1", 1, "a.test", "a001020304050607", "a1a2a3a4a5a6a7a8");
	connect_to(bench, "192.0.2.1", 1, "b.test", "b001020304050607", "b1b2b3b4b5b6b7b8");
	from(bench, "192.0.2.7", 7, datagram, short_header(datagram, "a1a2a3a4a5a6a7a8", 60));
	from(bench, "192.0.2.2", 2, datagram, initial(datagram, "a.test", "0001020304050607"));
	assert_int_equal(bench->f.sessions.live, 3);
	bench->f.now_s += 11;
	forwarder_housekeeping(&bench->f, 64);
	assert_int_equal(bench->f.sessions.live, 2);
	bench->f.now_s += 180;
	from(bench, "192.0.2.1", 1, datagram, short_header(datagram, "b1b2b3b4b5b6b7b8", 60));
	forwarder_housekeeping(&bench->f, 64);
	assert_int_equal(bench->f.sessions.live, 1);
	from(bench, "192.0.2.1", 1, datagram, short_header(datagram, "b1b2b3b4b5b6b7b8", 60));
	assert_to_backend(bench, B);
	bench->f.now_s += 181;
	forwarder_housekeeping(&bench->f, 64);
	assert_int_equal(bench->f.sessions.live, 0);
	assert_int_equal(plain_count(&bench->state.paths), 0);
	assert_int_equal(plain_count(&bench->state.replies), 0);
	assert_int_equal(plain_count(&bench->state.cids), 0);
	bench_close(bench);
}

/* A socket that opens connection after connection to one backend. */
static void sessions_of_one_path_are_capped(void **unused)
{
	struct bench *bench = bench_open(64);
	uint8_t datagram[1500];
	char dcid[17], cid[17];

	(void)unused;
	for (unsigned i = 0; i < SESSIONS_PER_PATH + 3; i++) {
		snprintf(dcid, sizeof(dcid), "00000000000000%02x", i);
		snprintf(cid, sizeof(cid), "ff000000000000%02x", i);
		connect_to(bench, "192.0.2.1", 1, "a.test", dcid, cid);
	}
	assert_int_equal(bench->f.sessions.live, SESSIONS_PER_PATH);
	assert_int_equal(plain_count(&bench->state.paths), 1);
	from(bench, "192.0.2.1", 1, datagram, short_header(datagram, "ff00000000000000", 60));
	assert_to_backend(bench, A);
	bench_close(bench);
}

static void frame_of_another_worker_is_handed_over(void **unused)
{
	struct bench *bench = malloc(sizeof(*bench));
	uint8_t datagram[1500];
	unsigned mine = 0, handed = 0;
	struct handover *handover;

	(void)unused;
	bench_open_workers(bench, 64, 0, 2);
	for (unsigned i = 0; i < 8; i++) {
		from(bench, "192.0.2.1", (uint16_t)(1 + i), datagram, initial(datagram, "a.test", "0001020304050607"));
		mine += bench->outputs;
	}
	while ((handover = ring_front(&bench->handovers))) {
		assert_int_equal(handover->len_bytes, 1200 + 42);
		assert_memory_equal(handover->frame + 42, datagram, 1200);
		handed++;
		ring_pop(&bench->handovers);
	}
	assert_int_equal(mine + handed, 8);
	assert_true(mine > 0 && handed > 0);
	bench_close(bench);
}

static void ttl_and_mtu_end_here(void **unused)
{
	struct bench *bench = bench_open(64);
	uint8_t datagram[1500];

	(void)unused;
	connect_to(bench, "192.0.2.1", CLIENT_PORT, "a.test", "0001020304050607", SERVER_CID);
	short_header(datagram, SERVER_CID, 1400);
	send_flow(bench, &(struct udp_flow){ "192.0.2.1", CLIENT_PORT, LISTENER, 443, 1, 0 }, datagram, 60);
	assert_dropped(bench, DROP_TTL_EXPIRED, 1);
	plain_nexthop(&bench->state, TO_BACKENDS, 1, 1400);
	from(bench, "192.0.2.1", CLIENT_PORT, datagram, 1373);
	assert_dropped(bench, DROP_EGRESS_MTU, 1);
	from(bench, "192.0.2.1", CLIENT_PORT, datagram, 1372);
	assert_to_backend(bench, A);
	bench_close(bench);
}

/* Every bit of a conversation flipped once: nothing is lost, nothing reaches a backend that was not named. */
static void damaged_datagrams_lose_no_frame(void **unused)
{
	struct bench *bench = bench_open(64);
	uint8_t datagram[1500];
	size_t len = initial(datagram, "a.test", "0001020304050607");

	(void)unused;
	for (size_t bit = 0; bit < 60 * 8; bit++) {
		datagram[bit / 8] ^= (uint8_t)(1 << bit % 8);
		from(bench, "192.0.2.1", (uint16_t)(1 + bit), datagram, len);
		assert_int_equal(bench->outputs, 0);
		datagram[bit / 8] ^= (uint8_t)(1 << bit % 8);
		bench->f.now_ns += 1000000000;
	}
	for (size_t cut = 1; cut < len; cut++) {
		from(bench, "192.0.2.1", 1, datagram, cut);
		assert_int_equal(bench->outputs, 0);
	}
	assert_int_equal(bench->f.sessions.live, 0);
	bench_close(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sni_names_the_backend_and_replies_come_back),
		cmocka_unit_test(first_flight_over_two_datagrams_is_held_and_sent_in_order),
		cmocka_unit_test(what_may_not_open_state_is_dropped_with_its_reason),
		cmocka_unit_test(small_initial_opens_nothing),
		cmocka_unit_test(packets_of_no_connection_are_dropped),
		cmocka_unit_test(unknown_version_goes_to_the_default_route_if_there_is_one),
		cmocka_unit_test(wildcard_and_default_routes),
		cmocka_unit_test(unconfirmed_client_gets_three_times_what_it_sent),
		cmocka_unit_test(backend_that_sends_more_has_validated_a_client_without_token),
		cmocka_unit_test(retry_keeps_the_session),
		cmocka_unit_test(client_waits_for_its_next_hop),
		cmocka_unit_test(pending_flights_are_bounded),
		cmocka_unit_test(initial_behind_zero_rtt_completes_a_flight),
		cmocka_unit_test(garbage_does_not_spoil_a_flight),
		cmocka_unit_test(new_sessions_of_one_source_are_limited),
		cmocka_unit_test(full_table_evicts_unconfirmed_sessions_only),
		cmocka_unit_test(idle_sessions_end_and_leave_nothing),
		cmocka_unit_test(sessions_of_one_path_are_capped),
		cmocka_unit_test(frame_of_another_worker_is_handed_over),
		cmocka_unit_test(ttl_and_mtu_end_here),
		cmocka_unit_test(damaged_datagrams_lose_no_frame),
	};

	return cmocka_run_group_tests_name("forwarder", tests, bench_thread_begin, bench_thread_end);
}
