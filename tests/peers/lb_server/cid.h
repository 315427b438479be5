/* SPDX-License-Identifier: MIT */
/*
 * cid: makes the connection IDs that this server issues. Written from the draft's text (draft-ietf-quic-load-balancers
 * s4, s5), with nettle's AES; shares nothing with the relay's decoder, which it is there to test.
 */
#ifndef LB_SERVER_CID_H
#define LB_SERVER_CID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CID_LEN_MAX = 20, CID_KEY_LEN = 16, CID_SERVER_ID_MAX = 15, CID_NONCE_MIN = 4, CID_NONCE_MAX = 18 };

enum cid_form {
	CID_RANDOM,
	CID_SEQUENCE, /* 1, 2, 3, ... big-endian: two servers that started alike issue the same */
	CID_QUIC_LB,
};

struct cid_maker {
	enum cid_form form;
	size_t len;        /* of the whole connection ID */
	uint64_t previous; /* CID_SEQUENCE */

	/* CID_QUIC_LB */
	uint8_t rotation; /* of the configuration: 0 to 6 */
	uint8_t server_id[CID_SERVER_ID_MAX];
	size_t server_id_len, nonce_len;
	uint8_t key[CID_KEY_LEN];
	bool encrypt;
	bool tell_len; /* s3.3: the first octet's low 5 bits are the length that follows, else random */
};

/* "random:LEN", "sequence:LEN" or "lb:ROTATION:SERVER_ID:NONCE_LEN[:KEY]", both in hex. NULL, or what is wrong. */
const char *cid_parse(struct cid_maker *maker, const char *text);

/* A new connection ID: maker->len bytes. */
void cid_make(struct cid_maker *maker, uint8_t *cid);

/* The test vectors of the draft; prints TAP; 0, or 1 after a mismatch. */
int cid_check_vectors(void);

/* Hexadecimal digits of both cases, an even number: the bytes in out, their number, or -1. */
int cid_from_hex(uint8_t *out, size_t size, const char *hex);

#endif
