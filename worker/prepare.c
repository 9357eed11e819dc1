/* prepare.c - gets one run its environment before its runner is started. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "prepare.h"

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "log.h"
#include "str.h"
#include "xalloc.h"

/* A build ends by its own limit first, and then says what pip did last. */
#define LATE_NS (5 * NS_PER_S)

static void free_spec(Cumulus__Worker__RunSpec **spec)
{
	if (*spec)
		cumulus__worker__run_spec__free_unpacked(*spec, NULL);
}

static void unpin(struct prepare *p)
{
	if (p->pinned)
		environments_unpin(p->environments, &p->lock);
	p->pinned = false;
}

static void pin(struct prepare *p, const struct digest *lock)
{
	environments_pin(p->environments, lock);
	unpin(p);
	p->lock = *lock;
	p->pinned = true;
}

/* ---- waiting */

static void on_output(struct env_wait *w, const void *bytes, size_t len)
{
	struct prepare *p =
		(struct prepare *)((char *)w - offsetof(struct prepare, wait));
	struct err e = { 0 };

	if (p->output.fd < 0 ||
		run_output_write(&p->output, FRAME_SYSTEM, bytes, len, &e) == 0)
		return;
	log_warn("cannot keep what the build says", "why", e.text, NULL);
	run_output_close(&p->output);
}

static void on_done(struct env_wait *w, const struct env_end *end)
{
	struct prepare *p =
		(struct prepare *)((char *)w - offsetof(struct prepare, wait));

	run_output_close(&p->output);
	p->done(p, end);
}

void prepare_init(struct prepare *p, struct environments *environments, int dirfd,
	const Cumulus__Worker__RunSpec *spec)
{
	const Cumulus__Worker__Start *start = spec->start;
	struct digest lock;
	struct err ignored;

	p->environments = environments;
	p->dirfd = dirfd;
	p->output.fd = -1;
	p->output_limit = start->limits ? start->limits->output_bytes : 0;
	p->limit_ns = start->setup_limit * NS_PER_S;
	list_init(&p->wait.link);
	p->wait.output = on_output;
	p->wait.done = on_done;
	p->needed = start->n_requirements > 0;
	if (!p->needed)
		return;
	p->request = environments_request(
		environments, start->requirements, start->n_requirements);
	if (digest_parse(spec->environment_lock, &lock, &ignored) == 0)
		pin(p, &lock);
}

void prepare_fini(struct prepare *p)
{
	prepare_leave(p);
	unpin(p);
}

static void begin(struct prepare *p)
{
	if (!p->began_ns)
		p->began_ns = clock_boot_ns();
}

bool prepare_find(struct prepare *p, struct digest *lock)
{
	begin(p);
	return environments_find(p->environments, &p->request, lock);
}

int prepare_want(struct prepare *p, struct err *e)
{
	CLEANUP(free_spec)
	Cumulus__Worker__RunSpec *spec = runfolder_read_spec(p->dirfd, e);

	if (!spec || run_output_open(p->dirfd, p->output_limit, &p->output, e) < 0)
		return -1;
	begin(p);
	environments_want(p->environments, &p->request, spec->start->requirements,
		spec->start->n_requirements, &p->wait);
	return 0;
}

void prepare_leave(struct prepare *p)
{
	environments_leave(&p->wait);
	run_output_close(&p->output);
}

bool prepare_is_late(const struct prepare *p)
{
	return p->limit_ns && clock_boot_ns() - p->began_ns > p->limit_ns + LATE_NS;
}

/* ---- taking */

static int replace_spec(struct prepare *p, char *lock, struct err *e)
{
	CLEANUP(free_spec)
	Cumulus__Worker__RunSpec *spec = runfolder_read_spec(p->dirfd, e);
	CLEANUP(free_ptr) char *path = environments_path_dup(p->environments, &p->lock);

	if (!spec)
		return -1;

	Cumulus__Worker__RunSpec changed = *spec;
	changed.environment_lock = lock;
	changed.environment_path = path;
	changed.environment_ns = clock_boot_ns() - p->began_ns;
	return runfolder_replace_spec(p->dirfd, &changed, e);
}

static bool is_told(const struct run_log *log, const char *lock)
{
	const struct run_record *r = run_log_find(log, RUN_RECORD_SETTING_UP);
	Cumulus__Worker__SettingUp *m =
		r ? cumulus__worker__setting_up__unpack(NULL, r->len, r->payload) : NULL;
	bool told = m && strcmp(m->lock, lock) == 0;

	if (m)
		cumulus__worker__setting_up__free_unpacked(m, NULL);
	return told;
}

/* A worker that starts again tells it only where the last one did not. */
static int append_report(struct prepare *p, char *lock, struct err *e)
{
	Cumulus__Worker__SettingUp m = CUMULUS__WORKER__SETTING_UP__INIT;
	CLEANUP(run_log_fini) struct run_log log = { 0 };
	struct run_log_writer w;

	if (run_log_read(p->dirfd, &log, e) < 0)
		return -1;
	if (is_told(&log, lock))
		return 0;
	if (run_log_open(p->dirfd, &w, e) < 0)
		return -1;
	m.lock = lock;
	m.environment = lock;
	int rc = run_log_append(&w, RUN_RECORD_SETTING_UP, &m.base, true, e);
	run_log_close(&w);
	return rc;
}

int prepare_take(struct prepare *p, const struct digest *lock, struct err *e)
{
	CLEANUP(close_fd) int held = runfolder_lock(p->dirfd, e);
	char text[DIGEST_TEXT_SIZE];

	if (held < 0)
		return -1;
	pin(p, lock);
	digest_format(text, lock);
	if (replace_spec(p, text, e) < 0)
		return -1;
	return append_report(p, text, e);
}
