/* SPDX-License-Identifier: MIT */
/*
 * world: the XDP program loaded in a network namespace of this process alone,
 * with tables that tests fill, and one run of it over one frame.
 *
 *     client -- lo (slot 0) -- sluice_xdp -- veth (slot 1, 4 queues) -- backends
 *
 * Interfaces carry nothing: BPF_PROG_TEST_RUN only names them.
 */
#ifndef SLUICE_TEST_WORLD_H
#define SLUICE_TEST_WORLD_H

#include "frames.h"
#include "userspace/path.h"

enum {
	WORLD_TABLE_SLOTS = 1024,
	WORLD_SESSIONS = 64,
	WORLD_BACKENDS = 16,
	WORLD_FRAME_LEN_MAX = 2048,
	WORLD_QUEUE_WITH_SOCKET = 3,  /* of the veth */
	NEXTHOP_UNRESOLVED = 1,
	NEXTHOP_CLIENTS = 2,          /* out of lo */
	NEXTHOP_BACKENDS = 3,         /* out of the veth */
	NEXTHOP_NO_DEVICE = 4,        /* an interface that is not in the devmap */
};

extern const struct macs MACS_IN, MACS_CLIENTS, MACS_BACKENDS;

struct world {
	struct sluice_xdp *skeleton;
	uint64_t *clock_word;                 /* the program's: bpf/clock.h */
	struct state state;
	uint32_t lo, veth;            /* ifindex */
	int prog_fd, socket_fd;
	uint32_t path_slots;          /* of paths, replies and cids */
};

/* A namespace of our own, the devices, the program. path_slots: of paths, replies and cids each. */
void world_open(struct world *world, uint32_t path_slots, uint32_t session_slots);
void world_close(struct world *world);

/* Empties all tables and counters, and sets globals, interfaces' next hops and no more. */
void world_reset(struct world *world);

uint32_t world_now_s(void);

uint16_t world_listener(struct world *world, enum endpoint_kind kind, const char *address, uint16_t port);
void world_relay_address(struct world *world, uint8_t slot, const char *address);
void world_backend(struct world *world, uint32_t slot, const char *address, uint16_t port, uint8_t relay_address,
		   uint8_t cid_len);

/* Adds an entry whose client, port and endpoint, backend, ports and CID are set; returns it in the map. */
struct path_entry *world_path(struct world *world, const struct path_entry *path);
struct reply_entry *world_reply(struct world *world, const struct reply_entry *reply);
struct cid_entry *world_cid(struct world *world, const char *cid, enum cid_kind kind, uint32_t session);
void world_session(struct world *world, uint32_t slot, uint32_t backend);

/* Fills what is free of the first n slots of a probe sequence with live entries of nobody. */
void world_crowd(struct table *table, uint64_t hash, unsigned n);

struct run {
	uint32_t action;
	uint32_t len;
	uint8_t bytes[FRAME_MAX];
	struct counters counted;      /* by this run alone, all CPUs */
};

/* ifindex 0: lo. */
void world_run(struct world *world, const uint8_t *bytes, uint32_t len, uint32_t ifindex, uint32_t queue,
	       struct run *run);

struct counters world_counters(const struct world *world);

#endif
