/* SPDX-License-Identifier: MIT */
/* interface: see interface.h. */
#include "interface.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static struct ifreq request_for(const char *name)
{
	struct ifreq request = { 0 };

	memcpy(request.ifr_name, name, strnlen(name, IF_NAMESIZE - 1));
	return request;
}

/* Drivers without ethtool channels have one queue. */
static uint32_t queues_of(int fd, const char *name)
{
	struct ethtool_channels channels = { .cmd = ETHTOOL_GCHANNELS };
	struct ifreq request = request_for(name);
	uint32_t queues;

	request.ifr_data = (char *)&channels;
	if (ioctl(fd, SIOCETHTOOL, &request) < 0)
		return 1;
	queues = channels.combined_count + channels.rx_count;
	return queues ? queues : 1;
}

int interface_query(const char *name, struct interface *interface)
{
	struct ifreq request = request_for(name);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), error = 0;

	if (fd < 0)
		return -errno;
	*interface = (struct interface){ .ifindex = if_nametoindex(name) };
	memcpy(interface->name, request.ifr_name, IF_NAMESIZE);
	if (interface->ifindex == 0 || ioctl(fd, SIOCGIFMTU, &request) < 0) {
		error = -errno;
	} else {
		interface->mtu_bytes = (uint32_t)request.ifr_mtu;
		interface->queues = queues_of(fd, name);
	}
	close(fd);
	return error;
}
