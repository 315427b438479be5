/* SPDX-License-Identifier: MIT */
/*
 * test_xdp: the XDP program, one frame a row: what is handed to a worker, what
 * is dropped on its way out, and what is rewritten and sent, byte by byte.
 * Needs root. Parsing is in test_xdp_parse.c, what connection IDs decide in
 * test_xdp_cids.c.
 */
#include "scene.h"
#include "userspace/endpoint.h"

#include <arpa/inet.h>
#include <string.h>

/* --- damage to frames ---------------------------------------------------------------------------- */

enum { IP = 14 }; /* offset of the IP header */

static void ttl_0(uint8_t *bytes, uint32_t *len)
{
	(void)len;
	bytes[IP + 8] = 0;
}

/* --- changes to the scene ------------------------------------------------------------------------ */

static void userspace_path(struct scene *s)
{
	s->world.state.globals->features = 0;
}

static void path4_unconfirmed(struct scene *s)
{
	s->path4->flags = 0;
}

static void path4_being_written(struct scene *s)
{
	s->path4->head.seq |= SEQ_WRITING;
}

static void path4_expired(struct scene *s)
{
	s->path4->last_seen_s = s->now_s - 183;
}

static void path4_almost_expired(struct scene *s)
{
	s->path4->last_seen_s = s->now_s - 177;
}

static void path4_to_backend2(struct scene *s)
{
	s->path4->backend = 2;
}

static void path4_to_no_backend(struct scene *s)
{
	s->path4->backend = WORLD_BACKENDS;
}

static void path4_relay_address_6(struct scene *s)
{
	s->path4->relay_address = 1;
}

static void path4_cid_len_beyond(struct scene *s)
{
	s->path4->cid_len = CID_LEN_MAX + 1;
}

static void backend0_free(struct scene *s)
{
	entry_clear(&s->world.state.backends[0]);
}

static void backend0_being_written(struct scene *s)
{
	s->world.state.backends[0].head.seq |= SEQ_WRITING;
}

static void backend0_unresolved(struct scene *s)
{
	s->world.state.backends[0].nexthop = NEXTHOP_UNRESOLVED;
}

static void backend0_nexthop_free(struct scene *s)
{
	s->world.state.backends[0].nexthop = NEXTHOP_SLOTS - 1;
}

static void backend0_nexthop_beyond(struct scene *s)
{
	s->world.state.backends[0].nexthop = NEXTHOP_SLOTS;
}

static void backend0_no_device(struct scene *s)
{
	s->world.state.backends[0].nexthop = NEXTHOP_NO_DEVICE;
}

static void nexthop_being_written(struct scene *s)
{
	s->world.state.nexthops[NEXTHOP_BACKENDS].head.seq |= SEQ_WRITING;
}

static void mtu_87(struct scene *s)
{
	s->world.state.nexthops[NEXTHOP_BACKENDS].mtu_bytes = 87;
}

static void mtu_88(struct scene *s)
{
	s->world.state.nexthops[NEXTHOP_BACKENDS].mtu_bytes = 88;
}

static void mtu_107(struct scene *s)
{
	s->world.state.nexthops[NEXTHOP_CLIENTS].mtu_bytes = 107;
}

static void reply4_unconfirmed(struct scene *s)
{
	s->reply4->flags = REPLY_ANSWERED;
}

static void reply4_being_written(struct scene *s)
{
	s->reply4->head.seq |= SEQ_WRITING;
}

static void reply4_old(struct scene *s)
{
	s->reply4->last_seen_s = s->now_s - 1000;
}

static void reply4_and_path_old(struct scene *s)
{
	s->reply4->last_seen_s = s->now_s - 1000;
	s->path4->last_seen_s = s->now_s - 183;
}

static void reply4_old_and_no_path(struct scene *s)
{
	s->reply4->last_seen_s = s->now_s - 1000;
	s->reply4->path = WORLD_TABLE_SLOTS;
}

static void reply4_to_client6(struct scene *s)
{
	s->reply4->client = s->reply6->client;
}

static void reply4_from_listener6(struct scene *s)
{
	s->reply4->endpoint = s->listener6;
}

static void reply4_endpoint_beyond(struct scene *s)
{
	s->reply4->endpoint = ENDPOINT_SLOTS;
}

static struct endpoint *listener4_entry(struct scene *s)
{
	return table_at(&s->world.state.endpoints, s->listener4);
}

static void listener4_being_written(struct scene *s)
{
	listener4_entry(s)->head.seq |= SEQ_WRITING;
}

static void listener4_gone(struct scene *s)
{
	entry_clear(listener4_entry(s));
}

static void listener4_is_udp(struct scene *s)
{
	listener4_entry(s)->kind = ENDPOINT_UDP;
}

/* The entry moves to the last probe of its sequence, behind all others. */
static void listener4_crowded(struct scene *s)
{
	struct endpoint endpoint = *listener4_entry(s);
	struct table *table = &s->world.state.endpoints;
	uint64_t hash = endpoint_hash(&endpoint.address, endpoint.port_be);

	table_remove(table, s->listener4, hash);
	world_crowd(table, hash, PROBES_MAX - 1);
	scene_move_path4(s, world_listener(&s->world, ENDPOINT_QUIC, LISTENER4, 443));
}

static void relay_port_is_a_listener(struct scene *s)
{
	world_listener(&s->world, ENDPOINT_QUIC, RELAY4, 20001);
}

static void relay_port_is_the_hosts(struct scene *s)
{
	s->world.state.host_ports[20002 / 64] = 1ull << 20002 % 64;
}

static void listener_is_disabled(struct scene *s)
{
	struct endpoint endpoint;
	uint32_t slot;
	struct addr listener = addr_of(LISTENER4);

	assert_true(endpoint_find(&s->world.state, &listener, htons(443), &slot, &endpoint));
	endpoint_disable(&s->world.state, slot);
}

/* --- rows ---------------------------------------------------------------------------------------- */

#define HOPOPTS "1100010400000000"                       /* 8 bytes, then UDP */
#define HOPOPTS_DSTOPTS_LONG "3c00010400000000" "1101010c000000000000000000000000"
#define ROUTING_DONE "1100040000000000"
#define SIX_EXTENSIONS "3c00010400000000" "3c00010400000000" "3c00010400000000" "3c00010400000000" \
		       "3c00010400000000" "1100010400000000"

static const struct row rows[] = {
	/* punted */
	{ "long header is punted", .in = { .flow = FROM_CLIENT4, .first_byte = 0xc3, .payload_len = 1200 },
	  .expect = PUNTS(TO_BACKEND) },
	{ "long header of 1 byte is punted", .in = { .flow = FROM_CLIENT4, .first_byte = 0x80, .payload_len = 1 },
	  .expect = PUNTS(TO_BACKEND) },
	{ "long header from a backend is punted", .in = { .flow = FROM_BACKEND0, .first_byte = 0xc0 },
	  .expect = PUNTS(TO_CLIENT) },
	{ "UDP listener: punted", .in = { .flow = { CLIENT4, 40000, LISTENER4, 19132 } },
	  .expect = PUNTS(TO_BACKEND) },
	{ "UDP listener: empty is punted", .in = { .flow = { CLIENT4, 40000, LISTENER4, 19132 }, .empty = true },
	  .expect = PUNTS(TO_BACKEND) },
	{ "rendezvous listener: punted", .in = { .flow = { CLIENT4, 40000, LISTENER4, 3478 } },
	  .expect = PUNTS(TO_BACKEND) },
	{ "reply of a UDP session: punted", listener4_is_udp, .in = { .flow = FROM_BACKEND0, .empty = true },
	  .expect = PUNTS(TO_CLIENT) },
	{ "fast_path userspace: short header is punted", userspace_path, .in = { .flow = FROM_CLIENT4, .cid = CID_A },
	  .expect = PUNTS(TO_BACKEND) },
	{ "fast_path userspace: reply is punted", userspace_path, .in = { .flow = FROM_BACKEND0 },
	  .expect = PUNTS(TO_CLIENT) },
	{ "fast_path userspace: empty is dropped", userspace_path, .in = { .flow = FROM_CLIENT4, .empty = true },
	  .expect = DROPS(EMPTY_DATAGRAM) },
	{ "fast_path userspace: unknown client is punted", userspace_path,
	  .in = { .flow = { CLIENT4, 40001, LISTENER4, 443 }, .cid = CID_X }, .expect = PUNTS(TO_BACKEND) },
	{ "unconfirmed path is punted", path4_unconfirmed, .in = { .flow = FROM_CLIENT4, .cid = CID_A },
	  .expect = PUNTS(TO_BACKEND) },
	{ "unconfirmed reply is punted", reply4_unconfirmed, .in = { .flow = FROM_BACKEND0 },
	  .expect = PUNTS(TO_CLIENT) },
	{ "path being written is punted", path4_being_written, .in = { .flow = FROM_CLIENT4, .cid = CID_A },
	  .expect = PUNTS(TO_BACKEND) },
	{ "reply being written is punted", reply4_being_written, .in = { .flow = FROM_BACKEND0 },
	  .expect = PUNTS(TO_CLIENT) },
	{ "listener being written is punted", listener4_being_written, .in = { .flow = FROM_CLIENT4, .cid = CID_A },
	  .expect = PUNTS(TO_BACKEND) },
	{ "reply to a listener being written is punted", listener4_being_written, .in = { .flow = FROM_BACKEND0 },
	  .expect = PUNTS(TO_CLIENT) },
	{ "backend being written is punted", backend0_being_written, .in = { .flow = FROM_CLIENT4, .cid = CID_A },
	  .expect = PUNTS(TO_BACKEND) },
	{ "backend freed is punted", backend0_free, .in = { .flow = FROM_CLIENT4, .cid = CID_A },
	  .expect = PUNTS(TO_BACKEND) },
	{ "backend out of bounds is punted", path4_to_no_backend, .in = { .flow = FROM_CLIENT4, .cid = CID_A },
	  .expect = PUNTS(TO_BACKEND) },
	{ "next hop being written is punted", nexthop_being_written, .in = { .flow = FROM_CLIENT4, .cid = CID_A },
	  .expect = PUNTS(TO_BACKEND) },
	{ "CID length out of bounds is punted", path4_cid_len_beyond, .in = { .flow = FROM_CLIENT4, .cid = CID_A },
	  .expect = PUNTS(TO_BACKEND) },
	{ "IPv6 backend by an IPv4 relay address is punted", path4_to_backend2, .in = { .flow = FROM_CLIENT4, .cid = CID_A },
	  .expect = PUNTS(TO_BACKEND) },
	{ "IPv6 relay address of an IPv4 path is punted", path4_relay_address_6,
	  .in = { .flow = FROM_CLIENT4, .cid = CID_A }, .expect = PUNTS(TO_BACKEND) },
	{ "IPv6 client of an IPv4 listener is punted", reply4_to_client6, .in = { .flow = FROM_BACKEND0 },
	  .expect = PUNTS(TO_CLIENT) },
	{ "IPv6 listener of an IPv4 client is punted", reply4_from_listener6, .in = { .flow = FROM_BACKEND0 },
	  .expect = PUNTS(TO_CLIENT) },
	{ "reply's listener out of bounds is punted", reply4_endpoint_beyond, .in = { .flow = FROM_BACKEND0 },
	  .expect = PUNTS(TO_CLIENT) },
	{ "reply to a listener that is gone is punted", listener4_gone, .in = { .flow = FROM_BACKEND0 },
	  .expect = PUNTS(TO_CLIENT) },
	{ "punted to the socket of its interface and queue", .in = { .flow = FROM_CLIENT4, .first_byte = 0xc0 },
	  .on_veth = true, .queue = WORLD_QUEUE_WITH_SOCKET,
	  .expect = { .action = XDP_REDIRECT, .punted = true, .direction = TO_BACKEND } },
	{ "punted on a queue without a socket is dropped", .in = { .flow = FROM_CLIENT4, .first_byte = 0xc0 },
	  .on_veth = true, .queue = WORLD_QUEUE_WITH_SOCKET - 1, .expect = PUNTS(TO_BACKEND) },

	/* idle times */
	{ "path almost expired is forwarded", path4_almost_expired, .in = { .flow = FROM_CLIENT4, .cid = CID_A },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY4) },
	{ "path expired is no path, but its CID is known", path4_expired,
	  .in = { .flow = FROM_CLIENT4, .cid = CID_A }, .expect = PUNTS(TO_BACKEND) },
	{ "path expired and CID unknown is dropped", path4_expired, .in = { .flow = FROM_CLIENT4, .cid = CID_X },
	  .expect = DROPS(UNKNOWN_CID) },
	{ "backend silent, client not: reply is forwarded", reply4_old, .in = { .flow = FROM_BACKEND0 },
	  .expect = SENDS(TO_CLIENT, XDP_TX, AS_LISTENER4) },
	{ "both silent: reply is punted", reply4_and_path_old, .in = { .flow = FROM_BACKEND0 },
	  .expect = PUNTS(TO_CLIENT) },
	{ "backend silent, path out of bounds: punted", reply4_old_and_no_path, .in = { .flow = FROM_BACKEND0 },
	  .expect = PUNTS(TO_CLIENT) },
	{ "client silent, backend not: reply is forwarded", path4_expired, .in = { .flow = FROM_BACKEND0 },
	  .expect = SENDS(TO_CLIENT, XDP_TX, AS_LISTENER4) },

	/* next hops */
	{ "next hop unresolved is dropped", backend0_unresolved, .in = { .flow = FROM_CLIENT4, .cid = CID_A },
	  .expect = DROPS(NO_NEXTHOP) },
	{ "next hop free is dropped", backend0_nexthop_free, .in = { .flow = FROM_CLIENT4, .cid = CID_A },
	  .expect = DROPS(NO_NEXTHOP) },
	{ "next hop out of bounds is dropped", backend0_nexthop_beyond, .in = { .flow = FROM_CLIENT4, .cid = CID_A },
	  .expect = DROPS(NO_NEXTHOP) },
	{ "next hop by an interface that is not ours is dropped", backend0_no_device,
	  .in = { .flow = FROM_CLIENT4, .cid = CID_A }, .expect = DROPS(NO_NEXTHOP) },
	{ "TTL 1 is dropped", .in = { .flow = FROM_CLIENT4, .cid = CID_A, .ttl = 1 }, .expect = DROPS(TTL_EXPIRED) },
	{ "TTL 0 is dropped", .in = { .flow = FROM_CLIENT4, .cid = CID_A, .damage = ttl_0 },
	  .expect = DROPS(TTL_EXPIRED) },
	{ "hop limit 1 is dropped", .in = { .flow = FROM_BACKEND2, .ttl = 1 }, .expect = DROPS(TTL_EXPIRED) },
	{ "TTL 2 goes on as 1", .in = { .flow = FROM_CLIENT4, .cid = CID_A, .ttl = 2 },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY4) },
	{ "larger than the egress MTU is punted, to be answered", mtu_87, .in = { .flow = FROM_CLIENT4, .cid = CID_A },
	  .expect = PUNTS(TO_BACKEND) },
	{ "as large as the egress MTU is forwarded, padding apart", mtu_88,
	  .in = { .flow = FROM_CLIENT4, .cid = CID_A, .padding = 6 },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY4) },
	{ "IPv6 larger than the egress MTU is punted, to be answered", mtu_107, .in = { .flow = FROM_BACKEND2 },
	  .expect = PUNTS(TO_CLIENT) },

	/* replies */
	{ "unknown relay port is dropped", .in = { .flow = { BACKEND0, 7777, RELAY4, 20002 } },
	  .expect = DROPS(UNKNOWN_RELAY_PORT) },
	{ "relay port that a socket of the host has passes", relay_port_is_the_hosts,
	  .in = { .flow = { BACKEND0, 7777, RELAY4, 20002 } }, .expect = PASSES },
	{ "path to a relay port goes before the host's sockets", relay_port_is_the_hosts,
	  .in = { .flow = { BACKEND0, 7777, RELAY4, 20001 }, .first_byte = 0xc0 }, .expect = PUNTS(TO_CLIENT) },
	{ "disabled listener passes", listener_is_disabled, .in = { .flow = FROM_CLIENT4, .cid = CID_A },
	  .expect = PASSES },
	{ "unknown relay port of the second range is dropped", .in = { .flow = { BACKEND0, 7777, RELAY4, 50999 } },
	  .expect = DROPS(UNKNOWN_RELAY_PORT) },
	{ "another host to a known relay port is dropped", .in = { .flow = { BACKEND1, 7777, RELAY4, 20001 } },
	  .expect = DROPS(UNKNOWN_RELAY_PORT) },
	{ "another port of the backend is dropped", .in = { .flow = { BACKEND0, 7778, RELAY4, 20001 } },
	  .expect = DROPS(UNKNOWN_RELAY_PORT) },
	{ "a listener's port comes before the relay ports", relay_port_is_a_listener,
	  .in = { .flow = FROM_BACKEND0, .first_byte = 0xc0 }, .expect = PUNTS(TO_BACKEND) },

	/* forwarded */
	{ "client to backend, redirected", .in = { .flow = FROM_CLIENT4, .cid = CID_A },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY4) },
	{ "client to backend on one interface: XDP_TX", .in = { .flow = FROM_CLIENT4, .cid = CID_A }, .on_veth = true,
	  .expect = SENDS(TO_BACKEND, XDP_TX, AS_RELAY4) },
	{ "backend to client, redirected", .in = { .flow = FROM_BACKEND0 }, .on_veth = true,
	  .expect = SENDS(TO_CLIENT, XDP_REDIRECT, AS_LISTENER4) },
	{ "backend to client on one interface: XDP_TX", .in = { .flow = FROM_BACKEND0 },
	  .expect = SENDS(TO_CLIENT, XDP_TX, AS_LISTENER4) },
	{ "IPv6 client to backend", .in = { .flow = FROM_CLIENT6, .cid = CID_C },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY6) },
	{ "IPv6 backend to client", .in = { .flow = FROM_BACKEND2 },
	  .expect = SENDS(TO_CLIENT, XDP_TX, AS_LISTENER6) },
	{ "fixed bit 0 (RFC 9287)", .in = { .flow = FROM_CLIENT4, .cid = CID_A, .first_byte = 0x01 },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY4) },
	{ "TOS is kept", .in = { .flow = FROM_CLIENT4, .cid = CID_A, .tos = 0xba },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY4) },
	{ "CE mark is kept", .in = { .flow = FROM_BACKEND0, .tos = 0x03 },
	  .expect = SENDS(TO_CLIENT, XDP_TX, AS_LISTENER4) },
	{ "IPv6 traffic class is kept", .in = { .flow = FROM_CLIENT6, .cid = CID_C, .tos = 0xb9 },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY6) },
	{ "UDP checksum 0 stays 0", .in = { .flow = FROM_CLIENT4, .cid = CID_A, .udp_checksum_none = true },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY4) },
	{ "UDP checksum 0 stays wrong in IPv6",
	  .in = { .flow = FROM_CLIENT6, .cid = CID_C, .udp_checksum_none = true },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY6) },
	{ "odd payload length", .in = { .flow = FROM_CLIENT4, .cid = CID_A, .payload_len = 61 },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY4) },
	{ "odd payload length in IPv6", .in = { .flow = FROM_CLIENT6, .cid = CID_C, .payload_len = 1201 },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY6) },
	{ "1 word of IPv4 options", .in = { .flow = FROM_CLIENT4, .cid = CID_A, .ip_option_words = 1 },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY4) },
	{ "10 words of IPv4 options", .in = { .flow = FROM_BACKEND0, .ip_option_words = 10 },
	  .expect = SENDS(TO_CLIENT, XDP_TX, AS_LISTENER4) },
	{ "hop-by-hop options", .in = { .flow = FROM_CLIENT6, .cid = CID_C, .extensions = HOPOPTS },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY6) },
	{ "hop-by-hop and longer destination options",
	  .in = { .flow = FROM_CLIENT6, .cid = CID_C, .extensions = HOPOPTS_DSTOPTS_LONG },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY6) },
	{ "routing header at its end",
	  .in = { .flow = FROM_CLIENT6, .cid = CID_C, .extensions = ROUTING_DONE, .first_extension = 43 },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY6) },
	{ "as many extension headers as we walk",
	  .in = { .flow = FROM_BACKEND2, .extensions = SIX_EXTENSIONS, .first_extension = 60 },
	  .expect = SENDS(TO_CLIENT, XDP_TX, AS_LISTENER6) },
	{ "listener at the last probe", listener4_crowded, .in = { .flow = FROM_CLIENT4, .cid = CID_A },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY4) },
};

/* --- what is more than one frame ------------------------------------------------------------------ */

/* Over enough payloads both checksums take all kinds of values, the carries and 0 -> ffff among them. */
static void checksums_hold_over_many_payloads(void **state)
{
	const struct expectation to_backend = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY4);
	const struct expectation to_client = SENDS(TO_CLIENT, XDP_TX, AS_LISTENER6);

	for (unsigned i = 0; i < 2000; i++) {
		struct frame out = { .flow = FROM_CLIENT4, .cid = CID_A, .payload_len = (uint16_t)(21 + i % 1300),
				     .fill = (uint8_t)i };
		struct frame back = { .flow = FROM_BACKEND2, .payload_len = out.payload_len, .fill = (uint8_t)i };

		scene_expect(*state, "client to backend", &out, &to_backend);
		scene_expect(*state, "backend to client", &back, &to_client);
	}
}

/* The payload makes the UDP checksum behind the relay come to 0. */
static void checksum_that_comes_to_0_is_sent_as_ones(void **state)
{
	const struct expectation expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY4);
	char cid[2 * CID_LEN_MAX + 1];
	const struct frame in = { .flow = FROM_CLIENT4, .cid = cid }, out = { .flow = AS_RELAY4 };

	assert_true(cid_for_checksum_0(&out, cid));
	scene_expect(*state, "checksum 0", &in, &expect);
}

static void last_seen_follows_the_traffic(void **state)
{
	struct scene *s = *state;
	const struct expectation to_backend = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY4);
	const struct expectation to_client = SENDS(TO_CLIENT, XDP_TX, AS_LISTENER4);
	const struct expectation punted = PUNTS(TO_BACKEND);
	const struct frame out = { .flow = FROM_CLIENT4, .cid = CID_A }, back = { .flow = FROM_BACKEND0 };
	const struct frame initial = { .flow = FROM_CLIENT4, .first_byte = 0xc0 };

	scene_expect(s, "a long header", &initial, &punted);
	assert_int_equal(s->path4->last_seen_s, s->now_s - 5);
	scene_expect(s, "a packet out", &out, &to_backend);
	assert_in_range(s->path4->last_seen_s, s->now_s, s->now_s + 2);
	assert_int_equal(s->reply4->last_seen_s, s->now_s - 5);
	scene_expect(s, "a packet back", &back, &to_client);
	assert_in_range(s->reply4->last_seen_s, s->now_s, s->now_s + 2);
}

static void path_is_found_at_each_probe(void **state)
{
	struct scene *s = *state;
	const struct expectation expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY4);
	const struct frame in = { .flow = FROM_CLIENT4, .cid = CID_A };

	for (unsigned crowd = 0; crowd < PROBES_MAX; crowd++) {
		scene_reset(s);
		scene_crowd_path4(s, crowd);
		scene_expect(s, "path behind others", &in, &expect);
	}
}

static void reply_is_found_at_each_probe(void **state)
{
	struct scene *s = *state;
	const struct expectation expect = SENDS(TO_CLIENT, XDP_TX, AS_LISTENER4);
	const struct frame in = { .flow = FROM_BACKEND0 };

	for (unsigned crowd = 0; crowd < PROBES_MAX; crowd++) {
		scene_reset(s);
		scene_crowd_reply4(s, crowd);
		scene_expect(s, "reply behind others", &in, &expect);
	}
}

/* An entry that was freed keeps its bytes; the live one of the same key stands behind it. */
static void freed_entry_does_not_hide_the_live_one(void **state)
{
	struct scene *s = *state;
	const struct expectation expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY4);
	const struct frame in = { .flow = FROM_CLIENT4, .cid = CID_A };
	struct path_entry path = *s->path4, *live = world_path(&s->world, &path);

	assert_ptr_not_equal(live, s->path4);
	entry_clear(s->path4);
	scene_expect(s, "freed entry first", &in, &expect);
	assert_in_range(live->last_seen_s, s->now_s, s->now_s + 2);
}

/* The look-up ends where no entry passed over: that bounds what a miss costs. */
static void look_up_ends_where_nothing_passed_over(void **state)
{
	struct scene *s = *state;
	const struct expectation expect = DROPS(UNKNOWN_CID);
	const struct frame in = { .flow = FROM_CLIENT4, .cid = CID_X };

	scene_crowd_path4(s, 2);
	scene_forget_overflow(s);
	scene_expect(s, "entry beyond the end of the sequence", &in, &expect);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(checksums_hold_over_many_payloads),
	cmocka_unit_test(checksum_that_comes_to_0_is_sent_as_ones),
	cmocka_unit_test(last_seen_follows_the_traffic),
	cmocka_unit_test(path_is_found_at_each_probe),
	cmocka_unit_test(reply_is_found_at_each_probe),
	cmocka_unit_test(freed_entry_does_not_hide_the_live_one),
	cmocka_unit_test(look_up_ends_where_nothing_passed_over),
};

int main(void)
{
	return rows_main("xdp", rows, sizeof(rows) / sizeof(rows[0]), tests, sizeof(tests) / sizeof(tests[0]));
}
