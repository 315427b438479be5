/* SPDX-License-Identifier: MIT */
/* plain_spec: see plain_spec.h. */
#include "plain_spec.h"

#include <stdio.h>
#include <stdlib.h>

void routes_set_draft(struct routes *routes, const char *fqdn, const struct route_draft *draft)
{
	struct routes_route route = { .origin = ROUTES_API };
	const char *must = routes_name(fqdn, route.fqdn);
	unsigned at;

	if (!must)
		must = route_spec_new(draft, &route.spec, &at);
	if (!must && routes_set(routes, &route) != 0)
		must = "there is no room";
	if (must) {
		fprintf(stderr, "%s: %s\n", fqdn, must);
		abort();
	}
	routes_end(&route, 1);
}

struct route_spec *plain_spec(enum route_type type, const char *target)
{
	struct route_spec *spec = NULL;
	const char *must = target ? route_spec_plain(type, target, &spec) : NULL;

	if (must) {
		fprintf(stderr, "%s: %s\n", target, must);
		abort();
	}
	return spec;
}

int redis_set_plain(struct redis *redis, const char *fqdn, enum route_type type, const char *target)
{
	struct route_spec *spec = plain_spec(type, target);
	int error = redis_set(redis, fqdn, spec);

	route_spec_release(spec);
	return error;
}

bool redis_table_put_plain(struct redis_table *table, const char *fqdn, enum route_type type, const char *target)
{
	struct route_spec *spec = plain_spec(type, target);
	bool put = redis_table_put(table, fqdn, spec) != NULL;

	route_spec_release(spec);
	return put;
}

bool redis_entry_says_plain(const struct redis_entry *entry, enum route_type type, const char *target)
{
	struct route_spec *spec = plain_spec(type, target);
	bool says = redis_entry_says(entry, spec);

	route_spec_release(spec);
	return says;
}
