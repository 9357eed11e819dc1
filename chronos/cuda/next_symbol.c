/* next_symbol.c - looks a name up in the loaded libraries' own tables. */
/* SPDX-License-Identifier: Apache-2.0 */
/*
 * It calls nothing else of the C library: a sanitizer, which stands in front of that, gets
 * here before it is ready to be called.
 */
#include "next_symbol.h"

#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { VERSION_HIDDEN = 0x8000 };

struct search {
	const char *name;
	bool after_ours;
	void *found;
};

struct tables {
	const ElfW(Sym) * symbols;
	const char *strings;
	const uint32_t *hash;
	const ElfW(Half) * versions;
};

/* The loader has made these absolute, but for objects that it may not write. */
static const void *absolute(const struct dl_phdr_info *object, ElfW(Addr) address)
{
	return (const void *)(address < object->dlpi_addr ? address + object->dlpi_addr
							  : address);
}

static bool read_tables(const struct dl_phdr_info *object, struct tables *t)
{
	const ElfW(Dyn) *entry = NULL;

	*t = (struct tables){ 0 };
	for (int i = 0; i < object->dlpi_phnum; i++) {
		if (object->dlpi_phdr[i].p_type == PT_DYNAMIC)
			entry = (const void *)(object->dlpi_addr +
					       object->dlpi_phdr[i].p_vaddr);
	}
	for (; entry && entry->d_tag != DT_NULL; entry++) {
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
	const struct dl_phdr_info *object, const struct tables *t, const char *name)
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
			return (void *)(object->dlpi_addr + t->symbols[i].st_value);
		if (h & 1)
			return NULL;
	}
}

static bool is_ours(const struct dl_phdr_info *object)
{
	uintptr_t here = (uintptr_t)&next_symbol;

	for (int i = 0; i < object->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &object->dlpi_phdr[i];
		if (p->p_type == PT_LOAD &&
			here - (object->dlpi_addr + p->p_vaddr) < p->p_memsz)
			return true;
	}
	return false;
}

static int visit(struct dl_phdr_info *object, size_t size, void *arg)
{
	struct search *s = arg;
	struct tables t;

	(void)size;
	if (!s->after_ours) {
		s->after_ours = is_ours(object);
		return 0;
	}
	if (read_tables(object, &t))
		s->found = look_up(object, &t, s->name);
	return s->found != NULL;
}

void *next_symbol(const char *name)
{
	struct search s = { .name = name };

	dl_iterate_phdr(visit, &s);
	return s.found;
}
