/* bundle.h - writes config.json, what an OCI runtime is told about a job's container.
 *
 * Thread: loop.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cgroup.h"
#include "err.h"

#define JOB_UID          1000 /* of the job inside its user namespace */
#define JOB_UID_COUNT    65536
#define JOB_PROGRAM_INIT "/opt/cumulus/init"

/* A host path that the container sees. */
struct bundle_bind {
	const char *at;
	const char *source;
	const char *options; /* comma-separated, as mount takes them */
};

struct bundle {
	const char *root;        /* absolute paths of the host, borrowed like all here */
	const char *package;     /* NULL: no /job/code.zip */
	const char *scratch;     /* has src/ and work/; NULL: none */
	const char *environment; /* NULL: none */
	const struct bundle_bind *binds; /* more than these */
	size_t bind_count;
	/* No network namespace of its own, and then no /sys: a runtime that may not mount a
	 * fresh one would bind the host's. */
	bool host_network;
	uint32_t uid_base;        /* host id of the container's root */
	int64_t tmp_bytes;        /* limit of /tmp, and of /dev/shm */
	int64_t file_bytes;       /* limit of one file; 0: none */
	const char *const *args;  /* with a NULL behind */
	const char *const *env;   /* "NAME=value", with a NULL behind */
	const char *const *nodes; /* device nodes */
	size_t node_count;
	/* Groups of the host that the job is in besides its own, for those nodes. */
	const uint32_t *groups;
	size_t group_count;
	const char *cwd;
	/* NULL: the runtime leaves control groups alone (crun). */
	const char *cgroup_path;
	const struct cgroup_limits *limits;
};

int bundle_write(int folder, const struct bundle *b, struct err *e) MUST_CHECK;
