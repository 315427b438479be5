/* SPDX-License-Identifier: MIT */
/* api_tls: see api_tls.h. */
#include "control/api_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "bpf/table.h"
#include "control/tls.h"
#include "userspace/log.h"

enum {
	CONNECTIONS_MAX = 256,         /* some 50 KB each; civetweb serves 32 at a time */
	HANDSHAKE_MS = 5000,
	IDLE_MS = 60000,               /* longer than any request takes to be answered */
	LINGER_MS = 2000,
	TICK_MS = 1000,                /* how often files are looked at */
	TICK_OPEN_MS = 100,            /* while there are connections: how exact their deadlines are */
	ACCEPTS_PER_TURN = 16,
	EVENTS = 64,
	SECRET_BYTES = 32,
	BACKLOG = 128,
};

/* What an event is of: a listener, the wake-up, or a connection's slot. */
enum { TAG_WAKE = CONNECTIONS_MAX, TAG_LISTENERS };

/* By which a changed file is known; all 0: there is none. */
struct file_mark {
	dev_t device;
	ino_t inode;
	off_t size;
	struct timespec modified, changed;
};

struct connection {
	struct tls_relay *relay;       /* NULL: free */
	uint32_t watched[TLS_RELAY_SIDES];
	char peer[INET6_ADDRSTRLEN];
};

struct api_tls {
	struct api_tls_options options;
	struct tls_relay_server server;
	struct tls_context *context;
	struct file_mark marks[3];
	char secret[2 * SECRET_BYTES + 1];
	int listeners[API_TLS_ADDRESSES_MAX];
	unsigned listener_count;
	bool accepting;
	int epoll, wake;
	pthread_t thread;
	bool running;
	atomic_bool ending, reload;
	uint64_t tick_ms;              /* when the next one is due */
	struct log_limit failures, refusals;
	struct api_tls_stats stats;
	struct connection connections[CONNECTIONS_MAX];
};

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* --- certificates --------------------------------------------------------------------------------- */

static void marks_take(const struct config_api_tls *files, struct file_mark marks[static 3])
{
	const char *const paths[3] = { files->cert, files->key, files->client_ca };
	struct stat status;

	memset(marks, 0, 3 * sizeof(*marks)); /* their padding too: they are compared as bytes */
	for (int i = 0; i < 3; i++) {
		if (!paths[i][0] || stat(paths[i], &status) != 0)
			continue;
		marks[i].device = status.st_dev;
		marks[i].inode = status.st_ino;
		marks[i].size = status.st_size;
		marks[i].modified = status.st_mtim;
		marks[i].changed = status.st_ctim;
	}
}

static struct tls_context *context_load(const struct config_api_tls *files, char error[static TLS_ERROR_BYTES])
{
	const struct tls_options options = {
		.cert_file = files->cert, .key_file = files->key, .ca_file = files->client_ca };

	return tls_context_new_server(&options, error);
}

/* If the files have changed since they were last looked at, good or bad: so each bad one is told of once. */
static void context_refresh(struct api_tls *front, bool force)
{
	struct file_mark marks[3];
	struct tls_context *context;
	char error[TLS_ERROR_BYTES];

	marks_take(front->options.files, marks); /* before they are read: a change in between is seen the next time */
	if (!force && memcmp(marks, front->marks, sizeof(marks)) == 0)
		return;
	memcpy(front->marks, marks, sizeof(marks));
	context = context_load(front->options.files, error);
	if (!context) {
		log_errorx("api.tls: %s: going on with the files as they were", error);
		return;
	}
	tls_context_free(front->context);
	front->context = context;
	log_infox("api.tls: certificate and key read again");
}

/* --- listening ------------------------------------------------------------------------------------ */

/* addr NULL: every address, IPv4 too. The fd or -errno. */
static int listener_open(int family, const struct addr *addr, uint16_t port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	const int on = 1, only_v6 = addr != NULL;
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error;

	if (fd < 0)
		return -errno;
	if (addr) {
		v4.sin_addr.s_addr = addr->words_be[3];
		memcpy(&v6.sin6_addr, addr->bytes, sizeof(v6.sin6_addr));
	}
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if ((family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only_v6, sizeof(only_v6)) != 0) ||
	    bind(fd, family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
		 family == AF_INET ? sizeof(v4) : sizeof(v6)) != 0 ||
	    listen(fd, BACKLOG) != 0) {
		error = -errno;
		close(fd);
		return error;
	}
	return fd;
}

static bool is_lack(int error)
{
	return error == -EADDRNOTAVAIL || error == -EAFNOSUPPORT;
}

static int listen_everywhere(struct api_tls *front)
{
	int fd = listener_open(AF_INET6, NULL, front->options.port);

	if (fd < 0 && is_lack(fd))
		fd = listener_open(AF_INET, NULL, front->options.port);
	if (fd < 0)
		return fd;
	front->listeners[front->listener_count++] = fd;
	return 0;
}

static int listen_on_all(struct api_tls *front)
{
	const struct api_tls_options *options = &front->options;

	if (options->address_count == 0)
		return listen_everywhere(front);
	for (unsigned i = 0; i < options->address_count; i++) {
		const struct addr *addr = &options->addresses[i];
		int fd = listener_open(addr_is_v4(addr) ? AF_INET : AF_INET6, addr, options->port);

		if (fd < 0 && i > 0 && is_lack(fd))
			continue; /* no IPv6 here */
		if (fd < 0)
			return fd;
		front->listeners[front->listener_count++] = fd;
	}
	return 0;
}

static void listeners_watch(struct api_tls *front, bool accepting)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (front->accepting == accepting)
		return;
	for (unsigned i = 0; i < front->listener_count; i++) {
		event.data.u32 = TAG_LISTENERS + i;
		epoll_ctl(front->epoll, accepting ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, front->listeners[i], &event);
	}
	front->accepting = accepting;
}

/* --- connections ---------------------------------------------------------------------------------- */

static void connection_close(struct api_tls *front, struct connection *connection)
{
	tls_relay_free(connection->relay); /* its descriptors leave epoll with it */
	memset(connection, 0, sizeof(*connection));
	atomic_fetch_sub_explicit(&front->stats.open, 1, memory_order_relaxed);
}

/* Without a wish for events out of epoll: it would tell of a hang-up again and again. */
static void connection_watch(struct api_tls *front, struct connection *connection)
{
	for (int side = 0; side < TLS_RELAY_SIDES; side++) {
		uint32_t wanted = tls_relay_events(connection->relay, side), *watched = &connection->watched[side];
		struct epoll_event event = { .events = wanted,
					     .data.u32 = (uint32_t)(connection - front->connections) };

		if (wanted == *watched)
			continue;
		epoll_ctl(front->epoll, !*watched ? EPOLL_CTL_ADD : wanted ? EPOLL_CTL_MOD : EPOLL_CTL_DEL,
			  tls_relay_fd(connection->relay, side), &event);
		*watched = wanted;
	}
}

static void connection_ended(struct api_tls *front, struct connection *connection, enum tls_relay_end end)
{
	_Atomic uint64_t *count = end == TLS_RELAY_HANDSHAKE_FAILED ? &front->stats.handshake_failed :
				  end == TLS_RELAY_TIMED_OUT        ? &front->stats.timed_out :
								      &front->stats.broken;
	unsigned held;

	if (end == TLS_RELAY_DONE)
		return;
	atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
	if (log_limit_pass(&front->failures, &held))
		log_infox("api.tls: %s: %s%s (%u more not logged)", connection->peer,
			  end == TLS_RELAY_HANDSHAKE_FAILED ? "handshake: " : "", tls_relay_reason(connection->relay),
			  held);
}

static void connection_serve(struct api_tls *front, struct connection *connection, uint64_t now)
{
	enum tls_relay_end end = tls_relay_serve(connection->relay, now);

	if (end == TLS_RELAY_GOES_ON) {
		connection_watch(front, connection);
		return;
	}
	connection_ended(front, connection, end);
	connection_close(front, connection);
}

static void peer_text(const struct sockaddr_storage *from, char text[static INET6_ADDRSTRLEN])
{
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;

	if (from->ss_family == AF_INET)
		inet_ntop(AF_INET, &v4->sin_addr, text, INET6_ADDRSTRLEN);
	else if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
		inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], text, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, &v6->sin6_addr, text, INET6_ADDRSTRLEN);
}

static struct connection *slot_find(struct api_tls *front)
{
	for (unsigned i = 0; i < front->options.connections_max; i++)
		if (!front->connections[i].relay)
			return &front->connections[i];
	return NULL;
}

static bool connection_open(struct api_tls *front, struct connection *connection, int fd, uint64_t now)
{
	char greeting[TLS_RELAY_GREETING_BYTES];
	const int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	snprintf(greeting, sizeof(greeting),
		 "GET / HTTP/1.1\r\nHost: front\r\n" API_TLS_SECRET_HEADER ": %s\r\n" API_TLS_PEER_HEADER
		 ": %s\r\n\r\n",
		 front->secret, connection->peer);
	connection->relay = tls_relay_new(tls_context_ssl(front->context), fd, &front->server, &front->options.limits,
					  greeting, now);
	if (!connection->relay)
		return false;
	atomic_fetch_add_explicit(&front->stats.accepted, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&front->stats.open, 1, memory_order_relaxed);
	connection_watch(front, connection);
	return true;
}

static void accept_some(struct api_tls *front, int listener, uint64_t now)
{
	for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct sockaddr_storage from = { 0 };
		socklen_t len = sizeof(from);
		int fd = accept4(listener, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct connection *connection;
		unsigned held;

		if (fd < 0) {
			/* What waits stays readable: without descriptors this would spin. The next tick tries again. */
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
				listeners_watch(front, false);
			return;
		}
		connection = slot_find(front);
		if (connection) {
			peer_text(&from, connection->peer);
			if (connection_open(front, connection, fd, now))
				continue;
		}
		atomic_fetch_add_explicit(&front->stats.full, 1, memory_order_relaxed);
		close(fd);
		if (log_limit_pass(&front->refusals, &held))
			log_warnx("api.tls: %u connections already: one more closed (%u more not logged)",
				  front->options.connections_max, held);
	}
}

/* --- the thread ----------------------------------------------------------------------------------- */

static void tick(struct api_tls *front, uint64_t now)
{
	if (now < front->tick_ms)
		return;
	context_refresh(front, false);
	listeners_watch(front, true);
	front->tick_ms = now + TICK_MS;
}

static void deadlines_serve(struct api_tls *front, uint64_t now)
{
	for (unsigned i = 0; i < front->options.connections_max; i++) {
		struct connection *connection = &front->connections[i];

		if (connection->relay && tls_relay_deadline_ms(connection->relay) <= now)
			connection_serve(front, connection, now);
	}
}

static void wake_up(struct api_tls *front)
{
	const uint64_t one = 1;
	ssize_t written = write(front->wake, &one, sizeof(one));

	(void)written; /* at its limit it is awake anyway */
}

static void woken(struct api_tls *front)
{
	uint64_t count;
	ssize_t n = read(front->wake, &count, sizeof(count));

	(void)n;
	if (atomic_exchange(&front->reload, false))
		context_refresh(front, true);
}

static void *front_thread(void *context)
{
	struct api_tls *front = context;
	struct epoll_event events[EVENTS];

	while (!atomic_load(&front->ending)) {
		int timeout = atomic_load_explicit(&front->stats.open, memory_order_relaxed) ? TICK_OPEN_MS : TICK_MS;
		int n = epoll_wait(front->epoll, events, EVENTS, timeout);
		uint64_t now = now_ms();

		for (int i = 0; i < n; i++) {
			uint32_t tag = events[i].data.u32;

			if (tag >= TAG_LISTENERS)
				accept_some(front, front->listeners[tag - TAG_LISTENERS], now);
			else if (tag == TAG_WAKE)
				woken(front);
			else if (front->connections[tag].relay) /* else its other side has just ended it */
				connection_serve(front, &front->connections[tag], now);
		}
		deadlines_serve(front, now);
		tick(front, now);
	}
	return NULL;
}

/* --- start and end -------------------------------------------------------------------------------- */

static int secret_draw(char secret[static 2 * SECRET_BYTES + 1])
{
	uint8_t bytes[SECRET_BYTES];

	if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
		return -EIO;
	for (int i = 0; i < SECRET_BYTES; i++)
		snprintf(secret + 2 * i, 3, "%02x", bytes[i]);
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return 0;
}

static void options_take(struct api_tls *front, const struct api_tls_options *given)
{
	struct api_tls_options *options = &front->options;

	*options = *given;
	if (options->connections_max == 0 || options->connections_max > CONNECTIONS_MAX)
		options->connections_max = CONNECTIONS_MAX;
	if (!options->limits.handshake_ms)
		options->limits.handshake_ms = HANDSHAKE_MS;
	if (!options->limits.idle_ms)
		options->limits.idle_ms = IDLE_MS;
	if (!options->limits.linger_ms)
		options->limits.linger_ms = LINGER_MS;
}

struct api_tls *api_tls_new(const struct api_tls_options *options)
{
	struct api_tls *front = calloc(1, sizeof(*front));
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = TAG_WAKE };
	char text[TLS_ERROR_BYTES];
	int error;

	if (!front)
		return NULL;
	options_take(front, options);
	front->epoll = epoll_create1(EPOLL_CLOEXEC);
	front->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	marks_take(options->files, front->marks);
	front->context = context_load(options->files, text);
	if (!front->context) {
		log_errorx("api.tls: %s", text);
		goto err;
	}
	error = front->epoll < 0 || front->wake < 0 ||
		epoll_ctl(front->epoll, EPOLL_CTL_ADD, front->wake, &event) < 0 ? -errno : secret_draw(front->secret);
	if (!error)
		error = listen_on_all(front);
	if (!error)
		return front;
	log_errorx("api: cannot listen on port %u: %s", options->port, strerror(-error));
err:
	api_tls_stop(front);
	return NULL;
}

int api_tls_start(struct api_tls *front, uint16_t server_port)
{
	int error;

	front->server = (struct tls_relay_server){ .port = server_port, .welcome = API_TLS_WELCOME };
	listeners_watch(front, true);
	error = pthread_create(&front->thread, NULL, front_thread, front);
	front->running = error == 0;
	return -error;
}

void api_tls_stop(struct api_tls *front)
{
	if (!front)
		return;
	if (front->running) {
		atomic_store(&front->ending, true);
		wake_up(front);
		pthread_join(front->thread, NULL);
	}
	for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
		if (front->connections[i].relay)
			connection_close(front, &front->connections[i]);
	for (unsigned i = 0; i < front->listener_count; i++)
		close(front->listeners[i]);
	if (front->wake >= 0)
		close(front->wake);
	if (front->epoll >= 0)
		close(front->epoll);
	tls_context_free(front->context);
	OPENSSL_cleanse(front->secret, sizeof(front->secret));
	free(front);
}

void api_tls_reload(struct api_tls *front)
{
	atomic_store(&front->reload, true);
	wake_up(front);
}

bool api_tls_is_secret(const struct api_tls *front, const char *value)
{
	return strlen(value) == 2 * SECRET_BYTES && CRYPTO_memcmp(value, front->secret, 2 * SECRET_BYTES) == 0;
}

const struct api_tls_stats *api_tls_stats(const struct api_tls *front)
{
	return &front->stats;
}

uint16_t api_tls_port(const struct api_tls *front)
{
	struct sockaddr_in6 address;
	socklen_t len = sizeof(address);

	/* The port stands at the same place in both families. */
	return getsockname(front->listeners[0], (struct sockaddr *)&address, &len) == 0 ? ntohs(address.sin6_port) : 0;
}
