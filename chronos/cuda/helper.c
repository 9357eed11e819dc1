/* helper.c - looks around each millisecond while work is in flight. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "partition.h"
#include "streams.h"

#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <time.h>

enum { PAUSE_NS = 1000000, IDLE_ROUNDS = 200 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static bool runs;
static uint32_t sleeps; /* 1: the next launch must wake it */
static uint64_t launches;

static void sleep_till_launch(uint64_t seen)
{
	pthread_mutex_lock(&lock);
	__atomic_store_n(&sleeps, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&launches, __ATOMIC_SEQ_CST) == seen)
		pthread_cond_wait(&wake, &lock);
	__atomic_store_n(&sleeps, 0, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&lock);
}

static bool look_around(void)
{
	bool busy = false;
	struct device *d;

	for (size_t i = 0; (d = partition_nth_device(i)); i++) {
		if (d->whole)
			continue;
		busy |= streams_poll(d);
		chronos_settle(d->attachment);
	}
	return busy;
}

static void *help(void *arg)
{
	const struct timespec pause = { 0, PAUSE_NS };
	uint64_t seen = 0;
	unsigned idle = 0;

	(void)arg;
	/* Captures of the program's threads are none of this one's business. */
	(void)streams_begin_unsafe();
	for (;;) {
		nanosleep(&pause, NULL);
		bool busy = look_around();
		uint64_t now = __atomic_load_n(&launches, __ATOMIC_SEQ_CST);
		idle = busy || now != seen ? 0 : idle + 1;
		seen = now;
		if (idle >= IDLE_ROUNDS)
			sleep_till_launch(seen);
	}
	return NULL;
}

/* Signals are the program's: none may end up here. */
static void start(void)
{
	sigset_t all_signals, old;
	pthread_t thread;

	pthread_mutex_lock(&lock);
	if (!runs) {
		sigfillset(&all_signals);
		pthread_sigmask(SIG_SETMASK, &all_signals, &old);
		bool started = pthread_create(&thread, NULL, help, NULL) == 0;
		pthread_sigmask(SIG_SETMASK, &old, NULL);
		if (started)
			pthread_detach(thread);
		__atomic_store_n(&runs, started, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&lock);
}

void helper_wake(void)
{
	if (!__atomic_load_n(&runs, __ATOMIC_ACQUIRE))
		start();
	__atomic_fetch_add(&launches, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&sleeps, __ATOMIC_SEQ_CST)) {
		pthread_mutex_lock(&lock);
		pthread_cond_signal(&wake);
		pthread_mutex_unlock(&lock);
	}
}

void helper_in_child(void)
{
	runs = false;
	sleeps = 0;
	pthread_mutex_init(&lock, NULL);
	pthread_cond_init(&wake, NULL);
}
