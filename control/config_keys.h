/* SPDX-License-Identifier: MIT */
/*
 * config_keys: every key of config.yaml, once, as a table: name, type, place,
 * bounds, default, allowed values. config_walk reads a file by it; a further
 * key is a further row. Start-up and reload only; constant data.
 */
#ifndef SLUICE_CONFIG_KEYS_H
#define SLUICE_CONFIG_KEYS_H

#include "control/config.h"

/* What is read before the checks across keys make a struct config of it. Offsets in the tables are into this. */
struct config_draft {
	struct config config;
	size_t routes_allocated;
	int listener_lines[CONFIG_LISTENERS_MAX]; /* of the address, for checks between listeners */
	uint16_t udp_port;
	int udp_line;                             /* 0: no udp key */
};

enum config_key_type {
	CONFIG_KEY_BOOL,            /* bool */
	CONFIG_KEY_NUMBER,          /* uint16_t or uint32_t, by size */
	CONFIG_KEY_CHOICE,          /* an enum that counts from 0 */
	CONFIG_KEY_STRING,          /* char *, owned, never NULL */
	CONFIG_KEY_PARSED,          /* a string; what `read` makes of it */
	CONFIG_KEY_MAPPING,
	CONFIG_KEY_PAIRS,           /* a mapping whose keys the file chooses */
	CONFIG_KEY_LIST,
	CONFIG_KEY_RESERVED_MAPPING, /* must be empty until what it configures exists */
};

enum { CONFIG_KEYS_MAX = 16 };      /* in one mapping */

struct config_walk;
struct config_lines;

struct config_key {
	const char *name;
	enum config_key_type type;
	bool required;
	bool secret;                /* messages do not show it */
	size_t offset, size;        /* in struct config_draft, or in the list's item */
	uint32_t min, max;          /* NUMBER: the value; STRING: max is in bytes */
	uint32_t number;            /* default of BOOL, NUMBER, CHOICE */
	const char *text;           /* default of STRING and PARSED; NULL: all bytes 0 */
	const char *const *choices; /* CHOICE: names by value, NULL-terminated */
	const char *(*check)(const char *text);             /* STRING: NULL or what it must be; may be absent */
	const char *(*read)(const char *text, void *field); /* PARSED: the same */
	const struct config_mapping *mapping;
	const struct config_pairs *pairs;
	const struct config_list *list;
};

struct config_mapping {
	const struct config_key *keys;
	unsigned key_count;
	/* Called at the end of a mapping, may be absent: checks between its keys. base: what offsets are into. */
	void (*done)(struct config_walk *walk, void *base, const struct config_lines *lines);
};

struct config_pairs {
	/* The memory of one more pair; NULL: out of memory. base: what the mapping's offsets are into. */
	void *(*add)(void *base, int line);
	const char *(*read_name)(const char *text, void *pair); /* NULL or what the pair's key must be */
	struct config_key value;    /* offset in the pair */
};

struct config_list {
	struct config_key item;     /* offset 0 */
	unsigned max;               /* items; 0: only the size of the file bounds them */
	/* The zeroed memory of one more item; NULL: out of memory. Not called beyond max. */
	void *(*add)(struct config_draft *draft);
	/* After an item was read, may be absent: NULL or what it must be, compared with those before it. */
	const char *(*check)(const struct config_draft *draft);
};

extern const struct config_mapping config_keys; /* of the whole file */

/* Gives every key of a mapping, and of those within it, its default. 0 or -ENOMEM. */
int config_keys_defaults(const struct config_mapping *mapping, void *base);

/* Whether two say the same in all keys of a mapping, but for those that are lists. */
bool config_keys_equal(const struct config_mapping *mapping, const void *a, const void *b);

/* Frees what a mapping's strings own; lists are their owner's. */
void config_keys_free(const struct config_mapping *mapping, void *base);

#endif
