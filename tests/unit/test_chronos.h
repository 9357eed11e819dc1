/* test_chronos.h - a directory of partitions for one test. */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "chronos.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define SECONDS(n) (UINT64_C(1000000000) * (n))

struct place {
	char base[64];
	char dir[80]; /* base/chronos, made by the library */
	struct chronos *c;
	struct chronos_error e;
	pid_t arbiter; /* 0: none */
};

/* The failing call's text is what one wants to see. */
#define assert_ok(place, call)                                                           \
	do {                                                                             \
		if ((call) != 0)                                                         \
			fail_msg("%s: %s", #call, (place)->e.text);                      \
	} while (0)

#define assert_refused(place, expected, call)                                            \
	do {                                                                             \
		memset(&(place)->e, 0, sizeof(place)->e);                                \
		assert_int_equal(call, -1);                                              \
		if ((place)->e.code != (expected))                                       \
			fail_msg("%s: %s: %s", #call,                                    \
				chronos_code_name((place)->e.code), (place)->e.text);    \
		assert_true(*(place)->e.text);                                           \
	} while (0)

static inline void register_simulated(struct place *t, uint32_t count)
{
	struct chronos_device_spec spec = { CHRONOS_DEVICES_SIMULATED, count };
	struct chronos_device devices[CHRONOS_DEVICES_MAX];
	size_t n;

	assert_ok(t,
		chronos_devices_discover(&spec, devices, CHRONOS_DEVICES_MAX, &n, &t->e));
	assert_int_equal(n, count);
	assert_ok(t, chronos_devices_register(t->c, devices, n, &t->e));
}

static inline void open_place(struct place *t)
{
	t->c = chronos_open(t->dir, &t->e);
	if (!t->c)
		fail_msg("open: %s", t->e.text);
}

static inline void place_init(struct place *t)
{
	memset(t, 0, sizeof *t);
	snprintf(t->base, sizeof t->base, "/tmp/test_chronos.XXXXXX");
	assert_non_null(mkdtemp(t->base));
	snprintf(t->dir, sizeof t->dir, "%s/chronos", t->base);
}

static inline void place_fini(struct place *t)
{
	chronos_close(t->c);
	DIR *d = opendir(t->dir);
	if (d) {
		for (struct dirent *f; (f = readdir(d));)
			if (unlinkat(dirfd(d), f->d_name, 0) < 0)
				(void)unlinkat(dirfd(d), f->d_name, AT_REMOVEDIR);
		closedir(d);
	}
	rmdir(t->dir);
	rmdir(t->base);
}

/* Says on ready_fd, unless it is -1, when it serves. */
static inline _Noreturn void serve_for_ever(struct place *t, int ready_fd)
{
	uint64_t wait_ns = 0;
	struct chronos_arbiter *a = chronos_arbiter_open(t->dir, &t->e);

	if (!a || (ready_fd >= 0 && write(ready_fd, "", 1) != 1))
		_exit(1);
	struct pollfd p = { .fd = chronos_arbiter_fd(a), .events = POLLIN };
	while (chronos_arbiter_serve(a, &wait_ns, &t->e) == 0) {
		const struct timespec limit = { (time_t)(wait_ns / 1000000000),
			(long)(wait_ns % 1000000000) };
		ppoll(&p, 1, wait_ns == UINT64_MAX ? NULL : &limit, NULL);
	}
	_exit(2);
}

/* In a child that ends with the test; back when it serves. */
static inline void start_arbiter(struct place *t)
{
	int ready[2];
	char byte;

	assert_int_equal(pipe(ready), 0);
	t->arbiter = fork();
	assert_true(t->arbiter >= 0);
	if (t->arbiter == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve_for_ever(t, ready[1]);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
}

static inline void kill_arbiter(struct place *t)
{
	int status = 0;

	if (!t->arbiter)
		return;
	kill(t->arbiter, SIGKILL);
	assert_int_equal(waitpid(t->arbiter, &status, 0), t->arbiter);
	t->arbiter = 0;
	/* It was alive until then. */
	assert_true(WIFSIGNALED(status));
}

/* cmocka's setup and teardown: a directory with two simulated devices, opened. */
static inline int two_devices(void **state)
{
	struct place *t = malloc(sizeof *t);

	place_init(t);
	open_place(t);
	register_simulated(t, 2);
	*state = t;
	return 0;
}

static inline int two_arbitrated_devices(void **state)
{
	two_devices(state);
	start_arbiter(*state);
	return 0;
}

static inline int no_place(void **state)
{
	struct place *t = *state;

	kill_arbiter(t);
	place_fini(t);
	free(t);
	return 0;
}

/* `devices` is "0" or "0,1". */
static inline int create(struct place *t, const char *devices, uint32_t hundredths,
	uint64_t duration_ns, const char *key, struct chronos_partition *p)
{
	const char *both[] = { "0", "1" };
	struct chronos_request r = {
		.key = key,
		.devices = strcmp(devices, "1") == 0 ? both + 1 : both,
		.device_count = strchr(devices, ',') ? 2 : 1,
		.hundredths = hundredths,
		.duration_ns = duration_ns,
		.owner = CHRONOS_OWNER_CALLER,
	};

	return chronos_create(t->c, &r, p, NULL, &t->e);
}

static inline uint32_t available(struct place *t, const char *device)
{
	uint32_t hundredths = 0;

	assert_ok(t, chronos_available(t->c, device, &hundredths, &t->e));
	return hundredths;
}

static inline size_t active(struct place *t)
{
	struct chronos_partition *list;
	size_t n;

	assert_ok(t, chronos_list(t->c, &list, &n, &t->e));
	chronos_partitions_free(list);
	return n;
}

/* What is listed and what is available must make a whole of each device. */
static inline void assert_books_are_right(struct place *t, uint32_t devices)
{
	uint32_t sums[CHRONOS_DEVICES_MAX] = { 0 };
	struct chronos_partition *list;
	size_t n;

	assert_ok(t, chronos_list(t->c, &list, &n, &t->e));
	for (size_t i = 0; i < n; i++)
		for (size_t d = 0; d < list[i].device_count; d++)
			sums[list[i].devices[d]] += list[i].hundredths;
	chronos_partitions_free(list);
	for (uint32_t d = 0; d < devices; d++) {
		char name[16];
		snprintf(name, sizeof name, "%u", d);
		assert_int_equal(sums[d] + available(t, name), CHRONOS_WHOLE);
	}
}
