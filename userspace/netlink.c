/* SPDX-License-Identifier: MIT */
/* netlink: see netlink.h. */
#include "netlink.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "bpf/table.h"

enum {
	/*
	 * A notification takes some 1 KiB of the socket's memory. Too little and a
	 * burst of routes costs a full dump (ENOBUFS); too much only bounds memory
	 * that is taken while the steward is busy.
	 */
	LISTEN_BUFFER_BYTES = 16 << 20,
	RECEIVE_MESSAGES_MAX = 4096,
	ANSWER_SECONDS_MAX = 5, /* rtnetlink answers at once; this only turns a kernel bug into an error */
};

int netlink_open(struct netlink *netlink)
{
	struct timeval patience = { .tv_sec = ANSWER_SECONDS_MAX };
	int error;

	netlink->sequence = 0;
	netlink->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!netlink->socket)
		return -errno;
	if (mnl_socket_bind(netlink->socket, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    setsockopt(netlink_fd(netlink), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		goto err_socket;
	return 0;

err_socket:
	error = -errno;
	netlink_close(netlink);
	return error;
}

int netlink_listen(struct netlink *netlink, const unsigned *groups, unsigned group_count)
{
	int size = LISTEN_BUFFER_BYTES;
	int error;

	netlink->sequence = 0;
	netlink->socket = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!netlink->socket)
		return -errno;
	if (mnl_socket_bind(netlink->socket, 0, MNL_SOCKET_AUTOPID) < 0)
		goto err_socket;
	/* FORCE passes net.core.rmem_max by, and needs CAP_NET_ADMIN; without, what we get must do. */
	if (setsockopt(netlink_fd(netlink), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0 &&
	    setsockopt(netlink_fd(netlink), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)) < 0)
		goto err_socket;
	for (unsigned i = 0; i < group_count; i++)
		if (mnl_socket_setsockopt(netlink->socket, NETLINK_ADD_MEMBERSHIP, (void *)&groups[i],
					  sizeof(groups[i])) < 0 && errno != EINVAL)
			goto err_socket;
	return 0;

err_socket:
	error = -errno;
	netlink_close(netlink);
	return error;
}

void netlink_close(struct netlink *netlink)
{
	if (netlink->socket)
		mnl_socket_close(netlink->socket);
	netlink->socket = NULL;
}

int netlink_fd(const struct netlink *netlink)
{
	return mnl_socket_get_fd(netlink->socket);
}

void *netlink_begin(void *memory, uint16_t type, uint16_t flags, size_t header_bytes)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(memory);

	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | flags;
	return mnl_nlmsg_put_extra_header(message, header_bytes);
}

/* One datagram into the buffer: its length, 0 for one that is not the kernel's, or -errno. */
static ssize_t datagram_receive(struct netlink *netlink)
{
	struct sockaddr_nl from = { 0 };
	struct iovec bytes = { netlink->buffer, sizeof(netlink->buffer) };
	struct msghdr header = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &bytes, .msg_iovlen = 1 };
	ssize_t len;

	do
		len = recvmsg(netlink_fd(netlink), &header, 0);
	while (len < 0 && errno == EINTR);
	if (len < 0)
		return -errno;
	if (header.msg_flags & MSG_TRUNC)
		return -ENOBUFS; /* something was lost: as good as an overrun */
	return from.nl_pid ? 0 : len;
}

/* Has the kernel's answer ended with this message? Then *error is the outcome. */
static bool answer_ends(const struct nlmsghdr *message, int *error)
{
	if (message->nlmsg_type != NLMSG_ERROR && message->nlmsg_type != NLMSG_DONE)
		return false;
	*error = 0;
	/* Both begin with a negative errno; DONE may lack it (RFC 3549 s2.3.2.2 knows the first only). */
	if (mnl_nlmsg_get_payload_len(message) >= sizeof(int))
		memcpy(error, mnl_nlmsg_get_payload(message), sizeof(int));
	return true;
}

int netlink_request(struct netlink *netlink, struct nlmsghdr *request, netlink_handler *handler, void *context)
{
	bool interrupted = false;
	int error = 0;

	if ((request->nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
		request->nlmsg_flags |= NLM_F_ACK;
	request->nlmsg_seq = ++netlink->sequence;
	if (mnl_socket_sendto(netlink->socket, request, request->nlmsg_len) < 0)
		return -errno;
	for (;;) {
		ssize_t received = datagram_receive(netlink);
		const struct nlmsghdr *message = (const struct nlmsghdr *)netlink->buffer;

		if (received < 0)
			return (int)received;
		for (int left = (int)received; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
			if (message->nlmsg_seq != netlink->sequence)
				continue; /* left over from a request that was given up */
			/* An interrupted dump is read to its end all the same: the kernel takes one at a time. */
			interrupted |= message->nlmsg_flags & NLM_F_DUMP_INTR;
			if (answer_ends(message, &error))
				return !error && interrupted ? -EINTR : error;
			if (handler && message->nlmsg_type >= NLMSG_MIN_TYPE)
				handler(context, message);
		}
	}
}

int netlink_dump(struct netlink *netlink, uint16_t type, size_t header_bytes, uint8_t family, netlink_handler *handler,
		 void *context)
{
	_Alignas(8) uint8_t memory[NETLINK_REQUEST_BYTES];
	struct rtgenmsg *header = netlink_begin(memory, type, NLM_F_DUMP, header_bytes);

	header->rtgen_family = family; /* the first byte of every family header */
	return netlink_request(netlink, (struct nlmsghdr *)memory, handler, context);
}

int netlink_receive(struct netlink *netlink, netlink_handler *handler, void *context)
{
	bool lost = false;

	for (unsigned i = 0; i < RECEIVE_MESSAGES_MAX; i++) {
		ssize_t received = datagram_receive(netlink);
		const struct nlmsghdr *message = (const struct nlmsghdr *)netlink->buffer;

		if (received == -EAGAIN)
			break;
		if (received < 0)
			lost = true;
		for (int left = (int)received; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
			if (message->nlmsg_type >= NLMSG_MIN_TYPE)
				handler(context, message);
	}
	return lost ? -ENOBUFS : 0;
}

void netlink_nested(const void *payload, size_t len, const struct nlattr **attributes, unsigned max)
{
	const uint8_t *end = (const uint8_t *)payload + len;

	memset(attributes, 0, (max + 1) * sizeof(*attributes));
	for (const struct nlattr *attribute = payload; mnl_attr_ok(attribute, (int)(end - (const uint8_t *)attribute));
	     attribute = mnl_attr_next(attribute))
		if (mnl_attr_get_type(attribute) <= max)
			attributes[mnl_attr_get_type(attribute)] = attribute;
}

void netlink_attributes(const struct nlmsghdr *message, size_t header_bytes, const struct nlattr **attributes,
			unsigned max)
{
	size_t len = mnl_nlmsg_get_payload_len(message);
	size_t skip = MNL_ALIGN(header_bytes);

	netlink_nested(mnl_nlmsg_get_payload_offset(message, header_bytes), len > skip ? len - skip : 0, attributes,
		       max);
}

uint32_t netlink_u32(const struct nlattr *attribute, uint32_t absent)
{
	uint32_t value;

	if (!attribute || mnl_attr_get_payload_len(attribute) < sizeof(value))
		return absent;
	memcpy(&value, mnl_attr_get_payload(attribute), sizeof(value));
	return value;
}

bool netlink_addr_from(const void *bytes, size_t len, uint8_t family, struct addr *addr)
{
	memset(addr, 0, sizeof(*addr));
	if (family == AF_INET && len == 4) {
		addr->bytes[10] = addr->bytes[11] = 0xff; /* RFC 4291 s2.5.5.2 */
		memcpy(addr->bytes + 12, bytes, 4);
		return true;
	}
	if (family == AF_INET6 && len == 16) {
		memcpy(addr->bytes, bytes, 16);
		return true;
	}
	return false;
}

bool netlink_addr(const struct nlattr *attribute, uint8_t family, struct addr *addr)
{
	return attribute && netlink_addr_from(mnl_attr_get_payload(attribute), mnl_attr_get_payload_len(attribute),
					      family, addr);
}

uint8_t netlink_family(const struct addr *addr)
{
	return addr_is_v4(addr) ? AF_INET : AF_INET6;
}

void netlink_put_addr(struct nlmsghdr *message, uint16_t type, const struct addr *addr)
{
	if (addr_is_v4(addr))
		mnl_attr_put(message, type, 4, addr->bytes + 12);
	else
		mnl_attr_put(message, type, 16, addr->bytes);
}
