// SPDX-License-Identifier: GPL-2.0
/*
 * What comes between a TD's instructions: exceptions, interrupts and #VE through the
 * IDT, the way back, and reset.
 */
#include <linux/kernel.h>
#include <linux/string.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>
#include <asm/tdx.h>
#include <asm/vmx.h>

#include "interp.h"

/* Load what a gate or an interrupted frame names; flat, of privilege 0 or 3. */
static enum emu_result load_cs(struct emu_vcpu *v, u16 sel, struct x86_exception *e)
{
	struct emu_segment *s = &v->seg[VCPU_SREG_CS];
	struct desc_struct desc;
	enum emu_result r;

	if ((sel & ~7u) + 7 > v->gdt.size || sel & 4)
		return emu_dead(v, "code segment 0x%x is not in the GDT", sel);
	r = emu_access(v, v->gdt.address + (sel & ~7u), &desc, 8, TDXEMU_READ, true, e);
	if (r != EMU_OK)
		return r;
	if (!desc.p || !desc.s || !(desc.type & 8) || !desc.l)
		return emu_dead(v, "code segment 0x%x is not 64-bit code", sel);
	s->sel = sel;
	s->desc = desc;
	s->base = 0;
	return EMU_OK;
}

static void load_ss(struct emu_vcpu *v, u16 sel, int dpl)
{
	struct emu_segment *s = &v->seg[VCPU_SREG_SS];

	s->sel = sel;
	s->base = 0;
	s->desc = (struct desc_struct) {
		.limit0 = 0xffff, .limit1 = 0xf, .type = 3, .s = 1, .dpl = dpl,
		.p = 1, .d = 1, .g = 1,
	};
}

/**
 * emu_deliver() - deliver an exception or an interrupt through the IDT
 * @v: the vCPU, in 64-bit mode
 * @vector: its number
 * @has_error: push @error as well
 * @error: the error code
 *
 * Return: EMU_OK; EMU_EXIT or EMU_VE if the IDT or the stack is not there, with
 * nothing changed, so that it can be repeated; EMU_FAULT likewise, of which the
 * caller makes a double fault; EMU_DEAD.
 */
enum emu_result emu_deliver(struct emu_vcpu *v, u8 vector, bool has_error, u64 error)
{
	struct x86_exception e;
	struct {
		u16 offset0, sel;
		u8 ist, type;
		u16 offset1;
		u32 offset2, zero;
	} __packed gate;
	u64 frame[6], rsp = v->regs[RSP];
	int n = has_error ? 6 : 5, old_cpl = emu_cpl(v), new_cpl;
	enum emu_result r;
	u64 *f = frame;

	if (!emu_long_mode(v))
		return EMU_FAULT;
	if (vector * 16 + 15 > v->idt.size)
		return EMU_FAULT;
	r = emu_access(v, v->idt.address + vector * 16, &gate, 16, TDXEMU_READ, true, &e);
	if (r != EMU_OK)
		return r;
	if (!(gate.type & 0x80) || (gate.type & 0xe) != 0xe)
		return EMU_FAULT;
	new_cpl = gate.sel & 3;
	if (gate.ist & 7 || new_cpl < old_cpl) {
		u64 off = gate.ist & 7 ? 0x24 + ((gate.ist & 7) - 1) * 8 : 4;

		r = emu_access(v, v->seg[VCPU_SREG_TR].base + off, &rsp, 8,
			       TDXEMU_READ, true, &e);
		if (r != EMU_OK)
			return r;
	}
	rsp = (rsp & ~0xfull) - n * 8;
	if (has_error)
		*f++ = error;
	*f++ = v->rip;
	*f++ = v->seg[VCPU_SREG_CS].sel;
	*f++ = v->rflags;
	*f++ = v->regs[RSP];
	*f++ = v->seg[VCPU_SREG_SS].sel;
	r = emu_access(v, rsp, frame, n * 8, TDXEMU_WRITE, true, &e);
	if (r != EMU_OK)
		return r;
	r = load_cs(v, gate.sel, &e);
	if (r != EMU_OK)
		return r;
	if (new_cpl < old_cpl)
		load_ss(v, 0, 0);
	v->regs[RSP] = rsp;
	v->rip = gate.offset0 | (u64)gate.offset1 << 16 | (u64)gate.offset2 << 32;
	v->rflags &= ~(X86_EFLAGS_TF | X86_EFLAGS_NT | X86_EFLAGS_RF);
	if (!(gate.type & 1))
		v->rflags &= ~X86_EFLAGS_IF;
	return EMU_OK;
}

enum emu_result emu_triple_fault(struct emu_vcpu *v)
{
	return emu_leave(v, TDX_NON_RECOVERABLE_VCPU | EXIT_REASON_TRIPLE_FAULT);
}

/* An instruction faulted; v->rip is still at it. */
enum emu_result emu_exception(struct emu_vcpu *v, u8 vector, bool has_error,
			      u64 error)
{
	enum emu_result r = emu_deliver(v, vector, has_error, error);

	if (r == EMU_FAULT)
		r = emu_deliver(v, DF_VECTOR, true, 0);
	return r == EMU_FAULT ? emu_triple_fault(v) : r;
}

enum emu_result emu_virt_exception(struct emu_vcpu *v, u32 reason, u64 qual,
				   u64 gla, u64 gpa)
{
	v->new_ve.reason = reason;
	v->new_ve.qualification = qual;
	v->new_ve.gla = gla;
	v->new_ve.gpa = gpa;
	return EMU_VE;
}

enum emu_result emu_deliver_ve(struct emu_vcpu *v, u32 length)
{
	enum emu_result r;

	/* The guest has not read what the last one was about. */
	if (tdxemu_veinfo_pending(v->vp))
		return emu_exception(v, DF_VECTOR, true, 0);

	r = emu_exception(v, VE_VECTOR, false, 0);
	if (r == EMU_OK)
		tdxemu_veinfo_set(v->vp, v->new_ve.reason, v->new_ve.qualification,
				  v->new_ve.gla, v->new_ve.gpa, length, 0);
	return r;
}

enum emu_result emu_iret(struct emu_vcpu *v, struct x86_exception *e)
{
	u64 frame[5];
	enum emu_result r;
	u64 keep;

	r = emu_access(v, v->regs[RSP], frame, sizeof(frame), TDXEMU_READ, false, e);
	if (r != EMU_OK)
		return r;
	keep = emu_cpl(v) ? X86_EFLAGS_IF | X86_EFLAGS_IOPL : 0;
	r = load_cs(v, frame[1], e);
	if (r != EMU_OK)
		return r;
	load_ss(v, frame[4], frame[1] & 3);
	v->rip = frame[0];
	v->regs[RSP] = frame[3];
	v->rflags = (v->rflags & keep) | (frame[2] & ~keep) | X86_EFLAGS_FIXED;
	v->nmi_blocked = false;
	return EMU_OK;
}

static void flat(struct emu_segment *s, int type, u16 sel)
{
	memset(s, 0, sizeof(*s));
	s->sel = sel;
	s->desc = (struct desc_struct) {
		.limit0 = 0xffff, .limit1 = 0xf, .type = type, .s = 1, .p = 1,
		.d = 1, .g = 1,
	};
}

/**
 * emu_vcpu_reset() - the state in which a TD vCPU starts
 * @v: the vCPU
 * @rcx: initial RCX, chosen by the host
 * @index: number of the vCPU
 * @gpaw: width of its guest physical addresses
 *
 * Source: the module's ABI: 32-bit protected mode without paging, flat.
 */
void emu_vcpu_reset(struct emu_vcpu *v, u64 rcx, u32 index, unsigned int gpaw)
{
	int i;

	memset(v, 0, sizeof(*v));
	v->gpaw = gpaw;
	v->cr0 = X86_CR0_PE | X86_CR0_NE;
	v->cr4 = X86_CR4_VMXE | X86_CR4_MCE;
	v->efer = EFER_SCE | EFER_LME | EFER_NX;
	v->rip = 0xfffffff0;
	v->rflags = X86_EFLAGS_FIXED;
	v->regs[RBX] = gpaw;
	v->regs[RCX] = rcx;
	v->regs[8] = rcx;
	v->regs[RDX] = 0x806f8;
	v->regs[RSI] = index;
	v->dr[6] = 0xffff0ff0;
	v->dr[7] = 0x400;
	v->pat = 0x0007040600070406ull;
	for (i = VCPU_SREG_ES; i <= VCPU_SREG_GS; i++)
		flat(&v->seg[i], 3, 0);
	flat(&v->seg[VCPU_SREG_CS], 11, 0);
	v->seg[VCPU_SREG_TR].desc.type = 11;
	v->seg[VCPU_SREG_TR].desc.p = 1;
	v->seg[VCPU_SREG_LDTR].desc.type = 2;
	v->seg[VCPU_SREG_LDTR].desc.p = 1;
	emu_flush_gtlb(v);
}
