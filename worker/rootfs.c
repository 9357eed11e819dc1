/* rootfs.c - builds the root folder that all jobs of this machine share. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "rootfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "digest.h"
#include "file.h"
#include "filter.h"
#include "layers.h"
#include "str.h"
#include "xalloc.h"

#define COUNT(a)      (sizeof(a) / sizeof(*(a)))

#define LAYOUT        "2" /* raise it when this file makes another tree from equal sources */
#define NEW_PREFIX    ".new-"
#define NAME_SIZE     17 /* 16 hex digits and NUL */
#define COPY_MAX      ((size_t)(64 << 20))
#define DEPTH_MAX     16
#define KEEP_OLD_S    (2 * 86400) /* twice the longest job */
#define CHECK_WAIT_MS 30000

/* Copied from the host's /etc when it is there. */
static const char *const etc_entries[] = { "ld.so.cache", "alternatives", "OpenCL",
	"localtime", "timezone", "ssl/certs", "ssl/openssl.cnf", "services", "protocols",
	"mime.types", "fonts", "os-release", "python3" };

/* Every mount point must exist: root inside cannot make one in a folder of real root. */
static const struct {
	const char *path;
	mode_t mode;
} folders[] = {
	{ "usr", 0755 },
	{ "proc", 0755 },
	{ "sys", 0755 },
	{ "dev", 0755 },
	{ "tmp", 01777 }, /* runc gives the tmpfs over it this mode */
	{ "run", 0755 },
	{ "var", 0755 },
	{ "var/tmp", 01777 },
	{ "home", 0755 },
	{ "mnt", 0755 },
	{ "opt", 0755 },
	{ "opt/cumulus", 0755 },
	{ "opt/cumulus/lib", 0755 },
	{ "env", 0755 },
	{ "job", 0755 },
	{ "job/src", 0755 },
	{ "job/work", 0755 },
	{ "etc", 0755 },
	{ "etc/ssl", 0755 },
};

static const char *const host_links[] = { "bin", "sbin", "lib", "lib32", "lib64",
	"libx32" };

static const struct {
	const char *path;
	const char *text;
} files[] = {
	{ "job/code.zip", "" },
	{ "etc/passwd", "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\n"
			"job:x:1000:1000:job:/job/work:/bin/sh\n"
			"nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n" },
	{ "etc/group", "root:x:0:\njob:x:1000:\nnogroup:x:65534:\n" },
	{ "etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"
			       "services: files\nprotocols: files\n" },
	{ "etc/hosts", "127.0.0.1 localhost job\n::1 localhost\n" },
	{ "etc/hostname", "job\n" },
	/* Without a name server names fail at once: a job has no network. */
	{ "etc/resolv.conf", "" },
	{ "etc/machine-id", "" },
	{ "etc/ld.so.preload", "" },
};

static const struct {
	const char *path;
	const char *target;
} links[] = {
	{ "var/run", "/run" },
	{ "etc/mtab", "../proc/self/mounts" },
};

/* ---- the digest of the sources ---- */

static void close_dir(DIR **d)
{
	if (*d)
		closedir(*d);
}

static void add_text(struct digester *d, const char *text)
{
	digester_add(d, text, strlen(text) + 1);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add_path(struct digester *d, const char *path, int depth);

/* In the order of names, which the order of a folder is not. */
static void add_entries(struct digester *d, const char *path, int depth)
{
	CLEANUP(close_dir) DIR *dir = opendir(path);
	CLEANUP(free_ptr) char **names = NULL;
	size_t count = 0;

	for (struct dirent *it; dir && (it = readdir(dir));) {
		if (strcmp(it->d_name, ".") == 0 || strcmp(it->d_name, "..") == 0)
			continue;
		names = xreallocarray(names, count + 1, sizeof(*names));
		names[count++] = str_fmt("%s/%s", path, it->d_name);
	}
	if (count)
		qsort(names, count, sizeof(*names), compare_names);
	for (size_t i = 0; i < count; i++) {
		add_path(d, names[i], depth + 1);
		free(names[i]);
	}
}

/* What tells one version of a file from another, without reading it. */
static void add_path(struct digester *d, const char *path, int depth)
{
	char line[128], target[PATH_MAX] = "";
	struct stat st;

	add_text(d, path);
	if (lstat(path, &st) < 0 || depth > DEPTH_MAX)
		return;
	if (S_ISLNK(st.st_mode)) {
		ssize_t n = readlink(path, target, sizeof(target) - 1);

		target[n > 0 ? n : 0] = '\0';
		add_text(d, target);
	} else if (S_ISDIR(st.st_mode)) {
		add_entries(d, path, depth);
	} else {
		str_put(line, sizeof(line), "%o %jd %jd.%09ld", st.st_mode,
			(intmax_t)st.st_size, (intmax_t)st.st_mtim.tv_sec,
			st.st_mtim.tv_nsec);
		add_text(d, line);
	}
}

/* Debian keeps sitecustomize.py of each Python in /etc/pythonX.Y. */
static char *etc_python(void)
{
	char target[PATH_MAX];
	ssize_t n = readlink("/usr/bin/python3", target, sizeof(target) - 1);

	if (n <= 0)
		return NULL;
	target[n] = '\0';

	const char *name = strrchr(target, '/') ? strrchr(target, '/') + 1 : target;
	return str_starts(name, "python3.") ? xstrdup(name) : NULL;
}

/* The filter is this program's own: another version of it may make another. */
static int add_filter(struct digester *d, struct err *e)
{
	CLEANUP(close_fd) int fd = memfd_create("filter", MFD_CLOEXEC);
	uint8_t bytes[4096];
	ssize_t n;
	off_t at = 0;

	if (fd < 0)
		return err_sys(e, "make a file in memory");
	if (filter_write(fd, e) < 0)
		return -1;
	while ((n = pread(fd, bytes, sizeof(bytes), at)) > 0) {
		digester_add(d, bytes, (size_t)n);
		at += n;
	}
	return n < 0 ? err_sys(e, "read the filter") : 0;
}

static int sources_name(
	char out[NAME_SIZE], const struct rootfs_sources *s, struct err *e)
{
	struct digester *d = digester_new();
	CLEANUP(free_ptr) char *python = etc_python();

	add_text(d, LAYOUT " " CUMULUS_VERSION);
	if (add_filter(d, e) < 0) {
		digester_free(d);
		return -1;
	}
	add_path(d, s->init, 0);
	add_path(d, s->start, 0);
	add_path(d, s->harness, 0);
	if (s->compiled)
		add_path(d, s->compiled, 0);
	add_path(d, s->job_lib, 0);
	for (enum layer i = 0; s->layers && i < LAYERS; i++) {
		CLEANUP(free_ptr) char *path = layer_source(s->layers, i);

		add_path(d, path, 0);
	}
	for (size_t i = 0; i < COUNT(etc_entries); i++) {
		CLEANUP(free_ptr) char *path = str_fmt("/etc/%s", etc_entries[i]);

		add_path(d, path, 0);
	}
	if (python) {
		CLEANUP(free_ptr) char *path = str_fmt("/etc/%s", python);

		add_path(d, path, 0);
	}
	for (size_t i = 0; i < COUNT(host_links); i++) {
		CLEANUP(free_ptr) char *path = str_fmt("/%s", host_links[i]);

		add_text(d, path);
	}
	struct digest digest = digester_end(d);
	hex_encode(out, digest.bytes, (NAME_SIZE - 1) / 2);
	return 0;
}

/* ---- building ---- */

static int make_file(int root, const char *path, const void *bytes, size_t len,
	mode_t mode, struct err *e)
{
	CLEANUP(close_fd)
	int fd = openat(root, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_sys(e, "create %s", path);
	if (write_all(fd, bytes, len) < 0 || fchmod(fd, mode) < 0)
		return err_sys(e, "write %s", path);
	return 0;
}

static int copy_file(
	int root, const char *from, const char *to, mode_t mode, struct err *e)
{
	CLEANUP(buf_fini) struct buf bytes = { 0 };

	if (file_read(AT_FDCWD, from, COPY_MAX, &bytes, e) < 0)
		return err_wrap(e, "copy %s", from);
	return make_file(root, to, bytes.data, bytes.len, mode, e);
}

static int copy_link(int root, const char *from, const char *to, struct err *e)
{
	char target[PATH_MAX];
	ssize_t n = readlink(from, target, sizeof(target) - 1);

	if (n < 0)
		return err_sys(e, "read link %s", from);
	target[n] = '\0';
	return symlinkat(target, root, to) < 0 ? err_sys(e, "link %s", to) : 0;
}

static int make_folder(int root, const char *path, mode_t mode, struct err *e)
{
	if (mkdirat(root, path, 0700) < 0 && errno != EEXIST)
		return err_sys(e, "make folder %s", path);
	/* mkdir's mode is cut by the umask. */
	return fchmodat(root, path, mode, 0) < 0 ? err_sys(e, "chmod %s", path) : 0;
}

static int copy_path(
	int root, const char *from, const char *to, int depth, struct err *e);

static int copy_folder(
	int root, const char *from, const char *to, int depth, struct err *e)
{
	CLEANUP(close_dir) DIR *dir = opendir(from);

	if (!dir)
		return err_sys(e, "read folder %s", from);
	if (make_folder(root, to, 0755, e) < 0)
		return -1;
	for (struct dirent *it; (it = readdir(dir));) {
		if (strcmp(it->d_name, ".") == 0 || strcmp(it->d_name, "..") == 0)
			continue;
		CLEANUP(free_ptr) char *inner_from = str_fmt("%s/%s", from, it->d_name);
		CLEANUP(free_ptr) char *inner_to = str_fmt("%s/%s", to, it->d_name);

		if (copy_path(root, inner_from, inner_to, depth + 1, e) < 0)
			return -1;
	}
	return 0;
}

/* Absent is fine, and so is what not everybody may read: a job has no business there. */
static int copy_path(int root, const char *from, const char *to, int depth, struct err *e)
{
	struct stat st;

	if (lstat(from, &st) < 0)
		return errno == ENOENT ? 0 : err_sys(e, "stat %s", from);
	if (S_ISLNK(st.st_mode))
		return copy_link(root, from, to, e);
	if (!(st.st_mode & S_IROTH))
		return 0;
	if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
		return copy_folder(root, from, to, depth, e);
	if (S_ISREG(st.st_mode))
		return copy_file(root, from, to, st.st_mode & 0111 ? 0755 : 0644, e);
	return 0;
}

static int copy_etc(int root, const char *entry, struct err *e)
{
	CLEANUP(free_ptr) char *from = str_fmt("/etc/%s", entry);

	return copy_path(root, from, from + 1, 0, e);
}

static int fill_etc(int root, struct err *e)
{
	CLEANUP(free_ptr) char *python = etc_python();

	for (size_t i = 0; i < COUNT(etc_entries); i++) {
		if (copy_etc(root, etc_entries[i], e) < 0)
			return -1;
	}
	return python ? copy_etc(root, python, e) : 0;
}

static int fill_skeleton(int root, struct err *e)
{
	for (size_t i = 0; i < COUNT(folders); i++) {
		if (make_folder(root, folders[i].path, folders[i].mode, e) < 0)
			return -1;
	}
	for (size_t i = 0; i < COUNT(files); i++) {
		if (make_file(root, files[i].path, files[i].text, strlen(files[i].text),
			    0644, e) < 0)
			return -1;
	}
	for (size_t i = 0; i < COUNT(links); i++) {
		if (symlinkat(links[i].target, root, links[i].path) < 0)
			return err_sys(e, "link %s", links[i].path);
	}
	return 0;
}

/* /bin and its kin: links into /usr since the merge.  A host where one is a folder has
 * programs outside /usr, which jobs would miss. */
static int fill_host_links(int root, struct err *e)
{
	for (size_t i = 0; i < COUNT(host_links); i++) {
		CLEANUP(free_ptr) char *path = str_fmt("/%s", host_links[i]);
		struct stat st;

		if (lstat(path, &st) < 0 && errno == ENOENT)
			continue;
		if (!S_ISLNK(st.st_mode))
			return err_set(e, ERR_UNSUPPORTED,
				"%s is a folder of its own: this machine is not "
				"usr-merged",
				path);
		if (copy_link(root, path, host_links[i], e) < 0)
			return -1;
	}
	return 0;
}

static int fill_layers(int root, const char *folder, struct err *e)
{
	for (enum layer i = 0; folder && i < LAYERS; i++) {
		CLEANUP(free_ptr) char *from = layer_source(folder, i);

		if (copy_path(root, from, layer_path(i) + 1, 0, e) < 0)
			return -1;
	}
	return 0;
}

static int fill_cumulus(int root, const struct rootfs_sources *s, struct err *e)
{
	if (copy_file(root, s->init, "opt/cumulus/init", 0755, e) < 0 ||
		copy_file(root, s->start, "opt/cumulus/start.py", 0644, e) < 0 ||
		copy_file(root, s->harness, "opt/cumulus/harness.py", 0644, e) < 0 ||
		copy_file(root, s->job_lib, "opt/cumulus/lib/cumulus.py", 0644, e) < 0 ||
		fill_layers(root, s->layers, e) < 0)
		return -1;
	if (s->compiled &&
		copy_file(root, s->compiled, "opt/cumulus/harness.pyc", 0644, e) < 0)
		return -1;

	CLEANUP(close_fd)
	int fd = openat(root, "opt/cumulus/filter",
		O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return err_sys(e, "create filter");
	if (filter_write(fd, e) < 0)
		return -1;
	return fchmod(fd, 0644) < 0 ? err_sys(e, "chmod filter") : 0;
}

static int fill(int root, const struct rootfs_sources *s, struct err *e)
{
	if (fill_skeleton(root, e) < 0 || fill_host_links(root, e) < 0 ||
		fill_etc(root, e) < 0 || fill_cumulus(root, s, e) < 0)
		return -1;
	/* A power loss may not leave a root with the right name and empty files in it. */
	return syncfs(root) < 0 ? err_sys(e, "sync") : 0;
}

/* A job's user passes every folder on the way, although it may list none. */
static int check_passable(const char *path, struct err *e)
{
	CLEANUP(free_ptr) char *part = xstrdup(path);
	struct stat st;

	for (char *at = part + strlen(part); at > part; at = strrchr(part, '/')) {
		*at = '\0';
		if (!*part)
			return 0;
		if (stat(part, &st) < 0)
			return err_sys(e, "stat %s", part);
		if (!(st.st_mode & S_IXOTH))
			return err_set(e, ERR_DENIED,
				"%s (mode %04o) cannot be passed by a job's user; "
				"it needs at least 0711",
				part, st.st_mode & 07777);
	}
	return 0;
}

/* The digest has no weight beyond this machine: a folder with its name is complete. */
static int build(
	int parent, const char *name, const struct rootfs_sources *s, struct err *e)
{
	char temp[NAME_SIZE + 8];

	str_put(temp, sizeof(temp), NEW_PREFIX "%s", name);
	if (tree_remove(parent, temp, e) < 0)
		return -1;

	CLEANUP(close_fd) int root = dir_open(parent, temp, 0755, e);
	if (root < 0)
		return -1;
	if (fchmod(root, 0755) < 0)
		return err_sys(e, "chmod the root folder");
	if (fill(root, s, e) < 0)
		return -1;
	if (renameat(parent, temp, parent, name) < 0)
		return err_sys(e, "rename %s", temp);
	return fsync(parent) < 0 ? err_sys(e, "sync the root folders") : 0;
}

/* A job may stand in an old one.  Its time of change is set when a newer one takes its
 * place, and counts from there. */
static int sweep(int parent, const char *current, bool replaced, struct err *e)
{
	int copy = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(close_dir) DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	int64_t now = clock_wall_ns() / NS_PER_S;

	if (!dir)
		return err_sys(e, "list the root folders");
	for (struct dirent *it; (it = readdir(dir));) {
		struct stat st;

		if (str_starts(it->d_name, NEW_PREFIX) &&
			tree_remove(parent, it->d_name, e) < 0)
			return -1;
		if (it->d_name[0] == '.' || strcmp(it->d_name, current) == 0 ||
			fstatat(parent, it->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (replaced &&
			utimensat(parent, it->d_name, NULL, AT_SYMLINK_NOFOLLOW) < 0)
			return err_sys(e, "touch %s", it->d_name);
		if (!replaced && st.st_mtim.tv_sec < now - KEEP_OLD_S &&
			tree_remove(parent, it->d_name, e) < 0)
			return -1;
	}
	return 0;
}

char *rootfs_build(
	const char *state_dir, const struct rootfs_sources *sources, struct err *e)
{
	char name[NAME_SIZE];
	struct stat st;
	CLEANUP(free_ptr) char *parent_path = str_fmt("%s/root", state_dir);

	if (sources_name(name, sources, e) < 0)
		return NULL;
	if (mkdir(parent_path, 0711) < 0 && errno != EEXIST) {
		err_sys(e, "make %s", parent_path);
		return NULL;
	}

	CLEANUP(free_ptr) char *path = str_fmt("%s/%s", parent_path, name);
	CLEANUP(close_fd)
	int parent = open(parent_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (parent < 0) {
		err_sys(e, "open %s", parent_path);
		return NULL;
	}
	bool missing = fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0;
	if (fchmod(parent, 0711) < 0) {
		err_sys(e, "chmod %s", parent_path);
		return NULL;
	}
	if (check_passable(parent_path, e) < 0 ||
		(missing && build(parent, name, sources, e) < 0) ||
		sweep(parent, name, missing, e) < 0) {
		err_wrap(e, "root folder of jobs");
		return NULL;
	}
	return take_ptr(&path);
}

/* ---- the check ---- */

/* The last line of what the program wrote, without its end. */
static void last_line(struct buf *text, char *out, size_t size)
{
	buf_add(text, "", 1);

	char *from = (char *)text->data;
	size_t len = strlen(from);
	while (len && from[len - 1] == '\n')
		from[--len] = '\0';
	char *line = strrchr(from, '\n');
	str_join(out, size, line ? line + 1 : from, "", "");
}

static void run_check(
	const char *runner, const char *root, const char *runtime, int out_fd)
{
	const char *argv[] = { runner, "--check", "--root-folder", root, "--runtime",
		runtime, NULL };

	if (dup2(out_fd, STDERR_FILENO) >= 0)
		execv(runner, (char *const *)(uintptr_t)argv);
	_exit(127);
}

/* Read until the end or the deadline; 0 when it ended. */
static int read_until(int fd, int64_t until_ns, struct buf *text)
{
	for (;;) {
		int64_t left = (until_ns - clock_boot_ns()) / NS_PER_MS;
		struct pollfd p = { fd, POLLIN, 0 };

		if (left <= 0 || poll(&p, 1, (int)left) == 0)
			return -1;

		ssize_t n = read(fd, buf_reserve(text, 4096), 4096);
		if (n == 0 || (n < 0 && errno != EINTR))
			return 0;
		if (n > 0 && text->len < COPY_MAX)
			buf_added(text, (size_t)n);
	}
}

int rootfs_check(const char *runner, const char *root, const char *runtime, struct err *e)
{
	CLEANUP(buf_fini) struct buf text = { 0 };
	char reason[400];
	int ends[2], status;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(e, "make a pipe");
	CLEANUP(close_fd) int from = ends[0];
	CLEANUP(close_fd) int to = ends[1];

	pid_t pid = fork();
	if (pid < 0)
		return err_sys(e, "fork");
	if (pid == 0)
		run_check(runner, root, runtime, to);
	close_fd(&to);

	int late = read_until(from, clock_boot_ns() + CHECK_WAIT_MS * NS_PER_MS, &text);
	if (late)
		kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) < 0)
		return err_sys(e, "wait for %s", runner);
	if (late)
		return err_set(e, ERR_TIMEOUT, "an empty container took over %d s",
			CHECK_WAIT_MS / 1000);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	last_line(&text, reason, sizeof(reason));
	return err_set(e, ERR_UNSUPPORTED, "no container can run here: %s",
		*reason ? reason : "the check said nothing");
}
