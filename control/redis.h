/* SPDX-License-Identifier: MIT */
/*
 * redis: routes that are shared through one Redis, by sluices and Porters
 * alike. One thread, the caller's, which waits for redis_fd and calls
 * redis_handle; nothing here blocks. The server and whoever publishes are
 * trusted with routes (each is checked), not with memory or time.
 *
 *     keys      porter:routes:simple, porter:routes:agones     hashes, fqdn -> target (Porter's)
 *               porter:routes:sluice                           the same, fqdn -> JSON (ours): what Porter cannot say
 *     channels  CHANNEL (Porter's), CHANNEL:sluice (ours)      see redis_message.h
 *
 *     set       MULTI; PUBLISH ours; HSET; HDEL from the other two; PUBLISH Porter's, if it can say it; EXEC
 *     delete    MULTI; PUBLISH ours; HDEL from all three; EXEC
 *
 * We spell names in lower case. Where another has written one otherwise, both also
 * HDEL it as he spelled it: else the next load would bring it back.
 *
 * Two connections: one subscribes, one sends commands (RESP 2, Redis 5 and
 * later; no cluster: a transaction spans two keys). An ACL user needs
 * +@connection +@transaction +hset +hdel +hscan +publish +subscribe,
 * ~porter:routes:* and both channels; for sessions +set +expire +mget
 * ~sluice:cid:* too.
 *
 * Every connection begins with a full load: subscribe first, then HSCAN the
 * hashes, then whatever was published meanwhile. A name in two of them: Porter's
 * are newer than ours, for a write of ours would have removed it there; of
 * Porter's two it is an agones route.
 *
 * Conflicts: the last writer to reach Redis wins, everywhere. While a write of
 * ours has not come back, what others said about that name was earlier, and is
 * ignored. A write made while Redis is away is kept (the newest per name) and
 * wins over what Redis holds when it is back. A write that Redis refuses for
 * good (ACL) is dropped and told; one it refuses for now (READONLY, OOM, ...)
 * is kept, and counts as Redis being away.
 */
#ifndef SLUICE_REDIS_H
#define SLUICE_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "control/histogram.h"
#include "control/routes.h"
#include "control/session_record.h"
#include "control/tls.h"

struct redis_options {
	const char *address;           /* HOST:PORT, IP:PORT, [IPv6]:PORT, or the path of a Unix socket */
	const char *user;              /* ACL; NULL or "": the default user */
	const char *password;          /* NULL or "": no AUTH */
	unsigned db;
	const char *channel;           /* NULL or "": porter_routes */
	bool tls;
	struct tls_options tls_options;
	size_t routes_max;             /* held of Redis' routes; 0: ROUTES_MAX */
	size_t writes_max;             /* names whose writes wait; 0: 65536 */
	/* 0: what is said here. */
	/* 5000: to connect, and for each answer; with too little a busy Redis is never reached */
	uint32_t timeout_ms;
	uint32_t backoff_min_ms;       /* 100, doubled with each failure, and up to half as much at random on top */
	uint32_t backoff_max_ms;       /* 15000: a Redis that is back is seen so late */
};

/* Called from redis_handle only. They must not call functions of this file. Each may be NULL. */
struct redis_callbacks {
	/* After every connection: all there is. What is not told between begin and end is gone. */
	void (*snapshot_begin)(void *context);
	void (*snapshot_route)(void *context, const char *fqdn, struct route_spec *spec);
	void (*snapshot_end)(void *context);
	/* A change by others; fqdn is in lower case. Specs are to be held by who keeps them. */
	void (*changed)(void *context, const char *fqdn, struct route_spec *spec);
	void (*deleted)(void *context, const char *fqdn);
	/* A write that Redis will not take is forgotten; the caller keeps what it has until the next snapshot. */
	void (*refused)(void *context, const char *fqdn, const char *reason);
	/* True: loaded, after the snapshot. False: it broke, or another attempt failed; reason for the log. */
	void (*state)(void *context, bool connected, const char *reason);
	/* Of redis_session_find: the ID's first cid_len bytes are a session's; record NULL: none are, or it was ended. */
	void (*session_found)(void *context, uint64_t id, uint8_t cid_len, const struct session_record *record);
	void *context;
};

struct redis_stats {
	bool connected;                /* and loaded */
	time_t since;                  /* CLOCK_REALTIME of the last change of `connected`, or of the start */
	uint64_t connects;             /* times it became connected */
	uint64_t failures;             /* attempts that failed, connections that broke */
	uint64_t commands;             /* answered: HSCAN, PING, AUTH, ...; a transaction is one */
	uint64_t command_errors;       /* of those, with an error */
	uint64_t messages;             /* published by anyone, us included */
	uint64_t invalid;              /* entries and messages that are no routes, or one too many: skipped */
	uint64_t writes_dropped;       /* refused by Redis, or there was no room to keep them */
	uint64_t sessions_put;         /* connection IDs written; not aliases that were there */
	uint64_t sessions_refused;     /* those that Redis would not take */
	uint64_t session_finds;        /* questions answered */
	uint64_t sessions_found;       /* of those, with a session */
	uint64_t session_finds_refused; /* not asked, for too many were on their way or Redis was away, or refused by Redis */
	size_t routes;                 /* held */
	size_t writes_pending;         /* names whose write is not yet confirmed */
	struct histogram latency;      /* of the commands answered */
	char error[TLS_ERROR_BYTES];   /* while not connected: why; "" before the first attempt ended */
};

struct redis;

/* Options are copied. Connecting begins with the first redis_handle. NULL: error says what is wrong with them. */
struct redis *redis_new(const struct redis_options *options, const struct redis_callbacks *callbacks,
			char error[static TLS_ERROR_BYTES]);

/* Closes at once: writes that are pending are lost. */
void redis_free(struct redis *redis);

/* Readable (EPOLLIN, level-triggered) when redis_handle is due, timers included: nothing else need be waited for. */
int redis_fd(const struct redis *redis);
void redis_handle(struct redis *redis);

/*
 * Our change, to be told to all. fqdn as routes_name leaves it. Nothing is sent
 * if Redis is known to hold just that. 0; -ENOSPC: Redis is away and too much
 * waits already; -ENOMEM.
 */
int redis_set(struct redis *redis, const char *fqdn, struct route_spec *spec);
int redis_delete(struct redis *redis, const char *fqdn);

enum { REDIS_SESSIONS_PUT_MAX = 64 };

/* Whether redis_sessions_put would take some now: connected, and not too many are on their way. */
bool redis_sessions_room(const struct redis *redis);

/*
 * Writes up to REDIS_SESSIONS_PUT_MAX connection IDs, each for ttl_s seconds. An alias is
 * not written over what is there: its client may have taken it from another's packets. What is
 * on its way when the connection breaks may be lost, and what Redis refuses is; READONLY
 * counts as Redis being away.
 */
void redis_sessions_put(struct redis *redis, const struct session_cid *cids, unsigned count, uint32_t ttl_s);

/*
 * Which session's ID do these bytes begin with, of min_len to max_len (CID_LEN_MAX at the
 * most)? The longest counts. Answered by session_found, or, if the connection breaks
 * meanwhile, never. -EAGAIN: Redis is away, or too much is asked already.
 */
int redis_session_find(struct redis *redis, uint64_t id, const uint8_t *cid, uint8_t min_len, uint8_t max_len);

void redis_stats(const struct redis *redis, struct redis_stats *stats);

#endif
