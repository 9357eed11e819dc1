/* record.c - frees what the core asked the store to remember. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "record.h"

#include <stdlib.h>

void record_free(struct record *r)
{
	if (!r)
		return;
	job_facts_fini(&r->facts);
	submission_free(r->submission);
	job_state_event_fini(&r->event);
	free(r->result);
	free(r->error);
	free(r);
}
