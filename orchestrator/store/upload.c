/* upload.c - packages that come in pieces, under their name only once they are whole. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "upload.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "file.h"
#include "files.h"
#include "packages.h"
#include "str.h"
#include "table.h"
#include "xalloc.h"

#define OPEN_MAX_PARTS 64
#define HASH_BYTES     (256 * 1024)
#define PART_NAME_SIZE (PACKAGE_NAME_SIZE + sizeof(PACKAGE_PART_SUFFIX))

/* A partial file that the worker has open, hashed as far as it goes. */
struct part {
	struct table_entry by_digest;
	struct list used; /* in the order of use, the latest last */
	struct digest digest;
	struct digester *digester; /* owned; NULL once it has ended */
	char name[PART_NAME_SIZE];
	int fd;
	int64_t end;
};

struct uploads {
	struct files files;
	struct upload_stats stats; /* the loop's */
	int (*check)(int fd, int64_t size, struct err *e);

	/* The worker's. */
	int folder;
	struct table parts;
	struct list used;
};

struct upload_task {
	struct file_task task;
	struct uploads *uploads;
	struct digest digest;
	int64_t size, offset, end;
	uint8_t *bytes; /* owned */
	size_t len;
	upload_on_end *on_end;
	void *ctx;
};

/* ---- parts, on the worker's thread */

static void part_free(struct part *p)
{
	close_fd(&p->fd);
	digester_free(p->digester);
	free(p);
}

static void forget_part(struct uploads *u, struct part *p)
{
	table_remove(&u->parts, &p->by_digest);
	list_remove(&p->used);
	part_free(p);
}

/* Hash what an earlier process has left. */
static int hash_so_far(struct part *p, struct err *e)
{
	CLEANUP(free_ptr) uint8_t *bytes = xmalloc(HASH_BYTES);

	for (;;) {
		ssize_t n = pread(p->fd, bytes, HASH_BYTES, p->end);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "read %s", p->name);
		if (n == 0)
			return 0;
		digester_add(p->digester, bytes, (size_t)n);
		p->end += n;
	}
}

static int open_part(struct uploads *u, struct part *p, int64_t size, struct err *e)
{
	struct stat st;

	p->fd = openat(
		u->folder, p->name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (p->fd < 0)
		return err_sys(e, "open %s", p->name);
	if (fstat(p->fd, &st) < 0)
		return err_sys(e, "look at %s", p->name);
	if (st.st_size > size && ftruncate(p->fd, 0) < 0)
		return err_sys(e, "cut %s", p->name);
	return hash_so_far(p, e);
}

static struct part *get_part(
	struct uploads *u, const struct digest *digest, int64_t size, struct err *e)
{
	struct table_entry *entry =
		table_find(&u->parts, digest->bytes, sizeof(digest->bytes));
	char name[PACKAGE_NAME_SIZE];
	struct part *p;

	if (entry) {
		p = table_value(entry, struct part, by_digest);
		list_remove(&p->used);
		list_append(&u->used, &p->used);
		return p;
	}
	if (u->parts.count >= OPEN_MAX_PARTS)
		forget_part(u, list_entry(list_first(&u->used), struct part, used));
	p = xcalloc(1, sizeof(*p));
	p->digest = *digest;
	p->digester = digester_new();
	package_name(name, digest);
	str_put(p->name, sizeof(p->name), "%s%s", name, PACKAGE_PART_SUFFIX);
	if (open_part(u, p, size, e) < 0) {
		part_free(p);
		return NULL;
	}
	table_add(&u->parts, &p->by_digest, p->digest.bytes, sizeof(p->digest.bytes));
	list_append(&u->used, &p->used);
	return p;
}

/* ---- the task */

static bool is_complete(const struct upload_task *t, const char *name)
{
	struct stat st;

	return fstatat(t->uploads->folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       S_ISREG(st.st_mode) && st.st_size == t->size;
}

/* Nothing of a piece that does not fit stays. */
static int add_piece(struct part *p, const uint8_t *bytes, size_t len, struct err *e)
{
	if (pwrite_all(p->fd, bytes, len, p->end) == 0) {
		digester_add(p->digester, bytes, len);
		p->end += (int64_t)len;
		return 0;
	}
	err_sys(e, "write %s", p->name);
	if (file_room_ran_out(e) && ftruncate(p->fd, p->end) < 0)
		err_sys(e, "cut %s back", p->name);
	return -1;
}

static int publish(
	struct uploads *u, const struct part *p, const char *name, struct err *e)
{
	if (fsync(p->fd) < 0)
		return err_sys(e, "sync %s", p->name);
	if (renameat(u->folder, p->name, u->folder, name) < 0)
		return err_sys(e, "rename %s", p->name);
	if (fsync(u->folder) < 0)
		return err_sys(e, "sync the folder of packages");
	return 0;
}

/* All bytes are there: are they the right ones, and a package? */
static int judge(const struct uploads *u, const struct part *p,
	const struct digest *found, struct err *e)
{
	if (memcmp(found, &p->digest, sizeof(*found)) != 0)
		return err_set(
			e, ERR_INVALID, "the bytes do not have the stated SHA-256");
	return u->check ? u->check(p->fd, p->end, e) : 0;
}

static int finish_part(
	struct upload_task *t, struct part *p, const char *name, struct err *e)
{
	struct digest found = digester_end(take_ptr(&p->digester));
	struct err why = { 0 };
	int rc = judge(t->uploads, p, &found, &why);

	if (rc == 0) {
		rc = publish(t->uploads, p, name, e);
	} else if (why.code == ERR_INVALID) {
		t->task.failed = why;
		t->end = 0;
		rc = 0;
		if (unlinkat(t->uploads->folder, p->name, 0) < 0)
			rc = err_sys(e, "remove %s", p->name);
	} else {
		*e = why;
	}
	forget_part(t->uploads, p);
	return rc;
}

static int add_to_part(struct upload_task *t, struct part *p, struct err *e)
{
	int64_t known = p->end - t->offset;

	if (known < 0 || known >= (int64_t)t->len)
		return 0;
	if (t->offset + (int64_t)t->len > t->size) {
		err_set(&t->task.failed, ERR_INVALID, "more bytes than the stated size");
		return 0;
	}
	return add_piece(p, t->bytes + known, t->len - (size_t)known, e);
}

static int append_to(struct upload_task *t, const char *name, struct err *e)
{
	struct part *p = get_part(t->uploads, &t->digest, t->size, e);

	if (!p)
		return -1;
	int rc = add_to_part(t, p, e);
	t->end = p->end;
	if (rc < 0 || t->end < t->size || t->task.failed.code != ERR_NONE)
		return rc;
	return finish_part(t, p, name, e);
}

static int append_run(struct file_task *task, struct err *e)
{
	struct upload_task *t = (struct upload_task *)task;
	char name[PACKAGE_NAME_SIZE];
	struct err why = { 0 };

	package_name(name, &t->digest);
	if (is_complete(t, name)) {
		t->end = t->size;
		return 0;
	}
	if (append_to(t, name, &why) == 0)
		return 0;
	if (!file_room_ran_out(&why)) {
		*e = why;
		return -1;
	}
	t->task.failed = why;
	t->task.failed.code = ERR_EXHAUSTED;
	return 0;
}

static void append_deliver(struct file_task *task)
{
	struct upload_task *t = (struct upload_task *)task;
	struct upload_stats *stats = &t->uploads->stats;

	if (file_task_failed(task)) {
		stats->refused++;
	} else if (t->len) { /* else only a question */
		stats->bytes += t->len;
		stats->packages += t->end == t->size;
	}
	t->on_end(t->ctx, t->end, file_task_failed(task));
}

static void task_free(struct file_task *task)
{
	struct upload_task *t = (struct upload_task *)task;

	free(t->bytes);
	free(t);
}

static const struct file_task_type append_type = { append_run, append_deliver,
	task_free };

void upload_append(struct uploads *u, const struct digest *digest, int64_t size,
	int64_t offset, uint8_t *bytes, size_t len, upload_on_end *on_end, void *ctx)
{
	struct upload_task *t = xcalloc(1, sizeof(*t));

	assert(len <= UPLOAD_PIECE_MAX && size >= 0 && offset >= 0);
	assert(offset <= INT64_MAX - UPLOAD_PIECE_MAX);
	t->task.type = &append_type;
	t->uploads = u;
	t->digest = *digest;
	t->size = size;
	t->offset = offset;
	t->bytes = bytes;
	t->len = len;
	t->on_end = on_end;
	t->ctx = ctx;
	files_ask(&u->files, &t->task);
}

/* ---- looking */

struct look_task {
	struct file_task task;
	struct uploads *uploads;
	struct digest digest;
	upload_look_at *look;
	struct buf found;
	upload_on_seen *on_seen;
	void *ctx;
};

static int look_at(struct look_task *t, struct err *e)
{
	char name[PACKAGE_NAME_SIZE];
	struct stat st;

	package_name(name, &t->digest);
	CLEANUP(close_fd)
	int fd = openat(t->uploads->folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, "package %s", name);
	return t->look(fd, st.st_size, &t->found, e);
}

/* One file that cannot be read costs who asked for it, not the daemon. */
static int look_run(struct file_task *task, struct err *e)
{
	(void)e;
	(void)look_at((struct look_task *)task, &task->failed);
	return 0;
}

static void look_deliver(struct file_task *task)
{
	struct look_task *t = (struct look_task *)task;

	t->on_seen(t->ctx, &t->found, file_task_failed(task));
}

static void look_free(struct file_task *task)
{
	buf_fini(&((struct look_task *)task)->found);
	free(task);
}

static const struct file_task_type look_type = { look_run, look_deliver, look_free };

void upload_look(struct uploads *u, const struct digest *digest, upload_look_at *look,
	upload_on_seen *on_seen, void *ctx)
{
	struct look_task *t = xcalloc(1, sizeof(*t));

	t->task.type = &look_type;
	t->uploads = u;
	t->digest = *digest;
	t->look = look;
	t->on_seen = on_seen;
	t->ctx = ctx;
	files_ask(&u->files, &t->task);
}

/* ---- opening */

struct uploads *uploads_open(const struct uploads_config *config, struct err *e)
{
	struct uploads *u = xcalloc(1, sizeof(*u));

	u->files = (struct files){
		.ctx = config->ctx,
		.wake = config->wake,
		.on_failed = config->on_failed,
	};
	u->check = config->check;
	list_init(&u->used);
	u->folder = dir_open(config->dirfd, "packages", 0700, e);
	if (u->folder < 0 || files_start(&u->files, "uploads", e) < 0) {
		uploads_close(u);
		return NULL;
	}
	return u;
}

struct upload_stats uploads_stats(const struct uploads *u)
{
	return u->stats;
}

void uploads_deliver(struct uploads *u)
{
	files_deliver(&u->files);
}

void uploads_stop(struct uploads *u)
{
	files_stop(&u->files);
}

void uploads_close(struct uploads *u)
{
	if (!u)
		return;
	files_fini(&u->files);
	while (!list_empty(&u->used))
		forget_part(u, list_entry(list_first(&u->used), struct part, used));
	table_fini(&u->parts);
	close_fd(&u->folder);
	free(u);
}
