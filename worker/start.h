/* start.h - from a Start message to what a run folder's spec says.
 *
 * Thread: any; no state.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "devices.h"
#include "err.h"
#include "worker.pb-c.h"

/* The machine, for the limits that a Start leaves to it. */
struct start_machine {
	int32_t cpus;
	int64_t memory_bytes;
};

/* Is this a run that could be started here?  ERR_INVALID: never, naming the field;
 * ERR_UNSUPPORTED: not by this version; ERR_UNAVAILABLE: not now. */
int start_check(const Cumulus__Worker__Start *m, const struct devices *devices,
	struct err *e) MUST_CHECK;

/* Put the worker's own defaults where m has 0.  m->limits must be there. */
void start_fill_limits(Cumulus__Worker__Start *m, const struct start_machine *machine,
	const struct devices *devices);
