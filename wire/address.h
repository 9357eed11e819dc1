/* address.h - "host:port", "[v6]:port" and socket files, as sockets and as text.
 *
 * Thread: any.
 */
/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "err.h"
#include "wire.h"

#define HOST_SIZE 256
#define PORT_SIZE 6

/* Split; ERR_INVALID when it is not host and port. */
int address_split(const char *address, char host[HOST_SIZE], char port[PORT_SIZE],
	struct err *e) MUST_CHECK;
/* "127.0.0.1:80", "[::1]:80", "unix". */
void address_format(char out[WIRE_ADDRESS_SIZE], const struct sockaddr *a, socklen_t len);

/* Bound sockets, close-on-exec, not listening yet.  -1 on failure. */
int address_bind_tcp(
	const char *address, char bound[WIRE_ADDRESS_SIZE], struct err *e) MUST_CHECK;
int address_bind_unix(const char *path, mode_t mode, struct err *e) MUST_CHECK;

/* A socket's address has room for 107 bytes.  A longer path goes through a descriptor of
 * its folder: *folder, which the caller keeps open while it uses *un; -1 for a short one. */
struct sockaddr_un;
int address_of_path(
	const char *path, struct sockaddr_un *un, int *folder, struct err *e) MUST_CHECK;
