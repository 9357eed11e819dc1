/* packages.c - the jobs' ZIPs that this machine already has, each under its digest. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "packages.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "file.h"
#include "list.h"
#include "log.h"
#include "str.h"
#include "table.h"
#include "xalloc.h"

#define PART_NAME_SIZE (PACKAGE_HEX_SIZE + 5)

struct package {
	struct table_entry by_digest; /* key: digest.bytes */
	struct list by_use;           /* in packages.used, the longest unused first */
	struct digest digest;
	bool present;    /* complete and checked */
	bool left_part;  /* a .part that nobody adds to now */
	int64_t bytes;   /* of either; 0 while there is neither */
	int64_t used_ns; /* for sorting at the start only */
	unsigned pins;
};

struct packages {
	int fd;
	char *path; /* owned */
	int64_t limit_bytes;
	int64_t bytes; /* of all that are present */
	struct table table;
	struct list used;
};

void package_hex(char out[PACKAGE_HEX_SIZE], const struct digest *d)
{
	hex_encode(out, d->bytes, sizeof(d->bytes));
}

static void part_name(char out[PART_NAME_SIZE], const struct digest *d)
{
	char hex[PACKAGE_HEX_SIZE];

	package_hex(hex, d);
	str_put(out, PART_NAME_SIZE, "%s.part", hex);
}

static struct package *find(const struct packages *p, const struct digest *d)
{
	struct table_entry *it = table_find(&p->table, d->bytes, sizeof(d->bytes));

	return it ? table_value(it, struct package, by_digest) : NULL;
}

static struct package *find_or_add(struct packages *p, const struct digest *d)
{
	struct package *it = find(p, d);

	if (it)
		return it;
	it = xcalloc(1, sizeof(*it));
	it->digest = *d;
	list_append(&p->used, &it->by_use);
	table_add(&p->table, &it->by_digest, it->digest.bytes, sizeof(it->digest.bytes));
	return it;
}

static void drop(struct packages *p, struct package *it)
{
	p->bytes -= it->bytes;
	table_remove(&p->table, &it->by_digest);
	list_remove(&it->by_use);
	free(it);
}

static void make_last_used(struct packages *p, struct package *it)
{
	list_remove(&it->by_use);
	list_append(&p->used, &it->by_use);
}

static void file_name(char out[PART_NAME_SIZE], const struct package *it)
{
	if (it->present)
		package_hex(out, &it->digest);
	else
		part_name(out, &it->digest);
}

static void evict(struct packages *p)
{
	list_each_safe(at, &p->used)
	{
		struct package *it = list_entry(at, struct package, by_use);
		char name[PART_NAME_SIZE];

		if (p->bytes <= p->limit_bytes)
			return;
		if (it->pins || !it->bytes)
			continue;
		file_name(name, it);
		if (unlinkat(p->fd, name, 0) < 0 && errno != ENOENT) {
			log_warn("cannot remove a package", "package", name, "why",
				strerror(errno), NULL);
			continue;
		}
		log_debug("package evicted", "package", name, NULL);
		drop(p, it);
	}
}

/* Its .part is in use, or gone: it counts no more. */
static void take_left_part(struct packages *p, struct package *it)
{
	if (!it || !it->left_part)
		return;
	p->bytes -= it->bytes;
	it->bytes = 0;
	it->left_part = false;
}

/* ---- opening: what the folder holds */

static int by_age(const void *a, const void *b)
{
	const struct package *const *l = a, *const *r = b;

	return ((*l)->used_ns > (*r)->used_ns) - ((*l)->used_ns < (*r)->used_ns);
}

/* "<hex>" or "<hex>.part" to a digest. */
static bool parse_name(const char *name, struct digest *d, bool *part)
{
	char hex[PACKAGE_HEX_SIZE];
	struct err ignored;

	*part = strlen(name) == PART_NAME_SIZE - 1 && str_ends(name, ".part");
	if (!*part && strlen(name) != PACKAGE_HEX_SIZE - 1)
		return false;
	memcpy(hex, name, sizeof(hex) - 1);
	hex[sizeof(hex) - 1] = '\0';
	return hex_decode(d->bytes, sizeof(d->bytes), hex, &ignored) == 0;
}

/* Note a file; after a reboot a complete one is a part to check again. */
static void note_file(struct packages *p, const char *name, bool rebooted)
{
	struct digest d;
	struct stat st;
	char part_of[PART_NAME_SIZE];
	bool part;

	if (!parse_name(name, &d, &part) ||
		fstatat(p->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		!S_ISREG(st.st_mode))
		return;
	struct package *it = find_or_add(p, &d);
	if (part && it->present)
		return; /* it came whole after all */
	if (!part && rebooted) {
		part_name(part_of, &d);
		if (renameat(p->fd, name, p->fd, part_of) < 0)
			unlinkat(p->fd, name, 0);
		part = true;
	}
	p->bytes += st.st_size - it->bytes;
	it->bytes = st.st_size;
	it->present = !part;
	it->left_part = part;
	it->used_ns = st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec;
}

static void sort_by_use(struct packages *p)
{
	size_t n = 0;
	CLEANUP(free_ptr)
	struct package **all = xcalloc(p->table.count + 1, sizeof(*all));

	list_each(at, &p->used) all[n++] = list_entry(at, struct package, by_use);
	qsort(all, n, sizeof(struct package *), by_age);
	for (size_t i = 0; i < n; i++)
		make_last_used(p, all[i]);
}

static int scan(struct packages *p, bool rebooted, struct err *e)
{
	int copy = fcntl(p->fd, F_DUPFD_CLOEXEC, 0);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);

	if (!dir) {
		err_sys(e, "read the packages folder");
		close_fd(&copy);
		return -1;
	}
	for (struct dirent *it; (it = readdir(dir));)
		note_file(p, it->d_name, rebooted);
	closedir(dir);
	sort_by_use(p);
	evict(p);
	return 0;
}

void packages_set_limit(struct packages *p, int64_t limit_bytes)
{
	p->limit_bytes = limit_bytes;
}

struct packages *packages_open(int folder_fd, const char *path, int64_t limit_bytes,
	bool rebooted, struct err *e)
{
	struct packages *p = xcalloc(1, sizeof(*p));

	p->limit_bytes = limit_bytes;
	list_init(&p->used);
	p->path = str_fmt("%s/packages", path);
	p->fd = dir_open(folder_fd, "packages", 0700, e);
	if (p->fd < 0 || scan(p, rebooted, e) < 0) {
		packages_close(p);
		return NULL;
	}
	return p;
}

void packages_close(struct packages *p)
{
	if (!p)
		return;
	list_each_safe(at, &p->used) drop(p, list_entry(at, struct package, by_use));
	table_fini(&p->table);
	close_fd(&p->fd);
	free(p->path);
	free(p);
}

/* ---- asking */

char *packages_path_dup(const struct packages *p, const struct digest *d)
{
	char hex[PACKAGE_HEX_SIZE];

	package_hex(hex, d);
	return str_fmt("%s/%s", p->path, hex);
}

bool packages_has(const struct packages *p, const struct digest *d)
{
	const struct package *it = find(p, d);

	return it && it->present;
}

int64_t packages_bytes(const struct packages *p)
{
	return p->bytes;
}

int packages_fd(const struct packages *p)
{
	return p->fd;
}

void packages_pin(struct packages *p, const struct digest *d)
{
	struct package *it = find_or_add(p, d);
	char hex[PACKAGE_HEX_SIZE];

	it->pins++;
	make_last_used(p, it);
	package_hex(hex, d);
	/* So that the next start sorts it the same; failing only costs that. */
	if (it->present && utimensat(p->fd, hex, NULL, AT_SYMLINK_NOFOLLOW) < 0)
		log_debug("cannot touch a package", "why", strerror(errno), NULL);
}

void packages_unpin(struct packages *p, const struct digest *d)
{
	struct package *it = find(p, d);

	if (!it || !it->pins)
		return;
	if (--it->pins == 0 && !it->present && !it->left_part)
		drop(p, it);
	evict(p);
}

/* ---- the way in */

int packages_part_open(
	struct packages *p, const struct digest *d, int64_t *have, struct err *e)
{
	char part[PART_NAME_SIZE];
	struct stat st;

	part_name(part, d);
	CLEANUP(close_fd)
	int fd = openat(p->fd, part,
		O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "open package %s", part);
	take_left_part(p, find(p, d));
	*have = st.st_size;
	return take_fd(&fd);
}

void packages_part_remove(struct packages *p, const struct digest *d)
{
	char part[PART_NAME_SIZE];

	take_left_part(p, find(p, d));
	part_name(part, d);
	if (unlinkat(p->fd, part, 0) < 0 && errno != ENOENT)
		log_warn("cannot remove a package's part", "part", part, "why",
			strerror(errno), NULL);
}

int packages_check_part(int packages_fd, const struct digest *d, struct err *e)
{
	char part[PART_NAME_SIZE], want[DIGEST_TEXT_SIZE], got[DIGEST_TEXT_SIZE];
	enum { PIECE = 1 << 18 };

	part_name(part, d);
	CLEANUP(close_fd)
	int fd = openat(packages_fd, part, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_sys(e, "open package %s", part);

	CLEANUP(free_ptr) void *piece = xmalloc(PIECE);
	struct digester *digester = digester_new();
	ssize_t n;
	while ((n = read(fd, piece, PIECE)) > 0)
		digester_add(digester, piece, (size_t)n);
	if (n < 0) {
		err_sys(e, "read package %s", part);
		digester_free(digester);
		return -1;
	}

	struct digest found = digester_end(digester);
	if (memcmp(found.bytes, d->bytes, sizeof(d->bytes)) == 0)
		return 0;
	digest_format(want, d);
	digest_format(got, &found);
	return err_set(e, ERR_INVALID, "package %s arrived as %s", want, got);
}

int packages_keep(struct packages *p, const struct digest *d, struct err *e)
{
	char part[PART_NAME_SIZE], hex[PACKAGE_HEX_SIZE];
	struct stat st;

	part_name(part, d);
	package_hex(hex, d);
	if (fstatat(p->fd, part, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, "look at package %s", part);
	if (renameat(p->fd, part, p->fd, hex) < 0)
		return err_sys(e, "rename package %s", part);

	struct package *it = find_or_add(p, d);
	p->bytes += st.st_size - it->bytes;
	it->present = true;
	it->bytes = st.st_size;
	make_last_used(p, it);
	evict(p);
	return 0;
}
