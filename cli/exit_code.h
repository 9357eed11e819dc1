/* exit_code.h - what each exit code of `cumulus` means, and which answer becomes which.
 *
 * Thread: any; pure.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "err.h"
#include "orchestrator.pb-c.h"
#include "wire.h"

/* Scripts rely on these numbers: appended, never changed. */
enum exit_code {
	EXIT_DONE = 0,
	EXIT_JOB_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_JOB_CANCELLED = 3,
	EXIT_DURATION_EXCEEDED = 4,
	EXIT_NO_ANSWER = 5,
	EXIT_NO_PLACE = 6,
	EXIT_NOT_FOUND = 7,
	EXIT_NOT_ALLOWED = 8,
	EXIT_CODE_COUNT
};

/* "the job failed"; never NULL. */
const char *exit_code_meaning(enum exit_code code);

/* Of a call's status; placement is the trailer cumulus-reason: with one, UNAVAILABLE is
 * the scheduler's word; without (NULL) nobody answered. */
enum exit_code exit_code_of_status(enum wire_status status, const char *placement);
/* Of an error on this side: what the user gave is wrong, or nobody answers. */
enum exit_code exit_code_of_err(const struct err *e);
/* Of a terminal state. */
enum exit_code exit_code_of_end(
	Cumulus__Orchestrator__JobState state, Cumulus__Orchestrator__Reason reason);
