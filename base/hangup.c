/* hangup.c - tells a closed terminal from a request to reload. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "hangup.h"

#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

#include "cleanup.h"

static bool had_terminal;

static bool has_terminal(void)
{
	CLEANUP(close_fd) int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);

	return fd >= 0;
}

void hangup_init(void)
{
	struct sigaction now;

	had_terminal = sigaction(SIGHUP, NULL, &now) == 0 && now.sa_handler != SIG_IGN &&
		       has_terminal();
}

bool hangup_is_end(void)
{
	return had_terminal && !has_terminal();
}
