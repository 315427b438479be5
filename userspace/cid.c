/* SPDX-License-Identifier: MIT */
/* cid: see cid.h. */
#include "cid.h"
#include "path.h"

#include <string.h>

static bool accept_any(void *context, uint32_t session)
{
	(void)context;
	(void)session;
	return true;
}

static bool cid_matches(const struct cid_entry *entry, const struct quic_cid *cid)
{
	return entry->len == cid->len && memcmp(entry->cid, cid->bytes, CID_LEN_MAX) == 0;
}

uint32_t cid_find_where(const struct state *state, const struct quic_cid *cid,
			bool (*accept)(void *context, uint32_t session), void *context)
{
	uint64_t hash = cid_hash(&state->hash_key, cid->bytes, cid->len, 0);
	struct cid_entry entry;

	for (uint32_t i = 0, slot; table_next(&state->cids, hash, &i, &slot, &entry);)
		if (entry.kind != CID_ORIGINAL && cid_matches(&entry, cid) && accept(context, entry.session))
			return entry.session;
	return SLOT_NONE;
}

uint32_t cid_find(const struct state *state, const struct quic_cid *cid)
{
	return cid_find_where(state, cid, accept_any, NULL);
}

/*
 * The entry keeps no 4-tuple; its session's home path does. The check matters:
 * anyone can open many sessions with one DCID, whose entries lie everywhere.
 */
static bool session_home_is(const struct state *state, uint32_t slot, const struct tuple *tuple)
{
	struct session session;
	struct path_entry path;
	struct tuple home;

	if (slot >= state->session_slots || !entry_read(&state->sessions[slot], &session, sizeof(session), NULL) ||
	    session.path_count == 0 || !path_read(state, session.paths[0], &path))
		return false;
	home = path_tuple(&path);
	return home.client_port_be == tuple->client_port_be && home.endpoint == tuple->endpoint &&
	       addr_equal(&home.client, &tuple->client);
}

uint32_t cid_find_original(const struct state *state, const struct tuple *tuple, const struct quic_cid *cid)
{
	uint64_t hash = cid_hash(&state->hash_key, cid->bytes, cid->len, tuple_hash(state, tuple));
	struct cid_entry entry;

	for (uint32_t i = 0, slot; table_next(&state->cids, hash, &i, &slot, &entry);)
		if (entry.kind == CID_ORIGINAL && cid_matches(&entry, cid) &&
		    session_home_is(state, entry.session, tuple))
			return entry.session;
	return SLOT_NONE;
}

static uint64_t cid_entry_hash(const struct state *state, const struct cid_entry *entry, const struct tuple *tuple)
{
	return cid_hash(&state->hash_key, entry->cid, entry->len,
			entry->kind == CID_ORIGINAL ? tuple_hash(state, tuple) : 0);
}

uint32_t cid_add(struct state *state, const struct quic_cid *cid, enum cid_kind kind, const struct tuple *tuple,
		 uint32_t session)
{
	struct cid_entry entry = { .session = session, .len = cid->len, .kind = (uint8_t)kind };
	uint32_t slot;

	memcpy(entry.cid, cid->bytes, CID_LEN_MAX);
	slot = table_claim(&state->cids, cid_entry_hash(state, &entry, tuple));
	if (slot != SLOT_NONE)
		entry_write(table_at(&state->cids, slot), &entry, sizeof(entry));
	return slot;
}

void cid_remove(struct state *state, uint32_t slot, const struct tuple *tuple)
{
	struct cid_entry entry;

	if (cid_read(state, slot, &entry))
		table_remove(&state->cids, slot, cid_entry_hash(state, &entry, tuple));
}

bool cid_read(const struct state *state, uint32_t slot, struct cid_entry *entry)
{
	return entry_read(table_at(&state->cids, slot), entry, sizeof(*entry), NULL);
}
