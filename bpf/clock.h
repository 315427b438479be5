/* SPDX-License-Identifier: MIT */
/* clock: seconds of CLOCK_MONOTONIC_COARSE, asked once a tick. Kernel side, on every CPU at once. */
#ifndef SLUICE_CLOCK_H
#define SLUICE_CLOCK_H

#include "maps.h"

/*
 * Seconds of CLOCK_MONOTONIC_COARSE. A 64-bit division takes up to 90 cycles on
 * CPUs before Ice Lake (Fog, "Instruction tables"), a quarter of what the
 * program has for a packet. So: an estimate that is at most one too low (the
 * factor is 5.2e-10 too small, the shift cuts off 17 ms), and what is missing.
 * Good for 34 years of uptime.
 */
ALWAYS_INLINE __u32 seconds_of_clock(void)
{
	__u64 now_ns = bpf_ktime_get_coarse_ns();
	__u64 estimate_s = (now_ns >> 24) * 288230376 >> 34; /* 2^24 / 1e9 * 2^34 */

	return estimate_s + (now_ns - estimate_s * 1000000000 >= 1000000000);
}

/*
 * What that clock said last: low half of jiffies, seconds. The clock moves with
 * jiffies alone, so it is asked once a tick, by whichever CPU comes first; the
 * others read this word. (The verifier makes a load of bpf_jiffies64, since
 * Linux 5.6; asking the clock costs a call and a sequence lock, 12 of 94 ns a
 * packet.) So there is no HZ to know, and no second time base that drifts.
 *
 * One word, so that its halves belong together. A CPU that looks between the
 * kernel's update of jiffies and that of the clock is a tick late; one whose
 * predecessor came exactly 2^32 ticks before is wrong until the next tick.
 */
__u64 clock_word;

ALWAYS_INLINE __u32 seconds_now(void)
{
	__u64 word = READ_ONCE(clock_word), tick = bpf_jiffies64() << 32;

	if ((word ^ tick) >> 32) {
		word = tick | seconds_of_clock();
		WRITE_ONCE(clock_word, word);
	}
	return word;
}

/* The same without ever asking the clock. False: that is for seconds_now. */
ALWAYS_INLINE int seconds_known(__u32 *now_s)
{
	__u64 word = READ_ONCE(clock_word);

	*now_s = word;
	return (word ^ bpf_jiffies64() << 32) >> 32 == 0;
}

/* Signed: a stamp may be of a second that `now` was read just before. */
ALWAYS_INLINE int within(__u32 now_s, __u32 stamp_s, __u32 timeout_s)
{
	return (__s32)(now_s - stamp_s) <= (__s32)timeout_s;
}

#endif
