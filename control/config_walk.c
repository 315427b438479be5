/* SPDX-License-Identifier: MIT */
/* config_walk: see config_walk.h. */
#include "control/config_walk.h"

#include <stdlib.h>
#include <string.h>

#include "control/config_value.h"

enum { PATH_TEXT_BYTES = 256, MUST_BYTES = 128 };

/* "routes[2].target"; key may be NULL. */
static const char *path_text(const struct config_walk *walk, const char *key, char out[static PATH_TEXT_BYTES])
{
	size_t n = 0;

	out[0] = '\0';
	for (unsigned i = 0; i < walk->depth && n < PATH_TEXT_BYTES; i++) {
		if (walk->path[i].name)
			n += (size_t)snprintf(out + n, PATH_TEXT_BYTES - n, "%s%s", i ? "." : "", walk->path[i].name);
		else
			n += (size_t)snprintf(out + n, PATH_TEXT_BYTES - n, "[%u]", walk->path[i].index);
	}
	if (key && n < PATH_TEXT_BYTES)
		snprintf(out + n, PATH_TEXT_BYTES - n, "%s%s", n ? "." : "", key);
	return n || key ? out : NULL;
}

void config_walk_error(struct config_walk *walk, int line, const char *key, const char *value, const char *message)
{
	char path[PATH_TEXT_BYTES];

	config_errors_add(walk->errors, line, path_text(walk, key, path), value, "%s", message);
}

/* Where a key stands; negative: with errors; 0: it does not. */
static int line_of(const struct config_lines *lines, const char *name)
{
	for (unsigned i = 0; i < lines->mapping->key_count; i++)
		if (!strcmp(lines->mapping->keys[i].name, name))
			return lines->line[i];
	return 0;
}

int config_walk_line(const struct config_lines *lines, const char *name)
{
	int line = line_of(lines, name);

	return line > 0 ? line : 0;
}

bool config_walk_is_wrong(const struct config_lines *lines, const char *name)
{
	return line_of(lines, name) < 0;
}

static void error_here(struct config_walk *walk, const struct config_key *key, const char *message)
{
	const struct config_yaml *yaml = &walk->yaml;
	char quoted[CONFIG_QUOTED_BYTES];
	const char *value = "***";

	if (yaml->kind != CONFIG_YAML_SCALAR || !key->secret)
		value = config_yaml_quote(yaml, quoted, key->type == CONFIG_KEY_BOOL || key->type == CONFIG_KEY_NUMBER);
	config_walk_error(walk, yaml->line, NULL, value, message);
}

/* What a value of this key must be, as far as its type says. */
static const char *must_be(const struct config_key *key, char out[static MUST_BYTES])
{
	size_t n;

	switch (key->type) {
	case CONFIG_KEY_BOOL:
		return "must be true or false";
	case CONFIG_KEY_NUMBER:
		snprintf(out, MUST_BYTES, "must be an integer from %u to %u", key->min, key->max);
		return out;
	case CONFIG_KEY_CHOICE:
		n = (size_t)snprintf(out, MUST_BYTES, "must be %s", key->choices[0]);
		for (unsigned i = 1; key->choices[i] && n < MUST_BYTES; i++)
			n += (size_t)snprintf(out + n, MUST_BYTES - n, "%s%s", key->choices[i + 1] ? ", " : " or ",
					      key->choices[i]);
		return out;
	case CONFIG_KEY_LIST:
		return "must be a list";
	case CONFIG_KEY_MAPPING:
	case CONFIG_KEY_PAIRS:
	case CONFIG_KEY_RESERVED_MAPPING:
		return "must be a mapping";
	default:
		return "must be a string";
	}
}

/* --- scalars: NULL, or what the value must be ------------------------------------------------- */

/* As Porter's YAML reader takes them: YAML 1.1's words too. In quotes it is a string. */
static bool read_bool(const struct config_yaml *yaml, void *field)
{
	static const char *const words[][2] = { { "false", "true" }, { "no", "yes" }, { "off", "on" } };

	for (size_t i = 0; i < 3 && !yaml->quoted; i++) {
		for (int value = 0; value < 2; value++) {
			if (strlen(words[i][value]) == yaml->value_len && !strcasecmp(words[i][value], yaml->value)) {
				*(bool *)field = value;
				return true;
			}
		}
	}
	return false;
}

static bool read_number(const struct config_key *key, const struct config_yaml *yaml, void *field)
{
	uint32_t number;

	if (yaml->quoted || !config_value_number(yaml->value, yaml->value_len, key->max, &number) || number < key->min)
		return false;
	if (key->size == sizeof(uint16_t))
		*(uint16_t *)field = (uint16_t)number;
	else
		*(uint32_t *)field = number;
	return true;
}

static bool read_choice(const struct config_key *key, const struct config_yaml *yaml, void *field)
{
	for (uint32_t i = 0; key->choices[i]; i++) {
		const char *choice = key->choices[i];

		if (strlen(choice) == yaml->value_len && !memcmp(choice, yaml->value, yaml->value_len)) {
			memcpy(field, &i, sizeof(i));
			return true;
		}
	}
	return false;
}

_Static_assert(sizeof(enum listener_mode) == sizeof(uint32_t), "choices are stored as 32 bits");

static const char *read_string(const struct config_key *key, const char *text, size_t len, void *field,
			       char out[static MUST_BYTES])
{
	const char *must = key->check ? key->check(text) : NULL;
	char *copy;

	if (len > key->max) {
		snprintf(out, MUST_BYTES, "must be at most %u bytes", key->max);
		return out;
	}
	if (must)
		return must;
	copy = strdup(text);
	if (!copy)
		return "out of memory";
	free(*(char **)field);
	*(char **)field = copy;
	return NULL;
}

static bool has_control_characters(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			return true;
	}
	return false;
}

static const char no_control_characters[] = "must not contain control characters";

static void walk_scalar(struct config_walk *walk, const struct config_key *key, void *field)
{
	const struct config_yaml *yaml = &walk->yaml;
	bool is_text = key->type == CONFIG_KEY_STRING || key->type == CONFIG_KEY_PARSED, taken = true;
	const char *must = NULL;
	char message[MUST_BYTES];

	/* Left empty means left at the default, as in Porter. */
	if (is_text && !key->required && yaml->value_len == 0)
		return;
	if (is_text && has_control_characters(yaml->value, yaml->value_len))
		must = no_control_characters;
	else if (key->type == CONFIG_KEY_STRING)
		must = read_string(key, yaml->value, yaml->value_len, field, message);
	else if (key->type == CONFIG_KEY_PARSED)
		must = key->read(yaml->value, field);
	else if (key->type == CONFIG_KEY_BOOL)
		taken = read_bool(yaml, field);
	else if (key->type == CONFIG_KEY_NUMBER)
		taken = read_number(key, yaml, field);
	else
		taken = read_choice(key, yaml, field);
	if (must || !taken)
		error_here(walk, key, must ? must : must_be(key, message));
}

/* --- mappings and lists ------------------------------------------------------------------------ */

static const char key_must_be[] = "a key must be a name";

static void walk_value(struct config_walk *walk, const struct config_key *key, void *base);

static void unknown_key(struct config_walk *walk, const struct config_mapping *mapping)
{
	char quoted[CONFIG_QUOTED_BYTES], message[CONFIG_ERROR_BYTES];
	size_t n = (size_t)snprintf(message, sizeof(message), "unknown key: must be one of");

	for (unsigned i = 0; i < mapping->key_count && n < sizeof(message); i++)
		n += (size_t)snprintf(message + n, sizeof(message) - n, "%s %s", i ? "," : "", mapping->keys[i].name);
	config_walk_error(walk, walk->yaml.line, config_yaml_quote(&walk->yaml, quoted, false), NULL, message);
}

static const struct config_key *find_key(const struct config_mapping *mapping, const struct config_yaml *yaml)
{
	for (unsigned i = 0; i < mapping->key_count; i++) {
		const char *name = mapping->keys[i].name;

		if (strlen(name) == yaml->value_len && !memcmp(name, yaml->value, yaml->value_len))
			return &mapping->keys[i];
	}
	return NULL;
}

/* The current node is a key: steps over it and its value. */
static void skip_pair(struct config_yaml *yaml)
{
	config_yaml_skip(yaml);
	config_yaml_next(yaml);
	config_yaml_skip(yaml);
}

/* The current node is a key: reads its value too. */
static void walk_pair(struct config_walk *walk, void *base, struct config_lines *lines)
{
	struct config_yaml *yaml = &walk->yaml;
	const struct config_key *key = NULL;
	unsigned errors;
	char message[64];
	int *line;

	if (yaml->kind != CONFIG_YAML_SCALAR) {
		config_walk_error(walk, yaml->line, NULL, NULL, key_must_be);
	} else {
		key = find_key(lines->mapping, yaml);
		if (!key)
			unknown_key(walk, lines->mapping);
	}
	if (!key) {
		skip_pair(yaml);
		return;
	}
	line = &lines->line[key - lines->mapping->keys];
	if (*line) {
		snprintf(message, sizeof(message), "must be given once (first on line %d)", abs(*line));
		config_walk_error(walk, yaml->line, key->name, NULL, message);
		skip_pair(yaml);
		return;
	}
	*line = yaml->line;
	errors = walk->errors->count;
	walk->path[walk->depth++].name = key->name;
	config_yaml_next(yaml);
	walk_value(walk, key, base);
	walk->depth--;
	if (walk->errors->count > errors)
		*line = -*line;
}

static void walk_mapping(struct config_walk *walk, const struct config_mapping *mapping, void *base)
{
	struct config_lines lines = { .mapping = mapping, .begin = walk->yaml.line };

	while (config_yaml_next(&walk->yaml) != CONFIG_YAML_MAPPING_END) {
		if (walk->yaml.kind == CONFIG_YAML_END)
			return;
		walk_pair(walk, base, &lines);
	}
	for (unsigned i = 0; i < mapping->key_count; i++) {
		if (mapping->keys[i].required && !lines.line[i])
			config_walk_error(walk, lines.begin, mapping->keys[i].name, NULL, "missing: must be given");
	}
	if (mapping->done)
		mapping->done(walk, base, &lines);
}

/* The same where the file chooses the keys. */
static void walk_free_pair(struct config_walk *walk, const struct config_pairs *pairs, void *base)
{
	struct config_yaml *yaml = &walk->yaml;
	bool is_name = yaml->kind == CONFIG_YAML_SCALAR;
	void *pair = is_name ? pairs->add(base, yaml->line) : NULL;
	char name[CONFIG_QUOTED_BYTES];
	const char *must;

	if (!pair) {
		config_walk_error(walk, yaml->line, NULL, NULL, is_name ? "out of memory" : key_must_be);
		skip_pair(yaml);
		return;
	}
	config_yaml_quote(yaml, name, false);
	must = has_control_characters(yaml->value, yaml->value_len) ? no_control_characters :
								      pairs->read_name(yaml->value, pair);
	if (must)
		config_walk_error(walk, yaml->line, name, NULL, must);
	walk->path[walk->depth++].name = name;
	config_yaml_next(yaml);
	walk_value(walk, &pairs->value, pair);
	walk->depth--;
}

static void walk_pairs(struct config_walk *walk, const struct config_pairs *pairs, void *base)
{
	while (config_yaml_next(&walk->yaml) != CONFIG_YAML_MAPPING_END) {
		if (walk->yaml.kind == CONFIG_YAML_END)
			return;
		walk_free_pair(walk, pairs, base);
	}
}

static void walk_item(struct config_walk *walk, const struct config_list *list, unsigned index)
{
	bool too_many = list->max && index >= list->max;
	void *item = too_many ? NULL : list->add(walk->draft);
	bool ready = item && (!list->item.mapping || !config_keys_defaults(list->item.mapping, item));
	unsigned errors = walk->errors->count;
	const char *must;
	char message[MUST_BYTES];

	if (!ready) {
		snprintf(message, sizeof(message), "too many: must be at most %u", list->max);
		if (!too_many || index == list->max) /* not once more for each that follows */
			config_walk_error(walk, walk->yaml.line, NULL, NULL, too_many ? message : "out of memory");
		config_yaml_skip(&walk->yaml);
		return;
	}
	walk_value(walk, &list->item, item);
	if (!list->check || walk->errors->count > errors || walk->yaml.kind == CONFIG_YAML_END)
		return;
	must = list->check(walk->draft);
	if (must)
		error_here(walk, &list->item, must);
}

static void walk_list(struct config_walk *walk, const struct config_list *list)
{
	unsigned at = walk->depth++;

	walk->path[at].name = NULL;
	for (unsigned i = 0; config_yaml_next(&walk->yaml) != CONFIG_YAML_LIST_END; i++) {
		if (walk->yaml.kind == CONFIG_YAML_END)
			break;
		walk->path[at].index = i;
		walk_item(walk, list, i);
	}
	walk->depth--;
}

/* Keys whose meaning is to come: taken while they say nothing. */
static void walk_reserved(struct config_walk *walk)
{
	struct config_yaml *yaml = &walk->yaml;
	int line = yaml->line;

	config_yaml_next(yaml);
	if (yaml->kind != CONFIG_YAML_MAPPING_END)
		config_walk_error(walk, line, NULL, "{...}", "not supported yet: must be empty");
	while (yaml->kind != CONFIG_YAML_MAPPING_END && yaml->kind != CONFIG_YAML_END) {
		config_yaml_skip(yaml);
		config_yaml_next(yaml);
	}
}

static enum config_yaml_kind kind_of(enum config_key_type type)
{
	if (type == CONFIG_KEY_MAPPING || type == CONFIG_KEY_PAIRS || type == CONFIG_KEY_RESERVED_MAPPING)
		return CONFIG_YAML_MAPPING;
	if (type == CONFIG_KEY_LIST)
		return CONFIG_YAML_LIST;
	return CONFIG_YAML_SCALAR;
}

/* The current node is the value of a key, or an item of a list. Steps to its last node. */
static void walk_value(struct config_walk *walk, const struct config_key *key, void *base)
{
	enum config_yaml_kind kind = walk->yaml.kind;
	char message[MUST_BYTES];

	if (kind == CONFIG_YAML_END || (kind == CONFIG_YAML_NULL && !key->required))
		return;
	if (kind != kind_of(key->type)) {
		error_here(walk, key, must_be(key, message));
		config_yaml_skip(&walk->yaml);
	} else if (key->type == CONFIG_KEY_MAPPING) {
		walk_mapping(walk, key->mapping, base);
	} else if (key->type == CONFIG_KEY_PAIRS) {
		walk_pairs(walk, key->pairs, base);
	} else if (key->type == CONFIG_KEY_LIST) {
		walk_list(walk, key->list);
	} else if (kind != CONFIG_YAML_SCALAR) {
		walk_reserved(walk);
	} else {
		walk_scalar(walk, key, (char *)base + key->offset);
	}
}

bool config_walk_text(const char *text, size_t len, struct config_draft *draft, struct config_errors *errors)
{
	static const struct config_key file = { .type = CONFIG_KEY_MAPPING, .mapping = &config_keys };
	struct config_walk walk = { .errors = errors, .draft = draft };
	bool whole;

	if (config_yaml_open(&walk.yaml, text, len, errors) < 0) {
		config_errors_add(errors, 0, NULL, NULL, "out of memory");
		return false;
	}
	config_yaml_next(&walk.yaml);
	walk_value(&walk, &file, draft);
	if (walk.yaml.kind != CONFIG_YAML_END)
		config_yaml_next(&walk.yaml); /* a second document, or what follows the first */
	whole = !walk.yaml.broken;
	config_yaml_close(&walk.yaml);
	return whole;
}
