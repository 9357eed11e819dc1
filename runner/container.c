/* container.c - brings one container to life by an OCI runtime, and holds its ends. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "container.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/close_range.h>
#include <linux/magic.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"
#include "clock.h"
#include "file.h"
#include "procs.h"
#include "runclean.h"
#include "str.h"
#include "xalloc.h"

#define UNIFIED    "/sys/fs/cgroup/unified"
#define LOG_MAX    ((size_t)65536)
#define PID_MAX    ((size_t)32)
#define FIRST_FREE 16 /* ends lie above the numbers that the container gets */

/* What the container finds as 0, 1, 2, ...: init.c says what for. */
enum end {
	END_STDIN,
	END_STDOUT,
	END_STDERR,
	END_CHANNEL,
	END_EXIT,
	END_LIFELINE,
	END_COUNT
};

/* ---- the runtime ---- */

static char *find_program(const char *name)
{
	static const char *const folders[] = { "/usr/local/sbin", "/usr/local/bin",
		"/usr/sbin", "/usr/bin", "/sbin", "/bin" };

	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
		CLEANUP(free_ptr) char *path = str_fmt("%s/%s", folders[i], name);

		if (access(path, X_OK) == 0)
			return take_ptr(&path);
	}
	return NULL;
}

int runtime_find(struct runtime *r, const char *wanted, struct err *e)
{
	bool any = strcmp(wanted, "auto") == 0;

	*r = (struct runtime){ 0 };
	if (any || strcmp(wanted, "crun") == 0)
		r->path = find_program("crun");
	if (!r->path && (any || strcmp(wanted, "runc") == 0)) {
		r->path = find_program("runc");
		r->runc = true;
	}
	if (!r->path)
		return err_set(e, ERR_UNSUPPORTED,
			"no OCI runtime: %s is not installed (apt install crun)",
			any ? "neither crun nor runc" : wanted);
	return 0;
}

void runtime_fini(struct runtime *r)
{
	free(r->path);
	*r = (struct runtime){ 0 };
}

int container_prepare(struct err *e)
{
	struct statfs top, unified;

	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		return err_sys(e, "become a subreaper");
	if (unshare(CLONE_NEWNS) < 0)
		return err_sys(e, "make a mount namespace");
	/* Slave: what the host unmounts later goes here too, and is not kept busy. */
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return err_sys(e, "make mounts private");
	if (statfs("/sys/fs/cgroup", &top) == 0 && top.f_type == TMPFS_MAGIC &&
		statfs(UNIFIED, &unified) == 0 && unified.f_type == CGROUP2_SUPER_MAGIC &&
		umount2(UNIFIED, MNT_DETACH) < 0)
		return err_sys(e, "unmount " UNIFIED);
	return 0;
}

/* ---- waiting for a child ---- */

static int wait_ready(int pidfd, const struct patience *p, struct err *e)
{
	for (;;) {
		int64_t left = p->until_boot_ns - clock_boot_ns();
		struct pollfd polled[] = {
			{ pidfd, POLLIN, 0 },
			{ p->wake_fd, POLLIN, 0 },
		};
		/* Rounded up: a wait of 0 would spin through the last millisecond. */
		int n = left <= 0 ? 0
				  : poll(polled, 2,
					    (int)((left + NS_PER_MS - 1) / NS_PER_MS));

		if (n < 0 && errno != EINTR)
			return err_sys(e, "wait for a child");
		if (left <= 0)
			return err_set(e, ERR_TIMEOUT, "it took too long");
		if (n > 0 && polled[0].revents)
			return 0;
		if (n > 0 && polled[1].revents && p->give_up(p->arg))
			return err_set(e, ERR_CONFLICT, "given up");
	}
}

int child_wait(pid_t pid, const struct patience *p, int *status, struct err *e)
{
	CLEANUP(close_fd) int pidfd = process_open_child(pid);
	int rc = pidfd < 0 ? err_sys(e, "pidfd_open") : wait_ready(pidfd, p, e);

	if (rc < 0)
		kill(pid, SIGKILL);
	if (waitpid(pid, status, 0) < 0)
		return err_sys(e, "wait for a child");
	return rc;
}

/* ---- the ends ---- */

struct ends {
	int fds[END_COUNT];
};

static void ends_close(struct ends *ends)
{
	for (size_t i = 0; i < END_COUNT; i++)
		close_fd(&ends->fds[i]);
}

void container_close(struct container *c)
{
	close_fd(&c->pidfd);
	close_fd(&c->out);
	close_fd(&c->err);
	close_fd(&c->channel);
	close_fd(&c->lifeline);
}

/* Move a descriptor out of the way of the numbers below FIRST_FREE. */
static int move_up(int *fd, struct err *e)
{
	int up = fcntl(*fd, F_DUPFD_CLOEXEC, FIRST_FREE);

	if (up < 0)
		return err_sys(e, "duplicate a descriptor");
	close(*fd);
	*fd = up;
	return 0;
}

static int make_pipe(int *read_end, int *write_end, struct err *e)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(e, "make a pipe");
	*read_end = fds[0];
	*write_end = fds[1];
	return 0;
}

static int set_nonblocking(int fd, struct err *e)
{
	return fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ? err_sys(e, "fcntl") : 0;
}

/* crun gives the standard streams to the job's user, so /dev/null itself must never be one:
 * stdin is a pipe whose other end is closed. */
static int make_ends(struct container *c, struct ends *ends, int dirfd, struct err *e)
{
	int stdin_writer = -1, channel[2];

	if (make_pipe(&ends->fds[END_STDIN], &stdin_writer, e) < 0)
		return -1;
	close(stdin_writer);
	if (make_pipe(&c->out, &ends->fds[END_STDOUT], e) < 0 ||
		make_pipe(&c->err, &ends->fds[END_STDERR], e) < 0 ||
		make_pipe(&ends->fds[END_LIFELINE], &c->lifeline, e) < 0)
		return -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) < 0)
		return err_sys(e, "make a socket pair");
	c->channel = channel[0];
	ends->fds[END_CHANNEL] = channel[1];
	ends->fds[END_EXIT] = openat(dirfd, RUN_FILE_EXIT,
		O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (ends->fds[END_EXIT] < 0)
		return err_sys(e, "create exit");
	for (size_t i = 0; i < END_COUNT; i++) {
		if (move_up(&ends->fds[i], e) < 0)
			return -1;
	}
	if (set_nonblocking(c->out, e) < 0 || set_nonblocking(c->err, e) < 0)
		return -1;
	return set_nonblocking(c->channel, e);
}

/* ---- the start ---- */

static char **make_argv(const struct container_start *s)
{
	char **argv = xcalloc(20, sizeof(*argv));
	size_t n = 0;

	argv[n++] = xstrdup(s->runtime->path);
	argv[n++] = str_fmt("--root=%s/" RUN_FOLDER_BUNDLE "/oci", s->run_path);
	argv[n++] = str_fmt("--log=%s/" RUN_FOLDER_BUNDLE "/log", s->run_path);
	argv[n++] = xstrdup("--log-format=json");
	if (!s->runtime->runc)
		argv[n++] = xstrdup("--cgroup-manager=disabled");
	argv[n++] = xstrdup("run");
	argv[n++] = xstrdup("--detach");
	argv[n++] = str_fmt("--preserve-fds=%d", END_COUNT - END_CHANNEL);
	argv[n++] = str_fmt("--bundle=%s/" RUN_FOLDER_BUNDLE, s->run_path);
	argv[n++] = str_fmt("--pid-file=%s/" RUN_FOLDER_BUNDLE "/pid", s->run_path);
	argv[n++] = xstrdup(s->id);
	return argv;
}

static void argv_free(char ***argv)
{
	for (size_t i = 0; *argv && (*argv)[i]; i++)
		free((*argv)[i]);
	free(*argv);
}

/* In the child, which has one thread; never returns. */
static void exec_runtime(char **argv, const struct ends *ends)
{
	static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
	char *environment[] = { path, NULL };
	sigset_t none;

	for (int i = 0; i < END_COUNT; i++) {
		if (dup2(ends->fds[i], i) < 0)
			_exit(127);
	}
	close_range(END_COUNT, ~0u, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	execve(argv[0], argv, environment);
	_exit(127);
}

/* The last error of the runtime's log, or why there is none. */
static int runtime_error(int dirfd, int status, struct err *e)
{
	CLEANUP(buf_fini) struct buf bytes = { 0 };
	char words[400] = "";
	char *rest = NULL;

	if (file_read(dirfd, RUN_FOLDER_BUNDLE "/log", LOG_MAX, &bytes, NULL) < 0)
		buf_clear(&bytes);
	CLEANUP(free_ptr) char *text = buf_take_str(&bytes);
	for (char *line = strtok_r(text, "\n", &rest); line;
		line = strtok_r(NULL, "\n", &rest)) {
		json_t *entry = json_loads(line, 0, NULL);
		const char *level = json_string_value(json_object_get(entry, "level"));
		const char *msg = json_string_value(json_object_get(entry, "msg"));

		if (msg && level && strcmp(level, "error") == 0)
			str_join(words, sizeof(words), msg, "", "");
		json_decref(entry);
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == CGROUP_JOIN_FAILED && !*words)
		return err_set(
			e, ERR_INVALID, "container: cannot join its control group");
	if (*words)
		return err_set(e, ERR_INVALID, "container: %s", words);
	return err_set(e, ERR_INVALID, "container: the runtime ended with status %d",
		WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* Init is a child of ours by now and not reaped, so its pid stays its own. */
static int adopt_init(struct container *c, int dirfd, struct err *e)
{
	CLEANUP(buf_fini) struct buf text = { 0 };
	uint64_t pid;

	if (file_read(dirfd, RUN_FOLDER_BUNDLE "/pid", PID_MAX, &text, e) < 0)
		return -1;
	buf_add(&text, "", 1);
	text.data[strcspn((char *)text.data, "\n")] = '\0';
	if (parse_u64((char *)text.data, 2, INT32_MAX, &pid, e) < 0)
		return err_wrap(e, "the runtime's pid file");
	c->init = (pid_t)pid;
	c->pidfd = process_open_child(c->init);
	if (c->pidfd < 0)
		return err_sys(e, "pidfd_open of the container's init");
	c->init_start_time = process_start_time(c->init);
	return 0;
}

int container_start(struct container *c, const struct container_start *s, struct err *e)
{
	CLEANUP(ends_close) struct ends ends = { .fds = { -1, -1, -1, -1, -1, -1 } };
	CLEANUP(container_close)
	struct container made = {
		.pidfd = -1, .out = -1, .err = -1, .channel = -1, .lifeline = -1
	};
	CLEANUP(argv_free) char **argv = make_argv(s);
	int status;

	if (make_ends(&made, &ends, s->dirfd, e) < 0)
		return -1;

	pid_t pid = s->runtime->runc ? fork() : cgroup_fork(s->cgroup);
	if (pid < 0)
		return err_sys(e, "fork");
	if (pid == 0)
		exec_runtime(argv, &ends);
	ends_close(&ends);
	if (child_wait(pid, s->patience, &status, e) < 0)
		return -1;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return runtime_error(s->dirfd, status, e);
	if (adopt_init(&made, s->dirfd, e) < 0)
		return -1;
	*c = made;
	made = (struct container){
		.pidfd = -1, .out = -1, .err = -1, .channel = -1, .lifeline = -1
	};
	return 0;
}
