/* builder.c - builds one environment: resolves requirements to a lock, then installs it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "builder.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bundle.h"
#include "cgroup.h"
#include "cleanup.h"
#include "clock.h"
#include "container.h"
#include "disk.h"
#include "exits.h"
#include "fault.h"
#include "file.h"
#include "lock.h"
#include "procs.h"
#include "runclean.h"
#include "str.h"
#include "xalloc.h"

#define CONFIG_MAX   ((size_t)(1 << 20)) /* of pip.conf */
#define CA_MAX       ((size_t)(8 << 20))
#define ENV_MAX      32
#define ARGS_MAX     512
#define MEMORY_MAX   (INT64_C(4) << 30)
#define PIDS         256
#define LOOK_MS      250 /* how often time and disk are looked at */
#define CHUNK        65536
#define REFUSED_TEXT "environment: "

/* What the operator may set, in the worker's own environment. */
static const char *const passed_on[] = { "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL",
	"PIP_TRUSTED_HOST", "PIP_PROXY", "PIP_RETRIES", "PIP_TIMEOUT",
	"PIP_DEFAULT_TIMEOUT", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
	"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY" };
/* The first of these that is set names the certificates to trust. */
static const char *const ca_variables[] = { "PIP_CERT", "REQUESTS_CA_BUNDLE",
	"SSL_CERT_FILE" };

struct builder {
	const struct builder_options *o; /* borrowed */
	char *path;                      /* of the build folder */
	int environments, folder, work, output;
	int64_t output_bytes;
	int64_t until_ns; /* boottime */
	int64_t memory_bytes;
	struct runtime runtime;
	struct cgroup cgroup;
	char program[PYTHON_NAME_SIZE];    /* "python3.11" */
	char python[2 * PYTHON_NAME_SIZE]; /* and the machine */
	char refused[BUILD_LINE_MAX]; /* "" unless there can be no such environment */
};

/* One run of pip. */
struct step {
	const char *folder; /* of its container's files */
	const char *what;   /* "requirements cannot be resolved" */
	bool network;
	const char *const *args; /* with a NULL behind */
	const char *const *env;
};

/* ---- how it fails */

PRINTF_LIKE(2, 3)
static int refuse(struct builder *b, const char *format, ...)
{
	char text[BUILD_LINE_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	line_put(b->refused, sizeof(b->refused), REFUSED_TEXT, text);
	return -1;
}

static int refuse_slow(struct builder *b)
{
	return refuse(b, "building it took more than %" PRId64 " s (environment-time)",
		b->o->time_s);
}

static int refuse_large(struct builder *b)
{
	return refuse(b,
		"building it took more than %" PRId64 " MiB of disk (environment-disk)",
		b->o->disk_bytes >> 20);
}

/* pip's first word of error, or else its last line. */
static void find_reason(const struct builder *b, int64_t from, char out[BUILD_LINE_MAX])
{
	static const char mark[] = "ERROR: ";
	CLEANUP(buf_fini) struct buf bytes = { 0 };
	char *rest = NULL;

	*out = '\0';
	if (file_read(b->folder, BUILD_OUTPUT, (size_t)BUILD_OUTPUT_MAX + CHUNK, &bytes,
		    NULL) < 0 ||
		(int64_t)bytes.len < from)
		return;
	buf_drop(&bytes, (size_t)from);
	CLEANUP(free_ptr) char *text = buf_take_str(&bytes);
	for (char *line = strtok_r(text, "\r\n", &rest); line;
		line = strtok_r(NULL, "\r\n", &rest)) {
		if (str_starts(line, mark)) {
			line_put(out, BUILD_LINE_MAX, line + strlen(mark), "");
			return;
		}
		line_put(out, BUILD_LINE_MAX, line, "");
	}
}

/* ---- what pip prints */

static int keep_output(struct builder *b, const void *bytes, size_t len, struct err *e)
{
	static const char cut[] = "\n(more was printed than is kept)\n";

	if (b->output_bytes > BUILD_OUTPUT_MAX)
		return 0;
	b->output_bytes += (int64_t)len;
	if (write_all(b->output, bytes, len) < 0 ||
		(b->output_bytes > BUILD_OUTPUT_MAX &&
			write_all(b->output, cut, sizeof(cut) - 1) < 0))
		return err_sys(e, "write output");
	return 0;
}

/* Read once; closes the pipe at its end.  1: there may be more. */
static int take(struct builder *b, int *fd, struct err *e)
{
	static char chunk[CHUNK];
	ssize_t n = *fd < 0 ? 0 : read(*fd, chunk, sizeof(chunk));

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : err_sys(e, "read output");
	if (n == 0) {
		close_fd(fd);
		return 0;
	}
	return keep_output(b, chunk, (size_t)n, e) < 0 ? -1 : 1;
}

static int drain(struct builder *b, int *fd, struct err *e)
{
	int rc;

	do
		rc = take(b, fd, e);
	while (rc > 0);
	return rc;
}

/* ---- one container */

/* Until pip has ended, or has to. */
static int watch_pip(struct builder *b, struct container *c, struct err *e)
{
	for (;;) {
		struct pollfd polled[] = { { c->out, POLLIN, 0 }, { c->err, POLLIN, 0 },
			{ c->pidfd, POLLIN, 0 } };

		if (poll(polled, 3, LOOK_MS) < 0 && errno != EINTR)
			return err_sys(e, "poll");
		if (take(b, &c->out, e) < 0 || take(b, &c->err, e) < 0)
			return -1;
		if (disk_used(b->folder, "work", b->o->disk_bytes) > b->o->disk_bytes)
			return refuse_large(b);
		if (polled[2].revents)
			return 0;
		if (clock_boot_ns() > b->until_ns)
			return refuse_slow(b);
	}
}

/* Its processes are gone when this returns 0. */
static int end_container(struct builder *b, struct container *c,
	struct cgroup_counts *counts, struct err *e)
{
	if (c->pidfd >= 0) {
		process_signal(c->pidfd, SIGKILL);
		waitpid(c->init, NULL, 0);
	}
	close_fd(&c->lifeline);
	cgroup_count(&b->cgroup, counts);
	if (cgroup_empty(&b->cgroup, RUN_CLEAN_WAIT_MS, e) < 0 ||
		cgroup_remove(&b->cgroup, e) < 0)
		return -1;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	return 0;
}

/* A file of the host that the container is to see at the same place; "" where there is
 * none.  Runtimes do not follow a symlink that leaves /etc. */
static char *real_or_empty(const char *path)
{
	char *real = realpath(path, NULL);

	return real ? real : xstrdup("");
}

static int write_config(
	struct builder *b, const struct step *s, int folder, struct err *e)
{
	static const char ro[] = "bind,ro,nosuid,nodev";
	const struct cgroup_limits limits = { .memory_bytes = b->memory_bytes,
		.pids = PIDS };
	CLEANUP(free_ptr) char *group = str_fmt("cumulus/%s", b->o->build);
	CLEANUP(free_ptr) char *work = str_fmt("%s/work", b->path);
	CLEANUP(free_ptr) char *config = str_fmt("%s/config", b->path);
	CLEANUP(free_ptr) char *resolv = real_or_empty("/etc/resolv.conf");
	CLEANUP(free_ptr) char *hosts = real_or_empty("/etc/hosts");
	struct bundle_bind binds[5];
	size_t n = 0;

	binds[n++] = (struct bundle_bind){ "/job/work", work, "bind,rw,nosuid,nodev" };
	binds[n++] = (struct bundle_bind){ "/env", config, ro };
	if (b->o->wheels)
		binds[n++] = (struct bundle_bind){ "/mnt", b->o->wheels, ro };
	if (s->network && *resolv)
		binds[n++] = (struct bundle_bind){ "/etc/resolv.conf", resolv, ro };
	if (s->network && *hosts)
		binds[n++] = (struct bundle_bind){ "/etc/hosts", hosts, ro };

	const struct bundle bundle = {
		.root = b->o->root_folder,
		.binds = binds,
		.bind_count = n,
		.host_network = s->network,
		.uid_base = (uint32_t)b->o->uid_base,
		.tmp_bytes = b->memory_bytes / 2,
		.args = s->args,
		.env = s->env,
		.cwd = "/job/work",
		.cgroup_path = b->runtime.runc ? group : NULL,
		.limits = &limits,
	};
	CLEANUP(close_fd) int dir = dir_open(folder, RUN_FOLDER_BUNDLE, 0700, e);
	if (dir < 0 || bundle_write(dir, &bundle, e) < 0)
		return -1;
	return b->runtime.runc ? 0 : cgroup_make(&b->cgroup, &limits, e);
}

static int judge(struct builder *b, const struct step *s, int folder, int64_t from,
	const struct cgroup_counts *counts, struct err *e)
{
	char reason[BUILD_LINE_MAX];
	struct exit_record exit;

	if (exit_record_read(folder, &exit, e) < 0)
		return -1;
	if (exit.kind == EXIT_EXITED && exit.n == 0)
		return 0;
	if (counts->oom_kills)
		return refuse(b, "%s: out of memory: limit %" PRId64 " MiB", s->what,
			b->memory_bytes >> 20);
	if (exit.kind != EXIT_EXITED && exit.kind != EXIT_SIGNALED)
		return err_set(e, ERR_SYSTEM, "pip could not be started (%d, %d)",
			exit.kind, exit.n);
	find_reason(b, from, reason);
	if (exit.kind == EXIT_SIGNALED) {
		char name[24];

		return refuse(b, "%s: pip was killed by %s", s->what,
			signal_name(exit.n, name));
	}
	return refuse(b, "%s: %s", s->what, *reason ? reason : "pip failed");
}

static bool never(void *arg)
{
	(void)arg;
	return false;
}

static int run_step(struct builder *b, const struct step *s, struct err *e)
{
	CLEANUP(close_fd) int folder = dir_open(b->folder, s->folder, 0700, e);
	CLEANUP(free_ptr) char *path = str_fmt("%s/%s", b->path, s->folder);
	const struct patience patience = { b->until_ns, -1, never, NULL };
	const struct container_start start = { &b->runtime, &b->cgroup, folder, path,
		b->o->build, &patience };
	CLEANUP(container_close)
	struct container c = {
		.pidfd = -1, .out = -1, .err = -1, .channel = -1, .lifeline = -1
	};
	struct cgroup_counts counts = { 0 };
	struct err ignored;
	int64_t from = b->output_bytes;

	if (folder < 0 || write_config(b, s, folder, e) < 0)
		return -1;
	if (container_start(&c, &start, e) < 0)
		return e->code == ERR_TIMEOUT ? refuse_slow(b) : -1;
	fault_point(s->folder);

	int rc = watch_pip(b, &c, e);
	if (end_container(b, &c, &counts, rc < 0 ? &ignored : e) < 0 || rc < 0)
		return -1;
	if (drain(b, &c.out, e) < 0 || drain(b, &c.err, e) < 0)
		return -1;
	return judge(b, s, folder, from, &counts, e);
}

/* ---- what pip is told */

struct words {
	const char *list[ARGS_MAX];
	size_t count;
};

static void add(struct words *w, const char *word)
{
	if (w->count < ARGS_MAX - 1)
		w->list[w->count++] = word;
}

static void add_all(struct words *w, const char *const *words)
{
	for (; *words; words++)
		add(w, *words);
}

static const char *const pip[] = { JOB_PROGRAM_INIT, "/opt/cumulus/filter",
	"/usr/bin/python3", "-I", "-B", "-m", "pip", "--disable-pip-version-check",
	"--no-input", "--no-cache-dir", "--no-color", NULL };
static const char *const plain_env[] = { "PATH=/usr/bin:/bin", "HOME=/job/work",
	"TMPDIR=/job/work/tmp", "LANG=C.UTF-8", "USER=job", "LOGNAME=job", NULL };

/* A file of the operator's goes to config/, where pip can read it. */
static int copy_config(int config, const char *from, size_t max, const char *name,
	bool *there, struct err *e)
{
	CLEANUP(buf_fini) struct buf bytes = { 0 };
	CLEANUP(free_ptr) char *real = realpath(from, NULL);

	*there = false;
	if (!real) {
		if (errno == ENOENT)
			return 0;
		return err_sys(e, "%s", from);
	}
	if (file_read(AT_FDCWD, real, max, &bytes, e) < 0 ||
		file_write(config, name, bytes.data, bytes.len, 0644, false, e) < 0)
		return err_wrap(e, "%s", from);
	*there = true;
	return 0;
}

struct variables {
	struct words words;
	char *owned[ENV_MAX];
	size_t owned_count;
};

static void variables_fini(struct variables *v)
{
	for (size_t i = 0; i < v->owned_count; i++)
		free(v->owned[i]);
}

static int fill_variables(struct variables *v, int config, struct err *e)
{
	const char *pip_conf = getenv("PIP_CONFIG_FILE");
	bool there;

	add_all(&v->words, plain_env);
	for (size_t i = 0; i < sizeof(passed_on) / sizeof(*passed_on); i++) {
		const char *value = getenv(passed_on[i]);

		if (!value)
			continue;
		v->owned[v->owned_count] = str_fmt("%s=%s", passed_on[i], value);
		add(&v->words, v->owned[v->owned_count++]);
	}
	if (copy_config(config, pip_conf ? pip_conf : "/etc/pip.conf", CONFIG_MAX,
		    "pip.conf", &there, e) < 0)
		return -1;
	add(&v->words,
		there ? "PIP_CONFIG_FILE=/env/pip.conf" : "PIP_CONFIG_FILE=/dev/null");
	for (size_t i = 0; i < sizeof(ca_variables) / sizeof(*ca_variables); i++) {
		const char *value = getenv(ca_variables[i]);

		if (str_empty(value))
			continue;
		if (copy_config(config, value, CA_MAX, "ca.pem", &there, e) < 0)
			return -1;
		if (there) {
			add(&v->words, "PIP_CERT=/env/ca.pem");
			break;
		}
	}
	return 0;
}

/* ---- resolve */

static int resolve(struct builder *b, struct err *e)
{
	static const char *const download[] = { "download",
		"--only-binary=:all:", "--progress-bar", "off", "--dest",
		"/job/work/wheels", NULL };
	static const char *const offline[] = { "--no-index", "--find-links", "/mnt",
		NULL };
	CLEANUP(variables_fini) struct variables v = { 0 };
	CLEANUP(buf_fini) struct buf bytes = { 0 };
	CLEANUP(close_fd) int config = dir_open(b->folder, "config", 0755, e);
	struct words args = { 0 };
	char *rest = NULL;

	if (config < 0 || fchmod(config, 0755) < 0 || fill_variables(&v, config, e) < 0)
		return -1;
	if (file_read(b->folder, BUILD_REQUIREMENTS, BUILD_REQUIREMENTS_MAX, &bytes, e) <
		0)
		return -1;
	CLEANUP(free_ptr) char *text = buf_take_str(&bytes);
	add_all(&args, pip);
	add_all(&args, download);
	if (b->o->wheels)
		add_all(&args, offline);
	add(&args, "--");
	for (char *line = strtok_r(text, "\n", &rest); line;
		line = strtok_r(NULL, "\n", &rest))
		add(&args, line);
	if (args.count == ARGS_MAX - 1)
		return refuse(b, "there are too many requirements");

	const struct step step = {
		.folder = "resolve",
		.what = "requirements cannot be resolved",
		.network = !b->o->wheels,
		.args = args.list,
		.env = v.words.list,
	};
	return run_step(b, &step, e);
}

/* ---- install */

/* pip is to see the lock and nothing of the operator's. */
static int write_lock(struct builder *b, const struct buf *lock, struct err *e)
{
	if (tree_remove(b->folder, "config", e) < 0)
		return -1;
	CLEANUP(close_fd) int config = dir_open(b->folder, "config", 0755, e);
	if (config < 0)
		return -1;
	if (fchmod(config, 0755) < 0)
		return err_sys(e, "config");
	return file_write(config, "lock", lock->data, lock->len, 0644, false, e);
}

static int install(struct builder *b, const struct buf *lock, struct err *e)
{
	static const char *const from_wheels[] = { "install", "--no-index",
		"--find-links", "/job/work/wheels", "--require-hashes", "--no-deps",
		"--no-warn-script-location", "--progress-bar", "off", "-r", "/env/lock",
		"--target", NULL };
	CLEANUP(free_ptr)
	char *target = str_fmt("/job/work/tree/lib/%s/site-packages", b->program);
	struct words args = { 0 }, env = { 0 };

	if (write_lock(b, lock, e) < 0)
		return -1;
	add_all(&args, pip);
	add_all(&args, from_wheels);
	add(&args, target);
	add_all(&env, plain_env);
	add(&env, "PIP_CONFIG_FILE=/dev/null");

	const struct step step = {
		.folder = "install",
		.what = "the wheels cannot be installed",
		.args = args.list,
		.env = env.list,
	};
	return run_step(b, &step, e);
}

/* ---- publish */

/* What pip made becomes root's, for everybody to read.  Its processes are gone, so nothing
 * moves; what is neither file, folder nor symlink is taken out. */
static int settle_entry(const FTSENT *it, int64_t *bytes, struct err *e)
{
	const struct stat *st = it->fts_statp;
	bool plain = S_ISREG(st->st_mode) || S_ISDIR(st->st_mode);

	if (!plain && !S_ISLNK(st->st_mode))
		return unlink(it->fts_accpath) < 0 ? err_sys(e, "remove a special file")
						   : 0;
	*bytes += (int64_t)st->st_blocks * 512;
	if (lchown(it->fts_accpath, 0, 0) < 0)
		return err_sys(e, "own %s", it->fts_name);
	if (plain && chmod(it->fts_accpath, st->st_mode & 0111 ? 0755 : 0644) < 0)
		return err_sys(e, "chmod %s", it->fts_name);
	return 0;
}

static void close_fts(FTS **fts)
{
	if (*fts)
		fts_close(*fts);
}

static int settle_tree(struct builder *b, int64_t *bytes, struct err *e)
{
	CLEANUP(free_ptr) char *path = str_fmt("%s/work/tree", b->path);
	char *const roots[] = { path, NULL };
	CLEANUP(close_fts)
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);

	if (!fts)
		return err_sys(e, "walk through the environment");
	for (FTSENT *it; (it = fts_read(fts));) {
		if (it->fts_info == FTS_DP)
			continue;
		if (it->fts_info == FTS_DNR || it->fts_info == FTS_ERR ||
			it->fts_info == FTS_NS) {
			errno = it->fts_errno;
			return err_sys(e, "look at %s", it->fts_name);
		}
		if (settle_entry(it, bytes, e) < 0)
			return -1;
	}
	return 0;
}

static int write_notes(
	struct builder *b, const struct buf *lock, int64_t bytes, struct err *e)
{
	CLEANUP(close_fd)
	int tree =
		openat(b->work, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	char size[32];

	if (tree < 0)
		return err_sys(e, "open the environment");
	str_put(size, sizeof(size), "%" PRId64 "\n", bytes);
	if (file_write(tree, ENVIRONMENT_LOCK, lock->data, lock->len, 0644, false, e) <
			0 ||
		file_write(tree, ENVIRONMENT_SIZE, size, strlen(size), 0644, false, e) <
			0)
		return -1;
	return 0;
}

/* Another build of the same lock may have been first: then that one it is. */
static int rename_tree(struct builder *b, const char *name, struct err *e)
{
	if (syncfs(b->environments) < 0)
		return err_sys(e, "sync the environment");
	fault_point("synced");
	if (renameat(b->work, "tree", b->environments, name) < 0 && errno != EEXIST &&
		errno != ENOTEMPTY)
		return err_sys(e, "name the environment");
	if (fsync(b->environments) < 0)
		return err_sys(e, "sync the folder of environments");
	return 0;
}

static int publish(
	struct builder *b, const struct buf *lock, const char *name, struct err *e)
{
	int64_t bytes = 0;

	if (settle_tree(b, &bytes, e) < 0 || write_notes(b, lock, bytes, e) < 0)
		return -1;
	return rename_tree(b, name, e);
}

/* ---- the whole */

static int make_folder(struct builder *b, const char *name, struct err *e)
{
	const uid_t uid = (uid_t)b->o->uid_base + JOB_UID;

	if (mkdirat(b->work, name, 0755) < 0 || fchmodat(b->work, name, 0755, 0) < 0 ||
		fchownat(b->work, name, uid, uid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(e, "make work/%s", name);
	return 0;
}

/* See bind_scratch() of setup.c for why it is bound. */
static int make_work(struct builder *b, struct err *e)
{
	CLEANUP(free_ptr) char *path = str_fmt("%s/work", b->path);

	CLEANUP(close_fd) int before = dir_open(b->folder, "work", 0711, e);
	if (before < 0)
		return -1;
	if (fchmod(before, 0711) < 0 || mount(path, path, NULL, MS_BIND, NULL) < 0 ||
		mount(NULL, path, NULL, MS_BIND | MS_REMOUNT | MS_NOSUID | MS_NODEV,
			NULL) < 0)
		return err_sys(e, "bind work");
	/* Past the mount: what is renamed out of it may not cross one. */
	b->work = take_fd(&before);
	return make_folder(b, "wheels", e) < 0 || make_folder(b, "tmp", e) < 0 ||
			       make_folder(b, "tree", e) < 0
		       ? -1
		       : 0;
}

static int plan_cgroup(struct builder *b, struct err *e)
{
	if (cgroup_plan(&b->cgroup, b->o->build, b->runtime.runc, e) < 0)
		return -1;
	CLEANUP(free_ptr) char *text = cgroup_format(&b->cgroup);
	return file_write(b->folder, BUILD_CGROUP, text, strlen(text), 0600, false, e);
}

static int open_folders(struct builder *b, struct err *e)
{
	b->path = str_fmt("%s/%s", b->o->environments, b->o->build);
	b->environments = open(b->o->environments, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b->environments < 0)
		return err_sys(e, "open %s", b->o->environments);
	b->folder = openat(b->environments, b->o->build,
		O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (b->folder < 0)
		return err_sys(e, "open %s", b->path);
	b->output = openat(b->folder, BUILD_OUTPUT,
		O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	return b->output < 0 ? err_sys(e, "create output") : 0;
}

static int prepare(struct builder *b, struct err *e)
{
	if (lock_python(b->program, b->python, e) < 0 || open_folders(b, e) < 0 ||
		container_prepare(e) < 0 ||
		runtime_find(&b->runtime, b->o->runtime, e) < 0 || plan_cgroup(b, e) < 0)
		return -1;
	return make_work(b, e);
}

static int make_lock(struct builder *b, struct buf *lock, size_t *count, struct err *e)
{
	CLEANUP(close_fd)
	int wheels = openat(
		b->work, "wheels", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (wheels < 0)
		return err_sys(e, "open the wheels");
	if (lock_of_folder(wheels, b->python, lock, count, e) == 0)
		return 0;
	return e->code == ERR_INVALID ? refuse(b, "%s", e->text) : -1;
}

static int build(struct builder *b, char name[], size_t size, struct err *e)
{
	CLEANUP(buf_fini) struct buf lock = { 0 };
	size_t count = 0;
	struct stat st;

	if (prepare(b, e) < 0 || resolve(b, e) < 0 || make_lock(b, &lock, &count, e) < 0)
		return -1;
	fault_point("locked");

	const struct digest digest = digest_of(lock.data, lock.len);
	if (size < 2 * sizeof(digest.bytes) + 1)
		return err_set(e, ERR_INTERNAL, "no room for a name");
	hex_encode(name, digest.bytes, sizeof(digest.bytes));
	if (fstatat(b->environments, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	if (count && install(b, &lock, e) < 0)
		return -1;
	fault_point("installed");
	return publish(b, &lock, name, e);
}

static int note_end(struct builder *b, const char *name, struct err *e)
{
	const char *file = *b->refused ? BUILD_FAILED : BUILD_BUILT;
	const char *text = *b->refused ? b->refused : name;

	return file_write(b->folder, file, text, strlen(text), 0600, false, e);
}

static int64_t choose_memory(void)
{
	int64_t half = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE) / 2;

	return half < MEMORY_MAX ? half : MEMORY_MAX;
}

static void builder_fini(struct builder *b)
{
	cgroup_fini(&b->cgroup);
	runtime_fini(&b->runtime);
	close_fd(&b->output);
	close_fd(&b->work);
	close_fd(&b->folder);
	close_fd(&b->environments);
	free(b->path);
}

enum build_end builder_run(const struct builder_options *o, struct err *e)
{
	CLEANUP(builder_fini)
	struct builder b = {
		.o = o,
		.environments = -1,
		.folder = -1,
		.work = -1,
		.output = -1,
		.until_ns = clock_boot_ns() + o->time_s * NS_PER_S,
		.memory_bytes = choose_memory(),
	};
	char name[2 * sizeof(struct digest) + 1];

	if (build(&b, name, sizeof(name), e) < 0 && !*b.refused)
		return BUILD_BROKEN;
	if (note_end(&b, name, e) < 0)
		return BUILD_BROKEN;
	return *b.refused ? BUILD_REFUSED : BUILD_DONE;
}
