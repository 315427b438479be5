/* SPDX-License-Identifier: MIT */
/* xsk_forwarder: see xsk_forwarder.h. */
#include "xsk_forwarder.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "constant_rewrite.h"
#include "constant_way.h"
#include "tests/bench/to_socket.skel.h"
#include "userspace/rings.h"

enum {
	CHUNK_BYTES = 2048,          /* as a relay has at this MTU */
	SPIN_NS = 50 * 1000,         /* as userspace/worker.c */
	SLEEP_MS = 100,
	SOCKETS = 2,
};

struct xsk_forwarder {
	const struct lane *lane;
	struct to_socket *program;
	struct rings rings;
	struct outbox outbox;
	struct constant_way way;
	pthread_t thread;
	atomic_bool stop;
};

static unsigned receive(struct xsk_forwarder *f)
{
	struct frame frames[BATCH_FRAMES];
	unsigned total = 0;

	for (unsigned i = 0; i < f->rings.socket_count; i++) {
		unsigned n = rings_receive(&f->rings, &f->rings.sockets[i], frames);

		for (unsigned j = 0; j < n; j++) {
			constant_rewrite(frames[j].data, &f->way);
			if (!outbox_put(&f->outbox, &frames[j], 1))
				frame_give(&f->rings.pool, frames[j].umem_addr);
		}
		total += n;
	}
	return total;
}

static void *forwarder_main(void *argument)
{
	struct xsk_forwarder *f = argument;
	double busy_s = 0;

	bench_pin(CPU_WORKER);
	while (!atomic_load_explicit(&f->stop, memory_order_relaxed)) {
		double now_s = bench_now_s();
		unsigned handled = receive(f);

		rings_send(&f->rings, &f->outbox);
		rings_recycle(&f->rings);
		if (handled)
			busy_s = now_s;
		if (!handled && !rings_tx_waiting(&f->rings) && now_s - busy_s > SPIN_NS / 1e9) {
			struct pollfd fds[SOCKETS];

			rings_poll_set(&f->rings, fds);
			poll(fds, f->rings.socket_count, SLEEP_MS);
		}
	}
	return NULL;
}

static bool program_start(struct xsk_forwarder *f)
{
	uint32_t queue = 0;
	int fd = xsk_socket__fd(f->rings.sockets[0].xsk);

	f->program = to_socket__open();
	if (!f->program)
		return bench_failed("to_socket: %s", strerror(errno));
	f->program->rodata->listener_port_be = htons(LISTENER_PORT);
	if (to_socket__load(f->program) || bpf_map_update_elem(bpf_map__fd(f->program->maps.sockets), &queue, &fd, BPF_ANY))
		return bench_failed("to_socket: %s", strerror(errno));
	return lane_attach(&f->lane->in, bpf_program__fd(f->program->progs.to_socket));
}

struct xsk_forwarder *xsk_forwarder_start(const struct lane *lane)
{
	struct rings_queue queues[SOCKETS] = { { 0, lane->in.name, 0 }, { 1, lane->out.name, 0 } };
	struct rings_options options = { .queues = queues, .queue_count = SOCKETS, .chunk_bytes = CHUNK_BYTES };
	struct xsk_forwarder *f = calloc(1, sizeof(*f));
	int error;

	if (!f)
		return NULL;
	f->lane = lane;
	f->way = constant_way_of(lane);
	ns_enter(lane->relay_ns);
	error = rings_open(&f->rings, &options);
	ns_leave();
	if (error) {
		bench_failed("AF_XDP sockets: %s", strerror(-error));
		free(f);
		return NULL;
	}
	if (!program_start(f) || pthread_create(&f->thread, NULL, forwarder_main, f)) {
		rings_close(&f->rings);
		free(f);
		return NULL;
	}
	return f;
}

void xsk_forwarder_stop(struct xsk_forwarder *f)
{
	if (!f)
		return;
	lane_attach(&f->lane->in, -1);
	atomic_store(&f->stop, true);
	pthread_join(f->thread, NULL);
	rings_close(&f->rings);
	to_socket__destroy(f->program);
	free(f);
}
