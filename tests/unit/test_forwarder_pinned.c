/* SPDX-License-Identifier: MIT */
/*
 * Unit tests of the forwarder: sessions of a route with `migration: pinned`,
 * whose backends follow no change of address. The relay port stays; who gets
 * the answers is ours to decide.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lib/forwarder_bench.h"

enum { SILENCE_S = 3 };

#define OLD "192.0.2.1", CLIENT_PORT
#define NEW "198.51.100.9", 777
#define OTHER "198.51.100.66", 666

/* a.test is pinned, b.test is not. */
static struct bench *pinned_open(void)
{
	struct bench *bench = bench_open(64);
	struct route_plan plan = { .pinned = true, .count = 1, .targets = { { A, 1, true, 1 } } };

	assert_int_equal(route_set(&bench->routes, "a.test", &plan), 0);
	return bench;
}

/* The same with a client at OLD. */
static struct bench *connected(uint16_t *port)
{
	struct bench *bench = pinned_open();

	*port = connect_to(bench, OLD, "a.test", "0001020304050607", SERVER_CID);
	return bench;
}

static uint64_t events(const struct bench *bench, enum event event)
{
	return bench->f.counters->events[event];
}

/* A client's packet gets to the backend by this relay port. */
static void speaks(struct bench *bench, const char *client, uint16_t client_port, uint16_t port)
{
	uint8_t datagram[1500];

	from(bench, client, client_port, datagram, short_header(datagram, SERVER_CID, 60));
	assert_to_backend(bench, A);
	assert_int_equal(relay_port(bench), port);
}

/* Who gets what the backend sends to this relay port, long headers and short. */
static void answers_go_to(struct bench *bench, uint16_t port, const char *client, uint16_t client_port)
{
	uint8_t datagram[1500];

	from_server(bench, A, port, datagram, short_header(datagram, "", 60));
	assert_to_client(bench, client, client_port);
	from_server(bench, A, port, datagram, opaque(datagram, QUIC_HANDSHAKE, "", SERVER_CID, 100));
	assert_to_client(bench, client, client_port);
}

/* The client has fallen silent, and NEW has spoken often enough: the answers are NEW's. */
static void move(struct bench *bench, uint16_t port)
{
	bench->f.now_s += SILENCE_S + 1;
	for (unsigned i = 0; i < PINNED_PACKETS; i++)
		speaks(bench, NEW, port);
	answers_go_to(bench, port, NEW);
}

static void all_idle_leaves_nothing(struct bench *bench)
{
	bench->f.now_s += bench->state.globals->idle_timeout_s + 1;
	forwarder_housekeeping(&bench->f, 64);
	assert_int_equal(bench->f.sessions.live, 0);
	assert_int_equal(plain_count(&bench->state.paths), 0);
	assert_int_equal(plain_count(&bench->state.replies), 0);
	assert_int_equal(plain_count(&bench->state.cids), 0);
}

static void new_address_speaks_by_the_old_port_and_hears_nothing(void **unused)
{
	uint16_t port;
	struct bench *bench = connected(&port);

	(void)unused;
	for (unsigned i = 0; i < 2 * PINNED_PACKETS; i++) {
		speaks(bench, NEW, port);
		answers_go_to(bench, port, OLD);
	}
	assert_int_equal(events(bench, EVENT_PINNED_PACKET), 2 * PINNED_PACKETS);
	assert_int_equal(events(bench, EVENT_PATH_MIGRATED), 0);
	assert_int_equal(events(bench, EVENT_PINNED_MOVED), 0);
	assert_int_equal(plain_count(&bench->state.replies), 1);
	all_idle_leaves_nothing(bench);
	bench_close(bench);
}

static void silence_and_packets_move_the_return_address(void **unused)
{
	uint16_t port;
	struct bench *bench = connected(&port);
	struct path_entry path;
	struct reply_entry reply;
	uint32_t slot;

	(void)unused;
	for (unsigned i = 0; i < PINNED_PACKETS; i++)
		speaks(bench, NEW, port);
	bench->f.now_s += SILENCE_S;
	speaks(bench, NEW, port);
	answers_go_to(bench, port, OLD);
	bench->f.now_s++;
	speaks(bench, NEW, port);
	answers_go_to(bench, port, NEW);
	assert_int_equal(events(bench, EVENT_PINNED_MOVED), 1);
	assert_int_equal(events(bench, EVENT_PINNED_RETURNED), 0);
	/* The kernel's from now on, both ways, without the index. */
	assert_true(path_of(bench, NEW, &slot, &path));
	assert_true(path.flags & PATH_CONFIRMED);
	assert_int_equal(path.cid_len, 8);
	assert_int_equal(path.last_seen_s, bench->f.now_s);
	assert_true(path_reply(&bench->state, slot, &path, &slot, &reply));
	assert_true(reply.flags & REPLY_CONFIRMED);
	assert_int_equal(plain_count(&bench->state.paths), 1);
	assert_int_equal(plain_count(&bench->state.replies), 1);
	assert_false(path_of(bench, OLD, &slot, &path));
	speaks(bench, NEW, port);
	all_idle_leaves_nothing(bench);
	bench_close(bench);
}

static void silence_alone_does_not(void **unused)
{
	uint16_t port;
	struct bench *bench = connected(&port);

	(void)unused;
	bench->f.now_s += 60;
	for (unsigned i = 1; i < PINNED_PACKETS; i++) {
		speaks(bench, NEW, port);
		answers_go_to(bench, port, OLD);
	}
	speaks(bench, NEW, port);
	answers_go_to(bench, port, NEW);
	bench_close(bench);
}

/* An attacker beside the client, or a NAT that flaps. */
static void client_that_speaks_keeps_its_answers(void **unused)
{
	uint16_t port;
	struct bench *bench = connected(&port);

	(void)unused;
	for (unsigned second = 0; second < 60; second += SILENCE_S) {
		for (unsigned i = 0; i < 10; i++)
			speaks(bench, OTHER, port);
		answers_go_to(bench, port, OLD);
		speaks(bench, OLD, port);
		bench->f.now_s += SILENCE_S;
	}
	assert_int_equal(events(bench, EVENT_PINNED_MOVED), 0);
	bench_close(bench);
}

static void packets_count_in_a_row(void **unused)
{
	uint16_t port;
	struct bench *bench = connected(&port);

	(void)unused;
	bench->f.now_s += SILENCE_S + 1;
	for (unsigned i = 0; i < 10; i++) {
		speaks(bench, NEW, port);
		speaks(bench, OTHER, port);
	}
	answers_go_to(bench, port, OLD);
	for (unsigned i = 0; i < PINNED_PACKETS; i++)
		speaks(bench, NEW, port);
	answers_go_to(bench, port, NEW);
	bench_close(bench);
}

static void address_that_was_left_has_it_back_at_once(void **unused)
{
	uint16_t port;
	struct bench *bench = connected(&port);

	(void)unused;
	move(bench, port);
	speaks(bench, OLD, port);
	answers_go_to(bench, port, OLD);
	assert_int_equal(events(bench, EVENT_PINNED_MOVED), 2);
	assert_int_equal(events(bench, EVENT_PINNED_RETURNED), 1);
	/* Who was sent back waits like anyone. */
	for (unsigned i = 0; i < 10; i++)
		speaks(bench, NEW, port);
	answers_go_to(bench, port, OLD);
	move(bench, port);
	assert_int_equal(plain_count(&bench->state.paths), 1);
	bench_close(bench);
}

static void right_to_return_ends(void **unused)
{
	uint16_t port;
	struct bench *bench = connected(&port);

	(void)unused;
	move(bench, port);
	bench->f.now_s += PINNED_RETURN_S + 1;
	speaks(bench, NEW, port);
	for (unsigned i = 0; i < 10; i++)
		speaks(bench, OLD, port);
	answers_go_to(bench, port, NEW);
	bench_close(bench);
}

/* Two sessions of one socket: where their path leads is not for one of them to change. */
static void shared_path_does_not_move(void **unused)
{
	uint16_t port;
	struct bench *bench = connected(&port);
	uint8_t datagram[1500];

	(void)unused;
	assert_int_equal(connect_to(bench, OLD, "a.test", "1001020304050607", "5e5e5e5e01020305"), port);
	bench->f.now_s += SILENCE_S + 1;
	for (unsigned i = 0; i < PINNED_PACKETS; i++) {
		from(bench, NEW, datagram, short_header(datagram, SERVER_CID, 60));
		assert_to_backend(bench, A);
		assert_int_not_equal(relay_port(bench), port);
	}
	answers_go_to(bench, port, OLD);
	assert_int_equal(events(bench, EVENT_PATH_MIGRATED), 1);
	assert_int_equal(events(bench, EVENT_PINNED_PACKET), 0);
	bench_close(bench);
}

/* The new address has a path to this backend already, by another session: it is joined, as ever. */
static void path_of_another_session_is_not_replaced(void **unused)
{
	uint16_t port, theirs;
	struct bench *bench = connected(&port);

	(void)unused;
	theirs = connect_to(bench, NEW, "a.test", "1001020304050607", "5e5e5e5e01020305");
	bench->f.now_s += SILENCE_S + 1;
	for (unsigned i = 0; i < PINNED_PACKETS; i++)
		speaks(bench, NEW, theirs);
	answers_go_to(bench, port, OLD);
	answers_go_to(bench, theirs, NEW);
	assert_int_equal(events(bench, EVENT_PATH_MIGRATED), 1);
	bench_close(bench);
}

/* Both addresses talk to b as well, by other sessions, before and after. */
static void other_backends_paths_stay(void **unused)
{
	uint16_t port, b_old, b_new;
	struct bench *bench = connected(&port);
	uint8_t datagram[1500];

	(void)unused;
	b_old = connect_to(bench, OLD, "b.test", "b001020304050607", "b1b2b3b4b5b6b7b8");
	b_new = connect_to(bench, NEW, "b.test", "b101020304050607", "b1b2b3b4b5b6b7b9");
	move(bench, port);
	for (unsigned i = 0; i < 2; i++) {
		from(bench, OLD, datagram, short_header(datagram, "b1b2b3b4b5b6b7b8", 60));
		assert_to_backend(bench, B);
		assert_int_equal(relay_port(bench), b_old);
		from(bench, NEW, datagram, short_header(datagram, "b1b2b3b4b5b6b7b9", 60));
		assert_to_backend(bench, B);
		assert_int_equal(relay_port(bench), b_new);
		speaks(bench, NEW, port);
	}
	speaks(bench, OLD, port);
	answers_go_to(bench, port, OLD);
	speaks(bench, OLD, port);
	assert_int_equal(events(bench, EVENT_PINNED_RETURNED), 1);
	all_idle_leaves_nothing(bench);
	bench_close(bench);
}

static void route_that_is_not_pinned_gets_a_new_port(void **unused)
{
	struct bench *bench = pinned_open();
	uint16_t port = connect_to(bench, OLD, "b.test", "0001020304050607", SERVER_CID);
	uint8_t datagram[1500];

	(void)unused;
	from(bench, NEW, datagram, short_header(datagram, SERVER_CID, 60));
	assert_to_backend(bench, B);
	assert_int_not_equal(relay_port(bench), port);
	assert_int_equal(events(bench, EVENT_PINNED_PACKET), 0);
	bench_close(bench);
}

/* quic-go's own: found from an unknown 4-tuple alone. */
static void short_cids_are_followed_too(void **unused)
{
	struct bench *bench = pinned_open();
	uint16_t port = connect_to(bench, OLD, "a.test", "0001020304050607", "a1a2a3a4");
	uint8_t datagram[1500];

	(void)unused;
	bench->f.now_s += SILENCE_S + 1;
	for (unsigned i = 0; i < PINNED_PACKETS; i++) {
		from(bench, NEW, datagram, short_header(datagram, "a1a2a3a4", 60));
		assert_int_equal(relay_port(bench), port);
	}
	answers_go_to(bench, port, NEW);
	bench_close(bench);
}

/* Nothing but a handshake proves an address to us, and this client's is not over. */
static void unconfirmed_session_does_not_move(void **unused)
{
	struct bench *bench = pinned_open();
	uint8_t datagram[1500];
	uint16_t port;

	(void)unused;
	from(bench, OLD, datagram, initial(datagram, "a.test", "0001020304050607"));
	port = relay_port(bench);
	from_server(bench, A, port, datagram, opaque(datagram, QUIC_INITIAL, "", SERVER_CID, 1200));
	bench->f.now_s += SILENCE_S + 1;
	for (unsigned i = 0; i < 10; i++) {
		from(bench, NEW, datagram, opaque(datagram, QUIC_HANDSHAKE, SERVER_CID, "", 100));
		assert_int_equal(relay_port(bench), port);
	}
	from_server(bench, A, port, datagram, opaque(datagram, QUIC_INITIAL, "", SERVER_CID, 1200));
	assert_to_client(bench, OLD);
	assert_int_equal(events(bench, EVENT_SESSION_CONFIRMED), 0);
	assert_int_equal(events(bench, EVENT_PINNED_MOVED), 0);
	bench_close(bench);
}

static void move_waits_for_the_next_hop(void **unused)
{
	uint16_t port;
	struct bench *bench = connected(&port);

	(void)unused;
	bench->f.now_s += SILENCE_S + 1;
	bench->nexthop = NEXTHOP_WANTED;
	for (unsigned i = 0; i < PINNED_PACKETS; i++)
		speaks(bench, NEW, port);
	answers_go_to(bench, port, OLD);
	assert_non_null(ring_front(&bench->requests));
	bench->nexthop = NEXTHOP_FOUND;
	speaks(bench, NEW, port);
	answers_go_to(bench, port, NEW);
	bench_close(bench);
}

static void dropped_packets_do_not_count(void **unused)
{
	uint16_t port;
	struct bench *bench = connected(&port);
	uint8_t datagram[1500];

	(void)unused;
	bench->f.now_s += SILENCE_S + 1;
	short_header(datagram, SERVER_CID, 60);
	for (unsigned i = 0; i < PINNED_PACKETS; i++) {
		send_flow(bench, &(struct udp_flow){ NEW, LISTENER, 443, 1, 0, false }, datagram, 60);
		assert_dropped(bench, DROP_TTL_EXPIRED, i + 1);
	}
	speaks(bench, NEW, port);
	answers_go_to(bench, port, OLD);
	bench_close(bench);
}

/* Who is not the client does not keep its session alive. */
static void other_addresses_do_not_keep_a_session(void **unused)
{
	uint16_t port;
	struct bench *bench = connected(&port);

	(void)unused;
	bench->nexthop = NEXTHOP_WANTED;
	bench->f.now_s += bench->state.globals->idle_timeout_s;
	for (unsigned i = 0; i < PINNED_PACKETS; i++)
		speaks(bench, NEW, port);
	bench->f.now_s += 1;
	forwarder_housekeeping(&bench->f, 64);
	assert_int_equal(events(bench, EVENT_SESSION_EXPIRED), 1);
	bench_close(bench);
}

/* The session's owner counts and moves; any worker hands it the frame. */
static void owner_moves_the_session(void **unused)
{
	uint16_t port;
	struct bench *bench = connected(&port);
	uint8_t datagram[1500];
	struct path_entry path;
	uint32_t slot;

	(void)unused;
	bench->f.now_s += SILENCE_S + 1;
	bench->f.worker = 1;
	bench->f.workers = 2;
	bench->f.to_workers[0] = &bench->handovers;
	for (unsigned i = 0; i < PINNED_PACKETS; i++) {
		from(bench, NEW, datagram, short_header(datagram, SERVER_CID, 60));
		assert_int_equal(bench->outputs, 0);
	}
	assert_int_equal(events(bench, EVENT_HANDED_OVER), PINNED_PACKETS);
	assert_int_equal(events(bench, EVENT_PINNED_PACKET), 0);
	bench->f.worker = 0;
	for (unsigned i = 0; i < PINNED_PACKETS; i++) {
		const struct handover *handover = ring_front(&bench->handovers);
		struct frame frame = { .interface = 0 };

		assert_non_null(handover);
		assert_true(frame_take(&bench->pool, &frame));
		memcpy(frame.data, handover->frame, handover->len_bytes);
		frame.len_bytes = handover->len_bytes;
		ring_pop(&bench->handovers);
		forwarder_handle(&bench->f, &frame);
		collect(bench);
		assert_int_equal(relay_port(bench), port);
	}
	assert_true(path_of(bench, NEW, &slot, &path));
	assert_int_equal(path.owner, 0);
	bench_close(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_address_speaks_by_the_old_port_and_hears_nothing),
		cmocka_unit_test(silence_and_packets_move_the_return_address),
		cmocka_unit_test(silence_alone_does_not),
		cmocka_unit_test(client_that_speaks_keeps_its_answers),
		cmocka_unit_test(packets_count_in_a_row),
		cmocka_unit_test(address_that_was_left_has_it_back_at_once),
		cmocka_unit_test(right_to_return_ends),
		cmocka_unit_test(shared_path_does_not_move),
		cmocka_unit_test(path_of_another_session_is_not_replaced),
		cmocka_unit_test(other_backends_paths_stay),
		cmocka_unit_test(route_that_is_not_pinned_gets_a_new_port),
		cmocka_unit_test(short_cids_are_followed_too),
		cmocka_unit_test(unconfirmed_session_does_not_move),
		cmocka_unit_test(move_waits_for_the_next_hop),
		cmocka_unit_test(dropped_packets_do_not_count),
		cmocka_unit_test(other_addresses_do_not_keep_a_session),
		cmocka_unit_test(owner_moves_the_session),
	};

	return cmocka_run_group_tests_name("forwarder_pinned", tests, bench_thread_begin, bench_thread_end);
}
