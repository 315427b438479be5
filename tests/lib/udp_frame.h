/* SPDX-License-Identifier: MIT */
/* udp_frame: Ethernet frames around a UDP payload, and the check of their checksums. Tests. */
#ifndef SLUICE_UDP_FRAME_H
#define SLUICE_UDP_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct udp_flow {
	const char *src;         /* numeric; both of one family */
	uint16_t src_port;
	const char *dst;
	uint16_t dst_port;
	uint8_t ttl;             /* 0: 64 */
	uint8_t tos;
	bool dont_fragment;      /* IPv4 */
};

/* The frame's length; out has room for 62 bytes more than the payload. */
size_t udp_frame_write(uint8_t *out, const struct udp_flow *flow, const void *payload, size_t len);

/* IPv4 header checksum and UDP checksum, computed anew over the whole frame. */
bool udp_frame_checksums_are_right(const uint8_t *frame, size_t len);

#endif
