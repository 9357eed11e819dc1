/* bundle.c - walks a folder and packs what it finds. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "bundle.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <zip.h>

#include "cleanup.h"
#include "input.h"
#include "str.h"
#include "xalloc.h"

const struct bundle_limits bundle_defaults = {
	.entries = 10000,
	.bytes = (size_t)1 << 30,
	.packed = (size_t)2 << 30,
	.depth = 32,
};

/* 1 January 1980, midnight: the first moment that a ZIP can say. */
#define DOS_TIME      0
#define DOS_DATE      (0 << 9 | 1 << 5 | 1)

#define DEFLATE_LEVEL 6

static const char *const skipped[] = { ".git", "__pycache__", ".venv" };

struct file {
	char *name; /* owned; from the folder's top, with slashes */
	struct buf content;
	bool executable;
};

struct walk {
	const struct bundle_limits *limits;
	struct file *files;
	size_t count;
	size_t bytes;
};

static void walk_fini(struct walk *w)
{
	for (size_t i = 0; i < w->count; i++) {
		free(w->files[i].name);
		buf_fini(&w->files[i].content);
	}
	free(w->files);
	*w = (struct walk){ 0 };
}

void bundle_fini(struct bundle *b)
{
	buf_fini(&b->zip);
	*b = (struct bundle){ 0 };
}

static void close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

static int too_much(struct err *e, const char *what, size_t limit)
{
	return err_set(e, ERR_EXHAUSTED,
		"%s: the limit is %zu; keep data and environments out of the folder",
		what, limit);
}

static int add_file(
	struct walk *w, int fd, const struct stat *st, const char *name, struct err *e)
{
	if (w->count == w->limits->entries)
		return too_much(e, "too many files", w->limits->entries);

	CLEANUP(buf_fini) struct buf content = { 0 };
	size_t left = w->limits->bytes - w->bytes;

	/* Not read for nothing when its size says enough; the size may be a lie. */
	if ((uint64_t)st->st_size > left)
		return too_much(e, "too many bytes", w->limits->bytes);
	if (input_read_fd(fd, name, left, &content, e) < 0)
		return -1;
	w->files = xreallocarray(w->files, w->count + 1, sizeof(*w->files));
	w->files[w->count++] = (struct file){
		.name = xstrdup(name),
		.content = content,
		.executable = (st->st_mode & S_IXUSR) != 0,
	};
	w->bytes += content.len;
	content = (struct buf){ 0 };
	return 0;
}

static bool is_skipped(const char *name)
{
	for (size_t i = 0; i < sizeof(skipped) / sizeof(*skipped); i++)
		if (strcmp(name, skipped[i]) == 0)
			return true;
	return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

static int walk_folder(
	struct walk *w, int fd, const char *prefix, size_t depth, struct err *e);

/* One entry of the open folder; name is from the top, for people and for the ZIP. */
static int walk_entry(struct walk *w, int dirfd, const char *entry, const char *name,
	size_t depth, struct err *e)
{
	/* Never waits for a FIFO's writer. */
	CLEANUP(close_fd)
	int fd = openat(dirfd, entry, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0 && errno == ELOOP)
		return err_set(e, ERR_INVALID,
			"%s is a symbolic link: put the file itself there", name);
	if (fd < 0 && errno == ENXIO)
		return err_set(e, ERR_INVALID, "%s is neither a file nor a folder", name);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "%s", name);
	if (!utf8_valid(name, strlen(name))) {
		char quoted[STR_QUOTE_SIZE];

		return err_set(e, ERR_INVALID, "\"%s\": the name is not UTF-8",
			str_quote(quoted, name, strlen(name)));
	}
	if (S_ISREG(st.st_mode))
		return add_file(w, fd, &st, name, e);
	if (!S_ISDIR(st.st_mode))
		return err_set(e, ERR_INVALID, "%s is neither a file nor a folder", name);
	if (depth == w->limits->depth)
		return too_much(e, "too many folders inside each other", depth);

	CLEANUP(free_ptr) char *prefix = str_fmt("%s/", name);
	return walk_folder(w, take_fd(&fd), prefix, depth + 1, e);
}

/* Takes fd. */
static int walk_folder(
	struct walk *w, int fd, const char *prefix, size_t depth, struct err *e)
{
	CLEANUP(close_dir) DIR *dir = fdopendir(fd);

	if (!dir) {
		err_sys(e, "%s", prefix);
		close(fd);
		return -1;
	}
	for (;;) {
		errno = 0;
		const struct dirent *d = readdir(dir);

		if (!d)
			return errno ? err_sys(e, "%s", prefix) : 0;
		if (is_skipped(d->d_name))
			continue;

		CLEANUP(free_ptr) char *name = str_fmt("%s%s", prefix, d->d_name);
		if (walk_entry(w, dirfd(dir), d->d_name, name, depth, e) < 0)
			return -1;
	}
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct file *)a)->name, ((const struct file *)b)->name);
}

static int zip_failed(struct err *e, const char *what, zip_error_t *why)
{
	return err_set(e, ERR_INTERNAL, "pack: %s: %s", what, zip_error_strerror(why));
}

/* Add a file to the archive; content must live until the archive is closed. */
static int pack_file(zip_t *zip, const struct file *f, struct err *e)
{
	zip_source_t *source = zip_source_buffer(zip, f->content.data, f->content.len, 0);
	zip_int64_t at =
		source ? zip_file_add(zip, f->name, source, ZIP_FL_ENC_UTF_8) : -1;

	if (at < 0) {
		zip_source_free(source);
		return zip_failed(e, f->name, zip_get_error(zip));
	}

	zip_uint64_t index = (zip_uint64_t)at;
	zip_uint32_t mode = S_IFREG | (f->executable ? 0755u : 0644u);

	if (zip_file_set_dostime(zip, index, DOS_TIME, DOS_DATE, 0) < 0 ||
		zip_set_file_compression(zip, index, ZIP_CM_DEFLATE, DEFLATE_LEVEL) < 0 ||
		zip_file_set_external_attributes(
			zip, index, 0, ZIP_OPSYS_UNIX, mode << 16) < 0)
		return zip_failed(e, f->name, zip_get_error(zip));
	return 0;
}

static int read_source(zip_source_t *source, struct buf *out, struct err *e)
{
	zip_stat_t st;

	if (zip_source_stat(source, &st) < 0 || zip_source_open(source) < 0)
		return zip_failed(e, "read", zip_source_error(source));

	zip_int64_t n = zip_source_read(source, buf_reserve(out, st.size + 1), st.size);

	zip_source_close(source);
	if (n < 0 || (zip_uint64_t)n != st.size)
		return zip_failed(e, "read", zip_source_error(source));
	buf_added(out, st.size);
	return 0;
}

static int pack_into(zip_source_t *target, const struct walk *w, struct err *e)
{
	zip_error_t why;

	zip_error_init(&why);
	zip_t *zip = zip_open_from_source(target, ZIP_TRUNCATE, &why);
	if (!zip)
		return zip_failed(e, "open", &why);
	zip_source_keep(target);
	for (size_t i = 0; i < w->count; i++) {
		if (pack_file(zip, &w->files[i], e) < 0) {
			zip_discard(zip);
			return -1;
		}
	}
	if (zip_close(zip) < 0) {
		zip_failed(e, "close", zip_get_error(zip));
		zip_discard(zip);
		return -1;
	}
	return 0;
}

static void free_source(zip_source_t **s)
{
	zip_source_free(*s);
}

static int check_packed(size_t len, const struct bundle_limits *limits, struct err *e)
{
	if (len <= limits->packed)
		return 0;
	return err_set(e, ERR_EXHAUSTED,
		"the package has %zu bytes, %zu are allowed; keep data and environments "
		"out of the folder",
		len, limits->packed);
}

/* Sort and pack what the walk found. */
static int pack(struct walk *w, struct bundle *out, struct err *e)
{
	zip_error_t why;

	zip_error_init(&why);
	CLEANUP(free_source)
	zip_source_t *target = zip_source_buffer_create(NULL, 0, 0, &why);
	CLEANUP(buf_fini) struct buf zip = { 0 };

	if (!target)
		return zip_failed(e, "start", &why);
	if (w->count)
		qsort(w->files, w->count, sizeof(*w->files), by_name);
	if (pack_into(target, w, e) < 0 || read_source(target, &zip, e) < 0 ||
		check_packed(zip.len, w->limits, e) < 0)
		return -1;
	*out = (struct bundle){ .zip = zip, .files = w->count, .bytes = w->bytes };
	zip = (struct buf){ 0 };
	return 0;
}

static int bundle_folder(const char *path, int fd, const struct bundle_limits *limits,
	struct bundle *out, struct err *e)
{
	CLEANUP(walk_fini) struct walk w = { .limits = limits };
	struct stat st;

	if (fstatat(fd, "main.py", &st, AT_SYMLINK_NOFOLLOW) < 0) {
		close(fd);
		return err_set(e, ERR_INVALID,
			"%s has no main.py at its top; if one file is all, name the file",
			path);
	}
	if (walk_folder(&w, fd, "", 0, e) < 0)
		return -1;
	return pack(&w, out, e);
}

static int bundle_script(const char *path, int fd, const struct stat *st,
	const struct bundle_limits *limits, struct bundle *out, struct err *e)
{
	CLEANUP(walk_fini) struct walk w = { .limits = limits };

	if (add_file(&w, fd, st, "main.py", e) < 0)
		return err_wrap(e, "%s", path);
	return pack(&w, out, e);
}

static int bundle_zip(const char *path, int fd, const struct bundle_limits *limits,
	struct bundle *out, struct err *e)
{
	static const char magic[] = { 'P', 'K' };
	CLEANUP(buf_fini) struct buf zip = { 0 };

	if (input_read_fd(fd, path, limits->packed, &zip, e) < 0)
		return -1;
	if (zip.len < sizeof(magic) || memcmp(zip.data, magic, sizeof(magic)) != 0)
		return err_set(e, ERR_INVALID,
			"%s is neither a folder, nor a ZIP, nor a .py file", path);
	if (check_packed(zip.len, limits, e) < 0)
		return -1;
	*out = (struct bundle){ .zip = zip };
	zip = (struct buf){ 0 };
	return 0;
}

int bundle_make(const char *path, const struct bundle_limits *limits, struct bundle *out,
	struct err *e)
{
	CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "%s", path);
	if (S_ISDIR(st.st_mode))
		return bundle_folder(path, take_fd(&fd), limits, out, e);
	if (str_ends(path, ".py"))
		return bundle_script(path, fd, &st, limits, out, e);
	return bundle_zip(path, fd, limits, out, e);
}
