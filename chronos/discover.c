/* discover.c - the devices of the machine, asked for in a child that goes away. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "error.h"
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	PROBE_LIMIT_MS = 20000,
	REAP_LIMIT_MS = 1000, /* for a killed child that a driver keeps in the kernel */
	REPORT_FD = 3,        /* in the child, the only file beside 0 to 2 */
};

static const uint64_t SIMULATED_BYTES = UINT64_C(16) << 30;

/* What the child sends: as it lies in memory, for both are the same program. */
struct report {
	int failed;
	struct chronos_error error;
	struct probe probe;
};

struct chronos_device *chronos_probe_add(struct probe *p, enum chronos_kind kind)
{
	if (p->count == CHRONOS_DEVICES_MAX)
		return NULL;
	struct chronos_device *d = &p->devices[p->count];
	memset(d, 0, sizeof *d);
	d->index = p->count++;
	d->kind = kind;
	d->present = true;
	d->free_hundredths = CHRONOS_WHOLE;
	return d;
}

void chronos_probe_place(struct chronos_device *d, const struct probe_pci *at)
{
	snprintf(d->pci, sizeof d->pci, "%04x:%02x:%02x.%x", at->domain, at->bus & 0xff,
		at->device & 0x1f, at->function & 7);
}

static void simulate(struct probe *p, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct chronos_device *d = chronos_probe_add(p, CHRONOS_KIND_SIMULATED);
		if (!d)
			return;
		snprintf(d->uuid, sizeof d->uuid, "simulated-%u", i);
		snprintf(d->name, sizeof d->name, "Simulated GPU %u", i);
		d->memory_bytes = SIMULATED_BYTES;
	}
}

/* ---- the child ---- */

static int probe(enum chronos_source source, struct probe *p, struct chronos_error *e)
{
	struct probe_opencl_want want = { .cpus = source == CHRONOS_DEVICES_OPENCL_CPU };

	if (!want.cpus) {
		if (chronos_probe_nvml(p, e) < 0)
			return -1;
		want.skip_nvidia = p->count > 0;
	}
	return chronos_probe_opencl(p, want, e);
}

/* Drivers print to whatever is 1 and 2, and must not hold what else the caller has open:
 * a lock, or a socket whose other end waits for its closing. */
static void leave_callers_files(int pipe_fd)
{
	/* The pipe first: the caller may have closed 0 to 2, and it be one of them. */
	if (pipe_fd != REPORT_FD)
		dup2(pipe_fd, REPORT_FD);
	int null = open("/dev/null", O_RDWR);
	for (int fd = 0; fd < REPORT_FD; fd++)
		dup2(null, fd);
	close_range(REPORT_FD + 1, ~0u, 0);
}

static _Noreturn void child(enum chronos_source source, int pipe_fd)
{
	static struct report r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	leave_callers_files(pipe_fd);
	r.failed = probe(source, &r.probe, &r.error) < 0;

	const char *at = (const char *)&r;
	for (size_t left = sizeof r; left > 0;) {
		ssize_t n = write(REPORT_FD, at, left);
		if (n < 0 && errno != EINTR)
			_exit(1);
		if (n > 0) {
			at += n;
			left -= (size_t)n;
		}
	}
	/* No exit handlers: neither the caller's nor a driver's. */
	_exit(0);
}

/* ---- the parent ---- */

static int64_t monotonic_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* 0 when the whole report has come. */
static int receive(int fd, struct report *r, struct chronos_error *e)
{
	int64_t until = monotonic_ms() + PROBE_LIMIT_MS;
	size_t have = 0;

	while (have < sizeof *r) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		int64_t left = until - monotonic_ms();

		if (left <= 0)
			return chronos_fail(e, CHRONOS_TIMEOUT,
				"the drivers did not name their devices within %d s",
				PROBE_LIMIT_MS / 1000);
		if (poll(&p, 1, (int)left) <= 0)
			continue;
		ssize_t n = read(fd, (char *)r + have, sizeof *r - have);
		if (n < 0 && errno != EINTR)
			return chronos_fail_sys(e, "read from the probe");
		if (n == 0)
			return chronos_fail(e, CHRONOS_UNAVAILABLE,
				"a driver crashed while it was asked for its devices");
		if (n > 0)
			have += (size_t)n;
	}
	return 0;
}

/* The child may be stuck inside a driver, where not even SIGKILL reaches it. */
static void reap(pid_t pid)
{
	const struct timespec pause = { 0, 1000000 };

	for (int waited_ms = 0; waited_ms < REAP_LIMIT_MS; waited_ms++) {
		pid_t r = waitpid(pid, NULL, WNOHANG);
		if (r == pid || (r < 0 && errno == ECHILD))
			return;
		nanosleep(&pause, NULL);
	}
}

static int ask_child(
	enum chronos_source source, struct report *r, struct chronos_error *e)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return chronos_fail_sys(e, "make a pipe");
	pid_t pid = fork();
	if (pid < 0) {
		chronos_fail_sys(e, "start the probe");
		close(fds[0]);
		close(fds[1]);
		return -1;
	}
	if (pid == 0)
		child(source, fds[1]);
	close(fds[1]);
	int rc = receive(fds[0], r, e);
	close(fds[0]);
	if (rc < 0)
		kill(pid, SIGKILL);
	reap(pid);
	return rc;
}

/* What comes from a process full of drivers is looked at before it is used. */
static int check_report(struct report *r, struct chronos_error *e)
{
	if (r->failed) {
		r->error.text[sizeof r->error.text - 1] = '\0';
		return chronos_fail(e, CHRONOS_UNAVAILABLE, "%s", r->error.text);
	}
	if (r->probe.count > CHRONOS_DEVICES_MAX)
		return chronos_fail(
			e, CHRONOS_UNAVAILABLE, "the probe's report is damaged");
	for (uint32_t i = 0; i < r->probe.count; i++) {
		struct chronos_device *d = &r->probe.devices[i];
		d->uuid[sizeof d->uuid - 1] = '\0';
		d->name[sizeof d->name - 1] = '\0';
		d->pci[sizeof d->pci - 1] = '\0';
		d->instance[sizeof d->instance - 1] = '\0';
	}
	return 0;
}

int chronos_devices_discover(const struct chronos_device_spec *spec,
	struct chronos_device *out, size_t max, size_t *count, struct chronos_error *e)
{
	struct report r = { 0 };

	switch (spec->source) {
	case CHRONOS_DEVICES_NONE:
		break;
	case CHRONOS_DEVICES_SIMULATED:
		simulate(&r.probe, spec->simulated);
		break;
	case CHRONOS_DEVICES_AUTO:
	case CHRONOS_DEVICES_OPENCL_CPU:
		if (ask_child(spec->source, &r, e) < 0 || check_report(&r, e) < 0)
			return -1;
		break;
	default:
		return chronos_fail(e, CHRONOS_INVALID, "unknown source of devices %d",
			(int)spec->source);
	}
	size_t shown = r.probe.count < max ? r.probe.count : max;
	if (shown > 0)
		memcpy(out, r.probe.devices, shown * sizeof *out);
	*count = r.probe.count;
	return 0;
}
