/* device_filter.c - which device nodes the processes of a version 2 control group may open. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "device_filter.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "xalloc.h"

#define PER_RULE 4 /* instructions at most */
#define AROUND   8 /* before and after the rules */

enum { CONTEXT = BPF_REG_1, KIND, MAJOR, MINOR };

struct program {
	struct bpf_insn *at;
	size_t count;
};

static void add(struct program *p, uint8_t code, unsigned int dst, unsigned int src,
	size_t offset, int32_t value)
{
	p->at[p->count++] = (struct bpf_insn){
		.code = code,
		.dst_reg = dst & 0xfU,
		.src_reg = src & 0xfU,
		.off = (int16_t)offset,
		.imm = value,
	};
}

static void add_load(struct program *p, unsigned int dst, size_t offset)
{
	add(p, BPF_LDX | BPF_MEM | BPF_W, dst, CONTEXT, offset, 0);
}

static void add_answer(struct program *p, int32_t allowed)
{
	add(p, BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, allowed);
	add(p, BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
}

/* Yes, or on to the next rule. */
static void add_rule(struct program *p, const struct cgroup_device *d)
{
	bool any = d->minor == UINT32_MAX;

	add(p, BPF_JMP32 | BPF_JNE | BPF_K, MAJOR, 0, any ? 2 : 3, (int32_t)d->major);
	if (!any)
		add(p, BPF_JMP32 | BPF_JNE | BPF_K, MINOR, 0, 2, (int32_t)d->minor);
	add_answer(p, 1);
}

/* The kind stands in the low half of access_type, what is done to it in the high one. */
static void write_program(
	struct program *p, const struct cgroup_device *allowed, size_t count)
{
	add_load(p, KIND, offsetof(struct bpf_cgroup_dev_ctx, access_type));
	add_load(p, MAJOR, offsetof(struct bpf_cgroup_dev_ctx, major));
	add_load(p, MINOR, offsetof(struct bpf_cgroup_dev_ctx, minor));
	add(p, BPF_ALU | BPF_AND | BPF_K, KIND, 0, 0, 0xffff);
	add(p, BPF_JMP32 | BPF_JEQ | BPF_K, KIND, 0, 2, BPF_DEVCG_DEV_CHAR);
	add_answer(p, 0);
	for (size_t i = 0; i < count; i++)
		add_rule(p, &allowed[i]);
	add_answer(p, 0);
}

static int bpf(enum bpf_cmd command, union bpf_attr *attr)
{
	return (int)syscall(SYS_bpf, command, attr, sizeof(*attr));
}

int device_filter_attach(
	int group_fd, const struct cgroup_device *allowed, size_t count, struct err *e)
{
	CLEANUP(free_ptr)
	struct bpf_insn *room = xcalloc(count * PER_RULE + AROUND + 2, sizeof(*room));
	struct program p = { room, 0 };
	union bpf_attr load, attach;

	write_program(&p, allowed, count);
	memset(&load, 0, sizeof(load));
	load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	load.insns = (uintptr_t)p.at;
	load.insn_cnt = (uint32_t)p.count;
	load.license = (uintptr_t) "Apache-2.0";
	CLEANUP(close_fd) int fd = bpf(BPF_PROG_LOAD, &load);
	if (fd < 0)
		return errno == EPERM ? err_set(e, ERR_DENIED,
						"may not load a filter of devices")
				      : err_sys(e, "load a filter of devices");

	memset(&attach, 0, sizeof(attach));
	attach.target_fd = (uint32_t)group_fd;
	attach.attach_bpf_fd = (uint32_t)fd;
	attach.attach_type = BPF_CGROUP_DEVICE;
	attach.attach_flags = BPF_F_ALLOW_MULTI;
	if (bpf(BPF_PROG_ATTACH, &attach) < 0)
		return err_sys(e, "attach a filter of devices");
	return 0;
}
