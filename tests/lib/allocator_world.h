/* SPDX-License-Identifier: MIT */
/*
 * allocator_world: tests/peers/allocator.py with certificates and a directory
 * of a test's own under /tmp. One thread.
 */
#ifndef SLUICE_ALLOCATOR_WORLD_H
#define SLUICE_ALLOCATOR_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "control/config.h"

struct allocator_world {
	char dir[64];                  /* certificates_make's, "ready" */
	pid_t server;                  /* 0: not running */
	uint16_t port, steering_port;
	char host[32], ca[80], cert[80], key[80]; /* what `config` points to */
	struct config_agones config;   /* for a client of it: enabled, defaults, timeout_ms 1500 */
};

/* servers: as the stand-in takes them, NULL-terminated. Returns when it listens. */
void allocator_world_begin(struct allocator_world *world, const char *const servers[]);
/* May be called again, and then does nothing. */
void allocator_world_end(struct allocator_world *world);

/* What it is told: "_behave?mode=delay&value=1", ... */
void allocator_world_tell(struct allocator_world *world, const char *what);

/* One of its counts: "requests", ... */
long allocator_world_count(struct allocator_world *world, const char *what);

#endif
