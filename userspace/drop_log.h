/* SPDX-License-Identifier: MIT */
/*
 * drop_log: tells the operator of packets that were dropped because something
 * ran out or does not work, as opposed to what an attacker can cause at will. At
 * most one line in ten seconds per reason. Steward thread.
 */
#ifndef SLUICE_DROP_LOG_H
#define SLUICE_DROP_LOG_H

#include "state.h"

struct drop_log {
	bool begun;                          /* what an adopted relay counted before is not news */
	uint64_t told[DROP_REASON_COUNT];    /* counted when the last line was written */
	uint32_t next_s[DROP_REASON_COUNT];  /* when the next line may be */
};

/* About once a second, with the sum of what all workers counted. */
void drop_log_check(struct drop_log *log, const struct state *state, uint32_t workers, uint32_t now_s);

#endif
