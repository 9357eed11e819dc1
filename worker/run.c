/* run.c - one run folder, as the worker sees it: who runs it, what cumulusd knows of it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "run.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "file.h"
#include "log.h"
#include "runfolder.h"
#include "child.h"
#include "str.h"
#include "sweep.h"
#include "xalloc.h"

#define FALSE_STARTS_MAX 3
#define RUNNER_LOG       "runner.log"
#define RUNNER_LOG_TAIL  400

static const enum run_state_now next_state[RUN_STATE_COUNT][RUN_EVENT_COUNT] = {
	[RUN_HELD] = { [RUN_EV_HOLD] = RUN_HELD,
		[RUN_EV_FETCH] = RUN_FETCHING,
		[RUN_EV_PREPARE] = RUN_PREPARING,
		[RUN_EV_WATCH] = RUN_WATCHED,
		[RUN_EV_SWEEP] = RUN_SWEEPING,
		[RUN_EV_OVER] = RUN_OVER },
	[RUN_FETCHING] = { [RUN_EV_HOLD] = RUN_HELD,
		[RUN_EV_PREPARE] = RUN_PREPARING,
		[RUN_EV_WATCH] = RUN_WATCHED,
		[RUN_EV_SWEEP] = RUN_SWEEPING,
		[RUN_EV_OVER] = RUN_OVER },
	[RUN_PREPARING] = { [RUN_EV_HOLD] = RUN_HELD,
		[RUN_EV_WATCH] = RUN_WATCHED,
		[RUN_EV_SWEEP] = RUN_SWEEPING,
		[RUN_EV_OVER] = RUN_OVER },
	[RUN_WATCHED] = { [RUN_EV_HOLD] = RUN_HELD,
		[RUN_EV_WATCH] = RUN_WATCHED,
		[RUN_EV_SWEEP] = RUN_SWEEPING,
		[RUN_EV_OVER] = RUN_OVER },
	[RUN_SWEEPING] = { [RUN_EV_OVER] = RUN_OVER },
	[RUN_OVER] = { [RUN_EV_OVER] = RUN_OVER },
};

static const char *const state_names[RUN_STATE_COUNT] = { "none", "held", "fetching",
	"preparing", "watched", "sweeping", "over" };

static void settle(struct run *r);
static void try_remove(struct run *r);
static void on_change(struct watch *w, const char *name);

static void leave_room(struct run *r)
{
	if (!r->holds_room)
		return;
	r->holds_room = false;
	uids_release(&r->owner->uids, r->uid_base);
	packages_unpin(r->owner->packages, &r->package);
	prepare_fini(&r->prepare);
}

static void move(struct run *r, enum run_event ev, const char *why)
{
	enum run_state_now to = next_state[r->state][ev];
	enum run_state_now from = r->state;

	assert(to != RUN_NONE);
	r->state = to;
	if (to == from)
		return;
	log_info("run", "run", r->name, "from", state_names[from], "to", state_names[to],
		"why", why, NULL);
	if (to != RUN_OVER)
		return;
	leave_room(r);
	upload_poke(&r->upload);
	r->owner->fewer(r->owner->user);
}

bool run_is_over(const struct run *r)
{
	return r->state == RUN_OVER;
}

/* ---- the log */

static void note_started(struct run *r, const struct run_record *rec)
{
	Cumulus__Worker__Started *m =
		cumulus__worker__started__unpack(NULL, rec->len, rec->payload);

	r->started_report = rec->number;
	r->output_at = m ? m->output_at : 0;
	if (m)
		cumulus__worker__started__free_unpacked(m, NULL);
}

static void note_log(struct run *r, const struct run_log *log)
{
	const struct run_record *started = run_log_find(log, RUN_RECORD_STARTED);
	int64_t before = r->reports.last;

	if (started && !r->started_report)
		note_started(r, started);
	reports_found(&r->reports, log->last_report);
	if (r->reports.last > before)
		runs_talk(r->owner, r);
}

/* Read the log; *begun: something of the run may have had an effect; *over: it has ended. */
static int look(struct run *r, bool *begun, bool *over, struct err *e)
{
	struct run_log log = { 0 };

	if (run_log_read(r->dirfd, &log, e) < 0)
		return err_wrap(e, "log of %s", r->name);
	note_log(r, &log);
	*begun = false;
	for (size_t i = 0; i < log.count; i++)
		if (log.records[i].type != RUN_RECORD_SETTING_UP)
			*begun = true;
	*over = run_log_over(&log);
	run_log_fini(&log);
	return 0;
}

/* See whether the runner has written its last record. */
static void look_for_end(struct run *r)
{
	bool begun, over;
	struct err e = { 0 };

	if (r->state == RUN_OVER || r->state == RUN_SWEEPING)
		return;
	if (look(r, &begun, &over, &e) < 0) {
		log_error("cannot read a run", "run", r->name, "why", e.text, NULL);
		runs_try_again(r->owner, RUNS_AGAIN_MS);
	} else if (over) {
		move(r, RUN_EV_OVER, "its runner has said so");
		if (r->forgotten)
			try_remove(r);
	}
}

/* ---- ending a run whose runner is gone */

struct sweeping {
	uv_work_t work;
	struct run *run; /* stays until this is done */
	struct sweep sweep;
	int lock_fd;
	char text[RUN_MESSAGE_MAX + 1];
	char last_death[160];
	struct err why;
};

static void sweep_on_pool(uv_work_t *work)
{
	struct sweeping *s = work->data;

	if (sweep_run(&s->sweep, &s->why) == 0)
		s->why.code = ERR_NONE;
}

static void on_swept(uv_work_t *work, int status)
{
	struct sweeping *s = work->data;
	struct run *r = s->run;
	struct err e = { 0 };
	bool begun, over = false;

	(void)status;
	r->owner->busy--;
	if (s->why.code) {
		/* The lock is kept: nobody else may begin in a folder that is not clean. */
		log_warn("cannot clean a run yet", "run", r->name, "why", s->why.text,
			NULL);
		r->sweeping = s;
		runs_try_again(r->owner, RUNS_AGAIN_MS);
		return;
	}
	close_fd(&s->lock_fd);
	free(s);
	if (look(r, &begun, &over, &e) < 0 || !over) {
		log_error("a run that was ended has no end", "run", r->name, "why",
			e.text, NULL);
		return;
	}
	move(r, RUN_EV_OVER, "cleaned");
	if (r->forgotten)
		try_remove(r);
}

static void queue_sweep(struct run *r, struct sweeping *s)
{
	r->sweeping = NULL;
	r->owner->busy++;
	s->why = (struct err){ 0 };
	uv_queue_work(r->owner->loop, &s->work, sweep_on_pool, on_swept);
}

/* The lock is taken over. */
static void sweep(struct run *r, int lock_fd, const char *why)
{
	struct sweeping *s = xcalloc(1, sizeof(*s));

	s->work.data = s;
	s->run = r;
	s->lock_fd = lock_fd;
	str_join(s->text, sizeof(s->text), r->verdict.text, "", "");
	str_join(s->last_death, sizeof(s->last_death), r->last_death, "", "");
	s->sweep = (struct sweep){
		.dirfd = r->dirfd,
		.chronos_dir = r->owner->chronos_dir,
		.same_boot = r->same_boot,
		.stop_asked = r->stop_asked,
		.stop_why = r->stop_why,
		.refused = r->verdict.refused,
		.kind = r->verdict.kind,
		.text = s->text,
		.failed = r->verdict.failed,
		.reason = r->verdict.reason,
		.error = r->verdict.error,
		.last_death = s->last_death,
	};
	move(r, RUN_EV_SWEEP, why);
	queue_sweep(r, s);
}

/* ---- starting the runner */

/* The last lines that it wrote, for the log: its own end is all that they can explain. */
static void log_death(struct run *r, int status)
{
	CLEANUP(buf_fini) struct buf log = { 0 };
	CLEANUP(free_ptr) char *tail = NULL;
	struct err ignored;

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	if (WIFSIGNALED(status))
		str_put(r->last_death, sizeof(r->last_death), "killed by signal %d",
			WTERMSIG(status));
	else
		str_put(r->last_death, sizeof(r->last_death), "exited with status %d",
			WEXITSTATUS(status));
	if (file_read(r->dirfd, RUNNER_LOG, 1 << 20, &log, &ignored) == 0 && log.len) {
		size_t skip = log.len > RUNNER_LOG_TAIL ? log.len - RUNNER_LOG_TAIL : 0;

		tail = utf8_replace(log.data + skip, log.len - skip, NULL);
	}
	log_warn(
		"a runner died", "run", r->name, "how", r->last_death, "log", tail, NULL);
}

static void on_runner_exit(void *user, int status)
{
	struct run *r = user;

	r->minder = NULL;
	log_death(r, status);
	if (r->state == RUN_WATCHED)
		settle(r);
	else if (r->forgotten)
		try_remove(r);
}

static int open_runner_log(const struct run *r, struct err *e)
{
	int fd = openat(r->dirfd, RUNNER_LOG,
		O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);

	return fd < 0 ? err_sys(e, "create %s", RUNNER_LOG) : fd;
}

static int spawn_runner(struct run *r, struct err *e)
{
	CLEANUP(close_fd) int log_fd = open_runner_log(r, e);
	CLEANUP(free_ptr)
	char *folder = str_fmt("%s/runs/%s", r->owner->home->path, r->name);
	const char *chronos_dir = r->owner->chronos_dir;
	const char *const argv[] = { r->owner->runner_path, "--run-folder", folder,
		"--root-folder", r->owner->root_path, "--runtime", r->owner->runtime,
		log_level_flag(), log_json_flag(), chronos_dir ? "--chronos-dir" : NULL,
		chronos_dir, NULL };
	static const char *const envp[] = {
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:"
		"/usr/bin:/sbin:/bin",
		"LANG=C.UTF-8", NULL
	};
	const struct child_program how = { argv, envp, log_fd, false };
	struct child child;

	if (log_fd < 0 || child_start(&how, &child, e) < 0)
		return -1;
	r->minder = minder_new(r->owner->loop, &child, on_runner_exit, r);
	return 0;
}

static void launch(struct run *r)
{
	struct err e = { 0 };

	if (spawn_runner(r, &e) == 0) {
		r->adopted = false;
		move(r, RUN_EV_WATCH, "runner started");
		return;
	}
	log_error("cannot start a runner", "run", r->name, "why", e.text, NULL);
	str_join(r->last_death, sizeof(r->last_death), e.text, "", "");
	r->false_starts++;
	move(r, RUN_EV_HOLD, "no runner");
	runs_try_again(r->owner, RUNS_AGAIN_MS);
}

/* It cannot be started here: let it end so. */
static void refuse(struct run *r, Cumulus__Worker__RefusedKind kind, const char *context,
	const char *why)
{
	r->verdict.refused = true;
	r->verdict.kind = kind;
	str_join(r->verdict.text, sizeof(r->verdict.text), context, why, "");
	move(r, RUN_EV_HOLD, "it cannot be started");
	settle(r);
}

/* Its set-up has failed for good: let it end so.  error may be NULL. */
static void fail(struct run *r, Cumulus__Orchestrator__Reason reason, const char *text,
	const char *error)
{
	r->verdict.failed = true;
	r->verdict.reason = reason;
	str_join(r->verdict.text, sizeof(r->verdict.text), text, "", "");
	free(r->verdict.error);
	r->verdict.error = error ? xstrdup(error) : NULL;
	move(r, RUN_EV_HOLD, "its set-up has failed");
	settle(r);
}

/* ---- its environment */

static void take_environment(struct run *r, const struct digest *lock)
{
	bool begun, over;
	struct err e = { 0 };

	if (prepare_take(&r->prepare, lock, &e) == 0 && look(r, &begun, &over, &e) == 0) {
		launch(r);
		return;
	}
	if (e.code != ERR_CONFLICT)
		log_error("cannot give a run its environment", "run", r->name, "why",
			e.text, NULL);
	move(r, RUN_EV_HOLD, "no environment yet");
	runs_try_again(r->owner, RUNS_AGAIN_MS);
}

static void on_prepared(struct prepare *p, const struct env_end *end)
{
	struct run *r = (struct run *)((char *)p - offsetof(struct run, prepare));

	if (r->state != RUN_PREPARING)
		return;
	if (end->outcome == ENV_READY)
		take_environment(r, &end->lock);
	else if (end->outcome == ENV_REFUSED)
		fail(r, CUMULUS__ORCHESTRATOR__REASON__ENVIRONMENT_FAILED, end->text,
			end->error);
	else
		refuse(r, CUMULUS__WORKER__REFUSED_KIND__REFUSED_TRANSIENT, end->text,
			"");
}

static void look_at_limit(struct run *r)
{
	char text[128];

	if (!prepare_is_late(&r->prepare)) {
		runs_try_again(r->owner, RUNS_AGAIN_MS);
		return;
	}
	str_put(text, sizeof(text),
		"set-up took more than %lld s: its environment was not built yet",
		(long long)(r->prepare.limit_ns / NS_PER_S));
	fail(r, CUMULUS__ORCHESTRATOR__REASON__SETUP_TIMED_OUT, text, NULL);
}

/* Its package is here. */
static void prepare(struct run *r)
{
	struct digest lock;
	struct err e = { 0 };

	if (!r->prepare.needed) {
		launch(r);
	} else if (prepare_find(&r->prepare, &lock)) {
		take_environment(r, &lock);
	} else if (prepare_want(&r->prepare, &e) == 0) {
		move(r, RUN_EV_PREPARE, "its environment is not here");
		runs_try_again(r->owner, RUNS_AGAIN_MS);
	} else {
		log_error("cannot prepare a run", "run", r->name, "why", e.text, NULL);
		move(r, RUN_EV_HOLD, "no environment yet");
		runs_try_again(r->owner, RUNS_AGAIN_MS);
	}
}

static void on_fetched(struct fetch_wait *w, const struct err *why)
{
	struct run *r = (struct run *)((char *)w - offsetof(struct run, fetch));

	if (r->state != RUN_FETCHING)
		return;
	if (!why) {
		prepare(r);
		return;
	}

	bool never = why->code == ERR_INVALID || why->code == ERR_NOT_FOUND;
	refuse(r,
		never ? CUMULUS__WORKER__REFUSED_KIND__REFUSED_INVALID
		      : CUMULUS__WORKER__REFUSED_KIND__REFUSED_TRANSIENT,
		"package: ", why->text);
}

/* HELD and wanted: on to the next step. */
static void proceed(struct run *r)
{
	if (!r->owner->root_path) {
		refuse(r, CUMULUS__WORKER__REFUSED_KIND__REFUSED_TRANSIENT,
			"this machine has no root folder for jobs", "");
		return;
	}
	if (packages_has(r->owner->packages, &r->package)) {
		prepare(r);
		return;
	}
	move(r, RUN_EV_FETCH, "its package is not here");
	fetcher_want(r->owner->fetcher, &r->package, r->package_size, &r->fetch);
}

/* ---- finding out how it stands */

static void adopt_runner(struct run *r)
{
	bool was = r->state == RUN_WATCHED && r->adopted;

	r->adopted = true;
	if (!was)
		move(r, RUN_EV_WATCH, "a runner holds its lock");
	runs_try_again(r->owner, RUNS_AGAIN_MS);
	look_for_end(r);
}

/* Nobody runs it, as far as we know, and the lock is ours. */
static void settle_locked(struct run *r, int lock_fd)
{
	bool begun = false, over = false;
	struct err e = { 0 };

	if (look(r, &begun, &over, &e) < 0) {
		log_error("cannot read a run", "run", r->name, "why", e.text, NULL);
		close_fd(&lock_fd);
		runs_try_again(r->owner, RUNS_AGAIN_MS);
		return;
	}
	if (over) {
		close_fd(&lock_fd);
		move(r, RUN_EV_OVER, "its runner has said so");
		if (r->forgotten)
			try_remove(r);
		return;
	}
	if (r->state == RUN_WATCHED && !begun)
		r->false_starts++;
	if (begun || r->stop_asked || r->verdict.refused || r->verdict.failed ||
		!r->same_boot || r->false_starts >= FALSE_STARTS_MAX) {
		sweep(r, lock_fd,
			begun ? "its runner is gone" : "it ends before it began");
		return;
	}
	close_fd(&lock_fd);
	move(r, RUN_EV_HOLD, "no runner has it");
	if (r->forgotten)
		try_remove(r);
	else if (r->wanted)
		proceed(r);
}

/* Somebody has removed its folder: nothing can be said of it any more.  Its runner takes the
 * rest away; cumulusd hears that it is gone from the next Hello. */
static void lose(struct run *r)
{
	log_error("a run's folder was removed; how it ends is unknown", "run", r->name,
		NULL);
	r->lost = r->forgotten = true;
	move(r, RUN_EV_OVER, "its folder is gone");
	try_remove(r);
}

static void settle(struct run *r)
{
	struct err e = { 0 };
	int lock_fd = runfolder_lock(r->dirfd, &e);

	fetcher_leave(&r->fetch);
	prepare_leave(&r->prepare);
	if (lock_fd < 0 && runfolder_gone(r->dirfd)) {
		lose(r);
		return;
	}
	if (lock_fd >= 0) {
		settle_locked(r, lock_fd);
	} else if (e.code == ERR_CONFLICT) {
		adopt_runner(r);
	} else {
		log_error("cannot lock a run", "run", r->name, "why", e.text, NULL);
		runs_try_again(r->owner, RUNS_AGAIN_MS);
	}
}

void run_try_again(struct run *r)
{
	if (r->removing)
		return;
	if (r->known && reports_next(&r->reports))
		runs_talk(r->owner, r);
	if (!r->watch.watcher && r->state == RUN_WATCHED) {
		on_change(&r->watch, NULL);
		runs_try_again(r->owner, RUNS_AGAIN_MS);
	}
	if (r->sweeping)
		queue_sweep(r, r->sweeping);
	else if (r->forgotten && (r->state == RUN_OVER || r->state == RUN_HELD))
		try_remove(r);
	else if ((r->state == RUN_HELD && r->wanted) ||
		 (r->state == RUN_WATCHED && r->adopted))
		settle(r);
	else if (r->state == RUN_WATCHED)
		look_for_end(r);
	else if (r->state == RUN_PREPARING)
		look_at_limit(r);
}

/* ---- the folder changes */

static void on_change(struct watch *w, const char *name)
{
	struct run *r = (struct run *)((char *)w - offsetof(struct run, watch));

	if (!name || strcmp(name, RUN_FILE_LOG) == 0)
		look_for_end(r);
	if (!name || strcmp(name, RUN_FILE_OUTPUT) == 0)
		upload_poke(&r->upload);
	if (!name || strcmp(name, RUN_FILE_PROGRESS) == 0) {
		r->progress_changed = true;
		runs_talk(r->owner, r);
	}
}

static int64_t output_limit(struct upload *u, int64_t end)
{
	struct run *r = (struct run *)((char *)u - offsetof(struct run, upload));

	/* `end` was read before this look: had *started* been written before, it is seen. */
	if (!r->started_report)
		look_for_end(r);
	if (!r->started_report)
		return end;
	return r->reports.committed >= r->started_report ? INT64_MAX : r->output_at;
}

static bool output_over(struct upload *u)
{
	return run_is_over((struct run *)((char *)u - offsetof(struct run, upload)));
}

/* ---- making and taking over */

static struct run *run_new(
	struct runs *owner, const Cumulus__Worker__RunSpec *spec, int dirfd)
{
	struct run *r = xcalloc(1, sizeof(*r));
	struct err ignored;

	r->owner = owner;
	r->dirfd = dirfd;
	str_put(r->job, sizeof(r->job), "%s", spec->start->job_id);
	r->attempt = spec->start->attempt;
	run_name(r->name, r->job, r->attempt);
	str_put(r->cluster_id, sizeof(r->cluster_id), "%s", spec->cluster_id);
	r->same_boot = strcmp(spec->boot_id, owner->home->boot_id) == 0;
	if (digest_parse(spec->start->package_digest, &r->package, &ignored) < 0)
		r->package = (struct digest){ 0 };
	r->package_size = spec->start->package_size;
	r->uid_base = spec->uid_base;
	r->state = RUN_HELD;
	r->reports.last = RUN_FIRST_REPORT;
	list_init(&r->talk);
	list_init(&r->fetch.link);
	r->fetch.done = on_fetched;
	r->watch.changed = on_change;
	r->upload.limit = output_limit;
	r->upload.over = output_over;
	upload_init(&r->upload, owner->uploads, r->job, r->attempt, dirfd);

	packages_pin(owner->packages, &r->package);
	prepare_init(&r->prepare, owner->environments, dirfd, spec);
	r->prepare.done = on_prepared;
	r->holds_room = true;
	runs_add(owner, r);
	return r;
}

/* Without its watch a run is looked at by the timer of runs_try_again(). */
static void start_watch(struct run *r)
{
	struct err e = { 0 };

	if (watch_start(&r->watch, r->owner->watcher, r->dirfd, &e) == 0)
		return;
	log_error("cannot watch a run; looking at it now and then", "run", r->name, "why",
		e.text, NULL);
	runs_try_again(r->owner, RUNS_AGAIN_MS);
}

static void free_spec(Cumulus__Worker__RunSpec **spec)
{
	if (*spec)
		cumulus__worker__run_spec__free_unpacked(*spec, NULL);
}

int run_adopt(struct runs *owner, const char *name, struct err *e)
{
	CLEANUP(close_fd) int dirfd = runfolder_open(owner->home->runs_fd, name, e);
	CLEANUP(free_spec)
	Cumulus__Worker__RunSpec *spec = dirfd < 0 ? NULL : runfolder_read_spec(dirfd, e);

	if (!spec)
		return -1;

	struct run *r = run_new(owner, spec, take_fd(&dirfd));
	uids_adopt(&owner->uids, r->uid_base);
	start_watch(r);
	settle(r);
	return 0;
}

int run_create(struct runs *owner, Cumulus__Worker__RunSpec *spec, struct err *e)
{
	char name[RUN_NAME_SIZE];
	uint32_t uid_base;

	if (uids_take(&owner->uids, &uid_base, e) < 0)
		return -1;
	spec->uid_base = uid_base;
	run_name(name, spec->start->job_id, spec->start->attempt);

	CLEANUP(close_fd) int dirfd = -1;
	if (runfolder_create(owner->home->runs_fd, spec, e) < 0 ||
		(dirfd = runfolder_open(owner->home->runs_fd, name, e)) < 0) {
		uids_release(&owner->uids, uid_base);
		return -1;
	}

	struct run *r = run_new(owner, spec, take_fd(&dirfd));
	start_watch(r);
	r->wanted = true;
	run_meet(r, 0, 0);
	proceed(r);
	return 0;
}

void run_free(struct run *r)
{
	watch_stop(&r->watch);
	fetcher_leave(&r->fetch);
	upload_fini(&r->upload);
	minder_close(r->minder);
	leave_room(r);
	runs_remove(r->owner, r);
	if (r->sweeping) {
		close_fd(&r->sweeping->lock_fd);
		free(r->sweeping);
	}
	close_fd(&r->dirfd);
	free(r->verdict.error);
	free(r);
}

/* ---- removing */

struct removal {
	uv_work_t work;
	struct run *run;
	struct err why;
};

static void remove_on_pool(uv_work_t *work)
{
	struct removal *m = work->data;

	if (runfolder_remove(m->run->owner->home->runs_fd, m->run->name, &m->why) == 0)
		m->why.code = ERR_NONE;
}

static void on_removed(uv_work_t *work, int status)
{
	struct removal *m = work->data;
	struct run *r = m->run;
	struct runs *owner = r->owner;
	struct err why = m->why;

	(void)status;
	free(m);
	owner->busy--;
	r->removing = false;
	if (why.code) {
		/* A runner that has said its last word may still hold the lock for a moment. */
		if (why.code != ERR_CONFLICT)
			log_warn("cannot remove a run", "run", r->name, "why", why.text,
				NULL);
		runs_try_again(
			owner, why.code == ERR_CONFLICT ? RUNS_SOON_MS : RUNS_AGAIN_MS);
		return;
	}
	bool lost = r->lost;

	log_info("run forgotten", "run", r->name, NULL);
	run_free(r);
	owner->fewer(owner->user);
	if (lost)
		owner->lost(owner->user);
}

static void try_remove(struct run *r)
{
	struct removal *m;

	if (r->removing || r->minder || (r->state != RUN_OVER && r->state != RUN_HELD))
		return;
	fetcher_leave(&r->fetch);
	m = xcalloc(1, sizeof(*m));
	m->work.data = m;
	m->run = r;
	r->removing = true;
	r->owner->busy++;
	uv_queue_work(r->owner->loop, &m->work, remove_on_pool, on_removed);
}

/* ---- what cumulusd says */

void run_meet(struct run *r, int64_t committed_report, int64_t durable_output)
{
	r->known = true;
	reports_committed(&r->reports, committed_report);
	if (committed_report > r->reports.last)
		log_error("cumulusd has a report that this run never made", "run",
			r->name, NULL);
	upload_begin(&r->upload, durable_output);
	r->progress_changed = true; /* cumulusd keeps it in memory only */
	run_tell_again(r);
}

void run_tell_again(struct run *r)
{
	r->known = true;
	reports_send_again(&r->reports);
	runs_talk(r->owner, r);
}

void run_lose_link(struct run *r)
{
	r->known = false;
	list_remove(&r->talk);
	upload_stop(&r->upload);
}

void run_go(struct run *r)
{
	r->wanted = true;
	if (r->state == RUN_HELD && !r->removing && !r->forgotten)
		proceed(r);
}

void run_stop(struct run *r, Cumulus__Worker__StopWhy why, int32_t grace)
{
	Cumulus__Worker__StopRequest stop = CUMULUS__WORKER__STOP_REQUEST__INIT;
	struct err e = { 0 };

	if (r->state == RUN_OVER || r->removing)
		return;
	stop.why = why;
	stop.grace = grace;
	r->stop_asked = true;
	r->stop_why = why;
	if (runfolder_write_stop(r->dirfd, &stop, &e) < 0)
		log_error("cannot stop a run", "run", r->name, "why", e.text, NULL);
	log_info("run is to stop", "run", r->name, NULL);
	if (r->state == RUN_HELD || r->state == RUN_FETCHING || r->state == RUN_PREPARING)
		settle(r);
}

void run_committed(struct run *r, int64_t report, int64_t output)
{
	reports_committed(&r->reports, report);
	tail_durable(&r->upload.tail, output);
	upload_poke(&r->upload);
}

void run_forget(struct run *r)
{
	r->forgotten = true;
	if (r->state == RUN_FETCHING || r->state == RUN_PREPARING ||
		(r->state == RUN_WATCHED && !r->stop_asked)) {
		/* Forget of a run that is not over: nobody wants it any more. */
		run_stop(r, CUMULUS__WORKER__STOP_WHY__STOP_BACKSTOP, 0);
		return;
	}
	try_remove(r);
}
