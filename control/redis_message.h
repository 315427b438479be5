/* SPDX-License-Identifier: MIT */
/*
 * redis_message: what is published about routes, as JSON. Pure. What comes in
 * is whatever anyone published.
 *
 *     Porter's channel        {"fqdn","type","target"}, exactly
 *     ours, CHANNEL:sluice    {"fqdn","type","target","origin"}     before Porter's, in one transaction
 *                             {"fqdn","deleted":true,"origin"}
 *
 * The origin names the process that wrote; it is how that process knows that
 * its own write has come back, and with it everything that was written before.
 */
#ifndef SLUICE_REDIS_MESSAGE_H
#define SLUICE_REDIS_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "control/routes.h"

enum {
	REDIS_ORIGIN_BYTES = 33,            /* 128 random bits in hex, and a NUL */
	REDIS_MESSAGE_BYTES_MAX = 2048,
};

struct redis_message {
	bool deleted;
	struct routes_route route;          /* checked; deleted: only fqdn */
	char origin[REDIS_ORIGIN_BYTES];    /* "" : none given */
};

/* 0, or -EBADMSG: not such a message, or of a route that cannot be. */
int redis_message_read(const char *text, size_t len, struct redis_message *message);

/* target NULL: deleted; origin NULL: for Porter. The caller frees; NULL: no memory. */
char *redis_message_write(const char *fqdn, enum route_type type, const char *target, const char *origin);

/* "simple" or "agones"; -EINVAL. */
int redis_type_parse(const char *text, enum route_type *type);

#endif
