/* SPDX-License-Identifier: MIT */
/*
 * Tests of quic: RFC vectors, rows of headers, and every prefix of valid
 * packets in memory of exactly its size.
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
#include "userspace/quic.h"

#define V1 0, 0, 0, 1
#define V2 0x6b, 0x33, 0x43, 0xcf
#define CID8 8, 1, 2, 3, 4, 5, 6, 7, 8
#define CID20 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20
#define TAG 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16
#define BYTES(...) .data = (const uint8_t[]){ __VA_ARGS__ }, .len = sizeof((const uint8_t[]){ __VA_ARGS__ })

struct row {
	const char *name;
	const uint8_t *data;
	size_t len;
	enum quic_verdict verdict;
	enum quic_type type;
	uint32_t version;
	uint8_t dcid_len, scid_len;
	uint16_t token_offset, token_len, pn_offset, packet_len;
};

static const struct row rows[] = {
	{ "v1 Initial", BYTES(0xc0, V1, CID8, 0, 0, 4, 9, 9, 9, 9), QUIC_LONG, QUIC_INITIAL, 1, 8, 0, 16, 0, 17, 21 },
	{ "v1 Initial, fixed bit 0", BYTES(0x80, V1, CID8, 0, 0, 4, 9, 9, 9, 9),
	  QUIC_LONG, QUIC_INITIAL, 1, 8, 0, 16, 0, 17, 21 },
	{ "v1 Initial with token and both CIDs", BYTES(0xc3, V1, CID8, CID20, 3, 7, 7, 7, 0x40, 2, 9, 9), QUIC_LONG,
	  QUIC_INITIAL, 1, 8, 20, 36, 3, 41, 43 },
	{ "v1 Initial, datagram goes on", BYTES(0xc0, V1, CID8, 0, 0, 2, 9, 9, 0, 0, 0),
	  QUIC_LONG, QUIC_INITIAL, 1, 8, 0, 16, 0, 17, 19 },
	{ "v1 Initial, empty CIDs, Length 0", BYTES(0xc0, V1, 0, 0, 0, 0),
	  QUIC_LONG, QUIC_INITIAL, 1, 0, 0, 8, 0, 9, 9 },
	{ "v1 0-RTT", BYTES(0xd0, V1, CID8, 0, 2, 9, 9), QUIC_LONG, QUIC_0RTT, 1, 8, 0, 0, 0, 16, 18 },
	{ "v1 Handshake", BYTES(0xe0, V1, 0, CID8, 2, 9, 9), QUIC_LONG, QUIC_HANDSHAKE, 1, 0, 8, 0, 0, 16, 18 },
	{ "v1 Retry takes the rest", BYTES(0xf0, V1, 0, CID8, 5, 5, TAG), QUIC_LONG, QUIC_RETRY, 1, 0, 8, 0, 0, 0, 33 },
	{ "v1 Retry without room for its tag", BYTES(0xf0, V1, 0, CID8, 5, 5), QUIC_TRUNCATED },
	{ "v2 Initial", BYTES(0xd0, V2, CID8, 0, 0, 1, 9),
	  QUIC_LONG, QUIC_INITIAL, QUIC_VERSION_2, 8, 0, 16, 0, 17, 18 },
	{ "v2 0-RTT", BYTES(0xe0, V2, CID8, 0, 1, 9), QUIC_LONG, QUIC_0RTT, QUIC_VERSION_2, 8, 0, 0, 0, 16, 17 },
	{ "v2 Handshake", BYTES(0xf0, V2, CID8, 0, 1, 9),
	  QUIC_LONG, QUIC_HANDSHAKE, QUIC_VERSION_2, 8, 0, 0, 0, 16, 17 },
	{ "v2 Retry", BYTES(0xc0, V2, CID8, 0, TAG), QUIC_LONG, QUIC_RETRY, QUIC_VERSION_2, 8, 0, 0, 0, 0, 31 },
	{ "Version Negotiation", BYTES(0x80, 0, 0, 0, 0, CID8, CID8, V1), QUIC_LONG, QUIC_VERSION_NEG, 0, 8, 8, 0, 0, 0,
	  27 },
	{ "another version", BYTES(0xc0, 0xff, 0, 0, 29, CID8, CID8, 1),
	  QUIC_LONG, QUIC_OTHER_VERSION, 0xff00001d, 8, 8,
	  0, 0, 0, 24 },
	{ "short header", BYTES(0x40, 1, 2, 3), QUIC_SHORT },
	{ "short header of one byte, fixed bit 0", BYTES(0x00), QUIC_SHORT },
	{ "Token Length beyond the datagram", BYTES(0xc0, V1, CID8, 0, 5, 1, 1, 1, 1), QUIC_TRUNCATED },
	{ "Token Length of 8 bytes, largest", BYTES(0xc0, V1, CID8, 0, 0xff, 255, 255, 255, 255, 255, 255, 255, 1),
	  QUIC_TRUNCATED },
	{ "Length one beyond the datagram", BYTES(0xc0, V1, CID8, 0, 0, 3, 9, 9), QUIC_TRUNCATED },
	{ "Length of 8 bytes, largest", BYTES(0xd0, V1, CID8, 0, 0xff, 255, 255, 255, 255, 255, 255, 255, 1),
	  QUIC_TRUNCATED },
	{ "v1 DCID of 21 bytes", BYTES(0xc0, V1, 21, TAG, TAG, TAG), QUIC_CID_TOO_LONG },
	{ "v2 SCID of 21 bytes", BYTES(0xd0, V2, 0, 21, TAG, TAG, TAG), QUIC_CID_TOO_LONG },
	{ "DCID of 255 bytes in another version", BYTES(0xc0, 9, 9, 9, 9, 255, TAG), QUIC_TRUNCATED },
};

static void test_rows(void **state)
{
	int failures = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];
		uint8_t *copy = malloc(r->len);
		struct quic_long p;
		enum quic_verdict verdict;

		memcpy(copy, r->data, r->len);
		memset(&p, 0xee, sizeof(p));
		verdict = quic_parse(&p, copy, r->len);
		if (verdict != r->verdict ||
		    (verdict == QUIC_LONG &&
		     (p.type != r->type || p.version != r->version || p.dcid.len != r->dcid_len ||
		      p.scid.len != r->scid_len || p.token_offset != r->token_offset || p.token_len != r->token_len ||
		      p.pn_offset != r->pn_offset || p.packet_len != r->packet_len))) {
			print_error("FAILED: %s: verdict %d\n", r->name, verdict);
			failures++;
		}
		free(copy);
	}
	assert_int_equal(failures, 0);
}

static void test_rfc_vectors(void **state)
{
	const struct quic_cid dcid = cid_from_hex("8394c8f03e515708");
	struct quic_long p;

	(void)state;
	assert_int_equal(quic_parse(&p, rfc9001_client_initial, sizeof(rfc9001_client_initial)), QUIC_LONG);
	assert_int_equal(p.type, QUIC_INITIAL);
	assert_true(quic_cid_equal(&p.dcid, &dcid));
	assert_int_equal(p.pn_offset, 18);
	assert_int_equal(p.packet_len, 1200);
	assert_int_equal(quic_parse(&p, rfc9369_client_initial, sizeof(rfc9369_client_initial)), QUIC_LONG);
	assert_int_equal(p.type, QUIC_INITIAL);
	assert_int_equal(p.version, QUIC_VERSION_2);
	assert_int_equal(p.packet_len, 1200);
}

/* Each valid row without its last bytes: cut inside its packet it never parses, and nothing beyond is read. */
static void test_prefixes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		for (size_t len = 0; len < rows[i].len; len++) {
			uint8_t *copy = malloc(len ? len : 1), *at = len ? copy : copy + 1;
			struct quic_long p;
			enum quic_verdict verdict;

			memcpy(at, rows[i].data, len);
			verdict = quic_parse(&p, at, len);
			if (rows[i].pn_offset && len < rows[i].packet_len)
				assert_int_equal(verdict, QUIC_TRUNCATED);
			free(copy);
		}
	}
}

/* What could be read of a header that is cut short: sluice-inspect shows it. */
static void test_partial_fields(void **state)
{
	const uint8_t data[] = { 0xc0, V1, CID8, CID20, 0, 0x44, 0x9e, 1, 2 };
	struct quic_long p;

	(void)state;
	assert_int_equal(quic_parse(&p, data, sizeof(data)), QUIC_TRUNCATED);
	assert_int_equal(p.version, QUIC_VERSION_1);
	assert_int_equal(p.type, QUIC_INITIAL);
	assert_int_equal(p.dcid.len, 8);
	assert_int_equal(p.scid.len, 20);
	assert_int_equal(quic_parse(&p, data, 13), QUIC_TRUNCATED);
	assert_int_equal(p.version, QUIC_VERSION_1);
	assert_int_equal(p.dcid.len, 0);
}

static void test_varint(void **state)
{
	/* RFC 9000 A.1 */
	static const struct { uint8_t bytes[8]; size_t width; uint64_t value; } samples[] = {
		{ { 0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c }, 8, 151288809941952652 },
		{ { 0x9d, 0x7f, 0x3e, 0x7d }, 4, 494878333 },
		{ { 0x7b, 0xbd }, 2, 15293 },
		{ { 0x25 }, 1, 37 },
		{ { 0x40, 0x25 }, 2, 37 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		uint64_t value = 0;

		assert_int_equal(quic_varint(samples[i].bytes, 8, &value), samples[i].width);
		assert_true(value == samples[i].value);
		for (size_t len = 0; len < samples[i].width; len++)
			assert_int_equal(quic_varint(samples[i].bytes, len, &value), 0);
	}
}

/* Equal in their first bytes is not equal; nor is equal but for trailing zeros. */
static void test_cid(void **state)
{
	struct quic_cid a = cid_from_hex("0102030405060708aa"), b = cid_from_hex("0102030405060708ab");
	struct quic_cid c = cid_from_hex("01"), d = cid_from_hex("0100");

	(void)state;
	assert_false(quic_cid_equal(&a, &b));
	assert_false(quic_cid_equal(&c, &d));
	b = quic_cid_make(a.bytes, a.len);
	assert_true(quic_cid_equal(&a, &b));
	for (int i = b.len; i < CID_LEN_MAX; i++)
		assert_int_equal(b.bytes[i], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),    cmocka_unit_test(test_rfc_vectors),
		cmocka_unit_test(test_prefixes), cmocka_unit_test(test_partial_fields),
		cmocka_unit_test(test_varint),  cmocka_unit_test(test_cid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
