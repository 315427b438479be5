/* SPDX-License-Identifier: MIT */
/* tls_relay: see tls_relay.h. api_tls's thread. */
#include "control/tls_relay.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "control/tls.h"

enum {
	BUFFER_BYTES = 16384,          /* a TLS record's most (RFC 8446 s5.1): less makes two reads of one */
	ROUNDS = 8,                    /* of a buffer each way, until others have their turn */
	MOVED_MIN = 128,               /* bytes in idle_ms: less is a connection that is only held */
};

enum relay_state {
	HANDSHAKING,
	WAITING,                       /* for the client's first byte */
	RELAYING,
	DRAINING,                      /* refused: what the client still sends is thrown away, else a reset would
					  overtake the alert that says why */
};

struct buffer {
	unsigned begin, end;
	char bytes[BUFFER_BYTES];
};

struct tls_relay {
	enum relay_state state;
	SSL *ssl;
	int client, server;
	struct tls_relay_server to;
	struct tls_relay_limits limits;
	uint64_t deadline_ms;
	uint64_t moved;                /* bytes since the deadline was set */
	uint32_t client_wants;         /* events that OpenSSL waits for, beyond what the buffers say */
	bool client_ended, server_ended; /* no more comes from there */
	bool server_told;              /* that the client has ended */
	bool server_deaf;              /* takes nothing any more: what is for it is thrown away */
	bool client_told;
	bool welcomed;
	const char *reason;
	struct buffer up, down;        /* to the server, to the client */
};

/* --- buffers -------------------------------------------------------------------------------------- */

static unsigned buffer_used(const struct buffer *buffer)
{
	return buffer->end - buffer->begin;
}

static bool buffer_has_room(const struct buffer *buffer)
{
	return buffer_used(buffer) < BUFFER_BYTES;
}

/* Where the next bytes go; *len: as many as that. */
static char *buffer_room(struct buffer *buffer, unsigned *len)
{
	if (buffer->begin > 0) {
		memmove(buffer->bytes, buffer->bytes + buffer->begin, buffer_used(buffer));
		buffer->end -= buffer->begin;
		buffer->begin = 0;
	}
	*len = BUFFER_BYTES - buffer->end;
	return buffer->bytes + buffer->end;
}

/* --- the four steps: true if something moved or ended ------------------------------------------------ */

static enum tls_relay_end give_up(struct tls_relay *relay, enum tls_relay_end end, const char *reason)
{
	if (!relay->reason)
		relay->reason = reason;
	return end;
}

/* What an OpenSSL call asks for. False: it failed for good. */
static bool ssl_waits(struct tls_relay *relay, int result)
{
	switch (SSL_get_error(relay->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		relay->client_wants |= EPOLLIN;
		return true;
	case SSL_ERROR_WANT_WRITE:
		relay->client_wants |= EPOLLOUT;
		return true;
	}
	return false;
}

static bool server_connect(struct tls_relay *relay)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(relay->to.port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int on = 1;

	relay->server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (relay->server < 0)
		return false;
	setsockopt(relay->server, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	relay->state = RELAYING;
	return connect(relay->server, (struct sockaddr *)&address, sizeof(address)) == 0 || errno == EINPROGRESS;
}

static bool client_read(struct tls_relay *relay, enum tls_relay_end *end)
{
	unsigned len;
	char *room;
	int n;

	if (relay->client_ended || !buffer_has_room(&relay->up))
		return false;
	room = buffer_room(&relay->up, &len);
	ERR_clear_error();
	n = SSL_read(relay->ssl, room, (int)len);
	if (n <= 0 && SSL_get_error(relay->ssl, n) == SSL_ERROR_ZERO_RETURN) {
		relay->client_ended = true;
		if (relay->state == WAITING)
			*end = TLS_RELAY_DONE;
		return true;
	}
	if (n <= 0) {
		if (!ssl_waits(relay, n))
			*end = relay->client_told ? TLS_RELAY_DONE :
						    give_up(relay, TLS_RELAY_BROKEN, "the client's stream was cut");
		return false;
	}
	relay->up.end += (unsigned)n;
	relay->moved += (unsigned)n;
	if (relay->state == WAITING && !server_connect(relay))
		*end = give_up(relay, TLS_RELAY_BROKEN, "no connection to the API");
	return true;
}

static bool server_write(struct tls_relay *relay)
{
	struct buffer *up = &relay->up;
	ssize_t n;

	if (relay->server < 0)
		return false;
	if (buffer_used(up) == 0) {
		if (!relay->client_ended || relay->server_told)
			return false;
		shutdown(relay->server, SHUT_WR);
		relay->server_told = true;
		return true;
	}
	n = relay->server_deaf ? (ssize_t)buffer_used(up) :
				 send(relay->server, up->bytes + up->begin, buffer_used(up), MSG_NOSIGNAL);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n < 0) {
		relay->server_deaf = true; /* what it has said before that is still read */
		return true;
	}
	up->begin += (unsigned)n;
	return true;
}

static bool server_read(struct tls_relay *relay, enum tls_relay_end *end)
{
	const unsigned welcome_len = (unsigned)strlen(relay->to.welcome);
	struct buffer *down = &relay->down;
	unsigned len;
	char *room;
	ssize_t n;

	if (relay->server < 0 || relay->server_ended || !buffer_has_room(down))
		return false;
	room = buffer_room(down, &len);
	n = recv(relay->server, room, len, 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (n > 0) {
		down->end += (unsigned)n;
		relay->moved += (unsigned)n;
	} else {
		/* A reset too: it has closed with bytes of the client unread, as after an error; all came before. */
		relay->server_ended = true;
	}
	if (!relay->welcomed && buffer_used(down) >= welcome_len) {
		relay->welcomed = memcmp(down->bytes + down->begin, relay->to.welcome, welcome_len) == 0;
		down->begin += welcome_len;
	}
	if (!relay->welcomed && (relay->server_ended || down->begin > 0))
		*end = give_up(relay, TLS_RELAY_BROKEN, "the API does not answer");
	return true;
}

/* True: close_notify is out, or cannot be. */
static bool client_tell_end(struct tls_relay *relay)
{
	int result;

	ERR_clear_error();
	result = SSL_shutdown(relay->ssl);
	if (result < 0 && ssl_waits(relay, result))
		return false;
	shutdown(relay->client, SHUT_WR);
	relay->client_told = true;
	return true;
}

static bool client_write(struct tls_relay *relay, uint64_t now_ms, enum tls_relay_end *end)
{
	struct buffer *down = &relay->down;
	int n;

	if (!relay->welcomed || relay->client_told)
		return false;
	if (buffer_used(down) == 0) {
		if (!relay->server_ended || !client_tell_end(relay))
			return false;
		relay->deadline_ms = now_ms + relay->limits.linger_ms;
		return true;
	}
	ERR_clear_error();
	n = SSL_write(relay->ssl, down->bytes + down->begin, (int)buffer_used(down));
	if (n > 0) {
		down->begin += (unsigned)n;
		relay->moved += (unsigned)n;
		return true;
	}
	if (!ssl_waits(relay, n))
		*end = give_up(relay, TLS_RELAY_BROKEN, "the client is gone");
	return false;
}

/* --- a connection's life -------------------------------------------------------------------------- */

struct tls_relay *tls_relay_new(struct ssl_ctx_st *context, int fd, const struct tls_relay_server *server,
				const struct tls_relay_limits *limits, const char *greeting, uint64_t now_ms)
{
	struct tls_relay *relay = malloc(sizeof(*relay));
	size_t greeting_len = strnlen(greeting, TLS_RELAY_GREETING_BYTES);

	if (!relay)
		return NULL;
	memset(relay, 0, offsetof(struct tls_relay, up)); /* buffers as they are filled */
	relay->up.begin = relay->down.begin = relay->down.end = 0;
	relay->up.end = (unsigned)greeting_len;
	memcpy(relay->up.bytes, greeting, greeting_len);
	relay->server = -1;
	relay->to = *server;
	relay->limits = *limits;
	relay->deadline_ms = now_ms + limits->handshake_ms;
	relay->client_wants = EPOLLIN;
	ERR_clear_error();
	relay->ssl = SSL_new(context);
	if (!relay->ssl || !SSL_set_fd(relay->ssl, fd)) {
		SSL_free(relay->ssl);
		free(relay);
		return NULL;
	}
	SSL_set_accept_state(relay->ssl);
	relay->client = fd;
	return relay;
}

void tls_relay_free(struct tls_relay *relay)
{
	if (!relay)
		return;
	SSL_free(relay->ssl);
	ERR_clear_error();
	close(relay->client);
	if (relay->server >= 0)
		close(relay->server);
	free(relay);
}

static void handshake(struct tls_relay *relay, uint64_t now_ms)
{
	long verified;
	int result;

	ERR_clear_error();
	result = SSL_do_handshake(relay->ssl);
	if (result == 1) {
		relay->state = WAITING;
		relay->deadline_ms = now_ms + relay->limits.handshake_ms;
		return;
	}
	if (ssl_waits(relay, result))
		return;
	verified = SSL_get_verify_result(relay->ssl);
	if (verified != X509_V_OK)
		relay->reason = X509_verify_cert_error_string(verified);
	else if (ERR_peek_last_error())
		relay->reason = tls_openssl_error();
	else
		relay->reason = "the connection ended";
	shutdown(relay->client, SHUT_WR);
	relay->state = DRAINING;
	relay->deadline_ms = now_ms + relay->limits.linger_ms;
}

static enum tls_relay_end drain(struct tls_relay *relay)
{
	char *rubbish = relay->up.bytes; /* nothing else will use it */
	ssize_t n = 1;

	for (unsigned i = 0; i < ROUNDS && n > 0; i++)
		n = recv(relay->client, rubbish, BUFFER_BYTES, 0);
	return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)) ? TLS_RELAY_GOES_ON : TLS_RELAY_HANDSHAKE_FAILED;
}

static enum tls_relay_end deadline_passed(struct tls_relay *relay, uint64_t now_ms)
{
	switch (relay->state) {
	case HANDSHAKING:
		return give_up(relay, TLS_RELAY_TIMED_OUT, "handshake not finished in time");
	case WAITING:
		return give_up(relay, TLS_RELAY_TIMED_OUT, "no request in time");
	case DRAINING:
		return TLS_RELAY_HANDSHAKE_FAILED;
	case RELAYING:
		break;
	}
	if (relay->client_told)
		return TLS_RELAY_DONE;
	if (relay->moved < MOVED_MIN)
		return give_up(relay, TLS_RELAY_TIMED_OUT, "idle");
	relay->moved = 0;
	relay->deadline_ms = now_ms + relay->limits.idle_ms;
	return TLS_RELAY_GOES_ON;
}

enum tls_relay_end tls_relay_serve(struct tls_relay *relay, uint64_t now_ms)
{
	enum tls_relay_end end = now_ms < relay->deadline_ms ? TLS_RELAY_GOES_ON : deadline_passed(relay, now_ms);
	bool was_waiting;

	relay->client_wants = 0;
	if (end == TLS_RELAY_GOES_ON && relay->state == HANDSHAKING)
		handshake(relay, now_ms);
	if (end == TLS_RELAY_GOES_ON && relay->state == DRAINING)
		return drain(relay);
	if (relay->state == HANDSHAKING)
		return end;
	was_waiting = relay->state == WAITING;
	for (unsigned i = 0; i < ROUNDS && end == TLS_RELAY_GOES_ON; i++) {
		bool moved = client_read(relay, &end);

		moved |= end == TLS_RELAY_GOES_ON && server_write(relay);
		moved |= end == TLS_RELAY_GOES_ON && server_read(relay, &end);
		moved |= end == TLS_RELAY_GOES_ON && client_write(relay, now_ms, &end);
		if (!moved)
			break;
	}
	if (end == TLS_RELAY_GOES_ON && relay->client_told && relay->client_ended &&
	    (relay->server_told || relay->server_deaf))
		return TLS_RELAY_DONE;
	if (was_waiting && relay->state == RELAYING && !relay->client_told)
		relay->deadline_ms = now_ms + relay->limits.idle_ms;
	return end;
}

/* --- waiting --------------------------------------------------------------------------------------- */

int tls_relay_fd(const struct tls_relay *relay, enum tls_relay_side side)
{
	return side == TLS_RELAY_CLIENT ? relay->client : relay->server;
}

static uint32_t client_events(const struct tls_relay *relay)
{
	uint32_t events = relay->client_wants;

	if (relay->state == DRAINING)
		return EPOLLIN;
	if (relay->state == HANDSHAKING)
		return events;
	/* Without room for more, what SSL_read asked for before is no reason to wake. */
	if (!buffer_has_room(&relay->up))
		events &= ~(uint32_t)EPOLLIN;
	else if (!relay->client_ended)
		events |= EPOLLIN;
	if (relay->welcomed && !relay->client_told && (buffer_used(&relay->down) > 0 || relay->server_ended))
		events |= EPOLLOUT;
	return events;
}

static uint32_t server_events(const struct tls_relay *relay)
{
	uint32_t events = 0;

	if (relay->server < 0)
		return 0;
	if (!relay->server_ended && buffer_has_room(&relay->down))
		events |= EPOLLIN;
	/* Bytes that OpenSSL has deciphered already make no fd readable: when the server takes more, they go on. */
	if ((buffer_used(&relay->up) > 0 || SSL_pending(relay->ssl) > 0) && !relay->server_deaf)
		events |= EPOLLOUT;
	return events;
}

uint32_t tls_relay_events(const struct tls_relay *relay, enum tls_relay_side side)
{
	return side == TLS_RELAY_CLIENT ? client_events(relay) : server_events(relay);
}

uint64_t tls_relay_deadline_ms(const struct tls_relay *relay)
{
	return relay->deadline_ms;
}

const char *tls_relay_reason(const struct tls_relay *relay)
{
	return relay->reason ? relay->reason : "";
}
