/* SPDX-License-Identifier: MIT */
/* api_request: one request and its answer, between the server (api.c) and the handlers (api_*.c). API threads. */
#ifndef SLUICE_API_REQUEST_H
#define SLUICE_API_REQUEST_H

#include <jansson.h>

#include "control/api.h"

enum {
	API_BODY_MAX = 1 << 20,          /* bytes */
	API_PARAMETERS_MAX = 2,
	API_PARAMETER_BYTES = 300,       /* a name, or an address and port */
};

struct api_request {
	const struct api_options *api;
	const char *method;
	const char *query;               /* as sent; NULL: none */
	char parameters[API_PARAMETERS_MAX][API_PARAMETER_BYTES]; /* of the path, decoded */
	json_t *body;                    /* an object; endpoints with API_BODY only */
};

struct api_answer {
	int status;                      /* 200 until it is set */
	json_t *json;                    /* owned; NULL: text */
	char *text;                      /* owned, from malloc */
	size_t text_len;
	const char *content_type;        /* of text */
	const char *allow;               /* 405 */
};

/* What an endpoint takes and who may use it. */
enum {
	API_OPEN = 1 << 0,               /* without token */
	API_BODY = 1 << 1,               /* a JSON object */
	API_FORM = 1 << 2,               /* its type may be what curl -d says: Porter never looked */
};

struct api_endpoint {
	const char *method;
	const char *path;                /* "{...}": one segment, a parameter */
	unsigned flags;
	void (*handle)(struct api_request *request, struct api_answer *answer);
};

extern const struct api_endpoint api_endpoints[];
extern const unsigned api_endpoint_count;

/* {"error": ...} */
void api_error(struct api_answer *answer, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
void api_ok(struct api_answer *answer);

/*
 * The endpoint of a method and path (without query), its parameters filled in.
 * NULL: answer holds a 404, 405 or 400.
 */
const struct api_endpoint *api_match(const char *method, const char *path, struct api_request *request,
				     struct api_answer *answer);

/* Reads a body into request->body. False: answer holds a 400. */
bool api_body_parse(const char *bytes, size_t len, struct api_request *request, struct api_answer *answer);

/* A query's parameter, decoded. 1: found, 0: absent, -1: wrong or too long; then answer holds a 400. */
int api_query(const struct api_request *request, const char *name, char value[static API_PARAMETER_BYTES],
	      struct api_answer *answer);

/* limit and after as numbers. False: answer holds a 400. */
bool api_query_number(const struct api_request *request, const char *name, uint32_t max, uint32_t *value,
		      struct api_answer *answer);

/* The same for a page's `limit`: not 0, which would be a page that never ends. */
bool api_query_limit(const struct api_request *request, uint32_t max, uint32_t *limit, struct api_answer *answer);

/* Percent-decodes (RFC 3986 s2.1). False: malformed, a NUL within, or longer than size. */
bool api_decode(const char *text, size_t len, char *out, size_t size);

/* api_routes.c */
void api_routes_post(struct api_request *request, struct api_answer *answer);
void api_routes_list(struct api_request *request, struct api_answer *answer);
void api_route_get(struct api_request *request, struct api_answer *answer);
void api_route_put(struct api_request *request, struct api_answer *answer);
void api_route_delete(struct api_request *request, struct api_answer *answer);

/* api_allocate.c */
void api_allocate(struct api_request *request, struct api_answer *answer);

/* api_sessions.c */
void api_sessions_list(struct api_request *request, struct api_answer *answer);
void api_session_by_path(struct api_request *request, struct api_answer *answer);
void api_session_delete(struct api_request *request, struct api_answer *answer);
void api_backends_list(struct api_request *request, struct api_answer *answer);
void api_backend_drain_put(struct api_request *request, struct api_answer *answer);
void api_backend_drain_delete(struct api_request *request, struct api_answer *answer);

/* api_process.c */
void api_healthz(struct api_request *request, struct api_answer *answer);
void api_readyz(struct api_request *request, struct api_answer *answer);
void api_metrics(struct api_request *request, struct api_answer *answer);
void api_version(struct api_request *request, struct api_answer *answer);
void api_openapi(struct api_request *request, struct api_answer *answer);

#endif
