/* error.c - codes, names and texts of failures. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const code_names[] = {
	[CHRONOS_OK] = "ok",
	[CHRONOS_INVALID] = "invalid",
	[CHRONOS_NOT_FOUND] = "not_found",
	[CHRONOS_CONFLICT] = "conflict",
	[CHRONOS_EXHAUSTED] = "exhausted",
	[CHRONOS_DENIED] = "denied",
	[CHRONOS_UNAVAILABLE] = "unavailable",
	[CHRONOS_TIMEOUT] = "timeout",
	[CHRONOS_SYSTEM] = "system",
	[CHRONOS_INTERNAL] = "internal",
};

const char *chronos_code_name(enum chronos_code code)
{
	size_t i = (size_t)code;

	return i < sizeof code_names / sizeof *code_names ? code_names[i] : "unknown";
}

const char *chronos_version(void)
{
	return CUMULUS_VERSION;
}

__attribute__((format(printf, 2, 0))) static void set_text(
	struct chronos_error *e, const char *format, va_list args)
{
	if (vsnprintf(e->text, sizeof e->text, format, args) < 0)
		e->text[0] = '\0';
}

int chronos_fail(struct chronos_error *e, enum chronos_code code, const char *format, ...)
{
	if (!e)
		return -1;
	e->code = code;
	e->sys = 0;

	va_list args;
	va_start(args, format);
	set_text(e, format, args);
	va_end(args);
	return -1;
}

int chronos_fail_sys(struct chronos_error *e, const char *format, ...)
{
	int sys = errno;

	if (!e)
		return -1;
	e->code = sys == EACCES || sys == EPERM ? CHRONOS_DENIED : CHRONOS_SYSTEM;
	e->sys = sys;

	va_list args;
	va_start(args, format);
	set_text(e, format, args);
	va_end(args);

	char reason[128];
	const char *why = strerror_r(sys, reason, sizeof reason);
	size_t used = strlen(e->text);
	snprintf(e->text + used, sizeof e->text - used, ": %s", why);
	return -1;
}
