/* SPDX-License-Identifier: MIT */
/*
 * nexthop: the kernel's addresses, routes and neighbours (rtnetlink) as the
 * packet path needs them: which interface, which MAC, which source address.
 *
 * The steward thread owns it: it dumps and follows rtnetlink, asks the kernel
 * to resolve neighbours (NTF_USE / NTF_EXT_MANAGED, never flooding), and writes
 * the shared `nexthops` map. Workers only call nexthop_find, which takes no
 * lock and makes no system call: it reads a snapshot under liburcu's QSBR.
 * Nothing is learned from received frames.
 *
 * Which routes are followed, and how far, is told in rib.h: the tables local,
 * main and default, but no further policy rules.
 */
#ifndef SLUICE_NEXTHOP_H
#define SLUICE_NEXTHOP_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"

struct nexthop_interface {
	uint32_t ifindex;
	char name[IF_NAMESIZE];
};

struct nexthops;

/* What changed, told from within nexthop_handle_netlink on the steward thread. Any may be NULL. */
struct nexthop_events {
	void *context;
	/* an address of one of the interfaces came (present) or went */
	void (*address)(void *context, uint32_t ifindex, const struct addr *address, bool present);
	/* routes changed: backends' next hops and source addresses should be looked up again */
	void (*routes_changed)(void *context);
};

/*
 * entries: the shared map's memory, NEXTHOPS_MAX of them; what it already
 * holds is dropped. Only routes out of the given interfaces count; slot i of
 * `interfaces` is nexthop.interface. Reads all addresses (events->address is
 * called for each), routes and neighbours before it returns. The calling
 * thread must be registered with liburcu-qsbr. NULL with errno set on failure.
 */
struct nexthops *nexthops_new(struct nexthop *entries, const struct nexthop_interface *interfaces,
			      unsigned interface_count, const struct nexthop_events *events);

/* Takes back the kernel's managed neighbours that it asked for, then frees. No reader may be left. */
void nexthops_free(struct nexthops *nexthops);

/* To poll for reading; then call nexthop_handle_netlink. Recovers from ENOBUFS by a full dump. */
int nexthop_netlink_fd(const struct nexthops *nexthops);
void nexthop_handle_netlink(struct nexthops *nexthops);

/* About once a second: asks again for what is unresolved, with back-off. */
void nexthop_housekeeping(struct nexthops *nexthops, uint32_t now_s);

enum nexthop_verdict {
	NEXTHOP_FOUND,     /* *slot is set; its entry may still be unresolved */
	NEXTHOP_WANTED,    /* on-link or new gateway without a slot: have the steward call nexthop_want */
	NEXTHOP_NO_ROUTE,  /* or out of an interface that is not ours */
};

/* Worker (RCU reader): the slot in nexthops of the way to `dst`. */
enum nexthop_verdict nexthop_find(const struct nexthops *nexthops, const struct addr *dst, uint16_t *slot);

/*
 * Steward: as nexthop_find, but makes the slot and asks the kernel to resolve
 * it. keep: the neighbour is managed (backends, gateways). 0, -ENETUNREACH, or
 * -ENOSPC when all NEXTHOPS_MAX are taken; then a slot whose neighbour failed
 * is reused first, unless `used` (a bitmap, may be NULL) says it is in use.
 */
int nexthop_want(struct nexthops *nexthops, const struct addr *dst, bool keep, const uint64_t *used, uint16_t *slot);

/* Steward: does one of the interfaces have this address? */
bool nexthop_has_address(const struct nexthops *nexthops, const struct addr *address);

/* Steward: the source address the kernel would use towards dst. 0 or -ENETUNREACH / -EADDRNOTAVAIL. */
int nexthop_source(const struct nexthops *nexthops, const struct addr *dst, struct addr *source);

#endif
