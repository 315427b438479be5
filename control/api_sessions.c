/* SPDX-License-Identifier: MIT */
/* api_sessions: /sessions and /backends, from the relay's tables. API threads. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/api_request.h"
#include "control/config_value.h"
#include "control/sessions.h"
#include "userspace/session.h"

enum { PAGE_DEFAULT = 100 };

/* NULL: answer holds a 503. */
static const struct state *tables_enter(const struct api_request *request, struct api_answer *answer)
{
	const struct state *state = view_enter(request->api->view);
	char why[LINK_TEXT_MAX];

	if (state)
		return state;
	link_status(request->api->link, why);
	api_error(answer, 503, "no relay: %s", why);
	return NULL;
}

static bool filter_route(const struct api_request *request, struct sessions_filter *filter, struct api_answer *answer)
{
	char text[API_PARAMETER_BYTES], *name = NULL;
	int found = api_query(request, "fqdn", text, answer);
	const char *must;

	if (found <= 0)
		return found == 0;
	must = config_value_fqdn(text, &name);
	if (must || !name) {
		api_error(answer, 400, "fqdn: %s", must ? must : "out of memory");
		return false;
	}
	filter->route = protocol_route_id(name);
	free(name);
	return true;
}

static bool filter_backend(const struct api_request *request, struct sessions_filter *filter,
			   struct api_answer *answer)
{
	struct config_address address;
	char text[API_PARAMETER_BYTES];
	int found = api_query(request, "backend", text, answer);

	if (found <= 0)
		return found == 0;
	if (config_address_parse(text, &address) < 0) {
		api_error(answer, 400, "backend: must be IP:PORT or [IPv6]:PORT");
		return false;
	}
	filter->by_backend = true;
	filter->backend = address.addr;
	filter->backend_port_be = htons(address.port);
	return true;
}

static bool filter_client(const struct api_request *request, struct sessions_filter *filter, struct api_answer *answer)
{
	struct config_address address = { 0 };
	char text[API_PARAMETER_BYTES];
	int found = api_query(request, "client", text, answer);

	if (found <= 0)
		return found == 0;
	if (config_address_parse(text, &address) < 0 && config_address_parse_ip(text, &address.addr) < 0) {
		api_error(answer, 400, "client: must be IP, IP:PORT or [IPv6]:PORT");
		return false;
	}
	filter->by_client = true;
	filter->client = address.addr;
	filter->client_port_be = htons(address.port);
	return true;
}

static bool page_of(const struct api_request *request, uint32_t *after, uint32_t *limit, struct api_answer *answer)
{
	*after = 0;
	*limit = PAGE_DEFAULT;
	return api_query_number(request, "after", UINT32_MAX, after, answer) &&
	       api_query_limit(request, SESSIONS_PAGE_MAX, limit, answer);
}

void api_sessions_list(struct api_request *request, struct api_answer *answer)
{
	struct sessions_filter filter = { 0 };
	const struct state *state;
	uint32_t after, limit;

	if (!filter_route(request, &filter, answer) || !filter_backend(request, &filter, answer) ||
	    !filter_client(request, &filter, answer) || !page_of(request, &after, &limit, answer))
		return;
	state = tables_enter(request, answer);
	if (!state)
		return;
	answer->json = sessions_page(state, request->api->routes, &filter, after, limit);
	view_leave(request->api->view);
}

void api_session_by_path(struct api_request *request, struct api_answer *answer)
{
	struct config_address backend, relay;
	const struct state *state;

	if (config_address_parse(request->parameters[0], &backend) < 0 ||
	    config_address_parse(request->parameters[1], &relay) < 0) {
		api_error(answer, 400, "backend and relay address: must be IP:PORT or [IPv6]:PORT");
		return;
	}
	state = tables_enter(request, answer);
	if (!state)
		return;
	answer->json = sessions_by_path(state, request->api->routes, &backend, &relay);
	if (!answer->json)
		api_error(answer, 404, "no client is behind this relay port towards this backend");
	view_leave(request->api->view);
}

void api_session_delete(struct api_request *request, struct api_answer *answer)
{
	const struct state *state;
	struct session session;
	uint32_t slot, generation;
	bool is_there;

	if (!sessions_id_parse(request->parameters[0], &slot, &generation)) {
		api_error(answer, 400, "id: must be as GET /sessions has it");
		return;
	}
	state = tables_enter(request, answer);
	if (!state)
		return;
	is_there = session_read(state, slot, &session) && session.generation == generation;
	view_leave(request->api->view);
	if (!is_there)
		api_error(answer, 404, "no such session (any more)");
	else if (!link_end_session(request->api->link, slot, generation))
		api_error(answer, 503, "the relay is not connected or busy");
	else
		api_ok(answer);
}

void api_backends_list(struct api_request *request, struct api_answer *answer)
{
	const struct state *state;
	uint32_t after, limit;

	if (!page_of(request, &after, &limit, answer))
		return;
	state = tables_enter(request, answer);
	if (!state)
		return;
	answer->json = sessions_backends(state, request->api->servers, after, limit);
	view_leave(request->api->view);
	if (!answer->json)
		api_error(answer, 500, "out of memory");
}

/* --- draining ----------------------------------------------------------------------------------------- */

static void backend_drain(const struct api_request *request, bool drain, struct api_answer *answer)
{
	struct config_address address;
	int error;

	if (config_address_parse(request->parameters[0], &address) < 0) {
		api_error(answer, 400, "backend: must be IP:PORT or [IPv6]:PORT");
		return;
	}
	error = servers_drain(request->api->servers, &address, drain);
	if (error == -ENOENT)
		api_error(answer, 404, "this backend is not draining");
	else if (error == -ENOSPC)
		api_error(answer, 503, "%d backends are draining already", SERVERS_DRAINING_MAX);
	else if (error)
		api_error(answer, 500, "out of memory");
	else
		api_ok(answer);
}

void api_backend_drain_put(struct api_request *request, struct api_answer *answer)
{
	backend_drain(request, true, answer);
}

void api_backend_drain_delete(struct api_request *request, struct api_answer *answer)
{
	backend_drain(request, false, answer);
}
