/* SPDX-License-Identifier: MIT */
/*
 * foreign: a packet of a connection that no session here holds, but whose DCID
 * names its server (QUIC-LB), or that another relay may know (docs/sharing.md): the
 * client took up a new CID at a new address, or another relay, or this one before
 * it lost its tables, had the connection. See forwarder.h. Worker thread;
 * datagrams are hostile, and nothing authenticates a CID: what is opened here is
 * unconfirmed (docs/lookup.md), and limited by source and in all. A flood of random
 * CIDs costs a decoding each, few questions, and no other worker anything.
 */
#include <string.h>

#include "forwarder.h"

enum {
	/*
	 * Sessions opened here a second: this part of a worker's share of them. More
	 * lets a flood of CIDs with a known server ID drive out the unconfirmed sessions
	 * of new clients (those of 10 s are 5/8 of all); less makes the clients of a
	 * relay that died wait: with all sessions taken over, the last one for 16 s.
	 */
	OPENED_PER_S_PART = 16,
};

/* Whose CID is it? Counts those that are nobody's. */
static bool name_server(struct forwarder *f, const uint8_t *cid, size_t available, uint32_t *backend, unsigned *len)
{
	if (!f->quic_lb)
		return false;
	switch (quic_lb_decode(f->quic_lb, f->quic_lb_crypto, cid, available, backend, len)) {
	case QUIC_LB_SERVER:
		return true;
	case QUIC_LB_UNROUTABLE:
		f->counters->events[EVENT_QUIC_LB_UNROUTABLE]++;
		break;
	case QUIC_LB_UNKNOWN_CONFIG:
		f->counters->events[EVENT_QUIC_LB_UNKNOWN_CONFIG]++;
		break;
	case QUIC_LB_UNKNOWN_SERVER:
		f->counters->events[EVENT_QUIC_LB_UNKNOWN_SERVER]++;
		break;
	case QUIC_LB_TOO_SHORT: /* the drop that follows counts it */
		break;
	}
	return false;
}

/* What the QUIC-LB configuration of an ID says of its servers. */
static bool preserves(const struct forwarder *f, const uint8_t *cid)
{
	return f->quic_lb_preserve >> quic_lb_rotation(cid) & 1;
}

/* One more session a second than OPENED_PER_S_PART of all? */
static bool rate_take(struct forwarder *f)
{
	uint64_t per_s = f->sessions.count / OPENED_PER_S_PART;

	return gcra_take(&f->foreign_next_ns, 1000000000ull / (per_s ? per_s : 1), 1000000000ull, f->now_ns);
}

static void open_session(struct forwarder *f, struct arrival *a, const struct destination *to,
			 const struct quic_cid *dcid)
{
	enum session_verdict verdict;
	struct endpoint own;
	uint32_t slot;
	uint16_t nexthop;

	if (endpoint_find(f->state, &a->tuple.client, 0, &slot, &own)) {
		forwarder_drop(f, a->frame, DROP_LOOP);
	} else if (!source_limit_take(f->limit, &a->tuple.client, f->now_ns)) {
		forwarder_drop(f, a->frame, DROP_SOURCE_RATE);
	} else if (!rate_take(f)) {
		forwarder_drop(f, a->frame, DROP_FOREIGN_RATE);
	} else if (forwarder_nexthop(f, &a->tuple.client, &nexthop) != NEXTHOP_FOUND) {
		forwarder_drop(f, a->frame, DROP_NO_NEXTHOP); /* it comes again */
	} else if ((verdict = session_open(&f->sessions, &a->tuple, NULL, to, nexthop, f->now_s, &slot)) != SESSION_OK) {
		forwarder_drop(f, a->frame, forwarder_refusal(verdict));
	} else {
		f->counters->events[to->shared ? EVENT_SHARED_OPENED : EVENT_QUIC_LB_OPENED]++;
		session_adopt_cid(&f->sessions, slot, dcid);
		forwarder_to_session(f, a, slot);
	}
}

/* On a 4-tuple that has a path to this server already, the client took up a new CID; else it gets one. */
static void forward(struct forwarder *f, struct arrival *a, const struct destination *to, const struct quic_cid *dcid,
		    bool is_short)
{
	struct path_entry path;
	uint32_t slot;

	if (!path_find_backend(f->state, &a->tuple, to->backend, &slot, &path)) {
		open_session(f, a, to, dcid);
		return;
	}
	if (is_short)
		session_offer_alias(&f->sessions, path.session, dcid);
	forwarder_account(f, path.session, a);
	forwarder_to_backend(f, a, slot, &path);
}

/* --- sessions of other relays -------------------------------------------------------------------------- */

/* Asks for what may be an ID of min_len to max_len bytes, and holds the packet. False: it is not asked for now. */
static bool ask(struct forwarder *f, struct arrival *a, const uint8_t *cid, size_t min_len, size_t max_len)
{
	struct cid_question *question;
	struct quic_cid begin;
	uint64_t mark, id;

	if (!f->strays || max_len < STRAY_CID_MIN || a->packet.frame_len_bytes > STRAY_FRAME_BYTES)
		return false;
	begin = quic_cid_make(cid, STRAY_CID_MIN);
	mark = cid_hash(&f->state->hash_key, begin.bytes, begin.len, tuple_hash(f->state, &a->tuple));
	question = ring_space(f->cid_questions);
	switch (!question ? STRAY_LIMITED :
		stray_hold(f->strays, mark, &a->tuple.client, a->packet.frame, (uint16_t)a->packet.frame_len_bytes,
			   a->frame->interface, f->now_ns, &id)) {
	case STRAY_ASKED:
		return false;
	case STRAY_LIMITED:
		f->counters->events[EVENT_CID_QUESTION_LIMITED]++;
		return false;
	case STRAY_HELD:
		break;
	}
	question->id = (uint64_t)f->worker << 56 | id;
	question->max_len = (uint8_t)(max_len > CID_LEN_MAX ? CID_LEN_MAX : max_len);
	question->min_len = (uint8_t)(min_len > STRAY_CID_MIN ? min_len : STRAY_CID_MIN);
	memset(question->cid, 0, sizeof(question->cid));
	memcpy(question->cid, cid, question->max_len);
	ring_push(f->cid_questions);
	f->counters->events[EVENT_CID_QUESTION]++;
	frame_give(f->pool, a->frame->umem_addr);
	return true;
}

/* The DCID of a packet in hand, of which the answer said how long it is. False: it is none. */
static bool shared_dcid(const struct arrival *a, uint8_t len, struct quic_cid *dcid, bool *is_short)
{
	struct quic_long packet;
	enum quic_verdict verdict = quic_parse(&packet, a->payload, a->len);

	*is_short = verdict == QUIC_SHORT;
	if (verdict == QUIC_LONG)
		*dcid = packet.dcid;
	else if (*is_short && len <= CID_LEN_MAX && 1u + len + SHORT_BEHIND_DCID_MIN <= a->len)
		*dcid = quic_cid_make(a->payload + 1, len);
	else
		return false;
	return dcid->len == len && len >= STRAY_CID_MIN;
}

void forwarder_handle_shared(struct forwarder *f, struct frame *frame, const struct shared_session *shared)
{
	const struct destination to = {
		.backend = shared->backend,
		.route = shared->route,
		.pinned = shared->pinned,
		.shared = true,
	};
	struct path_entry path;
	struct quic_cid dcid;
	struct arrival a;
	uint32_t owner, slot;
	bool is_short;

	if (!forwarder_arrive(f, frame, &a))
		return;
	if (!shared_dcid(&a, shared->cid_len, &dcid, &is_short)) {
		forwarder_drop(f, frame, DROP_UNKNOWN_CID);
		return;
	}
	/* While the answer was on its way, another packet of the connection may have come to know it. */
	if (dcid.len >= QUIC_ORIGINAL_DCID_MIN && cid_find(f->state, &dcid) != SLOT_NONE) {
		from_client(f, &a);
		return;
	}
	owner = path_find(f->state, &a.tuple, &slot, &path) ? path.owner : forwarder_tuple_owner(f, &a.tuple);
	if (owner != f->worker)
		forwarder_hand_over_shared(f, frame, owner, shared);
	else
		forward(f, &a, &to, &dcid, is_short);
}

void forwarder_cid_answer(struct forwarder *f, uint64_t id, const struct shared_session *shared)
{
	struct stray *stray = NULL;
	struct frame frame;

	if (f->strays && question_worker(id) == f->worker)
		stray = stray_of_id(f->strays, id & ~(0xffull << 56));
	if (!stray)
		return;
	if (shared->backend == SLOT_NONE) {
		f->counters->drops[DROP_UNKNOWN_CID]++;
	} else if (!frame_take(f->pool, &frame)) {
		f->counters->drops[DROP_NO_TX_FRAME]++;
	} else {
		memcpy(frame.data, stray->frame, stray->len_bytes);
		frame.len_bytes = stray->len_bytes;
		frame.interface = stray->interface;
		forwarder_handle_shared(f, &frame, shared);
	}
	stray_close(f->strays, stray, shared->backend == SLOT_NONE, f->now_ns);
}

void foreign_housekeeping(struct forwarder *f)
{
	if (f->strays)
		f->counters->drops[DROP_UNKNOWN_CID] += stray_expire(f->strays, f->now_ns);
}

/* --- a DCID that no session holds ------------------------------------------------------------------------ */

bool foreign_short(struct forwarder *f, struct arrival *a, uint32_t owner, bool held)
{
	size_t available = a->len - 1 - SHORT_BEHIND_DCID_MIN;
	struct destination to = { .preserve = preserves(f, a->payload + 1) };
	struct quic_cid dcid;
	unsigned len, whole;

	if (!name_server(f, a->payload + 1, available, &to.backend, &len))
		return !held && ask(f, a, a->payload + 1, STRAY_CID_MIN, available);
	if (owner != f->worker) {
		forwarder_hand_over(f, a->frame, owner);
		return true;
	}
	/* The server may append bytes of its own: as many as a handshake showed, if we saw one. */
	whole = __atomic_load_n(&f->state->backends[to.backend].cid_len, __ATOMIC_RELAXED);
	dcid = quic_cid_make(a->payload + 1, whole <= CID_LEN_MAX && whole > len && whole <= available ? whole : len);
	forward(f, a, &to, &dcid, true);
	return true;
}

bool foreign_long(struct forwarder *f, struct arrival *a, const struct quic_long *packet)
{
	struct destination to = { .preserve = preserves(f, packet->dcid.bytes) };
	unsigned len;

	if (!name_server(f, packet->dcid.bytes, packet->dcid.len, &to.backend, &len))
		return ask(f, a, packet->dcid.bytes, packet->dcid.len, packet->dcid.len);
	forward(f, a, &to, &packet->dcid, false);
	return true;
}
