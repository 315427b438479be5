/* SPDX-License-Identifier: MIT */
/*
 * share: keeps the route store and Redis alike. What Redis says goes into the
 * store, over the file's routes too (as in Porter); what the API changes goes to
 * Redis. Routes of the file are not told: each process has its own file.
 *
 * With redis.sessions also the relay's sessions: their connection IDs go to
 * Redis (publisher.h), and those of other relays are looked for there.
 *
 * share_serve, share_session_find and share_session_end on the main thread; changes come in from any thread.
 */
#ifndef SLUICE_SHARE_H
#define SLUICE_SHARE_H

#include "control/redis.h"
#include "control/routes.h"
#include "control/view.h"

struct share;

struct share_options {
	const struct config_redis *config;
	struct routes *routes;         /* borrowed, like view */
	struct view *view;             /* of the sessions */
	/* Of share_session_find: see redis.h. From share_serve; must not call functions of this file. */
	void (*session_found)(void *context, uint64_t id, uint8_t cid_len, const struct session_record *record);
	void *context;
};

/* Listens to the store, so: before other threads know it. NULL after a line in the log. */
struct share *share_new(const struct share_options *options);

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

/* See redis_session_find; -EAGAIN without redis.sessions too. */
int share_session_find(struct share *share, uint64_t id, const uint8_t *cid, uint8_t min_len, uint8_t max_len);

/* The relay is about to be told to end this session: nobody is to open it again. Main thread. */
void share_session_end(struct share *share, uint32_t slot, uint32_t generation);

/* Any thread: as of the last share_serve. */
void share_stats(struct share *share, struct redis_stats *stats);

#endif
