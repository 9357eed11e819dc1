/* input.c - whole files, bounded. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "input.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "cleanup.h"

#define READ_SIZE ((size_t)64 << 10)

int input_read_fd(int fd, const char *name, size_t max, struct buf *out, struct err *e)
{
	size_t before = out->len;

	for (;;) {
		ssize_t n = read(fd, buf_reserve(out, READ_SIZE), READ_SIZE);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "%s", name);
		if (n == 0)
			return 0;
		buf_added(out, (size_t)n);
		if (out->len - before > max)
			return err_set(
				e, ERR_EXHAUSTED, "%s: larger than %zu bytes", name, max);
	}
}

int input_read(const char *path, size_t max, struct buf *out, struct err *e)
{
	CLEANUP(close_fd) int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return err_sys(e, "%s", path);
	return input_read_fd(fd, path, max, out, e);
}
