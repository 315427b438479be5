/* SPDX-License-Identifier: MIT */
/* Unit tests of the bytes of a probe, of its answers, and of ICMP errors that quote it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "control/probe.h"

#define DCID 0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xd5, 0xd6, 0xd7
#define SCID 0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57

static const struct probe known = { .version = { 0x1a, 0x2a, 0x3a, 0x4a }, .dcid = { DCID }, .scid = { SCID } };

static void probe_is_a_long_header_of_a_reserved_version(void **unused)
{
	static const uint8_t head[] = { 0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8, DCID, 8, SCID };
	struct probe random = { .version = { 0x12, 0xff, 0x00, 0xa5 } };
	uint8_t bytes[PROBE_BYTES];

	(void)unused;
	memset(bytes, 0xff, sizeof(bytes));
	probe_write(&known, bytes);
	assert_int_equal(sizeof(bytes), 1200); /* RFC 9000 s14.1 */
	assert_int_equal(sizeof(head), PROBE_HEAD_BYTES);
	assert_memory_equal(bytes, head, sizeof(head));
	for (size_t i = sizeof(head); i < sizeof(bytes); i++)
		assert_int_equal(bytes[i], 0);
	probe_reserve_version(&random);
	assert_memory_equal(random.version, ((uint8_t[]){ 0x1a, 0xfa, 0x0a, 0xaa }), 4);
}

#define ROW(name_, good_, ...) { name_, good_, { __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ }) }

struct answer_row {
	const char *name;
	bool good;
	uint8_t bytes[64];
	size_t len;
};

static const struct answer_row answers[] = {
	ROW("one version", true, 0x80, 0, 0, 0, 0, 8, SCID, 8, DCID, 0, 0, 0, 1),
	ROW("two versions, and any seven bits", true, 0xff, 0, 0, 0, 0, 8, SCID, 8, DCID, 0, 0, 0, 1, 0x6b, 0x33, 0x43, 0xcf),
	ROW("it lists the probe's version", true, 0xc0, 0, 0, 0, 0, 8, SCID, 8, DCID, 0x1a, 0x2a, 0x3a, 0x4a),
	ROW("no version", false, 0x80, 0, 0, 0, 0, 8, SCID, 8, DCID),
	ROW("half a version", false, 0x80, 0, 0, 0, 0, 8, SCID, 8, DCID, 0, 0),
	ROW("a version and a half", false, 0x80, 0, 0, 0, 0, 8, SCID, 8, DCID, 0, 0, 0, 1, 0, 0),
	ROW("a short header", false, 0x40, 0, 0, 0, 0, 8, SCID, 8, DCID, 0, 0, 0, 1),
	ROW("a version of its own", false, 0x80, 0, 0, 0, 1, 8, SCID, 8, DCID, 0, 0, 0, 1),
	ROW("the connection IDs not swapped", false, 0x80, 0, 0, 0, 0, 8, DCID, 8, SCID, 0, 0, 0, 1),
	ROW("another DCID", false, 0x80, 0, 0, 0, 0, 8, DCID, 8, DCID, 0, 0, 0, 1),
	ROW("another SCID", false, 0x80, 0, 0, 0, 0, 8, SCID, 8, SCID, 0, 0, 0, 1),
	ROW("a DCID cut short", false, 0x80, 0, 0, 0, 0, 7, SCID, 8, DCID, 0, 0, 0, 1),
	ROW("a SCID cut short", false, 0x80, 0, 0, 0, 0, 8, SCID, 7, DCID, 0, 0, 0, 1),
	ROW("no SCID", false, 0x80, 0, 0, 0, 0, 8, SCID, 0, 0, 0, 0, 1),
};

static void answers_are_told_from_anything_else(void **unused)
{
	uint8_t probe[PROBE_BYTES];

	(void)unused;
	for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
		/* In a buffer of its size, so that a read beyond it shows. */
		uint8_t *bytes = malloc(answers[i].len);

		memcpy(bytes, answers[i].bytes, answers[i].len);
		if (probe_is_answer(&known, bytes, answers[i].len) != answers[i].good)
			fail_msg("%s: %s", answers[i].name, answers[i].good ? "not taken" : "taken");
		free(bytes);
	}
	for (size_t len = 0; len < answers[0].len; len++) {
		uint8_t *bytes = malloc(len + !len);

		memcpy(bytes, answers[0].bytes, len);
		assert_false(probe_is_answer(&known, bytes, len));
		free(bytes);
	}
	probe_write(&known, probe); /* a server that echoes */
	assert_false(probe_is_answer(&known, probe, sizeof(probe)));
}

/* ICMP errors quote as much as their sender likes; 14 bytes show that it saw the probe. */
static void quotes_are_told_from_anything_else(void **unused)
{
	uint8_t probe[PROBE_BYTES];

	(void)unused;
	probe_write(&known, probe);
	for (size_t len = 0; len <= sizeof(probe); len++) {
		uint8_t *bytes = malloc(len + !len);

		memcpy(bytes, probe, len);
		assert_int_equal(probe_is_quoted(&known, bytes, len), len >= 14);
		free(bytes);
	}
	probe[13] ^= 1;
	assert_false(probe_is_quoted(&known, probe, sizeof(probe)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(probe_is_a_long_header_of_a_reserved_version),
		cmocka_unit_test(answers_are_told_from_anything_else),
		cmocka_unit_test(quotes_are_told_from_anything_else),
	};

	return cmocka_run_group_tests_name("probe", tests, NULL, NULL);
}
