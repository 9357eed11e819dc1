/* worker.h - the whole worker: its parts, and what passes between them and cumulusd.
 *
 * Thread: loop.  Holds no state that its folders do not, but for what cumulusd says again
 * on each stream (drain).
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "arbiter.h"
#include "devices.h"
#include "distributions.h"
#include "err.h"
#include "hello.h"
#include "home.h"
#include "link.h"
#include "options.h"
#include "packages.h"
#include "runs.h"

struct worker {
	struct options *options; /* borrowed */
	uv_loop_t loop;
	struct home home;
	struct devices devices;
	struct arbiter *arbiter; /* NULL: no device here has needed one yet */
	struct distributions distributions;
	struct packages *packages;
	struct environments *environments;
	struct runs runs;
	struct link *link;
	char *chronos_dir;  /* owned; NULL: Chronos's own */
	char *runner_path;  /* owned */
	char *builder_path; /* owned */
	char *chronos_path; /* the program whose arbiter gives the turns */
	char *root_path; /* owned; the root folder of jobs; NULL when none could be built */
	char unfit[512]; /* why no job can run on this machine; "" when one can */
	int32_t cpus;
	int64_t memory_bytes;

	bool draining;
	bool shutting_down; /* end once no run is live */
	bool stopping;      /* the loop is to end */
	bool looking;       /* at the devices, on a pool thread */
	bool figures_told;  /* on this stream: these */
	struct hello_figures figures;
	uv_timer_t look_timer;
	uv_timer_t idle_timer;
	uv_timer_t alive_timer;
	uv_signal_t signals[3];
};

/* Take the folder and find out what the machine has.  Forks; before threads. */
int worker_open(struct worker *w, struct options *options, struct err *e) MUST_CHECK;
/* Run until a signal, a Shutdown or idleness ends it.  The runners go on. */
void worker_run(struct worker *w);
void worker_close(struct worker *w);
