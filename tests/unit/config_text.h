/* SPDX-License-Identifier: MIT */
/* config_text: configurations given as text, for the tests of config. Needs cmocka's includes before it. */
#ifndef SLUICE_TEST_CONFIG_TEXT_H
#define SLUICE_TEST_CONFIG_TEXT_H

#include <stdio.h>
#include <stdlib.h>

#include "control/config.h"

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

#endif
