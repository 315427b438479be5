/* SPDX-License-Identifier: MIT */
/* cid: see the header. One thread; the input is the command line and the random generator. */
#include <gnutls/crypto.h>
#include <nettle/aes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cid.h"

enum { BLOCK_LEN = AES_BLOCK_SIZE };

static void random_bytes(uint8_t *out, size_t len)
{
	if (gnutls_rnd(GNUTLS_RND_NONCE, out, len) < 0)
		abort();
}

/* One step of s5.4.2: half `to` ^= AES(half `from`, zeros, length of the plaintext, number of the pass). */
static void feistel_pass(const struct aes128_ctx *aes, uint8_t *to, const uint8_t *from, size_t half, size_t len,
			 uint8_t pass)
{
	uint8_t block[BLOCK_LEN] = { 0 };

	memcpy(block, from, half);
	block[BLOCK_LEN - 2] = (uint8_t)len;
	block[BLOCK_LEN - 1] = pass;
	aes128_encrypt(aes, BLOCK_LEN, block, block);
	for (size_t i = 0; i < half; i++)
		to[i] ^= block[i];
}

/*
 * An odd number of bytes is cut in the middle of one:
 *
 *   server ID, nonce   01 23 45 67 89
 *   left, right        01 23 40   05 67 89
 */
static void encrypt_four_pass(const struct aes128_ctx *aes, uint8_t *text, size_t len)
{
	size_t half = (len + 1) / 2;
	uint8_t left[BLOCK_LEN], right[BLOCK_LEN];

	memcpy(left, text, half);
	memcpy(right, text + len - half, half);
	for (uint8_t pass = 0; pass <= 4; pass++) {
		if (pass % 2)
			feistel_pass(aes, right, left, half, len, pass);
		else if (pass)
			feistel_pass(aes, left, right, half, len, pass);
		if (len % 2) {
			left[half - 1] &= 0xf0;
			right[0] &= 0x0f;
		}
	}
	memcpy(text, left, half);
	if (len % 2)
		right[0] |= left[half - 1];
	memcpy(text + len - half, right, half);
}

static void encode_quic_lb(const struct cid_maker *maker, const uint8_t *nonce, uint8_t *cid)
{
	size_t len = maker->server_id_len + maker->nonce_len;
	struct aes128_ctx aes;

	random_bytes(cid, 1);
	cid[0] = (uint8_t)(maker->rotation << 5 | (maker->tell_len ? len : cid[0] & 0x1f));
	memcpy(cid + 1, maker->server_id, maker->server_id_len);
	memcpy(cid + 1 + maker->server_id_len, nonce, maker->nonce_len);
	if (!maker->encrypt)
		return;
	aes128_set_encrypt_key(&aes, maker->key);
	if (len == BLOCK_LEN)
		aes128_encrypt(&aes, BLOCK_LEN, cid + 1, cid + 1);
	else
		encrypt_four_pass(&aes, cid + 1, len);
}

void cid_make(struct cid_maker *maker, uint8_t *cid)
{
	uint8_t nonce[CID_NONCE_MAX];
	uint64_t number;

	switch (maker->form) {
	case CID_RANDOM:
		random_bytes(cid, maker->len);
		break;
	case CID_SEQUENCE:
		number = ++maker->previous;
		for (size_t i = maker->len; i-- > 0; number >>= 8)
			cid[i] = (uint8_t)number;
		break;
	case CID_QUIC_LB:
		random_bytes(nonce, maker->nonce_len);
		encode_quic_lb(maker, nonce, cid);
		break;
	}
}

int cid_from_hex(uint8_t *out, size_t size, const char *hex)
{
	size_t len = strlen(hex) / 2;

	if (strlen(hex) % 2 || len > size || strspn(hex, "0123456789abcdefABCDEF") != strlen(hex))
		return -1;
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)strtoul((char[]){ hex[2 * i], hex[2 * i + 1], 0 }, NULL, 16);
	return (int)len;
}

static bool parse_number(size_t *out, const char *text, size_t min, size_t max)
{
	char *end;
	unsigned long n;

	if (!text || *text < '0' || *text > '9')
		return false;
	n = strtoul(text, &end, 10);
	*out = n;
	return !*end && n >= min && n <= max;
}

static const char *parse_quic_lb(struct cid_maker *maker, char **rest)
{
	const char *rotation = strsep(rest, ":"), *id = strsep(rest, ":"), *nonce = strsep(rest, ":");
	const char *key = strsep(rest, ":");
	size_t number;
	int len;

	if (!parse_number(&number, rotation, 0, 6))
		return "the configuration rotation must be 0 to 6";
	maker->rotation = (uint8_t)number;
	len = id ? cid_from_hex(maker->server_id, sizeof(maker->server_id), id) : -1;
	if (len < 1)
		return "the server ID must be 1 to 15 bytes in hex";
	maker->server_id_len = (size_t)len;
	if (!parse_number(&maker->nonce_len, nonce, CID_NONCE_MIN, CID_NONCE_MAX))
		return "the nonce must have 4 to 18 bytes";
	maker->len = 1 + maker->server_id_len + maker->nonce_len;
	if (maker->len > CID_LEN_MAX)
		return "server ID and nonce must have at most 19 bytes together";
	maker->encrypt = key;
	if (key && cid_from_hex(maker->key, sizeof(maker->key), key) != CID_KEY_LEN)
		return "the key must be 16 bytes in hex";
	return NULL;
}

const char *cid_parse(struct cid_maker *maker, const char *text)
{
	char copy[256], *rest = copy;
	const char *form, *error = NULL;

	if (snprintf(copy, sizeof(copy), "%s", text) >= (int)sizeof(copy))
		return "too long";
	form = strsep(&rest, ":");
	if (!strcmp(form, "lb")) {
		maker->form = CID_QUIC_LB;
		error = parse_quic_lb(maker, &rest);
	} else if (!strcmp(form, "random") || !strcmp(form, "sequence")) {
		maker->form = *form == 'r' ? CID_RANDOM : CID_SEQUENCE;
		if (!parse_number(&maker->len, strsep(&rest, ":"), 4, CID_LEN_MAX))
			error = "the length must be 4 to 20";
	} else {
		return "must be random:LEN, sequence:LEN or lb:ROTATION:SERVER_ID:NONCE_LEN[:KEY]";
	}
	return !error && rest ? "too many fields" : error;
}

int cid_check_vectors(void)
{
	static const struct {
		const char *name, *form, *nonce, *cid;
	} rows[] = {
		{ "four passes, an odd length", "lb:0:ed793a:4:8f95f09245765f80256934e50c66207f", "ee080dbf",
		  "0720b1d07b359d3c" },
		{ "four passes, a server ID longer than half",
		  "lb:1:ed793a51d49b8f5fab65:5:8f95f09245765f80256934e50c66207f", "ee080dbf48",
		  "2fcc381bc74cb4fbad2823a3d1f8fed2" },
		{ "one pass: 16 bytes", "lb:2:ed793a51d49b8f5f:8:8f95f09245765f80256934e50c66207f", "ee080dbf48c0d1e5",
		  "504dd2d05a7b0de9b2b9907afb5ecf8cc3" },
		{ "four passes, longer than a block", "lb:3:ed793a51d49b8f5fab:9:8f95f09245765f80256934e50c66207f",
		  "ee080dbf48c0d1e55d", "725779c9cc86beb3a3a4a3ca96fce4bfe0cdbc" },
		{ "no key: plain text", "lb:0:c4605e:4", "4504cc4f", "07c4605e4504cc4f" },
	};
	int failed = 0;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct cid_maker maker = { .tell_len = true };
		uint8_t nonce[CID_NONCE_MAX], expected[CID_LEN_MAX], cid[CID_LEN_MAX];
		const char *error = cid_parse(&maker, rows[i].form);
		bool ok = !error && cid_from_hex(nonce, sizeof(nonce), rows[i].nonce) == (int)maker.nonce_len &&
			  cid_from_hex(expected, sizeof(expected), rows[i].cid) == (int)maker.len;

		if (ok) {
			encode_quic_lb(&maker, nonce, cid);
			ok = !memcmp(cid, expected, maker.len);
		}
		printf("%sok %zu - %s\n", ok ? "" : "not ", i + 1, error ? error : rows[i].name);
		failed |= !ok;
	}
	return failed;
}
