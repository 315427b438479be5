/* SPDX-License-Identifier: MIT */
/* session_cid: which connection IDs a session goes by; see session.h. Owner thread. */
#include "session.h"

#include <string.h>

bool session_has_cid(const struct state *state, const struct session *session, const struct quic_cid *cid)
{
	for (unsigned i = 0; i < session->cid_count; i++) {
		struct cid_entry entry;

		if (cid_read(state, session->cids[i], &entry) && entry.kind != CID_ORIGINAL &&
		    entry.len == cid->len && memcmp(entry.cid, cid->bytes, CID_LEN_MAX) == 0)
			return true;
	}
	return false;
}

/* Short headers are looked up by this length too. */
static void cid_length_use(struct state *state, uint8_t len)
{
	if (!(__atomic_load_n(&state->globals->cid_lengths, __ATOMIC_RELAXED) & 1u << len))
		__atomic_fetch_or(&state->globals->cid_lengths, 1u << len, __ATOMIC_RELAXED);
}

/* The backend's CID length is known from now on; short headers are cut by it. */
static void cid_len_note(struct state *state, uint32_t backend, uint8_t len)
{
	if (__atomic_load_n(&state->backends[backend].cid_len, __ATOMIC_RELAXED) != len)
		__atomic_store_n(&state->backends[backend].cid_len, len, __ATOMIC_RELAXED);
	cid_length_use(state, len);
}

static void path_cid_set(struct state *state, uint32_t path_slot, uint32_t session, const struct quic_cid *cid)
{
	struct path_entry path;

	if (!path_read(state, path_slot, &path) || path.session != session)
		return;
	path.cid_len = cid->len;
	memcpy(path.cid, cid->bytes, CID_LEN_MAX);
	path_write(state, path_slot, &path);
}

void session_cid_to_path(struct session_pool *pool, uint32_t slot, uint32_t path_slot)
{
	struct session session;
	struct cid_entry entry;
	struct quic_cid cid;

	if (!session_read(pool->state, slot, &session) || session.cid_count == 0 ||
	    !cid_read(pool->state, session.cids[session.cid_count - 1], &entry) || entry.kind == CID_ORIGINAL)
		return;
	cid = quic_cid_make(entry.cid, entry.len);
	path_cid_set(pool->state, path_slot, slot, &cid);
}

/*
 * Oldest alias out when there are aliases_max (or the record is full). The
 * handshake's own CIDs stay: the client may go back to them.
 */
static bool alias_room_make(struct session_pool *pool, struct session *session)
{
	unsigned aliases = 0, oldest = 0;
	struct cid_entry entry;

	for (unsigned i = session->cid_count; i-- > 0;)
		if (cid_read(pool->state, session->cids[i], &entry) && entry.kind == CID_ALIAS) {
			aliases++;
			oldest = i;
		}
	if (aliases < pool->aliases_max && session->cid_count < SESSION_CIDS_MAX)
		return true;
	if (aliases == 0)
		return false;
	cid_remove(pool->state, session->cids[oldest], NULL);
	session->cid_count--;
	memmove(&session->cids[oldest], &session->cids[oldest + 1],
		(session->cid_count - oldest) * sizeof(session->cids[0]));
	return true;
}

static void cid_attach(struct session_pool *pool, uint32_t slot, struct session *session, const struct quic_cid *cid,
		       enum cid_kind kind)
{
	uint32_t cid_slot;

	/* Two backends may choose one short CID; what a client took up is not worth making another's ambiguous. */
	if ((kind == CID_ALIAS || cid->len >= QUIC_ORIGINAL_DCID_MIN) && cid_find(pool->state, cid) != SLOT_NONE) {
		pool->counters->events[EVENT_CID_CONFLICT]++;
		return;
	}
	/* At the record's end only aliases can make room; a backend's further CIDs are then not kept. */
	if ((kind == CID_ALIAS || session->cid_count == SESSION_CIDS_MAX) && !alias_room_make(pool, session)) {
		pool->counters->events[EVENT_CID_NOT_KEPT]++;
		return;
	}
	cid_slot = cid_add(pool->state, cid, kind, NULL, slot);
	if (cid_slot == SLOT_NONE) {
		pool->counters->events[EVENT_CID_NOT_KEPT]++;
		return;
	}
	session->cids[session->cid_count++] = cid_slot;
	for (unsigned i = 0; i < session->path_count; i++)
		path_cid_set(pool->state, session->paths[i], slot, cid);
	pool->counters->events[kind == CID_ALIAS ? EVENT_ALIAS_LEARNED : EVENT_CID_LEARNED]++;
}

void session_learn_cid(struct session_pool *pool, uint32_t slot, const struct quic_cid *cid, bool retry)
{
	struct session session;

	if (!session_read(pool->state, slot, &session))
		return;
	if (cid->len == 0) {
		if (session.flags & SESSION_CID_EMPTY)
			return;
		session.flags |= SESSION_CID_EMPTY;
		session.cid_len = 0;
		cid_len_note(pool->state, session.backend, 0);
	} else if (!session_has_cid(pool->state, &session, cid)) {
		/* RFC 9000 s17.2.5: a Retry's SCID need not be as long as the CIDs that follow. */
		if (!retry) {
			session.cid_len = cid->len;
			cid_len_note(pool->state, session.backend, cid->len);
		}
		cid_attach(pool, slot, &session, cid, CID_SERVER);
	} else {
		return;
	}
	session_write(pool, slot, &session);
}

/*
 * What QUIC-LB reads may be less than the CID (its server may append bytes). So
 * it is not taken for the backend's length where a handshake showed that.
 */
void session_adopt_cid(struct session_pool *pool, uint32_t slot, const struct quic_cid *cid)
{
	struct session session;

	if (!session_read(pool->state, slot, &session))
		return;
	session.cid_len = cid->len;
	if (__atomic_load_n(&pool->state->backends[session.backend].cid_len, __ATOMIC_RELAXED) == CID_LEN_UNKNOWN)
		cid_len_note(pool->state, session.backend, cid->len);
	cid_length_use(pool->state, cid->len);
	cid_attach(pool, slot, &session, cid, CID_SERVER);
	session_write(pool, slot, &session);
}

void session_offer_alias(struct session_pool *pool, uint32_t slot, const struct quic_cid *cid)
{
	struct session session;
	uint64_t sight;

	if (pool->aliases_max == 0 || cid->len == 0 || !session_read(pool->state, slot, &session) ||
	    !(session.flags & SESSION_CONFIRMED) || cid->len != session.cid_len ||
	    session_has_cid(pool->state, &session, cid))
		return;
	sight = cid_hash(&pool->state->hash_key, cid->bytes, cid->len, 0);
	if (session.candidate == sight) {
		session.candidate = 0;
		cid_attach(pool, slot, &session, cid, CID_ALIAS);
	} else {
		session.candidate = sight;
	}
	session_write(pool, slot, &session);
}
