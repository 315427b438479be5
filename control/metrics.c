/* SPDX-License-Identifier: MIT */
/* metrics: see metrics.h. Names: https://prometheus.io/docs/practices/naming/ */
#include "control/metrics.h"

#include <string.h>

#include "userspace/version.h"

static const char *const direction_labels[] = { [TO_BACKEND] = "to_backend", [TO_CLIENT] = "to_client" };

static void family(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void gauge(FILE *out, const char *name, const char *help, unsigned long long value)
{
	family(out, name, "gauge", help);
	fprintf(out, "%s %llu\n", name, value);
}

static void counter(FILE *out, const char *name, const char *help, unsigned long long value)
{
	family(out, name, "counter", help);
	fprintf(out, "%s %llu\n", name, value);
}

static void workers_sum(const struct state *state, struct counters *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (unsigned worker = 0; worker < WORKERS_MAX; worker++)
		for (size_t i = 0; i < sizeof(*sum) / sizeof(uint64_t); i++)
			((uint64_t *)sum)[i] += __atomic_load_n((uint64_t *)&state->worker_counters[worker] + i,
								__ATOMIC_RELAXED);
}

static void print_traffic(FILE *out, const struct counters *kernel, const struct counters *workers)
{
	family(out, "sluice_forwarded_packets_total", "counter", "Packets forwarded, by direction and by whom.");
	for (int d = 0; d < DIRECTIONS; d++) {
		fprintf(out, "sluice_forwarded_packets_total{direction=\"%s\",by=\"kernel\"} %llu\n", direction_labels[d],
			kernel->forwarded[d].packets);
		fprintf(out, "sluice_forwarded_packets_total{direction=\"%s\",by=\"worker\"} %llu\n", direction_labels[d],
			workers->forwarded[d].packets);
	}
	family(out, "sluice_forwarded_bytes_total", "counter", "Bytes of the frames forwarded, by direction and by whom.");
	for (int d = 0; d < DIRECTIONS; d++) {
		fprintf(out, "sluice_forwarded_bytes_total{direction=\"%s\",by=\"kernel\"} %llu\n", direction_labels[d],
			kernel->forwarded[d].bytes);
		fprintf(out, "sluice_forwarded_bytes_total{direction=\"%s\",by=\"worker\"} %llu\n", direction_labels[d],
			workers->forwarded[d].bytes);
	}
	family(out, "sluice_punted_packets_total", "counter", "Packets that the kernel handed to a worker.");
	for (int d = 0; d < DIRECTIONS; d++)
		fprintf(out, "sluice_punted_packets_total{direction=\"%s\"} %llu\n", direction_labels[d],
			kernel->punted[d].packets);
}

static void print_drops(FILE *out, const struct counters *kernel, const struct counters *workers)
{
	static const char *const labels[] = {
#define X(id, label, help) [DROP_##id] = label,
		DROP_REASONS(X)
#undef X
	};

	family(out, "sluice_dropped_packets_total", "counter", "Packets of ours not forwarded, by reason and by whom.");
	for (int i = 0; i < DROP_REASON_COUNT; i++) {
		fprintf(out, "sluice_dropped_packets_total{reason=\"%s\",by=\"kernel\"} %llu\n", labels[i],
			kernel->drops[i]);
		fprintf(out, "sluice_dropped_packets_total{reason=\"%s\",by=\"worker\"} %llu\n", labels[i],
			workers->drops[i]);
	}
}

static void print_events(FILE *out, const struct counters *kernel, const struct counters *workers)
{
#define X(id, label, help)                                                                 \
	family(out, "sluice_" label "_total", "counter", "Number of " help ".");           \
	fprintf(out, "sluice_" label "_total %llu\n", workers->events[EVENT_##id]);
	EVENTS(X)
#undef X
	family(out, "sluice_cid_reports_total", "counter", "Unknown connection IDs that the kernel reported.");
	fprintf(out, "sluice_cid_reports_total %llu\n", kernel->cid_reports);
	family(out, "sluice_cid_reports_limited_total", "counter", "Unknown connection IDs over the rate of reports.");
	fprintf(out, "sluice_cid_reports_limited_total %llu\n", kernel->cid_reports_limited);
}

/* Reads the first bytes of every entry: 3 to 7 ms at the default limits. */
static void print_tables(FILE *out, const struct state *state)
{
	const struct {
		const char *name;
		const void *entries;
		size_t entry_size;
		uint32_t slots;
	} tables[] = {
		{ "paths", state->paths.entries, state->paths.entry_size, state->paths.mask + 1 },
		{ "replies", state->replies.entries, state->replies.entry_size, state->replies.mask + 1 },
		{ "cids", state->cids.entries, state->cids.entry_size, state->cids.mask + 1 },
		{ "backends", state->backends, sizeof(struct backend), state->backend_slots },
		{ "endpoints", state->endpoints.entries, state->endpoints.entry_size, state->endpoints.mask + 1 },
	};

	gauge(out, "sluice_sessions", "Sessions now.",
	      view_live(state->sessions, sizeof(struct session), state->session_slots));
	gauge(out, "sluice_sessions_limit", "Sessions at most (limits.sessions).", state->session_slots);
	family(out, "sluice_table_entries", "gauge", "Entries in use of each table.");
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		fprintf(out, "sluice_table_entries{table=\"%s\"} %u\n", tables[i].name,
			view_live(tables[i].entries, tables[i].entry_size, tables[i].slots));
	family(out, "sluice_table_slots", "gauge", "Slots of each table.");
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		fprintf(out, "sluice_table_slots{table=\"%s\"} %u\n", tables[i].name, tables[i].slots);
}

static void print_redis(FILE *out, struct share *share)
{
	struct redis_stats stats;

	share_stats(share, &stats);
	gauge(out, "sluice_redis_connected", "1 while Redis is connected and its routes are loaded.", stats.connected);
	gauge(out, "sluice_redis_routes", "Routes that Redis holds.", stats.routes);
	gauge(out, "sluice_redis_writes_pending", "Names whose change Redis has not confirmed.", stats.writes_pending);
	counter(out, "sluice_redis_failures_total", "Connections to Redis that failed or broke.", stats.failures);
	counter(out, "sluice_redis_commands_total", "Commands that Redis answered.", stats.commands);
	counter(out, "sluice_redis_command_errors_total", "Of those, with an error.", stats.command_errors);
	counter(out, "sluice_redis_messages_total", "Messages published on the channels.", stats.messages);
	counter(out, "sluice_redis_invalid_total", "Entries and messages that are no routes.", stats.invalid);
	counter(out, "sluice_redis_writes_dropped_total", "Changes that Redis refused or that found no room.",
		stats.writes_dropped);
	family(out, "sluice_redis_command_duration_seconds", "histogram", "Time to the answer of a command.");
	histogram_print(out, "sluice_redis_command_duration_seconds", &stats.latency);
}

static void print_questions(FILE *out, const struct allocation_stats *stats)
{
	const struct {
		const char *name;
		uint64_t count;
	} limits[] = {
		{ "overall", stats->limited_overall },
		{ "client", stats->limited_client },
		{ "full", stats->limited_full },
		{ "late", stats->limited_late },
	};

	counter(out, "sluice_agones_questions_total", "Questions of the relay for a game server.", stats->questions);
	family(out, "sluice_agones_answers_total", "counter", "Answers to them, by result.");
	for (int i = 0; i < AGONES_VERDICTS; i++)
		fprintf(out, "sluice_agones_answers_total{result=\"%s\"} %llu\n", agones_verdict_name(i),
			(unsigned long long)stats->answers[i]);
	counter(out, "sluice_agones_questions_shared_total", "Questions that joined an allocation in progress.",
		stats->shared);
	counter(out, "sluice_agones_questions_remembered_total", "Questions answered with what was known already.",
		stats->remembered);
	family(out, "sluice_agones_limited_total", "counter", "Allocations not asked for, by the limit that forbade it.");
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		fprintf(out, "sluice_agones_limited_total{limit=\"%s\"} %llu\n", limits[i].name,
			(unsigned long long)limits[i].count);
	gauge(out, "sluice_agones_questions_waiting", "Questions without an answer now.", stats->waiting);
	gauge(out, "sluice_agones_attempts_known", "Connection attempts of clients that are known now.", stats->keys);
}

static void print_agones(FILE *out, struct allocation *allocation)
{
	struct allocation_stats questions;
	struct agones_stats stats;

	allocation_stats(allocation, &questions);
	agones_stats(allocation_agones(allocation), &stats);
	family(out, "sluice_agones_allocations_total", "counter", "Allocations asked for, by result.");
	for (int i = 0; i < AGONES_LIMITED; i++) /* which is the last: not asked for */
		fprintf(out, "sluice_agones_allocations_total{result=\"%s\"} %llu\n", agones_verdict_name(i),
			(unsigned long long)stats.allocations[i]);
	counter(out, "sluice_agones_request_failures_total", "Requests to the allocator that gave no server.",
		stats.request_failures);
	counter(out, "sluice_agones_connections_total", "Connections opened to the allocator.", stats.connections);
	family(out, "sluice_agones_request_duration_seconds", "histogram", "Time of a request to the allocator.");
	histogram_print(out, "sluice_agones_request_duration_seconds", &stats.duration);
	print_questions(out, &questions);
}

void metrics_print(FILE *out, struct view *view, struct routes *routes, struct link *link, struct share *share,
		   struct allocation *allocation)
{
	const struct state *state = view_enter(view);
	struct counters kernel, workers;
	char text[LINK_TEXT_MAX];

	family(out, "sluice_build_info", "gauge", "1, with the version of this control process.");
	fprintf(out, "sluice_build_info{version=\"%s\",protocol=\"%d\",abi=\"%d\"} 1\n", SLUICE_VERSION,
		PROTOCOL_VERSION, SLUICE_ABI_VERSION);
	gauge(out, "sluice_relay_connected", "1 while connected to the relay.", link_status(link, text));
	gauge(out, "sluice_routes", "Routes that the control process knows.", routes_count(routes));
	if (share)
		print_redis(out, share);
	if (allocation)
		print_agones(out, allocation);
	if (!state)
		return;
	workers_sum(state, &workers);
	if (view_kernel_counters(view, &kernel) == 0) {
		print_traffic(out, &kernel, &workers);
		print_drops(out, &kernel, &workers);
		print_events(out, &kernel, &workers);
	}
	print_tables(out, state);
	view_leave(view);
}
