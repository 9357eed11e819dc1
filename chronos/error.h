/* error.h - how the library fills a struct chronos_error. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "chronos.h"

/* Both return -1, so that a failing function ends with `return fail(...)`.
 * A text that does not fit is cut off.  e may be NULL. */
int chronos_fail(struct chronos_error *e, enum chronos_code code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Takes errno: its text is appended, and a refused access becomes CHRONOS_DENIED. */
int chronos_fail_sys(struct chronos_error *e, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
