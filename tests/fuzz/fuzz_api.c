/* SPDX-License-Identifier: MIT */
/*
 * fuzz_api: any bytes as a request: its first line is method, path and query,
 * the rest its body. Routes are served from a store of their own, without a
 * relay: every answer has a status of the API, and an error says why.
 */
#include <stdlib.h>
#include <string.h>

#include "control/api_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static bool is_served_here(const struct api_endpoint *endpoint)
{
	return strncmp(endpoint->path, "/routes", 7) == 0 || strcmp(endpoint->path, "/openapi.json") == 0;
}

static void serve(struct api_request *request, char *line, const char *body, size_t body_len)
{
	struct api_answer answer = { .status = 200 };
	char *path = strchr(line, ' '), *query;
	const struct api_endpoint *endpoint;

	if (path)
		*path++ = '\0';
	query = path ? strchr(path, '?') : NULL;
	if (query)
		*query++ = '\0';
	request->query = query;
	endpoint = api_match(line, path ? path : "", request, &answer);
	if (endpoint && is_served_here(endpoint) &&
	    (!(endpoint->flags & API_BODY) || api_body_parse(body, body_len, request, &answer)))
		endpoint->handle(request, &answer);
	else if (endpoint && answer.status == 200)
		return; /* not for here */
	must(answer.json || answer.text);
	must(answer.status == 200 || answer.status == 400 || answer.status == 404 || answer.status == 405 ||
	     answer.status == 409);
	must((answer.status == 200) == (!answer.json || !json_object_get(answer.json, "error")));
	if (answer.status != 200)
		must(json_string_length(json_object_get(answer.json, "error")) > 0);
	json_decref(answer.json);
	free(answer.text);
	json_decref(request->body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = memchr(data, '\n', size);
	size_t line_len = end ? (size_t)(end - data) : size;
	struct api_options options = { .routes = routes_new(4), .view = view_new() };
	struct api_request request = { .api = &options };
	char *line = strndup((const char *)data, line_len);

	must(line && options.routes && options.view);
	serve(&request, line, end ? (const char *)end + 1 : "", end ? size - line_len - 1 : 0);
	free(line);
	view_free(options.view);
	routes_free(options.routes);
	return 0;
}
