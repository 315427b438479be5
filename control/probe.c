/* SPDX-License-Identifier: MIT */
/* probe: see probe.h. */
#include "control/probe.h"

#include <string.h>

enum {
	LONG_HEADER = 0x80,
	FIXED_BIT = 0x40,              /* some servers drop what has it not (RFC 9000 s17.2) */
	QUOTED_MIN_BYTES = 1 + 4 + 1 + PROBE_CID_BYTES, /* to the end of the DCID */
};

void probe_reserve_version(struct probe *probe)
{
	for (unsigned i = 0; i < sizeof(probe->version); i++)
		probe->version[i] = (probe->version[i] & 0xf0) | 0x0a;
}

/* Header byte, version and connection IDs, which every version has alike. */
static void head_write(uint8_t *bytes, const uint8_t version[static 4], const uint8_t dcid[static PROBE_CID_BYTES],
		       const uint8_t scid[static PROBE_CID_BYTES])
{
	bytes[0] = LONG_HEADER | FIXED_BIT;
	memcpy(bytes + 1, version, 4);
	bytes[5] = PROBE_CID_BYTES;
	memcpy(bytes + 6, dcid, PROBE_CID_BYTES);
	bytes[6 + PROBE_CID_BYTES] = PROBE_CID_BYTES;
	memcpy(bytes + 7 + PROBE_CID_BYTES, scid, PROBE_CID_BYTES);
}

void probe_write(const struct probe *probe, uint8_t bytes[static PROBE_BYTES])
{
	memset(bytes, 0, PROBE_BYTES);
	head_write(bytes, probe->version, probe->dcid, probe->scid);
}

bool probe_is_answer(const struct probe *probe, const uint8_t *bytes, size_t len)
{
	static const uint8_t negotiation[4];
	uint8_t wanted[PROBE_HEAD_BYTES];

	head_write(wanted, negotiation, probe->scid, probe->dcid);
	/* RFC 8999 s6: the other seven bits of the first byte are anything; no version, or half a one, is an error. */
	return len >= PROBE_HEAD_BYTES + 4 && (len - PROBE_HEAD_BYTES) % 4 == 0 && bytes[0] & LONG_HEADER &&
	       memcmp(bytes + 1, wanted + 1, sizeof(wanted) - 1) == 0;
}

bool probe_is_quoted(const struct probe *probe, const uint8_t *bytes, size_t len)
{
	uint8_t head[PROBE_HEAD_BYTES];

	head_write(head, probe->version, probe->dcid, probe->scid);
	return len >= QUOTED_MIN_BYTES && memcmp(bytes, head, len < sizeof(head) ? len : sizeof(head)) == 0;
}
