/* SPDX-License-Identifier: MIT */
/*
 * generator: makes, counts and passes frames for the bench. Kernel side.
 *
 * `shorts` and `bodies` run under BPF_F_TEST_XDP_LIVE_FRAMES and send what they
 * wrote; `step` runs under plain BPF_PROG_TEST_RUN and goes on with the program
 * that is measured. All write the whole of the headers anew, because the kernel
 * hands the same pages out again and again, as the relay left them, and all
 * take the next client in an order that no prefetcher follows: an odd factor
 * makes a permutation of any power of two.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "generator_abi.h"

#define INLINE static inline __attribute__((always_inline))

char generator_license[] SEC("license") = "Dual MIT/GPL";

/* User space sets these between runs. */
struct generator_settings settings;
__u32 counter;                       /* packets written; the next one's client follows from it */
__u32 sinking;                       /* the sink drops what it counts; else it lets everything pass */
__be32 sink_address_be;

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} under_test SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, GENERATOR_BODIES);
	__type(key, __u32);
	__type(value, struct generator_body);
} body_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} sunk SEC(".maps");

INLINE __u16 checksum(__u64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

INLINE __u32 next_client(void)
{
	return counter++ * 0x9e3779b1u & settings.client_mask;
}

/*
 * In the pieces that a parser reads. What it reads across two stores, or out of
 * byte stores, the CPU cannot forward (AMD 56665 s2.12.2: some 15 cycles each),
 * and a frame that came by DMA has no such wait.
 */
INLINE void headers_copy(void *data, const struct generator_headers *from)
{
	*(volatile __u64 *)data = from->macs_first;
	*(volatile __u32 *)(data + 8) = from->macs_rest;
	*(volatile __u16 *)(data + 12) = from->ether_type;
	*(volatile __u64 *)(data + 14) = from->ip_first;
	*(volatile __u16 *)(data + 22) = from->ip_ttl_protocol;
	*(volatile __u32 *)(data + 30) = from->ip_daddr;
	*(volatile __u32 *)(data + 34) = from->udp_ports;
	*(volatile __u16 *)(data + 38) = from->udp_len;
}

/* The payload; NULL: the frame is too short. */
INLINE void *headers_write(struct xdp_md *ctx, __u32 client, __u32 udp_sum)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	__u32 address_be = bpf_htonl(settings.client_first + client);
	__u32 address_sum = (address_be & 0xffff) + (address_be >> 16);
	struct iphdr *ip = data + sizeof(struct ethhdr);
	struct udphdr *udp = (void *)(ip + 1);

	if (data + GENERATOR_HEADERS + 1 + GENERATOR_CID_LEN > data_end)
		return 0;
	headers_copy(data, &settings.headers);
	ip->saddr = address_be;
	ip->check = checksum(settings.ip_sum + address_sum);
	udp->check = checksum(udp_sum + address_sum);
	return udp + 1;
}

INLINE int short_write(struct xdp_md *ctx)
{
	__u32 client = next_client();
	__u8 *payload = headers_write(ctx, client, settings.udp_sum);
	__u64 cid = generator_cid(client);

	if (!payload)
		return 0;
	*(volatile __u64 *)(payload + 1) = cid;
	return 1;
}

SEC("xdp")
int shorts(struct xdp_md *ctx)
{
	return short_write(ctx) ? XDP_TX : XDP_DROP;
}

SEC("xdp")
int bodies(struct xdp_md *ctx)
{
	__u32 client = next_client(), key = client % GENERATOR_BODIES;
	struct generator_body *body = bpf_map_lookup_elem(&body_map, &key);

	if (!body || !headers_write(ctx, client, body->udp_sum) ||
	    bpf_xdp_store_bytes(ctx, GENERATOR_HEADERS, body->bytes, GENERATOR_BODY_LEN))
		return XDP_DROP;
	return XDP_TX;
}

SEC("xdp")
int step(struct xdp_md *ctx)
{
	if (short_write(ctx))
		bpf_tail_call(ctx, &under_test, 0);
	return XDP_ABORTED;
}

/* What a run of the bench's own costs. */
SEC("xdp")
int nothing(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_TX;
}

SEC("xdp")
int pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

/* On the backend's interface. Counts what is UDP for the backend's address, whoever sent it there. */
SEC("xdp")
int sink(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	__u32 key = 0;
	__u64 *count;

	if (!sinking || (void *)(ip + 1) > data_end || eth->h_proto != bpf_htons(ETH_P_IP) ||
	    ip->protocol != IPPROTO_UDP || ip->daddr != sink_address_be)
		return XDP_PASS;
	count = bpf_map_lookup_elem(&sunk, &key);
	if (count)
		(*count)++;
	return XDP_DROP;
}
