/* SPDX-License-Identifier: MIT */
/* Unit tests of the longest-prefix match: against a naive one, and with readers that look on. */
#include <arpa/inet.h>
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
#include "userspace/fib.h"

enum { V4_TREE = 0, V6_TREE = 1 };

static struct addr addr_of(const char *text)
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

static void set(struct fib *fib, const char *prefix, unsigned len_bits, const void *value)
{
	struct addr addr = addr_of(prefix);
	bool v4 = addr_is_v4(&addr);

	assert_int_equal(fib_set(fib, v4 ? V4_TREE : V6_TREE, v4, &addr, len_bits, value), 0);
}

static const char *find(const struct fib *fib, const char *dst)
{
	struct addr addr = addr_of(dst);
	bool v4 = addr_is_v4(&addr);
	const char *value = fib_find(fib, v4 ? V4_TREE : V6_TREE, v4, &addr);

	return value ? value : "none";
}

static void longest_prefix_wins(void **unused)
{
	static const struct {
		const char *prefix;
		unsigned len_bits;
		const char *value;
	} prefixes[] = {
		{ "0.0.0.0", 0, "v4 default" },     { "128.0.0.0", 1, "v4 upper half" },
		{ "10.0.0.0", 8, "10/8" },          { "10.128.0.0", 9, "10.128/9" },
		{ "10.1.2.0", 24, "10.1.2/24" },    { "10.1.2.3", 32, "10.1.2.3" },
		{ "10.1.2.2", 31, "10.1.2.2/31" },  { "10.1.2.0", 28, "10.1.2.0/28" },
		{ "2001:db8::", 32, "db8/32" },     { "2001:db8:0:1::", 64, "db8:0:1/64" },
		{ "2001:db8::1", 128, "db8::1" },   { "2000::", 3, "2000/3" },
	};
	static const struct {
		const char *dst, *value;
	} rows[] = {
		{ "1.2.3.4", "v4 default" },        { "127.255.255.255", "v4 default" },
		{ "128.0.0.0", "v4 upper half" },   { "255.255.255.255", "v4 upper half" },
		{ "10.0.0.0", "10/8" },             { "10.127.255.255", "10/8" },
		{ "10.128.0.1", "10.128/9" },       { "10.1.2.255", "10.1.2/24" },
		{ "10.1.2.3", "10.1.2.3" },         { "10.1.2.2", "10.1.2.2/31" },
		{ "10.1.2.4", "10.1.2.0/28" },      { "10.1.2.16", "10.1.2/24" },
		{ "10.1.3.0", "10/8" },             { "2001:db8::2", "db8/32" },
		{ "2001:db8:0:1::9", "db8:0:1/64" }, { "2001:db8::1", "db8::1" },
		{ "3fff::1", "2000/3" },            { "::1", "none" },
		{ "fe80::1", "none" },
	};
	struct fib fib;

	(void)unused;
	fib_init(&fib);
	assert_string_equal(find(&fib, "1.2.3.4"), "none");
	for (unsigned i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		set(&fib, prefixes[i].prefix, prefixes[i].len_bits, prefixes[i].value);
	assert_string_equal(find(&fib, "1.2.3.4"), "none"); /* not published yet */
	assert_true(fib_publish(&fib));
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *value = find(&fib, rows[i].dst);

		if (strcmp(value, rows[i].value))
			fail_msg("%s: %s, should be %s", rows[i].dst, value, rows[i].value);
	}
	for (unsigned i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		set(&fib, prefixes[i].prefix, prefixes[i].len_bits, NULL);
	assert_true(fib_publish(&fib));
	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(find(&fib, rows[i].dst), "none");
	assert_null(fib.building[V4_TREE]); /* an empty tree has no nodes left */
	assert_null(fib.building[V6_TREE]);
	fib_reclaim(&fib);
	fib_end(&fib);
}

static void bits_beyond_the_prefix_do_not_matter(void **unused)
{
	struct fib fib;

	(void)unused;
	fib_init(&fib);
	set(&fib, "10.255.255.255", 9, "value");
	fib_publish(&fib);
	assert_string_equal(find(&fib, "10.200.0.1"), "value");
	assert_string_equal(find(&fib, "10.1.0.1"), "none");
	set(&fib, "10.128.0.0", 9, NULL);
	fib_publish(&fib);
	assert_string_equal(find(&fib, "10.200.0.1"), "none");
	fib_end(&fib);
}

static void publish_tells_if_anything_changed(void **unused)
{
	struct fib fib;

	(void)unused;
	fib_init(&fib);
	assert_false(fib_publish(&fib));
	set(&fib, "10.0.0.0", 8, "a");
	assert_true(fib_publish(&fib));
	set(&fib, "10.0.0.0", 8, "a");
	set(&fib, "11.0.0.0", 8, NULL);
	assert_false(fib_publish(&fib));
	set(&fib, "10.0.0.0", 8, "b");
	assert_string_equal(find(&fib, "10.0.0.1"), "a");
	assert_true(fib_publish(&fib));
	assert_string_equal(find(&fib, "10.0.0.1"), "b");
	fib_end(&fib);
}

/* --- against a naive table --------------------------------------------------------------------- */

enum { NAIVE_MAX = 300, ROUNDS = 200, CHANGES = 20, LOOKUPS = 100 };

struct naive {
	struct addr prefix;
	unsigned len_bits;
	const void *value;
};

static bool prefix_matches(const struct naive *naive, const struct addr *dst, bool v4)
{
	unsigned bits = naive->len_bits + (v4 ? 96 : 0);

	for (unsigned i = 0; i < bits; i++)
		if ((naive->prefix.bytes[i / 8] ^ dst->bytes[i / 8]) >> (7 - i % 8) & 1)
			return false;
	return true;
}

static const void *naive_find(const struct naive naive[static NAIVE_MAX], const struct addr *dst, bool v4)
{
	const struct naive *best = NULL;

	for (unsigned i = 0; i < NAIVE_MAX; i++)
		if (naive[i].value && prefix_matches(&naive[i], dst, v4) &&
		    (!best || naive[i].len_bits > best->len_bits))
			best = &naive[i];
	return best ? best->value : NULL;
}

/* Few different bytes, so that prefixes lie within each other and look-ups come close. */
static struct addr random_addr(unsigned *seed, bool v4)
{
	static const uint8_t bytes[] = { 0x00, 0x01, 0x7f, 0x80, 0xff, 0x10 };
	struct addr addr = { 0 };

	if (v4)
		addr.bytes[10] = addr.bytes[11] = 0xff;
	for (unsigned i = v4 ? 12 : 0; i < 16; i++)
		addr.bytes[i] = bytes[(unsigned)rand_r(seed) % sizeof(bytes)];
	return addr;
}

static void naive_change(struct fib *fib, struct naive naive[static NAIVE_MAX], unsigned *seed, bool v4)
{
	static const char values[64];
	struct naive *at = &naive[(unsigned)rand_r(seed) % NAIVE_MAX];
	const void *value = &values[(unsigned)rand_r(seed) % sizeof(values)];

	if (at->value) {
		at->value = rand_r(seed) % 3 ? NULL : value;
	} else {
		at->len_bits = (unsigned)rand_r(seed) % (v4 ? 33 : 129);
		at->prefix = random_addr(seed, v4);
		at->value = value;
		for (unsigned i = 0; i < NAIVE_MAX; i++) /* one entry a prefix */
			if (&naive[i] != at && naive[i].value && naive[i].len_bits == at->len_bits &&
			    prefix_matches(&naive[i], &at->prefix, v4))
				naive[i].value = NULL;
	}
	assert_int_equal(fib_set(fib, v4 ? V4_TREE : V6_TREE, v4, &at->prefix, at->len_bits, at->value), 0);
}

static void compare_with_naive(bool v4, unsigned seed)
{
	struct naive naive[NAIVE_MAX] = { 0 };
	struct fib fib;

	fib_init(&fib);
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < CHANGES; i++)
			naive_change(&fib, naive, &seed, v4);
		fib_publish(&fib);
		fib_reclaim(&fib);
		for (unsigned i = 0; i < LOOKUPS; i++) {
			struct addr dst = random_addr(&seed, v4);
			const void *expected = naive_find(naive, &dst, v4);
			const void *found = fib_find(&fib, v4 ? V4_TREE : V6_TREE, v4, &dst);

			if (found != expected)
				fail_msg("round %u, look-up %u: %p, should be %p", round, i, found, expected);
		}
	}
	for (unsigned i = 0; i < NAIVE_MAX; i++)
		if (naive[i].value)
			fib_set(&fib, v4 ? V4_TREE : V6_TREE, v4, &naive[i].prefix, naive[i].len_bits, NULL);
	assert_null(fib.building[v4 ? V4_TREE : V6_TREE]);
	fib_end(&fib);
}

static void random_v4_is_as_naive(void **unused)
{
	(void)unused;
	for (unsigned seed = 1; seed <= 3; seed++)
		compare_with_naive(true, seed);
}

static void random_v6_is_as_naive(void **unused)
{
	(void)unused;
	for (unsigned seed = 1; seed <= 3; seed++)
		compare_with_naive(false, seed);
}

/* --- with readers ------------------------------------------------------------------------------ */

enum { READERS = 2, UPDATES = 500 };

struct scene {
	struct fib fib;
	int values[3];     /* what readers may find; poisoned when no reader may find them any more */
	bool ended;
};

/* The default route always stands, so nothing is never found; the sanitizers see a node that is freed too early. */
static void *reader(void *context)
{
	struct scene *scene = context;
	struct addr dst = addr_of("10.1.2.3");
	uintptr_t wrong = 0;

	urcu_qsbr_register_thread();
	while (!__atomic_load_n(&scene->ended, __ATOMIC_ACQUIRE)) {
		const int *value = fib_find(&scene->fib, V4_TREE, true, &dst);

		wrong += !value || __atomic_load_n(value, __ATOMIC_RELAXED) != 1;
		urcu_qsbr_quiescent_state();
	}
	urcu_qsbr_unregister_thread();
	return (void *)wrong;
}

static void readers_see_whole_trees(void **unused)
{
	static struct scene scene;
	pthread_t threads[READERS];
	void *wrong;

	(void)unused;
	fib_init(&scene.fib);
	urcu_qsbr_register_thread();
	scene.values[2] = 1;
	set(&scene.fib, "0.0.0.0", 0, &scene.values[2]);
	fib_publish(&scene.fib);
	for (unsigned i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, reader, &scene), 0);
	for (unsigned i = 0; i < UPDATES; i++) {
		__atomic_store_n(&scene.values[i % 2], 1, __ATOMIC_RELAXED);
		set(&scene.fib, "10.1.2.0", 24, &scene.values[i % 2]);
		set(&scene.fib, "10.1.2.3", 32, i % 3 ? &scene.values[i % 2] : NULL);
		set(&scene.fib, "10.1.0.0", 16 + i % 8, i % 5 ? &scene.values[2] : NULL);
		fib_publish(&scene.fib);
		urcu_qsbr_synchronize_rcu();
		fib_reclaim(&scene.fib);
		__atomic_store_n(&scene.values[(i + 1) % 2], 2, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&scene.ended, true, __ATOMIC_RELEASE);
	urcu_qsbr_thread_offline();
	for (unsigned i = 0; i < READERS; i++) {
		assert_int_equal(pthread_join(threads[i], &wrong), 0);
		assert_null(wrong);
	}
	urcu_qsbr_thread_online();
	urcu_qsbr_unregister_thread();
	fib_end(&scene.fib);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(longest_prefix_wins),
		cmocka_unit_test(bits_beyond_the_prefix_do_not_matter),
		cmocka_unit_test(publish_tells_if_anything_changed),
		cmocka_unit_test(random_v4_is_as_naive),
		cmocka_unit_test(random_v6_is_as_naive),
		cmocka_unit_test(readers_see_whole_trees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
