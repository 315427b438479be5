/* SPDX-License-Identifier: MIT */
/*
 * test_api_tls: clients of OpenSSL's own, through the front, to a plain server
 * of the test's. Every wait is for an event, 10 s at the most.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "control/api_tls.h"
#include "tests/lib/certificates.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { PATIENCE_MS = 10000, MEGABYTE = 1 << 20, FLOOD_BYTES = 256 * MEGABYTE };

/* What the server behind does with a connection, after the front's greeting. */
enum behaviour {
	ECHO,                          /* until its client ends */
	COUNT_THEN_ANSWER,             /* reads to the end, and only then says how much it was */
	ANSWER_THEN_COUNT,             /* says "hello" and ends; then reads to the end */
	TELL_PEER,                     /* the address that the greeting names */
	READ_NOTHING,                  /* until the test says so */
	NO_WELCOME,                    /* something else than the front expects */
};

static struct {
	char dir[64];
	char cert[192], key[192], ca[192];
	struct config_api_tls files;
	struct api_tls *front;
	int listener;
	pthread_t server;
	enum behaviour behaviour;
	_Atomic uint64_t counted;      /* by the server, of the last connection that ended */
	_Atomic unsigned ended;
	atomic_bool may_read;
	char greeting[512];            /* of the last connection; to be read when it has ended */
} world;

static long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

typedef bool condition(void);

static void wait_until(condition *holds)
{
	long until = now_ms() + PATIENCE_MS;

	while (!holds()) {
		assert_true(now_ms() < until);
		poll(NULL, 0, 2);
	}
}

static const char *in_dir(const char *name)
{
	static char paths[4][192];
	static unsigned at;

	at = (at + 1) % COUNT(paths);
	snprintf(paths[at], sizeof(paths[at]), "%s/%s", world.dir, name);
	return paths[at];
}

/* --- the server behind ---------------------------------------------------------------------------- */

static void patience_set(int fd)
{
	const struct timeval patience = { .tv_sec = PATIENCE_MS / 1000 };

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

static bool greeting_is_right(const char *text)
{
	const char *secret = strstr(text, API_TLS_SECRET_HEADER ": ");
	char value[65] = "";

	if (!secret || sscanf(secret, API_TLS_SECRET_HEADER ": %64[0-9a-f]\r\n", value) != 1)
		return false;
	if (!api_tls_is_secret(world.front, value))
		return false;
	value[63] ^= 1;
	return !api_tls_is_secret(world.front, value) && !api_tls_is_secret(world.front, "") &&
	       strncmp(text, "GET / HTTP/1.1\r\n", 16) == 0;
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

	if (!greeting_read(fd, world.greeting))
		return;
	if (world.behaviour == NO_WELCOME) {
		say(fd, "HTTP/1.1 403 Forbidden\r\n\r\n");
		return;
	}
	say(fd, API_TLS_WELCOME);
	if (world.behaviour == ANSWER_THEN_COUNT) {
		say(fd, "hello");
		shutdown(fd, SHUT_WR);
	}
	while (world.behaviour == READ_NOTHING && !world.may_read)
		poll(NULL, 0, 2);
	peer = strstr(world.greeting, API_TLS_PEER_HEADER ": ");
	if (world.behaviour == TELL_PEER && peer)
		sscanf(peer, API_TLS_PEER_HEADER ": %60s", text);
	if (world.behaviour == TELL_PEER)
		say(fd, text);
	else
		world.counted = read_to_end(fd, world.behaviour == ECHO);
	if (world.behaviour == COUNT_THEN_ANSWER) {
		snprintf(text, sizeof(text), "%llu", (unsigned long long)world.counted);
		say(fd, text);
	}
}

static void *connection_thread(void *context)
{
	int fd = (int)(intptr_t)context;

	patience_set(fd);
	connection_serve(fd);
	close(fd);
	world.ended++;
	return NULL;
}

/* Ends when the listener is shut down. */
static void *server_thread(void *unused)
{
	pthread_t threads[64];
	unsigned count = 0;
	int fd;

	(void)unused;
	while (count < COUNT(threads) && (fd = accept(world.listener, NULL, NULL)) >= 0)
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

	world.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(world.listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	assert_int_equal(bind(world.listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(world.listener, 64), 0);
	assert_int_equal(getsockname(world.listener, (struct sockaddr *)&address, &len), 0);
	assert_int_equal(pthread_create(&world.server, NULL, server_thread, NULL), 0);
	return ntohs(address.sin_port);
}

/* --- set-up --------------------------------------------------------------------------------------- */

static void front_start(enum behaviour behaviour, bool mutual, const struct api_tls_options *more)
{
	struct api_tls_options options = more ? *more : (struct api_tls_options){ 0 };
	static char none[] = "";

	world.behaviour = behaviour;
	world.files = (struct config_api_tls){ .cert = world.cert, .key = world.key, .client_ca = mutual ? world.ca : none };
	options.files = &world.files;
	options.address_count = 1;
	options.addresses[0] = (struct addr){ .bytes = { [10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1 } };
	world.front = api_tls_new(&options);
	assert_non_null(world.front);
	assert_int_equal(api_tls_start(world.front, server_start()), 0);
}

static void file_copy(const char *from, const char *to)
{
	char command[1024];

	snprintf(command, sizeof(command), "cp %s %s.new && mv %s.new %s", in_dir(from), to, to, to);
	assert_int_equal(system(command), 0);
}

static int set_up(void **unused)
{
	(void)unused;
	snprintf(world.cert, sizeof(world.cert), "%s/now.pem", world.dir);
	snprintf(world.key, sizeof(world.key), "%s/now.key", world.dir);
	snprintf(world.ca, sizeof(world.ca), "%s/ca.pem", world.dir);
	file_copy("server.pem", world.cert);
	file_copy("server.key", world.key);
	world.counted = world.ended = 0;
	world.may_read = false;
	return 0;
}

/* Also after a failure, wherever it was. */
static int tear_down(void **unused)
{
	(void)unused;
	world.may_read = true;
	api_tls_stop(world.front);
	world.front = NULL;
	if (world.server) {
		shutdown(world.listener, SHUT_RDWR);
		pthread_join(world.server, NULL);
		close(world.listener);
		world.server = 0;
	}
	return 0;
}

/* --- clients -------------------------------------------------------------------------------------- */

struct client {
	int fd;
	SSL *ssl;
};

static int plain_connect(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				       .sin_port = htons(api_tls_port(world.front)) };
	const int small = 4096;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	patience_set(fd);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* name NULL: without a certificate. The handshake is done on the client's side; TLS 1.3's server may still refuse. */
static struct client client_open(const char *name, int max_version)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	struct client client = { .fd = plain_connect() };
	char file[96];

	SSL_CTX_set_max_proto_version(context, max_version);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	assert_int_equal(SSL_CTX_load_verify_locations(context, in_dir("ca.pem"), NULL), 1);
	if (name) {
		snprintf(file, sizeof(file), "%s.pem", name);
		assert_int_equal(SSL_CTX_use_certificate_chain_file(context, in_dir(file)), 1);
		snprintf(file, sizeof(file), "%s.key", name);
		assert_int_equal(SSL_CTX_use_PrivateKey_file(context, in_dir(file), SSL_FILETYPE_PEM), 1);
	}
	client.ssl = SSL_new(context);
	SSL_CTX_free(context);
	SSL_set_fd(client.ssl, client.fd);
	SSL_set1_host(client.ssl, "localhost");
	SSL_connect(client.ssl);
	return client;
}

static void client_close(struct client *client)
{
	SSL_free(client->ssl);
	close(client->fd);
	ERR_clear_error();
}

/* Reads to the end, which must be an orderly one. */
static void client_hears(struct client *client, const char *expected)
{
	char heard[256];
	int len = 0, n;

	while ((n = SSL_read(client->ssl, heard + len, (int)sizeof(heard) - 1 - len)) > 0)
		len += n;
	heard[len] = '\0';
	assert_int_equal(SSL_get_error(client->ssl, n), SSL_ERROR_ZERO_RETURN);
	assert_string_equal(heard, expected);
}

static bool would_block(const struct client *client, int result)
{
	int error = SSL_get_error(client->ssl, result);

	return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

static bool client_is_refused(struct client *client)
{
	char byte;

	SSL_write(client->ssl, "x", 1);
	return SSL_read(client->ssl, &byte, 1) <= 0;
}

static bool front_is_empty(void)
{
	return api_tls_stats(world.front)->open == 0;
}

static bool one_has_ended(void)
{
	return world.ended == 1;
}

static bool two_have_ended(void)
{
	return world.ended == 2;
}

/* --- tests ---------------------------------------------------------------------------------------- */

static void bytes_pass_and_the_end_of_either_side(void **unused)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

	(void)unused;
	front_start(COUNT_THEN_ANSWER, false, NULL);
	for (size_t i = 0; i < COUNT(versions); i++) {
		struct client client = client_open(NULL, versions[i]);

		assert_int_equal(SSL_version(client.ssl), versions[i]);
		assert_int_equal(SSL_write(client.ssl, "12345", 5), 5);
		SSL_shutdown(client.ssl); /* half-close: the answer is still to come */
		client_hears(&client, "5");
		client_close(&client);
	}
	wait_until(front_is_empty);
	wait_until(two_have_ended);
	assert_true(greeting_is_right(world.greeting));
	assert_int_equal(api_tls_stats(world.front)->accepted, 2);
	assert_int_equal(api_tls_stats(world.front)->broken + api_tls_stats(world.front)->timed_out, 0);
}

static void server_may_end_first(void **unused)
{
	struct client client;

	(void)unused;
	front_start(ANSWER_THEN_COUNT, false, NULL);
	client = client_open(NULL, TLS1_3_VERSION);
	assert_int_equal(SSL_write(client.ssl, "123", 3), 3);
	client_hears(&client, "hello");
	assert_int_equal(SSL_write(client.ssl, "4567", 4), 4);
	SSL_shutdown(client.ssl);
	wait_until(one_has_ended);
	assert_int_equal(world.counted, 7);
	client_close(&client);
	wait_until(front_is_empty);
}

static void client_cannot_say_who_it_is(void **unused)
{
	static const char forged[] = "GET / HTTP/1.1\r\n" API_TLS_PEER_HEADER ": 192.0.2.1\r\n\r\n";
	struct client client;

	(void)unused;
	front_start(TELL_PEER, false, NULL);
	client = client_open(NULL, TLS1_3_VERSION);
	assert_int_equal(SSL_write(client.ssl, forged, sizeof(forged) - 1), sizeof(forged) - 1);
	client_hears(&client, "127.0.0.1");
	client_close(&client);
}

static void server_that_does_not_welcome_is_not_heard(void **unused)
{
	struct client client;

	(void)unused;
	front_start(NO_WELCOME, false, NULL);
	client = client_open(NULL, TLS1_3_VERSION);
	assert_true(client_is_refused(&client));
	client_close(&client);
	wait_until(front_is_empty);
	assert_int_equal(api_tls_stats(world.front)->broken, 1);
}

/* Both ways at once, through sockets that take 4 KB at a time. */
static void megabyte_both_ways_through_small_sockets(void **unused)
{
	static uint8_t out[MEGABYTE], in[MEGABYTE];
	size_t sent = 0, received = 0;
	struct client client;

	(void)unused;
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 31 + i / 251);
	front_start(ECHO, false, NULL);
	client = client_open(NULL, TLS1_3_VERSION);
	SSL_set_mode(client.ssl, SSL_MODE_ENABLE_PARTIAL_WRITE);
	fcntl(client.fd, F_SETFL, O_NONBLOCK);
	while (received < sizeof(in)) {
		struct pollfd ready = { .fd = client.fd, .events = POLLIN | (sent < sizeof(out) ? POLLOUT : 0) };
		int n;

		assert_true(SSL_pending(client.ssl) > 0 || poll(&ready, 1, PATIENCE_MS) > 0);
		if (sent < sizeof(out)) {
			size_t len = sizeof(out) - sent < 5000 ? sizeof(out) - sent : 5000;

			n = SSL_write(client.ssl, out + sent, (int)len);
			sent += n > 0 ? (size_t)n : 0;
			assert_true(n > 0 || would_block(&client, n));
		}
		n = SSL_read(client.ssl, in + received, 1000);
		received += n > 0 ? (size_t)n : 0;
		assert_true(n > 0 || would_block(&client, n));
	}
	assert_memory_equal(in, out, sizeof(in));
	client_close(&client);
	wait_until(one_has_ended);
	assert_int_equal(world.counted, MEGABYTE);
}

/* A server that does not read stops its client, at what the sockets hold; when it reads, all has come. */
static void front_holds_no_more_than_its_buffers(void **unused)
{
	static const char zeros[16384];
	struct client client;
	uint64_t sent = 0;
	int n = 1, more;

	(void)unused;
	front_start(READ_NOTHING, false, NULL);
	client = client_open(NULL, TLS1_3_VERSION);
	fcntl(client.fd, F_SETFL, O_NONBLOCK);
	for (;;) {
		struct pollfd ready = { .fd = client.fd, .events = POLLOUT };

		n = SSL_write(client.ssl, zeros, sizeof(zeros));
		sent += n > 0 ? (uint64_t)n : 0;
		assert_true(sent < FLOOD_BYTES);
		if (n <= 0 && poll(&ready, 1, 300) == 0)
			break; /* stuck, and stays so */
	}
	world.may_read = true;
	fcntl(client.fd, F_SETFL, 0);
	more = SSL_write(client.ssl, zeros, sizeof(zeros)); /* the one that was stuck */
	assert_int_equal(more, sizeof(zeros));
	SSL_shutdown(client.ssl);
	wait_until(one_has_ended);
	assert_int_equal(world.counted, sent + sizeof(zeros));
	client_close(&client);
}

static void only_clients_with_the_right_certificate(void **unused)
{
	static const struct {
		const char *name;
		int version;
		bool let_in;
	} rows[] = {
		{ "client", TLS1_2_VERSION, true },   { "client", TLS1_3_VERSION, true },
		{ NULL, TLS1_2_VERSION, false },      { NULL, TLS1_3_VERSION, false },
		{ "impostor", TLS1_2_VERSION, false }, { "impostor", TLS1_3_VERSION, false },
	};
	unsigned failed = 0;

	(void)unused;
	front_start(TELL_PEER, true, NULL);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct client client = client_open(rows[i].name, rows[i].version);
		bool refused = client_is_refused(&client);

		if (refused == rows[i].let_in)
			fail_msg("%s, TLS version %x: %s", rows[i].name ? rows[i].name : "no certificate",
				 (unsigned)rows[i].version, refused ? "refused" : "let in");
		failed += refused;
		client_close(&client);
	}
	wait_until(front_is_empty);
	assert_int_equal(api_tls_stats(world.front)->handshake_failed, failed);
	wait_until(two_have_ended);
	assert_int_equal(COUNT(rows) - failed, 2); /* the others got no connection to the server */
}

static bool certificate_is(const char *name)
{
	struct client client = client_open(NULL, TLS1_3_VERSION);
	X509 *certificate = SSL_get1_peer_certificate(client.ssl);
	char shown[64] = "";

	if (certificate)
		X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, shown, sizeof(shown));
	X509_free(certificate);
	SSL_shutdown(client.ssl);
	client_close(&client);
	return strcmp(shown, name) == 0;
}

static bool shows_renewed(void)
{
	return certificate_is("renewed");
}

static void certificate_that_changes_is_read_again(void **unused)
{
	struct client before;
	char byte;

	(void)unused;
	front_start(ECHO, false, NULL);
	before = client_open(NULL, TLS1_3_VERSION);
	assert_true(certificate_is("server"));
	file_copy("renewed.pem", world.cert); /* its key is not there yet: not good together */
	api_tls_reload(world.front);
	assert_true(certificate_is("server"));
	file_copy("renewed.key", world.key);
	wait_until(shows_renewed); /* without being told */
	assert_int_equal(SSL_write(before.ssl, "x", 1), 1);
	assert_int_equal(SSL_read(before.ssl, &byte, 1), 1);
	client_close(&before);
}

static void bad_files_are_refused_at_start(void **unused)
{
	static const char *const bad[][3] = { { "none.pem", "server.key", "" }, { "server.pem", "client.key", "" },
					      { "server.key", "server.key", "" }, { "server.pem", "server.key", "none" } };
	struct api_tls_options options = { .files = &world.files };

	(void)unused;
	for (size_t i = 0; i < COUNT(bad); i++) {
		char cert[192], key[192], ca[192];

		strcpy(cert, in_dir(bad[i][0]));
		strcpy(key, in_dir(bad[i][1]));
		strcpy(ca, bad[i][2][0] ? in_dir(bad[i][2]) : "");
		world.files = (struct config_api_tls){ .cert = cert, .key = key, .client_ca = ca };
		assert_null(api_tls_new(&options));
	}
}

/* Closed by the front: an end, or a reset, within the test's patience. */
static bool is_closed(int fd)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };
	char bytes[512];
	ssize_t n = 1;

	while (n > 0) {
		if (poll(&ready, 1, PATIENCE_MS) <= 0)
			return false;
		n = recv(fd, bytes, sizeof(bytes), 0);
	}
	return n == 0 || errno == ECONNRESET;
}

static void silence_is_closed_at_every_stage(void **unused)
{
	const struct api_tls_options options = { .limits = { .handshake_ms = 200, .idle_ms = 200, .linger_ms = 200 } };
	struct client quiet, idle;
	int never;

	(void)unused;
	front_start(READ_NOTHING, false, &options);
	never = plain_connect();
	assert_int_equal(send(never, "\x16\x03\x01", 3, MSG_NOSIGNAL), 3); /* a record's begin, and no more */
	assert_true(is_closed(never));
	assert_int_equal(api_tls_stats(world.front)->timed_out, 1);
	quiet = client_open(NULL, TLS1_3_VERSION);
	assert_true(SSL_is_init_finished(quiet.ssl));
	assert_true(is_closed(quiet.fd));
	idle = client_open(NULL, TLS1_3_VERSION);
	assert_int_equal(SSL_write(idle.ssl, "x", 1), 1);
	assert_true(is_closed(idle.fd));
	wait_until(front_is_empty);
	assert_int_equal(api_tls_stats(world.front)->timed_out, 3);
	close(never);
	client_close(&quiet);
	client_close(&idle);
}

static void what_is_no_tls_is_closed(void **unused)
{
	static const char *const texts[] = { "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "PUT", "\x16\x03\x01\xff\xff\xff",
					     "\x80\x80\x01\x03\x01" };

	(void)unused;
	front_start(ECHO, false, &(struct api_tls_options){ .limits.handshake_ms = 300 });
	for (size_t i = 0; i < COUNT(texts); i++) {
		int fd = plain_connect();

		assert_int_equal(send(fd, texts[i], strlen(texts[i]), MSG_NOSIGNAL), strlen(texts[i]));
		assert_true(is_closed(fd));
		close(fd);
	}
	wait_until(front_is_empty);
	assert_true(certificate_is("server"));
}

static bool two_are_open(void)
{
	return api_tls_stats(world.front)->open == 2;
}

static void connections_beyond_the_bound_are_closed(void **unused)
{
	int fds[2], third;

	(void)unused;
	front_start(ECHO, false, &(struct api_tls_options){ .connections_max = 2 });
	for (size_t i = 0; i < COUNT(fds); i++)
		fds[i] = plain_connect();
	wait_until(two_are_open);
	third = plain_connect();
	assert_true(is_closed(third));
	assert_int_equal(api_tls_stats(world.front)->full, 1);
	assert_true(two_are_open());
	for (size_t i = 0; i < COUNT(fds); i++)
		close(fds[i]);
	close(third);
	wait_until(front_is_empty);
	assert_true(certificate_is("server"));
}

/* What was cut may lack its end: the server must not take it for a whole. */
static void stream_without_close_notify_is_cut(void **unused)
{
	struct client client;

	(void)unused;
	front_start(COUNT_THEN_ANSWER, false, NULL);
	client = client_open(NULL, TLS1_3_VERSION);
	assert_int_equal(SSL_write(client.ssl, "12345", 5), 5);
	shutdown(client.fd, SHUT_WR);
	assert_true(SSL_read(client.ssl, (char[8]){ 0 }, 8) <= 0);
	client_close(&client);
	wait_until(front_is_empty);
	assert_int_equal(api_tls_stats(world.front)->broken, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(bytes_pass_and_the_end_of_either_side),
		TEST(server_may_end_first),
		TEST(client_cannot_say_who_it_is),
		TEST(server_that_does_not_welcome_is_not_heard),
		TEST(megabyte_both_ways_through_small_sockets),
		TEST(front_holds_no_more_than_its_buffers),
		TEST(only_clients_with_the_right_certificate),
		TEST(certificate_that_changes_is_read_again),
		TEST(bad_files_are_refused_at_start),
		TEST(silence_is_closed_at_every_stage),
		TEST(what_is_no_tls_is_closed),
		TEST(connections_beyond_the_bound_are_closed),
		TEST(stream_without_close_notify_is_cut),
	};
	char command[128];
	int failed;

	signal(SIGPIPE, SIG_IGN);
	/* The process's number tells whose it is, should it be left behind. */
	snprintf(world.dir, sizeof(world.dir), "/tmp/sluice-api-tls-t%d-XXXXXX", (int)getpid());
	if (!mkdtemp(world.dir))
		return 1;
	certificates_make(world.dir);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	snprintf(command, sizeof(command), "rm -rf '%s'", world.dir);
	return system(command) == 0 ? failed : 1;
}
