/* fuzz_chronos_device.c - a device's file with any bytes in it, in both modes. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_chronos.h"

static struct world alone, arbitrated;
static struct patient alone_file, arbitrated_file;

static void begin(void)
{
	(void)fuzz_folder_open();
	world_make(&alone, "alone");
	world_make(&arbitrated, "arbitrated");
	struct chronos_arbiter *a = chronos_arbiter_open(arbitrated.dir, NULL);
	MUST(a);
	serve(a);
	chronos_arbiter_close(a);
}

/* Without an arbiter a program waits for seconds to be seated. */
static void seat(const struct world *w, struct device_file *d)
{
	d->seats[0].created_ns = w->p.created_ns;
	d->seats[0].id = (uint32_t)strtoul(w->p.id + 2, NULL, 16);
}

static void spoil(struct world *w, struct patient *file, const uint8_t *bytes, size_t len)
{
	patient_find(file, w, "device-0", offsetof(struct device_file, seats[8]));
	patient_heal(file);
	patient_spoil(file, bytes, len);
}

static void try(struct world *w, struct patient *file, const uint8_t *bytes, size_t len)
{
	struct chronos_usage u;

	spoil(w, file, bytes, len);
	struct device_file *d = (struct device_file *)(void *)file->at;
	(void)!chronos_usage(w->c, &w->p, 0, &u, NULL);
	if (d->mode == DEVICE_ARBITRATED)
		seat(w, d);
	MUST(chronos_renew(w->c, "old", END_NS, NULL, NULL) == 0);
	take_part(w);
	world_go_on(w);
}

/* One that begins with what another left. */
static void arbitrate(const uint8_t *bytes, size_t len)
{
	spoil(&arbitrated, &arbitrated_file, bytes, len);
	struct chronos_arbiter *a = chronos_arbiter_open(arbitrated.dir, NULL);
	if (!a)
		return;
	serve(a);
	chronos_arbiter_close(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	if (!alone.c)
		begin();
	try(&alone, &alone_file, bytes, len);
	try(&arbitrated, &arbitrated_file, bytes, len);
	arbitrate(bytes, len);
	return 0;
}
