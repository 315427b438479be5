/* SPDX-License-Identifier: MIT */
/*
 * protocol: what sluice-relay and sluice-control say to each other over a Unix
 * seqpacket socket, <run_dir>/<instance>.sock. The relay listens; one control
 * process at a time is connected. Both run on one machine: host byte order.
 * Pure; steward thread there, link thread here.
 *
 *     control                               relay
 *     HELLO (versions) ------------------>
 *                     <------------------- HELLO (versions)
 *                     <------------------- MAPS, with SCM_RIGHTS: its maps, for reading, in the order of protocol_map
 *     ROUTES_BEGIN, ROUTE ..., ROUTES_END ->   a full snapshot: what it does not name goes at ROUTES_END
 *     ROUTE, ROUTE_GONE ----------------->     changes
 *                     <------------------- ROUTE_REFUSED: what it could not take, and why
 *                     <------------------- ASK: a client waits for a server of this route; asked again while it does
 *     ANSWER ---------------------------->
 *                     <------------------- ASK_CID: a client uses a connection ID of no session here: whose is it?
 *     CID_ANSWER ------------------------>
 *     SESSION_END ----------------------->
 *     RELOAD <----------------------------> the sender was told to read its configuration again: do so too
 *
 * A message is one packet: a header, a body of fixed layout, and at its end
 * the text, without a NUL, that text_len counts. Neither side trusts the
 * other's lengths or types. HELLO keeps its layout in every version; a version
 * that differs ends the connection, and both sides say so.
 */
#ifndef SLUICE_PROTOCOL_H
#define SLUICE_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

#define PROTOCOL_VERSION 3

enum {
	PROTOCOL_TARGETS_MAX = 32,     /* servers of one route */
	PROTOCOL_MESSAGE_MAX = 1280,   /* bytes of one packet */
	PROTOCOL_TEXT_MAX = 253,       /* a name, RFC 1035 s2.3.4 */
	PROTOCOL_CID_MIN = 4,          /* connection IDs of less bytes are not shared: too many would be somebody's by chance */
};

enum protocol_type {
	PROTOCOL_HELLO = 1,
	PROTOCOL_MAPS,
	PROTOCOL_ROUTES_BEGIN,
	PROTOCOL_ROUTE,
	PROTOCOL_ROUTES_END,
	PROTOCOL_ROUTE_GONE,
	PROTOCOL_ROUTE_REFUSED,
	PROTOCOL_SESSION_END,
	PROTOCOL_RELOAD,
	PROTOCOL_ASK,
	PROTOCOL_ANSWER,
	PROTOCOL_ASK_CID,
	PROTOCOL_CID_ANSWER,
	PROTOCOL_TYPES,
};

/* The descriptors of MAPS. */
enum protocol_map {
	PROTOCOL_MAP_GLOBALS,
	PROTOCOL_MAP_PATHS,
	PROTOCOL_MAP_REPLIES,
	PROTOCOL_MAP_CIDS,
	PROTOCOL_MAP_SESSIONS,
	PROTOCOL_MAP_BACKENDS,
	PROTOCOL_MAP_ENDPOINTS,
	PROTOCOL_MAP_RELAY_ADDRESSES,
	PROTOCOL_MAP_WORKER_COUNTERS,
	PROTOCOL_MAP_KERNEL_COUNTERS,
	PROTOCOL_MAP_COUNT,
};

struct protocol_header {
	uint16_t type;                 /* enum protocol_type */
	uint16_t text_len;             /* bytes behind the body */
};

/* text: the sender's SLUICE_VERSION, for the log. */
struct protocol_hello {
	uint32_t protocol_version;
	uint32_t abi_version;
};

struct protocol_maps {
	uint32_t count;                /* PROTOCOL_MAP_COUNT */
};

struct protocol_target {
	struct addr address;
	__be16 port_be;
	uint16_t weight;               /* 1..65535: its share of new sessions */
	uint32_t unused;
};

enum protocol_route_flags {
	PROTOCOL_ROUTE_ASK = 1 << 0,   /* no targets: each client's server is asked for */
	PROTOCOL_ROUTE_PINNED = 1 << 1, /* migration: pinned */
	PROTOCOL_ROUTE_PRESERVE = 1 << 2, /* client_ip: preserve; not with PROTOCOL_ROUTE_PINNED */
	PROTOCOL_ROUTE_FLAGS = PROTOCOL_ROUTE_ASK | PROTOCOL_ROUTE_PINNED | PROTOCOL_ROUTE_PRESERVE,
};

/*
 * text: the fqdn. Only `count` of the targets travel; with none of them, and
 * without PROTOCOL_ROUTE_ASK, the name is known, but nothing may be opened now.
 */
struct protocol_route {
	uint8_t flags;                 /* PROTOCOL_ROUTE_* */
	uint8_t count;
	uint16_t unused[3];
	struct protocol_target targets[PROTOCOL_TARGETS_MAX];
};

/* text: the fqdn. */
struct protocol_refused {
	int32_t error;                 /* errno: ENOSPC, ENOMEM, ELOOP (the target is a listener) */
};

struct protocol_session {
	uint32_t slot;
	uint32_t generation;
};

/* text: the route's fqdn. */
struct protocol_ask {
	uint64_t id;                   /* the relay's, for the answer */
	struct addr client;
	__be16 client_port_be;
	uint16_t unused[3];
};

struct protocol_answer {
	uint64_t id;
	struct addr address;
	__be16 port_be;
	uint16_t unused;
	int32_t error;                 /* 0, or errno: there is no server for this client now */
};

/* The ID is the first min_len to max_len of the bytes; how many, the answer says. */
struct protocol_ask_cid {
	uint64_t id;                   /* the relay's, for the answer */
	uint8_t cid[CID_LEN_MAX];
	uint8_t min_len, max_len;      /* PROTOCOL_CID_MIN to CID_LEN_MAX */
	uint16_t unused;
};

struct protocol_cid_answer {
	uint64_t id;
	struct addr address;
	__be16 port_be;
	uint8_t cid_len;
	uint8_t flags;                 /* PROTOCOL_ROUTE_PINNED or none */
	uint32_t route;                /* as struct session has it */
	int32_t error;                 /* 0, or errno: it is nobody's, or that cannot be known now */
	uint32_t unused;
};

/* A message in memory; which member of the union counts is the type's to say. */
struct protocol_message {
	uint16_t type;
	union {
		struct protocol_hello hello;
		struct protocol_maps maps;
		struct protocol_route route;
		struct protocol_refused refused;
		struct protocol_session session;
		struct protocol_ask ask;
		struct protocol_answer answer;
		struct protocol_ask_cid ask_cid;
		struct protocol_cid_answer cid_answer;
	};
	char text[PROTOCOL_TEXT_MAX + 1];  /* NUL-terminated; no NUL within */
};

_Static_assert(sizeof(struct protocol_header) == 4, "layout");
_Static_assert(sizeof(struct protocol_hello) == 8, "layout of every version");
_Static_assert(sizeof(struct protocol_maps) == 4, "layout");
_Static_assert(sizeof(struct protocol_target) == 24, "layout");
_Static_assert(offsetof(struct protocol_target, port_be) == 16, "layout");
_Static_assert(offsetof(struct protocol_route, targets) == 8, "layout");
_Static_assert(sizeof(struct protocol_ask) == 32, "layout");
_Static_assert(sizeof(struct protocol_answer) == 32, "layout");
_Static_assert(sizeof(struct protocol_ask_cid) == 32, "layout");
_Static_assert(sizeof(struct protocol_cid_answer) == 40, "layout");
_Static_assert(sizeof(struct protocol_refused) == 4, "layout");
_Static_assert(sizeof(struct protocol_session) == 8, "layout");

/* Writes a message; its length in bytes. -EINVAL: no such type, text that this type may not have, too many targets. */
int protocol_encode(const struct protocol_message *message, uint8_t bytes[static PROTOCOL_MESSAGE_MAX]);

/*
 * Reads one packet. 0, or -EBADMSG: unknown type, wrong length, text that is missing, too long or holds a NUL, too
 * many targets, flags that are unknown or exclude each other, a weight of 0, or a connection ID of no possible length.
 */
int protocol_decode(const uint8_t *bytes, size_t len, struct protocol_message *message);

/* <run_dir>/<instance>.sock. False: longer than a socket's path may be. */
bool protocol_socket_path(char *path, size_t size, const char *run_dir, const char *instance);

/* Text of the peer's HELLO as it may stand in a log line: printable ASCII only, in place. */
void protocol_text_clean(char *text);

/*
 * What sessions call their route (struct session.route): a hash of its name,
 * the same in every process and after every restart. Never 0.
 */
uint32_t protocol_route_id(const char *fqdn);

#endif
