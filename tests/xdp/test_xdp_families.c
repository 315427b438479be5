/* SPDX-License-Identifier: MIT */
/*
 * test_xdp_families: the XDP program between an IPv4 client and an IPv6
 * backend and the reverse, one frame a row: the frame that comes out, byte by
 * byte, or the frame as it was. Needs root.
 */
#include "scene.h"

#include <string.h>

static void mtu_set(struct scene *s, uint32_t nexthop, uint16_t mtu_bytes)
{
	s->world.state.nexthops[nexthop].mtu_bytes = mtu_bytes;
}

/* IPv4 client, IPv6 backend: 60 bytes of payload are 88 as IPv4 and 108 as IPv6. */
static void four(struct scene *s)
{
	scene_client4_at_backend2(s);
}

static void four_mtu_107(struct scene *s)
{
	four(s);
	mtu_set(s, NEXTHOP_BACKENDS, 107);
}

static void four_mtu_108(struct scene *s)
{
	four(s);
	mtu_set(s, NEXTHOP_BACKENDS, 108);
}

static void four_mtu_87(struct scene *s)
{
	four(s);
	mtu_set(s, NEXTHOP_CLIENTS, 87);
}

static void four_mtu_88(struct scene *s)
{
	four(s);
	mtu_set(s, NEXTHOP_CLIENTS, 88);
}

static void four_unresolved(struct scene *s)
{
	four(s);
	s->world.state.backends[2].nexthop = NEXTHOP_UNRESOLVED;
}

static void four_no_device(struct scene *s)
{
	four(s);
	s->world.state.backends[2].nexthop = NEXTHOP_NO_DEVICE;
}

static void four_nexthop_being_written(struct scene *s)
{
	four(s);
	s->world.state.nexthops[NEXTHOP_BACKENDS].head.seq |= SEQ_WRITING;
}

static void four_unconfirmed(struct scene *s)
{
	four(s);
	s->path4->flags = 0;
}

static void six(struct scene *s)
{
	scene_client6_at_backend0(s);
}

#define HOPOPTS_DSTOPTS_LONG "3c00010400000000" "1101010c000000000000000000000000"

static const struct row rows[] = {
	/* client to backend, 4 to 6 */
	{ "4 to 6", four, .in = { .flow = FROM_CLIENT4, .cid = CID_A },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY6) },
	{ "4 to 6 on one interface: XDP_TX", four, .in = { .flow = FROM_CLIENT4, .cid = CID_A }, .on_veth = true,
	  .expect = SENDS(TO_BACKEND, XDP_TX, AS_RELAY6) },
	{ "4 to 6: TOS and TTL", four, .in = { .flow = FROM_CLIENT4, .cid = CID_A, .tos = 0xba, .ttl = 2 },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY6) },
	{ "4 to 6: CE mark", four, .in = { .flow = FROM_CLIENT4, .cid = CID_A, .tos = 0x03, .ttl = 255 },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY6) },
	{ "4 to 6: odd length", four, .in = { .flow = FROM_CLIENT4, .cid = CID_A, .payload_len = 1201 },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY6) },
	{ "4 to 6: 1 word of options does not go on", four,
	  .in = { .flow = FROM_CLIENT4, .cid = CID_A, .ip_option_words = 1 },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY6) },
	{ "4 to 6: 5 words of options, as long as what IPv6 adds", four,
	  .in = { .flow = FROM_CLIENT4, .cid = CID_A, .ip_option_words = 5 },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY6) },
	{ "4 to 6: 10 words of options", four, .in = { .flow = FROM_CLIENT4, .cid = CID_A, .ip_option_words = 10 },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY6) },
	{ "4 to 6: no UDP checksum gets one", four,
	  .in = { .flow = FROM_CLIENT4, .cid = CID_A, .udp_checksum_none = true },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY6) },
	{ "4 to 6: no UDP checksum over what fills an MTU", four,
	  .in = { .flow = FROM_CLIENT4, .cid = CID_A, .payload_len = 1452, .udp_checksum_none = true },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY6) },
	{ "4 to 6: no UDP checksum, padding and options", four,
	  .in = { .flow = FROM_CLIENT4, .cid = CID_A, .payload_len = 67, .udp_checksum_none = true, .padding = 5,
		  .ip_option_words = 3 },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY6) },
	{ "4 to 6: as large as the egress MTU, padding apart", four_mtu_108,
	  .in = { .flow = FROM_CLIENT4, .cid = CID_A, .padding = 6 },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY6) },
	{ "4 to 6: without options it fits", four_mtu_108,
	  .in = { .flow = FROM_CLIENT4, .cid = CID_A, .ip_option_words = 10 },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY6) },
	{ "4 to 6: larger than the egress MTU is punted", four_mtu_107, .in = { .flow = FROM_CLIENT4, .cid = CID_A },
	  .expect = PUNTS(TO_BACKEND) },
	{ "4 to 6: TTL 1 is dropped", four, .in = { .flow = FROM_CLIENT4, .cid = CID_A, .ttl = 1 },
	  .expect = DROPS(TTL_EXPIRED) },
	{ "4 to 6: next hop unresolved is dropped", four_unresolved, .in = { .flow = FROM_CLIENT4, .cid = CID_A },
	  .expect = DROPS(NO_NEXTHOP) },
	{ "4 to 6: an interface that is not ours is dropped", four_no_device,
	  .in = { .flow = FROM_CLIENT4, .cid = CID_A }, .expect = DROPS(NO_NEXTHOP) },
	{ "4 to 6: next hop being written is punted", four_nexthop_being_written,
	  .in = { .flow = FROM_CLIENT4, .cid = CID_A }, .expect = PUNTS(TO_BACKEND) },
	{ "4 to 6: unconfirmed is punted", four_unconfirmed, .in = { .flow = FROM_CLIENT4, .cid = CID_A },
	  .expect = PUNTS(TO_BACKEND) },
	{ "4 to 6: long header is punted", four, .in = { .flow = FROM_CLIENT4, .first_byte = 0xc0 },
	  .expect = PUNTS(TO_BACKEND) },
	{ "4 to 6: unknown CID is reported", four, .in = { .flow = FROM_CLIENT4, .cid = CID_X },
	  .expect = REPORTS(TO_BACKEND, XDP_REDIRECT, AS_RELAY6) },

	/* and back */
	{ "6 back to 4", four, .in = { .flow = FROM_BACKEND2 }, .expect = SENDS(TO_CLIENT, XDP_TX, AS_LISTENER4) },
	{ "6 back to 4, redirected", four, .in = { .flow = FROM_BACKEND2 }, .on_veth = true,
	  .expect = SENDS(TO_CLIENT, XDP_REDIRECT, AS_LISTENER4) },
	{ "6 back to 4: traffic class and hop limit", four, .in = { .flow = FROM_BACKEND2, .tos = 0xb9, .ttl = 2 },
	  .expect = SENDS(TO_CLIENT, XDP_TX, AS_LISTENER4) },
	{ "6 back to 4: as large as the egress MTU", four_mtu_88, .in = { .flow = FROM_BACKEND2 },
	  .expect = SENDS(TO_CLIENT, XDP_TX, AS_LISTENER4) },
	{ "6 back to 4: larger than it is punted", four_mtu_87, .in = { .flow = FROM_BACKEND2 },
	  .expect = PUNTS(TO_CLIENT) },
	{ "6 back to 4: extension headers do not go on", four,
	  .in = { .flow = FROM_BACKEND2, .extensions = HOPOPTS_DSTOPTS_LONG, .padding = 3 },
	  .expect = SENDS(TO_CLIENT, XDP_TX, AS_LISTENER4) },
	{ "6 back to 4: hop limit 1 is dropped", four, .in = { .flow = FROM_BACKEND2, .ttl = 1 },
	  .expect = DROPS(TTL_EXPIRED) },

	/* the other client */
	{ "6 to 4", six, .in = { .flow = FROM_CLIENT6, .cid = CID_C },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY4) },
	{ "6 to 4: odd length", six, .in = { .flow = FROM_CLIENT6, .cid = CID_C, .payload_len = 1321 },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY4) },
	{ "4 back to 6", six, .in = { .flow = FROM_BACKEND0 }, .expect = SENDS(TO_CLIENT, XDP_TX, AS_LISTENER6) },
	{ "4 back to 6: no UDP checksum gets one", six,
	  .in = { .flow = FROM_BACKEND0, .payload_len = 1199, .udp_checksum_none = true },
	  .expect = SENDS(TO_CLIENT, XDP_TX, AS_LISTENER6) },
};

/* Over enough payloads the checksums take all kinds of values, computed, by difference and in IPv4's header. */
static void checksums_hold_over_many_payloads(void **state)
{
	const struct expectation to_backend = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY6);
	const struct expectation to_client = SENDS(TO_CLIENT, XDP_TX, AS_LISTENER4);

	scene_client4_at_backend2(*state);
	for (unsigned i = 0; i < 1432; i++) {
		struct frame out = { .flow = FROM_CLIENT4, .cid = CID_A, .payload_len = (uint16_t)(21 + i),
				     .fill = (uint8_t)i, .udp_checksum_none = i % 2 };
		struct frame back = { .flow = FROM_BACKEND2, .payload_len = out.payload_len, .fill = (uint8_t)i };

		scene_expect(*state, "client to backend", &out, &to_backend);
		scene_expect(*state, "backend to client", &back, &to_client);
	}
}

/* The payload makes the UDP checksum behind the relay come to 0, by difference and computed. */
static void checksum_that_comes_to_0_is_sent_as_ones(void **state)
{
	const struct expectation expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY6);
	char cid[2 * CID_LEN_MAX + 1];
	struct frame in = { .flow = FROM_CLIENT4, .cid = cid };
	const struct frame out = { .flow = AS_RELAY6 };

	scene_client4_at_backend2(*state);
	assert_true(cid_for_checksum_0(&out, cid));
	scene_expect(*state, "by difference", &in, &expect);
	in.udp_checksum_none = true;
	scene_expect(*state, "computed", &in, &expect);
}

/* IPv6 without a UDP checksum is wrong: in IPv4 that would be "none given", and right. */
static void no_checksum_in_ipv6_stays_wrong(void **state)
{
	struct scene *s = *state;
	const struct frame in = { .flow = FROM_CLIENT6, .cid = CID_C, .udp_checksum_none = true };
	const struct frame right = { .flow = AS_RELAY4, .cid = CID_C };
	static uint8_t frame[FRAME_MAX], want[FRAME_MAX];
	uint32_t udp = frame_udp_offset(&right), len = frame_build(&in, &MACS_IN, frame);
	static struct run run;

	scene_client6_at_backend0(s);
	frame_build(&right, &MACS_BACKENDS, want);
	world_run(&s->world, frame, len, 0, 0, &run);
	assert_int_equal(run.action, XDP_REDIRECT);
	assert_true(run.bytes[udp + 6] || run.bytes[udp + 7]);
	assert_memory_not_equal(run.bytes + udp + 6, want + udp + 6, 2);
}

static void last_seen_follows_the_traffic(void **state)
{
	struct scene *s = *state;
	const struct expectation to_backend = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY6);
	const struct expectation to_client = SENDS(TO_CLIENT, XDP_TX, AS_LISTENER4);
	const struct frame out = { .flow = FROM_CLIENT4, .cid = CID_A }, back = { .flow = FROM_BACKEND2 };

	scene_client4_at_backend2(s);
	scene_expect_stamps(s, s->path4, s->reply6, &out, &to_backend, &back, &to_client);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(checksums_hold_over_many_payloads),
	cmocka_unit_test(checksum_that_comes_to_0_is_sent_as_ones),
	cmocka_unit_test(no_checksum_in_ipv6_stays_wrong),
	cmocka_unit_test(last_seen_follows_the_traffic),
};

int main(void)
{
	return rows_main("xdp_families", rows, sizeof(rows) / sizeof(rows[0]), tests, sizeof(tests) / sizeof(tests[0]));
}
