/* SPDX-License-Identifier: MIT */
/* tls_world: see tls_world.h. */
#include "tests/lib/tls_world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>

#include "tests/lib/certificates.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct tls_world tls_world;

static void require(bool holds)
{
	if (holds)
		return;
	fprintf(stderr, "tls_world: no socket, thread or file\n");
	abort();
}

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void tls_world_wait(tls_world_condition *holds)
{
	long until = now_ms() + TLS_WORLD_PATIENCE_MS;

	while (!holds()) {
		if (now_ms() >= until) {
			fprintf(stderr, "tls_world: waited in vain\n");
			abort();
		}
		poll(NULL, 0, 2);
	}
}

const char *tls_world_file(const char *name)
{
	static char paths[4][192];
	static unsigned at;

	at = (at + 1) % COUNT(paths);
	snprintf(paths[at], sizeof(paths[at]), "%s/%s", tls_world.dir, name);
	return paths[at];
}

/* --- the server behind ---------------------------------------------------------------------------- */

static void patience_set(int fd)
{
	const struct timeval patience = { .tv_sec = TLS_WORLD_PATIENCE_MS / 1000 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

/* The greeting alone, byte by byte: what follows is the client's. */
static bool greeting_read(int fd, char text[static 512])
{
	size_t len = 0;

	while (len < 511 && recv(fd, text + len, 1, 0) == 1) {
		text[++len] = '\0';
		if (len >= 4 && strcmp(text + len - 4, "\r\n\r\n") == 0)
			return true;
	}
	return false;
}

static uint64_t read_to_end(int fd, bool echo)
{
	char bytes[3000];
	uint64_t sum = 0;
	ssize_t n;

	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0) {
		sum += (uint64_t)n;
		for (ssize_t done = 0, sent; echo && done < n; done += sent) {
			sent = send(fd, bytes + done, (size_t)(n - done), MSG_NOSIGNAL);
			if (sent <= 0)
				return sum;
		}
	}
	return sum;
}

static void say(int fd, const char *text)
{
	ssize_t sent = send(fd, text, strlen(text), MSG_NOSIGNAL);

	(void)sent; /* the client's side of the test finds out */
}

static void connection_serve(int fd)
{
	char text[64] = "";
	const char *peer;

	if (!greeting_read(fd, tls_world.greeting))
		return;
	if (tls_world.behaviour == NO_WELCOME) {
		say(fd, "HTTP/1.1 403 Forbidden\r\n\r\n");
		return;
	}
	say(fd, API_TLS_WELCOME);
	if (tls_world.behaviour == ANSWER_THEN_COUNT) {
		say(fd, "hello");
		shutdown(fd, SHUT_WR);
	}
	while (tls_world.behaviour == READ_NOTHING && !tls_world.may_read)
		poll(NULL, 0, 2);
	peer = strstr(tls_world.greeting, API_TLS_PEER_HEADER ": ");
	if (tls_world.behaviour == TELL_PEER && peer)
		sscanf(peer, API_TLS_PEER_HEADER ": %60s", text);
	if (tls_world.behaviour == TELL_PEER)
		say(fd, text);
	else
		tls_world.counted = read_to_end(fd, tls_world.behaviour == ECHO);
	if (tls_world.behaviour == COUNT_THEN_ANSWER) {
		snprintf(text, sizeof(text), "%llu", (unsigned long long)tls_world.counted);
		say(fd, text);
	}
}

static void *connection_thread(void *context)
{
	int fd = (int)(intptr_t)context;

	patience_set(fd);
	connection_serve(fd);
	close(fd);
	tls_world.ended++;
	return NULL;
}

/* Ends when the listener is shut down. */
static void *server_thread(void *unused)
{
	pthread_t threads[64];
	unsigned count = 0;
	int fd;

	(void)unused;
	while (count < COUNT(threads) && (fd = accept(tls_world.listener, NULL, NULL)) >= 0)
		pthread_create(&threads[count++], NULL, connection_thread, (void *)(intptr_t)fd);
	while (count > 0)
		pthread_join(threads[--count], NULL);
	return NULL;
}

static uint16_t server_start(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(address);
	const int small = 4096;

	tls_world.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(tls_world.listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	require(bind(tls_world.listener, (struct sockaddr *)&address, sizeof(address)) == 0);
	require(listen(tls_world.listener, 64) == 0);
	require(getsockname(tls_world.listener, (struct sockaddr *)&address, &len) == 0);
	require(pthread_create(&tls_world.server, NULL, server_thread, NULL) == 0);
	return ntohs(address.sin_port);
}

/* --- set-up --------------------------------------------------------------------------------------- */

void tls_world_begin(void)
{
	/* The process's number tells whose it is, should it be left behind. */
	snprintf(tls_world.dir, sizeof(tls_world.dir), "/tmp/sluice-api-tls-t%d-XXXXXX", (int)getpid());
	require(mkdtemp(tls_world.dir));
	certificates_make(tls_world.dir);
	strcpy(tls_world.cert, tls_world_file("now.pem"));
	strcpy(tls_world.key, tls_world_file("now.key"));
	strcpy(tls_world.ca, tls_world_file("ca.pem"));
}

void tls_world_end(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", tls_world.dir);
	require(system(command) == 0);
}

void tls_world_copy(const char *from, const char *to)
{
	char command[1024];

	snprintf(command, sizeof(command), "cp %s %s.new && mv %s.new %s", tls_world_file(from), to, to, to);
	require(system(command) == 0);
}

void tls_world_start(enum tls_world_behaviour behaviour, bool mutual, const struct api_tls_options *more)
{
	struct api_tls_options options = more ? *more : (struct api_tls_options){ 0 };
	static char none[] = "";

	tls_world.behaviour = behaviour;
	tls_world_copy("server.pem", tls_world.cert);
	tls_world_copy("server.key", tls_world.key);
	tls_world.files = (struct config_api_tls){
		.cert = tls_world.cert, .key = tls_world.key, .client_ca = mutual ? tls_world.ca : none };
	tls_world.counted = 0;
	tls_world.ended = 0;
	tls_world.may_read = false;
	options.files = &tls_world.files;
	options.address_count = 1;
	options.addresses[0] = (struct addr){ .bytes = { [10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1 } };
	tls_world.front = api_tls_new(&options);
	require(tls_world.front);
	require(api_tls_start(tls_world.front, server_start()) == 0);
}

void tls_world_stop(void)
{
	tls_world.may_read = true;
	api_tls_stop(tls_world.front);
	tls_world.front = NULL;
	if (!tls_world.server)
		return;
	shutdown(tls_world.listener, SHUT_RDWR);
	pthread_join(tls_world.server, NULL);
	close(tls_world.listener);
	tls_world.server = 0;
}

/* --- clients -------------------------------------------------------------------------------------- */

int tls_client_plain(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				       .sin_port = htons(api_tls_port(tls_world.front)) };
	const int small = 4096;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	patience_set(fd);
	require(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	return fd;
}

struct tls_client tls_client_open(const char *name, int max_version)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	struct tls_client client = { .fd = tls_client_plain() };
	char file[96];

	SSL_CTX_set_max_proto_version(context, max_version);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	require(SSL_CTX_load_verify_locations(context, tls_world_file("ca.pem"), NULL) == 1);
	if (name) {
		snprintf(file, sizeof(file), "%s.pem", name);
		require(SSL_CTX_use_certificate_chain_file(context, tls_world_file(file)) == 1);
		snprintf(file, sizeof(file), "%s.key", name);
		require(SSL_CTX_use_PrivateKey_file(context, tls_world_file(file), SSL_FILETYPE_PEM) == 1);
	}
	client.ssl = SSL_new(context);
	SSL_CTX_free(context);
	SSL_set_fd(client.ssl, client.fd);
	SSL_set1_host(client.ssl, "localhost");
	SSL_connect(client.ssl);
	return client;
}

void tls_client_close(struct tls_client *client)
{
	SSL_free(client->ssl);
	close(client->fd);
	ERR_clear_error();
}

bool tls_client_is_closed(int fd)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	char bytes[512];
	ssize_t n = 1;

	while (n > 0) {
		if (poll(&ready, 1, TLS_WORLD_PATIENCE_MS) <= 0)
			return false;
		n = recv(fd, bytes, sizeof(bytes), 0);
	}
	return n == 0 || errno == ECONNRESET;
}
