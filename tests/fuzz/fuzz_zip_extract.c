/* fuzz_zip_extract.c - any bytes unpacked into a folder: nothing appears beside it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "fuzz_folder.h"
#include "package.h"

#define BYTES_MAX ((uint64_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static size_t count_entries(int folder)
{
	DIR *d = fdopendir(dup(folder));
	size_t n = 0;

	rewinddir(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static int outer = -1;
	struct err e = { 0 };

	if (outer < 0)
		outer = fuzz_folder_open();
	if (mkdirat(outer, "in", 0700) < 0)
		abort();

	CLEANUP(close_fd) int zip = memfd_create("zip", MFD_CLOEXEC);
	CLEANUP(close_fd)
	int in = openat(outer, "in", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (zip < 0 || in < 0 || write_all(zip, bytes, len) < 0)
		abort();
	if (package_extract(zip, in, BYTES_MAX, &e) < 0 && !*e.text)
		abort();
	if (count_entries(outer) != 1)
		abort();
	if (tree_remove(outer, "in", &e) < 0)
		abort();
	return 0;
}
