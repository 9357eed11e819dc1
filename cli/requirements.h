/* requirements.h - reads a requirements.txt into lines that a submission can carry.
 *
 * Thread: any.  Comments and blank lines go, a backslash joins lines.  What names other
 * files, options or addresses is refused by name: the server takes PEP 508 names only.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

#include "err.h"

struct requirements {
	char **lines; /* owned */
	size_t count;
};

void requirements_fini(struct requirements *r);
/* name is how errors call the text: they say "<name>:<line>: ...". */
int requirements_parse(const char *name, const char *text, struct requirements *out,
	struct err *e) MUST_CHECK;
int requirements_read(
	const char *path, struct requirements *out, struct err *e) MUST_CHECK;
