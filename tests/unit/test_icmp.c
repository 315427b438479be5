/* SPDX-License-Identifier: MIT */
/* Unit tests of icmp.c: the exact answer to a datagram that does not fit, and when there is none. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/lib/plain_state.h"
#include "tests/lib/udp_frame.h"
#include "userspace/icmp.h"

enum { ETH = 14, V4 = 20, V6 = 40, UDP = 8, ICMP = 8, ROOM = 64 };

static const struct udp_flow FLOW4 = { .src = "198.51.100.7", .src_port = 40000, .dst = "203.0.113.5",
				       .dst_port = 443, .tos = 0xba };
static const struct udp_flow FLOW6 = { .src = "2001:db8:c::7", .src_port = 40000, .dst = "2001:db8::5",
				       .dst_port = 443, .tos = 0xba };
static const struct nexthop BACK = { .dmac = { 2, 0, 0, 0, 0xc, 1 }, .smac = { 2, 0, 0, 0, 0xc, 2 } };

struct buffer {
	uint8_t bytes[ROOM + 2000];
	uint8_t *frame;
	size_t len;
	struct packet packet;
};

static void frame_write(struct buffer *buffer, const struct udp_flow *flow, size_t payload_len)
{
	uint8_t payload[1900];

	for (size_t i = 0; i < payload_len; i++)
		payload[i] = (uint8_t)(i * 37 + 11);
	buffer->frame = buffer->bytes + ROOM;
	buffer->len = udp_frame_write(buffer->frame, flow, payload, payload_len);
	assert_int_equal(packet_parse(&buffer->packet, buffer->frame, (uint32_t)buffer->len), PACKET_UDP);
}

/* RFC 1071, apart from the code under test: of bytes whose checksum is right it is 0xffff. */
static uint32_t sum_of(uint32_t sum, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static const uint8_t ETHERNET4[ETH] = { 2, 0, 0, 0, 0xc, 1, 2, 0, 0, 0, 0xc, 2, 0x08, 0x00 };
static const uint8_t ETHERNET6[ETH] = { 2, 0, 0, 0, 0xc, 1, 2, 0, 0, 0, 0xc, 2, 0x86, 0xdd };

/* The IP header up to its addresses, checksum apart, and the ICMP header behind its checksum. */
static void ipv4_answer_byte_by_byte(void **unused)
{
	/* 576 bytes in all; DF, no ID; TTL 64 */
	static const uint8_t ip[12] = { 0x45, 0xc0, 0x02, 0x40, 0, 0, 0x40, 0, 64, 1 };
	static const uint8_t addresses[8] = { 203, 0, 113, 5, 198, 51, 100, 7 };
	static const uint8_t icmp[8] = { 3, 4, 0, 0, 0, 0, 0x05, 0x00 }; /* MTU 1,280 */
	static struct buffer in, before;
	const uint8_t *out;

	(void)unused;
	frame_write(&in, &FLOW4, 1300);
	before = in;
	icmp_too_big(&in.packet, 1280, &in.packet.dst, &BACK);
	out = in.packet.frame;
	assert_ptr_equal(out, in.frame - V4 - ICMP);
	assert_int_equal(in.packet.frame_len_bytes, ETH + 576);
	assert_memory_equal(out, ETHERNET4, ETH);
	assert_memory_equal(out + ETH, ip, 10);
	assert_memory_equal(out + ETH + 12, addresses, 8);
	assert_int_equal(sum_of(0, out + ETH, V4), 0xffff);
	assert_memory_equal(out + ETH + V4, icmp, 2);
	assert_memory_equal(out + ETH + V4 + 4, icmp + 4, 4);
	assert_int_equal(sum_of(0, out + ETH + V4, 576 - V4), 0xffff);
	/* The quote is the packet as it came. */
	assert_memory_equal(out + ETH + V4 + ICMP, before.bytes + ROOM + ETH, 576 - V4 - ICMP);
}

static void ipv6_answer_byte_by_byte(void **unused)
{
	/* 1,280 bytes in all; traffic class 0xc0, hop limit 64 */
	static const uint8_t ip[8] = { 0x6c, 0, 0, 0, 0x04, 0xd8, 58, 64 };
	static const uint8_t icmp[8] = { 2, 0, 0, 0, 0, 0, 0x05, 0x28 }; /* MTU 1,320 */
	static struct buffer in, before;
	const uint8_t *out;

	(void)unused;
	frame_write(&in, &FLOW6, 1401);
	before = in;
	icmp_too_big(&in.packet, 1320, &in.packet.dst, &BACK);
	out = in.packet.frame;
	assert_ptr_equal(out, in.frame - V6 - ICMP);
	assert_int_equal(in.packet.frame_len_bytes, ETH + 1280);
	assert_memory_equal(out, ETHERNET6, ETH);
	assert_memory_equal(out + ETH, ip, sizeof(ip));
	assert_memory_equal(out + ETH + 8, before.packet.dst.bytes, 16);
	assert_memory_equal(out + ETH + 24, before.packet.src.bytes, 16);
	assert_memory_equal(out + ETH + V6, icmp, 2);
	assert_memory_equal(out + ETH + V6 + 4, icmp + 4, 4);
	assert_int_equal(sum_of(sum_of(58 + 1240, out + ETH + 8, 32), out + ETH + V6, 1240), 0xffff);
	assert_memory_equal(out + ETH + V6 + ICMP, before.bytes + ROOM + ETH, 1240 - ICMP);
}

/* At each length: never more than came, nothing written behind it, both checksums right. */
static void answer_is_never_larger_than_what_came(void **unused)
{
	static struct buffer in, before;

	(void)unused;
	for (size_t len = 1; len < 1900; len++) {
		const struct udp_flow *flow = len % 2 ? &FLOW4 : &FLOW6;
		size_t header = len % 2 ? V4 : V6, out_len;
		const uint8_t *out;

		frame_write(&in, flow, len);
		before = in;
		icmp_too_big(&in.packet, 1280, &in.packet.dst, &BACK);
		out = in.packet.frame + ETH;
		out_len = in.packet.frame_len_bytes - ETH;
		assert_true(in.packet.frame_len_bytes <= before.len);
		assert_true(out_len <= (len % 2 ? 576 : 1280));
		assert_int_equal(sum_of(len % 2 ? 0 : sum_of(58 + (uint32_t)(out_len - V6), out + 8, 32),
					out + header, out_len - header), 0xffff);
		assert_memory_equal(out + header + ICMP, before.bytes + ROOM + ETH, out_len - header - ICMP);
		assert_memory_equal(in.frame + ETH, before.bytes + ROOM + ETH, before.len - ETH);
	}
}

static void mtu_is_of_the_senders_family(void **unused)
{
	static const struct {
		const char *name;
		const struct udp_flow *flow;
		bool v4_out;
		uint16_t mtu, packet, told;
	} rows[] = {
		{ "4 to 4", &FLOW4, true, 1400, 1500, 1400 },
		{ "6 to 6", &FLOW6, false, 1400, 1500, 1400 },
		{ "4 to 6: 20 less", &FLOW4, false, 1400, 1500, 1380 },
		{ "6 to 4: 20 more", &FLOW6, true, 1400, 1500, 1420 },
		{ "4 to 6: just too large", &FLOW4, false, 1400, 1381, 1380 },
		{ "4 to 6: the least that IPv6 has", &FLOW4, false, 1280, 1500, 1260 },
		{ "4 to 4: never below what QUIC needs", &FLOW4, true, 576, 1500, 1228 },
		{ "4 to 6: never below it either", &FLOW4, false, 10, 1500, 1228 },
		{ "6 to 4: never below 1,280", &FLOW6, true, 1200, 1500, 1280 },
		{ "6 to 6: never below 1,280", &FLOW6, false, 1000, 1500, 1280 },
		{ "4 to 4: a packet of the least size is not answered", &FLOW4, true, 576, 1228, 0 },
		{ "4 to 4: one byte more is", &FLOW4, true, 576, 1229, 1228 },
		{ "6 to 4: a packet of the least size is not answered", &FLOW6, true, 1200, 1280, 0 },
		{ "6 to 4: one byte more is", &FLOW6, true, 1200, 1281, 1280 },
	};
	static struct buffer in;

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("row: %s\n", rows[i].name);
		frame_write(&in, rows[i].flow, rows[i].packet - UDP - (size_t)(rows[i].flow == &FLOW4 ? V4 : V6));
		assert_int_equal(icmp_mtu(&in.packet, rows[i].v4_out, rows[i].mtu), rows[i].told);
	}
}

static struct icmp_limit *limit_new(void)
{
	static const struct siphash_key key = { 1, 2 };
	struct icmp_limit *limit = malloc(sizeof(*limit));

	assert_non_null(limit);
	icmp_limit_init(limit, &key);
	return limit;
}

static void one_source_is_limited_and_then_all(void **unused)
{
	struct icmp_limit *limit = limit_new();
	struct addr source = plain_addr("192.0.2.1");
	uint64_t now_ns = 1000000000000;
	unsigned passed = 0;

	(void)unused;
	for (unsigned i = 0; i < 100; i++)
		passed += icmp_may_answer(limit, &source, now_ns);
	assert_int_equal(passed, ICMP_PER_S_PER_SOURCE);
	now_ns += 1000000000 / ICMP_PER_S_PER_SOURCE;
	assert_true(icmp_may_answer(limit, &source, now_ns));
	assert_false(icmp_may_answer(limit, &source, now_ns));

	now_ns += 10000000000;
	for (passed = 0, source.bytes[14] = 1; source.bytes[14] < 4; source.bytes[14]++)
		for (source.bytes[15] = 0; source.bytes[15] < 200; source.bytes[15]++)
			passed += icmp_may_answer(limit, &source, now_ns);
	assert_int_equal(passed, ICMP_PER_S);
	free(limit);
}

static void who_is_not_one_host_is_not_answered(void **unused)
{
	static const char *const nobody[] = { "0.0.0.0", "0.1.2.3", "224.0.0.1", "239.255.255.250", "240.0.0.1",
					      "255.255.255.255", "::", "ff02::1" };
	static const char *const hosts[] = { "1.0.0.1", "223.255.255.254", "2001:db8::1", "fd00::1", "fe80::1" };
	struct icmp_limit *limit = limit_new();
	struct addr source;

	(void)unused;
	for (size_t i = 0; i < sizeof(nobody) / sizeof(nobody[0]); i++) {
		source = plain_addr(nobody[i]);
		assert_false(icmp_may_answer(limit, &source, 1000000000000));
	}
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		source = plain_addr(hosts[i]);
		assert_true(icmp_may_answer(limit, &source, 1000000000000));
	}
	free(limit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ipv4_answer_byte_by_byte),
		cmocka_unit_test(ipv6_answer_byte_by_byte),
		cmocka_unit_test(answer_is_never_larger_than_what_came),
		cmocka_unit_test(mtu_is_of_the_senders_family),
		cmocka_unit_test(one_source_is_limited_and_then_all),
		cmocka_unit_test(who_is_not_one_host_is_not_answered),
	};

	return cmocka_run_group_tests_name("icmp", tests, NULL, NULL);
}
