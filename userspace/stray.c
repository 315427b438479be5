/* SPDX-License-Identifier: MIT */
/* stray: see stray.h. */
#include "stray.h"

#include <stdlib.h>
#include <string.h>

enum { INDEX_BITS = 6, BURST_NS = 100 * 1000000 };
_Static_assert(STRAYS_MAX == 1 << INDEX_BITS, "an id names a stray and its serial");

struct stray_table *stray_table_new(const struct siphash_key *hash_key, uint32_t workers, uint32_t per_s_per_source,
				    uint32_t serial)
{
	struct stray_table *table = calloc(1, sizeof(*table));

	if (!table)
		return NULL;
	source_limit_init(&table->limit, hash_key, per_s_per_source);
	table->interval_ns = 1000000000ull * workers / STRAY_QUESTIONS_PER_S;
	table->serial = serial;
	for (unsigned i = 0; i < STRAYS_MAX; i++)
		table->free[table->free_count++] = (uint8_t)i;
	return table;
}

void stray_table_free(struct stray_table *table)
{
	free(table);
}

enum stray_verdict stray_hold(struct stray_table *table, uint64_t mark, const struct addr *source,
			      const uint8_t *frame, uint16_t len_bytes, uint16_t interface, uint64_t now_ns,
			      uint64_t *id)
{
	struct stray *stray;

	if (table->marks[mark % STRAY_MARKS].mark == mark && now_ns < table->marks[mark % STRAY_MARKS].until_ns)
		return STRAY_ASKED;
	if (table->free_count == 0 || !source_limit_take(&table->limit, source, now_ns) ||
	    !gcra_take(&table->next_ns, table->interval_ns, BURST_NS, now_ns))
		return STRAY_LIMITED;
	stray = &table->strays[table->free[--table->free_count]];
	stray->mark = mark;
	stray->asked_ns = now_ns;
	stray->serial = ++table->serial;
	stray->len_bytes = len_bytes;
	stray->interface = interface;
	stray->held = true;
	memcpy(stray->frame, frame, len_bytes);
	table->marks[mark % STRAY_MARKS].mark = mark;
	table->marks[mark % STRAY_MARKS].until_ns = now_ns + STRAY_ANSWER_NS;
	*id = (uint64_t)stray->serial << INDEX_BITS | (uint64_t)(stray - table->strays);
	return STRAY_HELD;
}

struct stray *stray_of_id(struct stray_table *table, uint64_t id)
{
	struct stray *stray = &table->strays[id % STRAYS_MAX];

	return stray->held && stray->serial == id >> INDEX_BITS ? stray : NULL;
}

static void let_go(struct stray_table *table, struct stray *stray)
{
	stray->held = false;
	table->free[table->free_count++] = (uint8_t)(stray - table->strays);
}

void stray_close(struct stray_table *table, struct stray *stray, bool nobodys, uint64_t now_ns)
{
	uint64_t mark = stray->mark;

	let_go(table, stray);
	if (table->marks[mark % STRAY_MARKS].mark == mark)
		table->marks[mark % STRAY_MARKS].until_ns = nobodys ? now_ns + STRAY_NOBODYS_NS : 0;
}

unsigned stray_expire(struct stray_table *table, uint64_t now_ns)
{
	unsigned expired = 0;

	for (unsigned i = 0; i < STRAYS_MAX && table->free_count < STRAYS_MAX; i++) {
		struct stray *stray = &table->strays[i];

		if (!stray->held || now_ns - stray->asked_ns < STRAY_ANSWER_NS)
			continue;
		let_go(table, stray);
		expired++;
	}
	return expired;
}
