/* SPDX-License-Identifier: MIT */
/*
 * Unit tests of what /metrics tells from the relay's tables, and that
 * docs/control.md names each of them. Run from the top directory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "control/metrics.h"
#include "tests/lib/plain_state.h"

static void session_put(struct state *state, uint32_t slot, uint8_t flags)
{
	struct session session = { .flags = flags };

	entry_write(&state->sessions[slot], &session, sizeof(session));
}

/* Two workers; one interface with a queue each, and a second one, of an awkward name, that worker 1 has queue 3 of. */
static void state_fill(struct state *state)
{
	struct worker_record *records;

	plain_state_init(state, 64);
	records = state->worker_counters;
	state->globals->nexthops = 17;
	plain_backend(state, 63, "10.0.0.5", 7001, 1, 0);
	session_put(state, 3, 0);
	session_put(state, 5, SESSION_CONFIRMED);
	session_put(state, 63, SESSION_CONFIRMED | SESSION_CLIENT_SHORT);
	for (unsigned i = 0; i < 2; i++) {
		records[i].gauges = (struct worker_gauges){ 1000, 900 + i, 40, 3 + i };
		records[i].counters.forwarded[TO_CLIENT].packets = 10 + i;
		records[i].sockets[0] = (struct socket_stats){
			.interface = "eth0",
			.flags = SOCKET_OPEN | SOCKET_XDP_NATIVE | (i ? SOCKET_ZERO_COPY : SOCKET_ZERO_COPY_REFUSED),
			.worker = i,
			.fill_frames = 4096 - i,
			.tx_frames = 7 + i,
		};
	}
	records[0].sockets[1] = (struct socket_stats){ .interface = "a\"b\\", .flags = SOCKET_OPEN };
	records[3].sockets[1] = (struct socket_stats){ .interface = "a\"b\\", .flags = SOCKET_OPEN, .worker = 1 };
	for (unsigned i = 0; i < SOCKET_COUNTER_COUNT; i++)
		records[3].sockets[1].counters[i] = 100 + i;
}

/* What is printed of it; the caller frees it. */
static char *printed(const struct state *state, const struct counters *kernel)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	metrics_print_state(out, state, kernel);
	fclose(out);
	return text;
}

static void has_line(const char *text, const char *line)
{
	char whole[300];

	snprintf(whole, sizeof(whole), "\n%s\n", line);
	if (!strstr(text, whole))
		fail_msg("not there: %s", line);
}

static void tables_are_told(void **unused)
{
	static const struct counters kernel = { .forwarded[TO_CLIENT] = { 5, 500 }, .drops[DROP_FRAGMENT] = 2 };
	static const char *const lines[] = {
		"sluice_forwarded_packets_total{direction=\"to_client\",by=\"kernel\"} 5",
		"sluice_forwarded_bytes_total{direction=\"to_client\",by=\"kernel\"} 500",
		"sluice_forwarded_packets_total{direction=\"to_client\",by=\"worker\"} 21",
		"sluice_dropped_packets_total{reason=\"fragment\",by=\"kernel\"} 2",
		"sluice_sessions{state=\"confirmed\"} 2",
		"sluice_sessions{state=\"unconfirmed\"} 1",
		"sluice_sessions_limit 64",
		"sluice_table_entries{table=\"backends\"} 1",
		"sluice_table_slots{table=\"backends\"} 64",
		"sluice_table_entries{table=\"nexthops\"} 17",
		"sluice_table_slots{table=\"nexthops\"} 4096",
		"sluice_workers 2",
		"sluice_handshakes_waiting 7",
		"sluice_handshakes_waiting_limit 80",
		"sluice_umem_frames{worker=\"0\"} 1000",
		"sluice_umem_free_frames{worker=\"1\"} 901",
		"sluice_xdp_info{interface=\"eth0\",mode=\"native\"} 1",
		"sluice_xdp_info{interface=\"a\\\"b\\\\\",mode=\"generic\"} 1",
		"sluice_xsk_zero_copy{interface=\"eth0\",queue=\"0\",worker=\"0\"} 0",
		"sluice_xsk_zero_copy{interface=\"eth0\",queue=\"1\",worker=\"1\"} 1",
		"sluice_xsk_zero_copy_refused{interface=\"eth0\",queue=\"0\",worker=\"0\"} 1",
		"sluice_xsk_zero_copy_refused{interface=\"eth0\",queue=\"1\",worker=\"1\"} 0",
		"sluice_xsk_fill_ring_frames{interface=\"eth0\",queue=\"1\",worker=\"1\"} 4095",
		"sluice_xsk_tx_ring_frames{interface=\"eth0\",queue=\"1\",worker=\"1\"} 8",
#define X(id, name, help) "sluice_xsk_" name "_total{interface=\"a\\\"b\\\\\",queue=\"3\",worker=\"1\"} ",
		SOCKET_COUNTERS(X)
#undef X
	};
	struct state state;
	char *text;

	(void)unused;
	state_fill(&state);
	text = printed(&state, &kernel);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		size_t first = sizeof(lines) / sizeof(lines[0]) - SOCKET_COUNTER_COUNT;
		char line[256];

		snprintf(line, sizeof(line), i < first ? "%s" : "%s%zu", lines[i], 100 + i - first);
		has_line(text, line);
	}
	assert_null(strstr(text, "worker=\"2\""));
	assert_null(strstr(text, "queue=\"2\""));
	free(text);
	plain_state_end(&state);
}

/* What the kernel counted is missing rather than 0: a counter that falls looks like a restart. */
static void unreadable_counters_are_left_out(void **unused)
{
	struct state state;
	char *text;

	(void)unused;
	state_fill(&state);
	text = printed(&state, NULL);
	assert_null(strstr(text, "sluice_forwarded_packets_total"));
	has_line(text, "sluice_workers 2");
	free(text);
	plain_state_end(&state);
}

/* Each family is named in full in the document. The control process' own are checked end to end. */
static void metrics_are_documented(void **unused)
{
	static const struct counters kernel;
	char *text, *document = NULL;
	FILE *file = fopen("docs/control.md", "re");
	unsigned families = 0;
	struct state state;
	size_t size = 0;

	(void)unused;
	assert_non_null(file);
	assert_true(getdelim(&document, &size, '\0', file) > 0);
	fclose(file);
	state_fill(&state);
	text = printed(&state, &kernel);
	for (const char *at = text; (at = strstr(at, "# TYPE ")); families++) {
		char name[128], quoted[132];

		at += strlen("# TYPE ");
		assert_int_equal(sscanf(at, "%127s", name), 1);
		snprintf(quoted, sizeof(quoted), "`%s", name);
		for (const char *found = document;; found++) {
			found = strstr(found, quoted);
			if (!found)
				fail_msg("docs/control.md does not name %s", name);
			if (found[strlen(quoted)] == '`' || found[strlen(quoted)] == '{')
				break;
		}
	}
	assert_true(families > EVENT_COUNT + SOCKET_COUNTER_COUNT);
	free(text);
	free(document);
	plain_state_end(&state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables_are_told),
		cmocka_unit_test(unreadable_counters_are_left_out),
		cmocka_unit_test(metrics_are_documented),
	};

	return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
