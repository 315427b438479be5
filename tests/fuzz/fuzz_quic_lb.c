/* SPDX-License-Identifier: MIT */
/*
 * fuzz_quic_lb: any bytes as a connection ID, under every form of
 * configuration: plain, one pass, four passes with even and odd lengths, the
 * server ID shorter and longer than the nonce; one rotation has none. A
 * verdict must keep the promises of quic_lb.h, and a CID that is made with the
 * bytes as nonce must lead back to its server.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/quic_lb_encode.h"
#include "userspace/quic_lb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

enum { CONFIGS = 6, SERVERS = 2, UNTOUCHED = 0xeeeeeeee };

static const uint8_t key[QUIC_LB_KEY_LEN] = {
	0x8f, 0x95, 0xf0, 0x92, 0x45, 0x76, 0x5f, 0x80, 0x25, 0x69, 0x34, 0xe5, 0x0c, 0x66, 0x20, 0x7f,
};
static const struct quic_lb_server servers[SERVERS] = {
	{ .id = { 0xed, 0x79, 0x3a, 0x51, 0xd4, 0x9b, 0x8f, 0x5f, 0xab, 0x65 }, .server = 0 },
	{ .id = { 0xc4, 0x60, 0x5e }, .server = 1 },
};
static const struct quic_lb_options options[CONFIGS] = {
	{ 0, 3, 4, key, servers, SERVERS },  { 1, 10, 5, key, servers, SERVERS }, { 2, 8, 8, key, servers, SERVERS },
	{ 3, 9, 9, key, servers, SERVERS },  { 4, 3, 4, NULL, servers, SERVERS }, { 5, 15, 4, key, servers, SERVERS },
};
static struct quic_lb *lb;
static struct quic_lb_crypto *crypto;

static void must(bool holds)
{
	if (!holds)
		abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	must(quic_lb_new(&lb, options, CONFIGS) == 0);
	crypto = quic_lb_crypto_new(lb);
	must(crypto != NULL);
	return 0;
}

/* A CID with the input's bytes as nonce, made by a server, is that server's. */
static void check_made(const uint8_t *data, size_t size)
{
	const struct quic_lb_options *o = &options[data[0] % CONFIGS];
	const struct quic_lb_server *from = &servers[data[0] / CONFIGS % SERVERS];
	uint8_t nonce[QUIC_LB_NONCE_MAX] = { 0 };
	unsigned cid_len = UNTOUCHED;
	uint32_t server = UNTOUCHED;
	struct quic_cid cid;

	memcpy(nonce, data, size < sizeof(nonce) ? size : sizeof(nonce));
	cid = quic_lb_encode((uint8_t)(o->rotation << 5 | (data[0] & 31)), o->key, from->id, o->server_id_len, nonce,
			     o->nonce_len);
	must(quic_lb_decode(lb, crypto, cid.bytes, cid.len, &server, &cid_len) == QUIC_LB_SERVER);
	must(server == from->server && cid_len == cid.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned cid_len = UNTOUCHED, rotation = size ? data[0] >> 5 : 0;
	uint32_t server = UNTOUCHED;
	enum quic_lb_verdict verdict = quic_lb_decode(lb, crypto, data, size, &server, &cid_len);
	bool known = rotation < CONFIGS && size > 0;
	size_t len = known ? 1u + options[rotation].server_id_len + options[rotation].nonce_len : 0;

	must((verdict == QUIC_LB_UNROUTABLE) == (rotation == QUIC_LB_ROTATION_UNROUTABLE));
	must((verdict == QUIC_LB_UNKNOWN_CONFIG) == (rotation == CONFIGS));
	must((verdict == QUIC_LB_TOO_SHORT) == (size == 0 || (known && size < len)));
	must(server == UNTOUCHED ? verdict != QUIC_LB_SERVER : server < SERVERS);
	must(cid_len == (verdict == QUIC_LB_SERVER || verdict == QUIC_LB_UNKNOWN_SERVER ? len : UNTOUCHED));
	if (size > 0)
		check_made(data, size);
	return 0;
}
