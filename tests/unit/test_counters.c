/* SPDX-License-Identifier: MIT */
/* Each drop reason and event stands in docs/counters.md with its help text, and no other does. Run from the top directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bpf/abi.h"

struct row {
	const char *label, *help;
};

static const struct row drops[] = {
#define X(id, label, help) { label, help },
	DROP_REASONS(X)
#undef X
};

static const struct row events[] = {
#define X(id, label, help) { label, help },
	EVENTS(X)
#undef X
};

static char *document;

static int document_read(void **unused)
{
	FILE *file = fopen("docs/counters.md", "re");
	size_t size = 0;

	(void)unused;
	if (!file)
		return -1;
	if (getdelim(&document, &size, '\0', file) < 0)
		document = NULL;
	fclose(file);
	return document ? 0 : -1;
}

static int document_end(void **unused)
{
	(void)unused;
	free(document);
	return 0;
}

/* The rows between a heading and the next one are these, in order. */
static void section_is(const char *heading, const struct row *rows, size_t count)
{
	const char *at = strstr(document, heading);

	assert_non_null(at);
	at = strstr(at, "|---|---|\n");
	assert_non_null(at);
	at += strlen("|---|---|\n");
	for (size_t i = 0; i < count; i++) {
		char line[256];

		snprintf(line, sizeof(line), "| `%s` | %s |\n", rows[i].label, rows[i].help);
		if (strncmp(at, line, strlen(line)) != 0)
			fail_msg("%s: expected here: %s", heading, line);
		at += strlen(line);
	}
	assert_true(*at == '\n' || *at == '\0');
}

static void drop_reasons_are_documented(void **unused)
{
	(void)unused;
	section_is("## Drop reasons", drops, DROP_REASON_COUNT);
}

static void events_are_documented(void **unused)
{
	(void)unused;
	section_is("## Events", events, EVENT_COUNT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(drop_reasons_are_documented),
		cmocka_unit_test(events_are_documented),
	};

	return cmocka_run_group_tests_name("counters", tests, document_read, document_end);
}
