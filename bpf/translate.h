/* SPDX-License-Identifier: MIT */
/*
 * translate: a packet between a client and a backend of different IP families
 * gets a header of the other family. Kernel side; userspace/rewrite.c does the
 * same.
 *
 * The relay is the UDP sender's peer on both sides, so it builds a new header
 * around the IP payload: nothing of the old one but TOS and TTL goes on
 * (RFC 7915 s4.1, s5.1: options and extension headers do not).
 *
 *     | Ethernet | IPv4  20 | UDP ...       the frame begins 20 bytes earlier
 *   | Ethernet | IPv6    40 | UDP ...       or later; UDP stays where it is
 *
 * The functions are global, and so out of line: see decide.h. The path of a
 * packet that keeps its family only compares.
 */
#ifndef SLUICE_TRANSLATE_H
#define SLUICE_TRANSLATE_H

#include "forward.h"

enum {
	UDP_SUM_WORDS_MAX = 4096 / 8, /* a page, what XDP has a frame in */
	IP_DONT_FRAGMENT = 0x4000,
};

#define UDP_SUM_NONE (~0ull)

struct translation {
	struct addr from_src, from_dst, src, dst;
	__be16 from_src_port_be, from_dst_port_be, src_port_be, dst_port_be;
	__u32 l4_offset;         /* of the UDP header in the frame */
	__u32 payload_len;       /* of IP, as its header says */
	__u32 direction;
	__u16 udp_len;           /* as its header says */
	__u16 udp_check;
	__u16 nexthop;
	__u8 to_v4;
	__u8 ttl;                /* as it came in */
	__u8 tos;
};

/* Sum of len bytes as 32-bit words, for checksum_apply; UDP_SUM_NONE: not all there. Its loops are checked once. */
__attribute__((noinline)) __u64 udp_sum(struct xdp_md *ctx, __u32 offset, __u32 len)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	__u8 *at = data + (offset & IPV6_OFFSET_MASK);
	__u32 left = len & 0xffff;
	__u64 sum = 0, last = 0;

	for (__u32 i = 0; i < UDP_SUM_WORDS_MAX && left >= 8; i++) {
		if ((void *)(at + 8) > data_end)
			return UDP_SUM_NONE;
		sum += (__u64)LOAD32(at) + LOAD32(at + 4);
		at += 8;
		left -= 8;
	}
	if (left >= 8)
		return UDP_SUM_NONE;
	/* RFC 768: padded with zeros to 16 bits; to 64 is the same sum. */
	for (__u32 i = 0; i < 7 && i < left; i++) {
		if ((void *)(at + 1) > data_end)
			return UDP_SUM_NONE;
		((__u8 *)&last)[i] = *at++;
	}
	return sum + (__u32)last + (last >> 32);
}

/*
 * The UDP checksum behind the relay; 0: it cannot be told. An IPv4 address and
 * its mapped form have the same sum (0xffff counts as 0 in it), and the rest of
 * the pseudo-headers is the same 17 and length, so the difference of the
 * addresses is all.
 *
 * IPv6 must have a checksum (RFC 8200 s8.1): one that IPv4 left out is computed.
 * None in IPv6 is wrong, and must not become IPv4's "none": it stays wrong.
 */
ALWAYS_INLINE __u16 translated_check(struct xdp_md *ctx, const struct translation *t)
{
	const struct addr none = {};
	__u32 ports_from = (__u32)t->from_src_port_be << 16 | t->from_dst_port_be;
	__u32 ports_to = (__u32)t->src_port_be << 16 | t->dst_port_be;
	__u64 difference = checksum_replace(ports_from, ports_to), sum;
	__u16 check = t->udp_check;

	if (check == 0 && !t->to_v4) {
		sum = udp_sum(ctx, t->l4_offset, t->udp_len);
		if (sum == UDP_SUM_NONE)
			return 0;
		difference += sum + bpf_htons(IPPROTO_UDP) + bpf_htons(t->udp_len) +
			      checksum_replace_addresses(&none, &none, &t->src, &t->dst);
		check = 0xffff; /* of nothing */
	} else {
		difference += checksum_replace_addresses(&t->from_src, &t->from_dst, &t->src, &t->dst);
	}
	check = checksum_apply(check, difference);
	return check ? check : 0xffff;
}

ALWAYS_INLINE void ipv4_write(struct iphdr *ip, const struct translation *t)
{
	__u16 total_len_be = bpf_htons(sizeof(*ip) + t->payload_len);
	__be32 src = addr_to_v4(&t->src), dst = addr_to_v4(&t->dst);
	__u8 ttl = t->ttl - 1;

	ip->version = 4;
	ip->ihl = sizeof(*ip) / 4;
	ip->tos = t->tos;
	ip->tot_len = total_len_be;
	ip->id = 0; /* RFC 6864 s4.1: an atomic datagram's says nothing */
	ip->frag_off = bpf_htons(IP_DONT_FRAGMENT);
	ip->ttl = ttl;
	ip->protocol = IPPROTO_UDP;
	ip->check = checksum_apply(0xffff, (__u64)bpf_htons(0x4500 | t->tos) + total_len_be +
						   bpf_htons(IP_DONT_FRAGMENT) +
						   bpf_htons((__u16)(ttl << 8 | IPPROTO_UDP)) + src + dst);
	ip->saddr = src;
	ip->daddr = dst;
}

ALWAYS_INLINE void ipv6_write(struct ipv6hdr *ip, const struct translation *t)
{
	STORE32(ip, bpf_htonl(0x60000000 | (__u32)t->tos << 20));
	ip->payload_len = bpf_htons((__u16)t->payload_len);
	ip->nexthdr = IPPROTO_UDP;
	ip->hop_limit = t->ttl - 1;
	STORE64(&ip->saddr, t->src.halves[0]);
	STORE64((void *)&ip->saddr + 8, t->src.halves[1]);
	STORE64(&ip->daddr, t->dst.halves[0]);
	STORE64((void *)&ip->daddr + 8, t->dst.halves[1]);
}

ALWAYS_INLINE void udp_write(struct udphdr *udp, const struct translation *t, __u16 check)
{
	udp->source = t->src_port_be;
	udp->dest = t->dst_port_be;
	udp->check = check;
}

/* The action. The frame is as it was, or whole. */
__attribute__((noinline)) int translate(struct xdp_md *ctx, const struct translation *t)
{
	__u32 header_len, verdict;
	struct nexthop_view nexthop = {};
	int action = XDP_TX;
	__u16 check;
	void *data, *data_end;

	if (!t)
		return XDP_DROP;
	header_len = t->to_v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	verdict = way_out(ctx, t->nexthop, t->ttl, header_len + t->payload_len, &nexthop, &action);
	if (verdict == VERDICT_PUNT)
		return punt(ctx, t->direction);
	if (verdict != VERDICT_FORWARD)
		return drop(verdict);
	check = translated_check(ctx, t);
	/* Without room before the frame, say: a worker has it. */
	if (!check || bpf_xdp_adjust_head(ctx, (int)t->l4_offset - (int)(ETH_HLEN + header_len)))
		return punt(ctx, t->direction);

	data = (void *)(long)ctx->data;
	data_end = (void *)(long)ctx->data_end;
	if (t->to_v4) {
		/* For the verifier, here and below: the UDP header was within the frame, and this is all before it. */
		if (data + ETH_HLEN + sizeof(struct iphdr) + sizeof(struct udphdr) > data_end)
			return XDP_ABORTED;
		((struct ethhdr *)data)->h_proto = bpf_htons(ETH_P_IP);
		ipv4_write(data + ETH_HLEN, t);
		udp_write(data + ETH_HLEN + sizeof(struct iphdr), t, check);
	} else {
		if (data + ETH_HLEN + sizeof(struct ipv6hdr) + sizeof(struct udphdr) > data_end)
			return XDP_ABORTED;
		((struct ethhdr *)data)->h_proto = bpf_htons(ETH_P_IPV6);
		ipv6_write(data + ETH_HLEN, t);
		udp_write(data + ETH_HLEN + sizeof(struct ipv6hdr), t, check);
	}
	STORE64(data, nexthop.macs_first);
	STORE32(data + 8, nexthop.macs_rest);
	count_forwarded(counters(), t->direction, data_end - data);
	return action;
}

/*
 * What the frame still tells is read from it again: a value kept until here
 * costs the path that does not come here, too.
 */
ALWAYS_INLINE int forward_translated(struct xdp_md *ctx, const struct packet *packet, const struct way *way,
				     __u32 direction, __u32 now_s)
{
	__u16 first_be = LOAD16(packet->data + ETH_HLEN), udp_len = bpf_ntohs(packet->udp->len);
	__u32 l4_offset = (void *)packet->udp - packet->data;
	struct translation t = {
		.from_src = packet->src,
		.from_dst = packet->dst,
		.src = way->src,
		.dst = way->dst,
		.from_src_port_be = packet->src_port_be,
		.from_dst_port_be = packet->dst_port_be,
		.src_port_be = way->src_port_be,
		.dst_port_be = way->dst_port_be,
		.l4_offset = l4_offset,
		.payload_len = ETH_HLEN + packet->ip_len - l4_offset,
		.direction = direction,
		.udp_len = udp_len,
		.udp_check = packet->udp->check,
		.nexthop = way->nexthop,
		.to_v4 = !packet->v4,
		.ttl = packet->ttl,
		/* The second byte; or the four bits before and behind the first byte's end. */
		.tos = packet->v4 ? bpf_ntohs(first_be) : bpf_ntohs(first_be) >> 4,
	};
	int action = translate(ctx, &t);

	/* A worker that it went to does so itself. */
	if (action != XDP_DROP && way->was_seen_s != now_s)
		WRITE_ONCE(*way->last_seen_s, now_s);
	return action;
}

#endif
