/* notify.c - tells a service manager how this program is. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "notify.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "str.h"

static struct {
	struct sockaddr_un at;
	socklen_t len; /* 0 = nobody listens */
	uint64_t alive_ms;
} manager;

static void take_socket(const char *path)
{
	size_t len = strlen(path);

	/* "@name" is an abstract socket. */
	if ((*path != '/' && *path != '@') || len >= sizeof(manager.at.sun_path))
		return;
	manager.at.sun_family = AF_UNIX;
	memcpy(manager.at.sun_path, path, len);
	if (*path == '@')
		manager.at.sun_path[0] = '\0';
	manager.len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

/* The watchdog may be meant for another process. */
static void take_watchdog(const char *usec, const char *pid)
{
	uint64_t n;

	if (pid &&
		(parse_u64(pid, 0, UINT64_MAX, &n, NULL) < 0 || n != (uint64_t)getpid()))
		return;
	if (usec && parse_u64(usec, 1, UINT64_MAX, &n, NULL) == 0)
		manager.alive_ms = n / 2000 ? n / 2000 : 1;
}

void notify_init(void)
{
	const char *path = getenv("NOTIFY_SOCKET");

	if (path)
		take_socket(path);
	if (manager.len)
		take_watchdog(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"));
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

static void say(const char *words, int flags)
{
	const struct timeval patience = { .tv_sec = 1 };

	if (!manager.len)
		return;

	CLEANUP(close_fd) int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	/* What a manager does not hear it finds out by itself. */
	if (sendto(fd, words, strlen(words), flags | MSG_NOSIGNAL,
		    (const struct sockaddr *)&manager.at, manager.len) < 0)
		return;
}

void notify_ready(void)
{
	say("READY=1", 0);
}

void notify_reloading(void)
{
	struct timespec now;
	char words[64];

	clock_gettime(CLOCK_MONOTONIC, &now);
	str_put(words, sizeof(words), "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
		(int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	say(words, 0);
}

void notify_stopping(void)
{
	say("STOPPING=1", 0);
}

uint64_t notify_alive_ms(void)
{
	return manager.alive_ms;
}

void notify_alive(void)
{
	say("WATCHDOG=1", MSG_DONTWAIT);
}
