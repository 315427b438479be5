/* SPDX-License-Identifier: MIT */
/* siphash_text: SipHash over text, for user space. Any thread; pure. The text may be an attacker's. */
#ifndef SLUICE_SIPHASH_TEXT_H
#define SLUICE_SIPHASH_TEXT_H

#include <stdint.h>
#include <string.h>

#include "bpf/siphash.h"

/* Its bytes, zeros up to a whole word, and its length in the last one. */
static inline void siphash_text(struct siphash *hash, const char *text)
{
	size_t len = strlen(text);
	uint64_t word;

	for (; len >= sizeof(word); text += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, text, sizeof(word));
		siphash_word(hash, word);
	}
	word = (uint64_t)len << 56;
	memcpy(&word, text, len);
	siphash_word(hash, word);
}

#endif
