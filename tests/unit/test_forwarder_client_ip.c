/* SPDX-License-Identifier: MIT */
/*
 * Unit tests of the forwarder: sessions of a route with `client_ip: preserve`,
 * whose backends see their clients' own addresses and ports, and answer to
 * those: such a packet is for none of our addresses.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lib/families_bench.h"

#define ELSEWHERE4 "198.51.100.9"
#define ELSEWHERE6 "2001:db8:d::9"
#define BACKEND4 "10.0.0.5"
#define DCID "0001020304050607"

/* a.test and six.test preserve, b.test does not. */
static struct bench *client_ip_open(void)
{
	struct bench *bench = families_open();

	bench_route_preserve(bench, "a.test", A);
	bench_route_preserve(bench, "six.test", SIX);
	return bench;
}

static const char *backend_address(uint32_t backend)
{
	return backend == SIX ? BACKEND6 : BACKEND4;
}

static uint16_t backend_port(uint32_t backend)
{
	return backend == SIX ? 7003 : 7001;
}

/* Through the relay to the backend, which sees the client itself. */
static void there(struct bench *bench, const char *client, uint32_t backend, const void *payload, size_t len)
{
	from_any(bench, client, payload, len);
	assert_sent(bench, client, CLIENT_PORT, backend_address(backend), backend_port(backend), payload, len);
	assert_int_equal(bench->out[0].interface, 1);
}

static void from_backend_to(struct bench *bench, uint32_t backend, const char *client, uint16_t port,
			    const void *payload, size_t len)
{
	send_flow(bench, &(struct udp_flow){ .src = backend_address(backend), .src_port = backend_port(backend),
					     .dst = client, .dst_port = port }, payload, len);
}

/* From the backend to the client itself, which sees the listener. */
static void back(struct bench *bench, uint32_t backend, const char *client, const void *payload, size_t len)
{
	from_backend_to(bench, backend, client, CLIENT_PORT, payload, len);
	assert_sent(bench, is_v6(client) ? LISTENER6 : LISTENER, 443, client, CLIENT_PORT, payload, len);
	assert_int_equal(bench->out[0].interface, 0);
}

/* A confirmed session. */
static void connect_as_client(struct bench *bench, const char *client, uint32_t backend)
{
	uint8_t datagram[1500];

	there(bench, client, backend, datagram, initial(datagram, backend == SIX ? "six.test" : "a.test", DCID));
	back(bench, backend, client, datagram, opaque(datagram, QUIC_INITIAL, "", SERVER_CID, 1200));
	there(bench, client, backend, datagram, opaque(datagram, QUIC_HANDSHAKE, SERVER_CID, "", 100));
	assert_int_equal(bench->f.counters->events[EVENT_SESSION_CONFIRMED], 1);
}

static unsigned overflows(const struct table *table)
{
	unsigned sum = 0;

	for (uint32_t slot = 0; slot < table->slots; slot++)
		sum += ((struct entry_head *)table_at(table, slot))->overflow;
	return sum;
}

static void all_idle_leaves_nothing(struct bench *bench)
{
	bench->f.now_s += 1000;
	for (unsigned i = 0; i < 2; i++)
		forwarder_housekeeping(&bench->f, 64);
	assert_int_equal(bench->f.sessions.live, 0);
	assert_int_equal(plain_count(&bench->state.paths), 0);
	assert_int_equal(plain_count(&bench->state.replies), 0);
	assert_int_equal(overflows(&bench->state.replies), 0);
}

static const struct {
	const char *client, *elsewhere;
	uint32_t backend;
} families[] = { { CLIENT4, ELSEWHERE4, A }, { CLIENT6, ELSEWHERE6, SIX } };

enum { FAMILIES = sizeof(families) / sizeof(families[0]) };

static void backend_sees_the_client_and_answers_to_it(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < FAMILIES; i++) {
		const char *client = families[i].client;
		uint32_t backend = families[i].backend, slot;
		struct bench *bench = client_ip_open();
		uint8_t datagram[1500];

		connect_as_client(bench, client, backend);
		there(bench, client, backend, datagram, short_header(datagram, SERVER_CID, 1201));
		back(bench, backend, client, datagram, short_header(datagram, "", 701));
		back(bench, backend, client, datagram, opaque(datagram, QUIC_HANDSHAKE, "", SERVER_CID, 300));
		for (slot = 0; !entry_is_live(table_at(&bench->state.replies, slot)); slot++)
			;
		/* The kernel may go on: both entries say so. */
		assert_true(((struct reply_entry *)table_at(&bench->state.replies, slot))->flags & REPLY_CONFIRMED);
		all_idle_leaves_nothing(bench);
		bench_close(bench);
	}
}

/* What no session's backend sends to its client is nothing of ours. */
static void other_packets_to_others_are_dropped(void **unused)
{
	static const struct udp_flow flows[] = {
		{ .src = BACKEND4, .src_port = 7001, .dst = CLIENT4, .dst_port = CLIENT_PORT + 1 },
		{ .src = BACKEND4, .src_port = 7001, .dst = ELSEWHERE4, .dst_port = CLIENT_PORT },
		{ .src = BACKEND4, .src_port = 7002, .dst = CLIENT4, .dst_port = CLIENT_PORT },
		{ .src = "10.0.0.6", .src_port = 7001, .dst = CLIENT4, .dst_port = CLIENT_PORT },
		{ .src = BACKEND4, .src_port = 7001, .dst = RELAY, .dst_port = CLIENT_PORT },
		{ .src = CLIENT4, .src_port = CLIENT_PORT, .dst = BACKEND4, .dst_port = 7001 },
	};
	struct bench *bench = client_ip_open();
	uint8_t datagram[1500];

	(void)unused;
	connect_as_client(bench, CLIENT4, A);
	for (unsigned i = 0; i < sizeof(flows) / sizeof(flows[0]); i++) {
		send_flow(bench, &flows[i], datagram, short_header(datagram, SERVER_CID, 100));
		assert_dropped(bench, DROP_UNKNOWN_RELAY_PORT, i + 1);
	}
	bench_close(bench);
}

/* RFC 9000 s8.1 is kept for the backend, here too. */
static void unconfirmed_gets_three_times_what_it_sent(void **unused)
{
	struct bench *bench = client_ip_open();
	uint8_t datagram[1500];

	(void)unused;
	there(bench, CLIENT4, A, datagram, initial(datagram, "a.test", DCID));
	for (unsigned i = 0; i < 3; i++)
		back(bench, A, CLIENT4, datagram, opaque(datagram, QUIC_INITIAL, "", SERVER_CID, 1200));
	from_backend_to(bench, A, CLIENT4, CLIENT_PORT, datagram, opaque(datagram, QUIC_INITIAL, "", SERVER_CID, 100));
	assert_dropped(bench, DROP_AMPLIFICATION, 1);
	bench_close(bench);
}

/* A changed address is a new path, and the backend sees that address. */
static void client_that_moves_is_seen_where_it_is(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < FAMILIES; i++) {
		const char *client = families[i].client, *elsewhere = families[i].elsewhere;
		uint32_t backend = families[i].backend;
		struct bench *bench = client_ip_open();
		uint8_t datagram[1500];
		size_t len = short_header(datagram, SERVER_CID, 100);

		connect_as_client(bench, client, backend);
		there(bench, elsewhere, backend, datagram, len);
		assert_int_equal(bench->f.counters->events[EVENT_PATH_MIGRATED], 1);
		back(bench, backend, elsewhere, datagram, len);
		there(bench, elsewhere, backend, datagram, len);
		back(bench, backend, client, datagram, len);
		there(bench, client, backend, datagram, len);
		assert_int_equal(bench->f.counters->events[EVENT_PATH_MIGRATED], 1);
		assert_int_equal(bench->f.sessions.live, 1);
		all_idle_leaves_nothing(bench);
		bench_close(bench);
	}
}

/*
 * No address of one family is one of the other, and none of a link's means anything beyond it: such a client is behind
 * a relay address and port, as ever.
 */
static void client_without_an_address_over_there_is_behind_the_relay(void **unused)
{
	static const struct {
		const char *client, *name, *relay;
		uint32_t backend;
	} rows[] = {
		{ CLIENT4, "six.test", RELAY6, SIX },
		{ CLIENT6, "a.test", RELAY, A },
		{ "169.254.169.254", "a.test", RELAY, A },
		{ "fe80::7", "six.test", RELAY6, SIX },
		{ "febf::7", "six.test", RELAY6, SIX },
	};

	(void)unused;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bench *bench = client_ip_open();
		uint8_t datagram[1500];
		size_t len = initial(datagram, rows[i].name, DCID);
		uint16_t port;

		from_any(bench, rows[i].client, datagram, len);
		assert_sent(bench, rows[i].relay, 0, backend_address(rows[i].backend), backend_port(rows[i].backend),
			    datagram, len);
		port = relay_port(bench);
		len = opaque(datagram, QUIC_INITIAL, "", SERVER_CID, 1200);
		from_backend_to(bench, rows[i].backend, rows[i].relay, port, datagram, len);
		assert_sent(bench, is_v6(rows[i].client) ? LISTENER6 : LISTENER, 443, rows[i].client, CLIENT_PORT,
			    datagram, len);
		bench_close(bench);
	}
}

static void client_changes_its_family_and_back(void **unused)
{
	struct bench *bench = client_ip_open();
	uint8_t datagram[1500];
	size_t len = short_header(datagram, SERVER_CID, 100);
	uint16_t port;

	(void)unused;
	connect_as_client(bench, CLIENT4, A);
	from_any(bench, CLIENT6, datagram, len);
	assert_sent(bench, RELAY, 0, BACKEND4, 7001, datagram, len);
	port = relay_port(bench);
	from_backend_to(bench, A, RELAY, port, datagram, len);
	assert_sent(bench, LISTENER6, 443, CLIENT6, CLIENT_PORT, datagram, len);
	there(bench, ELSEWHERE4, A, datagram, len);
	back(bench, A, ELSEWHERE4, datagram, len);
	all_idle_leaves_nothing(bench);
	bench_close(bench);
}

/* By one socket, through another listener, to the same backend: nothing would tell the answers apart. */
static void address_that_is_taken_is_refused(void **unused)
{
	struct bench *bench = client_ip_open();
	struct addr second = plain_addr("203.0.113.6");
	struct udp_flow flow = { .src = CLIENT4, .src_port = CLIENT_PORT, .dst = "203.0.113.6", .dst_port = 443 };
	uint8_t datagram[1500];
	size_t len;

	(void)unused;
	assert_int_equal(endpoint_add(&bench->state, ENDPOINT_QUIC, &second, htons(443), 0, 0), 0);
	/* Unconfirmed, so it could be evicted: but not for that. */
	there(bench, CLIENT4, A, datagram, initial(datagram, "a.test", DCID));
	len = initial(datagram, "a.test", "1011121314151617");
	send_flow(bench, &flow, datagram, len);
	assert_dropped(bench, DROP_PORTS_EXHAUSTED, 1);
	assert_int_equal(bench->f.counters->events[EVENT_SESSION_EVICTED], 0);
	assert_int_equal(bench->f.sessions.live, 1);
	/* Another port of the client's, or the same once it is free. */
	flow.src_port++;
	send_flow(bench, &flow, datagram, len);
	assert_sent(bench, CLIENT4, CLIENT_PORT + 1, BACKEND4, 7001, datagram, len);
	all_idle_leaves_nothing(bench);
	flow.src_port--;
	send_flow(bench, &flow, datagram, len);
	assert_sent(bench, CLIENT4, CLIENT_PORT, BACKEND4, 7001, datagram, len);
	len = opaque(datagram, QUIC_INITIAL, "", SERVER_CID, 1200);
	from_backend_to(bench, A, CLIENT4, CLIENT_PORT, datagram, len);
	assert_sent(bench, "203.0.113.6", 443, CLIENT4, CLIENT_PORT, datagram, len);
	bench_close(bench);
}

/* One socket, two backends, one of which sees the client: each answers by its own way. */
static void backends_of_one_socket_keep_apart(void **unused)
{
	struct bench *bench = client_ip_open();
	uint8_t datagram[1500];
	uint16_t port;

	(void)unused;
	connect_as_client(bench, CLIENT4, A);
	port = connect_to(bench, CLIENT4, CLIENT_PORT, "b.test", "1011121314151617", "b0b1b2b3b4b5b6b7");
	from_server(bench, B, port, datagram, short_header(datagram, "", 100));
	assert_to_client(bench, CLIENT4, CLIENT_PORT);
	back(bench, A, CLIENT4, datagram, short_header(datagram, "", 100));
	there(bench, CLIENT4, A, datagram, short_header(datagram, SERVER_CID, 100));
	from(bench, CLIENT4, CLIENT_PORT, datagram, short_header(datagram, "b0b1b2b3b4b5b6b7", 100));
	assert_to_backend(bench, B);
	all_idle_leaves_nothing(bench);
	bench_close(bench);
}

/*
 * Two names lead to one backend, one preserves and one is pinned: one socket's connections to both share a path. Once
 * only the pinned one is left, its path is still none that could lead to another client.
 */
static void pinned_session_does_not_hold_a_clients_own_address(void **unused)
{
	struct route_plan pinned = { .pinned = true, .count = 1, .targets = { { A, 1, true, 1 } } };
	struct bench *bench = client_ip_open();
	uint8_t datagram[1500];
	struct session session;

	(void)unused;
	assert_int_equal(route_set(&bench->routes, "b.test", &pinned), 0);
	connect_as_client(bench, CLIENT4, A);
	there(bench, CLIENT4, A, datagram, initial(datagram, "b.test", "1011121314151617"));
	back(bench, A, CLIENT4, datagram, opaque(datagram, QUIC_INITIAL, "", "b0b1b2b3b4b5b6b7", 1200));
	there(bench, CLIENT4, A, datagram, opaque(datagram, QUIC_HANDSHAKE, "b0b1b2b3b4b5b6b7", "", 100));
	for (uint32_t slot = 0; slot < bench->state.session_slots; slot++)
		if (session_read(&bench->state, slot, &session) && !(session.flags & SESSION_PINNED))
			forwarder_session_end(&bench->f, slot, session.generation);
	assert_int_equal(bench->f.sessions.live, 1);
	from(bench, ELSEWHERE4, CLIENT_PORT, datagram, short_header(datagram, "b0b1b2b3b4b5b6b7", 100));
	assert_int_equal(bench->f.counters->events[EVENT_PINNED_PACKET], 0);
	assert_to_backend(bench, A); /* from the relay's address, as its route says */
	back(bench, A, CLIENT4, datagram, short_header(datagram, "", 100));
	all_idle_leaves_nothing(bench);
	bench_close(bench);
}

/* The backend's is answered from an address of ours, not in the client's name. */
static void too_big_is_answered_by_the_relay(void **unused)
{
	static const struct {
		const char *listener, *relay;
		size_t fits;                   /* bytes of UDP payload through an MTU of 1,400 */
	} rows[FAMILIES] = { { LISTENER, RELAY, 1372 }, { LISTENER6, RELAY6, 1352 } };

	(void)unused;
	for (unsigned i = 0; i < FAMILIES; i++) {
		const char *client = families[i].client;
		uint32_t backend = families[i].backend;
		struct bench *bench = client_ip_open();
		uint8_t datagram[1500];

		bench->state.backends[backend].relay_address = backend == SIX ? 1 : 0;
		connect_as_client(bench, client, backend);
		short_header(datagram, SERVER_CID, sizeof(datagram));
		plain_nexthop(&bench->state, TO_BACKENDS, 1, 1400);
		there(bench, client, backend, datagram, rows[i].fits);
		from_any(bench, client, datagram, rows[i].fits + 1);
		assert_too_big(bench, rows[i].listener, client, 0, 1400);

		plain_nexthop(&bench->state, TO_BACKENDS, 1, 1500);
		plain_nexthop(&bench->state, TO_CLIENTS, 0, 1400);
		back(bench, backend, client, datagram, rows[i].fits);
		from_backend_to(bench, backend, client, CLIENT_PORT, datagram, rows[i].fits + 1);
		assert_too_big(bench, rows[i].relay, backend_address(backend), 1, 1400);
		bench_close(bench);
	}
}

/* A reply on another worker's queue: what needs a write goes to the path's owner, the rest goes on at once. */
static void reply_is_handed_to_the_owner(void **unused)
{
	struct bench *bench = client_ip_open();
	uint8_t datagram[1500];
	struct path_entry path;
	uint32_t slot;

	(void)unused;
	bench->f.to_workers[1] = &bench->handovers;
	connect_as_client(bench, CLIENT4, A);
	assert_true(path_of(bench, CLIENT4, CLIENT_PORT, &slot, &path));
	path.owner = 1;
	path_write(&bench->state, slot, &path);
	from_backend_to(bench, A, CLIENT4, CLIENT_PORT, datagram,
			opaque(datagram, QUIC_HANDSHAKE, "", SERVER_CID, 300));
	assert_int_equal(bench->outputs, 0);
	assert_int_equal(bench->f.counters->events[EVENT_HANDED_OVER], 1);
	back(bench, A, CLIENT4, datagram, short_header(datagram, "", 100));
	bench_close(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(backend_sees_the_client_and_answers_to_it),
		cmocka_unit_test(other_packets_to_others_are_dropped),
		cmocka_unit_test(unconfirmed_gets_three_times_what_it_sent),
		cmocka_unit_test(client_that_moves_is_seen_where_it_is),
		cmocka_unit_test(client_without_an_address_over_there_is_behind_the_relay),
		cmocka_unit_test(client_changes_its_family_and_back),
		cmocka_unit_test(address_that_is_taken_is_refused),
		cmocka_unit_test(backends_of_one_socket_keep_apart),
		cmocka_unit_test(pinned_session_does_not_hold_a_clients_own_address),
		cmocka_unit_test(too_big_is_answered_by_the_relay),
		cmocka_unit_test(reply_is_handed_to_the_owner),
	};

	return cmocka_run_group_tests_name("forwarder_client_ip", tests, bench_thread_begin, bench_thread_end);
}
