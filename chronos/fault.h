/* fault.h - places where the tests kill a process. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Only the library that the tests link has them: compiled to nothing elsewhere. */
#ifdef CHRONOS_FAULT_POINTS
void chronos_fault_point(const char *name); /* the test defines it */
#define FAULT_POINT(name) chronos_fault_point(name)
#else
#define FAULT_POINT(name) ((void)0)
#endif
