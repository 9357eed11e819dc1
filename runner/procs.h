/* procs.h - processes by identity: a pid with its start time, or a pidfd.
 *
 * Thread: any.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

/* Field 22 of /proc/PID/stat; 0 when there is no such process. */
uint64_t process_start_time(pid_t pid);

/* A close-on-exec pidfd of that very process, or -1 when it is gone. */
int process_open(pid_t pid, uint64_t start_time);
/* The same for a child that cannot have been reaped: whoever it is now. */
int process_open_child(pid_t pid);

/* -1 with errno. */
int process_signal(int pidfd, int signal);
