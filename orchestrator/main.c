/* main.c - cumulusd: reads the settings, builds the parts, connects them, runs the loop.
 *
 * Order matters: the lock before anything is touched, the worker before root is given up,
 * the store before anybody can ask, the sockets last.  The end goes the other way.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "config.h"
#include "embedded.h"
#include "engine.h"
#include "file.h"
#include "hangup.h"
#include "http.h"
#include "log.h"
#include "notify.h"
#include "privileges.h"
#include "relay.h"
#include "rpc.h"
#include "str.h"
#include "wire.h"
#include "workers.h"

#define EXIT_CONFIG     2
#define WORKER_END_MS   30000 /* with --on-exit stop the worker gets so long to end */
#define KEEPER_END_MS   10000 /* and then the keeper, ... */
#define KEEPER_LOOK_MS  5     /* ... looked at so often */
#define WORKER_DIAL_MS  5000  /* or so long, when it is not there yet */
#define FIRST_WORKERS_S 5
#define WORKER_DOWN_S   15
#define UNKNOWN_AFTER_S (5 * 60)
#define RESULT_BYTES    (3584 * 1024)
#define MESSAGE_BYTES   (5 << 20) /* a package of 4 MiB and all else that is said of it */

struct daemon {
	struct config config;
	struct data_folder folder;
	bool root;     /* started as root */
	bool embedded; /* this machine's worker is our own */
	uid_t uid;
	gid_t gid;
	char *socket; /* D/orchestrator/worker.sock */
	int argc;
	char **argv;
	int go;     /* embedded_go(); -1 = no keeper of ours */
	char *hint; /* how to get a worker, where none is started */

	uv_loop_t loop;
	struct relay *relay;
	struct wire_server *clients, *worker_server;
	struct rpc *rpc;
	struct workers *workers;
	struct http *http;
	struct rpc_health health; /* the last one that http asked for */
	int64_t began_wall_ns;
	uv_signal_t terminate, interrupt, reload;
	uv_timer_t patience, alive;
	bool ending, closed;
	unsigned keeper_looks;
	bool told_worker; /* at the signal it was there, so it knows */
};

/* ---- settings */

static void print_help(void)
{
	printf("Usage: cumulusd [--setting VALUE]...\n"
	       "The Cumulus orchestrator: takes GPU jobs over gRPC, stores them, runs "
	       "them on\n"
	       "workers.  As root it starts this machine's worker and becomes another "
	       "user.\n\n");
	settings_help(config_table, stdout);
}

/* 0 to go on, else what to exit with, less one. */
static int read_config(struct daemon *d, int argc, char **argv)
{
	enum settings_ask ask;
	struct err e = { 0 };

	if (settings_load(config_table, argc, argv, &d->config, &ask, &e) < 0) {
		fprintf(stderr, "cumulusd: %s\n", e.text);
		return EXIT_CONFIG + 1;
	}
	if (ask == SETTINGS_HELP) {
		print_help();
		return EXIT_SUCCESS + 1;
	}
	if (ask == SETTINGS_VERSION) {
		printf("cumulusd %s\n", CUMULUS_VERSION);
		return EXIT_SUCCESS + 1;
	}
	if (ask == SETTINGS_EXAMPLE) {
		settings_example(config_table, config_live, stdout);
		return EXIT_SUCCESS + 1;
	}
	if (ask == SETTINGS_REFERENCE) {
		settings_reference(config_table, config_live, stdout);
		return EXIT_SUCCESS + 1;
	}
	if (config_check(&d->config, &e) < 0) {
		fprintf(stderr, "cumulusd: %s\n", e.text);
		return EXIT_CONFIG + 1;
	}
	if (ask == SETTINGS_CHECK) {
		settings_say_fine(argc, argv);
		return EXIT_SUCCESS + 1;
	}
	return 0;
}

static void set_log(const struct config *c)
{
	enum log_level level = LOG_LEVEL_INFO;

	if (log_level_parse(c->log_level, &level, NULL) == 0)
		log_set(level, c->log_json);
}

static int start_log(const struct config *c)
{
	struct err e = { 0 };

	log_init("cumulusd", LOG_LEVEL_INFO, false);
	set_log(c);
	if (!c->log_file || log_open(c->log_file, &e) == 0)
		return 0;
	fprintf(stderr, "cumulusd: %s\n", e.text);
	return -1;
}

/* ---- as root */

static int start_worker(struct daemon *d, struct err *e)
{
	CLEANUP(free_ptr) char *program = file_find_sibling("cumulus-worker", e);

	if (!program)
		return -1;

	const struct embedded_worker worker = {
		.program = program,
		.data = d->config.data,
		.socket = d->socket,
		.devices = d->config.devices,
		.log_level = d->config.log_level,
		.log_json = d->config.log_json,
		.log_file = d->config.log_file,
		.data_dir = d->folder.dir,
		.argv = d->argv,
	};
	if (embedded_start(&worker, &d->go, e) < 0)
		return err_wrap(e, "start the worker");
	log_info(d->go >= 0 ? "worker is started" : "worker runs already", NULL);
	return 0;
}

static int open_folder(struct daemon *d, struct err *e)
{
	d->root = geteuid() == 0;
	d->uid = geteuid();
	d->gid = getegid();
	if (d->root)
		privileges_find_user(d->config.user, &d->uid, &d->gid);
	/* Whom we become must be able to open it again. */
	if (d->root && d->config.log_file && fchown(STDERR_FILENO, d->uid, d->gid) < 0)
		return err_sys(e, "give away the log %s", d->config.log_file);
	d->socket = str_fmt("%s/orchestrator/worker.sock", d->config.data);
	return data_folder_open(d->config.data, d->uid, d->gid, &d->folder, e);
}

static int give_up_root(struct daemon *d, struct err *e)
{
	bool embedded = strcmp(d->config.worker, "embedded") == 0;

	if (!d->root) {
		d->hint = str_fmt(
			"no worker is ready; not started as root, so start one by: sudo "
			"cumulus-worker --connect unix:%s --data %s-worker --devices %s",
			d->socket, d->config.data, d->config.devices);
		if (embedded)
			log_warn("no worker is started", "why", d->hint, NULL);
		return 0;
	}
	d->embedded = embedded;
	if (embedded && start_worker(d, e) < 0)
		return -1;
	return privileges_drop(d->uid, d->gid, d->config.data, e);
}

/* ---- the parts */

static void on_disk_failed(void *ctx, const struct err *why)
{
	(void)ctx;
	/* Nothing that was not committed has been told to anybody: start again from disk. */
	log_error("the store has failed, ending", "why", why->text, NULL);
	_exit(EXIT_FAILURE);
}

static int check_package(int fd, int64_t size, struct err *e)
{
	return package_check_file(fd, (uint64_t)size, &package_defaults, e);
}

/* ---- what the settings mean to each part */

static struct core_config core_config_of(const struct config *c)
{
	return (struct core_config){
		.setup_limit_ns = c->setup_limit_s * NS_PER_S,
		.grace_ns = c->grace_s * NS_PER_S,
		.worker_down_after_ns = WORKER_DOWN_S * NS_PER_S,
		.unknown_after_ns = UNKNOWN_AFTER_S * NS_PER_S,
		.first_workers_ns = FIRST_WORKERS_S * NS_PER_S,
		.waiting_jobs_max = (uint32_t)c->waiting_jobs_max,
	};
}

static struct store_config store_config_of(const struct config *c)
{
	struct store_config store = store_defaults;

	store.history_age_s = c->history_s;
	store.history_jobs = c->history_jobs;
	store.history_bytes = c->history_bytes;
	store.disk_low_bytes = c->disk_low_bytes;
	store.backup_path = c->backup;
	store.backup_every_s = c->backup_every_s;
	store.backup_keep = c->backup_keep;
	return store;
}

/* The limits of runs; without the parts that it is connected to. */
static struct workers_config run_limits_of(const struct config *c)
{
	return (struct workers_config){
		.setup_limit_s = (int32_t)c->setup_limit_s,
		.grace_s = (int32_t)c->grace_s,
		.memory_bytes = c->job_memory_bytes,
		.disk_bytes = c->job_disk_bytes,
		.output_bytes = c->output_bytes,
		.result_bytes = RESULT_BYTES,
		.pids = (int32_t)c->job_pids,
	};
}

static void use_settings(struct daemon *d)
{
	const struct core_config core = core_config_of(&d->config);
	const struct store_config store = store_config_of(&d->config);
	const struct workers_config runs = run_limits_of(&d->config);

	set_log(&d->config);
	core_set_limits(relay_core(d->relay), &core);
	store_set_limits(relay_store(d->relay), &store);
	workers_set_limits(d->workers, &runs);
	rpc_set_duration_max(d->rpc, (int32_t)d->config.duration_max_s);
}

/* ---- opening the parts */

static int open_relay(struct daemon *d, struct err *e)
{
	CLEANUP(free_ptr) char *folder = str_fmt("%s/orchestrator", d->config.data);
	struct relay_config config = {
		.loop = &d->loop,
		.folder = folder,
		.folder_fd = d->folder.orchestrator,
		.core = core_config_of(&d->config),
		.store = store_config_of(&d->config),
		.package_check = check_package,
		.on_failed = on_disk_failed,
		.ctx = d,
	};

	config.store.path = folder;
	d->relay = relay_open(&config, e);
	return d->relay ? 0 : -1;
}

static int open_worker_server(struct daemon *d, struct err *e)
{
	static const uid_t root = 0;
	uid_t uids[2] = { root, d->uid };
	/* Started as root, only root's workers are taken; else the user's own too. */
	const struct wire_listen options = { .uids = uids, .uid_count = d->root ? 1 : 2 };
	const struct wire_limits limits = { .streams = 100000, .message_bytes = 8 << 20 };
	struct workers_config config = run_limits_of(&d->config);

	config.relay = d->relay;
	config.engine = &engine_local;
	config.cluster_id = store_cluster_id(relay_store(d->relay));
	config.epoch = store_epoch(relay_store(d->relay));
	d->worker_server = wire_server_new(&d->loop, &limits);
	d->workers = workers_new(d->worker_server, &config);
	return wire_server_listen_unix(d->worker_server, d->socket, &options, e);
}

static int open_client_server(
	struct daemon *d, char bound[WIRE_ADDRESS_SIZE], struct err *e)
{
	const struct wire_limits limits = { .message_bytes = MESSAGE_BYTES };
	struct rpc_config config = {
		.relay = d->relay,
		.limits = submission_defaults,
		.package = package_defaults,
		.engine_name = engine_local.name,
		.engine_is_connected = engine_local.is_connected,
		.engine_ctx = engine_local.ctx,
		.no_worker_hint = d->hint,
	};

	config.limits.duration_max_s = (int32_t)d->config.duration_max_s;
	d->clients = wire_server_new(&d->loop, &limits);
	d->rpc = rpc_new(d->clients, &config);
	return wire_server_listen_tcp(d->clients, d->config.listen, NULL, bound, e);
}

static const char *tell_health(void *ctx, const char **why)
{
	struct daemon *d = ctx;

	if (d->ending) {
		*why = "cumulusd is ending";
		return "unhealthy";
	}
	d->health = rpc_health(d->rpc);
	*why = d->health.message;
	return d->health.status;
}

static int open_http(struct daemon *d, struct err *e)
{
	const struct http_config config = {
		.loop = &d->loop,
		.address = d->config.http,
		.figures = {
			.relay = d->relay,
			.clients = d->clients,
			.worker_server = d->worker_server,
			.workers = d->workers,
			.began_wall_ns = d->began_wall_ns,
		},
		.health = tell_health,
		.ctx = d,
	};

	if (strcmp(d->config.http, "off") == 0)
		return 0;
	d->http = http_open(&config, e);
	return d->http ? 0 : -1;
}

/* ---- the end */

static void close_all(struct daemon *d)
{
	if (d->closed)
		return;
	d->closed = true;
	uv_close((uv_handle_t *)&d->terminate, NULL);
	uv_close((uv_handle_t *)&d->interrupt, NULL);
	uv_close((uv_handle_t *)&d->reload, NULL);
	uv_close((uv_handle_t *)&d->patience, NULL);
	uv_close((uv_handle_t *)&d->alive, NULL);
	http_close(d->http);
	wire_server_close(d->clients);
	wire_server_close(d->worker_server);
	relay_close(d->relay);
	d->relay = NULL;
}

/* The next cumulusd must not find a keeper that is about to end, and wait for a worker that
 * nobody starts. */
static void on_keeper_look(uv_timer_t *timer)
{
	struct daemon *d = timer->data;

	if (embedded_is_gone(d->go) ||
		d->keeper_looks++ >= KEEPER_END_MS / KEEPER_LOOK_MS)
		close_all(d);
	else
		uv_timer_start(timer, on_keeper_look, KEEPER_LOOK_MS, 0);
}

/* Called by the server that is to be closed: so a turn later. */
static void on_workers_gone(void *ctx)
{
	struct daemon *d = ctx;

	uv_timer_start(&d->patience, on_keeper_look, 0, 0);
}

static void on_patience_over(uv_timer_t *timer)
{
	struct daemon *d = timer->data;

	log_warn("worker does not end in time and is left running", NULL);
	close_all(d);
}

/* The clients are gone.  With --on-exit stop the worker ends next; one that is being
 * started just now is told as soon as it dials. */
static void on_drained(struct wire_server *server, void *user)
{
	struct daemon *d = user;
	bool here = workers_connected(d->workers) > 0;
	bool left = d->told_worker && !here; /* it was quicker than the clients */

	(void)server;
	if (strcmp(d->config.on_exit, "stop") != 0 || (!here && !d->embedded)) {
		close_all(d);
		return;
	}
	if (left) {
		on_workers_gone(d);
		return;
	}
	workers_when_gone(d->workers, on_workers_gone, d);
	uv_timer_start(
		&d->patience, on_patience_over, here ? WORKER_END_MS : WORKER_DIAL_MS, 0);
}

static void end(struct daemon *d, const char *why)
{
	if (d->ending) {
		/* What is not committed has been told to nobody; the rest is on disk. */
		log_warn("ending at once", "why", why, NULL);
		close_all(d);
		return;
	}
	d->ending = true;
	notify_stopping();
	log_info("ending", "why", why, "worker", d->config.on_exit, NULL);
	if (strcmp(d->config.on_exit, "stop") == 0) {
		d->told_worker = workers_connected(d->workers) > 0;
		workers_shut_down(d->workers);
	}
	wire_server_drain(d->clients, (uint64_t)d->config.drain_s * 1000, on_drained, d);
}

static void on_signal(uv_signal_t *handle, int number)
{
	end(handle->data, number == SIGINT ? "SIGINT" : "SIGTERM");
}

/* ---- reading the settings again */

static int read_again(struct daemon *d, struct config *fresh, struct err *e)
{
	enum settings_ask ask;

	if (settings_load(config_table, d->argc, d->argv, fresh, &ask, e) < 0)
		return -1;
	if (config_check(fresh, e) == 0)
		return 0;
	settings_fini(config_table, fresh);
	return -1;
}

static void reload(struct daemon *d)
{
	struct config fresh = { 0 };
	struct err e = { 0 };

	if (d->config.log_file && log_open(d->config.log_file, &e) < 0)
		log_warn("the log goes on in the file of before", "why", e.text, NULL);
	if (read_again(d, &fresh, &e) < 0) {
		log_error("settings are not read again, nothing is changed", "why",
			e.text, NULL);
		return;
	}

	size_t changed = settings_move(config_table, config_live, &d->config, &fresh);
	settings_fini(config_table, &fresh);
	use_settings(d);
	log_info("settings are read again", "changed", changed ? "some" : "none", NULL);
}

static void on_reload(uv_signal_t *handle, int number)
{
	struct daemon *d = handle->data;

	(void)number;
	if (hangup_is_end()) {
		end(d, "SIGHUP: the terminal has gone");
		return;
	}
	if (d->ending)
		return;
	notify_reloading();
	reload(d);
	notify_ready();
}

static void on_alive(uv_timer_t *timer)
{
	(void)timer;
	notify_alive();
}

/* ---- the whole */

static void watch_signals(struct daemon *d)
{
	uint64_t alive_ms = notify_alive_ms();

	uv_signal_init(&d->loop, &d->terminate);
	uv_signal_init(&d->loop, &d->interrupt);
	uv_signal_init(&d->loop, &d->reload);
	uv_timer_init(&d->loop, &d->patience);
	uv_timer_init(&d->loop, &d->alive);
	d->terminate.data = d->interrupt.data = d->reload.data = d->patience.data = d;
	uv_signal_start(&d->terminate, on_signal, SIGTERM);
	uv_signal_start(&d->interrupt, on_signal, SIGINT);
	uv_signal_start(&d->reload, on_reload, SIGHUP);
	if (alive_ms)
		uv_timer_start(&d->alive, on_alive, 0, alive_ms);
}

static int open_parts(struct daemon *d, struct err *e)
{
	char bound[WIRE_ADDRESS_SIZE];

	if (open_relay(d, e) < 0 || open_worker_server(d, e) < 0 ||
		open_client_server(d, bound, e) < 0 || open_http(d, e) < 0)
		return -1;
	watch_signals(d);

	/* For whoever started us: a person, a script, a test. */
	printf("listening on %s\n", bound);
	if (d->http)
		printf("http on port %u\n", http_port(d->http));
	fflush(stdout);
	embedded_go(&d->go);
	notify_ready();
	log_info("serving", "address", bound, "data", d->config.data, NULL);
	return 0;
}

static void free_parts(struct daemon *d)
{
	rpc_free(d->rpc);
	workers_free(d->workers);
	settings_fini(config_table, &d->config);
	free(d->socket);
	free(d->hint);
	close_fd(&d->go);
	close_fd(&d->folder.orchestrator);
	close_fd(&d->folder.dir);
	close_fd(&d->folder.lock);
}

static int run(struct daemon *d)
{
	struct err e = { 0 };

	if (open_folder(d, &e) < 0 || give_up_root(d, &e) < 0 || open_parts(d, &e) < 0) {
		log_error("cannot start", "why", e.text, NULL);
		return EXIT_FAILURE;
	}
	uv_run(&d->loop, UV_RUN_DEFAULT);
	uv_loop_close(&d->loop);
	free_parts(d);
	log_info("ended", NULL);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static struct daemon d;
	int stop = read_config(&d, argc, argv);

	if (stop)
		return stop - 1;
	d.argc = argc;
	d.argv = argv;
	d.go = -1;
	d.began_wall_ns = clock_wall_ns();
	if (start_log(&d.config) < 0)
		return EXIT_FAILURE;
	notify_init();
	hangup_init();
	signal(SIGPIPE, SIG_IGN);
	umask(077);
	/* Without it libc looks at /etc/localtime each time that libzip reads an entry's date,
	 * eight times for a submission; nothing here shows local time. */
	setenv("TZ", ":/etc/localtime", 0);
	uv_loop_init(&d.loop);
	return run(&d);
}
