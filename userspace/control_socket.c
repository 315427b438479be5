/* SPDX-License-Identifier: MIT */
/* control_socket: see control_socket.h. */
#include "control_socket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control/protocol.h"
#include "log.h"
#include "relay_routes.h"
#include "reload.h"
#include "version.h"

enum { MESSAGES_AT_ONCE = 256 }; /* then netlink, reports and the clock have their turn; some 1 ms */

static const char *const map_names[PROTOCOL_MAP_COUNT] = {
	[PROTOCOL_MAP_GLOBALS] = "globals",
	[PROTOCOL_MAP_PATHS] = "paths",
	[PROTOCOL_MAP_REPLIES] = "replies",
	[PROTOCOL_MAP_CIDS] = "cids",
	[PROTOCOL_MAP_SESSIONS] = "sessions",
	[PROTOCOL_MAP_BACKENDS] = "backends",
	[PROTOCOL_MAP_ENDPOINTS] = "endpoints",
	[PROTOCOL_MAP_RELAY_ADDRESSES] = "relay_addresses",
	[PROTOCOL_MAP_WORKER_COUNTERS] = "worker_counters",
	[PROTOCOL_MAP_KERNEL_COUNTERS] = "kernel_counters",
};

/* --- coming and going ------------------------------------------------------------------------------- */

void control_socket_init(struct control_socket *socket)
{
	*socket = (struct control_socket){ .listen_fd = -1, .peer_fd = -1, .epoll_fd = -1 };
}

static int watch(struct control_socket *control, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(control->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

int control_socket_open(struct control_socket *control, const char *run_dir, const char *instance)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	mode_t mask;
	int bound;

	if (!protocol_socket_path(control->path, sizeof(control->path), run_dir, instance)) {
		control->path[0] = '\0';
		log_errorx("control socket: %s/%s.sock is longer than a socket's path may be", run_dir, instance);
		return -1;
	}
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", control->path);
	unlink(control->path);
	control->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	control->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	mask = umask(0177); /* who may connect may change routes */
	bound = bind(control->listen_fd, (struct sockaddr *)&address, sizeof(address));
	umask(mask);
	if (control->epoll_fd < 0 || bound < 0 || listen(control->listen_fd, 4) < 0 ||
	    watch(control, control->listen_fd) < 0) {
		log_error("control socket %s", control->path);
		return -1;
	}
	return 0;
}

static void peer_close(struct control_socket *control)
{
	if (control->peer_fd < 0)
		return;
	close(control->peer_fd);
	control->peer_fd = -1;
	control->greeted = false;
	control->in_snapshot = false;
}

void control_socket_close(struct control_socket *control)
{
	peer_close(control);
	if (control->listen_fd >= 0)
		close(control->listen_fd);
	if (control->epoll_fd >= 0)
		close(control->epoll_fd);
	if (control->path[0])
		unlink(control->path);
	control_socket_init(control);
}

bool control_socket_connected(const struct control_socket *control)
{
	return control->greeted;
}

/* --- sending ---------------------------------------------------------------------------------------- */

/* What the peer is too slow to take is lost: it is for its log, or it will ask again. */
static int send_message(const struct control_socket *control, const struct protocol_message *message, const int *fds,
			unsigned fd_count)
{
	uint8_t bytes[PROTOCOL_MESSAGE_MAX];
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(PROTOCOL_MAP_COUNT * sizeof(int))];
	} rights = { 0 };
	struct iovec part = { bytes, 0 };
	struct msghdr packet = { .msg_iov = &part, .msg_iovlen = 1 };
	int len = protocol_encode(message, bytes);

	if (len < 0)
		return len;
	part.iov_len = (size_t)len;
	if (fd_count) {
		packet.msg_control = &rights;
		packet.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		rights.header = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
						  .cmsg_len = CMSG_LEN(fd_count * sizeof(int)) };
		memcpy(CMSG_DATA(&rights.header), fds, fd_count * sizeof(int));
	}
	return sendmsg(control->peer_fd, &packet, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static void send_hello(const struct control_socket *control)
{
	struct protocol_message hello = {
		.type = PROTOCOL_HELLO,
		.hello = { PROTOCOL_VERSION, SLUICE_ABI_VERSION },
		.text = SLUICE_VERSION,
	};

	send_message(control, &hello, NULL, 0);
}

static int send_maps(const struct control_socket *control, const struct relay *relay)
{
	const struct protocol_message maps = { .type = PROTOCOL_MAPS, .maps.count = PROTOCOL_MAP_COUNT };
	int fds[PROTOCOL_MAP_COUNT], error = 0;
	unsigned n = 0;

	for (; !error && n < PROTOCOL_MAP_COUNT; n++) {
		fds[n] = dataplane_map_reader(relay->dataplane, map_names[n], n != PROTOCOL_MAP_KERNEL_COUNTERS);
		if (fds[n] < 0) {
			error = fds[n];
			break;
		}
	}
	if (!error)
		error = send_message(control, &maps, fds, n);
	while (n-- > 0)
		close(fds[n]);
	return error;
}

void control_socket_reload(struct control_socket *control)
{
	const struct protocol_message reload = { .type = PROTOCOL_RELOAD };

	if (control->greeted && send_message(control, &reload, NULL, 0) < 0)
		log_warnx("reload: the control process is busy; send it SIGHUP itself");
}

void control_socket_ask(const struct control_socket *control, const struct question *question)
{
	struct protocol_message message = {
		.type = PROTOCOL_ASK,
		.ask = { .id = question->id, .client = question->client, .client_port_be = question->client_port_be },
	};

	if (!control->greeted)
		return;
	snprintf(message.text, sizeof(message.text), "%s", question->route);
	send_message(control, &message, NULL, 0);
}

void control_socket_ask_cid(const struct control_socket *control, const struct cid_question *question)
{
	struct protocol_message message = {
		.type = PROTOCOL_ASK_CID,
		.ask_cid = { .id = question->id, .min_len = question->min_len, .max_len = question->max_len },
	};

	if (!control->greeted)
		return;
	memcpy(message.ask_cid.cid, question->cid, sizeof(message.ask_cid.cid));
	send_message(control, &message, NULL, 0);
}

/* --- receiving -------------------------------------------------------------------------------------- */

/* False: the connection is to end. */
static bool greet(struct control_socket *control, struct relay *relay, struct protocol_message *message)
{
	const struct protocol_hello *hello = &message->hello;
	int error;

	protocol_text_clean(message->text);
	send_hello(control);
	if (hello->protocol_version != PROTOCOL_VERSION || hello->abi_version != SLUICE_ABI_VERSION) {
		log_warnx("control process %s speaks protocol %u, tables %u; this relay %d, %d: not connected", message->text,
			  hello->protocol_version, hello->abi_version, PROTOCOL_VERSION, SLUICE_ABI_VERSION);
		return false;
	}
	error = send_maps(control, relay);
	if (error) {
		errno = -error;
		log_warn("control process: maps");
		return false;
	}
	control->greeted = true;
	log_infox("control process %s connected", message->text);
	return true;
}

static void take_route(struct control_socket *control, struct relay *relay, const struct protocol_message *message)
{
	int error = relay_route_set(relay, message->text, &message->route);
	struct protocol_message refused = { .type = PROTOCOL_ROUTE_REFUSED, .refused.error = -error };

	if (!error)
		return;
	route_remove(&relay->routes, message->text); /* what it led to before is wrong by now */
	memcpy(refused.text, message->text, sizeof(refused.text));
	send_message(control, &refused, NULL, 0);
}

static void end_session(struct relay *relay, const struct protocol_session *wanted)
{
	struct worker_command command = { .type = WORKER_SESSION_END };
	struct session session;

	if (!session_read(&relay->state, wanted->slot, &session) || session.generation != wanted->generation ||
	    session.owner >= relay->worker_count)
		return;
	command.session.slot = wanted->slot;
	command.session.generation = wanted->generation;
	worker_command(&relay->workers[session.owner], &command); /* full: the operator sees it still there */
}

/* A full ring loses it: the worker asks again, and the control process knows the answer then. */
static void take_answer(struct relay *relay, const struct protocol_answer *answer)
{
	struct worker_command command = { .type = WORKER_ANSWER, .answer = { answer->id, SLOT_NONE } };
	uint32_t worker = question_worker(answer->id);

	if (worker >= relay->worker_count)
		return;
	if (!answer->error &&
	    relay_backend(relay, &answer->address, answer->port_be, &command.answer.backend) != 0)
		command.answer.backend = SLOT_NONE;
	worker_command(&relay->workers[worker], &command);
}

/* A full ring loses it: the client's next packet is asked for again. */
static void take_cid_answer(struct relay *relay, const struct protocol_cid_answer *answer)
{
	struct worker_command command = {
		.type = WORKER_CID_ANSWER,
		.cid_answer = { answer->id, { .backend = SLOT_NONE, .route = answer->route, .cid_len = answer->cid_len,
					      .pinned = answer->flags & PROTOCOL_ROUTE_PINNED } },
	};
	uint32_t worker = question_worker(answer->id);

	if (worker >= relay->worker_count)
		return;
	if (!answer->error &&
	    relay_backend(relay, &answer->address, answer->port_be, &command.cid_answer.shared.backend) != 0)
		command.cid_answer.shared.backend = SLOT_NONE;
	worker_command(&relay->workers[worker], &command);
}

static bool take(struct control_socket *control, struct relay *relay, struct protocol_message *message)
{
	if (!control->greeted)
		return message->type == PROTOCOL_HELLO && greet(control, relay, message);
	switch ((enum protocol_type)message->type) {
	case PROTOCOL_ROUTES_BEGIN:
		route_snapshot_begin(&relay->routes);
		control->in_snapshot = true;
		return true;
	case PROTOCOL_ROUTE:
		take_route(control, relay, message);
		return true;
	case PROTOCOL_ROUTES_END:
		if (!control->in_snapshot)
			return false;
		control->in_snapshot = false;
		route_snapshot_end(&relay->routes);
		log_infox("routes of the control process: %zu", relay->routes.count);
		return true;
	case PROTOCOL_ROUTE_GONE:
		route_remove(&relay->routes, message->text);
		return true;
	case PROTOCOL_SESSION_END:
		end_session(relay, &message->session);
		return true;
	case PROTOCOL_RELOAD:
		reload_run(relay);
		return true;
	case PROTOCOL_ANSWER:
		take_answer(relay, &message->answer);
		return true;
	case PROTOCOL_CID_ANSWER:
		take_cid_answer(relay, &message->cid_answer);
		return true;
	case PROTOCOL_HELLO:
	case PROTOCOL_MAPS:
	case PROTOCOL_ROUTE_REFUSED:
	case PROTOCOL_ASK:
	case PROTOCOL_ASK_CID:
	case PROTOCOL_TYPES:
		break;
	}
	return false;
}

static void serve_peer(struct control_socket *control, struct relay *relay)
{
	for (unsigned i = 0; i < MESSAGES_AT_ONCE && control->peer_fd >= 0; i++) {
		uint8_t bytes[PROTOCOL_MESSAGE_MAX + 1];
		struct protocol_message message;
		ssize_t len = recv(control->peer_fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (len < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (len <= 0) {
			if (control->greeted)
				log_infox("control process gone; its routes stay");
			peer_close(control);
		} else if (protocol_decode(bytes, (size_t)len, &message) < 0 || !take(control, relay, &message)) {
			if (control->greeted)
				log_warnx("control process: message that the protocol does not know: disconnected");
			peer_close(control);
		}
	}
}

static void accept_peer(struct control_socket *control, struct relay *relay)
{
	int fd = accept4(control->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	serve_peer(control, relay); /* perhaps it is dead, and this is the next one */
	if (!control->greeted)
		peer_close(control); /* one that says nothing must not keep others out */
	if (control->peer_fd >= 0) {
		log_warnx("control process refused: another one is connected");
		close(fd);
		return;
	}
	control->peer_fd = fd;
	if (watch(control, fd) < 0)
		peer_close(control);
}

void control_socket_serve(struct control_socket *control, struct relay *relay)
{
	struct epoll_event events[2];
	int n = epoll_wait(control->epoll_fd, events, 2, 0);

	for (int i = 0; i < n; i++) {
		if (events[i].data.fd == control->listen_fd)
			accept_peer(control, relay);
		else if (events[i].data.fd == control->peer_fd)
			serve_peer(control, relay);
	}
}
