/* SPDX-License-Identifier: MIT */
/* rewrite: see rewrite.h. */
#include "rewrite.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <stddef.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include <netinet/in.h>
#include <string.h>

#include "checksum.h"
#include "table.h"

enum { IP_DONT_FRAGMENT = 0x4000 };

/* Bytes of the IP packet that goes out. */
static uint32_t length_out(const struct packet *packet, bool v4)
{
	if (v4 == packet->v4)
		return packet->frame_len_bytes - packet->l3_offset;
	return (uint32_t)(v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr)) + packet->frame_len_bytes -
	       packet->l4_offset;
}

static enum rewrite_verdict rewrite_check(const struct packet *packet, const struct rewrite *rewrite,
					  const struct nexthop *nexthop)
{
	bool v4 = addr_is_v4(rewrite->dst);

	if (addr_is_v4(rewrite->src) != v4)
		return REWRITE_FAMILY_MISMATCH;
	if (packet->ttl <= 1)
		return REWRITE_TTL_EXPIRED;
	if (!(nexthop->flags & NEXTHOP_RESOLVED))
		return REWRITE_NO_NEXTHOP;
	if (length_out(packet, v4) > nexthop->mtu_bytes)
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

static bool has_checksum(const uint8_t *udp)
{
	const uint8_t *check = udp + offsetof(struct udphdr, check);

	return check[0] || check[1];
}

/* difference: of the addresses, which the pseudo-header holds too. */
static void rewrite_udp(uint8_t *udp, const struct rewrite *rewrite, uint32_t difference, bool checked)
{
	uint8_t *check = udp + offsetof(struct udphdr, check);

	difference = field_set(udp + offsetof(struct udphdr, source), &rewrite->src_port_be, 2, difference);
	difference = field_set(udp + offsetof(struct udphdr, dest), &rewrite->dst_port_be, 2, difference);
	if (!checked)
		return;
	checksum_update(check, difference);
	/* RFC 768: 0 says that there is none, and a computed 0 is sent as ones. */
	if (!has_checksum(udp))
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

/* --- to the other family --------------------------------------------------------------------------- */

static void ipv4_write(uint8_t *at, const struct rewrite *rewrite, uint8_t tos, uint8_t ttl, uint32_t payload_len)
{
	struct iphdr ip = {
		.version = 4,
		.ihl = sizeof(ip) / 4,
		.tos = tos,
		.tot_len = htons((uint16_t)(sizeof(ip) + payload_len)),
		.frag_off = htons(IP_DONT_FRAGMENT), /* RFC 6864 s4.1: so the ID says nothing */
		.ttl = ttl,
		.protocol = IPPROTO_UDP,
		.saddr = rewrite->src->words_be[3],
		.daddr = rewrite->dst->words_be[3],
	};

	ip.check = checksum_of(&ip, sizeof(ip), 0);
	memcpy(at, &ip, sizeof(ip));
}

static void ipv6_write(uint8_t *at, const struct rewrite *rewrite, uint8_t tos, uint8_t ttl, uint32_t payload_len)
{
	struct ipv6hdr ip = {
		.payload_len = htons((uint16_t)payload_len),
		.nexthdr = IPPROTO_UDP,
		.hop_limit = ttl,
	};
	uint32_t first_be = htonl(6u << 28 | (uint32_t)tos << 20);

	memcpy(&ip.saddr, rewrite->src, sizeof(ip.saddr));
	memcpy(&ip.daddr, rewrite->dst, sizeof(ip.daddr));
	memcpy(&ip, &first_be, sizeof(first_be));
	memcpy(at, &ip, sizeof(ip));
}

static uint8_t traffic_class(const uint8_t *ip, bool v4)
{
	return v4 ? ip[1] : (uint8_t)(ip[0] << 4 | ip[1] >> 4);
}

/* RFC 8200 s8.1: IPv6 must have a checksum. Of the datagram as it stands, and the addresses behind the relay. */
static void checksum_make(uint8_t *udp, const struct rewrite *rewrite)
{
	uint16_t len_be, check;
	uint32_t sum = htons(IPPROTO_UDP);

	memcpy(&len_be, udp + offsetof(struct udphdr, len), 2);
	sum = checksum_sum(sum + len_be, rewrite->src, 16);
	sum = checksum_sum(sum, rewrite->dst, 16);
	check = checksum_of(udp, ntohs(len_be), sum);
	memcpy(udp + offsetof(struct udphdr, check), &check, 2);
}

/*
 * UDP stays where it is. An IPv4 address and its mapped form have the same sum
 * (0xffff counts as 0 in it), and the rest of the pseudo-headers is the same 17
 * and length, so the checksum changes by the difference of the addresses. None
 * in IPv6 is wrong, and must not become IPv4's "none": it stays wrong.
 */
static void translate(struct packet *packet, const struct rewrite *rewrite)
{
	uint8_t *udp = packet->frame + packet->l4_offset, *ip, ttl = (uint8_t)(packet->ttl - 1);
	uint8_t tos = traffic_class(packet->frame + packet->l3_offset, packet->v4);
	uint32_t payload_len = packet->frame_len_bytes - packet->l4_offset, difference = 0;
	uint16_t ether_type_be = htons(packet->v4 ? ETH_P_IPV6 : ETH_P_IP);

	if (packet->v4 && !has_checksum(udp)) {
		checksum_make(udp, rewrite);
	} else {
		difference = checksum_difference(difference, &packet->src, rewrite->src, 16);
		difference = checksum_difference(difference, &packet->dst, rewrite->dst, 16);
	}
	rewrite_udp(udp, rewrite, difference, true);
	if (packet->v4) {
		ip = udp - sizeof(struct ipv6hdr);
		ipv6_write(ip, rewrite, tos, ttl, payload_len);
	} else {
		ip = udp - sizeof(struct iphdr);
		ipv4_write(ip, rewrite, tos, ttl, payload_len);
	}
	packet->frame = ip - packet->l3_offset;
	packet->l4_offset = (uint16_t)(udp - packet->frame);
	packet->frame_len_bytes = packet->l4_offset + payload_len;
	memcpy(packet->frame + offsetof(struct ethhdr, h_proto), &ether_type_be, 2);
}

static void rewrite_same_family(const struct packet *packet, const struct rewrite *rewrite)
{
	uint8_t *ip = packet->frame + packet->l3_offset, *udp = packet->frame + packet->l4_offset;
	uint32_t difference = packet->v4 ? rewrite_ipv4(ip, rewrite) : rewrite_ipv6(ip, rewrite);

	rewrite_udp(udp, rewrite, difference, !packet->v4 || has_checksum(udp));
}

enum rewrite_verdict rewrite_frame(struct packet *packet, const struct rewrite *rewrite, struct nexthop *nexthop_copy)
{
	enum rewrite_verdict verdict;

	if (!entry_read(rewrite->nexthop, nexthop_copy, sizeof(*nexthop_copy), NULL))
		return REWRITE_NO_NEXTHOP;
	verdict = rewrite_check(packet, rewrite, nexthop_copy);
	if (verdict != REWRITE_DONE)
		return verdict;
	if (addr_is_v4(rewrite->dst) == packet->v4)
		rewrite_same_family(packet, rewrite);
	else
		translate(packet, rewrite);
	memcpy(packet->frame + offsetof(struct ethhdr, h_dest), nexthop_copy->dmac, ETH_ALEN);
	memcpy(packet->frame + offsetof(struct ethhdr, h_source), nexthop_copy->smac, ETH_ALEN);
	return REWRITE_DONE;
}
