/* SPDX-License-Identifier: MIT */
/*
 * nexthop: see nexthop.h. Here: links and addresses, and what joins routes
 * (rib) to neighbours (neighbour). Steward thread, but for nexthop_find. The
 * kernel is trusted; destinations may be an attacker's choice.
 */
#include "nexthop.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <stdlib.h>
#include <string.h>

#include "bpf/table.h"
#include "log.h"
#include "neighbour.h"
#include "netlink.h"
#include "rib.h"

enum { RESYNC_TRIES = 3 };

/* An address of one of the interfaces. */
struct address {
	struct addr addr;
	struct addr prefix;      /* the peer's, on a point-to-point link; else as addr */
	uint32_t ifindex;
	uint32_t flags;          /* IFA_F_* */
	uint8_t prefix_len_bits;
	uint8_t scope;           /* RT_SCOPE_* */
	bool dumped;             /* the dump in progress has it */
};

struct interface {
	uint32_t ifindex;
	uint32_t flags;          /* IFF_* */
	bool present;
};

struct nexthops {
	struct rib *rib;
	struct neighbours *neighbours;
	struct nexthop_events events;
	struct interface interfaces[INTERFACES_MAX];
	unsigned interface_count;
	struct address *addresses; /* in the kernel's order */
	size_t address_count, address_space;
	bool source_changed;     /* since routes_changed was called */
	bool lost;               /* notifications were: everything must be read again */
	bool logged;             /* a failure, since the last housekeeping */
	struct netlink notifications;
	struct netlink dumps;
	struct netlink resolver; /* the neighbours' own: events, told in mid-dump, may call nexthop_want */
};

static const unsigned groups[] = {
	RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE,
	RTNLGRP_NEXTHOP,
};

/* The interface's slot, or interface_count. */
static unsigned interface_slot(const struct nexthops *nexthops, uint32_t ifindex)
{
	unsigned slot = 0;

	while (slot < nexthops->interface_count && nexthops->interfaces[slot].ifindex != ifindex)
		slot++;
	return slot;
}

/* --- links --------------------------------------------------------------------------------------- */

static void interface_update(struct nexthops *nexthops, unsigned slot, const struct ifinfomsg *header,
			     const struct nlattr *const *attributes)
{
	struct interface *interface = &nexthops->interfaces[slot];
	uint32_t changed = interface->flags ^ header->ifi_flags;
	const struct nlattr *address = attributes[IFLA_ADDRESS];
	uint32_t mtu_bytes = netlink_u32(attributes[IFLA_MTU], 0);
	uint8_t mac[6] = { 0 };

	if (address && mnl_attr_get_payload_len(address) == sizeof(mac))
		memcpy(mac, mnl_attr_get_payload(address), sizeof(mac));
	interface->flags = header->ifi_flags;
	interface->present = true;
	neighbour_link(nexthops->neighbours, (uint16_t)slot, mac,
		       mtu_bytes < UINT16_MAX ? (uint16_t)mtu_bytes : UINT16_MAX,
		       changed & header->ifi_flags & (IFF_UP | IFF_RUNNING));
	/* Carrier matters to routes where net.*.ignore_routes_with_linkdown is set. */
	if (changed & (IFF_UP | IFF_RUNNING))
		rib_link_changed(nexthops->rib, interface->ifindex);
}

static void link_message(struct nexthops *nexthops, const struct nlmsghdr *message)
{
	const struct ifinfomsg *header = mnl_nlmsg_get_payload(message);
	const struct nlattr *attributes[IFLA_MAX + 1];
	unsigned slot;

	/* A bridge speaks of its ports in messages of its own family. */
	if (mnl_nlmsg_get_payload_len(message) < sizeof(*header) || header->ifi_family != AF_UNSPEC)
		return;
	slot = interface_slot(nexthops, (uint32_t)header->ifi_index);
	if (message->nlmsg_type == RTM_DELLINK) {
		rib_link_changed(nexthops->rib, (uint32_t)header->ifi_index);
	} else if (slot < nexthops->interface_count) {
		netlink_attributes(message, sizeof(*header), attributes, IFLA_MAX);
		interface_update(nexthops, slot, header, attributes);
	} else if (header->ifi_change & IFF_UP) {
		/* Not ours, but its routes hide some of ours; in a dump ifi_change is 0. */
		rib_link_changed(nexthops->rib, (uint32_t)header->ifi_index);
	}
}

/* --- addresses ----------------------------------------------------------------------------------- */

/* RFC 4862 s5.4: until it is known to be unique, an address is not ours. */
static bool address_is_usable(const struct address *address)
{
	return !(address->flags & IFA_F_DADFAILED) &&
	       (!(address->flags & IFA_F_TENTATIVE) || address->flags & IFA_F_OPTIMISTIC);
}

/* The same address may stand on an interface with several prefix lengths. */
static bool address_is_present(const struct nexthops *nexthops, uint32_t ifindex, const struct addr *addr)
{
	for (size_t i = 0; i < nexthops->address_count; i++)
		if (nexthops->addresses[i].ifindex == ifindex && addr_equal(&nexthops->addresses[i].addr, addr) &&
		    address_is_usable(&nexthops->addresses[i]))
			return true;
	return false;
}

bool nexthop_has_address(const struct nexthops *nexthops, const struct addr *address)
{
	for (unsigned slot = 0; slot < nexthops->interface_count; slot++)
		if (address_is_present(nexthops, nexthops->interfaces[slot].ifindex, address))
			return true;
	return false;
}

static struct address *address_find(struct nexthops *nexthops, const struct address *like)
{
	for (size_t i = 0; i < nexthops->address_count; i++) {
		struct address *address = &nexthops->addresses[i];

		if (address->ifindex == like->ifindex && addr_equal(&address->addr, &like->addr) &&
		    addr_equal(&address->prefix, &like->prefix) && address->prefix_len_bits == like->prefix_len_bits)
			return address;
	}
	return NULL;
}

static bool address_append(struct nexthops *nexthops, const struct address *address)
{
	if (nexthops->address_count == nexthops->address_space) {
		size_t space = nexthops->address_space ? nexthops->address_space * 2 : 16;
		struct address *more = realloc(nexthops->addresses, space * sizeof(*more));

		if (!more)
			return false;
		nexthops->addresses = more;
		nexthops->address_space = space;
	}
	nexthops->addresses[nexthops->address_count++] = *address;
	return true;
}

static void address_take_out(struct nexthops *nexthops, struct address *address)
{
	size_t behind = --nexthops->address_count - (size_t)(address - nexthops->addresses);

	memmove(address, address + 1, behind * sizeof(*address));
}

/* Tells if the address came or went by what was done since `before`. */
static void address_tell(struct nexthops *nexthops, uint32_t ifindex, const struct addr *addr, bool before)
{
	bool present = address_is_present(nexthops, ifindex, addr);

	if (present != before && nexthops->events.address)
		nexthops->events.address(nexthops->events.context, ifindex, addr, present);
}

static bool address_parse(const struct nlmsghdr *message, struct address *address)
{
	const struct ifaddrmsg *header = mnl_nlmsg_get_payload(message);
	const struct nlattr *attributes[IFA_MAX + 1];

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*header))
		return false;
	memset(address, 0, sizeof(*address));
	netlink_attributes(message, sizeof(*header), attributes, IFA_MAX);
	/* IFA_ADDRESS is the peer's on a point-to-point link, where IFA_LOCAL is ours. */
	if (!netlink_addr(attributes[IFA_ADDRESS], header->ifa_family, &address->prefix) &&
	    !netlink_addr(attributes[IFA_LOCAL], header->ifa_family, &address->prefix))
		return false;
	if (!netlink_addr(attributes[IFA_LOCAL], header->ifa_family, &address->addr))
		address->addr = address->prefix;
	address->ifindex = header->ifa_index;
	address->flags = netlink_u32(attributes[IFA_FLAGS], header->ifa_flags);
	address->prefix_len_bits = header->ifa_prefixlen;
	address->scope = header->ifa_scope;
	address->dumped = true;
	return true;
}

static void address_message(struct nexthops *nexthops, const struct nlmsghdr *message)
{
	struct address address, *old;
	bool before;

	if (!address_parse(message, &address))
		return;
	/* On any interface: IPv4 drops the routes that prefer it as their source. */
	if (message->nlmsg_type == RTM_DELADDR)
		rib_address_removed(nexthops->rib, address.ifindex, &address.addr);
	if (interface_slot(nexthops, address.ifindex) == nexthops->interface_count)
		return;
	before = address_is_present(nexthops, address.ifindex, &address.addr);
	old = address_find(nexthops, &address);
	if (message->nlmsg_type == RTM_DELADDR && old)
		address_take_out(nexthops, old);
	else if (message->nlmsg_type == RTM_NEWADDR && old)
		*old = address;
	else if (message->nlmsg_type == RTM_NEWADDR && !address_append(nexthops, &address))
		nexthops->lost = true;
	nexthops->source_changed = true;
	address_tell(nexthops, address.ifindex, &address.addr, before);
}

/* What a complete dump did not have is gone. */
static void addresses_sweep(struct nexthops *nexthops)
{
	for (size_t i = 0; i < nexthops->address_count;) {
		struct address gone = nexthops->addresses[i];
		bool before = address_is_present(nexthops, gone.ifindex, &gone.addr);

		if (gone.dumped) {
			i++;
			continue;
		}
		address_take_out(nexthops, &nexthops->addresses[i]);
		address_tell(nexthops, gone.ifindex, &gone.addr, before);
	}
}

/* --- messages and dumps -------------------------------------------------------------------------- */

static void notification(void *context, const struct nlmsghdr *message)
{
	struct nexthops *nexthops = context;

	switch (message->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		link_message(nexthops, message);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		address_message(nexthops, message);
		break;
	case RTM_NEWNEIGH:
	case RTM_DELNEIGH:
		neighbour_notification(nexthops->neighbours, message);
		break;
	default:
		rib_notification(nexthops->rib, message);
		break;
	}
}

static int links_dump(struct nexthops *nexthops)
{
	return netlink_dump(&nexthops->dumps, RTM_GETLINK, sizeof(struct ifinfomsg), AF_UNSPEC, notification, nexthops);
}

static int addresses_dump(struct nexthops *nexthops)
{
	int error;

	for (size_t i = 0; i < nexthops->address_count; i++)
		nexthops->addresses[i].dumped = false;
	error = netlink_dump(&nexthops->dumps, RTM_GETADDR, sizeof(struct ifaddrmsg), AF_UNSPEC, notification,
			     nexthops);
	if (!error)
		addresses_sweep(nexthops);
	return error;
}

/* Reads everything again but the routes, which are put in doubt. 0 or -errno. */
static int resync(struct nexthops *nexthops)
{
	int (*const parts[])(struct nexthops *nexthops) = { links_dump, addresses_dump };
	int error;

	nexthops->lost = false;
	for (unsigned i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		error = -EINTR;
		for (unsigned try = 0; error == -EINTR && try < RESYNC_TRIES; try++)
			error = parts[i](nexthops);
		if (error)
			goto err_lost;
	}
	error = neighbours_resync(nexthops->neighbours);
	if (error)
		goto err_lost;
	rib_doubt(nexthops->rib);
	return 0;

err_lost:
	nexthops->lost = true;
	return error;
}

/* At most one line a second: the kernel may keep refusing. */
static void failure_log(struct nexthops *nexthops, const char *what, int error)
{
	if (!nexthops->logged)
		log_warnx("netlink: reading %s again later: %s", what, strerror(-error));
	nexthops->logged = true;
}

/* Brings everything up to date, shows it to the readers, and tells. */
static void settle(struct nexthops *nexthops)
{
	int error;

	if (nexthops->lost && (error = resync(nexthops)))
		failure_log(nexthops, "links, addresses and neighbours", error);
	error = rib_settle(nexthops->rib, &nexthops->dumps);
	if (error)
		failure_log(nexthops, "routes", error);
	if (!rib_publish(nexthops->rib) && !nexthops->source_changed)
		return;
	nexthops->source_changed = false;
	if (nexthops->events.routes_changed)
		nexthops->events.routes_changed(nexthops->events.context);
}

int nexthop_netlink_fd(const struct nexthops *nexthops)
{
	return netlink_fd(&nexthops->notifications);
}

void nexthop_handle_netlink(struct nexthops *nexthops)
{
	if (netlink_receive(&nexthops->notifications, notification, nexthops))
		nexthops->lost = true;
	settle(nexthops);
}

void nexthop_housekeeping(struct nexthops *nexthops, uint32_t now_s)
{
	nexthops->logged = false;
	rib_recheck(nexthops->rib);
	settle(nexthops);
	neighbours_housekeeping(nexthops->neighbours, now_s);
}

/* --- look-ups ------------------------------------------------------------------------------------ */

/* Nobody's own address: unspecified, multicast, limited broadcast. */
static bool addr_is_nobody(const struct addr *addr)
{
	if (addr_is_v4(addr))
		return !addr->words_be[3] || addr->words_be[3] == 0xffffffff || addr->bytes[12] >> 4 == 0xe;
	return !addr_is_set(addr) || addr->bytes[0] == 0xff;
}

/* The way to dst, and the neighbour on it. NULL: none. */
static const struct way *neighbour_towards(const struct nexthops *nexthops, const struct addr *dst,
					   struct neighbour_key *key)
{
	const struct way *way = addr_is_nobody(dst) ? NULL : rib_find(nexthops->rib, dst);

	if (way)
		*key = (struct neighbour_key){ .address = addr_is_set(&way->gateway) ? way->gateway : *dst,
					       .ifindex = way->ifindex, .interface = way->interface,
					       .mtu_bytes = way->mtu_bytes };
	return way;
}

enum nexthop_verdict nexthop_find(const struct nexthops *nexthops, const struct addr *dst, uint16_t *slot)
{
	struct neighbour_key key;

	if (!neighbour_towards(nexthops, dst, &key))
		return NEXTHOP_NO_ROUTE;
	return neighbour_find(nexthops->neighbours, &key, slot) ? NEXTHOP_FOUND : NEXTHOP_WANTED;
}

int nexthop_want(struct nexthops *nexthops, const struct addr *dst, bool keep, const uint64_t *used, uint16_t *slot)
{
	struct neighbour_key key;
	const struct way *way = neighbour_towards(nexthops, dst, &key);

	if (!way)
		return -ENETUNREACH;
	/* Many clients depend on a router: it is kept, whoever asked first. */
	return neighbour_want(nexthops->neighbours, &key, keep || addr_is_set(&way->gateway), used, slot);
}

static bool address_prefix_holds(const struct address *address, const struct addr *addr)
{
	unsigned bits = address->prefix_len_bits + (addr_is_v4(&address->addr) ? 96 : 0);
	unsigned rest = bits % 8;

	if (memcmp(address->prefix.bytes, addr->bytes, bits / 8))
		return false;
	return !rest || (address->prefix.bytes[bits / 8] ^ addr->bytes[bits / 8]) >> (8 - rest) == 0;
}

/* May new traffic to dst come from it? IFA_F_TEMPORARY is IPv4's IFA_F_SECONDARY, which is as good as any. */
static bool address_is_source(const struct address *address, const struct addr *dst)
{
	bool v4 = addr_is_v4(dst);

	if (addr_is_v4(&address->addr) != v4 || !address_is_usable(address))
		return false;
	if (address->flags & IFA_F_DEPRECATED || (!v4 && address->flags & IFA_F_TEMPORARY))
		return false;
	return !addr_is_link_local(&address->addr) || addr_is_link_local(dst);
}

int nexthop_source(const struct nexthops *nexthops, const struct addr *dst, struct addr *source)
{
	struct neighbour_key key;
	const struct way *way = neighbour_towards(nexthops, dst, &key);
	const struct address *best = NULL;

	if (!way)
		return -ENETUNREACH;
	if (addr_is_set(&way->source)) {
		*source = way->source;
		return 0;
	}
	for (size_t i = 0; i < nexthops->address_count; i++) {
		const struct address *address = &nexthops->addresses[i];

		if (address->ifindex != way->ifindex || !address_is_source(address, dst))
			continue;
		if (address_prefix_holds(address, &key.address)) {
			best = address;
			break;
		}
		if (!best && (address->scope == RT_SCOPE_UNIVERSE || addr_is_link_local(dst)))
			best = address;
	}
	if (!best)
		return -EADDRNOTAVAIL;
	*source = best->addr;
	return 0;
}

/* --- the whole ----------------------------------------------------------------------------------- */

static int interfaces_check(const struct nexthops *nexthops)
{
	for (unsigned i = 0; i < nexthops->interface_count; i++)
		if (!nexthops->interfaces[i].present)
			return -ENODEV;
	return 0;
}

static int nexthops_start(struct nexthops *nexthops, struct nexthop *entries,
			  const struct nexthop_interface *interfaces)
{
	uint32_t ifindexes[INTERFACES_MAX];
	int error;

	for (unsigned i = 0; i < nexthops->interface_count; i++)
		ifindexes[i] = nexthops->interfaces[i].ifindex = interfaces[i].ifindex;
	/* Listening comes first, so that nothing falls between the dumps and the notifications. */
	error = netlink_listen(&nexthops->notifications, groups, sizeof(groups) / sizeof(groups[0]));
	if (!error)
		error = netlink_open(&nexthops->dumps);
	if (!error)
		error = netlink_open(&nexthops->resolver);
	if (error)
		return error;
	nexthops->rib = rib_new(interfaces, nexthops->interface_count);
	if (!nexthops->rib)
		return -errno;
	nexthops->neighbours = neighbours_new(entries, &nexthops->resolver, ifindexes, nexthops->interface_count);
	if (!nexthops->neighbours)
		return -errno;
	/* -EINTR: it kept changing while it was read, and will be read again soon. */
	error = resync(nexthops);
	if (error && error != -EINTR)
		return error;
	error = interfaces_check(nexthops);
	if (error)
		return error;
	error = rib_settle(nexthops->rib, &nexthops->dumps);
	if (error && error != -EINTR)
		return error;
	rib_publish(nexthops->rib);
	nexthops->source_changed = false;
	return 0;
}

struct nexthops *nexthops_new(struct nexthop *entries, const struct nexthop_interface *interfaces,
			      unsigned interface_count, const struct nexthop_events *events)
{
	struct nexthops *nexthops;
	int error;

	if (interface_count > INTERFACES_MAX) {
		errno = EINVAL;
		return NULL;
	}
	nexthops = calloc(1, sizeof(*nexthops));
	if (!nexthops)
		return NULL;
	nexthops->interface_count = interface_count;
	if (events)
		nexthops->events = *events;
	error = nexthops_start(nexthops, entries, interfaces);
	if (!error)
		return nexthops;
	nexthops_free(nexthops);
	errno = -error;
	return NULL;
}

void nexthops_free(struct nexthops *nexthops)
{
	if (!nexthops)
		return;
	neighbours_free(nexthops->neighbours);
	rib_free(nexthops->rib);
	netlink_close(&nexthops->resolver);
	netlink_close(&nexthops->dumps);
	netlink_close(&nexthops->notifications);
	free(nexthops->addresses);
	free(nexthops);
}
