/* exit_code.c - the tables from answers to exit codes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "exit_code.h"

static const char *const meanings[EXIT_CODE_COUNT] = {
	[EXIT_DONE] = "done",
	[EXIT_JOB_FAILED] = "the job failed, or the system is unhealthy",
	[EXIT_USAGE] = "usage, or an argument the server refused",
	[EXIT_JOB_CANCELLED] = "the job was cancelled",
	[EXIT_DURATION_EXCEEDED] = "its duration was exceeded",
	[EXIT_NO_ANSWER] = "no answer from the server",
	[EXIT_NO_PLACE] = "it can never be scheduled, or not now",
	[EXIT_NOT_FOUND] = "not found",
	[EXIT_NOT_ALLOWED] = "not allowed",
};

static const enum exit_code of_status[WIRE_STATUS_COUNT] = {
	[WIRE_OK] = EXIT_DONE,
	[WIRE_CANCELLED] = EXIT_JOB_CANCELLED,
	[WIRE_UNKNOWN] = EXIT_NO_ANSWER,
	[WIRE_INVALID_ARGUMENT] = EXIT_USAGE,
	[WIRE_DEADLINE_EXCEEDED] = EXIT_NO_ANSWER,
	[WIRE_NOT_FOUND] = EXIT_NOT_FOUND,
	[WIRE_ALREADY_EXISTS] = EXIT_USAGE,
	[WIRE_PERMISSION_DENIED] = EXIT_NOT_ALLOWED,
	[WIRE_RESOURCE_EXHAUSTED] = EXIT_NO_PLACE,
	[WIRE_FAILED_PRECONDITION] = EXIT_USAGE,
	[WIRE_ABORTED] = EXIT_NO_ANSWER,
	[WIRE_OUT_OF_RANGE] = EXIT_USAGE,
	[WIRE_UNIMPLEMENTED] = EXIT_USAGE,
	[WIRE_INTERNAL] = EXIT_NO_ANSWER,
	[WIRE_UNAVAILABLE] = EXIT_NO_ANSWER,
	[WIRE_DATA_LOSS] = EXIT_NO_ANSWER,
	[WIRE_UNAUTHENTICATED] = EXIT_NOT_ALLOWED,
};

static const enum exit_code of_err[ERR_CODE_COUNT] = {
	[ERR_NONE] = EXIT_DONE,
	[ERR_INVALID] = EXIT_USAGE,
	[ERR_NOT_FOUND] = EXIT_USAGE,
	[ERR_CONFLICT] = EXIT_USAGE,
	[ERR_EXHAUSTED] = EXIT_USAGE,
	[ERR_DENIED] = EXIT_USAGE,
	[ERR_UNAVAILABLE] = EXIT_NO_ANSWER,
	[ERR_TIMEOUT] = EXIT_NO_ANSWER,
	[ERR_UNSUPPORTED] = EXIT_USAGE,
	[ERR_SYSTEM] = EXIT_USAGE,
	[ERR_INTERNAL] = EXIT_NO_ANSWER,
};

const char *exit_code_meaning(enum exit_code code)
{
	return code < EXIT_CODE_COUNT ? meanings[code] : "unknown";
}

enum exit_code exit_code_of_status(enum wire_status status, const char *placement)
{
	if (status == WIRE_UNAVAILABLE && placement)
		return EXIT_NO_PLACE;
	return status < WIRE_STATUS_COUNT ? of_status[status] : EXIT_NO_ANSWER;
}

enum exit_code exit_code_of_err(const struct err *e)
{
	return e->code < ERR_CODE_COUNT ? of_err[e->code] : EXIT_NO_ANSWER;
}

enum exit_code exit_code_of_end(
	Cumulus__Orchestrator__JobState state, Cumulus__Orchestrator__Reason reason)
{
	if (state == CUMULUS__ORCHESTRATOR__JOB_STATE__COMPLETED)
		return EXIT_DONE;
	if (state == CUMULUS__ORCHESTRATOR__JOB_STATE__CANCELLED)
		return EXIT_JOB_CANCELLED;
	if (reason == CUMULUS__ORCHESTRATOR__REASON__DURATION_EXCEEDED)
		return EXIT_DURATION_EXCEEDED;
	return EXIT_JOB_FAILED;
}
