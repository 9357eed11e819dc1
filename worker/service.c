/* service.c - the calls of cumulus.worker.WorkerService, as the worker makes them. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "service.h"

const struct wire_method service_work = {
	.path = "/cumulus.worker.WorkerService/Work",
	.request = &cumulus__worker__from_worker__descriptor,
	.response = &cumulus__worker__to_worker__descriptor,
	.kind = WIRE_BOTH_STREAM,
};

const struct wire_method service_read_blob = {
	.path = "/cumulus.worker.WorkerService/ReadBlob",
	.request = &cumulus__worker__read_blob_request__descriptor,
	.response = &cumulus__worker__blob_chunk__descriptor,
	.kind = WIRE_SERVER_STREAMS,
};

const struct wire_method service_write_output = {
	.path = "/cumulus.worker.WorkerService/WriteOutput",
	.request = &cumulus__worker__output_frames__descriptor,
	.response = &cumulus__worker__output_durable__descriptor,
	.kind = WIRE_BOTH_STREAM,
};
