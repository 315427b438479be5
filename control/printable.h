/* SPDX-License-Identifier: MIT */
/* printable: what others say, for a log: their control characters must not reach it. Any thread; pure. */
#ifndef SLUICE_PRINTABLE_H
#define SLUICE_PRINTABLE_H

#include <stddef.h>

/* As much of the text as fits, terminated; size is not 0. */
static inline void printable_copy(char *to, size_t size, const char *from)
{
	size_t i = 0;

	for (; from[i] && i + 1 < size; i++)
		to[i] = from[i] >= 0x20 && from[i] < 0x7f ? from[i] : '?';
	to[i] = '\0';
}

#endif
