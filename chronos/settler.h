/* settler.h - a thread of a layer's, which looks around while a program launches. */
/* SPDX-License-Identifier: Apache-2.0 */
/* For programs that launch and never wait: somebody has to pass their lease on.  The library
 * itself starts no thread; a layer has one settler, static. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct settler {
	uint64_t pause_ns; /* between two looks */
	unsigned
		idle_rounds; /* so many looks without a launch: it sleeps until the next */
	void (*begin)(void); /* first thing in the thread; NULL: nothing */
	bool (*look)(void);  /* true: there is work in flight, go on looking */

	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool runs;
	uint32_t sleeps; /* 1: the next launch must wake it */
	uint64_t launches;
};

#define SETTLER_LOCKS .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER

/* For each launch: starts the thread at the first, wakes it when it sleeps.  Thread: any. */
void chronos_settler_wake(struct settler *s);
/* In a forked child, which has no such thread. */
void chronos_settler_in_child(struct settler *s);
