/* SPDX-License-Identifier: MIT */
/* Unit tests of the shared tables: entries, probe sequences, overflow counts; paths and endpoints on top. */
#include <arpa/inet.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lib/plain_state.h"
#include "userspace/endpoint.h"
#include "userspace/path.h"

static void entry_is_absent_until_written_and_after_cleared(void **unused)
{
	struct cid_entry entry = { 0 }, from = { .session = 7, .len = 3 }, copy;
	bool busy;

	(void)unused;
	assert_false(entry_read(&entry, &copy, sizeof(copy), &busy));
	assert_false(busy);
	entry_write(&entry, &from, sizeof(from));
	assert_true(entry_read(&entry, &copy, sizeof(copy), NULL));
	assert_int_equal(copy.session, 7);
	assert_int_equal(copy.len, 3);
	entry_clear(&entry);
	assert_false(entry_read(&entry, &copy, sizeof(copy), NULL));
}

static void entry_being_written_is_busy(void **unused)
{
	struct cid_entry entry = { .head.seq = SEQ_LIVE | SEQ_WRITING }, copy;
	bool busy = false;

	(void)unused;
	assert_false(entry_read(&entry, &copy, sizeof(copy), &busy));
	assert_true(busy);
}

static void probe_sequence_has_no_slot_twice(void **unused)
{
	static const uint32_t sizes[] = { 32, 96, 224, ENDPOINT_SLOTS, 1750016, 3250016, 13631488 };

	(void)unused;
	for (unsigned size = 0; size < sizeof(sizes) / sizeof(sizes[0]); size++) {
		for (uint64_t hash = 1; hash < 1ull << 60; hash = hash * 3 + 12345) {
			uint32_t seen[PROBES_MAX];

			for (uint32_t i = 0; i < PROBES_MAX; i++) {
				seen[i] = table_slot(hash, i, sizes[size]);
				assert_true(seen[i] < sizes[size]);
				for (uint32_t before = 0; before < i; before++)
					assert_int_not_equal(seen[before], seen[i]);
			}
			assert_int_equal(seen[0] / 2, seen[1] / 2);
		}
	}
}

/* All keys in one sequence: the one after PROBES_MAX finds no slot; removing gives slots and overflow counts back. */
static void full_sequence_refuses_and_recovers(void **unused)
{
	struct state state;
	uint32_t slots[PROBES_MAX];
	const uint64_t hash = 0x123456789abcdef;
	struct cid_entry entry = { .len = 1 };

	(void)unused;
	plain_state_init(&state, 64);
	for (int i = 0; i < PROBES_MAX; i++) {
		slots[i] = table_claim(&state.cids, hash);
		assert_int_not_equal(slots[i], SLOT_NONE);
		entry_write(table_at(&state.cids, slots[i]), &entry, sizeof(entry));
	}
	assert_int_equal(table_claim(&state.cids, hash), SLOT_NONE);
	for (int i = 0; i < PROBES_MAX; i++)
		table_remove(&state.cids, slots[i], hash);
	for (uint32_t slot = 0; slot < state.cids.slots; slot++) {
		struct entry_head *head = table_at(&state.cids, slot);

		assert_int_equal(head->overflow, 0);
		assert_int_equal(head->seq & SEQ_STATE_MASK, SEQ_FREE);
	}
	plain_state_end(&state);
}

static void look_up_goes_on_behind_a_freed_slot(void **unused)
{
	struct state state;
	const uint64_t hash = 42;
	struct cid_entry entry = { .session = 1 }, copy;
	uint32_t first, second, slot, i = 0;

	(void)unused;
	plain_state_init(&state, 64);
	first = table_claim(&state.cids, hash);
	entry_write(table_at(&state.cids, first), &entry, sizeof(entry));
	second = table_claim(&state.cids, hash);
	entry.session = 2;
	entry_write(table_at(&state.cids, second), &entry, sizeof(entry));
	table_remove(&state.cids, first, hash);
	assert_true(table_next(&state.cids, hash, &i, &slot, &copy));
	assert_int_equal(slot, second);
	assert_int_equal(copy.session, 2);
	plain_state_end(&state);
}

static void saturated_overflow_count_sticks(void **unused)
{
	struct state state;
	const uint64_t hash = 99;
	struct cid_entry entry = { 0 };
	struct entry_head *head;
	uint32_t second;

	(void)unused;
	plain_state_init(&state, 64);
	entry_write(table_at(&state.cids, table_claim(&state.cids, hash)), &entry, sizeof(entry));
	head = table_at(&state.cids, table_slot(hash, 0, state.cids.slots));
	head->overflow = UINT8_MAX;
	second = table_claim(&state.cids, hash);
	assert_int_equal(head->overflow, UINT8_MAX);
	table_remove(&state.cids, second, hash);
	assert_int_equal(head->overflow, UINT8_MAX);
	plain_state_end(&state);
}

static void tables_follow_the_bound(void **unused)
{
	(void)unused;
	assert_int_equal(state_path_slots(1), 32);
	assert_int_equal(state_path_slots(64), 128);
	assert_int_equal(state_path_slots(1000000), 1750016);
	assert_int_equal(state_cid_slots(64), 224);
	assert_int_equal(state_cid_slots(1000000), 3250016);
	assert_int_equal(state_cid_slots(4194304), 13631488);
}

/* --- how many keys find no slot --------------------------------------------------------------------- */

/* splitmix64 (Steele, Lea and Flood, 2014): as even as the tables' hash, and the same in each run. */
static uint64_t next_hash(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* The number of the first free probe; PROBES_MAX: none. */
static uint32_t first_free(const uint8_t *taken, uint32_t slots, uint64_t hash)
{
	uint32_t i = 0;

	while (i < PROBES_MAX && taken[table_slot(hash, i, slots)])
		i++;
	return i;
}

/* Fills a table of so many slots, then sees how many more of KEYS keys would find none. */
static void assert_refusals(uint32_t slots, uint32_t entries, unsigned refusals_max)
{
	enum { KEYS = 4000000 };
	uint8_t *taken = calloc(slots, 1);
	unsigned refusals = 0;
	uint64_t state = 1;

	assert_non_null(taken);
	for (uint32_t n = 0; n < entries; n++) {
		uint64_t hash = next_hash(&state);
		uint32_t i = first_free(taken, slots, hash);

		assert_int_not_equal(i, PROBES_MAX);
		taken[table_slot(hash, i, slots)] = 1;
	}
	for (uint32_t n = 0; n < KEYS; n++)
		refusals += first_free(taken, slots, next_hash(&state)) == PROBES_MAX;
	print_message("%u entries in %u slots: %u of %u more find none\n", entries, slots, refusals, KEYS);
	assert_in_range(refusals, 0, refusals_max);
	free(taken);
}

/* What state.h says of limits.sessions: 1 path and 2 CIDs a session; and of a sequence that were not even: many more. */
static void hardly_a_key_finds_no_slot_at_the_bound(void **unused)
{
	enum { SESSIONS = 65536 };

	(void)unused;
	assert_refusals(state_path_slots(SESSIONS), SESSIONS, 5);
	assert_refusals(state_cid_slots(SESSIONS), 2 * SESSIONS, 30);
}

/* --- torn reads: one writer, one reader, entries whose words must all agree ---------------------- */

struct race {
	struct path_entry entry;
	volatile bool stop;
};

static void *race_writer(void *argument)
{
	struct race *race = argument;

	for (uint32_t i = 1; !race->stop; i++) {
		struct path_entry entry = { .backend = i, .session = i };

		memset(entry.cid, (int)(i & 0xff), sizeof(entry.cid));
		memset(&entry.client, (int)(i & 0xff), sizeof(entry.client));
		entry_write(&race->entry, &entry, sizeof(entry));
	}
	return NULL;
}

static void no_reader_sees_half_an_entry(void **unused)
{
	struct race race = { .stop = false };
	pthread_t writer;
	unsigned read = 0;

	(void)unused;
	assert_int_equal(pthread_create(&writer, NULL, race_writer, &race), 0);
	while (read < 200000) {
		struct path_entry copy;

		if (!entry_read(&race.entry, &copy, sizeof(copy), NULL))
			continue;
		read++;
		assert_int_equal(copy.session, copy.backend);
		assert_int_equal(copy.cid[0], copy.backend & 0xff);
		assert_int_equal(copy.cid[CID_LEN_MAX - 1], copy.backend & 0xff);
		assert_int_equal(copy.client.bytes[15], copy.backend & 0xff);
	}
	race.stop = true;
	pthread_join(writer, NULL);
}

/* --- paths ----------------------------------------------------------------------------------------- */

static struct tuple tuple_of(const char *client, uint16_t port)
{
	return (struct tuple){ plain_addr(client), htons(port), 3 };
}

static void path_is_found_from_both_sides(void **unused)
{
	struct state state;
	struct port_share ports = { .worker = 0, .workers = 1, .random = 5 };
	struct tuple tuple = tuple_of("192.0.2.1", 1000), other = tuple_of("192.0.2.1", 1001);
	struct reply_key key = {
		.backend = plain_addr("10.0.0.5"), .backend_port_be = htons(7777), .relay_address = 4 };
	struct path_entry path;
	struct reply_entry reply;
	uint32_t slot, found;

	(void)unused;
	plain_state_init(&state, 64);
	plain_backend(&state, 2, "10.0.0.5", 7777, 1, 4);
	assert_int_equal(path_open(&state, &ports, &tuple, 2, false, 9, 100, &slot), PATH_OPENED);
	assert_true(path_find(&state, &tuple, &found, &path));
	assert_int_equal(found, slot);
	assert_int_equal(path.backend, 2);
	assert_false(path_find(&state, &other, &found, &path));
	assert_true(path_read(&state, slot, &path));
	key.relay_port_be = path.relay_port_be;
	assert_true(reply_find(&state, &key, &found, &reply));
	assert_int_equal(reply.client_port_be, htons(1000));
	assert_int_equal(reply.nexthop, 9);
	assert_int_equal(reply.path, slot);
	key.backend_port_be = htons(7778);
	assert_false(reply_find(&state, &key, &found, &reply));
	key.backend_port_be = htons(7777);
	key.relay_address = 5;
	assert_false(reply_find(&state, &key, &found, &reply));

	path_confirm(&state, slot);
	assert_true(path_read(&state, slot, &path));
	assert_true(path.flags & PATH_CONFIRMED);
	assert_true(path_reply(&state, slot, &path, &found, &reply));
	assert_true(reply.flags & REPLY_CONFIRMED);

	path_close(&state, slot);
	assert_int_equal(plain_count(&state.paths), 0);
	assert_int_equal(plain_count(&state.replies), 0);
	plain_state_end(&state);
}

/* One socket, PATH_SIBLINGS_MAX + 1 backends; closing in any order leaves nothing. */
static void several_backends_of_one_tuple(void **unused)
{
	struct tuple tuple = tuple_of("2001:db8::7", 4242);

	(void)unused;
	for (unsigned first = 0; first <= PATH_SIBLINGS_MAX; first++) {
		struct port_share ports = { .worker = 0, .workers = 1, .random = 77 };
		struct state state;
		uint32_t slots[PATH_SIBLINGS_MAX + 2], slot;
		struct path_entry path;

		plain_state_init(&state, 64);
		for (uint32_t i = 0; i < PATH_SIBLINGS_MAX + 2; i++)
			plain_backend(&state, i, "2001:db8::5", (uint16_t)(7000 + i), 1, 0);
		for (uint32_t i = 0; i <= PATH_SIBLINGS_MAX; i++)
			assert_int_equal(path_open(&state, &ports, &tuple, i, false, 1, 1, &slots[i]), PATH_OPENED);
		assert_int_equal(path_open(&state, &ports, &tuple, PATH_SIBLINGS_MAX + 1, false, 1, 1, &slot),
				 PATH_TABLE_FULL);
		assert_int_equal(plain_count(&state.replies), PATH_SIBLINGS_MAX + 1);
		for (uint32_t i = 0; i <= PATH_SIBLINGS_MAX; i++) {
			assert_true(path_find_backend(&state, &tuple, i, &slot, &path));
			assert_int_equal(slot, slots[i]);
		}
		for (unsigned i = 0; i <= PATH_SIBLINGS_MAX; i++) {
			uint32_t gone = (first + i) % (PATH_SIBLINGS_MAX + 1);

			path_close(&state, slots[gone]);
			assert_false(path_find_backend(&state, &tuple, gone, &slot, &path));
		}
		assert_int_equal(plain_count(&state.paths), 0);
		assert_int_equal(plain_count(&state.replies), 0);
		plain_state_end(&state);
	}
}

static void absent_default_entry_is_used_again(void **unused)
{
	struct port_share ports = { .worker = 0, .workers = 1, .random = 3 };
	struct tuple tuple = tuple_of("192.0.2.9", 9);
	struct state state;
	struct path_entry path;
	uint32_t a, b, c, slot;

	(void)unused;
	plain_state_init(&state, 64);
	for (uint32_t i = 0; i < 3; i++)
		plain_backend(&state, i, "10.0.0.1", (uint16_t)(1 + i), 1, 0);
	assert_int_equal(path_open(&state, &ports, &tuple, 0, false, 1, 1, &a), PATH_OPENED);
	assert_int_equal(path_open(&state, &ports, &tuple, 1, false, 1, 1, &b), PATH_OPENED);
	path_close(&state, a);
	assert_true(path_find(&state, &tuple, &slot, &path));
	assert_true(path.flags & PATH_ABSENT);
	assert_int_equal(path_open(&state, &ports, &tuple, 2, false, 1, 1, &c), PATH_OPENED);
	assert_int_equal(c, a);
	assert_true(path_find_backend(&state, &tuple, 1, &slot, &path));
	assert_true(path_find_backend(&state, &tuple, 2, &slot, &path));
	plain_state_end(&state);
}

enum { OPENINGS = 5000 };

/* Opens and closes one client's path by a listener of its own, and that by its own address and port. */
struct opener {
	struct state *state;
	struct port_share ports;
	struct tuple tuple;
	atomic_uint *open;              /* of both openers, now */
	unsigned lost, doubled;
};

static void *open_and_close(void *argument)
{
	struct opener *opener = argument;

	for (unsigned opened = 0; opened < OPENINGS;) {
		struct path_entry path;
		struct reply_entry reply;
		uint32_t slot, reply_slot;

		if (path_open(opener->state, &opener->ports, &opener->tuple, 0, true, 1, 1, &slot) != PATH_OPENED) {
			sched_yield();
			continue;
		}
		opened++;
		opener->doubled += atomic_fetch_add(opener->open, 1);
		path_confirm(opener->state, slot); /* writes both entries anew */
		if (!path_read(opener->state, slot, &path) ||
		    !path_reply(opener->state, slot, &path, &reply_slot, &reply))
			opener->lost++;
		atomic_fetch_sub(opener->open, 1);
		path_close(opener->state, slot);
	}
	return NULL;
}

static void no_client_is_at_one_backend_twice(void **unused)
{
	struct state state;
	struct opener openers[2];
	pthread_t threads[2];
	atomic_uint open = 0;

	(void)unused;
	plain_state_init(&state, 64);
	plain_backend(&state, 0, "10.0.0.1", 443, 1, 0);
	for (unsigned i = 0; i < 2; i++) {
		openers[i] = (struct opener){
			.state = &state, .ports = { i, 2, 11 }, .tuple = tuple_of("192.0.2.1", 1), .open = &open };
		openers[i].tuple.endpoint = (uint16_t)i;
		assert_int_equal(pthread_create(&threads[i], NULL, open_and_close, &openers[i]), 0);
	}
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(openers[i].lost, 0);
		assert_int_equal(openers[i].doubled, 0);
	}
	assert_int_equal(plain_count(&state.paths), 0);
	assert_int_equal(plain_count(&state.replies), 0);
	for (uint32_t slot = 0; slot < state.replies.slots; slot++)
		assert_int_equal(((struct entry_head *)table_at(&state.replies, slot))->overflow, 0);
	plain_state_end(&state);
}

/* A range of 8 ports, two workers: each gets its 4, no port twice, none that the host has. */
static void relay_ports_are_shared_out_and_run_out(void **unused)
{
	struct port_share ports[2] = { { 0, 2, 11 }, { 1, 2, 13 } };
	struct state state;
	bool taken[65536] = { false };
	unsigned opened[2] = { 0, 0 };

	(void)unused;
	plain_state_init(&state, 64);
	plain_backend(&state, 0, "10.0.0.1", 443, 1, 0);
	memset(state.globals->relay_ports, 0, sizeof(state.globals->relay_ports));
	state.globals->relay_ports[0] = 2000;
	state.globals->relay_ports[1] = 2007;
	state.host_ports[2003 / 64] |= 1ull << 2003 % 64;
	for (unsigned i = 0; i < 20; i++) {
		struct tuple tuple = tuple_of("192.0.2.1", (uint16_t)(1 + i));
		struct path_entry path;
		uint32_t slot;

		if (path_open(&state, &ports[i % 2], &tuple, 0, false, 1, 1, &slot) != PATH_OPENED)
			continue;
		assert_true(path_read(&state, slot, &path));
		assert_in_range(ntohs(path.relay_port_be), 2000, 2007);
		assert_int_equal(ntohs(path.relay_port_be) % 2, i % 2);
		assert_false(taken[ntohs(path.relay_port_be)]);
		taken[ntohs(path.relay_port_be)] = true;
		opened[i % 2]++;
	}
	assert_int_equal(opened[0], 4);
	assert_int_equal(opened[1], 3);
	assert_false(taken[2003]);
	plain_state_end(&state);
}

static void path_is_as_young_as_its_younger_direction(void **unused)
{
	struct port_share ports = { .worker = 0, .workers = 1, .random = 3 };
	struct tuple tuple = tuple_of("192.0.2.9", 9);
	struct state state;
	struct path_entry path;
	struct reply_entry reply;
	uint32_t slot, reply_slot;

	(void)unused;
	plain_state_init(&state, 64);
	plain_backend(&state, 0, "10.0.0.1", 1, 1, 0);
	assert_int_equal(path_open(&state, &ports, &tuple, 0, false, 1, 50, &slot), PATH_OPENED);
	assert_int_equal(path_last_seen_s(&state, slot), 50);
	assert_true(path_read(&state, slot, &path) && path_reply(&state, slot, &path, &reply_slot, &reply));
	((struct reply_entry *)table_at(&state.replies, reply_slot))->last_seen_s = 60;
	assert_int_equal(path_last_seen_s(&state, slot), 60);
	((struct path_entry *)table_at(&state.paths, slot))->last_seen_s = 70;
	assert_int_equal(path_last_seen_s(&state, slot), 70);
	plain_state_end(&state);
}

/* --- endpoints ------------------------------------------------------------------------------------- */

static void endpoints_are_found_by_address_and_port(void **unused)
{
	struct state state;
	struct endpoint endpoint;
	struct addr a = plain_addr("203.0.113.5"), b = plain_addr("2001:db8::5");
	uint32_t slot;

	(void)unused;
	plain_state_init(&state, 64);
	assert_int_equal(endpoint_add(&state, ENDPOINT_QUIC, &a, htons(443), 1, 0), 0);
	assert_int_equal(endpoint_add(&state, ENDPOINT_QUIC, &a, htons(443), 1, 0), 0);
	assert_int_equal(endpoint_add(&state, ENDPOINT_RELAY, &a, 0, 0, 7), 0);
	assert_int_equal(plain_count(&state.endpoints), 2);
	assert_true(endpoint_find(&state, &a, htons(443), &slot, &endpoint));
	assert_int_equal(endpoint.listener, 1);
	assert_true(endpoint_find(&state, &a, 0, &slot, &endpoint));
	assert_int_equal(endpoint.relay_address, 7);
	assert_false(endpoint_find(&state, &a, htons(444), &slot, &endpoint));
	assert_false(endpoint_find(&state, &b, htons(443), &slot, &endpoint));
	endpoint_remove(&state, &a, htons(443));
	assert_false(endpoint_find(&state, &a, htons(443), &slot, &endpoint));
	assert_true(endpoint_is_relay_port(&state, htons(1024)));
	assert_true(endpoint_is_relay_port(&state, htons(65535)));
	assert_false(endpoint_is_relay_port(&state, htons(40000)));
	assert_false(endpoint_is_relay_port(&state, 0));
	plain_state_end(&state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(entry_is_absent_until_written_and_after_cleared),
		cmocka_unit_test(entry_being_written_is_busy),
		cmocka_unit_test(probe_sequence_has_no_slot_twice),
		cmocka_unit_test(full_sequence_refuses_and_recovers),
		cmocka_unit_test(look_up_goes_on_behind_a_freed_slot),
		cmocka_unit_test(saturated_overflow_count_sticks),
		cmocka_unit_test(tables_follow_the_bound),
		cmocka_unit_test(hardly_a_key_finds_no_slot_at_the_bound),
		cmocka_unit_test(no_reader_sees_half_an_entry),
		cmocka_unit_test(path_is_found_from_both_sides),
		cmocka_unit_test(several_backends_of_one_tuple),
		cmocka_unit_test(absent_default_entry_is_used_again),
		cmocka_unit_test(no_client_is_at_one_backend_twice),
		cmocka_unit_test(relay_ports_are_shared_out_and_run_out),
		cmocka_unit_test(path_is_as_young_as_its_younger_direction),
		cmocka_unit_test(endpoints_are_found_by_address_and_port),
	};

	return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
