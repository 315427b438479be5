/* SPDX-License-Identifier: MIT */
/*
 * config_yaml: a YAML document as a stream of scalars, lists and mappings,
 * each with its line. A layer over libyaml that takes away what a
 * configuration has no use for and an attacker would: anchors and aliases
 * (a few hundred bytes can name a billion nodes), tags, further documents,
 * deep nesting. No tree is built, so memory does not grow with the file.
 * Start-up and reload only; the text is hostile.
 */
#ifndef SLUICE_CONFIG_YAML_H
#define SLUICE_CONFIG_YAML_H

#include <yaml.h>

#include "control/config_errors.h"

enum {
	CONFIG_YAML_BYTES_MAX = 64 << 20, /* some 900,000 routes */
	CONFIG_YAML_DEPTH_MAX = 16,       /* the keys need 4 */
};

enum config_yaml_kind {
	CONFIG_YAML_SCALAR,
	CONFIG_YAML_NULL,       /* plain and empty, ~ or null */
	CONFIG_YAML_LIST,       /* its items follow, then _LIST_END */
	CONFIG_YAML_LIST_END,
	CONFIG_YAML_MAPPING,    /* keys and values in turn, then _MAPPING_END */
	CONFIG_YAML_MAPPING_END,
	CONFIG_YAML_END,        /* of the document, or reading ended with an error that has been reported */
};

struct config_yaml {
	yaml_parser_t parser;
	yaml_event_t event;            /* the current node's memory */
	struct config_errors *errors;
	const char *text;              /* borrowed */
	size_t len;
	unsigned depth, documents;
	bool broken;                   /* an error ended it: what was read is not all there is */

	/* The current node. */
	enum config_yaml_kind kind;
	int line;
	const char *value;             /* scalars: NUL-terminated, may hold NULs itself; valid until the next node */
	size_t value_len;
	bool quoted;                   /* in quotes or as a block: always a string */
};

/* text stays borrowed until config_yaml_close. 0 or -ENOMEM. */
int config_yaml_open(struct config_yaml *yaml, const char *text, size_t len, struct config_errors *errors);
void config_yaml_close(struct config_yaml *yaml);

/* Steps to the next node and returns its kind. After _END, and once errors are full: _END for ever. */
enum config_yaml_kind config_yaml_next(struct config_yaml *yaml);

/* Steps over the rest of the current node: over what a list or mapping holds, up to its end. */
void config_yaml_skip(struct config_yaml *yaml);

/* The current node as a message shows it; as_written: in quotes if it is so in the file. Returns out. */
const char *config_yaml_quote(const struct config_yaml *yaml, char out[static CONFIG_QUOTED_BYTES], bool as_written);

#endif
