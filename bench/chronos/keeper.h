/* keeper.h - runs the bench in a child and removes what is left of it, however it ends. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Run work(arg) in a child process with all that it starts in one session, before other
 * work of the machine where that is permitted, and return its exit status.  When the child ends, or this process is told to by SIGINT,
 * SIGTERM or SIGHUP, the group is killed and dir is removed with all in it. */
int keep(const char *dir, int (*work)(void *arg), void *arg);
