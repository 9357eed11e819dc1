/* runner.h - one run, from the lock of its folder to its last record. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 *   open ─▶ set up ─▶ supervise ─▶ finish
 *     │        └── refused, failed, stopped, too slow ──▲
 *     └── not ours to run: leave without a trace
 *
 * What each step leaves behind is named in the log before it is made, so that whoever
 * finds the folder without a runner can take it away (runclean.h).
 *
 * Thread: loop, the only one of this process; it forks, so there may be no other.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "channel.h"
#include "chronos.h"
#include "container.h"
#include "exits.h"
#include "gpu.h"
#include "hold.h"
#include "id.h"
#include "runclean.h"
#include "runfolder.h"

struct options {
	char *run_folder;
	char *root_folder;
	char *chronos_dir; /* NULL: Chronos's own */
	char *runtime;
	char *log_level;
	bool log_json;
	bool check;
};

/* How a run that got no container ends. */
enum setup_fault { SETUP_FINE, SETUP_REFUSED, SETUP_FAILED, SETUP_STOPPED };

struct runner {
	const struct options *options; /* borrowed */
	char *run_path;                /* absolute */
	int dirfd;
	int lock;
	Cumulus__Worker__RunSpec *spec;
	const Cumulus__Worker__Start *start; /* borrowed from spec */
	Cumulus__Worker__RunLimits limits;   /* all filled in */
	char name[RUN_NAME_SIZE];
	char key[RUN_KEY_SIZE];
	int64_t began_ns; /* boottime, as all of these */
	int64_t grace_ns;

	struct run_log_writer log;
	struct run_output output;
	struct chronos *chronos;
	struct chronos_partition partition;
	struct gpus gpus;
	char *dmem; /* owned; what the kernel holds it to, NULL: nothing */
	struct hold hold;
	struct hold_usage usage;
	struct runtime runtime;
	struct cgroup cgroup;
	struct container container;
	struct channel channel;

	int inotify;
	bool stopped;     /* the file `stop` is there */
	bool stop_unseen; /* it could not be looked for: to be done again */
	Cumulus__Worker__StopWhy stop_why;
	int64_t stop_grace_ns;

	enum setup_fault fault;
	Cumulus__Worker__RefusedKind refused; /* fault REFUSED */
	Cumulus__Orchestrator__Reason failed; /* fault FAILED */
	char fault_text[RUN_MESSAGE_MAX + 1];

	int64_t partition_ns; /* how long each step took */
	int64_t container_ns;
	int64_t started_ns; /* when the job was started; 0: never */
	int64_t ended_ns;
	bool deadline;   /* it was ended since its time was up */
	bool disk_full;  /* it was ended since its files take too much */
	bool share_gone; /* somebody else released its partition */
};

/* Take the folder's lock and read what is to be done.  ERR_CONFLICT: another runner has it
 * or had it, so this one is to leave. */
int runner_open(struct runner *r, const struct options *o, struct err *e) MUST_CHECK;
void runner_close(struct runner *r);

/* A line of our own, with its line break, in the job's output: stream SYSTEM. */
int runner_say(struct runner *r, struct err *e, const char *format, ...)
	PRINTF_LIKE(3, 4) MUST_CHECK;

/* Look whether `stop` is there; true when the run is to end. */
bool runner_look_for_stop(struct runner *r);
/* How long the partition must outlive the job's time: dying and cleaning up take some. */
int64_t runner_partition_slack_ns(const struct runner *r);

/* Partition, package, container.  On failure r->fault says how the run ends. */
int runner_set_up(struct runner *r) MUST_CHECK;

/* Until the container is gone: output, progress, time, `stop`. */
int runner_supervise(struct runner *r, struct err *e) MUST_CHECK;

/* Take everything away, then write the last record.  On failure the folder is left as one
 * of a dead runner, for the worker to clean. */
int runner_finish(struct runner *r, struct err *e) MUST_CHECK;

/* The run folder is gone, so no report can be left: take away what was made, by memory. */
void runner_abandon(struct runner *r);

/* --check: does an empty container run on this machine? */
int runner_check(const struct options *o, struct err *e) MUST_CHECK;
