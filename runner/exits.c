/* exits.c - from how a container ended to what is reported about it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "exits.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "file.h"
#include "str.h"
#include "xalloc.h"

#define RECORD_MAX ((size_t)4096)

/* ---- the record ---- */

static const struct {
	const char *word;
	enum exit_kind kind;
} record_words[] = {
	{ "exited", EXIT_EXITED },
	{ "signaled", EXIT_SIGNALED },
	{ "guard", EXIT_GUARD },
	{ "filter", EXIT_FILTER },
	{ "fork", EXIT_FORK },
	{ "exec", EXIT_EXEC },
	{ "lifeline", EXIT_LIFELINE },
};

/* The first line is the cause: after "exec N" init adds how that child exited. */
static struct exit_record record_parse(const char *text)
{
	char word[16];
	int n;

	if (!strchr(text, '\n') || sscanf(text, "%15s %d", word, &n) != 2)
		return (struct exit_record){ 0 };
	for (size_t i = 0; i < sizeof(record_words) / sizeof(*record_words); i++) {
		if (strcmp(word, record_words[i].word) == 0)
			return (struct exit_record){ record_words[i].kind, n };
	}
	return (struct exit_record){ 0 };
}

int exit_record_read(int dirfd, struct exit_record *out, struct err *e)
{
	CLEANUP(buf_fini) struct buf text = { 0 };
	struct err read_e;

	if (file_read(dirfd, RUN_FILE_EXIT, RECORD_MAX, &text, &read_e) < 0 &&
		read_e.code != ERR_NOT_FOUND)
		return err_set(e, read_e.code, "%s", read_e.text);
	buf_add(&text, "", 1);
	*out = record_parse((const char *)text.data);
	return 0;
}

/* ---- the verdict ---- */

const char *signal_name(int signal, char out[24])
{
	const char *name = signal > 0 ? sigabbrev_np(signal) : NULL;

	if (name)
		snprintf(out, 24, "SIG%s", name);
	else
		snprintf(out, 24, "signal %d", signal);
	return out;
}

/* "4 GiB", "3.5 MiB", "100 bytes". */
static const char *format_bytes(int64_t bytes, char out[32])
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
	int64_t unit = 1024;
	size_t i = 0;

	if (bytes < unit) {
		snprintf(out, 32, "%" PRId64 " bytes", bytes);
		return out;
	}
	for (; i + 1 < sizeof(units) / sizeof(*units) && bytes >= unit * 1024; i++)
		unit *= 1024;
	if (bytes % unit == 0)
		snprintf(out, 32, "%" PRId64 " %s", bytes / unit, units[i]);
	else
		snprintf(out, 32, "%.1f %s", (double)bytes / (double)unit, units[i]);
	return out;
}

void line_put(char *out, size_t size, const char *a, const char *b)
{
	CLEANUP(free_ptr) char *both = str_fmt("%s%s", a, b);
	CLEANUP(free_ptr) char *valid = utf8_replace(both, strlen(both), NULL);

	str_join(out, size, valid, "", "");
	utf8_one_line(out);
}

PRINTF_LIKE(3, 4)
static void set(
	struct verdict *v, Cumulus__Orchestrator__Reason reason, const char *format, ...)
{
	char text[2 * RUN_MESSAGE_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	str_trim_utf8(text);
	v->reason = reason;
	line_put(v->message, sizeof(v->message), text, "");
}

#define REASON(name) CUMULUS__ORCHESTRATOR__REASON__##name

static void verdict_overdue(const struct ending *in, struct verdict *v)
{
	set(v, REASON(DURATION_EXCEEDED), "duration of %d s exceeded", in->duration_s);
}

static void verdict_stopped(const struct ending *in, struct verdict *v)
{
	switch (in->stop_why) {
	case CUMULUS__WORKER__STOP_WHY__STOP_PAUSE:
		set(v, REASON(PAUSED), "paused");
		return;
	case CUMULUS__WORKER__STOP_WHY__STOP_DRAIN:
		set(v, REASON(WORKER_LOST), "stopped: its worker is being drained");
		return;
	case CUMULUS__WORKER__STOP_WHY__STOP_BACKSTOP:
		verdict_overdue(in, v);
		return;
	case CUMULUS__WORKER__STOP_WHY__STOP_CANCEL:
	default: /* a newer cumulusd's reason: still, somebody asked */
		set(v, REASON(CANCELLED_BY_USER), "cancelled");
		return;
	}
}

/* The job's process ended, and nothing else explains why. */
static void verdict_by_record(const struct ending *in, struct verdict *v)
{
	const struct exit_record *exit = &in->exit;
	char text[32], name[24];

	if (in->oom_kills > 0 && ((exit->kind == EXIT_SIGNALED && exit->n == SIGKILL) ||
					 exit->kind == EXIT_UNKNOWN)) {
		set(v, REASON(OUT_OF_MEMORY), "out of memory: limit %s",
			format_bytes(in->memory_limit, text));
		return;
	}
	switch (exit->kind) {
	case EXIT_EXITED:
		/* 0 is no success: who ended the process kept main() from returning. */
		set(v, REASON(EXITED), "exited with status %d%s", exit->n,
			exit->n ? "" : " before main() returned");
		return;
	case EXIT_SIGNALED:
		set(v, REASON(SIGNALED), "killed by %s (%d)", signal_name(exit->n, name),
			exit->n);
		return;
	case EXIT_GUARD:
		set(v, REASON(CONTAINER_FAILED),
			"container: /sys in it is not its own; the job was not started");
		return;
	case EXIT_FILTER:
		set(v, REASON(CONTAINER_FAILED), "container: system call filter: %s",
			strerror(exit->n));
		return;
	case EXIT_FORK:
		set(v, REASON(CONTAINER_FAILED), "container: fork: %s",
			strerror(exit->n));
		return;
	case EXIT_EXEC:
		set(v, REASON(CONTAINER_FAILED), "container: start /usr/bin/python3: %s",
			strerror(exit->n));
		return;
	case EXIT_LIFELINE:
		set(v, REASON(RUNNER_LOST), "the job's runner was lost");
		return;
	case EXIT_UNKNOWN:
		set(v, REASON(CONTAINER_FAILED),
			"container: it was killed from outside the job");
		return;
	}
}

/* Behind a dead runner: its memory of the job is gone, only files speak. */
static void verdict_lost(const struct ending *in, struct verdict *v)
{
	bool told = in->exit.kind != EXIT_LIFELINE && in->exit.kind != EXIT_UNKNOWN;
	bool fine = in->exit.kind == EXIT_EXITED && in->exit.n == 0;

	if (in->has_result)
		set(v, REASON(REASON_NONE), "%s", "");
	else if (in->stopped)
		verdict_stopped(in, v);
	else if (in->deadline)
		verdict_overdue(in, v);
	else if (told && !fine)
		verdict_by_record(in, v);
	else if (in->oom_kills > 0 && in->exit.kind == EXIT_UNKNOWN)
		verdict_by_record(in, v);
	else
		set(v, REASON(RUNNER_LOST), "the job's runner was lost%s%s",
			str_empty(in->failure) ? "" : ": ",
			str_empty(in->failure) ? "" : in->failure);
}

static void verdict_seen(const struct ending *in, struct verdict *v)
{
	char text[32];

	if (in->disk_full) {
		set(v, REASON(DISK_LIMIT), "disk limit of %s exceeded",
			format_bytes(in->disk_limit, text));
		return;
	}
	if (in->deadline) {
		verdict_overdue(in, v);
		return;
	}
	if (in->stopped && (in->stop_why == CUMULUS__WORKER__STOP_WHY__STOP_CANCEL ||
				   in->result != RESULT_SUCCESS)) {
		verdict_stopped(in, v);
		return;
	}
	if (in->share_gone && in->result != RESULT_SUCCESS) {
		set(v, REASON(PARTITION_FAILED),
			"partition: it was released by somebody else");
		return;
	}
	switch (in->result) {
	case RESULT_SUCCESS:
		set(v, REASON(REASON_NONE), "%s", "");
		return;
	case RESULT_FAILURE:
		set(v, REASON(CODE_FAILED), "%s", in->failure);
		return;
	case RESULT_INVALID:
		set(v, REASON(RESULT_INVALID), "%s", in->failure);
		return;
	case RESULT_TOO_LARGE:
		set(v, REASON(RESULT_TOO_LARGE), "result is larger than %s",
			format_bytes(in->result_limit, text));
		return;
	case RESULT_NONE:
		verdict_by_record(in, v);
		return;
	}
}

void verdict_of(const struct ending *in, struct verdict *out)
{
	*out = (struct verdict){
		.has_exit_code = in->exit.kind == EXIT_EXITED,
		.exit_code = in->exit.kind == EXIT_EXITED ? in->exit.n : 0,
	};
	if (in->runner_lost)
		verdict_lost(in, out);
	else
		verdict_seen(in, out);
}

/* ---- the error text ---- */

/* A message and a separator take what they need; the rest keeps its end, where the cause
 * of a traceback and the last words of an output are. */
char *error_text(const char *message, const char *traceback, const struct buf *output)
{
	struct buf text = { 0 };
	size_t room = RUN_ERROR_MAX - strlen(message) - 1;
	CLEANUP(free_ptr) char *body = NULL;
	size_t len;

	if (!str_empty(traceback)) {
		body = utf8_replace(traceback, strlen(traceback), &len);
	} else {
		body = utf8_replace(output->data, output->len, &len);
	}

	const char *from = body;
	if (len > room) {
		from += len - room;
		while ((*from & 0xc0) == 0x80)
			from++;
	}
	buf_addf(&text, "%s", message);
	if (*from)
		buf_addf(&text, "\n%s", from);
	return buf_take_str(&text);
}
