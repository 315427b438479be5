/* SPDX-License-Identifier: MIT */
/* plain_spec: routes of one target, as Porter has them, and others, for tests. target NULL: deleted. */
#ifndef SLUICE_PLAIN_SPEC_H
#define SLUICE_PLAIN_SPEC_H

#include "control/redis.h"
#include "control/redis_table.h"
#include "control/routes.h"

/* The caller's to release; fails the test if there can be none such. */
struct route_spec *plain_spec(enum route_type type, const char *target);

int redis_set_plain(struct redis *redis, const char *fqdn, enum route_type type, const char *target);
bool redis_table_put_plain(struct redis_table *table, const char *fqdn, enum route_type type, const char *target);
bool redis_entry_says_plain(const struct redis_entry *entry, enum route_type type, const char *target);

/* Sets a route as the API does; fails the test if it cannot be. */
void routes_set_draft(struct routes *routes, const char *fqdn, const struct route_draft *draft);

#endif
