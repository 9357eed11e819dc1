/* completion.h - what a shell may offer next, and the scripts by which shells ask.
 *
 * Thread: the one.  The scripts know nothing of commands and flags: they hand the words of
 * the command line to `cumulus __complete`, which answers from the table and the server.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "command.h"

/* NULL: no such shell. */
const char *completion_script(const char *shell);

/* A line for each candidate: the word, a tab, what it is.  ":files" and ":folders" stand for
 * those of the disk.  The last of words is the one that is being typed, perhaps "". */
void completion_offer(struct cli *cli, const char *const *words, size_t count);
