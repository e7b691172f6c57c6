// SPDX-License-Identifier: GPL-2.0
/*
 * Stands in for the SEAMCALL instruction: the three functions of seamcall.S, and
 * TDH.VP.ENTER, which lets an engine execute the TD's code.
 *
 * As with the real module, a call never sleeps and every lock in it is tried,
 * never waited for.
 */
#include <linux/context_tracking.h>
#include <linux/kernel.h>
#include <linux/kvm_host.h>
#include <linux/smp.h>
#include <asm/apic.h>
#include <asm/irq_vectors.h>
#include <asm/tdx.h>
#include <asm/vmx.h>

#include "emu.h"
#include "x86.h"
#include "vmx/tdx.h"
#include "../../seamcall_internal.h"
#include "../../tdx.h"

/*
 * Interrupts stay pending in the local APIC, so that they are taken when KVM
 * enables them, as after a real exit: a kick is not acknowledged before the vCPU
 * has left the TD. The notification of posted interrupts is the guest's: KVM sends
 * it to its own CPU before it enters, and a CPU with posted interrupts swallows it.
 */
bool emu_host_interrupt(void)
{
	u32 irr;
	int i;

	for (i = 1; i < 8; i++) {
		irr = apic_read(APIC_IRR + i * 0x10);
		if (i == POSTED_INTR_VECTOR / 32)
			irr &= ~BIT(POSTED_INTR_VECTOR % 32);
		if (irr)
			return true;
	}
	return false;
}

static DEFINE_PER_CPU(u64, instructions);

/**
 * emu_instructions() - how many instructions TDs have executed since boot
 */
u64 emu_instructions(void)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += per_cpu(instructions, cpu);
	return sum;
}

/**
 * emu_tsc() - the guest's time stamp counter
 * @v: the vCPU
 */
u64 emu_tsc(struct emu_vcpu *v)
{
	return rdtsc();
}

/**
 * emu_map_private() - what the module says of a private guest physical address
 * @v: the vCPU
 * @gpa: the address, without the shared bit
 * @access: TDXEMU_READ, TDXEMU_WRITE and TDXEMU_EXEC
 * @gla: the linear address, for #VE
 * @a: with EMU_OK, where it is
 *
 * Return: EMU_OK; EMU_EXIT or EMU_VE if it cannot be reached.
 */
enum emu_result emu_map_private(struct emu_vcpu *v, u64 gpa, unsigned int access,
				u64 gla, struct tdxemu_access *a)
{
	enum tdxemu_access_result r = tdxemu_access(v->vp, gpa, access, a);

	if (a->evicted && emu_engine->evicted)
		emu_engine->evicted(v, a->evicted_gpa, a->evicted_level);
	switch (r) {
	case TDXEMU_OK:
		return EMU_OK;
	case TDXEMU_VE:
		v->new_ve = (struct emu_ve_info) {
			.reason = EXIT_REASON_EPT_VIOLATION,
			.qualification = a->qual, .gla = gla, .gpa = a->gpa,
		};
		return EMU_VE;
	case TDXEMU_EXIT:
		return emu_ept_exit(v, a->gpa, a->qual, a->ext);
	default:
		/* The walk of the guest's page tables has looked at the width. */
		snprintf(v->why, sizeof(v->why), "gpa 0x%llx is too wide", gpa);
		return EMU_DEAD;
	}
}

/**
 * emu_map() - where the host has a guest physical address
 * @v: the vCPU
 * @gpa: the address, with the shared bit if it is shared
 * @access: TDXEMU_READ, TDXEMU_WRITE and TDXEMU_EXEC
 * @gla: the linear address, for #VE
 * @hva: the address, good for the rest of the 4 KiB page
 *
 * Return: EMU_OK; EMU_EXIT or EMU_VE if it cannot be reached.
 */
enum emu_result emu_map(struct emu_vcpu *v, u64 gpa, unsigned int access,
			u64 gla, void **hva)
{
	struct tdxemu_access a;
	enum emu_result r;

	if (gpa >> v->gpaw == 0 && gpa & emu_shared_bit(v))
		return emu_map_shared(v, gpa, access, gla, hva);
	r = emu_map_private(v, gpa, access, gla, &a);
	if (r == EMU_OK)
		*hva = emu_va(a.hpa);
	return r;
}

static enum emu_result accept(struct emu_vcpu *v)
{
	struct tdxemu_access a;

	switch (tdxemu_accept(v->vp, v->regs[1], &a)) {
	case TDXEMU_STATUS:
		v->regs[0] = a.status;
		return EMU_OK;
	case TDXEMU_EXIT:
		emu_ept_exit(v, a.gpa, a.qual, a.ext);
		return EMU_REPEAT;
	case TDXEMU_INTERRUPTED:
		memset(&v->exit, 0, sizeof(v->exit));
		v->exit_reason = EXIT_REASON_OTHER_SMI;
		return EMU_REPEAT;
	case TDXEMU_LEAVE:
		memset(&v->exit, 0, sizeof(v->exit));
		v->exit_reason = a.status;
		return EMU_REPEAT;
	default:
		snprintf(v->why, sizeof(v->why), "ACCEPT of 0x%llx", v->regs[1]);
		return EMU_DEAD;
	}
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
	u64 leaf = v->regs[0], status;

	switch (leaf) {
	case TDG_CALL_VP_VMCALL:
		memset(&v->exit, 0, sizeof(v->exit));
		status = tdxemu_vmcall(v->vp, v->regs, &v->exit);
		if (status) {
			v->regs[0] = status;
			return EMU_OK;
		}
		v->exit_reason = EXIT_REASON_TDCALL;
		return EMU_EXIT;
	case TDG_CALL_VP_INFO:
		v->regs[0] = tdxemu_vp_info(v->vp, v->regs);
		return EMU_OK;
	case TDG_CALL_VEINFO_GET:
		v->regs[0] = tdxemu_veinfo_get(v->vp, v->regs);
		return EMU_OK;
	case TDG_CALL_PAGE_ACCEPT:
		return accept(v);
	case TDG_CALL_VM_RD:
		v->regs[0] = tdxemu_vm_rd(v->vp, v->regs);
		return EMU_OK;
	case TDG_CALL_VM_WR:
		v->regs[0] = tdxemu_vm_wr(v->vp, v->regs);
		return EMU_OK;
	}
	snprintf(v->why, sizeof(v->why), "TDCALL leaf 0x%llx is not known here", leaf);
	return EMU_DEAD;
}

/* It went wrong in this equipment, or where a CPU would shut down. */
static u64 fatal(struct emu_vcpu *v, enum emu_result r)
{
	if (r != EMU_DEAD)
		snprintf(v->why, sizeof(v->why),
			 "an event cannot be delivered (%d) at rip 0x%llx", r, v->rip);
	pr_err("tdxemu: the TD dies: %s\n", v->why);
	memset(&v->exit, 0, sizeof(v->exit));
	return TDX_NON_RECOVERABLE_TD;
}

/**
 * emu_run() - execute a TD until it leaves
 * @vp: the vCPU
 * @args: registers, in and out
 *
 * Return: RAX of TDH.VP.ENTER.
 */
u64 emu_run(struct tdxemu_vp *vp, struct tdxemu_args *args)
{
	struct emu_vcpu *v = tdxemu_vp_priv(vp);
	u64 before = v->instructions, status, field;
	enum emu_result r;

	tdxemu_vmcall_resume(vp, v->regs, args);
	if (tdxemu_vp_field(vp, TDXEMU_F_POSTED_INTR_DESC, &field) && field)
		v->pi = __va(field);
	emu_irq_pending(v);
	emu_flush_gtlb(v);
	r = emu_engine->enter(v);
	status = r == EMU_EXIT || r == EMU_REPEAT ? v->exit_reason : fatal(v, r);
	*args = v->exit;
	this_cpu_add(instructions, v->instructions - before);
	return status;
}

static u64 call(u64 fn, struct tdx_module_args *args)
{
	u64 rcx = args->rcx, rdx = args->rdx, status;

	if (emu_drop(fn))
		status = 0;
	else
		status = tdxemu_seamcall(fn, (struct tdxemu_args *)args);
	emu_oracle_call(fn, rcx, rdx, status);
	return status;
}

noinstr u64 __seamcall(u64 fn, struct tdx_module_args *args)
{
	struct tdx_module_args copy;
	u64 status;

	instrumentation_begin();
	copy = *args;
	status = call(fn, &copy);
	instrumentation_end();
	return status;
}

noinstr u64 __seamcall_ret(u64 fn, struct tdx_module_args *args)
{
	u64 status;

	instrumentation_begin();
	status = call(fn, args);
	instrumentation_end();
	return status;
}

/*
 * KVM has told RCU, lockdep and the tracers that a guest runs. What runs is this
 * kernel: take it back for as long as that lasts.
 */
noinstr u64 __seamcall_saved_ret(u64 fn, struct tdx_module_args *args)
{
	struct tdxemu_vp *vp;
	u64 status;

	if (fn != TDH_VP_ENTER)
		return __seamcall_ret(fn, args);

	guest_state_exit_irqoff();
	instrumentation_begin();
	vp = tdxemu_vp_at(args->rcx);
	if (vp)
		emu_oracle_enter(tdxemu_vp_td(vp),
				 container_of(args, struct vcpu_tdx, vp_enter_args)->vcpu.kvm);
	status = call(fn, args);
	instrumentation_end();
	guest_state_enter_irqoff();
	return status;
}
