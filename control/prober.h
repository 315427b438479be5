/* SPDX-License-Identifier: MIT */
/*
 * prober: asks servers for signs of life (probe.h) and tells whose routes are
 * others by what came of it, or by a drain. One thread of its own, two UDP
 * sockets, one for each IP family, for all servers. What they receive is
 * hostile.
 */
#ifndef SLUICE_PROBER_H
#define SLUICE_PROBER_H

#include "control/routes.h"
#include "control/servers.h"
#include "control/targets.h"

struct prober;

struct prober_options {
	struct routes *routes;         /* borrowed, like targets and servers */
	struct targets *targets;
	struct servers *servers;
	/* On the prober's thread: the relay is to be told of this route anew. */
	void (*changed)(void *context, const char *fqdn);
	void *context;
};

/* Listens to the store and the servers, so: before other threads know them. NULL after a line in the log. */
struct prober *prober_new(const struct prober_options *options);

/* 0 or -errno. */
int prober_start(struct prober *prober);

/* The addresses of some route's names are others. Any thread. */
void prober_refresh(struct prober *prober);

/* Ends the thread. NULL is allowed. */
void prober_stop(struct prober *prober);

/* The store must have no changes any more, and the servers no drains. NULL is allowed. */
void prober_free(struct prober *prober);

#endif
