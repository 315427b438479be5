/* SPDX-License-Identifier: MIT */
/*
 * redis_connection: one connection to a Redis server: commands out, replies in,
 * over tls.h. Owned by one thread, never blocks. What the server sends is
 * bounded by redis_reply.h, what waits to be sent by the caller, who asks
 * redis_connection_unsent.
 */
#ifndef SLUICE_REDIS_CONNECTION_H
#define SLUICE_REDIS_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/redis_reply.h"
#include "control/tls.h"

struct redis_connection {
	struct tls *tls;               /* NULL: closed */
	struct redis_reader *reader;
	int epoll_fd;
	int watched_fd;                /* what epoll_fd knows of us; -1: nothing */
	uint32_t watched_events;
	bool open;
	char *out;
	size_t out_len, out_sent, out_size;
	char error[TLS_ERROR_BYTES];   /* why it failed */
};

/* Begins to connect. epoll_fd will be readable when redis_connection_step is due. 0 or -ENOMEM. */
int redis_connection_open(struct redis_connection *connection, struct tls_context *context, const char *host,
			  uint16_t port, int epoll_fd);
void redis_connection_close(struct redis_connection *connection);

/* Connects, or sends what is unsent. 0; or failed for good, and error says why. */
int redis_connection_step(struct redis_connection *connection);

/* -1, or when to step even so. */
int redis_connection_timeout_ms(const struct redis_connection *connection);

/* Queues a command of argc words. 0 or -ENOMEM. */
int redis_connection_command(struct redis_connection *connection, int argc, const char *const argv[]);
size_t redis_connection_unsent(const struct redis_connection *connection);

/*
 * The next reply, the caller's to free. 0: *reply, or NULL: none before more
 * arrives. Otherwise it failed for good. What the caller stops reading early
 * must be asked for again: epoll does not tell of bytes that OpenSSL holds.
 */
int redis_connection_reply(struct redis_connection *connection, struct redis_reply **reply);

/* What epoll should wait for from now on; to be called before the caller waits. */
void redis_connection_watch(struct redis_connection *connection);

#endif
