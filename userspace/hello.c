/* SPDX-License-Identifier: MIT */
/*
 * hello: one datagram of a first flight: opens its Initials, hands their frames
 * to crypto_stream, and asks client_hello for the name. Worker thread and
 * sluice-inspect. The input is hostile.
 */
#include <stdlib.h>
#include <string.h>

#include "client_hello.h"
#include "crypto_stream.h"
#include "hello.h"
#include "initial.h"

struct hello_crypto {
	struct initial_opener *opener;
};

struct hello_crypto *hello_crypto_new(void)
{
	struct hello_crypto *crypto = malloc(sizeof(*crypto));

	if (!crypto)
		return NULL;
	crypto->opener = initial_opener_new();
	if (!crypto->opener) {
		free(crypto);
		return NULL;
	}
	return crypto;
}

void hello_crypto_free(struct hello_crypto *crypto)
{
	if (!crypto)
		return;
	initial_opener_free(crypto->opener);
	free(crypto);
}

void hello_begin(struct hello *hello, const struct quic_cid *original_dcid)
{
	uint32_t words = (hello->crypto_end + 63) / 64;

	memset(hello->received, 0, words * sizeof(hello->received[0]));
	hello->original_dcid = *original_dcid;
	hello->keys_ready = 0;
	hello->largest_pn = -1;
	hello->crypto_len = 0;
	hello->crypto_end = 0;
	hello->name[0] = '\0';
}

/* RFC 9369 s4: the version may change within a handshake; the DCID that makes the keys does not. */
static const struct initial_keys *keys_of(struct hello *hello, struct hello_crypto *crypto, uint32_t version)
{
	unsigned i = version == QUIC_VERSION_2;

	if (!(hello->keys_ready & 1u << i)) {
		initial_derive(crypto->opener, &hello->keys[i], version, &hello->original_dcid);
		hello->keys_ready |= (uint8_t)(1u << i);
	}
	return &hello->keys[i];
}

/* What the datagram's packets amount to; each step only ever raises it. */
enum progress { NOTHING, TOO_SHORT, NOT_AUTHENTIC, AUTHENTIC, BAD_FRAMES };

static enum progress feed_initial(struct hello *hello, struct hello_crypto *crypto, const uint8_t *data,
				  const struct quic_long *packet)
{
	const struct initial_keys *keys = keys_of(hello, crypto, packet->version);
	const uint8_t *frames;
	size_t len;

	switch (initial_open(crypto->opener, keys, data, packet, &hello->largest_pn, &frames, &len)) {
	case INITIAL_OPENED:
		return crypto_stream_feed(hello, frames, len) ? AUTHENTIC : BAD_FRAMES;
	case INITIAL_TOO_SHORT:
		return TOO_SHORT;
	case INITIAL_NOT_AUTHENTIC:
		break;
	}
	return NOT_AUTHENTIC;
}

/*
 * RFC 9000 s12.2: further packets follow as long as the Length of the one
 * before leaves room; one with another DCID than the first is to be ignored,
 * and so is all behind it, since nobody honest sends it.
 */
static enum progress feed_packets(struct hello *hello, struct hello_crypto *crypto, const uint8_t *datagram,
				  size_t len, const struct quic_long *first)
{
	enum progress best = NOTHING;
	struct quic_long packet = *first;
	size_t at = 0;

	for (;;) {
		if (packet.type == QUIC_INITIAL) {
			enum progress now = feed_initial(hello, crypto, datagram + at, &packet);

			best = now > best ? now : best;
		}
		at += packet.packet_len;
		if (best == BAD_FRAMES || at >= len || quic_parse(&packet, datagram + at, len - at) != QUIC_LONG ||
		    !quic_cid_equal(&packet.dcid, &first->dcid))
			return best;
	}
}

static bool version_known(uint32_t version)
{
	return version == QUIC_VERSION_1 || version == QUIC_VERSION_2 || version == QUIC_VERSION_NEGOTIATION;
}

enum hello_verdict hello_feed(struct hello *hello, struct hello_crypto *crypto, const uint8_t *datagram, size_t len)
{
	struct quic_long first = { 0 };

	switch (quic_parse(&first, datagram, len)) {
	case QUIC_SHORT:
		return HELLO_NOT_INITIAL;
	case QUIC_CID_TOO_LONG:
		return version_known(first.version) ? HELLO_MALFORMED_PACKET : HELLO_UNSUPPORTED_VERSION;
	case QUIC_TRUNCATED:
		return HELLO_MALFORMED_PACKET;
	case QUIC_LONG:
		break;
	}
	if (first.type == QUIC_OTHER_VERSION)
		return HELLO_UNSUPPORTED_VERSION;
	switch (feed_packets(hello, crypto, datagram, len, &first)) {
	case NOTHING:
		return HELLO_NOT_INITIAL;
	case TOO_SHORT:
		return HELLO_MALFORMED_PACKET;
	case NOT_AUTHENTIC:
		return HELLO_DECRYPT_FAILED;
	case BAD_FRAMES:
		return HELLO_BAD_CRYPTO;
	case AUTHENTIC:
		break;
	}
	return client_hello_name(hello->crypto, hello->crypto_len, hello->name);
}
