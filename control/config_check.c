/* SPDX-License-Identifier: MIT */
/* config_check: see config_check.h. */
#include "control/config_check.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "bpf/table.h"
#include "control/config_value.h"
#include "control/siphash_text.h"

enum {
	ROUTES_FIRST = 64,
	ADDRESS_TEXT_BYTES = INET6_ADDRSTRLEN + sizeof("[]:65535"),
};

/* --- items of lists ---------------------------------------------------------------------------- */

void *config_check_add_listener(struct config_draft *draft)
{
	return &draft->config.listeners[draft->config.listener_count++];
}

void *config_check_add_interface(struct config_draft *draft)
{
	return draft->config.xdp.interfaces[draft->config.xdp.interface_count++];
}

void *config_check_add_relay_address(struct config_draft *draft)
{
	return &draft->config.relay.addresses[draft->config.relay.address_count++];
}

void *config_check_add_route(struct config_draft *draft)
{
	struct config *config = &draft->config;

	if (config->route_count == draft->routes_allocated) {
		size_t allocated = draft->routes_allocated ? draft->routes_allocated * 2 : ROUTES_FIRST;
		struct config_route *routes = reallocarray(config->routes, allocated, sizeof(*routes));

		if (!routes)
			return NULL;
		config->routes = routes;
		draft->routes_allocated = allocated;
	}
	return memset(&config->routes[config->route_count++], 0, sizeof(*config->routes));
}

void *config_check_add_target(struct config_draft *draft)
{
	struct config_route *route = &draft->config.routes[draft->config.route_count - 1];
	struct config_target *targets =
		reallocarray(route->targets, route->target_count + 1, sizeof(*route->targets));

	if (!targets)
		return NULL;
	route->targets = targets;
	return memset(&route->targets[route->target_count++], 0, sizeof(*route->targets));
}

const char *config_check_interface(const struct config_draft *draft)
{
	const struct config_xdp *xdp = &draft->config.xdp;

	for (unsigned i = 0; i + 1 < xdp->interface_count; i++) {
		if (!strcmp(xdp->interfaces[i], xdp->interfaces[xdp->interface_count - 1]))
			return "must be given once";
	}
	return NULL;
}

const char *config_check_relay_address(const struct config_draft *draft)
{
	const struct config_relay *relay = &draft->config.relay;

	for (unsigned i = 0; i + 1 < relay->address_count; i++) {
		if (addr_equal(&relay->addresses[i], &relay->addresses[relay->address_count - 1]))
			return "must be given once";
	}
	return NULL;
}

/* --- at the end of a mapping ------------------------------------------------------------------- */

static int line_or_begin(const struct config_lines *lines, const char *key)
{
	int line = config_walk_line(lines, key);

	return line ? line : lines->begin;
}

void config_check_udp(struct config_walk *walk, void *base, const struct config_lines *lines)
{
	(void)base;
	walk->draft->udp_line = line_or_begin(lines, "port");
}

void config_check_limits(struct config_walk *walk, void *base, const struct config_lines *lines)
{
	const struct config_limits *limits = &walk->draft->config.limits;
	const char *key = config_walk_line(lines, "idle_timeout_unconfirmed") ? "idle_timeout_unconfirmed" :
										 "idle_timeout";
	char value[16], message[96];

	(void)base;
	if (limits->idle_timeout_unconfirmed_s <= limits->idle_timeout_s)
		return;
	snprintf(value, sizeof(value), "%u", limits->idle_timeout_unconfirmed_s);
	snprintf(message, sizeof(message), "must not be above limits.idle_timeout (%u)", limits->idle_timeout_s);
	config_walk_error(walk, line_or_begin(lines, key), "idle_timeout_unconfirmed", value, message);
}

void config_check_api_tls(struct config_walk *walk, void *base, const struct config_lines *lines)
{
	const struct config_api_tls *tls = &walk->draft->config.api.tls;

	char quoted[CONFIG_QUOTED_BYTES];

	(void)base;
	if (!tls->cert[0] != !tls->key[0])
		config_walk_error(walk, line_or_begin(lines, tls->cert[0] ? "cert" : "key"), NULL, NULL,
				  "must have both cert and key, or neither");
	else if (tls->client_ca[0] && !tls->cert[0])
		config_walk_error(walk, line_or_begin(lines, "client_ca"), "client_ca",
				  config_errors_quote(quoted, tls->client_ca, strlen(tls->client_ca), false),
				  "must be given with cert and key");
}

void config_check_redis(struct config_walk *walk, void *base, const struct config_lines *lines)
{
	const struct config_redis *redis = &walk->draft->config.redis;

	(void)base;
	if (redis->sessions && !redis->enabled)
		config_walk_error(walk, line_or_begin(lines, "sessions"), "sessions", "true",
				  "must be false without redis.enabled");
}

void config_check_agones(struct config_walk *walk, void *base, const struct config_lines *lines)
{
	const struct config_agones *agones = &walk->draft->config.agones;

	(void)base;
	if (agones->enabled && !agones->allocator_host[0])
		config_walk_error(walk, line_or_begin(lines, "allocator_host"), "allocator_host", "\"\"",
				  "must be HOST or HOST:PORT with agones.enabled");
	if (agones->allocator_client_cert[0] && !agones->allocator_client_key[0])
		config_walk_error(walk, line_or_begin(lines, "allocator_client_key"), "allocator_client_key", "\"\"",
				  "must be given with agones.allocator_client_cert");
	if (agones->allocator_client_key[0] && !agones->allocator_client_cert[0])
		config_walk_error(walk, line_or_begin(lines, "allocator_client_cert"), "allocator_client_cert", "\"\"",
				  "must be given with agones.allocator_client_key");
}

void config_check_listener(struct config_walk *walk, void *base, const struct config_lines *lines)
{
	const struct config_listener *listener = base;

	walk->draft->listener_lines[listener - walk->draft->config.listeners] = line_or_begin(lines, "address");
	if (listener->mode != LISTENER_QUIC)
		config_walk_error(walk, line_or_begin(lines, "mode"), "mode",
				  listener->mode == LISTENER_UDP ? "udp" : "rendezvous",
				  "not supported yet: must be quic");
}

static void draft_fill(struct route_draft *draft, const struct config_route *route)
{
	*draft = (struct route_draft){
		.type = route->type, .migration = route->migration, .client_ip = route->client_ip };
	if (route->has_health)
		draft->health = route->health;
	if (route->target) {
		draft->targets[draft->count].text = route->target;
		draft->targets[draft->count++].weight = 1;
		return;
	}
	for (; draft->count < route->target_count; draft->count++) {
		draft->targets[draft->count].text = route->targets[draft->count].address;
		draft->targets[draft->count].weight = route->targets[draft->count].weight;
	}
}

static void target_error(struct config_walk *walk, const struct config_route *route, const struct config_lines *lines,
			 unsigned at, const char *must)
{
	const char *text = route->target ? route->target : at < route->target_count ? route->targets[at].address : NULL;
	char quoted[CONFIG_QUOTED_BYTES], key[48] = "target";

	if (!route->target)
		snprintf(key, sizeof(key), text ? "targets[%u].address" : "targets", at);
	config_walk_error(walk, line_or_begin(lines, route->target ? "target" : "targets"), key,
			  text ? config_errors_quote(quoted, text, strlen(text), false) : NULL, must);
}

/* False: there is something among its targets that has been complained of already. */
static bool targets_are_whole(const struct config_route *route)
{
	for (unsigned i = 0; i < route->target_count; i++)
		if (!route->targets[i].address || route->targets[i].weight == 0)
			return false;
	return true;
}

/* It is there, be it empty: without it nothing is asked. */
void config_check_health(struct config_walk *walk, void *base, const struct config_lines *lines)
{
	struct config_route *route = base;

	(void)walk;
	(void)lines;
	route->has_health = true;
}

void config_check_route(struct config_walk *walk, void *base, const struct config_lines *lines)
{
	unsigned errors = walk->errors->count, at;
	struct config_route *route = base;
	struct route_draft draft;
	const char *must;

	route->line = line_or_begin(lines, "fqdn");
	if (route->target && route->target_count)
		config_walk_error(walk, line_or_begin(lines, "targets"), "targets", NULL,
				  "must not be given beside target");
	if (!route->target && !route->target_count && !config_walk_is_wrong(lines, "target") &&
	    !config_walk_is_wrong(lines, "targets"))
		config_walk_error(walk, lines->begin, "target", NULL, "missing: must be given (or targets)");
	if (walk->errors->count > errors || !config_walk_line(lines, "type") ||
	    (!route->target && !route->target_count) || !targets_are_whole(route))
		return;
	draft_fill(&draft, route);
	must = route_spec_new(&draft, &route->spec, &at);
	if (must && at == ROUTE_SPEC_AT_HEALTH)
		config_walk_error(walk, line_or_begin(lines, "health"), "health", NULL, must);
	else if (must && at == ROUTE_SPEC_AT_CLIENT_IP)
		config_walk_error(walk, line_or_begin(lines, "client_ip"), "client_ip",
				  client_ip_name(route->client_ip), must);
	else if (must)
		target_error(walk, route, lines, at, must);
}

/* --- once the whole file is read --------------------------------------------------------------- */

static bool listeners_overlap(const struct config_listener *a, const struct config_listener *b)
{
	return a->address.port == b->address.port && a->address.port != 0 &&
	       (a->any_address || b->any_address || addr_equal(&a->address.addr, &b->address.addr));
}

static const char *address_text(const struct config_listener *listener, char out[static ADDRESS_TEXT_BYTES])
{
	const struct addr *addr = &listener->address.addr;
	char ip[INET6_ADDRSTRLEN] = "*";
	bool v6 = !listener->any_address && !addr_is_v4(addr);

	if (v6)
		inet_ntop(AF_INET6, addr->bytes, ip, sizeof(ip));
	else if (!listener->any_address)
		inet_ntop(AF_INET, &addr->words_be[3], ip, sizeof(ip));
	snprintf(out, ADDRESS_TEXT_BYTES, v6 ? "[%s]:%u" : "%s:%u", ip, listener->address.port);
	return out;
}

/* The error is b's. */
static void check_listener_pair(const struct config_draft *draft, struct config_errors *errors, unsigned a, unsigned b)
{
	const struct config_listener *listeners = draft->config.listeners;
	char path[64], text[ADDRESS_TEXT_BYTES];

	if (listeners[a].name[0] && !strcmp(listeners[a].name, listeners[b].name)) {
		snprintf(path, sizeof(path), "listeners[%u].name", b);
		config_errors_add(errors, draft->listener_lines[b], path, listeners[b].name,
				  "must be given once (also on line %d)", draft->listener_lines[a]);
	}
	if (listeners_overlap(&listeners[a], &listeners[b])) {
		snprintf(path, sizeof(path), "listeners[%u].address", b);
		config_errors_add(errors, draft->listener_lines[b], path, address_text(&listeners[b], text),
				  "must not overlap with another listener (%s on line %d)", listeners[a].name,
				  draft->listener_lines[a]);
	}
}

static void check_listeners(struct config_draft *draft, struct config_errors *errors)
{
	struct config *config = &draft->config;
	unsigned given = config->listener_count, udp = given;

	if (given == 0 || draft->udp_line) {
		if (given == CONFIG_LISTENERS_MAX) {
			config_errors_add(errors, draft->udp_line, "udp", NULL,
					  "too many: must be at most %d listeners with this one",
					  CONFIG_LISTENERS_MAX);
			return;
		}
		config->listeners[udp] = (struct config_listener){
			.name = "udp", .mode = LISTENER_QUIC, .any_address = true, .address.port = draft->udp_port };
		draft->listener_lines[udp] = draft->udp_line;
		config->listener_count++;
	}
	for (unsigned b = 0; b < given; b++) {
		for (unsigned a = 0; a < b; a++)
			check_listener_pair(draft, errors, a, b);
		if (config->listener_count > given)
			check_listener_pair(draft, errors, udp, b);
	}
}

/* Keyed: a file whose names are made to collide would take minutes otherwise. */
static uint64_t hash_name(const struct siphash_key *key, const char *name)
{
	struct siphash s = siphash_init(key);

	siphash_text(&s, name);
	return siphash_final(&s);
}

/* Open addressing in twice as many slots. */
static void check_routes(const struct config_draft *draft, struct config_errors *errors)
{
	const struct config *config = &draft->config;
	struct siphash_key key = { 0 };
	char path[64], quoted[CONFIG_QUOTED_BYTES];
	size_t slots = 2;
	uint32_t *table; /* number of the route + 1 */

	while (slots < config->route_count * 2)
		slots *= 2;
	table = calloc(slots, sizeof(*table));
	if (!table) {
		config_errors_add(errors, 0, NULL, NULL, "out of memory");
		return;
	}
	if (getrandom(&key, sizeof(key), GRND_NONBLOCK) < 0)
		key.k0 = (uintptr_t)table; /* early in boot: hard to guess, at least */
	for (size_t i = 0; i < config->route_count; i++) {
		const struct config_route *route = &config->routes[i];
		size_t slot;

		if (!route->fqdn)
			continue;
		slot = hash_name(&key, route->fqdn) & (slots - 1);
		while (table[slot] && strcmp(config->routes[table[slot] - 1].fqdn, route->fqdn) != 0)
			slot = (slot + 1) & (slots - 1);
		if (!table[slot]) {
			table[slot] = (uint32_t)i + 1;
			continue;
		}
		snprintf(path, sizeof(path), "routes[%zu].fqdn", i);
		config_errors_add(errors, route->line, path,
				  config_errors_quote(quoted, route->fqdn, strlen(route->fqdn), false),
				  "must be given once (first on line %d)", config->routes[table[slot] - 1].line);
	}
	free(table);
}

void config_check_all(struct config_draft *draft, struct config_errors *errors)
{
	check_listeners(draft, errors);
	check_routes(draft, errors);
}
