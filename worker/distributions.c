/* distributions.c - which Python distributions this machine has for every job. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "distributions.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "str.h"
#include "xalloc.h"

#define TEXT_MAX 256
#define HEAD_MAX 65536 /* Name and Version stand at the top of the metadata */

/* "Foo__Bar.baz" to "foo-bar-baz", as PEP 503 has it. */
static void normalise(char *name)
{
	char *to = name;

	for (const char *from = name; *from; from++) {
		bool dash = *from == '-' || *from == '_' || *from == '.';

		if (dash && to > name && to[-1] == '-')
			continue;
		*to++ = dash ? '-' : (char)tolower((unsigned char)*from);
	}
	*to = '\0';
}

/* The value of "Field: value" in a header text, up to its first empty line. */
static bool header(const char *text, const char *field, char out[TEXT_MAX])
{
	size_t len = strlen(field);

	for (const char *line = text; *line && *line != '\n';) {
		const char *eol = strchrnul(line, '\n');

		if (strncasecmp(line, field, len) == 0 && line[len] == ':') {
			const char *from = line + len + 1, *to = eol;

			while (from < to && isspace((unsigned char)*from))
				from++;
			while (to > from && isspace((unsigned char)to[-1]))
				to--;
			return to > from &&
			       str_put(out, TEXT_MAX, "%.*s", (int)(to - from), from);
		}
		line = *eol ? eol + 1 : eol;
	}
	return false;
}

/* The beginning of dir/entry, or of dir/entry/file where file is given. */
static bool read_head(int dirfd, const char *entry, const char *file, char *out)
{
	char path[PATH_MAX];
	size_t len = 0;
	ssize_t n;

	if (!str_put(
		    path, sizeof(path), file ? "%s/%s" : "%s%s", entry, file ? file : ""))
		return false;
	CLEANUP(close_fd) int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return false;
	while (len < HEAD_MAX && (n = read(fd, out + len, HEAD_MAX - len)) > 0)
		len += (size_t)n;
	out[len] = '\0';
	return len > 0;
}

static bool known(const struct distributions *d, const char *name)
{
	for (size_t i = 0; i < d->count; i++)
		if (strcmp(d->list[i].name, name) == 0)
			return true;
	return false;
}

static void add(struct distributions *d, const char *name, const char *version)
{
	if (d->count == DISTRIBUTIONS_MAX || !utf8_valid(name, strlen(name)) ||
		!utf8_valid(version, strlen(version)) || known(d, name))
		return;
	d->list = xreallocarray(d->list, d->count + 1, sizeof(*d->list));
	d->list[d->count++] = (struct distribution){ xstrdup(name), xstrdup(version) };
}

static void add_entry(struct distributions *d, int dirfd, const char *entry, char *head)
{
	char name[TEXT_MAX], version[TEXT_MAX];
	bool found = str_ends(entry, ".dist-info")
			     ? read_head(dirfd, entry, "METADATA", head)
			     : read_head(dirfd, entry, "PKG-INFO", head) ||
				       read_head(dirfd, entry, NULL, head);

	if (!found || !header(head, "Name", name) || !header(head, "Version", version))
		return;
	normalise(name);
	add(d, name, version);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct distribution *)a)->name,
		((const struct distribution *)b)->name);
}

void distributions_add_folder(struct distributions *d, const char *path)
{
	DIR *dir = opendir(path);

	if (!dir)
		return;
	CLEANUP(free_ptr) char *head = xmalloc(HEAD_MAX + 1);
	for (struct dirent *it; (it = readdir(dir));)
		if (str_ends(it->d_name, ".dist-info") ||
			str_ends(it->d_name, ".egg-info"))
			add_entry(d, dirfd(dir), it->d_name, head);
	closedir(dir);
	if (d->count)
		qsort(d->list, d->count, sizeof(*d->list), by_name);
}

void distributions_add_host(struct distributions *d)
{
	char target[PATH_MAX] = "", local[PATH_MAX];
	ssize_t len = readlink("/usr/bin/python3", target, sizeof(target) - 1);
	const char *slash = strrchr(target, '/');
	const char *program = slash ? slash + 1 : target;

	/* "python3.11" names its folders; Python itself only where it is installed. */
	if (len > 0 && str_starts(program, "python3.") &&
		str_put(local, sizeof(local), "/usr/local/lib/%s/dist-packages", program))
		distributions_add_folder(d, local);
	distributions_add_folder(d, "/usr/lib/python3/dist-packages");
}

void distributions_fini(struct distributions *d)
{
	for (size_t i = 0; i < d->count; i++) {
		free(d->list[i].name);
		free(d->list[i].version);
	}
	free(d->list);
	*d = (struct distributions){ 0 };
}
