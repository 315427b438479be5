/* SPDX-License-Identifier: MIT */
/*
 * view: the relay's tables in this process's memory, mapped read-only: the
 * same entries that kernel and workers use (bpf/abi.h), so no worker is asked.
 * The link attaches and detaches; API threads read between view_enter and
 * view_leave.
 */
#ifndef SLUICE_VIEW_H
#define SLUICE_VIEW_H

#include "control/protocol.h"
#include "userspace/state.h"

struct view;

struct view *view_new(void);
void view_free(struct view *view);

/*
 * Takes over the descriptors of MAPS, and closes them. 0, -EPROTO: a map is not
 * what bpf/abi.h says; or -errno.
 */
int view_attach(struct view *view, const int fds[static PROTOCOL_MAP_COUNT]);
void view_detach(struct view *view);

/* How many times tables were attached: those of one number are the same. */
unsigned view_generation(struct view *view);

/* NULL: no relay is connected; then there is nothing to leave. Nothing in *state may be written. */
const struct state *view_enter(struct view *view);
void view_leave(struct view *view);

/* While entered: the kernel's counters, summed over CPUs. 0 or -errno. */
int view_kernel_counters(struct view *view, struct counters *sum);

struct view_sessions {
	uint32_t confirmed, unconfirmed;
};

struct view_sessions view_sessions(const struct state *state);

#endif
