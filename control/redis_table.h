/* SPDX-License-Identifier: MIT */
/*
 * redis_table: names and what is known of each, in the order of their arrival.
 * Owned by one thread, no lock. Names have been checked; their choice is still
 * others', so the hash has a random key.
 */
#ifndef SLUICE_REDIS_TABLE_H
#define SLUICE_REDIS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/config.h"

struct redis_entry {
	struct redis_entry *chain;     /* of its bucket */
	struct redis_entry *before, *after; /* in order of arrival */
	struct route_spec *spec;       /* NULL: deleted, known not to be */
	char *spelling;                /* how Redis spells the name, if not in lower case; NULL: as fqdn */
	/* Of writes only: */
	bool queued;                   /* its value has yet to be sent */
	unsigned replies_due, echoes_due; /* of transactions that were sent */
	uint64_t sent_ns;              /* the last of them */
	char fqdn[];
};

struct redis_table {
	struct redis_entry **buckets;
	size_t bucket_count, count;
	struct redis_entry *first, *last;
	unsigned char key[16];
};

int redis_table_init(struct redis_table *table);     /* 0 or -ENOMEM */
void redis_table_end(struct redis_table *table);     /* frees all; init may follow */

struct redis_entry *redis_table_find(const struct redis_table *table, const char *fqdn);

/* Adds, or replaces the spec of, by a reference of its own; NULL: deleted. NULL: no memory, nothing changed. */
struct redis_entry *redis_table_put(struct redis_table *table, const char *fqdn, struct route_spec *spec);

/* Notes that it is spelled so there; as fqdn, or NULL: nothing to note. 0 or -ENOMEM. */
int redis_entry_spell(struct redis_entry *entry, const char *spelling);
void redis_table_remove(struct redis_table *table, struct redis_entry *entry);

/* Whether the entry says just that. entry may be NULL: it says "deleted". */
bool redis_entry_says(const struct redis_entry *entry, const struct route_spec *spec);

#endif
