/* SPDX-License-Identifier: MIT */
/*
 * dispatcher: our program among others on one interface, by libxdp's
 * dispatcher, which calls them in the order of their priorities. Steward
 * thread, start and stop.
 *
 * libxdp builds a dispatcher anew for every change and puts it in the old
 * one's place in one step, so the others never miss a packet. It pins what it
 * attaches under BPFFS/xdp: that outlives the process. Our program is known
 * among the others by a map that only programs of its instance use.
 */
#ifndef SLUICE_DISPATCHER_H
#define SLUICE_DISPATCHER_H

#include <bpf/libbpf.h>
#include <stdbool.h>
#include <stdint.h>

/* Filters and counters (libxdp's default is 50) come before us: we take packets away from those behind us. */
enum { RUN_PRIORITY = 60 };

enum dispatcher_carried {
	CARRIED_NOTHING,
	CARRIED_PROGRAM,    /* no dispatcher, or none of libxdp's that can be read */
	CARRIED_DISPATCHER,
};

/* What an interface carries. */
struct dispatcher_view {
	enum dispatcher_carried carried;
	uint32_t program;       /* its ID */
	bool generic;           /* its mode */
	uint32_t other_relay;   /* the ID of another instance's program in the dispatcher; 0: none */
};

/* What a second program, for the dispatcher, is made from. */
struct dispatcher_program {
	const struct bpf_object *loaded; /* the program for a link of its own; its maps are shared */
	const void *elf;
	size_t elf_len;
};

/* map_id: of the map by which programs of this instance are known; 0: there are none. */
void dispatcher_look(uint32_t ifindex, uint32_t map_id, struct dispatcher_view *view);

/*
 * Adds the program to the dispatcher, whose mode must be the same, or puts a
 * new one where nothing is; then takes its predecessors of the same instance
 * out. How many those were; or -errno, and in *why the reason in libxdp's
 * words, valid until the next call. -EOPNOTSUPP: the kernel allows none.
 */
int dispatcher_join(uint32_t ifindex, bool generic, const struct dispatcher_program *program, uint32_t map_id,
		    const char **why);

/* Takes the instance's programs out; the others stay. How many those were, or -errno and *why. */
int dispatcher_leave(uint32_t ifindex, uint32_t map_id, const char **why);

#endif
