/* SPDX-License-Identifier: MIT */
/* config_text: configurations given as text, for the tests of config. Needs cmocka's includes before it. */
#ifndef SLUICE_TEST_CONFIG_TEXT_H
#define SLUICE_TEST_CONFIG_TEXT_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/config.h"
#include "tests/lib/plain_state.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define LABEL63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NAME253 LABEL63 "." LABEL63 "." LABEL63 ".aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ROUTE(fqdn) "routes:\n- {fqdn: \"" fqdn "\", type: simple, target: '10.0.0.1:1'}\n"

/* Parses; *messages (to be freed) is what was written about it. */
static inline int parse_bytes(const char *text, size_t len, struct config *config, char **messages)
{
	size_t size;
	FILE *errors = open_memstream(messages, &size);
	int result;

	assert_non_null(errors);
	result = config_parse("c.yaml", text, len, config, errors);
	fclose(errors);
	return result;
}

struct error_row {
	const char *name, *text, *messages;
};

/* Each text is refused with exactly its messages, and leaves nothing behind. */
static inline void assert_refused(const struct error_row *rows, size_t count)
{
	static const struct config nothing;
	unsigned failed = 0;

	for (size_t i = 0; i < count; i++) {
		const struct error_row *row = &rows[i];
		struct config config;
		char *messages;
		int result;

		memset(&config, 0xa5, sizeof(config));
		result = parse_bytes(row->text, strlen(row->text), &config, &messages);
		if (result != -1 || strcmp(messages, row->messages) != 0) {
			print_error("%s: got %d\n%swanted\n%s\n", row->name, result, messages, row->messages);
			failed++;
		}
		if (result == 0)
			config_free(&config);
		else if (memcmp(&config, &nothing, sizeof(config)) != 0)
			fail_msg("%s: the config holds something", row->name);
		free(messages);
	}
	assert_int_equal(failed, 0);
}

static inline void assert_ip(struct addr addr, const char *text)
{
	struct addr want = plain_addr(text);

	assert_memory_equal(addr.bytes, want.bytes, sizeof(want.bytes));
}

static inline struct config parse_good(const char *text)
{
	struct config config;
	char *messages;

	if (parse_bytes(text, strlen(text), &config, &messages) != 0)
		fail_msg("refused:\n%s", messages);
	assert_string_equal(messages, "");
	free(messages);
	return config;
}

#endif
