/* SPDX-License-Identifier: MIT */
/*
 * forwarder_bench: a forwarder on plain memory with a clock of our own, and
 * what clients and servers say to it. Tests.
 *
 *     client 192.0.2.x --> 203.0.113.5:443 [relay] 10.0.0.1 --> a 10.0.0.5:7001, b 10.0.0.6:7002
 *                             interface 0           interface 1
 */
#ifndef SLUICE_FORWARDER_BENCH_H
#define SLUICE_FORWARDER_BENCH_H

#include "initial_writer.h"
#include "plain_state.h"
#include "udp_frame.h"
#include "userspace/forwarder.h"

enum {
	CHUNKS = 256,
	CHUNK = 2048,
	A = 1, B = 2,                    /* backends */
	TO_CLIENTS = 1, TO_BACKENDS = 2, /* next hops */
	OUTPUTS = 32,
};

#define LISTENER "203.0.113.5"
#define RELAY "10.0.0.1"
#define SERVER_CID "5e5e5e5e01020304"
#define CLIENT_PORT 5000

struct output {
	uint8_t bytes[CHUNK];
	uint32_t len;
	struct packet packet;            /* UDP only */
	bool icmp;
	unsigned interface;
};

struct bench {
	struct state state;
	struct route_table routes;
	struct forwarder f;
	struct frame_pool pool;
	struct outbox outbox;
	struct ring handovers, requests, questions, cid_questions;
	enum nexthop_verdict nexthop;    /* what nexthop_find answers */
	struct output out[OUTPUTS];
	unsigned outputs;
};

/* bench_open for one of several workers; handovers go to bench->handovers. */
void bench_open_workers(struct bench *bench, uint32_t sessions, uint32_t worker, uint32_t workers);

/* One worker, routes a.test and b.test, two aliases a session, 4 pending flights of 6,000 bytes, 50 new sessions a second. */
struct bench *bench_open(uint32_t sessions);
void bench_close(struct bench *bench);

/* A route to these backends; the i-th has weight i + 1. */
void bench_route(struct bench *bench, const char *fqdn, unsigned count, const uint32_t backends[]);

/* A route to this backend, which sees its clients' own addresses. */
void bench_route_preserve(struct bench *bench, const char *fqdn, uint32_t backend);

/* cmocka group fixtures: the test's thread reads under liburcu's QSBR. */
int bench_thread_begin(void **unused);
int bench_thread_end(void **unused);

/* Takes what is in the outbox to bench->out, its checksums checked and every chunk accounted for. */
void collect(struct bench *bench);

/* One frame in; and what comes out is collected. */
void send_flow(struct bench *bench, const struct udp_flow *flow, const void *payload, size_t len);

/* The same from a client to the listener, and from a backend to a relay port. */
void from(struct bench *bench, const char *client, uint16_t port, const void *payload, size_t len);
void from_server(struct bench *bench, uint32_t backend, uint16_t relay_port, const void *payload, size_t len);

/* A client's whole first flight in one datagram of 1,200 bytes. Its length. */
size_t initial(uint8_t *out, const char *sni, const char *dcid);

/* The two halves of a ClientHello of 1,700 bytes, each in a datagram of its own. */
void initial_halves(uint8_t halves[2][1500], size_t len[2], const char *sni, const char *dcid);

/* A long header packet that nobody here can read. */
size_t opaque(uint8_t *out, enum quic_type type, const char *dcid, const char *scid, size_t size);
size_t short_header(uint8_t *out, const char *dcid, size_t size);
size_t retry(uint8_t *out, const char *dcid, const char *scid);

/* The relay port that the only output came from. */
uint16_t relay_port(const struct bench *bench);

/* The default path entry of a client at the listener. False: none. */
bool path_of(const struct bench *bench, const char *client, uint16_t port, uint32_t *slot, struct path_entry *path);

/* The only output went there. */
void assert_to_backend(const struct bench *bench, uint32_t backend);
void assert_to_client(const struct bench *bench, const char *client, uint16_t port);

/* No output, and worker 0 has counted the reason this often. */
void assert_dropped(struct bench *bench, enum drop_reason reason, uint64_t count);

/* A confirmed session of one client; its relay port. */
uint16_t connect_to(struct bench *bench, const char *client, uint16_t port, const char *sni, const char *dcid,
		    const char *server_cid);

#endif
