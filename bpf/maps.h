/* SPDX-License-Identifier: MIT */
/*
 * maps: the XDP program's maps and its constants. Kernel side only; what they
 * hold is in abi.h.
 *
 * User space sizes paths, replies, cids, sessions and backends before loading
 * (bpf_map__set_max_entries) and pins every map under its name here.
 */
#ifndef SLUICE_MAPS_H
#define SLUICE_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "abi.h"

/*
 * Fixed while the tables live, so constants to the verifier and the JIT. A
 * relay that adopts the maps of its predecessor takes all but frame_len_max
 * from `globals`.
 */
const volatile __u32 path_slots;
const volatile __u32 reply_slots;
const volatile __u32 cid_slots;
const volatile struct siphash_key hash_key;
const volatile __u32 frame_len_max; /* what a UMEM chunk holds; 0: no limit */

/* An array that user space maps into its memory. */
#define SHARED_ARRAY(name, value_type, entries)              \
	struct {                                             \
		__uint(type, BPF_MAP_TYPE_ARRAY);            \
		__uint(map_flags, BPF_F_MMAPABLE);           \
		__uint(max_entries, entries);                \
		__type(key, __u32);                          \
		__type(value, value_type);                   \
	} name SEC(".maps")

SHARED_ARRAY(globals, struct globals, 1);
SHARED_ARRAY(paths, struct path_entry, 2);
SHARED_ARRAY(replies, struct reply_entry, 2);
SHARED_ARRAY(cids, struct cid_entry, 2);
SHARED_ARRAY(sessions, struct session, 1);
SHARED_ARRAY(backends, struct backend, 1);
SHARED_ARRAY(endpoints, struct endpoint, ENDPOINT_SLOTS);
SHARED_ARRAY(relay_addresses, struct relay_address, RELAY_ADDRESSES_MAX);
SHARED_ARRAY(nexthops, struct nexthop, NEXTHOP_SLOTS);
SHARED_ARRAY(host_ports, __u64, 1024); /* bitmap: UDP ports that sockets of this host have */
SHARED_ARRAY(worker_counters, struct worker_record, WORKERS_MAX); /* not the program's: here to be pinned with the rest */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counters);
} kernel_counters SEC(".maps");

/* CID reports of this CPU in the current second. */
struct report_budget {
	__u32 second;
	__u32 sent;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct report_budget);
} report_budgets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, INTERFACES_MAX);
	__type(key, __u32);   /* ifindex */
	__type(value, __u32); /* interface slot */
} interfaces SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, INTERFACES_MAX * QUEUES_MAX);
	__type(key, __u32);
	__type(value, __u32);
} xsks SEC(".maps");

/* Keyed by interface slot. */
struct {
	__uint(type, BPF_MAP_TYPE_DEVMAP);
	__uint(max_entries, INTERFACES_MAX);
	__type(key, __u32);
	__type(value, __u32);
} devices SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} cid_reports SEC(".maps");

#define ALWAYS_INLINE static __attribute__((always_inline)) inline

#define READ_ONCE(x) (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile __typeof__(x) *)&(x) = (value))

/*
 * Words at any address: packets, and CIDs behind 4-byte fields. BPF has no
 * unaligned load of its own; one that is not aligned is refused by the verifier
 * on machines that lack them, and works on x86 and Arm (64 bit). By way of a
 * plain pointer, because clang splits a load where it knows of less alignment.
 */
#define LOAD_AS(type, at)                        \
	({                                       \
		const void *from_ = (at);        \
		*(const volatile type *)from_;   \
	})
#define STORE_AS(type, at, value)                \
	({                                       \
		void *to_ = (at);                \
		*(volatile type *)to_ = (value); \
	})
#define LOAD64(at) LOAD_AS(__u64, at)
#define LOAD32(at) LOAD_AS(__u32, at)
#define LOAD16(at) LOAD_AS(__u16, at)
#define STORE64(at, value) STORE_AS(__u64, at, value)
#define STORE32(at, value) STORE_AS(__u32, at, value)
#define STORE16(at, value) STORE_AS(__u16, at, value)

ALWAYS_INLINE void *array_at(void *map, __u32 index)
{
	return bpf_map_lookup_elem(map, &index);
}

ALWAYS_INLINE struct counters *counters(void)
{
	return array_at(&kernel_counters, 0);
}

#endif
