/* SPDX-License-Identifier: MIT */
/*
 * bare: the baseline of the kernel path. It parses Ethernet, IPv4 and UDP with
 * the checks that memory safety needs, writes the bytes that the relay writes,
 * from constants, and redirects by a devmap as the relay does. No table, no
 * time, no counter: what no relay can do without is all that is left.
 */
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "constant_rewrite.h"

char bare_license[] SEC("license") = "Dual MIT/GPL";

const volatile struct constant_way way;
const volatile __be16 listener_port_be;

struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} device SEC(".maps");

SEC("xdp")
int bare(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *data_end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = (void *)(eth + 1);
	struct udphdr *udp = (void *)(ip + 1);
	/* Each read for itself: without volatile the compiler would take the zeros that stand in the object file. */
	struct constant_way constants = {
		.macs = { way.macs[0], way.macs[1], way.macs[2] },
		.saddr = way.saddr, .daddr = way.daddr, .source = way.source, .dest = way.dest,
	};
	int action;

	if ((void *)(udp + 1) > data_end || eth->h_proto != bpf_htons(ETH_P_IP) || ip->version != 4 || ip->ihl != 5 ||
	    ip->protocol != IPPROTO_UDP || udp->dest != listener_port_be || ip->ttl <= 1)
		return XDP_PASS;
	action = bpf_redirect_map(&device, 0, XDP_DROP);
	if (action != XDP_REDIRECT)
		return XDP_DROP;
	constant_rewrite(data, &constants);
	return action;
}
