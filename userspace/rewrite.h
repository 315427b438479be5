/* SPDX-License-Identifier: MIT */
/*
 * rewrite: new addresses, ports and MACs for a frame that goes on, and a new
 * IP header where it goes on in the other IP family. Worker thread; the frame
 * was parsed by packet_parse. The kernel side does the same in bpf/forward.h
 * and bpf/translate.h.
 */
#ifndef SLUICE_REWRITE_H
#define SLUICE_REWRITE_H

#include "packet.h"

enum { REWRITE_GROWTH = 20 }; /* IPv6's header has 40 bytes, IPv4's 20 */

struct rewrite {
	const struct nexthop *nexthop;
	const struct addr *src, *dst;   /* both of one IP family; the packet's own, or the other */
	__be16 src_port_be, dst_port_be;
};

enum rewrite_verdict {
	REWRITE_DONE,
	REWRITE_TTL_EXPIRED,            /* from here on: the frame is as it was */
	REWRITE_EGRESS_MTU,
	REWRITE_NO_NEXTHOP,
	REWRITE_FAMILY_MISMATCH,
};

/*
 * Changes the frame in place: MACs, addresses, ports, TTL or hop limit less
 * one, both checksums by difference (RFC 1624); TOS, ECN and payload stay.
 *
 * In the other family the IP payload gets a plain header of that family
 * (RFC 7915 s4.1, s5.1: options and extension headers do not go on). The frame
 * then begins elsewhere: there are REWRITE_GROWTH bytes free in front of it, and
 * packet->frame, l4_offset and frame_len_bytes are set.
 *
 * *nexthop_copy is what was used; also with REWRITE_EGRESS_MTU.
 */
enum rewrite_verdict rewrite_frame(struct packet *packet, const struct rewrite *rewrite, struct nexthop *nexthop_copy);

#endif
