/* SPDX-License-Identifier: MIT */
/* counters: the sum of what kernel and workers counted, read from an instance's pinned maps. Any process. */
#ifndef SLUICE_COUNTERS_H
#define SLUICE_COUNTERS_H

#include <stdio.h>

/*
 * "name value" lines: kernel_..., worker_... 0 or -errno; -ENOENT: no such
 * instance; -EPROTO: its relay is of another version.
 */
int counters_print(const char *instance, FILE *out);

#endif
