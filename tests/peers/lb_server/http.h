/* SPDX-License-Identifier: MIT */
/* http: HTTP/3 on one connection, by nghttp3: the files of a directory; and what was posted, as "LENGTH SHA-256". */
#ifndef LB_SERVER_HTTP_H
#define LB_SERVER_HTTP_H

#include <ngtcp2/ngtcp2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http;

/* After the handshake. documents: a directory's descriptor, which stays the caller's. NULL on failure. */
struct http *http_open(ngtcp2_conn *quic, int documents);
void http_free(struct http *http);

/* What ngtcp2 reports; 0 or -1. */
int http_received(struct http *http, int64_t stream, const uint8_t *data, size_t len, bool fin);
int http_acked(struct http *http, int64_t stream, uint64_t len);
int http_stream_closed(struct http *http, int64_t stream, uint64_t error);
int http_stream_reset(struct http *http, int64_t stream);

/* What to send next: pieces of *stream (-1: nothing); their number, or -1. The three below tell what came of it. */
int http_next(struct http *http, int64_t *stream, int *fin, ngtcp2_vec *pieces, size_t max_pieces);
int http_sent(struct http *http, int64_t stream, size_t len);
void http_blocked(struct http *http, int64_t stream);
void http_shut(struct http *http, int64_t stream);
/* The client's flow control lets this stream go on. */
int http_unblocked(struct http *http, int64_t stream);

#endif
