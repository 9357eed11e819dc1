/* submission.h - the one table of limits that a submission is checked against.
 *
 * Thread: any; pure.  Every error names the field, the value and what is allowed.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "err.h"
#include "job.h"

struct submission_limits {
	int32_t duration_min_s, duration_max_s;
	int64_t package_bytes;    /* in a message */
	int64_t upload_bytes;     /* of a package that is uploaded */
	int64_t env_bytes;        /* all names and values together */
	int64_t name_bytes;       /* name, key, label keys and values */
	size_t labels;            /* how many */
	size_t args;              /* how many */
	int64_t args_bytes;       /* together */
	size_t requirements;      /* how many lines */
	size_t requirement_bytes; /* of one line */
	int32_t retries;
};

extern const struct submission_limits submission_defaults;

/* 0.1..0.9 of one GPU or 1..8 whole ones; a float within 0.0001 of a hundredth. */
int amount_from_float(float gpu_memory, struct amount *out, struct err *e) MUST_CHECK;
float amount_to_float(struct amount a);
int duration_check(
	const struct submission_limits *l, int32_t seconds, struct err *e) MUST_CHECK;
int priority_check(int32_t priority, struct err *e) MUST_CHECK;
int retries_check(const struct submission_limits *l, int32_t n, struct err *e) MUST_CHECK;
/* Length and no control characters; field is "name", "idempotency_key" ... */
int name_check(const struct submission_limits *l, const char *field, const char *value,
	struct err *e) MUST_CHECK;
/* [A-Za-z_][A-Za-z0-9_]*; "env" is named in the error. */
int env_name_check(const char *name, struct err *e) MUST_CHECK;
/* A PEP 508 requirement by name: extras, version specifiers, a marker.  URLs, options,
 * paths and line breaks are refused. */
int requirement_check(
	const struct submission_limits *l, const char *line, struct err *e) MUST_CHECK;
