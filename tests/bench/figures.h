/* SPDX-License-Identifier: MIT */
/* figures: the groups of figures, each in a file of its own. Main thread. */
#ifndef SLUICE_BENCH_FIGURES_H
#define SLUICE_BENCH_FIGURES_H

#include "lane.h"

enum {
	SESSIONS_FEW = 1024,
	BOUND_FEW = 2 * SESSIONS_FEW,    /* limits.sessions beside them: tables as full as in service, not at their bound */
	SESSIONS_MANY = 1048576,
};

struct setup {
	const char *relay_program, *work_dir;
	struct lane relay, base;         /* one queue an interface */
	struct lane relay_2q, base_2q;   /* two */
};

/* initial.per_s: no relay, no network. */
void figures_initial(void);

/* xdp.ns.*, xdp.mpps.*: established traffic in the kernel. */
void figures_kernel(const struct setup *setup);

/* worker.mpps.*: the same in user space. */
void figures_worker(const struct setup *setup);

/* handshake.per_s */
void figures_handshake(const struct setup *setup);

/* rtt.us.*: one packet at a time, there and back. */
void figures_rtt(const struct setup *setup);

/* session.bytes, start.s, idle.cpu */
void figures_footprint(const struct setup *setup);

#endif
