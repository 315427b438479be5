/* SPDX-License-Identifier: MIT */
/*
 * test_redis_server: against a redis-server of its own, with redis-cli in the
 * place of Porter. Conditions are waited for, up to 10 s.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/plain_spec.h"
#include "tests/lib/redis_world.h"

static struct redis_world world;
static struct redis_client client, other;

static double now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int set_up(void **unused)
{
	(void)unused;
	redis_world_begin(&world);
	redis_world_start(&world, NULL);
	return 0;
}

static int set_up_without_server(void **unused)
{
	(void)unused;
	redis_world_begin(&world);
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

static void porter_sets(const char *fqdn, const char *type, const char *target)
{
	redis_world_cli(&world, "HSET porter:routes:%s %s %s", type, fqdn, target);
	redis_world_cli(&world, "PUBLISH porter_routes '{\"fqdn\":\"%s\",\"type\":\"%s\",\"target\":\"%s\"}'", fqdn, type,
			target);
}

static bool nothing_pending(void *context)
{
	return redis_client_stats(context).writes_pending == 0;
}

static void assert_all_written(struct redis_client *of)
{
	struct redis_client *one[] = { of };

	assert_true(redis_clients_run(one, 1, nothing_pending, of));
}

static void loads_both_hashes_and_skips_what_is_no_route(void **unused)
{
	struct redis_stats stats;

	(void)unused;
	redis_world_cli(&world, "HSET porter:routes:simple A.test 10.0.0.1:7 bad.test 10.0.0.1 both.test 10.0.0.1:7");
	redis_world_cli(&world, "HSET porter:routes:agones '*.b.test' fleet 'b d' fleet both.test fleet");
	redis_client_begin(&client, &world, NULL);
	assert_true(redis_client_connected(&client, true));
	assert_int_equal(client.routes.count, 3);
	assert_true(redis_client_sees(&client, "a.test", ROUTE_SIMPLE, "10.0.0.1:7"));
	assert_true(redis_client_sees(&client, "*.b.test", ROUTE_AGONES, "fleet"));
	assert_true(redis_client_sees(&client, "both.test", ROUTE_AGONES, "fleet"));
	assert_int_equal(client.outside, 0);
	assert_int_equal(redis_client_stats(&client).invalid, 2);
	assert_int_equal(redis_client_stats(&client).routes, 3);
	assert_true(redis_client_stats(&client).connected && redis_client_stats(&client).connects == 1);
	stats = redis_client_stats(&client);
	assert_true(stats.commands >= 3 && histogram_count(&stats.latency) == stats.commands);
}

static void change_of_porters_arrives_at_once(void **unused)
{
	double begin;

	(void)unused;
	redis_client_begin(&client, &world, NULL);
	assert_true(redis_client_connected(&client, true));
	porter_sets("p.test", "simple", "10.0.0.2:7");
	begin = now_s();
	assert_true(redis_client_sees(&client, "p.test", ROUTE_SIMPLE, "10.0.0.2:7"));
	assert_true(now_s() - begin < 0.2);
	porter_sets("p.test", "agones", "fleet");
	assert_true(redis_client_sees(&client, "p.test", ROUTE_AGONES, "fleet"));
	redis_world_cli(&world, "PUBLISH porter_routes nonsense");
	redis_world_cli(&world, "PUBLISH porter_routes '{\"fqdn\":\"p.test\",\"deleted\":true}'");
	porter_sets("last.test", "simple", "10.0.0.2:7");
	assert_true(redis_client_sees(&client, "last.test", ROUTE_SIMPLE, "10.0.0.2:7"));
	assert_true(redis_client_sees(&client, "p.test", ROUTE_AGONES, "fleet"));
	assert_int_equal(client.changes, 3);
	assert_int_equal(redis_client_stats(&client).invalid, 2);
}

static bool both_connected(void *unused)
{
	(void)unused;
	return client.connected && other.connected;
}

static bool other_lacks_it(void *unused)
{
	(void)unused;
	return other.deletions == 1 && !redis_table_find(&other.routes, "o.test");
}

static bool other_sees_it(void *unused)
{
	(void)unused;
	return redis_table_find(&other.routes, "o.test");
}

/* What redis-cli hears in both channels goes to a file; the test reads it when enough is there. */
static bool heard_all(void *context)
{
	char *text = context;
	char path[96];
	FILE *file;
	size_t len;

	snprintf(path, sizeof(path), "%s/heard", world.dir);
	file = fopen(path, "r");
	if (!file)
		return false;
	len = fread(text, 1, 4095, file);
	text[len] = '\0';
	fclose(file);
	return strstr(text, "\"deleted\"");
}

static bool redis_cli_listens(void *unused)
{
	(void)unused;
	return strcmp(redis_world_cli(&world, "--raw PUBSUB NUMSUB porter_routes"), "porter_routes\n3") == 0;
}

static void our_change_is_seen_by_all_and_does_not_come_back(void **unused)
{
	struct redis_client *both[] = { &client, &other };
	static char heard[4096];
	char command[512];
	const char *porters;

	(void)unused;
	redis_client_begin(&client, &world, NULL);
	redis_client_begin(&other, &world, NULL);
	assert_true(redis_clients_run(both, 2, both_connected, NULL));
	snprintf(command, sizeof(command), "%s --raw SUBSCRIBE porter_routes porter_routes:sluice >%s/heard 2>&1 &",
		 world.cli, world.dir);
	assert_int_equal(system(command), 0);
	assert_true(redis_clients_run(both, 2, redis_cli_listens, NULL));
	redis_world_cli(&world, "HSET porter:routes:agones o.test stale");
	assert_int_equal(redis_set_plain(client.redis, "o.test", ROUTE_SIMPLE, "10.0.0.3:7"), 0);
	assert_true(redis_clients_run(both, 2, other_sees_it, NULL));
	assert_all_written(&client);
	assert_string_equal(redis_world_cli(&world, "HGET porter:routes:simple o.test"), "10.0.0.3:7");
	assert_string_equal(redis_world_cli(&world, "HEXISTS porter:routes:agones o.test"), "0");
	assert_int_equal(redis_delete(client.redis, "o.test"), 0);
	assert_true(redis_clients_run(both, 2, other_lacks_it, NULL));
	assert_all_written(&client);
	assert_string_equal(redis_world_cli(&world, "HEXISTS porter:routes:simple o.test"), "0");
	assert_true(redis_clients_run(both, 2, heard_all, heard));
	assert_non_null(strstr(heard, "message\nporter_routes:sluice\n{\"fqdn\":\"o.test\",\"type\":\"simple\","
				      "\"target\":\"10.0.0.3:7\",\"origin\":\""));
	porters = strstr(heard, "message\nporter_routes\n");
	assert_non_null(porters);
	assert_ptr_equal(porters, strstr(heard, "message\nporter_routes\n{\"fqdn\":\"o.test\",\"type\":\"simple\","
						"\"target\":\"10.0.0.3:7\"}\n"));
	assert_null(strstr(porters + 1, "message\nporter_routes\n"));
	assert_int_equal(client.changes + client.deletions, 0);
	assert_int_equal(other.changes, 1); /* though it was said in both channels */
	assert_int_equal(redis_client_stats(&client).command_errors, 0);
}

static void own_changes_in_quick_succession_do_not_flap(void **unused)
{
	(void)unused;
	redis_client_begin(&client, &world, NULL);
	assert_true(redis_client_connected(&client, true));
	for (unsigned i = 0; i < 300; i++) {
		char target[32];

		snprintf(target, sizeof(target), "10.0.0.%u:7", i % 250 + 1);
		assert_int_equal(redis_set_plain(client.redis, "q.test", ROUTE_SIMPLE, target), 0);
		redis_handle(client.redis);
	}
	assert_all_written(&client);
	assert_int_equal(client.changes, 0);
	assert_string_equal(redis_world_cli(&world, "HGET porter:routes:simple q.test"), "10.0.0.50:7");
	/* Nothing of it is left to be ignored. */
	porter_sets("q.test", "simple", "10.0.1.1:7");
	assert_true(redis_client_sees(&client, "q.test", ROUTE_SIMPLE, "10.0.1.1:7"));
}

/* Redis takes theirs first, then ours, while we have heard of neither: ours stands, as in Redis. */
static void last_writer_wins_everywhere(void **unused)
{
	(void)unused;
	redis_client_begin(&client, &world, NULL);
	assert_true(redis_client_connected(&client, true));
	porter_sets("c.test", "simple", "10.0.0.9:7"); /* in the socket, unread */
	assert_int_equal(redis_set_plain(client.redis, "c.test", ROUTE_SIMPLE, "10.0.0.1:7"), 0);
	assert_all_written(&client);
	assert_int_equal(client.changes, 0);
	assert_string_equal(redis_world_cli(&world, "HGET porter:routes:simple c.test"), "10.0.0.1:7");
	porter_sets("c.test", "simple", "10.0.0.9:7");
	assert_true(redis_client_sees(&client, "c.test", ROUTE_SIMPLE, "10.0.0.9:7"));
}

static void nothing_is_sent_that_redis_holds(void **unused)
{
	uint64_t commands;

	(void)unused;
	redis_world_cli(&world, "HSET porter:routes:simple a.test 10.0.0.1:7");
	redis_client_begin(&client, &world, NULL);
	assert_true(redis_client_connected(&client, true));
	commands = redis_client_stats(&client).commands;
	assert_int_equal(redis_set_plain(client.redis, "a.test", ROUTE_SIMPLE, "10.0.0.1:7"), 0);
	assert_int_equal(redis_delete(client.redis, "none.test"), 0);
	assert_int_equal(redis_client_stats(&client).writes_pending, 0);
	assert_int_equal(redis_client_stats(&client).commands, commands);
}

static void down_at_start_then_up(void **unused)
{
	(void)unused;
	redis_client_begin(&client, &world, NULL);
	assert_true(redis_client_connected(&client, false));
	assert_string_equal(client.reason, "connect: No such file or directory");
	assert_string_equal(redis_client_stats(&client).error, client.reason);
	assert_int_equal(redis_set_plain(client.redis, "early.test", ROUTE_AGONES, "f"), 0);
	redis_world_start(&world, NULL);
	assert_true(redis_client_connected(&client, true));
	assert_all_written(&client);
	assert_string_equal(redis_world_cli(&world, "HGET porter:routes:agones early.test"), "f");
	assert_string_equal(redis_client_stats(&client).error, "");
}

static void restart_resynchronises_all(void **unused)
{
	(void)unused;
	redis_world_cli(&world, "HSET porter:routes:simple gone.test 10.0.0.1:7 kept.test 10.0.0.1:7 ours.test 10.0.0.1:7");
	redis_client_begin(&client, &world, NULL);
	assert_true(redis_client_connected(&client, true));
	assert_int_equal(client.routes.count, 3);
	redis_world_stop(&world);
	assert_true(redis_client_connected(&client, false));
	assert_int_equal(client.routes.count, 3); /* it serves what it has */
	assert_int_equal(redis_set_plain(client.redis, "ours.test", ROUTE_SIMPLE, "10.0.0.5:7"), 0);
	assert_int_equal(redis_set_plain(client.redis, "ours.test", ROUTE_SIMPLE, "10.0.0.6:7"), 0);
	assert_int_equal(redis_delete(client.redis, "deleted.test"), 0);
	assert_int_equal(redis_client_stats(&client).writes_pending, 2);
	redis_world_start(&world, NULL); /* empty */
	redis_world_cli(&world, "HSET porter:routes:simple kept.test 10.0.0.2:7 ours.test 10.0.0.9:7 deleted.test 10.0.0.1:7");
	assert_true(redis_client_sees(&client, "kept.test", ROUTE_SIMPLE, "10.0.0.2:7"));
	assert_true(redis_client_sees(&client, "gone.test", ROUTE_SIMPLE, NULL));
	assert_true(redis_client_sees(&client, "ours.test", ROUTE_SIMPLE, "10.0.0.6:7"));
	assert_true(redis_client_sees(&client, "deleted.test", ROUTE_SIMPLE, NULL));
	assert_all_written(&client);
	assert_string_equal(redis_world_cli(&world, "HGET porter:routes:simple ours.test"), "10.0.0.6:7");
	assert_string_equal(redis_world_cli(&world, "HEXISTS porter:routes:simple deleted.test"), "0");
	assert_int_equal(redis_client_stats(&client).connects, 2);
	porter_sets("after.test", "agones", "f");
	assert_true(redis_client_sees(&client, "after.test", ROUTE_AGONES, "f"));
}

static void writes_that_wait_are_bounded(void **unused)
{
	struct redis_options options = { .writes_max = 2 };

	(void)unused;
	redis_client_begin(&client, &world, &options);
	assert_int_equal(redis_set_plain(client.redis, "a.test", ROUTE_AGONES, "f"), 0);
	assert_int_equal(redis_set_plain(client.redis, "b.test", ROUTE_AGONES, "f"), 0);
	assert_int_equal(redis_set_plain(client.redis, "a.test", ROUTE_AGONES, "g"), 0);
	assert_int_equal(redis_set_plain(client.redis, "c.test", ROUTE_AGONES, "f"), -ENOSPC);
	assert_int_equal(redis_client_stats(&client).writes_dropped, 1);
}

static void routes_are_bounded(void **unused)
{
	struct redis_options options = { .routes_max = 2 };

	(void)unused;
	redis_world_cli(&world, "HSET porter:routes:agones a.test f b.test f c.test f");
	redis_client_begin(&client, &world, &options);
	assert_true(redis_client_connected(&client, true));
	assert_int_equal(client.routes.count, 2);
	assert_int_equal(redis_client_stats(&client).invalid, 1);
	porter_sets("d.test", "agones", "f");
	redis_world_cli(&world, "PUBLISH porter_routes:sluice '{\"fqdn\":\"a.test\",\"deleted\":true}'");
	redis_world_cli(&world, "PUBLISH porter_routes:sluice '{\"fqdn\":\"b.test\",\"deleted\":true}'");
	assert_true(redis_client_sees(&client, "b.test", ROUTE_AGONES, NULL));
	assert_int_equal(redis_table_find(&client.routes, "d.test") != NULL, false);
}

static void database_of_its_own(void **unused)
{
	struct redis_options options = { .db = 5, .channel = "mine" };

	(void)unused;
	redis_world_cli(&world, "-n 5 HSET porter:routes:agones five.test f");
	redis_world_cli(&world, "HSET porter:routes:agones zero.test f");
	redis_client_begin(&client, &world, &options);
	assert_true(redis_client_connected(&client, true));
	assert_true(redis_client_sees(&client, "five.test", ROUTE_AGONES, "f"));
	assert_int_equal(client.routes.count, 1);
	redis_world_cli(&world, "PUBLISH mine '{\"fqdn\":\"m.test\",\"type\":\"agones\",\"target\":\"f\"}'");
	assert_true(redis_client_sees(&client, "m.test", ROUTE_AGONES, "f"));
}

static void rejected(const struct redis_options *options, const char *reason)
{
	redis_client_begin(&client, &world, options);
	assert_true(redis_client_connected(&client, false));
	if (!strstr(client.reason, reason))
		fail_msg("reason: %s", client.reason);
	redis_client_end(&client);
}

/* Others may write names as they like; a write of ours does away with that, or the next load would bring it back. */
static void names_are_removed_as_others_spell_them(void **unused)
{
	(void)unused;
	redis_world_cli(&world, "HSET porter:routes:simple Loaded.Test 10.0.0.1:7 other.test 10.0.0.1:7");
	redis_client_begin(&client, &world, NULL);
	assert_true(redis_client_connected(&client, true));
	porter_sets("Told.TEST", "agones", "fleet");
	assert_true(redis_client_sees(&client, "told.test", ROUTE_AGONES, "fleet"));
	assert_int_equal(redis_delete(client.redis, "loaded.test"), 0);
	assert_int_equal(redis_set_plain(client.redis, "told.test", ROUTE_SIMPLE, "10.0.0.2:7"), 0);
	assert_all_written(&client);
	assert_string_equal(redis_world_cli(&world, "HKEYS porter:routes:simple | sort | tr '\\n' ' '"),
			    "other.test told.test ");
	assert_string_equal(redis_world_cli(&world, "HKEYS porter:routes:agones"), "");
	assert_int_equal(redis_delete(client.redis, "told.test"), 0);
	assert_all_written(&client);
	assert_string_equal(redis_world_cli(&world, "HKEYS porter:routes:simple"), "other.test");
	/* By a write that was made before anything was known. */
	redis_client_end(&client);
	redis_world_cli(&world, "HSET porter:routes:simple Again.Test 10.0.0.1:7");
	redis_client_begin(&client, &world, NULL);
	assert_int_equal(redis_delete(client.redis, "again.test"), 0);
	assert_true(redis_client_connected(&client, true));
	assert_all_written(&client);
	assert_string_equal(redis_world_cli(&world, "HKEYS porter:routes:simple"), "other.test");
}

static void password_and_acl_user(void **unused)
{
	struct redis_options options = { .password = "wrong" };

	(void)unused;
	redis_world_cli(&world, "ACL SETUSER edge on '>two words' '~porter:routes:*' '&porter_routes*' +@connection "
			"+@transaction +hset +hdel +hscan +publish +subscribe");
	redis_world_cli(&world, "CONFIG SET requirepass secret");
	strcat(world.cli, " --no-auth-warning -a secret");
	rejected(&options, "WRONGPASS");
	options.password = NULL;
	rejected(&options, "NOAUTH");
	options.password = "secret";
	redis_client_begin(&client, &world, &options);
	assert_true(redis_client_connected(&client, true));
	options = (struct redis_options){ .user = "edge", .password = "two words" };
	redis_client_begin(&other, &world, &options);
	assert_true(redis_client_connected(&other, true));
	assert_int_equal(redis_set_plain(other.redis, "u.test", ROUTE_AGONES, "f"), 0);
	assert_all_written(&other);
	assert_int_equal(other.refusals, 0);
	assert_true(redis_client_sees(&client, "u.test", ROUTE_AGONES, "f"));
}

static void user_that_may_only_read_reads_on(void **unused)
{
	struct redis_options options = { .user = "reader", .password = "r" };

	(void)unused;
	redis_world_cli(&world, "ACL SETUSER reader on '>r' '~porter:routes:*' '&porter_routes*' +@connection +@transaction "
			"+hscan +subscribe");
	redis_client_begin(&client, &world, &options);
	assert_true(redis_client_connected(&client, true));
	assert_int_equal(redis_set_plain(client.redis, "r.test", ROUTE_AGONES, "f"), 0);
	assert_all_written(&client);
	assert_int_equal(client.refusals, 1);
	assert_non_null(strstr(client.reason, "r.test: NOPERM"));
	assert_int_equal(redis_client_stats(&client).writes_dropped, 1);
	porter_sets("r.test", "agones", "g");
	assert_true(redis_client_sees(&client, "r.test", ROUTE_AGONES, "g"));
	assert_int_equal(client.failures, 0);
}

static void refusal_for_now_keeps_the_write(void **unused)
{
	(void)unused;
	redis_client_begin(&client, &world, NULL);
	assert_true(redis_client_connected(&client, true));
	redis_world_cli(&world, "CONFIG SET min-replicas-to-write 1");
	assert_int_equal(redis_set_plain(client.redis, "k.test", ROUTE_AGONES, "f"), 0);
	assert_true(redis_client_connected(&client, false));
	assert_non_null(strstr(client.reason, "NOREPLICAS"));
	assert_int_equal(redis_client_stats(&client).writes_pending, 1);
	redis_world_cli(&world, "CONFIG SET min-replicas-to-write 0");
	assert_all_written(&client);
	assert_string_equal(redis_world_cli(&world, "HGET porter:routes:agones k.test"), "f");
}

static void hundred_thousand_routes_load_in_time(void **unused)
{
	double begin, took;

	(void)unused;
	redis_world_cli(&world, "EVAL \"for i = 1, 100000 do redis.call('HSET', 'porter:routes:simple', "
			"'n' .. i .. '.load.test', '10.0.0.1:' .. (i %% 60000 + 1)) end\" 0");
	redis_client_begin(&client, &world, NULL);
	begin = now_s();
	assert_true(redis_client_connected(&client, true));
	took = now_s() - begin;
	print_message("100000 routes: %.3f s\n", took);
	assert_int_equal(client.routes.count, 100000);
	assert_true(took < 5);
}

static bool load_is_under_way(void *unused)
{
	(void)unused;
	return redis_client_stats(&client).commands >= 8; /* of some 22 */
}

static void changes_while_loading_are_not_lost(void **unused)
{
	struct redis_client *one[] = { &client };

	(void)unused;
	redis_world_cli(&world, "EVAL \"for i = 1, 20000 do redis.call('HSET', 'porter:routes:agones', 'n' .. i, 'old') "
			"end\" 0");
	redis_client_begin(&client, &world, NULL);
	assert_true(redis_clients_run(one, 1, load_is_under_way, NULL));
	assert_false(client.connected);
	redis_world_cli(&world, "EVAL \"for i = 1, 200 do redis.call('HSET', 'porter:routes:agones', 'n' .. i, 'new') "
			"redis.call('PUBLISH', 'porter_routes', '{\\\"fqdn\\\":\\\"n' .. i .. "
			"'\\\",\\\"type\\\":\\\"agones\\\",\\\"target\\\":\\\"new\\\"}') end\" 0");
	redis_world_cli(&world, "EVAL \"for i = 201, 400 do redis.call('HDEL', 'porter:routes:agones', 'n' .. i) "
			"redis.call('PUBLISH', 'porter_routes:sluice', '{\\\"fqdn\\\":\\\"n' .. i .. "
			"'\\\",\\\"deleted\\\":true}') end\" 0");
	assert_true(redis_client_connected(&client, true));
	assert_int_equal(client.changes + client.deletions, 0); /* the snapshot has them already */
	for (unsigned i = 1; i <= 500; i++) {
		char fqdn[16];

		snprintf(fqdn, sizeof(fqdn), "n%u", i);
		if (!redis_entry_says_plain(redis_table_find(&client.routes, fqdn), ROUTE_AGONES,
				      i <= 200 ? "new" : i <= 400 ? NULL : "old"))
			fail_msg("%s", fqdn);
	}
	assert_int_equal(client.routes.count, 19800);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SERVER(loads_both_hashes_and_skips_what_is_no_route),
		WITH_SERVER(change_of_porters_arrives_at_once),
		WITH_SERVER(our_change_is_seen_by_all_and_does_not_come_back),
		WITH_SERVER(own_changes_in_quick_succession_do_not_flap),
		WITH_SERVER(last_writer_wins_everywhere),
		WITH_SERVER(nothing_is_sent_that_redis_holds),
		cmocka_unit_test_setup_teardown(down_at_start_then_up, set_up_without_server, tear_down),
		WITH_SERVER(restart_resynchronises_all),
		cmocka_unit_test_setup_teardown(writes_that_wait_are_bounded, set_up_without_server, tear_down),
		WITH_SERVER(routes_are_bounded),
		WITH_SERVER(database_of_its_own),
		WITH_SERVER(names_are_removed_as_others_spell_them),
		WITH_SERVER(password_and_acl_user),
		WITH_SERVER(user_that_may_only_read_reads_on),
		WITH_SERVER(refusal_for_now_keeps_the_write),
		WITH_SERVER(changes_while_loading_are_not_lost),
		WITH_SERVER(hundred_thousand_routes_load_in_time),
	};

	if (!redis_world_possible()) {
		printf("SKIP: needs redis-server and redis-cli\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
