/* SPDX-License-Identifier: MIT */
/* Unit tests of what routes may say, and of its JSON both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "control/route_json.h"

static void targets_are_checked(void **unused)
{
	static const struct {
		enum route_type type;
		const char *target;
		bool good;
		size_t name_len;
	} rows[] = {
		{ ROUTE_SIMPLE, "10.0.0.1:5", true, 0 },
		{ ROUTE_SIMPLE, "[2001:db8::1]:5", true, 0 },
		{ ROUTE_SIMPLE, "game.example.com:7777", true, 16 },
		{ ROUTE_SIMPLE, "localhost:1", true, 9 },
		{ ROUTE_SIMPLE, "10.0.0.1", false, 0 },
		{ ROUTE_SIMPLE, "10.0.0.1:0", false, 0 },
		{ ROUTE_SIMPLE, "10.0.0.1:65536", false, 0 },
		{ ROUTE_SIMPLE, "10.0.0.256:5", false, 0 },
		{ ROUTE_SIMPLE, "0.0.0.0:5", false, 0 },
		{ ROUTE_SIMPLE, "224.0.0.1:5", false, 0 },
		{ ROUTE_SIMPLE, "2001:db8::1:5", false, 0 },
		{ ROUTE_SIMPLE, "[host]:5", false, 0 },
		{ ROUTE_SIMPLE, ":5", false, 0 },
		{ ROUTE_SIMPLE, "a..b:5", false, 0 },
		{ ROUTE_SIMPLE, "*.b:5", false, 0 },
		{ ROUTE_SIMPLE, "host:", false, 0 },
		{ ROUTE_SIMPLE, "host:05", false, 0 },
		{ ROUTE_AGONES, "fleet-1", true, 0 },
		{ ROUTE_AGONES, "", false, 0 },
		{ ROUTE_AGONES, "a:5", false, 0 },
		{ ROUTE_AGONES, "0123456789012345678901234567890123456789012345678901234567890123", false, 0 },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct route_spec *spec = NULL;
		const char *must = route_spec_plain(rows[i].type, rows[i].target, &spec);

		if (!must != rows[i].good)
			fail_msg("%s: %s", rows[i].target, must ? must : "taken");
		if (spec && (spec->targets[0].name_len != rows[i].name_len ||
			     strcmp(spec->targets[0].text, rows[i].target) != 0 || !route_spec_is_plain(spec)))
			fail_msg("%s: read otherwise", rows[i].target);
		route_spec_release(spec);
	}
}

/* Those without an error are written as they are, or as `written`. */
static void json_is_read_and_written(void **unused)
{
	static const struct {
		const char *json, *error, *written;
	} rows[] = {
		{ "{\"type\":\"simple\",\"target\":\"10.0.0.1:5\"}", NULL, NULL },
		{ "{\"type\":\"agones\",\"target\":\"f\",\"migration\":\"pinned\"}", NULL, NULL },
		{ "{\"type\":\"simple\",\"target\":\"10.0.0.1:5\",\"client_ip\":\"preserve\"}", NULL, NULL },
		{ "{\"type\":\"agones\",\"target\":\"f\",\"migration\":\"pinned\",\"client_ip\":\"relay\"}", NULL,
		  "{\"type\":\"agones\",\"target\":\"f\",\"migration\":\"pinned\"}" },
		{ "{\"type\":\"simple\",\"targets\":[{\"address\":\"10.0.0.1:5\",\"weight\":3},{\"address\":\"a.b:6\"}]}", NULL,
		  "{\"type\":\"simple\",\"targets\":[{\"address\":\"10.0.0.1:5\",\"weight\":3},{\"address\":\"a.b:6\","
		  "\"weight\":1}]}" },
		{ "{\"type\":\"simple\",\"targets\":[{\"address\":\"10.0.0.1:5\"}],\"migration\":\"path\"}", NULL,
		  "{\"type\":\"simple\",\"target\":\"10.0.0.1:5\"}" },
		{ "{\"type\":\"simple\",\"target\":\"10.0.0.1:5\",\"expires\":1893456000}", NULL, NULL },
		{ "{\"type\":\"simple\",\"target\":\"10.0.0.1:5\",\"health\":{\"interval\":9,\"timeout\":2,\"rise\":1,\"fall\":4}}",
		  NULL, NULL },
		{ "{\"type\":\"simple\",\"target\":\"10.0.0.1:5\",\"health\":{}}", NULL,
		  "{\"type\":\"simple\",\"target\":\"10.0.0.1:5\",\"health\":{\"interval\":5,\"timeout\":1,\"rise\":2,"
		  "\"fall\":3}}" },
		{ "{\"type\":\"simple\",\"target\":\"10.0.0.1:5\",\"health\":{\"interval\":0}}",
		  "health.interval: must be an integer from 1 to 3600", NULL },
		{ "{\"type\":\"simple\",\"target\":\"10.0.0.1:5\",\"health\":{\"interval\":3601}}",
		  "health.interval: must be an integer from 1 to 3600", NULL },
		{ "{\"type\":\"simple\",\"target\":\"10.0.0.1:5\",\"health\":{\"interval\":90,\"timeout\":61}}",
		  "health.timeout: must be an integer from 1 to 60", NULL },
		{ "{\"type\":\"simple\",\"target\":\"10.0.0.1:5\",\"health\":{\"rise\":\"2\"}}",
		  "health.rise: must be an integer from 1 to 100", NULL },
		{ "{\"type\":\"simple\",\"target\":\"10.0.0.1:5\",\"health\":{\"fall\":101}}",
		  "health.fall: must be an integer from 1 to 100", NULL },
		{ "{\"type\":\"simple\",\"target\":\"10.0.0.1:5\",\"health\":{\"interval\":2,\"timeout\":3}}",
		  "health: must have a timeout that is not longer than its interval", NULL },
		{ "{\"type\":\"simple\",\"target\":\"10.0.0.1:5\",\"health\":{\"path\":1}}",
		  "health: must be an object of interval, timeout, rise and fall", NULL },
		{ "{\"type\":\"simple\",\"target\":\"10.0.0.1:5\",\"health\":[]}",
		  "health: must be an object of interval, timeout, rise and fall", NULL },
		{ "{\"type\":\"agones\",\"target\":\"f\",\"health\":{}}",
		  "health: must not be given for agones: Agones sees to its servers", NULL },
		{ "{}", "type: must be given", NULL },
		{ "{\"type\":1}", "type: must be a string", NULL },
		{ "{\"type\":\"magic\"}", "type: must be simple or agones", NULL },
		{ "{\"type\":\"simple\"}", "target: must be given", NULL },
		{ "{\"type\":\"simple\",\"target\":\"x\"}", "target: must be IP:PORT, [IPv6]:PORT or NAME:PORT", NULL },
		{ "{\"type\":\"simple\",\"target\":\"10.0.0.1:5\",\"targets\":[]}", "targets: must not be given beside target",
		  NULL },
		{ "{\"type\":\"simple\",\"targets\":[]}", "targets: must be a list of 1 to 32", NULL },
		{ "{\"type\":\"simple\",\"targets\":{}}", "targets: must be a list of 1 to 32", NULL },
		{ "{\"type\":\"simple\",\"targets\":[1]}", "targets[0].address: must be given", NULL },
		{ "{\"type\":\"simple\",\"targets\":[{\"address\":\"10.0.0.1:5\"},{\"address\":\"10.0.0.1:5\"}]}",
		  "targets[1].address: must be given once", NULL },
		{ "{\"type\":\"simple\",\"targets\":[{\"address\":\"10.0.0.1:5\",\"weight\":0}]}",
		  "targets[0].weight: must be an integer from 1 to 65535", NULL },
		{ "{\"type\":\"simple\",\"targets\":[{\"address\":\"10.0.0.1:5\",\"weight\":1.5}]}",
		  "targets[0].weight: must be an integer from 1 to 65535", NULL },
		{ "{\"type\":\"agones\",\"targets\":[{\"address\":\"f\"},{\"address\":\"g\"}]}",
		  "targets: must have one target, the fleet", NULL },
		{ "{\"type\":\"agones\",\"target\":\"f\",\"migration\":\"x\"}", "migration: must be path or pinned", NULL },
		{ "{\"type\":\"agones\",\"target\":\"f\",\"client_ip\":\"x\"}", "client_ip: must be relay or preserve",
		  NULL },
		{ "{\"type\":\"agones\",\"target\":\"f\",\"client_ip\":null}", "client_ip: must be a string", NULL },
		{ "{\"type\":\"agones\",\"target\":\"f\",\"migration\":\"pinned\",\"client_ip\":\"preserve\"}",
		  "client_ip: must be relay with migration: pinned, which holds on to a port of the relay", NULL },
		{ "{\"type\":\"agones\",\"target\":\"f\",\"ttl\":0}", "ttl: must be an integer from 1 to 31622400", NULL },
		{ "{\"type\":\"agones\",\"target\":\"f\",\"ttl\":\"1\"}", "ttl: must be an integer from 1 to 31622400", NULL },
		{ "{\"type\":\"agones\",\"target\":\"f\",\"expires\":-1}", "expires: must be an integer from 1 to 8589934588",
		  NULL },
		{ "{\"type\":\"agones\",\"target\":\"f\\u0000\"}", "target: must be a string", NULL },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_t *object = json_loads(rows[i].json, JSON_ALLOW_NUL, NULL), *again = json_object();
		char error[ROUTE_JSON_ERROR_BYTES] = "";
		struct route_spec *spec = NULL;
		bool read = route_json_read(object, &spec, error);

		assert_non_null(object);
		if (read != !rows[i].error || (!read && strcmp(error, rows[i].error) != 0))
			fail_msg("%s: %s", rows[i].json, error);
		if (read) {
			char *text;

			assert_int_equal(route_json_write(again, spec), 0);
			text = json_dumps(again, JSON_COMPACT);
			assert_string_equal(text, rows[i].written ? rows[i].written : rows[i].json);
			free(text);
			route_spec_release(spec);
		}
		json_decref(object);
		json_decref(again);
	}
}

/* Porter could not say it; and a change of it is a change. */
static void health_is_part_of_it(void **unused)
{
	struct route_draft draft = { .health = { 5, 1, 2, 3 }, .count = 1, .targets = { { "10.0.0.1:5", 1 } } };
	struct route_spec *watched, *same, *other, *plain;
	unsigned at;

	(void)unused;
	assert_null(route_spec_new(&draft, &watched, &at));
	assert_null(route_spec_new(&draft, &same, &at));
	draft.health.fall = 4;
	assert_null(route_spec_new(&draft, &other, &at));
	assert_null(route_spec_plain(ROUTE_SIMPLE, "10.0.0.1:5", &plain));
	assert_false(route_spec_is_plain(watched));
	assert_true(route_spec_equal(watched, same));
	assert_false(route_spec_equal(watched, other));
	assert_false(route_spec_equal(watched, plain));
	route_spec_release(watched);
	route_spec_release(same);
	route_spec_release(other);
	route_spec_release(plain);
}

static void client_ip_is_part_of_it(void **unused)
{
	struct route_draft draft = {
		.client_ip = CLIENT_IP_PRESERVE, .count = 1, .targets = { { "10.0.0.1:5", 1 } } };
	struct route_spec *preserve, *same, *plain;
	unsigned at;

	(void)unused;
	assert_null(route_spec_new(&draft, &preserve, &at));
	assert_null(route_spec_new(&draft, &same, &at));
	assert_null(route_spec_plain(ROUTE_SIMPLE, "10.0.0.1:5", &plain));
	assert_false(route_spec_is_plain(preserve));
	assert_true(route_spec_equal(preserve, same));
	assert_false(route_spec_equal(preserve, plain));
	route_spec_release(preserve);
	route_spec_release(same);
	route_spec_release(plain);
}

static void ttl_counts_from_now(void **unused)
{
	json_t *object = json_loads("{\"type\":\"simple\",\"target\":\"10.0.0.1:5\",\"ttl\":60}", 0, NULL);
	uint64_t now_s = (uint64_t)time(NULL);
	char error[ROUTE_JSON_ERROR_BYTES];
	struct route_spec *spec;

	(void)unused;
	assert_true(route_json_read(object, &spec, error));
	assert_in_range(spec->expires_s, now_s + 60, now_s + 62);
	assert_false(route_spec_is_plain(spec));
	route_spec_release(spec);
	json_decref(object);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(targets_are_checked),
		cmocka_unit_test(json_is_read_and_written),
		cmocka_unit_test(health_is_part_of_it),
		cmocka_unit_test(client_ip_is_part_of_it),
		cmocka_unit_test(ttl_counts_from_now),
	};

	return cmocka_run_group_tests_name("route_spec", tests, NULL, NULL);
}
