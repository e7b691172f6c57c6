// SPDX-License-Identifier: GPL-2.0
/*
 * Stands in for the SEAMCALL instruction: the three functions of seamcall.S, and
 * TDH.VP.ENTER, which interprets the TD's code.
 *
 * As with the real module, a call never sleeps and every lock in it is tried,
 * never waited for.
 */
#include <linux/context_tracking.h>
#include <linux/kernel.h>
#include <linux/kvm_host.h>
#include <linux/smp.h>
#include <asm/apic.h>
#include <asm/tdx.h>
#include <asm/vmx.h>

#include "emu.h"
#include "../../seamcall_internal.h"
#include "../../tdx.h"

/* RCX of a TDCALL exit: the registers that the guest may show. Not RBP. */
#define VMCALL_REGS	0xffccull

/* A TD runs this many instructions between two looks at the host's interrupts. */
#define POLL_EVERY	8

static u64 *arg(struct tdx_module_args *a, int reg)
{
	switch (reg) {
	case 1: return &a->rcx;
	case 2: return &a->rdx;
	case 3: return &a->rbx;
	case 6: return &a->rsi;
	case 7: return &a->rdi;
	case 8: return &a->r8;
	case 9: return &a->r9;
	case 10: return &a->r10;
	case 11: return &a->r11;
	case 12: return &a->r12;
	case 13: return &a->r13;
	case 14: return &a->r14;
	case 15: return &a->r15;
	}
	return NULL;
}

static void copy_regs(struct emu_vcpu *v, struct tdx_module_args *a, bool to_guest)
{
	int i;

	for (i = 2; i < 16; i++) {
		if (!(v->vmcall_mask & BIT(i)))
			continue;
		if (to_guest)
			v->regs[i] = *arg(a, i);
		else
			*arg(a, i) = v->regs[i];
	}
}

/*
 * Interrupts stay pending in the local APIC, so that they are taken when KVM
 * enables them, as after a real exit: a kick is not acknowledged before the vCPU
 * has left the TD.
 */
static bool host_interrupt(void)
{
	int i;

	for (i = 1; i < 8; i++)
		if (apic_read(APIC_IRR + i * 0x10))
			return true;
	return false;
}

u64 emu_tsc(struct emu_vcpu *v)
{
	return rdtsc();
}

static enum emu_result tdcall_exit(struct emu_vcpu *v)
{
	u64 mask = v->regs[1];

	if (mask & ~VMCALL_REGS) {
		v->regs[0] = TDX_OPERAND_INVALID | 1;
		return EMU_OK;
	}
	memset(&v->exit, 0, sizeof(v->exit));
	v->vmcall_mask = mask;
	copy_regs(v, &v->exit, false);
	v->exit.rcx = mask;
	v->exit_reason = EXIT_REASON_TDCALL;
	return EMU_EXIT;
}

static void veinfo_get(struct emu_vcpu *v)
{
	if (!v->ve.valid) {
		v->regs[0] = EMU_NO_VALID_VE_INFO;
		return;
	}
	v->regs[0] = 0;
	v->regs[1] = v->ve.reason;
	v->regs[2] = v->ve.qualification;
	v->regs[8] = v->ve.gla;
	v->regs[9] = v->ve.gpa;
	v->regs[10] = v->ve.length | (u64)v->ve.info << 32;
	v->ve.valid = false;
}

/**
 * emu_tdcall() - the guest calls the module
 * @v: the vCPU, its RIP after the TDCALL
 *
 * Return: EMU_OK with the status in RAX; EMU_EXIT to leave the TD; EMU_REPEAT to
 * leave it and execute the TDCALL once more afterwards; EMU_DEAD for a leaf that
 * is not known here.
 */
enum emu_result emu_tdcall(struct emu_vcpu *v)
{
	u64 leaf = v->regs[0];

	switch (leaf) {
	case TDG_VP_VMCALL:
		return tdcall_exit(v);
	case TDG_VP_INFO:
		emu_vp_info(v);
		return EMU_OK;
	case TDG_VP_VEINFO_GET:
		veinfo_get(v);
		return EMU_OK;
	case TDG_MEM_PAGE_ACCEPT:
		return emu_accept(v);
	}
	snprintf(v->why, sizeof(v->why), "TDCALL leaf %llu is not known here", leaf);
	return EMU_DEAD;
}

static u64 run(struct emu_vcpu *v)
{
	enum emu_result r;
	unsigned int n;

	for (n = 0; ; n++) {
		if (!(n % POLL_EVERY) && host_interrupt()) {
			memset(&v->exit, 0, sizeof(v->exit));
			return EXIT_REASON_OTHER_SMI;
		}
		r = emu_irq_deliver(v);
		if (r == EMU_OK)
			r = emu_step(v);
		if (r == EMU_EXIT || r == EMU_REPEAT)
			return v->exit_reason;
		if (r == EMU_DEAD)
			return emu_kill(v);
	}
}

static u64 vp_enter(struct tdx_module_args *args)
{
	struct emu_vcpu *v;
	u64 status;

	status = emu_enter(args->rcx, &v);
	if (status) {
		memset(args, 0, sizeof(*args));
		return status;
	}
	if (v->vmcall_mask) {
		copy_regs(v, args, true);
		v->regs[0] = 0;
		v->vmcall_mask = 0;
	}
	emu_flush_gtlb(v);
	status = run(v);
	*args = v->exit;
	emu_leave(v, status);
	return status;
}

noinstr u64 __seamcall(u64 fn, struct tdx_module_args *args)
{
	struct tdx_module_args copy;
	u64 status;

	instrumentation_begin();
	copy = *args;
	status = emu_seamcall(fn, &copy);
	instrumentation_end();
	return status;
}

noinstr u64 __seamcall_ret(u64 fn, struct tdx_module_args *args)
{
	u64 status;

	instrumentation_begin();
	status = emu_seamcall(fn, args);
	instrumentation_end();
	return status;
}

/*
 * KVM has told RCU, lockdep and the tracers that a guest runs. What runs is this
 * kernel: take it back for as long as that lasts.
 */
noinstr u64 __seamcall_saved_ret(u64 fn, struct tdx_module_args *args)
{
	u64 status;

	if (fn != TDH_VP_ENTER)
		return __seamcall_ret(fn, args);

	guest_state_exit_irqoff();
	instrumentation_begin();
	status = vp_enter(args);
	instrumentation_end();
	guest_state_enter_irqoff();
	return status;
}
