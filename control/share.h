/* SPDX-License-Identifier: MIT */
/*
 * share: keeps the route store and Redis alike. What Redis says goes into the
 * store, over the file's routes too (as in Porter); what the API changes goes to
 * Redis. Routes of the file are not told: each process has its own file.
 *
 * share_serve on the main thread; changes come in from any thread.
 */
#ifndef SLUICE_SHARE_H
#define SLUICE_SHARE_H

#include "control/redis.h"
#include "control/routes.h"

struct share;

/* Listens to the store, so: before other threads know it. NULL after a line in the log. */
struct share *share_new(const struct config_redis *config, struct routes *routes);

/* The store must have no changes any more. NULL is allowed. */
void share_free(struct share *share);

/*
 * Waits, 2 s at most, until Redis has been loaded or was found to be away: the
 * first snapshot for a relay should not lack what it had from Redis before.
 */
void share_settle(struct share *share);

/* Readable when share_serve is due. */
int share_fd(const struct share *share);
void share_serve(struct share *share);

/* Any thread: as of the last share_serve. */
void share_stats(struct share *share, struct redis_stats *stats);

#endif
