/* SPDX-License-Identifier: MIT */
/*
 * neighbour: who is next on a link, and at which MAC address: the slots of the
 * shared `nexthops` map, each the way to one neighbour, and the kernel's
 * resolving of them.
 *
 * The steward thread makes slots and writes entries; neighbour_find is for RCU
 * readers. Slots are made on demand only, NEXTHOPS_MAX of them. The kernel is
 * trusted; addresses may be an attacker's choice (a spoofed client of our own
 * subnet), so the index is hashed with a secret, and what does not resolve is
 * asked for ever more rarely, by unicast NTF_USE requests to the kernel, whose
 * own limits on ARP and neighbour discovery hold.
 */
#ifndef SLUICE_NEIGHBOUR_H
#define SLUICE_NEIGHBOUR_H

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "netlink.h"

/* What a slot stands for. Routes with an MTU of their own have slots of their own. */
struct neighbour_key {
	struct addr address;
	uint32_t ifindex;
	uint16_t interface;    /* slot in nexthop.interface: of the same ifindex always */
	uint16_t mtu_bytes;    /* the route's, 0: only the link's */
};

struct neighbours;

/*
 * entries: NEXTHOPS_MAX of the shared map; live ones are cleared. netlink, for
 * requests, is borrowed. Managed neighbours on the given interfaces that an
 * earlier process of ours left behind are taken back. NULL with errno set.
 */
struct neighbours *neighbours_new(struct nexthop *entries, struct netlink *netlink, const uint32_t *ifindexes,
				  unsigned ifindex_count);

/* Takes managed neighbours back. No reader may be left; the entries stay as they are. */
void neighbours_free(struct neighbours *neighbours);

/* Reader: the key's slot. False: it has none. */
bool neighbour_find(const struct neighbours *neighbours, const struct neighbour_key *key, uint16_t *slot);

/* As nexthop_want, of which this is the second half. 0 or -ENOSPC. */
int neighbour_want(struct neighbours *neighbours, const struct neighbour_key *key, bool keep, const uint64_t *used,
		   uint16_t *slot);

/* RTM_NEWNEIGH or RTM_DELNEIGH. */
void neighbour_notification(struct neighbours *neighbours, const struct nlmsghdr *message);

/* Notifications were lost: reads them all again. 0 or -errno. */
int neighbours_resync(struct neighbours *neighbours);

/* An interface's MAC or MTU, or that it came up: its entries follow. */
void neighbour_link(struct neighbours *neighbours, uint16_t interface, const uint8_t mac[static 6], uint16_t mtu_bytes,
		    bool up);

/* Asks again for what is due. */
void neighbours_housekeeping(struct neighbours *neighbours, uint32_t now_s);

#endif
