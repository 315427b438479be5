/* SPDX-License-Identifier: MIT */
/*
 * agones: asks Agones' allocator for game servers:
 *
 *     POST https://<allocator_host>/gameserverallocation     HTTP/1.1, mutual TLS, by libcurl
 *
 * Any thread, which waits; a few connections are kept open and shared out. The
 * allocator is trusted with which server a player gets, once its certificate
 * and name are verified; not with memory or time. The program must ignore
 * SIGPIPE.
 *
 * One deadline (agones.timeout_ms) bounds all of an allocation: waiting for a
 * connection, name look-ups, attempts and the pauses between them. An attempt
 * gets half of it at most, so that a connection that died silently leaves time
 * for another. What no answer, a broken one, 429 and 5xx were answered with is
 * tried again; other statuses, and a whole answer that is unusable, are final:
 * each further attempt could take a further server from the fleet.
 *
 * Certificates are read again for the next attempt after their files changed.
 */
#ifndef SLUICE_AGONES_H
#define SLUICE_AGONES_H

#include "control/agones_message.h"
#include "control/histogram.h"

enum {
	/* Allocations at a time, opened as needed; the rest wait. Agones gathers requests for up to 0.5 s, so fewer
	 * would not do for 100 a second. */
	AGONES_CONNECTIONS = 64,
};

enum agones_verdict {
	AGONES_ALLOCATED,
	AGONES_NONE_FREE,              /* 429 until the deadline */
	AGONES_REFUSED,                /* another 4xx */
	AGONES_UNREACHABLE,            /* no connection, TLS, time, 5xx until the deadline; or an unusable answer */
	AGONES_LIMITED,                /* not asked: over our own rates (allocation.h) */
	AGONES_VERDICTS,
};

struct agones_server {
	char name[CONFIG_FQDN_MAX + 1];
	struct config_address address;
};

struct agones_stats {
	uint64_t allocations[AGONES_VERDICTS];
	uint64_t requests;             /* attempts; each is in `duration` */
	uint64_t request_failures;     /* of those, not answered with a server */
	uint64_t connections;          /* opened */
	struct histogram duration;
};

struct agones;

/* What config points to must outlive it. NULL after a line in the log: certificates must be readable by now. */
struct agones *agones_new(const struct config_agones *config);

/* Calls in progress end within a second or so, as unreachable; later ones at once. Any thread. */
void agones_stop(struct agones *agones);

/* No call may be in progress. NULL is allowed. */
void agones_free(struct agones *agones);

/* Blocks until the deadline at the most. Not AGONES_ALLOCATED: error says why, printable. */
enum agones_verdict agones_allocate(struct agones *agones, const char *fleet, struct agones_server *server,
				    char error[static AGONES_ERROR_BYTES]);

void agones_stats(struct agones *agones, struct agones_stats *stats);

/* "allocated", "none_free", ...: for logs and metrics. */
const char *agones_verdict_name(enum agones_verdict verdict);

#endif
