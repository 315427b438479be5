/* SPDX-License-Identifier: MIT */
/*
 * socket_relay: the baseline of those who do without AF_XDP: a relay in C on
 * UDP sockets, 64 datagrams a recvmmsg and sendmmsg, one hash look-up of the
 * client's address a packet. A thread on CPU_WORKER.
 *
 * It is faster than a real one could be: it sends all sessions' packets from
 * one socket, so that a batch is one call whoever it is for. A real one has a
 * port, so a socket, for each client.
 */
#ifndef SLUICE_BENCH_SOCKET_RELAY_H
#define SLUICE_BENCH_SOCKET_RELAY_H

#include "lane.h"

struct socket_relay;

/* In the place of a relay in this lane, knowing this many clients; NULL: said why. */
struct socket_relay *socket_relay_start(const struct lane *lane, uint32_t clients);
void socket_relay_stop(struct socket_relay *relay);

#endif
