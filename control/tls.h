/* SPDX-License-Identifier: MIT */
/*
 * tls: contexts of TLS; and a client's connection to HOST:PORT or a Unix socket, with TLS (OpenSSL)
 * or without. Nothing here blocks: names are resolved by glibc's
 * getaddrinfo_a, all else is driven by tls_step, tls_read and tls_write. One
 * thread at a time per connection; a context may be shared. The peer is
 * trusted with nothing before its certificate and name are verified. The
 * program must ignore SIGPIPE.
 *
 *     connection = tls_open(context, "redis.example.com", 6379);
 *     while ((error = tls_step(connection)) == -EAGAIN)
 *             wait for tls_events on tls_fd, or tls_timeout_ms     (or just tls_wait)
 *     then tls_write, tls_read; after -EAGAIN of either wait in the same way
 */
#ifndef SLUICE_TLS_H
#define SLUICE_TLS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { TLS_ERROR_BYTES = 256 };

struct tls_options {
	const char *ca_file;           /* PEM; NULL or "": the system's store */
	const char *cert_file;         /* PEM chain of ours; NULL or "": none is shown */
	const char *key_file;          /* PEM; NULL or "": in cert_file */
};

struct tls_context;
struct tls;

/* NULL: error says which file is wrong and how. TLS 1.2 and later; the peer is always verified. */
struct tls_context *tls_context_new(const struct tls_options *options, char error[static TLS_ERROR_BYTES]);
void tls_context_free(struct tls_context *context);

/*
 * For a server: cert_file and key_file are its own; with ca_file, clients must
 * show a certificate that it has signed. Nothing is resumed, so every
 * connection is judged by the files of its own time. HTTP/1.1 is what it
 * speaks (ALPN).
 */
struct tls_context *tls_context_new_server(const struct tls_options *options, char error[static TLS_ERROR_BYTES]);

/* For who drives OpenSSL itself (tls_relay): the context's own, and what went wrong in this thread, then forgotten. */
struct ssl_ctx_st *tls_context_ssl(struct tls_context *context);
const char *tls_openssl_error(void);

/*
 * Begins. context NULL: without TLS; otherwise it must outlive the connection.
 * host: a name, an IP address (without brackets), or the path of a Unix socket
 * ("/..."; the certificate is then checked for "localhost"). All addresses of a
 * name are tried in turn. NULL: no memory.
 */
struct tls *tls_open(struct tls_context *context, const char *host, uint16_t port);

/* Closes at once, from any state; TLS says goodbye if the socket takes it. */
void tls_close(struct tls *tls);

/*
 * Goes on with resolving, connecting, handshaking. 0: connected and verified;
 * -EAGAIN: wait; other: it failed for good, tls_error says why. A time limit is
 * the caller's.
 */
int tls_step(struct tls *tls);

/*
 * What to wait for. The fd is -1 while a name is resolved, and may change with
 * every tls_step (never to a number that epoll has just forgotten: the next
 * socket is opened before the last is closed). events: EPOLLIN, EPOLLOUT,
 * which are POLLIN, POLLOUT. timeout: -1, or call tls_step after so long.
 */
int tls_fd(const struct tls *tls);
uint32_t tls_events(const struct tls *tls);
int tls_timeout_ms(const struct tls *tls);

/* For threads that may block: waits for the above, timeout_ms at most. 0: go on; -ETIMEDOUT. */
int tls_wait(const struct tls *tls, int timeout_ms);

/*
 * After tls_step's 0. Bytes moved; 0 from tls_read: the peer has ended;
 * -EAGAIN: tls_events was set; other: broken, tls_error says why. Read until
 * -EAGAIN (bytes that OpenSSL holds do not make the fd readable), and only then
 * write: the last -EAGAIN is what tls_events tells.
 */
ssize_t tls_read(struct tls *tls, void *bytes, size_t len);
ssize_t tls_write(struct tls *tls, const void *bytes, size_t len);

/* Why it failed, for a log: printable; "" if it did not. */
const char *tls_error(const struct tls *tls);

#endif
