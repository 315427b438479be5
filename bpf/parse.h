/* SPDX-License-Identifier: MIT */
/*
 * parse: from an Ethernet frame to a view over its UDP datagram. Kernel side;
 * the input is hostile.
 *
 * In two steps. Whether a packet is ours shows in its destination address and
 * port, so parse reads up to those and believes the rest; parse_check then
 * judges the packets that are ours. All others are the kernel's, malformed or
 * not.
 */
#ifndef SLUICE_PARSE_H
#define SLUICE_PARSE_H

#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>

#include "maps.h"
#include "table.h"

enum {
	IPV6_EXTENSIONS_MAX = 6,
	IPV6_OFFSET_MASK = 0x3fff, /* 54 + 6 extensions of at most 2,048 bytes are less */
	IP_FRAGMENT_OFFSET = 0x1fff,
	IP_MORE_FRAGMENTS = 0x2000,
	IPV6_FRAGMENT_OFFSET = 0xfff8,
	IP_PORTS_LEN = 4,
	NO_DEFECT = DROP_REASON_COUNT,
};

struct packet {
	void *data, *data_end;   /* the frame */
	struct udphdr *udp;      /* the first IP_PORTS_LEN bytes are within the frame; all of it once checked */
	struct addr src, dst;
	__be16 src_port_be, dst_port_be;
	__u32 l4_offset;         /* of udp in the frame */
	__u32 ip_len;            /* bytes of the IP packet, as its header says */
	__u32 payload_len;       /* of UDP; set by parse_check */
	__u32 fragment;          /* not 0: a first fragment */
	__u8 v4;
	__u8 ttl;                /* or hop limit */
};

/* RFC 8200 s4.3, s4.4, s4.6: these headers begin alike; length in 8-byte units beyond the first. */
struct ipv6_extension {
	__u8 next;
	__u8 len;
	__u8 routing_type;
	__u8 segments_left;
	__u32 rest;
};

/* RFC 8200 s4.5. */
struct ipv6_fragment {
	__u8 next;
	__u8 reserved;
	__be16 offset_be;
	__be32 id_be;
};

ALWAYS_INLINE struct addr addr_from_v4(__be32 v4_be)
{
	struct addr addr;

	addr.halves[0] = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	addr.halves[1] = (__u64)v4_be << 32 | 0xffff0000;
#else
	addr.halves[1] = 0xffff00000000 | v4_be;
#endif
	return addr;
}

ALWAYS_INLINE __be32 addr_to_v4(const struct addr *addr)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return (__be32)(addr->halves[1] >> 32);
#else
	return (__be32)addr->halves[1];
#endif
}

/* Of an IPv6 header, which lies at any address. */
ALWAYS_INLINE struct addr addr_load(const void *at)
{
	struct addr addr;

	addr.halves[0] = LOAD64(at);
	addr.halves[1] = LOAD64(at + 8);
	return addr;
}

/* The EtherType (network order), or 0. VLAN tagged frames are not ours. */
ALWAYS_INLINE __u16 parse_ethernet(struct packet *packet, struct xdp_md *ctx)
{
	struct ethhdr *eth = (void *)(long)ctx->data;

	packet->data = eth;
	packet->data_end = (void *)(long)ctx->data_end;
	return (void *)(eth + 1) > packet->data_end ? 0 : eth->h_proto;
}

/* This and the next two: 0, addresses and ports are valid; or -1, not for us to judge. */
ALWAYS_INLINE int parse_ports(struct packet *packet)
{
	struct udphdr *udp = packet->data + packet->l4_offset;

	if ((void *)udp + IP_PORTS_LEN > packet->data_end)
		return -1;
	packet->udp = udp;
	packet->src_port_be = udp->source;
	packet->dst_port_be = udp->dest;
	return 0;
}

ALWAYS_INLINE int parse_ipv4(struct packet *packet)
{
	struct iphdr *ip = packet->data + ETH_HLEN;
	__u32 fragment;

	if ((void *)(ip + 1) > packet->data_end || ip->version != 4 || ip->ihl < 5 || ip->protocol != IPPROTO_UDP)
		return -1;
	fragment = bpf_ntohs(ip->frag_off);
	if (fragment & IP_FRAGMENT_OFFSET)
		return -1;
	packet->fragment = fragment & IP_MORE_FRAGMENTS;
	packet->v4 = 1;
	packet->ttl = ip->ttl;
	packet->src = addr_from_v4(ip->saddr);
	packet->dst = addr_from_v4(ip->daddr);
	packet->ip_len = bpf_ntohs(ip->tot_len);
	packet->l4_offset = ETH_HLEN + ip->ihl * 4;
	return parse_ports(packet);
}

enum { EXTENSIONS_FRAGMENT = 1 << 30 }; /* set beside the offset */

/*
 * Offset of the UDP header, or -1: another protocol, a later fragment, more
 * headers than we walk, or a routing header on its way to someone else
 * (RFC 8200 s4.4: the destination is not the last one while segments are left).
 *
 * A global function: the verifier walks it once and takes the offset for any
 * number, instead of following each chain of headers through the program.
 */
__attribute__((noinline)) int parse_ipv6_extensions(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	__u32 offset = ETH_HLEN + sizeof(struct ipv6hdr);
	struct ipv6hdr *ip = data + ETH_HLEN;
	int fragment = 0;
	__u8 next;

	if ((void *)(ip + 1) > data_end)
		return -1;
	next = ip->nexthdr;
	for (int i = 0; i < IPV6_EXTENSIONS_MAX && next != IPPROTO_UDP; i++) {
		struct ipv6_extension *extension = data + offset;

		if ((void *)(extension + 1) > data_end)
			return -1;
		if (next == IPPROTO_FRAGMENT) {
			if (((struct ipv6_fragment *)extension)->offset_be & bpf_htons(IPV6_FRAGMENT_OFFSET))
				return -1;
			fragment = EXTENSIONS_FRAGMENT;
			offset += sizeof(struct ipv6_fragment);
		} else if (next == IPPROTO_HOPOPTS || next == IPPROTO_DSTOPTS ||
			   (next == IPPROTO_ROUTING && extension->segments_left == 0)) {
			offset += (extension->len + 1) * 8;
		} else {
			return -1;
		}
		next = extension->next;
	}
	return next == IPPROTO_UDP ? (int)offset | fragment : -1;
}

ALWAYS_INLINE int parse_ipv6(struct packet *packet, struct xdp_md *ctx)
{
	struct ipv6hdr *ip = packet->data + ETH_HLEN;
	int l4_offset = ETH_HLEN + sizeof(*ip);

	if ((void *)(ip + 1) > packet->data_end || ip->version != 6)
		return -1;
	if (ip->nexthdr != IPPROTO_UDP) {
		l4_offset = parse_ipv6_extensions(ctx);
		if (l4_offset < 0)
			return -1;
	}
	packet->fragment = l4_offset & EXTENSIONS_FRAGMENT;
	packet->v4 = 0;
	packet->ttl = ip->hop_limit;
	packet->src = addr_load(&ip->saddr);
	packet->dst = addr_load(&ip->daddr);
	/* Not legal on a wire (RFC 6890 table 20), and would be taken for the IPv4 address of that value. */
	if (addr_is_v4(&packet->src) || addr_is_v4(&packet->dst))
		return -1;
	packet->ip_len = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	packet->l4_offset = l4_offset & IPV6_OFFSET_MASK;
	return parse_ports(packet);
}

/*
 * For who goes the long way if it says no: UDP right behind an IP header of the
 * usual length, nothing of which says fragment, and as many bytes behind it as
 * are asked for. Then offsets are constants.
 */
ALWAYS_INLINE int parse_plain(struct packet *packet, struct xdp_md *ctx, const int v4, __u32 payload_len_min)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	__u32 l4_offset = ETH_HLEN + (v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));

	packet->data = data;
	packet->data_end = data_end;
	packet->udp = data + l4_offset;
	packet->l4_offset = l4_offset;
	packet->fragment = 0;
	packet->v4 = v4;
	if ((void *)(packet->udp + 1) + payload_len_min > data_end)
		return 0;
	if (v4) {
		struct iphdr *ip = data + ETH_HLEN;

		if (*(__u8 *)ip != (4 << 4 | 5) || ip->protocol != IPPROTO_UDP ||
		    ip->frag_off & bpf_htons(IP_FRAGMENT_OFFSET | IP_MORE_FRAGMENTS))
			return 0;
		packet->ttl = ip->ttl;
		packet->src = addr_from_v4(ip->saddr);
		packet->dst = addr_from_v4(ip->daddr);
		packet->ip_len = bpf_ntohs(ip->tot_len);
	} else {
		struct ipv6hdr *ip = data + ETH_HLEN;

		packet->src = addr_load(&ip->saddr);
		packet->dst = addr_load(&ip->daddr);
		if (ip->version != 6 || ip->nexthdr != IPPROTO_UDP || addr_is_v4(&packet->src) ||
		    addr_is_v4(&packet->dst))
			return 0;
		packet->ttl = ip->hop_limit;
		packet->ip_len = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	}
	packet->src_port_be = packet->udp->source;
	packet->dst_port_be = packet->udp->dest;
	return 1;
}

/* NO_DEFECT: the datagram is whole and lies within the frame; else an enum drop_reason. */
ALWAYS_INLINE __u32 parse_check(struct packet *packet)
{
	__u32 frame_len = packet->data_end - packet->data, l3_end = ETH_HLEN + packet->ip_len, udp_len;

	if (packet->fragment)
		return DROP_FRAGMENT;
	if ((void *)(packet->udp + 1) > packet->data_end)
		return DROP_TRUNCATED;
	if (l3_end > frame_len || packet->l4_offset > l3_end)
		return DROP_BAD_IP_HEADER;
	udp_len = bpf_ntohs(packet->udp->len);
	if (udp_len < sizeof(*packet->udp) || packet->l4_offset + udp_len > l3_end)
		return DROP_BAD_UDP_LENGTH;
	if (frame_len_max && frame_len > frame_len_max)
		return DROP_OVERSIZE;
	packet->payload_len = udp_len - sizeof(*packet->udp);
	return NO_DEFECT;
}

#endif
