/* SPDX-License-Identifier: MIT */
/* forwarder_bench: see forwarder_bench.h. */
#include "forwarder_bench.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static enum nexthop_verdict find_nexthop(const void *context, const struct addr *dst, uint16_t *slot)
{
	const struct bench *bench = context;

	(void)dst;
	*slot = TO_CLIENTS;
	return bench->nexthop;
}

static void route_to(struct bench *bench, const char *fqdn, bool preserve, unsigned count, const uint32_t backends[])
{
	struct route_plan plan = { .preserve = preserve, .count = count };

	for (unsigned i = 0; i < count; i++) {
		const struct backend *backend = &bench->state.backends[backends[i]];

		plan.targets[i] = (struct route_target){ backends[i], i + 1, addr_is_v4(&backend->address),
							 route_target_identity(&backend->address, backend->port_be) };
	}
	assert_int_equal(route_set(&bench->routes, fqdn, &plan), 0);
}

void bench_route(struct bench *bench, const char *fqdn, unsigned count, const uint32_t backends[])
{
	route_to(bench, fqdn, false, count, backends);
}

void bench_route_preserve(struct bench *bench, const char *fqdn, uint32_t backend)
{
	route_to(bench, fqdn, true, 1, &backend);
}

void bench_open_workers(struct bench *bench, uint32_t sessions, uint32_t worker, uint32_t workers)
{
	struct forwarder_options options = {
		.worker = worker,
		.workers = workers,
		.aliases_per_session = 2,
		.pending_handshakes = 4,
		.pending_bytes_per_handshake = 6000,
		.pending_seconds = 5,
		.new_sessions_per_s_per_source = 50,
	};
	struct addr listener = plain_addr(LISTENER), relay = plain_addr(RELAY);

	memset(bench, 0, sizeof(*bench));
	plain_state_init(&bench->state, sessions);
	plain_nexthop(&bench->state, TO_CLIENTS, 0, 1500);
	plain_nexthop(&bench->state, TO_BACKENDS, 1, 1500);
	plain_backend(&bench->state, A, "10.0.0.5", 7001, TO_BACKENDS, 0);
	plain_backend(&bench->state, B, "10.0.0.6", 7002, TO_BACKENDS, 0);
	bench->state.relay_addresses[0].address = relay;
	assert_int_equal(endpoint_add(&bench->state, ENDPOINT_QUIC, &listener, htons(443), 0, 0), 0);
	assert_int_equal(endpoint_add(&bench->state, ENDPOINT_RELAY, &relay, 0, 0, 0), 0);
	assert_int_equal(route_table_init(&bench->routes), 0);
	bench_route(bench, "a.test", 1, (const uint32_t[]){ A });
	bench_route(bench, "b.test", 1, (const uint32_t[]){ B });
	assert_int_equal(forwarder_init(&bench->f, &bench->state, &options), 0);
	bench->pool = (struct frame_pool){
		.area = calloc(CHUNKS, CHUNK),
		.free = calloc(CHUNKS, sizeof(uint64_t)),
		.chunk_bytes = CHUNK,
	};
	for (uint64_t i = 0; i < CHUNKS; i++)
		frame_give(&bench->pool, i * CHUNK);
	assert_int_equal(ring_init(&bench->handovers, 8, sizeof(struct handover) + CHUNK), 0);
	assert_int_equal(ring_init(&bench->requests, 8, sizeof(struct nexthop_request)), 0);
	assert_int_equal(ring_init(&bench->questions, 8, sizeof(struct question)), 0);
	assert_int_equal(ring_init(&bench->cid_questions, 8, sizeof(struct cid_question)), 0);
	bench->nexthop = NEXTHOP_FOUND;
	bench->f.routes = &bench->routes;
	bench->f.nexthop_find = find_nexthop;
	bench->f.nexthop_context = bench;
	bench->f.pool = &bench->pool;
	bench->f.outbox = &bench->outbox;
	for (unsigned i = 0; i < workers; i++)
		bench->f.to_workers[i] = &bench->handovers;
	bench->f.to_steward = &bench->requests;
	bench->f.questions = &bench->questions;
	bench->f.cid_questions = &bench->cid_questions;
	bench->f.now_ns = 1000000000000;
	bench->f.now_s = 1000;
}

struct bench *bench_open(uint32_t sessions)
{
	struct bench *bench = malloc(sizeof(*bench));

	bench_open_workers(bench, sessions, 0, 1);
	return bench;
}

void bench_close(struct bench *bench)
{
	forwarder_end(&bench->f);
	route_table_end(&bench->routes);
	ring_end(&bench->handovers);
	ring_end(&bench->requests);
	ring_end(&bench->questions);
	ring_end(&bench->cid_questions);
	free(bench->pool.area);
	free(bench->pool.free);
	plain_state_end(&bench->state);
	free(bench);
}

static bool is_icmp(const uint8_t *frame)
{
	return frame[14] >> 4 == 6 ? frame[20] == IPPROTO_ICMPV6 : frame[23] == IPPROTO_ICMP;
}

void collect(struct bench *bench)
{
	bench->outputs = 0;
	for (unsigned i = 0; i < INTERFACES_MAX; i++) {
		for (unsigned j = 0; j < bench->outbox.interfaces[i].count; j++) {
			struct frame *frame = &bench->outbox.interfaces[i].frames[j];
			struct output *out = &bench->out[bench->outputs++];

			assert_true(bench->outputs <= OUTPUTS);
			memcpy(out->bytes, frame->data, frame->len_bytes);
			out->len = frame->len_bytes;
			out->interface = i;
			out->icmp = is_icmp(out->bytes);
			if (!out->icmp) {
				assert_int_equal(packet_parse(&out->packet, out->bytes, out->len), PACKET_UDP);
				assert_true(udp_frame_checksums_are_right(out->bytes, out->len));
			}
			frame_give(&bench->pool, frame->umem_addr);
		}
		bench->outbox.interfaces[i].count = 0;
	}
	assert_int_equal(bench->pool.free_count, CHUNKS);
}

void send_flow(struct bench *bench, const struct udp_flow *flow, const void *payload, size_t len)
{
	struct frame frame = { .interface = 0 };

	assert_true(frame_take(&bench->pool, &frame));
	frame.len_bytes = (uint32_t)udp_frame_write(frame.data, flow, payload, len);
	forwarder_handle(&bench->f, &frame);
	collect(bench);
}

void from(struct bench *bench, const char *client, uint16_t port, const void *payload, size_t len)
{
	send_flow(bench, &(struct udp_flow){ .src = client, .src_port = port, .dst = LISTENER, .dst_port = 443 },
		  payload, len);
}

void from_server(struct bench *bench, uint32_t backend, uint16_t relay_port, const void *payload, size_t len)
{
	send_flow(bench, &(struct udp_flow){ .src = backend == A ? "10.0.0.5" : "10.0.0.6",
					     .src_port = backend == A ? 7001 : 7002, .dst = RELAY,
					     .dst_port = relay_port }, payload, len);
}

/* --- what clients and servers say ------------------------------------------------------------------ */

size_t initial(uint8_t *out, const char *sni, const char *dcid)
{
	uint8_t hello[2000];
	struct initial_spec spec = initial_spec_default();

	spec.dcid = spec.key_dcid = cid_from_hex(dcid);
	return initial_write_crypto(out, &spec, hello, 0, client_hello_write(hello, sni, 0));
}

void initial_halves(uint8_t halves[2][1500], size_t len[2], const char *sni, const char *dcid)
{
	uint8_t hello[2000];
	struct initial_spec spec = initial_spec_default();
	size_t hello_len = client_hello_write(hello, sni, 1500);

	spec.dcid = spec.key_dcid = cid_from_hex(dcid);
	len[0] = initial_write_crypto(halves[0], &spec, hello, 0, 1000);
	spec.pn = 1;
	len[1] = initial_write_crypto(halves[1], &spec, hello, 1000, hello_len - 1000);
}

size_t opaque(uint8_t *out, enum quic_type type, const char *dcid, const char *scid, size_t size)
{
	struct quic_cid d = cid_from_hex(dcid), s = cid_from_hex(scid);

	return opaque_packet_write(out, type, QUIC_VERSION_1, &d, &s, size);
}

size_t short_header(uint8_t *out, const char *dcid, size_t size)
{
	struct quic_cid cid = cid_from_hex(dcid);

	memset(out, 0xbb, size);
	out[0] = 0x40;
	memcpy(out + 1, cid.bytes, cid.len);
	return size;
}

size_t retry(uint8_t *out, const char *dcid, const char *scid)
{
	struct quic_cid d = cid_from_hex(dcid), s = cid_from_hex(scid);
	size_t at = 0;

	out[at++] = 0xf0;
	memcpy(out + at, "\0\0\0\1", 4);
	at += 4;
	out[at++] = d.len;
	memcpy(out + at, d.bytes, d.len);
	at += d.len;
	out[at++] = s.len;
	memcpy(out + at, s.bytes, s.len);
	at += s.len;
	memset(out + at, 0xcc, 40); /* token and integrity tag */
	return at + 40;
}

uint16_t relay_port(const struct bench *bench)
{
	assert_int_equal(bench->outputs, 1);
	assert_int_equal(bench->out[0].interface, 1);
	return ntohs(bench->out[0].packet.src_port_be);
}

void assert_to_backend(const struct bench *bench, uint32_t backend)
{
	struct addr dst = plain_addr(backend == A ? "10.0.0.5" : "10.0.0.6"), src = plain_addr(RELAY);

	assert_int_equal(bench->outputs, 1);
	assert_int_equal(bench->out[0].interface, 1);
	assert_true(addr_equal(&bench->out[0].packet.dst, &dst));
	assert_true(addr_equal(&bench->out[0].packet.src, &src));
	assert_int_equal(bench->out[0].packet.dst_port_be, htons(backend == A ? 7001 : 7002));
}

void assert_to_client(const struct bench *bench, const char *client, uint16_t port)
{
	struct addr dst = plain_addr(client), src = plain_addr(LISTENER);

	assert_int_equal(bench->outputs, 1);
	assert_int_equal(bench->out[0].interface, 0);
	assert_true(addr_equal(&bench->out[0].packet.dst, &dst));
	assert_true(addr_equal(&bench->out[0].packet.src, &src));
	assert_int_equal(bench->out[0].packet.dst_port_be, htons(port));
	assert_int_equal(bench->out[0].packet.src_port_be, htons(443));
}

void assert_dropped(struct bench *bench, enum drop_reason reason, uint64_t count)
{
	assert_int_equal(bench->outputs, 0);
	assert_int_equal(bench->f.counters->drops[reason], count);
}

uint16_t connect_to(struct bench *bench, const char *client, uint16_t port, const char *sni, const char *dcid,
			   const char *server_cid)
{
	uint8_t datagram[1500];
	uint32_t backend = sni[0] == 'a' ? A : B;
	uint16_t relay;

	from(bench, client, port, datagram, initial(datagram, sni, dcid));
	assert_to_backend(bench, backend);
	relay = relay_port(bench);
	from_server(bench, backend, relay, datagram, opaque(datagram, QUIC_INITIAL, "", server_cid, 1200));
	assert_to_client(bench, client, port);
	from(bench, client, port, datagram, opaque(datagram, QUIC_HANDSHAKE, server_cid, "", 100));
	assert_to_backend(bench, backend);
	return relay;
}

bool path_of(const struct bench *bench, const char *client, uint16_t port, uint32_t *slot, struct path_entry *path)
{
	struct tuple tuple = { plain_addr(client), htons(port), 0 };
	struct addr listener = plain_addr(LISTENER);
	struct endpoint endpoint;
	uint32_t endpoint_slot;

	assert_true(endpoint_find(&bench->state, &listener, htons(443), &endpoint_slot, &endpoint));
	tuple.endpoint = (uint16_t)endpoint_slot;
	return path_find(&bench->state, &tuple, slot, path);
}

int bench_thread_begin(void **unused)
{
	(void)unused;
	urcu_qsbr_register_thread();
	return 0;
}

int bench_thread_end(void **unused)
{
	(void)unused;
	urcu_qsbr_unregister_thread();
	return 0;
}
