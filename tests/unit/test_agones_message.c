/* SPDX-License-Identifier: MIT */
/* test_agones_message: the request byte by byte, and every way in which a reply is taken or refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bpf/table.h"
#include "control/agones_message.h"
#include "control/config_value.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define LABEL63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define REPLY(name, address, ports) "{\"gameServerName\":" name ",\"address\":" address ",\"ports\":" ports "}"
#define PORT(number) "[{\"name\":\"game\",\"port\":" number "}]"
#define TWO_PORTS "[{\"name\":\"a\",\"port\":1},{\"name\":\"b\",\"port\":2}]"
#define WITH_NAME(name) REPLY(name, "\"10.0.0.1\"", PORT("7000"))
#define WITH_ADDRESS(address) REPLY("\"gs\"", address, PORT("7000"))
#define WITH_PORTS(ports) REPLY("\"gs\"", "\"10.0.0.1\"", ports)

#define BAD "unusable reply: "
#define BAD_NAME BAD "gameServerName is no name"
#define BAD_ADDRESS BAD "address is neither an IP address nor a name"
#define NO_HOST BAD "address is not that of one host"
#define BAD_PORT BAD "port is not from 1 to 65535"

/* As Agones' own allocator answers it. */
static const char real[] =
	"{\"gameServerName\":\"simple-fleet-7x2kq-abcde\",\"ports\":[{\"name\":\"default\",\"port\":7463}],"
	"\"address\":\"192.0.2.10\",\"addresses\":[{\"type\":\"ExternalIP\",\"address\":\"192.0.2.10\"}],"
	"\"nodeName\":\"node-1\",\"source\":\"local\",\"metadata\":{\"labels\":{\"a\":\"b\"},\"annotations\":{}},"
	"\"counters\":{},\"lists\":{\"players\":{\"capacity\":\"10\",\"values\":[]}}}";

static void request_is_the_contracts(void **unused)
{
	char *text = agones_message_request("games", "my-fleet");

	(void)unused;
	assert_string_equal(text, "{\"namespace\":\"games\",\"gameServerSelectors\":["
				  "{\"matchLabels\":{\"agones.dev/fleet\":\"my-fleet\"},"
				  "\"gameServerState\":\"ALLOCATED\",\"lists\":{\"players\":{\"minAvailable\":\"1\"}}},"
				  "{\"matchLabels\":{\"agones.dev/fleet\":\"my-fleet\"},"
				  "\"gameServerState\":\"READY\",\"lists\":{\"players\":{\"minAvailable\":\"1\"}}}]}");
	free(text);
}

static const struct good_row {
	const char *name, *text, *port_name, *server, *host;
	bool is_ip;
	uint16_t port;
} good_rows[] = {
	{ "a real one", real, "", "simple-fleet-7x2kq-abcde", "192.0.2.10", true, 7463 },
	{ "that port", real, "default", "simple-fleet-7x2kq-abcde", "192.0.2.10", true, 7463 },
	{ "port as a string", WITH_PORTS(PORT("\"7000\"")), "", "gs", "10.0.0.1", true, 7000 },
	{ "the first of two", WITH_PORTS(TWO_PORTS), "", "gs", "10.0.0.1", true, 1 },
	{ "the second of two", WITH_PORTS(TWO_PORTS), "b", "gs", "10.0.0.1", true, 2 },
	{ "one port without name", WITH_PORTS("[{\"port\":65535}]"), "", "gs", "10.0.0.1", true, 65535 },
	{ "ports that are none before it", WITH_PORTS("[1,{\"name\":1,\"port\":2},{\"name\":\"b\",\"port\":3}]"), "b",
	  "gs", "10.0.0.1", true, 3 },
	{ "IPv6", WITH_ADDRESS("\"2001:db8::5\""), "", "gs", "2001:db8::5", true, 7000 },
	{ "a name", WITH_ADDRESS("\"Node-1.Example.com\""), "", "gs", "node-1.example.com", false, 7000 },
	{ "a name of several labels", WITH_NAME("\"gs.A\""), "", "gs.a", "10.0.0.1", true, 7000 },
};

static void good_replies_are_taken(void **unused)
{
	struct agones_reply reply;
	char error[AGONES_ERROR_BYTES];
	struct addr addr;

	(void)unused;
	for (size_t i = 0; i < COUNT(good_rows); i++) {
		const struct good_row *row = &good_rows[i];

		if (agones_message_reply(row->text, strlen(row->text), row->port_name, &reply, error))
			fail_msg("%s: %s", row->name, error);
		if (strcmp(reply.name, row->server) || strcmp(reply.host, row->host) ||
		    reply.host_is_ip != row->is_ip || reply.address.port != row->port)
			fail_msg("%s: %s %s %u", row->name, reply.name, reply.host, reply.address.port);
		if (!row->is_ip)
			continue;
		assert_int_equal(config_address_parse_ip(row->host, &addr), 0);
		if (!addr_equal(&addr, &reply.address.addr))
			fail_msg("%s: another address", row->name);
	}
}

static const struct bad_row {
	const char *name, *text, *port_name, *error;
} bad_rows[] = {
	{ "empty", "", "", BAD "not a JSON object" },
	{ "a list", "[]", "", BAD "not a JSON object" },
	{ "something behind it", WITH_PORTS(PORT("1")) "x", "", BAD "not a JSON object" },
	{ "not UTF-8", WITH_NAME("\"\xff\""), "", BAD "not a JSON object" },
	{ "an empty object", "{}", "", BAD "no gameServerName" },
	{ "name a number", WITH_NAME("1"), "", BAD "no gameServerName" },
	{ "name empty", WITH_NAME("\"\""), "", BAD_NAME },
	{ "name a wildcard", WITH_NAME("\"*\""), "", BAD_NAME },
	{ "name of a wildcard", WITH_NAME("\"*.a\""), "", BAD_NAME },
	{ "name with a slash", WITH_NAME("\"a/b\""), "", BAD_NAME },
	{ "name with an empty label", WITH_NAME("\"a..b\""), "", BAD_NAME },
	{ "name with a label of 64", WITH_NAME("\"a" LABEL63 "\""), "", BAD_NAME },
	{ "name of 256", WITH_NAME("\"" LABEL63 "." LABEL63 "." LABEL63 "." LABEL63 ".a\""), "", BAD_NAME },
	{ "no address", "{\"gameServerName\":\"gs\",\"ports\":[]}", "", BAD "no address" },
	{ "address null", WITH_ADDRESS("null"), "", BAD "no address" },
	{ "address empty", WITH_ADDRESS("\"\""), "", BAD_ADDRESS },
	{ "address with port", WITH_ADDRESS("\"10.0.0.1:7\""), "", BAD_ADDRESS },
	{ "address in brackets", WITH_ADDRESS("\"[2001:db8::5]\""), "", BAD_ADDRESS },
	{ "unspecified", WITH_ADDRESS("\"0.0.0.0\""), "", NO_HOST },
	{ "broadcast", WITH_ADDRESS("\"255.255.255.255\""), "", NO_HOST },
	{ "multicast", WITH_ADDRESS("\"ff02::1\""), "", NO_HOST },
	{ "unspecified IPv6", WITH_ADDRESS("\"::\""), "", NO_HOST },
	{ "no ports", "{\"gameServerName\":\"gs\",\"address\":\"10.0.0.1\"}", "", BAD "no ports" },
	{ "ports empty", WITH_PORTS("[]"), "game", BAD "no ports" },
	{ "ports an object", WITH_PORTS("{\"port\":1}"), "", BAD "no ports" },
	{ "no such port", WITH_PORTS(PORT("1")), "gam", BAD "no port of the name agones.port_name" },
	{ "port that is none", WITH_PORTS("[1]"), "", BAD_PORT },
	{ "port 0", WITH_PORTS(PORT("0")), "", BAD_PORT },
	{ "port 65536", WITH_PORTS(PORT("65536")), "", BAD_PORT },
	{ "port negative", WITH_PORTS(PORT("-1")), "", BAD_PORT },
	{ "port beyond 32 bits", WITH_PORTS(PORT("4294967297")), "", BAD_PORT },
	{ "port with a fraction", WITH_PORTS(PORT("7000.0")), "", BAD_PORT },
	{ "port true", WITH_PORTS(PORT("true")), "", BAD_PORT },
	{ "port as a string, 0", WITH_PORTS(PORT("\"0\"")), "", BAD_PORT },
	{ "port as a string, 65536", WITH_PORTS(PORT("\"65536\"")), "", BAD_PORT },
	{ "port as a string, hexadecimal", WITH_PORTS(PORT("\"0x7\"")), "", BAD_PORT },
	{ "port as a string, empty", WITH_PORTS(PORT("\"\"")), "", BAD_PORT },
};

static void bad_replies_say_why(void **unused)
{
	struct agones_reply reply;
	char error[AGONES_ERROR_BYTES];

	(void)unused;
	for (size_t i = 0; i < COUNT(bad_rows); i++) {
		const struct bad_row *row = &bad_rows[i];
		int result = agones_message_reply(row->text, strlen(row->text), row->port_name, &reply, error);

		if (result != -EBADMSG || strcmp(error, row->error) != 0)
			fail_msg("%s: %d, '%s'", row->name, result, error);
	}
}

static void half_a_reply_is_none(void **unused)
{
	struct agones_reply reply;
	char error[AGONES_ERROR_BYTES];

	(void)unused;
	for (size_t len = 0; len < strlen(real); len++) {
		char *exact = malloc(len ? len : 1);

		memcpy(exact, real, len);
		assert_int_equal(agones_message_reply(exact, len, "", &reply, error), -EBADMSG);
		free(exact);
	}
}

static void reply_is_bounded(void **unused)
{
	char *text = malloc(AGONES_REPLY_BYTES_MAX + 1), error[AGONES_ERROR_BYTES];
	struct agones_reply reply;

	(void)unused;
	memset(text, ' ', AGONES_REPLY_BYTES_MAX + 1);
	memcpy(text, real, strlen(real));
	assert_int_equal(agones_message_reply(text, AGONES_REPLY_BYTES_MAX, "", &reply, error), 0);
	assert_int_equal(agones_message_reply(text, AGONES_REPLY_BYTES_MAX + 1, "", &reply, error), -EBADMSG);
	assert_string_equal(error, BAD "too long");
	free(text);
}

static void errors_are_printable(void **unused)
{
	char text[512], error[AGONES_ERROR_BYTES];

	(void)unused;
	strcpy(text, "{\"code\":8,\"message\":\"none\\u001b[2J\"}");
	agones_message_error(text, strlen(text), 429, error);
	assert_string_equal(error, "HTTP 429: none?[2J");
	agones_message_error("<html>", 6, 502, error);
	assert_string_equal(error, "HTTP 502");
	snprintf(text, sizeof(text), "{\"message\":\"%0400d\"}", 0);
	agones_message_error(text, strlen(text), 500, error);
	assert_int_equal(strlen(error), AGONES_ERROR_BYTES - 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(request_is_the_contracts), cmocka_unit_test(good_replies_are_taken),
		cmocka_unit_test(bad_replies_say_why),      cmocka_unit_test(half_a_reply_is_none),
		cmocka_unit_test(reply_is_bounded),         cmocka_unit_test(errors_are_printable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
