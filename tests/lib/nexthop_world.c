/* SPDX-License-Identifier: MIT */
/* nexthop_world: see nexthop_world.h. */
#include "nexthop_world.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <urcu-qsbr.h>
#include <cmocka.h>

#include "bpf/table.h"
#include "userspace/table.h"

enum { STEP_MS = 10, WAITS_MAX = 1000, COMMAND_MAX = 1024 };

static void run(const char *prefix, const char *format, va_list args)
{
	char command[COMMAND_MAX];
	int len = snprintf(command, sizeof(command), "%s", prefix);

	len += vsnprintf(command + len, sizeof(command) - (size_t)len, format, args);
	assert_true(len < (int)sizeof(command));
	if (system(command) != 0)
		fail_msg("failed: %s", command);
}

void near_run(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	run("", format, args);
	va_end(args);
}

void far_run(const struct world *world, const char *format, ...)
{
	char prefix[64];
	va_list args;

	snprintf(prefix, sizeof(prefix), "nsenter --net=/proc/%d/ns/net ", (int)world->far);
	va_start(args, format);
	run(prefix, format, args);
	va_end(args);
}

bool near_says(const char *format, ...)
{
	char command[COMMAND_MAX];
	va_list args;
	FILE *output;
	bool any;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	output = popen(command, "r");
	assert_non_null(output);
	any = fgetc(output) != EOF;
	pclose(output);
	return any;
}

/* A child in a namespace of its own, which holds it until it is killed. */
static pid_t far_hold(void)
{
	int ready[2];
	char byte;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ready[0]);
		if (unshare(CLONE_NEWNET) < 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void link_make(const struct world *world, const char *near, unsigned n)
{
	/* Far indexes differ from near ones: else the kernel is late to tell of the carrier (net/core/link_watch.c). */
	near_run("ip link add %s address 02:00:00:00:00:1%u type veth peer name far%u address 02:00:00:00:00:2%u "
		 "index 10%u netns %d", near, n, n, n, n, (int)world->far);
	/* Failing is quick, too: one question, of 100 ms. */
	near_run("sysctl -qw net.ipv6.conf.%s.accept_dad=0 net.ipv4.neigh.%s.retrans_time_ms=100 "
		 "net.ipv6.neigh.%s.retrans_time_ms=100 net.ipv4.neigh.%s.mcast_solicit=1 "
		 "net.ipv6.neigh.%s.mcast_solicit=1", near, near, near, near, near);
	far_run(world, "sysctl -qw net.ipv6.conf.far%u.accept_dad=0", n);
	near_run("ip address add 10.9.%u.1/24 dev %s && ip address add fd09:%u::1/64 dev %s nodad", n, near, n, near);
	far_run(world, "sh -c 'ip address add 10.9.%u.2/24 dev far%u && "
		"ip address add fd09:%u::2/64 dev far%u nodad && ip link set far%u up'", n, n, n, n, n);
	near_run("ip link set %s up", near);
}

int world_setup(void **state)
{
	static const char *const near[] = { "near0", "near1", "other" };
	struct world *world = calloc(1, sizeof(*world));

	assert_non_null(world);
	*state = world;
	if (unshare(CLONE_NEWNET) < 0) {
		print_error("needs root: network namespaces\n");
		return -1;
	}
	near_run("ip link set lo up");
	world->far = far_hold();
	for (unsigned i = 0; i < 3; i++)
		link_make(world, near[i], i);
	far_run(world, "sh -c 'ip address add 10.9.0.3/24 dev far0 && ip address add fd09::3/64 dev far0 nodad'");
	/* Carriers come up in the background, and each would have the routes read again in the midst of a test. */
	for (unsigned i = 0; near_says("ip -brief link show type veth | grep -v ' UP '"); i++) {
		assert_true(i < WAITS_MAX);
		poll(NULL, 0, STEP_MS);
	}
	for (unsigned i = 0; i < 2; i++) {
		world->interfaces[i].ifindex = if_nametoindex(near[i]);
		snprintf(world->interfaces[i].name, IF_NAMESIZE, "%s", near[i]);
	}
	urcu_qsbr_register_thread();
	return 0;
}

int world_teardown(void **state)
{
	struct world *world = *state;

	world_stop(world);
	urcu_qsbr_unregister_thread();
	if (world->far > 0) {
		kill(world->far, SIGKILL);
		waitpid(world->far, NULL, 0);
	}
	free(world);
	return 0;
}

static void on_address(void *context, uint32_t ifindex, const struct addr *address, bool present)
{
	struct world *world = context;

	assert_true(world->told_count < TOLD_MAX);
	world->told[world->told_count++] = (struct told){ ifindex, *address, present };
}

static void on_routes_changed(void *context)
{
	((struct world *)context)->routes_changed++;
}

void world_start(struct world *world)
{
	const struct nexthop_events events = { world, on_address, on_routes_changed };

	assert_null(world->nexthops);
	world->nexthops = nexthops_new(world->entries, world->interfaces, 2, &events);
	assert_non_null(world->nexthops);
}

void world_stop(struct world *world)
{
	nexthops_free(world->nexthops);
	world->nexthops = NULL;
}

void world_step(struct world *world)
{
	struct pollfd netlink = { .fd = nexthop_netlink_fd(world->nexthops), .events = POLLIN };

	urcu_qsbr_quiescent_state();
	if (poll(&netlink, 1, STEP_MS) > 0)
		nexthop_handle_netlink(world->nexthops);
	nexthop_housekeeping(world->nexthops, ++world->now_s);
}

struct addr addr_of(const char *text)
{
	struct addr addr = { 0 };

	if (strchr(text, ':')) {
		assert_int_equal(inet_pton(AF_INET6, text, addr.bytes), 1);
		return addr;
	}
	addr.bytes[10] = addr.bytes[11] = 0xff;
	assert_int_equal(inet_pton(AF_INET, text, addr.bytes + 12), 1);
	return addr;
}

const char *find(const struct world *world, const char *dst, uint16_t *slot)
{
	static const char *const names[] = {
		[NEXTHOP_FOUND] = "FOUND", [NEXTHOP_WANTED] = "WANTED", [NEXTHOP_NO_ROUTE] = "NO_ROUTE",
	};
	struct addr addr = addr_of(dst);
	uint16_t unused;

	return names[nexthop_find(world->nexthops, &addr, slot ? slot : &unused)];
}

uint16_t want(struct world *world, const char *dst, bool keep)
{
	struct addr addr = addr_of(dst);
	uint16_t slot, found;

	assert_int_equal(nexthop_want(world->nexthops, &addr, keep, NULL, &slot), 0);
	assert_string_equal(find(world, dst, &found), "FOUND");
	assert_int_equal(found, slot);
	return slot;
}

struct nexthop entry_at(const struct world *world, uint16_t slot)
{
	struct nexthop entry;

	if (!entry_read(&world->entries[slot], &entry, sizeof(entry), NULL))
		memset(&entry, 0, sizeof(entry));
	return entry;
}

bool leads_to(const struct world *world, uint16_t slot, uint8_t last)
{
	const uint8_t mac[6] = { 2, 0, 0, 0, 0, last };
	struct nexthop entry = entry_at(world, slot);

	return entry.flags & NEXTHOP_RESOLVED && memcmp(entry.dmac, mac, sizeof(mac)) == 0;
}

int told_balance(const struct world *world, unsigned interface, const char *address)
{
	struct addr addr = addr_of(address);
	int balance = 0;

	for (unsigned i = 0; i < world->told_count; i++)
		if (world->told[i].ifindex == world->interfaces[interface].ifindex &&
		    addr_equal(&world->told[i].address, &addr))
			balance += world->told[i].present ? 1 : -1;
	return balance;
}
