/* SPDX-License-Identifier: MIT */
/* test_redis: what needs no server: messages, replies within bounds, the table of names, options. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/redis.h"
#include "control/redis_message.h"
#include "control/redis_reply.h"
#include "control/redis_table.h"
#include "tests/lib/plain_spec.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NAME64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* --- messages ------------------------------------------------------------------------------------ */

static const struct message_row {
	const char *name, *text;
	int error;
	bool deleted;
	const char *fqdn;
	enum route_type type;
	const char *target, *origin;
} message_rows[] = {
	{ "Porter's", "{\"fqdn\":\"a.b\",\"type\":\"simple\",\"target\":\"10.0.0.1:7\"}", 0, false, "a.b", ROUTE_SIMPLE,
	  "10.0.0.1:7", "" },
	{ "Porter's of a fleet, in another order", " {\"target\":\"f\", \"type\":\"agones\", \"fqdn\":\"*.b\"} ", 0, false,
	  "*.b", ROUTE_AGONES, "f", "" },
	{ "fqdn in lower case", "{\"fqdn\":\"A.b\",\"type\":\"agones\",\"target\":\"f\"}", 0, false, "a.b", ROUTE_AGONES, "f",
	  "" },
	{ "ours", "{\"fqdn\":\"a.b\",\"type\":\"agones\",\"target\":\"f\",\"origin\":\"x\"}", 0, false, "a.b", ROUTE_AGONES,
	  "f", "x" },
	{ "a deletion", "{\"fqdn\":\"a.b\",\"deleted\":true,\"origin\":\"x\"}", 0, true, "a.b", ROUTE_AGONES, NULL, "x" },
	{ "a key of later versions", "{\"fqdn\":\"a.b\",\"type\":\"agones\",\"target\":\"f\",\"more\":[1]}", 0, false, "a.b",
	  ROUTE_AGONES, "f", "" },
	{ "not deleted but false", "{\"fqdn\":\"a.b\",\"deleted\":false}", -EBADMSG, 0, 0, 0, 0, 0 },
	{ "an origin that is too long counts as none",
	  "{\"fqdn\":\"a.b\",\"type\":\"agones\",\"target\":\"f\",\"origin\":\"" NAME64 "\"}", 0, false, "a.b", ROUTE_AGONES,
	  "f", "" },
	{ "no JSON", "fqdn", -EBADMSG, 0, 0, 0, 0, 0 },
	{ "empty", "", -EBADMSG, 0, 0, 0, 0, 0 },
	{ "a list", "[\"fqdn\"]", -EBADMSG, 0, 0, 0, 0, 0 },
	{ "something behind it", "{\"fqdn\":\"a.b\",\"type\":\"agones\",\"target\":\"f\"}x", -EBADMSG, 0, 0, 0, 0, 0 },
	{ "no fqdn", "{\"type\":\"agones\",\"target\":\"f\"}", -EBADMSG, 0, 0, 0, 0, 0 },
	{ "fqdn a number", "{\"fqdn\":1,\"type\":\"agones\",\"target\":\"f\"}", -EBADMSG, 0, 0, 0, 0, 0 },
	{ "fqdn no name", "{\"fqdn\":\"a b\",\"type\":\"agones\",\"target\":\"f\"}", -EBADMSG, 0, 0, 0, 0, 0 },
	{ "fqdn with a NUL", "{\"fqdn\":\"a.b\\u0000\",\"type\":\"agones\",\"target\":\"f\"}", -EBADMSG, 0, 0, 0, 0, 0 },
	{ "deletion of no name", "{\"fqdn\":\"a b\",\"deleted\":true}", -EBADMSG, 0, 0, 0, 0, 0 },
	{ "unknown type", "{\"fqdn\":\"a.b\",\"type\":\"magic\",\"target\":\"f\"}", -EBADMSG, 0, 0, 0, 0, 0 },
	{ "no target", "{\"fqdn\":\"a.b\",\"type\":\"agones\"}", -EBADMSG, 0, 0, 0, 0, 0 },
	{ "target without port", "{\"fqdn\":\"a.b\",\"type\":\"simple\",\"target\":\"10.0.0.1\"}", -EBADMSG, 0, 0, 0, 0, 0 },
	{ "target too long", "{\"fqdn\":\"a.b\",\"type\":\"agones\",\"target\":\"" NAME64 "\"}", -EBADMSG, 0, 0, 0, 0, 0 },
};

static void messages_are_read(void **unused)
{
	unsigned failures = 0;

	(void)unused;
	for (size_t i = 0; i < COUNT(message_rows); i++) {
		const struct message_row *row = &message_rows[i];
		struct redis_message message;
		size_t len = strlen(row->text);
		char *exact = malloc(len ? len : 1); /* without a NUL, for AddressSanitizer */
		int error;

		memcpy(exact, row->text, len);
		error = redis_message_read(exact, len, &message);
		free(exact);
		if (error != row->error ||
		    (!error && (!message.spec != row->deleted || strcmp(message.fqdn, row->fqdn) != 0 ||
				strcmp(message.origin, row->origin) != 0 ||
				(message.spec && (!route_spec_is_plain(message.spec) || message.spec->type != row->type ||
						  strcmp(message.spec->targets[0].text, row->target) != 0))))) {
			print_error("%s: error %d\n", row->name, error);
			failures++;
		}
		if (!error)
			route_spec_release(message.spec);
	}
	assert_int_equal(failures, 0);
}

/* As a value and as a message: what Porter cannot say comes back as it was. */
static void client_ip_goes_round(void **unused)
{
	const struct route_draft draft = {
		.client_ip = CLIENT_IP_PRESERVE, .count = 1, .targets = { { "10.0.0.1:7", 1 } } };
	static const char refused[] = "{\"type\":\"simple\",\"target\":\"10.0.0.1:7\",\"migration\":\"pinned\","
				      "\"client_ip\":\"preserve\"}";
	struct redis_message message;
	struct route_spec *spec, *value;
	char *text;
	unsigned at;

	(void)unused;
	assert_null(route_spec_new(&draft, &spec, &at));
	text = redis_value_write(spec);
	value = redis_value_read(text, strlen(text));
	assert_non_null(value);
	assert_true(route_spec_equal(value, spec));
	route_spec_release(value);
	free(text);
	text = redis_message_write("a.b", spec, "x");
	assert_int_equal(redis_message_read(text, strlen(text), &message), 0);
	assert_true(route_spec_equal(message.spec, spec));
	route_spec_release(message.spec);
	free(text);
	route_spec_release(spec);
	assert_null(redis_value_read(refused, strlen(refused)));
}

static void message_that_is_too_long_is_refused(void **unused)
{
	static char text[REDIS_MESSAGE_BYTES_MAX + 2];
	struct redis_message message;

	(void)unused;
	memset(text, ' ', sizeof(text));
	memcpy(text, "{\"fqdn\":\"a.b\",\"type\":\"agones\",\"target\":\"f\"}", 43);
	assert_int_equal(redis_message_read(text, REDIS_MESSAGE_BYTES_MAX, &message), 0);
	route_spec_release(message.spec);
	assert_int_equal(redis_message_read(text, REDIS_MESSAGE_BYTES_MAX + 1, &message), -EBADMSG);
}

static void written(const char *expected, const char *fqdn, enum route_type type, const char *target,
		    const char *origin)
{
	struct route_spec *spec = plain_spec(type, target);
	char *text = redis_message_write(fqdn, spec, origin);

	assert_string_equal(text, expected);
	route_spec_release(spec);
	free(text);
}

static void messages_are_written(void **unused)
{
	(void)unused;
	written("{\"fqdn\":\"a.b\",\"type\":\"simple\",\"target\":\"[::1]:7\"}", "a.b", ROUTE_SIMPLE, "[::1]:7", NULL);
	written("{\"fqdn\":\"a.b\",\"type\":\"agones\",\"target\":\"f\",\"origin\":\"x\"}", "a.b", ROUTE_AGONES, "f", "x");
	written("{\"fqdn\":\"a.b\",\"deleted\":true,\"origin\":\"x\"}", "a.b", ROUTE_SIMPLE, NULL, "x");
}

/* --- replies ------------------------------------------------------------------------------------- */

/* As text: +status -error :1 $string ~ for nil, [ ] around arrays. */
static void show(const struct redis_reply *reply, char *out)
{
	switch (reply->type) {
	case REDIS_STRING:
	case REDIS_STATUS:
	case REDIS_ERROR:
		sprintf(out + strlen(out), "%c%s", "$+-"[reply->type], reply->text);
		break;
	case REDIS_INTEGER:
		sprintf(out + strlen(out), ":%lld", reply->integer);
		break;
	case REDIS_NIL:
		strcat(out, "~");
		break;
	case REDIS_ARRAY:
		strcat(out, "[");
		for (size_t i = 0; i < reply->count; i++)
			show(reply->elements[i], out);
		strcat(out, "]");
	}
}

static const struct reply_row {
	const char *name, *bytes, *shown; /* shown: all replies one after the other, then ! for -EPROTO */
} reply_rows[] = {
	{ "status", "+OK\r\n", "+OK" },
	{ "error", "-ERR no\r\n", "-ERR no" },
	{ "integers", ":0\r\n:-7\r\n", ":0:-7" },
	{ "string", "$5\r\na\r\nbc\r\n", "$a\r\nbc" },
	{ "nil, both kinds", "$-1\r\n*-1\r\n", "~~" },
	{ "arrays, nested and empty", "*3\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n:1\r\n*0\r\n", "[$0[$a:1][]]" },
	{ "half a status", "+OK", "" },
	{ "half a string", "$5\r\nab", "" },
	{ "half an array", "*2\r\n$1\r\na\r\n", "" },
	{ "unknown type", "!nonsense\r\n", "!" },
	{ "HTTP", "HTTP/1.1 400 Bad Request\r\n", "!" },
	{ "a reply, then nonsense", "+OK\r\nnonsense\r\n", "+OK!" },
	{ "length that is no number", "$abc\r\n", "!" },
	{ "length below -1", "$-2\r\n", "!" },
	{ "count beyond what is allowed", "*65537\r\n", "!" },
	{ "count beyond 31 bits", "*4294967297\r\n", "!" },
	{ "counts of nested arrays add up", "*2\r\n*40000\r\n", "" },
	{ "counts of nested arrays add up to too much", "*40000\r\n*40000\r\n", "!" },
	{ "nested too deep",
	  "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", "!" },
};

/* step: bytes fed at once. */
static void read_all(const char *bytes, size_t step, char *shown)
{
	struct redis_reader *reader = redis_reader_new();
	size_t len = strlen(bytes);
	int error = 0;

	assert_non_null(reader);
	shown[0] = '\0';
	for (size_t at = 0; at < len && !error; at += step) {
		struct redis_reply *reply;

		error = redis_reader_feed(reader, bytes + at, len - at < step ? len - at : step);
		while (!error && !(error = redis_reader_next(reader, &reply)) && reply) {
			show(reply, shown);
			redis_reply_free(reply);
		}
	}
	if (error) {
		assert_int_equal(error, -EPROTO);
		assert_true(redis_reader_error(reader)[0]);
		strcat(shown, "!");
	}
	redis_reader_free(reader);
}

static void replies_are_read(void **unused)
{
	static const size_t steps[] = { 1, 3, 4096 };
	unsigned failures = 0;
	char shown[256];

	(void)unused;
	for (size_t i = 0; i < COUNT(reply_rows); i++) {
		for (size_t j = 0; j < COUNT(steps); j++) {
			read_all(reply_rows[i].bytes, steps[j], shown);
			if (strcmp(shown, reply_rows[i].shown) != 0) {
				print_error("%s, %zu bytes at once: %s\n", reply_rows[i].name, steps[j], shown);
				failures++;
			}
		}
	}
	assert_int_equal(failures, 0);
}

static void endless_string_is_refused_at_the_bound(void **unused)
{
	static const char head[] = "$536870912\r\n";
	static char bytes[4096];
	struct redis_reader *reader = redis_reader_new();
	struct redis_reply *reply;
	size_t fed = strlen(head);

	(void)unused;
	assert_int_equal(redis_reader_feed(reader, head, strlen(head)), 0);
	while (redis_reader_feed(reader, bytes, sizeof(bytes)) == 0) {
		assert_int_equal(redis_reader_next(reader, &reply), 0);
		assert_null(reply);
		fed += sizeof(bytes);
		assert_true(fed <= REDIS_REPLY_BYTES_MAX + sizeof(bytes));
	}
	assert_true(fed > REDIS_REPLY_BYTES_MAX - 2 * sizeof(bytes));
	assert_string_equal(redis_reader_error(reader), "reply too large");
	redis_reader_free(reader);
}

/* Each begins with such a line, of which no end is there after so many bytes; behind it may be anything. */
static void endless_lines_are_refused_at_their_bound(void **unused)
{
	static const char *const heads[] = { "+", "-", "$", "*", "*2\r\n+a\r\n+", "*1\r\n$3\r\nabc\r\n:" };
	static char bytes[4096];

	(void)unused;
	memset(bytes, '7', sizeof(bytes));
	for (size_t i = 0; i < COUNT(heads); i++) {
		struct redis_reader *reader = redis_reader_new();
		struct redis_reply *reply = NULL;
		size_t fed = 0;
		int error = redis_reader_feed(reader, heads[i], strlen(heads[i]));

		while (!error && fed <= REDIS_REPLY_LINE_MAX + sizeof(bytes)) {
			error = redis_reader_next(reader, &reply);
			redis_reply_free(reply);
			if (!error)
				error = redis_reader_feed(reader, bytes, sizeof(bytes));
			fed += sizeof(bytes);
		}
		assert_int_equal(error, -EPROTO);
		assert_in_range(fed, REDIS_REPLY_LINE_MAX, REDIS_REPLY_LINE_MAX + 2 * sizeof(bytes));
		assert_string_equal(redis_reader_error(reader), "reply too large");
		redis_reader_free(reader);
	}
}

static void long_string_is_no_long_line(void **unused)
{
	static char bytes[3 * REDIS_REPLY_LINE_MAX + 64];
	struct redis_reader *reader = redis_reader_new();
	struct redis_reply *reply;
	size_t len = (size_t)snprintf(bytes, sizeof(bytes), "$%d\r\n", 3 * REDIS_REPLY_LINE_MAX), end;

	(void)unused;
	end = len + 3 * REDIS_REPLY_LINE_MAX;
	memset(bytes + len, 'x', 3 * REDIS_REPLY_LINE_MAX);
	memcpy(bytes + end, "\r\n", 2);
	for (size_t at = 0; at < end + 2; at += 4096) {
		assert_int_equal(redis_reader_feed(reader, bytes + at, end + 2 - at < 4096 ? end + 2 - at : 4096), 0);
		assert_int_equal(redis_reader_next(reader, &reply), 0);
	}
	assert_non_null(reply);
	assert_int_equal(reply->len, 3 * REDIS_REPLY_LINE_MAX);
	redis_reply_free(reply);
	redis_reader_free(reader);
}

/* --- the table ----------------------------------------------------------------------------------- */

static void table_finds_what_was_put(void **unused)
{
	struct redis_table table;
	char name[32], target[32];
	unsigned at = 0;

	(void)unused;
	assert_int_equal(redis_table_init(&table), 0);
	for (unsigned i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "n%u.test", i);
		assert_true(redis_table_put_plain(&table, name, ROUTE_AGONES, name));
	}
	for (unsigned i = 0; i < 5000; i += 2) {
		snprintf(name, sizeof(name), "n%u.test", i);
		redis_table_remove(&table, redis_table_find(&table, name));
	}
	assert_true(redis_table_put_plain(&table, "n1.test", ROUTE_SIMPLE, NULL));
	assert_int_equal(table.count, 2500);
	for (unsigned i = 0; i < 5000; i++) {
		struct redis_entry *entry;

		snprintf(name, sizeof(name), "n%u.test", i);
		snprintf(target, sizeof(target), "n%u.test", i);
		entry = redis_table_find(&table, name);
		assert_int_equal(entry != NULL, i % 2);
		if (entry && i == 1)
			assert_true(!entry->spec && redis_entry_says_plain(entry, ROUTE_AGONES, NULL));
		else if (entry)
			assert_true(redis_entry_says_plain(entry, ROUTE_AGONES, target) &&
				    !redis_entry_says_plain(entry, ROUTE_SIMPLE, "10.0.0.1:7") &&
				    !redis_entry_says_plain(entry, ROUTE_AGONES, "other") &&
				    !redis_entry_says_plain(entry, ROUTE_AGONES, NULL));
	}
	for (struct redis_entry *entry = table.first; entry; entry = entry->after, at++)
		assert_true(entry->after ? entry->after->before == entry : table.last == entry);
	assert_int_equal(at, 2500);
	assert_true(redis_entry_says_plain(NULL, ROUTE_SIMPLE, NULL) && !redis_entry_says_plain(NULL, ROUTE_AGONES, "t"));
	redis_table_end(&table);
}

/* --- options ------------------------------------------------------------------------------------- */

static const struct option_row {
	const char *name, *address, *ca_file, *error; /* error: what its text holds; NULL: none */
} option_rows[] = {
	{ "name", "localhost:6379", NULL, NULL },
	{ "IPv4", "127.0.0.1:6379", NULL, NULL },
	{ "IPv6", "[::1]:6379", NULL, NULL },
	{ "socket", "/run/redis.sock", NULL, NULL },
	{ "no port", "localhost", NULL, "address must be" },
	{ "port 0", "localhost:0", NULL, "address must be" },
	{ "port too high", "localhost:65536", NULL, "address must be" },
	{ "port signed", "localhost:+1", NULL, "address must be" },
	{ "port with more", "localhost:1x", NULL, "address must be" },
	{ "IPv6 without brackets", "::1:6379", NULL, "address must be" },
	{ "no host", ":6379", NULL, "address must be" },
	{ "no CA file", "localhost:6379", "/does/not/exist.pem", "CA file /does/not/exist.pem: " },
};

static void options_are_checked(void **unused)
{
	unsigned failures = 0;

	(void)unused;
	for (size_t i = 0; i < COUNT(option_rows); i++) {
		const struct option_row *row = &option_rows[i];
		struct redis_options options = { .address = row->address, .tls = row->ca_file,
						 .tls_options.ca_file = row->ca_file };
		struct redis_callbacks callbacks = { 0 };
		char error[TLS_ERROR_BYTES];
		struct redis *redis = redis_new(&options, &callbacks, error);

		if (!redis != !!row->error || (row->error && !strstr(error, row->error))) {
			print_error("%s: %s\n", row->name, error);
			failures++;
		}
		redis_free(redis);
	}
	assert_int_equal(failures, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_are_read),
		cmocka_unit_test(client_ip_goes_round),
		cmocka_unit_test(message_that_is_too_long_is_refused),
		cmocka_unit_test(messages_are_written),
		cmocka_unit_test(replies_are_read),
		cmocka_unit_test(endless_string_is_refused_at_the_bound),
		cmocka_unit_test(endless_lines_are_refused_at_their_bound),
		cmocka_unit_test(long_string_is_no_long_line),
		cmocka_unit_test(table_finds_what_was_put),
		cmocka_unit_test(options_are_checked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
