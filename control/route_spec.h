/* SPDX-License-Identifier: MIT */
/*
 * route_spec: what a route leads to, and how: the one thing that the file, the
 * API and Redis say about a name, checked once, here. Immutable and counted, so
 * that lists, queues and threads share one. Any thread.
 */
#ifndef SLUICE_ROUTE_SPEC_H
#define SLUICE_ROUTE_SPEC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

enum route_type { ROUTE_SIMPLE, ROUTE_AGONES };
enum migration { MIGRATION_PATH, MIGRATION_PINNED };
enum client_ip { CLIENT_IP_RELAY, CLIENT_IP_PRESERVE };

enum {
	ROUTE_SPEC_TARGETS_MAX = 32,
	ROUTE_SPEC_TEXT_MAX = 259,     /* characters of a target: a name of 253 and its port; an address; a fleet */
	ROUTE_SPEC_WEIGHT_MAX = 65535,
	ROUTE_SPEC_AT_HEALTH = ROUTE_SPEC_TARGETS_MAX + 1, /* what route_spec_new found wrong is not about targets */
	ROUTE_SPEC_AT_CLIENT_IP,
};

/* How often its servers are asked for a sign of life, and what follows from it (prober.h). */
struct route_health {
	uint32_t interval_s;           /* 0: not at all */
	uint32_t timeout_s;            /* of an answer; at most interval_s */
	uint32_t rise, fall;           /* so many answers in a row: alive; so many failures: dead */
};

enum {
	ROUTE_HEALTH_INTERVAL_S = 5, ROUTE_HEALTH_INTERVAL_MAX_S = 3600,
	ROUTE_HEALTH_TIMEOUT_S = 1, ROUTE_HEALTH_TIMEOUT_MAX_S = 60,
	ROUTE_HEALTH_RISE = 2, ROUTE_HEALTH_FALL = 3, ROUTE_HEALTH_STREAK_MAX = 100,
};

/* An address and port; port in host order. */
struct config_address {
	struct addr addr;
	uint16_t port;
};

struct route_spec_target {
	const char *text;              /* as written: IP:PORT, [IPv6]:PORT, NAME:PORT; of agones routes the fleet */
	size_t name_len;               /* NAME:PORT: of the name; else 0 */
	struct config_address address; /* NAME:PORT: the port alone; agones: nothing */
	uint16_t weight;               /* its share of new sessions; 1 where nothing is said */
};

struct route_spec {
	atomic_uint references;
	enum route_type type;
	enum migration migration;
	enum client_ip client_ip;      /* whose address servers see; with pinned a relay's */
	uint64_t expires_s;            /* CLOCK_REALTIME; 0: never */
	struct route_health health;    /* simple only */
	unsigned count;                /* 1..ROUTE_SPEC_TARGETS_MAX; agones: 1 */
	struct route_spec_target targets[]; /* and behind them their texts */
};

/* What a user wrote. */
struct route_draft {
	enum route_type type;
	enum migration migration;
	enum client_ip client_ip;
	uint64_t expires_s;
	struct route_health health;    /* its numbers within their bounds */
	unsigned count;
	struct {
		const char *text;
		uint32_t weight;
	} targets[ROUTE_SPEC_TARGETS_MAX];
};

/*
 * NULL: *spec is made, with one reference, the caller's. Else what is wrong:
 * "must ...", of targets[*at], of the whole where *at is draft->count, or of
 * what a ROUTE_SPEC_AT_* names.
 */
const char *route_spec_new(const struct route_draft *draft, struct route_spec **spec, unsigned *at);

/* The same of one target and no more: what Porter can say. */
const char *route_spec_plain(enum route_type type, const char *target, struct route_spec **spec);

/* Porter's hash and message can hold it: one target, and nothing but that. */
bool route_spec_is_plain(const struct route_spec *spec);

bool route_spec_equal(const struct route_spec *a, const struct route_spec *b);

/* Some target is a name that has to be resolved. */
bool route_spec_has_names(const struct route_spec *spec);

/* One more reference, and one less; NULL is allowed. */
struct route_spec *route_spec_hold(struct route_spec *spec);
void route_spec_release(struct route_spec *spec);

const char *route_type_name(enum route_type type);
const char *migration_name(enum migration migration);
const char *client_ip_name(enum client_ip client_ip);

#endif
