/* SPDX-License-Identifier: MIT */
/* servers: see servers.h. */
#include "control/servers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "bpf/table.h"
#include "control/clock.h"
#include "userspace/address.h"
#include "userspace/log.h"

enum {
	JITTER_DIVISOR = 10,           /* an interval is shorter by up to a tenth: probes do not fall into step */
};

/* Of two kinds of change, which routes are concerned: those with health, or all. */
struct changes {
	bool health, drain;
};

/* In a tree (tsearch) by address and port. */
struct server {
	struct addr address;
	__be16 port_be;
	bool draining;
	struct route_health watched;   /* interval_s 0: not watched */
	struct route_health wanted;    /* as the pass in progress says so far */
	bool up;
	unsigned streak;               /* results in a row that say otherwise */
	bool in_flight;                /* a probe is, until deadline_ns */
	uint64_t next_ns, deadline_ns;
	struct probe probe;
	struct changes news, told;     /* to be told; being told */
	struct server *next;           /* of all */
};

struct servers {
	void (*news)(void *context);
	void *context;

	pthread_mutex_t lock;          /* of what follows; no other lock is taken under it */
	void *tree;
	struct server *all;
	bool has_news;
	size_t wanted;                 /* servers of the pass in progress */
	size_t unwatched;              /* the same, beyond the bound */
	struct servers_stats stats;
	struct log_limit fail_open_logged;
};

static int by_address(const void *a, const void *b)
{
	const struct server *left = a, *right = b;
	int order = memcmp(&left->address, &right->address, sizeof(left->address));

	return order ? order : (int)ntohs(left->port_be) - (int)ntohs(right->port_be);
}

/* --- the table, under the lock ----------------------------------------------------------------------- */

static struct server *find(const struct servers *servers, const struct addr *address, __be16 port_be)
{
	const struct server key = { .address = *address, .port_be = port_be };
	struct server **found = tfind(&key, &servers->tree, by_address);

	return found ? *found : NULL;
}

/* NULL: no memory. */
static struct server *find_or_add(struct servers *servers, const struct addr *address, __be16 port_be)
{
	struct server *server = find(servers, address, port_be);

	if (server)
		return server;
	server = calloc(1, sizeof(*server));
	if (!server)
		return NULL;
	server->address = *address;
	server->port_be = port_be;
	server->up = true;
	if (!tsearch(server, &servers->tree, by_address)) {
		free(server);
		return NULL;
	}
	server->next = servers->all;
	servers->all = server;
	return server;
}

static bool is_of_use(const struct server *server)
{
	return server->draining || server->watched.interval_s || server->news.health || server->news.drain;
}

static void prune(struct servers *servers)
{
	for (struct server **at = &servers->all; *at;) {
		struct server *server = *at;

		if (is_of_use(server)) {
			at = &server->next;
			continue;
		}
		*at = server->next;
		tdelete(server, &servers->tree, by_address);
		free(server);
	}
}

static bool is_dead(const struct server *server)
{
	return server && server->watched.interval_s && !server->up;
}

static void status_of(const struct server *server, struct servers_status *status)
{
	*status = (struct servers_status){
		.address = server->address,
		.port_be = server->port_be,
		.watched = server->watched.interval_s != 0,
		.up = !is_dead(server),
		.draining = server->draining,
	};
}

static void log_change(const struct server *server, const char *what)
{
	char text[ADDRESS_TEXT_MAX];

	address_text(text, &server->address, server->port_be);
	log_infox("backend %s: %s", text, what);
}

/* --- from outside ------------------------------------------------------------------------------------ */

struct servers *servers_new(void)
{
	struct servers *servers = calloc(1, sizeof(*servers));

	if (servers)
		pthread_mutex_init(&servers->lock, NULL);
	return servers;
}

void servers_free(struct servers *servers)
{
	if (!servers)
		return;
	for (struct server *server = servers->all, *next; server; server = next) {
		next = server->next;
		tdelete(server, &servers->tree, by_address);
		free(server);
	}
	pthread_mutex_destroy(&servers->lock);
	free(servers);
}

void servers_listen(struct servers *servers, void (*news)(void *context), void *context)
{
	servers->news = news;
	servers->context = context;
}

static int drain_begin(struct servers *servers, const struct config_address *address)
{
	struct server *server;

	if (servers->stats.draining == SERVERS_DRAINING_MAX)
		return -ENOSPC;
	server = find_or_add(servers, &address->addr, htons(address->port));
	if (!server)
		return -ENOMEM;
	if (server->draining)
		return 0;
	servers->stats.draining++;
	server->draining = server->news.drain = servers->has_news = true;
	log_change(server, "draining: no new sessions");
	return 0;
}

static int drain_end(struct servers *servers, const struct config_address *address)
{
	struct server *server = find(servers, &address->addr, htons(address->port));

	if (!server || !server->draining)
		return -ENOENT;
	servers->stats.draining--;
	server->draining = false;
	server->news.drain = servers->has_news = true;
	log_change(server, "draining no more");
	return 0;
}

int servers_drain(struct servers *servers, const struct config_address *address, bool drain)
{
	int error;

	pthread_mutex_lock(&servers->lock);
	error = drain ? drain_begin(servers, address) : drain_end(servers, address);
	pthread_mutex_unlock(&servers->lock);
	if (!error && servers->news)
		servers->news(servers->context);
	return error;
}

bool servers_status(struct servers *servers, const struct addr *address, __be16 port_be, struct servers_status *status)
{
	const struct server *server;
	bool known;

	pthread_mutex_lock(&servers->lock);
	server = find(servers, address, port_be);
	known = server && (server->draining || server->watched.interval_s);
	if (known)
		status_of(server, status);
	pthread_mutex_unlock(&servers->lock);
	return known;
}

size_t servers_list(struct servers *servers, struct servers_status **list)
{
	size_t n = 0, room;

	pthread_mutex_lock(&servers->lock);
	room = servers->stats.watched + servers->stats.draining;
	*list = calloc(room + 1, sizeof(**list));
	for (const struct server *server = servers->all; *list && server; server = server->next)
		if (server->draining || server->watched.interval_s)
			status_of(server, &(*list)[n++]);
	pthread_mutex_unlock(&servers->lock);
	return n;
}

void servers_choose(struct servers *servers, const char *fqdn, bool health, struct protocol_route *route)
{
	bool dead[PROTOCOL_TARGETS_MAX], alive[2] = { false, false }, fails_open = false;
	unsigned n = 0, chosen = 0, held;

	pthread_mutex_lock(&servers->lock);
	for (unsigned i = 0; i < route->count; i++) {
		const struct protocol_target *target = &route->targets[i];
		const struct server *server = find(servers, &target->address, target->port_be);

		if (server && server->draining)
			continue;
		dead[n] = health && is_dead(server);
		alive[addr_is_v4(&target->address)] |= !dead[n];
		route->targets[n++] = *target;
	}
	for (unsigned i = 0; i < n; i++) {
		bool is_last_resort = dead[i] && !alive[addr_is_v4(&route->targets[i].address)];

		fails_open |= is_last_resort;
		if (!dead[i] || is_last_resort)
			route->targets[chosen++] = route->targets[i];
	}
	route->count = (uint8_t)chosen;
	servers->stats.fail_open += fails_open;
	if (fails_open && log_limit_pass(&servers->fail_open_logged, &held))
		log_warnx("route %s: all its servers are dead, so all get new sessions (and %u others before)",
			  fqdn, held);
	pthread_mutex_unlock(&servers->lock);
}

void servers_stats(struct servers *servers, struct servers_stats *stats)
{
	pthread_mutex_lock(&servers->lock);
	*stats = servers->stats;
	pthread_mutex_unlock(&servers->lock);
}

/* --- who is watched ---------------------------------------------------------------------------------- */

static uint32_t lower(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

void servers_watch_begin(struct servers *servers)
{
	pthread_mutex_lock(&servers->lock);
	for (struct server *server = servers->all; server; server = server->next)
		server->wanted = (struct route_health){ 0 };
	servers->wanted = servers->unwatched = 0;
	pthread_mutex_unlock(&servers->lock);
}

static void want(struct servers *servers, const struct route_health *health, const struct protocol_target *target,
		 uint64_t now_ns)
{
	struct server *server = find(servers, &target->address, target->port_be);
	struct route_health *wanted;
	uint32_t random = 0;

	if (!server || !server->wanted.interval_s) {
		if (servers->wanted < SERVERS_WATCHED_MAX)
			server = find_or_add(servers, &target->address, target->port_be);
		else
			server = NULL;
		if (!server) {
			servers->unwatched++;
			return;
		}
		servers->wanted++;
		server->wanted = *health;
	}
	wanted = &server->wanted;
	wanted->interval_s = lower(wanted->interval_s, health->interval_s);
	wanted->timeout_s = lower(wanted->timeout_s, health->timeout_s);
	wanted->fall = lower(wanted->fall, health->fall);
	wanted->rise = wanted->rise > health->rise ? wanted->rise : health->rise;
	if (server->watched.interval_s)
		return;
	/* New: the first probe at any time within an interval, so that a thousand servers are not asked at once. */
	server->up = true;
	server->streak = 0;
	server->in_flight = false;
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		random = 0;
	server->next_ns = now_ns + random % 1024 * (wanted->interval_s * S_NS / 1024);
}

void servers_watch(struct servers *servers, const struct route_health *health, const struct protocol_route *route,
		   uint64_t now_ns)
{
	pthread_mutex_lock(&servers->lock);
	for (unsigned i = 0; i < route->count; i++)
		want(servers, health, &route->targets[i], now_ns);
	pthread_mutex_unlock(&servers->lock);
}

void servers_watch_end(struct servers *servers, uint64_t now_ns)
{
	pthread_mutex_lock(&servers->lock);
	for (struct server *server = servers->all; server; server = server->next) {
		uint64_t latest_ns = now_ns + server->wanted.interval_s * S_NS;

		server->watched = server->wanted;
		server->in_flight &= server->watched.interval_s != 0;
		if (server->next_ns > latest_ns)
			server->next_ns = latest_ns;
	}
	servers->stats.watched = servers->wanted;
	servers->stats.unwatched = servers->unwatched;
	prune(servers);
	pthread_mutex_unlock(&servers->lock);
}

/* --- probes ------------------------------------------------------------------------------------------ */

/* Under the lock, like all that follows but for the public. */
static void settle(struct servers *servers, struct server *server, bool good)
{
	server->in_flight = false;
	servers->stats.failures += !good;
	if (good == server->up) {
		server->streak = 0;
		return;
	}
	if (++server->streak < (server->up ? server->watched.fall : server->watched.rise))
		return;
	server->up = good;
	server->streak = 0;
	server->news.health = servers->has_news = true;
	log_change(server, good ? "alive" : "dead: it does not answer");
}

static void probe_begin(struct servers *servers, struct server *server, uint64_t now_ns, servers_send *send,
			void *context)
{
	const uint64_t interval_ns = server->watched.interval_s * S_NS;
	uint8_t bytes[PROBE_BYTES];
	struct {
		struct probe probe;
		uint32_t jitter;
	} random;
	int error;

	server->next_ns = now_ns + interval_ns;
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		return; /* early in boot */
	server->next_ns = now_ns + interval_ns - interval_ns / JITTER_DIVISOR / 1024 * (random.jitter % 1024);
	server->deadline_ns = now_ns + server->watched.timeout_s * S_NS;
	server->probe = random.probe;
	probe_reserve_version(&server->probe);
	probe_write(&server->probe, bytes);
	error = send(context, &server->address, server->port_be, bytes);
	if (error == -EAGAIN || error == -ENOBUFS || error == -ENOMEM)
		return;
	servers->stats.probes++;
	server->in_flight = true;
	if (error)
		settle(servers, server, false);
}

uint64_t servers_step(struct servers *servers, uint64_t now_ns, servers_send *send, void *context)
{
	uint64_t next_ns = UINT64_MAX;
	unsigned sent = 0;

	pthread_mutex_lock(&servers->lock);
	for (struct server *server = servers->all; server; server = server->next) {
		uint64_t at_ns;

		if (!server->watched.interval_s)
			continue;
		if (server->in_flight && now_ns >= server->deadline_ns)
			settle(servers, server, false);
		if (!server->in_flight && now_ns >= server->next_ns && sent < SERVERS_PROBES_AT_ONCE) {
			probe_begin(servers, server, now_ns, send, context);
			sent++;
		}
		at_ns = server->in_flight ? server->deadline_ns : server->next_ns;
		next_ns = at_ns < next_ns ? at_ns : next_ns;
	}
	pthread_mutex_unlock(&servers->lock);
	return next_ns;
}

static void hear(struct servers *servers, const struct addr *address, __be16 port_be, const uint8_t *bytes,
		 size_t len, bool good)
{
	struct server *server;

	pthread_mutex_lock(&servers->lock);
	server = find(servers, address, port_be);
	if (server && server->in_flight &&
	    (good ? probe_is_answer(&server->probe, bytes, len) : probe_is_quoted(&server->probe, bytes, len)))
		settle(servers, server, good);
	pthread_mutex_unlock(&servers->lock);
}

void servers_answer(struct servers *servers, const struct addr *address, __be16 port_be, const uint8_t *bytes,
		    size_t len)
{
	hear(servers, address, port_be, bytes, len, true);
}

void servers_refused(struct servers *servers, const struct addr *address, __be16 port_be, const uint8_t *bytes,
		     size_t len)
{
	hear(servers, address, port_be, bytes, len, false);
}

/* --- telling ----------------------------------------------------------------------------------------- */

bool servers_tell_begin(struct servers *servers)
{
	bool has_news;

	pthread_mutex_lock(&servers->lock);
	has_news = servers->has_news;
	servers->has_news = false;
	for (struct server *server = servers->all; has_news && server; server = server->next) {
		server->told = server->news;
		server->news = (struct changes){ false, false };
	}
	pthread_mutex_unlock(&servers->lock);
	return has_news;
}

bool servers_concern(struct servers *servers, bool health, const struct protocol_route *route)
{
	bool concern = false;

	pthread_mutex_lock(&servers->lock);
	for (unsigned i = 0; i < route->count; i++) {
		const struct server *server = find(servers, &route->targets[i].address, route->targets[i].port_be);

		concern |= server && (server->told.drain || (health && server->told.health));
	}
	pthread_mutex_unlock(&servers->lock);
	return concern;
}

void servers_tell_end(struct servers *servers)
{
	pthread_mutex_lock(&servers->lock);
	for (struct server *server = servers->all; server; server = server->next)
		server->told = (struct changes){ false, false };
	prune(servers);
	pthread_mutex_unlock(&servers->lock);
}
