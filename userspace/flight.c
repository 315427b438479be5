/* SPDX-License-Identifier: MIT */
/* flight: see flight.h. Worker thread. */
#include "flight.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static void *memory_new(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static void memory_end(void *memory, size_t size)
{
	if (memory)
		munmap(memory, size);
}

static uint32_t index_of(const struct flight_table *table, const struct flight *flight)
{
	return (uint32_t)(flight - table->flights);
}

static struct flight *flight_at(const struct flight_table *table, uint32_t index)
{
	return index == SLOT_NONE ? NULL : &table->flights[index];
}

/* A power of two, at most half of them used. */
static uint32_t buckets_for(uint32_t count)
{
	uint32_t buckets = 2;

	while (buckets < count * 2ull)
		buckets <<= 1;
	return buckets;
}

int flight_table_init(struct flight_table *table, uint32_t count, uint32_t held_bytes_max,
		      const struct siphash_key *hash_key)
{
	uint32_t buckets = buckets_for(count);

	*table = (struct flight_table){
		.hash_key = *hash_key,
		.count = count,
		.bucket_mask = buckets - 1,
		.free = 0,
		.oldest = SLOT_NONE,
		.newest = SLOT_NONE,
		.held_bytes_max = held_bytes_max,
	};
	table->flights = memory_new(count * sizeof(*table->flights));
	table->buckets = memory_new(buckets * sizeof(*table->buckets));
	table->held = memory_new((size_t)count * held_bytes_max);
	if (!table->flights || !table->buckets || !table->held) {
		flight_table_end(table);
		return -ENOMEM;
	}
	memset(table->buckets, 0xff, buckets * sizeof(*table->buckets));
	for (uint32_t i = 0; i < count; i++) {
		table->flights[i].bucket_next = i + 1 < count ? i + 1 : SLOT_NONE;
		table->flights[i].held = table->held + (size_t)i * held_bytes_max;
	}
	return 0;
}

void flight_table_end(struct flight_table *table)
{
	memory_end(table->flights, table->count * sizeof(*table->flights));
	memory_end(table->buckets, ((size_t)table->bucket_mask + 1) * sizeof(*table->buckets));
	memory_end(table->held, (size_t)table->count * table->held_bytes_max);
	*table = (struct flight_table){ 0 };
}

static uint32_t *bucket_of(struct flight_table *table, const struct tuple *tuple, const struct quic_cid *dcid)
{
	uint64_t hash = path_hash(&table->hash_key, &tuple->client, tuple->client_port_be, tuple->endpoint, 0);

	return &table->buckets[cid_hash(&table->hash_key, dcid->bytes, dcid->len, hash) & table->bucket_mask];
}

static bool flight_is(const struct flight *flight, const struct tuple *tuple, const struct quic_cid *dcid)
{
	return flight->tuple.client_port_be == tuple->client_port_be && flight->tuple.endpoint == tuple->endpoint &&
	       addr_equal(&flight->tuple.client, &tuple->client) && quic_cid_equal(&flight->hello.original_dcid, dcid);
}

struct flight *flight_find(struct flight_table *table, const struct tuple *tuple, const struct quic_cid *dcid)
{
	struct flight *flight;

	if (table->used == 0)
		return NULL;
	flight = flight_at(table, *bucket_of(table, tuple, dcid));
	while (flight && !flight_is(flight, tuple, dcid))
		flight = flight_at(table, flight->bucket_next);
	return flight;
}

struct flight *flight_open(struct flight_table *table, const struct tuple *tuple, const struct hello *hello,
			   uint64_t now_ns, bool *evicted)
{
	struct flight *flight;
	uint32_t *bucket, index;

	*evicted = table->free == SLOT_NONE;
	if (*evicted)
		flight_close(table, flight_oldest(table));
	index = table->free;
	flight = &table->flights[index];
	table->free = flight->bucket_next;

	flight->tuple = *tuple;
	flight->opened_ns = now_ns;
	flight->held_bytes = 0;
	flight->wait = FLIGHT_HELLO;
	flight->serial = ++table->serial ? table->serial : ++table->serial;
	flight->hello = *hello;
	bucket = bucket_of(table, tuple, &hello->original_dcid);
	flight->bucket_next = *bucket;
	*bucket = index;
	flight->older = table->newest;
	flight->newer = SLOT_NONE;
	if (table->newest == SLOT_NONE)
		table->oldest = index;
	else
		table->flights[table->newest].newer = index;
	table->newest = index;
	table->used++;
	return flight;
}

void flight_close(struct flight_table *table, struct flight *flight)
{
	uint32_t index = index_of(table, flight);
	uint32_t *link = bucket_of(table, &flight->tuple, &flight->hello.original_dcid);

	while (*link != index)
		link = &table->flights[*link].bucket_next;
	*link = flight->bucket_next;
	if (flight->older == SLOT_NONE)
		table->oldest = flight->newer;
	else
		table->flights[flight->older].newer = flight->newer;
	if (flight->newer == SLOT_NONE)
		table->newest = flight->older;
	else
		table->flights[flight->newer].older = flight->older;
	if (flight->wait != FLIGHT_HELLO)
		table->waiting--;
	flight->serial = 0;
	flight->bucket_next = table->free;
	table->free = index;
	table->used--;
}

void flight_wait(struct flight_table *table, struct flight *flight, enum flight_wait wait)
{
	if (flight->wait == FLIGHT_HELLO)
		table->waiting++;
	flight->wait = wait;
}

uint64_t flight_id(const struct flight_table *table, const struct flight *flight)
{
	return (uint64_t)flight->serial << 24 | index_of(table, flight);
}

struct flight *flight_of_id(struct flight_table *table, uint64_t id)
{
	uint32_t index = id & 0xffffff, serial = (uint32_t)(id >> 24);

	/* A free flight has serial 0, which none is given. */
	return index < table->count && serial && table->flights[index].serial == serial ? &table->flights[index] : NULL;
}

bool flight_hold(struct flight_table *table, struct flight *flight, const uint8_t *frame, uint16_t len_bytes,
		 uint16_t interface)
{
	uint8_t *record = flight->held + flight->held_bytes;

	if (flight->held_bytes + 4u + len_bytes > table->held_bytes_max)
		return false;
	memcpy(record, &len_bytes, 2);
	memcpy(record + 2, &interface, 2);
	memcpy(record + 4, frame, len_bytes);
	flight->held_bytes += 4u + len_bytes;
	return true;
}

bool flight_next(const struct flight *flight, uint32_t *at, const uint8_t **frame, uint16_t *len_bytes,
		 uint16_t *interface)
{
	const uint8_t *record = flight->held + *at;

	if (*at >= flight->held_bytes)
		return false;
	memcpy(len_bytes, record, 2);
	memcpy(interface, record + 2, 2);
	*frame = record + 4;
	*at += 4u + *len_bytes;
	return true;
}

struct flight *flight_oldest(struct flight_table *table)
{
	return flight_at(table, table->oldest);
}

struct flight *flight_newer(struct flight_table *table, const struct flight *flight)
{
	return flight_at(table, flight->newer);
}
