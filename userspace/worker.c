/* SPDX-License-Identifier: MIT */
/* worker: see worker.h. All but init, start, stop, end and wake runs on the worker's own thread. */
#include "worker.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum {
	/*
	 * How long an adaptive worker spins after its last packet. Sleep and wake-up
	 * cost some 20 us a packet; spinning longer only burns the core between
	 * bursts. 50 us covers the gaps of a stream of 20,000 packets a second.
	 */
	SPIN_NS = 50 * 1000,
	/*
	 * So many frames ahead a header is fetched that another core, or a device,
	 * wrote; a few are handled meanwhile. 4 and 8 gain 4 to 6 % at 64 and 1,200
	 * bytes; with 16, or a batch at once, lines are gone again when their turn
	 * comes: half of that.
	 */
	FETCH_AHEAD_FRAMES = 4,
	HOUSEKEEPING_NS = 10 * 1000 * 1000,
	SLEEP_MS = 100,
	SESSION_SWEEP_MS = 2000,         /* every session is looked at this often */
	HANDOVER_SLOTS = 64,             /* between two workers; a burst of first flights that RSS put elsewhere */
	REPORT_SLOTS = 1024,
	REQUEST_SLOTS = 256,
	QUESTION_SLOTS = 256,
	NOTE_SLOTS = 1024,
	COMMAND_SLOTS = 1024,
};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

static void clock_read(struct worker *worker)
{
	worker->forwarder.now_ns = clock_ns(CLOCK_MONOTONIC);
	worker->forwarder.now_s = (uint32_t)(clock_ns(CLOCK_MONOTONIC_COARSE) / 1000000000ull);
}

/* --- receive and handle ------------------------------------------------------------------------- */

/* For writing: the line of a frame that is forwarded is rewritten. */
static void fetch(const struct frame *frames, unsigned n, unsigned at)
{
	if (at < n)
		__builtin_prefetch(frames[at].data, 1);
}

static unsigned serve_sockets(struct worker *worker)
{
	struct frame frames[BATCH_FRAMES];
	unsigned total = 0;

	for (unsigned i = 0; i < worker->rings.socket_count; i++) {
		unsigned n = rings_receive(&worker->rings, &worker->rings.sockets[i], frames);

		for (unsigned j = 0; j < FETCH_AHEAD_FRAMES; j++)
			fetch(frames, n, j);
		for (unsigned j = 0; j < n; j++) {
			fetch(frames, n, j + FETCH_AHEAD_FRAMES);
			forwarder_handle(&worker->forwarder, &frames[j]);
		}
		total += n;
	}
	return total;
}

static unsigned serve_inbox(struct worker *worker, struct ring *inbox)
{
	struct handover *handover;
	unsigned n = 0;

	for (; n < BATCH_FRAMES && (handover = ring_front(inbox)); n++) {
		struct frame frame;

		if (frame_take(&worker->rings.pool, &frame)) {
			frame.len_bytes = handover->len_bytes;
			frame.interface = handover->interface;
			memcpy(frame.data, handover->frame, handover->len_bytes);
			if (handover->shared.backend == SLOT_NONE)
				forwarder_handle(&worker->forwarder, &frame);
			else
				forwarder_handle_shared(&worker->forwarder, &frame, &handover->shared);
		} else {
			worker->forwarder.counters->drops[DROP_NO_TX_FRAME]++;
		}
		ring_pop(inbox);
	}
	return n;
}

static void serve_command(struct worker *worker, const struct worker_command *command)
{
	switch (command->type) {
	case WORKER_SESSION_END:
		forwarder_session_end(&worker->forwarder, command->session.slot, command->session.generation);
		break;
	case WORKER_ANSWER:
		forwarder_answer(&worker->forwarder, command->answer.id, command->answer.backend);
		break;
	case WORKER_CID_ANSWER:
		forwarder_cid_answer(&worker->forwarder, command->cid_answer.id, &command->cid_answer.shared);
		break;
	case WORKER_LIMITS:
		forwarder_set_limits(&worker->forwarder, &command->limits);
		break;
	}
}

static unsigned serve_reports(struct worker *worker)
{
	struct cid_report *report;
	unsigned n = 0;

	for (; n < BATCH_FRAMES && (report = ring_front(&worker->reports)); n++) {
		forwarder_cid_report(&worker->forwarder, report);
		ring_pop(&worker->reports);
	}
	return n;
}

static unsigned serve_commands(struct worker *worker)
{
	struct worker_command *command;
	unsigned n = 0;

	for (; n < BATCH_FRAMES && (command = ring_front(&worker->commands)); n++) {
		serve_command(worker, command);
		ring_pop(&worker->commands);
	}
	return n;
}

/* Each ring has a share of its own: a flood of handed-over frames must not keep answers and session ends waiting. */
static unsigned serve_rings(struct worker *worker)
{
	unsigned n = serve_commands(worker) + serve_reports(worker);

	for (uint32_t from = 0; from < worker->workers; from++)
		if (from != worker->index)
			n += serve_inbox(worker, &worker->inboxes[from]);
	return n;
}

/* --- send ---------------------------------------------------------------------------------------- */

/* Those that this batch gave work to, if they sleep. */
static void wake_others(struct worker *worker)
{
	static const uint64_t one = 1;

	for (uint32_t to = 0; to < worker->workers; to++)
		if (to != worker->index && !ring_is_empty(&worker->all[to].inboxes[worker->index]))
			worker_wake(&worker->all[to]);
	if (!(ring_is_empty(&worker->requests) && ring_is_empty(&worker->questions) &&
	      ring_is_empty(&worker->cid_questions) && ring_is_empty(&worker->notes)) &&
	    write(worker->steward_fd, &one, sizeof(one)) < 0)
		return; /* the counter is at its end, so the steward has been told */
}

static void send_all(struct worker *worker)
{
	worker->forwarder.counters->drops[DROP_NO_TX_FRAME] += rings_send(&worker->rings, &worker->outbox);
	rings_recycle(&worker->rings);
}

void worker_wake(struct worker *worker)
{
	static const uint64_t one = 1;

	/* seq_cst: either this sees `sleeping`, or the sleeper's last look sees what was pushed. */
	atomic_thread_fence(memory_order_seq_cst);
	if (atomic_load_explicit(&worker->sleeping, memory_order_relaxed) &&
	    write(worker->wake_fd, &one, sizeof(one)) < 0)
		return;
}

/* --- housekeeping -------------------------------------------------------------------------------- */

/* Once a second, for /metrics. */
static void tell_stats(struct worker *worker)
{
	struct forwarder *f = &worker->forwarder;

	if (worker->stats_s == f->now_s)
		return;
	worker->stats_s = f->now_s;
	for (unsigned i = 0; i < worker->rings.socket_count; i++) {
		const struct rings_socket *socket = &worker->rings.sockets[i];

		rings_stats(socket, &f->state->worker_counters[socket->queue].sockets[socket->interface]);
	}
}

static void housekeeping(struct worker *worker)
{
	struct forwarder *f = &worker->forwarder;
	uint64_t elapsed_ms = (f->now_ns - worker->housekeeping_ns) / 1000000;
	uint64_t slots = f->sessions.count * elapsed_ms / SESSION_SWEEP_MS + 1;

	if (f->now_ns - worker->housekeeping_ns < HOUSEKEEPING_NS)
		return;
	worker->housekeeping_ns = f->now_ns;
	forwarder_housekeeping(f, f->sessions.live ? (uint32_t)slots : 0);
	send_all(worker);
	tell_stats(worker);
}

static bool inboxes_are_empty(struct worker *worker)
{
	for (uint32_t from = 0; from < worker->workers; from++)
		if (from != worker->index && !ring_is_empty(&worker->inboxes[from]))
			return false;
	return ring_is_empty(&worker->reports) && ring_is_empty(&worker->commands);
}

static void sleep_until_woken(struct worker *worker)
{
	struct pollfd fds[worker->rings.socket_count + 1];
	int timeout_ms = worker->forwarder.flights.waiting ? HOUSEKEEPING_NS / 1000000 : SLEEP_MS;
	uint64_t count;

	rings_poll_set(&worker->rings, fds);
	fds[worker->rings.socket_count] = (struct pollfd){ .fd = worker->wake_fd, .events = POLLIN };
	atomic_store_explicit(&worker->sleeping, true, memory_order_relaxed);
	/* seq_cst: pairs with the fence in worker_wake. */
	atomic_thread_fence(memory_order_seq_cst);
	if (inboxes_are_empty(worker) && !atomic_load_explicit(&worker->stop, memory_order_relaxed)) {
		urcu_qsbr_thread_offline();
		poll(fds, worker->rings.socket_count + 1, timeout_ms);
		urcu_qsbr_thread_online();
	}
	atomic_store_explicit(&worker->sleeping, false, memory_order_relaxed);
	if (fds[worker->rings.socket_count].revents && read(worker->wake_fd, &count, sizeof(count)) < 0)
		return;
}

static void rest(struct worker *worker, unsigned handled)
{
	uint64_t now_ns = worker->forwarder.now_ns;

	if (handled)
		worker->busy_ns = now_ns;
	if (handled || worker->polling == WORKER_SPINS || rings_tx_waiting(&worker->rings))
		return;
	if (worker->polling == WORKER_ADAPTIVE && now_ns - worker->busy_ns < SPIN_NS)
		return;
	sleep_until_woken(worker);
}

static void *worker_main(void *argument)
{
	struct worker *worker = argument;

	urcu_qsbr_register_thread();
	while (!atomic_load_explicit(&worker->stop, memory_order_relaxed)) {
		unsigned handled;

		clock_read(worker);
		handled = serve_sockets(worker) + serve_rings(worker);
		rings_fetch_ahead(&worker->rings);
		send_all(worker);
		housekeeping(worker);
		wake_others(worker);
		urcu_qsbr_quiescent_state();
		rest(worker, handled);
	}
	urcu_qsbr_unregister_thread();
	return NULL;
}

/* --- the steward's side -------------------------------------------------------------------------- */

int worker_init(struct worker *worker, struct worker *all, uint32_t index, uint32_t workers,
		enum worker_polling polling, int steward_fd)
{
	uint32_t handover_bytes = (uint32_t)sizeof(struct handover) + worker->rings.pool.chunk_bytes;

	worker->index = index;
	worker->workers = workers;
	worker->all = all;
	worker->polling = polling;
	worker->steward_fd = steward_fd;
	worker->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	worker->inboxes = calloc(workers, sizeof(*worker->inboxes));
	if (worker->wake_fd < 0 || !worker->inboxes)
		return -ENOMEM;
	for (uint32_t from = 0; from < workers; from++)
		if (from != index && ring_init(&worker->inboxes[from], HANDOVER_SLOTS, handover_bytes) < 0)
			return -errno;
	if (ring_init(&worker->reports, REPORT_SLOTS, sizeof(struct cid_report)) < 0 ||
	    ring_init(&worker->commands, COMMAND_SLOTS, sizeof(struct worker_command)) < 0 ||
	    ring_init(&worker->requests, REQUEST_SLOTS, sizeof(struct nexthop_request)) < 0 ||
	    ring_init(&worker->questions, QUESTION_SLOTS, sizeof(struct question)) < 0 ||
	    ring_init(&worker->cid_questions, QUESTION_SLOTS, sizeof(struct cid_question)) < 0 ||
	    ring_init(&worker->notes, NOTE_SLOTS, sizeof(struct session_note)) < 0)
		return -errno;
	return 0;
}

bool worker_command(struct worker *worker, const struct worker_command *command)
{
	struct worker_command *space = ring_space(&worker->commands);

	if (!space)
		return false;
	*space = *command;
	ring_push(&worker->commands);
	worker_wake(worker);
	return true;
}

int worker_start(struct worker *worker)
{
	int error;

	worker->forwarder.pool = &worker->rings.pool;
	worker->forwarder.outbox = &worker->outbox;
	worker->forwarder.to_steward = &worker->requests;
	worker->forwarder.questions = &worker->questions;
	worker->forwarder.cid_questions = &worker->cid_questions;
	for (uint32_t to = 0; to < worker->workers; to++)
		worker->forwarder.to_workers[to] = &worker->all[to].inboxes[worker->index];
	error = pthread_create(&worker->thread, NULL, worker_main, worker);
	worker->started = !error;
	return -error;
}

void worker_stop(struct worker *worker)
{
	if (!worker->started)
		return;
	atomic_store_explicit(&worker->stop, true, memory_order_relaxed);
	worker_wake(worker);
	pthread_join(worker->thread, NULL);
	worker->started = false;
}

void worker_end(struct worker *worker)
{
	for (uint32_t from = 0; worker->inboxes && from < worker->workers; from++)
		ring_end(&worker->inboxes[from]);
	free(worker->inboxes);
	worker->inboxes = NULL;
	ring_end(&worker->reports);
	ring_end(&worker->commands);
	ring_end(&worker->requests);
	ring_end(&worker->questions);
	ring_end(&worker->cid_questions);
	ring_end(&worker->notes);
	if (worker->wake_fd > 0)
		close(worker->wake_fd);
	forwarder_end(&worker->forwarder);
	rings_close(&worker->rings);
}
