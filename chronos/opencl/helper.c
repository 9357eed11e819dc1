/* helper.c - passes the lease on for a program that launches and never waits. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "partition.h"

#include <pthread.h>
#include <signal.h>
#include <time.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static bool runs;
static uint32_t sleeps; /* 1: it must be woken by the next launch */
static uint64_t launches;

enum { PAUSE_MS = 5, IDLE_ROUNDS = 100 };

static void sleep_till_launch(uint64_t seen)
{
	pthread_mutex_lock(&lock);
	__atomic_store_n(&sleeps, 1, __ATOMIC_SEQ_CST);
	while (__atomic_load_n(&launches, __ATOMIC_SEQ_CST) == seen)
		pthread_cond_wait(&wake, &lock);
	__atomic_store_n(&sleeps, 0, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&lock);
}

static void settle(void)
{
	struct chronos_attachment *a = partition_joined();

	if (a)
		chronos_settle(a);
}

static void *help(void *arg)
{
	const struct timespec pause = { 0, PAUSE_MS * 1000000 };
	uint64_t seen = 0;
	unsigned idle = 0;

	(void)arg;
	for (;;) {
		nanosleep(&pause, NULL);
		settle();
		uint64_t now = __atomic_load_n(&launches, __ATOMIC_SEQ_CST);
		idle = now == seen ? idle + 1 : 0;
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
		runs = pthread_create(&thread, NULL, help, NULL) == 0;
		pthread_sigmask(SIG_SETMASK, &old, NULL);
		if (runs)
			pthread_detach(thread);
	}
	pthread_mutex_unlock(&lock);
}

void helper_wake(void)
{
	if (!__atomic_load_n(&runs, __ATOMIC_RELAXED))
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
