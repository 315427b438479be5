/* SPDX-License-Identifier: MIT */
/* Routes and source addresses, in real network namespaces (drawn in tests/lib/nexthop_world.h). Root. */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <urcu-qsbr.h>
#include <cmocka.h>

#include "bpf/table.h"
#include "tests/lib/choice.h"
#include "tests/lib/nexthop_world.h"

static bool is(const struct world *world, const char *dst, const char *verdict)
{
	return strcmp(find(world, dst, NULL), verdict) == 0;
}

/* Is dst reached by this neighbour? Makes both slots. */
static bool goes_by(struct world *world, const char *dst, const char *neighbour)
{
	struct addr addr = addr_of(dst), neighbour_addr = addr_of(neighbour);
	uint16_t slot, neighbour_slot;

	return nexthop_want(world->nexthops, &addr, false, NULL, &slot) == 0 &&
	       nexthop_want(world->nexthops, &neighbour_addr, false, NULL, &neighbour_slot) == 0 &&
	       slot == neighbour_slot;
}

/* --- verdicts ---------------------------------------------------------------------------------- */

static void destinations_have_the_kernels_verdict(void **state)
{
	static const struct {
		const char *name, *dst, *verdict;
	} rows[] = {
		{ "own address", "10.9.0.1", "NO_ROUTE" },
		{ "own address, IPv6", "fd09::1", "NO_ROUTE" },
		{ "address of another interface", "10.9.2.1", "NO_ROUTE" },
		{ "loopback", "127.0.0.1", "NO_ROUTE" },
		{ "loopback, IPv6", "::1", "NO_ROUTE" },
		{ "broadcast of a subnet", "10.9.0.255", "NO_ROUTE" },
		{ "limited broadcast", "255.255.255.255", "NO_ROUTE" },
		{ "multicast, below the default route", "224.0.0.1", "NO_ROUTE" },
		{ "multicast, IPv6", "ff02::1", "NO_ROUTE" },
		{ "unspecified", "0.0.0.0", "NO_ROUTE" },
		{ "unspecified, IPv6", "::", "NO_ROUTE" },
		{ "on link", "10.9.0.200", "WANTED" },
		{ "on link, IPv6", "fd09::200", "WANTED" },
		{ "default route", "192.0.2.1", "WANTED" },
		{ "default route, IPv6", "2001:db8::1", "WANTED" },
		{ "foreign interface", "10.9.2.2", "NO_ROUTE" },
		{ "foreign interface, IPv6", "fd09:2::2", "NO_ROUTE" },
		{ "foreign interface, longer prefix than ours", "10.50.1.1", "NO_ROUTE" },
		{ "beside it", "10.50.2.1", "WANTED" },
		{ "blackhole", "10.51.1.1", "NO_ROUTE" },
		{ "ours within a blackhole", "10.51.2.1", "WANTED" },
		{ "unreachable", "10.52.0.1", "NO_ROUTE" },
		{ "prohibit", "10.53.0.1", "NO_ROUTE" },
		{ "unreachable, IPv6", "fd52::1", "NO_ROUTE" },
		{ "of another TOS only: the default route", "10.54.0.1", "WANTED" },
		{ "source-specific only: the default route", "fd55::1", "WANTED" },
		{ "in a table without a rule of ours: the default route", "10.56.0.1", "WANTED" },
		{ "thrown from main to the table default", "10.57.0.1", "NO_ROUTE" },
		{ "thrown from main to nowhere", "10.58.0.1", "NO_ROUTE" },
		{ "AnyIP: a local prefix", "10.59.0.1", "NO_ROUTE" },
		{ "IPv4, within the local prefix a longer one in main", "10.59.1.1", "WANTED" },
		{ "IPv6, within the local prefix a longer one in main", "fd59:1::1", "NO_ROUTE" },
		{ "encapsulating", "10.60.0.1", "NO_ROUTE" },
	};
	struct world *world = *state;

	near_run("ip -batch - <<-END\n"
		 "route add default via 10.9.0.2\n"
		 "route add default via fd09::2\n"
		 "route add 10.50.0.0/16 via 10.9.0.2\n"
		 "route add 10.50.1.0/24 via 10.9.2.2\n"
		 "route add blackhole 10.51.0.0/16\n"
		 "route add 10.51.2.0/24 via 10.9.1.2\n"
		 "route add unreachable 10.52.0.0/16\n"
		 "route add prohibit 10.53.0.0/16\n"
		 "route add unreachable fd52::/16\n"
		 "route add blackhole 10.54.0.0/16 tos 0x10\n"
		 "route add fd55::/16 from fd09::/64 via fd09:2::2\n"
		 "route add blackhole 10.56.0.0/16 table 100\n"
		 "route add throw 10.57.0.0/16\n"
		 "route add blackhole 10.57.0.0/24 table default\n"
		 "route add throw 10.58.0.0/16\n"
		 "route add local 10.59.0.0/16 dev lo\n"
		 "route add 10.59.1.0/24 via 10.9.0.2\n"
		 "route add local fd59::/16 dev lo\n"
		 "route add fd59:1::/32 via fd09::2\n"
		 "route add 10.60.0.0/16 encap ip id 7 dst 10.9.0.2 dev near0\n"
		 "END");
	world_start(world);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (!is(world, rows[i].dst, rows[i].verdict))
			fail_msg("%s (%s): %s, should be %s", rows[i].name, rows[i].dst, find(world, rows[i].dst, NULL),
				 rows[i].verdict);
}

static void want_without_a_route_is_unreachable(void **state)
{
	struct world *world = *state;
	struct addr addr = addr_of("192.0.2.1"), source;
	uint16_t slot;

	world_start(world);
	assert_int_equal(nexthop_want(world->nexthops, &addr, true, NULL, &slot), -ENETUNREACH);
	assert_int_equal(nexthop_source(world->nexthops, &addr, &source), -ENETUNREACH);
}

static void gateways_are_shared_and_kept(void **state)
{
	struct world *world = *state;
	uint16_t slot;

	near_run("ip route add 10.61.0.0/16 via 10.9.0.2 && ip route add fd61::/16 via fd09::2");
	near_run("ip route add 10.62.0.0/16 via inet6 fd09:1::2 dev near1"); /* RFC 5549 */
	world_start(world);
	slot = want(world, "10.61.0.1", false);
	assert_int_equal(want(world, "10.61.0.2", false), slot);
	assert_true(goes_by(world, "10.61.0.1", "10.9.0.2"));
	assert_true(goes_by(world, "fd61::1", "fd09::2"));
	assert_true(goes_by(world, "10.62.0.1", "fd09:1::2"));
	WAIT(world, leads_to(world, slot, 0x20) && leads_to(world, want(world, "10.62.0.1", false), 0x21));
	assert_true(near_says("ip neigh show 10.9.0.2 | grep managed"));
	assert_true(near_says("ip neigh show fd09:1::2 | grep managed"));
}

/* --- changes ----------------------------------------------------------------------------------- */

static void route_change_flips_the_slot(void **state)
{
	struct world *world = *state;
	unsigned changes;

	near_run("ip route add default via 10.9.0.2 && ip route add default via fd09::2");
	world_start(world);
	assert_true(goes_by(world, "192.0.2.1", "10.9.0.2") && goes_by(world, "2001:db8::1", "fd09::2"));
	changes = world->routes_changed;
	near_run("ip route replace default via 10.9.0.3 && ip route replace default via fd09::3");
	WAIT(world, goes_by(world, "192.0.2.1", "10.9.0.3") && goes_by(world, "2001:db8::1", "fd09::3"));
	assert_true(world->routes_changed > changes);
	/* A longer prefix, then a better metric, then back. */
	near_run("ip route add 192.0.2.0/24 via 10.9.1.2 metric 10");
	near_run("ip route add 2001:db8::/32 via fd09:1::2 metric 10");
	WAIT(world, goes_by(world, "192.0.2.1", "10.9.1.2") && goes_by(world, "2001:db8::1", "fd09:1::2"));
	near_run("ip route add 192.0.2.0/24 via 10.9.0.2 metric 5 && ip route add 2001:db8::/32 via fd09::2 metric 5");
	WAIT(world, goes_by(world, "192.0.2.1", "10.9.0.2") && goes_by(world, "2001:db8::1", "fd09::2"));
	near_run("ip route del 192.0.2.0/24 metric 5 && ip route del 2001:db8::/32 metric 5");
	WAIT(world, goes_by(world, "192.0.2.1", "10.9.1.2") && goes_by(world, "2001:db8::1", "fd09:1::2"));
	near_run("ip route del 192.0.2.0/24 && ip route del 2001:db8::/32");
	WAIT(world, goes_by(world, "192.0.2.1", "10.9.0.3") && goes_by(world, "2001:db8::1", "fd09::3"));
	near_run("ip route del default && ip -6 route del default");
	WAIT(world, is(world, "192.0.2.1", "NO_ROUTE") && is(world, "2001:db8::1", "NO_ROUTE"));
	/* Nothing happens, nothing is told. */
	changes = world->routes_changed;
	near_run("ip neigh replace 10.9.0.2 lladdr 02:00:00:00:00:99 dev near0");
	WAIT(world, leads_to(world, want(world, "10.9.0.2", false), 0x99));
	assert_int_equal(world->routes_changed, changes);
}

/* Routes of one prefix and metric: only the kernel knows which comes first, and which is left. */
static void appended_and_prepended_routes(void **state)
{
	struct world *world = *state;

	near_run("ip route add 10.63.0.0/16 via 10.9.0.2");
	world_start(world);
	near_run("ip route append 10.63.0.0/16 via 10.9.0.3");
	near_run("ip route prepend 10.63.0.0/16 via 10.9.1.2");
	WAIT(world, goes_by(world, "10.63.0.1", "10.9.1.2"));
	near_run("ip route del 10.63.0.0/16 via 10.9.1.2");
	WAIT(world, goes_by(world, "10.63.0.1", "10.9.0.2"));
	near_run("ip route del 10.63.0.0/16 via 10.9.0.2");
	WAIT(world, goes_by(world, "10.63.0.1", "10.9.0.3"));
	near_run("ip route del 10.63.0.0/16");
	WAIT(world, is(world, "10.63.0.1", "NO_ROUTE"));
}

static void multipath_takes_the_first_that_lives(void **state)
{
	struct world *world = *state;

	near_run("ip route add 10.64.0.0/16 nexthop via 10.9.1.2 nexthop via 10.9.0.2");
	near_run("ip route add fd64::/16 nexthop via fd09:1::2 nexthop via fd09::2");
	world_start(world);
	assert_true(goes_by(world, "10.64.0.1", "10.9.1.2") && goes_by(world, "fd64::1", "fd09:1::2"));
	near_run("ip link set near1 down");
	WAIT(world, goes_by(world, "10.64.0.1", "10.9.0.2") && goes_by(world, "fd64::1", "fd09::2"));
	near_run("ip link set near1 up && ip address replace fd09:1::1/64 dev near1 nodad");
	WAIT(world, goes_by(world, "10.64.0.1", "10.9.1.2"));
	near_run("ip -6 route del fd64::/16 && ip route del 10.64.0.0/16");
	WAIT(world, is(world, "10.64.0.1", "NO_ROUTE") && is(world, "fd64::1", "NO_ROUTE"));
	/* IPv6 siblings one by one. */
	near_run("ip -6 route add fd64::/16 via fd09::2 && ip -6 route append fd64::/16 via fd09:1::2");
	WAIT(world, goes_by(world, "fd64::1", "fd09::2") || goes_by(world, "fd64::1", "fd09:1::2"));
	near_run("ip -6 route del fd64::/16 via fd09::2");
	WAIT(world, goes_by(world, "fd64::1", "fd09:1::2"));
}

static void nexthop_objects(struct world *world)
{
	near_run("ip nexthop add id 1 via 10.9.0.2 dev near0 && ip nexthop add id 2 via fd09::2 dev near0");
	near_run("ip nexthop add id 3 via 10.9.1.2 dev near1 && ip nexthop add id 10 group 3/1");
	near_run("ip nexthop add id 4 blackhole");
	near_run("ip route add 10.65.0.0/16 nhid 1 && ip route add fd65::/16 nhid 2");
	near_run("ip route add 10.66.0.0/16 nhid 10 && ip route add 10.67.0.0/16 nhid 4");
	world_start(world);
	assert_true(goes_by(world, "10.65.0.1", "10.9.0.2") && goes_by(world, "fd65::1", "fd09::2"));
	assert_true(goes_by(world, "10.66.0.1", "10.9.1.2") || goes_by(world, "10.66.0.1", "10.9.0.2"));
	assert_true(is(world, "10.67.0.1", "NO_ROUTE"));
	near_run("ip nexthop replace id 1 via 10.9.0.3 dev near0 && ip nexthop replace id 2 via fd09::3 dev near0");
	WAIT(world, goes_by(world, "10.65.0.1", "10.9.0.3") && goes_by(world, "fd65::1", "fd09::3"));
	near_run("ip nexthop add id 5 via 10.9.1.2 dev near1 && ip route add 10.68.0.0/16 nhid 5");
	WAIT(world, goes_by(world, "10.68.0.1", "10.9.1.2"));
	/* IPv4 routes go with theirs, without a word. */
	near_run("ip nexthop del id 1 && ip nexthop del id 2 && ip nexthop del id 5");
	WAIT(world, is(world, "10.65.0.1", "NO_ROUTE") && is(world, "fd65::1", "NO_ROUTE") &&
		    is(world, "10.68.0.1", "NO_ROUTE"));
}

static void nexthop_objects_with_attributes(void **state)
{
	nexthop_objects(*state);
}

static void nexthop_objects_by_id_only(void **state)
{
	near_run("sysctl -qw net.ipv4.nexthop_compat_mode=0");
	nexthop_objects(*state);
}

/* The kernel does not tell of the IPv4 routes that vanish with a link. */
static void link_down_takes_its_routes(void **state)
{
	struct world *world = *state;

	near_run("ip route add 10.69.0.0/16 via 10.9.1.2 && ip route add fd69::/16 via fd09:1::2");
	near_run("ip route add default via 10.9.0.2 metric 10");
	near_run("ip route add 10.70.0.0/16 via 10.9.2.2"); /* somebody else's interface hides our default route */
	world_start(world);
	assert_true(goes_by(world, "10.69.0.1", "10.9.1.2") && goes_by(world, "fd69::1", "fd09:1::2"));
	assert_true(is(world, "10.70.0.1", "NO_ROUTE"));
	near_run("ip link set near1 down");
	WAIT(world, goes_by(world, "10.69.0.1", "10.9.0.2") && is(world, "fd69::1", "NO_ROUTE"));
	near_run("ip link set other down");
	WAIT(world, goes_by(world, "10.70.0.1", "10.9.0.2"));
	near_run("ip link set near1 up && ip route add 10.69.0.0/16 via 10.9.1.2");
	WAIT(world, goes_by(world, "10.69.0.1", "10.9.1.2"));
	near_run("ip link del near1"); /* and for good */
	WAIT(world, goes_by(world, "10.69.0.1", "10.9.0.2") && goes_by(world, "10.9.1.2", "10.9.0.2"));
	WAIT(world, told_balance(world, 1, "10.9.1.1") == 0 && told_balance(world, 1, "fd09:1::1") == 0);
}

/* Nor of those that vanish with an address. */
static void removed_address_takes_its_routes(void **state)
{
	struct world *world = *state;

	near_run("ip address add 10.9.0.9/24 dev near0");
	near_run("ip route add 10.71.0.0/16 via 10.9.0.2 src 10.9.0.9 && ip route add 10.72.0.0/16 via 10.9.1.2");
	world_start(world);
	assert_true(is(world, "10.71.0.1", "WANTED") && is(world, "10.72.0.1", "WANTED"));
	near_run("ip address del 10.9.0.9/24 dev near0 && ip address del 10.9.1.1/24 dev near1");
	WAIT(world, is(world, "10.71.0.1", "NO_ROUTE") && is(world, "10.72.0.1", "NO_ROUTE"));
	assert_true(is(world, "10.9.0.2", "WANTED") && is(world, "10.9.1.2", "NO_ROUTE"));
}

static void new_own_address_is_no_destination(void **state)
{
	struct world *world = *state;

	world_start(world);
	assert_true(is(world, "10.9.0.50", "WANTED") && is(world, "fd09::50", "WANTED"));
	near_run("ip address add 10.9.0.50/24 dev near0 && ip address add fd09::50/64 dev near0 nodad");
	WAIT(world, is(world, "10.9.0.50", "NO_ROUTE") && is(world, "fd09::50", "NO_ROUTE"));
	near_run("ip address del 10.9.0.50/24 dev near0 && ip address del fd09::50/64 dev near0");
	WAIT(world, is(world, "10.9.0.50", "WANTED") && is(world, "fd09::50", "WANTED"));
}

/* --- source addresses -------------------------------------------------------------------------- */

static void source_addresses(void **state)
{
	static const struct {
		const char *name, *dst, *source;
	} rows[] = {
		{ "on link", "10.9.0.2", "10.9.0.1" },
		{ "on link, the second subnet of the interface", "10.73.0.2", "10.73.0.1" },
		{ "on link, IPv6", "fd09::2", "fd09::1" },
		{ "the gateway's subnet, not the interface's first", "10.74.0.1", "10.73.0.1" },
		{ "the gateway's subnet, IPv6", "fd74::1", "fd73::1" },
		{ "the route's own", "10.75.0.1", "10.9.0.9" },
		{ "the route's own, of another interface", "fd75::1", "fd09:1::1" },
		{ "a link-local gateway: the first global one that is not deprecated", "fd76::1", "fd09:1::1" },
		{ "a link-local destination", "fe80::ff:fe00:20", "fe80::ff:fe00:10" },
		{ "point to point", "10.77.0.2", "10.77.0.1" },
		{ "IPv4 by way of an IPv6 router", "10.78.0.1", "10.9.0.1" },
	};
	struct world *world = *state;
	struct addr addr, source, expected;

	/* Deprecated addresses stand before and after the good one: whichever comes first. */
	near_run("ip -batch - <<-END\n"
		 "address add 10.9.0.9/24 dev near0\n"
		 "address add 10.73.0.1/24 dev near0\n"
		 "address add fd73::1/64 dev near0 nodad\n"
		 "address add fd79::1/64 dev near1 nodad preferred_lft 0\n"
		 "address add 10.77.0.1 peer 10.77.0.2/32 dev near1\n"
		 "address del fd09:1::1/64 dev near1\n"
		 "address add fd09:1::1/64 dev near1 nodad\n"
		 "address add fd79::2/64 dev near1 nodad preferred_lft 0\n"
		 "route add 10.74.0.0/16 via 10.73.0.2\n"
		 "route add fd74::/16 via fd73::2\n"
		 "route add 10.75.0.0/16 via 10.9.0.2 src 10.9.0.9\n"
		 "route add fd75::/16 via fd09::2 src fd09:1::1\n"
		 "route add fd76::/16 via fe80::1 dev near1\n"
		 "route add 10.78.0.0/16 via inet6 fe80::1 dev near0\n"
		 "route flush fe80::/64 dev near1\n"
		 "END");
	world_start(world);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		addr = addr_of(rows[i].dst);
		expected = addr_of(rows[i].source);
		if (nexthop_source(world->nexthops, &addr, &source) || !addr_equal(&source, &expected))
			fail_msg("%s: not %s", rows[i].name, rows[i].source);
	}
	/* An interface without an address of the family has none to give. */
	near_run("ip address flush dev near0 && ip address add 10.9.0.1/24 dev near0");
	near_run("ip route add fd80::/16 dev near0");
	addr = addr_of("fd80::1");
	WAIT(world, nexthop_source(world->nexthops, &addr, &source) == -EADDRNOTAVAIL);
}

/* --- a flood of routes, compared with what the kernel says -------------------------------------- */

enum { FLOOD = 1000, ASKED = 150 };

static const char *const flood_targets[] = {
	"via 10.9.0.2", "via 10.9.0.3", "via 10.9.1.2", "via 10.9.2.2", "dev near1 via 10.9.1.2 src 10.9.0.1",
};
static const char *const flood_targets_v6[] = {
	"via fd09::2", "via fd09::3", "via fd09:1::2", "via fd09:2::2", "via fd09:1::2 src fd09::1",
};

/* Within 10.128/9, or fd80::/9: dense enough that prefixes lie within each other. */
static void flood_prefix(char text[static INET6_ADDRSTRLEN], unsigned n, bool v4, unsigned *len_bits)
{
	struct addr addr = { 0 };
	unsigned seed = n * 2 + v4 + 1;
	unsigned first = v4 ? 12 : 0;

	*len_bits = 10 + (unsigned)rand_r(&seed) % 23;
	addr.bytes[first] = v4 ? 10 : 0xfd;
	addr.bytes[first + 1] = 0x80 | (uint8_t)(rand_r(&seed) % 4 << 5);
	addr.bytes[first + 2] = (uint8_t)(rand_r(&seed) % 4 << 6);
	addr.bytes[first + 3] = (uint8_t)(rand_r(&seed) % 8 << 5);
	for (unsigned bit = *len_bits; bit < 32; bit++)
		addr.bytes[first + bit / 8] &= (uint8_t)~(0x80 >> bit % 8);
	inet_ntop(v4 ? AF_INET : AF_INET6, addr.bytes + first, text, INET6_ADDRSTRLEN);
}

/* "add" or "del" every step-th of the routes, as fast as `ip` can. */
static void flood(struct world *world, const char *command, unsigned step)
{
	FILE *batch = popen("ip -force -batch - 2>/dev/null", "w");

	assert_non_null(batch);
	for (unsigned n = 0; n < FLOOD; n += step) {
		for (int v4 = 0; v4 <= 1; v4++) {
			char prefix[INET6_ADDRSTRLEN];
			unsigned len_bits;
			const char *target = (v4 ? flood_targets : flood_targets_v6)[n % 5];

			flood_prefix(prefix, n, v4, &len_bits);
			if (n % 11 == 0)
				fprintf(batch, "route %s unreachable %s/%u metric 50\n", command, prefix, len_bits);
			else
				fprintf(batch, "route %s %s/%u %s metric %u\n", command, prefix, len_bits, target,
					100 + n % 3);
		}
	}
	pclose(batch); /* some are there already, or not any more: no matter */
	world_step(world);
}

/* The kernel's own answer. False: none that leads out of near0 or near1. */
static bool kernel_route(const char *dst, char via[static INET6_ADDRSTRLEN], char source[static INET6_ADDRSTRLEN])
{
	char command[128], line[512] = "", dev[32] = "", *at;
	FILE *answer;

	snprintf(command, sizeof(command), "ip route get %s 2>/dev/null", dst);
	answer = popen(command, "r");
	assert_non_null(answer);
	if (!fgets(line, sizeof(line), answer))
		line[0] = '\0';
	pclose(answer);
	snprintf(via, INET6_ADDRSTRLEN, "%s", dst);
	source[0] = '\0';
	if ((at = strstr(line, " via ")))
		sscanf(at, " via %45s", via);
	if ((at = strstr(line, " dev ")))
		sscanf(at, " dev %31s", dev);
	if ((at = strstr(line, " src ")))
		sscanf(at, " src %45s", source);
	return strcmp(dev, "near0") == 0 || strcmp(dev, "near1") == 0;
}

static bool agrees(struct world *world, const char *dst)
{
	char via[INET6_ADDRSTRLEN], source_text[INET6_ADDRSTRLEN];
	struct addr addr = addr_of(dst), source, kernel_source;

	if (!kernel_route(dst, via, source_text))
		return is(world, dst, "NO_ROUTE");
	kernel_source = addr_of(source_text);
	return goes_by(world, dst, via) && nexthop_source(world->nexthops, &addr, &source) == 0 &&
	       addr_equal(&source, &kernel_source);
}

static bool all_agree(struct world *world, unsigned *seed)
{
	for (unsigned i = 0; i < ASKED; i++) {
		char dst[INET6_ADDRSTRLEN];
		int v4 = rand_r(seed) % 2;
		unsigned unused;

		flood_prefix(dst, (unsigned)rand_r(seed) % (FLOOD + FLOOD / 4), v4, &unused);
		if (!agrees(world, dst)) {
			print_message("not (yet) as the kernel has it: %s\n", dst);
			return false;
		}
	}
	return true;
}

struct onlooker {
	struct world *world;
	bool ended;
	unsigned long looks;
};

/* A worker: looks up without a pause while the tables change under it. */
static void *look_on(void *context)
{
	struct onlooker *onlooker = context;
	struct addr v4 = addr_of("10.192.64.1"), v6 = addr_of("fdc0:4000::1");
	uint16_t slot;

	urcu_qsbr_register_thread();
	while (!__atomic_load_n(&onlooker->ended, __ATOMIC_ACQUIRE)) {
		for (unsigned i = 0; i < 64; i++) {
			v4.bytes[14] = v6.bytes[2] = (uint8_t)(onlooker->looks++);
			nexthop_find(onlooker->world->nexthops, &v4, &slot);
			nexthop_find(onlooker->world->nexthops, &v6, &slot);
		}
		urcu_qsbr_quiescent_state();
	}
	urcu_qsbr_unregister_thread();
	return NULL;
}

static void flood_of_routes_agrees_with_the_kernel(void **state)
{
	struct world *world = *state;
	struct onlooker onlooker = { .world = world };
	unsigned seed = 7;
	pthread_t thread;

	near_run("ip route add 10.128.0.0/9 via 10.9.0.2 && ip route add fd80::/9 via fd09::2");
	world_start(world);
	assert_int_equal(pthread_create(&thread, NULL, look_on, &onlooker), 0);
	flood(world, "add", 1);
	WAIT(world, all_agree(world, &seed));
	flood(world, "del", 2);
	WAIT(world, all_agree(world, &seed));
	flood(world, "replace", 3);
	WAIT(world, all_agree(world, &seed));
	flood(world, "del", 1);
	WAIT(world, all_agree(world, &seed));
	__atomic_store_n(&onlooker.ended, true, __ATOMIC_RELEASE);
	urcu_qsbr_thread_offline();
	assert_int_equal(pthread_join(thread, NULL), 0);
	urcu_qsbr_thread_online();
	assert_true(onlooker.looks > 0);
	assert_true(goes_by(world, "10.200.0.1", "10.9.0.2") && goes_by(world, "fdc8::1", "fd09::2"));
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(destinations_have_the_kernels_verdict),
		WORLD_TEST(want_without_a_route_is_unreachable),
		WORLD_TEST(gateways_are_shared_and_kept),
		WORLD_TEST(route_change_flips_the_slot),
		WORLD_TEST(appended_and_prepended_routes),
		WORLD_TEST(multipath_takes_the_first_that_lives),
		WORLD_TEST(nexthop_objects_with_attributes),
		WORLD_TEST(nexthop_objects_by_id_only),
		WORLD_TEST(link_down_takes_its_routes),
		WORLD_TEST(removed_address_takes_its_routes),
		WORLD_TEST(new_own_address_is_no_destination),
		WORLD_TEST(source_addresses),
		WORLD_TEST(flood_of_routes_agrees_with_the_kernel),
	};

	choice_from_environment();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
