/* watch.c - redraws in place on a terminal, one picture after the other on a pipe. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "watch.h"

#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "remote.h"

#define PERIOD_MS 2000

/* From the top left; each line's old rest goes, then everything below. */
static void put_in_place(const struct buf *picture)
{
	CLEANUP(buf_fini) struct buf out = { 0 };
	const char *at = (const char *)picture->data;
	const char *end = at + picture->len;

	buf_addf(&out, "\033[H");
	while (at < end) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));
		size_t len = (size_t)((line_end ? line_end : end) - at);

		buf_add(&out, at, len);
		buf_addf(&out, "\033[K\n");
		at += len + 1;
	}
	buf_addf(&out, "\033[J");
	put_buf(STDOUT_FILENO, &out);
}

enum exit_code watch(struct cli *cli, draw_fn *draw)
{
	CLEANUP(buf_fini) struct buf picture = { 0 };
	bool in_place = cli->terminal->out_tty && !cli->options->json;

	if (cli->options->watch && in_place)
		put_text(STDOUT_FILENO, "\033[2J");
	for (;;) {
		enum exit_code code = draw(cli, &picture);

		if (code != EXIT_DONE)
			return code;
		if (cli->options->watch && in_place)
			put_in_place(&picture);
		else
			put_bytes(STDOUT_FILENO, picture.data, picture.len);
		buf_clear(&picture);
		if (!cli->options->watch)
			return EXIT_DONE;
		remote_wait(cli->remote, PERIOD_MS);
	}
}
