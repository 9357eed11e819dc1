/* container.h - brings one container to life by an OCI runtime, and holds its ends.
 *
 * Thread: loop; the process has no other thread, is the subreaper of its descendants and
 * has a mount namespace of its own (container_prepare).
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cgroup.h"
#include "err.h"

struct runtime {
	char *path; /* owned */
	bool runc;  /* it makes the control groups itself */
};

/* wanted is "crun", "runc" or "auto": crun, or runc where that is missing. */
int runtime_find(struct runtime *r, const char *wanted, struct err *e) MUST_CHECK;
void runtime_fini(struct runtime *r);

/* Once, before threads: own mount namespace without the host's version 2 hierarchy of
 * control groups in a hybrid set-up, which crun would take for the only one. */
int container_prepare(struct err *e) MUST_CHECK;

/* How long to wait, and what cuts it short. */
struct patience {
	int64_t until_boot_ns;
	int wake_fd; /* -1: none; when readable, give_up is asked */
	bool (*give_up)(void *arg);
	void *arg;
};

/* Wait for a child and reap it.  ERR_TIMEOUT, or ERR_CONFLICT when given up: the child was
 * killed then. */
int child_wait(
	pid_t pid, const struct patience *p, int *status, struct err *e) MUST_CHECK;

/* All ends are ours and -1 when closed. */
struct container {
	pid_t init; /* our child by adoption: reap it by waitpid() */
	uint64_t init_start_time;
	int pidfd;
	int out; /* reading ends, not blocking */
	int err;
	int channel;  /* SOCK_SEQPACKET, not blocking */
	int lifeline; /* closing it ends the container */
};

struct container_start {
	const struct runtime *runtime;
	const struct cgroup *cgroup;
	int dirfd; /* the run folder: has bundle/config.json; exit is made here */
	const char *run_path; /* the same, as an absolute path */
	const char *id;
	const struct patience *patience;
};

/* ERR_INVALID carries the runtime's own words. */
int container_start(
	struct container *c, const struct container_start *s, struct err *e) MUST_CHECK;
/* Close all ends; the container's processes are not touched otherwise. */
void container_close(struct container *c);
