/* SPDX-License-Identifier: MIT */
/* quic_lb: see quic_lb.h. */
#include "quic_lb.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "bpf/siphash.h"

enum {
	AES_BLOCK_LEN = 16,
	HALF_MAX = (QUIC_LB_BODY_MAX + 1) / 2,
};

enum form {
	FORM_ABSENT,
	FORM_PLAIN,
	FORM_ONE_PASS,   /* server ID and nonce are one AES block */
	FORM_FOUR_PASSES,
};

/* A server ID, zeros, and a last byte of 1, which no ID reaches: so none equals a free slot. */
struct id {
	uint64_t words[2];
};

struct slot {
	struct id id;    /* all zero: free */
	uint32_t server;
};

struct quic_lb_config {
	enum form form;
	uint8_t server_id_len;
	uint8_t body_len;                  /* of server ID and nonce */
	uint8_t half_len;                  /* half of that, rounded up: the halves share a byte when it is odd */
	uint8_t left_mask, right_mask;     /* of that byte: a half's own nibble; all of it when the length is even */
	uint8_t key[QUIC_LB_KEY_LEN];
	struct slot *slots;                /* linear probing, at most half of them used */
	size_t slot_mask;
};

struct quic_lb {
	struct siphash_key hash_key;
	struct quic_lb_config configs[QUIC_LB_CONFIGS_MAX]; /* by rotation */
};

struct quic_lb_crypto {
	EVP_CIPHER_CTX *aes[QUIC_LB_CONFIGS_MAX];           /* by rotation; NULL: plain or absent */
};

/* --- server ID -> server --------------------------------------------------------------------------- */

static struct id id_make(const uint8_t *bytes, size_t len)
{
	uint8_t padded[sizeof(struct id)] = { [sizeof(struct id) - 1] = 1 };
	struct id id;

	memcpy(padded, bytes, len);
	memcpy(id.words, padded, sizeof(id.words));
	return id;
}

static bool id_equal(const struct id *a, const struct id *b)
{
	return a->words[0] == b->words[0] && a->words[1] == b->words[1];
}

/* The slot that holds the ID, or the free one where it would be. */
static struct slot *slot_find(const struct quic_lb *lb, const struct quic_lb_config *config, const struct id *id)
{
	static const struct id none;
	struct siphash s = siphash_init(&lb->hash_key);
	size_t at;

	siphash_word(&s, id->words[0]);
	siphash_word(&s, id->words[1]);
	at = siphash_final(&s) & config->slot_mask;
	while (!id_equal(&config->slots[at].id, id) && !id_equal(&config->slots[at].id, &none))
		at = (at + 1) & config->slot_mask;
	return &config->slots[at];
}

static int servers_add(const struct quic_lb *lb, struct quic_lb_config *config, const struct quic_lb_options *options)
{
	size_t slots = 2;

	while (slots < options->server_count * 2)
		slots *= 2;
	config->slots = calloc(slots, sizeof(*config->slots));
	if (!config->slots)
		return -ENOMEM;
	config->slot_mask = slots - 1;
	for (size_t i = 0; i < options->server_count; i++) {
		const struct id id = id_make(options->servers[i].id, options->server_id_len);
		struct slot *slot = slot_find(lb, config, &id);

		if (id_equal(&slot->id, &id))
			return -EINVAL;
		*slot = (struct slot){ .id = id, .server = options->servers[i].server };
	}
	return 0;
}

/* --- making and ending ----------------------------------------------------------------------------- */

static int config_add(struct quic_lb *lb, const struct quic_lb_options *options)
{
	unsigned body_len = options->server_id_len + options->nonce_len;
	struct quic_lb_config *config;

	if (options->rotation >= QUIC_LB_CONFIGS_MAX || options->server_id_len < 1 ||
	    options->server_id_len > QUIC_LB_SERVER_ID_MAX || options->nonce_len < QUIC_LB_NONCE_MIN ||
	    options->nonce_len > QUIC_LB_NONCE_MAX || body_len > QUIC_LB_BODY_MAX || options->server_count == 0)
		return -EINVAL;
	config = &lb->configs[options->rotation];
	if (config->form != FORM_ABSENT)
		return -EINVAL;
	config->form = !options->key ? FORM_PLAIN : body_len == AES_BLOCK_LEN ? FORM_ONE_PASS : FORM_FOUR_PASSES;
	config->server_id_len = options->server_id_len;
	config->body_len = (uint8_t)body_len;
	config->half_len = (uint8_t)((body_len + 1) / 2);
	config->left_mask = body_len % 2 ? 0xf0 : 0xff;
	config->right_mask = body_len % 2 ? 0x0f : 0xff;
	if (options->key)
		memcpy(config->key, options->key, QUIC_LB_KEY_LEN);
	return servers_add(lb, config, options);
}

int quic_lb_new(struct quic_lb **out, const struct quic_lb_options *options, unsigned count)
{
	struct quic_lb *lb = calloc(1, sizeof(*lb));
	int err = lb ? 0 : -ENOMEM;

	if (!err && getrandom(&lb->hash_key, sizeof(lb->hash_key), 0) < 0)
		err = -errno;
	for (unsigned i = 0; !err && i < count; i++)
		err = config_add(lb, &options[i]);
	if (err) {
		quic_lb_free(lb);
		return err;
	}
	*out = lb;
	return 0;
}

void quic_lb_free(struct quic_lb *lb)
{
	if (!lb)
		return;
	for (unsigned i = 0; i < QUIC_LB_CONFIGS_MAX; i++)
		free(lb->configs[i].slots);
	OPENSSL_cleanse(lb, sizeof(*lb));
	free(lb);
}

struct quic_lb_crypto *quic_lb_crypto_new(const struct quic_lb *lb)
{
	struct quic_lb_crypto *crypto = calloc(1, sizeof(*crypto));

	for (unsigned i = 0; crypto && i < QUIC_LB_CONFIGS_MAX; i++) {
		const struct quic_lb_config *config = &lb->configs[i];
		bool forward = config->form == FORM_FOUR_PASSES; /* undone by the same encryptions in reverse order */

		if (config->form != FORM_ONE_PASS && config->form != FORM_FOUR_PASSES)
			continue;
		crypto->aes[i] = EVP_CIPHER_CTX_new();
		if (!crypto->aes[i] ||
		    !EVP_CipherInit_ex2(crypto->aes[i], EVP_aes_128_ecb(), config->key, NULL, forward, NULL) ||
		    !EVP_CIPHER_CTX_set_padding(crypto->aes[i], 0)) {
			quic_lb_crypto_free(crypto);
			return NULL;
		}
	}
	return crypto;
}

void quic_lb_crypto_free(struct quic_lb_crypto *crypto)
{
	if (!crypto)
		return;
	for (unsigned i = 0; i < QUIC_LB_CONFIGS_MAX; i++)
		EVP_CIPHER_CTX_free(crypto->aes[i]);
	free(crypto);
}

/* --- decoding -------------------------------------------------------------------------------------- */

static bool aes_block(EVP_CIPHER_CTX *aes, uint8_t out[static AES_BLOCK_LEN], const uint8_t in[static AES_BLOCK_LEN])
{
	int len;

	return EVP_CipherUpdate(aes, out, &len, in, AES_BLOCK_LEN) && len == AES_BLOCK_LEN;
}

/*
 * The draft's "Four-Pass Encryption" is a Feistel network over two halves,
 * whose round function is AES over
 *
 *     a half (half_len) | zeros | body_len (1) | pass (1)        16 bytes
 *
 * cut to half_len. In an odd body the middle byte is shared: its high nibble
 * is left's last, its low nibble right's first.
 */
struct halves {
	uint8_t left[HALF_MAX], right[HALF_MAX];
};

static void halves_unshare(const struct quic_lb_config *config, struct halves *halves)
{
	halves->left[config->half_len - 1] &= config->left_mask;
	halves->right[0] &= config->right_mask;
}

/* to ^= E(from); `to` and `from` are the halves of *halves. */
static bool pass_undo(EVP_CIPHER_CTX *aes, const struct quic_lb_config *config, struct halves *halves, uint8_t pass,
		      uint8_t *to, const uint8_t *from)
{
	uint8_t in[AES_BLOCK_LEN] = { [AES_BLOCK_LEN - 2] = config->body_len, [AES_BLOCK_LEN - 1] = pass };
	uint8_t out[AES_BLOCK_LEN];

	memcpy(in, from, config->half_len);
	if (!aes_block(aes, out, in))
		return false;
	for (unsigned i = 0; i < config->half_len; i++)
		to[i] ^= out[i];
	halves_unshare(config, halves);
	return true;
}

/* plain: as far as the server ID goes; zeros or nonce behind it. */
static bool four_passes_undo(EVP_CIPHER_CTX *aes, const struct quic_lb_config *config, const uint8_t *body,
			     uint8_t plain[static QUIC_LB_BODY_MAX])
{
	unsigned right_at = config->body_len - config->half_len;
	struct halves h;

	memcpy(h.left, body, config->half_len);
	memcpy(h.right, body + right_at, config->half_len);
	halves_unshare(config, &h);
	if (!pass_undo(aes, config, &h, 4, h.left, h.right) || !pass_undo(aes, config, &h, 3, h.right, h.left) ||
	    !pass_undo(aes, config, &h, 2, h.left, h.right))
		return false;
	memcpy(plain, h.left, config->half_len);
	memset(plain + config->half_len, 0, QUIC_LB_BODY_MAX - config->half_len);
	if (config->server_id_len <= config->body_len / 2)
		return true; /* it ends within left: the last pass would give nonce only */
	if (!pass_undo(aes, config, &h, 1, h.right, h.left))
		return false;
	for (unsigned i = 0; i < config->half_len; i++)
		plain[right_at + i] |= h.right[i];
	return true;
}

_Static_assert(QUIC_LB_BODY_MAX >= (int)AES_BLOCK_LEN, "a block fits plain");
_Static_assert(HALF_MAX <= AES_BLOCK_LEN - 2, "a half fits a block, beside two bytes");

enum quic_lb_verdict quic_lb_decode(const struct quic_lb *lb, const struct quic_lb_crypto *crypto, const uint8_t *cid,
				    size_t available, uint32_t *server, unsigned *cid_len)
{
	const struct quic_lb_config *config;
	uint8_t decrypted[QUIC_LB_BODY_MAX];
	const uint8_t *plain = decrypted;
	const struct slot *slot;
	unsigned rotation;
	bool done = true;
	struct id id;

	if (available == 0)
		return QUIC_LB_TOO_SHORT;
	rotation = quic_lb_rotation(cid);
	if (rotation == QUIC_LB_ROTATION_UNROUTABLE)
		return QUIC_LB_UNROUTABLE;
	config = &lb->configs[rotation];
	if (config->form == FORM_ABSENT)
		return QUIC_LB_UNKNOWN_CONFIG;
	if (available < 1u + config->body_len)
		return QUIC_LB_TOO_SHORT;
	*cid_len = 1u + config->body_len;
	if (config->form == FORM_PLAIN)
		plain = cid + 1;
	else if (config->form == FORM_ONE_PASS)
		done = aes_block(crypto->aes[rotation], decrypted, cid + 1);
	else
		done = four_passes_undo(crypto->aes[rotation], config, cid + 1, decrypted);
	if (!done)
		return QUIC_LB_UNKNOWN_SERVER; /* OpenSSL failed where it cannot: nobody's CID */
	id = id_make(plain, config->server_id_len);
	slot = slot_find(lb, config, &id);
	if (!id_equal(&slot->id, &id))
		return QUIC_LB_UNKNOWN_SERVER;
	*server = slot->server;
	return QUIC_LB_SERVER;
}
