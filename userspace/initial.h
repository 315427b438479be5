/* SPDX-License-Identifier: MIT */
/*
 * initial: the protection of Initial packets that a client sends: keys from
 * the DCID (RFC 9001 s5.2, RFC 9369 s3.3), header protection (RFC 9001 s5.4)
 * and AEAD_AES_128_GCM (s5.3). One struct initial_opener per thread; nothing
 * is allocated per packet. The input is hostile.
 *
 * These keys keep nothing secret: whoever sees the first packet can derive
 * them. So comparisons need no constant time, and keys may be cached.
 */
#ifndef SLUICE_INITIAL_H
#define SLUICE_INITIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quic.h"

/* Of the client's packets, for one version. */
struct initial_keys {
	uint8_t key[16];
	uint8_t iv[12];
	uint8_t hp[16];
};

/* OpenSSL contexts with everything done that does not depend on the packet. */
struct initial_opener;
struct initial_opener *initial_opener_new(void);   /* NULL: OpenSSL lacks AES-128-GCM or memory ran out */
void initial_opener_free(struct initial_opener *opener);

/* version: QUIC_VERSION_1 or QUIC_VERSION_2; dcid: of the client's first Initial, or the Retry's SCID. */
void initial_derive(const struct initial_opener *opener, struct initial_keys *keys, uint32_t version,
		    const struct quic_cid *dcid);

enum initial_verdict {
	INITIAL_OPENED,
	INITIAL_TOO_SHORT,     /* no room for the header protection's sample (RFC 9001 s5.4.2) */
	INITIAL_NOT_AUTHENTIC,
};

/*
 * Opens the packet at `data` that quic_parse found to be an Initial. Neither it
 * nor what follows is changed. largest_pn: the largest packet number opened in
 * this flight so far, or -1; raised to this packet's when that opens.
 * *payload points to the frames, in the opener's memory, until the next call.
 */
enum initial_verdict initial_open(struct initial_opener *opener, const struct initial_keys *keys,
				  const uint8_t *data, const struct quic_long *packet, int64_t *largest_pn,
				  const uint8_t **payload, size_t *payload_len);

#endif
