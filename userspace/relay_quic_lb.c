/* SPDX-License-Identifier: MIT */
/* relay_quic_lb: see relay_quic_lb.h. */
#include "relay_quic_lb.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "relay_routes.h"

_Static_assert((int)CONFIG_QUIC_LB_ID_MAX == (int)QUIC_LB_SERVER_ID_MAX, "the file's server IDs fit");
_Static_assert((int)CONFIG_QUIC_LB_MAX <= (int)QUIC_LB_CONFIGS_MAX, "the file's configurations fit");

/* Its servers with their slots; NULL after a line in the log. The caller frees it. */
static struct quic_lb_server *servers_make(struct relay *relay, const struct config_quic_lb *config)
{
	struct quic_lb_server *servers = calloc(config->server_count, sizeof(*servers));

	if (!servers) {
		log_errorx("quic_lb: no memory");
		return NULL;
	}
	for (size_t i = 0; i < config->server_count; i++) {
		const struct config_quic_lb_server *server = &config->servers[i];
		int error = relay_backend(relay, &server->address.addr, htons(server->address.port),
					  &servers[i].server);

		if (error) {
			log_errorx("quic_lb: config_rotation %u, line %d: %s", config->config_rotation, server->line,
				   relay_route_error(error));
			free(servers);
			return NULL;
		}
		memcpy(servers[i].id, server->id, sizeof(servers[i].id));
	}
	return servers;
}

int relay_quic_lb_open(struct relay *relay)
{
	const struct config *config = relay->config;
	struct quic_lb_options options[CONFIG_QUIC_LB_MAX];
	struct quic_lb_server *servers[CONFIG_QUIC_LB_MAX] = { NULL };
	size_t server_count = 0;
	unsigned made = 0;
	int error = -1;

	if (config->quic_lb_count == 0)
		return 0;
	for (; made < config->quic_lb_count; made++) {
		const struct config_quic_lb *from = &config->quic_lb[made];

		servers[made] = servers_make(relay, from);
		if (!servers[made])
			goto out;
		options[made] = (struct quic_lb_options){
			.rotation = (uint8_t)from->config_rotation,
			.server_id_len = (uint8_t)from->server_id_length,
			.nonce_len = (uint8_t)from->nonce_length,
			.key = from->encrypted ? from->key : NULL,
			.servers = servers[made],
			.server_count = from->server_count,
		};
		server_count += from->server_count;
	}
	if (relay_quic_lb_preserve(relay))
		relay_expect_client_replies(relay);
	error = quic_lb_new(&relay->quic_lb, options, made);
	if (error)
		log_errorx("quic_lb: %s", strerror(-error));
	else
		log_infox("quic_lb: %u configuration%s, %zu server ID%s", made, made == 1 ? "" : "s", server_count,
			  server_count == 1 ? "" : "s");
out:
	for (unsigned i = 0; i < made; i++)
		free(servers[i]);
	return error ? -1 : 0;
}

uint8_t relay_quic_lb_preserve(const struct relay *relay)
{
	uint8_t rotations = 0;

	for (unsigned i = 0; i < relay->config->quic_lb_count; i++)
		if (relay->config->quic_lb[i].client_ip == CLIENT_IP_PRESERVE)
			rotations |= (uint8_t)(1u << relay->config->quic_lb[i].config_rotation);
	return rotations;
}

void relay_quic_lb_mark_backends(const struct relay *relay, uint64_t *needed)
{
	for (unsigned i = 0; i < relay->config->quic_lb_count; i++) {
		const struct config_quic_lb *config = &relay->config->quic_lb[i];

		for (size_t j = 0; j < config->server_count; j++) {
			const struct config_address *address = &config->servers[j].address;
			uint32_t slot;

			if (backend_find(&relay->state, &address->addr, htons(address->port), &slot))
				needed[slot / 64] |= 1ull << slot % 64;
		}
	}
}
