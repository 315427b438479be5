/* SPDX-License-Identifier: MIT */
/*
 * forward: rewrites a packet for its next hop and sends it. Kernel side. Every
 * check is made before the first byte is written: nothing is dropped or passed
 * half rewritten.
 */
#ifndef SLUICE_FORWARD_H
#define SLUICE_FORWARD_H

#include "lookup.h"

/* What from_client and from_backend answer; below these, an enum drop_reason. */
enum {
	VERDICT_FORWARD = DROP_REASON_COUNT,
	VERDICT_TRANSLATE, /* forward, with a header of the other IP family */
	VERDICT_PUNT,
	VERDICT_PASS,
};

/* Where a packet goes, and as whose. */
struct way {
	struct addr src, dst;
	__be16 src_port_be, dst_port_be;
	__u16 nexthop;            /* slot in nexthops */
	__u32 *last_seen_s;       /* of the entry that forwards it */
	__u32 was_seen_s;         /* its value */
};

ALWAYS_INLINE int drop(enum drop_reason reason)
{
	struct counters *c = counters();

	if (c)
		c->drops[reason]++;
	return XDP_DROP;
}

/*
 * To the worker of the queue that the packet came in on. XDP_DROP from the map
 * when there is none: it would not be the kernel's to answer either.
 */
static __attribute__((noinline)) int punt(struct xdp_md *ctx, __u32 direction)
{
	__u32 ifindex = ctx->ingress_ifindex, queue = ctx->rx_queue_index;
	__u32 *slot = bpf_map_lookup_elem(&interfaces, &ifindex);
	struct counters *c = counters();

	if (c && direction < DIRECTIONS) {
		c->punted[direction].packets++;
		c->punted[direction].bytes += ctx->data_end - ctx->data;
	}
	if (!slot || *slot >= INTERFACES_MAX || queue >= QUEUES_MAX)
		return XDP_DROP;
	return bpf_redirect_map(&xsks, *slot * QUEUES_MAX + queue, XDP_DROP);
}

/*
 * RFC 1624 eqn 3, HC' = ~(~HC + ~m + m'), with 32-bit words gathered in 64
 * bits: 2^32 is 1 in one's complement arithmetic of 16 bits (RFC 1071 s2), and
 * so is any order of bytes that both sides share.
 */
ALWAYS_INLINE __u64 checksum_replace(__u32 from, __u32 to)
{
	return (__u64)~from + to;
}

ALWAYS_INLINE __u64 checksum_replace_half(__u64 from, __u64 to)
{
	return checksum_replace((__u32)from, (__u32)to) + checksum_replace((__u32)(from >> 32), (__u32)(to >> 32));
}

ALWAYS_INLINE __u64 checksum_replace_addresses(const struct addr *from_src, const struct addr *from_dst,
					       const struct addr *src, const struct addr *dst)
{
	return checksum_replace_half(from_src->halves[0], src->halves[0]) +
	       checksum_replace_half(from_src->halves[1], src->halves[1]) +
	       checksum_replace_half(from_dst->halves[0], dst->halves[0]) +
	       checksum_replace_half(from_dst->halves[1], dst->halves[1]);
}

ALWAYS_INLINE __u16 checksum_apply(__u16 checksum, __u64 difference)
{
	__u64 sum = difference + (__u16)~checksum;

	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

/* Both return the checksum difference of what UDP's pseudo-header covers. */
ALWAYS_INLINE __u64 rewrite_ipv4(struct iphdr *ip, const struct packet *packet, const struct way *way)
{
	__be32 src = addr_to_v4(&way->src), dst = addr_to_v4(&way->dst);
	__u64 addresses = checksum_replace(addr_to_v4(&packet->src), src) +
			  checksum_replace(addr_to_v4(&packet->dst), dst);
	__u16 ttl_from = bpf_htons((__u16)(packet->ttl << 8)), ttl_to = bpf_htons((__u16)((packet->ttl - 1) << 8));

	ip->ttl = packet->ttl - 1;
	ip->check = checksum_apply(ip->check, addresses + checksum_replace(ttl_from, ttl_to));
	ip->saddr = src;
	ip->daddr = dst;
	return addresses;
}

ALWAYS_INLINE __u64 rewrite_ipv6(struct ipv6hdr *ip, const struct packet *packet, const struct way *way)
{
	ip->hop_limit = packet->ttl - 1;
	STORE64(&ip->saddr, way->src.halves[0]);
	STORE64((void *)&ip->saddr + 8, way->src.halves[1]);
	STORE64(&ip->daddr, way->dst.halves[0]);
	STORE64((void *)&ip->daddr + 8, way->dst.halves[1]);
	return checksum_replace_addresses(&packet->src, &packet->dst, &way->src, &way->dst);
}

ALWAYS_INLINE void rewrite_udp(struct udphdr *udp, const struct packet *packet, const struct way *way,
			       __u64 difference)
{
	__u32 ports_from = (__u32)packet->src_port_be << 16 | packet->dst_port_be;
	__u32 ports_to = (__u32)way->src_port_be << 16 | way->dst_port_be;

	udp->source = way->src_port_be;
	udp->dest = way->dst_port_be;
	/* RFC 768: 0 says that there is none (and is wrong in IPv6, and stays so); a computed 0 is sent as ones. */
	if (udp->check) {
		__u16 check = checksum_apply(udp->check, difference + checksum_replace(ports_from, ports_to));

		udp->check = check ? check : 0xffff;
	}
}

struct nexthop_view {
	__u64 macs_first; /* destination and source MAC as they stand in a frame, 8 and 4 bytes */
	__u32 macs_rest;
	__u32 ifindex;
	__u16 interface, mtu_bytes;
	__u8 flags;
};

ALWAYS_INLINE enum lookup nexthop_read(__u32 slot, struct nexthop_view *view)
{
	struct nexthop *e = array_at(&nexthops, slot);
	__u16 seq;

	if (!e)
		return LOOKUP_ABSENT;
	_Static_assert(__builtin_offsetof(struct nexthop, smac) == __builtin_offsetof(struct nexthop, dmac) + ETH_ALEN,
		       "the two MACs stand as in an Ethernet header");
	seq = entry_begin(&e->head);
	view->macs_first = LOAD64(e->dmac);
	view->macs_rest = LOAD32(e->dmac + 8);
	view->ifindex = READ_ONCE(e->ifindex);
	view->interface = READ_ONCE(e->interface);
	view->mtu_bytes = READ_ONCE(e->mtu_bytes);
	view->flags = READ_ONCE(e->flags);
	return entry_end(&e->head, seq);
}

/*
 * VERDICT_FORWARD: ip_len bytes may go out that way; *action sends them. Else
 * VERDICT_PUNT or an enum drop_reason.
 */
ALWAYS_INLINE __u32 way_out(struct xdp_md *ctx, __u32 slot, __u8 ttl, __u32 ip_len, struct nexthop_view *nexthop,
			    int *action)
{
	enum lookup found = nexthop_read(slot, nexthop);

	if (found == LOOKUP_BUSY)
		return VERDICT_PUNT;
	if (found == LOOKUP_ABSENT || !(nexthop->flags & NEXTHOP_RESOLVED))
		return DROP_NO_NEXTHOP;
	if (ttl <= 1)
		return DROP_TTL_EXPIRED;
	/* A worker drops it, and tells the sender what would fit. */
	if (ip_len > nexthop->mtu_bytes)
		return VERDICT_PUNT;
	if (nexthop->ifindex != ctx->ingress_ifindex) {
		*action = bpf_redirect_map(&devices, nexthop->interface, XDP_DROP);
		if (*action != XDP_REDIRECT)
			return DROP_NO_NEXTHOP;
	}
	return VERDICT_FORWARD;
}

ALWAYS_INLINE void count_forwarded(struct counters *c, __u32 direction, __u64 frame_len)
{
	if (c && direction < DIRECTIONS) {
		c->forwarded[direction].packets++;
		c->forwarded[direction].bytes += frame_len;
	}
}

ALWAYS_INLINE int forward(struct xdp_md *ctx, const struct packet *packet, const struct way *way, __u32 direction,
			  __u32 now_s)
{
	struct nexthop_view nexthop = {};
	int action = XDP_TX;
	__u32 verdict = way_out(ctx, way->nexthop, packet->ttl, packet->ip_len, &nexthop, &action);
	struct counters *c = counters();
	__u64 difference;

	if (verdict == VERDICT_PUNT)
		return punt(ctx, direction);
	if (verdict != VERDICT_FORWARD)
		return drop(verdict);

	STORE64(packet->data, nexthop.macs_first);
	STORE32(packet->data + 8, nexthop.macs_rest);
	if (packet->v4)
		difference = rewrite_ipv4(packet->data + ETH_HLEN, packet, way);
	else
		difference = rewrite_ipv6(packet->data + ETH_HLEN, packet, way);
	rewrite_udp(packet->udp, packet, way, difference);

	/* Once a second: the line stays shared between the CPUs that forward. */
	if (way->was_seen_s != now_s)
		WRITE_ONCE(*way->last_seen_s, now_s);
	count_forwarded(c, direction, packet->data_end - packet->data);
	return action;
}

#endif
