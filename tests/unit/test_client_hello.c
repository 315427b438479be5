/* SPDX-License-Identifier: MIT */
/*
 * Tests of client_hello: rows of extension blocks and bodies, each with every
 * prefix in memory of exactly its size.
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
#include "userspace/client_hello.h"

static enum hello_verdict name_of(const uint8_t *bytes, size_t len, char name[static HELLO_NAME_MAX + 1])
{
	uint8_t *copy = malloc(len ? len : 1), *at = len ? copy : copy + 1;
	enum hello_verdict verdict;

	memcpy(at, bytes, len);
	verdict = client_hello_name(at, len, name);
	free(copy);
	return verdict;
}

/* --- extensions ------------------------------------------------------------------------------- */

#define BYTES(...) .data = (const uint8_t[]){ __VA_ARGS__ }, .len = sizeof((const uint8_t[]){ __VA_ARGS__ })
#define SNI_AB 0, 0, 0, 8, 0, 6, 0, 0, 3, 'a', '.', 'b'
#define OTHER 0, 43, 0, 1, 9
#define ECH 0xfe, 0x0d, 0, 2, 0, 0

static const struct row {
	const char *name;
	const uint8_t *data;       /* the extensions, without their length */
	size_t len;
	enum hello_verdict verdict;
	const char *sni;
} rows[] = {
	{ "name alone", BYTES(SNI_AB), HELLO_SNI, "a.b" },
	{ "name first", BYTES(SNI_AB, OTHER), HELLO_SNI, "a.b" },
	{ "name last", BYTES(OTHER, OTHER, SNI_AB), HELLO_SNI, "a.b" },
	{ "encrypted ClientHello: the outer name", BYTES(ECH, SNI_AB), HELLO_SNI, "a.b" },
	{ "name in upper case", BYTES(0, 0, 0, 8, 0, 6, 0, 0, 3, 'A', '.', 'Z'), HELLO_SNI, "a.z" },
	{ "name with all that is allowed", BYTES(0, 0, 0, 13, 0, 11, 0, 0, 8, '_', '-', '0', '9', '.', 'x', 'Y', 'z'),
	  HELLO_SNI, "_-09.xyz" },
	{ "trailing dot is removed", BYTES(0, 0, 0, 9, 0, 7, 0, 0, 4, 'a', '.', 'b', '.'), HELLO_SNI, "a.b" },
	{ "name type unknown, then a host name", BYTES(0, 0, 0, 12, 0, 10, 5, 0, 1, 0xff, 0, 0, 3, 'a', '.', 'b'),
	  HELLO_SNI, "a.b" },
	{ "no name", BYTES(OTHER), HELLO_NO_SNI, NULL },
	{ "no extensions", .data = NULL, .len = 0, .verdict = HELLO_NO_SNI, .sni = NULL },
	{ "only a name type unknown", BYTES(0, 0, 0, 6, 0, 4, 5, 0, 1, 'x'), HELLO_NO_SNI, NULL },
	{ "two server_name extensions", BYTES(SNI_AB, OTHER, SNI_AB), HELLO_BAD_CLIENT_HELLO, NULL },
	{ "two server_name extensions, the first without host name", BYTES(0, 0, 0, 6, 0, 4, 5, 0, 1, 'x', SNI_AB),
	  HELLO_BAD_CLIENT_HELLO, NULL },
	{ "two host names", BYTES(0, 0, 0, 10, 0, 8, 0, 0, 1, 'a', 0, 0, 1, 'b'), HELLO_BAD_CLIENT_HELLO, NULL },
	{ "empty host name", BYTES(0, 0, 0, 5, 0, 3, 0, 0, 0), HELLO_BAD_CLIENT_HELLO, NULL },
	{ "host name is a dot", BYTES(0, 0, 0, 6, 0, 4, 0, 0, 1, '.'), HELLO_BAD_CLIENT_HELLO, NULL },
	{ "empty server_name", BYTES(0, 0, 0, 0, OTHER), HELLO_BAD_CLIENT_HELLO, NULL },
	{ "empty list", BYTES(0, 0, 0, 2, 0, 0), HELLO_BAD_CLIENT_HELLO, NULL },
	{ "list shorter than its extension", BYTES(0, 0, 0, 9, 0, 6, 0, 0, 3, 'a', '.', 'b', 0), HELLO_BAD_CLIENT_HELLO,
	  NULL },
	{ "list longer than its extension", BYTES(0, 0, 0, 8, 0, 7, 0, 0, 3, 'a', '.', 'b', OTHER),
	  HELLO_BAD_CLIENT_HELLO, NULL },
	{ "name longer than its list", BYTES(0, 0, 0, 8, 0, 6, 0, 0, 4, 'a', '.', 'b', OTHER), HELLO_BAD_CLIENT_HELLO,
	  NULL },
	{ "bytes behind the name", BYTES(0, 0, 0, 8, 0, 6, 0, 0, 2, 'a', '.', 'b'), HELLO_BAD_CLIENT_HELLO, NULL },
	{ "space in the name", BYTES(0, 0, 0, 8, 0, 6, 0, 0, 3, 'a', ' ', 'b'), HELLO_BAD_CLIENT_HELLO, NULL },
	{ "star in the name", BYTES(0, 0, 0, 8, 0, 6, 0, 0, 3, '*', '.', 'b'), HELLO_BAD_CLIENT_HELLO, NULL },
	{ "NUL in the name", BYTES(0, 0, 0, 8, 0, 6, 0, 0, 3, 'a', 0, 'b'), HELLO_BAD_CLIENT_HELLO, NULL },
	{ "tab in the name", BYTES(0, 0, 0, 8, 0, 6, 0, 0, 3, 'a', '\t', 'b'), HELLO_BAD_CLIENT_HELLO, NULL },
	{ "UTF-8 in the name", BYTES(0, 0, 0, 8, 0, 6, 0, 0, 3, 'a', 0xc3, 0xa4), HELLO_BAD_CLIENT_HELLO, NULL },
	{ "extension longer than the message", BYTES(SNI_AB, 0, 43, 0, 2, 9), HELLO_BAD_CLIENT_HELLO, NULL },
	{ "extension cut in its type", BYTES(OTHER, 0), HELLO_BAD_CLIENT_HELLO, NULL },
};

static size_t with_extensions(uint8_t *out, const uint8_t *extensions, size_t len)
{
	/* what stands before the extensions is 45 bytes; see initial_writer */
	size_t at = 45;

	client_hello_write(out, NULL, 0);
	out[at] = (uint8_t)(len >> 8);
	out[at + 1] = (uint8_t)len;
	if (len)
		memcpy(out + at + 2, extensions, len);
	at += 2 + len;
	out[1] = 0;
	out[2] = (uint8_t)((at - 4) >> 8);
	out[3] = (uint8_t)(at - 4);
	return at;
}

static void test_extensions(void **state)
{
	int failures = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		char name[HELLO_NAME_MAX + 1] = "";
		uint8_t bytes[512];
		size_t len = with_extensions(bytes, row->data, row->len);
		enum hello_verdict verdict = name_of(bytes, len, name);

		if (verdict != row->verdict || (row->sni && strcmp(name, row->sni) != 0)) {
			print_error("FAILED: %s: verdict %d, name %s\n", row->name, verdict, name);
			failures++;
		}
	}
	assert_int_equal(failures, 0);
}

/*
 * Whatever has arrived so far, the verdict on it is the final one or "more";
 * a name may come early, and then a fault behind it goes unseen.
 */
static void test_prefixes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t bytes[512];
		size_t len = with_extensions(bytes, rows[i].data, rows[i].len);

		for (size_t n = 0; n < len; n++) {
			char name[HELLO_NAME_MAX + 1];
			enum hello_verdict verdict = name_of(bytes, n, name);

			if (verdict != HELLO_INCOMPLETE && verdict != rows[i].verdict && verdict != HELLO_SNI)
				fail_msg("%s: %zu bytes: verdict %d", rows[i].name, n, verdict);
			if (verdict == HELLO_NO_SNI)
				fail_msg("%s: %zu bytes are not all", rows[i].name, n);
		}
	}
}

/* --- what stands before the extensions ---------------------------------------------------------- */

enum { SESSION_ID_LEN = 38, CIPHERS_LEN = 39, COMPRESSION_LEN = 43, EXTENSIONS_LEN = 45 };

static const struct body_row {
	const char *name;
	size_t at;
	uint8_t value;
	enum hello_verdict verdict;
} body_rows[] = {
	{ "unchanged", 4, 3, HELLO_SNI },
	{ "another legacy_version", 5, 1, HELLO_SNI },
	{ "ServerHello", 0, 2, HELLO_BAD_CLIENT_HELLO },
	{ "longer than 16,384 bytes", 1, 1, HELLO_BAD_CLIENT_HELLO },
	{ "16,385 bytes", 2, 0x40, HELLO_BAD_CLIENT_HELLO },
	{ "too short for its random", 3, 33, HELLO_BAD_CLIENT_HELLO },
	{ "one byte shorter than its extensions", 3, 60, HELLO_BAD_CLIENT_HELLO },
	{ "session ID of 33 bytes", SESSION_ID_LEN, 33, HELLO_BAD_CLIENT_HELLO },
	{ "no cipher suites", CIPHERS_LEN + 1, 0, HELLO_BAD_CLIENT_HELLO },
	{ "cipher suites of odd length", CIPHERS_LEN + 1, 3, HELLO_BAD_CLIENT_HELLO },
	{ "cipher suites beyond the message", CIPHERS_LEN, 0x10, HELLO_BAD_CLIENT_HELLO },
	{ "no compression method", COMPRESSION_LEN, 0, HELLO_BAD_CLIENT_HELLO },
	{ "compression methods beyond the message", COMPRESSION_LEN, 255, HELLO_BAD_CLIENT_HELLO },
	{ "extensions beyond the message", EXTENSIONS_LEN, 1, HELLO_BAD_CLIENT_HELLO },
	{ "extensions end before the message", EXTENSIONS_LEN + 1, 10, HELLO_BAD_CLIENT_HELLO },
};

static void test_bodies(void **state)
{
	int failures = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(body_rows) / sizeof(body_rows[0]); i++) {
		const struct body_row *row = &body_rows[i];
		uint8_t bytes[512];
		size_t len = client_hello_write(bytes, "abc.de", 0);
		char name[HELLO_NAME_MAX + 1];
		enum hello_verdict verdict;

		assert_int_equal(len, 4 + 65);
		bytes[row->at] = row->value;
		verdict = name_of(bytes, len, name);
		if (verdict != row->verdict) {
			print_error("FAILED: %s: verdict %d\n", row->name, verdict);
			failures++;
		}
	}
	assert_int_equal(failures, 0);
}

/* legacy_session_id<0..32> (RFC 8446 s4.1.2), all of it there */
static void test_session_id_lengths(void **state)
{
	(void)state;
	for (uint8_t len = 31; len <= 33; len++) {
		char name[HELLO_NAME_MAX + 1];
		uint8_t bytes[512];
		size_t total = client_hello_write(bytes, "abc.de", 0);

		memmove(bytes + CIPHERS_LEN + len, bytes + CIPHERS_LEN, total - CIPHERS_LEN);
		bytes[SESSION_ID_LEN] = len;
		bytes[3] += len;
		assert_int_equal(name_of(bytes, total + len, name), len <= 32 ? HELLO_SNI : HELLO_BAD_CLIENT_HELLO);
	}
}

/* TLS 1.2's oldest form ends with the compression methods. */
static void test_without_extension_block(void **state)
{
	uint8_t bytes[512];
	char name[HELLO_NAME_MAX + 1];

	(void)state;
	client_hello_write(bytes, NULL, 0);
	bytes[3] = EXTENSIONS_LEN - 4;
	assert_int_equal(name_of(bytes, EXTENSIONS_LEN, name), HELLO_NO_SNI);
	assert_int_equal(name_of(bytes, EXTENSIONS_LEN - 1, name), HELLO_INCOMPLETE);
}

/* What follows in the stream (a second ClientHello after HelloRetryRequest) is not looked at. */
static void test_bytes_behind(void **state)
{
	uint8_t bytes[512];
	size_t len = client_hello_write(bytes, "a.example", 0);
	char name[HELLO_NAME_MAX + 1];

	(void)state;
	memset(bytes + len, 0xff, 100);
	assert_int_equal(name_of(bytes, len + 100, name), HELLO_SNI);
	assert_string_equal(name, "a.example");
}

static void test_name_lengths(void **state)
{
	char long_name[300], name[HELLO_NAME_MAX + 1];
	uint8_t bytes[1024];

	(void)state;
	memset(long_name, 'a', sizeof(long_name));
	long_name[HELLO_NAME_MAX] = '\0';
	assert_int_equal(name_of(bytes, client_hello_write(bytes, long_name, 0), name), HELLO_SNI);
	assert_string_equal(name, long_name);
	long_name[HELLO_NAME_MAX] = 'a';
	long_name[HELLO_NAME_MAX + 1] = '\0';
	assert_int_equal(name_of(bytes, client_hello_write(bytes, long_name, 0), name), HELLO_BAD_CLIENT_HELLO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_extensions),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_session_id_lengths),
		cmocka_unit_test(test_without_extension_block),
		cmocka_unit_test(test_bytes_behind),
		cmocka_unit_test(test_name_lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
