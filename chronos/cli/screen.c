/* screen.c - takes a terminal over for a live picture, and gives it back as it was. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "screen.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#define ENTER "\033[?1049h\033[?25l"
#define LEAVE "\033[?25h\033[?1049l"

/* There is one terminal. */
static struct {
	struct termios before;
	bool has_keys; /* stdin is a terminal too */
	int signal_fd;
	sigset_t signals;
} screen = { .signal_fd = -1 };

/* ---- what it is ---- */

bool screen_moves(FILE *out)
{
	const char *term = getenv("TERM");

	return isatty(fileno(out)) && term && *term && strcmp(term, "dumb") != 0;
}

bool screen_in_colour(FILE *out)
{
	const char *no_color = getenv("NO_COLOR");

	return screen_moves(out) && !(no_color && *no_color);
}

size_t screen_columns(FILE *out)
{
	struct winsize size;

	if (ioctl(fileno(out), TIOCGWINSZ, &size) < 0)
		return 0;
	return size.ws_col ? size.ws_col : 80;
}

size_t screen_rows(FILE *out)
{
	struct winsize size;

	if (ioctl(fileno(out), TIOCGWINSZ, &size) < 0)
		return 0;
	return size.ws_row ? size.ws_row : 24;
}

/* ---- taking and giving back ---- */

static int write_out(const char *text, size_t bytes)
{
	while (bytes > 0) {
		ssize_t n = write(STDOUT_FILENO, text, bytes);
		if (n < 0 && errno != EINTR)
			return -1;
		if (n > 0) {
			text += n;
			bytes -= (size_t)n;
		}
	}
	return 0;
}

/* Signals of the terminal stay on: Ctrl-C and Ctrl-Z do what they do. */
static int take(void)
{
	struct termios now = screen.before;

	now.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	now.c_cc[VMIN] = 0;
	now.c_cc[VTIME] = 0;
	if (screen.has_keys && tcsetattr(STDIN_FILENO, TCSADRAIN, &now) < 0)
		return -1;
	return write_out(ENTER, strlen(ENTER));
}

static void give_back(void)
{
	(void)!write_out(LEAVE, strlen(LEAVE));
	if (screen.has_keys)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &screen.before);
}

bool screen_enter(void)
{
	static const int caught[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP,
		SIGWINCH };

	if (!screen_moves(stdout))
		return false;
	sigemptyset(&screen.signals);
	for (size_t i = 0; i < sizeof caught / sizeof *caught; i++)
		sigaddset(&screen.signals, caught[i]);
	screen.signal_fd = signalfd(-1, &screen.signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (screen.signal_fd < 0)
		return false;
	sigprocmask(SIG_BLOCK, &screen.signals, NULL);
	screen.has_keys = tcgetattr(STDIN_FILENO, &screen.before) == 0;
	return take() == 0;
}

void screen_leave(void)
{
	give_back();
	close(screen.signal_fd);
	screen.signal_fd = -1;
	sigprocmask(SIG_UNBLOCK, &screen.signals, NULL);
}

/* As if it had not been caught: who waits for this program learns by what it ended. */
static void end_by(int signal_number)
{
	screen_leave();
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

/* SIGTSTP itself is blocked; what it does is done by hand. */
static void stop(void)
{
	give_back();
	raise(SIGSTOP);
	take();
}

/* ---- keys ---- */

static enum key take_signal(void)
{
	struct signalfd_siginfo got;

	if (read(screen.signal_fd, &got, sizeof got) != (ssize_t)sizeof got)
		return KEY_NONE;
	switch (got.ssi_signo) {
	case SIGINT:
		return KEY_QUIT;
	case SIGTSTP:
		stop();
		return KEY_NONE;
	case SIGWINCH:
		return KEY_NONE;
	default:
		end_by((int)got.ssi_signo);
		return KEY_QUIT;
	}
}

/* What terminals send for a key, at the beginning of what was typed. */
static const struct {
	const char *sent;
	enum key key;
} keys[] = {
	{ "q", KEY_QUIT },
	{ "Q", KEY_QUIT },
	{ "\033[A", KEY_UP },
	{ "\033OA", KEY_UP },
	{ "k", KEY_UP },
	{ "\033[B", KEY_DOWN },
	{ "\033OB", KEY_DOWN },
	{ "j", KEY_DOWN },
	{ "\033[5~", KEY_PAGE_UP },
	{ "\033[6~", KEY_PAGE_DOWN },
	{ " ", KEY_PAGE_DOWN },
	{ "\033[H", KEY_HOME },
	{ "\033OH", KEY_HOME },
	{ "\033[1~", KEY_HOME },
	{ "g", KEY_HOME },
	{ "\033[F", KEY_END },
	{ "\033OF", KEY_END },
	{ "\033[4~", KEY_END },
	{ "G", KEY_END },
};

/* Nothing to read though there is something: the terminal is gone. */
static enum key take_key(void)
{
	char typed[16];
	ssize_t n = read(STDIN_FILENO, typed, sizeof typed - 1);

	if (n <= 0)
		return KEY_QUIT;
	typed[n] = '\0';
	for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
		if (strncmp(typed, keys[i].sent, strlen(keys[i].sent)) == 0)
			return keys[i].key;
	}
	return KEY_NONE;
}

enum key screen_wait(int wait_ms)
{
	struct pollfd fds[] = { { .fd = screen.signal_fd, .events = POLLIN },
		{ .fd = screen.has_keys ? STDIN_FILENO : -1, .events = POLLIN } };

	if (poll(fds, 2, wait_ms) <= 0)
		return KEY_NONE;
	return fds[0].revents ? take_signal() : take_key();
}

int screen_draw(const char *picture, size_t bytes)
{
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return -1;
	fputs("\033[H", out);
	for (const char *at = picture, *end = at + bytes; at < end;) {
		const char *stop_at = memchr(at, '\n', (size_t)(end - at));
		size_t line = (size_t)((stop_at ? stop_at : end) - at);

		fwrite(at, 1, line, out);
		/* No newline behind the last: on the bottom row it would scroll. */
		fputs(at + line + 1 < end ? "\033[K\r\n" : "\033[K", out);
		at += line + 1;
	}
	fputs("\033[J", out);
	int rc = fclose(out) == 0 ? write_out(text, size) : -1;
	free(text);
	return rc;
}
