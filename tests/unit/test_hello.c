/* SPDX-License-Identifier: MIT */
/*
 * Tests of hello, crypto_stream: datagrams in, verdict and name out. The
 * shapes are those of real clients: Chromium (shuffled pieces and PINGs),
 * Firefox (cut inside the name, tail first, raw zeros behind the packet).
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/initial_writer.h"
#include "tests/lib/rfc_vectors.h"
#include "userspace/crypto_stream.h"
#include "userspace/hello.h"

static struct hello_crypto *crypto;
static struct hello *hello;
static struct initial_spec spec;
static uint8_t message[HELLO_BYTES_MAX + 100];
static size_t message_len;

static int setup_group(void **state)
{
	(void)state;
	crypto = hello_crypto_new();
	hello = calloc(1, sizeof(*hello));
	return crypto && hello ? 0 : -1;
}

static int teardown_group(void **state)
{
	(void)state;
	hello_crypto_free(crypto);
	free(hello);
	return 0;
}

/* Each test begins in memory that another flight has used. */
static int setup(void **state)
{
	(void)state;
	spec = initial_spec_default();
	hello_begin(hello, &spec.key_dcid);
	message_len = client_hello_write(message, "Game.Example.COM", 600);
	return 0;
}

static enum hello_verdict feed(const uint8_t *datagram, size_t len)
{
	uint8_t *copy = malloc(len ? len : 1), *at = len ? copy : copy + 1;
	enum hello_verdict verdict;

	memcpy(at, datagram, len);
	verdict = hello_feed(hello, crypto, at, len);
	assert_memory_equal(at, datagram, len);
	free(copy);
	return verdict;
}

static enum hello_verdict feed_frames(const uint8_t *frames, size_t len)
{
	uint8_t datagram[20000];

	len = initial_write(datagram, &spec, frames, len);
	spec.pn++;
	return feed(datagram, len);
}

/* message[from..to) in one Initial */
static enum hello_verdict feed_piece(size_t from, size_t to)
{
	uint8_t datagram[20000];
	size_t len = initial_write_crypto(datagram, &spec, message, from, to - from);

	spec.pn++;
	return feed(datagram, len);
}

static void test_rfc_vectors(void **state)
{
	(void)state;
	assert_int_equal(feed(rfc9001_client_initial, 1200), HELLO_SNI);
	assert_string_equal(hello->name, "example.com");
	hello_begin(hello, &spec.key_dcid);
	assert_int_equal(feed(rfc9369_client_initial, 1200), HELLO_SNI);
	assert_string_equal(hello->name, "example.com");
}

static void test_prefixes_of_datagram(void **state)
{
	(void)state;
	for (size_t len = 0; len < 1200; len++)
		assert_int_equal(feed(rfc9001_client_initial, len), HELLO_MALFORMED_PACKET);
	assert_int_equal(feed(rfc9001_client_initial, 1200), HELLO_SNI);
}

static void test_two_datagrams_in_any_order(void **state)
{
	/* the name is the last extension: the cut is before, inside and behind it */
	(void)state;
	for (size_t cut = 1; cut < message_len; cut++) {
		hello_begin(hello, &spec.key_dcid);
		spec.pn = 0;
		assert_int_equal(feed_piece(0, cut), HELLO_INCOMPLETE);
		assert_int_equal(feed_piece(cut, message_len), HELLO_SNI);
		assert_string_equal(hello->name, "game.example.com");
		hello_begin(hello, &spec.key_dcid);
		spec.pn = 0;
		assert_int_equal(feed_piece(cut, message_len), HELLO_INCOMPLETE);
		assert_int_equal(hello->crypto_len, 0);
		assert_int_equal(feed_piece(0, cut), HELLO_SNI);
		assert_string_equal(hello->name, "game.example.com");
	}
}

/* Firefox: cut in the middle of the name, tail first in the packet, two datagrams, raw zeros behind. */
static void test_firefox_shape(void **state)
{
	uint8_t frames[2000], datagram[1500];
	size_t cut = message_len - 5, early = message_len - 400, len;

	(void)state;
	len = crypto_frame_write(frames, cut, message + cut, message_len - cut);
	len += crypto_frame_write(frames + len, 0, message, early);
	spec.size = 0;
	len = initial_write(datagram, &spec, frames, len);
	memset(datagram + len, 0, sizeof(datagram) - len);
	assert_int_equal(feed(datagram, 1252), HELLO_INCOMPLETE);
	assert_int_equal(hello->crypto_len, early);
	spec.pn = 1;
	len = initial_write_crypto(datagram, &spec, message, early, cut - early);
	memset(datagram + len, 0, sizeof(datagram) - len);
	assert_int_equal(feed(datagram, 1252), HELLO_SNI);
	assert_string_equal(hello->name, "game.example.com");
}

/* Chromium: many small pieces in no order, PINGs and PADDING between. */
static void test_chromium_shape(void **state)
{
	uint8_t frames[4000];
	size_t len = 0, pieces = 37, step = message_len / pieces + 1;

	(void)state;
	for (size_t n = 0; n < pieces; n++) {
		size_t from = n * 11 % pieces * step, to = from + step < message_len ? from + step : message_len;

		if (from >= to)
			continue;
		len += crypto_frame_write(frames + len, from, message + from, to - from);
		frames[len++] = 0x01;
		memset(frames + len, 0, n % 12);
		len += n % 12;
	}
	assert_int_equal(feed_frames(frames, len), HELLO_SNI);
	assert_string_equal(hello->name, "game.example.com");
}

/* Every order of overlapping pieces gives the same bytes; bit by bit over the bitmap's word edges. */
static void test_overlaps_and_edges(void **state)
{
	uint8_t frames[400];
	unsigned random = 1;

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		size_t guard = 0;

		hello_begin(hello, &spec.key_dcid);
		while (hello->crypto_len < message_len && guard++ < 20000) {
			size_t from, len;

			random = random * 1103515245 + 12345;
			from = (random >> 8) % message_len;
			len = 1 + (random >> 20) % 200;
			len = from + len < message_len ? len : message_len - from;
			assert_true(crypto_stream_feed(hello, frames,
						       crypto_frame_write(frames, from, message + from, len)));
		}
		assert_int_equal(hello->crypto_len, message_len);
		assert_int_equal(hello->crypto_end, message_len);
		assert_memory_equal(hello->crypto, message, message_len);
	}
}

static void test_first_bytes_win(void **state)
{
	uint8_t frames[2000], evil[2000];
	size_t evil_len = client_hello_write(evil, "evil.example.org", 600), tail = message_len - 10, len;

	(void)state;
	assert_int_equal(evil_len, message_len);
	/* in another datagram ... */
	assert_int_equal(feed_piece(tail, message_len), HELLO_INCOMPLETE);
	len = crypto_frame_write(frames, 0, evil, evil_len);
	assert_int_equal(feed_frames(frames, len), HELLO_SNI);
	assert_memory_equal(hello->name, "evil.e", 6);
	assert_string_equal(hello->name + 6, "xample.com");
	/* ... and within one packet */
	hello_begin(hello, &spec.key_dcid);
	len = crypto_frame_write(frames, 1, message + 1, message_len - 1);
	len += crypto_frame_write(frames + len, 0, evil, evil_len);
	assert_int_equal(feed_frames(frames, len), HELLO_SNI);
	assert_string_equal(hello->name, "game.example.com");
}

static void test_nothing_new(void **state)
{
	static const uint8_t ping[] = { 0x01 };

	(void)state;
	assert_int_equal(feed_frames(ping, 1), HELLO_INCOMPLETE);
	assert_int_equal(feed_piece(0, 100), HELLO_INCOMPLETE);
	assert_int_equal(feed_piece(0, 100), HELLO_INCOMPLETE);
	assert_int_equal(feed_piece(50, 90), HELLO_INCOMPLETE);
	assert_int_equal(hello->crypto_len, 100);
	assert_int_equal(feed_piece(90, message_len), HELLO_SNI);
}

/* The name may be there before the end of the message; never out of bytes that are not contiguous. */
static void test_early_name(void **state)
{
	(void)state;
	message_len = client_hello_write(message, "early.example", 0);
	/* a longer body: more extensions than have arrived */
	message[3] += 100;
	message[4 + 2 + 32 + 1 + 2 + 2 + 2 + 1] += 100;
	assert_int_equal(feed_piece(0, message_len - 1), HELLO_INCOMPLETE);
	assert_int_equal(feed_piece(message_len - 1, message_len), HELLO_SNI);
	assert_string_equal(hello->name, "early.example");
	hello_begin(hello, &spec.key_dcid);
	assert_int_equal(feed_piece(1, message_len), HELLO_INCOMPLETE);
}

static void test_no_sni(void **state)
{
	(void)state;
	message_len = client_hello_write(message, NULL, 500);
	assert_int_equal(feed_piece(0, message_len - 1), HELLO_INCOMPLETE);
	assert_int_equal(feed_piece(message_len - 1, message_len), HELLO_NO_SNI);
}

#define FRAMES(...) .frames = (const uint8_t[]){ __VA_ARGS__ }, .len = sizeof((const uint8_t[]){ __VA_ARGS__ })

static const struct frames_row {
	const char *name;
	const uint8_t *frames;
	size_t len;
	bool good;
} frames_rows[] = {
	{ "PADDING", FRAMES(0, 0, 0), true },
	{ "PING", FRAMES(1), true },
	{ "ACK without ranges", FRAMES(2, 5, 0, 0, 1), true },
	{ "ACK with two ranges", FRAMES(2, 9, 0x40, 1, 2, 1, 0, 0, 2, 0), true },
	{ "ACK_ECN", FRAMES(3, 5, 0, 0, 1, 1, 1, 0x40, 0), true },
	{ "CONNECTION_CLOSE", FRAMES(0x1c, 0x41, 0x28, 0, 2, 'n', 'o'), true },
	{ "CRYPTO of no bytes", FRAMES(6, 0, 0), true },
	{ "type PING in 8 bytes", FRAMES(0xc0, 0, 0, 0, 0, 0, 0, 1), true },
	{ "type CRYPTO in 2 bytes", FRAMES(0x40, 6, 0, 1, 'x'), true },
	{ "CRYPTO up to the bound", FRAMES(6, 0x7f, 0xff, 1, 'x'), true },
	{ "CRYPTO one byte over the bound", FRAMES(6, 0x7f, 0xff, 2, 'x', 'y'), false },
	{ "CRYPTO at a huge offset", FRAMES(6, 0xff, 255, 255, 255, 255, 255, 255, 255, 1, 'x'), false },
	{ "CRYPTO of no bytes at a huge offset", FRAMES(6, 0xff, 255, 255, 255, 255, 255, 255, 255, 0), false },
	{ "CRYPTO longer than the packet", FRAMES(6, 0, 3, 'a', 'b'), false },
	{ "CRYPTO of huge length", FRAMES(6, 0, 0xff, 255, 255, 255, 255, 255, 255, 255, 1), false },
	{ "CRYPTO without length", FRAMES(6, 0), false },
	{ "ACK cut in its ranges", FRAMES(2, 9, 0, 2, 1, 0, 0, 2), false },
	{ "ACK with 2^62 - 1 ranges", FRAMES(2, 9, 0, 0xff, 255, 255, 255, 255, 255, 255, 255, 0, 0), false },
	{ "ACK_ECN without counts", FRAMES(3, 5, 0, 0, 1, 1, 1), false },
	{ "CONNECTION_CLOSE, reason cut", FRAMES(0x1c, 1, 0, 3, 'n', 'o'), false },
	{ "type cut short", FRAMES(1, 0x40), false },
	{ "no frames", .frames = (const uint8_t[]){ 0 }, .len = 0, .good = false },
};

static void test_frames(void **state)
{
	int failures = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(frames_rows) / sizeof(frames_rows[0]); i++) {
		const struct frames_row *row = &frames_rows[i];
		uint8_t *copy = malloc(row->len ? row->len : 1), *at = row->len ? copy : copy + 1;

		memcpy(at, row->frames, row->len);
		hello_begin(hello, &spec.key_dcid);
		if (crypto_stream_feed(hello, at, row->len) != row->good) {
			print_error("FAILED: %s\n", row->name);
			failures++;
		}
		free(copy);
	}
	assert_int_equal(failures, 0);
}

/* RFC 9000 s12.4 table 3: all types of one byte but six are not for Initials. */
static void test_forbidden_frames(void **state)
{
	uint8_t frames[40] = { 0 };

	(void)state;
	for (unsigned type = 0; type < 0x40; type++) {
		bool allowed = type <= 3 || type == 6 || type == 0x1c;

		frames[0] = (uint8_t)type;
		hello_begin(hello, &spec.key_dcid);
		assert_int_equal(feed_frames(frames, sizeof(frames)), allowed ? HELLO_INCOMPLETE : HELLO_BAD_CRYPTO);
	}
	frames[0] = 0x1d; /* CONNECTION_CLOSE of the application, behind good CRYPTO */
	hello_begin(hello, &spec.key_dcid);
	assert_int_equal(feed_piece(0, 50), HELLO_INCOMPLETE);
	assert_int_equal(feed_frames(frames, sizeof(frames)), HELLO_BAD_CRYPTO);
}

/* What does not authenticate leaves the flight as it was. */
static void test_garbage_does_not_spoil(void **state)
{
	static const uint8_t short_header[30] = { 0x40 }, other_version[30] = { 0xc0, 0xff, 0, 0, 29 };
	struct hello *before = malloc(sizeof(*before));
	struct initial_spec alien = spec;
	uint8_t datagram[1200];
	size_t len;

	(void)state;
	assert_int_equal(feed_piece(0, 300), HELLO_INCOMPLETE);
	*before = *hello;
	alien.key_dcid = cid_from_hex("0011223344556677");
	len = initial_write_crypto(datagram, &alien, message, 0, message_len);
	assert_int_equal(feed(datagram, len), HELLO_DECRYPT_FAILED);
	assert_int_equal(feed(datagram, 700), HELLO_MALFORMED_PACKET);
	assert_int_equal(feed(datagram, 0), HELLO_MALFORMED_PACKET);
	assert_int_equal(feed(short_header, 30), HELLO_NOT_INITIAL);
	assert_int_equal(feed(other_version, 30), HELLO_UNSUPPORTED_VERSION);
	opaque_packet_write(datagram, QUIC_0RTT, QUIC_VERSION_1, &spec.dcid, &spec.scid, 1200);
	assert_int_equal(feed(datagram, 1200), HELLO_NOT_INITIAL);
	opaque_packet_write(datagram, QUIC_HANDSHAKE, QUIC_VERSION_2, &spec.dcid, &spec.scid, 1200);
	assert_int_equal(feed(datagram, 1200), HELLO_NOT_INITIAL);
	datagram[1] = datagram[2] = datagram[3] = datagram[4] = 0;
	assert_int_equal(feed(datagram, 1200), HELLO_NOT_INITIAL);
	assert_memory_equal(before, hello, sizeof(*before));
	free(before);
	assert_int_equal(feed_piece(300, message_len), HELLO_SNI);
}

/* A coalesced datagram: `pieces` one after the other. */
static size_t append(uint8_t *datagram, size_t at, size_t from, size_t to)
{
	spec.size = 0;
	at += initial_write_crypto(datagram + at, &spec, message, from, to - from);
	spec.pn++;
	return at;
}

static void test_coalesced(void **state)
{
	uint8_t datagram[4000];
	size_t len;

	(void)state;
	/* two Initials and 0-RTT between */
	len = append(datagram, 0, 0, 300);
	len += opaque_packet_write(datagram + len, QUIC_0RTT, QUIC_VERSION_1, &spec.dcid, &spec.scid, 100);
	len = append(datagram, len, 300, message_len);
	assert_int_equal(feed(datagram, len), HELLO_SNI);
	/* 0-RTT first */
	hello_begin(hello, &spec.key_dcid);
	len = opaque_packet_write(datagram, QUIC_0RTT, QUIC_VERSION_1, &spec.dcid, &spec.scid, 100);
	len = append(datagram, len, 0, message_len);
	assert_int_equal(feed(datagram, len), HELLO_SNI);
	/* garbage behind */
	hello_begin(hello, &spec.key_dcid);
	len = append(datagram, 0, 0, message_len);
	memset(datagram + len, 0xff, 200);
	assert_int_equal(feed(datagram, len + 200), HELLO_SNI);
	/* an Initial that does not authenticate before one that does (RFC 9000 s12.2) */
	hello_begin(hello, &spec.key_dcid);
	len = append(datagram, 0, 0, message_len);
	datagram[len - 1] ^= 1;
	len = append(datagram, len, 0, message_len);
	assert_int_equal(feed(datagram, len), HELLO_SNI);
	/* the second has another DCID: ignored */
	hello_begin(hello, &spec.key_dcid);
	len = append(datagram, 0, 0, 300);
	spec.dcid = cid_from_hex("0011223344556677");
	len = append(datagram, len, 300, message_len);
	assert_int_equal(feed(datagram, len), HELLO_INCOMPLETE);
	assert_int_equal(hello->crypto_len, 300);
}

/* The server's DCID in later Initials; the version changed between them (RFC 9369 s4). */
static void test_server_cid_and_version_change(void **state)
{
	(void)state;
	assert_int_equal(feed_piece(0, 300), HELLO_INCOMPLETE);
	spec.dcid = cid_from_hex("aabb");
	spec.version = QUIC_VERSION_2;
	assert_int_equal(feed_piece(300, message_len), HELLO_SNI);
	assert_string_equal(hello->name, "game.example.com");
}

/* After a Retry the keys come from its SCID, which may have any length. */
static void test_after_retry(void **state)
{
	static const uint8_t token[] = "an address token";

	(void)state;
	spec.dcid = spec.key_dcid = cid_from_hex("");
	spec.token = token;
	spec.token_len = sizeof(token);
	hello_begin(hello, &spec.key_dcid);
	assert_int_equal(feed_piece(0, message_len), HELLO_SNI);
}

/* A ClientHello as large as allowed, in pieces; and one byte larger. */
static void test_largest(void **state)
{
	size_t spare = client_hello_write(message, "big.example", 1);
	size_t step = 3000;

	(void)state;
	message_len = client_hello_write(message, "big.example", HELLO_BYTES_MAX - spare + 1);
	assert_int_equal(message_len, HELLO_BYTES_MAX);
	for (size_t from = 0; from < message_len; from += step) {
		size_t to = from + step < message_len ? from + step : message_len;

		assert_int_equal(feed_piece(from, to), to == message_len ? HELLO_SNI : HELLO_INCOMPLETE);
	}
	hello_begin(hello, &spec.key_dcid);
	message_len = client_hello_write(message, "big.example", HELLO_BYTES_MAX - spare + 2);
	assert_int_equal(feed_piece(0, 1000), HELLO_BAD_CLIENT_HELLO);
}

/* A used hello, begun again, must hold nothing of the flight before. */
static void test_begin_forgets(void **state)
{
	(void)state;
	assert_int_equal(feed_piece(100, message_len), HELLO_INCOMPLETE);
	hello_begin(hello, &spec.key_dcid);
	assert_int_equal(feed_piece(0, 100), HELLO_INCOMPLETE);
	assert_int_equal(hello->crypto_len, 100);
	for (size_t i = 2; i < sizeof(hello->received) / sizeof(hello->received[0]); i++)
		assert_true(hello->received[i] == 0);
	/* neither keys nor packet numbers */
	spec.pn_len = 2;
	spec.pn = 300;
	assert_int_equal(feed_piece(0, 100), HELLO_INCOMPLETE);
	spec = initial_spec_default();
	spec.key_dcid = cid_from_hex("0102030405060708");
	hello_begin(hello, &spec.key_dcid);
	assert_int_equal(feed_piece(0, message_len), HELLO_SNI);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		TEST(test_rfc_vectors),
		TEST(test_prefixes_of_datagram),
		TEST(test_two_datagrams_in_any_order),
		TEST(test_firefox_shape),
		TEST(test_chromium_shape),
		TEST(test_overlaps_and_edges),
		TEST(test_first_bytes_win),
		TEST(test_nothing_new),
		TEST(test_early_name),
		TEST(test_no_sni),
		TEST(test_frames),
		TEST(test_forbidden_frames),
		TEST(test_garbage_does_not_spoil),
		TEST(test_coalesced),
		TEST(test_server_cid_and_version_change),
		TEST(test_after_retry),
		TEST(test_largest),
		TEST(test_begin_forgets),
	};

	return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
