/* SPDX-License-Identifier: MIT */
/*
 * config: config.yaml as plain data, and its parser (libyaml).
 *
 * Every program's main.c parses and hands on what each part needs; nothing
 * else calls config_load. Start-up and reload only. The file is the
 * operator's, but it is checked as if it were not: an unknown key, a wrong
 * type or a value out of range is refused with file, line, key, value and
 * what is allowed, e.g.
 *
 *     config.yaml:14: limits.sessions: 3: must be an integer from 64 to 4194304
 */
#ifndef SLUICE_CONFIG_H
#define SLUICE_CONFIG_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "bpf/abi.h"
#include "control/route_spec.h"

enum listener_mode { LISTENER_QUIC, LISTENER_UDP, LISTENER_RENDEZVOUS };
enum fast_path { FAST_PATH_KERNEL, FAST_PATH_USERSPACE };
enum xdp_mode { XDP_MODE_AUTO, XDP_MODE_NATIVE, XDP_MODE_GENERIC };
enum busy_poll { BUSY_POLL_ADAPTIVE, BUSY_POLL_ALWAYS, BUSY_POLL_NEVER };
enum zero_copy { ZERO_COPY_AUTO, ZERO_COPY_NEVER, ZERO_COPY_ALWAYS };
enum dispatcher { DISPATCHER_AUTO, DISPATCHER_NEVER, DISPATCHER_ALWAYS };
enum config_log_level { CONFIG_LOG_ERROR, CONFIG_LOG_WARN, CONFIG_LOG_INFO, CONFIG_LOG_DEBUG };
enum config_log_format { CONFIG_LOG_TEXT, CONFIG_LOG_JSON };

enum {
	CONFIG_LISTENERS_MAX = 64,
	CONFIG_FQDN_MAX = 253,         /* RFC 1035 s2.3.4, without the last dot */
	CONFIG_QUIC_LB_MAX = 7,        /* config rotations 0..6 */
	CONFIG_QUIC_LB_ID_MAX = 15,    /* bytes of a server ID */
	CONFIG_QUIC_LB_BODY_MAX = 19,  /* of a server ID and a nonce: a CID has 20 at most */
};

struct config_listener {
	char name[32];                 /* [A-Za-z0-9_-], unique */
	enum listener_mode mode;
	bool any_address;              /* every address of the interfaces (udp.port; "*:443" or ":443") */
	struct config_address address; /* with any_address only the port */
};

struct config_xdp {
	char interfaces[INTERFACES_MAX][IF_NAMESIZE];
	unsigned interface_count;      /* 0: they come from -i */
	enum xdp_mode mode;
	enum busy_poll busy_poll;
	unsigned workers;              /* 0: one per queue */
	enum zero_copy zero_copy;
	enum dispatcher dispatcher;
};

struct config_relay {
	struct addr addresses[RELAY_ADDRESSES_MAX];
	unsigned address_count;        /* 0: the kernel's source address towards each backend */
	uint16_t port_ranges[2][2];    /* inclusive; all 0: outside ip_local_port_range. "1024-32767,61000-65535" */
	uint32_t restart_grace_s;
	uint32_t pinned_silence_s;               /* of a client, before a pinned session's return address moves */
	char run_dir[108];
};

struct config_limits {
	uint32_t sessions;                       /* 64..4194304 */
	uint32_t aliases_per_session;            /* 0..8 */
	uint32_t pending_handshakes;             /* 16..1048576 */
	uint32_t pending_bytes_per_handshake;    /* 2400..65536 */
	uint32_t pending_seconds;                /* 1..60 */
	uint32_t new_sessions_per_s_per_source;  /* 1..1000000 */
	uint32_t idle_timeout_s;                 /* 5..86400 */
	uint32_t idle_timeout_unconfirmed_s;     /* 1..3600, not above idle_timeout */
};

struct config_log {
	enum config_log_level level;
	enum config_log_format format;
};

struct config_target {
	char *address;
	uint32_t weight;
};

struct config_route {
	char *fqdn;                    /* lower case; "*.x.y" one label; "*" the default route */
	struct route_spec *spec;       /* what follows, checked; owned */
	enum route_type type;
	char *target;                  /* NULL: targets are given */
	struct config_target *targets;
	unsigned target_count;
	enum migration migration;
	enum client_ip client_ip;
	bool has_health;
	struct route_health health;    /* defaults where it is not given */
	int line;                      /* in the file */
};

/* Read by the control process; the relay checks and keeps them. Strings are owned, "" when absent. */
struct config_api_tls {
	char *cert, *key;              /* PEM files, both or neither; "": no TLS */
	char *client_ca;               /* PEM file; "": no client certificate is asked for */
};

struct config_api {
	uint16_t port;                 /* 8080 */
	char *address;
	char *token_file;
	struct config_api_tls tls;
	bool log_requests;
};

struct config_redis {
	bool enabled;
	char *address;                 /* host:port */
	char *username;                /* ACL; "": the default user */
	char *password;
	unsigned db;
	char *channel;
	bool sessions;                 /* those of the relay too, not routes alone; only when enabled */
	bool tls;
	char *ca_cert;                 /* PEM; "": the system's store */
	char *client_cert, *client_key; /* PEM; "": none is shown */
};

struct config_agones {
	bool enabled;
	char *namespace;
	char *allocator_host;          /* host or host:port; never "" when enabled */
	char *allocator_client_cert, *allocator_client_key, *allocator_ca_cert; /* PEM; "": none; CA: the system's */
	bool insecure_skip_verify;
	uint32_t timeout_ms;           /* 100..60000: of one allocation, retries included */
	char *port_name;               /* of the game server's ports; "": the first */
	uint32_t max_allocations_per_s, max_allocations_per_s_per_client; /* 1..10000 */
};

struct config_quic_lb_server {
	uint8_t id[CONFIG_QUIC_LB_ID_MAX]; /* zero behind id_len, which is server_id_length */
	uint8_t id_len;
	struct config_address address;
	int line;                      /* in the file */
};

/* One configuration of QUIC-LB connection IDs: docs/quic-lb.md. */
struct config_quic_lb {
	uint32_t config_rotation;      /* 0..6, unique */
	uint32_t server_id_length;     /* 1..15 */
	uint32_t nonce_length;         /* 4..18; with server_id_length at most 19 */
	bool encrypted;                /* else there is no key */
	uint8_t key[16];               /* secret */
	enum client_ip client_ip;      /* of the sessions that its connection IDs open */
	struct config_quic_lb_server *servers; /* by ID, unique; several may have one address */
	size_t server_count;           /* at least 1 */
	int line;                      /* of config_rotation in the file */
};

struct config {
	struct config_listener listeners[CONFIG_LISTENERS_MAX];
	unsigned listener_count;       /* udp.port is one, named "udp": always when no listeners are given */
	bool log_requests;             /* udp.log_requests */
	enum fast_path fast_path;
	struct config_xdp xdp;
	struct config_relay relay;
	struct config_limits limits;
	struct config_api api;
	struct config_redis redis;
	struct config_agones agones;
	struct config_quic_lb quic_lb[CONFIG_QUIC_LB_MAX];
	unsigned quic_lb_count;
	struct config_log log;
	struct config_route *routes;
	size_t route_count;
};

/*
 * Reads the file at path into *config, defaults filled in. 0, or -1 after one
 * line per error on `errors` (up to 20); then *config holds nothing.
 * On success the caller ends it with config_free.
 */
int config_load(const char *path, struct config *config, FILE *errors);

/* The same from memory; name is what messages call it. */
int config_parse(const char *name, const char *text, size_t len, struct config *config, FILE *errors);

void config_free(struct config *config);

/* Whether both say the same in all keys of a mapping at the top, but for those that are lists: "redis". */
bool config_section_equal(const struct config *a, const struct config *b, const char *section);

/* Do both say the same in quic_lb, on whichever lines? */
bool config_quic_lb_equal(const struct config *a, const struct config *b);

/* Level and format of this process's log (userspace/log.h). */
void config_log_apply(const struct config_log *config);

/*
 * "1.2.3.4:5", "[2001:db8::1]:5"; port 1..65535. 0 or -EINVAL. No names: they
 * are resolved off the packet path, by the control process.
 */
int config_address_parse(const char *text, struct config_address *address);

#endif
