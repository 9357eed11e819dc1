/* test_chronos_share.c - who joins a partition is held to its memory, and loses nothing. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "test_chronos.h"

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/mman.h>

static void nothing_to_drain(void *arg)
{
	(void)arg;
}

static struct chronos_attachment *join(struct place *t, const char *name, uint32_t device)
{
	const struct chronos_joining j = {
		.dir = t->dir, .name = name, .device = device, .drain = nothing_to_drain
	};

	return chronos_attach(&j, &t->e);
}

static struct chronos_attachment *must_join(struct place *t, const char *name)
{
	struct chronos_attachment *a = join(t, name, 0);

	if (!a)
		fail_msg("join: %s", t->e.text);
	return a;
}

/* A child that joins, takes `bytes` and then waits to be killed. */
static pid_t holder(struct place *t, const char *name, uint64_t bytes)
{
	int ready[2];
	char byte;

	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		struct chronos_attachment *a = join(t, name, 0);
		if (!a || chronos_charge(a, bytes, NULL) < 0 ||
			write(ready[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	return pid;
}

static void end_holder(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void the_quota_is_the_share_to_the_byte(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;

	assert_ok(t, create(t, "0", 33, SECONDS(60), NULL, &p));
	struct chronos_attachment *a = must_join(t, p.id);
	uint64_t quota = chronos_quota(a);
	assert_int_equal(quota, chronos_share_bytes(UINT64_C(16) << 30, 33));

	assert_ok(t, chronos_charge(a, quota - 1, &t->e));
	assert_refused(t, CHRONOS_EXHAUSTED, chronos_charge(a, 2, &t->e));
	assert_refused(t, CHRONOS_EXHAUSTED, chronos_charge(a, UINT64_MAX, &t->e));
	assert_ok(t, chronos_charge(a, 1, &t->e));
	assert_ok(t, chronos_charge(a, 0, &t->e));
	assert_refused(t, CHRONOS_EXHAUSTED, chronos_charge(a, 1, &t->e));
	assert_int_equal(chronos_used(a), quota);
	chronos_uncharge(a, 1000003);
	assert_refused(t, CHRONOS_EXHAUSTED, chronos_charge(a, 1000004, &t->e));
	assert_ok(t, chronos_charge(a, 1000003, &t->e));
	chronos_detach(a);
}

static void processes_of_a_partition_share_its_quota(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	struct chronos_usage u;

	assert_ok(t, create(t, "0", 50, SECONDS(60), NULL, &p));
	struct chronos_attachment *a = must_join(t, p.id);
	uint64_t quota = chronos_quota(a);
	pid_t other = holder(t, p.id, quota - 100);

	assert_refused(t, CHRONOS_EXHAUSTED, chronos_charge(a, 101, &t->e));
	assert_ok(t, chronos_charge(a, 100, &t->e));
	assert_ok(t, chronos_usage(t->c, &p, 0, &u, &t->e));
	assert_int_equal(u.used_bytes, quota);
	assert_int_equal(u.quota_bytes, quota);
	assert_int_equal(u.clients, 2);
	assert_int_equal(u.refusals, 1);
	assert_string_equal(u.enforcement, "cooperative");
	chronos_detach(a);
	end_holder(other);
}

static const char *enforcement(struct place *t, const char *id)
{
	struct chronos_partition p;
	struct chronos_usage u;

	assert_ok(t, chronos_find(t->c, id, &p, &t->e));
	assert_ok(t, chronos_usage(t->c, &p, 0, &u, &t->e));
	return u.enforcement;
}

static void a_partition_that_the_kernel_holds_too_says_so(void **state)
{
	struct place *t = *state;
	struct chronos_partition p, other;

	assert_ok(t, create(t, "0", 50, SECONDS(60), "held", &p));
	assert_ok(t, create(t, "0", 50, SECONDS(60), NULL, &other));
	assert_string_equal(enforcement(t, p.id), "off");
	assert_ok(t, chronos_note_dmem(t->c, p.id, &t->e));
	assert_ok(t, chronos_note_dmem(t->c, "held", &t->e));
	assert_string_equal(enforcement(t, p.id), "dmem");
	struct chronos_attachment *a = must_join(t, p.id);
	assert_string_equal(enforcement(t, p.id), "cooperative+dmem");
	assert_string_equal(enforcement(t, other.id), "off");
	chronos_detach(a);

	/* Its record is another's next time. */
	assert_ok(t, chronos_release(t->c, p.id, &t->e));
	assert_refused(t, CHRONOS_NOT_FOUND, chronos_note_dmem(t->c, p.id, &t->e));
	assert_ok(t, create(t, "0", 50, SECONDS(60), "held", &p));
	assert_string_equal(enforcement(t, p.id), "off");
}

static void what_a_killed_process_held_comes_back(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	struct chronos_usage u;

	assert_ok(t, create(t, "0", 50, SECONDS(60), NULL, &p));
	pid_t other = holder(t, p.id, UINT64_C(8) << 30);
	struct chronos_attachment *a = must_join(t, p.id);
	assert_refused(t, CHRONOS_EXHAUSTED, chronos_charge(a, 1, &t->e));

	/* To who was there already, too. */
	end_holder(other);
	assert_ok(t, chronos_charge(a, chronos_quota(a), &t->e));
	assert_ok(t, chronos_usage(t->c, &p, 0, &u, &t->e));
	assert_int_equal(u.clients, 1);
	chronos_detach(a);

	a = must_join(t, p.id);
	assert_int_equal(chronos_used(a), 0);
	chronos_detach(a);
}

static void other_partitions_and_devices_have_their_own(void **state)
{
	struct place *t = *state;
	struct chronos_partition p, q;

	assert_ok(t, create(t, "0,1", 50, SECONDS(60), NULL, &p));
	assert_ok(t, create(t, "0", 50, SECONDS(60), NULL, &q));
	struct chronos_attachment *a = must_join(t, p.id), *b = must_join(t, q.id);
	struct chronos_attachment *on_1 = join(t, p.id, 1);
	assert_non_null(on_1);
	assert_ok(t, chronos_charge(a, chronos_quota(a), &t->e));
	assert_ok(t, chronos_charge(b, chronos_quota(b), &t->e));
	assert_ok(t, chronos_charge(on_1, chronos_quota(on_1), &t->e));
	assert_null(join(t, q.id, 1));
	assert_int_equal(t->e.code, CHRONOS_NOT_FOUND);
	chronos_detach(a);
	chronos_detach(b);
	chronos_detach(on_1);
}

static void a_released_partition_takes_nothing_more(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;

	assert_ok(t, create(t, "0", 50, SECONDS(60), NULL, &p));
	struct chronos_attachment *a = must_join(t, p.id);
	assert_ok(t, chronos_charge(a, 1, &t->e));
	assert_ok(t, chronos_launch(a, &t->e));
	chronos_launch_done(a, 1);
	assert_ok(t, chronos_release(t->c, p.id, &t->e));
	assert_refused(t, CHRONOS_NOT_FOUND, chronos_charge(a, 1, &t->e));
	assert_refused(t, CHRONOS_NOT_FOUND, chronos_launch(a, &t->e));
	chronos_uncharge(a, 1);
	chronos_detach(a);
	assert_null(join(t, p.id, 0));
	assert_int_equal(t->e.code, CHRONOS_NOT_FOUND);
}

static void an_expired_partition_takes_nothing_more_and_a_renewed_one_does(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	uint32_t share[] = { 50, 100 };

	for (size_t i = 0; i < 2; i++) {
		assert_ok(t, create(t, "0", share[i], SECONDS(60), NULL, &p));
		struct chronos_attachment *a = must_join(t, p.id);
		assert_ok(t, chronos_renew(t->c, p.id, SECONDS(3600), NULL, &t->e));
		assert_ok(t, chronos_launch(a, &t->e));
		chronos_launch_done(a, 1);
		assert_ok(t, chronos_renew(t->c, p.id, 1, NULL, &t->e));
		assert_refused(t, CHRONOS_NOT_FOUND, chronos_charge(a, 1, &t->e));
		assert_refused(t, CHRONOS_NOT_FOUND, chronos_launch(a, &t->e));
		chronos_detach(a);
	}
}

static void a_forked_child_has_no_part_in_it(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	struct chronos_usage u;
	int status, hold[2];

	assert_ok(t, create(t, "0", 50, SECONDS(60), NULL, &p));
	struct chronos_attachment *a = must_join(t, p.id);
	assert_ok(t, chronos_charge(a, 1000, &t->e));
	assert_int_equal(pipe(hold), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		char byte;
		close(hold[1]);
		chronos_uncharge(a, 500);
		bool left_out =
			chronos_charge(a, 1, NULL) < 0 && chronos_launch(a, NULL) < 0;
		/* It may join anew, and outlives its parent's part. */
		struct chronos_attachment *own = join(t, p.id, 0);
		bool joined = own && chronos_charge(own, 10, NULL) == 0;
		chronos_detach(own);
		chronos_detach(a);
		(void)!read(hold[0], &byte, 1);
		_exit(left_out && joined ? 0 : 1);
	}
	close(hold[0]);
	assert_int_equal(chronos_used(a) >= 1000, 1);
	chronos_detach(a);
	assert_ok(t, chronos_usage(t->c, &p, 0, &u, &t->e));
	close(hold[1]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_ok(t, chronos_usage(t->c, &p, 0, &u, &t->e));
	assert_int_equal(u.clients, 0);
	assert_int_equal(u.used_bytes, 0);
}

static void a_partition_has_nothing_of_other_devices(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	struct chronos_usage u;

	assert_ok(t, create(t, "1", 50, SECONDS(60), NULL, &p));
	assert_ok(t, chronos_usage(t->c, &p, 1, &u, &t->e));
	assert_refused(t, CHRONOS_NOT_FOUND, chronos_usage(t->c, &p, 0, &u, &t->e));
	assert_refused(t, CHRONOS_NOT_FOUND, chronos_usage(t->c, &p, 64, &u, &t->e));
}

static void a_child_that_lives_on_keeps_nothing_of_a_killed_parent(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	struct chronos_usage u;
	int hold[2], ready[2];
	char byte;

	assert_ok(t, create(t, "0", 50, SECONDS(60), NULL, &p));
	assert_int_equal(pipe(hold), 0);
	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct chronos_attachment *a = join(t, p.id, 0);
		if (!a || chronos_charge(a, 4096, NULL) < 0)
			_exit(1);
		if (fork() == 0) {
			close(hold[1]);
			(void)!write(ready[1], "x", 1);
			(void)!read(hold[0], &byte, 1);
			_exit(0);
		}
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	assert_ok(t, chronos_usage(t->c, &p, 0, &u, &t->e));
	assert_int_equal(u.used_bytes, 4096);
	end_holder(pid);
	assert_ok(t, chronos_usage(t->c, &p, 0, &u, &t->e));
	assert_int_equal(u.used_bytes, 0);
	close(hold[0]);
	close(hold[1]);
}

/* It is another program then, which has joined nothing. */
static void what_a_program_had_before_it_executed_another_is_free(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	struct chronos_usage u;
	int until_exec[2], hold[2];
	char byte;

	assert_ok(t, create(t, "0", 50, SECONDS(60), NULL, &p));
	assert_int_equal(pipe2(until_exec, O_CLOEXEC), 0);
	assert_int_equal(pipe(hold), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct chronos_attachment *a = join(t, p.id, 0);
		close(hold[1]);
		if (a && chronos_charge(a, chronos_quota(a), NULL) == 0 &&
			chronos_launch(a, NULL) == 0 &&
			write(until_exec[1], "x", 1) == 1 &&
			dup2(hold[0], STDIN_FILENO) == STDIN_FILENO)
			execlp("cat", "cat", (char *)NULL);
		_exit(1);
	}
	close(until_exec[1]);
	close(hold[0]);
	/* A byte, and the end when it executes: then its part is gone, and it is not. */
	assert_int_equal(read(until_exec[0], &byte, 1), 1);
	assert_int_equal(read(until_exec[0], &byte, 1), 0);
	struct chronos_attachment *a = must_join(t, p.id);
	assert_ok(t, chronos_charge(a, chronos_quota(a), &t->e));
	assert_ok(t, chronos_launch(a, &t->e));
	chronos_launch_done(a, 1);
	assert_ok(t, chronos_usage(t->c, &p, 0, &u, &t->e));
	assert_int_equal(u.clients, 1);
	assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
	close(hold[1]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(until_exec[0]);
	chronos_detach(a);
}

struct busy {
	struct chronos_attachment *a;
	uint32_t stop;
};

/* All that takes a lock, without a pause. */
static void *be_busy(void *arg)
{
	struct busy *b = arg;

	while (!__atomic_load_n(&b->stop, __ATOMIC_SEQ_CST)) {
		if (chronos_charge(b->a, 1, NULL) == 0)
			chronos_uncharge(b->a, 1);
		if (chronos_launch(b->a, NULL) == 0)
			chronos_launch_done(b->a, 1);
		chronos_settle(b->a);
	}
	return NULL;
}

/* In a child that a thread forked, whatever its siblings were in the middle of. */
static int join_in_child(
	struct place *t, const char *name, struct chronos_attachment *old)
{
	struct chronos_partition p;

	alarm(60); /* a lock that nobody will give back */
	if (chronos_charge(old, 1, NULL) == 0)
		return 1;
	struct chronos_attachment *a = join(t, name, 0);
	if (!a || chronos_charge(a, 1, NULL) < 0 || chronos_launch(a, NULL) < 0)
		return 2;
	chronos_launch_done(a, 1);
	chronos_detach(a);
	chronos_detach(old);
	return chronos_find(t->c, name, &p, &t->e) < 0 ? 3 : 0;
}

static void a_thread_may_fork_while_others_charge_and_launch(void **state)
{
	enum { THREADS = 3, FORKS = 60 };
	struct place *t = *state;
	struct chronos_partition p;
	struct chronos_usage u;
	pthread_t threads[THREADS];

	assert_ok(t, create(t, "0", 90, SECONDS(600), NULL, &p));
	struct busy b = { .a = must_join(t, p.id) };
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, be_busy, &b), 0);
	for (int i = 0; i < FORKS; i++) {
		int status;
		pid_t pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			_exit(join_in_child(t, p.id, b.a));
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	__atomic_store_n(&b.stop, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(chronos_used(b.a), 0);
	assert_ok(t, chronos_usage(t->c, &p, 0, &u, &t->e));
	assert_int_equal(u.clients, 1);
	chronos_detach(b.a);
}

static void the_files_alone_are_enough_to_join(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	char path[200], away[200];

	assert_ok(t, create(t, "0", 50, SECONDS(60), "a.key", &p));
	assert_ok(t, chronos_prepare(t->c, "a.key", NULL, &t->e));
	snprintf(path, sizeof path, "%s/state", t->dir);
	snprintf(away, sizeof away, "%s/state.away", t->dir);
	assert_int_equal(rename(path, away), 0);
	struct chronos_attachment *a = must_join(t, p.id);
	assert_ok(t, chronos_charge(a, 1, &t->e));
	chronos_detach(a);
	assert_null(join(t, "a.key", 0));
	assert_null(join(t, "../state.away", 0));
	assert_int_equal(rename(away, path), 0);
}

static void files_that_cannot_be_are_refused(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	char path[200], state_path[200];

	assert_ok(t, create(t, "0", 50, SECONDS(60), NULL, &p));
	assert_ok(t, chronos_prepare(t->c, p.id, NULL, &t->e));
	snprintf(state_path, sizeof state_path, "%s/state", t->dir);
	assert_int_equal(unlink(state_path), 0);
	snprintf(path, sizeof path, "%s/partition-%s", t->dir, p.id);
	assert_int_equal(truncate(path, 4096), 0);
	assert_null(join(t, p.id, 0));
	assert_int_equal(t->e.code, CHRONOS_UNAVAILABLE);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("device-0", path), 0);
	assert_null(join(t, p.id, 0));
	assert_int_equal(unlink(path), 0);
	assert_null(join(t, p.id, 0));
	assert_int_equal(t->e.code, CHRONOS_NOT_FOUND);
}

static void files_of_what_has_ended_are_swept(void **state)
{
	struct place *t = *state;
	struct chronos_partition p, q;
	char path[200];

	assert_ok(t, create(t, "0", 50, SECONDS(60), NULL, &p));
	assert_ok(t, chronos_prepare(t->c, p.id, NULL, &t->e));
	snprintf(path, sizeof path, "%s/partition-%s", t->dir, p.id);
	assert_int_equal(access(path, F_OK), 0);
	assert_ok(t, chronos_renew(t->c, p.id, 1, NULL, &t->e));
	assert_ok(t, create(t, "0", 50, SECONDS(60), NULL, &q));
	assert_ok(t, chronos_prepare(t->c, q.id, NULL, &t->e));
	assert_int_equal(access(path, F_OK), -1);
	snprintf(path, sizeof path, "%s/partition-%s", t->dir, q.id);
	assert_ok(t, chronos_release(t->c, q.id, &t->e));
	assert_int_equal(access(path, F_OK), -1);
}

static void many_at_once_get_the_quota_and_no_more(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;
	enum { PROCESSES = 4, BLOCK = 1000003 };
	uint64_t *granted = mmap(
		NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t pids[PROCESSES];
	int go[2], hold[2];
	char byte;

	assert_true(granted != MAP_FAILED);
	assert_ok(t, create(t, "0", 1, SECONDS(600), NULL, &p));
	uint64_t blocks = chronos_share_bytes(UINT64_C(16) << 30, 1) / BLOCK;
	assert_int_equal(pipe(go), 0);
	assert_int_equal(pipe(hold), 0);
	for (int i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] > 0)
			continue;
		struct chronos_attachment *a = join(t, p.id, 0);
		close(hold[1]);
		for (int n = 0; a && n < 3000; n++) {
			if (chronos_charge(a, BLOCK, NULL) == 0)
				__atomic_fetch_add(granted, 1, __ATOMIC_SEQ_CST);
		}
		/* Nobody gives back before all have had enough. */
		(void)!write(go[1], "x", 1);
		(void)!read(hold[0], &byte, 1);
		_exit(a ? 0 : 1);
	}
	for (int i = 0; i < PROCESSES; i++)
		assert_int_equal(read(go[0], &byte, 1), 1);
	close(hold[1]);
	for (int i = 0; i < PROCESSES; i++) {
		int status;
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
	}
	assert_int_equal(*granted, blocks);
	munmap(granted, 4096);
	close(hold[0]);
	close(go[0]);
	close(go[1]);
}

static uint32_t draining(struct place *t)
{
	struct chronos_device d[2];
	size_t n;

	assert_ok(t, chronos_devices(t->c, d, 2, &n, &t->e));
	assert_int_equal(
		d[0].draining_hundredths + available(t, "0") + d[0].partitions * 50,
		CHRONOS_WHOLE);
	return d[0].draining_hundredths;
}

static bool has_file(const struct place *t, const char *id)
{
	char path[512];

	snprintf(path, sizeof path, "%s/partition-%s", t->dir, id);
	return access(path, F_OK) == 0;
}

static void memory_of_a_released_partition_is_taken_until_its_last_process_ends(
	void **state)
{
	struct place *t = *state;
	struct chronos_partition p, q;

	assert_ok(t, create(t, "0", 50, SECONDS(600), "same", &p));
	pid_t one = holder(t, p.id, 1), two = holder(t, p.id, 1);
	assert_int_equal(draining(t), 0);
	assert_ok(t, chronos_release(t->c, p.id, &t->e));
	assert_refused(t, CHRONOS_NOT_FOUND, chronos_release(t->c, p.id, &t->e));
	assert_int_equal(active(t), 0);
	assert_int_equal(draining(t), 50);
	assert_int_equal(available(t, "0"), 50);
	assert_refused(
		t, CHRONOS_EXHAUSTED, create(t, "0", 51, SECONDS(600), "same", &q));
	assert_non_null(strstr(t->e.text, "still hold memory"));
	/* What is free is free, under the same key too, and makes the files of others stay. */
	assert_ok(t, create(t, "0", 50, SECONDS(600), "same", &q));
	assert_string_not_equal(q.id, p.id);
	assert_ok(t, chronos_prepare(t->c, q.id, NULL, &t->e));
	assert_int_equal(draining(t), 50);
	end_holder(one);
	assert_int_equal(draining(t), 50);
	end_holder(two);
	assert_int_equal(draining(t), 0);
	assert_int_equal(available(t, "0"), 50);
	/* Who releases it once more takes its file away. */
	assert_true(has_file(t, p.id));
	assert_refused(t, CHRONOS_NOT_FOUND, chronos_release(t->c, p.id, &t->e));
	assert_false(has_file(t, p.id));
	assert_true(has_file(t, q.id));
	assert_ok(t, create(t, "0", 50, SECONDS(600), NULL, &p));
}

static void memory_of_an_expired_partition_is_taken_until_its_last_process_ends(
	void **state)
{
	struct place *t = *state;
	struct chronos_partition p, q;

	assert_ok(t, create(t, "0", 50, SECONDS(600), NULL, &p));
	pid_t pid = holder(t, p.id, 1);
	assert_ok(t, chronos_renew(t->c, p.id, 1, NULL, &t->e));
	assert_int_equal(draining(t), 50);
	assert_refused(t, CHRONOS_EXHAUSTED, create(t, "0", 51, SECONDS(600), NULL, &q));
	assert_ok(t, create(t, "1", 100, SECONDS(600), NULL, &q));
	/* Whoever opens the directory anew finds it so. */
	chronos_close(t->c);
	open_place(t);
	assert_int_equal(draining(t), 50);
	end_holder(pid);
	assert_int_equal(draining(t), 0);
	assert_ok(t, create(t, "0", 100, SECONDS(600), NULL, &q));
}

#define sentence(f) cmocka_unit_test_setup_teardown(f, two_devices, no_place)

int main(void)
{
	const struct CMUnitTest tests[] = {
		sentence(the_quota_is_the_share_to_the_byte),
		sentence(processes_of_a_partition_share_its_quota),
		sentence(a_partition_that_the_kernel_holds_too_says_so),
		sentence(what_a_killed_process_held_comes_back),
		sentence(other_partitions_and_devices_have_their_own),
		sentence(a_released_partition_takes_nothing_more),
		sentence(an_expired_partition_takes_nothing_more_and_a_renewed_one_does),
		sentence(a_forked_child_has_no_part_in_it),
		sentence(a_partition_has_nothing_of_other_devices),
		sentence(a_child_that_lives_on_keeps_nothing_of_a_killed_parent),
		sentence(what_a_program_had_before_it_executed_another_is_free),
		sentence(a_thread_may_fork_while_others_charge_and_launch),
		sentence(the_files_alone_are_enough_to_join),
		sentence(files_that_cannot_be_are_refused),
		sentence(files_of_what_has_ended_are_swept),
		sentence(
			memory_of_a_released_partition_is_taken_until_its_last_process_ends),
		sentence(
			memory_of_an_expired_partition_is_taken_until_its_last_process_ends),
		sentence(many_at_once_get_the_quota_and_no_more),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
