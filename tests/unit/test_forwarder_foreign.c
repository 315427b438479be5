/* SPDX-License-Identifier: MIT */
/*
 * Unit tests of the forwarder: connections whose handshake it has not seen, but
 * whose connection IDs name their server by QUIC-LB; and what somebody can do
 * who knows how such IDs are made.
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
#include "tests/lib/quic_lb_encode.h"

#define STRANGER "198.51.100.9"
#define PORT 777
#define ID_A "ed793a"
#define ID_B "0b1e55"

static const uint8_t key[QUIC_LB_KEY_LEN] = { 0x8f, 0x95, 0xf0, 0x92, 0x45, 0x76, 0x5f, 0x80,
					      0x25, 0x69, 0x34, 0xe5, 0x0c, 0x66, 0x20, 0x7f };
static struct quic_lb *lb;

/* Rotation 0: four passes, IDs of 8 bytes. Rotation 1: plain, also of 8. */
static struct bench *lb_bench_open(uint32_t sessions, uint32_t worker, uint32_t workers)
{
	static const struct quic_lb_server servers[] = { { { 0xed, 0x79, 0x3a }, A }, { { 0x0b, 0x1e, 0x55 }, B } };
	const struct quic_lb_options options[] = {
		{ .rotation = 0, .server_id_len = 3, .nonce_len = 4, .key = key, .servers = servers, .server_count = 2 },
		{ .rotation = 1, .server_id_len = 3, .nonce_len = 4, .servers = servers, .server_count = 2 },
	};
	struct bench *bench = malloc(sizeof(*bench));

	bench_open_workers(bench, sessions, worker, workers);
	assert_int_equal(quic_lb_new(&lb, options, 2), 0);
	bench->f.quic_lb = lb;
	bench->f.quic_lb_crypto = quic_lb_crypto_new(lb);
	assert_non_null(bench->f.quic_lb_crypto);
	return bench;
}

static void lb_bench_close(struct bench *bench)
{
	bench_close(bench);
	quic_lb_free(lb);
}

/* The n-th connection ID of a server, in hexadecimal digits; good until the next. */
static const char *lb_cid(unsigned rotation, const char *server_id, uint8_t n)
{
	static char text[2 * CID_LEN_MAX + 1];
	struct quic_cid id = cid_from_hex(server_id);
	const uint8_t nonce[4] = { 0x51, 0x52, 0x53, n };
	struct quic_cid cid = quic_lb_encode((uint8_t)(rotation << 5 | 7), rotation == 0 ? key : NULL, id.bytes, id.len,
					     nonce, sizeof(nonce));

	for (unsigned i = 0; i < cid.len; i++)
		snprintf(text + 2 * i, 3, "%02x", cid.bytes[i]);
	return text;
}

static void short_from(struct bench *bench, const char *client, uint16_t port, const char *dcid, size_t size)
{
	uint8_t datagram[1500];

	from(bench, client, port, datagram, short_header(datagram, dcid, size));
}

static void answer(struct bench *bench, uint32_t backend, uint16_t port, size_t size)
{
	uint8_t datagram[1500];

	from_server(bench, backend, port, datagram, short_header(datagram, "", size));
}

static uint64_t event(const struct bench *bench, enum event event)
{
	return bench->f.counters->events[event];
}

/* The session of a 4-tuple's default path. */
static const struct session *session_at(const struct bench *bench, const char *client, uint16_t port)
{
	struct addr listener = plain_addr(LISTENER);
	struct tuple tuple = { plain_addr(client), htons(port), 0 };
	struct endpoint endpoint;
	struct path_entry path;
	uint32_t slot;

	assert_true(endpoint_find(&bench->state, &listener, htons(443), &slot, &endpoint));
	tuple.endpoint = (uint16_t)slot;
	assert_true(path_find(&bench->state, &tuple, &slot, &path));
	return &bench->state.sessions[path.session];
}

static void unknown_cid_goes_to_the_server_that_it_names(void **unused)
{
	static const struct {
		unsigned rotation;
		const char *server_id;
		uint32_t backend;
	} rows[] = { { 0, ID_A, A }, { 0, ID_B, B }, { 1, ID_A, A }, { 1, ID_B, B } };
	struct bench *bench = lb_bench_open(64, 0, 1);

	(void)unused;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint16_t port;

		short_from(bench, STRANGER, (uint16_t)(PORT + i), lb_cid(rows[i].rotation, rows[i].server_id, 1), 60);
		assert_to_backend(bench, rows[i].backend);
		port = relay_port(bench);
		assert_int_equal(event(bench, EVENT_QUIC_LB_OPENED), i + 1);
		answer(bench, rows[i].backend, port, 60);
		assert_to_client(bench, STRANGER, (uint16_t)(PORT + i));
		/* The same again, and the next ID of that client, go the same way; nothing more is opened. */
		for (uint8_t n = 1; n <= 2; n++) {
			short_from(bench, STRANGER, (uint16_t)(PORT + i), lb_cid(rows[i].rotation, rows[i].server_id, n), 60);
			assert_to_backend(bench, rows[i].backend);
			assert_int_equal(relay_port(bench), port);
		}
		assert_int_equal(event(bench, EVENT_QUIC_LB_OPENED), i + 1);
	}
	lb_bench_close(bench);
}

/* The client's address changes together with its ID: the relay sees an ID that it does not know. */
static void active_migration_reaches_the_server(void **unused)
{
	struct bench *bench = lb_bench_open(64, 0, 1);
	uint16_t old;

	(void)unused;
	old = connect_to(bench, "192.0.2.1", CLIENT_PORT, "b.test", "b001020304050607", lb_cid(0, ID_B, 1));
	short_from(bench, STRANGER, PORT, lb_cid(0, ID_B, 2), 60);
	assert_to_backend(bench, B);
	assert_int_not_equal(relay_port(bench), old);
	/* That ID is known now: from a third address it is a changed address of that session. */
	short_from(bench, STRANGER, PORT + 1, lb_cid(0, ID_B, 2), 60);
	assert_to_backend(bench, B);
	assert_int_equal(event(bench, EVENT_QUIC_LB_OPENED), 1);
	assert_int_equal(event(bench, EVENT_PATH_MIGRATED), 1);
	answer(bench, B, old, 60);
	assert_to_client(bench, "192.0.2.1", CLIENT_PORT);
	lb_bench_close(bench);
}

/* The draft's "Server Actions": bytes behind the nonce are the server's own. A handshake shows how many. */
static void bytes_behind_the_nonce_do_not_matter(void **unused)
{
	struct bench *bench = lb_bench_open(64, 0, 1);
	char cid[2 * CID_LEN_MAX + 1];
	uint16_t port;

	(void)unused;
	snprintf(cid, sizeof(cid), "%s%s", lb_cid(0, ID_A, 1), "a1a2a3a4");
	short_from(bench, STRANGER, PORT, cid, 60);
	assert_to_backend(bench, A);
	port = relay_port(bench);
	short_from(bench, STRANGER, PORT, cid, 60);
	assert_int_equal(relay_port(bench), port);
	snprintf(cid, sizeof(cid), "%s%s", lb_cid(0, ID_A, 2), "b1b2b3b4");
	connect_to(bench, "192.0.2.1", CLIENT_PORT, "a.test", "a001020304050607", cid);
	snprintf(cid, sizeof(cid), "%s%s", lb_cid(0, ID_A, 3), "c1c2c3c4");
	short_from(bench, "192.0.2.7", 7, cid, 60);
	assert_to_backend(bench, A);
	assert_int_equal(event(bench, EVENT_QUIC_LB_OPENED), 2);
	/* As long as the kernel reports this backend's: aliases are of one length. */
	assert_int_equal(session_at(bench, STRANGER, PORT)->cid_len, 8);
	assert_int_equal(session_at(bench, "192.0.2.7", 7)->cid_len, 12);
	short_from(bench, "192.0.2.8", 8, cid, 60);
	assert_to_backend(bench, A);
	assert_int_equal(event(bench, EVENT_PATH_MIGRATED), 1);
	lb_bench_close(bench);
}

static void what_names_no_server_is_dropped_and_counted(void **unused)
{
	static const struct {
		const char *cid;
		size_t size;
		enum event event;
	} rows[] = {
		{ "e7a1a2a3a4a5a6a7", 60, EVENT_QUIC_LB_UNROUTABLE },
		{ "47ed793a51525301", 60, EVENT_QUIC_LB_UNKNOWN_CONFIG },
		{ "27ed793b51525301", 60, EVENT_QUIC_LB_UNKNOWN_SERVER },
		{ "27ed793a51525301", 28, EVENT_COUNT }, /* too short for an ID of 8 bytes */
		{ "", 21, EVENT_COUNT },
	};
	struct bench *bench = lb_bench_open(64, 0, 1);

	(void)unused;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		short_from(bench, STRANGER, PORT, rows[i].cid, rows[i].size);
		assert_dropped(bench, DROP_UNKNOWN_CID, i + 1);
		if (rows[i].event != EVENT_COUNT)
			assert_int_equal(event(bench, rows[i].event), 1);
	}
	assert_int_equal(plain_count(&bench->state.paths), 0);
	lb_bench_close(bench);
}

/* A client that the SNI leads elsewhere than its random first ID: the SNI decides, and for its 0-RTT nothing does. */
static void first_flight_is_routed_by_sni_alone(void **unused)
{
	struct bench *bench = lb_bench_open(64, 0, 1);
	uint8_t datagram[1500];

	(void)unused;
	from(bench, STRANGER, PORT, datagram, opaque(datagram, QUIC_0RTT, lb_cid(1, ID_A, 1), "", 1200));
	assert_dropped(bench, DROP_NOT_INITIAL, 1);
	from(bench, STRANGER, PORT, datagram, initial(datagram, "b.test", lb_cid(1, ID_A, 1)));
	assert_to_backend(bench, B);
	assert_int_equal(event(bench, EVENT_QUIC_LB_OPENED), 0);
	lb_bench_close(bench);
}

/* Its keys are not of this DCID, which the server chose in answer to the first. */
static void handshake_that_began_elsewhere_goes_on(void **unused)
{
	static const enum quic_type types[] = { QUIC_INITIAL, QUIC_HANDSHAKE };
	uint8_t datagram[1500];

	(void)unused;
	for (unsigned i = 0; i < 2; i++) {
		struct bench *bench = lb_bench_open(64, 0, 1);
		uint16_t port;

		from(bench, STRANGER, PORT, datagram, opaque(datagram, types[i], lb_cid(0, ID_B, 1), "c1c1", 1200));
		assert_to_backend(bench, B);
		port = relay_port(bench);
		from_server(bench, B, port, datagram, opaque(datagram, QUIC_HANDSHAKE, "c1c1", lb_cid(0, ID_B, 1), 1000));
		assert_to_client(bench, STRANGER, PORT);
		short_from(bench, STRANGER, PORT, lb_cid(0, ID_B, 1), 60);
		assert_to_backend(bench, B);
		assert_int_equal(relay_port(bench), port);
		assert_int_equal(event(bench, EVENT_QUIC_LB_OPENED), 1);
		lb_bench_close(bench);
	}
}

/* Nothing tells the two sessions of this socket apart but what the ID says. */
static void ambiguous_cid_goes_to_the_server_that_it_names(void **unused)
{
	struct bench *bench = lb_bench_open(64, 0, 1);
	uint16_t port_a, port_b;

	(void)unused;
	port_a = connect_to(bench, "192.0.2.1", CLIENT_PORT, "a.test", "a001020304050607", lb_cid(0, ID_A, 1));
	port_b = connect_to(bench, "192.0.2.1", CLIENT_PORT, "b.test", "b001020304050607", lb_cid(0, ID_B, 1));
	for (unsigned i = 0; i < 2; i++) {
		short_from(bench, "192.0.2.1", CLIENT_PORT, lb_cid(0, ID_B, 2), 60);
		assert_int_equal(relay_port(bench), port_b);
		short_from(bench, "192.0.2.1", CLIENT_PORT, lb_cid(0, ID_A, 2), 60);
		assert_int_equal(relay_port(bench), port_a);
	}
	assert_int_equal(event(bench, EVENT_ALIAS_LEARNED), 2);
	assert_int_equal(event(bench, EVENT_QUIC_LB_OPENED), 0);
	lb_bench_close(bench);
}

/* What the client sends there counts for what it may be sent. */
static void ambiguous_cid_counts_for_an_unconfirmed_session(void **unused)
{
	struct bench *bench = lb_bench_open(64, 0, 1);
	uint8_t datagram[1500];

	(void)unused;
	from(bench, "192.0.2.1", CLIENT_PORT, datagram, initial(datagram, "b.test", "b001020304050607"));
	connect_to(bench, "192.0.2.1", CLIENT_PORT, "a.test", "a001020304050607", lb_cid(0, ID_A, 1));
	for (unsigned i = 0; i < 2; i++) /* an alias: so no other unknown ID is taken for a's */
		short_from(bench, "192.0.2.1", CLIENT_PORT, lb_cid(0, ID_A, 2), 60);
	assert_int_equal(session_at(bench, "192.0.2.1", CLIENT_PORT)->client_bytes, 1200);
	short_from(bench, "192.0.2.1", CLIENT_PORT, lb_cid(0, ID_B, 1), 60);
	assert_to_backend(bench, B);
	assert_int_equal(session_at(bench, "192.0.2.1", CLIENT_PORT)->client_bytes, 1260);
	lb_bench_close(bench);
}

/* --- who may be somebody else -------------------------------------------------------------------------- */

static void answered_session_is_confirmed_by_the_client_s_next_packet(void **unused)
{
	struct bench *bench = lb_bench_open(64, 0, 1);
	uint16_t port;

	(void)unused;
	short_from(bench, STRANGER, PORT, lb_cid(0, ID_A, 1), 60);
	port = relay_port(bench);
	/* Its own ID proves nothing: anybody may have seen it, or made it. */
	short_from(bench, STRANGER, PORT, lb_cid(0, ID_A, 1), 60);
	assert_int_equal(event(bench, EVENT_SESSION_CONFIRMED), 0);
	answer(bench, A, port, 119);
	short_from(bench, STRANGER, PORT, lb_cid(0, ID_A, 1), 60);
	assert_int_equal(event(bench, EVENT_SESSION_CONFIRMED), 0);
	answer(bench, A, port, 61); /* 180 for 180 */
	short_from(bench, STRANGER, PORT, lb_cid(0, ID_A, 1), 60);
	assert_int_equal(event(bench, EVENT_SESSION_CONFIRMED), 1);
	answer(bench, A, port, 1200);
	assert_to_client(bench, STRANGER, PORT);
	lb_bench_close(bench);
}

/* A made-up ID from a spoofed address: the server knows no such connection, and says so to the spoofed one. */
static void stateless_resets_do_not_confirm(void **unused)
{
	struct bench *bench = lb_bench_open(64, 0, 1);
	uint16_t port;

	(void)unused;
	for (unsigned i = 0; i < 100; i++) {
		short_from(bench, STRANGER, PORT, lb_cid(1, ID_A, (uint8_t)i), 60 + i);
		port = relay_port(bench);
		answer(bench, A, port, 59 + i);
	}
	assert_int_equal(event(bench, EVENT_SESSION_CONFIRMED), 0);
	assert_int_equal(event(bench, EVENT_QUIC_LB_OPENED), 1);
	lb_bench_close(bench);
}

static void unconfirmed_client_is_sent_three_times_what_it_sent(void **unused)
{
	struct bench *bench = lb_bench_open(64, 0, 1);
	uint16_t port;

	(void)unused;
	short_from(bench, STRANGER, PORT, lb_cid(0, ID_A, 1), 60);
	port = relay_port(bench);
	answer(bench, A, port, 181);
	assert_dropped(bench, DROP_AMPLIFICATION, 1);
	answer(bench, A, port, 180);
	assert_to_client(bench, STRANGER, PORT);
	answer(bench, A, port, 21);
	assert_dropped(bench, DROP_AMPLIFICATION, 2);
	lb_bench_close(bench);
}

static void sessions_of_one_source_are_limited(void **unused)
{
	struct bench *bench = lb_bench_open(1024, 0, 1);

	(void)unused;
	for (unsigned i = 0; i < 50; i++) { /* new_sessions_per_s_per_source of the bench */
		short_from(bench, STRANGER, (uint16_t)(PORT + i), lb_cid(1, ID_A, (uint8_t)i), 60);
		assert_to_backend(bench, A);
	}
	short_from(bench, STRANGER, PORT + 50, lb_cid(1, ID_A, 50), 60);
	assert_dropped(bench, DROP_SOURCE_RATE, 1);
	lb_bench_close(bench);
}

static void sessions_of_all_sources_are_limited(void **unused)
{
	struct bench *bench = lb_bench_open(1024, 0, 1);
	char client[32];
	unsigned opened = 1024 / 16;

	(void)unused;
	for (unsigned i = 0; i <= opened; i++) {
		snprintf(client, sizeof(client), "198.51.100.%u", i + 1);
		short_from(bench, client, PORT, lb_cid(1, ID_A, (uint8_t)i), 60);
		if (i < opened)
			assert_to_backend(bench, A);
	}
	assert_dropped(bench, DROP_FOREIGN_RATE, 1);
	/* Those that it knows go on, and a second later there is room again. */
	short_from(bench, "198.51.100.1", PORT, lb_cid(1, ID_A, 0), 60);
	assert_to_backend(bench, A);
	bench->f.now_ns += 1000000000;
	short_from(bench, client, PORT, lb_cid(1, ID_A, (uint8_t)opened), 60);
	assert_to_backend(bench, A);
	lb_bench_close(bench);
}

/* Of several workers the 4-tuple's owner opens; what names no server troubles nobody else. */
static void only_what_names_a_server_is_handed_over(void **unused)
{
	struct bench *bench = lb_bench_open(1024, 0, 2);
	unsigned handed_over;

	(void)unused;
	for (uint16_t i = 0; i < 32; i++)
		short_from(bench, STRANGER, (uint16_t)(PORT + i), "27ffffff51525301", 60);
	assert_int_equal(ring_count(&bench->handovers), 0);
	for (uint16_t i = 0; i < 8; i++)
		short_from(bench, STRANGER, (uint16_t)(PORT + i), lb_cid(1, ID_A, (uint8_t)i), 60);
	handed_over = ring_count(&bench->handovers);
	assert_true(handed_over > 0 && handed_over < 8);
	assert_int_equal(event(bench, EVENT_QUIC_LB_OPENED), 8 - handed_over);
	lb_bench_close(bench);
}

static void our_own_address_is_a_loop(void **unused)
{
	struct bench *bench = lb_bench_open(64, 0, 1);

	(void)unused;
	short_from(bench, RELAY, PORT, lb_cid(0, ID_A, 1), 60);
	assert_dropped(bench, DROP_LOOP, 1);
	lb_bench_close(bench);
}

static void unknown_way_to_the_client_is_asked_for(void **unused)
{
	struct bench *bench = lb_bench_open(64, 0, 1);

	(void)unused;
	bench->nexthop = NEXTHOP_WANTED;
	short_from(bench, STRANGER, PORT, lb_cid(0, ID_A, 1), 60);
	assert_dropped(bench, DROP_NO_NEXTHOP, 1);
	assert_int_equal(ring_count(&bench->requests), 1);
	bench->nexthop = NEXTHOP_FOUND;
	short_from(bench, STRANGER, PORT, lb_cid(0, ID_A, 1), 60);
	assert_to_backend(bench, A);
	lb_bench_close(bench);
}

/* The configuration says whether the server sees the client itself: of its first address, and of those after. */
static void server_sees_the_client_where_its_configuration_says_so(void **unused)
{
	static const struct {
		const char *client;
		uint16_t port;
	} rows[] = { { STRANGER, PORT + 1 }, { "203.0.113.99", 99 } };
	struct bench *bench = lb_bench_open(64, 0, 1);
	char cid[2 * CID_LEN_MAX + 1];
	uint8_t datagram[1500];

	(void)unused;
	bench->f.quic_lb_preserve = 1 << 1;
	short_from(bench, STRANGER, PORT, lb_cid(0, ID_A, 1), 60);
	assert_to_backend(bench, A);
	snprintf(cid, sizeof(cid), "%s", lb_cid(1, ID_B, 1));
	for (unsigned i = 0; i < 2; i++) {
		struct addr client = plain_addr(rows[i].client);

		short_from(bench, rows[i].client, rows[i].port, cid, 60);
		assert_int_equal(bench->outputs, 1);
		assert_true(addr_equal(&bench->out[0].packet.src, &client));
		assert_int_equal(relay_port(bench), rows[i].port);
		send_flow(bench, &(struct udp_flow){ .src = "10.0.0.6", .src_port = 7002, .dst = rows[i].client,
						     .dst_port = rows[i].port }, datagram, short_header(datagram, "", 60));
		assert_to_client(bench, rows[i].client, rows[i].port);
	}
	assert_int_equal(event(bench, EVENT_QUIC_LB_OPENED), 2);
	assert_int_equal(event(bench, EVENT_PATH_MIGRATED), 1);
	lb_bench_close(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unknown_cid_goes_to_the_server_that_it_names),
		cmocka_unit_test(active_migration_reaches_the_server),
		cmocka_unit_test(bytes_behind_the_nonce_do_not_matter),
		cmocka_unit_test(what_names_no_server_is_dropped_and_counted),
		cmocka_unit_test(first_flight_is_routed_by_sni_alone),
		cmocka_unit_test(handshake_that_began_elsewhere_goes_on),
		cmocka_unit_test(ambiguous_cid_goes_to_the_server_that_it_names),
		cmocka_unit_test(ambiguous_cid_counts_for_an_unconfirmed_session),
		cmocka_unit_test(answered_session_is_confirmed_by_the_client_s_next_packet),
		cmocka_unit_test(stateless_resets_do_not_confirm),
		cmocka_unit_test(unconfirmed_client_is_sent_three_times_what_it_sent),
		cmocka_unit_test(sessions_of_one_source_are_limited),
		cmocka_unit_test(sessions_of_all_sources_are_limited),
		cmocka_unit_test(only_what_names_a_server_is_handed_over),
		cmocka_unit_test(our_own_address_is_a_loop),
		cmocka_unit_test(unknown_way_to_the_client_is_asked_for),
		cmocka_unit_test(server_sees_the_client_where_its_configuration_says_so),
	};

	return cmocka_run_group_tests_name("forwarder_foreign", tests, bench_thread_begin, bench_thread_end);
}
