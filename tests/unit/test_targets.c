/* SPDX-License-Identifier: MIT */
/* Unit tests of names as targets: what a relay is told before and after they are resolved. Names of /etc/hosts only. */
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "bpf/table.h"
#include "control/targets.h"
#include "tests/lib/plain_spec.h"

/* What the resolving thread told. */
struct told {
	pthread_mutex_t lock;
	pthread_cond_t more;
	char names[256];
};

static void on_changed(void *context, const char *fqdn)
{
	struct told *told = context;
	size_t len;

	pthread_mutex_lock(&told->lock);
	len = strlen(told->names);
	snprintf(told->names + len, sizeof(told->names) - len, "%s ", fqdn);
	pthread_cond_signal(&told->more);
	pthread_mutex_unlock(&told->lock);
}

static void wait_for(struct told *told, const char *name)
{
	struct timespec until;
	int error = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	pthread_mutex_lock(&told->lock);
	while (!strstr(told->names, name) && !error)
		error = pthread_cond_timedwait(&told->more, &told->lock, &until);
	pthread_mutex_unlock(&told->lock);
	assert_int_equal(error, 0);
}

static void message_of(struct targets *targets, struct routes *routes, const char *fqdn, struct protocol_message *message)
{
	struct routes_route route;
	bool is_there = routes_get(routes, fqdn, &route);

	targets_message(targets, fqdn, is_there ? &route : NULL, message);
	if (is_there)
		routes_end(&route, 1);
	assert_string_equal(message->text, fqdn);
}

static void addresses_are_told_as_they_are(void **unused)
{
	const struct route_draft two = { .count = 2, .targets = { { "10.0.0.1:5", 3 }, { "[2001:db8::1]:6", 1 } } };
	const struct route_draft seen = {
		.client_ip = CLIENT_IP_PRESERVE, .count = 1, .targets = { { "10.0.0.1:5", 1 } } };
	const struct route_draft fleet = {
		.type = ROUTE_AGONES, .migration = MIGRATION_PINNED, .count = 1, .targets = { { "f", 1 } } };
	struct routes *routes = routes_new(8);
	struct targets *targets = targets_new(routes);
	struct protocol_message message;

	(void)unused;
	routes_set_draft(routes, "two", &two);
	routes_set_draft(routes, "fleet", &fleet);
	routes_set_draft(routes, "seen", &seen);
	message_of(targets, routes, "seen", &message);
	assert_int_equal(message.route.flags, PROTOCOL_ROUTE_PRESERVE);
	message_of(targets, routes, "two", &message);
	assert_int_equal(message.type, PROTOCOL_ROUTE);
	assert_int_equal(message.route.flags, 0);
	assert_int_equal(message.route.count, 2);
	assert_int_equal(message.route.targets[0].weight, 3);
	assert_int_equal(message.route.targets[0].port_be, htons(5));
	assert_int_equal(message.route.targets[1].address.bytes[0], 0x20);
	message_of(targets, routes, "fleet", &message);
	assert_int_equal(message.route.flags, PROTOCOL_ROUTE_ASK | PROTOCOL_ROUTE_PINNED);
	assert_int_equal(message.route.count, 0);
	message_of(targets, routes, "none", &message);
	assert_int_equal(message.type, PROTOCOL_ROUTE_GONE);
	targets_free(targets);
	routes_free(routes);
}

static void names_are_resolved_when_they_come_up(void **unused)
{
	const struct route_draft named = { .count = 2, .targets = { { "localhost:5", 7 }, { "10.0.0.1:5", 1 } } };
	const struct route_draft unknown = { .count = 1, .targets = { { "no-such-host.invalid:5", 1 } } };
	struct told told = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, "" };
	struct routes *routes = routes_new(8);
	struct targets *targets = targets_new(routes);
	struct protocol_message message;
	bool loopback = false;
	struct addr v4 = { .bytes = { [10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1 } };

	(void)unused;
	targets_listen(targets, on_changed, &told);
	routes_set_draft(routes, "early", &named);
	message_of(targets, routes, "early", &message);
	assert_int_equal(message.route.count, 1); /* the address alone, for now */
	assert_int_equal(targets_start(targets), 0);
	wait_for(&told, "early ");
	message_of(targets, routes, "early", &message);
	assert_true(message.route.count >= 2);
	for (unsigned i = 0; i + 1 < message.route.count; i++) {
		assert_int_equal(message.route.targets[i].weight, 7);
		loopback |= addr_equal(&message.route.targets[i].address, &v4);
	}
	assert_true(loopback);

	/* Its name is known already: told at once; one that never will be holds nobody up. */
	routes_set_draft(routes, "unknown", &unknown);
	message_of(targets, routes, "unknown", &message);
	assert_int_equal(message.type, PROTOCOL_ROUTE);
	assert_int_equal(message.route.count, 0);
	routes_set_draft(routes, "late", &named);
	message_of(targets, routes, "late", &message);
	assert_true(message.route.count >= 2);
	targets_free(targets);
	routes_free(routes);
}

enum { ANSWER_MAX = 100 };

/* An answer of `n` addresses, numbered from `first` on and then from 0. */
struct answer {
	struct addrinfo list[ANSWER_MAX];
	struct sockaddr_in addresses[ANSWER_MAX];
};

static const struct addrinfo *answer_of(struct answer *answer, uint32_t base, unsigned n, unsigned first)
{
	for (unsigned i = 0; i < n; i++) {
		answer->addresses[i] = (struct sockaddr_in){ .sin_addr.s_addr = htonl(base + (first + i) % n) };
		answer->list[i] = (struct addrinfo){
			.ai_family = AF_INET,
			.ai_addr = (struct sockaddr *)&answer->addresses[i],
			.ai_next = i + 1 < n ? &answer->list[i + 1] : NULL,
		};
	}
	return answer->list;
}

static void servers_that_take_turns_change_nothing(void **unused)
{
	struct addr once[TARGETS_NAME_ADDRESSES_MAX], again[TARGETS_NAME_ADDRESSES_MAX];
	struct answer answer;

	(void)unused;
	assert_int_equal(targets_addresses(answer_of(&answer, 0x0a000001, ANSWER_MAX, 0), once),
			 TARGETS_NAME_ADDRESSES_MAX);
	for (unsigned first = 1; first < ANSWER_MAX; first++) {
		assert_int_equal(targets_addresses(answer_of(&answer, 0x0a000001, ANSWER_MAX, first), again),
				 TARGETS_NAME_ADDRESSES_MAX);
		assert_memory_equal(once, again, sizeof(once));
	}
	assert_int_equal(targets_addresses(answer_of(&answer, 0x0a000001, 3, 1), once), 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(once[i].bytes[15], i + 1);
}

static void only_addresses_of_one_host_count(void **unused)
{
	static const struct { const char *name; uint32_t address; unsigned n; } rows[] = {
		{ "unspecified", 0, 0 },
		{ "multicast", 0xe0000005, 0 },
		{ "broadcast", 0xffffffff, 0 },
		{ "a host", 0x0a000001, 1 },
	};
	struct addr addresses[TARGETS_NAME_ADDRESSES_MAX];
	struct answer answer;

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (targets_addresses(answer_of(&answer, rows[i].address, 1, 0), addresses) != rows[i].n)
			fail_msg("%s", rows[i].name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_told_as_they_are),
		cmocka_unit_test(names_are_resolved_when_they_come_up),
		cmocka_unit_test(servers_that_take_turns_change_nothing),
		cmocka_unit_test(only_addresses_of_one_host_count),
	};

	return cmocka_run_group_tests_name("targets", tests, NULL, NULL);
}
