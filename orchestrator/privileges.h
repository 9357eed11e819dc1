/* privileges.h - cumulusd's data folder, and becoming its unprivileged owner.
 *
 * Thread: any, before threads.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <sys/types.h>

#include "err.h"

struct data_folder {
	int dir;          /* D */
	int orchestrator; /* D/orchestrator */
	int lock;         /* held as long as the process lives */
};

/* Make D (root's 0711 when root) and D/orchestrator (owner's 0700) and take the lock.
 * ERR_CONFLICT names the pid of a cumulusd that has it. */
int data_folder_open(const char *path, uid_t owner, gid_t group, struct data_folder *out,
	struct err *e) MUST_CHECK;

/* The user's ids; a user that does not exist gets uid and gid 61183 (logged). */
void privileges_find_user(const char *name, uid_t *uid, gid_t *gid);

/* Become that user for good.  Then check that every folder above path can be passed:
 * ERR_DENIED names the one that cannot. */
int privileges_drop(uid_t uid, gid_t gid, const char *path, struct err *e) MUST_CHECK;
