/* SPDX-License-Identifier: MIT */
/*
 * routes: see routes.h. A skip list (Pugh, "Skip lists: a probabilistic
 * alternative to balanced trees", 1990): found by name and listed from any
 * name on in O(log n), which is what the pages of a listing need.
 */
#include "control/routes.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/config_value.h"

enum {
	LEVELS_MAX = 16,               /* at 1/4 a level: for 4^16 routes */
	PAGE_ROUTES = 64,              /* copied at once for routes_each */
};

struct node {
	struct routes_route route;
	bool in_file;                  /* the file named it when it was read last, ... */
	struct route_spec *file_spec;  /* ... and this is what it said */
	uint64_t reload;               /* number of the last reload that named it */
	unsigned levels;
	struct node *next[];
};

struct routes {
	pthread_mutex_t lock;
	struct node *head;             /* LEVELS_MAX levels, no route */
	size_t count, max;
	size_t mortal;                 /* routes that expire */
	uint64_t version, reload;
	uint32_t random;
	struct {
		routes_listener *call;
		void *context;
	} listeners[ROUTES_LISTENERS_MAX];
	unsigned listener_count;
};

static const char *const origin_names[] = {
	[ROUTES_FILE] = "file",
	[ROUTES_API] = "api",
	[ROUTES_REDIS] = "redis",
	[ROUTES_ALLOCATED] = "allocated",
};

const char *routes_origin_name(enum routes_origin origin)
{
	return origin_names[origin];
}

const char *routes_name(const char *fqdn, char name[static CONFIG_FQDN_MAX + 1])
{
	char *lower = NULL;
	const char *must = config_value_fqdn(fqdn, &lower);

	if (must)
		return must;
	snprintf(name, CONFIG_FQDN_MAX + 1, "%s", lower);
	free(lower);
	return NULL;
}

/* --- the skip list, under the lock ------------------------------------------------------------------ */

static struct node *node_new(unsigned levels)
{
	struct node *node = calloc(1, sizeof(*node) + levels * sizeof(node->next[0]));

	if (node)
		node->levels = levels;
	return node;
}

static unsigned levels_draw(struct routes *routes)
{
	unsigned levels = 1;

	/* xorshift32 (Marsaglia, 2003): names are the operator's, nobody gains by guessing it */
	routes->random ^= routes->random << 13;
	routes->random ^= routes->random >> 17;
	routes->random ^= routes->random << 5;
	for (uint32_t bits = routes->random; levels < LEVELS_MAX && (bits & 3) == 0; bits >>= 2)
		levels++;
	return levels;
}

/* The last node before `fqdn` on each level; returns the node of that name. */
static struct node *find(struct routes *routes, const char *fqdn, struct node *before[LEVELS_MAX])
{
	struct node *at = routes->head;

	for (unsigned level = LEVELS_MAX; level-- > 0;) {
		while (at->next[level] && strcmp(at->next[level]->route.fqdn, fqdn) < 0)
			at = at->next[level];
		before[level] = at;
	}
	at = at->next[0];
	return at && strcmp(at->route.fqdn, fqdn) == 0 ? at : NULL;
}

static void link_in(struct routes *routes, struct node *node, struct node *before[LEVELS_MAX])
{
	for (unsigned level = 0; level < node->levels; level++) {
		node->next[level] = before[level]->next[level];
		before[level]->next[level] = node;
	}
	routes->count++;
}

static void link_out(struct routes *routes, struct node *node, struct node *before[LEVELS_MAX])
{
	for (unsigned level = 0; level < node->levels; level++)
		before[level]->next[level] = node->next[level];
	routes->count--;
}

static void tell(struct routes *routes, const char *fqdn, const struct routes_route *route, enum routes_origin was)
{
	for (unsigned i = 0; i < routes->listener_count; i++)
		routes->listeners[i].call(routes->listeners[i].context, fqdn, route, was);
}

static void spec_set(struct routes *routes, struct node *node, struct route_spec *spec)
{
	routes->mortal -= node->route.spec && node->route.spec->expires_s;
	routes->mortal += spec && spec->expires_s;
	route_spec_hold(spec);
	route_spec_release(node->route.spec);
	node->route.spec = spec;
}

static void node_set(struct routes *routes, struct node *node, const struct routes_route *route)
{
	enum routes_origin was = node->route.origin;

	spec_set(routes, node, route->spec);
	memcpy(node->route.fqdn, route->fqdn, sizeof(node->route.fqdn));
	node->route.origin = route->origin;
	node->route.version = ++routes->version;
	tell(routes, node->route.fqdn, &node->route, was);
}

static void node_free(struct node *node)
{
	route_spec_release(node->route.spec);
	route_spec_release(node->file_spec);
	free(node);
}

static void node_remove(struct routes *routes, struct node *node, struct node *before[LEVELS_MAX])
{
	link_out(routes, node, before);
	routes->version++;
	spec_set(routes, node, NULL);
	tell(routes, node->route.fqdn, NULL, node->route.origin);
	node_free(node);
}

/* --- the store -------------------------------------------------------------------------------------- */

struct routes *routes_new(size_t max)
{
	struct routes *routes = calloc(1, sizeof(*routes));

	if (!routes)
		return NULL;
	routes->head = node_new(LEVELS_MAX);
	if (!routes->head) {
		free(routes);
		return NULL;
	}
	routes->max = max;
	routes->random = 2463534242u;
	pthread_mutex_init(&routes->lock, NULL);
	return routes;
}

void routes_free(struct routes *routes)
{
	if (!routes)
		return;
	for (struct node *node = routes->head, *next; node; node = next) {
		next = node->next[0];
		node_free(node);
	}
	pthread_mutex_destroy(&routes->lock);
	free(routes);
}

int routes_listen(struct routes *routes, routes_listener *listener, void *context)
{
	if (routes->listener_count == ROUTES_LISTENERS_MAX)
		return -ENOSPC;
	routes->listeners[routes->listener_count].call = listener;
	routes->listeners[routes->listener_count++].context = context;
	return 0;
}

int routes_set(struct routes *routes, const struct routes_route *route)
{
	struct node *before[LEVELS_MAX], *node;
	int result = 0;

	pthread_mutex_lock(&routes->lock);
	node = find(routes, route->fqdn, before);
	if (!node && routes->count >= routes->max) {
		result = -ENOSPC;
	} else if (!node && !(node = node_new(levels_draw(routes)))) {
		result = -ENOMEM;
	} else {
		bool is_new = node->route.fqdn[0] == '\0';

		node_set(routes, node, route);
		if (is_new)
			link_in(routes, node, before);
	}
	pthread_mutex_unlock(&routes->lock);
	return result;
}

int routes_remove(struct routes *routes, const char *fqdn)
{
	struct node *before[LEVELS_MAX], *node;

	pthread_mutex_lock(&routes->lock);
	node = find(routes, fqdn, before);
	if (node)
		node_remove(routes, node, before);
	pthread_mutex_unlock(&routes->lock);
	return node ? 0 : -ENOENT;
}

bool routes_get(struct routes *routes, const char *fqdn, struct routes_route *route)
{
	struct node *before[LEVELS_MAX], *node;

	pthread_mutex_lock(&routes->lock);
	node = find(routes, fqdn, before);
	if (node) {
		*route = node->route;
		route_spec_hold(route->spec);
	}
	pthread_mutex_unlock(&routes->lock);
	return node != NULL;
}

void routes_end(struct routes_route *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		route_spec_release(list[i].spec);
		list[i].spec = NULL;
	}
}

size_t routes_list(struct routes *routes, const char *after, struct routes_route *list, size_t max)
{
	struct node *before[LEVELS_MAX], *node;
	size_t n = 0;

	pthread_mutex_lock(&routes->lock);
	node = find(routes, after, before);
	for (node = node ? node->next[0] : before[0]->next[0]; node && n < max; node = node->next[0]) {
		list[n] = node->route;
		route_spec_hold(list[n++].spec);
	}
	pthread_mutex_unlock(&routes->lock);
	return n;
}

void routes_each(struct routes *routes, void (*call)(void *context, const struct routes_route *route), void *context)
{
	struct routes_route *page = calloc(PAGE_ROUTES, sizeof(*page));
	char after[CONFIG_FQDN_MAX + 1] = "";
	size_t n;

	while (page && (n = routes_list(routes, after, page, PAGE_ROUTES)) > 0) {
		for (size_t i = 0; i < n; i++)
			call(context, &page[i]);
		memcpy(after, page[n - 1].fqdn, sizeof(after));
		routes_end(page, n);
	}
	free(page);
}

size_t routes_count(struct routes *routes)
{
	size_t count;

	pthread_mutex_lock(&routes->lock);
	count = routes->count;
	pthread_mutex_unlock(&routes->lock);
	return count;
}

uint64_t routes_version(struct routes *routes)
{
	uint64_t version;

	pthread_mutex_lock(&routes->lock);
	version = routes->version;
	pthread_mutex_unlock(&routes->lock);
	return version;
}

size_t routes_expire(struct routes *routes, uint64_t now_s)
{
	size_t expired = 0;

	pthread_mutex_lock(&routes->lock);
	for (struct node *node = routes->head->next[0], *next; node && routes->mortal > 0; node = next) {
		struct node *before[LEVELS_MAX];

		next = node->next[0];
		if (node->route.spec->expires_s == 0 || node->route.spec->expires_s > now_s)
			continue;
		find(routes, node->route.fqdn, before);
		node_remove(routes, node, before);
		expired++;
	}
	pthread_mutex_unlock(&routes->lock);
	return expired;
}

/* --- the file --------------------------------------------------------------------------------------- */

static bool file_said_so(const struct node *node, const struct config_route *route)
{
	return node->in_file && route_spec_equal(node->file_spec, route->spec);
}

static void file_route_set(struct routes *routes, const struct config_route *from, struct node *spare,
			   struct routes_tally *tally)
{
	struct routes_route route = { .spec = from->spec, .origin = ROUTES_FILE };
	struct node *before[LEVELS_MAX], *node = find(routes, from->fqdn, before);

	if (!node) {
		node = spare;
		snprintf(node->route.fqdn, sizeof(node->route.fqdn), "%s", from->fqdn);
		link_in(routes, node, before);
	}
	node->reload = routes->reload;
	if (file_said_so(node, from)) {
		tally->unchanged++;
		return;
	}
	snprintf(route.fqdn, sizeof(route.fqdn), "%s", from->fqdn);
	node_set(routes, node, &route);
	node->in_file = true;
	route_spec_hold(from->spec);
	route_spec_release(node->file_spec);
	node->file_spec = from->spec;
	tally->set++;
}

/* Routes that the file does not name any more; those that another origin has taken over stay. */
static void file_routes_prune(struct routes *routes, struct routes_tally *tally)
{
	struct node *node = routes->head->next[0], *next;

	for (; node; node = next) {
		struct node *before[LEVELS_MAX];

		next = node->next[0];
		if (!node->in_file || node->reload == routes->reload)
			continue;
		node->in_file = false;
		if (node->route.origin != ROUTES_FILE)
			continue;
		find(routes, node->route.fqdn, before);
		node_remove(routes, node, before);
		tally->removed++;
	}
}

/* A node for each name that has none: all memory is there before anything changes. 0, -ENOSPC or -ENOMEM. */
static int spares_make(struct routes *routes, const struct config *config, struct node **spares)
{
	struct node *before[LEVELS_MAX];
	size_t added = 0;

	for (size_t i = 0; i < config->route_count; i++) {
		if (find(routes, config->routes[i].fqdn, before))
			continue;
		if (routes->count + ++added > routes->max)
			return -ENOSPC;
		spares[i] = node_new(levels_draw(routes));
		if (!spares[i])
			return -ENOMEM;
	}
	return 0;
}

int routes_reload(struct routes *routes, const struct config *config, struct routes_tally *tally)
{
	struct node **spares = calloc(config->route_count + 1, sizeof(struct node *));
	int error;

	*tally = (struct routes_tally){ 0 };
	if (!spares)
		return -ENOMEM;
	pthread_mutex_lock(&routes->lock);
	error = spares_make(routes, config, spares);
	if (error) {
		for (size_t i = 0; i < config->route_count; i++)
			free(spares[i]);
	} else {
		routes->reload++;
		for (size_t i = 0; i < config->route_count; i++)
			file_route_set(routes, &config->routes[i], spares[i], tally);
		file_routes_prune(routes, tally);
	}
	pthread_mutex_unlock(&routes->lock);
	free(spares);
	return error;
}
