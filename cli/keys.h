/* keys.h - single keys from the terminal, without Enter and unseen.
 *
 * Thread: the one.  The terminal is as it was whenever others have it: when the program
 * ends, also by a signal, and while it is stopped (Ctrl-Z).
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

/* Take the keys.  False: stdin is no terminal, or one that others have; then nothing is
 * changed. */
bool keys_begin(void);
void keys_end(void);
/* Was this key among those typed since? */
bool keys_typed(char key);
