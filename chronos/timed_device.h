/* timed_device.h - a device without hardware, for tests and the bench of the lease. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels are intervals on one timeline that processes share: one after the other, in the
 * order of their launch.  To wait for one is to sleep; no processor is used.
 */
#pragma once

#include "chronos.h"

#include <errno.h>
#include <sys/mman.h>
#include <time.h>

struct timed_device {
	uint64_t free_at_ns; /* CLOCK_MONOTONIC: when all that was launched is done */
};

/* One process's use of it, through its attachment. */
struct timed_queue {
	struct timed_device *device;
	struct chronos_attachment *a;
	uint64_t last_end_ns; /* of what it launched */
	uint32_t launched;    /* and not waited for */
	uint64_t got_ns;      /* of the device */
	uint64_t longest_wait_ns;
};

static inline uint64_t timed_now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* NULL when there is no memory. */
static inline struct timed_device *timed_device_new(void)
{
	void *at = mmap(NULL, sizeof(struct timed_device), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? NULL : at;
}

static inline void timed_device_free(struct timed_device *d)
{
	munmap(d, sizeof *d);
}

static inline void timed_wait(struct timed_queue *q)
{
	const struct timespec until = { (time_t)(q->last_end_ns / 1000000000),
		(long)(q->last_end_ns % 1000000000) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
	if (q->a)
		chronos_launch_done(q->a, q->launched);
	q->launched = 0;
}

/* For struct chronos_joining. */
static inline void timed_drain(void *queue)
{
	timed_wait(queue);
}

/* With q->a NULL nobody is asked. */
static inline int timed_launch(
	struct timed_queue *q, uint64_t length_ns, struct chronos_error *e)
{
	uint64_t asked_ns = timed_now_ns();

	if (q->a && chronos_launch(q->a, e) < 0)
		return -1;
	uint64_t now_ns = timed_now_ns(), waited_ns = now_ns - asked_ns, end_ns;
	if (waited_ns > q->longest_wait_ns)
		q->longest_wait_ns = waited_ns;
	uint64_t free_at_ns = __atomic_load_n(&q->device->free_at_ns, __ATOMIC_SEQ_CST);
	do {
		end_ns = (free_at_ns > now_ns ? free_at_ns : now_ns) + length_ns;
	} while (!__atomic_compare_exchange_n(&q->device->free_at_ns, &free_at_ns, end_ns,
		false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST));
	q->last_end_ns = end_ns;
	q->got_ns += length_ns;
	q->launched++;
	return 0;
}
