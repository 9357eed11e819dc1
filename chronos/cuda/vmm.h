/* vmm.h - physical memory without an address of its own (cuMemCreate). */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* In a forked child, in which all of it is the parent's. */
void vmm_in_child(void);
