/* follow.h - follows one job to its end, over lost connections and Ctrl-C.
 *
 * Thread: the one.  What was seen is never told again: after a lost connection the job is
 * watched from the last sequence number and output offset.  Ctrl-C once detaches, unless
 * a second one within 2 s asks to cancel the job; then the story goes on to CANCELLED.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "exit_code.h"
#include "narrator.h"
#include "remote.h"

struct follow_request {
	const JobSubmission *submission; /* to submit, with a key; NULL: watch job_id */
	const char *job_id;
	/* The first event is all that is wanted: the job is accepted.  Ctrl-C ends it. */
	bool only_accept;
};

/* How to exit.  Failures were complained about.  *job_id, when given, is the job's id for
 * the caller to free, NULL while it is not known. */
enum exit_code follow(struct remote *remote, struct narrator *narrator,
	const struct follow_request *request, char **job_id);
