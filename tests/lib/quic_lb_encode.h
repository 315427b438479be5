/* SPDX-License-Identifier: MIT */
/*
 * quic_lb_encode: makes QUIC-LB connection IDs as a server does. Tests; it
 * trusts its caller and aborts on misuse.
 *
 * It shares no code with userspace/quic_lb.c, and works on nibbles where that
 * works on bytes, so that one checks the other.
 */
#ifndef SLUICE_TESTS_QUIC_LB_ENCODE_H
#define SLUICE_TESTS_QUIC_LB_ENCODE_H

#include <stddef.h>
#include <stdint.h>

#include "userspace/quic.h"

/*
 * The CID of this server ID and nonce (19 bytes at most together). first_octet:
 * config rotation and the five bits beside it. key: 16 bytes, NULL: plain.
 */
struct quic_cid quic_lb_encode(uint8_t first_octet, const uint8_t *key, const uint8_t *server_id, size_t server_id_len,
			       const uint8_t *nonce, size_t nonce_len);

#endif
