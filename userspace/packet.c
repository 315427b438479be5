/* SPDX-License-Identifier: MIT */
/*
 * packet: from the bytes of one frame to addresses, ports and payload. Worker
 * thread and sluice-inspect; pure. The input is hostile: each length is checked
 * against the frame before it is used.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "packet.h"

enum {
	ETHERNET_HEADER_LEN = 14,
	IPV4_HEADER_LEN = 20,
	IPV6_HEADER_LEN = 40,
	UDP_HEADER_LEN = 8,
	ETHERTYPE_IPV4 = 0x0800,
	ETHERTYPE_IPV6 = 0x86dd,
	/*
	 * RFC 8200 s4.1 lists 6 headers before UDP, one of them twice. More have no
	 * honest use, and each costs a step of the walk.
	 */
	EXTENSION_HEADERS_MAX = 8,
};

static uint16_t read_u16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

/* The ports only: all that a first fragment is sure to have, if it has that. */
static enum packet_verdict parse_fragment(struct packet *packet, uint32_t at, uint32_t end)
{
	if (end - at < 4)
		return PACKET_TRUNCATED;
	packet->l4_offset = (uint16_t)at;
	memcpy(&packet->src_port_be, packet->frame + at, 2);
	memcpy(&packet->dst_port_be, packet->frame + at + 2, 2);
	return PACKET_FRAGMENT;
}

/*
 * RFC 768. A length below what IP carries is allowed and cuts the payload; 0,
 * "no length" (RFC 2675 s4), is for jumbograms alone, which no packet here is.
 */
static enum packet_verdict parse_udp(struct packet *packet, uint32_t at, uint32_t end)
{
	uint32_t udp_len;

	if (end - at < UDP_HEADER_LEN)
		return PACKET_TRUNCATED;
	udp_len = read_u16(packet->frame + at + 4);
	if (udp_len < UDP_HEADER_LEN || udp_len > end - at)
		return PACKET_BAD_UDP_LENGTH;
	packet->l4_offset = (uint16_t)at;
	memcpy(&packet->src_port_be, packet->frame + at, 2);
	memcpy(&packet->dst_port_be, packet->frame + at + 2, 2);
	packet->payload_len_bytes = (uint16_t)(udp_len - UDP_HEADER_LEN);
	return PACKET_UDP;
}

/*
 * RFC 791 s3.1
 *
 *     |Version|  IHL  |      TOS      |          Total Length         |
 *     |        Identification         |Flags|     Fragment Offset     |
 *     |      TTL      |   Protocol    |        Header Checksum        |
 *     |                        Source Address                         |
 *     |                      Destination Address                      |
 *
 * The header checksum is the kernel's business, not ours: the wire has one of its own.
 */
static enum packet_verdict parse_ipv4(struct packet *packet, uint32_t at, uint32_t end)
{
	const uint8_t *ip = packet->frame + at;
	uint32_t header_len, total_len;
	uint16_t fragment;

	if (end - at < IPV4_HEADER_LEN)
		return PACKET_TRUNCATED;
	header_len = (ip[0] & 0xf) * 4u;
	total_len = read_u16(ip + 2);
	if (header_len < IPV4_HEADER_LEN || total_len < header_len || total_len > end - at)
		return PACKET_BAD_IP_HEADER;
	packet->v4 = true;
	packet->ttl = ip[8];
	packet->src.words_be[2] = packet->dst.words_be[2] = htonl(0xffff);
	memcpy(&packet->src.words_be[3], ip + 12, 4);
	memcpy(&packet->dst.words_be[3], ip + 16, 4);
	packet->frame_len_bytes = at + total_len;
	fragment = read_u16(ip + 6);
	if (ip[9] != IPPROTO_UDP || fragment & 0x1fff)
		return PACKET_NOT_OURS;
	if (fragment & 0x2000)
		return parse_fragment(packet, at + header_len, packet->frame_len_bytes);
	return parse_udp(packet, at + header_len, packet->frame_len_bytes);
}

/*
 * Passes over the extension headers (RFC 8200 s4) up to UDP; no field of
 * theirs is of any use here. A fragment header without fragmentation (RFC 6946
 * "atomic fragment") is passed over as well.
 */
static enum packet_verdict parse_extensions(struct packet *packet, uint8_t next, uint32_t at, uint32_t end)
{
	bool fragment = false;

	for (int i = 0; i < EXTENSION_HEADERS_MAX; i++) {
		const uint8_t *header = packet->frame + at;
		uint32_t header_len;

		switch (next) {
		case IPPROTO_UDP:
			return fragment ? parse_fragment(packet, at, end) : parse_udp(packet, at, end);
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
			if (end - at < 8)
				return PACKET_TRUNCATED;
			header_len = (header[1] + 1u) * 8;
			break;
		case IPPROTO_FRAGMENT:
			if (end - at < 8)
				return PACKET_TRUNCATED;
			if (read_u16(header + 2) & 0xfff8)
				return PACKET_NOT_OURS;
			fragment |= header[3] & 1;
			header_len = 8;
			break;
		default:
			return PACKET_NOT_OURS;
		}
		if (header_len > end - at)
			return PACKET_TRUNCATED;
		next = header[0];
		at += header_len;
	}
	return PACKET_NOT_OURS;
}

/*
 * RFC 8200 s3
 *
 *     |Version| Traffic Class |           Flow Label                  |
 *     |         Payload Length        |  Next Header  |   Hop Limit   |
 *     |                     Source Address, 16 bytes                  |
 *     |                  Destination Address, 16 bytes                |
 */
static enum packet_verdict parse_ipv6(struct packet *packet, uint32_t at, uint32_t end)
{
	const uint8_t *ip = packet->frame + at;
	uint32_t payload_len;

	if (end - at < IPV6_HEADER_LEN)
		return PACKET_TRUNCATED;
	payload_len = read_u16(ip + 4);
	at += IPV6_HEADER_LEN;
	if (payload_len > end - at)
		return PACKET_BAD_IP_HEADER;
	packet->ttl = ip[7];
	memcpy(&packet->src, ip + 8, 16);
	memcpy(&packet->dst, ip + 24, 16);
	packet->frame_len_bytes = at + payload_len;
	return parse_extensions(packet, ip[6], at, packet->frame_len_bytes);
}

static void packet_begin(struct packet *packet, uint8_t *frame, uint32_t len, uint32_t l3_offset)
{
	memset(packet, 0, sizeof(*packet));
	packet->frame = frame;
	packet->frame_len_bytes = len;
	packet->l3_offset = (uint16_t)l3_offset;
}

enum packet_verdict packet_parse(struct packet *packet, uint8_t *frame, uint32_t len)
{
	packet_begin(packet, frame, len, ETHERNET_HEADER_LEN);
	if (len < ETHERNET_HEADER_LEN)
		return PACKET_TRUNCATED;
	switch (read_u16(frame + 12)) {
	case ETHERTYPE_IPV4:
		if (len > ETHERNET_HEADER_LEN && frame[ETHERNET_HEADER_LEN] >> 4 != 4)
			return PACKET_BAD_IP_HEADER;
		return parse_ipv4(packet, ETHERNET_HEADER_LEN, len);
	case ETHERTYPE_IPV6:
		if (len > ETHERNET_HEADER_LEN && frame[ETHERNET_HEADER_LEN] >> 4 != 6)
			return PACKET_BAD_IP_HEADER;
		return parse_ipv6(packet, ETHERNET_HEADER_LEN, len);
	default:
		return PACKET_NOT_OURS;
	}
}

enum packet_verdict packet_parse_ip(struct packet *packet, uint8_t *frame, uint32_t len, uint16_t l3_offset)
{
	packet_begin(packet, frame, len, l3_offset);
	if (len <= l3_offset)
		return PACKET_TRUNCATED;
	switch (frame[l3_offset] >> 4) {
	case 4:
		return parse_ipv4(packet, l3_offset, len);
	case 6:
		return parse_ipv6(packet, l3_offset, len);
	default:
		return PACKET_NOT_OURS;
	}
}
