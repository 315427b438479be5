/* SPDX-License-Identifier: MIT */
/* Unit tests of what a reload compares: no key of a section may change unseen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "control/config_keys.h"
#include "tests/unit/config_text.h"

/* Each key that a mapping has, with a value that is not its default; none may be missing here. */
static const struct {
	const char *section, *key, *yaml;
} changes[] = {
	{ "api", "port", "api: {port: 1}" },
	{ "api", "address", "api: {address: '127.0.0.2'}" },
	{ "api", "token_file", "api: {token_file: t}" },
	{ "api", "log_requests", "api: {log_requests: true}" },
	{ "api", "tls", "api: {tls: {cert: c, key: k}}" },
	{ "api", "tls", "api: {tls: {cert: c, key: k, client_ca: a}}" },
	{ "redis", "enabled", "redis: {enabled: true}" },
	{ "redis", "address", "redis: {address: 'r:1'}" },
	{ "redis", "username", "redis: {username: u}" },
	{ "redis", "password", "redis: {password: p}" },
	{ "redis", "db", "redis: {db: 1}" },
	{ "redis", "channel", "redis: {channel: c}" },
	{ "redis", "sessions", "redis: {enabled: true, sessions: true}" },
	{ "redis", "tls", "redis: {tls: true}" },
	{ "redis", "ca_cert", "redis: {ca_cert: c}" },
	{ "redis", "client_cert", "redis: {client_cert: c}" },
	{ "redis", "client_key", "redis: {client_key: k}" },
	{ "agones", "enabled", "agones: {enabled: true, allocator_host: h}" },
	{ "agones", "namespace", "agones: {namespace: n}" },
	{ "agones", "allocator_host", "agones: {allocator_host: h}" },
	{ "agones", "allocator_client_cert", "agones: {allocator_client_cert: c, allocator_client_key: k}" },
	{ "agones", "allocator_client_key", "agones: {allocator_client_cert: c, allocator_client_key: l}" },
	{ "agones", "allocator_ca_cert", "agones: {allocator_ca_cert: a}" },
	{ "agones", "insecure_skip_verify", "agones: {insecure_skip_verify: true}" },
	{ "agones", "timeout_ms", "agones: {timeout_ms: 100}" },
	{ "agones", "port_name", "agones: {port_name: p}" },
	{ "agones", "max_allocations_per_s", "agones: {max_allocations_per_s: 1}" },
	{ "agones", "max_allocations_per_s_per_client", "agones: {max_allocations_per_s_per_client: 1}" },
};
enum { CHANGES = sizeof(changes) / sizeof(changes[0]) };

/* Each is another than the defaults and than all other rows, in its own section alone. */
static void any_changed_key_is_seen(void **unused)
{
	static const char *const sections[] = { "api", "redis", "agones" };
	struct config defaults = parse_good("");

	(void)unused;
	for (size_t i = 0; i < CHANGES; i++) {
		struct config one = parse_good(changes[i].yaml);

		for (size_t s = 0; s < 3; s++)
			if (config_section_equal(&defaults, &one, sections[s]) !=
			    (strcmp(changes[i].section, sections[s]) != 0))
				fail_msg("%s: section %s", changes[i].yaml, sections[s]);
		for (size_t j = 0; j < CHANGES; j++) {
			struct config other = parse_good(changes[j].yaml);
			bool equal = config_section_equal(&one, &other, changes[i].section);

			if (equal != (i == j))
				fail_msg("%s and %s", changes[i].yaml, changes[j].yaml);
			config_free(&other);
		}
		config_free(&one);
	}
	config_free(&defaults);
}

static void every_key_has_a_row(void **unused)
{
	(void)unused;
	for (unsigned i = 0; i < config_keys.key_count; i++) {
		const struct config_key *section = &config_keys.keys[i];

		if (strcmp(section->name, "api") != 0 && strcmp(section->name, "redis") != 0 &&
		    strcmp(section->name, "agones") != 0)
			continue;
		for (unsigned k = 0; k < section->mapping->key_count; k++) {
			bool found = false;

			for (size_t j = 0; j < CHANGES; j++)
				found |= strcmp(changes[j].section, section->name) == 0 &&
					 strcmp(changes[j].key, section->mapping->keys[k].name) == 0;
			if (!found)
				fail_msg("%s.%s has no row", section->name, section->mapping->keys[k].name);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_changed_key_is_seen),
		cmocka_unit_test(every_key_has_a_row),
	};

	return cmocka_run_group_tests_name("config_changes", tests, NULL, NULL);
}
