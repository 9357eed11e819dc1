/* child.h - programs that do what is measured, in a partition or in none. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Such a program says "ready" on a line, and then does one piece of work for each line that
 * it reads: it answers by the values that it measured, on one line.  At the end of what it
 * reads it ends, with 0.
 */
#pragma once

#include "bench.h"

#include <limits.h>
#include <stdio.h>
#include <sys/types.h>

struct child {
	pid_t pid;
	FILE *to, *from;
};

enum { CHILD_ARGS_MAX = 4 };

/* Start a program that lies beside this one, by `chronos run` where p is not NULL.
 * args end with NULL, at most CHILD_ARGS_MAX.  Back at once; child_await() waits until it
 * is ready. */
struct child child_start(const struct bench *b, const struct chronos_partition *p,
	const char *name, const char *const args[]);
void child_await(struct child *c);
/* Have it work; child_answer() waits for its n values. */
void child_work(struct child *c);
void child_answer(struct child *c, double values[], size_t n);
/* Wait for its end, which must be a good one. */
void child_end(struct child *c);

/* How long a command takes, from before its start to after its end, which must be a good
 * one.  What it prints is thrown away. */
double child_command_ms(
	const char *program, const char *const argv[], char *const environment[]);
/* Where something of the build lies, from the folder of this program; ends the bench when
 * it is not there. */
void child_find(char path[PATH_MAX], const char *name);
