/* SPDX-License-Identifier: MIT */
/*
 * session: one QUIC connection to one backend: its paths, its connection IDs,
 * its life. A session_pool is a worker's share of the session table; only that
 * worker calls these functions (but session_read).
 *
 * A session ends when all its paths were silent for the idle timeout, when it
 * is evicted (unconfirmed ones only, oldest first, when room is needed), or
 * when SESSIONS_PER_PATH newer ones share its path.
 */
#ifndef SLUICE_SESSION_H
#define SLUICE_SESSION_H

#include "cid.h"
#include "path.h"

enum {
	/*
	 * Sessions of one 4-tuple to one backend that are remembered. They share
	 * the path, so which of them a packet belongs to never matters until the
	 * client's address changes; the kernel path does not show which is still
	 * used. Fewer: a socket with more connections loses the oldest's migration.
	 */
	SESSIONS_PER_PATH = 16,
	PATHS_UNANSWERED_MAX = 4,       /* of a session; else spoofed addresses eat every relay port */
	PATH_UNANSWERED_S = 3,
	WRONG_GUESSES_MAX = 8,          /* of a CID below 8 bytes, before confirmation */
	/*
	 * In a row from one new address before a pinned session's return address
	 * moves. Fewer: packets that strayed move it. More: a client that only
	 * probes for answers, at twice the interval each time (RFC 9002 s6.2.1),
	 * waits that much longer.
	 */
	PINNED_PACKETS = 3,
	/*
	 * For so long the address that was left may have a pinned session back at
	 * once. QUIC stacks give up after some 30 s of silence by default: a client that
	 * merely paused, and was taken for gone, has spoken by then. Longer: who
	 * listens where a client has been before can call it back.
	 */
	PINNED_RETURN_S = 30,
};

/* Where a new connection goes, and on whose word. */
struct destination {
	uint32_t backend;               /* slot */
	uint32_t route;                 /* protocol_route_id of the route's name */
	bool pinned;                    /* the route's migration */
	bool preserve;                  /* its client_ip; not with pinned */
	bool shared;                    /* SESSION_SHARED */
};

struct session_link {
	uint32_t prev, next;            /* slots; unconfirmed sessions, oldest first */
};

struct session_pool {
	struct state *state;
	struct counters *counters;      /* this worker's */
	struct port_share ports;
	uint32_t first, count;          /* slots of this pool */
	uint32_t aliases_max;
	uint32_t *free;                 /* stack of slots */
	uint32_t free_count;
	struct session_link *links;     /* by slot - first */
	uint32_t oldest, newest;        /* unconfirmed */
	uint32_t live;
	uint16_t opened;                /* sessions so far, modulo 65536 */
	uint32_t hand;                  /* next slot that housekeeping looks at */
};

/*
 * Takes slots [first, first + count). Sessions that already live there (a
 * restarted relay) are kept. 0 or -ENOMEM.
 */
int session_pool_init(struct session_pool *pool, struct state *state, struct counters *counters, uint32_t worker,
		      uint32_t workers, uint32_t aliases_max, uint64_t random_seed);
void session_pool_end(struct session_pool *pool);

/* Any thread. False: no session there, or being written. */
bool session_read(const struct state *state, uint32_t slot, struct session *session);

enum session_verdict {
	SESSION_OK,
	SESSION_POOL_FULL,
	SESSION_PORTS_EXHAUSTED,
	SESSION_TABLE_FULL,
	SESSION_PATHS_UNANSWERED,
};

/*
 * A new connection of `tuple`, whose first Initial had original_dcid; NULL: its
 * handshake was elsewhere (SESSION_FOREIGN). nexthop: the way to the client.
 */
enum session_verdict session_open(struct session_pool *pool, const struct tuple *tuple,
				  const struct quic_cid *original_dcid, const struct destination *to,
				  uint16_t nexthop, uint32_t now_s, uint32_t *slot);

void session_close(struct session_pool *pool, uint32_t slot);

/* The path of a session from a client address it was not seen at yet. */
enum session_verdict session_migrate(struct session_pool *pool, uint32_t slot, const struct tuple *tuple,
				     uint16_t nexthop, uint32_t now_s, uint32_t *path_slot);

/*
 * A packet from a client address that is not the session's: is it the session's
 * home path that leads to the backend still? If it is pinned, the home has a
 * relay port, and neither it nor the new address has another session to this
 * backend.
 */
bool session_holds(const struct state *state, uint32_t slot, const struct tuple *tuple, uint32_t *home);

/*
 * Such a packet was forwarded. True: it is time to move: the home has been
 * silent for globals' pinned_silence_s, and PINNED_PACKETS came from here; or
 * it is here that the session was before.
 */
bool session_mover_seen(struct session_pool *pool, uint32_t slot, const struct tuple *tuple, uint32_t now_s);

/* The return address moves; the relay port stays. Nothing happens if the tables have no room. */
void session_move(struct session_pool *pool, uint32_t slot, const struct tuple *tuple, uint16_t nexthop,
		  uint32_t now_s);

/* The backend chose this CID (SCID of its long header, Retry's included; may be empty). */
void session_learn_cid(struct session_pool *pool, uint32_t slot, const struct quic_cid *cid, bool retry);

/* The client uses this CID, which no session holds, and which is of this session's backend: QUIC-LB or another relay says so. */
void session_adopt_cid(struct session_pool *pool, uint32_t slot, const struct quic_cid *cid);

/*
 * Writes the CID learned last into a path's entry, if the session is the one
 * that the entry names: the kernel then finds it without the index.
 */
void session_cid_to_path(struct session_pool *pool, uint32_t slot, uint32_t path_slot);

/*
 * The client used an unknown CID on a path where only this session can be
 * meant. On second sight it becomes an alias, if no other session holds it.
 */
void session_offer_alias(struct session_pool *pool, uint32_t slot, const struct quic_cid *cid);

/* The client proved that it gets what the backend sends: the kernel may forward. */
void session_confirm(struct session_pool *pool, uint32_t slot, uint32_t now_s);

/* All its paths were silent for longer than its timeout: it is about to be ended. */
bool session_is_idle(const struct state *state, const struct session *session, uint32_t now_s);

/* Was it opened after the other? Of one owner's, as all sessions of a 4-tuple are. */
bool session_is_newer(const struct session *session, const struct session *other);

/* Owner: writes a changed copy back. */
void session_write(struct session_pool *pool, uint32_t slot, const struct session *session);

/* True if the CID is one that the backend chose for this session. */
bool session_has_cid(const struct state *state, const struct session *session, const struct quic_cid *cid);

/* Expires idle sessions and paths among the next `slots` of the pool. Called so that the pool is seen every few seconds. */
void session_housekeeping(struct session_pool *pool, uint32_t now_s, uint32_t slots);

#endif
