/* SPDX-License-Identifier: MIT */
/*
 * allocation: which game server a client is sent to: questions of the relay,
 * answered by Agones' allocator (agones.h), which workers of its own wait for.
 * Questions come from any thread and are caused by whoever sends Initials, so:
 *
 * - One allocation a connection attempt. Questions of one client address and
 *   port for one route and fleet share it while it is in progress and for 10 s
 *   after it gave a server; a failure is remembered for 1 s.
 * - Rates, overall and for each client address (IPv6: each /64), with a burst
 *   of one second's worth: a flood of Initials does not empty a fleet.
 * - Everything is bounded. A question that finds no room, or that waited for a
 *   worker for more than half of agones.timeout_ms, is answered AGONES_LIMITED.
 * - One fleet keeps at most three quarters of the workers busy: asking for a
 *   fleet that has no free server takes all of the time that is allowed.
 */
#ifndef SLUICE_ALLOCATION_H
#define SLUICE_ALLOCATION_H

#include "control/agones.h"

struct allocation;

/* As agones_allocate, which it is in the program. Any thread. */
typedef enum agones_verdict allocation_source(void *context, const char *fleet, struct agones_server *server,
					      char error[static AGONES_ERROR_BYTES]);

/*
 * An answer: once for each question. From within allocation_ask if it is known
 * at once, else from a worker; no lock is held. address: with AGONES_ALLOCATED only.
 */
typedef void allocation_answer(void *context, uint64_t id, enum agones_verdict verdict,
			       const struct config_address *address);

struct allocation_options {
	const struct config_agones *config; /* rates and time; read by allocation_new only */
	struct agones *agones;         /* must outlive it */
	allocation_answer *answer;
	void *context;                 /* of answer */
	/* For tests. NULL, 0: agones; CLOCK_MONOTONIC; what is said here. */
	allocation_source *source;
	void *source_context;
	uint64_t (*now_ns)(void);
	unsigned workers;              /* 48: allocations for the relay at a time; Agones takes up to 0.5 s for one */
	size_t keys_max;               /* 65536: in progress or remembered */
	size_t waiting_max;            /* 65536: ids that wait for an answer */
	size_t queue_max;              /* 4096: keys that wait for a worker */
};

struct allocation_stats {
	uint64_t questions;            /* each id counts every time it asks */
	uint64_t answers[AGONES_VERDICTS];
	uint64_t shared;               /* questions that joined an allocation in progress */
	uint64_t remembered;           /* questions that were answered with what was known */
	/* What was not asked, by reason; of the API too. */
	uint64_t limited_overall, limited_client, limited_full, limited_late;
	size_t waiting, keys, queued;  /* now */
};

/* NULL after a line in the log. */
struct allocation *allocation_new(const struct allocation_options *options);

/* Waits for the workers (agones_stop makes that short); ids that still wait get no answer. NULL is allowed. */
void allocation_free(struct allocation *allocation);

/*
 * Does not wait. id: the asker's; one that is asked again before its answer
 * gets one answer. fqdn: the route's; both strings are copied.
 */
void allocation_ask(struct allocation *allocation, uint64_t id, const struct config_address *client, const char *fqdn,
		    const char *fleet);

/* For the API: waits, shares nothing, and only the overall rate holds. */
enum agones_verdict allocation_allocate(struct allocation *allocation, const char *fleet, struct agones_server *server,
					char error[static AGONES_ERROR_BYTES]);

void allocation_stats(struct allocation *allocation, struct allocation_stats *stats);

/* NULL with a source of a test's own. */
struct agones *allocation_agones(struct allocation *allocation);

#endif
