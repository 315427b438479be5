/* SPDX-License-Identifier: MIT */
/* api_process: what the control process says of itself: health, metrics, version, OpenAPI. API threads. */
#include <stdlib.h>
#include <string.h>

#include "control/api_request.h"
#include "control/api_tls.h"
#include "control/metrics.h"
#include "userspace/version.h"

/* control/openapi.json, as it is in the repository. */
__asm__(".pushsection .rodata\n"
	"openapi_begin: .incbin \"control/openapi.json\"\n"
	"openapi_end: .byte 0\n"
	".popsection\n");
extern const char openapi_begin[], openapi_end[];

void api_healthz(struct api_request *request, struct api_answer *answer)
{
	(void)request;
	api_ok(answer);
}

void api_readyz(struct api_request *request, struct api_answer *answer)
{
	char text[LINK_TEXT_MAX];
	struct redis_stats redis = { .connected = true };

	if (request->api->share)
		share_stats(request->api->share, &redis);
	if (!link_status(request->api->link, text))
		api_error(answer, 503, "no relay: %s", text);
	else if (!redis.connected)
		api_error(answer, 503, "redis: %s", redis.error[0] ? redis.error : "not connected yet");
	else
		api_ok(answer);
}

void api_metrics(struct api_request *request, struct api_answer *answer)
{
	FILE *out = open_memstream(&answer->text, &answer->text_len);
	struct targets_stats targets;

	if (!out) {
		api_error(answer, 500, "out of memory");
		return;
	}
	metrics_print(out, request->api->view, request->api->routes, request->api->link, request->api->share,
		      request->api->allocation);
	targets_stats(request->api->targets, &targets);
	metrics_print_targets(out, &targets);
	metrics_print_servers(out, request->api->servers);
	if (request->api->tls)
		metrics_print_tls(out, api_tls_stats(request->api->tls));
	fclose(out);
	answer->content_type = "text/plain; version=0.0.4; charset=utf-8";
}

void api_version(struct api_request *request, struct api_answer *answer)
{
	char relay[LINK_TEXT_MAX];
	bool connected = link_status(request->api->link, relay);

	answer->json = json_object();
	json_object_set_new(answer->json, "version", json_string(SLUICE_VERSION));
	json_object_set_new(answer->json, "protocol", json_integer(PROTOCOL_VERSION));
	json_object_set_new(answer->json, "abi", json_integer(SLUICE_ABI_VERSION));
	json_object_set_new(answer->json, "relay", connected ? json_string(relay) : json_null());
}

void api_openapi(struct api_request *request, struct api_answer *answer)
{
	(void)request;
	answer->text_len = (size_t)(openapi_end - openapi_begin);
	answer->text = malloc(answer->text_len);
	if (!answer->text) {
		api_error(answer, 500, "out of memory");
		return;
	}
	memcpy(answer->text, openapi_begin, answer->text_len);
	answer->content_type = "application/json";
}
