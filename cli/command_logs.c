/* command_logs.c - logs: what a job wrote, during its run and after. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "command.h"
#include "json.h"
#include "message.h"
#include "remote.h"
#include "str.h"
#include "text.h"

#define RETRY_MS     500
#define LOST_MOST_MS 60000

typedef Cumulus__Orchestrator__OutputStream OutputStream;

static const struct {
	const char *name;
	OutputStream stream;
} streams[] = {
	{ "stdout", CUMULUS__ORCHESTRATOR__OUTPUT_STREAM__STDOUT },
	{ "stderr", CUMULUS__ORCHESTRATOR__OUTPUT_STREAM__STDERR },
	{ "system", CUMULUS__ORCHESTRATOR__OUTPUT_STREAM__SYSTEM },
};

struct logs {
	struct cli *cli;
	int64_t offset;                   /* up to here it was printed */
	bool heard;                       /* something came over this connection */
	bool mid_line[STDERR_FILENO + 1]; /* with --timestamps: where this file stands */
	enum wire_over over;
	enum exit_code code;
	struct err e;
};

static int stream_parse(const char *name, OutputStream *stream, struct err *e)
{
	for (size_t i = 0; i < sizeof(streams) / sizeof(*streams); i++) {
		if (strcmp(name, streams[i].name) == 0) {
			*stream = streams[i].stream;
			return 0;
		}
	}
	return err_set(e, ERR_INVALID,
		"--stream: \"%.40s\" is none of stdout, stderr, system", name);
}

/* Each line behind the time at which its beginning was read. */
static void put_stamped(
	struct logs *l, int fd, const Cumulus__Orchestrator__Output *output)
{
	CLEANUP(buf_fini) struct buf out = { 0 };
	const char *at = (const char *)output->data.data;
	const char *end = at + output->data.len;
	char time[TIME_SIZE];

	text_utc(time, output->timestamp_ns);
	while (at < end) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((line_end ? line_end + 1 : end) - at);

		if (!l->mid_line[fd])
			buf_addf(&out, "%s ", time);
		buf_add(&out, at, len);
		l->mid_line[fd] = !line_end;
		at += len;
	}
	put_buf(fd, &out);
}

static void on_message(struct wire_call *call, ProtobufCMessage *message)
{
	struct logs *l = wire_call_user(call);
	Cumulus__Orchestrator__Output *output = (void *)message;
	int fd = output->stream == CUMULUS__ORCHESTRATOR__OUTPUT_STREAM__STDOUT
			 ? STDOUT_FILENO
			 : STDERR_FILENO;

	l->heard = true;
	l->offset = output->next_offset;
	if (l->cli->options->json)
		json_print_message(message);
	else if (l->cli->options->timestamps)
		put_stamped(l, fd, output);
	else
		put_bytes(fd, output->data.data, output->data.len);
	wire_message_free(message);
}

static void on_gone(struct wire_call *call)
{
	struct logs *l = wire_call_user(call);

	l->over = wire_call_over(call);
	l->code = EXIT_DONE;
	if (l->over != WIRE_OVER_FINISHED || wire_call_status(call) != WIRE_OK)
		l->code = remote_failure(l->cli->remote, call, &l->e);
}

static const struct wire_handlers handlers = { .message = on_message, .gone = on_gone };

static bool is_lost(const struct logs *l)
{
	return l->code == EXIT_NO_ANSWER &&
	       (l->over == WIRE_OVER_LOST || l->over == WIRE_OVER_REFUSED);
}

/* Print from where we are to the end, over lost connections when following. */
static enum exit_code print_all(
	struct logs *l, Cumulus__Orchestrator__JobLogsRequest *request)
{
	struct remote *remote = l->cli->remote;
	int64_t lost_ns = 0;

	for (;;) {
		l->heard = false;
		request->offset = l->offset;
		if (remote_each(remote, REMOTE_GET_JOB_LOGS, request, &handlers, l,
			    &l->e) < 0)
			return fail(&l->e);
		if (l->code == EXIT_DONE)
			return EXIT_DONE;
		if (l->heard)
			lost_ns = 0;
		if (!is_lost(l) || !request->follow || (!remote->up && !lost_ns))
			break;
		if (!lost_ns) {
			lost_ns = clock_boot_ns();
			if (!l->cli->options->quiet)
				fprintf(stderr,
					"connection lost; trying again for %d s\n",
					LOST_MOST_MS / 1000);
		}
		if (clock_boot_ns() - lost_ns > LOST_MOST_MS * NS_PER_MS)
			break;
		/* The tail was asked for once; now it goes on from the offset. */
		if (l->offset)
			request->tail_lines = 0;
		remote_wait(remote, RETRY_MS);
	}
	complain(&l->e);
	return l->code;
}

enum exit_code command_logs(struct cli *cli)
{
	Cumulus__Orchestrator__JobLogsRequest request =
		CUMULUS__ORCHESTRATOR__JOB_LOGS_REQUEST__INIT;
	const struct options *o = cli->options;
	struct logs logs = { .cli = cli };
	OutputStream stream = 0;
	enum exit_code code = EXIT_DONE;
	struct err e = { 0 };

	if (o->stream) {
		if (stream_parse(o->stream, &stream, &e) < 0)
			return fail(&e);
		request.streams = &stream;
		request.n_streams = 1;
	}

	CLEANUP(free_ptr)
	char *job_id = remote_find_job(cli->remote, o->operands.at[0], &code, &e);
	if (!job_id) {
		complain(&e);
		return code;
	}
	request.job_id = job_id;
	request.tail_lines = (int32_t)o->tail_lines;
	request.follow = o->follow;
	return print_all(&logs, &request);
}
