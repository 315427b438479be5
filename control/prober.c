/* SPDX-License-Identifier: MIT */
/* prober: see prober.h. */
#include "control/prober.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpf/table.h"
#include "control/clock.h"
#include "userspace/log.h"

enum {
	TICK_MS = 10,                  /* between two looks at all servers: less wakes up for each of thousands */
	PASS_MS = 1000,                /* between two passes over all routes: up to a million of them */
	DATAGRAMS_AT_ONCE = 8192,      /* received before deadlines have their turn: twice what can be answers */
	RECEIVE_BYTES = 8 << 20,       /* for those that come while routes are told: a lost answer is a failure */
	SOCKETS = 2,                   /* IPv4, IPv6 */
};

struct prober {
	struct prober_options options;
	int event_fd, sockets[SOCKETS]; /* -1: the host has no such family */
	pthread_t thread;
	bool started;
	atomic_bool stop;
	atomic_bool wanted;            /* routes or addresses are others: who is watched has to be found anew */
	uint64_t now_ns;               /* of the pass in progress */
};

/* --- any thread -------------------------------------------------------------------------------------- */

static void wake(void *context)
{
	static const uint64_t one = 1;
	struct prober *prober = context;

	if (write(prober->event_fd, &one, sizeof(one)) < 0)
		return; /* the counter is at its end: it has been told */
}

void prober_refresh(struct prober *prober)
{
	atomic_store(&prober->wanted, true);
	wake(prober);
}

/* Under the store's lock. What a route was before is not said, so while any is watched each may have been the last. */
static void on_route(void *context, const char *fqdn, const struct routes_route *route, enum routes_origin was)
{
	struct prober *prober = context;
	struct servers_stats stats;

	(void)fqdn;
	(void)was;
	servers_stats(prober->options.servers, &stats);
	if (stats.watched > 0 || (route && route->spec->health.interval_s))
		prober_refresh(prober);
}

/* --- sockets ----------------------------------------------------------------------------------------- */

/* -1: none, after a line in the log. */
static int socket_open(int family)
{
	const int on = 1, room = RECEIVE_BYTES;
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	bool is_ready;

	/* RECVERR: an ICMP error says at once, and of which server, that a probe did not arrive. */
	if (family == AF_INET)
		is_ready = fd >= 0 && setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof(on)) == 0;
	else
		is_ready = fd >= 0 && setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof(on)) == 0 &&
			   setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0;
	if (is_ready && setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)); /* as much as others may have */
	if (is_ready)
		return fd;
	log_warn("health: no %s socket: its servers are dead to us", family == AF_INET ? "IPv4" : "IPv6");
	if (fd >= 0)
		close(fd);
	return -1;
}

static int send_probe(void *context, const struct addr *address, __be16 port_be,
		      const uint8_t probe[static PROBE_BYTES])
{
	const struct prober *prober = context;
	const bool is_v4 = addr_is_v4(address);
	const struct sockaddr_in v4 = {
		.sin_family = AF_INET, .sin_port = port_be, .sin_addr = { address->words_be[3] } };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = port_be };
	const struct sockaddr *to = is_v4 ? (const struct sockaddr *)&v4 : (const struct sockaddr *)&v6;
	const int fd = prober->sockets[is_v4 ? 0 : 1];
	int error = EAFNOSUPPORT;

	memcpy(&v6.sin6_addr, address, sizeof(v6.sin6_addr));
	/* Twice: the first may have to report the error of another server's probe. */
	for (int i = 0; fd >= 0 && error && i < 2; i++)
		error = sendto(fd, probe, PROBE_BYTES, 0, to, is_v4 ? sizeof(v4) : sizeof(v6)) < 0 ? errno : 0;
	return -error;
}

static bool sender_of(const struct sockaddr_storage *from, struct addr *address, __be16 *port_be)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;

	if (from->ss_family == AF_INET6) {
		memcpy(address, &v6->sin6_addr, sizeof(*address));
		*port_be = v6->sin6_port;
		return true;
	}
	*address = (struct addr){ .bytes = { [10] = 0xff, [11] = 0xff } };
	address->words_be[3] = v4->sin_addr.s_addr;
	*port_be = v4->sin_port;
	return from->ss_family == AF_INET;
}

/* One datagram, or with MSG_ERRQUEUE one that did not arrive. False: there is none for now. */
static bool receive_one(struct prober *prober, int fd, int flags)
{
	struct sockaddr_storage from = { 0 };
	uint8_t bytes[PROBE_BYTES];
	struct iovec part = { bytes, sizeof(bytes) };
	struct msghdr packet = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &part, .msg_iovlen = 1 };
	ssize_t len = recvmsg(fd, &packet, flags);
	struct addr address;
	__be16 port_be;

	if (len < 0)
		return errno != EAGAIN; /* else the error of some probe, whose datagram is on the error queue */
	if (!sender_of(&from, &address, &port_be))
		return true;
	if (flags & MSG_ERRQUEUE)
		servers_refused(prober->options.servers, &address, port_be, bytes, (size_t)len);
	else
		servers_answer(prober->options.servers, &address, port_be, bytes, (size_t)len);
	return true;
}

static void receive(struct prober *prober, int fd)
{
	for (int i = 0; i < DATAGRAMS_AT_ONCE && receive_one(prober, fd, 0); i++)
		;
	for (int i = 0; i < DATAGRAMS_AT_ONCE && receive_one(prober, fd, MSG_ERRQUEUE); i++)
		;
}

/* Until there is something to receive, somebody wakes it, or then_ns. */
static void wait_and_receive(struct prober *prober, uint64_t then_ns)
{
	struct pollfd fds[1 + SOCKETS] = { { .fd = prober->event_fd, .events = POLLIN } };
	uint64_t now_ns = clock_now_ns(), count;
	uint64_t wait_ms = then_ns > now_ns ? (then_ns - now_ns + MS_NS - 1) / MS_NS : 0;

	for (int i = 0; i < SOCKETS; i++)
		fds[1 + i] = (struct pollfd){ .fd = prober->sockets[i], .events = POLLIN };
	if (poll(fds, 1 + SOCKETS, wait_ms < 60000 ? (int)wait_ms : 60000) <= 0)
		return;
	if (fds[0].revents && read(prober->event_fd, &count, sizeof(count)) < 0)
		return;
	for (int i = 0; i < SOCKETS; i++)
		if (fds[1 + i].revents)
			receive(prober, prober->sockets[i]);
}

/* --- routes ------------------------------------------------------------------------------------------ */

static void watch_servers_of(void *context, const struct routes_route *route)
{
	struct prober *prober = context;
	struct protocol_message message;

	if (!route->spec->health.interval_s)
		return;
	targets_message(prober->options.targets, route->fqdn, route, &message);
	servers_watch(prober->options.servers, &route->spec->health, &message.route, prober->now_ns);
}

static void pass(struct prober *prober)
{
	prober->now_ns = clock_now_ns();
	servers_watch_begin(prober->options.servers);
	routes_each(prober->options.routes, watch_servers_of, prober);
	servers_watch_end(prober->options.servers, clock_now_ns());
}

static void tell_if_concerned(void *context, const struct routes_route *route)
{
	struct prober *prober = context;
	struct protocol_message message;

	targets_message(prober->options.targets, route->fqdn, route, &message);
	if (servers_concern(prober->options.servers, route->spec->health.interval_s, &message.route))
		prober->options.changed(prober->options.context, route->fqdn);
}

static void tell(struct prober *prober)
{
	if (!servers_tell_begin(prober->options.servers))
		return;
	routes_each(prober->options.routes, tell_if_concerned, prober);
	servers_tell_end(prober->options.servers);
}

/* --- the thread -------------------------------------------------------------------------------------- */

static void *prober_main(void *argument)
{
	struct prober *prober = argument;
	uint64_t step_ns = 0, pass_ns = 0; /* when it is time for each */

	while (!atomic_load(&prober->stop)) {
		bool is_wanted = atomic_load(&prober->wanted);
		uint64_t now_ns;

		wait_and_receive(prober, is_wanted && pass_ns < step_ns ? pass_ns : step_ns);
		now_ns = clock_now_ns();
		if (now_ns >= pass_ns && atomic_exchange(&prober->wanted, false)) {
			pass(prober);
			pass_ns = now_ns + PASS_MS * MS_NS;
			step_ns = now_ns;
		}
		if (now_ns >= step_ns) {
			step_ns = servers_step(prober->options.servers, now_ns, send_probe, prober);
			if (step_ns < now_ns + TICK_MS * MS_NS)
				step_ns = now_ns + TICK_MS * MS_NS;
		}
		tell(prober);
	}
	return NULL;
}

struct prober *prober_new(const struct prober_options *options)
{
	struct prober *prober = calloc(1, sizeof(*prober));

	if (!prober)
		return NULL;
	prober->options = *options;
	prober->sockets[0] = prober->sockets[1] = -1;
	prober->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (prober->event_fd < 0 || routes_listen(options->routes, on_route, prober) < 0) {
		log_error("health of servers");
		prober_free(prober);
		return NULL;
	}
	atomic_init(&prober->stop, false);
	atomic_init(&prober->wanted, true); /* routes that were there before */
	servers_listen(options->servers, wake, prober);
	return prober;
}

int prober_start(struct prober *prober)
{
	int error;

	prober->sockets[0] = socket_open(AF_INET);
	prober->sockets[1] = socket_open(AF_INET6);
	error = pthread_create(&prober->thread, NULL, prober_main, prober);
	prober->started = !error;
	return -error;
}

void prober_stop(struct prober *prober)
{
	if (!prober || !prober->started)
		return;
	atomic_store(&prober->stop, true);
	wake(prober);
	pthread_join(prober->thread, NULL);
	prober->started = false;
}

void prober_free(struct prober *prober)
{
	if (!prober)
		return;
	prober_stop(prober);
	for (int i = 0; i < SOCKETS; i++)
		if (prober->sockets[i] >= 0)
			close(prober->sockets[i]);
	if (prober->event_fd >= 0)
		close(prober->event_fd);
	free(prober);
}
