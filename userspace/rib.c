/* SPDX-License-Identifier: MIT */
/* rib: see rib.h. */
#include "rib.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <urcu-qsbr.h>

#include "bpf/table.h"
#include "fib.h"
#include "nexthop_object.h"
#include "route_message.h"

enum {
	BUCKETS_MIN = 1024,
	DUMP_TRIES = 3,
	/* After a dump, rest this many times as long. A full BGP table takes seconds, in which nothing else is done. */
	DUMP_REST = 3,
};

enum { FAMILY_V4, FAMILY_V6, FAMILIES };

/* All routes of one prefix, table and metric: the first in the kernel's order, and whether there are more. */
struct route {
	struct route *next;       /* in its bucket */
	const struct way *way;
	struct addr prefix;
	uint32_t metric;
	uint32_t dump;            /* number of the last dump that had it */
	uint8_t len_bits;
	uint8_t table;
	bool v4;
	bool several;
};

struct rib {
	struct fib fib;
	struct siphash_key hash_key;
	struct route **buckets;   /* by prefix */
	size_t bucket_mask;
	size_t route_count;
	struct ways ways;
	struct nexthop_objects objects;
	bool doubt[FAMILIES];
	bool doubt_again[FAMILIES]; /* at the next rib_recheck */
	bool doubt_objects;
	uint32_t dump;            /* number of the dump that is being read, or was last */
	uint64_t rest_until_ns;   /* no dump before */
	unsigned interface_count;
	struct nexthop_interface interfaces[INTERFACES_MAX];
};

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* --- routes -------------------------------------------------------------------------------------- */

/*
 * Trees of one family are asked in order. While no further policy rule exists,
 * the kernel keeps IPv4's local and main table in one trie, so that a longer
 * prefix in main beats a shorter one in local (fib_trie_table); IPv6 always
 * asks local first.
 */
static unsigned route_tree(bool v4, uint8_t table)
{
	if (v4)
		return table == RT_TABLE_DEFAULT;
	return table == RT_TABLE_LOCAL ? 2 : table == RT_TABLE_MAIN ? 3 : 4;
}

static struct route **route_bucket(const struct rib *rib, const struct addr *prefix, uint8_t len_bits)
{
	return &rib->buckets[table_hash_addr(&rib->hash_key, prefix, len_bits, 0) & rib->bucket_mask];
}

static bool route_is_same_prefix(const struct route *route, const struct route *other)
{
	return route->len_bits == other->len_bits && route->v4 == other->v4 &&
	       addr_equal(&route->prefix, &other->prefix);
}

/* The link that points to the route, or the end of its bucket. */
static struct route **route_link(const struct rib *rib, const struct route *like)
{
	struct route **link = route_bucket(rib, &like->prefix, like->len_bits);

	while (*link && !(route_is_same_prefix(*link, like) && (*link)->table == like->table &&
			  (*link)->metric == like->metric))
		link = &(*link)->next;
	return link;
}

/* More buckets when there are more routes than buckets. Without memory for them chains get longer. */
static void buckets_grow(struct rib *rib)
{
	struct route **old = rib->buckets;
	size_t old_mask = rib->bucket_mask;
	struct route **more;

	if (rib->route_count <= old_mask)
		return;
	more = calloc((old_mask + 1) * 2, sizeof(struct route *));
	if (!more)
		return;
	rib->buckets = more;
	rib->bucket_mask = old_mask * 2 + 1;
	for (size_t i = 0; i <= old_mask; i++) {
		while (old[i]) {
			struct route *route = old[i];
			struct route **bucket = route_bucket(rib, &route->prefix, route->len_bits);

			old[i] = route->next;
			route->next = *bucket;
			*bucket = route;
		}
	}
	free(old);
}

/* Has the tree lead the prefix to the best of its routes: local before main, then the lowest metric. */
static int prefix_update(struct rib *rib, const struct route *of)
{
	unsigned tree = route_tree(of->v4, of->table);
	const struct route *best = NULL;

	for (const struct route *r = *route_bucket(rib, &of->prefix, of->len_bits); r; r = r->next) {
		if (!route_is_same_prefix(r, of) || route_tree(r->v4, r->table) != tree)
			continue;
		if (!best || r->table > best->table || (r->table == best->table && r->metric < best->metric))
			best = r;
	}
	return fib_set(&rib->fib, tree, of->v4, &of->prefix, of->len_bits, best ? best->way : NULL);
}

/* Out of memory: the store is as before, and the kernel's routes are to be read again. */
static void route_failed(struct rib *rib, bool v4)
{
	rib->doubt[v4 ? FAMILY_V4 : FAMILY_V6] = true;
}

/* True if *link now points to the next one. */
static bool route_remove(struct rib *rib, struct route **link)
{
	struct route *route = *link;

	*link = route->next;
	if (prefix_update(rib, route)) {
		*link = route;
		route_failed(rib, route->v4);
		return false;
	}
	way_put(&rib->ways, route->way);
	rib->route_count--;
	free(route);
	return true;
}

static void route_change(struct rib *rib, struct route *route, const struct way *way)
{
	const struct way *old = route->way;
	const struct way *new = way_get(&rib->ways, way);

	if (!new) {
		route_failed(rib, route->v4);
		return;
	}
	route->way = new;
	if (prefix_update(rib, route)) {
		route->way = old;
		way_put(&rib->ways, new);
		route_failed(rib, route->v4);
		return;
	}
	way_put(&rib->ways, old);
}

static void route_add(struct rib *rib, struct route **link, const struct route *like, const struct way *way)
{
	struct route *route = malloc(sizeof(*route));

	if (!route)
		goto err;
	*route = *like;
	route->next = NULL;
	route->way = way_get(&rib->ways, way);
	if (!route->way)
		goto err_route;
	*link = route; /* the end of its bucket */
	if (prefix_update(rib, route))
		goto err_way;
	rib->route_count++;
	buckets_grow(rib);
	return;

err_way:
	*link = NULL;
	way_put(&rib->ways, route->way);
err_route:
	free(route);
err:
	route_failed(rib, like->v4);
}

/* The slot of one of our interfaces, or interface_count. */
static unsigned interface_slot(const struct rib *rib, uint32_t ifindex)
{
	unsigned slot = 0;

	while (slot < rib->interface_count && rib->interfaces[slot].ifindex != ifindex)
		slot++;
	return slot;
}

/* fe80::/10 and ff00::/8 are in the tables once an interface: those of foreign ones say nothing about ours. */
static bool route_is_foreign_scope(const struct route_message *message, bool ours)
{
	const uint8_t *bytes = message->prefix.bytes;

	return !message->v4 && !ours && ((bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80 && message->len_bits >= 10) ||
					 (bytes[0] == 0xff && message->len_bits >= 8));
}

static bool route_prepare(const struct rib *rib, const struct nlmsghdr *message, struct route_message *parsed,
			  struct route *like)
{
	unsigned slot;

	if (!route_message_parse(message, parsed))
		return false;
	if (parsed->object_id)
		nexthop_object_resolve(&rib->objects, parsed->object_id, &parsed->way);
	slot = interface_slot(rib, parsed->way.ifindex);
	if (route_is_foreign_scope(parsed, slot < rib->interface_count))
		return false;
	if (parsed->way.kind == WAY_OUT && slot == rib->interface_count)
		parsed->way.kind = WAY_NOWHERE;
	else if (parsed->way.kind == WAY_OUT)
		parsed->way.interface = (uint16_t)slot;
	*like = (struct route){ .prefix = parsed->prefix, .metric = parsed->metric, .dump = rib->dump,
				.len_bits = parsed->len_bits, .table = parsed->table, .v4 = parsed->v4 };
	return true;
}

static void route_learn(struct rib *rib, const struct nlmsghdr *message)
{
	struct route_message parsed;
	struct route like, **link;
	bool same;

	if (!route_prepare(rib, message, &parsed, &like) || parsed.dead)
		return;
	link = route_link(rib, &like);
	if (!*link) {
		route_add(rib, link, &like, &parsed.way);
		return;
	}
	same = memcmp((*link)->way, &parsed.way, sizeof(parsed.way)) == 0;
	if (same)
		return;
	/* An appended or prepended route: which comes first, and what is left when one goes, only the kernel knows. */
	if (!(message->nlmsg_flags & NLM_F_REPLACE) && (parsed.v4 || !parsed.way.multipath))
		(*link)->several = true;
	if ((*link)->several)
		rib->doubt[parsed.v4 ? FAMILY_V4 : FAMILY_V6] = true;
	else
		route_change(rib, *link, &parsed.way);
}

static void route_forget(struct rib *rib, const struct nlmsghdr *message)
{
	struct route_message parsed;
	struct route like, **link;

	if (!route_prepare(rib, message, &parsed, &like))
		return;
	link = route_link(rib, &like);
	if (!*link)
		return;
	/* One of several siblings, or not what we have: ask. */
	if ((*link)->several || memcmp((*link)->way, &parsed.way, sizeof(parsed.way)))
		rib->doubt[parsed.v4 ? FAMILY_V4 : FAMILY_V6] = true;
	else
		route_remove(rib, link);
}

/* --- what the kernel tells ----------------------------------------------------------------------- */

void rib_doubt(struct rib *rib)
{
	rib->doubt[FAMILY_V4] = rib->doubt[FAMILY_V6] = rib->doubt_objects = true;
}

/* The kernel tells of links and addresses before it has dealt with their routes: a dump at once may be too early. */
static void doubt_twice(struct rib *rib, unsigned family)
{
	rib->doubt[family] = rib->doubt_again[family] = true;
}

void rib_recheck(struct rib *rib)
{
	for (unsigned family = 0; family < FAMILIES; family++) {
		rib->doubt[family] |= rib->doubt_again[family];
		rib->doubt_again[family] = false;
	}
}

void rib_link_changed(struct rib *rib, uint32_t ifindex)
{
	if (!ways_use_link(&rib->ways, ifindex))
		return;
	doubt_twice(rib, FAMILY_V4);
	doubt_twice(rib, FAMILY_V6);
}

void rib_address_removed(struct rib *rib, uint32_t ifindex, const struct addr *address)
{
	if (ways_use_address(&rib->ways, ifindex, address))
		doubt_twice(rib, addr_is_v4(address) ? FAMILY_V4 : FAMILY_V6);
}

static void object_notification(struct rib *rib, const struct nlmsghdr *message)
{
	rib->doubt_objects |= nexthop_object_message(&rib->objects, message) != 0;
	/* The routes that use it change with it, or vanish, and IPv4 does not say so. */
	if (ways_use_objects(&rib->ways))
		rib->doubt[FAMILY_V4] = rib->doubt[FAMILY_V6] = true;
}

void rib_notification(struct rib *rib, const struct nlmsghdr *message)
{
	switch (message->nlmsg_type) {
	case RTM_NEWROUTE:
		route_learn(rib, message);
		break;
	case RTM_DELROUTE:
		route_forget(rib, message);
		break;
	case RTM_NEWNEXTHOP:
	case RTM_DELNEXTHOP:
		object_notification(rib, message);
		break;
	}
}

/* --- dumps --------------------------------------------------------------------------------------- */

/* The first of a kind that a dump has is the one that the kernel takes. */
static void dump_route(void *context, const struct nlmsghdr *message)
{
	struct rib *rib = context;
	struct route_message parsed;
	struct route like, **link;

	if (message->nlmsg_type != RTM_NEWROUTE || !route_prepare(rib, message, &parsed, &like) || parsed.dead)
		return;
	link = route_link(rib, &like);
	if (!*link) {
		route_add(rib, link, &like, &parsed.way);
	} else if ((*link)->dump == rib->dump) {
		(*link)->several = true;
	} else {
		(*link)->dump = rib->dump;
		(*link)->several = false;
		route_change(rib, *link, &parsed.way);
	}
}

/* What a complete dump did not have is gone. */
static void routes_sweep(struct rib *rib, bool v4)
{
	for (size_t i = 0; i <= rib->bucket_mask; i++) {
		for (struct route **link = &rib->buckets[i]; *link;) {
			bool gone = (*link)->v4 == v4 && (*link)->dump != rib->dump;

			if (!gone || !route_remove(rib, link))
				link = &(*link)->next;
		}
	}
}

static int routes_dump(struct rib *rib, struct netlink *netlink, bool v4)
{
	bool *doubt = &rib->doubt[v4 ? FAMILY_V4 : FAMILY_V6];
	int error = -EINTR;

	for (unsigned i = 0; error == -EINTR && i < DUMP_TRIES; i++) {
		*doubt = false;
		rib->dump++;
		error = netlink_dump(netlink, RTM_GETROUTE, sizeof(struct rtmsg), v4 ? AF_INET : AF_INET6, dump_route,
				     rib);
	}
	if (error)
		*doubt = true;
	else
		routes_sweep(rib, v4);
	return error;
}

static int objects_dump(struct rib *rib, struct netlink *netlink)
{
	int error = -EINTR;

	for (unsigned i = 0; error == -EINTR && i < DUMP_TRIES; i++)
		error = nexthop_objects_dump(&rib->objects, netlink);
	rib->doubt_objects = error != 0;
	return error;
}

int rib_settle(struct rib *rib, struct netlink *netlink)
{
	uint64_t start_ns = clock_ns(), end_ns;
	int error = 0, family_error;

	if (!rib->doubt[FAMILY_V4] && !rib->doubt[FAMILY_V6] && !rib->doubt_objects)
		return 0;
	if (start_ns < rib->rest_until_ns)
		return 0;
	if (rib->doubt_objects)
		error = objects_dump(rib, netlink);
	for (unsigned family = 0; family < FAMILIES; family++) {
		if (!rib->doubt[family])
			continue;
		family_error = routes_dump(rib, netlink, family == FAMILY_V4);
		if (!error)
			error = family_error;
	}
	end_ns = clock_ns();
	rib->rest_until_ns = end_ns + (end_ns - start_ns) * DUMP_REST;
	return error;
}

/* --- the whole ----------------------------------------------------------------------------------- */

bool rib_publish(struct rib *rib)
{
	bool changed = fib_publish(&rib->fib);

	/* A way or node that readers can see goes only with a change of what is published. */
	if (changed)
		urcu_qsbr_synchronize_rcu();
	fib_reclaim(&rib->fib);
	ways_reclaim(&rib->ways);
	return changed;
}

const struct way *rib_find(const struct rib *rib, const struct addr *dst)
{
	bool v4 = addr_is_v4(dst);
	unsigned last = route_tree(v4, RT_TABLE_DEFAULT);

	for (unsigned tree = route_tree(v4, RT_TABLE_LOCAL); tree <= last; tree++) {
		const struct way *way = fib_find(&rib->fib, tree, v4, dst);

		if (way && way->kind != WAY_THROW)
			return way->kind == WAY_OUT ? way : NULL;
	}
	return NULL;
}

size_t rib_route_count(const struct rib *rib)
{
	return rib->route_count;
}

struct rib *rib_new(const struct nexthop_interface *interfaces, unsigned interface_count)
{
	struct rib *rib = calloc(1, sizeof(*rib));

	if (!rib)
		return NULL;
	rib->buckets = calloc(BUCKETS_MIN, sizeof(struct route *));
	if (!rib->buckets || getrandom(&rib->hash_key, sizeof(rib->hash_key), 0) != sizeof(rib->hash_key))
		goto err_rib;
	rib->bucket_mask = BUCKETS_MIN - 1;
	rib->ways.hash_key = rib->hash_key;
	fib_init(&rib->fib);
	rib->interface_count = interface_count;
	memcpy(rib->interfaces, interfaces, interface_count * sizeof(interfaces[0]));
	return rib;

err_rib:
	free(rib->buckets);
	free(rib);
	return NULL;
}

void rib_free(struct rib *rib)
{
	if (!rib)
		return;
	for (size_t i = 0; i <= rib->bucket_mask; i++) {
		while (rib->buckets[i]) {
			struct route *route = rib->buckets[i];

			rib->buckets[i] = route->next;
			way_put(&rib->ways, route->way);
			free(route);
		}
	}
	ways_reclaim(&rib->ways);
	fib_end(&rib->fib);
	nexthop_objects_end(&rib->objects);
	free(rib->buckets);
	free(rib);
}
