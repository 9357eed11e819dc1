/* terminal.c - asks what the terminal can do, writes to it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "exit_code.h"
#include "file.h"
#include "str.h"

void terminal_init(struct terminal *t)
{
	const char *term = getenv("TERM");
	bool able = !str_empty(term) && strcmp(term, "dumb") != 0;
	bool colour = str_empty(getenv("NO_COLOR"));

	t->out_tty = isatty(STDOUT_FILENO) == 1;
	t->err_tty = isatty(STDERR_FILENO) == 1;
	t->out_moves = t->out_tty && able;
	t->err_moves = t->err_tty && able;
	t->out_colour = t->out_moves && colour;
	t->err_colour = t->err_moves && colour;
}

size_t terminal_columns(int fd)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) < 0)
		return 0;
	return size.ws_col ? size.ws_col : 80;
}

size_t terminal_rows(int fd)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) < 0)
		return 0;
	return size.ws_row ? size.ws_row : 24;
}

const char *terminal_colour(bool enabled, enum colour colour)
{
	static const char *const sequences[] = {
		[COLOUR_NONE] = "\033[0m",
		[COLOUR_DIM] = "\033[2m",
		[COLOUR_RED] = "\033[31m",
		[COLOUR_GREEN] = "\033[32m",
		[COLOUR_YELLOW] = "\033[33m",
		[COLOUR_CYAN] = "\033[36m",
	};

	return enabled ? sequences[colour] : "";
}

/* SIGPIPE is ignored while the program runs, for the sockets' sake. */
static void end_by_broken_pipe(void)
{
	signal(SIGPIPE, SIG_DFL);
	raise(SIGPIPE);
	_exit(128 + SIGPIPE);
}

static void end_by_failed_write(int fd)
{
	if (errno == EPIPE)
		end_by_broken_pipe();
	if (fd != STDERR_FILENO)
		dprintf(STDERR_FILENO, "cumulus: write the output: %s\n",
			strerror(errno));
	_exit(EXIT_USAGE);
}

void put_bytes(int fd, const void *bytes, size_t len)
{
	if (write_all(fd, bytes, len) < 0)
		end_by_failed_write(fd);
}

void put_rest(void)
{
	if (fflush(stdout) != 0 || ferror(stdout))
		end_by_failed_write(STDOUT_FILENO);
}

void put_text(int fd, const char *text)
{
	put_bytes(fd, text, strlen(text));
}

void put_buf(int fd, struct buf *b)
{
	put_bytes(fd, b->data, b->len);
	buf_clear(b);
}
