/* SPDX-License-Identifier: MIT */
/*
 * fuzz_redis: what a Redis server may send. The first byte is how many bytes
 * arrive at once (0: all); the rest are replies, whose texts are then read as
 * published messages and as records of sessions. What is taken must be written
 * and read again as the same.
 */
#include <stdlib.h>
#include <string.h>

#include "bpf/table.h"
#include "control/redis_message.h"
#include "control/redis_reply.h"
#include "control/session_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void read_message(const char *text, size_t len)
{
	struct redis_message first, second;
	char *again;

	if (redis_message_read(text, len, &first))
		return;
	again = redis_message_write(first.fqdn, first.spec, first.origin);
	/* An origin that is no UTF-8 never came from JSON, so all of it can be written. */
	require(again && !redis_message_read(again, strlen(again), &second));
	require(strcmp(second.fqdn, first.fqdn) == 0 && strcmp(second.origin, first.origin) == 0);
	require(first.spec ? second.spec && route_spec_equal(first.spec, second.spec) : !second.spec);
	route_spec_release(first.spec);
	route_spec_release(second.spec);
	free(again);
}

/* What was read is written so that it reads the same. */
static void read_record(const char *text, size_t len)
{
	struct session_record first, second;
	char again[SESSION_TEXT_BYTES];

	if (session_record_read(text, len, &first))
		return;
	session_record_write(again, &first);
	require(session_record_read(again, strlen(again), &second) == 0);
	require(addr_equal(&first.server.addr, &second.server.addr) && first.server.port == second.server.port &&
		first.route == second.route && first.pinned == second.pinned);
}

static void visit(const struct redis_reply *reply)
{
	require(reply->type == REDIS_ARRAY || reply->count == 0);
	if (reply->text) {
		require(reply->text[reply->len] == '\0');
		read_message(reply->text, reply->len);
		read_record(reply->text, reply->len);
	}
	for (size_t i = 0; i < reply->count; i++) {
		require(reply->elements[i]);
		visit(reply->elements[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct redis_reader *reader = redis_reader_new();
	size_t step = size && data[0] ? data[0] : size, at = 1;
	int error = 0;

	require(reader);
	while (at < size && !error) {
		size_t len = size - at < step ? size - at : step;
		struct redis_reply *reply;

		error = redis_reader_feed(reader, data + at, len);
		at += len;
		while (!error && !(error = redis_reader_next(reader, &reply)) && reply) {
			visit(reply);
			redis_reply_free(reply);
		}
	}
	redis_reader_free(reader);
	return 0;
}
