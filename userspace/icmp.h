/* SPDX-License-Identifier: MIT */
/*
 * icmp: what path MTU discovery needs: a datagram that does not fit the way
 * out is answered to whoever sent it. Worker thread; pure. The datagram is
 * hostile, but one that a session took (packet_parse, forwarder).
 *
 * It is a help only, QUIC finds out by itself (RFC 8899). So it never becomes an
 * amplifier: smaller than what came, and seldom.
 */
#ifndef SLUICE_ICMP_H
#define SLUICE_ICMP_H

#include "packet.h"
#include "source_limit.h"

enum {
	/*
	 * RFC 9000 s14: QUIC needs 1,200 bytes of UDP payload, and ignores who says
	 * that less fits; RFC 8201 s4: so does IPv6 below 1,280.
	 */
	ICMP_MTU_MIN_V4 = 1200 + 8 + 20,
	ICMP_MTU_MIN_V6 = 1280,
	/* One tells a sender what it needs, and it remembers for minutes; the rest is for those that get lost. */
	ICMP_PER_S_PER_SOURCE = 10,
	/* Of one worker to all: at 1,280 bytes each, 1 Mbit/s. */
	ICMP_PER_S = 100,
	/* In front of the frame. */
	ICMP_GROWTH = 40 + 8,
};

struct icmp_limit {
	struct source_limit sources;
	uint64_t next_ns;                /* of all, see gcra_take */
};

void icmp_limit_init(struct icmp_limit *limit, const struct siphash_key *hash_key);

/*
 * The MTU to tell the sender: of its own IP family, for what leaves through
 * one of mtu_bytes in the family v4_out. 0: nothing that would help it.
 */
uint16_t icmp_mtu(const struct packet *packet, bool v4_out, uint16_t mtu_bytes);

/* False: over a limit, or not an address that one may answer (RFC 1122 s3.2.2, RFC 4443 s2.4 e). */
bool icmp_may_answer(struct icmp_limit *limit, const struct addr *source, uint64_t now_ns);

/*
 * Makes of the frame its answer, to its sender from an address of ours (of its
 * IP family), out of next hop `back`: "fragmentation needed" (RFC 792, RFC 1191 s4) or
 * "packet too big" (RFC 4443 s3.2). The answer begins up to ICMP_GROWTH bytes
 * before the frame, and quotes its first bytes; packet->frame and
 * frame_len_bytes are set, the rest of the view is of what came in.
 */
void icmp_too_big(struct packet *packet, uint16_t mtu, const struct addr *own, const struct nexthop *back);

#endif
