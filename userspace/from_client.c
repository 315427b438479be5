/* SPDX-License-Identifier: MIT */
/*
 * from_client: a datagram for a quic listener: whose is it, and is its path
 * known? See forwarder.h. Worker thread; datagrams are hostile.
 *
 * The order of look-up, long headers and short:
 *   1. (4-tuple, DCID) of a session, or of a first flight in progress: forward
 *   2. DCID of a session elsewhere, of 8 bytes or more, or on an unknown
 *      4-tuple: the client's address changed: a path of its own, or, where
 *      the session is pinned, its home path
 *   3. 4-tuple known, DCID not: the client took up a CID issued under
 *      encryption: the only session that can be meant
 *   4. an Initial: a first flight
 *   5. not 0-RTT: its DCID names a server by QUIC-LB, or another relay knows it: foreign.c
 *   6. count and drop
 */
#include <string.h>

#include "forwarder.h"

/* The client's 4-tuple, as far as it is known. */
struct client_path {
	bool known;
	uint32_t slot;                   /* default entry */
	struct path_entry path;
};

static bool has_path(const struct session *session, uint32_t path_slot)
{
	for (unsigned i = 0; i < session->path_count; i++)
		if (session->paths[i] == path_slot)
			return true;
	return false;
}

/* For cid_find_where: of the sessions of this 4-tuple that hold a CID, the one opened last. */
struct on_tuple {
	const struct forwarder *f;
	const struct tuple *tuple;
	uint32_t session;                /* SLOT_NONE: none yet */
	struct session newest;
	uint32_t path_slot;
	struct path_entry path;
};

static bool on_tuple_try(void *context, uint32_t session_slot)
{
	struct on_tuple *on = context;
	struct session session;
	struct path_entry path;
	uint32_t path_slot;

	if (!session_read(on->f->state, session_slot, &session) ||
	    !path_find_backend(on->f->state, on->tuple, session.backend, &path_slot, &path) ||
	    !has_path(&session, path_slot) || (on->session != SLOT_NONE && !session_is_newer(&session, &on->newest)))
		return false;
	on->session = session_slot;
	on->newest = session;
	on->path_slot = path_slot;
	on->path = path;
	return false;
}

/* Rule 1. Two backends may have chosen one short CID; the older connection is most likely over. */
static bool on_tuple_find(struct on_tuple *on, const struct quic_cid *dcid)
{
	cid_find_where(on->f->state, dcid, on_tuple_try, on);
	return on->session != SLOT_NONE;
}

/* For cid_find_where: who lives and holds a short CID? */
struct holders {
	const struct forwarder *f;
	uint32_t session;
	unsigned count;
};

static bool holders_count(void *context, uint32_t session_slot)
{
	struct holders *holders = context;
	struct session session;

	if (session_slot != holders->session && session_read(holders->f->state, session_slot, &session) &&
	    !session_is_idle(holders->f->state, &session, holders->f->now_s)) {
		holders->session = session_slot;
		holders->count++;
	}
	return false;
}

/*
 * A migrated path: its backend has answered there, and the client is still
 * there to send. From now on the kernel may forward.
 */
static void confirm_migrated(struct forwarder *f, uint32_t path_slot, const struct path_entry *path,
			     const struct session *session)
{
	struct reply_entry reply;
	uint32_t reply_slot;

	if (path->flags & PATH_CONFIRMED || !(session->flags & SESSION_CONFIRMED))
		return;
	if (path_reply(f->state, path_slot, path, &reply_slot, &reply) && reply.flags & REPLY_ANSWERED)
		path_confirm(f->state, path_slot);
}

/*
 * A DCID below 8 bytes that is no session's of this 4-tuple may be a guess at
 * one that the backend chose: it counts against all that could be meant. Once
 * if it is used again: a client that took up a CID issued in 0.5-RTT goes on
 * with it, and whoever repeats a wrong guess has gained nothing.
 */
static void guess_count(struct forwarder *f, const struct tuple *tuple, const struct quic_cid *dcid)
{
	uint64_t guess = cid_hash(&f->state->hash_key, dcid->bytes, dcid->len, 0);
	struct path_entry path;
	struct session session;
	uint32_t slot;

	if (dcid->len == 0 || dcid->len >= QUIC_ORIGINAL_DCID_MIN)
		return;
	for (unsigned ordinal = 0; ordinal <= PATH_SIBLINGS_MAX; ordinal++) {
		if (!path_find_ordinal(f->state, tuple, ordinal, &slot, &path) || path.flags & PATH_CONFIRMED)
			continue;
		slot = path.session;
		for (unsigned i = 0; i < SESSIONS_PER_PATH && session_read(f->state, slot, &session); i++) {
			if (!(session.flags & SESSION_CONFIRMED) && session.candidate != guess &&
			    session.wrong_guesses < WRONG_GUESSES_MAX) {
				session.wrong_guesses++;
				session.candidate = guess;
				session_write(&f->sessions, slot, &session);
			}
			slot = session.older;
		}
	}
}

/* Too many guesses: the right one proves nothing any more. */
static bool is_guessed(const struct session *session)
{
	return session->wrong_guesses >= WRONG_GUESSES_MAX &&
	       (session->cid_len < QUIC_ORIGINAL_DCID_MIN || session->cid_len == CID_LEN_UNKNOWN);
}

/*
 * Does this packet confirm its session: is the client there, and gets what the
 * backend sends? One that QUIC-LB opened began with a CID that the client knew,
 * so to use it proves nothing. The backend's answer is to, and to garbage it
 * answers with a stateless reset, which is shorter than what it answers
 * (RFC 9000 s10.3.3): so it must have sent as much as the client has, in all.
 */
static bool proves(const struct session *session, bool exact, bool is_short)
{
	if (session->flags & SESSION_FOREIGN)
		return is_short && session->flags & SESSION_CLIENT_SHORT &&
		       session->sent_bytes >= session->client_bytes;
	return exact && !is_guessed(session);
}

/* Rule 1: this session, on this path. exact: the DCID is one that the backend chose. */
static void forward_known(struct forwarder *f, struct arrival *a, uint32_t session_slot, uint32_t path_slot,
			  const struct path_entry *path, bool exact, bool is_short)
{
	struct session session;

	/* Long headers are looked at further: the path may be confirmed by an older session than theirs. */
	if (path->flags & PATH_CONFIRMED && exact && is_short) {
		forwarder_to_backend(f, a, path_slot, path);
		return;
	}
	if (path->owner != f->worker) {
		forwarder_hand_over(f, a->frame, path->owner);
		return;
	}
	if (session_read(f->state, session_slot, &session) && proves(&session, exact, is_short))
		session_confirm(&f->sessions, session_slot, f->now_s);
	forwarder_account(f, session_slot, a);
	if (session_read(f->state, session_slot, &session))
		confirm_migrated(f, path_slot, path, &session);
	forwarder_to_backend(f, a, path_slot, path);
}

/* Rule 2 for a pinned session: the backend sees no change. Only what gets to it counts towards a move. */
static void forward_pinned(struct forwarder *f, struct arrival *a, uint32_t session_slot, uint32_t home)
{
	struct path_entry path;
	uint16_t nexthop;

	if (!path_read(f->state, home, &path)) {
		forwarder_drop(f, a->frame, DROP_ENTRY_BUSY);
		return;
	}
	if (forwarder_to_backend_unseen(f, a, &path) &&
	    session_mover_seen(&f->sessions, session_slot, &a->tuple, f->now_s) &&
	    forwarder_nexthop(f, &a->tuple.client, &nexthop) == NEXTHOP_FOUND)
		session_move(&f->sessions, session_slot, &a->tuple, nexthop, f->now_s);
}

/* Rule 2: a session whose client was elsewhere. */
static void migrate(struct forwarder *f, struct arrival *a, uint32_t session_slot, const struct client_path *client)
{
	enum session_verdict verdict;
	enum nexthop_verdict way;
	struct session session;
	struct path_entry path;
	uint32_t path_slot;
	uint16_t nexthop;

	if (!session_read(f->state, session_slot, &session)) {
		forwarder_drop(f, a->frame, DROP_UNKNOWN_CID);
		return;
	}
	if (session.owner != f->worker) {
		forwarder_hand_over(f, a->frame, session.owner);
		return;
	}
	/* Two workers must not write one entry: see "Ownership" in forwarder.h. */
	if (client->known && client->path.owner != f->worker) {
		forwarder_drop(f, a->frame, DROP_AMBIGUOUS_4TUPLE);
		return;
	}
	if (session_holds(f->state, session_slot, &a->tuple, &path_slot)) {
		forward_pinned(f, a, session_slot, path_slot);
		return;
	}
	way = forwarder_nexthop(f, &a->tuple.client, &nexthop);
	if (way != NEXTHOP_FOUND) {
		forwarder_drop(f, a->frame, DROP_NO_NEXTHOP);
		return;
	}
	verdict = session_migrate(&f->sessions, session_slot, &a->tuple, nexthop, f->now_s, &path_slot);
	if (verdict != SESSION_OK)
		forwarder_drop(f, a->frame, forwarder_refusal(verdict));
	else if (path_read(f->state, path_slot, &path))
		forwarder_to_backend(f, a, path_slot, &path);
	else
		forwarder_drop(f, a->frame, DROP_ENTRY_BUSY);
}

/* Rule 3 on a 4-tuple that talks to one backend: which of its sessions does not matter. */
static void forward_unknown_cid(struct forwarder *f, struct arrival *a, const struct client_path *client,
				const struct quic_cid *dcid, bool is_short)
{
	const struct path_entry *path = &client->path;
	struct session session;

	if (path->owner != f->worker) {
		forwarder_hand_over(f, a->frame, path->owner);
		return;
	}
	if (dcid->len > 0 && session_read(f->state, path->session, &session) &&
	    !(session.flags & SESSION_CONFIRMED) && is_guessed(&session)) {
		forwarder_drop(f, a->frame, DROP_UNKNOWN_CID);
		return;
	}
	guess_count(f, &a->tuple, dcid);
	if (is_short)
		session_offer_alias(&f->sessions, path->session, dcid);
	forward_known(f, a, path->session, client->slot, path, false, is_short);
}

/*
 * Rule 3 on a 4-tuple with several backends: the only session whose CID length
 * fits and that has no alias yet. Each backend's newest session stands for it.
 */
struct fitting {
	uint32_t session, path_slot;
	struct path_entry path;
	uint8_t cid_len;
	unsigned count;
};

static void fitting_try(struct forwarder *f, uint32_t path_slot, const struct path_entry *path, size_t len,
			struct fitting *fitting)
{
	struct session session;
	struct cid_entry cid;

	if (path->flags & PATH_ABSENT || !session_read(f->state, path->session, &session) ||
	    session.cid_len == CID_LEN_UNKNOWN || session.cid_len == 0 ||
	    1u + session.cid_len + SHORT_BEHIND_DCID_MIN > len)
		return;
	for (unsigned i = 0; i < session.cid_count; i++)
		if (cid_read(f->state, session.cids[i], &cid) && cid.kind == CID_ALIAS)
			return;
	fitting->session = path->session;
	fitting->path_slot = path_slot;
	fitting->path = *path;
	fitting->cid_len = session.cid_len;
	fitting->count++;
}

static void forward_ambiguous(struct forwarder *f, struct arrival *a, const struct client_path *client)
{
	struct fitting fitting = { .count = 0 };
	struct path_entry path;
	struct quic_cid dcid;
	uint32_t slot;

	if (client->path.owner != f->worker) {
		forwarder_hand_over(f, a->frame, client->path.owner);
		return;
	}
	for (unsigned ordinal = 0; ordinal <= PATH_SIBLINGS_MAX; ordinal++)
		if (path_find_ordinal(f->state, &a->tuple, ordinal, &slot, &path))
			fitting_try(f, slot, &path, a->len, &fitting);
	if (fitting.count != 1) {
		if (foreign_short(f, a, f->worker, false))
			return;
		/* Its length is not known: as long as a guess can be. */
		dcid = quic_cid_make(a->payload + 1, QUIC_ORIGINAL_DCID_MIN - 1);
		guess_count(f, &a->tuple, &dcid);
		forwarder_drop(f, a->frame, DROP_AMBIGUOUS_4TUPLE);
		return;
	}
	dcid = quic_cid_make(a->payload + 1, fitting.cid_len);
	guess_count(f, &a->tuple, &dcid);
	session_offer_alias(&f->sessions, fitting.session, &dcid);
	forward_known(f, a, fitting.session, fitting.path_slot, &fitting.path, false, true);
}

/* --- short headers ------------------------------------------------------------------------------ */

/* A short header's DCID, by the next shorter CID length in use; begin with *len past the longest. False: there is none. */
static bool next_dcid(const struct forwarder *f, const struct arrival *a, unsigned *len, struct quic_cid *dcid)
{
	uint32_t lengths = __atomic_load_n(&f->state->globals->cid_lengths, __ATOMIC_RELAXED);

	while (--*len > 0)
		if (lengths & 1u << *len && 1 + *len + SHORT_BEHIND_DCID_MIN <= a->len) {
			*dcid = quic_cid_make(a->payload + 1, *len);
			return true;
		}
	return false;
}

static bool short_on_tuple(struct on_tuple *on, const struct arrival *a)
{
	struct quic_cid dcid;

	for (unsigned len = CID_LEN_MAX + 1; next_dcid(on->f, a, &len, &dcid);)
		if (on_tuple_find(on, &dcid))
			return true;
	return false;
}

/* The session that a short header's DCID of 8 bytes or more names, wherever its client was. */
static uint32_t short_anywhere(const struct forwarder *f, const struct arrival *a)
{
	struct quic_cid dcid;

	for (unsigned len = CID_LEN_MAX + 1; next_dcid(f, a, &len, &dcid) && len >= QUIC_ORIGINAL_DCID_MIN;) {
		uint32_t session = cid_find(f->state, &dcid);

		if (session != SLOT_NONE)
			return session;
	}
	return SLOT_NONE;
}

/* Those that hold what may be its DCID of less than 8 bytes. */
static struct holders short_holders(const struct forwarder *f, const struct arrival *a)
{
	struct holders holders = { .f = f, .session = SLOT_NONE };
	struct quic_cid dcid;

	for (unsigned len = QUIC_ORIGINAL_DCID_MIN; next_dcid(f, a, &len, &dcid);)
		cid_find_where(f->state, &dcid, holders_count, &holders);
	return holders;
}

static bool inline_cid_matches(const struct path_entry *path, const struct arrival *a)
{
	return path->cid_len > 0 && 1u + path->cid_len + SHORT_BEHIND_DCID_MIN <= a->len &&
	       memcmp(path->cid, a->payload + 1, path->cid_len) == 0;
}

static void short_on_known_tuple(struct forwarder *f, struct arrival *a, const struct client_path *client)
{
	struct on_tuple on = { .f = f, .tuple = &a->tuple, .session = SLOT_NONE };
	struct quic_cid dcid;
	uint32_t session;
	uint8_t len;

	if (client->path.siblings == 0 && inline_cid_matches(&client->path, a)) {
		forward_known(f, a, client->path.session, client->slot, &client->path, true, true);
		return;
	}
	if (short_on_tuple(&on, a)) {
		forward_known(f, a, on.session, on.path_slot, &on.path, true, true);
		return;
	}
	session = short_anywhere(f, a);
	if (session != SLOT_NONE) {
		migrate(f, a, session, client);
		return;
	}
	if (client->path.siblings) {
		forward_ambiguous(f, a, client);
		return;
	}
	len = __atomic_load_n(&f->state->backends[client->path.backend].cid_len, __ATOMIC_RELAXED);
	if (len == CID_LEN_UNKNOWN || 1u + len + SHORT_BEHIND_DCID_MIN > a->len)
		len = 0;
	dcid = quic_cid_make(a->payload + 1, len);
	forward_unknown_cid(f, a, client, &dcid, true);
}

static void client_short(struct forwarder *f, struct arrival *a, const struct client_path *client)
{
	struct holders holders;
	uint32_t session;

	if (a->len < 1 + SHORT_BEHIND_DCID_MIN) {
		forwarder_drop(f, a->frame, DROP_MALFORMED_SHORT);
		return;
	}
	if (client->known) {
		short_on_known_tuple(f, a, client);
		return;
	}
	session = short_anywhere(f, a);
	if (session != SLOT_NONE) {
		migrate(f, a, session, client);
		return;
	}
	holders = short_holders(f, a);
	if (holders.count == 1)
		migrate(f, a, holders.session, client);
	else if (!foreign_short(f, a, forwarder_tuple_owner(f, &a->tuple), holders.count > 0))
		forwarder_drop(f, a->frame, holders.count ? DROP_AMBIGUOUS_4TUPLE : DROP_UNKNOWN_CID);
}

/* --- long headers ------------------------------------------------------------------------------- */

/* Rules 1 and 2. True: the frame is done with. */
static bool long_known(struct forwarder *f, struct arrival *a, const struct client_path *client,
		       const struct quic_long *packet)
{
	struct on_tuple on = { .f = f, .tuple = &a->tuple, .session = SLOT_NONE };
	uint32_t session;

	if (client->known) {
		session = cid_find_original(f->state, &a->tuple, &packet->dcid);
		if (session != SLOT_NONE)
			on_tuple_try(&on, session);
		if (on.session != SLOT_NONE) {
			forward_known(f, a, session, on.path_slot, &on.path, false, false);
			return true;
		}
		if (packet->dcid.len && on_tuple_find(&on, &packet->dcid)) {
			forward_known(f, a, on.session, on.path_slot, &on.path, true, false);
			return true;
		}
	}
	if (packet->dcid.len < QUIC_ORIGINAL_DCID_MIN)
		return false;
	session = cid_find(f->state, &packet->dcid);
	if (session == SLOT_NONE)
		return false;
	migrate(f, a, session, client);
	return true;
}

static void client_long(struct forwarder *f, struct arrival *a, const struct client_path *client,
			const struct quic_long *packet)
{
	uint32_t owner;

	if (long_known(f, a, client, packet))
		return;
	owner = client->known ? client->path.owner : forwarder_tuple_owner(f, &a->tuple);
	if (owner != f->worker) {
		forwarder_hand_over(f, a->frame, owner);
		return;
	}
	if (first_flight_continue(f, a, packet))
		return;
	/*
	 * A zero-length DCID, or a handshake with a CID that we missed: the only
	 * session it can be. quic-go's client takes up a CID that came in 0.5-RTT
	 * even for its Initials; below 8 bytes they can open nothing.
	 */
	if (client->known && !client->path.siblings &&
	    (packet->dcid.len == 0 || packet->type == QUIC_HANDSHAKE ||
	     (packet->type == QUIC_INITIAL && packet->dcid.len < QUIC_ORIGINAL_DCID_MIN))) {
		forward_unknown_cid(f, a, client, &packet->dcid, false);
		return;
	}
	if (client->known)
		guess_count(f, &a->tuple, &packet->dcid);
	if (packet->type == QUIC_INITIAL)
		first_flight(f, a, packet);
	else if (packet->type == QUIC_OTHER_VERSION)
		first_flight_unknown_version(f, a, packet);
	else if (packet->type != QUIC_HANDSHAKE || !foreign_long(f, a, packet))
		forwarder_drop(f, a->frame, DROP_NOT_INITIAL);
}

void from_client(struct forwarder *f, struct arrival *a)
{
	struct client_path client;
	struct quic_long packet;

	client.known = path_find(f->state, &a->tuple, &client.slot, &client.path);
	switch (quic_parse(&packet, a->payload, a->len)) {
	case QUIC_SHORT:
		client_short(f, a, &client);
		break;
	case QUIC_LONG:
		client_long(f, a, &client, &packet);
		break;
	case QUIC_TRUNCATED:
	case QUIC_CID_TOO_LONG:
		forwarder_drop(f, a->frame, DROP_MALFORMED_LONG);
		break;
	}
}
