/* SPDX-License-Identifier: MIT */
/* traffic: see traffic.h. */
#include "traffic.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "generator_abi.h"
#include "sessions.h"
#include "tests/bench/generator.skel.h"
#include "tests/lib/udp_frame.h"

enum {
	BATCH_PACKETS = 64,          /* a softirq; a veth's ring holds 256 */
	NEW_CLIENTS = 1 << 23,
	FIRST_PACKET_MS = 2000,
};

/* A share of a measurement's time that goes before it: rings full, caches warm, a sleeping worker awake. */
static const double WARM_UP = 0.2;

bool traffic_open(struct stream *stream, const struct lane *lane, unsigned cpus)
{
	*stream = (struct stream){ .lane = lane, .cpus = cpus };
	for (unsigned i = 0; i < cpus; i++) {
		stream->generators[i] = generator__open_and_load();
		if (!stream->generators[i])
			return bench_failed("the generator's programs do not load: %s", strerror(errno));
		/* Apart, so that two CPUs do not take the same client at the same time. */
		stream->generators[i]->bss->counter = i * 0x400000;
	}
	stream->generators[0]->bss->sink_address_be = inet_addr(LANE_BACKEND);
	return lane_attach(&lane->backend, bpf_program__fd(stream->generators[0]->progs.sink));
}

void traffic_close(struct stream *stream)
{
	if (stream->generators[0])
		traffic_pass(stream, &stream->lane->backend);
	for (unsigned i = 0; i < stream->cpus; i++)
		generator__destroy(stream->generators[i]);
}

bool traffic_pass(const struct stream *stream, const struct lane_end *end)
{
	return lane_attach(end, bpf_program__fd(stream->generators[0]->progs.pass));
}

static struct generator_headers headers_of(const uint8_t *frame)
{
	struct generator_headers headers;

	memcpy(&headers.macs_first, frame, sizeof(headers.macs_first));
	memcpy(&headers.macs_rest, frame + 8, sizeof(headers.macs_rest));
	memcpy(&headers.ether_type, frame + 12, sizeof(headers.ether_type));
	memcpy(&headers.ip_first, frame + 14, sizeof(headers.ip_first));
	memcpy(&headers.ip_ttl_protocol, frame + 22, sizeof(headers.ip_ttl_protocol));
	memcpy(&headers.ip_daddr, frame + 30, sizeof(headers.ip_daddr));
	memcpy(&headers.udp_ports, frame + 34, sizeof(headers.udp_ports));
	memcpy(&headers.udp_len, frame + 38, sizeof(headers.udp_len));
	return headers;
}

/* The frame around a payload, and what the generators must know of it. */
static void frame_set(struct stream *stream, const uint8_t *payload, size_t len, uint32_t clients)
{
	static const struct udp_flow flow = { "0.0.0.0", CLIENT_PORT, LANE_LISTENER, LISTENER_PORT, 64, 0, false };
	struct iphdr *ip = (void *)(stream->frame + 14);
	struct udphdr *udp = (void *)(ip + 1);

	stream->frame_len = (uint32_t)udp_frame_write(stream->frame, &flow, payload, len);
	memcpy(stream->frame, stream->lane->in.mac, 6);
	memcpy(stream->frame + 6, stream->lane->client.mac, 6);
	for (unsigned i = 0; i < stream->cpus; i++) {
		struct generator_settings *settings = &stream->generators[i]->bss->settings;

		settings->headers = headers_of(stream->frame);
		settings->ip_sum = (uint16_t)~ip->check;
		settings->udp_sum = (uint16_t)~udp->check;
		settings->client_first = CLIENT_FIRST;
		settings->client_mask = clients - 1;
	}
}

void traffic_shorts(struct stream *stream, size_t payload_len, uint32_t clients)
{
	uint8_t payload[TRAFFIC_PAYLOAD_MAX];

	memset(payload, 0xbb, payload_len);
	payload[0] = 0x40; /* RFC 9000 s17.3.1 */
	memset(payload + 1, 0, GENERATOR_CID_LEN);
	frame_set(stream, payload, payload_len, clients);
	stream->sends_initials = false;
}

bool traffic_initials(struct stream *stream)
{
	_Static_assert((int)GENERATOR_BODIES == (int)BACKENDS, "a body for each backend");
	struct generator *generator = stream->generators[0];

	for (uint32_t i = 0; i < GENERATOR_BODIES; i++) {
		struct generator_body body;

		if (sessions_initial(body.bytes, i, (i + 1) * 0x9e3779b97f4a7c15ull) != GENERATOR_BODY_LEN)
			return bench_failed("an Initial is not of %d bytes", GENERATOR_BODY_LEN);
		frame_set(stream, body.bytes, GENERATOR_BODY_LEN, NEW_CLIENTS);
		body.udp_sum = generator->bss->settings.udp_sum;
		if (bpf_map_update_elem(bpf_map__fd(generator->maps.body_map), &i, &body, BPF_ANY))
			return bench_failed("map of Initials: %s", strerror(errno));
	}
	stream->sends_initials = true;
	return true;
}

static void sink_set(struct stream *stream, bool on)
{
	__atomic_store_n(&stream->generators[0]->bss->sinking, on, __ATOMIC_SEQ_CST);
}

static uint64_t sunk(const void *context)
{
	const struct stream *stream = context;
	uint64_t each[libbpf_num_possible_cpus()], total = 0;
	uint32_t key = 0;

	if (bpf_map_lookup_elem(bpf_map__fd(stream->generators[0]->maps.sunk), &key, each))
		return 0;
	for (int i = 0; i < libbpf_num_possible_cpus(); i++)
		total += each[i];
	return total;
}

/* --- senders ---------------------------------------------------------------------------------------- */

struct sender {
	struct stream *stream;
	unsigned cpu;
	pthread_t thread;
	int error;
};

/* One system call that ends by a signal: to set its pages up and to take them down costs many milliseconds. */
static void *sender_main(void *argument)
{
	struct sender *sender = argument;
	struct stream *stream = sender->stream;
	struct generator *generator = stream->generators[sender->cpu];
	struct xdp_md ctx = { .data_end = stream->frame_len, .ingress_ifindex = stream->lane->client.ifindex };
	DECLARE_LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = stream->frame, .data_size_in = stream->frame_len,
			    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = INT32_MAX,
			    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = BATCH_PACKETS);
	struct bpf_program *program = stream->sends_initials ? generator->progs.bodies : generator->progs.shorts;

	bench_pin(sender->cpu);
	ns_enter(stream->lane->client_ns);
	sender->error = bpf_prog_test_run_opts(bpf_program__fd(program), &opts) ? errno : 0;
	return NULL;
}

static void on_stop(int signal)
{
	(void)signal; /* it is enough that it interrupts the system call */
}

/* The senders started; fewer than CPUs: it failed. */
static unsigned senders_start(struct stream *stream, struct sender senders[static TRAFFIC_CPUS_MAX])
{
	struct sigaction stop = { .sa_handler = on_stop };
	unsigned started = 0;

	sigaction(SIGUSR1, &stop, NULL);
	for (; started < stream->cpus; started++) {
		senders[started] = (struct sender){ .stream = stream, .cpu = started };
		if (pthread_create(&senders[started].thread, NULL, sender_main, &senders[started]))
			break;
	}
	return started;
}

/* Again and again: the signal may come before the system call has begun. */
static bool senders_stop(struct sender *senders, unsigned started)
{
	bool well = true;

	for (unsigned i = 0; i < started; i++) {
		do
			pthread_kill(senders[i].thread, SIGUSR1);
		while (pthread_timedjoin_np(senders[i].thread, NULL, &(struct timespec){ 0 }) == ETIMEDOUT &&
		       usleep(1000) <= 0);
		if (senders[i].error != EINTR)
			well = bench_failed("BPF_F_TEST_XDP_LIVE_FRAMES: %s", strerror(senders[i].error));
	}
	return well;
}

static void pause_s(double seconds)
{
	usleep((useconds_t)(seconds * 1e6));
}

/* False: not one packet for long. */
static bool wait_growth(uint64_t (*count)(const void *context), const void *context)
{
	uint64_t before = count(context);

	for (int i = 0; i < FIRST_PACKET_MS; i++) {
		if (count(context) != before)
			return true;
		usleep(1000);
	}
	return false;
}

bool traffic_rate(struct stream *stream, double seconds, uint64_t (*count)(const void *context), const void *context,
		  double *per_s)
{
	struct sender senders[TRAFFIC_CPUS_MAX];
	unsigned started;
	uint64_t before;
	double start_s;
	bool arrives;

	sink_set(stream, true);
	started = senders_start(stream, senders);
	arrives = wait_growth(count, context);
	pause_s(seconds * WARM_UP);
	before = count(context);
	start_s = bench_now_s();
	pause_s(seconds);
	*per_s = (double)(count(context) - before) / (bench_now_s() - start_s);
	if (!senders_stop(senders, started) || started < stream->cpus)
		return false;
	sink_set(stream, false);
	return arrives || bench_failed("nothing arrives at %s's backend", stream->lane->name);
}

static bool measure_mpps(void *context, double values[static FIGURES_PER_SIDE])
{
	if (!traffic_rate(context, bench_options.round_s, sunk, context, values))
		return false;
	values[0] /= 1e6;
	return true;
}

void traffic_compare(struct stream *a, const char *a_name, struct stream *b, const char *b_name, unsigned payload_len,
		     uint32_t clients, const char *suffix)
{
	char a_figure[64], b_figure[64];
	struct side a_side = { { a_figure }, measure_mpps, a }, b_side = { { b_figure }, measure_mpps, b };

	snprintf(a_figure, sizeof(a_figure), "%s.mpps.%u%s", a_name, payload_len, suffix);
	snprintf(b_figure, sizeof(b_figure), "%s.mpps.%u%s", b_name, payload_len, suffix);
	traffic_shorts(a, payload_len, clients);
	traffic_shorts(b, payload_len, clients);
	bench_compare("Mpps", &a_side, &b_side);
}

/* --- single programs ------------------------------------------------------------------------------- */

static bool test_run(struct stream *stream, int program, uint32_t runs, double *ns)
{
	struct xdp_md ctx = { .data_end = stream->frame_len, .ingress_ifindex = stream->lane->in.ifindex };
	DECLARE_LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = stream->frame, .data_size_in = stream->frame_len,
			    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = (int)runs);
	double start_s;
	int error;

	ns_enter(stream->lane->relay_ns);
	/* Not opts.duration, which is in whole ns, and in time that others may have had. */
	start_s = bench_cpu_s();
	error = bpf_prog_test_run_opts(program, &opts);
	*ns = (bench_cpu_s() - start_s) * 1e9 / runs;
	ns_leave();
	if (error)
		return bench_failed("BPF_PROG_TEST_RUN: %s", strerror(errno));
	return opts.retval == XDP_TX || opts.retval == XDP_REDIRECT ||
	       bench_failed("a program that should forward answers %u", opts.retval);
}

static bool step_run(struct stream *stream, int program, uint32_t runs, double *ns)
{
	struct generator *generator = stream->generators[0];
	uint32_t key = 0;

	if (bpf_map_update_elem(bpf_map__fd(generator->maps.under_test), &key, &program, BPF_ANY))
		return bench_failed("program array: %s", strerror(errno));
	return test_run(stream, bpf_program__fd(generator->progs.step), runs, ns);
}

bool traffic_program_ns(struct stream *stream, int program, uint32_t runs, double *ns)
{
	int nothing = bpf_program__fd(stream->generators[0]->progs.nothing);
	double with, without, loop;

	if (!step_run(stream, program, runs, &with) || !step_run(stream, nothing, runs, &without) ||
	    !test_run(stream, nothing, runs, &loop))
		return false;
	bench_sample("xdp.ns.empty", "ns", loop);
	*ns = with - without + loop;
	return true;
}
