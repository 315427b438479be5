/* SPDX-License-Identifier: MIT */
/* world: see world.h. */
#include "world.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "sluice_xdp.skel.h"

const struct macs MACS_IN = { { 2, 0, 0, 0, 0, 1 }, { 2, 0, 0, 0, 0, 2 } };
const struct macs MACS_CLIENTS = { { 2, 0, 0, 0, 0xc, 1 }, { 2, 0, 0, 0, 0xc, 2 } };
const struct macs MACS_BACKENDS = { { 2, 0, 0, 0, 0xb, 1 }, { 2, 0, 0, 0, 0xb, 2 } };

static const struct siphash_key KEY = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 };

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
	int error = errno;
	va_list args;

	va_start(args, format);
	fprintf(stderr, "world: ");
	vfprintf(stderr, format, args);
	fprintf(stderr, ": %s\n", strerror(error));
	va_end(args);
	exit(1);
}

static size_t map_bytes(const struct bpf_map *map)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t bytes = (size_t)((bpf_map__value_size(map) + 7) & ~7u) * bpf_map__max_entries(map);

	return (bytes + page - 1) & ~(page - 1);
}

static void *map_memory(const struct bpf_map *map)
{
	void *memory = mmap(NULL, map_bytes(map), PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	if (memory == MAP_FAILED)
		die("mmap of %s", bpf_map__name(map));
	return memory;
}

static struct table table_of(const struct bpf_map *map)
{
	return (struct table){ map_memory(map), bpf_map__value_size(map), bpf_map__max_entries(map) };
}

static void map_set(const struct bpf_map *map, uint32_t key, uint32_t value)
{
	if (bpf_map_update_elem(bpf_map__fd(map), &key, &value, BPF_ANY))
		die("update of %s", bpf_map__name(map));
}

/* Not bound to anything: enough for an XSKMAP to redirect to, as long as it is open. */
static void socket_add(struct world *world)
{
	int fd = socket(AF_XDP, SOCK_RAW, 0), descriptors = 64;

	if (fd < 0 || setsockopt(fd, SOL_XDP, XDP_RX_RING, &descriptors, sizeof(descriptors)))
		die("AF_XDP socket");
	map_set(world->skeleton->maps.xsks, 1 * QUEUES_MAX + WORLD_QUEUE_WITH_SOCKET, (uint32_t)fd);
	world->socket_fd = fd;
}

static void program_load(struct world *world, uint32_t session_slots)
{
	struct sluice_xdp *skeleton = sluice_xdp__open();

	if (!skeleton)
		die("skeleton");
	skeleton->rodata->path_slots = world->path_slots;
	skeleton->rodata->reply_slots = world->path_slots;
	skeleton->rodata->cid_slots = world->path_slots;
	memcpy((void *)&skeleton->rodata->hash_key, &KEY, sizeof(KEY));
	skeleton->rodata->frame_len_max = WORLD_FRAME_LEN_MAX;
	bpf_map__set_max_entries(skeleton->maps.paths, world->path_slots);
	bpf_map__set_max_entries(skeleton->maps.replies, world->path_slots);
	bpf_map__set_max_entries(skeleton->maps.cids, world->path_slots);
	bpf_map__set_max_entries(skeleton->maps.sessions, session_slots);
	bpf_map__set_max_entries(skeleton->maps.backends, WORLD_BACKENDS);
	if (sluice_xdp__load(skeleton))
		die("the program does not load");
	world->skeleton = skeleton;
	world->clock_word = (uint64_t *)&skeleton->bss->clock_word;
	world->prog_fd = bpf_program__fd(skeleton->progs.sluice_xdp);
}

void world_open(struct world *world, uint32_t path_slots, uint32_t session_slots)
{
	*world = (struct world){ .path_slots = path_slots };
	if (unshare(CLONE_NEWNET))
		die("unshare (this test needs root)");
	if (system("ip link add sluice-a numrxqueues 4 numtxqueues 4 type veth peer name sluice-b"))
		die("ip link add");
	world->lo = if_nametoindex("lo");
	world->veth = if_nametoindex("sluice-a");
	program_load(world, session_slots);
	world->state = (struct state){
		.globals = map_memory(world->skeleton->maps.globals),
		.paths = table_of(world->skeleton->maps.paths),
		.replies = table_of(world->skeleton->maps.replies),
		.cids = table_of(world->skeleton->maps.cids),
		.endpoints = table_of(world->skeleton->maps.endpoints),
		.sessions = map_memory(world->skeleton->maps.sessions),
		.backends = map_memory(world->skeleton->maps.backends),
		.relay_addresses = map_memory(world->skeleton->maps.relay_addresses),
		.nexthops = map_memory(world->skeleton->maps.nexthops),
		.host_ports = map_memory(world->skeleton->maps.host_ports),
		.session_slots = session_slots,
		.backend_slots = WORLD_BACKENDS,
		.hash_key = KEY,
	};
	map_set(world->skeleton->maps.interfaces, world->lo, 0);
	map_set(world->skeleton->maps.interfaces, world->veth, 1);
	map_set(world->skeleton->maps.devices, 0, world->lo);
	map_set(world->skeleton->maps.devices, 1, world->veth);
	socket_add(world);
}

void world_close(struct world *world)
{
	close(world->socket_fd);
	sluice_xdp__destroy(world->skeleton);
}

uint32_t world_now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint32_t)now.tv_sec;
}

static void nexthop_set(struct world *world, uint32_t slot, uint32_t ifindex, uint16_t interface, uint8_t flags,
			const struct macs *macs)
{
	struct nexthop nexthop = {
		.ifindex = ifindex, .interface = interface, .mtu_bytes = 1500, .flags = flags,
	};

	memcpy(nexthop.dmac, macs->dst, 6);
	memcpy(nexthop.smac, macs->src, 6);
	entry_write(&world->state.nexthops[slot], &nexthop, sizeof(nexthop));
}

static void percpu_clear(const struct bpf_map *map)
{
	unsigned cpus = (unsigned)libbpf_num_possible_cpus();
	void *zero = calloc(cpus, (bpf_map__value_size(map) + 7) & ~7u);
	uint32_t key = 0;

	if (!zero || bpf_map_update_elem(bpf_map__fd(map), &key, zero, BPF_ANY))
		die("update of %s", bpf_map__name(map));
	free(zero);
}

void world_reset(struct world *world)
{
	const struct sluice_xdp *s = world->skeleton;
	struct state *state = &world->state;

	memset(state->paths.entries, 0, map_bytes(s->maps.paths));
	memset(state->replies.entries, 0, map_bytes(s->maps.replies));
	memset(state->cids.entries, 0, map_bytes(s->maps.cids));
	memset(state->endpoints.entries, 0, map_bytes(s->maps.endpoints));
	memset(state->sessions, 0, map_bytes(s->maps.sessions));
	memset(state->backends, 0, map_bytes(s->maps.backends));
	memset(state->relay_addresses, 0, map_bytes(s->maps.relay_addresses));
	memset(state->nexthops, 0, map_bytes(s->maps.nexthops));
	memset(state->host_ports, 0, map_bytes(s->maps.host_ports));
	percpu_clear(s->maps.report_budgets);
	percpu_clear(s->maps.kernel_counters);
	*state->globals = (struct globals){
		.abi_version = SLUICE_ABI_VERSION,
		.heartbeat_s = world_now_s(),
		.restart_grace_s = 60,
		.idle_timeout_s = 180,
		.idle_timeout_unconfirmed_s = 10,
		.features = FEATURE_KERNEL_PATH,
		.cid_lengths = 1u << 0 | 1u << 4 | 1u << 8 | 1u << 20,
		.relay_ports = { 20000, 29999, 50000, 50999 },
	};
	nexthop_set(world, NEXTHOP_UNRESOLVED, world->veth, 1, 0, &MACS_BACKENDS);
	nexthop_set(world, NEXTHOP_CLIENTS, world->lo, 0, NEXTHOP_RESOLVED, &MACS_CLIENTS);
	nexthop_set(world, NEXTHOP_BACKENDS, world->veth, 1, NEXTHOP_RESOLVED, &MACS_BACKENDS);
	nexthop_set(world, NEXTHOP_NO_DEVICE, 0x7fff, 9, NEXTHOP_RESOLVED, &MACS_BACKENDS);
}

/* Writes into a claimed slot and gives back the entry in the map. */
static void *table_put(struct table *table, uint64_t hash, const void *entry)
{
	uint32_t slot = table_claim(table, hash);

	if (slot == SLOT_NONE)
		die("no slot free in a test's table");
	entry_write(table_at(table, slot), entry, table->entry_size);
	return table_at(table, slot);
}

uint16_t world_listener(struct world *world, enum endpoint_kind kind, const char *address, uint16_t port)
{
	struct endpoint endpoint = { .port_be = htons(port), .kind = (uint8_t)kind, .address = addr_of(address) };
	struct table *table = &world->state.endpoints;
	uint8_t *at = table_put(table, endpoint_hash(&endpoint.address, endpoint.port_be), &endpoint);

	return (uint16_t)((size_t)(at - table->entries) / table->entry_size);
}

void world_relay_address(struct world *world, uint8_t slot, const char *address)
{
	struct endpoint endpoint = { .kind = ENDPOINT_RELAY, .relay_address = slot, .address = addr_of(address) };

	world->state.relay_addresses[slot].address = endpoint.address;
	table_put(&world->state.endpoints, endpoint_hash(&endpoint.address, 0), &endpoint);
}

void world_backend(struct world *world, uint32_t slot, const char *address, uint16_t port, uint8_t relay_address,
		   uint8_t cid_len)
{
	struct backend backend = {
		.port_be = htons(port), .nexthop = NEXTHOP_BACKENDS, .address = addr_of(address),
		.relay_address = relay_address, .cid_len = cid_len, .flags = BACKEND_USED,
	};

	entry_write(&world->state.backends[slot], &backend, sizeof(backend));
}

struct path_entry *world_path(struct world *world, const struct path_entry *path)
{
	return table_put(&world->state.paths,
			 path_hash(&KEY, &path->client, path->client_port_be, path->endpoint,
				   path->flags >> PATH_ORDINAL_SHIFT),
			 path);
}

struct reply_entry *world_reply(struct world *world, const struct reply_entry *reply)
{
	const struct reply_key key = reply_key_of(reply);

	return table_put(&world->state.replies, reply_key_hash(&KEY, &key), reply);
}

struct cid_entry *world_cid(struct world *world, const char *cid, enum cid_kind kind, uint32_t session)
{
	struct cid_entry entry = { .session = session, .kind = (uint8_t)kind };

	entry.len = (uint8_t)hex_bytes(cid, entry.cid, CID_LEN_MAX);
	return table_put(&world->state.cids, cid_hash(&KEY, entry.cid, entry.len, 0), &entry);
}

void world_session(struct world *world, uint32_t slot, uint32_t backend)
{
	struct session session = { .backend = backend };

	entry_write(&world->state.sessions[slot], &session, sizeof(session));
}

void world_crowd(struct table *table, uint64_t hash, unsigned n)
{
	uint8_t nobody[sizeof(struct session)];

	memset(nobody, 0xee, sizeof(nobody));
	for (uint32_t i = 0; i < n; i++)
		if (!entry_is_live(table_at(table, table_slot(hash, i, table->slots))))
			table_put(table, hash, nobody);
}

struct counters world_counters(const struct world *world)
{
	unsigned cpus = (unsigned)libbpf_num_possible_cpus();
	struct counters *each = calloc(cpus, sizeof(*each)), total = { 0 };
	uint32_t key = 0;

	if (!each || bpf_map_lookup_elem(bpf_map__fd(world->skeleton->maps.kernel_counters), &key, each))
		die("kernel_counters");
	for (unsigned cpu = 0; cpu < cpus; cpu++)
		for (size_t i = 0; i < sizeof(total) / sizeof(uint64_t); i++)
			((uint64_t *)&total)[i] += ((uint64_t *)&each[cpu])[i];
	free(each);
	return total;
}

void world_run(struct world *world, const uint8_t *bytes, uint32_t len, uint32_t ifindex, uint32_t queue,
	       struct run *run)
{
	struct counters before = world_counters(world);
	struct xdp_md ctx = {
		.data_end = len, .ingress_ifindex = ifindex ? ifindex : world->lo, .rx_queue_index = queue,
	};
	DECLARE_LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = bytes, .data_size_in = len, .data_out = run->bytes,
			    .data_size_out = sizeof(run->bytes), .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), );

	memset(run->bytes, 0, sizeof(run->bytes));
	if (bpf_prog_test_run_opts(world->prog_fd, &opts))
		die("BPF_PROG_TEST_RUN");
	run->action = opts.retval;
	run->len = opts.data_size_out;
	run->counted = world_counters(world);
	for (size_t i = 0; i < sizeof(before) / sizeof(uint64_t); i++)
		((uint64_t *)&run->counted)[i] -= ((uint64_t *)&before)[i];
}
