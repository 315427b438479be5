/* SPDX-License-Identifier: MIT */
/*
 * log: lines on standard error, for people (text) or machines (json).
 * Steward thread and start-up. Workers never log: they count.
 *
 * The functions without x append errno's text, as err(3) does; those with x
 * do not. A level below the set one costs a comparison.
 */
#ifndef SLUICE_LOG_H
#define SLUICE_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_setup(enum log_level level, bool json);

#define LOG_PRINTF __attribute__((format(printf, 1, 2)))
void log_error(const char *format, ...) LOG_PRINTF;
void log_errorx(const char *format, ...) LOG_PRINTF;
void log_warn(const char *format, ...) LOG_PRINTF;
void log_warnx(const char *format, ...) LOG_PRINTF;
void log_infox(const char *format, ...) LOG_PRINTF;
void log_debugx(const char *format, ...) LOG_PRINTF;

/* For lines that others can cause at any rate: at most one a second passes, and says how many did not. */
struct log_limit {
	long second;
	unsigned held;
};

/* True: log; *held lines were not since the last one. */
bool log_limit_pass(struct log_limit *limit, unsigned *held);

#endif
