/* SPDX-License-Identifier: MIT */
/*
 * lookup: the XDP program's side of the shared tables. Nothing here waits:
 * who meets an entry in the middle of a write says so, and the packet goes to
 * a worker.
 *
 * Each look-up compares the key first and asks for the version only of the
 * entry that matches: the others need none, a key that is being written is
 * not (yet, or any more) in the table.
 *
 * Nearly all entries stand in the first pair of their sequence (table.h), so
 * those probes are inlined. The *_probe functions go on from there. They are
 * global: the verifier checks them once and apart, and without them the program
 * is free of loops (16 times fewer paths through it to check).
 */
#ifndef SLUICE_LOOKUP_H
#define SLUICE_LOOKUP_H

#include "maps.h"
#include "parse.h"
#include "table.h"

enum lookup { LOOKUP_ABSENT, LOOKUP_FOUND, LOOKUP_BUSY };

/* Of paths and replies; one in seven is at the second, with a table as full as in service. Endpoints have more room. */
enum { PROBES_INLINE = 2 };

/*
 * Orders the loads before it against those after it: acquire, pairing with the
 * release fence and store of entry_write in userspace/table.c.
 *
 * clang 14 has no acquire loads and no fences for BPF. x86 does not reorder
 * loads with loads (Intel SDM vol. 3 s9.2.2), so keeping the compiler from it
 * is enough. Elsewhere a value-returning atomic is a full barrier, by the
 * kernel's memory model and so by its JITs (Documentation/atomic_t.txt).
 */
ALWAYS_INLINE void read_barrier(void)
{
#ifdef __TARGET_ARCH_x86
	__asm__ volatile("" ::: "memory");
#else
	__u64 word = 0;

	word = __sync_lock_test_and_set(&word, 1);
	__asm__ volatile("" ::"r"(word) : "memory");
#endif
}

ALWAYS_INLINE __u16 entry_begin(const struct entry_head *head)
{
	__u16 seq = READ_ONCE(head->seq);

	read_barrier();
	return seq;
}

/* Of an entry whose bytes were copied after entry_begin. */
ALWAYS_INLINE enum lookup entry_end(const struct entry_head *head, __u16 seq)
{
	read_barrier();
	if (READ_ONCE(head->seq) != seq)
		return LOOKUP_BUSY;
	if ((seq & SEQ_STATE_MASK) == SEQ_LIVE)
		return LOOKUP_FOUND;
	return seq & SEQ_WRITING ? LOOKUP_BUSY : LOOKUP_ABSENT;
}

/* Live, or being written: an entry that was freed keeps its bytes, but is not there. */
ALWAYS_INLINE int seq_is_used(__u16 seq)
{
	return (seq & SEQ_STATE_MASK) != SEQ_FREE;
}

ALWAYS_INLINE int addr_is(const struct addr *entry, const struct addr *addr)
{
	return READ_ONCE(entry->halves[0]) == addr->halves[0] && READ_ONCE(entry->halves[1]) == addr->halves[1];
}

ALWAYS_INLINE struct addr addr_read(const struct addr *entry)
{
	struct addr addr;

	addr.halves[0] = READ_ONCE(entry->halves[0]);
	addr.halves[1] = READ_ONCE(entry->halves[1]);
	return addr;
}

ALWAYS_INLINE struct siphash_key table_key(void)
{
	return (struct siphash_key){ hash_key.k0, hash_key.k1 };
}

/* --- endpoints ------------------------------------------------------------------------------ */

struct endpoint_view {
	__u32 slot;           /* in endpoints; with RELAY_ADDRESS_CLIENT in replies */
	__u8 kind;
	__u8 relay_address;
};

ALWAYS_INLINE int endpoint_is(const struct endpoint *e, const struct addr *address, __be16 port_be)
{
	return READ_ONCE(e->port_be) == port_be && addr_is(&e->address, address);
}

/* The slot of a live entry beyond the first probe, or SLOT_NONE. */
__attribute__((noinline)) __u32 endpoint_probe(const struct addr *address, __u32 port_be, __u64 hash)
{
	for (__u32 i = 1; address && i < PROBES_MAX; i++) {
		__u32 slot = table_slot(hash, i, ENDPOINT_SLOTS);
		struct endpoint *e = array_at(&endpoints, slot);

		if (!e)
			break;
		if (seq_is_used(READ_ONCE(e->head.seq)) && endpoint_is(e, address, port_be))
			return slot;
		if (!READ_ONCE(e->head.overflow))
			break;
	}
	return SLOT_NONE;
}

/* port_be 0: the relay address. */
ALWAYS_INLINE enum lookup endpoint_find(const struct addr *address, __be16 port_be, struct endpoint_view *view)
{
	__u64 hash = endpoint_hash(address, port_be);
	struct endpoint *e;
	enum lookup found;
	__u16 seq;

	view->slot = table_slot(hash, 0, ENDPOINT_SLOTS);
	e = array_at(&endpoints, view->slot);
	if (!e)
		return LOOKUP_ABSENT;
	seq = entry_begin(&e->head);
	if (!seq_is_used(seq) || !endpoint_is(e, address, port_be)) {
		struct addr key = *address;

		if (!READ_ONCE(e->head.overflow))
			return LOOKUP_ABSENT;
		view->slot = endpoint_probe(&key, port_be, hash);
		e = array_at(&endpoints, view->slot);
		if (!e)
			return LOOKUP_ABSENT;
		seq = entry_begin(&e->head);
		if (!endpoint_is(e, address, port_be))
			return LOOKUP_ABSENT;
	}
	view->kind = READ_ONCE(e->kind);
	view->relay_address = READ_ONCE(e->relay_address);
	found = entry_end(&e->head, seq);
	return found == LOOKUP_FOUND && view->kind == ENDPOINT_DISABLED ? LOOKUP_ABSENT : found;
}

/* The same at the first slot alone, without a call. LOOKUP_BUSY: the whole look-up may know more. */
ALWAYS_INLINE enum lookup endpoint_find_first(const struct addr *address, __be16 port_be, struct endpoint_view *view)
{
	struct endpoint *e;
	__u16 seq;

	view->slot = table_slot(endpoint_hash(address, port_be), 0, ENDPOINT_SLOTS);
	e = array_at(&endpoints, view->slot);
	if (!e)
		return LOOKUP_BUSY;
	seq = entry_begin(&e->head);
	if (!endpoint_is(e, address, port_be))
		return READ_ONCE(e->head.overflow) ? LOOKUP_BUSY : LOOKUP_ABSENT;
	view->kind = READ_ONCE(e->kind);
	view->relay_address = READ_ONCE(e->relay_address);
	return entry_end(&e->head, seq) == LOOKUP_FOUND ? LOOKUP_FOUND : LOOKUP_BUSY;
}

/* --- connection IDs --------------------------------------------------------------------------- */

/* The bytes of a DCID in the words of cid_hash; zero behind its length once cut. */
struct dcid {
	__u64 a, b;
	__u32 c;
};

enum { DCID_WINDOW_START_MAX = 31 };

/* Masks that keep 0 to 20 bytes: the window that starts CID_LEN_MAX - len bytes in. */
static const __u8 dcid_window[DCID_WINDOW_START_MAX + 1 + CID_LEN_MAX] = {
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
};

/* `at` has CID_LEN_MAX readable bytes. */
ALWAYS_INLINE struct dcid dcid_read(const void *at)
{
	return (struct dcid){ LOAD64(at), LOAD64(at + 8), LOAD32(at + 16) };
}

/* len is at most CID_LEN_MAX. */
ALWAYS_INLINE struct dcid dcid_cut(const struct dcid *dcid, __u32 len)
{
	__u64 start = CID_LEN_MAX - len;
	const __u8 *window;

	/*
	 * The verifier must see the bound here: the compiler would subtract from the
	 * address instead, and Linux 6.1 loses the caller's check when len is spilled.
	 */
	__asm__ volatile("" : "+r"(start));
	start &= DCID_WINDOW_START_MAX;
	window = dcid_window + start;
	return (struct dcid){
		dcid->a & *(const __u64 *)window,
		dcid->b & *(const __u64 *)(window + 8),
		dcid->c & *(const __u32 *)(window + 16),
	};
}

ALWAYS_INLINE int dcid_is(const __u8 *entry_cid, const struct dcid *dcid)
{
	return LOAD64(entry_cid) == dcid->a && LOAD64(entry_cid + 8) == dcid->b && LOAD32(entry_cid + 16) == dcid->c;
}

/* --- paths ------------------------------------------------------------------------------------ */

/* What the program needs of a path entry, of one version. */
struct path_view {
	struct path_entry *entry; /* for last_seen_s and the report limit, which are outside the version */
	__u32 slot;
	__u32 backend, session;
	__u32 last_seen_s;
	__be16 relay_port_be;
	__u8 relay_address, flags, siblings, cid_len, sessions;
	__u8 cid_matches;         /* the entry's CID, not of zero length, is the packet's */
};

ALWAYS_INLINE enum lookup path_copy(struct path_entry *e, __u16 seq, const struct dcid *dcid, struct path_view *view)
{
	struct dcid cut;

	view->entry = e;
	view->backend = READ_ONCE(e->backend);
	view->session = READ_ONCE(e->session);
	view->last_seen_s = READ_ONCE(e->last_seen_s);
	view->relay_port_be = READ_ONCE(e->relay_port_be);
	view->relay_address = READ_ONCE(e->relay_address);
	view->flags = READ_ONCE(e->flags);
	view->siblings = READ_ONCE(e->siblings);
	view->cid_len = READ_ONCE(e->cid_len);
	view->sessions = READ_ONCE(e->sessions);
	if (view->cid_len > CID_LEN_MAX)
		return LOOKUP_BUSY;
	cut = dcid_cut(dcid, view->cid_len);
	view->cid_matches = view->cid_len > 0 && dcid_is(e->cid, &cut);
	return entry_end(&e->head, seq);
}

struct path_key {
	struct addr client;
	__be16 client_port_be;
	__u16 endpoint;
	__u32 ordinal;
};

ALWAYS_INLINE int path_is(const struct path_entry *e, const struct path_key *key)
{
	return READ_ONCE(e->client_port_be) == key->client_port_be && READ_ONCE(e->endpoint) == key->endpoint &&
	       addr_is(&e->client, &key->client) && READ_ONCE(e->flags) >> PATH_ORDINAL_SHIFT == key->ordinal;
}

ALWAYS_INLINE __u64 path_key_hash(const struct path_key *key)
{
	struct siphash_key secret = table_key();

	return path_hash(&secret, &key->client, key->client_port_be, key->endpoint, key->ordinal);
}

__attribute__((noinline)) __u32 path_probe(const struct path_key *key, __u64 hash, __u32 i)
{
	for (; key && i < PROBES_MAX; i++) {
		__u32 slot = table_slot(hash, i, path_slots);
		struct path_entry *e = array_at(&paths, slot);

		if (!e)
			break;
		if (seq_is_used(READ_ONCE(e->head.seq)) && path_is(e, key))
			return slot;
		if (!READ_ONCE(e->head.overflow))
			break;
	}
	return SLOT_NONE;
}

/* The key's entry, if it is at this slot: *seq is its version. NULL: it is not, and *more tells if it may be beyond. */
ALWAYS_INLINE struct path_entry *path_try(const struct path_key *key, __u32 slot, __u16 *seq, __u8 *more)
{
	struct path_entry *e = array_at(&paths, slot);

	*more = 0;
	if (!e)
		return NULL;
	*seq = entry_begin(&e->head);
	if (seq_is_used(*seq) && path_is(e, key))
		return e;
	*more = READ_ONCE(e->head.overflow);
	return NULL;
}

/* hash: path_key_hash of the key. */
ALWAYS_INLINE enum lookup path_find(const struct path_key *key, __u64 hash, const struct dcid *dcid,
				    struct path_view *view)
{
	struct path_entry *e;
	__u16 seq = 0;
	__u8 more;

	view->slot = table_slot(hash, 0, path_slots);
	e = path_try(key, view->slot, &seq, &more);
	if (!e && more) {
		view->slot = table_slot(hash, 1, path_slots);
		e = path_try(key, view->slot, &seq, &more);
	}
	if (!e && more) {
		struct path_key copy = *key;

		view->slot = path_probe(&copy, hash, PROBES_INLINE);
		e = path_try(key, view->slot, &seq, &more);
	}
	return e ? path_copy(e, seq, dcid, view) : LOOKUP_ABSENT;
}

/* --- replies ---------------------------------------------------------------------------------- */

struct reply_view {
	struct reply_entry *entry; /* for last_seen_s */
	struct addr client;
	__u32 path;
	__u32 last_seen_s;
	__be16 client_port_be;
	__u16 endpoint, nexthop;
	__u8 flags;
};

ALWAYS_INLINE int reply_is(const struct reply_entry *e, const struct reply_key *key)
{
	return READ_ONCE(e->backend_port_be) == key->backend_port_be &&
	       READ_ONCE(e->relay_port_be) == key->relay_port_be &&
	       READ_ONCE(e->relay_address) == key->relay_address && addr_is(&e->backend, &key->backend);
}

ALWAYS_INLINE enum lookup reply_copy(struct reply_entry *e, __u16 seq, struct reply_view *view)
{
	view->entry = e;
	view->client = addr_read(&e->client);
	view->path = READ_ONCE(e->path);
	view->last_seen_s = READ_ONCE(e->last_seen_s);
	view->client_port_be = READ_ONCE(e->client_port_be);
	view->endpoint = READ_ONCE(e->endpoint);
	view->nexthop = READ_ONCE(e->nexthop);
	view->flags = READ_ONCE(e->flags);
	return entry_end(&e->head, seq);
}

/* reply_key_hash of a key that is not RELAY_ADDRESS_CLIENT's. */
ALWAYS_INLINE __u64 reply_port_hash(const struct reply_key *key)
{
	struct siphash_key secret = table_key();

	return reply_hash(&secret, &key->backend, key->backend_port_be, key->relay_address, key->relay_port_be);
}

__attribute__((noinline)) __u32 reply_probe(const struct reply_key *key, __u64 hash)
{
	for (__u32 i = PROBES_INLINE; key && i < PROBES_MAX; i++) {
		__u32 slot = table_slot(hash, i, reply_slots);
		struct reply_entry *e = array_at(&replies, slot);

		if (!e)
			break;
		if (seq_is_used(READ_ONCE(e->head.seq)) && reply_is(e, key))
			return slot;
		if (!READ_ONCE(e->head.overflow))
			break;
	}
	return SLOT_NONE;
}

/* As path_try. */
ALWAYS_INLINE struct reply_entry *reply_try(const struct reply_key *key, __u32 slot, __u16 *seq, __u8 *more)
{
	struct reply_entry *e = array_at(&replies, slot);

	*more = 0;
	if (!e)
		return NULL;
	*seq = entry_begin(&e->head);
	if (seq_is_used(*seq) && reply_is(e, key))
		return e;
	*more = READ_ONCE(e->head.overflow);
	return NULL;
}

/* hash: reply_port_hash of the key. */
ALWAYS_INLINE enum lookup reply_find(const struct reply_key *key, __u64 hash, struct reply_view *view)
{
	struct reply_entry *e;
	__u16 seq = 0;
	__u8 more;

	e = reply_try(key, table_slot(hash, 0, reply_slots), &seq, &more);
	if (!e && more)
		e = reply_try(key, table_slot(hash, 1, reply_slots), &seq, &more);
	if (!e && more) {
		struct reply_key copy = *key;

		e = reply_try(key, reply_probe(&copy, hash), &seq, &more);
	}
	if (!e)
		return LOOKUP_ABSENT;
	return reply_copy(e, seq, view);
}

/* --- replies to clients themselves: RELAY_ADDRESS_CLIENT ---------------------------------------- */

ALWAYS_INLINE int reply_is_client(const struct reply_entry *e, const struct reply_key *key)
{
	return reply_is(e, key) && addr_is(&e->client, &key->client);
}

/*
 * The slot of a live entry, or SLOT_NONE. Here are all probes: most packets are
 * none of these, and the program for those must not grow.
 */
__attribute__((noinline)) __u32 reply_probe_client(const struct reply_key *key)
{
	struct siphash_key secret = table_key();
	__u64 hash;

	if (!key)
		return SLOT_NONE;
	hash = reply_hash_client(&secret, &key->backend, key->backend_port_be, &key->client, key->relay_port_be);
	for (__u32 i = 0; i < PROBES_MAX; i++) {
		__u32 slot = table_slot(hash, i, reply_slots);
		struct reply_entry *e = array_at(&replies, slot);

		if (!e)
			break;
		if (seq_is_used(READ_ONCE(e->head.seq)) && reply_is_client(e, key))
			return slot;
		if (!READ_ONCE(e->head.overflow))
			break;
	}
	return SLOT_NONE;
}

/* What stands in a slot that reply_probe_client found. */
ALWAYS_INLINE enum lookup reply_read_client(__u32 slot, const struct reply_key *key, struct reply_view *view)
{
	struct reply_entry *e = array_at(&replies, slot);
	__u16 seq;

	if (!e)
		return LOOKUP_ABSENT;
	seq = entry_begin(&e->head);
	if (!reply_is_client(e, key))
		return LOOKUP_ABSENT;
	return reply_copy(e, seq, view);
}

#endif
