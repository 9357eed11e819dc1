/* start.c - from a Start message to what a run folder's spec says. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "start.h"

#include <inttypes.h>
#include <string.h>

#include "digest.h"
#include "fetch.h"
#include "id.h"
#include "str.h"

#define DURATION_MAX_S   (INT32_C(366) * 86400)
#define SETUP_LIMIT_S    600
#define GRACE_S          3
#define GRACE_MAX_S      3600
#define MEMORY_BYTES     (INT64_C(4) << 30)
#define DISK_BYTES       (INT64_C(2) << 30)
#define OUTPUT_BYTES     (INT64_C(64) << 20)
#define RESULT_BYTES     (INT64_C(7) << 19) /* 3.5 MiB */
#define PIDS             512

#define REQUIREMENTS_MAX 256
#define REQUIREMENT_MAX  512

static int in_range(const char *field, int64_t n, int64_t min, int64_t max, struct err *e)
{
	if (n >= min && n <= max)
		return 0;
	return err_set(e, ERR_INVALID, "%s is %" PRId64 ", not %" PRId64 " to %" PRId64,
		field, n, min, max);
}

static int check_devices(
	const Cumulus__Worker__Start *m, const struct devices *devices, struct err *e)
{
	char quoted[STR_QUOTE_SIZE];

	if (in_range("device_uuids", (int64_t)m->n_device_uuids, 1, CHRONOS_DEVICES_MAX,
		    e) < 0)
		return -1;
	for (size_t i = 0; i < m->n_device_uuids; i++) {
		const char *uuid = m->device_uuids[i];

		if (!devices_know(devices, uuid))
			return err_set(e, ERR_UNAVAILABLE, "no device \"%s\" is here",
				str_quote(quoted, uuid, strlen(uuid)));
		for (size_t k = 0; k < i; k++)
			if (strcmp(uuid, m->device_uuids[k]) == 0)
				return err_set(e, ERR_INVALID,
					"device_uuids names %s twice", uuid);
	}
	return 0;
}

static int check_limits(const Cumulus__Worker__RunLimits *l, struct err *e)
{
	if (!l)
		return 0;
	if (!(l->cpus >= 0 && l->cpus <= 65536))
		return err_set(e, ERR_INVALID, "limits.cpus is %g", l->cpus);
	return in_range("limits.memory_bytes", l->memory_bytes, 0, INT64_MAX, e) < 0 ||
			       in_range("limits.disk_bytes", l->disk_bytes, 0, INT64_MAX,
				       e) < 0 ||
			       in_range("limits.pids", l->pids, 0, INT32_MAX, e) < 0 ||
			       in_range("limits.output_bytes", l->output_bytes, 0,
				       INT64_MAX, e) < 0 ||
			       in_range("limits.result_bytes", l->result_bytes, 0,
				       RESULT_BYTES, e) < 0
		       ? -1
		       : 0;
}

/* Each is a word of the resolver's; cumulusd has parsed them. */
static int check_requirements(const Cumulus__Worker__Start *m, struct err *e)
{
	if (in_range("requirements", (int64_t)m->n_requirements, 0, REQUIREMENTS_MAX, e) <
		0)
		return -1;
	for (size_t i = 0; i < m->n_requirements; i++) {
		const char *line = m->requirements[i];
		size_t len = strlen(line);

		if (!len || len > REQUIREMENT_MAX || *line == '-' ||
			strpbrk(line, "\r\n"))
			return err_set(e, ERR_INVALID,
				"requirements has what is no requirement");
	}
	return 0;
}

int start_check(
	const Cumulus__Worker__Start *m, const struct devices *devices, struct err *e)
{
	struct digest ignored;

	if (!id_valid(m->job_id, 'j'))
		return err_set(e, ERR_INVALID, "job_id is no job's id");
	if (digest_parse(m->package_digest, &ignored, e) < 0)
		return err_wrap(e, "package_digest");
	if (in_range("attempt", m->attempt, 1, INT32_MAX, e) < 0 ||
		in_range("package_size", m->package_size, 1, PACKAGE_SIZE_MAX, e) < 0 ||
		in_range("hundredths", m->hundredths, 1, CHRONOS_WHOLE, e) < 0 ||
		in_range("duration", m->duration, 1, DURATION_MAX_S, e) < 0 ||
		in_range("setup_limit", m->setup_limit, 0, 86400, e) < 0 ||
		in_range("grace", m->grace, 0, GRACE_MAX_S, e) < 0 ||
		check_limits(m->limits, e) < 0)
		return -1;
	if (check_requirements(m, e) < 0)
		return -1;
	if (!str_empty(m->image))
		return err_set(e, ERR_UNSUPPORTED, "image: this worker has no images");
	if (m->ticket_required)
		return err_set(e, ERR_UNSUPPORTED,
			"ticket_required: this worker has no tickets");
	return check_devices(m, devices, e);
}

void start_fill_limits(Cumulus__Worker__Start *m, const struct start_machine *machine,
	const struct devices *devices)
{
	Cumulus__Worker__RunLimits *l = m->limits;
	double share = devices->count
			       ? (double)m->hundredths * (double)m->n_device_uuids /
					 (CHRONOS_WHOLE * (double)devices->count)
			       : 1;

	if (l->cpus <= 0)
		l->cpus = share * machine->cpus > 1 ? share * machine->cpus : 1;
	if (!l->memory_bytes)
		l->memory_bytes = machine->memory_bytes / 2 < MEMORY_BYTES
					  ? machine->memory_bytes / 2
					  : MEMORY_BYTES;
	if (!l->disk_bytes)
		l->disk_bytes = DISK_BYTES;
	if (!l->pids)
		l->pids = PIDS;
	if (!l->output_bytes)
		l->output_bytes = OUTPUT_BYTES;
	if (!l->result_bytes)
		l->result_bytes = RESULT_BYTES;
	if (!m->setup_limit)
		m->setup_limit = SETUP_LIMIT_S;
	if (!m->grace)
		m->grace = GRACE_S;
}
