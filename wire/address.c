/* address.c - parses addresses and binds sockets to them. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "cleanup.h"
#include "str.h"
#include "xalloc.h"

static int no_address(const char *address, struct err *e)
{
	char quoted[STR_QUOTE_SIZE];

	return err_set(e, ERR_INVALID, "address \"%s\" is not host:port or [v6]:port",
		str_quote(quoted, address, strlen(address)));
}

int address_split(
	const char *address, char host[HOST_SIZE], char port[PORT_SIZE], struct err *e)
{
	const char *colon = strrchr(address, ':');
	uint64_t number;

	if (!colon || colon == address)
		return no_address(address, e);

	const char *start = address;
	size_t len = (size_t)(colon - address);

	if (*start == '[') {
		if (len < 3 || start[len - 1] != ']')
			return no_address(address, e);
		start++;
		len -= 2;
	} else if (memchr(start, ':', len)) {
		return no_address(address, e);
	}
	if (len >= HOST_SIZE || parse_u64(colon + 1, 0, 65535, &number, NULL) < 0)
		return no_address(address, e);
	memcpy(host, start, len);
	host[len] = '\0';
	snprintf(port, PORT_SIZE, "%u", (unsigned)(uint16_t)number);
	return 0;
}

void address_format(char out[WIRE_ADDRESS_SIZE], const struct sockaddr *a, socklen_t len)
{
	char host[64];
	char port[PORT_SIZE];

	if (a->sa_family == AF_UNIX)
		snprintf(out, WIRE_ADDRESS_SIZE, "unix");
	else if (getnameinfo(a, len, host, sizeof(host), port, sizeof(port),
			 NI_NUMERICHOST | NI_NUMERICSERV) != 0)
		snprintf(out, WIRE_ADDRESS_SIZE, "unknown");
	else
		snprintf(out, WIRE_ADDRESS_SIZE, strchr(host, ':') ? "[%s]:%s" : "%s:%s",
			host, port);
}

static int bind_error(const char *where, struct err *e)
{
	if (errno == EADDRINUSE)
		return err_set(e, ERR_CONFLICT, "%s: address already in use", where);
	return err_sys(e, "%s", where);
}

static void free_addresses(struct addrinfo **a)
{
	if (*a)
		freeaddrinfo(*a);
}

int address_bind_tcp(const char *address, char bound[WIRE_ADDRESS_SIZE], struct err *e)
{
	char host[HOST_SIZE];
	char port[PORT_SIZE];
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	CLEANUP(free_addresses) struct addrinfo *found = NULL;
	const int on = 1;

	if (address_split(address, host, port, e) < 0)
		return -1;

	int rc = getaddrinfo(host, port, &hints, &found);

	if (rc != 0)
		return err_set(e, ERR_INVALID, "%s: %s", address, gai_strerror(rc));

	CLEANUP(close_fd)
	int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return err_sys(e, "%s: socket", address);
	if (bind(fd, found->ai_addr, found->ai_addrlen) < 0)
		return bind_error(address, e);

	struct sockaddr_storage name = { 0 };
	socklen_t len = sizeof(name);

	if (getsockname(fd, (struct sockaddr *)&name, &len) < 0)
		return err_sys(e, "%s: getsockname", address);
	if (bound)
		address_format(bound, (struct sockaddr *)&name, len);
	return take_fd(&fd);
}

static int open_folder_of(const char *path, struct err *e)
{
	const char *slash = strrchr(path, '/');
	CLEANUP(free_ptr)
	char *folder = slash ? xstrndup(path, (size_t)(slash - path) + 1) : xstrdup(".");
	int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? err_sys(e, "open %s", folder) : fd;
}

int address_of_path(const char *path, struct sockaddr_un *un, int *folder, struct err *e)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	if (!*name)
		return err_set(e, ERR_INVALID, "\"%.64s\" is no path of a socket", path);
	*un = (struct sockaddr_un){ .sun_family = AF_UNIX };
	*folder = -1;
	if (str_put(un->sun_path, sizeof(un->sun_path), "%s", path))
		return 0;

	CLEANUP(close_fd) int fd = open_folder_of(path, e);
	if (fd < 0)
		return -1;
	if (!str_put(un->sun_path, sizeof(un->sun_path), "/proc/self/fd/%d/%s", fd, name))
		return err_set(
			e, ERR_INVALID, "%.64s: a name too long for a socket", name);
	*folder = take_fd(&fd);
	return 0;
}

/* Remove a socket file that nobody listens on; ERR_CONFLICT when somebody does. */
static int remove_stale(const struct sockaddr_un *un, struct err *e)
{
	struct stat st;

	if (lstat(un->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : err_sys(e, "%s", un->sun_path);
	if (!S_ISSOCK(st.st_mode))
		return err_set(
			e, ERR_CONFLICT, "%s exists and is no socket", un->sun_path);

	CLEANUP(close_fd)
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_sys(e, "socket");
	/* A full backlog (EAGAIN) is somebody too. */
	if (connect(fd, (const struct sockaddr *)un, sizeof(*un)) == 0 ||
		errno != ECONNREFUSED)
		return err_set(
			e, ERR_CONFLICT, "%s: somebody listens there", un->sun_path);
	if (unlink(un->sun_path) < 0)
		return err_sys(e, "unlink %s", un->sun_path);
	return 0;
}

bool wire_is_listening_unix(const char *path)
{
	CLEANUP(close_fd) int folder = -1;
	struct sockaddr_un un;

	if (address_of_path(path, &un, &folder, NULL) < 0)
		return false;

	CLEANUP(close_fd) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fd >= 0 && connect(fd, (const struct sockaddr *)&un, sizeof(un)) == 0;
}

int address_bind_unix(const char *path, mode_t mode, struct err *e)
{
	CLEANUP(close_fd) int folder = -1;
	struct sockaddr_un un;

	if (address_of_path(path, &un, &folder, e) < 0 || remove_stale(&un, e) < 0)
		return -1;

	CLEANUP(close_fd)
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return err_sys(e, "socket");
	/* The file is never wider than asked for, not even before the chmod: the kernel
	 * gives it the socket's own mode, less the umask. */
	if (fchmod(fd, mode) < 0)
		return err_sys(e, "fchmod");
	if (bind(fd, (const struct sockaddr *)&un, sizeof(un)) < 0)
		return bind_error(path, e);
	if (chmod(path, mode) < 0) {
		err_sys(e, "chmod %s", path);
		unlink(path);
		return -1;
	}
	return take_fd(&fd);
}

bool wire_address_is_loopback(const char *address)
{
	char host[HOST_SIZE];
	char port[PORT_SIZE];
	struct in_addr v4;
	struct in6_addr v6;

	if (str_starts(address, "unix:"))
		return true;
	if (address_split(address, host, port, NULL) < 0)
		return false;
	if (strcmp(host, "localhost") == 0)
		return true;
	if (inet_pton(AF_INET, host, &v4) == 1)
		return ntohl(v4.s_addr) >> 24 == 127;
	if (inet_pton(AF_INET6, host, &v6) != 1)
		return false;
	if (IN6_IS_ADDR_V4MAPPED(&v6))
		return v6.s6_addr[12] == 127;
	return IN6_IS_ADDR_LOOPBACK(&v6);
}
