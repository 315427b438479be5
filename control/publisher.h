/* SPDX-License-Identifier: MIT */
/*
 * publisher: which connection IDs of the relay's sessions other relays should
 * hear of now. It walks the relay's table of them (read-only, while the relay goes
 * on), and remembers what it has told until when. Main thread; no clock inside.
 *
 * Told are IDs of confirmed sessions: a flood of Initials from forged addresses
 * writes nothing. And of those that another relay's word opened, confirmed or
 * not, lest they be forgotten while they are used.
 */
#ifndef SLUICE_PUBLISHER_H
#define SLUICE_PUBLISHER_H

#include "control/session_record.h"
#include "userspace/state.h"

struct publisher;

enum {
	/*
	 * Who has a connection takes up IDs (aliases) of his own making as fast as he can, and
	 * the relay forgets those before. So no more of them are told for the first time
	 * than so many for each session that the table holds, within the time that they live
	 * in Redis; then the walk waits. More lets him fill Redis (8 of 65,536 are 84 MB);
	 * less than limits.aliases_per_session may be, lets honest ones wait.
	 */
	PUBLISHER_ALIASES = 8,
};

struct publisher *publisher_new(void); /* NULL: no memory */
void publisher_free(struct publisher *publisher);

/* What was told may be lost: all is told again, and on that walk any number of aliases. */
void publisher_restart(struct publisher *publisher);

/*
 * Goes on from where it stopped, over at most *slots slots of the table, which it counts
 * down, and fills `cids` with up to `max` that are due. How many; fewer: *slots is 0. Each is due again
 * after between 3/8 and 1/2 of ttl_s (1 or more): spread, so that many of one moment do not stay together.
 */
unsigned publisher_sweep(struct publisher *publisher, const struct state *state, uint32_t now_s, uint32_t ttl_s,
			 uint32_t *slots, struct session_cid *cids, unsigned max);

#endif
