/* SPDX-License-Identifier: MIT */
/* config_yaml: see config_yaml.h. */
#include "control/config_yaml.h"

#include <errno.h>
#include <string.h>

int config_yaml_open(struct config_yaml *yaml, const char *text, size_t len, struct config_errors *errors)
{
	memset(yaml, 0, sizeof(*yaml));
	if (!yaml_parser_initialize(&yaml->parser))
		return -ENOMEM;
	yaml_parser_set_input_string(&yaml->parser, (const unsigned char *)text, len);
	yaml->errors = errors;
	yaml->text = text;
	yaml->len = len;
	yaml->line = 1;
	return 0;
}

void config_yaml_close(struct config_yaml *yaml)
{
	yaml_event_delete(&yaml->event);
	yaml_parser_delete(&yaml->parser);
}

static int line_of_offset(const struct config_yaml *yaml, size_t offset)
{
	int line = 1;

	for (size_t i = 0; i < offset && i < yaml->len; i++)
		line += yaml->text[i] == '\n';
	return line;
}

static void report_syntax(struct config_yaml *yaml)
{
	const yaml_parser_t *parser = &yaml->parser;
	const char *problem = parser->problem ? parser->problem : "out of memory";

	if (parser->error == YAML_READER_ERROR) {
		config_errors_add(yaml->errors, line_of_offset(yaml, parser->problem_offset), NULL, NULL,
				  "YAML syntax: %s", problem);
	} else if (parser->context && strstr(parser->context, "alias")) {
		/* The usual slip: fqdn: *.example.com */
		config_errors_add(yaml->errors, (int)parser->problem_mark.line + 1, NULL, NULL,
				  "YAML syntax: a value that begins with * must be in quotes");
	} else if (parser->context) {
		config_errors_add(yaml->errors, (int)parser->problem_mark.line + 1, NULL, NULL,
				  "YAML syntax: %s (%s from line %d)", problem, parser->context,
				  (int)parser->context_mark.line + 1);
	} else {
		config_errors_add(yaml->errors, (int)parser->problem_mark.line + 1, NULL, NULL, "YAML syntax: %s",
				  problem);
	}
}

static enum config_yaml_kind end_broken(struct config_yaml *yaml)
{
	yaml->broken = true;
	return yaml->kind = CONFIG_YAML_END;
}

static enum config_yaml_kind refuse(struct config_yaml *yaml, const char *message)
{
	config_errors_add(yaml->errors, yaml->line, NULL, NULL, "%s", message);
	return end_broken(yaml);
}

static bool is_null(const char *value, size_t len)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL" }; /* YAML 1.2 s10.3.2 */

	for (size_t i = 0; i < sizeof(nulls) / sizeof(nulls[0]); i++) {
		if (len == strlen(nulls[i]) && !memcmp(value, nulls[i], len))
			return true;
	}
	return false;
}

static enum config_yaml_kind take_scalar(struct config_yaml *yaml)
{
	yaml->value = (const char *)yaml->event.data.scalar.value;
	yaml->value_len = yaml->event.data.scalar.length;
	yaml->quoted = yaml->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	if (yaml->event.data.scalar.anchor)
		return refuse(yaml, "anchors and aliases are not supported");
	if (yaml->event.data.scalar.tag)
		return refuse(yaml, "tags are not supported");
	if (!yaml->quoted && is_null(yaml->value, yaml->value_len))
		return yaml->kind = CONFIG_YAML_NULL;
	return yaml->kind = CONFIG_YAML_SCALAR;
}

static enum config_yaml_kind take_collection(struct config_yaml *yaml, enum config_yaml_kind kind, bool anchor,
					     bool tag)
{
	if (anchor)
		return refuse(yaml, "anchors and aliases are not supported");
	if (tag)
		return refuse(yaml, "tags are not supported");
	if (++yaml->depth > CONFIG_YAML_DEPTH_MAX)
		return refuse(yaml, "lists and mappings are nested too deeply: must be at most 16 levels");
	return yaml->kind = kind;
}

_Static_assert(CONFIG_YAML_DEPTH_MAX == 16, "the message above says so");

static enum config_yaml_kind take_event(struct config_yaml *yaml)
{
	const yaml_event_t *event = &yaml->event;

	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return take_scalar(yaml);
	case YAML_SEQUENCE_START_EVENT:
		return take_collection(yaml, CONFIG_YAML_LIST, event->data.sequence_start.anchor,
				       event->data.sequence_start.tag);
	case YAML_MAPPING_START_EVENT:
		return take_collection(yaml, CONFIG_YAML_MAPPING, event->data.mapping_start.anchor,
				       event->data.mapping_start.tag);
	case YAML_SEQUENCE_END_EVENT:
		yaml->depth--;
		return yaml->kind = CONFIG_YAML_LIST_END;
	case YAML_MAPPING_END_EVENT:
		yaml->depth--;
		return yaml->kind = CONFIG_YAML_MAPPING_END;
	case YAML_ALIAS_EVENT:
		return refuse(yaml, "anchors and aliases are not supported; "
				    "a value that begins with * must be in quotes");
	default:
		return yaml->kind = CONFIG_YAML_END;
	}
}

enum config_yaml_kind config_yaml_next(struct config_yaml *yaml)
{
	if (yaml->broken || config_errors_full(yaml->errors))
		return end_broken(yaml);
	for (;;) {
		yaml_event_delete(&yaml->event);
		if (!yaml_parser_parse(&yaml->parser, &yaml->event)) {
			report_syntax(yaml);
			return end_broken(yaml);
		}
		yaml->line = (int)yaml->event.start_mark.line + 1;
		switch (yaml->event.type) {
		case YAML_STREAM_START_EVENT:
		case YAML_DOCUMENT_END_EVENT:
			break;
		case YAML_DOCUMENT_START_EVENT:
			if (++yaml->documents > 1)
				return refuse(yaml, "a second YAML document begins: must be one");
			break;
		default:
			return take_event(yaml);
		}
	}
}

void config_yaml_skip(struct config_yaml *yaml)
{
	unsigned open = 0;

	do {
		if (yaml->kind == CONFIG_YAML_LIST || yaml->kind == CONFIG_YAML_MAPPING)
			open++;
		else if (yaml->kind == CONFIG_YAML_LIST_END || yaml->kind == CONFIG_YAML_MAPPING_END)
			open--;
	} while (open > 0 && config_yaml_next(yaml) != CONFIG_YAML_END);
}

const char *config_yaml_quote(const struct config_yaml *yaml, char out[static CONFIG_QUOTED_BYTES], bool as_written)
{
	switch (yaml->kind) {
	case CONFIG_YAML_SCALAR:
		return config_errors_quote(out, yaml->value, yaml->value_len, as_written && yaml->quoted);
	case CONFIG_YAML_LIST:
		return strcpy(out, "[...]");
	case CONFIG_YAML_MAPPING:
		return strcpy(out, "{...}");
	default:
		return strcpy(out, "null");
	}
}
