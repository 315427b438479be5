/* SPDX-License-Identifier: MIT */
/* udp_frame: see udp_frame.h. Nothing of the code under test is used. */
#include "udp_frame.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static uint32_t sum_add(uint32_t sum, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return sum;
}

static uint16_t sum_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static void put16(uint8_t *at, size_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* Sum of pseudo-header and UDP datagram (RFC 768, RFC 8200 s8.1). addresses: 8 or 32 bytes. */
static uint16_t udp_sum(const uint8_t *addresses, size_t addresses_len, const uint8_t *udp, size_t udp_len)
{
	return sum_fold(sum_add(sum_add((uint32_t)udp_len + 17, addresses, addresses_len), udp, udp_len));
}

size_t udp_frame_write(uint8_t *out, const struct udp_flow *flow, const void *payload, size_t len)
{
	static const uint8_t macs[12] = { 2, 0, 0, 0, 9, 1, 2, 0, 0, 0, 9, 2 };
	uint8_t *ip = out + 14, *udp, *addresses;
	uint8_t ttl = flow->ttl ? flow->ttl : 64;
	uint16_t check;
	size_t addresses_len;

	memcpy(out, macs, 12);
	if (strchr(flow->src, ':')) {
		put16(out + 12, 0x86dd);
		udp = ip + 40;
		addresses = ip + 8;
		addresses_len = 32;
		memset(ip, 0, 40);
		ip[0] = (uint8_t)(0x60 | flow->tos >> 4);
		ip[1] = (uint8_t)(flow->tos << 4);
		put16(ip + 4, len + 8);
		ip[6] = 17;
		ip[7] = ttl;
		if (inet_pton(AF_INET6, flow->src, ip + 8) != 1 || inet_pton(AF_INET6, flow->dst, ip + 24) != 1)
			abort();
	} else {
		put16(out + 12, 0x0800);
		udp = ip + 20;
		addresses = ip + 12;
		addresses_len = 8;
		memset(ip, 0, 20);
		ip[0] = 0x45;
		ip[1] = flow->tos;
		put16(ip + 2, len + 28);
		put16(ip + 6, flow->dont_fragment ? 0x4000 : 0);
		ip[8] = ttl;
		ip[9] = 17;
		if (inet_pton(AF_INET, flow->src, ip + 12) != 1 || inet_pton(AF_INET, flow->dst, ip + 16) != 1)
			abort();
		put16(ip + 10, (uint16_t)~sum_fold(sum_add(0, ip, 20)));
	}
	put16(udp, flow->src_port);
	put16(udp + 2, flow->dst_port);
	put16(udp + 4, len + 8);
	put16(udp + 6, 0);
	memcpy(udp + 8, payload, len);
	check = (uint16_t)~udp_sum(addresses, addresses_len, udp, len + 8);
	put16(udp + 6, check ? check : 0xffff);
	return (size_t)(udp + 8 + len - out);
}

bool udp_frame_checksums_are_right(const uint8_t *frame, size_t len)
{
	const uint8_t *ip = frame + 14;
	size_t header = 4u * (ip[0] & 0x0f);

	if (ip[0] >> 4 == 6)
		return udp_sum(ip + 8, 32, ip + 40, len - 54) == 0xffff;
	return sum_fold(sum_add(0, ip, header)) == 0xffff &&
	       udp_sum(ip + 12, 8, ip + header, len - 14 - header) == 0xffff;
}
