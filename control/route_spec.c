/* SPDX-License-Identifier: MIT */
/* route_spec: see route_spec.h. */
#include "control/route_spec.h"

#include <stdlib.h>
#include <string.h>

#include "control/config.h"
#include "control/config_value.h"

static const char *const type_names[] = { [ROUTE_SIMPLE] = "simple", [ROUTE_AGONES] = "agones" };
static const char *const migration_names[] = { [MIGRATION_PATH] = "path", [MIGRATION_PINNED] = "pinned" };
static const char *const client_ip_names[] = { [CLIENT_IP_RELAY] = "relay", [CLIENT_IP_PRESERVE] = "preserve" };

const char *route_type_name(enum route_type type)
{
	return type_names[type];
}

const char *migration_name(enum migration migration)
{
	return migration_names[migration];
}

const char *client_ip_name(enum client_ip client_ip)
{
	return client_ip_names[client_ip];
}

/* NAME:PORT. What looks like an address but is none is a slip of the pen, not a name. */
static const char *name_check(const char *text, struct route_spec_target *target)
{
	const char *colon = strrchr(text, ':');
	char name[CONFIG_FQDN_MAX + 1];
	uint32_t port;

	if (text[0] == '[' || !colon || !text[strspn(text, "0123456789.:")] ||
	    !config_value_number(colon + 1, strlen(colon + 1), UINT16_MAX, &port) || port == 0)
		return "must be IP:PORT, [IPv6]:PORT or NAME:PORT";
	target->name_len = (size_t)(colon - text);
	if (target->name_len > CONFIG_FQDN_MAX)
		return "must be a name of at most 253 characters";
	memcpy(name, text, target->name_len);
	name[target->name_len] = '\0';
	if (!config_value_is_host_name(name))
		return "must be IP:PORT, [IPv6]:PORT or NAME:PORT";
	target->address = (struct config_address){ .port = (uint16_t)port };
	return NULL;
}

static const char *target_check(enum route_type type, const char *text, struct route_spec_target *target)
{
	if (strlen(text) > ROUTE_SPEC_TEXT_MAX)
		return "must be at most 259 characters";
	if (type == ROUTE_AGONES)
		return config_value_fleet_check(text);
	if (config_address_parse(text, &target->address) < 0)
		return name_check(text, target);
	return config_address_is_unicast(&target->address.addr) ? NULL : "must be the address of one host";
}

static const char *draft_check(const struct route_draft *draft, struct route_spec_target *targets, unsigned *at)
{
	for (*at = 0; *at < draft->count; ++*at) {
		const char *must = target_check(draft->type, draft->targets[*at].text, &targets[*at]);

		if (must)
			return must;
		if (draft->targets[*at].weight < 1 || draft->targets[*at].weight > ROUTE_SPEC_WEIGHT_MAX)
			return "must have a weight from 1 to 65535";
		for (unsigned other = 0; other < *at; other++)
			if (strcmp(draft->targets[other].text, draft->targets[*at].text) == 0)
				return "must be given once";
	}
	if (draft->count == 0)
		return "must have a target";
	if (draft->type == ROUTE_AGONES && draft->count > 1)
		return "must have one target, the fleet";
	*at = ROUTE_SPEC_AT_CLIENT_IP;
	if (draft->client_ip == CLIENT_IP_PRESERVE && draft->migration == MIGRATION_PINNED)
		return "must be relay with migration: pinned, which holds on to a port of the relay";
	*at = ROUTE_SPEC_AT_HEALTH;
	if (draft->health.interval_s && draft->type == ROUTE_AGONES)
		return "must not be given for agones: Agones sees to its servers";
	if (draft->health.timeout_s > draft->health.interval_s)
		return "must have a timeout that is not longer than its interval";
	return NULL;
}

const char *route_spec_new(const struct route_draft *draft, struct route_spec **spec, unsigned *at)
{
	struct route_spec_target targets[ROUTE_SPEC_TARGETS_MAX] = { 0 };
	const char *must = draft_check(draft, targets, at);
	size_t size = sizeof(**spec) + draft->count * sizeof(targets[0]);
	char *text;

	if (must)
		return must;
	for (unsigned i = 0; i < draft->count; i++)
		size += strlen(draft->targets[i].text) + 1;
	*spec = calloc(1, size);
	if (!*spec)
		return "out of memory";
	atomic_init(&(*spec)->references, 1);
	(*spec)->type = draft->type;
	(*spec)->migration = draft->migration;
	(*spec)->client_ip = draft->client_ip;
	(*spec)->expires_s = draft->expires_s;
	(*spec)->health = draft->health;
	(*spec)->count = draft->count;
	text = (char *)&(*spec)->targets[draft->count];
	for (unsigned i = 0; i < draft->count; i++) {
		size_t len = strlen(draft->targets[i].text) + 1;

		(*spec)->targets[i] = targets[i];
		(*spec)->targets[i].text = memcpy(text, draft->targets[i].text, len);
		(*spec)->targets[i].weight = (uint16_t)draft->targets[i].weight;
		text += len;
	}
	return NULL;
}

const char *route_spec_plain(enum route_type type, const char *target, struct route_spec **spec)
{
	const struct route_draft draft = { .type = type, .count = 1, .targets = { { target, 1 } } };
	unsigned at;

	return route_spec_new(&draft, spec, &at);
}

bool route_spec_is_plain(const struct route_spec *spec)
{
	return spec->count == 1 && spec->targets[0].weight == 1 && spec->migration == MIGRATION_PATH &&
	       spec->client_ip == CLIENT_IP_RELAY && spec->expires_s == 0 && spec->health.interval_s == 0;
}

bool route_spec_equal(const struct route_spec *a, const struct route_spec *b)
{
	if (a->type != b->type || a->migration != b->migration || a->client_ip != b->client_ip ||
	    a->expires_s != b->expires_s || memcmp(&a->health, &b->health, sizeof(a->health)) != 0 ||
	    a->count != b->count)
		return false;
	for (unsigned i = 0; i < a->count; i++)
		if (a->targets[i].weight != b->targets[i].weight || strcmp(a->targets[i].text, b->targets[i].text) != 0)
			return false;
	return true;
}

bool route_spec_has_names(const struct route_spec *spec)
{
	for (unsigned i = 0; i < spec->count; i++)
		if (spec->targets[i].name_len)
			return true;
	return false;
}

struct route_spec *route_spec_hold(struct route_spec *spec)
{
	if (spec)
		atomic_fetch_add_explicit(&spec->references, 1, memory_order_relaxed);
	return spec;
}

void route_spec_release(struct route_spec *spec)
{
	/* acq_rel: whoever frees has seen all that the others did with it. */
	if (spec && atomic_fetch_sub_explicit(&spec->references, 1, memory_order_acq_rel) == 1)
		free(spec);
}
