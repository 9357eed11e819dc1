/* runlog.c - the log of a run: records that are whole or not there. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "runfolder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "crc32c.h"
#include "file.h"
#include "little.h"
#include "xalloc.h"

/* A record, little-endian: u32 length of the payload, u32 crc32c of all that follows and of
 * the length, i64 number, u32 type, u32 zero, i64 boottime, i64 wall, payload. */
enum {
	AT_LENGTH = 0,
	AT_CRC = 4,
	AT_NUMBER = 8,
	AT_TYPE = 16,
	AT_ZERO = 20,
	AT_BOOT = 24,
	AT_WALL = 32,
	HEADER_SIZE = 40,
};

static uint32_t checksum(const uint8_t *record, size_t payload_len)
{
	uint32_t crc = crc32c(0, record, AT_CRC);

	return crc32c(crc, record + AT_NUMBER, HEADER_SIZE - AT_NUMBER + payload_len);
}

static bool is_report(uint32_t type)
{
	return type == RUN_RECORD_SETTING_UP || type == RUN_RECORD_STARTED ||
	       type == RUN_RECORD_ENDED || type == RUN_RECORD_REFUSED;
}

static bool is_last(uint32_t type)
{
	return type == RUN_RECORD_ENDED || type == RUN_RECORD_REFUSED;
}

static int64_t number_after(int64_t last_report, uint32_t type)
{
	return is_report(type) ? last_report + 1 : 0;
}

/* Size of the whole record at at, 0 when there is none. */
static size_t parse(
	const uint8_t *at, size_t len, int64_t last_report, struct run_record *out)
{
	if (len < HEADER_SIZE)
		return 0;

	size_t payload_len = get_le32(at + AT_LENGTH);
	if (payload_len > len - HEADER_SIZE ||
		checksum(at, payload_len) != get_le32(at + AT_CRC))
		return 0;
	*out = (struct run_record){
		.type = get_le32(at + AT_TYPE),
		.number = (int64_t)get_le64(at + AT_NUMBER),
		.boot_ns = (int64_t)get_le64(at + AT_BOOT),
		.wall_ns = (int64_t)get_le64(at + AT_WALL),
		.payload = at + HEADER_SIZE,
		.len = payload_len,
	};
	if (out->number != number_after(last_report, out->type))
		return 0;
	return HEADER_SIZE + payload_len;
}

static void parse_all(struct run_log *log)
{
	struct run_record record;

	log->last_report = RUN_FIRST_REPORT;
	while (log->size < log->bytes.len && !run_log_over(log)) {
		size_t size = parse(log->bytes.data + log->size,
			log->bytes.len - log->size, log->last_report, &record);

		if (!size)
			return;
		log->records = xreallocarray(
			log->records, log->count + 1, sizeof(*log->records));
		log->records[log->count++] = record;
		log->size += size;
		if (record.number)
			log->last_report = record.number;
	}
}

int run_log_read(int dirfd, struct run_log *log, struct err *e)
{
	struct err read_e;
	struct run_log got = { 0 };

	if (file_read(dirfd, RUN_FILE_LOG, RUN_LOG_MAX, &got.bytes, &read_e) < 0 &&
		read_e.code != ERR_NOT_FOUND) {
		buf_fini(&got.bytes);
		return err_set(e, read_e.code, "%s", read_e.text);
	}
	parse_all(&got);
	*log = got;
	return 0;
}

void run_log_fini(struct run_log *log)
{
	buf_fini(&log->bytes);
	free(log->records);
	*log = (struct run_log){ 0 };
}

const struct run_record *run_log_find(
	const struct run_log *log, enum run_record_type type)
{
	for (size_t i = log->count; i-- > 0;) {
		if (log->records[i].type == type)
			return &log->records[i];
	}
	return NULL;
}

bool run_log_over(const struct run_log *log)
{
	return log->count && is_last(log->records[log->count - 1].type);
}

int run_log_open(int dirfd, struct run_log_writer *w, struct err *e)
{
	CLEANUP(run_log_fini) struct run_log log = { 0 };

	if (run_log_read(dirfd, &log, e) < 0)
		return -1;

	CLEANUP(close_fd)
	int fd = openat(
		dirfd, RUN_FILE_LOG, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(e, "open log");
	if (log.bytes.len > log.size && ftruncate(fd, (off_t)log.size) < 0)
		return err_sys(e, "cut the log's torn tail");
	*w = (struct run_log_writer){
		.last_report = log.last_report,
		.size = log.size,
		.over = run_log_over(&log),
	};
	w->fd = take_fd(&fd);
	return 0;
}

void run_log_close(struct run_log_writer *w)
{
	close_fd(&w->fd);
}

static uint8_t *record_make(const struct run_log_writer *w, enum run_record_type type,
	const ProtobufCMessage *payload, size_t payload_len)
{
	uint8_t *record = xcalloc(1, HEADER_SIZE + payload_len);

	put_le32(record + AT_LENGTH, (uint32_t)payload_len);
	put_le64(record + AT_NUMBER, (uint64_t)number_after(w->last_report, type));
	put_le32(record + AT_TYPE, type);
	put_le64(record + AT_BOOT, (uint64_t)clock_boot_ns());
	put_le64(record + AT_WALL, (uint64_t)clock_wall_ns());
	protobuf_c_message_pack(payload, record + HEADER_SIZE);
	put_le32(record + AT_CRC, checksum(record, payload_len));
	return record;
}

int run_log_append(struct run_log_writer *w, enum run_record_type type,
	const ProtobufCMessage *payload, bool sync, struct err *e)
{
	size_t payload_len = protobuf_c_message_get_packed_size(payload);
	size_t size = HEADER_SIZE + payload_len;

	if (w->fd < 0)
		return err_set(e, ERR_UNAVAILABLE, "the log failed before");
	if (w->over)
		return err_set(e, ERR_CONFLICT, "the run has its last record");
	if (payload_len > RUN_LOG_MAX || size > RUN_LOG_MAX - w->size)
		return err_set(
			e, ERR_EXHAUSTED, "the log would pass %zu bytes", RUN_LOG_MAX);

	CLEANUP(free_ptr) uint8_t *record = record_make(w, type, payload, payload_len);
	if (pwrite_all(w->fd, record, size, (off_t)w->size) < 0) {
		err_sys(e, "write log");
		if (ftruncate(w->fd, (off_t)w->size) < 0)
			run_log_close(w);
		return -1;
	}
	if (sync && fdatasync(w->fd) < 0) {
		/* What the disk holds now is unknown: nothing may rest on this log. */
		err_sys(e, "sync log");
		run_log_close(w);
		return -1;
	}
	w->size += size;
	w->over = is_last(type);
	if (is_report(type))
		w->last_report++;
	return 0;
}
