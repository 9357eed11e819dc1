/* filter.h - the system calls that a job may make, as a program for the kernel.
 *
 * Thread: any.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "err.h"

/* Write the filter of this machine's architecture to fd, as struct sock_filter. */
int filter_write(int fd, struct err *e) MUST_CHECK;
