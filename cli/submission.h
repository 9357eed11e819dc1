/* submission.h - a JobSubmission from the options of run and submit.
 *
 * Thread: any; blocks on the disk.  What it must be to be accepted is the server's to
 * say; here only what cannot be put into the message is refused.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "bundle.h"
#include "digest.h"
#include "options.h"
#include "remote.h"
#include "requirements.h"

struct submission {
	JobSubmission message; /* borrows from everything below and from the options */
	Cumulus__Orchestrator__Limits limits;
	struct bundle bundle;
	struct requirements requirements;
	char digest[DIGEST_TEXT_SIZE]; /* of a package that is uploaded */
	char *key; /* owned; one is made up when the user gave none, so that the CLI may
	            * send the submission again after a lost connection */
};

void submission_fini(struct submission *s);
/* From o->operands.at[0] on.  s must stay where it is: its message points into it. */
int submission_init(
	struct submission *s, const struct options *o, struct err *e) MUST_CHECK;

/* "K=V" to an entry; the caller frees *key.  *value points into text. */
int pair_parse(
	const char *text, char **key, const char **value, struct err *e) MUST_CHECK;
