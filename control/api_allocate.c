/* SPDX-License-Identifier: MIT */
/* api_allocate: POST /allocate, Porter's: a game server of a fleet, and a route to it. API threads, which wait. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/api_request.h"
#include "control/config_value.h"
#include "control/route_json.h"
#include "userspace/address.h"

/* The fleet and domain of the body. False: answer holds a 400. */
static bool body_read(const struct api_request *request, const char **fleet, const char **domain,
		      struct api_answer *answer)
{
	char error[ROUTE_JSON_ERROR_BYTES];
	const char *must;

	*fleet = route_json_string(request->body, "fleet", error);
	*domain = *fleet ? route_json_string(request->body, "domain", error) : NULL;
	if (!*domain) {
		api_error(answer, 400, "%s", error);
		return false;
	}
	must = config_value_fleet_check(*fleet);
	if (must) {
		api_error(answer, 400, "fleet: %s", must);
		return false;
	}
	if (!config_value_is_host_name(*domain)) {
		api_error(answer, 400, "domain: must be a DNS name");
		return false;
	}
	return true;
}

/* What Agones did not give. */
static void refuse(enum agones_verdict verdict, const char *why, struct api_answer *answer)
{
	switch (verdict) {
	case AGONES_NONE_FREE:
	case AGONES_LIMITED:
		api_error(answer, 429, "%s", why);
		break;
	case AGONES_UNREACHABLE:
		api_error(answer, 503, "%s", why);
		break;
	default:
		api_error(answer, 500, "%s", why);
	}
}

/* The server is taken by now: a name that cannot be is the answer's fault, not the client's. */
static void route_add(const struct api_request *request, const struct agones_server *server, const char *domain,
		      struct api_answer *answer)
{
	struct routes_route route = { .origin = ROUTES_ALLOCATED };
	char name[2 * CONFIG_FQDN_MAX + 2], target[ADDRESS_TEXT_MAX];
	const char *must;
	int error;

	snprintf(name, sizeof(name), "%s.%s", server->name, domain);
	address_text(target, &server->address.addr, htons(server->address.port));
	must = routes_name(name, route.fqdn);
	if (!must)
		must = route_spec_plain(ROUTE_SIMPLE, target, &route.spec);
	if (must) {
		api_error(answer, 500, "game server %s at %s: %s", name, target, must);
		return;
	}
	error = routes_set(request->api->routes, &route);
	routes_end(&route, 1);
	if (error) {
		api_error(answer, error == -ENOSPC ? 503 : 500, "the route was not added: %s", strerror(-error));
		return;
	}
	answer->json = json_object();
	json_object_set_new(answer->json, "fqdn", json_string(route.fqdn));
	json_object_set_new(answer->json, "name", json_string(server->name));
}

void api_allocate(struct api_request *request, struct api_answer *answer)
{
	char error[AGONES_ERROR_BYTES];
	enum agones_verdict verdict;
	struct agones_server server;
	const char *fleet, *domain;

	if (!body_read(request, &fleet, &domain, answer))
		return;
	if (!request->api->allocation) {
		api_error(answer, 503, "agones.enabled is false");
		return;
	}
	verdict = allocation_allocate(request->api->allocation, fleet, &server, error);
	if (verdict == AGONES_ALLOCATED)
		route_add(request, &server, domain, answer);
	else
		refuse(verdict, error, answer);
}
