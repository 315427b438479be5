/* SPDX-License-Identifier: MIT */
/*
 * config_errors: what is wrong with a configuration, collected and then
 * printed in the order of the file. Start-up and reload only. The texts it is
 * given come from the file: control characters never reach the terminal.
 */
#ifndef SLUICE_CONFIG_ERRORS_H
#define SLUICE_CONFIG_ERRORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum {
	CONFIG_ERRORS_MAX = 20,      /* then parsing stops: more would only scroll the first away */
	CONFIG_ERROR_BYTES = 640,
	CONFIG_QUOTED_BYTES = 300,   /* room for what config_errors_quote makes */
};

struct config_errors {
	unsigned count;
	struct {
		int line;
		char text[CONFIG_ERROR_BYTES];
	} list[CONFIG_ERRORS_MAX];
};

static inline bool config_errors_full(const struct config_errors *errors)
{
	return errors->count == CONFIG_ERRORS_MAX;
}

/*
 * "LINE: path: value: message". line 0, and path and value NULL, are left out.
 * value is printed as it is: make it with config_errors_quote.
 */
void config_errors_add(struct config_errors *errors, int line, const char *path, const char *value,
		       const char *format, ...) __attribute__((format(printf, 5, 6)));

/*
 * The text as a message may show it: 60 bytes of it at most, everything but
 * printable ASCII escaped; in quotes if wanted, or if it could not be read
 * without. Returns out.
 */
const char *config_errors_quote(char out[static CONFIG_QUOTED_BYTES], const char *text, size_t len, bool quoted);

/* One line each, by line number. */
void config_errors_print(const struct config_errors *errors, const char *name, FILE *out);

#endif
