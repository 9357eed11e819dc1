/* test_chronos_arbiter.c - what a program that cannot be trusted may do to others: nothing. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "share.h"
#include "test_chronos.h"
#include "timed_device.h"

#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define MS(n) (UINT64_C(1000000) * (n))

static const uint64_t LIMIT_NS = SECONDS(60);

static void sleep_ms(unsigned ms)
{
	const struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

	nanosleep(&t, NULL);
}

static struct chronos_attachment *join(struct place *t, const char *dir,
	const struct chronos_partition *p, struct timed_queue *q)
{
	const struct chronos_joining j = {
		.dir = dir, .name = p->id, .device = 0, .drain = timed_drain, .arg = q
	};

	q->a = chronos_attach(&j, &t->e);
	if (!q->a)
		fail_msg("join: %s", t->e.text);
	return q->a;
}

static void run_kernels(struct place *t, struct timed_queue *q, int count)
{
	for (int i = 0; i < count; i++) {
		assert_ok(t, timed_launch(q, MS(1), &t->e));
		timed_wait(q);
	}
}

static int open_partition(const struct place *t, const struct chronos_partition *p)
{
	char path[160];

	snprintf(path, sizeof path, "%s/partition-%s", t->dir, p->id);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static struct chronos_usage usage(struct place *t, const struct chronos_partition *p)
{
	struct chronos_usage u;

	assert_ok(t, chronos_usage(t->c, p, 0, &u, &t->e));
	return u;
}

/* ---- who may write what ---- */

static void a_program_that_may_only_read_the_device_gets_turns(void **state)
{
	struct place *t = *state;
	struct timed_device *d = timed_device_new();
	struct timed_queue q = { .device = d };
	struct chronos_partition p;
	char job[120], from[200], to[200];

	/* What a container has: no state, its own partition, and the device to read. */
	assert_ok(t, create(t, "0", 50, SECONDS(600), NULL, &p));
	assert_ok(t, chronos_prepare(t->c, p.id, NULL, &t->e));
	snprintf(job, sizeof job, "%s/job", t->base);
	assert_int_equal(mkdir(job, 0700), 0);
	snprintf(from, sizeof from, "%s/partition-%s", t->dir, p.id);
	snprintf(to, sizeof to, "%s/partition-%s", job, p.id);
	assert_int_equal(link(from, to), 0);
	snprintf(from, sizeof from, "%s/device-0", t->dir);
	snprintf(to, sizeof to, "%s/device-0", job);
	assert_int_equal(link(from, to), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		/* As nobody, where the test may: then the mode of the file holds. */
		if (getuid() == 0 &&
			(chown(job, 65534, 65534) < 0 || chmod(t->base, 0711) < 0))
			_exit(3);
		snprintf(to, sizeof to, "%s/partition-%s", job, p.id);
		if (getuid() == 0 && (chown(to, 65534, 65534) < 0 || setuid(65534) < 0))
			_exit(3);
		snprintf(to, sizeof to, "%s/device-0", job);
		if (getuid() == 65534 && access(to, W_OK) == 0)
			_exit(4);
		join(t, job, &p, &q);
		run_kernels(t, &q, 20);
		_exit(0);
	}
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_string_equal(usage(t, &p).enforcement, "arbitrated");
	snprintf(to, sizeof to, "%s/partition-%s", job, p.id);
	unlink(to);
	snprintf(to, sizeof to, "%s/device-0", job);
	unlink(to);
	rmdir(job);
	timed_device_free(d);
}

static void what_a_program_writes_about_its_quota_and_end_is_not_believed(void **state)
{
	struct place *t = *state;
	struct timed_device *d = timed_device_new();
	struct timed_queue q = { .device = d };
	struct chronos_partition p;

	assert_ok(t, create(t, "0", 25, SECONDS(600), NULL, &p));
	join(t, t->dir, &p, &q);
	uint64_t quota = chronos_quota(q.a);
	int fd = open_partition(t, &p);
	struct partition_file *f =
		mmap(NULL, sizeof *f, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(f != MAP_FAILED);
	for (int i = 0; i < CHRONOS_DEVICES_MAX; i++)
		f->quota_bytes[i] = UINT64_MAX;
	f->hundredths = CHRONOS_WHOLE;
	f->flags = PARTITION_BURST;
	assert_true(chronos_quota(q.a) == quota);
	assert_refused(t, CHRONOS_EXHAUSTED, chronos_charge(q.a, quota + 1, &t->e));

	uint64_t begun_ns = timed_now_ns();
	while (timed_now_ns() < begun_ns + MS(400))
		run_kernels(t, &q, 1);
	uint64_t past_ns = timed_now_ns() - begun_ns;
	assert_true(q.got_ns <= past_ns / 4 + MS(25) + MS(1));

	assert_ok(t, chronos_release(t->c, p.id, &t->e));
	f->expires_ns = UINT64_MAX;
	uint64_t limit_ns = timed_now_ns() + LIMIT_NS;
	while (timed_launch(&q, 1000, &t->e) == 0) {
		assert_true(timed_now_ns() < limit_ns);
		timed_wait(&q);
	}
	assert_int_equal(t->e.code, CHRONOS_NOT_FOUND);
	munmap(f, sizeof *f);
	close(fd);
	chronos_detach(q.a);
	timed_device_free(d);
}

/* ---- bad neighbours ---- */

typedef void harm(int fd);

static void write_junk(int fd)
{
	static unsigned char junk[sizeof(struct partition_file)];

	(void)!getrandom(junk, 4096, 0);
	for (size_t i = 4096; i < sizeof junk; i++)
		junk[i] = junk[i % 4096];
	(void)!pwrite(fd, junk, sizeof junk, 0);
}

static void cut_off(int fd)
{
	(void)!ftruncate(fd, 100);
	(void)!pwrite(fd, "x", 1, 50);
}

static void make_huge(int fd)
{
	(void)!ftruncate(fd, (off_t)1 << 40);
	(void)!pwrite(fd, "x", 1, 50);
}

static void ring_without_end(int fd)
{
	for (int i = 0; i < 2000; i++)
		(void)!pwrite(fd, "x", 1, offsetof(struct partition_file, bell));
}

/* All slots joined and waiting, in all states of work, of processes that are not there. */
static void want_as_thousands(int fd)
{
	const uint32_t all = SHARE_CLIENTS_MAX;

	for (uint32_t i = 0; i < SHARE_CLIENTS_MAX; i += 1) {
		const struct memory_client k = { .state = CLIENT_JOINED,
			.inflight = i % 3 ? UINT32_MAX : 0,
			.waiting = 1,
			.used_bytes = UINT64_MAX,
			.settled_ns = i % 2 ? UINT64_MAX : 0 };
		(void)!pwrite(fd, &k, sizeof k,
			(off_t)(offsetof(struct partition_file, clients) + i * sizeof k));
	}
	(void)!pwrite(
		fd, &all, sizeof all, offsetof(struct partition_file, clients_used));
}

/* One of every second byte, so that the kernel cannot join them; then as above. */
static void take_thousands_of_locks(int fd)
{
	static off_t next = SHARE_CLIENTS_MAX;
	static const int locks = 2000;

	for (; next < SHARE_CLIENTS_MAX + 2 * locks; next += 2) {
		struct flock lock = { .l_type = F_WRLCK, .l_start = next, .l_len = 1 };
		(void)!fcntl(fd, F_OFD_SETLK, &lock);
	}
	want_as_thousands(fd);
}

/* For ever, in a child; it has been done once. */
static pid_t start_harm(struct place *t, const struct chronos_partition *p, harm *h)
{
	int done[2];
	char byte;

	assert_int_equal(pipe(done), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		int fd = open_partition(t, p);
		h(fd);
		(void)!write(done[1], "d", 1);
		for (;;)
			h(fd);
	}
	close(done[1]);
	assert_int_equal(read(done[0], &byte, 1), 1);
	close(done[0]);
	return pid;
}

static void nobody_is_hurt_by(struct place *t, harm *h)
{
	struct timed_device *d = timed_device_new();
	struct timed_queue q = { .device = d };
	struct chronos_partition bad, good;
	struct chronos_usage u;

	assert_ok(t, create(t, "0", 50, SECONDS(600), NULL, &bad));
	assert_ok(t, create(t, "0", 50, SECONDS(600), NULL, &good));
	assert_ok(t, chronos_prepare(t->c, bad.id, NULL, &t->e));
	join(t, t->dir, &good, &q);
	run_kernels(t, &q, 5);
	pid_t pid = start_harm(t, &bad, h);
	uint64_t begun_ns = timed_now_ns();
	run_kernels(t, &q, 100);
	assert_true(timed_now_ns() - begun_ns < LIMIT_NS);
	/* Nor those who look after all partitions. */
	for (int i = 0; i < 100; i++) {
		(void)!chronos_usage(t->c, &bad, 0, &u, &t->e);
		assert_ok(t, chronos_renew(t->c, bad.id, SECONDS(600), NULL, &t->e));
	}
	assert_ok(t, chronos_release(t->c, bad.id, &t->e));
	run_kernels(t, &q, 20);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(available(t, "0"), 50);
	chronos_detach(q.a);
	timed_device_free(d);
}

static void junk_in_a_partitions_file_hurts_nobody_else(void **state)
{
	nobody_is_hurt_by(*state, write_junk);
}

static void a_partitions_file_that_is_cut_off_hurts_nobody_else(void **state)
{
	nobody_is_hurt_by(*state, cut_off);
}

static void a_partitions_file_that_is_made_huge_hurts_nobody_else(void **state)
{
	nobody_is_hurt_by(*state, make_huge);
}

static void a_bell_that_is_rung_without_end_hurts_nobody_else(void **state)
{
	nobody_is_hurt_by(*state, ring_without_end);
}

static void thousands_of_processes_that_do_not_exist_hurt_nobody_else(void **state)
{
	nobody_is_hurt_by(*state, want_as_thousands);
}

static void thousands_of_locks_on_a_partitions_file_hurt_nobody_else(void **state)
{
	nobody_is_hurt_by(*state, take_thousands_of_locks);
}

/* Its own figures are not known then; to look for them takes hardly longer. */
static void a_look_at_a_partition_with_thousands_of_locks_is_cut_short(void **state)
{
	enum { LOCKS = 20000 };
	struct place *t = *state;
	struct chronos_partition p;

	assert_ok(t, create(t, "0", 50, SECONDS(600), NULL, &p));
	assert_ok(t, chronos_prepare(t->c, p.id, NULL, &t->e));
	int fd = open_partition(t, &p);
	assert_false(usage(t, &p).uncounted);
	want_as_thousands(fd);
	for (off_t i = 0; i < LOCKS; i++) {
		struct flock lock = { .l_type = F_WRLCK,
			.l_start = SHARE_CLIENTS_MAX + 2 * i,
			.l_len = 1 };
		assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	}
	struct chronos_usage u = usage(t, &p);
	assert_true(u.uncounted);
	assert_int_equal(u.clients, 0);
	assert_int_equal(u.used_bytes, 0);
	assert_string_equal(u.enforcement, "arbitrated");
	close(fd);
	assert_false(usage(t, &p).uncounted);
}

static off_t size_of(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_size;
}

/* The folder has as much room as its file system, which is the machine's /run. */
static void a_partitions_file_that_grows_is_cut_back(void **state)
{
	struct place *t = *state;
	struct chronos_partition p;

	assert_ok(t, create(t, "0", 50, SECONDS(600), NULL, &p));
	assert_ok(t, chronos_prepare(t->c, p.id, NULL, &t->e));
	int fd = open_partition(t, &p);
	off_t before = size_of(fd);
	assert_int_equal(pwrite(fd, "x", 1, 16 << 20), 1);
	uint64_t limit_ns = timed_now_ns() + LIMIT_NS;
	while (size_of(fd) != before && timed_now_ns() < limit_ns)
		sleep_ms(1);
	assert_int_equal(size_of(fd), before);
	close(fd);
}

static long events_kept(void)
{
	FILE *f = fopen("/proc/sys/fs/inotify/max_queued_events", "re");
	long n = 0;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%ld", &n), 1);
	fclose(f);
	return n;
}

/* The kernel joins equal events that follow each other: two who ring in turns fill it. */
static void fill_queue_of_events(
	const struct place *t, const struct chronos_partition bad[2])
{
	int fds[2] = { open_partition(t, &bad[0]), open_partition(t, &bad[1]) };

	for (long i = events_kept() + 100; i > 0; i--)
		assert_int_equal(
			pwrite(fds[i % 2], "x", 1, offsetof(struct partition_file, bell)),
			1);
	close(fds[0]);
	close(fds[1]);
}

static void an_arbiter_that_missed_events_leaves_everybody_in_place(void **state)
{
	struct place *t = *state;
	struct timed_device *d = timed_device_new();
	struct timed_queue q = { .device = d }, late = { .device = d };
	struct chronos_partition bad[2], good, next;

	for (int i = 0; i < 2; i++) {
		assert_ok(t, create(t, "0", 10, SECONDS(600), NULL, &bad[i]));
		assert_ok(t, chronos_prepare(t->c, bad[i].id, NULL, &t->e));
	}
	assert_ok(t, create(t, "0", 40, SECONDS(600), NULL, &good));
	join(t, t->dir, &good, &q);
	run_kernels(t, &q, 5);
	uint64_t before_ns = usage(t, &good).time_ns;

	assert_int_equal(kill(t->arbiter, SIGSTOP), 0);
	fill_queue_of_events(t, bad);
	/* What came and went meanwhile is seen all the same. */
	assert_ok(t, chronos_release(t->c, bad[0].id, &t->e));
	assert_ok(t, create(t, "0", 40, SECONDS(600), NULL, &next));
	assert_ok(t, chronos_prepare(t->c, next.id, NULL, &t->e));
	assert_int_equal(kill(t->arbiter, SIGCONT), 0);

	run_kernels(t, &q, 5);
	assert_true(before_ns > 0 && usage(t, &good).time_ns > before_ns);
	join(t, t->dir, &next, &late);
	run_kernels(t, &late, 5);
	chronos_detach(q.a);
	chronos_detach(late.a);
	timed_device_free(d);
}

static bool has_lease(const struct chronos_attachment *a)
{
	uint64_t lease = __atomic_load_n(&a->d->lease, __ATOMIC_SEQ_CST);

	return lease && lease_who(lease) == a->who;
}

/* It says that it never had anything in flight, and launches all the same. */
static void who_says_that_it_used_nothing_is_charged_for_its_lease(void **state)
{
	struct place *t = *state;
	struct timed_device *d = timed_device_new();
	struct timed_queue q = { .device = d };
	struct chronos_partition p;

	assert_ok(t, create(t, "0", 50, SECONDS(600), NULL, &p));
	join(t, t->dir, &p, &q);
	struct partition_file *f = q.a->p;
	uint64_t begun_ns = timed_now_ns(), held_ns = 0;
	while (timed_now_ns() < begun_ns + MS(500)) {
		assert_ok(t, chronos_launch(q.a, &t->e));
		uint64_t at_ns = timed_now_ns();
		while (has_lease(q.a)) {
			__atomic_store_n(
				&f->clients[q.a->p_client].inflight, 0, __ATOMIC_SEQ_CST);
			__atomic_store_n(&f->clients[q.a->p_client].settled_ns, 0,
				__ATOMIC_SEQ_CST);
		}
		held_ns += timed_now_ns() - at_ns;
		chronos_launch_done(q.a, 1);
	}
	uint64_t past_ns = timed_now_ns() - begun_ns;
	assert_true(held_ns <= past_ns / 2 + MS(60));
	chronos_detach(q.a);
	timed_device_free(d);
}

/* ---- the arbiter's own end ---- */

static void there_is_one_arbiter_a_directory(void **state)
{
	struct place *t = *state;

	assert_null(chronos_arbiter_open(t->dir, &t->e));
	assert_int_equal(t->e.code, CHRONOS_CONFLICT);
	kill_arbiter(t);
	struct chronos_arbiter *a = chronos_arbiter_open(t->dir, &t->e);
	assert_non_null(a);
	chronos_arbiter_close(a);
}

static void a_killed_arbiter_is_followed_by_one_that_goes_on(void **state)
{
	struct place *t = *state;
	struct timed_device *d = timed_device_new();
	struct timed_queue q = { .device = d };
	struct chronos_partition p;

	assert_ok(t, create(t, "0", 50, SECONDS(600), NULL, &p));
	join(t, t->dir, &p, &q);
	for (int i = 0; i < 20; i++) {
		run_kernels(t, &q, 3);
		uint64_t before_ns = usage(t, &p).time_ns;
		kill_arbiter(t);
		start_arbiter(t);
		run_kernels(t, &q, 3);
		/* What it had stays on its account. */
		assert_true(usage(t, &p).time_ns >= before_ns && before_ns > 0);
	}
	chronos_detach(q.a);
	timed_device_free(d);
}

/* Of a lease that was taken away, with arbiters killed before, at and after that. */
static void an_overrun_is_counted_across_the_deaths_of_arbiters(void **state)
{
	struct place *t = *state;
	struct timed_device *d = timed_device_new();
	struct timed_queue q = { .device = d };
	struct chronos_partition p;
	struct chronos_usage u = { 0 };

	assert_ok(t, create(t, "0", 50, SECONDS(600), NULL, &p));
	join(t, t->dir, &p, &q);
	uint64_t begun_ns = timed_now_ns();
	assert_ok(t, timed_launch(&q, MS(2500), &t->e));
	for (int i = 0; i < 8; i++) {
		sleep_ms(250);
		kill_arbiter(t);
		start_arbiter(t);
	}
	timed_wait(&q);
	uint64_t limit_ns = timed_now_ns() + LIMIT_NS;
	do {
		u = usage(t, &p);
	} while (u.overrun_ns < MS(2450) && timed_now_ns() < limit_ns);
	assert_int_equal(u.overruns, 1);
	assert_in_range(u.overrun_ns, MS(2450), timed_now_ns() - begun_ns);
	assert_true(u.time_ns >= u.overrun_ns);
	chronos_detach(q.a);
	timed_device_free(d);
}

static void a_launch_waits_for_the_next_arbiter(void **state)
{
	struct place *t = *state;
	struct timed_device *d = timed_device_new();
	struct timed_queue q = { .device = d };
	struct chronos_partition p;
	int status;

	assert_ok(t, create(t, "0", 50, SECONDS(600), NULL, &p));
	assert_ok(t, chronos_prepare(t->c, p.id, NULL, &t->e));
	kill_arbiter(t);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		join(t, t->dir, &p, &q);
		run_kernels(t, &q, 30);
		_exit(0);
	}
	sleep_ms(100);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	start_arbiter(t);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	timed_device_free(d);
}

static void an_arbiter_does_not_start_beside_programs_that_take_turns_themselves(
	void **state)
{
	struct place *t = *state;
	struct timed_device *d = timed_device_new();
	struct timed_queue q = { .device = d };
	struct chronos_partition p;

	assert_ok(t, create(t, "0", 50, SECONDS(600), NULL, &p));
	join(t, t->dir, &p, &q);
	assert_string_equal(usage(t, &p).enforcement, "cooperative");
	assert_null(chronos_arbiter_open(t->dir, &t->e));
	assert_int_equal(t->e.code, CHRONOS_CONFLICT);
	run_kernels(t, &q, 3);
	chronos_detach(q.a);
	start_arbiter(t);
	join(t, t->dir, &p, &q);
	run_kernels(t, &q, 3);
	assert_string_equal(usage(t, &p).enforcement, "arbitrated");
	chronos_detach(q.a);
	timed_device_free(d);
}

/* The second device is refused: the first must not be left to an arbiter that there isn't. */
static void an_arbiter_that_cannot_have_all_devices_takes_none(void **state)
{
	struct place *t = *state;
	struct timed_device *d = timed_device_new();
	struct timed_queue q = { .device = d }, first = { .device = d };
	struct chronos_partition p, o;

	assert_ok(t, create(t, "0", 50, SECONDS(600), NULL, &o));
	join(t, t->dir, &o, &first);
	run_kernels(t, &first, 3);
	chronos_detach(first.a);
	assert_ok(t, create(t, "1", 50, SECONDS(600), NULL, &p));
	const struct chronos_joining j = {
		.dir = t->dir, .name = p.id, .device = 1, .drain = timed_drain, .arg = &q
	};
	q.a = chronos_attach(&j, &t->e);
	assert_non_null(q.a);
	for (int i = 0; i < 2; i++) {
		assert_null(chronos_arbiter_open(t->dir, &t->e));
		assert_int_equal(t->e.code, CHRONOS_CONFLICT);
		join(t, t->dir, &o, &first);
		run_kernels(t, &first, 3);
		assert_string_equal(usage(t, &o).enforcement, "cooperative");
		chronos_detach(first.a);
	}
	chronos_detach(q.a);
	start_arbiter(t);
	join(t, t->dir, &o, &first);
	run_kernels(t, &first, 3);
	assert_string_equal(usage(t, &o).enforcement, "arbitrated");
	chronos_detach(first.a);
	timed_device_free(d);
}

/* It is another process, or it lies: it has the turns of the other device. */
static void who_is_late_on_one_device_is_not_late_on_another(void **state)
{
	struct place *t = *state;
	struct timed_device *d = timed_device_new();
	struct timed_queue q = { .device = d };
	struct chronos_partition p;
	struct share_map other;

	assert_ok(t, create(t, "0,1", 50, SECONDS(600), NULL, &p));
	join(t, t->dir, &p, &q);
	assert_ok(t, chronos_launch(q.a, &t->e));
	uint64_t limit_ns = timed_now_ns() + LIMIT_NS;
	while (has_lease(q.a) && timed_now_ns() < limit_ns)
		sleep_ms(1);
	assert_false(has_lease(q.a));
	assert_ok(t, chronos_share_map(t->c->dirfd, "device-1",
			     sizeof(struct device_file), false, &other, &t->e));
	const struct device_file *f = other.at;
	struct memory_client *k = &q.a->p->clients[q.a->p_client];
	__atomic_store_n(&k->device, 1, __ATOMIC_SEQ_CST);
	while (!__atomic_load_n(&f->lease, __ATOMIC_SEQ_CST) &&
		timed_now_ns() < limit_ns) {
		chronos_ask_turn(q.a);
		sleep_ms(2);
	}
	assert_true(__atomic_load_n(&f->lease, __ATOMIC_SEQ_CST) != 0);
	assert_true(usage(t, &p).overrun_ns >= SECONDS(1));
	chronos_share_unmap(&other);
	chronos_launch_done(q.a, 1);
	chronos_detach(q.a);
	timed_device_free(d);
}

static void an_arbiter_that_has_not_got_the_devices_yet_does_not_serve(void **state)
{
	struct place *t = *state;
	struct timed_device *d = timed_device_new();
	struct timed_queue q = { .device = d };
	struct chronos_partition p;
	struct share_map m;
	int status;

	/* It is elected, then waits for this lock, then finds that it cannot have the device. */
	assert_ok(t, create(t, "0", 50, SECONDS(600), NULL, &p));
	join(t, t->dir, &p, &q);
	assert_ok(t, chronos_share_map(t->c->dirfd, "device-0",
			     sizeof(struct device_file), true, &m, &t->e));
	struct device_file *device = m.at;
	assert_int_equal(chronos_lock_take(&device->header.lock, &m.me), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(chronos_arbiter_open(t->dir, NULL) ? 1 : 0);
	for (int i = 0; i < 4000 && !chronos_arbiter_lives(t->c->dirfd); i++)
		sleep_ms(1);
	assert_true(chronos_arbiter_lives(t->c->dirfd));
	assert_false(chronos_arbiter_serves(t->c));
	chronos_lock_give(&device->header.lock);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_false(chronos_arbiter_serves(t->c));
	chronos_share_unmap(&m);
	chronos_detach(q.a);
	start_arbiter(t);
	assert_true(chronos_arbiter_serves(t->c));
	timed_device_free(d);
}

/* All in one process here: to the arbiter they are as many. */
static void thousands_of_clients_join_and_get_turns(void **state)
{
	enum { CLIENTS = SHARE_CLIENTS_MAX };
	struct place *t = *state;
	struct timed_device *d = timed_device_new();
	struct timed_queue *q = calloc(CLIENTS, sizeof *q);
	struct rlimit files;
	struct chronos_partition p;

	assert_non_null(q);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
	files.rlim_cur = files.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
	if (files.rlim_max < 2 * CLIENTS + 100) {
		print_message("too few files may be open: %lu\n",
			(unsigned long)files.rlim_max);
		skip();
	}
	assert_ok(t, create(t, "0", 90, SECONDS(600), NULL, &p));
	for (int i = 0; i < CLIENTS; i++) {
		q[i].device = d;
		join(t, t->dir, &p, &q[i]);
	}
	assert_int_equal(usage(t, &p).clients, CLIENTS);
	const struct chronos_joining j = {
		.dir = t->dir, .name = p.id, .drain = timed_drain, .arg = q
	};
	assert_null(chronos_attach(&j, &t->e));
	assert_int_equal(t->e.code, CHRONOS_EXHAUSTED);
	for (int i = 0; i < CLIENTS; i += CLIENTS / 16) {
		assert_ok(t, timed_launch(&q[i], 1000, &t->e));
		timed_wait(&q[i]);
	}
	for (int i = 0; i < CLIENTS; i++)
		chronos_detach(q[i].a);
	assert_int_equal(usage(t, &p).clients, 0);
	free(q);
	timed_device_free(d);
}

static void an_idle_arbiter_costs_nothing(void **state)
{
	struct place *t = *state;
	struct timed_device *d = timed_device_new();
	struct timed_queue q = { .device = d };
	struct chronos_arbiter *a;
	struct chronos_partition p;
	uint64_t wait_ns = 0;

	kill_arbiter(t);
	assert_ok(t, create(t, "0", 50, CHRONOS_DURATION_MAX_NS, NULL, &p));
	assert_ok(t, chronos_prepare(t->c, p.id, NULL, &t->e));
	a = chronos_arbiter_open(t->dir, &t->e);
	assert_non_null(a);
	join(t, t->dir, &p, &q);
	assert_int_equal(chronos_arbiter_partitions(a), 1);
	uint64_t limit_ns = timed_now_ns() + LIMIT_NS;
	/* Until what joining told it is dealt with: then only the far end is waited for. */
	do {
		assert_ok(t, chronos_arbiter_serve(a, &wait_ns, &t->e));
	} while (wait_ns < SECONDS(86400) && timed_now_ns() < limit_ns);
	assert_true(wait_ns >= SECONDS(86400));
	chronos_detach(q.a);
	chronos_arbiter_close(a);
	timed_device_free(d);
}

static void an_arbiter_that_ends_with_nothing_to_do_gives_the_devices_back(void **state)
{
	struct place *t = *state;
	struct chronos_arbiter *a = chronos_arbiter_open(t->dir, &t->e);
	struct timed_queue q = { 0 };
	struct chronos_partition p;

	assert_non_null(a);
	chronos_arbiter_close(a);
	assert_ok(t, create(t, "0", 50, SECONDS(600), NULL, &p));
	join(t, t->dir, &p, &q);
	assert_string_equal(usage(t, &p).enforcement, "cooperative");
	chronos_detach(q.a);
}

#define arbitrated(f)  cmocka_unit_test_setup_teardown(f, two_arbitrated_devices, no_place)
#define cooperative(f) cmocka_unit_test_setup_teardown(f, two_devices, no_place)

int main(void)
{
	const struct CMUnitTest tests[] = {
		arbitrated(a_program_that_may_only_read_the_device_gets_turns),
		arbitrated(what_a_program_writes_about_its_quota_and_end_is_not_believed),
		arbitrated(junk_in_a_partitions_file_hurts_nobody_else),
		arbitrated(a_partitions_file_that_is_cut_off_hurts_nobody_else),
		arbitrated(a_partitions_file_that_is_made_huge_hurts_nobody_else),
		arbitrated(a_bell_that_is_rung_without_end_hurts_nobody_else),
		arbitrated(thousands_of_processes_that_do_not_exist_hurt_nobody_else),
		arbitrated(thousands_of_locks_on_a_partitions_file_hurt_nobody_else),
		arbitrated(a_look_at_a_partition_with_thousands_of_locks_is_cut_short),
		arbitrated(a_partitions_file_that_grows_is_cut_back),
		arbitrated(an_arbiter_that_missed_events_leaves_everybody_in_place),
		arbitrated(who_says_that_it_used_nothing_is_charged_for_its_lease),
		arbitrated(there_is_one_arbiter_a_directory),
		arbitrated(a_killed_arbiter_is_followed_by_one_that_goes_on),
		arbitrated(an_overrun_is_counted_across_the_deaths_of_arbiters),
		arbitrated(a_launch_waits_for_the_next_arbiter),
		cooperative(
			an_arbiter_does_not_start_beside_programs_that_take_turns_themselves),
		cooperative(an_arbiter_that_cannot_have_all_devices_takes_none),
		arbitrated(who_is_late_on_one_device_is_not_late_on_another),
		cooperative(an_arbiter_that_has_not_got_the_devices_yet_does_not_serve),
		arbitrated(thousands_of_clients_join_and_get_turns),
		arbitrated(an_idle_arbiter_costs_nothing),
		cooperative(
			an_arbiter_that_ends_with_nothing_to_do_gives_the_devices_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
