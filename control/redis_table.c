/* SPDX-License-Identifier: MIT */
/* redis_table: see redis_table.h. */
#include "control/redis_table.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "control/siphash_text.h"

enum { BUCKETS_FIRST = 64 };

int redis_table_init(struct redis_table *table)
{
	memset(table, 0, sizeof(*table));
	table->bucket_count = BUCKETS_FIRST;
	table->buckets = calloc(table->bucket_count, sizeof(table->buckets[0]));
	if (getrandom(table->key, sizeof(table->key), 0) != sizeof(table->key))
		memset(table->key, 0x5a, sizeof(table->key)); /* no kernel of ours answers less */
	return table->buckets ? 0 : -ENOMEM;
}

static void entry_free(struct redis_entry *entry)
{
	route_spec_release(entry->spec);
	free(entry->spelling);
	free(entry);
}

void redis_table_end(struct redis_table *table)
{
	for (struct redis_entry *entry = table->first, *after; entry; entry = after) {
		after = entry->after;
		entry_free(entry);
	}
	free(table->buckets);
	memset(table, 0, sizeof(*table));
}

static struct redis_entry **bucket_of(const struct redis_table *table, const char *fqdn)
{
	struct siphash_key key;
	struct siphash hash;

	memcpy(&key, table->key, sizeof(key));
	hash = siphash_init(&key);
	siphash_text(&hash, fqdn);
	return &table->buckets[siphash_final(&hash) & (table->bucket_count - 1)];
}

struct redis_entry *redis_table_find(const struct redis_table *table, const char *fqdn)
{
	struct redis_entry *entry = *bucket_of(table, fqdn);

	while (entry && strcmp(entry->fqdn, fqdn) != 0)
		entry = entry->chain;
	return entry;
}

/* Twice the buckets; without memory for them chains are just longer. */
static void grow(struct redis_table *table)
{
	struct redis_entry **buckets = calloc(table->bucket_count * 2, sizeof(buckets[0]));

	if (!buckets)
		return;
	free(table->buckets);
	table->buckets = buckets;
	table->bucket_count *= 2;
	for (struct redis_entry *entry = table->first; entry; entry = entry->after) {
		struct redis_entry **bucket = bucket_of(table, entry->fqdn);

		entry->chain = *bucket;
		*bucket = entry;
	}
}

static struct redis_entry *add(struct redis_table *table, const char *fqdn)
{
	size_t len = strlen(fqdn) + 1;
	struct redis_entry **bucket, *entry = calloc(1, sizeof(*entry) + len);

	if (!entry)
		return NULL;
	memcpy(entry->fqdn, fqdn, len);
	if (table->count >= table->bucket_count)
		grow(table);
	bucket = bucket_of(table, fqdn);
	entry->chain = *bucket;
	*bucket = entry;
	entry->before = table->last;
	*(table->last ? &table->last->after : &table->first) = entry;
	table->last = entry;
	table->count++;
	return entry;
}

struct redis_entry *redis_table_put(struct redis_table *table, const char *fqdn, struct route_spec *spec)
{
	struct redis_entry *entry = redis_table_find(table, fqdn);

	if (!entry)
		entry = add(table, fqdn);
	if (!entry)
		return NULL;
	route_spec_hold(spec);
	route_spec_release(entry->spec);
	entry->spec = spec;
	return entry;
}

int redis_entry_spell(struct redis_entry *entry, const char *spelling)
{
	char *copy;

	if (!spelling || strcmp(spelling, entry->fqdn) == 0)
		return 0;
	copy = strdup(spelling);
	if (!copy)
		return -ENOMEM;
	free(entry->spelling);
	entry->spelling = copy;
	return 0;
}

void redis_table_remove(struct redis_table *table, struct redis_entry *entry)
{
	struct redis_entry **at = bucket_of(table, entry->fqdn);

	while (*at != entry)
		at = &(*at)->chain;
	*at = entry->chain;
	*(entry->before ? &entry->before->after : &table->first) = entry->after;
	*(entry->after ? &entry->after->before : &table->last) = entry->before;
	table->count--;
	entry_free(entry);
}

bool redis_entry_says(const struct redis_entry *entry, const struct route_spec *spec)
{
	const struct route_spec *said = entry ? entry->spec : NULL;

	return said && spec ? route_spec_equal(said, spec) : !said && !spec;
}
