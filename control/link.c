/* SPDX-License-Identifier: MIT */
/* link: see link.h. */
#include "control/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include "userspace/log.h"
#include "userspace/version.h"

enum {
	PAUSE_FIRST_MS = 20,           /* after a relay's restart it is back this soon */
	PAUSE_MAX_MS = 1000,           /* more: a relay started later runs that long on its file alone */
	PAGE_ROUTES = 64,              /* of a snapshot, copied at once */
	QUEUE_MAX = 1 << 16,           /* changes the relay has not taken; beyond: a new snapshot instead */
	MESSAGES_AT_ONCE = 1024,       /* sent before signals have their turn */
};

/* What waits to be sent. */
struct item {
	struct item *next;
	union {
		struct protocol_session session;
		struct protocol_answer answer;
		struct protocol_cid_answer cid_answer;
	};
	enum protocol_type type;       /* PROTOCOL_ROUTE: as the store has it when it is sent */
	char fqdn[];
};

struct link {
	struct link_options options;
	char path[108];
	int epoll_fd, timer_fd, event_fd, socket_fd;
	unsigned pause_ms;
	bool greeted;                  /* HELLOs and maps have been exchanged */
	bool blocked;                  /* EPOLLOUT is awaited */
	struct log_limit refusals;

	/* A snapshot on its way. */
	bool in_snapshot, begin_sent;
	struct routes_route page[PAGE_ROUTES];
	size_t page_at, page_count;
	char after[CONFIG_FQDN_MAX + 1];

	pthread_mutex_t lock;          /* of what follows */
	struct item *first, **last;
	unsigned queued;
	bool connected, overflowed, reload_wanted;
	char status[LINK_TEXT_MAX];
};

/* --- the queue: any thread --------------------------------------------------------------------------- */

static void wake(struct link *link)
{
	static const uint64_t one = 1;

	if (write(link->event_fd, &one, sizeof(one)) < 0)
		return; /* the counter is at its end: it has been told */
}

/* Under the lock. */
static void queue_clear(struct link *link)
{
	while (link->first) {
		struct item *item = link->first;

		link->first = item->next;
		free(item);
	}
	link->last = &link->first;
	link->queued = 0;
}

static bool queue_push(struct link *link, const struct item *what, const char *fqdn)
{
	size_t size = strlen(fqdn) + 1;
	bool pushed = false;

	pthread_mutex_lock(&link->lock);
	if (link->connected && !link->overflowed) {
		struct item *item = link->queued < QUEUE_MAX ? calloc(1, sizeof(*item) + size) : NULL;

		if (item) {
			*item = *what;
			item->next = NULL;
			memcpy(item->fqdn, fqdn, size);
			*link->last = item;
			link->last = &item->next;
			link->queued++;
			pushed = true;
		} else if (what->type == PROTOCOL_ROUTE) {
			link->overflowed = true; /* no change is lost: all routes are sent anew */
		}
	}
	pthread_mutex_unlock(&link->lock);
	wake(link);
	return pushed;
}

void link_route_changed(struct link *link, const char *fqdn)
{
	queue_push(link, &(struct item){ .type = PROTOCOL_ROUTE }, fqdn);
}

static void on_route(void *context, const char *fqdn, const struct routes_route *route, enum routes_origin was)
{
	(void)route;
	(void)was;
	link_route_changed(context, fqdn);
}

bool link_end_session(struct link *link, uint32_t slot, uint32_t generation)
{
	return queue_push(link, &(struct item){ .type = PROTOCOL_SESSION_END, .session = { slot, generation } }, "");
}

bool link_answer(struct link *link, const struct protocol_answer *answer)
{
	return queue_push(link, &(struct item){ .type = PROTOCOL_ANSWER, .answer = *answer }, "");
}

bool link_cid_answer(struct link *link, const struct protocol_cid_answer *answer)
{
	return queue_push(link, &(struct item){ .type = PROTOCOL_CID_ANSWER, .cid_answer = *answer }, "");
}

bool link_status(struct link *link, char text[static LINK_TEXT_MAX])
{
	bool connected;

	pthread_mutex_lock(&link->lock);
	connected = link->connected;
	memcpy(text, link->status, LINK_TEXT_MAX);
	pthread_mutex_unlock(&link->lock);
	return connected;
}

void link_reload(struct link *link)
{
	pthread_mutex_lock(&link->lock);
	link->reload_wanted = link->connected;
	pthread_mutex_unlock(&link->lock);
	wake(link);
}

/* --- connecting --------------------------------------------------------------------------------------- */

/* Sets the status; true if it is news. */
static bool status_set(struct link *link, bool connected, const char *text)
{
	bool news;

	pthread_mutex_lock(&link->lock);
	news = strcmp(link->status, text) != 0 || link->connected != connected;
	snprintf(link->status, sizeof(link->status), "%s", text);
	link->connected = connected;
	link->overflowed = false;
	queue_clear(link);
	pthread_mutex_unlock(&link->lock);
	return news;
}

static void pause_begin(struct link *link)
{
	const struct itimerspec when = { .it_value = { link->pause_ms / 1000, link->pause_ms % 1000 * 1000000l } };

	timerfd_settime(link->timer_fd, 0, &when, NULL);
	link->pause_ms = link->pause_ms * 2 > PAUSE_MAX_MS ? PAUSE_MAX_MS : link->pause_ms * 2;
}

/* Ends the connection, if there is one, and tries again later. One log line per reason, not per attempt. */
static void disconnect(struct link *link, const char *reason)
{
	if (link->socket_fd >= 0)
		close(link->socket_fd);
	link->socket_fd = -1;
	link->greeted = false;
	link->blocked = false;
	link->in_snapshot = false;
	view_detach(link->options.view);
	if (status_set(link, false, reason))
		log_warnx("relay: %s", reason);
	pause_begin(link);
}

static int watch(struct link *link, int fd, int operation, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.fd = fd };

	return epoll_ctl(link->epoll_fd, operation, fd, &event);
}

/* 0 or -errno. */
static int send_message(struct link *link, const struct protocol_message *message)
{
	uint8_t bytes[PROTOCOL_MESSAGE_MAX];
	int len = protocol_encode(message, bytes);

	if (len < 0)
		return len;
	return send(link->socket_fd, bytes, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void connect_relay(struct link *link)
{
	const struct protocol_message hello = {
		.type = PROTOCOL_HELLO,
		.hello = { PROTOCOL_VERSION, SLUICE_ABI_VERSION },
		.text = SLUICE_VERSION,
	};
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char reason[LINK_TEXT_MAX];

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", link->path);
	link->socket_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (link->socket_fd < 0 || connect(link->socket_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    watch(link, link->socket_fd, EPOLL_CTL_ADD, EPOLLIN) < 0 || send_message(link, &hello) < 0) {
		snprintf(reason, sizeof(reason), "not connected: %s: %s", link->path, strerror(errno));
		disconnect(link, reason);
	}
}

/* --- sending ------------------------------------------------------------------------------------------ */

static void page_end(struct link *link)
{
	routes_end(link->page + link->page_at, link->page_count - link->page_at);
	link->page_at = link->page_count = 0;
}

static void snapshot_begin(struct link *link)
{
	link->in_snapshot = true;
	link->begin_sent = false;
	page_end(link);
	link->after[0] = '\0';
}

/* What the relay is to know of a route: the servers that may get new sessions now. */
static void route_message(struct link *link, const struct routes_route *route, struct protocol_message *message)
{
	targets_message(link->options.targets, route->fqdn, route, message);
	servers_choose(link->options.servers, route->fqdn, route->spec->health.interval_s, &message->route);
}

/* The next message of the snapshot. 0 or -errno; then it is the next again. */
static int snapshot_step(struct link *link)
{
	static const struct protocol_message begin = { .type = PROTOCOL_ROUTES_BEGIN };
	static const struct protocol_message end = { .type = PROTOCOL_ROUTES_END };
	struct protocol_message message;
	struct routes_route *route;
	int error;

	if (!link->begin_sent) {
		error = send_message(link, &begin);
		link->begin_sent = !error;
		return error;
	}
	if (link->page_at == link->page_count) {
		link->page_at = 0;
		link->page_count = routes_list(link->options.routes, link->after, link->page, PAGE_ROUTES);
	}
	if (link->page_count == 0) {
		error = send_message(link, &end);
		link->in_snapshot = error != 0;
		return error;
	}
	route = &link->page[link->page_at];
	route_message(link, route, &message);
	error = send_message(link, &message);
	if (error)
		return error;
	memcpy(link->after, route->fqdn, sizeof(link->after));
	routes_end(route, 1);
	link->page_at++;
	return 0;
}

static void item_message(struct link *link, const struct item *item, struct protocol_message *message)
{
	struct routes_route route;

	memset(message, 0, sizeof(*message));
	message->type = item->type;
	if (item->type == PROTOCOL_SESSION_END) {
		message->session = item->session;
	} else if (item->type == PROTOCOL_ANSWER) {
		message->answer = item->answer;
	} else if (item->type == PROTOCOL_CID_ANSWER) {
		message->cid_answer = item->cid_answer;
	} else if (routes_get(link->options.routes, item->fqdn, &route)) {
		route_message(link, &route, message);
		routes_end(&route, 1);
	} else {
		targets_message(link->options.targets, item->fqdn, NULL, message);
	}
}

/* The oldest of the queue. 1: sent, 0: it is empty, or -errno: it is still there. */
static int queue_step(struct link *link)
{
	struct protocol_message message;
	struct item *item;
	int error;

	pthread_mutex_lock(&link->lock);
	item = link->first;
	pthread_mutex_unlock(&link->lock); /* only this thread takes items away */
	if (!item)
		return 0;
	item_message(link, item, &message);
	if (item->type == PROTOCOL_SESSION_END && link->options.session_ends)
		link->options.session_ends(link->options.context, item->session.slot, item->session.generation);
	error = send_message(link, &message);
	if (error)
		return error;
	pthread_mutex_lock(&link->lock);
	link->first = item->next;
	if (!link->first)
		link->last = &link->first;
	link->queued--;
	pthread_mutex_unlock(&link->lock);
	free(item);
	return 1;
}

/* Once a batch: a reload that was asked for, and the snapshot in the place of a queue that ran over. */
static int flags_serve(struct link *link)
{
	static const struct protocol_message reload = { .type = PROTOCOL_RELOAD };
	bool overflowed, wanted;
	int error;

	pthread_mutex_lock(&link->lock);
	overflowed = link->overflowed;
	if (overflowed)
		queue_clear(link);
	link->overflowed = false;
	wanted = link->reload_wanted;
	pthread_mutex_unlock(&link->lock);
	if (overflowed)
		snapshot_begin(link);
	if (!wanted)
		return 0;
	error = send_message(link, &reload);
	if (error)
		return error;
	pthread_mutex_lock(&link->lock);
	link->reload_wanted = false;
	pthread_mutex_unlock(&link->lock);
	return 0;
}

static bool queue_is_empty(struct link *link)
{
	bool empty;

	pthread_mutex_lock(&link->lock);
	empty = !link->first && !link->overflowed && !link->reload_wanted;
	pthread_mutex_unlock(&link->lock);
	return empty;
}

static void send_what_waits(struct link *link)
{
	int step = flags_serve(link);

	for (unsigned i = 0; step >= 0 && i < MESSAGES_AT_ONCE; i++) {
		bool in_snapshot = link->in_snapshot;

		step = in_snapshot ? snapshot_step(link) : queue_step(link);
		if (step == 0 && !in_snapshot)
			break;
	}
	if (step == -EAGAIN || step >= 0) {
		bool block = step == -EAGAIN;

		if (block != link->blocked)
			watch(link, link->socket_fd, EPOLL_CTL_MOD, block ? EPOLLIN | EPOLLOUT : EPOLLIN);
		link->blocked = block;
		if (!block && (link->in_snapshot || !queue_is_empty(link)))
			wake(link);
		return;
	}
	disconnect(link, "connection lost");
}

/* --- receiving ---------------------------------------------------------------------------------------- */

static bool greet(struct link *link, struct protocol_message *message)
{
	char reason[LINK_TEXT_MAX];

	protocol_text_clean(message->text);
	if (message->hello.protocol_version == PROTOCOL_VERSION && message->hello.abi_version == SLUICE_ABI_VERSION) {
		pthread_mutex_lock(&link->lock);
		snprintf(link->status, sizeof(link->status), "%s", message->text);
		pthread_mutex_unlock(&link->lock);
		return true;
	}
	snprintf(reason, sizeof(reason),
		 "relay %.64s speaks protocol %u, tables %u; this control process %d, %d: not connected", message->text,
		 message->hello.protocol_version, message->hello.abi_version, PROTOCOL_VERSION, SLUICE_ABI_VERSION);
	disconnect(link, reason);
	return false;
}

static bool take_maps(struct link *link, const struct protocol_message *message, const int *fds, unsigned fd_count)
{
	char reason[LINK_TEXT_MAX], version[LINK_TEXT_MAX];
	int error = -EPROTO;

	if (message->maps.count == PROTOCOL_MAP_COUNT && fd_count == PROTOCOL_MAP_COUNT)
		error = view_attach(link->options.view, fds);
	else
		for (unsigned i = 0; i < fd_count; i++)
			close(fds[i]);
	if (error) {
		snprintf(reason, sizeof(reason), "its tables cannot be read: %s", strerror(-error));
		disconnect(link, reason);
		return false;
	}
	link_status(link, version);
	link->greeted = true;
	link->pause_ms = PAUSE_FIRST_MS;
	status_set(link, true, version);
	log_infox("connected to relay %s", version);
	snapshot_begin(link);
	send_what_waits(link);
	return link->socket_fd >= 0;
}

static void refused(struct link *link, const struct protocol_message *message)
{
	unsigned held;
	const char *why = message->refused.error == ELOOP ? "a target is a listener of the relay" :
			  message->refused.error == ENOSPC ? "too many backends" : "no memory";

	if (log_limit_pass(&link->refusals, &held))
		log_warnx("route %s: the relay refuses it: %s (and %u others before)", message->text, why, held);
}

static bool take(struct link *link, struct protocol_message *message, const int *fds, unsigned fd_count)
{
	if (message->type == PROTOCOL_MAPS && !link->greeted)
		return take_maps(link, message, fds, fd_count);
	for (unsigned i = 0; i < fd_count; i++)
		close(fds[i]);
	if (message->type == PROTOCOL_HELLO && !link->greeted)
		return greet(link, message);
	if (message->type == PROTOCOL_ASK && link->greeted) {
		link->options.ask(link->options.context, &message->ask, message->text);
		return true;
	}
	if (message->type == PROTOCOL_ASK_CID && link->greeted) {
		link->options.ask_cid(link->options.context, &message->ask_cid);
		return true;
	}
	if (message->type == PROTOCOL_ROUTE_REFUSED && link->greeted) {
		refused(link, message);
		return true;
	}
	if (message->type == PROTOCOL_RELOAD && link->greeted) {
		link->options.reload(link->options.context);
		return true;
	}
	disconnect(link, "it sent a message that the protocol does not know");
	return false;
}

/* One packet. False: there is no more for now. */
static bool receive_one(struct link *link)
{
	uint8_t bytes[PROTOCOL_MESSAGE_MAX + 1];
	char space[CMSG_SPACE(PROTOCOL_MAP_COUNT * sizeof(int))] __attribute__((aligned(8)));
	struct iovec part = { bytes, sizeof(bytes) };
	struct msghdr packet = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space) };
	struct protocol_message message;
	int fds[PROTOCOL_MAP_COUNT];
	unsigned fd_count = 0;
	struct cmsghdr *rights;
	ssize_t len = recvmsg(link->socket_fd, &packet, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (len <= 0) {
		disconnect(link, link->greeted ? "it ended" : "it refused the connection (another control process?)");
		return false;
	}
	rights = CMSG_FIRSTHDR(&packet);
	if (rights && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS) {
		fd_count = (unsigned)((rights->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		memcpy(fds, CMSG_DATA(rights), fd_count * sizeof(int));
	}
	if (protocol_decode(bytes, (size_t)len, &message) < 0)
		message.type = 0;
	return take(link, &message, fds, fd_count);
}

void link_serve(struct link *link)
{
	struct epoll_event events[4];
	int n = epoll_wait(link->epoll_fd, events, 4, 0);

	for (int i = 0; i < n; i++) {
		uint64_t count;

		if (events[i].data.fd == link->timer_fd) {
			if (read(link->timer_fd, &count, sizeof(count)) > 0 && link->socket_fd < 0)
				connect_relay(link);
		} else if (events[i].data.fd == link->event_fd) {
			if (read(link->event_fd, &count, sizeof(count)) > 0 && link->greeted)
				send_what_waits(link);
		} else if (events[i].data.fd == link->socket_fd) {
			if (link->blocked && events[i].events & EPOLLOUT)
				send_what_waits(link);
			while (link->socket_fd >= 0 && receive_one(link))
				;
		}
	}
}

int link_fd(const struct link *link)
{
	return link->epoll_fd;
}

struct link *link_new(const struct link_options *options)
{
	struct link *link = calloc(1, sizeof(*link));

	if (!link)
		return NULL;
	link->options = *options;
	link->last = &link->first;
	link->socket_fd = -1;
	link->pause_ms = PAUSE_FIRST_MS;
	pthread_mutex_init(&link->lock, NULL);
	snprintf(link->status, sizeof(link->status), "not connected yet");
	link->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	link->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	link->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (!protocol_socket_path(link->path, sizeof(link->path), options->run_dir, options->instance)) {
		log_errorx("%s/%s.sock is longer than a socket's path may be", options->run_dir, options->instance);
		goto err;
	}
	if (watch(link, link->timer_fd, EPOLL_CTL_ADD, EPOLLIN) < 0 ||
	    watch(link, link->event_fd, EPOLL_CTL_ADD, EPOLLIN) < 0 ||
	    routes_listen(options->routes, on_route, link) < 0) {
		log_error("link to the relay");
		goto err;
	}
	pause_begin(link); /* from the loop on: what cannot start disturbs no relay */
	return link;
err:
	link_free(link);
	return NULL;
}

void link_free(struct link *link)
{
	if (!link)
		return;
	queue_clear(link);
	page_end(link);
	if (link->socket_fd >= 0)
		close(link->socket_fd);
	close(link->epoll_fd);
	close(link->timer_fd);
	close(link->event_fd);
	pthread_mutex_destroy(&link->lock);
	free(link);
}
