/* SPDX-License-Identifier: MIT */
/*
 * siphash: SipHash-1-3 over whole 64-bit words, for the XDP program and user
 * space alike. Any thread; pure.
 *
 * The tables' keys hold bytes that attackers choose, so their hash is keyed
 * with a secret made at start. Aumasson and Bernstein, "SipHash: a fast
 * short-input PRF", 2012; 1-3 is the variant that Linux and Rust use for hash
 * tables. The paper's closing length byte is the caller's matter: every input
 * here either has a fixed number of words or carries its length in the last.
 */
#ifndef SLUICE_SIPHASH_H
#define SLUICE_SIPHASH_H

#include <linux/types.h>

struct siphash_key {
	__u64 k0, k1; /* host byte order */
};

struct siphash {
	__u64 v0, v1, v2, v3;
};

static __inline __attribute__((always_inline)) __u64 siphash_rotl(__u64 x, int n)
{
	return (x << n) | (x >> (64 - n));
}

static __inline __attribute__((always_inline)) void siphash_round(struct siphash *s)
{
	s->v0 += s->v1;
	s->v1 = siphash_rotl(s->v1, 13) ^ s->v0;
	s->v0 = siphash_rotl(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = siphash_rotl(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = siphash_rotl(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = siphash_rotl(s->v1, 17) ^ s->v2;
	s->v2 = siphash_rotl(s->v2, 32);
}

static __inline __attribute__((always_inline)) struct siphash siphash_init(const struct siphash_key *key)
{
	return (struct siphash){
		.v0 = key->k0 ^ 0x736f6d6570736575ULL,
		.v1 = key->k1 ^ 0x646f72616e646f6dULL,
		.v2 = key->k0 ^ 0x6c7967656e657261ULL,
		.v3 = key->k1 ^ 0x7465646279746573ULL,
	};
}

static __inline __attribute__((always_inline)) void siphash_word(struct siphash *s, __u64 word)
{
	s->v3 ^= word;
	siphash_round(s);
	s->v0 ^= word;
}

static __inline __attribute__((always_inline)) __u64 siphash_final(struct siphash *s)
{
	s->v2 ^= 0xff;
	siphash_round(s);
	siphash_round(s);
	siphash_round(s);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

#endif
