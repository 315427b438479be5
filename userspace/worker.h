/* SPDX-License-Identifier: MIT */
/*
 * worker: the thread that serves the queues with number `index` (modulo the
 * number of workers) of every interface: receive, handle, send, housekeeping.
 * Started and stopped by the steward; reached through its rings only.
 */
#ifndef SLUICE_WORKER_H
#define SLUICE_WORKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "forwarder.h"
#include "rings.h"

enum worker_polling { WORKER_ADAPTIVE, WORKER_SPINS, WORKER_SLEEPS };

/* From the steward to a worker. */
struct worker_command {
	enum worker_command_type { WORKER_SESSION_END, WORKER_LIMITS, WORKER_ANSWER, WORKER_CID_ANSWER } type;
	union {
		struct {
			uint32_t slot, generation;
		} session;
		struct forwarder_options limits;
		struct {
			uint64_t id;
			uint32_t backend;
		} answer;
		struct {
			uint64_t id;
			struct shared_session shared;
		} cid_answer;
	};
};

struct worker {
	uint32_t index, workers;
	struct worker *all;              /* [workers] */
	struct forwarder forwarder;
	struct rings rings;
	struct outbox outbox;
	struct ring *inboxes;            /* [workers]: handovers from worker i; filled by it */
	struct ring reports;             /* struct cid_report, from the steward */
	struct ring commands;            /* struct worker_command, from the steward */
	struct ring requests;            /* struct nexthop_request, to the steward */
	struct ring questions;           /* struct question, to the steward */
	struct ring cid_questions;       /* struct cid_question, to the steward */
	struct ring notes;               /* struct session_note, to the steward; forwarder.notes if wanted */
	enum worker_polling polling;
	int wake_fd;                     /* eventfd: ends the worker's sleep */
	int steward_fd;                  /* eventfd: there are requests; borrowed */
	atomic_bool sleeping, stop;
	uint64_t busy_ns;                /* when it last had something to do */
	uint64_t housekeeping_ns;        /* when it last kept house */
	uint32_t stats_s;                /* when it last told of its sockets */
	pthread_t thread;
	bool started;
};

/* Rings between the workers and to the steward. forwarder and rings are set up by the caller. 0 or -errno. */
int worker_init(struct worker *worker, struct worker *all, uint32_t index, uint32_t workers,
		enum worker_polling polling, int steward_fd);
int worker_start(struct worker *worker);

/* Ends and joins the thread. */
void worker_stop(struct worker *worker);
void worker_end(struct worker *worker);

/* Steward: false: the ring is full, try again later. */
bool worker_command(struct worker *worker, const struct worker_command *command);

/* Steward: after a push to one of the worker's rings. */
void worker_wake(struct worker *worker);

#endif
