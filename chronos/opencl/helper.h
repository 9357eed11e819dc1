/* helper.h - the thread that passes the lease on for a program that does not wait. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* For each launch: starts the thread at the first, wakes it when it sleeps.  Thread: any. */
void helper_wake(void);
void helper_in_child(void);
