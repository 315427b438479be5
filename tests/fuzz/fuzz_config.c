/* SPDX-License-Identifier: MIT */
/*
 * fuzz_config: any bytes as config.yaml. What is taken must keep the promises
 * of config.h; what is refused must say why, in lines without control
 * characters, and leave nothing behind.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "control/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void check_quic_lb(const struct config_quic_lb *q)
{
	static const uint8_t no_key[sizeof(q->key)];

	must(q->config_rotation <= 6 && q->line >= 1 && q->server_count >= 1);
	must(q->server_id_length >= 1 && q->server_id_length <= 15 && q->nonce_length >= 4);
	must(q->server_id_length + q->nonce_length <= 19);
	must(q->encrypted || memcmp(q->key, no_key, sizeof(no_key)) == 0);
	for (size_t i = 0; i < q->server_count; i++) {
		must(q->servers[i].id_len == q->server_id_length && q->servers[i].address.port != 0);
		must(i == 0 || memcmp(q->servers[i - 1].id, q->servers[i].id, sizeof(q->servers[i].id)) < 0);
	}
}

static void check_taken(const struct config *c)
{
	must(c->listener_count >= 1 && c->listener_count <= CONFIG_LISTENERS_MAX);
	for (unsigned i = 0; i < c->listener_count; i++)
		must(c->listeners[i].address.port != 0 && c->listeners[i].name[0] &&
		     c->listeners[i].mode == LISTENER_QUIC);
	must(c->xdp.interface_count <= INTERFACES_MAX && c->relay.address_count <= RELAY_ADDRESSES_MAX);
	must(c->relay.run_dir[0] == '/');
	for (unsigned i = 0; i < 2; i++)
		must(c->relay.port_ranges[i][0] <= c->relay.port_ranges[i][1]);
	must(c->limits.sessions >= 64 && c->limits.sessions <= 4194304);
	must(c->limits.idle_timeout_unconfirmed_s <= c->limits.idle_timeout_s);
	must(c->api.address && c->api.token_file && c->redis.address[0] && c->redis.password && c->redis.channel[0]);
	must(c->agones.namespace[0] && c->agones.allocator_host && c->agones.allocator_ca_cert);
	must(c->quic_lb_count <= CONFIG_QUIC_LB_MAX);
	for (unsigned i = 0; i < c->quic_lb_count; i++)
		check_quic_lb(&c->quic_lb[i]);
	for (size_t i = 0; i < c->route_count; i++) {
		const struct config_route *route = &c->routes[i];
		size_t len = strlen(route->fqdn);

		must(len >= 1 && len <= CONFIG_FQDN_MAX && route->line >= 1);
		must(strspn(route->fqdn, "abcdefghijklmnopqrstuvwxyz0123456789-_.*") == len);
		must(route->spec && route->spec->count >= 1 && route->spec->type == route->type);
		for (unsigned j = 0; j < route->spec->count; j++)
			must(route->spec->targets[j].weight &&
			     (route->type != ROUTE_SIMPLE || route->spec->targets[j].address.port != 0));
	}
}

static void check_messages(const char *messages)
{
	unsigned lines = 0;

	for (const char *c = messages; *c; c++) {
		lines += *c == '\n';
		must(*c == '\n' || (*c >= 0x20 && *c <= 0x7e));
	}
	must(lines >= 1 && lines <= 20);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *messages = NULL;
	size_t messages_len;
	FILE *errors = open_memstream(&messages, &messages_len);
	struct config config;
	int result;

	must(errors != NULL);
	result = config_parse("fuzz", (const char *)data, size, &config, errors);
	fclose(errors);
	if (result == 0) {
		must(messages_len == 0);
		check_taken(&config);
		config_free(&config);
	} else {
		check_messages(messages);
		must(config.routes == NULL && config.api.address == NULL);
	}
	free(messages);
	return 0;
}
