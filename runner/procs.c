/* procs.c - processes by identity: a pid with its start time, or a pidfd. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "procs.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "file.h"

#define STAT_NAME       2 /* fields before the last ')' */
#define STAT_START_TIME 22

uint64_t process_start_time(pid_t pid)
{
	CLEANUP(buf_fini) struct buf text = { 0 };
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (file_read(AT_FDCWD, path, 4096, &text, NULL) < 0)
		return 0;
	buf_add(&text, "", 1);

	/* The name is in parentheses and may hold spaces and parentheses itself. */
	const char *at = strrchr((const char *)text.data, ')');
	for (int field = STAT_NAME; at && field < STAT_START_TIME; field++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at + 1, NULL, 10) : 0;
}

int process_open_child(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

int process_open(pid_t pid, uint64_t start_time)
{
	CLEANUP(close_fd) int fd = process_open_child(pid);

	/* Looked at after opening: from then on the pidfd stays with one process. */
	if (fd < 0 || process_start_time(pid) != start_time)
		return -1;
	return take_fd(&fd);
}

int process_signal(int pidfd, int signal)
{
	return (int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}
