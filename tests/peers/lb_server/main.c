/* SPDX-License-Identifier: MIT */
/*
 * lb_server: an HTTP/3 server for the end-to-end tests whose connection IDs are made as the command line says, by
 * QUIC-LB for instance. On Debian's ngtcp2 0.12, nghttp3 and GnuTLS; not part of sluice. One thread.
 *
 *   lb_server [OPTION...] ADDRESS PORT KEY CERT
 *   lb_server --vectors          checks its QUIC-LB encoder against the draft's test vectors, and ends
 *
 *   -d, --documents DIR   what it serves (.); / is index.html; a POST is answered by its body's length and SHA-256
 *   -c, --cid FORM        random:LEN (random:18), sequence:LEN or lb:ROTATION:SERVER_ID:NONCE_LEN[:KEY], see cid.h
 *   -l, --tell-len        with lb: the first octet holds the length
 *   -v, --verbose         ngtcp2's own log too, each line behind "quic"
 *
 * ADDRESS :: is every address, IPv4 too. One line an event on standard output:
 *
 *   ready
 *   opened connection=CID from=ADDRESS:PORT        CID: the first that it issued; it names the connection
 *   issued connection=CID cid=CID                  in a NEW_CONNECTION_ID frame
 *   validated connection=CID from=ADDRESS:PORT     a new path; or "unvalidated"
 *   closed connection=CID sent=BYTES reason=NAME
 *   unknown cid=CID from=ADDRESS:PORT              a short header of no connection here: answered by a stateless reset
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <gnutls/crypto.h>
#include <netdb.h>
#include <ngtcp2/ngtcp2_crypto.h>
#include <poll.h>
#include <search.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "connection.h"

/* RFC 9000 s10.3: a reset is shorter than what it answers, and 21 bytes at least, which leaves 5 random ones. */
enum { DATAGRAM_MAX = 65535, RESET_RANDOM_LEN = 25, RESET_LEN = RESET_RANDOM_LEN + NGTCP2_STATELESS_RESET_TOKENLEN };

struct cid_owner {
	ngtcp2_cid cid;
	struct connection *connection;
};

static int cid_owner_compare(const void *a_, const void *b_)
{
	const struct cid_owner *a = a_, *b = b_;

	if (a->cid.datalen != b->cid.datalen)
		return a->cid.datalen < b->cid.datalen ? -1 : 1;
	return memcmp(a->cid.data, b->cid.data, a->cid.datalen);
}

struct connection *server_find(struct server *server, const ngtcp2_cid *cid)
{
	const struct cid_owner key = { .cid = *cid };
	struct cid_owner **found = tfind(&key, &server->by_cid, cid_owner_compare);

	return found ? (*found)->connection : NULL;
}

void server_add_cid(struct server *server, const ngtcp2_cid *cid, struct connection *connection)
{
	struct cid_owner *owner = malloc(sizeof(*owner)), **in_tree;

	if (!owner)
		err(1, "malloc");
	*owner = (struct cid_owner){ *cid, connection };
	in_tree = tsearch(owner, &server->by_cid, cid_owner_compare);
	if (!in_tree)
		err(1, "tsearch");
	if (*in_tree != owner)
		errx(1, "connection ID %s is in use already", text_of_cid(cid));
}

void server_remove_cid(struct server *server, const ngtcp2_cid *cid)
{
	const struct cid_owner key = { .cid = *cid };
	struct cid_owner **found = tfind(&key, &server->by_cid, cid_owner_compare), *owner;

	if (!found)
		return;
	owner = *found;
	tdelete(&key, &server->by_cid, cid_owner_compare);
	free(owner);
}

void server_send(struct server *server, const ngtcp2_addr *to, const uint8_t *datagram, size_t len)
{
	/* What the kernel refuses is a lost packet: QUIC sends its content again. */
	(void)sendto(server->fd, datagram, len, 0, to->addr, to->addrlen);
}

int server_reset_token(const struct server *server, uint8_t *token, const ngtcp2_cid *cid)
{
	return ngtcp2_crypto_generate_stateless_reset_token(token, server->reset_secret, sizeof(server->reset_secret),
							    cid);
}

void server_log(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

const char *text_of_cid(const ngtcp2_cid *cid)
{
	static char text[2 * NGTCP2_MAX_CIDLEN + 1];

	*text = 0;
	for (size_t i = 0; i < cid->datalen; i++)
		snprintf(text + 2 * i, 3, "%02x", cid->data[i]);
	return text;
}

/* IPv4 as such, although the socket is of IPv6. */
const char *text_of_address(const struct sockaddr *address)
{
	static char text[INET6_ADDRSTRLEN + 10];
	char host[INET6_ADDRSTRLEN];
	const struct sockaddr_in6 *in6 = (const void *)address;
	const struct sockaddr_in *in = (const void *)address;

	if (address->sa_family == AF_INET)
		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
	else if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
		inet_ntop(AF_INET, &in6->sin6_addr.s6_addr[12], host, sizeof(host));
	else
		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
	/* The port stands at the same place in both. */
	snprintf(text, sizeof(text), strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, ntohs(in->sin_port));
	return text;
}

ngtcp2_tstamp now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (ngtcp2_tstamp)now.tv_sec * NGTCP2_SECONDS + (ngtcp2_tstamp)now.tv_nsec;
}

/* --- datagrams ------------------------------------------------------------------------------------------------- */

static void send_version_negotiation(struct server *server, const ngtcp2_path *path, const ngtcp2_version_cid *to)
{
	static const uint32_t versions[] = { NGTCP2_PROTO_VER_V1, NGTCP2_PROTO_VER_V2_DRAFT };
	uint8_t packet[256];
	ngtcp2_ssize len = ngtcp2_pkt_write_version_negotiation(packet, sizeof(packet), 0, to->scid, to->scidlen,
								to->dcid, to->dcidlen, versions,
								sizeof(versions) / sizeof(*versions));

	if (len > 0)
		server_send(server, &path->remote, packet, (size_t)len);
}

static void send_stateless_reset(struct server *server, const ngtcp2_path *path, const ngtcp2_cid *cid)
{
	uint8_t token[NGTCP2_STATELESS_RESET_TOKENLEN], random[RESET_RANDOM_LEN], packet[RESET_LEN];
	ngtcp2_ssize len;

	if (gnutls_rnd(GNUTLS_RND_NONCE, random, sizeof(random)) < 0 || server_reset_token(server, token, cid))
		return;
	len = ngtcp2_pkt_write_stateless_reset(packet, sizeof(packet), token, random, sizeof(random));
	if (len > 0)
		server_send(server, &path->remote, packet, (size_t)len);
}

/* A datagram of no connection here: a new one, or none of ours. */
static struct connection *handle_unknown(struct server *server, const ngtcp2_path *path,
					 const ngtcp2_version_cid *header, const uint8_t *datagram, size_t len)
{
	ngtcp2_pkt_hd initial;
	ngtcp2_cid cid;

	if (header->version)
		return ngtcp2_accept(&initial, datagram, len) ? NULL : connection_open(server, path, &initial);
	ngtcp2_cid_init(&cid, header->dcid, header->dcidlen);
	server_log("unknown cid=%s from=%s", text_of_cid(&cid), text_of_address(path->remote.addr));
	if (len > RESET_LEN)
		send_stateless_reset(server, path, &cid);
	return NULL;
}

static void handle(struct server *server, const ngtcp2_addr *from, const uint8_t *datagram, size_t len)
{
	ngtcp2_path path = { { (struct sockaddr *)&server->local, server->local_len }, *from, NULL };
	struct connection *connection;
	ngtcp2_version_cid header;
	ngtcp2_cid dcid;
	int err = ngtcp2_pkt_decode_version_cid(&header, datagram, len, server->cids.len);

	if (err == NGTCP2_ERR_VERSION_NEGOTIATION)
		send_version_negotiation(server, &path, &header);
	if (err || header.dcidlen > NGTCP2_MAX_CIDLEN)
		return;
	ngtcp2_cid_init(&dcid, header.dcid, header.dcidlen);
	connection = server_find(server, &dcid);
	if (!connection)
		connection = handle_unknown(server, &path, &header, datagram, len);
	if (connection)
		connection_receive(connection, &path, datagram, len);
}

static void receive_all(struct server *server)
{
	static uint8_t datagram[DATAGRAM_MAX];
	struct sockaddr_storage address;

	for (;;) {
		ngtcp2_addr from = { (struct sockaddr *)&address, sizeof(address) };
		ssize_t len = recvfrom(server->fd, datagram, sizeof(datagram), MSG_DONTWAIT, from.addr, &from.addrlen);

		if (len < 0 && errno == EAGAIN)
			return;
		if (len > 0)
			handle(server, &from, datagram, (size_t)len);
	}
}

/* Runs every connection; when the first wants to run again. */
static ngtcp2_tstamp run_connections(struct server *server)
{
	ngtcp2_tstamp first = UINT64_MAX;
	struct connection *connection, *next;

	for (connection = server->connections; connection; connection = next) {
		ngtcp2_tstamp expiry;

		next = connection_next(connection);
		expiry = connection_run(connection);
		if (expiry && expiry < first)
			first = expiry;
	}
	return first;
}

/* Until SIGTERM or SIGINT. */
static void serve(struct server *server, int signals)
{
	struct pollfd fds[] = { { server->fd, POLLIN, 0 }, { signals, POLLIN, 0 } };

	server_log("ready");
	while (!fds[1].revents) {
		ngtcp2_tstamp expiry = run_connections(server), now = now_ns(), wait = expiry > now ? expiry - now : 0;
		struct timespec timeout = { (time_t)(wait / NGTCP2_SECONDS), (long)(wait % NGTCP2_SECONDS) };

		if (ppoll(fds, 2, expiry == UINT64_MAX ? NULL : &timeout, NULL) < 0)
			err(1, "ppoll");
		receive_all(server);
	}
	while (server->connections)
		connection_close(server->connections);
}

/* --- the start ------------------------------------------------------------------------------------------------- */

static void bind_socket(struct server *server, const char *address, const char *port)
{
	const struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_DGRAM };
	struct addrinfo *found;
	int error = getaddrinfo(address, port, &hints, &found);

	if (error)
		errx(1, "%s port %s: %s", address, port, gai_strerror(error));
	server->fd = socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (server->fd < 0 || bind(server->fd, found->ai_addr, found->ai_addrlen) < 0)
		err(1, "%s port %s", address, port);
	freeaddrinfo(found);
	server->local_len = sizeof(server->local);
	if (getsockname(server->fd, (struct sockaddr *)&server->local, &server->local_len) < 0)
		err(1, "getsockname");
}

static void load_credentials(struct server *server, const char *key, const char *cert)
{
	gnutls_datum_t key_bytes;
	int error = gnutls_certificate_allocate_credentials(&server->credentials);

	if (!error)
		error = gnutls_certificate_set_x509_key_file(server->credentials, cert, key, GNUTLS_X509_FMT_PEM);
	if (!error)
		error = gnutls_load_file(key, &key_bytes);
	if (error)
		errx(1, "%s, %s: %s", key, cert, gnutls_strerror(error));
	if (gnutls_hash_fast(GNUTLS_DIG_SHA256, key_bytes.data, key_bytes.size, server->reset_secret) < 0)
		errx(1, "SHA-256 failed");
	gnutls_free(key_bytes.data);
}

static int signal_descriptor(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	if (fd < 0)
		err(1, "signalfd");
	return fd;
}

static void parse_options(struct server *server, int argc, char **argv)
{
	static const struct option options[] = {
		{ "documents", required_argument, NULL, 'd' }, { "cid", required_argument, NULL, 'c' },
		{ "tell-len", no_argument, NULL, 'l' },        { "verbose", no_argument, NULL, 'v' },
		{ "vectors", no_argument, NULL, 'V' },         { 0 },
	};
	const char *documents = ".", *cid = "random:18", *error;
	int option;

	while ((option = getopt_long(argc, argv, "d:c:lv", options, NULL)) != -1) {
		switch (option) {
		case 'd':
			documents = optarg;
			break;
		case 'c':
			cid = optarg;
			break;
		case 'l':
			server->cids.tell_len = true;
			break;
		case 'v':
			server->verbose = true;
			break;
		case 'V':
			exit(cid_check_vectors());
		default:
			exit(2);
		}
	}
	if (argc - optind != 4)
		errx(2, "usage: lb_server [-d DIR] [-c FORM] [-l] [-v] ADDRESS PORT KEY CERT, or lb_server --vectors");
	error = cid_parse(&server->cids, cid);
	if (error)
		errx(2, "--cid %s: %s", cid, error);
	server->documents = open(documents, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (server->documents < 0)
		err(1, "%s", documents);
}

int main(int argc, char **argv)
{
	struct server server = { 0 };
	int signals;

	parse_options(&server, argc, argv);
	signals = signal_descriptor();
	load_credentials(&server, argv[optind + 2], argv[optind + 3]);
	bind_socket(&server, argv[optind], argv[optind + 1]);
	serve(&server, signals);
	gnutls_certificate_free_credentials(server.credentials);
	close(server.fd);
	close(server.documents);
	close(signals);
	return 0;
}
