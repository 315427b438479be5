/* SPDX-License-Identifier: MIT */
/*
 * redis_message: what is published about routes, as JSON. Pure. What comes in
 * is whatever anyone published.
 *
 *     Porter's channel        {"fqdn","type","target"}, exactly; of routes that it can say
 *     ours, CHANNEL:sluice    {"fqdn","origin", and what route_json.h says}     before Porter's, in one transaction
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
	REDIS_MESSAGE_BYTES_MAX = 16384,    /* ROUTE_SPEC_TARGETS_MAX of the longest, and the rest */
};

struct redis_message {
	char fqdn[CONFIG_FQDN_MAX + 1];     /* in lower case */
	char spelling[CONFIG_FQDN_MAX + 1]; /* as it was written */
	struct route_spec *spec;            /* owned; NULL: deleted */
	char origin[REDIS_ORIGIN_BYTES];    /* "" : none given */
};

/* 0, and the caller releases message->spec; or -EBADMSG: not such a message, or of a route that cannot be. */
int redis_message_read(const char *text, size_t len, struct redis_message *message);

/* spec NULL: deleted; origin NULL: for Porter. The caller frees; NULL: no memory. */
char *redis_message_write(const char *fqdn, const struct route_spec *spec, const char *origin);

/* A value of our own hash. The caller releases or frees; NULL: it is none; no memory. */
struct route_spec *redis_value_read(const char *text, size_t len);
char *redis_value_write(const struct route_spec *spec);

#endif
