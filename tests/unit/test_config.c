/* SPDX-License-Identifier: MIT */
/*
 * test_config: config.yaml from text to struct config: every key, and its default.
 * Bounds, sizes and files: test_config_sizes. What is refused, and how:
 * test_config_errors. Run it from the top of the tree: it reads config.yaml.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "control/config.h"
#include "control/config_keys.h"
#include "tests/unit/config_text.h"

static char *read_file(const char *path, size_t *len)
{
	FILE *file = fopen(path, "r");
	char *text = calloc(1, 65536);

	if (!file)
		fail_msg("%s: run this from the top of the tree", path);
	*len = fread(text, 1, 65535, file);
	fclose(file);
	return text;
}

/* --- what is taken ------------------------------------------------------------------------------ */

static void assert_defaults(const struct config *c)
{
	assert_int_equal(c->listener_count, 1);
	assert_string_equal(c->listeners[0].name, "udp");
	assert_int_equal(c->listeners[0].mode, LISTENER_QUIC);
	assert_true(c->listeners[0].any_address);
	assert_int_equal(c->listeners[0].address.port, 443);
	assert_false(c->log_requests);
	assert_int_equal(c->fast_path, FAST_PATH_KERNEL);
	assert_int_equal(c->xdp.interface_count, 0);
	assert_int_equal(c->xdp.mode, XDP_MODE_AUTO);
	assert_int_equal(c->xdp.busy_poll, BUSY_POLL_ADAPTIVE);
	assert_int_equal(c->xdp.workers, 0);
	assert_int_equal(c->xdp.zero_copy, ZERO_COPY_AUTO);
	assert_int_equal(c->xdp.dispatcher, DISPATCHER_AUTO);
	assert_int_equal(c->relay.address_count, 0);
	assert_int_equal(c->relay.port_ranges[0][1] | c->relay.port_ranges[1][1], 0);
	assert_int_equal(c->relay.restart_grace_s, 60);
	assert_int_equal(c->relay.pinned_silence_s, 3);
	assert_string_equal(c->relay.run_dir, "/run/sluice");
	assert_int_equal(c->limits.sessions, 65536);
	assert_int_equal(c->limits.aliases_per_session, 8);
	assert_int_equal(c->limits.pending_handshakes, 4096);
	assert_int_equal(c->limits.pending_bytes_per_handshake, 16384);
	assert_int_equal(c->limits.pending_seconds, 5);
	assert_int_equal(c->limits.new_sessions_per_s_per_source, 200);
	assert_int_equal(c->limits.idle_timeout_s, 180);
	assert_int_equal(c->limits.idle_timeout_unconfirmed_s, 10);
	assert_int_equal(c->api.port, 8080);
	assert_string_equal(c->api.address, "");
	assert_string_equal(c->api.token_file, "");
	assert_string_equal(c->api.tls.cert, "");
	assert_string_equal(c->api.tls.key, "");
	assert_string_equal(c->api.tls.client_ca, "");
	assert_false(c->api.log_requests);
	assert_false(c->redis.enabled);
	assert_string_equal(c->redis.address, "localhost:6379");
	assert_string_equal(c->redis.password, "");
	assert_int_equal(c->redis.db, 0);
	assert_string_equal(c->redis.channel, "porter_routes");
	assert_false(c->redis.sessions);
	assert_string_equal(c->redis.username, "");
	assert_false(c->redis.tls);
	assert_string_equal(c->redis.ca_cert, "");
	assert_false(c->agones.enabled);
	assert_string_equal(c->agones.namespace, "default");
	assert_string_equal(c->agones.allocator_host, "");
	assert_string_equal(c->agones.allocator_client_cert, "");
	assert_string_equal(c->agones.allocator_client_key, "");
	assert_string_equal(c->agones.allocator_ca_cert, "");
	assert_int_equal(c->quic_lb_count, 0);
	assert_false(c->agones.insecure_skip_verify);
	assert_int_equal(c->agones.timeout_ms, 4000);
	assert_string_equal(c->agones.port_name, "");
	assert_int_equal(c->agones.max_allocations_per_s, 100);
	assert_int_equal(c->agones.max_allocations_per_s_per_client, 5);
	assert_int_equal(c->log.level, CONFIG_LOG_INFO);
	assert_int_equal(c->log.format, CONFIG_LOG_TEXT);
	assert_int_equal(c->route_count, 0);
}

static void test_defaults(void **state)
{
	static const char *const texts[] = {
		"", "# nothing\n", "---\n", "--- {}\n", "~\n", "{}", "\xef\xbb\xbf# byte order mark\n",
		"udp:\nlisteners:\nfast_path:\nxdp:\nrelay:\nlimits:\napi:\nredis:\nagones:\nquic_lb:\n"
		"firehose:\nlog:\nroutes:\n",
		"redis: {address: '', channel: '', password: ~}\nagones: {namespace: ''}\n"
		"relay: {run_dir: '', ports: ''}\n",
		"listeners: []\nroutes: []\nquic_lb: []\nfirehose: {}\n",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct config config = parse_good(texts[i]);

		assert_defaults(&config);
		config_free(&config);
	}
}

static void assert_named(const struct config_mapping *mapping, const char *text, const char *what)
{
	for (unsigned i = 0; i < mapping->key_count; i++) {
		const struct config_key *key = &mapping->keys[i];
		char wanted[64];

		snprintf(wanted, sizeof(wanted), "%s:", key->name);
		if (!strstr(text, wanted))
			fail_msg("%s does not show %s", what, key->name);
		if (key->mapping)
			assert_named(key->mapping, text, what);
		if (key->list && key->list->item.mapping)
			assert_named(key->list->item.mapping, text, what);
	}
}

/* The file shipped says what the defaults are; it must not lie, and name every key there is. */
static void test_shipped_file(void **state)
{
	struct config config;
	char *text;
	size_t len;

	(void)state;
	assert_int_equal(config_load("config.yaml", &config, stderr), 0);
	assert_defaults(&config);
	config_free(&config);
	text = read_file("config.yaml", &len);
	assert_named(&config_keys, text, "config.yaml");
	free(text);
}

/* Without the signs of comments before the examples, those must be right too. */
static void test_shipped_examples(void **state)
{
	struct config config;
	size_t len;
	char *text = read_file("config.yaml", &len), *at;

	(void)state;
	for (at = text; (at = strstr(at, "#  - {")); at++)
		at[0] = ' ';
	while ((at = strstr(text, "listeners: []")) || (at = strstr(text, "routes: []")) ||
	       (at = strstr(text, "quic_lb: []")))
		memcpy(strchr(at, '['), "  ", 2);
	config = parse_good(text);
	assert_int_equal(config.listener_count, 2);
	assert_int_equal(config.route_count, 3);
	assert_int_equal(config.quic_lb_count, 1);
	config_free(&config);
	free(text);
}

static void test_porter_file(void **state)
{
	struct config c = parse_good("udp:\n"
				     "  port: 5520\n"
				     "  log_requests: true\n"
				     "\n"
				     "api:\n"
				     "  port: 9090\n"
				     "  log_requests: true\n"
				     "\n"
				     "redis:\n"
				     "  enabled: true\n"
				     "  address: \"redis.internal:6380\"\n"
				     "  password: \"hunter 2\"\n"
				     "  db: 3\n"
				     "  channel: \"porter_routes_eu\"\n"
				     "\n"
				     "agones:\n"
				     "  enabled: true\n"
				     "  namespace: \"games\"\n"
				     "  allocator_host: \"agones-allocator.agones-system.svc.cluster.local\"\n"
				     "  allocator_client_cert: \"/etc/porter/tls/client.crt\"\n"
				     "  allocator_client_key: \"/etc/porter/tls/client.key\"\n"
				     "  allocator_ca_cert: \"/etc/porter/tls/ca.crt\"\n"
				     "\n"
				     "routes:\n"
				     "  - fqdn: \"lobby.example.com\"\n"
				     "    type: \"simple\"\n"
				     "    target: \"127.0.0.1:5521\"\n"
				     "  - fqdn: \"play.example.com\"\n"
				     "    type: \"agones\"\n"
				     "    target: \"hytale-fleet\"\n");

	(void)state;
	assert_int_equal(c.listener_count, 1);
	assert_string_equal(c.listeners[0].name, "udp");
	assert_true(c.listeners[0].any_address);
	assert_int_equal(c.listeners[0].address.port, 5520);
	assert_true(c.log_requests);
	assert_int_equal(c.api.port, 9090);
	assert_true(c.api.log_requests);
	assert_true(c.redis.enabled);
	assert_string_equal(c.redis.address, "redis.internal:6380");
	assert_string_equal(c.redis.password, "hunter 2");
	assert_int_equal(c.redis.db, 3);
	assert_string_equal(c.redis.channel, "porter_routes_eu");
	assert_true(c.agones.enabled);
	assert_string_equal(c.agones.namespace, "games");
	assert_string_equal(c.agones.allocator_host, "agones-allocator.agones-system.svc.cluster.local");
	assert_string_equal(c.agones.allocator_client_cert, "/etc/porter/tls/client.crt");
	assert_string_equal(c.agones.allocator_client_key, "/etc/porter/tls/client.key");
	assert_string_equal(c.agones.allocator_ca_cert, "/etc/porter/tls/ca.crt");
	assert_int_equal(c.route_count, 2);
	assert_string_equal(c.routes[0].fqdn, "lobby.example.com");
	assert_int_equal(c.routes[0].type, ROUTE_SIMPLE);
	assert_string_equal(c.routes[0].target, "127.0.0.1:5521");
	assert_ip(c.routes[0].spec->targets[0].address.addr, "127.0.0.1");
	assert_int_equal(c.routes[0].spec->targets[0].address.port, 5521);
	assert_int_equal(c.routes[0].line, 25);
	assert_string_equal(c.routes[1].fqdn, "play.example.com");
	assert_int_equal(c.routes[1].type, ROUTE_AGONES);
	assert_string_equal(c.routes[1].target, "hytale-fleet");
	config_free(&c);
}

static const char every_key[] =
	"udp: {port: 4433, log_requests: yes}\n"
	"listeners:\n"
	"  - {name: game-1_A, mode: quic, address: '203.0.113.5:443'}\n"
	"  - {address: '[2001:db8::5]:443', name: game6}\n"
	"  - {name: any, address: '*:444'}\n"
	"  - {name: any2, address: ':445'}\n"
	"fast_path: userspace\n"
	"xdp: {interfaces: [eth0, \"wan.100\"], mode: generic, busy_poll: never, workers: 64, zero_copy: always,\n"
	"  dispatcher: never}\n"
	"relay: {addresses: [10.0.0.1, '2001:db8::1'], ports: '1024-32767,61000-65535', restart_grace: 5,\n"
	"  pinned_silence: 60, run_dir: /tmp/s}\n"
	"limits: {sessions: 64, aliases_per_session: 0, pending_handshakes: 16, pending_bytes_per_handshake: 2400,\n"
	"  pending_seconds: 60, new_sessions_per_s_per_source: 1000000, idle_timeout: 86400,\n"
	"  idle_timeout_unconfirmed: 3600}\n"
	"api: {port: 1, address: '::1', token_file: /etc/sluice/token, log_requests: On, "
	"tls: {cert: /etc/sluice/api.pem, key: /etc/sluice/api.key, client_ca: /etc/sluice/ca.pem}}\n"
	"redis: {enabled: TRUE, address: '[::1]:6379', username: u, password: 0123, db: 15, channel: c, sessions: on,\n"
	"  tls: true, ca_cert: ca.pem, client_cert: c.pem, client_key: k.pem}\n"
	"agones: {enabled: true, namespace: n, allocator_host: h, allocator_client_cert: c, allocator_client_key: k,\n"
	"  allocator_ca_cert: a, insecure_skip_verify: true, timeout_ms: 60000, port_name: game,\n"
	"  max_allocations_per_s: 10000, max_allocations_per_s_per_client: 1}\n"
	"quic_lb:\n"
	"  - {config_rotation: 6, server_id_length: 3, nonce_length: 4, key: 8f95f09245765f80256934E50C66207F,\n"
	"     servers: {ed793a: '10.0.0.5:7777', 'C4605E': '[2001:db8::6]:7778', 0e1234: '10.0.0.5:7777'}}\n"
	"  - servers: {\"01\": '10.0.0.6:1'}\n"
	"    key: ''\n"
	"    client_ip: preserve\n"
	"    nonce_length: 18\n"
	"    server_id_length: 1\n"
	"    config_rotation: 0\n"
	"firehose: {}\n"
	"log: {level: debug, format: json}\n"
	"routes:\n"
	"  - {fqdn: GAME1.Example.COM., type: simple, target: '10.0.0.5:7777', migration: pinned}\n"
	"  - fqdn: '*._under_score.example.com'\n"
	"    type: agones\n"
	"    target: my-fleet\n"
	"  - {target: '[2001:DB8::5]:1', type: simple, migration: path, client_ip: preserve, fqdn: '*'}\n"
	"  - {fqdn: several.example.com, type: simple, health: {interval: 7, timeout: 2, rise: 1, fall: 4},\n"
	"     targets: [{address: 'a.internal:5', weight: 65535}, {address: '10.0.0.6:6'}]}\n";

static void assert_server(const struct config_quic_lb_server *server, const char *id, const char *address, int line)
{
	char text[2 * CONFIG_QUIC_LB_ID_MAX + 1] = "";

	for (unsigned i = 0; i < server->id_len; i++)
		sprintf(text + 2 * i, "%02x", server->id[i]);
	assert_string_equal(text, id);
	assert_ip(server->address.addr, address);
	assert_int_equal(server->line, line);
}

static void assert_every_quic_lb(const struct config *c)
{
	static const uint8_t key[16] = { 0x8f, 0x95, 0xf0, 0x92, 0x45, 0x76, 0x5f, 0x80,
					 0x25, 0x69, 0x34, 0xe5, 0x0c, 0x66, 0x20, 0x7f };
	const struct config_quic_lb *first = &c->quic_lb[0], *second = &c->quic_lb[1];

	assert_int_equal(c->quic_lb_count, 2);
	assert_int_equal(first->config_rotation, 6);
	assert_int_equal(first->server_id_length, 3);
	assert_int_equal(first->nonce_length, 4);
	assert_true(first->encrypted);
	assert_int_equal(first->client_ip, CLIENT_IP_RELAY);
	assert_memory_equal(first->key, key, sizeof(key));
	assert_int_equal(first->server_count, 3);
	assert_int_equal(first->line, 22);
	assert_server(&first->servers[0], "0e1234", "10.0.0.5", 23); /* by ID */
	assert_server(&first->servers[1], "c4605e", "2001:db8::6", 23);
	assert_int_equal(first->servers[1].address.port, 7778);
	assert_server(&first->servers[2], "ed793a", "10.0.0.5", 23);
	assert_int_equal(second->config_rotation, 0);
	assert_int_equal(second->server_id_length, 1);
	assert_int_equal(second->nonce_length, 18);
	assert_false(second->encrypted);
	assert_int_equal(second->client_ip, CLIENT_IP_PRESERVE);
	assert_int_equal(second->server_count, 1);
	assert_int_equal(second->line, 29);
	assert_server(&second->servers[0], "01", "10.0.0.6", 24);
}

static void test_every_key(void **state)
{
	struct config c = parse_good(every_key);

	(void)state;
	assert_int_equal(c.listener_count, 5);
	assert_string_equal(c.listeners[0].name, "game-1_A");
	assert_int_equal(c.listeners[0].mode, LISTENER_QUIC);
	assert_false(c.listeners[0].any_address);
	assert_ip(c.listeners[0].address.addr, "203.0.113.5");
	assert_int_equal(c.listeners[0].address.port, 443);
	assert_string_equal(c.listeners[1].name, "game6");
	assert_ip(c.listeners[1].address.addr, "2001:db8::5");
	assert_true(c.listeners[2].any_address);
	assert_int_equal(c.listeners[2].address.port, 444);
	assert_true(c.listeners[3].any_address);
	assert_int_equal(c.listeners[3].address.port, 445);
	assert_string_equal(c.listeners[4].name, "udp");
	assert_true(c.listeners[4].any_address);
	assert_int_equal(c.listeners[4].address.port, 4433);
	assert_true(c.log_requests);
	assert_int_equal(c.fast_path, FAST_PATH_USERSPACE);
	assert_int_equal(c.xdp.interface_count, 2);
	assert_string_equal(c.xdp.interfaces[0], "eth0");
	assert_string_equal(c.xdp.interfaces[1], "wan.100");
	assert_int_equal(c.xdp.mode, XDP_MODE_GENERIC);
	assert_int_equal(c.xdp.busy_poll, BUSY_POLL_NEVER);
	assert_int_equal(c.xdp.workers, 64);
	assert_int_equal(c.xdp.zero_copy, ZERO_COPY_ALWAYS);
	assert_int_equal(c.xdp.dispatcher, DISPATCHER_NEVER);
	assert_int_equal(c.relay.address_count, 2);
	assert_ip(c.relay.addresses[0], "10.0.0.1");
	assert_ip(c.relay.addresses[1], "2001:db8::1");
	assert_int_equal(c.relay.port_ranges[0][0], 1024);
	assert_int_equal(c.relay.port_ranges[0][1], 32767);
	assert_int_equal(c.relay.port_ranges[1][0], 61000);
	assert_int_equal(c.relay.port_ranges[1][1], 65535);
	assert_int_equal(c.relay.restart_grace_s, 5);
	assert_int_equal(c.relay.pinned_silence_s, 60);
	assert_string_equal(c.relay.run_dir, "/tmp/s");
	assert_int_equal(c.limits.sessions, 64);
	assert_int_equal(c.limits.aliases_per_session, 0);
	assert_int_equal(c.limits.pending_handshakes, 16);
	assert_int_equal(c.limits.pending_bytes_per_handshake, 2400);
	assert_int_equal(c.limits.pending_seconds, 60);
	assert_int_equal(c.limits.new_sessions_per_s_per_source, 1000000);
	assert_int_equal(c.limits.idle_timeout_s, 86400);
	assert_int_equal(c.limits.idle_timeout_unconfirmed_s, 3600);
	assert_int_equal(c.api.port, 1);
	assert_string_equal(c.api.address, "::1");
	assert_string_equal(c.api.token_file, "/etc/sluice/token");
	assert_string_equal(c.api.tls.cert, "/etc/sluice/api.pem");
	assert_string_equal(c.api.tls.key, "/etc/sluice/api.key");
	assert_string_equal(c.api.tls.client_ca, "/etc/sluice/ca.pem");
	assert_true(c.api.log_requests);
	assert_true(c.redis.enabled);
	assert_string_equal(c.redis.address, "[::1]:6379");
	assert_string_equal(c.redis.password, "0123");
	assert_int_equal(c.redis.db, 15);
	assert_string_equal(c.redis.channel, "c");
	assert_true(c.redis.sessions);
	assert_string_equal(c.redis.username, "u");
	assert_true(c.redis.tls);
	assert_string_equal(c.redis.ca_cert, "ca.pem");
	assert_string_equal(c.redis.client_cert, "c.pem");
	assert_string_equal(c.redis.client_key, "k.pem");
	assert_true(c.agones.enabled);
	assert_string_equal(c.agones.namespace, "n");
	assert_string_equal(c.agones.allocator_host, "h");
	assert_string_equal(c.agones.allocator_client_cert, "c");
	assert_string_equal(c.agones.allocator_client_key, "k");
	assert_string_equal(c.agones.allocator_ca_cert, "a");
	assert_every_quic_lb(&c);
	assert_true(c.agones.insecure_skip_verify);
	assert_int_equal(c.agones.timeout_ms, 60000);
	assert_string_equal(c.agones.port_name, "game");
	assert_int_equal(c.agones.max_allocations_per_s, 10000);
	assert_int_equal(c.agones.max_allocations_per_s_per_client, 1);
	assert_int_equal(c.log.level, CONFIG_LOG_DEBUG);
	assert_int_equal(c.log.format, CONFIG_LOG_JSON);
	assert_int_equal(c.route_count, 4);
	assert_string_equal(c.routes[0].fqdn, "game1.example.com");
	assert_int_equal(c.routes[0].migration, MIGRATION_PINNED);
	assert_int_equal(c.routes[0].spec->client_ip, CLIENT_IP_RELAY);
	assert_ip(c.routes[0].spec->targets[0].address.addr, "10.0.0.5");
	assert_int_equal(c.routes[0].spec->targets[0].address.port, 7777);
	assert_string_equal(c.routes[1].fqdn, "*._under_score.example.com");
	assert_int_equal(c.routes[1].type, ROUTE_AGONES);
	assert_int_equal(c.routes[1].migration, MIGRATION_PATH);
	assert_int_equal(c.routes[1].line, 34);
	assert_string_equal(c.routes[2].fqdn, "*");
	assert_string_equal(c.routes[2].target, "[2001:DB8::5]:1");
	assert_ip(c.routes[2].spec->targets[0].address.addr, "2001:db8::5");
	assert_int_equal(c.routes[2].spec->targets[0].address.port, 1);
	assert_int_equal(c.routes[2].spec->health.interval_s, 0);
	assert_int_equal(c.routes[2].spec->client_ip, CLIENT_IP_PRESERVE);
	assert_int_equal(c.routes[3].spec->count, 2);
	assert_int_equal(c.routes[3].spec->health.interval_s, 7);
	assert_int_equal(c.routes[3].spec->health.timeout_s, 2);
	assert_int_equal(c.routes[3].spec->health.rise, 1);
	assert_int_equal(c.routes[3].spec->health.fall, 4);
	assert_int_equal(c.routes[3].spec->targets[0].name_len, strlen("a.internal"));
	assert_int_equal(c.routes[3].spec->targets[0].weight, 65535);
	assert_int_equal(c.routes[3].spec->targets[1].weight, 1);
	assert_ip(c.routes[3].spec->targets[1].address.addr, "10.0.0.6");
	config_free(&c);
}

static void test_every_key_is_every_key(void **state)
{
	(void)state;
	assert_named(&config_keys, every_key, "every_key");
}

static void test_allocator_hosts(void **state)
{
	static const char *const hosts[] = {
		"agones-allocator", "a.agones-system.svc.cluster.local:443", "10.0.0.1", "10.0.0.1:8443", "[2001:db8::1]",
		"[2001:db8::1]:65535",
	};
	char text[128];

	(void)state;
	for (size_t i = 0; i < COUNT(hosts); i++) {
		struct config c;

		snprintf(text, sizeof(text), "agones: {allocator_host: '%s', enabled: true}", hosts[i]);
		c = parse_good(text);
		assert_string_equal(c.agones.allocator_host, hosts[i]);
		config_free(&c);
	}
}

/* --- listeners ---------------------------------------------------------------------------------- */

static void test_udp_beside_listeners(void **state)
{
	static const struct {
		const char *name, *text;
		unsigned count;
		const char *last;
	} rows[] = {
		{ "no listeners: udp alone", "log: {level: info}", 1, "udp" },
		{ "listeners alone: no udp", "listeners: [{name: a, address: '*:443'}]", 1, "a" },
		{ "udp left empty is not given", "udp:\nlisteners: [{name: a, address: '*:443'}]", 1, "a" },
		{ "both", "udp: {port: 444}\nlisteners: [{name: a, address: '*:443'}]", 2, "udp" },
		{ "both, udp with its default port", "listeners: [{name: a, address: '*:444'}]\nudp: {}", 2, "udp" },
		{ "one address, two ports",
		  "listeners: [{name: a, address: '10.0.0.1:1'}, {name: b, address: '10.0.0.1:2'}]",
		  2, "b" },
		{ "one port, two addresses",
		  "listeners: [{name: a, address: '10.0.0.1:1'}, {name: b, address: '10.0.0.2:1'}]",
		  2, "b" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct config config = parse_good(rows[i].text);

		if (config.listener_count != rows[i].count ||
		    strcmp(config.listeners[rows[i].count - 1].name, rows[i].last) != 0)
			fail_msg("%s: %u listeners, the last %s", rows[i].name, config.listener_count,
				 config.listeners[config.listener_count - 1].name);
		config_free(&config);
	}
}

/* --- cut short ---------------------------------------------------------------------------------- */

static void parse_prefixes(const char *text, size_t len)
{
	for (size_t n = 0; n <= len; n++) {
		char *copy = malloc(n), *messages;
		struct config config;
		int result;

		memcpy(copy, text, n);
		result = parse_bytes(copy, n, &config, &messages);
		assert_true((result == 0) == (messages[0] == '\0'));
		config_free(&config);
		free(messages);
		free(copy);
	}
}

static void test_prefixes(void **state)
{
	size_t len;
	char *text = read_file("config.yaml", &len);

	(void)state;
	parse_prefixes(text, len);
	parse_prefixes(every_key, sizeof(every_key) - 1);
	free(text);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_shipped_file),
		cmocka_unit_test(test_shipped_examples),
		cmocka_unit_test(test_porter_file),
		cmocka_unit_test(test_every_key),
		cmocka_unit_test(test_every_key_is_every_key),
		cmocka_unit_test(test_allocator_hosts),
		cmocka_unit_test(test_udp_beside_listeners),
		cmocka_unit_test(test_prefixes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
