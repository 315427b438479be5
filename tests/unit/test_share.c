/* SPDX-License-Identifier: MIT */
/*
 * test_share: the sessions of a relay on their way to a redis-server of its own,
 * and the questions for those of others. The relay's tables are plain memory, and
 * what control/view.c says of them is said here.
 */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "control/clock.h"
#include "control/share.h"
#include "tests/lib/plain_state.h"
#include "tests/lib/redis_world.h"
#include "userspace/cid.h"

enum { SERVER = 1, PATIENCE_MS = 10000 };

static struct redis_world world;
static struct routes *routes;
static struct share *share;
static struct state state;
static bool attached;
static unsigned generation;
static struct {
	unsigned answers;
	uint64_t id;                   /* of the last */
	uint8_t cid_len;
	struct session_record record;
} found;

/* --- the relay's tables ------------------------------------------------------------------------------- */

unsigned view_generation(struct view *view)
{
	(void)view;
	return generation;
}

const struct state *view_enter(struct view *view)
{
	(void)view;
	return attached ? &state : NULL;
}

void view_leave(struct view *view)
{
	(void)view;
}

static struct quic_cid cid_of(uint32_t n)
{
	uint64_t number = n * 0x9e3779b97f4a7c15ull; /* Knuth s6.4: no two are the same */

	return quic_cid_make((const uint8_t *)&number, sizeof(number));
}

/* A relay with so many confirmed sessions, of one ID each. */
static void relay_comes(uint32_t sessions)
{
	plain_state_init(&state, sessions);
	plain_backend(&state, SERVER, "10.0.0.5", 7001, 1, 0);
	for (uint32_t slot = 0; slot < sessions; slot++) {
		struct session session = { .backend = SERVER, .route = 9, .flags = SESSION_CONFIRMED, .cid_count = 1 };
		struct quic_cid cid = cid_of(slot);

		session.cids[0] = cid_add(&state, &cid, CID_SERVER, NULL, slot);
		assert_int_not_equal(session.cids[0], SLOT_NONE);
		entry_write(&state.sessions[slot], &session, sizeof(session));
	}
	attached = true;
	generation++;
}

static void relay_goes(void)
{
	if (attached)
		plain_state_end(&state);
	attached = false;
}

/* --- the control process ------------------------------------------------------------------------------ */

static void on_session_found(void *context, uint64_t id, uint8_t cid_len, const struct session_record *record)
{
	(void)context;
	found.id = id;
	found.cid_len = cid_len;
	found.record = record ? *record : (struct session_record){ 0 };
	found.answers++;
}

static int set_up(void **unused)
{
	struct config_redis config = { .enabled = true, .sessions = true, .address = world.socket };
	struct share_options options = { .config = &config, .session_found = on_session_found };

	(void)unused;
	redis_world_begin(&world);
	redis_world_start(&world, NULL);
	memset(&found, 0, sizeof(found));
	options.routes = routes = routes_new(64);
	share = share_new(&options);
	return routes && share ? 0 : -1;
}

static int tear_down(void **unused)
{
	(void)unused;
	relay_goes();
	share_free(share);
	routes_free(routes);
	redis_world_end(&world);
	return 0;
}

static uint64_t written(void)
{
	struct redis_stats stats;

	share_stats(share, &stats);
	return stats.sessions_put;
}

/* Until so many IDs are written, and so many questions answered. */
static void serve_until(uint64_t ids, unsigned answers)
{
	uint64_t end_ns = clock_now_ns() + PATIENCE_MS * MS_NS;

	while (written() < ids || found.answers < answers) {
		struct pollfd fd = { .fd = share_fd(share), .events = POLLIN };

		assert_true(clock_now_ns() < end_ns);
		if (poll(&fd, 1, 1000) > 0)
			share_serve(share);
	}
	assert_int_equal(written(), ids);
}

static void ids_are_told_and_found(void **unused)
{
	struct quic_cid cid = cid_of(63), nobodys = cid_of(64);

	(void)unused;
	assert_int_equal(share_session_find(share, 7, cid.bytes, 4, 20), -EAGAIN); /* not connected yet */
	relay_comes(64);
	serve_until(64, 0);
	assert_int_equal(share_session_find(share, 7, cid.bytes, 4, 20), 0);
	serve_until(64, 1);
	assert_int_equal(found.id, 7);
	assert_int_equal(found.cid_len, 8);
	assert_int_equal(found.record.server.port, 7001);
	assert_int_equal(found.record.route, 9);
	assert_int_equal(share_session_find(share, 8, nobodys.bytes, 4, 20), 0);
	serve_until(64, 2);
	assert_int_equal(found.id, 8);
	assert_int_equal(found.cid_len, 0);
}

/* Not of another session in its slot; and at once, with the client's next packet right behind. */
static void ended_session_is_not_found_again(void **unused)
{
	struct quic_cid cid = cid_of(5);

	(void)unused;
	relay_comes(64);
	serve_until(64, 0);
	share_session_end(share, 5, state.sessions[5].generation + 1);
	assert_int_equal(share_session_find(share, 1, cid.bytes, 4, 20), 0);
	serve_until(64, 1);
	assert_int_equal(found.cid_len, 8);
	share_session_end(share, 5, state.sessions[5].generation);
	assert_int_equal(share_session_find(share, 2, cid.bytes, 4, 20), 0);
	serve_until(65, 2);
	assert_int_equal(found.cid_len, 0);
}

/* More than may be on their way at a time: the rest follows. */
static void many_sessions_are_ended(void **unused)
{
	(void)unused;
	relay_comes(1024);
	serve_until(1024, 0);
	for (uint32_t slot = 0; slot < 1024; slot++)
		share_session_end(share, slot, state.sessions[slot].generation);
	serve_until(2048, 0);
}

/* By a relay that is back with its old tables, and to a Redis that is back with nothing. */
static void all_is_told_again_where_it_may_be_lost(void **unused)
{
	(void)unused;
	relay_comes(64);
	serve_until(64, 0);
	relay_goes();
	relay_comes(64);
	serve_until(128, 0);
	redis_world_stop(&world);
	redis_world_start(&world, NULL);
	serve_until(192, 0);
	assert_string_equal(redis_world_cli(&world, "DBSIZE"), "64");
}

/* One lot in each step of 20 ms takes 2.5 s. */
static void many_are_told_as_fast_as_redis_takes_them(void **unused)
{
	enum { IDS = 1 << 16, AT_A_TIME = 8 * REDIS_SESSIONS_PUT_MAX, STEP_MS = 20 };
	uint64_t begin_ns;

	(void)unused;
	relay_comes(IDS);
	begin_ns = clock_now_ns();
	serve_until(IDS, 0);
	assert_in_range((clock_now_ns() - begin_ns) / MS_NS, 0, IDS / AT_A_TIME * STEP_MS / 2);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ids_are_told_and_found),
		TEST(ended_session_is_not_found_again),
		TEST(many_sessions_are_ended),
		TEST(all_is_told_again_where_it_may_be_lost),
		TEST(many_are_told_as_fast_as_redis_takes_them),
	};

	if (!redis_world_possible()) {
		puts("SKIP: no redis-server");
		return 77;
	}
	return cmocka_run_group_tests_name("share", tests, NULL, NULL);
}
