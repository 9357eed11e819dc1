/* streams.h - what was launched on each stream and is not known to be done. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Launches are counted on their stream, and reported to the lease as done when something
 * shows that they are: the program waits, or asks, or an event that is recorded behind
 * them is reached.  There is no event for each launch: one is recorded when the turn is
 * over, and by the helper thread, each millisecond, for a program that does not wait.
 *
 * "stream" below is never 0: the caller says CU_STREAM_LEGACY or CU_STREAM_PER_THREAD.
 * A stream that is being captured runs nothing: launches there are not counted, and
 * nothing is recorded on it.  Thread: any.
 */
#pragma once

#include "partition.h"

/* What stream 0 is for a function, and for its variant per thread. */
static inline CUstream legacy(CUstream stream)
{
	return stream ? stream : CU_STREAM_LEGACY;
}
static inline CUstream per_thread(CUstream stream)
{
	return stream ? stream : CU_STREAM_PER_THREAD;
}

struct stream; /* opaque; never freed, so that a stale one may be looked at */

/* The device that it is on.  NULL as for partition_device(). */
struct device *streams_device(CUstream stream, CUresult *rc);

bool streams_is_capturing(CUstream stream);

/* One launch: begin waits for the device's turn, end reports what the driver said. */
struct launch {
	struct stream *stream; /* NULL: it is not counted */
};
CUresult launch_begin(struct launch *l, CUstream stream);
CUresult launch_end(const struct launch *l, CUresult rc);

/* How far a stream has come, to be said once it is known that it got there. */
struct stream_mark {
	struct stream *stream; /* NULL: nothing to say */
	uint64_t life;
	uint64_t upto;
};
struct stream_mark streams_mark(CUstream stream);
void streams_reached(const struct stream_mark *m);
/* Wait for all that was launched on it, where no capture forbids that. */
void streams_wait(CUstream stream);

/* All streams of the thread's context, or of `context`; those that do not fit in are left
 * to the helper. */
enum { CONTEXT_MARKS = 32 };
struct context_marks {
	size_t count;
	struct stream_mark marks[CONTEXT_MARKS];
};
void streams_mark_context(struct context_marks *m, CUcontext context);
void streams_context_reached(const struct context_marks *m);

/* Wait for all that was launched on the device and report it: for chronos_attach(). */
void streams_drain(void *device);

/* Before the real call; true: it has begun, and must be ended if the driver refuses. */
bool streams_begin_capture(CUstream stream);
/* After the real call, which ended with `ended`. */
void streams_end_capture(CUstream stream, CUresult ended);
/* The stream is about to go: what runs on it goes on. */
void streams_remove(CUstream stream);

/* A context is about to go, and its streams and events with it: until _end no other
 * thread touches them.  `gone`: it is gone. */
void streams_begin_context_end(void);
void streams_context_end(CUcontext context, bool gone);

/* Let this thread make calls that another thread's capture would forbid. */
CUstreamCaptureMode streams_begin_unsafe(void);
void streams_end_unsafe(CUstreamCaptureMode mode);

void streams_in_child(void);
