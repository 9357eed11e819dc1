/* notify.h - tells a service manager how this program is, as sd_notify(3) does.
 *
 * Thread: loop.  Without a manager (no NOTIFY_SOCKET) everything here does nothing.  Says
 * READY=1 and the like on a datagram socket.  Waits for a manager that does not read, but a
 * second at most, and not with notify_alive(); what it does not hear is no failure.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>

/* Once, before children are started: takes NOTIFY_SOCKET and the watchdog's variables out
 * of the environment, so that they are nobody else's. */
void notify_init(void);

void notify_ready(void);     /* it serves; also when a reload is over */
void notify_reloading(void); /* its settings are read again */
void notify_stopping(void);

/* How often to call notify_alive(), twice as often as the manager wants; 0: never. */
uint64_t notify_alive_ms(void);
void notify_alive(void);
