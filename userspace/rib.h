/* SPDX-License-Identifier: MIT */
/*
 * rib: the kernel's routes, followed by rtnetlink, as a way to each address.
 *
 * The steward thread writes; rib_find is for RCU readers too. Of what the
 * kernel would do this knows:
 *
 * - the tables local, main and default in the order of the default rules.
 *   Further policy rules, VRFs, TOS and source-specific routes are not
 *   followed;
 * - the lowest metric among equal prefixes; of a multipath route the first
 *   next hop that lives; IPv6 router preference is not considered;
 * - blackhole, unreachable, prohibit, local, broadcast, multicast and
 *   encapsulating routes, and those out of foreign interfaces: no way, for the
 *   whole of their prefix. A throw route leads to the next table;
 * - nexthop objects, by the attributes that the kernel adds for them
 *   (net.ipv4.nexthop_compat_mode) or else by RTM_GETNEXTHOP.
 *
 * The kernel does not tell everything (IPv4 routes vanish silently with their
 * interface or address; a deleted sibling does not say which one is left), so
 * whatever is in doubt is read again as a whole: by rib_settle, which spends
 * at most about a quarter of the time on that.
 */
#ifndef SLUICE_RIB_H
#define SLUICE_RIB_H

#include <stdbool.h>
#include <stdint.h>

#include "netlink.h"
#include "nexthop.h"
#include "way.h"

struct rib;

/* An empty one. NULL when out of memory. The interfaces are copied. */
struct rib *rib_new(const struct nexthop_interface *interfaces, unsigned interface_count);

/* No reader may be left. */
void rib_free(struct rib *rib);

/* Takes in a notification: RTM_NEWROUTE, RTM_DELROUTE, RTM_NEWNEXTHOP or RTM_DELNEXTHOP. */
void rib_notification(struct rib *rib, const struct nlmsghdr *message);

/* A link's IFF_UP changed or it vanished: routes came or went, perhaps silently. */
void rib_link_changed(struct rib *rib, uint32_t ifindex);

/* An address was removed from the interface: with it, silently, IPv4 routes that prefer it or need it. */
void rib_address_removed(struct rib *rib, uint32_t ifindex, const struct addr *address);

/* Everything is in doubt (notifications were lost). */
void rib_doubt(struct rib *rib);

/* About once a second, before rib_settle: brings back to doubt what may have been read too early. */
void rib_recheck(struct rib *rib);

/*
 * Reads again what is in doubt, unless that was done too recently: then call
 * it again later. 0 or -errno; -EINTR: the routes kept changing, a part is in
 * doubt still.
 */
int rib_settle(struct rib *rib, struct netlink *netlink);

/* Shows readers the routes as they are now; waits for a grace period if they changed. True if so. */
bool rib_publish(struct rib *rib);

/* Reader: a way of kind WAY_OUT, or NULL. Valid until the reader's next quiescent state. */
const struct way *rib_find(const struct rib *rib, const struct addr *dst);

size_t rib_route_count(const struct rib *rib);

#endif
