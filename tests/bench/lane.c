/* SPDX-License-Identifier: MIT */
/* lane: see lane.h. */
#include "lane.h"

#include <arpa/inet.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench.h"

static int ns_home = -1;

void ns_enter(int ns)
{
	if (ns_home < 0)
		ns_home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (setns(ns, CLONE_NEWNET)) {
		perror("bench: setns");
		exit(1);
	}
}

void ns_leave(void)
{
	ns_enter(ns_home);
}

static int ns_open(const char *testbed, const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s-%s", testbed, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		bench_failed("%s: %s", path, strerror(errno));
	return fd;
}

static bool end_open(struct lane_end *end, int ns, const char *name)
{
	struct ifreq request = { 0 };
	int fd, error;

	*end = (struct lane_end){ .ns = ns };
	snprintf(end->name, sizeof(end->name), "%s", name);
	memcpy(request.ifr_name, end->name, sizeof(end->name));
	ns_enter(ns);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	end->ifindex = if_nametoindex(name);
	error = ioctl(fd, SIOCGIFHWADDR, &request);
	close(fd);
	ns_leave();
	memcpy(end->mac, request.ifr_hwaddr.sa_data, sizeof(end->mac));
	return (!error && end->ifindex) || bench_failed("%s: no such interface", name);
}

bool lane_open(struct lane *lane, const char *testbed)
{
	*lane = (struct lane){ .name = testbed };
	lane->client_ns = ns_open(testbed, "client");
	lane->relay_ns = ns_open(testbed, "relay");
	lane->backend_ns = ns_open(testbed, "a");
	return lane->client_ns >= 0 && lane->relay_ns >= 0 && lane->backend_ns >= 0 &&
	       end_open(&lane->client, lane->client_ns, "cl0") && end_open(&lane->in, lane->relay_ns, "relay0") &&
	       end_open(&lane->out, lane->relay_ns, "relay1") && end_open(&lane->backend, lane->backend_ns, "a0");
}

void lane_close(struct lane *lane)
{
	close(lane->client_ns);
	close(lane->relay_ns);
	close(lane->backend_ns);
}

bool lane_attach(const struct lane_end *end, int program)
{
	int error;

	ns_enter(end->ns);
	error = bpf_xdp_attach((int)end->ifindex, program, XDP_FLAGS_DRV_MODE, NULL);
	ns_leave();
	return !error || bench_failed("%s: XDP: %s", end->name, strerror(-error));
}

int lane_socket(int ns, uint32_t address, uint16_t port)
{
	struct sockaddr_in local = {
		.sin_family = AF_INET, .sin_addr.s_addr = htonl(address), .sin_port = htons(port),
	};
	int fd;

	ns_enter(ns);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&local, sizeof(local))) {
		bench_failed("bind to port %u: %s", port, strerror(errno));
		close(fd);
		fd = -1;
	}
	ns_leave();
	return fd;
}
