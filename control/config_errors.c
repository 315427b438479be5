/* SPDX-License-Identifier: MIT */
/* config_errors: see config_errors.h. */
#include "control/config_errors.h"

#include <stdarg.h>
#include <string.h>

enum { SHOWN_BYTES_MAX = 60 };

void config_errors_add(struct config_errors *errors, int line, const char *path, const char *value,
		       const char *format, ...)
{
	unsigned at = errors->count;
	va_list args;
	char *text;
	size_t used;

	if (config_errors_full(errors))
		return;
	/* Checks across keys come after the walk: put each where its line belongs. */
	while (at > 0 && errors->list[at - 1].line > line)
		at--;
	memmove(&errors->list[at + 1], &errors->list[at], (errors->count - at) * sizeof(errors->list[0]));
	errors->count++;
	errors->list[at].line = line;
	text = errors->list[at].text;
	snprintf(text, CONFIG_ERROR_BYTES, "%s%s%s%s", path ? path : "", path ? ": " : "", value ? value : "",
		 value ? ": " : "");
	used = strlen(text);
	va_start(args, format);
	vsnprintf(text + used, CONFIG_ERROR_BYTES - used, format, args);
	va_end(args);
}

static bool shows_bare(const char *text, size_t len)
{
	if (len == 0 || text[0] == ' ' || text[len - 1] == ' ' || text[len - 1] == ':')
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c < 0x20 || c > 0x7e)
			return false;
	}
	return true;
}

const char *config_errors_quote(char out[static CONFIG_QUOTED_BYTES], const char *text, size_t len, bool quoted)
{
	size_t shown = len < SHOWN_BYTES_MAX ? len : SHOWN_BYTES_MAX;
	char *to = out;

	quoted = quoted || !shows_bare(text, shown);
	if (quoted)
		*to++ = '"';
	for (size_t i = 0; i < shown; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c < 0x20 || c > 0x7e)
			to += sprintf(to, "\\x%02x", c);
		else if (quoted && (c == '"' || c == '\\'))
			to += sprintf(to, "\\%c", c);
		else
			*to++ = (char)c;
	}
	if (quoted)
		*to++ = '"';
	strcpy(to, shown < len ? "..." : "");
	return out;
}

_Static_assert(CONFIG_QUOTED_BYTES >= SHOWN_BYTES_MAX * 4 + sizeof("\"\"..."), "all bytes escaped must fit");

void config_errors_print(const struct config_errors *errors, const char *name, FILE *out)
{
	for (unsigned i = 0; i < errors->count; i++) {
		if (errors->list[i].line)
			fprintf(out, "%s:%d: %s\n", name, errors->list[i].line, errors->list[i].text);
		else
			fprintf(out, "%s: %s\n", name, errors->list[i].text);
	}
}
