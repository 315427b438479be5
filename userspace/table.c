/* SPDX-License-Identifier: MIT */
/* table: see table.h. */
#include "table.h"

/*
 * The entry's bytes are copied as relaxed atomic words: a reader may look at
 * them while they are being written, and throws the copy away when the
 * version says so. Bytes 0..3 are the head and never copied.
 */
static void words_load(void *to, const void *from, size_t size)
{
	for (size_t at = 4; at < size; at += 4) {
		uint32_t word = __atomic_load_n((const uint32_t *)((const uint8_t *)from + at), __ATOMIC_RELAXED);

		__builtin_memcpy((uint8_t *)to + at, &word, 4);
	}
}

static void words_store(void *to, const void *from, size_t size)
{
	for (size_t at = 4; at < size; at += 4) {
		uint32_t word;

		__builtin_memcpy(&word, (const uint8_t *)from + at, 4);
		__atomic_store_n((uint32_t *)((uint8_t *)to + at), word, __ATOMIC_RELAXED);
	}
}

bool entry_read(const void *entry, void *copy, size_t size, bool *busy)
{
	const struct entry_head *head = entry;
	/* acquire: pairs with the release in entry_write; a live version's bytes are visible. */
	uint16_t seq = __atomic_load_n(&head->seq, __ATOMIC_ACQUIRE);

	if (busy)
		*busy = seq & SEQ_WRITING;
	if ((seq & SEQ_STATE_MASK) != SEQ_LIVE)
		return false;
	words_load(copy, entry, size);
	((struct entry_head *)copy)->seq = seq;
	/* acquire fence: the bytes above are read before seq is read again. */
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (__atomic_load_n(&head->seq, __ATOMIC_RELAXED) == seq)
		return true;
	if (busy)
		*busy = true;
	return false;
}

bool entry_peek(const void *entry, void *copy, size_t size)
{
	const struct entry_head *head = entry;
	uint16_t seq = __atomic_load_n(&head->seq, __ATOMIC_ACQUIRE);

	if ((seq & SEQ_STATE_MASK) == SEQ_FREE)
		return false;
	words_load(copy, entry, size);
	((struct entry_head *)copy)->seq = seq;
	return true;
}

void entry_write(void *entry, const void *from, size_t size)
{
	struct entry_head *head = entry;
	uint16_t seq = __atomic_load_n(&head->seq, __ATOMIC_RELAXED);

	__atomic_store_n(&head->seq, (uint16_t)(seq | SEQ_WRITING), __ATOMIC_RELAXED);
	/* release fence: readers that see any of the bytes below also see the odd seq above. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
	words_store(entry, from, size);
	/* release: pairs with the acquire in entry_read and the barrier in the XDP program. */
	__atomic_store_n(&head->seq, (uint16_t)(((seq & ~SEQ_STATE_MASK) + SEQ_STEP) | SEQ_LIVE), __ATOMIC_RELEASE);
}

void entry_clear(void *entry)
{
	struct entry_head *head = entry;
	uint16_t seq = __atomic_load_n(&head->seq, __ATOMIC_RELAXED);

	__atomic_store_n(&head->seq, (uint16_t)((seq & ~SEQ_STATE_MASK) + SEQ_STEP), __ATOMIC_RELEASE);
}

/* 255 sticks: which entries passed over is not known any more, so look-ups go on beyond for good. */
static void overflow_add(struct entry_head *head, int step)
{
	uint8_t old = __atomic_load_n(&head->overflow, __ATOMIC_RELAXED);

	do {
		if (old == UINT8_MAX)
			return;
	} while (!__atomic_compare_exchange_n(&head->overflow, &old, (uint8_t)(old + step), true, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
}

static void overflow_add_before(struct table *table, uint64_t hash, uint32_t slot, int step)
{
	uint32_t at;

	for (uint32_t i = 0; i < PROBES_MAX && (at = table_slot(hash, i, table->slots)) != slot; i++)
		overflow_add(table_at(table, at), step);
}

uint32_t table_claim(struct table *table, uint64_t hash)
{
	for (uint32_t i = 0; i < PROBES_MAX; i++) {
		uint32_t slot = table_slot(hash, i, table->slots);
		struct entry_head *head = table_at(table, slot);
		uint16_t seq = __atomic_load_n(&head->seq, __ATOMIC_RELAXED);

		/* acquire: the claimer sees the slot as the one who freed it left it. */
		if ((seq & SEQ_STATE_MASK) == SEQ_FREE &&
		    __atomic_compare_exchange_n(&head->seq, &seq, (uint16_t)(seq | SEQ_WRITING), false,
						__ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
			overflow_add_before(table, hash, slot, 1);
			return slot;
		}
	}
	return SLOT_NONE;
}

void table_remove(struct table *table, uint32_t slot, uint64_t hash)
{
	entry_clear(table_at(table, slot));
	overflow_add_before(table, hash, slot, -1);
}

uint32_t entries_live(const void *entries, size_t entry_size, uint32_t slots)
{
	uint32_t live = 0;

	for (uint32_t slot = 0; slot < slots; slot++)
		live += entry_is_live((const uint8_t *)entries + slot * entry_size);
	return live;
}

uint32_t table_slots_for(uint64_t slots)
{
	return (uint32_t)((slots + TABLE_SLOTS_STEP - 1) / TABLE_SLOTS_STEP * TABLE_SLOTS_STEP);
}
