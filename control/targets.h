/* SPDX-License-Identifier: MIT */
/*
 * targets: which servers a route's targets are at this moment, for the relay:
 * NAME:PORT targets are resolved here, on a thread of its own (getaddrinfo may
 * take seconds), when they first come up and every TARGETS_REFRESH_S after, some
 * at a time; one that is not answered holds up no other. A name that cannot be
 * resolved any more keeps the addresses it had.
 */
#ifndef SLUICE_TARGETS_H
#define SLUICE_TARGETS_H

#include "control/protocol.h"
#include "control/routes.h"

enum {
	TARGETS_REFRESH_S = 30,        /* getaddrinfo tells no time to live; more: a moved server is missed for longer */
	TARGETS_RETRY_S = 2,           /* a name that has never been resolved */
	TARGETS_NAME_ADDRESSES_MAX = 16,
};

struct addrinfo;
struct targets;

/* Listens to the store, so: before other threads know it. NULL after a line in the log. */
struct targets *targets_new(struct routes *routes);

/* The store must have no changes any more. NULL is allowed. */
void targets_free(struct targets *targets);

/*
 * Called on the thread that resolves, for each route whose servers are others
 * now although it was not changed. Before targets_start.
 */
void targets_listen(struct targets *targets, void (*changed)(void *context, const char *fqdn), void *context);

/* Begins to resolve. 0 or -errno. */
int targets_start(struct targets *targets);

/* Resolves all names anew, at once. Any thread. */
void targets_refresh(struct targets *targets);

/* What a relay is to know of a route; route NULL: that it is gone. Any thread. */
void targets_message(struct targets *targets, const char *fqdn, const struct routes_route *route,
		     struct protocol_message *message);

/*
 * The addresses of an answer that one host can have, each once and in order. Of
 * more than fit always the same ones, in whatever order a server that takes
 * turns gives them. How many. Pure.
 */
unsigned targets_addresses(const struct addrinfo *list, struct addr addresses[static TARGETS_NAME_ADDRESSES_MAX]);

struct targets_stats {
	size_t names, unresolved;      /* in use; of those, without any address */
	uint64_t lookups, failures;
	uint64_t left_out;             /* servers beyond PROTOCOL_TARGETS_MAX, each time that their route was told */
};
void targets_stats(struct targets *targets, struct targets_stats *stats);

#endif
