/* helper.c - passes the lease on for a program that launches and never waits. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "helper.h"

#include "partition.h"
#include "settler.h"

static bool settle(void)
{
	struct chronos_attachment *a = partition_joined();

	if (a)
		chronos_settle(a);
	return false;
}

static struct settler settler = {
	.pause_ns = 5000000, .idle_rounds = 100, .look = settle, SETTLER_LOCKS
};

void helper_wake(void)
{
	chronos_settler_wake(&settler);
}

void helper_in_child(void)
{
	chronos_settler_in_child(&settler);
}
