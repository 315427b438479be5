/* SPDX-License-Identifier: MIT */
/* agones_message: see agones_message.h. */
#include "control/agones_message.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "control/config_value.h"
#include "control/printable.h"

/* --- the request --------------------------------------------------------------------------------- */

/* proto-JSON: an int64 is a string. */
static json_t *selector(const char *fleet, const char *state)
{
	return json_pack("{s:{s:s},s:s,s:{s:{s:s}}}", "matchLabels", "agones.dev/fleet", fleet, "gameServerState",
			 state, "lists", "players", "minAvailable", "1");
}

char *agones_message_request(const char *namespace, const char *fleet)
{
	json_t *request = json_pack("{s:s,s:[o,o]}", "namespace", namespace, "gameServerSelectors",
				    selector(fleet, "ALLOCATED"), selector(fleet, "READY"));
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;

	json_decref(request);
	return text;
}

/* --- the reply ----------------------------------------------------------------------------------- */

static int bad(char error[static AGONES_ERROR_BYTES], const char *what)
{
	snprintf(error, AGONES_ERROR_BYTES, "unusable reply: %s", what);
	return -EBADMSG;
}

/* A name without a wildcard, in lower case. False: it is none. */
static bool read_name(const char *text, char name[static CONFIG_FQDN_MAX + 1])
{
	char *fqdn = NULL;
	bool good = !strchr(text, '*') && !config_value_fqdn(text, &fqdn);

	if (good)
		memcpy(name, fqdn, strlen(fqdn) + 1);
	free(fqdn);
	return good;
}

/* Number or string (proto-JSON takes both); 0: no port. */
static uint16_t read_port(const json_t *value)
{
	uint32_t port = 0;

	if (json_is_integer(value) && json_integer_value(value) > 0 && json_integer_value(value) <= UINT16_MAX)
		port = (uint32_t)json_integer_value(value);
	else if (json_is_string(value) && !config_value_number(json_string_value(value), json_string_length(value),
							       UINT16_MAX, &port))
		port = 0;
	return (uint16_t)port;
}

static const json_t *find_port(const json_t *ports, const char *port_name)
{
	size_t i;
	json_t *port;

	json_array_foreach(ports, i, port) {
		const char *name = json_string_value(json_object_get(port, "name"));

		if (!port_name[0] || (name && strcmp(name, port_name) == 0))
			return port;
	}
	return NULL;
}

static int read_object(const json_t *object, const char *port_name, struct agones_reply *reply,
		       char error[static AGONES_ERROR_BYTES])
{
	const char *name = json_string_value(json_object_get(object, "gameServerName"));
	const char *host = json_string_value(json_object_get(object, "address"));
	const json_t *ports = json_object_get(object, "ports"), *port = find_port(ports, port_name);

	if (!name || !read_name(name, reply->name))
		return bad(error, name ? "gameServerName is no name" : "no gameServerName");
	if (!host)
		return bad(error, "no address");
	reply->host_is_ip = config_address_parse_ip(host, &reply->address.addr) == 0;
	if (reply->host_is_ip && !config_address_is_unicast(&reply->address.addr))
		return bad(error, "address is not that of one host");
	if (reply->host_is_ip)
		snprintf(reply->host, sizeof(reply->host), "%s", host);
	else if (!read_name(host, reply->host))
		return bad(error, "address is neither an IP address nor a name");
	if (!port)
		return bad(error, port_name[0] && json_array_size(ports) ? "no port of the name agones.port_name" :
									    "no ports");
	reply->address.port = read_port(json_object_get(port, "port"));
	return reply->address.port ? 0 : bad(error, "port is not from 1 to 65535");
}

int agones_message_reply(const char *text, size_t len, const char *port_name, struct agones_reply *reply,
			 char error[static AGONES_ERROR_BYTES])
{
	json_t *object;
	int result;

	memset(reply, 0, sizeof(*reply));
	if (len > AGONES_REPLY_BYTES_MAX)
		return bad(error, "too long");
	object = json_loadb(text, len, 0, NULL);
	result = json_is_object(object) ? read_object(object, port_name, reply, error) :
					  bad(error, "not a JSON object");
	json_decref(object);
	return result;
}

void agones_message_error(const char *text, size_t len, long status, char error[static AGONES_ERROR_BYTES])
{
	json_t *object = len <= AGONES_REPLY_BYTES_MAX ? json_loadb(text, len, 0, NULL) : NULL;
	const char *message = json_string_value(json_object_get(object, "message"));
	int at = snprintf(error, AGONES_ERROR_BYTES, "HTTP %ld%s", status, message && *message ? ": " : "");

	if (message)
		printable_copy(error + at, AGONES_ERROR_BYTES - (size_t)at, message);
	json_decref(object);
}
