/* test_runfolder.c - a run folder torn anywhere reads as what was whole. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "runfolder.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "file.h"
#include "id.h"

struct place {
	char base[64];
	int runs_fd;
	char job[ID_SIZE];
	char name[RUN_NAME_SIZE];
	int dirfd;
	struct err e;
};

#define assert_ok(call)                                                                  \
	do {                                                                             \
		if ((call) < 0)                                                          \
			fail_msg("%s: %s", #call, p->e.text);                            \
	} while (0)

#define assert_code(expected, call)                                                      \
	do {                                                                             \
		memset(&p->e, 0, sizeof p->e);                                           \
		assert_int_equal(call, -1);                                              \
		if (p->e.code != (expected))                                             \
			fail_msg("%s: %s: %s", #call, err_code_name(p->e.code),          \
				p->e.text);                                              \
	} while (0)

static void create(struct place *p, int32_t attempt, int32_t format)
{
	Cumulus__Worker__RunSpec spec = CUMULUS__WORKER__RUN_SPEC__INIT;
	Cumulus__Worker__Start start = CUMULUS__WORKER__START__INIT;
	static char uuid[] = "simulated-0", package[] = "/package", worker[ID_SIZE];
	static char *uuids[] = { uuid };

	id_make(worker, 'w');
	start.job_id = p->job;
	start.attempt = attempt;
	start.device_uuids = uuids;
	start.n_device_uuids = 1;
	start.hundredths = 50;
	start.duration = 10;
	spec.format = format;
	spec.worker_id = worker;
	spec.package_path = package;
	spec.start = &start;
	run_name(p->name, p->job, attempt);
	if (runfolder_create(p->runs_fd, &spec, &p->e) < 0)
		return;
	p->dirfd = runfolder_open(p->runs_fd, p->name, &p->e);
	assert_true(p->dirfd >= 0);
}

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof *p);

	snprintf(p->base, sizeof p->base, "/tmp/test_runfolder.XXXXXX");
	assert_non_null(mkdtemp(p->base));
	p->runs_fd = open(p->base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	p->dirfd = -1;
	id_make(p->job, 'j');
	create(p, 1, RUNFOLDER_FORMAT);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;

	assert_ok(tree_remove(AT_FDCWD, p->base, &p->e));
	close(p->runs_fd);
	close(p->dirfd);
	free(p);
	return 0;
}

/* ---- folder ---- */

static void a_spec_comes_back_and_its_run_is_made_once(void **state)
{
	struct place *p = *state;
	struct stat st;
	char key[RUN_KEY_SIZE];
	Cumulus__Worker__RunSpec *spec = runfolder_read_spec(p->dirfd, &p->e);

	assert_non_null(spec);
	assert_string_equal(spec->start->job_id, p->job);
	assert_ok(run_partition_key(key, spec, &p->e));
	assert_non_null(strstr(key, p->name));
	assert_int_equal(fstat(p->dirfd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_code(ERR_CONFLICT, runfolder_create(p->runs_fd, spec, &p->e));
	spec->start->hundredths = 0;
	assert_code(ERR_INVALID, runfolder_create(p->runs_fd, spec, &p->e));
	cumulus__worker__run_spec__free_unpacked(spec, NULL);
}

static void a_spec_is_replaced_by_a_valid_one_only(void **state)
{
	struct place *p = *state;
	Cumulus__Worker__RunSpec *spec = runfolder_read_spec(p->dirfd, &p->e);
	Cumulus__Worker__RunSpec changed = *spec;

	changed.environment_path = (char *)"/somewhere";
	changed.environment_lock = (char *)"sha256:abc";
	changed.environment_ns = 7;
	assert_ok(runfolder_replace_spec(p->dirfd, &changed, &p->e));
	changed.environment_path = (char *)"not/absolute";
	assert_code(ERR_INVALID, runfolder_replace_spec(p->dirfd, &changed, &p->e));
	cumulus__worker__run_spec__free_unpacked(spec, NULL);

	spec = runfolder_read_spec(p->dirfd, &p->e);
	assert_non_null(spec);
	assert_string_equal(spec->start->job_id, p->job);
	assert_string_equal(spec->environment_path, "/somewhere");
	assert_string_equal(spec->environment_lock, "sha256:abc");
	assert_int_equal(spec->environment_ns, 7);
	cumulus__worker__run_spec__free_unpacked(spec, NULL);
}

static void another_format_is_not_read(void **state)
{
	struct place *p = *state;
	Cumulus__Worker__RunSpec *spec = runfolder_read_spec(p->dirfd, &p->e);
	uint8_t bytes[1024];

	spec->format = RUNFOLDER_FORMAT + 1;
	size_t len = cumulus__worker__run_spec__pack(spec, bytes);
	assert_ok(file_write(p->dirfd, RUN_FILE_SPEC, bytes, len, 0600, false, &p->e));
	cumulus__worker__run_spec__free_unpacked(spec, NULL);
	assert_null(runfolder_read_spec(p->dirfd, &p->e));
	assert_int_equal(p->e.code, ERR_UNSUPPORTED);
}

static void a_spec_cut_anywhere_never_reads_as_another(void **state)
{
	struct place *p = *state;
	CLEANUP(buf_fini) struct buf whole = { 0 };

	assert_ok(file_read(p->dirfd, RUN_FILE_SPEC, 4096, &whole, &p->e));
	for (size_t len = 0; len < whole.len; len++) {
		assert_ok(file_write(
			p->dirfd, RUN_FILE_SPEC, whole.data, len, 0600, false, &p->e));
		Cumulus__Worker__RunSpec *spec = runfolder_read_spec(p->dirfd, &p->e);
		if (!spec)
			continue;
		/* Only what stands behind start can be missing then. */
		assert_string_equal(spec->start->job_id, p->job);
		cumulus__worker__run_spec__free_unpacked(spec, NULL);
	}
}

static void only_whole_runs_are_listed_and_remnants_go(void **state)
{
	struct place *p = *state;
	char **names;
	size_t count;
	struct stat st;

	close(p->dirfd);
	create(p, 2, RUNFOLDER_FORMAT);
	assert_int_equal(mkdirat(p->runs_fd, "j-aaaaaaaaaaaaaaaa.1", 0700), 0);
	assert_int_equal(mkdirat(p->runs_fd, ".gone-j-aaaaaaaaaaaaaaab.1", 0700), 0);
	assert_int_equal(mkdirat(p->runs_fd, "other", 0700), 0);
	assert_ok(runfolder_list(p->runs_fd, &names, &count, &p->e));
	assert_int_equal(count, 2);
	assert_string_equal(names[1], p->name);
	runfolder_names_free(names, count);
	assert_int_equal(fstatat(p->runs_fd, "j-aaaaaaaaaaaaaaaa.1", &st, 0), -1);
	assert_int_equal(fstatat(p->runs_fd, ".gone-j-aaaaaaaaaaaaaaab.1", &st, 0), -1);
	assert_int_equal(fstatat(p->runs_fd, "other", &st, 0), 0);
}

static void a_locked_run_is_not_removed(void **state)
{
	struct place *p = *state;
	int lock = runfolder_lock(p->dirfd, &p->e);

	assert_true(lock >= 0);
	assert_code(ERR_CONFLICT, runfolder_remove(p->runs_fd, p->name, &p->e));
	assert_code(ERR_CONFLICT, runfolder_lock(p->dirfd, &p->e));
	close(lock);
	assert_ok(runfolder_remove(p->runs_fd, p->name, &p->e));
	assert_ok(runfolder_remove(p->runs_fd, p->name, &p->e));
	/* Whoever still holds the folder open gets no lock on it. */
	assert_code(ERR_NOT_FOUND, runfolder_lock(p->dirfd, &p->e));
}

/* ---- log ---- */

static void write_log(struct place *p)
{
	struct run_log_writer w;
	Cumulus__Worker__ContainerIntent intent = CUMULUS__WORKER__CONTAINER_INTENT__INIT;
	Cumulus__Worker__Started started = CUMULUS__WORKER__STARTED__INIT;
	Cumulus__Worker__Ended ended = CUMULUS__WORKER__ENDED__INIT;
	static char id[] = "c-1", message[] = "exited with status 7";

	intent.container_id = id;
	started.container_id = id;
	ended.message = message;
	ended.reason = CUMULUS__ORCHESTRATOR__REASON__EXITED;
	assert_ok(run_log_open(p->dirfd, &w, &p->e));
	assert_ok(run_log_append(&w, RUN_RECORD_INTENT, &intent.base, false, &p->e));
	assert_ok(run_log_append(&w, RUN_RECORD_STARTED, &started.base, true, &p->e));
	assert_ok(run_log_append(&w, RUN_RECORD_ENDED, &ended.base, true, &p->e));
	assert_code(ERR_CONFLICT,
		run_log_append(&w, RUN_RECORD_ENDED, &ended.base, true, &p->e));
	run_log_close(&w);
}

static void reports_are_numbered_by_the_log(void **state)
{
	struct place *p = *state;
	struct run_state s;

	assert_ok(runfolder_state(p->dirfd, 0, &s, &p->e));
	assert_int_equal(s.phase, CUMULUS__WORKER__PHASE__PHASE_SETTING_UP);
	assert_int_equal(s.last_report, 1);
	write_log(p);
	assert_ok(runfolder_state(p->dirfd, 0, &s, &p->e));
	assert_int_equal(s.phase, CUMULUS__WORKER__PHASE__PHASE_ENDED);
	assert_int_equal(s.last_report, 3);

	static const Cumulus__Worker__Report__KindCase kinds[] = {
		CUMULUS__WORKER__REPORT__KIND_ACCEPTED,
		CUMULUS__WORKER__REPORT__KIND_STARTED,
		CUMULUS__WORKER__REPORT__KIND_ENDED,
	};
	for (int64_t n = 1; n <= 3; n++) {
		Cumulus__Worker__Report *r =
			runfolder_read_report(p->dirfd, p->job, 1, n, &p->e);

		assert_non_null(r);
		assert_int_equal(r->kind_case, kinds[n - 1]);
		assert_int_equal(r->number, n);
		assert_true(n == 1 || r->wall_ns > 0);
		cumulus__worker__report__free_unpacked(r, NULL);
	}
	assert_null(runfolder_read_report(p->dirfd, p->job, 1, 4, &p->e));
	assert_int_equal(p->e.code, ERR_NOT_FOUND);
}

static void a_log_cut_anywhere_holds_its_whole_records(void **state)
{
	struct place *p = *state;
	CLEANUP(buf_fini) struct buf whole = { 0 };
	size_t ends[4] = { 0 };

	write_log(p);
	assert_ok(file_read(p->dirfd, RUN_FILE_LOG, RUN_LOG_MAX, &whole, &p->e));
	CLEANUP(run_log_fini) struct run_log log = { 0 };
	assert_ok(run_log_read(p->dirfd, &log, &p->e));
	assert_int_equal(log.count, 3);
	for (size_t i = 0; i < 3; i++)
		ends[i + 1] = (size_t)(log.records[i].payload + log.records[i].len -
				       log.bytes.data);
	assert_int_equal(ends[3], whole.len);

	for (size_t len = 0; len <= whole.len; len++) {
		CLEANUP(run_log_fini) struct run_log cut = { 0 };
		size_t expected = 0;

		while (expected < 3 && ends[expected + 1] <= len)
			expected++;
		assert_ok(file_write(
			p->dirfd, RUN_FILE_LOG, whole.data, len, 0600, false, &p->e));
		assert_ok(run_log_read(p->dirfd, &cut, &p->e));
		assert_int_equal(cut.count, expected);
		assert_int_equal(cut.size, ends[expected]);
		assert_int_equal(run_log_over(&cut), expected == 3);

		/* The next record stands behind the last whole one. */
		struct run_log_writer w;
		Cumulus__Worker__SettingUp more = CUMULUS__WORKER__SETTING_UP__INIT;
		CLEANUP(run_log_fini) struct run_log again = { 0 };
		assert_ok(run_log_open(p->dirfd, &w, &p->e));
		assert_int_equal(w.over, expected == 3);
		if (!w.over)
			assert_ok(run_log_append(
				&w, RUN_RECORD_SETTING_UP, &more.base, false, &p->e));
		run_log_close(&w);
		assert_ok(run_log_read(p->dirfd, &again, &p->e));
		assert_int_equal(again.count, expected == 3 ? 3 : expected + 1);
	}
}

static void a_log_with_any_bit_changed_ends_before_that_record(void **state)
{
	struct place *p = *state;
	CLEANUP(buf_fini) struct buf whole = { 0 };
	CLEANUP(run_log_fini) struct run_log log = { 0 };

	write_log(p);
	assert_ok(file_read(p->dirfd, RUN_FILE_LOG, RUN_LOG_MAX, &whole, &p->e));
	assert_ok(run_log_read(p->dirfd, &log, &p->e));
	for (size_t bit = 0; bit < 8 * whole.len; bit += 3) {
		CLEANUP(run_log_fini) struct run_log changed = { 0 };
		size_t at = 0;

		while (log.records[at].payload + log.records[at].len - log.bytes.data <=
			(ptrdiff_t)(bit / 8))
			at++;
		whole.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_ok(file_write(p->dirfd, RUN_FILE_LOG, whole.data, whole.len, 0600,
			false, &p->e));
		assert_ok(run_log_read(p->dirfd, &changed, &p->e));
		assert_int_equal(changed.count, at);
		whole.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

static void a_log_has_a_limit(void **state)
{
	struct place *p = *state;
	struct run_log_writer w;
	Cumulus__Worker__SettingUp m = CUMULUS__WORKER__SETTING_UP__INIT;
	CLEANUP(free_ptr) char *text = calloc(1, 300000);

	memset(text, 'x', 299999);
	m.lock = text;
	assert_ok(run_log_open(p->dirfd, &w, &p->e));
	for (int i = 0; i < 3; i++)
		assert_ok(
			run_log_append(&w, RUN_RECORD_SETTING_UP, &m.base, false, &p->e));
	assert_code(ERR_EXHAUSTED,
		run_log_append(&w, RUN_RECORD_SETTING_UP, &m.base, false, &p->e));
	run_log_close(&w);
}

/* ---- output ---- */

static void output_cut_anywhere_holds_its_whole_frames(void **state)
{
	struct place *p = *state;
	CLEANUP(buf_fini) struct buf whole = { 0 };
	struct run_output o;
	int64_t ends[4] = { 0 };

	assert_ok(run_output_open(p->dirfd, 1 << 20, &o, &p->e));
	for (int i = 0; i < 3; i++) {
		assert_ok(run_output_write(&o, FRAME_STDOUT, "hello\n", 6, &p->e));
		ends[i + 1] = o.end;
	}
	run_output_close(&o);
	assert_ok(file_read(p->dirfd, RUN_FILE_OUTPUT, 4096, &whole, &p->e));
	assert_int_equal(whole.len, ends[3]);
	for (size_t len = 0; len <= whole.len; len++) {
		CLEANUP(buf_fini) struct buf frames = { 0 };
		int expected = 0;

		while (expected < 3 && ends[expected + 1] <= (int64_t)len)
			expected++;
		assert_ok(file_write(
			p->dirfd, RUN_FILE_OUTPUT, whole.data, len, 0600, false, &p->e));
		assert_ok(run_output_read(p->dirfd, 0, FRAME_MAX, &frames, &p->e));
		assert_int_equal(frames.len, ends[expected]);
		assert_ok(run_output_open(p->dirfd, 1 << 20, &o, &p->e));
		assert_int_equal(o.end, ends[expected]);
		assert_ok(run_output_write(&o, FRAME_SYSTEM, "x", 1, &p->e));
		run_output_close(&o);
		buf_clear(&frames);
		assert_ok(run_output_read(
			p->dirfd, ends[expected], FRAME_MAX, &frames, &p->e));
		assert_int_equal(frames.len, FRAME_HEADER_SIZE + 1);
	}
}

static void output_past_the_limit_is_counted_and_not_kept(void **state)
{
	struct place *p = *state;
	CLEANUP(free_ptr) char *data = malloc(200000);
	struct run_output o;

	memset(data, 'a', 200000);
	assert_ok(run_output_open(p->dirfd, 100000, &o, &p->e));
	assert_ok(run_output_write(&o, FRAME_STDOUT, data, 200000, &p->e));
	assert_true(o.full);
	assert_true(o.end <= 100000);
	assert_int_equal(o.kept + o.lost, 200000);
	assert_ok(run_output_write(&o, FRAME_STDERR, data, 5, &p->e));
	assert_int_equal(o.kept + o.lost, 200005);
	assert_ok(run_output_write(&o, FRAME_SYSTEM, "end\n", 4, &p->e));
	assert_int_equal(o.kept + o.lost, 200009);
	assert_true(o.kept >= 100000 - 3 * (int64_t)FRAME_HEADER_SIZE);
	run_output_close(&o);
}

static void a_tail_is_the_last_of_the_jobs_own_bytes(void **state)
{
	struct place *p = *state;
	CLEANUP(buf_fini) struct buf tail = { 0 };
	struct run_output o;
	char line[32];

	assert_ok(run_output_open(p->dirfd, 10 << 20, &o, &p->e));
	for (int i = 0; i < 20000; i++) {
		int len = snprintf(line, sizeof line, "line %d\n", i);

		assert_ok(run_output_write(&o, i % 2 ? FRAME_STDOUT : FRAME_STDERR, line,
			(size_t)len, &p->e));
	}
	assert_ok(run_output_write(&o, FRAME_SYSTEM, "system", 6, &p->e));
	run_output_close(&o);
	assert_ok(run_output_tail(p->dirfd, 22, &tail, &p->e));
	assert_int_equal(tail.len, 22);
	assert_memory_equal(tail.data + 22 - 11, "line 19999\n", 11);
}

/* ---- small files ---- */

static void progress_and_stop_come_back(void **state)
{
	struct place *p = *state;
	Cumulus__Worker__StopRequest stop = CUMULUS__WORKER__STOP_REQUEST__INIT;
	Cumulus__Worker__StopWhy why;
	int32_t grace;
	bool asked = true;

	assert_null(runfolder_read_progress(p->dirfd, &p->e));
	assert_int_equal(p->e.code, ERR_NOT_FOUND);
	assert_ok(runfolder_write_progress(p->dirfd, 0.5f, "half", &p->e));
	Cumulus__Worker__ProgressFile *got = runfolder_read_progress(p->dirfd, &p->e);
	assert_non_null(got);
	assert_string_equal(got->text, "half");
	cumulus__worker__progress_file__free_unpacked(got, NULL);

	assert_ok(runfolder_read_stop(p->dirfd, &asked, &why, &grace, &p->e));
	assert_false(asked);
	stop.why = CUMULUS__WORKER__STOP_WHY__STOP_DRAIN;
	stop.grace = 7;
	assert_ok(runfolder_write_stop(p->dirfd, &stop, &p->e));
	assert_ok(runfolder_read_stop(p->dirfd, &asked, &why, &grace, &p->e));
	assert_true(asked);
	assert_int_equal(why, CUMULUS__WORKER__STOP_WHY__STOP_DRAIN);
	assert_int_equal(grace, 7);
}

int main(void)
{
#define test(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		test(a_spec_comes_back_and_its_run_is_made_once),
		test(a_spec_is_replaced_by_a_valid_one_only),
		test(another_format_is_not_read),
		test(a_spec_cut_anywhere_never_reads_as_another),
		test(only_whole_runs_are_listed_and_remnants_go),
		test(a_locked_run_is_not_removed),
		test(reports_are_numbered_by_the_log),
		test(a_log_cut_anywhere_holds_its_whole_records),
		test(a_log_with_any_bit_changed_ends_before_that_record),
		test(a_log_has_a_limit),
		test(output_cut_anywhere_holds_its_whole_frames),
		test(output_past_the_limit_is_counted_and_not_kept),
		test(a_tail_is_the_last_of_the_jobs_own_bytes),
		test(progress_and_stop_come_back),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
