/* list.h - the one intrusive list: doubly linked, circular, headed.
 *
 * Thread: the owner's.  A link that is in no list points at itself after list_init() or
 * list_remove(), so removing twice is harmless.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *prev, *next;
};

#define list_entry(link, type, member) ((type *)((char *)(link)-offsetof(type, member)))

#define list_each(it, head)                                                              \
	for (struct list *it = (head)->next; it != (head); it = it->next)

/* The entry may be removed in the body. */
#define list_each_safe(it, head)                                                         \
	for (struct list *it = (head)->next, *it##_next = it->next; it != (head);        \
		it = it##_next, it##_next = it->next)

static inline void list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool list_empty(const struct list *head)
{
	return head->next == head;
}

static inline void list_insert_before(struct list *at, struct list *link)
{
	link->prev = at->prev;
	link->next = at;
	at->prev->next = link;
	at->prev = link;
}

static inline void list_append(struct list *head, struct list *link)
{
	list_insert_before(head, link);
}

static inline void list_remove(struct list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

static inline struct list *list_first(struct list *head)
{
	return list_empty(head) ? NULL : head->next;
}
