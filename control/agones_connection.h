/* SPDX-License-Identifier: MIT */
/*
 * agones_connection: one kept-open HTTPS connection to the allocator (libcurl).
 * One thread at a time, which waits. What comes from the peer is bounded in
 * bytes and time.
 */
#ifndef SLUICE_AGONES_CONNECTION_H
#define SLUICE_AGONES_CONNECTION_H

#include <stdatomic.h>
#include <time.h>

#include "control/agones_message.h"

enum { AGONES_FILES = 3 };         /* CA, certificate, key */

/* What changes when a file is written or replaced, as of a secret that is mounted. */
struct agones_file_stamp {
	uint64_t device, inode, size;
	struct timespec modified;
};

struct agones_connection {
	const struct config_agones *config;
	const atomic_bool *stopping;
	void *easy;                    /* CURL *; NULL before the first request */
	void *headers;                 /* struct curl_slist * */
	struct agones_file_stamp stamps[AGONES_FILES]; /* of what `easy` has read */
	char *reply;                   /* body of the last answer */
	size_t reply_len, header_len;
	char error[AGONES_ERROR_BYTES]; /* after a failure: why; printable */
	struct agones_connection *next; /* its owner's */
};

/* Connects with the first request. *stopping true ends a request within a second or so. NULL: no memory. */
struct agones_connection *agones_connection_new(const struct config_agones *config, const atomic_bool *stopping);
void agones_connection_free(struct agones_connection *connection);

/*
 * Sends it and waits, limit_ms at most. > 0: the answer's status, with `reply`.
 * Else `error` says why there is none: -ETIMEDOUT; -EMSGSIZE: it is too long;
 * -EIO: all else. *opened: connections that had to be opened for it.
 */
long agones_connection_post(struct agones_connection *connection, const char *request, long limit_ms, unsigned *opened);

#endif
