/* SPDX-License-Identifier: MIT */
/*
 * rings: a worker's UMEM and its AF_XDP sockets, one per queue it owns on each
 * interface. All share the UMEM, so a frame received on one interface is sent
 * on another where it lies (Documentation/networking/af_xdp.rst,
 * XDP_SHARED_UMEM). Opened by the steward, then used by the worker alone.
 */
#ifndef SLUICE_RINGS_H
#define SLUICE_RINGS_H

#include <poll.h>
#include <xdp/xsk.h>

#include "frame.h"

enum {
	/*
	 * Frames a socket's RX and TX ring hold. 2,048 absorb 1 ms at 2 Mpps while
	 * the worker is away; more only costs cache. The fill ring is twice the RX
	 * ring: some drivers take whole batches before they give one back.
	 */
	RX_RING_FRAMES = 2048,
	TX_RING_FRAMES = 2048,
	FILL_RING_FRAMES = 2 * RX_RING_FRAMES,
	COMPLETION_RING_FRAMES = 2 * TX_RING_FRAMES,
};

struct rings_socket {
	struct xsk_socket *xsk;
	struct xsk_ring_cons rx, completion;
	struct xsk_ring_prod tx, fill;
	uint16_t interface;          /* slot */
	uint32_t queue;
	bool zero_copy;              /* else copy mode */
	bool zero_copy_refused;      /* in copy mode, though it was to be zero copy */
	uint32_t tx_outstanding;     /* submitted and not completed yet */
	uint64_t rx_packets, tx_packets;
};

struct rings {
	struct xsk_umem *umem;
	struct frame_pool pool;
	uint32_t frame_count;
	struct rings_socket *sockets;
	unsigned socket_count;
	struct rings_socket *out[INTERFACES_MAX]; /* the socket that sends on an interface */
};

struct rings_queue {
	uint16_t interface;          /* slot */
	const char *ifname;
	uint32_t queue;
};

struct rings_options {
	const struct rings_queue *queues;
	unsigned queue_count;
	uint32_t chunk_bytes;        /* 2048 or 4096 */
	bool zero_copy_try, zero_copy_must;
};

/*
 * 0 or -errno. The XDP program must not redirect to the sockets yet. EBUSY of
 * a queue whose last socket is still being released is waited out (2 s).
 */
int rings_open(struct rings *rings, const struct rings_options *options);
void rings_close(struct rings *rings);

/* Up to BATCH_FRAMES received frames of one socket. */
unsigned rings_receive(struct rings *rings, struct rings_socket *socket, struct frame frames[static BATCH_FRAMES]);

/*
 * Has the headers of the frames that rings_receive will give next come from the cache of
 * whoever wrote them, while others are sent: a system call hides all of the way.
 */
void rings_fetch_ahead(struct rings *rings);

/* Puts the outbox on the TX rings and wakes the kernel. How many frames found no room. */
unsigned rings_send(struct rings *rings, struct outbox *outbox);

/* Takes completed frames back and refills the fill rings. */
void rings_recycle(struct rings *rings);

/*
 * What its worker and the kernel (getsockopt XDP_STATISTICS) counted there, and
 * what is on its rings, to the memory that other processes read. The worker's,
 * as the socket's lock is held meanwhile: 0.4 us. Name, flags and worker stay.
 */
void rings_stats(const struct rings_socket *socket, struct socket_stats *stats);

/* True while the kernel has not taken all that rings_send queued: do not sleep. */
bool rings_tx_waiting(const struct rings *rings);

/* Fills fds[0..socket_count) to sleep until one of the sockets has received. */
void rings_poll_set(const struct rings *rings, struct pollfd *fds);

#endif
