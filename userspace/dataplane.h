/* SPDX-License-Identifier: MIT */
/*
 * dataplane: the XDP program and its maps: loading, pinning, attaching, and
 * the maps as memory (struct state). Steward thread, start and stop.
 *
 * Everything is pinned under BPFFS/sluice/<instance>: maps by name, and one
 * link per interface. The pins keep program and sessions alive when the
 * process dies; dataplane_detach takes them down.
 */
#ifndef SLUICE_DATAPLANE_H
#define SLUICE_DATAPLANE_H

#include <stdbool.h>

#include "attach.h"
#include "state.h"

struct dataplane;

struct dataplane_options {
	const char *instance;            /* [A-Za-z0-9_.-], not starting with a dot */
	const struct attach_interface *interfaces;
	unsigned interface_count;
	enum attach_mode mode;
	enum attach_dispatcher dispatcher;
	uint32_t sessions;               /* limits.sessions */
	uint32_t backends;
	uint32_t frame_len_max;          /* bytes; longer frames are dropped by the program */
};

/*
 * Locks the instance, loads program and maps, fills in
 * *state. Nothing is attached yet. Maps that a dead process of this instance
 * left behind are adopted if layout and sizes are the same (*adopted): then
 * their kernel path is paused (globals->features is 0, or FEATURE_CLIENT_IP
 * as before), and they are to be repaired before use. NULL after a line in the log.
 */
struct dataplane *dataplane_open(const struct dataplane_options *options, struct state *state, bool *adopted);

/* attach_make for one interface (slot in options->interfaces). */
int dataplane_attach(struct dataplane *dataplane, unsigned interface);

/* While attached: the program runs in the driver; false: in generic mode. */
bool dataplane_is_native(const struct dataplane *dataplane, unsigned interface);

/* Frames of this queue go to this AF_XDP socket. 0 or -errno. */
int dataplane_set_socket(struct dataplane *dataplane, unsigned interface, uint32_t queue, int socket_fd);

/* Epoll-able descriptor of the CID reports; then dataplane_poll_reports calls `report` for each. */
int dataplane_reports_fd(const struct dataplane *dataplane);
void dataplane_poll_reports(struct dataplane *dataplane, void (*report)(void *context, const struct cid_report *report),
			    void *context);

/*
 * A descriptor of a pinned map for another process; the caller closes it.
 * -errno on failure. Read-only, unless it is to be mapped: the kernel takes a
 * shared mapping of a read-only file for a private one (mm/mmap.c: do_mmap)
 * and BPF maps refuse those with EINVAL. Its receiver maps it PROT_READ.
 */
int dataplane_map_reader(const struct dataplane *dataplane, const char *map, bool mapped);

/* Takes the program off the interfaces; nothing is redirected any more when it returns. */
void dataplane_detach_all(struct dataplane *dataplane);

/* Detaches, unpins, unlocks and frees. NULL is allowed. */
void dataplane_close(struct dataplane *dataplane);

/*
 * Unlocks and frees; program and maps stay, pinned, for a successor. The kernel
 * path of maps that were adopted goes on as the predecessor had it, unless
 * more of globals->features than FEATURE_CLIENT_IP was set since.
 */
void dataplane_leave(struct dataplane *dataplane);

/* Takes down what an instance left behind. 0, -ENOENT: nothing there; -EBUSY: a relay of this name runs. */
int dataplane_detach(const char *instance);

#endif
