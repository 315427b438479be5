/* SPDX-License-Identifier: MIT */
/*
 * netlink: rtnetlink sockets: dumps, requests and notifications (libmnl).
 *
 * Steward thread and start-up only: calls wait for the kernel, which answers
 * within the system call. The kernel is trusted, senders other than it are
 * not heard; attribute lengths are checked all the same.
 */
#ifndef SLUICE_NETLINK_H
#define SLUICE_NETLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include "bpf/abi.h"

enum {
	/* The kernel fills up to 32 KiB at a time of what a dump's reader offers. */
	NETLINK_BUFFER_BYTES = 32768,
	NETLINK_REQUEST_BYTES = 512,
};

struct netlink {
	struct mnl_socket *socket;
	uint32_t sequence;
	_Alignas(8) uint8_t buffer[NETLINK_BUFFER_BYTES];
};

typedef void netlink_handler(void *context, const struct nlmsghdr *message);

/* For requests and dumps. 0 or -errno; then netlink_close is not needed, but allowed. */
int netlink_open(struct netlink *netlink);

/* Hears the given groups (RTNLGRP_*), without waiting. 0 or -errno; a group the kernel lacks is passed over. */
int netlink_listen(struct netlink *netlink, const unsigned *groups, unsigned group_count);

void netlink_close(struct netlink *netlink);
int netlink_fd(const struct netlink *netlink);

/* Starts a message in `memory`, for mnl_attr_put* to add to. Returns the zeroed family header. */
void *netlink_begin(void *memory, uint16_t type, uint16_t flags, size_t header_bytes);

/*
 * Sends a request and calls handler (may be NULL) for each answer. 0, the
 * kernel's -errno, or -EINTR when a dump was inconsistent (NLM_F_DUMP_INTR)
 * and must be taken again.
 */
int netlink_request(struct netlink *netlink, struct nlmsghdr *request, netlink_handler *handler, void *context);

/* Dump of one message type, whose family header has header_bytes. As netlink_request. */
int netlink_dump(struct netlink *netlink, uint16_t type, size_t header_bytes, uint8_t family, netlink_handler *handler,
		 void *context);

/*
 * Calls handler for the notifications waiting, at most some thousands so that
 * a flood of them cannot hold the thread. 0, or -ENOBUFS when some were lost.
 */
int netlink_receive(struct netlink *netlink, netlink_handler *handler, void *context);

/* Fills attributes[0..max] by type from behind a family header of header_bytes; the last of a type wins. */
void netlink_attributes(const struct nlmsghdr *message, size_t header_bytes, const struct nlattr **attributes,
			unsigned max);
void netlink_nested(const void *payload, size_t len, const struct nlattr **attributes, unsigned max);

/* The value, or `absent` without (enough of) the attribute. */
uint32_t netlink_u32(const struct nlattr *attribute, uint32_t absent);

/* False when the attribute is absent or not an address of the family. */
bool netlink_addr(const struct nlattr *attribute, uint8_t family, struct addr *addr);
bool netlink_addr_from(const void *bytes, size_t len, uint8_t family, struct addr *addr);

/* Adds the address as an attribute in its own family's form (4 bytes or 16). */
void netlink_put_addr(struct nlmsghdr *message, uint16_t type, const struct addr *addr);

uint8_t netlink_family(const struct addr *addr);

#endif
