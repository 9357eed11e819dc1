/* test_chronos_faults.c - many processes at once, and killed anywhere, leave the books right. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked with the library as built for tests, which calls chronos_fault_point() inside
 * its critical sections.  CHRONOS_KILLS in the environment says how often a process is
 * killed at each of them (default 20), CHRONOS_RACERS how many race (default 100),
 * CHRONOS_CLIENTS how many join (default 512, at most 4096), and CHRONOS_TEST is the
 * pattern of the tests to run.
 */
#include "state.h"
#include "test_chronos.h"

#include <glob.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

/* Younger than the C library of some. */
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

/* Where this process is to be killed; only ever set in a child. */
static const char *deadly_point;

void chronos_fault_point(const char *name);
void chronos_fault_point(const char *name)
{
	if (deadly_point && strcmp(name, deadly_point) == 0)
		raise(SIGKILL);
}

static int from_environment(const char *name, int otherwise)
{
	const char *text = getenv(name);

	return text ? (int)strtol(text, NULL, 10) : otherwise;
}

static int kills(void)
{
	return from_environment("CHRONOS_KILLS", 20);
}

/* ---- races ---- */

/* Children wait until the pipe is closed, so that all begin together. */
static void wait_for_start(const int gate[2])
{
	char byte;

	close(gate[1]);
	(void)!read(gate[0], &byte, 1);
}

static void of_many_processes_exactly_one_gets_nine_tenths(void **state)
{
	struct place *t = *state;
	int racers = from_environment("CHRONOS_RACERS", 100);
	int winners = 0, losers = 0, gate[2], status;
	struct chronos_partition p;

	assert_int_equal(pipe(gate), 0);
	for (int i = 0; i < racers; i++) {
		pid_t child = fork();
		assert_true(child >= 0);
		if (child > 0)
			continue;
		wait_for_start(gate);
		/* Half of them by a handle of their own. */
		if (i % 2)
			t->c = chronos_open(t->dir, &t->e);
		if (!t->c)
			_exit(2);
		if (create(t, "0", 90, SECONDS(600), NULL, &p) == 0)
			_exit(0);
		_exit(t->e.code == CHRONOS_EXHAUSTED ? 1 : 2);
	}
	close(gate[0]);
	close(gate[1]);
	for (int i = 0; i < racers; i++) {
		assert_true(wait(&status) > 0);
		assert_true(WIFEXITED(status));
		winners += WEXITSTATUS(status) == 0;
		losers += WEXITSTATUS(status) == 1;
	}
	assert_int_equal(winners, 1);
	assert_int_equal(losers, racers - 1);
	assert_int_equal(available(t, "0"), 10);
}

/* A count that chronos knows nothing of. */
struct witness {
	int holders;
	int grants;
};

static struct witness *witness_new(void)
{
	struct witness *w = mmap(NULL, sizeof *w, PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(w != MAP_FAILED);
	return w;
}

/* In a child: take and give back what only one can have.  Its exit status. */
static int contend(struct place *t, struct witness *w)
{
	enum { ROUNDS = 3000 };
	struct chronos_partition p;

	for (int n = 0; n < ROUNDS; n++) {
		if (create(t, "0", 60, SECONDS(600), NULL, &p) < 0)
			continue;
		if (__atomic_add_fetch(&w->holders, 1, __ATOMIC_SEQ_CST) != 1)
			return 1;
		__atomic_add_fetch(&w->grants, 1, __ATOMIC_SEQ_CST);
		__atomic_sub_fetch(&w->holders, 1, __ATOMIC_SEQ_CST);
		if (chronos_release(t->c, p.id, &t->e) < 0)
			return 2;
	}
	return 0;
}

static void never_do_two_hold_six_tenths_of_a_device(void **state)
{
	struct place *t = *state;
	enum { PROCESSES = 6 };
	struct witness *w = witness_new();
	int status;

	for (int i = 0; i < PROCESSES; i++) {
		pid_t child = fork();
		assert_true(child >= 0);
		if (child == 0)
			_exit(contend(t, w));
	}
	for (int i = 0; i < PROCESSES; i++) {
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	assert_true(w->grants > 0);
	munmap(w, sizeof *w);
}

/* Each is process 1 of its namespace, as jobs in containers are: the lock, which knows its
 * holder by that number, must still let in one alone. */
static void processes_of_one_number_in_several_namespaces_exclude_each_other(void **state)
{
	struct place *t = *state;
	enum { PROCESSES = 4, NOT_PERMITTED = 9 };
	struct witness *w = witness_new();
	int status;

	for (int i = 0; i < PROCESSES; i++) {
		pid_t outer = fork();
		assert_true(outer >= 0);
		if (outer > 0)
			continue;
		if (unshare(CLONE_NEWPID) < 0)
			_exit(NOT_PERMITTED);
		pid_t inner = fork();
		if (inner == 0)
			_exit(getpid() == 1 ? contend(t, w) : 3);
		_exit(waitpid(inner, &status, 0) == inner && WIFEXITED(status)
				? WEXITSTATUS(status)
				: 4);
	}
	bool permitted = true;
	for (int i = 0; i < PROCESSES; i++) {
		assert_true(wait(&status) > 0);
		assert_true(WIFEXITED(status));
		if (WEXITSTATUS(status) == NOT_PERMITTED)
			permitted = false;
		else
			assert_int_equal(WEXITSTATUS(status), 0);
	}
	if (!permitted) {
		munmap(w, sizeof *w);
		print_message("PID namespaces are not permitted here\n");
		skip();
	}
	assert_true(w->grants > 0);
	assert_books_are_right(t, 2);
	munmap(w, sizeof *w);
}

/* A child that is process 1 of a namespace of its own, or -1 where that is not permitted. */
static pid_t in_own_namespace(
	struct place *t, void (*then)(struct place *, const int[2]), const int link[2])
{
	pid_t pid = -1;
	int tell[2], status;

	assert_int_equal(pipe(tell), 0);
	pid_t outer = fork();
	assert_true(outer >= 0);
	if (outer == 0) {
		if (unshare(CLONE_NEWPID) < 0)
			_exit(0);
		pid = fork();
		if (pid == 0) {
			close(link[1]);
			then(t, link);
			_exit(1);
		}
		_exit(write(tell[1], &pid, sizeof pid) == sizeof pid ? 0 : 1);
	}
	close(tell[1]);
	assert_int_equal(waitpid(outer, &status, 0), outer);
	assert_int_equal(status, 0);
	if (read(tell[0], &pid, sizeof pid) != sizeof pid)
		pid = -1;
	close(tell[0]);
	return pid;
}

/* Until the test ends. */
static void hold_the_lock(struct place *t, const int link[2])
{
	char byte;

	if (getpid() == 1 && chronos_state_lock(t->c, &t->e) == 0 &&
		write(link[0], "x", 1) == 1)
		(void)!read(link[0], &byte, 1);
}

static void wait_for_the_lock(struct place *t, const int link[2])
{
	(void)link;
	(void)!chronos_state_lock(t->c, &t->e);
}

static void until_it_waits(pid_t pid)
{
	char path[64], text[64];

	snprintf(path, sizeof path, "/proc/%d/syscall", pid);
	for (int ms = 0; ms < 60000; ms++) {
		const struct timespec pause = { 0, 1000000 };
		FILE *f = fopen(path, "r");
		if (!f)
			fail_msg("process %d has gone", pid);
		bool waits = fgets(text, sizeof text, f) && atoi(text) == SYS_futex;
		fclose(f);
		if (waits)
			return;
		nanosleep(&pause, NULL);
	}
	fail_msg("process %d does not wait", pid);
}

/* To the kernel, which knows who holds a robust mutex by its number, the dead waiter would
 * be the holder. */
static void a_waiter_that_is_killed_frees_nobody_elses_lock(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	int link[2];
	char byte;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link), 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	pid_t holder = in_own_namespace(t, hold_the_lock, link);
	if (holder < 0) {
		print_message("PID namespaces are not permitted here\n");
		skip();
	}
	close(link[0]);
	assert_int_equal(read(link[1], &byte, 1), 1);
	pid_t waiter = in_own_namespace(t, wait_for_the_lock, link);
	until_it_waits(waiter);
	kill(waiter, SIGKILL);
	assert_int_equal(waitpid(waiter, NULL, 0), waiter);
	assert_refused(t, CHRONOS_TIMEOUT, create(t, "0", 10, SECONDS(60), NULL, &p));
	/* The holder's own death does. */
	kill(holder, SIGKILL);
	assert_int_equal(waitpid(holder, NULL, 0), holder);
	assert_ok(t, create(t, "0", 10, SECONDS(60), NULL, &p));
	prctl(PR_SET_CHILD_SUBREAPER, 0);
	close(link[1]);
}

/* ---- another time ---- */

static void nothing_to_drain(void *arg)
{
	(void)arg;
}

/* In a time namespace: the books' times are the machine's all the same. */
static int use_in_another_time(struct place *t)
{
	struct chronos_partition p, q;
	const struct chronos_joining j = {
		.dir = t->dir, .name = "outer", .drain = nothing_to_drain
	};

	if (chronos_find(t->c, "outer", &p, &t->e) < 0 || p.left_ns > SECONDS(600) ||
		p.left_ns < SECONDS(300))
		return 1;
	if (create(t, "1", 20, SECONDS(600), "inner", &q) < 0)
		return 2;
	struct chronos_attachment *a = chronos_attach(&j, &t->e);
	if (!a || chronos_charge(a, 1, &t->e) < 0 || chronos_launch(a, &t->e) < 0)
		return 3;
	chronos_launch_done(a, 1);
	if (chronos_renew(t->c, "outer", 1, NULL, &t->e) < 0 ||
		chronos_launch(a, &t->e) == 0 || t->e.code != CHRONOS_NOT_FOUND)
		return 4;
	chronos_detach(a);
	/* One of their own, too, that has none of its parent's. */
	struct chronos *own = chronos_open(t->dir, &t->e);
	bool found = own && chronos_find(own, "inner", &q, &t->e) == 0;
	chronos_close(own);
	return found && q.left_ns <= SECONDS(600) && q.left_ns > SECONDS(300) ? 0 : 5;
}

enum { NOT_PERMITTED_HERE = 99 };

/* In a child: the exit status of what a process of the namespace did. */
static int shift_time(struct place *t, long seconds)
{
	char line[64];
	int status;

	if (unshare(CLONE_NEWTIME) < 0)
		return NOT_PERMITTED_HERE;
	int n = snprintf(line, sizeof line, "boottime %ld 5\n", seconds);
	int fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, line, (size_t)n) != n)
		return NOT_PERMITTED_HERE;
	close(fd);
	pid_t inner = fork();
	if (inner == 0)
		_exit(use_in_another_time(t));
	return waitpid(inner, &status, 0) == inner && WIFEXITED(status)
		       ? WEXITSTATUS(status)
		       : 98;
}

static void in_a_time_namespace_it_is_as_late_as_elsewhere(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	struct timespec up;
	int status;

	clock_gettime(CLOCK_BOOTTIME, &up);
	const long shifts[] = { 864000, -up.tv_sec / 2, 0 };
	for (size_t i = 0; i < sizeof shifts / sizeof *shifts; i++) {
		assert_ok(t, create(t, "0", 50, SECONDS(600), "outer", &p));
		pid_t outer = fork();
		assert_true(outer >= 0);
		if (outer == 0)
			_exit(shift_time(t, shifts[i]));
		assert_int_equal(waitpid(outer, &status, 0), outer);
		assert_true(WIFEXITED(status));
		if (WEXITSTATUS(status) == NOT_PERMITTED_HERE) {
			print_message("time namespaces are not permitted here\n");
			skip();
		}
		assert_int_equal(WEXITSTATUS(status), 0);
		assert_ok(t, chronos_find(t->c, "inner", &p, &t->e));
		assert_in_range(p.left_ns, SECONDS(300), SECONDS(600));
		assert_int_equal(active(t), 1);
		assert_ok(t, chronos_release(t->c, "inner", &t->e));
	}
}

static void of_many_processes_one_makes_the_state(void **state)
{
	struct place t;
	int gate[2], status;
	struct chronos_partition p;

	(void)state;
	for (int round = 0; round < 20; round++) {
		place_init(&t);
		assert_int_equal(pipe(gate), 0);
		for (int i = 0; i < 8; i++) {
			pid_t child = fork();
			assert_true(child >= 0);
			if (child > 0)
				continue;
			wait_for_start(gate);
			t.c = chronos_open(t.dir, &t.e);
			if (!t.c)
				_exit(1);
			register_simulated(&t, 2);
			_exit(create(&t, "0", 12, SECONDS(600), NULL, &p) == 0 ? 0 : 1);
		}
		close(gate[0]);
		close(gate[1]);
		for (int i = 0; i < 8; i++) {
			assert_true(wait(&status) > 0);
			assert_int_equal(status, 0);
		}
		open_place(&t);
		assert_int_equal(active(&t), 8);
		assert_int_equal(available(&t, "0"), 4);
		place_fini(&t);
	}
}

/* NULL when all went well. */
static void *create_and_release(void *arg)
{
	struct place t =
		*(struct place *)arg; /* the handle is shared, the error is not */
	struct chronos_partition p;

	for (int i = 0; i < 2000; i++) {
		if (create(&t, i % 3 ? "0" : "0,1", 40, SECONDS(600), NULL, &p) < 0) {
			if (t.e.code != CHRONOS_EXHAUSTED)
				return arg;
			continue;
		}
		if (chronos_release(t.c, p.id, &t.e) < 0)
			return arg;
	}
	return NULL;
}

static void threads_share_a_handle(void **state)
{
	struct place *t = *state;
	pthread_t threads[8];
	void *failed;

	for (int i = 0; i < 8; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, create_and_release, t), 0);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(pthread_join(threads[i], &failed), 0);
		assert_null(failed);
	}
	assert_int_equal(active(t), 0);
	assert_books_are_right(t, 2);
}

/* ---- kills ---- */

/* A bit of everything, so that every point is passed. */
static void use(struct place *t, unsigned round)
{
	struct chronos_partition p;

	register_simulated(t, 2 + round % 2);
	if (create(t, round % 2 ? "0" : "0,1", 1 + round % 30, SECONDS(600), NULL, &p) ==
		0) {
		(void)!chronos_renew(t->c, p.id, SECONDS(700), NULL, &t->e);
		(void)!chronos_release(t->c, p.id, &t->e);
	}
	(void)!create(t, "1", 1 + round % 20, SECONDS(600), round % 3 ? NULL : "k", &p);
	(void)!chronos_release(t->c, "k", &t->e);
}

static void release_all(struct place *t)
{
	struct chronos_partition *list;
	size_t n;

	assert_ok(t, chronos_list(t->c, &list, &n, &t->e));
	for (size_t i = 0; i < n; i++)
		assert_ok(t, chronos_release(t->c, list[i].id, &t->e));
	chronos_partitions_free(list);
	assert_int_equal(available(t, "0"), 100);
	assert_int_equal(available(t, "1"), 100);
}

static void kill_at(struct place *t, const char *point, unsigned round)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		deadly_point = point;
		use(t, round);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
		fail_msg("nothing passed \"%s\"", point);
}

static const struct {
	const char *name;
	size_t left; /* partitions that are there afterwards */
} book_points[] = { { "device stored", 0 }, { "locked", 0 }, { "unlock", 0 },
	{ "surveyed", 0 }, { "record half stored", 0 }, { "before commit", 0 },
	{ "after commit", 1 }, { "before renewal", 1 }, { "before release", 1 },
	{ "after release", 0 } };

enum { BOOK_POINTS = sizeof book_points / sizeof *book_points };

static void a_process_killed_at_any_point_leaves_the_books_right(void **state)
{
	struct place *t = *state;

	for (size_t i = 0; i < BOOK_POINTS; i++) {
		for (int round = 0; round < kills(); round++) {
			kill_at(t, book_points[i].name, (unsigned)round);
			assert_int_equal(active(t), book_points[i].left);
			assert_books_are_right(t, 2);
			release_all(t);
		}
	}
}

static void one_who_takes_over_from_the_dead_may_die_too(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;

	for (int round = 0; round < kills(); round++) {
		kill_at(t, "before commit", (unsigned)round);
		kill_at(t, "take over", (unsigned)round);
		kill_at(t, "take over", (unsigned)round);
		assert_ok(t, create(t, "0,1", 100, SECONDS(600), NULL, &p));
		assert_books_are_right(t, 2);
		assert_ok(t, chronos_release(t->c, p.id, &t->e));
	}
}

static const char *const making_points[] = { "new state created", "new state filled" };

static void one_killed_while_it_makes_the_state_is_no_obstacle(void **state)
{
	struct place t;
	int status;

	(void)state;
	for (int i = 0; i < 2 * kills(); i++) {
		place_init(&t);
		pid_t child = fork();
		if (child == 0) {
			deadly_point = making_points[i % 2];
			(void)!chronos_open(t.dir, &t.e);
			_exit(0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		open_place(&t);
		register_simulated(&t, 2);
		assert_books_are_right(&t, 2);
		place_fini(&t);
	}
}

/* Not at a point that we chose, but anywhere. */
static void a_process_killed_at_any_time_leaves_the_books_right(void **state)
{
	struct place *t = *state;
	unsigned seed = 7;

	for (int round = 0; round < kills() * 3; round++) {
		pid_t children[3];

		for (int i = 0; i < 3; i++) {
			children[i] = fork();
			if (children[i] == 0) {
				for (unsigned n = 0;; n++)
					use(t, n);
			}
		}
		/* Not for order: each round is cut at another place. */
		struct timespec cut = { 0, 100000 + rand_r(&seed) % 3000000 };
		nanosleep(&cut, NULL);
		for (int i = 0; i < 3; i++) {
			assert_int_equal(kill(children[i], SIGKILL), 0);
			assert_int_equal(waitpid(children[i], NULL, 0), children[i]);
		}
		/* A new handle looks at every record. */
		struct place second = *t;
		open_place(&second);
		assert_books_are_right(&second, 2);
		chronos_close(second.c);
		release_all(t);
	}
}

/* ---- who joined, killed while it holds a lock that it shares ---- */

static void sleep_ms(unsigned ms)
{
	const struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

static struct chronos_attachment *join(struct place *t, const char *name)
{
	const struct chronos_joining j = {
		.dir = t->dir, .name = name, .drain = nothing_to_drain
	};
	struct chronos_attachment *a = chronos_attach(&j, &t->e);

	if (!a)
		fail_msg("join: %s", t->e.text);
	return a;
}

static void launch_once(struct place *t, struct chronos_attachment *a)
{
	assert_ok(t, chronos_launch(a, &t->e));
	chronos_launch_done(a, 1);
}

/* Process 1 of its namespace, as its neighbour is of another. */
static void take_a_part(struct place *t, const int link[2])
{
	char byte;

	if (getpid() != 1)
		return;
	struct chronos_attachment *a = join(t, "shared");
	if (chronos_charge(a, chronos_quota(a) / 4, NULL) < 0 ||
		chronos_launch(a, NULL) < 0)
		return;
	chronos_launch_done(a, 1);
	if (write(link[0], "x", 1) == 1)
		(void)!read(link[0], &byte, 1);
}

static void processes_of_one_number_in_several_namespaces_have_parts_of_their_own(
	void **state)
{
	enum { PROCESSES = 4 };
	struct place *t = *state;
	struct chronos_partition p;
	struct chronos_usage u;
	pid_t pids[PROCESSES];
	int link[2];
	char byte;

	assert_ok(t, create(t, "0", 40, SECONDS(600), "shared", &p));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link), 0);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	for (int i = 0; i < PROCESSES; i++) {
		pids[i] = in_own_namespace(t, take_a_part, link);
		if (pids[i] < 0) {
			print_message("PID namespaces are not permitted here\n");
			skip();
		}
		assert_int_equal(read(link[1], &byte, 1), 1);
	}
	struct chronos_attachment *a = join(t, "shared");
	assert_ok(t, chronos_usage(t->c, &p, 0, &u, &t->e));
	assert_int_equal(u.clients, PROCESSES + 1);
	assert_refused(
		t, CHRONOS_EXHAUSTED, chronos_charge(a, chronos_quota(a) % 4 + 1, &t->e));
	/* One that dies gives back its own, and no other's. */
	kill(pids[0], SIGKILL);
	assert_int_equal(waitpid(pids[0], NULL, 0), pids[0]);
	assert_ok(t, chronos_charge(a, chronos_quota(a) / 4, &t->e));
	assert_refused(
		t, CHRONOS_EXHAUSTED, chronos_charge(a, chronos_quota(a) % 4 + 1, &t->e));
	launch_once(t, a);
	close(link[0]);
	close(link[1]);
	for (int i = 1; i < PROCESSES; i++)
		assert_int_equal(waitpid(pids[i], NULL, 0), pids[i]);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
	assert_ok(t, chronos_usage(t->c, &p, 0, &u, &t->e));
	assert_int_equal(u.used_bytes, chronos_quota(a) / 4);
	chronos_detach(a);
}

/* All that concerns the files by which one joins.  "outer" and "brief" are joined by
 * another. */
static void use_shares(struct place *t)
{
	struct chronos_partition p;

	if (create(t, "0", 20, SECONDS(600), "inner", &p) < 0)
		return;
	struct chronos_attachment *a = join(t, "inner");
	(void)!chronos_charge(a, 1, NULL);
	(void)!chronos_launch(a, NULL);
	chronos_launch_done(a, 1);
	(void)!chronos_renew(t->c, "inner", SECONDS(900), NULL, &t->e);
	(void)!chronos_renew(t->c, "brief", 1, NULL, &t->e);
	chronos_detach(a);
	(void)!chronos_release(t->c, "inner", &t->e);
	(void)!chronos_release(t->c, "outer", &t->e);
}

static size_t files_of_partitions(const struct place *t)
{
	DIR *d = opendir(t->dir);
	size_t n = 0;

	assert_non_null(d);
	for (struct dirent *f; (f = readdir(d));)
		n += strncmp(f->d_name, "partition-", 10) == 0;
	closedir(d);
	return n;
}

/* Of a partition that has ended; it is swept by who prepares another. */
static void leave_a_file(struct place *t)
{
	struct chronos_partition p;

	assert_ok(t, create(t, "1", 1, SECONDS(600), "stale", &p));
	assert_ok(t, chronos_prepare(t->c, "stale", NULL, &t->e));
	assert_ok(t, chronos_renew(t->c, "stale", 1, NULL, &t->e));
}

/* As if nothing had been: everything can be had, and nothing lies about. */
static void assert_all_is_well(struct place *t)
{
	struct chronos_partition p;
	struct place second = *t;

	open_place(&second);
	assert_books_are_right(&second, 2);
	chronos_close(second.c);
	release_all(t);
	assert_ok(t, create(t, "0", 99, SECONDS(600), NULL, &p));
	struct chronos_attachment *a = join(t, p.id);
	assert_int_equal(files_of_partitions(t), 1);
	assert_ok(t, chronos_charge(a, chronos_quota(a), &t->e));
	assert_ok(t, chronos_launch(a, &t->e));
	chronos_launch_done(a, 1);
	chronos_detach(a);
	assert_ok(t, chronos_release(t->c, p.id, &t->e));
}

/* Or earlier.  Detaches. */
static void assert_ends_with_the_books(
	struct place *t, const char *key, struct chronos_attachment *a)
{
	struct chronos_partition p;

	if (chronos_find(t->c, key, &p, &t->e) < 0)
		assert_refused(t, CHRONOS_NOT_FOUND, chronos_launch(a, &t->e));
	chronos_detach(a);
}

static const char *const share_points[] = { "before joinable", "new share created",
	"new share filled", "new share published", "swept one", "before joined",
	"after joined", "before seated", "after seated", "time charged", "end moved",
	"end stored", "released", "freed", "draining" };

static void a_process_killed_while_it_makes_or_ends_shares_leaves_nothing(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	int status;

	for (size_t i = 0; i < sizeof share_points / sizeof *share_points; i++) {
		for (int round = 0; round < kills(); round++) {
			assert_ok(t, create(t, "0", 50, SECONDS(600), "outer", &p));
			assert_ok(t, create(t, "0", 10, SECONDS(600), "brief", &p));
			struct chronos_attachment *a = join(t, "outer");
			struct chronos_attachment *b = join(t, "brief");
			leave_a_file(t);
			pid_t child = fork();
			assert_true(child >= 0);
			if (child == 0) {
				deadly_point = share_points[i];
				use_shares(t);
				_exit(0);
			}
			assert_int_equal(waitpid(child, &status, 0), child);
			if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
				fail_msg("nothing passed \"%s\"", share_points[i]);
			assert_ends_with_the_books(t, "outer", a);
			assert_ends_with_the_books(t, "brief", b);
			assert_all_is_well(t);
		}
	}
}

static const char *const turn_points[] = { "before charge", "after charge", "before turn",
	"after turn" };

static void killed_while_it_charges_or_takes_its_turn_it_spoils_nothing(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	int status;

	assert_ok(t, create(t, "0", 50, SECONDS(3600), NULL, &p));
	struct chronos_attachment *a = join(t, p.id);
	uint64_t quota = chronos_quota(a);
	for (int i = 0; i < 4 * kills(); i++) {
		pid_t child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			struct chronos_attachment *own = join(t, p.id);
			deadly_point = turn_points[i % 4];
			if (chronos_charge(own, quota / 2, NULL) == 0)
				(void)!chronos_launch(own, NULL);
			_exit(1);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		assert_ok(t, chronos_charge(a, quota, &t->e));
		assert_refused(t, CHRONOS_EXHAUSTED, chronos_charge(a, 1, &t->e));
		chronos_uncharge(a, quota);
		assert_ok(t, chronos_launch(a, &t->e));
		chronos_launch_done(a, 1);
	}
	chronos_detach(a);
	assert_books_are_right(t, 2);
}

/* Where an arbiter is killed; the last, by nobody's choice, is anywhere. */
static const char *const arbiter_points[] = { "lease charged", "before grant",
	"after grant", "before seat", "before seat left", "none" };

enum { ARBITER_POINTS = sizeof arbiter_points / sizeof *arbiter_points };

/* An arbiter that dies at each of its points in turn, and the next goes on.  deaths is
 * shared: how often it died at each. */
static _Noreturn void die_and_come_back(struct place *t, int deaths[ARBITER_POINTS])
{
	for (int i = 0;; i = (i + 1) % ARBITER_POINTS) {
		int status = 0;
		pid_t pid = fork();
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			deadly_point = arbiter_points[i];
			serve_for_ever(t, -1);
		}
		if (i == ARBITER_POINTS - 1) {
			sleep_ms(20);
			kill(pid, SIGKILL);
		}
		waitpid(pid, &status, 0);
		if (WIFSIGNALED(status))
			__atomic_add_fetch(&deaths[i], 1, __ATOMIC_SEQ_CST);
	}
}

/* The point at which it has died less often than that, or -1. */
static int point_missed(const int deaths[ARBITER_POINTS], int times)
{
	for (int i = 0; i < ARBITER_POINTS; i++) {
		if (__atomic_load_n(&deaths[i], __ATOMIC_SEQ_CST) < times)
			return i;
	}
	return -1;
}

static void an_arbiter_killed_at_any_point_is_followed_by_one_that_goes_on(void **state)
{
	struct place *t = *state;
	struct chronos_partition p, q;
	int times = kills(), missed;
	int *deaths = mmap(NULL, sizeof(int[ARBITER_POINTS]), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(deaths != MAP_FAILED);
	start_arbiter(t);
	assert_ok(t, create(t, "0", 50, SECONDS(3600), NULL, &p));
	struct chronos_attachment *a = join(t, p.id);
	kill_arbiter(t);
	t->arbiter = fork();
	assert_true(t->arbiter >= 0);
	if (t->arbiter == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		die_and_come_back(t, deaths);
	}
	/* Far more rounds than deaths, so that a point which nothing passes is found. */
	for (int i = 0; (missed = point_missed(deaths, times)) >= 0; i++) {
		if (i >= 40 * kills())
			fail_msg("%d deaths at \"%s\", not %d", deaths[missed],
				arbiter_points[missed], times);
		launch_once(t, a);
		/* Seats come and go. */
		assert_ok(t, create(t, "0", 25, SECONDS(3600), NULL, &q));
		struct chronos_attachment *b = join(t, q.id);
		launch_once(t, b);
		chronos_detach(b);
		assert_ok(t, chronos_release(t->c, q.id, &t->e));
	}
	chronos_detach(a);
	assert_books_are_right(t, 2);
	munmap(deaths, sizeof(int[ARBITER_POINTS]));
}

/* ---- none is forgotten ---- */

static bool is_among(const char *name, const char *const *points, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(points[i], name) == 0)
			return true;
	}
	return false;
}

#define IS_AMONG(name, points) is_among(name, points, sizeof(points) / sizeof *(points))

/* Is there a test above that kills there? */
static bool is_deadly(const char *name)
{
	bool of_books = strcmp(name, "take over") == 0;

	for (size_t i = 0; i < BOOK_POINTS; i++)
		of_books |= strcmp(book_points[i].name, name) == 0;
	return of_books || IS_AMONG(name, making_points) || IS_AMONG(name, turn_points) ||
	       IS_AMONG(name, share_points) || IS_AMONG(name, arbiter_points);
}

static size_t check_points(const char *file)
{
	char path[512], line[256];
	size_t n = 0;

	snprintf(path, sizeof path, "chronos/%s", file);
	FILE *f = fopen(path, "r");
	assert_non_null(f);
	while (fgets(line, sizeof line, f)) {
		char *at = strstr(line, "FAULT_POINT(\""), *name = at ? at + 13 : NULL;
		if (!name)
			continue;
		name[strcspn(name, "\"")] = '\0';
		if (!is_deadly(name))
			fail_msg("%s: nothing is killed at \"%s\"", path, name);
		n++;
	}
	fclose(f);
	return n;
}

static void at_each_point_of_the_sources_something_is_killed(void **state)
{
	(void)state;
	DIR *d = opendir("chronos");
	size_t n = 0;

	assert_non_null(d);
	for (struct dirent *f; (f = readdir(d));) {
		size_t length = strlen(f->d_name);
		if (length > 2 && strcmp(f->d_name + length - 2, ".c") == 0)
			n += check_points(f->d_name);
	}
	closedir(d);
	assert_true(n > 30);
}

/* ---- as many as there is room for ---- */

/* All in one process here: to each other they are as many.  They take turns themselves. */
static void many_clients_share_memory_and_time(void **state)
{
	const int clients = from_environment("CHRONOS_CLIENTS", 512);
	struct place *t = *state;
	struct chronos_attachment **a =
		calloc((size_t)clients, sizeof(struct chronos_attachment *));
	const struct chronos_joining j = {
		.dir = t->dir, .name = "full", .drain = nothing_to_drain
	};
	struct chronos_partition p;
	struct chronos_usage u;
	struct rlimit files;

	assert_non_null(a);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = files.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	if (files.rlim_max < 2 * (rlim_t)clients + 100) {
		print_message("too few files may be open: %lu\n",
			(unsigned long)files.rlim_max);
		free(a);
		skip();
	}
	assert_ok(t, create(t, "0", 90, SECONDS(600), "full", &p));
	for (int i = 0; i < clients; i++) {
		a[i] = join(t, "full");
		assert_ok(t, chronos_charge(a[i], 1000, &t->e));
	}
	if (clients == 4096) {
		assert_null(chronos_attach(&j, &t->e));
		assert_int_equal(t->e.code, CHRONOS_EXHAUSTED);
	}
	assert_ok(t, chronos_usage(t->c, &p, 0, &u, &t->e));
	assert_int_equal(u.clients, clients);
	assert_int_equal(u.used_bytes, clients * 1000);
	assert_refused(t, CHRONOS_EXHAUSTED,
		chronos_charge(a[0], chronos_quota(a[0]) - u.used_bytes + 1, &t->e));
	for (int i = 0; i < clients; i += clients / 16) {
		launch_once(t, a[i]);
		chronos_settle(a[i]);
	}
	for (int i = 0; i < clients; i++)
		chronos_detach(a[i]);
	assert_ok(t, chronos_usage(t->c, &p, 0, &u, &t->e));
	assert_int_equal(u.clients, 0);
	free(a);
}

/* ---- what tests/chronos.md names ---- */

static char *read_whole(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t room = 0;

	assert_non_null(f);
	assert_true(getdelim(&text, &room, EOF, f) > 0);
	fclose(f);
	return text;
}

/* The bodies of all tests of chronos, one behind the other. */
static char *all_tests(void)
{
	glob_t files;
	size_t length = 0;
	char *all = NULL;

	assert_int_equal(glob("tests/unit/test_chronos*.c", 0, NULL, &files), 0);
	for (size_t i = 0; i < files.gl_pathc; i++) {
		char *text = read_whole(files.gl_pathv[i]);
		size_t more = strlen(text);
		all = realloc(all, length + more + 1);
		assert_non_null(all);
		memcpy(all + length, text, more + 1);
		length += more;
		free(text);
	}
	globfree(&files);
	return all;
}

static void each_test_that_the_list_of_faults_names_is_there(void **state)
{
	(void)state;
	char *list = read_whole("tests/chronos.md"), *tests = all_tests(), *rest = list;
	size_t n = 0;

	/* Names are in `code`, and have no blank, point or asterisk. */
	for (char *word; (word = strtok_r(rest, "`", &rest));) {
		char line[160];
		if (strspn(word, "abcdefghijklmnopqrstuvwxyz_") != strlen(word) ||
			!strchr(word, '_') || strcmp(word, "test_chronos_faults") == 0)
			continue;
		snprintf(line, sizeof line, "static void %s(", word);
		if (!strstr(tests, line))
			fail_msg("there is no test %s", word);
		n++;
	}
	assert_true(n > 50);
	free(list);
	free(tests);
}

int main(void)
{
#define with_devices(test) cmocka_unit_test_setup_teardown(test, two_devices, no_place)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_test_that_the_list_of_faults_names_is_there),
		cmocka_unit_test(at_each_point_of_the_sources_something_is_killed),
		with_devices(
			a_process_killed_while_it_makes_or_ends_shares_leaves_nothing),
		with_devices(killed_while_it_charges_or_takes_its_turn_it_spoils_nothing),
		with_devices(
			an_arbiter_killed_at_any_point_is_followed_by_one_that_goes_on),
		with_devices(of_many_processes_exactly_one_gets_nine_tenths),
		with_devices(never_do_two_hold_six_tenths_of_a_device),
		with_devices(
			processes_of_one_number_in_several_namespaces_exclude_each_other),
		with_devices(
			processes_of_one_number_in_several_namespaces_have_parts_of_their_own),
		with_devices(many_clients_share_memory_and_time),
		with_devices(a_waiter_that_is_killed_frees_nobody_elses_lock),
		with_devices(in_a_time_namespace_it_is_as_late_as_elsewhere),
		cmocka_unit_test(of_many_processes_one_makes_the_state),
		with_devices(threads_share_a_handle),
		with_devices(a_process_killed_at_any_point_leaves_the_books_right),
		with_devices(one_who_takes_over_from_the_dead_may_die_too),
		cmocka_unit_test(one_killed_while_it_makes_the_state_is_no_obstacle),
		with_devices(a_process_killed_at_any_time_leaves_the_books_right),
	};
	cmocka_set_test_filter(getenv("CHRONOS_TEST"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
