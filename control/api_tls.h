/* SPDX-License-Identifier: MIT */
/*
 * api_tls: TLS before the REST API. Debian 12's civetweb cannot load OpenSSL 3
 * and has no Unix sockets, so it listens on a port of its own choice on
 * 127.0.0.1, and this front, one thread, accepts, handshakes and relays
 * (tls_relay).
 *
 * Whoever is on this machine can connect to that port too, but to no avail:
 * each connection must begin with a request that shows a secret drawn at
 * start, and names the client's address; civetweb's side (api.c) remembers
 * both for that connection alone. A client's own bytes come behind it, so it
 * can say neither. Files are read again when they change; connections that
 * exist go on with what they have.
 */
#ifndef SLUICE_API_TLS_H
#define SLUICE_API_TLS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "control/config.h"
#include "control/tls_relay.h"

#define API_TLS_SECRET_HEADER "Sluice-Secret"
#define API_TLS_PEER_HEADER "Sluice-Peer"
#define API_TLS_WELCOME "HTTP/1.1 204 No Content\r\n\r\n"

enum { API_TLS_ADDRESSES_MAX = 2 };

struct api_tls_options {
	const struct config_api_tls *files;    /* borrowed until api_tls_stop */
	struct addr addresses[API_TLS_ADDRESSES_MAX]; /* those after the first may not exist here */
	unsigned address_count;                /* 0: every address, IPv4 and IPv6 */
	uint16_t port;                         /* 0: any, for tests */
	unsigned connections_max;              /* 0: 256; more are closed at once */
	struct tls_relay_limits limits;        /* 0: the defaults */
};

struct api_tls_stats {
	_Atomic uint64_t open;                 /* now */
	_Atomic uint64_t accepted, full, handshake_failed, timed_out, broken;
};

struct api_tls;

/* Reads the files and listens; nothing is accepted yet. NULL after a line in the log. */
struct api_tls *api_tls_new(const struct api_tls_options *options);

/* Accepts, for the server at that port of 127.0.0.1. 0 or -errno. */
int api_tls_start(struct api_tls *front, uint16_t server_port);

/* Closes every connection. NULL is allowed. */
void api_tls_stop(struct api_tls *front);

/* Soon reads its files again, changed or not. Any thread. */
void api_tls_reload(struct api_tls *front);

/* The header's value is this front's secret; in constant time. Any thread. */
bool api_tls_is_secret(const struct api_tls *front, const char *value);

const struct api_tls_stats *api_tls_stats(const struct api_tls *front);
uint16_t api_tls_port(const struct api_tls *front);

#endif
