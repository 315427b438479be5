/* SPDX-License-Identifier: MIT */
/*
 * from_backend: a datagram for one of our relay ports, or for a client whose own
 * address its backend sees: which client is it for, and which connection ID does
 * its backend go by? See forwarder.h. Worker
 * thread. A backend is trusted no more than a client: it may only speak for
 * its own sessions.
 */
#include "forwarder.h"

/*
 * The session of this path that a long header is for: its DCID is the SCID that
 * the client chose. The newest one when none matches (zero-length client CIDs
 * are all alike).
 */
static uint32_t session_of_reply(const struct forwarder *f, const struct path_entry *path,
				 const struct quic_cid *dcid)
{
	uint32_t scid = forwarder_scid_hash(f, dcid), slot = path->session;
	struct session session;

	for (unsigned i = 0; i < SESSIONS_PER_PATH && session_read(f->state, slot, &session); i++) {
		if (session.client_scid == scid)
			return slot;
		slot = session.older;
	}
	return path->session;
}

/* RFC 9000 s7.2: the client takes up the SCID of the server's first Initial, or of its Retry. */
static void learn(struct forwarder *f, uint32_t session, const struct quic_long *packet)
{
	switch (packet->type) {
	case QUIC_RETRY:
		f->counters->events[EVENT_RETRY]++;
		break;
	case QUIC_VERSION_NEG:
		f->counters->events[EVENT_VERSION_NEGOTIATION]++;
		return;
	case QUIC_INITIAL:
	case QUIC_HANDSHAKE:
		break;
	default:
		return;
	}
	if (session != SLOT_NONE)
		session_learn_cid(&f->sessions, session, &packet->scid, packet->type == QUIC_RETRY);
}

/*
 * A client that showed no token: its backend keeps the limit by itself until
 * the handshake has proved the address. That it sends more is our proof too,
 * for a client that never uses the CID we saw: quic-go's takes up at once one
 * that came in 0.5-RTT. Not before a short header of the client, which the end
 * of a handshake brings: a backend that keeps no limit gains nothing sooner.
 * Nor where the handshake was elsewhere: there the limit is long gone.
 */
static bool validated_by_backend(const struct session *session)
{
	return (session->flags & (SESSION_TOKEN | SESSION_FOREIGN | SESSION_CLIENT_SHORT)) == SESSION_CLIENT_SHORT;
}

/*
 * RFC 9000 s8.1, for those who cannot: all clients share our address, so the
 * backend's tokens prove nothing, and what a spoofed client gets is on us. That
 * the path is confirmed frees short headers alone: it may be by another session,
 * whose client is elsewhere and only sends from here.
 */
static bool may_amplify(struct forwarder *f, const struct path_entry *path, uint32_t session_slot, size_t len,
			bool is_short)
{
	struct session session;

	if ((is_short && path->flags & PATH_CONFIRMED) || !session_read(f->state, session_slot, &session) ||
	    session.flags & SESSION_CONFIRMED)
		return true;
	if (is_short && session.flags & SESSION_CID_EMPTY && session.flags & SESSION_CLIENT_SHORT) {
		session_confirm(&f->sessions, session_slot, f->now_s);
		return true;
	}
	if (session.sent_bytes + (uint64_t)len > 3ull * session.client_bytes) {
		if (!validated_by_backend(&session))
			return false;
		session_confirm(&f->sessions, session_slot, f->now_s);
		return true;
	}
	session.sent_bytes += (uint32_t)len;
	session_write(&f->sessions, session_slot, &session);
	return true;
}

static void mark_answered(struct forwarder *f, uint32_t slot, struct reply_entry *reply)
{
	if (reply->flags & REPLY_ANSWERED)
		return;
	reply->flags |= REPLY_ANSWERED;
	entry_write(table_at(&f->state->replies, slot), reply, sizeof(*reply));
}

void from_backend(struct forwarder *f, struct arrival *a)
{
	bool is_short = !(a->payload[0] & 0x80);
	const struct reply_key key = {
		.backend = a->packet.src,
		.client = a->packet.dst,
		.backend_port_be = a->packet.src_port_be,
		.relay_port_be = a->packet.dst_port_be,
		.relay_address = a->endpoint.relay_address,
	};
	struct reply_entry reply;
	struct path_entry path;
	struct quic_long packet;
	uint32_t slot, session;

	if (!reply_find(f->state, &key, &slot, &reply)) {
		forwarder_drop(f, a->frame, DROP_UNKNOWN_RELAY_PORT);
		return;
	}
	if (is_short && reply.flags & REPLY_CONFIRMED) {
		forwarder_to_client(f, a, slot, &reply);
		return;
	}
	if (reply.path >= f->state->paths.slots || !path_read(f->state, reply.path, &path)) {
		forwarder_drop(f, a->frame, DROP_ENTRY_BUSY);
		return;
	}
	if (path.owner != f->worker) {
		forwarder_hand_over(f, a->frame, path.owner);
		return;
	}
	if (!is_short && quic_parse(&packet, a->payload, a->len) != QUIC_LONG) {
		forwarder_drop(f, a->frame, DROP_MALFORMED_LONG);
		return;
	}
	session = is_short ? path.session : session_of_reply(f, &path, &packet.dcid);
	if (!may_amplify(f, &path, session, a->len, is_short)) {
		forwarder_drop(f, a->frame, DROP_AMPLIFICATION);
		return;
	}
	mark_answered(f, slot, &reply);
	if (!is_short)
		learn(f, session, &packet);
	forwarder_to_client(f, a, slot, &reply);
}
