/* SPDX-License-Identifier: MIT */
/* path: see path.h. */
#include "path.h"

#include <arpa/inet.h>
#include <stdatomic.h>

enum {
	/*
	 * Draws before a backend's ports count as exhausted. At 95 % in use 256
	 * draws miss once in 500,000; each miss reads one table line, so the worst
	 * case is some 10 us, and only near exhaustion.
	 */
	PORT_DRAWS = 256,
};

static bool tuple_matches(const struct path_entry *path, const struct tuple *tuple)
{
	return path->client_port_be == tuple->client_port_be && path->endpoint == tuple->endpoint &&
	       addr_equal(&path->client, &tuple->client);
}

static uint64_t ordinal_hash(const struct state *state, const struct tuple *tuple, unsigned ordinal)
{
	return path_hash(&state->hash_key, &tuple->client, tuple->client_port_be, tuple->endpoint, ordinal);
}

static unsigned path_ordinal(const struct path_entry *path)
{
	return path->flags >> PATH_ORDINAL_SHIFT;
}

struct tuple path_tuple(const struct path_entry *path)
{
	return (struct tuple){ path->client, path->client_port_be, path->endpoint };
}

bool path_find_ordinal(const struct state *state, const struct tuple *tuple, unsigned ordinal, uint32_t *slot,
		       struct path_entry *path)
{
	uint64_t hash = ordinal_hash(state, tuple, ordinal);

	for (uint32_t i = 0; table_next(&state->paths, hash, &i, slot, path);)
		if (tuple_matches(path, tuple) && path_ordinal(path) == ordinal)
			return true;
	return false;
}

bool path_find(const struct state *state, const struct tuple *tuple, uint32_t *slot, struct path_entry *path)
{
	return path_find_ordinal(state, tuple, 0, slot, path);
}

bool path_find_backend(const struct state *state, const struct tuple *tuple, uint32_t backend, uint32_t *slot,
		       struct path_entry *path)
{
	unsigned siblings;

	if (!path_find(state, tuple, slot, path))
		return false;
	if (path->backend == backend && !(path->flags & PATH_ABSENT))
		return true;
	siblings = path->siblings;
	for (unsigned ordinal = 1; ordinal <= PATH_SIBLINGS_MAX; ordinal++)
		if (siblings & 1u << (ordinal - 1) && path_find_ordinal(state, tuple, ordinal, slot, path) &&
		    path->backend == backend)
			return true;
	return false;
}

bool path_read(const struct state *state, uint32_t slot, struct path_entry *path)
{
	return entry_read(table_at(&state->paths, slot), path, sizeof(*path), NULL);
}

struct reply_key reply_key_of(const struct reply_entry *reply)
{
	return (struct reply_key){
		.backend = reply->backend,
		.client = reply->client,
		.backend_port_be = reply->backend_port_be,
		.relay_port_be = reply->relay_port_be,
		.relay_address = reply->relay_address,
	};
}

static bool reply_matches(const struct reply_entry *reply, const struct reply_key *key)
{
	return reply->backend_port_be == key->backend_port_be && reply->relay_port_be == key->relay_port_be &&
	       reply->relay_address == key->relay_address && addr_equal(&reply->backend, &key->backend) &&
	       (key->relay_address != RELAY_ADDRESS_CLIENT || addr_equal(&reply->client, &key->client));
}

bool reply_find(const struct state *state, const struct reply_key *key, uint32_t *slot, struct reply_entry *reply)
{
	uint64_t hash = reply_key_hash(&state->hash_key, key);

	for (uint32_t i = 0; table_next(&state->replies, hash, &i, slot, reply);)
		if (reply_matches(reply, key))
			return true;
	return false;
}

struct reply_key path_reply_key(const struct state *state, const struct path_entry *path)
{
	const struct backend *backend = &state->backends[path->backend];

	return (struct reply_key){
		.backend = backend->address,
		.client = path->client,
		.backend_port_be = backend->port_be,
		.relay_port_be = path->relay_port_be,
		.relay_address = path->relay_address,
	};
}

/* Its own: for a moment a key may be there twice (reply_came_alone). */
bool path_reply(const struct state *state, uint32_t path_slot, const struct path_entry *path, uint32_t *slot,
		struct reply_entry *reply)
{
	const struct reply_key key = path_reply_key(state, path);
	uint64_t hash = reply_key_hash(&state->hash_key, &key);

	for (uint32_t i = 0; table_next(&state->replies, hash, &i, slot, reply);)
		if (reply->path == path_slot && reply_matches(reply, &key))
			return true;
	return false;
}

/* Marsaglia, "Xorshift RNGs", 2003: spreads the draws; the seed is secret, nothing else needs to be. */
static uint32_t draw(uint64_t *random)
{
	*random ^= *random << 13;
	*random ^= *random >> 7;
	*random ^= *random << 17;
	return (uint32_t)(*random >> 16);
}

static bool port_is_hosts(const struct state *state, uint32_t port)
{
	return __atomic_load_n(&state->host_ports[port / 64], __ATOMIC_RELAXED) >> port % 64 & 1;
}

/* A port of this worker's share: host order, or 0 where the draw fell on none. */
static uint16_t port_draw(const struct state *state, struct port_share *share)
{
	const uint16_t *range = state->globals->relay_ports;
	uint32_t first = range[0] ? range[1] - range[0] + 1u : 0;
	uint32_t second = range[2] ? range[3] - range[2] + 1u : 0;
	uint32_t at, port;

	if (first + second == 0)
		return 0;
	at = draw(&share->random) % (first + second);
	port = at < first ? range[0] + at : range[2] + (at - first);
	/* Down to the share's next port; one below the range counts as no port drawn. */
	port -= (port + share->workers - share->worker) % share->workers;
	if (((port >= range[0] && port <= range[1]) || (port >= range[2] && port <= range[3])) &&
	    !port_is_hosts(state, port))
		return (uint16_t)port;
	return 0;
}

/* Claims the slot of an entry whose key is filled in. */
static enum path_verdict reply_claim(struct state *state, const struct reply_key *key, uint32_t *slot)
{
	*slot = table_claim(&state->replies, reply_key_hash(&state->hash_key, key));
	return *slot == SLOT_NONE ? PATH_TABLE_FULL : PATH_OPENED;
}

/* The same for a relay port that is free towards the entry's backend; fills in relay_port_be. */
static enum path_verdict reply_claim_port(struct state *state, struct port_share *share, struct reply_entry *reply,
					  uint32_t *slot)
{
	struct reply_key key = reply_key_of(reply);

	for (int i = 0; i < PORT_DRAWS; i++) {
		struct reply_entry taken;
		uint16_t port = port_draw(state, share);

		key.relay_port_be = htons(port);
		if (port == 0 || reply_find(state, &key, slot, &taken))
			continue;
		reply->relay_port_be = key.relay_port_be;
		return reply_claim(state, &key, slot);
	}
	return PATH_PORTS_EXHAUSTED;
}

/*
 * Is this key, of a client's own port, at another slot than own_slot? Also in
 * an entry that is being written, by whichever worker: it keeps its key. (One
 * that was only just claimed shows what its slot held before: then a path is
 * refused that could be opened, and the client tries again.)
 */
static bool reply_is_elsewhere(const struct state *state, const struct reply_key *key, uint32_t own_slot)
{
	uint64_t hash = reply_key_hash(&state->hash_key, key);

	for (uint32_t i = 0; i < PROBES_MAX; i++) {
		uint32_t slot = table_slot(hash, i, state->replies.slots);
		const struct entry_head *head = table_at(&state->replies, slot);
		uint8_t overflow = __atomic_load_n(&head->overflow, __ATOMIC_RELAXED);
		struct reply_entry other;

		if (slot != own_slot && entry_peek(head, &other, sizeof(other)) && reply_matches(&other, key))
			return true;
		if (!overflow)
			break;
	}
	return false;
}

/*
 * Workers share out relay ports among themselves, but clients bring their own:
 * two that open a path of one client to one backend at the same moment, each by
 * a listener of its own, both find the key free. Both have written when they
 * look again, so that at least one sees the other, and takes its own back.
 */
static bool reply_came_alone(const struct state *state, const struct reply_entry *reply, uint32_t slot)
{
	const struct reply_key key = reply_key_of(reply);

	/* Between this worker's stores and the loads behind; pairs with the same of the other worker. */
	atomic_thread_fence(memory_order_seq_cst);
	return !reply_is_elsewhere(state, &key, slot);
}

/* Claims the slot of the client's own address and port. */
static enum path_verdict reply_claim_client(struct state *state, const struct reply_entry *reply, uint32_t *slot)
{
	const struct reply_key key = reply_key_of(reply);

	return reply_is_elsewhere(state, &key, SLOT_NONE) ? PATH_TAKEN : reply_claim(state, &key, slot);
}

static void reply_remove(struct state *state, uint32_t slot, const struct reply_entry *reply)
{
	const struct reply_key key = reply_key_of(reply);

	table_remove(&state->replies, slot, reply_key_hash(&state->hash_key, &key));
}

/*
 * The slot for a 4-tuple's entry: the default one when there is none or its own
 * path has ended, else one with the first free ordinal, which the default entry
 * then knows of.
 */
static uint32_t path_slot_for(struct state *state, const struct tuple *tuple, struct path_entry *path)
{
	struct path_entry first;
	uint32_t first_slot, slot;
	unsigned ordinal;

	if (!path_find(state, tuple, &first_slot, &first))
		return table_claim(&state->paths, tuple_hash(state, tuple));
	if (first.flags & PATH_ABSENT) {
		path->siblings = first.siblings;
		return first_slot;
	}
	for (ordinal = 1; first.siblings & 1u << (ordinal - 1); ordinal++)
		;
	if (ordinal > PATH_SIBLINGS_MAX)
		return SLOT_NONE;
	slot = table_claim(&state->paths, ordinal_hash(state, tuple, ordinal));
	if (slot == SLOT_NONE)
		return SLOT_NONE;
	path->flags |= (uint8_t)(ordinal << PATH_ORDINAL_SHIFT);
	first.siblings |= (uint8_t)(1u << (ordinal - 1));
	path_write(state, first_slot, &first);
	return slot;
}

/* Routers forward nothing from a link's own addresses (RFC 3927 s7, RFC 4291 s2.5.6). */
static bool may_be_seen(const struct addr *client, const struct addr *backend)
{
	return addr_is_v4(client) == addr_is_v4(backend) && !addr_is_link_local(client);
}

enum path_verdict path_open(struct state *state, struct port_share *ports, const struct tuple *tuple,
			    uint32_t backend, bool preserve, uint16_t nexthop, uint32_t now_s, uint32_t *slot)
{
	const struct backend *to = &state->backends[backend];
	const bool as_client = preserve && may_be_seen(&tuple->client, &to->address);
	struct reply_entry reply = {
		.last_seen_s = now_s,
		.backend = to->address,
		.backend_port_be = to->port_be,
		.relay_port_be = tuple->client_port_be,
		.relay_address = as_client ? RELAY_ADDRESS_CLIENT : to->relay_address,
		.nexthop = nexthop,
		.client = tuple->client,
		.client_port_be = tuple->client_port_be,
		.endpoint = tuple->endpoint,
	};
	struct path_entry path = {
		.last_seen_s = now_s,
		.client = tuple->client,
		.client_port_be = tuple->client_port_be,
		.endpoint = tuple->endpoint,
		.backend = backend,
		.session = SLOT_NONE,
		.relay_address = reply.relay_address,
		.owner = (uint8_t)ports->worker,
	};
	uint32_t reply_slot;
	enum path_verdict verdict = as_client ? reply_claim_client(state, &reply, &reply_slot) :
						reply_claim_port(state, ports, &reply, &reply_slot);

	if (verdict != PATH_OPENED)
		return verdict;
	path.relay_port_be = reply.relay_port_be;
	*slot = path_slot_for(state, tuple, &path);
	if (*slot == SLOT_NONE) {
		reply_remove(state, reply_slot, &reply);
		return PATH_TABLE_FULL;
	}
	reply.path = *slot;
	entry_write(table_at(&state->replies, reply_slot), &reply, sizeof(reply));
	path_write(state, *slot, &path);
	if (as_client && !reply_came_alone(state, &reply, reply_slot)) {
		reply_remove(state, reply_slot, &reply);
		path_vacate(state, *slot);
		return PATH_TAKEN;
	}
	return PATH_OPENED;
}

void path_write(struct state *state, uint32_t slot, const struct path_entry *path)
{
	entry_write(table_at(&state->paths, slot), path, sizeof(*path));
}

void path_confirm(struct state *state, uint32_t slot)
{
	struct path_entry path;
	struct reply_entry reply;
	uint32_t reply_slot;

	if (!path_read(state, slot, &path) || path.flags & PATH_CONFIRMED)
		return;
	if (path_reply(state, slot, &path, &reply_slot, &reply)) {
		reply.flags |= REPLY_CONFIRMED;
		entry_write(table_at(&state->replies, reply_slot), &reply, sizeof(reply));
	}
	path.flags |= PATH_CONFIRMED;
	path_write(state, slot, &path);
}

/* The default entry forgets an ordinal, and goes when it stood for nothing else. */
static void sibling_gone(struct state *state, const struct tuple *tuple, unsigned ordinal)
{
	struct path_entry first;
	uint32_t slot;

	if (!path_find(state, tuple, &slot, &first))
		return;
	first.siblings &= (uint8_t)~(1u << (ordinal - 1));
	if (first.siblings == 0 && first.flags & PATH_ABSENT)
		table_remove(&state->paths, slot, tuple_hash(state, tuple));
	else
		path_write(state, slot, &first);
}

void path_vacate(struct state *state, uint32_t slot)
{
	struct path_entry path;
	struct tuple tuple;

	if (!path_read(state, slot, &path) || path.flags & PATH_ABSENT)
		return;
	tuple = path_tuple(&path);
	if (path_ordinal(&path) == 0 && path.siblings) {
		path.flags = PATH_ABSENT;
		path.session = SLOT_NONE;
		path.sessions = 0;
		path.cid_len = 0;
		path_write(state, slot, &path);
		return;
	}
	table_remove(&state->paths, slot, ordinal_hash(state, &tuple, path_ordinal(&path)));
	if (path_ordinal(&path) > 0)
		sibling_gone(state, &tuple, path_ordinal(&path));
}

void path_close(struct state *state, uint32_t slot)
{
	struct path_entry path;
	struct reply_entry reply;
	uint32_t reply_slot;

	if (!path_read(state, slot, &path) || path.flags & PATH_ABSENT)
		return;
	if (path_reply(state, slot, &path, &reply_slot, &reply))
		reply_remove(state, reply_slot, &reply);
	path_vacate(state, slot);
}

bool path_move(struct state *state, uint32_t from, const struct tuple *to, uint16_t nexthop, uint32_t now_s,
	       uint32_t *slot)
{
	struct path_entry path;
	struct reply_entry reply;
	uint32_t reply_slot;

	if (!path_read(state, from, &path) || !path_reply(state, from, &path, &reply_slot, &reply))
		return false;
	path.last_seen_s = now_s;
	path.client = to->client;
	path.client_port_be = to->client_port_be;
	path.endpoint = to->endpoint;
	path.flags &= (1u << PATH_ORDINAL_SHIFT) - 1;
	path.siblings = 0;
	*slot = path_slot_for(state, to, &path);
	if (*slot == SLOT_NONE)
		return false;
	reply.nexthop = nexthop;
	reply.client = to->client;
	reply.client_port_be = to->client_port_be;
	reply.endpoint = to->endpoint;
	reply.path = *slot;
	path_write(state, *slot, &path);
	entry_write(table_at(&state->replies, reply_slot), &reply, sizeof(reply));
	return true;
}

uint32_t path_last_seen_s(const struct state *state, uint32_t slot)
{
	struct path_entry path;
	struct reply_entry reply;
	uint32_t reply_slot;

	if (!path_read(state, slot, &path) || path.flags & PATH_ABSENT)
		return 0;
	if (path_reply(state, slot, &path, &reply_slot, &reply) && (int32_t)(reply.last_seen_s - path.last_seen_s) > 0)
		return reply.last_seen_s;
	return path.last_seen_s;
}
