/* SPDX-License-Identifier: MIT */
/* route: see route.h. */
#include "route.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "control/protocol.h"

/*
 * The table grows whenever a chain is long, and among very many names one always
 * is: without a bound it takes 16 million buckets for 100,000 names, and a walk seconds.
 */
enum {
	BUCKETS_MIN = 1 << 10,
	BUCKETS_MAX = 1 << 17,
};

/* A name and, for wildcards, what stands before it: no string is put together for a look-up. */
struct key {
	const char *prefix, *name;
};

/* FNV-1a over a seed: names are the operator's, so nobody can fill a chain on purpose. */
static unsigned long key_hash(const struct route_table *table, const struct key *key)
{
	uint64_t hash = 0xcbf29ce484222325ULL ^ table->seed;

	for (const char *c = key->prefix; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 0x100000001b3ULL;
	for (const char *c = key->name; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 0x100000001b3ULL;
	return (unsigned long)(hash ^ hash >> 32);
}

static struct route *route_of(struct cds_lfht_node *node)
{
	return caa_container_of(node, struct route, node);
}

static int key_match(struct cds_lfht_node *node, const void *argument)
{
	const struct key *key = argument;
	const char *fqdn = route_of(node)->fqdn;
	size_t len = strlen(key->prefix);

	return strncmp(fqdn, key->prefix, len) == 0 && strcmp(fqdn + len, key->name) == 0;
}

static void route_free(struct rcu_head *head)
{
	free(caa_container_of(head, struct route, rcu));
}

int route_table_init(struct route_table *table)
{
	*table = (struct route_table){ 0 };
	if (getrandom(&table->seed, sizeof(table->seed), 0) < 0)
		return -errno;
	table->names = cds_lfht_new(BUCKETS_MIN, BUCKETS_MIN, BUCKETS_MAX, CDS_LFHT_AUTO_RESIZE, NULL);
	return table->names ? 0 : -ENOMEM;
}

void route_table_end(struct route_table *table)
{
	struct cds_lfht_iter iter;
	struct route *route;

	if (!table->names)
		return;
	cds_lfht_for_each_entry(table->names, &iter, route, node) {
		cds_lfht_del(table->names, &route->node);
		call_rcu(&route->rcu, route_free);
	}
	rcu_barrier();
	cds_lfht_destroy(table->names, NULL);
	table->names = NULL;
}

static struct cds_lfht_node *route_find(const struct route_table *table, const struct key *key)
{
	struct cds_lfht_iter iter;

	cds_lfht_lookup(table->names, key_hash(table, key), key_match, key, &iter);
	return cds_lfht_iter_get_node(&iter);
}

static bool says_the_same(const struct route *route, const struct route_plan *plan)
{
	if (route->ask != plan->ask || route->pinned != plan->pinned || route->preserve != plan->preserve ||
	    route->count != plan->count)
		return false;
	for (uint32_t i = 0; i < plan->count; i++)
		if (route->targets[i].backend != plan->targets[i].backend ||
		    route->targets[i].weight != plan->targets[i].weight)
			return false;
	return true;
}

static struct route *route_new(const char *fqdn, const struct route_plan *plan)
{
	size_t targets_size = plan->count * sizeof(plan->targets[0]), name_size = strlen(fqdn) + 1;
	struct route *route = calloc(1, sizeof(*route) + targets_size + name_size);

	if (!route)
		return NULL;
	route->id = protocol_route_id(fqdn);
	route->ask = plan->ask;
	route->pinned = plan->pinned;
	route->preserve = plan->preserve;
	route->count = plan->count;
	memcpy(route->targets, plan->targets, targets_size);
	route->fqdn = memcpy((char *)route->targets + targets_size, fqdn, name_size);
	return route;
}

int route_set(struct route_table *table, const char *fqdn, const struct route_plan *plan)
{
	struct key key = { "", fqdn };
	struct cds_lfht_node *old = route_find(table, &key);
	struct route *route;

	/* As it is: most of a snapshot. */
	if (old && says_the_same(route_of(old), plan)) {
		route_of(old)->snapshot = table->snapshot;
		return 0;
	}
	route = route_new(fqdn, plan);
	if (!route)
		return -ENOMEM;
	route->snapshot = table->snapshot;
	old = cds_lfht_add_replace(table->names, key_hash(table, &key), key_match, &key, &route->node);
	if (old)
		call_rcu(&route_of(old)->rcu, route_free);
	else
		table->count++;
	return 0;
}

int route_remove(struct route_table *table, const char *fqdn)
{
	struct key key = { "", fqdn };
	struct cds_lfht_node *node = route_find(table, &key);

	if (!node || cds_lfht_del(table->names, node) != 0)
		return -ENOENT;
	table->count--;
	call_rcu(&route_of(node)->rcu, route_free);
	return 0;
}

void route_snapshot_begin(struct route_table *table)
{
	table->snapshot++;
}

size_t route_snapshot_end(struct route_table *table)
{
	struct cds_lfht_iter iter;
	struct route *route;
	size_t removed = 0;

	cds_lfht_for_each_entry(table->names, &iter, route, node) {
		if (route->snapshot == table->snapshot || cds_lfht_del(table->names, &route->node) != 0)
			continue;
		table->count--;
		removed++;
		call_rcu(&route->rcu, route_free);
	}
	return removed;
}

void route_mark_backends(const struct route_table *table, uint64_t *slots)
{
	struct cds_lfht_iter iter;
	struct route *route;

	cds_lfht_for_each_entry(table->names, &iter, route, node)
		for (uint32_t i = 0; i < route->count; i++)
			slots[route->targets[i].backend / 64] |= 1ull << route->targets[i].backend % 64;
}

const struct route *route_lookup(const struct route_table *table, const char *name)
{
	struct cds_lfht_node *node;
	const char *rest;

	if (name) {
		node = route_find(table, &(struct key){ "", name });
		if (node)
			return route_of(node);
		rest = strchr(name, '.');
		node = rest ? route_find(table, &(struct key){ "*", rest }) : NULL;
		if (node)
			return route_of(node);
	}
	node = route_find(table, &(struct key){ "", "*" });
	return node ? route_of(node) : NULL;
}

/* --- which of several ---------------------------------------------------------------------------- */

/* Stafford's variant 13 of the MurmurHash3 finaliser: each bit of the input moves half of the output's. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ x >> 27) * 0x94d049bb133111ebULL;
	return x ^ x >> 31;
}

uint64_t route_target_identity(const struct addr *address, __be16 port_be)
{
	return mix(mix(mix(address->halves[0]) ^ address->halves[1]) ^ port_be);
}

/* Of the targets of one family. */
static uint32_t choose_of_family(const struct route *route, uint64_t client_identity, bool v4)
{
	uint32_t chosen = SLOT_NONE;
	double best = 0;

	for (uint32_t i = 0; i < route->count; i++) {
		/* Of (0, 1); the upper 52 bits, so that the sum is exact. */
		double u = ((double)(mix(client_identity ^ route->targets[i].identity) >> 12) + 0.5) * 0x1p-52;
		double score = route->targets[i].weight / -log(u);

		if (route->targets[i].v4 != v4 || (chosen != SLOT_NONE && score <= best))
			continue;
		chosen = route->targets[i].backend;
		best = score;
	}
	return chosen;
}

uint32_t route_choose(const struct route *route, const struct addr *client, __be16 client_port_be)
{
	uint64_t client_identity = route_target_identity(client, client_port_be);
	bool v4 = addr_is_v4(client);
	uint32_t chosen;

	if (route->count == 1)
		return route->targets[0].backend;
	chosen = choose_of_family(route, client_identity, v4);
	return chosen == SLOT_NONE ? choose_of_family(route, client_identity, !v4) : chosen;
}
