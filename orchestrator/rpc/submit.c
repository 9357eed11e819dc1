/* submit.c - SubmitJob: a submission that turns into a watcher of its job. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "intake.h"
#include "internal.h"

struct submitting {
	struct asker asker;            /* first */
	struct submission *submission; /* until the relay has it; owned */
};

static void fini_submitting(struct asker *a)
{
	submission_free(((struct submitting *)a)->submission);
}

static void finish_refused(struct wire_call *call, const struct effect *answer)
{
	static const char *const reasons[] = {
		[UNAVAILABLE_NO_WORKER] = "no_worker",
		[UNAVAILABLE_NEVER_FITS] = "never_fits",
		[UNAVAILABLE_NO_WAIT] = "no_wait",
	};
	struct wire_pair trailer = { "cumulus-reason", reasons[answer->why] };

	if (answer->error.code == ERR_CONFLICT)
		wire_call_finish(call, WIRE_ALREADY_EXISTS, answer->error.text);
	else if (answer->why != UNAVAILABLE_NONE)
		wire_call_finish_with(
			call, WIRE_UNAVAILABLE, answer->error.text, &trailer, 1);
	else
		rpc_fail(call, &answer->error);
}

static void on_answer(void *ctx, const struct effect *answer)
{
	struct submitting *s = ctx;
	struct wire_call *call = s->asker.call;

	/* The job is there; that its client has gone is nothing to it. */
	if (!asker_is_back(&s->asker))
		return;
	if (answer->error.code != ERR_NONE) {
		finish_refused(call, answer);
		return;
	}
	free(s);
	watch_begin(call, answer->job);
}

static void hand_over(struct submitting *s)
{
	s->asker.asked = true;
	relay_submit(s->asker.rpc->config.relay, take_ptr(&s->submission), on_answer, s);
}

/* ---- a package that is only named: is it here, and what does it require? */

static struct intake intake_of(const struct rpc *r)
{
	return (struct intake){ &r->config.limits, &r->config.package };
}

static void check_and_hand_over(struct submitting *s, const struct buf *requirements)
{
	const struct intake intake = intake_of(s->asker.rpc);
	struct err e = { 0 };

	if (intake_add_requirements(&intake, s->submission, requirements, &e) < 0)
		rpc_fail(s->asker.call, &e);
	else
		hand_over(s);
}

/* On the thread of the uploads. */
static int look_for_requirements(int fd, int64_t size, struct buf *found, struct err *e)
{
	return package_requirements_file(
		fd, (uint64_t)size, INTAKE_REQUIREMENTS_MAX, found, e);
}

static void on_requirements(void *ctx, const struct buf *found, const struct err *failed)
{
	struct submitting *s = ctx;

	if (!asker_is_back(&s->asker))
		return;
	if (failed)
		rpc_fail(s->asker.call, failed);
	else
		check_and_hand_over(s, found);
}

static void unknown_package(struct submitting *s)
{
	char digest[DIGEST_TEXT_SIZE];
	struct err e = { 0 };

	digest_format(digest, &s->submission->package);
	err_set(&e, ERR_NOT_FOUND,
		"package_digest %s is not known here: send it by UploadPackage first",
		digest);
	rpc_fail(s->asker.call, &e);
}

/* The first slice tells the size, and of a small package it is the whole. */
static void on_package(void *ctx, struct store_slice *slice, const struct err *failed)
{
	struct submitting *s = ctx;
	CLEANUP(buf_fini) struct buf found = { 0 };
	struct err e = { 0 };

	if (!asker_is_back(&s->asker))
		return;
	if (failed && failed->code == ERR_NOT_FOUND) {
		unknown_package(s);
	} else if (failed) {
		e = *failed;
		e.code = ERR_INTERNAL; /* it is known, and not there */
		rpc_fail(s->asker.call, &e);
	} else if (slice->total > (int64_t)slice->len) {
		s->asker.asked = true;
		upload_look(relay_uploads(s->asker.rpc->config.relay),
			&s->submission->package, look_for_requirements, on_requirements,
			s);
	} else if (package_requirements(slice->bytes, slice->len, INTAKE_REQUIREMENTS_MAX,
			   &found, &e) < 0) {
		rpc_fail(s->asker.call, &e);
	} else {
		check_and_hand_over(s, &found);
	}
}

static void look_up(struct submitting *s)
{
	s->asker.asked = true;
	store_read_package(relay_store(s->asker.rpc->config.relay),
		&s->submission->package, 0, STORE_SLICE_MAX, on_package, s);
}

/* ---- the call */

static void on_submit(struct wire_call *call, ProtobufCMessage *message)
{
	const struct intake intake = intake_of(wire_call_user(call));
	struct err e = { 0 };
	struct submission *s = intake_read(&intake, (void *)message, RPC_OWNER, &e);

	wire_message_free(message);
	if (!s) {
		rpc_fail(call, &e);
		return;
	}

	struct submitting *waiting = asker_new(call, sizeof(*waiting), fini_submitting);
	waiting->submission = s;
	if (s->zip)
		hand_over(waiting);
	else
		look_up(waiting);
}

static void on_pull(struct wire_call *call)
{
	if (watch_is(wire_call_data(call)))
		watch_on_pull(call);
}

static void on_gone(struct wire_call *call)
{
	if (watch_is(wire_call_data(call)))
		watch_on_gone(call);
	else
		asker_on_gone(call);
}

const struct wire_handlers rpc_submit_job = {
	.message = on_submit,
	.pull = on_pull,
	.gone = on_gone,
};
