/* intake.h - a decoded JobSubmission, checked and made into what the core takes.
 *
 * Thread: loop.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "buf.h"
#include "err.h"
#include "orchestrator.pb-c.h"
#include "package.h"
#include "submission.h"

struct intake {
	const struct submission_limits *limits;
	const struct package_limits *package;
};

/* A requirements.txt larger than all the lines that are allowed is refused unread. */
#define INTAKE_REQUIREMENTS_MAX (256 * 512)

/* NULL on failure: ERR_INVALID naming the field, the value and what is allowed, or
 * ERR_UNSUPPORTED naming a field whose mechanism is not there.  The message's package is
 * moved out of it; the rest stays the caller's.  One that only names its package (zip is
 * NULL) still needs intake_add_requirements() of it. */
struct submission *intake_read(const struct intake *in,
	Cumulus__Orchestrator__JobSubmission *m, const char *owner,
	struct err *e) MUST_CHECK;

/* Add the lines of the package's requirements.txt, "" when it has none, to those of the
 * submission: whoever builds the environment need not look into the ZIP.  What "the same
 * submission" means does not change. */
int intake_add_requirements(const struct intake *in, struct submission *s,
	const struct buf *file, struct err *e) MUST_CHECK;
