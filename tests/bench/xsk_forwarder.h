/* SPDX-License-Identifier: MIT */
/*
 * xsk_forwarder: the baseline of the worker: it takes frames from AF_XDP
 * sockets with the relay's own rings, writes the bytes that the relay writes,
 * from constants, and sends them; it rests as an adaptive worker does. A thread
 * on CPU_WORKER. No parsing, no table, no counter.
 */
#ifndef SLUICE_BENCH_XSK_FORWARDER_H
#define SLUICE_BENCH_XSK_FORWARDER_H

#include "lane.h"

struct xsk_forwarder;

/* In the place of a relay in this lane; NULL: said why. */
struct xsk_forwarder *xsk_forwarder_start(const struct lane *lane);
void xsk_forwarder_stop(struct xsk_forwarder *forwarder);

#endif
