/* commands.c - what each verb of chronos does. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const uint64_t NS_PER_S = 1000000000;

void close_chronos(struct chronos **c)
{
	chronos_close(*c);
}

/* ---- arguments ---- */

bool read_number(const char *text, uint64_t min, uint64_t max, uint64_t *n)
{
	char *end;

	if (!*text || strspn(text, "0123456789") != strlen(text))
		return false;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (errno != 0 || value < min || value > max)
		return false;
	*n = value;
	return true;
}

static enum exit_code read_duration(const struct cli *cli, const char *text, uint64_t *ns)
{
	const uint64_t max = CHRONOS_DURATION_MAX_NS / NS_PER_S;
	uint64_t seconds;

	if (!read_number(text, 1, max, &seconds))
		return show_usage_error(cli,
			"Duration \"%.32s\" is not a whole number of seconds from 1 to "
			"%" PRIu64,
			text, max);
	*ns = seconds * NS_PER_S;
	return EXIT_DONE;
}

static enum exit_code read_user(const struct cli *cli, uint32_t *uid)
{
	uint64_t number;

	*uid = CHRONOS_OWNER_CALLER;
	if (!cli->user)
		return EXIT_DONE;
	const struct passwd *user = getpwnam(cli->user);
	if (user) {
		*uid = user->pw_uid;
		return EXIT_DONE;
	}
	if (read_number(cli->user, 0, UINT32_MAX - 1, &number)) {
		*uid = (uint32_t)number;
		return EXIT_DONE;
	}
	return show_usage_error(cli, "There is no user \"%.64s\"", cli->user);
}

/* "0" or "0,2,GPU-uuid": splits `text`, which it changes, and says how many; 0 when an
 * entry is empty or there are too many. */
static size_t split_devices(char *text, const char *devices[CHRONOS_DEVICES_MAX])
{
	size_t n = 0;
	char *one;

	while ((one = strsep(&text, ","))) {
		if (!*one || n == CHRONOS_DEVICES_MAX)
			return 0;
		devices[n++] = one;
	}
	return n;
}

/* ---- opening ---- */

static int register_devices(
	struct chronos *c, const char *text, bool only_if_any, struct chronos_error *e)
{
	struct chronos_device devices[CHRONOS_DEVICES_MAX];
	struct chronos_device_spec spec;
	size_t n;

	if (chronos_devices_parse(text, &spec, e) < 0 ||
		chronos_devices_discover(&spec, devices, CHRONOS_DEVICES_MAX, &n, e) < 0)
		return -1;
	if (only_if_any && n == 0)
		return 0;
	return chronos_devices_register(c, devices, n, e);
}

/* A directory that knows no devices yet is told which there are. */
static int know_devices(const struct cli *cli, struct chronos *c, struct chronos_error *e)
{
	size_t known;

	if (cli->devices)
		return register_devices(c, cli->devices, false, e);
	if (chronos_devices(c, NULL, 0, &known, e) < 0)
		return -1;
	if (known > 0)
		return 0;
	if (register_devices(c, "auto", true, e) < 0 ||
		chronos_devices(c, NULL, 0, &known, e) < 0)
		return -1;
	if (known == 0 && !cli->json)
		show(BADGE_WARNING, "No GPU was found; for simulated ones add "
				    "--devices simulated:2");
	return 0;
}

/* Says whose the directory is, as that is what one has to know. */
static void explain_denial(const struct cli *cli, struct chronos_error *e)
{
	const char *dir = cli->dir ? cli->dir : getenv("CHRONOS_DIR");
	size_t used = strlen(e->text);
	struct stat st;

	if (stat(dir && *dir ? dir : CHRONOS_DEFAULT_DIR, &st) < 0)
		snprintf(e->text + used, sizeof e->text - used,
			"; be root, or use a directory of your own (--dir)");
	else if (st.st_uid != geteuid())
		snprintf(e->text + used, sizeof e->text - used,
			"; the directory is %s's: be that user, root or in a group that "
			"may write it, or use one of your own (--dir)",
			user_text(st.st_uid).text);
}

struct chronos *open_directory(const struct cli *cli, struct chronos_error *e)
{
	struct chronos *c = chronos_open(cli->dir, e);

	if (!c && e->code == CHRONOS_DENIED)
		explain_denial(cli, e);
	return c;
}

struct chronos *open_with_devices(const struct cli *cli, struct chronos_error *e)
{
	struct chronos *c = open_directory(cli, e);

	if (c && know_devices(cli, c, e) < 0) {
		chronos_close(c);
		return NULL;
	}
	return c;
}

/* The verbs that name a partition need no devices, but obey --devices. */
static struct chronos *open_plain(const struct cli *cli, struct chronos_error *e)
{
	return cli->devices ? open_with_devices(cli, e) : open_directory(cli, e);
}

enum exit_code check_partition(const struct cli *cli, const char *name)
{
	if (*name)
		return EXIT_DONE;
	return show_usage_error(cli, "The partition is empty: give its id, the beginning "
				     "of one, or its key (chronos list shows them)");
}

/* ---- create ---- */

static void show_created(
	const struct cli *cli, const struct chronos_partition *p, bool existed)
{
	show(BADGE_OK, "%s partition %s", existed ? "Found" : "Created", p->id);
	for (size_t i = 0; i < p->device_count; i++)
		show(BADGE_INFO, "Device: GPU %" PRIu32, p->devices[i]);
	show(BADGE_INFO, "Memory: %" PRIu32 "%%", p->hundredths);
	/* Rounded up, so that a fresh one shows what was asked for. */
	show(BADGE_INFO, "Duration: %s", duration_text(p->left_ns + NS_PER_S - 1).text);
	if (cli->user)
		show(BADGE_INFO, "User: %s", user_text(p->owner).text);
	show(BADGE_INFO,
		"Enforcement: %s for programs that do not join; start one that does: "
		"chronos run %s -- <command>",
		chronos_enforcement(NULL), p->id);
}

static enum exit_code show_created_json(
	struct chronos *c, const struct chronos_partition *p, bool existed)
{
	json_t *value = json_of_partition(p);

	json_object_set_new(value, "existed", json_boolean(existed));
	json_object_set_new(value, "enforcement", json_string(chronos_enforcement(c)));
	return show_json(value);
}

/* Who never learnt the id cannot release it. */
static enum exit_code take_back(
	const struct cli *cli, struct chronos *c, const struct chronos_partition *p)
{
	struct chronos_error e = { 0 }, why = { .code = CHRONOS_SYSTEM };

	if (chronos_release(c, p->id, &why) < 0)
		snprintf(e.text, sizeof e.text,
			"the answer could not be written, and %s stays: %.150s", p->id,
			why.text);
	else
		snprintf(e.text, sizeof e.text,
			"the answer could not be written, so partition %s was released",
			p->id);
	e.code = CHRONOS_SYSTEM;
	return show_failure(cli, &e);
}

static enum exit_code create(const struct cli *cli, struct chronos_request *r)
{
	struct chronos_error e = { 0 };
	struct chronos_partition p;
	enum exit_code rc = EXIT_DONE;
	bool existed;

	/* A reader that is gone must not end this before it has cleaned up. */
	signal(SIGPIPE, SIG_IGN);
	CHRONOS_GUARD c = open_with_devices(cli, &e);
	if (!c || chronos_create(c, r, &p, &existed, &e) < 0)
		return show_failure(cli, &e);
	if (cli->json)
		rc = show_created_json(c, &p, existed);
	else
		show_created(cli, &p, existed);
	if (fflush(stdout) != 0 || ferror(stdout) || rc != EXIT_DONE)
		return existed ? rc : take_back(cli, c, &p);
	return EXIT_DONE;
}

enum exit_code run_create(const struct cli *cli)
{
	const char *devices[CHRONOS_DEVICES_MAX];
	struct chronos_request r = {
		.key = cli->key, .devices = devices, .burst = cli->burst
	};
	struct chronos_error e = { 0 };
	char list[CHRONOS_DEVICES_MAX * 96];

	if ((size_t)snprintf(list, sizeof list, "%s", cli->args[0]) < sizeof list)
		r.device_count = split_devices(list, devices);
	if (r.device_count == 0)
		return show_usage_error(cli,
			"Invalid device index: \"%.64s\" is not an index, a uuid, or "
			"several with a comma between them",
			cli->args[0]);
	if (chronos_share_parse(cli->args[1], &r.hundredths, &e) < 0)
		return show_failure(cli, &e);

	enum exit_code rc = read_duration(cli, cli->args[2], &r.duration_ns);
	if (rc == EXIT_DONE)
		rc = read_user(cli, &r.owner);
	return rc == EXIT_DONE ? create(cli, &r) : rc;
}

/* ---- list, renew, release ---- */

json_t *json_of_list(
	struct chronos *c, const struct chronos_partition *list, size_t count)
{
	json_t *partitions = json_array();

	for (size_t i = 0; i < count; i++) {
		struct usage_sum u = usage_of(c, &list[i]);
		json_t *one = json_of_partition(&list[i]);
		json_add_usage(one, &u);
		json_array_append_new(partitions, one);
	}
	return partitions;
}

static enum exit_code show_list_json(struct chronos *c,
	const struct chronos_partition *list, size_t count, const char *enforcement)
{
	json_t *partitions = json_of_list(c, list, count);

	return show_json(json_pack(
		"{s:o, s:s}", "partitions", partitions, "enforcement", enforcement));
}

enum exit_code run_list(const struct cli *cli)
{
	struct chronos_error e = { 0 };
	struct chronos_partition *list;
	enum exit_code rc = EXIT_DONE;
	size_t count;

	CHRONOS_GUARD c = open_plain(cli, &e);
	if (!c || chronos_list(c, &list, &count, &e) < 0)
		return show_failure(cli, &e);
	if (cli->json)
		rc = show_list_json(c, list, count, chronos_enforcement(c));
	else if (count == 0)
		show(BADGE_INFO, "No active partitions");
	else
		rc = show_partition_table(c, list, count);
	chronos_partitions_free(list);
	return rc;
}

enum exit_code run_renew(const struct cli *cli)
{
	struct chronos_error e = { 0 };
	struct chronos_partition p;
	uint64_t duration_ns = 0;

	enum exit_code rc = check_partition(cli, cli->args[0]);
	if (rc == EXIT_DONE)
		rc = read_duration(cli, cli->args[1], &duration_ns);
	if (rc != EXIT_DONE)
		return rc;
	CHRONOS_GUARD c = open_plain(cli, &e);
	if (!c || chronos_renew(c, cli->args[0], duration_ns, &p, &e) < 0)
		return show_failure(cli, &e);
	if (cli->json)
		return show_json(json_of_partition(&p));
	show(BADGE_OK, "Renewed partition %s", p.id);
	show(BADGE_INFO, "Duration: %s", duration_text(duration_ns).text);
	return EXIT_DONE;
}

enum exit_code run_release(const struct cli *cli)
{
	struct chronos_error e = { 0 };
	struct chronos_partition p;

	enum exit_code rc = check_partition(cli, cli->args[0]);
	if (rc != EXIT_DONE)
		return rc;
	/* Found first, so that the whole id can be told; it is the id that is released. */
	CHRONOS_GUARD c = open_plain(cli, &e);
	if (!c || chronos_find(c, cli->args[0], &p, &e) < 0 ||
		chronos_release(c, p.id, &e) < 0)
		return show_failure(cli, &e);
	if (cli->json)
		return show_json(json_pack("{s:s, s:b}", "id", p.id, "released", 1));
	show(BADGE_OK, "Released partition %s", p.id);
	return EXIT_DONE;
}

/* ---- stats, available ---- */

static enum exit_code show_stats_json(struct chronos *c,
	const struct chronos_stats *stats, const struct chronos_device *devices,
	size_t device_count, const struct chronos_partition *list, size_t count)
{
	json_t *all = json_array();

	for (size_t i = 0; i < device_count; i++)
		json_array_append_new(all, json_of_device(&devices[i]));
	return show_json(json_pack("{s:s, s:b, s:s, s:I, s:I, s:o, s:o}", "enforcement",
		stats->enforcement, "arbiter", (int)chronos_arbiter_serves(c),
		"directory", stats->dir, "generation", (json_int_t)stats->generation,
		"created", (json_int_t)stats->created, "devices", all, "partitions",
		json_of_list(c, list, count)));
}

enum exit_code run_stats(const struct cli *cli)
{
	struct chronos_device devices[CHRONOS_DEVICES_MAX];
	struct chronos_error e = { 0 };
	struct chronos_partition *list;
	struct chronos_stats stats;
	size_t device_count, count;
	enum exit_code rc;

	CHRONOS_GUARD c = open_with_devices(cli, &e);
	if (!c || chronos_stats(c, &stats, &e) < 0 ||
		chronos_devices(c, devices, CHRONOS_DEVICES_MAX, &device_count, &e) < 0 ||
		chronos_list(c, &list, &count, &e) < 0)
		return show_failure(cli, &e);
	if (cli->json) {
		rc = show_stats_json(c, &stats, devices, device_count, list, count);
	} else {
		show_devices(c, &stats, devices, device_count);
		rc = show_usages(c, list, count);
	}
	chronos_partitions_free(list);
	return rc;
}

static const struct chronos_device *find_device(
	const struct chronos_device *devices, size_t count, const char *name)
{
	uint64_t index;
	bool by_index = read_number(name, 0, CHRONOS_DEVICES_MAX - 1, &index);

	for (size_t i = 0; i < count; i++) {
		if (by_index ? devices[i].index == index : !strcmp(devices[i].uuid, name))
			return &devices[i];
	}
	return NULL;
}

enum exit_code run_available(const struct cli *cli)
{
	struct chronos_device devices[CHRONOS_DEVICES_MAX];
	struct chronos_error e = { 0 };
	size_t count;

	CHRONOS_GUARD c = open_with_devices(cli, &e);
	if (!c || chronos_devices(c, devices, CHRONOS_DEVICES_MAX, &count, &e) < 0)
		return show_failure(cli, &e);
	const struct chronos_device *d = find_device(devices, count, cli->args[0]);
	if (!d) {
		e.code = CHRONOS_NOT_FOUND;
		if (count == 0)
			snprintf(e.text, sizeof e.text,
				"Invalid device index: %.64s: no device is known; "
				"chronos --devices says which there are",
				cli->args[0]);
		else
			snprintf(e.text, sizeof e.text,
				"Invalid device index: %.64s (there are 0 to %zu)",
				cli->args[0], count - 1);
		return show_failure(cli, &e);
	}
	if (cli->json)
		return show_json(json_of_device(d));
	show_available(d);
	return EXIT_DONE;
}
