/* fuzz_requirement.c - any bytes as a requirement line, and as the name of a wheel. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "lock.h"
#include "requirement.h"
#include "submission.h"
#include "xalloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static const char *version_of(void *ctx, const char *name)
{
	/* What is looked up is a name, whatever the line was. */
	for (; *name; name++)
		if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-", *name))
			abort();
	return ctx;
}

/* What is taken ends up in pip's arguments. */
static void check_taken(const char *line)
{
	if (*line == '-' || strpbrk(line, "\r\n@/\\") || strstr(line, "://"))
		abort();
}

static void read_line(const char *line)
{
	char plain[] = "1.2.3", local[] = "1.2.3rc1+local";
	struct err e = { 0 };

	if (requirement_check(&submission_defaults, line, &e) < 0)
		return;
	check_taken(line);
	requirement_satisfied(line, version_of, NULL);
	requirement_satisfied(line, version_of, plain);
	requirement_satisfied(line, version_of, local);
}

static void read_wheel(const char *name)
{
	static const struct digest digest = { { 1 } };
	struct buf out = { 0 };
	struct err e = { 0 };

	if (lock_line(&out, name, &digest, &e) == 0 && memchr(out.data, '\n', out.len))
		abort();
	buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	char *text = xmalloc(len + 1);

	memcpy(text, bytes, len);
	text[len] = '\0';
	read_line(text);
	read_wheel(text);
	free(text);
	return 0;
}
