/* SPDX-License-Identifier: MIT */
/*
 * steward: the relay's main thread after start-up: an epoll loop over signals,
 * the clock, rtnetlink, the kernel's CID reports, the workers' requests and
 * the control process. It may be late; no packet waits for it but a client's first on an unknown next
 * hop.
 */
#ifndef SLUICE_STEWARD_H
#define SLUICE_STEWARD_H

#include "backend.h"
#include "control_socket.h"
#include "control/config.h"
#include "dataplane.h"
#include "drop_log.h"
#include "interface.h"
#include "route.h"
#include "worker.h"

/* The running relay, as the steward knows it. */
struct relay {
	const struct config *config;     /* what it was started with, and what holds where nothing is said below */
	struct config file;              /* the file as it was read last, after a reload; else zero */
	bool reloaded;
	int (*reload)(void *context, struct config *config);
	void *reload_context;
	struct interface interfaces[INTERFACES_MAX];
	unsigned interface_count;
	struct dataplane *dataplane;
	struct state state;
	bool adopted;                    /* state is that of a relay before */
	bool leave;                      /* program and sessions stay when this one ends */
	struct nexthops *nexthops;
	struct drop_log drops;
	uint32_t swept_s;                /* when unneeded backends were last looked for */
	uint32_t scanned_s;              /* when the users of next hops were last looked for */
	unsigned renewals;               /* times that next hops are still to be looked up again */
	struct backend_table backends;
	struct route_table routes;
	struct quic_lb *quic_lb;         /* NULL: none configured */
	struct worker *workers;
	uint32_t worker_count;
	int event_fd;                    /* workers: there are requests */
	struct control_socket control;
};

/* Until SIGTERM, SIGINT or SIGUSR2 (relay->leave). 0, or 1 after a line in the log. */
int steward_run(struct relay *relay);

/*
 * Looks up the way to every backend and client again: after a change of routes,
 * and when next hops have other slots than the ones that entries name.
 */
void steward_renew_nexthops(struct relay *relay);

/* Limits as one worker's share of them. */
struct forwarder_options relay_worker_options(const struct relay *relay, const struct config_limits *limits,
					      uint32_t index);

/* Tells the program that somebody is alive. */
void steward_heartbeat(struct relay *relay);

#endif
