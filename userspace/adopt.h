/* SPDX-License-Identifier: MIT */
/*
 * adopt: makes the tables of a relay that died whole again. It may have died
 * between any two stores: half-written entries, paths of no session, CIDs that
 * nobody lists. Steward thread, before the workers start and while the kernel
 * path is paused: nothing else writes or reads.
 */
#ifndef SLUICE_ADOPT_H
#define SLUICE_ADOPT_H

#include "state.h"

/*
 * Afterwards every session has its paths and CIDs and they have it, owners are
 * those of `workers` workers, and overflow counts are exact. Counters go on;
 * what the old relay told of its workers and sockets is gone. How many sessions
 * there are. -ENOMEM: nothing was done.
 */
int adopt_repair(struct state *state, uint32_t workers);

/* The worker whose share of the session table a slot is in. */
uint32_t adopt_owner(const struct state *state, uint32_t session_slot, uint32_t workers);

#endif
