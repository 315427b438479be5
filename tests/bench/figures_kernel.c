/* SPDX-License-Identifier: MIT */
/*
 * figures_kernel: established traffic that the XDP program forwards. The
 * program alone, and through the running system:
 *
 *     CPU 0   generator -> cl0 | relay0: sluice or bare -> relay1 | a0: sink
 */
#include "figures.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "bare.h"
#include "bench.h"
#include "sessions.h"
#include "traffic.h"

enum {
	RUNS_FULL = 1 << 20,         /* each of a million sessions once */
	RUNS_QUICK = 1 << 18,
	MISSED_MAX = 1000,           /* 1 packet in so many may be another's: sessions_fill */
};

/* What the relay's and the baseline's side of a comparison run on. */
struct kernel {
	struct relay_process relay;
	struct endpoints endpoints;
	struct bare *bare;
	struct stream relay_stream, base_stream;
	int program;                 /* the relay's */
	uint32_t clients;            /* that send */
};

static int program_of(const struct lane *lane)
{
	uint32_t id = 0;
	int error;

	ns_enter(lane->relay_ns);
	error = bpf_xdp_query_id((int)lane->in.ifindex, 0, &id);
	ns_leave();
	return error ? -1 : bpf_prog_get_fd_by_id(id);
}

/* bound: limits.sessions, which the tables' size follows from */
static bool kernel_open(struct kernel *kernel, const struct setup *setup, const struct lane *relay,
			const struct lane *base, uint32_t bound, uint32_t sessions, unsigned cpus)
{
	struct relay_settings settings = {
		.program = setup->relay_program, .work_dir = setup->work_dir, .fast_path = "kernel",
		.sessions = bound, .cpu_first = CPU_WORKER, .cpu_last = CPU_WORKER,
	};

	*kernel = (struct kernel){ .endpoints = { -1, -1 }, .program = -1 };
	return relay_process_start(&kernel->relay, relay, &settings) &&
	       endpoints_open(&kernel->endpoints, relay, false) && sessions_establish(&kernel->endpoints) &&
	       sessions_fill(&kernel->relay, sessions) && (kernel->bare = bare_start(base)) != NULL &&
	       traffic_open(&kernel->relay_stream, relay, cpus) && traffic_open(&kernel->base_stream, base, cpus) &&
	       (kernel->program = program_of(relay)) >= 0;
}

static void kernel_close(struct kernel *kernel, const struct lane *base)
{
	traffic_close(&kernel->relay_stream);
	traffic_close(&kernel->base_stream);
	bare_stop(kernel->bare, base);
	endpoints_close(&kernel->endpoints);
	relay_process_stop(&kernel->relay, SIGTERM);
	close(kernel->program);
}

/* --- the program alone ------------------------------------------------------------------------------ */

static uint32_t runs(const struct kernel *kernel)
{
	return bench_options.quick || kernel->clients <= RUNS_QUICK ? RUNS_QUICK : RUNS_FULL;
}

static bool measure_relay_ns(void *context, double values[static FIGURES_PER_SIDE])
{
	struct kernel *kernel = context;
	uint64_t before = relay_process_kernel_forwarded(&kernel->relay), forwarded;

	if (!traffic_program_ns(&kernel->relay_stream, kernel->program, runs(kernel), values))
		return false;
	forwarded = relay_process_kernel_forwarded(&kernel->relay) - before;
	return forwarded >= runs(kernel) - runs(kernel) / MISSED_MAX ||
	       bench_failed("the program forwarded %lu of %u packets", (unsigned long)forwarded, runs(kernel));
}

static bool measure_bare_ns(void *context, double values[static FIGURES_PER_SIDE])
{
	struct kernel *kernel = context;

	return traffic_program_ns(&kernel->base_stream, bare_program(kernel->bare), runs(kernel), values);
}

static void compare_ns(struct kernel *kernel, const char *figure, uint32_t clients)
{
	struct side relay = { { figure }, measure_relay_ns, kernel };
	struct side bare = { { "xdp.ns.bare" }, measure_bare_ns, kernel };

	kernel->clients = clients;
	traffic_shorts(&kernel->relay_stream, 64, clients);
	traffic_shorts(&kernel->base_stream, 64, clients);
	bench_compare("ns", &relay, &bare);
}

/* --- through the system ----------------------------------------------------------------------------- */

static void compare_mpps(struct kernel *kernel, unsigned payload_len, uint32_t clients, const char *suffix)
{
	traffic_compare(&kernel->relay_stream, "xdp", &kernel->base_stream, "bare", payload_len, clients, suffix);
}

static void few_sessions(const struct setup *setup)
{
	struct kernel kernel;

	if (kernel_open(&kernel, setup, &setup->relay, &setup->base, BOUND_FEW, SESSIONS_FEW, 1)) {
		compare_ns(&kernel, "xdp.ns.1k", SESSIONS_FEW);
		compare_mpps(&kernel, 64, SESSIONS_FEW, "");
		compare_mpps(&kernel, 1200, SESSIONS_FEW, "");
		for (unsigned len = 300; !bench_options.quick && len <= 900; len += 300)
			compare_mpps(&kernel, len, SESSIONS_FEW, "");
	}
	kernel_close(&kernel, &setup->base);
}

/* Tables for a million, of whose sessions more and more send. */
static void many_sessions(const struct setup *setup)
{
	struct kernel kernel;

	if (kernel_open(&kernel, setup, &setup->relay, &setup->base, SESSIONS_MANY, SESSIONS_MANY, 1)) {
		compare_ns(&kernel, "xdp.ns.1m", SESSIONS_MANY);
		compare_mpps(&kernel, 64, SESSIONS_MANY, ".1m");
		for (uint32_t n = SESSIONS_FEW; !bench_options.quick && n < SESSIONS_MANY; n *= 4) {
			char figure[64];

			snprintf(figure, sizeof(figure), "xdp.ns.n%u", n);
			compare_ns(&kernel, figure, n);
			snprintf(figure, sizeof(figure), ".n%u", n);
			compare_mpps(&kernel, 64, n, figure);
		}
	}
	kernel_close(&kernel, &setup->base);
}

/* Both CPUs send, each into a queue of its own. */
static void two_queues(const struct setup *setup)
{
	struct kernel kernel;

	if (kernel_open(&kernel, setup, &setup->relay_2q, &setup->base_2q, BOUND_FEW, SESSIONS_FEW, 2))
		compare_mpps(&kernel, 64, SESSIONS_FEW, ".2q");
	kernel_close(&kernel, &setup->base_2q);
}

void figures_kernel(const struct setup *setup)
{
	few_sessions(setup);
	many_sessions(setup);
	two_queues(setup);
}
