/* SPDX-License-Identifier: MIT */
/* steward: see steward.h. */
#include "steward.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "address.h"
#include "log.h"
#include "reload.h"
#include "relay_ports.h"
#include "relay_quic_lb.h"

/* Longer than limits.pending_seconds can be: a held flight may name a backend that nobody else does. */
enum { BACKEND_SWEEP_S = 90 };

static uint32_t coarse_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint32_t)now.tv_sec;
}

void steward_heartbeat(struct relay *relay)
{
	__atomic_store_n(&relay->state.globals->heartbeat_s, coarse_s(), __ATOMIC_RELAXED);
}

/* --- CID reports of the kernel, to the worker that owns the path ---------------------------------- */

static void on_report(void *context, const struct cid_report *report)
{
	struct relay *relay = context;
	struct path_entry path;
	struct cid_report *space;

	if (report->path >= relay->state.paths.slots || !path_read(&relay->state, report->path, &path) ||
	    path.owner >= relay->worker_count)
		return;
	space = ring_space(&relay->workers[path.owner].reports);
	if (!space)
		return; /* on a later sight, then */
	*space = *report;
	ring_push(&relay->workers[path.owner].reports);
	worker_wake(&relay->workers[path.owner]);
}

/* --- next hops that workers ask for ---------------------------------------------------------------- */

/* Slots of nexthops that some reply or backend names: those may not be given to another. */
static uint64_t *nexthops_in_use(struct relay *relay)
{
	uint64_t *used = calloc(NEXTHOPS_MAX / 64, sizeof(*used));

	if (!used)
		return NULL;
	for (uint32_t slot = 0; slot < relay->state.replies.slots; slot++) {
		struct reply_entry reply;

		if (entry_read(table_at(&relay->state.replies, slot), &reply, sizeof(reply), NULL) &&
		    reply.nexthop < NEXTHOPS_MAX)
			used[reply.nexthop / 64] |= 1ull << reply.nexthop % 64;
	}
	for (uint32_t slot = 0; slot < relay->state.backend_slots; slot++) {
		struct backend backend;

		if (entry_read(&relay->state.backends[slot], &backend, sizeof(backend), NULL) &&
		    backend.nexthop < NEXTHOPS_MAX)
			used[backend.nexthop / 64] |= 1ull << backend.nexthop % 64;
	}
	return used;
}

/*
 * nexthop_want, and with a full table once more over slots that nobody uses. To
 * find those costs a walk over all replies and backends: once a second at most,
 * for on-link sources can be spoofed.
 */
static void nexthop_want_hard(struct relay *relay, const struct addr *client, uint16_t *slot)
{
	uint64_t *used;

	if (nexthop_want(relay->nexthops, client, false, NULL, slot) != -ENOSPC || relay->scanned_s == coarse_s())
		return;
	relay->scanned_s = coarse_s();
	used = nexthops_in_use(relay);
	if (used)
		nexthop_want(relay->nexthops, client, false, used, slot);
	free(used);
}

/* The slot is written alone, outside the version of the entry, as time stamps are: its worker may write too. */
static void replies_renew(struct relay *relay)
{
	for (uint32_t at = 0; at < relay->state.replies.slots; at++) {
		struct reply_entry *entry = table_at(&relay->state.replies, at), reply;
		uint16_t slot = NEXTHOP_NONE;

		if (!entry_read(entry, &reply, sizeof(reply), NULL))
			continue;
		if (nexthop_find(relay->nexthops, &reply.client, &slot) == NEXTHOP_WANTED)
			nexthop_want_hard(relay, &reply.client, &slot);
		if (slot != reply.nexthop)
			__atomic_store_n(&entry->nexthop, slot, __ATOMIC_RELAXED);
	}
}

void steward_renew_nexthops(struct relay *relay)
{
	backend_refresh(&relay->backends);
	replies_renew(relay);
}

static void serve_requests(struct relay *relay)
{
	for (uint32_t i = 0; i < relay->worker_count; i++) {
		struct nexthop_request *request;
		uint32_t left = ring_count(&relay->workers[i].requests);

		/* Not those that come meanwhile: waiting clients ask again and again, and the heartbeat must go on. */
		for (; left > 0 && (request = ring_front(&relay->workers[i].requests)); left--) {
			uint16_t slot;

			nexthop_want_hard(relay, &request->client, &slot);
			ring_pop(&relay->workers[i].requests);
		}
		worker_wake(&relay->workers[i]);
	}
}

/* --- what workers ask the control process ----------------------------------------------------------- */

static void pass_questions(struct relay *relay)
{
	for (uint32_t i = 0; i < relay->worker_count; i++) {
		struct question *question;
		uint32_t left = ring_count(&relay->workers[i].questions);

		for (; left > 0 && (question = ring_front(&relay->workers[i].questions)); left--) {
			control_socket_ask(&relay->control, question);
			ring_pop(&relay->workers[i].questions);
		}
	}
}

static void pass_cid_questions(struct relay *relay)
{
	for (uint32_t i = 0; i < relay->worker_count; i++) {
		struct cid_question *question;
		uint32_t left = ring_count(&relay->workers[i].cid_questions);

		for (; left > 0 && (question = ring_front(&relay->workers[i].cid_questions)); left--) {
			control_socket_ask_cid(&relay->control, question);
			ring_pop(&relay->workers[i].cid_questions);
		}
	}
}

/* --- new sessions, for udp.log_requests ------------------------------------------------------------ */

static void log_sessions(struct relay *relay)
{
	for (uint32_t i = 0; i < relay->worker_count; i++) {
		struct session_note *note;
		uint32_t left = ring_count(&relay->workers[i].notes);

		for (; left > 0 && (note = ring_front(&relay->workers[i].notes)); left--) {
			char client[ADDRESS_TEXT_MAX], target[ADDRESS_TEXT_MAX];
			const struct backend *backend = &relay->state.backends[note->backend];

			address_text(client, &note->client, note->client_port_be);
			address_text(target, &backend->address, backend->port_be);
			log_infox("session %s %s -> %s", client, note->name[0] ? note->name : "-", target);
			ring_pop(&relay->workers[i].notes);
		}
	}
}

/* Its sockets and its link went with it, and do not come back by themselves. */
static void interfaces_watch(struct relay *relay)
{
	for (unsigned i = 0; i < relay->interface_count; i++) {
		struct interface *interface = &relay->interfaces[i];
		char name[IF_NAMESIZE];

		if (interface->gone || if_indextoname(interface->ifindex, name))
			continue;
		interface->gone = true;
		log_errorx("%s is gone: restart the relay when it is back", interface->name);
	}
}

/*
 * Servers that no route leads to any more and no session is at. Only when the
 * table fills: it walks over all sessions.
 */
static void backends_sweep(struct relay *relay)
{
	uint64_t *needed;

	if (relay->backends.count < BACKENDS_MAX / 2 || coarse_s() - relay->swept_s < BACKEND_SWEEP_S)
		return;
	relay->swept_s = coarse_s();
	needed = calloc((relay->state.backend_slots + 63) / 64, sizeof(*needed));
	if (!needed)
		return;
	route_mark_backends(&relay->routes, needed);
	relay_quic_lb_mark_backends(relay, needed);
	for (uint32_t slot = 0; slot < relay->state.session_slots; slot++) {
		struct session session;

		if (session_read(&relay->state, slot, &session) && session.backend < relay->state.backend_slots)
			needed[session.backend / 64] |= 1ull << session.backend % 64;
	}
	relay->backends.count -= backend_sweep(&relay->state, needed);
	free(needed);
}

static void nexthops_tell(struct relay *relay)
{
	__atomic_store_n(&relay->state.globals->nexthops,
			 entries_live(relay->state.nexthops, sizeof(*relay->state.nexthops), NEXTHOPS_MAX),
			 __ATOMIC_RELAXED);
}

static void housekeeping(struct relay *relay)
{
	steward_heartbeat(relay);
	nexthops_tell(relay);
	nexthop_housekeeping(relay->nexthops, coarse_s());
	relay_ports_refresh(&relay->state);
	interfaces_watch(relay);
	backends_sweep(relay);
	drop_log_check(&relay->drops, &relay->state, relay->worker_count, coarse_s());
}

/* --- the loop -------------------------------------------------------------------------------------- */

enum source { SOURCE_SIGNAL, SOURCE_TIMER, SOURCE_NETLINK, SOURCE_REPORTS, SOURCE_WORKERS, SOURCE_CONTROL, SOURCES };

static int signals_open(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGHUP);
	return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static int timer_open(void)
{
	const struct itimerspec every = { { 1, 0 }, { 1, 0 } };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

	if (fd >= 0)
		timerfd_settime(fd, 0, &every, NULL);
	return fd;
}

/* True: it is time to end. */
static bool serve(struct relay *relay, enum source source, int fd)
{
	struct signalfd_siginfo signal;
	uint64_t count;

	switch (source) {
	case SOURCE_SIGNAL:
		if (read(fd, &signal, sizeof(signal)) != sizeof(signal))
			return false;
		if (signal.ssi_signo == SIGHUP) {
			control_socket_reload(&relay->control);
			reload_run(relay);
			return false;
		}
		relay->leave = signal.ssi_signo == SIGUSR2;
		log_infox(relay->leave ? "%s: leaving program and sessions to a successor" : "%s: detaching",
			  strsignal((int)signal.ssi_signo));
		return true;
	case SOURCE_TIMER:
		if (read(fd, &count, sizeof(count)) == sizeof(count))
			housekeeping(relay);
		break;
	case SOURCE_NETLINK:
		nexthop_handle_netlink(relay->nexthops);
		break;
	case SOURCE_REPORTS:
		dataplane_poll_reports(relay->dataplane, on_report, relay);
		break;
	case SOURCE_WORKERS:
		if (read(fd, &count, sizeof(count)) == sizeof(count)) {
			serve_requests(relay);
			pass_questions(relay);
			pass_cid_questions(relay);
			log_sessions(relay);
		}
		break;
	case SOURCE_CONTROL:
		control_socket_serve(&relay->control, relay);
		break;
	case SOURCES:
		break;
	}
	if (relay->renewals && (source == SOURCE_NETLINK || source == SOURCE_TIMER)) {
		relay->renewals--;
		steward_renew_nexthops(relay);
	}
	return false;
}

int steward_run(struct relay *relay)
{
	int fds[SOURCES] = {
		[SOURCE_SIGNAL] = signals_open(),
		[SOURCE_TIMER] = timer_open(),
		[SOURCE_NETLINK] = nexthop_netlink_fd(relay->nexthops),
		[SOURCE_REPORTS] = dataplane_reports_fd(relay->dataplane),
		[SOURCE_WORKERS] = relay->event_fd,
		[SOURCE_CONTROL] = relay->control.epoll_fd,
	};
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC), result = 0;
	bool ending = false;

	for (uint32_t i = 0; i < SOURCES; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = i };

		if (fds[i] < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fds[i], &event) < 0) {
			log_error("event loop");
			result = 1;
			ending = true;
		}
	}
	drop_log_check(&relay->drops, &relay->state, relay->worker_count, coarse_s());
	nexthops_tell(relay);
	if (!ending && relay->routes.count == 0)
		log_warnx("there are no routes: every new client will be dropped");
	if (!ending)
		log_infox("ready: %u worker%s, %zu route%s", relay->worker_count, relay->worker_count == 1 ? "" : "s",
			  relay->routes.count, relay->routes.count == 1 ? "" : "s");
	while (!ending) {
		struct epoll_event events[SOURCES];
		int n;

		urcu_qsbr_thread_offline();
		n = epoll_wait(epoll_fd, events, SOURCES, -1);
		urcu_qsbr_thread_online();
		for (int i = 0; i < n; i++)
			ending |= serve(relay, events[i].data.u32, fds[events[i].data.u32]);
	}
	close(fds[SOURCE_SIGNAL]);
	close(fds[SOURCE_TIMER]);
	close(epoll_fd);
	return result;
}
