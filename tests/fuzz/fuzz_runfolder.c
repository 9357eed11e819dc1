/* fuzz_runfolder.c - a run folder with any bytes in its files, as worker and runner read it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "exits.h"
#include "fuzz_folder.h"
#include "runfolder.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static const char *const files[] = { RUN_FILE_SPEC, RUN_FILE_LOG, RUN_FILE_OUTPUT,
	RUN_FILE_RESULT, RUN_FILE_PROGRESS, RUN_FILE_STOP, RUN_FILE_EXIT };
#define FILES (sizeof(files) / sizeof(*files))

/* One byte chooses the file, two its length. */
static void fill(int folder, const uint8_t *bytes, size_t len)
{
	const uint8_t *last = bytes + len;

	for (size_t i = 0; i < FILES; i++)
		unlinkat(folder, files[i], 0);
	while (last - bytes >= 3) {
		const char *name = files[bytes[0] % FILES];
		size_t want = (size_t)(bytes[1] << 8 | bytes[2]);
		size_t have = (size_t)(last - bytes - 3);
		size_t take = want < have ? want : have;
		CLEANUP(close_fd)
		int fd = openat(
			folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

		if (fd < 0 || write_all(fd, bytes + 3, take) < 0)
			abort();
		bytes += 3 + take;
	}
}

static void read_spec(int folder)
{
	char key[RUN_KEY_SIZE];
	struct err e;
	Cumulus__Worker__RunSpec *spec = runfolder_read_spec(folder, &e);

	if (!spec)
		return;
	/* What was taken can be used. */
	if (!spec->start || run_partition_key(key, spec, &e) < 0)
		abort();
	cumulus__worker__run_spec__free_unpacked(spec, NULL);
}

static void read_reports(int folder)
{
	struct run_state state;
	struct err e;

	if (runfolder_state(folder, 0, &state, &e) < 0)
		return;
	for (int64_t n = 1; n <= state.last_report && n < 10; n++) {
		Cumulus__Worker__Report *r =
			runfolder_read_report(folder, "j-aaaaaaaaaaaaaaaa", 1, n, &e);

		if (r)
			cumulus__worker__report__free_unpacked(r, NULL);
	}
}

static void read_output(int folder)
{
	struct buf frames = { 0 }, tail = { 0 };
	struct run_output out;
	struct err e;
	int64_t end = 0;

	if (run_output_end(folder, 0, &end, &e) == 0 &&
		run_output_read(folder, 0, FRAME_MAX, &frames, &e) == 0 &&
		(int64_t)frames.len > end)
		abort();
	if (run_output_tail(folder, 100, &tail, &e) == 0 && tail.len > 100)
		abort();
	/* A writer goes on behind the last whole frame. */
	if (run_output_open(folder, 1 << 20, &out, &e) == 0) {
		if (out.end != end ||
			run_output_write(&out, FRAME_STDOUT, "more", 4, &e) < 0)
			abort();
		run_output_close(&out);
	}
	buf_fini(&frames);
	buf_fini(&tail);
}

static void read_small_files(int folder)
{
	Cumulus__Worker__StopWhy why;
	struct exit_record exit;
	int32_t grace;
	bool asked;
	struct err e;
	Cumulus__Worker__ProgressFile *p = runfolder_read_progress(folder, &e);

	if (p)
		cumulus__worker__progress_file__free_unpacked(p, NULL);
	(void)!runfolder_read_stop(folder, &asked, &why, &grace, &e);
	(void)!exit_record_read(folder, &exit, &e);
}

/* Behind what a crash left a record can be written, and is found again. */
static void append_record(int folder)
{
	Cumulus__Worker__Refused refused = CUMULUS__WORKER__REFUSED__INIT;
	struct run_log_writer w;
	struct run_log log = { 0 };
	struct err e;

	if (run_log_open(folder, &w, &e) < 0)
		return;
	bool over = w.over;
	int rc = run_log_append(&w, RUN_RECORD_REFUSED, &refused.base, false, &e);

	run_log_close(&w);
	if (rc == 0 &&
		(run_log_read(folder, &log, &e) < 0 || !run_log_over(&log) || over))
		abort();
	run_log_fini(&log);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	static int folder = -1;

	if (folder < 0)
		folder = fuzz_folder_open();
	fill(folder, bytes, len);
	read_spec(folder);
	read_reports(folder);
	read_output(folder);
	read_small_files(folder);
	append_record(folder);
	return 0;
}
