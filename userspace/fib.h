/* SPDX-License-Identifier: MIT */
/*
 * fib: longest-prefix match over whole routing tables, for one writer and
 * readers that never wait.
 *
 * Each tree is a trie of 4 bits a level whose nodes say in bitmaps which
 * prefixes and children they hold (Eatherton, Varghese, Dittia, "Tree bitmap:
 * hardware/software IP lookups with incremental updates", 2004). Published
 * nodes never change: an update copies the nodes from the root to its prefix,
 * at most 8 (IPv4) or 32 (IPv6), so one route of a full BGP table costs a few
 * hundred bytes of copying, not a new table. fib_publish shows readers all
 * that was set since the last one, tree by tree.
 *
 * Writer: the steward, which calls fib_reclaim after an RCU grace period.
 * Readers: any RCU read-side critical section. Input: the kernel's routes.
 */
#ifndef SLUICE_FIB_H
#define SLUICE_FIB_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"

enum { FIB_TREES = 5 };

struct fib_node;

struct fib {
	struct fib_node *published[FIB_TREES]; /* atomic; what readers walk */
	struct fib_node *building[FIB_TREES];
	struct fib_node *retired;              /* may still be walked until the grace period is over */
	uint64_t edition;                      /* nodes of this edition have not been published: they may change */
};

/* An empty one. */
void fib_init(struct fib *fib);

/* No reader may be left. Values are the caller's. */
void fib_end(struct fib *fib);

/*
 * Maps prefix/len_bits of a tree to value; NULL takes the prefix away. A tree
 * holds one family: len_bits is 0..32 if v4, else 0..128. Bits of prefix
 * beyond len_bits do not matter. 0 or -ENOMEM, and then nothing has changed.
 */
int fib_set(struct fib *fib, unsigned tree, bool v4, const struct addr *prefix, unsigned len_bits, const void *value);

/* Shows readers what was set. True if anything was. */
bool fib_publish(struct fib *fib);

/* Frees what readers cannot see any more; call it a grace period after fib_publish. */
void fib_reclaim(struct fib *fib);

/* Reader: value of the longest prefix of dst, whose family must be the tree's; NULL without one. */
const void *fib_find(const struct fib *fib, unsigned tree, bool v4, const struct addr *dst);

#endif
