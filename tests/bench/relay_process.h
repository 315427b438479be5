/* SPDX-License-Identifier: MIT */
/*
 * relay_process: the relay under test, as a process of its own in a lane, and
 * its tables, mapped from the maps that it pins. Main thread.
 */
#ifndef SLUICE_BENCH_RELAY_PROCESS_H
#define SLUICE_BENCH_RELAY_PROCESS_H

#include <sys/types.h>

#include "lane.h"
#include "userspace/state.h"

enum { RELAY_MAPS = 11 };

struct relay_settings {
	const char *program, *work_dir;
	const char *fast_path;       /* kernel or userspace */
	uint32_t sessions;
	unsigned cpu_first, cpu_last;
};

struct relay_process {
	const struct lane *lane;
	pid_t pid;
	char log[256];
	double ready_s;              /* from its start to where it forwards */
	struct state state;          /* the relay's, shared with it */
	struct relay_mapping {
		void *memory;
		size_t bytes;
	} mappings[RELAY_MAPS];
};

/* Routes bN.test for N below BACKENDS. Waits until it is ready. */
bool relay_process_start(struct relay_process *relay, const struct lane *lane, const struct relay_settings *settings);

/* SIGTERM, or SIGUSR2: leaves tables and program to the next start. */
void relay_process_stop(struct relay_process *relay, int signal);

/* Halts it, so that its tables can be written by another; and lets it go on. */
bool relay_process_halt(const struct relay_process *relay, bool halt);

/* Descriptor of a pinned map, to be closed; or -1. */
int relay_process_map(const struct relay_process *relay, const char *name);

/* Packets that the kernel has forwarded, both directions. */
uint64_t relay_process_kernel_forwarded(const struct relay_process *relay);

/* An event of the workers. */
uint64_t relay_process_event(const struct relay_process *relay, unsigned event);

#endif
