/* SPDX-License-Identifier: MIT */
/* api_request: see api_request.h. The table of endpoints, and what all of them need. */
#include "control/api_request.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/config_value.h"

enum { BODY_DEPTH_MAX = 16 }; /* of JSON; every body that is right is flat */

const struct api_endpoint api_endpoints[] = {
	{ "POST", "/routes", API_BODY | API_FORM, api_routes_post },
	{ "GET", "/routes", 0, api_routes_list },
	{ "GET", "/routes/{fqdn}", 0, api_route_get },
	{ "PUT", "/routes/{fqdn}", API_BODY, api_route_put },
	{ "DELETE", "/routes/{fqdn}", 0, api_route_delete },
	{ "POST", "/allocate", API_BODY | API_FORM, api_allocate },
	{ "GET", "/sessions", 0, api_sessions_list },
	{ "GET", "/sessions/by-path/{backend}/{relay}", 0, api_session_by_path },
	{ "DELETE", "/sessions/{id}", 0, api_session_delete },
	{ "GET", "/backends", 0, api_backends_list },
	{ "PUT", "/backends/{backend}/drain", 0, api_backend_drain_put },
	{ "DELETE", "/backends/{backend}/drain", 0, api_backend_drain_delete },
	{ "GET", "/healthz", API_OPEN, api_healthz },
	{ "GET", "/readyz", API_OPEN, api_readyz },
	{ "GET", "/metrics", 0, api_metrics },
	{ "GET", "/version", 0, api_version },
	{ "GET", "/openapi.json", 0, api_openapi },
};
const unsigned api_endpoint_count = sizeof(api_endpoints) / sizeof(api_endpoints[0]);

void api_error(struct api_answer *answer, int status, const char *format, ...)
{
	char message[512];
	va_list args;
	json_t *text;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	/* Cut within a character, or not UTF-8 at all: replaced rather than nothing said. */
	text = json_string(message);
	if (!text) {
		for (char *c = message; *c; c++)
			if (*c & 0x80)
				*c = '?';
		text = json_string(message);
	}
	json_decref(answer->json);
	answer->status = status;
	answer->json = json_object();
	json_object_set_new(answer->json, "error", text);
}

void api_ok(struct api_answer *answer)
{
	answer->json = json_object();
	json_object_set_new(answer->json, "status", json_string("ok"));
}

/* --- paths -------------------------------------------------------------------------------------------- */

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool api_decode(const char *text, size_t len, char *out, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		int c = (unsigned char)text[i];

		if (c == '%') {
			int high = i + 2 < len ? hex_digit(text[i + 1]) : -1, low = high < 0 ? -1 : hex_digit(text[i + 2]);

			if (low < 0)
				return false;
			c = high << 4 | low;
			i += 2;
		}
		if (c == '\0' || n + 1 >= size)
			return false;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return true;
}

enum match { MATCH_NONE, MATCH, MATCH_BAD_PARAMETER };

static enum match path_match(const char *pattern, const char *path, struct api_request *request)
{
	unsigned parameter = 0;

	while (*pattern == '/' && *path == '/') {
		size_t wanted = strcspn(++pattern, "/"), len = strcspn(++path, "/");

		if (pattern[0] == '{') {
			if (len == 0)
				return MATCH_NONE;
			if (!api_decode(path, len, request->parameters[parameter++], API_PARAMETER_BYTES))
				return MATCH_BAD_PARAMETER;
		} else if (wanted != len || strncmp(pattern, path, len) != 0) {
			return MATCH_NONE;
		}
		pattern += wanted;
		path += len;
	}
	return *pattern || *path ? MATCH_NONE : MATCH;
}

const struct api_endpoint *api_match(const char *method, const char *path, struct api_request *request,
				     struct api_answer *answer)
{
	static __thread char allow[64]; /* as long as the answer */
	size_t len = 0;

	/* RFC 9110 s9.3.2: a GET whose answer has no content; that is api.c's matter. */
	if (strcmp(method, "HEAD") == 0)
		method = "GET";
	allow[0] = '\0';
	for (unsigned i = 0; i < api_endpoint_count; i++) {
		switch (path_match(api_endpoints[i].path, path, request)) {
		case MATCH_NONE:
			continue;
		case MATCH_BAD_PARAMETER:
			api_error(answer, 400, "path: must be percent-encoded UTF-8 without NUL, at most %d bytes a part",
				  API_PARAMETER_BYTES - 1);
			return NULL;
		case MATCH:
			break;
		}
		if (strcmp(api_endpoints[i].method, method) == 0)
			return &api_endpoints[i];
		len += (size_t)snprintf(allow + len, sizeof(allow) - len, "%s%s", len ? ", " : "", api_endpoints[i].method);
	}
	if (len) {
		answer->allow = allow;
		api_error(answer, 405, "method not allowed here: must be %s", allow);
	} else {
		api_error(answer, 404, "no such path (GET /openapi.json has them all)");
	}
	return NULL;
}

/* --- queries and bodies ------------------------------------------------------------------------------- */

int api_query(const struct api_request *request, const char *name, char value[static API_PARAMETER_BYTES],
	      struct api_answer *answer)
{
	const char *at = request->query ? request->query : "";
	size_t name_len = strlen(name);

	for (; *at; at += strspn(at, "&")) {
		size_t len = strcspn(at, "&");

		if (len > name_len && strncmp(at, name, name_len) == 0 && at[name_len] == '=') {
			if (api_decode(at + name_len + 1, len - name_len - 1, value, API_PARAMETER_BYTES))
				return 1;
			api_error(answer, 400, "%s: must be percent-encoded, at most %d bytes", name,
				  API_PARAMETER_BYTES - 1);
			return -1;
		}
		at += len;
	}
	return 0;
}

bool api_query_number(const struct api_request *request, const char *name, uint32_t max, uint32_t *value,
		      struct api_answer *answer)
{
	char text[API_PARAMETER_BYTES];
	int found = api_query(request, name, text, answer);

	if (found <= 0)
		return found == 0;
	if (config_value_number(text, strlen(text), max, value))
		return true;
	api_error(answer, 400, "%s: must be a number up to %u", name, max);
	return false;
}

bool api_query_limit(const struct api_request *request, uint32_t max, uint32_t *limit, struct api_answer *answer)
{
	if (!api_query_number(request, "limit", max, limit, answer))
		return false;
	if (*limit > 0)
		return true;
	api_error(answer, 400, "limit: must be a number from 1 to %u", max);
	return false;
}

/* The parser recurses, and an API thread's stack is small. */
static bool is_shallow(const char *bytes, size_t len)
{
	unsigned depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < len; i++) {
		char c = bytes[i];

		if (in_string && c == '\\')
			i++;
		else if (c == '"')
			in_string = !in_string;
		else if (!in_string && (c == '[' || c == '{') && ++depth > BODY_DEPTH_MAX)
			return false;
		else if (!in_string && (c == ']' || c == '}') && depth)
			depth--;
	}
	return true;
}

bool api_body_parse(const char *bytes, size_t len, struct api_request *request, struct api_answer *answer)
{
	json_error_t error;

	if (!is_shallow(bytes, len)) {
		api_error(answer, 400, "body: nested deeper than %d", BODY_DEPTH_MAX);
		return false;
	}
	request->body = json_loadb(bytes, len, JSON_REJECT_DUPLICATES, &error);
	if (!request->body) {
		api_error(answer, 400, "body: not JSON: line %d, column %d: %s", error.line, error.column, error.text);
		return false;
	}
	if (json_is_object(request->body))
		return true;
	api_error(answer, 400, "body: must be a JSON object");
	return false;
}
