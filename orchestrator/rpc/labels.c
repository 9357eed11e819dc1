/* labels.c - sorts labels, refuses a key that is there twice, packs them. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "labels.h"

#include <stdlib.h>
#include <string.h>

#include "str.h"

static int compare(const void *a, const void *b)
{
	return strcmp(((const struct label *)a)->key, ((const struct label *)b)->key);
}

int labels_pack(struct label *labels, size_t count, struct buf *out, struct err *e)
{
	if (count)
		qsort(labels, count, sizeof(*labels), compare);
	for (size_t i = 1; i < count; i++)
		if (strcmp(labels[i].key, labels[i - 1].key) == 0) {
			char quoted[STR_QUOTE_SIZE];

			return err_set(e, ERR_INVALID, "labels names \"%s\" twice",
				str_quote(quoted, labels[i].key, strlen(labels[i].key)));
		}
	for (size_t i = 0; i < count; i++) {
		buf_add(out, labels[i].key, strlen(labels[i].key) + 1);
		buf_add(out, labels[i].value, strlen(labels[i].value) + 1);
	}
	return 0;
}
