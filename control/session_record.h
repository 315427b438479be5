/* SPDX-License-Identifier: MIT */
/*
 * session_record: what stands in Redis of a connection ID, for other relays of the
 * same edge. Pure. The text is whatever somebody wrote there.
 *
 *     sluice:cid:<the ID in hex>    10.0.0.5:7777 route=5f3a9c01 pinned
 *
 * The server, then words in any order; words that are not known are passed
 * over, for later versions. route: protocol_route_id of the route's name. Or
 * "ended": the operator has ended the session, and nobody is to open it again.
 */
#ifndef SLUICE_SESSION_RECORD_H
#define SLUICE_SESSION_RECORD_H

#include "control/config.h"

#define SESSION_RECORD_PREFIX "sluice:cid:"

enum {
	SESSION_KEY_BYTES = sizeof(SESSION_RECORD_PREFIX) + 2 * CID_LEN_MAX,
	SESSION_TEXT_BYTES = 96,
};

struct session_record {
	struct config_address server;
	uint32_t route;                /* 0: none */
	bool pinned;                   /* migration: pinned */
	bool ended;                    /* then nothing else counts */
};

/* A connection ID and its session. */
struct session_cid {
	uint8_t cid[CID_LEN_MAX];
	uint8_t len;
	bool alias;                    /* of the client's choice, for all that a relay knows */
	struct session_record record;
};

/* len: 1 to CID_LEN_MAX. */
void session_record_key(char key[static SESSION_KEY_BYTES], const uint8_t *cid, size_t len);
void session_record_write(char text[static SESSION_TEXT_BYTES], const struct session_record *record);

/* 0; -EBADMSG: no such record, or of a server that cannot be. */
int session_record_read(const char *text, size_t len, struct session_record *record);

#endif
