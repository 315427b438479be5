/* SPDX-License-Identifier: MIT */
/* adopt: see adopt.h. */
#include "adopt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "path.h"
#include "session.h"

/* --- whole tables ---------------------------------------------------------------------------------- */

/* Entries that were being written are nobody's now. With all overflow counts at their end, look-ups search all probes. */
static void heads_reset(void *entries, uint32_t slots, uint32_t entry_size)
{
	for (uint32_t slot = 0; slot < slots; slot++) {
		struct entry_head *head = (void *)((uint8_t *)entries + (size_t)slot * entry_size);

		if (head->seq & SEQ_WRITING)
			entry_clear(head);
		head->overflow = UINT8_MAX;
	}
}

/*
 * The steward's entries keep their address and port from the first write on,
 * and the rest is looked up anew: one that was being changed is good again, one
 * that was being made is known to nobody.
 */
static void steward_entries_reset(void *entries, uint32_t slots, uint32_t entry_size)
{
	for (uint32_t slot = 0; slot < slots; slot++) {
		struct entry_head *head = (void *)((uint8_t *)entries + (size_t)slot * entry_size);

		if (head->seq & SEQ_WRITING && head->seq & SEQ_LIVE)
			head->seq = (uint16_t)(((head->seq & ~SEQ_STATE_MASK) + SEQ_STEP) | SEQ_LIVE);
		else if (head->seq & SEQ_WRITING)
			entry_clear(head);
	}
}

static bool cid_tuple(const struct state *state, const struct cid_entry *entry, struct tuple *tuple)
{
	struct session session;
	struct path_entry path;

	if (!session_read(state, entry->session, &session) || session.path_count == 0 ||
	    !path_read(state, session.paths[0], &path))
		return false;
	*tuple = path_tuple(&path);
	return true;
}

static bool path_hash_of(const struct state *state, const void *entry, uint64_t *hash)
{
	const struct path_entry *path = entry;

	*hash = path_hash(&state->hash_key, &path->client, path->client_port_be, path->endpoint,
			  path->flags >> PATH_ORDINAL_SHIFT);
	return true;
}

static bool reply_hash_of(const struct state *state, const void *entry, uint64_t *hash)
{
	const struct reply_key key = reply_key_of(entry);

	*hash = reply_key_hash(&state->hash_key, &key);
	return true;
}

static bool cid_hash_of(const struct state *state, const void *entry, uint64_t *hash)
{
	const struct cid_entry *cid = entry;
	struct tuple tuple;

	if (cid->kind == CID_ORIGINAL && !cid_tuple(state, cid, &tuple))
		return false;
	*hash = cid_hash(&state->hash_key, cid->cid, cid->len,
			 cid->kind == CID_ORIGINAL ? tuple_hash(state, &tuple) : 0);
	return true;
}

/* Counts each live entry in at the slots before its own; one that its key does not lead to goes. */
static void overflow_recount(struct state *state, struct table *table,
			     bool (*hash_of)(const struct state *state, const void *entry, uint64_t *hash))
{
	for (uint32_t slot = 0; slot < table->slots; slot++)
		((struct entry_head *)table_at(table, slot))->overflow = 0;
	for (uint32_t slot = 0; slot < table->slots; slot++) {
		uint32_t i = 0;
		uint64_t hash;

		if (!entry_is_live(table_at(table, slot)))
			continue;
		if (hash_of(state, table_at(table, slot), &hash))
			while (i < PROBES_MAX && table_slot(hash, i, table->slots) != slot)
				i++;
		else
			i = PROBES_MAX;
		if (i == PROBES_MAX) {
			entry_clear(table_at(table, slot));
			continue;
		}
		while (i-- > 0) {
			struct entry_head *head = table_at(table, table_slot(hash, i, table->slots));

			head->overflow = (uint8_t)(head->overflow + (head->overflow < UINT8_MAX));
		}
	}
}

/* --- sessions -------------------------------------------------------------------------------------- */

uint32_t adopt_owner(const struct state *state, uint32_t session_slot, uint32_t workers)
{
	uint32_t worker = (uint32_t)((uint64_t)session_slot * workers / state->session_slots);

	/* Shares begin at slots * worker / workers, rounded down: see session_pool_init. */
	while (worker + 1 < workers && session_slot >= (uint64_t)state->session_slots * (worker + 1) / workers)
		worker++;
	while (worker > 0 && session_slot < (uint64_t)state->session_slots * worker / workers)
		worker--;
	return worker;
}

/* A path is good if its reply entry leads back to it. */
static bool path_is_whole(const struct state *state, uint32_t slot, struct path_entry *path)
{
	struct reply_entry reply;
	uint32_t reply_slot;

	return slot < state->paths.slots && path_read(state, slot, path) && !(path->flags & PATH_ABSENT) &&
	       path->backend < state->backend_slots && path_reply(state, slot, path, &reply_slot, &reply);
}

/*
 * The slot that a session's path is at: a relay that died while a pinned
 * session's return address moved has left the new entry in the reply's hands, and
 * the old one in the session's (session_move). SLOT_NONE: the path is lost.
 */
static uint32_t path_settled(const struct state *state, uint32_t slot, struct path_entry *path)
{
	struct reply_entry reply;
	struct reply_key key;
	uint32_t reply_slot;

	if (path_is_whole(state, slot, path))
		return slot;
	if (slot >= state->paths.slots || !path_read(state, slot, path) || path->flags & PATH_ABSENT ||
	    path->backend >= state->backend_slots)
		return SLOT_NONE;
	key = path_reply_key(state, path);
	if (!reply_find(state, &key, &reply_slot, &reply) || !path_is_whole(state, reply.path, path) ||
	    !path_reply(state, reply.path, path, &slot, &reply) || slot != reply_slot)
		return SLOT_NONE;
	return reply.path;
}

/* home: the 4-tuple that a CID_ORIGINAL is hashed with is still the session's. */
static bool cid_is_whole(const struct state *state, uint32_t slot, uint32_t session_slot, bool home,
			 struct cid_entry *entry)
{
	return slot < state->cids.slots && cid_read(state, slot, entry) && entry->session == session_slot &&
	       (home || entry->kind != CID_ORIGINAL);
}

/* Keeps what is whole of a session's paths and CIDs. False: nothing to go on with. */
static bool session_trim(const struct state *state, uint32_t slot, struct session *session)
{
	const uint32_t home = session->paths[0];
	struct path_entry path;
	struct cid_entry cid;
	uint8_t paths = 0, cids = 0;

	for (unsigned i = 0; i < session->path_count && i < SESSION_PATHS_MAX; i++) {
		uint32_t settled = path_settled(state, session->paths[i], &path);

		if (settled != SLOT_NONE && path.backend == session->backend)
			session->paths[paths++] = settled;
	}
	session->flags &= (uint8_t)~SESSION_ORIGINAL;
	for (unsigned i = 0; i < session->cid_count && i < SESSION_CIDS_MAX; i++) {
		if (!cid_is_whole(state, session->cids[i], slot, paths && session->paths[0] == home, &cid))
			continue;
		if (cid.kind == CID_ORIGINAL)
			session->flags |= SESSION_ORIGINAL;
		session->cids[cids++] = session->cids[i];
	}
	session->path_count = paths;
	session->cid_count = cids;
	session->older = SLOT_NONE;
	return paths > 0;
}

struct reference {
	uint8_t sessions;        /* on this path */
	uint8_t owner;           /* of default entries: of all paths of the 4-tuple */
	bool owned;
};

/* The default entry of a path's 4-tuple; the path itself if that is lost. */
static uint32_t default_slot(const struct state *state, uint32_t path_slot)
{
	struct path_entry path, first;
	struct tuple tuple;
	uint32_t slot;

	if (!path_read(state, path_slot, &path) || !(path.flags >> PATH_ORDINAL_SHIFT))
		return path_slot;
	tuple = path_tuple(&path);
	return path_find(state, &tuple, &slot, &first) ? slot : path_slot;
}

/*
 * The paths of a 4-tuple belong to one worker, which writes its default entry
 * for all of them; after a change of the workers' number a session may not be
 * with the others of its 4-tuple.
 */
static bool owner_fits(const struct state *state, const struct session *session, const struct reference *references)
{
	for (unsigned i = 0; i < session->path_count; i++) {
		const struct reference *tuple = &references[default_slot(state, session->paths[i])];

		if (references[session->paths[i]].sessions == UINT8_MAX ||
		    (tuple->owned && tuple->owner != session->owner))
			return false;
	}
	return true;
}

/* Puts a session at the head of its home path's list, and on its other paths where nobody else is. */
static void session_enter(struct state *state, uint32_t slot, struct session *session, struct reference *references)
{
	struct path_entry path;
	struct session other;

	for (unsigned i = 0; i < session->path_count; i++) {
		struct reference *reference = &references[session->paths[i]];
		struct reference *tuple = &references[default_slot(state, session->paths[i])];

		if (!path_read(state, session->paths[i], &path))
			continue;
		if (reference->sessions++ == 0)
			path.session = SLOT_NONE;
		tuple->owned = true;
		tuple->owner = session->owner;
		if (i == 0) {
			if (session_read(state, path.session, &other) && other.paths[0] == session->paths[0])
				session->older = path.session;
			path.session = slot;
		} else if (path.session == SLOT_NONE) {
			path.session = slot;
		}
		path.owner = session->owner;
		path.sessions = reference->sessions;
		path_write(state, session->paths[i], &path);
	}
}

static int sessions_repair(struct state *state, uint32_t workers, struct reference *references)
{
	int live = 0;

	for (uint32_t slot = 0; slot < state->session_slots; slot++) {
		struct session session;

		if (!session_read(state, slot, &session))
			continue;
		session.owner = (uint8_t)adopt_owner(state, slot, workers);
		if (!session_trim(state, slot, &session) || !owner_fits(state, &session, references)) {
			entry_clear(&state->sessions[slot]);
			continue;
		}
		session_enter(state, slot, &session, references);
		entry_write(&state->sessions[slot], &session, sizeof(session));
		live++;
	}
	return live;
}

/* --- what no session has --------------------------------------------------------------------------- */

static bool session_lists(const struct state *state, uint32_t session_slot, uint32_t cid_slot)
{
	struct session session;

	if (!session_read(state, session_slot, &session))
		return false;
	for (unsigned i = 0; i < session.cid_count; i++)
		if (session.cids[i] == cid_slot)
			return true;
	return false;
}

static void cids_sweep(struct state *state)
{
	for (uint32_t slot = 0; slot < state->cids.slots; slot++) {
		struct cid_entry entry;

		if (cid_read(state, slot, &entry) && !session_lists(state, entry.session, slot))
			entry_clear(table_at(&state->cids, slot));
	}
}

/* Paths without a session go; a default entry stays for its siblings, and knows just those. */
static void paths_sweep(struct state *state, const struct reference *references)
{
	struct path_entry path, first;
	uint32_t slot, first_slot;

	for (slot = 0; slot < state->paths.slots; slot++) {
		if (!path_read(state, slot, &path))
			continue;
		if (references[slot].sessions == 0 && path.flags >> PATH_ORDINAL_SHIFT) {
			entry_clear(table_at(&state->paths, slot));
			continue;
		}
		if (references[slot].sessions == 0) {
			path.flags = PATH_ABSENT;
			path.session = SLOT_NONE;
			path.sessions = 0;
			path.cid_len = 0;
			path.owner = references[slot].owner;
		}
		path.siblings = 0;
		path_write(state, slot, &path);
	}
	for (slot = 0; slot < state->paths.slots; slot++) {
		struct tuple tuple;
		unsigned ordinal;

		if (!path_read(state, slot, &path) || !(ordinal = path.flags >> PATH_ORDINAL_SHIFT))
			continue;
		tuple = path_tuple(&path);
		if (path_find(state, &tuple, &first_slot, &first)) {
			first.siblings |= (uint8_t)(1u << (ordinal - 1));
			path_write(state, first_slot, &first);
		}
	}
	for (slot = 0; slot < state->paths.slots; slot++)
		if (path_read(state, slot, &path) && path.flags & PATH_ABSENT && !path.siblings)
			entry_clear(table_at(&state->paths, slot));
}

/* One whose paths are all by relay ports, of a client of the other family for now, may yet open another. */
static bool any_preserves(const struct state *state)
{
	for (uint32_t slot = 0; slot < state->session_slots; slot++)
		if (entry_is_live(&state->sessions[slot]) && state->sessions[slot].preserve)
			return true;
	return false;
}

/* And is any of those that stay to a client itself, or will one be? */
static void replies_sweep(struct state *state)
{
	uint32_t features = state->globals->features & ~(uint32_t)FEATURE_CLIENT_IP;

	if (any_preserves(state))
		features |= FEATURE_CLIENT_IP;
	for (uint32_t slot = 0; slot < state->replies.slots; slot++) {
		struct reply_entry reply, own;
		struct path_entry path;
		uint32_t own_slot;

		if (!entry_read(table_at(&state->replies, slot), &reply, sizeof(reply), NULL))
			continue;
		if (reply.path >= state->paths.slots || !path_read(state, reply.path, &path) ||
		    path.flags & PATH_ABSENT || !path_reply(state, reply.path, &path, &own_slot, &own) ||
		    own_slot != slot)
			entry_clear(table_at(&state->replies, slot));
		else if (reply.relay_address == RELAY_ADDRESS_CLIENT)
			features |= FEATURE_CLIENT_IP;
	}
	__atomic_store_n(&state->globals->features, features, __ATOMIC_RELAXED);
}

/* Of threads and sockets that are no more, and may have no successors. */
static void records_reset(struct state *state)
{
	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		state->worker_counters[i].gauges = (struct worker_gauges){ 0 };
		memset(state->worker_counters[i].sockets, 0, sizeof(state->worker_counters[i].sockets));
	}
}

int adopt_repair(struct state *state, uint32_t workers)
{
	struct reference *references = calloc(state->paths.slots, sizeof(*references));
	int live;

	if (!references)
		return -ENOMEM;
	heads_reset(state->paths.entries, state->paths.slots, state->paths.entry_size);
	heads_reset(state->replies.entries, state->replies.slots, state->replies.entry_size);
	heads_reset(state->cids.entries, state->cids.slots, state->cids.entry_size);
	heads_reset(state->sessions, state->session_slots, sizeof(*state->sessions));
	steward_entries_reset(state->backends, state->backend_slots, sizeof(*state->backends));
	steward_entries_reset(state->endpoints.entries, state->endpoints.slots, state->endpoints.entry_size);
	records_reset(state);
	live = sessions_repair(state, workers, references);
	cids_sweep(state);
	paths_sweep(state, references);
	replies_sweep(state);
	overflow_recount(state, &state->paths, path_hash_of);
	overflow_recount(state, &state->replies, reply_hash_of);
	overflow_recount(state, &state->cids, cid_hash_of);
	free(references);
	return live;
}
