/* SPDX-License-Identifier: MIT */
/* relay_process: see relay_process.h. */
#include "relay_process.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "userspace/pins.h"

enum { READY_WITHIN_S = 30, STOPS_WITHIN_S = 20 };

static bool config_write(const char *path, const struct relay_settings *settings)
{
	FILE *file = fopen(path, "w");

	if (!file)
		return bench_failed("%s: %s", path, strerror(errno));
	fprintf(file, "udp: {port: %d}\nfast_path: %s\nxdp: {busy_poll: adaptive}\nrelay: {run_dir: %s}\n", LISTENER_PORT,
		settings->fast_path, settings->work_dir);
	/* No idle timeout strikes, and nobody is refused for being one of many from nearby. */
	fprintf(file, "limits: {sessions: %u, new_sessions_per_s_per_source: 1000000, idle_timeout: 86400, "
		"idle_timeout_unconfirmed: 3600}\nroutes:\n", settings->sessions);
	for (unsigned i = 0; i < BACKENDS; i++)
		fprintf(file, "  - {fqdn: b%u.test, type: simple, target: \"" LANE_BACKEND ":%u\"}\n", i,
			BACKEND_PORT + i);
	return fclose(file) == 0 || bench_failed("%s: %s", path, strerror(errno));
}

/* The child, up to and including exec. */
__attribute__((noreturn)) static void relay_exec(const struct relay_process *relay, const struct relay_settings *settings,
						 const char *config)
{
	int log = open(relay->log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
	char interfaces[64];
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	for (unsigned i = settings->cpu_first; i <= settings->cpu_last; i++)
		CPU_SET(i, &cpus);
	snprintf(interfaces, sizeof(interfaces), "%s,%s", relay->lane->in.name, relay->lane->out.name);
	ns_enter(relay->lane->relay_ns);
	if (log >= 0 && dup2(log, 2) == 2 && sched_setaffinity(0, sizeof(cpus), &cpus) == 0 &&
	    prctl(PR_SET_PDEATHSIG, SIGKILL) == 0)
		execl(settings->program, settings->program, "-f", config, "-i", interfaces, "-n", relay->lane->name,
		      (char *)NULL);
	_exit(127);
}

static bool log_says_ready(const char *path)
{
	char text[65536];
	FILE *file = fopen(path, "r");
	size_t len = file ? fread(text, 1, sizeof(text) - 1, file) : 0;

	if (file)
		fclose(file);
	text[len] = '\0';
	return strstr(text, "ready: ");
}

static void log_show(const char *path)
{
	char line[512];
	FILE *file = fopen(path, "r");

	while (file && fgets(line, sizeof(line), file))
		fprintf(stderr, "  | %s", line);
	if (file)
		fclose(file);
}

static bool wait_ready(struct relay_process *relay)
{
	double start_s = bench_now_s();

	while (!log_says_ready(relay->log)) {
		if (waitpid(relay->pid, NULL, WNOHANG) == relay->pid) {
			relay->pid = 0;
			log_show(relay->log);
			return bench_failed("the relay does not start");
		}
		if (bench_now_s() - start_s > READY_WITHIN_S)
			return bench_failed("the relay is not ready after %d s", READY_WITHIN_S);
		usleep(1000);
	}
	relay->ready_s = bench_now_s() - start_s;
	return true;
}

int relay_process_map(const struct relay_process *relay, const char *name)
{
	char path[PIN_PATH_MAX];

	pins_path(path, relay->lane->name, name);
	return bpf_obj_get(path);
}

/* NULL: it cannot be mapped. entries: of the map. */
static void *map_memory(struct relay_process *relay, unsigned index, const char *name, uint32_t *entries)
{
	struct relay_mapping *mapping = &relay->mappings[index];
	struct bpf_map_info info = { 0 };
	uint32_t info_len = sizeof(info);
	int fd = relay_process_map(relay, name);

	if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &info_len) == 0) {
		mapping->bytes = (size_t)info.max_entries * ((info.value_size + 7u) & ~7u);
		mapping->memory = mmap(NULL, mapping->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		*entries = info.max_entries;
	}
	if (fd >= 0)
		close(fd);
	if (mapping->memory == MAP_FAILED)
		mapping->memory = NULL;
	return mapping->memory;
}

static bool state_map(struct relay_process *relay)
{
	struct state *state = &relay->state;
	struct {
		const char *name;
		void *at;            /* the pointer in state that is set */
		uint32_t entry_size; /* of a table: their number is behind the pointer */
	} maps[RELAY_MAPS] = {
		{ "globals", &state->globals, 0 },
		{ "paths", &state->paths, sizeof(struct path_entry) },
		{ "replies", &state->replies, sizeof(struct reply_entry) },
		{ "cids", &state->cids, sizeof(struct cid_entry) },
		{ "endpoints", &state->endpoints, sizeof(struct endpoint) },
		{ "sessions", &state->sessions, 0 },
		{ "backends", &state->backends, 0 },
		{ "relay_addresses", &state->relay_addresses, 0 },
		{ "nexthops", &state->nexthops, 0 },
		{ "host_ports", &state->host_ports, 0 },
		{ "worker_counters", &state->worker_counters, 0 },
	};

	for (unsigned i = 0; i < RELAY_MAPS; i++) {
		uint32_t entries = 0;
		void *memory = map_memory(relay, i, maps[i].name, &entries);

		if (!memory)
			return bench_failed("map %s: %s", maps[i].name, strerror(errno));
		if (maps[i].entry_size)
			*(struct table *)maps[i].at = (struct table){ memory, maps[i].entry_size, entries };
		else
			memcpy(maps[i].at, &memory, sizeof(memory));
	}
	state->session_slots = state->globals->session_slots;
	state->backend_slots = state->globals->backend_slots;
	state->hash_key = state->globals->hash_key;
	return true;
}

bool relay_process_start(struct relay_process *relay, const struct lane *lane, const struct relay_settings *settings)
{
	char config[256];

	*relay = (struct relay_process){ .lane = lane };
	snprintf(relay->log, sizeof(relay->log), "%s/relay.log", settings->work_dir);
	snprintf(config, sizeof(config), "%s/config.yaml", settings->work_dir);
	if (!config_write(config, settings))
		return false;
	unlink(relay->log);
	relay->pid = fork();
	if (relay->pid < 0)
		return bench_failed("fork: %s", strerror(errno));
	if (relay->pid == 0)
		relay_exec(relay, settings, config);
	return wait_ready(relay) && state_map(relay);
}

void relay_process_stop(struct relay_process *relay, int signal)
{
	double start_s = bench_now_s();
	int status = 0;

	for (unsigned i = 0; i < RELAY_MAPS; i++)
		if (relay->mappings[i].memory)
			munmap(relay->mappings[i].memory, relay->mappings[i].bytes);
	if (relay->pid <= 0)
		return;
	kill(relay->pid, signal);
	while (waitpid(relay->pid, &status, WNOHANG) == 0) {
		if (bench_now_s() - start_s > STOPS_WITHIN_S)
			kill(relay->pid, SIGKILL);
		usleep(1000);
	}
	if (status != 0)
		bench_failed("the relay ended with status %#x", status);
	relay->pid = 0;
}

bool relay_process_halt(const struct relay_process *relay, bool halt)
{
	int status;

	if (!halt)
		return kill(relay->pid, SIGCONT) == 0;
	return kill(relay->pid, SIGSTOP) == 0 && waitpid(relay->pid, &status, WUNTRACED) == relay->pid &&
	       WIFSTOPPED(status);
}

uint64_t relay_process_kernel_forwarded(const struct relay_process *relay)
{
	struct counters each[libbpf_num_possible_cpus()];
	int fd = relay_process_map(relay, "kernel_counters");
	uint32_t key = 0;
	uint64_t packets = 0;

	if (fd >= 0 && bpf_map_lookup_elem(fd, &key, each) == 0)
		for (int i = 0; i < libbpf_num_possible_cpus(); i++)
			for (unsigned direction = 0; direction < DIRECTIONS; direction++)
				packets += each[i].forwarded[direction].packets;
	if (fd >= 0)
		close(fd);
	return packets;
}

uint64_t relay_process_event(const struct relay_process *relay, unsigned event)
{
	uint64_t total = 0;

	for (unsigned i = 0; i < WORKERS_MAX; i++)
		total += __atomic_load_n(&relay->state.worker_counters[i].counters.events[event], __ATOMIC_RELAXED);
	return total;
}
