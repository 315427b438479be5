/* SPDX-License-Identifier: MIT */
/*
 * constant_rewrite: what the bare forwarders do to a frame, in the kernel and
 * in user space: the bytes that the relay writes, from constants instead of
 * tables. Checksums are updated incrementally (RFC 1624 eqn 3).
 */
#ifndef SLUICE_BENCH_CONSTANT_REWRITE_H
#define SLUICE_BENCH_CONSTANT_REWRITE_H

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/types.h>
#include <linux/udp.h>

struct constant_way {
	__u32 macs[3];               /* destination and source, as they stand in a frame */
	__be32 saddr, daddr;
	__be16 source, dest;
};

static inline __attribute__((always_inline)) __u16 constant_checksum(__u16 old, __u64 difference)
{
	__u64 sum = difference + (__u16)~old;

	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

/* The frame holds Ethernet, IPv4 without options and UDP: checked by the caller. */
static inline __attribute__((always_inline)) void constant_rewrite(void *frame, const struct constant_way *way)
{
	struct ethhdr *eth = frame;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	__u64 addresses = (__u64)(__u32)~ip->saddr + way->saddr + (__u32)~ip->daddr + way->daddr;
	__u64 ports = (__u64)(__u16)~udp->source + way->source + (__u16)~udp->dest + way->dest;

	((volatile __u32 *)eth)[0] = way->macs[0];
	((volatile __u32 *)eth)[1] = way->macs[1];
	((volatile __u32 *)eth)[2] = way->macs[2];
	ip->saddr = way->saddr;
	ip->daddr = way->daddr;
	ip->ttl--;
	/* The TTL is the high byte of its word, which 1 less makes 0x0100 less; in memory order on both kinds of machine. */
	ip->check = constant_checksum(ip->check, addresses +
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
						 0xfffe);
#else
						 0xfeff);
#endif
	udp->source = way->source;
	udp->dest = way->dest;
	udp->check = constant_checksum(udp->check, addresses + ports);
}

#endif
