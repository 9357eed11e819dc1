/* test_store_faults.c - the store under kill -9 and on a full disk. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "store_fixture.h"

#include <sched.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));

	fixture_init(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	fixture_fini(f);
	free(f);
	return 0;
}

/* ---- kill -9
 *
 * Input i makes job i, places it, and ends job i - 1.  So in any whole state all jobs are
 * COMPLETED but the last, which is CREATING_PARTITION. */

static void post_input(struct fixture *f, uint64_t i)
{
	struct record *r[3] = {
		new_job(f, i, i % 50 == 7 ? 300000 : 500),
		change(f, i, JOB_SCHEDULING, JOB_CREATING_PARTITION, 2),
		i > 0 ? change(f, i - 1, JOB_CREATING_PARTITION, JOB_COMPLETED, 3) : NULL,
	};

	for (int n = 0; n < 3 && r[n]; n++) {
		r[n]->input = i + 1;
		store_post(f->store, r[n]);
	}
	if (r[2]) {
		r[2]->result = bytes_of(40, i - 1);
		r[2]->result_len = 40;
	}
}

struct child {
	struct fixture *f;
	uint64_t first; /* job that this process began with */
	int acks;
};

static void child_on_committed(void *ctx, uint64_t number)
{
	struct child *c = ctx;

	/* How many jobs are acknowledged: record 3 k - 2 or later of a process. */
	uint64_t jobs = c->first + number / 3;
	if (write(c->acks, &jobs, sizeof(jobs)) != sizeof(jobs))
		_exit(3);
}

static void child_on_failed(void *ctx, const struct err *why)
{
	(void)ctx;
	fprintf(stderr, "the store failed: %s\n", why->text);
	_exit(4);
}

static void child_on_wake(void *ctx)
{
	fixture_on_wake(((struct child *)ctx)->f);
}

/* Post for ever, a few inputs ahead of what is committed. */
static _Noreturn void run_child(struct fixture *f, uint64_t first, int acks)
{
	struct child c = { f, first, acks };
	struct store_callbacks callbacks = {
		.ctx = &c,
		.wake = child_on_wake,
		.on_committed = child_on_committed,
		.on_failed = child_on_failed,
	};
	struct err e = { 0 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	f->store = store_open(&f->config, &e);
	if (!f->store || store_start(f->store, &callbacks, &e) < 0)
		child_on_failed(NULL, &e);
	/* A process numbers its records from 1; job 0 alone has two of them. */
	f->number = first == 0 ? 1 : 0;
	for (uint64_t i = first;; i++) {
		struct pollfd p = { .fd = f->wake, .events = POLLIN };

		post_input(f, i);
		if (i % 3 == 0)
			store_kick(f->store);
		poll(&p, 1, store_stats(f->store).waiting > 100 ? 1000 : 0);
		store_deliver(f->store);
	}
}

/* Run it for a while and kill it; the jobs that it had acknowledged. */
static uint64_t kill_one_child(struct fixture *f, uint64_t first, unsigned run_us)
{
	uint64_t acked = first, jobs;
	int acks[2];

	assert_int_equal(pipe2(acks, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		run_child(f, first, acks[1]);
	close(acks[1]);
	/* The time starts with the first answer, so that most kills hit the work. */
	if (read(acks[0], &jobs, sizeof(jobs)) == sizeof(jobs))
		acked = jobs > acked ? jobs : acked;
	usleep(run_us);
	kill(pid, SIGKILL);
	int status;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	while (read(acks[0], &jobs, sizeof(jobs)) == sizeof(jobs))
		acked = jobs > acked ? jobs : acked;
	close(acks[0]);
	return acked;
}

static int64_t ask_number(struct fixture *f, const char *sql)
{
	CLEANUP(free_ptr) char *path = str_fmt("%s/cumulus.db", f->path);
	sqlite3 *db = NULL;
	sqlite3_stmt *s = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);
	int64_t number = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	sqlite3_close(db);
	return number;
}

/* Every large package's row has its file, of its size. */
static void check_package_files(struct fixture *f)
{
	CLEANUP(free_ptr) char *path = str_fmt("%s/packages", f->path);
	CLEANUP(close_fd) int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int64_t jobs = ask_number(f, "SELECT count(*) FROM jobs");

	for (uint64_t i = 7; i < (uint64_t)jobs; i += 50) {
		CLEANUP(free_ptr) uint8_t *bytes = bytes_of(300000, i + 1);
		struct digest digest = digest_of(bytes, 300000);
		char name[65];
		struct stat st;

		hex_encode(name, digest.bytes, 32);
		assert_int_equal(fstatat(folder, name, &st, 0), 0);
		assert_int_equal(st.st_size, 300000);
	}
}

static void what_was_acknowledged_outlives_any_kill_and_inputs_stay_whole(void **state)
{
	struct fixture *f = *state;
	uint64_t jobs = 0;
	unsigned seed = 1;

	for (int round = 0; round < 25; round++) {
		uint64_t acked = kill_one_child(f, jobs, (unsigned)rand_r(&seed) % 40000);

		jobs = (uint64_t)ask_number(f, "SELECT count(*) FROM jobs");
		assert_true(jobs >= acked);
		assert_int_equal(
			ask_number(f, "SELECT count(*) FROM jobs WHERE live = 1"),
			jobs > 0);
		if (jobs == 0)
			continue;
		assert_int_equal(ask_number(f, "SELECT max(seq) - state FROM jobs "
					       "WHERE live = 1"),
			(int64_t)jobs - JOB_CREATING_PARTITION);
		assert_int_equal(
			ask_number(f, "SELECT count(*) FROM jobs WHERE state = 4"),
			jobs - 1);
		assert_int_equal(ask_number(f, "SELECT count(*) FROM results"), jobs - 1);
		assert_int_equal(
			ask_number(f, "SELECT count(*) FROM events"), 3 * jobs - 1);
		assert_int_equal(ask_number(f, "SELECT count(*) FROM specs"), jobs);
	}
	assert_true(jobs > 100);
	assert_int_equal(ask_number(f, "SELECT count(*) FROM pragma_integrity_check "
				       "WHERE integrity_check = 'ok'"),
		1);
	check_package_files(f);
	fixture_open(f);
	assert_int_equal(count_restored(f), 1);
}

/* ---- a full disk */

/* A small file system of its own on the fixture's folder; false where that is not
 * allowed. */
static bool mount_small_disk(struct fixture *f, const char *options)
{
	if (unshare(CLONE_NEWNS) < 0)
		return false;
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return false;
	return mount("tmpfs", f->path, "tmpfs", MS_NOSUID | MS_NODEV, options) == 0;
}

#define SKIP_WITHOUT_MOUNT(f, options)                                                   \
	do {                                                                             \
		if (!mount_small_disk(f, options)) {                                     \
			print_message("skipped: a mount needs root\n");                  \
			skip();                                                          \
		}                                                                        \
	} while (0)

static void fill_disk(struct fixture *f)
{
	CLEANUP(free_ptr) char *path = str_fmt("%s/filler", f->path);
	CLEANUP(close_fd) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	static const char block[4096] = { 1 };

	while (write(fd, block, sizeof(block)) > 0)
		;
	assert_int_equal(errno, ENOSPC);
}

static void free_disk(struct fixture *f)
{
	CLEANUP(free_ptr) char *path = str_fmt("%s/filler", f->path);

	assert_int_equal(unlink(path), 0);
}

static void a_full_disk_refuses_new_jobs_and_lets_the_old_ones_end(void **state)
{
	struct fixture *f = *state;

	SKIP_WITHOUT_MOUNT(f, "size=8m");
	f->config.reserve_bytes = 1024 * 1024;
	fixture_start(f, false);
	for (uint64_t job = 0; job < 10; job++)
		store_post(f->store, new_job(f, job, 10000));
	settle(f);
	assert_int_equal(f->ledger.committed, 10);
	fill_disk(f);

	for (uint64_t job = 0; job < 10; job++) {
		store_post(f->store, new_job(f, 100 + job, 10000));
		store_post(f->store,
			change(f, job, JOB_SCHEDULING, JOB_CREATING_PARTITION, 2));
	}
	settle(f);
	assert_false(f->ledger.failed);
	assert_int_equal(f->ledger.refused, 10);
	assert_int_equal(f->ledger.refusal.code, ERR_EXHAUSTED);
	assert_non_null(strstr(f->ledger.refusal.text, "disk"));
	assert_int_equal(f->ledger.committed, 30);
	assert_true(store_disk_low(f->store));
	for (uint64_t job = 0; job < 10; job++)
		store_post(f->store,
			change(f, job, JOB_CREATING_PARTITION, JOB_COMPLETED, 3));
	settle(f);
	assert_false(f->ledger.failed);
	assert_int_equal(f->ledger.committed, 40);
	fixture_stop(f);

	/* A start with not a byte free but the reserve. */
	free_disk(f);
	fixture_start(f, false);
	fixture_stop(f);
	fill_disk(f);
	fixture_start(f, false);
	assert_int_equal(count_restored(f), 0);
	assert_true(store_disk_low(f->store));
	free_disk(f);
	settle(f); /* the first look takes the reserve again */
	assert_false(store_disk_low(f->store));
	store_post(f->store, new_job(f, 500, 10000));
	settle(f);
	assert_int_equal(f->ledger.committed, 1);
	fixture_stop(f);
	assert_int_equal(umount(f->path), 0);
}

static void on_job(void *ctx, struct store_job *job, const struct err *failed)
{
	struct fixture *f = ctx;

	assert_true((job == NULL) == (failed != NULL));
	tell(f, job ? 'y' : 'n', 0);
}

/* The group is run twice, and what the first run found must not come out. */
static void no_answer_shows_a_job_that_the_full_disk_refused(void **state)
{
	struct fixture *f = *state;
	char id[ID_SIZE];

	SKIP_WITHOUT_MOUNT(f, "size=8m");
	f->config.reserve_bytes = 1024 * 1024;
	fixture_start(f, false);
	store_post(f->store, new_job(f, 0, 100));
	settle(f);
	fill_disk(f);
	store_post(f->store, new_job(f, 1, 100));
	store_get_job(f->store, job_id(id, 0), true, on_job, f);
	store_get_job(f->store, job_id(id, 1), true, on_job, f);
	store_post(f->store, new_job(f, 2, 100000));
	store_post(f->store, change(f, 0, JOB_SCHEDULING, JOB_CANCELLED, 2));
	settle(f);
	assert_string_equal(f->ledger.story, "c1 r2 y0 n0 r3 c4 ");
	fixture_stop(f);
	assert_int_equal(umount(f->path), 0);
}

static void large_packages_on_a_full_disk_are_refused_alone(void **state)
{
	struct fixture *f = *state;

	SKIP_WITHOUT_MOUNT(f, "size=8m");
	f->config.reserve_bytes = 1024 * 1024;
	fixture_start(f, false);
	store_post(f->store, new_job(f, 0, 100));
	settle(f);
	fill_disk(f);
	store_post(f->store, new_job(f, 1, 3000000));
	store_post(f->store, change(f, 0, JOB_SCHEDULING, JOB_CANCELLED, 2));
	settle(f);
	assert_false(f->ledger.failed);
	assert_string_equal(f->ledger.story, "c1 r2 c3 ");
	fixture_stop(f);
	assert_int_equal(umount(f->path), 0);
}

/* What happened cannot be refused: it waits until there is room. */
static void changes_wait_for_room_as_long_as_it_takes(void **state)
{
	struct fixture *f = *state;
	struct rlimit before, small = { 0 };

	fixture_start(f, true);
	store_post(f->store, new_job(f, 0, 100));
	await_committed(f, 1);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = (struct rlimit){ 4096, before.rlim_max };
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	store_post(f->store, new_job(f, 1, 100));
	store_post(f->store, change(f, 0, JOB_SCHEDULING, JOB_CREATING_PARTITION, 2));
	store_kick(f->store);
	for (int ms = 0; !store_disk_low(f->store); ms++) {
		assert_true(ms < DEADLINE_MS);
		store_deliver(f->store);
		if (f->ledger.failed)
			fail_msg("%s", f->ledger.failure.text);
		usleep(1000);
	}
	store_deliver(f->store);
	assert_int_equal(f->ledger.committed, 1);
	assert_true(store_stats(f->store).commit_age_ns > 0);

	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	await_committed(f, 3);
	assert_string_equal(f->ledger.story, "c1 r2 c3 ");
	assert_false(f->ledger.failed);
}

static void stopping_on_a_full_disk_does_not_wait_for_room(void **state)
{
	struct fixture *f = *state;
	struct rlimit before, small;

	fixture_start(f, true);
	store_post(f->store, new_job(f, 0, 100));
	await_committed(f, 1);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = (struct rlimit){ 4096, before.rlim_max };
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	store_post(f->store, change(f, 0, JOB_SCHEDULING, JOB_CREATING_PARTITION, 2));
	store_stop(f->store);
	store_deliver(f->store);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_true(f->ledger.failed);
	assert_int_equal(f->ledger.failure.code, ERR_EXHAUSTED);
	assert_int_equal(f->ledger.committed, 1);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(what_was_acknowledged_outlives_any_kill_and_inputs_stay_whole),
		T(a_full_disk_refuses_new_jobs_and_lets_the_old_ones_end),
		T(no_answer_shows_a_job_that_the_full_disk_refused),
		T(large_packages_on_a_full_disk_are_refused_alone),
		T(changes_wait_for_room_as_long_as_it_takes),
		T(stopping_on_a_full_disk_does_not_wait_for_room),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
