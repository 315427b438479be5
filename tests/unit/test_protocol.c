/* SPDX-License-Identifier: MIT */
/* Unit tests of the control protocol: each message's bytes, every prefix of each, and what may not be said. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "control/protocol.h"

#define ZEROS_8 0, 0, 0, 0, 0, 0, 0, 0
#define ASK_CID(min_len, max_len) \
	12, 0, 0, 0, ZEROS_8, ZEROS_8, ZEROS_8, 0, 0, 0, 0, min_len, max_len, 0, 0
#define CID_ANSWER(len, flags) \
	13, 0, 0, 0, ZEROS_8, ZEROS_8, ZEROS_8, 1, 1, len, flags, ZEROS_8, 0, 0, 0, 0
#define BYTES(...) { __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ })

/* Host byte order; these are little endian's. */
static const struct {
	const char *name;
	struct protocol_message message;
	uint8_t bytes[80];
	size_t len;
} rows[] = {
	{ "hello", { .type = PROTOCOL_HELLO, .hello = { 1, 2 }, .text = "0.1" },
	  BYTES(1, 0, 3, 0, 1, 0, 0, 0, 2, 0, 0, 0, '0', '.', '1') },
	{ "hello without text", { .type = PROTOCOL_HELLO, .hello = { 9, 9 } }, BYTES(1, 0, 0, 0, 9, 0, 0, 0, 9, 0, 0, 0) },
	{ "maps", { .type = PROTOCOL_MAPS, .maps = { 10 } }, BYTES(2, 0, 0, 0, 10, 0, 0, 0) },
	{ "begin", { .type = PROTOCOL_ROUTES_BEGIN }, BYTES(3, 0, 0, 0) },
	{ "route",
	  { .type = PROTOCOL_ROUTE,
	    .route = { .flags = PROTOCOL_ROUTE_PINNED,
		       .count = 2,
		       .targets = { { { .bytes = { [10] = 0xff, 0xff, 10, 0, 0, 5 } }, 0x611e, 3, 0 },
				    { { .bytes = { 0x20, 1, [15] = 9 } }, 0x611e, 1, 0 } } },
	    .text = "a.b" },
	  BYTES(4, 0, 3, 0, 2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 5, 0x1e, 0x61, 3, 0, 0,
		0, 0, 0, 0x20, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0x1e, 0x61, 1, 0, 0, 0, 0, 0, 'a', '.', 'b') },
	{ "route without a server", { .type = PROTOCOL_ROUTE, .text = "*" }, BYTES(4, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, '*') },
	{ "route to ask for", { .type = PROTOCOL_ROUTE, .route.flags = PROTOCOL_ROUTE_ASK, .text = "*" },
	  BYTES(4, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, '*') },
	{ "route that preserves", { .type = PROTOCOL_ROUTE, .route.flags = PROTOCOL_ROUTE_PRESERVE, .text = "*" },
	  BYTES(4, 0, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, '*') },
	{ "end", { .type = PROTOCOL_ROUTES_END }, BYTES(5, 0, 0, 0) },
	{ "gone", { .type = PROTOCOL_ROUTE_GONE, .text = "*" }, BYTES(6, 0, 1, 0, '*') },
	{ "refused", { .type = PROTOCOL_ROUTE_REFUSED, .refused = { 28 }, .text = "*" },
	  BYTES(7, 0, 1, 0, 28, 0, 0, 0, '*') },
	{ "session", { .type = PROTOCOL_SESSION_END, .session = { 5, 7 } }, BYTES(8, 0, 0, 0, 5, 0, 0, 0, 7, 0, 0, 0) },
	{ "reload", { .type = PROTOCOL_RELOAD }, BYTES(9, 0, 0, 0) },
	{ "ask",
	  { .type = PROTOCOL_ASK,
	    .ask = { 0x0807060504030201, { .bytes = { [10] = 0xff, 0xff, 192, 0, 2, 7 } }, 0x8813, { 0 } },
	    .text = "a" },
	  BYTES(10, 0, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7, 0x13, 0x88, 0, 0, 0,
		0, 0, 0, 'a') },
	{ "answer",
	  { .type = PROTOCOL_ANSWER, .answer = { 1, { .bytes = { [10] = 0xff, 0xff, 10, 0, 0, 5 } }, 0x611e, 0, 11 } },
	  BYTES(11, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 5, 0x1e, 0x61, 0, 0, 11,
		0, 0, 0) },
	{ "ask for a connection ID",
	  { .type = PROTOCOL_ASK_CID, .ask_cid = { 1, { 0xc1, 0xc2, 0xc3, 0xc4, [19] = 0xd4 }, 4, 20, 0 } },
	  BYTES(12, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xc1, 0xc2, 0xc3, 0xc4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xd4, 4,
		20, 0, 0) },
	{ "whose connection ID",
	  { .type = PROTOCOL_CID_ANSWER,
	    .cid_answer = { 1, { .bytes = { [10] = 0xff, 0xff, 10, 0, 0, 5 } }, 0x611e, 8, PROTOCOL_ROUTE_PINNED, 9, 0, 0 } },
	  BYTES(13, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 5, 0x1e, 0x61, 8, 2, 9, 0,
		0, 0, 0, 0, 0, 0, 0, 0, 0, 0) },
};
enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static void messages_are_these_bytes(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < ROWS; i++) {
		uint8_t bytes[PROTOCOL_MESSAGE_MAX];
		struct protocol_message message;

		if (protocol_encode(&rows[i].message, bytes) != (int)rows[i].len ||
		    memcmp(bytes, rows[i].bytes, rows[i].len) != 0)
			fail_msg("%s: encoded otherwise", rows[i].name);
		if (protocol_decode(rows[i].bytes, rows[i].len, &message) != 0 || message.type != rows[i].message.type ||
		    strcmp(message.text, rows[i].message.text) != 0 || protocol_encode(&message, bytes) != (int)rows[i].len ||
		    memcmp(bytes, rows[i].bytes, rows[i].len) != 0)
			fail_msg("%s: decoded otherwise", rows[i].name);
	}
}

/* From allocations of exactly their size: AddressSanitizer sees one byte too far. */
static void no_prefix_and_no_longer_packet_is_taken(void **unused)
{
	(void)unused;
	for (size_t i = 0; i < ROWS; i++)
		for (size_t len = 0; len <= rows[i].len + 1; len++) {
			uint8_t *copy = calloc(1, len);
			struct protocol_message message;

			memcpy(copy, rows[i].bytes, len < rows[i].len ? len : rows[i].len);
			if ((protocol_decode(copy, len, &message) == 0) != (len == rows[i].len))
				fail_msg("%s: %zu of %zu bytes", rows[i].name, len, rows[i].len);
			free(copy);
		}
}

static void what_is_wrong_is_refused(void **unused)
{
	static const struct {
		const char *name;
		uint8_t bytes[48];
		size_t len;
	} wrong[] = {
		{ "type 0", BYTES(0, 0, 0, 0) },
		{ "unknown type", BYTES(PROTOCOL_TYPES, 0, 0, 0) },
		{ "route gone without a name", BYTES(6, 0, 0, 0) },
		{ "text where none belongs", BYTES(5, 0, 1, 0, 'x') },
		{ "NUL within a name", BYTES(6, 0, 3, 0, 'a', 0, 'b') },
		{ "text length beyond the packet", BYTES(6, 0, 0xff, 0xff, 'a') },
		{ "route without a name", BYTES(4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) },
		{ "route that preserves and is pinned", BYTES(4, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0, 0, '*') },
		{ "route with unknown flags", BYTES(4, 0, 1, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, '*') },
		{ "route with more targets than there are", BYTES(4, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, '*') },
		{ "target of weight 0",
		  BYTES(4, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 7, 0, 0, 0, 0, 0, 0, '*') },
		{ "targets beside a question",
		  BYTES(4, 0, 1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 7, 1, 0, 0, 0, 0, 0, '*') },
		{ "connection ID of 21 bytes", BYTES(ASK_CID(4, 21)) },
		{ "connection ID of 3 bytes", BYTES(ASK_CID(3, 20)) },
		{ "connection ID from 8 to 7 bytes", BYTES(ASK_CID(8, 7)) },
		{ "answer with a connection ID of 21 bytes", BYTES(CID_ANSWER(21, 0)) },
		{ "answer with unknown flags", BYTES(CID_ANSWER(8, 1)) },
	};
	struct protocol_message message, bad = { .type = PROTOCOL_TYPES }, nameless = { .type = PROTOCOL_ROUTE };
	struct protocol_message crowded = { .type = PROTOCOL_ROUTE, .route.count = PROTOCOL_TARGETS_MAX + 1, .text = "*" };
	uint8_t bytes[PROTOCOL_MESSAGE_MAX], long_name[4 + PROTOCOL_TEXT_MAX + 1] = { 6, 0, PROTOCOL_TEXT_MAX + 1, 0 };

	(void)unused;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (protocol_decode(wrong[i].bytes, wrong[i].len, &message) != -EBADMSG)
			fail_msg("%s", wrong[i].name);
	memset(long_name + 4, 'a', PROTOCOL_TEXT_MAX + 1);
	assert_int_equal(protocol_decode(long_name, sizeof(long_name), &message), -EBADMSG);
	assert_int_equal(protocol_encode(&bad, bytes), -EINVAL);
	assert_int_equal(protocol_encode(&nameless, bytes), -EINVAL);
	assert_int_equal(protocol_encode(&crowded, bytes), -EINVAL);
}

/* Sessions in adopted tables have them: they may never change. FNV-1a's own test vectors. */
static void route_ids_are_fnv_1a(void **unused)
{
	(void)unused;
	assert_int_equal(protocol_route_id("a"), 0xe40c292c);
	assert_int_equal(protocol_route_id("foobar"), 0xbf9cf968);
}

static void socket_paths_have_an_end(void **unused)
{
	char path[200], dir[120];

	(void)unused;
	assert_true(protocol_socket_path(path, sizeof(path), "/run/sluice", "default"));
	assert_string_equal(path, "/run/sluice/default.sock");
	memset(dir, 'x', sizeof(dir));
	dir[sizeof(dir) - 1] = '\0';
	assert_false(protocol_socket_path(path, sizeof(path), dir, "default"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_are_these_bytes),
		cmocka_unit_test(no_prefix_and_no_longer_packet_is_taken),
		cmocka_unit_test(what_is_wrong_is_refused),
		cmocka_unit_test(route_ids_are_fnv_1a),
		cmocka_unit_test(socket_paths_have_an_end),
	};

	return cmocka_run_group_tests_name("protocol", tests, NULL, NULL);
}
