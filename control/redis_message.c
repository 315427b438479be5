/* SPDX-License-Identifier: MIT */
/* redis_message: see redis_message.h. */
#include "control/redis_message.h"

#include <errno.h>
#include <string.h>

#include <jansson.h>

int redis_type_parse(const char *text, enum route_type *type)
{
	if (strcmp(text, "simple") == 0)
		*type = ROUTE_SIMPLE;
	else if (strcmp(text, "agones") == 0)
		*type = ROUTE_AGONES;
	else
		return -EINVAL;
	return 0;
}

/* A string member; NULL: there is none. jansson refuses NULs within strings unless told otherwise. */
static const char *member(json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

static int read_object(json_t *object, struct redis_message *message)
{
	const char *fqdn = member(object, "fqdn"), *type_name = member(object, "type");
	const char *target = member(object, "target"), *origin = member(object, "origin");
	enum route_type type = ROUTE_AGONES;

	memset(message, 0, sizeof(*message));
	if (origin && strlen(origin) < sizeof(message->origin))
		memcpy(message->origin, origin, strlen(origin) + 1);
	message->deleted = json_is_true(json_object_get(object, "deleted"));
	if (message->deleted) {
		type_name = "agones"; /* whose targets need no address: the name is all that is checked */
		target = "any";
	}
	if (!fqdn || !type_name || !target || redis_type_parse(type_name, &type))
		return -EBADMSG;
	return routes_check(fqdn, type, target, &message->route) ? -EBADMSG : 0;
}

int redis_message_read(const char *text, size_t len, struct redis_message *message)
{
	json_t *object;
	int error;

	if (len > REDIS_MESSAGE_BYTES_MAX)
		return -EBADMSG;
	object = json_loadb(text, len, 0, NULL);
	error = json_is_object(object) ? read_object(object, message) : -EBADMSG;
	json_decref(object);
	return error;
}

char *redis_message_write(const char *fqdn, enum route_type type, const char *target, const char *origin)
{
	const char *type_name = type == ROUTE_SIMPLE ? "simple" : "agones";
	json_t *object = json_object();
	int error;
	char *text;

	error = json_object_set_new(object, "fqdn", json_string(fqdn));
	if (target) {
		error |= json_object_set_new(object, "type", json_string(type_name));
		error |= json_object_set_new(object, "target", json_string(target));
	} else {
		error |= json_object_set_new(object, "deleted", json_true());
	}
	if (origin)
		error |= json_object_set_new(object, "origin", json_string(origin));
	text = error ? NULL : json_dumps(object, JSON_COMPACT);
	json_decref(object);
	return text;
}
