/* symbols.c - walks each file's descriptor once and keeps its names in a table. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "symbols.h"

#include <stdlib.h>

#include "descriptor.pb-c.h"
#include "message.h"
#include "str.h"
#include "table.h"
#include "xalloc.h"

typedef Cumulus__Descriptor__FileSet FileSet;
typedef Cumulus__Descriptor__File File;
typedef Cumulus__Descriptor__Message Message;
typedef Cumulus__Descriptor__Enum Enum;
typedef Cumulus__Descriptor__Service Service;
typedef Cumulus__Descriptor__Member Member;

struct symbol_file {
	File *told;
	ProtobufCBinaryData bytes; /* of the set */
	struct table_entry by_name;
};

struct symbol {
	char *name; /* in full */
	const struct symbol_file *file;
	bool is_message;
	struct table_entry by_name;
};

struct symbols {
	FileSet *set;
	struct symbol_file *files; /* as many as the set has */
	struct table by_file, by_name;
};

/* ---- indexing */

static char *join(const char *scope, const char *name)
{
	return *scope ? str_fmt("%s.%s", scope, name) : xstrdup(name);
}

/* Returns the full name; a name that is there already keeps its first file. */
static const char *add(struct symbols *s, const struct symbol_file *file,
	const char *scope, const char *name)
{
	struct symbol *symbol = xcalloc(1, sizeof(*symbol));
	struct table_entry *twin;

	symbol->name = join(scope, name);
	symbol->file = file;
	twin = table_find_str(&s->by_name, symbol->name);
	if (twin) {
		free(symbol->name);
		free(symbol);
		return table_value(twin, struct symbol, by_name)->name;
	}
	table_add_str(&s->by_name, &symbol->by_name, symbol->name);
	return symbol->name;
}

static void add_members(struct symbols *s, const struct symbol_file *file,
	const char *scope, Member **members, size_t count)
{
	for (size_t i = 0; i < count; i++)
		add(s, file, scope, members[i]->name);
}

static void add_enums(struct symbols *s, const struct symbol_file *file,
	const char *scope, Enum **enums, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		add(s, file, scope, enums[i]->name);
		/* The values are the enum's siblings, as in C. */
		add_members(s, file, scope, enums[i]->value, enums[i]->n_value);
	}
}

/* As deep as wire_message_read() let it be. */
static void add_messages(struct symbols *s, const struct symbol_file *file,
	const char *scope, Message **messages, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const Message *m = messages[i];
		const char *name = add(s, file, scope, m->name);

		table_value(table_find_str(&s->by_name, name), struct symbol, by_name)
			->is_message = true;
		add_members(s, file, name, m->field, m->n_field);
		add_members(s, file, name, m->oneof_decl, m->n_oneof_decl);
		add_enums(s, file, name, m->enum_type, m->n_enum_type);
		add_messages(s, file, name, m->nested_type, m->n_nested_type);
	}
}

static void add_file(struct symbols *s, struct symbol_file *file)
{
	const File *f = file->told;

	if (!table_find_str(&s->by_file, f->name))
		table_add_str(&s->by_file, &file->by_name, f->name);
	add_messages(s, file, f->package, f->message_type, f->n_message_type);
	add_enums(s, file, f->package, f->enum_type, f->n_enum_type);
	for (size_t i = 0; i < f->n_service; i++) {
		const Service *service = f->service[i];
		const char *name = add(s, file, f->package, service->name);

		add_members(s, file, name, service->method, service->n_method);
	}
}

struct symbols *symbols_new(const void *set, size_t len, struct err *e)
{
	struct symbols *s = xcalloc(1, sizeof(*s));

	s->set = (FileSet *)wire_message_read(
		&cumulus__descriptor__file_set__descriptor, set, len, e);
	if (!s->set) {
		symbols_free(s);
		return NULL;
	}
	s->files = xcalloc(s->set->n_file, sizeof(*s->files));
	for (size_t i = 0; i < s->set->n_file; i++) {
		struct symbol_file *file = &s->files[i];

		file->bytes = s->set->file[i];
		file->told =
			(File *)wire_message_read(&cumulus__descriptor__file__descriptor,
				file->bytes.data, file->bytes.len, e);
		if (!file->told) {
			symbols_free(s);
			return NULL;
		}
		add_file(s, file);
	}
	return s;
}

void symbols_free(struct symbols *s)
{
	struct table_entry *entry;

	if (!s)
		return;
	while ((entry = table_next(&s->by_name, NULL))) {
		struct symbol *symbol = table_value(entry, struct symbol, by_name);

		table_remove(&s->by_name, entry);
		free(symbol->name);
		free(symbol);
	}
	table_fini(&s->by_name);
	table_fini(&s->by_file);
	for (size_t i = 0; s->files && i < s->set->n_file; i++)
		wire_message_free(s->files[i].told);
	free(s->files);
	wire_message_free(s->set);
	free(s);
}

/* ---- asking */

const struct symbol_file *symbols_file(const struct symbols *s, const char *name)
{
	struct table_entry *entry = table_find_str(&s->by_file, name);

	return entry ? table_value(entry, struct symbol_file, by_name) : NULL;
}

static const struct symbol *find(const struct symbols *s, const char *name)
{
	struct table_entry *entry = table_find_str(&s->by_name, name);

	return entry ? table_value(entry, struct symbol, by_name) : NULL;
}

const struct symbol_file *symbols_declaring(const struct symbols *s, const char *name)
{
	const struct symbol *symbol = find(s, name);

	return symbol ? symbol->file : NULL;
}

bool symbols_is_message(const struct symbols *s, const char *name)
{
	const struct symbol *symbol = find(s, name);

	return symbol && symbol->is_message;
}

size_t symbols_file_count(const struct symbols *s)
{
	return s->set->n_file;
}

size_t symbols_with_imports(
	const struct symbols *s, const struct symbol_file *file, ProtobufCBinaryData *out)
{
	const struct symbol_file **found = xcalloc(s->set->n_file, sizeof(*found));
	size_t count = 0;

	found[count++] = file;
	/* What is found is looked through in its turn. */
	for (size_t at = 0; at < count; at++) {
		const File *f = found[at]->told;

		for (size_t i = 0; i < f->n_dependency; i++) {
			const struct symbol_file *import =
				symbols_file(s, f->dependency[i]);
			size_t seen = 0;

			while (seen < count && found[seen] != import)
				seen++;
			if (import && seen == count)
				found[count++] = import;
		}
	}
	for (size_t i = 0; i < count; i++)
		out[i] = found[i]->bytes;
	free(found);
	return count;
}
