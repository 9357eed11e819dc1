/* environments.c - the installed requirements that jobs of this machine share, and their builds. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "environments.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buildfolder.h"
#include "child.h"
#include "cleanup.h"
#include "exits.h"
#include "file.h"
#include "id.h"
#include "lock.h"
#include "log.h"
#include "minder.h"
#include "packages.h"
#include "str.h"
#include "table.h"
#include "xalloc.h"

#define REQUESTS       "requests"
#define GONE           "gone-"
#define BUILDS_MAX     4 /* at once; others wait */
#define OUTPUT_MS      100
#define OUTPUT_PIECE   ((size_t)65536)
#define OUTPUT_PIECES  16 /* for one waiter in one look */
#define ERROR_TAIL_MAX ((size_t)8192)
#define LOG_TAIL       400
#define NAME_TEXT_SIZE 80

extern char **environ;

struct environment {
	struct table_entry by_lock; /* key: lock.bytes */
	struct list by_use;         /* in environments.used, the longest unused first */
	struct digest lock;
	int64_t bytes;
	int64_t used_ns; /* for sorting at the start only */
	unsigned pins;
};

struct env_build {
	struct list link; /* in environments.builds until it has ended */
	struct environments *owner;
	struct digest request;
	struct list waiters;
	char *lines; /* owned; a requirement a line */
	char id[ID_SIZE];
	int folder_fd; /* -1: not begun */
	uint32_t uid_base;
	bool has_uids;
	struct child child;
	struct minder *minder; /* NULL: not running */
	uv_work_t work;        /* its folder is removed */
	struct err removed;
};

struct environments {
	struct environments_config c;
	int fd, requests_fd;
	char *path;   /* owned */
	char *origin; /* owned: python and where wheels come from, for requests */
	int64_t bytes;
	uint64_t ended[ENV_OUTCOMES], reused;
	struct table table;
	struct list used;
	struct list builds;
	size_t running;
	size_t busy; /* builders and removals under way */
	bool stopping, look_closed;
	uv_timer_t look;
};

static void start_builds(struct environments *v);

/* ---- the table */

static struct environment *find(const struct environments *v, const struct digest *lock)
{
	struct table_entry *it = table_find(&v->table, lock->bytes, sizeof(lock->bytes));

	return it ? table_value(it, struct environment, by_lock) : NULL;
}

static void drop(struct environments *v, struct environment *it)
{
	v->bytes -= it->bytes;
	table_remove(&v->table, &it->by_lock);
	list_remove(&it->by_use);
	free(it);
}

static void make_last_used(struct environments *v, struct environment *it)
{
	list_remove(&it->by_use);
	list_append(&v->used, &it->by_use);
}

/* ---- removing */

struct removal {
	uv_work_t work;
	struct environments *owner;
	char name[NAME_TEXT_SIZE];
	struct err why;
};

static void remove_on_pool(uv_work_t *work)
{
	struct removal *m = work->data;

	m->why.code = ERR_NONE;
	if (id_valid(m->name, BUILD_ID_KIND)) {
		if (build_remove(m->owner->fd, m->name, &m->why) == 0)
			m->why.code = ERR_NONE;
	} else if (tree_remove(m->owner->fd, m->name, &m->why) == 0) {
		m->why.code = ERR_NONE;
	}
}

static void on_removed(uv_work_t *work, int status)
{
	struct removal *m = work->data;

	(void)status;
	m->owner->busy--;
	if (m->why.code)
		log_warn("cannot remove what is left of an environment; the next start "
			 "tries again",
			"name", m->name, "why", m->why.text, NULL);
	free(m);
}

static void queue_removal(struct environments *v, const char *name)
{
	struct removal *m = xcalloc(1, sizeof(*m));

	m->work.data = m;
	m->owner = v;
	str_put(m->name, sizeof(m->name), "%s", name);
	v->busy++;
	uv_queue_work(v->c.loop, &m->work, remove_on_pool, on_removed);
}

/* Its name goes in one step, so that no half of it is ever used. */
static bool retire(struct environments *v, const char *name)
{
	char gone[NAME_TEXT_SIZE], id[ID_SIZE];

	id_make(id, BUILD_ID_KIND);
	str_put(gone, sizeof(gone), GONE "%s", id);
	if (renameat(v->fd, name, v->fd, gone) < 0) {
		if (errno != ENOENT)
			log_warn("cannot remove an environment", "environment", name,
				"why", strerror(errno), NULL);
		return errno == ENOENT;
	}
	queue_removal(v, gone);
	return true;
}

static void evict(struct environments *v)
{
	list_each_safe(at, &v->used)
	{
		struct environment *it = list_entry(at, struct environment, by_use);
		char hex[PACKAGE_HEX_SIZE];

		if (v->bytes <= v->c.limit_bytes)
			return;
		package_hex(hex, &it->lock);
		if (it->pins || !retire(v, hex))
			continue;
		log_info("environment evicted", "environment", hex, NULL);
		drop(v, it);
	}
}

/* ---- what the folder holds */

/* Note a finished environment.  One without its size is none of ours. */
static struct environment *note(struct environments *v, const struct digest *lock)
{
	char hex[PACKAGE_HEX_SIZE];
	CLEANUP(buf_fini) struct buf size = { 0 };
	struct environment *it = find(v, lock);
	struct err e = { 0 };
	struct stat st;
	int64_t bytes;

	if (it)
		return it;
	package_hex(hex, lock);
	CLEANUP(close_fd)
	int fd = openat(v->fd, hex, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0 ||
		file_read(fd, ENVIRONMENT_SIZE, 32, &size, &e) < 0)
		return NULL;
	CLEANUP(free_ptr) char *text = buf_take_str(&size);
	text[strcspn(text, "\n")] = '\0';
	if (parse_i64(text, 0, INT64_MAX, &bytes, &e) < 0)
		return NULL;

	it = xcalloc(1, sizeof(*it));
	it->lock = *lock;
	it->bytes = bytes;
	it->used_ns = st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec;
	v->bytes += bytes;
	list_append(&v->used, &it->by_use);
	table_add(&v->table, &it->by_lock, it->lock.bytes, sizeof(it->lock.bytes));
	return it;
}

static void look_at(struct environments *v, const char *name)
{
	struct digest lock;
	struct err ignored, e = { 0 };

	if (id_valid(name, BUILD_ID_KIND)) {
		/* Now: its user ids may be given to a run next. */
		if (build_stop(v->fd, name, &e) < 0)
			log_warn("cannot stop a build of before", "build", name, "why",
				e.text, NULL);
		queue_removal(v, name);
	} else if (str_starts(name, GONE)) {
		queue_removal(v, name);
	} else if (strlen(name) == PACKAGE_HEX_SIZE - 1 &&
		   hex_decode(lock.bytes, sizeof(lock.bytes), name, &ignored) == 0 &&
		   !note(v, &lock)) {
		log_warn("an environment is damaged and goes", "environment", name, NULL);
		retire(v, name);
	}
}

static int by_age(const void *a, const void *b)
{
	const struct environment *const *l = a, *const *r = b;

	return ((*l)->used_ns > (*r)->used_ns) - ((*l)->used_ns < (*r)->used_ns);
}

static void sort_by_use(struct environments *v)
{
	size_t n = 0;
	CLEANUP(free_ptr)
	struct environment **all = xcalloc(v->table.count + 1, sizeof(*all));

	list_each(at, &v->used) all[n++] = list_entry(at, struct environment, by_use);
	qsort(all, n, sizeof(struct environment *), by_age);
	for (size_t i = 0; i < n; i++)
		make_last_used(v, all[i]);
}

static int each_name(int fd, void (*look)(struct environments *v, const char *name),
	struct environments *v, struct err *e)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);

	if (!dir) {
		err_sys(e, "read the folder of environments");
		close_fd(&copy);
		return -1;
	}
	for (struct dirent *it; (it = readdir(dir));)
		look(v, it->d_name);
	closedir(dir);
	return 0;
}

/* ---- requests */

static bool read_request(struct environments *v, const char *hex, struct digest *lock)
{
	CLEANUP(buf_fini) struct buf bytes = { 0 };
	struct err ignored;

	if (file_read(v->requests_fd, hex, PACKAGE_HEX_SIZE - 1, &bytes, &ignored) < 0)
		return false;
	CLEANUP(free_ptr) char *text = buf_take_str(&bytes);
	return hex_decode(lock->bytes, sizeof(lock->bytes), text, &ignored) == 0;
}

/* One whose environment has gone says nothing any more. */
static void look_at_request(struct environments *v, const char *name)
{
	struct digest lock;

	if (*name != '.' && (!read_request(v, name, &lock) || !find(v, &lock)))
		unlinkat(v->requests_fd, name, 0);
}

static void write_request(
	struct environments *v, const struct digest *request, const struct digest *lock)
{
	char hex[PACKAGE_HEX_SIZE], name[PACKAGE_HEX_SIZE];
	struct err e = { 0 };

	package_hex(hex, lock);
	package_hex(name, request);
	if (file_write(v->requests_fd, name, hex, strlen(hex), 0600, false, &e) < 0)
		log_warn("cannot note what requirements were resolved to", "why", e.text,
			NULL);
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

struct digest environments_request(
	const struct environments *v, char *const *lines, size_t count)
{
	CLEANUP(buf_fini) struct buf bytes = { 0 };
	CLEANUP(free_ptr) char **sorted = xcalloc(count + 1, sizeof(*sorted));

	for (size_t i = 0; i < count; i++)
		sorted[i] = lines[i];
	qsort(sorted, count, sizeof(*sorted), compare_lines);
	buf_addf(&bytes, "%s\n", v->origin);
	for (size_t i = 0; i < count; i++)
		if (!i || strcmp(sorted[i], sorted[i - 1]) != 0)
			buf_addf(&bytes, "%s\n", sorted[i]);
	return digest_of(bytes.data, bytes.len);
}

bool environments_find(
	struct environments *v, const struct digest *request, struct digest *lock)
{
	char name[PACKAGE_HEX_SIZE];

	package_hex(name, request);
	if (!read_request(v, name, lock) || !find(v, lock))
		return false;
	v->reused++;
	return true;
}

/* ---- pins */

void environments_pin(struct environments *v, const struct digest *lock)
{
	struct environment *it = find(v, lock);
	char hex[PACKAGE_HEX_SIZE];

	if (!it)
		return;
	it->pins++;
	make_last_used(v, it);
	package_hex(hex, lock);
	/* So that the next start sorts it the same; failing only costs that. */
	if (utimensat(v->fd, hex, NULL, AT_SYMLINK_NOFOLLOW) < 0)
		log_debug("cannot touch an environment", "why", strerror(errno), NULL);
}

void environments_unpin(struct environments *v, const struct digest *lock)
{
	struct environment *it = find(v, lock);

	if (!it || !it->pins)
		return;
	it->pins--;
	evict(v);
}

char *environments_path_dup(const struct environments *v, const struct digest *lock)
{
	char hex[PACKAGE_HEX_SIZE];

	package_hex(hex, lock);
	return str_fmt("%s/%s", v->path, hex);
}

/* ---- a build's output */

static void tell_output(struct env_build *b, struct env_wait *w)
{
	CLEANUP(free_ptr) char *piece = NULL;
	CLEANUP(close_fd)
	int fd = openat(b->folder_fd, BUILD_OUTPUT, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return;
	piece = xmalloc(OUTPUT_PIECE);
	for (int i = 0; i < OUTPUT_PIECES; i++) {
		ssize_t n = pread(fd, piece, OUTPUT_PIECE, w->heard);

		if (n <= 0)
			return;
		w->heard += n;
		w->output(w, piece, (size_t)n);
	}
}

static void tell_all_output(struct env_build *b)
{
	list_each_safe(at, &b->waiters)
		tell_output(b, list_entry(at, struct env_wait, link));
}

static void on_look(uv_timer_t *t)
{
	struct environments *v = t->data;

	list_each_safe(at, &v->builds)
	{
		struct env_build *b = list_entry(at, struct env_build, link);

		if (b->minder)
			tell_all_output(b);
	}
}

/* ---- the end of a build */

static void free_build(struct env_build *b)
{
	list_remove(&b->link);
	close_fd(&b->folder_fd);
	free(b->lines);
	free(b);
}

static void remove_build_on_pool(uv_work_t *work)
{
	struct env_build *b = work->data;

	if (build_remove(b->owner->fd, b->id, &b->removed) == 0)
		b->removed.code = ERR_NONE;
}

/* Its user ids are not given to anybody before everything of theirs is gone. */
static void on_build_removed(uv_work_t *work, int status)
{
	struct env_build *b = work->data;
	struct environments *v = b->owner;

	(void)status;
	v->busy--;
	if (b->removed.code)
		log_warn("cannot remove a build; the next start tries again", "build",
			b->id, "why", b->removed.text, NULL);
	else if (b->has_uids)
		uids_release(v->c.uids, b->uid_base);
	free_build(b);
}

static void remove_build(struct env_build *b)
{
	b->work.data = b;
	b->owner->busy++;
	uv_queue_work(b->owner->c.loop, &b->work, remove_build_on_pool, on_build_removed);
}

static void tell_end(struct env_build *b, const struct env_end *end)
{
	struct list told;

	b->owner->ended[end->outcome]++;
	list_init(&told);
	while (!list_empty(&b->waiters)) {
		struct list *it = list_first(&b->waiters);

		list_remove(it);
		list_append(&told, it);
		list_entry(it, struct env_wait, link)->build = NULL;
	}
	while (!list_empty(&told)) {
		struct env_wait *w = list_entry(list_first(&told), struct env_wait, link);

		list_remove(&w->link);
		w->done(w, end);
	}
}

/* The last that pip said, from a whole line on. */
static void read_tail(const struct env_build *b, struct buf *out)
{
	struct err ignored;

	if (file_read(b->folder_fd, BUILD_OUTPUT, (size_t)BUILD_OUTPUT_MAX * 2, out,
		    &ignored) < 0) {
		buf_clear(out);
		return;
	}
	if (out->len > ERROR_TAIL_MAX) {
		buf_drop(out, out->len - ERROR_TAIL_MAX);
		uint8_t *eol = memchr(out->data, '\n', out->len);
		if (eol)
			buf_drop(out, (size_t)(eol - out->data) + 1);
	}
}

static void end_ready(struct env_build *b, const char *hex)
{
	struct environments *v = b->owner;
	struct env_end end = { .outcome = ENV_READY };
	struct err ignored;

	if (hex_decode(end.lock.bytes, sizeof(end.lock.bytes), hex, &ignored) < 0 ||
		!note(v, &end.lock)) {
		tell_end(b,
			&(struct env_end){ .outcome = ENV_BROKEN,
				.text = "environment: it was built and is not there" });
		return;
	}
	log_info("environment is there", "environment", hex, "build", b->id, NULL);
	write_request(v, &b->request, &end.lock);
	environments_pin(v, &end.lock);
	tell_end(b, &end);
	environments_unpin(v, &end.lock);
}

static void end_refused(struct env_build *b, const char *text)
{
	CLEANUP(buf_fini) struct buf tail = { 0 };
	struct env_end end = { .outcome = ENV_REFUSED, .text = text };

	read_tail(b, &tail);
	CLEANUP(free_ptr) char *error = error_text(text, NULL, &tail);
	end.error = error;
	log_info("environment cannot be built", "build", b->id, "why", text, NULL);
	tell_end(b, &end);
}

static void end_broken(struct env_build *b, int status)
{
	CLEANUP(buf_fini) struct buf log = { 0 };
	CLEANUP(free_ptr) char *tail = NULL;
	CLEANUP(free_ptr)
	char *how = WIFSIGNALED(status) ? str_fmt("signal %d", WTERMSIG(status))
					: str_fmt("status %d", WEXITSTATUS(status));
	CLEANUP(free_ptr)
	char *text = str_fmt("environment: its builder ended with %s", how);
	const struct env_end end = { .outcome = ENV_BROKEN, .text = text };
	struct err ignored;

	if (file_read(b->folder_fd, BUILD_LOG, 1 << 20, &log, &ignored) == 0 && log.len) {
		size_t skip = log.len > LOG_TAIL ? log.len - LOG_TAIL : 0;

		tail = utf8_replace(log.data + skip, log.len - skip, NULL);
	}
	log_warn("a builder died", "build", b->id, "how", how, "log", tail, NULL);
	tell_end(b, &end);
}

static char *read_word(const struct env_build *b, const char *file)
{
	CLEANUP(buf_fini) struct buf bytes = { 0 };
	struct err ignored;

	if (file_read(b->folder_fd, file, BUILD_LINE_MAX, &bytes, &ignored) < 0)
		return NULL;
	return buf_take_str(&bytes);
}

static void on_builder_exit(void *user, int status)
{
	struct env_build *b = user;
	struct environments *v = b->owner;
	bool exited = WIFEXITED(status);
	CLEANUP(free_ptr) char *word = NULL;

	b->minder = NULL;
	v->running--;
	v->busy--;
	tell_all_output(b);
	list_remove(&b->link); /* who wants it from here on begins anew */
	if (exited && WEXITSTATUS(status) == BUILD_DONE)
		word = read_word(b, BUILD_BUILT);
	else if (exited && WEXITSTATUS(status) == BUILD_REFUSED)
		word = read_word(b, BUILD_FAILED);
	if (word && WEXITSTATUS(status) == BUILD_DONE)
		end_ready(b, word);
	else if (word)
		end_refused(b, word);
	else if (!list_empty(&b->waiters))
		end_broken(b, status);
	remove_build(b);
	if (v->running == 0)
		uv_timer_stop(&v->look);
	start_builds(v);
}

/* ---- the start of one */

static int spawn(struct env_build *b, struct err *e)
{
	const struct environments_config *c = &b->owner->c;
	char uid_base[16], time[24], disk[24], pid[16];
	CLEANUP(close_fd)
	int log_fd = openat(b->folder_fd, BUILD_LOG,
		O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	const char *const argv[] = { c->builder_path, "--environments", b->owner->path,
		"--build", b->id, "--root-folder", c->root_path, "--runtime", c->runtime,
		"--uid-base", uid_base, "--time", time, "--disk", disk, "--worker-pid",
		pid, log_level_flag(), log_json_flag(), c->wheels ? "--wheels" : NULL,
		c->wheels, NULL };
	const struct child_program how = { argv, (const char *const *)environ, log_fd,
		false };

	if (log_fd < 0)
		return err_sys(e, "create the builder's log");
	str_put(uid_base, sizeof(uid_base), "%" PRIu32, b->uid_base);
	str_put(time, sizeof(time), "%" PRId64, c->time_s);
	str_put(disk, sizeof(disk), "%" PRId64, c->disk_bytes);
	str_put(pid, sizeof(pid), "%d", (int)getpid());
	return child_start(&how, &b->child, e);
}

static int begin(struct env_build *b, struct err *e)
{
	struct environments *v = b->owner;

	if (uids_take(v->c.uids, &b->uid_base, e) < 0)
		return -1;
	b->has_uids = true;
	b->folder_fd = dir_open(v->fd, b->id, 0700, e);
	if (b->folder_fd < 0 || file_write(b->folder_fd, BUILD_REQUIREMENTS, b->lines,
					strlen(b->lines), 0600, false, e) < 0)
		return -1;
	return spawn(b, e);
}

static void start_build(struct env_build *b)
{
	struct environments *v = b->owner;
	struct err e = { 0 };

	if (begin(b, &e) < 0) {
		list_remove(&b->link);
		log_error("cannot build an environment", "why", e.text, NULL);
		tell_end(b, &(struct env_end){ .outcome = ENV_BROKEN, .text = e.text });
		remove_build(b);
		return;
	}
	log_info("environment is being built", "build", b->id, NULL);
	b->minder = minder_new(v->c.loop, &b->child, on_builder_exit, b);
	v->running++;
	v->busy++;
	if (!uv_is_active((uv_handle_t *)&v->look))
		uv_timer_start(&v->look, on_look, OUTPUT_MS, OUTPUT_MS);
}

static void start_builds(struct environments *v)
{
	if (v->stopping)
		return;
	list_each_safe(at, &v->builds)
	{
		struct env_build *b = list_entry(at, struct env_build, link);

		if (v->running >= BUILDS_MAX)
			return;
		if (!b->minder && b->folder_fd < 0)
			start_build(b);
	}
}

static struct env_build *find_build(
	const struct environments *v, const struct digest *request)
{
	list_each(at, &v->builds)
	{
		struct env_build *b = list_entry(at, struct env_build, link);

		if (!list_empty(&b->waiters) &&
			memcmp(&b->request, request, sizeof(*request)) == 0)
			return b;
	}
	return NULL;
}

static struct env_build *new_build(struct environments *v, const struct digest *request,
	char *const *lines, size_t count)
{
	struct env_build *b = xcalloc(1, sizeof(*b));
	CLEANUP(buf_fini) struct buf text = { 0 };

	b->owner = v;
	b->request = *request;
	b->folder_fd = -1;
	list_init(&b->waiters);
	id_make(b->id, BUILD_ID_KIND);
	for (size_t i = 0; i < count; i++)
		buf_addf(&text, "%s\n", lines[i]);
	b->lines = buf_take_str(&text);
	list_append(&v->builds, &b->link);
	return b;
}

/* A failure of the start itself must not be told inside environments_want(). */
static void on_start_timer(uv_timer_t *t)
{
	struct environments *v = t->data;

	start_builds(v);
	if (v->running)
		uv_timer_start(&v->look, on_look, OUTPUT_MS, OUTPUT_MS);
}

void environments_want(struct environments *v, const struct digest *request,
	char *const *lines, size_t count, struct env_wait *w)
{
	if (v->stopping)
		return;

	struct env_build *b = find_build(v, request);
	bool fresh = !b;

	if (fresh)
		b = new_build(v, request, lines, count);
	w->build = b;
	w->heard = 0;
	list_append(&b->waiters, &w->link);
	if (fresh && v->running < BUILDS_MAX)
		uv_timer_start(&v->look, on_start_timer, 0, 0);
}

void environments_leave(struct env_wait *w)
{
	struct env_build *b = w->build;

	list_remove(&w->link);
	w->build = NULL;
	if (!b || !list_empty(&b->waiters))
		return;
	if (b->minder)
		kill(b->child.pid, SIGKILL); /* not reaped yet: it is still that one */
	else if (b->folder_fd < 0)
		free_build(b);
}

/* ---- life */

/* Another index may know other wheels by the same names. */
static char *origin_of(const struct environments_config *c, const char *python)
{
	const char *index = getenv("PIP_INDEX_URL"),
		   *more = getenv("PIP_EXTRA_INDEX_URL");

	return c->wheels ? str_fmt("%s\nwheels %s", python, c->wheels)
			 : str_fmt("%s\nindex %s %s", python, index ? index : "",
				   more ? more : "");
}

static int open_folders(struct environments *v, struct err *e)
{
	char program[PYTHON_NAME_SIZE], python[2 * PYTHON_NAME_SIZE];

	if (lock_python(program, python, e) < 0)
		str_put(python, sizeof(python), "none"); /* the builder will say it */
	v->origin = origin_of(&v->c, python);
	v->path = str_fmt("%s/environments", v->c.path);
	v->fd = dir_open(v->c.folder_fd, "environments", 0700, e);
	if (v->fd < 0)
		return -1;
	v->requests_fd = dir_open(v->fd, REQUESTS, 0700, e);
	if (v->requests_fd < 0 || each_name(v->fd, look_at, v, e) < 0)
		return -1;
	sort_by_use(v);
	return each_name(v->requests_fd, look_at_request, v, e);
}

struct environments *environments_open(const struct environments_config *c, struct err *e)
{
	struct environments *v = xcalloc(1, sizeof(*v));

	v->c = *c;
	v->fd = v->requests_fd = -1;
	list_init(&v->used);
	list_init(&v->builds);
	uv_timer_init(c->loop, &v->look);
	v->look.data = v;
	if (open_folders(v, e) == 0) {
		evict(v);
		return v;
	}
	environments_stop(v);
	environments_close(v);
	return NULL;
}

static void on_look_closed(uv_handle_t *h)
{
	struct environments *v = h->data;

	v->look_closed = true;
}

void environments_set_limits(
	struct environments *v, int64_t limit_bytes, int64_t time_s, int64_t disk_bytes)
{
	v->c.limit_bytes = limit_bytes;
	v->c.time_s = time_s;
	v->c.disk_bytes = disk_bytes;
	evict(v);
}

struct env_figures environments_figures(const struct environments *v)
{
	struct env_figures f = {
		.count = v->table.count, .bytes = v->bytes, .reused = v->reused
	};

	memcpy(f.ended, v->ended, sizeof(f.ended));
	return f;
}

void environments_stop(struct environments *v)
{
	if (!v || v->stopping)
		return;
	v->stopping = true;
	list_each_safe(at, &v->builds)
	{
		struct env_build *b = list_entry(at, struct env_build, link);

		while (!list_empty(&b->waiters))
			environments_leave(list_entry(
				list_first(&b->waiters), struct env_wait, link));
	}
	uv_timer_stop(&v->look);
	while (v->busy)
		uv_run(v->c.loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&v->look, on_look_closed);
	while (!v->look_closed)
		uv_run(v->c.loop, UV_RUN_ONCE);
}

void environments_close(struct environments *v)
{
	if (!v)
		return;
	list_each_safe(at, &v->used) drop(v, list_entry(at, struct environment, by_use));
	table_fini(&v->table);
	close_fd(&v->requests_fd);
	close_fd(&v->fd);
	free(v->origin);
	free(v->path);
	free(v);
}
