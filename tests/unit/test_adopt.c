/* SPDX-License-Identifier: MIT */
/*
 * Unit tests of adopt: whatever a dying relay leaves in the tables, a new one
 * goes on with what is whole, and nothing of the rest stays for ever.
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
#include "userspace/adopt.h"

enum { CLIENTS = 12 };

static void names(unsigned client, char dcid[17], char cid[17])
{
	snprintf(dcid, 17, "00000000000000%02x", client);
	snprintf(cid, 17, "ff000000000000%02x", client);
}

/* Clients 0..11: every third has a second session at b, every fourth an alias and a second path. */
static struct bench *populated(void)
{
	struct bench *bench = bench_open(64);
	uint8_t datagram[1500];
	char dcid[17], cid[17];

	for (unsigned i = 0; i < CLIENTS; i++) {
		uint16_t port = (uint16_t)(1 + i);

		names(i, dcid, cid);
		connect_to(bench, "192.0.2.1", port, "a.test", dcid, cid);
		if (i % 4 == 1) {
			names(0x40 + i, dcid, cid);
			for (unsigned sight = 0; sight < 2; sight++)
				from(bench, "192.0.2.1", port, datagram, short_header(datagram, cid, 60));
			from(bench, "198.51.100.1", port, datagram, short_header(datagram, cid, 60));
			assert_to_backend(bench, A);
		}
		if (i % 3 == 0) {
			names(0x80 + i, dcid, cid);
			connect_to(bench, "192.0.2.1", port, "b.test", dcid, cid);
		}
	}
	return bench;
}

/* The old relay's memory is gone, its tables are not. */
static int restart(struct bench *bench)
{
	int live = adopt_repair(&bench->state, 1);

	session_pool_end(&bench->f.sessions);
	assert_int_equal(session_pool_init(&bench->f.sessions, &bench->state, bench->f.counters, 0, 1, 2, 99), 0);
	assert_int_equal(bench->f.sessions.live, live);
	return live;
}

static unsigned overflows(const struct table *table)
{
	unsigned sum = 0;

	for (uint32_t slot = 0; slot < table->slots; slot++)
		sum += ((struct entry_head *)table_at(table, slot))->overflow;
	return sum;
}

static void all_idle_leaves_nothing(struct bench *bench, uint32_t sessions)
{
	bench->f.now_s += 1000;
	for (unsigned i = 0; i < 2; i++)
		forwarder_housekeeping(&bench->f, sessions);
	assert_int_equal(bench->f.sessions.live, 0);
	assert_int_equal(plain_count(&bench->state.paths), 0);
	assert_int_equal(plain_count(&bench->state.replies), 0);
	assert_int_equal(plain_count(&bench->state.cids), 0);
	assert_int_equal(overflows(&bench->state.paths), 0);
	assert_int_equal(overflows(&bench->state.replies), 0);
	assert_int_equal(overflows(&bench->state.cids), 0);
	assert_int_equal(bench->f.sessions.free_count, sessions);
}

static void whole_tables_stay_as_they_are(void **unused)
{
	struct bench *bench = populated();
	unsigned sessions = bench->f.sessions.live, paths = plain_count(&bench->state.paths);
	unsigned replies = plain_count(&bench->state.replies), cids = plain_count(&bench->state.cids);
	unsigned passed = overflows(&bench->state.paths) + overflows(&bench->state.cids);
	uint8_t datagram[1500];
	char dcid[17], cid[17];

	(void)unused;
	assert_int_equal(restart(bench), sessions);
	assert_int_equal(plain_count(&bench->state.paths), paths);
	assert_int_equal(plain_count(&bench->state.replies), replies);
	assert_int_equal(plain_count(&bench->state.cids), cids);
	assert_int_equal(overflows(&bench->state.paths) + overflows(&bench->state.cids), passed);
	for (unsigned i = 0; i < CLIENTS; i++) {
		names(i, dcid, cid);
		from(bench, "192.0.2.1", (uint16_t)(1 + i), datagram, short_header(datagram, cid, 60));
		assert_to_backend(bench, A);
		/* The client's own first DCID is still known. */
		from(bench, "192.0.2.1", (uint16_t)(1 + i), datagram, opaque(datagram, QUIC_0RTT, dcid, "", 100));
		assert_to_backend(bench, A);
		names(0x80 + i, dcid, cid);
		from(bench, "192.0.2.1", (uint16_t)(1 + i), datagram, short_header(datagram, cid, 60));
		if (i % 3 == 0)
			assert_to_backend(bench, B);
	}
	all_idle_leaves_nothing(bench, 64);
	bench_close(bench);
}

static void *random_entry(struct state *state, unsigned *random)
{
	struct table *tables[] = { &state->paths, &state->replies, &state->cids };
	unsigned which = rand_r(random) % 4;

	for (;;) {
		void *entry = which == 3 ? (void *)&state->sessions[rand_r(random) % state->session_slots] :
			      table_at(tables[which], (uint32_t)rand_r(random) % tables[which]->slots);

		if (entry_is_live(entry))
			return entry;
	}
}

/* Entries lost or half written anywhere: what is left works or ends, and nothing leaks. */
static void any_damage_is_repaired(void **unused)
{
	(void)unused;
	for (unsigned seed = 1; seed <= 200; seed++) {
		struct bench *bench = populated();
		unsigned random = seed, sessions = bench->f.sessions.live;
		uint8_t datagram[1500];
		char dcid[17], cid[17];
		int left;

		for (unsigned i = 0; i < 1 + seed % 6; i++) {
			struct entry_head *head = random_entry(&bench->state, &random);

			if (rand_r(&random) % 2)
				head->seq |= SEQ_WRITING;
			else
				entry_clear(head);
		}
		left = restart(bench);
		assert_in_range(left, 1, sessions);
		for (unsigned i = 0; i < CLIENTS; i++) {
			names(i, dcid, cid);
			from(bench, "192.0.2.1", (uint16_t)(1 + i), datagram, short_header(datagram, cid, 60));
			if (bench->outputs)
				assert_true(bench->out[0].packet.dst_port_be == htons(7001) || i % 3 == 0);
			from(bench, "192.0.2.1", (uint16_t)(1 + i), datagram, initial(datagram, "a.test", dcid));
			assert_int_equal(bench->outputs, 1);
		}
		all_idle_leaves_nothing(bench, 64);
		bench_close(bench);
	}
}

static void owners_follow_the_number_of_workers(void **unused)
{
	struct bench *bench = populated();

	(void)unused;
	for (uint32_t workers = 1; workers <= 5; workers++) {
		uint32_t last = 0;

		adopt_repair(&bench->state, workers);
		for (uint32_t slot = 0; slot < 64; slot++) {
			uint32_t owner = adopt_owner(&bench->state, slot, workers);
			struct session session;
			struct path_entry path;

			assert_true(slot >= 64 * owner / workers && slot < 64 * (owner + 1) / workers);
			assert_true(owner == last || owner == last + 1);
			last = owner;
			if (!session_read(&bench->state, slot, &session))
				continue;
			assert_int_equal(session.owner, owner);
			for (unsigned i = 0; i < session.path_count; i++) {
				assert_true(path_read(&bench->state, session.paths[i], &path));
				assert_int_equal(path.owner, owner);
			}
		}
		assert_int_equal(last, workers - 1);
	}
	bench_close(bench);
}

/* As many sessions as there may be: entries stand far down their sequences, in tables of no power of two. */
static void full_tables_are_adopted(void **unused)
{
	enum { SESSIONS = 192 };
	struct bench *bench = bench_open(SESSIONS);
	uint8_t datagram[1500];
	char client[16], dcid[17], cid[17];
	unsigned beyond_first_pair = 0;

	(void)unused;
	assert_int_equal(bench->state.paths.slots, 352);
	for (unsigned i = 0; i < SESSIONS; i++) {
		names(i, dcid, cid);
		snprintf(client, sizeof(client), "192.0.2.%u", i);
		connect_to(bench, client, 1, "a.test", dcid, cid);
	}
	for (uint32_t slot = 0; slot < bench->state.paths.slots; slot++) {
		struct path_entry path;
		struct tuple tuple;

		if (!path_read(&bench->state, slot, &path))
			continue;
		tuple = path_tuple(&path);
		beyond_first_pair += slot / 2 != table_slot(tuple_hash(&bench->state, &tuple), 0,
							    bench->state.paths.slots) / 2;
	}
	assert_true(beyond_first_pair > 0);
	assert_int_equal(restart(bench), SESSIONS);
	assert_int_equal(plain_count(&bench->state.paths), SESSIONS);
	assert_int_equal(plain_count(&bench->state.replies), SESSIONS);
	for (unsigned i = 0; i < SESSIONS; i++) {
		names(i, dcid, cid);
		snprintf(client, sizeof(client), "192.0.2.%u", i);
		from(bench, client, 1, datagram, short_header(datagram, cid, 60));
		assert_to_backend(bench, A);
	}
	all_idle_leaves_nothing(bench, SESSIONS);
	bench_close(bench);
}

/* The owner of a default entry writes it for all paths of its 4-tuple; there is no worker 3 any more. */
static void paths_of_one_client_keep_one_owner(void **unused)
{
	(void)unused;
	for (uint32_t workers = 1; workers <= 64; workers++) {
		struct bench *bench = populated();
		struct path_entry path, first;
		unsigned siblings = 0;
		uint32_t slot;

		for (slot = 0; slot < bench->state.paths.slots; slot++) {
			if (!path_read(&bench->state, slot, &path))
				continue;
			path.owner = 200;
			path_write(&bench->state, slot, &path);
			/* Client 0's session at a ends; its default entry stays for the one at b. */
			if (path.client_port_be == htons(1) && path.siblings)
				session_close(&bench->f.sessions, path.session);
		}
		assert_true(adopt_repair(&bench->state, workers) > 0);
		for (slot = 0; slot < bench->state.paths.slots; slot++) {
			struct tuple tuple;

			if (!path_read(&bench->state, slot, &path))
				continue;
			assert_in_range(path.owner, 0, workers - 1);
			tuple = path_tuple(&path);
			assert_true(path_find(&bench->state, &tuple, &(uint32_t){ 0 }, &first));
			assert_int_equal(path.owner, first.owner);
			siblings += first.siblings && !(path.flags >> PATH_ORDINAL_SHIFT);
		}
		assert_true(siblings > 0);
		bench_close(bench);
	}
}

/* A relay that dies while a pinned session's return address moves: whichever store was its last, the session goes on. */
static void move_cut_short_is_finished(void **unused)
{
	(void)unused;
	for (unsigned stores = 1; stores <= 3; stores++) {
		struct bench *bench = bench_open(64);
		uint16_t port = connect_to(bench, "192.0.2.1", 1, "a.test", "0001020304050607", SERVER_CID);
		struct tuple tuple;
		struct reply_entry reply;
		struct reply_key key;
		struct path_entry path;
		struct session session;
		uint32_t home, slot, moved;
		uint8_t datagram[1500];

		for (slot = 0; !session_read(&bench->state, slot, &session); slot++)
			;
		home = session.paths[0];
		assert_true(path_read(&bench->state, home, &path));
		assert_true(path_reply(&bench->state, home, &path, &moved, &reply));
		tuple = path_tuple(&path);
		tuple.client_port_be = htons(7);
		assert_true(path_move(&bench->state, home, &tuple, TO_CLIENTS, bench->f.now_s, &moved));
		if (stores == 1) {
			/* The new entry in paths alone. */
			key = path_reply_key(&bench->state, &path);
			assert_true(reply_find(&bench->state, &key, &slot, &(struct reply_entry){ 0 }));
			entry_write(table_at(&bench->state.replies, slot), &reply, sizeof(reply));
		} else if (stores == 3) {
			session.paths[0] = moved;
			session_write(&bench->f.sessions, slot, &session);
		}
		assert_int_equal(restart(bench), 1);
		assert_int_equal(plain_count(&bench->state.paths), 1);
		from(bench, "192.0.2.1", stores == 1 ? 1 : 7, datagram, short_header(datagram, SERVER_CID, 60));
		assert_to_backend(bench, A);
		assert_int_equal(relay_port(bench), port);
		from_server(bench, A, port, datagram, short_header(datagram, "", 60));
		assert_to_client(bench, "192.0.2.1", stores == 1 ? 1 : 7);
		all_idle_leaves_nothing(bench, 64);
		bench_close(bench);
	}
}

/* Sessions whose backends see their clients' own addresses; and it is remembered that there are any. */
static void paths_without_a_relay_port_go_on(void **unused)
{
	struct udp_flow back = { .src = "10.0.0.5", .src_port = 7001, .dst = "192.0.2.1" };
	struct bench *bench = bench_open(64);
	uint32_t *features = &bench->state.globals->features;
	uint8_t datagram[1500];
	char dcid[17], cid[17];

	(void)unused;
	*features = FEATURE_CLIENT_IP;
	connect_to(bench, "192.0.2.1", 99, "b.test", "0102030405060708", SERVER_CID);
	assert_int_equal(restart(bench), 1);
	assert_int_equal(*features, 0);
	bench_route_preserve(bench, "a.test", A);
	for (unsigned i = 0; i < CLIENTS; i++) {
		names(i, dcid, cid);
		from(bench, "192.0.2.1", (uint16_t)(1 + i), datagram, initial(datagram, "a.test", dcid));
		assert_int_equal(relay_port(bench), 1 + i);
	}
	assert_int_equal(restart(bench), CLIENTS + 1);
	assert_int_equal(*features, FEATURE_CLIENT_IP);
	for (unsigned i = 0; i < CLIENTS; i++) {
		names(i, dcid, cid);
		back.dst_port = (uint16_t)(1 + i);
		send_flow(bench, &back, datagram, opaque(datagram, QUIC_INITIAL, "", cid, 1200));
		assert_to_client(bench, "192.0.2.1", back.dst_port);
		from(bench, "192.0.2.1", back.dst_port, datagram, opaque(datagram, QUIC_HANDSHAKE, cid, "", 100));
		assert_int_equal(relay_port(bench), 1 + i);
		/* It still goes with the session where the client goes. */
		from(bench, "198.51.100.1", back.dst_port, datagram, short_header(datagram, cid, 60));
		assert_int_equal(relay_port(bench), 1 + i);
	}
	assert_int_equal(bench->f.counters->events[EVENT_PATH_MIGRATED], CLIENTS);
	all_idle_leaves_nothing(bench, 64);
	bench_close(bench);
}

/* A preserving session that shares an older one's path by a relay port: where its client goes next, there will be none. */
static void session_that_will_have_no_relay_port_is_remembered(void **unused)
{
	struct udp_flow back = { .src = "10.0.0.5", .src_port = 7001, .dst = "198.51.100.1", .dst_port = 1 };
	struct bench *bench = bench_open(64);
	uint8_t datagram[1500];

	(void)unused;
	connect_to(bench, "192.0.2.1", 1, "a.test", "0102030405060708", "b0b1b2b3b4b5b6b7");
	bench_route_preserve(bench, "a.test", A);
	connect_to(bench, "192.0.2.1", 1, "a.test", "1112131415161718", SERVER_CID);
	bench->state.globals->features = FEATURE_CLIENT_IP;
	assert_int_equal(restart(bench), 2);
	assert_int_equal(bench->state.globals->features, FEATURE_CLIENT_IP);
	from(bench, "198.51.100.1", 1, datagram, short_header(datagram, SERVER_CID, 60));
	assert_int_equal(relay_port(bench), 1);
	send_flow(bench, &back, datagram, short_header(datagram, "", 60));
	assert_to_client(bench, "198.51.100.1", 1);
	all_idle_leaves_nothing(bench, 64);
	bench_close(bench);
}

/* A backend that was being changed is its sessions' own still; one that was being made is nobody's. */
static void backends_in_the_making(void **unused)
{
	struct bench *bench = populated();
	struct backend backend;
	unsigned sessions = bench->f.sessions.live;

	(void)unused;
	bench->state.backends[A].head.seq |= SEQ_WRITING;
	bench->state.backends[9].head.seq |= SEQ_WRITING;
	assert_int_equal(restart(bench), sessions);
	assert_true(entry_read(&bench->state.backends[A], &backend, sizeof(backend), NULL));
	assert_int_equal(backend.port_be, htons(7001));
	assert_false(entry_is_live(&bench->state.backends[9]));
	assert_int_equal(bench->state.backends[9].head.seq & SEQ_WRITING, 0);
	bench_close(bench);
}

/* Counters go on; what is told of workers and sockets is told of the new relay's alone, which may have fewer. */
static void counters_survive_and_gauges_do_not(void **unused)
{
	static const struct worker_gauges none;
	static const struct socket_stats closed;
	struct bench *bench = populated();
	struct worker_record *record = &bench->state.worker_counters[WORKERS_MAX - 1];
	uint64_t opened = bench->f.counters->events[EVENT_SESSION_OPENED];

	(void)unused;
	memset(&record->gauges, 0xff, sizeof(record->gauges));
	memset(record->sockets, 0xff, sizeof(record->sockets));
	record->counters.drops[DROP_LOOP] = 7;
	restart(bench);
	assert_true(opened >= CLIENTS);
	assert_int_equal(bench->f.counters->events[EVENT_SESSION_OPENED], opened);
	assert_int_equal(record->counters.drops[DROP_LOOP], 7);
	assert_memory_equal(&record->gauges, &none, sizeof(none));
	for (unsigned i = 0; i < INTERFACES_MAX; i++)
		assert_memory_equal(&record->sockets[i], &closed, sizeof(closed));
	bench_close(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_tables_stay_as_they_are),
		cmocka_unit_test(any_damage_is_repaired),
		cmocka_unit_test(move_cut_short_is_finished),
		cmocka_unit_test(full_tables_are_adopted),
		cmocka_unit_test(paths_without_a_relay_port_go_on),
		cmocka_unit_test(session_that_will_have_no_relay_port_is_remembered),
		cmocka_unit_test(backends_in_the_making),
		cmocka_unit_test(counters_survive_and_gauges_do_not),
		cmocka_unit_test(owners_follow_the_number_of_workers),
		cmocka_unit_test(paths_of_one_client_keep_one_owner),
	};

	return cmocka_run_group_tests_name("adopt", tests, bench_thread_begin, bench_thread_end);
}
