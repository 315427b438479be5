/* SPDX-License-Identifier: MIT */
/* test_config_quic_lb: quic_lb in config.yaml: at its bounds, and every way in which it is refused, by exact message. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/config_text.h"

#define SERVER_ID_MUST "must be a server ID: 1 to 15 bytes in hexadecimal digits"
#define KEY_MUST "must be 32 hexadecimal digits, or empty for none"
#define KEY31 "f95f09245765f80256934e50c66207f"
#define KEY32 "8" KEY31
#define SERVERS1 "servers: {ed793a: '10.0.0.5:7777'}"
#define QUIC_LB(rest) "quic_lb:\n- {config_rotation: 0, server_id_length: 3, nonce_length: 4, " rest "}\n"

static const struct error_row error_rows[] = {
	{ "a mapping", "quic_lb: {}", "c.yaml:1: quic_lb: {...}: must be a list\n" },
	{ "without its keys", "quic_lb:\n- {}\n",
	  "c.yaml:2: quic_lb[0].config_rotation: missing: must be given\n"
	  "c.yaml:2: quic_lb[0].server_id_length: missing: must be given\n"
	  "c.yaml:2: quic_lb[0].nonce_length: missing: must be given\n"
	  "c.yaml:2: quic_lb[0].servers: missing: must be given\n" },
	{ "client_ip unknown", QUIC_LB("client_ip: yes, " SERVERS1),
	  "c.yaml:2: quic_lb[0].client_ip: yes: must be relay or preserve\n" },
	{ "numbers too low",
	  "quic_lb:\n- {config_rotation: -1, server_id_length: 0, nonce_length: 3, " SERVERS1 "}\n",
	  "c.yaml:2: quic_lb[0].config_rotation: -1: must be an integer from 0 to 6\n"
	  "c.yaml:2: quic_lb[0].server_id_length: 0: must be an integer from 1 to 15\n"
	  "c.yaml:2: quic_lb[0].nonce_length: 3: must be an integer from 4 to 18\n" },
	{ "numbers too high",
	  "quic_lb:\n- {config_rotation: 7, server_id_length: 16, nonce_length: 19, " SERVERS1 "}\n",
	  "c.yaml:2: quic_lb[0].config_rotation: 7: must be an integer from 0 to 6\n"
	  "c.yaml:2: quic_lb[0].server_id_length: 16: must be an integer from 1 to 15\n"
	  "c.yaml:2: quic_lb[0].nonce_length: 19: must be an integer from 4 to 18\n" },
	{ "lengths too high together",
	  "quic_lb:\n- config_rotation: 0\n  server_id_length: 3\n  nonce_length: 17\n  " SERVERS1 "\n",
	  "c.yaml:4: quic_lb[0].nonce_length: 17: must be at most 19 together with server_id_length (3)\n" },
	{ "rotation twice; one that is wrong does not count",
	  "quic_lb:\n- {config_rotation: 0, server_id_length: 3, nonce_length: 4, " SERVERS1 "}\n"
	  "- {config_rotation: 7, server_id_length: 3, nonce_length: 4, " SERVERS1 "}\n"
	  "- {config_rotation: 0, server_id_length: 3, nonce_length: 5, " SERVERS1 "}\n",
	  "c.yaml:3: quic_lb[1].config_rotation: 7: must be an integer from 0 to 6\n"
	  "c.yaml:4: quic_lb[2].config_rotation: 0: must be given once (first on line 2)\n" },
	{ "an eighth item", "quic_lb: [~,~,~,~,~,~,~,~,~]\n",
	  "c.yaml:1: quic_lb[0]: null: must be a mapping\n"
	  "c.yaml:1: quic_lb[1]: null: must be a mapping\n"
	  "c.yaml:1: quic_lb[2]: null: must be a mapping\n"
	  "c.yaml:1: quic_lb[3]: null: must be a mapping\n"
	  "c.yaml:1: quic_lb[4]: null: must be a mapping\n"
	  "c.yaml:1: quic_lb[5]: null: must be a mapping\n"
	  "c.yaml:1: quic_lb[6]: null: must be a mapping\n"
	  "c.yaml:1: quic_lb[7]: too many: must be at most 7\n" },
	{ "key too short is not shown", QUIC_LB(SERVERS1 ", key: 8f95f09245765f80256934e50c6620"),
	  "c.yaml:2: quic_lb[0].key: ***: " KEY_MUST "\n" },
	{ "key too long is not shown", QUIC_LB(SERVERS1 ", key: " KEY32 "00"),
	  "c.yaml:2: quic_lb[0].key: ***: " KEY_MUST "\n" },
	{ "key with another letter is not shown", QUIC_LB(SERVERS1 ", key: 8f95f09245765f80256934e50c66207g"),
	  "c.yaml:2: quic_lb[0].key: ***: " KEY_MUST "\n" },
	{ "key with a control character is not shown", QUIC_LB(SERVERS1 ", key: \"" KEY32 "\\n\""),
	  "c.yaml:2: quic_lb[0].key: ***: must not contain control characters\n" },
	{ "servers as a list", QUIC_LB("servers: [a]"),
	  "c.yaml:2: quic_lb[0].servers: [...]: must be a mapping\n" },
	{ "servers left empty", QUIC_LB("servers: "),
	  "c.yaml:2: quic_lb[0].servers: null: must be a mapping\n" },
	{ "servers, none", QUIC_LB("servers: {}"),
	  "c.yaml:2: quic_lb[0].servers: {}: must have at least 1 server\n" },
	{ "server IDs that are none",
	  "quic_lb:\n- config_rotation: 0\n  server_id_length: 3\n  nonce_length: 4\n  servers:\n"
	  "    ed793: '10.0.0.5:1'\n    '': '10.0.0.5:1'\n    ed793g: '10.0.0.5:1'\n"
	  "    0102030405060708090a0b0c0d0e0f10: '10.0.0.5:1'\n"
	  "    ? [ed793a]\n    : '10.0.0.5:1'\n    ~: {a: b}\n    \"ed79\\0\": '10.0.0.5:1'\n"
	  "    0xed79: '10.0.0.5:1'\n",
	  "c.yaml:6: quic_lb[0].servers.ed793: " SERVER_ID_MUST "\n"
	  "c.yaml:7: quic_lb[0].servers.\"\": " SERVER_ID_MUST "\n"
	  "c.yaml:8: quic_lb[0].servers.ed793g: " SERVER_ID_MUST "\n"
	  "c.yaml:9: quic_lb[0].servers.0102030405060708090a0b0c0d0e0f10: " SERVER_ID_MUST "\n"
	  "c.yaml:10: quic_lb[0].servers: a key must be a name\n"
	  "c.yaml:12: quic_lb[0].servers: a key must be a name\n"
	  "c.yaml:13: quic_lb[0].servers.\"ed79\\x00\": must not contain control characters\n"
	  "c.yaml:14: quic_lb[0].servers.0xed79: " SERVER_ID_MUST "\n" },
	{ "server IDs of other lengths", QUIC_LB("servers: {ed79: '10.0.0.5:1', ED793A01: '10.0.0.5:1'}"),
	  "c.yaml:2: quic_lb[0].servers.ed79: must be 6 hexadecimal digits, as server_id_length is 3\n"
	  "c.yaml:2: quic_lb[0].servers.ed793a01: must be 6 hexadecimal digits, as server_id_length is 3\n" },
	{ "server IDs are not judged by a length that is wrong",
	  "quic_lb:\n- {config_rotation: 0, server_id_length: x, nonce_length: 18, servers: {ed79: '10.0.0.5:1'}}\n",
	  "c.yaml:2: quic_lb[0].server_id_length: x: must be an integer from 1 to 15\n" },
	{ "server ID three times, in other letters",
	  "quic_lb:\n- config_rotation: 0\n  server_id_length: 3\n  nonce_length: 4\n  servers:\n"
	  "    ed793a: '10.0.0.5:1'\n    ed793b: '10.0.0.5:1'\n    ED793A: '10.0.0.5:1'\n    eD793a: '10.0.0.6:1'\n",
	  "c.yaml:8: quic_lb[0].servers.ed793a: must be given once (first on line 6)\n"
	  "c.yaml:9: quic_lb[0].servers.ed793a: must be given once (first on line 6)\n" },
	{ "server addresses that are none",
	  "quic_lb:\n- config_rotation: 0\n  server_id_length: 1\n  nonce_length: 4\n  servers:\n    01: a.example:5\n"
	  "    02: 10.0.0.5\n    03: '0.0.0.0:5'\n    04:\n    05: [a]\n    06: ''\n    07: \"10.0.0.5:1\\n\"\n",
	  "c.yaml:6: quic_lb[0].servers.01: a.example:5: must be IP:PORT or [IPv6]:PORT, the address of one host\n"
	  "c.yaml:7: quic_lb[0].servers.02: 10.0.0.5: must be IP:PORT or [IPv6]:PORT, the address of one host\n"
	  "c.yaml:8: quic_lb[0].servers.03: 0.0.0.0:5: must be IP:PORT or [IPv6]:PORT, the address of one host\n"
	  "c.yaml:9: quic_lb[0].servers.04: null: must be a string\n"
	  "c.yaml:10: quic_lb[0].servers.05: [...]: must be a string\n"
	  "c.yaml:11: quic_lb[0].servers.06: \"\": must be IP:PORT or [IPv6]:PORT, the address of one host\n"
	  "c.yaml:12: quic_lb[0].servers.07: \"10.0.0.5:1\\x0a\": must not contain control characters\n" },
};

static void test_errors(void **state)
{
	(void)state;
	assert_refused(error_rows, COUNT(error_rows));
}

/* All rotations, the longest server ID, and some thousands of servers. */
static void test_bounds(void **state)
{
	enum { SERVERS = 5000 };
	char *text = malloc(SERVERS * 40 + 2000), *to = text;
	struct config config;

	(void)state;
	to += sprintf(to, "quic_lb:\n");
	for (unsigned i = 0; i < 6; i++)
		to += sprintf(to, "- {config_rotation: %u, server_id_length: 15, nonce_length: 4, "
				  "servers: {0102030405060708090a0b0c0d0e0f: '10.0.0.1:1'}}\n", i);
	to += sprintf(to, "- config_rotation: 6\n  server_id_length: 2\n  nonce_length: 14\n  servers:\n");
	for (unsigned i = SERVERS; i > 0; i--)
		to += sprintf(to, "    \"%04x\": '10.0.0.1:%u'\n", i, i);
	config = parse_good(text);
	assert_int_equal(config.quic_lb_count, CONFIG_QUIC_LB_MAX);
	assert_int_equal(config.quic_lb[5].servers[0].id_len, 15);
	assert_int_equal(config.quic_lb[5].servers[0].id[14], 15);
	assert_int_equal(config.quic_lb[6].server_count, SERVERS);
	for (unsigned i = 0; i < SERVERS; i++)
		assert_int_equal(config.quic_lb[6].servers[i].address.port, i + 1);
	config_free(&config);
	free(text);
}

/* What a reload compares: every value, on whichever lines. */
static void a_change_is_seen(void **unused)
{
	static const struct {
		const char *name, *text;
		bool equal;
	} rows[] = {
		{ "the same on other lines", "\n\n" QUIC_LB("key: " KEY32 ",\n " SERVERS1), true },
		{ "nothing", "quic_lb: []\n", false },
		{ "without the key", QUIC_LB(SERVERS1), false },
		{ "another key", QUIC_LB("key: 0" KEY31 ", " SERVERS1), false },
		{ "another client_ip", QUIC_LB("key: " KEY32 ", client_ip: preserve, " SERVERS1), false },
		{ "another ID", QUIC_LB("key: " KEY32 ", servers: {ed793b: '10.0.0.5:7777'}"), false },
		{ "another address", QUIC_LB("key: " KEY32 ", servers: {ed793a: '10.0.0.6:7777'}"), false },
		{ "another port", QUIC_LB("key: " KEY32 ", servers: {ed793a: '10.0.0.5:7778'}"), false },
		{ "one more server",
		  QUIC_LB("key: " KEY32 ", servers: {ed793a: '10.0.0.5:7777', ed793b: '10.0.0.5:7777'}"), false },
		{ "another rotation",
		  "quic_lb:\n- {config_rotation: 1, server_id_length: 3, nonce_length: 4, key: " KEY32 ", " SERVERS1 "}\n",
		  false },
		{ "another nonce length",
		  "quic_lb:\n- {config_rotation: 0, server_id_length: 3, nonce_length: 5, key: " KEY32 ", " SERVERS1 "}\n",
		  false },
	};
	static const char running_text[] = QUIC_LB("key: " KEY32 ", " SERVERS1);
	struct config running, file;

	(void)unused;
	assert_int_equal(config_parse("c.yaml", running_text, strlen(running_text), &running, stderr), 0);
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (config_parse("c.yaml", rows[i].text, strlen(rows[i].text), &file, stderr) < 0 ||
		    config_quic_lb_equal(&running, &file) != rows[i].equal)
			fail_msg("%s", rows[i].name);
		config_free(&file);
	}
	config_free(&running);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(a_change_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
