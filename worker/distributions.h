/* distributions.h - which Python distributions this machine has for every job.
 *
 * Thread: any.  Reads the metadata folders themselves; no Python is run.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>

#include "err.h"

#define DISTRIBUTIONS_MAX 4096

struct distribution {
	char *name;    /* owned; lower case, runs of -_. as one - */
	char *version; /* owned */
};

struct distributions {
	struct distribution *list; /* owned; sorted by name, no name twice */
	size_t count;
};

/* Add what the metadata folders and files (*.dist-info, *.egg-info) of one
 * site-packages folder name.  What is there already stays: earlier folders win.  A folder
 * that is absent adds nothing; metadata that cannot be read is passed over. */
void distributions_add_folder(struct distributions *d, const char *path);
/* The folders of Debian's /usr/bin/python3, in the order in which it searches them. */
void distributions_add_host(struct distributions *d);
void distributions_fini(struct distributions *d);
