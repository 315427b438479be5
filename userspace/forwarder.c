/* SPDX-License-Identifier: MIT */
/*
 * forwarder: see forwarder.h. What both directions share: classifying a
 * frame, sending, dropping, handing over. Worker thread; frames are hostile.
 */
#include "forwarder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Read by other processes at any time. */
static void gauge_store(__u32 *gauge, uint32_t value)
{
	__atomic_store_n(gauge, value, __ATOMIC_RELAXED);
}

int forwarder_init(struct forwarder *forwarder, struct state *state, const struct forwarder_options *options)
{
	uint64_t seed;
	int error;

	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		return -ENOMEM;
	*forwarder = (struct forwarder){
		.state = state,
		.counters = &state->worker_counters[options->worker].counters,
		.gauges = &state->worker_counters[options->worker].gauges,
		.worker = options->worker,
		.workers = options->workers,
		.pending_ns = options->pending_seconds * 1000000000ull,
		.limit = malloc(sizeof(*forwarder->limit)),
		.icmp_limit = malloc(sizeof(*forwarder->icmp_limit)),
		.scratch = calloc(1, sizeof(*forwarder->scratch)),
		.crypto = hello_crypto_new(),
	};
	if (options->quic_lb) {
		forwarder->quic_lb = options->quic_lb;
		forwarder->quic_lb_preserve = options->quic_lb_preserve;
		forwarder->quic_lb_crypto = quic_lb_crypto_new(options->quic_lb);
	}
	if (options->ask_cids)
		forwarder->strays = stray_table_new(&state->hash_key, options->workers,
						    options->new_sessions_per_s_per_source, (uint32_t)seed);
	if (!forwarder->limit || !forwarder->icmp_limit || !forwarder->scratch || !forwarder->crypto ||
	    (forwarder->quic_lb && !forwarder->quic_lb_crypto) || (options->ask_cids && !forwarder->strays)) {
		forwarder_end(forwarder);
		return -ENOMEM;
	}
	gauge_store(&forwarder->gauges->flights_max, options->pending_handshakes);
	source_limit_init(forwarder->limit, &state->hash_key, options->new_sessions_per_s_per_source);
	icmp_limit_init(forwarder->icmp_limit, &state->hash_key);
	error = session_pool_init(&forwarder->sessions, state, forwarder->counters, options->worker, options->workers,
				  options->aliases_per_session, seed);
	if (!error)
		error = flight_table_init(&forwarder->flights, options->pending_handshakes,
					  options->pending_bytes_per_handshake, &state->hash_key);
	if (error)
		forwarder_end(forwarder);
	/* Not those of the relay before: its questions may still be answered. */
	forwarder->flights.serial = (uint32_t)(seed >> 32);
	return error;
}

void forwarder_end(struct forwarder *forwarder)
{
	flight_table_end(&forwarder->flights);
	session_pool_end(&forwarder->sessions);
	hello_crypto_free(forwarder->crypto);
	quic_lb_crypto_free(forwarder->quic_lb_crypto);
	stray_table_free(forwarder->strays);
	free(forwarder->scratch);
	free(forwarder->icmp_limit);
	free(forwarder->limit);
	*forwarder = (struct forwarder){ 0 };
}

void forwarder_session_end(struct forwarder *f, uint32_t slot, uint32_t generation)
{
	struct session session;

	if (slot < f->sessions.first || slot - f->sessions.first >= f->sessions.count ||
	    !session_read(f->state, slot, &session) || session.generation != generation)
		return;
	f->counters->events[EVENT_SESSION_ENDED]++;
	session_close(&f->sessions, slot);
}

void forwarder_set_limits(struct forwarder *f, const struct forwarder_options *options)
{
	f->sessions.aliases_max = options->aliases_per_session;
	f->pending_ns = options->pending_seconds * 1000000000ull;
	source_limit_set(f->limit, options->new_sessions_per_s_per_source);
	if (f->strays)
		source_limit_set(&f->strays->limit, options->new_sessions_per_s_per_source);
}

void forwarder_drop(struct forwarder *f, struct frame *frame, enum drop_reason reason)
{
	f->counters->drops[reason]++;
	frame_give(f->pool, frame->umem_addr);
}

void forwarder_hand_over(struct forwarder *f, struct frame *frame, uint32_t to)
{
	forwarder_hand_over_shared(f, frame, to, &(struct shared_session){ .backend = SLOT_NONE });
}

void forwarder_hand_over_shared(struct forwarder *f, struct frame *frame, uint32_t to,
				const struct shared_session *shared)
{
	struct handover *handover = ring_space(f->to_workers[to]);

	if (!handover) {
		forwarder_drop(f, frame, DROP_HANDOVER_FULL);
		return;
	}
	handover->len_bytes = (uint16_t)frame->len_bytes;
	handover->interface = frame->interface;
	handover->shared = *shared;
	memcpy(handover->frame, frame->data, frame->len_bytes);
	ring_push(f->to_workers[to]);
	f->counters->events[EVENT_HANDED_OVER]++;
	frame_give(f->pool, frame->umem_addr);
}

static const enum drop_reason rewrite_drops[] = {
	[REWRITE_TTL_EXPIRED] = DROP_TTL_EXPIRED,
	[REWRITE_EGRESS_MTU] = DROP_EGRESS_MTU,
	[REWRITE_NO_NEXTHOP] = DROP_NO_NEXTHOP,
	[REWRITE_FAMILY_MISMATCH] = DROP_FAMILY_MISMATCH,
};

/* The bytes in hand begin and end elsewhere in their chunk now. */
static void follow_packet(struct arrival *a)
{
	/* Mostly not: and a store to a part of what is copied as a whole right after holds the copy up. */
	if (a->packet.frame == a->frame->data && a->packet.frame_len_bytes == a->frame->len_bytes)
		return;
	a->frame->umem_addr += (uint64_t)(a->packet.frame - a->frame->data);
	a->frame->data = a->packet.frame;
	a->frame->len_bytes = a->packet.frame_len_bytes;
}

/*
 * Slot of the way to the sender of what goes along a path in this direction. *own: the address to answer from, which is
 * the one that it was sent to, if that is ours.
 */
static uint16_t way_back(const struct forwarder *f, uint32_t path_slot, enum direction direction, struct addr *own)
{
	const struct backend *backend;
	struct path_entry path;
	struct reply_entry reply;
	uint32_t slot;

	if (path_slot >= f->state->paths.slots || !path_read(f->state, path_slot, &path))
		return NEXTHOP_NONE;
	if (direction == TO_BACKEND)
		return path_reply(f->state, path_slot, &path, &slot, &reply) ? reply.nexthop : NEXTHOP_NONE;
	backend = &f->state->backends[path.backend];
	if (path.relay_address == RELAY_ADDRESS_CLIENT)
		*own = f->state->relay_addresses[backend->relay_address].address;
	return backend->nexthop;
}

/* A datagram above the egress MTU ends here, and its frame takes the answer to its sender. */
static void answer_too_big(struct forwarder *f, struct arrival *a, uint16_t mtu, uint32_t path_slot,
			   enum direction direction)
{
	struct addr own = a->packet.dst;
	uint16_t back = way_back(f, path_slot, direction, &own);
	struct nexthop nexthop;

	if (mtu == 0 || !entry_read(&f->state->nexthops[back], &nexthop, sizeof(nexthop), NULL) ||
	    !(nexthop.flags & NEXTHOP_RESOLVED)) {
		forwarder_drop(f, a->frame, DROP_EGRESS_MTU);
		return;
	}
	if (!icmp_may_answer(f->icmp_limit, &a->packet.src, f->now_ns)) {
		f->counters->events[EVENT_TOO_BIG_LIMITED]++;
		forwarder_drop(f, a->frame, DROP_EGRESS_MTU);
		return;
	}
	icmp_too_big(&a->packet, mtu, &own, &nexthop);
	follow_packet(a);
	f->counters->drops[DROP_EGRESS_MTU]++;
	if (outbox_put(f->outbox, a->frame, nexthop.interface))
		f->counters->events[EVENT_TOO_BIG_SENT]++;
	else
		frame_give(f->pool, a->frame->umem_addr);
}

static bool forwarder_send(struct forwarder *f, struct arrival *a, const struct rewrite *rewrite,
			   enum direction direction, uint32_t path_slot)
{
	struct nexthop nexthop;
	enum rewrite_verdict verdict = rewrite_frame(&a->packet, rewrite, &nexthop);

	if (verdict == REWRITE_EGRESS_MTU) {
		answer_too_big(f, a, icmp_mtu(&a->packet, addr_is_v4(rewrite->dst), nexthop.mtu_bytes), path_slot,
			       direction);
		return false;
	}
	if (verdict != REWRITE_DONE) {
		forwarder_drop(f, a->frame, rewrite_drops[verdict]);
		return false;
	}
	follow_packet(a);
	if (!outbox_put(f->outbox, a->frame, nexthop.interface)) {
		forwarder_drop(f, a->frame, DROP_NO_TX_FRAME);
		return false;
	}
	f->counters->forwarded[direction].packets++;
	f->counters->forwarded[direction].bytes += a->frame->len_bytes;
	return true;
}

/* path_slot: SLOT_NONE when the frame is not from the path's client. */
static bool to_backend(struct forwarder *f, struct arrival *a, uint32_t path_slot, const struct path_entry *path)
{
	const struct backend *backend = &f->state->backends[path->backend];
	struct rewrite rewrite = {
		.nexthop = &f->state->nexthops[backend->nexthop],
		.src = path_source(f->state, path),
		.src_port_be = path->relay_port_be,
		.dst = &backend->address,
		.dst_port_be = backend->port_be,
	};

	return forwarder_send(f, a, &rewrite, TO_BACKEND, path_slot);
}

bool forwarder_to_backend(struct forwarder *f, struct arrival *a, uint32_t path_slot, const struct path_entry *path)
{
	struct path_entry *entry = table_at(&f->state->paths, path_slot);

	last_seen_set(&entry->last_seen_s, f->now_s);
	return to_backend(f, a, path_slot, path);
}

bool forwarder_to_backend_unseen(struct forwarder *f, struct arrival *a, const struct path_entry *path)
{
	return to_backend(f, a, SLOT_NONE, path);
}

bool forwarder_to_client(struct forwarder *f, struct arrival *a, uint32_t reply_slot,
			 const struct reply_entry *reply)
{
	struct reply_entry *entry = table_at(&f->state->replies, reply_slot);
	struct endpoint endpoint;
	struct rewrite rewrite = {
		.nexthop = &f->state->nexthops[reply->nexthop],
		.src = &endpoint.address,
		.dst = &reply->client,
		.dst_port_be = reply->client_port_be,
	};

	if (!endpoint_read(f->state, reply->endpoint, &endpoint)) {
		forwarder_drop(f, a->frame, DROP_UNKNOWN_RELAY_PORT);
		return false;
	}
	rewrite.src_port_be = endpoint.port_be;
	last_seen_set(&entry->last_seen_s, f->now_s);
	return forwarder_send(f, a, &rewrite, TO_CLIENT, reply->path);
}

void forwarder_account(struct forwarder *f, uint32_t session_slot, const struct arrival *a)
{
	struct session session;
	struct quic_long packet;
	enum quic_verdict verdict;

	if (!session_read(f->state, session_slot, &session) || session.flags & SESSION_CONFIRMED)
		return;
	session.client_bytes += (uint32_t)a->len;
	verdict = quic_parse(&packet, a->payload, a->len);
	if (verdict == QUIC_SHORT)
		session.flags |= SESSION_CLIENT_SHORT;
	else if (verdict == QUIC_LONG && packet.type == QUIC_INITIAL && packet.token_len > 0)
		session.flags |= SESSION_TOKEN;
	session_write(&f->sessions, session_slot, &session);
}

void forwarder_to_session(struct forwarder *f, struct arrival *a, uint32_t session_slot)
{
	struct path_entry path;
	struct session session;

	if (!session_read(f->state, session_slot, &session) || !path_read(f->state, session.paths[0], &path)) {
		forwarder_drop(f, a->frame, DROP_ENTRY_BUSY);
		return;
	}
	forwarder_account(f, session_slot, a);
	forwarder_to_backend(f, a, session.paths[0], &path);
}

uint32_t forwarder_tuple_owner(const struct forwarder *f, const struct tuple *tuple)
{
	return (uint32_t)((tuple_hash(f->state, tuple) >> 32) % f->workers);
}

enum nexthop_verdict forwarder_nexthop(struct forwarder *f, const struct addr *client, uint16_t *slot)
{
	enum nexthop_verdict verdict = f->nexthop_find(f->nexthop_context, client, slot);
	struct nexthop_request *request;

	if (verdict != NEXTHOP_WANTED)
		return verdict;
	request = ring_space(f->to_steward);
	if (request) {
		request->client = *client;
		ring_push(f->to_steward);
		f->counters->events[EVENT_NEXTHOP_WANTED]++;
	}
	return verdict;
}

uint32_t forwarder_scid_hash(const struct forwarder *f, const struct quic_cid *cid)
{
	return (uint32_t)cid_hash(&f->state->hash_key, cid->bytes, cid->len, 0) | 1;
}

enum drop_reason forwarder_refusal(enum session_verdict verdict)
{
	switch (verdict) {
	case SESSION_PORTS_EXHAUSTED:
		return DROP_PORTS_EXHAUSTED;
	case SESSION_TABLE_FULL:
		return DROP_TABLE_FULL;
	case SESSION_PATHS_UNANSWERED:
		return DROP_UNANSWERED_PATHS;
	case SESSION_POOL_FULL:
	case SESSION_OK:
		break;
	}
	return DROP_SESSIONS_FULL;
}

static const enum drop_reason packet_drops[] = {
	[PACKET_NOT_OURS] = DROP_TRUNCATED,
	[PACKET_TRUNCATED] = DROP_TRUNCATED,
	[PACKET_BAD_IP_HEADER] = DROP_BAD_IP_HEADER,
	[PACKET_BAD_UDP_LENGTH] = DROP_BAD_UDP_LENGTH,
	[PACKET_FRAGMENT] = DROP_FRAGMENT,
};

bool forwarder_arrive(struct forwarder *f, struct frame *frame, struct arrival *a)
{
	enum packet_verdict verdict;

	*a = (struct arrival){ .frame = frame };
	verdict = packet_parse(&a->packet, frame->data, frame->len_bytes);
	if (verdict != PACKET_UDP) {
		forwarder_drop(f, frame, packet_drops[verdict]);
		return false;
	}
	a->payload = packet_payload(&a->packet);
	a->len = a->packet.payload_len_bytes;
	if (a->len == 0) {
		forwarder_drop(f, frame, DROP_EMPTY_DATAGRAM);
		return false;
	}
	if (endpoint_find(f->state, &a->packet.dst, a->packet.dst_port_be, &a->endpoint_slot, &a->endpoint)) {
		a->tuple = (struct tuple){ a->packet.src, a->packet.src_port_be, (uint16_t)a->endpoint_slot };
		return true;
	}
	/* To a client itself. Or the endpoint was ours when the program looked, and is not any more. */
	if (!endpoint_is_relay_port(f->state, a->packet.dst_port_be) ||
	    !endpoint_find(f->state, &a->packet.dst, 0, &a->endpoint_slot, &a->endpoint))
		a->endpoint.relay_address = RELAY_ADDRESS_CLIENT;
	from_backend(f, a);
	return false;
}

void forwarder_handle(struct forwarder *forwarder, struct frame *frame)
{
	struct arrival a;

	if (forwarder_arrive(forwarder, frame, &a))
		from_client(forwarder, &a);
}

void forwarder_cid_report(struct forwarder *forwarder, const struct cid_report *report)
{
	struct path_entry path;
	struct quic_cid cid;

	if (report->len > CID_LEN_MAX || report->path >= forwarder->state->paths.slots ||
	    !path_read(forwarder->state, report->path, &path) || path.session != report->session ||
	    path.owner != forwarder->worker)
		return;
	cid = quic_cid_make(report->cid, report->len);
	session_offer_alias(&forwarder->sessions, path.session, &cid);
}

void forwarder_housekeeping(struct forwarder *forwarder, uint32_t session_slots)
{
	first_flight_housekeeping(forwarder);
	foreign_housekeeping(forwarder);
	session_housekeeping(&forwarder->sessions, forwarder->now_s, session_slots);
	gauge_store(&forwarder->gauges->flights, forwarder->flights.used);
	gauge_store(&forwarder->gauges->frames_free, forwarder->pool->free_count);
}
