/* next_symbol.c - looks a name up in the loaded libraries' own tables. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * It calls nothing of the C library: a sanitizer, which stands in front of that, gets here
 * before it is ready to be called.  It reads the loader's list from this library to the C
 * library; what the program starts with lies there, and that does not change.
 */
#include "next_symbol.h"

#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VERSION_HIDDEN = 0x8000 };

struct tables {
	const ElfW(Sym) * symbols;
	const char *strings;
	const uint32_t *hash;
	const ElfW(Half) * versions;
};

/* The loader has made these absolute, but for objects that it may not write. */
static const void *absolute(const struct link_map *object, ElfW(Addr) address)
{
	return (const void *)(address < object->l_addr ? address + object->l_addr
						       : address);
}

static bool read_tables(const struct link_map *object, struct tables *t)
{
	*t = (struct tables){ 0 };
	for (const ElfW(Dyn) *entry = object->l_ld; entry && entry->d_tag != DT_NULL;
		entry++) {
		const void *at = absolute(object, entry->d_un.d_ptr);
		if (entry->d_tag == DT_SYMTAB)
			t->symbols = at;
		else if (entry->d_tag == DT_STRTAB)
			t->strings = at;
		else if (entry->d_tag == DT_GNU_HASH)
			t->hash = at;
		else if (entry->d_tag == DT_VERSYM)
			t->versions = at;
	}
	return t->symbols && t->strings && t->hash;
}

static uint32_t gnu_hash(const char *name)
{
	uint32_t h = 5381;

	for (; *name; name++)
		h = h * 33 + (unsigned char)*name;
	return h;
}

static bool is_same(const char *a, const char *b)
{
	for (; *a && *a == *b; a++)
		b++;
	return *a == *b;
}

static bool is_default(const struct tables *t, uint32_t i, const char *name)
{
	return t->symbols[i].st_shndx != SHN_UNDEF &&
	       is_same(t->strings + t->symbols[i].st_name, name) &&
	       !(t->versions && (t->versions[i] & VERSION_HIDDEN));
}

/* The table: counts of buckets, of the first symbol, of filter words; then these. */
static void *look_up(
	const struct link_map *object, const struct tables *t, const char *name)
{
	uint32_t buckets = t->hash[0], first = t->hash[1], hash = gnu_hash(name);
	const uint32_t *bucket = t->hash + 4 + t->hash[2] * (sizeof(ElfW(Addr)) / 4);
	const uint32_t *chain = bucket + buckets;

	uint32_t i = buckets ? bucket[hash % buckets] : 0;
	if (i < first || i == 0)
		return NULL;
	for (;; i++) {
		uint32_t h = chain[i - first];
		if ((h | 1) == (hash | 1) && is_default(t, i, name))
			return (void *)(object->l_addr + t->symbols[i].st_value);
		if (h & 1)
			return NULL;
	}
}

/* This library's own, as link.h says. */
extern ElfW(Dyn) _DYNAMIC[] __attribute__((visibility("hidden")));

void *next_symbol(const char *name, const char *not_with)
{
	const struct link_map *object = _r_debug.r_map;
	void *found = NULL;
	struct tables t;

	while (object && object->l_ld != _DYNAMIC)
		object = object->l_next;
	while (!found && object && (object = object->l_next)) {
		if (read_tables(object, &t) && !look_up(object, &t, not_with))
			found = look_up(object, &t, name);
	}
	return found;
}
