/* SPDX-License-Identifier: MIT */
/* initial_crypto: see initial_crypto.h. Shares no code with userspace/initial.c. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "initial_crypto.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

enum {
	DCID_AT = 6,                 /* first byte, version, length */
	DCID_LEN = 8,
	PN_AT = DCID_AT + DCID_LEN + 1 + 1 + 2, /* empty SCID, empty token, length in 2 bytes */
	SAMPLE_AT = PN_AT + 4,       /* RFC 9001 s5.4.2 */
	TAG_LEN = 16,
	HASH_LEN = SHA256_DIGEST_LENGTH,
	LABEL_MAX = 32,
};

struct hkdf_label {
	uint8_t bytes[LABEL_MAX];
	size_t len;
};

/* Both halves of HMAC's key, hashed. */
struct mac {
	SHA256_CTX inner, outer;
};

struct initial_crypto {
	struct mac salt;
	struct hkdf_label client_in, key, iv, hp;
	EVP_CIPHER *aes_ecb, *aes_gcm;
	EVP_CIPHER_CTX *mask, *aead;
	uint8_t plain[2048];
};

static void mac_begin(struct mac *mac, const uint8_t *key, size_t len)
{
	uint8_t pad[64] = { 0 };

	memcpy(pad, key, len);
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36;
	SHA256_Init(&mac->inner);
	SHA256_Update(&mac->inner, pad, sizeof(pad));
	for (size_t i = 0; i < sizeof(pad); i++)
		pad[i] ^= 0x36 ^ 0x5c;
	SHA256_Init(&mac->outer);
	SHA256_Update(&mac->outer, pad, sizeof(pad));
}

static void mac_of(const struct mac *mac, const uint8_t *message, size_t len, uint8_t out[static HASH_LEN])
{
	struct mac m = *mac;
	uint8_t inner[HASH_LEN];

	SHA256_Update(&m.inner, message, len);
	SHA256_Final(inner, &m.inner);
	SHA256_Update(&m.outer, inner, sizeof(inner));
	SHA256_Final(out, &m.outer);
}

/* RFC 8446 s7.1 with an empty context, and the counter of RFC 5869 s2.3. */
static struct hkdf_label label_of(const char *name, uint8_t out_len)
{
	struct hkdf_label label = { .bytes = { 0, out_len, (uint8_t)(6 + strlen(name)), 't', 'l', 's', '1', '3', ' ' } };

	memcpy(label.bytes + 9, name, strlen(name));
	label.len = 9 + strlen(name);
	label.bytes[label.len++] = 0;
	label.bytes[label.len++] = 1;
	return label;
}

struct initial_crypto *initial_crypto_new(void)
{
	static const uint8_t salt[20] = { /* RFC 9001 s5.2 */
		0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17,
		0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a,
	};
	struct initial_crypto *crypto = calloc(1, sizeof(*crypto));

	if (!crypto)
		return NULL;
	mac_begin(&crypto->salt, salt, sizeof(salt));
	crypto->client_in = label_of("client in", HASH_LEN);
	crypto->key = label_of("quic key", 16);
	crypto->iv = label_of("quic iv", 12);
	crypto->hp = label_of("quic hp", 16);
	crypto->aes_ecb = EVP_CIPHER_fetch(NULL, "AES-128-ECB", NULL);
	crypto->aes_gcm = EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
	crypto->mask = EVP_CIPHER_CTX_new();
	crypto->aead = EVP_CIPHER_CTX_new();
	if (EVP_EncryptInit_ex2(crypto->mask, crypto->aes_ecb, NULL, NULL, NULL) &&
	    EVP_DecryptInit_ex2(crypto->aead, crypto->aes_gcm, NULL, NULL, NULL))
		return crypto;
	initial_crypto_free(crypto);
	return NULL;
}

void initial_crypto_free(struct initial_crypto *crypto)
{
	EVP_CIPHER_CTX_free(crypto->mask);
	EVP_CIPHER_CTX_free(crypto->aead);
	EVP_CIPHER_free(crypto->aes_ecb);
	EVP_CIPHER_free(crypto->aes_gcm);
	free(crypto);
}

bool initial_crypto_open(struct initial_crypto *crypto, const uint8_t *datagram, size_t len)
{
	uint8_t secret[HASH_LEN], key[HASH_LEN], iv[HASH_LEN], hp[HASH_LEN], mask[16], header[PN_AT + 1];
	const uint8_t *body = datagram + sizeof(header);
	int body_len = (int)(len - sizeof(header) - TAG_LEN), n;
	struct mac mac;

	mac_of(&crypto->salt, datagram + DCID_AT, DCID_LEN, secret);
	mac_begin(&mac, secret, sizeof(secret));
	mac_of(&mac, crypto->client_in.bytes, crypto->client_in.len, secret);
	mac_begin(&mac, secret, sizeof(secret));
	mac_of(&mac, crypto->key.bytes, crypto->key.len, key);
	mac_of(&mac, crypto->iv.bytes, crypto->iv.len, iv);
	mac_of(&mac, crypto->hp.bytes, crypto->hp.len, hp);
	if (!EVP_EncryptInit_ex2(crypto->mask, NULL, hp, NULL, NULL) ||
	    !EVP_EncryptUpdate(crypto->mask, mask, &n, datagram + SAMPLE_AT, 16))
		return false;
	memcpy(header, datagram, sizeof(header));
	header[0] ^= mask[0] & 0x0f;
	header[PN_AT] ^= mask[1]; /* 0: the nonce is the IV */
	return EVP_DecryptInit_ex2(crypto->aead, NULL, key, iv, NULL) &&
	       EVP_DecryptUpdate(crypto->aead, NULL, &n, header, sizeof(header)) &&
	       EVP_DecryptUpdate(crypto->aead, crypto->plain, &n, body, body_len) &&
	       EVP_CIPHER_CTX_ctrl(crypto->aead, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, (void *)(body + body_len)) &&
	       EVP_DecryptFinal_ex(crypto->aead, crypto->plain + n, &n) > 0;
}
