/* SPDX-License-Identifier: MIT */
/*
 * agones: see agones.h. Here: attempts, pauses and what an answer means.
 * agones_connection.c has libcurl.
 */
#include "control/agones.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "control/agones_connection.h"
#include "control/clock.h"
#include "control/config_value.h"
#include "control/tls.h"
#include "control/tls_resolve.h"
#include "userspace/log.h"

enum {
	BACKOFF_MIN_MS = 50,           /* less: a full fleet is asked for no use; more: a freed server is seen late */
	BACKOFF_MAX_MS = 1000,
};

struct agones {
	const struct config_agones *config;
	atomic_bool stopping;
	pthread_mutex_t lock;          /* of all below */
	pthread_cond_t changed;        /* a connection came back, or stopping */
	struct agones_connection *connections[AGONES_CONNECTIONS], *idle; /* the one used last first: few stay warm */
	struct log_limit limit;
	struct agones_stats stats;
};

/* --- start and end ------------------------------------------------------------------------------- */

/* A certificate that is wrong should be seen at start, not with the first player. False: it is in the log. */
static bool files_are_good(const struct config_agones *config)
{
	struct tls_options options = { config->allocator_ca_cert, config->allocator_client_cert,
				       config->allocator_client_key };
	char error[TLS_ERROR_BYTES];
	struct tls_context *context = tls_context_new(&options, error);

	if (!context)
		log_errorx("agones: %s", error);
	tls_context_free(context);
	return context;
}

struct agones *agones_new(const struct config_agones *config)
{
	struct agones *agones = files_are_good(config) ? calloc(1, sizeof(*agones)) : NULL;

	if (!agones)
		return NULL;
	agones->config = config;
	pthread_mutex_init(&agones->lock, NULL);
	clock_cond_init(&agones->changed);
	for (unsigned i = 0; i < AGONES_CONNECTIONS; i++) {
		agones->connections[i] = agones_connection_new(config, &agones->stopping);
		if (!agones->connections[i]) {
			log_errorx("agones: no memory");
			agones_free(agones);
			return NULL;
		}
		agones->connections[i]->next = agones->idle;
		agones->idle = agones->connections[i];
	}
	if (config->insecure_skip_verify)
		log_warnx("agones: insecure_skip_verify: whoever answers for %s is believed", config->allocator_host);
	return agones;
}

void agones_stop(struct agones *agones)
{
	pthread_mutex_lock(&agones->lock);
	atomic_store(&agones->stopping, true);
	pthread_cond_broadcast(&agones->changed);
	pthread_mutex_unlock(&agones->lock);
}

void agones_free(struct agones *agones)
{
	if (!agones)
		return;
	for (unsigned i = 0; i < AGONES_CONNECTIONS; i++)
		agones_connection_free(agones->connections[i]);
	pthread_cond_destroy(&agones->changed);
	pthread_mutex_destroy(&agones->lock);
	free(agones);
}

/* --- time, and sharing connections out ----------------------------------------------------------- */

/* Under the lock. False: it is that late. */
static bool wait_changed(struct agones *agones, uint64_t until_ns)
{
	struct timespec until = clock_timespec(until_ns);

	return pthread_cond_timedwait(&agones->changed, &agones->lock, &until) != ETIMEDOUT;
}

/* NULL: none until the deadline. */
static struct agones_connection *take(struct agones *agones, uint64_t deadline_ns)
{
	struct agones_connection *connection;

	pthread_mutex_lock(&agones->lock);
	while (!agones->idle && !agones->stopping && wait_changed(agones, deadline_ns))
		;
	connection = agones->stopping ? NULL : agones->idle;
	if (connection)
		agones->idle = connection->next;
	pthread_mutex_unlock(&agones->lock);
	return connection;
}

static void give_back(struct agones *agones, struct agones_connection *connection)
{
	pthread_mutex_lock(&agones->lock);
	connection->next = agones->idle;
	agones->idle = connection;
	pthread_cond_broadcast(&agones->changed);
	pthread_mutex_unlock(&agones->lock);
}

/* The pause after that many failures, with jitter: many clients must not ask in step. */
static uint64_t backoff_ns(unsigned attempt)
{
	uint64_t ms = attempt < 8 ? (uint64_t)BACKOFF_MIN_MS << attempt : BACKOFF_MAX_MS;
	uint16_t random = 0;

	if (ms > BACKOFF_MAX_MS)
		ms = BACKOFF_MAX_MS;
	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		random = 0;
	return ms * MS_NS + ms * MS_NS / 2 * random / UINT16_MAX;
}

/* False: there is no time left for another attempt. */
static bool pause_before_next(struct agones *agones, unsigned attempt, uint64_t deadline_ns)
{
	uint64_t until_ns = clock_now_ns() + backoff_ns(attempt);
	bool go_on;

	if (until_ns >= deadline_ns)
		return false;
	pthread_mutex_lock(&agones->lock);
	while (!agones->stopping && wait_changed(agones, until_ns))
		;
	go_on = !agones->stopping;
	pthread_mutex_unlock(&agones->lock);
	return go_on;
}

/* --- one allocation ------------------------------------------------------------------------------ */

/* The first address that one host can have. 0 or an EAI_ error. */
static int address_of(const struct addrinfo *list, struct addr *addr)
{
	for (; list; list = list->ai_next) {
		const void *address = list->ai_addr;
		struct addr found = { 0 };

		if (list->ai_family == AF_INET) {
			found.words_be[2] = htonl(0xffff); /* RFC 4291 s2.5.5.2 */
			found.words_be[3] = ((const struct sockaddr_in *)address)->sin_addr.s_addr;
		} else if (list->ai_family == AF_INET6) {
			memcpy(found.bytes, &((const struct sockaddr_in6 *)address)->sin6_addr, sizeof(found.bytes));
		}
		if (config_address_is_unicast(&found)) {
			*addr = found;
			return 0;
		}
	}
	return EAI_NONAME;
}

/* Where the game server is. False: error says why it is not known. */
static bool locate(struct agones *agones, const struct agones_reply *reply, uint64_t deadline_ns, struct addr *addr,
		   char error[static AGONES_ERROR_BYTES])
{
	struct tls_resolve *resolve;
	const struct addrinfo *list = NULL;
	int result = EAI_INPROGRESS;

	if (reply->host_is_ip) {
		*addr = reply->address.addr;
		return true;
	}
	resolve = tls_resolve_new(reply->host, reply->address.port);
	if (!resolve) {
		snprintf(error, AGONES_ERROR_BYTES, "no memory");
		return false;
	}
	while ((result = tls_resolve_step(resolve, &list)) == EAI_INPROGRESS && clock_now_ns() < deadline_ns &&
	       !atomic_load(&agones->stopping))
		poll(NULL, 0, TLS_RESOLVE_POLL_MS);
	if (!result)
		result = address_of(list, addr);
	tls_resolve_free(resolve);
	if (result)
		snprintf(error, AGONES_ERROR_BYTES, "game server %.60s: address %.80s: %.60s", reply->name, reply->host,
			 result == EAI_INPROGRESS ? "not resolved in time" : gai_strerror(result));
	return result == 0;
}

struct attempt {
	enum agones_verdict verdict;
	bool again;                    /* worth another attempt */
	bool cut_short;                /* by the deadline: says less than the attempt before */
	char error[AGONES_ERROR_BYTES];
};

static void judge(struct agones *agones, const struct agones_connection *connection, long status, uint64_t deadline_ns,
		  struct agones_server *server, struct attempt *attempt)
{
	struct agones_reply reply;

	attempt->verdict = AGONES_UNREACHABLE;
	if (status == 200) {
		if (agones_message_reply(connection->reply, connection->reply_len, agones->config->port_name, &reply,
					 attempt->error) ||
		    !locate(agones, &reply, deadline_ns, &server->address.addr, attempt->error))
			return;
		memcpy(server->name, reply.name, sizeof(server->name));
		server->address.port = reply.address.port;
		attempt->verdict = AGONES_ALLOCATED;
		return;
	}
	agones_message_error(connection->reply, connection->reply_len, status, attempt->error);
	if (status == 429)
		attempt->verdict = AGONES_NONE_FREE;
	else if (status >= 400 && status < 500)
		attempt->verdict = AGONES_REFUSED;
	attempt->again = status == 429 || (status >= 500 && status < 600);
}

static struct attempt try_once(struct agones *agones, struct agones_connection *connection, const char *request,
			       uint64_t deadline_ns, struct agones_server *server)
{
	struct attempt attempt = { .verdict = AGONES_UNREACHABLE };
	uint64_t begin_ns = clock_now_ns(), left_ns = deadline_ns > begin_ns ? deadline_ns - begin_ns : 0;
	uint64_t limit_ns = agones->config->timeout_ms * MS_NS / 2;
	bool is_last = left_ns <= limit_ns;
	long limit_ms = (long)((is_last ? left_ns : limit_ns) / MS_NS);
	unsigned opened = 0;
	long status = agones_connection_post(connection, request, limit_ms, &opened);

	if (status > 0) {
		judge(agones, connection, status, deadline_ns, server, &attempt);
	} else {
		snprintf(attempt.error, sizeof(attempt.error), "%s", connection->error);
		attempt.again = status != -EMSGSIZE;
		attempt.cut_short = is_last && status == -ETIMEDOUT;
	}
	pthread_mutex_lock(&agones->lock);
	histogram_add(&agones->stats.duration, clock_now_ns() - begin_ns);
	agones->stats.requests++;
	agones->stats.request_failures += attempt.verdict != AGONES_ALLOCATED;
	agones->stats.connections += opened;
	pthread_mutex_unlock(&agones->lock);
	return attempt;
}

static struct attempt try_until(struct agones *agones, struct agones_connection *connection, const char *request,
				uint64_t deadline_ns, struct agones_server *server)
{
	struct attempt last = try_once(agones, connection, request, deadline_ns, server);

	for (unsigned i = 0; last.again && pause_before_next(agones, i, deadline_ns); i++) {
		struct attempt next = try_once(agones, connection, request, deadline_ns, server);

		if (next.cut_short)
			break;
		last = next;
	}
	return last;
}

/* Counts it, and tells of failures: at most a line a second. */
static void finish(struct agones *agones, const char *fleet, enum agones_verdict verdict, const char *error)
{
	unsigned held;
	bool log;

	pthread_mutex_lock(&agones->lock);
	agones->stats.allocations[verdict]++;
	log = verdict != AGONES_ALLOCATED && log_limit_pass(&agones->limit, &held);
	pthread_mutex_unlock(&agones->lock);
	if (log)
		log_warnx("agones: fleet %.63s: %s: %s (and %u others before)", fleet, agones_verdict_name(verdict),
			  error, held);
}

enum agones_verdict agones_allocate(struct agones *agones, const char *fleet, struct agones_server *server,
				    char error[static AGONES_ERROR_BYTES])
{
	uint64_t deadline_ns = clock_now_ns() + agones->config->timeout_ms * MS_NS;
	struct attempt attempt = { .verdict = AGONES_REFUSED };
	struct agones_connection *connection = NULL;
	char *request = NULL;

	memset(server, 0, sizeof(*server));
	if (config_value_fleet_check(fleet)) {
		snprintf(attempt.error, sizeof(attempt.error), "not a fleet's name");
		goto out;
	}
	attempt.verdict = AGONES_UNREACHABLE;
	request = agones_message_request(agones->config->namespace, fleet);
	if (!request) {
		snprintf(attempt.error, sizeof(attempt.error), "no memory");
		goto out;
	}
	connection = take(agones, deadline_ns);
	if (!connection) {
		snprintf(attempt.error, sizeof(attempt.error), "no connection is free");
		goto out;
	}
	attempt = try_until(agones, connection, request, deadline_ns, server);
	give_back(agones, connection);
out:
	free(request);
	finish(agones, fleet, attempt.verdict, attempt.error);
	memcpy(error, attempt.error, AGONES_ERROR_BYTES);
	return attempt.verdict;
}

/* --- counters ------------------------------------------------------------------------------------ */

void agones_stats(struct agones *agones, struct agones_stats *stats)
{
	pthread_mutex_lock(&agones->lock);
	*stats = agones->stats;
	pthread_mutex_unlock(&agones->lock);
}

const char *agones_verdict_name(enum agones_verdict verdict)
{
	static const char *const names[AGONES_VERDICTS] = {
		[AGONES_ALLOCATED] = "allocated", [AGONES_NONE_FREE] = "none_free",   [AGONES_REFUSED] = "refused",
		[AGONES_LIMITED] = "limited",     [AGONES_UNREACHABLE] = "unreachable",
	};

	return names[verdict];
}
