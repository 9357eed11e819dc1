/* files.h - a thread that does file work in the order in which it was asked.
 *
 * Thread: loop; the tasks run on the worker's.  Inside this module only.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

#include "err.h"
#include "list.h"

struct file_task;

struct file_task_type {
	/* On the worker's thread.  What concerns this task alone goes to task->failed and
	 * is a success; -1 ends all work: what was written cannot be trusted. */
	int (*run)(struct file_task *task, struct err *e);
	void (*deliver)(struct file_task *task); /* on the loop */
	void (*free)(struct file_task *task);
};

struct file_task {
	struct list link;
	const struct file_task_type *type;
	struct err failed;
};

struct files {
	void *ctx;
	void (*wake)(void *ctx);
	void (*on_failed)(void *ctx, const struct err *why);

	pthread_t thread;
	bool running;
	bool dead; /* on_failed was called */

	pthread_mutex_t lock;
	pthread_cond_t more;
	struct list in, out;
	bool stopping;
	struct err failed; /* code ERR_NONE: fine */
};

/* files is zeroed but for its callbacks.  name is a literal of at most 15 characters. */
int files_start(struct files *files, const char *name, struct err *e) MUST_CHECK;
/* Take a task. */
void files_ask(struct files *files, struct file_task *task);
void files_deliver(struct files *files);
/* Do what was asked and join. */
void files_stop(struct files *files);
/* Stop if need be; drop what was not delivered.  Fine when it was never started. */
void files_fini(struct files *files);

/* NULL when the task went well. */
const struct err *file_task_failed(const struct file_task *task);
/* Room ran out, on disk or of descriptors: the task fails, the files are as sound as
 * before. */
bool file_room_ran_out(const struct err *e);
