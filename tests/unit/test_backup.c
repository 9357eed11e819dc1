/* test_backup.c - copies of the store are whole, in time, and cost only themselves. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "store_fixture.h"

#include <sys/stat.h>
#include <unistd.h>

#include "backup.h"

struct world {
	struct fixture f;
	char folder[128]; /* of the backups */
};

static int set_up(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	fixture_init(&w->f);
	str_put(w->folder, sizeof(w->folder), "%s/backups", w->f.path);
	w->f.config.backup_path = w->folder;
	w->f.config.backup_every_s = 3600;
	w->f.config.backup_keep = 2;
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	fixture_fini(&w->f);
	free(w);
	return 0;
}

/* The names in the folder, in one text, sorted by the shell. */
static char *names_dup(const struct world *w)
{
	CLEANUP(free_ptr) char *command = str_fmt("LC_ALL=C ls %s", w->folder);
	FILE *f = popen(command, "re");
	char text[1024] = "";

	assert_non_null(f);
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	assert_int_equal(pclose(f), 0);
	return xstrdup(text);
}

/* Put the only copy in the place of the store, and open it. */
static void restore(struct world *w)
{
	CLEANUP(free_ptr) char *name = names_dup(w);
	CLEANUP(free_ptr) char *copy = NULL;
	CLEANUP(free_ptr) char *file = str_fmt("%s/cumulus.db", w->f.path);
	CLEANUP(free_ptr) char *log = str_fmt("%s-wal", file);

	name[strcspn(name, "\n")] = '\0';
	copy = str_fmt("%s/%s", w->folder, name);
	fixture_stop(&w->f);
	unlink(log);
	assert_int_equal(rename(copy, file), 0);
	w->f.config.backup_path = NULL;
	fixture_open(&w->f);
}

static void a_copy_is_the_store_with_an_epoch_above_all_others(void **state)
{
	struct world *w = *state;

	fixture_start(&w->f, false);
	uint64_t epoch = store_epoch(w->f.store);
	store_post(w->f.store, new_job(&w->f, 1, 100));
	store_post(w->f.store, new_job(&w->f, 2, 100));
	settle(&w->f);
	assert_true(store_stats(w->f.store).backup_wall_ns > 0);
	assert_true(store_stats(w->f.store).backs_up);

	/* What comes after it is not in it. */
	store_post(w->f.store, new_job(&w->f, 3, 100));
	settle(&w->f);
	restore(w);
	assert_int_equal(count_restored(&w->f), 2);
	assert_true(store_epoch(w->f.store) > epoch + 1000);
}

static void commits_go_on_during_a_copy_and_are_in_it(void **state)
{
	struct world *w = *state;
	uint64_t posted = 20;

	w->f.config.backup_path = NULL;
	fixture_start(&w->f, false);
	for (uint64_t job = 1; job <= posted; job++)
		store_post(w->f.store, new_job(&w->f, job, 200000));
	settle(&w->f);
	fixture_stop(&w->f);

	w->f.config.backup_path = w->folder;
	fixture_open(&w->f);
	store_start_inline(w->f.store, &w->f.callbacks);
	w->f.ledger.committed = 0;
	uint64_t steps = 0;
	do {
		store_post(w->f.store, new_job(&w->f, ++posted, 100));
		store_kick(w->f.store);
		store_work(w->f.store);
		store_deliver(w->f.store);
		assert_int_equal(w->f.ledger.committed, w->f.number); /* none waited */
		steps++;
	} while (!store_stats(w->f.store).backup_wall_ns && steps < 1000);
	assert_true(steps > 10);
	restore(w);
	assert_int_equal(count_restored(&w->f), posted);
}

/* Copies at given times of a database without the rest of a store. */
static void only_so_many_copies_stay(void **state)
{
	struct world *w = *state;
	CLEANUP(free_ptr) char *file = str_fmt("%s/cumulus.db", w->f.path);
	struct backup b;
	struct db db = { 0 };
	struct err e = { 0 };

	w->f.config.backup_path = NULL;
	fixture_start(&w->f, false);
	fixture_stop(&w->f);
	assert_int_equal(db_open(&db, file, &e), 0);
	assert_int_equal(backup_open(&b, w->folder, 3600, 2, &e), 0);
	int64_t boot_ns = clock_boot_ns(), wall_ns = 1767225600 * NS_PER_S;
	for (int i = 0; i < 4; i++) {
		assert_true(backup_is_due(&b, boot_ns));
		while (backup_is_due(&b, boot_ns))
			assert_int_equal(backup_step(&b, &db, boot_ns, wall_ns, &e), 0);
		assert_false(backup_is_due(&b, boot_ns + 3599 * NS_PER_S));
		boot_ns += 3600 * NS_PER_S;
		wall_ns += 3600 * NS_PER_S;
	}
	backup_close(&b);
	db_close(&db);

	CLEANUP(free_ptr) char *names = names_dup(w);
	assert_string_equal(
		names, "cumulus-20260101T020000Z.db\ncumulus-20260101T030000Z.db\n");
}

static void a_start_makes_a_copy_only_when_the_last_is_old(void **state)
{
	struct world *w = *state;
	struct backup b;
	struct err e = { 0 };

	fixture_start(&w->f, false);
	settle(&w->f);
	fixture_stop(&w->f);
	assert_int_equal(backup_open(&b, w->folder, 3600, 2, &e), 0);
	assert_false(backup_is_due(&b, clock_boot_ns()));
	assert_true(backup_is_due(&b, clock_boot_ns() + 3600 * NS_PER_S));
	backup_set_every(&b, 1);
	assert_true(backup_is_due(&b, clock_boot_ns() + 2 * NS_PER_S));
	backup_close(&b);
}

static void a_copy_that_fails_costs_nobody_but_itself(void **state)
{
	struct world *w = *state;
	CLEANUP(free_ptr) char *in_the_way = str_fmt("%s/cumulus.part", w->folder);

	assert_int_equal(mkdir(w->folder, 0700), 0);
	assert_int_equal(mkdir(in_the_way, 0700), 0);
	fixture_start(&w->f, false);
	store_post(w->f.store, new_job(&w->f, 1, 100));
	settle(&w->f);
	assert_int_equal(w->f.ledger.committed, 1);
	assert_false(w->f.ledger.failed);
	assert_int_equal(store_stats(w->f.store).backup_failures, 1);
	assert_int_equal(store_stats(w->f.store).backup_wall_ns, 0);
}

static void an_end_in_the_middle_of_a_copy_leaves_nothing_of_it(void **state)
{
	struct world *w = *state;

	w->f.config.backup_path = NULL;
	fixture_start(&w->f, false);
	for (uint64_t job = 1; job <= 20; job++)
		store_post(w->f.store, new_job(&w->f, job, 200000));
	settle(&w->f);
	fixture_stop(&w->f);
	w->f.config.backup_path = w->folder;
	fixture_open(&w->f);
	store_start_inline(w->f.store, &w->f.callbacks);
	for (int i = 0; i < 3; i++)
		assert_true(store_work(w->f.store));
	fixture_stop(&w->f);

	CLEANUP(free_ptr) char *names = names_dup(w);
	assert_string_equal(names, "");
}

static void a_folder_that_cannot_be_had_is_refused_at_the_start(void **state)
{
	struct world *w = *state;
	struct err e = { 0 };

	w->f.config.backup_path = "/proc/none/backups";
	assert_null(store_open(&w->f.config, &e));
	assert_true(str_starts(e.text, "backup folder"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(a_copy_is_the_store_with_an_epoch_above_all_others),
		T(commits_go_on_during_a_copy_and_are_in_it),
		T(only_so_many_copies_stay),
		T(a_start_makes_a_copy_only_when_the_last_is_old),
		T(a_copy_that_fails_costs_nobody_but_itself),
		T(an_end_in_the_middle_of_a_copy_leaves_nothing_of_it),
		T(a_folder_that_cannot_be_had_is_refused_at_the_start),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
