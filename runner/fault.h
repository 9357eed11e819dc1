/* fault.h - the named points at which a crash test can kill this process.
 *
 * CUMULUS_FAULT=NAME or NAME:N sends SIGKILL to the process itself when it comes to the
 * point NAME for the N-th time.  Without the variable nothing happens.
 *
 * Thread: loop.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

void fault_point(const char *name);
