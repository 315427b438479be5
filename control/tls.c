/* SPDX-License-Identifier: MIT */
/* tls: see tls.h. Whoever owns the connection runs it; what comes from the peer is OpenSSL's to judge. */
#include "control/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "control/tls_resolve.h"

enum { HOST_BYTES = 256 };

enum tls_state { RESOLVING, CONNECTING, HANDSHAKING, OPEN, FAILED };

struct tls_context {
	SSL_CTX *ssl;
};

struct tls {
	enum tls_state state;
	struct tls_context *context;
	char host[HOST_BYTES];
	uint16_t port;
	struct tls_resolve *resolve;
	const struct addrinfo *address; /* the one in use, of resolve's; NULL: a Unix socket */
	int fd;
	uint32_t events;
	SSL *ssl;
	char error[TLS_ERROR_BYTES];
};

/* --- context ------------------------------------------------------------------------------------ */

const char *tls_openssl_error(void)
{
	unsigned long code = ERR_peek_error(); /* the first: those after it only pass it on */
	const char *text = ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : ERR_reason_error_string(code);

	ERR_clear_error();
	return text ? text : "unknown error";
}

/* Nobody is there to type one: an encrypted key is an error. */
static int no_password(char *password, int size, int writing, void *unused)
{
	(void)password;
	(void)size;
	(void)writing;
	(void)unused;
	return 0;
}

static struct tls_context *context_new(const SSL_METHOD *method, char error[static TLS_ERROR_BYTES])
{
	struct tls_context *context = calloc(1, sizeof(*context));

	error[0] = '\0';
	ERR_clear_error();
	if (context)
		context->ssl = SSL_CTX_new(method);
	if (!context || !context->ssl) {
		snprintf(error, TLS_ERROR_BYTES, "no memory");
		free(context);
		return NULL;
	}
	SSL_CTX_set_min_proto_version(context->ssl, TLS1_2_VERSION);
	/* A write that is tried again may come from another place, and goes as far as the socket takes it. */
	SSL_CTX_set_mode(context->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_default_passwd_cb(context->ssl, no_password);
	return context;
}

static bool certificate_load(struct tls_context *context, const char *cert, const char *key,
			     char error[static TLS_ERROR_BYTES])
{
	if (SSL_CTX_use_certificate_chain_file(context->ssl, cert) != 1) {
		snprintf(error, TLS_ERROR_BYTES, "certificate %.150s: %.80s", cert, tls_openssl_error());
		return false;
	}
	/* The second finds a key of another kind than the certificate's, which the first does not. */
	if (SSL_CTX_use_PrivateKey_file(context->ssl, key, SSL_FILETYPE_PEM) != 1 ||
	    SSL_CTX_check_private_key(context->ssl) != 1) {
		snprintf(error, TLS_ERROR_BYTES, "key %.150s: %.80s", key, tls_openssl_error());
		return false;
	}
	return true;
}

static bool ca_load(struct tls_context *context, const char *ca, char error[static TLS_ERROR_BYTES])
{
	if (ca ? SSL_CTX_load_verify_locations(context->ssl, ca, NULL) :
		 SSL_CTX_set_default_verify_paths(context->ssl))
		return true;
	snprintf(error, TLS_ERROR_BYTES, "CA file %.150s: %.80s", ca ? ca : "of the system", tls_openssl_error());
	return false;
}

struct tls_context *tls_context_new(const struct tls_options *options, char error[static TLS_ERROR_BYTES])
{
	const char *ca = options->ca_file && options->ca_file[0] ? options->ca_file : NULL;
	const char *cert = options->cert_file && options->cert_file[0] ? options->cert_file : NULL;
	const char *key = options->key_file && options->key_file[0] ? options->key_file : cert;
	struct tls_context *context = context_new(TLS_client_method(), error);

	if (!context)
		return NULL;
	SSL_CTX_set_verify(context->ssl, SSL_VERIFY_PEER, NULL);
	if (ca_load(context, ca, error) && (!cert || certificate_load(context, cert, key, error)))
		return context;
	tls_context_free(context);
	return NULL;
}

/* RFC 7301 s3.2: who offers names must be told one of them. */
static int alpn_choose(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_len, const unsigned char *offered,
		       unsigned offered_len, void *unused)
{
	static const unsigned char ours[] = "\x08http/1.1";
	unsigned char *match;

	(void)ssl;
	(void)unused;
	if (SSL_select_next_proto(&match, chosen_len, ours, sizeof(ours) - 1, offered, offered_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*chosen = match;
	return SSL_TLSEXT_ERR_OK;
}

struct tls_context *tls_context_new_server(const struct tls_options *options, char error[static TLS_ERROR_BYTES])
{
	const char *ca = options->ca_file && options->ca_file[0] ? options->ca_file : NULL;
	struct tls_context *context = context_new(TLS_server_method(), error);

	if (!context)
		return NULL;
	SSL_CTX_set_options(context->ssl, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_num_tickets(context->ssl, 0);
	SSL_CTX_set_session_cache_mode(context->ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_alpn_select_cb(context->ssl, alpn_choose, NULL);
	if (!certificate_load(context, options->cert_file, options->key_file, error) ||
	    (ca && !ca_load(context, ca, error)))
		goto err;
	if (ca) {
		SSL_CTX_set_verify(context->ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
		SSL_CTX_set_client_CA_list(context->ssl, SSL_load_client_CA_file(ca));
	}
	return context;
err:
	tls_context_free(context);
	return NULL;
}

struct ssl_ctx_st *tls_context_ssl(struct tls_context *context)
{
	return context->ssl;
}

void tls_context_free(struct tls_context *context)
{
	if (!context)
		return;
	SSL_CTX_free(context->ssl);
	free(context);
}

/* --- connecting --------------------------------------------------------------------------------- */

/* Keeps the first reason; the connection is over. */
static int fail(struct tls *tls, int error, const char *format, ...) __attribute__((format(printf, 3, 4)));

static int fail(struct tls *tls, int error, const char *format, ...)
{
	va_list args;

	if (!tls->error[0]) {
		va_start(args, format);
		vsnprintf(tls->error, sizeof(tls->error), format, args);
		va_end(args);
	}
	tls->state = FAILED;
	return error;
}

struct tls *tls_open(struct tls_context *context, const char *host, uint16_t port)
{
	struct tls *tls = calloc(1, sizeof(*tls));

	if (!tls)
		return NULL;
	tls->context = context;
	tls->port = port;
	tls->fd = -1;
	if (strlen(host) >= sizeof(tls->host))
		fail(tls, -EINVAL, "host name too long");
	else
		memcpy(tls->host, host, strlen(host) + 1);
	return tls;
}

void tls_close(struct tls *tls)
{
	if (!tls)
		return;
	if (tls->ssl && tls->state == OPEN)
		SSL_shutdown(tls->ssl);
	SSL_free(tls->ssl);
	ERR_clear_error();
	if (tls->fd >= 0)
		close(tls->fd);
	tls_resolve_free(tls->resolve);
	free(tls);
}

/* A socket on its way to that address, in place of the last one. 0 or -errno. */
static int connect_to(struct tls *tls, const struct sockaddr *address, socklen_t len)
{
	int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1, error = 0;

	if (fd < 0)
		return -errno;
	if (address->sa_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	/* EAGAIN of a Unix socket: the listener's queue is full; nothing would ever wake us. */
	if (connect(fd, address, len) && errno != EINPROGRESS)
		error = -errno;
	if (tls->fd >= 0)
		close(tls->fd);
	tls->fd = fd;
	tls->state = CONNECTING;
	tls->events = EPOLLOUT;
	return error;
}

static int connect_unix(struct tls *tls)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (strlen(tls->host) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, tls->host, strlen(tls->host) + 1);
	return connect_to(tls, (struct sockaddr *)&address, sizeof(address));
}

/* From tls->address on, the first that does not fail at once. */
static int connect_next(struct tls *tls, int error)
{
	for (; tls->address; tls->address = tls->address->ai_next) {
		error = connect_to(tls, tls->address->ai_addr, tls->address->ai_addrlen);
		if (!error)
			return 0;
	}
	return fail(tls, error, "connect: %s", strerror(-error));
}

static int resolve_step(struct tls *tls)
{
	int error;

	if (tls->host[0] == '/') {
		error = connect_unix(tls);
		return error ? fail(tls, error, "connect: %s", strerror(-error)) : 0;
	}
	if (!tls->resolve) {
		tls->resolve = tls_resolve_new(tls->host, tls->port);
		if (!tls->resolve)
			return fail(tls, -ENOMEM, "no memory");
	}
	error = tls_resolve_step(tls->resolve, &tls->address);
	if (error == EAI_INPROGRESS)
		return -EAGAIN;
	if (error)
		return fail(tls, -EHOSTUNREACH, "resolving %.160s: %.60s", tls->host, gai_strerror(error));
	return connect_next(tls, -EHOSTUNREACH);
}

/* RFC 6125 s6.4: the name in the certificate must be the one we meant; SNI is for names only (RFC 6066 s3). */
static int handshake_begin(struct tls *tls)
{
	const char *name = tls->host[0] == '/' ? "localhost" : tls->host;
	struct in6_addr ignored;
	bool is_ip = inet_pton(AF_INET, name, &ignored) == 1 || inet_pton(AF_INET6, name, &ignored) == 1;

	tls->ssl = SSL_new(tls->context->ssl);
	if (!tls->ssl || !SSL_set_fd(tls->ssl, tls->fd))
		return fail(tls, -ENOMEM, "no memory");
	SSL_set_hostflags(tls->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (is_ip ? !X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(tls->ssl), name) :
		    !SSL_set1_host(tls->ssl, name) || !SSL_set_tlsext_host_name(tls->ssl, name))
		return fail(tls, -EINVAL, "not a host's name: %.160s", name);
	SSL_set_connect_state(tls->ssl);
	tls->state = HANDSHAKING;
	return 0;
}

static int connect_step(struct tls *tls)
{
	struct pollfd ready = { .fd = tls->fd, .events = POLLOUT };
	int error = 0;
	socklen_t len = sizeof(error);

	if (poll(&ready, 1, 0) <= 0)
		return -EAGAIN;
	if (getsockopt(tls->fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	if (error && tls->address) {
		tls->address = tls->address->ai_next;
		return connect_next(tls, -error);
	}
	if (error)
		return fail(tls, -error, "connect: %s", strerror(error));
	if (tls->context)
		return handshake_begin(tls);
	tls->state = OPEN;
	tls->events = EPOLLIN;
	return 0;
}

/* What SSL_do_handshake, SSL_read and SSL_write answered, as an errno; 0: the peer has ended. */
static int ssl_result(struct tls *tls, int result)
{
	int saved = errno;
	long verified;

	switch (SSL_get_error(tls->ssl, result)) {
	case SSL_ERROR_WANT_READ:
		tls->events = EPOLLIN;
		return -EAGAIN;
	case SSL_ERROR_WANT_WRITE:
		tls->events = EPOLLIN | EPOLLOUT;
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_SYSCALL:
		return fail(tls, -ECONNRESET, "%s", saved ? strerror(saved) : "the connection ended");
	}
	verified = SSL_get_verify_result(tls->ssl);
	if (tls->state == HANDSHAKING && verified != X509_V_OK) {
		ERR_clear_error();
		return fail(tls, -EPROTO, "TLS: certificate: %s", X509_verify_cert_error_string(verified));
	}
	return fail(tls, -EPROTO, "TLS: %s", tls_openssl_error());
}

static int handshake_step(struct tls *tls)
{
	int result, error;

	ERR_clear_error();
	errno = 0;
	result = SSL_do_handshake(tls->ssl);
	if (result == 1) {
		tls->state = OPEN;
		tls->events = EPOLLIN;
		return 0;
	}
	error = ssl_result(tls, result);
	return error ? error : fail(tls, -ECONNRESET, "the connection ended");
}

int tls_step(struct tls *tls)
{
	int error = 0;

	while (!error) {
		switch (tls->state) {
		case RESOLVING:
			error = resolve_step(tls);
			break;
		case CONNECTING:
			error = connect_step(tls);
			break;
		case HANDSHAKING:
			error = handshake_step(tls);
			break;
		case OPEN:
			return 0;
		case FAILED:
			return -ENOTCONN;
		}
	}
	return error;
}

/* --- waiting, reading, writing ------------------------------------------------------------------- */

int tls_fd(const struct tls *tls)
{
	return tls->fd;
}

uint32_t tls_events(const struct tls *tls)
{
	return tls->fd >= 0 ? tls->events : 0;
}

int tls_timeout_ms(const struct tls *tls)
{
	return tls->state == RESOLVING ? TLS_RESOLVE_POLL_MS : -1;
}

_Static_assert(POLLIN == EPOLLIN && POLLOUT == EPOLLOUT, "tls_events serves both");

int tls_wait(const struct tls *tls, int timeout_ms)
{
	struct pollfd ready = { .fd = tls->fd, .events = (short)tls_events(tls) };
	int own = tls_timeout_ms(tls);
	bool own_first = own >= 0 && (timeout_ms < 0 || own < timeout_ms);
	int result = poll(&ready, 1, own_first ? own : timeout_ms);

	return result == 0 && !own_first ? -ETIMEDOUT : 0;
}

static ssize_t plain_result(struct tls *tls, ssize_t result, uint32_t events)
{
	if (result >= 0)
		return result;
	if (errno == EAGAIN || errno == EINTR) {
		tls->events = events;
		return -EAGAIN;
	}
	return fail(tls, -errno, "%s", strerror(errno));
}

ssize_t tls_read(struct tls *tls, void *bytes, size_t len)
{
	int result;

	if (tls->state != OPEN)
		return -ENOTCONN;
	if (!tls->ssl)
		return plain_result(tls, recv(tls->fd, bytes, len, 0), EPOLLIN);
	ERR_clear_error();
	errno = 0;
	result = SSL_read(tls->ssl, bytes, len < INT32_MAX ? (int)len : INT32_MAX);
	return result > 0 ? result : ssl_result(tls, result);
}

ssize_t tls_write(struct tls *tls, const void *bytes, size_t len)
{
	int result, error;

	if (tls->state != OPEN)
		return -ENOTCONN;
	if (len == 0)
		return 0;
	if (!tls->ssl)
		return plain_result(tls, send(tls->fd, bytes, len, MSG_NOSIGNAL), EPOLLIN | EPOLLOUT);
	ERR_clear_error();
	errno = 0;
	result = SSL_write(tls->ssl, bytes, len < INT32_MAX ? (int)len : INT32_MAX);
	if (result > 0)
		return result;
	error = ssl_result(tls, result);
	return error ? error : fail(tls, -ECONNRESET, "the connection ended");
}

const char *tls_error(const struct tls *tls)
{
	return tls->error;
}
