/* environments.h - the installed requirements that jobs of this machine share, and their
 * builds: one for each set of requirements, however many wait for it.
 *
 *   environments/<64 hex digits>/        complete; named by the digest of its lock
 *   environments/requests/<64 hex digits>  what a set of requirements was resolved to
 *   environments/b-.../                  being built (buildfolder.h)
 *   environments/gone-.../               being removed
 *
 * A set of requirements keeps what it was resolved to for as long as that environment is
 * kept.  The least recently used ones go when there are more bytes than the limit; pinned
 * ones stay.
 *
 * Thread: loop; removing happens on pool threads.  Survives a crash by its folder alone:
 * an environment gets its name when it is complete and on disk, and what a dead worker was
 * building is removed at the next start.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "digest.h"
#include "err.h"
#include "list.h"
#include "uids.h"

struct environments;
struct env_build;

struct environments_config {
	uv_loop_t *loop;
	int folder_fd;    /* D/worker */
	const char *path; /* its name; these texts are borrowed for life */
	const char *builder_path;
	const char *root_path;
	const char *runtime;
	const char *wheels; /* NULL: from the index */
	struct uids *uids;
	int64_t limit_bytes;
	int64_t time_s;     /* of one build */
	int64_t disk_bytes; /* of one build */
};

enum env_outcome {
	ENV_READY,
	ENV_REFUSED, /* there can be no such environment */
	ENV_BROKEN,  /* trying again may help */
	ENV_OUTCOMES
};

struct env_end {
	enum env_outcome outcome;
	struct digest lock; /* READY */
	const char *text;   /* one line: why not */
	const char *error;  /* REFUSED: that line, then the last that pip said */
};

/* Somebody who waits for a build; embedded in its user. */
struct env_wait {
	struct list link;        /* list_init() before the first use */
	struct env_build *build; /* NULL while it waits for nothing */
	int64_t heard;           /* bytes of the build's output that it was given */
	void (*output)(struct env_wait *w, const void *bytes, size_t len);
	/* Not called inside environments_want(). */
	void (*done)(struct env_wait *w, const struct env_end *end);
};

struct env_figures {
	size_t count; /* that are kept */
	int64_t bytes;
	uint64_t ended[ENV_OUTCOMES]; /* builds since the start, by enum env_outcome */
	uint64_t reused;              /* requests that found theirs */
};
struct env_figures environments_figures(const struct environments *v);

struct environments *environments_open(
	const struct environments_config *c, struct err *e) MUST_CHECK;
/* Later builds, and the next look at how much there is, go by these. */
void environments_set_limits(
	struct environments *v, int64_t limit_bytes, int64_t time_s, int64_t disk_bytes);
/* End all builds; waiters are forgotten, not called.  Runs the loop until they are gone. */
void environments_stop(struct environments *v);
void environments_close(struct environments *v); /* stopped; NULL is fine */

/* What names a set of requirements on this machine: the lines in any order, its Python and
 * where wheels come from. */
struct digest environments_request(
	const struct environments *v, char *const *lines, size_t count);
/* Is there an environment for this request?  Then *lock names it. */
bool environments_find(
	struct environments *v, const struct digest *request, struct digest *lock);
/* Wait for it to be built.  The callbacks are set by the caller. */
void environments_want(struct environments *v, const struct digest *request,
	char *const *lines, size_t count, struct env_wait *w);
/* Stop waiting; harmless when it does not.  A build for which nobody waits ends. */
void environments_leave(struct env_wait *w);

/* Keep it from being evicted, until unpinned as often; one that is not there is no matter. */
void environments_pin(struct environments *v, const struct digest *lock);
void environments_unpin(struct environments *v, const struct digest *lock);
/* Where it is; the caller frees. */
char *environments_path_dup(const struct environments *v, const struct digest *lock);
