/* package.c - checks the structure of a job's ZIP with libzip, and its layout by itself.
 *
 * libzip does not show where entries lie, so overlaps (the densest bombs) are found by an
 * own walk over the central directory.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#include "package.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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

#define FIELD "code_package"

static int bad_entry(struct err *e, const char *name, const char *why)
{
	char quoted[STR_QUOTE_SIZE];

	return err_set(e, ERR_INVALID, FIELD ": entry \"%s\" %s",
		str_quote(quoted, name, strlen(name)), why);
}

static void discard_zip(zip_t **z)
{
	if (*z)
		zip_discard(*z);
}

static zip_t *open_zip(const void *bytes, size_t len, struct err *e)
{
	zip_error_t error;
	zip_t *z = NULL;

	zip_error_init(&error);
	zip_source_t *source = zip_source_buffer_create(bytes, len, 0, &error);
	if (source) {
		z = zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &error);
		if (!z)
			zip_source_free(source);
	}
	if (!z)
		err_set(e, ERR_INVALID, FIELD ": not a ZIP: %s",
			zip_error_strerror(&error));
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
		return err_set(e, ERR_INVALID, FIELD ": not a ZIP: %s", zip_strerror(z));
	if (!(st.valid & ZIP_STAT_NAME) || !(st.valid & ZIP_STAT_SIZE) ||
		!(st.valid & ZIP_STAT_COMP_SIZE))
		return err_set(e, ERR_INVALID, FIELD ": an entry has no name or no size");
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

#define END_SIGNATURE   0x06054b50u
#define ENTRY_SIGNATURE 0x02014b50u
#define END_SIZE        22
#define ENTRY_SIZE      46
#define LOCAL_SIZE      30

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

/* The end record: the last one whose comment reaches exactly to the end of the file. */
static const uint8_t *find_end(const uint8_t *zip, size_t len)
{
	for (size_t back = END_SIZE; back <= len && back <= END_SIZE + 65535; back++) {
		const uint8_t *at = zip + len - back;

		if (get32(at) == END_SIGNATURE && get16(at + 20) == back - END_SIZE)
			return at;
	}
	return NULL;
}

struct extent {
	uint32_t from, to;
};

static int compare_extents(const void *a, const void *b)
{
	const struct extent *x = a, *y = b;

	return x->from < y->from ? -1 : x->from > y->from;
}

static int read_extents(
	const uint8_t *zip, size_t len, struct extent *out, uint64_t count, struct err *e)
{
	const uint8_t *end = find_end(zip, len);
	const uint8_t *at = end ? zip + get32(end + 16) : NULL;

	if (!end || get16(end + 10) != count || get32(end + 16) > (size_t)(end - zip))
		return err_set(
			e, ERR_INVALID, FIELD ": the ZIP's directory is not consistent");
	for (uint64_t i = 0; i < count; i++) {
		if (end - at < ENTRY_SIZE || get32(at) != ENTRY_SIGNATURE)
			return err_set(
				e, ERR_INVALID, FIELD ": the ZIP's directory is cut");

		uint64_t from = get32(at + 42);
		uint64_t to = from + LOCAL_SIZE + get16(at + 28) + get32(at + 20);
		if (to > (uint64_t)(end - zip))
			return err_set(
				e, ERR_INVALID, FIELD ": an entry lies outside the ZIP");
		out[i] = (struct extent){ (uint32_t)from, (uint32_t)to };

		size_t whole = (size_t)ENTRY_SIZE + get16(at + 28) + get16(at + 30) +
			       get16(at + 32);
		if ((size_t)(end - at) < whole)
			return err_set(
				e, ERR_INVALID, FIELD ": the ZIP's directory is cut");
		at += whole;
	}
	return 0;
}

static int check_overlaps(const uint8_t *zip, size_t len, uint64_t count, struct err *e)
{
	CLEANUP(free_ptr) struct extent *extents = xcalloc(count, sizeof(*extents));

	if (read_extents(zip, len, extents, count, e) < 0)
		return -1;
	qsort(extents, count, sizeof(*extents), compare_extents);
	for (uint64_t i = 1; i < count; i++)
		if (extents[i].from < extents[i - 1].to)
			return err_set(
				e, ERR_INVALID, FIELD ": entries of the ZIP overlap");
	return 0;
}

int package_check(
	const void *zip, size_t len, const struct package_limits *l, struct err *e)
{
	CLEANUP(discard_zip) zip_t *z = NULL;
	CLEANUP(forget_names) struct table names = { 0 };
	struct totals t = { 0 };

	if (!len)
		return err_set(e, ERR_INVALID,
			FIELD " is empty: a ZIP with main.py is expected");
	z = open_zip(zip, len, e);
	if (!z)
		return -1;

	zip_int64_t count = zip_get_num_entries(z, 0);
	if (count < 0 || (uint64_t)count > l->entries)
		return err_set(e, ERR_INVALID, FIELD ": %lld entries, %llu are allowed",
			(long long)count, (unsigned long long)l->entries);
	if (check_overlaps(zip, len, (uint64_t)count, e) < 0)
		return -1;
	for (zip_uint64_t i = 0; i < (zip_uint64_t)count; i++)
		if (check_entry(z, i, l, &names, &t, e) < 0)
			return -1;
	if (t.extracted > l->ratio_from && t.extracted / l->ratio > t.packed)
		return err_set(e, ERR_INVALID,
			FIELD ": the ZIP expands more than %llu times",
			(unsigned long long)l->ratio);
	if (zip_name_locate(z, "main.py", ZIP_FL_ENC_RAW) < 0)
		return err_set(
			e, ERR_INVALID, FIELD ": the ZIP has no main.py at its top");
	return 0;
}

static void close_entry(zip_file_t **f)
{
	if (*f)
		zip_fclose(*f);
}

int package_requirements(
	const void *zip, size_t len, size_t max, struct buf *out, struct err *e)
{
	static const char name[] = "requirements.txt";
	CLEANUP(discard_zip) zip_t *z = open_zip(zip, len, e);
	zip_stat_t st;

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
