/* SPDX-License-Identifier: MIT */
/*
 * frame: a received Ethernet frame in its UMEM chunk, the stack of free
 * chunks, and the frames that wait to be sent. One worker's; not shared.
 *
 * A chunk is in one place at a time: the fill ring, a struct frame in hand,
 * the outbox, the TX or completion ring, or the pool. Whoever has a struct
 * frame in hand puts it into the outbox or back into the pool.
 */
#ifndef SLUICE_FRAME_H
#define SLUICE_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"

enum {
	FRAME_HEADROOM = 256,        /* XDP_PACKET_HEADROOM: the kernel leaves it free too */
	BATCH_FRAMES = 64,
	/*
	 * Frames that wait for one interface. A batch gives as many as it received,
	 * a finished first flight all it held: at most 64 KiB in datagrams of 1,200.
	 */
	OUTBOX_FRAMES = 4 * BATCH_FRAMES,
};

struct frame {
	uint8_t *data;               /* Ethernet header */
	uint64_t umem_addr;          /* of data, as AF_XDP descriptors name it */
	uint32_t len_bytes;
	uint16_t interface;          /* slot it came in on */
};

struct frame_pool {
	uint8_t *area;               /* the UMEM */
	uint64_t *free;              /* chunk addresses */
	uint32_t free_count;
	uint32_t chunk_bytes;        /* a power of two */
};

struct outbox {
	struct {
		struct frame frames[OUTBOX_FRAMES];
		unsigned count;
	} interfaces[INTERFACES_MAX];
};

/* False: none free. */
static inline bool frame_take(struct frame_pool *pool, struct frame *frame)
{
	if (pool->free_count == 0)
		return false;
	frame->umem_addr = pool->free[--pool->free_count] + FRAME_HEADROOM;
	frame->data = pool->area + frame->umem_addr;
	return true;
}

static inline void frame_give(struct frame_pool *pool, uint64_t umem_addr)
{
	pool->free[pool->free_count++] = umem_addr & ~((uint64_t)pool->chunk_bytes - 1);
}

static inline uint32_t frame_room_bytes(const struct frame_pool *pool)
{
	return pool->chunk_bytes - FRAME_HEADROOM;
}

/* False: that interface's queue is full; the frame stays in the caller's hand. */
static inline bool outbox_put(struct outbox *outbox, const struct frame *frame, uint16_t interface)
{
	unsigned *count = &outbox->interfaces[interface].count;

	if (*count == OUTBOX_FRAMES)
		return false;
	outbox->interfaces[interface].frames[(*count)++] = *frame;
	return true;
}

#endif
