/* contest.c - programs that want a device at once, and what each of them gets. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "contest.h"

#include "timed_device.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "xalloc.h"

enum {
	WARM_UP_MS = 300,
	STATUS_ENDED = 3,
	TRIES = 1000000,
	FREE_WINDOW_MS = 1000,
	SOLO_MS = 600
};

#define DRIFT_MAX 0.03

/* What a worker says of itself: before its present batch it had before_ns, and of the batch
 * batch_ns from begin_ns to end_ns.  Odd turns: being written. */
struct progress {
	uint32_t turns;
	uint64_t before_ns, batch_ns, begin_ns, end_ns;
	uint64_t launches, longest_wait_ns;
};

/* Shared with the workers. */
struct board {
	struct timed_device devices[DEVICES];
	uint32_t ready, go, stop;
	struct progress progress[WORKERS_MAX];
};

enum fate { RUNS, KILLED, EXPIRED };

struct contest {
	const struct bench *b;
	struct board *board;
	size_t n;
	enum mode mode;
	struct worker workers[WORKERS_MAX];
	struct chronos_partition partitions[WORKERS_MAX];
	pid_t pids[WORKERS_MAX];
	enum fate fates[WORKERS_MAX];
};

static uint32_t device_of(const struct worker *w)
{
	return w->device ? w->device : DEVICE;
}

/* ---- a worker ---- */

static void publish(struct progress *p, const struct progress *now)
{
	uint32_t turns = p->turns;

	__atomic_store_n(&p->turns, turns + 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	__atomic_store_n(&p->before_ns, now->before_ns, __ATOMIC_RELAXED);
	__atomic_store_n(&p->batch_ns, now->batch_ns, __ATOMIC_RELAXED);
	__atomic_store_n(&p->begin_ns, now->begin_ns, __ATOMIC_RELAXED);
	__atomic_store_n(&p->end_ns, now->end_ns, __ATOMIC_RELAXED);
	__atomic_store_n(&p->launches, now->launches, __ATOMIC_RELAXED);
	__atomic_store_n(&p->longest_wait_ns, now->longest_wait_ns, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	__atomic_store_n(&p->turns, turns + 2, __ATOMIC_RELAXED);
}

/* Its partition has ended, which the bench may have wanted. */
static _Noreturn void refused(const struct chronos_error *e)
{
	if (e->code == CHRONOS_NOT_FOUND)
		_exit(STATUS_ENDED);
	fprintf(stderr, "bench_chronos: a worker's launch: %s\n", e->text);
	_exit(1);
}

/* Launch a batch and wait for it. */
static void do_batch(struct timed_queue *q, const struct worker *w, struct progress *said)
{
	struct progress now = { .before_ns = q->got_ns, .launches = said->launches };
	struct chronos_error e = { 0 };

	for (uint32_t i = 0; i < (w->ahead ? w->ahead : 1); i++) {
		if (timed_launch(q, w->kernel_ns, &e) < 0)
			refused(&e);
		if (i == 0)
			now.begin_ns = q->last_end_ns - w->kernel_ns;
		now.batch_ns += w->kernel_ns;
		now.end_ns = q->last_end_ns;
		now.launches++;
		now.longest_wait_ns = q->longest_wait_ns;
		publish(said, &now);
	}
	timed_wait(q);
}

static _Noreturn void work(const struct contest *c, size_t me)
{
	const struct worker *w = &c->workers[me];
	struct board *board = c->board;
	struct timed_queue q = { .device = &board->devices[device_of(w)] };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (c->mode != FREE)
		q.a = join(c->b, c->partitions[me].id, device_of(w), timed_drain, &q);
	__atomic_fetch_add(&board->ready, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&board->go, __ATOMIC_SEQ_CST))
		sleep_ms(1);
	while (!__atomic_load_n(&board->stop, __ATOMIC_SEQ_CST))
		do_batch(&q, w, &board->progress[me]);
	chronos_detach(q.a);
	_exit(0);
}

/* ---- all of them ---- */

static struct chronos_partition partition_for(const struct contest *c, size_t i)
{
	const struct worker *w = &c->workers[i];
	const struct index first = index_of(device_of(w)), other = index_of(OTHER_DEVICE);
	const char *devices[] = { first.text, other.text };

	if (w->joins)
		return c->partitions[i - 1];
	return make_as(c->b, &(struct chronos_request){ .devices = devices,
				     .device_count = w->on_both ? 2 : 1,
				     .hundredths = w->hundredths,
				     .duration_ns = 3600 * S,
				     .owner = CHRONOS_OWNER_CALLER,
				     .burst = w->burst });
}

static void start(struct contest *c, size_t i)
{
	if (c->mode != FREE)
		c->partitions[i] = partition_for(c, i);
	c->pids[i] = fork();
	if (c->pids[i] < 0)
		die("start a worker", "fork failed");
	if (c->pids[i] == 0)
		work(c, i);
}

/* A worker that failed would be waited for without end. */
static void await_all(const struct contest *c)
{
	while (__atomic_load_n(&c->board->ready, __ATOMIC_SEQ_CST) < c->n) {
		sleep_ms(1);
		if (waitpid(-1, NULL, WNOHANG) > 0)
			die("start a worker", "it ended at once");
	}
}

struct contest *contest_begin(
	const struct bench *b, const struct worker *workers, size_t n, enum mode mode)
{
	struct contest *c = xcalloc(1, sizeof *c);

	if (n > WORKERS_MAX)
		die("hold a contest", "too many workers");
	*c = (struct contest){ .b = b, .n = n, .mode = mode };
	c->board = mmap(NULL, sizeof *c->board, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (c->board == MAP_FAILED)
		die("hold a contest", "no memory");
	for (size_t i = 0; i < n; i++) {
		c->workers[i] = workers[i];
		start(c, i);
	}
	await_all(c);
	__atomic_store_n(&c->board->go, 1, __ATOMIC_SEQ_CST);
	sleep_ms(WARM_UP_MS);
	return c;
}

static void await_end(struct contest *c, size_t i)
{
	int status;

	if (waitpid(c->pids[i], &status, 0) != c->pids[i])
		die("wait for a worker", "it is gone");
	bool well = c->fates[i] == KILLED    ? WIFSIGNALED(status)
		    : c->fates[i] == EXPIRED ? status == STATUS_ENDED << 8
					     : status == 0;
	if (!well)
		die("run a worker", WIFSIGNALED(status) ? "a signal ended it"
							: "it failed, or was refused");
}

/* When all have ended: several may be in it. */
static void drop_partition(const struct contest *c, size_t i)
{
	if (c->mode != FREE && c->fates[i] != EXPIRED && !c->workers[i].joins)
		drop(c->b, &c->partitions[i]);
}

void contest_end(struct contest *c)
{
	__atomic_store_n(&c->board->stop, 1, __ATOMIC_SEQ_CST);
	for (size_t i = 0; i < c->n; i++)
		await_end(c, i);
	for (size_t i = 0; i < c->n; i++)
		drop_partition(c, i);
	munmap(c->board, sizeof *c->board);
	free(c);
}

struct timed_device *contest_device(const struct contest *c, uint32_t device)
{
	return &c->board->devices[device];
}

void contest_kill(struct contest *c, size_t worker)
{
	c->fates[worker] = KILLED;
	kill(c->pids[worker], SIGKILL);
}

void contest_expire(struct contest *c, size_t worker)
{
	struct chronos_error e = { 0 };

	c->fates[worker] = EXPIRED;
	if (chronos_renew(c->b->c, c->partitions[worker].id, 1, NULL, &e) < 0)
		die("end a partition", e.text);
}

/* ---- what they got ---- */

static struct progress progress_of(const struct progress *p)
{
	struct progress seen;
	uint32_t turns, tries = 0;
	bool changed;

	/* One that was killed while it wrote leaves it odd: then what is there counts. */
	do {
		turns = __atomic_load_n(&p->turns, __ATOMIC_SEQ_CST);
		seen.before_ns = __atomic_load_n(&p->before_ns, __ATOMIC_RELAXED);
		seen.batch_ns = __atomic_load_n(&p->batch_ns, __ATOMIC_RELAXED);
		seen.begin_ns = __atomic_load_n(&p->begin_ns, __ATOMIC_RELAXED);
		seen.end_ns = __atomic_load_n(&p->end_ns, __ATOMIC_RELAXED);
		seen.launches = __atomic_load_n(&p->launches, __ATOMIC_RELAXED);
		seen.longest_wait_ns =
			__atomic_load_n(&p->longest_wait_ns, __ATOMIC_RELAXED);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		changed = turns % 2 ||
			  turns != __atomic_load_n(&p->turns, __ATOMIC_SEQ_CST);
	} while (changed && ++tries < TRIES);
	return seen;
}

/* Of the batch that runs, what has run. */
static uint64_t got_until(const struct progress *p, uint64_t at_ns)
{
	if (at_ns <= p->begin_ns)
		return p->before_ns;
	if (at_ns >= p->end_ns)
		return p->before_ns + p->batch_ns;
	return p->before_ns +
	       (uint64_t)((double)p->batch_ns * (double)(at_ns - p->begin_ns) /
			  (double)(p->end_ns - p->begin_ns));
}

void contest_look(const struct contest *c, struct standing *out)
{
	struct chronos_usage u = { 0 };
	struct chronos_error e = { 0 };

	out->at_ns = now_ns();
	for (size_t i = 0; i < c->n; i++) {
		struct progress p = progress_of(&c->board->progress[i]);
		if (c->mode != FREE && c->fates[i] != EXPIRED &&
			chronos_usage(c->b->c, &c->partitions[i],
				device_of(&c->workers[i]), &u, &e) < 0)
			die("ask for the usage", e.text);
		out->lease_ns[i] = u.time_ns;
		out->got_ns[i] = got_until(&p, out->at_ns);
		out->launches[i] = p.launches;
		out->longest_wait_ns[i] = p.longest_wait_ns;
	}
}

struct result contest_run(const struct bench *b, const struct worker *workers, size_t n,
	enum mode mode, unsigned window_ms)
{
	struct contest *c = contest_begin(b, workers, n, mode);
	struct standing from, to;
	struct result r = { 0 };

	if (mode == FREE && window_ms > FREE_WINDOW_MS)
		window_ms = FREE_WINDOW_MS;
	contest_look(c, &from);
	sleep_ms(window_ms);
	contest_look(c, &to);
	contest_end(c);
	double window = (double)(to.at_ns - from.at_ns);
	for (size_t i = 0; i < n; i++) {
		r.lease[i] = (double)(to.lease_ns[i] - from.lease_ns[i]) / window;
		r.got[i] = (double)(to.got_ns[i] - from.got_ns[i]) / window;
		r.longest_wait_ms[i] = (double)to.longest_wait_ns[i] / (double)MS;
	}
	return r;
}

double contest_solo(const struct bench *b, struct worker w)
{
	return contest_run(b, &w, 1, FREE, SOLO_MS).got[0];
}

bool contest_drifted(const struct bench *b, struct worker w, double solo)
{
	return fabs(contest_solo(b, w) / solo - 1) > DRIFT_MAX;
}

double greatest_error(const double *had, const struct worker *workers, size_t n)
{
	double most = 0;

	for (size_t i = 0; i < n; i++)
		most = fmax(most, fabs(had[i] * 100 - workers[i].hundredths));
	return most;
}

double sum_of(const double *values, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += values[i];
	return sum;
}
