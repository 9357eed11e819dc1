/* arbiter.h - keeps a `chronos arbiter` at work for this worker's devices.
 *
 * It is a process of its own and goes on when the worker ends, since jobs do; the next
 * worker leaves it at work.
 *
 * Thread: loop.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "chronos.h"

struct arbiter;

struct arbiter_config {
	uv_loop_t *loop;
	const char *program;     /* chronos; borrowed, as all here */
	const char *chronos_dir; /* NULL: Chronos's own */
	const struct chronos *chronos;
	int log_dir; /* where its log goes */
};

/* Starts one where none serves, now and whenever there is none any more. */
struct arbiter *arbiter_new(const struct arbiter_config *config);
/* Look after it no more; with `end`, the one that was started here is told to end.  NULL is
 * fine. */
void arbiter_close(struct arbiter *a, bool end);
