/* SPDX-License-Identifier: MIT */
/*
 * socket_counters: what is counted at each AF_XDP socket: by its worker, and
 * by the kernel (getsockopt XDP_STATISTICS, linux/if_xdp.h).
 * X(enum suffix, metric label, help), as in drop_reasons.h; new ones at the end.
 */
#ifndef SLUICE_SOCKET_COUNTERS_H
#define SLUICE_SOCKET_COUNTERS_H

#define SOCKET_COUNTERS(X)                                                                                \
	X(RX_PACKETS, "rx_packets", "packets that the worker received")                                   \
	X(TX_PACKETS, "tx_packets", "packets that the worker put on the TX ring")                         \
	X(RX_RING_FULL, "rx_ring_full", "packets dropped because the RX ring was full")                   \
	X(RX_DROPPED, "rx_dropped", "packets dropped by the kernel for other reasons")                    \
	X(FILL_RING_EMPTY, "fill_ring_empty", "times the kernel found the fill ring empty")               \
	X(TX_RING_EMPTY, "tx_ring_empty", "times the kernel found the TX ring empty")                     \
	X(RX_INVALID, "rx_invalid_descriptors", "RX descriptors that the kernel found invalid")            \
	X(TX_INVALID, "tx_invalid_descriptors", "TX descriptors that the kernel found invalid")

enum socket_counter {
#define X(id, label, help) SOCKET_COUNTER_##id,
	SOCKET_COUNTERS(X)
#undef X
	SOCKET_COUNTER_COUNT
};

#endif
