/* SPDX-License-Identifier: MIT */
/* Unit tests of the control process's routes: order, origins, reload, listeners; and of the relay's snapshots. */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <cmocka.h>

#include "control/routes.h"
#include "tests/lib/plain_spec.h"
#include "userspace/route.h"

static void set(struct routes *routes, const char *fqdn, const char *target, enum routes_origin origin)
{
	struct routes_route route = { .spec = plain_spec(ROUTE_SIMPLE, target), .origin = origin };

	assert_null(routes_name(fqdn, route.fqdn));
	assert_int_equal(routes_set(routes, &route), 0);
	routes_end(&route, 1);
}

static void names_are_lowered_or_refused(void **unused)
{
	static const struct {
		const char *fqdn, *name; /* NULL: none */
	} rows[] = {
		{ "A.Test.", "a.test" }, { "*", "*" },   { "*.a.test", "*.a.test" }, { "", NULL },
		{ "a..b", NULL },        { "a b", NULL }, { "a.*.b", NULL },
	};
	char name[CONFIG_FQDN_MAX + 1];

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!routes_name(rows[i].fqdn, name) != !!rows[i].name ||
		    (rows[i].name && strcmp(name, rows[i].name) != 0))
			fail_msg("%s", rows[i].fqdn);
}

struct each {
	struct routes *routes;
	char last[CONFIG_FQDN_MAX + 1];
};

/* In order, and the store may be changed meanwhile. */
static void remove_it(void *context, const struct routes_route *route)
{
	struct each *each = context;

	assert_true(strcmp(each->last, route->fqdn) < 0);
	memcpy(each->last, route->fqdn, sizeof(each->last));
	assert_int_equal(routes_remove(each->routes, route->fqdn), 0);
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
			routes_end(&page[i], 1);
			assert_true(routes_get(routes, after, &page[i]));
			routes_end(&page[i], 1);
		}
	assert_int_equal(seen, COUNT / 2);
	routes_each(routes, remove_it, &(struct each){ routes, "" });
	assert_int_equal(routes_count(routes), 0);
	set(routes, "n101.test", "10.0.0.1:5", ROUTES_API);
	assert_int_equal(routes_list(routes, "n1.tesu", page, 1), 1);
	assert_string_equal(page[0].fqdn, "n101.test");
	routes_end(page, 1);
	routes_free(routes);
}

static void bound_refuses_new_names_only(void **unused)
{
	struct routes *routes = routes_new(2);
	struct routes_route third = { .fqdn = "c", .spec = plain_spec(ROUTE_SIMPLE, "10.0.0.1:5") };

	(void)unused;
	set(routes, "a", "10.0.0.1:5", ROUTES_API);
	set(routes, "b", "10.0.0.1:5", ROUTES_API);
	assert_int_equal(routes_set(routes, &third), -ENOSPC);
	routes_end(&third, 1);
	set(routes, "b", "10.0.0.1:6", ROUTES_API);
	assert_int_equal(routes_count(routes), 2);
	routes_free(routes);
}

/* --- reload and listeners ---------------------------------------------------------------------------- */

struct heard {
	char text[512];
};

static void hear(void *context, const char *fqdn, const struct routes_route *route, enum routes_origin was)
{
	struct heard *heard = context;
	size_t len = strlen(heard->text);

	snprintf(heard->text + len, sizeof(heard->text) - len, "%s%s%s ", route ? "+" : "-", fqdn,
		 !route && was == ROUTES_FILE ? "(file)" : "");
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
	assert_string_equal(heard.text, "+b -c(file) ");
	assert_true(routes_get(routes, "a", &route));
	assert_int_equal(route.origin, ROUTES_API);
	routes_end(&route, 1);
	assert_true(routes_get(routes, "b", &route));
	assert_int_equal(route.spec->targets[0].address.port, 2);
	routes_end(&route, 1);

	/* Now the file says otherwise. */
	reload(routes, "routes:\n" ROUTE_YAML("a", "10.0.0.1:7") ROUTE_YAML("b", "10.0.0.1:2"), 0);
	assert_true(routes_get(routes, "a", &route));
	assert_int_equal(route.origin, ROUTES_FILE);
	routes_end(&route, 1);

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

static void routes_end_when_their_time_is_over(void **unused)
{
	const struct route_draft draft = { .expires_s = 100, .count = 1, .targets = { { "10.0.0.1:5", 1 } } };
	struct routes *routes = routes_new(4);
	struct routes_route mortal = { .fqdn = "m", .origin = ROUTES_API };
	struct heard heard = { "" };
	unsigned at;

	(void)unused;
	assert_null(route_spec_new(&draft, &mortal.spec, &at));
	assert_int_equal(routes_listen(routes, hear, &heard), 0);
	set(routes, "a", "10.0.0.1:5", ROUTES_API);
	assert_int_equal(routes_set(routes, &mortal), 0);
	assert_int_equal(routes_expire(routes, 99), 0);
	assert_int_equal(routes_expire(routes, 100), 1);
	assert_int_equal(routes_expire(routes, 100), 0);
	assert_string_equal(heard.text, "+a +m -m ");
	/* Set again without end, it stays. */
	assert_int_equal(routes_set(routes, &mortal), 0);
	set(routes, "m", "10.0.0.1:5", ROUTES_API);
	assert_int_equal(routes_expire(routes, 1000), 0);
	routes_end(&mortal, 1);
	routes_free(routes);
}

/* --- the relay's side ---------------------------------------------------------------------------------- */

static void lead_to(struct route_table *table, const char *fqdn, uint32_t backend)
{
	const struct route_plan plan = { .count = 1, .targets = { { .backend = backend, .weight = 1 } } };

	assert_int_equal(route_set(table, fqdn, &plan), 0);
}

static uint32_t backend_of(const struct route_table *table, const char *fqdn)
{
	return route_lookup(table, fqdn)->targets[0].backend;
}

static void snapshot_removes_what_it_does_not_name(void **unused)
{
	struct route_table table;
	const struct route *kept;

	(void)unused;
	assert_int_equal(route_table_init(&table), 0);
	lead_to(&table, "a", 1);
	lead_to(&table, "b", 2);
	lead_to(&table, "c", 3);
	kept = route_lookup(&table, "a");
	route_snapshot_begin(&table); /* its sender dies: nothing goes */
	lead_to(&table, "a", 1);
	assert_int_equal(table.count, 3);
	route_snapshot_begin(&table);
	lead_to(&table, "a", 1);
	lead_to(&table, "b", 9);
	lead_to(&table, "d", 4);
	assert_int_equal(route_snapshot_end(&table), 1);
	assert_int_equal(table.count, 3);
	assert_ptr_equal(route_lookup(&table, "a"), kept); /* unchanged: not even replaced */
	assert_int_equal(backend_of(&table, "b"), 9);
	assert_null(route_lookup(&table, "c"));
	assert_int_equal(backend_of(&table, "d"), 4);
	urcu_qsbr_quiescent_state();
	route_table_end(&table);
}

static long most_resident_kb(void)
{
	struct rusage usage;

	assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
	return usage.ru_maxrss;
}

/* 100,000 names take 12 MB, and 17 under AddressSanitizer; in a table without a bound 76 to 330. */
static void table_of_very_many_names_stays_small(void **unused)
{
	long before_kb = most_resident_kb();
	struct route_table table;
	char name[32];

	(void)unused;
	assert_int_equal(route_table_init(&table), 0);
	for (unsigned i = 1; i <= 100000; i++) {
		snprintf(name, sizeof(name), "n%u.test", i);
		lead_to(&table, name, i);
	}
	assert_int_equal(backend_of(&table, "n77777.test"), 77777);
	urcu_qsbr_quiescent_state();
	route_table_end(&table);
	assert_in_range(most_resident_kb() - before_kb, 0, 48 * 1024);
}

/* --- one of several ------------------------------------------------------------------------------------ */

enum { CLIENTS = 30000 };

static struct addr v4(uint32_t host)
{
	struct addr addr = { .bytes = { [10] = 0xff, [11] = 0xff } };

	addr.words_be[3] = htonl(host);
	return addr;
}

static struct route_target target(uint32_t backend, uint32_t weight)
{
	struct addr addr = v4(0x0a000000 + backend);

	return (struct route_target){ backend, weight, true, route_target_identity(&addr, htons(7777)) };
}

static const struct route *set_plan(struct route_table *table, const struct route_plan *plan)
{
	assert_int_equal(route_set(table, "a", plan), 0);
	return route_lookup(table, "a");
}

static uint32_t chosen(const struct route *route, uint32_t client)
{
	struct addr addr = v4(0xc0000200 + client / 1000);

	return route_choose(route, &addr, htons((uint16_t)(1024 + client % 1000)));
}

/* 30,000 clients to weights 1, 2 and 3: each share within 3 % of the whole, which chance misses once in 10^20. */
static void clients_are_shared_out_by_weight(void **unused)
{
	const struct route_plan plan = { .count = 3, .targets = { target(1, 1), target(2, 2), target(3, 3) } };
	struct route_table table;
	const struct route *route;
	unsigned counts[4] = { 0 };

	(void)unused;
	assert_int_equal(route_table_init(&table), 0);
	route = set_plan(&table, &plan);
	for (uint32_t client = 0; client < CLIENTS; client++) {
		uint32_t backend = chosen(route, client);

		assert_in_range(backend, 1, 3);
		assert_int_equal(chosen(route, client), backend);
		counts[backend]++;
	}
	for (unsigned i = 1; i <= 3; i++)
		assert_in_range(counts[i], CLIENTS * i / 6 - CLIENTS * 3 / 100, CLIENTS * i / 6 + CLIENTS * 3 / 100);
	urcu_qsbr_quiescent_state();
	route_table_end(&table);
}

/* One of four goes: its clients move, nobody else does. Their order in the message does not matter. */
static void target_that_goes_moves_only_its_own(void **unused)
{
	const struct route_plan four = { .count = 4, .targets = { target(1, 1), target(2, 2), target(3, 1), target(4, 5) } };
	const struct route_plan three = { .count = 3, .targets = { target(4, 5), target(1, 1), target(3, 1) } };
	uint32_t *before = calloc(CLIENTS, sizeof(*before));
	struct route_table table;
	const struct route *route;

	(void)unused;
	assert_int_equal(route_table_init(&table), 0);
	route = set_plan(&table, &four);
	for (uint32_t client = 0; client < CLIENTS; client++)
		before[client] = chosen(route, client);
	route = set_plan(&table, &three);
	for (uint32_t client = 0; client < CLIENTS; client++)
		if (before[client] == 2)
			assert_int_not_equal(chosen(route, client), 2);
		else
			assert_int_equal(chosen(route, client), before[client]);
	urcu_qsbr_quiescent_state();
	route_table_end(&table);
	free(before);
}

static void own_family_goes_first(void **unused)
{
	struct route_plan plan = { .count = 3, .targets = { target(1, 1), target(2, 1000), target(3, 1000) } };
	struct addr v6_client = { .bytes = { 0x20, 1, [15] = 7 } };
	struct route_table table;
	const struct route *route;

	(void)unused;
	assert_int_equal(route_table_init(&table), 0);
	plan.targets[1].v4 = plan.targets[2].v4 = false;
	route = set_plan(&table, &plan);
	assert_int_equal(chosen(route, 5), 1);
	assert_int_not_equal(route_choose(route, &v6_client, htons(5)), 1);
	plan.targets[0].v4 = false;
	route = set_plan(&table, &plan);
	assert_int_not_equal(chosen(route, 5), SLOT_NONE);
	plan.count = 0;
	assert_int_equal(chosen(set_plan(&table, &plan), 5), SLOT_NONE);
	urcu_qsbr_quiescent_state();
	route_table_end(&table);
}

static int thread_begin(void **unused)
{
	(void)unused;
	urcu_qsbr_register_thread();
	return 0;
}

static int thread_end(void **unused)
{
	(void)unused;
	urcu_qsbr_unregister_thread();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_lowered_or_refused),
		cmocka_unit_test(listing_is_in_order_of_names),
		cmocka_unit_test(bound_refuses_new_names_only),
		cmocka_unit_test(reload_changes_what_the_file_changed),
		cmocka_unit_test(routes_end_when_their_time_is_over),
		cmocka_unit_test(snapshot_removes_what_it_does_not_name),
		cmocka_unit_test(table_of_very_many_names_stays_small),
		cmocka_unit_test(clients_are_shared_out_by_weight),
		cmocka_unit_test(target_that_goes_moves_only_its_own),
		cmocka_unit_test(own_family_goes_first),
	};

	return cmocka_run_group_tests_name("routes", tests, thread_begin, thread_end);
}
