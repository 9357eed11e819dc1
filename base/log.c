/* log.c - writes structured lines to stderr. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"
#include "clock.h"

static const char *const level_names[] = { "error", "warn", "info", "debug" };

static struct {
	const char *program;
	enum log_level most;
	bool json;
} logger = { "cumulus", LOG_LEVEL_INFO, false };

void log_init(const char *program, enum log_level most, bool json)
{
	logger.program = program;
	logger.most = most;
	logger.json = json;
}

int log_level_parse(const char *text, enum log_level *level, struct err *e)
{
	for (int i = 0; i <= LOG_LEVEL_DEBUG; i++) {
		if (strcmp(text, level_names[i]) == 0) {
			*level = (enum log_level)i;
			return 0;
		}
	}
	return err_set(e, ERR_INVALID,
		"log level \"%.32s\" is none of error, warn, info, debug", text);
}

static void add_escaped(struct buf *b, const char *s)
{
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\')
			buf_addf(b, "\\%c", c);
		else if (c == '\n')
			buf_add(b, "\\n", 2);
		else if (c < 0x20 || c == 0x7f)
			buf_addf(b, "\\u%04x", c);
		else
			buf_add(b, &c, 1);
	}
}

static bool is_plain(const char *s)
{
	for (; *s; s++)
		if (*s <= ' ' || *s == '"' || *s == '=' || *s == '\\' || *s == 0x7f)
			return false;
	return true;
}

static void add_pair(struct buf *b, const char *key, const char *value)
{
	bool quote = logger.json || !is_plain(value);

	buf_addf(b, logger.json ? ",\"%s\":" : " %s=", key);
	if (quote)
		buf_add(b, "\"", 1);
	add_escaped(b, value);
	if (quote)
		buf_add(b, "\"", 1);
}

static void add_head(struct buf *b, enum log_level level)
{
	int64_t now = clock_wall_ns();
	time_t seconds = (time_t)(now / NS_PER_S);
	struct tm tm;
	char at[64];

	gmtime_r(&seconds, &tm);
	size_t len = strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(at + len, sizeof(at) - len, ".%03dZ", (int)(now % NS_PER_S / NS_PER_MS));
	if (logger.json)
		buf_addf(b, "{\"time\":\"%s\"", at);
	else
		buf_addf(b, "time=%s", at);
	add_pair(b, "level", level_names[level]);
	add_pair(b, "program", logger.program);
}

static void write_line(enum log_level level, const char *message, va_list args)
{
	CLEANUP(buf_fini) struct buf line = { 0 };

	if (level > logger.most)
		return;
	add_head(&line, level);
	add_pair(&line, "msg", message);
	for (const char *key; (key = va_arg(args, const char *));) {
		const char *value = va_arg(args, const char *);

		if (value && *value)
			add_pair(&line, key, value);
	}
	if (logger.json)
		buf_add(&line, "}", 1);
	buf_add(&line, "\n", 1);
	/* A log that cannot be written has nowhere to say so. */
	if (write(STDERR_FILENO, line.data, line.len) < 0)
		return;
}

#define LOG_FUNCTION(name, level)                                                        \
	void name(const char *message, ...)                                              \
	{                                                                                \
		va_list args;                                                            \
                                                                                         \
		va_start(args, message);                                                 \
		write_line(level, message, args);                                        \
		va_end(args);                                                            \
	}

LOG_FUNCTION(log_error, LOG_LEVEL_ERROR)
LOG_FUNCTION(log_warn, LOG_LEVEL_WARN)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO)
LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG)
