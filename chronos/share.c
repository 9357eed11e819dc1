/* share.c - makes, opens and ends the files by which processes join a partition. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "share.h"

#include "error.h"
#include "fault.h"
#include "table.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NEW_SUFFIX      ".new"
#define SEARCH_TRY_NS   UINT64_C(4000000) /* of looking for locks, before it is judged */
#define SEARCH_LIMIT_NS UINT64_C(250000000) /* more than that it may not take */

struct file_name chronos_partition_file(uint32_t id)
{
	struct file_name n;

	snprintf(n.text, sizeof n.text, PARTITION_FILE_NAME PARTITION_ID_PREFIX "%08x",
		id);
	return n;
}

struct file_name chronos_device_file(uint32_t index)
{
	struct file_name n;

	snprintf(n.text, sizeof n.text, DEVICE_FILE_NAME "%" PRIu32, index);
	return n;
}

/* ---- life locks ---- */

static struct flock slot_lock(uint32_t slot)
{
	return (struct flock){
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = slot, .l_len = 1
	};
}

bool chronos_share_live(int fd, uint32_t slot)
{
	struct flock lock = slot_lock(slot);

	return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

bool chronos_share_is_live(int fd, uint32_t slot)
{
	struct flock lock = slot_lock(slot);

	/* Could not find out: it is safer not to take what may be in use. */
	return fcntl(fd, F_OFD_GETLK, &lock) < 0 || lock.l_type != F_UNLCK;
}

bool chronos_share_any_lives(int fd)
{
	struct flock all = {
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = SHARE_CLIENTS_MAX
	};

	return fcntl(fd, F_OFD_GETLK, &all) < 0 || all.l_type != F_UNLCK;
}

/* ---- opening ---- */

void chronos_share_unmap(struct share_map *m)
{
	if (m->at)
		munmap(m->at, m->bytes);
	if (m->fd >= 0)
		close(m->fd);
	m->at = NULL;
	m->fd = -1;
}

static int check_header(const struct share_header *h, size_t bytes, const char *name,
	struct chronos_error *e)
{
	char boot_id[STATE_BOOT_ID_BYTES];

	if (chronos_boot_id(boot_id, e) < 0)
		return -1;
	if (memcmp(h->magic, SHARE_MAGIC, sizeof h->magic) != 0 ||
		h->version != SHARE_VERSION || h->bytes != bytes)
		return chronos_fail(e, CHRONOS_UNAVAILABLE,
			"%s is not a file of this chronos; remove it to begin anew",
			name);
	if (strncmp(h->boot_id, boot_id, sizeof h->boot_id) != 0)
		return chronos_fail(e, CHRONOS_NOT_FOUND, "%s is of another boot", name);
	return 0;
}

/* Off the standard descriptors: what a program prints must not end in it. */
int chronos_share_open(int dirfd, const char *name, int flags)
{
	int fd = openat(dirfd, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0 && fd <= STDERR_FILENO) {
		int low = fd;
		fd = fcntl(low, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
		close(low);
	}
	return fd;
}

static int check_file(
	const struct stat *st, const char *name, size_t bytes, struct chronos_error *e)
{
	if (!S_ISREG(st->st_mode) || (st->st_mode & S_IWOTH))
		return chronos_fail(e, CHRONOS_DENIED,
			"%s is not a regular file, or everybody can write it", name);
	if (st->st_size != (off_t)bytes)
		return chronos_fail(e, CHRONOS_UNAVAILABLE,
			"%s is cut off or overlong; remove it to begin anew", name);
	return 0;
}

/* A mapping keeps its open file, and with it the file's locks, alive in a forked child:
 * the lock needs an open file that is not mapped. */
static int map_open(int dirfd, const char *name, struct share_map *m, bool for_writing,
	struct chronos_error *e)
{
	int flags = for_writing ? O_RDWR : O_RDONLY;
	struct stat st, again;

	m->fd = chronos_share_open(dirfd, name, flags);
	if (m->fd < 0 && errno == ENOENT)
		return chronos_fail(e, CHRONOS_NOT_FOUND, "there is no %s", name);
	if (m->fd < 0 || fstat(m->fd, &st) < 0)
		return chronos_fail_sys(e, "open %s", name);
	if (check_file(&st, name, m->bytes, e) < 0)
		return -1;
	int mapped = chronos_share_open(dirfd, name, flags);
	if (mapped < 0 || fstat(mapped, &again) < 0 || again.st_ino != st.st_ino ||
		again.st_dev != st.st_dev) {
		if (mapped >= 0)
			close(mapped);
		return chronos_fail(e, CHRONOS_UNAVAILABLE,
			"%s was replaced while it was opened", name);
	}
	void *at = mmap(NULL, m->bytes, for_writing ? PROT_READ | PROT_WRITE : PROT_READ,
		MAP_SHARED, mapped, 0);
	close(mapped);
	if (at == MAP_FAILED)
		return chronos_fail_sys(e, "map %s", name);
	m->at = at;
	if (for_writing && chronos_holder_init(&m->me, m->fd) < 0)
		return chronos_fail_sys(e, "take part in the lock of %s", name);
	return check_header(at, m->bytes, name, e);
}

int chronos_share_map(int dirfd, const char *name, size_t bytes, bool for_writing,
	struct share_map *out, struct chronos_error *e)
{
	struct share_map m = { .fd = -1, .bytes = bytes };

	/* Success without a mapping is not possible, but the analyser does not know. */
	if (map_open(dirfd, name, &m, for_writing, e) < 0 || !m.at) {
		chronos_share_unmap(&m);
		return -1;
	}
	*out = m;
	return 0;
}

/* ---- making ---- */

/* Readable and writable by who may write the state, and, for root, by `owner`. */
static int open_new(const struct chronos *c, const char *name, uint32_t owner,
	struct chronos_error *e)
{
	struct stat st;

	if (unlinkat(c->dirfd, name, 0) < 0 && errno != ENOENT)
		return chronos_fail_sys(e, "remove an unfinished %s", name);
	int fd = openat(
		c->dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return chronos_fail_sys(e, "create %s", name);
	if (fstat(c->fd, &st) < 0 ||
		((st.st_mode & S_IWGRP) && fchown(fd, (uid_t)-1, st.st_gid) < 0) ||
		fchmod(fd, st.st_mode & 0660) < 0 ||
		(geteuid() == 0 && owner != 0 && fchown(fd, owner, (gid_t)-1) < 0)) {
		chronos_fail_sys(e, "set the mode of %s", name);
		close(fd);
		return -1;
	}
	return fd;
}

static int fill_header(const struct chronos *c, struct share_header *h, size_t bytes,
	uint32_t id, struct chronos_error *e)
{
	if (chronos_boot_id(h->boot_id, e) < 0)
		return -1;
	h->version = SHARE_VERSION;
	h->bytes = (uint32_t)bytes;
	h->generation = c->state->header.generation;
	h->id = id;
	memcpy(h->magic, SHARE_MAGIC, sizeof h->magic);
	return 0;
}

static void fill_partition(
	const struct state *s, const struct partition_record *r, struct partition_file *p)
{
	p->devices = r->devices;
	p->created_ns = r->created_ns;
	p->expires_ns = r->expires_ns;
	p->hundredths = r->time_hundredths;
	p->flags = r->flags;
	for (uint32_t i = 0; i < CHRONOS_DEVICES_MAX; i++) {
		if (r->devices & UINT64_C(1) << i)
			p->quota_bytes[i] = chronos_share_bytes(
				s->devices[i].memory_bytes, r->memory_hundredths);
	}
}

/* Everybody who can see it may read it: jobs do, as whatever user they are. */
static int give_to_arbiter(int fd, struct chronos_error *e)
{
	const uint32_t mode = DEVICE_ARBITRATED;

	if (pwrite(fd, &mode, sizeof mode, offsetof(struct device_file, mode)) !=
			(ssize_t)sizeof mode ||
		fchmod(fd, 0644) < 0)
		return chronos_fail_sys(e, "give a device to the arbiter");
	return 0;
}

/* `r` is the partition, or NULL for the file of a device. */
static int fill_new(const struct chronos *c, int fd, size_t bytes, uint32_t id,
	const struct partition_record *r, struct chronos_error *e)
{
	int rc = posix_fallocate(fd, 0, (off_t)bytes);

	if (rc != 0) {
		errno = rc;
		return chronos_fail_sys(e, "allocate %zu bytes", bytes);
	}
	void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (at == MAP_FAILED)
		return chronos_fail_sys(e, "map a new file");
	rc = fill_header(c, at, bytes, id, e);
	if (rc == 0 && r)
		fill_partition(c->state, r, at);
	munmap(at, bytes);
	return rc;
}

/* Appears complete, by rename, or not at all.  State locked. */
static int make_file(const struct chronos *c, const char *name, size_t bytes, uint32_t id,
	const struct partition_record *r, enum device_mode mode, struct chronos_error *e)
{
	struct file_name new_name;

	snprintf(new_name.text, sizeof new_name.text, "%.30s" NEW_SUFFIX, name);
	int fd = open_new(c, new_name.text, r ? r->owner : 0, e);
	if (fd < 0)
		return -1;
	FAULT_POINT("new share created");
	int rc = fill_new(c, fd, bytes, id, r, e);
	if (rc == 0 && mode == DEVICE_ARBITRATED)
		rc = give_to_arbiter(fd, e);
	close(fd);
	FAULT_POINT("new share filled");
	if (rc == 0 && renameat(c->dirfd, new_name.text, c->dirfd, name) < 0)
		rc = chronos_fail_sys(e, "publish %s", name);
	FAULT_POINT("new share published");
	if (rc < 0)
		unlinkat(c->dirfd, new_name.text, 0);
	return rc;
}

int chronos_device_file_make(const struct chronos *c, uint32_t index,
	enum device_mode mode, struct chronos_error *e)
{
	struct file_name name = chronos_device_file(index);

	return make_file(c, name.text, sizeof(struct device_file), index, NULL, mode, e);
}

static int make_partition(const struct chronos *c, const struct partition_record *r,
	struct chronos_error *e)
{
	struct file_name name = chronos_partition_file(r->id);

	return make_file(c, name.text, sizeof(struct partition_file), r->id, r,
		DEVICE_COOPERATIVE, e);
}

/* Is the file there, and of this state?  A foreign or old one is made anew.  Read, not
 * mapped: a job may cut its partition's file off at any moment. */
static bool file_is_ours(
	const struct chronos *c, const char *name, size_t bytes, uint64_t created_ns)
{
	struct partition_file head;
	size_t wanted = offsetof(struct partition_file, hundredths);
	int fd = chronos_share_open(c->dirfd, name, O_RDONLY);
	struct stat st;

	bool ours = fd >= 0 && fstat(fd, &st) == 0 &&
		    check_file(&st, name, bytes, NULL) == 0 &&
		    pread(fd, &head, wanted, 0) == (ssize_t)wanted &&
		    check_header(&head.header, bytes, name, NULL) == 0 &&
		    head.header.generation == c->state->header.generation &&
		    (!created_ns || head.created_ns == created_ns);
	if (fd >= 0)
		close(fd);
	return ours;
}

/* By a partition that lives, or that has ended with processes in it. */
static bool id_is_needed(const struct chronos *c, uint32_t id, uint64_t now_ns)
{
	const struct state *s = c->state;

	for (uint32_t i = 0; i < state_slots(s); i++) {
		const struct partition_record *r = &s->partitions[i];
		if (r->id == id &&
			(partition_is_live(r, now_ns) || chronos_share_drains(c, r)))
			return true;
	}
	return false;
}

void chronos_share_sweep(const struct chronos *c, uint64_t now_ns)
{
	const char prefix[] = PARTITION_FILE_NAME PARTITION_ID_PREFIX;
	int fd = openat(c->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	for (struct dirent *f; (f = readdir(dir));) {
		if (strncmp(f->d_name, prefix, sizeof prefix - 1) != 0)
			continue;
		uint32_t id = (uint32_t)strtoul(f->d_name + sizeof prefix - 1, NULL, 16);
		if (!id_is_needed(c, id, now_ns))
			unlinkat(c->dirfd, f->d_name, 0);
		FAULT_POINT("swept one");
	}
	closedir(dir);
}

/* The one that is there keeps its mode; a new one is the arbiter's where there is one. */
static int prepare_device(struct chronos *c, uint32_t index, struct chronos_error *e)
{
	struct file_name name = chronos_device_file(index);

	if (file_is_ours(c, name.text, sizeof(struct device_file), 0))
		return 0;
	return chronos_device_file_make(c, index,
		chronos_arbiter_lives(c->dirfd) ? DEVICE_ARBITRATED : DEVICE_COOPERATIVE,
		e);
}

static int prepare_locked(struct chronos *c, struct partition_record *r, uint64_t now_ns,
	struct chronos_error *e)
{
	struct file_name name = chronos_partition_file(r->id);

	for (uint64_t left = r->devices; left; left &= left - 1) {
		if (prepare_device(c, (uint32_t)__builtin_ctzll(left), e) < 0)
			return -1;
	}
	FAULT_POINT("before joinable");
	r->joinable = 1;
	if (file_is_ours(c, name.text, sizeof(struct partition_file), r->created_ns)) {
		chronos_share_move_end(c, r->id, r->expires_ns);
		return 0;
	}
	chronos_share_sweep(c, now_ns);
	return make_partition(c, r, e);
}

int chronos_prepare(struct chronos *c, const char *name, struct chronos_partition *out,
	struct chronos_error *e)
{
	struct partition_record *r = NULL;

	if (chronos_state_lock(c, e) < 0)
		return -1;
	uint64_t now_ns = chronos_now_ns();
	int rc = chronos_record_find_own(c->state, name, now_ns, &r, e);
	if (rc == 0)
		rc = prepare_locked(c, r, now_ns, e);
	if (rc == 0 && out)
		chronos_partition_show(c->state, r, now_ns, out);
	chronos_state_unlock(c);
	return rc;
}

/* ---- ending ---- */

/* Written, not mapped, for the same reason; eight aligned bytes are copied as one.  It also
 * rings: the arbiter looks at the file after each write. */
void chronos_share_move_end(const struct chronos *c, uint32_t id, uint64_t expires_ns)
{
	struct file_name name = chronos_partition_file(id);
	int fd = chronos_share_open(c->dirfd, name.text, O_WRONLY);

	if (fd < 0)
		return;
	(void)!pwrite(fd, &expires_ns, sizeof expires_ns,
		offsetof(struct partition_file, expires_ns));
	close(fd);
}

bool chronos_share_drains(const struct chronos *c, const struct partition_record *r)
{
	if (r->state != PARTITION_ACTIVE || !r->joinable)
		return false;
	struct file_name name = chronos_partition_file(r->id);
	int fd = chronos_share_open(c->dirfd, name.text, O_RDONLY);
	/* Could not find out: who may have memory is taken to have it. */
	if (fd < 0)
		return errno != ENOENT;
	bool drains = chronos_share_any_lives(fd);
	close(fd);
	return drains;
}

void chronos_share_remove(const struct chronos *c, uint32_t id)
{
	struct file_name name = chronos_partition_file(id);

	unlinkat(c->dirfd, name.text, 0);
}

/* ---- what a partition has ---- */

uint64_t chronos_thread_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The kernel searches all locks of the file at each look, and a job may take any number.
 * The processes that there can be are looked at in a fraction of the limit. */
static bool takes_too_long(uint64_t begun_ns, uint32_t looked, uint32_t slots)
{
	uint64_t spent_ns = chronos_thread_ns() - begun_ns;

	return spent_ns > SEARCH_TRY_NS && spent_ns * slots > looked * SEARCH_LIMIT_NS;
}

static uint32_t slots_of(const struct partition_file *p)
{
	return p->clients_used < SHARE_CLIENTS_MAX ? p->clients_used : SHARE_CLIENTS_MAX;
}

static void count_clients(int fd, const struct partition_file *p, uint32_t device,
	struct chronos_usage *out)
{
	uint32_t slots = slots_of(p);
	uint64_t begun_ns = chronos_thread_ns();

	for (uint32_t i = 0; i < slots; i++) {
		const struct memory_client *k = &p->clients[i];
		if (k->state != CLIENT_JOINED || k->device != device)
			continue;
		if (takes_too_long(begun_ns, i + 1, slots)) {
			out->clients = 0;
			out->used_bytes = 0;
			out->uncounted = true;
			return;
		}
		if (!chronos_share_is_live(fd, i))
			continue;
		out->clients++;
		if (__builtin_add_overflow(
			    out->used_bytes, k->used_bytes, &out->used_bytes))
			out->used_bytes = UINT64_MAX;
	}
}

/* -1: it cannot be read; 0: it ends before the last slot that is used. */
static int read_used(int fd, struct partition_file *p)
{
	const size_t fixed = offsetof(struct partition_file, clients);
	ssize_t n = pread(fd, p, fixed, 0);

	if (n != (ssize_t)fixed)
		return n < 0 ? -1 : 0;
	size_t rest = slots_of(p) * sizeof *p->clients;
	n = rest ? pread(fd, p->clients, rest, (off_t)fixed) : 0;
	return n < 0 ? -1 : n == (ssize_t)rest;
}

/* A copy, of the slots that are used, which the caller frees; what its processes wrote
 * there is theirs to know. */
static struct partition_file *read_partition(int fd, struct chronos_error *e)
{
	struct partition_file *p = malloc(sizeof *p);
	int rc = p ? read_used(fd, p) : -1;

	if (rc > 0)
		return p;
	free(p);
	if (rc < 0)
		chronos_fail_sys(e, "read the file of a partition");
	else
		chronos_fail(
			e, CHRONOS_UNAVAILABLE, "the file of the partition was cut off");
	return NULL;
}

/* What stands on its seat at the device: all, where an arbiter gives the turns. */
static void add_seat(struct chronos *c, const struct chronos_partition *p, uint32_t id,
	uint32_t device, struct chronos_usage *out)
{
	struct file_name name = chronos_device_file(device);
	struct share_map m;

	if (chronos_share_map(
		    c->dirfd, name.text, sizeof(struct device_file), false, &m, NULL) < 0)
		return;
	const struct device_file *d = m.at;
	if (d->mode == DEVICE_ARBITRATED) {
		out->enforcement = "arbitrated";
		out->time_ns = 0;
	}
	for (uint32_t i = 0; i < SHARE_SEATS_MAX; i++) {
		const struct seat *s = &d->seats[i];
		if (s->id != id || s->created_ns != p->created_ns)
			continue;
		out->time_ns += __atomic_load_n(&s->time_ns, __ATOMIC_RELAXED);
		out->overruns = __atomic_load_n(&s->overruns, __ATOMIC_RELAXED);
		out->overrun_ns = __atomic_load_n(&s->overrun_ns, __ATOMIC_RELAXED);
	}
	chronos_share_unmap(&m);
}

static int fill_usage(struct chronos *c, const struct chronos_partition *p, int fd,
	uint32_t id, struct chronos_usage *out, struct chronos_error *e)
{
	struct partition_file *file = read_partition(fd, e);

	if (!file)
		return -1;
	out->enforcement = "cooperative";
	out->time_ns = file->time_ns[out->device];
	out->refusals = file->refusals[out->device];
	count_clients(fd, file, out->device, out);
	free(file);
	add_seat(c, p, id, out->device, out);
	return 0;
}

static const char *with_dmem(const char *enforcement)
{
	if (strcmp(enforcement, "off") == 0)
		return "dmem";
	return strcmp(enforcement, "arbitrated") == 0 ? "arbitrated+dmem"
						      : "cooperative+dmem";
}

static bool has_part_of(const struct chronos_partition *p, uint32_t device)
{
	for (size_t i = 0; i < p->device_count && i < CHRONOS_DEVICES_MAX; i++) {
		if (p->devices[i] == device)
			return device < CHRONOS_DEVICES_MAX;
	}
	return false;
}

int chronos_usage(struct chronos *c, const struct chronos_partition *p, uint32_t device,
	struct chronos_usage *out, struct chronos_error *e)
{
	uint32_t id = (uint32_t)strtoul(p->id + sizeof PARTITION_ID_PREFIX - 1, NULL, 16);
	struct file_name name = chronos_partition_file(id);

	if (!has_part_of(p, device))
		return chronos_fail(e, CHRONOS_NOT_FOUND,
			"the partition has no part of device %u", device);
	if (chronos_state_lock(c, e) < 0)
		return -1;
	uint64_t memory = c->state->devices[device].memory_bytes;
	chronos_state_unlock(c);
	struct chronos_usage u = { .device = device,
		.quota_bytes = chronos_share_bytes(memory, p->hundredths),
		.enforcement = "off" };
	int rc = 0;
	int fd = chronos_share_open(c->dirfd, name.text, O_RDONLY);
	if (fd >= 0) {
		rc = fill_usage(c, p, fd, id, &u, e);
		close(fd);
	} else if (errno != ENOENT) {
		rc = chronos_fail_sys(e, "open %s", name.text);
	}
	if (rc < 0)
		return -1;
	if (p->dmem)
		u.enforcement = with_dmem(u.enforcement);
	*out = u;
	return 0;
}
