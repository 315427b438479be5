/* SPDX-License-Identifier: MIT */
/*
 * checksum: the Internet checksum (RFC 1071), whole and by difference
 * (RFC 1624). Pure. Sums are of 16-bit words as they stand in memory, with
 * room for 64 KiB of them.
 */
#ifndef SLUICE_CHECKSUM_H
#define SLUICE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Adds bytes to a sum; an odd last one is padded with zero. */
static inline uint32_t checksum_sum(uint32_t sum, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;
	uint16_t word = 0;

	for (; len >= 2; at += 2, len -= 2) {
		memcpy(&word, at, 2);
		sum += word;
	}
	if (len) {
		word = 0;
		memcpy(&word, at, 1);
		sum += word;
	}
	return sum;
}

/* RFC 1624 eqn 3, HC' = ~(~HC + ~m + m'), over any number of 16-bit words m -> m'. */
static inline uint32_t checksum_difference(uint32_t sum, const void *from, const void *to, size_t len)
{
	const uint8_t *a = from, *b = to;

	for (size_t i = 0; i < len; i += 2) {
		uint16_t m, n;

		memcpy(&m, a + i, 2);
		memcpy(&n, b + i, 2);
		sum += (uint16_t)~m + (uint32_t)n;
	}
	return sum;
}

static inline uint16_t checksum_apply(uint16_t check, uint32_t difference)
{
	uint32_t sum = (uint16_t)~check + difference;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* The checksum of these bytes, whose own is 0 in them; sum: of what it covers beside. */
static inline uint16_t checksum_of(const void *bytes, size_t len, uint32_t sum)
{
	return checksum_apply(0xffff, checksum_sum(sum, bytes, len));
}

#endif
