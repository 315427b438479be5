/* SPDX-License-Identifier: MIT */
/* icmp: see icmp.h. */
#include "icmp.h"

#include <arpa/inet.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <netinet/in.h>

#include "bpf/table.h"
#include "checksum.h"
#include "rewrite.h"

enum {
	ICMP_HEADER_LEN = 8,
	ICMP_TTL = 64,
	TOS_INTERNET_CONTROL = 0xc0, /* RFC 1812 s4.3.2.5 */
	/* The whole IP packet: RFC 1812 s4.3.2.3; RFC 4443 s3.2, the least that every IPv6 link takes. */
	PACKET_MAX_V4 = 576,
	PACKET_MAX_V6 = 1280,
};

void icmp_limit_init(struct icmp_limit *limit, const struct siphash_key *hash_key)
{
	source_limit_init(&limit->sources, hash_key, ICMP_PER_S_PER_SOURCE);
	limit->next_ns = 0;
}

uint16_t icmp_mtu(const struct packet *packet, bool v4_out, uint16_t mtu_bytes)
{
	uint32_t floor = packet->v4 ? ICMP_MTU_MIN_V4 : ICMP_MTU_MIN_V6, mtu = mtu_bytes;

	if (packet->v4 && !v4_out)
		mtu = mtu > REWRITE_GROWTH ? mtu - REWRITE_GROWTH : 0;
	else if (!packet->v4 && v4_out)
		mtu += REWRITE_GROWTH;
	if (mtu < floor)
		mtu = floor;
	/* What came is no larger than that, or was made so by its IP options: a smaller MTU helps neither. */
	return mtu < packet->frame_len_bytes - packet->l3_offset ? (uint16_t)mtu : 0;
}

static bool is_one_host(const struct addr *addr)
{
	if (addr_is_v4(addr))
		return addr->bytes[12] != 0 && addr->bytes[12] < 224;
	return addr->bytes[0] != 0xff && (addr->halves[0] | addr->halves[1]);
}

bool icmp_may_answer(struct icmp_limit *limit, const struct addr *source, uint64_t now_ns)
{
	/* The source's own first: who is over that takes nothing from the others. */
	return is_one_host(source) && source_limit_take(&limit->sources, source, now_ns) &&
	       gcra_take(&limit->next_ns, 1000000000ull / ICMP_PER_S, 1000000000ull, now_ns);
}

static uint32_t least(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* at: the new IP header; the quoted one stands ICMP_HEADER_LEN behind it. Returns the length of the new packet. */
static uint32_t write_v4(uint8_t *at, const struct packet *packet, const struct addr *own, uint32_t quoted,
			 uint16_t mtu)
{
	struct iphdr ip = {
		.version = 4,
		.ihl = sizeof(ip) / 4,
		.tos = TOS_INTERNET_CONTROL,
		.frag_off = htons(0x4000), /* RFC 6864 s4.1: atomic */
		.ttl = ICMP_TTL,
		.protocol = IPPROTO_ICMP,
		.saddr = own->words_be[3],
		.daddr = packet->src.words_be[3],
	};
	struct icmphdr icmp = {
		.type = ICMP_DEST_UNREACH,
		.code = ICMP_FRAG_NEEDED,
		.un.frag.mtu = htons(mtu),
	};
	uint32_t len = sizeof(ip) + ICMP_HEADER_LEN + least(quoted, PACKET_MAX_V4 - sizeof(ip) - ICMP_HEADER_LEN);

	ip.tot_len = htons((uint16_t)len);
	ip.check = checksum_of(&ip, sizeof(ip), 0);
	memcpy(at, &ip, sizeof(ip));
	memcpy(at + sizeof(ip), &icmp, sizeof(icmp));
	icmp.checksum = checksum_of(at + sizeof(ip), len - sizeof(ip), 0);
	memcpy(at + sizeof(ip), &icmp, sizeof(icmp));
	return len;
}

static uint32_t write_v6(uint8_t *at, const struct packet *packet, const struct addr *own, uint32_t quoted,
			 uint16_t mtu)
{
	struct icmp6hdr icmp = {
		.icmp6_type = ICMPV6_PKT_TOOBIG,
		.icmp6_mtu = htonl(mtu),
	};
	uint32_t payload = ICMP_HEADER_LEN +
			   least(quoted, PACKET_MAX_V6 - sizeof(struct ipv6hdr) - ICMP_HEADER_LEN);
	struct ipv6hdr ip = {
		.payload_len = htons((uint16_t)payload),
		.nexthdr = IPPROTO_ICMPV6,
		.hop_limit = ICMP_TTL,
	};
	uint32_t first_be = htonl(6u << 28 | TOS_INTERNET_CONTROL << 20), sum;

	memcpy(&ip, &first_be, sizeof(first_be));
	memcpy(&ip.saddr, own, sizeof(ip.saddr));
	memcpy(&ip.daddr, &packet->src, sizeof(ip.daddr));
	memcpy(at, &ip, sizeof(ip));
	memcpy(at + sizeof(ip), &icmp, sizeof(icmp));
	/* RFC 8200 s8.1: the pseudo-header. */
	sum = checksum_sum(htons(IPPROTO_ICMPV6) + ip.payload_len, &ip.saddr, 32);
	icmp.icmp6_cksum = checksum_of(at + sizeof(ip), payload, sum);
	memcpy(at + sizeof(ip), &icmp, sizeof(icmp));
	return sizeof(ip) + payload;
}

void icmp_too_big(struct packet *packet, uint16_t mtu, const struct addr *own, const struct nexthop *back)
{
	uint8_t *quote = packet->frame + packet->l3_offset;
	uint32_t header = packet->v4 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr), came, len;
	uint8_t *ip = quote - ICMP_HEADER_LEN - header;
	uint16_t ether_type_be = htons(packet->v4 ? ETH_P_IP : ETH_P_IPV6);

	/* At most as large as what came. */
	came = packet->frame_len_bytes - packet->l3_offset;
	len = came > header + ICMP_HEADER_LEN ? came - header - ICMP_HEADER_LEN : 0;
	len = packet->v4 ? write_v4(ip, packet, own, len, mtu) : write_v6(ip, packet, own, len, mtu);
	packet->frame = ip - packet->l3_offset;
	packet->frame_len_bytes = packet->l3_offset + len;
	memcpy(packet->frame + offsetof(struct ethhdr, h_dest), back->dmac, ETH_ALEN);
	memcpy(packet->frame + offsetof(struct ethhdr, h_source), back->smac, ETH_ALEN);
	memcpy(packet->frame + offsetof(struct ethhdr, h_proto), &ether_type_be, 2);
}
