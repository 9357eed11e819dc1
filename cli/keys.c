/* keys.c - single keys from the terminal, without Enter and unseen. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "keys.h"

#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

/* What ends or stops a program that does not mind them.  SIGKILL leaves the terminal as it is. */
static const int leaving[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP };
#define LEAVING_COUNT (sizeof(leaving) / sizeof(*leaving))

/* Global, since a signal's handler finds it nowhere else. */
static struct termios before, during;
static volatile sig_atomic_t taken;

static void on_leaving(int number);

static void handle(void (*handler)(int number))
{
	for (size_t i = 0; i < LEAVING_COUNT; i++) {
		struct sigaction was,
			now = { .sa_handler = handler, .sa_flags = SA_RESTART };

		/* Who ignores one (nohup) goes on doing so. */
		if (sigaction(leaving[i], NULL, &was) == 0 && was.sa_handler != SIG_IGN)
			sigaction(leaving[i], &now, NULL);
	}
}

/* Only calls that a handler may make.  Behind raise() only who was stopped goes on. */
static void on_leaving(int number)
{
	sigset_t only;

	tcsetattr(STDIN_FILENO, TCSANOW, &before);
	handle(SIG_DFL);
	sigemptyset(&only);
	sigaddset(&only, number);
	raise(number);
	sigprocmask(SIG_UNBLOCK, &only, NULL);
	handle(on_leaving);
	/* In the background this stops it again, until it is in front. */
	tcsetattr(STDIN_FILENO, TCSANOW, &during);
}

bool keys_begin(void)
{
	if (!isatty(STDIN_FILENO) || tcgetpgrp(STDIN_FILENO) != getpgrp() ||
		tcgetattr(STDIN_FILENO, &before) < 0)
		return false;
	during = before;
	during.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	during.c_cc[VMIN] = 1;
	during.c_cc[VTIME] = 0;
	handle(on_leaving);
	taken = tcsetattr(STDIN_FILENO, TCSANOW, &during) == 0;
	if (!taken)
		handle(SIG_DFL);
	return taken;
}

void keys_end(void)
{
	if (!taken)
		return;
	tcsetattr(STDIN_FILENO, TCSANOW, &before);
	handle(SIG_DFL);
	taken = 0;
}

bool keys_typed(char key)
{
	struct pollfd input = { STDIN_FILENO, POLLIN, 0 };
	char keys[64];
	bool found = false;

	while (taken && poll(&input, 1, 0) > 0) {
		ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

		if (n <= 0)
			break;
		found = found || memchr(keys, key, (size_t)n);
	}
	return found;
}
