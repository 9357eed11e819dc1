/* follow.c - a state machine between the stream of a job and the person before it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "follow.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "command.h"
#include "message.h"
#include "str.h"
#include "xalloc.h"

#define TICK_MS        1000
#define DETACH_MS      2000
#define RETRY_FIRST_MS 200
#define RETRY_MOST_MS  5000
#define LOST_MOST_MS   60000

enum wish { WISH_FOLLOW, WISH_DETACH, WISH_CANCEL, WISH_LEAVE, WISH_COUNT };

/* What Ctrl-C makes of it; 2 s without another one make DETACH into LEAVE. */
static const enum wish after_interrupt[WISH_COUNT] = {
	[WISH_FOLLOW] = WISH_DETACH,
	[WISH_DETACH] = WISH_CANCEL,
	[WISH_CANCEL] = WISH_LEAVE,
	[WISH_LEAVE] = WISH_LEAVE,
};

struct follow {
	struct remote *remote;
	struct narrator *narrator;
	const struct follow_request *request;

	char *job_id;     /* owned; NULL before the first event */
	int64_t sequence; /* last one told */
	int64_t offset;   /* of output, up to here told */
	bool ended;       /* the terminal event was told */
	enum wish wish;
	struct wire_call *call;   /* the stream; NULL between connections */
	struct wire_call *cancel; /* the request to cancel, while it is open */
	bool cancel_heard;        /* the server answered it */

	int64_t lost_ns;   /* since when there is no connection; 0: there is one */
	uint64_t retry_ms; /* how long to wait before the next try */

	uv_signal_t interrupt, resize;
	uv_timer_t tick, detach, retry;
	unsigned handles; /* of these five, not closed yet */

	bool done;
	enum exit_code code;
};

static void finish(struct follow *f, enum exit_code code)
{
	if (f->done)
		return;
	f->done = true;
	f->code = code;
	narrator_end(f->narrator);
	uv_stop(&f->remote->loop);
}

static void finish_with(struct follow *f, enum exit_code code, const struct err *e)
{
	if (f->done)
		return;
	finish(f, code);
	complain(e);
}

/* ---- the stream */

static void begin_stream(struct follow *f);

static void on_retry(uv_timer_t *timer)
{
	struct follow *f = timer->data;

	remote_hang_up(f->remote);
	begin_stream(f);
}

/* The connection is gone, or never came after it was lost: wait and try again. */
static void lose(struct follow *f, enum exit_code code, const struct err *why)
{
	int64_t now = clock_boot_ns();

	if (!f->lost_ns) {
		f->lost_ns = now;
		f->retry_ms = RETRY_FIRST_MS;
		narrator_note(f->narrator, "connection lost (%s); trying again for %d s",
			why->text, LOST_MOST_MS / 1000);
	}
	if (now - f->lost_ns > LOST_MOST_MS * NS_PER_MS) {
		finish_with(f, code, why);
		if (f->job_id)
			fprintf(stderr, "the job goes on; later: cumulus attach %s\n",
				f->job_id);
		return;
	}
	uv_timer_start(&f->retry, on_retry, f->retry_ms, 0);
	f->retry_ms = f->retry_ms * 2 < RETRY_MOST_MS ? f->retry_ms * 2 : RETRY_MOST_MS;
}

/* Sending the submission again is safe: it carries a key.  A connection that never stood
 * is not one that was lost: then somebody has to start the server. */
static bool may_try_again(
	const struct follow *f, enum wire_over over, enum wire_status status)
{
	bool known = f->remote->up || f->lost_ns;

	if (over == WIRE_OVER_LOST || over == WIRE_OVER_REFUSED)
		return known;
	/* It is on its way down, or the job's story broke off without an end. */
	return f->job_id && over == WIRE_OVER_FINISHED &&
	       (status == WIRE_UNAVAILABLE || status == WIRE_OK);
}

static void on_gone(struct wire_call *call)
{
	struct follow *f = wire_call_user(call);
	struct err e = { 0 };

	if (f->call == call)
		f->call = NULL;
	if (f->done || f->ended)
		return;

	enum exit_code code = remote_failure(f->remote, call, &e);

	if (code != EXIT_NO_PLACE &&
		may_try_again(f, wire_call_over(call), wire_call_status(call)))
		lose(f, code, &e);
	else
		finish_with(f, code, &e);
}

static void on_end_event(struct follow *f, const JobEvent *event)
{
	enum exit_code code = exit_code_of_end(event->state, event->reason);
	struct err e = { 0 };

	f->ended = true;
	if (event->state == CUMULUS__ORCHESTRATOR__JOB_STATE__COMPLETED &&
		narrator_result(f->narrator, &event->result, &e) < 0) {
		finish_with(f, exit_code_of_err(&e), &e);
		return;
	}
	finish(f, code);
}

static void on_message(struct wire_call *call, ProtobufCMessage *message)
{
	struct follow *f = wire_call_user(call);
	JobEvent *event = (JobEvent *)message;

	if (!f->done && !f->ended) {
		f->lost_ns = 0;
		if (!f->job_id)
			f->job_id = xstrdup(event->job_id);
		if (event->sequence > 0)
			f->sequence = event->sequence;
		if (event->output)
			f->offset = event->output->next_offset;
		narrator_event(f->narrator, event);
		if (f->request->only_accept)
			finish(f, EXIT_DONE);
		else if (state_is_final(event->state) && event->sequence > 0)
			on_end_event(f, event);
	}
	wire_message_free(message);
}

static const struct wire_handlers stream_handlers = { .message = on_message,
	.gone = on_gone };

static void ask_to_cancel(struct follow *f);

static void begin_stream(struct follow *f)
{
	Cumulus__Orchestrator__WatchJobRequest watch =
		CUMULUS__ORCHESTRATOR__WATCH_JOB_REQUEST__INIT;
	bool submits = !f->job_id;
	const void *message = submits ? (const void *)f->request->submission : &watch;
	struct err e = { 0 };

	watch.job_id = f->job_id;
	watch.after_sequence = f->sequence;
	watch.output_offset = f->offset;
	f->call = remote_call(f->remote, submits ? REMOTE_SUBMIT_JOB : REMOTE_WATCH_JOB,
		message, &stream_handlers, f, &e);
	if (f->call) {
		if (f->wish == WISH_CANCEL && !f->cancel && !f->cancel_heard)
			ask_to_cancel(f);
		return;
	}
	if (f->lost_ns && e.code == ERR_UNAVAILABLE)
		lose(f, EXIT_NO_ANSWER, &e);
	else
		finish_with(f, exit_code_of_err(&e), &e);
}

/* ---- Ctrl-C */

static void on_cancel_gone(struct wire_call *call)
{
	struct follow *f = wire_call_user(call);
	struct err e = { 0 };

	f->cancel = NULL;
	if (!f->done && wire_call_err(call, &e) < 0)
		narrator_note(f->narrator, "cancel: %s", e.text);
}

static void on_cancel_message(struct wire_call *call, ProtobufCMessage *message)
{
	struct follow *f = wire_call_user(call);

	f->cancel_heard = true;
	wire_message_free(message);
}

static const struct wire_handlers cancel_handlers = { .message = on_cancel_message,
	.gone = on_cancel_gone };

static void ask_to_cancel(struct follow *f)
{
	Cumulus__Orchestrator__JobCancelRequest request =
		CUMULUS__ORCHESTRATOR__JOB_CANCEL_REQUEST__INIT;
	struct err e = { 0 };

	request.job_id = f->job_id;
	f->cancel = remote_call(
		f->remote, REMOTE_CANCEL_JOB, &request, &cancel_handlers, f, &e);
	if (!f->cancel)
		narrator_note(f->narrator, "cancel: %s", e.text);
}

static void leave(struct follow *f)
{
	finish(f, f->wish == WISH_CANCEL ? EXIT_JOB_CANCELLED : EXIT_DONE);
}

static void on_detach_time(uv_timer_t *timer)
{
	struct follow *f = timer->data;

	if (f->wish == WISH_DETACH)
		leave(f);
}

static void on_interrupt(uv_signal_t *handle, int number)
{
	struct follow *f = handle->data;
	enum wish before = f->wish;

	(void)number;
	if (!f->job_id || f->request->only_accept) {
		struct err e = { 0 };

		err_set(&e, ERR_UNAVAILABLE,
			"interrupted before the server answered; cumulus ps shows "
			"whether "
			"it has the job");
		finish_with(f, EXIT_NO_ANSWER, &e);
		return;
	}
	f->wish = after_interrupt[before];
	if (f->wish == WISH_DETACH) {
		narrator_note(f->narrator,
			"detaching: the job goes on; Ctrl-C again cancels it; later: "
			"cumulus attach %s",
			f->job_id);
		uv_timer_start(&f->detach, on_detach_time, DETACH_MS, 0);
	} else if (f->wish == WISH_CANCEL) {
		uv_timer_stop(&f->detach);
		narrator_note(f->narrator, "cancelling %s; Ctrl-C leaves", f->job_id);
		/* Between connections it waits for the next one. */
		if (f->call)
			ask_to_cancel(f);
	} else {
		f->wish = before;
		leave(f);
	}
}

/* ---- the loop */

static void on_tick(uv_timer_t *timer)
{
	struct follow *f = timer->data;

	narrator_tick(f->narrator);
}

static void on_resize(uv_signal_t *handle, int number)
{
	struct follow *f = handle->data;

	(void)number;
	narrator_tick(f->narrator);
}

static void on_handle_closed(uv_handle_t *handle)
{
	struct follow *f = handle->data;

	f->handles--;
}

static void open_handles(struct follow *f)
{
	uv_loop_t *loop = &f->remote->loop;

	if (uv_signal_init(loop, &f->interrupt) || uv_signal_init(loop, &f->resize) ||
		uv_timer_init(loop, &f->tick) || uv_timer_init(loop, &f->detach) ||
		uv_timer_init(loop, &f->retry) ||
		uv_signal_start(&f->interrupt, on_interrupt, SIGINT) ||
		uv_signal_start(&f->resize, on_resize, SIGWINCH) ||
		uv_timer_start(&f->tick, on_tick, TICK_MS, TICK_MS))
		abort();
	f->interrupt.data = f->resize.data = f->tick.data = f->detach.data =
		f->retry.data = f;
	f->handles = 5;
}

static void close_handles(struct follow *f)
{
	uv_close((uv_handle_t *)&f->interrupt, on_handle_closed);
	uv_close((uv_handle_t *)&f->resize, on_handle_closed);
	uv_close((uv_handle_t *)&f->tick, on_handle_closed);
	uv_close((uv_handle_t *)&f->detach, on_handle_closed);
	uv_close((uv_handle_t *)&f->retry, on_handle_closed);
	while (f->handles > 0)
		uv_run(&f->remote->loop, UV_RUN_ONCE);
}

enum exit_code follow(struct remote *remote, struct narrator *narrator,
	const struct follow_request *request, char **job_id)
{
	struct follow f = { .remote = remote, .narrator = narrator, .request = request };

	if (request->job_id)
		f.job_id = xstrdup(request->job_id);
	open_handles(&f);
	begin_stream(&f);
	while (!f.done)
		uv_run(&remote->loop, UV_RUN_DEFAULT);
	/* Calls that are open end here, silently: f is done. */
	remote_hang_up(remote);
	close_handles(&f);
	if (job_id)
		*job_id = take_ptr(&f.job_id);
	free(f.job_id);
	return f.code;
}
