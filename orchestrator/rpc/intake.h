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
#include "requirement.h"
#include "submission.h"

struct intake {
	const struct submission_limits *limits;
	const struct package_limits *package;
	installed_version *version_of; /* what the workers' Python has */
	void *version_ctx;
};

/* A requirements.txt larger than all the lines that are allowed is refused unread. */
#define INTAKE_REQUIREMENTS_MAX (256 * 512)

/* NULL on failure: ERR_INVALID naming the field, the value and what is allowed, or
 * ERR_UNSUPPORTED naming a field whose mechanism is not there.  The message's package is
 * moved out of it; the rest stays the caller's.  One that only names its package (zip is
 * NULL) still needs intake_check_requirements() of it. */
struct submission *intake_read(const struct intake *in,
	Cumulus__Orchestrator__JobSubmission *m, const char *owner,
	struct err *e) MUST_CHECK;

/* The content of the package's requirements.txt, "" when it has none. */
int intake_check_requirements(
	const struct intake *in, const struct buf *file, struct err *e) MUST_CHECK;
