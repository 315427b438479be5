/* SPDX-License-Identifier: MIT */
/* session: see session.h. Opening, closing and confirming; CIDs are in session_cid.c. */
#include "session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	EVICTIONS_SCANNED = 64,     /* unconfirmed sessions looked at for one of a given backend */
	ORIGINAL_DCID_S = 10,       /* late Initials of a confirmed session are still told apart */
};

bool session_read(const struct state *state, uint32_t slot, struct session *session)
{
	return slot < state->session_slots && entry_read(&state->sessions[slot], session, sizeof(*session), NULL);
}

void session_write(struct session_pool *pool, uint32_t slot, const struct session *session)
{
	entry_write(&pool->state->sessions[slot], session, sizeof(*session));
}

/* --- the list of unconfirmed sessions, oldest first --------------------------------------------- */

static struct session_link *link_of(struct session_pool *pool, uint32_t slot)
{
	return &pool->links[slot - pool->first];
}

static void unconfirmed_add(struct session_pool *pool, uint32_t slot)
{
	*link_of(pool, slot) = (struct session_link){ pool->newest, SLOT_NONE };
	if (pool->newest == SLOT_NONE)
		pool->oldest = slot;
	else
		link_of(pool, pool->newest)->next = slot;
	pool->newest = slot;
}

static void unconfirmed_remove(struct session_pool *pool, uint32_t slot)
{
	struct session_link *link = link_of(pool, slot);

	if (link->prev == SLOT_NONE)
		pool->oldest = link->next;
	else
		link_of(pool, link->prev)->next = link->next;
	if (link->next == SLOT_NONE)
		pool->newest = link->prev;
	else
		link_of(pool, link->next)->prev = link->prev;
}

int session_pool_init(struct session_pool *pool, struct state *state, struct counters *counters, uint32_t worker,
		      uint32_t workers, uint32_t aliases_max, uint64_t random_seed)
{
	uint32_t first = (uint32_t)((uint64_t)state->session_slots * worker / workers);
	uint32_t end = (uint32_t)((uint64_t)state->session_slots * (worker + 1) / workers);

	*pool = (struct session_pool){
		.state = state,
		.counters = counters,
		.ports = { .worker = worker, .workers = workers, .random = random_seed | 1 },
		.first = first,
		.count = end - first,
		.aliases_max = aliases_max,
		.free = calloc(end - first, sizeof(*pool->free)),
		.links = calloc(end - first, sizeof(*pool->links)),
		.oldest = SLOT_NONE,
		.newest = SLOT_NONE,
		.hand = first,
	};
	if (!pool->free || !pool->links) {
		session_pool_end(pool);
		return -ENOMEM;
	}
	for (uint32_t slot = end; slot-- > first;) {
		struct session session;

		if (!session_read(state, slot, &session)) {
			pool->free[pool->free_count++] = slot;
			continue;
		}
		pool->live++;
		if (!(session.flags & SESSION_CONFIRMED))
			unconfirmed_add(pool, slot);
	}
	return 0;
}

void session_pool_end(struct session_pool *pool)
{
	free(pool->free);
	free(pool->links);
	pool->free = NULL;
	pool->links = NULL;
}

/* --- sessions of one path: path.session is the newest, session.older leads on -------------------- */

static bool is_home(const struct session *session, uint32_t path_slot)
{
	return session->path_count > 0 && session->paths[0] == path_slot;
}

/* Puts a session at the head of its home path's list; ends the oldest when there are too many. */
static void home_enter(struct session_pool *pool, uint32_t slot, struct session *session)
{
	uint32_t path_slot = session->paths[0], at, depth = 1;
	struct path_entry path;
	struct session other;

	session->older = SLOT_NONE;
	if (!path_read(pool->state, path_slot, &path))
		return;
	if (session_read(pool->state, path.session, &other) && path.session != slot && is_home(&other, path_slot))
		session->older = path.session;
	path.session = slot;
	path_write(pool->state, path_slot, &path);
	session_write(pool, slot, session);
	for (at = session->older; session_read(pool->state, at, &other); at = other.older) {
		if (++depth <= SESSIONS_PER_PATH)
			continue;
		pool->counters->events[EVENT_SESSION_REPLACED]++;
		session_close(pool, at);
		return;
	}
}

static void home_leave(struct session_pool *pool, uint32_t slot, const struct session *session)
{
	struct path_entry path;
	struct session other;
	uint32_t at;

	if (!path_read(pool->state, session->paths[0], &path))
		return;
	if (path.session == slot) {
		path.session = session->older;
		path.cid_len = 0;
		memset(path.cid, 0, sizeof(path.cid));
		path_write(pool->state, session->paths[0], &path);
		return;
	}
	for (at = path.session; session_read(pool->state, at, &other); at = other.older) {
		if (other.older != slot)
			continue;
		other.older = session->older;
		session_write(pool, at, &other);
		return;
	}
}

/* This session less on a path; a path of none is closed. What the path says of the session goes with it: slots are reused. */
static void path_drop(struct session_pool *pool, uint32_t path_slot, uint32_t slot)
{
	struct path_entry path;

	if (!path_read(pool->state, path_slot, &path))
		return;
	if (path.sessions > 1) {
		path.sessions--;
		if (path.session == slot) {
			path.session = SLOT_NONE;
			path.cid_len = 0;
			memset(path.cid, 0, sizeof(path.cid));
		}
		path_write(pool->state, path_slot, &path);
	} else {
		path_close(pool->state, path_slot);
	}
}

/* The home path's tuple keys the CID_ORIGINAL entry, so the entry goes before the home does. */
static void original_forget(struct session_pool *pool, struct session *session)
{
	struct path_entry path;
	struct tuple tuple;

	if (!(session->flags & SESSION_ORIGINAL) || !path_read(pool->state, session->paths[0], &path))
		return;
	tuple = path_tuple(&path);
	cid_remove(pool->state, session->cids[0], &tuple);
	session->flags &= (uint8_t)~SESSION_ORIGINAL;
	session->cid_count--;
	memmove(&session->cids[0], &session->cids[1], session->cid_count * sizeof(session->cids[0]));
}

/* Takes a path from a session that keeps at least one other. */
static void session_leave_path(struct session_pool *pool, uint32_t slot, struct session *session, unsigned index)
{
	uint32_t path_slot = session->paths[index];

	if (index == 0) {
		original_forget(pool, session);
		home_leave(pool, slot, session);
	}
	session->path_count--;
	memmove(&session->paths[index], &session->paths[index + 1],
		(session->path_count - index) * sizeof(session->paths[0]));
	session_write(pool, slot, session);
	path_drop(pool, path_slot, slot);
	if (index == 0)
		home_enter(pool, slot, session);
}

void session_close(struct session_pool *pool, uint32_t slot)
{
	struct session session;

	if (!session_read(pool->state, slot, &session))
		return;
	original_forget(pool, &session);
	home_leave(pool, slot, &session);
	for (unsigned i = 0; i < session.cid_count; i++)
		cid_remove(pool->state, session.cids[i], NULL);
	for (unsigned i = 0; i < session.path_count; i++)
		path_drop(pool, session.paths[i], slot);
	if (!(session.flags & SESSION_CONFIRMED))
		unconfirmed_remove(pool, slot);
	entry_clear(&pool->state->sessions[slot]);
	pool->free[pool->free_count++] = slot;
	pool->live--;
}

/* Ends the oldest unconfirmed session but `except`, of one backend if not SLOT_NONE. False: none found. */
static bool evict_unconfirmed(struct session_pool *pool, uint32_t backend, uint32_t except)
{
	uint32_t slot = pool->oldest;

	for (int i = 0; slot != SLOT_NONE && i < EVICTIONS_SCANNED; i++, slot = link_of(pool, slot)->next) {
		struct session session;

		if (slot == except || (backend != SLOT_NONE && !(session_read(pool->state, slot, &session) &&
								 session.backend == backend)))
			continue;
		pool->counters->events[EVENT_SESSION_EVICTED]++;
		session_close(pool, slot);
		return true;
	}
	return false;
}

/*
 * A path for one more session: the 4-tuple's to its backend if there is one,
 * else a new one. slot: the session's if it lives already, which is not evicted
 * for its own sake.
 */
static enum session_verdict path_join(struct session_pool *pool, uint32_t slot, const struct session *session,
				      const struct tuple *tuple, uint16_t nexthop, uint32_t now_s, uint32_t *path_slot)
{
	struct path_entry path;
	enum path_verdict verdict;

	if (!path_find_backend(pool->state, tuple, session->backend, path_slot, &path)) {
		do
			verdict = path_open(pool->state, &pool->ports, tuple, session->backend, session->preserve,
					    nexthop, now_s, path_slot);
		while (verdict == PATH_PORTS_EXHAUSTED && evict_unconfirmed(pool, session->backend, slot));
		if (verdict != PATH_OPENED)
			return verdict == PATH_TABLE_FULL ? SESSION_TABLE_FULL : SESSION_PORTS_EXHAUSTED;
		pool->counters->events[EVENT_PATH_OPENED]++;
		if (!path_read(pool->state, *path_slot, &path))
			return SESSION_TABLE_FULL;
	}
	if (path.sessions == UINT8_MAX)
		return SESSION_POOL_FULL;
	path.sessions++;
	path_write(pool->state, *path_slot, &path);
	return SESSION_OK;
}

enum session_verdict session_open(struct session_pool *pool, const struct tuple *tuple,
				  const struct quic_cid *original_dcid, const struct destination *to,
				  uint16_t nexthop, uint32_t now_s, uint32_t *slot)
{
	struct session session = {
		.backend = to->backend,
		.route = to->route,
		.created_s = now_s,
		.owner = (uint8_t)pool->ports.worker,
		.flags = original_dcid ? SESSION_ORIGINAL : SESSION_FOREIGN,
		.preserve = to->preserve,
		.cid_len = CID_LEN_UNKNOWN,
		.opened = pool->opened,
		.path_count = 1,
		.older = SLOT_NONE,
	};
	enum session_verdict verdict;

	if (pool->free_count == 0 && !evict_unconfirmed(pool, SLOT_NONE, SLOT_NONE))
		return SESSION_POOL_FULL;
	verdict = path_join(pool, SLOT_NONE, &session, tuple, nexthop, now_s, &session.paths[0]);
	if (verdict != SESSION_OK)
		return verdict;
	*slot = pool->free[--pool->free_count];
	if (original_dcid) {
		session.cids[0] = cid_add(pool->state, original_dcid, CID_ORIGINAL, tuple, *slot);
		if (session.cids[0] == SLOT_NONE) {
			pool->free_count++;
			path_drop(pool, session.paths[0], *slot);
			return SESSION_TABLE_FULL;
		}
		session.cid_count = 1;
	}
	session.generation = pool->state->sessions[*slot].generation + 1;
	session.flags |= (to->pinned ? SESSION_PINNED : 0) | (to->shared ? SESSION_SHARED : 0);
	session_write(pool, *slot, &session);
	pool->live++;
	pool->opened++;
	unconfirmed_add(pool, *slot);
	home_enter(pool, *slot, &session);
	pool->counters->events[EVENT_SESSION_OPENED]++;
	return SESSION_OK;
}

/* --- paths -------------------------------------------------------------------------------------- */

/* opened_s: until the backend answers, the reply's stamp is that of the path's opening; the client's own moves on. */
static bool path_is_answered(const struct state *state, uint32_t path_slot, uint32_t *opened_s)
{
	struct path_entry path;
	struct reply_entry reply;
	uint32_t reply_slot;

	*opened_s = 0;
	if (!path_read(state, path_slot, &path) || !path_reply(state, path_slot, &path, &reply_slot, &reply))
		return false;
	*opened_s = reply.last_seen_s;
	return reply.flags & (REPLY_ANSWERED | REPLY_CONFIRMED);
}

/* Drops paths that the backend did not answer in time; how many young ones are left. */
static unsigned unanswered_expire(struct session_pool *pool, uint32_t slot, struct session *session, uint32_t now_s)
{
	unsigned young = 0;

	for (unsigned i = session->path_count; i-- > 1;) {
		uint32_t opened_s;

		if (path_is_answered(pool->state, session->paths[i], &opened_s))
			continue;
		if (now_s - opened_s >= PATH_UNANSWERED_S)
			session_leave_path(pool, slot, session, i);
		else
			young++;
	}
	return young;
}

/* Room for one more path: the one silent longest goes when all are taken. */
static void path_room_make(struct session_pool *pool, uint32_t slot, struct session *session)
{
	unsigned stalest = 0;
	uint32_t stalest_s = UINT32_MAX;

	if (session->path_count < SESSION_PATHS_MAX)
		return;
	for (unsigned i = 0; i < session->path_count; i++) {
		uint32_t seen_s = path_last_seen_s(pool->state, session->paths[i]);

		if (seen_s < stalest_s) {
			stalest = i;
			stalest_s = seen_s;
		}
	}
	session_leave_path(pool, slot, session, stalest);
}

enum session_verdict session_migrate(struct session_pool *pool, uint32_t slot, const struct tuple *tuple,
				     uint16_t nexthop, uint32_t now_s, uint32_t *path_slot)
{
	enum session_verdict verdict;
	struct path_entry path;
	struct session session;

	if (!session_read(pool->state, slot, &session))
		return SESSION_POOL_FULL;
	if (unanswered_expire(pool, slot, &session, now_s) >= PATHS_UNANSWERED_MAX)
		return SESSION_PATHS_UNANSWERED;
	path_room_make(pool, slot, &session);
	verdict = path_join(pool, slot, &session, tuple, nexthop, now_s, path_slot);
	if (verdict != SESSION_OK)
		return verdict;
	session.paths[session.path_count++] = *path_slot;
	session_write(pool, slot, &session);
	if (path_read(pool->state, *path_slot, &path) && path.session == SLOT_NONE) {
		path.session = slot;
		path_write(pool->state, *path_slot, &path);
		session_cid_to_path(pool, slot, *path_slot);
	}
	pool->counters->events[EVENT_PATH_MIGRATED]++;
	return SESSION_OK;
}

/* --- pinned sessions ----------------------------------------------------------------------------- */

bool session_holds(const struct state *state, uint32_t slot, const struct tuple *tuple, uint32_t *home)
{
	struct session session;
	struct path_entry path;
	uint32_t other;

	if (!session_read(state, slot, &session) || !(session.flags & SESSION_PINNED) || session.path_count != 1)
		return false;
	*home = session.paths[0];
	return path_read(state, *home, &path) && path.session == slot && path.sessions == 1 &&
	       path.relay_address != RELAY_ADDRESS_CLIENT &&
	       !path_find_backend(state, tuple, session.backend, &other, &path);
}

static uint32_t tuple_mark(const struct state *state, const struct tuple *tuple)
{
	return (uint32_t)(tuple_hash(state, tuple) >> 32) | 1;
}

static bool may_return(const struct state *state, const struct session *session, const struct tuple *tuple,
		       uint32_t now_s)
{
	return session->left == tuple_mark(state, tuple) && now_s - session->left_s <= PINNED_RETURN_S;
}

bool session_mover_seen(struct session_pool *pool, uint32_t slot, const struct tuple *tuple, uint32_t now_s)
{
	uint32_t mark = tuple_mark(pool->state, tuple);
	int32_t silence_s = (int32_t)__atomic_load_n(&pool->state->globals->pinned_silence_s, __ATOMIC_RELAXED);
	struct path_entry path;
	struct session session;

	pool->counters->events[EVENT_PINNED_PACKET]++;
	if (!session_read(pool->state, slot, &session) || !(session.flags & SESSION_CONFIRMED) ||
	    !path_read(pool->state, session.paths[0], &path))
		return false;
	if (may_return(pool->state, &session, tuple, now_s))
		return true;
	if (session.mover != mark) {
		session.mover = mark;
		session.mover_packets = 0;
	}
	if (session.mover_packets < PINNED_PACKETS) {
		session.mover_packets++;
		session_write(pool, slot, &session);
	}
	/* Whole seconds apart by more: silent for at least as long. Signed: as in session_expire. */
	return session.mover_packets == PINNED_PACKETS && (int32_t)(now_s - path.last_seen_s) > silence_s;
}

void session_move(struct session_pool *pool, uint32_t slot, const struct tuple *tuple, uint16_t nexthop,
		  uint32_t now_s)
{
	struct session session;
	struct path_entry path;
	struct tuple home;
	uint32_t from, to;

	if (!session_read(pool->state, slot, &session) || !path_read(pool->state, session.paths[0], &path) ||
	    !path_move(pool->state, session.paths[0], tuple, nexthop, now_s, &to))
		return;
	home = path_tuple(&path);
	pool->counters->events[EVENT_PINNED_MOVED]++;
	/* Who was sent back has no right to return: else two addresses could take turns for ever. */
	if (may_return(pool->state, &session, tuple, now_s)) {
		session.left = 0;
		pool->counters->events[EVENT_PINNED_RETURNED]++;
	} else {
		session.left = tuple_mark(pool->state, &home);
	}
	session.left_s = now_s;
	session.mover = 0;
	session.mover_packets = 0;
	original_forget(pool, &session);
	from = session.paths[0];
	session.paths[0] = to;
	/* The old entry goes last: a relay that dies before is repaired by what the reply entry says (adopt.c). */
	session_write(pool, slot, &session);
	path_vacate(pool->state, from);
}

void session_confirm(struct session_pool *pool, uint32_t slot, uint32_t now_s)
{
	struct session session;

	if (!session_read(pool->state, slot, &session) || session.flags & SESSION_CONFIRMED)
		return;
	session.flags |= SESSION_CONFIRMED;
	session.confirmed_s = now_s;
	session.mover = 0; /* where the bytes were counted */
	session.left = 0;
	session_write(pool, slot, &session);
	unconfirmed_remove(pool, slot);
	path_confirm(pool->state, session.paths[0]);
	pool->counters->events[EVENT_SESSION_CONFIRMED]++;
}

/* --- housekeeping ------------------------------------------------------------------------------- */

static bool path_is_idle(const struct state *state, const struct session *session, unsigned index, uint32_t now_s)
{
	const struct globals *globals = state->globals;
	uint32_t timeout_s = session->flags & SESSION_CONFIRMED ? globals->idle_timeout_s :
								  globals->idle_timeout_unconfirmed_s;

	/* signed: a forwarder may have stamped a second that this thread has not seen yet */
	return (int32_t)(now_s - path_last_seen_s(state, session->paths[index])) > (int32_t)timeout_s;
}

bool session_is_idle(const struct state *state, const struct session *session, uint32_t now_s)
{
	for (unsigned i = 0; i < session->path_count; i++)
		if (!path_is_idle(state, session, i, now_s))
			return false;
	return true;
}

bool session_is_newer(const struct session *session, const struct session *other)
{
	if (session->created_s != other->created_s)
		return (int32_t)(session->created_s - other->created_s) > 0;
	return (int16_t)(session->opened - other->opened) > 0;
}

static void session_expire(struct session_pool *pool, uint32_t slot, struct session *session, uint32_t now_s)
{
	unanswered_expire(pool, slot, session, now_s);
	for (unsigned i = session->path_count; i-- > 0;) {
		if (!path_is_idle(pool->state, session, i, now_s))
			continue;
		if (session->path_count == 1) {
			pool->counters->events[EVENT_SESSION_EXPIRED]++;
			session_close(pool, slot);
			return;
		}
		session_leave_path(pool, slot, session, i);
	}
	if (session->flags & SESSION_ORIGINAL && session->flags & SESSION_CONFIRMED &&
	    now_s - session->confirmed_s > ORIGINAL_DCID_S) {
		original_forget(pool, session);
		session_write(pool, slot, session);
	}
}

void session_housekeeping(struct session_pool *pool, uint32_t now_s, uint32_t slots)
{
	for (uint32_t i = 0; i < slots && i < pool->count; i++) {
		struct session session;
		uint32_t slot = pool->hand;

		if (++pool->hand == pool->first + pool->count)
			pool->hand = pool->first;
		if (entry_is_live(&pool->state->sessions[slot]) && session_read(pool->state, slot, &session))
			session_expire(pool, slot, &session, now_s);
	}
}
