/* child.h - starts programs that outlive the worker.
 *
 * Thread: loop.  The child has a session of its own, no descriptor of the worker, the
 * default signals and a small environment.  Its stdin and stdout are pipes without
 * another end, for an OCI runtime may give the std streams away to a job's user, and then
 * /dev/null itself would be that user's; its stderr is a file.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "err.h"

struct child_program {
	const char *const *argv;
	const char *const *envp;
	int stderr_fd; /* borrowed; a regular file */
	bool says;     /* what it writes to stdout goes there too */
};

struct child {
	pid_t pid; /* reap it by waitpid() once the pidfd is readable */
	int pidfd; /* owned by the caller */
};

int child_start(
	const struct child_program *s, struct child *out, struct err *e) MUST_CHECK;
