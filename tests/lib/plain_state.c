/* SPDX-License-Identifier: MIT */
/* plain_state: see plain_state.h. */
#include "plain_state.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static void *zeroed(size_t count, size_t size)
{
	void *memory = aligned_alloc(128, (count * size + 127) & ~(size_t)127);

	if (!memory)
		abort();
	return memset(memory, 0, (count * size + 127) & ~(size_t)127);
}

static struct table table_new(uint32_t slots, uint32_t entry_size)
{
	return (struct table){ zeroed(slots, entry_size), entry_size, slots };
}

void plain_state_init(struct state *state, uint32_t sessions)
{
	*state = (struct state){
		.globals = zeroed(1, sizeof(struct globals)),
		.paths = table_new(state_path_slots(sessions), sizeof(struct path_entry)),
		.replies = table_new(state_path_slots(sessions), sizeof(struct reply_entry)),
		.cids = table_new(state_cid_slots(sessions), sizeof(struct cid_entry)),
		.endpoints = table_new(ENDPOINT_SLOTS, sizeof(struct endpoint)),
		.sessions = zeroed(sessions, sizeof(struct session)),
		.backends = zeroed(64, sizeof(struct backend)),
		.relay_addresses = zeroed(RELAY_ADDRESSES_MAX, sizeof(struct relay_address)),
		.nexthops = zeroed(NEXTHOP_SLOTS, sizeof(struct nexthop)),
		.worker_counters = zeroed(WORKERS_MAX, sizeof(struct worker_record)),
		.host_ports = zeroed(1024, sizeof(uint64_t)),
		.session_slots = sessions,
		.backend_slots = 64,
		.hash_key = { 0x0706050403020100, 0x0f0e0d0c0b0a0908 },
	};
	state->globals->relay_ports[0] = 1024;
	state->globals->relay_ports[1] = 32767;
	state->globals->relay_ports[2] = 61000;
	state->globals->relay_ports[3] = 65535;
	state->globals->idle_timeout_s = 180;
	state->globals->idle_timeout_unconfirmed_s = 10;
	state->globals->pinned_silence_s = 3;
}

void plain_state_end(struct state *state)
{
	free(state->globals);
	free(state->paths.entries);
	free(state->replies.entries);
	free(state->cids.entries);
	free(state->endpoints.entries);
	free(state->sessions);
	free(state->backends);
	free(state->relay_addresses);
	free(state->nexthops);
	free(state->worker_counters);
	free(state->host_ports);
}

void plain_nexthop(struct state *state, uint16_t slot, uint16_t interface, uint16_t mtu_bytes)
{
	struct nexthop nexthop = {
		.ifindex = interface + 1u,
		.interface = interface,
		.mtu_bytes = mtu_bytes,
		.dmac = { 2, 0, 0, 0, 1, (uint8_t)slot },
		.smac = { 2, 0, 0, 0, 2, (uint8_t)slot },
		.flags = NEXTHOP_RESOLVED,
	};

	entry_write(&state->nexthops[slot], &nexthop, sizeof(nexthop));
}

void plain_backend(struct state *state, uint32_t slot, const char *address, uint16_t port, uint16_t nexthop,
		   uint8_t relay_address)
{
	struct backend backend = {
		.port_be = htons(port),
		.nexthop = nexthop,
		.address = plain_addr(address),
		.relay_address = relay_address,
		.cid_len = CID_LEN_UNKNOWN,
		.flags = BACKEND_USED,
	};

	entry_write(&state->backends[slot], &backend, sizeof(backend));
}

struct addr plain_addr(const char *text)
{
	struct addr addr = { .words_be = { 0, 0, htonl(0xffff), 0 } };

	if (inet_pton(AF_INET, text, &addr.words_be[3]) != 1 && inet_pton(AF_INET6, text, &addr) != 1)
		abort();
	return addr;
}

unsigned plain_count(const struct table *table)
{
	unsigned count = 0;

	for (uint32_t slot = 0; slot < table->slots; slot++)
		count += entry_is_live(table_at(table, slot));
	return count;
}
