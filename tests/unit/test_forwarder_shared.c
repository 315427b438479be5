/* SPDX-License-Identifier: MIT */
/*
 * Unit tests of the forwarder: connections that another relay knows. The control
 * process is asked for their connection IDs, and is slow, or lies, or is not there.
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

#define CLIENT "198.51.100.9"
#define PORT 777
#define CID "c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2" /* 18 bytes */
#define MS 1000000ull

static const struct shared_session nobodys = { .backend = SLOT_NONE };
static const struct shared_session of_b = { .backend = B, .route = 9, .cid_len = 18 };

static struct bench *ask_bench_open(uint32_t worker, uint32_t workers)
{
	struct bench *bench = malloc(sizeof(*bench));

	bench_open_workers(bench, 64, worker, workers);
	bench->f.strays = stray_table_new(&bench->state.hash_key, workers, 50, 7);
	assert_non_null(bench->f.strays);
	return bench;
}

static void short_from(struct bench *bench, const char *client, uint16_t port, const char *dcid, size_t size)
{
	uint8_t datagram[1500];

	from(bench, client, port, datagram, short_header(datagram, dcid, size));
}

/* The only question that was asked since the last time. */
static struct cid_question asked(struct bench *bench)
{
	struct cid_question *front = ring_front(&bench->cid_questions), question;

	assert_non_null(front);
	question = *front;
	ring_pop(&bench->cid_questions);
	assert_null(ring_front(&bench->cid_questions));
	return question;
}

static void assert_not_asked(struct bench *bench)
{
	assert_null(ring_front(&bench->cid_questions));
}

static void answer(struct bench *bench, uint64_t id, const struct shared_session *shared)
{
	forwarder_cid_answer(&bench->f, id, shared);
	collect(bench);
}

static void pass_time(struct bench *bench, uint64_t ns)
{
	bench->f.now_ns += ns;
	forwarder_housekeeping(&bench->f, 0);
	collect(bench);
}

static uint64_t event(const struct bench *bench, enum event event)
{
	return bench->f.counters->events[event];
}

static void packet_waits_for_its_answer_and_is_forwarded(void **unused)
{
	struct bench *bench = ask_bench_open(0, 1);
	struct cid_question question;
	struct quic_cid cid = cid_from_hex(CID);
	struct path_entry path;
	struct session session;
	uint32_t slot;
	uint16_t port;

	(void)unused;
	short_from(bench, CLIENT, PORT, CID, 60);
	assert_int_equal(bench->outputs, 0);
	question = asked(bench);
	assert_int_equal(question.min_len, 4);
	assert_int_equal(question.max_len, CID_LEN_MAX);
	assert_memory_equal(question.cid, cid.bytes, cid.len);
	answer(bench, question.id, &of_b);
	assert_to_backend(bench, B);
	assert_int_equal(bench->out[0].packet.payload_len_bytes, 60);
	port = relay_port(bench);
	assert_int_equal(event(bench, EVENT_SHARED_OPENED), 1);
	/* The connection goes on there, in both directions, and is known by its ID from elsewhere too. */
	short_from(bench, CLIENT, PORT, CID, 60);
	assert_int_equal(relay_port(bench), port);
	from_server(bench, B, port, (uint8_t[60]){ 0x40 }, 60);
	assert_to_client(bench, CLIENT, PORT);
	short_from(bench, "192.0.2.44", 44, CID, 60);
	assert_to_backend(bench, B);
	assert_int_equal(event(bench, EVENT_PATH_MIGRATED), 1);
	assert_not_asked(bench);
	assert_true(path_of(bench, CLIENT, PORT, &slot, &path));
	assert_true(session_read(&bench->state, path.session, &session));
	assert_int_equal(session.route, 9);
	assert_int_equal(session.cid_len, 18);
	assert_true(session.flags & SESSION_FOREIGN && session.flags & SESSION_SHARED);
	assert_false(session.flags & (SESSION_PINNED | SESSION_CONFIRMED));
	bench_close(bench);
}

/* An ID proves nothing, as in QUIC-LB: the backend must have sent as much as the client, and the client go on. */
static void session_is_confirmed_by_an_exchange(void **unused)
{
	struct bench *bench = ask_bench_open(0, 1);
	uint16_t port;

	(void)unused;
	short_from(bench, CLIENT, PORT, CID, 60);
	answer(bench, asked(bench).id, &of_b);
	port = relay_port(bench);
	short_from(bench, CLIENT, PORT, CID, 60);
	from_server(bench, B, port, (uint8_t[500]){ 0x40 }, 361);
	assert_dropped(bench, DROP_AMPLIFICATION, 1); /* over 3 times 120 */
	from_server(bench, B, port, (uint8_t[500]){ 0x40 }, 360);
	assert_to_client(bench, CLIENT, PORT);
	assert_int_equal(event(bench, EVENT_SESSION_CONFIRMED), 0);
	short_from(bench, CLIENT, PORT, CID, 60);
	assert_int_equal(event(bench, EVENT_SESSION_CONFIRMED), 1);
	bench_close(bench);
}

static void pinned_session_is_pinned_here_too(void **unused)
{
	struct bench *bench = ask_bench_open(0, 1);
	struct shared_session pinned = of_b;
	struct path_entry path;
	struct session session;
	uint32_t slot;

	(void)unused;
	pinned.pinned = true;
	short_from(bench, CLIENT, PORT, CID, 60);
	answer(bench, asked(bench).id, &pinned);
	assert_true(path_of(bench, CLIENT, PORT, &slot, &path));
	assert_true(session_read(&bench->state, path.session, &session));
	assert_true(session.flags & SESSION_PINNED);
	bench_close(bench);
}

/* One in two seconds, however often it comes; another ID, or another client, is asked for at once. */
static void no_is_remembered_for_a_while(void **unused)
{
	struct bench *bench = ask_bench_open(0, 1);

	(void)unused;
	short_from(bench, CLIENT, PORT, CID, 60);
	answer(bench, asked(bench).id, &nobodys);
	assert_dropped(bench, DROP_UNKNOWN_CID, 1);
	short_from(bench, CLIENT, PORT, CID, 61);
	assert_dropped(bench, DROP_UNKNOWN_CID, 2);
	assert_not_asked(bench);
	short_from(bench, CLIENT, PORT, "d1d2d3d4d5d6d7d8", 60);
	asked(bench);
	short_from(bench, CLIENT, PORT + 1, CID, 60);
	asked(bench);
	pass_time(bench, 1999 * MS);
	short_from(bench, CLIENT, PORT, CID, 60);
	assert_not_asked(bench);
	pass_time(bench, 2 * MS);
	short_from(bench, CLIENT, PORT, CID, 60);
	answer(bench, asked(bench).id, &of_b);
	assert_to_backend(bench, B);
	bench_close(bench);
}

static void lost_answer_ends_the_wait(void **unused)
{
	struct bench *bench = ask_bench_open(0, 1);
	uint64_t first;

	(void)unused;
	short_from(bench, CLIENT, PORT, CID, 60);
	first = asked(bench).id;
	/* Meanwhile what follows is dropped: one packet is held, one question asked. */
	short_from(bench, CLIENT, PORT, CID, 60);
	assert_dropped(bench, DROP_UNKNOWN_CID, 1);
	assert_not_asked(bench);
	pass_time(bench, 499 * MS);
	assert_int_equal(bench->f.counters->drops[DROP_UNKNOWN_CID], 1);
	pass_time(bench, 2 * MS);
	assert_int_equal(bench->f.counters->drops[DROP_UNKNOWN_CID], 2);
	short_from(bench, CLIENT, PORT, CID, 60);
	assert_true(asked(bench).id != first);
	answer(bench, first, &of_b); /* of the one that is gone */
	assert_int_equal(bench->outputs, 0);
	assert_int_equal(event(bench, EVENT_SHARED_OPENED), 0);
	bench_close(bench);
}

static void answers_to_nothing_do_nothing(void **unused)
{
	struct bench *bench = ask_bench_open(0, 1), *other = bench_open(64);
	uint64_t id;

	(void)unused;
	short_from(bench, CLIENT, PORT, CID, 60);
	id = asked(bench).id;
	answer(bench, id | 1ull << 56, &of_b); /* another worker's */
	answer(bench, id ^ 1, &of_b);
	answer(bench, id + 64, &of_b);
	answer(other, id, &of_b);              /* one that never asks */
	assert_int_equal(bench->outputs + other->outputs, 0);
	answer(bench, id, &of_b);
	assert_to_backend(bench, B);
	answer(bench, id, &of_b);              /* the same again */
	assert_int_equal(bench->outputs, 0);
	assert_int_equal(event(bench, EVENT_SHARED_OPENED), 1);
	bench_close(other);
	bench_close(bench);
}

/* What Redis says of the ID's length may not fit the packet. */
static void impossible_lengths_are_dropped(void **unused)
{
	static const struct {
		uint8_t cid_len;
		size_t size;
	} rows[] = { { 20, 1 + 18 + 20 }, { 3, 60 }, { 0, 60 }, { 21, 60 } };

	(void)unused;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bench *bench = ask_bench_open(0, 1);
		struct shared_session shared = { .backend = B, .cid_len = rows[i].cid_len };

		short_from(bench, CLIENT, PORT, CID, rows[i].size);
		answer(bench, asked(bench).id, &shared);
		assert_dropped(bench, DROP_UNKNOWN_CID, 1);
		assert_int_equal(plain_count(&bench->state.paths), 0);
		bench_close(bench);
	}
}

static void length_that_can_be_is_asked_for(void **unused)
{
	static const struct {
		size_t size;
		uint8_t max_len;               /* 0: not asked for */
	} rows[] = { { 1 + 20 + 20, 20 }, { 1 + 19 + 20, 19 }, { 1 + 4 + 20, 4 }, { 1 + 3 + 20, 0 }, { 21, 0 } };
	struct bench *bench = ask_bench_open(0, 1);

	(void)unused;
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cid_question question;

		short_from(bench, CLIENT, (uint16_t)(PORT + i), rows[i].max_len ? CID : "", rows[i].size);
		if (!rows[i].max_len) {
			assert_not_asked(bench);
			continue;
		}
		question = asked(bench);
		assert_int_equal(question.max_len, rows[i].max_len);
		assert_int_equal(question.min_len, 4);
		for (unsigned j = question.max_len; j < CID_LEN_MAX; j++)
			assert_int_equal(question.cid[j], 0);
	}
	assert_dropped(bench, DROP_UNKNOWN_CID, 2);
	bench_close(bench);
}

/* A long header says how long its DCID is. Its 0-RTT is not asked for: that DCID is the client's own. */
static void handshake_that_began_elsewhere_goes_on(void **unused)
{
	static const struct {
		enum quic_type type;
		const char *dcid;
	} rows[] = { { QUIC_INITIAL, "c1c2c3c4c5c6c7c8" }, { QUIC_HANDSHAKE, "c1c2c3c4c5c6c7c9" } };
	struct bench *bench = ask_bench_open(0, 1);
	uint8_t datagram[1500];

	(void)unused;
	for (unsigned i = 0; i < 2; i++) {
		struct cid_question question;
		uint16_t port = (uint16_t)(PORT + i);

		from(bench, CLIENT, port, datagram, opaque(datagram, rows[i].type, rows[i].dcid, "c1c1", 1200));
		question = asked(bench);
		assert_int_equal(question.min_len, 8);
		assert_int_equal(question.max_len, 8);
		answer(bench, question.id, &(struct shared_session){ .backend = A, .cid_len = 8 });
		assert_to_backend(bench, A);
		assert_int_equal(bench->out[0].packet.payload_len_bytes, 1200);
	}
	from(bench, CLIENT, PORT + 3, datagram, opaque(datagram, QUIC_0RTT, "d1c2c3c4c5c6c7c8", "c1c1", 1200));
	assert_dropped(bench, DROP_NOT_INITIAL, 1);
	assert_not_asked(bench);
	bench_close(bench);
}

/* Its ID came to be known by another of its packets while the answer was on its way: no second session. */
static void what_is_known_by_then_is_forwarded(void **unused)
{
	struct bench *bench = ask_bench_open(0, 1);
	uint64_t ids[2];

	(void)unused;
	short_from(bench, CLIENT, PORT, CID, 60);
	ids[0] = asked(bench).id;
	short_from(bench, CLIENT, PORT + 1, CID, 60);
	ids[1] = asked(bench).id;
	answer(bench, ids[0], &of_b);
	assert_to_backend(bench, B);
	answer(bench, ids[1], &of_b);
	assert_to_backend(bench, B);
	assert_int_equal(event(bench, EVENT_SHARED_OPENED), 1);
	assert_int_equal(event(bench, EVENT_PATH_MIGRATED), 1);
	bench_close(bench);
}

/* quic-go's IDs. */
static void short_ids_are_asked_for_too(void **unused)
{
	struct bench *bench = ask_bench_open(0, 1);
	struct path_entry path;
	uint32_t slot;

	(void)unused;
	short_from(bench, CLIENT, PORT, "c1c2c3c4", 60);
	answer(bench, asked(bench).id, &(struct shared_session){ .backend = A, .cid_len = 4 });
	assert_to_backend(bench, A);
	short_from(bench, CLIENT, PORT, "c1c2c3c4", 200);
	assert_to_backend(bench, A);
	assert_true(path_of(bench, CLIENT, PORT, &slot, &path));
	assert_int_equal(path.cid_len, 4);
	assert_int_equal(event(bench, EVENT_SHARED_OPENED), 1);
	bench_close(bench);
}

/* Two sessions here hold the ID: another relay, or this one, may have written it of either. */
static void what_two_hold_is_not_asked_for(void **unused)
{
	struct bench *bench = ask_bench_open(0, 1);

	(void)unused;
	connect_to(bench, "192.0.2.1", CLIENT_PORT, "a.test", "a001020304050607", "5e5e5e5e");
	connect_to(bench, "192.0.2.2", CLIENT_PORT, "b.test", "b001020304050607", "5e5e5e5e");
	short_from(bench, CLIENT, PORT, "5e5e5e5e", 60);
	assert_dropped(bench, DROP_AMBIGUOUS_4TUPLE, 1);
	assert_not_asked(bench);
	bench_close(bench);
}

/* The first of these questions would be the 51st of a second. */
static void questions_of_one_source_are_limited(void **unused)
{
	struct bench *bench = ask_bench_open(0, 1);
	uint64_t asked_for = 0;

	(void)unused;
	for (unsigned i = 0; i < 200; i++) {
		char dcid[17];

		snprintf(dcid, sizeof(dcid), "%08xc5c6c7c8", i);
		short_from(bench, CLIENT, PORT, dcid, 60);
		if (ring_front(&bench->cid_questions)) {
			answer(bench, asked(bench).id, &nobodys);
			asked_for++;
		}
	}
	assert_int_equal(asked_for, 50);
	assert_int_equal(event(bench, EVENT_CID_QUESTION), 50);
	assert_int_equal(event(bench, EVENT_CID_QUESTION_LIMITED), 150);
	assert_dropped(bench, DROP_UNKNOWN_CID, 200);
	bench_close(bench);
}

/* 5,000 a second and a tenth of that at once, of all; and 64 at a time. */
static void questions_of_all_sources_are_limited(void **unused)
{
	static const struct {
		bool answered;
		uint64_t most;
	} rows[] = { { true, 500 }, { false, 64 } };

	(void)unused;
	for (unsigned i = 0; i < 2; i++) {
		struct bench *bench = ask_bench_open(0, 1);

		for (unsigned n = 0; n < 1000; n++) {
			struct cid_question *question;
			char client[16];

			snprintf(client, sizeof(client), "198.51.%u.%u", n / 250, n % 250 + 1);
			short_from(bench, client, PORT, CID, 60);
			question = ring_front(&bench->cid_questions);
			if (question) {
				if (rows[i].answered)
					answer(bench, question->id, &nobodys);
				ring_pop(&bench->cid_questions);
			}
		}
		assert_int_equal(event(bench, EVENT_CID_QUESTION), rows[i].most);
		assert_int_equal(event(bench, EVENT_CID_QUESTION_LIMITED), 1000 - rows[i].most);
		bench_close(bench);
	}
}

/* The steward is late: the packet is not held for a question that nobody hears. */
static void full_ring_asks_nothing(void **unused)
{
	struct bench *bench = ask_bench_open(0, 1);

	(void)unused;
	for (unsigned i = 0; i < 9; i++)
		short_from(bench, CLIENT, (uint16_t)(PORT + i), CID, 60);
	assert_int_equal(event(bench, EVENT_CID_QUESTION), 8);
	assert_int_equal(event(bench, EVENT_CID_QUESTION_LIMITED), 1);
	assert_dropped(bench, DROP_UNKNOWN_CID, 1);
	bench_close(bench);
}

/* The worker that got the packet asks; only what is somebody's costs the one that owns the 4-tuple anything. */
static void only_what_is_somebodys_is_handed_over(void **unused)
{
	struct bench *bench = ask_bench_open(0, 2);
	struct frame frame = { .interface = 0 };
	struct handover *handover;
	uint16_t theirs = PORT;
	struct addr listener = plain_addr(LISTENER);
	struct tuple tuple = { .client = plain_addr(CLIENT) };
	struct endpoint endpoint;
	uint32_t slot;

	(void)unused;
	assert_true(endpoint_find(&bench->state, &listener, htons(443), &slot, &endpoint));
	tuple.endpoint = (uint16_t)slot;
	do
		tuple.client_port_be = htons(++theirs);
	while (forwarder_tuple_owner(&bench->f, &tuple) != 1);
	short_from(bench, CLIENT, theirs, "d1d2d3d4d5d6d7d8", 60);
	answer(bench, asked(bench).id, &nobodys);
	assert_true(ring_is_empty(&bench->handovers));
	short_from(bench, CLIENT, theirs, CID, 60);
	answer(bench, asked(bench).id, &of_b);
	assert_int_equal(bench->outputs, 0);
	handover = ring_front(&bench->handovers);
	assert_non_null(handover);
	assert_memory_equal(&handover->shared, &of_b, sizeof(of_b));
	/* As the owner takes it. */
	assert_true(frame_take(&bench->pool, &frame));
	frame.len_bytes = handover->len_bytes;
	memcpy(frame.data, handover->frame, handover->len_bytes);
	bench->f.worker = 1;
	forwarder_handle_shared(&bench->f, &frame, &handover->shared);
	collect(bench);
	assert_to_backend(bench, B);
	bench_close(bench);
}

static void our_own_address_is_a_loop(void **unused)
{
	struct bench *bench = ask_bench_open(0, 1);

	(void)unused;
	short_from(bench, RELAY, PORT, CID, 60);
	answer(bench, asked(bench).id, &of_b);
	assert_dropped(bench, DROP_LOOP, 1);
	bench_close(bench);
}

/* Without redis.sessions nobody is asked. */
static void who_may_not_ask_drops(void **unused)
{
	struct bench *bench = bench_open(64);

	(void)unused;
	short_from(bench, CLIENT, PORT, CID, 60);
	assert_dropped(bench, DROP_UNKNOWN_CID, 1);
	assert_not_asked(bench);
	bench_close(bench);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(packet_waits_for_its_answer_and_is_forwarded),
		cmocka_unit_test(session_is_confirmed_by_an_exchange),
		cmocka_unit_test(pinned_session_is_pinned_here_too),
		cmocka_unit_test(no_is_remembered_for_a_while),
		cmocka_unit_test(lost_answer_ends_the_wait),
		cmocka_unit_test(answers_to_nothing_do_nothing),
		cmocka_unit_test(impossible_lengths_are_dropped),
		cmocka_unit_test(length_that_can_be_is_asked_for),
		cmocka_unit_test(handshake_that_began_elsewhere_goes_on),
		cmocka_unit_test(what_is_known_by_then_is_forwarded),
		cmocka_unit_test(short_ids_are_asked_for_too),
		cmocka_unit_test(what_two_hold_is_not_asked_for),
		cmocka_unit_test(questions_of_one_source_are_limited),
		cmocka_unit_test(questions_of_all_sources_are_limited),
		cmocka_unit_test(full_ring_asks_nothing),
		cmocka_unit_test(only_what_is_somebodys_is_handed_over),
		cmocka_unit_test(our_own_address_is_a_loop),
		cmocka_unit_test(who_may_not_ask_drops),
	};

	return cmocka_run_group_tests_name("forwarder_shared", tests, bench_thread_begin, bench_thread_end);
}
