/* gpus.c - the fake GPUs: a file that all processes with the fake driver share. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_driver.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- the file ---- */

static int receive_fd(int socket)
{
	char byte, room[CMSG_SPACE(sizeof(int))] __attribute__((aligned(16)));
	struct iovec io = { &byte, 1 };
	struct msghdr m = { .msg_iov = &io,
		.msg_iovlen = 1,
		.msg_control = room,
		.msg_controllen = sizeof room };
	int fd = -1;

	if (recvmsg(socket, &m, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&m) &&
		CMSG_FIRSTHDR(&m)->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
	return fd;
}

static int ask_socket(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	Dl_info here;
	int fd = -1;

	if (!dladdr((void *)(uintptr_t)fake_gpus_open, &here))
		return -1;
	const char *slash = strrchr(here.dli_fname, '/');
	if (!slash || snprintf(at.sun_path, sizeof at.sun_path, "%.*sgpus",
			      (int)(slash + 1 - here.dli_fname),
			      here.dli_fname) >= (int)sizeof at.sun_path)
		return -1;
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s >= 0 && connect(s, (const struct sockaddr *)&at, sizeof at) == 0)
		fd = receive_fd(s);
	if (s >= 0)
		close(s);
	return fd;
}

bool fake_gpus_open(struct fake_gpus *g)
{
	const char *path = getenv("FAKE_CUDA_STATE");

	if (g->state)
		return true;
	g->fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : ask_socket();
	if (g->fd < 0 || ftruncate(g->fd, sizeof *g->state) < 0)
		return false;
	void *at = mmap(
		NULL, sizeof *g->state, PROT_READ | PROT_WRITE, MAP_SHARED, g->fd, 0);
	if (at == MAP_FAILED)
		return false;
	g->state = at;
	return true;
}

/* ---- processes: pids do not tell those of several namespaces apart ---- */

uint64_t fake_namespace(void)
{
	static uint64_t known;
	struct stat st;

	if (!known && stat("/proc/self/ns/pid", &st) == 0)
		known = st.st_ino;
	return known;
}

static struct flock byte_of(unsigned i, short type)
{
	return (struct flock){
		.l_type = type, .l_whence = SEEK_SET, .l_start = i, .l_len = 1
	};
}

bool fake_process_lives(const struct fake_gpus *g, unsigned i)
{
	const struct fake_process *p = &g->state->processes[i];
	struct flock lock = byte_of(i, F_WRLCK);

	if (!p->pid)
		return false;
	/* A process's own locks are not shown to it. */
	if (p->pid == getpid() && p->namespace == fake_namespace())
		return true;
	return fcntl(g->fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

int fake_process_take(const struct fake_gpus *g)
{
	for (unsigned i = 0; i < FAKE_PROCESSES_MAX; i++) {
		struct fake_process *p = &g->state->processes[i];
		struct flock lock = byte_of(i, F_WRLCK);

		if (fcntl(g->fd, F_SETLK, &lock) < 0)
			continue;
		memset(p, 0, sizeof *p);
		p->namespace = fake_namespace();
		p->pid = getpid();
		return (int)i;
	}
	return -1;
}

/* ---- devices ---- */

void fake_uuid(const struct fake_state *s, unsigned device, char *text, size_t size)
{
	snprintf(text, size, "%s-fa000000-0000-0000-0000-0000000000%02x",
		s->split ? "MIG" : "GPU", device);
}

/* No driver stands behind them, which is found out after the right to open them. */
static bool opens(const char *path, int how)
{
	int fd = open(path, how | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0 || errno == ENXIO;
}

static bool opens_gpu(unsigned number)
{
	char path[64];

	snprintf(path, sizeof path, "/dev/nvidia%u", number);
	return opens(path, O_RDWR);
}

/* Nobody may write to a capability. */
static bool opens_capability(unsigned number)
{
	char path[64];

	snprintf(path, sizeof path, "/dev/nvidia-caps/nvidia-cap%u", number);
	return opens(path, O_RDONLY);
}

bool fake_device_opens(const struct fake_state *s, unsigned device)
{
	if (!s->nodes)
		return true;
	if (!opens("/dev/nvidiactl", O_RDWR) || !opens("/dev/nvidia-uvm", O_RDWR))
		return false;
	if (!s->split)
		return opens_gpu(device);
	/* The GPU's own, the instance of it, and the one for computing in that. */
	return opens_gpu(0) && opens_capability(3 + 2 * device) &&
	       opens_capability(4 + 2 * device);
}
