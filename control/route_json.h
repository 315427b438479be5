/* SPDX-License-Identifier: MIT */
/*
 * route_json: a route_spec as members of a JSON object, for the API and for
 * Redis. Any thread. What is read is whatever anyone sent.
 *
 *     "type": "simple" | "agones"
 *     "target": "IP:PORT"                              one target of weight 1, or the fleet; else
 *     "targets": [{"address": "IP:PORT", "weight": 3}] weight may be left out
 *     "migration": "path" | "pinned"                   may be left out
 *     "client_ip": "relay" | "preserve"                may be left out
 *     "expires": 1893456000                            seconds since 1970; may be left out
 *     "health": {"interval": 5, "timeout": 1, "rise": 2, "fall": 3}   may be left out, and so may each of its members
 *     "ttl": 60                                        read only: expires so many seconds from now
 */
#ifndef SLUICE_ROUTE_JSON_H
#define SLUICE_ROUTE_JSON_H

#include <jansson.h>

#include "control/route_spec.h"

enum { ROUTE_JSON_ERROR_BYTES = 160, ROUTE_JSON_TTL_MAX_S = 366 * 86400 };

/* The members that route_json_read knows, NULL-terminated. */
extern const char *const route_json_keys[];

/* The spec that the object's members say; others are not looked at. False: error says which is wrong, and how. */
bool route_json_read(json_t *object, struct route_spec **spec, char error[static ROUTE_JSON_ERROR_BYTES]);

/* Sets the members that say this; no more than are needed. 0 or -ENOMEM. */
int route_json_write(json_t *object, const struct route_spec *spec);

/* A string member without NULs. NULL: error says what is wrong with it. */
const char *route_json_string(json_t *object, const char *key, char error[static ROUTE_JSON_ERROR_BYTES]);

#endif
