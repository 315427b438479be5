/* SPDX-License-Identifier: MIT */
/* api_routes: /routes. POST is Porter's, to the letter of its answers. API threads. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/api_request.h"
#include "control/route_json.h"
#include "control/sessions.h"

enum {
	PAGE_DEFAULT = 1000,
	PAGE_MAX = 10000,
	AT_ONCE = 64,
	END_MS = 5000,                   /* for sessions to end; longer than a busy relay takes for its whole table */
	END_STEP_MS = 20,
};

static json_t *route_json(const struct routes_route *route)
{
	json_t *json = json_object();

	json_object_set_new(json, "fqdn", json_string(route->fqdn));
	route_json_write(json, route->spec);
	json_object_set_new(json, "origin", json_string(routes_origin_name(route->origin)));
	return json;
}

/* --- bodies ------------------------------------------------------------------------------------------- */

static bool key_is_known(const char *key, const char *const *known)
{
	for (; *known; known++)
		if (strcmp(key, *known) == 0)
			return true;
	return false;
}

/* Of each target, that is an object at all. */
static bool target_keys_known(const struct api_request *request, struct api_answer *answer)
{
	static const char *const keys[] = { "address", "weight", NULL };
	json_t *target, *value;
	const char *key;
	size_t i;

	json_array_foreach(json_object_get(request->body, "targets"), i, target) {
		json_object_foreach(target, key, value) {
			if (key_is_known(key, keys))
				continue;
			api_error(answer, 400, "targets[%zu].%.100s: unknown key: must be address or weight", i, key);
			return false;
		}
	}
	return true;
}

static bool body_keys_known(const struct api_request *request, struct api_answer *answer)
{
	const char *key;
	json_t *value;

	json_object_foreach(request->body, key, value) {
		if (strcmp(key, "fqdn") == 0 || key_is_known(key, route_json_keys))
			continue;
		api_error(answer, 400, "%.100s: unknown key: must be fqdn, type, target, targets, migration, "
			  "client_ip, health, expires or ttl",
			  key);
		return false;
	}
	return target_keys_known(request, answer);
}

/* fqdn: of the path, or NULL: the body must have it. True: the caller ends the route. */
static bool body_route(const struct api_request *request, const char *fqdn, struct routes_route *route,
		       struct api_answer *answer)
{
	char error[ROUTE_JSON_ERROR_BYTES];
	const char *name = fqdn, *must;

	memset(route, 0, sizeof(*route));
	route->origin = ROUTES_API;
	if (!body_keys_known(request, answer))
		return false;
	if (!fqdn || json_object_get(request->body, "fqdn"))
		name = route_json_string(request->body, "fqdn", error);
	if (!name || !route_json_read(request->body, &route->spec, error)) {
		api_error(answer, 400, "%s", error);
		return false;
	}
	must = routes_name(name, route->fqdn);
	if (must) {
		routes_end(route, 1);
		api_error(answer, 400, "fqdn: %s", must);
		return false;
	}
	return true;
}

/* --- what the relay would refuse ----------------------------------------------------------------------- */

static bool target_is_listener(struct view *view, const struct route_spec *spec)
{
	const struct state *state = spec->type == ROUTE_SIMPLE ? view_enter(view) : NULL;
	bool is_listener = false;

	if (!state)
		return false;
	for (unsigned i = 0; i < spec->count; i++)
		is_listener |= spec->targets[i].name_len == 0 && sessions_is_listener(state, &spec->targets[i].address);
	view_leave(view);
	return is_listener;
}

/* --- sessions of a route that is no more, or leads elsewhere ------------------------------------------- */

/* ?drain=false. False: answer holds a 400. */
static bool wants_drain(const struct api_request *request, bool *drain, struct api_answer *answer)
{
	char text[API_PARAMETER_BYTES];
	int found = api_query(request, "drain", text, answer);

	*drain = found <= 0 || strcmp(text, "true") == 0;
	if (found < 0)
		return false;
	if (found == 0 || *drain || strcmp(text, "false") == 0)
		return true;
	api_error(answer, 400, "drain: must be true or false");
	return false;
}

static void end_one(void *context, uint32_t slot, uint32_t generation)
{
	link_end_session(context, slot, generation);
}

/*
 * Ends the route's sessions, but for those at a server that it still leads to.
 * The relay takes them one by one and may be busy: until none is left, or
 * for END_MS.
 */
static void end_sessions(const struct api_request *request, const char *fqdn, struct api_answer *answer)
{
	struct protocol_message message = { .type = PROTOCOL_ROUTE_GONE };
	struct routes_route route;
	size_t left = 1, first = 0;

	if (routes_get(request->api->routes, fqdn, &route)) {
		targets_message(request->api->targets, fqdn, &route, &message);
		routes_end(&route, 1);
	}
	for (unsigned i = 0; left > 0 && i < END_MS / END_STEP_MS; i++) {
		const struct state *state = view_enter(request->api->view);

		if (!state) {
			api_error(answer, 503, "the route is changed; no relay is connected, and no session was ended");
			return;
		}
		left = sessions_of_route(state, protocol_route_id(fqdn), &message.route, end_one, request->api->link);
		view_leave(request->api->view);
		first = i == 0 ? left : first;
		if (left > 0)
			nanosleep(&(struct timespec){ .tv_nsec = END_STEP_MS * 1000000l }, NULL);
	}
	api_ok(answer);
	json_object_set_new(answer->json, "ended", json_integer((json_int_t)(first > left ? first - left : 0)));
	json_object_set_new(answer->json, "left", json_integer((json_int_t)left));
}

static void route_store(const struct api_request *request, const struct routes_route *route, struct api_answer *answer)
{
	bool drain;
	int error;

	if (!wants_drain(request, &drain, answer))
		return;
	if (target_is_listener(request->api->view, route->spec)) {
		api_error(answer, 409, "target: is a listener of the relay itself: a loop");
		return;
	}
	error = routes_set(request->api->routes, route);
	if (error == -ENOSPC)
		api_error(answer, 503, "there are %d routes already", ROUTES_MAX);
	else if (error)
		api_error(answer, 500, "out of memory");
	else if (drain)
		api_ok(answer);
	else
		end_sessions(request, route->fqdn, answer);
}

/* --- handlers ----------------------------------------------------------------------------------------- */

void api_routes_post(struct api_request *request, struct api_answer *answer)
{
	struct routes_route route;

	if (!body_route(request, NULL, &route, answer))
		return;
	route_store(request, &route, answer);
	routes_end(&route, 1);
}

/* The name of the path as the store has it. False: answer holds a 400. */
static bool path_name(const struct api_request *request, char name[static CONFIG_FQDN_MAX + 1],
		      struct api_answer *answer)
{
	const char *must = routes_name(request->parameters[0], name);

	if (must)
		api_error(answer, 400, "fqdn: %s", must);
	return !must;
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
	routes_end(&route, 1);
}

void api_route_get(struct api_request *request, struct api_answer *answer)
{
	char name[CONFIG_FQDN_MAX + 1];
	struct routes_route route;

	if (!path_name(request, name, answer))
		return;
	if (!routes_get(request->api->routes, name, &route)) {
		api_error(answer, 404, "no route of this name");
		return;
	}
	answer->json = route_json(&route);
	routes_end(&route, 1);
}

void api_route_delete(struct api_request *request, struct api_answer *answer)
{
	char name[CONFIG_FQDN_MAX + 1];
	bool drain;

	if (!path_name(request, name, answer) || !wants_drain(request, &drain, answer))
		return;
	if (routes_remove(request->api->routes, name) != 0)
		api_error(answer, 404, "no route of this name");
	else if (drain)
		api_ok(answer);
	else
		end_sessions(request, name, answer);
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
		routes_end(page, n);
	}
	n = routes_list(request->api->routes, after, page, 1);
	routes_end(page, n);
	answer->json = json_object();
	json_object_set_new(answer->json, "routes", list);
	json_object_set_new(answer->json, "count", json_integer((json_int_t)routes_count(request->api->routes)));
	json_object_set_new(answer->json, "next", n ? json_string(after) : json_null());
	free(page);
}
