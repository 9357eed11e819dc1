/* narrator.c - one job's story for a person or, as JSON, for a program. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "narrator.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "file.h"
#include "json.h"
#include "str.h"
#include "text.h"
#include "xalloc.h"

typedef Cumulus__Orchestrator__JobState JobState;

#define STATE(name) CUMULUS__ORCHESTRATOR__JOB_STATE__##name

const char *state_name(JobState state)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(
		&cumulus__orchestrator__job_state__descriptor, (int)state);

	return v ? v->name : "UNKNOWN";
}

const char *reason_name(Cumulus__Orchestrator__Reason reason)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(
		&cumulus__orchestrator__reason__descriptor, (int)reason);

	if (reason == CUMULUS__ORCHESTRATOR__REASON__REASON_NONE)
		return "";
	return v ? v->name : "UNKNOWN";
}

enum colour state_colour(JobState state)
{
	static const enum colour colours[] = {
		[STATE(SCHEDULING)] = COLOUR_DIM,
		[STATE(CREATING_PARTITION)] = COLOUR_DIM,
		[STATE(RUNNING)] = COLOUR_CYAN,
		[STATE(COMPLETED)] = COLOUR_GREEN,
		[STATE(FAILED)] = COLOUR_RED,
		[STATE(CANCELLED)] = COLOUR_YELLOW,
	};

	return (size_t)state < sizeof(colours) / sizeof(*colours) ? colours[state]
								  : COLOUR_NONE;
}

bool state_is_final(JobState state)
{
	return state == STATE(COMPLETED) || state == STATE(FAILED) ||
	       state == STATE(CANCELLED);
}

static int64_t event_ns(const JobEvent *event)
{
	return event->timestamp_ns ? event->timestamp_ns : event->timestamp * NS_PER_S;
}

const char *state_remark(JobState state, const char *message)
{
	return strcasecmp(message, state_name(state)) == 0 ? "" : message;
}

char *narrate_state(const JobEvent *event, int64_t first_ns)
{
	CLEANUP(free_ptr)
	char *message = text_escape(state_remark(event->state, event->message));
	double since = (double)(event_ns(event) - first_ns) / (double)NS_PER_S;
	char at[TIME_SIZE];

	return str_fmt("%s  %+8.3fs  %-*s%s", text_clock(at, event_ns(event)),
		since > 0 ? since : 0, *message ? 20 : 0, state_name(event->state),
		message);
}

char *narrate_live(JobState state, double progress, const char *doing, int64_t elapsed_s,
	size_t columns)
{
	CLEANUP(free_ptr) char *safe = text_escape(doing ? doing : "");
	char bar[BAR_SIZE], span[SPAN_SIZE];
	CLEANUP(free_ptr) char *share = NULL;

	if (state == STATE(RUNNING) && progress > 0)
		share = str_fmt("  %s %3.0f %%", text_bar(bar, progress), progress * 100);

	char *line = str_fmt("%s%s  %s%s%s", state_name(state), share ? share : "",
		text_span(span, elapsed_s), *safe ? "  " : "", safe);

	/* One column stays free: a full line would wrap. */
	if (columns > 1)
		line[text_fit(line, columns - 1)] = '\0';
	return line;
}

/* What takes the last line away; the caller frees it.  It is gone then. */
static char *erasure(struct narrator *n)
{
	size_t columns = terminal_columns(STDERR_FILENO);
	/* A terminal that became narrower has folded the line. */
	size_t folds = n->live && columns ? (n->live - 1) / columns : 0;
	CLEANUP(free_ptr) char *up = folds ? str_fmt("\033[%zuA", folds) : NULL;
	char *erase = n->live ? str_fmt("\r%s\033[J", up ? up : "") : str_fmt("%s", "");

	n->live = 0;
	return erase;
}

static void hide_live(struct narrator *n)
{
	CLEANUP(free_ptr) char *erase = erasure(n);

	put_text(STDERR_FILENO, erase);
}

/* Whatever colour the job left behind, ours is plain. */
static const char *plain(struct narrator *n)
{
	bool was = n->styled;

	n->styled = false;
	return was && n->terminal->err_moves ? "\033[0m" : "";
}

static void show_live(struct narrator *n)
{
	if (!n->terminal->err_moves || n->json || n->quiet || n->mid_line ||
		!n->state_ns || state_is_final(n->state))
		return;

	int64_t elapsed_s = (clock_boot_ns() - n->state_ns) / NS_PER_S;
	CLEANUP(free_ptr)
	char *line = narrate_live(n->state, n->progress, n->doing, elapsed_s,
		terminal_columns(STDERR_FILENO));
	bool colour = n->terminal->err_colour;
	CLEANUP(free_ptr)
	char *erase = erasure(n);
	CLEANUP(free_ptr)
	char *drawn = str_fmt("%s%s%s%s%s", erase, plain(n),
		terminal_colour(colour, COLOUR_DIM), line,
		terminal_colour(colour, COLOUR_NONE));

	put_text(STDERR_FILENO, drawn);
	n->live = text_width(line);
}

/* A line of ours, on a line of its own. */
static void put_line(struct narrator *n, enum colour colour, const char *line)
{
	bool enabled = n->terminal->err_colour && colour != COLOUR_NONE;
	CLEANUP(free_ptr)
	char *whole = str_fmt("%s%s%s%s%s\n", plain(n), n->mid_line ? "\n" : "",
		terminal_colour(enabled, colour), line,
		terminal_colour(enabled, COLOUR_NONE));

	hide_live(n);
	put_text(STDERR_FILENO, whole);
	n->mid_line = false;
	if (n->terminal->out_tty) /* both are one screen */
		n->out_mid_line = false;
}

void narrator_note(struct narrator *n, const char *format, ...)
{
	char fixed[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(fixed, sizeof(fixed), format, args);
	va_end(args);
	if (n->quiet)
		return;

	CLEANUP(free_ptr) char *safe = text_escape(fixed);
	put_line(n, COLOUR_DIM, safe);
	show_live(n);
}

static void tell_output(struct narrator *n, const Cumulus__Orchestrator__Output *output)
{
	bool out = output->stream == CUMULUS__ORCHESTRATOR__OUTPUT_STREAM__STDOUT;
	bool tty = out ? n->terminal->out_tty : n->terminal->err_tty;

	if (output->data.len == 0 ||
		(n->quiet &&
			output->stream == CUMULUS__ORCHESTRATOR__OUTPUT_STREAM__SYSTEM))
		return;
	hide_live(n);
	put_bytes(
		out ? STDOUT_FILENO : STDERR_FILENO, output->data.data, output->data.len);

	bool mid_line = output->data.data[output->data.len - 1] != '\n';

	if (tty) {
		n->mid_line = mid_line;
		n->styled |= memchr(output->data.data, '\033', output->data.len) != NULL;
	}
	if (out)
		n->out_mid_line = mid_line;
}

static void set_doing(struct narrator *n, const char *text)
{
	free(n->doing);
	n->doing = xstrdup(text);
}

static void tell_progress(struct narrator *n, const JobEvent *event)
{
	CLEANUP(free_ptr) char *safe = text_escape(event->message);
	bool changed = (int)(event->progress * 100) != (int)(n->progress * 100);

	n->progress = (double)event->progress;
	set_doing(n, event->message);
	if (n->terminal->err_moves || n->quiet || !changed)
		return;

	CLEANUP(free_ptr)
	char *line = str_fmt(
		"progress %3.0f %%%s%s", n->progress * 100, *safe ? "  " : "", safe);
	put_line(n, COLOUR_NONE, line);
}

static void tell_state(struct narrator *n, const JobEvent *event)
{
	CLEANUP(free_ptr) char *line = narrate_state(event, n->first_ns);

	if (event->state != n->state || !n->state_ns)
		n->state_ns = clock_boot_ns();
	n->state = event->state;
	n->progress = 0;
	set_doing(n, state_remark(event->state, event->message));
	/* How a failure reads matters even to who wants no comments. */
	if (!n->quiet || event->state == STATE(FAILED))
		put_line(n, state_colour(event->state), line);
}

void narrator_event(struct narrator *n, const JobEvent *event)
{
	if (!n->first_ns) {
		n->first_ns = event_ns(event);
		if (!n->json)
			narrator_note(n, "job %s", event->job_id);
	}
	if (n->json)
		json_print_message(&event->base);
	else if (event->output)
		tell_output(n, event->output);
	else if (event->sequence == 0)
		tell_progress(n, event);
	else
		tell_state(n, event);
	show_live(n);
}

void narrator_tick(struct narrator *n)
{
	show_live(n);
}

void narrator_end(struct narrator *n)
{
	hide_live(n);
}

void narrator_fini(struct narrator *n)
{
	narrator_end(n);
	free(n->doing);
	*n = (struct narrator){ 0 };
}

char *result_text(const void *json, size_t len, bool pretty)
{
	json_t *whole = json_loadb(json, len, JSON_DECODE_ANY, NULL);
	json_t *value = json_object_get(whole, "result");
	char *text = whole ? json_text(value ? value : whole, pretty) : NULL;

	json_decref(whole);
	return text ? text : utf8_replace(json, len, NULL);
}

int result_write(const char *file, const void *bytes, size_t len, struct err *e)
{
	if (strcmp(file, "-") == 0) {
		put_bytes(STDOUT_FILENO, bytes, len);
		put_text(STDOUT_FILENO, "\n");
		return 0;
	}

	CLEANUP(close_fd)
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0)
		return err_sys(e, "%s", file);
	if (write_all(fd, bytes, len) < 0 || write_all(fd, "\n", 1) < 0 ||
		close(take_fd(&fd)) < 0)
		return err_sys(e, "write %s", file);
	return 0;
}

int narrator_result(struct narrator *n, const ProtobufCBinaryData *result, struct err *e)
{
	hide_live(n);
	if (n->result_file)
		return result_write(n->result_file, result->data, result->len, e);
	if (n->json) /* the event had it */
		return 0;

	CLEANUP(free_ptr)
	char *text = result_text(result->data, result->len, n->terminal->out_tty);
	CLEANUP(free_ptr)
	char *line = str_fmt("%s%s\n", n->out_mid_line ? "\n" : "", text);

	put_text(STDOUT_FILENO, line);
	n->mid_line = false;
	return 0;
}
