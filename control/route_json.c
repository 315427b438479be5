/* SPDX-License-Identifier: MIT */
/* route_json: see route_json.h. */
#include "control/route_json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

const char *const route_json_keys[] = { "type", "target", "targets", "migration", "expires", "ttl", NULL };

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
	bool agones = false, pinned = false;
	const char *must;
	unsigned at;

	if (!read_choice(object, "type", "simple", "agones", &agones, error) ||
	    (json_object_get(object, "migration") &&
	     !read_choice(object, "migration", "path", "pinned", &pinned, error)) ||
	    !read_targets(object, &draft, error) || !read_expiry(object, &draft, error))
		return false;
	draft.type = agones ? ROUTE_AGONES : ROUTE_SIMPLE;
	draft.migration = pinned ? MIGRATION_PINNED : MIGRATION_PATH;
	must = route_spec_new(&draft, spec, &at);
	if (!must)
		return true;
	if (json_object_get(object, "targets") && at < draft.count)
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
	if (spec->expires_s)
		error |= json_object_set_new(object, "expires", json_integer((json_int_t)spec->expires_s));
	return error ? -ENOMEM : 0;
}
