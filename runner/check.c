/* check.c - --check: runs one empty container, to see that this machine can. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bundle.h"
#include "cleanup.h"
#include "clock.h"
#include "file.h"
#include "id.h"
#include "procs.h"
#include "str.h"

#define CHECK_S        20
#define CHECK_MEMORY   ((int64_t)256 << 20)
#define CHECK_TMP      ((int64_t)16 << 20)
#define CHECK_PIDS     64
#define CHECK_UID_BASE UINT32_C(1879048192) /* far above what anybody hands out */

struct check {
	char folder[64]; /* "" once it is removed */
	int dirfd;
	struct runtime runtime;
	struct cgroup cgroup;
	struct container container;
};

static void check_undo(struct check *c)
{
	struct err ignored;

	if (c->container.pidfd >= 0) {
		process_signal(c->container.pidfd, SIGKILL);
		waitpid(c->container.init, NULL, 0);
	}
	container_close(&c->container);
	if (cgroup_empty(&c->cgroup, CHECK_S * 1000, &ignored) < 0 ||
		cgroup_remove(&c->cgroup, &ignored) < 0)
		fprintf(stderr, "%s\n", ignored.text);
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	cgroup_fini(&c->cgroup);
	runtime_fini(&c->runtime);
	close_fd(&c->dirfd);
	if (*c->folder && tree_remove(AT_FDCWD, c->folder, &ignored) < 0)
		fprintf(stderr, "%s\n", ignored.text);
}

static int write_config(struct check *c, const char *root, const char *id, struct err *e)
{
	static const char *const args[] = { JOB_PROGRAM_INIT, "/opt/cumulus/filter",
		"/usr/bin/python3", "-I", "-S", "-B", "-c", "pass", NULL };
	static const char *const env[] = { "PATH=/usr/bin:/bin", NULL };
	const struct cgroup_limits limits = {
		.memory_bytes = CHECK_MEMORY, .pids = CHECK_PIDS, .cpus = 1
	};
	CLEANUP(free_ptr) char *group = str_fmt("cumulus/%s", id);
	const struct bundle b = {
		.root = root,
		.uid_base = CHECK_UID_BASE,
		.tmp_bytes = CHECK_TMP,
		.args = args,
		.env = env,
		.cwd = "/",
		.cgroup_path = c->runtime.runc ? group : NULL,
		.limits = &limits,
	};
	CLEANUP(close_fd) int bundle = dir_open(c->dirfd, RUN_FOLDER_BUNDLE, 0700, e);

	if (bundle < 0 || bundle_write(bundle, &b, e) < 0)
		return -1;
	if (cgroup_plan(&c->cgroup, id, c->runtime.runc, e) < 0)
		return -1;
	return c->runtime.runc ? 0 : cgroup_make(&c->cgroup, &limits, e);
}

/* "user.max_user_namespaces is 0", where the runtime only says "No space left". */
static int look_at_namespaces(struct err *e)
{
	CLEANUP(buf_fini) struct buf text = { 0 };

	if (file_read(AT_FDCWD, "/proc/sys/user/max_user_namespaces", 32, &text, NULL) <
		0)
		return 0;
	buf_add(&text, "", 1);
	if (strtoll((char *)text.data, NULL, 10) > 0)
		return 0;
	return err_set(e, ERR_UNSUPPORTED,
		"user namespaces are switched off (sysctl user.max_user_namespaces is "
		"0)");
}

static int wait_for_end(struct check *c, struct err *e)
{
	struct pollfd gone = { c->container.pidfd, POLLIN, 0 };
	struct exit_record exit;
	struct verdict v;

	if (poll(&gone, 1, CHECK_S * 1000) == 0)
		return err_set(
			e, ERR_TIMEOUT, "the container did not end in %d s", CHECK_S);
	if (exit_record_read(c->dirfd, &exit, e) < 0)
		return -1;
	if (exit.kind == EXIT_EXITED && exit.n == 0)
		return 0;

	const struct ending ending = { .exit = exit };
	verdict_of(&ending, &v);
	return err_set(e, ERR_UNSUPPORTED, "%s", v.message);
}

int runner_check(const struct options *o, struct err *e)
{
	char id[ID_SIZE];
	CLEANUP(check_undo)
	struct check c = {
		.dirfd = -1,
		.container = { .pidfd = -1,
			.out = -1,
			.err = -1,
			.channel = -1,
			.lifeline = -1 },
	};

	if (geteuid() != 0)
		return err_set(e, ERR_DENIED,
			"containers are made by root, and this is user %u", geteuid());
	if (look_at_namespaces(e) < 0 || container_prepare(e) < 0 ||
		runtime_find(&c.runtime, o->runtime, e) < 0)
		return -1;

	char folder[] = "/tmp/cumulus-check.XXXXXX";
	if (!mkdtemp(folder))
		return err_sys(e, "make %s", folder);
	str_put(c.folder, sizeof(c.folder), "%s", folder);
	c.dirfd = runfolder_open(AT_FDCWD, c.folder, e);
	id_make(id, 'c');
	if (c.dirfd < 0 || write_config(&c, o->root_folder, id, e) < 0)
		return -1;

	const struct patience patience = { clock_boot_ns() + CHECK_S * NS_PER_S, -1, NULL,
		NULL };
	const struct container_start start = { &c.runtime, &c.cgroup, c.dirfd, c.folder,
		id, &patience };
	if (container_start(&c.container, &start, e) < 0)
		return -1;
	return wait_for_end(&c, e);
}
