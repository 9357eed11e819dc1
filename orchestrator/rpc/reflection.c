/* reflection.c - grpc.reflection.v1 and v1alpha: what services there are, and their types.
 *
 * Both versions have the same messages under two names, so one pair of types serves both.
 * A question is answered before the next one is taken.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "grpc/reflection/v1/reflection.pb-c.h"
#include "internal.h"
#include "served.h"
#include "str.h"
#include "symbols.h"

typedef Grpc__Reflection__V1__ServerReflectionRequest Request;
typedef Grpc__Reflection__V1__ServerReflectionResponse Response;
typedef Grpc__Reflection__V1__FileDescriptorResponse FileResponse;
typedef Grpc__Reflection__V1__ExtensionNumberResponse NumberResponse;
typedef Grpc__Reflection__V1__ListServiceResponse ListResponse;
typedef Grpc__Reflection__V1__ServiceResponse ServiceResponse;
typedef Grpc__Reflection__V1__ErrorResponse ErrorResponse;

#define ASKS(what) GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##what
#define SAYS(what)                                                                       \
	GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##what

struct reflection {
	struct wire_server *server;
	struct symbols *symbols;
};

struct asking {
	Request *question; /* NULL: all are answered */
	bool ended;
};

/* ---- the answer to one question */

struct answer {
	Response m;
	union {
		FileResponse files;
		NumberResponse numbers;
		ListResponse services;
		ErrorResponse error;
	} part;
	char text[STR_QUOTE_SIZE + 64];
};

static void say_unknown(struct answer *a, const char *what, const char *name)
{
	char quoted[STR_QUOTE_SIZE];
	ErrorResponse *error = &a->part.error;

	grpc__reflection__v1__error_response__init(error);
	str_put(a->text, sizeof(a->text), "%s \"%s\" is not known", what,
		str_quote(quoted, name, strlen(name)));
	error->error_code = WIRE_NOT_FOUND;
	error->error_message = a->text;
	a->m.error_response = error;
	a->m.message_response_case = SAYS(ERROR_RESPONSE);
}

static void say_file(struct answer *a, const struct symbols *s,
	const struct symbol_file *file, const char *what, const char *name)
{
	FileResponse *files = &a->part.files;

	if (!file) {
		say_unknown(a, what, name);
		return;
	}
	grpc__reflection__v1__file_descriptor_response__init(files);
	files->file_descriptor_proto =
		xcalloc(symbols_file_count(s), sizeof(*files->file_descriptor_proto));
	files->n_file_descriptor_proto =
		symbols_with_imports(s, file, files->file_descriptor_proto);
	a->m.file_descriptor_response = files;
	a->m.message_response_case = SAYS(FILE_DESCRIPTOR_RESPONSE);
}

/* proto3 messages, all of them: none can be extended. */
static void say_numbers(struct answer *a, const struct symbols *s, char *type)
{
	NumberResponse *numbers = &a->part.numbers;

	if (!symbols_is_message(s, type)) {
		say_unknown(a, "message", type);
		return;
	}
	grpc__reflection__v1__extension_number_response__init(numbers);
	numbers->base_type_name = type;
	a->m.all_extension_numbers_response = numbers;
	a->m.message_response_case = SAYS(ALL_EXTENSION_NUMBERS_RESPONSE);
}

static void add_service(ListResponse *services, const char *path)
{
	size_t len = strcspn(path + 1, "/");
	ServiceResponse *service;

	for (size_t i = 0; i < services->n_service; i++) {
		const char *name = services->service[i]->name;

		if (strlen(name) == len && memcmp(name, path + 1, len) == 0)
			return;
	}
	service = xmalloc(sizeof(*service));
	grpc__reflection__v1__service_response__init(service);
	service->name = utf8_replace(path + 1, len, NULL);
	services->service = xreallocarray(
		services->service, services->n_service + 1, sizeof(*services->service));
	services->service[services->n_service++] = service;
}

static void say_services(struct answer *a, const struct wire_server *server)
{
	ListResponse *services = &a->part.services;
	const struct wire_method *method;

	grpc__reflection__v1__list_service_response__init(services);
	for (size_t i = 0; (method = wire_server_method(server, i)); i++)
		add_service(services, method->path);
	a->m.list_services_response = services;
	a->m.message_response_case = SAYS(LIST_SERVICES_RESPONSE);
}

static void answer_fini(struct answer *a)
{
	if (a->m.message_response_case == SAYS(FILE_DESCRIPTOR_RESPONSE))
		free(a->part.files.file_descriptor_proto);
	if (a->m.message_response_case != SAYS(LIST_SERVICES_RESPONSE))
		return;
	for (size_t i = 0; i < a->part.services.n_service; i++) {
		free(a->part.services.service[i]->name);
		free(a->part.services.service[i]);
	}
	free(a->part.services.service);
}

/* False for a question that asks nothing. */
static bool answer_to(struct answer *a, const struct reflection *r, Request *q)
{
	const struct symbols *s = r->symbols;

	grpc__reflection__v1__server_reflection_response__init(&a->m);
	a->m.valid_host = q->host;
	a->m.original_request = q;
	switch (q->message_request_case) {
	case ASKS(FILE_BY_FILENAME):
		say_file(a, s, symbols_file(s, q->file_by_filename), "file",
			q->file_by_filename);
		return true;
	case ASKS(FILE_CONTAINING_SYMBOL):
		say_file(a, s, symbols_declaring(s, q->file_containing_symbol), "symbol",
			q->file_containing_symbol);
		return true;
	case ASKS(FILE_CONTAINING_EXTENSION):
		say_unknown(a, "an extension of",
			q->file_containing_extension->containing_type);
		return true;
	case ASKS(ALL_EXTENSION_NUMBERS_OF_TYPE):
		say_numbers(a, s, q->all_extension_numbers_of_type);
		return true;
	case ASKS(LIST_SERVICES):
		say_services(a, r->server);
		return true;
	default:
		return false;
	}
}

/* ---- the call */

static void on_open(struct wire_call *call)
{
	wire_call_set_data(call, xcalloc(1, sizeof(struct asking)));
}

static void on_message(struct wire_call *call, ProtobufCMessage *message)
{
	struct asking *asking = wire_call_data(call);

	asking->question = (Request *)message;
	wire_call_pause(call);
	wire_call_wake(call);
}

static void on_end(struct wire_call *call)
{
	struct asking *asking = wire_call_data(call);

	asking->ended = true;
	wire_call_wake(call);
}

static void answer_next(struct wire_call *call, struct asking *asking)
{
	struct answer a = { 0 };
	struct err e = { 0 };

	if (!answer_to(&a, wire_call_user(call), asking->question))
		wire_call_finish(
			call, WIRE_INVALID_ARGUMENT, "message_request is not set");
	else if (wire_call_send(call, &a.m, &e) < 0)
		wire_call_fail(call, &e);
	answer_fini(&a);
	wire_message_free(asking->question);
	asking->question = NULL;
	wire_call_resume(call);
}

static void on_pull(struct wire_call *call)
{
	struct asking *asking = wire_call_data(call);

	if (asking->question)
		answer_next(call, asking);
	else if (asking->ended)
		wire_call_finish(call, WIRE_OK, NULL);
}

static void on_gone(struct wire_call *call)
{
	struct asking *asking = wire_call_data(call);

	wire_message_free(asking->question);
	free(asking);
}

/* ---- the service */

#define TYPES                                                                            \
	&grpc__reflection__v1__server_reflection_request__descriptor,                    \
		&grpc__reflection__v1__server_reflection_response__descriptor

struct reflection *reflection_new(struct wire_server *server)
{
	static const struct wire_method methods[] = {
		{ "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", TYPES,
			WIRE_BOTH_STREAM },
		{ "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", TYPES,
			WIRE_BOTH_STREAM },
	};
	static const struct wire_handlers on = {
		.open = on_open,
		.message = on_message,
		.end = on_end,
		.pull = on_pull,
		.gone = on_gone,
	};
	struct reflection *r = xcalloc(1, sizeof(*r));
	struct err e = { 0 };

	r->server = server;
	r->symbols = symbols_new(rpc_served, (size_t)(rpc_served_end - rpc_served), &e);
	assert(r->symbols); /* the set is a part of this program */
	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++)
		wire_server_add(server, &methods[i], &on, r);
	return r;
}

void reflection_free(struct reflection *r)
{
	if (!r)
		return;
	symbols_free(r->symbols);
	free(r);
}
