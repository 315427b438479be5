/* SPDX-License-Identifier: MIT */
/* Unit tests of rewrite.c: a frame in, the exact frame out, within a family and between them. */
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
#include "userspace/rewrite.h"

enum { ETH = 14, V4 = 20, V6 = 40, UDP = 8, ROOM = 64, MTU = 1500 };

#define IN4 .src = "198.51.100.7", .src_port = 40000, .dst = "203.0.113.5", .dst_port = 443
#define OUT4 .src = "192.0.2.1", .src_port = 20001, .dst = "10.0.0.5", .dst_port = 7777
#define IN6 .src = "2001:db8:c::7", .src_port = 40000, .dst = "2001:db8::5", .dst_port = 443
#define OUT6 .src = "2001:db8:1::1", .src_port = 20001, .dst = "2001:db8:2::5", .dst_port = 7777

static const uint8_t DMAC[6] = { 2, 0, 0, 0, 0xb, 1 }, SMAC[6] = { 2, 0, 0, 0, 0xb, 2 };

/* A frame with room before and behind it. */
struct buffer {
	uint8_t bytes[ROOM + 2000];
	uint8_t *frame;
	size_t len;
};

struct row {
	const char *name;
	struct udp_flow in, out;
	size_t payload_len;
	uint16_t mtu;                    /* 0: MTU */
	void (*change)(struct buffer *in);
	enum rewrite_verdict verdict;    /* other than REWRITE_DONE: the frame is as it was */
};

/* --- changes to the frame ------------------------------------------------------------------------- */

static void no_checksum(struct buffer *in)
{
	uint8_t *udp = in->frame + ETH + (in->frame[ETH] >> 4 == 6 ? V6 : V4);

	udp[6] = udp[7] = 0;
}

static void insert(struct buffer *in, size_t at, const uint8_t *bytes, size_t len)
{
	memmove(in->frame + at + len, in->frame + at, in->len - at);
	memcpy(in->frame + at, bytes, len);
	in->len += len;
}

/* 10 words of NOPs: the longest IPv4 header. */
static void ip_options(struct buffer *in)
{
	uint8_t nops[40];

	memset(nops, 1, sizeof(nops));
	insert(in, ETH + V4, nops, sizeof(nops));
	in->frame[ETH] = 0x4f;
	in->frame[ETH + 3] = (uint8_t)(in->frame[ETH + 3] + 40);
}

/* Hop-by-hop options of 8 bytes, and destination options of 16. */
static void extensions(struct buffer *in)
{
	static const uint8_t headers[24] = { 60, 0, 1, 4, 0, 0, 0, 0, 17, 1, 1, 12 };

	insert(in, ETH + V6, headers, sizeof(headers));
	in->frame[ETH + 6] = 0;
	in->frame[ETH + 5] = (uint8_t)(in->frame[ETH + 5] + 24);
}

/* A flow label goes no further, an ID neither. */
static void flow_label(struct buffer *in)
{
	in->frame[ETH + 1] |= 0x0b;
	in->frame[ETH + 2] = 0xee;
	in->frame[ETH + 3] = 0xf1;
}

static void id_and_no_df(struct buffer *in)
{
	in->frame[ETH + 4] = 0x12;
	in->frame[ETH + 6] = 0;
}

static void ethernet_padding(struct buffer *in)
{
	memset(in->frame + in->len, 0xee, 6);
	in->len += 6;
}

/* --- rows ------------------------------------------------------------------------------------------ */

static const struct row rows[] = {
	{ "IPv4", .in = { IN4 }, .out = { OUT4 },
	  .payload_len = 60 },
	{ "IPv4 without UDP checksum keeps none", .in = { IN4 }, .out = { OUT4 },
	  .payload_len = 60, .change = no_checksum },
	{ "IPv6", .in = { IN6 }, .out = { OUT6 },
	  .payload_len = 61 },
	{ "as large as the egress MTU", .in = { IN4 }, .out = { OUT4 },
	  .payload_len = MTU - V4 - UDP },
	{ "larger than it", .in = { IN4 }, .out = { OUT4 },
	  .payload_len = MTU - V4 - UDP + 1, .verdict = REWRITE_EGRESS_MTU },
	{ "TTL 1", .in = { IN4, .ttl = 1 }, .out = { OUT4 },
	  .payload_len = 60, .verdict = REWRITE_TTL_EXPIRED },
	{ "source of one family, destination of another", .in = { IN4 }, .out = { .src = "2001:db8::1", .dst = "10.0.0.5" },
	  .payload_len = 60,
	  .verdict = REWRITE_FAMILY_MISMATCH },
	{ "the reverse", .in = { IN6 }, .out = { .src = "10.0.0.1", .dst = "2001:db8::1" },
	  .payload_len = 60, .verdict = REWRITE_FAMILY_MISMATCH },

	{ "4 to 6", .in = { IN4 }, .out = { OUT6 },
	  .payload_len = 60 },
	{ "4 to 6: 1 byte", .in = { IN4 }, .out = { OUT6 },
	  .payload_len = 1 },
	{ "4 to 6: empty", .in = { IN4 }, .out = { OUT6 },
	  .payload_len = 0 },
	{ "4 to 6: odd length", .in = { IN4 }, .out = { OUT6 },
	  .payload_len = 1201 },
	{ "4 to 6: TOS and TTL", .in = { IN4, .ttl = 2, .tos = 0xba }, .out = { OUT6 },
	  .payload_len = 60 },
	{ "4 to 6: CE mark", .in = { IN4, .ttl = 255, .tos = 0x03 }, .out = { OUT6 },
	  .payload_len = 60 },
	{ "4 to 6: ID, no DF", .in = { IN4 }, .out = { OUT6 },
	  .payload_len = 60, .change = id_and_no_df },
	{ "4 to 6: options do not go on", .in = { IN4 }, .out = { OUT6 },
	  .payload_len = 60, .change = ip_options },
	{ "4 to 6: without UDP checksum gets one", .in = { IN4 }, .out = { OUT6 },
	  .payload_len = 60, .change = no_checksum },
	{ "4 to 6: odd, without UDP checksum", .in = { IN4 }, .out = { OUT6 },
	  .payload_len = 1199, .change = no_checksum },
	{ "4 to 6: Ethernet padding is cut off", .in = { IN4 }, .out = { OUT6 },
	  .payload_len = 12, .change = ethernet_padding },
	{ "4 to 6: as large as the egress MTU", .in = { IN4 }, .out = { OUT6 },
	  .payload_len = MTU - V6 - UDP },
	{ "4 to 6: larger than it, and would fit as IPv4", .in = { IN4 }, .out = { OUT6 },
	  .payload_len = MTU - V6 - UDP + 1, .verdict = REWRITE_EGRESS_MTU },
	{ "4 to 6: without options it fits", .in = { IN4 }, .out = { OUT6 },
	  .payload_len = 60, .mtu = V6 + UDP + 60, .change = ip_options },
	{ "4 to 6: TTL 1", .in = { IN4, .ttl = 1 }, .out = { OUT6 },
	  .payload_len = 60,
	  .verdict = REWRITE_TTL_EXPIRED },

	{ "6 to 4", .in = { IN6 }, .out = { OUT4 },
	  .payload_len = 60 },
	{ "6 to 4: 1 byte", .in = { IN6 }, .out = { OUT4 },
	  .payload_len = 1 },
	{ "6 to 4: odd length", .in = { IN6 }, .out = { OUT4 },
	  .payload_len = 1201 },
	{ "6 to 4: traffic class and hop limit", .in = { IN6, .ttl = 2, .tos = 0xb9 }, .out = { OUT4 },
	  .payload_len = 60 },
	{ "6 to 4: flow label", .in = { IN6 }, .out = { OUT4 },
	  .payload_len = 60, .change = flow_label },
	{ "6 to 4: extension headers do not go on", .in = { IN6 }, .out = { OUT4 },
	  .payload_len = 60, .change = extensions },
	{ "6 to 4: larger than the egress MTU as IPv6, and fits", .in = { IN6 }, .out = { OUT4 },
	  .payload_len = MTU - V4 - UDP },
	{ "6 to 4: larger than the egress MTU", .in = { IN6 }, .out = { OUT4 },
	  .payload_len = MTU - V4 - UDP + 1, .verdict = REWRITE_EGRESS_MTU },
	{ "6 to 4: hop limit 1", .in = { IN6, .ttl = 1 }, .out = { OUT4 },
	  .payload_len = 60,
	  .verdict = REWRITE_TTL_EXPIRED },
};

static void frame_write(struct buffer *buffer, const struct udp_flow *flow, size_t payload_len)
{
	uint8_t payload[1500];

	for (size_t i = 0; i < payload_len; i++)
		payload[i] = (uint8_t)(i * 37 + 11);
	memset(buffer, 0xaa, sizeof(*buffer));
	buffer->frame = buffer->bytes + ROOM;
	buffer->len = udp_frame_write(buffer->frame, flow, payload, payload_len);
}

static enum rewrite_verdict rewrite(struct buffer *buffer, const struct udp_flow *out, uint16_t mtu,
				    struct packet *packet)
{
	struct addr src = plain_addr(out->src), dst = plain_addr(out->dst);
	struct nexthop nexthop = { .flags = NEXTHOP_RESOLVED, .mtu_bytes = mtu, .interface = 3 }, entry, used;
	struct rewrite to = { &entry, &src, &dst, htons(out->src_port), htons(out->dst_port) };

	memcpy(nexthop.dmac, DMAC, 6);
	memcpy(nexthop.smac, SMAC, 6);
	memset(&entry, 0, sizeof(entry));
	entry_write(&entry, &nexthop, sizeof(nexthop));
	assert_int_equal(packet_parse(packet, buffer->frame, (uint32_t)buffer->len), PACKET_UDP);
	return rewrite_frame(packet, &to, &used);
}

static bool is_v4(const struct udp_flow *flow)
{
	return !strchr(flow->src, ':');
}

/* What should come out: the same payload between other addresses, with a plain header. */
static void expect(struct buffer *want, const struct row *row)
{
	struct udp_flow out = row->out;

	out.ttl = (uint8_t)((row->in.ttl ? row->in.ttl : 64) - 1);
	out.tos = row->in.tos;
	out.dont_fragment = is_v4(&row->out) && !is_v4(&row->in);
	frame_write(want, &out, row->payload_len);
	memcpy(want->frame, DMAC, 6);
	memcpy(want->frame + 6, SMAC, 6);
	if (row->change == no_checksum && is_v4(&row->out))
		no_checksum(want);
}

static void frames_come_out_byte_by_byte(void **unused)
{
	static struct buffer in, before, want;

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct packet packet;

		print_message("row: %s\n", row->name);
		frame_write(&in, &row->in, row->payload_len);
		if (row->change)
			row->change(&in);
		before = in;
		assert_int_equal(rewrite(&in, &row->out, row->mtu ? row->mtu : MTU, &packet), row->verdict);
		if (row->verdict != REWRITE_DONE) {
			assert_memory_equal(in.bytes, before.bytes, sizeof(in.bytes));
			assert_ptr_equal(packet.frame, in.frame);
			continue;
		}
		expect(&want, row);
		assert_int_equal(packet.frame_len_bytes, want.len);
		assert_memory_equal(packet.frame, want.frame, want.len);
		/* Nothing beyond the two frames is touched. */
		for (uint8_t *at = in.bytes; at < packet.frame && at < in.frame; at++)
			assert_int_equal(*at, 0xaa);
		assert_memory_equal(in.frame + in.len, before.frame + before.len, 64);
	}
}

/* Over all values of two bytes of payload the checksum takes all its values, 0 -> ffff among them. */
static void each_checksum_is_right(void **unused)
{
	static const struct udp_flow flows[2][2] = { { { IN4 }, { OUT6 } }, { { IN6 }, { OUT4 } } };
	static struct buffer in;
	unsigned ones = 0;

	(void)unused;
	for (unsigned tail = 0; tail < 0x20000; tail++) {
		uint8_t payload[3] = { (uint8_t)(tail >> 8), (uint8_t)tail, 0x5a };
		unsigned from = tail >> 16;
		struct packet packet;
		uint8_t *check;

		in.frame = in.bytes + ROOM;
		in.len = udp_frame_write(in.frame, &flows[from][0], payload, sizeof(payload));
		if (from == 0 && tail % 2)
			no_checksum(&in);
		assert_int_equal(rewrite(&in, &flows[from][1], MTU, &packet), REWRITE_DONE);
		assert_true(udp_frame_checksums_are_right(packet.frame, packet.frame_len_bytes));
		check = packet.frame + packet.l4_offset + 6;
		assert_true(check[0] || check[1]);
		ones += check[0] == 0xff && check[1] == 0xff;
	}
	assert_in_range(ones, 2, 8);
}

/* IPv6 without a UDP checksum is wrong: in IPv4 that would be "none given", and right. */
static void no_checksum_in_ipv6_stays_wrong(void **unused)
{
	static const struct udp_flow from = { IN6 }, to = { OUT4 };
	static struct buffer in;
	struct packet packet;
	uint8_t *check;

	(void)unused;
	frame_write(&in, &from, 60);
	no_checksum(&in);
	assert_int_equal(rewrite(&in, &to, MTU, &packet), REWRITE_DONE);
	check = packet.frame + packet.l4_offset + 6;
	assert_true(check[0] || check[1]);
	assert_false(udp_frame_checksums_are_right(packet.frame, packet.frame_len_bytes));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_come_out_byte_by_byte),
		cmocka_unit_test(each_checksum_is_right),
		cmocka_unit_test(no_checksum_in_ipv6_stays_wrong),
	};

	return cmocka_run_group_tests_name("rewrite", tests, NULL, NULL);
}
