/* queues.h - what was launched on each queue, and what of it is known to be done. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue is *gated* when what is on it waits for an event that the program has yet to
 * set.  What it has is then not in flight: queues_open() counts it as such.
 *
 * Thread: any.
 */
#pragma once

#include "opencl.h"

/* chronos_joining's drain: all that is in flight is done, or waits for the program. */
void queues_drain(void *unused);

/* How many launches it has had; of one that is not in order, 0 unless all are asked for. */
uint64_t queue_launched(cl_command_queue handle);
uint64_t queue_launched_in_order(cl_command_queue handle);
/* These are done; the turn that they had is told so. */
void queue_note_done(cl_command_queue handle, uint64_t upto);
/* The same, of an event that is done. */
void queue_note_event_done(cl_event event);
/* One launch more, and its event where the program asked for one; false where the queue is
 * not known, as it was not made through the layer. */
bool queue_note_launched(cl_command_queue handle, cl_event event);

/* Does a launch on it wait for the program? */
bool queue_is_gated(cl_command_queue handle);
/* The last launch on it does, and so does what comes after it in order. */
void queue_gate(cl_command_queue handle);
/* Is any? */
bool queues_are_gated(void);
/* None is any more: what they have is in flight, as one launch, done when all of it is.
 * False where nothing is. */
bool queues_open(void);

void queues_in_child(void);
