/* SPDX-License-Identifier: MIT */
/*
 * forwarder: what a worker does with one frame. The packet's way in user
 * space begins in forwarder_handle: from_client.c and first_flight.c towards
 * the backends, from_backend.c back. One per worker, used by that worker
 * only. Rings, time and next hops are given to it, so tests drive it with
 * plain memory.
 *
 * Ownership of state: the worker that owns a client's 4-tuple (path.owner, or
 * by hash while there is no path) is the only one that writes its paths,
 * sessions and CIDs. A frame that needs a write is copied to its owner.
 */
#ifndef SLUICE_FORWARDER_H
#define SLUICE_FORWARDER_H

#include "endpoint.h"
#include "flight.h"
#include "frame.h"
#include "icmp.h"
#include "nexthop.h"
#include "packet.h"
#include "quic_lb.h"
#include "rewrite.h"
#include "ring.h"
#include "route.h"
#include "session.h"
#include "source_limit.h"
#include "stray.h"

/* What another relay has written of a connection ID, in this relay's terms. */
struct shared_session {
	uint32_t backend;                /* SLOT_NONE: none has */
	uint32_t route;                  /* as struct session has it */
	uint8_t cid_len;                 /* how many of the bytes asked for are the ID */
	bool pinned;
};

/* A frame on its way to another worker. */
struct handover {
	uint16_t len_bytes;
	uint16_t interface;
	struct shared_session shared;    /* of the client's DCID, where the sender has asked */
	uint8_t frame[];                 /* as much as a chunk holds */
};

/* From a worker to the steward. */
struct nexthop_request {
	struct addr client;
};

/* From a worker to the steward: a session was opened (udp.log_requests). */
struct session_note {
	struct addr client;
	__be16 client_port_be;
	uint32_t backend;
	char name[HELLO_NAME_MAX + 1];   /* SNI; empty without */
};

/* From a worker to the steward: which backend for this client? (routes of type agones) */
struct question {
	uint64_t id;                     /* for forwarder_answer, with the worker in the top byte */
	struct addr client;
	__be16 client_port_be;
	char route[ROUTE_NAME_MAX + 1];
};

/* From a worker to the steward: whose is this connection ID? */
struct cid_question {
	uint64_t id;                     /* for forwarder_cid_answer, with the worker in the top byte */
	uint8_t cid[CID_LEN_MAX];
	uint8_t min_len, max_len;        /* the ID is so many of them; behind a short header that is not known */
};

struct forwarder {
	struct state *state;
	struct session_pool sessions;
	struct flight_table flights;
	struct source_limit *limit;
	struct icmp_limit *icmp_limit;
	struct hello_crypto *crypto;
	struct hello *scratch;           /* of the datagram in hand */
	const struct quic_lb *quic_lb;   /* NULL: none configured. Its servers are slots in backends */
	struct quic_lb_crypto *quic_lb_crypto;
	uint8_t quic_lb_preserve;        /* bit n: backends of rotation n see their clients' own addresses */
	uint64_t foreign_next_ns;        /* of sessions whose handshake was elsewhere: see gcra_take */
	struct stray_table *strays;      /* NULL: nobody is asked for unknown connection IDs */
	struct counters *counters;       /* this worker's, in shared memory */
	struct worker_gauges *gauges;    /* so are these; frames is the caller's to set */
	const struct route_table *routes;
	enum nexthop_verdict (*nexthop_find)(const void *context, const struct addr *dst, uint16_t *slot);
	const void *nexthop_context;
	struct frame_pool *pool;
	struct outbox *outbox;
	struct ring *to_workers[WORKERS_MAX]; /* handovers; the own one is not used */
	struct ring *to_steward;         /* nexthop_requests */
	struct ring *notes;              /* session_notes; NULL: not wanted */
	struct ring *questions;          /* questions, to the steward */
	struct ring *cid_questions;      /* the same */
	uint32_t worker, workers;
	uint64_t pending_ns;             /* limits.pending_seconds */
	uint64_t now_ns;                 /* CLOCK_MONOTONIC, read once a batch by the caller */
	uint32_t now_s;                  /* CLOCK_MONOTONIC_COARSE, as the XDP program reads it */
};

struct forwarder_options {
	uint32_t worker, workers;
	uint32_t aliases_per_session;
	uint32_t pending_handshakes;     /* of this worker */
	uint32_t pending_bytes_per_handshake;
	uint32_t pending_seconds;
	uint32_t new_sessions_per_s_per_source;
	const struct quic_lb *quic_lb;           /* borrowed; may be NULL */
	uint8_t quic_lb_preserve;                /* as above */
	bool ask_cids;                           /* unknown connection IDs may be sessions of other relays */
};

/* The fields that are pointers to others' things are the caller's to set. 0 or -ENOMEM. */
int forwarder_init(struct forwarder *forwarder, struct state *state, const struct forwarder_options *options);
void forwarder_end(struct forwarder *forwarder);

/* Takes the frame: it ends in the outbox, copied to another worker or flight, or in the pool. */
void forwarder_handle(struct forwarder *forwarder, struct frame *frame);

/*
 * The kernel forwarded a short header with this unknown CID (RFC 9000 s5.1:
 * taken up under encryption). Only for paths that this worker owns.
 */
void forwarder_cid_report(struct forwarder *forwarder, const struct cid_report *report);

/*
 * The backend that a question was for, SLOT_NONE: there is none. Nothing happens
 * if nobody waits for it any more.
 */
void forwarder_answer(struct forwarder *forwarder, uint64_t id, uint32_t backend);

/* The same for a cid_question. */
void forwarder_cid_answer(struct forwarder *forwarder, uint64_t id, const struct shared_session *shared);

/* As forwarder_handle, for a frame from another worker, which has asked for its DCID. */
void forwarder_handle_shared(struct forwarder *forwarder, struct frame *frame, const struct shared_session *shared);

/* The worker that asked. */
static inline uint32_t question_worker(uint64_t id)
{
	return (uint32_t)(id >> 56);
}

/* Ends a session of this worker; nothing happens if the slot holds another by now. */
void forwarder_session_end(struct forwarder *forwarder, uint32_t slot, uint32_t generation);

/* limits that may change while it runs; the other fields of options are not read. */
void forwarder_set_limits(struct forwarder *forwarder, const struct forwarder_options *options);

/* Every few milliseconds: overdue flights, waiting next hops, idle sessions. */
void forwarder_housekeeping(struct forwarder *forwarder, uint32_t session_slots);

/* --- between the files of the forwarder ---------------------------------------------------------- */

enum {
	/*
	 * RFC 9001 s5.4.2: a packet has at least 4 bytes from the packet number's
	 * first on, and the 16-byte sample behind them.
	 */
	SHORT_BEHIND_DCID_MIN = 4 + 16,
};

/* A frame in hand, parsed. */
struct arrival {
	struct frame *frame;
	struct packet packet;
	const uint8_t *payload;
	size_t len;
	struct endpoint endpoint;        /* what it was sent to */
	uint32_t endpoint_slot;
	struct tuple tuple;              /* from a client: its 4-tuple */
};

/* from_client.c: a datagram for a quic listener. */
void from_client(struct forwarder *f, struct arrival *a);

/* first_flight.c: an Initial of no known connection, and what belongs to a flight in progress. */
void first_flight(struct forwarder *f, struct arrival *a, const struct quic_long *packet);
bool first_flight_continue(struct forwarder *f, struct arrival *a, const struct quic_long *packet);
void first_flight_unknown_version(struct forwarder *f, struct arrival *a, const struct quic_long *packet);
void first_flight_housekeeping(struct forwarder *f);

/*
 * foreign.c: a DCID that no session holds may name its server by QUIC-LB, or
 * another relay may know it. True: the frame is done with. owner: the worker that
 * the 4-tuple belongs to; of foreign_long, the caller. held: several sessions here
 * hold it, so what another relay knows tells nothing.
 */
bool foreign_short(struct forwarder *f, struct arrival *a, uint32_t owner, bool held);
bool foreign_long(struct forwarder *f, struct arrival *a, const struct quic_long *packet);
void foreign_housekeeping(struct forwarder *f);

/*
 * from_backend.c: a datagram for a relay port; or, where a->endpoint.relay_address is RELAY_ADDRESS_CLIENT, for no
 * address of ours.
 */
void from_backend(struct forwarder *f, struct arrival *a);

/* Reads a frame in hand that is for a listener of ours. False: it is not, and was dropped or went its way. */
bool forwarder_arrive(struct forwarder *f, struct frame *frame, struct arrival *a);

/* Ends a frame in hand. */
void forwarder_drop(struct forwarder *f, struct frame *frame, enum drop_reason reason);

/* Copies the frame to another worker's ring and ends it here. shared: what is known of its DCID. */
void forwarder_hand_over(struct forwarder *f, struct frame *frame, uint32_t to);
void forwarder_hand_over_shared(struct forwarder *f, struct frame *frame, uint32_t to,
				const struct shared_session *shared);

/* Rewrites and sends a frame in hand along a path; false: it was dropped. */
bool forwarder_to_backend(struct forwarder *f, struct arrival *a, uint32_t path_slot, const struct path_entry *path);
/* The same for a packet that is not from the path's client: its time stamp stays. */
bool forwarder_to_backend_unseen(struct forwarder *f, struct arrival *a, const struct path_entry *path);
bool forwarder_to_client(struct forwarder *f, struct arrival *a, uint32_t reply_slot,
			 const struct reply_entry *reply);

/* Sends a frame in hand, the client's, along a session's home path. */
void forwarder_to_session(struct forwarder *f, struct arrival *a, uint32_t session_slot);

/*
 * A datagram from the client of a session: as long as that is unconfirmed, of what kind, and how much it sent, which
 * is what it may be sent three times (RFC 9000 s8.1).
 */
void forwarder_account(struct forwarder *f, uint32_t session_slot, const struct arrival *a);

/* The worker that a 4-tuple without a path belongs to. */
uint32_t forwarder_tuple_owner(const struct forwarder *f, const struct tuple *tuple);

/* The way to a client, asked for if it is not known. */
enum nexthop_verdict forwarder_nexthop(struct forwarder *f, const struct addr *client, uint16_t *slot);

/* Hash of a CID, for session.client_scid; never 0. */
uint32_t forwarder_scid_hash(const struct forwarder *f, const struct quic_cid *cid);

/* The reason a session could not be opened. */
enum drop_reason forwarder_refusal(enum session_verdict verdict);

#endif
