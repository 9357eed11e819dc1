/* command_doctor.c - doctor: is this server, and this machine beneath it, fit to run jobs? */
/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"
#include "command.h"
#include "file.h"
#include "json.h"
#include "message.h"
#include "remote.h"
#include "str.h"
#include "text.h"
#include "wire.h"

#define DATA_OF_ROOT     "/var/lib/cumulus"
#define DISK_LOW_BYTES   (INT64_C(2) << 30)
#define DISK_SPARE_BYTES (INT64_C(256) << 20)

enum verdict { VERDICT_OK, VERDICT_WARNING, VERDICT_PROBLEM };

static const struct {
	const char *word;
	enum colour colour;
} verdicts[] = {
	[VERDICT_OK] = { "ok", COLOUR_GREEN },
	[VERDICT_WARNING] = { "warning", COLOUR_YELLOW },
	[VERDICT_PROBLEM] = { "problem", COLOUR_RED },
};

struct doctor {
	struct cli *cli;
	json_t *findings; /* JSON is asked for; else NULL */
	struct buf out;
	bool problem;
};

/* One line: what was looked at, how it is, and, unless it is well, how to mend it ("" where
 * the message says so). */
static void find(struct doctor *d, enum verdict verdict, const char *check,
	const char *remedy, const char *format, ...) PRINTF_LIKE(5, 6);

static void find(struct doctor *d, enum verdict verdict, const char *check,
	const char *remedy, const char *format, ...)
{
	const struct cli *cli = d->cli;
	bool colour = cli->terminal->out_colour;
	char fixed[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(fixed, sizeof(fixed), format, args);
	va_end(args);
	d->problem |= verdict == VERDICT_PROBLEM;
	if (d->findings) {
		json_array_append_new(
			d->findings, json_pack("{s:s, s:s, s:s, s:s}", "check", check,
					     "verdict", verdicts[verdict].word, "message",
					     fixed, "remedy", remedy));
		return;
	}
	if (cli->options->quiet && verdict == VERDICT_OK)
		return;

	CLEANUP(free_ptr) char *safe = text_escape(fixed);
	buf_addf(&d->out, "%s%-8s%s %-11s %s\n",
		terminal_colour(colour, verdicts[verdict].colour), verdicts[verdict].word,
		terminal_colour(colour, COLOUR_NONE), check, safe);
	if (*remedy)
		buf_addf(&d->out, "%-20s %s\n", "", remedy);
}

/* ---- the server */

static void look_at_version(struct doctor *d, const char *program, const char *version)
{
	if (strcmp(version, CUMULUS_VERSION) == 0)
		find(d, VERDICT_OK, "version", "", "%s is %s, as this program", program,
			version);
	else
		find(d, VERDICT_WARNING, "version", "install the same version everywhere",
			"%s is %s, this program %s", program,
			*version ? version : "of an unknown version", CUMULUS_VERSION);
}

static void look_at_health(struct doctor *d, const Cumulus__Orchestrator__HealthStatus *h)
{
	bool healthy = strcmp(h->status, "healthy") == 0;
	bool degraded = strcmp(h->status, "degraded") == 0;

	find(d,
		healthy    ? VERDICT_OK
		: degraded ? VERDICT_WARNING
			   : VERDICT_PROBLEM,
		"health", healthy ? "" : "its log says more", "%s%s%s", h->status,
		*h->message ? ": " : "", h->message);
	look_at_version(d, "cumulusd", h->version);
}

static void look_at_device(struct doctor *d, const Cumulus__Orchestrator__GPUDevice *g)
{
	bool simulated = strcmp(g->kind, "simulated") == 0;
	bool told = *g->enforcement && !str_starts(g->enforcement, "off");
	bool fit = !*g->health || strcmp(g->health, "ok") == 0;

	if (!fit)
		find(d, VERDICT_PROBLEM, "gpu", "the worker's log says more",
			"GPU %d, %s (%s) takes no jobs: %s", g->index, g->name, g->kind,
			g->health);
	else if (simulated)
		find(d, VERDICT_OK, "gpu", "",
			"GPU %d is simulated: jobs share it in the books only", g->index);
	else if (told && strchr(g->enforcement, ':'))
		find(d, VERDICT_WARNING, "gpu",
			"arbiter.log in the worker's data folder says why",
			"GPU %d, %s (%s): no arbiter serves, jobs wait", g->index,
			g->name, g->kind);
	else if (told)
		find(d, VERDICT_OK, "gpu", "",
			"GPU %d, %s (%s): jobs are held to their shares (%s)", g->index,
			g->name, g->kind, g->enforcement);
	else
		find(d, VERDICT_WARNING, "gpu",
			"on that machine, chronos doctor says what helps",
			"GPU %d, %s (%s): jobs are not held to their shares%s", g->index,
			g->name, g->kind, *g->enforcement ? g->enforcement + 3 : "");
	if (g->foreign_amount > 0)
		find(d, VERDICT_WARNING, "gpu",
			"chronos list on that machine says whose it is",
			"GPU %d: %.2f of it is taken by others than Cumulus", g->index,
			(double)g->foreign_amount);
}

static void look_at_worker(struct doctor *d, const Cumulus__Orchestrator__WorkerInfo *w)
{
	CLEANUP(free_ptr) char *name = str_fmt("cumulus-worker on %s", w->hostname);
	CLEANUP(free_ptr)
	char *undrain = str_fmt("cumulus undrain %s lets it take jobs again", w->id);

	if (strcmp(w->status, "ready") == 0)
		find(d, VERDICT_OK, "worker", "", "%s (%s) is ready, %zu GPU%s",
			w->hostname, w->id, w->n_gpu_devices,
			w->n_gpu_devices == 1 ? "" : "s");
	else if (strcmp(w->status, "draining") == 0)
		find(d, VERDICT_WARNING, "worker", undrain, "%s (%s) is draining",
			w->hostname, w->id);
	else
		find(d, VERDICT_PROBLEM, "worker",
			"start cumulus-worker there; its log says why it ended",
			"%s (%s) is %s", w->hostname, w->id, w->status);
	if (*w->version)
		look_at_version(d, name, w->version);
	for (size_t i = 0; i < w->n_gpu_devices; i++)
		look_at_device(d, w->gpu_devices[i]);
}

static void look_at_workers(struct doctor *d)
{
	Cumulus__Orchestrator__ListWorkersRequest request =
		CUMULUS__ORCHESTRATOR__LIST_WORKERS_REQUEST__INIT;
	enum exit_code code = EXIT_DONE;
	struct err e = { 0 };
	CLEANUP(free_message)
	Cumulus__Orchestrator__WorkerList *list = (void *)remote_ask(
		d->cli->remote, REMOTE_LIST_WORKERS, &request, &code, &e);

	if (!list) {
		find(d, VERDICT_PROBLEM, "worker", "", "%s", e.text);
		return;
	}
	for (size_t i = 0; i < list->n_workers; i++)
		look_at_worker(d, list->workers[i]);
	if (list->n_workers == 0)
		find(d, VERDICT_PROBLEM, "worker",
			"cumulusd starts one when it is started as root",
			"there is none: no job can run");
}

/* Does it answer? */
static bool look_at_server(struct doctor *d)
{
	Cumulus__Orchestrator__HealthCheckRequest request =
		CUMULUS__ORCHESTRATOR__HEALTH_CHECK_REQUEST__INIT;
	struct remote *remote = d->cli->remote;
	enum exit_code code = EXIT_DONE;
	struct err e = { 0 };
	CLEANUP(free_message)
	Cumulus__Orchestrator__HealthStatus *h =
		(void *)remote_ask(remote, REMOTE_HEALTH_CHECK, &request, &code, &e);

	if (!h) {
		find(d, VERDICT_PROBLEM, "server",
			"--address, CUMULUS_ADDRESS and ~/.config/cumulus/config.yaml say "
			"where it is",
			"%s", e.text);
		return false;
	}
	find(d, VERDICT_OK, "server", "", "%s answers", remote->address);
	look_at_health(d, h);
	look_at_workers(d);
	return true;
}

/* ---- this machine */

static void look_at_programs(struct doctor *d)
{
	static const char *const names[] = { "cumulusd", "cumulus-worker",
		"cumulus-runner", "cumulus-init", "cumulus-builder" };
	const size_t count = sizeof(names) / sizeof(*names);
	size_t found = 0;

	for (size_t i = 0; i < count; i++) {
		struct err e = { 0 };
		CLEANUP(free_ptr) char *path = file_find_sibling(names[i], &e);

		found += path != NULL;
		if (!path)
			find(d, VERDICT_PROBLEM, "programs",
				"make install puts all in place", "%s", e.text);
	}
	if (found == count)
		find(d, VERDICT_OK, "programs", "",
			"cumulusd, cumulus-worker and their helpers are in place");
}

/* Where the runner looks, too. */
static char *find_runtime(void)
{
	static const char *const names[] = { "crun", "runc" };
	static const char *const folders[] = { "/usr/local/sbin", "/usr/local/bin",
		"/usr/sbin", "/usr/bin", "/sbin", "/bin" };

	for (size_t n = 0; n < sizeof(names) / sizeof(*names); n++) {
		for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++) {
			char *path = str_fmt("%s/%s", folders[i], names[n]);

			if (access(path, X_OK) == 0)
				return path;
			free(path);
		}
	}
	return NULL;
}

static void look_at_runtime(struct doctor *d)
{
	CLEANUP(free_ptr) char *path = find_runtime();

	if (path)
		find(d, VERDICT_OK, "containers", "", "%s makes them", path);
	else
		find(d, VERDICT_PROBLEM, "containers", "apt-get install crun",
			"neither crun nor runc is installed");
}

/* The first line that it prints; NULL when it fails. */
static char *output_of(const char *command)
{
	FILE *pipe = popen(command, "re");
	char line[256] = "";
	bool told = pipe && fgets(line, sizeof(line), pipe);
	int status = pipe ? pclose(pipe) : -1;

	line[strcspn(line, "\n")] = '\0';
	return told && WIFEXITED(status) && WEXITSTATUS(status) == 0 ? str_fmt("%s", line)
								     : NULL;
}

static void look_at_python(struct doctor *d)
{
	CLEANUP(free_ptr)
	char *version = output_of("/usr/bin/python3 -I -S -c 'import platform; "
				  "print(platform.python_version())' 2>/dev/null");
	CLEANUP(free_ptr)
	char *pip = output_of("/usr/bin/python3 -I -m pip --version 2>/dev/null");

	if (!version)
		find(d, VERDICT_PROBLEM, "python", "apt-get install python3",
			"/usr/bin/python3, which runs the jobs, is not there");
	else if (!pip)
		find(d, VERDICT_WARNING, "python", "apt-get install python3-pip",
			"/usr/bin/python3 %s has no pip: jobs with requirements will fail",
			version);
	else
		find(d, VERDICT_OK, "python", "", "/usr/bin/python3 %s with pip",
			version);
}

static void look_at_cgroups(struct doctor *d)
{
	CLEANUP(buf_fini) struct buf text = { 0 };
	struct err e = { 0 };

	if (access("/sys/fs/cgroup", X_OK) != 0)
		find(d, VERDICT_PROBLEM, "cgroups",
			"mount them: limits of jobs rest on control groups",
			"/sys/fs/cgroup is not there");
	else if (file_read(AT_FDCWD, "/sys/fs/cgroup/cgroup.controllers", 4096, &text,
			 &e) < 0)
		find(d, VERDICT_OK, "cgroups", "", "the older hierarchies are mounted");
	else
		find(d, VERDICT_OK, "cgroups", "", "the unified hierarchy is mounted");
}

static void look_at_disk(struct doctor *d)
{
	const char *path = access(DATA_OF_ROOT, F_OK) == 0 ? DATA_OF_ROOT : "/var/lib";
	struct statvfs fs;
	char size[SPAN_SIZE];

	if (statvfs(path, &fs) < 0) {
		find(d, VERDICT_WARNING, "disk", "", "%s: %s", path, strerror(errno));
		return;
	}

	int64_t free_bytes = (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
	find(d,
		free_bytes < DISK_SPARE_BYTES ? VERDICT_PROBLEM
		: free_bytes < DISK_LOW_BYTES ? VERDICT_WARNING
					      : VERDICT_OK,
		"disk",
		free_bytes < DISK_LOW_BYTES ? "jobs and their environments need more"
					    : "",
		"%s free at %s", text_bytes(size, free_bytes), path);
}

/* Can this port of ours be listened on?  Else *e says why. */
static int try_port(const char *address, struct err *e)
{
	const char *colon = strrchr(address, ':');
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found = NULL;
	int one = 1;

	if (!colon)
		return 0;

	CLEANUP(free_ptr) char *host = str_fmt("%.*s", (int)(colon - address), address);
	if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
		return err_set(
			e, ERR_INVALID, "%s is no address of this machine", address);

	CLEANUP(close_fd)
	int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc = fd < 0 ||
				 setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one,
					 sizeof(one)) < 0 ||
				 bind(fd, found->ai_addr, found->ai_addrlen) < 0
			 ? err_sys(e, "%s", address)
			 : 0;
	freeaddrinfo(found);
	return rc;
}

/* Nobody answers: could cumulus dev serve here? */
static void look_at_ports(struct doctor *d)
{
	struct err e = { 0 };

	if (try_port(d->cli->remote->address, &e) < 0)
		find(d, VERDICT_PROBLEM, "port",
			"stop what has it, or choose another: --listen", "%s", e.text);
	else
		find(d, VERDICT_OK, "port", "", "%s is free", d->cli->remote->address);
	if (try_port("127.0.0.1:8080", &e) < 0)
		find(d, VERDICT_WARNING, "port",
			"cumulus dev --http off, or another port", "%s", e.text);
}

static void look_at_machine(struct doctor *d, bool answered)
{
	look_at_programs(d);
	look_at_runtime(d);
	look_at_python(d);
	look_at_cgroups(d);
	look_at_disk(d);
	if (!answered)
		look_at_ports(d);
}

enum exit_code command_doctor(struct cli *cli)
{
	struct doctor d = { .cli = cli,
		.findings = cli->options->json ? json_array() : NULL };
	bool answered = look_at_server(&d);

	if (wire_address_is_loopback(cli->remote->address))
		look_at_machine(&d, answered);
	if (d.findings)
		json_print(json_pack("{s:b, s:o}", "fit", !d.problem, "findings",
				   d.findings),
			false);
	put_buf(STDOUT_FILENO, &d.out);
	buf_fini(&d.out);
	return d.problem ? EXIT_JOB_FAILED : EXIT_DONE;
}
