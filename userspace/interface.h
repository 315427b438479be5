/* SPDX-License-Identifier: MIT */
/* interface: what the relay must know of a network interface before it binds to it. Start-up; any thread. */
#ifndef SLUICE_INTERFACE_H
#define SLUICE_INTERFACE_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

struct interface {
	char name[IF_NAMESIZE];
	uint32_t ifindex;
	uint32_t queues;             /* RX queues in use (ethtool -l) */
	uint32_t mtu_bytes;
	bool gone;                   /* seen to be away; set by the steward */
};

/* 0 or -errno: -ENODEV for a name that is not there. */
int interface_query(const char *name, struct interface *interface);

#endif
