/* SPDX-License-Identifier: MIT */
/*
 * test_xdp_client_ip: the XDP program where backends see their clients' own
 * addresses, and answer to those: one frame a row, byte by byte. What is not
 * such an answer is the host's to forward. Needs root.
 */
#include "scene.h"

#include <arpa/inet.h>

#define AS_CLIENT4 { CLIENT4, 40000, BACKEND0, 7777 }
#define TO_CLIENT4 { BACKEND0, 7777, CLIENT4, 40000 }
#define AS_CLIENT6 { CLIENT6, 40000, BACKEND2, 7777 }
#define TO_CLIENT6 { BACKEND2, 7777, CLIENT6, 40000 }

enum { IP = 14 }; /* offset of the IP header */

static void first_fragment(uint8_t *bytes, uint32_t *len)
{
	(void)len;
	bytes[IP + 6] = 0x20;
}

/* --- changes to the scene ------------------------------------------------------------------------ */

static void feature_off(struct scene *s)
{
	scene_preserve(s);
	s->world.state.globals->features = FEATURE_KERNEL_PATH;
}

static void userspace_path(struct scene *s)
{
	scene_preserve(s);
	s->world.state.globals->features = FEATURE_CLIENT_IP;
}

static void unconfirmed(struct scene *s)
{
	scene_preserve(s);
	s->path4->flags = 0;
	s->reply4->flags = REPLY_ANSWERED;
}

static void reply_being_written(struct scene *s)
{
	scene_preserve(s);
	s->reply4->head.seq |= SEQ_WRITING;
}

static void reply_gone(struct scene *s)
{
	scene_preserve(s);
	entry_clear(s->reply4);
}

static void reply_at_the_last_probe(struct scene *s)
{
	scene_preserve(s);
	scene_crowd_reply4(s, PROBES_MAX - 1);
}

static void reply_out_of_sight(struct scene *s)
{
	reply_at_the_last_probe(s);
	for (uint32_t slot = 0; slot < s->world.state.replies.slots; slot++)
		((struct entry_head *)table_at(&s->world.state.replies, slot))->overflow = 0;
}

/* Of a path by a relay address, with the same ports: in no way the client's. */
static void reply_of_a_relay_address(struct scene *s)
{
	struct reply_entry reply;

	scene_preserve(s);
	reply = *s->reply4;
	entry_clear(s->reply4);
	reply.relay_address = 0;
	world_reply(&s->world, &reply);
}

static void both_silent(struct scene *s)
{
	scene_preserve(s);
	s->reply4->last_seen_s = s->now_s - 1000;
	s->path4->last_seen_s = s->now_s - 183;
}

static void nobody_is_there(struct scene *s)
{
	scene_preserve(s);
	s->world.state.globals->heartbeat_s = s->now_s - 63;
}

static void port_is_the_hosts(struct scene *s)
{
	scene_preserve(s);
	s->world.state.host_ports[40000 / 64] = 1ull << 40000 % 64;
}

static void backend_of_the_other_family(struct scene *s)
{
	scene_preserve(s);
	s->path4->backend = 2;
}

static void mtu_87(struct scene *s)
{
	scene_preserve(s);
	s->world.state.nexthops[NEXTHOP_CLIENTS].mtu_bytes = 87;
}

static void last_slot_is_an_address(struct scene *s)
{
	world_relay_address(&s->world, RELAY_ADDRESSES_MAX - 1, "192.0.2.254");
	s->path4->relay_address = RELAY_ADDRESSES_MAX - 1;
}

/* --- rows ---------------------------------------------------------------------------------------- */

static const struct row rows[] = {
	/* to the backend */
	{ "client to backend as itself", scene_preserve, .in = { .flow = FROM_CLIENT4, .cid = CID_A },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_CLIENT4) },
	{ "the same on one interface: XDP_TX", scene_preserve,
	  .in = { .flow = FROM_CLIENT4, .cid = CID_A }, .on_veth = true,
	  .expect = SENDS(TO_BACKEND, XDP_TX, AS_CLIENT4) },
	{ "IPv6 client to backend as itself", scene_preserve, .in = { .flow = FROM_CLIENT6, .cid = CID_C },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_CLIENT6) },
	{ "UDP checksum 0 stays 0", scene_preserve,
	  .in = { .flow = FROM_CLIENT4, .cid = CID_A, .udp_checksum_none = true },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_CLIENT4) },
	{ "IPv4 options", scene_preserve, .in = { .flow = FROM_CLIENT4, .cid = CID_A, .ip_option_words = 2 },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_CLIENT4) },
	{ "long header is punted", scene_preserve,
	  .in = { .flow = FROM_CLIENT4, .first_byte = 0xc3, .payload_len = 1200 },
	  .expect = PUNTS(TO_BACKEND) },
	{ "unconfirmed is punted", unconfirmed, .in = { .flow = FROM_CLIENT4, .cid = CID_A },
	  .expect = PUNTS(TO_BACKEND) },
	{ "fast_path userspace: punted", userspace_path, .in = { .flow = FROM_CLIENT4, .cid = CID_A },
	  .expect = PUNTS(TO_BACKEND) },
	{ "backend of the other family is punted", backend_of_the_other_family,
	  .in = { .flow = FROM_CLIENT4, .cid = CID_A }, .expect = PUNTS(TO_BACKEND) },
	{ "the last relay address is one", last_slot_is_an_address, .in = { .flow = FROM_CLIENT4, .cid = CID_A },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, { "192.0.2.254", 20001, BACKEND0, 7777 }) },

	/* back */
	{ "backend to the client itself", scene_preserve, .in = { .flow = TO_CLIENT4 },
	  .expect = SENDS(TO_CLIENT, XDP_TX, AS_LISTENER4) },
	{ "the same from another interface: redirected", scene_preserve, .in = { .flow = TO_CLIENT4 }, .on_veth = true,
	  .expect = SENDS(TO_CLIENT, XDP_REDIRECT, AS_LISTENER4) },
	{ "IPv6 backend to the client itself", scene_preserve, .in = { .flow = TO_CLIENT6 },
	  .expect = SENDS(TO_CLIENT, XDP_TX, AS_LISTENER6) },
	{ "reply at the last probe", reply_at_the_last_probe, .in = { .flow = TO_CLIENT4 },
	  .expect = SENDS(TO_CLIENT, XDP_TX, AS_LISTENER4) },
	{ "to a client's port that a socket of the host has, too", port_is_the_hosts, .in = { .flow = TO_CLIENT4 },
	  .expect = SENDS(TO_CLIENT, XDP_TX, AS_LISTENER4) },
	{ "long reply is punted", scene_preserve, .in = { .flow = TO_CLIENT4, .first_byte = 0xc0 },
	  .expect = PUNTS(TO_CLIENT) },
	{ "unconfirmed reply is punted", unconfirmed, .in = { .flow = TO_CLIENT4 }, .expect = PUNTS(TO_CLIENT) },
	{ "reply being written is punted", reply_being_written, .in = { .flow = TO_CLIENT4 },
	  .expect = PUNTS(TO_CLIENT) },
	{ "fast_path userspace: reply is punted", userspace_path, .in = { .flow = TO_CLIENT4 },
	  .expect = PUNTS(TO_CLIENT) },
	{ "both silent: reply is punted", both_silent, .in = { .flow = TO_CLIENT4 }, .expect = PUNTS(TO_CLIENT) },
	{ "larger than the egress MTU is punted", mtu_87, .in = { .flow = TO_CLIENT4 }, .expect = PUNTS(TO_CLIENT) },
	{ "TTL 1 is dropped", scene_preserve, .in = { .flow = TO_CLIENT4, .ttl = 1 }, .expect = DROPS(TTL_EXPIRED) },
	{ "empty reply is dropped", scene_preserve, .in = { .flow = TO_CLIENT4, .empty = true },
	  .expect = DROPS(EMPTY_DATAGRAM) },
	{ "reply of 20 bytes is dropped", scene_preserve, .in = { .flow = TO_CLIENT4, .payload_len = 20 },
	  .expect = DROPS(MALFORMED_SHORT) },
	{ "first fragment of a reply is dropped", scene_preserve,
	  .in = { .flow = TO_CLIENT4, .damage = first_fragment },
	  .expect = DROPS(FRAGMENT) },
	{ "also where a socket of the host has that port", port_is_the_hosts,
	  .in = { .flow = TO_CLIENT4, .damage = first_fragment }, .expect = DROPS(FRAGMENT) },

	/* what is the host's */
	{ "feature off: reply passes", feature_off, .in = { .flow = TO_CLIENT4 }, .expect = PASSES },
	{ "feature off: client to backend is forwarded all the same", feature_off,
	  .in = { .flow = FROM_CLIENT4, .cid = CID_A }, .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_CLIENT4) },
	{ "heartbeat too old: reply passes", nobody_is_there, .in = { .flow = TO_CLIENT4 }, .expect = PASSES },
	{ "reply gone: passes", reply_gone, .in = { .flow = TO_CLIENT4 }, .expect = PASSES },
	{ "another port of the client's passes", scene_preserve, .in = { .flow = { BACKEND0, 7777, CLIENT4, 40001 } },
	  .expect = PASSES },
	{ "another client passes", scene_preserve, .in = { .flow = { BACKEND0, 7777, "198.51.100.8", 40000 } },
	  .expect = PASSES },
	{ "another port of the backend's passes", scene_preserve, .in = { .flow = { BACKEND0, 7778, CLIENT4, 40000 } },
	  .expect = PASSES },
	{ "another backend passes", scene_preserve, .in = { .flow = { BACKEND1, 7777, CLIENT4, 40000 } },
	  .expect = PASSES },
	{ "another IPv6 client passes", scene_preserve, .in = { .flow = { BACKEND2, 7777, "2001:db8:c::8", 40000 } },
	  .expect = PASSES },
	{ "IPv6 client in another network passes", scene_preserve,
	  .in = { .flow = { BACKEND2, 7777, "2001:db8:d::7", 40000 } },
	  .expect = PASSES },
	{ "malformed, of nobody: passes", scene_preserve,
	  .in = { .flow = { BACKEND0, 7777, CLIENT4, 40001 }, .damage = first_fragment }, .expect = PASSES },
	{ "to port 0 passes", scene_preserve, .in = { .flow = { BACKEND0, 7777, CLIENT4, 0 } }, .expect = PASSES },
	{ "beyond a slot that nobody passed over: passes", reply_out_of_sight, .in = { .flow = TO_CLIENT4 },
	  .expect = PASSES },
	{ "a relay address' reply is none of the client's", reply_of_a_relay_address, .in = { .flow = TO_CLIENT4 },
	  .expect = PASSES },
	{ "a client's reply is none of a relay address'", scene_preserve,
	  .in = { .flow = { BACKEND0, 7777, RELAY4, 20001 } },
	  .expect = DROPS(UNKNOWN_RELAY_PORT) },

	/* what we sent, once more */
	{ "what went to the backend passes", scene_preserve, .in = { .flow = AS_CLIENT4, .cid = CID_A },
	  .expect = PASSES },
	{ "what went to the client passes", scene_preserve, .in = { .flow = AS_LISTENER4 }, .expect = PASSES },
	{ "what went to the IPv6 backend passes", scene_preserve, .in = { .flow = AS_CLIENT6, .cid = CID_C },
	  .expect = PASSES },
	{ "what went to the IPv6 client passes", scene_preserve, .in = { .flow = AS_LISTENER6 }, .expect = PASSES },
};

/* --- what is more than one frame ------------------------------------------------------------------ */

static void checksums_hold_over_many_payloads(void **state)
{
	const struct expectation to_backend = SENDS(TO_BACKEND, XDP_REDIRECT, AS_CLIENT4);
	const struct expectation to_client = SENDS(TO_CLIENT, XDP_TX, AS_LISTENER6);

	scene_preserve(*state);
	for (unsigned i = 0; i < 2000; i++) {
		struct frame out = { .flow = FROM_CLIENT4, .cid = CID_A, .payload_len = (uint16_t)(21 + i % 1300),
				     .fill = (uint8_t)i };
		struct frame back = { .flow = TO_CLIENT6, .payload_len = out.payload_len, .fill = (uint8_t)i };

		scene_expect(*state, "client to backend", &out, &to_backend);
		scene_expect(*state, "backend to client", &back, &to_client);
	}
}

/* The payload makes the UDP checksum behind the relay come to 0. */
static void checksum_that_comes_to_0_is_sent_as_ones(void **state)
{
	const struct expectation expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_CLIENT4);
	char cid[2 * CID_LEN_MAX + 1];
	const struct frame in = { .flow = FROM_CLIENT4, .cid = cid }, out = { .flow = AS_CLIENT4 };

	scene_preserve(*state);
	assert_true(cid_for_checksum_0(&out, cid));
	scene_expect(*state, "checksum 0", &in, &expect);
}

static void last_seen_follows_the_traffic(void **state)
{
	struct scene *s = *state;
	const struct expectation to_backend = SENDS(TO_BACKEND, XDP_REDIRECT, AS_CLIENT6);
	const struct expectation to_client = SENDS(TO_CLIENT, XDP_TX, AS_LISTENER6);
	const struct frame out = { .flow = FROM_CLIENT6, .cid = CID_C }, back = { .flow = TO_CLIENT6 };

	scene_preserve(s);
	scene_expect_stamps(s, s->path6, s->reply6, &out, &to_backend, &back, &to_client);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(checksums_hold_over_many_payloads),
	cmocka_unit_test(checksum_that_comes_to_0_is_sent_as_ones),
	cmocka_unit_test(last_seen_follows_the_traffic),
};

int main(void)
{
	return rows_main("xdp_client_ip", rows, sizeof(rows) / sizeof(rows[0]), tests,
			 sizeof(tests) / sizeof(tests[0]));
}
