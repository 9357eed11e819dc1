/* fuzz_wire_message.c - any bytes, read as several message types: refused or sound. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "message.h"
#include "orchestrator.pb-c.h"
#include "worker.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* What was taken must also survive being written and read again. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static const ProtobufCMessageDescriptor *const types[] = {
		&cumulus__orchestrator__job_submission__descriptor,
		&cumulus__orchestrator__worker_list__descriptor,
		&cumulus__orchestrator__job_status__descriptor,
		&cumulus__orchestrator__job_event__descriptor,
		&cumulus__worker__from_worker__descriptor,
		&cumulus__worker__to_worker__descriptor,
		&cumulus__worker__run_spec__descriptor,
	};
	struct buf out = { 0 };
	struct err e;

	if (!len)
		return 0;

	const ProtobufCMessageDescriptor *type =
		types[bytes[0] % (sizeof(types) / sizeof(*types))];
	ProtobufCMessage *m = wire_message_read(type, bytes + 1, len - 1, &e);

	if (!m)
		return 0;
	wire_message_write(m, &out);

	ProtobufCMessage *again = wire_message_read(type, out.data, out.len, &e);

	if (!again)
		abort();
	wire_message_free(again);
	wire_message_free(m);
	buf_fini(&out);
	return 0;
}
