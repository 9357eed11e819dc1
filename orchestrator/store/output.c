/* output.c - cumulusd's own copy of what each run prints: one append-only file per attempt. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "output.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "file.h"
#include "files.h"
#include "id.h"
#include "table.h"
#include "xalloc.h"

#define FILE_BYTES_MAX (INT64_C(1) << 40)
#define OPEN_FILES_MAX 256
#define KNOWN_ENDS_MAX 4096
#define SCAN_BYTES     (1024 * 1024)
_Static_assert(SCAN_BYTES >= OUTPUT_READ_MAX, "a scan takes in any frame");

/* A file that the worker has open. */
struct open_file {
	struct table_entry by_name;
	struct list used; /* in the order of use, the latest last */
	char name[RUN_NAME_SIZE];
	int fd;
	int64_t end;     /* what is written */
	int64_t data;    /* of it without the headers of frames */
	int64_t durable; /* what is synced, as far as this process knows */
	bool name_synced;
};

/* What the loop knows of a file. */
struct known_end {
	struct table_entry by_name;
	struct list used;
	char name[RUN_NAME_SIZE];
	int64_t end, data;
};

struct output {
	struct files files;
	struct output_config config;

	/* The worker's. */
	int folder;
	struct table open;
	struct list open_used;
	uint8_t *scan; /* SCAN_BYTES, made at the first use */

	/* The loop's. */
	struct table known;
	struct list known_used;
	size_t queued_bytes;
};

struct output_task {
	struct file_task task;
	struct output *output;
	char name[RUN_NAME_SIZE];
	int64_t position;
	uint8_t *bytes; /* owned */
	size_t len, queued;
	int64_t end, data;
	int32_t attempts; /* remove: how many */
	char job[ID_SIZE];
	output_on_end *on_end;
	output_on_bytes *on_bytes;
	output_on_removed *on_removed;
	void *ctx;
};

/* ---- open files, on the worker's thread */

static int sync_file(struct output *o, struct open_file *f, struct err *e)
{
	if (f->durable < f->end || !f->name_synced) {
		if (fdatasync(f->fd) < 0)
			return err_sys(e, "sync output %s", f->name);
		f->durable = f->end;
	}
	if (!f->name_synced) {
		if (fsync(o->folder) < 0)
			return err_sys(e, "sync the folder of outputs");
		f->name_synced = true;
	}
	return 0;
}

static void forget_file(struct output *o, struct open_file *f)
{
	table_remove(&o->open, &f->by_name);
	list_remove(&f->used);
	close_fd(&f->fd);
	free(f);
}

/* Synced before it is closed: an error that the kernel finds later would be nobody's. */
static int close_oldest(struct output *o, struct err *e)
{
	struct open_file *f =
		list_entry(list_first(&o->open_used), struct open_file, used);

	if (f->durable < f->end && sync_file(o, f, e) < 0)
		return -1;
	forget_file(o, f);
	return 0;
}

static ssize_t read_at(int fd, uint8_t *bytes, size_t len, int64_t at)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = pread(fd, bytes + got, len - got, at + (int64_t)got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

/* Of these bytes, which start at a frame's start. */
static size_t data_of(const struct output *o, const uint8_t *bytes, size_t len)
{
	size_t data = len;

	if (o->config.whole_frames)
		o->config.whole_frames(bytes, len, &data);
	return data;
}

/* How far the file consists of whole frames. */
static int find_whole_end(struct output *o, struct open_file *f, struct err *e)
{
	int64_t at = 0;

	f->data = f->end;
	if (!o->config.whole_frames)
		return 0;
	f->data = 0;
	if (!o->scan)
		o->scan = xmalloc(SCAN_BYTES);
	while (at < f->end) {
		ssize_t n = read_at(f->fd, o->scan, SCAN_BYTES, at);
		if (n < 0)
			return err_sys(e, "read output %s", f->name);
		size_t data = 0;
		size_t whole = o->config.whole_frames(o->scan, (size_t)n, &data);
		if (whole == 0)
			break;
		at += (int64_t)whole;
		f->data += (int64_t)data;
	}
	f->end = at;
	return 0;
}

/* What another process has left: unsynced for all we know, and perhaps torn. */
static int look_at_file(struct output *o, struct open_file *f, struct err *e)
{
	struct stat st;

	if (fstat(f->fd, &st) < 0)
		return err_sys(e, "look at output %s", f->name);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_SYSTEM, "output %s is no file", f->name);
	f->end = st.st_size;
	if (find_whole_end(o, f, e) < 0)
		return -1;
	if (f->end < st.st_size && ftruncate(f->fd, f->end) < 0)
		return err_sys(e, "cut output %s to whole frames", f->name);
	return 0;
}

static int open_new(struct output *o, struct open_file *f, bool create, struct err *e)
{
	int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT : 0);

	f->fd = openat(o->folder, f->name, flags, 0600);
	if (f->fd < 0)
		return err_sys(e, "open output %s", f->name);
	return look_at_file(o, f, e);
}

static struct open_file *find_open(struct output *o, const char *name)
{
	struct table_entry *entry = table_find_str(&o->open, name);

	return entry ? table_value(entry, struct open_file, by_name) : NULL;
}

/* Room for one more open file. */
static int make_room(struct output *o, const char *name, struct err *e)
{
	if (find_open(o, name) || o->open.count < o->config.open_files_max)
		return 0;
	return close_oldest(o, e);
}

/* NULL with ERR_NOT_FOUND when it is absent and not to be made. */
static struct open_file *get_file(
	struct output *o, const char *name, bool create, struct err *e)
{
	struct open_file *f = find_open(o, name);

	if (f) {
		list_remove(&f->used);
		list_append(&o->open_used, &f->used);
		return f;
	}
	f = xcalloc(1, sizeof(*f));
	memcpy(f->name, name, sizeof(f->name));
	if (open_new(o, f, create, e) < 0) {
		close_fd(&f->fd);
		free(f);
		return NULL;
	}
	table_add_str(&o->open, &f->by_name, f->name);
	list_append(&o->open_used, &f->used);
	return f;
}

/* ---- tasks */

static struct output_task *task_new(struct output *o, const struct file_task_type *type,
	const char *job, int32_t attempt, void *ctx)
{
	struct output_task *t = xcalloc(1, sizeof(*t));

	t->task.type = type;
	t->output = o;
	t->ctx = ctx;
	/* What is no run stays without a name: it must never become a path. */
	if (id_valid(job, 'j') && attempt > 0)
		run_name(t->name, job, attempt);
	return t;
}

static void task_free(struct file_task *task)
{
	struct output_task *t = (struct output_task *)task;

	free(t->bytes);
	free(t);
}

/* Room that ran out is the task's failure, all else the worker's end. */
static int task_failed(struct output_task *t, const struct err *why, struct err *e)
{
	if (!file_room_ran_out(why)) {
		*e = *why;
		return -1;
	}
	t->task.failed = *why;
	t->task.failed.code = ERR_EXHAUSTED;
	return 0;
}

/* What hinders one file only, such as a folder or a link in its place, or its rights, is the
 * failure of whoever asks for it; a disk that fails is everybody's. */
static int open_failed(struct output_task *t, const struct err *why, struct err *e)
{
	if (why->sys == EIO || file_room_ran_out(why))
		return task_failed(t, why, e);
	t->task.failed = *why;
	return 0;
}

/* Which file the task is about.  0 with *file NULL when the task is over: the file is
 * absent, which is an empty one, or it cannot be opened. */
static int task_file(
	struct output_task *t, bool create, struct open_file **file, struct err *e)
{
	struct err why = { 0 };

	*file = NULL;
	if (t->name[0] == '\0') {
		err_set(&t->task.failed, ERR_INVALID, "no such run can be");
		return 0;
	}
	if (make_room(t->output, t->name, &why) < 0)
		return task_failed(t, &why, e);
	*file = get_file(t->output, t->name, create, &why);
	if (*file || (why.code == ERR_NOT_FOUND && !create))
		return 0;
	return open_failed(t, &why, e);
}

static void learn_end(struct output *o, const char *name, int64_t end, int64_t data)
{
	struct table_entry *entry = table_find_str(&o->known, name);
	struct known_end *k;

	if (entry) {
		k = table_value(entry, struct known_end, by_name);
		list_remove(&k->used);
	} else if (o->known.count >= KNOWN_ENDS_MAX) {
		k = list_entry(list_first(&o->known_used), struct known_end, used);
		table_remove(&o->known, &k->by_name);
		list_remove(&k->used);
	} else {
		k = xcalloc(1, sizeof(*k));
	}
	if (!entry) {
		memcpy(k->name, name, sizeof(k->name));
		table_add_str(&o->known, &k->by_name, k->name);
	}
	k->end = end;
	k->data = data;
	list_append(&o->known_used, &k->used);
}

static void unlearn_end(struct output *o, const char *name)
{
	struct table_entry *entry = table_find_str(&o->known, name);

	if (!entry)
		return;
	struct known_end *k = table_value(entry, struct known_end, by_name);
	table_remove(&o->known, entry);
	list_remove(&k->used);
	free(k);
}

static void end_deliver(struct file_task *task)
{
	struct output_task *t = (struct output_task *)task;

	t->output->queued_bytes -= t->queued;
	if (task->failed.code == ERR_NONE)
		learn_end(t->output, t->name, t->end, t->data);
	t->on_end(t->ctx, t->end, file_task_failed(task));
}

/* Write the part that is new; on a full disk nothing of it stays. */
static int write_new(struct open_file *f, const uint8_t *bytes, size_t len, struct err *e)
{
	if (pwrite_all(f->fd, bytes, len, f->end) == 0) {
		f->end += (int64_t)len;
		return 0;
	}
	err_sys(e, "write output %s", f->name);
	if (file_room_ran_out(e) && ftruncate(f->fd, f->end) < 0)
		err_sys(e, "cut output %s back", f->name);
	return -1;
}

static int append_run(struct file_task *task, struct err *e)
{
	struct output_task *t = (struct output_task *)task;
	struct err why = { 0 };
	struct open_file *f;

	if (task_file(t, true, &f, e) < 0)
		return -1;
	if (!f)
		return 0;
	t->end = f->end;
	t->data = f->data;
	int64_t known = f->end - t->position;
	if (known < 0 || known >= (int64_t)t->len)
		return 0;
	size_t len = t->len - (size_t)known;
	if (f->end + (int64_t)len > t->output->config.file_bytes_max) {
		err_set(&why, ERR_EXHAUSTED, "output %s is limited to %" PRId64 " bytes",
			t->name, t->output->config.file_bytes_max);
		return task_failed(t, &why, e);
	}
	if (write_new(f, t->bytes + known, len, &why) < 0)
		return task_failed(t, &why, e);
	f->data += (int64_t)data_of(t->output, t->bytes + known, len);
	t->end = f->end;
	t->data = f->data;
	return 0;
}

static const struct file_task_type append_type = { append_run, end_deliver, task_free };

void output_append(struct output *o, const char *job, int32_t attempt, int64_t position,
	uint8_t *bytes, size_t len, output_on_end *on_end, void *ctx)
{
	struct output_task *t = task_new(o, &append_type, job, attempt, ctx);

	assert(len <= OUTPUT_APPEND_MAX && position >= 0);
	t->position = position;
	t->bytes = bytes;
	t->len = t->queued = len;
	t->on_end = on_end;
	o->queued_bytes += len;
	files_ask(&o->files, &t->task);
}

static int sync_run(struct file_task *task, struct err *e)
{
	struct output_task *t = (struct output_task *)task;
	struct open_file *f;

	if (task_file(t, false, &f, e) < 0)
		return -1;
	if (!f)
		return 0;
	t->end = f->end;
	t->data = f->data;
	return sync_file(t->output, f, e);
}

static const struct file_task_type sync_type = { sync_run, end_deliver, task_free };

void output_sync(struct output *o, const char *job, int32_t attempt,
	output_on_end *on_end, void *ctx)
{
	struct output_task *t = task_new(o, &sync_type, job, attempt, ctx);

	t->on_end = on_end;
	files_ask(&o->files, &t->task);
}

static int read_run(struct file_task *task, struct err *e)
{
	struct output_task *t = (struct output_task *)task;
	size_t max = t->len;
	struct open_file *f;

	t->len = 0;
	if (task_file(t, false, &f, e) < 0)
		return -1;
	if (!f)
		return 0;
	t->end = f->end;
	t->data = f->data;
	if (t->position >= f->end)
		return 0;
	if ((int64_t)max > f->end - t->position)
		max = (size_t)(f->end - t->position);
	t->bytes = xmalloc(max + 1);
	ssize_t n = read_at(f->fd, t->bytes, max, t->position);
	if (n < 0)
		return err_sys(e, "read output %s", t->name);
	t->len = (size_t)n;
	return 0;
}

static void read_deliver(struct file_task *task)
{
	struct output_task *t = (struct output_task *)task;

	if (task->failed.code == ERR_NONE)
		learn_end(t->output, t->name, t->end, t->data);
	t->on_bytes(t->ctx, t->bytes, t->len, t->end, file_task_failed(task));
}

static const struct file_task_type read_type = { read_run, read_deliver, task_free };

void output_read(struct output *o, const char *job, int32_t attempt, int64_t position,
	size_t max, output_on_bytes *on_bytes, void *ctx)
{
	struct output_task *t = task_new(o, &read_type, job, attempt, ctx);

	assert(position >= 0);
	t->position = position;
	t->len = max < OUTPUT_READ_MAX ? max : OUTPUT_READ_MAX;
	t->on_bytes = on_bytes;
	files_ask(&o->files, &t->task);
}

static int remove_one(struct output *o, const char *name, struct err *e)
{
	struct table_entry *entry = table_find_str(&o->open, name);

	if (entry)
		forget_file(o, table_value(entry, struct open_file, by_name));
	if (unlinkat(o->folder, name, 0) < 0 && errno != ENOENT)
		return err_sys(e, "remove output %s", name);
	return 0;
}

static int remove_run(struct file_task *task, struct err *e)
{
	struct output_task *t = (struct output_task *)task;

	(void)e;
	for (int32_t i = 1; i <= t->attempts; i++) {
		char name[RUN_NAME_SIZE];

		run_name(name, t->job, i);
		if (remove_one(t->output, name, &t->task.failed) < 0)
			return 0;
	}
	return 0;
}

static void remove_deliver(struct file_task *task)
{
	struct output_task *t = (struct output_task *)task;

	for (int32_t i = 1; i <= t->attempts; i++) {
		char name[RUN_NAME_SIZE];

		run_name(name, t->job, i);
		unlearn_end(t->output, name);
	}
	t->on_removed(t->ctx, file_task_failed(task));
}

static const struct file_task_type remove_type = { remove_run, remove_deliver,
	task_free };

void output_remove(struct output *o, const char *job, int32_t attempts,
	output_on_removed *on_removed, void *ctx)
{
	struct output_task *t = task_new(o, &remove_type, job, 1, ctx);

	if (t->name[0] != '\0') {
		memcpy(t->job, job, ID_SIZE);
		t->attempts = attempts;
	}
	t->on_removed = on_removed;
	files_ask(&o->files, &t->task);
}

/* ---- at once, on the loop */

int64_t output_end(const struct output *o, const char *job, int32_t attempt)
{
	char name[RUN_NAME_SIZE];

	run_name(name, job, attempt);
	struct table_entry *entry = table_find_str(&o->known, name);
	return entry ? table_value(entry, struct known_end, by_name)->end : -1;
}

int64_t output_data(const struct output *o, const char *job, int32_t attempt)
{
	char name[RUN_NAME_SIZE];

	run_name(name, job, attempt);
	struct table_entry *entry = table_find_str(&o->known, name);
	return entry ? table_value(entry, struct known_end, by_name)->data : 0;
}

size_t output_queued_bytes(const struct output *o)
{
	return o->queued_bytes;
}

/* ---- opening */

static void set_limits(struct output_config *c)
{
	if (c->file_bytes_max <= 0 || c->file_bytes_max > FILE_BYTES_MAX)
		c->file_bytes_max = FILE_BYTES_MAX;
	if (c->open_files_max == 0)
		c->open_files_max = OPEN_FILES_MAX;
}

struct output *output_open(const struct output_config *config, struct err *e)
{
	struct output *o = xcalloc(1, sizeof(*o));

	o->config = *config;
	set_limits(&o->config);
	o->files = (struct files){
		.ctx = config->ctx,
		.wake = config->wake,
		.on_failed = config->on_failed,
	};
	list_init(&o->open_used);
	list_init(&o->known_used);
	o->folder = dir_open(config->dirfd, "output", 0700, e);
	if (o->folder < 0 || files_start(&o->files, "files", e) < 0) {
		output_close(o);
		return NULL;
	}
	return o;
}

void output_deliver(struct output *o)
{
	files_deliver(&o->files);
}

void output_stop(struct output *o)
{
	files_stop(&o->files);
}

void output_close(struct output *o)
{
	if (!o)
		return;
	files_fini(&o->files);
	while (!list_empty(&o->open_used))
		forget_file(
			o, list_entry(list_first(&o->open_used), struct open_file, used));
	while (!list_empty(&o->known_used))
		unlearn_end(
			o, list_entry(list_first(&o->known_used), struct known_end, used)
				   ->name);
	table_fini(&o->open);
	table_fini(&o->known);
	free(o->scan);
	close_fd(&o->folder);
	free(o);
}
