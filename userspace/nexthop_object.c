/* SPDX-License-Identifier: MIT */
/* nexthop_object: see nexthop_object.h. */
#include "nexthop_object.h"

#include <errno.h>
#include <linux/nexthop.h>
#include <stdlib.h>
#include <string.h>

enum { SPACE_MIN = 64 };

struct nexthop_object {
	uint32_t id;
	uint32_t first_member; /* of a group; else 0 */
	uint32_t ifindex;
	uint8_t kind;          /* WAY_OUT or WAY_NOWHERE */
	struct addr gateway;   /* all zero: on link */
};

/* Position of the object, or where it would be. */
static size_t object_position(const struct nexthop_objects *objects, uint32_t id)
{
	size_t from = 0, to = objects->count;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (objects->objects[middle].id < id)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static struct nexthop_object *object_find(const struct nexthop_objects *objects, uint32_t id)
{
	size_t at = object_position(objects, id);

	return at < objects->count && objects->objects[at].id == id ? &objects->objects[at] : NULL;
}

static int object_put(struct nexthop_objects *objects, const struct nexthop_object *object)
{
	struct nexthop_object *old = object_find(objects, object->id);
	size_t at = object_position(objects, object->id);

	if (old) {
		*old = *object;
		return 0;
	}
	if (objects->count == objects->space) {
		size_t space = objects->space ? objects->space * 2 : SPACE_MIN;
		struct nexthop_object *more = realloc(objects->objects, space * sizeof(*more));

		if (!more)
			return -ENOMEM;
		objects->objects = more;
		objects->space = space;
	}
	memmove(&objects->objects[at + 1], &objects->objects[at], (objects->count - at) * sizeof(*object));
	objects->objects[at] = *object;
	objects->count++;
	return 0;
}

static void object_remove(struct nexthop_objects *objects, uint32_t id)
{
	struct nexthop_object *object = object_find(objects, id);

	if (!object)
		return;
	objects->count--;
	memmove(object, object + 1, (objects->count - (size_t)(object - objects->objects)) * sizeof(*object));
}

static bool object_parse(const struct nlmsghdr *message, struct nexthop_object *object)
{
	const struct nhmsg *header = mnl_nlmsg_get_payload(message);
	const struct nlattr *attributes[NHA_MAX + 1];
	const struct nlattr *group;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(*header))
		return false;
	memset(object, 0, sizeof(*object));
	netlink_attributes(message, sizeof(*header), attributes, NHA_MAX);
	object->id = netlink_u32(attributes[NHA_ID], 0);
	object->ifindex = netlink_u32(attributes[NHA_OIF], 0);
	object->kind = attributes[NHA_BLACKHOLE] || attributes[NHA_ENCAP] ? WAY_NOWHERE : WAY_OUT;
	netlink_addr(attributes[NHA_GATEWAY], header->nh_family, &object->gateway);
	group = attributes[NHA_GROUP];
	if (group && mnl_attr_get_payload_len(group) >= sizeof(struct nexthop_grp)) {
		const struct nexthop_grp *first = mnl_attr_get_payload(group);

		object->first_member = first->id;
	}
	return object->id != 0 && !attributes[NHA_FDB];
}

int nexthop_object_message(struct nexthop_objects *objects, const struct nlmsghdr *message)
{
	struct nexthop_object object;

	if (!object_parse(message, &object))
		return 0;
	if (message->nlmsg_type == RTM_NEWNEXTHOP)
		return object_put(objects, &object);
	object_remove(objects, object.id);
	return 0;
}

struct dump {
	struct nexthop_objects *objects;
	int error;
};

static void dump_message(void *context, const struct nlmsghdr *message)
{
	struct dump *dump = context;

	if (message->nlmsg_type == RTM_NEWNEXTHOP && nexthop_object_message(dump->objects, message))
		dump->error = -ENOMEM;
}

int nexthop_objects_dump(struct nexthop_objects *objects, struct netlink *netlink)
{
	struct dump dump = { .objects = objects };
	int error;

	objects->count = 0;
	error = netlink_dump(netlink, RTM_GETNEXTHOP, sizeof(struct nhmsg), AF_UNSPEC, dump_message, &dump);
	if (error == -EOPNOTSUPP)
		return 0;
	return error ? error : dump.error;
}

void nexthop_object_resolve(const struct nexthop_objects *objects, uint32_t id, struct way *way)
{
	const struct nexthop_object *object = object_find(objects, id);

	if (object && object->first_member)
		object = object_find(objects, object->first_member);
	if (!object)
		return;
	way->kind = object->kind;
	way->ifindex = object->ifindex;
	way->gateway = object->gateway;
}

void nexthop_objects_end(struct nexthop_objects *objects)
{
	free(objects->objects);
	memset(objects, 0, sizeof(*objects));
}
