/* SPDX-License-Identifier: MIT */
/*
 * relay: puts the parts together, runs them, takes them down: data plane, next
 * hops, listeners, backends, routes, workers. The thread that calls relay_run
 * is the steward: it follows the kernel's tables, keeps the heartbeat, passes
 * on what kernel and workers report, and is the only one that logs.
 */
#ifndef SLUICE_RELAY_H
#define SLUICE_RELAY_H

#include "control/config.h"

struct relay_options {
	const struct config *config;
	const char *instance;
	const char *const *interfaces;   /* names */
	unsigned interface_count;
	/* SIGHUP: reads the configuration again. 0, or -1 after a line in the log; then *config holds nothing. */
	int (*reload)(void *context, struct config *config);
	void *reload_context;
};

/*
 * Runs until SIGTERM or SIGINT, then detaches everything; or until SIGUSR2,
 * then leaves program and sessions to a successor. 0, or 1 after a line in the
 * log. SIGHUP reloads. The signals are blocked by the caller before any thread is started.
 */
int relay_run(const struct relay_options *options);

#endif
