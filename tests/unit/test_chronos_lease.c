/* test_chronos_lease.c - who joins a partition is held to its time, on a timed device. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "test_chronos.h"
#include "timed_device.h"

#include <pthread.h>

#define MS(n) (UINT64_C(1000000) * (n))

/* On a busy machine a process may want nothing for a while because it does not run, so
 * what compares two of them may be tried again. */
enum { TRIES = 6, WORKERS_MAX = 6 };

/* Shared with the children. */
struct board {
	struct timed_device device;
	uint32_t ready;
	uint32_t go;
	uint32_t stop;
	uint32_t at_work;  /* who has work in flight: bits */
	uint32_t overlaps; /* times that two had */
	uint64_t got_ns[WORKERS_MAX];
};

static struct board *board_new(void)
{
	void *at = mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(at != MAP_FAILED);
	return at;
}

static bool flag(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

static void nap(void)
{
	const struct timespec ms = { 0, 1000000 };

	nanosleep(&ms, NULL);
}

static void raise_flag(uint32_t *word)
{
	__atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
}

static int join_queue(struct place *t, struct timed_queue *q, const char *name)
{
	const struct chronos_joining j = {
		.dir = t->dir, .name = name, .device = 0, .drain = timed_drain, .arg = q
	};

	q->a = chronos_attach(&j, &t->e);
	return q->a ? 0 : -1;
}

/* Launches kernels of `length_ns` and waits for each, until told to stop. */
static int work(
	struct place *t, struct board *b, int me, const char *name, uint64_t length_ns)
{
	struct timed_queue q = { .device = &b->device };

	if (join_queue(t, &q, name) < 0)
		return 1;
	__atomic_fetch_add(&b->ready, 1, __ATOMIC_SEQ_CST);
	while (!flag(&b->go))
		nap();
	while (!flag(&b->stop)) {
		if (timed_launch(&q, length_ns, NULL) < 0)
			return 2;
		uint32_t others =
			__atomic_fetch_or(&b->at_work, 1u << me, __ATOMIC_SEQ_CST);
		if (others & ~(1u << me))
			__atomic_fetch_add(&b->overlaps, 1, __ATOMIC_SEQ_CST);
		/* No longer at work before the lease can pass on. */
		struct chronos_attachment *a = q.a;
		q.a = NULL;
		timed_wait(&q);
		__atomic_fetch_and(&b->at_work, ~(1u << me), __ATOMIC_SEQ_CST);
		chronos_launch_done(a, 1);
		q.a = a;
		__atomic_fetch_add(&b->got_ns[me], length_ns, __ATOMIC_SEQ_CST);
	}
	chronos_detach(q.a);
	return 0;
}

static pid_t start(
	struct place *t, struct board *b, int me, const char *name, uint64_t length_ns)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		_exit(work(t, b, me, name, length_ns));
	}
	return pid;
}

static void until_ready(struct board *b, uint32_t count)
{
	uint64_t limit_ns = timed_now_ns() + SECONDS(60);

	while (__atomic_load_n(&b->ready, __ATOMIC_SEQ_CST) < count) {
		assert_true(timed_now_ns() < limit_ns);
		nap();
	}
}

static void assert_ends_well(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void sleep_ms(unsigned ms)
{
	const struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

/* Two that want all they can get, of 0.7 and 0.3. */
static void compete(struct place *t, struct chronos_partition p[2])
{
	struct chronos_usage u[2][2];
	bool fair = false;

	for (int i = 0; i < TRIES && !fair; i++) {
		struct board *b = board_new();
		/* Long kernels for the small share: left alone it would have most. */
		pid_t pids[] = { start(t, b, 0, p[0].id, MS(1)),
			start(t, b, 1, p[1].id, MS(5)) };
		until_ready(b, 2);
		uint64_t begun_ns = timed_now_ns();
		for (int k = 0; k < 2; k++)
			assert_ok(t, chronos_usage(t->c, &p[k], 0, &u[0][k], &t->e));
		raise_flag(&b->go);
		sleep_ms(1000);
		raise_flag(&b->stop);
		assert_ends_well(pids[0]);
		assert_ends_well(pids[1]);
		/* One at a time: the sum of what they had is no more than there was. */
		for (int k = 0; k < 2; k++)
			assert_ok(t, chronos_usage(t->c, &p[k], 0, &u[1][k], &t->e));
		uint64_t had_ns = u[1][0].time_ns + u[1][1].time_ns - u[0][0].time_ns -
				  u[0][1].time_ns;
		assert_true(had_ns <= timed_now_ns() - begun_ns);
		/* And no less than what the device did, but for a last look of the arbiter. */
		assert_true(had_ns + MS(100) >= b->got_ns[0] + b->got_ns[1]);
		double ratio = (double)b->got_ns[0] / (double)(b->got_ns[1] + 1);
		fair = ratio > 1.6 && ratio < 3.2 && b->overlaps == 0;
		munmap(b, sizeof *b);
	}
	assert_true(fair);
}

static void partitions_have_time_by_their_shares_and_never_at_once(void **state)
{
	struct place *t = *state;
	struct chronos_partition p[2];

	assert_ok(t, create(t, "0", 70, SECONDS(600), NULL, &p[0]));
	assert_ok(t, create(t, "0", 30, SECONDS(600), NULL, &p[1]));
	compete(t, p);
}

static int create_burst(struct place *t, uint32_t hundredths, struct chronos_partition *p)
{
	const char *devices[] = { "0" };
	struct chronos_request r = { .devices = devices,
		.device_count = 1,
		.hundredths = hundredths,
		.duration_ns = SECONDS(600),
		.owner = CHRONOS_OWNER_CALLER,
		.burst = true };

	return chronos_create(t->c, &r, p, NULL, &t->e);
}

static void a_burst_partition_takes_nothing_from_who_wants_its_share(void **state)
{
	struct place *t = *state;
	struct chronos_partition p[2];

	assert_ok(t, create(t, "0", 70, SECONDS(600), NULL, &p[0]));
	assert_ok(t, create_burst(t, 30, &p[1]));
	compete(t, p);
}

/* Longer than a lease by far, and than what a holder may be silent for. */
static void a_kernel_that_takes_too_long_is_paid_for(void **state)
{
	struct place *t = *state;
	struct board *b = board_new();
	struct timed_queue q = { .device = &b->device };
	struct chronos_partition p, o;
	struct chronos_usage u = { 0 };

	assert_ok(t, create(t, "0", 50, SECONDS(600), NULL, &p));
	assert_ok(t, create(t, "0", 50, SECONDS(600), NULL, &o));
	pid_t pid = start(t, b, 0, p.id, MS(2500));
	until_ready(b, 1);
	raise_flag(&b->go);
	while (!flag(&b->at_work))
		nap();
	assert_ok(t, join_queue(t, &q, o.id));
	/* The other gets on before it is done. */
	uint64_t limit_ns = timed_now_ns() + SECONDS(60);
	assert_ok(t, chronos_launch(q.a, &t->e));
	chronos_launch_done(q.a, 1);
	raise_flag(&b->stop);
	assert_ends_well(pid);
	do {
		assert_ok(t, chronos_usage(t->c, &p, 0, &u, &t->e));
	} while (u.time_ns < MS(2490) && timed_now_ns() < limit_ns);
	assert_true(u.time_ns >= MS(2490));
	/* One lease, and all that came after its end. */
	assert_int_equal(u.overruns, 1);
	assert_in_range(u.overrun_ns, MS(2480), u.time_ns);
	chronos_detach(q.a);
	munmap(b, sizeof *b);
}

static void work_that_ends_within_its_lease_overruns_nothing(void **state)
{
	struct place *t = *state;
	struct timed_device *d = timed_device_new();
	struct chronos_usage u = { 0 };
	bool exact = false;

	for (int try = 0; try < TRIES && !exact; try++) {
		struct timed_queue q = { .device = d };
		struct chronos_partition p;
		assert_ok(t, create(t, "0", 90, SECONDS(600), NULL, &p));
		assert_ok(t, join_queue(t, &q, p.id));
		/* After a pause so long, it has a new lease for each. */
		for (int i = 0; i < 10; i++) {
			assert_ok(t, timed_launch(&q, MS(1), &t->e));
			timed_wait(&q);
			chronos_settle(q.a);
			sleep_ms(12);
		}
		assert_ok(t, chronos_usage(t->c, &p, 0, &u, &t->e));
		assert_true(u.time_ns >= MS(9));
		exact = u.overruns == 0 && u.overrun_ns == 0;
		chronos_detach(q.a);
		assert_ok(t, chronos_release(t->c, p.id, &t->e));
	}
	assert_true(exact);
	timed_device_free(d);
}

static void each_lease_that_is_overrun_counts_once(void **state)
{
	enum { LEASES = 4 };
	struct place *t = *state;
	struct timed_device *d = timed_device_new();
	struct timed_queue q = { .device = d };
	struct chronos_partition p;
	struct chronos_usage u = { 0 };

	assert_ok(t, create(t, "0", 90, SECONDS(600), NULL, &p));
	assert_ok(t, join_queue(t, &q, p.id));
	for (int i = 0; i < LEASES; i++) {
		assert_ok(t, timed_launch(&q, MS(40), &t->e));
		timed_wait(&q);
	}
	chronos_settle(q.a);
	uint64_t limit_ns = timed_now_ns() + SECONDS(20);
	do {
		assert_ok(t, chronos_usage(t->c, &p, 0, &u, &t->e));
	} while (u.time_ns < LEASES * MS(40) && timed_now_ns() < limit_ns);
	assert_int_equal(u.overruns, LEASES);
	assert_in_range(u.overrun_ns, LEASES * MS(30), u.time_ns - LEASES * MS(1));
	chronos_detach(q.a);
	timed_device_free(d);
}

static void a_partition_alone_has_no_more_than_its_share(void **state)
{
	struct place *t = *state;
	struct timed_device *d = timed_device_new();
	struct timed_queue q = { .device = d };
	struct chronos_partition p;

	assert_ok(t, create(t, "0", 25, SECONDS(600), NULL, &p));
	assert_ok(t, join_queue(t, &q, p.id));
	uint64_t begun_ns = timed_now_ns();
	while (timed_now_ns() < begun_ns + MS(500)) {
		assert_ok(t, timed_launch(&q, MS(1), &t->e));
		timed_wait(&q);
	}
	uint64_t past_ns = timed_now_ns() - begun_ns;
	/* Its share, the budget that it may have saved, and one kernel. */
	assert_true(q.got_ns <= past_ns / 4 + MS(25) + MS(1));
	assert_true(q.got_ns >= MS(5));
	chronos_detach(q.a);
	timed_device_free(d);
}

static void a_burst_partition_alone_has_more_than_its_share(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	bool more = false;

	assert_ok(t, create_burst(t, 5, &p));
	assert_true(p.burst);
	for (int i = 0; i < TRIES && !more; i++) {
		struct timed_device *d = timed_device_new();
		struct timed_queue q = { .device = d };
		assert_ok(t, join_queue(t, &q, p.id));
		uint64_t begun_ns = timed_now_ns();
		for (int n = 0; n < 200; n++) {
			assert_ok(t, timed_launch(&q, MS(1), &t->e));
			timed_wait(&q);
		}
		/* A share of 5 % would take 4 s for this. */
		more = timed_now_ns() - begun_ns < MS(2000);
		chronos_detach(q.a);
		timed_device_free(d);
	}
	assert_true(more);
}

static void what_is_never_waited_for_is_drained(void **state)
{
	struct place *t = *state;
	struct timed_device *d = timed_device_new();
	struct timed_queue q = { .device = d }, other = { .device = d };
	struct chronos_partition p, o;

	assert_ok(t, create(t, "0", 50, SECONDS(600), NULL, &p));
	assert_ok(t, create(t, "0", 50, SECONDS(600), NULL, &o));
	assert_ok(t, join_queue(t, &q, p.id));
	assert_ok(t, join_queue(t, &other, o.id));
	for (int i = 0; i < 200; i++)
		assert_ok(t, timed_launch(&q, MS(1), &t->e));
	/* Launched ahead by no more than a quantum and a bit, as 1 ms is soon known. */
	assert_true(q.launched < 100);
	uint64_t limit_ns = timed_now_ns() + SECONDS(20);
	while (q.launched > 0 && timed_now_ns() < limit_ns)
		chronos_settle(q.a);
	assert_int_equal(q.launched, 0);
	assert_ok(t, timed_launch(&other, MS(1), &t->e));
	timed_wait(&other);
	chronos_detach(q.a);
	chronos_detach(other.a);
	timed_device_free(d);
}

static void a_killed_holder_is_replaced(void **state)
{
	struct place *t = *state;
	struct chronos_partition p, o;
	struct timed_queue q = { 0 };

	assert_ok(t, create(t, "0", 50, SECONDS(600), NULL, &p));
	assert_ok(t, create(t, "0", 50, SECONDS(600), NULL, &o));
	for (int i = 0; i < 5; i++) {
		struct board *b = board_new();
		q = (struct timed_queue){ .device = &b->device };
		/* Dies with an hour in flight, of which only itself knows. */
		pid_t pid = start(t, b, 0, p.id, SECONDS(3600));
		until_ready(b, 1);
		raise_flag(&b->go);
		while (!flag(&b->at_work))
			nap();
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		b->device.free_at_ns = 0;
		assert_ok(t, join_queue(t, &q, o.id));
		assert_ok(t, timed_launch(&q, MS(1), &t->e));
		timed_wait(&q);
		chronos_detach(q.a);
		munmap(b, sizeof *b);
	}
}

static void a_stopped_process_keeps_nobody_waiting_for_ever(void **state)
{
	struct place *t = *state;
	struct chronos_partition p, o;
	struct board *b = board_new();
	struct timed_queue q = { .device = &b->device };

	assert_ok(t, create(t, "0", 50, SECONDS(600), NULL, &p));
	assert_ok(t, create(t, "0", 50, SECONDS(600), NULL, &o));
	pid_t pid = start(t, b, 0, p.id, MS(20));
	until_ready(b, 1);
	raise_flag(&b->go);
	while (!flag(&b->at_work))
		nap();
	kill(pid, SIGSTOP);
	assert_ok(t, join_queue(t, &q, o.id));
	for (int i = 0; i < 20; i++) {
		assert_ok(t, timed_launch(&q, MS(1), &t->e));
		timed_wait(&q);
	}
	kill(pid, SIGCONT);
	raise_flag(&b->stop);
	assert_ends_well(pid);
	chronos_detach(q.a);
	munmap(b, sizeof *b);
}

static void processes_of_a_partition_share_its_time(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	struct chronos_usage u;
	struct board *b = board_new();

	assert_ok(t, create(t, "0", 40, SECONDS(600), NULL, &p));
	pid_t pids[] = { start(t, b, 0, p.id, MS(1)), start(t, b, 1, p.id, MS(1)) };
	until_ready(b, 2);
	raise_flag(&b->go);
	uint64_t begun_ns = timed_now_ns();
	sleep_ms(500);
	raise_flag(&b->stop);
	assert_ends_well(pids[0]);
	assert_ends_well(pids[1]);
	uint64_t past_ns = timed_now_ns() - begun_ns;
	uint64_t got_ns = b->got_ns[0] + b->got_ns[1];
	assert_true(b->got_ns[0] > 0 && b->got_ns[1] > 0);
	assert_true(got_ns <= past_ns * 4 / 10 + MS(40) + MS(2));
	/* What is charged is at least what the device did. */
	uint64_t limit_ns = timed_now_ns() + SECONDS(20);
	do {
		assert_ok(t, chronos_usage(t->c, &p, 0, &u, &t->e));
	} while (u.time_ns < got_ns && timed_now_ns() < limit_ns);
	assert_true(u.time_ns >= got_ns);
	assert_true(u.time_ns <= past_ns + MS(100));
	munmap(b, sizeof *b);
}

/* The first has had much by then. */
static void a_process_that_comes_later_does_not_keep_the_others_waiting(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	bool fair = false;

	assert_ok(t, create(t, "0", 80, SECONDS(600), NULL, &p));
	for (int i = 0; i < TRIES && !fair; i++) {
		struct board *b = board_new();
		pid_t pids[2] = { start(t, b, 0, p.id, MS(1)) };
		until_ready(b, 1);
		raise_flag(&b->go);
		sleep_ms(600);
		pids[1] = start(t, b, 1, p.id, MS(1));
		until_ready(b, 2);
		uint64_t before_ns = __atomic_load_n(&b->got_ns[0], __ATOMIC_SEQ_CST);
		sleep_ms(400);
		uint64_t got_ns =
			__atomic_load_n(&b->got_ns[0], __ATOMIC_SEQ_CST) - before_ns;
		raise_flag(&b->stop);
		assert_ends_well(pids[0]);
		assert_ends_well(pids[1]);
		fair = got_ns > b->got_ns[1] / 3 && b->got_ns[1] > got_ns / 3;
		munmap(b, sizeof *b);
	}
	assert_true(fair);
}

static void what_a_killed_process_had_is_on_its_partitions_account(void **state)
{
	struct place *t = *state;
	struct timed_device *d = timed_device_new();
	struct timed_queue q = { .device = d };
	struct chronos_partition p, o;
	struct chronos_usage u;
	int done[2];
	char byte;

	assert_ok(t, create(t, "0", 90, SECONDS(600), NULL, &p));
	assert_ok(t, create(t, "0", 10, SECONDS(600), NULL, &o));
	assert_int_equal(pipe(done), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		bool went_well = join_queue(t, &q, p.id) == 0;
		for (int i = 0; went_well && i < 5; i++) {
			went_well = timed_launch(&q, MS(1), NULL) == 0;
			timed_wait(&q);
		}
		_exit(went_well && write(done[1], "d", 1) == 1 ? pause() : 1);
	}
	assert_int_equal(read(done[0], &byte, 1), 1);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_ok(t, join_queue(t, &q, o.id));
	assert_ok(t, timed_launch(&q, MS(1), &t->e));
	timed_wait(&q);
	assert_ok(t, chronos_usage(t->c, &p, 0, &u, &t->e));
	assert_true(u.time_ns >= MS(5));
	chronos_detach(q.a);
	close(done[0]);
	close(done[1]);
	timed_device_free(d);
}

/* By the arbiter's kill too, where there is one. */
static void kill_somebody(struct place *t, struct board *b, pid_t pids[],
	const struct chronos_partition p[])
{
	int who = rand() % WORKERS_MAX;

	if (t->arbiter && rand() % 8 == 0) {
		kill_arbiter(t);
		start_arbiter(t);
	}
	kill(pids[who], SIGKILL);
	assert_int_equal(waitpid(pids[who], NULL, 0), pids[who]);
	pids[who] = start(t, b, who, p[who % 3].id, MS(1) * (uint64_t)(1 + who));
}

/* What the device did for a partition it had, and no two had it at once. */
static void time_is_neither_lost_nor_counted_twice_however_many_are_killed(void **state)
{
	static const uint32_t shares[] = { 50, 30, 20 };
	struct place *t = *state;
	struct chronos_partition p[3];
	struct board *b = board_new();
	pid_t pids[WORKERS_MAX];
	uint64_t within_ns = 0, limit_ns = timed_now_ns() + SECONDS(60);

	srand(20);
	for (int i = 0; i < 3; i++)
		assert_ok(t, create(t, "0", shares[i], SECONDS(600), NULL, &p[i]));
	raise_flag(&b->go);
	uint64_t begun_ns = timed_now_ns();
	for (int i = 0; i < WORKERS_MAX; i++)
		pids[i] = start(t, b, i, p[i % 3].id, MS(1) * (uint64_t)(1 + i));
	for (int i = 0; i < 60; i++) {
		sleep_ms(30);
		kill_somebody(t, b, pids, p);
	}
	raise_flag(&b->stop);
	for (int i = 0; i < WORKERS_MAX; i++)
		assert_ends_well(pids[i]);
	for (int i = 0; i < 3; i++) {
		struct chronos_usage u;
		uint64_t got_ns = b->got_ns[i] + b->got_ns[i + 3];
		/* A charge that a kill has cut in two may be lost. */
		do {
			assert_ok(t, chronos_usage(t->c, &p[i], 0, &u, &t->e));
		} while (u.time_ns + MS(10) < got_ns && timed_now_ns() < limit_ns);
		assert_true(got_ns > 0);
		assert_true(u.time_ns + MS(10) >= got_ns);
		/* Past the ends of leases others may have had the device, too. */
		within_ns += u.time_ns - u.overrun_ns;
	}
	assert_true(within_ns <= timed_now_ns() - begun_ns);
	munmap(b, sizeof *b);
}

static void who_waits_for_a_turn_is_told_when_the_partition_ends(void **state)
{
	struct place *t = *state;
	struct timed_device *d = timed_device_new();
	struct timed_queue q = { .device = d };
	struct chronos_partition p;
	int rc = 0;

	/* One hundredth, used up for a long time: only the end can end the wait. */
	assert_ok(t, create(t, "0", 1, SECONDS(1), NULL, &p));
	assert_ok(t, join_queue(t, &q, p.id));
	for (int i = 0; i < 100 && rc == 0; i++) {
		rc = timed_launch(&q, MS(300), &t->e);
		timed_wait(&q);
	}
	assert_int_equal(rc, -1);
	assert_int_equal(t->e.code, CHRONOS_NOT_FOUND);
	chronos_detach(q.a);
	timed_device_free(d);
}

static void nothing_to_drain(void *arg)
{
	(void)arg;
}

static uint64_t time_of(struct place *t, const struct chronos_partition *p)
{
	struct chronos_usage u;

	assert_ok(t, chronos_usage(t->c, p, 0, &u, &t->e));
	return u.time_ns;
}

static void what_the_device_says_that_it_took_is_charged(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;

	assert_ok(t, create(t, "0", 50, SECONDS(600), NULL, &p));
	const struct chronos_joining j = {
		.dir = t->dir, .name = p.id, .device = 0, .drain = nothing_to_drain
	};
	struct chronos_attachment *a = chronos_attach(&j, &t->e);
	assert_non_null(a);
	assert_ok(t, chronos_launch(a, &t->e));
	sleep_ms(20);
	chronos_launch_took(a, 1, 1000);
	chronos_settle(a);
	assert_int_equal(time_of(t, &p), 1000);
	/* Never more than the time that has passed, and all of that where it is not known. */
	assert_ok(t, chronos_launch(a, &t->e));
	chronos_launch_took(a, 1, SECONDS(100));
	assert_ok(t, chronos_launch(a, &t->e));
	sleep_ms(20);
	chronos_launch_took(a, 1, 0);
	chronos_detach(a);
	assert_in_range(time_of(t, &p), MS(20), SECONDS(60));
}

/* NULL when all went well. */
static void *launch_and_charge(void *attachment)
{
	struct chronos_attachment *a = attachment;

	for (int i = 0; i < 300; i++) {
		if (chronos_charge(a, 1000, NULL) < 0 || chronos_launch(a, NULL) < 0)
			return a;
		chronos_launch_done(a, 1);
		chronos_uncharge(a, 1000);
		if (i % 10 == 0)
			chronos_settle(a);
	}
	return NULL;
}

static void threads_launch_and_charge_at_once(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	pthread_t threads[4];
	void *failed;

	assert_ok(t, create(t, "0", 90, SECONDS(600), NULL, &p));
	const struct chronos_joining j = {
		.dir = t->dir, .name = p.id, .device = 0, .drain = nothing_to_drain
	};
	struct chronos_attachment *a = chronos_attach(&j, &t->e);
	assert_non_null(a);
	for (int i = 0; i < 4; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, launch_and_charge, a), 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	assert_int_equal(chronos_used(a), 0);
	/* None of them is thought to be in flight: another partition gets its turn. */
	struct timed_device *d = timed_device_new();
	struct timed_queue q = { .device = d };
	assert_ok(t, create(t, "0", 10, SECONDS(600), NULL, &p));
	assert_ok(t, join_queue(t, &q, p.id));
	assert_ok(t, timed_launch(&q, MS(1), &t->e));
	timed_wait(&q);
	chronos_detach(q.a);
	chronos_detach(a);
	timed_device_free(d);
}

#define cooperative(f) cmocka_unit_test_setup_teardown(f, two_devices, no_place)
#define arbitrated(f)                                                                    \
	{                                                                                \
		"arbitrated: " #f, f, two_arbitrated_devices, no_place, NULL             \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cooperative(partitions_have_time_by_their_shares_and_never_at_once),
		cooperative(a_burst_partition_takes_nothing_from_who_wants_its_share),
		cooperative(a_kernel_that_takes_too_long_is_paid_for),
		cooperative(work_that_ends_within_its_lease_overruns_nothing),
		cooperative(each_lease_that_is_overrun_counts_once),
		cooperative(a_partition_alone_has_no_more_than_its_share),
		cooperative(a_burst_partition_alone_has_more_than_its_share),
		cooperative(what_is_never_waited_for_is_drained),
		cooperative(a_killed_holder_is_replaced),
		cooperative(a_stopped_process_keeps_nobody_waiting_for_ever),
		cooperative(processes_of_a_partition_share_its_time),
		cooperative(a_process_that_comes_later_does_not_keep_the_others_waiting),
		cooperative(what_a_killed_process_had_is_on_its_partitions_account),
		arbitrated(what_a_killed_process_had_is_on_its_partitions_account),
		cooperative(
			time_is_neither_lost_nor_counted_twice_however_many_are_killed),
		cooperative(who_waits_for_a_turn_is_told_when_the_partition_ends),
		cooperative(what_the_device_says_that_it_took_is_charged),
		cooperative(threads_launch_and_charge_at_once),
		arbitrated(partitions_have_time_by_their_shares_and_never_at_once),
		arbitrated(a_burst_partition_takes_nothing_from_who_wants_its_share),
		arbitrated(a_kernel_that_takes_too_long_is_paid_for),
		arbitrated(work_that_ends_within_its_lease_overruns_nothing),
		arbitrated(each_lease_that_is_overrun_counts_once),
		arbitrated(a_partition_alone_has_no_more_than_its_share),
		arbitrated(a_burst_partition_alone_has_more_than_its_share),
		arbitrated(what_is_never_waited_for_is_drained),
		arbitrated(a_killed_holder_is_replaced),
		arbitrated(a_stopped_process_keeps_nobody_waiting_for_ever),
		arbitrated(processes_of_a_partition_share_its_time),
		arbitrated(a_process_that_comes_later_does_not_keep_the_others_waiting),
		arbitrated(
			time_is_neither_lost_nor_counted_twice_however_many_are_killed),
		arbitrated(who_waits_for_a_turn_is_told_when_the_partition_ends),
		arbitrated(threads_launch_and_charge_at_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
