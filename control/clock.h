/* SPDX-License-Identifier: MIT */
/* clock: CLOCK_MONOTONIC in nanoseconds, for the control process's timers and waits. Any thread. */
#ifndef SLUICE_CLOCK_H
#define SLUICE_CLOCK_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

#define MS_NS UINT64_C(1000000)
#define S_NS UINT64_C(1000000000)

static inline uint64_t clock_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * S_NS + (uint64_t)now.tv_nsec;
}

static inline struct timespec clock_timespec(uint64_t ns)
{
	return (struct timespec){ .tv_sec = (time_t)(ns / S_NS), .tv_nsec = (long)(ns % S_NS) };
}

/* A condition whose timed waits are by this clock. */
static inline void clock_cond_init(pthread_cond_t *cond)
{
	pthread_condattr_t attributes;

	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(cond, &attributes);
	pthread_condattr_destroy(&attributes);
}

#endif
