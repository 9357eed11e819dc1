/* helper.c - looks around each millisecond while work is in flight. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "partition.h"
#include "settler.h"
#include "streams.h"

/* Captures of the program's threads are none of this one's business. */
static void begin(void)
{
	(void)streams_begin_unsafe();
}

static bool look_around(void)
{
	bool busy = false;
	struct device *d;

	for (size_t i = 0; (d = partition_nth_device(i)); i++) {
		if (d->whole)
			continue;
		busy |= streams_poll(d);
		chronos_settle(d->attachment);
	}
	return busy;
}

static struct settler settler = { .pause_ns = 1000000,
	.idle_rounds = 200,
	.begin = begin,
	.look = look_around,
	SETTLER_LOCKS };

void helper_wake(void)
{
	chronos_settler_wake(&settler);
}

void helper_in_child(void)
{
	chronos_settler_in_child(&settler);
}
