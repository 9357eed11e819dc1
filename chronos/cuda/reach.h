/* reach.h - the driver's own functions, behind ours. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "driver.h"
#include "symbols.h"

enum symbol {
#define NAME(exported, ...) SYMBOL_##exported,
	COVERED_SYMBOLS(NAME) USED_SYMBOLS(NAME)
#undef NAME
		SYMBOL_COUNT
};

/* Exported, to tell that the library is loaded: its version. */
const char *chronos_cuda_layer(void);

/* The address in the driver, loading it where the program has not yet; where it has no
 * such function, that of one which answers CUDA_ERROR_NOT_FOUND.  Thread: any. */
void *driver_find(enum symbol s);
/* Is it in the driver? */
int driver_has(enum symbol s);

/* Those that were found. */
extern void *driver_found[SYMBOL_COUNT];

static inline void *driver_function(enum symbol s)
{
	void *found = __atomic_load_n(&driver_found[s], __ATOMIC_ACQUIRE);

	return found ? found : driver_find(s);
}

#define REAL(name) ((__typeof__(&name))driver_function(SYMBOL_##name))
