/* SPDX-License-Identifier: MIT */
/*
 * figures_rtt: one packet of 64 bytes of payload at a time, to the backend and
 * back, through the relay and, in the other lane, by the kernel's IP
 * forwarding. Both endpoints are sockets of this one thread on CPU 0, which
 * spins on them: an endpoint that sleeps adds some 20 us for its wake-up, and
 * a third core for a second spinning thread there is none. The worker, where
 * there is one in the way, spins on CPU 1.
 */
#include "figures.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <netinet/in.h>

#include "bench.h"
#include "generator_abi.h"
#include "sessions.h"

enum {
	PINGS_FULL = 10000,
	PINGS_QUICK = 2000,
	PAYLOAD_LEN = 64,
	LOST_MAX = 100,              /* 1 in so many */
};

/* Spins until a datagram is there; false: lost. */
static bool spin(int fd, uint8_t *datagram, struct sockaddr_in *from)
{
	const double patience_s = 0.02;
	double start_s = bench_now_s();
	socklen_t from_len = sizeof(*from);

	do {
		if (recvfrom(fd, datagram, PAYLOAD_LEN, MSG_DONTWAIT, (struct sockaddr *)from,
			     from ? &from_len : NULL) > 0)
			return true;
	} while (bench_now_s() - start_s < patience_s);
	return false;
}

static bool ping(const struct endpoints *endpoints, uint8_t *datagram)
{
	struct sockaddr_in from;

	return send(endpoints->client, datagram, PAYLOAD_LEN, 0) == PAYLOAD_LEN &&
	       spin(endpoints->backend, datagram, &from) &&
	       sendto(endpoints->backend, datagram, PAYLOAD_LEN, 0, (struct sockaddr *)&from, sizeof(from)) ==
		       PAYLOAD_LEN &&
	       spin(endpoints->client, datagram, NULL);
}

/* The median and the 99th percentile, in us. */
static bool measure_rtt(void *context, double values[static FIGURES_PER_SIDE])
{
	unsigned pings = bench_options.quick ? PINGS_QUICK : PINGS_FULL, done = 0, lost = 0;
	double *us = malloc(pings * sizeof(*us));
	uint8_t datagram[PAYLOAD_LEN];
	uint64_t cid = generator_cid(0);

	memset(datagram, 0xbb, sizeof(datagram));
	datagram[0] = 0x40;
	memcpy(datagram + 1, &cid, sizeof(cid));
	while (us && done < pings && lost <= pings / LOST_MAX) {
		double start_s = bench_now_s();

		if (ping(context, datagram))
			us[done++] = (bench_now_s() - start_s) * 1e6;
		else
			lost++;
	}
	if (us && done == pings) {
		values[0] = median_of(us, done);
		values[1] = us[done * 99 / 100];
	}
	free(us);
	return done == pings || bench_failed("%u of %u packets were lost", lost, lost + done);
}

static void compare(const struct setup *setup, const char *fast_path, const char *p50, const char *p99)
{
	struct relay_settings settings = {
		.program = setup->relay_program, .work_dir = setup->work_dir, .fast_path = fast_path,
		.sessions = BOUND_FEW, .cpu_first = CPU_WORKER, .cpu_last = CPU_WORKER,
	};
	struct endpoints through = { -1, -1 }, direct = { -1, -1 };
	struct side relay = { { p50, p99 }, measure_rtt, &through };
	struct side kernel = { { "ipfwd.us.p50", "ipfwd.us.p99" }, measure_rtt, &direct };
	struct relay_process process;

	if (relay_process_start(&process, &setup->relay, &settings) && endpoints_open(&through, &setup->relay, false) &&
	    endpoints_open(&direct, &setup->base, true) && sessions_establish(&through))
		bench_compare("us", &relay, &kernel);
	endpoints_close(&through);
	endpoints_close(&direct);
	relay_process_stop(&process, SIGTERM);
}

void figures_rtt(const struct setup *setup)
{
	compare(setup, "kernel", "rtt.us.p50.kernel", "rtt.us.p99.kernel");
	compare(setup, "userspace", "rtt.us.p50.worker", "rtt.us.p99.worker");
}
