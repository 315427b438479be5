/* SPDX-License-Identifier: MIT */
/*
 * test_quic_lb: the draft's test vectors, every split of lengths there and
 * back, every prefix in memory of exactly its size, and what is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/initial_writer.h"
#include "tests/lib/quic_lb_encode.h"
#include "userspace/quic_lb.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { SERVER = 0x12345678, UNTOUCHED = 0xeeeeeeee };

/* draft-ietf-quic-load-balancers, "Load Balancer Test Vectors" */
static const uint8_t key[QUIC_LB_KEY_LEN] = {
	0x8f, 0x95, 0xf0, 0x92, 0x45, 0x76, 0x5f, 0x80, 0x25, 0x69, 0x34, 0xe5, 0x0c, 0x66, 0x20, 0x7f,
};

static const struct vector {
	const char *name;
	uint8_t rotation;
	const uint8_t *key;
	const char *server_id, *nonce, *cid;
} vectors[] = {
	{ "four passes, odd, nonce longer", 0, key, "ed793a", "ee080dbf", "0720b1d07b359d3c" },
	{ "four passes, odd, server ID longer", 1, key, "ed793a51d49b8f5fab65", "ee080dbf48",
	  "2fcc381bc74cb4fbad2823a3d1f8fed2" },
	{ "one pass", 2, key, "ed793a51d49b8f5f", "ee080dbf48c0d1e5", "504dd2d05a7b0de9b2b9907afb5ecf8cc3" },
	{ "four passes, even", 3, key, "ed793a51d49b8f5fab", "ee080dbf48c0d1e55d",
	  "725779c9cc86beb3a3a4a3ca96fce4bfe0cdbc" },
	{ "plain", 0, NULL, "c4605e", "4504cc4f", "07c4605e4504cc4f" },
};

struct world {
	struct quic_lb *lb;
	struct quic_lb_crypto *crypto;
};

static struct world world_open(const struct quic_lb_options *options, unsigned count)
{
	struct world world;

	assert_int_equal(quic_lb_new(&world.lb, options, count), 0);
	world.crypto = quic_lb_crypto_new(world.lb);
	assert_non_null(world.crypto);
	return world;
}

static void world_close(struct world *world)
{
	quic_lb_crypto_free(world->crypto);
	quic_lb_free(world->lb);
}

struct decoded {
	enum quic_lb_verdict verdict;
	uint32_t server;
	unsigned cid_len;
};

/* From an allocation of exactly its size. */
static struct decoded decode(const struct world *world, const uint8_t *cid, size_t available)
{
	struct decoded decoded = { .server = UNTOUCHED, .cid_len = UNTOUCHED };
	uint8_t *copy = malloc(available);

	memcpy(copy, cid, available);
	decoded.verdict = quic_lb_decode(world->lb, world->crypto, copy, available, &decoded.server, &decoded.cid_len);
	free(copy);
	return decoded;
}

static void assert_decoded(struct decoded decoded, enum quic_lb_verdict verdict, uint32_t server, unsigned cid_len)
{
	assert_int_equal(decoded.verdict, verdict);
	assert_int_equal(decoded.server, server);
	assert_int_equal(decoded.cid_len, cid_len);
}

/* One server of one configuration. */
static struct world vector_world(const struct vector *vector)
{
	const struct quic_cid id = cid_from_hex(vector->server_id), nonce = cid_from_hex(vector->nonce);
	struct quic_lb_server server = { .server = SERVER };

	memcpy(server.id, id.bytes, id.len);
	return world_open(&(struct quic_lb_options){ vector->rotation, id.len, nonce.len, vector->key, &server, 1 }, 1);
}

static void test_vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(vectors); i++) {
		const struct vector *v = &vectors[i];
		const struct quic_cid id = cid_from_hex(v->server_id), nonce = cid_from_hex(v->nonce);
		const struct quic_cid cid = cid_from_hex(v->cid);
		const struct quic_cid made =
			quic_lb_encode(cid.bytes[0], v->key, id.bytes, id.len, nonce.bytes, nonce.len);
		struct world world = vector_world(v);
		struct decoded decoded = decode(&world, cid.bytes, cid.len);

		if (!quic_cid_equal(&made, &cid) || decoded.verdict != QUIC_LB_SERVER || decoded.server != SERVER ||
		    decoded.cid_len != cid.len)
			fail_msg("%s: verdict %d, server %x, %u bytes", v->name, decoded.verdict, decoded.server,
				 decoded.cid_len);
		world_close(&world);
	}
}

static void test_prefixes(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(vectors); i++) {
		const struct quic_cid cid = cid_from_hex(vectors[i].cid);
		struct world world = vector_world(&vectors[i]);

		for (size_t n = 0; n < cid.len; n++)
			assert_decoded(decode(&world, cid.bytes, n), QUIC_LB_TOO_SHORT, UNTOUCHED, UNTOUCHED);
		assert_decoded(decode(&world, cid.bytes, cid.len), QUIC_LB_SERVER, SERVER, cid.len);
		world_close(&world);
	}
}

/* The low bits of the first octet mean nothing, nor does what follows the CID. */
static void test_first_octet_and_what_follows(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(vectors); i++) {
		const struct quic_cid cid = cid_from_hex(vectors[i].cid);
		struct world world = vector_world(&vectors[i]);
		uint8_t packet[64];

		memset(packet, 0xa5, sizeof(packet));
		memcpy(packet, cid.bytes, cid.len);
		for (unsigned low = 0; low < 32; low++) {
			packet[0] = (uint8_t)(vectors[i].rotation << 5 | low);
			assert_decoded(decode(&world, packet, sizeof(packet)), QUIC_LB_SERVER, SERVER, cid.len);
		}
		world_close(&world);
	}
}

static void test_rotations(void **state)
{
	const struct quic_cid cid = cid_from_hex(vectors[0].cid);
	struct world world = vector_world(&vectors[0]);
	uint8_t packet[20] = { 0 };

	(void)state;
	memcpy(packet, cid.bytes, cid.len);
	for (unsigned rotation = 1; rotation < 8; rotation++) {
		packet[0] = (uint8_t)(rotation << 5);
		assert_decoded(decode(&world, packet, sizeof(packet)),
			       rotation == 7 ? QUIC_LB_UNROUTABLE : QUIC_LB_UNKNOWN_CONFIG, UNTOUCHED, UNTOUCHED);
		assert_decoded(decode(&world, packet, 1),
			       rotation == 7 ? QUIC_LB_UNROUTABLE : QUIC_LB_UNKNOWN_CONFIG, UNTOUCHED, UNTOUCHED);
	}
	world_close(&world);
	world = world_open(NULL, 0);
	assert_decoded(decode(&world, cid.bytes, cid.len), QUIC_LB_UNKNOWN_CONFIG, UNTOUCHED, UNTOUCHED);
	world_close(&world);
}

/* Each bit of a CID but the first octet's low five counts: where it is the nonce's, only to an encrypted CID. */
static void test_every_bit_counts(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(vectors); i++) {
		const struct quic_cid cid = cid_from_hex(vectors[i].cid), id = cid_from_hex(vectors[i].server_id);
		struct world world = vector_world(&vectors[i]);

		for (unsigned bit = 8; bit < 8u * cid.len; bit++) {
			struct quic_cid other = cid;
			bool is_nonce = !vectors[i].key && bit >= 8u * (1u + id.len);

			other.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
			assert_decoded(decode(&world, other.bytes, other.len),
				       is_nonce ? QUIC_LB_SERVER : QUIC_LB_UNKNOWN_SERVER,
				       is_nonce ? SERVER : UNTOUCHED, cid.len);
		}
		world_close(&world);
	}
}

static uint64_t random_state = 1;

/* xorshift64: the same bytes on each run. */
static void random_fill(uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		random_state ^= random_state << 13;
		random_state ^= random_state >> 7;
		random_state ^= random_state << 17;
		bytes[i] = (uint8_t)(random_state >> 32);
	}
}

/* Three servers, their IDs apart in the last byte only; and one that is not there. */
static void round_trip(unsigned rotation, unsigned server_id_len, unsigned nonce_len, const uint8_t *with_key)
{
	struct quic_lb_server servers[4] = { { .server = 0 }, { .server = 1 }, { .server = 2 }, { .server = 3 } };
	const struct quic_lb_options options = {
		(uint8_t)rotation, (uint8_t)server_id_len, (uint8_t)nonce_len, with_key, servers, 3 };
	struct world world;

	random_fill(servers[0].id, sizeof(servers[0].id)); /* and garbage behind the ID */
	for (unsigned i = 1; i < 4; i++) {
		memcpy(servers[i].id, servers[0].id, server_id_len);
		servers[i].id[server_id_len - 1] ^= (uint8_t)(1 << i);
	}
	world = world_open(&options, 1);
	for (unsigned i = 0; i < 4; i++) {
		uint8_t nonce[QUIC_LB_NONCE_MAX];
		struct quic_cid cid;
		struct decoded decoded;

		random_fill(nonce, sizeof(nonce));
		cid = quic_lb_encode((uint8_t)(rotation << 5), with_key, servers[i].id, server_id_len, nonce,
				     nonce_len);
		decoded = decode(&world, cid.bytes, cid.len);
		if (decoded.verdict != (i < 3 ? QUIC_LB_SERVER : QUIC_LB_UNKNOWN_SERVER) ||
		    decoded.server != (i < 3 ? i : UNTOUCHED) || decoded.cid_len != 1 + server_id_len + nonce_len)
			fail_msg("%s, %u + %u, server %u: verdict %d, server %u", with_key ? "encrypted" : "plain",
				 server_id_len, nonce_len, i, decoded.verdict, decoded.server);
	}
	world_close(&world);
}

static void test_every_split(void **state)
{
	unsigned splits = 0;

	(void)state;
	for (unsigned id_len = 1; id_len <= QUIC_LB_SERVER_ID_MAX; id_len++) {
		for (unsigned nonce_len = QUIC_LB_NONCE_MIN; id_len + nonce_len <= QUIC_LB_BODY_MAX; nonce_len++) {
			round_trip(splits % QUIC_LB_CONFIGS_MAX, id_len, nonce_len, key);
			round_trip(splits % QUIC_LB_CONFIGS_MAX, id_len, nonce_len, NULL);
			splits++;
		}
	}
	assert_int_equal(splits, 15 * 16 / 2);
}

/* All seven at once, each with its own lengths, key and server; two workers. */
static void test_seven_configurations(void **state)
{
	struct quic_lb_server servers[QUIC_LB_CONFIGS_MAX];
	struct quic_lb_options options[QUIC_LB_CONFIGS_MAX];
	uint8_t keys[QUIC_LB_CONFIGS_MAX][QUIC_LB_KEY_LEN], nonce[QUIC_LB_NONCE_MAX] = { 7 };
	struct world worlds[2];

	(void)state;
	random_fill(keys[0], sizeof(keys));
	for (unsigned i = 0; i < QUIC_LB_CONFIGS_MAX; i++) {
		random_fill(servers[i].id, sizeof(servers[i].id));
		servers[i].server = i;
		options[i] = (struct quic_lb_options){
			(uint8_t)i, (uint8_t)(2 * i + 1), 6, i % 3 ? keys[i] : NULL, &servers[i], 1 };
	}
	worlds[0] = world_open(options, QUIC_LB_CONFIGS_MAX);
	worlds[1] = (struct world){ worlds[0].lb, quic_lb_crypto_new(worlds[0].lb) };
	assert_non_null(worlds[1].crypto);
	for (unsigned i = 0; i < 2 * QUIC_LB_CONFIGS_MAX; i++) {
		const struct quic_lb_options *o = &options[i % QUIC_LB_CONFIGS_MAX];
		const struct quic_cid cid = quic_lb_encode((uint8_t)(o->rotation << 5), o->key, o->servers->id,
							   o->server_id_len, nonce, o->nonce_len);

		assert_decoded(decode(&worlds[i % 2], cid.bytes, cid.len), QUIC_LB_SERVER, o->servers->server, cid.len);
	}
	quic_lb_crypto_free(worlds[1].crypto);
	world_close(&worlds[0]);
}

static void test_many_servers(void **state)
{
	enum { SERVERS = 40000 };
	struct quic_lb_server *servers = calloc(SERVERS, sizeof(*servers));
	const uint8_t nonce[QUIC_LB_NONCE_MIN] = { 0 };
	struct world world;

	(void)state;
	for (uint32_t i = 0; i < SERVERS; i++)
		servers[i] = (struct quic_lb_server){ .id = { (uint8_t)(i >> 8), (uint8_t)i }, .server = i };
	world = world_open(&(struct quic_lb_options){ 5, 2, 4, NULL, servers, SERVERS }, 1);
	for (uint32_t i = 0; i < 65536; i++) {
		const uint8_t id[] = { (uint8_t)(i >> 8), (uint8_t)i };
		const struct quic_cid cid = quic_lb_encode(5 << 5, NULL, id, sizeof(id), nonce, sizeof(nonce));

		assert_decoded(decode(&world, cid.bytes, cid.len),
			       i < SERVERS ? QUIC_LB_SERVER : QUIC_LB_UNKNOWN_SERVER, i < SERVERS ? i : UNTOUCHED, 7);
	}
	world_close(&world);
	free(servers);
}

static void test_refused_options(void **state)
{
	static const struct quic_lb_server servers[] = {
		{ .id = { 1, 2, 3 } }, { .id = { 1, 2, 4 } }, { .id = { 1, 2, 3, 9 } } };
	static const struct {
		const char *name;
		struct quic_lb_options options[2];
		unsigned count;
		int result;
	} rows[] = {
		{ "the longest server ID", { { 6, 15, 4, key, servers, 2 } }, 1, 0 },
		{ "the longest nonce", { { 0, 1, 18, key, servers, 1 } }, 1, 0 },
		{ "two", { { 0, 3, 4, key, servers, 2 }, { 1, 3, 4, key, servers, 2 } }, 2, 0 },
		{ "rotation 7", { { 7, 3, 4, NULL, servers, 1 } }, 1, -EINVAL },
		{ "no server ID", { { 0, 0, 4, NULL, servers, 1 } }, 1, -EINVAL },
		{ "server ID of 16", { { 0, 16, 4, NULL, servers, 1 } }, 1, -EINVAL },
		{ "nonce of 3", { { 0, 3, 3, NULL, servers, 1 } }, 1, -EINVAL },
		{ "nonce of 19", { { 0, 1, 19, NULL, servers, 1 } }, 1, -EINVAL },
		{ "20 together", { { 0, 10, 10, NULL, servers, 1 } }, 1, -EINVAL },
		{ "no servers", { { 0, 3, 4, NULL, servers, 0 } }, 1, -EINVAL },
		{ "an ID twice, behind its length apart", { { 0, 3, 4, NULL, servers, 3 } }, 1, -EINVAL },
		{ "a rotation twice", { { 2, 3, 4, NULL, servers, 1 }, { 2, 4, 4, NULL, servers, 1 } }, 2, -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct quic_lb *lb = NULL;
		int result = quic_lb_new(&lb, rows[i].options, rows[i].count);

		if (result != rows[i].result || (lb != NULL) != (result == 0))
			fail_msg("%s: %d", rows[i].name, result);
		quic_lb_free(lb);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_first_octet_and_what_follows),
		cmocka_unit_test(test_rotations),
		cmocka_unit_test(test_every_bit_counts),
		cmocka_unit_test(test_every_split),
		cmocka_unit_test(test_seven_configurations),
		cmocka_unit_test(test_many_servers),
		cmocka_unit_test(test_refused_options),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
