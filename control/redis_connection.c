/* SPDX-License-Identifier: MIT */
/* redis_connection: see redis_connection.h. */
#include "control/redis_connection.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include <hiredis.h>

/* hiredis looks at a line that has not ended from its start each time more arrives: not too little at once. */
enum { READ_BYTES = 65536 };

int redis_connection_open(struct redis_connection *connection, struct tls_context *context, const char *host,
			  uint16_t port, int epoll_fd)
{
	memset(connection, 0, sizeof(*connection));
	connection->epoll_fd = epoll_fd;
	connection->watched_fd = -1;
	connection->reader = redis_reader_new();
	connection->tls = tls_open(context, host, port);
	if (connection->reader && connection->tls)
		return 0;
	redis_connection_close(connection);
	snprintf(connection->error, sizeof(connection->error), "no memory");
	return -ENOMEM;
}

void redis_connection_close(struct redis_connection *connection)
{
	/* Closing the socket takes it out of epoll. */
	tls_close(connection->tls);
	redis_reader_free(connection->reader);
	free(connection->out);
	memset(connection, 0, sizeof(*connection));
	connection->watched_fd = -1;
}

static int broken(struct redis_connection *connection, int error, const char *why)
{
	snprintf(connection->error, sizeof(connection->error), "%s", why);
	return error;
}

static int send_out(struct redis_connection *connection)
{
	while (connection->out_sent < connection->out_len) {
		ssize_t sent = tls_write(connection->tls, connection->out + connection->out_sent,
					 connection->out_len - connection->out_sent);

		if (sent == -EAGAIN)
			return 0;
		if (sent < 0)
			return broken(connection, (int)sent, tls_error(connection->tls));
		connection->out_sent += (size_t)sent;
	}
	connection->out_len = 0;
	connection->out_sent = 0;
	return 0;
}

int redis_connection_step(struct redis_connection *connection)
{
	int error;

	if (!connection->open) {
		error = tls_step(connection->tls);
		if (error == -EAGAIN)
			return 0;
		if (error)
			return broken(connection, error, tls_error(connection->tls));
		connection->open = true;
	}
	return send_out(connection);
}

int redis_connection_timeout_ms(const struct redis_connection *connection)
{
	return connection->tls ? tls_timeout_ms(connection->tls) : -1;
}

size_t redis_connection_unsent(const struct redis_connection *connection)
{
	return connection->out_len - connection->out_sent;
}

static int out_reserve(struct redis_connection *connection, size_t len)
{
	size_t size = connection->out_size ? connection->out_size : 4096;
	char *grown;

	if (connection->out_sent) {
		connection->out_len -= connection->out_sent;
		memmove(connection->out, connection->out + connection->out_sent, connection->out_len);
		connection->out_sent = 0;
	}
	while (size - connection->out_len < len)
		size *= 2;
	if (size == connection->out_size)
		return 0;
	grown = realloc(connection->out, size);
	if (!grown)
		return -ENOMEM;
	connection->out = grown;
	connection->out_size = size;
	return 0;
}

int redis_connection_command(struct redis_connection *connection, int argc, const char *const argv[])
{
	char *command = NULL;
	/* hiredis does not write to the words; its prototype only cannot say so. */
	int len = redisFormatCommandArgv(&command, argc, (const char **)(uintptr_t)argv, NULL);
	int error;

	if (len < 0)
		return broken(connection, -ENOMEM, "no memory");
	error = out_reserve(connection, (size_t)len);
	if (!error) {
		memcpy(connection->out + connection->out_len, command, (size_t)len);
		connection->out_len += (size_t)len;
	} else {
		broken(connection, error, "no memory");
	}
	redisFreeCommand(command);
	return error;
}

int redis_connection_reply(struct redis_connection *connection, struct redis_reply **reply)
{
	char bytes[READ_BYTES];
	ssize_t got;
	int error;

	for (;;) {
		error = redis_reader_next(connection->reader, reply);
		if (error)
			return broken(connection, error, redis_reader_error(connection->reader));
		if (*reply || !connection->open)
			return 0;
		got = tls_read(connection->tls, bytes, sizeof(bytes));
		if (got == -EAGAIN)
			return 0;
		if (got == 0)
			return broken(connection, -ECONNRESET, "the server ended the connection");
		if (got < 0)
			return broken(connection, (int)got, tls_error(connection->tls));
		error = redis_reader_feed(connection->reader, bytes, (size_t)got);
		if (error)
			return broken(connection, error, redis_reader_error(connection->reader));
	}
}

void redis_connection_watch(struct redis_connection *connection)
{
	struct epoll_event event;
	int fd;

	if (!connection->tls)
		return;
	fd = tls_fd(connection->tls);
	event = (struct epoll_event){ .events = tls_events(connection->tls), .data.fd = fd };
	if (fd < 0)
		return;
	/* While addresses are tried, a number may come back that is another socket, new to epoll. */
	if (connection->open && fd == connection->watched_fd && event.events == connection->watched_events)
		return;
	if (epoll_ctl(connection->epoll_fd, EPOLL_CTL_MOD, fd, &event) && errno == ENOENT)
		epoll_ctl(connection->epoll_fd, EPOLL_CTL_ADD, fd, &event);
	connection->watched_fd = fd;
	connection->watched_events = event.events;
}
