/* SPDX-License-Identifier: MIT */
/*
 * figures_worker: established traffic that a worker forwards, fast_path:
 * userspace, beside a bare AF_XDP forwarder and a relay on sockets.
 *
 *     CPU 0   generator -> cl0 | relay0: XDP -> AF_XDP socket (or UDP socket)
 *     CPU 1   worker (or baseline) -> relay1 | a0: sink
 *
 * CPU 0 offers more than CPU 1 can take, so CPU 1 sets the rate: the worker
 * itself, and the kernel's copy-mode transmission that it calls.
 */
#include "figures.h"

#include <signal.h>

#include "bench.h"
#include "sessions.h"
#include "socket_relay.h"
#include "traffic.h"
#include "xsk_forwarder.h"

struct worker_lanes {
	struct relay_process relay;
	struct endpoints endpoints;
	struct stream relay_stream, base_stream;
};

static bool lanes_open(struct worker_lanes *lanes, const struct setup *setup)
{
	struct relay_settings settings = {
		.program = setup->relay_program, .work_dir = setup->work_dir, .fast_path = "userspace",
		.sessions = BOUND_FEW, .cpu_first = CPU_WORKER, .cpu_last = CPU_WORKER,
	};

	*lanes = (struct worker_lanes){ .endpoints = { -1, -1 } };
	return relay_process_start(&lanes->relay, &setup->relay, &settings) &&
	       endpoints_open(&lanes->endpoints, &setup->relay, false) && sessions_establish(&lanes->endpoints) &&
	       sessions_fill(&lanes->relay, SESSIONS_FEW) && traffic_open(&lanes->relay_stream, &setup->relay, 1) &&
	       traffic_open(&lanes->base_stream, &setup->base, 1);
}

static void compare(struct worker_lanes *lanes, const char *baseline, unsigned payload_len)
{
	traffic_compare(&lanes->relay_stream, "worker", &lanes->base_stream, baseline, payload_len, SESSIONS_FEW, "");
}

static void beside_xsk(struct worker_lanes *lanes, const struct setup *setup)
{
	struct xsk_forwarder *forwarder = xsk_forwarder_start(&setup->base);

	if (!forwarder)
		return;
	compare(lanes, "xsk", 64);
	compare(lanes, "xsk", 1200);
	for (unsigned len = 300; !bench_options.quick && len <= 900; len += 300)
		compare(lanes, "xsk", len);
	xsk_forwarder_stop(forwarder);
}

static void beside_sockets(struct worker_lanes *lanes, const struct setup *setup)
{
	struct socket_relay *relay = socket_relay_start(&setup->base, SESSIONS_FEW);

	if (!relay)
		return;
	if (traffic_pass(&lanes->base_stream, &setup->base.in)) {
		compare(lanes, "socket", 64);
		compare(lanes, "socket", 1200);
	}
	lane_attach(&setup->base.in, -1);
	socket_relay_stop(relay);
}

void figures_worker(const struct setup *setup)
{
	struct worker_lanes lanes;

	if (lanes_open(&lanes, setup)) {
		beside_xsk(&lanes, setup);
		beside_sockets(&lanes, setup);
	}
	traffic_close(&lanes.relay_stream);
	traffic_close(&lanes.base_stream);
	endpoints_close(&lanes.endpoints);
	relay_process_stop(&lanes.relay, SIGTERM);
}
