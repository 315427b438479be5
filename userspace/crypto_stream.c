/* SPDX-License-Identifier: MIT */
/*
 * crypto_stream: walks an Initial's frames and reassembles CRYPTO byte by byte.
 * Worker thread and sluice-inspect; pure. The input is hostile.
 */
#include <string.h>

#include "crypto_stream.h"

/* RFC 9000 s19; all that s12.4 allows in an Initial */
enum frame_type {
	FRAME_PADDING = 0x00,
	FRAME_PING = 0x01,
	FRAME_ACK = 0x02,
	FRAME_ACK_ECN = 0x03,
	FRAME_CRYPTO = 0x06,
	FRAME_CONNECTION_CLOSE = 0x1c,
};

enum { WORD_BITS = 64 };

struct frames {
	const uint8_t *at, *end;
};

static bool take_varint(struct frames *f, uint64_t *value)
{
	size_t used = quic_varint(f->at, (size_t)(f->end - f->at), value);

	f->at += used;
	return used != 0;
}

static bool skip_varints(struct frames *f, uint64_t count)
{
	uint64_t value;

	/* Each takes a byte at least, so the end of the packet bounds the loop. */
	while (count-- > 0) {
		if (!take_varint(f, &value))
			return false;
	}
	return true;
}

/* A length and as many bytes. */
static bool take_bytes(struct frames *f, const uint8_t **bytes, uint64_t *len)
{
	if (!take_varint(f, len) || *len > (uint64_t)(f->end - f->at))
		return false;
	*bytes = f->at;
	f->at += *len;
	return true;
}

/*
 * RFC 9000 s19.3
 *
 *     Largest Acknowledged (i), ACK Delay (i), ACK Range Count (i), First ACK Range (i),
 *     ACK Range Count times: Gap (i), ACK Range Length (i)
 *     type 0x03 only: ECT0 Count (i), ECT1 Count (i), ECN-CE Count (i)
 */
static bool skip_ack(struct frames *f, bool ecn)
{
	uint64_t ranges;

	return skip_varints(f, 2) && take_varint(f, &ranges) && skip_varints(f, 1) && skip_varints(f, 2 * ranges) &&
	       skip_varints(f, ecn ? 3 : 0);
}

/* RFC 9000 s19.19: Error Code (i), Frame Type (i), Reason Phrase Length (i), Reason Phrase (..) */
static bool skip_close(struct frames *f)
{
	const uint8_t *reason;
	uint64_t len;

	return skip_varints(f, 2) && take_bytes(f, &reason, &len);
}

/* The first byte to arrive at a place stays: what comes later must not change what has been routed by. */
static void store(struct hello *hello, uint32_t at, const uint8_t *bytes, uint32_t len)
{
	while (len > 0) {
		uint64_t *received = &hello->received[at / WORD_BITS];
		uint32_t bit = at % WORD_BITS;
		uint32_t n = len < WORD_BITS - bit ? len : WORD_BITS - bit;
		uint64_t range = (UINT64_MAX >> (WORD_BITS - n)) << bit;
		uint64_t fresh = range & ~*received;

		if (fresh == range) {
			memcpy(hello->crypto + at, bytes, n);
		} else {
			for (uint64_t left = fresh >> bit; left; left &= left - 1) {
				int i = __builtin_ctzll(left);

				hello->crypto[at + (uint32_t)i] = bytes[i];
			}
		}
		*received |= range;
		at += n;
		bytes += n;
		len -= n;
	}
}

static void advance(struct hello *hello)
{
	while (hello->crypto_len < hello->crypto_end) {
		uint32_t bit = hello->crypto_len % WORD_BITS;
		uint64_t missing = ~hello->received[hello->crypto_len / WORD_BITS] >> bit;

		if (missing) {
			hello->crypto_len += (uint32_t)__builtin_ctzll(missing);
			return;
		}
		hello->crypto_len += WORD_BITS - bit;
	}
}

/* RFC 9000 s19.6: Offset (i), Length (i), Crypto Data (..) */
static bool take_crypto(struct hello *hello, struct frames *f)
{
	const uint8_t *bytes;
	uint64_t offset, len;

	if (!take_varint(f, &offset) || !take_bytes(f, &bytes, &len) || offset > HELLO_BYTES_MAX ||
	    len > HELLO_BYTES_MAX - offset)
		return false;
	store(hello, (uint32_t)offset, bytes, (uint32_t)len);
	if (hello->crypto_end < offset + len)
		hello->crypto_end = (uint32_t)(offset + len);
	return true;
}

/* Padding is most of many an Initial: one byte a step of the frame walk would cost more than its decryption. */
static void skip_padding(struct frames *f)
{
	uint64_t word;

	while (f->end - f->at >= (ptrdiff_t)sizeof(word)) {
		memcpy(&word, f->at, sizeof(word));
		if (word != 0)
			break;
		f->at += sizeof(word);
	}
	while (f->at < f->end && *f->at == FRAME_PADDING)
		f->at++;
}

static bool take_frame(struct hello *hello, struct frames *f)
{
	uint64_t type;

	/* RFC 9000 s12.4: a type that is not encoded in its shortest form may be refused; need not be. */
	if (!take_varint(f, &type))
		return false;
	switch (type) {
	case FRAME_PADDING:
		skip_padding(f);
		return true;
	case FRAME_PING:
		return true;
	case FRAME_ACK:
	case FRAME_ACK_ECN:
		return skip_ack(f, type == FRAME_ACK_ECN);
	case FRAME_CRYPTO:
		return take_crypto(hello, f);
	case FRAME_CONNECTION_CLOSE:
		return skip_close(f);
	default:
		return false;
	}
}

bool crypto_stream_feed(struct hello *hello, const uint8_t *frames, size_t len)
{
	struct frames f = { frames, frames + len };

	/* RFC 9000 s12.4: a packet without frames is a violation. */
	if (len == 0)
		return false;
	while (f.at < f.end) {
		if (!take_frame(hello, &f))
			return false;
	}
	advance(hello);
	return true;
}
