/* fault.c - the named points at which a crash test can kill this process. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

void fault_point(const char *name)
{
	static unsigned long times;
	const char *wanted = getenv("CUMULUS_FAULT");
	size_t len = strlen(name);

	if (!wanted || strncmp(wanted, name, len) != 0 ||
		(wanted[len] && wanted[len] != ':'))
		return;
	if (++times >= (wanted[len] ? strtoul(wanted + len + 1, NULL, 10) : 1))
		raise(SIGKILL);
}
