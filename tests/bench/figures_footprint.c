/* SPDX-License-Identifier: MIT */
/*
 * figures_footprint: what the relay takes where nothing happens: memory at a
 * million sessions, the time until it forwards with tables of that size, and
 * the CPU time of an idle one.
 */
#include "figures.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"
#include "sessions.h"
#include "userspace/pins.h"

enum {
	MILLION = 1000000,
	STARTS = 3,
	IDLE_WINDOWS = 3,
};

static struct relay_settings settings_of(const struct setup *setup, uint32_t sessions)
{
	return (struct relay_settings){
		.program = setup->relay_program, .work_dir = setup->work_dir, .fast_path = "kernel",
		.sessions = sessions, .cpu_first = CPU_TRAFFIC, .cpu_last = CPU_WORKER,
	};
}

/* The number behind a label in a file of /proc; 0: not there. */
static uint64_t proc_number(const char *path, const char *label)
{
	FILE *file = fopen(path, "r");
	char line[256];
	uint64_t number = 0;

	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, label, strlen(label)) == 0)
			number = strtoull(line + strlen(label), NULL, 10);
	if (file)
		fclose(file);
	return number;
}

/* What the kernel has allocated for all maps that the relay pins. */
static uint64_t maps_bytes(const struct relay_process *relay)
{
	char path[PIN_PATH_MAX];
	struct dirent *entry;
	uint64_t bytes = 0;
	DIR *pins;

	pins_path(path, relay->lane->name, "");
	pins = opendir(path);
	while (pins && (entry = readdir(pins))) {
		int fd = entry->d_name[0] == '.' ? -1 : relay_process_map(relay, entry->d_name);

		if (fd < 0)
			continue;
		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
		bytes += proc_number(path, "memlock:");
		close(fd);
	}
	if (pins)
		closedir(pins);
	return bytes;
}

/* The process's own: heap, stacks, UMEM; its view of the maps is not counted again. */
static uint64_t process_bytes(const struct relay_process *relay)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", relay->pid);
	return proc_number(path, "Anonymous:") * 1024;
}

static void start_times(const struct setup *setup)
{
	struct relay_settings settings = settings_of(setup, MILLION);
	struct relay_process relay;
	bool started = true;

	for (int i = 0; i < STARTS && started; i++) {
		started = relay_process_start(&relay, &setup->relay, &settings);
		if (started)
			bench_sample("start.s.1m", "s", relay.ready_s);
		relay_process_stop(&relay, SIGTERM);
	}
}

static bool leave_a_million(const struct setup *setup, const struct relay_settings *settings)
{
	struct endpoints endpoints = { -1, -1 };
	struct relay_process relay;
	bool filled = relay_process_start(&relay, &setup->relay, settings) &&
		      endpoints_open(&endpoints, &setup->relay, false) && sessions_establish(&endpoints) &&
		      sessions_fill(&relay, MILLION);

	endpoints_close(&endpoints);
	relay_process_stop(&relay, filled ? SIGUSR2 : SIGTERM);
	return filled;
}

/* Of a relay that has a million sessions for its own: one that has adopted them. */
static void memory(const struct setup *setup)
{
	struct relay_settings settings = settings_of(setup, MILLION);
	struct relay_process relay;

	if (!leave_a_million(setup, &settings))
		return;
	if (relay_process_start(&relay, &setup->relay, &settings)) {
		bench_sample("start.s.1m.adopt", "s", relay.ready_s);
		bench_sample("session.bytes.maps", "B", (double)maps_bytes(&relay) / MILLION);
		bench_sample("session.bytes.process", "B", (double)process_bytes(&relay) / MILLION);
		bench_sample("session.bytes", "B", (double)(maps_bytes(&relay) + process_bytes(&relay)) / MILLION);
	}
	relay_process_stop(&relay, SIGTERM);
}

static double cpu_s(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* With default tables, after the workers have gone to sleep; all threads. */
static void idle(const struct setup *setup)
{
	struct relay_settings settings = settings_of(setup, 65536);
	unsigned window_us = bench_options.quick ? 500000 : 2000000;
	struct relay_process relay;
	clockid_t clock;

	if (relay_process_start(&relay, &setup->relay, &settings) && clock_getcpuclockid(relay.pid, &clock) == 0) {
		usleep(200000);
		for (int i = 0; i < IDLE_WINDOWS; i++) {
			double cpu = cpu_s(clock), wall = bench_now_s();

			usleep(window_us);
			bench_sample("idle.cpu", "%", 100 * (cpu_s(clock) - cpu) / (bench_now_s() - wall));
		}
	}
	relay_process_stop(&relay, SIGTERM);
}

void figures_footprint(const struct setup *setup)
{
	fprintf(stderr, "  start.s.1m, session.bytes, idle.cpu\n");
	start_times(setup);
	memory(setup);
	idle(setup);
}
