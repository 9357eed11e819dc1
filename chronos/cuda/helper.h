/* helper.h - the thread that passes the turn on for a program that does not wait. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

struct device;

/* Before a launch is made: starts the thread at the first, wakes it when it sleeps.
 * Thread: any. */
void helper_wake(void);
void helper_in_child(void);

/* streams.c: report what is done on the device; true: there is more.  Thread: helper. */
bool streams_poll(struct device *d);
