/* SPDX-License-Identifier: MIT */
/*
 * Tests of packet: rows of a good frame, what is changed in it, and what the
 * parser must say; every prefix of good frames in memory of exactly its size.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/packet.h"

/* 10.0.0.1:1000 -> 10.0.0.2:443, 4 bytes of payload */
static const uint8_t v4[] = {
	2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00,
	0x45, 0, 0, 32, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2,
	0x03, 0xe8, 0x01, 0xbb, 0, 12, 0, 0, 'a', 'b', 'c', 'd',
};

/* the same with one word of IP options */
static const uint8_t v4_options[] = {
	2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x08, 0x00,
	0x46, 0, 0, 36, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 1, 1, 1, 0,
	0x03, 0xe8, 0x01, 0xbb, 0, 12, 0, 0, 'a', 'b', 'c', 'd',
};

#define V6_SRC 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1
#define V6_DST 0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2
#define ETHERNET_V6 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x86, 0xdd
#define UDP_ABCD 0x03, 0xe8, 0x01, 0xbb, 0, 12, 0, 0, 'a', 'b', 'c', 'd'

static const uint8_t v6[] = { ETHERNET_V6, 0x60, 0, 0, 0, 0, 12, 17, 63, V6_SRC, V6_DST, UDP_ABCD };

/* hop-by-hop of 8 bytes, destination options of 16, routing of 8, an atomic fragment */
static const uint8_t v6_extensions[] = {
	ETHERNET_V6, 0x60, 0, 0, 0, 0, 52, 0, 63, V6_SRC, V6_DST,
	60, 0, 1, 4, 0, 0, 0, 0,
	43, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
	44, 0, 0, 0, 0, 0, 0, 0,
	17, 0, 0, 0, 1, 2, 3, 4,
	UDP_ABCD,
};

static const uint8_t v6_fragment[] = {
	ETHERNET_V6, 0x60, 0, 0, 0, 0, 20, 44, 63, V6_SRC, V6_DST, 17, 0, 0, 1, 1, 2, 3, 4, UDP_ABCD,
};

/* eight hop-by-hop headers; UDP would be the ninth step */
#define HOP(next) next, 0, 1, 4, 0, 0, 0, 0
static const uint8_t v6_many[] = {
	ETHERNET_V6, 0x60, 0, 0, 0, 0, 76, 60, 63, V6_SRC, V6_DST,
	HOP(60), HOP(60), HOP(60), HOP(60), HOP(60), HOP(60), HOP(60), HOP(17), UDP_ABCD,
};

enum { IP = 14, UDP4 = IP + 20, UDP6 = IP + 40 };

struct patch {
	uint16_t at;
	uint8_t value;
};

struct row {
	const char *name;
	const uint8_t *frame;
	uint32_t len;
	uint32_t padding;        /* zeros added behind */
	struct patch patches[3]; /* at 0: none */
	enum packet_verdict verdict;
	uint16_t payload_len;
	uint16_t l4_offset;
};

#define GOOD(f) .frame = f, .len = sizeof(f)
#define CUT(f, n) .frame = f, .len = (n)

static const struct row rows[] = {
	{ "IPv4", GOOD(v4), .verdict = PACKET_UDP, .payload_len = 4, .l4_offset = UDP4 },
	{ "IPv4 with options", GOOD(v4_options), .verdict = PACKET_UDP, .payload_len = 4, .l4_offset = UDP4 + 4 },
	{ "IPv6", GOOD(v6), .verdict = PACKET_UDP, .payload_len = 4, .l4_offset = UDP6 },
	{ "IPv6 extension headers, atomic fragment", GOOD(v6_extensions), .verdict = PACKET_UDP, .payload_len = 4,
	  .l4_offset = UDP6 + 40 },
	{ "Ethernet padding is cut off", GOOD(v4), .padding = 14, .verdict = PACKET_UDP, .payload_len = 4,
	  .l4_offset = UDP4 },
	{ "IPv6 with padding", GOOD(v6), .padding = 9, .verdict = PACKET_UDP, .payload_len = 4, .l4_offset = UDP6 },
	{ "UDP length below the IP payload cuts", GOOD(v4), .patches = { { UDP4 + 5, 10 } }, .verdict = PACKET_UDP,
	  .payload_len = 2, .l4_offset = UDP4 },
	{ "UDP without payload", GOOD(v4), .patches = { { UDP4 + 5, 8 } }, .verdict = PACKET_UDP, .l4_offset = UDP4 },
	{ "UDP length 7", GOOD(v4), .patches = { { UDP4 + 5, 7 } }, .verdict = PACKET_BAD_UDP_LENGTH },
	{ "UDP length 0", GOOD(v6), .patches = { { UDP6 + 5, 0 } }, .verdict = PACKET_BAD_UDP_LENGTH },
	{ "UDP length beyond IPv4", GOOD(v4), .patches = { { UDP4 + 5, 13 } }, .verdict = PACKET_BAD_UDP_LENGTH },
	{ "UDP length beyond IPv4, into padding", GOOD(v4), .padding = 9, .patches = { { UDP4 + 5, 13 } },
	  .verdict = PACKET_BAD_UDP_LENGTH },
	{ "UDP length beyond IPv6", GOOD(v6), .patches = { { UDP6 + 5, 13 } }, .verdict = PACKET_BAD_UDP_LENGTH },
	{ "IPv4 total length beyond the frame", GOOD(v4), .patches = { { IP + 3, 33 } },
	  .verdict = PACKET_BAD_IP_HEADER },
	{ "IPv4 total length below the header", GOOD(v4), .patches = { { IP + 3, 19 } },
	  .verdict = PACKET_BAD_IP_HEADER },
	{ "IPv4 header length 4 words", GOOD(v4), .patches = { { IP, 0x44 } }, .verdict = PACKET_BAD_IP_HEADER },
	{ "IPv4 header longer than the packet", GOOD(v4), .patches = { { IP, 0x4f } },
	  .verdict = PACKET_BAD_IP_HEADER },
	{ "IPv4 EtherType, version 6", GOOD(v4), .patches = { { IP, 0x65 } }, .verdict = PACKET_BAD_IP_HEADER },
	{ "IPv6 EtherType, version 4", GOOD(v6), .patches = { { IP, 0x45 } }, .verdict = PACKET_BAD_IP_HEADER },
	{ "IPv6 payload beyond the frame", GOOD(v6), .patches = { { IP + 5, 13 } }, .verdict = PACKET_BAD_IP_HEADER },
	{ "IPv4 ends inside UDP", GOOD(v4), .patches = { { IP + 3, 27 } }, .verdict = PACKET_TRUNCATED },
	{ "IPv6 ends inside UDP", GOOD(v6), .patches = { { IP + 5, 7 } }, .verdict = PACKET_TRUNCATED },
	{ "frame ends inside the IPv4 header", CUT(v4, IP + 19), .verdict = PACKET_TRUNCATED },
	{ "frame ends inside the IPv6 header", CUT(v6, IP + 39), .verdict = PACKET_TRUNCATED },
	{ "frame ends inside Ethernet", CUT(v4, 13), .verdict = PACKET_TRUNCATED },
	{ "empty frame", CUT(v4, 0), .verdict = PACKET_TRUNCATED },
	{ "TCP", GOOD(v4), .patches = { { IP + 9, 6 } }, .verdict = PACKET_NOT_OURS },
	{ "ICMPv6", GOOD(v6), .patches = { { IP + 6, 58 } }, .verdict = PACKET_NOT_OURS },
	{ "ARP", GOOD(v4), .patches = { { 13, 6 } }, .verdict = PACKET_NOT_OURS },
	{ "VLAN tag", GOOD(v4), .patches = { { 12, 0x81 } }, .verdict = PACKET_NOT_OURS },
	{ "IPv4 first fragment", GOOD(v4), .patches = { { IP + 6, 0x20 } }, .verdict = PACKET_FRAGMENT,
	  .l4_offset = UDP4 },
	{ "IPv4 later fragment", GOOD(v4), .patches = { { IP + 6, 0x20 }, { IP + 7, 1 } }, .verdict = PACKET_NOT_OURS },
	{ "IPv4 last fragment", GOOD(v4), .patches = { { IP + 6, 0x1f } }, .verdict = PACKET_NOT_OURS },
	{ "IPv4 first fragment without ports", GOOD(v4), .patches = { { IP + 6, 0x20 }, { IP + 3, 23 } },
	  .verdict = PACKET_TRUNCATED },
	{ "IPv6 first fragment", GOOD(v6_fragment), .verdict = PACKET_FRAGMENT, .l4_offset = UDP6 + 8 },
	{ "IPv6 later fragment", GOOD(v6_fragment), .patches = { { UDP6 + 3, 9 } }, .verdict = PACKET_NOT_OURS },
	{ "IPv6 extension longer than the packet", GOOD(v6_extensions), .patches = { { UDP6 + 1, 6 } },
	  .verdict = PACKET_TRUNCATED },
	{ "IPv6 extension header of no known kind", GOOD(v6_extensions), .patches = { { IP + 6, 51 } },
	  .verdict = PACKET_NOT_OURS },
	{ "IPv6 too many extension headers", GOOD(v6_many), .verdict = PACKET_NOT_OURS },
};

/* In memory of exactly that size, for AddressSanitizer. */
static uint8_t *exact_copy(const void *bytes, uint32_t len)
{
	uint8_t *copy = malloc(len ? len : 1);

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	return len ? copy : copy + 1;
}

static void exact_free(uint8_t *copy, uint32_t len)
{
	free(len ? copy : copy - 1);
}

static bool check_fields(const struct row *row, const struct packet *p)
{
	struct addr src = { .bytes = { V6_SRC } }, dst = { .bytes = { V6_DST } };
	bool is_v4 = row->frame == v4 || row->frame == v4_options;

	if (is_v4) {
		src = (struct addr){ .bytes = { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1 } };
		dst = (struct addr){ .bytes = { [10] = 0xff, [11] = 0xff, [12] = 10, [15] = 2 } };
	}
	return p->v4 == is_v4 && memcmp(&p->src, &src, 16) == 0 && memcmp(&p->dst, &dst, 16) == 0 &&
	       p->ttl == (is_v4 ? 64 : 63) && p->src_port_be == htons(1000) && p->dst_port_be == htons(443) &&
	       p->l4_offset == row->l4_offset && p->l3_offset == IP && p->payload_len_bytes == row->payload_len;
}

static void test_rows(void **state)
{
	int failures = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		uint32_t len = row->len + row->padding;
		uint8_t frame[256] = { 0 }, *copy;
		struct packet packet;
		enum packet_verdict verdict;
		bool ok;

		memcpy(frame, row->frame, row->len);
		for (int p = 0; p < 3; p++) {
			if (row->patches[p].at)
				frame[row->patches[p].at] = row->patches[p].value;
		}
		copy = exact_copy(frame, len);
		verdict = packet_parse(&packet, copy, len);
		ok = verdict == row->verdict;
		if (ok && (verdict == PACKET_UDP || verdict == PACKET_FRAGMENT))
			ok = check_fields(row, &packet);
		if (ok && verdict == PACKET_UDP)
			ok = packet.frame_len_bytes == row->len &&
			     memcmp(packet_payload(&packet), "abcd", row->payload_len) == 0;
		if (!ok) {
			print_error("FAILED: %s: verdict %d\n", row->name, verdict);
			failures++;
		}
		exact_free(copy, len);
	}
	assert_int_equal(failures, 0);
}

static void test_prefixes_never_parse(void **state)
{
	const struct { const uint8_t *frame; uint32_t len; } frames[] = {
		{ v4, sizeof(v4) }, { v4_options, sizeof(v4_options) }, { v6, sizeof(v6) },
		{ v6_extensions, sizeof(v6_extensions) }, { v6_fragment, sizeof(v6_fragment) },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
		for (uint32_t len = 0; len < frames[i].len; len++) {
			uint8_t *copy = exact_copy(frames[i].frame, len);
			struct packet packet;
			enum packet_verdict verdict = packet_parse(&packet, copy, len);

			assert_true(verdict == PACKET_TRUNCATED || verdict == PACKET_BAD_IP_HEADER);
			exact_free(copy, len);
		}
	}
}

/* Captures without Ethernet: the same from the IP header on, at any offset. */
static void test_parse_ip(void **state)
{
	struct packet packet;
	uint8_t frame[sizeof(v6) + 4] = { 0 };

	(void)state;
	memcpy(frame, v4 + IP, sizeof(v4) - IP);
	assert_int_equal(packet_parse_ip(&packet, frame, sizeof(v4) - IP, 0), PACKET_UDP);
	assert_int_equal(packet.l4_offset, 20);
	assert_true(packet.v4);
	memcpy(frame + 4, v6 + IP, sizeof(v6) - IP);
	assert_int_equal(packet_parse_ip(&packet, frame, 4 + sizeof(v6) - IP, 4), PACKET_UDP);
	assert_int_equal(packet.l3_offset, 4);
	assert_int_equal(packet.l4_offset, 44);
	assert_memory_equal(packet_payload(&packet), "abcd", 4);
	assert_int_equal(packet_parse_ip(&packet, frame, 4, 4), PACKET_TRUNCATED);
	assert_int_equal(packet_parse_ip(&packet, frame, 3, 4), PACKET_TRUNCATED);
	frame[4] = 0x50;
	assert_int_equal(packet_parse_ip(&packet, frame, sizeof(frame), 4), PACKET_NOT_OURS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_prefixes_never_parse),
		cmocka_unit_test(test_parse_ip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
