/* SPDX-License-Identifier: MIT */
/* Unit tests of what is told to other relays: whose connection IDs, how often, and in steps of what size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "control/publisher.h"
#include "tests/lib/forwarder_bench.h"

enum { NOW = 1000, TTL = 160, MAX = 64 };
#define CLIENT "192.0.2.1"

static struct session_cid cids[MAX];

/* One walk over the whole table; how many are due. */
static unsigned sweep(struct publisher *publisher, const struct bench *bench, uint32_t now_s)
{
	uint32_t slots = bench->state.cids.slots;
	unsigned count = publisher_sweep(publisher, &bench->state, now_s, TTL, &slots, cids, MAX);

	assert_int_equal(slots, 0);
	return count;
}

/* So many confirmed sessions of as many clients. */
static void connect_many(struct bench *bench, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		char cid[17], dcid[17], client[16];

		snprintf(cid, sizeof(cid), "5e5e5e5e%08x", i);
		snprintf(dcid, sizeof(dcid), "a0a1a2a3%08x", i);
		snprintf(client, sizeof(client), "192.0.2.%u", i + 1);
		connect_to(bench, client, CLIENT_PORT, "a.test", dcid, cid);
	}
}

static void confirmed_sessions_are_told_once_in_their_time(void **unused)
{
	struct publisher *publisher = publisher_new();
	struct bench *bench = bench_open(64);
	struct quic_cid server = cid_from_hex(SERVER_CID);
	struct addr b = bench->state.backends[B].address;
	unsigned again = 0;

	(void)unused;
	assert_int_equal(sweep(publisher, bench, NOW), 0);
	connect_to(bench, CLIENT, CLIENT_PORT, "b.test", "b001020304050607", SERVER_CID);
	assert_int_equal(sweep(publisher, bench, NOW), 1);
	assert_int_equal(cids[0].len, server.len);
	assert_memory_equal(cids[0].cid, server.bytes, CID_LEN_MAX);
	assert_true(addr_equal(&cids[0].record.server.addr, &b));
	assert_int_equal(cids[0].record.server.port, 7002);
	assert_int_equal(cids[0].record.route, protocol_route_id("b.test"));
	assert_false(cids[0].record.pinned);
	assert_int_equal(sweep(publisher, bench, NOW + TTL * 3 / 8 - 1), 0);
	for (uint32_t s = NOW + TTL * 3 / 8; s <= NOW + TTL / 2; s++)
		again += sweep(publisher, bench, s);
	assert_int_equal(again, 1);
	publisher_restart(publisher);
	assert_int_equal(sweep(publisher, bench, NOW + TTL / 2), 1);
	bench_close(bench);
	publisher_free(publisher);
}

/* Many of one moment are not all due again in one second. */
static void repetitions_are_spread(void **unused)
{
	struct publisher *publisher = publisher_new();
	struct bench *bench = bench_open(64);
	unsigned seconds = 0, all = 0;

	(void)unused;
	connect_many(bench, 40);
	assert_int_equal(sweep(publisher, bench, NOW), 40);
	for (uint32_t s = NOW + TTL * 3 / 8; s <= NOW + TTL / 2; s++) {
		unsigned due = sweep(publisher, bench, s);

		seconds += due > 0;
		all += due;
	}
	assert_int_equal(all, 40);
	assert_in_range(seconds, 8, TTL / 8 + 1);
	bench_close(bench);
	publisher_free(publisher);
}

/* Neither the client's own first DCID, nor anything of a session that may be made up. */
static void what_may_be_made_up_is_not_told(void **unused)
{
	struct publisher *publisher = publisher_new();
	struct bench *bench = bench_open(64);
	uint8_t datagram[1500];
	uint16_t port;

	(void)unused;
	from(bench, CLIENT, CLIENT_PORT, datagram, initial(datagram, "b.test", "b001020304050607"));
	assert_int_equal(sweep(publisher, bench, NOW), 0);
	port = relay_port(bench);
	from_server(bench, B, port, datagram, opaque(datagram, QUIC_HANDSHAKE, "c1", SERVER_CID, 1200));
	assert_int_equal(plain_count(&bench->state.cids), 2);
	assert_int_equal(sweep(publisher, bench, NOW), 0);
	from(bench, CLIENT, CLIENT_PORT, datagram, short_header(datagram, SERVER_CID, 60));
	assert_int_equal(sweep(publisher, bench, NOW), 1);
	bench_close(bench);
	publisher_free(publisher);
}

/* Another relay said so; it is repeated as long as the session is here, or a client that only sends would be lost. */
static void what_another_relay_said_is_told_unconfirmed(void **unused)
{
	struct publisher *publisher = publisher_new();
	struct bench *bench = bench_open(64);
	const struct shared_session shared = { .backend = A, .cid_len = 8, .pinned = true };
	struct cid_question *question;
	uint8_t datagram[1500];

	(void)unused;
	bench->f.strays = stray_table_new(&bench->state.hash_key, 1, 50, 7);
	from(bench, CLIENT, CLIENT_PORT, datagram, short_header(datagram, SERVER_CID, 60));
	question = ring_front(&bench->cid_questions);
	assert_non_null(question);
	forwarder_cid_answer(&bench->f, question->id, &shared);
	collect(bench);
	assert_int_equal(sweep(publisher, bench, NOW), 1);
	assert_int_equal(cids[0].len, 8);
	assert_int_equal(cids[0].record.server.port, 7001);
	assert_true(cids[0].record.pinned);
	bench_close(bench);
	publisher_free(publisher);
}

/* The alias of a session is what its client uses now. */
static void aliases_are_told(void **unused)
{
	struct publisher *publisher = publisher_new();
	struct bench *bench = bench_open(64);
	struct quic_cid alias = cid_from_hex("a1a1a1a1a1a1a1a1");
	uint8_t datagram[1500];

	(void)unused;
	connect_to(bench, CLIENT, CLIENT_PORT, "b.test", "b001020304050607", SERVER_CID);
	assert_int_equal(sweep(publisher, bench, NOW), 1);
	assert_false(cids[0].alias);
	for (unsigned i = 0; i < 2; i++)
		from(bench, CLIENT, CLIENT_PORT, datagram, short_header(datagram, "a1a1a1a1a1a1a1a1", 60));
	assert_int_equal(sweep(publisher, bench, NOW), 1);
	assert_true(cids[0].alias);
	assert_memory_equal(cids[0].cid, alias.bytes, CID_LEN_MAX);
	bench_close(bench);
	publisher_free(publisher);
}

/* A slot that went to another session, in the same place or not, is told of anew. */
static void ended_sessions_are_forgotten(void **unused)
{
	struct publisher *publisher = publisher_new();
	struct bench *bench = bench_open(64);

	(void)unused;
	for (unsigned i = 0; i < 3; i++) {
		struct path_entry path;
		uint32_t slot;

		connect_to(bench, CLIENT, CLIENT_PORT, "b.test", "b001020304050607", SERVER_CID);
		assert_int_equal(sweep(publisher, bench, NOW), 1);
		assert_true(path_of(bench, CLIENT, CLIENT_PORT, &slot, &path));
		forwarder_session_end(&bench->f, path.session, bench->state.sessions[path.session].generation);
		assert_int_equal(sweep(publisher, bench, NOW), 0);
	}
	bench_close(bench);
	publisher_free(publisher);
}

/* Too short to be told apart from others by chance. */
static void ids_below_four_bytes_are_not_told(void **unused)
{
	static const struct {
		const char *cid;
		unsigned told;
	} rows[] = { { "5e", 0 }, { "5e5e5e", 0 }, { "5e5e5e5e", 1 }, { "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e", 1 } };

	(void)unused;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct publisher *publisher = publisher_new();
		struct bench *bench = bench_open(64);

		connect_to(bench, CLIENT, CLIENT_PORT, "b.test", "b001020304050607", rows[i].cid);
		assert_int_equal(sweep(publisher, bench, NOW), rows[i].told);
		bench_close(bench);
		publisher_free(publisher);
	}
}

static void walk_goes_on_where_it_stopped(void **unused)
{
	struct publisher *publisher = publisher_new();
	struct bench *bench = bench_open(64), *other = bench_open(256);
	unsigned told = 0, steps = 0;
	uint32_t slots;

	(void)unused;
	connect_many(bench, 10);
	/* Three at a time, and not more slots than given. */
	for (slots = bench->state.cids.slots; slots > 0; steps++) {
		unsigned count = publisher_sweep(publisher, &bench->state, NOW, TTL, &slots, cids, 3);

		assert_in_range(count, 0, 3);
		told += count;
	}
	assert_int_equal(told, 10);
	assert_in_range(steps, 4, 5);
	assert_int_equal(sweep(publisher, bench, NOW), 0);
	/* Another relay's table, larger: all of it is new. */
	connect_to(other, CLIENT, CLIENT_PORT, "b.test", "b001020304050607", SERVER_CID);
	assert_int_equal(sweep(publisher, other, NOW), 1);
	bench_close(other);
	bench_close(bench);
	publisher_free(publisher);
}

/* All that is due now, in steps. */
static unsigned sweep_all(struct publisher *publisher, const struct state *state, uint32_t now_s)
{
	uint32_t slots = state->cids.slots;
	unsigned all = 0;

	while (slots > 0)
		all += publisher_sweep(publisher, state, now_s, TTL, &slots, cids, MAX);
	return all;
}

/* So many of one session, in the place of those before. */
static void take_up(struct state *state, uint32_t slots[], unsigned count, uint32_t first)
{
	for (unsigned i = 0; i < count; i++) {
		uint32_t number[2] = { first + i, 1 };
		struct quic_cid cid = quic_cid_make((const uint8_t *)number, sizeof(number));

		if (first > 0)
			cid_remove(state, slots[i], NULL);
		slots[i] = cid_add(state, &cid, CID_ALIAS, NULL, 0);
		assert_int_not_equal(slots[i], SLOT_NONE);
	}
}

/* A client takes up IDs of its own making, as fast as it can; what it has is repeated all the same. */
static void aliases_made_up_are_limited(void **unused)
{
	enum { SESSIONS = 8192, PER_S = SESSIONS * PUBLISHER_ALIASES / TTL + 1, ALIASES = PER_S + 100 };
	static uint32_t slots[ALIASES];
	const struct session session = { .backend = 1, .flags = SESSION_CONFIRMED };
	struct publisher *publisher = publisher_new();
	struct state state;

	(void)unused;
	plain_state_init(&state, SESSIONS);
	plain_backend(&state, 1, "10.0.0.5", 7001, 1, 0);
	entry_write(&state.sessions[0], &session, sizeof(session));
	take_up(&state, slots, ALIASES, 0);
	assert_int_equal(sweep_all(publisher, &state, NOW), ALIASES); /* by a process that was just started */
	take_up(&state, slots, ALIASES, ALIASES);
	assert_int_equal(sweep_all(publisher, &state, NOW + 1), PER_S);
	assert_int_equal(sweep_all(publisher, &state, NOW + 1), 0);
	assert_int_equal(sweep_all(publisher, &state, NOW + 2), 100);
	assert_int_equal(sweep_all(publisher, &state, NOW + 2 + TTL), ALIASES);
	plain_state_end(&state);
	publisher_free(publisher);
}

/* As without memory to remember what was told: a caller that goes on while there are slots left comes to an end. */
static void walk_that_cannot_begin_is_over(void **unused)
{
	struct publisher *publisher = publisher_new();
	const struct state empty = { .cids.slots = 0 };
	uint32_t slots = 100;

	(void)unused;
	assert_int_equal(publisher_sweep(publisher, &empty, NOW, TTL, &slots, cids, MAX), 0);
	assert_int_equal(slots, 0);
	publisher_free(publisher);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(confirmed_sessions_are_told_once_in_their_time),
		cmocka_unit_test(repetitions_are_spread),
		cmocka_unit_test(what_may_be_made_up_is_not_told),
		cmocka_unit_test(what_another_relay_said_is_told_unconfirmed),
		cmocka_unit_test(aliases_are_told),
		cmocka_unit_test(ended_sessions_are_forgotten),
		cmocka_unit_test(ids_below_four_bytes_are_not_told),
		cmocka_unit_test(walk_goes_on_where_it_stopped),
		cmocka_unit_test(walk_that_cannot_begin_is_over),
		cmocka_unit_test(aliases_made_up_are_limited),
	};

	return cmocka_run_group_tests_name("publisher", tests, bench_thread_begin, bench_thread_end);
}
