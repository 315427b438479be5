/* SPDX-License-Identifier: MIT */
/*
 * config_walk: reads a YAML text into a struct config_draft by the tables of
 * config_keys. Start-up and reload only; the text is hostile.
 */
#ifndef SLUICE_CONFIG_WALK_H
#define SLUICE_CONFIG_WALK_H

#include "control/config_errors.h"
#include "control/config_keys.h"
#include "control/config_yaml.h"

enum { CONFIG_WALK_DEPTH_MAX = 8 }; /* of the tables, not of the file: beyond known keys nothing is walked */

struct config_walk {
	struct config_yaml yaml;
	struct config_errors *errors;
	struct config_draft *draft;
	/* The way to the current value: a key, or an item of the list before it. */
	struct {
		const char *name;
		unsigned index;
	} path[CONFIG_WALK_DEPTH_MAX];
	unsigned depth;
};

/* Where the keys of one mapping stand. */
struct config_lines {
	const struct config_mapping *mapping;
	int begin;                    /* of the mapping */
	int line[CONFIG_KEYS_MAX];    /* by row; 0: not given; negative: what is given is wrong */
};

/*
 * Draft: zeroed, with defaults. False: the file could not be read to its end,
 * so that what it lacks means nothing. All errors are in *errors.
 */
bool config_walk_text(const char *text, size_t len, struct config_draft *draft, struct config_errors *errors);

/* Line of a key, 0 when it is not given or wrong. */
int config_walk_line(const struct config_lines *lines, const char *name);

/* The key is given, and has been complained of. */
bool config_walk_is_wrong(const struct config_lines *lines, const char *name);

/* For `done`: an error at a key (NULL: the mapping itself) of the mapping being walked. */
void config_walk_error(struct config_walk *walk, int line, const char *key, const char *value, const char *message);

#endif
