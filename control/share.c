/* SPDX-License-Identifier: MIT */
/* share: see share.h. */
#include "control/share.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "control/clock.h"
#include "control/publisher.h"
#include "userspace/cid.h"
#include "userspace/log.h"
#include "userspace/session.h"

enum {
	QUEUE_MAX = 1 << 17,           /* names that wait for the main thread; beyond, a change is not shared */
	SETTLE_MS = 2000,
	SETTLE_STEP_MS = 10,
	/*
	 * How the relay's table of connection IDs is looked over. With the default
	 * limits.sessions a new one is in Redis within 100 ms, with a million sessions
	 * within 1.1 s. A step of nothing new takes 0.3 ms; more of them take more than 1.5 % of a core.
	 * One with more IDs due than may be on their way goes on as Redis answers.
	 */
	SWEEP_MS = 20,
	SWEEP_SLOTS = 1 << 16,
	ENDED_MAX = 1 << 17,           /* IDs of ended sessions that wait for Redis; beyond, clients may bring theirs back */
};

/* A name that changed here. What it is now stands in the store. */
struct item {
	struct item *next;
	char fqdn[];
};

struct share {
	struct routes *routes;
	struct redis *redis;
	struct publisher *publisher;   /* NULL: sessions are not shared */
	struct view *view;
	unsigned view_generation;      /* of the tables that were told of */
	uint32_t slots_left;           /* of this step's SWEEP_SLOTS */
	struct session_cid *ended;     /* to be told before all others */
	size_t ended_count, ended_space;
	void (*session_found)(void *context, uint64_t id, uint8_t cid_len, const struct session_record *record);
	void *context;
	int epoll_fd, event_fd, timer_fd;
	pthread_t thread;              /* the main one: what it does to the store came from Redis */
	bool applying;                 /* main thread: it is doing so */
	bool settled;                  /* loaded, or away, for the first time */
	char **told;                   /* names of the snapshot in progress, as they come */
	size_t told_count, told_space;
	bool told_lost;                /* no memory for one: nothing is taken for gone */
	size_t told_gone;              /* by the snapshot's end */
	uint64_t sent_version;         /* of the store: changes up to it have been given to redis.c */

	pthread_mutex_t lock;          /* of what follows */
	struct item *first, **last;
	size_t queued;
	struct redis_stats stats;
};

/* --- from the store to Redis ------------------------------------------------------------------------- */

static void queue_push(struct share *share, const char *fqdn)
{
	static const uint64_t one = 1;
	size_t size = strlen(fqdn) + 1;
	struct item *item = malloc(sizeof(*item) + size);

	if (!item)
		return;
	item->next = NULL;
	memcpy(item->fqdn, fqdn, size);
	pthread_mutex_lock(&share->lock);
	if (share->queued < QUEUE_MAX) {
		*share->last = item;
		share->last = &item->next;
		share->queued++;
		item = NULL;
	}
	pthread_mutex_unlock(&share->lock);
	free(item);
	if (write(share->event_fd, &one, sizeof(one)) < 0)
		return; /* the counter is at its end: it has been told */
}

/* Under the store's lock, on any thread. */
static void on_change(void *context, const char *fqdn, const struct routes_route *route, enum routes_origin was)
{
	struct share *share = context;

	/* What this process' file says, or does not say any more, is nobody else's. */
	if ((pthread_equal(pthread_self(), share->thread) && share->applying) ||
	    (route && (route->origin == ROUTES_FILE || route->origin == ROUTES_REDIS)) || (!route && was == ROUTES_FILE))
		return;
	queue_push(share, fqdn);
}

static void send_one(struct share *share, const char *fqdn)
{
	struct routes_route route = { .spec = NULL };
	int error;

	if (!routes_get(share->routes, fqdn, &route))
		error = redis_delete(share->redis, fqdn);
	else if (route.origin == ROUTES_API || route.origin == ROUTES_ALLOCATED)
		error = redis_set(share->redis, fqdn, route.spec);
	else
		error = 0; /* Redis or the file have changed it since */
	routes_end(&route, 1);
	if (error)
		log_warnx("redis: route %s is not shared: %s", fqdn, strerror(-error));
}

static void queue_send(struct share *share)
{
	struct item *item, *next;
	uint64_t count;

	if (read(share->event_fd, &count, sizeof(count)) < 0)
		return;
	pthread_mutex_lock(&share->lock);
	item = share->first;
	share->first = NULL;
	share->last = &share->first;
	share->queued = 0;
	pthread_mutex_unlock(&share->lock);
	for (; item; item = next) {
		next = item->next;
		send_one(share, item->fqdn);
		free(item);
	}
}

/* --- from Redis to the store ------------------------------------------------------------------------- */

/* What was set here stays ours when it comes back: an emptied Redis gets it again. */
static bool is_ours_already(struct share *share, const char *fqdn, const struct route_spec *spec)
{
	struct routes_route route;
	bool is_ours;

	if (!routes_get(share->routes, fqdn, &route))
		return false;
	is_ours = (route.origin == ROUTES_API || route.origin == ROUTES_ALLOCATED) && route_spec_equal(route.spec, spec);
	routes_end(&route, 1);
	return is_ours;
}

static void route_take(struct share *share, const char *fqdn, struct route_spec *spec)
{
	struct routes_route route = { .spec = spec, .origin = ROUTES_REDIS };
	int error;

	if (is_ours_already(share, fqdn, spec))
		return;
	snprintf(route.fqdn, sizeof(route.fqdn), "%s", fqdn);
	share->applying = true;
	error = routes_set(share->routes, &route);
	share->applying = false;
	if (error)
		log_warnx("redis: route %s: %s", fqdn, strerror(-error));
}

static void route_drop(struct share *share, const char *fqdn)
{
	share->applying = true;
	routes_remove(share->routes, fqdn);
	share->applying = false;
}

static void told_clear(struct share *share)
{
	while (share->told_count)
		free(share->told[--share->told_count]);
	free(share->told);
	share->told = NULL;
	share->told_space = 0;
	share->told_lost = false;
	share->told_gone = 0;
}

static void told_add(struct share *share, const char *fqdn)
{
	if (share->told_count == share->told_space) {
		size_t space = share->told_space ? share->told_space * 2 : 1024;
		char **more = realloc(share->told, space * sizeof(*more));

		if (!more) {
			share->told_lost = true;
			return;
		}
		share->told = more;
		share->told_space = space;
	}
	share->told[share->told_count] = strdup(fqdn);
	if (share->told[share->told_count])
		share->told_count++;
	else
		share->told_lost = true;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool was_told(const struct share *share, const char *fqdn)
{
	return share->told_count &&
	       bsearch(&fqdn, share->told, share->told_count, sizeof(*share->told), by_name) != NULL;
}

static void on_snapshot_begin(void *context)
{
	told_clear(context);
}

static void on_snapshot_route(void *context, const char *fqdn, struct route_spec *spec)
{
	told_add(context, fqdn);
	route_take(context, fqdn, spec);
}

/*
 * Redis held it, and does not any more: another process has deleted it meanwhile.
 * What was set here and has not reached Redis is in the snapshot all the same
 * (redis.h), unless it came after the last look at the store.
 */
static bool is_gone(const struct share *share, const struct routes_route *route)
{
	return route->origin != ROUTES_FILE && route->version <= share->sent_version && !was_told(share, route->fqdn);
}

/*
 * A Redis that holds nothing at all has lost its data rather than its routes:
 * what was set here goes there again. Called from within redis_handle, so by way of the queue.
 */
static void offer_again(struct share *share, const struct routes_route *route)
{
	if (route->origin == ROUTES_API || route->origin == ROUTES_ALLOCATED)
		queue_push(share, route->fqdn);
}

/* Once the names of a snapshot are in order: what it says of a route by not naming it. */
static void settle_one(void *context, const struct routes_route *route)
{
	struct share *share = context;
	bool is_empty = share->told_count == 0;

	if (is_empty)
		offer_again(share, route);
	if (share->told_lost || (is_empty ? route->origin != ROUTES_REDIS : !is_gone(share, route)))
		return;
	route_drop(share, route->fqdn);
	share->told_gone++;
}

static void on_snapshot_end(void *context)
{
	struct share *share = context;

	if (share->told_count)
		qsort(share->told, share->told_count, sizeof(*share->told), by_name);
	routes_each(share->routes, settle_one, share);
	log_infox("redis: %zu routes loaded, %zu gone", share->told_count, share->told_gone);
	told_clear(share);
}

static void on_changed(void *context, const char *fqdn, struct route_spec *spec)
{
	route_take(context, fqdn, spec);
}

static void on_deleted(void *context, const char *fqdn)
{
	route_drop(context, fqdn);
}

static void on_refused(void *context, const char *fqdn, const char *reason)
{
	(void)context;
	log_warnx("redis: route %s is not shared: %s", fqdn, reason);
}

static void on_state(void *context, bool connected, const char *reason)
{
	struct share *share = context;

	share->settled = true;
	if (connected && share->publisher)
		publisher_restart(share->publisher); /* it may have lost what it was told */
	if (connected)
		log_infox("redis: connected");
	else
		log_warnx("redis: away: %s", reason);
}

/* --- sessions ---------------------------------------------------------------------------------------- */

static void on_session_found(void *context, uint64_t id, uint8_t cid_len, const struct session_record *record)
{
	struct share *share = context;

	share->session_found(share->context, id, cid_len, record);
}

/* As long as what was told of them may be there. */
static void ended_tell(struct share *share, uint32_t ttl_s)
{
	while (share->ended_count > 0 && redis_sessions_room(share->redis)) {
		unsigned count = share->ended_count < REDIS_SESSIONS_PUT_MAX ? (unsigned)share->ended_count :
										REDIS_SESSIONS_PUT_MAX;

		share->ended_count -= count;
		redis_sessions_put(share->redis, share->ended + share->ended_count, count, ttl_s);
	}
}

static void ended_add(struct share *share, const struct cid_entry *entry)
{
	struct session_cid *ended;

	if (share->ended_count == ENDED_MAX)
		return;
	if (share->ended_count == share->ended_space) {
		size_t space = share->ended_space ? share->ended_space * 2 : 64;

		ended = realloc(share->ended, space * sizeof(*ended));
		if (!ended)
			return;
		share->ended = ended;
		share->ended_space = space;
	}
	ended = &share->ended[share->ended_count++];
	*ended = (struct session_cid){ .len = entry->len, .record.ended = true };
	memcpy(ended->cid, entry->cid, sizeof(ended->cid));
}

/* At once: the client's next packet, which nobody knows then, is asked for behind it. */
void share_session_end(struct share *share, uint32_t slot, uint32_t generation)
{
	const struct state *state = share->publisher ? view_enter(share->view) : NULL;
	struct session session;
	struct cid_entry entry;

	if (!state)
		return;
	if (session_read(state, slot, &session) && session.generation == generation)
		for (unsigned i = 0; i < session.cid_count && i < SESSION_CIDS_MAX; i++)
			if (session.cids[i] < state->cids.slots && cid_read(state, session.cids[i], &entry) &&
			    entry.session == slot && entry.kind != CID_ORIGINAL && entry.len >= PROTOCOL_CID_MIN &&
			    entry.len <= CID_LEN_MAX)
				ended_add(share, &entry);
	ended_tell(share, state->globals->idle_timeout_s);
	view_leave(share->view);
}

static void sessions_tell(struct share *share, const struct state *state)
{
	struct session_cid cids[REDIS_SESSIONS_PUT_MAX];
	/* As long as an idle session lives; what a relay that died had told is to be found for half of that at the least. */
	uint32_t ttl_s = state->globals->idle_timeout_s;

	ended_tell(share, ttl_s);
	while (share->slots_left > 0 && redis_sessions_room(share->redis)) {
		unsigned count = publisher_sweep(share->publisher, state, (uint32_t)(clock_now_ns() / S_NS), ttl_s,
						 &share->slots_left, cids, REDIS_SESSIONS_PUT_MAX);

		if (count > 0)
			redis_sessions_put(share->redis, cids, count, ttl_s);
	}
}

static void sessions_serve(struct share *share)
{
	const struct state *state;
	uint64_t expirations;

	if (!share->publisher)
		return;
	if (read(share->timer_fd, &expirations, sizeof(expirations)) > 0)
		share->slots_left = SWEEP_SLOTS;
	if (share->slots_left == 0)
		return;
	if (share->view_generation != view_generation(share->view)) {
		share->view_generation = view_generation(share->view);
		publisher_restart(share->publisher);
	}
	state = view_enter(share->view);
	if (!state)
		return;
	sessions_tell(share, state);
	view_leave(share->view);
}

int share_session_find(struct share *share, uint64_t id, const uint8_t *cid, uint8_t min_len, uint8_t max_len)
{
	return share->publisher ? redis_session_find(share->redis, id, cid, min_len, max_len) : -EAGAIN;
}

/* --- the whole --------------------------------------------------------------------------------------- */

static int watch(struct share *share, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(share->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

/* What redis.sessions needs. 0 or -1. */
static int sessions_begin(struct share *share)
{
	const struct itimerspec every = { { 0, SWEEP_MS * MS_NS }, { 0, SWEEP_MS * MS_NS } };

	share->publisher = publisher_new();
	share->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	return share->publisher && share->timer_fd >= 0 && timerfd_settime(share->timer_fd, 0, &every, NULL) == 0 ?
	       watch(share, share->timer_fd) : -1;
}

struct share *share_new(const struct share_options *share_options)
{
	const struct config_redis *config = share_options->config;
	struct share *share = calloc(1, sizeof(*share));
	const struct redis_options options = {
		.address = config->address,
		.user = config->username,
		.password = config->password,
		.db = config->db,
		.channel = config->channel,
		.tls = config->tls,
		.tls_options = { config->ca_cert, config->client_cert, config->client_key },
	};
	struct redis_callbacks callbacks = {
		.snapshot_begin = on_snapshot_begin,
		.snapshot_route = on_snapshot_route,
		.snapshot_end = on_snapshot_end,
		.changed = on_changed,
		.deleted = on_deleted,
		.refused = on_refused,
		.state = on_state,
		.session_found = on_session_found,
		.context = share,
	};
	char error[TLS_ERROR_BYTES] = "no memory";

	if (!share) {
		log_errorx("redis: no memory");
		return NULL;
	}
	share->routes = share_options->routes;
	share->view = share_options->view;
	share->session_found = share_options->session_found;
	share->context = share_options->context;
	share->timer_fd = -1;
	share->thread = pthread_self();
	share->last = &share->first;
	pthread_mutex_init(&share->lock, NULL);
	share->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	share->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	share->redis = redis_new(&options, &callbacks, error);
	if (!share->redis || share->epoll_fd < 0 || share->event_fd < 0 || watch(share, share->event_fd) < 0 ||
	    watch(share, redis_fd(share->redis)) < 0 || (config->sessions && sessions_begin(share) < 0) ||
	    routes_listen(share->routes, on_change, share) < 0) {
		log_errorx("redis: %s", error);
		share_free(share);
		return NULL;
	}
	redis_handle(share->redis); /* begins to connect */
	return share;
}

void share_free(struct share *share)
{
	if (!share)
		return;
	redis_free(share->redis);
	publisher_free(share->publisher);
	free(share->ended);
	while (share->first) {
		struct item *item = share->first;

		share->first = item->next;
		free(item);
	}
	told_clear(share);
	if (share->event_fd >= 0)
		close(share->event_fd);
	if (share->timer_fd >= 0)
		close(share->timer_fd);
	if (share->epoll_fd >= 0)
		close(share->epoll_fd);
	pthread_mutex_destroy(&share->lock);
	free(share);
}

int share_fd(const struct share *share)
{
	return share->epoll_fd;
}

void share_serve(struct share *share)
{
	struct redis_stats stats;

	uint64_t version = routes_version(share->routes);

	queue_send(share);
	share->sent_version = version;
	redis_handle(share->redis);
	sessions_serve(share); /* behind it: answers have made room */
	redis_stats(share->redis, &stats);
	pthread_mutex_lock(&share->lock);
	share->stats = stats;
	pthread_mutex_unlock(&share->lock);
}

void share_settle(struct share *share)
{
	for (int waited_ms = 0; waited_ms < SETTLE_MS && !share->settled; waited_ms += SETTLE_STEP_MS) {
		struct pollfd fd = { .fd = share->epoll_fd, .events = POLLIN };

		if (poll(&fd, 1, SETTLE_STEP_MS) > 0)
			share_serve(share);
	}
}

void share_stats(struct share *share, struct redis_stats *stats)
{
	pthread_mutex_lock(&share->lock);
	*stats = share->stats;
	pthread_mutex_unlock(&share->lock);
}
