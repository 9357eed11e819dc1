/* watch.h - shows a picture once, or again and again with --watch.
 *
 * Thread: the one.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "command.h"

/* Append the picture to *out; not EXIT_DONE: it complained, and nothing is shown. */
typedef enum exit_code draw_fn(struct cli *cli, struct buf *out);

enum exit_code watch(struct cli *cli, draw_fn *draw);
