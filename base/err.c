/* err.c - fills the one error type. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "str.h"

static const char *const code_names[ERR_CODE_COUNT] = {
	[ERR_NONE] = "none",
	[ERR_INVALID] = "invalid",
	[ERR_NOT_FOUND] = "not_found",
	[ERR_CONFLICT] = "conflict",
	[ERR_EXHAUSTED] = "exhausted",
	[ERR_DENIED] = "denied",
	[ERR_UNAVAILABLE] = "unavailable",
	[ERR_TIMEOUT] = "timeout",
	[ERR_UNSUPPORTED] = "unsupported",
	[ERR_SYSTEM] = "system",
	[ERR_INTERNAL] = "internal",
};

const char *err_code_name(enum err_code code)
{
	return code < ERR_CODE_COUNT ? code_names[code] : "unknown";
}

int err_setv(struct err *e, enum err_code code, const char *format, va_list args)
{
	if (!e)
		return -1;
	e->code = code;
	e->sys = 0;
	vsnprintf(e->text, sizeof(e->text), format, args);
	str_trim_utf8(e->text);
	return -1;
}

int err_set(struct err *e, enum err_code code, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	err_setv(e, code, format, args);
	va_end(args);
	return -1;
}

static enum err_code code_of_errno(int sys)
{
	switch (sys) {
	case ENOENT:
		return ERR_NOT_FOUND;
	case EACCES:
	case EPERM:
		return ERR_DENIED;
	case ENOSPC:
	case EDQUOT:
	case EMFILE:
	case ENFILE:
		return ERR_EXHAUSTED;
	default:
		return ERR_SYSTEM;
	}
}

int err_sys(struct err *e, const char *format, ...)
{
	int sys = errno;
	char what[sizeof(e->text)];
	char reason[128];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	err_set(e, code_of_errno(sys), "%s: %s", what,
		strerror_r(sys, reason, sizeof(reason)));
	if (e)
		e->sys = sys;
	return -1;
}

int err_wrap(struct err *e, const char *format, ...)
{
	char old[sizeof(e->text)];
	char context[sizeof(e->text)];
	va_list args;

	if (!e)
		return -1;
	va_start(args, format);
	vsnprintf(context, sizeof(context), format, args);
	va_end(args);
	memcpy(old, e->text, sizeof(old));
	str_join(e->text, sizeof(e->text), context, ": ", old);
	return -1;
}
