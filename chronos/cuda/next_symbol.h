/* next_symbol.h - a function as the libraries behind ours define it. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The default version of `name` in the first library that was loaded after this one and
 * defines it, or NULL.  Libraries that define `not_with` are passed over.  It is for the
 * two functions that cannot be asked for by themselves, dlsym and dlvsym; for all others
 * there is RTLD_NEXT.  Thread: any. */
void *next_symbol(const char *name, const char *not_with);
