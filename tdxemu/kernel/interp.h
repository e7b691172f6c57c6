/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A TD's instructions, executed in software by KVM's own emulator: what the parts of the
 * interpreter offer each other. decode.c uses all of them; ops.c, which the emulator
 * calls, and events.c use paging.c.
 *
 * Nothing in them sleeps or takes a lock. An instruction that cannot be executed is
 * an error of this equipment and kills the TD with a message that names it, so
 * that no test takes it for a result. There is no SSE and no x87: the emulator
 * would execute those in the registers of the host.
 */
#ifndef __TDXEMU_INTERP_H
#define __TDXEMU_INTERP_H

#include "emu.h"

/* Index of a register in emu_vcpu.regs */
#define RAX	0
#define RCX	1
#define RDX	2
#define RBX	3
#define RSP	4
#define RSI	6
#define RDI	7

static inline bool emu_long_mode(struct emu_vcpu *v)
{
	return v->efer & EFER_LMA;
}

static inline bool emu_code64(struct emu_vcpu *v)
{
	return emu_long_mode(v) && v->seg[VCPU_SREG_CS].desc.l;
}

static inline int emu_cpl(struct emu_vcpu *v)
{
	return v->seg[VCPU_SREG_CS].sel & 3;
}

/* paging.c */
enum emu_result emu_translate(struct emu_vcpu *v, u64 gva, unsigned int access,
			      bool system, void **hva, struct x86_exception *e);
enum emu_result emu_access(struct emu_vcpu *v, u64 gva, void *val, unsigned int bytes,
			   unsigned int access, bool system, struct x86_exception *e);
__printf(2, 3) enum emu_result emu_dead(struct emu_vcpu *v, const char *fmt, ...);

/* events.c */
enum emu_result emu_exception(struct emu_vcpu *v, u8 vector, bool has_error, u64 error);
enum emu_result emu_triple_fault(struct emu_vcpu *v);
enum emu_result emu_virt_exception(struct emu_vcpu *v, u32 reason, u64 qual, u64 gla,
				   u64 gpa);
enum emu_result emu_deliver_ve(struct emu_vcpu *v, u32 length);
enum emu_result emu_iret(struct emu_vcpu *v, struct x86_exception *e);

/* ops.c */
extern const struct x86_emulate_ops emu_ops;

#endif
