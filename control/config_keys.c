/* SPDX-License-Identifier: MIT */
/* config_keys: see config_keys.h. The defaults stand here and nowhere else; config.yaml shows them. */
#include "control/config_keys.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/config_check.h"
#include "control/config_quic_lb.h"
#include "control/config_value.h"

enum { STRING_MAX = 4095 }; /* PATH_MAX without its NUL: the longest that has a use */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MAPPING(keys_, done_) { .keys = keys_, .key_count = COUNT(keys_), .done = done_ }

/* A field of the draft, of its struct config, or of a list's item. */
#define FIELD(type, field) .offset = offsetof(type, field), .size = sizeof(((type *)0)->field)
#define DRAFT(field) FIELD(struct config_draft, field)
#define CONFIG(field) DRAFT(config.field)
#define LISTENER(field) FIELD(struct config_listener, field)
#define ROUTE(field) FIELD(struct config_route, field)
#define TARGET(field) FIELD(struct config_target, field)
#define QUIC_LB(field) FIELD(struct config_quic_lb, field)
#define QUIC_LB_SERVER(field) FIELD(struct config_quic_lb_server, field)
#define WHOLE(type) .offset = 0, .size = sizeof(type)

/* Rows. place: one of the above; behind the last argument REQUIRED or SECRET may follow. */
#define BOOL(name_, place, default_) { .name = name_, .type = CONFIG_KEY_BOOL, place, .number = default_ }
#define NUMBER(name_, place, min_, max_, default_, ...) \
	{ .name = name_, .type = CONFIG_KEY_NUMBER, place, .min = min_, .max = max_, .number = default_, __VA_ARGS__ }
#define CHOICE(name_, place, choices_, default_, ...) \
	{ .name = name_, .type = CONFIG_KEY_CHOICE, place, .choices = choices_, .number = default_, __VA_ARGS__ }
#define STRING(name_, place, default_, check_, ...) \
	{ .name = name_, .type = CONFIG_KEY_STRING, place, .max = STRING_MAX, .text = default_, .check = check_, \
	  __VA_ARGS__ }
#define PARSED(name_, place, default_, read_, ...) \
	{ .name = name_, .type = CONFIG_KEY_PARSED, place, .text = default_, .read = read_, __VA_ARGS__ }
#define NESTED(name_, mapping_) { .name = name_, .type = CONFIG_KEY_MAPPING, .mapping = &(mapping_) }
#define PAIRS(name_, pairs_, ...) { .name = name_, .type = CONFIG_KEY_PAIRS, .pairs = &(pairs_), __VA_ARGS__ }
#define LIST(name_, list_) { .name = name_, .type = CONFIG_KEY_LIST, .list = &(list_) }
#define REQUIRED .required = true
#define SECRET .secret = true

static const char *const listener_modes[] = {
	[LISTENER_QUIC] = "quic", [LISTENER_UDP] = "udp", [LISTENER_RENDEZVOUS] = "rendezvous", NULL };
static const char *const fast_paths[] = {
	[FAST_PATH_KERNEL] = "kernel", [FAST_PATH_USERSPACE] = "userspace", NULL };
static const char *const xdp_modes[] = {
	[XDP_MODE_AUTO] = "auto", [XDP_MODE_NATIVE] = "native", [XDP_MODE_GENERIC] = "generic", NULL };
static const char *const busy_polls[] = {
	[BUSY_POLL_ADAPTIVE] = "adaptive", [BUSY_POLL_ALWAYS] = "always", [BUSY_POLL_NEVER] = "never", NULL };
static const char *const zero_copies[] = {
	[ZERO_COPY_AUTO] = "auto", [ZERO_COPY_NEVER] = "never", [ZERO_COPY_ALWAYS] = "always", NULL };
static const char *const dispatchers[] = {
	[DISPATCHER_AUTO] = "auto", [DISPATCHER_NEVER] = "never", [DISPATCHER_ALWAYS] = "always", NULL };
static const char *const route_types[] = {
	[ROUTE_SIMPLE] = "simple", [ROUTE_AGONES] = "agones", NULL };
static const char *const migrations[] = {
	[MIGRATION_PATH] = "path", [MIGRATION_PINNED] = "pinned", NULL };
static const char *const client_ips[] = {
	[CLIENT_IP_RELAY] = "relay", [CLIENT_IP_PRESERVE] = "preserve", NULL };
static const char *const log_levels[] = {
	[CONFIG_LOG_ERROR] = "error", [CONFIG_LOG_WARN] = "warn", [CONFIG_LOG_INFO] = "info",
	[CONFIG_LOG_DEBUG] = "debug", NULL };
static const char *const log_formats[] = {
	[CONFIG_LOG_TEXT] = "text", [CONFIG_LOG_JSON] = "json", NULL };

static const struct config_key udp_keys[] = {
	NUMBER("port", DRAFT(udp_port), 1, 65535, 443),
	BOOL("log_requests", CONFIG(log_requests), false),
};
static const struct config_mapping udp_mapping = MAPPING(udp_keys, config_check_udp);

static const struct config_key listener_keys[] = {
	PARSED("name", LISTENER(name), NULL, config_value_listener_name, REQUIRED),
	CHOICE("mode", LISTENER(mode), listener_modes, LISTENER_QUIC),
	PARSED("address", WHOLE(struct config_listener), NULL, config_value_listener_address, REQUIRED),
};
static const struct config_mapping listener_mapping = MAPPING(listener_keys, config_check_listener);
static const struct config_list listener_list = {
	.item = { .type = CONFIG_KEY_MAPPING, .mapping = &listener_mapping, REQUIRED },
	.max = CONFIG_LISTENERS_MAX,
	.add = config_check_add_listener,
};

static const struct config_list interface_list = {
	.item = PARSED(NULL, WHOLE(char[IF_NAMESIZE]), NULL, config_value_interface, REQUIRED),
	.max = INTERFACES_MAX,
	.add = config_check_add_interface,
	.check = config_check_interface,
};
static const struct config_key xdp_keys[] = {
	LIST("interfaces", interface_list),
	CHOICE("mode", CONFIG(xdp.mode), xdp_modes, XDP_MODE_AUTO),
	CHOICE("busy_poll", CONFIG(xdp.busy_poll), busy_polls, BUSY_POLL_ADAPTIVE),
	NUMBER("workers", CONFIG(xdp.workers), 0, WORKERS_MAX, 0),
	CHOICE("zero_copy", CONFIG(xdp.zero_copy), zero_copies, ZERO_COPY_AUTO),
	CHOICE("dispatcher", CONFIG(xdp.dispatcher), dispatchers, DISPATCHER_AUTO),
};
static const struct config_mapping xdp_mapping = MAPPING(xdp_keys, NULL);

static const struct config_list relay_address_list = {
	.item = PARSED(NULL, WHOLE(struct addr), NULL, config_value_relay_address, REQUIRED),
	.max = RELAY_ADDRESSES_MAX,
	.add = config_check_add_relay_address,
	.check = config_check_relay_address,
};
static const struct config_key relay_keys[] = {
	LIST("addresses", relay_address_list),
	PARSED("ports", CONFIG(relay.port_ranges), "", config_value_port_ranges),
	/* Below a few heartbeats, a busy machine's relay would look dead. */
	NUMBER("restart_grace", CONFIG(relay.restart_grace_s), 5, 86400, 60),
	NUMBER("pinned_silence", CONFIG(relay.pinned_silence_s), 1, 60, 3),
	PARSED("run_dir", CONFIG(relay.run_dir), "/run/sluice", config_value_run_dir),
};
static const struct config_mapping relay_mapping = MAPPING(relay_keys, NULL);

static const struct config_key limits_keys[] = {
	NUMBER("sessions", CONFIG(limits.sessions), 64, 4194304, 65536),
	NUMBER("aliases_per_session", CONFIG(limits.aliases_per_session), 0, 8, 8),
	NUMBER("pending_handshakes", CONFIG(limits.pending_handshakes), 16, 1048576, 4096),
	NUMBER("pending_bytes_per_handshake", CONFIG(limits.pending_bytes_per_handshake), 2400, 65536, 16384),
	NUMBER("pending_seconds", CONFIG(limits.pending_seconds), 1, 60, 5),
	NUMBER("new_sessions_per_s_per_source", CONFIG(limits.new_sessions_per_s_per_source), 1, 1000000, 200),
	NUMBER("idle_timeout", CONFIG(limits.idle_timeout_s), 5, 86400, 180),
	NUMBER("idle_timeout_unconfirmed", CONFIG(limits.idle_timeout_unconfirmed_s), 1, 3600, 10),
};
static const struct config_mapping limits_mapping = MAPPING(limits_keys, config_check_limits);

static const struct config_key api_tls_keys[] = {
	STRING("cert", CONFIG(api.tls.cert), "", NULL),
	STRING("key", CONFIG(api.tls.key), "", NULL),
	STRING("client_ca", CONFIG(api.tls.client_ca), "", NULL),
};
static const struct config_mapping api_tls_mapping = MAPPING(api_tls_keys, config_check_api_tls);

static const struct config_key api_keys[] = {
	NUMBER("port", CONFIG(api.port), 1, 65535, 8080),
	STRING("address", CONFIG(api.address), "", config_value_ip_check),
	STRING("token_file", CONFIG(api.token_file), "", NULL),
	NESTED("tls", api_tls_mapping),
	BOOL("log_requests", CONFIG(api.log_requests), false),
};
static const struct config_mapping api_mapping = MAPPING(api_keys, NULL);

static const struct config_key redis_keys[] = {
	BOOL("enabled", CONFIG(redis.enabled), false),
	STRING("address", CONFIG(redis.address), "localhost:6379", config_value_host_port_check),
	STRING("username", CONFIG(redis.username), "", NULL),
	STRING("password", CONFIG(redis.password), "", NULL, SECRET),
	NUMBER("db", CONFIG(redis.db), 0, 65535, 0),
	STRING("channel", CONFIG(redis.channel), "porter_routes", NULL),
	BOOL("sessions", CONFIG(redis.sessions), false),
	BOOL("tls", CONFIG(redis.tls), false),
	STRING("ca_cert", CONFIG(redis.ca_cert), "", NULL),
	STRING("client_cert", CONFIG(redis.client_cert), "", NULL),
	STRING("client_key", CONFIG(redis.client_key), "", NULL),
};
static const struct config_mapping redis_mapping = MAPPING(redis_keys, config_check_redis);

static const struct config_key agones_keys[] = {
	BOOL("enabled", CONFIG(agones.enabled), false),
	STRING("namespace", CONFIG(agones.namespace), "default", NULL),
	STRING("allocator_host", CONFIG(agones.allocator_host), "", config_value_host_check),
	STRING("allocator_client_cert", CONFIG(agones.allocator_client_cert), "", NULL),
	STRING("allocator_client_key", CONFIG(agones.allocator_client_key), "", NULL),
	STRING("allocator_ca_cert", CONFIG(agones.allocator_ca_cert), "", NULL),
	BOOL("insecure_skip_verify", CONFIG(agones.insecure_skip_verify), false),
	/* Below limits.pending_seconds: for longer the client's first flight is not held. */
	NUMBER("timeout_ms", CONFIG(agones.timeout_ms), 100, 60000, 4000),
	STRING("port_name", CONFIG(agones.port_name), "", NULL),
	NUMBER("max_allocations_per_s", CONFIG(agones.max_allocations_per_s), 1, 10000, 100),
	NUMBER("max_allocations_per_s_per_client", CONFIG(agones.max_allocations_per_s_per_client), 1, 10000, 5),
};
static const struct config_mapping agones_mapping = MAPPING(agones_keys, config_check_agones);

static const struct config_pairs quic_lb_server_pairs = {
	.add = config_quic_lb_add_server,
	.read_name = config_quic_lb_server_id,
	.value = PARSED(NULL, QUIC_LB_SERVER(address), NULL, config_quic_lb_address, REQUIRED),
};
static const struct config_key quic_lb_keys[] = {
	NUMBER("config_rotation", QUIC_LB(config_rotation), 0, CONFIG_QUIC_LB_MAX - 1, 0, REQUIRED),
	NUMBER("server_id_length", QUIC_LB(server_id_length), 1, CONFIG_QUIC_LB_ID_MAX, 0, REQUIRED),
	NUMBER("nonce_length", QUIC_LB(nonce_length), 4, CONFIG_QUIC_LB_BODY_MAX - 1, 0, REQUIRED),
	PARSED("key", WHOLE(struct config_quic_lb), NULL, config_quic_lb_key, SECRET),
	CHOICE("client_ip", QUIC_LB(client_ip), client_ips, CLIENT_IP_RELAY),
	PAIRS("servers", quic_lb_server_pairs, REQUIRED),
};
static const struct config_mapping quic_lb_mapping = MAPPING(quic_lb_keys, config_quic_lb_check);
static const struct config_list quic_lb_list = {
	.item = { .type = CONFIG_KEY_MAPPING, .mapping = &quic_lb_mapping, REQUIRED },
	.max = CONFIG_QUIC_LB_MAX,
	.add = config_quic_lb_add,
};

static const struct config_key log_keys[] = {
	CHOICE("level", CONFIG(log.level), log_levels, CONFIG_LOG_INFO),
	CHOICE("format", CONFIG(log.format), log_formats, CONFIG_LOG_TEXT),
};
static const struct config_mapping log_mapping = MAPPING(log_keys, NULL);

static const struct config_key target_keys[] = {
	STRING("address", TARGET(address), NULL, NULL, REQUIRED), /* by the route's type: config_check_route */
	NUMBER("weight", TARGET(weight), 1, ROUTE_SPEC_WEIGHT_MAX, 1),
};
static const struct config_mapping target_mapping = MAPPING(target_keys, NULL);
static const struct config_list target_list = {
	.item = { .type = CONFIG_KEY_MAPPING, .mapping = &target_mapping, REQUIRED },
	.max = ROUTE_SPEC_TARGETS_MAX,
	.add = config_check_add_target,
};
static const struct config_key health_keys[] = {
	NUMBER("interval", ROUTE(health.interval_s), 1, ROUTE_HEALTH_INTERVAL_MAX_S, ROUTE_HEALTH_INTERVAL_S),
	NUMBER("timeout", ROUTE(health.timeout_s), 1, ROUTE_HEALTH_TIMEOUT_MAX_S, ROUTE_HEALTH_TIMEOUT_S),
	NUMBER("rise", ROUTE(health.rise), 1, ROUTE_HEALTH_STREAK_MAX, ROUTE_HEALTH_RISE),
	NUMBER("fall", ROUTE(health.fall), 1, ROUTE_HEALTH_STREAK_MAX, ROUTE_HEALTH_FALL),
};
static const struct config_mapping health_mapping = MAPPING(health_keys, config_check_health);
static const struct config_key route_keys[] = {
	PARSED("fqdn", ROUTE(fqdn), NULL, config_value_fqdn, REQUIRED),
	CHOICE("type", ROUTE(type), route_types, ROUTE_SIMPLE, REQUIRED),
	STRING("target", ROUTE(target), NULL, NULL), /* by type: config_check_route */
	LIST("targets", target_list),
	CHOICE("migration", ROUTE(migration), migrations, MIGRATION_PATH),
	CHOICE("client_ip", ROUTE(client_ip), client_ips, CLIENT_IP_RELAY),
	NESTED("health", health_mapping),
};
static const struct config_mapping route_mapping = MAPPING(route_keys, config_check_route);
static const struct config_list route_list = {
	.item = { .type = CONFIG_KEY_MAPPING, .mapping = &route_mapping, REQUIRED },
	.add = config_check_add_route,
};

static const struct config_key all_keys[] = {
	NESTED("udp", udp_mapping),
	LIST("listeners", listener_list),
	CHOICE("fast_path", CONFIG(fast_path), fast_paths, FAST_PATH_KERNEL),
	NESTED("xdp", xdp_mapping),
	NESTED("relay", relay_mapping),
	NESTED("limits", limits_mapping),
	NESTED("api", api_mapping),
	NESTED("redis", redis_mapping),
	NESTED("agones", agones_mapping),
	LIST("quic_lb", quic_lb_list),
	{ .name = "firehose", .type = CONFIG_KEY_RESERVED_MAPPING },
	NESTED("log", log_mapping),
	LIST("routes", route_list),
};
const struct config_mapping config_keys = MAPPING(all_keys, NULL);

_Static_assert(COUNT(all_keys) <= CONFIG_KEYS_MAX, "struct config_lines has a line for each key");

static int set_default(const struct config_key *key, void *base)
{
	void *field = (char *)base + key->offset;

	switch (key->type) {
	case CONFIG_KEY_BOOL:
		*(bool *)field = key->number != 0;
		return 0;
	case CONFIG_KEY_NUMBER:
		if (key->size == sizeof(uint16_t))
			*(uint16_t *)field = (uint16_t)key->number;
		else
			*(uint32_t *)field = key->number;
		return 0;
	case CONFIG_KEY_CHOICE:
		memcpy(field, &key->number, sizeof(key->number));
		return 0;
	case CONFIG_KEY_STRING:
		if (!key->text)
			return 0;
		*(char **)field = strdup(key->text);
		return *(char **)field ? 0 : -ENOMEM;
	case CONFIG_KEY_PARSED:
		return key->text && key->read(key->text, field) ? -ENOMEM : 0;
	case CONFIG_KEY_MAPPING:
		return config_keys_defaults(key->mapping, base);
	default:
		return 0;
	}
}

int config_keys_defaults(const struct config_mapping *mapping, void *base)
{
	for (unsigned i = 0; i < mapping->key_count; i++) {
		int err = set_default(&mapping->keys[i], base);

		if (err)
			return err;
	}
	return 0;
}

static bool key_equal(const struct config_key *key, const void *a, const void *b)
{
	const char *left = (const char *)a + key->offset, *right = (const char *)b + key->offset;

	switch (key->type) {
	case CONFIG_KEY_BOOL:
	case CONFIG_KEY_NUMBER:
	case CONFIG_KEY_CHOICE:
	case CONFIG_KEY_PARSED:
		return memcmp(left, right, key->size) == 0;
	case CONFIG_KEY_STRING:
		return strcmp(*(char *const *)left, *(char *const *)right) == 0;
	case CONFIG_KEY_MAPPING:
		return config_keys_equal(key->mapping, a, b);
	default:
		return true;
	}
}

bool config_keys_equal(const struct config_mapping *mapping, const void *a, const void *b)
{
	for (unsigned i = 0; i < mapping->key_count; i++)
		if (!key_equal(&mapping->keys[i], a, b))
			return false;
	return true;
}

void config_keys_free(const struct config_mapping *mapping, void *base)
{
	for (unsigned i = 0; i < mapping->key_count; i++) {
		const struct config_key *key = &mapping->keys[i];

		if (key->type == CONFIG_KEY_MAPPING)
			config_keys_free(key->mapping, base);
		else if (key->type == CONFIG_KEY_STRING)
			free(*(char **)((char *)base + key->offset));
	}
}
