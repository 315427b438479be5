/* SPDX-License-Identifier: MIT */
/*
 * probe: a question that any QUIC server answers without a handshake: a packet
 * of a version that no server speaks (RFC 9000 s15: reserved to exercise Version
 * Negotiation), answered with Version Negotiation (s6). Pure; any thread.
 * Answers are whatever the network sent.
 *
 *     0                   1
 *     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5      RFC 8999 s5.1, s6
 *    +-+-------------+---------------+
 *    |1|             |  version (32) |     probe: 0x?a?a?a?a; answer: 0
 *    +-+-------------+---------------+
 *    |  DCID length  |   DCID ...    |     answer: the probe's SCID
 *    +---------------+---------------+
 *    |  SCID length  |   SCID ...    |     answer: the probe's DCID
 *    +---------------+---------------+
 *    |  probe: zeros; answer: versions, 32 bits each
 */
#ifndef SLUICE_PROBE_H
#define SLUICE_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	PROBE_BYTES = 1200,            /* RFC 9000 s14.1: servers drop smaller ones, s6.1: and need not answer them */
	PROBE_CID_BYTES = 8,           /* RFC 9000 s7.2: the client's first DCID has at least 8 */
	PROBE_HEAD_BYTES = 1 + 4 + 1 + PROBE_CID_BYTES + 1 + PROBE_CID_BYTES,
};

/* What makes a probe unlike any other: random. */
struct probe {
	uint8_t version[4];
	uint8_t dcid[PROBE_CID_BYTES], scid[PROBE_CID_BYTES];
};

/* Of random bytes: those of the version become a reserved one. */
void probe_reserve_version(struct probe *probe);

void probe_write(const struct probe *probe, uint8_t bytes[static PROBE_BYTES]);

/*
 * A Version Negotiation packet for this probe. That it echoes both connection
 * IDs shows that its sender received the probe. Which versions it lists does
 * not matter, the probe's among them included (RFC 9000 s6.2 has a client drop
 * that, lest it be talked out of a version; there is none to be talked out of).
 */
bool probe_is_answer(const struct probe *probe, const uint8_t *bytes, size_t len);

/* This is the beginning of the probe, and enough of it to know it by: as an ICMP error quotes it. */
bool probe_is_quoted(const struct probe *probe, const uint8_t *bytes, size_t len);

#endif
