/* test_runner_faulty_io.c - a library to preload: the n-th call of a kind fails once.
 *
 * FAULTY_IO is "ERRNO N PATH": that call fails with this error, and PATH is made to say that
 * it came so far.  Which calls count depends on the error.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

enum { OPENS = 1, MAKES = 2, WRITES = 4, SYNCS = 8 };

static struct {
	bool ready;
	int error;
	long left; /* calls until the one that fails */
	int kinds;
	char path[256];
} faulty;

static void prepare(void)
{
	const char *text = getenv("FAULTY_IO");

	faulty.ready = true;
	if (!text || sscanf(text, "%d %ld %255s", &faulty.error, &faulty.left,
			     faulty.path) != 3)
		return;
	faulty.kinds = faulty.error == EMFILE   ? OPENS
		       : faulty.error == ENOSPC ? MAKES | WRITES
						: MAKES | WRITES | SYNCS;
}

static bool fails(int kind)
{
	if (!faulty.ready)
		prepare();
	if (!(faulty.kinds & kind) || --faulty.left != 0)
		return false;

	long fd = syscall(SYS_openat, AT_FDCWD, faulty.path, O_CREAT | O_WRONLY, 0600);
	if (fd >= 0)
		syscall(SYS_close, fd);
	errno = faulty.error;
	return true;
}

#define NEXT(name) ((__typeof__(name) *)dlsym(RTLD_NEXT, #name))

EXPORT int open(const char *path, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	int mode = va_arg(args, int);
	va_end(args);
	if (fails(flags & O_CREAT ? OPENS | MAKES : OPENS))
		return -1;
	return NEXT(open)(path, flags, mode);
}

EXPORT int openat(int folder, const char *path, int flags, ...)
{
	va_list args;

	va_start(args, flags);
	int mode = va_arg(args, int);
	va_end(args);
	if (fails(flags & O_CREAT ? OPENS | MAKES : OPENS))
		return -1;
	return NEXT(openat)(folder, path, flags, mode);
}

EXPORT int pipe2(int fds[2], int flags)
{
	return fails(OPENS) ? -1 : NEXT(pipe2)(fds, flags);
}

EXPORT int socketpair(int domain, int type, int protocol, int fds[2])
{
	return fails(OPENS) ? -1 : NEXT(socketpair)(domain, type, protocol, fds);
}

EXPORT int inotify_init1(int flags)
{
	return fails(OPENS) ? -1 : NEXT(inotify_init1)(flags);
}

EXPORT int timerfd_create(clockid_t clock, int flags)
{
	return fails(OPENS) ? -1 : NEXT(timerfd_create)(clock, flags);
}

EXPORT int mkdirat(int folder, const char *path, mode_t mode)
{
	return fails(MAKES) ? -1 : NEXT(mkdirat)(folder, path, mode);
}

EXPORT int renameat(int from, const char *a, int to, const char *b)
{
	return fails(MAKES) ? -1 : NEXT(renameat)(from, a, to, b);
}

EXPORT ssize_t write(int fd, const void *bytes, size_t len)
{
	return fails(WRITES) ? -1 : NEXT(write)(fd, bytes, len);
}

EXPORT ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
	return fails(WRITES) ? -1 : NEXT(pwrite)(fd, bytes, len, at);
}

EXPORT int fsync(int fd)
{
	return fails(SYNCS) ? -1 : NEXT(fsync)(fd);
}

EXPORT int fdatasync(int fd)
{
	return fails(SYNCS) ? -1 : NEXT(fdatasync)(fd);
}
