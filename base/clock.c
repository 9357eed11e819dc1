/* clock.c - reads the two clocks and the boot id. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "clock.h"

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"

static int64_t read_clock(clockid_t id)
{
	struct timespec t;

	if (clock_gettime(id, &t) < 0)
		abort();
	return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

int64_t clock_boot_ns(void)
{
	return read_clock(CLOCK_BOOTTIME);
}

int64_t clock_wall_ns(void)
{
	return read_clock(CLOCK_REALTIME);
}

int clock_boot_id(char out[BOOT_ID_SIZE], struct err *e)
{
	CLEANUP(close_fd)
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, out, BOOT_ID_SIZE - 1);

	if (n < 0)
		return err_sys(e, "read the boot id");
	if (n != BOOT_ID_SIZE - 1)
		return err_set(e, ERR_SYSTEM, "the boot id is no boot id");
	out[BOOT_ID_SIZE - 1] = '\0';
	return 0;
}
