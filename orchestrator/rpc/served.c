/* served.c - the descriptor set of what cumulusd serves, as protoc wrote it. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "served.h"

__asm__(".section .rodata\n"
	".hidden rpc_served, rpc_served_end\n"
	".global rpc_served, rpc_served_end\n"
	"rpc_served:\n"
	".incbin \"" RPC_SERVED "\"\n"
	"rpc_served_end:\n"
	".previous\n");
