/* SPDX-License-Identifier: MIT */
/* Unit tests of what stands in Redis of a connection ID: written, read back, and whatever else somebody wrote there. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "control/session_record.h"
#include "tests/lib/plain_state.h"

static void key_is_the_id_in_hex(void **unused)
{
	static const uint8_t cid[CID_LEN_MAX] = { 0x00, 0x9f, 0xa1, 0xff, [19] = 0x7e };
	char key[SESSION_KEY_BYTES];

	(void)unused;
	session_record_key(key, cid, 4);
	assert_string_equal(key, "sluice:cid:009fa1ff");
	session_record_key(key, cid, CID_LEN_MAX);
	assert_string_equal(key, "sluice:cid:009fa1ff0000000000000000000000000000007e");
	assert_int_equal(strlen(key) + 1, SESSION_KEY_BYTES);
}

static void record_is_written_and_read_back(void **unused)
{
	static const struct {
		const char *address;
		uint16_t port;
		uint32_t route;
		bool pinned;
		const char *text;
	} rows[] = {
		{ "10.0.0.5", 7777, 0x5f3a9c01, false, "10.0.0.5:7777 route=5f3a9c01" },
		{ "2001:db8::5", 65535, 0, true, "[2001:db8::5]:65535 route=00000000 pinned" },
		{ "2001:db8:1111:2222:3333:4444:5555:6666", 65535, UINT32_MAX, true,
		  "[2001:db8:1111:2222:3333:4444:5555:6666]:65535 route=ffffffff pinned" },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct session_record record = { { plain_addr(rows[i].address), rows[i].port }, rows[i].route,
						       rows[i].pinned, false };
		struct session_record read;
		char text[SESSION_TEXT_BYTES];

		session_record_write(text, &record);
		assert_string_equal(text, rows[i].text);
		assert_int_equal(session_record_read(text, strlen(text), &read), 0);
		assert_true(addr_equal(&read.server.addr, &record.server.addr));
		assert_int_equal(read.server.port, record.server.port);
		assert_int_equal(read.route, record.route);
		assert_int_equal(read.pinned, record.pinned);
	}
}

static void words_are_optional_and_unknown_ones_passed_over(void **unused)
{
	struct session_record record;

	(void)unused;
	assert_int_equal(session_record_read("10.0.0.5:7", 10, &record), 0);
	assert_int_equal(record.route, 0);
	assert_false(record.pinned);
	assert_int_equal(session_record_read("10.0.0.5:7  pinned later=1 route=A", 34, &record), 0);
	assert_int_equal(record.route, 10);
	assert_true(record.pinned);
}

static void end_is_written_and_read_back(void **unused)
{
	const struct session_record ended = { .ended = true };
	struct session_record record;
	char text[SESSION_TEXT_BYTES];

	(void)unused;
	session_record_write(text, &ended);
	assert_string_equal(text, "ended");
	assert_int_equal(session_record_read(text, strlen(text), &record), 0);
	assert_true(record.ended);
	assert_int_equal(session_record_read("10.0.0.5:7 ended", 16, &record), 0);
	assert_false(record.ended);
}

static void what_is_no_record_is_refused(void **unused)
{
	static const char *const wrong[] = {
		"", " ", "ende", "ended ", "10.0.0.5", "10.0.0.5:0", "10.0.0.5:70000", "game.test:7", "2001:db8::5:7", "0.0.0.0:7",
		"224.0.0.1:7", "[ff02::1]:7", "[::]:7", "pinned", "10.0.0.5:7 route=", "10.0.0.5:7 route=123456789",
		"10.0.0.5:7 route=-1", "10.0.0.5:7 route=x",
	};
	struct session_record record;
	char longest[200];

	(void)unused;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (session_record_read(wrong[i], strlen(wrong[i]), &record) != -EBADMSG)
			fail_msg("'%s' was taken", wrong[i]);
	assert_int_equal(session_record_read("10.0.0.5:7\0pinned", 17, &record), -EBADMSG);
	snprintf(longest, sizeof(longest), "10.0.0.5:7 %0150d", 0);
	assert_int_equal(session_record_read(longest, strlen(longest), &record), -EBADMSG);
}

/* From allocations of exactly their size: AddressSanitizer sees one byte too far. */
static void prefixes_stay_within_themselves(void **unused)
{
	static const char whole[] = "[2001:db8::5]:7777 route=5f3a9c01 pinned";

	(void)unused;
	for (size_t len = 0; len < sizeof(whole); len++) {
		struct session_record record;
		char *copy = malloc(len);

		memcpy(copy, whole, len);
		/* The address is whole with its port's first digit; then only a cut "route=" is no record. */
		assert_int_equal(session_record_read(copy, len, &record) == 0,
				 len > strlen("[2001:db8::5]:") && len != strlen("[2001:db8::5]:7777 route=") &&
					 len < sizeof(whole));
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(key_is_the_id_in_hex),
		cmocka_unit_test(record_is_written_and_read_back),
		cmocka_unit_test(words_are_optional_and_unknown_ones_passed_over),
		cmocka_unit_test(end_is_written_and_read_back),
		cmocka_unit_test(what_is_no_record_is_refused),
		cmocka_unit_test(prefixes_stay_within_themselves),
	};

	return cmocka_run_group_tests_name("session_record", tests, NULL, NULL);
}
