/* streams.c - counts launches, and finds out when they are done. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One lock guards the list, and everything that asks the driver about a stream or event
 * that could go away, but no call that waits.  A launch takes it only when its thread last
 * launched on another stream.
 */
#include "streams.h"

#include "events.h"
#include "helper.h"
#include "reach.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define THREAD_TAIL_NS UINT64_C(500000)      /* between events on a thread's own stream */
#define GIVE_UP_NS     UINT64_C(30000000000) /* waiting for what does not end */
#define NO_ANSWER_NS   UINT64_C(1000000000)  /* waiting for what cannot be asked about */
#define NAP_NS         20000

struct stream {
	CUstream handle; /* NULL: this record is free */
	CUcontext context;
	uint64_t thread; /* of CU_STREAM_PER_THREAD; 0 for others */
	struct device *device;
	uint64_t life; /* goes up with each use of the record */
	bool removed;  /* by the program; what runs on it goes on */
	bool capturing;

	uint64_t launched; /* launches so far */
	uint64_t done;     /* of these, known to be done */

	/* Events of ours, NULL until they are needed. */
	CUevent tail; /* behind launch number tail_at */
	uint64_t tail_at;
	uint64_t tail_ns; /* when it was recorded */
	CUevent head;     /* before launch number head_at + 1 */
	uint64_t head_at;
	bool head_valid;
	bool waits; /* the program waits for what it launches: it needs no events */

	struct stream *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct stream *streams; /* all records, free ones too */
static uint32_t captures;      /* streams that are being captured */
static uint64_t removals;      /* goes up when a record changes its stream */

/* The streams that this thread last used, by their handle. */
enum { SEEN_MAX = 8 };
static __thread struct seen {
	struct stream *stream;
	CUstream handle;
	CUcontext context; /* of streams that each context has */
	uint64_t removals;
} seen[SEEN_MAX];
static __thread uint64_t own_id;
static uint64_t next_thread_id;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Called when a thread with an id ends: its streams are nobody's any more. */
static void forget_thread(void *id);

static pthread_key_t thread_end;
static pthread_once_t thread_end_once = PTHREAD_ONCE_INIT;

static void make_thread_end(void)
{
	pthread_key_create(&thread_end, forget_thread);
}

static uint64_t thread_id(void)
{
	if (!own_id) {
		own_id = __atomic_add_fetch(&next_thread_id, 1, __ATOMIC_RELAXED);
		pthread_once(&thread_end_once, make_thread_end);
		pthread_setspecific(thread_end, (void *)(uintptr_t)own_id);
	}
	return own_id;
}

static uint64_t load(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

/* One of each in each context. */
static bool is_default(CUstream handle)
{
	return handle == CU_STREAM_LEGACY || handle == CU_STREAM_PER_THREAD;
}

/* ---- finding; lock held ---- */

static struct stream *find(CUstream handle, CUcontext context)
{
	uint64_t thread = handle == CU_STREAM_PER_THREAD ? thread_id() : 0;
	struct stream *s = streams;

	while (s && (s->handle != handle || s->removed || s->thread != thread ||
			    (is_default(handle) && s->context != context)))
		s = s->next;
	return s;
}

static struct stream *new_record(void)
{
	struct stream *s = streams;

	while (s && s->handle)
		s = s->next;
	if (!s && (s = calloc(1, sizeof *s))) {
		s->next = streams;
		streams = s;
	}
	return s;
}

static void reset(struct stream *s)
{
	struct stream empty = { .life = s->life + 1, .next = s->next };

	*s = empty;
	__atomic_add_fetch(&removals, 1, __ATOMIC_RELEASE);
}

/* The device of a context, which need not be the thread's. */
static CUresult ask_device(CUcontext context, CUdevice *number)
{
	CUcontext current = NULL, popped;

	if (REAL(cuCtxGetCurrent)(&current) == CUDA_SUCCESS && current == context)
		return REAL(cuCtxGetDevice)(number);
	CUresult rc = REAL(cuCtxPushCurrent_v2)(context);
	if (rc != CUDA_SUCCESS)
		return rc;
	rc = REAL(cuCtxGetDevice)(number);
	REAL(cuCtxPopCurrent_v2)(&popped);
	return rc;
}

static CUresult ask_stream(CUstream handle, CUcontext *context)
{
	CUgreenCtx part;

	/* The first does not know streams of a part of a device. */
	if (driver_has(SYMBOL_cuStreamGetCtx_v2))
		return REAL(cuStreamGetCtx_v2)(handle, context, &part);
	return REAL(cuStreamGetCtx)(handle, context);
}

static CUresult ask_context(CUstream handle, CUcontext *context)
{
	CUresult rc = is_default(handle) ? REAL(cuCtxGetCurrent)(context)
					 : ask_stream(handle, context);

	return rc == CUDA_SUCCESS && !*context ? CUDA_ERROR_INVALID_CONTEXT : rc;
}

static struct stream *add(CUstream handle, CUcontext context, struct device *d)
{
	struct stream *s = new_record();

	if (!s)
		return NULL;
	s->context = context;
	s->device = d;
	s->thread = handle == CU_STREAM_PER_THREAD ? thread_id() : 0;
	s->handle = handle;
	return s;
}

static struct stream *find_or_add(CUstream handle, CUresult *rc)
{
	CUcontext context = NULL;
	CUdevice number;

	*rc = ask_context(handle, &context);
	if (*rc != CUDA_SUCCESS)
		return NULL;
	pthread_mutex_lock(&lock);
	struct stream *s = find(handle, context);
	pthread_mutex_unlock(&lock);
	if (s)
		return s;
	*rc = ask_device(context, &number);
	struct device *d = *rc == CUDA_SUCCESS ? partition_device(number, rc) : NULL;
	if (!d)
		return NULL;
	pthread_mutex_lock(&lock);
	s = find(handle, context);
	if (!s)
		s = add(handle, context, d);
	pthread_mutex_unlock(&lock);
	if (!s)
		*rc = CUDA_ERROR_OUT_OF_MEMORY;
	return s;
}

static struct seen *seen_as(CUstream handle)
{
	return &seen[((uintptr_t)handle ^ (uintptr_t)handle >> 7) % SEEN_MAX];
}

/* Mostly it is one that this thread used before. */
static struct stream *get(CUstream handle, CUresult *rc)
{
	struct seen *before = seen_as(handle);
	CUcontext context = NULL;
	uint64_t now = load(&removals);

	*rc = CUDA_SUCCESS;
	if (!before->stream && !partition_is_set())
		return NULL;
	if (is_default(handle))
		REAL(cuCtxGetCurrent)(&context);
	if (before->stream && before->handle == handle && before->context == context &&
		before->removals == now)
		return before->stream;
	struct stream *s = find_or_add(handle, rc);
	*before = (struct seen){ s, handle, context, now };
	return s;
}

struct device *streams_device(CUstream stream, CUresult *rc)
{
	struct stream *s = get(stream, rc);

	return s ? s->device : NULL;
}

/* ---- captures ---- */

static bool none_captures(void)
{
	return !__atomic_load_n(&captures, __ATOMIC_ACQUIRE);
}

bool streams_is_capturing(CUstream stream)
{
	CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;

	/* None began, so none that this one could have been drawn into. */
	if (none_captures())
		return false;
	return REAL(cuStreamIsCapturing)(stream, &status) == CUDA_SUCCESS &&
	       status != CU_STREAM_CAPTURE_STATUS_NONE;
}

CUstreamCaptureMode streams_begin_unsafe(void)
{
	CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;

	REAL(cuThreadExchangeStreamCaptureMode)(&mode);
	return mode;
}

void streams_end_unsafe(CUstreamCaptureMode mode)
{
	REAL(cuThreadExchangeStreamCaptureMode)(&mode);
}

/* ---- events; lock held ---- */

static bool push(const struct stream *s)
{
	return REAL(cuCtxPushCurrent_v2)(s->context) == CUDA_SUCCESS;
}

static void pop(void)
{
	CUcontext context;

	REAL(cuCtxPopCurrent_v2)(&context);
}

/* Can an event be recorded on it, by this thread and now? */
static bool can_record(const struct stream *s)
{
	if (s->removed || s->capturing || (s->thread && s->thread != own_id))
		return false;
	if (none_captures())
		return true;
	/* The legacy stream is ordered against those that are being captured. */
	return s->handle != CU_STREAM_LEGACY && !streams_is_capturing(s->handle);
}

/* It may take memory, which a capture forbids. */
static bool create(CUevent *event)
{
	CUstreamCaptureMode mode = streams_begin_unsafe();
	bool created = REAL(cuEventCreate)(event, CU_EVENT_DEFAULT) == CUDA_SUCCESS;

	streams_end_unsafe(mode);
	return created;
}

static bool record(const struct stream *s, CUevent *event)
{
	bool done = false;

	if (!push(s))
		return false;
	if (*event || create(event))
		done = REAL(cuEventRecord)(*event, s->handle) == CUDA_SUCCESS;
	pop();
	return done;
}

static void record_tail(struct stream *s)
{
	uint64_t launched = load(&s->launched);

	if (launched > s->tail_at && can_record(s) && record(s, &s->tail)) {
		s->tail_at = launched;
		s->tail_ns = now_ns();
	}
}

static void destroy_events(struct stream *s)
{
	if (s->tail)
		REAL(cuEventDestroy_v2)(s->tail);
	if (s->head)
		REAL(cuEventDestroy_v2)(s->head);
}

/* ---- done ---- */

struct report {
	struct chronos_attachment *attachment;
	uint32_t count;
	uint64_t device_ns; /* that they took, 0: not known */
};

static void tell(const struct report *r)
{
	if (r->count)
		chronos_launch_took(r->attachment, r->count, r->device_ns);
}

/* Lock held; tell() is called without it. */
static struct report note_done(struct stream *s, uint64_t upto, uint64_t device_ns)
{
	struct report r = { s->device->attachment, 0, device_ns };

	if (upto > load(&s->done)) {
		r.count = (uint32_t)(upto - load(&s->done));
		__atomic_store_n(&s->done, upto, __ATOMIC_RELEASE);
	}
	if (s->removed && s->done >= load(&s->launched)) {
		destroy_events(s);
		reset(s);
	}
	return r;
}

/* How long the device had to do with launches head_at + 1 to tail_at, 0 where one cannot
 * tell.  Lock held, the tail was reached. */
static uint64_t time_between(struct stream *s)
{
	float ms = 0;

	if (!s->head_valid || s->head_at != s->done ||
		REAL(cuEventElapsedTime)(&ms, s->head, s->tail) != CUDA_SUCCESS || ms < 0)
		return 0;
	/* At least something: 0 says that it is not known. */
	return (uint64_t)(ms * 1e6f) + 1;
}

/* Lock held.  True: there is nothing more to wait for. */
static bool look_at_tail(struct stream *s, struct report *r)
{
	if (!s->tail || s->tail_at <= s->done)
		return false;
	CUresult rc = REAL(cuEventQuery)(s->tail);
	if (rc == CUDA_ERROR_NOT_READY)
		return false;
	/* A device that failed runs nothing any more. */
	*r = note_done(s, s->tail_at, rc == CUDA_SUCCESS ? time_between(s) : 0);
	return true;
}

struct stream_mark streams_mark(CUstream stream)
{
	struct stream_mark m = { 0 };
	CUresult rc;
	struct stream *s = get(stream, &rc);

	if (s && !s->device->whole && !s->capturing) {
		m.stream = s;
		m.life = load(&s->life);
		m.upto = load(&s->launched);
	}
	return m;
}

/* Lock held. */
static struct report reached(const struct stream_mark *m)
{
	struct report none = { 0 };

	if (!m->stream || m->stream->life != m->life || !m->stream->handle)
		return none;
	if (m->upto > load(&m->stream->done))
		__atomic_store_n(&m->stream->waits, true, __ATOMIC_RELAXED);
	return note_done(m->stream, m->upto, 0);
}

void streams_reached(const struct stream_mark *m)
{
	if (!m->stream)
		return;
	pthread_mutex_lock(&lock);
	struct report r = reached(m);
	pthread_mutex_unlock(&lock);
	tell(&r);
}

void streams_wait(CUstream stream)
{
	/* Beside a capture the legacy stream cannot be waited for. */
	if (stream == CU_STREAM_LEGACY && !none_captures())
		return;
	struct stream_mark m = streams_mark(stream);
	CUstreamCaptureMode mode = streams_begin_unsafe();
	CUresult rc = REAL(cuStreamSynchronize)(stream);
	streams_end_unsafe(mode);
	if (rc == CUDA_SUCCESS)
		streams_reached(&m);
}

void streams_mark_context(struct context_marks *m, CUcontext context)
{
	m->count = 0;
	if (!partition_is_set())
		return;
	if (!context && REAL(cuCtxGetCurrent)(&context) != CUDA_SUCCESS)
		return;
	pthread_mutex_lock(&lock);
	for (struct stream *s = streams; s && m->count < CONTEXT_MARKS; s = s->next) {
		uint64_t launched = load(&s->launched);
		if (s->handle && s->context == context && launched > s->done)
			m->marks[m->count++] =
				(struct stream_mark){ s, s->life, launched };
	}
	pthread_mutex_unlock(&lock);
}

void streams_context_reached(const struct context_marks *m)
{
	for (size_t i = 0; i < m->count; i++)
		streams_reached(&m->marks[i]);
}

/* ---- draining ---- */

static struct stream *next_busy(const struct device *d, struct stream *after)
{
	struct stream *s = after ? after->next : streams;

	while (s && (!s->handle || s->device != d || load(&s->launched) <= s->done))
		s = s->next;
	return s;
}

static void nap(unsigned round)
{
	const struct timespec pause = { 0, NAP_NS };

	if (round < 4)
		sched_yield();
	else
		nanosleep(&pause, NULL);
}

/* Of one stream whose tail is some other thread's business: wait for its context. */
static void synchronize_context(struct stream *s)
{
	struct context_marks m;
	CUcontext context = s->context;
	struct stream like = { .context = context };

	pthread_mutex_unlock(&lock);
	streams_mark_context(&m, context);
	if (m.count && push(&like)) {
		CUresult rc = REAL(cuCtxSynchronize)();
		pop();
		if (rc == CUDA_SUCCESS)
			streams_context_reached(&m);
	}
	pthread_mutex_lock(&lock);
}

/* Lock held.  One step for each of the device's busy streams; false: there is none. */
static bool drain_step(const struct device *d, uint64_t waited_ns)
{
	struct stream *s = next_busy(d, NULL);

	for (; s; s = next_busy(d, s)) {
		struct report r = { 0 };
		record_tail(s);
		bool asked = s->tail_at > s->done;
		if (look_at_tail(s, &r)) {
			/* That was it. */
		} else if (!asked && s->thread && s->thread != own_id &&
			   none_captures()) {
			synchronize_context(s);
			return true;
		} else if (waited_ns > (asked ? GIVE_UP_NS : NO_ANSWER_NS)) {
			r = note_done(s, load(&s->launched), 0);
		}
		if (r.count) {
			pthread_mutex_unlock(&lock);
			tell(&r);
			pthread_mutex_lock(&lock);
			return true;
		}
	}
	return next_busy(d, NULL) != NULL;
}

void streams_drain(void *device)
{
	CUstreamCaptureMode mode = streams_begin_unsafe();
	uint64_t began_ns = now_ns();

	for (unsigned round = 0;; round++) {
		pthread_mutex_lock(&lock);
		bool busy = drain_step(device, now_ns() - began_ns);
		pthread_mutex_unlock(&lock);
		if (!busy)
			break;
		nap(round);
	}
	streams_end_unsafe(mode);
}

/* The helper looks around: what is done is reported, without waiting. */
bool streams_poll(struct device *d)
{
	bool busy = false;

	pthread_mutex_lock(&lock);
	for (struct stream *s = next_busy(d, NULL); s; s = next_busy(d, s)) {
		struct report r = { 0 };
		busy = true;
		record_tail(s);
		look_at_tail(s, &r);
		if (r.count) {
			pthread_mutex_unlock(&lock);
			tell(&r);
			pthread_mutex_lock(&lock);
			break;
		}
	}
	pthread_mutex_unlock(&lock);
	return busy;
}

/* ---- launching ---- */

/* The first of a series, of a program that does not wait itself: from here on the device
 * is busy with it. */
static void record_head(struct stream *s)
{
	if (__atomic_load_n(&s->waits, __ATOMIC_RELAXED) ||
		load(&s->launched) != load(&s->done))
		return;
	pthread_mutex_lock(&lock);
	s->head_valid =
		load(&s->launched) == s->done && can_record(s) && record(s, &s->head);
	s->head_at = s->done;
	pthread_mutex_unlock(&lock);
}

static CUresult wait_for_turn(struct launch *l, struct stream *s)
{
	struct device *d = s->device;

	/* Only its end is asked for. */
	if (d->whole)
		return chronos_launch(d->attachment, NULL) < 0 ? CUDA_ERROR_NOT_PERMITTED
							       : CUDA_SUCCESS;
	if (s->capturing || streams_is_capturing(s->handle))
		return device_check(d);
	if (chronos_launch(d->attachment, NULL) < 0)
		return CUDA_ERROR_NOT_PERMITTED;
	l->stream = s;
	record_head(s);
	helper_wake();
	return CUDA_SUCCESS;
}

CUresult launch_begin(struct launch *l, CUstream stream)
{
	CUresult rc;
	struct stream *s = get(stream, &rc);

	l->stream = NULL;
	return s ? wait_for_turn(l, s) : rc;
}

/* Another thread cannot record on it later. */
static void record_own_tail(struct stream *s)
{
	if (now_ns() < s->tail_ns + THREAD_TAIL_NS)
		return;
	pthread_mutex_lock(&lock);
	record_tail(s);
	pthread_mutex_unlock(&lock);
}

CUresult launch_end(const struct launch *l, CUresult rc)
{
	struct stream *s = l->stream;

	if (!s)
		return rc;
	if (rc != CUDA_SUCCESS) {
		chronos_launch_done(s->device->attachment, 1);
		return rc;
	}
	__atomic_add_fetch(&s->launched, 1, __ATOMIC_RELEASE);
	if (s->thread)
		record_own_tail(s);
	return rc;
}

/* ---- beginnings and ends ---- */

/* Lock held. */
static void stop_capturing(struct stream *s)
{
	if (s->capturing)
		__atomic_sub_fetch(&captures, 1, __ATOMIC_RELEASE);
	s->capturing = false;
}

bool streams_begin_capture(CUstream stream)
{
	CUresult rc;
	struct stream *s = get(stream, &rc);

	if (!s)
		return false;
	CUstreamCaptureMode mode = streams_begin_unsafe();
	pthread_mutex_lock(&lock);
	bool begins = !s->capturing;
	/* Later it could not be recorded, on the legacy stream either. */
	for (struct stream *busy = next_busy(s->device, NULL); busy;
		busy = next_busy(s->device, busy))
		record_tail(busy);
	if (begins)
		__atomic_add_fetch(&captures, 1, __ATOMIC_RELEASE);
	s->capturing = true;
	pthread_mutex_unlock(&lock);
	streams_end_unsafe(mode);
	return begins;
}

void streams_end_capture(CUstream stream, CUresult ended)
{
	CUstreamCaptureStatus status = CU_STREAM_CAPTURE_STATUS_NONE;
	CUresult rc;
	struct stream *s = get(stream, &rc);

	if (!s)
		return;
	/* By a thread that may not it is not ended. */
	if (ended != CUDA_SUCCESS &&
		REAL(cuStreamIsCapturing)(stream, &status) == CUDA_SUCCESS &&
		status != CU_STREAM_CAPTURE_STATUS_NONE)
		return;
	pthread_mutex_lock(&lock);
	stop_capturing(s);
	pthread_mutex_unlock(&lock);
}

/* Lock held.  What runs on it is still waited for. */
static void remove_record(struct stream *s)
{
	stop_capturing(s);
	s->removed = true;
	__atomic_add_fetch(&removals, 1, __ATOMIC_RELEASE);
	if (load(&s->done) >= load(&s->launched)) {
		destroy_events(s);
		reset(s);
	}
}

void streams_remove(CUstream stream)
{
	CUstreamCaptureMode mode;

	if (!partition_is_set() || is_default(stream) || !stream)
		return;
	mode = streams_begin_unsafe();
	pthread_mutex_lock(&lock);
	struct stream *s = find(stream, NULL);
	if (s) {
		record_tail(s);
		remove_record(s);
	}
	pthread_mutex_unlock(&lock);
	streams_end_unsafe(mode);
}

static void forget_thread(void *id)
{
	pthread_mutex_lock(&lock);
	for (struct stream *s = streams; s; s = s->next) {
		if (s->handle && s->thread == (uintptr_t)id)
			remove_record(s);
	}
	pthread_mutex_unlock(&lock);
}

void streams_begin_context_end(void)
{
	pthread_mutex_lock(&lock);
}

/* Lock held.  True: there are more than fit in. */
static bool forget_some(CUcontext context, struct report *reports, size_t *count)
{
	*count = 0;
	for (struct stream *s = streams; s; s = s->next) {
		if (!s->handle || s->context != context)
			continue;
		if (*count == CONTEXT_MARKS)
			return true;
		reports[(*count)++] = (struct report){ s->device->attachment,
			(uint32_t)(load(&s->launched) - load(&s->done)), 0 };
		stop_capturing(s);
		/* Its events went with the context. */
		reset(s);
	}
	return false;
}

void streams_context_end(CUcontext context, bool gone)
{
	struct report reports[CONTEXT_MARKS];
	size_t count = 0;
	bool more;

	do {
		more = gone && forget_some(context, reports, &count);
		pthread_mutex_unlock(&lock);
		for (size_t i = 0; i < count; i++)
			tell(&reports[i]);
		if (more)
			pthread_mutex_lock(&lock);
	} while (more);
}

void streams_in_child(void)
{
	pthread_mutex_init(&lock, NULL);
	streams = NULL;
	captures = 0;
	memset(seen, 0, sizeof seen);
	events_in_child();
	helper_in_child();
}
