/* terminal.h - what stdout and stderr are, and how bytes get there.
 *
 * Thread: the one.  Nothing is buffered: a line is one write.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "buf.h"

enum colour {
	COLOUR_NONE,
	COLOUR_DIM,
	COLOUR_RED,
	COLOUR_GREEN,
	COLOUR_YELLOW,
	COLOUR_CYAN
};

struct terminal {
	bool out_tty, err_tty;
	bool out_moves, err_moves;   /* a terminal that can draw over what it shows */
	bool out_colour, err_colour; /* such a terminal, without NO_COLOR */
};

void terminal_init(struct terminal *t);
/* The terminal's width now; 0 when fd is none. */
size_t terminal_columns(int fd);
/* Its height now; 0 when fd is none. */
size_t terminal_rows(int fd);
/* The sequence that begins this colour, "" without colours; COLOUR_NONE ends one. */
const char *terminal_colour(bool enabled, enum colour colour);

/* Write all.  When nobody reads stdout any more, the program ends as if by SIGPIPE, as
 * other programs do; any other failure (a full disk) ends it with a message. */
void put_bytes(int fd, const void *bytes, size_t len);
void put_text(int fd, const char *text);
void put_buf(int fd, struct buf *b); /* and clear it */
/* At the end: what was printed through stdio must have arrived, too. */
void put_rest(void);
