/* child.c - programs that do what is measured, in a partition or in none. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "child.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "str.h"

extern char **environ;

void child_find(char path[PATH_MAX], const char *name)
{
	char here[PATH_MAX];

	if (!realpath("/proc/self/exe", here) ||
		!str_put(path, PATH_MAX, "%s/%s", dirname(here), name))
		die("find what is to be measured", name);
	if (access(path, R_OK) < 0)
		die("measure what is not built", path);
}

static void make_pipe(int fds[2])
{
	if (pipe2(fds, O_CLOEXEC) < 0)
		die("start a program", "no pipe can be made");
}

static FILE *open_end(int fd, const char *how)
{
	FILE *f = fdopen(fd, how);

	if (!f)
		die("start a program", "its pipe cannot be used");
	return f;
}

struct child child_start(const struct bench *b, const struct chronos_partition *p,
	const char *name, const char *const args[])
{
	const char *argv[4 + 1 + CHILD_ARGS_MAX + 1] = { b->program, "run",
		p ? p->id : "", "--" };
	size_t first = p ? 0 : 4, n = 4;
	posix_spawn_file_actions_t ends;
	char path[PATH_MAX];
	int to[2], from[2];
	struct child c;

	child_find(path, name);
	argv[n++] = path;
	for (size_t i = 0; args[i]; i++)
		argv[n++] = args[i];
	make_pipe(to);
	make_pipe(from);
	posix_spawn_file_actions_init(&ends);
	posix_spawn_file_actions_adddup2(&ends, to[0], STDIN_FILENO);
	posix_spawn_file_actions_adddup2(&ends, from[1], STDOUT_FILENO);
	if (posix_spawn(&c.pid, argv[first], &ends, NULL, (char *const *)(argv + first),
		    environ) != 0)
		die("start", argv[first]);
	posix_spawn_file_actions_destroy(&ends);
	close(to[0]);
	close(from[1]);
	c.to = open_end(to[1], "w");
	c.from = open_end(from[0], "r");
	return c;
}

void child_await(struct child *c)
{
	char line[16];

	if (!fgets(line, sizeof line, c->from) || strcmp(line, "ready\n") != 0)
		die("measure", "a program that was started is not ready");
}

void child_work(struct child *c)
{
	if (fputs("work\n", c->to) < 0 || fflush(c->to) != 0)
		die("measure", "a program has ended");
}

void child_answer(struct child *c, double values[], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (fscanf(c->from, "%lf", &values[i]) != 1)
			die("measure", "a program gave no answer");
	}
}

void child_end(struct child *c)
{
	int status;

	fclose(c->to);
	if (waitpid(c->pid, &status, 0) != c->pid || status != 0)
		die("measure", "a program failed");
	fclose(c->from);
}

double child_command_ms(
	const char *program, const char *const argv[], char *const environment[])
{
	posix_spawn_file_actions_t quiet;
	int status;
	pid_t pid;

	posix_spawn_file_actions_init(&quiet);
	posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	uint64_t begun_ns = now_ns();
	if (posix_spawn(&pid, program, &quiet, NULL, (char *const *)argv, environment) !=
		0)
		die("start", program);
	if (waitpid(pid, &status, 0) != pid || status != 0)
		die("measure a command that failed", argv[0]);
	double ms = (double)(now_ns() - begun_ns) / (double)MS;
	posix_spawn_file_actions_destroy(&quiet);
	return ms;
}
