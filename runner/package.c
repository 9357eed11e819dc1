/* package.c - unpacks a job's ZIP, in a child that can do nothing else. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "package.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zip.h>

#include "cleanup.h"
#include "file.h"
#include "str.h"

#define NAME_MAX_BYTES 4096
#define CHUNK          65536
#define MEMORY_MAX     ((rlim_t)512 << 20)
#define FILES_MAX      64

struct extraction {
	zip_t *zip;
	int folder;
	uint64_t zip_size;
	uint64_t max_bytes;
	uint64_t written;
};

static void zip_undo(zip_t **z)
{
	if (*z)
		zip_discard(*z);
}

static void zip_file_undo(zip_file_t **f)
{
	if (*f)
		zip_fclose(*f);
}

static int refuse(const char *name, const char *why, struct err *e)
{
	char quoted[STR_QUOTE_SIZE];

	return err_set(e, ERR_INVALID, "package: entry \"%s\": %s",
		str_quote(quoted, name, strlen(name)), why);
}

/* ---- names ---- */

/* Only names that mean one place, below the folder. */
static int check_name(const char *name, struct err *e)
{
	int depth = 0;

	if (strlen(name) > NAME_MAX_BYTES)
		return refuse(name, "its name is too long", e);
	if (!*name || *name == '/')
		return refuse(name, "its path is empty or absolute", e);
	for (const char *at = name; *at;) {
		size_t len = strcspn(at, "/");

		if (len == 0 || (len == 1 && at[0] == '.') ||
			(len == 2 && at[0] == '.' && at[1] == '.'))
			return refuse(name, "its path has an empty part, . or ..", e);
		if (len > 255)
			return refuse(name, "a part of its path is too long", e);
		if (++depth > PACKAGE_DEPTH_MAX)
			return refuse(name, "it lies too deep", e);
		at += len;
		at += *at == '/';
	}
	return 0;
}

static int open_beneath(int folder, const char *path, int flags, mode_t mode)
{
	struct open_how how = {
		.flags = (unsigned int)(flags | O_CLOEXEC),
		.mode = mode,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, folder, path, &how, sizeof(how));
}

/* Make all folders of a path that ends in '/', or those above its last part. */
static int make_folders(int folder, const char *name, struct err *e)
{
	char part[NAME_MAX_BYTES + 1];

	CLEANUP(close_fd) int at = fcntl(folder, F_DUPFD_CLOEXEC, 0);
	for (const char *slash; at >= 0 && (slash = strchr(name, '/'));
		name = slash + 1) {
		str_put(part, sizeof(part), "%.*s", (int)(slash - name), name);
		if (mkdirat(at, part, 0755) < 0 && errno != EEXIST)
			break;

		int next = open_beneath(at, part, O_RDONLY | O_DIRECTORY, 0);
		close_fd(&at);
		at = next;
	}
	return at < 0 || strchr(name, '/') ? err_sys(e, "make its folder") : 0;
}

/* ---- contents ---- */

static bool too_dense(const struct extraction *x)
{
	return x->written > PACKAGE_RATIO_FROM &&
	       x->written / PACKAGE_RATIO_MAX > x->zip_size;
}

static int copy_content(struct extraction *x, zip_file_t *from, int to,
	const zip_stat_t *st, struct err *e)
{
	static char chunk[CHUNK];
	uint64_t size = 0;

	for (;;) {
		zip_int64_t n = zip_fread(from, chunk, sizeof(chunk));

		if (n < 0) /* a wrong checksum too */
			return refuse(st->name, zip_file_strerror(from), e);
		if (n == 0)
			break;
		size += (uint64_t)n;
		x->written += (uint64_t)n;
		if (size > st->size)
			return refuse(st->name, "it is larger than declared", e);
		if (x->written > x->max_bytes || too_dense(x))
			return refuse(
				st->name, "the package unpacks to too many bytes", e);
		if (write_all(to, chunk, (size_t)n) < 0) {
			err_sys(e, "write");
			return err_wrap(e, "package: entry \"%.64s\"", st->name);
		}
	}
	if (size != st->size)
		return refuse(st->name, "it is smaller than declared", e);
	return 0;
}

static int extract_file(struct extraction *x, zip_uint64_t index, const zip_stat_t *st,
	bool executable, struct err *e)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL;
	const mode_t mode = executable ? 0755 : 0644;
	CLEANUP(close_fd) int to = open_beneath(x->folder, st->name, flags, mode);

	if (to < 0 && errno == ENOENT) {
		if (make_folders(x->folder, st->name, e) < 0)
			return err_wrap(e, "package: entry \"%.64s\"", st->name);
		to = open_beneath(x->folder, st->name, flags, mode);
	}
	if (to < 0 && errno == EEXIST)
		return refuse(st->name, "it is there twice", e);
	if (to < 0) {
		err_sys(e, "create");
		return err_wrap(e, "package: entry \"%.64s\"", st->name);
	}

	CLEANUP(zip_file_undo) zip_file_t *from = zip_fopen_index(x->zip, index, 0);
	if (!from)
		return refuse(st->name, zip_strerror(x->zip), e);
	return copy_content(x, from, to, st, e);
}

/* The file's mode as Unix wrote it; 0 where another system did. */
static mode_t unix_mode(zip_t *zip, zip_uint64_t index)
{
	zip_uint8_t system;
	zip_uint32_t attributes;

	if (zip_file_get_external_attributes(zip, index, 0, &system, &attributes) < 0 ||
		system != ZIP_OPSYS_UNIX)
		return 0;
	return (mode_t)(attributes >> 16);
}

static int extract_entry(struct extraction *x, zip_uint64_t index, struct err *e)
{
	zip_stat_t st;
	const zip_uint64_t needed =
		ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_ENCRYPTION_METHOD;

	if (zip_stat_index(x->zip, index, ZIP_FL_ENC_RAW, &st) < 0 ||
		(st.valid & needed) != needed)
		return err_set(e, ERR_INVALID, "package: entry %" PRIu64 ": %s", index,
			zip_strerror(x->zip));
	if (check_name(st.name, e) < 0)
		return -1;
	if (st.encryption_method != ZIP_EM_NONE)
		return refuse(st.name, "it is encrypted", e);

	mode_t mode = unix_mode(x->zip, index);
	bool folder = str_ends(st.name, "/");
	mode_t kind = mode & S_IFMT;
	if (kind && kind != (folder ? S_IFDIR : S_IFREG))
		return refuse(st.name,
			kind == S_IFLNK ? "it is a symlink"
					: "it is neither a file nor a folder",
			e);
	if (folder)
		return make_folders(x->folder, st.name, e) < 0
			       ? err_wrap(e, "package: entry \"%.64s\"", st.name)
			       : 0;
	return extract_file(x, index, &st, mode & 0100, e);
}

static zip_t *open_zip(int fd, struct err *e)
{
	int code;
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	zip_t *zip = copy < 0 ? NULL : zip_fdopen(copy, 0, &code);

	if (zip)
		return zip;
	if (copy < 0) {
		err_sys(e, "package");
		return NULL;
	}
	close(copy);
	zip_error_t ze;
	zip_error_init_with_code(&ze, code);
	err_set(e, ERR_INVALID, "package: %s", zip_error_strerror(&ze));
	zip_error_fini(&ze);
	return NULL;
}

int package_extract(int zip_fd, int folder, uint64_t max_bytes, struct err *e)
{
	struct stat st;
	CLEANUP(zip_undo) zip_t *zip = open_zip(zip_fd, e);

	if (!zip)
		return -1;
	if (fstat(zip_fd, &st) < 0)
		return err_sys(e, "package");

	struct extraction x = {
		.zip = zip,
		.folder = folder,
		.zip_size = (uint64_t)st.st_size,
		.max_bytes =
			max_bytes < PACKAGE_BYTES_MAX ? max_bytes : PACKAGE_BYTES_MAX,
	};
	zip_int64_t count = zip_get_num_entries(zip, 0);
	if (count > PACKAGE_ENTRIES_MAX)
		return err_set(e, ERR_INVALID, "package: %" PRId64 " entries; at most %d",
			count, PACKAGE_ENTRIES_MAX);
	for (zip_int64_t i = 0; i < count; i++) {
		if (extract_entry(&x, (zip_uint64_t)i, e) < 0)
			return -1;
	}
	return 0;
}

/* ---- the child ---- */

static void limit(__rlimit_resource_t what, rlim_t most)
{
	struct rlimit now;

	if (getrlimit(what, &now) < 0)
		return;
	if (now.rlim_max != RLIM_INFINITY && now.rlim_max < most)
		most = now.rlim_max;
	setrlimit(what, &(struct rlimit){ most, most });
}

static int drop_privileges(uint32_t id, int32_t seconds, struct err *e)
{
	limit(RLIMIT_CORE, 0);
	limit(RLIMIT_NOFILE, FILES_MAX);
	limit(RLIMIT_CPU, (rlim_t)seconds);
	limit(RLIMIT_FSIZE, PACKAGE_BYTES_MAX);
#ifndef __SANITIZE_ADDRESS__ /* whose shadow is terabytes of address space */
	limit(RLIMIT_AS, MEMORY_MAX);
#endif
	/* A file over the limit is then an error, not a death. */
	signal(SIGXFSZ, SIG_IGN);
	if (setgroups(0, NULL) < 0 || setresgid(id, id, id) < 0 ||
		setresuid(id, id, id) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, "package: become user %" PRIu32, id);
	umask(022);
	return 0;
}

void package_extract_and_exit(int zip_fd, int folder, uint64_t max_bytes, uint32_t id,
	int32_t seconds, int error_fd)
{
	struct err e;

	if (drop_privileges(id, seconds, &e) == 0 &&
		package_extract(zip_fd, folder, max_bytes, &e) == 0)
		_exit(0);
	/* A text that cannot be written is replaced by the reader's own. */
	_exit(write_all(error_fd, e.text, strlen(e.text)) < 0 ? 2 : 1);
}
