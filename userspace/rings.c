/* SPDX-License-Identifier: MIT */
/* rings: see rings.h. */
#include "rings.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include "log.h"

enum { BUSY_RETRIES = 100, BUSY_RETRY_MS = 20 };

/* One UMEM chunk for every place in every ring, so that no ring can starve another. */
static uint32_t frames_needed(unsigned sockets)
{
	return sockets * (FILL_RING_FRAMES + TX_RING_FRAMES) + 4 * BATCH_FRAMES;
}

static int umem_open(struct rings *rings, const struct rings_options *options, struct rings_socket *first)
{
	struct xsk_umem_config config = {
		.fill_size = FILL_RING_FRAMES,
		.comp_size = COMPLETION_RING_FRAMES,
		.frame_size = options->chunk_bytes,
		.frame_headroom = 0,
	};
	size_t size;

	rings->frame_count = frames_needed(options->queue_count);
	size = (size_t)rings->frame_count * options->chunk_bytes;
	rings->pool.chunk_bytes = options->chunk_bytes;
	rings->pool.free = calloc(rings->frame_count, sizeof(*rings->pool.free));
	rings->pool.area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!rings->pool.free || rings->pool.area == MAP_FAILED) {
		rings->pool.area = NULL;
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < rings->frame_count; i++)
		frame_give(&rings->pool, (uint64_t)(rings->frame_count - 1 - i) * options->chunk_bytes);
	return xsk_umem__create(&rings->umem, rings->pool.area, size, &first->fill, &first->completion, &config);
}

static int socket_create(struct rings *rings, struct rings_socket *socket, const struct rings_queue *queue,
			 uint16_t bind_flags)
{
	struct xsk_socket_config config = {
		.rx_size = RX_RING_FRAMES,
		.tx_size = TX_RING_FRAMES,
		.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD,
		.bind_flags = bind_flags | XDP_USE_NEED_WAKEUP,
	};

	return xsk_socket__create_shared(&socket->xsk, queue->ifname, queue->queue, rings->umem, &socket->rx,
					 &socket->tx, &socket->fill, &socket->completion, &config);
}

/* A socket that died a moment ago is released by the kernel behind its back. */
static int socket_create_patiently(struct rings *rings, struct rings_socket *socket, const struct rings_queue *queue,
				   uint16_t bind_flags)
{
	int error = -EBUSY;

	for (int i = 0; i < BUSY_RETRIES && error == -EBUSY; i++) {
		if (i)
			nanosleep(&(struct timespec){ .tv_nsec = BUSY_RETRY_MS * 1000000L }, NULL);
		error = socket_create(rings, socket, queue, bind_flags);
	}
	return error;
}

static int socket_open(struct rings *rings, struct rings_socket *socket, const struct rings_queue *queue,
		       const struct rings_options *options)
{
	struct xdp_options bound = { 0 };
	socklen_t bound_len = sizeof(bound);
	int error = -EOPNOTSUPP;

	socket->interface = queue->interface;
	socket->queue = queue->queue;
	if (options->zero_copy_try) {
		error = socket_create_patiently(rings, socket, queue, XDP_ZEROCOPY);
		if (error && options->zero_copy_must) {
			errno = -error;
			log_error("%s queue %u: zero copy", queue->ifname, queue->queue);
			return error;
		}
	}
	if (error)
		error = socket_create_patiently(rings, socket, queue, XDP_COPY);
	if (error) {
		errno = -error;
		log_error("%s queue %u: AF_XDP socket", queue->ifname, queue->queue);
		return error;
	}
	/* Sockets behind the first take their mode from the UMEM's: ask the kernel what became of them. */
	if (getsockopt(xsk_socket__fd(socket->xsk), SOL_XDP, XDP_OPTIONS, &bound, &bound_len) == 0)
		socket->zero_copy = bound.flags & XDP_OPTIONS_ZEROCOPY;
	socket->zero_copy_refused = options->zero_copy_try && !socket->zero_copy;
	if (!rings->out[queue->interface])
		rings->out[queue->interface] = socket;
	return 0;
}

static void fill_refill(struct rings *rings, struct rings_socket *socket)
{
	uint32_t at, n = xsk_prod_nb_free(&socket->fill, FILL_RING_FRAMES);

	if (n > rings->pool.free_count)
		n = rings->pool.free_count;
	if (n < BATCH_FRAMES || xsk_ring_prod__reserve(&socket->fill, n, &at) != n)
		return;
	for (uint32_t i = 0; i < n; i++)
		*xsk_ring_prod__fill_addr(&socket->fill, at + i) = rings->pool.free[--rings->pool.free_count];
	xsk_ring_prod__submit(&socket->fill, n);
	if (xsk_ring_prod__needs_wakeup(&socket->fill))
		recvfrom(xsk_socket__fd(socket->xsk), NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

int rings_open(struct rings *rings, const struct rings_options *options)
{
	int error;

	memset(rings, 0, sizeof(*rings));
	rings->sockets = calloc(options->queue_count, sizeof(*rings->sockets));
	if (!rings->sockets)
		return -ENOMEM;
	error = umem_open(rings, options, &rings->sockets[0]);
	for (unsigned i = 0; !error && i < options->queue_count; i++) {
		error = socket_open(rings, &rings->sockets[i], &options->queues[i], options);
		rings->socket_count += !error;
	}
	if (error) {
		rings_close(rings);
		return error;
	}
	for (unsigned i = 0; i < rings->socket_count; i++)
		fill_refill(rings, &rings->sockets[i]);
	return 0;
}

void rings_close(struct rings *rings)
{
	for (unsigned i = 0; i < rings->socket_count; i++)
		xsk_socket__delete(rings->sockets[i].xsk);
	if (rings->umem)
		xsk_umem__delete(rings->umem);
	if (rings->pool.area)
		munmap(rings->pool.area, (size_t)rings->frame_count * rings->pool.chunk_bytes);
	free(rings->pool.free);
	free(rings->sockets);
	memset(rings, 0, sizeof(*rings));
}

unsigned rings_receive(struct rings *rings, struct rings_socket *socket, struct frame frames[static BATCH_FRAMES])
{
	uint32_t at;
	unsigned n = xsk_ring_cons__peek(&socket->rx, BATCH_FRAMES, &at);

	for (unsigned i = 0; i < n; i++) {
		const struct xdp_desc *desc = xsk_ring_cons__rx_desc(&socket->rx, at + i);

		frames[i] = (struct frame){
			.data = rings->pool.area + desc->addr,
			.umem_addr = desc->addr,
			.len_bytes = desc->len,
			.interface = socket->interface,
		};
	}
	if (n)
		xsk_ring_cons__release(&socket->rx, n);
	socket->rx_packets += n;
	return n;
}

void rings_fetch_ahead(struct rings *rings)
{
	for (unsigned i = 0; i < rings->socket_count; i++) {
		struct xsk_ring_cons *rx = &rings->sockets[i].rx;
		uint32_t n = xsk_cons_nb_avail(rx, BATCH_FRAMES);

		/* For writing: the line of a frame that is forwarded is rewritten. */
		for (uint32_t j = 0; j < n; j++)
			__builtin_prefetch(rings->pool.area + xsk_ring_cons__rx_desc(rx, rx->cached_cons + j)->addr, 1);
	}
}

/* Frames on a TX or fill ring that the kernel has not taken yet. */
static uint32_t frames_on(const struct xsk_ring_prod *ring)
{
	return ring->cached_prod - __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE);
}

static uint32_t tx_waiting(const struct rings_socket *socket)
{
	return frames_on(&socket->tx);
}

/*
 * In copy mode the kernel sends 32 packets a call, whatever is queued, and may
 * say EAGAIN in between. Bounded: what it does not take now, rings_recycle
 * kicks again.
 */
static void tx_kick(struct rings_socket *socket)
{
	for (uint32_t calls = 1 + tx_waiting(socket) / 32; calls > 0 && tx_waiting(socket) > 0; calls--) {
		if (!xsk_ring_prod__needs_wakeup(&socket->tx))
			return;
		if (sendto(xsk_socket__fd(socket->xsk), NULL, 0, MSG_DONTWAIT, NULL, 0) < 0 && errno != EAGAIN &&
		    errno != EBUSY && errno != ENOBUFS)
			return;
	}
}

static void completions_take(struct rings *rings, struct rings_socket *socket)
{
	uint32_t at;
	unsigned n = xsk_ring_cons__peek(&socket->completion, COMPLETION_RING_FRAMES, &at);

	for (unsigned i = 0; i < n; i++)
		frame_give(&rings->pool, *xsk_ring_cons__comp_addr(&socket->completion, at + i));
	if (n)
		xsk_ring_cons__release(&socket->completion, n);
	socket->tx_outstanding -= n;
}

/* Queues one interface's frames. How many found no room and went back to the pool. */
static unsigned send_on(struct rings *rings, struct rings_socket *socket, const struct frame *frames, unsigned n)
{
	unsigned room = socket ? xsk_prod_nb_free(&socket->tx, n) : 0, queued = n < room ? n : room;
	uint32_t at;

	if (queued && xsk_ring_prod__reserve(&socket->tx, queued, &at) == queued) {
		for (unsigned i = 0; i < queued; i++)
			*xsk_ring_prod__tx_desc(&socket->tx, at + i) = (struct xdp_desc){
				.addr = frames[i].umem_addr,
				.len = frames[i].len_bytes,
			};
		xsk_ring_prod__submit(&socket->tx, queued);
		socket->tx_outstanding += queued;
		socket->tx_packets += queued;
	}
	for (unsigned i = queued; i < n; i++)
		frame_give(&rings->pool, frames[i].umem_addr);
	if (socket)
		tx_kick(socket);
	return n - queued;
}

unsigned rings_send(struct rings *rings, struct outbox *outbox)
{
	unsigned dropped = 0;

	for (unsigned i = 0; i < INTERFACES_MAX; i++) {
		unsigned n = outbox->interfaces[i].count;

		if (n == 0)
			continue;
		outbox->interfaces[i].count = 0;
		dropped += send_on(rings, rings->out[i], outbox->interfaces[i].frames, n);
	}
	return dropped;
}

void rings_recycle(struct rings *rings)
{
	for (unsigned i = 0; i < rings->socket_count; i++) {
		struct rings_socket *socket = &rings->sockets[i];

		if (socket->tx_outstanding) {
			completions_take(rings, socket);
			tx_kick(socket);
		}
		fill_refill(rings, socket);
	}
}

void rings_stats(const struct rings_socket *socket, struct socket_stats *stats)
{
	struct xdp_statistics kernel = { 0 };
	socklen_t kernel_len = sizeof(kernel);
	uint64_t counters[SOCKET_COUNTER_COUNT];

	if (getsockopt(xsk_socket__fd(socket->xsk), SOL_XDP, XDP_STATISTICS, &kernel, &kernel_len) < 0)
		return;
	counters[SOCKET_COUNTER_RX_PACKETS] = socket->rx_packets;
	counters[SOCKET_COUNTER_TX_PACKETS] = socket->tx_packets;
	counters[SOCKET_COUNTER_RX_RING_FULL] = kernel.rx_ring_full;
	counters[SOCKET_COUNTER_RX_DROPPED] = kernel.rx_dropped;
	counters[SOCKET_COUNTER_FILL_RING_EMPTY] = kernel.rx_fill_ring_empty_descs;
	counters[SOCKET_COUNTER_TX_RING_EMPTY] = kernel.tx_ring_empty_descs;
	counters[SOCKET_COUNTER_RX_INVALID] = kernel.rx_invalid_descs;
	counters[SOCKET_COUNTER_TX_INVALID] = kernel.tx_invalid_descs;
	for (unsigned i = 0; i < SOCKET_COUNTER_COUNT; i++)
		__atomic_store_n(&stats->counters[i], counters[i], __ATOMIC_RELAXED);
	__atomic_store_n(&stats->fill_frames, frames_on(&socket->fill), __ATOMIC_RELAXED);
	__atomic_store_n(&stats->tx_frames, frames_on(&socket->tx), __ATOMIC_RELAXED);
}

bool rings_tx_waiting(const struct rings *rings)
{
	for (unsigned i = 0; i < rings->socket_count; i++)
		if (tx_waiting(&rings->sockets[i]))
			return true;
	return false;
}

void rings_poll_set(const struct rings *rings, struct pollfd *fds)
{
	for (unsigned i = 0; i < rings->socket_count; i++)
		fds[i] = (struct pollfd){ .fd = xsk_socket__fd(rings->sockets[i].xsk), .events = POLLIN };
}
