/* SPDX-License-Identifier: MIT */
/* api_routes: /routes. POST is Porter's, to the letter of its answers. API threads. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/api_request.h"
#include "control/config_value.h"
#include "control/sessions.h"

enum { PAGE_DEFAULT = 1000, PAGE_MAX = 10000, AT_ONCE = 64 };

static json_t *route_json(const struct routes_route *route)
{
	json_t *json = json_object();

	json_object_set_new(json, "fqdn", json_string(route->fqdn));
	json_object_set_new(json, "type", json_string(routes_type_name(route->type)));
	json_object_set_new(json, "target", json_string(route->target));
	json_object_set_new(json, "origin", json_string(routes_origin_name(route->origin)));
	return json;
}

/* --- bodies ------------------------------------------------------------------------------------------- */

/* NULL: answer holds a 400. absent: what is returned for a key that is not there. */
static const char *body_string(const struct api_request *request, const char *key, const char *absent,
			       struct api_answer *answer)
{
	json_t *value = json_object_get(request->body, key);

	if (!value && absent)
		return absent;
	if (!value) {
		api_error(answer, 400, "%s: must be given", key);
		return NULL;
	}
	/* A NUL would cut what is stored short of what was said. */
	if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value)) {
		api_error(answer, 400, "%s: must be a string", key);
		return NULL;
	}
	return json_string_value(value);
}

static bool body_keys_known(const struct api_request *request, struct api_answer *answer)
{
	static const char *const known[] = { "fqdn", "type", "target" };
	const char *key;
	json_t *value;

	json_object_foreach(request->body, key, value) {
		bool found = false;

		for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
			found |= strcmp(key, known[i]) == 0;
		if (found)
			continue;
		api_error(answer, 400, "%.100s: unknown key: must be fqdn, type or target", key);
		return false;
	}
	return true;
}

/* fqdn: of the path, or NULL: the body must have it. */
static bool body_route(const struct api_request *request, const char *fqdn, struct routes_route *route,
		       struct api_answer *answer)
{
	const char *type, *target, *wrong, *name;
	enum route_type kind = ROUTE_SIMPLE;

	memset(route, 0, sizeof(*route));
	if (!body_keys_known(request, answer) || !(name = body_string(request, "fqdn", fqdn, answer)) ||
	    !(type = body_string(request, "type", NULL, answer)) ||
	    !(target = body_string(request, "target", NULL, answer)))
		return false;
	if (strcmp(type, "agones") == 0) {
		kind = ROUTE_AGONES;
	} else if (strcmp(type, "simple") != 0) {
		api_error(answer, 400, "type: must be simple or agones");
		return false;
	}
	wrong = routes_check(name, kind, target, route);
	if (wrong) {
		api_error(answer, 400, "%s", wrong);
		return false;
	}
	route->origin = ROUTES_API;
	return true;
}

/* --- what the relay would refuse ----------------------------------------------------------------------- */

static bool target_is_listener(struct view *view, const struct routes_route *route)
{
	const struct state *state = route->type == ROUTE_SIMPLE ? view_enter(view) : NULL;
	bool is_listener;

	if (!state)
		return false;
	is_listener = sessions_is_listener(state, &route->address);
	view_leave(view);
	return is_listener;
}

static void route_store(const struct api_request *request, const struct routes_route *route, struct api_answer *answer)
{
	int error;

	if (target_is_listener(request->api->view, route)) {
		api_error(answer, 409, "target: is a listener of the relay itself: a loop");
		return;
	}
	error = routes_set(request->api->routes, route);
	if (error == -ENOSPC)
		api_error(answer, 503, "there are %d routes already", ROUTES_MAX);
	else if (error)
		api_error(answer, 500, "out of memory");
	else
		api_ok(answer);
}

/* --- handlers ----------------------------------------------------------------------------------------- */

void api_routes_post(struct api_request *request, struct api_answer *answer)
{
	struct routes_route route;

	if (body_route(request, NULL, &route, answer))
		route_store(request, &route, answer);
}

/* The name of the path as the store has it. False: answer holds a 400. */
static bool path_name(const struct api_request *request, char name[static CONFIG_FQDN_MAX + 1],
		      struct api_answer *answer)
{
	char *lower = NULL;
	const char *must = config_value_fqdn(request->parameters[0], &lower);

	if (must || !lower) {
		api_error(answer, 400, "fqdn: %s", must ? must : "out of memory");
		return false;
	}
	snprintf(name, CONFIG_FQDN_MAX + 1, "%s", lower);
	free(lower);
	return true;
}

void api_route_put(struct api_request *request, struct api_answer *answer)
{
	char name[CONFIG_FQDN_MAX + 1];
	struct routes_route route;

	if (!path_name(request, name, answer) || !body_route(request, name, &route, answer))
		return;
	if (strcmp(route.fqdn, name) != 0)
		api_error(answer, 409, "fqdn: is not that of the path");
	else
		route_store(request, &route, answer);
}

void api_route_get(struct api_request *request, struct api_answer *answer)
{
	char name[CONFIG_FQDN_MAX + 1];
	struct routes_route route;

	if (!path_name(request, name, answer))
		return;
	if (routes_get(request->api->routes, name, &route))
		answer->json = route_json(&route);
	else
		api_error(answer, 404, "no route of this name");
}

void api_route_delete(struct api_request *request, struct api_answer *answer)
{
	char name[CONFIG_FQDN_MAX + 1];

	if (!path_name(request, name, answer))
		return;
	if (routes_remove(request->api->routes, name) == 0)
		api_ok(answer);
	else
		api_error(answer, 404, "no route of this name");
}

void api_routes_list(struct api_request *request, struct api_answer *answer)
{
	char after[API_PARAMETER_BYTES] = "";
	uint32_t limit = PAGE_DEFAULT;
	struct routes_route *page;
	json_t *list;
	size_t n = 1;

	if (api_query(request, "after", after, answer) < 0 || !api_query_limit(request, PAGE_MAX, &limit, answer))
		return;
	page = calloc(AT_ONCE, sizeof(*page));
	if (!page) {
		api_error(answer, 500, "out of memory");
		return;
	}
	list = json_array();
	while (n > 0 && json_array_size(list) < limit) {
		size_t rest = limit - json_array_size(list);

		n = routes_list(request->api->routes, after, page, rest < AT_ONCE ? rest : AT_ONCE);
		for (size_t i = 0; i < n; i++)
			json_array_append_new(list, route_json(&page[i]));
		if (n > 0)
			snprintf(after, sizeof(after), "%s", page[n - 1].fqdn);
	}
	answer->json = json_object();
	json_object_set_new(answer->json, "routes", list);
	json_object_set_new(answer->json, "count", json_integer((json_int_t)routes_count(request->api->routes)));
	json_object_set_new(answer->json, "next",
			    routes_list(request->api->routes, after, page, 1) ? json_string(after) : json_null());
	free(page);
}
