/* SPDX-License-Identifier: MIT */
/* Unit tests of the prober, against servers on loopback. */
#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "control/clock.h"
#include "control/prober.h"
#include "tests/lib/plain_spec.h"

/* What the prober told: routes, and how often. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t more;
	unsigned count;
	char last[CONFIG_FQDN_MAX + 1];
} told = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void on_changed(void *context, const char *fqdn)
{
	(void)context;
	pthread_mutex_lock(&told.lock);
	told.count++;
	snprintf(told.last, sizeof(told.last), "%s", fqdn);
	pthread_cond_broadcast(&told.more);
	pthread_mutex_unlock(&told.lock);
}

static void wait_told(unsigned count, const char *fqdn)
{
	const struct timespec until = clock_timespec(clock_now_ns() + 20 * S_NS);
	int error = 0;

	pthread_mutex_lock(&told.lock);
	while (told.count < count && !error)
		error = pthread_cond_timedwait(&told.more, &told.lock, &until);
	assert_int_equal(error, 0);
	assert_string_equal(told.last, fqdn);
	pthread_mutex_unlock(&told.lock);
}

/* A server on loopback: a socket, and a thread that answers as a QUIC server does. */
struct responder {
	int fd;
	pthread_t thread;
};

static void *respond(void *argument)
{
	const struct responder *responder = argument;
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);
	uint8_t bytes[1500];
	ssize_t len;

	while ((len = recvfrom(responder->fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &from_len)) > 0) {
		uint8_t negotiation[PROBE_HEAD_BYTES + 4] = { 0x80, [5] = 8, [14] = 8, [26] = 1 };

		assert_int_equal(len, PROBE_BYTES);
		memcpy(negotiation + 6, bytes + 15, 8);
		memcpy(negotiation + 15, bytes + 6, 8);
		sendto(responder->fd, negotiation, sizeof(negotiation), 0, (struct sockaddr *)&from, from_len);
		from_len = sizeof(from);
	}
	return NULL;
}

/* port 0: any. Returns it. */
static uint16_t responder_start(struct responder *responder, uint16_t port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(at);

	responder->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(responder->fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(getsockname(responder->fd, (struct sockaddr *)&at, &len), 0);
	assert_int_equal(pthread_create(&responder->thread, NULL, respond, responder), 0);
	return ntohs(at.sin_port);
}

static void responder_stop(struct responder *responder)
{
	shutdown(responder->fd, SHUT_RD);
	pthread_join(responder->thread, NULL);
	close(responder->fd);
}

static void prober_finds_out_and_tells(void **unused)
{
	char text[64];
	struct route_draft draft = { .health = { 1, 1, 1, 2 }, .count = 1, .targets = { { text, 1 } } };
	struct responder responder;
	struct routes *routes = routes_new(8);
	struct targets *targets = targets_new(routes);
	struct servers *servers = servers_new();
	const struct prober_options options = { routes, targets, servers, on_changed, NULL };
	struct prober *prober = prober_new(&options);
	struct config_address address;
	struct servers_status status;
	struct servers_stats stats = { 0 };
	uint16_t port = responder_start(&responder, 0);

	(void)unused;
	clock_cond_init(&told.more);
	snprintf(text, sizeof(text), "127.0.0.1:%u", port);
	assert_int_equal(config_address_parse(text, &address), 0);
	assert_int_equal(prober_start(prober), 0);
	routes_set_draft(routes, "watched.test", &draft);
	draft.health = (struct route_health){ 0 };
	routes_set_draft(routes, "not.test", &draft);
	while (stats.probes < 3) {
		servers_stats(servers, &stats);
		assert_true(servers_status(servers, &address.addr, htons(port), &status) ? status.up : stats.probes == 0);
		usleep(10000);
	}
	assert_int_equal(told.count, 0); /* alive before, alive now */
	responder_stop(&responder);
	wait_told(1, "watched.test"); /* ICMP port unreachable, twice */
	assert_true(servers_status(servers, &address.addr, htons(port), &status));
	assert_false(status.up);
	assert_int_equal(responder_start(&responder, port), port);
	wait_told(2, "watched.test");
	assert_true(servers_status(servers, &address.addr, htons(port), &status));
	assert_true(status.up);
	assert_int_equal(servers_drain(servers, &address, true), 0);
	wait_told(4, "watched.test"); /* both, in order of name */
	assert_int_equal(routes_remove(routes, "watched.test"), 0);
	for (stats.watched = 1; stats.watched > 0; usleep(10000))
		servers_stats(servers, &stats);
	prober_stop(prober);
	responder_stop(&responder);
	targets_free(targets);
	routes_free(routes);
	prober_free(prober);
	servers_free(servers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prober_finds_out_and_tells),
	};

	return cmocka_run_group_tests_name("prober", tests, NULL, NULL);
}
