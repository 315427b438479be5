/* SPDX-License-Identifier: MIT */
/*
 * redis_reply: bytes from a Redis server to replies: hiredis' reader, with
 * bounds. Pure. The bytes may be hostile: no reply takes more memory than
 * REDIS_REPLY_BYTES_MAX times a small constant.
 */
#ifndef SLUICE_REDIS_REPLY_H
#define SLUICE_REDIS_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	/*
	 * A chunk of HSCAN is some 1000 routes of at most 330 bytes, rarely a few
	 * times as many (Redis answers whole buckets): too little, and such a hash
	 * would never load; too much is what a broken server can make us hold.
	 */
	REDIS_REPLY_BYTES_MAX = 4 << 20,
	REDIS_REPLY_ELEMENTS_MAX = 1 << 16, /* of one array */
	/*
	 * A status, an error, a number or a length. hiredis looks for a line's end from its
	 * beginning each time that more arrives: one of 4 MiB takes as long as 128 of them.
	 */
	REDIS_REPLY_LINE_MAX = 1 << 16,
};

enum redis_reply_type { REDIS_STRING, REDIS_STATUS, REDIS_ERROR, REDIS_INTEGER, REDIS_NIL, REDIS_ARRAY };

struct redis_reply {
	enum redis_reply_type type;
	long long integer;
	char *text;                    /* string, status, error: len bytes and a NUL; may hold more NULs */
	size_t len;
	struct redis_reply **elements; /* array: count of them, none NULL */
	size_t count;
};

struct redis_reader;

struct redis_reader *redis_reader_new(void);
void redis_reader_free(struct redis_reader *reader);

/* 0; -EPROTO: what came is no RESP 2, or too large; the reader is of no more use; -ENOMEM. */
int redis_reader_feed(struct redis_reader *reader, const void *bytes, size_t len);

/* 0: *reply, the caller's to free, or NULL: not whole yet. Errors as of feed. */
int redis_reader_next(struct redis_reader *reader, struct redis_reply **reply);
const char *redis_reader_error(const struct redis_reader *reader);

void redis_reply_free(struct redis_reply *reply);

/* Whether it is text of exactly these characters. */
bool redis_reply_is(const struct redis_reply *reply, enum redis_reply_type type, const char *text);

#endif
