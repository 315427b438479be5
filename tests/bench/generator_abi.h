/* SPDX-License-Identifier: MIT */
/* generator_abi: what the generator's two halves must agree on: headers, and which client has which CID. */
#ifndef SLUICE_BENCH_GENERATOR_ABI_H
#define SLUICE_BENCH_GENERATOR_ABI_H

#include <linux/types.h>

enum {
	GENERATOR_HEADERS = 14 + 20 + 8,
	GENERATOR_CID_LEN = 8,
	GENERATOR_BODIES = 64,
	GENERATOR_BODY_LEN = 1200,
};

/* Ethernet, IPv4 and UDP headers as they stand in a frame, without the client's address and both checksums. */
struct generator_headers {
	__u64 macs_first;
	__u32 macs_rest;
	__u16 ether_type;
	__u16 ip_ttl_protocol;
	__u64 ip_first;
	__u32 ip_daddr;
	__u32 udp_ports;
	__u16 udp_len;
};

/* What all packets of a run share. */
struct generator_settings {
	struct generator_headers headers;
	__u32 ip_sum, udp_sum;       /* one's complement sums of the rest, in the packet's byte order */
	__u32 client_first;          /* address of client 0, host order */
	__u32 client_mask;           /* clients - 1, all ones */
};

/* A payload that some clients send, instead of a short header. */
struct generator_body {
	__u32 udp_sum;               /* in the place of the settings' */
	__u8 bytes[GENERATOR_BODY_LEN];
};

/* The CID of a client, as a word in memory order. Its halves cancel out in one's complement: no checksum to do. */
static inline __attribute__((always_inline)) __u64 generator_cid(__u32 client)
{
	__u32 half = (client + 1) * 0x9e3779b1u;

	return (__u64)~half << 32 | half;
}

#endif
