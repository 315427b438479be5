/* SPDX-License-Identifier: MIT */
/*
 * quic: the parts of a QUIC packet that anyone on the path can read. Any
 * thread; pure. The input is hostile; every length is checked here and the
 * parsed form can be trusted.
 *
 * RFC 8999 s5.1 (invariants), RFC 9000 s17.2 (v1), RFC 9369 s3.2 (v2 type bits).
 */
#ifndef SLUICE_QUIC_H
#define SLUICE_QUIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

enum {
	QUIC_VERSION_NEGOTIATION = 0,
	QUIC_VERSION_1 = 0x00000001,
	QUIC_VERSION_2 = 0x6b3343cf,
	QUIC_INITIAL_DATAGRAM_MIN = 1200, /* RFC 9000 s14.1 */
	QUIC_ORIGINAL_DCID_MIN = 8,       /* RFC 9000 s7.2 */
};

/* A connection ID; bytes behind len are zero, so that it can be hashed and compared whole. */
struct quic_cid {
	uint8_t len;                      /* 0..CID_LEN_MAX */
	uint8_t bytes[CID_LEN_MAX];
};

enum quic_type { QUIC_INITIAL, QUIC_0RTT, QUIC_HANDSHAKE, QUIC_RETRY, QUIC_VERSION_NEG, QUIC_OTHER_VERSION };

/* The first packet of a datagram, when it has a long header. Offsets are from its first byte. */
struct quic_long {
	enum quic_type type;              /* QUIC_OTHER_VERSION: the fields below `scid` are not valid */
	uint32_t version;
	struct quic_cid dcid, scid;
	uint16_t token_offset;            /* Initial only */
	uint16_t token_len;
	uint16_t pn_offset;               /* Initial, 0-RTT, Handshake: the (protected) packet number */
	uint16_t packet_len;              /* whole packet; the rest of the datagram may hold further ones */
};

enum quic_verdict {
	QUIC_LONG,
	QUIC_SHORT,                       /* first bit clear: RFC 8999 s5.2 */
	QUIC_TRUNCATED,                   /* a field or the packet ends beyond the datagram */
	QUIC_CID_TOO_LONG,                /* of v1 or v2: RFC 9000 s17.2; other versions: beyond what we keep */
};

/*
 * Parses the packet at the start of data[0..len). The fixed bit may be 0
 * (RFC 9287). For QUIC_SHORT, and without data, *packet is untouched; for
 * QUIC_TRUNCATED and QUIC_CID_TOO_LONG of a long header it holds the fields that
 * could be read, in their order, and zeros. Bytes beyond 65,535 are not looked at.
 */
enum quic_verdict quic_parse(struct quic_long *packet, const uint8_t *data, size_t len);

/* RFC 9000 s16. Bytes used (1, 2, 4, 8), or 0 if len is too short. */
size_t quic_varint(const uint8_t *data, size_t len, uint64_t *value);

/* CID of len bytes (at most CID_LEN_MAX) at data. */
struct quic_cid quic_cid_make(const uint8_t *data, size_t len);

static inline bool quic_cid_equal(const struct quic_cid *a, const struct quic_cid *b)
{
	return a->len == b->len && __builtin_memcmp(a->bytes, b->bytes, CID_LEN_MAX) == 0;
}

#endif
