/* device_filter.h - which device nodes the processes of a version 2 control group may open.
 *
 * Version 1 has files for it (devices.allow); version 2 asks a program that is attached to
 * the group, and goes with it.
 *
 * Thread: any.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

#include "cgroup.h"
#include "err.h"

/* Nothing but these character devices can be opened or made in the group from now on.
 * ERR_DENIED: this process may not load such programs. */
int device_filter_attach(int group_fd, const struct cgroup_device *allowed, size_t count,
	struct err *e) MUST_CHECK;
