/* SPDX-License-Identifier: MIT */
/*
 * fuzz_quic: a datagram's packets. Offsets must be in order and inside the
 * packet, and the walk must end.
 */
#include <stdlib.h>

#include "userspace/quic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check_cid(const struct quic_cid *cid)
{
	require(cid->len <= CID_LEN_MAX);
	for (int i = cid->len; i < CID_LEN_MAX; i++)
		require(cid->bytes[i] == 0);
}

static void check(const struct quic_long *p, size_t len)
{
	size_t cids_end = 7u + p->dcid.len + p->scid.len;

	check_cid(&p->dcid);
	check_cid(&p->scid);
	require(p->packet_len <= len && p->packet_len >= cids_end);
	switch (p->type) {
	case QUIC_INITIAL:
		require(p->token_offset > cids_end && p->token_offset + p->token_len < p->pn_offset);
		require(p->pn_offset <= p->packet_len);
		break;
	case QUIC_0RTT:
	case QUIC_HANDSHAKE:
		require(p->pn_offset > cids_end && p->pn_offset <= p->packet_len);
		break;
	case QUIC_RETRY:
	case QUIC_VERSION_NEG:
	case QUIC_OTHER_VERSION:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct quic_long packet;

	for (size_t at = 0; at < size; at += packet.packet_len) {
		if (quic_parse(&packet, data + at, size - at) != QUIC_LONG)
			break;
		check(&packet, size - at);
	}
	return 0;
}
