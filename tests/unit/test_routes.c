/* SPDX-License-Identifier: MIT */
/* Unit tests of the control process's routes: order, origins, reload, listeners; and of the relay's snapshots. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "control/routes.h"
#include "userspace/route.h"

static struct routes_route route_of(const char *fqdn, const char *target, enum routes_origin origin)
{
	struct routes_route route = { .origin = origin };

	assert_null(routes_check(fqdn, ROUTE_SIMPLE, target, &route));
	return route;
}

static void set(struct routes *routes, const char *fqdn, const char *target, enum routes_origin origin)
{
	struct routes_route route = route_of(fqdn, target, origin);

	assert_int_equal(routes_set(routes, &route), 0);
}

static void check_says_what_is_wrong(void **unused)
{
	static const struct {
		const char *fqdn;
		enum route_type type;
		const char *target;
		bool good;
	} rows[] = {
		{ "A.Test.", ROUTE_SIMPLE, "10.0.0.1:5", true },
		{ "*", ROUTE_SIMPLE, "[2001:db8::1]:5", true },
		{ "*.a.test", ROUTE_AGONES, "fleet-1", true },
		{ "", ROUTE_SIMPLE, "10.0.0.1:5", false },
		{ "a..b", ROUTE_SIMPLE, "10.0.0.1:5", false },
		{ "a.*.b", ROUTE_SIMPLE, "10.0.0.1:5", false },
		{ "a", ROUTE_SIMPLE, "10.0.0.1", false },
		{ "a", ROUTE_SIMPLE, "10.0.0.1:0", false },
		{ "a", ROUTE_SIMPLE, "0.0.0.0:5", false },
		{ "a", ROUTE_SIMPLE, "224.0.0.1:5", false },
		{ "a", ROUTE_SIMPLE, "host:5", false },
		{ "a", ROUTE_AGONES, "", false },
		{ "a", ROUTE_AGONES, "0123456789012345678901234567890123456789012345678901234567890123", false },
	};
	struct routes_route route = { .fqdn = "" };

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!routes_check(rows[i].fqdn, rows[i].type, rows[i].target, &route) != rows[i].good)
			fail_msg("%s -> %s", rows[i].fqdn, rows[i].target);
	assert_null(routes_check("A.Test.", ROUTE_SIMPLE, "10.0.0.1:5", &route));
	assert_string_equal(route.fqdn, "a.test");
	assert_int_equal(route.address.port, 5);
}

/* Any order in, order of names out, page by page; half of them removed. */
static void listing_is_in_order_of_names(void **unused)
{
	enum { COUNT = 1000 };
	struct routes *routes = routes_new(ROUTES_MAX);
	struct routes_route page[7];
	char name[32], after[CONFIG_FQDN_MAX + 1] = "";
	size_t n, seen = 0;

	(void)unused;
	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(name, sizeof(name), "n%u.test", i * 367 % COUNT);
		set(routes, name, "10.0.0.1:5", ROUTES_API);
	}
	for (unsigned i = 0; i < COUNT; i += 2) {
		snprintf(name, sizeof(name), "n%u.test", i);
		assert_int_equal(routes_remove(routes, name), 0);
		assert_int_equal(routes_remove(routes, name), -ENOENT);
	}
	assert_int_equal(routes_count(routes), COUNT / 2);
	while ((n = routes_list(routes, after, page, 7)) > 0)
		for (size_t i = 0; i < n; i++, seen++) {
			assert_true(strcmp(after, page[i].fqdn) < 0);
			memcpy(after, page[i].fqdn, sizeof(after));
			assert_true(routes_get(routes, after, &page[i]));
		}
	assert_int_equal(seen, COUNT / 2);
	assert_int_equal(routes_list(routes, "n1.tesu", page, 1), 1);
	assert_string_equal(page[0].fqdn, "n101.test");
	routes_free(routes);
}

static void bound_refuses_new_names_only(void **unused)
{
	struct routes *routes = routes_new(2);
	struct routes_route third = route_of("c", "10.0.0.1:5", ROUTES_API);

	(void)unused;
	set(routes, "a", "10.0.0.1:5", ROUTES_API);
	set(routes, "b", "10.0.0.1:5", ROUTES_API);
	assert_int_equal(routes_set(routes, &third), -ENOSPC);
	set(routes, "b", "10.0.0.1:6", ROUTES_API);
	assert_int_equal(routes_count(routes), 2);
	routes_free(routes);
}

/* --- reload and listeners ---------------------------------------------------------------------------- */

struct heard {
	char text[512];
};

static void hear(void *context, const char *fqdn, const struct routes_route *route)
{
	struct heard *heard = context;
	size_t len = strlen(heard->text);

	snprintf(heard->text + len, sizeof(heard->text) - len, "%s%s ", route ? "+" : "-", fqdn);
}

static void reload(struct routes *routes, const char *yaml, int result)
{
	struct routes_tally tally;
	struct config config;

	assert_int_equal(config_parse("test", yaml, strlen(yaml), &config, stderr), 0);
	assert_int_equal(routes_reload(routes, &config, &tally), result);
	config_free(&config);
}

#define ROUTE_YAML(name, target) "  - {fqdn: \"" name "\", type: simple, target: \"" target "\"}\n"

static void reload_changes_what_the_file_changed(void **unused)
{
	struct routes *routes = routes_new(4);
	struct heard heard = { "" };
	struct routes_route route;

	(void)unused;
	assert_int_equal(routes_listen(routes, hear, &heard), 0);
	reload(routes, "routes:\n" ROUTE_YAML("a", "10.0.0.1:1") ROUTE_YAML("b", "10.0.0.1:1") ROUTE_YAML("c", "10.0.0.1:1"), 0);
	assert_string_equal(heard.text, "+a +b +c ");

	/* a is taken over by the API: it stays while the file says of it what it said. */
	set(routes, "a", "10.0.0.9:9", ROUTES_API);
	heard.text[0] = '\0';
	reload(routes, "routes:\n" ROUTE_YAML("a", "10.0.0.1:1") ROUTE_YAML("b", "10.0.0.1:2"), 0);
	assert_string_equal(heard.text, "+b -c ");
	assert_true(routes_get(routes, "a", &route));
	assert_int_equal(route.origin, ROUTES_API);
	assert_true(routes_get(routes, "b", &route));
	assert_int_equal(route.address.port, 2);

	/* Now the file says otherwise. */
	reload(routes, "routes:\n" ROUTE_YAML("a", "10.0.0.1:7") ROUTE_YAML("b", "10.0.0.1:2"), 0);
	assert_true(routes_get(routes, "a", &route));
	assert_int_equal(route.origin, ROUTES_FILE);

	/* Over the bound: nothing changes, not even what would have fitted. */
	heard.text[0] = '\0';
	reload(routes,
	       "routes:\n" ROUTE_YAML("v", "10.0.0.1:1") ROUTE_YAML("w", "10.0.0.1:1") ROUTE_YAML("x", "10.0.0.1:1"),
	       -ENOSPC);
	assert_string_equal(heard.text, "");
	assert_int_equal(routes_count(routes), 2);
	reload(routes, "{}\n", 0);
	assert_int_equal(routes_count(routes), 0);
	routes_free(routes);
}

/* --- the relay's side ---------------------------------------------------------------------------------- */

static void snapshot_removes_what_it_does_not_name(void **unused)
{
	struct route_table table;
	const struct route *kept;

	(void)unused;
	urcu_qsbr_register_thread();
	assert_int_equal(route_table_init(&table), 0);
	assert_int_equal(route_set(&table, "a", 1), 0);
	assert_int_equal(route_set(&table, "b", 2), 0);
	assert_int_equal(route_set(&table, "c", 3), 0);
	kept = route_lookup(&table, "a");
	route_snapshot_begin(&table); /* its sender dies: nothing goes */
	assert_int_equal(route_set(&table, "a", 1), 0);
	assert_int_equal(table.count, 3);
	route_snapshot_begin(&table);
	assert_int_equal(route_set(&table, "a", 1), 0);
	assert_int_equal(route_set(&table, "b", 9), 0);
	assert_int_equal(route_set(&table, "d", 4), 0);
	assert_int_equal(route_snapshot_end(&table), 1);
	assert_int_equal(table.count, 3);
	assert_ptr_equal(route_lookup(&table, "a"), kept); /* unchanged: not even replaced */
	assert_int_equal(route_lookup(&table, "b")->backend, 9);
	assert_null(route_lookup(&table, "c"));
	assert_int_equal(route_lookup(&table, "d")->backend, 4);
	urcu_qsbr_quiescent_state();
	route_table_end(&table);
	urcu_qsbr_unregister_thread();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(check_says_what_is_wrong),
		cmocka_unit_test(listing_is_in_order_of_names),
		cmocka_unit_test(bound_refuses_new_names_only),
		cmocka_unit_test(reload_changes_what_the_file_changed),
		cmocka_unit_test(snapshot_removes_what_it_does_not_name),
	};

	return cmocka_run_group_tests_name("routes", tests, NULL, NULL);
}
