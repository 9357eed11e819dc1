/* fuzz_folder.h - an empty folder in memory, removed when the fuzzer ends. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <fcntl.h>
#include <stdlib.h>

#include "file.h"

static char fuzz_folder_path[] = "/dev/shm/cumulus-fuzz-XXXXXX";

static void fuzz_folder_remove(void)
{
	struct err e;

	if (tree_remove(AT_FDCWD, fuzz_folder_path, &e) < 0)
		abort();
}

static int fuzz_folder_open(void)
{
	int fd = mkdtemp(fuzz_folder_path)
			 ? open(fuzz_folder_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
			 : -1;

	if (fd < 0 || atexit(fuzz_folder_remove) != 0)
		abort();
	return fd;
}
