/* SPDX-License-Identifier: MIT */
/*
 * sessions: the sessions that a relay under test forwards. Client i of
 * lane.h has the CID of generator_abi.h. Main thread.
 */
#ifndef SLUICE_BENCH_SESSIONS_H
#define SLUICE_BENCH_SESSIONS_H

#include "relay_process.h"

/* Sockets of client 0 and of its backend, in their namespaces; neither blocks. */
struct endpoints {
	int client, backend;
};

/* The client sends to the listener, or (direct) to the backend itself. */
bool endpoints_open(struct endpoints *endpoints, const struct lane *lane, bool direct);
void endpoints_close(struct endpoints *endpoints);

/*
 * Client 0's session by a handshake through the running relay: Initial with
 * SNI b0.test, the backend's Initial with its CID, the client's Handshake with
 * it. The relay has then found its way to backend and clients.
 */
bool sessions_establish(const struct endpoints *endpoints);

/*
 * Clients 1 to count - 1: written into the tables by the relay's own functions
 * while it is halted (a handshake each would take seconds, and is measured
 * apart). They are what they had become some seconds after their handshake:
 * confirmed, with the backend's CID, spread over all backends.
 */
bool sessions_fill(struct relay_process *relay, uint32_t count);

/* A datagram with SNI bN.test in one Initial of 1,200 bytes. */
size_t sessions_initial(uint8_t *out, unsigned backend, uint64_t dcid);

#endif
