/* requirements.c - a requirements.txt, line by line. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "requirements.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "input.h"
#include "str.h"
#include "xalloc.h"

#define FILE_MAX ((size_t)1 << 20)

void requirements_fini(struct requirements *r)
{
	for (size_t i = 0; i < r->count; i++)
		free(r->lines[i]);
	free(r->lines);
	*r = (struct requirements){ 0 };
}

/* Cut a comment: '#' at the start or after a space, as pip does. */
static void cut_comment(char *line)
{
	for (char *c = line; *c; c++) {
		if (*c == '#' && (c == line || isspace((unsigned char)c[-1]))) {
			*c = '\0';
			return;
		}
	}
}

static char *trim(char *line)
{
	size_t len = strlen(line);

	while (len > 0 && isspace((unsigned char)line[len - 1]))
		line[--len] = '\0';
	while (isspace((unsigned char)*line))
		line++;
	return line;
}

/* Why a line cannot be sent; NULL when it can. */
static const char *why_not(const char *line)
{
	if (str_starts(line, "-r") || str_starts(line, "--requirement"))
		return "other files are not read; put their lines here";
	if (str_starts(line, "-c") || str_starts(line, "--constraint"))
		return "constraints are not read; write versions in the lines";
	if (str_starts(line, "-e") || str_starts(line, "--editable"))
		return "editable installs do not travel; put the code into the job's "
		       "folder";
	if (line[0] == '-')
		return "options of pip are not supported";
	if (strstr(line, " --hash") || strstr(line, " --config-settings"))
		return "options of a requirement are not supported";
	if (strstr(line, "://") || strchr(line, '@'))
		return "addresses are not supported; name the distribution";
	if (line[0] == '.' || line[0] == '/')
		return "paths are not supported; put the code into the job's folder";
	return NULL;
}

static int add(struct requirements *r, const char *name, size_t number, char *line,
	struct err *e)
{
	cut_comment(line);
	line = trim(line);
	if (!*line)
		return 0;

	const char *why = why_not(line);
	if (why) {
		char quoted[STR_QUOTE_SIZE];

		return err_set(e, ERR_INVALID, "%s:%zu: \"%s\": %s", name, number,
			str_quote(quoted, line, strlen(line)), why);
	}
	r->lines = xreallocarray(r->lines, r->count + 1, sizeof(*r->lines));
	r->lines[r->count++] = xstrdup(line);
	return 0;
}

/* Append the physical line at *at to whole; true when a backslash continues it. */
static bool take_line(const char **at, struct buf *whole)
{
	size_t len = strcspn(*at, "\n");
	size_t used = len > 0 && (*at)[len - 1] == '\r' ? len - 1 : len;
	bool more = used > 0 && (*at)[used - 1] == '\\';

	buf_add(whole, *at, more ? used - 1 : used);
	*at += len + ((*at)[len] == '\n');
	return more && **at;
}

int requirements_parse(
	const char *name, const char *text, struct requirements *out, struct err *e)
{
	CLEANUP(requirements_fini) struct requirements made = { 0 };
	size_t number = 0;

	for (const char *at = text; *at;) {
		struct buf whole = { 0 };
		size_t first = ++number;

		for (; take_line(&at, &whole); number++)
			;

		CLEANUP(free_ptr) char *line = buf_take_str(&whole);
		if (add(&made, name, first, line, e) < 0)
			return -1;
	}
	*out = made;
	made = (struct requirements){ 0 };
	return 0;
}

int requirements_read(const char *path, struct requirements *out, struct err *e)
{
	CLEANUP(buf_fini) struct buf content = { 0 };

	if (input_read(path, FILE_MAX, &content, e) < 0)
		return -1;
	if (!utf8_valid(content.data, content.len) ||
		(content.len && memchr(content.data, 0, content.len)))
		return err_set(e, ERR_INVALID, "%s: not UTF-8 text", path);

	CLEANUP(free_ptr) char *text = buf_take_str(&content);
	return requirements_parse(path, text, out, e);
}
