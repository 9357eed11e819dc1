/* hangup.h - whether a SIGHUP says that the terminal has gone, or asks for a reload.
 *
 * Thread: any, one at a time.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>

/* Once, before signals are handled: is there a terminal whose end would matter?  Not under
 * nohup. */
void hangup_init(void);
/* There was one and it has gone: end, as a program in a closed window should. */
bool hangup_is_end(void);
