/* SPDX-License-Identifier: MIT */
/*
 * control_socket: the relay's side of the control protocol (control/protocol.h):
 * one control process at a time, on the steward's epoll. Its coming and going
 * changes nothing for any packet. Steward thread. The peer is root's, but its
 * lengths, types and order are checked as if it were not.
 */
#ifndef SLUICE_CONTROL_SOCKET_H
#define SLUICE_CONTROL_SOCKET_H

#include <stdbool.h>

struct relay;
struct question;
struct cid_question;
struct protocol_message;

struct control_socket {
	int listen_fd, peer_fd;
	int epoll_fd;                    /* of both: readable when control_socket_serve has work */
	bool greeted;                    /* the peer's HELLO was right */
	bool in_snapshot;
	char path[108];
};

void control_socket_init(struct control_socket *socket);

/* 0, or -1 after a line in the log. Only while the instance's lock is held: it takes over what a dead relay left. */
int control_socket_open(struct control_socket *socket, const char *run_dir, const char *instance);
void control_socket_close(struct control_socket *socket);

/* A bounded number of messages; called again while there are more. */
void control_socket_serve(struct control_socket *socket, struct relay *relay);

bool control_socket_connected(const struct control_socket *socket);

/* Asks for a client's backend; lost without a control process, or one that is busy: workers ask again. */
void control_socket_ask(const struct control_socket *socket, const struct question *question);

/* Asks whose connection ID it is; lost likewise. */
void control_socket_ask_cid(const struct control_socket *socket, const struct cid_question *question);

/* The relay was told to read its configuration again: so should the control process. */
void control_socket_reload(struct control_socket *socket);

#endif
