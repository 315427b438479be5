/* SPDX-License-Identifier: MIT */
/* scene: see scene.h. */
#include "scene.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/choice.h"

static struct scene the_scene;

void path_cid_set(struct path_entry *path, const char *cid)
{
	memset(path->cid, 0, sizeof(path->cid));
	path->cid_len = (uint8_t)hex_bytes(cid, path->cid, CID_LEN_MAX);
}

void scene_open(struct scene *scene)
{
	world_open(&scene->world, WORLD_TABLE_SLOTS, WORLD_SESSIONS);
}

void scene_close(struct scene *scene)
{
	world_close(&scene->world);
}

static uint32_t slot_of(const struct table *table, const void *entry)
{
	return (uint32_t)((size_t)((const uint8_t *)entry - table->entries) / table->entry_size);
}

static struct path_entry *path_add(struct scene *scene, const char *client, uint16_t endpoint, uint32_t backend,
				   uint8_t relay_address, const char *cid)
{
	struct path_entry path = {
		.last_seen_s = scene->now_s - 5, .client = addr_of(client), .client_port_be = htons(40000),
		.endpoint = endpoint, .backend = backend, .session = backend, .relay_port_be = htons(20001),
		.relay_address = relay_address, .flags = PATH_CONFIRMED, .sessions = 1,
	};

	path_cid_set(&path, cid);
	world_cid(&scene->world, cid, CID_SERVER, backend);
	return world_path(&scene->world, &path);
}

static struct reply_entry *reply_add(struct scene *scene, const struct path_entry *path, const char *backend)
{
	return world_reply(&scene->world, &(struct reply_entry){
		.last_seen_s = scene->now_s - 5, .backend = addr_of(backend), .backend_port_be = htons(7777),
		.relay_port_be = path->relay_port_be, .relay_address = path->relay_address,
		.flags = REPLY_CONFIRMED | REPLY_ANSWERED, .nexthop = NEXTHOP_CLIENTS, .client = path->client,
		.client_port_be = path->client_port_be, .endpoint = path->endpoint,
		.path = slot_of(&scene->world.state.paths, path),
	});
}

void scene_reset(struct scene *scene)
{
	struct world *world = &scene->world;

	world_reset(world);
	scene->now_s = world_now_s();
	scene->sibling = NULL;
	scene->listener4 = world_listener(world, ENDPOINT_QUIC, LISTENER4, 443);
	scene->listener6 = world_listener(world, ENDPOINT_QUIC, LISTENER6, 443);
	world_listener(world, ENDPOINT_UDP, LISTENER4, 19132);
	world_listener(world, ENDPOINT_RENDEZVOUS, LISTENER4, 3478);
	world_relay_address(world, 0, RELAY4);
	world_relay_address(world, 1, RELAY6);
	world_backend(world, 0, BACKEND0, 7777, 0, 8);
	world_backend(world, 1, BACKEND1, 7777, 0, 20);
	world_backend(world, 2, BACKEND2, 7777, 1, 20);
	world_backend(world, 3, BACKEND3, 7777, 0, 4);
	world_backend(world, 4, "10.0.0.8", 7777, 0, 0);
	for (uint32_t i = 0; i < 5; i++)
		world_session(world, i, i);
	scene->path4 = path_add(scene, CLIENT4, scene->listener4, 0, 0, CID_A);
	scene->path6 = path_add(scene, CLIENT6, scene->listener6, 2, 1, CID_C);
	scene->reply4 = reply_add(scene, scene->path4, BACKEND0);
	scene->reply6 = reply_add(scene, scene->path6, BACKEND2);
}

struct path_entry *scene_add_sibling(struct scene *scene, unsigned ordinal, uint32_t backend, uint32_t session,
				     uint16_t relay_port, const char *cid)
{
	struct path_entry path = *scene->path4;

	scene->path4->siblings |= (uint8_t)(1u << (ordinal - 1));
	path.siblings = 0;
	path.flags = (uint8_t)(PATH_CONFIRMED | ordinal << PATH_ORDINAL_SHIFT);
	path.backend = backend;
	path.session = session;
	path.relay_port_be = htons(relay_port);
	path_cid_set(&path, cid);
	scene->sibling = world_path(&scene->world, &path);
	return scene->sibling;
}

static uint64_t path4_hash(const struct scene *scene)
{
	const struct path_entry *path = scene->path4;

	return path_hash(&scene->world.state.hash_key, &path->client, path->client_port_be, path->endpoint, 0);
}

void scene_crowd_path4(struct scene *scene, unsigned crowd)
{
	struct table *table = &scene->world.state.paths;
	struct path_entry path = *scene->path4;
	uint64_t hash = path4_hash(scene);

	table_remove(table, slot_of(table, scene->path4), hash);
	world_crowd(table, hash, crowd);
	scene->path4 = world_path(&scene->world, &path);
}

void scene_put_before_path4(struct scene *scene, const struct path_entry *first)
{
	struct table *table = &scene->world.state.paths;
	struct path_entry path = *scene->path4;
	uint64_t hash = path4_hash(scene);

	table_remove(table, slot_of(table, scene->path4), hash);
	entry_write(table_at(table, table_claim(table, hash)), first, sizeof(*first));
	scene->path4 = world_path(&scene->world, &path);
}

static uint64_t reply_hash_at(const struct scene *scene, const struct reply_entry *reply)
{
	const struct reply_key key = reply_key_of(reply);

	return reply_key_hash(&scene->world.state.hash_key, &key);
}

void scene_crowd_reply4(struct scene *scene, unsigned crowd)
{
	struct table *table = &scene->world.state.replies;
	struct reply_entry reply = *scene->reply4;
	uint64_t hash = reply_hash_at(scene, &reply);

	table_remove(table, slot_of(table, scene->reply4), hash);
	world_crowd(table, hash, crowd);
	scene->reply4 = world_reply(&scene->world, &reply);
}

/* Both entries of a path; the reply's has another key, and so another place. */
static struct reply_entry *preserve(struct scene *scene, struct path_entry *path, const struct reply_entry *at)
{
	struct table *table = &scene->world.state.replies;
	struct reply_entry reply = *at;

	table_remove(table, slot_of(table, at), reply_hash_at(scene, &reply));
	path->relay_address = reply.relay_address = RELAY_ADDRESS_CLIENT;
	path->relay_port_be = reply.relay_port_be = path->client_port_be;
	return world_reply(&scene->world, &reply);
}

void scene_preserve(struct scene *scene)
{
	scene->world.state.globals->features |= FEATURE_CLIENT_IP;
	scene->reply4 = preserve(scene, scene->path4, scene->reply4);
	scene->reply6 = preserve(scene, scene->path6, scene->reply6);
}

void scene_move_path4(struct scene *scene, uint16_t endpoint)
{
	struct table *table = &scene->world.state.paths;
	struct path_entry path = *scene->path4;

	table_remove(table, slot_of(table, scene->path4), path4_hash(scene));
	path.endpoint = endpoint;
	scene->path4 = world_path(&scene->world, &path);
}

void scene_client4_at_backend2(struct scene *scene)
{
	scene->path4->backend = 2;
	scene->path4->relay_address = 1;
	scene->reply6->client = scene->path4->client;
	scene->reply6->endpoint = scene->listener4;
}

void scene_client6_at_backend0(struct scene *scene)
{
	scene->path6->backend = 0;
	scene->path6->relay_address = 0;
	scene->reply4->client = scene->path6->client;
	scene->reply4->endpoint = scene->listener6;
}

void scene_forget_overflow(struct scene *scene)
{
	for (uint32_t slot = 0; slot < scene->world.path_slots; slot++)
		((struct entry_head *)table_at(&scene->world.state.paths, slot))->overflow = 0;
}

/* The frame that should have come out: the same, between other addresses; or the same payload in the other family. */
static uint32_t sent_build(const struct frame *in, const struct expectation *expect, uint8_t *bytes)
{
	struct frame out = *in;

	out.flow = expect->flow;
	out.ttl = (uint8_t)((in->ttl ? in->ttl : 64) - 1);
	if (frame_is_v4(&out) != frame_is_v4(in)) {
		out.plain = true;
		out.udp_checksum_none = false;
		out.ip_option_words = 0;
		out.extensions = NULL;
	}
	return frame_build(&out, expect->macs, bytes);
}

static struct counters counters_of(const struct expectation *expect, uint32_t frame_len, uint32_t sent_len)
{
	struct counters counters = { .cid_reports = expect->reports, .cid_reports_limited = expect->reports_limited };
	struct traffic one = { 1, frame_len }, sent = { 1, sent_len };

	if (expect->sent)
		counters.forwarded[expect->direction] = sent;
	if (expect->punted)
		counters.punted[expect->direction] = one;
	if (expect->dropped)
		counters.drops[expect->reason] = 1;
	return counters;
}

static void counters_compare(const char *name, const struct counters *got, const struct counters *want)
{
	const uint64_t *a = (const uint64_t *)got, *b = (const uint64_t *)want;

	for (size_t i = 0; i < sizeof(*got) / sizeof(*a); i++)
		if (a[i] != b[i])
			fail_msg("%s: counter word %zu (drops from %zu): %llu, not %llu", name, i,
				 offsetof(struct counters, drops) / 8, (unsigned long long)a[i],
				 (unsigned long long)b[i]);
}

static void bytes_compare(const char *name, const uint8_t *got, uint32_t got_len, const uint8_t *want,
			  uint32_t want_len)
{
	if (got_len != want_len)
		fail_msg("%s: %u bytes out, not %u", name, got_len, want_len);
	for (uint32_t i = 0; i < want_len; i++)
		if (got[i] != want[i])
			fail_msg("%s: byte %u out is %02x, not %02x", name, i, got[i], want[i]);
}

static void expect_on(struct scene *scene, const char *name, const struct frame *in, uint32_t ifindex, uint32_t queue,
		      const struct expectation *expect)
{
	static uint8_t frame[FRAME_MAX], want[FRAME_MAX];
	uint32_t len = frame_build(in, &MACS_IN, frame), want_len = len;
	struct counters counters;
	static struct run run;

	if (expect->sent)
		want_len = sent_build(in, expect, want);
	else
		memcpy(want, frame, len);
	counters = counters_of(expect, len, want_len);
	world_run(&scene->world, frame, len, ifindex, queue, &run);
	if (run.action != expect->action)
		fail_msg("%s: action %u, not %u", name, run.action, expect->action);
	counters_compare(name, &run.counted, &counters);
	bytes_compare(name, run.bytes, run.len, want, want_len);
}

void scene_expect(struct scene *scene, const char *name, const struct frame *in, const struct expectation *expect)
{
	expect_on(scene, name, in, scene->world.lo, 0, expect);
}

void scene_expect_stamps(struct scene *scene, const struct path_entry *path, const struct reply_entry *reply,
			 const struct frame *out, const struct expectation *to_backend, const struct frame *back,
			 const struct expectation *to_client)
{
	scene_expect(scene, "a packet out", out, to_backend);
	assert_in_range(path->last_seen_s, scene->now_s, scene->now_s + 2);
	assert_int_equal(reply->last_seen_s, scene->now_s - 5);
	scene_expect(scene, "a packet back", back, to_client);
	assert_in_range(reply->last_seen_s, scene->now_s, scene->now_s + 2);
}

static void row_expect(struct scene *scene, const struct row *row)
{
	if (row->setup)
		row->setup(scene);
	expect_on(scene, row->name, &row->in, row->on_veth ? scene->world.veth : scene->world.lo, row->queue,
		  &row->expect);
}

/* What the program's clock says when it is asked, which `handle` does for any packet of ours. */
static uint64_t clock_ask(struct scene *scene)
{
	static const struct frame in = { .flow = FROM_CLIENT4, .cid = CID_A };
	static uint8_t frame[FRAME_MAX];
	static struct run run;

	scene_reset(scene);
	*scene->world.clock_word = 0;
	world_run(&scene->world, frame, frame_build(&in, &MACS_IN, frame), scene->world.lo, 0, &run);
	return *scene->world.clock_word;
}

/* By `handle` alone, as `plain` never asks the clock; and then by `plain` first: with no tick since it was asked. */
void row_run(struct scene *scene, const struct row *row)
{
	uint64_t asked;

	scene_reset(scene);
	*scene->world.clock_word = 0;
	row_expect(scene, row);
	do {
		asked = clock_ask(scene);
		scene_reset(scene);
		row_expect(scene, row);
	} while (clock_ask(scene) != asked);
}

bool cid_for_checksum_0(const struct frame *frame, char hex[static 2 * CID_LEN_MAX + 1])
{
	struct frame tried = *frame;
	static uint8_t bytes[FRAME_MAX];
	uint32_t udp = frame_udp_offset(frame);

	tried.cid = hex;
	for (unsigned tail = 0; tail < 0x10000; tail++) {
		snprintf(hex, 2 * CID_LEN_MAX + 1, CID_A "00000000000000000000%04x", tail);
		frame_build(&tried, &MACS_IN, bytes);
		if (bytes[udp + 6] == 0xff && bytes[udp + 7] == 0xff)
			return true;
	}
	return false;
}

/* --- cmocka ----------------------------------------------------------------------------------- */

/* A state set here would take the place of the rows'. */
static int group_setup(void **state)
{
	(void)state;
	scene_open(&the_scene);
	return 0;
}

static int group_teardown(void **state)
{
	(void)state;
	scene_close(&the_scene);
	return 0;
}

static void row_test(void **state)
{
	row_run(&the_scene, *state);
}

static int test_setup(void **state)
{
	*state = &the_scene;
	scene_reset(&the_scene);
	return 0;
}

int rows_main(const char *group, const struct row *rows, size_t row_count, const struct CMUnitTest *tests,
	      size_t test_count)
{
	struct CMUnitTest *all = calloc(row_count + test_count, sizeof(*all));
	int failed;

	if (!all)
		return 1;
	for (size_t i = 0; i < row_count; i++)
		all[i] = (struct CMUnitTest){ rows[i].name, row_test, NULL, NULL, (void *)&rows[i] };
	for (size_t i = 0; i < test_count; i++) {
		all[row_count + i] = tests[i];
		all[row_count + i].setup_func = test_setup;
	}
	choice_from_environment();
	failed = _cmocka_run_group_tests(group, all, row_count + test_count, group_setup, group_teardown);
	free(all);
	return failed != 0;
}
