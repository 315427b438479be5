/* SPDX-License-Identifier: MIT */
/*
 * hello: from a client's first datagrams to the server name it asks for.
 *
 * Initial packets are decrypted with the keys that anyone on the path can
 * derive (RFC 9001 s5.2, RFC 9369 s3.3), their CRYPTO frames put in order, and
 * the ClientHello (RFC 8446 s4.1.2) read up to its server_name (RFC 6066 s3).
 * One hello_crypto per thread; nothing is allocated after hello_crypto_new.
 * The input is hostile.
 */
#ifndef SLUICE_HELLO_H
#define SLUICE_HELLO_H

#include <stddef.h>
#include <stdint.h>

#include "initial.h"
#include "quic.h"

enum {
	HELLO_BYTES_MAX = 16384,          /* of one ClientHello with its handshake header */
	HELLO_NAME_MAX = 255,             /* RFC 6066 host_name; longer than any DNS name */
};

enum hello_verdict {
	HELLO_SNI,                        /* name is set: lower case, NUL-terminated */
	HELLO_NO_SNI,                     /* complete ClientHello without server_name */
	HELLO_INCOMPLETE,                 /* feed the next datagram */
	HELLO_NOT_INITIAL,                /* no Initial of v1 or v2 in the datagram */
	HELLO_UNSUPPORTED_VERSION,        /* long header of another version */
	HELLO_MALFORMED_PACKET,           /* header cut short, lengths impossible */
	HELLO_DECRYPT_FAILED,             /* no Initial in the datagram authenticates */
	HELLO_BAD_CRYPTO,                 /* frame not for Initials (RFC 9000 s12.4 table 3), CRYPTO out of bounds */
	HELLO_BAD_CLIENT_HELLO,           /* not a ClientHello, or its lengths do not fit */
};

/* OpenSSL contexts with everything that does not depend on the packet done once. */
struct hello_crypto;
struct hello_crypto *hello_crypto_new(void);   /* NULL: OpenSSL lacks AES-128-GCM or SHA-256 */
void hello_crypto_free(struct hello_crypto *crypto);

/* What was received of one ClientHello. Plain data: the caller gives the memory and may copy it. */
struct hello {
	struct quic_cid original_dcid;    /* of the flight's first Initial: the keys come from it */
	uint8_t keys_ready;               /* bit n: keys[n] is derived */
	struct initial_keys keys[2];      /* of v1 and v2: each packet's version decides */
	int64_t largest_pn;               /* of the Initials that authenticated; -1 before the first */
	uint32_t crypto_len;              /* end of the contiguous bytes from 0 */
	uint32_t crypto_end;              /* end of the furthest byte received */
	char name[HELLO_NAME_MAX + 1];
	uint8_t crypto[HELLO_BYTES_MAX];
	uint64_t received[HELLO_BYTES_MAX / 64]; /* bit n: byte n is there; the first to arrive wins */
};

/*
 * Begins a flight whose first Initial has this DCID. Cheap: does not touch
 * the arrays beyond what an earlier flight in the same memory had used
 * (so zero the memory once, before the first hello_begin).
 */
void hello_begin(struct hello *hello, const struct quic_cid *original_dcid);

/*
 * Feeds one datagram (UDP payload) of the flight. It is not changed. Packets
 * after the first are looked at too: coalesced Initials count, others and raw
 * padding (Firefox) are passed over. An Initial that does not authenticate
 * beside one that does is passed over as well (RFC 9000 s12.2). A verdict
 * other than HELLO_INCOMPLETE ends the flight; a datagram that yields
 * HELLO_DECRYPT_FAILED, _MALFORMED_PACKET, _NOT_INITIAL or _UNSUPPORTED_VERSION
 * has left *hello as it was (but for keys derived), so that garbage cannot spoil
 * a flight. Not checked here, but by who opens state: the datagram's size and
 * the DCID's length (RFC 9000 s14.1, s7.2).
 */
enum hello_verdict hello_feed(struct hello *hello, struct hello_crypto *crypto, const uint8_t *datagram, size_t len);

#endif
