/* SPDX-License-Identifier: MIT */
/*
 * sluice-bench: measures the relay against baselines (docs/bench.md). Started
 * by scripts/bench.sh in the testbeds it has set up.
 *
 *   sluice-bench [-q] RELAY WORK-DIR TSV TESTBED BASE-TESTBED TESTBED-2Q BASE-TESTBED-2Q [GROUP...]
 *
 * Exit status 0 if everything was measured, whether or not the bars are met.
 */
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <urcu-qsbr.h>

#include "bars.h"
#include "bench.h"
#include "figures.h"

enum { ROUNDS = 9, ARGUMENTS = 7 };

static void initial(const struct setup *setup)
{
	(void)setup;
	figures_initial();
}

static const struct group {
	const char *name;
	void (*measure)(const struct setup *setup);
} groups[] = {
	{ "initial", initial },
	{ "kernel", figures_kernel },
	{ "worker", figures_worker },
	{ "handshake", figures_handshake },
	{ "rtt", figures_rtt },
	{ "footprint", figures_footprint },
};

static bool wanted(const char *group, int argc, char **argv)
{
	for (int i = 0; i < argc; i++)
		if (strcmp(argv[i], group) == 0)
			return true;
	return argc == 0;
}

/*
 * Before whatever else the machine does; relay and baselines inherit it alike.
 * Where sessions are scheduled as groups (sched(7), "The autogroup feature"),
 * nice values count within a session alone: so a session of our own.
 */
static void go_first(void)
{
	FILE *group;

	setsid();
	setpriority(PRIO_PROCESS, 0, -20);
	group = fopen("/proc/self/autogroup", "w");
	if (group) {
		fprintf(group, "-20");
		fclose(group);
	}
}

int main(int argc, char **argv)
{
	struct setup setup;
	bool complete;

	bench_options = (struct bench_options){ .rounds = ROUNDS, .round_s = 0.25 };
	if (argc > 1 && strcmp(argv[1], "-q") == 0) {
		bench_options = (struct bench_options){ .rounds = ROUNDS, .round_s = 0.08, .quick = true };
		argc--;
		argv++;
	}
	if (argc < 1 + ARGUMENTS) {
		fprintf(stderr, "usage: see tests/bench/main.c; run by scripts/bench.sh\n");
		return 2;
	}
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
		fprintf(stderr, "bench: needs two CPUs: traffic and worker must not share one\n");
		return 1;
	}
	go_first();
	bench_pin(CPU_TRAFFIC);
	urcu_qsbr_register_thread();
	setup = (struct setup){ .relay_program = argv[1], .work_dir = argv[2] };
	if (!lane_open(&setup.relay, argv[4]) || !lane_open(&setup.base, argv[5]) ||
	    !lane_open(&setup.relay_2q, argv[6]) || !lane_open(&setup.base_2q, argv[7]))
		return 1;
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		if (wanted(groups[i].name, argc - 1 - ARGUMENTS, argv + 1 + ARGUMENTS))
			groups[i].measure(&setup);
	complete = bench_report(argv[3]);
	bars_print();
	lane_close(&setup.relay);
	lane_close(&setup.base);
	lane_close(&setup.relay_2q);
	lane_close(&setup.base_2q);
	urcu_qsbr_unregister_thread();
	return complete ? 0 : 1;
}
