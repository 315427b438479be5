/* SPDX-License-Identifier: MIT */
/*
 * figures_handshake: new sessions a second on one worker, through the running
 * system: Initials of 1,200 bytes, each from a client not seen before, offered
 * faster than the worker can take them. Counted is what the worker says it
 * opened; each has derived keys, decrypted, read the name, chosen a route,
 * drawn a relay port, written session, path, reply and CID, and sent the
 * datagram on.
 *
 *     CPU 0   generator -> cl0 | relay0: XDP -> AF_XDP socket
 *     CPU 1   worker -> relay1 | a0: sink
 */
#include "figures.h"

#include <signal.h>

#include "bench.h"
#include "sessions.h"
#include "traffic.h"

struct flood {
	struct relay_process relay;
	struct endpoints endpoints;
	struct stream stream;
};

static uint64_t opened(const void *context)
{
	return relay_process_event(context, EVENT_SESSION_OPENED);
}

static bool measure_handshakes(void *context, double values[static FIGURES_PER_SIDE])
{
	struct flood *flood = context;

	return traffic_rate(&flood->stream, bench_options.round_s, opened, &flood->relay, values);
}

void figures_handshake(const struct setup *setup)
{
	struct relay_settings settings = {
		.program = setup->relay_program, .work_dir = setup->work_dir, .fast_path = "kernel",
		.sessions = SESSIONS_MANY, .cpu_first = CPU_WORKER, .cpu_last = CPU_WORKER,
	};
	struct flood flood = { .endpoints = { -1, -1 } };
	struct side side = { { "handshake.per_s" }, measure_handshakes, &flood };

	if (relay_process_start(&flood.relay, &setup->relay, &settings) &&
	    endpoints_open(&flood.endpoints, &setup->relay, false) && sessions_establish(&flood.endpoints) &&
	    traffic_open(&flood.stream, &setup->relay, 1) && traffic_initials(&flood.stream))
		bench_alone("1/s", &side);
	traffic_close(&flood.stream);
	endpoints_close(&flood.endpoints);
	relay_process_stop(&flood.relay, SIGTERM);
}
