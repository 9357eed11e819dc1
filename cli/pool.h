/* pool.h - draws the machines, with a bar for each GPU.
 *
 * Thread: any; pure, but for the terminal's width.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "buf.h"
#include "orchestrator.pb-c.h"

/* Append the lines of one worker, cut to stdout's terminal. */
void pool_draw_worker(const Cumulus__Orchestrator__WorkerInfo *w, struct buf *out);
/* Append one line of text from outside: escaped, cut.  Takes the text. */
void pool_add_line(struct buf *out, char *line);
