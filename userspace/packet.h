/* SPDX-License-Identifier: MIT */
/*
 * packet: a view over one received Ethernet frame: IPv4 or IPv6, UDP, payload.
 * Worker thread and sluice-inspect; pure. The input is hostile: nothing that
 * XDP checked is relied on.
 */
#ifndef SLUICE_PACKET_H
#define SLUICE_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

enum packet_verdict {
	PACKET_UDP,           /* every field of the view is valid */
	PACKET_NOT_OURS,      /* ARP, TCP, ICMP, a VLAN tag, a later fragment ... */
	PACKET_TRUNCATED,
	PACKET_BAD_IP_HEADER,
	PACKET_BAD_UDP_LENGTH,
	PACKET_FRAGMENT,      /* first fragment: the ports are valid, the payload is not all there */
};

/* Offsets are from the frame's first byte. */
struct packet {
	uint8_t *frame;               /* borrowed */
	uint32_t frame_len_bytes;     /* up to the end of the IP packet; padding behind it is cut off */
	uint16_t l3_offset;
	uint16_t l4_offset;           /* UDP header */
	uint16_t payload_len_bytes;
	bool v4;
	uint8_t ttl;                  /* or hop limit */
	struct addr src, dst;
	__be16 src_port_be, dst_port_be;
};

/* Parses an Ethernet frame of len bytes. Frames are borrowed: the view points into them. */
enum packet_verdict packet_parse(struct packet *packet, uint8_t *frame, uint32_t len);

/* The same from an IP header on (captures without Ethernet); l3_offset: bytes before it in `frame`. */
enum packet_verdict packet_parse_ip(struct packet *packet, uint8_t *frame, uint32_t len, uint16_t l3_offset);

static inline uint8_t *packet_payload(const struct packet *packet)
{
	return packet->frame + packet->l4_offset + 8;
}

#endif
