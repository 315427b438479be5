/* SPDX-License-Identifier: MIT */
/*
 * from_client: a datagram for a quic listener: whose is it, and is its path
 * known? See forwarder.h. Worker thread; datagrams are hostile.
 *
 * The order of look-up, long headers and short:
 *   1. (4-tuple, DCID) of a session, or of a first flight in progress: forward
 *   2. DCID of a session elsewhere, of 8 bytes or more, or on an unknown
 *      4-tuple: the client's address changed: a path of its own
 *   3. 4-tuple known, DCID not: the client took up a CID issued under
 *      encryption: the only session that can be meant
 *   4. an Initial: a first flight. All others: count and drop
 */
#include <string.h>

#include "forwarder.h"

enum {
	/*
	 * RFC 9001 s5.4.2: a packet has at least 4 bytes from the packet number's
	 * first on, and the 16-byte sample behind them.
	 */
	SHORT_BEHIND_DCID_MIN = 4 + 16,
};

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

/* For cid_find_where: is the session's backend one that this 4-tuple talks to? */
struct on_tuple {
	const struct forwarder *f;
	const struct tuple *tuple;
	uint32_t path_slot;
	struct path_entry path;
};

static bool session_on_tuple(void *context, uint32_t session_slot)
{
	struct on_tuple *on = context;
	struct session session;

	return session_read(on->f->state, session_slot, &session) &&
	       path_find_backend(on->f->state, on->tuple, session.backend, &on->path_slot, &on->path) &&
	       has_path(&session, on->path_slot);
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
	if (path_reply(f->state, path, &reply_slot, &reply) && reply.flags & REPLY_ANSWERED)
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
	forwarder_account(f, session_slot, a);
	if (exact && session_read(f->state, session_slot, &session) && !is_guessed(&session))
		session_confirm(&f->sessions, session_slot, f->now_s);
	if (session_read(f->state, session_slot, &session))
		confirm_migrated(f, path_slot, path, &session);
	forwarder_to_backend(f, a, path_slot, path);
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

/* The session that a short header's DCID names, by every CID length in use, longest first. */
static uint32_t short_header_session(struct forwarder *f, struct arrival *a, unsigned len_min,
				     struct on_tuple *on, struct quic_cid *dcid)
{
	uint32_t lengths = __atomic_load_n(&f->state->globals->cid_lengths, __ATOMIC_RELAXED);

	for (unsigned len = CID_LEN_MAX; len >= len_min && len > 0; len--) {
		uint32_t session;

		if (!(lengths & 1u << len) || 1 + len + SHORT_BEHIND_DCID_MIN > a->len)
			continue;
		*dcid = quic_cid_make(a->payload + 1, len);
		session = on ? cid_find_where(f->state, dcid, session_on_tuple, on) : cid_find(f->state, dcid);
		if (session != SLOT_NONE)
			return session;
	}
	return SLOT_NONE;
}

static bool inline_cid_matches(const struct path_entry *path, const struct arrival *a)
{
	return path->cid_len > 0 && 1u + path->cid_len + SHORT_BEHIND_DCID_MIN <= a->len &&
	       memcmp(path->cid, a->payload + 1, path->cid_len) == 0;
}

static void short_on_known_tuple(struct forwarder *f, struct arrival *a, const struct client_path *client)
{
	struct on_tuple on = { .f = f, .tuple = &a->tuple };
	struct quic_cid dcid;
	uint32_t session;
	uint8_t len;

	if (client->path.siblings == 0 && inline_cid_matches(&client->path, a)) {
		forward_known(f, a, client->path.session, client->slot, &client->path, true, true);
		return;
	}
	session = short_header_session(f, a, 1, &on, &dcid);
	if (session != SLOT_NONE) {
		forward_known(f, a, session, on.path_slot, &on.path, true, true);
		return;
	}
	session = short_header_session(f, a, QUIC_ORIGINAL_DCID_MIN, NULL, &dcid);
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
	struct quic_cid dcid;
	uint32_t session;

	if (a->len < 1 + SHORT_BEHIND_DCID_MIN) {
		forwarder_drop(f, a->frame, DROP_MALFORMED_SHORT);
		return;
	}
	if (client->known) {
		short_on_known_tuple(f, a, client);
		return;
	}
	session = short_header_session(f, a, 1, NULL, &dcid);
	if (session != SLOT_NONE)
		migrate(f, a, session, client);
	else
		forwarder_drop(f, a->frame, DROP_UNKNOWN_CID);
}

/* --- long headers ------------------------------------------------------------------------------- */

/* Rules 1 and 2. True: the frame is done with. */
static bool long_known(struct forwarder *f, struct arrival *a, const struct client_path *client,
		       const struct quic_long *packet)
{
	struct on_tuple on = { .f = f, .tuple = &a->tuple };
	uint32_t session;

	if (client->known) {
		session = cid_find_original(f->state, &a->tuple, &packet->dcid);
		if (session != SLOT_NONE && session_on_tuple(&on, session)) {
			forward_known(f, a, session, on.path_slot, &on.path, false, false);
			return true;
		}
		session = packet->dcid.len ? cid_find_where(f->state, &packet->dcid, session_on_tuple, &on) : SLOT_NONE;
		if (session != SLOT_NONE) {
			forward_known(f, a, session, on.path_slot, &on.path, true, false);
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

/* The worker that a 4-tuple without a path belongs to. */
static uint32_t tuple_owner(const struct forwarder *f, const struct tuple *tuple)
{
	return (uint32_t)((tuple_hash(f->state, tuple) >> 32) % f->workers);
}

static void client_long(struct forwarder *f, struct arrival *a, const struct client_path *client,
			const struct quic_long *packet)
{
	uint32_t owner;

	if (long_known(f, a, client, packet))
		return;
	owner = client->known ? client->path.owner : tuple_owner(f, &a->tuple);
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
	else
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
