/* SPDX-License-Identifier: MIT */
/*
 * cid: the shared index from connection IDs to sessions. Any worker finds; the
 * session's owner adds and removes. Kinds and hashing: struct cid_entry and
 * cid_hash in bpf/.
 */
#ifndef SLUICE_CID_H
#define SLUICE_CID_H

#include "quic.h"
#include "state.h"

/* The session that holds this CID as CID_SERVER or CID_ALIAS. SLOT_NONE: none. */
uint32_t cid_find(const struct state *state, const struct quic_cid *cid);

/*
 * The same for a CID that several sessions may hold (below 8 bytes): calls
 * `accept` for each until it returns true. SLOT_NONE: none was accepted.
 */
uint32_t cid_find_where(const struct state *state, const struct quic_cid *cid,
			bool (*accept)(void *context, uint32_t session), void *context);

/* The session that a client's 4-tuple opened with this first DCID. SLOT_NONE: none. */
uint32_t cid_find_original(const struct state *state, const struct tuple *tuple, const struct quic_cid *cid);

/*
 * Adds an entry; tuple is for CID_ORIGINAL only, else NULL. Returns its slot in
 * cids, or SLOT_NONE when the probes are all taken. Does not look for equals.
 */
uint32_t cid_add(struct state *state, const struct quic_cid *cid, enum cid_kind kind, const struct tuple *tuple,
		 uint32_t session);

/* Owner: removes the entry in a slot; tuple as it was for cid_add. */
void cid_remove(struct state *state, uint32_t slot, const struct tuple *tuple);

/* What stands in a slot; false: nothing. */
bool cid_read(const struct state *state, uint32_t slot, struct cid_entry *entry);

#endif
