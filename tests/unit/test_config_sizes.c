/* SPDX-License-Identifier: MIT */
/* test_config_sizes: values at their bounds, large configurations, files, and addresses as text. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/config.h"
#include "tests/unit/config_text.h"

/* --- bounds ------------------------------------------------------------------------------------- */

static void test_names_at_their_bounds(void **state)
{
	struct config config;

	(void)state;
	config = parse_good(ROUTE(NAME253 ".")); /* the last dot does not count */
	assert_string_equal(config.routes[0].fqdn, NAME253);
	config_free(&config);
	config = parse_good(ROUTE("*.A"));
	assert_string_equal(config.routes[0].fqdn, "*.a");
	config_free(&config);
	config = parse_good("xdp: {interfaces: [abcdefghijklmno]}\n"
			    "listeners: [{name: abcdefghijklmnopqrstuvwxyz01234, address: '*:65535'}]\n");
	assert_string_equal(config.xdp.interfaces[0], "abcdefghijklmno");
	assert_string_equal(config.listeners[0].name, "abcdefghijklmnopqrstuvwxyz01234");
	assert_int_equal(config.listeners[0].address.port, 65535);
	config_free(&config);
	config = parse_good("relay: {ports: '1024-1024,1025-65535'}");
	assert_int_equal(config.relay.port_ranges[0][1], 1024);
	assert_int_equal(config.relay.port_ranges[1][0], 1025);
	config_free(&config);
}

static void test_longest_string(void **state)
{
	char text[8192], *messages;
	struct config config;

	(void)state;
	snprintf(text, sizeof(text), "redis: {channel: %0*d}", 4095, 0);
	config = parse_good(text);
	assert_int_equal(strlen(config.redis.channel), 4095);
	config_free(&config);
	snprintf(text, sizeof(text), "redis: {channel: %0*d}", 4096, 0);
	assert_int_equal(parse_bytes(text, strlen(text), &config, &messages), -1);
	assert_string_equal(messages, "c.yaml:1: redis.channel: 0000000000000000000000000000000000000000"
				      "00000000000000000000...: must be at most 4095 bytes\n");
	free(messages);
}

static char *listeners_text(unsigned count, const char *tail)
{
	char *text = calloc(1, 65536), *to = text;

	to += sprintf(to, "listeners:\n");
	for (unsigned i = 0; i < count; i++)
		to += sprintf(to, "- {name: l%u, address: '*:%u'}\n", i, 1000 + i);
	strcpy(to, tail);
	return text;
}

static void test_listeners_at_their_bound(void **state)
{
	struct config config;
	char *messages, *text = listeners_text(64, "");

	(void)state;
	config = parse_good(text);
	assert_int_equal(config.listener_count, 64);
	config_free(&config);
	free(text);

	text = listeners_text(66, "");
	assert_int_equal(parse_bytes(text, strlen(text), &config, &messages), -1);
	assert_string_equal(messages, "c.yaml:66: listeners[64]: too many: must be at most 64\n");
	free(messages);
	free(text);

	text = listeners_text(64, "udp: {}\n");
	assert_int_equal(parse_bytes(text, strlen(text), &config, &messages), -1);
	assert_string_equal(messages, "c.yaml:66: udp: too many: must be at most 64 listeners with this one\n");
	free(messages);
	free(text);
}

/* --- sizes ------------------------------------------------------------------------------------- */

/* Each in an allocation of exactly its size, for the sanitizer to watch its end. */
static double cpu_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void test_100k_routes(void **state)
{
	enum { ROUTES = 100000, LINE_MAX_BYTES = 96 };
	char *text = malloc((size_t)ROUTES * LINE_MAX_BYTES), *to = text, *messages;
	struct config config;
	double begin, took;

	(void)state;
	to += sprintf(to, "routes:\n");
	for (int i = 0; i < ROUTES; i++)
		to += sprintf(to, "  - {fqdn: \"game%d.example.com\", type: simple, target: \"10.1.%d.%d:%d\"}\n", i,
			      i >> 8 & 255, i & 255, 1024 + i % 60000);
	begin = cpu_seconds();
	config = parse_good(text);
	took = cpu_seconds() - begin;
	print_message("%d routes (%zu bytes): %.2f s\n", ROUTES, (size_t)(to - text), took);
	assert_int_equal(config.route_count, ROUTES);
	assert_string_equal(config.routes[ROUTES - 1].fqdn, "game99999.example.com");
	assert_int_equal(config.routes[ROUTES - 1].line, ROUTES + 1);
	assert_int_equal(config.routes[ROUTES - 1].spec->targets[0].address.port, 1024 + 99999 % 60000);
	config_free(&config);
	/* Comparing each with each takes a minute; the rest is for sanitizers and slow machines. */
	assert_true(took < 5);

	to += sprintf(to, "  - {fqdn: \"game7.example.com\", type: simple, target: \"10.0.0.1:1\"}\n");
	assert_int_equal(parse_bytes(text, (size_t)(to - text), &config, &messages), -1);
	assert_string_equal(messages, "c.yaml:100002: routes[100000].fqdn: game7.example.com: "
				      "must be given once (first on line 9)\n");
	free(messages);
	free(text);
}

static void test_too_large(void **state)
{
	size_t len = (64 << 20) + 1;
	struct config config;
	char *text = malloc(len), *messages;

	(void)state;
	memset(text, '\n', len);
	assert_int_equal(parse_bytes(text, len, &config, &messages), -1);
	assert_string_equal(messages, "c.yaml: 67108865 bytes: must be at most 67108864\n");
	free(messages);
	free(text);
}

/* --- files ------------------------------------------------------------------------------------- */

static int load(const char *path, struct config *config, char **messages)
{
	size_t size;
	FILE *errors = open_memstream(messages, &size);
	int result = config_load(path, config, errors);

	fclose(errors);
	return result;
}

static void test_load(void **state)
{
	char path[] = "/tmp/sluice-test-config-XXXXXX", *messages, wanted[128];
	static const char text[] = "limits:\n  sessions: 3\n";
	struct config config;
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(load(path, &config, &messages), -1);
	snprintf(wanted, sizeof(wanted), "%s:2: limits.sessions: 3: must be an integer from 64 to 4194304\n", path);
	assert_string_equal(messages, wanted);
	free(messages);

	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(load(path, &config, &messages), 0);
	assert_string_equal(messages, "");
	/* test_config says what they are */
	assert_int_equal(config.limits.sessions, 65536);
	assert_int_equal(config.route_count, 0);
	config_free(&config);
	free(messages);

	/* more than the first read, and sparse beyond the bound: neither is cut off in silence */
	assert_int_equal(ftruncate(fd, (64 << 20) + 100), 0);
	assert_int_equal(load(path, &config, &messages), -1);
	snprintf(wanted, sizeof(wanted), "%s: ", path);
	assert_memory_equal(messages, wanted, strlen(wanted));
	assert_non_null(strstr(messages, "must be at most 67108864"));
	free(messages);
	close(fd);
	unlink(path);

	assert_int_equal(load("/nonexistent/c.yaml", &config, &messages), -1);
	assert_string_equal(messages, "/nonexistent/c.yaml: cannot be read: No such file or directory\n");
	free(messages);
	assert_int_equal(load("/tmp", &config, &messages), -1);
	assert_string_equal(messages, "/tmp: cannot be read: Is a directory\n");
	free(messages);
}

static void test_load_large_file(void **state)
{
	char path[] = "/tmp/sluice-test-config-XXXXXX", *messages;
	struct config config;
	int fd = mkstemp(path);
	FILE *file = fdopen(fd, "w");

	(void)state;
	assert_non_null(file);
	fprintf(file, "routes:\n");
	for (int i = 0; i < 3000; i++)
		fprintf(file, "- {fqdn: game%d.example.com, type: agones, target: fleet%d}\n", i, i);
	fclose(file);
	assert_int_equal(load(path, &config, &messages), 0);
	assert_int_equal(config.route_count, 3000);
	assert_string_equal(config.routes[2999].target, "fleet2999");
	config_free(&config);
	free(messages);
	unlink(path);
}

/* --- addresses --------------------------------------------------------------------------------- */

static void test_address_parse(void **state)
{
	static const struct {
		const char *text, *ip; /* NULL: refused */
		uint16_t port;
	} rows[] = {
		{ "1.2.3.4:5", "1.2.3.4", 5 },
		{ "255.255.255.255:65535", "255.255.255.255", 65535 },
		{ "[2001:db8::1]:5", "2001:db8::1", 5 },
		{ "[::]:1", "::", 1 },
		{ "[::ffff:1.2.3.4]:5", "1.2.3.4", 5 },
		{ "[2001:0db8:1111:2222:3333:4444:5555:6666]:65535", "2001:db8:1111:2222:3333:4444:5555:6666", 65535 },
		{ .text = "" }, { .text = ":" }, { .text = ":5" }, { .text = "1.2.3.4" }, { .text = "1.2.3.4:" },
		{ .text = "1.2.3.4:0" }, { .text = "1.2.3.4:65536" }, { .text = "1.2.3.4:05" },
		{ .text = "1.2.3.4:+5" }, { .text = "1.2.3.4: 5" }, { .text = "1.2.3.4:5 " }, { .text = " 1.2.3.4:5" },
		{ .text = "1.2.3.4:99999999999999999999" }, { .text = "1.2.3:5" }, { .text = "1.2.3.4.5:5" },
		{ .text = "01.2.3.4:5" }, { .text = "[1.2.3.4]:5" }, { .text = "::1:5" }, { .text = "[::1]" },
		{ .text = "[::1]5" }, { .text = "[::1:5" }, { .text = "::1]:5" }, { .text = "[]:5" }, { .text = "]:5" },
		{ .text = "[:5" }, { .text = "[::1%lo]:5" }, { .text = "host:5" },
		{ .text = "1.2.3.4.1.2.3.4.1.2.3.4.1.2.3.4.1.2.3.4.1.2.3.4.1.2.3.4:5" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct config_address address;
		int result = config_address_parse(rows[i].text, &address);

		if (result != (rows[i].ip ? 0 : -EINVAL))
			fail_msg("'%s': %d", rows[i].text, result);
		if (!rows[i].ip)
			continue;
		assert_ip(address.addr, rows[i].ip);
		assert_int_equal(address.port, rows[i].port);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_at_their_bounds),
		cmocka_unit_test(test_longest_string),
		cmocka_unit_test(test_listeners_at_their_bound),
		cmocka_unit_test(test_100k_routes),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_load_large_file),
		cmocka_unit_test(test_address_parse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
