/* buildfolder.h - the folder in which one environment is built: what is in it, and how it
 * is taken away.
 *
 * environments/<build's id>/, root's, 0700; made by the worker, which also removes it:
 *
 *   requirements   worker    a line each
 *   log            builder   its own words, for the worker's log
 *   output         builder   what pip printed, in both of its containers
 *   cgroup         builder   where the control group is; there before the first process
 *   config/        builder   what pip is told: its configuration, then the lock
 *   work/          pip       wheels/, tmp/ and tree/, which becomes the environment
 *   resolve/, install/       the containers' own files
 *   built          builder   64 hex digits: the environment's name
 *   failed         builder   one line: why there is none
 *
 * Thread: any.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "err.h"

#define BUILD_ID_KIND          'b' /* of id_make() */
#define BUILD_REQUIREMENTS     "requirements"
#define BUILD_LOG              "log"
#define BUILD_OUTPUT           "output"
#define BUILD_CGROUP           "cgroup"
#define BUILD_BUILT            "built"
#define BUILD_FAILED           "failed"

#define BUILD_REQUIREMENTS_MAX ((size_t)(1 << 20))
#define BUILD_OUTPUT_MAX       (INT64_C(4) << 20)
#define BUILD_LINE_MAX         ((size_t)1024) /* of `failed` */

/* In an environment itself. */
#define ENVIRONMENT_LOCK "lock" /* what was installed */
#define ENVIRONMENT_SIZE "size" /* decimal bytes */

/* Exit statuses of the builder. */
enum build_end { BUILD_DONE = 0, BUILD_BROKEN = 1, BUILD_USAGE = 2, BUILD_REFUSED = 3 };

/* Kill what is left of a build whose builder is gone, and remove its control group.  May be
 * repeated.  ERR_UNAVAILABLE: a process does not die (yet). */
int build_stop(int environments_fd, const char *id, struct err *e) MUST_CHECK;
/* The same, and remove its folder.  May be
 * repeated; absent is fine.  ERR_UNAVAILABLE: a process does not die (yet). */
int build_remove(int environments_fd, const char *id, struct err *e) MUST_CHECK;
