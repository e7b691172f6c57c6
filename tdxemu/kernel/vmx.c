// SPDX-License-Identifier: GPL-2.0
/*
 * The engine that lets the CPU execute a TD, by VMX. What the CPU cannot decide is a VM
 * exit, and the code of the interpreter decides it: for CPUID, MSRs, I/O, HLT, TDCALL and
 * whatever else a TD is not left alone with, one instruction is interpreted. So both
 * engines give the same answers, from the same struct emu_vcpu, which is complete between
 * two stays in the guest: all of it goes into the VMCS before each, and comes back after.
 *
 * Memory: see shadow.c. Exceptions of the guest are the CPU's; interrupts, NMI and #VE are
 * delivered by events.c and apic.c, as the interpreter does.
 *
 * Two things that the emulated CPU lacks:
 *
 * - It has 40 address bits, and the shared half of a TD begins at bit 47. Such an address
 *   in the guest's page tables is a reserved bit to it: the page fault for that reason is
 *   a VM exit, and the instruction is interpreted. Shared memory is thus slow, it is walked
 *   by emu_map_shared(), and needs no second EPT.
 * - If RFLAGS.IF is clear at a VM entry, interrupts of the host do not end the guest's
 *   stay until it sets it. The preemption timer does.
 */
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/percpu.h>
#include <linux/string.h>
#include <asm/apic.h>
#include <asm/cpu_entry_area.h>
#include <asm/debugreg.h>
#include <asm/desc.h>
#include <asm/fpu/xcr.h>
#include <asm/irq_vectors.h>
#include <asm/msr.h>
#include <asm/processor-flags.h>
#include <asm/segment.h>
#include <asm/special_insns.h>
#include <asm/vmx.h>

/* Before RAX and its like are macros. */
#include "x86.h"
#include "interp.h"
#include "shadow.h"

/* Ticks of the TSC that a stay lasts: while the CPU takes no interrupt, and else. */
#define TICKS_MASKED	20000
#define TICKS_MAX	2000000

/* So often may one instruction make room in the TLB model before it is interpreted. */
#define EVICTIONS_MAX	8

#define PFERR_RSVD	BIT(3)

extern const char emu_vmx_exit[];
int emu_vmx_switch(u64 regs[16], bool resume);

/* What is the same for all VMCS, but for what changes from entry to entry. */
static struct {
	u32 revision;
	u32 pin, cpu, cpu2, exit, entry;
	unsigned int timer_shift;
} config __ro_after_init;

/* How the host's FPU is left: in its initial state, as the module leaves it. */
static struct {
	u8 area[PAGE_SIZE] __aligned(64);
} initial_fpu __ro_after_init;

/* VM exits by their reason, and instructions that were interpreted as they made room. */
static DEFINE_PER_CPU(u64[EMU_VMX_REASONS], exits);
static DEFINE_PER_CPU(u64, crowded);

/**
 * emu_vmx_exits() - how many VM exits of TDs there were since boot
 * @reason: of which reason; EMU_VMX_REASONS: instructions that were interpreted because
 *	their pages drive each other out of the TLB model
 */
u64 emu_vmx_exits(unsigned int reason)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += reason < EMU_VMX_REASONS ? per_cpu(exits, cpu)[reason] :
						  per_cpu(crowded, cpu);
	return sum;
}

static u64 vmread(unsigned long field)
{
	unsigned long value;

	asm volatile("vmread %1, %0" : "=r" (value) : "r" (field) : "cc");
	return value;
}

static void vmwrite(unsigned long field, u64 value)
{
	bool failed;

	asm volatile("vmwrite %2, %1" : "=@ccna" (failed) : "r" (field), "r" (value));
	WARN_ONCE(failed, "tdxemu: no field 0x%lx", field);
}

static bool vmptrld(u64 pa)
{
	bool failed;

	asm volatile("vmptrld %1" : "=@ccna" (failed) : "m" (pa) : "memory");
	return !failed;
}

static void vmclear(u64 pa)
{
	asm volatile("vmclear %0" : : "m" (pa) : "cc", "memory");
}

static u64 vmptrst(void)
{
	u64 pa;

	asm volatile("vmptrst %0" : "=m" (pa) : : "cc", "memory");
	return pa;
}

/* Of one EPT. */
static void invept(u64 eptp)
{
	struct {
		u64 eptp, zero;
	} operand = { eptp };

	asm volatile("invept %0, %1" : : "m" (operand), "r" (1ul) : "cc", "memory");
}

/* Selector, limit, attributes and base of a segment in the VMCS, by emu_vcpu.seg[]. */
#define SEG_FIELDS(name)	{ GUEST_##name##_SELECTOR, GUEST_##name##_LIMIT,	\
				  GUEST_##name##_AR_BYTES, GUEST_##name##_BASE }
static const u16 seg_fields[8][4] = {
	[VCPU_SREG_ES] = SEG_FIELDS(ES), [VCPU_SREG_CS] = SEG_FIELDS(CS),
	[VCPU_SREG_SS] = SEG_FIELDS(SS), [VCPU_SREG_DS] = SEG_FIELDS(DS),
	[VCPU_SREG_FS] = SEG_FIELDS(FS), [VCPU_SREG_GS] = SEG_FIELDS(GS),
	[VCPU_SREG_TR] = SEG_FIELDS(TR), [VCPU_SREG_LDTR] = SEG_FIELDS(LDTR),
};

#define AR_UNUSABLE	BIT(16)

/* VM entry is stricter than the emulator about bits that a CPU sets itself. */
static void load_segment(struct emu_vcpu *v, int n)
{
	struct emu_segment *s = &v->seg[n];
	const struct desc_struct *d = &s->desc;
	u32 limit = d->limit0 | d->limit1 << 16, ar = AR_UNUSABLE, type = d->type;

	if (d->g)
		limit = limit << 12 | 0xfff;
	if (d->s)
		type |= 1;	/* accessed */
	else if (n == VCPU_SREG_TR)
		type |= 2;	/* busy */
	if (d->p)
		ar = type | d->s << 4 | d->p << 7 | d->avl << 12 | d->l << 13 | d->d << 14 |
		     d->g << 15;
	/* Of SS it is the CPL, whether it can be used or not. */
	ar |= d->dpl << 5;
	vmwrite(seg_fields[n][0], s->sel);
	vmwrite(seg_fields[n][1], limit);
	vmwrite(seg_fields[n][2], ar);
	vmwrite(seg_fields[n][3], s->base);
}

static void save_segment(struct emu_vcpu *v, int n)
{
	u32 limit = vmread(seg_fields[n][1]), ar = vmread(seg_fields[n][2]);
	struct emu_segment *s = &v->seg[n];

	if (ar & BIT(15))
		limit >>= 12;
	s->sel = vmread(seg_fields[n][0]);
	s->base = vmread(seg_fields[n][3]);
	s->desc = (struct desc_struct) {
		.limit0 = limit, .limit1 = limit >> 16,
		.type = ar, .s = ar >> 4, .dpl = ar >> 5,
		.p = !(ar & AR_UNUSABLE) && ar & BIT(7),
		.avl = ar >> 12, .l = ar >> 13, .d = ar >> 14, .g = ar >> 15,
	};
	set_desc_base(&s->desc, s->base);
}

/* What is the guest's own, from @v into the VMCS and the CPU. */
static void load_guest(struct emu_vcpu *v)
{
	int i;

	for (i = 0; i < 8; i++)
		load_segment(v, i);
	vmwrite(GUEST_GDTR_BASE, v->gdt.address);
	vmwrite(GUEST_GDTR_LIMIT, v->gdt.size);
	vmwrite(GUEST_IDTR_BASE, v->idt.address);
	vmwrite(GUEST_IDTR_LIMIT, v->idt.size);
	vmwrite(GUEST_RSP, v->regs[RSP]);
	vmwrite(GUEST_RIP, v->rip);
	vmwrite(GUEST_RFLAGS, v->rflags | X86_EFLAGS_FIXED);
	vmwrite(GUEST_CR0, v->cr0);
	vmwrite(CR0_READ_SHADOW, v->cr0);
	vmwrite(GUEST_CR3, v->cr3);
	vmwrite(GUEST_CR4, v->cr4);
	vmwrite(CR4_READ_SHADOW, v->cr4 & ~X86_CR4_VMXE);
	vmwrite(GUEST_IA32_EFER, v->efer);
	vmwrite(GUEST_IA32_PAT, v->pat);
	vmwrite(GUEST_SYSENTER_CS, v->sysenter[0]);
	vmwrite(GUEST_SYSENTER_ESP, v->sysenter[1]);
	vmwrite(GUEST_SYSENTER_EIP, v->sysenter[2]);
	vmwrite(GUEST_INTERRUPTIBILITY_INFO,
		(v->shadow ? GUEST_INTR_STATE_MOV_SS : 0) |
		(v->nmi_blocked ? GUEST_INTR_STATE_NMI : 0));
	vmwrite(VM_ENTRY_CONTROLS, config.entry |
		(emu_long_mode(v) ? VM_ENTRY_IA32E_MODE : 0));
	native_write_cr2(v->cr2);
	set_debugreg(v->dr[6], 6);
	wrmsrq(MSR_STAR, v->star);
	wrmsrq(MSR_LSTAR, v->lstar);
	wrmsrq(MSR_SYSCALL_MASK, v->sfmask);
	wrmsrq(MSR_KERNEL_GS_BASE, v->kernel_gs_base);
	wrmsrq(MSR_TSC_AUX, v->tsc_aux);
}

/* And back. MSRs that the guest cannot change without an exit stay what they are. */
static void save_guest(struct emu_vcpu *v)
{
	u32 blocked = vmread(GUEST_INTERRUPTIBILITY_INFO);
	int i;

	for (i = 0; i < 8; i++)
		save_segment(v, i);
	v->gdt.address = vmread(GUEST_GDTR_BASE);
	v->gdt.size = vmread(GUEST_GDTR_LIMIT);
	v->idt.address = vmread(GUEST_IDTR_BASE);
	v->idt.size = vmread(GUEST_IDTR_LIMIT);
	v->regs[RSP] = vmread(GUEST_RSP);
	v->rip = vmread(GUEST_RIP);
	v->rflags = vmread(GUEST_RFLAGS);
	v->cr0 = vmread(GUEST_CR0);
	v->cr2 = native_read_cr2();
	get_debugreg(v->dr[6], 6);
	v->cr3 = vmread(GUEST_CR3);
	v->cr4 = vmread(GUEST_CR4);
	v->efer = vmread(GUEST_IA32_EFER);
	v->shadow = blocked & (GUEST_INTR_STATE_STI | GUEST_INTR_STATE_MOV_SS);
	v->nmi_blocked = blocked & GUEST_INTR_STATE_NMI;
	rdmsrq(MSR_KERNEL_GS_BASE, v->kernel_gs_base);
	/* Other guest code has run than what the interpreter has looked up. */
	emu_flush_gtlb(v);
}

/* Of the host, what a VM exit does not bring back as it was. */
struct host {
	struct desc_ptr gdt, idt;
	u16 ldt, ds, es, fs, gs;
	u64 fs_base, xcr0, vmcs;
	u64 star, lstar, sfmask, kernel_gs_base, tsc_aux;
};

static void save_host(struct host *h)
{
	native_store_gdt(&h->gdt);
	store_idt(&h->idt);
	store_ldt(h->ldt);
	savesegment(ds, h->ds);
	savesegment(es, h->es);
	savesegment(fs, h->fs);
	savesegment(gs, h->gs);
	rdmsrq(MSR_FS_BASE, h->fs_base);
	rdmsrq(MSR_STAR, h->star);
	rdmsrq(MSR_LSTAR, h->lstar);
	rdmsrq(MSR_SYSCALL_MASK, h->sfmask);
	rdmsrq(MSR_KERNEL_GS_BASE, h->kernel_gs_base);
	rdmsrq(MSR_TSC_AUX, h->tsc_aux);
	h->vmcs = vmptrst();
}

static void restore_host(const struct host *h)
{
	u64 gs_base;

	native_load_gdt(&h->gdt);
	native_load_idt(&h->idt);
	/* A VM exit leaves the TSS without the I/O bitmap. */
	invalidate_tss_limit();
	if (h->ldt)
		asm volatile("lldt %0" : : "m" (h->ldt));
	if (h->ds)
		loadsegment(ds, h->ds);
	if (h->es)
		loadsegment(es, h->es);
	if (h->fs) {
		loadsegment(fs, h->fs);
		wrmsrq(MSR_FS_BASE, h->fs_base);
	}
	if (h->gs) {
		rdmsrq(MSR_GS_BASE, gs_base);
		asm volatile("mov %0, %%gs" : : "r" (h->gs));
		wrmsrq(MSR_GS_BASE, gs_base);
	}
	wrmsrq(MSR_STAR, h->star);
	wrmsrq(MSR_LSTAR, h->lstar);
	wrmsrq(MSR_SYSCALL_MASK, h->sfmask);
	wrmsrq(MSR_KERNEL_GS_BASE, h->kernel_gs_base);
	wrmsrq(MSR_TSC_AUX, h->tsc_aux);
	set_debugreg(DR6_RESERVED, 6);
}

static void vmwrite_host(const struct host *h)
{
	u64 value;

	vmwrite(HOST_CR0, read_cr0());
	vmwrite(HOST_CR3, __read_cr3());
	vmwrite(HOST_CR4, __read_cr4());
	vmwrite(HOST_CS_SELECTOR, __KERNEL_CS);
	vmwrite(HOST_SS_SELECTOR, __KERNEL_DS);
	vmwrite(HOST_DS_SELECTOR, 0);
	vmwrite(HOST_ES_SELECTOR, 0);
	vmwrite(HOST_FS_SELECTOR, 0);
	vmwrite(HOST_GS_SELECTOR, 0);
	vmwrite(HOST_TR_SELECTOR, GDT_ENTRY_TSS * 8);
	vmwrite(HOST_FS_BASE, h->fs_base);
	rdmsrq(MSR_GS_BASE, value);
	vmwrite(HOST_GS_BASE, value);
	vmwrite(HOST_TR_BASE,
		(unsigned long)&get_cpu_entry_area(raw_smp_processor_id())->tss.x86_tss);
	vmwrite(HOST_GDTR_BASE, h->gdt.address);
	vmwrite(HOST_IDTR_BASE, h->idt.address);
	rdmsrq(MSR_IA32_SYSENTER_CS, value);
	vmwrite(HOST_IA32_SYSENTER_CS, value);
	rdmsrq(MSR_IA32_SYSENTER_ESP, value);
	vmwrite(HOST_IA32_SYSENTER_ESP, value);
	rdmsrq(MSR_IA32_SYSENTER_EIP, value);
	vmwrite(HOST_IA32_SYSENTER_EIP, value);
	rdmsrq(MSR_EFER, value);
	vmwrite(HOST_IA32_EFER, value);
	rdmsrq(MSR_IA32_CR_PAT, value);
	vmwrite(HOST_IA32_PAT, value);
	vmwrite(HOST_RIP, (unsigned long)emu_vmx_exit);
}

/* What does not change while the guest stays; the VMCS was cleared before. */
static void vmwrite_controls(void)
{
	vmwrite(PIN_BASED_VM_EXEC_CONTROL, config.pin);
	vmwrite(SECONDARY_VM_EXEC_CONTROL, config.cpu2);
	vmwrite(EXCEPTION_BITMAP, BIT(UD_VECTOR) | BIT(PF_VECTOR));
	/* Of page faults, those for a reserved bit. */
	vmwrite(PAGE_FAULT_ERROR_CODE_MASK, PFERR_RSVD);
	vmwrite(PAGE_FAULT_ERROR_CODE_MATCH, PFERR_RSVD);
	vmwrite(CR3_TARGET_COUNT, 0);
	vmwrite(VM_EXIT_MSR_STORE_COUNT, 0);
	vmwrite(VM_EXIT_MSR_LOAD_COUNT, 0);
	vmwrite(VM_ENTRY_MSR_LOAD_COUNT, 0);
	vmwrite(VM_ENTRY_INTR_INFO_FIELD, 0);
	vmwrite(VMCS_LINK_POINTER, ~0ull);
	vmwrite(GUEST_IA32_DEBUGCTL, 0);
	vmwrite(GUEST_DR7, 0x400);
	vmwrite(GUEST_PENDING_DBG_EXCEPTIONS, 0);
	vmwrite(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_ACTIVE);
	/* What a TD must not change, or would not get to know: see op_set_cr(). */
	vmwrite(CR0_GUEST_HOST_MASK, X86_CR0_PE | X86_CR0_NE);
	vmwrite(CR4_GUEST_HOST_MASK, X86_CR4_VMXE | X86_CR4_MCE | X86_CR4_LA57);
}

static bool posted_interrupt_pending(void)
{
	return apic_read(APIC_IRR + POSTED_INTR_VECTOR / 32 * 0x10) &
	       BIT(POSTED_INTR_VECTOR % 32);
}

/*
 * An interrupt of the host. It stays in the local APIC until the TD has been left, but for
 * the notification of posted interrupts, which ends here: it was taken out of the
 * APIC by an exit that acknowledges. If a more urgent one came first, put it back.
 */
static void host_interrupt(bool acknowledged)
{
	u32 vector;

	if (!acknowledged)
		return;
	vector = vmread(VM_EXIT_INTR_INFO) & INTR_INFO_VECTOR_MASK;
	if (vector != POSTED_INTR_VECTOR)
		__apic_send_IPI_self(vector);
	apic_eoi();
}

static bool at_tdcall(struct emu_vcpu *v)
{
	static const u8 tdcall[] = { 0x66, 0x0f, 0x01, 0xcc };
	struct x86_exception e;
	u8 insn[sizeof(tdcall)];

	return emu_code64(v) &&
	       emu_access(v, v->rip, insn, sizeof(insn), TDXEMU_READ | TDXEMU_EXEC, false,
			  &e) == EMU_OK &&
	       !memcmp(insn, tdcall, sizeof(insn));
}

static enum emu_result exception(struct emu_vcpu *v)
{
	u32 info = vmread(VM_EXIT_INTR_INFO);

	if ((info & INTR_INFO_INTR_TYPE_MASK) == INTR_TYPE_NMI_INTR) {
		emu_leave(v, EXIT_REASON_EXCEPTION_NMI);
		v->exit.r9 = info;
		return EMU_EXIT;
	}
	/* #PF for a reserved bit: shared memory, or the interpreter finds out. */
	if ((info & INTR_INFO_VECTOR_MASK) == PF_VECTOR || at_tdcall(v))
		return emu_step(v);
	return emu_exception(v, UD_VECTOR, false, 0);
}

/*
 * The model has a few places for an address. If more pages of one instruction share
 * them, they drive each other out, and the CPU never has all that it needs at once.
 * The interpreter needs them one after the other.
 */
static bool thrashes(struct emu_vcpu *v)
{
	if (v->evicted_rip != v->rip) {
		v->evicted_rip = v->rip;
		v->evictions = 0;
	}
	if (++v->evictions < EVICTIONS_MAX)
		return false;
	v->evictions = 0;
	this_cpu_inc(crowded);
	return true;
}

static enum emu_result ept_violation(struct emu_vcpu *v)
{
	u64 gpa = vmread(GUEST_PHYSICAL_ADDRESS), qual = vmread(EXIT_QUALIFICATION);
	u64 gla = qual & EPT_VIOLATION_GVA_IS_VALID ? vmread(GUEST_LINEAR_ADDRESS) : 0;
	u32 length = vmread(VM_EXIT_INSTRUCTION_LEN);
	struct tdxemu_access a;
	enum emu_result r;

	/* IRET had unblocked NMIs already, and will do so again. */
	if (qual & INTR_INFO_UNBLOCK_NMI &&
	    !(vmread(IDT_VECTORING_INFO_FIELD) & VECTORING_INFO_VALID_MASK))
		v->nmi_blocked = true;
	/* A CPU that has the address bits for it. */
	if (gpa & emu_shared_bit(v))
		return emu_step(v);
	r = emu_map_private(v, gpa, qual & 7, gla, &a);
	if (r == EMU_VE)
		return emu_deliver_ve(v, length);
	if (r == EMU_OK) {
		bool stale;

		/* This made room in the TLB model, perhaps of what is to be mapped. */
		emu_shadow_sync(v, &stale);
		emu_shadow_map(v, gpa, a.hpa, a.level);
		if (stale)
			v->invept = true;
		if (a.evicted && thrashes(v))
			return emu_step(v);
	}
	return r;
}

/* The guest wants other parts of the XSAVE state. */
static enum emu_result xsetbv_exit(struct emu_vcpu *v)
{
	u64 value = (u32)v->regs[RAX] | v->regs[RDX] << 32;

	if ((u32)v->regs[RCX] || !(value & XFEATURE_MASK_FP) || value & ~v->xfam ||
	    (value & XFEATURE_MASK_YMM && !(value & XFEATURE_MASK_SSE)))
		return emu_exception(v, GP_VECTOR, true, 0);
	/* Of its XFAM this CPU may have less: what it had all the same would be lost. */
	if (value & ~kvm_host.xcr0)
		return emu_dead(v, "XCR0 0x%llx", value);
	v->xcr0 = value;
	xsetbv(XCR_XFEATURE_ENABLED_MASK, value);
	v->rip += vmread(VM_EXIT_INSTRUCTION_LEN);
	return EMU_OK;
}

static enum emu_result handle_exit(struct emu_vcpu *v, u32 reason, bool acknowledged)
{
	if (reason & VMX_EXIT_REASONS_FAILED_VMENTRY)
		return emu_dead(v, "VM entry: reason 0x%x, qualification 0x%llx, rip 0x%llx",
				reason, vmread(EXIT_QUALIFICATION), v->rip);
	switch ((u16)reason) {
	case EXIT_REASON_EXCEPTION_NMI:
		return exception(v);
	case EXIT_REASON_EXTERNAL_INTERRUPT:
		host_interrupt(acknowledged);
		return EMU_OK;
	case EXIT_REASON_INTERRUPT_WINDOW:
	case EXIT_REASON_PREEMPTION_TIMER:
		return EMU_OK;
	case EXIT_REASON_TRIPLE_FAULT:
		return emu_triple_fault(v);
	case EXIT_REASON_EPT_VIOLATION:
		return ept_violation(v);
	case EXIT_REASON_CPUID:
	case EXIT_REASON_HLT:
	case EXIT_REASON_INVD:
	case EXIT_REASON_WBINVD:
	case EXIT_REASON_VMCALL:
	case EXIT_REASON_RDPMC:
	case EXIT_REASON_CR_ACCESS:
	case EXIT_REASON_DR_ACCESS:
	case EXIT_REASON_IO_INSTRUCTION:
	case EXIT_REASON_MSR_READ:
	case EXIT_REASON_MSR_WRITE:
	case EXIT_REASON_MWAIT_INSTRUCTION:
	case EXIT_REASON_MONITOR_INSTRUCTION:
		return emu_step(v);
	case EXIT_REASON_XSETBV:
		return xsetbv_exit(v);
	case EXIT_REASON_VMCLEAR ... EXIT_REASON_VMON:
	case EXIT_REASON_INVEPT:
	case EXIT_REASON_INVVPID:
		return emu_exception(v, UD_VECTOR, false, 0);
	}
	return emu_dead(v, "VM exit 0x%x, qualification 0x%llx, rip 0x%llx", reason,
			vmread(EXIT_QUALIFICATION), v->rip);
}

/* From one VM entry to the exit. */
static enum emu_result stay(struct emu_vcpu *v, bool *launched)
{
	bool masked = !(v->rflags & X86_EFLAGS_IF) || v->nmi;
	bool acknowledge = posted_interrupt_pending(), stale;
	u64 eptp = emu_shadow_sync(v, &stale);
	u32 reason;

	load_guest(v);
	vmwrite(EPT_POINTER, eptp);
	if (stale || v->invept)
		invept(eptp);
	v->invept = false;
	/* What is pending now could not be delivered. */
	vmwrite(CPU_BASED_VM_EXEC_CONTROL, config.cpu |
		(emu_irq_pending(v) ? CPU_BASED_INTR_WINDOW_EXITING : 0));
	vmwrite(VM_EXIT_CONTROLS, config.exit |
		(acknowledge ? VM_EXIT_ACK_INTR_ON_EXIT : 0));
	vmwrite(VMX_PREEMPTION_TIMER_VALUE,
		(masked ? TICKS_MASKED : TICKS_MAX) >> config.timer_shift);
	if (emu_vmx_switch(v->regs, *launched))
		return emu_dead(v, "VM entry failed with error %llu at rip 0x%llx",
				vmread(VM_INSTRUCTION_ERROR), v->rip);
	*launched = true;
	reason = vmread(VM_EXIT_REASON);
	this_cpu_inc(exits[min_t(u16, reason, EMU_VMX_REASONS - 1)]);
	save_guest(v);
	return handle_exit(v, reason, acknowledge);
}

static enum emu_result stay_until_left(struct emu_vcpu *v)
{
	bool launched = false;
	enum emu_result r;

	for (;;) {
		if (emu_host_interrupt())
			return emu_leave(v, EXIT_REASON_OTHER_SMI);
		if (tdxemu_take_nmi(v->vp))
			v->nmi = true;
		r = emu_irq_deliver(v);
		if (r == EMU_OK)
			r = stay(v, &launched);
		if (r != EMU_OK)
			return r;
	}
}

static void xrstor(const void *area)
{
	asm volatile("xrstor64 (%0)" : : "r" (area), "a" (~0u), "d" (~0u) : "memory");
}

static void xsave(void *area)
{
	asm volatile("xsave64 (%0)" : : "r" (area), "a" (~0u), "d" (~0u) : "memory");
}

static enum emu_result vmx_enter(struct emu_vcpu *v)
{
	struct host h;
	u64 pa = __pa(v->vmcs);
	enum emu_result r;

	/* KVM has it on while there are VMs. */
	if (!(__read_cr4() & X86_CR4_VMXE))
		return emu_dead(v, "VMX is off");
	save_host(&h);
	vmclear(pa);
	if (!vmptrld(pa))
		return emu_dead(v, "no VMCS");
	vmwrite_controls();
	vmwrite_host(&h);
	/* The FPU with all that the host's XCR0 has is the guest's from here on. */
	h.xcr0 = xgetbv(XCR_XFEATURE_ENABLED_MASK);
	xrstor(v->fpu);
	xsetbv(XCR_XFEATURE_ENABLED_MASK, v->xcr0);
	r = stay_until_left(v);
	xsetbv(XCR_XFEATURE_ENABLED_MASK, h.xcr0);
	xsave(v->fpu);
	xrstor(initial_fpu.area);
	vmclear(pa);
	if (h.vmcs != ~0ull)
		vmptrld(h.vmcs);
	restore_host(&h);
	return r;
}

/* @want and what must be; false if the CPU has not got all of it. */
static bool __init control(u32 msr, u32 want, u32 *result)
{
	u64 can;

	if (rdmsrq_safe(msr, &can))
		return false;
	*result = (want | (u32)can) & can >> 32;
	if (!(want & ~*result))
		return true;
	pr_err("tdxemu: VMX control MSR 0x%x lacks 0x%x\n", msr, want & ~*result);
	return false;
}

static int __init vmx_init(void)
{
	u64 basic, misc;

	if (!boot_cpu_has(X86_FEATURE_VMX) || !boot_cpu_has(X86_FEATURE_XSAVE) ||
	    rdmsrq_safe(MSR_IA32_VMX_BASIC, &basic) || !(basic & VMX_BASIC_TRUE_CTLS) ||
	    rdmsrq_safe(MSR_IA32_VMX_MISC, &misc))
		return -ENODEV;
	config.revision = vmx_basic_vmcs_revision_id(basic);
	config.timer_shift = misc & GENMASK(4, 0);
	if (!control(MSR_IA32_VMX_TRUE_PINBASED_CTLS,
		     PIN_BASED_EXT_INTR_MASK | PIN_BASED_NMI_EXITING |
		     PIN_BASED_VIRTUAL_NMIS | PIN_BASED_VMX_PREEMPTION_TIMER, &config.pin) ||
	    !control(MSR_IA32_VMX_TRUE_PROCBASED_CTLS,
		     CPU_BASED_HLT_EXITING | CPU_BASED_MWAIT_EXITING |
		     CPU_BASED_MONITOR_EXITING | CPU_BASED_RDPMC_EXITING |
		     CPU_BASED_CR8_LOAD_EXITING | CPU_BASED_CR8_STORE_EXITING |
		     CPU_BASED_MOV_DR_EXITING | CPU_BASED_UNCOND_IO_EXITING |
		     CPU_BASED_ACTIVATE_SECONDARY_CONTROLS, &config.cpu) ||
	    !control(MSR_IA32_VMX_PROCBASED_CTLS2,
		     SECONDARY_EXEC_ENABLE_EPT | SECONDARY_EXEC_UNRESTRICTED_GUEST |
		     SECONDARY_EXEC_ENABLE_RDTSCP | SECONDARY_EXEC_ENABLE_INVPCID |
		     SECONDARY_EXEC_WBINVD_EXITING, &config.cpu2) ||
	    !control(MSR_IA32_VMX_TRUE_EXIT_CTLS,
		     VM_EXIT_HOST_ADDR_SPACE_SIZE | VM_EXIT_SAVE_IA32_EFER |
		     VM_EXIT_LOAD_IA32_EFER | VM_EXIT_SAVE_IA32_PAT |
		     VM_EXIT_LOAD_IA32_PAT, &config.exit) ||
	    !control(MSR_IA32_VMX_TRUE_ENTRY_CTLS,
		     VM_ENTRY_LOAD_IA32_EFER | VM_ENTRY_LOAD_IA32_PAT |
		     VM_ENTRY_LOAD_DEBUG_CONTROLS, &config.entry))
		return -EOPNOTSUPP;
	/* MXCSR, where the rest is said to be initial. */
	*(u32 *)(initial_fpu.area + 24) = MXCSR_DEFAULT;
	return emu_shadow_init();
}

static bool vmx_vcpu_init(struct emu_vcpu *v)
{
	static atomic64_t last_id = ATOMIC64_INIT(0);

	v->vmcs = (void *)__get_free_pages(GFP_ATOMIC | __GFP_ZERO, 1);
	if (!v->vmcs)
		return false;
	*(u32 *)v->vmcs = config.revision;
	v->fpu = v->vmcs + PAGE_SIZE;
	memcpy(v->fpu, initial_fpu.area, PAGE_SIZE);
	v->xcr0 = XFEATURE_MASK_FP;
	v->id = atomic64_inc_return(&last_id);
	return true;
}

static void vmx_vcpu_free(struct emu_vcpu *v)
{
	free_pages((unsigned long)v->vmcs, 1);
}

const struct emu_engine emu_vmx = {
	.name = "vmx",
	.fpu = true,
	.init = vmx_init,
	.vcpu_init = vmx_vcpu_init,
	.vcpu_free = vmx_vcpu_free,
	.enter = vmx_enter,
	.evicted = emu_shadow_evicted,
};
