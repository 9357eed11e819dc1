/* backup.h - copies of the database, made beside the work, a few pages at a time.
 *
 * Thread: the store's, between its groups: SQLite keeps a copy under way up to date with
 * what the same connection commits meanwhile, so a copy is the database as it was at its
 * end, and no commit waits for more than one step.
 *
 * A copy is <folder>/cumulus-<UTC>.db, complete and synced, or it has another name.  It may
 * be put in the database's place as it is: its epoch is above any that workers have seen.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "db.h"
#include "err.h"

#define BACKUP_NAME_SIZE 32

struct backup {
	char *path;           /* owned; of the folder; NULL = none are made */
	int folder;           /* its descriptor */
	int64_t every_ns;     /* from one copy to the next */
	int64_t keep;         /* how many copies stay */
	int64_t due_ns;       /* of CLOCK_BOOTTIME */
	int64_t last_wall_ns; /* of the newest copy; 0 = there is none */
	uint64_t failures;

	/* The copy under way; NULL = none is. */
	sqlite3 *to;
	sqlite3_backup *copy;
	char name[BACKUP_NAME_SIZE];
};

/* Make the folder if need be, and see which copies there are.  path NULL: none are made. */
int backup_open(struct backup *b, const char *path, int64_t every_s, int64_t keep,
	struct err *e) MUST_CHECK;
/* A copy under way is dropped. */
void backup_close(struct backup *b);

/* From the newest copy on; a first one, or one that is late then, is due at once. */
void backup_set_every(struct backup *b, int64_t every_s);

/* Is there something to do at this time? */
bool backup_is_due(const struct backup *b, int64_t boot_ns);
/* Do a little of it.  On failure the copy is dropped and tried again some minutes later. */
int backup_step(struct backup *b, struct db *db, int64_t boot_ns, int64_t wall_ns,
	struct err *e) MUST_CHECK;
