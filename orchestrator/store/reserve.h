/* reserve.h - disk space held back, so that what runs can end on a full disk.
 *
 * Thread: the store's; reserve_disk_low() any.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "err.h"

struct reserve {
	int dirfd;         /* borrowed */
	int64_t bytes;     /* of the file "reserve" */
	int64_t low_bytes; /* with less than this free the disk is low */
	bool held;         /* the file is there */
};

/* Make the file if there is room for it and the low-water mark beside it. */
void reserve_take(struct reserve *r);
/* Remove it; the room is free at once. */
void reserve_give_up(struct reserve *r);
/* Of the disk, for us; -1: it cannot be told. */
int64_t reserve_free_bytes(const struct reserve *r);
/* Not held, or little is free.  Unknown counts as low. */
bool reserve_disk_low(const struct reserve *r);
