/* SPDX-License-Identifier: MIT */
/*
 * fuzz_packet: one frame, as Ethernet and as IP. Every field of the view must
 * point into the frame.
 */
#include <stdlib.h>
#include <string.h>

#include "userspace/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void check(const struct packet *p, enum packet_verdict verdict, size_t size)
{
	if (verdict != PACKET_UDP && verdict != PACKET_FRAGMENT)
		return;
	require(p->frame_len_bytes <= size);
	require(p->l4_offset >= p->l3_offset + (p->v4 ? 20 : 40));
	require(p->l4_offset + 4u <= p->frame_len_bytes);
	require(p->v4 == (p->frame[p->l3_offset] >> 4 == 4));
	if (verdict == PACKET_UDP)
		require(p->l4_offset + 8u + p->payload_len_bytes <= p->frame_len_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *frame;
	struct packet packet;

	if (size > 70000)
		return 0;
	/* A copy: the view is of a frame that may be changed, and the parser must not. */
	frame = malloc(size + !size);
	require(frame);
	memcpy(frame, data, size);
	check(&packet, packet_parse(&packet, frame, (uint32_t)size), size);
	for (uint16_t offset = 0; offset < 4; offset++)
		check(&packet, packet_parse_ip(&packet, frame, (uint32_t)size, offset), size);
	require(memcmp(frame, data, size) == 0);
	free(frame);
	return 0;
}
