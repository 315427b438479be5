/* SPDX-License-Identifier: MIT */
/*
 * crypto_stream: the frames of an Initial packet, and the bytes of its CRYPTO
 * frames put in order in a struct hello. Worker thread and sluice-inspect;
 * pure. The input is hostile: that it authenticated says nothing, anyone can
 * make the keys.
 */
#ifndef SLUICE_CRYPTO_STREAM_H
#define SLUICE_CRYPTO_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hello.h"

/*
 * Takes in the frames of one Initial. hello->crypto_len is the end of what is
 * contiguous then. False: a frame that Initials may not hold (RFC 9000 s12.4
 * table 3), one cut short, none at all, or CRYPTO beyond HELLO_BYTES_MAX; the
 * frames before it have been taken in.
 */
bool crypto_stream_feed(struct hello *hello, const uint8_t *frames, size_t len);

#endif
