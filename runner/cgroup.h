/* cgroup.h - the control groups of one run: version 1, hybrid (taken as 1) and version 2. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run's group is <parent>/cumulus/<job>.<attempt> below each controller, where <parent> is
 * the group of the process that asks, so that a service manager's limits hold for jobs too.
 * It is noted as absolute folders, since a cleaner may sit in another group than the runner
 * did.  On version 2 there is one folder, and the service's own processes must be out of the
 * way first: cgroup_prepare().
 *
 * Thread: any; nothing is kept outside struct cgroup.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "err.h"

enum cgroup_controller {
	CGROUP_MEMORY,
	CGROUP_PIDS,
	CGROUP_CPU,
	CGROUP_DEVICES, /* version 1 only */
	CGROUP_CONTROLLERS,
};

struct cgroup {
	bool unified;                     /* version 2: every folder is the same one */
	char *dirs[CGROUP_CONTROLLERS];   /* owned; NULL where there is none */
	int join_fds[CGROUP_CONTROLLERS]; /* `tasks` of each, or dirs[0] on v2; -1 none */
	char **others; /* owned; folders that a runtime makes beside, only to be removed */
	size_t other_count;
};

struct cgroup_device {
	uint32_t major;
	uint32_t minor; /* UINT32_MAX: all of them */
};

struct cgroup_limits {
	int64_t memory_bytes;                /* 0: none */
	int32_t pids;                        /* 0: none */
	double cpus;                         /* 0: none */
	const struct cgroup_device *devices; /* besides null, zero, tty and such */
	size_t device_count;
	const char *dmem; /* lines for a dmem.max, NULL: none; version 2 only */
};

struct cgroup_counts {
	int64_t oom_kills;
	int64_t pids_refused; /* forks that the limit refused */
	int64_t peak_bytes;
};

/* Once at the start of a service, before jobs: on version 2 moves the processes of our
 * group into its child `supervisor` and hands the controllers down.  Elsewhere nothing.
 * ERR_UNSUPPORTED names the controller that is missing. */
int cgroup_prepare(struct err *e) MUST_CHECK;

/* After it, so that runs can be limited in their use of devices' memory; as
 * dmem_hand_down(). */
int cgroup_prepare_dmem(struct err *e) MUST_CHECK;
/* The regions that runs can be limited in, as dmem_regions() has them; NULL: none. */
char *cgroup_dmem_regions(void);

/* Where the group of this name is to be.  Nothing is made yet.  everywhere: a runtime makes
 * it, in every hierarchy that there is. */
int cgroup_plan(
	struct cgroup *g, const char *name, bool everywhere, struct err *e) MUST_CHECK;
void cgroup_fini(struct cgroup *g);

/* The folders as text, one "controller path" a line, for the log; the caller frees. */
char *cgroup_format(const struct cgroup *g);
/* Back from that text; each path must end in /cumulus/<name>. */
int cgroup_parse(
	struct cgroup *g, const char *text, const char *name, struct err *e) MUST_CHECK;

/* Make the group with these limits, adopting folders that are there. */
int cgroup_make(
	struct cgroup *g, const struct cgroup_limits *limits, struct err *e) MUST_CHECK;

/* Fork into the group: 0 in the child, its pid in the parent, -1 with errno.  Only from a
 * process with one thread.  A child that cannot join ends with CGROUP_JOIN_FAILED. */
#define CGROUP_JOIN_FAILED 119
pid_t cgroup_fork(const struct cgroup *g);

/* Counters; those that cannot be read are 0. */
void cgroup_count(const struct cgroup *g, struct cgroup_counts *out);

/* Called for each process in the group; -1 ends the walk. */
typedef int cgroup_member(pid_t pid, void *arg, struct err *e);
int cgroup_each(const struct cgroup *g, cgroup_member *member, void *arg,
	struct err *e) MUST_CHECK;

/* Send SIGKILL to every process in the group until none is left.  ERR_UNAVAILABLE when
 * some are after wait_ms. */
int cgroup_empty(const struct cgroup *g, int wait_ms, struct err *e) MUST_CHECK;
/* Remove the folders; absent is fine.  ERR_UNAVAILABLE while a process is in it. */
int cgroup_remove(const struct cgroup *g, struct err *e) MUST_CHECK;
