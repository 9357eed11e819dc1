/* test_symbols.c - names are found in the file that declares them, with what it imports. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "symbols.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "buf.h"
#include "descriptor.pb-c.h"
#include "message.h"
#include "served.h"

typedef Cumulus__Descriptor__FileSet FileSet;
typedef Cumulus__Descriptor__File File;
typedef Cumulus__Descriptor__Message Message;
typedef Cumulus__Descriptor__Enum Enum;
typedef Cumulus__Descriptor__Member Member;

static struct symbols *served_symbols(void)
{
	struct err e = { 0 };
	struct symbols *s =
		symbols_new(rpc_served, (size_t)(rpc_served_end - rpc_served), &e);

	if (!s)
		fail_msg("%s", e.text);
	return s;
}

static void what_cumulusd_serves_is_found_by_every_kind_of_name(void **state)
{
	(void)state;
	static const char *const names[] = { "cumulus.orchestrator.OrchestratorService",
		"cumulus.orchestrator.OrchestratorService.SubmitJob",
		"cumulus.orchestrator.JobSubmission",
		"cumulus.orchestrator.JobSubmission.gpu_memory",
		"cumulus.orchestrator.JobSubmission.LabelsEntry",
		"cumulus.orchestrator.JobState", "cumulus.orchestrator.COMPLETED" };
	struct symbols *s = served_symbols();
	const struct symbol_file *file = symbols_file(s, "orchestrator.proto");

	assert_non_null(file);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		assert_ptr_equal(symbols_declaring(s, names[i]), file);
	assert_ptr_equal(symbols_declaring(s, "grpc.health.v1.Health.Watch"),
		symbols_file(s, "grpc/health/v1/health.proto"));
	assert_ptr_equal(
		symbols_declaring(s, "grpc.health.v1.HealthCheckResponse.ServingStatus"),
		symbols_file(s, "grpc/health/v1/health.proto"));
	assert_non_null(symbols_declaring(
		s, "grpc.reflection.v1alpha.ServerReflectionRequest.message_request"));
	symbols_free(s);
}

static void what_nobody_declares_is_not_found(void **state)
{
	(void)state;
	static const char *const names[] = { "", ".", "cumulus.orchestrator",
		".cumulus.orchestrator.JobState",
		"cumulus.orchestrator.JobState.COMPLETED",
		"cumulus.orchestrator.Jobstate", "JobState" };
	struct symbols *s = served_symbols();

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		assert_null(symbols_declaring(s, names[i]));
	assert_null(symbols_file(s, "worker.proto"));
	assert_null(symbols_file(s, ""));
	symbols_free(s);
}

static void only_messages_are_messages(void **state)
{
	(void)state;
	struct symbols *s = served_symbols();

	assert_true(symbols_is_message(s, "cumulus.orchestrator.JobEvent"));
	assert_true(symbols_is_message(s, "grpc.health.v1.HealthListResponse"));
	assert_false(symbols_is_message(s, "cumulus.orchestrator.JobState"));
	assert_false(symbols_is_message(s, "cumulus.orchestrator.OrchestratorService"));
	assert_false(symbols_is_message(s, "cumulus.orchestrator.JobEvent.job_id"));
	assert_false(symbols_is_message(s, "nothing"));
	symbols_free(s);
}

/* ---- files that import each other: top imports left and right, both import low */

static void add_file(FileSet *set, ProtobufCBinaryData *place, struct buf *bytes,
	char *name, char **imports, size_t count)
{
	File f = CUMULUS__DESCRIPTOR__FILE__INIT;
	Message m = CUMULUS__DESCRIPTOR__MESSAGE__INIT;
	Message *messages[] = { &m };

	m.name = name;
	f.name = name;
	f.package = (char *)(uintptr_t) "";
	f.dependency = imports;
	f.n_dependency = count;
	f.message_type = messages;
	f.n_message_type = 1;
	wire_message_write(&f, bytes);
	place->data = bytes->data;
	place->len = bytes->len;
	set->n_file++;
}

static void imports_come_along_each_once(void **state)
{
	(void)state;
	char low[] = "low";
	char left[] = "left";
	char right[] = "right";
	char top[] = "top";
	char missing[] = "missing";
	char *both[] = { left, right };
	char *lower[] = { low, missing };
	ProtobufCBinaryData files[4];
	struct buf bytes[5] = { 0 };
	FileSet set = CUMULUS__DESCRIPTOR__FILE_SET__INIT;
	ProtobufCBinaryData out[4];
	struct err e = { 0 };

	set.file = files;
	add_file(&set, &files[0], &bytes[0], low, NULL, 0);
	add_file(&set, &files[1], &bytes[1], left, lower, 2);
	add_file(&set, &files[2], &bytes[2], right, lower, 1);
	add_file(&set, &files[3], &bytes[3], top, both, 2);
	wire_message_write(&set, &bytes[4]);

	struct symbols *s = symbols_new(bytes[4].data, bytes[4].len, &e);

	assert_non_null(s);
	assert_int_equal(symbols_file_count(s), 4);
	assert_int_equal(symbols_with_imports(s, symbols_declaring(s, "top"), out), 4);
	assert_int_equal(out[0].len, bytes[3].len);
	assert_memory_equal(out[0].data, bytes[3].data, bytes[3].len);
	assert_memory_equal(out[3].data, bytes[0].data, bytes[0].len);
	assert_int_equal(symbols_with_imports(s, symbols_file(s, "left"), out), 2);
	assert_int_equal(symbols_with_imports(s, symbols_file(s, "low"), out), 1);
	symbols_free(s);
	for (size_t i = 0; i < 5; i++)
		buf_fini(&bytes[i]);
}

static void bytes_that_are_no_set_are_refused(void **state)
{
	(void)state;
	/* Cut short; and a set whose one file is cut short. */
	static const uint8_t cut[] = { 0x0a, 5, 1 };
	static const uint8_t inner[] = { 0x0a, 3, 0x0a, 9, 'x' };
	struct err e = { 0 };

	assert_null(symbols_new(cut, sizeof(cut), &e));
	assert_int_equal(e.code, ERR_INVALID);
	assert_null(symbols_new(inner, sizeof(inner), &e));
	assert_int_equal(e.code, ERR_INVALID);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_cumulusd_serves_is_found_by_every_kind_of_name),
		cmocka_unit_test(what_nobody_declares_is_not_found),
		cmocka_unit_test(only_messages_are_messages),
		cmocka_unit_test(imports_come_along_each_once),
		cmocka_unit_test(bytes_that_are_no_set_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
