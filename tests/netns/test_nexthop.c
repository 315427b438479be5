/* SPDX-License-Identifier: MIT */
/* Neighbours, links and addresses, in real network namespaces (drawn in tests/lib/nexthop_world.h). Root. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "bpf/table.h"
#include "tests/lib/choice.h"
#include "tests/lib/nexthop_world.h"

/* --- neighbours -------------------------------------------------------------------------------- */

static void on_link_neighbours_resolve(void **state)
{
	static const struct {
		const char *dst;
		unsigned interface;
		uint8_t near_mac, far_mac;
	} rows[] = {
		{ "10.9.0.2", 0, 0x10, 0x20 },
		{ "fd09::2", 0, 0x10, 0x20 },
		{ "10.9.1.2", 1, 0x11, 0x21 },
		{ "fd09:1::2", 1, 0x11, 0x21 },
	};
	struct world *world = *state;

	world_start(world);
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct nexthop entry;
		uint16_t slot, again;

		assert_string_equal(find(world, rows[i].dst, NULL), "WANTED");
		slot = want(world, rows[i].dst, false);
		assert_true(entry_at(world, slot).ifindex != 0); /* live at once, resolved or not */
		WAIT(world, leads_to(world, slot, rows[i].far_mac));
		entry = entry_at(world, slot);
		assert_int_equal(entry.ifindex, world->interfaces[rows[i].interface].ifindex);
		assert_int_equal(entry.interface, rows[i].interface);
		assert_int_equal(entry.mtu_bytes, 1500);
		assert_int_equal(entry.smac[5], rows[i].near_mac);
		again = want(world, rows[i].dst, true);
		assert_int_equal(again, slot);
	}
}

static void known_neighbour_resolves_at_once(void **state)
{
	struct world *world = *state;

	near_run("ip neigh add 10.9.0.77 lladdr 02:00:00:00:00:77 dev near0 nud permanent");
	world_start(world);
	assert_true(leads_to(world, want(world, "10.9.0.77", false), 0x77));
}

static void changed_mac_is_followed(void **state)
{
	struct world *world = *state;
	uint16_t slot;

	world_start(world);
	slot = want(world, "10.9.0.2", false);
	WAIT(world, leads_to(world, slot, 0x20));
	near_run("ip neigh replace 10.9.0.2 lladdr 02:00:00:00:00:99 dev near0 nud permanent");
	WAIT(world, leads_to(world, slot, 0x99));
	/* And by the wire: the far end takes another MAC, the entry is thrown away, the kernel asks again. */
	far_run(world, "ip link set far0 address 02:00:00:00:00:88");
	near_run("ip neigh del 10.9.0.2 dev near0");
	nexthop_handle_netlink(world->nexthops);
	assert_true(near_says("ip neigh show 10.9.0.2")); /* asked at once, before any housekeeping */
	WAIT(world, leads_to(world, slot, 0x88));
}

static void silent_neighbour_is_asked_again(void **state)
{
	struct world *world = *state;
	uint16_t v4, v6;

	world_start(world);
	v4 = want(world, "10.9.0.99", false);
	v6 = want(world, "fd09::99", true);
	WAIT(world, near_says("ip neigh show 10.9.0.99 nud failed") && near_says("ip neigh show fd09::99 nud failed"));
	assert_string_equal(find(world, "10.9.0.99", NULL), "FOUND");
	assert_false(entry_at(world, v4).flags & NEXTHOP_RESOLVED);
	assert_false(entry_at(world, v6).flags & NEXTHOP_RESOLVED);
	far_run(world, "sh -c 'ip address add 10.9.0.99/24 dev far0 && ip address add fd09::99/64 dev far0 nodad'");
	WAIT(world, leads_to(world, v4, 0x20) && leads_to(world, v6, 0x20));
	/* And back: it falls silent, and the entry says so. */
	far_run(world, "sh -c 'ip address del 10.9.0.99/24 dev far0 && ip address del fd09::99/64 dev far0'");
	near_run("ip neigh change 10.9.0.99 dev near0 nud failed && ip neigh change fd09::99 dev near0 nud failed");
	WAIT(world, !(entry_at(world, v4).flags & NEXTHOP_RESOLVED) && !(entry_at(world, v6).flags & NEXTHOP_RESOLVED));
}

/* ARP requests for 10.9.0.99 that left since the last call. */
static unsigned questions(int packet_socket)
{
	static const uint8_t target[4] = { 10, 9, 0, 99 };
	struct sockaddr_ll from;
	socklen_t from_len = sizeof(from);
	uint8_t frame[128];
	unsigned count = 0;
	ssize_t len;

	while ((len = recvfrom(packet_socket, frame, sizeof(frame), MSG_DONTWAIT, (struct sockaddr *)&from,
			       &from_len)) > 0)
		count += len >= 42 && from.sll_pkttype == PACKET_OUTGOING && frame[12] == 0x08 && frame[13] == 0x06 &&
			 memcmp(frame + 38, target, sizeof(target)) == 0;
	return count;
}

static void questions_become_rarer(void **state)
{
	static const uint32_t asked_at_s[] = { 0, 1, 3, 7, 15, 31, 61, 91 };
	struct world *world = *state;
	int packet_socket = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));
	unsigned asked = 0;

	assert_true(packet_socket >= 0);
	world_start(world);
	want(world, "10.9.0.99", false);
	while (world->now_s <= 100) {
		bool due = asked < sizeof(asked_at_s) / sizeof(asked_at_s[0]) && asked_at_s[asked] == world->now_s;
		unsigned seen = questions(packet_socket);

		if (seen != due)
			fail_msg("second %u: asked %u times, should be %u", world->now_s, seen, due);
		asked += seen;
		if (due) /* the kernel asks once, and gives up */
			while (near_says("ip neigh show 10.9.0.99 nud incomplete"))
				poll(NULL, 0, 10);
		world_step(world);
	}
	close(packet_socket);
}

static void stale_neighbour_is_refreshed(void **state)
{
	struct world *world = *state;
	uint16_t slot;

	world_start(world);
	slot = want(world, "10.9.0.2", false);
	while (world->now_s < 20)
		world_step(world);
	assert_true(leads_to(world, slot, 0x20));
	near_run("ip neigh change 10.9.0.2 dev near0 nud stale");
	while (world->now_s < 29)
		world_step(world);
	assert_true(near_says("ip neigh show 10.9.0.2 nud stale"));
	WAIT(world, !near_says("ip neigh show 10.9.0.2 nud stale"));
	assert_true(world->now_s < 35);
	assert_true(leads_to(world, slot, 0x20));
}

static void refusal_is_retried_when_the_link_is_back(void **state)
{
	struct world *world = *state;
	uint16_t slot;

	world_start(world);
	slot = want(world, "10.9.0.2", true);
	WAIT(world, leads_to(world, slot, 0x20));
	near_run("ip link set near0 down");
	WAIT(world, !(entry_at(world, slot).flags & NEXTHOP_RESOLVED));
	near_run("ip link set near0 up");
	WAIT(world, leads_to(world, slot, 0x20));
	assert_string_equal(find(world, "10.9.0.2", NULL), "FOUND");
}

static void managed_flag_is_set_and_taken_back(void **state)
{
	struct world *world = *state;
	uint16_t slot;

	near_run("ip neigh add 10.9.0.77 lladdr 02:00:00:00:00:77 dev near0 nud permanent");
	near_run("ip neigh add 10.9.0.3 dev near0 managed"); /* somebody else's */
	world_start(world);
	slot = want(world, "10.9.0.2", true);
	want(world, "fd09::2", true);
	want(world, "fd09::3", false);
	want(world, "10.9.0.77", true);
	want(world, "10.9.0.3", true);
	WAIT(world, leads_to(world, slot, 0x20));
	assert_true(near_says("ip neigh show 10.9.0.2 | grep managed"));
	assert_true(near_says("ip neigh show fd09::2 | grep managed"));
	assert_true(near_says("ip neigh show fd09::3"));
	assert_false(near_says("ip neigh show fd09::3 | grep managed"));
	assert_true(near_says("ip neigh show 10.9.0.77 nud permanent"));
	want(world, "fd09::3", true);
	assert_true(near_says("ip neigh show fd09::3 | grep managed"));
	near_run("ip neigh replace fd09::2 lladdr 02:00:00:00:00:66 dev near0 nud permanent"); /* behind our back */
	world_stop(world);
	assert_true(near_says("ip neigh show 10.9.0.2"));
	assert_false(near_says("ip neigh show | grep -v '^10.9.0.3 ' | grep managed"));
	assert_true(near_says("ip neigh show 10.9.0.3 | grep managed"));
	assert_true(near_says("ip neigh show 10.9.0.77 nud permanent"));
	assert_true(near_says("ip neigh show fd09::2 nud permanent"));
}

static void not_kept_becomes_kept(void **state)
{
	struct world *world = *state;

	world_start(world);
	want(world, "10.9.0.2", false);
	assert_false(near_says("ip neigh show 10.9.0.2 | grep managed"));
	want(world, "10.9.0.2", true);
	assert_true(near_says("ip neigh show 10.9.0.2 | grep managed"));
	want(world, "10.9.0.2", false);
	assert_true(near_says("ip neigh show 10.9.0.2 | grep managed"));
	/* Who takes the flag away does not have the last word. */
	near_run("ip neigh replace 10.9.0.2 dev near0 use");
	WAIT(world, near_says("ip neigh show 10.9.0.2 | grep managed"));
}

static void killed_predecessors_flags_and_entries_are_cleared(void **state)
{
	struct world *world = *state;

	/* As a killed process leaves them: 0x51 is the mark that its neighbours carry. */
	near_run("ip neigh add 10.9.0.2 dev near0 managed protocol 81");
	near_run("ip neigh add 10.9.2.2 dev other managed protocol 81"); /* another instance's */
	world->entries[3].head.seq = SEQ_STEP | SEQ_LIVE;
	world->entries[4].head.seq = SEQ_STEP | SEQ_LIVE | SEQ_WRITING;
	world_start(world);
	assert_false(near_says("ip neigh show 10.9.0.2 | grep managed"));
	assert_true(near_says("ip neigh show 10.9.2.2 | grep managed"));
	assert_int_equal(world->entries[3].head.seq & SEQ_STATE_MASK, SEQ_FREE);
	assert_int_equal(world->entries[4].head.seq & SEQ_STATE_MASK, SEQ_FREE);
	assert_true(world->entries[3].head.seq > SEQ_STEP); /* a reader of the old bytes must notice */
}

/* --- slots ------------------------------------------------------------------------------------- */

enum { FAILING = 6 };

/*
 * Fills all slots with few neighbours (the kernel's table is one for all
 * namespaces): routes with an MTU of their own have slots of their own. The
 * first FAILING are neighbours that do not answer; slot 0 is kept all the same.
 */
static void slots_fill(struct world *world)
{
	FILE *batch;
	char text[64];

	near_run("sysctl -qw net.ipv4.neigh.near0.gc_stale_time=600");
	for (unsigned i = 0; i < FAILING; i++) {
		snprintf(text, sizeof(text), "10.9.0.%u", 100 + i);
		assert_int_equal(want(world, text, i == 0), i);
	}
	WAIT(world, !near_says("ip neigh show to 10.9.0.96/27 | grep -v FAILED"));
	batch = popen("ip -batch -", "w");
	assert_non_null(batch);
	for (unsigned i = FAILING; i < NEXTHOPS_MAX; i++)
		fprintf(batch, "route add 10.20.%u.%u/32 via 10.9.1.2 mtu %u\n", i / 256, i % 256, 1000 + i);
	assert_int_equal(pclose(batch), 0);
	WAIT(world, strcmp(find(world, "10.20.15.255", NULL), "WANTED") == 0);
	for (unsigned i = FAILING; i < NEXTHOPS_MAX; i++) {
		snprintf(text, sizeof(text), "10.20.%u.%u", i / 256, i % 256);
		assert_int_equal(want(world, text, true), i);
	}
	world_step(world); /* what was just handed out may not be taken back before */
}

static void full_table_reuses_failed_slots_first(void **state)
{
	struct world *world = *state;
	uint64_t used[NEXTHOPS_MAX / 64];
	struct addr addr = addr_of("10.9.0.2"), v6 = addr_of("fd09::2");
	uint16_t slot;

	world_start(world);
	slots_fill(world);

	memset(used, 0xff, sizeof(used));
	assert_int_equal(nexthop_want(world->nexthops, &addr, false, used, &slot), -ENOSPC);
	assert_string_equal(find(world, "10.9.0.2", NULL), "WANTED");
	assert_string_equal(find(world, "10.9.0.103", NULL), "FOUND");
	world_step(world);

	/* A kept slot that nobody uses goes, if no other is left. */
	used[1000 / 64] &= ~(1ull << 1000 % 64);
	assert_int_equal(nexthop_want(world->nexthops, &addr, false, used, &slot), 0);
	assert_int_equal(slot, 1000);
	assert_string_equal(find(world, "10.20.3.232", NULL), "WANTED"); /* who had it */
	assert_string_equal(find(world, "10.9.0.2", NULL), "FOUND");
	WAIT(world, leads_to(world, slot, 0x20));
	assert_int_equal(entry_at(world, slot).mtu_bytes, 1500);

	/* Without knowledge of what is in use: failed ones only, no kept one, and none that a reader has just found. */
	assert_string_equal(find(world, "10.9.0.102", NULL), "FOUND");
	assert_int_equal(nexthop_want(world->nexthops, &v6, false, NULL, &slot), 0);
	assert_true(slot < FAILING && slot != 2 && slot != 0);
	assert_string_equal(find(world, "10.9.0.100", NULL), "FOUND");
	WAIT(world, leads_to(world, slot, 0x20));
	assert_string_equal(find(world, "10.9.0.102", NULL), "FOUND");
	assert_string_equal(find(world, "10.9.0.103", NULL), "WANTED");
	for (unsigned i = FAILING; i < NEXTHOPS_MAX; i++)
		if (i != 1000 && !(entry_at(world, (uint16_t)i).ifindex == world->interfaces[1].ifindex))
			fail_msg("slot %u was lost", i);
}

/* --- links ------------------------------------------------------------------------------------- */

static void mac_and_mtu_of_the_link_are_followed(void **state)
{
	struct world *world = *state;
	uint16_t slot;

	world_start(world);
	slot = want(world, "10.9.0.2", false);
	near_run("ip link set near0 mtu 1400");
	WAIT(world, entry_at(world, slot).mtu_bytes == 1400);
	near_run("ip link set near0 address 02:00:00:00:00:55");
	WAIT(world, entry_at(world, slot).smac[5] == 0x55);
	assert_int_equal(entry_at(world, slot).ifindex, world->interfaces[0].ifindex);
}

static void route_mtu_bounds_the_links(void **state)
{
	struct world *world = *state;
	uint16_t plain, low, high;

	near_run("ip route add 10.30.0.0/24 via 10.9.0.2");
	near_run("ip route add 10.31.0.0/24 via 10.9.0.2 mtu 1300");
	near_run("ip route add 10.32.0.0/24 via 10.9.0.2 mtu 9000");
	world_start(world);
	plain = want(world, "10.30.0.1", false);
	low = want(world, "10.31.0.1", false);
	high = want(world, "10.32.0.1", false);
	assert_int_equal(entry_at(world, plain).mtu_bytes, 1500);
	assert_int_equal(entry_at(world, low).mtu_bytes, 1300);
	assert_int_equal(entry_at(world, high).mtu_bytes, 1500);
	/* One neighbour: all of its slots follow it. */
	WAIT(world, leads_to(world, plain, 0x20) && leads_to(world, low, 0x20) && leads_to(world, high, 0x20));
}

static void unknown_interface_is_an_error(void **state)
{
	struct world *world = *state;
	const struct nexthop_interface none = { .ifindex = 9999, .name = "none" };

	errno = 0;
	assert_null(nexthops_new(world->entries, &none, 1, NULL));
	assert_int_equal(errno, ENODEV);
}

/* --- addresses --------------------------------------------------------------------------------- */

static void addresses_are_told(void **state)
{
	struct world *world = *state;

	world_start(world);
	/* At the start, all: */
	assert_int_equal(told_balance(world, 0, "10.9.0.1"), 1);
	assert_int_equal(told_balance(world, 0, "fd09::1"), 1);
	assert_int_equal(told_balance(world, 1, "10.9.1.1"), 1);
	assert_int_equal(told_balance(world, 1, "fd09:1::1"), 1);
	assert_int_equal(world->routes_changed, 0);
	for (unsigned i = 0; i < world->told_count; i++)
		assert_true(world->told[i].ifindex == world->interfaces[0].ifindex ||
			    world->told[i].ifindex == world->interfaces[1].ifindex);
	/* then each change, once: */
	near_run("ip address add 10.9.0.7/24 dev near0");
	WAIT(world, told_balance(world, 0, "10.9.0.7") == 1);
	near_run("ip address add 10.9.0.7/32 dev near0");
	near_run("ip address add fd09::7/64 dev near0 nodad");
	WAIT(world, told_balance(world, 0, "fd09::7") == 1);
	assert_int_equal(told_balance(world, 0, "10.9.0.7"), 1);
	near_run("ip address del 10.9.0.7/24 dev near0");
	near_run("ip address change fd09::7/64 dev near0 preferred_lft 100 valid_lft 200");
	near_run("ip address del 10.9.1.1/24 dev near1");
	WAIT(world, told_balance(world, 1, "10.9.1.1") == 0);
	assert_int_equal(told_balance(world, 0, "10.9.0.7"), 1);
	assert_int_equal(told_balance(world, 0, "fd09::7"), 1);
	near_run("ip address del 10.9.0.7/32 dev near0");
	WAIT(world, told_balance(world, 0, "10.9.0.7") == 0);
	assert_true(world->routes_changed > 0);
}

static void duplicate_address_is_not_told(void **state)
{
	struct world *world = *state;

	world_start(world);
	near_run("sysctl -qw net.ipv6.conf.near0.accept_dad=1 net.ipv6.conf.near0.dad_transmits=1");
	near_run("ip address add fd09::3/64 dev near0"); /* the far end has it */
	near_run("ip address add fd09::8/64 dev near0");
	WAIT(world, told_balance(world, 0, "fd09::8") == 1);
	WAIT(world, near_says("ip address show dev near0 dadfailed"));
	near_run("ip address add 10.9.0.8/24 dev near0");
	WAIT(world, told_balance(world, 0, "10.9.0.8") == 1);
	assert_int_equal(told_balance(world, 0, "fd09::3"), 0);
}

static void lost_notifications_are_made_up_for(void **state)
{
	struct world *world = *state;
	int tiny = 4096;
	uint16_t slot, kept, forgotten;

	near_run("ip address add 10.9.0.9/24 dev near0");
	world_start(world);
	slot = want(world, "10.9.0.2", false);
	kept = want(world, "10.9.0.3", false);
	forgotten = want(world, "10.9.1.2", false);
	WAIT(world, leads_to(world, slot, 0x20) && leads_to(world, kept, 0x20) && leads_to(world, forgotten, 0x21));
	assert_int_equal(setsockopt(nexthop_netlink_fd(world->nexthops), SOL_SOCKET, SO_RCVBUF, &tiny, sizeof(tiny)),
			 0);
	/* The first fill the socket. What follows is never told. */
	near_run("for i in $(seq 50); do echo route add 10.40.$i.0/24 via 10.9.0.2; done | ip -batch -");
	near_run("ip address del 10.9.0.9/24 dev near0 && ip address add 10.9.0.10/24 dev near0");
	near_run("ip neigh replace 10.9.0.2 lladdr 02:00:00:00:00:99 dev near0 nud permanent");
	near_run("ip neigh flush dev near1 && ip neigh del 10.9.1.2 dev near1 2>/dev/null; ip link set near1 mtu 1450");
	nexthop_handle_netlink(world->nexthops);
	nexthop_handle_netlink(world->nexthops);
	assert_true(leads_to(world, slot, 0x99));
	assert_true(leads_to(world, kept, 0x20));
	assert_false(leads_to(world, forgotten, 0x21));
	assert_int_equal(entry_at(world, forgotten).mtu_bytes, 1450);
	assert_int_equal(told_balance(world, 0, "10.9.0.9"), 0);
	assert_int_equal(told_balance(world, 0, "10.9.0.10"), 1);
	WAIT(world, strcmp(find(world, "10.40.50.1", NULL), "FOUND") == 0);
	WAIT(world, leads_to(world, forgotten, 0x21));
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD_TEST(on_link_neighbours_resolve),
		WORLD_TEST(known_neighbour_resolves_at_once),
		WORLD_TEST(changed_mac_is_followed),
		WORLD_TEST(silent_neighbour_is_asked_again),
		WORLD_TEST(questions_become_rarer),
		WORLD_TEST(stale_neighbour_is_refreshed),
		WORLD_TEST(refusal_is_retried_when_the_link_is_back),
		WORLD_TEST(managed_flag_is_set_and_taken_back),
		WORLD_TEST(not_kept_becomes_kept),
		WORLD_TEST(killed_predecessors_flags_and_entries_are_cleared),
		WORLD_TEST(full_table_reuses_failed_slots_first),
		WORLD_TEST(mac_and_mtu_of_the_link_are_followed),
		WORLD_TEST(route_mtu_bounds_the_links),
		WORLD_TEST(unknown_interface_is_an_error),
		WORLD_TEST(addresses_are_told),
		WORLD_TEST(duplicate_address_is_not_told),
		WORLD_TEST(lost_notifications_are_made_up_for),
	};

	choice_from_environment();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
