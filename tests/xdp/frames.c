/* SPDX-License-Identifier: MIT */
/* frames: see frames.h. */
#include "frames.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ETH_LEN = 14, IPV4_LEN = 20, IPV6_LEN = 40, UDP_LEN = 8, PROTOCOL_UDP = 17 };

static void die(const char *what, const char *value)
{
	fprintf(stderr, "frames: %s: %s\n", what, value);
	abort();
}

struct addr addr_of(const char *text)
{
	struct addr addr;
	char mapped[64];

	snprintf(mapped, sizeof(mapped), "%s%s", strchr(text, ':') ? "" : "::ffff:", text);
	if (inet_pton(AF_INET6, mapped, addr.bytes) != 1)
		die("not an address", text);
	return addr;
}

unsigned hex_bytes(const char *hex, uint8_t *bytes, unsigned max)
{
	unsigned n = 0;

	for (; hex && hex[0] && hex[1]; hex += 2, n++) {
		unsigned byte;

		if (n == max || sscanf(hex, "%2x", &byte) != 1)
			die("not hex, or too long", hex);
		bytes[n] = (uint8_t)byte;
	}
	return n;
}

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* RFC 1071: the one's complement sum of 16-bit words, an odd last byte padded with zero. */
static uint32_t sum(uint32_t so_far, const uint8_t *bytes, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		so_far += (uint32_t)bytes[i] << (i % 2 ? 0 : 8);
	return so_far;
}

static uint16_t folded(uint32_t s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (uint16_t)~s;
}

bool frame_is_v4(const struct frame *frame)
{
	return !strchr(frame->flow.dst, ':');
}

static uint32_t extensions_len(const struct frame *frame)
{
	return frame->extensions ? (uint32_t)strlen(frame->extensions) / 2 : 0;
}

uint32_t frame_udp_offset(const struct frame *frame)
{
	return frame_is_v4(frame) ? ETH_LEN + IPV4_LEN + frame->ip_option_words * 4u :
				    ETH_LEN + IPV6_LEN + extensions_len(frame);
}

static uint32_t payload_build(const struct frame *frame, uint8_t *payload)
{
	uint32_t len = frame->empty ? 0 : frame->payload_len ? frame->payload_len : 60;
	uint8_t cid[CID_LEN_MAX];
	unsigned cid_len = hex_bytes(frame->cid, cid, sizeof(cid));

	for (uint32_t i = 0; i < len; i++) {
		if (i == 0)
			payload[i] = frame->first_byte ? frame->first_byte : 0x40;
		else if (i <= cid_len)
			payload[i] = cid[i - 1];
		else
			payload[i] = (uint8_t)(i * 37 + frame->fill * 59 + 11);
	}
	return len;
}

static void ipv4_build(const struct frame *frame, uint8_t *ip, uint32_t udp_len)
{
	uint32_t len = IPV4_LEN + frame->ip_option_words * 4u;

	ip[0] = (uint8_t)(0x40 | len / 4);
	ip[1] = frame->tos;
	put16(ip + 2, len + udp_len);
	put16(ip + 4, frame->plain ? 0 : 0x1234);
	put16(ip + 6, 0x4000);
	ip[8] = frame->ttl ? frame->ttl : 64;
	ip[9] = PROTOCOL_UDP;
	memcpy(ip + 12, addr_of(frame->flow.src).bytes + 12, 4);
	memcpy(ip + 16, addr_of(frame->flow.dst).bytes + 12, 4);
	memset(ip + IPV4_LEN, 1, len - IPV4_LEN);
	put16(ip + 10, folded(sum(0, ip, len)));
}

static void ipv6_build(const struct frame *frame, uint8_t *ip, uint32_t udp_len)
{
	uint32_t extensions = extensions_len(frame);

	ip[0] = (uint8_t)(0x60 | frame->tos >> 4);
	ip[1] = (uint8_t)(frame->tos << 4 | (frame->plain ? 0 : 0x0b));
	put16(ip + 2, frame->plain ? 0 : 0xeef1);
	put16(ip + 4, extensions + udp_len);
	ip[6] = extensions ? frame->first_extension : PROTOCOL_UDP;
	ip[7] = frame->ttl ? frame->ttl : 64;
	memcpy(ip + 8, addr_of(frame->flow.src).bytes, 16);
	memcpy(ip + 24, addr_of(frame->flow.dst).bytes, 16);
	if (extensions)
		hex_bytes(frame->extensions, ip + IPV6_LEN, extensions);
}

static void udp_build(const struct frame *frame, uint8_t *udp, uint32_t udp_len)
{
	struct addr src = addr_of(frame->flow.src), dst = addr_of(frame->flow.dst);
	uint32_t pseudo = PROTOCOL_UDP + udp_len;
	unsigned skip = frame_is_v4(frame) ? 12 : 0;
	uint16_t check;

	put16(udp, frame->flow.sport);
	put16(udp + 2, frame->flow.dport);
	put16(udp + 4, udp_len);
	put16(udp + 6, 0);
	if (frame->udp_checksum_none)
		return;
	pseudo = sum(pseudo, src.bytes + skip, 16 - skip);
	pseudo = sum(pseudo, dst.bytes + skip, 16 - skip);
	check = folded(sum(pseudo, udp, udp_len));
	put16(udp + 6, check ? check : 0xffff);
}

uint32_t frame_build(const struct frame *frame, const struct macs *macs, uint8_t *bytes)
{
	uint32_t udp_offset = frame_udp_offset(frame), udp_len, len;

	memset(bytes, 0, FRAME_MAX);
	memcpy(bytes, macs->dst, 6);
	memcpy(bytes + 6, macs->src, 6);
	put16(bytes + 12, frame_is_v4(frame) ? 0x0800 : 0x86dd);
	udp_len = UDP_LEN + payload_build(frame, bytes + udp_offset + UDP_LEN);
	if (frame_is_v4(frame))
		ipv4_build(frame, bytes + ETH_LEN, udp_len);
	else
		ipv6_build(frame, bytes + ETH_LEN, udp_len);
	udp_build(frame, bytes + udp_offset, udp_len);
	len = udp_offset + udp_len + frame->padding;
	if (len > FRAME_MAX)
		die("frame too long", frame->flow.dst);
	if (frame->damage)
		frame->damage(bytes, &len);
	return len;
}
