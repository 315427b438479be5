/* SPDX-License-Identifier: MIT */
/*
 * abi: every map key, map value and constant that the XDP program, the
 * workers and the control process share. The only declaration of each.
 *
 * The maps outlive the processes (they are pinned), so a change of any layout
 * here needs a new SLUICE_ABI_VERSION: a relay adopts only maps of its own.
 *
 * Byte order: fields named _be are in network order, all others in host order.
 * Addresses are IPv6, or IPv4 mapped (RFC 4291 s2.5.5.2: ::ffff:a.b.c.d).
 *
 * Entries. The first 16 bits of each table entry are its version, `seq`; the
 * two low bits are its state. One thread writes an entry at a time; readers
 * never wait:
 *
 *     writer                               reader
 *     seq = odd  (SEQ_WRITING)             s = seq; not SEQ_LIVE: absent, or
 *     release fence                            being written: the slow path
 *     bytes 4.. of the entry               acquire, copy, acquire
 *     seq = next version | state (release) seq != s: the slow path
 *
 * The first four bytes hold what is outside the version: seq itself, the
 * overflow count of the probe sequence (see table.h) and, in a path, the
 * rate limit of its reports. `last_seen_s` is inside the copied bytes, but is
 * written alone, by whoever forwards, and read alone: a writer may put it back
 * by at most one update.
 */
#ifndef SLUICE_ABI_H
#define SLUICE_ABI_H

#include <linux/types.h>
#include "drop_reasons.h"
#include "events.h"
#include "siphash.h"
#include "socket_counters.h"

#define SLUICE_ABI_VERSION 8

enum {
	CID_LEN_MAX = 20,             /* RFC 9000 s17.2; RFC 8999 allows 255, no v1 or v2 packet does */
	INTERFACES_MAX = 16,
	QUEUES_MAX = 64,              /* per interface; XSK map key = interface slot * QUEUES_MAX + queue */
	WORKERS_MAX = 64,
	ENDPOINT_SLOTS = 1024,        /* listeners x addresses + relay addresses, at most half of it used */
	RELAY_ADDRESSES_MAX = 255,
	RELAY_ADDRESS_CLIENT = 255,   /* no slot: the source is the client's own (client_ip: preserve) */
	NEXTHOPS_MAX = 4096,
	NEXTHOP_NONE = NEXTHOPS_MAX,  /* a slot that stays empty: no way known */
	NEXTHOP_SLOTS,
	SESSION_CIDS_MAX = 10,        /* CIDs of one session: 2 of the handshake and up to 8 aliases */
	SESSION_PATHS_MAX = 6,
	PROBES_MAX = 32,              /* slots a key may be in: userspace/state.h */
};

#define SLOT_NONE 0xffffffffu /* no slot of any table */

/* RFC 4291 address, IPv4 as ::ffff:a.b.c.d; network byte order throughout. */
struct addr {
	union {
		__u8 bytes[16];
		__be32 words_be[4];
		__u64 halves[2]; /* for comparing and hashing only */
	};
};

/* State of an entry: the two low bits of seq. A version step is SEQ_STEP. */
enum {
	SEQ_FREE = 0,
	SEQ_WRITING = 1, /* set beside either of the other two */
	SEQ_LIVE = 2,
	SEQ_STATE_MASK = 3,
	SEQ_STEP = 4,
};

/* What every table entry begins with. */
struct entry_head {
	__u16 seq;
	__u8 overflow; /* live entries whose probe sequence passed over this slot; 255 sticks */
	__u8 report;   /* paths: second (high 5 bits) and number (low 3) of the kernel's last CID reports */
};

/* --- paths: client 4-tuple (and backend) -> where to ------------------------------------------
 *
 * A path is (client 4-tuple, relay address:port, backend); the client's own address and port may
 * take the place of the relay's. Each known client 4-tuple has one default entry (ordinal 0). When
 * one client socket talks to several backends, every further path of the 4-tuple has an entry of its
 * own, hashed with an ordinal 1..PATH_SIBLINGS_MAX, and the default entry's `siblings` has bit
 * ordinal - 1 set: then only a CID decides.
 */
enum {
	PATH_CONFIRMED = 1 << 0,  /* the client used the backend's CID: the kernel may forward */
	PATH_ABSENT = 1 << 1,     /* default entry whose own path ended while siblings live */
	PATH_ORDINAL_SHIFT = 4,   /* flags >> 4: ordinal */
	PATH_SIBLINGS_MAX = 4,
};

struct path_entry {
	struct entry_head head;
	__u32 last_seen_s;       /* client to backend, seconds of CLOCK_MONOTONIC_COARSE */
	struct addr client;
	__be16 client_port_be;
	__u16 endpoint;          /* slot in endpoints: the listener address:port the client uses */
	__u32 backend;           /* slot in backends */
	__u32 session;           /* slot in sessions: the (first) session on this path */
	__be16 relay_port_be;    /* with RELAY_ADDRESS_CLIENT the client's */
	__u8 relay_address;      /* slot in relay_addresses, or RELAY_ADDRESS_CLIENT */
	__u8 flags;              /* PATH_* */
	__u8 siblings;           /* default entry: bit n: there is an entry with ordinal n + 1 */
	__u8 cid_len;            /* of cid, 0..20; 0 with a zero-length CID or none known yet */
	__u8 sessions;           /* sessions that use this path, 255 at most */
	__u8 owner;              /* worker that writes this entry */
	__u8 cid[CID_LEN_MAX];   /* the CID learned last, zero behind cid_len: found without the CID index */
};

/* --- replies: (backend, relay address:port) -> client -----------------------------------------
 *
 * With RELAY_ADDRESS_CLIENT the client stands for the relay address: such a reply is on its way to
 * the client, and its own addresses and ports are all that it is found by.
 */
enum {
	REPLY_CONFIRMED = 1 << 0, /* as PATH_CONFIRMED */
	REPLY_ANSWERED = 1 << 1,  /* the backend has sent to this path */
};

struct reply_entry {
	struct entry_head head;
	__u32 last_seen_s;       /* backend to client */
	struct addr backend;
	__be16 backend_port_be;
	__be16 relay_port_be;
	__u8 relay_address;      /* as in the path */
	__u8 flags;              /* REPLY_* */
	__u16 nexthop;           /* slot in nexthops: the way to the client; also written alone, by the steward */
	struct addr client;
	__be16 client_port_be;
	__u16 endpoint;          /* slot in endpoints: source of what the client gets */
	__u32 path;              /* slot in paths */
	__u32 unused;
};

/* --- cids: connection ID -> session -----------------------------------------------------------
 *
 * CID_SERVER and CID_ALIAS entries are hashed over length and bytes and found from anywhere. A
 * CID_ORIGINAL is the client's own random first DCID: hashed with the client's 4-tuple, found only
 * from there, and only by the workers. Two sessions may hold equal short CIDs.
 */
enum cid_kind {
	CID_SERVER = 1,   /* from a long header of the backend (Retry's included), or QUIC-LB knows it */
	CID_ALIAS = 2,    /* issued under encryption, learned from the client's short headers */
	CID_ORIGINAL = 3, /* RFC 9000 s7.3: original_destination_connection_id */
};

struct cid_entry {
	struct entry_head head;
	__u32 session;
	__u8 len;
	__u8 kind;      /* enum cid_kind */
	__u16 unused;
	__u8 cid[CID_LEN_MAX]; /* zero behind len */
};

/* --- sessions ----------------------------------------------------------------------------------
 *
 * One per connection to a backend; an array, its slots shared out among the workers. The owner is
 * the only writer. The kernel reads `backend` alone.
 */
enum {
	SESSION_CONFIRMED = 1 << 0,
	SESSION_CLIENT_SHORT = 1 << 1, /* the client has sent a short header */
	SESSION_CID_EMPTY = 1 << 2,    /* the backend chose a zero-length CID */
	SESSION_PINNED = 1 << 3,       /* migration: pinned */
	SESSION_ORIGINAL = 1 << 4,     /* cids[0] is still the CID_ORIGINAL entry */
	SESSION_TOKEN = 1 << 5,        /* an Initial of the client carried a token */
	SESSION_FOREIGN = 1 << 6,      /* its handshake was elsewhere: QUIC-LB or another relay named the backend */
	SESSION_SHARED = 1 << 7,       /* of those: another relay, through Redis */
};

struct session {
	struct entry_head head;
	__u32 generation;              /* with the slot number: an id that is not used twice */
	__u32 backend;
	__u32 route;                   /* of the route that chose the backend: protocol_route_id of its name; 0: none */
	__u32 created_s;
	__u32 confirmed_s;
	union {
		struct {                       /* unconfirmed */
			__u32 client_bytes;    /* UDP payload from the client ... */
			__u32 sent_bytes;      /* ... and to it: never over 3 times as much (RFC 9000 s8.1) */
		};
		struct {                       /* confirmed and pinned: 4-tuples by a hash that is never 0; 0 is none */
			__u32 mover;           /* not the home's, seen last: it may become the home */
			__u32 left;            /* the home before, which may have it back at once */
		};
	};
	__u8 owner;                    /* worker */
	__u8 flags;                    /* SESSION_* */
	__u8 cid_len;                  /* of the CIDs the backend chooses */
	__u8 cid_count;
	__u8 path_count;
	__u8 wrong_guesses;            /* of a CID below 8 bytes, before confirmation */
	__u8 mover_packets;            /* in a row from `mover`, up to what a move takes */
	__u8 preserve;                 /* 1: client_ip: preserve: RELAY_ADDRESS_CLIENT where families allow */
	__u64 candidate;               /* hash of the unknown CID used last; confirmed: it may become an alias */
	__u32 paths[SESSION_PATHS_MAX];/* slots in paths; paths[0] is the session's home */
	__u32 cids[SESSION_CIDS_MAX];  /* slots in cids, oldest first */
	__u32 older;                   /* next older session with the same home, SLOT_NONE at the end */
	__u32 client_scid;             /* hash of the SCID that the client chose: which session a reply is for */
	__u32 left_s;                  /* since when `left` is left */
	__u16 opened;                  /* which of the owner's sessions: tells the newer of two of one second */
	__u16 unused_too;
};

/* --- small tables, written by the steward thread only ----------------------------------------- */

/* A local address:port that is ours; port 0: a relay address, with the ports of globals. */
enum endpoint_kind {
	ENDPOINT_DISABLED = 0, /* not ours (any more), but sessions may still know the slot */
	ENDPOINT_QUIC = 1,
	ENDPOINT_UDP = 2,
	ENDPOINT_RENDEZVOUS = 3,
	ENDPOINT_RELAY = 4,
};

struct endpoint {
	struct entry_head head;
	__be16 port_be;
	__u8 kind;           /* enum endpoint_kind */
	__u8 relay_address;  /* ENDPOINT_RELAY: slot in relay_addresses */
	struct addr address;
	__u16 listener;      /* index in the configuration's listeners */
	__u16 unused[3];
};

struct relay_address {
	struct addr address;
};

enum {
	BACKEND_USED = 1 << 0, /* else: nobody's, kept because others were put behind it */
	BACKEND_IDLE = 1 << 1, /* the last sweep found neither route nor session that needs it */
	CID_LEN_UNKNOWN = 0xff,
};

struct backend {
	struct entry_head head;
	__be16 port_be;
	__u16 nexthop;       /* slot in nexthops */
	struct addr address;
	__u8 relay_address;  /* slot in relay_addresses: the source we use towards it */
	__u8 cid_len;        /* of the CIDs it chooses, or CID_LEN_UNKNOWN; any worker stores it, alone */
	__u8 flags;          /* BACKEND_* */
	__u8 unused[5];
};

enum {
	NEXTHOP_RESOLVED = 1 << 0, /* dmac is valid */
};

struct nexthop {
	struct entry_head head;
	__u32 ifindex;       /* of the way out */
	__u16 interface;     /* its slot in interfaces; key of the devmap */
	__u16 mtu_bytes;     /* of the IP packet */
	__u8 dmac[6];
	__u8 smac[6];
	__u8 flags;          /* NEXTHOP_* */
	__u8 unused[7];
};

/* Read by the program on every packet, written by the steward; each word alone. */
enum {
	FEATURE_KERNEL_PATH = 1 << 0,   /* fast_path: kernel */
	FEATURE_FOREIGN_CIDS = 1 << 1,  /* unknown CIDs may still be somebody's (QUIC-LB, shared sessions) */
	FEATURE_CLIENT_IP = 1 << 2,     /* packets to others may be replies of a RELAY_ADDRESS_CLIENT path */
};

struct globals {
	__u32 abi_version;
	__u32 heartbeat_s;              /* CLOCK_MONOTONIC_COARSE; the relay was alive then */
	__u32 restart_grace_s;
	__u32 idle_timeout_s;           /* of a path, both directions silent */
	__u32 idle_timeout_unconfirmed_s;
	__u32 features;                 /* FEATURE_* */
	__u32 cid_lengths;              /* bit n: some backend chooses CIDs of n bytes; any worker sets bits */
	__u16 relay_ports[4];           /* two inclusive ranges, host order: [0]..[1] and [2]..[3]; 0 is none */
	__u32 path_slots;               /* the sizes of paths, replies and cids */
	__u32 reply_slots;
	__u32 cid_slots;
	__u32 session_slots;
	__u32 backend_slots;
	__u32 nexthops;                 /* live ones, as of the last second: their table is not for readers */
	__u32 pinned_silence_s;         /* of a pinned session's client, before its return address may move */
	struct siphash_key hash_key;
};

/* --- counters: per CPU for the kernel, per worker for user space ------------------------------ */
enum direction { TO_BACKEND, TO_CLIENT, DIRECTIONS };

struct traffic {
	__u64 packets;
	__u64 bytes;                    /* of the frame */
};

struct counters {
	struct traffic forwarded[DIRECTIONS];
	struct traffic punted[DIRECTIONS];  /* kernel: handed to a worker */
	__u64 cid_reports;                  /* kernel: unknown CIDs reported */
	__u64 cid_reports_limited;          /* kernel: not reported, over the rate */
	__u64 drops[DROP_REASON_COUNT];
	__u64 events[EVENT_COUNT];          /* workers */
};

/* What a worker stores when it keeps house; each word alone. */
struct worker_gauges {
	__u32 frames;                       /* of its UMEM; 0: there is no such worker */
	__u32 frames_free;                  /* of those, neither in a ring nor held */
	__u32 flights_max;                  /* its share of limits.pending_handshakes */
	__u32 flights;                      /* first flights in progress */
};

enum {
	SOCKET_OPEN = 1 << 0,               /* else: no such socket */
	SOCKET_ZERO_COPY = 1 << 1,
	SOCKET_ZERO_COPY_REFUSED = 1 << 2,  /* was to be, and is in copy mode */
	SOCKET_XDP_NATIVE = 1 << 3,         /* the program runs in the driver; else generic */
};

/* An AF_XDP socket. The steward stores name, flags and worker, the worker the rest, once a second; each word alone. */
struct socket_stats {
	char interface[16];                 /* IFNAMSIZ, NUL-terminated */
	__u32 flags;                        /* SOCKET_* */
	__u32 worker;
	__u32 fill_frames;                  /* on the fill ring, for the kernel to take */
	__u32 tx_frames;                    /* on the TX ring, not taken yet */
	__u64 counters[SOCKET_COUNTER_COUNT]; /* of this socket: they start at 0 with each relay process */
};

/*
 * One for each worker and each queue number: record i holds what worker i
 * counts, and queue i of every interface, by interface slot. A relay that adopts
 * it goes on with the counters alone: the rest tells of a process that is no more.
 */
struct worker_record {
	struct counters counters;
	struct worker_gauges gauges;
	struct socket_stats sockets[INTERFACES_MAX];
};

/* Ring buffer record: a short header with an unknown CID was forwarded on this path. */
struct cid_report {
	__u32 path;                     /* slot in paths */
	__u32 session;
	__u8 len;
	__u8 cid[CID_LEN_MAX];
	__u8 unused[3];
};

#define ASSERT_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type " is " #size " bytes")
#define ASSERT_AT(type, field, at) \
	_Static_assert(__builtin_offsetof(type, field) == (at), #type "." #field " is at " #at)
ASSERT_SIZE(struct addr, 16);
ASSERT_SIZE(struct entry_head, 4);
ASSERT_SIZE(struct path_entry, 64);
ASSERT_AT(struct path_entry, client, 8);
ASSERT_AT(struct path_entry, backend, 28);
ASSERT_AT(struct path_entry, cid, 44);
ASSERT_SIZE(struct reply_entry, 64);
ASSERT_AT(struct reply_entry, backend, 8);
ASSERT_AT(struct reply_entry, client, 32);
ASSERT_AT(struct reply_entry, path, 52);
ASSERT_SIZE(struct cid_entry, 32);
ASSERT_AT(struct cid_entry, cid, 12);
ASSERT_SIZE(struct session, 128);
ASSERT_AT(struct session, backend, 8);
ASSERT_AT(struct session, candidate, 40);
ASSERT_AT(struct session, mover, 24);
ASSERT_SIZE(struct endpoint, 32);
ASSERT_SIZE(struct relay_address, 16);
ASSERT_SIZE(struct backend, 32);
ASSERT_SIZE(struct nexthop, 32);
ASSERT_SIZE(struct globals, 80);
ASSERT_AT(struct globals, hash_key, 64);
ASSERT_SIZE(struct worker_gauges, 16);
ASSERT_AT(struct socket_stats, counters, 32);
ASSERT_AT(struct worker_record, gauges, sizeof(struct counters));
ASSERT_AT(struct worker_record, sockets, sizeof(struct counters) + 16);
_Static_assert((int)RELAY_ADDRESS_CLIENT == (int)RELAY_ADDRESSES_MAX && (int)RELAY_ADDRESS_CLIENT == (__u8)~0,
	       "what is no slot is beyond the table, and the only __u8 that is");
_Static_assert(QUEUES_MAX <= WORKERS_MAX, "each queue number has a worker_record");
ASSERT_SIZE(struct cid_report, 32);

#endif
