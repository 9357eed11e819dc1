/* log.h - structured lines on stderr: key=value, or JSON when asked.
 *
 * Thread: any; a line is one write.  error: a human must act; warn: it may become one;
 * info: a fact of a life cycle; debug.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

#include "err.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* Once, before threads.  program stands in every line (borrowed, a literal). */
void log_init(const char *program, enum log_level most, bool json);
int log_level_parse(const char *text, enum log_level *level, struct err *e) MUST_CHECK;

/* One line: the message, then pairs of key and value up to a NULL key.  Values are
 * strings; NULL prints as nothing.  Example:
 *     log_info("job started", "job", id, "worker", worker, NULL);
 */
void log_error(const char *message, ...) __attribute__((sentinel));
void log_warn(const char *message, ...) __attribute__((sentinel));
void log_info(const char *message, ...) __attribute__((sentinel));
void log_debug(const char *message, ...) __attribute__((sentinel));
