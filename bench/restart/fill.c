/* fill.c - bench_fill: makes a store with so many finished and waiting jobs. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Usage: bench_fill <the folder D/orchestrator> <finished> <waiting> <bytes of a package>
 */
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "filler.h"
#include "str.h"

#define CHUNK 10000 /* submitted, then finished */
#define AHEAD 4096  /* as large groups as the store makes: only the result counts */

static uint64_t number(const char *text, uint64_t min, uint64_t max)
{
	struct err e = { 0 };
	uint64_t n = 0;

	if (parse_u64(text, min, max, &n, &e) < 0)
		filler_die(text, e.text);
	return n;
}

int main(int argc, char **argv)
{
	if (argc != 5)
		filler_die("usage", "bench_fill <folder> <finished> <waiting> <bytes>");

	struct filler f = {
		.path = argv[1],
		.ahead = AHEAD,
		.wake = eventfd(0, EFD_CLOEXEC),
	};
	uint64_t finished = number(argv[2], 0, UINT32_MAX);
	uint64_t waiting = number(argv[3], 0, UINT32_MAX);

	f.package_bytes = number(argv[4], 512, FILLER_PACKAGE_MAX);
	filler_open(&f, INT64_MAX);
	filler_start(&f);
	for (uint64_t n = 0; n < finished; n += CHUNK) {
		uint64_t count = finished - n < CHUNK ? finished - n : CHUNK;

		filler_submit(&f, n, count);
		filler_finish(&f, n, count);
	}
	filler_submit(&f, finished, waiting);
	store_close(f.store);
	close(f.wake);
	return 0;
}
