/* SPDX-License-Identifier: MIT */
/*
 * ring: a bounded queue of fixed-size elements from one thread to one other.
 * Neither side ever waits; a full ring refuses.
 */
#ifndef SLUICE_RING_H
#define SLUICE_RING_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

struct ring {
	uint8_t *elements;
	uint32_t element_size;
	uint32_t mask;                            /* elements - 1 */
	_Alignas(64) uint32_t head;               /* written by the producer */
	_Alignas(64) uint32_t tail;               /* written by the consumer */
};

/* count: a power of two. Memory is taken from the kernel as it is first touched. 0 or -1 with errno. */
static inline int ring_init(struct ring *ring, uint32_t count, uint32_t element_size)
{
	void *memory = mmap(NULL, (size_t)count * element_size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		return -1;
	*ring = (struct ring){ .elements = memory, .element_size = element_size, .mask = count - 1 };
	return 0;
}

static inline void ring_end(struct ring *ring)
{
	if (ring->elements)
		munmap(ring->elements, ((size_t)ring->mask + 1) * ring->element_size);
	ring->elements = NULL;
}

/* Producer: the element to fill, then ring_push; NULL when full. */
static inline void *ring_space(struct ring *ring)
{
	/* acquire: pairs with ring_pop; the consumer is done with what it gave back. */
	if (ring->head - __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE) > ring->mask)
		return NULL;
	return ring->elements + (size_t)(ring->head & ring->mask) * ring->element_size;
}

static inline void ring_push(struct ring *ring)
{
	/* release: pairs with the acquire in ring_front; the element is visible before its number. */
	__atomic_store_n(&ring->head, ring->head + 1, __ATOMIC_RELEASE);
}

/* Consumer: the oldest element, then ring_pop; NULL when empty. */
static inline void *ring_front(struct ring *ring)
{
	if (__atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) == ring->tail)
		return NULL;
	return ring->elements + (size_t)(ring->tail & ring->mask) * ring->element_size;
}

static inline void ring_pop(struct ring *ring)
{
	__atomic_store_n(&ring->tail, ring->tail + 1, __ATOMIC_RELEASE);
}

/* Consumer: how many elements there are, at least. */
static inline uint32_t ring_count(const struct ring *ring)
{
	return __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) - ring->tail;
}

static inline bool ring_is_empty(const struct ring *ring)
{
	return __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) == __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
}

#endif
