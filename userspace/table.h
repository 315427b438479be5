/* SPDX-License-Identifier: MIT */
/*
 * table: the user side of the shared open-addressing tables (layout: bpf/abi.h,
 * probe sequence: bpf/table.h). Any worker may read and claim; one thread at a
 * time, its owner, writes a claimed entry. Nothing here waits or allocates.
 */
#ifndef SLUICE_USER_TABLE_H
#define SLUICE_USER_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/table.h"

struct table {
	uint8_t *entries;       /* shared memory, borrowed */
	uint32_t entry_size;    /* bytes, a multiple of 4 */
	uint32_t slots;         /* a multiple of TABLE_SLOTS_STEP */
};

static inline void *table_at(const struct table *table, uint32_t slot)
{
	return table->entries + (size_t)slot * table->entry_size;
}

/*
 * Copies a live entry of `size` bytes whole. False: absent, or being written
 * (*busy, if not NULL, tells which). Lock-free, never waits.
 */
bool entry_read(const void *entry, void *copy, size_t size, bool *busy);

/*
 * Copies an entry that is live or being written, as its bytes are now: some may be of before and some of after, and of
 * one that was just claimed they are its slot's last entry's. False: absent.
 */
bool entry_peek(const void *entry, void *copy, size_t size);

/* Owner: makes a claimed or live entry hold `from` (all but its head) and live. */
void entry_write(void *entry, const void *from, size_t size);

/* Owner: a live entry becomes absent. Its slot may be claimed at once. */
void entry_clear(void *entry);

static inline bool entry_is_live(const void *entry)
{
	const struct entry_head *head = entry;

	return (__atomic_load_n(&head->seq, __ATOMIC_ACQUIRE) & SEQ_STATE_MASK) == SEQ_LIVE;
}

/*
 * Claims a free slot of the key's probe sequence, to be filled by entry_write
 * or given back by table_remove. SLOT_NONE: all PROBES_MAX are taken.
 */
uint32_t table_claim(struct table *table, uint64_t hash);

/* Owner: frees a claimed or live slot of the key with this hash. */
void table_remove(struct table *table, uint32_t slot, uint64_t hash);

/* How many of the entries are live. Reads the first bytes of each. */
uint32_t entries_live(const void *entries, size_t entry_size, uint32_t slots);

/* At least `slots`, as many as the probe sequence asks for. */
uint32_t table_slots_for(uint64_t slots);

/*
 * Visits the live entries a key with this hash may be at, as copies:
 *
 *     struct path_entry e;
 *     for (uint32_t i = 0, slot; table_next(t, hash, &i, &slot, &e);)
 *             if (...e is it...) return slot;
 *
 * An entry that is being written is passed over.
 */
static inline bool table_next(const struct table *table, uint64_t hash, uint32_t *i, uint32_t *slot, void *copy)
{
	while (*i < PROBES_MAX) {
		const struct entry_head *head;
		uint8_t overflow;

		*slot = table_slot(hash, *i, table->slots);
		head = table_at(table, *slot);
		overflow = __atomic_load_n(&head->overflow, __ATOMIC_RELAXED);
		*i = overflow ? *i + 1 : PROBES_MAX;
		if (entry_read(head, copy, table->entry_size, NULL))
			return true;
	}
	return false;
}

#endif
