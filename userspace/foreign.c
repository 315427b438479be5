/* SPDX-License-Identifier: MIT */
/*
 * foreign: a packet of a connection that no session here holds, but whose DCID
 * names its server (QUIC-LB): the client took up a new CID at a new address, or
 * another relay, or this one before it lost its tables, had the connection. See
 * forwarder.h. Worker thread; datagrams are hostile, and nothing authenticates a
 * CID: what is opened here is unconfirmed (docs/lookup.md), and limited by source
 * and in all. A flood of random CIDs costs a decoding each, and no other worker
 * anything.
 */
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

/* One more session a second than OPENED_PER_S_PART of all? By the generic cell rate algorithm, as source_limit. */
static bool rate_take(struct forwarder *f)
{
	uint64_t per_s = f->sessions.count / OPENED_PER_S_PART, interval_ns = 1000000000ull / (per_s ? per_s : 1);

	if (f->foreign_next_ns < f->now_ns)
		f->foreign_next_ns = f->now_ns;
	if (f->foreign_next_ns + interval_ns > f->now_ns + 1000000000ull)
		return false;
	f->foreign_next_ns += interval_ns;
	return true;
}

static void open_session(struct forwarder *f, struct arrival *a, uint32_t backend, const struct quic_cid *dcid)
{
	const struct destination to = {
		.backend = backend,
		.preserve = f->quic_lb_preserve >> quic_lb_rotation(dcid->bytes) & 1,
	};
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
	} else if ((verdict = session_open(&f->sessions, &a->tuple, NULL, &to, nexthop, f->now_s, &slot)) != SESSION_OK) {
		forwarder_drop(f, a->frame, forwarder_refusal(verdict));
	} else {
		f->counters->events[EVENT_QUIC_LB_OPENED]++;
		session_adopt_cid(&f->sessions, slot, dcid);
		forwarder_to_session(f, a, slot);
	}
}

/* On a 4-tuple that has a path to this server already, the client took up a new CID; else it gets one. */
static void forward(struct forwarder *f, struct arrival *a, uint32_t backend, const struct quic_cid *dcid,
		    bool is_short)
{
	struct path_entry path;
	uint32_t slot;

	if (!path_find_backend(f->state, &a->tuple, backend, &slot, &path)) {
		open_session(f, a, backend, dcid);
		return;
	}
	if (is_short)
		session_offer_alias(&f->sessions, path.session, dcid);
	forwarder_account(f, path.session, a);
	forwarder_to_backend(f, a, slot, &path);
}

bool foreign_short(struct forwarder *f, struct arrival *a, uint32_t owner)
{
	size_t available = a->len - 1 - SHORT_BEHIND_DCID_MIN;
	struct quic_cid dcid;
	uint32_t backend;
	unsigned len, whole;

	if (!name_server(f, a->payload + 1, available, &backend, &len))
		return false;
	if (owner != f->worker) {
		forwarder_hand_over(f, a->frame, owner);
		return true;
	}
	/* The server may append bytes of its own: as many as a handshake showed, if we saw one. */
	whole = __atomic_load_n(&f->state->backends[backend].cid_len, __ATOMIC_RELAXED);
	dcid = quic_cid_make(a->payload + 1, whole <= CID_LEN_MAX && whole > len && whole <= available ? whole : len);
	forward(f, a, backend, &dcid, true);
	return true;
}

bool foreign_long(struct forwarder *f, struct arrival *a, const struct quic_long *packet)
{
	uint32_t backend;
	unsigned len;

	if (!name_server(f, packet->dcid.bytes, packet->dcid.len, &backend, &len))
		return false;
	forward(f, a, backend, &packet->dcid, false);
	return true;
}
