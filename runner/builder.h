/* builder.h - builds one environment: resolves requirements to a lock, then installs it.
 *
 *   resolve   pip download, wheels only, in a container with the host's network (without
 *             one where the operator gave a folder of wheels)
 *   lock      names, versions and hashes of what came; its digest is the environment's name
 *   install   pip install from those wheels by those hashes, in a container of the ordinary
 *             policy: no network, no GPU
 *   publish   everything is root's and read-only, on disk, then it gets its name
 *
 * Killed at any point it leaves its build folder, whose containers end by themselves, and
 * no environment.
 *
 * Thread: loop, the only one of this process; it forks.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "buildfolder.h"
#include "err.h"

struct builder_options {
	char *environments; /* absolute; where the finished ones are */
	char *build;        /* the build's id: environments/<build> */
	char *root_folder;  /* absolute, as in cumulus-runner */
	char *runtime;
	char *wheels; /* absolute; NULL: from the index */
	int64_t uid_base;
	int64_t time_s;
	int64_t disk_bytes;
	int64_t worker_pid; /* 0: nobody to end with */
	char *log_level;
	bool log_json;
};

/* DONE and REFUSED have left their word in the build folder; BROKEN is the machine's fault,
 * as e says, and trying again may help. */
enum build_end builder_run(const struct builder_options *o, struct err *e) MUST_CHECK;
