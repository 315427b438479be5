/* SPDX-License-Identifier: MIT */
/*
 * tls_relay: one client's connection that is TLS on its side and plain TCP on
 * the other: handshake, then bytes both ways, never more than a buffer of each
 * way held. One thread at a time. The client is hostile; the server behind is
 * our own, on 127.0.0.1.
 *
 *      client <--- TLS ---> tls_relay <--- TCP on loopback ---> server
 *
 * The server is connected to when the client's first byte is there, and is
 * first told `greeting`, to which it must answer exactly `welcome`; neither is
 * seen by the client. An end of either side (close_notify, FIN) is passed on
 * as such, and the other direction goes on. A stream of the client's that ends
 * without close_notify was cut, and so is the connection.
 */
#ifndef SLUICE_TLS_RELAY_H
#define SLUICE_TLS_RELAY_H

#include <netinet/in.h>
#include <stdint.h>

enum { TLS_RELAY_GREETING_BYTES = 256 };

struct tls_relay_limits {
	unsigned handshake_ms;         /* for the handshake, and again for the first byte */
	unsigned idle_ms;              /* in each such time some bytes must move: half of an answer's header */
	unsigned linger_ms;            /* for the client to end, once the server has */
};

struct tls_relay_server {
	uint16_t port;                 /* on 127.0.0.1 */
	const char *welcome;           /* static */
};

enum tls_relay_end {
	TLS_RELAY_GOES_ON,
	TLS_RELAY_DONE,
	TLS_RELAY_HANDSHAKE_FAILED,
	TLS_RELAY_BROKEN,
	TLS_RELAY_TIMED_OUT,
};

enum tls_relay_side { TLS_RELAY_CLIENT, TLS_RELAY_SERVER, TLS_RELAY_SIDES };

struct ssl_ctx_st;
struct tls_relay;

/* Takes over fd, a non-blocking socket, if it succeeds. NULL: no memory. */
struct tls_relay *tls_relay_new(struct ssl_ctx_st *context, int fd, const struct tls_relay_server *server,
				const struct tls_relay_limits *limits, const char *greeting, uint64_t now_ms);
void tls_relay_free(struct tls_relay *relay);

/* After an event of either side, or when the deadline has passed. Moves a bounded number of bytes. */
enum tls_relay_end tls_relay_serve(struct tls_relay *relay, uint64_t now_ms);

/* What to wait for, level-triggered: the fd is -1 as long as there is none; events: EPOLLIN, EPOLLOUT, or 0. */
int tls_relay_fd(const struct tls_relay *relay, enum tls_relay_side side);
uint32_t tls_relay_events(const struct tls_relay *relay, enum tls_relay_side side);
uint64_t tls_relay_deadline_ms(const struct tls_relay *relay);

/* Why it ended so; static or OpenSSL's. */
const char *tls_relay_reason(const struct tls_relay *relay);

#endif
