/* runs.c - all run folders of this worker, and what they share. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "runs.h"

#include <stdlib.h>
#include <string.h>

#include "environments.h"
#include "id.h"
#include "log.h"
#include "run.h"
#include "runfolder.h"
#include "str.h"
#include "xalloc.h"

/* A run that has no folder, and never will here. */
struct refusal {
	struct list link;
	char job[ID_SIZE];
	int32_t attempt;
	Cumulus__Worker__RefusedKind kind;
	char *text; /* owned */
};

static struct run *run_of(struct table_entry *it)
{
	return table_value(it, struct run, by_name);
}

int runs_open(struct runs *rs, uint32_t most, struct err *e)
{
	list_init(&rs->all);
	list_init(&rs->talk);
	list_init(&rs->refusals);
	rs->by_name = (struct table){ 0 };
	rs->busy = 0;
	if (uids_init_host(&rs->uids, most, e) < 0)
		return -1;
	rs->watcher = watcher_new(rs->loop, e);
	if (!rs->watcher) {
		uids_fini(&rs->uids);
		return -1;
	}
	rs->open = true;
	rs->fetcher = fetcher_new(rs->loop, rs->packages);
	rs->uploads = uploads_new(rs->loop);
	uv_timer_init(rs->loop, &rs->again);
	rs->again.data = rs;
	return 0;
}

int runs_load(struct runs *rs, struct err *e)
{
	char **names = NULL;
	size_t count = 0;

	if (runfolder_list(rs->home->runs_fd, &names, &count, e) < 0)
		return err_wrap(e, "list the run folders");
	for (size_t i = 0; i < count; i++) {
		struct err why = { 0 };

		if (run_adopt(rs, names[i], &why) < 0)
			log_error("a run folder cannot be read and is left alone", "run",
				names[i], "why", why.text, NULL);
	}
	runfolder_names_free(names, count);
	return 0;
}

static void drop_refusals(struct runs *rs)
{
	list_each_safe(at, &rs->refusals)
	{
		struct refusal *it = list_entry(at, struct refusal, link);

		list_remove(&it->link);
		free(it->text);
		free(it);
	}
}

static void on_again(uv_timer_t *t)
{
	struct runs *rs = t->data;

	list_each_safe(at, &rs->all) run_try_again(list_entry(at, struct run, all));
}

void runs_close(struct runs *rs)
{
	if (!rs->open)
		return;
	rs->open = false;
	uv_timer_stop(&rs->again);
	environments_stop(rs->environments);
	uv_timer_stop(&rs->again); /* what ended meanwhile may have started it */
	/* Cleanings and removals use their runs until they are done. */
	while (rs->busy)
		uv_run(rs->loop, UV_RUN_ONCE);
	list_each_safe(at, &rs->all) run_free(list_entry(at, struct run, all));
	drop_refusals(rs);
	uv_close((uv_handle_t *)&rs->again, NULL);
	uploads_close(rs->uploads);
	fetcher_close(rs->fetcher);
	watcher_close(rs->watcher);
	uids_fini(&rs->uids);
	table_fini(&rs->by_name);
}

struct run *runs_find(const struct runs *rs, const char *job, int32_t attempt)
{
	char name[RUN_NAME_SIZE];

	if (!id_valid(job, 'j') || attempt < 1)
		return NULL;
	run_name(name, job, attempt);
	struct table_entry *it = table_find_str(&rs->by_name, name);
	return it ? run_of(it) : NULL;
}

struct run *runs_find_last(const struct runs *rs, const char *job)
{
	struct run *last = NULL;

	list_each(at, &rs->all)
	{
		struct run *r = list_entry(at, struct run, all);

		if (strcmp(r->job, job) == 0 && (!last || r->attempt > last->attempt))
			last = r;
	}
	return last;
}

size_t runs_count(const struct runs *rs)
{
	return rs->by_name.count;
}

size_t runs_live(const struct runs *rs)
{
	size_t n = 0;

	list_each(at, &rs->all) n += !run_is_over(list_entry(at, struct run, all));
	return n;
}

void runs_refuse(struct runs *rs, const char *job, int32_t attempt,
	Cumulus__Worker__RefusedKind kind, const char *text)
{
	struct refusal *it = xcalloc(1, sizeof(*it));

	log_info("run refused", "job", job, "why", text, NULL);
	str_join(it->job, sizeof(it->job), job, "", "");
	it->attempt = attempt;
	it->kind = kind;
	it->text = xstrdup(text);
	list_append(&rs->refusals, &it->link);
	rs->wake(rs->user);
}

void runs_use(struct runs *rs, struct wire_client *client)
{
	uploads_use(rs->uploads, client);
	fetcher_use(rs->fetcher, client);
	if (client)
		return;
	drop_refusals(rs);
	list_each(at, &rs->all) run_lose_link(list_entry(at, struct run, all));
}

static void say_refusal(struct refusal *it, struct wire_call *call)
{
	Cumulus__Worker__FromWorker m = CUMULUS__WORKER__FROM_WORKER__INIT;
	Cumulus__Worker__Report report = CUMULUS__WORKER__REPORT__INIT;
	Cumulus__Worker__Refused refused = CUMULUS__WORKER__REFUSED__INIT;
	struct err e = { 0 };

	m.kind_case = CUMULUS__WORKER__FROM_WORKER__KIND_REPORT;
	m.report = &report;
	report.job_id = it->job;
	report.attempt = it->attempt;
	report.number = RUN_FIRST_REPORT;
	report.wall_ns = clock_wall_ns();
	report.kind_case = CUMULUS__WORKER__REPORT__KIND_REFUSED;
	report.refused = &refused;
	refused.kind = it->kind;
	refused.text = it->text;
	if (wire_call_send(call, &m, &e) < 0)
		log_error("cannot refuse", "job", it->job, "why", e.text, NULL);
	list_remove(&it->link);
	free(it->text);
	free(it);
}

bool runs_say(struct runs *rs, struct wire_call *call)
{
	if (!list_empty(&rs->refusals)) {
		say_refusal(list_entry(list_first(&rs->refusals), struct refusal, link),
			call);
		return true;
	}
	while (!list_empty(&rs->talk)) {
		struct run *r = list_entry(list_first(&rs->talk), struct run, talk);

		/* Each in turn; one that has said all leaves. */
		list_remove(&r->talk);
		if (run_say(r, call)) {
			list_append(&rs->talk, &r->talk);
			return true;
		}
	}
	return false;
}

void runs_add(struct runs *rs, struct run *r)
{
	table_add_str(&rs->by_name, &r->by_name, r->name);
	list_append(&rs->all, &r->all);
}

void runs_remove(struct runs *rs, struct run *r)
{
	table_remove(&rs->by_name, &r->by_name);
	list_remove(&r->all);
	list_remove(&r->talk);
}

void runs_talk(struct runs *rs, struct run *r)
{
	if (!r->known)
		return;
	if (list_empty(&r->talk))
		list_append(&rs->talk, &r->talk);
	rs->wake(rs->user);
}

void runs_try_again(struct runs *rs, uint64_t wait_ms)
{
	if (!uv_is_active((uv_handle_t *)&rs->again) ||
		uv_timer_get_due_in(&rs->again) > wait_ms)
		uv_timer_start(&rs->again, on_again, wait_ms, 0);
}
