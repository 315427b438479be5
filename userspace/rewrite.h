/* SPDX-License-Identifier: MIT */
/*
 * rewrite: new addresses, ports and MACs for a frame that goes on. Worker
 * thread; the frame was parsed by packet_parse. The kernel side does the same
 * in bpf/forward.h.
 */
#ifndef SLUICE_REWRITE_H
#define SLUICE_REWRITE_H

#include "packet.h"

struct rewrite {
	const struct nexthop *nexthop;
	const struct addr *src, *dst;   /* of the packet's own IP family */
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
 * one, both checksums by difference (RFC 1624); TOS, ECN and payload stay. On
 * REWRITE_DONE *nexthop_copy is what was used.
 */
enum rewrite_verdict rewrite_frame(const struct packet *packet, const struct rewrite *rewrite,
				   struct nexthop *nexthop_copy);

#endif
