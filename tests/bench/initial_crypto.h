/* SPDX-License-Identifier: MIT */
/*
 * initial_crypto: the baseline of Initials: the cryptography of RFC 9001 that
 * reading one cannot do without, by OpenSSL, and nothing else: where things
 * stand in the packet is known beforehand. Keys by HKDF from the DCID, the
 * header protection's mask, AES-128-GCM over the payload.
 *
 * OpenSSL's quickest public calls are used, and what does not depend on the
 * packet is done once: EVP_KDF would make it 4 times slower and any relay look
 * good beside it.
 */
#ifndef SLUICE_BENCH_INITIAL_CRYPTO_H
#define SLUICE_BENCH_INITIAL_CRYPTO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct initial_crypto;

struct initial_crypto *initial_crypto_new(void);
void initial_crypto_free(struct initial_crypto *crypto);

/*
 * Opens a v1 Initial with a DCID of 8 bytes, an SCID of none and no token that
 * fills the datagram; its packet number takes 1 byte and is 0. False: not authentic.
 */
bool initial_crypto_open(struct initial_crypto *crypto, const uint8_t *datagram, size_t len);

#endif
