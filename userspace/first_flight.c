/* SPDX-License-Identifier: MIT */
/*
 * first_flight: from an Initial of no known connection to a session, through
 * SNI and route; and what is held meanwhile. See forwarder.h. Worker thread;
 * datagrams are hostile: before the SNI is there only the bounded flight
 * table remembers anything.
 */
#include <stdio.h>
#include <string.h>

#include "forwarder.h"

/* Less asks a busy control process the same again; more makes a client wait so long after one that was lost. */
enum { ASK_AGAIN_NS = 500 * 1000 * 1000 };

static const enum drop_reason hello_drops[] = {
	[HELLO_NOT_INITIAL] = DROP_NOT_INITIAL,
	[HELLO_UNSUPPORTED_VERSION] = DROP_UNSUPPORTED_VERSION,
	[HELLO_MALFORMED_PACKET] = DROP_MALFORMED_LONG,
	[HELLO_DECRYPT_FAILED] = DROP_DECRYPT_FAILED,
	[HELLO_BAD_CRYPTO] = DROP_BAD_CRYPTO,
	[HELLO_BAD_CLIENT_HELLO] = DROP_BAD_CLIENT_HELLO,
};

/* Garbage with a flight's DCID must not end the flight; what authenticated and is wrong does. */
static bool verdict_ends_flight(enum hello_verdict verdict)
{
	return verdict == HELLO_BAD_CRYPTO || verdict == HELLO_BAD_CLIENT_HELLO;
}

/* Sends what a flight holds, in order, each datagram whole. */
static void release_held(struct forwarder *f, const struct flight *flight, uint32_t session_slot)
{
	const uint8_t *held;
	uint16_t len, interface;

	for (uint32_t at = 0; flight_next(flight, &at, &held, &len, &interface);) {
		struct frame frame;
		struct arrival a = { .frame = &frame };

		if (!frame_take(f->pool, &frame)) {
			f->counters->drops[DROP_NO_TX_FRAME]++;
			continue;
		}
		memcpy(frame.data, held, len);
		frame.len_bytes = len;
		frame.interface = interface;
		if (packet_parse(&a.packet, frame.data, len) != PACKET_UDP) {
			forwarder_drop(f, &frame, DROP_TRUNCATED);
			continue;
		}
		a.payload = packet_payload(&a.packet);
		a.len = a.packet.payload_len_bytes;
		forwarder_to_session(f, &a, session_slot);
	}
}

/* A full ring loses the note, not the packet. */
static void note_session(struct forwarder *f, const struct tuple *tuple, uint32_t backend, const char *name)
{
	struct session_note *note = f->notes ? ring_space(f->notes) : NULL;

	if (!note)
		return;
	note->client = tuple->client;
	note->client_port_be = tuple->client_port_be;
	note->backend = backend;
	snprintf(note->name, sizeof(note->name), "%s", name);
	ring_push(f->notes);
}

/* --- which backend --------------------------------------------------------------------------------- */

static const char *name_of(const struct hello *hello)
{
	return hello->name[0] ? hello->name : NULL;
}

enum choice { CHOICE_BACKEND, CHOICE_ASK, CHOICE_NONE };

/* What a name leads to for this client. CHOICE_NONE: *reason says why; else *route is set. */
static enum choice choose(struct forwarder *f, const struct tuple *tuple, const char *name, struct destination *to,
			  const struct route **route, enum drop_reason *reason)
{
	*route = route_lookup(f->routes, name);
	if (!*route) {
		*reason = DROP_NO_ROUTE;
		return CHOICE_NONE;
	}
	*to = (struct destination){
		.backend = SLOT_NONE,
		.route = (*route)->id,
		.pinned = (*route)->pinned,
		.preserve = (*route)->preserve,
	};
	if ((*route)->ask)
		return CHOICE_ASK;
	to->backend = route_choose(*route, &tuple->client, tuple->client_port_be);
	if (to->backend != SLOT_NONE)
		return CHOICE_BACKEND;
	*reason = DROP_NO_BACKEND;
	return CHOICE_NONE;
}

/* A full ring, or nobody there to answer: it is asked again. */
static void ask(struct forwarder *f, struct flight *flight, const struct route *route)
{
	struct question *question = ring_space(f->questions);

	flight->asked_ns = f->now_ns;
	if (!question)
		return;
	question->id = (uint64_t)f->worker << 56 | flight_id(&f->flights, flight);
	question->client = flight->tuple.client;
	question->client_port_be = flight->tuple.client_port_be;
	snprintf(question->route, sizeof(question->route), "%s", route->fqdn);
	ring_push(f->questions);
	f->counters->events[EVENT_QUESTION]++;
}

/* A session of this flight, if the way to the client is known. *session_slot is set with SESSION_OK only. */
static enum nexthop_verdict open_session(struct forwarder *f, const struct tuple *tuple, const struct hello *hello,
					 uint32_t client_scid, const struct destination *to,
					 enum session_verdict *verdict, uint32_t *session_slot)
{
	struct session session;
	uint16_t nexthop;
	enum nexthop_verdict way = forwarder_nexthop(f, &tuple->client, &nexthop);

	if (way != NEXTHOP_FOUND)
		return way;
	*verdict = session_open(&f->sessions, tuple, &hello->original_dcid, to, nexthop, f->now_s, session_slot);
	if (*verdict == SESSION_OK && session_read(f->state, *session_slot, &session)) {
		note_session(f, tuple, to->backend, hello->name);
		session.client_scid = client_scid;
		session_write(&f->sessions, *session_slot, &session);
	}
	return way;
}

/* --- flights --------------------------------------------------------------------------------------- */

/* Copies the frame in hand into the flight; the frame itself is done with. */
static void hold(struct forwarder *f, struct flight *flight, struct arrival *a)
{
	if (!flight_hold(&f->flights, flight, a->packet.frame, (uint16_t)a->packet.frame_len_bytes,
			 a->frame->interface))
		forwarder_drop(f, a->frame, DROP_PENDING_BYTES);
	else
		frame_give(f->pool, a->frame->umem_addr);
}

static struct flight *flight_new(struct forwarder *f, const struct tuple *tuple, uint32_t client_scid)
{
	bool evicted;
	struct flight *flight = flight_open(&f->flights, tuple, f->scratch, f->now_ns, &evicted);

	if (evicted)
		f->counters->drops[DROP_PENDING_FULL]++;
	f->counters->events[EVENT_FLIGHT_OPENED]++;
	flight->client_scid = client_scid;
	return flight;
}

/* The flight, if there is one, and the frame in hand come to nothing. */
static void give_up(struct forwarder *f, struct arrival *a, struct flight *flight, enum drop_reason reason)
{
	if (flight)
		flight_close(&f->flights, flight);
	forwarder_drop(f, a->frame, reason);
}

/* What the frame in hand and those held before it wait for. */
static struct flight *wait_for(struct forwarder *f, struct arrival *a, struct flight *flight, uint32_t client_scid,
			       const struct destination *to, enum flight_wait wait)
{
	if (!flight)
		flight = flight_new(f, &a->tuple, client_scid);
	flight->to = *to;
	flight_wait(&f->flights, flight, wait);
	hold(f, flight, a);
	return flight;
}

/*
 * The ClientHello is complete: route, session, and off. flight: what is held,
 * or NULL when the first datagram told everything. The frame in hand comes last.
 */
static void decide(struct forwarder *f, struct arrival *a, struct flight *flight, uint32_t client_scid)
{
	const struct hello *hello = flight ? &flight->hello : f->scratch;
	enum session_verdict verdict = SESSION_OK;
	const struct route *route;
	enum nexthop_verdict way;
	struct destination to;
	enum drop_reason reason;
	uint32_t slot;

	switch (choose(f, &a->tuple, name_of(hello), &to, &route, &reason)) {
	case CHOICE_NONE:
		give_up(f, a, flight, reason);
		return;
	case CHOICE_ASK:
		ask(f, wait_for(f, a, flight, client_scid, &to, FLIGHT_ANSWER), route);
		return;
	case CHOICE_BACKEND:
		break;
	}
	way = open_session(f, &a->tuple, hello, client_scid, &to, &verdict, &slot);
	if (way == NEXTHOP_WANTED) {
		wait_for(f, a, flight, client_scid, &to, FLIGHT_NEXTHOP);
		return;
	}
	if (way == NEXTHOP_NO_ROUTE || verdict != SESSION_OK) {
		give_up(f, a, flight, way == NEXTHOP_NO_ROUTE ? DROP_NO_NEXTHOP : forwarder_refusal(verdict));
		return;
	}
	if (flight) {
		f->counters->events[EVENT_FLIGHT_RELEASED]++;
		release_held(f, flight, slot);
		flight_close(&f->flights, flight);
	}
	forwarder_to_session(f, a, slot);
}

bool first_flight_continue(struct forwarder *f, struct arrival *a, const struct quic_long *packet)
{
	struct flight *flight = flight_find(&f->flights, &a->tuple, &packet->dcid);
	enum hello_verdict verdict;

	if (!flight)
		return false;
	if (flight->wait != FLIGHT_HELLO) {
		hold(f, flight, a);
		return true;
	}
	verdict = hello_feed(&flight->hello, f->crypto, a->payload, a->len);
	switch (verdict) {
	case HELLO_SNI:
	case HELLO_NO_SNI:
		decide(f, a, flight, flight->client_scid);
		break;
	case HELLO_INCOMPLETE:
	case HELLO_NOT_INITIAL: /* 0-RTT that nobody here can read: it waits for the rest */
		hold(f, flight, a);
		break;
	default:
		if (verdict_ends_flight(verdict))
			flight_close(&f->flights, flight);
		forwarder_drop(f, a->frame, hello_drops[verdict]);
	}
	return true;
}

/* RFC 9000 s14.1 and s7.2; our own addresses would be a loop. */
static bool may_open(struct forwarder *f, struct arrival *a, const struct quic_long *packet)
{
	struct endpoint own;
	uint32_t slot;

	if (a->len < QUIC_INITIAL_DATAGRAM_MIN)
		forwarder_drop(f, a->frame, DROP_INITIAL_TOO_SMALL);
	else if (packet->dcid.len < QUIC_ORIGINAL_DCID_MIN)
		forwarder_drop(f, a->frame, DROP_DCID_TOO_SHORT);
	else if (endpoint_find(f->state, &a->tuple.client, 0, &slot, &own))
		forwarder_drop(f, a->frame, DROP_LOOP);
	else if (!source_limit_take(f->limit, &a->tuple.client, f->now_ns))
		forwarder_drop(f, a->frame, DROP_SOURCE_RATE);
	else
		return true;
	return false;
}

void first_flight(struct forwarder *f, struct arrival *a, const struct quic_long *packet)
{
	uint32_t client_scid = forwarder_scid_hash(f, &packet->scid);
	enum hello_verdict verdict;

	if (!may_open(f, a, packet))
		return;
	hello_begin(f->scratch, &packet->dcid);
	verdict = hello_feed(f->scratch, f->crypto, a->payload, a->len);
	switch (verdict) {
	case HELLO_SNI:
	case HELLO_NO_SNI:
		decide(f, a, NULL, client_scid);
		break;
	case HELLO_INCOMPLETE:
		hold(f, flight_new(f, &a->tuple, client_scid), a);
		break;
	case HELLO_DECRYPT_FAILED: /* a later Initial of a connection from elsewhere: its keys are not of this DCID */
		if (foreign_long(f, a, packet))
			break;
		/* fallthrough */
	default:
		forwarder_drop(f, a->frame, hello_drops[verdict]);
	}
}

/* The default route's server answers with Version Negotiation (RFC 9000 s6.1). */
void first_flight_unknown_version(struct forwarder *f, struct arrival *a, const struct quic_long *packet)
{
	if (!route_lookup(f->routes, NULL)) {
		forwarder_drop(f, a->frame, DROP_UNSUPPORTED_VERSION);
		return;
	}
	if (!may_open(f, a, packet))
		return;
	hello_begin(f->scratch, &packet->dcid);
	decide(f, a, NULL, forwarder_scid_hash(f, &packet->scid));
}

/* --- what flights waited for ----------------------------------------------------------------------- */

/* The backend is known; the way to the client was not, or is asked for now. */
static void try_to_open(struct forwarder *f, struct flight *flight)
{
	enum session_verdict verdict = SESSION_OK;
	enum nexthop_verdict way;
	uint32_t slot;

	flight_wait(&f->flights, flight, FLIGHT_NEXTHOP);
	way = open_session(f, &flight->tuple, &flight->hello, flight->client_scid, &flight->to, &verdict, &slot);
	if (way == NEXTHOP_WANTED)
		return;
	if (way == NEXTHOP_FOUND && verdict == SESSION_OK) {
		f->counters->events[EVENT_FLIGHT_RELEASED]++;
		release_held(f, flight, slot);
	} else {
		f->counters->drops[way == NEXTHOP_NO_ROUTE ? DROP_NO_NEXTHOP : forwarder_refusal(verdict)]++;
	}
	flight_close(&f->flights, flight);
}

/* No answer yet: the question or the answer may be lost, or the route is another by now. */
static void ask_again(struct forwarder *f, struct flight *flight)
{
	const struct route *route;
	enum drop_reason reason;

	switch (choose(f, &flight->tuple, name_of(&flight->hello), &flight->to, &route, &reason)) {
	case CHOICE_ASK:
		ask(f, flight, route);
		break;
	case CHOICE_BACKEND:
		try_to_open(f, flight);
		break;
	case CHOICE_NONE:
		f->counters->drops[reason]++;
		flight_close(&f->flights, flight);
	}
}

void forwarder_answer(struct forwarder *f, uint64_t id, uint32_t backend)
{
	struct flight *flight = flight_of_id(&f->flights, id & ~(0xffull << 56));

	if (!flight || flight->wait != FLIGHT_ANSWER || question_worker(id) != f->worker)
		return;
	if (backend != SLOT_NONE) {
		flight->to.backend = backend;
		try_to_open(f, flight);
		return;
	}
	f->counters->drops[DROP_NOT_ALLOCATED]++;
	flight_close(&f->flights, flight);
}

void first_flight_housekeeping(struct forwarder *f)
{
	struct flight *flight, *newer;

	while ((flight = flight_oldest(&f->flights)) && f->now_ns - flight->opened_ns > f->pending_ns) {
		f->counters->drops[flight->wait == FLIGHT_ANSWER ? DROP_NOT_ALLOCATED : DROP_PENDING_TIMEOUT]++;
		flight_close(&f->flights, flight);
	}
	for (; flight && f->flights.waiting > 0; flight = newer) {
		newer = flight_newer(&f->flights, flight);
		if (flight->wait == FLIGHT_NEXTHOP)
			try_to_open(f, flight);
		else if (flight->wait == FLIGHT_ANSWER && f->now_ns - flight->asked_ns > ASK_AGAIN_NS)
			ask_again(f, flight);
	}
}
