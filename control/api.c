/* SPDX-License-Identifier: MIT */
/* api: see api.h. HTTP itself; what the endpoints do is in api_*.c. */
#include "control/api.h"

#include <civetweb.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "control/api_request.h"
#include "control/api_tls.h"
#include "control/config_value.h"
#include "bpf/table.h"
#include "userspace/log.h"

enum {
	TOKEN_MAX = 4096,
	BODY_MAX_US = 5 * 1000 * 1000, /* for a whole body to come; longer, and a few that drip hold all threads */
};

struct api {
	struct api_options options;
	bool log_requests;
	bool has_token;
	uint8_t token_hash[SHA256_DIGEST_LENGTH];
	struct mg_context *server;
};

/* --- who may ask -------------------------------------------------------------------------------------- */

static void token_hash(const char *token, size_t len, uint8_t hash[static SHA256_DIGEST_LENGTH])
{
	SHA256((const unsigned char *)token, len, hash);
}

/* The first line of the file. 0, or -1 after a line in the log. */
static int token_load(struct api *api, const char *path)
{
	char token[TOKEN_MAX + 1] = "";
	FILE *file = fopen(path, "re");
	size_t len;

	if (!file) {
		log_error("api.token_file %s", path);
		return -1;
	}
	len = fread(token, 1, TOKEN_MAX, file);
	fclose(file);
	token[len] = '\0';
	len = strcspn(token, "\r\n");
	if (len == 0) {
		log_errorx("api.token_file %s: its first line must be the token", path);
		return -1;
	}
	token_hash(token, len, api->token_hash);
	OPENSSL_cleanse(token, sizeof(token));
	api->has_token = true;
	return 0;
}

/* RFC 6750 s2.1. Hashes are compared: in constant time, and no length shows either. */
static bool is_authorized(const struct api *api, const struct mg_connection *connection)
{
	const char *header = mg_get_header(connection, "Authorization");
	uint8_t hash[SHA256_DIGEST_LENGTH];

	if (!api->has_token)
		return true;
	if (!header || strncasecmp(header, "Bearer ", 7) != 0)
		return false;
	header += 7 + strspn(header + 7, " ");
	token_hash(header, strlen(header), hash);
	return CRYPTO_memcmp(hash, api->token_hash, sizeof(hash)) == 0;
}

/*
 * A page of another site may make a browser send requests, and without a token
 * those would be obeyed. Browsers say where the page is from (Fetch Standard
 * s3.2: Origin, with every method but GET and HEAD).
 */
static bool is_cross_site(const struct mg_connection *connection)
{
	const char *origin = mg_get_header(connection, "Origin"), *host = mg_get_header(connection, "Host");
	const char *site = origin ? strstr(origin, "://") : NULL;

	return origin && (!site || !host || strcasecmp(site + 3, host) != 0);
}

/*
 * A name of another site that resolves to 127.0.0.1 makes a page of it the same
 * origin as us (DNS rebinding): without a token, only we may be who was asked.
 * With TLS the certificate sees to that.
 */
static bool is_for_loopback(const struct mg_connection *connection)
{
	const char *host = mg_get_header(connection, "Host");
	size_t len;

	if (!host)
		return true; /* HTTP/1.0: no browser */
	len = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
	return (len == 9 && strncasecmp(host, "localhost", len) == 0) || (len == 5 && strncmp(host, "[::1]", len) == 0) ||
	       (len >= 7 && strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == len);
}

static uint64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* --- bodies ------------------------------------------------------------------------------------------- */

static bool type_is(const char *header, const char *type)
{
	size_t len = strlen(type);

	return strncasecmp(header, type, len) == 0 && (!header[len] || strchr("; \t", header[len]));
}

/* False: answer holds a 413 or 415. */
static bool body_is_welcome(const struct mg_connection *connection, const struct api_endpoint *endpoint,
			    struct api_answer *answer)
{
	const char *type = mg_get_header(connection, "Content-Type");

	if (mg_get_request_info(connection)->content_length > API_BODY_MAX) {
		api_error(answer, 413, "body: must be at most %d bytes", API_BODY_MAX);
		return false;
	}
	if (!type || type_is(type, "application/json"))
		return true;
	if (endpoint->flags & API_FORM && type_is(type, "application/x-www-form-urlencoded"))
		return true;
	api_error(answer, 415, "Content-Type: must be application/json");
	return false;
}

/* Of a known length or in chunks. False: answer holds an error. */
static bool body_read(struct mg_connection *connection, struct api_request *request, struct api_answer *answer)
{
	const char *expect = mg_get_header(connection, "Expect");
	char *bytes = malloc(API_BODY_MAX + 1);
	const long long wanted = mg_get_request_info(connection)->content_length; /* -1: not said */
	const uint64_t end_us = now_us() + BODY_MAX_US;
	size_t len = 0;
	bool good = false;
	int n = 1;

	if (!bytes) {
		api_error(answer, 500, "out of memory");
		return false;
	}
	if (expect && strcasecmp(expect, "100-continue") == 0)
		mg_printf(connection, "HTTP/1.1 100 Continue\r\n\r\n");
	while (len <= API_BODY_MAX && n > 0 && now_us() < end_us) {
		n = mg_read(connection, bytes + len, API_BODY_MAX + 1 - len);
		if (n > 0)
			len += (size_t)n;
	}
	if (len > API_BODY_MAX) {
		api_error(answer, 413, "body: must be at most %d bytes", API_BODY_MAX);
	} else if (n != 0 || (wanted >= 0 && (long long)len < wanted)) {
		api_error(answer, 400, "body: incomplete");
	} else {
		good = api_body_parse(bytes, len, request, answer);
	}
	free(bytes);
	return good;
}

/* --- a request ---------------------------------------------------------------------------------------- */

static const char *reason(int status)
{
	static const struct {
		int status;
		const char *text;
	} reasons[] = {
		{ 200, "OK" }, { 400, "Bad Request" }, { 401, "Unauthorized" }, { 403, "Forbidden" },
		{ 404, "Not Found" }, { 405, "Method Not Allowed" }, { 409, "Conflict" },
		{ 413, "Content Too Large" }, { 415, "Unsupported Media Type" },
		{ 429, "Too Many Requests" }, { 503, "Service Unavailable" },
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].text;
	return "Internal Server Error";
}

static void answer_send(struct mg_connection *connection, struct api_answer *answer)
{
	const char *type = answer->content_type ? answer->content_type : "application/json";

	if (answer->json) {
		free(answer->text);
		answer->text = json_dumps(answer->json, JSON_COMPACT);
		answer->text_len = answer->text ? strlen(answer->text) : 0;
		type = "application/json";
	}
	if (!answer->text)
		answer->status = 500;
	mg_printf(connection, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nCache-Control: no-store\r\n",
		  answer->status, reason(answer->status), type, answer->text_len);
	if (answer->status == 401)
		mg_printf(connection, "WWW-Authenticate: Bearer realm=\"sluice\"\r\n");
	if (answer->allow)
		mg_printf(connection, "Allow: %s\r\n", answer->allow);
	/* What of a body was not read would be taken for the next request. */
	if (answer->status >= 400)
		mg_printf(connection, "Connection: close\r\n");
	mg_printf(connection, "\r\n");
	if (strcmp(mg_get_request_info(connection)->request_method, "HEAD") != 0)
		mg_write(connection, answer->text, answer->text_len);
	json_decref(answer->json);
	free(answer->text);
}

static void serve(struct api *api, struct mg_connection *connection, struct api_answer *answer)
{
	const struct mg_request_info *info = mg_get_request_info(connection);
	struct api_request request = {
		.api = &api->options,
		.method = info->request_method,
		.query = info->query_string,
	};
	const struct api_endpoint *endpoint = api_match(info->request_method, info->local_uri_raw ? info->local_uri_raw : "",
							&request, answer);

	/* Before a 404 or 405 too: who has no token learns nothing of the paths. */
	if (!(endpoint && endpoint->flags & API_OPEN) && !is_authorized(api, connection)) {
		answer->allow = NULL;
		api_error(answer, 401, "token missing or wrong (Authorization: Bearer ...)");
		return;
	}
	if (!endpoint)
		return;
	if (is_cross_site(connection) || (!api->has_token && !api->options.tls && !is_for_loopback(connection))) {
		api_error(answer, 403, "sent by a page of another site");
		return;
	}
	if (!(endpoint->flags & API_BODY) ||
	    (body_is_welcome(connection, endpoint, answer) && body_read(connection, &request, answer)))
		endpoint->handle(&request, answer);
	json_decref(request.body);
}

/* The path is the client's: what is not printable ASCII is not written. */
static void log_request(const struct mg_request_info *info, const char *client, int status, uint64_t took_us)
{
	char path[200];

	snprintf(path, sizeof(path), "%s", info->local_uri_raw ? info->local_uri_raw : "-");
	protocol_text_clean(path);
	log_infox("api %s %s %s %d %llu us", client, info->request_method, path, status,
		  (unsigned long long)took_us);
}

/*
 * Behind TLS: the first request of a connection shows that it is the front's,
 * and says who its client is; from then on the connection has that address.
 * Anybody else on this machine is turned away here (api_tls.h).
 */
static int connection_introduce(struct api *api, struct mg_connection *connection)
{
	const char *secret = mg_get_header(connection, API_TLS_SECRET_HEADER);
	const char *peer = mg_get_header(connection, API_TLS_PEER_HEADER);
	struct api_answer refusal = { .status = 200 };
	char *client = secret && peer && api_tls_is_secret(api->options.tls, secret) ? strdup(peer) : NULL;

	if (!client) {
		api_error(&refusal, 403, "with api.tls, only through its port");
		answer_send(connection, &refusal);
		return 403;
	}
	mg_set_user_connection_data(connection, client);
	mg_write(connection, API_TLS_WELCOME, strlen(API_TLS_WELCOME));
	return 204;
}

/* Not connection_closed: civetweb 1.15 has forgotten the data by then. */
static void on_connection_close(const struct mg_connection *connection)
{
	free(mg_get_user_connection_data(connection));
}

static int on_request(struct mg_connection *connection)
{
	const struct mg_request_info *info = mg_get_request_info(connection);
	const char *client = mg_get_user_connection_data(connection);
	struct api *api = info->user_data;
	struct api_answer answer = { .status = 200 };
	uint64_t begin_us = now_us();
	int status;

	if (api->options.tls && !client)
		return connection_introduce(api, connection);
	serve(api, connection, &answer);
	status = answer.status;
	answer_send(connection, &answer);
	if (api->log_requests)
		log_request(info, client ? client : info->remote_addr, status, now_us() - begin_us);
	return status;
}

static int on_log(const struct mg_connection *connection, const char *message)
{
	(void)connection;
	log_debugx("api: %s", message);
	return 1;
}

/* --- where it listens --------------------------------------------------------------------------------- */

static bool is_loopback(const struct addr *addr)
{
	static const struct addr v6 = { .bytes = { [15] = 1 } };

	return addr_is_v4(addr) ? addr->bytes[12] == 127 : addr_equal(addr, &v6);
}

/* Whoever is let in has shown who they are; otherwise only this machine is. */
static bool is_guarded(const struct config_api *config)
{
	return config->token_file[0] || config->tls.client_ca[0];
}

/* Addresses to listen on; 0: every one; -1 after a line in the log. */
static int addresses_choose(const struct config_api *config, struct addr addresses[static API_TLS_ADDRESSES_MAX])
{
	if (!config->address[0] && is_guarded(config))
		return 0;
	if (!config->address[0]) {
		config_address_parse_ip("127.0.0.1", &addresses[0]);
		config_address_parse_ip("::1", &addresses[1]);
		return 2;
	}
	if (config_address_parse_ip(config->address, &addresses[0]) < 0) {
		log_errorx("api.address %s: must be an IP address", config->address);
		return -1;
	}
	if (!is_guarded(config) && !is_loopback(&addresses[0])) {
		log_errorx("api.address %s: without api.token_file or api.tls.client_ca it must be a loopback address",
			   config->address);
		return -1;
	}
	return 1;
}

/* civetweb's listening_ports. 0, or -1 after a line in the log. */
static int ports_choose(const struct config_api *config, char *ports, size_t size)
{
	bool has_v6 = mg_check_feature(MG_FEATURES_IPV6);
	struct addr addresses[API_TLS_ADDRESSES_MAX];
	int count = addresses_choose(config, addresses);

	if (count < 0)
		return -1;
	if (count == 0)
		snprintf(ports, size, has_v6 ? "+%u" : "%u", config->port);
	else if (count == 1)
		snprintf(ports, size, addr_is_v4(&addresses[0]) ? "%s:%u" : "[%s]:%u", config->address, config->port);
	else
		snprintf(ports, size, has_v6 ? "127.0.0.1:%u,[::1]:%u" : "127.0.0.1:%u", config->port, config->port);
	return 0;
}

static struct mg_context *listen_on(struct api *api, const char *ports)
{
	static const struct mg_callbacks callbacks = { .begin_request = on_request, .log_message = on_log,
						       .connection_close = on_connection_close };
	const char *options[] = {
		"listening_ports", ports,
		"num_threads", "32",             /* a connection holds one: slow clients must not hold all */
		"request_timeout_ms", "2000",
		"enable_keep_alive", "yes",
		"keep_alive_timeout_ms", "500",
		"tcp_nodelay", "1",
		"decode_url", "no",              /* names and addresses are decoded part by part */
		NULL,
	};

	return mg_start(&callbacks, api, options);
}

/* With TLS the front listens where clients come, and civetweb where only the front gets through. */
static int front_open(struct api *api, const struct config_api *config)
{
	struct api_tls_options options = { .files = &config->tls, .port = config->port };
	int count = addresses_choose(config, options.addresses);

	if (count < 0)
		return -1;
	options.address_count = (unsigned)count;
	api->options.tls = api_tls_new(&options);
	return api->options.tls ? 0 : -1;
}

static int serve_plain(struct api *api, const struct config_api *config)
{
	char ports[128], first[128];

	if (ports_choose(config, ports, sizeof(ports)) < 0)
		return -1;
	api->server = listen_on(api, ports);
	if (!api->server && strchr(ports, ',')) {
		snprintf(first, sizeof(first), "%.*s", (int)strcspn(ports, ","), ports); /* no IPv6 here */
		snprintf(ports, sizeof(ports), "%s", first);
		api->server = listen_on(api, ports);
	}
	if (!api->server) {
		log_errorx("api: cannot listen on %s (log.level debug says why)", ports);
		return -1;
	}
	log_infox("api: listening on %s%s", ports, api->has_token ? ", with token" : "");
	return 0;
}

static int serve_tls(struct api *api, const struct config_api *config)
{
	struct mg_server_port port;

	if (front_open(api, config) < 0)
		return -1;
	api->server = listen_on(api, "127.0.0.1:0");
	if (!api->server || mg_get_server_ports(api->server, 1, &port) != 1 ||
	    api_tls_start(api->options.tls, (uint16_t)port.port) < 0) {
		log_errorx("api: cannot listen on 127.0.0.1 behind TLS (log.level debug says why)");
		return -1;
	}
	log_infox("api: listening with TLS on %s port %u%s%s",
		  config->address[0] ? config->address : is_guarded(config) ? "every address" : "loopback",
		  config->port, config->tls.client_ca[0] ? ", with client certificates" : "",
		  api->has_token ? ", with token" : "");
	return 0;
}

struct api *api_start(const struct api_options *options)
{
	const struct config_api *config = options->config;
	struct api *api = calloc(1, sizeof(*api));

	if (!api)
		return NULL;
	api->options = *options;
	api->log_requests = config->log_requests;
	mg_init_library(0);
	if ((config->token_file[0] && token_load(api, config->token_file) < 0) ||
	    (config->tls.cert[0] ? serve_tls(api, config) : serve_plain(api, config)) < 0) {
		api_stop(api);
		return NULL;
	}
	return api;
}

void api_reload(struct api *api)
{
	if (api && api->options.tls)
		api_tls_reload(api->options.tls);
}

void api_stop(struct api *api)
{
	if (!api)
		return;
	api_tls_stop(api->options.tls); /* before civetweb's threads, which may wait for its connections */
	if (api->server)
		mg_stop(api->server);
	mg_exit_library();
	free(api);
}
