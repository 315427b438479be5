/* SPDX-License-Identifier: MIT */
/* sessions: see sessions.h. */
#include "control/sessions.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/config_value.h"
#include "control/protocol.h"
#include "userspace/address.h"
#include "userspace/backend.h"
#include "userspace/endpoint.h"
#include "userspace/path.h"
#include "userspace/session.h"

/* A session on the page, and its JSON, whose "route" is filled in at the end. */
struct found {
	uint32_t route;
	json_t *json;
};

static json_t *text_of(const struct addr *address, __be16 port_be)
{
	char text[ADDRESS_TEXT_MAX];

	address_text(text, address, port_be);
	return json_string(text);
}

static json_t *backend_of(const struct state *state, uint32_t slot)
{
	struct backend backend;

	if (slot >= state->backend_slots || !entry_read(&state->backends[slot], &backend, sizeof(backend), NULL))
		return json_null();
	return text_of(&backend.address, backend.port_be);
}

static uint32_t now_s(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint32_t)now.tv_sec;
}

/* A forwarder may be a second ahead of this clock. */
static json_t *seconds_since(uint32_t then_s)
{
	int32_t since_s = (int32_t)(now_s() - then_s);

	return json_integer(since_s > 0 ? since_s : 0);
}

static json_t *path_json(const struct state *state, uint32_t slot, const struct path_entry *path)
{
	struct endpoint endpoint;
	json_t *json = json_object();

	json_object_set_new(json, "client", text_of(&path->client, path->client_port_be));
	if (path->endpoint < ENDPOINT_SLOTS && endpoint_read(state, path->endpoint, &endpoint))
		json_object_set_new(json, "listener", text_of(&endpoint.address, endpoint.port_be));
	else
		json_object_set_new(json, "listener", json_null());
	json_object_set_new(json, "relay",
			    text_of(path_source(state, path), path->relay_port_be));
	json_object_set_new(json, "idle_s", seconds_since(path_last_seen_s(state, slot)));
	return json;
}

static json_t *session_json(const struct state *state, uint32_t slot, const struct session *session)
{
	json_t *json = json_object(), *paths = json_array();
	char id[32];

	snprintf(id, sizeof(id), "%u-%u", slot, session->generation);
	json_object_set_new(json, "id", json_string(id));
	json_object_set_new(json, "route", json_null());
	json_object_set_new(json, "backend", backend_of(state, session->backend));
	json_object_set_new(json, "confirmed", json_boolean(session->flags & SESSION_CONFIRMED));
	json_object_set_new(json, "age_s", seconds_since(session->created_s));
	for (unsigned i = 0; i < session->path_count && i < SESSION_PATHS_MAX; i++) {
		struct path_entry path;

		if (session->paths[i] < state->paths.slots && path_read(state, session->paths[i], &path))
			json_array_append_new(paths, path_json(state, session->paths[i], &path));
	}
	json_object_set_new(json, "paths", paths);
	return json;
}

/* --- filters ----------------------------------------------------------------------------------------- */

static bool backend_matches(const struct state *state, const struct session *session,
			    const struct sessions_filter *filter)
{
	struct backend backend;

	return session->backend < state->backend_slots &&
	       entry_read(&state->backends[session->backend], &backend, sizeof(backend), NULL) &&
	       addr_equal(&backend.address, &filter->backend) && backend.port_be == filter->backend_port_be;
}

static bool client_matches(const struct state *state, const struct session *session,
			   const struct sessions_filter *filter)
{
	for (unsigned i = 0; i < session->path_count && i < SESSION_PATHS_MAX; i++) {
		struct path_entry path;

		if (session->paths[i] < state->paths.slots && path_read(state, session->paths[i], &path) &&
		    addr_equal(&path.client, &filter->client) &&
		    (!filter->client_port_be || path.client_port_be == filter->client_port_be))
			return true;
	}
	return false;
}

static bool matches(const struct state *state, const struct session *session, const struct sessions_filter *filter)
{
	return (!filter->route || session->route == filter->route) &&
	       (!filter->by_backend || backend_matches(state, session, filter)) &&
	       (!filter->by_client || client_matches(state, session, filter));
}

/* --- the names of routes ------------------------------------------------------------------------------ */

static int by_route(const void *a, const void *b)
{
	uint32_t left = ((const struct found *)a)->route, right = ((const struct found *)b)->route;

	return left < right ? -1 : left > right;
}

/* A page, in order of its routes' ids. */
struct named {
	struct found *found;
	size_t count;
};

static void name_route(void *context, const struct routes_route *route)
{
	const struct named *named = context;
	const struct found key = { .route = protocol_route_id(route->fqdn) };
	struct found *at = bsearch(&key, named->found, named->count, sizeof(*at), by_route);

	while (at && at > named->found && at[-1].route == key.route)
		at--;
	for (; at && at < named->found + named->count && at->route == key.route; at++)
		json_object_set_new(at->json, "route", json_string(route->fqdn));
}

/* Sessions know their route by its id alone: one pass over all routes names a whole page. */
static void name_routes(struct routes *routes, struct found *found, size_t count)
{
	struct named named = { found, count };

	if (count == 0)
		return;
	qsort(found, count, sizeof(*found), by_route);
	routes_each(routes, name_route, &named);
}

/* --- listings ----------------------------------------------------------------------------------------- */

static json_t *page_json(const char *name, json_t *list, uint32_t next)
{
	json_t *page = json_object();
	char text[16];

	snprintf(text, sizeof(text), "%u", next);
	json_object_set_new(page, name, list);
	json_object_set_new(page, "next", next ? json_string(text) : json_null());
	return page;
}

json_t *sessions_page(const struct state *state, struct routes *routes, const struct sessions_filter *filter,
		      uint32_t after, unsigned limit)
{
	struct found found[SESSIONS_PAGE_MAX];
	json_t *list = json_array();
	size_t count = 0;
	uint32_t slot;

	for (slot = after; slot < state->session_slots && count < limit && count < SESSIONS_PAGE_MAX; slot++) {
		struct session session;

		if (!session_read(state, slot, &session) || !matches(state, &session, filter))
			continue;
		found[count] = (struct found){ session.route, session_json(state, slot, &session) };
		json_array_append_new(list, found[count++].json);
	}
	name_routes(routes, found, count);
	return page_json("sessions", list, slot < state->session_slots ? slot : 0);
}

json_t *sessions_by_path(const struct state *state, struct routes *routes, const struct config_address *backend,
			 const struct config_address *relay)
{
	struct reply_key key = {
		.backend = backend->addr,
		.client = relay->addr,
		.backend_port_be = htons(backend->port),
		.relay_port_be = htons(relay->port),
	};
	struct session session;
	struct path_entry path;
	struct reply_entry reply;
	struct endpoint endpoint;
	struct found found;
	uint32_t slot;

	/* Of no address of ours: the client's own. */
	key.relay_address = endpoint_find(state, &relay->addr, 0, &slot, &endpoint) ? endpoint.relay_address :
										      RELAY_ADDRESS_CLIENT;
	if (!reply_find(state, &key, &slot, &reply) || reply.path >= state->paths.slots ||
	    !path_read(state, reply.path, &path) || !session_read(state, path.session, &session))
		return NULL;
	found = (struct found){ session.route, session_json(state, path.session, &session) };
	json_object_set_new(found.json, "client", text_of(&reply.client, reply.client_port_be));
	name_routes(routes, &found, 1);
	return found.json;
}

/* status NULL: neither probed nor draining. */
static json_t *server_json(const struct addr *address, __be16 port_be, uint32_t sessions,
			   const struct servers_status *status)
{
	json_t *json = json_object();

	json_object_set_new(json, "backend", text_of(address, port_be));
	json_object_set_new(json, "sessions", json_integer(sessions));
	json_object_set_new(json, "healthy", status && status->watched ? json_boolean(status->up) : json_null());
	json_object_set_new(json, "draining", json_boolean(status && status->draining));
	return json;
}

static json_t *backend_json(const struct backend *backend, uint32_t sessions, struct servers *servers)
{
	struct servers_status status;
	bool known = servers_status(servers, &backend->address, backend->port_be, &status);
	json_t *json = server_json(&backend->address, backend->port_be, sessions, known ? &status : NULL);

	json_object_set_new(json, "reachable", json_boolean(backend->nexthop < NEXTHOPS_MAX));
	json_object_set_new(json, "cid_length",
			    backend->cid_len == CID_LEN_UNKNOWN ? json_null() : json_integer(backend->cid_len));
	return json;
}

/*
 * Servers that no route of the relay leads to, because they are dead or draining.
 * Their places in the listing are behind the table's. The next place, or 0: that was all.
 */
static uint32_t unused_list(const struct state *state, struct servers *servers, uint32_t after, unsigned limit,
			    json_t *list)
{
	struct servers_status *all;
	size_t count = servers_list(servers, &all), at;

	for (at = after - state->backend_slots; at < count && json_array_size(list) < limit; at++) {
		uint32_t slot;
		json_t *json;

		if (backend_find(state, &all[at].address, all[at].port_be, &slot))
			continue;
		json = server_json(&all[at].address, all[at].port_be, 0, &all[at]);
		json_object_set_new(json, "reachable", json_null());
		json_object_set_new(json, "cid_length", json_null());
		json_array_append_new(list, json);
	}
	free(all);
	return at < count ? state->backend_slots + (uint32_t)at : 0;
}

json_t *sessions_backends(const struct state *state, struct servers *servers, uint32_t after, unsigned limit)
{
	uint32_t *sessions = calloc(state->backend_slots, sizeof(*sessions)), slot;
	json_t *list;

	if (!sessions)
		return NULL;
	list = json_array();
	for (slot = 0; slot < state->session_slots; slot++) {
		struct session session;

		if (session_read(state, slot, &session) && session.backend < state->backend_slots)
			sessions[session.backend]++;
	}
	for (slot = after; slot < state->backend_slots && json_array_size(list) < limit; slot++) {
		struct backend backend;

		if (entry_read(&state->backends[slot], &backend, sizeof(backend), NULL))
			json_array_append_new(list, backend_json(&backend, sessions[slot], servers));
	}
	free(sessions);
	return page_json("backends", list,
			 slot < state->backend_slots ? slot : unused_list(state, servers, slot, limit, list));
}

static bool is_target(const struct state *state, uint32_t slot, const struct protocol_route *route)
{
	struct backend backend;

	if (slot >= state->backend_slots || !entry_read(&state->backends[slot], &backend, sizeof(backend), NULL))
		return false;
	for (unsigned i = 0; i < route->count; i++)
		if (addr_equal(&route->targets[i].address, &backend.address) &&
		    route->targets[i].port_be == backend.port_be)
			return true;
	return false;
}

size_t sessions_of_route(const struct state *state, uint32_t route, const struct protocol_route *keep,
			 void (*call)(void *context, uint32_t slot, uint32_t generation), void *context)
{
	size_t count = 0;

	for (uint32_t slot = 0; slot < state->session_slots; slot++) {
		struct session session;

		if (!session_read(state, slot, &session) || session.route != route ||
		    is_target(state, session.backend, keep))
			continue;
		call(context, slot, session.generation);
		count++;
	}
	return count;
}

bool sessions_id_parse(const char *text, uint32_t *slot, uint32_t *generation)
{
	const char *dash = strchr(text, '-');

	return dash && config_value_number(text, (size_t)(dash - text), UINT32_MAX, slot) &&
	       config_value_number(dash + 1, strlen(dash + 1), UINT32_MAX, generation);
}

bool sessions_is_listener(const struct state *state, const struct config_address *address)
{
	struct endpoint endpoint;
	uint32_t slot;

	return endpoint_find(state, &address->addr, htons(address->port), &slot, &endpoint) &&
	       endpoint.kind != ENDPOINT_DISABLED;
}
