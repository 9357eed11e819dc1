/* place.c - what measurements are made of: partitions, processes that join, the arbiter. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "str.h"

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (uint64_t)t.tv_sec * S + (uint64_t)t.tv_nsec;
}

uint64_t now_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t boot_ns(void)
{
	return clock_ns(CLOCK_BOOTTIME);
}

void sleep_ms(unsigned ms)
{
	const struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

char *result_path(const struct bench *b, const char *name)
{
	return str_fmt("%s/%s", b->results, name);
}

struct index index_of(uint32_t device)
{
	struct index i;

	snprintf(i.text, sizeof i.text, "%u", device);
	return i;
}

struct chronos_partition make_as(const struct bench *b, const struct chronos_request *r)
{
	struct chronos_partition p;
	struct chronos_error e = { 0 };

	if (chronos_create(b->c, r, &p, NULL, &e) < 0)
		die("create a partition", e.text);
	return p;
}

struct chronos_partition make(const struct bench *b, uint32_t device, uint32_t hundredths)
{
	const struct index i = index_of(device);
	const char *devices[] = { i.text };

	return make_as(b, &(struct chronos_request){ .devices = devices,
				  .device_count = 1,
				  .hundredths = hundredths,
				  .duration_ns = 3600 * S,
				  .owner = CHRONOS_OWNER_CALLER });
}

void drop(const struct bench *b, const struct chronos_partition *p)
{
	struct chronos_error e = { 0 };

	if (chronos_release(b->c, p->id, &e) < 0)
		die("release a partition", e.text);
}

static void nothing(void *arg)
{
	(void)arg;
}

struct chronos_attachment *join(const struct bench *b, const char *id, uint32_t device,
	void (*drain)(void *arg), void *arg)
{
	const struct chronos_joining j = { .dir = b->dir,
		.name = id,
		.device = device,
		.drain = drain ? drain : nothing,
		.arg = arg };
	struct chronos_error e = { 0 };

	struct chronos_attachment *a = chronos_attach(&j, &e);
	if (!a)
		die("join a partition", e.text);
	return a;
}

/* Ends with the bench, however that ends. */
static _Noreturn void become_arbiter(const struct bench *b, int says)
{
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	dup2(says, STDOUT_FILENO);
	execl(b->program, "chronos", "arbiter", (char *)NULL);
	perror(b->program);
	_exit(127);
}

void arbiter_start(struct bench *b)
{
	int fds[2];
	char byte;

	if (pipe2(fds, O_CLOEXEC) < 0)
		die("start an arbiter", "no pipe can be made");
	b->arbiter = fork();
	if (b->arbiter == 0)
		become_arbiter(b, fds[1]);
	close(fds[1]);
	if (b->arbiter < 0 || read(fds[0], &byte, 1) != 1)
		die("start an arbiter", "it ended instead");
	/* Kept open: it also says why it ends. */
	b->arbiter_says = fds[0];
}

void arbiter_end(struct bench *b)
{
	int status;

	kill(b->arbiter, SIGTERM);
	if (waitpid(b->arbiter, &status, 0) != b->arbiter || status != 0)
		die("end the arbiter", "it did not end well");
	close(b->arbiter_says);
	b->arbiter = 0;
}
