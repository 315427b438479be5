/* SPDX-License-Identifier: MIT */
/*
 * fuzz_hello: the datagrams of one flight. The input is a list of them: a byte
 * of flags, a length (16), and so many bytes, which are
 *
 *     flag 1 clear   the frames of an Initial, to be protected here
 *     flag 1 set     a whole datagram
 *     flag 2         version 2 instead of 1
 *     flag 4         a DCID of the server's choice
 *
 * A plain model of the reassembly, a byte at a time, runs beside the real one.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/lib/initial_writer.h"
#include "userspace/crypto_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FLAG_WHOLE = 1, FLAG_V2 = 2, FLAG_SERVER_CID = 4, FRAMES_MAX = 8000 };

static struct hello_crypto *crypto;
static struct hello *hello;
static int model[HELLO_BYTES_MAX]; /* -1: not received */

static void require(bool holds)
{
	if (!holds)
		abort();
}

/* PADDING, PING and CRYPTO, a byte at a time. False: there was something else, and the model ends. */
static bool model_feed(const uint8_t *frames, size_t len)
{
	for (size_t at = 0; at < len;) {
		uint64_t offset, count;
		size_t used;

		if (frames[at] < 2) {
			at++;
			continue;
		}
		if (frames[at++] != 6)
			return false;
		used = quic_varint(frames + at, len - at, &offset);
		at += used;
		if (!used || !(used = quic_varint(frames + at, len - at, &count)) || count > len - at - used)
			return false;
		at += used;
		for (uint64_t i = 0; i < count; i++) {
			if (offset + i >= HELLO_BYTES_MAX)
				return false;
			if (model[offset + i] < 0)
				model[offset + i] = frames[at + i];
		}
		at += count;
	}
	return true;
}

static void check(bool compare)
{
	require(hello->crypto_len <= hello->crypto_end && hello->crypto_end <= HELLO_BYTES_MAX);
	for (uint32_t i = 0; i < HELLO_BYTES_MAX; i++) {
		bool received = hello->received[i / 64] >> i % 64 & 1;

		require(received || i >= hello->crypto_len);
		require(!received || i < hello->crypto_end);
		if (compare)
			require(received ? model[i] == hello->crypto[i] : model[i] < 0);
	}
	require(hello->crypto_len == HELLO_BYTES_MAX ||
		!(hello->received[hello->crypto_len / 64] >> hello->crypto_len % 64 & 1));
}

static enum hello_verdict feed(struct initial_spec *spec, uint8_t flags, const uint8_t *bytes, size_t len)
{
	static uint8_t datagram[FRAMES_MAX + 200];

	if (flags & FLAG_WHOLE)
		return hello_feed(hello, crypto, bytes, len);
	spec->version = flags & FLAG_V2 ? QUIC_VERSION_2 : QUIC_VERSION_1;
	spec->dcid = flags & FLAG_SERVER_CID ? cid_from_hex("5e5e5e5e") : spec->key_dcid;
	spec->size = 0;
	len = initial_write(datagram, spec, bytes, len);
	spec->pn++;
	return hello_feed(hello, crypto, datagram, len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct initial_spec spec = initial_spec_default();
	bool compare = true;

	if (!crypto) {
		crypto = hello_crypto_new();
		hello = calloc(1, sizeof(*hello));
		require(crypto && hello);
	}
	hello_begin(hello, &spec.key_dcid);
	memset(model, 0xff, sizeof(model));
	for (int datagrams = 0; datagrams < 16 && size >= 3; datagrams++) {
		size_t len = (size_t)data[1] << 8 | data[2];
		uint8_t flags = data[0];
		enum hello_verdict verdict;

		data += 3;
		size -= 3;
		len = len < size ? len : size;
		len = len < FRAMES_MAX ? len : FRAMES_MAX;
		/* bytes that a whole datagram might bring are not the model's matter */
		compare = compare && !(flags & FLAG_WHOLE) && model_feed(data, len);
		verdict = feed(&spec, flags, data, len);
		if (verdict == HELLO_BAD_CRYPTO || verdict == HELLO_BAD_CLIENT_HELLO)
			break;
		check(compare);
		if (verdict == HELLO_SNI || verdict == HELLO_NO_SNI)
			break;
		data += len;
		size -= len;
	}
	return 0;
}
