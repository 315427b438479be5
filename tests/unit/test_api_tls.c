/* SPDX-License-Identifier: MIT */
/*
 * test_api_tls: clients of OpenSSL's own, through the front, to a plain server
 * of the test's (tests/lib/tls_world). Every wait is for an event, 10 s at the
 * most.
 */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/tls_world.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { PATIENCE_MS = TLS_WORLD_PATIENCE_MS, MEGABYTE = 1 << 20, FLOOD_BYTES = 256 * MEGABYTE };

static int tear_down(void **unused)
{
	(void)unused;
	tls_world_stop();
	return 0;
}

static bool greeting_is_right(const char *text)
{
	const char *secret = strstr(text, API_TLS_SECRET_HEADER ": ");
	char value[65] = "";

	if (!secret || sscanf(secret, API_TLS_SECRET_HEADER ": %64[0-9a-f]\r\n", value) != 1)
		return false;
	if (!api_tls_is_secret(tls_world.front, value))
		return false;
	value[63] ^= 1;
	return !api_tls_is_secret(tls_world.front, value) && !api_tls_is_secret(tls_world.front, "") &&
	       strncmp(text, "GET / HTTP/1.1\r\n", 16) == 0;
}

/* Reads to the end, which must be an orderly one. */
static void client_hears(struct tls_client *client, const char *expected)
{
	char heard[256];
	int len = 0, n;

	while ((n = SSL_read(client->ssl, heard + len, (int)sizeof(heard) - 1 - len)) > 0)
		len += n;
	heard[len] = '\0';
	assert_int_equal(SSL_get_error(client->ssl, n), SSL_ERROR_ZERO_RETURN);
	assert_string_equal(heard, expected);
}

static bool would_block(const struct tls_client *client, int result)
{
	int error = SSL_get_error(client->ssl, result);

	return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

static bool client_is_refused(struct tls_client *client)
{
	char byte;

	SSL_write(client->ssl, "x", 1);
	return SSL_read(client->ssl, &byte, 1) <= 0;
}

static bool front_is_empty(void)
{
	return api_tls_stats(tls_world.front)->open == 0;
}

static bool one_has_ended(void)
{
	return tls_world.ended == 1;
}

static bool two_have_ended(void)
{
	return tls_world.ended == 2;
}

/* --- tests ---------------------------------------------------------------------------------------- */

static void bytes_pass_and_the_end_of_either_side(void **unused)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

	(void)unused;
	tls_world_start(COUNT_THEN_ANSWER, false, NULL);
	for (size_t i = 0; i < COUNT(versions); i++) {
		struct tls_client client = tls_client_open(NULL, versions[i]);

		assert_int_equal(SSL_version(client.ssl), versions[i]);
		assert_int_equal(SSL_write(client.ssl, "12345", 5), 5);
		SSL_shutdown(client.ssl); /* half-close: the answer is still to come */
		client_hears(&client, "5");
		tls_client_close(&client);
	}
	tls_world_wait(front_is_empty);
	tls_world_wait(two_have_ended);
	assert_true(greeting_is_right(tls_world.greeting));
	assert_int_equal(api_tls_stats(tls_world.front)->accepted, 2);
	assert_int_equal(api_tls_stats(tls_world.front)->broken + api_tls_stats(tls_world.front)->timed_out, 0);
}

static void server_may_end_first(void **unused)
{
	struct tls_client client;

	(void)unused;
	tls_world_start(ANSWER_THEN_COUNT, false, NULL);
	client = tls_client_open(NULL, TLS1_3_VERSION);
	assert_int_equal(SSL_write(client.ssl, "123", 3), 3);
	client_hears(&client, "hello");
	assert_int_equal(SSL_write(client.ssl, "4567", 4), 4);
	SSL_shutdown(client.ssl);
	tls_world_wait(one_has_ended);
	assert_int_equal(tls_world.counted, 7);
	tls_client_close(&client);
	tls_world_wait(front_is_empty);
}

static void client_cannot_say_who_it_is(void **unused)
{
	static const char forged[] = "GET / HTTP/1.1\r\n" API_TLS_PEER_HEADER ": 192.0.2.1\r\n\r\n";
	struct tls_client client;

	(void)unused;
	tls_world_start(TELL_PEER, false, NULL);
	client = tls_client_open(NULL, TLS1_3_VERSION);
	assert_int_equal(SSL_write(client.ssl, forged, sizeof(forged) - 1), sizeof(forged) - 1);
	client_hears(&client, "127.0.0.1");
	tls_client_close(&client);
}

static void server_that_does_not_welcome_is_not_heard(void **unused)
{
	struct tls_client client;

	(void)unused;
	tls_world_start(NO_WELCOME, false, NULL);
	client = tls_client_open(NULL, TLS1_3_VERSION);
	assert_true(client_is_refused(&client));
	tls_client_close(&client);
	tls_world_wait(front_is_empty);
	assert_int_equal(api_tls_stats(tls_world.front)->broken, 1);
}

/* Both ways at once, through sockets that take 4 KB at a time. */
static void megabyte_both_ways_through_small_sockets(void **unused)
{
	static uint8_t out[MEGABYTE], in[MEGABYTE];
	size_t sent = 0, received = 0;
	struct tls_client client;

	(void)unused;
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 31 + i / 251);
	tls_world_start(ECHO, false, NULL);
	client = tls_client_open(NULL, TLS1_3_VERSION);
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
	tls_client_close(&client);
	tls_world_wait(one_has_ended);
	assert_int_equal(tls_world.counted, MEGABYTE);
}

/* A server that does not read stops its client, at what the sockets hold; when it reads, all has come. */
static void front_holds_no_more_than_its_buffers(void **unused)
{
	static const char zeros[16384];
	struct tls_client client;
	uint64_t sent = 0;
	int n = 1, more;

	(void)unused;
	tls_world_start(READ_NOTHING, false, NULL);
	client = tls_client_open(NULL, TLS1_3_VERSION);
	fcntl(client.fd, F_SETFL, O_NONBLOCK);
	for (;;) {
		struct pollfd ready = { .fd = client.fd, .events = POLLOUT };

		n = SSL_write(client.ssl, zeros, sizeof(zeros));
		sent += n > 0 ? (uint64_t)n : 0;
		assert_true(sent < FLOOD_BYTES);
		if (n <= 0 && poll(&ready, 1, 300) == 0)
			break; /* stuck, and stays so */
	}
	tls_world.may_read = true;
	fcntl(client.fd, F_SETFL, 0);
	more = SSL_write(client.ssl, zeros, sizeof(zeros)); /* the one that was stuck */
	assert_int_equal(more, sizeof(zeros));
	SSL_shutdown(client.ssl);
	tls_world_wait(one_has_ended);
	assert_int_equal(tls_world.counted, sent + sizeof(zeros));
	tls_client_close(&client);
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
	tls_world_start(TELL_PEER, true, NULL);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct tls_client client = tls_client_open(rows[i].name, rows[i].version);
		bool refused = client_is_refused(&client);

		if (refused == rows[i].let_in)
			fail_msg("%s, TLS version %x: %s", rows[i].name ? rows[i].name : "no certificate",
				 (unsigned)rows[i].version, refused ? "refused" : "let in");
		failed += refused;
		tls_client_close(&client);
	}
	tls_world_wait(front_is_empty);
	assert_int_equal(api_tls_stats(tls_world.front)->handshake_failed, failed);
	tls_world_wait(two_have_ended);
	assert_int_equal(COUNT(rows) - failed, 2); /* the others got no connection to the server */
}

static bool certificate_is(const char *name)
{
	struct tls_client client = tls_client_open(NULL, TLS1_3_VERSION);
	X509 *certificate = SSL_get1_peer_certificate(client.ssl);
	char shown[64] = "";

	if (certificate)
		X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, shown, sizeof(shown));
	X509_free(certificate);
	SSL_shutdown(client.ssl);
	tls_client_close(&client);
	return strcmp(shown, name) == 0;
}

static bool shows_renewed(void)
{
	return certificate_is("renewed");
}

static void certificate_that_changes_is_read_again(void **unused)
{
	struct tls_client before;
	char byte;

	(void)unused;
	tls_world_start(ECHO, false, NULL);
	before = tls_client_open(NULL, TLS1_3_VERSION);
	assert_true(certificate_is("server"));
	tls_world_copy("renewed.pem", tls_world.cert); /* its key is not there yet: not good together */
	api_tls_reload(tls_world.front);
	assert_true(certificate_is("server"));
	tls_world_copy("renewed.key", tls_world.key);
	tls_world_wait(shows_renewed); /* without being told */
	assert_int_equal(SSL_write(before.ssl, "x", 1), 1);
	assert_int_equal(SSL_read(before.ssl, &byte, 1), 1);
	tls_client_close(&before);
}

static void bad_files_are_refused_at_start(void **unused)
{
	static const char *const bad[][3] = {
		{ "none.pem", "server.key", "" },
		{ "server.pem", "client.key", "" },
		{ "server.key", "server.key", "" },
		{ "server.pem", "server.key", "none" },
	};
	struct api_tls_options options = { .files = &tls_world.files };

	(void)unused;
	for (size_t i = 0; i < COUNT(bad); i++) {
		char cert[192], key[192], ca[192];

		strcpy(cert, tls_world_file(bad[i][0]));
		strcpy(key, tls_world_file(bad[i][1]));
		strcpy(ca, bad[i][2][0] ? tls_world_file(bad[i][2]) : "");
		tls_world.files = (struct config_api_tls){ .cert = cert, .key = key, .client_ca = ca };
		assert_null(api_tls_new(&options));
	}
}

static void silence_is_closed_at_every_stage(void **unused)
{
	const struct api_tls_options options = { .limits = { .handshake_ms = 200, .idle_ms = 200, .linger_ms = 200 } };
	struct tls_client quiet, idle;
	int never;

	(void)unused;
	tls_world_start(READ_NOTHING, false, &options);
	never = tls_client_plain();
	assert_int_equal(send(never, "\x16\x03\x01", 3, MSG_NOSIGNAL), 3); /* a record's begin, and no more */
	assert_true(tls_client_is_closed(never));
	assert_int_equal(api_tls_stats(tls_world.front)->timed_out, 1);
	quiet = tls_client_open(NULL, TLS1_3_VERSION);
	assert_true(SSL_is_init_finished(quiet.ssl));
	assert_true(tls_client_is_closed(quiet.fd));
	idle = tls_client_open(NULL, TLS1_3_VERSION);
	assert_int_equal(SSL_write(idle.ssl, "x", 1), 1);
	assert_true(tls_client_is_closed(idle.fd));
	tls_world_wait(front_is_empty);
	assert_int_equal(api_tls_stats(tls_world.front)->timed_out, 3);
	close(never);
	tls_client_close(&quiet);
	tls_client_close(&idle);
}

static void what_is_no_tls_is_closed(void **unused)
{
	static const char *const texts[] = { "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "PUT", "\x16\x03\x01\xff\xff\xff",
					     "\x80\x80\x01\x03\x01" };

	(void)unused;
	tls_world_start(ECHO, false, &(struct api_tls_options){ .limits.handshake_ms = 300 });
	for (size_t i = 0; i < COUNT(texts); i++) {
		int fd = tls_client_plain();

		assert_int_equal(send(fd, texts[i], strlen(texts[i]), MSG_NOSIGNAL), strlen(texts[i]));
		assert_true(tls_client_is_closed(fd));
		close(fd);
	}
	tls_world_wait(front_is_empty);
	assert_true(certificate_is("server"));
}

static bool two_are_open(void)
{
	return api_tls_stats(tls_world.front)->open == 2;
}

static void connections_beyond_the_bound_are_closed(void **unused)
{
	int fds[2], third;

	(void)unused;
	tls_world_start(ECHO, false, &(struct api_tls_options){ .connections_max = 2 });
	for (size_t i = 0; i < COUNT(fds); i++)
		fds[i] = tls_client_plain();
	tls_world_wait(two_are_open);
	third = tls_client_plain();
	assert_true(tls_client_is_closed(third));
	assert_int_equal(api_tls_stats(tls_world.front)->full, 1);
	assert_true(two_are_open());
	for (size_t i = 0; i < COUNT(fds); i++)
		close(fds[i]);
	close(third);
	tls_world_wait(front_is_empty);
	assert_true(certificate_is("server"));
}

/* What was cut may lack its end: the server must not take it for a whole. */
static void stream_without_close_notify_is_cut(void **unused)
{
	struct tls_client client;

	(void)unused;
	tls_world_start(COUNT_THEN_ANSWER, false, NULL);
	client = tls_client_open(NULL, TLS1_3_VERSION);
	assert_int_equal(SSL_write(client.ssl, "12345", 5), 5);
	shutdown(client.fd, SHUT_WR);
	assert_true(SSL_read(client.ssl, (char[8]){ 0 }, 8) <= 0);
	tls_client_close(&client);
	tls_world_wait(front_is_empty);
	assert_int_equal(api_tls_stats(tls_world.front)->broken, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_teardown(name, tear_down)
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
	int failed;

	signal(SIGPIPE, SIG_IGN);
	tls_world_begin();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	tls_world_end();
	return failed;
}
