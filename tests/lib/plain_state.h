/* SPDX-License-Identifier: MIT */
/* plain_state: struct state in plain memory, as the data plane would map it. Tests. */
#ifndef SLUICE_PLAIN_STATE_H
#define SLUICE_PLAIN_STATE_H

#include "userspace/state.h"

/* Tables for this many sessions (so small ones can be filled), 64 backends, one worker's counters. */
void plain_state_init(struct state *state, uint32_t sessions);
void plain_state_end(struct state *state);

/* A resolved next hop out of an interface slot, and a backend behind it. */
void plain_nexthop(struct state *state, uint16_t slot, uint16_t interface, uint16_t mtu_bytes);
void plain_backend(struct state *state, uint32_t slot, const char *address, uint16_t port, uint16_t nexthop,
		   uint8_t relay_address);

/* Numeric address, v4 mapped; aborts on nonsense. */
struct addr plain_addr(const char *text);

/* Live entries of a table. */
unsigned plain_count(const struct table *table);

#endif
