/* SPDX-License-Identifier: MIT */
/* metrics: see metrics.h. Names: https://prometheus.io/docs/practices/naming/ */
#include "control/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "userspace/address.h"
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

/* Text of others as the value of a label. */
static void label(FILE *out, const char *name, const char *text)
{
	fprintf(out, "%s=\"", name);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		fputc(*text, out);
	}
	fputc('"', out);
}

static uint32_t gauge_load(const __u32 *gauge)
{
	return __atomic_load_n(gauge, __ATOMIC_RELAXED);
}

static void workers_sum(const struct state *state, struct counters *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (unsigned worker = 0; worker < WORKERS_MAX; worker++)
		for (size_t i = 0; i < sizeof(*sum) / sizeof(uint64_t); i++)
			((uint64_t *)sum)[i] += __atomic_load_n((uint64_t *)&state->worker_counters[worker].counters + i,
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
		{ "paths", state->paths.entries, state->paths.entry_size, state->paths.slots },
		{ "replies", state->replies.entries, state->replies.entry_size, state->replies.slots },
		{ "cids", state->cids.entries, state->cids.entry_size, state->cids.slots },
		{ "backends", state->backends, sizeof(struct backend), state->backend_slots },
		{ "endpoints", state->endpoints.entries, state->endpoints.entry_size, state->endpoints.slots },
	};
	const struct view_sessions sessions = view_sessions(state);

	family(out, "sluice_sessions", "gauge", "Sessions now; confirmed: the client has used the backend's CID.");
	fprintf(out, "sluice_sessions{state=\"confirmed\"} %u\nsluice_sessions{state=\"unconfirmed\"} %u\n",
		sessions.confirmed, sessions.unconfirmed);
	gauge(out, "sluice_sessions_limit", "Sessions at most (limits.sessions).", state->session_slots);
	family(out, "sluice_table_entries", "gauge", "Entries in use of each table.");
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		fprintf(out, "sluice_table_entries{table=\"%s\"} %u\n", tables[i].name,
			entries_live(tables[i].entries, tables[i].entry_size, tables[i].slots));
	fprintf(out, "sluice_table_entries{table=\"nexthops\"} %u\n", gauge_load(&state->globals->nexthops));
	family(out, "sluice_table_slots", "gauge", "Slots of each table.");
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++)
		fprintf(out, "sluice_table_slots{table=\"%s\"} %u\n", tables[i].name, tables[i].slots);
	fprintf(out, "sluice_table_slots{table=\"nexthops\"} %u\n", NEXTHOPS_MAX);
}

/* --- workers and their sockets --------------------------------------------------------------------- */

/* Each worker's own, and what they are waiting for together. */
static void print_workers(FILE *out, const struct state *state)
{
	unsigned long long flights = 0, flights_max = 0, workers = 0;

	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		const struct worker_gauges *gauges = &state->worker_counters[i].gauges;

		workers += gauge_load(&gauges->frames) != 0;
		flights += gauge_load(&gauges->flights);
		flights_max += gauge_load(&gauges->flights_max);
	}
	gauge(out, "sluice_workers", "Workers of the relay.", workers);
	gauge(out, "sluice_handshakes_waiting", "First flights held: ClientHello or next hop not there yet.", flights);
	gauge(out, "sluice_handshakes_waiting_limit", "First flights held at most (limits.pending_handshakes).",
	      flights_max);
	family(out, "sluice_umem_frames", "gauge", "Frames of each worker's packet memory (UMEM).");
	for (unsigned i = 0; i < workers; i++)
		fprintf(out, "sluice_umem_frames{worker=\"%u\"} %u\n", i,
			gauge_load(&state->worker_counters[i].gauges.frames));
	family(out, "sluice_umem_free_frames", "gauge", "Of those, neither on a ring nor held.");
	for (unsigned i = 0; i < workers; i++)
		fprintf(out, "sluice_umem_free_frames{worker=\"%u\"} %u\n", i,
			gauge_load(&state->worker_counters[i].gauges.frames_free));
}

/* The next AF_XDP socket by interface and queue; *at begins at 0. NULL: that was all. */
static const struct socket_stats *socket_next(const struct state *state, unsigned *at, unsigned *queue)
{
	while (*at < INTERFACES_MAX * QUEUES_MAX) {
		const struct socket_stats *stats =
			&state->worker_counters[*at % QUEUES_MAX].sockets[*at / QUEUES_MAX];

		*queue = (*at)++ % QUEUES_MAX;
		if (gauge_load(&stats->flags) & SOCKET_OPEN)
			return stats;
	}
	return NULL;
}

/* One line for each socket. */
static void print_sockets(FILE *out, const struct state *state, const char *name,
			  unsigned long long (*value)(const struct socket_stats *stats, unsigned what), unsigned what)
{
	const struct socket_stats *stats;
	unsigned at = 0, queue;

	while ((stats = socket_next(state, &at, &queue))) {
		fprintf(out, "%s{", name);
		label(out, "interface", stats->interface);
		fprintf(out, ",queue=\"%u\",worker=\"%u\"} %llu\n", queue, stats->worker, value(stats, what));
	}
}

static unsigned long long socket_flag(const struct socket_stats *stats, unsigned flag)
{
	return (gauge_load(&stats->flags) & flag) != 0;
}

static unsigned long long socket_counter(const struct socket_stats *stats, unsigned counter)
{
	return __atomic_load_n(&stats->counters[counter], __ATOMIC_RELAXED);
}

static unsigned long long socket_fill_frames(const struct socket_stats *stats, unsigned unused)
{
	(void)unused;
	return gauge_load(&stats->fill_frames);
}

static unsigned long long socket_tx_frames(const struct socket_stats *stats, unsigned unused)
{
	(void)unused;
	return gauge_load(&stats->tx_frames);
}

static void print_xsk(FILE *out, const struct state *state)
{
	const struct socket_stats *stats;
	unsigned at = 0, queue;

	family(out, "sluice_xdp_info", "gauge", "1, with how the XDP program is attached to an interface.");
	while ((stats = socket_next(state, &at, &queue))) {
		if (queue != 0)
			continue;
		fputs("sluice_xdp_info{", out);
		label(out, "interface", stats->interface);
		fprintf(out, ",mode=\"%s\"} 1\n", socket_flag(stats, SOCKET_XDP_NATIVE) ? "native" : "generic");
	}
	family(out, "sluice_xsk_zero_copy", "gauge", "1 for an AF_XDP socket with zero copy, 0 in copy mode.");
	print_sockets(out, state, "sluice_xsk_zero_copy", socket_flag, SOCKET_ZERO_COPY);
	family(out, "sluice_xsk_zero_copy_refused", "gauge", "1 where the driver refused zero copy: in copy mode instead.");
	print_sockets(out, state, "sluice_xsk_zero_copy_refused", socket_flag, SOCKET_ZERO_COPY_REFUSED);
	family(out, "sluice_xsk_fill_ring_frames", "gauge", "Frames on the fill ring, for the kernel to receive into.");
	print_sockets(out, state, "sluice_xsk_fill_ring_frames", socket_fill_frames, 0);
	family(out, "sluice_xsk_tx_ring_frames", "gauge", "Frames on the TX ring that the kernel has not taken yet.");
	print_sockets(out, state, "sluice_xsk_tx_ring_frames", socket_tx_frames, 0);
#define X(id, name, help)                                                                                    \
	family(out, "sluice_xsk_" name "_total", "counter", "Number of " help ", by AF_XDP socket.");        \
	print_sockets(out, state, "sluice_xsk_" name "_total", socket_counter, SOCKET_COUNTER_##id);
	SOCKET_COUNTERS(X)
#undef X
}

void metrics_print_state(FILE *out, const struct state *state, const struct counters *kernel)
{
	struct counters workers;

	if (kernel) {
		workers_sum(state, &workers);
		print_traffic(out, kernel, &workers);
		print_drops(out, kernel, &workers);
		print_events(out, kernel, &workers);
	}
	print_tables(out, state);
	print_workers(out, state);
	print_xsk(out, state);
}

/* --- the control process --------------------------------------------------------------------------- */

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
	counter(out, "sluice_redis_sessions_written_total", "Connection IDs of sessions written.", stats.sessions_put);
	counter(out, "sluice_redis_sessions_refused_total", "Those that Redis refused.", stats.sessions_refused);
	counter(out, "sluice_redis_session_lookups_total", "Connection IDs looked for.", stats.session_finds);
	counter(out, "sluice_redis_session_lookups_found_total", "Of those, found.", stats.sessions_found);
	counter(out, "sluice_redis_session_lookups_refused_total",
		"Connection IDs not looked for: Redis was away, busy or refused.", stats.session_finds_refused);
	family(out, "sluice_redis_command_duration_seconds", "histogram", "Time to the answer of a command.");
	histogram_print(out, "sluice_redis_command_duration_seconds", &stats.latency);
}

void metrics_print_targets(FILE *out, const struct targets_stats *stats)
{
	gauge(out, "sluice_target_names", "Names that routes have as targets.", stats->names);
	gauge(out, "sluice_target_names_unresolved", "Of those, without any address.", stats->unresolved);
	counter(out, "sluice_target_lookups_total", "Times a name was resolved.", stats->lookups);
	counter(out, "sluice_target_lookup_failures_total", "Of those, without an address.", stats->failures);
	counter(out, "sluice_target_servers_left_out_total", "Servers beyond the 32 that a route sent to the relay may have.",
		stats->left_out);
}

void metrics_print_servers(FILE *out, struct servers *servers)
{
	struct servers_stats stats;
	struct servers_status *list;
	size_t count = servers_list(servers, &list);
	char text[ADDRESS_TEXT_MAX];

	servers_stats(servers, &stats);
	family(out, "sluice_backend_up", "gauge", "1 for a backend that answers probes, 0 for a dead one.");
	for (size_t i = 0; i < count; i++) {
		if (!list[i].watched)
			continue;
		address_text(text, &list[i].address, list[i].port_be);
		fprintf(out, "sluice_backend_up{backend=\"%s\"} %d\n", text, list[i].up);
	}
	free(list);
	gauge(out, "sluice_backends_watched", "Backends that are probed.", stats.watched);
	gauge(out, "sluice_backends_unwatched", "Targets with health that are not probed: there are too many.",
	      stats.unwatched);
	gauge(out, "sluice_backends_draining", "Backends that the operator drains.", stats.draining);
	counter(out, "sluice_backend_probes_total", "Probes sent to backends.", stats.probes);
	counter(out, "sluice_backend_probe_failures_total", "Of those, without an answer in time.", stats.failures);
	counter(out, "sluice_backend_fail_open_total", "Times a route was sent with dead backends: it had no others.",
		stats.fail_open);
}

void metrics_print_tls(FILE *out, const struct api_tls_stats *stats)
{
	gauge(out, "sluice_api_tls_connections", "TLS connections to the API now.", stats->open);
	counter(out, "sluice_api_tls_accepted_total", "TLS connections to the API that were accepted.", stats->accepted);
	counter(out, "sluice_api_tls_full_total", "Connections closed because there were too many.", stats->full);
	counter(out, "sluice_api_tls_handshake_failed_total", "Of those accepted, with no TLS or no right certificate.",
		stats->handshake_failed);
	counter(out, "sluice_api_tls_timed_out_total", "Of those accepted, closed because too little came in time.",
		stats->timed_out);
	counter(out, "sluice_api_tls_broken_total", "Of those accepted, that broke.", stats->broken);
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
	struct counters kernel;
	char text[LINK_TEXT_MAX];
	bool connected = link_status(link, text);

	family(out, "sluice_build_info", "gauge", "1, with the version of this control process.");
	fprintf(out, "sluice_build_info{version=\"%s\",protocol=\"%d\",abi=\"%d\"} 1\n", SLUICE_VERSION,
		PROTOCOL_VERSION, SLUICE_ABI_VERSION);
	gauge(out, "sluice_relay_connected", "1 while connected to the relay.", connected);
	if (connected) {
		family(out, "sluice_relay_info", "gauge", "1, with the version of the relay.");
		fputs("sluice_relay_info{", out);
		label(out, "version", text);
		fputs("} 1\n", out);
	}
	gauge(out, "sluice_routes", "Routes that the control process knows.", routes_count(routes));
	gauge(out, "sluice_routes_limit", "Routes at most.", ROUTES_MAX);
	if (share)
		print_redis(out, share);
	if (allocation)
		print_agones(out, allocation);
	if (!state)
		return;
	metrics_print_state(out, state, view_kernel_counters(view, &kernel) == 0 ? &kernel : NULL);
	view_leave(view);
}
