/* extensions.h - functions that programs get by their names, past the loader's table. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "opencl.h"

/* The driver's own function of that name, for a context or a queue of it; NULL when it has
 * none.  Each platform has its own. */
void *extension_of_context(cl_context context, const char *name);
void *extension_of_queue(cl_command_queue queue, const char *name);

#define REAL_EXTENSION(context, name) ((name##_fn)extension_of_context(context, #name))
