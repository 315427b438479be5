/* SPDX-License-Identifier: MIT */
/* rewrite: see rewrite.h. */
#include "rewrite.h"

#include <linux/if_ether.h>
#include <stddef.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <string.h>

#include "table.h"

/* RFC 1624 eqn 3, HC' = ~(~HC + ~m + m'), over any number of 16-bit words m -> m'. */
static uint32_t checksum_difference(uint32_t sum, const void *from, const void *to, size_t len)
{
	const uint8_t *a = from, *b = to;

	for (size_t i = 0; i < len; i += 2) {
		uint16_t m, n;

		memcpy(&m, a + i, 2);
		memcpy(&n, b + i, 2);
		sum += (uint16_t)~m + (uint32_t)n;
	}
	return sum;
}

static uint16_t checksum_apply(uint16_t check, uint32_t difference)
{
	uint32_t sum = (uint16_t)~check + difference;

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static enum rewrite_verdict rewrite_check(const struct packet *packet, const struct rewrite *rewrite,
					  const struct nexthop *nexthop)
{
	if (addr_is_v4(rewrite->dst) != packet->v4 || addr_is_v4(rewrite->src) != packet->v4)
		return REWRITE_FAMILY_MISMATCH;
	if (packet->ttl <= 1)
		return REWRITE_TTL_EXPIRED;
	if (!(nexthop->flags & NEXTHOP_RESOLVED))
		return REWRITE_NO_NEXTHOP;
	if (packet->frame_len_bytes - packet->l3_offset > nexthop->mtu_bytes)
		return REWRITE_EGRESS_MTU;
	return REWRITE_DONE;
}

/* Writes len bytes into a header and adds the change to a checksum difference. Headers lie at any address. */
static uint32_t field_set(uint8_t *at, const void *to, size_t len, uint32_t difference)
{
	difference = checksum_difference(difference, at, to, len);
	memcpy(at, to, len);
	return difference;
}

static void checksum_update(uint8_t *at, uint32_t difference)
{
	uint16_t check;

	memcpy(&check, at, 2);
	check = checksum_apply(check, difference);
	memcpy(at, &check, 2);
}

/* difference: of the addresses, which the pseudo-header holds too. */
static void rewrite_udp(uint8_t *udp, const struct rewrite *rewrite, uint32_t difference, bool v4)
{
	uint8_t *check = udp + offsetof(struct udphdr, check);
	bool checked = check[0] || check[1];

	difference = field_set(udp + offsetof(struct udphdr, source), &rewrite->src_port_be, 2, difference);
	difference = field_set(udp + offsetof(struct udphdr, dest), &rewrite->dst_port_be, 2, difference);
	if (!checked && v4)
		return;
	checksum_update(check, difference);
	/* RFC 768: 0 says that there is none, and a computed 0 is sent as ones. */
	if (!check[0] && !check[1])
		check[0] = check[1] = 0xff;
}

static uint32_t rewrite_ipv4(uint8_t *ip, const struct rewrite *rewrite)
{
	uint8_t ttl_protocol[2] = { (uint8_t)(ip[offsetof(struct iphdr, ttl)] - 1), ip[offsetof(struct iphdr, protocol)] };
	uint32_t difference = 0;

	difference = field_set(ip + offsetof(struct iphdr, saddr), &rewrite->src->words_be[3], 4, difference);
	difference = field_set(ip + offsetof(struct iphdr, daddr), &rewrite->dst->words_be[3], 4, difference);
	checksum_update(ip + offsetof(struct iphdr, check),
			field_set(ip + offsetof(struct iphdr, ttl), ttl_protocol, 2, difference));
	return difference;
}

static uint32_t rewrite_ipv6(uint8_t *ip, const struct rewrite *rewrite)
{
	uint32_t difference = 0;

	ip[offsetof(struct ipv6hdr, hop_limit)]--;
	difference = field_set(ip + offsetof(struct ipv6hdr, saddr), rewrite->src, 16, difference);
	return field_set(ip + offsetof(struct ipv6hdr, daddr), rewrite->dst, 16, difference);
}

enum rewrite_verdict rewrite_frame(const struct packet *packet, const struct rewrite *rewrite,
				   struct nexthop *nexthop_copy)
{
	uint8_t *ip = packet->frame + packet->l3_offset;
	enum rewrite_verdict verdict;
	uint32_t difference;

	if (!entry_read(rewrite->nexthop, nexthop_copy, sizeof(*nexthop_copy), NULL))
		return REWRITE_NO_NEXTHOP;
	verdict = rewrite_check(packet, rewrite, nexthop_copy);
	if (verdict != REWRITE_DONE)
		return verdict;
	memcpy(packet->frame + offsetof(struct ethhdr, h_dest), nexthop_copy->dmac, ETH_ALEN);
	memcpy(packet->frame + offsetof(struct ethhdr, h_source), nexthop_copy->smac, ETH_ALEN);
	difference = packet->v4 ? rewrite_ipv4(ip, rewrite) : rewrite_ipv6(ip, rewrite);
	rewrite_udp(packet->frame + packet->l4_offset, rewrite, difference, packet->v4);
	return REWRITE_DONE;
}
