/* status.c - gRPC's status codes, and what they are elsewhere: errors, HTTP, HTTP/2. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "status.h"

#include <nghttp2/nghttp2.h>

static const struct {
	const char *name;
	enum err_code code;
} statuses[WIRE_STATUS_COUNT] = {
	[WIRE_OK] = { "OK", ERR_NONE },
	[WIRE_CANCELLED] = { "CANCELLED", ERR_CONFLICT },
	[WIRE_UNKNOWN] = { "UNKNOWN", ERR_INTERNAL },
	[WIRE_INVALID_ARGUMENT] = { "INVALID_ARGUMENT", ERR_INVALID },
	[WIRE_DEADLINE_EXCEEDED] = { "DEADLINE_EXCEEDED", ERR_TIMEOUT },
	[WIRE_NOT_FOUND] = { "NOT_FOUND", ERR_NOT_FOUND },
	[WIRE_ALREADY_EXISTS] = { "ALREADY_EXISTS", ERR_CONFLICT },
	[WIRE_PERMISSION_DENIED] = { "PERMISSION_DENIED", ERR_DENIED },
	[WIRE_RESOURCE_EXHAUSTED] = { "RESOURCE_EXHAUSTED", ERR_EXHAUSTED },
	[WIRE_FAILED_PRECONDITION] = { "FAILED_PRECONDITION", ERR_CONFLICT },
	[WIRE_ABORTED] = { "ABORTED", ERR_CONFLICT },
	[WIRE_OUT_OF_RANGE] = { "OUT_OF_RANGE", ERR_INVALID },
	[WIRE_UNIMPLEMENTED] = { "UNIMPLEMENTED", ERR_UNSUPPORTED },
	[WIRE_INTERNAL] = { "INTERNAL", ERR_INTERNAL },
	[WIRE_UNAVAILABLE] = { "UNAVAILABLE", ERR_UNAVAILABLE },
	[WIRE_DATA_LOSS] = { "DATA_LOSS", ERR_INTERNAL },
	[WIRE_UNAUTHENTICATED] = { "UNAUTHENTICATED", ERR_DENIED },
};

static const enum wire_status of_code[ERR_CODE_COUNT] = {
	[ERR_NONE] = WIRE_OK,
	[ERR_INVALID] = WIRE_INVALID_ARGUMENT,
	[ERR_NOT_FOUND] = WIRE_NOT_FOUND,
	[ERR_CONFLICT] = WIRE_FAILED_PRECONDITION,
	[ERR_EXHAUSTED] = WIRE_RESOURCE_EXHAUSTED,
	[ERR_DENIED] = WIRE_PERMISSION_DENIED,
	[ERR_UNAVAILABLE] = WIRE_UNAVAILABLE,
	[ERR_TIMEOUT] = WIRE_DEADLINE_EXCEEDED,
	[ERR_UNSUPPORTED] = WIRE_UNIMPLEMENTED,
	[ERR_SYSTEM] = WIRE_INTERNAL,
	[ERR_INTERNAL] = WIRE_INTERNAL,
};

const char *wire_status_name(enum wire_status status)
{
	return (unsigned)status < WIRE_STATUS_COUNT ? statuses[status].name : "UNKNOWN";
}

enum wire_status wire_status_of(enum err_code code)
{
	return (unsigned)code < ERR_CODE_COUNT ? of_code[code] : WIRE_UNKNOWN;
}

enum err_code wire_status_err(enum wire_status status)
{
	return (unsigned)status < WIRE_STATUS_COUNT ? statuses[status].code
						    : ERR_INTERNAL;
}

/* https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md */
enum wire_status status_of_http(int http)
{
	switch (http) {
	case 400:
		return WIRE_INTERNAL;
	case 401:
		return WIRE_UNAUTHENTICATED;
	case 403:
		return WIRE_PERMISSION_DENIED;
	case 404:
		return WIRE_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return WIRE_UNAVAILABLE;
	default:
		return WIRE_UNKNOWN;
	}
}

/* https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, "Errors" */
enum wire_status status_of_reset(uint32_t h2_code)
{
	switch (h2_code) {
	case NGHTTP2_REFUSED_STREAM:
		return WIRE_UNAVAILABLE;
	case NGHTTP2_CANCEL:
		return WIRE_CANCELLED;
	case NGHTTP2_ENHANCE_YOUR_CALM:
		return WIRE_RESOURCE_EXHAUSTED;
	case NGHTTP2_INADEQUATE_SECURITY:
		return WIRE_PERMISSION_DENIED;
	default:
		return WIRE_INTERNAL;
	}
}
