/* upload.h - sends a large package ahead of its submission.
 *
 * Thread: the one.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "submission.h"
#include "terminal.h"

/* A package that its submission can carry stays in it.  A larger one is sent, unless the
 * server has it already, and is named instead.  A lost connection is taken up again for a
 * minute without progress.  On a terminal, unless quiet, a line shows how far it is. */
int upload_if_large(struct remote *r, struct submission *s,
	const struct terminal *terminal, bool quiet, enum exit_code *code,
	struct err *e) MUST_CHECK;
