/* SPDX-License-Identifier: MIT */
/* quic_lb_encode: see quic_lb_encode.h. */
#include "quic_lb_encode.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 16 };

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void aes_encrypt(const uint8_t *key, const uint8_t in[static BLOCK], uint8_t out[static BLOCK])
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int len = 0;

	must(context && EVP_EncryptInit_ex(context, EVP_aes_128_ecb(), NULL, key, NULL) &&
	     EVP_EncryptUpdate(context, out, &len, in, BLOCK) && len == BLOCK);
	EVP_CIPHER_CTX_free(context);
}

static uint8_t nibble_get(const uint8_t *bytes, size_t at)
{
	return at % 2 ? bytes[at / 2] & 0x0f : bytes[at / 2] >> 4;
}

static void nibble_xor(uint8_t *bytes, size_t at, uint8_t nibble)
{
	bytes[at / 2] ^= at % 2 ? nibble : (uint8_t)(nibble << 4);
}

/*
 * One pass over a body of `len` bytes, so 2 * len nibbles, len in each half.
 * A half begins where its first byte does, also when that byte's high nibble
 * is the other half's: right's then begins one nibble early, with 0.
 */
static void pass(const uint8_t *key, uint8_t *body, size_t len, uint8_t number)
{
	bool from_left = number % 2;
	size_t from = from_left ? 0 : len, to = from_left ? len : 0;
	uint8_t in[BLOCK] = { [14] = (uint8_t)len, [15] = number }, out[BLOCK];

	for (size_t i = 0; i < len; i++)
		nibble_xor(in, from % 2 + i, nibble_get(body, from + i));
	aes_encrypt(key, in, out);
	for (size_t i = 0; i < len; i++)
		nibble_xor(body, to + i, nibble_get(out, to % 2 + i));
}

struct quic_cid quic_lb_encode(uint8_t first_octet, const uint8_t *key, const uint8_t *server_id, size_t server_id_len,
			       const uint8_t *nonce, size_t nonce_len)
{
	struct quic_cid cid = { .len = (uint8_t)(1 + server_id_len + nonce_len), .bytes = { first_octet } };
	uint8_t *body = cid.bytes + 1, block[BLOCK];
	size_t len = server_id_len + nonce_len;

	must(len < CID_LEN_MAX);
	memcpy(body, server_id, server_id_len);
	memcpy(body + server_id_len, nonce, nonce_len);
	if (key && len == BLOCK) {
		memcpy(block, body, BLOCK);
		aes_encrypt(key, block, body);
	} else if (key) {
		for (uint8_t number = 1; number <= 4; number++)
			pass(key, body, len, number);
	}
	return cid;
}
