/* err.h - the one error type: a code, an errno and a text, on the caller's stack.
 *
 * Thread: any.  Never allocated, nothing to release.  Every fallible function takes a
 * `struct err *e` last and returns 0 or -1, or a pointer or NULL; on failure its
 * out-parameters are untouched.  Return an error or log it, never both.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>

enum err_code {
	ERR_NONE = 0,
	ERR_INVALID, /* the caller's input is wrong */
	ERR_NOT_FOUND,
	ERR_CONFLICT,  /* it contradicts what is there */
	ERR_EXHAUSTED, /* a limit or a quota is reached */
	ERR_DENIED,
	ERR_UNAVAILABLE, /* not now; trying again may help */
	ERR_TIMEOUT,
	ERR_UNSUPPORTED, /* a thing this build or machine does not do */
	ERR_SYSTEM,      /* the operating system refused; sys holds errno */
	ERR_INTERNAL,    /* our own mistake */
	ERR_CODE_COUNT
};

struct err {
	enum err_code code;
	int sys;        /* errno, 0 when none was involved */
	char text[504]; /* one line of UTF-8, cut at a character boundary */
};

#define MUST_CHECK        __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))

/* Fill *e (NULL is fine) and return -1, so that `return err_set(...)` reads well. */
int err_set(struct err *e, enum err_code code, const char *format, ...) PRINTF_LIKE(3, 4);
int err_setv(struct err *e, enum err_code code, const char *format, va_list args)
	PRINTF_LIKE(3, 0);

/* The same from errno: "<what>: <strerror>".  ENOENT becomes ERR_NOT_FOUND, EACCES and
 * EPERM ERR_DENIED, ENOSPC, EDQUOT, EMFILE and ENFILE ERR_EXHAUSTED, the rest ERR_SYSTEM. */
int err_sys(struct err *e, const char *format, ...) PRINTF_LIKE(2, 3);

/* Put "<context>: " before the text.  Returns -1. */
int err_wrap(struct err *e, const char *format, ...) PRINTF_LIKE(2, 3);

/* "invalid", "not_found" ...; never NULL. */
const char *err_code_name(enum err_code code);
