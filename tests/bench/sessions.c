/* SPDX-License-Identifier: MIT */
/* sessions: see sessions.h. */
#include "sessions.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"
#include "generator_abi.h"
#include "tests/lib/initial_writer.h"
#include "userspace/session.h"

enum {
	ANSWER_WITHIN_MS = 500,
	ATTEMPTS = 10,               /* of a handshake: the first packets may find no neighbour yet */
	SETTLED_S = 12,              /* the client's first DCID is forgotten 10 s after confirmation */
	UNFILLED_MAX = 10000,        /* 1 session in so many may find its probe sequence full (userspace/state.h) */
};

bool endpoints_open(struct endpoints *endpoints, const struct lane *lane, bool direct)
{
	struct sockaddr_in to = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = inet_addr(direct ? LANE_BACKEND : LANE_LISTENER),
		.sin_port = htons(direct ? BACKEND_PORT : LISTENER_PORT),
	};

	endpoints->client = lane_socket(lane->client_ns, CLIENT_FIRST, CLIENT_PORT);
	endpoints->backend = lane_socket(lane->backend_ns, ntohl(inet_addr(LANE_BACKEND)), BACKEND_PORT);
	if (endpoints->client < 0 || endpoints->backend < 0)
		return false;
	return connect(endpoints->client, (struct sockaddr *)&to, sizeof(to)) == 0 ||
	       bench_failed("connect: %s", strerror(errno));
}

void endpoints_close(struct endpoints *endpoints)
{
	close(endpoints->client);
	close(endpoints->backend);
}

static struct quic_cid client_cid(uint32_t client)
{
	uint64_t cid = generator_cid(client);

	return quic_cid_make((const uint8_t *)&cid, GENERATOR_CID_LEN);
}

size_t sessions_initial(uint8_t *out, unsigned backend, uint64_t dcid)
{
	struct initial_spec spec = initial_spec_default();
	uint8_t hello[2000];
	char name[32];

	snprintf(name, sizeof(name), "b%u.test", backend);
	spec.dcid = spec.key_dcid = quic_cid_make((const uint8_t *)&dcid, sizeof(dcid));
	return initial_write_crypto(out, &spec, hello, 0, client_hello_write(hello, name, 0));
}

/* Waits for one datagram; its sender, if wanted. */
static bool receive(int fd, struct sockaddr_in *from)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	socklen_t from_len = sizeof(*from);
	uint8_t datagram[2048];

	return poll(&wait, 1, ANSWER_WITHIN_MS) == 1 &&
	       recvfrom(fd, datagram, sizeof(datagram), 0, (struct sockaddr *)from, from ? &from_len : NULL) > 0;
}

static bool handshake(const struct endpoints *endpoints)
{
	struct quic_cid none = { 0 }, scid = client_cid(0);
	struct sockaddr_in relay;
	uint8_t datagram[2048];
	size_t len = sessions_initial(datagram, 0, 0x0123456789abcdef);

	if (send(endpoints->client, datagram, len, 0) < 0 || !receive(endpoints->backend, &relay))
		return false;
	len = opaque_packet_write(datagram, QUIC_INITIAL, QUIC_VERSION_1, &none, &scid, 1200);
	if (sendto(endpoints->backend, datagram, len, 0, (struct sockaddr *)&relay, sizeof(relay)) < 0 ||
	    !receive(endpoints->client, NULL))
		return false;
	len = opaque_packet_write(datagram, QUIC_HANDSHAKE, QUIC_VERSION_1, &scid, &none, 100);
	return send(endpoints->client, datagram, len, 0) > 0 && receive(endpoints->backend, NULL);
}

bool sessions_establish(const struct endpoints *endpoints)
{
	for (int i = 0; i < ATTEMPTS; i++)
		if (handshake(endpoints))
			return true;
	return bench_failed("no handshake through the relay in %d attempts", ATTEMPTS);
}

/* --- filling the tables ----------------------------------------------------------------------------- */

/* The established session's reply entry: the listener's slot and the way to all clients are in it. */
static bool first_reply(const struct state *state, struct reply_entry *reply)
{
	for (uint32_t slot = 0; slot < state->replies.slots; slot++)
		if (entry_read(table_at(&state->replies, slot), reply, sizeof(*reply), NULL))
			return true;
	return bench_failed("no session is established");
}

/* The slots of the backends that routes lead to. How many. */
static uint32_t backends_used(const struct state *state, uint32_t slots[static BACKENDS])
{
	uint32_t count = 0;

	for (uint32_t slot = 0; slot < state->backend_slots && count < BACKENDS; slot++)
		if (state->backends[slot].flags & BACKEND_USED)
			slots[count++] = slot;
	return count;
}

static bool session_add(struct session_pool *pool, const struct reply_entry *like, uint32_t client, uint32_t backend,
			uint32_t now_s)
{
	struct tuple tuple = { .client_port_be = htons(CLIENT_PORT), .endpoint = like->endpoint };
	struct quic_cid cid = client_cid(client), original = cid;
	const struct destination to = { .backend = backend };
	uint32_t slot;

	tuple.client = like->client;
	tuple.client.words_be[3] = htonl(CLIENT_FIRST + client);
	original.bytes[0] ^= 0xff; /* any other will do */
	if (session_open(pool, &tuple, &original, &to, like->nexthop, now_s, &slot) != SESSION_OK)
		return false;
	session_learn_cid(pool, slot, &cid, false);
	session_confirm(pool, slot, now_s - SETTLED_S);
	return true;
}

bool sessions_fill(struct relay_process *relay, uint32_t count)
{
	struct counters counters = { 0 };
	struct session_pool pool;
	struct reply_entry like;
	uint32_t backends[BACKENDS], backend_count = backends_used(&relay->state, backends), failed = 0;
	uint32_t now_s = (uint32_t)bench_now_s();

	if (!first_reply(&relay->state, &like) || backend_count == 0)
		return false;
	if (!relay_process_halt(relay, true))
		return bench_failed("the relay cannot be halted: %s", strerror(errno));
	if (session_pool_init(&pool, &relay->state, &counters, 0, 1, 0, 0x5eed) < 0) {
		relay_process_halt(relay, false);
		return bench_failed("no memory");
	}
	for (uint32_t client = 1; client < count; client++)
		failed += !session_add(&pool, &like, client, backends[client % backend_count], now_s);
	session_housekeeping(&pool, now_s, pool.count);
	session_pool_end(&pool);
	relay_process_halt(relay, false);
	return failed <= count / UNFILLED_MAX || bench_failed("%u of %u sessions cannot be opened", failed, count);
}
