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

/* The low half. Opaque, or clang 14 makes two shifts of what is one move. */
ALWAYS_INLINE __u64 low_half(__u64 word)
{
	__u32 low = word;

	__asm__("" : "+w"(low));
	return low;
}

/*
 * To 33 bits, then to 17, of which the top one is set only over a low half that
 * has room for it: so the third step ends it. Each waits for the one before, at
 * the end of what a packet waits for.
 */
ALWAYS_INLINE __u16 checksum_apply(__u16 checksum, __u64 difference)
{
	__u64 sum = difference + (__u16)~checksum;

	sum = low_half(sum) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	return (__u16)~sum;
}

/*
 * Both return the checksum difference of what UDP's pseudo-header covers. What a
 * field was is read from the frame again: kept since it was parsed, it would
 * only be spilled.
 */
ALWAYS_INLINE __u64 rewrite_ipv4(struct iphdr *ip, const struct way *way)
{
	__be32 src = addr_to_v4(&way->src), dst = addr_to_v4(&way->dst);
	__u64 addresses = checksum_replace(ip->saddr, src) + checksum_replace(ip->daddr, dst);

	ip->ttl--;
	/* The TTL is the high byte of its word: 0x0100 less (RFC 1141), in the order of bytes in memory. */
	ip->check = checksum_apply(ip->check, addresses + bpf_htons((__u16)~0x0100));
	ip->saddr = src;
	ip->daddr = dst;
	return addresses;
}

ALWAYS_INLINE __u64 rewrite_ipv6(struct ipv6hdr *ip, const struct way *way)
{
	struct addr src = addr_load(&ip->saddr), dst = addr_load(&ip->daddr);

	ip->hop_limit--;
	STORE64(&ip->saddr, way->src.halves[0]);
	STORE64((void *)&ip->saddr + 8, way->src.halves[1]);
	STORE64(&ip->daddr, way->dst.halves[0]);
	STORE64((void *)&ip->daddr + 8, way->dst.halves[1]);
	return checksum_replace_addresses(&src, &dst, &way->src, &way->dst);
}

ALWAYS_INLINE void rewrite_udp(struct udphdr *udp, const struct way *way, __u64 difference)
{
	union {
		struct {
			__be16 source, dest;
		};
		__u32 word;
	} ports = { { way->src_port_be, way->dst_port_be } };
	__u32 ports_from = LOAD32(&udp->source);

	STORE32(&udp->source, ports.word);
	/* RFC 768: 0 says that there is none (and is wrong in IPv6, and stays so); a computed 0 is sent as ones. */
	if (udp->check) {
		__u16 check = checksum_apply(udp->check, difference + checksum_replace(ports_from, ports.word));

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

/* Writes what way_out allowed to go; the counters are this CPU's. */
ALWAYS_INLINE void rewrite(const struct packet *packet, const struct way *way, const struct nexthop_view *nexthop,
			   struct counters *c, __u32 direction, __u32 now_s)
{
	__u64 difference;

	STORE64(packet->data, nexthop->macs_first);
	STORE32(packet->data + 8, nexthop->macs_rest);
	if (packet->v4)
		difference = rewrite_ipv4(packet->data + ETH_HLEN, way);
	else
		difference = rewrite_ipv6(packet->data + ETH_HLEN, way);
	rewrite_udp(packet->udp, way, difference);

	/* Once a second: the line stays shared between the CPUs that forward. */
	if (way->was_seen_s != now_s)
		WRITE_ONCE(*way->last_seen_s, now_s);
	count_forwarded(c, direction, packet->data_end - packet->data);
}

ALWAYS_INLINE int forward(struct xdp_md *ctx, const struct packet *packet, const struct way *way, __u32 direction,
			  __u32 now_s)
{
	struct nexthop_view nexthop = {};
	int action = XDP_TX;
	__u32 verdict = way_out(ctx, way->nexthop, packet->ttl, packet->ip_len, &nexthop, &action);

	if (verdict == VERDICT_PUNT)
		return punt(ctx, direction);
	if (verdict != VERDICT_FORWARD)
		return drop(verdict);
	rewrite(packet, way, &nexthop, counters(), direction, now_s);
	return action;
}

#endif
