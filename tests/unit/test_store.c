/* test_store.c - the store keeps what it was given, in order, and answers from it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "store_fixture.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include "db.h"
#include "schema.h"

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

/* ---- answers, copied out of their callbacks */

struct answer {
	struct fixture *f;
	int count;
	struct err failed;
	struct core_known_key known;
	struct store_job job;
	struct store_page page;
	struct store_slice slice;
	struct store_result result;
	struct store_spec spec;
	int64_t sequences[STORE_EVENTS_MAX];
	char message[64];
	size_t events;
	bool missing[4];
};

static void answer_fini(struct answer *a)
{
	store_job_fini(&a->job);
	for (size_t i = 0; i < a->page.count; i++)
		store_job_fini(&a->page.jobs[i]);
	free(a->page.jobs);
	free(a->slice.bytes);
	free(a->result.bytes);
	free(a->spec.bytes);
}

#define ANSWER CLEANUP(answer_fini) struct answer

static void answered(struct answer *a, const struct err *failed)
{
	a->count++;
	a->failed = failed ? *failed : (struct err){ 0 };
	if (a->f)
		tell(a->f, 'a', (uint64_t)a->count);
}

static void on_key(void *ctx, const struct core_known_key *known)
{
	struct answer *a = ctx;

	a->known = *known;
	answered(a, NULL);
}

static void on_job(void *ctx, struct store_job *job, const struct err *failed)
{
	struct answer *a = ctx;

	answered(a, failed);
	store_job_fini(&a->job);
	a->job = job ? *job : (struct store_job){ 0 };
	if (job)
		*job = (struct store_job){ 0 };
}

static void on_events(void *ctx, struct store_events *events, const struct err *failed)
{
	struct answer *a = ctx;

	answered(a, failed);
	a->events = events ? events->count : 0;
	for (size_t i = 0; i < a->events; i++) {
		a->sequences[i] = events->events[i].sequence;
		snprintf(a->message, sizeof(a->message), "%s",
			events->events[i].message ? events->events[i].message : "");
	}
}

static void on_spec(void *ctx, struct store_spec *spec, const struct err *failed)
{
	struct answer *a = ctx;

	answered(a, failed);
	if (spec) {
		a->spec = *spec;
		spec->bytes = NULL;
	}
}

static void on_result(void *ctx, struct store_result *result, const struct err *failed)
{
	struct answer *a = ctx;

	answered(a, failed);
	if (result) {
		a->result = *result;
		result->bytes = NULL;
	}
}

static void on_page(void *ctx, struct store_page *page, const struct err *failed)
{
	struct answer *a = ctx;

	answered(a, failed);
	for (size_t i = 0; i < a->page.count; i++)
		store_job_fini(&a->page.jobs[i]);
	free(a->page.jobs);
	a->page = page ? *page : (struct store_page){ 0 };
	if (page) {
		page->jobs = NULL;
		page->count = 0;
	}
}

static void on_slice(void *ctx, struct store_slice *slice, const struct err *failed)
{
	struct answer *a = ctx;

	answered(a, failed);
	free(a->slice.bytes);
	a->slice = slice ? *slice : (struct store_slice){ 0 };
	if (slice)
		slice->bytes = NULL;
}

static void on_missing(void *ctx, const bool *missing, size_t count)
{
	struct answer *a = ctx;

	assert_true(count <= 4);
	memcpy(a->missing, missing, count * sizeof(*missing));
	answered(a, NULL);
}

static void on_done(void *ctx, const struct err *failed)
{
	answered(ctx, failed);
}

/* ---- opening */

static void the_cluster_id_stays_and_the_epoch_rises_with_every_open(void **state)
{
	struct fixture *f = *state;
	char first[ID_SIZE];

	fixture_open(f);
	strcpy(first, store_cluster_id(f->store));
	assert_true(id_valid(first, 'c'));
	assert_int_equal(store_epoch(f->store), 1);
	fixture_stop(f);
	fixture_open(f);
	assert_string_equal(store_cluster_id(f->store), first);
	assert_int_equal(store_epoch(f->store), 2);
}

static int note_worker(void *ctx, const char *id, bool draining, struct err *e)
{
	char *ids = ctx;

	(void)e;
	assert_true(draining);
	strcat(ids, id);
	return 0;
}

static void post_worker(struct fixture *f, const char *worker, bool draining)
{
	struct record *r = record_new(f, 0);

	*r->job = '\0';
	r->kind = RECORD_WORKER;
	strcpy(r->worker, worker);
	r->draining = draining;
	store_post(f->store, r);
}

static void what_an_operator_decided_of_a_worker_is_there_at_the_next_start(void **state)
{
	struct fixture *f = *state;
	char ids[128] = "";
	struct err e = { 0 };

	fixture_start(f, false);
	post_worker(f, "w-aaaaaaaaaaaaaaaa", true);
	post_worker(f, "w-bbbbbbbbbbbbbbbb", true);
	post_worker(f, "w-bbbbbbbbbbbbbbbb", true);
	post_worker(f, "w-aaaaaaaaaaaaaaaa", false);
	post_worker(f, "w-cccccccccccccccc", false);
	settle(f);
	fixture_stop(f);
	fixture_open(f);
	assert_int_equal(store_restore_workers(f->store, note_worker, ids, &e), 0);
	assert_string_equal(ids, "w-bbbbbbbbbbbbbbbb");
}

static void run_sql(struct fixture *f, const char *sql)
{
	CLEANUP(free_ptr) char *path = str_fmt("%s/cumulus.db", f->path);
	sqlite3 *db = NULL;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void a_newer_schema_is_refused_with_both_versions_named(void **state)
{
	struct fixture *f = *state;
	struct err e = { 0 };

	fixture_open(f);
	fixture_stop(f);
	run_sql(f, "PRAGMA user_version = 999");
	assert_null(store_open(&f->config, &e));
	assert_int_equal(e.code, ERR_UNSUPPORTED);
	assert_non_null(strstr(e.text, "999"));
}

static void somebody_elses_database_is_refused(void **state)
{
	struct fixture *f = *state;
	struct err e = { 0 };

	run_sql(f, "CREATE TABLE theirs (x)");
	assert_null(store_open(&f->config, &e));
	assert_int_equal(e.code, ERR_INVALID);
}

static void a_file_that_is_no_database_is_refused(void **state)
{
	struct fixture *f = *state;
	struct err e = { 0 };
	CLEANUP(free_ptr) uint8_t *noise = bytes_of(8192, 1);
	int folder = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(
		file_write(folder, "cumulus.db", noise, 8192, 0600, false, &e), 0);
	close(folder);
	assert_null(store_open(&f->config, &e));
	assert_int_equal(e.code, ERR_INVALID);
}

static void a_second_opener_is_refused(void **state)
{
	struct fixture *f = *state;
	struct db other = { 0 };
	struct err e = { 0 };
	CLEANUP(free_ptr) char *path = str_fmt("%s/cumulus.db", f->path);

	fixture_open(f);
	assert_int_equal(db_open(&other, path, &e), -1);
	assert_int_equal(e.code, ERR_CONFLICT);
}

static void older_schemas_are_brought_up_step_by_step(void **state)
{
	static const char *const steps[] = {
		"CREATE TABLE one (x); INSERT INTO one VALUES (7)",
		"ALTER TABLE one ADD COLUMN y; UPDATE one SET y = x * 2",
		"CREATE TABLE three AS SELECT x + y AS z FROM one",
	};
	struct fixture *f = *state;
	CLEANUP(free_ptr) char *path = str_fmt("%s/steps.db", f->path);
	struct err e = { 0 };
	int64_t z = 0, version = 0;

	for (size_t count = 1; count <= 3; count++) {
		struct db db = { 0 };

		assert_int_equal(db_open(&db, path, &e), 0);
		assert_int_equal(schema_upgrade(&db, steps, count, &e), 0);
		if (count == 3)
			assert_int_equal(
				db_exec_number(&db, "SELECT z FROM three", &z, &e), 0);
		assert_int_equal(
			db_exec_number(&db, "PRAGMA user_version", &version, &e), 0);
		assert_int_equal(version, count);
		db_close(&db);
	}
	assert_int_equal(z, 21);
}

static void a_failed_step_leaves_the_file_as_it_was(void **state)
{
	static const char *const steps[] = { "CREATE TABLE one (x)",
		"CREATE TABLE two (x); CREATE TABLE one (x)" };
	struct fixture *f = *state;
	CLEANUP(free_ptr) char *path = str_fmt("%s/steps.db", f->path);
	struct err e = { 0 };
	struct db db = { 0 };
	int64_t number = -1;

	assert_int_equal(db_open(&db, path, &e), 0);
	assert_int_equal(schema_upgrade(&db, steps, 1, &e), 0);
	assert_int_equal(schema_upgrade(&db, steps, 2, &e), -1);
	assert_int_equal(db_exec_number(&db, "PRAGMA user_version", &number, &e), 0);
	assert_int_equal(number, 1);
	assert_int_equal(
		db_exec_number(&db, "SELECT count(*) FROM sqlite_schema", &number, &e),
		0);
	assert_int_equal(number, 1);
	db_close(&db);
}

/* ---- what goes in comes out */

static struct record *rich_job(struct fixture *f)
{
	static const uint8_t labels[] = "colour\0blue\0team\0red";
	struct record *r = new_job(f, 7, 100);
	struct submission *s = r->submission;

	s->name = xstrdup("a name");
	s->key = xstrdup("a key");
	s->priority = -5;
	s->max_retries = 3;
	s->no_wait = true;
	s->labels = xmemdup(labels, sizeof(labels));
	s->labels_len = sizeof(labels);
	return r;
}

static struct record *rich_end(struct fixture *f)
{
	struct record *r = change(f, 7, JOB_SCHEDULING, JOB_FAILED, 2);

	r->facts.reason = REASON_EXITED;
	r->facts.retries = 2;
	r->facts.started_ns = 12;
	r->facts.report = 9;
	r->facts.output_end = OUTPUT_OFFSET(1, 77);
	r->facts.output_bytes = 6;
	r->facts.output_dropped = 5;
	r->facts.exit_code = -3;
	r->facts.exit_known = true;
	r->facts.cancel_requested = true;
	r->facts.held = true;
	r->facts.leased = true;
	strcpy(r->facts.worker, "w-abcdefghij234567");
	r->facts.device_count = 2;
	r->facts.devices = xcalloc(2, sizeof(*r->facts.devices));
	strcpy(r->facts.devices[0].uuid, "GPU-with space");
	strcpy(r->facts.devices[1].uuid, "GPU-2");
	r->facts.devices[1].index = 1;
	r->facts.message = xstrdup("exited with status 253");
	r->facts.partition = xstrdup("p-1");
	r->facts.container = xstrdup("c.1");
	r->facts.environment = xstrdup("sha256:abc");
	r->facts.timing = (struct job_timing){ 1, 2, 3, 4, 5, 6 };
	r->facts.gpu = (struct gpu_usage){
		.memory_quota = 7,
		.memory_peak = 8,
		.time_ns = 9,
		.refusals = 10,
		.overruns = 11,
		.overrun_ns = 12,
	};
	r->result = bytes_of(300, 3);
	r->result_len = 300;
	r->error = xstrdup("Traceback");
	return r;
}

static void check_rich_facts(const struct job_facts *have, const struct job_facts *want)
{
	assert_int_equal(have->state, want->state);
	assert_int_equal(have->reason, want->reason);
	assert_int_equal(have->attempt, want->attempt);
	assert_int_equal(have->retries, want->retries);
	assert_int_equal(have->last_sequence, want->last_sequence);
	assert_int_equal(have->created_ns, want->created_ns);
	assert_int_equal(have->started_ns, want->started_ns);
	assert_int_equal(have->completed_ns, want->completed_ns);
	assert_int_equal(have->report, want->report);
	assert_int_equal(have->output_end, want->output_end);
	assert_int_equal(have->output_bytes, want->output_bytes);
	assert_int_equal(have->output_dropped, want->output_dropped);
	assert_int_equal(have->exit_code, want->exit_code);
	assert_true(
		have->exit_known && have->cancel_requested && have->held && have->leased);
	assert_string_equal(have->worker, want->worker);
	assert_int_equal(have->device_count, want->device_count);
	for (uint32_t i = 0; i < have->device_count; i++) {
		assert_string_equal(have->devices[i].uuid, want->devices[i].uuid);
		assert_int_equal(have->devices[i].index, want->devices[i].index);
	}
	assert_string_equal(have->message, want->message);
	assert_string_equal(have->partition, want->partition);
	assert_string_equal(have->container, want->container);
	assert_string_equal(have->environment, want->environment);
	assert_memory_equal(&have->timing, &want->timing, sizeof(want->timing));
	assert_memory_equal(&have->gpu, &want->gpu, sizeof(want->gpu));
}

static void check_rich_submission(const struct submission *have, const struct record *r)
{
	const struct submission *want = r->submission;

	assert_int_equal(have->amount.devices, 1);
	assert_int_equal(have->amount.hundredths, 50);
	assert_int_equal(have->duration_s, 60);
	assert_int_equal(have->priority, -5);
	assert_int_equal(have->max_retries, 3);
	assert_true(have->no_wait);
	assert_string_equal(have->owner, want->owner);
	assert_string_equal(have->name, want->name);
	assert_string_equal(have->key, want->key);
	assert_memory_equal(&have->identity, &want->identity, sizeof(want->identity));
	assert_memory_equal(&have->package, &want->package, sizeof(want->package));
	assert_int_equal(have->labels_len, want->labels_len);
	assert_memory_equal(have->labels, want->labels, want->labels_len);
	assert_null(have->zip);
}

static void every_field_of_a_job_survives_the_way_to_disk_and_back(void **state)
{
	struct fixture *f = *state;
	struct fixture twin = { 0 }; /* numbers for copies that the store does not take */
	struct record *asked = rich_job(&twin), *ended = rich_end(&twin);
	ANSWER a = { 0 };

	fixture_start(f, false);
	store_post(f->store, rich_job(f));
	store_post(f->store, rich_end(f));
	store_get_job(f->store, asked->job, true, on_job, &a);
	store_get_spec(f->store, asked->job, on_spec, &a);
	store_get_result(f->store, asked->job, on_result, &a);
	settle(f);

	assert_int_equal(a.count, 3);
	assert_int_equal(a.failed.code, ERR_NONE);
	check_rich_facts(&a.job.facts, &ended->facts);
	check_rich_submission(a.job.submission, asked);
	assert_string_equal(a.job.id, asked->job);
	assert_string_equal(a.job.error, "Traceback");
	assert_int_equal(a.job.result_len, 300);
	assert_int_equal(a.job.package_size, 100);
	assert_int_equal(a.job.submission->spec_len, 200);
	assert_memory_equal(a.job.submission->spec, asked->submission->spec, 200);
	assert_int_equal(a.spec.len, 200);
	assert_memory_equal(a.spec.bytes, asked->submission->spec, 200);
	assert_int_equal(a.spec.package_size, 100);
	assert_int_equal(a.result.len, 300);
	assert_memory_equal(a.result.bytes, ended->result, 300);
	struct digest digest = digest_of(ended->result, 300);
	assert_memory_equal(&a.result.digest, &digest, sizeof(digest));
	record_free(asked);
	record_free(ended);
}

static void what_is_not_there_is_not_found(void **state)
{
	struct fixture *f = *state;
	struct digest nothing = { .bytes = { 1 } };
	struct answer a[5] = { 0 };

	fixture_start(f, false);
	store_get_job(f->store, "j-nobody", true, on_job, &a[0]);
	store_get_events(
		f->store, "much longer than any id can ever be", 0, on_events, &a[1]);
	store_get_spec(f->store, "", on_spec, &a[2]);
	store_get_result(f->store, "j-nobody", on_result, &a[3]);
	store_read_package(f->store, &nothing, 0, 10, on_slice, &a[4]);
	settle(f);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(a[i].count, 1);
		assert_int_equal(a[i].failed.code, ERR_NOT_FOUND);
	}
}

static void events_come_in_bounded_slices_without_gaps(void **state)
{
	struct fixture *f = *state;
	ANSWER a = { 0 };
	char id[ID_SIZE];
	int64_t seen = 0;

	fixture_start(f, false);
	store_post(f->store, new_job(f, 1, 10));
	for (int64_t n = 2; n <= 150; n++)
		store_post(f->store, change(f, 1, JOB_SCHEDULING, JOB_SCHEDULING, n));
	do {
		store_get_events(f->store, job_id(id, 1), seen, on_events, &a);
		settle(f);
		assert_true(a.events <= STORE_EVENTS_MAX);
		for (size_t i = 0; i < a.events; i++)
			assert_int_equal(a.sequences[i], ++seen);
	} while (a.events > 0);
	assert_int_equal(seen, 150);
	assert_string_equal(a.message, "it moved");
}

/* ---- order, and who sees what */

static void outcomes_and_answers_come_back_in_the_order_of_staging(void **state)
{
	struct fixture *f = *state;
	ANSWER a = { .f = f };
	char id[ID_SIZE];
	struct record *without_package;

	fixture_start(f, false);
	store_post(f->store, new_job(f, 1, 10));
	store_post(f->store, new_job(f, 2, 10));
	store_get_job(f->store, job_id(id, 2), false, on_job, &a);
	without_package = new_job(f, 3, 10);
	free(take_ptr(&without_package->submission->zip));
	store_post(f->store, without_package);
	store_get_job(f->store, job_id(id, 3), false, on_job, &a);
	store_post(f->store, new_job(f, 4, 10));
	settle(f);
	assert_string_equal(f->ledger.story, "c2 a1 r3 a2 c4 ");
	assert_int_equal(f->ledger.refusal.code, ERR_NOT_FOUND);
	assert_int_equal(store_stats(f->store).waiting, 0);
}

static void a_lookup_sees_all_that_was_staged_before_it_and_nothing_after(void **state)
{
	struct fixture *f = *state;
	ANSWER before = { 0 }, after = { 0 };
	struct record *r;

	fixture_start(f, false);
	store_find_key(f->store, "ada", "k", on_key, &before);
	r = new_job(f, 1, 10);
	r->submission->key = xstrdup("k");
	store_post(f->store, r);
	store_find_key(f->store, "ada", "k", on_key, &after);
	settle(f);
	assert_false(before.known.found);
	assert_true(after.known.found);
	char id[ID_SIZE];
	assert_string_equal(after.known.job, job_id(id, 1));
	struct digest identity = digest_of(id, strlen(id));
	assert_memory_equal(&after.known.identity, &identity, sizeof(identity));
}

static void nothing_is_seen_before_it_is_kicked(void **state)
{
	struct fixture *f = *state;

	fixture_start(f, false);
	store_post(f->store, new_job(f, 1, 10));
	while (store_work(f->store))
		;
	store_deliver(f->store);
	assert_int_equal(f->ledger.committed, 0);
	settle(f);
	assert_int_equal(f->ledger.committed, 1);
}

static void a_key_is_unique_for_its_owner_only(void **state)
{
	struct fixture *f = *state;

	fixture_start(f, false);
	for (uint64_t job = 1; job <= 3; job++) {
		struct record *r = new_job(f, job, 10);

		r->submission->key = xstrdup("k");
		if (job == 2) {
			free(r->submission->owner);
			r->submission->owner = xstrdup("bob");
		}
		store_post(f->store, r);
	}
	settle(f);
	assert_string_equal(f->ledger.story, "c2 r3 ");
	assert_int_equal(f->ledger.refusal.code, ERR_CONFLICT);
	assert_false(f->ledger.failed);
}

static void a_group_never_splits_the_records_of_one_input(void **state)
{
	struct fixture *f = *state;
	ANSWER a = { 0 };
	char id[ID_SIZE];

	fixture_start(f, false);
	for (uint64_t job = 1; job <= 1500; job++) {
		struct record *r = new_job(f, job, 10);

		r->input = job <= 10 ? job : job <= 1200 ? 11 : job;
		store_post(f->store, r);
		if (job % 100 == 0) /* a question in between does not end an input */
			store_get_job(f->store, job_id(id, job), false, on_job, &a);
	}
	store_kick(f->store);
	assert_true(store_work(f->store));
	store_deliver(f->store);
	assert_int_equal(f->ledger.committed, 1200);
	settle(f);
	assert_int_equal(f->ledger.committed, 1500);
	assert_int_equal(a.count, 15);
}

static void a_record_that_contradicts_its_row_stops_the_store(void **state)
{
	struct fixture *f = *state;
	ANSWER a = { 0 };

	fixture_start(f, false);
	store_post(f->store, new_job(f, 1, 10));
	settle(f);
	store_post(f->store, new_job(f, 2, 10));
	store_post(f->store, change(f, 1, JOB_RUNNING, JOB_COMPLETED, 2));
	store_find_key(f->store, "ada", "k", on_key, &a);
	settle(f);
	assert_true(f->ledger.failed);
	assert_int_equal(f->ledger.failure.code, ERR_INTERNAL);
	assert_non_null(strstr(f->ledger.failure.text, "RUNNING"));
	assert_int_equal(f->ledger.committed, 1); /* nothing of its group */
	assert_int_equal(a.count, 0);

	fixture_stop(f);
	fixture_open(f);
	assert_int_equal(count_restored(f), 1);
}

static void an_event_of_a_number_that_is_there_stops_the_store(void **state)
{
	struct fixture *f = *state;

	fixture_start(f, false);
	store_post(f->store, new_job(f, 1, 10));
	store_post(f->store, change(f, 1, JOB_SCHEDULING, JOB_SCHEDULING, 1));
	settle(f);
	assert_true(f->ledger.failed);
	assert_int_equal(f->ledger.failure.code, ERR_INTERNAL);
}

/* ---- restoring */

struct restored {
	char ids[8][ID_SIZE];
	size_t count;
	bool spec, leased;
};

static int on_restored(void *ctx, const char *id, struct job_facts *facts,
	struct submission *submission, struct err *e)
{
	struct restored *r = ctx;

	(void)e;
	assert_true(r->count < 8);
	strcpy(r->ids[r->count++], id);
	r->spec |= submission->spec || submission->zip;
	r->leased |= job_state_final(facts->state) && facts->leased;
	job_facts_fini(facts);
	submission_free(submission);
	return 0;
}

static void restoring_gives_what_is_unfinished_or_leased_in_order(void **state)
{
	struct fixture *f = *state;
	struct restored r = { 0 };
	struct err e = { 0 };
	struct record *leased;
	char id[ID_SIZE];

	fixture_start(f, false);
	post_finished(f, 9);
	store_post(f->store, new_job(f, 8, 10));
	store_post(f->store, new_job(f, 3, 10));
	leased = change(f, 3, JOB_SCHEDULING, JOB_FAILED, 2);
	leased->facts.leased = true;
	store_post(f->store, leased);
	store_post(f->store, new_job(f, 5, 10));
	settle(f);
	fixture_stop(f);

	fixture_open(f);
	assert_int_equal(store_restore(f->store, on_restored, &r, &e), 0);
	assert_int_equal(r.count, 3);
	assert_string_equal(r.ids[0], job_id(id, 8));
	assert_string_equal(r.ids[1], job_id(id, 3));
	assert_string_equal(r.ids[2], job_id(id, 5));
	assert_true(r.leased);
	assert_false(r.spec);
}

static void a_row_that_makes_no_sense_stops_the_restore(void **state)
{
	struct fixture *f = *state;
	struct restored r = { 0 };
	struct err e = { 0 };

	fixture_start(f, false);
	store_post(f->store, new_job(f, 1, 10));
	settle(f);
	fixture_stop(f);
	run_sql(f, "UPDATE jobs SET state = 77");
	fixture_open(f);
	assert_int_equal(store_restore(f->store, on_restored, &r, &e), -1);
	assert_int_equal(e.code, ERR_INVALID);
	assert_non_null(strstr(e.text, "state"));
}

/* ---- packages */

static void check_package(struct fixture *f, const uint8_t *bytes, size_t len)
{
	struct digest digest = digest_of(bytes, len);
	ANSWER a = { 0 };
	size_t at = 0;

	do {
		store_read_package(
			f->store, &digest, (int64_t)at, SIZE_MAX, on_slice, &a);
		settle(f);
		assert_int_equal(a.failed.code, ERR_NONE);
		assert_int_equal(a.slice.total, len);
		assert_true(a.slice.len <= STORE_SLICE_MAX);
		assert_memory_equal(a.slice.bytes, bytes + at, a.slice.len);
		at += a.slice.len;
	} while (a.slice.len > 0);
	assert_int_equal(at, len);
}

static void packages_are_read_back_in_slices_whether_row_or_file(void **state)
{
	static const size_t sizes[] = { 0, 1, 4096, 256 * 1024, 256 * 1024 + 1, 1000003 };
	struct fixture *f = *state;

	fixture_start(f, false);
	for (uint64_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		store_post(f->store, new_job(f, i, sizes[i]));
		settle(f);
		CLEANUP(free_ptr) uint8_t *bytes = bytes_of(sizes[i], i + 1);
		check_package(f, bytes, sizes[i]);
	}
}

static void an_offset_outside_a_package_is_invalid(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_ptr) uint8_t *bytes = bytes_of(10, 2);
	struct digest digest = digest_of(bytes, 10);
	struct answer a[3] = { 0 };

	fixture_start(f, false);
	store_post(f->store, new_job(f, 1, 10));
	store_read_package(f->store, &digest, 11, 1, on_slice, &a[0]);
	store_read_package(f->store, &digest, -1, 1, on_slice, &a[1]);
	store_read_package(f->store, &digest, INT64_MAX, 1, on_slice, &a[2]);
	settle(f);
	for (int i = 0; i < 3; i++)
		assert_int_equal(a[i].failed.code, ERR_INVALID);
}

static void a_package_that_is_stored_need_not_come_again(void **state)
{
	struct fixture *f = *state;
	struct record *r;

	fixture_start(f, false);
	store_post(f->store, new_job(f, 1, 300000));
	r = new_job(f, 2, 10);
	free(take_ptr(&r->submission->zip));
	CLEANUP(free_ptr) uint8_t *bytes = bytes_of(300000, 2);
	r->submission->package = digest_of(bytes, 300000);
	store_post(f->store, r);
	settle(f);
	assert_string_equal(f->ledger.story, "c2 ");
}

static int packages_folder(const struct fixture *f)
{
	CLEANUP(free_ptr) char *path = str_fmt("%s/packages", f->path);

	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void uploaded_files_become_known_and_the_rest_is_swept(void **state)
{
	struct fixture *f = *state;
	struct digest digests[2] = { digest_of("here", 4), digest_of("gone", 4) };
	char name[65];
	struct err e = { 0 };
	ANSWER good = { 0 }, bad = { 0 }, missing = { 0 };
	struct stat st;

	fixture_start(f, false);
	CLEANUP(close_fd) int folder = packages_folder(f);
	hex_encode(name, digests[0].bytes, 32);
	assert_int_equal(file_write(folder, name, "here", 4, 0600, false, &e), 0);
	assert_int_equal(file_write(folder, "stray", "x", 1, 0600, false, &e), 0);
	assert_int_equal(file_write(folder, "new.part", "x", 1, 0600, false, &e), 0);
	assert_int_equal(file_write(folder, "old.part", "x", 1, 0600, false, &e), 0);
	struct timespec old[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
	assert_int_equal(utimensat(folder, "old.part", old, 0), 0);
	store_add_package(f->store, &digests[0], 4, on_done, &good);
	store_add_package(f->store, &digests[1], 4, on_done, &bad);
	store_missing_packages(f->store, digests, 2, on_missing, &missing);
	settle(f);
	assert_int_equal(good.count, 1);
	assert_int_equal(good.failed.code, ERR_NONE);
	assert_int_equal(bad.failed.code, ERR_NOT_FOUND);
	assert_false(missing.missing[0]);
	assert_true(missing.missing[1]);
	fixture_stop(f);

	fixture_start(f, false);
	check_package(f, (const uint8_t *)"here", 4);
	assert_int_equal(fstatat(folder, "stray", &st, 0), -1);
	assert_int_equal(fstatat(folder, "new.part", &st, 0), 0);
	assert_int_equal(fstatat(folder, "old.part", &st, 0), -1);
}

/* ---- lists */

static struct record *listed_job(struct fixture *f, uint64_t n, const char *owner,
	const char *name, const char *team)
{
	struct record *r = new_job(f, n, 10);
	struct submission *s = r->submission;

	free(s->owner);
	s->owner = xstrdup(owner);
	s->name = xstrdup(name);
	if (team) {
		s->labels_len = strlen("team") + 1 + strlen(team) + 1;
		s->labels = (uint8_t *)str_fmt("team%c%s", '#', team);
		s->labels[4] = '\0';
	}
	return r;
}

/* The jobs of all pages as text: the number at the end of each job's created_ns. */
static void list_all(
	struct fixture *f, struct store_list_query *q, char *out, size_t size)
{
	ANSWER a = { 0 };
	CLEANUP(free_ptr) char *token = NULL;
	size_t used = 0;

	out[0] = '\0';
	do {
		q->page_token = token;
		store_list(f->store, q, on_page, &a);
		settle(f);
		assert_int_equal(a.failed.code, ERR_NONE);
		for (size_t i = 0; i < a.page.count; i++)
			used += (size_t)snprintf(out + used, size - used, "%lld ",
				(long long)a.page.jobs[i].facts.created_ns - 1);
		free(token);
		token = xstrdup(a.page.next);
	} while (*token);
	q->page_token = NULL;
}

static void lists_are_newest_first_and_every_filter_holds(void **state)
{
	static const uint8_t red[] = "team\0red";
	struct fixture *f = *state;
	struct store_list_query q = { 0 };
	char out[256];

	fixture_start(f, false);
	store_post(f->store, listed_job(f, 1, "ada", "train-1", "red"));
	store_post(f->store, listed_job(f, 2, "bob", "train-2", "red"));
	store_post(f->store, listed_job(f, 3, "ada", "test", NULL));
	store_post(f->store, listed_job(f, 4, "ada", "train-3", "blue"));
	store_post(f->store, change(f, 4, JOB_SCHEDULING, JOB_CANCELLED, 2));
	store_post(f->store, listed_job(f, 5, "ada", "train-4", "red"));
	store_post(f->store, change(f, 5, JOB_SCHEDULING, JOB_CREATING_PARTITION, 2));

	for (q.page_size = 1; q.page_size < 4; q.page_size++) {
		list_all(f, &q, out, sizeof(out));
		assert_string_equal(out, "5 4 3 2 1 ");
		q.owner = "ada";
		list_all(f, &q, out, sizeof(out));
		assert_string_equal(out, "5 4 3 1 ");
		q.states = 1u << JOB_SCHEDULING;
		list_all(f, &q, out, sizeof(out));
		assert_string_equal(out, "3 1 ");
		q.owner = NULL;
		list_all(f, &q, out, sizeof(out));
		assert_string_equal(out, "3 2 1 ");
		q.states = 1u << JOB_CANCELLED | 1u << JOB_SCHEDULING;
		q.owner = "ada";
		list_all(f, &q, out, sizeof(out));
		assert_string_equal(out, "4 3 1 ");
		q.states = 0;
		q.name_prefix = "train";
		list_all(f, &q, out, sizeof(out));
		assert_string_equal(out, "5 4 1 ");
		q.labels = red;
		q.labels_len = sizeof(red);
		list_all(f, &q, out, sizeof(out));
		assert_string_equal(out, "5 1 ");
		q.owner = NULL;
		list_all(f, &q, out, sizeof(out));
		assert_string_equal(out, "5 2 1 ");
		q.created_after_ns = 2;
		list_all(f, &q, out, sizeof(out));
		assert_string_equal(out, "5 2 ");
		q = (struct store_list_query){ .page_size = q.page_size };
	}
}

static void a_page_token_of_others_is_invalid(void **state)
{
	static const char *const bad[] = { "x", "-1", "1 ", "99999999999999999999",
		"1;--" };
	struct fixture *f = *state;

	fixture_start(f, false);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct store_list_query q = { .page_token = bad[i] };
		ANSWER a = { 0 };

		store_list(f->store, &q, on_page, &a);
		settle(f);
		assert_int_equal(a.failed.code, ERR_INVALID);
	}
}

static void paging_has_no_gaps_or_repeats_while_jobs_are_added(void **state)
{
	struct fixture *f = *state;
	ANSWER a = { 0 };
	struct store_list_query q = { .page_size = 7 };
	CLEANUP(free_ptr) char *token = xstrdup("");
	uint64_t job = 0;
	int64_t expected;

	fixture_start(f, false);
	while (job < 100)
		store_post(f->store, new_job(f, job++, 10));
	expected = 99;
	do {
		q.page_token = token;
		store_list(f->store, &q, on_page, &a);
		settle(f);
		for (size_t i = 0; i < a.page.count; i++)
			assert_int_equal(a.page.jobs[i].facts.created_ns - 1, expected--);
		store_post(f->store, new_job(f, job++, 10));
		free(token);
		token = xstrdup(a.page.next);
	} while (*token);
	assert_int_equal(expected, -1);
}

static void a_rare_match_is_found_through_pages_that_look_at_bounded_rows(void **state)
{
	struct fixture *f = *state;
	ANSWER a = { 0 };
	struct store_list_query q = { .name_prefix = "needle" };
	CLEANUP(free_ptr) char *token = xstrdup("");
	size_t found = 0, pages = 0;

	fixture_start(f, false);
	store_post(f->store, listed_job(f, 0, "ada", "needle", NULL));
	for (uint64_t job = 1; job < 5000; job++)
		store_post(f->store, new_job(f, job, 10));
	do {
		q.page_token = token;
		store_list(f->store, &q, on_page, &a);
		settle(f);
		found += a.page.count;
		pages++;
		free(token);
		token = xstrdup(a.page.next);
	} while (*token);
	assert_int_equal(found, 1);
	assert_int_equal(pages, 3);
}

static void malformed_labels_are_told_from_good_ones(void **state)
{
	(void)state;
	assert_true(labels_valid(NULL, 0));
	assert_true(labels_valid((const uint8_t *)"a\0b", 4));
	assert_true(labels_valid((const uint8_t *)"a\0\0b\0", 6));
	assert_false(labels_valid((const uint8_t *)"a\0b", 3));
	assert_false(labels_valid((const uint8_t *)"a", 2));
	assert_false(labels_valid((const uint8_t *)"b\0x\0a\0x", 8));
	assert_false(labels_valid((const uint8_t *)"a\0x\0a\0x", 8));
}

/* ---- history */

static void history_goes_by_age_first_and_then_by_count(void **state)
{
	struct fixture *f = *state;
	struct record *young;
	ANSWER a = { 0 };
	char id[ID_SIZE];

	f->config.history_jobs = 2;
	fixture_start(f, false);
	for (uint64_t job = 1; job <= 5; job++)
		post_finished(f, job); /* completed in 1970 */
	store_post(f->store, new_job(f, 6, 300000));
	young = change(f, 6, JOB_SCHEDULING, JOB_CANCELLED, 2);
	young->facts.completed_ns = clock_wall_ns();
	store_post(f->store, young);
	settle(f);
	fixture_stop(f); /* a start has a look at once */

	fixture_start(f, false);
	settle(f);
	assert_int_equal(f->ledger.removed_count, 4);
	for (uint64_t job = 1; job <= 4; job++)
		assert_string_equal(f->ledger.removed[job - 1], job_id(id, job));
	assert_int_equal(store_stats(f->store).history_jobs, 2);
	store_get_job(f->store, job_id(id, 4), false, on_job, &a);
	settle(f);
	assert_int_equal(a.failed.code, ERR_NOT_FOUND);
	store_get_job(f->store, job_id(id, 5), true, on_job, &a);
	settle(f);
	assert_int_equal(a.failed.code, ERR_NONE);
}

static void removed_jobs_are_told_again_until_their_output_is_gone(void **state)
{
	struct fixture *f = *state;
	char id[ID_SIZE];

	f->config.history_jobs = 0;
	fixture_start(f, false);
	post_finished(f, 1);
	post_finished(f, 2);
	settle(f);
	fixture_stop(f);
	for (int again = 0; again < 2; again++) {
		fixture_start(f, false);
		settle(f);
		assert_int_equal(f->ledger.removed_count, 2);
		fixture_stop(f);
	}
	fixture_start(f, false);
	store_output_removed(f->store, job_id(id, 1));
	settle(f);
	fixture_stop(f);
	fixture_start(f, false);
	settle(f);
	assert_int_equal(f->ledger.removed_count, 1);
	assert_string_equal(f->ledger.removed[0], job_id(id, 2));
}

static void packages_go_when_no_job_names_them_and_they_are_old(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_ptr) uint8_t *large = bytes_of(300000, 2), *kept = bytes_of(64, 3);
	struct digest digests[2] = { digest_of(large, 300000), digest_of(kept, 64) };
	ANSWER a = { 0 };
	char name[65];
	struct stat st;

	f->config.history_jobs = 0;
	fixture_start(f, false);
	store_post(f->store, new_job(f, 1, 300000));
	store_post(f->store, change(f, 1, JOB_SCHEDULING, JOB_CANCELLED, 2));
	store_post(f->store, new_job(f, 2, 64));
	settle(f);
	fixture_stop(f);
	run_sql(f, "UPDATE packages SET added_ns = 1");
	fixture_start(f, false);
	settle(f);
	store_missing_packages(f->store, digests, 2, on_missing, &a);
	settle(f);
	assert_true(a.missing[0]);
	assert_false(a.missing[1]);
	CLEANUP(close_fd) int folder = packages_folder(f);
	hex_encode(name, digests[0].bytes, 32);
	assert_int_equal(fstatat(folder, name, &st, 0), -1);
}

static void a_long_history_goes_in_slices(void **state)
{
	struct fixture *f = *state;

	f->callbacks.on_removed = NULL;
	fixture_start(f, false);
	for (uint64_t job = 0; job < 300; job++)
		post_finished(f, job);
	settle(f);
	fixture_stop(f);
	f->config.history_jobs = 0;
	fixture_start(f, false);
	assert_true(store_work(f->store)); /* more is left after one slice */
	assert_int_equal(store_stats(f->store).history_jobs, 300 - 64);
	settle(f);
	assert_int_equal(store_stats(f->store).history_jobs, 0);
}

static int64_t number_of(struct fixture *f, const char *sql)
{
	CLEANUP(free_ptr) char *path = str_fmt("%s/cumulus.db", f->path);
	struct err e = { 0 };
	struct db db = { 0 };
	int64_t number = -1;

	assert_int_equal(db_open(&db, path, &e), 0);
	assert_int_equal(db_exec_number(&db, sql, &number, &e), 0);
	db_close(&db);
	return number;
}

static void assert_history_is(struct fixture *f, int64_t jobs)
{
	assert_int_equal(number_of(f, "SELECT jobs FROM history"), jobs);
	assert_int_equal(number_of(f, "SELECT count(*) FROM jobs WHERE live = 0"), jobs);
	assert_int_equal(number_of(f, "SELECT bytes FROM history"),
		number_of(f, "SELECT coalesce(sum(bytes), 0) FROM jobs WHERE live = 0"));
}

/* Job 3 ends while its devices are still leased: it is finished when they are not. */
static void post_jobs_of_all_kinds(struct fixture *f)
{
	struct record *leased;

	post_finished(f, 1);
	post_finished(f, 2);
	store_post(f->store, new_job(f, 3, 100));
	leased = change(f, 3, JOB_SCHEDULING, JOB_FAILED, 2);
	leased->facts.leased = true;
	store_post(f->store, leased);
	store_post(f->store, new_job(f, 4, 100));
}

static void the_history_is_counted_as_it_changes(void **state)
{
	struct fixture *f = *state;

	fixture_start(f, false);
	post_jobs_of_all_kinds(f);
	settle(f);
	fixture_stop(f);
	assert_history_is(f, 2);

	fixture_start(f, false);
	store_post(f->store, change(f, 3, JOB_FAILED, JOB_FAILED, 3));
	store_post(f->store, change(f, 1, JOB_COMPLETED, JOB_COMPLETED, 0));
	settle(f);
	fixture_stop(f);
	assert_history_is(f, 3);

	f->config.history_jobs = 1;
	fixture_start(f, false);
	settle(f);
	fixture_stop(f);
	assert_history_is(f, 1);
}

/* It is read from one row, whatever the jobs are: a number that is not theirs shows it. */
static void a_start_does_not_count_the_history_anew(void **state)
{
	struct fixture *f = *state;

	fixture_start(f, false);
	post_finished(f, 1);
	settle(f);
	fixture_stop(f);
	run_sql(f, "UPDATE history SET jobs = jobs + 1000");
	fixture_start(f, false);
	settle(f);
	assert_int_equal(store_stats(f->store).history_jobs, 1001);
}

static void a_store_of_before_the_count_is_counted_once(void **state)
{
	struct fixture *f = *state;

	fixture_start(f, false);
	post_jobs_of_all_kinds(f);
	settle(f);
	fixture_stop(f);
	run_sql(f, "DROP TRIGGER history_add; DROP TRIGGER history_change;"
		   "DROP TRIGGER history_remove; DROP TABLE history;"
		   "ALTER TABLE jobs DROP COLUMN gpu_overruns;"
		   "ALTER TABLE jobs DROP COLUMN gpu_overrun_ns;"
		   "PRAGMA user_version = 5");
	fixture_start(f, false);
	settle(f);
	assert_int_equal(store_stats(f->store).history_jobs, 2);
	fixture_stop(f);
	assert_history_is(f, 2);
}

/* ---- the thread */

static void the_thread_commits_and_answers_like_the_inline_store(void **state)
{
	struct fixture *f = *state;
	ANSWER a = { .f = f };
	char id[ID_SIZE];

	fixture_start(f, true);
	for (uint64_t job = 0; job < 2000; job++) {
		store_post(f->store, new_job(f, job, 100));
		if (job % 10 == 9)
			store_kick(f->store);
		if (job % 100 == 99)
			store_deliver(f->store);
	}
	store_get_job(f->store, job_id(id, 1999), true, on_job, &a);
	store_post(f->store, new_job(f, 2000, 100));
	await_committed(f, 2001);
	assert_int_equal(a.count, 1);
	assert_string_equal(a.job.id, id);
	assert_int_equal(store_stats(f->store).records, 2001);
}

static void stopping_commits_what_was_staged(void **state)
{
	struct fixture *f = *state;

	fixture_start(f, true);
	for (uint64_t job = 0; job < 1000; job++)
		store_post(f->store, new_job(f, job, 100));
	store_stop(f->store);
	store_deliver(f->store);
	assert_int_equal(f->ledger.committed, 1000);
	fixture_stop(f);
	fixture_open(f);
	assert_int_equal(count_restored(f), 1000);
}

static void closing_drops_open_questions_without_a_leak(void **state)
{
	struct fixture *f = *state;
	ANSWER a = { 0 };
	char id[ID_SIZE];

	fixture_start(f, true);
	store_post(f->store, new_job(f, 1, 100));
	store_get_job(f->store, job_id(id, 1), true, on_job, &a);
	fixture_stop(f);
	assert_int_equal(a.count, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(the_cluster_id_stays_and_the_epoch_rises_with_every_open),
		T(what_an_operator_decided_of_a_worker_is_there_at_the_next_start),
		T(a_newer_schema_is_refused_with_both_versions_named),
		T(somebody_elses_database_is_refused),
		T(a_file_that_is_no_database_is_refused),
		T(a_second_opener_is_refused),
		T(older_schemas_are_brought_up_step_by_step),
		T(a_failed_step_leaves_the_file_as_it_was),
		T(every_field_of_a_job_survives_the_way_to_disk_and_back),
		T(what_is_not_there_is_not_found),
		T(events_come_in_bounded_slices_without_gaps),
		T(outcomes_and_answers_come_back_in_the_order_of_staging),
		T(a_lookup_sees_all_that_was_staged_before_it_and_nothing_after),
		T(nothing_is_seen_before_it_is_kicked),
		T(a_key_is_unique_for_its_owner_only),
		T(a_group_never_splits_the_records_of_one_input),
		T(a_record_that_contradicts_its_row_stops_the_store),
		T(an_event_of_a_number_that_is_there_stops_the_store),
		T(restoring_gives_what_is_unfinished_or_leased_in_order),
		T(a_row_that_makes_no_sense_stops_the_restore),
		T(packages_are_read_back_in_slices_whether_row_or_file),
		T(an_offset_outside_a_package_is_invalid),
		T(a_package_that_is_stored_need_not_come_again),
		T(uploaded_files_become_known_and_the_rest_is_swept),
		T(lists_are_newest_first_and_every_filter_holds),
		T(a_page_token_of_others_is_invalid),
		T(paging_has_no_gaps_or_repeats_while_jobs_are_added),
		T(a_rare_match_is_found_through_pages_that_look_at_bounded_rows),
		T(malformed_labels_are_told_from_good_ones),
		T(history_goes_by_age_first_and_then_by_count),
		T(removed_jobs_are_told_again_until_their_output_is_gone),
		T(packages_go_when_no_job_names_them_and_they_are_old),
		T(a_long_history_goes_in_slices),
		T(the_history_is_counted_as_it_changes),
		T(a_start_does_not_count_the_history_anew),
		T(a_store_of_before_the_count_is_counted_once),
		T(the_thread_commits_and_answers_like_the_inline_store),
		T(stopping_commits_what_was_staged),
		T(closing_drops_open_questions_without_a_leak),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
