/* SPDX-License-Identifier: MIT */
/*
 * nexthop_world: two network namespaces of this test process and what nexthop
 * makes of them. Root. Nothing has a name outside, and all of it ends with the
 * process and its child.
 *
 *        ours                                       far (a child holds it)
 *   +----------------------------------+        +---------------------------------+
 *   | near0  10.9.0.1/24 fd09::1/64  ------------ far0  10.9.0.2, .3  fd09::2, ::3 |
 *   | near1  10.9.1.1/24 fd09:1::1/64 ----------- far1  10.9.1.2      fd09:1::2    |
 *   | other  10.9.2.1/24 fd09:2::1/64 ----------- far2  10.9.2.2      fd09:2::2    |
 *   +----------------------------------+        +---------------------------------+
 *
 * near0 and near1 are the relay's interfaces, other is somebody else's. The
 * MACs are 02:00:00:00:00:1x for the near ends and :2x for the far ones.
 */
#ifndef SLUICE_TESTS_NEXTHOP_WORLD_H
#define SLUICE_TESTS_NEXTHOP_WORLD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "userspace/nexthop.h"

enum { TOLD_MAX = 64 };

struct told {
	uint32_t ifindex;
	struct addr address;
	bool present;
};

struct world {
	pid_t far;
	struct nexthop_interface interfaces[2];
	struct nexthop entries[NEXTHOPS_MAX];
	struct nexthops *nexthops;    /* NULL until world_start */
	uint32_t now_s;               /* goes on by a second a step */
	unsigned routes_changed;
	unsigned told_count;
	struct told told[TOLD_MAX];
};

/* cmocka's set-up and teardown; *state is the world. */
int world_setup(void **state);
int world_teardown(void **state);

/* nexthops_new, and nexthops_free. */
void world_start(struct world *world);
void world_stop(struct world *world);

/* Waits a moment for netlink and handles it, then keeps house: a second of the world's time. */
void world_step(struct world *world);

/* Steps until the condition holds; fails after some 10 s. */
#define WAIT(world, condition)                                                             \
	do {                                                                               \
		for (unsigned wait_ = 0; !(condition); wait_++) {                          \
			if (wait_ == 1000)                                                 \
				fail_msg("%s:%d: timed out: %s", __FILE__, __LINE__, #condition); \
			world_step(world);                                                 \
		}                                                                          \
	} while (0)

#define PRINTF(at, first) __attribute__((format(printf, at, first)))

/* A shell command in our namespace, or in the far one; the test fails if it does. */
void near_run(const char *format, ...) PRINTF(1, 2);
void far_run(const struct world *world, const char *format, ...) PRINTF(2, 3);

/* Is its output not empty? */
bool near_says(const char *format, ...) PRINTF(1, 2);

struct addr addr_of(const char *text);

/* FOUND, WANTED or NO_ROUTE as text; slot may be NULL. */
const char *find(const struct world *world, const char *dst, uint16_t *slot);

/* nexthop_want, which must succeed. */
uint16_t want(struct world *world, const char *dst, bool keep);

/* The entry as a reader sees it; all zero when it is absent. */
struct nexthop entry_at(const struct world *world, uint16_t slot);

/* Is it resolved, to 02:00:00:00:00:last? */
bool leads_to(const struct world *world, uint16_t slot, uint8_t last);

/* How often the world was told that the address came, less how often that it went. */
int told_balance(const struct world *world, unsigned interface, const char *address);

#endif
