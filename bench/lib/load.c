/* load.c - bench_load: many calls of one kind at an orchestrator, as fast as it takes them. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   bench_load submit ADDRESS ZIP GPU SECONDS AT_A_TIME   read the first event, cancel
 *   bench_load jobs   ADDRESS ZIP GPU COUNT   AT_A_TIME   follow each job to its end
 *   bench_load start  ADDRESS ZIP GPU COUNT   REST_MS     one at a time: until main() began
 *   bench_load watch  ADDRESS JOB COUNT CONNECTIONS       watch JOB until stdin closes
 *
 * Prints one line of JSON; `watch` prints it when every watcher has had its first event.
 * In Python or through a library of gRPC the client would be what is measured.
 *
 * With `submit` no two packages are the same: the ZIP ends in a comment of 16 bytes, which
 * is written anew for each.  With `start` the job prints time.time_ns() first.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "cleanup.h"
#include "clock.h"
#include "file.h"
#include "orchestrator.pb-c.h"
#include "str.h"
#include "wire.h"
#include "xalloc.h"

#define SERVICE         "/cumulus.orchestrator.OrchestratorService/"
#define ZIP_MAX         (1 << 20)
#define COMMENT_SIZE    16
#define DURATION_S      60
#define CONNECTIONS_MAX 1024

typedef Cumulus__Orchestrator__JobEvent event_message;

static const struct wire_method submit_job = {
	.path = SERVICE "SubmitJob",
	.request = &cumulus__orchestrator__job_submission__descriptor,
	.response = &cumulus__orchestrator__job_event__descriptor,
	.kind = WIRE_SERVER_STREAMS,
};
static const struct wire_method watch_job = {
	.path = SERVICE "WatchJob",
	.request = &cumulus__orchestrator__watch_job_request__descriptor,
	.response = &cumulus__orchestrator__job_event__descriptor,
	.kind = WIRE_SERVER_STREAMS,
};

struct load {
	uv_loop_t loop;
	struct wire_client *clients[CONNECTIONS_MAX];
	size_t connections;

	uint8_t *zip; /* owned */
	size_t zip_len;
	float gpu;
	uint64_t serial; /* of the next package */

	uint64_t wanted, begun, done; /* calls */
	int64_t began_ns, until_ns;   /* by clock_boot_ns(); until_ns 0: wanted decides */

	uv_timer_t rest;
	uint64_t rest_ms;
	int64_t asked_ns; /* by clock_wall_ns(), which is time.time_ns() */
	struct buf samples;

	uv_poll_t input;
	bool ending; /* this side closes its connections */
};

static _Noreturn void die(const char *what, const char *why)
{
	fprintf(stderr, "bench_load: %s: %s\n", what, why);
	exit(1);
}

static uint64_t number(const char *text, uint64_t max)
{
	struct err e = { 0 };
	uint64_t n;

	if (parse_u64(text, 1, max, &n, &e) < 0)
		die(text, e.text);
	return n;
}

/* ---- connections and calls */

static void on_down(struct wire_client *client, const struct err *why, void *user)
{
	(void)client;
	(void)user;
	die("the connection", why->text);
}

static void load_connect(struct load *load, const char *address, size_t connections)
{
	const struct wire_connect connect = {
		.address = address, .down = on_down, .user = load
	};
	struct err e = { 0 };

	if (uv_loop_init(&load->loop) != 0)
		abort();
	load->connections = connections;
	for (size_t i = 0; i < connections; i++) {
		load->clients[i] = wire_client_open(&load->loop, &connect, &e);
		if (!load->clients[i])
			die(address, e.text);
	}
}

static void call_begin(struct load *load, const struct wire_method *method,
	const struct wire_handlers *on, const void *message)
{
	const struct wire_request request = {
		.method = method, .on = on, .user = load, .message = message
	};
	struct err e = { 0 };

	if (!wire_client_call(
		    load->clients[load->begun++ % load->connections], &request, &e))
		die(method->path, e.text);
}

static void submission_begin(struct load *load, const struct wire_handlers *on)
{
	Cumulus__Orchestrator__JobSubmission submission =
		CUMULUS__ORCHESTRATOR__JOB_SUBMISSION__INIT;

	submission.code_package = (ProtobufCBinaryData){ load->zip_len, load->zip };
	submission.gpu_memory = load->gpu;
	submission.duration = DURATION_S;
	call_begin(load, &submit_job, on, &submission);
}

/* The status of a call that should have been fine. */
static void expect_ok(const struct wire_call *call)
{
	struct err e = { 0 };

	if (wire_call_err(call, &e) < 0)
		die(wire_call_method(call)->path, e.text);
}

static void zip_load(struct load *load, const char *path, const char *gpu)
{
	CLEANUP(buf_fini) struct buf content = { 0 };
	struct err e = { 0 };

	if (file_read(AT_FDCWD, path, ZIP_MAX, &content, &e) < 0)
		die(path, e.text);
	if (content.len < COMMENT_SIZE)
		die(path, "is no ZIP with a comment");
	load->zip_len = content.len;
	load->zip = take_ptr(&content.data);
	load->gpu = strtof(gpu, NULL);
	load->serial = (uint64_t)clock_wall_ns();
}

static void load_fini(struct load *load)
{
	load->ending = true;
	for (size_t i = 0; i < load->connections; i++)
		wire_client_close(load->clients[i]);
	uv_run(&load->loop, UV_RUN_DEFAULT);
	uv_loop_close(&load->loop);
	free(load->zip);
	buf_fini(&load->samples);
}

static double seconds_taken(const struct load *load)
{
	return (double)(clock_boot_ns() - load->began_ns) / (double)NS_PER_S;
}

/* Keep at_a_time calls open until there were enough; then say how many in how long. */
static void load_run(
	struct load *load, uint64_t at_a_time, void (*begin)(struct load *load))
{
	load->began_ns = clock_boot_ns();
	if (load->until_ns)
		load->until_ns += load->began_ns;
	for (uint64_t i = 0; i < at_a_time && load->begun < load->wanted; i++)
		begin(load);
	while (load->done < load->begun)
		uv_run(&load->loop, UV_RUN_ONCE);
	printf("{\"count\": %llu, \"seconds\": %.6f}\n", (unsigned long long)load->done,
		seconds_taken(load));
}

static bool load_goes_on(const struct load *load)
{
	return load->begun < load->wanted &&
	       (!load->until_ns || clock_boot_ns() < load->until_ns);
}

/* ---- submit */

static void on_first_event(struct wire_call *call, ProtobufCMessage *message)
{
	wire_message_free(message);
	wire_call_cancel(call);
}

static void submit_next(struct load *load);

static void on_submitted(struct wire_call *call)
{
	struct load *load = wire_call_user(call);

	if (wire_call_over(call) != WIRE_OVER_CANCELLED)
		expect_ok(call);
	load->done++;
	if (load_goes_on(load))
		submit_next(load);
}

static void submit_next(struct load *load)
{
	static const struct wire_handlers on = { .message = on_first_event,
		.gone = on_submitted };
	char comment[COMMENT_SIZE + 1];

	snprintf(comment, sizeof(comment), "%016llx", (unsigned long long)load->serial++);
	memcpy(load->zip + load->zip_len - COMMENT_SIZE, comment, COMMENT_SIZE);
	submission_begin(load, &on);
}

static void run_submit(struct load *load, char **argv)
{
	load_connect(load, argv[0], 1);
	zip_load(load, argv[1], argv[2]);
	load->until_ns = (int64_t)number(argv[3], 3600) * NS_PER_S;
	load->wanted = UINT64_MAX;
	load_run(load, number(argv[4], 1000), submit_next);
}

/* ---- jobs */

static void expect_no_failure(const event_message *event)
{
	if (event->state == CUMULUS__ORCHESTRATOR__JOB_STATE__FAILED ||
		event->state == CUMULUS__ORCHESTRATOR__JOB_STATE__CANCELLED)
		die(event->job_id, event->message);
}

static void on_event(struct wire_call *call, ProtobufCMessage *message)
{
	(void)call;
	expect_no_failure((const event_message *)message);
	wire_message_free(message);
}

static void job_next(struct load *load);

static void on_job_over(struct wire_call *call)
{
	struct load *load = wire_call_user(call);

	expect_ok(call);
	load->done++;
	if (load_goes_on(load))
		job_next(load);
}

static void job_next(struct load *load)
{
	static const struct wire_handlers on = { .message = on_event,
		.gone = on_job_over };

	submission_begin(load, &on);
}

static void run_jobs(struct load *load, char **argv)
{
	load_connect(load, argv[0], 1);
	zip_load(load, argv[1], argv[2]);
	load->wanted = number(argv[3], 1000000);
	load_run(load, number(argv[4], 1000), job_next);
}

/* ---- start */

static void on_start_event(struct wire_call *call, ProtobufCMessage *message)
{
	struct load *load = wire_call_user(call);
	const event_message *event = (const event_message *)message;

	expect_no_failure(event);
	if (event->output &&
		event->output->stream == CUMULUS__ORCHESTRATOR__OUTPUT_STREAM__STDOUT) {
		CLEANUP(free_ptr)
		char *text = str_fmt("%.*s", (int)event->output->data.len,
			(const char *)event->output->data.data);
		double began_ns = strtod(text, NULL);

		buf_addf(&load->samples, "%s%.3f", load->samples.len ? ", " : "",
			(began_ns - (double)load->asked_ns) / (double)NS_PER_MS);
	}
	wire_message_free(message);
}

static void on_rested(uv_timer_t *timer);

static void on_start_over(struct wire_call *call)
{
	struct load *load = wire_call_user(call);

	expect_ok(call);
	load->done++;
	if (load->done < load->wanted)
		uv_timer_start(&load->rest, on_rested, load->rest_ms, 0);
}

static void start_next(struct load *load)
{
	static const struct wire_handlers on = { .message = on_start_event,
		.gone = on_start_over };

	load->asked_ns = clock_wall_ns();
	submission_begin(load, &on);
}

static void on_rested(uv_timer_t *timer)
{
	start_next(timer->data);
}

static void run_start(struct load *load, char **argv)
{
	load_connect(load, argv[0], 1);
	zip_load(load, argv[1], argv[2]);
	load->wanted = number(argv[3], 1000000);
	load->rest_ms = number(argv[4], 60000);
	uv_timer_init(&load->loop, &load->rest);
	load->rest.data = load;
	start_next(load);
	while (load->done < load->wanted)
		uv_run(&load->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&load->rest, NULL);
	printf("{\"ms\": [%.*s]}\n", (int)load->samples.len,
		(const char *)load->samples.data);
}

/* ---- watch */

static void on_watch_event(struct wire_call *call, ProtobufCMessage *message)
{
	struct load *load = wire_call_user(call);

	wire_message_free(message);
	if (!wire_call_data(call))
		load->done++;
	wire_call_set_data(call, load);
}

static void on_watch_over(struct wire_call *call)
{
	const struct load *load = wire_call_user(call);

	if (!load->ending)
		die("a watcher ended", wire_call_text(call));
}

static void on_input(uv_poll_t *input, int status, int events)
{
	char ignored[64];

	(void)events;
	if (status == 0 && read(STDIN_FILENO, ignored, sizeof(ignored)) > 0)
		return;
	uv_close((uv_handle_t *)input, NULL);
}

static void run_watch(struct load *load, char **argv)
{
	static const struct wire_handlers on = { .message = on_watch_event,
		.gone = on_watch_over };
	Cumulus__Orchestrator__WatchJobRequest request =
		CUMULUS__ORCHESTRATOR__WATCH_JOB_REQUEST__INIT;

	request.job_id = argv[1];
	load->wanted = number(argv[2], 1000000);
	load_connect(load, argv[0], number(argv[3], CONNECTIONS_MAX));
	while (load->begun < load->wanted)
		call_begin(load, &watch_job, &on, &request);
	while (load->done < load->wanted)
		uv_run(&load->loop, UV_RUN_ONCE);
	printf("{\"count\": %llu}\n", (unsigned long long)load->done);
	fflush(stdout);
	uv_poll_init(&load->loop, &load->input, STDIN_FILENO);
	uv_poll_start(&load->input, UV_READABLE, on_input);
	while (!uv_is_closing((uv_handle_t *)&load->input))
		uv_run(&load->loop, UV_RUN_ONCE);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int args;
		void (*run)(struct load *load, char **argv);
	} modes[] = { { "submit", 5, run_submit }, { "jobs", 5, run_jobs },
		{ "start", 5, run_start }, { "watch", 4, run_watch } };
	struct load load = { 0 };

	for (size_t i = 0; i < sizeof(modes) / sizeof(*modes); i++) {
		if (argc < 2 || strcmp(argv[1], modes[i].name) != 0 ||
			argc != 2 + modes[i].args)
			continue;
		modes[i].run(&load, argv + 2);
		load_fini(&load);
		return 0;
	}
	die("usage", "see the head of bench/lib/load.c");
}
