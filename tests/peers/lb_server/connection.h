/* SPDX-License-Identifier: MIT */
/* connection: one QUIC connection, by ngtcp2 and GnuTLS, with HTTP/3 on it. */
#ifndef LB_SERVER_CONNECTION_H
#define LB_SERVER_CONNECTION_H

#include "server.h"

/* A connection for a client's first Initial, or NULL. It is in the server's list and index, and knows nothing of the
 * datagram yet. */
struct connection *connection_open(struct server *server, const ngtcp2_path *path, const ngtcp2_pkt_hd *initial);

/* A datagram of this connection; connection_run sends what it gives rise to. */
void connection_receive(struct connection *connection, const ngtcp2_path *path, const uint8_t *datagram, size_t len);

/* Handles timers and sends. Returns when it wants to run next; 0: it has ended and is freed. */
ngtcp2_tstamp connection_run(struct connection *connection);

/* Says goodbye to the client and frees it. */
void connection_close(struct connection *connection);

struct connection *connection_next(const struct connection *connection);

#endif
