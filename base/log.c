/* log.c - writes structured lines to stderr. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"
#include "clock.h"
#include "str.h"

static const char *const level_names[] = { "error", "warn", "info", "debug" };

static struct {
	const char *program;
	_Atomic enum log_level most;
	atomic_bool json;
} logger = { "cumulus", LOG_LEVEL_INFO, false };

/* Lines that repeat.  One slot for each cause; two causes that meet in one take turns. */
#define SLOTS 64

static struct repeating {
	uint64_t cause; /* hash of message and why; 0 = unused */
	int64_t since_ns;
	uint32_t written;
	uint64_t hidden;
} repeating[SLOTS];
static pthread_mutex_t repeating_lock = PTHREAD_MUTEX_INITIALIZER;

void log_init(const char *program, enum log_level most, bool json)
{
	logger.program = program;
	log_set(most, json);
}

void log_set(enum log_level most, bool json)
{
	atomic_store(&logger.most, most);
	atomic_store(&logger.json, json);
}

const char *log_level_flag(void)
{
	static const char *const flags[] = { "--log-level=error", "--log-level=warn",
		"--log-level=info", "--log-level=debug" };

	return flags[atomic_load(&logger.most)];
}

const char *log_json_flag(void)
{
	return atomic_load(&logger.json) ? "--log-json=yes" : "--log-json=no";
}

int log_open(const char *path, struct err *e)
{
	const int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY;
	CLEANUP(close_fd) int fd = open(path, flags | O_EXCL, 0640);

	/* The umask is another one after the start; a rotated log stays as readable. */
	if (fd >= 0 && fchmod(fd, 0640) < 0)
		return err_sys(e, "set the mode of the log %s", path);
	if (fd < 0 && errno == EEXIST)
		fd = open(path, flags, 0640);
	if (fd < 0)
		return err_sys(e, "open the log %s", path);
	/* Without close-on-exec: what is started later writes there too. */
	if (dup2(fd, STDERR_FILENO) < 0)
		return err_sys(e, "write the log to %s", path);
	return 0;
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

/* One character of valid UTF-8; returns how many bytes it has. */
static size_t add_character(struct buf *b, const char *s)
{
	const unsigned char *c = (const unsigned char *)s;
	size_t len = *c < 0x80 ? 1 : *c < 0xe0 ? 2 : *c < 0xf0 ? 3 : 4;

	if (*c == '"' || *c == '\\')
		buf_addf(b, "\\%c", *c);
	else if (*c == '\n')
		buf_add(b, "\\n", 2);
	else if (*c < 0x20 || *c == 0x7f)
		buf_addf(b, "\\u%04x", *c);
	else if (c[0] == 0xc2 && c[1] < 0xa0) /* a terminal takes these for commands */
		buf_addf(b, "\\u%04x", c[1]);
	else
		buf_add(b, c, len);
	return len;
}

static void add_escaped(struct buf *b, const char *s)
{
	size_t len = strlen(s);
	bool cut = len > LOG_VALUE_MAX;

	if (cut)
		len = utf8_whole(s, LOG_VALUE_MAX);

	CLEANUP(free_ptr) char *valid = utf8_replace(s, len, NULL);
	for (const char *c = valid; *c;)
		c += add_character(b, c);
	if (cut)
		buf_add(b, "...", 3);
}

static bool is_plain(const char *s)
{
	for (; *s; s++)
		if (*s <= ' ' || *s == '"' || *s == '=' || *s == '\\' || *s == 0x7f)
			return false;
	return true;
}

static void add_pair(struct buf *b, bool json, const char *key, const char *value)
{
	bool quote = json || !is_plain(value);

	buf_addf(b, json ? ",\"%s\":" : " %s=", key);
	if (quote)
		buf_add(b, "\"", 1);
	add_escaped(b, value);
	if (quote)
		buf_add(b, "\"", 1);
}

static void add_head(struct buf *b, bool json, enum log_level level)
{
	int64_t now = clock_wall_ns();
	time_t seconds = (time_t)(now / NS_PER_S);
	struct tm tm;
	char at[64];

	gmtime_r(&seconds, &tm);
	size_t len = strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(at + len, sizeof(at) - len, ".%03dZ", (int)(now % NS_PER_S / NS_PER_MS));
	if (json)
		buf_addf(b, "{\"time\":\"%s\"", at);
	else
		buf_addf(b, "time=%s", at);
	add_pair(b, json, "level", level_names[level]);
	add_pair(b, json, "program", logger.program);
}

/* FNV-1a; the NUL is part of it, so that "ab","c" is not "a","bc". */
static uint64_t hash_text(uint64_t hash, const char *s)
{
	do
		hash = (hash ^ (unsigned char)*s) * UINT64_C(1099511628211);
	while (*s++);
	return hash;
}

/* May a line of this cause be written?  *hidden: how many were not, since the last. */
static bool may_repeat(const char *message, const char *why, uint64_t *hidden)
{
	uint64_t cause = hash_text(
		hash_text(UINT64_C(14695981039346656037), message), why ? why : "");
	int64_t now = clock_boot_ns();
	bool may;

	pthread_mutex_lock(&repeating_lock);
	struct repeating *r = &repeating[cause % SLOTS];
	if (r->cause != cause)
		*r = (struct repeating){ .cause = cause, .since_ns = now };
	if (now - r->since_ns >= LOG_WINDOW_S * NS_PER_S) {
		r->since_ns = now;
		r->written = 0;
	}
	may = r->written < LOG_REPEATS;
	r->written += may;
	r->hidden += !may;
	*hidden = may ? r->hidden : 0;
	if (may)
		r->hidden = 0;
	pthread_mutex_unlock(&repeating_lock);
	return may;
}

static const char *find_value(const char *wanted, va_list args)
{
	va_list again;
	const char *found = NULL;

	va_copy(again, args);
	for (const char *key; !found && (key = va_arg(again, const char *));) {
		const char *value = va_arg(again, const char *);

		if (strcmp(key, wanted) == 0)
			found = value;
	}
	va_end(again);
	return found;
}

static bool is_wanted(
	enum log_level level, const char *message, va_list args, uint64_t *hidden)
{
	*hidden = 0;
	if (level > atomic_load(&logger.most))
		return false;
	return level > LOG_LEVEL_WARN || find_value("reference", args) ||
	       may_repeat(message, find_value("why", args), hidden);
}

static void write_line(enum log_level level, const char *message, va_list args)
{
	CLEANUP(buf_fini) struct buf line = { 0 };
	bool json = atomic_load(&logger.json);
	uint64_t hidden;

	if (!is_wanted(level, message, args, &hidden))
		return;
	add_head(&line, json, level);
	add_pair(&line, json, "msg", message);
	for (const char *key; (key = va_arg(args, const char *));) {
		const char *value = va_arg(args, const char *);

		if (value && *value)
			add_pair(&line, json, key, value);
	}
	if (hidden) {
		char count[24];

		snprintf(count, sizeof(count), "%" PRIu64, hidden);
		add_pair(&line, json, "repeated", count);
	}
	if (json)
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
