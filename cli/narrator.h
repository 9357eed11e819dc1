/* narrator.h - tells what happens to a job: states with times, output, progress, result.
 *
 * Thread: the one.  What the job wrote goes verbatim to stdout and stderr, where it
 * belongs; everything that is ours goes to stderr, so that stdout can be piped on.  On a
 * terminal a last line, latest wins, shows what goes on; it is never drawn over a line
 * that the job has not ended.  With json, stdout gets one object for each event instead.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "remote.h"
#include "terminal.h"

struct narrator {
	const struct terminal *terminal;
	bool json, quiet;
	const char *result_file; /* NULL: the result is printed; "-" is stdout */

	int64_t first_ns; /* time of the first event; 0 before */
	int64_t state_ns; /* since when the state is what it is, on our clock */
	Cumulus__Orchestrator__JobState state;
	char *doing; /* owned: what the last line says; NULL: nothing */
	double progress;
	size_t live;       /* columns of the last line that stands on the terminal */
	bool out_mid_line; /* stdout, whatever it is, stands inside a line */
	bool styled;       /* the job sent escapes to the terminal */
	bool mid_line;     /* the job's last byte on the terminal was not a line end */
};

void narrator_fini(struct narrator *n);
/* An event that came. */
void narrator_event(struct narrator *n, const JobEvent *event);
/* A remark of our own, unless quiet. */
void narrator_note(struct narrator *n, const char *format, ...) PRINTF_LIKE(2, 3);
/* The result of a COMPLETED event, to its file or to stdout. */
int narrator_result(
	struct narrator *n, const ProtobufCBinaryData *result, struct err *e) MUST_CHECK;
/* Time went by, or the terminal changed its size: draw the last line again. */
void narrator_tick(struct narrator *n);
/* Take the last line away: the story is over. */
void narrator_end(struct narrator *n);

/* Pure parts, for tests: no line ends, no colours.  The caller frees. */
char *narrate_state(const JobEvent *event, int64_t first_ns);
char *narrate_live(Cumulus__Orchestrator__JobState state, double progress,
	const char *doing, int64_t elapsed_s, size_t columns);

/* What main() returned, from the envelope that the result is; the whole when it is no
 * such envelope.  One line of JSON, or indented.  The caller frees. */
char *result_text(const void *json, size_t len, bool pretty);
int result_write(
	const char *file, const void *bytes, size_t len, struct err *e) MUST_CHECK;

/* "RUNNING", "waiting for a GPU": of values that may be unknown; never NULL. */
const char *state_name(Cumulus__Orchestrator__JobState state);
const char *reason_name(Cumulus__Orchestrator__Reason reason);
/* The message, or "" when it says no more than the state's name. */
const char *state_remark(Cumulus__Orchestrator__JobState state, const char *message);
enum colour state_colour(Cumulus__Orchestrator__JobState state);
bool state_is_final(Cumulus__Orchestrator__JobState state);
