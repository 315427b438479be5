/* SPDX-License-Identifier: MIT */
/*
 * Tests of initial: the keys and packets of RFC 9001 appendix A and RFC 9369
 * appendix A, and what tests/lib/initial_writer makes with OpenSSL's own HKDF.
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
#include "userspace/initial.h"

static struct initial_opener *opener;

static int setup(void **state)
{
	(void)state;
	opener = initial_opener_new();
	return opener ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	initial_opener_free(opener);
	return 0;
}

static void assert_hex(const uint8_t *bytes, size_t len, const char *hex)
{
	char text[128] = "";

	for (size_t i = 0; i < len; i++)
		sprintf(text + 2 * i, "%02x", bytes[i]);
	assert_string_equal(text, hex);
}

static void test_rfc_keys(void **state)
{
	static const struct { uint32_t version; const char *key, *iv, *hp; } rows[] = {
		/* RFC 9001 A.1, RFC 9369 A.1 */
		{ QUIC_VERSION_1, "1f369613dd76d5467730efcbe3b1a22d", "fa044b2f42a3fd3b46fb255c",
		  "9f50449e04a0e810283a1e9933adedd2" },
		{ QUIC_VERSION_2, "8b1a0bc121284290a29e0971b5cd045d", "91f73e2351d8fa91660e909f",
		  "45b95e15235d6f45a6b19cbcb0294ba9" },
	};
	const struct quic_cid dcid = cid_from_hex("8394c8f03e515708");

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct initial_keys keys;

		initial_derive(opener, &keys, rows[i].version, &dcid);
		assert_hex(keys.key, 16, rows[i].key);
		assert_hex(keys.iv, 12, rows[i].iv);
		assert_hex(keys.hp, 16, rows[i].hp);
	}
}

/* What initial_open says of a datagram that is one Initial; the payload in *payload. */
static enum initial_verdict open_with(const uint8_t *data, size_t len, const struct quic_cid *key_dcid,
				      int64_t *largest, const uint8_t **payload, size_t *payload_len)
{
	uint8_t *copy = malloc(len);
	struct initial_keys keys;
	struct quic_long packet;
	enum initial_verdict verdict;

	memcpy(copy, data, len);
	assert_int_equal(quic_parse(&packet, copy, len), QUIC_LONG);
	assert_int_equal(packet.type, QUIC_INITIAL);
	initial_derive(opener, &keys, packet.version, key_dcid);
	verdict = initial_open(opener, &keys, copy, &packet, largest, payload, payload_len);
	assert_memory_equal(copy, data, len);
	free(copy);
	return verdict;
}

static void test_rfc_packets(void **state)
{
	const uint8_t *packets[] = { rfc9001_client_initial, rfc9369_client_initial };
	const struct quic_cid dcid = cid_from_hex("8394c8f03e515708");

	(void)state;
	for (int i = 0; i < 2; i++) {
		const uint8_t *payload;
		int64_t largest = -1;
		size_t len;

		assert_int_equal(open_with(packets[i], 1200, &dcid, &largest, &payload, &len), INITIAL_OPENED);
		assert_int_equal(len, 1162);
		assert_int_equal(largest, 2);
		assert_hex(payload, 8, "060040f1010000ed");
		assert_int_equal(payload[244], 0xff);
		for (size_t at = 245; at < len; at++)
			assert_int_equal(payload[at], 0);
	}
}

/* All CID lengths, packet number lengths and both versions, against an independent implementation. */
static void test_round_trips(void **state)
{
	static const uint8_t frames[] = { 0x01, 0x06, 0x00, 0x03, 'a', 'b', 'c' };
	static const uint8_t token[168] = { 7 };

	(void)state;
	for (unsigned n = 0; n < 2 * 21 * 4; n++) {
		struct initial_spec spec = initial_spec_default();
		const uint8_t *payload;
		int64_t largest = -1;
		uint8_t packet[2000];
		size_t len;

		spec.version = n & 1 ? QUIC_VERSION_2 : QUIC_VERSION_1;
		spec.pn_len = 1 + n / 2 % 4;
		spec.pn = spec.pn_len == 4 ? 0x01020304 : (1u << (8 * spec.pn_len - 1)) - 1;
		spec.key_dcid = quic_cid_make((const uint8_t *)"abcdefghijklmnopqrst", n / 8);
		spec.token = token;
		spec.token_len = n;
		spec.size = n % 3 ? 0 : 1200;
		len = initial_write(packet, &spec, frames, sizeof(frames));
		assert_int_equal(open_with(packet, len, &spec.key_dcid, &largest, &payload, &len), INITIAL_OPENED);
		assert_memory_equal(payload, frames, sizeof(frames));
		assert_true(largest == spec.pn);
	}
}

/* A single changed bit anywhere, and it does not open; the largest packet number stays. */
static void test_tampering(void **state)
{
	const struct quic_cid dcid = cid_from_hex("8394c8f03e515708");
	const uint8_t *payload;
	uint8_t packet[1200];
	int64_t largest = 5;
	size_t len;

	(void)state;
	for (size_t at = 18; at < sizeof(packet); at += 3) {
		memcpy(packet, rfc9001_client_initial, sizeof(packet));
		packet[at] ^= 0x10;
		assert_int_equal(open_with(packet, sizeof(packet), &dcid, &largest, &payload, &len),
				 INITIAL_NOT_AUTHENTIC);
		assert_int_equal(largest, 5);
	}
}

/* Packets that are only just, or not quite, long enough to sample (RFC 9001 s5.4.2). */
static void test_short_packets(void **state)
{
	struct initial_spec spec = initial_spec_default();
	const uint8_t *payload;
	int64_t largest = -1;
	uint8_t packet[100];
	size_t len, payload_len;

	(void)state;
	spec.size = 0;
	spec.pn_len = 4;
	len = initial_write(packet, &spec, NULL, 0);
	assert_int_equal(len, 18 + 4 + 16);
	assert_int_equal(open_with(packet, len, &spec.dcid, &largest, &payload, &payload_len), INITIAL_OPENED);
	assert_int_equal(payload_len, 0);
	for (size_t n = 0; n < 20; n++) {
		packet[17] = (uint8_t)n; /* second byte of Length */
		assert_int_equal(open_with(packet, 18 + n, &spec.dcid, &largest, &payload, &payload_len),
				 INITIAL_TOO_SHORT);
	}
}

/* RFC 9000 A.3: a packet number cut short is the nearest to the next expected one. */
static void test_packet_numbers(void **state)
{
	static const struct { const char *name; int64_t largest; uint32_t pn; unsigned len; bool opens; } rows[] = {
		{ "the RFC's example", 0xa82f30ea, 0xa82f9b32, 2, true },
		{ "just before the largest", 300, 299, 1, true },
		{ "behind the largest, across a window's edge", 260, 250, 1, true },
		{ "far behind the largest", 300, 3, 1, false },
		{ "over a window's edge", 254, 256, 1, true },
		{ "first packet, whole number", -1, 271, 2, true },
		{ "first packet, number cut", -1, 271, 1, false },
	};
	static const uint8_t ping[] = { 1 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct initial_spec spec = initial_spec_default();
		int64_t largest = rows[i].largest;
		const uint8_t *payload;
		uint8_t packet[1200];
		size_t len;
		bool opened;

		spec.pn = rows[i].pn;
		spec.pn_len = rows[i].len;
		len = initial_write(packet, &spec, ping, sizeof(ping));
		opened = open_with(packet, len, &spec.dcid, &largest, &payload, &len) == INITIAL_OPENED;
		if (opened != rows[i].opens)
			fail_msg("%s", rows[i].name);
		if (opened)
			assert_true(largest == (rows[i].pn > rows[i].largest ? rows[i].pn : rows[i].largest));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc_keys),      cmocka_unit_test(test_rfc_packets),
		cmocka_unit_test(test_round_trips),   cmocka_unit_test(test_tampering),
		cmocka_unit_test(test_short_packets), cmocka_unit_test(test_packet_numbers),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
