/* SPDX-License-Identifier: MIT */
/* log: see log.h. One write per line, so lines of several threads do not mix. */
#include "log.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static enum log_level log_threshold = LOG_INFO;
static bool log_as_json;
static atomic_uint lines_lost;

static const char *const level_names[] = { "error", "warn", "info", "debug" };

void log_setup(enum log_level level, bool json)
{
	log_threshold = level;
	log_as_json = json;
}

/* Copies text as the inside of a JSON string (RFC 8259 s7); cuts it rather than overflow. */
static void json_escape(char *out, size_t size, const char *text)
{
	size_t n = 0;

	for (; *text && n + 7 < size; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\') {
			out[n++] = '\\';
			out[n++] = (char)c;
		} else if (c < 0x20 || c == 0x7f) {
			n += (size_t)snprintf(out + n, size - n, "\\u%04x", c);
		} else {
			out[n++] = (char)c;
		}
	}
	out[n] = '\0';
}

/*
 * The steward logs, and the heartbeat must not wait for whoever reads: a reader
 * that has stopped loses lines. A pipe that is writable takes PIPE_BUF bytes
 * (POSIX write), more than any line has.
 */
static bool log_is_read(void)
{
	struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };

	return poll(&out, 1, 0) == 1 && out.revents & POLLOUT;
}

static void log_line(enum log_level level, const char *message)
{
	char line[2304], stamp[32], escaped[1536];
	struct timespec now;
	struct tm tm;
	int len;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	if (log_as_json) {
		json_escape(escaped, sizeof(escaped), message);
		len = snprintf(line, sizeof(line), "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"message\":\"%s\"}\n", stamp,
			       now.tv_nsec / 1000000, level_names[level], escaped);
	} else {
		len = snprintf(line, sizeof(line), "%s.%03ldZ %-5s %s\n", stamp, now.tv_nsec / 1000000,
			       level_names[level], message);
	}
	if (len >= (int)sizeof(line))
		len = sizeof(line) - 1;
	if (write(STDERR_FILENO, line, (size_t)len) < 0)
		return; /* nowhere left to say so */
}

static void log_format(enum log_level level, int error, const char *format, va_list args)
{
	char message[1024];
	unsigned lost;
	int len;

	if (level > log_threshold)
		return;
	if (!log_is_read()) {
		atomic_fetch_add(&lines_lost, 1);
		return;
	}
	lost = atomic_exchange(&lines_lost, 0);
	if (lost) {
		snprintf(message, sizeof(message), "%u log lines lost: nobody was reading", lost);
		log_line(LOG_WARN, message);
		if (!log_is_read()) {
			atomic_fetch_add(&lines_lost, 1);
			return;
		}
	}
	len = vsnprintf(message, sizeof(message), format, args);
	if (error && len >= 0 && len < (int)sizeof(message) - 2)
		snprintf(message + len, sizeof(message) - (size_t)len, ": %s", strerror(error));
	log_line(level, message);
}

#define LOG_FUNCTION(name, level, error)            \
	void name(const char *format, ...)          \
	{                                           \
		int saved_errno = errno;            \
		va_list args;                       \
                                                    \
		va_start(args, format);             \
		log_format(level, error, format, args); \
		va_end(args);                       \
		errno = saved_errno;                \
	}

LOG_FUNCTION(log_error, LOG_ERROR, saved_errno)
LOG_FUNCTION(log_errorx, LOG_ERROR, 0)
LOG_FUNCTION(log_warn, LOG_WARN, saved_errno)
LOG_FUNCTION(log_warnx, LOG_WARN, 0)
LOG_FUNCTION(log_infox, LOG_INFO, 0)
LOG_FUNCTION(log_debugx, LOG_DEBUG, 0)

bool log_limit_pass(struct log_limit *limit, unsigned *held)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (limit->second == now.tv_sec) {
		limit->held++;
		return false;
	}
	limit->second = now.tv_sec;
	*held = limit->held;
	limit->held = 0;
	return true;
}
