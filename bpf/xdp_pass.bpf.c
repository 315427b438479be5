/* SPDX-License-Identifier: MIT */
/*
 * xdp_pass: passes every frame to the stack. For the testbed only.
 *
 * Runs on the clients' and backends' ends of the testbed's veth pairs: a frame
 * that leaves the relay's end by XDP_TX is lost without a count unless the
 * other end runs an XDP program (scripts/testbed.sh). It reads no byte.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

SEC("xdp")
int xdp_pass(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_PASS;
}

char xdp_pass_license[] SEC("license") = "Dual MIT/GPL";
