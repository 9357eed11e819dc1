/* worker.c - the whole worker: its parts, and what passes between them and cumulusd. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "worker.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <unistd.h>

#include "cgroup.h"
#include "cleanup.h"
#include "file.h"
#include "environments.h"
#include "hangup.h"
#include "hello.h"
#include "log.h"
#include "notify.h"
#include "rootfs.h"
#include "run.h"
#include "runfolder.h"
#include "start.h"
#include "str.h"
#include "xalloc.h"

#define LOOK_MS 1000

/* ---- idleness and the end */

static void stop(struct worker *w, const char *why)
{
	if (w->stopping)
		return;
	w->stopping = true;
	notify_stopping();
	log_info("worker ends", "why", why, "runs",
		runs_live(&w->runs) ? "go on" : "none", NULL);
	uv_stop(&w->loop);
}

static void on_idle(uv_timer_t *t)
{
	stop(t->data, "neither runs nor a cumulusd");
}

/* Called whenever the link or the number of runs may have changed. */
static void weigh_end(struct worker *w)
{
	if (w->stopping)
		return;

	bool open = link_is_open(w->link);
	bool idle = !open && runs_live(&w->runs) == 0;

	/* What has ended but is not reported stays in its folder for the next worker. */
	if (w->shutting_down && runs_live(&w->runs) == 0 &&
		(!open || runs_count(&w->runs) == 0)) {
		stop(w, "shut down");
		return;
	}
	if (!w->options->exit_when_idle_s)
		return;
	if (!idle)
		uv_timer_stop(&w->idle_timer);
	else if (!uv_is_active((uv_handle_t *)&w->idle_timer))
		uv_timer_start(&w->idle_timer, on_idle,
			(uint64_t)w->options->exit_when_idle_s * 1000, 0);
}

/* After it the handlers are gone: a second signal ends the worker at once. */
static void on_signal(uv_signal_t *s, int number)
{
	stop(s->data, number == SIGINT ? "SIGINT" : "SIGTERM");
}

static void reload(struct worker *w)
{
	struct options *o = w->options;
	struct err e = { 0 };

	if (o->log_file && log_open(o->log_file, &e) < 0)
		log_warn("the log goes on in the file of before", "why", e.text, NULL);
	if (options_reload(o, &e) < 0) {
		log_error("settings are not read again, nothing is changed", "why",
			e.text, NULL);
		return;
	}
	log_set(o->level, o->log_json);
	packages_set_limit(w->packages, o->package_cache_bytes);
	environments_set_limits(w->environments, o->environment_cache_bytes,
		o->environment_time_s, o->environment_disk_bytes);
	log_info("settings are read again", NULL);
}

static void on_hangup(uv_signal_t *s, int number)
{
	(void)number;
	if (hangup_is_end()) {
		stop(s->data, "SIGHUP: the terminal has gone");
		return;
	}
	notify_reloading();
	reload(s->data);
	notify_ready();
}

static void on_alive(uv_timer_t *t)
{
	(void)t;
	notify_alive();
}

/* ---- devices */

/* Before any runner starts: a job that is held cannot begin without it.  And after each
 * look, since what holds a device may have changed. */
static void keep_arbiter(struct worker *w)
{
	const struct arbiter_config config = {
		.loop = &w->loop,
		.program = w->chronos_path,
		.chronos_dir = w->chronos_dir,
		.chronos = w->devices.chronos,
		.log_dir = w->home.fd,
	};

	if (!w->arbiter && devices_need_arbiter(&w->devices))
		w->arbiter = arbiter_new(&config);
}

struct look {
	uv_work_t work;
	struct worker *worker;
	struct devices_look look;
};

static bool is_run_known(void *user, const char *job, int32_t attempt)
{
	struct worker *w = user;

	return runs_find(&w->runs, job, attempt) != NULL;
}

static void look_on_pool(uv_work_t *work)
{
	struct look *l = work->data;

	devices_look_do(&l->look);
}

static void look_at_devices(uv_timer_t *t);

static void on_looked(uv_work_t *work, int status)
{
	struct look *l = work->data;
	struct worker *w = l->worker;

	(void)status;
	if (l->look.why.code)
		log_warn("cannot look at the devices", "why", l->look.why.text, NULL);
	bool again = devices_look_end(&w->devices, &l->look, is_run_known, w);
	free(l);
	w->looking = false;
	if (w->stopping)
		return;
	keep_arbiter(w);
	link_wake(w->link);
	uv_timer_start(&w->look_timer, look_at_devices, again ? 0 : LOOK_MS, 0);
}

static void look_at_devices(uv_timer_t *t)
{
	struct worker *w = t->data;

	if (w->looking || !w->devices.chronos)
		return;

	struct look *l = xcalloc(1, sizeof(*l));
	l->work.data = l;
	l->worker = w;
	devices_look_begin(&w->devices, &l->look, is_run_known, w);
	w->looking = true;
	uv_queue_work(&w->loop, &l->work, look_on_pool, on_looked);
}

/* ---- what cumulusd says */

static void take_wanted(struct worker *w, const Cumulus__Worker__WantedRun *m)
{
	struct run *r = runs_find(&w->runs, m->job_id, m->attempt);

	if (!r)
		return;
	run_meet(r, m->committed_report, m->durable_output);
	switch (m->want) {
	case CUMULUS__WORKER__WANT__WANT_RUN:
		run_go(r);
		return;
	case CUMULUS__WORKER__WANT__WANT_STOP:
		run_stop(r, CUMULUS__WORKER__STOP_WHY__STOP_CANCEL, 0);
		return;
	case CUMULUS__WORKER__WANT__WANT_FORGET:
		run_forget(r);
		return;
	default:
		log_warn("cumulusd wants something unknown of a run", "run", r->name,
			NULL);
	}
}

static int on_welcome(void *user, const Cumulus__Worker__Welcome *m, struct err *e)
{
	struct worker *w = user;

	return home_obey(&w->home, m->cluster_id, m->orchestrator_epoch, e);
}

static void on_open(
	void *user, struct wire_client *client, const Cumulus__Worker__Welcome *m)
{
	struct worker *w = user;

	w->draining = false;
	runs_use(&w->runs, client);
	for (size_t i = 0; i < m->n_runs; i++)
		take_wanted(w, m->runs[i]);
	weigh_end(w);
}

static void on_lost(void *user)
{
	struct worker *w = user;

	runs_use(&w->runs, NULL);
	weigh_end(w);
}

static void refuse(
	struct worker *w, const Cumulus__Worker__Start *m, const struct err *why)
{
	bool never = why->code == ERR_INVALID || why->code == ERR_UNSUPPORTED;

	runs_refuse(&w->runs, m->job_id, m->attempt,
		never ? CUMULUS__WORKER__REFUSED_KIND__REFUSED_INVALID
		      : CUMULUS__WORKER__REFUSED_KIND__REFUSED_TRANSIENT,
		why->text);
}

/* Could any run begin here now? */
static int check_open(const struct worker *w, struct err *e)
{
	if (*w->unfit)
		return err_set(
			e, ERR_UNAVAILABLE, "this machine runs no jobs: %s", w->unfit);
	if (w->draining || w->shutting_down)
		return err_set(e, ERR_UNAVAILABLE,
			"this worker takes no new runs: it is %s",
			w->draining ? "draining" : "shutting down");
	if (runs_live(&w->runs) >= (size_t)w->options->run_slots)
		return err_set(e, ERR_UNAVAILABLE,
			"this worker holds %" PRId64 " runs already",
			w->options->run_slots);
	return 0;
}

static int create_run(struct worker *w, Cumulus__Worker__Start *m, struct err *e)
{
	Cumulus__Worker__RunSpec spec = CUMULUS__WORKER__RUN_SPEC__INIT;
	Cumulus__Worker__RunLimits no_limits = CUMULUS__WORKER__RUN_LIMITS__INIT;
	const struct start_machine machine = { w->cpus, w->memory_bytes };
	struct digest digest;

	if (start_check(m, &w->devices, e) < 0 || check_open(w, e) < 0 ||
		digest_parse(m->package_digest, &digest, e) < 0)
		return -1;

	CLEANUP(free_ptr) char *path = packages_path_dup(w->packages, &digest);
	bool borrowed = !m->limits;
	if (borrowed)
		m->limits = &no_limits;
	start_fill_limits(m, &machine, &w->devices);
	spec.format = RUNFOLDER_FORMAT;
	spec.cluster_id = w->home.cluster_id;
	spec.worker_id = w->home.worker_id;
	spec.boot_id = w->home.boot_id;
	spec.start = m;
	spec.package_path = path;
	int rc = run_create(&w->runs, &spec, e);
	if (borrowed)
		m->limits = NULL;
	return rc;
}

static void take_start(struct worker *w, Cumulus__Worker__Start *m)
{
	struct run *last = runs_find_last(&w->runs, m->job_id);
	struct err e = { 0 };

	if (last && m->attempt <= last->attempt) {
		/* It came before: the folder says how far it is. */
		run_tell_again(last);
		if (m->attempt == last->attempt)
			run_go(last);
		return;
	}
	if (last && !run_is_over(last))
		err_set(&e, ERR_UNAVAILABLE, "attempt %d is not over yet", last->attempt);
	else if (create_run(w, m, &e) == 0)
		return;
	refuse(w, m, &e);
}

static void take_stop(struct worker *w, const Cumulus__Worker__Stop *m)
{
	struct run *r = runs_find(&w->runs, m->job_id, m->attempt);

	if (r)
		run_stop(r, m->why, m->grace);
	else
		runs_refuse(&w->runs, m->job_id, m->attempt,
			CUMULUS__WORKER__REFUSED_KIND__REFUSED_TRANSIENT,
			"no such run is here to be stopped");
}

static void take_shutdown(struct worker *w, const Cumulus__Worker__Shutdown *m)
{
	log_info("shutting down", "runs", m->stop_runs ? "stopped" : "awaited", NULL);
	w->shutting_down = true;
	if (m->stop_runs) {
		list_each_safe(at, &w->runs.all) run_stop(list_entry(at, struct run, all),
			CUMULUS__WORKER__STOP_WHY__STOP_DRAIN, 0);
	}
	weigh_end(w);
}

static void take_drain(struct worker *w, bool on)
{
	if (on != w->draining)
		log_info(on ? "draining" : "draining no more", NULL);
	w->draining = on;
}

static void on_message(void *user, const Cumulus__Worker__ToWorker *m)
{
	struct worker *w = user;
	struct run *r;

	switch (m->kind_case) {
	case CUMULUS__WORKER__TO_WORKER__KIND_START:
		take_start(w, m->start);
		return;
	case CUMULUS__WORKER__TO_WORKER__KIND_STOP:
		take_stop(w, m->stop);
		return;
	case CUMULUS__WORKER__TO_WORKER__KIND_COMMITTED:
		r = runs_find(&w->runs, m->committed->job_id, m->committed->attempt);
		if (r)
			run_committed(r, m->committed->report, m->committed->output);
		return;
	case CUMULUS__WORKER__TO_WORKER__KIND_FORGET:
		r = runs_find(&w->runs, m->forget->job_id, m->forget->attempt);
		if (r)
			run_forget(r);
		return;
	case CUMULUS__WORKER__TO_WORKER__KIND_DRAIN:
		take_drain(w, m->drain->on);
		return;
	case CUMULUS__WORKER__TO_WORKER__KIND_SHUTDOWN:
		take_shutdown(w, m->shutdown);
		return;
	default:
		/* A newer cumulusd says what we do not know; doing nothing is not an answer. */
		link_drop(w->link,
			"cumulusd said something that this version does not know");
	}
}

/* ---- what is said to it */

static void on_greet(void *user, struct wire_call *call)
{
	struct worker *w = user;
	const struct hello hello = {
		.home = &w->home,
		.devices = &w->devices,
		.distributions = &w->distributions,
		.runs = &w->runs,
		.cpus = w->cpus,
		.memory_bytes = w->memory_bytes,
		.run_slots = (int32_t)w->options->run_slots,
	};
	struct err e = { 0 };

	for (size_t i = 0; i < w->devices.count; i++)
		w->devices.list[i].changed = false;
	w->figures_told = false;
	if (hello_send(&hello, call, &e) < 0)
		link_drop(w->link, e.text);
}

static bool say_device(struct worker *w, struct wire_call *call)
{
	struct err e = { 0 };

	for (size_t i = 0; i < w->devices.count; i++) {
		struct device *d = &w->devices.list[i];

		if (!d->changed)
			continue;
		d->changed = false;
		if (hello_send_device(&w->devices, d, call, &e) == 0)
			return true;
		log_error("cannot tell a device", "device", d->facts.uuid, "why", e.text,
			NULL);
	}
	return false;
}

static struct hello_figures figures_of(const struct worker *w)
{
	struct env_figures env = environments_figures(w->environments);

	return (struct hello_figures){
		.environments = (int64_t)env.count,
		.environment_bytes = env.bytes,
		.built = (int64_t)env.ended[ENV_READY],
		.refused = (int64_t)env.ended[ENV_REFUSED],
		.broken = (int64_t)env.ended[ENV_BROKEN],
		.reused = (int64_t)env.reused,
		.package_bytes = packages_bytes(w->packages),
	};
}

/* Nothing wakes the stream for these: it is woken every few seconds in any case. */
static bool say_figures(struct worker *w, struct wire_call *call)
{
	struct hello_figures now = figures_of(w);
	struct err e = { 0 };

	if (w->figures_told && memcmp(&now, &w->figures, sizeof(now)) == 0)
		return false;
	w->figures_told = true;
	w->figures = now;
	if (hello_send_figures(&now, call, &e) == 0)
		return true;
	log_error("cannot tell figures", "why", e.text, NULL);
	return false;
}

static bool on_next(void *user, struct wire_call *call)
{
	struct worker *w = user;

	return runs_say(&w->runs, call) || say_device(w, call) || say_figures(w, call);
}

static void on_wake(void *user)
{
	struct worker *w = user;

	if (!w->stopping)
		link_wake(w->link);
}

static void on_fewer(void *user)
{
	weigh_end(user);
}

static void on_run_lost(void *user)
{
	struct worker *w = user;

	if (!w->stopping && link_is_open(w->link))
		link_drop(w->link, "a run has vanished: saying Hello again");
}

/* ---- life */

static int64_t memory_of_machine(void)
{
	return (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
}

static int32_t cpus_of_machine(void)
{
	cpu_set_t set;

	/* Those that this process may use: a container or a cpuset may hold fewer. */
	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		return CPU_COUNT(&set);
	return (int32_t)sysconf(_SC_NPROCESSORS_ONLN);
}

static char *choose_chronos_dir(const struct worker *w)
{
	if (w->options->chronos_dir)
		return xstrdup(w->options->chronos_dir);
	if (w->options->device_spec.source == CHRONOS_DEVICES_SIMULATED)
		return str_fmt("%s/chronos", w->home.data_path);
	return NULL;
}

/* The path that an option names, or that of what belongs to us. */
static char *choose_file(const char *option, const char *name, struct err *e)
{
	return option ? xstrdup(option) : file_find_sibling(name, e);
}

static char *folder_of(const char *path)
{
	const char *end = strrchr(path, '/');

	return end ? str_fmt("%.*s", (int)(end - path), path) : xstrdup(".");
}

/* Jobs run without it too: their devices' enforcement says which of them are held. */
static void prepare_dmem(const struct worker *w)
{
	struct err e = { 0 };
	bool wanted = false; /* by a device that is one */

	for (size_t i = 0; i < w->devices.count; i++)
		wanted |= *w->devices.list[i].facts.pci != '\0';
	if (wanted && cgroup_prepare_dmem(&e) < 0 && e.code != ERR_UNSUPPORTED)
		log_warn("the kernel will hold no job to its share of device memory",
			"why", e.text, NULL);
}

/* Build what jobs see as / and try it with an empty container. */
static int try_container(struct worker *w, struct err *e)
{
	const struct options *o = w->options;
	CLEANUP(free_ptr) char *init = choose_file(o->init, "cumulus-init", e);
	CLEANUP(free_ptr)
	char *harness = init ? choose_file(o->harness, "harness.py", e) : NULL;
	CLEANUP(free_ptr)
	char *library = harness ? choose_file(o->job_library, "cumulus.py", e) : NULL;
	CLEANUP(free_ptr) char *layers = library ? folder_of(harness) : NULL;
	CLEANUP(free_ptr) char *start = library ? file_find_sibling("start.py", e) : NULL;
	/* Of another harness there is none, and jobs do without. */
	CLEANUP(free_ptr)
	char *compiled = o->harness ? NULL : file_find_sibling("harness.pyc", NULL);
	const struct rootfs_sources sources = { .init = init,
		.start = start,
		.harness = harness,
		.compiled = compiled,
		.job_lib = library,
		.layers = layers };

	if (!start || cgroup_prepare(e) < 0)
		return -1;
	prepare_dmem(w);
	w->root_path = rootfs_build(w->home.path, &sources, e);
	if (!w->root_path)
		return -1;
	return o->no_start_check
		       ? 0
		       : rootfs_check(w->runner_path, w->root_path, o->runtime, e);
}

/* A worker that can run nothing still serves: it reports what was run, and why it cannot. */
static void check_machine(struct worker *w)
{
	struct err e = { 0 };

	if (try_container(w, &e) < 0) {
		str_join(w->unfit, sizeof(w->unfit), e.text, "", "");
		devices_set_health(&w->devices, w->unfit);
		log_error("this machine can run no jobs", "why", w->unfit, NULL);
	}
	devices_set_root(&w->devices, w->root_path);
	devices_log(&w->devices);
}

static int open_machine(struct worker *w, struct err *e)
{
	char problem[DEVICE_HEALTH_SIZE];

	w->cpus = cpus_of_machine();
	w->memory_bytes = memory_of_machine();
	w->chronos_dir = choose_chronos_dir(w);
	w->runner_path = choose_file(w->options->runner, "cumulus-runner", e);
	w->builder_path = w->runner_path
				  ? choose_file(w->options->builder, "cumulus-builder", e)
				  : NULL;
	w->chronos_path =
		w->builder_path ? choose_file(w->options->chronos, "chronos", e) : NULL;
	if (!w->chronos_path ||
		devices_open(&w->devices, &w->options->device_spec, w->chronos_dir,
			w->home.worker_id, problem, e) < 0)
		return -1;
	if (*problem)
		log_error("no devices", "why", problem, NULL);
	check_machine(w);
	distributions_add_host(&w->distributions);
	return 0;
}

static int open_environments(struct worker *w, struct err *e)
{
	const struct environments_config config = {
		.loop = &w->loop,
		.folder_fd = w->home.fd,
		.path = w->home.path,
		.builder_path = w->builder_path,
		.root_path = w->root_path ? w->root_path : "",
		.runtime = w->options->runtime,
		.wheels = w->options->wheels,
		.uids = &w->runs.uids,
		.limit_bytes = w->options->environment_cache_bytes,
		.time_s = w->options->environment_time_s,
		.disk_bytes = w->options->environment_disk_bytes,
	};

	w->environments = w->runs.environments = environments_open(&config, e);
	return w->environments ? 0 : -1;
}

static int open_runs(struct worker *w, struct err *e)
{
	const struct link_user on = {
		.user = w,
		.greet = on_greet,
		.welcome = on_welcome,
		.open = on_open,
		.message = on_message,
		.next = on_next,
		.lost = on_lost,
	};

	w->packages = packages_open(w->home.fd, w->home.path,
		w->options->package_cache_bytes, w->home.rebooted, e);
	if (!w->packages)
		return -1;
	w->runs = (struct runs){
		.loop = &w->loop,
		.home = &w->home,
		.packages = w->packages,
		.runner_path = w->runner_path,
		.root_path = w->root_path,
		.runtime = w->options->runtime,
		.chronos_dir = w->chronos_dir,
		.wake = on_wake,
		.fewer = on_fewer,
		.lost = on_run_lost,
		.user = w,
	};
	/* Twice as many ranges as runs: one rests before it is given again. */
	if (runs_open(&w->runs, (uint32_t)w->options->run_slots * 2, e) < 0)
		return -1;
	w->link = link_new(&w->loop, w->options->connect, &on);
	if (open_environments(w, e) < 0)
		return -1;
	keep_arbiter(w);
	return runs_load(&w->runs, e);
}

static void start_timers_and_signals(struct worker *w)
{
	static const int numbers[] = { SIGTERM, SIGINT, SIGHUP };
	uint64_t alive_ms = notify_alive_ms();

	uv_timer_init(&w->loop, &w->alive_timer);
	if (alive_ms)
		uv_timer_start(&w->alive_timer, on_alive, 0, alive_ms);
	uv_timer_init(&w->loop, &w->look_timer);
	uv_timer_init(&w->loop, &w->idle_timer);
	w->look_timer.data = w->idle_timer.data = w;
	for (size_t i = 0; i < 3; i++) {
		uv_signal_init(&w->loop, &w->signals[i]);
		w->signals[i].data = w;
		uv_signal_start(&w->signals[i],
			numbers[i] == SIGHUP ? on_hangup : on_signal, numbers[i]);
	}
}

int worker_open(struct worker *w, struct options *options, struct err *e)
{
	*w = (struct worker){ .options = options };
	if (home_open(&w->home, options->data, e) < 0)
		return -1;
	uv_loop_init(&w->loop);
	start_timers_and_signals(w);
	if (open_machine(w, e) < 0 || open_runs(w, e) < 0) {
		worker_close(w);
		return -1;
	}
	return 0;
}

void worker_run(struct worker *w)
{
	log_info("worker begins", "worker", w->home.worker_id, "data", w->home.data_path,
		"connect", w->options->connect, NULL);
	notify_ready();
	link_start(w->link);
	look_at_devices(&w->look_timer);
	weigh_end(w);
	if (!w->stopping)
		uv_run(&w->loop, UV_RUN_DEFAULT);
}

void worker_close(struct worker *w)
{
	w->stopping = true; /* nobody uses the link from here on */
	link_close(w->link);
	if (w->runs.open)
		runs_use(&w->runs, NULL);
	arbiter_close(w->arbiter, w->runs.open && runs_live(&w->runs) == 0);
	runs_close(&w->runs);
	uv_close((uv_handle_t *)&w->look_timer, NULL);
	uv_close((uv_handle_t *)&w->idle_timer, NULL);
	uv_close((uv_handle_t *)&w->alive_timer, NULL);
	for (size_t i = 0; i < 3; i++)
		uv_close((uv_handle_t *)&w->signals[i], NULL);
	uv_run(&w->loop, UV_RUN_DEFAULT);
	uv_loop_close(&w->loop);

	environments_close(w->environments);
	packages_close(w->packages);
	distributions_fini(&w->distributions);
	devices_close(&w->devices);
	free(w->root_path);
	free(w->chronos_path);
	free(w->builder_path);
	free(w->runner_path);
	free(w->chronos_dir);
	home_close(&w->home);
}
