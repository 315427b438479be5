/* SPDX-License-Identifier: MIT */
/*
 * route_message: RTM_NEWROUTE and RTM_DELROUTE as plain data.
 * Steward thread only; pure. The kernel is trusted, lengths are checked.
 */
#ifndef SLUICE_ROUTE_MESSAGE_H
#define SLUICE_ROUTE_MESSAGE_H

#include "netlink.h"
#include "way.h"

struct route_message {
	struct addr prefix;
	uint8_t len_bits;      /* of the family's own address: 0..32 or 0..128 */
	bool v4;
	uint8_t table;         /* RT_TABLE_LOCAL, _MAIN or _DEFAULT */
	bool dead;             /* no next hop lives */
	uint32_t metric;
	uint32_t object_id;    /* not 0: the next hop is only named by its id */
	struct way way;        /* kind WAY_OUT: for every unicast route; interface is not set */
};

/* False: nothing that we follow (another table, a cached or source-specific route ...). */
bool route_message_parse(const struct nlmsghdr *message, struct route_message *route);

#endif
