/* config.c - cumulusd's settings: the table, and what it cannot express. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "str.h"
#include "wire.h"
#include "xalloc.h"

#define AT(member) offsetof(struct config, member)

#define YEARS_10   (INT64_C(3650) * 86400) /* as seconds */

const struct setting config_table[] = {
	{ "listen", SETTING_TEXT, AT(listen), "127.0.0.1:50051", 0, 0, "HOST:PORT",
		"where gRPC is served; port 0 picks one and prints it" },
	{ "http", SETTING_TEXT, AT(http), "127.0.0.1:8080", 0, 0, "HOST:PORT|off",
		"where health and metrics are served" },
	{ "data", SETTING_TEXT, AT(data), "/var/lib/cumulus", 0, 0, "DIR",
		"where everything durable lives" },
	{ "devices", SETTING_TEXT, AT(devices), "auto", 0, 0, "KIND",
		"auto, simulated:N, opencl-cpu or none: for the embedded worker" },
	{ "engine", SETTING_CHOICE, AT(engine), "local", 0, 0, "local",
		"how runs get onto workers" },
	{ "worker", SETTING_CHOICE, AT(worker), "embedded", 0, 0, "embedded|external",
		"start this machine's worker, or wait for one that is started by "
		"itself" },
	{ "user", SETTING_TEXT, AT(user), "cumulus", 0, 0, "NAME",
		"whom to become when started as root" },
	{ "on-exit", SETTING_CHOICE, AT(on_exit), "leave", 0, 0, "leave|stop",
		"at a clean end: leave running jobs running, or stop them and the "
		"worker" },
	{ "log-level", SETTING_CHOICE, AT(log_level), "info", 0, 0,
		"error|warn|info|debug", "the least important lines that are logged" },
	{ "log-json", SETTING_BOOL, AT(log_json), NULL, 0, 0, NULL, "log lines as JSON" },
	{ "log-file", SETTING_TEXT, AT(log_file), NULL, 0, 0, "FILE",
		"append the log to this file instead of stderr; SIGHUP opens it again" },
	{ "drain", SETTING_DURATION, AT(drain_s), "2s", 0, 3600, "TIME",
		"at a clean end: how long open calls get before they are cut off" },
	{ "setup-limit", SETTING_DURATION, AT(setup_limit_s), "10m", 1, 86400, "TIME",
		"from a job's placement to the start of its code" },
	{ "grace", SETTING_DURATION, AT(grace_s), "3s", 0, 3600, "TIME",
		"from SIGTERM to SIGKILL" },
	{ "max-duration", SETTING_DURATION, AT(duration_max_s), "24h", 1, 86400, "TIME",
		"longest duration a job may ask for" },
	{ "max-waiting", SETTING_INT, AT(waiting_jobs_max), "100000", 1, 10000000, "N",
		"jobs that may wait for a GPU" },
	{ "max-output", SETTING_BYTES, AT(output_bytes), "64M", 1024, INT64_C(1) << 39,
		"SIZE", "output kept of one job" },
	{ "job-memory", SETTING_BYTES, AT(job_memory_bytes), "0", 0, INT64_C(1) << 50,
		"SIZE",
		"memory of one job; 0: the smaller of 4 GiB and half the machine" },
	{ "job-pids", SETTING_INT, AT(job_pids), "512", 8, 1000000, "N",
		"processes and threads of one job" },
	{ "job-disk", SETTING_BYTES, AT(job_disk_bytes), "2G", 0, INT64_C(1) << 50,
		"SIZE", "disk of one job" },
	{ "history", SETTING_DURATION, AT(history_s), "24h", 60, YEARS_10, "TIME",
		"how long finished jobs are kept at least" },
	{ "history-jobs", SETTING_INT, AT(history_jobs), "100000", 0, INT64_C(1) << 40,
		"N", "older finished jobs go once there are more than this" },
	{ "history-bytes", SETTING_BYTES, AT(history_bytes), "16G", 0, INT64_C(1) << 60,
		"SIZE",
		"older finished jobs go once their packages, results and outputs take "
		"more" },
	{ "disk-low", SETTING_BYTES, AT(disk_low_bytes), "1G", 0, INT64_C(1) << 60,
		"SIZE", "no new jobs are taken while the disk has less than this free" },
	{ "backup", SETTING_TEXT, AT(backup), NULL, 0, 0, "DIR",
		"make copies of the database in this folder, which cumulusd's user must "
		"be able to write" },
	{ "backup-every", SETTING_DURATION, AT(backup_every_s), "24h", 1, YEARS_10,
		"TIME", "from one copy to the next" },
	{ "backup-keep", SETTING_INT, AT(backup_keep), "7", 1, 1000, "N",
		"copies that stay; older ones are removed" },
	{ 0 },
};

const char *const config_live[] = { "log-level", "log-json", "drain", "setup-limit",
	"grace", "max-duration", "max-waiting", "max-output", "job-memory", "job-pids",
	"job-disk", "history", "history-jobs", "history-bytes", "disk-low",
	"backup-every", "backup-keep", NULL };

static int check_devices(const char *text, struct err *e)
{
	char quoted[STR_QUOTE_SIZE];
	uint64_t n;

	if (strcmp(text, "auto") == 0 || strcmp(text, "opencl-cpu") == 0 ||
		strcmp(text, "none") == 0)
		return 0;
	if (!str_starts(text, "simulated:"))
		return err_set(e, ERR_INVALID,
			"devices: \"%s\" is not one of auto, simulated:N, opencl-cpu, none",
			str_quote(quoted, text, strlen(text)));
	if (parse_u64(text + strlen("simulated:"), 1, 64, &n, e) < 0)
		return err_wrap(e, "devices");
	return 0;
}

static int check_address(const char *name, const char *address, struct err *e)
{
	const char *colon = strrchr(address, ':');
	uint64_t port;

	if (!colon || colon == address ||
		parse_u64(colon + 1, 0, UINT16_MAX, &port, NULL) < 0)
		return err_set(
			e, ERR_INVALID, "%s: \"%.64s\" is not HOST:PORT", name, address);
	if (!wire_address_is_loopback(address))
		return err_set(e, ERR_INVALID,
			"%s: %.64s is not loopback, and nothing else is served without "
			"TLS",
			name, address);
	return 0;
}

static int make_absolute(char **path, struct err *e)
{
	char here[PATH_MAX];

	if (!**path)
		return err_set(e, ERR_INVALID, "data: a folder is expected");
	if (**path == '/')
		return 0;
	if (!getcwd(here, sizeof(here)))
		return err_sys(e, "data: current folder");

	char *absolute = str_fmt("%s/%s", here, *path);
	free(*path);
	*path = absolute;
	return 0;
}

int config_check(struct config *c, struct err *e)
{
	if (check_devices(c->devices, e) < 0)
		return -1;
	if (c->log_file && *c->log_file != '/')
		return err_set(e, ERR_INVALID, "log-file: \"%s\" needs to be absolute",
			c->log_file);
	if (c->backup && *c->backup != '/')
		return err_set(
			e, ERR_INVALID, "backup: \"%s\" needs to be absolute", c->backup);
	if (check_address("listen", c->listen, e) < 0)
		return -1;
	if (strcmp(c->http, "off") != 0 && check_address("http", c->http, e) < 0)
		return -1;
	return make_absolute(&c->data, e);
}
