/* log.h - structured lines on stderr: key=value, or JSON when asked.
 *
 * Thread: any; a line is one write.  error: a human must act; warn: it may become one;
 * info: a fact of a life cycle; debug.
 *
 * Every line can be parsed whatever is in its values: control characters are escaped, what
 * is not UTF-8 is replaced, values are cut to LOG_VALUE_MAX bytes.  Of an error or warning
 * that repeats (same message, same "why") LOG_REPEATS lines are written in LOG_WINDOW_S;
 * the next one after that says repeated=N.  A line with a "reference" is always written:
 * somebody was told to look for it.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "err.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

#define LOG_VALUE_MAX 2048
#define LOG_REPEATS   5
#define LOG_WINDOW_S  10

/* Before threads.  program stands in every line (borrowed, a literal). */
void log_init(const char *program, enum log_level most, bool json);
/* At any time: what log_init() said of it. */
void log_set(enum log_level most, bool json);
/* "--log-level=info" and "--log-json=no": what makes a program of ours log alike. */
const char *log_level_flag(void);
const char *log_json_flag(void);
/* Write to this file from now on, appending; it is stderr then, also of programs that are
 * started later.  A new file has mode 0640, whatever the umask.  Again with the same path
 * after it was renamed.  On failure nothing has changed. */
int log_open(const char *path, struct err *e) MUST_CHECK;
int log_level_parse(const char *text, enum log_level *level, struct err *e) MUST_CHECK;

/* One line: the message, then pairs of key and value up to a NULL key.  Values are
 * strings; NULL prints as nothing.  Example:
 *     log_info("job started", "job", id, "worker", worker, NULL);
 */
void log_error(const char *message, ...) __attribute__((sentinel));
void log_warn(const char *message, ...) __attribute__((sentinel));
void log_info(const char *message, ...) __attribute__((sentinel));
void log_debug(const char *message, ...) __attribute__((sentinel));
