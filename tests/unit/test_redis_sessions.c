/* SPDX-License-Identifier: MIT */
/*
 * test_redis_sessions: connection IDs of sessions in a redis-server of its own:
 * written by one relay's control process, looked for by another's.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/lib/plain_state.h"
#include "tests/lib/redis_world.h"

static struct redis_world world;
static struct redis_client client, other;

static int set_up(void **unused)
{
	(void)unused;
	redis_world_begin(&world);
	redis_world_start(&world, NULL);
	return 0;
}

/* Also after a failure, wherever it was. */
static int tear_down(void **unused)
{
	(void)unused;
	redis_client_end(&client);
	redis_client_end(&other);
	redis_world_end(&world);
	return 0;
}

static void connect_client(struct redis_client *which, const struct redis_options *options)
{
	redis_client_begin(which, &world, options);
	assert_true(redis_client_connected(which, true));
}

/* The n-th of so many bytes. */
static struct session_cid cid_of(uint8_t len, uint32_t n)
{
	struct session_cid cid = { .len = len, .record = { { plain_addr("10.0.0.5"), (uint16_t)(1 + n % 60000) }, n, false } };

	memset(cid.cid, 0xc1, len);
	memcpy(cid.cid, &n, sizeof(n));
	return cid;
}

struct wanted {
	struct redis_client *client;
	uint64_t put, refused;         /* that many in all */
	unsigned answers;
};

static bool is_reached(void *context)
{
	const struct wanted *wanted = context;
	struct redis_stats stats = redis_client_stats(wanted->client);

	return stats.sessions_put + stats.sessions_refused >= wanted->put + wanted->refused &&
	       wanted->client->answers >= wanted->answers;
}

static void run_until(struct wanted wanted)
{
	struct redis_client *one[] = { wanted.client };

	assert_true(redis_clients_run(one, 1, is_reached, &wanted));
	assert_int_equal(redis_client_stats(wanted.client).sessions_put, wanted.put);
	assert_int_equal(redis_client_stats(wanted.client).sessions_refused, wanted.refused);
}

static void put(struct redis_client *by, const struct session_cid *cids, unsigned count, uint32_t ttl_s)
{
	uint64_t before = redis_client_stats(by).sessions_put;

	assert_true(redis_sessions_room(by->redis));
	redis_sessions_put(by->redis, cids, count, ttl_s);
	run_until((struct wanted){ .client = by, .put = before + count });
}

/* How long the ID of these bytes is; 0: nobody's. */
static uint8_t find(struct redis_client *by, const uint8_t *cid, uint8_t min_len, uint8_t max_len)
{
	static uint64_t id = 1ull << 56;
	uint64_t written = redis_client_stats(by).sessions_put;

	assert_int_equal(redis_session_find(by->redis, ++id, cid, min_len, max_len), 0);
	run_until((struct wanted){ .client = by, .put = written, .answers = by->answers + 1 });
	assert_true(by->answered_id == id);
	return by->found_len;
}

static void what_one_writes_the_other_finds(void **unused)
{
	struct session_cid cid = cid_of(18, 77);

	(void)unused;
	cid.record.pinned = true;
	connect_client(&client, NULL);
	connect_client(&other, NULL);
	put(&client, &cid, 1, 90);
	assert_string_equal(redis_world_cli(&world, "GET sluice:cid:4d000000c1c1c1c1c1c1c1c1c1c1c1c1c1c1"),
			    "10.0.0.5:78 route=0000004d pinned");
	assert_in_range(atoi(redis_world_cli(&world, "TTL sluice:cid:4d000000c1c1c1c1c1c1c1c1c1c1c1c1c1c1")), 88, 90);
	assert_int_equal(find(&other, cid.cid, 18, 18), 18);
	assert_int_equal(find(&other, cid.cid, 4, 20), 18);
	assert_true(addr_equal(&other.found.server.addr, &cid.record.server.addr));
	assert_int_equal(other.found.server.port, 78);
	assert_int_equal(other.found.route, 77);
	assert_true(other.found.pinned);
	assert_int_equal(find(&other, cid.cid, 4, 17), 0);
	assert_int_equal(find(&other, cid.cid, 19, 20), 0);
	assert_int_equal(redis_client_stats(&other).session_finds, 4);
	assert_int_equal(redis_client_stats(&other).sessions_found, 2);
}

/* One of 4 bytes begins as one of 18: who asks for both means the longer. */
static void longest_counts(void **unused)
{
	struct session_cid cids[] = { cid_of(4, 5), cid_of(18, 5), cid_of(8, 5) };

	(void)unused;
	connect_client(&client, NULL);
	put(&client, cids, 3, 90);
	assert_int_equal(find(&client, cids[1].cid, 4, 20), 18);
	assert_int_equal(find(&client, cids[1].cid, 4, 17), 8);
	assert_int_equal(find(&client, cids[1].cid, 4, 7), 4);
}

/* An alias is the client's choice: it takes nobody's place. But it lives as long as it is told. */
static void alias_is_not_written_over_another(void **unused)
{
	struct session_cid cids[] = { cid_of(8, 1), cid_of(8, 1), cid_of(8, 2) };

	(void)unused;
	connect_client(&client, NULL);
	put(&client, cids, 1, 20);
	cids[1].record.server.port = 99;
	cids[1].alias = cids[2].alias = true;
	redis_sessions_put(client.redis, cids + 1, 2, 90);
	run_until((struct wanted){ .client = &client, .put = 2 });
	assert_int_equal(find(&client, cids[1].cid, 8, 8), 8);
	assert_int_equal(client.found.server.port, cids[0].record.server.port);
	assert_int_equal(find(&client, cids[2].cid, 8, 8), 8);
	assert_int_equal(client.found.server.port, cids[2].record.server.port);
	assert_in_range(atoi(redis_world_cli(&world, "TTL sluice:cid:01000000c1c1c1c1")), 88, 90);
	/* Again, of the one that is ours by now; and what a server was seen to use does take its place. */
	redis_sessions_put(client.redis, cids + 2, 1, 200);
	assert_int_equal(find(&client, cids[2].cid, 8, 8), 8);
	assert_in_range(atoi(redis_world_cli(&world, "TTL sluice:cid:02000000c1c1c1c1")), 198, 200);
	cids[2].alias = false;
	cids[2].record.server.port = 7;
	put(&client, cids + 2, 1, 90);
	assert_int_equal(find(&client, cids[2].cid, 8, 8), 8);
	assert_int_equal(client.found.server.port, 7);
}

/* What somebody else wrote there is no session, and hides none. */
static void nonsense_is_passed_over(void **unused)
{
	struct session_cid cid = cid_of(4, 5);

	(void)unused;
	connect_client(&client, NULL);
	put(&client, &cid, 1, 90);
	redis_world_cli(&world, "SET sluice:cid:05000000c1 'rm -rf'");
	redis_world_cli(&world, "HSET sluice:cid:05000000c1c1 a b");
	memset(cid.cid + 4, 0xc1, 16);
	assert_int_equal(find(&client, cid.cid, 4, 20), 4);
	assert_int_equal(redis_client_stats(&client).invalid, 1);
	assert_int_equal(find(&client, cid.cid, 5, 20), 0);
}

/* Nor does it open what begins as it does. */
static void ended_session_is_nobodys(void **unused)
{
	struct session_cid cids[] = { cid_of(18, 5), cid_of(4, 5) };

	(void)unused;
	connect_client(&client, NULL);
	put(&client, cids, 2, 90);
	cids[0].record.ended = true;
	put(&client, cids, 1, 90);
	assert_int_equal(find(&client, cids[0].cid, 4, 20), 0);
	assert_int_equal(redis_client_stats(&client).invalid, 0);
	assert_int_equal(redis_client_stats(&client).sessions_found, 0);
}

static void answers_keep_their_questions_apart(void **unused)
{
	struct session_cid cids[REDIS_SESSIONS_PUT_MAX];
	struct redis_client *one[] = { &client };
	unsigned answered = 0;

	(void)unused;
	connect_client(&client, NULL);
	for (unsigned i = 0; i < REDIS_SESSIONS_PUT_MAX; i++)
		cids[i] = cid_of(8, i);
	put(&client, cids, REDIS_SESSIONS_PUT_MAX, 90);
	for (unsigned i = 0; i < REDIS_SESSIONS_PUT_MAX; i++)
		assert_int_equal(redis_session_find(client.redis, i, cids[i].cid, 4, 20), 0);
	while (answered < REDIS_SESSIONS_PUT_MAX) {
		struct wanted wanted = { .client = &client, .answers = answered + 1 };

		assert_true(redis_clients_run(one, 1, is_reached, &wanted));
		/* Several may have come at once: the last is what is remembered. */
		answered = client.answers;
		assert_int_equal(client.found.route, client.answered_id);
		assert_int_equal(client.found_len, 8);
	}
	assert_int_equal(answered, REDIS_SESSIONS_PUT_MAX);
}

/* 8 batches and 128 questions are on their way at the most: routes have room beside them. */
static void what_is_on_its_way_is_bounded(void **unused)
{
	struct session_cid cids[REDIS_SESSIONS_PUT_MAX];
	unsigned batches = 0, finds = 0;

	(void)unused;
	for (unsigned i = 0; i < REDIS_SESSIONS_PUT_MAX; i++)
		cids[i] = cid_of(8, i);
	connect_client(&client, NULL);
	for (; redis_sessions_room(client.redis); batches++)
		redis_sessions_put(client.redis, cids, REDIS_SESSIONS_PUT_MAX, 90);
	while (redis_session_find(client.redis, finds, cids[0].cid, 8, 8) == 0)
		finds++;
	assert_int_equal(batches, 8);
	assert_int_equal(finds, 128);
	assert_int_equal(redis_session_find(client.redis, 1, cids[0].cid, 8, 8), -EAGAIN);
	run_until((struct wanted){ .client = &client, .put = 8 * REDIS_SESSIONS_PUT_MAX, .answers = 128 });
	assert_true(redis_sessions_room(client.redis));
	assert_int_equal(find(&client, cids[0].cid, 8, 8), 8);
	assert_int_equal(redis_client_stats(&client).session_finds_refused, 2);
}

static void without_redis_nothing_is_asked(void **unused)
{
	struct session_cid cid = cid_of(8, 1);

	(void)unused;
	redis_client_begin(&client, &world, NULL);
	assert_false(redis_sessions_room(client.redis));
	assert_int_equal(redis_session_find(client.redis, 1, cid.cid, 8, 8), -EAGAIN);
	assert_true(redis_client_connected(&client, true));
	put(&client, &cid, 1, 90);
	redis_world_stop(&world);
	assert_true(redis_client_connected(&client, false));
	assert_false(redis_sessions_room(client.redis));
	assert_int_equal(redis_session_find(client.redis, 1, cid.cid, 8, 8), -EAGAIN);
	redis_world_start(&world, NULL);
	assert_true(redis_client_connected(&client, true));
	assert_int_equal(find(&client, cid.cid, 8, 8), 0);
}

/* A user that may do what routes need, and nothing else: routes go on. */
static void user_without_the_rights_is_told_so(void **unused)
{
	struct redis_options options = { .user = "edge", .password = "p" };
	struct session_cid cids[] = { cid_of(8, 1), cid_of(8, 2) };

	(void)unused;
	redis_world_cli(&world, "ACL SETUSER edge on '>p' '~porter:routes:*' '&porter_routes*' +@connection +@transaction "
				"+hset +hdel +hscan +publish +subscribe");
	connect_client(&client, &options);
	redis_sessions_put(client.redis, cids, 2, 90);
	assert_int_equal(redis_session_find(client.redis, 1, cids[0].cid, 8, 8), 0);
	run_until((struct wanted){ .client = &client, .refused = 2 });
	redis_world_cli(&world, "HSET porter:routes:simple a.test 10.0.0.1:7");
	redis_world_cli(&world, "PUBLISH porter_routes '{\"fqdn\":\"a.test\",\"type\":\"simple\",\"target\":\"10.0.0.1:7\"}'");
	assert_true(redis_client_sees(&client, "a.test", ROUTE_SIMPLE, "10.0.0.1:7"));
	assert_int_equal(redis_client_stats(&client).session_finds_refused, 1);
	assert_int_equal(client.answers, 0);
	assert_int_equal(client.failures, 0);
	/* These are what is missing. */
	redis_world_cli(&world, "ACL SETUSER edge +set +expire +mget '~sluice:cid:*'");
	redis_sessions_put(client.redis, cids, 2, 90);
	run_until((struct wanted){ .client = &client, .put = 2, .refused = 2 });
	assert_int_equal(redis_session_find(client.redis, 1, cids[0].cid, 8, 8), 0);
	run_until((struct wanted){ .client = &client, .put = 2, .refused = 2, .answers = 1 });
	assert_int_equal(client.found_len, 8);
}

/* The connection would last for ever: reading goes on there. */
static void master_that_became_a_replica_is_left(void **unused)
{
	struct session_cid cid = cid_of(8, 1);

	(void)unused;
	connect_client(&client, NULL);
	redis_world_cli(&world, "REPLICAOF 127.0.0.1 1");
	redis_sessions_put(client.redis, &cid, 1, 90);
	assert_true(redis_client_connected(&client, false));
	assert_non_null(strstr(client.reason, "READONLY"));
	assert_int_equal(redis_client_stats(&client).sessions_refused, 1);
	redis_world_cli(&world, "REPLICAOF NO ONE");
	assert_true(redis_client_connected(&client, true));
	redis_sessions_put(client.redis, &cid, 1, 90);
	run_until((struct wanted){ .client = &client, .put = 1, .refused = 1 });
}

/* Its routes are read all the same. */
static void full_redis_is_not_left(void **unused)
{
	struct session_cid cid = cid_of(8, 1);

	(void)unused;
	connect_client(&client, NULL);
	redis_world_cli(&world, "CONFIG SET maxmemory 1");
	redis_sessions_put(client.redis, &cid, 1, 90);
	run_until((struct wanted){ .client = &client, .refused = 1 });
	redis_world_cli(&world, "CONFIG SET maxmemory 0");
	redis_sessions_put(client.redis, &cid, 1, 90);
	run_until((struct wanted){ .client = &client, .put = 1, .refused = 1 });
	assert_int_equal(client.failures, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_one_writes_the_other_finds),
		TEST(longest_counts),
		TEST(alias_is_not_written_over_another),
		TEST(nonsense_is_passed_over),
		TEST(ended_session_is_nobodys),
		TEST(answers_keep_their_questions_apart),
		TEST(what_is_on_its_way_is_bounded),
		TEST(without_redis_nothing_is_asked),
		TEST(user_without_the_rights_is_told_so),
		TEST(master_that_became_a_replica_is_left),
		TEST(full_redis_is_not_left),
	};

	if (!redis_world_possible()) {
		puts("SKIP: no redis-server");
		return 77;
	}
	return cmocka_run_group_tests_name("redis_sessions", tests, NULL, NULL);
}
