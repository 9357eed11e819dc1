/* memory.c - how exactly a quota of memory is held. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "bench.h"

static const struct figure off_quota = {
	.what = "memory off the quota, blocks of 4 MiB to 1 byte",
	.unit = "B",
	.kind = AT_MOST,
	.aim = 0
};

static void measure(struct bench *b, enum mode mode)
{
	const uint64_t blocks[] = { 4 << 20, 1000003, 65536, 1 };
	struct chronos_partition p = make(b, DEVICE, 33);
	struct chronos_attachment *a = join(b, p.id, DEVICE, NULL, NULL);

	/* Ever smaller ones, each size until it is refused. */
	for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
		while (chronos_charge(a, blocks[i], NULL) == 0)
			;
	}
	uint64_t used = chronos_used(a), quota = chronos_quota(a);
	figures_add(b->figures, &off_quota, mode,
		(double)(used > quota ? used - quota : quota - used));
	chronos_detach(a);
	drop(b, &p);
}

const struct group memory_group = { .name = "memory",
	.what = "how exactly a quota of memory is held",
	.modes = { [COOPERATIVE] = true, [ARBITRATED] = true },
	.measure = measure };
