/* settler.c - a thread of a layer's, which looks around while a program launches. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "settler.h"

#include <signal.h>
#include <time.h>

static void sleep_till_launch(struct settler *s, uint64_t seen)
{
	pthread_mutex_lock(&s->lock);
	__atomic_store_n(&s->sleeps, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&s->launches, __ATOMIC_SEQ_CST) == seen)
		pthread_cond_wait(&s->wake, &s->lock);
	__atomic_store_n(&s->sleeps, 0, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&s->lock);
}

static void *run(void *arg)
{
	struct settler *s = arg;
	const struct timespec pause = { 0, (long)s->pause_ns };
	uint64_t seen = 0;
	unsigned idle = 0;

	if (s->begin)
		s->begin();
	for (;;) {
		nanosleep(&pause, NULL);
		bool busy = s->look();
		uint64_t now = __atomic_load_n(&s->launches, __ATOMIC_SEQ_CST);
		idle = busy || now != seen ? 0 : idle + 1;
		seen = now;
		if (idle >= s->idle_rounds)
			sleep_till_launch(s, seen);
	}
	return NULL;
}

/* Signals are the program's: none may end up here. */
static void start(struct settler *s)
{
	sigset_t all_signals, old;
	pthread_t thread;

	pthread_mutex_lock(&s->lock);
	if (!s->runs) {
		sigfillset(&all_signals);
		pthread_sigmask(SIG_SETMASK, &all_signals, &old);
		bool started = pthread_create(&thread, NULL, run, s) == 0;
		pthread_sigmask(SIG_SETMASK, &old, NULL);
		if (started)
			pthread_detach(thread);
		__atomic_store_n(&s->runs, started, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&s->lock);
}

void chronos_settler_wake(struct settler *s)
{
	if (!__atomic_load_n(&s->runs, __ATOMIC_ACQUIRE))
		start(s);
	__atomic_fetch_add(&s->launches, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&s->sleeps, __ATOMIC_SEQ_CST)) {
		pthread_mutex_lock(&s->lock);
		pthread_cond_signal(&s->wake);
		pthread_mutex_unlock(&s->lock);
	}
}

void chronos_settler_in_child(struct settler *s)
{
	s->runs = false;
	s->sleeps = 0;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->wake, NULL);
}
