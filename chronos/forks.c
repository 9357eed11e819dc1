/* forks.c - what a forked child does not have in common with its parent. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "forks.h"

#include <pthread.h>
#include <stddef.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct fork_watch *all; /* guarded by lock */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void before_fork(void)
{
	pthread_mutex_lock(&lock);
}

static void in_parent(void)
{
	pthread_mutex_unlock(&lock);
}

static void in_child(void)
{
	for (struct fork_watch *w = all; w; w = w->next)
		w->in_child(w);
	pthread_mutex_init(&lock, NULL);
}

static void watch_forks(void)
{
	pthread_atfork(before_fork, in_parent, in_child);
}

void chronos_forks_watch(struct fork_watch *w, void (*in_child_do)(struct fork_watch *w))
{
	pthread_once(&once, watch_forks);
	w->in_child = in_child_do;
	pthread_mutex_lock(&lock);
	w->next = all;
	w->link = &all;
	if (all)
		all->link = &w->next;
	all = w;
	pthread_mutex_unlock(&lock);
}

void chronos_forks_unwatch(struct fork_watch *w)
{
	pthread_mutex_lock(&lock);
	*w->link = w->next;
	if (w->next)
		w->next->link = w->link;
	pthread_mutex_unlock(&lock);
}
