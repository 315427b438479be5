/* SPDX-License-Identifier: MIT */
/*
 * attach: the XDP program on one interface: put there, found again after a
 * crash, swapped without a gap, taken off. Steward thread, start and stop.
 *
 * By a link of our own, pinned: it holds the interface, outlives the process
 * and takes a successor's program in one step. Where libxdp's dispatcher is
 * already or is asked for, as one program in that (dispatcher.h).
 */
#ifndef SLUICE_ATTACH_H
#define SLUICE_ATTACH_H

#include <bpf/libbpf.h>
#include <net/if.h>
#include <stdint.h>

#include "dispatcher.h"

enum attach_mode { ATTACH_AUTO, ATTACH_NATIVE, ATTACH_GENERIC };
enum attach_dispatcher { ATTACH_JOIN, ATTACH_ALONE, ATTACH_DISPATCHED }; /* if there is one; never; always */

struct attach_interface {
	uint32_t ifindex;
	char name[IF_NAMESIZE];
};

struct attachment {
	const char *instance;
	struct attach_interface interface;
	enum attach_mode mode;
	enum attach_dispatcher dispatcher;
	struct bpf_link *link; /* NULL: not attached, or */
	bool joined;           /* in a dispatcher */
};

/* Can it be attached, or is another's program in the way? 0, or -1 after a line in the log. Changes nothing. */
int attach_check(const struct attachment *attachment);

/*
 * Attaches the program, native or generic as the mode says, puts it in the
 * place of a predecessor's, or joins the dispatcher that is there; logs which.
 * 0 or -1 after a line in the log.
 */
int attach_make(struct attachment *attachment, struct bpf_program *program, const struct dispatcher_program *joining);

/* Takes the program off; nothing is redirected any more when it returns. */
void attach_take_off(struct attachment *attachment);

/* Frees what the process holds; the program stays, pinned. */
void attach_leave(struct attachment *attachment);

/* Takes the instance's program off all interfaces but these. */
void attach_prune(const char *instance, const struct attachment *kept, unsigned count);

#endif
