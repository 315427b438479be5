/* SPDX-License-Identifier: MIT */
/*
 * flight_list: sorts a capture's datagrams into client flights and prints a
 * line for each. sluice-inspect only; one thread. The input is hostile: hash
 * tables are keyed, and what each datagram costs does not grow with the
 * capture.
 */
#include "flight_list.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>

#include "address.h"
#include "bpf/table.h"
#include "hello.h"

enum {
	BUCKETS = 1 << 16,         /* chains of 12 for the million flights that 1 GB can hold */
	SERVER_CIDS = 8,           /* of one 4-tuple, the newest */
	FLIGHTS_TRIED = 4,         /* newest of a 4-tuple, whose keys may open an Initial with an unknown DCID */
};

struct peer {
	struct addr addr;
	__be16 port_be;
};

struct listed {
	struct listed *bucket_next;
	struct listed *older;                 /* of the same conversation */
	STAILQ_ENTRY(listed) order;           /* by first datagram */
	TAILQ_ENTRY(listed) open;             /* while hello is set, by age */
	struct conversation *conversation;
	struct quic_cid dcid;
	uint32_t version;
	bool has_version;
	bool first;                           /* begun by the 4-tuple's first datagram */
	bool decided;                         /* nothing changes the line any more */
	enum hello_verdict verdict;
	uint32_t datagrams;
	struct hello *hello;                  /* INCOMPLETE only */
	char *name;                           /* SNI only */
};

/* A 4-tuple, in both directions. */
struct conversation {
	struct conversation *bucket_next;
	struct conversation *all_next;
	struct peer client, server;
	struct listed *newest;
	struct quic_cid server_cids[SERVER_CIDS];
	uint32_t server_cid_count;            /* ever learned; the last SERVER_CIDS are kept */
	struct quic_cid retry_cid;            /* of the last Retry */
	bool retried;
};

struct flight_list {
	FILE *out;
	struct hello_crypto *crypto;
	struct siphash_key hash_key;
	struct hello *spare;                  /* a hello in nobody's use, or NULL */
	STAILQ_HEAD(, listed) all;
	struct listed *unprinted;             /* the first whose line is not written */
	TAILQ_HEAD(open_list, listed) open;
	uint32_t open_count;
	struct conversation *all_conversations;
	struct conversation *conversations[BUCKETS];
	struct listed *flights[BUCKETS];
};

/* One datagram from a client. */
struct datagram {
	struct conversation *conversation;
	const uint8_t *payload;
	size_t len;
	struct quic_long packet;              /* its first */
};

/* --- conversations --- */

static bool peer_equal(const struct peer *a, const struct peer *b)
{
	return a->port_be == b->port_be && addr_equal(&a->addr, &b->addr);
}

/* The same for both directions. */
static struct conversation **conversation_bucket(struct flight_list *list, const struct peer *a, const struct peer *b)
{
	uint64_t hash = table_hash_addr(&list->hash_key, &a->addr, a->port_be, 0) +
			table_hash_addr(&list->hash_key, &b->addr, b->port_be, 0);

	return &list->conversations[hash % BUCKETS];
}

/* Found, or begun with src as the client. NULL: no memory. */
static struct conversation *conversation_get(struct flight_list *list, const struct peer *src, const struct peer *dst)
{
	struct conversation **bucket = conversation_bucket(list, src, dst), *c;

	for (c = *bucket; c; c = c->bucket_next) {
		if ((peer_equal(&c->client, src) && peer_equal(&c->server, dst)) ||
		    (peer_equal(&c->client, dst) && peer_equal(&c->server, src)))
			return c;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->client = *src;
	c->server = *dst;
	c->bucket_next = *bucket;
	*bucket = c;
	c->all_next = list->all_conversations;
	list->all_conversations = c;
	return c;
}

static bool is_server_cid(const struct conversation *c, const struct quic_cid *cid)
{
	uint32_t kept = c->server_cid_count < SERVER_CIDS ? c->server_cid_count : SERVER_CIDS;

	for (uint32_t i = 0; i < kept; i++) {
		if (quic_cid_equal(&c->server_cids[i], cid))
			return true;
	}
	return false;
}

/* Clients put a reply's SCID into the DCID of what follows (RFC 9000 s7.2); after a Retry that begins a new flight. */
static void learn_reply(struct conversation *c, const uint8_t *payload, size_t len)
{
	struct quic_long packet;

	if (quic_parse(&packet, payload, len) != QUIC_LONG || packet.type == QUIC_VERSION_NEG)
		return;
	if (packet.type == QUIC_RETRY) {
		c->retry_cid = packet.scid;
		c->retried = true;
	} else if (!is_server_cid(c, &packet.scid)) {
		c->server_cids[c->server_cid_count++ % SERVER_CIDS] = packet.scid;
	}
}

/* --- flights --- */

static struct listed **flight_bucket(struct flight_list *list, const struct conversation *c,
				     const struct quic_cid *dcid)
{
	return &list->flights[cid_hash(&list->hash_key, dcid->bytes, dcid->len, (uintptr_t)c) % BUCKETS];
}

static struct listed *listed_find(struct flight_list *list, const struct conversation *c,
				  const struct quic_cid *dcid)
{
	struct listed *flight;

	for (flight = *flight_bucket(list, c, dcid); flight; flight = flight->bucket_next) {
		if (flight->conversation == c && quic_cid_equal(&flight->dcid, dcid))
			return flight;
	}
	return NULL;
}

/*
 * A new line, for the datagram's first packet as far as it could be parsed.
 * NULL: no memory.
 */
static struct listed *flight_begin(struct flight_list *list, const struct datagram *d, bool has_version,
				   enum hello_verdict verdict)
{
	struct conversation *c = d->conversation;
	struct listed *flight = calloc(1, sizeof(*flight)), **bucket;

	if (!flight)
		return NULL;
	flight->conversation = c;
	flight->first = !c->newest;
	flight->verdict = verdict;
	flight->datagrams = 1;
	if (has_version) {
		flight->has_version = true;
		flight->version = d->packet.version;
		flight->dcid = d->packet.dcid;
		bucket = flight_bucket(list, c, &flight->dcid);
		flight->bucket_next = *bucket;
		*bucket = flight;
	} else {
		flight->decided = true;
	}
	flight->older = c->newest;
	c->newest = flight;
	STAILQ_INSERT_TAIL(&list->all, flight, order);
	if (!list->unprinted)
		list->unprinted = flight;
	return flight;
}

static struct hello *hello_take(struct flight_list *list, const struct quic_cid *dcid)
{
	struct hello *hello = list->spare ? list->spare : calloc(1, sizeof(*hello));

	list->spare = NULL;
	if (hello)
		hello_begin(hello, dcid);
	return hello;
}

static void hello_give(struct flight_list *list, struct hello *hello)
{
	if (list->spare)
		free(hello);
	else
		list->spare = hello;
}

static void flight_close_hello(struct flight_list *list, struct listed *flight)
{
	TAILQ_REMOVE(&list->open, flight, open);
	list->open_count--;
	hello_give(list, flight->hello);
	flight->hello = NULL;
}

static void flight_keep_hello(struct flight_list *list, struct listed *flight, struct hello *hello)
{
	if (list->open_count == FLIGHT_LIST_OPEN_MAX) {
		struct listed *oldest = TAILQ_FIRST(&list->open);

		oldest->decided = true;
		flight_close_hello(list, oldest);
	}
	flight->hello = hello;
	TAILQ_INSERT_TAIL(&list->open, flight, open);
	list->open_count++;
}

/* How much a verdict knows: a datagram changes the line only if it knows more. */
static int verdict_rank(enum hello_verdict verdict)
{
	switch (verdict) {
	case HELLO_NOT_INITIAL:
		return 0;
	case HELLO_UNSUPPORTED_VERSION:
	case HELLO_MALFORMED_PACKET:
	case HELLO_DECRYPT_FAILED:
		return 1;
	case HELLO_INCOMPLETE:
		return 2;
	case HELLO_SNI:
	case HELLO_NO_SNI:
	case HELLO_BAD_CRYPTO:
	case HELLO_BAD_CLIENT_HELLO:
		break;
	}
	return 3;
}

static uint32_t bytes_received(const struct hello *hello)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < (hello->crypto_end + 63) / 64; i++)
		count += (uint32_t)__builtin_popcountll(hello->received[i]);
	return count;
}

/* Needed are the datagrams that brought bytes of the ClientHello, or the verdict. */
static void flight_account(struct listed *flight, enum hello_verdict verdict, bool brought_bytes, uint32_t version)
{
	int rank = verdict_rank(verdict), before = verdict_rank(flight->verdict);

	if (rank < before || (rank == before && verdict != HELLO_INCOMPLETE))
		return;
	if (before < verdict_rank(HELLO_INCOMPLETE)) {
		flight->version = version;
		flight->datagrams = 0;
	}
	if (brought_bytes || verdict != HELLO_INCOMPLETE)
		flight->datagrams++;
	flight->verdict = verdict;
}

/* Feeds a datagram to an undecided flight. *authentic: an Initial in it opened with the flight's keys. */
static int flight_feed(struct flight_list *list, struct listed *flight, const struct datagram *d, bool *authentic)
{
	struct hello *hello = flight->hello ? flight->hello : hello_take(list, &flight->dcid);
	enum hello_verdict verdict;
	uint32_t bytes;
	int result = 0;

	if (!hello)
		return -ENOMEM;
	bytes = bytes_received(hello);
	verdict = hello_feed(hello, list->crypto, d->payload, d->len);
	*authentic = verdict_rank(verdict) >= verdict_rank(HELLO_INCOMPLETE);
	flight_account(flight, verdict, bytes_received(hello) > bytes, d->packet.version);
	if (verdict == HELLO_SNI) {
		flight->name = strdup(hello->name);
		result = flight->name ? 0 : -ENOMEM;
	}
	flight->decided = verdict_rank(verdict) > verdict_rank(HELLO_INCOMPLETE);
	if (verdict == HELLO_INCOMPLETE && !flight->hello)
		flight_keep_hello(list, flight, hello);
	else if (flight->decided && flight->hello)
		flight_close_hello(list, flight);
	else if (!flight->hello)
		hello_give(list, hello);
	return result;
}

/* The same for a flight that is decided: only whether the datagram is part of it. */
static int flight_recognise(struct flight_list *list, const struct listed *flight, const struct datagram *d,
			    bool *authentic)
{
	struct hello *hello = hello_take(list, &flight->dcid);
	enum hello_verdict verdict;

	if (!hello)
		return -ENOMEM;
	verdict = hello_feed(hello, list->crypto, d->payload, d->len);
	*authentic = verdict_rank(verdict) >= verdict_rank(HELLO_INCOMPLETE);
	hello_give(list, hello);
	return 0;
}

/*
 * Later Initials of a flight have the server's DCID but keep the keys (RFC
 * 9001 s5.2). The keys tell it also where the capture lacks the replies.
 */
static int feed_by_keys(struct flight_list *list, const struct datagram *d, bool *authentic)
{
	struct listed *flight = d->conversation->newest;
	int result = 0;

	*authentic = false;
	for (int i = 0; i < FLIGHTS_TRIED && flight && !*authentic && result == 0; i++, flight = flight->older) {
		if (flight->has_version)
			result = flight->decided ? flight_recognise(list, flight, d, authentic) :
						   flight_feed(list, flight, d, authentic);
	}
	return result;
}

/* What the relay asks of a datagram that opens state (RFC 9000 s14.1, s7.2). */
static bool may_open(const struct datagram *d)
{
	const struct conversation *c = d->conversation;

	return d->len >= QUIC_INITIAL_DATAGRAM_MIN &&
	       (d->packet.dcid.len >= QUIC_ORIGINAL_DCID_MIN ||
		(c->retried && quic_cid_equal(&c->retry_cid, &d->packet.dcid)));
}

/* --- datagrams --- */

static int begin(struct flight_list *list, const struct datagram *d, bool has_version, enum hello_verdict verdict)
{
	return flight_begin(list, d, has_version, verdict) ? 0 : -ENOMEM;
}

static int add_initial(struct flight_list *list, const struct datagram *d)
{
	struct listed *flight = listed_find(list, d->conversation, &d->packet.dcid);
	bool authentic;
	int result;

	if (flight)
		return flight->decided ? 0 : flight_feed(list, flight, d, &authentic);
	result = feed_by_keys(list, d, &authentic);
	if (result < 0 || authentic || is_server_cid(d->conversation, &d->packet.dcid))
		return result;
	if (!may_open(d))
		return begin(list, d, true, HELLO_MALFORMED_PACKET);
	flight = flight_begin(list, d, true, HELLO_NOT_INITIAL);
	return flight ? flight_feed(list, flight, d, &authentic) : -ENOMEM;
}

/*
 * 0-RTT may overtake its flight's Initial: then it holds the flight's place.
 * One such place at a time, and its line is not written if no Initial comes.
 */
static int add_0rtt(struct flight_list *list, const struct datagram *d)
{
	struct conversation *c = d->conversation;
	struct listed *flight = listed_find(list, c, &d->packet.dcid);
	bool authentic;

	/* An Initial may be coalesced behind it (RFC 9000 s12.2 asks for the other order, of the sender). */
	if (flight)
		return flight->decided ? 0 : flight_feed(list, flight, d, &authentic);
	if (is_server_cid(c, &d->packet.dcid) ||
	    (c->newest && c->newest->has_version && c->newest->verdict == HELLO_NOT_INITIAL))
		return 0;
	flight = flight_begin(list, d, true, HELLO_NOT_INITIAL);
	if (!flight)
		return -ENOMEM;
	return may_open(d) ? flight_feed(list, flight, d, &authentic) : 0;
}

static int add_long(struct flight_list *list, const struct datagram *d)
{
	struct conversation *c = d->conversation;

	switch (d->packet.type) {
	case QUIC_INITIAL:
		return add_initial(list, d);
	case QUIC_0RTT:
		return add_0rtt(list, d);
	case QUIC_OTHER_VERSION:
		/* RTP looks like this too: after a 4-tuple's first datagram, only what may open state counts. */
		if (c->newest && (!may_open(d) || listed_find(list, c, &d->packet.dcid) ||
				  is_server_cid(c, &d->packet.dcid)))
			return 0;
		return begin(list, d, true, HELLO_UNSUPPORTED_VERSION);
	case QUIC_HANDSHAKE:
	case QUIC_RETRY:
	case QUIC_VERSION_NEG:
		break;
	}
	return c->newest ? 0 : begin(list, d, true, HELLO_NOT_INITIAL);
}

/* A long header that ends before its packet does. */
static int add_malformed(struct flight_list *list, const struct datagram *d)
{
	struct conversation *c = d->conversation;
	bool ours = d->packet.version == QUIC_VERSION_1 || d->packet.version == QUIC_VERSION_2;
	bool new_initial = ours && d->packet.type == QUIC_INITIAL && d->packet.dcid.len > 0 &&
			   !listed_find(list, c, &d->packet.dcid) && !is_server_cid(c, &d->packet.dcid);

	if (c->newest && !new_initial)
		return 0;
	return begin(list, d, ours, ours ? HELLO_MALFORMED_PACKET : HELLO_NOT_INITIAL);
}

static int add_from_client(struct flight_list *list, struct datagram *d)
{
	switch (quic_parse(&d->packet, d->payload, d->len)) {
	case QUIC_LONG:
		return add_long(list, d);
	case QUIC_TRUNCATED:
		return add_malformed(list, d);
	case QUIC_CID_TOO_LONG:
		if (d->packet.type != QUIC_OTHER_VERSION)
			return add_malformed(list, d);
		return d->conversation->newest ? 0 : begin(list, d, true, HELLO_UNSUPPORTED_VERSION);
	case QUIC_SHORT:
		break;
	}
	return d->conversation->newest ? 0 : begin(list, d, false, HELLO_NOT_INITIAL);
}

/* --- lines --- */

static void print_peer(FILE *out, const struct peer *peer)
{
	char text[ADDRESS_TEXT_MAX];

	address_text(text, &peer->addr, peer->port_be);
	fprintf(out, "%s\t", text);
}

static const char *verdict_name(enum hello_verdict verdict)
{
	switch (verdict) {
	case HELLO_SNI:
		return "SNI";
	case HELLO_NO_SNI:
		return "NO_SNI";
	case HELLO_INCOMPLETE:
		return "INCOMPLETE";
	case HELLO_NOT_INITIAL:
		return "NOT_INITIAL";
	case HELLO_UNSUPPORTED_VERSION:
		return "UNSUPPORTED_VERSION";
	case HELLO_MALFORMED_PACKET:
	case HELLO_DECRYPT_FAILED:
	case HELLO_BAD_CRYPTO:
	case HELLO_BAD_CLIENT_HELLO:
		break;
	}
	return "INVALID";
}

static void print_flight(FILE *out, const struct listed *flight)
{
	/* The place of a flight that never came; but a 4-tuple has at least one line. */
	if (flight->verdict == HELLO_NOT_INITIAL && !flight->first)
		return;
	print_peer(out, &flight->conversation->client);
	print_peer(out, &flight->conversation->server);
	if (flight->has_version)
		fprintf(out, "%08" PRIx32 "\t", flight->version);
	else
		fputs("-\t", out);
	if (flight->dcid.len == 0)
		fputc('-', out);
	for (int i = 0; i < flight->dcid.len; i++)
		fprintf(out, "%02x", flight->dcid.bytes[i]);
	fprintf(out, "\t%" PRIu32 "\t%s\t%s\n", flight->datagrams ? flight->datagrams : 1,
		verdict_name(flight->verdict), flight->name ? flight->name : "-");
}

static void print_decided(struct flight_list *list)
{
	for (; list->unprinted && list->unprinted->decided; list->unprinted = STAILQ_NEXT(list->unprinted, order))
		print_flight(list->out, list->unprinted);
}

/* --- the list --- */

struct flight_list *flight_list_new(FILE *out)
{
	struct flight_list *list = calloc(1, sizeof(*list));

	if (!list)
		return NULL;
	list->out = out;
	list->crypto = hello_crypto_new();
	STAILQ_INIT(&list->all);
	TAILQ_INIT(&list->open);
	if (!list->crypto || getrandom(&list->hash_key, sizeof(list->hash_key), 0) != sizeof(list->hash_key)) {
		flight_list_free(list);
		return NULL;
	}
	fputs("src\tdst\tversion\todcid\tdatagrams\tverdict\tsni\n", out);
	return list;
}

int flight_list_add(struct flight_list *list, const struct packet *packet)
{
	const struct peer src = { packet->src, packet->src_port_be }, dst = { packet->dst, packet->dst_port_be };
	struct datagram d = {
		.conversation = conversation_get(list, &src, &dst),
		.payload = packet_payload(packet),
		.len = packet->payload_len_bytes,
	};
	int result;

	if (!d.conversation)
		return -ENOMEM;
	if (!peer_equal(&d.conversation->client, &src)) {
		learn_reply(d.conversation, d.payload, d.len);
		return 0;
	}
	result = add_from_client(list, &d);
	print_decided(list);
	return result;
}

void flight_list_end(struct flight_list *list)
{
	for (; list->unprinted; list->unprinted = STAILQ_NEXT(list->unprinted, order))
		print_flight(list->out, list->unprinted);
}

void flight_list_free(struct flight_list *list)
{
	struct conversation *c;
	struct listed *flight;

	if (!list)
		return;
	while ((flight = STAILQ_FIRST(&list->all))) {
		STAILQ_REMOVE_HEAD(&list->all, order);
		free(flight->hello);
		free(flight->name);
		free(flight);
	}
	while ((c = list->all_conversations)) {
		list->all_conversations = c->all_next;
		free(c);
	}
	free(list->spare);
	hello_crypto_free(list->crypto);
	free(list);
}
