/* watch.c - redraws in place on a terminal, one picture after the other on a pipe. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "watch.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "keys.h"
#include "remote.h"

#define PERIOD_MS 2000

/* ---- in place */

/* How much of the picture fits in so many lines, and whether that is all of it. */
static size_t fit(const struct buf *picture, size_t lines, bool *whole)
{
	const char *at = (const char *)picture->data;
	const char *end = at + picture->len;

	while (at < end && lines-- > 0) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));

		at = line_end ? line_end + 1 : end;
	}
	*whole = at == end;
	return picture->len - (size_t)(end - at);
}

/* From the top left; each line's old rest goes, then everything below.  What does not fit
 * is left out, with a word: a terminal that scrolls would lose the top. */
static void put_in_place(const struct buf *picture)
{
	CLEANUP(buf_fini) struct buf out = { 0 };
	size_t rows = terminal_rows(STDOUT_FILENO);
	bool whole = true;
	size_t len = fit(picture, rows > 1 ? rows - 1 : 1, &whole);
	const char *at = (const char *)picture->data;
	const char *end;

	/* The last line is for the word that there is more. */
	if (!whole)
		len = fit(picture, rows > 2 ? rows - 2 : 1, &whole);
	end = at + len;
	buf_addf(&out, "\033[H");
	while (at < end) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));
		size_t line = (size_t)((line_end ? line_end : end) - at);

		buf_add(&out, at, line);
		buf_addf(&out, "\033[K\n");
		at += line + 1;
	}
	buf_addf(&out, "%s\033[J", whole ? "" : "...\033[K\n");
	put_buf(STDOUT_FILENO, &out);
}

/* ---- until the next picture */

struct wait {
	uv_timer_t timer;
	uv_signal_t resize, resume;
	uv_poll_t keys; /* where they are taken */
	bool over;
	bool quit;        /* q was typed */
	unsigned handles; /* not closed yet */
};

static void on_time(uv_timer_t *timer)
{
	((struct wait *)timer->data)->over = true;
}

static void on_signal(uv_signal_t *handle, int number)
{
	(void)number;
	((struct wait *)handle->data)->over = true;
}

static void on_key(uv_poll_t *poll, int status, int events)
{
	struct wait *w = poll->data;

	(void)events;
	w->quit = keys_typed('q');
	w->over = w->over || w->quit;
	if (status <
		0) /* the terminal has gone: SIGHUP comes, or the next picture fails */
		uv_poll_stop(poll);
}

static void on_closed(uv_handle_t *handle)
{
	((struct wait *)handle->data)->handles--;
}

static void take_keys(uv_loop_t *loop, struct wait *w)
{
	if (uv_poll_init(loop, &w->keys, STDIN_FILENO))
		abort();
	w->keys.data = w;
	w->handles++;
	if (uv_poll_start(&w->keys, UV_READABLE, on_key))
		abort();
}

/* Another size, or back from Ctrl-Z: the old picture is spoilt.  False: q was typed. */
static bool wait_for_next(struct remote *remote, bool with_keys)
{
	uv_loop_t *loop = &remote->loop;
	struct wait w = { .handles = 3 };

	if (uv_timer_init(loop, &w.timer) || uv_signal_init(loop, &w.resize) ||
		uv_signal_init(loop, &w.resume))
		abort();
	w.timer.data = w.resize.data = w.resume.data = &w;
	if (uv_timer_start(&w.timer, on_time, PERIOD_MS, 0) ||
		uv_signal_start(&w.resize, on_signal, SIGWINCH) ||
		uv_signal_start(&w.resume, on_signal, SIGCONT))
		abort();
	if (with_keys)
		take_keys(loop, &w);
	while (!w.over)
		uv_run(loop, UV_RUN_ONCE);
	if (with_keys)
		uv_close((uv_handle_t *)&w.keys, on_closed);
	uv_close((uv_handle_t *)&w.timer, on_closed);
	uv_close((uv_handle_t *)&w.resize, on_closed);
	uv_close((uv_handle_t *)&w.resume, on_closed);
	while (w.handles > 0)
		uv_run(loop, UV_RUN_ONCE);
	return !w.quit;
}

static enum exit_code watch_with(struct cli *cli, draw_fn *draw, bool in_place, bool keys)
{
	CLEANUP(buf_fini) struct buf picture = { 0 };

	for (;;) {
		enum exit_code code = draw(cli, &picture);

		if (code != EXIT_DONE)
			return code;
		if (in_place)
			put_in_place(&picture);
		else
			put_bytes(STDOUT_FILENO, picture.data, picture.len);
		buf_clear(&picture);
		if (!cli->options->watch || !wait_for_next(cli->remote, keys))
			return EXIT_DONE;
	}
}

enum exit_code watch(struct cli *cli, draw_fn *draw)
{
	bool in_place =
		cli->options->watch && cli->terminal->out_moves && !cli->options->json;
	bool keys = in_place && keys_begin();

	if (in_place)
		put_text(STDOUT_FILENO, "\033[2J");
	enum exit_code code = watch_with(cli, draw, in_place, keys);
	keys_end();
	return code;
}
