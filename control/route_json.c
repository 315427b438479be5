/* SPDX-License-Identifier: MIT */
/* route_json: see route_json.h. */
#include "control/route_json.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const char *const route_json_keys[] = {
	"type", "target", "targets", "migration", "client_ip", "expires", "ttl", "health", NULL };

const char *route_json_string(json_t *object, const char *key, char error[static ROUTE_JSON_ERROR_BYTES])
{
	json_t *value = json_object_get(object, key);

	if (!value) {
		snprintf(error, ROUTE_JSON_ERROR_BYTES, "%s: must be given", key);
		return NULL;
	}
	/* A NUL would cut what is stored short of what was said. */
	if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value)) {
		snprintf(error, ROUTE_JSON_ERROR_BYTES, "%s: must be a string", key);
		return NULL;
	}
	return json_string_value(value);
}

/* Of two names; absent keys are the first. */
static bool read_choice(json_t *object, const char *key, const char *first, const char *second, bool *is_second,
			char error[static ROUTE_JSON_ERROR_BYTES])
{
	const char *text = route_json_string(object, key, error);

	if (!text)
		return false;
	*is_second = strcmp(text, second) == 0;
	if (*is_second || strcmp(text, first) == 0)
		return true;
	snprintf(error, ROUTE_JSON_ERROR_BYTES, "%s: must be %s or %s", key, first, second);
	return false;
}

/* An integer from 1 to max. */
static bool read_number(json_t *object, const char *key, json_int_t max, json_int_t *number,
			char error[static ROUTE_JSON_ERROR_BYTES])
{
	json_t *value = json_object_get(object, key);

	*number = json_integer_value(value);
	if (json_is_integer(value) && *number >= 1 && *number <= max)
		return true;
	snprintf(error, ROUTE_JSON_ERROR_BYTES, "%s: must be an integer from 1 to %lld", key, (long long)max);
	return false;
}

static bool read_expiry(json_t *object, struct route_draft *draft, char error[static ROUTE_JSON_ERROR_BYTES])
{
	json_int_t number;

	if (json_object_get(object, "expires")) {
		if (!read_number(object, "expires", INT32_MAX * 4ll, &number, error))
			return false;
		draft->expires_s = (uint64_t)number;
	}
	if (json_object_get(object, "ttl")) {
		if (!read_number(object, "ttl", ROUTE_JSON_TTL_MAX_S, &number, error))
			return false;
		draft->expires_s = (uint64_t)time(NULL) + (uint64_t)number;
	}
	return true;
}

static const struct {
	const char *key;
	size_t offset;
	uint32_t usual, max;
} health_members[] = {
	{ "interval", offsetof(struct route_health, interval_s), ROUTE_HEALTH_INTERVAL_S, ROUTE_HEALTH_INTERVAL_MAX_S },
	{ "timeout", offsetof(struct route_health, timeout_s), ROUTE_HEALTH_TIMEOUT_S, ROUTE_HEALTH_TIMEOUT_MAX_S },
	{ "rise", offsetof(struct route_health, rise), ROUTE_HEALTH_RISE, ROUTE_HEALTH_STREAK_MAX },
	{ "fall", offsetof(struct route_health, fall), ROUTE_HEALTH_FALL, ROUTE_HEALTH_STREAK_MAX },
};
enum { HEALTH_MEMBERS = sizeof(health_members) / sizeof(health_members[0]) };

static bool read_health(json_t *object, struct route_health *health, char error[static ROUTE_JSON_ERROR_BYTES])
{
	json_t *members = json_object_get(object, "health");
	char inner[ROUTE_JSON_ERROR_BYTES];
	size_t known = 0;

	if (!members)
		return true;
	for (unsigned i = 0; i < HEALTH_MEMBERS; i++) {
		json_int_t number = health_members[i].usual;

		if (json_object_get(members, health_members[i].key)) {
			if (!read_number(members, health_members[i].key, health_members[i].max, &number, inner)) {
				snprintf(error, ROUTE_JSON_ERROR_BYTES, "health.%.140s", inner);
				return false;
			}
			known++;
		}
		*(uint32_t *)((char *)health + health_members[i].offset) = (uint32_t)number;
	}
	if (json_is_object(members) && known == json_object_size(members))
		return true;
	snprintf(error, ROUTE_JSON_ERROR_BYTES, "health: must be an object of interval, timeout, rise and fall");
	return false;
}

static json_t *health_json(const struct route_health *health)
{
	json_t *members = json_object();

	for (unsigned i = 0; i < HEALTH_MEMBERS; i++)
		json_object_set_new(members, health_members[i].key,
				    json_integer(*(const uint32_t *)((const char *)health + health_members[i].offset)));
	return members;
}

static bool read_target(json_t *item, struct route_draft *draft, char error[static ROUTE_JSON_ERROR_BYTES])
{
	json_int_t weight = 1;
	char inner[ROUTE_JSON_ERROR_BYTES];
	const char *text = route_json_string(item, "address", inner);

	if (!text || (json_object_get(item, "weight") &&
		      !read_number(item, "weight", ROUTE_SPEC_WEIGHT_MAX, &weight, inner))) {
		snprintf(error, ROUTE_JSON_ERROR_BYTES, "targets[%u].%.140s", draft->count, inner);
		return false;
	}
	draft->targets[draft->count].text = text;
	draft->targets[draft->count++].weight = (uint32_t)weight;
	return true;
}

static bool read_targets(json_t *object, struct route_draft *draft, char error[static ROUTE_JSON_ERROR_BYTES])
{
	json_t *targets = json_object_get(object, "targets");

	if (!targets) {
		draft->targets[0].text = route_json_string(object, "target", error);
		draft->targets[0].weight = 1;
		draft->count = 1;
		return draft->targets[0].text != NULL;
	}
	if (json_object_get(object, "target")) {
		snprintf(error, ROUTE_JSON_ERROR_BYTES, "targets: must not be given beside target");
		return false;
	}
	if (!json_is_array(targets) || json_array_size(targets) < 1 ||
	    json_array_size(targets) > ROUTE_SPEC_TARGETS_MAX) {
		snprintf(error, ROUTE_JSON_ERROR_BYTES, "targets: must be a list of 1 to %d", ROUTE_SPEC_TARGETS_MAX);
		return false;
	}
	for (size_t i = 0; i < json_array_size(targets); i++)
		if (!read_target(json_array_get(targets, i), draft, error))
			return false;
	return true;
}

bool route_json_read(json_t *object, struct route_spec **spec, char error[static ROUTE_JSON_ERROR_BYTES])
{
	struct route_draft draft = { 0 };
	bool agones = false, pinned = false, preserve = false;
	const char *must;
	unsigned at;

	if (!read_choice(object, "type", "simple", "agones", &agones, error) ||
	    (json_object_get(object, "migration") &&
	     !read_choice(object, "migration", "path", "pinned", &pinned, error)) ||
	    (json_object_get(object, "client_ip") &&
	     !read_choice(object, "client_ip", "relay", "preserve", &preserve, error)) ||
	    !read_targets(object, &draft, error) || !read_expiry(object, &draft, error) ||
	    !read_health(object, &draft.health, error))
		return false;
	draft.type = agones ? ROUTE_AGONES : ROUTE_SIMPLE;
	draft.migration = pinned ? MIGRATION_PINNED : MIGRATION_PATH;
	draft.client_ip = preserve ? CLIENT_IP_PRESERVE : CLIENT_IP_RELAY;
	must = route_spec_new(&draft, spec, &at);
	if (!must)
		return true;
	if (at == ROUTE_SPEC_AT_HEALTH)
		snprintf(error, ROUTE_JSON_ERROR_BYTES, "health: %s", must);
	else if (at == ROUTE_SPEC_AT_CLIENT_IP)
		snprintf(error, ROUTE_JSON_ERROR_BYTES, "client_ip: %s", must);
	else if (json_object_get(object, "targets") && at < draft.count)
		snprintf(error, ROUTE_JSON_ERROR_BYTES, "targets[%u].address: %s", at, must);
	else
		snprintf(error, ROUTE_JSON_ERROR_BYTES, "target%s: %s", json_object_get(object, "targets") ? "s" : "", must);
	return false;
}

static int write_targets(json_t *object, const struct route_spec *spec)
{
	json_t *list = json_array();
	int error = json_object_set_new(object, "targets", list);

	for (unsigned i = 0; i < spec->count; i++) {
		json_t *item = json_object();

		error |= json_array_append_new(list, item);
		error |= json_object_set_new(item, "address", json_string(spec->targets[i].text));
		error |= json_object_set_new(item, "weight", json_integer(spec->targets[i].weight));
	}
	return error;
}

int route_json_write(json_t *object, const struct route_spec *spec)
{
	int error = json_object_set_new(object, "type", json_string(route_type_name(spec->type)));

	if (spec->count == 1 && spec->targets[0].weight == 1)
		error |= json_object_set_new(object, "target", json_string(spec->targets[0].text));
	else
		error |= write_targets(object, spec);
	if (spec->migration != MIGRATION_PATH)
		error |= json_object_set_new(object, "migration", json_string(migration_name(spec->migration)));
	if (spec->client_ip != CLIENT_IP_RELAY)
		error |= json_object_set_new(object, "client_ip", json_string(client_ip_name(spec->client_ip)));
	if (spec->expires_s)
		error |= json_object_set_new(object, "expires", json_integer((json_int_t)spec->expires_s));
	if (spec->health.interval_s)
		error |= json_object_set_new(object, "health", health_json(&spec->health));
	return error ? -ENOMEM : 0;
}
