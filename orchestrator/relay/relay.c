/* relay.c - feeds the core, carries out its effects. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "relay.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "frame.h"
#include "log.h"
#include "str.h"
#include "table.h"
#include "xalloc.h"

struct request {
	struct table_entry entry;
	core_token token; /* the key */
	relay_on_answer *on_answer;
	void *ctx;
};

/* The watchers of one job; there while it has any. */
struct audience {
	struct relay *relay;
	struct table_entry entry;
	char job[ID_SIZE];
	struct list watchers;
};

/* A START on its way: the core's decision and the stored submission meet here. */
struct departure {
	struct table_entry entry;
	struct relay *relay;
	char job[ID_SIZE];
	bool decided, asked, known;
	bool stale;          /* its placement was taken back */
	struct effect start; /* once decided */
	struct effect stop;  /* overtaken by nothing: it leaves after the start */
	bool stop_waits;
	struct store_spec spec; /* once known; bytes owned */
};

/* What an ended run's output must reach before its end is taken. */
struct ending {
	struct table_entry entry;
	char run[RUN_NAME_SIZE];
	int64_t end;
};

struct relay {
	struct core *core;
	struct store *store;
	struct output *output;
	struct uploads *uploads;
	struct relay_commands commands;
	struct core_time now;
	bool in_turn;
	bool closing;
	core_token last_token;
	struct table requests, audiences, departures, endings;
	size_t watchers;
	struct tally tally;

	uv_async_t wake; /* from the store's and the files' threads */
	uv_timer_t timer;
	uv_prepare_t before_poll;
	unsigned handles_open;

	void (*on_failed)(void *ctx, const struct err *why);
	void *ctx;
};

struct core *relay_core(struct relay *relay)
{
	return relay->core;
}

struct store *relay_store(struct relay *relay)
{
	return relay->store;
}

struct output *relay_output(struct relay *relay)
{
	return relay->output;
}

struct uploads *relay_uploads(struct relay *relay)
{
	return relay->uploads;
}

const struct tally *relay_tally(const struct relay *relay)
{
	return &relay->tally;
}

size_t relay_watchers(const struct relay *relay)
{
	return relay->watchers;
}

const struct core_time *relay_now(struct relay *relay)
{
	relay->now = (struct core_time){ clock_boot_ns(), clock_wall_ns() };
	return &relay->now;
}

void relay_set_commands(struct relay *relay, const struct relay_commands *commands)
{
	relay->commands = *commands;
}

/* ---- requests */

static core_token add_request(struct relay *relay, relay_on_answer *on_answer, void *ctx)
{
	struct request *r = xcalloc(1, sizeof(*r));

	r->token = ++relay->last_token;
	r->on_answer = on_answer;
	r->ctx = ctx;
	table_add(&relay->requests, &r->entry, &r->token, sizeof(r->token));
	return r->token;
}

static void answer(struct relay *relay, const struct effect *effect)
{
	struct table_entry *found =
		table_find(&relay->requests, &effect->token, sizeof(effect->token));

	assert(found); /* each token is answered once */

	struct request *r = table_value(found, struct request, entry);
	table_remove(&relay->requests, &r->entry);
	r->on_answer(r->ctx, effect);
	free(r);
}

struct submitting {
	struct relay *relay;
	struct submission *submission;
	core_token token;
};

static void submit_now(struct relay *relay, core_token token, struct submission *s,
	const struct core_known_key *known)
{
	const struct core_time *now = relay_now(relay);
	char id[ID_SIZE];

	id_make_at(id, 'j', now->wall_ns);
	core_submit(relay->core, now, token, id, s, known);
	relay_turn(relay);
}

static void on_key(void *ctx, const struct core_known_key *known)
{
	struct submitting *s = ctx;

	submit_now(s->relay, s->token, s->submission, known);
	free(s);
}

/* The disk has no room for new jobs; what was accepted goes on. */
static bool refuse_for_disk(struct relay *relay, core_token token)
{
	struct effect full = { .kind = EFFECT_ANSWER, .token = token };

	if (!store_disk_low(relay->store))
		return false;
	err_set(&full.error, ERR_EXHAUSTED,
		"the orchestrator's disk is at its low-water mark");
	answer(relay, &full);
	return true;
}

void relay_submit(
	struct relay *relay, struct submission *s, relay_on_answer *on_answer, void *ctx)
{
	core_token token = add_request(relay, on_answer, ctx);

	if (refuse_for_disk(relay, token)) {
		submission_free(s);
		return;
	}
	if (!s->key) {
		submit_now(relay, token, s, &(struct core_known_key){ .found = false });
		return;
	}

	struct submitting *later = xmalloc(sizeof(*later));
	*later = (struct submitting){ relay, s, token };
	store_find_key(relay->store, s->owner, s->key, on_key, later);
}

void relay_cancel(
	struct relay *relay, const char *job, relay_on_answer *on_answer, void *ctx)
{
	core_cancel(
		relay->core, relay_now(relay), add_request(relay, on_answer, ctx), job);
	relay_turn(relay);
}

void relay_wish_worker(struct relay *relay, const char *worker, enum worker_wish wish,
	relay_on_answer *on_answer, void *ctx)
{
	core_wish_worker(relay->core, relay_now(relay),
		add_request(relay, on_answer, ctx), worker, wish);
	relay_turn(relay);
}

void relay_await(
	struct relay *relay, uint64_t number, relay_on_answer *on_answer, void *ctx)
{
	core_await(relay->core, number, add_request(relay, on_answer, ctx));
	relay_turn(relay);
}

/* ---- watchers */

void relay_watch(struct relay *relay, const char *job, struct relay_watch *w)
{
	struct table_entry *found = table_find_str(&relay->audiences, job);
	struct audience *a;

	if (found) {
		a = table_value(found, struct audience, entry);
	} else {
		a = xcalloc(1, sizeof(*a));
		a->relay = relay;
		str_put(a->job, sizeof(a->job), "%s", job);
		list_init(&a->watchers);
		table_add_str(&relay->audiences, &a->entry, a->job);
	}
	list_append(&a->watchers, &w->link);
	w->audience = a;
	relay->watchers++;
}

void relay_unwatch(struct relay_watch *w)
{
	struct audience *a = w->audience;

	if (!a)
		return;
	w->audience = NULL;
	list_remove(&w->link);
	a->relay->watchers--;
	if (!list_empty(&a->watchers))
		return;
	table_remove(&a->relay->audiences, &a->entry);
	free(a);
}

static void wake_watchers(struct relay *relay, const char *job)
{
	struct table_entry *found = table_find_str(&relay->audiences, job);

	if (!found)
		return;

	/* A wake-up only asks the call for a pull: nobody leaves meanwhile. */
	list_each(it, &table_value(found, struct audience, entry)->watchers)
	{
		struct relay_watch *w = list_entry(it, struct relay_watch, link);

		w->wake(w->ctx);
	}
}

/* ---- starts */

static void free_departure(struct relay *relay, struct departure *d)
{
	table_remove(&relay->departures, &d->entry);
	if (d->decided)
		effect_fini(&d->start);
	free(d->spec.bytes);
	free(d);
}

static struct departure *find_departure(struct relay *relay, const char *job)
{
	struct table_entry *found = table_find_str(&relay->departures, job);

	return found ? table_value(found, struct departure, entry) : NULL;
}

static void depart_when_complete(struct departure *d)
{
	struct relay *relay = d->relay;

	if (!d->decided || !d->known)
		return;
	relay->commands.start(relay->commands.ctx, &d->start, &d->spec);
	if (d->stop_waits)
		relay->commands.command(relay->commands.ctx, &d->stop);
	free_departure(relay, d);
}

static void on_spec(void *ctx, struct store_spec *spec, const struct err *failed)
{
	struct departure *d = ctx;

	d->asked = false;
	if (d->stale && !d->decided) {
		free_departure(d->relay, d);
		return;
	}
	if (failed) {
		/* A placed job's row is kept as long as its lease: this cannot be. */
		log_error("stored submission is missing", "job", d->job, "why",
			failed->text, NULL);
		free_departure(d->relay, d);
		return;
	}
	d->spec = *spec;
	spec->bytes = NULL;
	d->known = true;
	depart_when_complete(d);
}

/* Asked for right behind the placement's record, the answer comes with its commit and
 * costs no time of its own. */
static struct departure *prepare_departure(struct relay *relay, const char *job)
{
	struct departure *d = find_departure(relay, job);

	if (d) {
		d->stale = false;
		return d;
	}
	d = xcalloc(1, sizeof(*d));
	d->relay = relay;
	str_put(d->job, sizeof(d->job), "%s", job);
	table_add_str(&relay->departures, &d->entry, d->job);
	d->asked = true;
	store_get_spec(relay->store, job, on_spec, d);
	return d;
}

static void start(struct relay *relay, struct effect *effect)
{
	struct departure *d = prepare_departure(relay, effect->job);

	if (d->decided)
		effect_fini(&d->start);
	d->start = *effect;
	*effect = (struct effect){ 0 }; /* moved */
	d->decided = true;
	d->stop_waits = false;
	depart_when_complete(d);
}

static void stop(struct relay *relay, const struct effect *effect)
{
	struct departure *d = find_departure(relay, effect->job);

	if (d && d->decided && d->start.attempt == effect->attempt) {
		d->stop = *effect; /* plain values only */
		d->stop_waits = true;
		return;
	}
	relay->commands.command(relay->commands.ctx, effect);
}

/* A placement that was taken back before its start leaves a departure nobody decides. */
static void drop_stale_departure(struct relay *relay, const struct record *r)
{
	struct departure *d = find_departure(relay, r->job);

	if (d && d->asked)
		d->stale = true; /* the answer frees it */
	else if (d && !d->decided)
		free_departure(relay, d);
}

/* ---- effects */

static void post(struct relay *relay, struct record *r)
{
	bool placed = r->facts.state == JOB_CREATING_PARTITION && r->event.sequence > 0;
	char job[ID_SIZE];

	memcpy(job, r->job, sizeof(job));
	if (!placed)
		drop_stale_departure(relay, r);
	store_post(relay->store, r);
	if (placed)
		prepare_departure(relay, job);
}

static void log_move(const struct effect *e)
{
	char attempt[16];

	str_put(attempt, sizeof(attempt), "%d", e->attempt);
	if (!*e->job) {
		log_warn("core", "why", e->text, NULL);
		return;
	}
	log_info("job moved", "job", e->job, "from",
		e->from == JOB_NONE ? "" : job_state_name(e->from), "to",
		job_state_name(e->to), "attempt", attempt, "worker", e->worker, "reason",
		job_reason_name(e->reason), "why", e->text, NULL);
}

static void on_timer(uv_timer_t *timer)
{
	struct relay *relay = timer->data;

	core_tick(relay->core, relay_now(relay));
	relay_turn(relay);
}

static void wake_at(struct relay *relay, int64_t boot_ns)
{
	int64_t left = boot_ns - clock_boot_ns();
	/* One more, since the loop's own time is rounded down: a tick before the time would
	 * only ask again. */
	uint64_t ms = left > 0 ? (uint64_t)(left / NS_PER_MS) + 2 : 0;

	uv_update_time(relay->timer.loop);
	uv_timer_start(&relay->timer, on_timer, ms, 0);
}

static void carry_out(struct relay *relay, struct effect *e)
{
	switch (e->kind) {
	case EFFECT_RECORD:
		post(relay, take_ptr(&e->record));
		break;
	case EFFECT_ANSWER:
	case EFFECT_READY:
		answer(relay, e);
		break;
	case EFFECT_JOB_MOVED:
	case EFFECT_PROGRESS:
		wake_watchers(relay, e->job);
		break;
	case EFFECT_START:
		start(relay, e);
		break;
	case EFFECT_STOP:
		stop(relay, e);
		break;
	case EFFECT_WELCOME:
	case EFFECT_COMMITTED:
	case EFFECT_FORGET:
		relay->commands.command(relay->commands.ctx, e);
		break;
	case EFFECT_WAKE_AT:
		wake_at(relay, e->boot_ns);
		break;
	case EFFECT_LOG:
		log_move(e);
		tally_moved(&relay->tally, relay->core, e);
		break;
	}
}

/* What an effect calls may bring the next input; its effects join the queue. */
void relay_turn(struct relay *relay)
{
	struct effect e;

	if (relay->in_turn || relay->closing)
		return;
	relay->in_turn = true;
	while (core_next_effect(relay->core, &e)) {
		carry_out(relay, &e);
		effect_fini(&e);
	}
	relay->in_turn = false;
}

/* ---- reports and output */

static void on_synced(void *ctx, int64_t end, const struct err *failed);

struct syncing {
	struct relay *relay;
	char job[ID_SIZE];
	int32_t attempt;
};

static void sync_output(struct relay *relay, const char *job, int32_t attempt)
{
	struct syncing *s = xcalloc(1, sizeof(*s));

	s->relay = relay;
	str_put(s->job, sizeof(s->job), "%s", job);
	s->attempt = attempt;
	output_sync(relay->output, job, attempt, on_synced, s);
}

static struct ending *find_ending(struct relay *relay, const char *job, int32_t attempt)
{
	char run[RUN_NAME_SIZE];

	run_name(run, job, attempt);
	struct table_entry *found = table_find_str(&relay->endings, run);
	return found ? table_value(found, struct ending, entry) : NULL;
}

static void free_ending(struct relay *relay, struct ending *ending)
{
	table_remove(&relay->endings, &ending->entry);
	free(ending);
}

static void on_synced(void *ctx, int64_t end, const struct err *failed)
{
	struct syncing *s = ctx;
	struct relay *relay = s->relay;
	struct ending *ending = find_ending(relay, s->job, s->attempt);

	if (failed) {
		log_warn("output is not durable yet", "job", s->job, "why", failed->text,
			NULL);
	} else {
		if (ending && end >= ending->end)
			free_ending(relay, ending);
		core_output_size(relay->core, s->job, s->attempt,
			output_data(relay->output, s->job, s->attempt));
		core_output_durable(
			relay->core, relay_now(relay), s->job, s->attempt, end);
		relay_turn(relay);
	}
	free(s);
}

void relay_output_settle(struct relay *relay, const char *job, int32_t attempt)
{
	sync_output(relay, job, attempt);
}

void relay_report(struct relay *relay, const struct core_report *r)
{
	core_report(relay->core, relay_now(relay), r);
	if (r->kind == REPORT_ENDED) {
		if (!find_ending(relay, r->job, r->attempt)) {
			struct ending *ending = xcalloc(1, sizeof(*ending));

			run_name(ending->run, r->job, r->attempt);
			ending->end = r->output_end;
			table_add_str(&relay->endings, &ending->entry, ending->run);
		}
		sync_output(relay, r->job, r->attempt);
	}
	relay_turn(relay);
}

struct appending {
	struct relay *relay;
	char job[ID_SIZE];
	int32_t attempt;
	output_on_end *on_end;
	void *ctx;
};

static void on_appended(void *ctx, int64_t end, const struct err *failed)
{
	struct appending *a = ctx;
	struct ending *ending = find_ending(a->relay, a->job, a->attempt);

	a->on_end(a->ctx, end, failed);
	if (!failed)
		wake_watchers(a->relay, a->job);
	if (ending && end >= ending->end)
		sync_output(a->relay, a->job, a->attempt);
	free(a);
}

void relay_output_append(struct relay *relay, const char *job, int32_t attempt,
	int64_t position, uint8_t *bytes, size_t len, output_on_end *on_end, void *ctx)
{
	struct appending *a = xcalloc(1, sizeof(*a));

	a->relay = relay;
	str_put(a->job, sizeof(a->job), "%s", job);
	a->attempt = attempt;
	a->on_end = on_end;
	a->ctx = ctx;
	output_append(relay->output, job, attempt, position, bytes, len, on_appended, a);
}

/* ---- what comes back from the threads */

static void on_committed(void *ctx, uint64_t number)
{
	struct relay *relay = ctx;

	core_committed(relay->core, relay_now(relay), number);
	relay_turn(relay);
}

static void on_refused(void *ctx, uint64_t number, const struct err *why)
{
	struct relay *relay = ctx;

	core_refused(relay->core, relay_now(relay), number, why);
	relay_turn(relay);
}

static void on_failed(void *ctx, const struct err *why)
{
	struct relay *relay = ctx;

	relay->on_failed(relay->ctx, why);
}

struct removing {
	struct relay *relay;
	char job[ID_SIZE];
};

static void on_output_removed(void *ctx, const struct err *failed)
{
	struct removing *r = ctx;

	if (failed)
		log_warn("output of a removed job stays", "job", r->job, "why",
			failed->text, NULL);
	else
		store_output_removed(r->relay->store, r->job);
	free(r);
}

static void on_history_removed(void *ctx, const char *job, int32_t attempts)
{
	struct removing *r = xcalloc(1, sizeof(*r));

	r->relay = ctx;
	str_put(r->job, sizeof(r->job), "%s", job);
	output_remove(r->relay->output, job, attempts, on_output_removed, r);
}

static void wake_from_thread(void *ctx)
{
	struct relay *relay = ctx;

	uv_async_send(&relay->wake);
}

static void on_wake(uv_async_t *async)
{
	struct relay *relay = async->data;

	store_deliver(relay->store);
	output_deliver(relay->output);
	uploads_deliver(relay->uploads);
}

/* Once per turn of the loop: all that this turn staged becomes one group. */
static void on_before_poll(uv_prepare_t *prepare)
{
	struct relay *relay = prepare->data;

	store_kick(relay->store);
}

/* ---- opening and closing */

static int restore_worker(void *ctx, const char *id, bool draining, struct err *e)
{
	return core_restore_worker(((struct relay *)ctx)->core, id, draining, e);
}

static int restore_job(void *ctx, const char *id, struct job_facts *facts,
	struct submission *submission, struct err *e)
{
	struct relay *relay = ctx;
	int32_t attempt = facts->leased ? facts->attempt : 0;

	if (core_restore_job(relay->core, id, facts, submission, e) < 0)
		return -1;
	/* Should its worker never come back, the story ends where our copy does. */
	if (attempt > 0)
		sync_output(relay, id, attempt);
	return 0;
}

static int open_store(
	struct relay *relay, const struct relay_config *config, struct err *e)
{
	struct core_config core = config->core;

	relay->store = store_open(&config->store, e);
	if (!relay->store)
		return err_wrap(e, "open the store");
	str_put(core.cluster_id, sizeof(core.cluster_id), "%s",
		store_cluster_id(relay->store));
	relay->core = core_new(&core);
	if (store_restore_workers(relay->store, restore_worker, relay, e) < 0 ||
		store_restore(relay->store, restore_job, relay, e) < 0 ||
		core_restored(relay->core, relay_now(relay), e) < 0)
		return err_wrap(e, "restore jobs");
	return 0;
}

static size_t whole_frames(const uint8_t *bytes, size_t len, size_t *data)
{
	struct frame_run run = frame_scan(bytes, len, len);

	*data = run.data;
	return run.size;
}

static int open_output(
	struct relay *relay, const struct relay_config *config, struct err *e)
{
	const struct output_config output = {
		.dirfd = config->folder_fd,
		.whole_frames = whole_frames,
		.file_bytes_max = 0,
		.ctx = relay,
		.wake = wake_from_thread,
		.on_failed = on_failed,
	};

	relay->output = output_open(&output, e);
	return relay->output ? 0 : err_wrap(e, "open the output folder");
}

static int open_uploads(
	struct relay *relay, const struct relay_config *config, struct err *e)
{
	const struct uploads_config uploads = {
		.dirfd = config->folder_fd,
		.ctx = relay,
		.wake = wake_from_thread,
		.on_failed = on_failed,
		.check = config->package_check,
	};

	relay->uploads = uploads_open(&uploads, e);
	return relay->uploads ? 0 : err_wrap(e, "open the folder of packages");
}

static void open_handles(struct relay *relay, uv_loop_t *loop)
{
	if (uv_async_init(loop, &relay->wake, on_wake) != 0)
		abort();
	uv_timer_init(loop, &relay->timer);
	uv_prepare_init(loop, &relay->before_poll);
	uv_prepare_start(&relay->before_poll, on_before_poll);
	relay->wake.data = relay->timer.data = relay->before_poll.data = relay;
	relay->handles_open = 3;
}

struct relay *relay_open(const struct relay_config *config, struct err *e)
{
	const struct store_callbacks callbacks = {
		.wake = wake_from_thread,
		.on_committed = on_committed,
		.on_refused = on_refused,
		.on_failed = on_failed,
		.on_removed = on_history_removed,
	};
	struct store_callbacks with_ctx = callbacks;
	struct relay *relay = xcalloc(1, sizeof(*relay));

	tally_init(&relay->tally);
	relay->on_failed = config->on_failed;
	relay->ctx = config->ctx;
	open_handles(relay, config->loop);
	with_ctx.ctx = relay;
	if (open_output(relay, config, e) < 0 || open_store(relay, config, e) < 0 ||
		open_uploads(relay, config, e) < 0 ||
		store_start(relay->store, &with_ctx, e) < 0) {
		relay_close(relay);
		return NULL;
	}
	relay_turn(relay);
	return relay;
}

static void free_tables(struct relay *relay)
{
	for (struct table_entry *it; (it = table_next(&relay->requests, NULL));) {
		table_remove(&relay->requests, it);
		free(table_value(it, struct request, entry));
	}
	for (struct table_entry *it; (it = table_next(&relay->audiences, NULL));) {
		struct audience *a = table_value(it, struct audience, entry);

		list_each_safe(link, &a->watchers)
		{
			list_entry(link, struct relay_watch, link)->audience = NULL;
			list_remove(link);
		}
		table_remove(&relay->audiences, it);
		free(a);
	}
	for (struct table_entry *it; (it = table_next(&relay->departures, NULL));)
		free_departure(relay, table_value(it, struct departure, entry));
	for (struct table_entry *it; (it = table_next(&relay->endings, NULL));)
		free_ending(relay, table_value(it, struct ending, entry));
	table_fini(&relay->requests);
	table_fini(&relay->audiences);
	table_fini(&relay->departures);
	table_fini(&relay->endings);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct relay *relay = handle->data;

	if (--relay->handles_open == 0)
		free(relay);
}

void relay_close(struct relay *relay)
{
	if (!relay)
		return;
	relay->closing = true;
	/* What was asked is answered, so that whoever asked can let go of it. */
	if (relay->output) {
		output_stop(relay->output);
		output_deliver(relay->output);
	}
	if (relay->uploads) {
		uploads_stop(relay->uploads);
		uploads_deliver(relay->uploads);
	}
	if (relay->store) {
		store_stop(relay->store);
		store_deliver(relay->store);
	}
	uploads_close(relay->uploads);
	output_close(relay->output);
	store_close(relay->store);
	free_tables(relay);
	core_free(relay->core);
	uv_close((uv_handle_t *)&relay->wake, on_handle_closed);
	uv_close((uv_handle_t *)&relay->timer, on_handle_closed);
	uv_close((uv_handle_t *)&relay->before_poll, on_handle_closed);
}
