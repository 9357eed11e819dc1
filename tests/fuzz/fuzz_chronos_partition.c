/* fuzz_chronos_partition.c - a partition's file with any bytes in it, read by all who do. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz_chronos.h"

enum {
	LIVING = 4, /* clients that the arbiter finds alive */
	SPAN = offsetof(struct partition_file, clients[16]),
};

static struct world alone, arbitrated;
static struct patient alone_file, arbitrated_file;
static struct chronos_arbiter *arbiter;
static int bell;

static void begin(void)
{
	(void)fuzz_folder_open();
	world_make(&alone, "alone");
	world_make(&arbitrated, "arbitrated");
	patient_find(
		&arbitrated_file, &arbitrated, partition_file(&arbitrated).text, SPAN);
	bell = open_file(&arbitrated, partition_file(&arbitrated).text);
	for (uint32_t i = 0; i < LIVING; i++)
		MUST(chronos_share_live(bell, i));
	arbiter = chronos_arbiter_open(arbitrated.dir, NULL);
	MUST(arbiter);
	serve(arbiter);
}

static void look(struct world *w)
{
	struct chronos_usage u;

	(void)!chronos_usage(w->c, &w->p, 0, &u, NULL);
}

/* Its own programs, and who looks at it. */
static void try_alone(const uint8_t *bytes, size_t len)
{
	patient_find(&alone_file, &alone, partition_file(&alone).text, SPAN);
	patient_heal(&alone_file);
	patient_spoil(&alone_file, bytes, len);
	look(&alone);
	MUST(chronos_renew(alone.c, "old", END_NS, NULL, NULL) == 0);
	take_part(&alone);
	world_go_on(&alone);
}

/* The arbiter goes on, and so does everybody else's partition. */
static void try_arbiter(const uint8_t *bytes, size_t len)
{
	const uint32_t ring = 1;

	patient_heal(&arbitrated_file);
	patient_spoil(&arbitrated_file, bytes, len);
	(void)!pwrite(bell, &ring, sizeof ring, offsetof(struct partition_file, bell));
	serve(arbiter);
	look(&arbitrated);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	if (!arbiter)
		begin();
	try_alone(bytes, len);
	try_arbiter(bytes, len);
	return 0;
}
