/* SPDX-License-Identifier: MIT */
/*
 * fuzz_probe: what may come to the prober's sockets. The first byte says which
 * bit of a good answer to change, or none; the rest is the versions behind it,
 * and by itself an answer and a quoted probe.
 */
#include <stdlib.h>
#include <string.h>

#include "control/probe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct probe probe = { { 0x1a, 0x2a, 0x3a, 0x4a }, "01234567", "89abcdef" };
	const unsigned bit = size ? data[0] : 0;
	uint8_t sent[PROBE_BYTES], *answer;

	if (size == 0)
		return 0;
	data++;
	size--;
	probe_write(&probe, sent);
	/* Of whole versions, so that its end decides nothing; in an allocation of its size. */
	answer = malloc(PROBE_HEAD_BYTES + size);
	memcpy(answer, sent, PROBE_HEAD_BYTES);
	memset(answer + 1, 0, 4);
	memcpy(answer + 6, probe.scid, PROBE_CID_BYTES);
	memcpy(answer + 7 + PROBE_CID_BYTES, probe.dcid, PROBE_CID_BYTES);
	memcpy(answer + PROBE_HEAD_BYTES, data, size);
	require(probe_is_answer(&probe, answer, PROBE_HEAD_BYTES + size) == (size >= 4 && size % 4 == 0));
	if (bit < 8 * PROBE_HEAD_BYTES && bit / 8 > 0) {
		answer[bit / 8] ^= 1 << bit % 8;
		require(!probe_is_answer(&probe, answer, PROBE_HEAD_BYTES + size));
	}
	free(answer);
	require(!probe_is_quoted(&probe, data, size) || (size >= 14 && memcmp(data, sent, 14) == 0));
	require(!probe_is_answer(&probe, data, size) || (size >= PROBE_HEAD_BYTES + 4 && data[0] & 0x80));
	return 0;
}
