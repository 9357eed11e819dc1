/* contest.h - programs that want a device at once, and what each of them gets. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each is a process with a partition of its own that launches kernels of one length on a
 * timed device, waits for them, and again.  In the mode FREE nobody is asked.
 */
#pragma once

#include "bench.h"

enum { WORKERS_MAX = 64 };

struct worker {
	uint32_t hundredths;
	uint64_t kernel_ns;
	uint32_t ahead;  /* kernels launched before it waits; 0 is 1 */
	uint32_t device; /* 0: DEVICE */
	bool burst;
	bool on_both; /* its partition has OTHER_DEVICE too, */
	bool joins;   /* and this one has no partition but joins that of the one before */
};

/* A worker of that share and kernels so long; and what else it is. */
#define WORKER(HUNDREDTHS, KERNEL_MS, ...)                                               \
	{                                                                                \
		.hundredths = (HUNDREDTHS), .kernel_ns = (KERNEL_MS)*MS, __VA_ARGS__     \
	}

struct contest; /* opaque */

/* All run, and have for a while. */
struct contest *contest_begin(
	const struct bench *b, const struct worker *workers, size_t n, enum mode mode);
/* Wait for all to end.  One that ended otherwise than it was told to ends the bench. */
void contest_end(struct contest *c);

/* Of each worker until now. */
struct standing {
	uint64_t at_ns;
	uint64_t lease_ns[WORKERS_MAX]; /* charged to its partition */
	uint64_t got_ns[WORKERS_MAX];   /* of the device, to the moment */
	uint64_t launches[WORKERS_MAX];
	uint64_t longest_wait_ns[WORKERS_MAX]; /* for a turn */
};
void contest_look(const struct contest *c, struct standing *out);

/* The device that they launch on. */
struct timed_device *contest_device(const struct contest *c, uint32_t device);

/* Kill it by SIGKILL; let its partition end. */
void contest_kill(struct contest *c, size_t worker);
void contest_expire(struct contest *c, size_t worker);

/* Parts of a window. */
struct result {
	double lease[WORKERS_MAX], got[WORKERS_MAX];
	double longest_wait_ms[WORKERS_MAX]; /* from the begin on */
};

/* From begin to end, with a window of so long.  Of what is not held a second is enough. */
struct result contest_run(const struct bench *b, const struct worker *workers, size_t n,
	enum mode mode, unsigned window_ms);
/* What the same worker gets of the device alone and not held. */
double contest_solo(const struct bench *b, struct worker w);
/* Does a worker of that solo get something else by now: more than 3 % more or less? */
bool contest_drifted(const struct bench *b, struct worker w, double solo);

/* The greatest difference from its share, in hundredths of the device. */
double greatest_error(const double *had, const struct worker *workers, size_t n);
double sum_of(const double *values, size_t n);
