/* SPDX-License-Identifier: MIT */
/*
 * initial_writer: ClientHellos and protected Initials for tests; see the
 * header. Aborts on misuse: a test that cannot make its input is a wrong test.
 */
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "initial_writer.h"

enum {
	SECRET_LEN = 32,
	TAG_LEN = 16,
	DATAGRAM_MAX = 65535,
};

static void must(bool holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "initial_writer: %s\n", what);
		abort();
	}
}

static void hkdf(int mode, const uint8_t *key, size_t key_len, const char *param, const uint8_t *value,
		 size_t value_len, uint8_t *out, size_t out_len)
{
	OSSL_PARAM params[] = {
		OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)"SHA256", 0),
		OSSL_PARAM_int(OSSL_KDF_PARAM_MODE, &mode),
		OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, (void *)key, key_len),
		OSSL_PARAM_octet_string(param, (void *)value, value_len),
		OSSL_PARAM_END,
	};
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);

	must(context && EVP_KDF_derive(context, out, out_len, params) > 0, "HKDF failed");
	EVP_KDF_CTX_free(context);
	EVP_KDF_free(kdf);
}

/* RFC 8446 s7.1 with an empty context */
static void expand_label(const uint8_t secret[static SECRET_LEN], const char *label, uint8_t *out, size_t out_len)
{
	uint8_t info[64] = { 0, (uint8_t)out_len };
	int len = snprintf((char *)info + 3, sizeof(info) - 3, "tls13 %s", label);

	info[2] = (uint8_t)len;
	hkdf(EVP_KDF_HKDF_MODE_EXPAND_ONLY, secret, SECRET_LEN, OSSL_KDF_PARAM_INFO, info, 3 + (size_t)len + 1, out,
	     out_len);
}

/* RFC 9001 s5.2, RFC 9369 s3.3 */
static void derive(const struct initial_spec *spec, uint8_t key[static 16], uint8_t iv[static 12],
		   uint8_t hp[static 16])
{
	static const char salt_v1[] =
		"\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a";
	static const char salt_v2[] =
		"\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9";
	bool v2 = spec->version == QUIC_VERSION_2;
	uint8_t initial[SECRET_LEN], secret[SECRET_LEN];

	hkdf(EVP_KDF_HKDF_MODE_EXTRACT_ONLY, spec->key_dcid.bytes, spec->key_dcid.len, OSSL_KDF_PARAM_SALT,
	     (const uint8_t *)(v2 ? salt_v2 : salt_v1), 20, initial, sizeof(initial));
	expand_label(initial, spec->from_server ? "server in" : "client in", secret, sizeof(secret));
	expand_label(secret, v2 ? "quicv2 key" : "quic key", key, 16);
	expand_label(secret, v2 ? "quicv2 iv" : "quic iv", iv, 12);
	expand_label(secret, v2 ? "quicv2 hp" : "quic hp", hp, 16);
}

static void seal(uint8_t *out, const uint8_t key[static 16], const uint8_t nonce[static 12], const uint8_t *header,
		 size_t header_len, const uint8_t *plain, size_t plain_len)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int len;

	must(context && EVP_EncryptInit_ex(context, EVP_aes_128_gcm(), NULL, key, nonce) > 0 &&
	     EVP_EncryptUpdate(context, NULL, &len, header, (int)header_len) > 0 &&
	     EVP_EncryptUpdate(context, out, &len, plain, (int)plain_len) > 0 &&
	     EVP_EncryptFinal_ex(context, out + plain_len, &len) > 0 &&
	     EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, out + plain_len) > 0, "AES-GCM failed");
	EVP_CIPHER_CTX_free(context);
}

static void hp_mask(uint8_t mask[static 32], const uint8_t hp[static 16], const uint8_t *sample)
{
	EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
	int len;

	must(context && EVP_EncryptInit_ex(context, EVP_aes_128_ecb(), NULL, hp, NULL) > 0 &&
	     EVP_EncryptUpdate(context, mask, &len, sample, 16) > 0, "AES failed");
	EVP_CIPHER_CTX_free(context);
}

size_t varint_write(uint8_t *out, uint64_t value, size_t width)
{
	if (width == 0)
		width = value < 1 << 6 ? 1 : value < 1 << 14 ? 2 : value < 1 << 30 ? 4 : 8;
	for (size_t i = 0; i < width; i++)
		out[i] = (uint8_t)(value >> 8 * (width - 1 - i));
	out[0] |= (uint8_t)(__builtin_ctzl(width) << 6);
	return width;
}

static size_t put(uint8_t *out, const void *bytes, size_t len)
{
	memcpy(out, bytes, len);
	return len;
}

/* Up to and with the SCID */
static size_t long_header_write(uint8_t *out, enum quic_type type, uint32_t version, const struct quic_cid *dcid,
				const struct quic_cid *scid)
{
	/* RFC 9000 s17.2, RFC 9369 s3.2 */
	unsigned bits = version == QUIC_VERSION_2 ? (type + 1u) & 3 : type;
	size_t at = 0;

	out[at++] = (uint8_t)(0xc0 | bits << 4);
	for (int i = 3; i >= 0; i--)
		out[at++] = (uint8_t)(version >> 8 * i);
	out[at++] = dcid->len;
	at += put(out + at, dcid->bytes, dcid->len);
	out[at++] = scid->len;
	return at + put(out + at, scid->bytes, scid->len);
}

struct initial_spec initial_spec_default(void)
{
	struct quic_cid dcid = cid_from_hex("8394c8f03e515708");

	return (struct initial_spec){ .version = QUIC_VERSION_1, .dcid = dcid, .key_dcid = dcid, .pn_len = 1,
				      .size = QUIC_INITIAL_DATAGRAM_MIN };
}

size_t initial_write(uint8_t *out, const struct initial_spec *spec, const uint8_t *frames, size_t frames_len)
{
	uint8_t *plain = calloc(1, DATAGRAM_MAX + 1), key[16], nonce[12], hp[16], mask[32];
	size_t at = long_header_write(out, QUIC_INITIAL, spec->version, &spec->dcid, &spec->scid), pn_at, end;

	must(plain && spec->pn_len >= 1 && spec->pn_len <= 4, "pn_len is not 1..4");
	out[0] |= (uint8_t)(spec->pn_len - 1);
	at += varint_write(out + at, spec->token_len, 0);
	if (spec->token_len)
		at += put(out + at, spec->token, spec->token_len);
	pn_at = at + 2;
	/* RFC 9001 s5.4.2: enough to sample */
	end = pn_at + (spec->pn_len + frames_len < 4 ? 4 : spec->pn_len + frames_len) + TAG_LEN;
	end = end < spec->size ? spec->size : end;
	if (end - pn_at >= 1 << 14) {
		free(plain);
		return 0;
	}
	varint_write(out + at, end - pn_at, 2);
	at = pn_at;
	for (unsigned i = spec->pn_len; i-- > 0;)
		out[at++] = (uint8_t)(spec->pn >> 8 * i);
	if (frames_len)
		memcpy(plain, frames, frames_len);
	derive(spec, key, nonce, hp);
	for (int i = 0; i < 4; i++)
		nonce[11 - i] ^= (uint8_t)(spec->pn >> 8 * i);
	seal(out + at, key, nonce, out, at, plain, end - TAG_LEN - at);
	hp_mask(mask, hp, out + pn_at + 4);
	out[0] ^= mask[0] & 0xf;
	for (unsigned i = 0; i < spec->pn_len; i++)
		out[pn_at + i] ^= mask[1 + i];
	free(plain);
	return end;
}

size_t crypto_frame_write(uint8_t *out, uint64_t offset, const uint8_t *data, size_t len)
{
	size_t at = 0;

	out[at++] = 0x06;
	at += varint_write(out + at, offset, 0);
	at += varint_write(out + at, len, 0);
	return at + put(out + at, data, len);
}

size_t initial_write_crypto(uint8_t *out, const struct initial_spec *spec, const uint8_t *hello, size_t offset,
			    size_t len)
{
	uint8_t *frames = malloc(len + 32);
	size_t written;

	must(frames, "out of memory");
	written = initial_write(out, spec, frames, crypto_frame_write(frames, offset, hello + offset, len));
	free(frames);
	return written;
}

size_t opaque_packet_write(uint8_t *out, enum quic_type type, uint32_t version, const struct quic_cid *dcid,
			   const struct quic_cid *scid, size_t size)
{
	size_t at = long_header_write(out, type, version, dcid, scid);

	must(size >= at + 3, "size is less than the header's");
	if (type == QUIC_INITIAL)
		out[at++] = 0;                /* token length */
	at += varint_write(out + at, size - at - 2, 2);
	memset(out + at, 0xaa, size - at);
	return size;
}

static size_t put_u16(uint8_t *out, size_t value)
{
	out[0] = (uint8_t)(value >> 8);
	out[1] = (uint8_t)value;
	return 2;
}

/* RFC 8446 s4.1.2: what every TLS 1.3 client sends, without its key share. */
size_t client_hello_write(uint8_t *out, const char *sni, size_t filler)
{
	static const uint8_t versions[] = { 0, 43, 0, 3, 2, 3, 4 };
	size_t at = 4, extensions;

	at += put_u16(out + at, 0x0303);
	for (int i = 0; i < 32; i++)
		out[at++] = (uint8_t)(0x40 + i);
	out[at++] = 0;                        /* RFC 9001 s8.4: no legacy_session_id */
	at += put_u16(out + at, 2);
	at += put_u16(out + at, 0x1301);
	at += put(out + at, "\x01", 2);       /* one compression method: null */
	extensions = at;
	at += 2 + put(out + at + 2, versions, sizeof(versions));
	if (filler) {
		at += put_u16(out + at, 21);  /* RFC 7685 */
		at += put_u16(out + at, filler);
		memset(out + at, 0, filler);
		at += filler;
	}
	if (sni) {
		size_t len = strlen(sni);

		at += put_u16(out + at, 0);
		at += put_u16(out + at, len + 5);
		at += put_u16(out + at, len + 3);
		out[at++] = 0;
		at += put_u16(out + at, len);
		at += put(out + at, sni, len);
	}
	put_u16(out + extensions, at - extensions - 2);
	out[0] = 1;
	out[1] = (uint8_t)((at - 4) >> 16);
	put_u16(out + 2, at - 4);
	return at;
}

struct quic_cid cid_from_hex(const char *hex)
{
	struct quic_cid cid = { .len = (uint8_t)(strlen(hex) / 2) };

	must(cid.len <= CID_LEN_MAX, "CID too long");
	for (size_t i = 0; i < cid.len; i++) {
		unsigned byte;

		must(sscanf(hex + 2 * i, "%2x", &byte) == 1, "CID is not in hexadecimal");
		cid.bytes[i] = (uint8_t)byte;
	}
	return cid;
}
