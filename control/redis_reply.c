/* SPDX-License-Identifier: MIT */
/* redis_reply: see redis_reply.h. */
#include "control/redis_reply.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <hiredis.h>

struct redis_reader {
	redisReader *hiredis;
	size_t elements;               /* of all arrays in the reply that is being read */
	bool too_large;
};

void redis_reply_free(struct redis_reply *reply)
{
	if (!reply)
		return;
	for (size_t i = 0; i < reply->count; i++)
		redis_reply_free(reply->elements[i]);
	free(reply->elements);
	free(reply->text);
	free(reply);
}

static void free_object(void *object)
{
	redis_reply_free(object);
}

/* In its place in the array that is being read. hiredis ends a reply whose object is NULL as "out of memory". */
static void *place(const redisReadTask *task, struct redis_reply *reply)
{
	if (reply && task->parent) {
		struct redis_reply *parent = task->parent->obj;

		parent->elements[task->idx] = reply;
		parent->count = (size_t)task->idx + 1;
	}
	return reply;
}

static void *create_string(const redisReadTask *task, char *text, size_t len)
{
	struct redis_reply *reply = calloc(1, sizeof(*reply));

	if (reply)
		reply->text = malloc(len + 1);
	if (!reply || !reply->text) {
		free(reply);
		return NULL;
	}
	reply->type = task->type == REDIS_REPLY_ERROR ? REDIS_ERROR :
		      task->type == REDIS_REPLY_STATUS ? REDIS_STATUS : REDIS_STRING;
	memcpy(reply->text, text, len);
	reply->text[len] = '\0';
	reply->len = len;
	return place(task, reply);
}

static void *create_array(const redisReadTask *task, int count)
{
	struct redis_reader *reader = task->privdata;
	struct redis_reply *reply;

	/* Announced, not yet received: of all arrays together, or nesting would multiply it. */
	if (count > REDIS_REPLY_ELEMENTS_MAX - (int)reader->elements) {
		reader->too_large = true;
		return NULL;
	}
	reader->elements += (size_t)count;
	reply = calloc(1, sizeof(*reply));
	if (!reply)
		return NULL;
	reply->type = REDIS_ARRAY;
	reply->elements = calloc(count ? (size_t)count : 1, sizeof(reply->elements[0]));
	if (!reply->elements) {
		free(reply);
		return NULL;
	}
	return place(task, reply);
}

static void *create_integer(const redisReadTask *task, long long value)
{
	struct redis_reply *reply = calloc(1, sizeof(*reply));

	if (reply) {
		reply->type = REDIS_INTEGER;
		reply->integer = value;
	}
	return place(task, reply);
}

static void *create_nil(const redisReadTask *task)
{
	struct redis_reply *reply = calloc(1, sizeof(*reply));

	if (reply)
		reply->type = REDIS_NIL;
	return place(task, reply);
}

static redisReplyObjectFunctions functions = {
	.createString = create_string,
	.createArray = create_array,
	.createInteger = create_integer,
	.createNil = create_nil,
	.freeObject = free_object,
};

struct redis_reader *redis_reader_new(void)
{
	struct redis_reader *reader = calloc(1, sizeof(*reader));

	if (!reader)
		return NULL;
	reader->hiredis = redisReaderCreateWithFunctions(&functions);
	if (!reader->hiredis) {
		free(reader);
		return NULL;
	}
	reader->hiredis->privdata = reader;
	return reader;
}

void redis_reader_free(struct redis_reader *reader)
{
	if (!reader)
		return;
	redisReaderFree(reader->hiredis);
	free(reader);
}

int redis_reader_feed(struct redis_reader *reader, const void *bytes, size_t len)
{
	redisReader *hiredis = reader->hiredis;

	/* Before hiredis: it would wait, and make room, for a string of any length. */
	if (len > REDIS_REPLY_BYTES_MAX || hiredis->len - hiredis->pos > REDIS_REPLY_BYTES_MAX - len) {
		reader->too_large = true;
		return -EPROTO;
	}
	if (redisReaderFeed(hiredis, bytes, len) != REDIS_OK)
		return hiredis->err == REDIS_ERR_OOM ? -ENOMEM : -EPROTO;
	return 0;
}

/* Whether what has been read so far begins with a line that is too long, whole or not. */
static bool line_is_too_long(const redisReader *hiredis)
{
	return hiredis->len - hiredis->pos > REDIS_REPLY_LINE_MAX &&
	       !memchr(hiredis->buf + hiredis->pos, '\n', REDIS_REPLY_LINE_MAX);
}

int redis_reader_next(struct redis_reader *reader, struct redis_reply **reply)
{
	void *object = NULL;

	*reply = NULL;
	if (line_is_too_long(reader->hiredis)) {
		reader->too_large = true;
		return -EPROTO;
	}
	if (redisReaderGetReply(reader->hiredis, &object) != REDIS_OK)
		return reader->hiredis->err == REDIS_ERR_OOM && !reader->too_large ? -ENOMEM : -EPROTO;
	if (object)
		reader->elements = 0;
	*reply = object;
	return 0;
}

const char *redis_reader_error(const struct redis_reader *reader)
{
	return reader->too_large ? "reply too large" : reader->hiredis->err ? reader->hiredis->errstr : "";
}

bool redis_reply_is(const struct redis_reply *reply, enum redis_reply_type type, const char *text)
{
	return reply->type == type && reply->len == strlen(text) && memcmp(reply->text, text, reply->len) == 0;
}
