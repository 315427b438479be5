/* SPDX-License-Identifier: MIT */
/*
 * test_agones: the allocator's client against tests/peers/allocator.py over
 * mutual TLS: every verdict, every misbehaviour, certificates right, wrong and
 * renewed.
 */
#include <pthread.h>
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

#include "bpf/table.h"
#include "control/agones.h"
#include "control/allocation.h"
#include "control/config_value.h"
#include "control/metrics.h"
#include "tests/lib/allocator_world.h"
#include "tests/lib/certificates.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { LATE_MS = 1000, CALLERS = AGONES_CONNECTIONS + 16 }; /* the machine may be busy */

static struct allocator_world world;
static struct agones *agones;
static struct agones_server server;
static char error[AGONES_ERROR_BYTES];

static int begin(void **unused)
{
	static const char *const servers[] = {
		"f=gs-1@10.1.2.3:7000/1000", "two=a@10.0.0.1:7001/2",    "two=b@10.0.0.2:7002",        "six=v6@2001:db8::5:65534",
		"named=n@localhost:7777",    "gone=g@nothing.invalid:1", "dotted=host-1.x@10.0.0.9:1", NULL };

	(void)unused;
	allocator_world_begin(&world, servers);
	return 0;
}

static int end(void **unused)
{
	(void)unused;
	allocator_world_end(&world);
	return 0;
}

static int set_up(void **unused)
{
	(void)unused;
	allocator_world_tell(&world, "_reset");
	return 0;
}

/* Also after a failure, wherever it was. */
static int tear_down(void **unused)
{
	(void)unused;
	agones_free(agones);
	agones = NULL;
	return 0;
}

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void start(const struct config_agones *config)
{
	agones = agones_new(config);
	assert_non_null(agones);
}

static struct agones_stats stats(void)
{
	struct agones_stats all;

	agones_stats(agones, &all);
	return all;
}

static void assert_server(const char *fleet, const char *name, const char *ip, uint16_t port)
{
	struct addr addr;

	assert_int_equal(agones_allocate(agones, fleet, &server, error), AGONES_ALLOCATED);
	assert_string_equal(server.name, name);
	assert_int_equal(config_address_parse_ip(ip, &addr), 0);
	assert_true(addr_equal(&server.address.addr, &addr));
	assert_int_equal(server.address.port, port);
	assert_string_equal(error, "");
}

static void allocates_what_the_contract_says(void **unused)
{
	struct agones_stats all;

	(void)unused;
	start(&world.config);
	assert_server("two", "a", "10.0.0.1", 7001);
	assert_server("two", "a", "10.0.0.1", 7001);
	assert_server("two", "b", "10.0.0.2", 7002);
	assert_server("six", "v6", "2001:db8::5", 65534);
	assert_server("dotted", "host-1.x", "10.0.0.9", 1);
	assert_int_equal(agones_allocate(agones, "two", &server, error), AGONES_NONE_FREE);
	assert_string_equal(error, "HTTP 429: there is no available GameServer to allocate");
	assert_int_equal(allocator_world_count(&world, "allocations"), 5);
	all = stats();
	assert_int_equal(all.allocations[AGONES_ALLOCATED], 5);
	assert_int_equal(all.allocations[AGONES_NONE_FREE], 1);
	assert_int_equal(all.requests - all.request_failures, 5);
	assert_int_equal(histogram_count(&all.duration), all.requests);
	assert_int_equal(all.requests, allocator_world_count(&world, "requests"));
}

static void takes_the_port_of_that_name(void **unused)
{
	struct config_agones config = world.config;

	(void)unused;
	config.port_name = (char[]){ "query" };
	start(&config);
	assert_server("f", "gs-1", "10.1.2.3", 7001);
	allocator_world_tell(&world, "_behave?mode=strings");
	assert_server("f", "gs-1", "10.1.2.3", 7001);
}

static void missing_port_takes_no_second_server(void **unused)
{
	struct config_agones config = world.config;

	(void)unused;
	config.port_name = (char[]){ "voice" };
	start(&config);
	assert_int_equal(agones_allocate(agones, "f", &server, error), AGONES_UNREACHABLE);
	assert_string_equal(error, "unusable reply: no port of the name agones.port_name");
	assert_int_equal(allocator_world_count(&world, "allocations"), 1);
}

static void resolves_the_address(void **unused)
{
	(void)unused;
	start(&world.config);
	assert_int_equal(agones_allocate(agones, "named", &server, error), AGONES_ALLOCATED);
	assert_true(config_address_is_unicast(&server.address.addr));
	assert_int_equal(server.address.port, 7777);
	assert_int_equal(agones_allocate(agones, "gone", &server, error), AGONES_UNREACHABLE);
	assert_non_null(strstr(error, "game server g: address nothing.invalid: "));
	assert_int_equal(allocator_world_count(&world, "allocations"), 2);
}

/* Never sent: it would be another label's value, or none. */
static void fleet_that_is_no_name_is_refused(void **unused)
{
	(void)unused;
	start(&world.config);
	assert_int_equal(agones_allocate(agones, "a b", &server, error), AGONES_REFUSED);
	assert_int_equal(agones_allocate(agones, "", &server, error), AGONES_REFUSED);
	assert_int_equal(allocator_world_count(&world, "requests"), 0);
}

static void another_namespace_is_refused(void **unused)
{
	struct config_agones config = world.config;

	(void)unused;
	config.namespace = (char[]){ "other" };
	start(&config);
	assert_int_equal(agones_allocate(agones, "f", &server, error), AGONES_REFUSED);
	assert_string_equal(error, "HTTP 400: not what the contract says");
	assert_int_equal(allocator_world_count(&world, "requests"), 1);
}

/* --- misbehaviour --------------------------------------------------------------------------------- */

static const struct fault_row {
	const char *name, *behave;
	uint32_t timeout_ms;
	enum agones_verdict verdict;
	const char *error;             /* part of it */
	long requests_min, requests_max;
} fault_rows[] = {
	{ "429 twice", "status&value=429&times=2", 4000, AGONES_ALLOCATED, "", 3, 3 },
	{ "429 until the deadline", "status&value=429", 600, AGONES_NONE_FREE, "HTTP 429: told to? say 429", 2, 9 },
	{ "500 once", "status&value=500&times=1", 4000, AGONES_ALLOCATED, "", 2, 2 },
	{ "503 until the deadline", "status&value=503", 600, AGONES_UNREACHABLE, "HTTP 503: told to? say 503", 2, 9 },
	{ "403", "status&value=403", 4000, AGONES_REFUSED, "HTTP 403: told to? say 403", 1, 1 },
	{ "a redirection", "status&value=302", 4000, AGONES_UNREACHABLE, "HTTP 302", 1, 1 },
	{ "cut once", "cut&times=1", 4000, AGONES_ALLOCATED, "", 2, 2 },
	/* libcurl itself tries a kept connection twice */
	{ "cut until the deadline", "cut", 600, AGONES_UNREACHABLE, "", 2, 19 },
	{ "half a reply once", "half&times=1", 4000, AGONES_ALLOCATED, "", 2, 2 },
	{ "half a reply until the deadline", "half", 600, AGONES_UNREACHABLE, "", 2, 9 },
	{ "no JSON", "junk", 4000, AGONES_UNREACHABLE, "unusable reply: not a JSON object", 1, 1 },
	{ "as long as it may be", "huge&value=262144", 4000, AGONES_UNREACHABLE, "unusable reply: not a JSON object", 1,
	  1 },
	{ "a byte too long", "huge&value=262145", 4000, AGONES_UNREACHABLE, "reply of more than 262144 bytes", 1, 1 },
	{ "nobody's address", "body&value={\"gameServerName\":\"a\",\"address\":\"0.0.0.0\"}", 4000, AGONES_UNREACHABLE,
	  "unusable reply: address is not that of one host", 1, 1 },
	{ "silent once", "delay&value=0.9&times=1", 1600, AGONES_ALLOCATED, "", 2, 2 },
	{ "silent until the deadline", "delay&value=2.5", 1200, AGONES_UNREACHABLE, "", 1, 3 },
};

static bool fault_row_holds(const struct fault_row *row)
{
	struct config_agones config = world.config;
	char command[192];
	enum agones_verdict verdict;
	long requests, begin_ms, took_ms;
	bool holds;

	allocator_world_tell(&world, "_reset");
	snprintf(command, sizeof(command), "_behave?mode=%s", row->behave);
	config.timeout_ms = row->timeout_ms;
	start(&config);
	allocator_world_tell(&world, command);
	begin_ms = now_ms();
	verdict = agones_allocate(agones, "f", &server, error);
	took_ms = now_ms() - begin_ms;
	requests = allocator_world_count(&world, "requests");
	holds = verdict == row->verdict && strstr(error, row->error) && requests >= row->requests_min &&
		requests <= row->requests_max && took_ms < row->timeout_ms + LATE_MS &&
		(verdict == AGONES_ALLOCATED) == !error[0];
	if (!holds)
		print_error("%s: %s: '%s', %ld requests, %ld ms\n", row->name, agones_verdict_name(verdict), error,
			    requests, took_ms);
	tear_down(NULL);
	return holds;
}

static void faults_end_as_they_should(void **unused)
{
	unsigned failures = 0;

	(void)unused;
	for (size_t i = 0; i < COUNT(fault_rows); i++)
		failures += !fault_row_holds(&fault_rows[i]);
	assert_int_equal(failures, 0);
}

static void nobody_there_is_unreachable(void **unused)
{
	struct config_agones config = world.config;

	(void)unused;
	config.allocator_host = (char[]){ "127.0.0.1:1" };
	config.timeout_ms = 300;
	start(&config);
	assert_int_equal(agones_allocate(agones, "f", &server, error), AGONES_UNREACHABLE);
	assert_non_null(strstr(error, "Failed to connect"));
	assert_true(stats().requests >= 2);
}

/* --- connections ---------------------------------------------------------------------------------- */

static void connection_stays_open(void **unused)
{
	(void)unused;
	start(&world.config);
	for (unsigned i = 0; i < 20; i++)
		assert_server("f", "gs-1", "10.1.2.3", 7000);
	assert_int_equal(allocator_world_count(&world, "connections"), 1);
	assert_int_equal(stats().connections, 1);
	allocator_world_tell(&world, "_behave?mode=close");
	for (unsigned i = 0; i < 3; i++)
		assert_server("f", "gs-1", "10.1.2.3", 7000);
	assert_int_equal(allocator_world_count(&world, "connections"), 3);
	assert_int_equal(stats().connections, 3);
}

static void *allocate_one(void *verdict)
{
	struct agones_server own;
	char why[AGONES_ERROR_BYTES];

	*(enum agones_verdict *)verdict = agones_allocate(agones, "f", &own, why);
	return NULL;
}

static void many_callers_share_the_connections(void **unused)
{
	struct config_agones config = world.config;
	enum agones_verdict verdicts[CALLERS];
	pthread_t threads[CALLERS];

	(void)unused;
	config.timeout_ms = 20000;
	start(&config);
	allocator_world_tell(&world, "_behave?mode=delay&value=0.05");
	for (unsigned i = 0; i < CALLERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, allocate_one, &verdicts[i]), 0);
	for (unsigned i = 0; i < CALLERS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < CALLERS; i++)
		assert_int_equal(verdicts[i], AGONES_ALLOCATED);
	assert_int_equal(allocator_world_count(&world, "allocations"), CALLERS);
	assert_in_range(allocator_world_count(&world, "connections"), 2, AGONES_CONNECTIONS);
}

static void stop_ends_a_call_in_progress(void **unused)
{
	struct config_agones config = world.config;
	enum agones_verdict verdict;
	pthread_t thread;
	long begin_ms;

	(void)unused;
	config.timeout_ms = 60000;
	start(&config);
	allocator_world_tell(&world, "_behave?mode=delay&value=20");
	assert_int_equal(pthread_create(&thread, NULL, allocate_one, &verdict), 0);
	while (allocator_world_count(&world, "requests") == 0)
		;
	begin_ms = now_ms();
	agones_stop(agones);
	pthread_join(thread, NULL);
	assert_true(now_ms() - begin_ms < 2000 + LATE_MS);
	assert_int_equal(verdict, AGONES_UNREACHABLE);
	assert_int_equal(agones_allocate(agones, "f", &server, error), AGONES_UNREACHABLE);
}

/* --- certificates --------------------------------------------------------------------------------- */

static char *in_dir(const char *name)
{
	static char paths[8][96];
	static unsigned at;

	at = (at + 1) % COUNT(paths);
	snprintf(paths[at], sizeof(paths[at]), name[0] ? "%s/%s" : "", world.dir, name);
	return paths[at];
}

static void server_shows(const char *name)
{
	char what[256];

	snprintf(what, sizeof(what), "_certificate?cert=%s/%s.pem&key=%s/%s.key", world.dir, name, world.dir, name);
	allocator_world_tell(&world, what);
}

static const struct tls_row {
	const char *name, *server, *ca, *client, *key;
	bool insecure;
	const char *error;             /* part of it; NULL: it allocates */
} tls_rows[] = {
	{ "mutual", "server", "ca.pem", "client.pem", "client.key", false, NULL },
	{ "signed by somebody else", "server", "other.pem", "client.pem", "client.key", false, "certificate" },
	{ "not of the system's store", "server", "", "client.pem", "client.key", false, "certificate" },
	{ "another's name", "stranger", "ca.pem", "client.pem", "client.key", false, "target host name 'localhost'" },
	{ "of another CA", "impostor", "ca.pem", "client.pem", "client.key", false, "certificate" },
	/* its alert, or a reset that overtook it */
	{ "without a certificate of ours", "server", "ca.pem", "", "", false, "" },
	{ "with a certificate it does not know", "server", "ca.pem", "unknown.pem", "unknown.key", false, "" },
	{ "another's name, but not verified", "stranger", "ca.pem", "client.pem", "client.key", true, NULL },
	{ "of another CA, but not verified", "impostor", "ca.pem", "client.pem", "client.key", true, NULL },
};

static bool tls_row_holds(const struct tls_row *row)
{
	struct config_agones config = world.config;
	enum agones_verdict verdict;
	bool holds;

	config.allocator_ca_cert = in_dir(row->ca);
	config.allocator_client_cert = in_dir(row->client);
	config.allocator_client_key = in_dir(row->key);
	config.insecure_skip_verify = row->insecure;
	config.timeout_ms = row->error ? 1200 : 4000; /* reading the system's store takes its time under sanitizers */
	allocator_world_tell(&world, "_reset");
	server_shows(row->server);
	start(&config);
	verdict = agones_allocate(agones, "f", &server, error);
	holds = row->error ? verdict == AGONES_UNREACHABLE && error[0] && strstr(error, row->error) :
			     verdict == AGONES_ALLOCATED;
	holds = holds && allocator_world_count(&world, "requests") == (row->error ? 0 : 1);
	if (!holds)
		print_error("%s: %s: '%s'\n", row->name, agones_verdict_name(verdict), error);
	tear_down(NULL);
	return holds;
}

static void tls_is_mutual_and_verified(void **unused)
{
	unsigned failures = 0;

	(void)unused;
	certificates_leaf(world.dir, "other", "impostor", "DNS:localhost");
	certificates_leaf(world.dir, "other", "unknown", "DNS:client.test");
	for (size_t i = 0; i < COUNT(tls_rows); i++)
		failures += !tls_row_holds(&tls_rows[i]);
	server_shows("server");
	assert_int_equal(failures, 0);
}

static void certificates_are_read_again(void **unused)
{
	struct config_agones config = world.config;

	(void)unused;
	shell("cd %s && cp ca.pem own_ca.pem && cp client.pem own.pem && cp client.key own.key", world.dir);
	certificates_leaf(world.dir, "ca", "renewed", "DNS:client.test");
	config.allocator_ca_cert = in_dir("own_ca.pem");
	config.allocator_client_cert = in_dir("own.pem");
	config.allocator_client_key = in_dir("own.key");
	config.timeout_ms = 1000;
	start(&config);
	assert_server("f", "gs-1", "10.1.2.3", 7000);
	assert_server("f", "gs-1", "10.1.2.3", 7000);
	assert_int_equal(allocator_world_count(&world, "connections"), 1);
	/* As a secret that is mounted: replaced as a whole. */
	shell("cd %s && mv renewed.key own.key && mv renewed.pem own.pem", world.dir);
	assert_server("f", "gs-1", "10.1.2.3", 7000);
	assert_server("f", "gs-1", "10.1.2.3", 7000);
	assert_int_equal(allocator_world_count(&world, "connections"), 2);
	shell("cd %s && cp other.pem own_ca.pem", world.dir); /* the same file written anew */
	assert_int_equal(agones_allocate(agones, "f", &server, error), AGONES_UNREACHABLE);
	assert_non_null(strstr(error, "certificate"));
	/* Two files cannot be replaced at once: what does not match meanwhile is tried again. */
	shell("cd %s && cp ca.pem own_ca.pem && rm own.key", world.dir);
	assert_int_equal(agones_allocate(agones, "f", &server, error), AGONES_UNREACHABLE);
	assert_true(stats().requests >= 8);
	shell("cd %s && cp client.pem own.pem && cp client.key own.key", world.dir);
	assert_server("f", "gs-1", "10.1.2.3", 7000);
}

static void files_that_are_none_are_refused_at_start(void **unused)
{
	struct config_agones config = world.config;

	(void)unused;
	config.allocator_client_key = in_dir("server.key");
	assert_null(agones_new(&config));
	config.allocator_client_key = in_dir("absent.key");
	assert_null(agones_new(&config));
	config.allocator_client_key = world.config.allocator_client_key;
	config.allocator_ca_cert = in_dir("absent.pem");
	assert_null(agones_new(&config));
}

/* --- questions, and what is counted --------------------------------------------------------------- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned count;
	enum agones_verdict verdict;
	struct config_address server;
} answered = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void on_answer(void *context, uint64_t id, enum agones_verdict verdict, const struct config_address *address)
{
	(void)context;
	pthread_mutex_lock(&answered.lock);
	assert_int_equal(id, 77);
	answered.count++;
	answered.verdict = verdict;
	if (address)
		answered.server = *address;
	pthread_cond_broadcast(&answered.changed);
	pthread_mutex_unlock(&answered.lock);
}

static void metrics_to(const char *path, struct allocation *allocation)
{
	struct routes *routes = routes_new(1);
	struct view *view = view_new();
	struct link *link = link_new(&(struct link_options){ .run_dir = world.dir, .instance = "none", .routes = routes,
							     .view = view });
	FILE *out = fopen(path, "w");

	assert_true(routes && view && link && out);
	metrics_print(out, view, routes, link, NULL, allocation);
	fclose(out);
	link_free(link);
	view_free(view);
	routes_free(routes);
}

static void question_is_answered_and_counted(void **unused)
{
	const struct config_address client = { .addr = { .bytes = { [10] = 0xff, 0xff, 10, 0, 0, 1 } }, .port = 5000 };
	struct allocation_options options = { .config = &world.config, .answer = on_answer };
	struct allocation *allocation;

	(void)unused;
	start(&world.config);
	options.agones = agones;
	allocation = allocation_new(&options);
	assert_non_null(allocation);
	allocation_ask(allocation, 77, &client, "a.test", "f");
	pthread_mutex_lock(&answered.lock);
	while (answered.count == 0)
		pthread_cond_wait(&answered.changed, &answered.lock);
	pthread_mutex_unlock(&answered.lock);
	assert_int_equal(answered.verdict, AGONES_ALLOCATED);
	assert_int_equal(answered.server.port, 7000);
	metrics_to(in_dir("metrics"), allocation);
	agones_stop(agones);
	allocation_free(allocation);
	shell("cd %s && grep -qxF 'sluice_agones_allocations_total{result=\"allocated\"} 1' metrics && "
	      "grep -qxF 'sluice_agones_answers_total{result=\"allocated\"} 1' metrics && "
	      "grep -qxF 'sluice_agones_questions_total 1' metrics && "
	      "grep -qxF 'sluice_agones_request_duration_seconds_count 1' metrics && "
	      "promtool check metrics <metrics", world.dir);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		TEST(allocates_what_the_contract_says),
		TEST(takes_the_port_of_that_name),
		TEST(missing_port_takes_no_second_server),
		TEST(resolves_the_address),
		TEST(fleet_that_is_no_name_is_refused),
		TEST(another_namespace_is_refused),
		TEST(faults_end_as_they_should),
		TEST(nobody_there_is_unreachable),
		TEST(connection_stays_open),
		TEST(many_callers_share_the_connections),
		TEST(stop_ends_a_call_in_progress),
		TEST(tls_is_mutual_and_verified),
		TEST(certificates_are_read_again),
		TEST(files_that_are_none_are_refused_at_start),
		TEST(question_is_answered_and_counted),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
