/* uids.c - gives each run a range of host user ids that nobody else has. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "uids.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"
#include "file.h"
#include "str.h"
#include "xalloc.h"

/* Ids below belong to people, services and the containers of others: systemd gives its
 * own ones 0x00080000 to 0x6fffffff.  From 0x7ffe0000 on they mean "foreign" to it. */
#define LOWEST   UINT32_C(0x70000000)
#define HIGHEST  UINT32_C(0x7ffe0000)

#define FILE_MAX (1U << 20)

/* The end of the highest range in the lines "name:start:count" of text. */
static uint64_t highest_end(const char *text)
{
	uint64_t end = 0;

	while (*text) {
		unsigned long long start, count;
		const char *line = text;
		const char *eol = strchrnul(text, '\n');
		const char *colon = memchr(line, ':', (size_t)(eol - line));

		if (colon && sscanf(colon, ":%llu:%llu", &start, &count) == 2 &&
			start <= UINT32_MAX && count <= UINT32_MAX && start + count > end)
			end = start + count;
		text = *eol ? eol + 1 : eol;
	}
	return end;
}

/* Cut *first..*end to the mapped ids of the widest overlap in a uid_map. */
static void cut_to_map(const char *map, uint64_t *first, uint64_t *end)
{
	uint64_t best_first = *first, best_end = *first;

	while (*map) {
		unsigned long long inside, outside, count;
		const char *eol = strchrnul(map, '\n');

		if (sscanf(map, "%llu %llu %llu", &inside, &outside, &count) == 3) {
			uint64_t from = inside > *first ? inside : *first;
			uint64_t to = inside + count < *end ? inside + count : *end;

			if (to > from && to - from > best_end - best_first) {
				best_first = from;
				best_end = to;
			}
		}
		map = *eol ? eol + 1 : eol;
	}
	*first = best_first;
	*end = best_end;
}

static uint64_t align_up(uint64_t n)
{
	return (n + UIDS_PER_RUN - 1) / UIDS_PER_RUN * UIDS_PER_RUN;
}

int uids_init(struct uids *u, uint32_t most, const char *subuid, const char *subgid,
	const char *uid_map, const char *gid_map, struct err *e)
{
	uint64_t above_uids = highest_end(subuid), above_gids = highest_end(subgid);
	uint64_t above = above_uids > above_gids ? above_uids : above_gids;
	uint64_t first = above > LOWEST ? above : LOWEST, end = HIGHEST;

	cut_to_map(uid_map, &first, &end);
	cut_to_map(gid_map, &first, &end);
	first = align_up(first);
	if (end < first + UIDS_PER_RUN)
		return err_set(e, ERR_EXHAUSTED,
			"no 65536 user ids are free between %u and %u above /etc/subuid, "
			"/etc/subgid (up to %llu) and within /proc/self/uid_map",
			LOWEST, HIGHEST, (unsigned long long)above);

	uint64_t count = (end - first) / UIDS_PER_RUN;
	*u = (struct uids){
		.first = (uint32_t)first,
		.count = count < most ? (uint32_t)count : most,
	};
	u->taken = xcalloc(u->count, 1);
	return 0;
}

/* The text of a file; an absent one is empty. */
static int read_text(const char *path, struct buf *out, struct err *e)
{
	struct err why = { 0 };

	if (file_read(AT_FDCWD, path, FILE_MAX, out, &why) < 0 &&
		why.code != ERR_NOT_FOUND) {
		*e = why;
		return -1;
	}
	buf_add(out, "", 1);
	return 0;
}

int uids_init_host(struct uids *u, uint32_t most, struct err *e)
{
	CLEANUP(buf_fini) struct buf subuid = { 0 }, subgid = { 0 };
	CLEANUP(buf_fini) struct buf uid_map = { 0 }, gid_map = { 0 };

	if (read_text("/etc/subuid", &subuid, e) < 0 ||
		read_text("/etc/subgid", &subgid, e) < 0 ||
		read_text("/proc/self/uid_map", &uid_map, e) < 0 ||
		read_text("/proc/self/gid_map", &gid_map, e) < 0)
		return -1;
	return uids_init(u, most, (char *)subuid.data, (char *)subgid.data,
		(char *)uid_map.data, (char *)gid_map.data, e);
}

void uids_fini(struct uids *u)
{
	free(u->taken);
	*u = (struct uids){ 0 };
}

int uids_take(struct uids *u, uint32_t *base, struct err *e)
{
	for (uint32_t i = 0; i < u->count; i++) {
		uint32_t at = (u->next + i) % u->count;

		if (u->taken[at])
			continue;
		u->taken[at] = 1;
		u->next = (at + 1) % u->count;
		*base = u->first + at * UIDS_PER_RUN;
		return 0;
	}
	return err_set(e, ERR_EXHAUSTED, "all %u ranges of user ids are taken by runs",
		u->count);
}

/* The index of a range in the table, or count. */
static uint32_t index_of(const struct uids *u, uint32_t base)
{
	if (base < u->first || (base - u->first) % UIDS_PER_RUN != 0)
		return u->count;

	uint32_t at = (base - u->first) / UIDS_PER_RUN;
	return at < u->count ? at : u->count;
}

void uids_adopt(struct uids *u, uint32_t base)
{
	uint32_t at = index_of(u, base);

	if (at < u->count)
		u->taken[at] = 1;
}

void uids_release(struct uids *u, uint32_t base)
{
	uint32_t at = index_of(u, base);

	if (at < u->count)
		u->taken[at] = 0;
}
