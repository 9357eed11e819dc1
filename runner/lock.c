/* lock.c - from a folder of wheels to a lock: exact names, versions and hashes, as text. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "lock.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cleanup.h"
#include "str.h"
#include "xalloc.h"

#define PYTHON     "/usr/bin/python3"
#define WHEELS_MAX 4096
#define PIECE      ((size_t)(1 << 18))

/* ---- a line */

/* The length of a part that is made of these and alphanumeric characters, up to a dash. */
static size_t part_len(const char *s, const char *others)
{
	size_t len = 0;

	while (isalnum((unsigned char)s[len]) || (s[len] && strchr(others, s[len])))
		len++;
	return len;
}

/* name-version[-build]-python-abi-platform.whl */
int lock_line(struct buf *out, const char *file_name, const struct digest *digest,
	struct err *e)
{
	size_t name = part_len(file_name, "._");
	const char *from = file_name + name + 1;
	size_t version = file_name[name] == '-' ? part_len(from, "._+!") : 0;
	char quoted[STR_QUOTE_SIZE], hash[DIGEST_TEXT_SIZE];
	size_t dashes = 0;

	for (const char *at = file_name; *at; at++)
		dashes += *at == '-';
	if (!name || !version || from[version] != '-' || dashes < 4 || dashes > 5 ||
		!isalnum((unsigned char)*file_name) || !str_ends(file_name, ".whl"))
		return err_set(e, ERR_INVALID, "\"%s\" is not named as a wheel is",
			str_quote(quoted, file_name, strlen(file_name)));
	digest_format(hash, digest);
	buf_addf(out, "%.*s==", (int)name, file_name);
	for (size_t i = 0; i < version; i++)
		buf_add(out, from[i] == '_' ? "-" : from + i, 1);
	buf_addf(out, " --hash=%s", hash);
	return 0;
}

/* ---- a folder */

struct lines {
	char **list;
	size_t count;
};

static void lines_fini(struct lines *l)
{
	for (size_t i = 0; i < l->count; i++)
		free(l->list[i]);
	free(l->list);
}

static void close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

static int digest_file(int folder_fd, const char *name, struct digest *d, struct err *e)
{
	struct stat st;
	CLEANUP(close_fd)
	int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "open a wheel");
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "a wheel is not a file");

	CLEANUP(free_ptr) void *piece = xmalloc(PIECE);
	struct digester *digester = digester_new();
	ssize_t n;
	while ((n = read(fd, piece, PIECE)) > 0)
		digester_add(digester, piece, (size_t)n);
	if (n < 0) {
		err_sys(e, "read a wheel");
		digester_free(digester);
		return -1;
	}
	*d = digester_end(digester);
	return 0;
}

static int add_wheel(struct lines *l, int folder_fd, const char *name, struct err *e)
{
	CLEANUP(buf_fini) struct buf line = { 0 };
	struct digest digest;

	if (l->count == WHEELS_MAX)
		return err_set(
			e, ERR_EXHAUSTED, "there are more than %d wheels", WHEELS_MAX);
	if (digest_file(folder_fd, name, &digest, e) < 0 ||
		lock_line(&line, name, &digest, e) < 0)
		return -1;
	l->list = xreallocarray(l->list, l->count + 1, sizeof(*l->list));
	l->list[l->count++] = buf_take_str(&line);
	return 0;
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int lock_of_folder(
	int folder_fd, const char *python, struct buf *out, size_t *count, struct err *e)
{
	CLEANUP(lines_fini) struct lines lines = { 0 };
	int copy = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(close_dir) DIR *dir = copy < 0 ? NULL : fdopendir(copy);

	if (!dir) {
		err_sys(e, "list the wheels");
		close_fd(&copy);
		return -1;
	}
	for (struct dirent *it; (it = readdir(dir));) {
		if (strcmp(it->d_name, ".") == 0 || strcmp(it->d_name, "..") == 0)
			continue;
		if (add_wheel(&lines, folder_fd, it->d_name, e) < 0)
			return -1;
	}
	if (lines.count)
		qsort(lines.list, lines.count, sizeof(*lines.list), compare_lines);
	buf_addf(out, "# %s\n", python);
	for (size_t i = 0; i < lines.count; i++)
		buf_addf(out, "%s\n", lines.list[i]);
	*count = lines.count;
	return 0;
}

int lock_python(
	char program[PYTHON_NAME_SIZE], char name[2 * PYTHON_NAME_SIZE], struct err *e)
{
	char target[PYTHON_NAME_SIZE] = "";
	ssize_t len = readlink(PYTHON, target, sizeof(target) - 1);
	const char *slash = strrchr(target, '/');
	const char *base = slash ? slash + 1 : target;
	struct utsname machine;

	/* "python3.11" names the folders of its packages, too. */
	if (len <= 0 || !str_starts(base, "python3."))
		return err_set(e, ERR_UNSUPPORTED,
			PYTHON " is not Debian's: it does not name its version");
	if (uname(&machine) < 0)
		return err_sys(e, "uname");
	str_put(program, PYTHON_NAME_SIZE, "%s", base);
	str_put(name, 2 * PYTHON_NAME_SIZE, "%s %s", base, machine.machine);
	return 0;
}
