/* SPDX-License-Identifier: MIT */
/* redis_message: see redis_message.h. */
#include "control/redis_message.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "control/route_json.h"

static int read_object(json_t *object, struct redis_message *message)
{
	char error[ROUTE_JSON_ERROR_BYTES];
	const char *fqdn = route_json_string(object, "fqdn", error);
	const char *origin = route_json_string(object, "origin", error);

	memset(message, 0, sizeof(*message));
	if (origin && strlen(origin) < sizeof(message->origin))
		memcpy(message->origin, origin, strlen(origin) + 1);
	if (!fqdn || routes_name(fqdn, message->fqdn))
		return -EBADMSG;
	snprintf(message->spelling, sizeof(message->spelling), "%s", fqdn);
	if (json_is_true(json_object_get(object, "deleted")))
		return 0;
	return route_json_read(object, &message->spec, error) ? 0 : -EBADMSG;
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

char *redis_message_write(const char *fqdn, const struct route_spec *spec, const char *origin)
{
	json_t *object = json_object();
	int error = json_object_set_new(object, "fqdn", json_string(fqdn));
	char *text;

	if (spec)
		error |= route_json_write(object, spec);
	else
		error |= json_object_set_new(object, "deleted", json_true());
	if (origin)
		error |= json_object_set_new(object, "origin", json_string(origin));
	text = error ? NULL : json_dumps(object, JSON_COMPACT);
	json_decref(object);
	return text;
}

struct route_spec *redis_value_read(const char *text, size_t len)
{
	char error[ROUTE_JSON_ERROR_BYTES];
	struct route_spec *spec = NULL;
	json_t *object;

	if (len > REDIS_MESSAGE_BYTES_MAX)
		return NULL;
	object = json_loadb(text, len, 0, NULL);
	if (!json_is_object(object) || !route_json_read(object, &spec, error))
		spec = NULL;
	json_decref(object);
	return spec;
}

char *redis_value_write(const struct route_spec *spec)
{
	json_t *object = json_object();
	char *text = route_json_write(object, spec) ? NULL : json_dumps(object, JSON_COMPACT);

	json_decref(object);
	return text;
}
