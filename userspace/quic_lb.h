/* SPDX-License-Identifier: MIT */
/*
 * quic_lb: connection IDs that name their server (draft-ietf-quic-load-balancers),
 * so that any instance can route any packet without state. One immutable
 * struct quic_lb is made at start and read by all workers; each has a
 * struct quic_lb_crypto of its own. Decoding takes no lock and no memory. The
 * CIDs are hostile; the options are checked here once more.
 *
 *     first octet                               up to 19 bytes
 *     +----------------+---------------------+ +-----------+-------+
 *     | rotation (3)   | length or random (5)| | server ID | nonce |   plain, or encrypted as one
 *     +----------------+---------------------+ +-----------+-------+
 *
 * The draft's "Config Rotation": the first three bits choose the configuration,
 * which alone says how long a CID is; the low five bits are never relied on.
 * Nothing authenticates a CID: one in (number of possible IDs / servers) of
 * random CIDs names a server. Whoever has a CID may send to its server, so a
 * verdict of QUIC_LB_SERVER opens a path and nothing more.
 */
#ifndef SLUICE_QUIC_LB_H
#define SLUICE_QUIC_LB_H

#include <stddef.h>
#include <stdint.h>

enum {
	QUIC_LB_CONFIGS_MAX = 7,          /* rotation 0..6 */
	QUIC_LB_ROTATION_UNROUTABLE = 7,  /* of servers without a configuration: route by 4-tuple */
	QUIC_LB_SERVER_ID_MAX = 15,
	QUIC_LB_NONCE_MIN = 4,
	QUIC_LB_NONCE_MAX = 18,
	QUIC_LB_BODY_MAX = 19,            /* server ID and nonce: a CID (20 bytes, RFC 9000 s17.2) but its first */
	QUIC_LB_KEY_LEN = 16,
};

struct quic_lb_server {
	uint8_t id[QUIC_LB_SERVER_ID_MAX];  /* its first server_id_len bytes count */
	uint32_t server;                    /* the caller's, e.g. a slot in backends */
};

struct quic_lb_options {
	uint8_t rotation;                   /* 0..6, once each */
	uint8_t server_id_len;              /* 1..15 */
	uint8_t nonce_len;                  /* 4..18; with server_id_len at most 19 */
	const uint8_t *key;                 /* QUIC_LB_KEY_LEN bytes of AES-128, or NULL: plain */
	const struct quic_lb_server *servers;
	size_t server_count;                /* at least 1 */
};

struct quic_lb;

/*
 * Makes *lb of `count` configurations; nothing of the options is kept. 0,
 * -EINVAL (a bound above does not hold, or a rotation or ID is there twice) or
 * -ENOMEM. The caller ends it with quic_lb_free, after all workers' crypto.
 */
int quic_lb_new(struct quic_lb **lb, const struct quic_lb_options *options, unsigned count);
void quic_lb_free(struct quic_lb *lb);

/* OpenSSL contexts with the keys set, one for each configuration. For one thread. */
struct quic_lb_crypto;
struct quic_lb_crypto *quic_lb_crypto_new(const struct quic_lb *lb); /* NULL: memory ran out, or no AES-128-ECB */
void quic_lb_crypto_free(struct quic_lb_crypto *crypto);

enum quic_lb_verdict {
	QUIC_LB_SERVER,
	QUIC_LB_UNROUTABLE,      /* rotation 7 */
	QUIC_LB_UNKNOWN_CONFIG,
	QUIC_LB_UNKNOWN_SERVER,
	QUIC_LB_TOO_SHORT,
};

/* The configuration that a CID, of at least a byte, says it is of; or QUIC_LB_ROTATION_UNROUTABLE. */
static inline unsigned quic_lb_rotation(const uint8_t *cid)
{
	return cid[0] >> 5;
}

/*
 * Whose CID stands at cid[0..available)? Pass the DCID of a long header, or all
 * that is left of a short header's datagram: what follows is not looked at.
 * *cid_len is what the configuration says; the CID itself may be longer, by
 * bytes that its server appended for its own use (the draft's "Server Actions").
 * *server is set for QUIC_LB_SERVER, *cid_len for that and
 * QUIC_LB_UNKNOWN_SERVER. crypto: made from this lb, and the calling thread's.
 */
enum quic_lb_verdict quic_lb_decode(const struct quic_lb *lb, const struct quic_lb_crypto *crypto, const uint8_t *cid,
				    size_t available, uint32_t *server, unsigned *cid_len);

#endif
