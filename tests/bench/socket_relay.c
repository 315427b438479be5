/* SPDX-License-Identifier: MIT */
/* socket_relay: see socket_relay.h. */
#include "socket_relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

enum {
	BATCH = 64,
	DATAGRAM_MAX = 2048,
	SPIN_NS = 50 * 1000,         /* as the relay's adaptive workers */
	SLEEP_MS = 100,
	RECEIVE_BUFFER = 4 << 20,
	ANY = 0,
};

/* One cache line holds four. */
struct client_entry {
	uint32_t address_be;
	uint16_t port_be;
	uint16_t backend_port_be;    /* 0: free */
};

struct socket_relay {
	int listener, upstream;
	struct client_entry *table;
	uint32_t mask;
	pthread_t thread;
	atomic_bool stop;
	uint8_t datagrams[BATCH][DATAGRAM_MAX];
	struct sockaddr_in from[BATCH], to[BATCH];
	struct iovec pieces[BATCH];
	struct mmsghdr in[BATCH], out[BATCH];
};

/* Multiplicative (Knuth s6.4): as quick as hashes get, and good enough for addresses that nobody chose to collide. */
static uint32_t client_hash(uint32_t address_be, uint16_t port_be)
{
	uint64_t key = ((uint64_t)address_be << 16 | port_be) * 0x9e3779b97f4a7c15ull;

	return (uint32_t)(key >> 32);
}

static struct client_entry *client_find(const struct socket_relay *relay, uint32_t address_be, uint16_t port_be)
{
	uint32_t at = client_hash(address_be, port_be) & relay->mask;

	while (relay->table[at].backend_port_be &&
	       (relay->table[at].address_be != address_be || relay->table[at].port_be != port_be))
		at = (at + 1) & relay->mask;
	return &relay->table[at];
}

static int batch_receive(struct socket_relay *relay)
{
	for (unsigned i = 0; i < BATCH; i++) {
		relay->pieces[i] = (struct iovec){ relay->datagrams[i], DATAGRAM_MAX };
		relay->in[i].msg_hdr = (struct msghdr){
			.msg_name = &relay->from[i], .msg_namelen = sizeof(relay->from[i]),
			.msg_iov = &relay->pieces[i], .msg_iovlen = 1,
		};
	}
	return recvmmsg(relay->listener, relay->in, BATCH, MSG_DONTWAIT, NULL);
}

static void batch_forward(struct socket_relay *relay, unsigned received)
{
	unsigned known = 0;

	for (unsigned i = 0; i < received; i++) {
		const struct sockaddr_in *from = &relay->from[i];
		const struct client_entry *client = client_find(relay, from->sin_addr.s_addr, from->sin_port);

		if (!client->backend_port_be)
			continue;
		relay->pieces[i].iov_len = relay->in[i].msg_len;
		relay->to[known].sin_port = client->backend_port_be;
		relay->out[known].msg_hdr = (struct msghdr){
			.msg_name = &relay->to[known], .msg_namelen = sizeof(relay->to[known]),
			.msg_iov = &relay->pieces[i], .msg_iovlen = 1,
		};
		known++;
	}
	for (unsigned sent = 0; sent < known;) {
		int n = sendmmsg(relay->upstream, relay->out + sent, known - sent, 0);

		if (n <= 0)
			return;
		sent += (unsigned)n;
	}
}

static void *relay_main(void *argument)
{
	struct socket_relay *relay = argument;
	double busy_s = 0;

	bench_pin(CPU_WORKER);
	while (!atomic_load_explicit(&relay->stop, memory_order_relaxed)) {
		double now_s = bench_now_s();
		int received = batch_receive(relay);

		if (received > 0) {
			busy_s = now_s;
			batch_forward(relay, (unsigned)received);
		} else if (now_s - busy_s > SPIN_NS / 1e9) {
			poll(&(struct pollfd){ .fd = relay->listener, .events = POLLIN }, 1, SLEEP_MS);
		}
	}
	return NULL;
}

static bool relay_open(struct socket_relay *relay, const struct lane *lane, uint32_t clients)
{
	int bytes = RECEIVE_BUFFER;

	relay->listener = lane_socket(lane->relay_ns, ntohl(inet_addr(LANE_LISTENER)), LISTENER_PORT);
	relay->upstream = lane_socket(lane->relay_ns, ntohl(inet_addr(LANE_RELAY)), ANY);
	for (relay->mask = 1; relay->mask < 2 * clients; relay->mask <<= 1)
		;
	relay->table = calloc(relay->mask--, sizeof(*relay->table));
	if (relay->listener < 0 || relay->upstream < 0 || !relay->table)
		return false;
	setsockopt(relay->listener, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes));
	setsockopt(relay->upstream, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof(bytes));
	for (uint32_t i = 0; i < clients; i++) {
		struct client_entry client = {
			htonl(CLIENT_FIRST + i), htons(CLIENT_PORT), htons((uint16_t)(BACKEND_PORT + i % BACKENDS)),
		};

		*client_find(relay, client.address_be, client.port_be) = client;
	}
	for (unsigned i = 0; i < BATCH; i++)
		relay->to[i] = (struct sockaddr_in){
			.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(LANE_BACKEND),
		};
	return true;
}

struct socket_relay *socket_relay_start(const struct lane *lane, uint32_t clients)
{
	struct socket_relay *relay = calloc(1, sizeof(*relay));

	if (!relay)
		return NULL;
	if (relay_open(relay, lane, clients) && pthread_create(&relay->thread, NULL, relay_main, relay) == 0)
		return relay;
	bench_failed("socket relay: %s", strerror(errno));
	free(relay->table);
	free(relay);
	return NULL;
}

void socket_relay_stop(struct socket_relay *relay)
{
	if (!relay)
		return;
	atomic_store(&relay->stop, true);
	pthread_join(relay->thread, NULL);
	close(relay->listener);
	close(relay->upstream);
	free(relay->table);
	free(relay);
}
