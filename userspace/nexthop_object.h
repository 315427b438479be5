/* SPDX-License-Identifier: MIT */
/*
 * nexthop_object: the kernel's nexthop objects (`ip nexthop`), for routes that
 * name theirs by id only (net.ipv4.nexthop_compat_mode = 0). Steward thread
 * only. The kernel is trusted, lengths are checked.
 */
#ifndef SLUICE_NEXTHOP_OBJECT_H
#define SLUICE_NEXTHOP_OBJECT_H

#include "netlink.h"
#include "way.h"

struct nexthop_object;

struct nexthop_objects {
	struct nexthop_object *objects; /* by id */
	size_t count, space;
};

/* RTM_NEWNEXTHOP or RTM_DELNEXTHOP. 0, or -ENOMEM: one is missing. */
int nexthop_object_message(struct nexthop_objects *objects, const struct nlmsghdr *message);

/* Reads them all anew. 0 or -errno; objects that the kernel does not know at all (before Linux 5.3) are none. */
int nexthop_objects_dump(struct nexthop_objects *objects, struct netlink *netlink);

/* Sets kind, ifindex and gateway of way to the object's, or its first member's. Unknown ids change nothing. */
void nexthop_object_resolve(const struct nexthop_objects *objects, uint32_t id, struct way *way);

void nexthop_objects_end(struct nexthop_objects *objects);

#endif
