/* SPDX-License-Identifier: MIT */
/*
 * sluice_xdp: forwards established QUIC traffic in both directions, hands what
 * needs thought to the workers, and leaves everything that is not ours alone.
 *
 * Runs in the driver's receive path, on every CPU at once, also while no
 * process of ours lives. Frames are hostile; of the maps only what the relay
 * wrote is trusted, and it may change at any time.
 *
 *     parse -> ours? -> alive? -> whole? --> relay port: from a backend --+
 *                                        \-> listener:   from a client ---+-> forward, punt or drop
 *
 * Ours is also a reply to a client whose own address its backend sees
 * (client_ip: preserve): to an address of nobody here, but of a known path.
 *
 * That is `handle`. Before it `plain` forwards what can be forwarded without
 * anything out of the ordinary.
 */
#include "maps.h"
#include "clock.h"
#include "parse.h"
#include "lookup.h"
#include "decide.h"
#include "forward.h"
#include "translate.h"

char program_license[] SEC("license") = "Dual MIT/GPL";

#define QUIC_LONG_HEADER 0x80 /* RFC 8999 s5.1 */

ALWAYS_INLINE int is_relay_port(const struct globals *g, __be16 port_be)
{
	__u16 port = bpf_ntohs(port_be);

	return (port >= READ_ONCE(g->relay_ports[0]) && port <= READ_ONCE(g->relay_ports[1])) ||
	       (port >= READ_ONCE(g->relay_ports[2]) && port <= READ_ONCE(g->relay_ports[3]));
}

ALWAYS_INLINE struct reply_key reply_key_of(const struct packet *packet, __u32 relay_address)
{
	return (struct reply_key){
		.backend = packet->src,
		.client = packet->dst,
		.backend_port_be = packet->src_port_be,
		.relay_port_be = packet->dst_port_be,
		.relay_address = relay_address,
	};
}

/* A reply to a client itself is as one to a relay address, whose slot is the reply's. */
ALWAYS_INLINE enum lookup find_client_reply(const struct packet *packet, struct endpoint_view *endpoint)
{
	struct reply_key key = reply_key_of(packet, RELAY_ADDRESS_CLIENT);

	endpoint->slot = reply_probe_client(&key);
	endpoint->kind = ENDPOINT_RELAY;
	endpoint->relay_address = RELAY_ADDRESS_CLIENT;
	return endpoint->slot == SLOT_NONE ? LOOKUP_ABSENT : LOOKUP_FOUND;
}

/* Port 0 stands for relay addresses in the table, and is nobody's on the wire (RFC 6335 s6). */
ALWAYS_INLINE enum lookup find_endpoint(const struct globals *g, const struct packet *packet,
					struct endpoint_view *endpoint)
{
	enum lookup found;

	if (packet->dst_port_be == 0)
		return LOOKUP_ABSENT;
	found = endpoint_find(&packet->dst, packet->dst_port_be, endpoint);
	if (found == LOOKUP_ABSENT && is_relay_port(g, packet->dst_port_be))
		found = endpoint_find(&packet->dst, 0, endpoint);
	if (found == LOOKUP_ABSENT && READ_ONCE(g->features) & FEATURE_CLIENT_IP)
		found = find_client_reply(packet, endpoint);
	return found;
}

enum header { HEADER_SHORT = DROP_REASON_COUNT, HEADER_LONG }; /* or why not, an enum drop_reason */

/* RFC 8999 s5: the first bit alone tells; the fixed bit may be 0 (RFC 9287). */
ALWAYS_INLINE __u32 quic_header(const struct packet *packet)
{
	const __u8 *payload = (void *)(packet->udp + 1);

	if (packet->payload_len == 0 || (void *)(payload + 1) > packet->data_end)
		return DROP_EMPTY_DATAGRAM;
	if (*payload & QUIC_LONG_HEADER)
		return HEADER_LONG;
	if (packet->payload_len < SHORT_BEYOND_DCID || (void *)(payload + SHORT_BEYOND_DCID) > packet->data_end)
		return DROP_MALFORMED_SHORT;
	return HEADER_SHORT;
}

/* Both ends of a way are of one family, unless an entry has just changed hands. */
ALWAYS_INLINE __u32 way_verdict(const struct packet *packet, const struct way *way)
{
	if (addr_is_v4(&way->src) != addr_is_v4(&way->dst))
		return VERDICT_PUNT;
	return addr_is_v4(&way->dst) == packet->v4 ? VERDICT_FORWARD : VERDICT_TRANSLATE;
}

/* The way from a path's relay port, or from its client as it is, to its backend. */
ALWAYS_INLINE __u32 way_to_backend(const struct packet *packet, const struct path_view *path, struct way *way)
{
	struct backend *backend = array_at(&backends, path->backend);
	struct relay_address *relay = array_at(&relay_addresses, path->relay_address);
	__u16 seq;

	if (!backend)
		return VERDICT_PUNT;
	seq = entry_begin(&backend->head);
	way->dst = addr_read(&backend->address);
	way->dst_port_be = READ_ONCE(backend->port_be);
	way->nexthop = READ_ONCE(backend->nexthop);
	if (entry_end(&backend->head, seq) != LOOKUP_FOUND)
		return VERDICT_PUNT;
	/* RELAY_ADDRESS_CLIENT has no slot, and nothing else has none. */
	way->src = relay ? addr_read(&relay->address) : packet->src;
	way->src_port_be = path->relay_port_be;
	way->last_seen_s = &path->entry->last_seen_s;
	way->was_seen_s = path->last_seen_s;
	return way_verdict(packet, way);
}

ALWAYS_INLINE void query_fill(struct client_query *q, const struct globals *g, const struct packet *packet,
			      const struct path_key *key, const struct dcid *dcid, __u32 now_s)
{
	__builtin_memset(q, 0, sizeof(*q));
	q->key = *key;
	q->payload_len = packet->payload_len;
	q->dcid = *dcid;
	q->cid_lengths = READ_ONCE(g->cid_lengths);
	q->now_s = now_s;
}

/* Follows the CID of a packet on a known 4-tuple; *path may become a sibling of the default one. */
ALWAYS_INLINE __u32 follow_cid(struct client_query *q, const struct dcid *dcid, struct path_view *path)
{
	struct path_entry *e;
	__u16 seq;

	q->path = path->slot;
	q->session = path->session;
	q->backend = path->backend;
	q->flags = path->flags;
	q->siblings = path->siblings;
	q->sessions = path->sessions;
	if (decide_known(q) != DECIDE_FORWARD)
		return VERDICT_PUNT;
	if (q->path == path->slot)
		return VERDICT_FORWARD;
	e = array_at(&paths, q->path);
	if (!e)
		return VERDICT_PUNT;
	seq = entry_begin(&e->head);
	/* The slot may have changed hands since; the session tells. */
	if (path_copy(e, seq, dcid, path) != LOOKUP_FOUND || path->session != q->session)
		return VERDICT_PUNT;
	path->slot = q->path;
	return VERDICT_FORWARD;
}

ALWAYS_INLINE __u32 from_client(const struct globals *g, const struct packet *packet, __u32 endpoint, __u32 now_s,
				struct way *way)
{
	__u32 idle_s = READ_ONCE(g->idle_timeout_s), header = quic_header(packet);
	struct path_key key = { packet->src, packet->src_port_be, endpoint, 0 };
	struct client_query q;
	struct path_view path = {};
	struct dcid dcid;
	enum lookup found;

	if (header < DROP_REASON_COUNT)
		return header;
	if (header == HEADER_LONG || !(READ_ONCE(g->features) & FEATURE_KERNEL_PATH))
		return VERDICT_PUNT;
	dcid = dcid_read((void *)(packet->udp + 1) + 1);
	found = path_find(&key, path_key_hash(&key), &dcid, &path);
	if (found == LOOKUP_BUSY)
		return VERDICT_PUNT;
	/* With siblings the default entry only leads to the others: each has its own idle time and state. */
	if (found == LOOKUP_ABSENT || (!path.siblings && !within(now_s, path.last_seen_s, idle_s))) {
		query_fill(&q, g, packet, &key, &dcid, now_s);
		if (decide_unknown(&q) == DECIDE_UNKNOWN && !(READ_ONCE(g->features) & FEATURE_FOREIGN_CIDS))
			return DROP_UNKNOWN_CID;
		return VERDICT_PUNT;
	}
	if (!path.siblings && !(path.flags & PATH_CONFIRMED))
		return VERDICT_PUNT;
	if (!path.cid_matches || (path.siblings && path.cid_len < CID_GLOBAL_MIN)) {
		query_fill(&q, g, packet, &key, &dcid, now_s);
		if (follow_cid(&q, &dcid, &path) != VERDICT_FORWARD)
			return VERDICT_PUNT;
	}
	if ((path.flags & (PATH_CONFIRMED | PATH_ABSENT)) != PATH_CONFIRMED || !within(now_s, path.last_seen_s, idle_s))
		return VERDICT_PUNT;
	return way_to_backend(packet, &path, way);
}

/* The reply's own stamp first: the path's line is read only when the backend has been silent. */
ALWAYS_INLINE int reply_is_idle(const struct reply_view *reply, __u32 now_s, __u32 idle_s)
{
	struct path_entry *path;

	if (within(now_s, reply->last_seen_s, idle_s))
		return 0;
	path = array_at(&paths, reply->path);
	return !path || !within(now_s, READ_ONCE(path->last_seen_s), idle_s);
}

/* A relay port by its number, but a socket of this host has it: no path was given it. */
ALWAYS_INLINE int host_has_port(__be16 port_be)
{
	__u32 port = bpf_ntohs(port_be);
	__u64 *word = array_at(&host_ports, port / 64);

	return word && READ_ONCE(*word) >> (port % 64) & 1;
}

/* The listener, as whom a reply goes on. False: not a QUIC listener's, or not to be read. */
ALWAYS_INLINE int way_from_listener(const struct reply_view *reply, struct way *way)
{
	struct endpoint *endpoint = array_at(&endpoints, reply->endpoint);
	__u16 seq;
	__u8 kind;

	if (!endpoint)
		return 0;
	seq = entry_begin(&endpoint->head);
	way->src = addr_read(&endpoint->address);
	way->src_port_be = READ_ONCE(endpoint->port_be);
	kind = READ_ONCE(endpoint->kind);
	return entry_end(&endpoint->head, seq) == LOOKUP_FOUND && kind == ENDPOINT_QUIC;
}

/* The rest of the way to the client of a reply. */
ALWAYS_INLINE __u32 way_to_client(const struct packet *packet, const struct reply_view *reply, struct way *way)
{
	way->dst = reply->client;
	way->dst_port_be = reply->client_port_be;
	way->nexthop = reply->nexthop;
	way->last_seen_s = &reply->entry->last_seen_s;
	way->was_seen_s = reply->last_seen_s;
	return way_verdict(packet, way);
}

/* It may be to a socket of this host, and not to a path. */
ALWAYS_INLINE int may_be_hosts(const struct packet *packet, const struct endpoint_view *to)
{
	return to->kind == ENDPOINT_RELAY && to->relay_address != RELAY_ADDRESS_CLIENT &&
	       host_has_port(packet->dst_port_be);
}

ALWAYS_INLINE __u32 from_backend(const struct globals *g, const struct packet *packet, const struct endpoint_view *to,
				 __u32 now_s, struct way *way)
{
	struct reply_key key = reply_key_of(packet, to->relay_address);
	struct reply_view reply = {};
	enum lookup found;
	__u32 header;

	if (to->relay_address == RELAY_ADDRESS_CLIENT)
		found = reply_read_client(to->slot, &key, &reply);
	else
		found = reply_find(&key, reply_port_hash(&key), &reply);
	if (found == LOOKUP_BUSY)
		return VERDICT_PUNT;
	if (found == LOOKUP_ABSENT)
		return may_be_hosts(packet, to) ? VERDICT_PASS : DROP_UNKNOWN_RELAY_PORT;
	if (!way_from_listener(&reply, way))
		return VERDICT_PUNT;
	header = quic_header(packet);
	if (header < DROP_REASON_COUNT)
		return header;
	if (header == HEADER_LONG || !(READ_ONCE(g->features) & FEATURE_KERNEL_PATH) ||
	    !(reply.flags & REPLY_CONFIRMED) || reply_is_idle(&reply, now_s, READ_ONCE(g->idle_timeout_s)))
		return VERDICT_PUNT;
	return way_to_client(packet, &reply, way);
}

/*
 * Inlined once for each IP version, so that what depends on it is decided at
 * compile time. The views are cleared for the verifier's sake: the compiler
 * would carry values along that no path uses, and that nothing has set.
 */
ALWAYS_INLINE int handle(struct xdp_md *ctx, const struct globals *g, struct packet *packet)
{
	struct endpoint_view endpoint = {};
	__u32 now_s, direction, verdict;
	enum lookup found = find_endpoint(g, packet, &endpoint);
	struct way way = {};

	if (found == LOOKUP_ABSENT)
		return XDP_PASS;
	now_s = seconds_now();
	/* Nobody has been there for long: better the kernel's answers than none for ever. */
	if (!within(now_s, READ_ONCE(g->heartbeat_s), READ_ONCE(g->restart_grace_s)))
		return XDP_PASS;
	verdict = parse_check(packet);
	/* A fragment, say, for a socket of this host in the relay's range. */
	if (verdict != NO_DEFECT)
		return may_be_hosts(packet, &endpoint) ? XDP_PASS : drop(verdict);
	direction = found == LOOKUP_FOUND && endpoint.kind == ENDPOINT_RELAY ? TO_CLIENT : TO_BACKEND;
	if (found == LOOKUP_BUSY)
		verdict = VERDICT_PUNT;
	else if (endpoint.kind == ENDPOINT_RELAY)
		verdict = from_backend(g, packet, &endpoint, now_s, &way);
	else if (endpoint.kind == ENDPOINT_QUIC)
		verdict = from_client(g, packet, endpoint.slot, now_s, &way);
	else
		verdict = VERDICT_PUNT;
	if (verdict == VERDICT_FORWARD)
		return forward(ctx, packet, &way, direction, now_s);
	if (verdict == VERDICT_TRANSLATE)
		return forward_translated(ctx, packet, &way, direction, now_s);
	if (verdict == VERDICT_PUNT)
		return punt(ctx, direction);
	if (verdict == VERDICT_PASS)
		return XDP_PASS;
	return drop(verdict);
}

/* --- the same for nearly all packets ------------------------------------------------------------ */

/*
 * A short header of an established session, as it nearly always is: nothing
 * between Ethernet, IP and UDP; the CID of its path; one IP family on both sides.
 * It takes no decision but to forward, and nothing is written before it is taken:
 * what is not so, or not certain, `handle` begins anew. So it has few values to
 * keep in registers, no call but the redirect's, and the hash, which all tables
 * wait for, before the checks that wait for none: 13 of 82 ns a packet less, of
 * which 23 are an empty program's (docs/bench.md).
 */
enum { NOT_PLAIN = -1 };

/* What a session's packet must be, whoever sends it. */
ALWAYS_INLINE int plain_may_go(const struct globals *g, struct packet *packet, __u32 now_s)
{
	return within(now_s, READ_ONCE(g->heartbeat_s), READ_ONCE(g->restart_grace_s)) &&
	       parse_check(packet) == NO_DEFECT && quic_header(packet) == HEADER_SHORT;
}

/* The compiler would move it to where it is used. */
ALWAYS_INLINE __u64 hash_now(__u64 hash)
{
	__asm__ volatile("" : "+r"(hash));
	return hash;
}

ALWAYS_INLINE int plain_send(struct xdp_md *ctx, const struct packet *packet, const struct way *way, __u32 direction,
			     __u32 now_s)
{
	struct nexthop_view nexthop = {};
	int action = XDP_TX;

	if (way_out(ctx, way->nexthop, packet->ttl, packet->ip_len, &nexthop, &action) != VERDICT_FORWARD)
		return NOT_PLAIN;
	rewrite(packet, way, &nexthop, counters(), direction, now_s);
	return action;
}

ALWAYS_INLINE int plain_from_client(struct xdp_md *ctx, const struct globals *g, struct packet *packet, __u32 endpoint,
				    __u32 now_s)
{
	struct path_key key = { packet->src, packet->src_port_be, endpoint, 0 };
	__u64 hash = hash_now(path_key_hash(&key));
	struct path_view path = {};
	struct way way = {};
	struct dcid dcid;

	if (!plain_may_go(g, packet, now_s))
		return NOT_PLAIN;
	dcid = dcid_read((void *)(packet->udp + 1) + 1);
	if (path_find(&key, hash, &dcid, &path) != LOOKUP_FOUND || !path.cid_matches || path.siblings ||
	    (path.flags & (PATH_CONFIRMED | PATH_ABSENT)) != PATH_CONFIRMED ||
	    !within(now_s, path.last_seen_s, READ_ONCE(g->idle_timeout_s)) ||
	    way_to_backend(packet, &path, &way) != VERDICT_FORWARD)
		return NOT_PLAIN;
	return plain_send(ctx, packet, &way, TO_BACKEND, now_s);
}

ALWAYS_INLINE int plain_from_backend(struct xdp_md *ctx, const struct globals *g, struct packet *packet,
				     __u32 relay_address, __u32 now_s)
{
	struct reply_key key = {
		.backend = packet->src,
		.backend_port_be = packet->src_port_be,
		.relay_port_be = packet->dst_port_be,
		.relay_address = relay_address,
	};
	__u64 hash = hash_now(reply_port_hash(&key));
	struct reply_view reply = {};
	struct way way = {};

	if (!plain_may_go(g, packet, now_s) || reply_find(&key, hash, &reply) != LOOKUP_FOUND ||
	    !(reply.flags & REPLY_CONFIRMED) || !within(now_s, reply.last_seen_s, READ_ONCE(g->idle_timeout_s)) ||
	    !way_from_listener(&reply, &way) || way_to_client(packet, &reply, &way) != VERDICT_FORWARD)
		return NOT_PLAIN;
	return plain_send(ctx, packet, &way, TO_CLIENT, now_s);
}

ALWAYS_INLINE int plain(struct xdp_md *ctx, const struct globals *g, const int v4)
{
	struct endpoint_view endpoint = {};
	struct packet packet;
	enum lookup found;
	__u32 now_s;

	if (!(READ_ONCE(g->features) & FEATURE_KERNEL_PATH) || !seconds_known(&now_s) ||
	    !parse_plain(&packet, ctx, v4, SHORT_BEYOND_DCID))
		return NOT_PLAIN;
	found = endpoint_find_first(&packet.dst, packet.dst_port_be, &endpoint);
	if (found == LOOKUP_FOUND && endpoint.kind == ENDPOINT_QUIC)
		return plain_from_client(ctx, g, &packet, endpoint.slot, now_s);
	if (found == LOOKUP_ABSENT && is_relay_port(g, packet.dst_port_be) &&
	    endpoint_find_first(&packet.dst, 0, &endpoint) == LOOKUP_FOUND && endpoint.kind == ENDPOINT_RELAY)
		return plain_from_backend(ctx, g, &packet, endpoint.relay_address, now_s);
	return NOT_PLAIN;
}

SEC("xdp")
int sluice_xdp(struct xdp_md *ctx)
{
	struct globals *g = array_at(&globals, 0);
	struct packet packet;
	int action = NOT_PLAIN;

	if (!g)
		return XDP_PASS;
	switch (parse_ethernet(&packet, ctx)) {
	case bpf_htons(ETH_P_IP):
		action = plain(ctx, g, 1);
		break;
	case bpf_htons(ETH_P_IPV6):
		action = plain(ctx, g, 0);
		break;
	}
	if (action != NOT_PLAIN)
		return action;
	/* Nothing is shared with the above, which would have to keep it. */
	__asm__ volatile("" : "+r"(ctx), "+r"(g));
	switch (parse_ethernet(&packet, ctx)) {
	case bpf_htons(ETH_P_IP):
		return parse_ipv4(&packet) < 0 ? XDP_PASS : handle(ctx, g, &packet);
	case bpf_htons(ETH_P_IPV6):
		return parse_ipv6(&packet, ctx) < 0 ? XDP_PASS : handle(ctx, g, &packet);
	default:
		return XDP_PASS;
	}
}
