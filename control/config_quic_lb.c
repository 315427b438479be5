/* SPDX-License-Identifier: MIT */
/* config_quic_lb: see config_quic_lb.h. */
#include "control/config_quic_lb.h"

#include <stdlib.h>
#include <string.h>

#include "bpf/table.h"
#include "control/config_value.h"

enum { ID_PATH_BYTES = sizeof("servers.") + 2 * CONFIG_QUIC_LB_ID_MAX };

void *config_quic_lb_add(struct config_draft *draft)
{
	return &draft->config.quic_lb[draft->config.quic_lb_count++];
}

void *config_quic_lb_add_server(void *quic_lb, int line)
{
	struct config_quic_lb *config = quic_lb;
	size_t count = config->server_count;

	if ((count & (count - 1)) == 0) { /* at 0 and each power of two the memory is used up */
		struct config_quic_lb_server *servers =
			reallocarray(config->servers, count ? count * 2 : 1, sizeof(*servers));

		if (!servers)
			return NULL;
		config->servers = servers;
	}
	config->server_count++;
	config->servers[count] = (struct config_quic_lb_server){ .line = line };
	return &config->servers[count];
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Bytes read, at most max; 0: text is anything else than pairs of hexadecimal digits. */
static size_t hex_read(const char *text, uint8_t *bytes, size_t max)
{
	size_t len = strlen(text) / 2;

	if (strlen(text) % 2 || len > max)
		return 0;
	for (size_t i = 0; i < len; i++) {
		int high = digit_value(text[2 * i]), low = digit_value(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return 0;
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	return len;
}

const char *config_quic_lb_key(const char *text, void *field)
{
	struct config_quic_lb *config = field;
	uint8_t key[sizeof(config->key)];

	if (hex_read(text, key, sizeof(key)) != sizeof(key))
		return "must be 32 hexadecimal digits, or empty for none";
	memcpy(config->key, key, sizeof(key));
	config->encrypted = true;
	return NULL;
}

const char *config_quic_lb_server_id(const char *text, void *field)
{
	struct config_quic_lb_server *server = field;
	uint8_t id[CONFIG_QUIC_LB_ID_MAX] = { 0 };
	size_t len = hex_read(text, id, sizeof(id));

	if (len == 0)
		return "must be a server ID: 1 to 15 bytes in hexadecimal digits";
	memcpy(server->id, id, sizeof(id));
	server->id_len = (uint8_t)len;
	return NULL;
}

_Static_assert(CONFIG_QUIC_LB_ID_MAX == 15, "the message above says so");

const char *config_quic_lb_address(const char *text, void *field)
{
	struct config_address address = { 0 };

	if (config_address_parse(text, &address) < 0 || !config_address_is_unicast(&address.addr))
		return "must be IP:PORT or [IPv6]:PORT, the address of one host";
	memcpy(field, &address, sizeof(address));
	return NULL;
}

/* --- at the end of an item ---------------------------------------------------------------------- */

static void check_rotation(struct config_walk *walk, const struct config_quic_lb *config)
{
	const struct config_quic_lb *other = walk->draft->config.quic_lb;
	char value[16], message[64];

	for (; config->line && other < config; other++) {
		if (!other->line || other->config_rotation != config->config_rotation)
			continue;
		snprintf(value, sizeof(value), "%u", config->config_rotation);
		snprintf(message, sizeof(message), "must be given once (first on line %d)", other->line);
		config_walk_error(walk, config->line, "config_rotation", value, message);
		return;
	}
}

static void check_sum(struct config_walk *walk, const struct config_quic_lb *config, const struct config_lines *lines)
{
	int line = config_walk_line(lines, "nonce_length");
	char value[16], message[80];

	if (!line || !config_walk_line(lines, "server_id_length") ||
	    config->server_id_length + config->nonce_length <= CONFIG_QUIC_LB_BODY_MAX)
		return;
	snprintf(value, sizeof(value), "%u", config->nonce_length);
	snprintf(message, sizeof(message), "must be at most %d together with server_id_length (%u)",
		 CONFIG_QUIC_LB_BODY_MAX, config->server_id_length);
	config_walk_error(walk, line, "nonce_length", value, message);
}

static void server_error(struct config_walk *walk, const struct config_quic_lb_server *server, const char *message)
{
	char path[ID_PATH_BYTES] = "servers.", *to = path + strlen(path);

	for (unsigned i = 0; i < server->id_len; i++)
		to += sprintf(to, "%02x", server->id[i]);
	config_walk_error(walk, server->line, path, NULL, message);
}

static void check_id_lengths(struct config_walk *walk, const struct config_quic_lb *config)
{
	char message[80];

	snprintf(message, sizeof(message), "must be %u hexadecimal digits, as server_id_length is %u",
		 2 * config->server_id_length, config->server_id_length);
	for (size_t i = 0; i < config->server_count; i++) {
		const struct config_quic_lb_server *server = &config->servers[i];

		if (server->id_len && server->id_len != config->server_id_length)
			server_error(walk, server, message);
	}
}

/* By ID, then in the order of the file, as far as lines tell. */
static int compare_servers(const void *a, const void *b)
{
	const struct config_quic_lb_server *x = a, *y = b;
	int order = memcmp(x->id, y->id, sizeof(x->id));

	if (order == 0)
		order = x->id_len - y->id_len;
	return order ? order : x->line - y->line;
}

static void check_ids_differ(struct config_walk *walk, struct config_quic_lb *config)
{
	const struct config_quic_lb_server *first = config->servers;
	char message[64];

	qsort(config->servers, config->server_count, sizeof(*config->servers), compare_servers);
	for (size_t i = 1; i < config->server_count; i++) {
		const struct config_quic_lb_server *server = &config->servers[i];

		if (!server->id_len || server->id_len != first->id_len ||
		    memcmp(server->id, first->id, sizeof(server->id)) != 0) {
			first = server;
			continue;
		}
		snprintf(message, sizeof(message), "must be given once (first on line %d)", first->line);
		server_error(walk, server, message);
	}
}

void config_quic_lb_check(struct config_walk *walk, void *base, const struct config_lines *lines)
{
	struct config_quic_lb *config = base;
	int servers_line = config_walk_line(lines, "servers");

	config->line = config_walk_line(lines, "config_rotation");
	check_rotation(walk, config);
	check_sum(walk, config, lines);
	if (servers_line && config->server_count == 0)
		config_walk_error(walk, servers_line, "servers", "{}", "must have at least 1 server");
	if (config_walk_line(lines, "server_id_length"))
		check_id_lengths(walk, config);
	if (config->server_count > 0)
		check_ids_differ(walk, config);
}

static bool servers_equal(const struct config_quic_lb *a, const struct config_quic_lb *b)
{
	if (a->server_count != b->server_count)
		return false;
	for (size_t i = 0; i < a->server_count; i++) {
		const struct config_quic_lb_server *x = &a->servers[i], *y = &b->servers[i];

		if (memcmp(x->id, y->id, sizeof(x->id)) != 0 || x->address.port != y->address.port ||
		    !addr_equal(&x->address.addr, &y->address.addr))
			return false;
	}
	return true;
}

bool config_quic_lb_equal(const struct config *a, const struct config *b)
{
	if (a->quic_lb_count != b->quic_lb_count)
		return false;
	for (unsigned i = 0; i < a->quic_lb_count; i++) {
		const struct config_quic_lb *x = &a->quic_lb[i], *y = &b->quic_lb[i];

		if (x->config_rotation != y->config_rotation || x->client_ip != y->client_ip ||
		    x->server_id_length != y->server_id_length || x->nonce_length != y->nonce_length ||
		    x->encrypted != y->encrypted ||
		    memcmp(x->key, y->key, sizeof(x->key)) != 0 || !servers_equal(x, y))
			return false;
	}
	return true;
}
