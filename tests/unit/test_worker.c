/* test_worker.c - the real worker between a cumulusd and runners that are played here. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "worker_world.h"

static const char job_a[] = "j-aaaaaaaaaaaaaaaa";

/* ---- the tests ---- */

static void a_run_goes_from_start_to_forget(void **state)
{
	struct fake *f = fake_new();

	(void)state;
	worker_start(f);
	wait_hello(f, 1);
	assert_true(id_valid(f->hello->worker_id, 'w'));
	assert_int_equal(f->hello->n_devices, 2);
	assert_string_equal(f->hello->devices[0]->kind, "simulated");
	assert_string_equal(f->hello->devices[0]->health, "ok");
	assert_int_equal(f->hello->n_runs, 0);

	struct known_run *r = add_run(f, job_a, 1);
	say_start(f, r, "finish");
	wait_for(f, has_ended, r);
	assert_int_equal(
		r->ended->ended->reason, CUMULUS__ORCHESTRATOR__REASON__REASON_NONE);
	assert_int_equal(r->ended->ended->result.len, 32);
	assert_true(r->started_report == 2 && r->committed == 3);
	wait_done(f, r);
	assert_output(r, "set-up\nhello\n");
	assert_false(r->early_output || r->gap);
	assert_int_equal(witnessed(f, r), 1);
	fake_end(f);
}

static void output_arrives_whole_and_in_order(void **state)
{
	struct fake *f = fake_new();
	struct buf want = { 0 };

	(void)state;
	worker_start(f);
	wait_hello(f, 1);
	struct known_run *r = add_run(f, job_a, 1);
	say_start(f, r, "talk");
	wait_done(f, r);
	buf_addf(&want, "set-up\nhello\n");
	for (int i = 0; i < 500; i++)
		buf_addf(&want, "another line of output\n");
	char *text = buf_take_str(&want);
	assert_output(r, text);
	free(text);
	assert_false(r->early_output);
	fake_end(f);
}

static void a_run_outlives_cumulusd_and_is_reported_when_it_is_back(void **state)
{
	struct fake *f = fake_new();

	(void)state;
	worker_start(f);
	wait_hello(f, 1);
	struct known_run *r = add_run(f, job_a, 1);
	say_start(f, r, "hold");
	wait_for(f, has_started, r);
	fake_vanish(f);
	say_go(f);
	reached(f, worker_is_gone, NULL, 1); /* time goes by without a cumulusd */
	fake_listen(f);
	wait_done(f, r);
	assert_int_equal(f->hellos, 2);
	assert_output(r, "set-up\nhello\n");
	assert_int_equal(r->repeats, 0);
	assert_false(r->gap);
	assert_int_equal(witnessed(f, r), 1);
	fake_end(f);
}

static void what_is_not_committed_is_said_again(void **state)
{
	struct fake *f = fake_new();

	(void)state;
	f->hold_commits = true;
	worker_start(f);
	wait_hello(f, 1);
	struct known_run *r = add_run(f, job_a, 1);
	say_start(f, r, "finish");
	wait_for(f, has_witness, r);
	worker_kill(f);
	f->hold_commits = false;
	worker_start(f);
	wait_done(f, r);
	assert_non_null(r->ended);
	assert_int_equal(r->committed, 3);
	assert_false(r->gap);
	fake_end(f);
}

static void a_start_that_comes_twice_starts_once(void **state)
{
	struct fake *f = fake_new();

	(void)state;
	worker_start(f);
	wait_hello(f, 1);
	struct known_run *r = add_run(f, job_a, 2);
	say_start(f, r, "hold");
	say_start(f, r, "hold");
	wait_for(f, has_started, r);
	say_start(f, r, "hold");

	/* An older attempt is answered with what is there. */
	struct known_run older = { .attempt = 1 };
	str_put(older.job, sizeof(older.job), "%s", job_a);
	say_start(f, &older, "hold");
	say_go(f);
	wait_done(f, r);
	assert_int_equal(witnessed(f, r), 1);
	assert_int_equal(witnessed(f, &older), 0);
	fake_end(f);
}

static void a_stop_before_the_start_ends_the_run_unbegun(void **state)
{
	struct fake *f = fake_new();

	(void)state;
	f->hold_reads = true;
	worker_start(f);
	wait_hello(f, 1);
	struct known_run *r = add_run(f, job_a, 1);
	say_start(f, r, "finish");
	wait_for(f, is_accepted, r);
	say_stop(f, r);
	wait_for(f, has_ended, r);
	assert_int_equal(r->ended->ended->reason,
		CUMULUS__ORCHESTRATOR__REASON__CANCELLED_BY_USER);
	assert_true(r->ended->ended->stopped);
	wait_done(f, r);
	assert_int_equal(witnessed(f, r), 0);
	fake_end(f);
}

static void a_running_job_is_stopped_through_its_folder(void **state)
{
	struct fake *f = fake_new();

	(void)state;
	worker_start(f);
	wait_hello(f, 1);
	struct known_run *r = add_run(f, job_a, 1);
	say_start(f, r, "wait");
	wait_for(f, has_started, r);
	say_stop(f, r);
	wait_for(f, has_ended, r);
	assert_true(r->ended->ended->stopped);
	wait_done(f, r);
	fake_end(f);
}

static void a_stop_for_a_run_that_is_not_here_is_answered(void **state)
{
	struct fake *f = fake_new();

	(void)state;
	worker_start(f);
	wait_hello(f, 1);
	struct known_run *r = add_run(f, job_a, 1);
	say_stop(f, r);
	wait_for(f, was_refused, r);
	fake_end(f);
}

static void a_start_that_can_never_work_names_its_field(void **state)
{
	struct fake *f = fake_new();

	(void)state;
	worker_start(f);
	wait_hello(f, 1);
	struct known_run *r = add_run(f, job_a, 1);
	Cumulus__Worker__Start *m = new_start(f, r, "finish");
	m->hundredths = 101;
	command(f, CUMULUS__WORKER__TO_WORKER__KIND_START)->start = m;
	wait_for(f, was_refused, r);
	assert_int_equal(r->refused->refused->kind,
		CUMULUS__WORKER__REFUSED_KIND__REFUSED_INVALID);
	assert_non_null(strstr(r->refused->refused->text, "hundredths"));
	assert_true(folder_gone(f, r));
	fake_end(f);
}

static void the_worker_may_be_killed_at_any_moment(void **state)
{
	(void)state;
	for (int ms = 0; ms < 150; ms += 11) {
		struct fake *f = fake_new();

		worker_start(f);
		wait_hello(f, 1);
		struct known_run *r = add_run(f, job_a, 1);
		say_start(f, r, "talk");
		for (int64_t end = clock_boot_ns() + ms * NS_PER_MS;
			clock_boot_ns() < end;)
			uv_run(&f->loop, UV_RUN_NOWAIT);
		worker_kill(f);
		worker_start(f);
		wait_hello(f, 2);
		/* As the core does: what it does not find in Hello is started again. */
		if (f->hello->n_runs == 0 && !r->ended)
			say_start(f, r, "talk");
		wait_for(f, has_ended, r);
		wait_done(f, r);
		assert_int_equal(witnessed(f, r), 1);
		assert_int_equal((int64_t)r->output.len, r->ended->ended->output_end);
		assert_false(r->early_output || r->gap);
		fake_end(f);
	}
}

static void a_runner_that_goes_on_without_a_worker_is_found_again(void **state)
{
	struct fake *f = fake_new();

	(void)state;
	worker_start(f);
	wait_hello(f, 1);
	struct known_run *r = add_run(f, job_a, 1);
	say_start(f, r, "hold");
	wait_for(f, has_started, r);
	worker_kill(f);
	worker_start(f);
	wait_hello(f, 2);
	assert_int_equal(f->hello->n_runs, 1);
	assert_int_equal(f->hello->runs[0]->phase, CUMULUS__WORKER__PHASE__PHASE_RUNNING);
	assert_int_equal(f->hello->runs[0]->last_report, 2);
	assert_string_equal(f->hello->runs[0]->cluster_id, f->cluster);
	say_go(f);
	wait_done(f, r);
	assert_output(r, "set-up\nhello\n");
	assert_int_equal(witnessed(f, r), 1);
	fake_end(f);
}

static void a_runner_that_has_not_begun_is_not_doubled_by_a_restart(void **state)
{
	struct fake *f = fake_new();

	(void)state;
	worker_start(f);
	wait_hello(f, 1);
	struct known_run *r = add_run(f, job_a, 1);
	say_start(f, r, "hold-before-lock");
	wait_for(f, is_accepted, r);
	worker_kill(f);
	worker_start(f); /* starts a second runner: the first has no lock yet */
	wait_hello(f, 2);
	say_go(f);
	wait_done(f, r);
	assert_int_equal(witnessed(f, r), 1);
	fake_end(f);
}

static void a_killed_runner_is_reported_and_cleaned_up(void **state)
{
	struct fake *f = fake_new();

	(void)state;
	worker_start(f);
	wait_hello(f, 1);
	struct known_run *r = add_run(f, job_a, 1);
	say_start(f, r, "die");
	wait_for(f, has_ended, r);
	assert_int_equal(
		r->ended->ended->reason, CUMULUS__ORCHESTRATOR__REASON__RUNNER_LOST);
	wait_done(f, r);
	assert_output(r, "set-up\nhello\n");
	assert_int_equal(witnessed(f, r), 1);
	fake_end(f);
}

static void an_adopted_runner_that_dies_is_noticed(void **state)
{
	struct fake *f = fake_new();

	(void)state;
	worker_start(f);
	wait_hello(f, 1);
	struct known_run *r = add_run(f, job_a, 1);
	say_start(f, r, "hold");
	wait_for(f, has_witness, r);

	char path[256], pid[32] = "";
	str_put(path, sizeof(path), "%s/worker/runs/%s.1/lock", f->folder, job_a);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(read(fd, pid, sizeof(pid) - 1) > 0);
	close(fd);
	worker_kill(f);
	worker_start(f);
	wait_hello(f, 2);
	assert_int_equal(kill((pid_t)strtol(pid, NULL, 10), SIGKILL), 0);
	wait_for(f, has_ended, r);
	assert_int_equal(
		r->ended->ended->reason, CUMULUS__ORCHESTRATOR__REASON__RUNNER_LOST);
	wait_done(f, r);
	fake_end(f);
}

static void a_runner_that_never_begins_is_given_up(void **state)
{
	struct fake *f = fake_new();

	(void)state;
	worker_start(f);
	wait_hello(f, 1);
	struct known_run *r = add_run(f, job_a, 1);
	say_start(f, r, "die-early");
	wait_for(f, has_ended, r);
	assert_int_equal(
		r->ended->ended->reason, CUMULUS__ORCHESTRATOR__REASON__RUNNER_LOST);
	assert_non_null(strstr(r->ended->ended->message, "status 7"));
	wait_done(f, r);
	assert_int_equal(witnessed(f, r), 0);
	fake_end(f);
}

static void an_older_cumulusd_is_refused(void **state)
{
	struct fake *f = fake_new();

	(void)state;
	worker_start(f);
	wait_hello(f, 1);
	fake_vanish(f);
	f->epoch = 4;
	fake_listen(f);
	wait_hello(f, 3); /* it comes, hears the epoch, leaves, and comes again */
	struct known_run *r = add_run(f, job_a, 1);
	say_start(f, r, "finish");
	wait_hello(f, 5);
	assert_int_equal(r->committed, 0);
	assert_true(folder_gone(f, r));

	fake_vanish(f);
	f->epoch = 6;
	fake_listen(f);
	wait_hello(f, f->hellos + 1);
	say_start(f, r, "finish");
	wait_for(f, has_ended, r);
	wait_done(f, r);
	fake_end(f);
}

static void a_package_that_is_not_what_it_says_is_refused(void **state)
{
	struct fake *f = fake_new();

	(void)state;
	f->corrupt = true;
	worker_start(f);
	wait_hello(f, 1);
	struct known_run *r = add_run(f, job_a, 1);
	say_start(f, r, "finish");
	wait_for(f, was_refused, r);
	assert_int_equal(r->refused->refused->kind,
		CUMULUS__WORKER__REFUSED_KIND__REFUSED_INVALID);
	assert_non_null(strstr(r->refused->refused->text, f->digest));
	wait_for(f, folder_gone, r);
	assert_int_equal(witnessed(f, r), 0);

	/* Nothing of it stays: the same package comes whole the next time. */
	f->corrupt = false;
	r = add_run(f, job_a, 2);
	say_start(f, r, "finish");
	wait_done(f, r);
	assert_non_null(r->ended);
	assert_int_equal(f->last_read_offset, 0);
	fake_end(f);
}

static bool part_is_large(struct fake *f, void *arg)
{
	char path[256];
	struct stat st;

	(void)arg;
	str_put(path, sizeof(path), "%s/worker/packages/%s.part", f->folder,
		f->digest + strlen("sha256:"));
	return stat(path, &st) == 0 && st.st_size >= 100000;
}

static void a_package_is_resumed_where_it_broke_off(void **state)
{
	struct fake *f = fake_new();

	(void)state;
	fake_package(f, 300000);
	f->cut_at = 200000;
	worker_start(f);
	wait_hello(f, 1);
	struct known_run *r = add_run(f, job_a, 1);
	say_start(f, r, "finish");
	wait_for(f, part_is_large, NULL);
	fake_vanish(f);
	f->cut_at = 0;
	fake_listen(f);
	wait_done(f, r);
	assert_int_equal(f->reads, 2);
	assert_true(f->last_read_offset >= 100000);
	fake_end(f);
}

static void runs_of_one_package_fetch_it_once(void **state)
{
	struct fake *f = fake_new();
	struct known_run *r[4];

	(void)state;
	fake_package(f, 300000);
	f->hold_forget = true;
	worker_start(f);
	wait_hello(f, 1);
	for (int i = 0; i < 4; i++) {
		char job[ID_SIZE];

		id_make(job, 'j');
		r[i] = add_run(f, job, 1);
		say_start(f, r[i], "finish");
	}
	for (int i = 0; i < 4; i++)
		wait_for(f, has_ended, r[i]);
	assert_int_equal(f->reads, 1);
	f->hold_forget = false;
	for (int i = 0; i < 4; i++) {
		weigh_forget(f, r[i]);
		wait_for(f, folder_gone, r[i]);
	}
	fake_end(f);
}

static bool foreign_is(struct fake *f, void *arg)
{
	return f->foreign == *(int32_t *)arg;
}

struct partition_name {
	struct chronos *chronos;
	const char *name;
};

static bool partition_gone(struct fake *f, void *arg)
{
	const struct partition_name *p = arg;
	struct chronos_partition found;

	(void)f;
	return chronos_find(p->chronos, p->name, &found, NULL) < 0;
}

static void strangers_shares_are_told_and_own_leftovers_released(void **state)
{
	struct fake *f = fake_new();
	char dir[128], key[128];
	const char *device = "0";
	struct chronos_partition made;
	int32_t want = 30;

	(void)state;
	worker_start(f);
	wait_hello(f, 1);
	str_put(dir, sizeof(dir), "%s/chronos", f->folder);
	str_put(key, sizeof(key), "%s.%s.1", f->hello->worker_id, job_a);
	struct chronos *c = chronos_open(dir, NULL);
	assert_non_null(c);
	struct chronos_request q = { .devices = &device,
		.device_count = 1,
		.hundredths = 30,
		.duration_ns = (uint64_t)(600 * NS_PER_S),
		.owner = CHRONOS_OWNER_CALLER };
	assert_int_equal(chronos_create(c, &q, &made, NULL, NULL), 0);
	q.key = key;
	assert_int_equal(chronos_create(c, &q, &made, NULL, NULL), 0);
	wait_for(f, foreign_is, &want);
	wait_for(f, partition_gone, (&(struct partition_name){ c, key }));
	chronos_close(c);
	fake_end(f);
}

static void an_idle_worker_ends_by_itself(void **state)
{
	struct fake *f = fake_new();

	(void)state;
	worker_start_with(f, "--exit-when-idle", "1");
	wait_hello(f, 1);
	fake_vanish(f);
	wait_for(f, worker_is_gone, NULL);
	assert_true(WIFEXITED(f->worker_status) && WEXITSTATUS(f->worker_status) == 0);
	fake_end(f);
}

static void a_second_worker_ends_at_once(void **state)
{
	struct fake *f = fake_new();

	(void)state;
	worker_start(f);
	wait_hello(f, 1);
	pid_t first = f->worker;
	worker_start(f);
	wait_for(f, worker_is_gone, NULL);
	assert_true(WIFEXITED(f->worker_status) && WEXITSTATUS(f->worker_status) == 1);
	f->worker = first;
	f->worker_gone = false;
	fake_end(f);
}

static void shutting_down_stops_the_runs_and_then_the_worker(void **state)
{
	struct fake *f = fake_new();

	(void)state;
	worker_start(f);
	wait_hello(f, 1);
	struct known_run *r = add_run(f, job_a, 1);
	say_start(f, r, "wait");
	wait_for(f, has_started, r);
	Cumulus__Worker__ToWorker *m =
		command(f, CUMULUS__WORKER__TO_WORKER__KIND_SHUTDOWN);
	m->shutdown = xmalloc(sizeof(*m->shutdown));
	cumulus__worker__shutdown__init(m->shutdown);
	m->shutdown->stop_runs = true;
	wait_for(f, worker_is_gone, NULL);
	assert_non_null(r->ended);
	assert_true(folder_gone(f, r));
	fake_end(f);
}

static bool had_progress(struct fake *f, void *arg)
{
	(void)f;
	return ((struct known_run *)arg)->progressed;
}

static bool saw_report(struct fake *f, void *arg)
{
	(void)f;
	return ((struct known_run *)arg)->seen >= 2;
}

static bool never(struct fake *f, void *arg)
{
	(void)f;
	(void)arg;
	return false;
}

static void output_waits_until_started_is_committed(void **state)
{
	struct fake *f = fake_new();

	(void)state;
	worker_start(f);
	wait_hello(f, 1);
	f->hold_commits = true;
	struct known_run *r = add_run(f, job_a, 1);
	say_start(f, r, "hold");
	wait_for(f, saw_report, r);
	wait_for(f, had_progress, r);
	assert_false(reached(f, never, NULL, 1)); /* time for output to come, if it did */
	assert_output(r, "set-up\n");

	/* Committed now, as the core does once its record is on the disk. */
	f->hold_commits = false;
	r->committed = r->started_report = 2;
	r->output_at = (int64_t)r->output.len;
	say_committed(f, r);
	say_go(f);
	wait_done(f, r);
	assert_output(r, "set-up\nhello\n");
	fake_end(f);
}

static void a_result_that_no_message_holds_is_reported_without_it(void **state)
{
	struct fake *f = fake_new();

	(void)state;
	worker_start(f);
	wait_hello(f, 1);
	struct known_run *r = add_run(f, job_a, 1);
	say_start(f, r, "huge");
	wait_done(f, r);
	assert_int_equal(
		r->ended->ended->reason, CUMULUS__ORCHESTRATOR__REASON__RESULT_TOO_LARGE);
	assert_int_equal(r->ended->ended->result.len, 0);
	fake_end(f);
}

/* As if the machine had been restarted since the run's folder was made. */
static void age_run(struct fake *f, const struct known_run *r)
{
	char path[256];
	struct err e = { 0 };
	struct buf bytes = { 0 };

	str_put(path, sizeof(path), "%s/worker/runs/%s.%d", f->folder, r->job,
		r->attempt);
	int dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	Cumulus__Worker__RunSpec *spec = runfolder_read_spec(dirfd, &e);
	assert_non_null(spec);
	spec->boot_id[0] = spec->boot_id[0] == '0' ? '1' : '0';
	wire_message_write(spec, &bytes);
	assert_int_equal(
		file_write(dirfd, RUN_FILE_SPEC, bytes.data, bytes.len, 0600, true, &e),
		0);
	buf_fini(&bytes);
	wire_message_free(spec);
	close(dirfd);
}

static void a_run_that_had_not_begun_before_a_reboot_goes_back(void **state)
{
	struct fake *f = fake_new();

	(void)state;
	f->hold_reads = true;
	worker_start(f);
	wait_hello(f, 1);
	struct known_run *r = add_run(f, job_a, 1);
	say_start(f, r, "finish");
	wait_for(f, is_accepted, r);
	worker_kill(f);
	age_run(f, r);
	worker_start(f);
	wait_for(f, was_refused, r);
	assert_int_equal(r->refused->refused->kind,
		CUMULUS__WORKER__REFUSED_KIND__REFUSED_TRANSIENT);
	wait_for(f, folder_gone, r);
	assert_int_equal(witnessed(f, r), 0);
	fake_end(f);
}

static void a_run_that_had_begun_before_a_reboot_is_over(void **state)
{
	struct fake *f = fake_new();

	(void)state;
	worker_start(f);
	wait_hello(f, 1);
	struct known_run *r = add_run(f, job_a, 1);
	f->hold_forget = true;
	f->hold_commits = true;
	say_start(f, r, "die");
	wait_for(f, has_witness, r);
	worker_kill(f);
	age_run(f, r);
	f->hold_forget = f->hold_commits = false;
	worker_start(f);
	wait_done(f, r);
	assert_int_equal(
		r->ended->ended->reason, CUMULUS__ORCHESTRATOR__REASON__RUNNER_LOST);
	assert_int_equal(witnessed(f, r), 1);
	fake_end(f);
}

static void a_machine_that_can_run_nothing_says_why(void **state)
{
	struct fake *f = fake_new();

	(void)state;
	worker_start_with(f, "--init", "/nonexistent/cumulus-init");
	wait_hello(f, 1);
	assert_non_null(
		strstr(f->hello->devices[0]->health, "/nonexistent/cumulus-init"));
	struct known_run *r = add_run(f, job_a, 1);
	say_start(f, r, "finish");
	wait_for(f, was_refused, r);
	assert_int_equal(r->refused->refused->kind,
		CUMULUS__WORKER__REFUSED_KIND__REFUSED_TRANSIENT);
	assert_non_null(strstr(r->refused->refused->text, "/nonexistent/cumulus-init"));
	fake_end(f);
}

static bool was_idle(struct fake *f, void *arg)
{
	(void)arg;
	return f->idle_messages > 0;
}

static void a_quiet_worker_says_that_it_is_there(void **state)
{
	struct fake *f = fake_new();

	(void)state;
	worker_start(f);
	wait_hello(f, 1);
	wait_for(f, was_idle, NULL);
	fake_end(f);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_run_goes_from_start_to_forget),
		cmocka_unit_test(output_arrives_whole_and_in_order),
		cmocka_unit_test(a_run_outlives_cumulusd_and_is_reported_when_it_is_back),
		cmocka_unit_test(what_is_not_committed_is_said_again),
		cmocka_unit_test(a_start_that_comes_twice_starts_once),
		cmocka_unit_test(a_stop_before_the_start_ends_the_run_unbegun),
		cmocka_unit_test(a_running_job_is_stopped_through_its_folder),
		cmocka_unit_test(a_stop_for_a_run_that_is_not_here_is_answered),
		cmocka_unit_test(a_start_that_can_never_work_names_its_field),
		cmocka_unit_test(the_worker_may_be_killed_at_any_moment),
		cmocka_unit_test(a_runner_that_goes_on_without_a_worker_is_found_again),
		cmocka_unit_test(a_runner_that_has_not_begun_is_not_doubled_by_a_restart),
		cmocka_unit_test(a_killed_runner_is_reported_and_cleaned_up),
		cmocka_unit_test(an_adopted_runner_that_dies_is_noticed),
		cmocka_unit_test(a_runner_that_never_begins_is_given_up),
		cmocka_unit_test(an_older_cumulusd_is_refused),
		cmocka_unit_test(a_package_that_is_not_what_it_says_is_refused),
		cmocka_unit_test(a_package_is_resumed_where_it_broke_off),
		cmocka_unit_test(runs_of_one_package_fetch_it_once),
		cmocka_unit_test(strangers_shares_are_told_and_own_leftovers_released),
		cmocka_unit_test(an_idle_worker_ends_by_itself),
		cmocka_unit_test(a_second_worker_ends_at_once),
		cmocka_unit_test(shutting_down_stops_the_runs_and_then_the_worker),
		cmocka_unit_test(output_waits_until_started_is_committed),
		cmocka_unit_test(a_result_that_no_message_holds_is_reported_without_it),
		cmocka_unit_test(a_run_that_had_not_begun_before_a_reboot_goes_back),
		cmocka_unit_test(a_run_that_had_begun_before_a_reboot_is_over),
		cmocka_unit_test(a_machine_that_can_run_nothing_says_why),
		cmocka_unit_test(a_quiet_worker_says_that_it_is_there),
	};

	if (argc > 2 && strcmp(argv[1], "--run-folder") == 0)
		return play(argv[2]);
	if (geteuid() != 0) {
		printf("skipped: the worker needs root\n");
		return 0;
	}
	signal(SIGPIPE, SIG_IGN);
	if (argc == 3 && strcmp(argv[1], "--only") == 0)
		cmocka_set_test_filter(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
