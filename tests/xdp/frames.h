/* SPDX-License-Identifier: MIT */
/*
 * frames: Ethernet frames for tests, built from a description, with checksums
 * computed from scratch (nothing of the code under test is used).
 */
#ifndef SLUICE_TEST_FRAMES_H
#define SLUICE_TEST_FRAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"

enum { FRAME_MAX = 3400 };

/* Addresses as text: IPv4 or IPv6, both of one family. */
struct flow {
	const char *src;
	uint16_t sport;
	const char *dst;
	uint16_t dport;
};

/* What is left out is what an ordinary short header packet has. */
struct frame {
	struct flow flow;
	const char *cid;             /* hex, from the second byte of the payload on */
	uint16_t payload_len;        /* 0: 60, unless empty */
	bool empty;                  /* no payload */
	uint8_t first_byte;          /* 0: 0x40, a short header */
	uint8_t fill;                /* seed of the bytes behind the CID */
	uint8_t tos;                 /* or traffic class */
	uint8_t ttl;                 /* 0: 64 */
	bool udp_checksum_none;
	uint8_t ip_option_words;     /* IPv4: this many words of NOPs */
	const char *extensions;      /* IPv6: hex of the extension headers, the last one naming UDP */
	uint8_t first_extension;     /* their first one's protocol number */
	bool plain;                  /* as the relay writes a header of the other family: no ID, no flow label */
	uint8_t padding;             /* bytes behind the IP packet */
	void (*damage)(uint8_t *bytes, uint32_t *len); /* applied last */
};

struct macs {
	uint8_t dst[6], src[6];
};

struct addr addr_of(const char *text);

/* Bytes of hex; returns their number. */
unsigned hex_bytes(const char *hex, uint8_t *bytes, unsigned max);

/* Writes the frame to bytes[FRAME_MAX]; returns its length. */
uint32_t frame_build(const struct frame *frame, const struct macs *macs, uint8_t *bytes);

bool frame_is_v4(const struct frame *frame);

/* Offset of the UDP header of a built frame. */
uint32_t frame_udp_offset(const struct frame *frame);

#endif
