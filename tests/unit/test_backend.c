/* SPDX-License-Identifier: MIT */
/* Unit tests of the backend table: slots are found, kept while needed, and given to others when not. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "tests/lib/plain_state.h"
#include "userspace/backend.h"

static uint32_t put(struct state *state, const char *address, uint16_t port)
{
	struct addr addr = plain_addr(address);
	uint32_t slot;

	if (!backend_find(state, &addr, htons(port), &slot))
		plain_backend(state, slot, address, port, 0, 0);
	return slot;
}

static void server_is_found_where_it_was_put(void **unused)
{
	struct state state;
	uint32_t slots[40], found;
	struct addr addr = plain_addr("10.0.0.1");

	(void)unused;
	plain_state_init(&state, 64);
	for (uint16_t i = 0; i < 40; i++)
		slots[i] = put(&state, "10.0.0.1", (uint16_t)(1 + i));
	for (uint16_t i = 0; i < 40; i++) {
		assert_true(backend_find(&state, &addr, htons((uint16_t)(1 + i)), &found));
		assert_int_equal(found, slots[i]);
	}
	assert_false(backend_find(&state, &addr, htons(41), &found));
	assert_false(entry_is_live(&state.backends[found]));
	plain_state_end(&state);
}

static void unneeded_server_goes_at_the_second_sweep(void **unused)
{
	struct state state;
	uint64_t needed[1] = { 0 };
	uint32_t a, b, found;
	struct addr addr = plain_addr("10.0.0.1");

	(void)unused;
	plain_state_init(&state, 64);
	a = put(&state, "10.0.0.1", 1);
	b = put(&state, "10.0.0.2", 2);
	needed[0] = 1ull << a;
	assert_int_equal(backend_sweep(&state, needed), 0);
	assert_true(state.backends[b].flags & BACKEND_IDLE);
	assert_int_equal(backend_sweep(&state, needed), 1);
	assert_false(state.backends[b].flags & BACKEND_USED);
	assert_int_equal(backend_sweep(&state, needed), 0);
	assert_true(backend_find(&state, &addr, htons(1), &found));
	assert_int_equal(state.backends[a].flags, BACKEND_USED);
	plain_state_end(&state);
}

static void server_needed_between_two_sweeps_stays(void **unused)
{
	struct state state;
	uint64_t none[1] = { 0 }, needed[1];
	uint32_t a;

	(void)unused;
	plain_state_init(&state, 64);
	a = put(&state, "10.0.0.1", 1);
	needed[0] = 1ull << a;
	assert_int_equal(backend_sweep(&state, none), 0);
	assert_int_equal(backend_sweep(&state, needed), 0);
	assert_int_equal(backend_sweep(&state, none), 0);
	assert_true(state.backends[a].flags & BACKEND_USED);
	plain_state_end(&state);
}

/* Others that lie behind a server that went are still found, and new ones take its slot. */
static void slots_of_those_gone_are_used_again(void **unused)
{
	struct state state;
	uint64_t needed[1] = { 0 };
	uint32_t slots[48], taken = 0, found;

	(void)unused;
	plain_state_init(&state, 64);
	for (uint16_t i = 0; i < 48; i++) {
		slots[i] = put(&state, "10.0.0.1", (uint16_t)(1 + i));
		if (i % 2)
			needed[0] |= 1ull << slots[i];
	}
	backend_sweep(&state, needed);
	assert_int_equal(backend_sweep(&state, needed), 24);
	for (uint16_t i = 0; i < 48; i++) {
		struct addr addr = plain_addr("10.0.0.1");

		assert_true(backend_find(&state, &addr, htons((uint16_t)(1 + i)), &found));
		assert_int_equal(found, slots[i]);
	}
	for (uint16_t i = 0; i < 24; i++) {
		uint32_t slot = put(&state, "10.0.0.9", (uint16_t)(1 + i));

		taken += slot < 64 && !(needed[0] >> slot & 1);
		assert_false(needed[0] >> slot & 1);
	}
	assert_int_equal(taken, 24);
	plain_state_end(&state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(server_is_found_where_it_was_put),
		cmocka_unit_test(unneeded_server_goes_at_the_second_sweep),
		cmocka_unit_test(server_needed_between_two_sweeps_stays),
		cmocka_unit_test(slots_of_those_gone_are_used_again),
	};

	return cmocka_run_group_tests_name("backend", tests, NULL, NULL);
}
