/* cgroup.c - makes, joins, reads and removes the control groups of one run. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"
#include "clock.h"
#include "device_filter.h"
#include "dmem.h"
#include "file.h"
#include "log.h"
#include "str.h"
#include "xalloc.h"

#define ROOT          "/sys/fs/cgroup"
#define PARENT        "cumulus"
#define SUPERVISOR    "supervisor"
#define FILE_MAX      ((size_t)(1 << 20))
#define CPU_PERIOD_US 100000
#define CPU_QUOTA_MIN 1000
#define MAKE_TRIES    16
#define KILL_RETRY_MS 2

static const char *const controller_names[CGROUP_CONTROLLERS] = {
	[CGROUP_MEMORY] = "memory",
	[CGROUP_PIDS] = "pids",
	[CGROUP_CPU] = "cpu",
	[CGROUP_DEVICES] = "devices",
};

/* null, zero, full, random, urandom, tty, ptmx, and all pseudo-terminals. */
static const struct cgroup_device plain_devices[] = {
	{ 1, 3 },
	{ 1, 5 },
	{ 1, 7 },
	{ 1, 8 },
	{ 1, 9 },
	{ 5, 0 },
	{ 5, 2 },
	{ 136, UINT32_MAX },
};

static bool is_unified(void)
{
	struct statfs fs;

	return statfs(ROOT, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

/* ---- where the groups are ---- */

/* Is name one of the words of a comma-separated list? */
static bool listed(const char *list, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = list; at; at = strchr(at, ',')) {
		at += *at == ',';
		if (strncmp(at, name, len) == 0 && (!at[len] || at[len] == ','))
			return true;
	}
	return false;
}

static char *read_text(const char *path, struct err *e)
{
	struct buf b = { 0 };

	if (file_read(AT_FDCWD, path, FILE_MAX, &b, e) < 0) {
		buf_fini(&b);
		return NULL;
	}
	return buf_take_str(&b);
}

/* Our own group's path below the controller (NULL: version 2), which the caller frees. */
static char *own_path(const char *controller, struct err *e)
{
	CLEANUP(free_ptr) char *text = read_text("/proc/self/cgroup", e);
	char *rest = NULL;

	if (!text)
		return NULL;
	for (char *line = strtok_r(text, "\n", &rest); line;
		line = strtok_r(NULL, "\n", &rest)) {
		char *list = strchr(line, ':');
		char *path = list ? strchr(list + 1, ':') : NULL;

		if (!path)
			continue;
		*path++ = '\0';
		if (controller ? listed(list + 1, controller) : !list[1])
			return xstrdup(path);
	}
	err_set(e, ERR_UNSUPPORTED, "this process is in no control group of %s",
		controller ? controller : "version 2");
	return NULL;
}

struct mount {
	char *root; /* of the hierarchy, what is mounted */
	char *at;
};

static void mount_fini(struct mount *m)
{
	free(m->root);
	free(m->at);
}

/* Where the controller's hierarchy is mounted; the last one of several. */
static int find_mount(const char *controller, struct mount *out, struct err *e)
{
	CLEANUP(free_ptr) char *text = read_text("/proc/self/mountinfo", e);
	CLEANUP(mount_fini) struct mount found = { 0 };
	char *rest = NULL;

	if (!text)
		return -1;
	for (char *line = strtok_r(text, "\n", &rest); line;
		line = strtok_r(NULL, "\n", &rest)) {
		char root[2048], at[2048], options[512];
		char *kind = strstr(line, " - cgroup ");

		if (!kind || sscanf(line, "%*d %*d %*s %2047s %2047s", root, at) != 2 ||
			sscanf(kind, " - cgroup %*s %511s", options) != 1 ||
			!listed(options, controller))
			continue;
		mount_fini(&found);
		found = (struct mount){ xstrdup(root), xstrdup(at) };
	}
	if (!found.at)
		return err_set(e, ERR_UNSUPPORTED,
			"the control group controller %s is not mounted", controller);
	*out = found;
	found = (struct mount){ 0 };
	return 0;
}

/* The folder of our own group in a version 1 hierarchy. */
static char *own_dir_v1(const char *controller, struct err *e)
{
	CLEANUP(mount_fini) struct mount m = { 0 };
	CLEANUP(free_ptr) char *path = NULL;

	if (find_mount(controller, &m, e) < 0 || !m.root)
		return NULL;
	path = own_path(controller, e);
	if (!path)
		return NULL;

	/* In a container the hierarchy is mounted from somewhere below its root. */
	const char *below = path;
	size_t root_len = strcmp(m.root, "/") == 0 ? 0 : strlen(m.root);
	if (strncmp(path, m.root, root_len) == 0)
		below = path + root_len;
	return str_fmt("%s%s", m.at, strcmp(below, "/") == 0 ? "" : below);
}

/* The folder of the group that holds our service, the supervisor's parent. */
static char *own_dir_v2(struct err *e)
{
	CLEANUP(free_ptr) char *path = own_path(NULL, e);

	if (!path)
		return NULL;
	if (str_ends(path, "/" SUPERVISOR))
		path[strlen(path) - strlen("/" SUPERVISOR)] = '\0';
	return str_fmt(ROOT "%s", strcmp(path, "/") == 0 ? "" : path);
}

static void clear(struct cgroup *g, bool unified)
{
	*g = (struct cgroup){ .unified = unified };
	for (size_t i = 0; i < CGROUP_CONTROLLERS; i++)
		g->join_fds[i] = -1;
}

void cgroup_fini(struct cgroup *g)
{
	for (size_t i = 0; i < CGROUP_CONTROLLERS; i++) {
		/* A zeroed one holds nothing, and fd 0 is never ours. */
		if (g->dirs[i] && g->join_fds[i] >= 0)
			close(g->join_fds[i]);
		free(g->dirs[i]);
	}
	for (size_t i = 0; i < g->other_count; i++)
		free(g->others[i]);
	free(g->others);
	clear(g, false);
}

static void add_other(struct cgroup *g, const char *dir)
{
	g->others = xreallocarray(g->others, g->other_count + 1, sizeof(*g->others));
	g->others[g->other_count++] = xstrdup(dir);
}

/* The hierarchies of which we name no controller: freezer, cpuset and so on. */
static int plan_others(struct cgroup *g, const char *name, struct err *e)
{
	CLEANUP(free_ptr) char *text = read_text("/proc/self/cgroup", e);
	char *rest = NULL;

	if (!text)
		return -1;
	for (char *line = strtok_r(text, "\n", &rest); line;
		line = strtok_r(NULL, "\n", &rest)) {
		struct err none;
		char *list = strchr(line, ':');
		char *end = list ? strchr(list + 1, ':') : NULL;

		if (!end || end == list + 1)
			continue;
		*end = '\0';
		CLEANUP(free_ptr) char *own = own_dir_v1(list + 1, &none);
		if (!own) /* known to the kernel, mounted nowhere */
			continue;
		CLEANUP(free_ptr) char *dir = str_fmt("%s/" PARENT "/%s", own, name);
		add_other(g, dir);
	}
	return 0;
}

int cgroup_plan(struct cgroup *g, const char *name, bool everywhere, struct err *e)
{
	CLEANUP(cgroup_fini) struct cgroup planned;
	bool unified = is_unified();

	clear(&planned, unified);
	for (size_t i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (unified && i != CGROUP_MEMORY)
			continue;
		CLEANUP(free_ptr)
		char *own = unified ? own_dir_v2(e) : own_dir_v1(controller_names[i], e);

		if (!own)
			return -1;
		planned.dirs[i] = str_fmt("%s/" PARENT "/%s", own, name);
	}
	if (everywhere && !unified && plan_others(&planned, name, e) < 0)
		return -1;
	*g = planned;
	clear(&planned, false);
	return 0;
}

char *cgroup_format(const struct cgroup *g)
{
	struct buf text = { 0 };

	for (size_t i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (g->dirs[i])
			buf_addf(&text, "%s %s\n",
				g->unified ? "unified" : controller_names[i], g->dirs[i]);
	}
	for (size_t i = 0; i < g->other_count; i++)
		buf_addf(&text, "other %s\n", g->others[i]);
	return buf_take_str(&text);
}

static int parse_line(struct cgroup *g, char *line, const char *name, struct err *e)
{
	CLEANUP(free_ptr) char *end = str_fmt("/" PARENT "/%s", name);
	char *path = strchr(line, ' ');

	if (!path || path[1] != '/' || !str_ends(path, end))
		return err_set(e, ERR_INVALID, "no control group of %s: %s", name, line);
	*path++ = '\0';
	if (strcmp(line, "unified") == 0) {
		g->unified = true;
		line = (char *)controller_names[CGROUP_MEMORY];
	}
	if (strcmp(line, "other") == 0) {
		add_other(g, path);
		return 0;
	}
	for (size_t i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (strcmp(line, controller_names[i]) == 0 && !g->dirs[i]) {
			g->dirs[i] = xstrdup(path);
			return 0;
		}
	}
	return err_set(e, ERR_INVALID, "no such controller: %s", line);
}

int cgroup_parse(struct cgroup *g, const char *text, const char *name, struct err *e)
{
	CLEANUP(cgroup_fini) struct cgroup parsed;
	CLEANUP(free_ptr) char *copy = xstrdup(text);
	char *rest = NULL;

	clear(&parsed, false);
	for (char *line = strtok_r(copy, "\n", &rest); line;
		line = strtok_r(NULL, "\n", &rest)) {
		if (parse_line(&parsed, line, name, e) < 0)
			return -1;
	}
	*g = parsed;
	clear(&parsed, false);
	return 0;
}

/* ---- making ---- */

static bool has_file(const char *dir, const char *file)
{
	CLEANUP(free_ptr) char *path = str_fmt("%s/%s", dir, file);

	return access(path, F_OK) == 0;
}

/* Make the group's folder and the one that all runs share, which the last run to end may be
 * taking away at this moment. */
static int make_dir(const char *dir, struct err *e)
{
	CLEANUP(free_ptr) char *parent = xstrdup(dir);

	*strrchr(parent, '/') = '\0';
	for (int try = 0; try < MAKE_TRIES; try++) {
		if (mkdir(dir, 0755) == 0 || errno == EEXIST)
			return 0;
		if (errno != ENOENT)
			break;
		if (mkdir(parent, 0755) < 0 && errno != EEXIST)
			return err_sys(e, "make %s", parent);
	}
	return err_sys(e, "make %s", dir);
}

static int limit_memory(const struct cgroup *g, int64_t bytes, struct err *e)
{
	const char *dir = g->dirs[CGROUP_MEMORY];
	char text[32];

	if (!bytes)
		return 0;
	str_put(text, sizeof(text), "%" PRId64, bytes);
	if (g->unified) {
		if (file_tell(dir, "memory.max", text, e) < 0 ||
			file_tell(dir, "memory.oom.group", "0", e) < 0)
			return -1;
		return has_file(dir, "memory.swap.max")
			       ? file_tell(dir, "memory.swap.max", "0", e)
			       : 0;
	}
	if (file_tell(dir, "memory.limit_in_bytes", text, e) < 0)
		return -1;
	/* Never lower than the one above: this order. */
	return has_file(dir, "memory.memsw.limit_in_bytes")
		       ? file_tell(dir, "memory.memsw.limit_in_bytes", text, e)
		       : 0;
}

static int limit_pids(const struct cgroup *g, int32_t pids, struct err *e)
{
	char text[32];

	if (!pids)
		return 0;
	str_put(text, sizeof(text), "%" PRId32, pids);
	return file_tell(
		g->dirs[g->unified ? CGROUP_MEMORY : CGROUP_PIDS], "pids.max", text, e);
}

static int limit_cpu(const struct cgroup *g, double cpus, struct err *e)
{
	char text[64];
	int64_t quota = (int64_t)(cpus * CPU_PERIOD_US);

	if (cpus <= 0)
		return 0;
	if (quota < CPU_QUOTA_MIN)
		quota = CPU_QUOTA_MIN;
	if (g->unified) {
		str_put(text, sizeof(text), "%" PRId64 " %d", quota, CPU_PERIOD_US);
		return file_tell(g->dirs[CGROUP_MEMORY], "cpu.max", text, e);
	}
	str_put(text, sizeof(text), "%" PRId64, quota);
	return file_tell(g->dirs[CGROUP_CPU], "cpu.cfs_quota_us", text, e);
}

static int allow_device(const char *dir, const struct cgroup_device *d, struct err *e)
{
	char text[64];

	if (d->minor == UINT32_MAX)
		str_put(text, sizeof(text), "c %" PRIu32 ":* rwm", d->major);
	else
		str_put(text, sizeof(text), "c %" PRIu32 ":%" PRIu32 " rwm", d->major,
			d->minor);
	return file_tell(dir, "devices.allow", text, e);
}

/* Where no filter may be loaded it is left to the job's /dev and the missing CAP_MKNOD. */
static int limit_devices_v2(
	const char *dir, const struct cgroup_limits *limits, struct err *e)
{
	const size_t plain = sizeof(plain_devices) / sizeof(*plain_devices);
	CLEANUP(free_ptr)
	struct cgroup_device *all = xcalloc(plain + limits->device_count, sizeof(*all));
	CLEANUP(close_fd) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, "open %s", dir);
	memcpy(all, plain_devices, sizeof(plain_devices));
	if (limits->device_count)
		memcpy(all + plain, limits->devices, limits->device_count * sizeof(*all));
	int rc = device_filter_attach(fd, all, plain + limits->device_count, e);
	if (rc == 0 || e->code != ERR_DENIED)
		return rc;
	log_warn("a job lacks the nodes of other devices, and is not kept from them",
		"group", dir, "why", e->text, NULL);
	return 0;
}

static int limit_devices(
	const struct cgroup *g, const struct cgroup_limits *limits, struct err *e)
{
	const char *dir = g->dirs[CGROUP_DEVICES];

	if (g->unified)
		return limit_devices_v2(g->dirs[CGROUP_MEMORY], limits, e);
	if (file_tell(dir, "devices.deny", "a", e) < 0)
		return -1;
	for (size_t i = 0; i < sizeof(plain_devices) / sizeof(*plain_devices); i++) {
		if (allow_device(dir, &plain_devices[i], e) < 0)
			return -1;
	}
	for (size_t i = 0; i < limits->device_count; i++) {
		if (allow_device(dir, &limits->devices[i], e) < 0)
			return -1;
	}
	return 0;
}

static int open_for_joining(struct cgroup *g, struct err *e)
{
	for (size_t i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (!g->dirs[i])
			continue;
		CLEANUP(free_ptr)
		char *path = str_fmt("%s%s", g->dirs[i], g->unified ? "" : "/tasks");

		g->join_fds[i] = open(
			path, (g->unified ? O_PATH | O_DIRECTORY : O_WRONLY) | O_CLOEXEC);
		if (g->join_fds[i] < 0)
			return err_sys(e, "open %s", path);
	}
	return 0;
}

int cgroup_make(struct cgroup *g, const struct cgroup_limits *limits, struct err *e)
{
	for (size_t i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (g->dirs[i] && make_dir(g->dirs[i], e) < 0)
			return -1;
	}
	if (limit_memory(g, limits->memory_bytes, e) < 0 ||
		limit_pids(g, limits->pids, e) < 0 || limit_cpu(g, limits->cpus, e) < 0 ||
		limit_devices(g, limits, e) < 0)
		return -1;
	if (limits->dmem && dmem_write(g->dirs[CGROUP_MEMORY], limits->dmem, e) < 0)
		return -1;
	return open_for_joining(g, e);
}

/* ---- joining ---- */

static pid_t fork_unified(const struct cgroup *g)
{
	struct clone_args args = {
		.flags = CLONE_INTO_CGROUP,
		.exit_signal = SIGCHLD,
		.cgroup = (unsigned int)g->join_fds[CGROUP_MEMORY],
	};

	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

/* `tasks` and not cgroup.procs: the latter waits for a grace period of the whole kernel,
 * 10 ms and more.  The child has one thread, so it is the same. */
static void join_v1(const struct cgroup *g)
{
	for (size_t i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (g->join_fds[i] >= 0 && write(g->join_fds[i], "0", 1) != 1)
			_exit(CGROUP_JOIN_FAILED);
	}
}

pid_t cgroup_fork(const struct cgroup *g)
{
	pid_t pid = g->unified ? fork_unified(g) : fork();

	if (pid == 0 && !g->unified)
		join_v1(g);
	return pid;
}

/* ---- reading ---- */

/* The number behind a key ("" for a file of one number); 0 when it is not there. */
static int64_t read_count(const char *dir, const char *file, const char *key)
{
	struct err ignored;
	CLEANUP(free_ptr) char *path = str_fmt("%s/%s", dir, file);
	CLEANUP(free_ptr) char *text = read_text(path, &ignored);
	size_t key_len = strlen(key);
	char *rest = NULL;

	for (char *line = text ? strtok_r(text, "\n", &rest) : NULL; line;
		line = strtok_r(NULL, "\n", &rest)) {
		if (!key_len)
			return strtoll(line, NULL, 10);
		if (strncmp(line, key, key_len) == 0 && line[key_len] == ' ')
			return strtoll(line + key_len, NULL, 10);
	}
	return 0;
}

void cgroup_count(const struct cgroup *g, struct cgroup_counts *out)
{
	const char *memory = g->dirs[CGROUP_MEMORY];
	const char *pids = g->dirs[g->unified ? CGROUP_MEMORY : CGROUP_PIDS];

	*out = (struct cgroup_counts){ 0 };
	if (memory) {
		out->oom_kills = read_count(memory,
			g->unified ? "memory.events" : "memory.oom_control", "oom_kill");
		out->peak_bytes = read_count(memory,
			g->unified ? "memory.peak" : "memory.max_usage_in_bytes", "");
	}
	if (pids)
		out->pids_refused = read_count(pids, "pids.events", "max");
}

/* ---- killing and removing ---- */

static int each_in(const char *dir, cgroup_member *member, void *arg, struct err *e)
{
	struct err read_e;
	CLEANUP(free_ptr) char *path = str_fmt("%s/cgroup.procs", dir);
	CLEANUP(free_ptr) char *text = read_text(path, &read_e);
	char *rest = NULL;

	if (!text && read_e.code == ERR_NOT_FOUND)
		return 0;
	if (!text)
		return err_set(e, read_e.code, "%s", read_e.text);
	for (char *line = strtok_r(text, "\n", &rest); line;
		line = strtok_r(NULL, "\n", &rest)) {
		pid_t pid = (pid_t)strtol(line, NULL, 10);

		/* 0 is a process outside our pid namespace: not ours to touch. */
		if (pid > 0 && pid != getpid() && member(pid, arg, e) < 0)
			return err_wrap(e, "%s", dir);
	}
	return 0;
}

int cgroup_each(const struct cgroup *g, cgroup_member *member, void *arg, struct err *e)
{
	return g->dirs[CGROUP_MEMORY] ? each_in(g->dirs[CGROUP_MEMORY], member, arg, e)
				      : 0;
}

static int kill_one(pid_t pid, void *alive, struct err *e)
{
	(*(size_t *)alive)++;
	if (kill(pid, SIGKILL) < 0 && errno != ESRCH)
		return err_sys(e, "kill %d", pid);
	return 0;
}

static int kill_all(const struct cgroup *g, size_t *alive, struct err *e)
{
	*alive = 0;
	for (size_t i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (g->dirs[i] && each_in(g->dirs[i], kill_one, alive, e) < 0)
			return -1;
	}
	return 0;
}

/* Its members may fork while they are counted, and take a moment to die. */
int cgroup_empty(const struct cgroup *g, int wait_ms, struct err *e)
{
	int64_t until = clock_boot_ns() + wait_ms * NS_PER_MS;
	size_t alive;

	for (;;) {
		if (kill_all(g, &alive, e) < 0)
			return -1;
		if (!alive)
			return 0;
		if (clock_boot_ns() > until)
			return err_set(e, ERR_UNAVAILABLE,
				"%zu processes of the run do not end", alive);
		poll(NULL, 0, KILL_RETRY_MS);
	}
}

static int remove_dir(const char *dir, struct err *e)
{
	if (rmdir(dir) == 0 || errno == ENOENT)
		return 0;
	if (errno == EBUSY)
		return err_set(e, ERR_UNAVAILABLE, "%s still holds a process", dir);
	return err_sys(e, "remove %s", dir);
}

/* The folder that all runs share goes with the last of them.  Not on version 2, where it
 * hands controllers down, and not where a runtime makes it, which would not try again. */
static void remove_shared(const struct cgroup *g, const char *dir)
{
	CLEANUP(free_ptr) char *parent = xstrdup(dir);

	*strrchr(parent, '/') = '\0';
	if (!g->unified && !g->other_count && rmdir(parent) < 0)
		errno = 0; /* in use, or gone */
}

int cgroup_remove(const struct cgroup *g, struct err *e)
{
	for (size_t i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (!g->dirs[i])
			continue;
		if (remove_dir(g->dirs[i], e) < 0)
			return -1;
		remove_shared(g, g->dirs[i]);
	}
	for (size_t i = 0; i < g->other_count; i++) {
		if (remove_dir(g->others[i], e) < 0)
			return -1;
	}
	return 0;
}

/* ---- preparing version 2 ---- */

/* A group that hands controllers down may hold no process, but for the root. */
static int move_into_supervisor(const char *own, struct err *e)
{
	CLEANUP(free_ptr) char *supervisor = str_fmt("%s/" SUPERVISOR, own);
	CLEANUP(free_ptr) char *procs = str_fmt("%s/cgroup.procs", own);
	CLEANUP(free_ptr) char *text = NULL;
	char *rest = NULL;

	if (mkdir(supervisor, 0755) < 0 && errno != EEXIST)
		return err_sys(e, "make %s", supervisor);
	text = read_text(procs, e);
	if (!text)
		return -1;
	for (char *line = strtok_r(text, "\n", &rest); line;
		line = strtok_r(NULL, "\n", &rest)) {
		struct err move_e;

		/* One that ended meanwhile is gone, which is as good. */
		if (file_tell(supervisor, "cgroup.procs", line, &move_e) < 0 &&
			move_e.sys != ESRCH)
			return err_set(e, move_e.code, "%s", move_e.text);
	}
	return 0;
}

static int hand_down(const char *dir, struct err *e)
{
	static const enum cgroup_controller needed[] = { CGROUP_MEMORY, CGROUP_PIDS,
		CGROUP_CPU };

	for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++) {
		CLEANUP(free_ptr)
		char *text = str_fmt("+%s", controller_names[needed[i]]);

		if (file_tell(dir, "cgroup.subtree_control", text, e) < 0)
			return err_wrap(e, "control group controller %s",
				controller_names[needed[i]]);
	}
	return 0;
}

int cgroup_prepare(struct err *e)
{
	if (!is_unified())
		return 0;

	CLEANUP(free_ptr) char *own = own_dir_v2(e);
	if (!own)
		return -1;
	if (strcmp(own, ROOT) != 0 && move_into_supervisor(own, e) < 0)
		return -1;
	if (hand_down(own, e) < 0)
		return -1;

	CLEANUP(free_ptr) char *parent = str_fmt("%s/" PARENT, own);
	if (mkdir(parent, 0755) < 0 && errno != EEXIST)
		return err_sys(e, "make %s", parent);
	return hand_down(parent, e);
}

int cgroup_prepare_dmem(struct err *e)
{
	if (!is_unified())
		return err_set(e, ERR_UNSUPPORTED,
			"control groups of version 1 have no controller dmem");
	CLEANUP(free_ptr) char *own = own_dir_v2(e);
	if (!own || dmem_hand_down(ROOT, own, e) < 0)
		return -1;
	CLEANUP(free_ptr) char *parent = str_fmt("%s/" PARENT, own);
	return dmem_hand_down(ROOT, parent, e);
}

char *cgroup_dmem_regions(void)
{
	struct err none;
	CLEANUP(free_ptr) char *own = is_unified() ? own_dir_v2(&none) : NULL;
	CLEANUP(free_ptr) char *parent = own ? str_fmt("%s/" PARENT, own) : NULL;

	return parent ? dmem_regions(ROOT, parent) : NULL;
}
