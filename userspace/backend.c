/* SPDX-License-Identifier: MIT */
/* backend: see backend.h. */
#include "backend.h"

#include <errno.h>
#include <string.h>

#include "address.h"
#include "endpoint.h"
#include "log.h"

/* The slot of a source address; replies to it are ours from now on. SLOT_NONE: no room. */
static uint32_t relay_address_intern(struct state *state, const struct addr *address)
{
	static const struct addr none;

	for (uint32_t slot = 0; slot < RELAY_ADDRESSES_MAX; slot++) {
		struct addr *at = &state->relay_addresses[slot].address;

		if (addr_equal(at, &none))
			*at = *address;
		if (addr_equal(at, address))
			return endpoint_add(state, ENDPOINT_RELAY, address, 0, 0, (uint8_t)slot) ? SLOT_NONE : slot;
	}
	return SLOT_NONE;
}

static int source_choose(struct backend_table *table, const struct addr *backend, struct addr *source)
{
	for (unsigned i = 0; i < table->configured_count; i++)
		if (addr_is_v4(&table->configured[i]) == addr_is_v4(backend)) {
			*source = table->configured[i];
			return 0;
		}
	return nexthop_source(table->nexthops, backend, source);
}

/* Fills in how to get there. */
static int backend_route(struct backend_table *table, struct backend *backend)
{
	struct addr source;
	uint32_t relay_address;
	int error = source_choose(table, &backend->address, &source);

	backend->nexthop = NEXTHOP_NONE;
	if (error)
		return error;
	relay_address = relay_address_intern(table->state, &source);
	if (relay_address == SLOT_NONE)
		return -ENOSPC;
	backend->relay_address = (uint8_t)relay_address;
	return nexthop_want(table->nexthops, &backend->address, true, NULL, &backend->nexthop);
}

bool backend_find(const struct state *state, const struct addr *address, __be16 port_be, uint32_t *slot)
{
	uint32_t mask = state->backend_slots - 1, free = SLOT_NONE;
	uint32_t at = (uint32_t)table_hash_addr(&state->hash_key, address, port_be, 0) & mask;

	for (; entry_is_live(&state->backends[at]); at = (at + 1) & mask) {
		const struct backend *backend = &state->backends[at];

		if (backend->port_be == port_be && addr_equal(&backend->address, address)) {
			*slot = at;
			return true;
		}
		if (free == SLOT_NONE && !(backend->flags & BACKEND_USED))
			free = at;
	}
	*slot = free == SLOT_NONE ? at : free;
	return false;
}

/* A server that was swept, or was about to be, is needed again. */
static void backend_reuse(struct backend_table *table, uint32_t slot)
{
	struct backend backend;

	if (!entry_read(&table->state->backends[slot], &backend, sizeof(backend), NULL) ||
	    (backend.flags & (BACKEND_USED | BACKEND_IDLE)) == BACKEND_USED)
		return;
	if (!(backend.flags & BACKEND_USED)) {
		table->count++;
		backend_route(table, &backend);
	}
	backend.flags = BACKEND_USED;
	entry_write(&table->state->backends[slot], &backend, sizeof(backend));
}

int backend_intern(struct backend_table *table, const struct addr *address, __be16 port_be, uint32_t *slot)
{
	struct backend backend = {
		.port_be = port_be,
		.address = *address,
		.cid_len = CID_LEN_UNKNOWN,
		.flags = BACKEND_USED,
	};
	char text[ADDRESS_TEXT_MAX];
	unsigned held;
	int error;

	if (backend_find(table->state, address, port_be, slot)) {
		backend_reuse(table, *slot);
		return 0;
	}
	if (table->count == BACKENDS_MAX)
		return -ENOSPC;
	error = backend_route(table, &backend);
	if (error && log_limit_pass(&table->unreachable, &held)) {
		address_text(text, address, port_be);
		log_warnx("backend %s: no way there out of the relay's interfaces: %s (and %u others before)", text,
			  strerror(-error), held);
	}
	entry_write(&table->state->backends[*slot], &backend, sizeof(backend));
	table->count++;
	/* It is there, and is looked up again when routes change; -ENOSPC is for the table alone. */
	return error == -ENOSPC ? -ENOBUFS : error;
}

uint32_t backend_sweep(struct state *state, const uint64_t *needed)
{
	uint32_t gone = 0;

	for (uint32_t slot = 0; slot < state->backend_slots; slot++) {
		struct backend *entry = &state->backends[slot], backend;
		uint8_t flags;

		if (!entry_read(entry, &backend, sizeof(backend), NULL) || !(backend.flags & BACKEND_USED))
			continue;
		if (needed[slot / 64] >> slot % 64 & 1)
			flags = BACKEND_USED;
		else
			flags = backend.flags & BACKEND_IDLE ? 0 : BACKEND_USED | BACKEND_IDLE;
		gone += !flags;
		if (flags == backend.flags)
			continue;
		backend.flags = flags;
		backend.cid_len = __atomic_load_n(&entry->cid_len, __ATOMIC_RELAXED);
		entry_write(entry, &backend, sizeof(backend));
	}
	return gone;
}

void backend_refresh(struct backend_table *table)
{
	table->count = 0;
	for (uint32_t slot = 0; slot < table->state->backend_slots; slot++) {
		struct backend *entry = &table->state->backends[slot], backend;

		if (!entry_read(entry, &backend, sizeof(backend), NULL) || !(backend.flags & BACKEND_USED))
			continue;
		table->count++;
		backend_route(table, &backend);
		backend.cid_len = __atomic_load_n(&entry->cid_len, __ATOMIC_RELAXED);
		entry_write(entry, &backend, sizeof(backend));
	}
}
