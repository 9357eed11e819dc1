/* devices.c - the devices that a directory knows. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "table.h"

#include "amount.h"
#include "error.h"
#include "fault.h"
#include "share.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const kind_names[] = {
	[CHRONOS_KIND_NVIDIA] = "nvidia",
	[CHRONOS_KIND_MIG] = "mig",
	[CHRONOS_KIND_OPENCL] = "opencl",
	[CHRONOS_KIND_OPENCL_CPU] = "opencl-cpu",
	[CHRONOS_KIND_SIMULATED] = "simulated",
};

const char *chronos_kind_name(enum chronos_kind kind)
{
	size_t i = (size_t)kind;
	size_t names = sizeof kind_names / sizeof *kind_names;

	return i < names && kind_names[i] ? kind_names[i] : "unknown";
}

int chronos_devices_parse(
	const char *text, struct chronos_device_spec *spec, struct chronos_error *e)
{
	static const char simulated[] = "simulated:";
	struct chronos_device_spec parsed = { 0 };
	uint64_t n = 0;

	if (strcmp(text, "auto") == 0) {
		parsed.source = CHRONOS_DEVICES_AUTO;
	} else if (strcmp(text, "opencl-cpu") == 0) {
		parsed.source = CHRONOS_DEVICES_OPENCL_CPU;
	} else if (strcmp(text, "none") == 0) {
		parsed.source = CHRONOS_DEVICES_NONE;
	} else if (strncmp(text, simulated, sizeof simulated - 1) == 0 &&
		   chronos_digits_parse(
			   text + sizeof simulated - 1, CHRONOS_DEVICES_MAX, &n) &&
		   n > 0) {
		parsed.source = CHRONOS_DEVICES_SIMULATED;
		parsed.simulated = (uint32_t)n;
	} else {
		return chronos_fail(e, CHRONOS_INVALID,
			"devices \"%.64s\" is none of auto, simulated:N (N from 1 to "
			"%d), "
			"opencl-cpu, none",
			text, CHRONOS_DEVICES_MAX);
	}
	*spec = parsed;
	return 0;
}

/* ---- looking up ---- */

static bool device_is_known(const struct device_record *d)
{
	return d->state == DEVICE_PRESENT || d->state == DEVICE_ABSENT;
}

static uint32_t known_count(const struct state *s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < CHRONOS_DEVICES_MAX; i++)
		n += device_is_known(&s->devices[i]);
	return n;
}

static int slot_of_uuid(const struct state *s, const char *uuid)
{
	for (int i = 0; i < CHRONOS_DEVICES_MAX; i++) {
		const struct device_record *d = &s->devices[i];
		if (device_is_known(d) && strncmp(d->uuid, uuid, sizeof d->uuid) == 0)
			return i;
	}
	return -1;
}

static int no_device(const struct state *s, const char *name, struct chronos_error *e)
{
	uint32_t known = known_count(s);

	if (known == 0)
		return chronos_fail(e, CHRONOS_NOT_FOUND,
			"no device %.96s: the directory knows none; chronos stats "
			"--devices auto tells it which there are",
			name);
	return chronos_fail(e, CHRONOS_NOT_FOUND,
		"no device %.96s: there are %u, from 0 to %u", name, known, known - 1);
}

int chronos_device_find(
	const struct state *s, const char *name, uint32_t *slot, struct chronos_error *e)
{
	uint64_t index;
	int found = -1;

	if (chronos_digits_parse(name, CHRONOS_DEVICES_MAX - 1, &index)) {
		if (device_is_known(&s->devices[index]))
			found = (int)index;
	} else if (*name) {
		found = slot_of_uuid(s, name);
	}
	if (found < 0)
		return no_device(s, name, e);
	*slot = (uint32_t)found;
	return 0;
}

void chronos_device_use_count(
	const struct chronos *c, uint64_t now_ns, struct device_use *use)
{
	const struct state *s = c->state;

	memset(use, 0, sizeof *use);
	for (uint32_t i = 0; i < state_slots(s); i++) {
		const struct partition_record *p = &s->partitions[i];
		bool live = partition_is_live(p, now_ns);
		if (!live && !chronos_share_drains(c, p))
			continue;
		for (uint64_t left = p->devices; left; left &= left - 1) {
			int d = __builtin_ctzll(left);
			*(live ? &use->hundredths[d] : &use->draining[d]) +=
				p->memory_hundredths;
			use->partitions[d] += live;
		}
	}
}

static uint32_t free_of(
	const struct state *s, const struct device_use *use, uint32_t slot)
{
	uint32_t used = use->hundredths[slot] + use->draining[slot];

	if (s->devices[slot].state != DEVICE_PRESENT || used > CHRONOS_WHOLE)
		return 0;
	return CHRONOS_WHOLE - used;
}

static void show_device(const struct state *s, const struct device_use *use,
	uint32_t slot, struct chronos_device *out)
{
	const struct device_record *d = &s->devices[slot];

	memset(out, 0, sizeof *out);
	out->index = slot;
	out->kind = (enum chronos_kind)d->kind;
	snprintf(out->uuid, sizeof out->uuid, "%.*s", (int)sizeof d->uuid - 1, d->uuid);
	snprintf(out->name, sizeof out->name, "%.*s", (int)sizeof d->name - 1, d->name);
	snprintf(out->pci, sizeof out->pci, "%.*s", (int)sizeof d->pci - 1, d->pci);
	snprintf(out->instance, sizeof out->instance, "%.*s", (int)sizeof d->instance - 1,
		d->instance);
	out->memory_bytes = d->memory_bytes;
	out->present = d->state == DEVICE_PRESENT;
	out->free_hundredths = free_of(s, use, slot);
	out->draining_hundredths = use->draining[slot];
	out->partitions = use->partitions[slot];
}

int chronos_devices(struct chronos *c, struct chronos_device *out, size_t max,
	size_t *count, struct chronos_error *e)
{
	struct device_use use;
	size_t n = 0;

	if (chronos_state_lock(c, e) < 0)
		return -1;
	chronos_device_use_count(c, chronos_now_ns(), &use);
	for (uint32_t i = 0; i < CHRONOS_DEVICES_MAX; i++) {
		if (!device_is_known(&c->state->devices[i]))
			continue;
		if (n < max)
			show_device(c->state, &use, i, &out[n]);
		n++;
	}
	chronos_state_unlock(c);
	*count = n;
	return 0;
}

int chronos_available(struct chronos *c, const char *device, uint32_t *hundredths,
	struct chronos_error *e)
{
	struct device_use use;
	uint32_t slot = 0;

	if (chronos_state_lock(c, e) < 0)
		return -1;
	int rc = chronos_device_find(c->state, device, &slot, e);
	if (rc == 0) {
		chronos_device_use_count(c, chronos_now_ns(), &use);
		*hundredths = free_of(c->state, &use, slot);
	}
	chronos_state_unlock(c);
	return rc;
}

/* ---- registering ---- */

/* "gi1/ci0": it becomes a part of a path. */
static bool is_instance(const char *text)
{
	unsigned gpu, compute;
	char again[sizeof((struct chronos_device *)0)->instance];

	if (sscanf(text, "gi%4u/ci%4u", &gpu, &compute) != 2)
		return false;
	snprintf(again, sizeof again, "gi%u/ci%u", gpu, compute);
	return strcmp(again, text) == 0;
}

static int check_device(
	const struct chronos_device *devices, size_t i, struct chronos_error *e)
{
	const struct chronos_device *d = &devices[i];

	if (!memchr(d->uuid, '\0', sizeof d->uuid) ||
		!memchr(d->name, '\0', sizeof d->name) ||
		!memchr(d->pci, '\0', sizeof d->pci) ||
		!memchr(d->instance, '\0', sizeof d->instance))
		return chronos_fail(
			e, CHRONOS_INVALID, "device %zu: a text without end", i);
	uint64_t number;
	if (!*d->uuid || chronos_digits_parse(d->uuid, UINT64_MAX, &number))
		return chronos_fail(e, CHRONOS_INVALID,
			"device %zu: \"%s\" cannot be a uuid", i, d->uuid);
	if (d->pci[strspn(d->pci, "0123456789abcdef:.")])
		return chronos_fail(e, CHRONOS_INVALID,
			"device %zu: \"%s\" is not an address on PCI", i, d->pci);
	if (*d->instance && !is_instance(d->instance))
		return chronos_fail(e, CHRONOS_INVALID,
			"device %zu: \"%s\" is not an instance, as gi1/ci0 is", i,
			d->instance);
	if (strcmp(chronos_kind_name(d->kind), "unknown") == 0)
		return chronos_fail(e, CHRONOS_INVALID, "device %zu: unknown kind %d", i,
			(int)d->kind);
	for (size_t j = 0; j < i; j++) {
		if (strcmp(devices[j].uuid, d->uuid) == 0)
			return chronos_fail(
				e, CHRONOS_INVALID, "device %s is named twice", d->uuid);
	}
	return 0;
}

/* Which slot each device gets; slots are never given from one device to another. */
static int assign_slots(const struct state *s, const struct chronos_device *devices,
	size_t count, uint32_t slots[CHRONOS_DEVICES_MAX], struct chronos_error *e)
{
	uint32_t next = 0;

	for (size_t i = 0; i < count; i++) {
		int slot = slot_of_uuid(s, devices[i].uuid);
		if (slot < 0) {
			while (next < CHRONOS_DEVICES_MAX &&
				device_is_known(&s->devices[next]))
				next++;
			if (next == CHRONOS_DEVICES_MAX)
				return chronos_fail(e, CHRONOS_EXHAUSTED,
					"no room for device %s: %d are known already",
					devices[i].uuid, CHRONOS_DEVICES_MAX);
			slot = (int)next++;
		}
		slots[i] = (uint32_t)slot;
	}
	return 0;
}

/* `from` ends within to's size, and the last byte of `to` stays NUL all the while. */
static void store_text(char *to, size_t size, const char *from)
{
	memset(to, 0, size);
	memcpy(to, from, strnlen(from, size - 1));
}

static void store_device(struct device_record *d, const struct chronos_device *from)
{
	d->kind = (uint32_t)from->kind;
	__atomic_store_n(&d->memory_bytes, from->memory_bytes, __ATOMIC_RELAXED);
	if (strncmp(d->name, from->name, sizeof d->name) != 0)
		store_text(d->name, sizeof d->name, from->name);
	if (strncmp(d->pci, from->pci, sizeof d->pci) != 0)
		store_text(d->pci, sizeof d->pci, from->pci);
	if (strncmp(d->instance, from->instance, sizeof d->instance) != 0)
		store_text(d->instance, sizeof d->instance, from->instance);
	if (d->state == DEVICE_NONE)
		store_text(d->uuid, sizeof d->uuid, from->uuid);
	FAULT_POINT("device stored");
	record_commit(&d->state, DEVICE_PRESENT);
}

static void store_devices(struct state *s, const struct chronos_device *devices,
	size_t count, const uint32_t slots[CHRONOS_DEVICES_MAX])
{
	bool named[CHRONOS_DEVICES_MAX] = { false };

	for (size_t i = 0; i < count; i++) {
		named[slots[i]] = true;
		store_device(&s->devices[slots[i]], &devices[i]);
	}
	for (uint32_t i = 0; i < CHRONOS_DEVICES_MAX; i++) {
		if (!named[i] && s->devices[i].state == DEVICE_PRESENT)
			record_commit(&s->devices[i].state, DEVICE_ABSENT);
	}
}

static int may_register(const struct chronos *c, struct chronos_error *e)
{
	struct stat st;
	uid_t me = getuid();

	if (fstat(c->fd, &st) < 0)
		return chronos_fail_sys(e, "look at the state of %.150s", c->dir);
	if (me != 0 && me != st.st_uid)
		return chronos_fail(e, CHRONOS_DENIED,
			"only root and user %u may register devices in %.150s", st.st_uid,
			c->dir);
	return 0;
}

int chronos_devices_register(struct chronos *c, const struct chronos_device *devices,
	size_t count, struct chronos_error *e)
{
	uint32_t slots[CHRONOS_DEVICES_MAX];

	if (count > CHRONOS_DEVICES_MAX)
		return chronos_fail(e, CHRONOS_INVALID, "%zu devices: at most %d", count,
			CHRONOS_DEVICES_MAX);
	for (size_t i = 0; i < count; i++) {
		if (check_device(devices, i, e) < 0)
			return -1;
	}
	if (may_register(c, e) < 0 || chronos_state_lock(c, e) < 0)
		return -1;
	int rc = assign_slots(c->state, devices, count, slots, e);
	if (rc == 0)
		store_devices(c->state, devices, count, slots);
	chronos_state_unlock(c);
	return rc;
}
