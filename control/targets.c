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
#include <time.h>

#include "control/tls_resolve.h"
#include "userspace/log.h"

enum {
	LOOKUPS_AT_ONCE = 32,
	ANSWER_STEP_MS = 5,            /* how often answers are looked for: glibc has no descriptor for them */
};

/* A name that some route has as a target. In a tree (tsearch) by name. */
struct name {
	unsigned count;                /* of addresses, in order */
	struct addr addresses[TARGETS_NAME_ADDRESSES_MAX];
	uint64_t pass;                 /* the last one that found it in use */
	bool changed;                  /* in this pass */
	struct name *next;             /* of all */
	char text[];
};

struct targets {
	struct routes *routes;
	void (*changed)(void *context, const char *fqdn);
	void *context;
	pthread_t thread;
	bool started;

	pthread_mutex_t lock;          /* of what follows; never held while the store's is wanted */
	pthread_cond_t wake;
	bool stop, wanted;             /* wanted: a route with names was set */
	void *tree;
	struct name *names;
	uint64_t pass;
	struct log_limit failures_logged;
	struct targets_stats stats;
};

static int by_text(const void *a, const void *b)
{
	return strcmp(((const struct name *)a)->text, ((const struct name *)b)->text);
}

/* --- names ------------------------------------------------------------------------------------------- */

/* Under the lock. text is not NUL-terminated. NULL: none such. */
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
	name->next = targets->names;
	targets->names = name;
}

static void names_note(struct targets *targets, const struct route_spec *spec)
{
	pthread_mutex_lock(&targets->lock);
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
	pthread_mutex_unlock(&targets->lock);
}

/* Those that no route names any more. */
static void names_prune(struct targets *targets)
{
	pthread_mutex_lock(&targets->lock);
	for (struct name **at = &targets->names; *at;) {
		struct name *name = *at;

		if (name->pass == targets->pass) {
			at = &name->next;
			continue;
		}
		*at = name->next;
		tdelete(name, &targets->tree, by_text);
		free(name);
	}
	pthread_mutex_unlock(&targets->lock);
}

/* --- resolving: the thread's own --------------------------------------------------------------------- */

static void note_route(void *context, const struct routes_route *route)
{
	if (route_spec_has_names(route->spec))
		names_note(context, route->spec);
}

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct addr));
}

/* The addresses of an answer, in an order that does not change with every answer. */
static unsigned addresses_of(const struct addrinfo *list, struct addr addresses[static TARGETS_NAME_ADDRESSES_MAX])
{
	unsigned n = 0;

	for (; list && n < TARGETS_NAME_ADDRESSES_MAX; list = list->ai_next) {
		struct addr *addr = &addresses[n];

		*addr = (struct addr){ .bytes = { [10] = 0xff, [11] = 0xff } };
		if (list->ai_family == AF_INET)
			addr->words_be[3] = ((const struct sockaddr_in *)list->ai_addr)->sin_addr.s_addr;
		else if (list->ai_family == AF_INET6)
			memcpy(addr, &((const struct sockaddr_in6 *)list->ai_addr)->sin6_addr, sizeof(*addr));
		else
			continue;
		n++;
	}
	qsort(addresses, n, sizeof(*addresses), by_bytes);
	return n;
}

static void name_take(struct targets *targets, struct name *name, int error, const struct addrinfo *list)
{
	struct addr addresses[TARGETS_NAME_ADDRESSES_MAX];
	unsigned held, n = error ? 0 : addresses_of(list, addresses);

	pthread_mutex_lock(&targets->lock);
	targets->stats.lookups++;
	targets->stats.failures += n == 0;
	if (n > 0 && (n != name->count || memcmp(addresses, name->addresses, n * sizeof(*addresses)) != 0)) {
		memcpy(name->addresses, addresses, n * sizeof(*addresses));
		name->count = n;
		name->changed = true;
	}
	pthread_mutex_unlock(&targets->lock);
	if (n == 0 && log_limit_pass(&targets->failures_logged, &held))
		log_warnx("target %s: %s%s (and %u others before)", name->text,
			  error ? gai_strerror(error) : "no address", name->count ? "; its old addresses stay" : "", held);
}

/* Lets other threads in for a moment. False: it is time to end. */
static bool pause_for_answers(struct targets *targets)
{
	struct timespec until;
	bool go_on;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += ANSWER_STEP_MS * 1000000l;
	until.tv_sec += until.tv_nsec / 1000000000l;
	until.tv_nsec %= 1000000000l;
	pthread_mutex_lock(&targets->lock);
	if (!targets->stop)
		pthread_cond_timedwait(&targets->wake, &targets->lock, &until);
	go_on = !targets->stop;
	pthread_mutex_unlock(&targets->lock);
	return go_on;
}

/* Some at a time: a server that does not answer holds each for seconds. Returns the first that is not done yet. */
static struct name *names_resolve(struct targets *targets, struct name *first)
{
	struct tls_resolve *lookups[LOOKUPS_AT_ONCE];
	const struct addrinfo *list = NULL;
	struct name *name = first;
	unsigned n = 0;
	bool go_on = true;

	for (; name && n < LOOKUPS_AT_ONCE; name = name->next)
		lookups[n++] = tls_resolve_new(name->text, 0);
	for (unsigned i = 0; i < n; i++, first = first->next) {
		int error = EAI_MEMORY;

		while (lookups[i] && (error = tls_resolve_step(lookups[i], &list)) == EAI_INPROGRESS && go_on)
			go_on = pause_for_answers(targets);
		if (go_on)
			name_take(targets, first, error, list);
		if (lookups[i])
			tls_resolve_free(lookups[i]);
	}
	return go_on ? name : NULL;
}

static void tell_if_changed(void *context, const struct routes_route *route)
{
	struct targets *targets = context;
	bool changed = false;

	pthread_mutex_lock(&targets->lock);
	for (unsigned i = 0; i < route->spec->count; i++) {
		const struct route_spec_target *target = &route->spec->targets[i];
		const struct name *name = target->name_len ? name_find(targets, target->text, target->name_len) : NULL;

		changed |= name && name->changed;
	}
	pthread_mutex_unlock(&targets->lock);
	if (changed)
		targets->changed(targets->context, route->fqdn);
}

/* Names are added and removed by this thread alone, so it may walk them without the lock. */
static void pass(struct targets *targets)
{
	struct targets_stats count = { 0 };
	bool changed = false;

	targets->pass++;
	routes_each(targets->routes, note_route, targets);
	names_prune(targets);
	for (struct name *name = targets->names; name;)
		name = names_resolve(targets, name);
	for (struct name *name = targets->names; name; name = name->next)
		changed |= name->changed;
	if (changed)
		routes_each(targets->routes, tell_if_changed, targets);
	for (struct name *name = targets->names; name; name = name->next) {
		name->changed = false;
		count.names++;
		count.unresolved += name->count == 0;
	}
	pthread_mutex_lock(&targets->lock);
	targets->stats.names = count.names;
	targets->stats.unresolved = count.unresolved;
	pthread_mutex_unlock(&targets->lock);
}

static void *resolve_main(void *argument)
{
	struct targets *targets = argument;
	struct timespec until;

	pthread_mutex_lock(&targets->lock);
	while (!targets->stop) {
		targets->wanted = false;
		pthread_mutex_unlock(&targets->lock);
		pass(targets);
		clock_gettime(CLOCK_MONOTONIC, &until);
		pthread_mutex_lock(&targets->lock);
		until.tv_sec += targets->stats.unresolved ? TARGETS_RETRY_S : TARGETS_REFRESH_S;
		while (!targets->stop && !targets->wanted &&
		       pthread_cond_timedwait(&targets->wake, &targets->lock, &until) == 0)
			;
	}
	pthread_mutex_unlock(&targets->lock);
	return NULL;
}

/* --- from outside ------------------------------------------------------------------------------------ */

void targets_refresh(struct targets *targets)
{
	pthread_mutex_lock(&targets->lock);
	targets->wanted = true;
	pthread_cond_signal(&targets->wake);
	pthread_mutex_unlock(&targets->lock);
}

/* Under the store's lock. */
static void on_route(void *context, const char *fqdn, const struct routes_route *route)
{
	(void)fqdn;
	if (route && route_spec_has_names(route->spec))
		targets_refresh(context);
}

struct targets *targets_new(struct routes *routes)
{
	struct targets *targets = calloc(1, sizeof(*targets));
	pthread_condattr_t attributes;

	if (!targets || routes_listen(routes, on_route, targets) < 0) {
		log_errorx("targets: no memory");
		free(targets);
		return NULL;
	}
	targets->routes = routes;
	pthread_mutex_init(&targets->lock, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&targets->wake, &attributes);
	pthread_condattr_destroy(&attributes);
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
	targets->pass++;
	names_prune(targets);
	pthread_cond_destroy(&targets->wake);
	pthread_mutex_destroy(&targets->lock);
	free(targets);
}

static void target_put(struct protocol_route *route, const struct addr *address, uint16_t port, uint16_t weight)
{
	if (route->count < PROTOCOL_TARGETS_MAX)
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
			target_put(route, &target->address.addr, target->address.port, target->weight);
			continue;
		}
		name = name_find(targets, target->text, target->name_len);
		for (unsigned j = 0; name && j < name->count; j++)
			target_put(route, &name->addresses[j], target->address.port, target->weight);
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
