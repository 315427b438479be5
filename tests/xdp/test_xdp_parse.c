/* SPDX-License-Identifier: MIT */
/*
 * test_xdp_parse: what the XDP program leaves to the kernel, and what it drops
 * as malformed, one frame a row. Needs root.
 */
#include "scene.h"

#include <string.h>

/* --- damage to frames ---------------------------------------------------------------------------- */

enum { IP = 14 }; /* offset of the IP header */

static void vlan(uint8_t *bytes, uint32_t *len)
{
	memmove(bytes + 16, bytes + 12, *len - 12);
	memcpy(bytes + 12, (uint8_t[]){ 0x81, 0x00, 0x00, 0x07 }, 4);
	*len += 4;
}

static void arp(uint8_t *bytes, uint32_t *len)
{
	(void)len;
	bytes[13] = 0x06;
}

static void tcp(uint8_t *bytes, uint32_t *len)
{
	(void)len;
	bytes[IP + 9] = 6;
}

static void tcp6(uint8_t *bytes, uint32_t *len)
{
	(void)len;
	bytes[IP + 6] = 6;
}

static void version_5(uint8_t *bytes, uint32_t *len)
{
	(void)len;
	bytes[IP] = (uint8_t)((bytes[IP] & 0x0f) | 0x50);
}

static void header_of_4_words(uint8_t *bytes, uint32_t *len)
{
	(void)len;
	bytes[IP] = 0x44;
}

static void ipv4_first_fragment(uint8_t *bytes, uint32_t *len)
{
	(void)len;
	bytes[IP + 6] = 0x20;
}

static void ipv4_later_fragment(uint8_t *bytes, uint32_t *len)
{
	(void)len;
	bytes[IP + 6] = 0x20;
	bytes[IP + 7] = 0x40;
}

static void ipv4_total_length_one_more(uint8_t *bytes, uint32_t *len)
{
	(void)len;
	bytes[IP + 3]++;
}

static void ipv4_total_length_in_header(uint8_t *bytes, uint32_t *len)
{
	(void)len;
	bytes[IP + 3] = 19;
}

static void ipv6_payload_length_one_more(uint8_t *bytes, uint32_t *len)
{
	(void)len;
	bytes[IP + 5]++;
}

static void ipv6_payload_length_zero(uint8_t *bytes, uint32_t *len)
{
	(void)len;
	bytes[IP + 4] = bytes[IP + 5] = 0;
}

static void ipv6_payload_length_in_extension(uint8_t *bytes, uint32_t *len)
{
	(void)len;
	bytes[IP + 4] = 0;
	bytes[IP + 5] = 4;
}

static void udp_length_7(uint8_t *bytes, uint32_t *len)
{
	(void)len;
	memcpy(bytes + IP + 24, (uint8_t[]){ 0, 7 }, 2);
}

static void udp_length_one_more(uint8_t *bytes, uint32_t *len)
{
	(void)len;
	bytes[IP + 25]++;
}

static void udp_length_one_more_6(uint8_t *bytes, uint32_t *len)
{
	(void)len;
	bytes[IP + 45]++;
}

static void cut_in_udp_header(uint8_t *bytes, uint32_t *len)
{
	(void)bytes;
	*len = IP + 20 + 7;
}

static void cut_in_ports(uint8_t *bytes, uint32_t *len)
{
	(void)bytes;
	*len = IP + 20 + 3;
}

static void cut_in_ipv4_header(uint8_t *bytes, uint32_t *len)
{
	(void)bytes;
	*len = IP + 19;
}

static void cut_in_ipv6_header(uint8_t *bytes, uint32_t *len)
{
	(void)bytes;
	*len = IP + 39;
}

static void cut_in_ipv6_extension(uint8_t *bytes, uint32_t *len)
{
	(void)bytes;
	*len = IP + 40 + 7;
}

static void cut_to_ethernet_header(uint8_t *bytes, uint32_t *len)
{
	(void)bytes;
	*len = IP;
}

/* The source ::ffff:198.51.100.7 in an IPv6 packet. */
static void mapped_source(uint8_t *bytes, uint32_t *len)
{
	(void)len;
	memset(bytes + IP + 8, 0, 10);
	memcpy(bytes + IP + 18, (uint8_t[]){ 0xff, 0xff, 198, 51, 100, 7 }, 6);
}

static void mapped_destination(uint8_t *bytes, uint32_t *len)
{
	(void)len;
	memset(bytes + IP + 24, 0, 10);
	memcpy(bytes + IP + 34, (uint8_t[]){ 0xff, 0xff, 203, 0, 113, 5 }, 6);
}

/* --- changes to the scene ------------------------------------------------------------------------ */

static void heartbeat_old(struct scene *s)
{
	s->world.state.globals->heartbeat_s = s->now_s - 63;
}

static void heartbeat_within_grace(struct scene *s)
{
	s->world.state.globals->heartbeat_s = s->now_s - 57;
}

static void heartbeat_of_next_second(struct scene *s)
{
	s->world.state.globals->heartbeat_s = s->now_s + 2;
}

static struct endpoint *listener4_entry(struct scene *s)
{
	return table_at(&s->world.state.endpoints, s->listener4);
}

static void listener4_gone(struct scene *s)
{
	entry_clear(listener4_entry(s));
}

static void second_relay_range(struct scene *s)
{
	s->world.state.globals->relay_ports[0] = 0;
	s->world.state.globals->relay_ports[1] = 0;
}

/* A socket of this host has the port, though it lies in the relay's range. */
static void port_20002_is_the_hosts(struct scene *s)
{
	s->world.state.host_ports[20002 / 64] = 1ull << 20002 % 64;
}

/* --- rows ---------------------------------------------------------------------------------------- */

#define HOPOPTS "1100010400000000"                       /* 8 bytes, then UDP */
#define ROUTING_ON_ITS_WAY "1100040100000000"
#define FRAGMENT_FIRST "1100000100000007"
#define FRAGMENT_ATOMIC "1100000000000007"
#define FRAGMENT_LATER "1100000800000007"
#define SIX_EXTENSIONS "3c00010400000000" "3c00010400000000" "3c00010400000000" "3c00010400000000" \
		       "3c00010400000000" "1100010400000000"
#define SEVEN_EXTENSIONS "3c00010400000000" SIX_EXTENSIONS

#define TO_OTHER_PORT { CLIENT4, 40000, LISTENER4, 80 }
#define TO_OTHER_ADDRESS { CLIENT4, 40000, "203.0.113.6", 443 }

static const struct row rows[] = {
	/* not ours */
	{ "another port passes", .in = { .flow = TO_OTHER_PORT, .cid = CID_A }, .expect = PASSES },
	{ "another address passes", .in = { .flow = TO_OTHER_ADDRESS, .cid = CID_A }, .expect = PASSES },
	{ "another IPv6 address passes", .in = { .flow = { CLIENT6, 40000, "2001:db8::6", 443 }, .cid = CID_C },
	  .expect = PASSES },
	{ "VLAN tagged passes", .in = { .flow = FROM_CLIENT4, .cid = CID_A, .damage = vlan }, .expect = PASSES },
	{ "ARP passes", .in = { .flow = FROM_CLIENT4, .cid = CID_A, .damage = arp }, .expect = PASSES },
	{ "TCP passes", .in = { .flow = FROM_CLIENT4, .cid = CID_A, .damage = tcp }, .expect = PASSES },
	{ "TCP over IPv6 passes", .in = { .flow = FROM_CLIENT6, .cid = CID_C, .damage = tcp6 }, .expect = PASSES },
	{ "IP version 5 passes", .in = { .flow = FROM_CLIENT4, .cid = CID_A, .damage = version_5 },
	  .expect = PASSES },
	{ "IPv6 with a wrong version passes", .in = { .flow = FROM_CLIENT6, .cid = CID_C, .damage = version_5 },
	  .expect = PASSES },
	{ "IPv4 header below 20 bytes passes",
	  .in = { .flow = FROM_CLIENT4, .cid = CID_A, .damage = header_of_4_words }, .expect = PASSES },
	{ "later IPv4 fragment passes", .in = { .flow = FROM_CLIENT4, .cid = CID_A, .damage = ipv4_later_fragment },
	  .expect = PASSES },
	{ "later IPv6 fragment passes",
	  .in = { .flow = FROM_CLIENT6, .cid = CID_C, .extensions = FRAGMENT_LATER, .first_extension = 44 },
	  .expect = PASSES },
	{ "routing header with segments left passes",
	  .in = { .flow = FROM_CLIENT6, .cid = CID_C, .extensions = ROUTING_ON_ITS_WAY, .first_extension = 43 },
	  .expect = PASSES },
	{ "unknown extension header passes",
	  .in = { .flow = FROM_CLIENT6, .cid = CID_C, .extensions = HOPOPTS, .first_extension = 139 },
	  .expect = PASSES },
	{ "more extension headers than we walk pass",
	  .in = { .flow = FROM_CLIENT6, .cid = CID_C, .extensions = SEVEN_EXTENSIONS, .first_extension = 60 },
	  .expect = PASSES },
	{ "mapped IPv4 source in IPv6 passes", .in = { .flow = FROM_CLIENT6, .cid = CID_C, .damage = mapped_source },
	  .expect = PASSES },
	{ "mapped IPv4 destination in IPv6 passes",
	  .in = { .flow = FROM_CLIENT6, .cid = CID_C, .damage = mapped_destination }, .expect = PASSES },
	{ "destination port 0 passes", .in = { .flow = { CLIENT4, 40000, RELAY4, 0 }, .cid = CID_A },
	  .expect = PASSES },
	{ "relay address, port below the ranges passes", .in = { .flow = { BACKEND0, 7777, RELAY4, 19999 } },
	  .expect = PASSES },
	{ "relay address, port between the ranges passes", .in = { .flow = { BACKEND0, 7777, RELAY4, 30000 } },
	  .expect = PASSES },
	{ "relay address, port above the ranges passes", .in = { .flow = { BACKEND0, 7777, RELAY4, 51000 } },
	  .expect = PASSES },
	{ "an empty first range does not take port 0", second_relay_range,
	  .in = { .flow = { BACKEND0, 7777, RELAY4, 0 } }, .expect = PASSES },
	{ "an empty first range takes no port", second_relay_range, .in = { .flow = FROM_BACKEND0 },
	  .expect = PASSES },
	{ "listener gone passes", listener4_gone, .in = { .flow = FROM_CLIENT4, .cid = CID_A }, .expect = PASSES },

	/* malformed, but not ours */
	{ "first fragment for another port passes", .in = { .flow = TO_OTHER_PORT, .damage = ipv4_first_fragment },
	  .expect = PASSES },
	{ "bad UDP length for another port passes", .in = { .flow = TO_OTHER_PORT, .damage = udp_length_7 },
	  .expect = PASSES },
	{ "bad total length for another port passes",
	  .in = { .flow = TO_OTHER_PORT, .damage = ipv4_total_length_one_more }, .expect = PASSES },
	{ "oversize for another port passes", .in = { .flow = TO_OTHER_PORT, .payload_len = WORLD_FRAME_LEN_MAX },
	  .expect = PASSES },
	{ "cut in the UDP header for another port passes",
	  .in = { .flow = TO_OTHER_PORT, .damage = cut_in_udp_header }, .expect = PASSES },
	{ "empty for another port passes", .in = { .flow = TO_OTHER_PORT, .empty = true }, .expect = PASSES },
	{ "Ethernet header alone passes", .in = { .flow = FROM_CLIENT4, .damage = cut_to_ethernet_header },
	  .expect = PASSES },
	{ "cut in the IPv4 header passes", .in = { .flow = FROM_CLIENT4, .damage = cut_in_ipv4_header },
	  .expect = PASSES },
	{ "cut in the IPv6 header passes", .in = { .flow = FROM_CLIENT6, .damage = cut_in_ipv6_header },
	  .expect = PASSES },
	{ "cut in an extension header passes",
	  .in = { .flow = FROM_CLIENT6, .extensions = HOPOPTS, .first_extension = 0,
	  .damage = cut_in_ipv6_extension }, .expect = PASSES },
	{ "cut in the ports passes", .in = { .flow = FROM_CLIENT4, .damage = cut_in_ports }, .expect = PASSES },
	{ "first fragment for a port of the host's passes", port_20002_is_the_hosts,
	  .in = { .flow = { BACKEND0, 7777, RELAY4, 20002 }, .damage = ipv4_first_fragment }, .expect = PASSES },
	{ "bad UDP length for a port of the host's passes", port_20002_is_the_hosts,
	  .in = { .flow = { BACKEND0, 7777, RELAY4, 20002 }, .damage = udp_length_7 }, .expect = PASSES },

	/* no relay for too long */
	{ "heartbeat too old: ours passes", heartbeat_old, .in = { .flow = FROM_CLIENT4, .cid = CID_A },
	  .expect = PASSES },
	{ "heartbeat too old: malformed passes", heartbeat_old,
	  .in = { .flow = FROM_CLIENT4, .damage = udp_length_7 }, .expect = PASSES },
	{ "heartbeat too old: reply passes", heartbeat_old, .in = { .flow = FROM_BACKEND0 }, .expect = PASSES },
	{ "heartbeat within grace: forwarded", heartbeat_within_grace, .in = { .flow = FROM_CLIENT4, .cid = CID_A },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY4) },
	{ "heartbeat of a second not begun here: forwarded", heartbeat_of_next_second,
	  .in = { .flow = FROM_CLIENT4, .cid = CID_A }, .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY4) },

	/* malformed and ours */
	{ "first IPv4 fragment is dropped",
	  .in = { .flow = FROM_CLIENT4, .cid = CID_A, .damage = ipv4_first_fragment }, .expect = DROPS(FRAGMENT) },
	{ "first IPv4 fragment to a relay port is dropped",
	  .in = { .flow = FROM_BACKEND0, .damage = ipv4_first_fragment }, .expect = DROPS(FRAGMENT) },
	{ "first IPv6 fragment is dropped",
	  .in = { .flow = FROM_CLIENT6, .cid = CID_C, .extensions = FRAGMENT_FIRST, .first_extension = 44 },
	  .expect = DROPS(FRAGMENT) },
	{ "atomic IPv6 fragment is dropped",
	  .in = { .flow = FROM_CLIENT6, .cid = CID_C, .extensions = FRAGMENT_ATOMIC, .first_extension = 44 },
	  .expect = DROPS(FRAGMENT) },
	{ "cut in the UDP header is dropped", .in = { .flow = FROM_CLIENT4, .damage = cut_in_udp_header },
	  .expect = DROPS(TRUNCATED) },
	{ "IPv4 total length beyond the frame is dropped",
	  .in = { .flow = FROM_CLIENT4, .cid = CID_A, .damage = ipv4_total_length_one_more },
	  .expect = DROPS(BAD_IP_HEADER) },
	{ "IPv4 total length below its header is dropped",
	  .in = { .flow = FROM_CLIENT4, .cid = CID_A, .damage = ipv4_total_length_in_header },
	  .expect = DROPS(BAD_IP_HEADER) },
	{ "IPv6 payload length beyond the frame is dropped",
	  .in = { .flow = FROM_CLIENT6, .cid = CID_C, .damage = ipv6_payload_length_one_more },
	  .expect = DROPS(BAD_IP_HEADER) },
	{ "IPv6 payload ending in an extension is dropped",
	  .in = { .flow = FROM_CLIENT6, .cid = CID_C, .extensions = HOPOPTS,
	  .damage = ipv6_payload_length_in_extension }, .expect = DROPS(BAD_IP_HEADER) },
	{ "IPv6 payload length 0 is dropped",
	  .in = { .flow = FROM_CLIENT6, .cid = CID_C, .damage = ipv6_payload_length_zero },
	  .expect = DROPS(BAD_UDP_LENGTH) },
	{ "UDP length below 8 is dropped", .in = { .flow = FROM_CLIENT4, .cid = CID_A, .damage = udp_length_7 },
	  .expect = DROPS(BAD_UDP_LENGTH) },
	{ "UDP length beyond the IP payload is dropped",
	  .in = { .flow = FROM_CLIENT4, .cid = CID_A, .padding = 8, .damage = udp_length_one_more },
	  .expect = DROPS(BAD_UDP_LENGTH) },
	{ "UDP length beyond the IPv6 payload is dropped",
	  .in = { .flow = FROM_CLIENT6, .cid = CID_C, .padding = 8, .damage = udp_length_one_more_6 },
	  .expect = DROPS(BAD_UDP_LENGTH) },
	{ "frame beyond a UMEM chunk is dropped",
	  .in = { .flow = FROM_CLIENT4, .cid = CID_A, .payload_len = WORLD_FRAME_LEN_MAX - 41 },
	  .expect = DROPS(OVERSIZE) },
	{ "long header as large as a UMEM chunk is punted",
	  .in = { .flow = FROM_CLIENT4, .first_byte = 0xc0, .payload_len = WORLD_FRAME_LEN_MAX - 42 },
	  .expect = PUNTS(TO_BACKEND) },
	{ "empty datagram is dropped", .in = { .flow = FROM_CLIENT4, .empty = true },
	  .expect = DROPS(EMPTY_DATAGRAM) },
	{ "empty datagram with frame padding is dropped",
	  .in = { .flow = FROM_CLIENT4, .empty = true, .padding = 30 }, .expect = DROPS(EMPTY_DATAGRAM) },
	{ "empty datagram from a backend is dropped", .in = { .flow = FROM_BACKEND0, .empty = true },
	  .expect = DROPS(EMPTY_DATAGRAM) },
	{ "short header of 20 bytes is dropped",
	  .in = { .flow = FROM_CLIENT4, .cid = CID_A, .payload_len = 20, .padding = 30 },
	  .expect = DROPS(MALFORMED_SHORT) },
	{ "short header of 1 byte is dropped", .in = { .flow = FROM_CLIENT4, .payload_len = 1 },
	  .expect = DROPS(MALFORMED_SHORT) },
	{ "short header of 20 bytes from a backend is dropped", .in = { .flow = FROM_BACKEND0, .payload_len = 20 },
	  .expect = DROPS(MALFORMED_SHORT) },
	{ "short header of 21 bytes is forwarded", .in = { .flow = FROM_CLIENT4, .cid = CID_A, .payload_len = 21 },
	  .expect = SENDS(TO_BACKEND, XDP_REDIRECT, AS_RELAY4) },
	{ "stateless reset of 21 bytes reaches the client", .in = { .flow = FROM_BACKEND0, .payload_len = 21 },
	  .expect = SENDS(TO_CLIENT, XDP_TX, AS_LISTENER4) },
};

int main(void)
{
	return rows_main("xdp_parse", rows, sizeof(rows) / sizeof(rows[0]), NULL, 0);
}
