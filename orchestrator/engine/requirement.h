/* requirement.h - does an installed version satisfy a requirement line?
 *
 * Thread: any; pure.  A cautious subset of PEP 508 and PEP 440: plain names with
 * specifiers over release numbers.  What it cannot judge (extras, markers, pre-releases,
 * local versions) it calls not satisfied, never the other way round.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

/* The installed version of a distribution by its normalised name, NULL = not installed. */
typedef const char *installed_version(void *ctx, const char *name);

/* line has passed requirement_check(). */
bool requirement_satisfied(const char *line, installed_version *version_of, void *ctx);
