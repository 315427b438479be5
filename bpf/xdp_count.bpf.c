/* SPDX-License-Identifier: MIT */
/*
 * xdp_count: two programs that count the frames they see, and pass them. For
 * tests only: what other XDP programs see beside the relay's, from in front of
 * it and from behind it in libxdp's dispatcher. They read no byte.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} seen_before SEC(".maps"), seen_after SEC(".maps");

static int count(void *map)
{
	__u32 key = 0;
	__u64 *seen = bpf_map_lookup_elem(map, &key);

	if (seen)
		__sync_fetch_and_add(seen, 1);
	return XDP_PASS;
}

SEC("xdp")
int count_before(struct xdp_md *ctx)
{
	(void)ctx;
	return count(&seen_before);
}

SEC("xdp")
int count_after(struct xdp_md *ctx)
{
	(void)ctx;
	return count(&seen_after);
}

char xdp_count_license[] SEC("license") = "Dual MIT/GPL";
