/* SPDX-License-Identifier: MIT */
/*
 * traffic: frames of many clients into a lane, and the count of what comes out
 * at its backend's end. Main thread, and one thread for each further CPU.
 *
 * Frames are made by BPF_F_TEST_XDP_LIVE_FRAMES on the client's interface. A
 * veth has no queue between CPUs: what one CPU sends, the same CPU receives in
 * a softirq, so generator, relay's receive side and, on the kernel path, sink
 * share a core, and the rate is of all of them together. The baseline's too.
 */
#ifndef SLUICE_BENCH_TRAFFIC_H
#define SLUICE_BENCH_TRAFFIC_H

#include <stddef.h>

#include "lane.h"

enum { TRAFFIC_CPUS_MAX = 2, TRAFFIC_PAYLOAD_MAX = 1472 };

struct generator;

struct stream {
	const struct lane *lane;
	unsigned cpus;               /* CPU i sends to queue i */
	struct generator *generators[TRAFFIC_CPUS_MAX];
	uint8_t frame[LANE_UDP_HEADERS + TRAFFIC_PAYLOAD_MAX];
	uint32_t frame_len;
	bool sends_initials;         /* not short headers */
};

/* Loads the programs and puts the sink on the backend's interface: it lets everything pass but during runs. */
bool traffic_open(struct stream *stream, const struct lane *lane, unsigned cpus);
void traffic_close(struct stream *stream);

/* Short headers of `clients` (a power of two) clients, each with its CID. */
void traffic_shorts(struct stream *stream, size_t payload_len, uint32_t clients);

/* Initials of 1,200 bytes, one for each of the 64 backends, each from a client that has not sent before (up to 8M). */
bool traffic_initials(struct stream *stream);

/* Puts a program that passes everything on an interface: frames sent to a veth without one vanish. */
bool traffic_pass(const struct stream *stream, const struct lane_end *end);

/*
 * How much `count` grows in a second, while every CPU sends as fast as it can
 * and the sink drops what arrives.
 */
bool traffic_rate(struct stream *stream, double seconds, uint64_t (*count)(const void *context), const void *context,
		  double *per_s);

/*
 * Compares two lanes by <name>.mpps.<payload_len><suffix>, with short headers
 * of this many clients on both.
 */
void traffic_compare(struct stream *a, const char *a_name, struct stream *b, const char *b_name, unsigned payload_len,
		     uint32_t clients, const char *suffix);

/*
 * ns of one run of an XDP program of this lane's relay, over short headers of
 * many clients. BPF_PROG_TEST_RUN hands the same bytes to each repetition, as
 * the last one left them: a program that forwards would see its own output. So
 * `step` makes a client's packet and goes on with the program by tail call, and
 * what `step` costs is measured with a program that does nothing, and taken
 * off:
 *
 *     t(step, program) - t(step, nothing) + t(nothing)
 *
 * which is what BPF_PROG_TEST_RUN would say if it had the packets, its own
 * loop included; that alone is the figure xdp.ns.empty.
 */
bool traffic_program_ns(struct stream *stream, int program, uint32_t runs, double *ns);

#endif
