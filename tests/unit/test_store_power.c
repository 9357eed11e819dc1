/* test_store_power.c - the store on a machine that loses power, again and again. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "store_fixture.h"

#include "power_vfs.h"

#define SEEDS 40
#define CUTS  8
#define AHEAD 6    /* inputs of one group, at most */
#define SOON  300  /* calls of the VFS before a cut, at most: the start and little else */
#define LATE  6000 /* several checkpoints */
#define CLOSE 60   /* one group in so many is the last before an orderly end */

/* Input i makes job i, places it, and ends job i - 1, with packages that fill the log. */
static void post_input(struct fixture *f, uint64_t i)
{
	struct record *r[3] = {
		new_job(f, i, i % 3 ? 500 : 100000),
		change(f, i, JOB_SCHEDULING, JOB_CREATING_PARTITION, 2),
		i > 0 ? change(f, i - 1, JOB_CREATING_PARTITION, JOB_COMPLETED, 3) : NULL,
	};

	for (int n = 0; n < 3 && r[n]; n++) {
		r[n]->input = i + 1;
		store_post(f->store, r[n]);
	}
}

static int64_t ask_number(struct fixture *f, const char *sql)
{
	CLEANUP(free_ptr) char *path = str_fmt("%s/cumulus.db", f->path);
	sqlite3 *db = NULL;
	sqlite3_stmt *s = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	/* As the store does: without shared memory.  And leave the log for it to recover. */
	assert_int_equal(sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL),
		SQLITE_OK);
	assert_int_equal(
		sqlite3_exec(db, "PRAGMA locking_mode = EXCLUSIVE", NULL, NULL, NULL),
		SQLITE_OK);
	if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(db));
	assert_int_equal(sqlite3_step(s), SQLITE_ROW);

	int64_t number = sqlite3_column_int64(s, 0);

	sqlite3_finalize(s);
	sqlite3_close(db);
	return number;
}

/* Post until the power goes, or for a while; *acked: the jobs whose first record was acknowledged.  False
 * when it went before the store was open. */
static bool work_until_cut(struct fixture *f, uint64_t first, uint64_t *acked)
{
	struct err e = { 0 };

	*acked = first;
	f->store = store_open(&f->config, &e);
	if (!f->store)
		return false;
	memset(&f->ledger, 0, sizeof(f->ledger));
	store_start_inline(f->store, &f->callbacks);
	/* A process numbers its records from 1; job 0 alone has two of them. */
	f->number = first == 0 ? 1 : 0;
	for (uint64_t i = first; !f->ledger.failed && power_random(CLOSE);) {
		for (uint32_t n = 1 + power_random(AHEAD); n; n--)
			post_input(f, i++);
		settle(f);
		f->ledger.story[0] = '\0';
		*acked = first + f->ledger.committed / 3;
	}
	return true;
}

/* All jobs are COMPLETED but the last, which is CREATING_PARTITION. */
static uint64_t check_whole(struct fixture *f, uint64_t acked)
{
	int64_t jobs = ask_number(f, "SELECT count(*) FROM jobs");

	assert_int_equal(ask_number(f, "SELECT count(*) FROM pragma_integrity_check "
				       "WHERE integrity_check = 'ok'"),
		1);
	assert_true(jobs >= (int64_t)acked);
	if (!jobs)
		return 0;
	assert_int_equal(ask_number(f, "SELECT count(*) FROM jobs WHERE live = 1"), 1);
	assert_int_equal(ask_number(f, "SELECT max(seq) FROM jobs WHERE live = 1"), jobs);
	assert_int_equal(
		ask_number(f, "SELECT count(*) FROM jobs WHERE state = 4"), jobs - 1);
	assert_int_equal(ask_number(f, "SELECT count(*) FROM events"), 3 * jobs - 1);
	assert_int_equal(ask_number(f, "SELECT count(*) FROM specs"), jobs);
	return (uint64_t)jobs;
}

static void cut_and_cut_again(struct fixture *f, uint64_t seed)
{
	uint64_t jobs = 0, acked;

	power_reset(seed);
	for (int cut = 0; cut < CUTS; cut++) {
		power.cut_after = power_random(power_random(2) ? SOON : LATE);

		bool opened = work_until_cut(f, jobs, &acked);

		fixture_stop(f); /* with its last checkpoint, if there is still power */
		power_on();
		/* Before the first store was whole there is nothing to compare with. */
		if (opened || jobs)
			jobs = check_whole(f, acked);
	}
}

static void what_was_acknowledged_outlives_every_power_loss(void **state)
{
	(void)state;
	const char *one = getenv("SEED");
	uint64_t from = one ? strtoull(one, NULL, 10) : 1;

	power_install();
	for (uint64_t seed = from; seed < (one ? from + 1 : SEEDS); seed++) {
		struct fixture f;

		fixture_init(&f);
		f.config.disk_low_bytes = 0;
		print_message("power loss: SEED=%llu\n", (unsigned long long)seed);
		cut_and_cut_again(&f, seed);
		power_reset(0);
		fixture_fini(&f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_acknowledged_outlives_every_power_loss),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
