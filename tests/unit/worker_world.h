/* worker_world.h - a cumulusd and runners that are played, around the real worker. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The test serves WorkerService, starts the built cumulus-worker, and is itself the
 * program that the worker starts for each run: called with --run-folder it does what the
 * job's environment variable PLAY says.
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "chronos.h"
#include "cleanup.h"
#include "clock.h"
#include "digest.h"
#include "file.h"
#include "id.h"
#include "runfolder.h"
#include "str.h"
#include "wire.h"
#include "worker.pb-c.h"
#include "xalloc.h"

#define WAIT_S 20 /* a deadline for what happens in milliseconds */

/* ---- the runner ---- */

static void die_on(int rc, const struct err *e, const char *what)
{
	if (rc >= 0)
		return;
	fprintf(stderr, "player: %s: %s\n", what, e->text);
	exit(3);
}

static const char *player_part(const Cumulus__Worker__RunSpec *spec)
{
	for (size_t i = 0; i < spec->start->n_env; i++)
		if (strcmp(spec->start->env[i]->key, "PLAY") == 0)
			return spec->start->env[i]->value;
	return "finish";
}

static void player_wait_for_stop(int dirfd)
{
	Cumulus__Worker__StopWhy why;
	struct err e = { 0 };
	int32_t grace;
	bool asked = false;

	while (!asked) {
		die_on(runfolder_read_stop(dirfd, &asked, &why, &grace, &e), &e, "stop");
		poll(NULL, 0, 5);
	}
}

static int player_append(int dirfd, enum run_record_type type, const void *m)
{
	struct run_log_writer w;
	struct err e = { 0 };

	die_on(run_log_open(dirfd, &w, &e), &e, "log");
	die_on(run_log_append(&w, type, m, true, &e), &e, "append");
	run_log_close(&w);
	return 0;
}

static void player_write(int dirfd, enum frame_stream stream, const char *text)
{
	struct run_output o;
	struct err e = { 0 };

	die_on(run_output_open(dirfd, 1 << 30, &o, &e), &e, "output");
	die_on(run_output_write(&o, stream, text, strlen(text), &e), &e, "write");
	run_output_close(&o);
}

static int64_t player_output_end(int dirfd)
{
	struct run_state s;
	struct err e = { 0 };

	die_on(runfolder_state(dirfd, 0, &s, &e), &e, "state");
	return s.output_end;
}

static void player_started(int dirfd)
{
	Cumulus__Worker__Started m = CUMULUS__WORKER__STARTED__INIT;

	m.partition_id = (char *)"p-1";
	m.container_id = (char *)"c-1";
	m.output_at = player_output_end(dirfd);
	player_append(dirfd, RUN_RECORD_STARTED, &m);
}

/* More than a message holds: a runner would not have let it pass. */
static void player_huge_result(int dirfd)
{
	size_t len = (size_t)5 << 20;
	char *text = xmalloc(len);
	struct err e = { 0 };

	memset(text, '1', len);
	die_on(file_write(dirfd, RUN_FILE_RESULT, text, len, 0600, true, &e), &e,
		"result");
	free(text);
}

static void player_ended(int dirfd, bool stopped)
{
	Cumulus__Worker__Ended m = CUMULUS__WORKER__ENDED__INIT;
	static const char result[] = "{\"status\":\"success\",\"result\":42}";
	struct err e = { 0 };

	m.stopped = stopped;
	m.message = (char *)(stopped ? "stopped" : "");
	m.reason = stopped ? CUMULUS__ORCHESTRATOR__REASON__CANCELLED_BY_USER
			   : CUMULUS__ORCHESTRATOR__REASON__REASON_NONE;
	m.output_end = player_output_end(dirfd);
	if (!stopped && faccessat(dirfd, RUN_FILE_RESULT, F_OK, 0) < 0)
		die_on(file_write(dirfd, RUN_FILE_RESULT, result, strlen(result), 0600,
			       true, &e),
			&e, "result");
	player_append(dirfd, RUN_RECORD_ENDED, &m);
}

/* The witness: one byte for each time that a job's code would have begun. */
static void player_witness(const char *folder)
{
	CLEANUP(free_ptr)
	char *path = str_fmt("%s/../../../witness.%s", folder, strrchr(folder, '/') + 1);
	CLEANUP(close_fd)
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, "x", 1) != 1)
		exit(4);
}

static void player_hold(const char *folder)
{
	CLEANUP(free_ptr) char *path = str_fmt("%s/../../../go", folder);

	while (access(path, F_OK) < 0)
		poll(NULL, 0, 5);
}

static int play(const char *folder)
{
	struct err e = { 0 };
	int dirfd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	Cumulus__Worker__RunSpec *spec =
		dirfd < 0 ? NULL : runfolder_read_spec(dirfd, &e);
	struct run_log log = { 0 };

	if (!spec || access(spec->package_path, R_OK) < 0)
		return 3;

	const char *part = player_part(spec);
	if (strcmp(part, "die-early") == 0)
		_exit(7);
	if (strcmp(part, "hold-before-lock") == 0)
		player_hold(folder);
	int lock = runfolder_lock(dirfd, &e);
	if (lock < 0)
		_exit(0);
	die_on(run_log_read(dirfd, &log, &e), &e, "log");
	if (log.count)
		_exit(0);
	player_write(dirfd, FRAME_SYSTEM, "set-up\n");
	player_started(dirfd);
	player_witness(folder);
	player_write(dirfd, FRAME_STDOUT, "hello\n");
	die_on(runfolder_write_progress(dirfd, 0.5f, "half", &e), &e, "progress");
	if (strcmp(part, "die") == 0)
		raise(SIGKILL);
	if (strcmp(part, "wait") == 0)
		player_wait_for_stop(dirfd);
	if (strcmp(part, "hold") == 0)
		player_hold(folder);
	if (strcmp(part, "talk") == 0)
		for (int i = 0; i < 500; i++)
			player_write(dirfd, FRAME_STDOUT, "another line of output\n");
	if (strcmp(part, "huge") == 0)
		player_huge_result(dirfd);
	player_ended(dirfd, strcmp(part, "wait") == 0);
	run_log_fini(&log);
	cumulus__worker__run_spec__free_unpacked(spec, NULL);
	close(lock);
	close(dirfd);
	return 0;
}

/* ---- cumulusd ---- */

#define RUNS_MAX     8
#define COMMANDS_MAX 64

struct known_run { /* what this cumulusd has on its disk about a run */
	char job[ID_SIZE];
	int32_t attempt;
	int64_t committed;
	int64_t started_report, output_at; /* once started */
	Cumulus__Worker__Report *ended;    /* owned */
	Cumulus__Worker__Report *refused;  /* owned */
	struct buf output;
	bool early_output; /* output of the job came before *started* was committed */
	int repeats;       /* reports that came again after they were committed */
	int64_t seen;      /* the highest number on this stream, or what Welcome said */
	bool gap;          /* a report number was left out */
	bool forget_sent;
	bool progressed;
};

struct fake {
	uv_loop_t loop;
	uv_timer_t tick;
	struct wire_server *server;
	char folder[64], socket[128];
	int64_t epoch;
	const char *cluster;
	struct wire_call *work;
	Cumulus__Worker__Hello *hello; /* owned; of the present stream */
	int hellos;
	struct known_run runs[RUNS_MAX];
	size_t run_count;
	void *commands[COMMANDS_MAX]; /* owned ToWorker */
	size_t first, last;
	bool hold_commits; /* reports are noted and not committed */
	bool hold_forget;
	bool hold_reads; /* ReadBlob is not answered */
	/* the package */
	uint8_t *package;
	size_t package_len;
	char digest[DIGEST_TEXT_SIZE];
	bool corrupt;  /* sends other bytes than the digest says */
	size_t cut_at; /* sends no more than about so many bytes; 0: all */
	int reads;     /* ReadBlob calls */
	int64_t last_read_offset;
	pid_t worker;
	int worker_status;
	bool worker_gone;
	int device_messages;
	int idle_messages;
	int32_t foreign;
};

static struct known_run *known(struct fake *f, const char *job, int32_t attempt)
{
	for (size_t i = 0; i < f->run_count; i++)
		if (strcmp(f->runs[i].job, job) == 0 && f->runs[i].attempt == attempt)
			return &f->runs[i];
	return NULL;
}

static Cumulus__Worker__ToWorker *command(
	struct fake *f, Cumulus__Worker__ToWorker__KindCase kind)
{
	Cumulus__Worker__ToWorker *m = xmalloc(sizeof(*m));

	cumulus__worker__to_worker__init(m);
	m->kind_case = kind;
	assert_true(f->last - f->first < COMMANDS_MAX);
	f->commands[f->last++ % COMMANDS_MAX] = m;
	if (f->work)
		wire_call_wake(f->work);
	return m;
}

static void drop_commands(struct fake *f)
{
	while (f->first < f->last)
		wire_message_free(f->commands[f->first++ % COMMANDS_MAX]);
}

static void say_committed(struct fake *f, const struct known_run *r)
{
	Cumulus__Worker__ToWorker *m =
		command(f, CUMULUS__WORKER__TO_WORKER__KIND_COMMITTED);

	m->committed = xmalloc(sizeof(*m->committed));
	cumulus__worker__committed__init(m->committed);
	m->committed->job_id = xstrdup(r->job);
	m->committed->attempt = r->attempt;
	m->committed->report = r->committed;
	m->committed->output = (int64_t)r->output.len;
}

static void say_forget(struct fake *f, struct known_run *r)
{
	Cumulus__Worker__ToWorker *m =
		command(f, CUMULUS__WORKER__TO_WORKER__KIND_FORGET);

	m->forget = xmalloc(sizeof(*m->forget));
	cumulus__worker__forget__init(m->forget);
	m->forget->job_id = xstrdup(r->job);
	m->forget->attempt = r->attempt;
	r->forget_sent = true;
}

/* Forget a run once its end is here, and its output too. */
static void weigh_forget(struct fake *f, struct known_run *r)
{
	bool all = r->ended && (int64_t)r->output.len >= r->ended->ended->output_end;

	if ((all || r->refused) && !f->hold_commits && !f->hold_forget && !r->forget_sent)
		say_forget(f, r);
}

static void on_report(struct fake *f, Cumulus__Worker__FromWorker *from)
{
	Cumulus__Worker__Report *m = from->report;
	struct known_run *r = known(f, m->job_id, m->attempt);

	if (!r)
		return;
	if (m->number <= r->committed) {
		r->repeats++;
		return;
	}
	r->gap = r->gap || m->number > r->seen + 1;
	r->seen = m->number > r->seen ? m->number : r->seen;
	if (f->hold_commits)
		return;
	r->committed = m->number;
	if (m->kind_case == CUMULUS__WORKER__REPORT__KIND_STARTED) {
		r->started_report = m->number;
		r->output_at = m->started->output_at;
	} else if (m->kind_case == CUMULUS__WORKER__REPORT__KIND_ENDED) {
		r->ended = m;
		from->report = NULL;
	} else if (m->kind_case == CUMULUS__WORKER__REPORT__KIND_REFUSED) {
		r->refused = m;
		from->report = NULL;
	}
	if (!from->report)
		from->kind_case = CUMULUS__WORKER__FROM_WORKER__KIND__NOT_SET;
	say_committed(f, r);
	weigh_forget(f, r);
}

static Cumulus__Worker__Start *new_start(
	struct fake *f, const struct known_run *r, const char *part)
{
	Cumulus__Worker__Start *m = xmalloc(sizeof(*m));

	cumulus__worker__start__init(m);
	m->job_id = xstrdup(r->job);
	m->attempt = r->attempt;
	m->package_digest = xstrdup(f->digest);
	m->package_size = (int64_t)f->package_len;
	m->n_env = 1;
	m->env = xcalloc(1, sizeof(*m->env));
	m->env[0] = xmalloc(sizeof(*m->env[0]));
	cumulus__worker__start__env_entry__init(m->env[0]);
	m->env[0]->key = xstrdup("PLAY");
	m->env[0]->value = xstrdup(part);
	m->n_device_uuids = 1;
	m->device_uuids = xcalloc(1, sizeof(char *));
	m->device_uuids[0] = xstrdup(f->hello->devices[0]->uuid);
	m->hundredths = 50;
	m->duration = 60;
	return m;
}

static struct known_run *add_run(struct fake *f, const char *job, int32_t attempt)
{
	struct known_run *r = &f->runs[f->run_count++];

	assert_true(f->run_count <= RUNS_MAX);
	*r = (struct known_run){ .attempt = attempt };
	str_put(r->job, sizeof(r->job), "%s", job);
	return r;
}

static void say_start(struct fake *f, const struct known_run *r, const char *part)
{
	command(f, CUMULUS__WORKER__TO_WORKER__KIND_START)->start = new_start(f, r, part);
}

static void say_stop(struct fake *f, const struct known_run *r)
{
	Cumulus__Worker__ToWorker *m = command(f, CUMULUS__WORKER__TO_WORKER__KIND_STOP);

	m->stop = xmalloc(sizeof(*m->stop));
	cumulus__worker__stop__init(m->stop);
	m->stop->job_id = xstrdup(r->job);
	m->stop->attempt = r->attempt;
	m->stop->grace = 1;
}

/* Welcome says of each run in Hello what this cumulusd has. */
static void say_welcome(struct fake *f)
{
	Cumulus__Worker__ToWorker *m =
		command(f, CUMULUS__WORKER__TO_WORKER__KIND_WELCOME);
	Cumulus__Worker__Welcome *w = m->welcome = xmalloc(sizeof(*w));

	cumulus__worker__welcome__init(w);
	w->cluster_id = xstrdup(f->cluster);
	w->orchestrator_epoch = f->epoch;
	w->runs = xcalloc(f->hello->n_runs + 1, sizeof(*w->runs));
	for (size_t i = 0; i < f->hello->n_runs; i++) {
		const Cumulus__Worker__RunState *s = f->hello->runs[i];
		struct known_run *r = known(f, s->job_id, s->attempt);
		Cumulus__Worker__WantedRun *wanted = xmalloc(sizeof(*wanted));

		cumulus__worker__wanted_run__init(wanted);
		if (r)
			r->seen = r->committed;
		wanted->job_id = xstrdup(s->job_id);
		wanted->attempt = s->attempt;
		wanted->committed_report = r ? r->committed : 0;
		wanted->durable_output = r ? (int64_t)r->output.len : 0;
		wanted->want = r && !r->forget_sent ? CUMULUS__WORKER__WANT__WANT_RUN
						    : CUMULUS__WORKER__WANT__WANT_FORGET;
		w->runs[w->n_runs++] = wanted;
	}
}

static void on_work_open(struct wire_call *call)
{
	struct fake *f = wire_call_user(call);

	if (f->work)
		wire_call_cancel(f->work);
	f->work = call;
}

static void on_work_message(struct wire_call *call, ProtobufCMessage *message)
{
	struct fake *f = wire_call_user(call);
	Cumulus__Worker__FromWorker *m = (Cumulus__Worker__FromWorker *)message;
	struct known_run *r;

	if (call == f->work && m->kind_case == CUMULUS__WORKER__FROM_WORKER__KIND_HELLO) {
		wire_message_free(f->hello);
		f->hello = m->hello;
		m->kind_case = CUMULUS__WORKER__FROM_WORKER__KIND__NOT_SET;
		m->hello = NULL;
		drop_commands(f);
		say_welcome(f);
		f->hellos++;
	} else if (call == f->work) {
		switch (m->kind_case) {
		case CUMULUS__WORKER__FROM_WORKER__KIND_REPORT:
			on_report(f, m);
			break;
		case CUMULUS__WORKER__FROM_WORKER__KIND_PROGRESS:
			r = known(f, m->progress->job_id, m->progress->attempt);
			if (r)
				r->progressed = true;
			break;
		case CUMULUS__WORKER__FROM_WORKER__KIND_DEVICE:
			f->device_messages++;
			f->foreign = m->device->foreign_hundredths;
			break;
		case CUMULUS__WORKER__FROM_WORKER__KIND_IDLE:
			f->idle_messages++;
			break;
		default:
			break;
		}
	}
	wire_message_free(message);
}

static void on_work_pull(struct wire_call *call)
{
	struct fake *f = wire_call_user(call);
	struct err e = { 0 };

	if (call != f->work || f->first == f->last)
		return;

	void *m = f->commands[f->first++ % COMMANDS_MAX];
	assert_int_equal(wire_call_send(call, m, &e), 0);
	wire_message_free(m);
}

static void on_work_gone(struct wire_call *call)
{
	struct fake *f = wire_call_user(call);

	if (f->work == call)
		f->work = NULL;
}

/* ---- its blobs and outputs */

static void on_read_message(struct wire_call *call, ProtobufCMessage *message)
{
	struct fake *f = wire_call_user(call);
	Cumulus__Worker__ReadBlobRequest *m = (Cumulus__Worker__ReadBlobRequest *)message;
	int64_t *at = xmalloc(sizeof(*at));

	*at = f->last_read_offset = m->offset;
	f->reads++;
	wire_call_set_data(call, at);
	wire_message_free(message);
	wire_call_wake(call);
}

static void on_read_pull(struct wire_call *call)
{
	struct fake *f = wire_call_user(call);
	int64_t *at = wire_call_data(call);
	Cumulus__Worker__BlobChunk m = CUMULUS__WORKER__BLOB_CHUNK__INIT;
	size_t left = f->package_len - (size_t)*at;
	struct err e = { 0 };
	uint8_t wrong[1000];

	if (f->hold_reads)
		return;
	if (f->cut_at && (size_t)*at >= f->cut_at)
		return;
	if (!left) {
		wire_call_finish(call, WIRE_OK, NULL);
		return;
	}
	m.offset = *at;
	m.total = (int64_t)f->package_len;
	m.data.len = left < sizeof(wrong) ? left : sizeof(wrong);
	m.data.data = f->package + *at;
	if (f->corrupt) {
		memset(wrong, 'w', sizeof(wrong));
		m.data.data = wrong;
	}
	assert_int_equal(wire_call_send(call, &m, &e), 0);
	*at += (int64_t)m.data.len;
}

static void on_read_gone(struct wire_call *call)
{
	free(wire_call_data(call));
}

static void on_output_message(struct wire_call *call, ProtobufCMessage *message)
{
	struct fake *f = wire_call_user(call);
	Cumulus__Worker__OutputFrames *m = (Cumulus__Worker__OutputFrames *)message;
	struct known_run *r = known(f, m->job_id, m->attempt);

	assert_non_null(r);
	assert_true(m->offset <= (int64_t)r->output.len);
	size_t skip = r->output.len - (size_t)m->offset;
	if (skip < m->frames.len)
		buf_add(&r->output, m->frames.data + skip, m->frames.len - skip);
	if (!r->started_report || (int64_t)r->output.len > r->output_at)
		r->early_output = r->early_output ||
				  (r->output.len > 27 &&
					  !r->started_report); /* more than "set-up" */
	wire_call_set_data(call, r);
	wire_call_wake(call);
	weigh_forget(f, r);
	wire_message_free(message);
}

static void on_output_pull(struct wire_call *call)
{
	struct known_run *r = wire_call_data(call);
	Cumulus__Worker__OutputDurable m = CUMULUS__WORKER__OUTPUT_DURABLE__INIT;
	struct err e = { 0 };

	if (!r)
		return;
	m.job_id = r->job;
	m.attempt = r->attempt;
	m.durable = (int64_t)r->output.len;
	wire_call_set_data(call, NULL);
	assert_int_equal(wire_call_send(call, &m, &e), 0);
}

static void on_output_end(struct wire_call *call)
{
	wire_call_finish(call, WIRE_OK, NULL);
}

static const struct wire_method work_method = { "/cumulus.worker.WorkerService/Work",
	&cumulus__worker__from_worker__descriptor,
	&cumulus__worker__to_worker__descriptor, WIRE_BOTH_STREAM };
static const struct wire_method read_method = { "/cumulus.worker.WorkerService/ReadBlob",
	&cumulus__worker__read_blob_request__descriptor,
	&cumulus__worker__blob_chunk__descriptor, WIRE_SERVER_STREAMS };
static const struct wire_method output_method = {
	"/cumulus.worker.WorkerService/WriteOutput",
	&cumulus__worker__output_frames__descriptor,
	&cumulus__worker__output_durable__descriptor, WIRE_BOTH_STREAM
};

static const struct wire_handlers work_handlers = { .open = on_work_open,
	.message = on_work_message,
	.pull = on_work_pull,
	.gone = on_work_gone };
static const struct wire_handlers read_handlers = {
	.message = on_read_message, .pull = on_read_pull, .gone = on_read_gone
};
static const struct wire_handlers output_handlers = {
	.message = on_output_message, .pull = on_output_pull, .end = on_output_end
};

/* ---- its life */

static void on_tick(uv_timer_t *t)
{
	struct fake *f = t->data;

	if (f->worker > 0 &&
		waitpid(f->worker, &f->worker_status, WNOHANG) == f->worker) {
		f->worker = 0;
		f->worker_gone = true;
	}
}

static void fake_listen(struct fake *f)
{
	struct err e = { 0 };

	f->server = wire_server_new(&f->loop, NULL);
	wire_server_add(f->server, &work_method, &work_handlers, f);
	wire_server_add(f->server, &read_method, &read_handlers, f);
	wire_server_add(f->server, &output_method, &output_handlers, f);
	if (wire_server_listen_unix(
		    f->server, f->socket, &(struct wire_listen){ 0 }, &e) < 0)
		fail_msg("%s", e.text);
}

/* A cumulusd that is killed: its disk stays. */
static void fake_vanish(struct fake *f)
{
	wire_server_close(f->server);
	f->server = NULL;
	drop_commands(f);
	f->work = NULL;
}

static void fake_package(struct fake *f, size_t len)
{
	struct digest d;

	free(f->package);
	f->package = xmalloc(len);
	f->package_len = len;
	for (size_t i = 0; i < len; i++)
		f->package[i] = (uint8_t)(i * 31 + len);
	d = digest_of(f->package, len);
	digest_format(f->digest, &d);
}

static struct fake *fake_new(void)
{
	struct fake *f = xcalloc(1, sizeof(*f));

	f->epoch = 5;
	f->cluster = "c-test";
	str_put(f->folder, sizeof(f->folder), "/tmp/test-worker-XXXXXX");
	assert_non_null(mkdtemp(f->folder));
	assert_int_equal(chmod(f->folder, 0755), 0);
	str_put(f->socket, sizeof(f->socket), "%s/worker.sock", f->folder);
	fake_package(f, 1234);
	uv_loop_init(&f->loop);
	uv_timer_init(&f->loop, &f->tick);
	f->tick.data = f;
	uv_timer_start(&f->tick, on_tick, 5, 5);
	fake_listen(f);
	return f;
}

static const char *built(char out[PATH_MAX], const char *name)
{
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	assert_true(len > 0);
	self[len] = '\0';
	*strrchr(self, '/') = '\0';
	assert_true(str_put(out, PATH_MAX, "%s/../bin/%s", self, name));
	return out;
}

static void worker_start_with(struct fake *f, const char *option, const char *value)
{
	char program[PATH_MAX], self[PATH_MAX], connect[160];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	assert_true(len > 0);
	self[len] = '\0';
	built(program, "cumulus-worker");
	str_put(connect, sizeof(connect), "unix:%s", f->socket);
	f->worker_gone = false;
	f->worker = fork();
	if (f->worker == 0) {
		prctl(PR_SET_PDEATHSIG,
			SIGKILL); /* a test that fails leaves none behind */
		execl(program, program, "--connect", connect, "--data", f->folder,
			"--devices", "simulated:2", "--runner", self, "--no-start-check",
			"--log-level", getenv("TEST_LOG") ? "debug" : "error", option,
			value, NULL);
		_exit(99);
	}
	assert_true(f->worker > 0);
}

static void worker_start(struct fake *f)
{
	worker_start_with(f, NULL, NULL);
}

static void worker_kill(struct fake *f)
{
	if (f->worker > 0) {
		kill(f->worker, SIGKILL);
		waitpid(f->worker, &f->worker_status, 0);
	}
	f->worker = 0;
}

typedef bool (*condition)(struct fake *f, void *arg);

static bool reached(struct fake *f, condition c, void *arg, int seconds)
{
	int64_t end = clock_boot_ns() + seconds * NS_PER_S;

	while (!c(f, arg)) {
		if (clock_boot_ns() > end)
			return false;
		uv_run(&f->loop, UV_RUN_ONCE);
	}
	return true;
}

#define wait_for(f, c, arg)                                                              \
	do {                                                                             \
		if (!reached((f), (c), (arg), WAIT_S))                                   \
			fail_msg("not reached: %s", #c);                                 \
	} while (0)

static bool said_hello(struct fake *f, void *arg)
{
	return f->work && f->hello && f->first == f->last && f->hellos >= *(int *)arg;
}

static void wait_hello(struct fake *f, int count)
{
	wait_for(f, said_hello, &count);
}

static bool has_ended(struct fake *f, void *arg)
{
	(void)f;
	return ((struct known_run *)arg)->ended != NULL;
}

static bool has_started(struct fake *f, void *arg)
{
	(void)f;
	return ((struct known_run *)arg)->started_report > 0;
}

static bool is_accepted(struct fake *f, void *arg)
{
	(void)f;
	return ((struct known_run *)arg)->committed > 0;
}

static bool was_refused(struct fake *f, void *arg)
{
	(void)f;
	return ((struct known_run *)arg)->refused != NULL;
}

static bool folder_gone(struct fake *f, void *arg)
{
	const struct known_run *r = arg;
	char path[256];

	str_put(path, sizeof(path), "%s/worker/runs/%s.%d", f->folder, r->job,
		r->attempt);
	return access(path, F_OK) < 0;
}

/* Its end is known, and nothing of it is left. */
static void wait_done(struct fake *f, struct known_run *r)
{
	wait_for(f, has_ended, r);
	wait_for(f, folder_gone, r);
}

static bool worker_is_gone(struct fake *f, void *arg)
{
	(void)arg;
	return f->worker_gone;
}

static bool has_witness(struct fake *f, void *arg)
{
	const struct known_run *r = arg;
	char path[256];

	str_put(path, sizeof(path), "%s/witness.%s.%d", f->folder, r->job, r->attempt);
	return access(path, F_OK) == 0;
}

/* How often the job's code began. */
static long witnessed(struct fake *f, const struct known_run *r)
{
	char path[256];
	struct stat st;

	str_put(path, sizeof(path), "%s/witness.%s.%d", f->folder, r->job, r->attempt);
	return stat(path, &st) < 0 ? 0 : st.st_size;
}

static void say_go(struct fake *f)
{
	char path[256];

	str_put(path, sizeof(path), "%s/go", f->folder);
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
}

static void fake_end(struct fake *f)
{
	struct err e = { 0 };

	if (f->worker > 0) {
		kill(f->worker, SIGTERM);
		wait_for(f, worker_is_gone, NULL);
		assert_true(WIFEXITED(f->worker_status));
		assert_int_equal(WEXITSTATUS(f->worker_status), 0);
	}
	if (f->server)
		fake_vanish(f);
	uv_close((uv_handle_t *)&f->tick, NULL);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	for (size_t i = 0; i < f->run_count; i++) {
		wire_message_free(f->runs[i].ended);
		wire_message_free(f->runs[i].refused);
		buf_fini(&f->runs[i].output);
	}
	wire_message_free(f->hello);
	assert_int_equal(tree_remove(AT_FDCWD, f->folder, &e), 0);
	free(f->package);
	free(f);
}

static char *text_of(const struct buf *output)
{
	struct buf text = { 0 };
	struct frame frame;

	for (size_t at = 0; at < output->len; at += frame.size) {
		assert_int_equal(frame_read(output->data + at, output->len - at, &frame),
			FRAME_OK);
		buf_add(&text, frame.data, frame.len);
	}
	return buf_take_str(&text);
}

static void assert_output(const struct known_run *r, const char *want)
{
	char *text = text_of(&r->output);

	assert_string_equal(text, want);
	free(text);
}
