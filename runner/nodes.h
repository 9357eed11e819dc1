/* nodes.h - which nodes of /dev a device is used by.
 *
 * The runner gives a job these and no others; the worker offers no device whose nodes are not
 * all there.
 *
 * Thread: any.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <sys/stat.h>

#include "chronos.h"
#include "err.h"

enum { DEVICE_NODES_MAX = 8 };

struct device_nodes {
	char paths[DEVICE_NODES_MAX][48]; /* "/dev/nvidia0", "/dev/dri/renderD128" */
	size_t count;
};

/* None for a device that is no file: the processor, a simulated one.  ERR_NOT_FOUND: one is
 * not there; ERR_DENIED: root alone can open one; ERR_UNSUPPORTED: the driver does not say
 * which they are. */
int device_nodes_find(const struct chronos_device *d, struct device_nodes *out,
	struct err *e) MUST_CHECK;

/* Who besides root can open a node as its owner can. */
enum node_access { NODE_ROOT, NODE_GROUP, NODE_ALL };

enum node_access node_access_of(const struct stat *st);

/* For those who look for them.  A path that is too long is cut, and then is not there. */
void device_nodes_add(struct device_nodes *n, const char *format, ...) PRINTF_LIKE(2, 3);
