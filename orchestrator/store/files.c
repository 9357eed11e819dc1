/* files.c - a thread that does file work in the order in which it was asked. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "files.h"

#include <errno.h>
#include <signal.h>

static void tasks_free(struct list *tasks)
{
	list_each_safe(it, tasks)
	{
		struct file_task *task = list_entry(it, struct file_task, link);

		list_remove(it);
		task->type->free(task);
	}
}

/* The next task; NULL when all is done and the worker is stopping. */
static struct file_task *next_task(struct files *files)
{
	struct list *first;

	pthread_mutex_lock(&files->lock);
	while (list_empty(&files->in) && !files->stopping)
		pthread_cond_wait(&files->more, &files->lock);
	first = list_first(&files->in);
	if (first)
		list_remove(first);
	pthread_mutex_unlock(&files->lock);
	return first ? list_entry(first, struct file_task, link) : NULL;
}

static void hand_back(struct files *files, struct file_task *task)
{
	pthread_mutex_lock(&files->lock);
	list_append(&files->out, &task->link);
	pthread_mutex_unlock(&files->lock);
	files->wake(files->ctx);
}

static void fail(struct files *files, const struct err *why)
{
	pthread_mutex_lock(&files->lock);
	files->failed = *why;
	pthread_mutex_unlock(&files->lock);
	files->wake(files->ctx);
}

static void *thread_main(void *ctx)
{
	struct files *files = ctx;
	struct file_task *task;

	while ((task = next_task(files))) {
		struct err e = { 0 };

		if (task->type->run(task, &e) < 0) {
			task->type->free(task);
			fail(files, &e);
			return NULL; /* what else was asked is freed by files_fini() */
		}
		hand_back(files, task);
	}
	return NULL;
}

int files_start(struct files *files, const char *name, struct err *e)
{
	sigset_t all, before;

	pthread_mutex_init(&files->lock, NULL);
	pthread_cond_init(&files->more, NULL);
	list_init(&files->in);
	list_init(&files->out);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int rc = pthread_create(&files->thread, NULL, thread_main, files);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc != 0) {
		errno = rc;
		return err_sys(e, "start the thread %s", name);
	}
	pthread_setname_np(files->thread, name);
	files->running = true;
	return 0;
}

void files_ask(struct files *files, struct file_task *task)
{
	pthread_mutex_lock(&files->lock);
	list_append(&files->in, &task->link);
	pthread_cond_signal(&files->more);
	pthread_mutex_unlock(&files->lock);
}

/* The next outcome; NULL when there is none. */
static struct file_task *next_outcome(struct files *files, struct err *failed)
{
	struct list *first;

	pthread_mutex_lock(&files->lock);
	first = list_first(&files->out);
	if (first)
		list_remove(first);
	*failed = files->failed;
	pthread_mutex_unlock(&files->lock);
	return first ? list_entry(first, struct file_task, link) : NULL;
}

void files_deliver(struct files *files)
{
	struct file_task *task;
	struct err failed;

	while ((task = next_outcome(files, &failed))) {
		task->type->deliver(task);
		task->type->free(task);
	}
	if (failed.code != ERR_NONE && !files->dead) {
		files->dead = true;
		files->on_failed(files->ctx, &failed);
	}
}

void files_stop(struct files *files)
{
	if (!files->running)
		return;
	pthread_mutex_lock(&files->lock);
	files->stopping = true;
	pthread_cond_signal(&files->more);
	pthread_mutex_unlock(&files->lock);
	pthread_join(files->thread, NULL);
	files->running = false;
}

void files_fini(struct files *files)
{
	if (!files->in.next)
		return;
	files_stop(files);
	tasks_free(&files->in);
	tasks_free(&files->out);
	pthread_cond_destroy(&files->more);
	pthread_mutex_destroy(&files->lock);
}

const struct err *file_task_failed(const struct file_task *task)
{
	return task->failed.code == ERR_NONE ? NULL : &task->failed;
}

bool file_room_ran_out(const struct err *e)
{
	return e->code == ERR_EXHAUSTED || e->sys == EFBIG;
}
