/* SPDX-License-Identifier: MIT */
/*
 * quic: parses the clear part of QUIC packets. Any thread; pure. The input is
 * hostile: all reading goes through a cursor that does not pass the end.
 */
#include <string.h>

#include "quic.h"

enum {
	LONG_HEADER = 0x80,
	RETRY_INTEGRITY_TAG_LEN = 16, /* RFC 9001 s5.8 */
};

struct cursor {
	const uint8_t *data;
	size_t at, len;
};

size_t quic_varint(const uint8_t *data, size_t len, uint64_t *value)
{
	size_t width;
	uint64_t v;

	if (len == 0)
		return 0;
	width = (size_t)1 << (data[0] >> 6);
	if (width > len)
		return 0;
	v = data[0] & 0x3f;
	for (size_t i = 1; i < width; i++)
		v = v << 8 | data[i];
	*value = v;
	return width;
}

struct quic_cid quic_cid_make(const uint8_t *data, size_t len)
{
	struct quic_cid cid = { .len = (uint8_t)len };

	memcpy(cid.bytes, data, len);
	return cid;
}

static bool take_varint(struct cursor *c, uint64_t *value)
{
	size_t used = quic_varint(c->data + c->at, c->len - c->at, value);

	c->at += used;
	return used != 0;
}

/* RFC 8999 s5.1: a length byte and as many bytes. */
static enum quic_verdict take_cid(struct cursor *c, struct quic_cid *cid)
{
	size_t len;

	if (c->at >= c->len)
		return QUIC_TRUNCATED;
	len = c->data[c->at++];
	if (len > c->len - c->at)
		return QUIC_TRUNCATED;
	if (len > CID_LEN_MAX)
		return QUIC_CID_TOO_LONG;
	*cid = quic_cid_make(c->data + c->at, len);
	c->at += len;
	return QUIC_LONG;
}

/* RFC 9000 s17.2, RFC 9369 s3.2: version 2 counts its types from Retry. */
static enum quic_type long_type(uint8_t first, uint32_t version)
{
	static const enum quic_type v1[4] = { QUIC_INITIAL, QUIC_0RTT, QUIC_HANDSHAKE, QUIC_RETRY };
	unsigned bits = first >> 4 & 3;

	return version == QUIC_VERSION_2 ? v1[(bits - 1) & 3] : v1[bits];
}

/*
 * What follows the SCID in v1 and v2 (RFC 9000 s17.2.2 to s17.2.4):
 *
 *     Initial only: Token Length (i), Token (..)
 *     Length (i), Packet Number (8..32, protected), Packet Payload (..)
 */
static enum quic_verdict parse_numbered(struct quic_long *packet, struct cursor *c)
{
	uint64_t len;

	if (packet->type == QUIC_INITIAL) {
		if (!take_varint(c, &len) || len > c->len - c->at)
			return QUIC_TRUNCATED;
		packet->token_offset = (uint16_t)c->at;
		packet->token_len = (uint16_t)len;
		c->at += len;
	}
	if (!take_varint(c, &len) || len > c->len - c->at)
		return QUIC_TRUNCATED;
	packet->pn_offset = (uint16_t)c->at;
	packet->packet_len = (uint16_t)(c->at + len);
	return QUIC_LONG;
}

static enum quic_verdict parse_long(struct quic_long *packet, struct cursor *c)
{
	enum quic_verdict verdict;

	if (c->len < 5)
		return QUIC_TRUNCATED;
	for (int i = 1; i < 5; i++)
		packet->version = packet->version << 8 | c->data[i];
	c->at = 5;
	if (packet->version == QUIC_VERSION_NEGOTIATION)
		packet->type = QUIC_VERSION_NEG;
	else if (packet->version == QUIC_VERSION_1 || packet->version == QUIC_VERSION_2)
		packet->type = long_type(c->data[0], packet->version);
	verdict = take_cid(c, &packet->dcid);
	if (verdict == QUIC_LONG)
		verdict = take_cid(c, &packet->scid);
	if (verdict != QUIC_LONG)
		return verdict;
	switch (packet->type) {
	case QUIC_INITIAL:
	case QUIC_0RTT:
	case QUIC_HANDSHAKE:
		return parse_numbered(packet, c);
	case QUIC_RETRY:
		if (c->len - c->at < RETRY_INTEGRITY_TAG_LEN)
			return QUIC_TRUNCATED;
		break;
	case QUIC_VERSION_NEG:
	case QUIC_OTHER_VERSION:
		break;
	}
	/* RFC 9000 s12.2: without a Length nothing can follow in the datagram. */
	packet->packet_len = (uint16_t)c->len;
	return QUIC_LONG;
}

enum quic_verdict quic_parse(struct quic_long *packet, const uint8_t *data, size_t len)
{
	struct cursor c = { .data = data, .len = len < UINT16_MAX ? len : UINT16_MAX };

	if (len == 0)
		return QUIC_TRUNCATED;
	if (!(data[0] & LONG_HEADER))
		return QUIC_SHORT;
	memset(packet, 0, sizeof(*packet));
	packet->type = QUIC_OTHER_VERSION;
	return parse_long(packet, &c);
}
