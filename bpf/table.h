/* SPDX-License-Identifier: MIT */
/*
 * table: hash and probe sequence of the open-addressing tables (paths,
 * replies, cids, endpoints), for the XDP program and user space alike. Pure.
 *
 * A table is one array map, of a multiple of TABLE_SLOTS_STEP entries. The
 * sequence visits pairs of neighbouring slots (one 128-byte line pair for
 * 64-byte entries, which the prefetcher of today's CPUs fetches together) and
 * jumps by a per-key stride between pairs, so that full neighbourhoods do not grow:
 *
 *     pairs   = slots / 2
 *     first   = low half of the hash, scaled to 0..pairs - 1 (Lemire, "Fast random
 *               integer generation in an interval", 2019: no division)
 *     stride  = high half of the hash, scaled likewise, and made odd
 *     slot(i) = (first + (i / 2) * stride) mod pairs * 2 + ((hash ^ i) & 1)
 *
 * As the stride is odd and `pairs` a multiple of 16, the first 16 pairs of each
 * sequence differ modulo 16 alone: no slot comes twice. Only a sequence that
 * goes beyond its first pair pays for a division.
 *
 * An entry that is not at slot(0) has raised the overflow count of each slot
 * before it, so a look-up ends at the first slot that no entry passed over: a
 * miss costs one line, not PROBES_MAX. (The counts are F14's, Bronson and Shi,
 * "Open-sourcing F14", 2019.) How full tables get, and how many entries find no
 * slot then: userspace/state.h.
 */
#ifndef SLUICE_TABLE_H
#define SLUICE_TABLE_H

#include "abi.h"

#define SLUICE_INLINE static __inline __attribute__((always_inline))

enum { TABLE_SLOTS_STEP = 32 };

_Static_assert((int)PROBES_MAX <= (int)TABLE_SLOTS_STEP, "no slot comes twice");
_Static_assert((int)ENDPOINT_SLOTS % (int)TABLE_SLOTS_STEP == 0, "a table as any other");

/* No overflow below 2^32 * 2 / PROBES_MAX slots. */
SLUICE_INLINE __u32 table_slot(__u64 hash, __u32 i, __u32 slots)
{
	__u32 pairs = slots / 2, pair = (__u64)(__u32)hash * pairs >> 32;

	if (i > 1) {
		__u32 stride = (hash >> 32) * pairs >> 32 | 1;

		pair = (pair + i / 2 * stride) % pairs;
	}
	return pair * 2 + (((__u32)hash ^ i) & 1);
}

SLUICE_INLINE int addr_equal(const struct addr *a, const struct addr *b)
{
	return a->halves[0] == b->halves[0] && a->halves[1] == b->halves[1];
}

SLUICE_INLINE int addr_is_v4(const struct addr *a)
{
	return a->halves[0] == 0 && a->words_be[2] ==
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
		0xffff0000;
#else
		0x0000ffff;
#endif
}

SLUICE_INLINE int addr_is_link_local(const struct addr *a)
{
	if (addr_is_v4(a))
		return a->bytes[12] == 169 && a->bytes[13] == 254; /* RFC 3927 */
	return a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80; /* RFC 4291 s2.5.6 */
}

/* An address and 64 bits beside it. IPv4: one word less, the prefix of every mapped address. */
SLUICE_INLINE __u64 table_hash_addr(const struct siphash_key *key, const struct addr *a, __u64 beside,
				    __u64 more)
{
	struct siphash s = siphash_init(key);

	if (!addr_is_v4(a))
		siphash_word(&s, a->halves[0]);
	siphash_word(&s, a->halves[1]);
	siphash_word(&s, beside);
	if (more)
		siphash_word(&s, more);
	return siphash_final(&s);
}

/* With 32 bits beside, which an IPv4 address leaves room for: one word less again. */
SLUICE_INLINE struct siphash table_begin_addr_32(const struct siphash_key *key, const struct addr *a, __u32 beside)
{
	struct siphash s = siphash_init(key);

	if (addr_is_v4(a)) {
		siphash_word(&s, (__u64)a->words_be[3] << 32 | beside);
	} else {
		siphash_word(&s, a->halves[0]);
		siphash_word(&s, a->halves[1]);
		siphash_word(&s, beside);
	}
	return s;
}

SLUICE_INLINE __u64 table_hash_addr_32(const struct siphash_key *key, const struct addr *a, __u32 beside, __u64 more)
{
	struct siphash s = table_begin_addr_32(key, a, beside);

	if (more)
		siphash_word(&s, more);
	return siphash_final(&s);
}

/* ordinal: 0 for the default entry of a 4-tuple; see struct path_entry. */
SLUICE_INLINE __u64 path_hash(const struct siphash_key *key, const struct addr *client, __be16 client_port_be,
			      __u16 endpoint, __u32 ordinal)
{
	return table_hash_addr_32(key, client, (__u32)client_port_be << 16 | endpoint, ordinal);
}

SLUICE_INLINE __u64 reply_hash(const struct siphash_key *key, const struct addr *backend, __be16 backend_port_be,
			       __u8 relay_address, __be16 relay_port_be)
{
	return table_hash_addr_32(key, backend, (__u32)backend_port_be << 16 | relay_port_be, relay_address);
}

/* Of RELAY_ADDRESS_CLIENT: no address of the relay's is in it. */
SLUICE_INLINE __u64 reply_hash_client(const struct siphash_key *key, const struct addr *backend, __be16 backend_port_be,
				      const struct addr *client, __be16 client_port_be)
{
	struct siphash s = table_begin_addr_32(key, backend, (__u32)backend_port_be << 16 | client_port_be);

	if (!addr_is_v4(client))
		siphash_word(&s, client->halves[0]);
	siphash_word(&s, client->halves[1]);
	return siphash_final(&s);
}

/* What a reply is found by. */
struct reply_key {
	struct addr backend;
	struct addr client;      /* counts with RELAY_ADDRESS_CLIENT alone, whose relay_port_be is the client's */
	__be16 backend_port_be, relay_port_be;
	__u32 relay_address;
};

SLUICE_INLINE __u64 reply_key_hash(const struct siphash_key *secret, const struct reply_key *key)
{
	if (key->relay_address == RELAY_ADDRESS_CLIENT)
		return reply_hash_client(secret, &key->backend, key->backend_port_be, &key->client, key->relay_port_be);
	return reply_hash(secret, &key->backend, key->backend_port_be, (__u8)key->relay_address, key->relay_port_be);
}

/*
 * cid: CID_LEN_MAX bytes, zero behind its len; as three words whose last byte
 * is the length. tuple_hash: 0, or for CID_ORIGINAL the path_hash of the
 * client's 4-tuple (default entry).
 */
SLUICE_INLINE __u64 cid_hash(const struct siphash_key *key, const __u8 cid[CID_LEN_MAX], __u8 len, __u64 tuple_hash)
{
	struct siphash s = siphash_init(key);
	__u64 a, b;
	__u32 c;

	__builtin_memcpy(&a, cid, 8);
	__builtin_memcpy(&b, cid + 8, 8);
	__builtin_memcpy(&c, cid + 16, 4);
	siphash_word(&s, a);
	siphash_word(&s, b);
	siphash_word(&s, (__u64)len << 56 | c);
	if (tuple_hash)
		siphash_word(&s, tuple_hash);
	return siphash_final(&s);
}

/* The operator, not an attacker, chooses endpoints: a multiplicative hash will do (Knuth s6.4). */
SLUICE_INLINE __u64 endpoint_hash(const struct addr *address, __be16 port_be)
{
	__u64 h = (address->halves[0] ^ address->halves[1] ^ port_be) * 0x9e3779b97f4a7c15ULL;

	return h >> 32 | h << 32;
}

#endif
