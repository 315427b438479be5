/* SPDX-License-Identifier: MIT */
/* targets: see targets.h. */
#include "control/targets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <time.h>

#include "control/clock.h"
#include "control/config_value.h"
#include "control/tls_resolve.h"
#include "userspace/log.h"

enum {
	/* Of glibc's 20 threads for getaddrinfo_a: the others are left to Redis' and game servers' names. */
	LOOKUPS_MAX = 16,
	ANSWER_STEP_MS = 5,            /* how often answers are looked for: glibc has no descriptor for them */
	TELL_MS = 100,                 /* between two walks over all routes for those whose names have changed */
};

/*
 * Names that wait for a look-up, by what is known of them, each queue in the
 * order of their turns. Those that a silent server holds up for seconds
 * keep neither new ones nor those that are known from their turn.
 */
enum queue { QUEUE_NEW, QUEUE_UNRESOLVED, QUEUE_RESOLVED, QUEUES };

/* Of LOOKUPS_MAX, until the queue has to wait. */
static const unsigned lookups_up_to[QUEUES] = { LOOKUPS_MAX, LOOKUPS_MAX / 2, LOOKUPS_MAX * 3 / 4 };

/* A name that some route has as a target. In a tree (tsearch) by name. */
struct name {
	TAILQ_ENTRY(name) entry;       /* of its queue; not while it is looked up */
	unsigned count;                /* of addresses, in order */
	struct addr addresses[TARGETS_NAME_ADDRESSES_MAX];
	uint64_t pass;                 /* the last one that found it in use */
	uint64_t change;               /* number of the change that gave it these addresses */
	uint64_t due_ns;
	char text[];
};

TAILQ_HEAD(names, name);

struct lookup {
	struct name *name;             /* NULL: free */
	struct tls_resolve *resolve;
};

struct targets {
	struct routes *routes;
	void (*changed)(void *context, const char *fqdn);
	void *context;
	pthread_t thread;
	bool started;

	/* The thread's own. */
	struct lookup lookups[LOOKUPS_MAX];
	unsigned lookup_count;
	uint64_t synced_ns, told_ns;
	uint64_t changes, told;        /* number of the last change of addresses, and of the last that was told */
	struct log_limit failures_logged;

	pthread_mutex_t lock;          /* of what follows; never held while the store's is wanted */
	pthread_cond_t wake;
	bool stop;
	void *tree;
	struct names queues[QUEUES];
	uint64_t pass;
	struct targets_stats stats;
};

static int by_text(const void *a, const void *b)
{
	return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

/* --- names: under the lock ----------------------------------------------------------------------------- */

/* text is not NUL-terminated. NULL: none such. */
static struct name *name_find(const struct targets *targets, const char *text, size_t len)
{
	struct {
		struct name name;
		char text[CONFIG_FQDN_MAX + 1];
	} key;
	struct name **found;

	memcpy(key.name.text, text, len);
	key.name.text[len] = '\0';
	found = tfind(&key.name, &targets->tree, by_text);
	return found ? *found : NULL;
}

static void name_add(struct targets *targets, const char *text, size_t len)
{
	struct name *name = calloc(1, sizeof(*name) + len + 1);

	if (!name)
		return; /* the next pass tries again */
	memcpy(name->text, text, len);
	name->pass = targets->pass;
	if (!tsearch(name, &targets->tree, by_text)) {
		free(name);
		return;
	}
	/* In front: a file of a thousand names that nobody answers for has its turn behind the one that is new. */
	TAILQ_INSERT_HEAD(&targets->queues[QUEUE_NEW], name, entry);
	targets->stats.names++;
	targets->stats.unresolved++;
}

static void name_remove(struct targets *targets, struct name *name)
{
	tdelete(name, &targets->tree, by_text);
	targets->stats.names--;
	targets->stats.unresolved -= name->count == 0;
	free(name);
}

static void names_note(struct targets *targets, const struct route_spec *spec)
{
	for (unsigned i = 0; i < spec->count; i++) {
		struct name *name;

		if (spec->targets[i].name_len == 0)
			continue;
		name = name_find(targets, spec->targets[i].text, spec->targets[i].name_len);
		if (name)
			name->pass = targets->pass;
		else
			name_add(targets, spec->targets[i].text, spec->targets[i].name_len);
	}
}

/* Those that no route names any more; one that is looked up has its turn the next time. */
static void names_prune(struct targets *targets)
{
	for (enum queue queue = 0; queue < QUEUES; queue++) {
		struct name *name, *next;

		for (name = TAILQ_FIRST(&targets->queues[queue]); name; name = next) {
			next = TAILQ_NEXT(name, entry);
			if (name->pass == targets->pass)
				continue;
			TAILQ_REMOVE(&targets->queues[queue], name, entry);
			name_remove(targets, name);
		}
	}
}

/* --- the routes that name them: the thread's own -------------------------------------------------------- */

static void note_route(void *context, const struct routes_route *route)
{
	struct targets *targets = context;

	if (!route_spec_has_names(route->spec))
		return;
	pthread_mutex_lock(&targets->lock);
	names_note(targets, route->spec);
	pthread_mutex_unlock(&targets->lock);
}

/* Which names are in use. Routes that come meanwhile note theirs themselves. */
static void names_sync(struct targets *targets, uint64_t now_ns)
{
	if (targets->synced_ns && now_ns - targets->synced_ns < TARGETS_REFRESH_S * S_NS)
		return;
	targets->synced_ns = now_ns;
	pthread_mutex_lock(&targets->lock);
	targets->pass++;
	pthread_mutex_unlock(&targets->lock);
	routes_each(targets->routes, note_route, targets);
	pthread_mutex_lock(&targets->lock);
	names_prune(targets);
	pthread_mutex_unlock(&targets->lock);
}

static void tell_if_changed(void *context, const struct routes_route *route)
{
	struct targets *targets = context;
	bool changed = false;

	pthread_mutex_lock(&targets->lock);
	for (unsigned i = 0; i < route->spec->count; i++) {
		const struct route_spec_target *target = &route->spec->targets[i];
		const struct name *name = target->name_len ? name_find(targets, target->text, target->name_len) : NULL;

		changed |= name && name->change > targets->told;
	}
	pthread_mutex_unlock(&targets->lock);
	if (changed)
		targets->changed(targets->context, route->fqdn);
}

static void changes_tell(struct targets *targets, uint64_t now_ns)
{
	if (targets->changes == targets->told || now_ns - targets->told_ns < TELL_MS * MS_NS)
		return;
	routes_each(targets->routes, tell_if_changed, targets);
	targets->told = targets->changes;
	targets->told_ns = clock_now_ns();
}

/* --- look-ups: the thread's own ------------------------------------------------------------------------- */

static int by_bytes(const struct addr *a, const struct addr *b)
{
	return memcmp(a, b, sizeof(*a));
}

unsigned targets_addresses(const struct addrinfo *list, struct addr addresses[static TARGETS_NAME_ADDRESSES_MAX])
{
	unsigned n = 0, at;

	for (; list; list = list->ai_next) {
		struct addr addr = { .bytes = { [10] = 0xff, [11] = 0xff } };

		if (list->ai_family == AF_INET)
			addr.words_be[3] = ((const struct sockaddr_in *)list->ai_addr)->sin_addr.s_addr;
		else if (list->ai_family == AF_INET6)
			memcpy(&addr, &((const struct sockaddr_in6 *)list->ai_addr)->sin6_addr, sizeof(addr));
		else
			continue;
		if (!config_address_is_unicast(&addr))
			continue;
		for (at = 0; at < n && by_bytes(&addresses[at], &addr) < 0; at++)
			;
		if (at == TARGETS_NAME_ADDRESSES_MAX || (at < n && by_bytes(&addresses[at], &addr) == 0))
			continue;
		n += n < TARGETS_NAME_ADDRESSES_MAX;
		memmove(&addresses[at + 1], &addresses[at], (n - 1 - at) * sizeof(addr));
		addresses[at] = addr;
	}
	return n;
}

/* Under the lock. */
static void addresses_set(struct targets *targets, struct name *name, const struct addr *addresses, unsigned n)
{
	targets->stats.lookups++;
	targets->stats.failures += n == 0;
	if (n == 0 || (n == name->count && memcmp(addresses, name->addresses, n * sizeof(*addresses)) == 0))
		return;
	targets->stats.unresolved -= name->count == 0;
	memcpy(name->addresses, addresses, n * sizeof(*addresses));
	name->count = n;
	name->change = ++targets->changes;
}

static void name_take(struct targets *targets, struct name *name, int error, const struct addrinfo *list)
{
	struct addr addresses[TARGETS_NAME_ADDRESSES_MAX];
	unsigned held, n = error ? 0 : targets_addresses(list, addresses);
	enum queue queue;

	if (n == 0 && log_limit_pass(&targets->failures_logged, &held))
		log_warnx("target %s: %s%s (and %u others before)", name->text,
			  error ? gai_strerror(error) : "no address of one host",
			  name->count ? "; its old addresses stay" : "", held);
	pthread_mutex_lock(&targets->lock);
	addresses_set(targets, name, addresses, n);
	queue = name->count ? QUEUE_RESOLVED : QUEUE_UNRESOLVED;
	name->due_ns = clock_now_ns() + (name->count ? TARGETS_REFRESH_S : TARGETS_RETRY_S) * S_NS;
	TAILQ_INSERT_TAIL(&targets->queues[queue], name, entry);
	pthread_mutex_unlock(&targets->lock);
}

static void lookup_end(struct targets *targets, struct lookup *lookup)
{
	tls_resolve_free(lookup->resolve);
	*lookup = (struct lookup){ 0 };
	targets->lookup_count--;
}

static void lookups_take(struct targets *targets)
{
	for (unsigned i = 0; i < LOOKUPS_MAX; i++) {
		struct lookup *lookup = &targets->lookups[i];
		const struct addrinfo *list = NULL;
		int error = EAI_MEMORY;

		if (!lookup->name)
			continue;
		if (lookup->resolve)
			error = tls_resolve_step(lookup->resolve, &list);
		if (error == EAI_INPROGRESS)
			continue;
		name_take(targets, lookup->name, error, list);
		lookup_end(targets, lookup);
	}
}

/* The next that may be looked up, out of its queue. NULL: none now. */
static struct name *name_due(struct targets *targets, uint64_t now_ns)
{
	struct name *name = NULL;

	pthread_mutex_lock(&targets->lock);
	for (enum queue queue = 0; queue < QUEUES && !name; queue++) {
		name = TAILQ_FIRST(&targets->queues[queue]);
		if (name && (name->due_ns > now_ns || targets->lookup_count >= lookups_up_to[queue]))
			name = NULL;
		if (name)
			TAILQ_REMOVE(&targets->queues[queue], name, entry);
	}
	pthread_mutex_unlock(&targets->lock);
	return name;
}

static void lookups_begin(struct targets *targets, uint64_t now_ns)
{
	for (unsigned i = 0; i < LOOKUPS_MAX; i++) {
		struct lookup *lookup = &targets->lookups[i];

		if (lookup->name)
			continue;
		lookup->name = name_due(targets, now_ns);
		if (!lookup->name)
			return;
		lookup->resolve = tls_resolve_new(lookup->name->text, 0);
		targets->lookup_count++;
	}
}

/* Until something is due: an answer, a change that waits to be told, a name. False: it is time to end. */
static bool wait_for_work(struct targets *targets)
{
	uint64_t until_ns = targets->synced_ns + TARGETS_REFRESH_S * S_NS, now_ns = clock_now_ns();
	struct timespec until;
	bool go_on;

	pthread_mutex_lock(&targets->lock);
	for (enum queue queue = 0; queue < QUEUES; queue++) {
		const struct name *name = TAILQ_FIRST(&targets->queues[queue]);

		if (name && name->due_ns < until_ns)
			until_ns = name->due_ns;
	}
	if (targets->lookup_count > 0 || targets->changes != targets->told || until_ns < now_ns)
		until_ns = now_ns + ANSWER_STEP_MS * MS_NS;
	until = clock_timespec(until_ns);
	if (!targets->stop)
		pthread_cond_timedwait(&targets->wake, &targets->lock, &until);
	go_on = !targets->stop;
	pthread_mutex_unlock(&targets->lock);
	return go_on;
}

static void *resolve_main(void *argument)
{
	struct targets *targets = argument;

	do {
		uint64_t now_ns = clock_now_ns();

		names_sync(targets, now_ns);
		lookups_take(targets);
		lookups_begin(targets, now_ns);
		changes_tell(targets, now_ns);
	} while (wait_for_work(targets));
	for (unsigned i = 0; i < LOOKUPS_MAX; i++)
		if (targets->lookups[i].name) {
			name_remove(targets, targets->lookups[i].name);
			lookup_end(targets, &targets->lookups[i]);
		}
	return NULL;
}

/* --- from outside ------------------------------------------------------------------------------------ */

void targets_refresh(struct targets *targets)
{
	struct name *name;

	pthread_mutex_lock(&targets->lock);
	for (enum queue queue = 0; queue < QUEUES; queue++)
		TAILQ_FOREACH(name, &targets->queues[queue], entry)
			name->due_ns = 0;
	pthread_cond_signal(&targets->wake);
	pthread_mutex_unlock(&targets->lock);
}

/* Under the store's lock, on any thread. */
static void on_route(void *context, const char *fqdn, const struct routes_route *route, enum routes_origin was)
{
	struct targets *targets = context;

	(void)fqdn;
	(void)was;
	if (!route || !route_spec_has_names(route->spec))
		return;
	pthread_mutex_lock(&targets->lock);
	names_note(targets, route->spec);
	pthread_cond_signal(&targets->wake);
	pthread_mutex_unlock(&targets->lock);
}

struct targets *targets_new(struct routes *routes)
{
	struct targets *targets = calloc(1, sizeof(*targets));

	if (!targets || routes_listen(routes, on_route, targets) < 0) {
		log_errorx("targets: no memory");
		free(targets);
		return NULL;
	}
	targets->routes = routes;
	for (enum queue queue = 0; queue < QUEUES; queue++)
		TAILQ_INIT(&targets->queues[queue]);
	pthread_mutex_init(&targets->lock, NULL);
	clock_cond_init(&targets->wake);
	return targets;
}

void targets_listen(struct targets *targets, void (*changed)(void *context, const char *fqdn), void *context)
{
	targets->changed = changed;
	targets->context = context;
}

int targets_start(struct targets *targets)
{
	int error = pthread_create(&targets->thread, NULL, resolve_main, targets);

	targets->started = !error;
	return -error;
}

void targets_free(struct targets *targets)
{
	if (!targets)
		return;
	pthread_mutex_lock(&targets->lock);
	targets->stop = true;
	pthread_cond_signal(&targets->wake);
	pthread_mutex_unlock(&targets->lock);
	if (targets->started)
		pthread_join(targets->thread, NULL);
	targets->pass++; /* so none is in use */
	names_prune(targets);
	pthread_cond_destroy(&targets->wake);
	pthread_mutex_destroy(&targets->lock);
	free(targets);
}

/* Under the lock. */
static void target_put(struct targets *targets, struct protocol_route *route, const struct addr *address, uint16_t port,
		       uint16_t weight)
{
	if (route->count == PROTOCOL_TARGETS_MAX) {
		targets->stats.left_out++;
		return;
	}
	route->targets[route->count++] =
		(struct protocol_target){ .address = *address, .port_be = htons(port), .weight = weight };
}

/* Each address of a name has the name's weight. */
static void spec_put(struct targets *targets, const struct route_spec *spec, struct protocol_route *route)
{
	pthread_mutex_lock(&targets->lock);
	for (unsigned i = 0; i < spec->count; i++) {
		const struct route_spec_target *target = &spec->targets[i];
		const struct name *name;

		if (target->name_len == 0) {
			target_put(targets, route, &target->address.addr, target->address.port, target->weight);
			continue;
		}
		name = name_find(targets, target->text, target->name_len);
		for (unsigned j = 0; name && j < name->count; j++)
			target_put(targets, route, &name->addresses[j], target->address.port, target->weight);
	}
	pthread_mutex_unlock(&targets->lock);
}

void targets_message(struct targets *targets, const char *fqdn, const struct routes_route *route,
		     struct protocol_message *message)
{
	memset(message, 0, sizeof(*message));
	snprintf(message->text, sizeof(message->text), "%s", fqdn);
	message->type = route ? PROTOCOL_ROUTE : PROTOCOL_ROUTE_GONE;
	if (!route)
		return;
	if (route->spec->migration == MIGRATION_PINNED)
		message->route.flags |= PROTOCOL_ROUTE_PINNED;
	if (route->spec->client_ip == CLIENT_IP_PRESERVE)
		message->route.flags |= PROTOCOL_ROUTE_PRESERVE;
	if (route->spec->type == ROUTE_AGONES)
		message->route.flags |= PROTOCOL_ROUTE_ASK;
	else
		spec_put(targets, route->spec, &message->route);
}

void targets_stats(struct targets *targets, struct targets_stats *stats)
{
	pthread_mutex_lock(&targets->lock);
	*stats = targets->stats;
	pthread_mutex_unlock(&targets->lock);
}
