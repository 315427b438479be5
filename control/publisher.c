/* SPDX-License-Identifier: MIT */
/* publisher: see publisher.h. */
#include "control/publisher.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "control/protocol.h"

/* What was told of a slot of `cids`. */
struct told {
	uint16_t seq;                  /* the entry's version then; 0: nothing was */
	uint32_t due_s;                /* when it is to be told again */
};

struct publisher {
	struct told *told;             /* [slots] */
	uint32_t slots, at;
	uint32_t first_walk;           /* slots that are left of it: all is told anew, not taken up anew */
	uint32_t aliases_s, aliases;   /* told for the first time in that second */
};

struct publisher *publisher_new(void)
{
	return calloc(1, sizeof(struct publisher));
}

void publisher_free(struct publisher *publisher)
{
	if (publisher)
		free(publisher->told);
	free(publisher);
}

void publisher_restart(struct publisher *publisher)
{
	free(publisher->told);
	*publisher = (struct publisher){ 0 };
}

/* As large as this relay's table. False: no memory; nothing is told until there is some. */
static bool fit(struct publisher *publisher, uint32_t slots)
{
	if (publisher->slots == slots)
		return slots > 0;
	publisher_restart(publisher);
	publisher->told = calloc(slots, sizeof(*publisher->told));
	publisher->slots = publisher->told ? slots : 0;
	publisher->first_walk = publisher->slots;
	return publisher->told;
}

/* Whether one more alias may be told for the first time. */
static bool alias_take(struct publisher *publisher, uint32_t session_slots, uint32_t now_s, uint32_t ttl_s)
{
	uint32_t per_s = session_slots * PUBLISHER_ALIASES / ttl_s + 1;

	if (publisher->first_walk > 0)
		return true;
	if (publisher->aliases_s != now_s) {
		publisher->aliases_s = now_s;
		publisher->aliases = 0;
	}
	if (publisher->aliases == per_s)
		return false;
	publisher->aliases++;
	return true;
}

/* The entry in a slot as it was when its version was seq. */
static bool is_still(const struct entry_head *head, uint16_t seq)
{
	return __atomic_load_n(&head->seq, __ATOMIC_ACQUIRE) == seq;
}

/* False: the session is not to be told of, or it is just changing: next time. */
static bool read_cid(const struct state *state, const struct cid_entry *entry, struct session_cid *cid)
{
	struct session session;
	struct backend backend;

	if (entry->kind == CID_ORIGINAL || entry->len < PROTOCOL_CID_MIN || entry->len > CID_LEN_MAX ||
	    entry->session >= state->session_slots ||
	    !entry_read(&state->sessions[entry->session], &session, sizeof(session), NULL) ||
	    !(session.flags & (SESSION_CONFIRMED | SESSION_SHARED)) || session.backend >= state->backend_slots ||
	    !entry_read(&state->backends[session.backend], &backend, sizeof(backend), NULL))
		return false;
	memcpy(cid->cid, entry->cid, sizeof(cid->cid));
	cid->len = entry->len;
	cid->alias = entry->kind == CID_ALIAS;
	cid->record = (struct session_record){
		.server = { backend.address, ntohs(backend.port_be) },
		.route = session.route,
		.pinned = session.flags & SESSION_PINNED,
	};
	return true;
}

/* 3/8 to 1/2 of the time to live from now; not the same for all slots. */
static uint32_t due_again_s(uint32_t now_s, uint32_t ttl_s, uint32_t slot)
{
	uint32_t spread = slot * 0x9e3779b9u >> 16; /* Knuth s6.4 */

	return now_s + ttl_s * 3 / 8 + spread % (ttl_s / 8 + 1);
}

static void step(struct publisher *publisher)
{
	publisher->at = publisher->at + 1 < publisher->slots ? publisher->at + 1 : 0;
	publisher->first_walk -= publisher->first_walk > 0;
}

unsigned publisher_sweep(struct publisher *publisher, const struct state *state, uint32_t now_s, uint32_t ttl_s,
			 uint32_t *slots, struct session_cid *cids, unsigned max)
{
	unsigned count = 0;

	if (!fit(publisher, state->cids.slots)) {
		*slots = 0;
		return 0;
	}
	for (; *slots > 0 && count < max; --*slots, step(publisher)) {
		uint32_t slot = publisher->at;
		const struct entry_head *head = table_at(&state->cids, slot);
		struct told *told = &publisher->told[slot];
		struct cid_entry entry;
		uint16_t seq = __atomic_load_n(&head->seq, __ATOMIC_ACQUIRE);

		if ((seq & SEQ_STATE_MASK) != SEQ_LIVE || (told->seq == seq && (int32_t)(now_s - told->due_s) < 0))
			continue;
		/* A session's IDs go before its slot is another's: while the entry is what it was, so is the session. */
		if (!entry_read(head, &entry, sizeof(entry), NULL) || !read_cid(state, &entry, &cids[count]) ||
		    !is_still(head, seq))
			continue;
		/* It waits here, not passed over: else the same ones might wait each time. */
		if (entry.kind == CID_ALIAS && told->seq != seq &&
		    !alias_take(publisher, state->session_slots, now_s, ttl_s)) {
			*slots = 0;
			break;
		}
		*told = (struct told){ seq, due_again_s(now_s, ttl_s, slot) };
		count++;
	}
	return count;
}
