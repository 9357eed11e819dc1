/* package.c - checks the structure of a job's ZIP with libzip, and its layout by itself.
 *
 * libzip does not show where entries lie, so overlaps (the densest bombs) are found by an
 * own walk over the central directory.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#include "package.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zip.h>

#include "cleanup.h"
#include "str.h"
#include "table.h"
#include "xalloc.h"

const struct package_limits package_defaults = {
	.entries = 10000,
	.bytes = UINT64_C(1) << 30,
	.depth = 32,
	.ratio = 200,
	.ratio_from = UINT64_C(64) << 20,
};

/* Where the ZIP is: in memory, or, bytes being NULL, in a file. */
struct place {
	const uint8_t *bytes;
	int fd;
	uint64_t len;
};

static int bad_entry(struct err *e, const char *name, const char *why)
{
	char quoted[STR_QUOTE_SIZE];

	return err_set(e, ERR_INVALID, "entry \"%s\" %s",
		str_quote(quoted, name, strlen(name)), why);
}

static void discard_zip(zip_t **z)
{
	if (*z)
		zip_discard(*z);
}

static zip_source_t *open_source(const struct place *at, zip_error_t *error)
{
	if (at->bytes)
		return zip_source_buffer_create(at->bytes, at->len, 0, error);

	CLEANUP(close_fd) int fd = fcntl(at->fd, F_DUPFD_CLOEXEC, 0);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "rb");
	if (!file) {
		zip_error_set(error, ZIP_ER_OPEN, errno);
		return NULL;
	}
	take_fd(&fd);

	zip_source_t *source = zip_source_filep_create(file, 0, -1, error);
	if (!source)
		fclose(file);
	return source;
}

static zip_t *open_zip(const struct place *at, struct err *e)
{
	zip_error_t error;
	zip_t *z = NULL;

	zip_error_init(&error);
	zip_source_t *source = open_source(at, &error);
	if (source) {
		z = zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &error);
		if (!z)
			zip_source_free(source);
	}
	if (!z)
		err_set(e, ERR_INVALID, "not a ZIP: %s", zip_error_strerror(&error));
	zip_error_fini(&error);
	return z;
}

/* Is the path relative, without empty, "." and ".." parts, and not too deep? */
static int check_name(const char *name, const struct package_limits *l, struct err *e)
{
	uint32_t depth = 0;

	if (!*name || !utf8_valid(name, strlen(name)))
		return bad_entry(e, name, "has a name that is empty or not UTF-8");
	if (*name == '/' || strchr(name, '\\'))
		return bad_entry(e, name, "is an absolute path or has a backslash");
	for (const char *part = name; *part; depth++) {
		size_t n = strcspn(part, "/");

		if (n == 0 || (n == 1 && *part == '.') ||
			(n == 2 && !strncmp(part, "..", 2)))
			return bad_entry(e, name, "leads out of its folder");
		if (n > 255)
			return bad_entry(e, name, "has a part longer than 255 bytes");
		part += n + (part[n] == '/');
	}
	if (depth > l->depth)
		return bad_entry(e, name, "lies too deep: 32 folders are allowed");
	return 0;
}

static int check_type(zip_t *z, zip_uint64_t i, const char *name, struct err *e)
{
	zip_uint8_t system = 0;
	zip_uint32_t attributes = 0;

	if (zip_file_get_external_attributes(z, i, 0, &system, &attributes) < 0)
		return bad_entry(e, name, "has no readable attributes");
	if (system != ZIP_OPSYS_UNIX)
		return 0;

	mode_t type = (mode_t)(attributes >> 16) & S_IFMT;
	if (type && type != S_IFREG && type != S_IFDIR)
		return bad_entry(e, name, "is a link or a special file");
	return 0;
}

struct seen_name {
	struct table_entry entry;
	char name[]; /* without a trailing slash */
};

static void forget_names(struct table *t)
{
	for (struct table_entry *it; (it = table_next(t, NULL));) {
		table_remove(t, it);
		free(table_value(it, struct seen_name, entry));
	}
	table_fini(t);
}

static int check_new(struct table *names, const char *name, struct err *e)
{
	size_t len = strlen(name) - (str_ends(name, "/") ? 1 : 0);

	if (table_find(names, name, len))
		return bad_entry(e, name, "is there twice");

	struct seen_name *seen = xmalloc(sizeof(*seen) + len);
	memcpy(seen->name, name, len);
	table_add(names, &seen->entry, seen->name, len);
	return 0;
}

struct totals {
	uint64_t packed, extracted;
};

static int check_entry(zip_t *z, zip_uint64_t i, const struct package_limits *l,
	struct table *names, struct totals *t, struct err *e)
{
	zip_stat_t st;

	zip_stat_init(&st);
	if (zip_stat_index(z, i, ZIP_FL_ENC_RAW, &st) < 0)
		return err_set(e, ERR_INVALID, "not a ZIP: %s", zip_strerror(z));
	if (!(st.valid & ZIP_STAT_NAME) || !(st.valid & ZIP_STAT_SIZE) ||
		!(st.valid & ZIP_STAT_COMP_SIZE))
		return err_set(e, ERR_INVALID, "an entry has no name or no size");
	if (check_name(st.name, l, e) < 0 || check_type(z, i, st.name, e) < 0 ||
		check_new(names, st.name, e) < 0)
		return -1;
	if (st.encryption_method != ZIP_EM_NONE)
		return bad_entry(e, st.name, "is encrypted");
	if (st.comp_method != ZIP_CM_STORE && st.comp_method != ZIP_CM_DEFLATE)
		return bad_entry(e, st.name, "is neither stored nor deflated");
	if (st.size > l->bytes || t->extracted + st.size > l->bytes)
		return bad_entry(e, st.name, "brings the ZIP over 1 GiB when extracted");
	t->extracted += st.size;
	t->packed += st.comp_size;
	return 0;
}

/* ---- the central directory's own layout */

#define END_SIGNATURE     "PK\5\6"
#define ENTRY_SIGNATURE   0x02014b50u
#define LOCATOR_SIGNATURE 0x07064b50u /* ZIP64's, right before the end record */
#define END_SIZE          22
#define ENTRY_SIZE        46
#define LOCAL_SIZE        30
#define LOCATOR_SIZE      20
#define COMMENT_MAX       65535
#define DIRECTORY_MAX     (16u << 20) /* names and comments, which libzip keeps in memory */

static uint16_t get16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return le16toh(v);
}

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

/* Append the bytes [from, from + len), which lie within the ZIP. */
static int read_at(
	const struct place *at, uint64_t from, size_t len, struct buf *out, struct err *e)
{
	if (at->bytes) {
		buf_add(out, at->bytes + from, len);
		return 0;
	}

	uint8_t *to = buf_reserve(out, len);
	for (size_t got = 0; got < len;) {
		ssize_t n = pread(at->fd, to + got, len - got, (off_t)(from + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "read the ZIP");
		if (n == 0)
			return err_set(e, ERR_INVALID, "the ZIP is cut");
		got += (size_t)n;
	}
	buf_added(out, len);
	return 0;
}

struct directory {
	uint64_t entries;
	uint64_t from; /* where it begins in the ZIP */
	uint64_t end;  /* where the end record begins */
};

/* The end record: the one whose comment reaches exactly to the end of the file.  What two
 * readers could read in two ways, and ZIP64, which no package needs, is refused. */
static int find_directory(const struct place *at, struct directory *out, struct err *e)
{
	CLEANUP(buf_fini) struct buf tail = { 0 };
	size_t want = LOCATOR_SIZE + END_SIZE + COMMENT_MAX;
	size_t len = at->len < want ? (size_t)at->len : want;
	const uint8_t *end = NULL;

	if (read_at(at, at->len - len, len, &tail, e) < 0)
		return -1;
	const uint8_t *here = tail.data, *stop = tail.data + len;
	for (; (here = memmem(here, (size_t)(stop - here), END_SIGNATURE, 4)); here++) {
		size_t back = (size_t)(stop - here);

		if (back < END_SIZE || get16(here + 20) != back - END_SIZE)
			continue;
		if (end)
			return err_set(e, ERR_INVALID, "the ZIP has two ends");
		end = here;
	}
	if (!end)
		return err_set(e, ERR_INVALID, "not a ZIP: it has no end record");
	if (end - tail.data >= LOCATOR_SIZE &&
		get32(end - LOCATOR_SIZE) == LOCATOR_SIGNATURE)
		return err_set(e, ERR_INVALID, "the ZIP is of the ZIP64 format");
	out->entries = get16(end + 10);
	out->from = get32(end + 16);
	out->end = at->len - (uint64_t)(tail.data + len - end);
	return 0;
}

static int check_directory(
	const struct directory *d, const struct package_limits *l, struct err *e)
{
	if (d->entries > l->entries)
		return err_set(e, ERR_INVALID, "%llu entries, %llu are allowed",
			(unsigned long long)d->entries, (unsigned long long)l->entries);
	if (d->from > d->end)
		return err_set(e, ERR_INVALID, "the ZIP's directory is not consistent");
	if (d->end - d->from > DIRECTORY_MAX)
		return err_set(e, ERR_INVALID,
			"the ZIP's directory has %llu bytes, 16 MiB are allowed",
			(unsigned long long)(d->end - d->from));
	return 0;
}

struct extent {
	uint64_t from, to;
};

static int compare_extents(const void *a, const void *b)
{
	const struct extent *x = a, *y = b;

	return x->from < y->from ? -1 : x->from > y->from;
}

static int read_extents(const struct place *at, const struct directory *d,
	struct extent *out, struct err *e)
{
	CLEANUP(buf_fini) struct buf bytes = { 0 };

	if (read_at(at, d->from, (size_t)(d->end - d->from), &bytes, e) < 0)
		return -1;
	if (!bytes.len)
		return d->entries ? err_set(e, ERR_INVALID, "the ZIP's directory is cut")
				  : 0;

	const uint8_t *here = bytes.data, *end = bytes.data + bytes.len;
	for (uint64_t i = 0; i < d->entries; i++) {
		if (end - here < ENTRY_SIZE || get32(here) != ENTRY_SIGNATURE)
			return err_set(e, ERR_INVALID, "the ZIP's directory is cut");

		uint64_t from = get32(here + 42);
		uint64_t to = from + LOCAL_SIZE + get16(here + 28) + get32(here + 20);
		if (to > d->end)
			return err_set(e, ERR_INVALID, "an entry lies outside the ZIP");
		out[i] = (struct extent){ from, to };

		size_t whole = (size_t)ENTRY_SIZE + get16(here + 28) + get16(here + 30) +
			       get16(here + 32);
		if ((size_t)(end - here) < whole)
			return err_set(e, ERR_INVALID, "the ZIP's directory is cut");
		if (memchr(here + ENTRY_SIZE, '\0', get16(here + 28)))
			return err_set(e, ERR_INVALID, "an entry has a NUL in its name");
		here += whole;
	}
	return 0;
}

static int check_overlaps(
	const struct place *at, const struct directory *d, struct err *e)
{
	CLEANUP(free_ptr)
	struct extent *extents = xcalloc(d->entries + 1, sizeof(*extents));

	if (read_extents(at, d, extents, e) < 0)
		return -1;
	qsort(extents, d->entries, sizeof(*extents), compare_extents);
	for (uint64_t i = 1; i < d->entries; i++)
		if (extents[i].from < extents[i - 1].to)
			return err_set(e, ERR_INVALID, "entries of the ZIP overlap");
	return 0;
}

static int check_entries(
	zip_t *z, uint64_t count, const struct package_limits *l, struct err *e)
{
	CLEANUP(forget_names) struct table names = { 0 };
	struct totals t = { 0 };

	for (zip_uint64_t i = 0; i < count; i++)
		if (check_entry(z, i, l, &names, &t, e) < 0)
			return -1;
	if (t.extracted > l->ratio_from && t.extracted / l->ratio > t.packed)
		return err_set(e, ERR_INVALID, "the ZIP expands more than %llu times",
			(unsigned long long)l->ratio);
	return 0;
}

/* Its directory is measured before libzip reads it into memory. */
static int check(const struct place *at, const struct package_limits *l, struct err *e)
{
	CLEANUP(discard_zip) zip_t *z = NULL;
	struct directory d = { 0 };

	if (find_directory(at, &d, e) < 0 || check_directory(&d, l, e) < 0 ||
		check_overlaps(at, &d, e) < 0)
		return -1;
	z = open_zip(at, e);
	if (!z)
		return -1;
	if (zip_get_num_entries(z, 0) != (zip_int64_t)d.entries)
		return err_set(e, ERR_INVALID, "the ZIP's directory is not consistent");
	if (check_entries(z, d.entries, l, e) < 0)
		return -1;
	if (zip_name_locate(z, "main.py", ZIP_FL_ENC_RAW) < 0)
		return err_set(e, ERR_INVALID, "the ZIP has no main.py at its top");
	return 0;
}

int package_check(
	const void *zip, size_t len, const struct package_limits *l, struct err *e)
{
	const struct place at = { .bytes = zip, .len = len };

	if (!len)
		return err_set(e, ERR_INVALID,
			"code_package is empty: a ZIP with main.py is expected");
	return check(&at, l, e) < 0 ? err_wrap(e, "code_package") : 0;
}

int package_check_file(
	int fd, uint64_t len, const struct package_limits *l, struct err *e)
{
	const struct place at = { .fd = fd, .len = len };

	return check(&at, l, e) < 0 ? err_wrap(e, "package") : 0;
}

static void close_entry(zip_file_t **f)
{
	if (*f)
		zip_fclose(*f);
}

static int read_requirements(
	const struct place *at, size_t max, struct buf *out, struct err *e)
{
	static const char name[] = "requirements.txt";
	zip_stat_t st;

	/* Most have none, and libzip takes its time. */
	if (at->bytes && !memmem(at->bytes, at->len, name, sizeof(name) - 1))
		return 0;

	CLEANUP(discard_zip) zip_t *z = open_zip(at, e);
	if (!z)
		return -1;
	zip_stat_init(&st);
	if (zip_stat(z, name, ZIP_FL_ENC_RAW, &st) < 0)
		return 0;
	if (st.size > max)
		return bad_entry(e, name, "is larger than its lines may be");

	CLEANUP(close_entry) zip_file_t *f = zip_fopen_index(z, st.index, 0);
	uint8_t *to = buf_reserve(out, st.size);
	if (!f || zip_fread(f, to, st.size) != (zip_int64_t)st.size)
		return bad_entry(e, name, "cannot be read");
	buf_added(out, st.size);
	return 0;
}

int package_requirements(
	const void *zip, size_t len, size_t max, struct buf *out, struct err *e)
{
	const struct place at = { .bytes = zip, .len = len };

	return read_requirements(&at, max, out, e) < 0 ? err_wrap(e, "code_package") : 0;
}

int package_requirements_file(
	int fd, uint64_t len, size_t max, struct buf *out, struct err *e)
{
	const struct place at = { .fd = fd, .len = len };

	return read_requirements(&at, max, out, e) < 0 ? err_wrap(e, "package") : 0;
}
