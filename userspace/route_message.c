/* SPDX-License-Identifier: MIT */
/* route_message: see route_message.h. */
#include "route_message.h"

#include <linux/lwtunnel.h>
#include <string.h>

/* RTA_GATEWAY, or RTA_VIA: an IPv4 route by way of an IPv6 router (RFC 5549). False: neither, so on link. */
static bool gateway_parse(const struct nlattr *const *attributes, uint8_t family, struct addr *gateway)
{
	const struct nlattr *via = attributes[RTA_VIA];

	if (netlink_addr(attributes[RTA_GATEWAY], family, gateway))
		return true;
	if (via && mnl_attr_get_payload_len(via) > offsetof(struct rtvia, rtvia_addr)) {
		const struct rtvia *router = mnl_attr_get_payload(via);

		return netlink_addr_from(router->rtvia_addr,
					 mnl_attr_get_payload_len(via) - offsetof(struct rtvia, rtvia_addr),
					 (uint8_t)router->rtvia_family, gateway);
	}
	return false;
}

/* We send plain IP packets: a next hop that wants a label or a tunnel header is none. */
static bool encapsulates(const struct nlattr *const *attributes)
{
	return attributes[RTA_ENCAP] || attributes[RTA_NEWDST] ||
	       (attributes[RTA_ENCAP_TYPE] && mnl_attr_get_payload_len(attributes[RTA_ENCAP_TYPE]) >= 2 &&
		mnl_attr_get_u16(attributes[RTA_ENCAP_TYPE]) != LWTUNNEL_ENCAP_NONE);
}

static void hop_parse(const struct nlattr *const *attributes, uint8_t family, uint32_t ifindex, struct way *way)
{
	way->ifindex = ifindex;
	if (encapsulates(attributes))
		way->kind = WAY_NOWHERE;
	else
		gateway_parse(attributes, family, &way->gateway);
}

/* The first living one of RTA_MULTIPATH's next hops. False: all are dead. */
static bool multipath_parse(const struct nlattr *multipath, uint8_t family, struct way *way)
{
	const uint8_t *at = mnl_attr_get_payload(multipath);
	size_t left = mnl_attr_get_payload_len(multipath);

	while (left >= sizeof(struct rtnexthop)) {
		const struct rtnexthop *hop = (const struct rtnexthop *)at;
		const struct nlattr *attributes[RTA_MAX + 1];
		size_t step = MNL_ALIGN(hop->rtnh_len);

		if (hop->rtnh_len < sizeof(*hop) || hop->rtnh_len > left)
			return false;
		if (!(hop->rtnh_flags & RTNH_F_DEAD)) {
			netlink_nested(RTNH_DATA(hop), hop->rtnh_len - sizeof(*hop), attributes, RTA_MAX);
			hop_parse(attributes, family, (uint32_t)hop->rtnh_ifindex, way);
			return true;
		}
		if (step >= left)
			return false;
		at += step;
		left -= step;
	}
	return false;
}

static uint16_t mtu_parse(const struct nlattr *metrics_attribute)
{
	const struct nlattr *metrics[RTAX_MAX + 1];
	uint32_t mtu;

	if (!metrics_attribute)
		return 0;
	netlink_nested(mnl_attr_get_payload(metrics_attribute), mnl_attr_get_payload_len(metrics_attribute), metrics,
		       RTAX_MAX);
	mtu = netlink_u32(metrics[RTAX_MTU], 0);
	return mtu < UINT16_MAX ? (uint16_t)mtu : 0; /* more than any IP packet: no bound */
}

static bool kind_parse(uint8_t type, uint8_t *kind)
{
	switch (type) {
	case RTN_UNICAST:
		*kind = WAY_OUT;
		return true;
	case RTN_LOCAL:
	case RTN_BROADCAST:
	case RTN_ANYCAST:
	case RTN_MULTICAST:
	case RTN_BLACKHOLE:
	case RTN_UNREACHABLE:
	case RTN_PROHIBIT:
		*kind = WAY_NOWHERE;
		return true;
	case RTN_THROW:
		*kind = WAY_THROW;
		return true;
	default:
		return false;
	}
}

static bool prefix_parse(const struct rtmsg *header, const struct nlattr *dst, struct route_message *route)
{
	static const uint8_t zero[16];

	route->v4 = header->rtm_family == AF_INET;
	route->len_bits = header->rtm_dst_len;
	if (!route->v4 && header->rtm_family != AF_INET6)
		return false;
	if (route->len_bits > (route->v4 ? 32 : 128))
		return false;
	if (!dst) /* a default route */
		return route->len_bits == 0 &&
		       netlink_addr_from(zero, route->v4 ? 4 : 16, header->rtm_family, &route->prefix);
	return netlink_addr(dst, header->rtm_family, &route->prefix);
}

bool route_message_parse(const struct nlmsghdr *message, struct route_message *route)
{
	const struct rtmsg *header = mnl_nlmsg_get_payload(message);
	const struct nlattr *attributes[RTA_MAX + 1];
	uint32_t table;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*header))
		return false;
	memset(route, 0, sizeof(*route));
	netlink_attributes(message, sizeof(*header), attributes, RTA_MAX);
	table = netlink_u32(attributes[RTA_TABLE], header->rtm_table);
	if (table != RT_TABLE_LOCAL && table != RT_TABLE_MAIN && table != RT_TABLE_DEFAULT)
		return false;
	/* What we send has TOS 0 and no fixed source; cached entries (path MTU, redirects) are no routes. */
	if (header->rtm_tos || header->rtm_src_len || header->rtm_flags & RTM_F_CLONED)
		return false;
	if (!prefix_parse(header, attributes[RTA_DST], route) || !kind_parse(header->rtm_type, &route->way.kind))
		return false;
	route->table = (uint8_t)table;
	route->metric = netlink_u32(attributes[RTA_PRIORITY], 0);
	route->dead = header->rtm_flags & RTNH_F_DEAD;
	route->way.object = attributes[RTA_NH_ID] != NULL;
	route->way.mtu_bytes = mtu_parse(attributes[RTA_METRICS]);
	netlink_addr(attributes[RTA_PREFSRC], header->rtm_family, &route->way.source);
	if (attributes[RTA_MULTIPATH]) {
		route->way.multipath = true;
		route->dead |= !multipath_parse(attributes[RTA_MULTIPATH], header->rtm_family, &route->way);
	} else {
		hop_parse(attributes, header->rtm_family, netlink_u32(attributes[RTA_OIF], 0), &route->way);
		if (!route->way.ifindex && route->way.kind == WAY_OUT)
			route->object_id = netlink_u32(attributes[RTA_NH_ID], 0);
	}
	return true;
}
