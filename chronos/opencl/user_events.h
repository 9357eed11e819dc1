/* user_events.h - events that the program itself has yet to set. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work that waits for one does not run, so it needs no turn; and who waits for it to be
 * done may wait for himself.  It gets its turn when the event is set: see queues.h,
 * "gated".  One that is never set keeps only what waits for it.
 */
#pragma once

#include "opencl.h"

/* Is there any that is not set? */
bool user_events_are_open(void);
/* Is one of these such a one? */
bool user_events_gate(cl_uint count, const cl_event *events);
void user_events_in_child(void);
