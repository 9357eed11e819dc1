/* screen.h - what stdout and stderr are, and a terminal taken over by a live picture.
 *
 * Thread: the one.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define GREEN  "\033[32m"
#define YELLOW "\033[33m"
#define RED    "\033[31m"
#define BLUE   "\033[34m"
#define PLAIN  "\033[0m"

/* A terminal that can draw over what it shows: not TERM=dumb. */
bool screen_moves(FILE *out);
/* One that moves, and NO_COLOR is not set. */
bool screen_in_colour(FILE *out);
/* Columns and rows now; 0 when `out` is no terminal. */
size_t screen_columns(FILE *out);
size_t screen_rows(FILE *out);

enum key {
	KEY_NONE, /* the time is over, or the picture is spoilt: draw it again */
	KEY_QUIT, /* q, Ctrl-C, or nobody is there any more */
	KEY_UP,
	KEY_DOWN,
	KEY_PAGE_UP,
	KEY_PAGE_DOWN,
	KEY_HOME,
	KEY_END,
};

/* Take the terminal over: its other screen, keys as they are pressed, no cursor.  False: it
 * is not one that moves.  screen_leave() gives it back as it was. */
bool screen_enter(void);
void screen_leave(void);
/* Wait for a key, at most so long.  Ctrl-Z and its return, and another size, are seen to.
 * A signal that ends programs gives the terminal back and ends this one. */
enum key screen_wait(int wait_ms);
/* One picture in place of the last; it has no more rows than the terminal, each with its
 * newline.  Fails when nobody sees it. */
int screen_draw(const char *picture, size_t bytes);
