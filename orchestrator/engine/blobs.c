/* blobs.c - serves packages to workers and takes their runs' output. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "blobs.h"

#include <stdlib.h>

#include "log.h"
#include "str.h"
#include "worker.pb-c.h"
#include "xalloc.h"

struct blobs {
	struct relay *relay;
};

/* What one call of these methods needs.  It outlives its call while a question to the
 * store or the files is open: then call is NULL. */
struct transfer {
	struct blobs *blobs;
	struct wire_call *call;
	bool asked;

	/* ReadBlob */
	struct digest digest;
	int64_t offset;
	struct store_slice slice; /* bytes owned; NULL = ask */
	bool done;

	/* WriteOutput */
	char job[ID_SIZE];
	int32_t attempt;
	int64_t end;
	bool answer_due;
	bool ended; /* the worker sends no more */
};

static struct transfer *new_transfer(struct wire_call *call)
{
	struct transfer *t = xcalloc(1, sizeof(*t));

	t->blobs = wire_call_user(call);
	t->call = call;
	wire_call_set_data(call, t);
	return t;
}

static void free_transfer(struct transfer *t)
{
	free(t->slice.bytes);
	free(t);
}

static void on_gone(struct wire_call *call)
{
	struct transfer *t = wire_call_data(call);

	if (!t)
		return;
	t->call = NULL;
	if (!t->asked)
		free_transfer(t);
}

/* An open question is answered: is there still somebody to tell? */
static bool is_back(struct transfer *t)
{
	t->asked = false;
	if (t->call)
		return true;
	free_transfer(t);
	return false;
}

/* ---- ReadBlob */

static void on_read(struct wire_call *call, ProtobufCMessage *message)
{
	Cumulus__Worker__ReadBlobRequest *m = (void *)message;
	struct transfer *t = new_transfer(call);
	struct err e = { 0 };

	t->offset = m->offset;
	if (m->kind != CUMULUS__WORKER__BLOB_KIND__BLOB_PACKAGE)
		wire_call_finish(call, WIRE_UNIMPLEMENTED, "only packages are served");
	else if (m->offset < 0)
		wire_call_finish(call, WIRE_INVALID_ARGUMENT, "offset is negative");
	else if (digest_parse(m->digest, &t->digest, &e) < 0)
		wire_call_fail(call, &e);
	else
		wire_call_wake(call);
	wire_message_free(message);
}

static void on_slice(void *ctx, struct store_slice *slice, const struct err *failed)
{
	struct transfer *t = ctx;

	if (!is_back(t))
		return;
	if (failed) {
		wire_call_fail(t->call, failed);
		return;
	}
	t->slice = *slice;
	slice->bytes = NULL;
	t->done = t->offset + (int64_t)t->slice.len >= t->slice.total;
	wire_call_wake(t->call);
}

static void on_read_pull(struct wire_call *call)
{
	struct transfer *t = wire_call_data(call);
	Cumulus__Worker__BlobChunk chunk = CUMULUS__WORKER__BLOB_CHUNK__INIT;
	struct err e = { 0 };

	if (t->asked)
		return;
	if (!t->slice.bytes && t->done) {
		wire_call_finish(call, WIRE_OK, NULL);
		return;
	}
	if (!t->slice.bytes) {
		t->asked = true;
		store_read_package(relay_store(t->blobs->relay), &t->digest, t->offset,
			STORE_SLICE_MAX, on_slice, t);
		return;
	}
	chunk.offset = t->offset;
	chunk.total = t->slice.total;
	chunk.data.data = t->slice.bytes;
	chunk.data.len = t->slice.len;
	if (wire_call_send(call, &chunk, &e) < 0)
		wire_call_fail(call, &e);
	t->offset += (int64_t)t->slice.len;
	free(t->slice.bytes);
	t->slice.bytes = NULL;
}

/* ---- WriteBlob: environments come up with the issue that builds them */

static void on_write_blob(struct wire_call *call)
{
	wire_call_finish(call, WIRE_UNIMPLEMENTED, "environments are not shared yet");
}

/* What was on its way when the call was answered. */
static void on_blob_chunk(struct wire_call *call, ProtobufCMessage *message)
{
	(void)call;
	wire_message_free(message);
}

/* ---- WriteOutput */

static void on_output_gone(struct wire_call *call)
{
	struct transfer *t = wire_call_data(call);

	if (*t->job)
		relay_output_settle(t->blobs->relay, t->job, t->attempt);
	on_gone(call);
}

static void on_output_open(struct wire_call *call)
{
	new_transfer(call);
}

static void on_appended(void *ctx, int64_t end, const struct err *failed)
{
	struct transfer *t = ctx;

	if (!is_back(t))
		return;
	if (failed) {
		/* The worker keeps its copy and comes back with another stream. */
		log_warn("output is not taken", "job", t->job, "why", failed->text, NULL);
		wire_call_fail(t->call, failed);
		return;
	}
	t->end = end;
	t->answer_due = true;
	wire_call_wake(t->call);
	wire_call_resume(t->call);
}

static void on_frames(struct wire_call *call, ProtobufCMessage *message)
{
	struct transfer *t = wire_call_data(call);
	Cumulus__Worker__OutputFrames *m = (void *)message;

	if (!id_valid(m->job_id, 'j') || m->attempt < 1 || m->offset < 0 ||
		m->frames.len > OUTPUT_APPEND_MAX) {
		wire_call_finish(call, WIRE_INVALID_ARGUMENT, "not a piece of output");
		wire_message_free(message);
		return;
	}
	str_put(t->job, sizeof(t->job), "%s", m->job_id);
	t->attempt = m->attempt;
	t->asked = true;
	wire_call_pause(call); /* one piece at a time: the answer lets the next one in */
	uint8_t *bytes = m->frames.data;
	size_t len = m->frames.len;
	m->frames = (ProtobufCBinaryData){ 0 };
	relay_output_append(t->blobs->relay, t->job, t->attempt, m->offset, bytes, len,
		on_appended, t);
	wire_message_free(message);
}

static void on_output_end(struct wire_call *call)
{
	struct transfer *t = wire_call_data(call);

	t->ended = true;
	wire_call_wake(call);
}

static void on_output_pull(struct wire_call *call)
{
	struct transfer *t = wire_call_data(call);
	Cumulus__Worker__OutputDurable durable = CUMULUS__WORKER__OUTPUT_DURABLE__INIT;
	struct err e = { 0 };

	if (!t->answer_due) {
		if (t->ended && !t->asked)
			wire_call_finish(call, WIRE_OK, NULL);
		return;
	}
	durable.job_id = t->job;
	durable.attempt = t->attempt;
	durable.durable = t->end;
	t->answer_due = false;
	if (wire_call_send(call, &durable, &e) < 0)
		wire_call_fail(call, &e);
}

/* ---- the whole */

static const struct wire_method methods[] = {
	{ "/cumulus.worker.WorkerService/ReadBlob",
		&cumulus__worker__read_blob_request__descriptor,
		&cumulus__worker__blob_chunk__descriptor, WIRE_SERVER_STREAMS },
	{ "/cumulus.worker.WorkerService/WriteBlob",
		&cumulus__worker__write_blob_chunk__descriptor,
		&cumulus__worker__write_blob_response__descriptor, WIRE_CLIENT_STREAMS },
	{ "/cumulus.worker.WorkerService/WriteOutput",
		&cumulus__worker__output_frames__descriptor,
		&cumulus__worker__output_durable__descriptor, WIRE_BOTH_STREAM },
};

static const struct wire_handlers handlers[] = {
	{ .message = on_read, .pull = on_read_pull, .gone = on_gone },
	{ .open = on_write_blob, .message = on_blob_chunk },
	{ .open = on_output_open,
		.message = on_frames,
		.end = on_output_end,
		.pull = on_output_pull,
		.gone = on_output_gone },
};

struct blobs *blobs_new(struct wire_server *server, struct relay *relay)
{
	struct blobs *b = xcalloc(1, sizeof(*b));

	b->relay = relay;
	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++)
		wire_server_add(server, &methods[i], &handlers[i], b);
	return b;
}

void blobs_free(struct blobs *b)
{
	free(b);
}
