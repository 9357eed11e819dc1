/* fuzz_chronos.h - a directory of partitions, and any bytes in one of its files. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory is made once.  Each input changes a file that is mapped, and may be in
 * use: three bytes say where, one how many follow.  Afterwards the file is as it was.
 */
#pragma once

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz_folder.h"
#include "share.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#define MUST(condition)                                                                  \
	do {                                                                             \
		if (!(condition))                                                        \
			abort();                                                         \
	} while (0)

/* Who waits for a turn waits no longer than till the end. */
#define END_NS  UINT64_C(4000000)
#define HOUR_NS UINT64_C(3600000000000)

/* A directory with two devices, and half of the first one, "old". */
struct world {
	char dir[64];
	struct chronos *c;
	struct chronos_partition p;
};

static int take_half(struct chronos *c, const char *key, struct chronos_partition *p)
{
	const char *device = "0";
	const struct chronos_request r = { .key = key,
		.devices = &device,
		.device_count = 1,
		.hundredths = 50,
		.duration_ns = HOUR_NS,
		.owner = CHRONOS_OWNER_CALLER };

	return chronos_create(c, &r, p, NULL, NULL);
}

static void world_make(struct world *w, const char *name)
{
	const struct chronos_device devices[2] = {
		{ .kind = CHRONOS_KIND_SIMULATED,
			.memory_bytes = 1 << 30,
			.uuid = "one" },
		{ .kind = CHRONOS_KIND_SIMULATED, .memory_bytes = 1 << 20, .uuid = "two" }
	};

	snprintf(w->dir, sizeof w->dir, "%s/%s", fuzz_folder_path, name);
	chronos_close(w->c);
	w->c = chronos_open(w->dir, NULL);
	MUST(w->c && chronos_devices_register(w->c, devices, 2, NULL) == 0);
	MUST(take_half(w->c, "old", &w->p) == 0);
	MUST(chronos_prepare(w->c, "old", NULL, NULL) == 0);
}

static struct file_name partition_file(const struct world *w)
{
	struct file_name name;

	snprintf(name.text, sizeof name.text, PARTITION_FILE_NAME "%.16s", w->p.id);
	return name;
}

/* One of its files, and what its first `span` bytes are when nothing is wrong. */
struct patient {
	uint8_t *at, *good;
	size_t span;
	ino_t inode;
};

static int open_file(const struct world *w, const char *name)
{
	char path[160];

	snprintf(path, sizeof path, "%s/%s", w->dir, name);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	MUST(fd >= 0);
	return fd;
}

/* What is not to be recognised any more is made anew, in another file. */
static void patient_find(
	struct patient *f, const struct world *w, const char *name, size_t span)
{
	int fd = open_file(w, name);
	struct stat st;

	MUST(fstat(fd, &st) == 0);
	if (!f->at || st.st_ino != f->inode) {
		if (f->at)
			munmap(f->at, f->span);
		f->inode = st.st_ino;
		f->span = span;
		f->at = mmap(NULL, span, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		f->good = realloc(f->good, span);
		MUST(f->at != MAP_FAILED && f->good);
		memcpy(f->good, f->at, span);
	}
	close(fd);
}

/* Its partition goes on, or there is another. */
static inline void world_go_on(struct world *w)
{
	if (chronos_renew(w->c, "old", HOUR_NS, NULL, NULL) < 0)
		MUST(take_half(w->c, "old", &w->p) == 0);
	MUST(chronos_prepare(w->c, "old", NULL, NULL) == 0);
}

static void patient_heal(const struct patient *f)
{
	memcpy(f->at, f->good, f->span);
}

static void patient_spoil(const struct patient *f, const uint8_t *bytes, size_t len)
{
	while (len >= 4) {
		size_t at = (size_t)(bytes[0] | bytes[1] << 8 | bytes[2] << 16) % f->span;
		size_t n = 1 + bytes[3] % 64;
		bytes += 4;
		len -= 4;
		if (n > len)
			n = len;
		if (n > f->span - at)
			n = f->span - at;
		memcpy(f->at + at, bytes, n);
		bytes += n;
		len -= n;
	}
}

static inline void nothing_to_drain(void *arg)
{
	(void)arg;
}

/* As a program of it would. */
static inline void take_part(const struct world *w)
{
	const struct chronos_joining j = {
		.dir = w->dir, .name = w->p.id, .drain = nothing_to_drain
	};
	struct chronos_error e;
	struct chronos_attachment *a = chronos_attach(&j, &e);

	if (!a)
		return;
	if (chronos_charge(a, 1 << 20, &e) == 0)
		chronos_uncharge(a, 1 << 20);
	(void)!chronos_used(a);
	if (chronos_launch(a, &e) == 0)
		chronos_launch_done(a, 1);
	chronos_settle(a);
	chronos_detach(a);
}

static inline void serve(struct chronos_arbiter *a)
{
	uint64_t wait_ns;

	for (int i = 0; i < 3; i++)
		MUST(chronos_arbiter_serve(a, &wait_ns, NULL) == 0);
}
