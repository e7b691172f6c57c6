// SPDX-License-Identifier: GPL-2.0
/*
 * What KVM's emulator asks for: memory, registers and the rest of a TD vCPU's state.
 */
#include <linux/kernel.h>
#include <linux/string.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>
#include <asm/vmx.h>

#include "interp.h"

static struct emu_vcpu *to_v(struct x86_emulate_ctxt *ctxt)
{
	return container_of(ctxt, struct emu_vcpu, ctxt);
}

/* The emulator only tells a fault from a failure; the rest waits in v->result. */
static int to_x86emul(struct emu_vcpu *v, enum emu_result r)
{
	switch (r) {
	case EMU_OK:
		return X86EMUL_CONTINUE;
	case EMU_FAULT:
		return X86EMUL_PROPAGATE_FAULT;
	default:
		v->result = r;
		return X86EMUL_UNHANDLEABLE;
	}
}

static int op_read_std(struct x86_emulate_ctxt *ctxt, unsigned long addr,
		       void *val, unsigned int bytes, struct x86_exception *e,
		       bool system)
{
	struct emu_vcpu *v = to_v(ctxt);

	return to_x86emul(v, emu_access(v, addr, val, bytes, TDXEMU_READ, system, e));
}

static int op_write_std(struct x86_emulate_ctxt *ctxt, unsigned long addr,
			void *val, unsigned int bytes, struct x86_exception *e,
			bool system)
{
	struct emu_vcpu *v = to_v(ctxt);

	return to_x86emul(v, emu_access(v, addr, val, bytes, TDXEMU_WRITE, system, e));
}

static int op_fetch(struct x86_emulate_ctxt *ctxt, unsigned long addr,
		    void *val, unsigned int bytes, struct x86_exception *e)
{
	struct emu_vcpu *v = to_v(ctxt);

	return to_x86emul(v, emu_access(v, addr, val, bytes,
					TDXEMU_READ | TDXEMU_EXEC, false, e));
}

static int op_read(struct x86_emulate_ctxt *ctxt, unsigned long addr, void *val,
		   unsigned int bytes, struct x86_exception *e)
{
	return op_read_std(ctxt, addr, val, bytes, e, false);
}

static int op_write(struct x86_emulate_ctxt *ctxt, unsigned long addr,
		    const void *val, unsigned int bytes,
		    struct x86_exception *e)
{
	return op_write_std(ctxt, addr, (void *)val, bytes, e, false);
}

static int op_cmpxchg(struct x86_emulate_ctxt *ctxt, unsigned long addr,
		      const void *old, const void *new, unsigned int bytes,
		      struct x86_exception *e)
{
	struct emu_vcpu *v = to_v(ctxt);
	enum emu_result r;
	bool done;
	void *p;

	if (offset_in_page(addr) + bytes > PAGE_SIZE)
		return to_x86emul(v, emu_dead(v, "a locked access across pages"));
	r = emu_translate(v, addr, TDXEMU_READ | TDXEMU_WRITE, false, &p, e);
	if (r != EMU_OK)
		return to_x86emul(v, r);

#define CMPXCHG(t) (cmpxchg((t *)p, *(t *)old, *(t *)new) == *(t *)old)
	switch (bytes) {
	case 1: done = CMPXCHG(u8); break;
	case 2: done = CMPXCHG(u16); break;
	case 4: done = CMPXCHG(u32); break;
	case 8: done = CMPXCHG(u64); break;
	default:
		return to_x86emul(v, emu_dead(v, "a locked access of %u bytes", bytes));
	}
#undef CMPXCHG
	return done ? X86EMUL_CONTINUE : X86EMUL_CMPXCHG_FAILED;
}

static ulong op_read_gpr(struct x86_emulate_ctxt *ctxt, unsigned int reg)
{
	return to_v(ctxt)->regs[reg];
}

static void op_write_gpr(struct x86_emulate_ctxt *ctxt, unsigned int reg, ulong val)
{
	to_v(ctxt)->regs[reg] = val;
}

static void op_invlpg(struct x86_emulate_ctxt *ctxt, ulong addr)
{
	emu_flush_gtlb(to_v(ctxt));
}

static bool op_get_segment(struct x86_emulate_ctxt *ctxt, u16 *sel,
			   struct desc_struct *desc, u32 *base3, int seg)
{
	struct emu_segment *s = &to_v(ctxt)->seg[seg];

	*sel = s->sel;
	*desc = s->desc;
	if (base3)
		*base3 = s->base >> 32;
	return s->desc.p;
}

static void op_set_segment(struct x86_emulate_ctxt *ctxt, u16 sel,
			   struct desc_struct *desc, u32 base3, int seg)
{
	struct emu_segment *s = &to_v(ctxt)->seg[seg];

	s->sel = sel;
	s->desc = *desc;
	s->base = get_desc_base(desc) | (u64)base3 << 32;
}

static unsigned long op_segment_base(struct x86_emulate_ctxt *ctxt, int seg)
{
	return to_v(ctxt)->seg[seg].base;
}

static void op_get_gdt(struct x86_emulate_ctxt *ctxt, struct desc_ptr *dt)
{
	*dt = to_v(ctxt)->gdt;
}

static void op_get_idt(struct x86_emulate_ctxt *ctxt, struct desc_ptr *dt)
{
	*dt = to_v(ctxt)->idt;
}

static void op_set_gdt(struct x86_emulate_ctxt *ctxt, struct desc_ptr *dt)
{
	to_v(ctxt)->gdt = *dt;
}

static void op_set_idt(struct x86_emulate_ctxt *ctxt, struct desc_ptr *dt)
{
	to_v(ctxt)->idt = *dt;
}

static ulong op_get_cr(struct x86_emulate_ctxt *ctxt, int cr)
{
	struct emu_vcpu *v = to_v(ctxt);

	switch (cr) {
	case 0: return v->cr0;
	case 2: return v->cr2;
	case 3: return v->cr3;
	/* VMXE is set in every TD, and hidden from it. */
	case 4: return v->cr4 & ~X86_CR4_VMXE;
	case 8: return v->cr8;
	}
	return 0;
}

/* What a TD may not change is #GP, as on the module: CR0.PE, CR0.NE, CR4.MCE. */
static int op_set_cr(struct x86_emulate_ctxt *ctxt, int cr, ulong val)
{
	struct emu_vcpu *v = to_v(ctxt);

	switch (cr) {
	case 0:
		if (~val & (X86_CR0_PE | X86_CR0_NE) ||
		    (val & X86_CR0_PG && !(v->cr4 & X86_CR4_PAE)) ||
		    (emu_long_mode(v) && !(val & X86_CR0_PG)))
			return 1;
		v->cr0 = val | X86_CR0_ET;
		if (val & X86_CR0_PG && v->efer & EFER_LME)
			v->efer |= EFER_LMA;
		break;
	case 2:
		v->cr2 = val;
		return 0;
	case 3:
		v->cr3 = val & ~BIT_ULL(63);
		break;
	case 4:
		if (~val & X86_CR4_MCE || val & (X86_CR4_VMXE | X86_CR4_LA57) ||
		    (emu_long_mode(v) && !(val & X86_CR4_PAE)))
			return 1;
		v->cr4 = val | X86_CR4_VMXE;
		break;
	case 8:
		if (val & ~15ul)
			return 1;
		v->cr8 = val;
		return 0;
	default:
		return 1;
	}
	emu_flush_gtlb(v);
	return 0;
}

static int op_cpl(struct x86_emulate_ctxt *ctxt)
{
	return emu_cpl(to_v(ctxt));
}

static ulong op_get_dr(struct x86_emulate_ctxt *ctxt, int dr)
{
	return to_v(ctxt)->dr[dr & 7];
}

static ulong op_get_effective_dr7(struct x86_emulate_ctxt *ctxt)
{
	return to_v(ctxt)->dr[7];
}

static int op_set_dr(struct x86_emulate_ctxt *ctxt, int dr, ulong value)
{
	to_v(ctxt)->dr[dr & 7] = value;
	return 0;
}

static u64 *msr(struct emu_vcpu *v, u32 index)
{
	switch (index) {
	case MSR_STAR: return &v->star;
	case MSR_LSTAR: return &v->lstar;
	case MSR_SYSCALL_MASK: return &v->sfmask;
	case MSR_KERNEL_GS_BASE: return &v->kernel_gs_base;
	case MSR_FS_BASE: return &v->seg[VCPU_SREG_FS].base;
	case MSR_GS_BASE: return &v->seg[VCPU_SREG_GS].base;
	case MSR_TSC_AUX: return &v->tsc_aux;
	case MSR_IA32_CR_PAT: return &v->pat;
	case MSR_IA32_SYSENTER_CS: return &v->sysenter[0];
	case MSR_IA32_SYSENTER_ESP: return &v->sysenter[1];
	case MSR_IA32_SYSENTER_EIP: return &v->sysenter[2];
	}
	return NULL;
}

/* For the emulator's own decisions: never a #VE. */
static int op_get_msr(struct x86_emulate_ctxt *ctxt, u32 index, u64 *data)
{
	struct emu_vcpu *v = to_v(ctxt);

	*data = 0;
	if (index == MSR_EFER)
		*data = v->efer;
	else if (index == MSR_IA32_TSC)
		*data = emu_tsc(v);
	else if (msr(v, index))
		*data = *msr(v, index);
	return X86EMUL_CONTINUE;
}

/* An MSR that the module does not virtualize is the guest's own matter: #VE. */
static int op_rdmsr(struct x86_emulate_ctxt *ctxt, u32 index, u64 *data)
{
	struct emu_vcpu *v = to_v(ctxt);

	if (index == MSR_EFER || index == MSR_IA32_TSC || msr(v, index))
		return op_get_msr(ctxt, index, data);
	if (emu_x2apic_read(v, index, data))
		return X86EMUL_CONTINUE;
	/* Linux reads that before it has an IDT: the CPU's own, which cannot be written. */
	if (index == MSR_IA32_MISC_ENABLE && !rdmsrq_safe(index, data))
		return X86EMUL_CONTINUE;
	return to_x86emul(v, emu_virt_exception(v, EXIT_REASON_MSR_READ, 0, 0, 0));
}

static int op_wrmsr(struct x86_emulate_ctxt *ctxt, u32 index, u64 data)
{
	struct emu_vcpu *v = to_v(ctxt);
	u64 fixed = EFER_LME | EFER_LMA;

	if (index == MSR_EFER) {
		if ((data ^ v->efer) & fixed || data & ~(fixed | EFER_SCE | EFER_NX))
			return X86EMUL_PROPAGATE_FAULT;
		v->efer = data;
		emu_flush_gtlb(v);
		return X86EMUL_CONTINUE;
	}
	if (msr(v, index)) {
		*msr(v, index) = data;
		return X86EMUL_CONTINUE;
	}
	if (emu_x2apic_write(v, index, data))
		return X86EMUL_CONTINUE;
	return to_x86emul(v, emu_virt_exception(v, EXIT_REASON_MSR_WRITE, 0, 0, 0));
}

static int op_check_rdpmc(struct x86_emulate_ctxt *ctxt, u32 pmc)
{
	return 1;
}

static int op_read_pmc(struct x86_emulate_ctxt *ctxt, u32 pmc, u64 *data)
{
	return X86EMUL_PROPAGATE_FAULT;
}

static bool op_cpuid(struct x86_emulate_ctxt *ctxt, u32 *eax, u32 *ebx,
		     u32 *ecx, u32 *edx, bool exact_only)
{
	u32 out[4] = {};
	bool found = emu_cpuid(to_v(ctxt), *eax, *ecx, out);

	*eax = out[0];
	*ebx = out[1];
	*ecx = out[2];
	*edx = out[3];
	return found;
}

static bool op_yes(struct x86_emulate_ctxt *ctxt)
{
	return true;
}

static bool op_no(struct x86_emulate_ctxt *ctxt)
{
	return false;
}

static int op_xcr(struct x86_emulate_ctxt *ctxt, u32 index, u64 *xcr)
{
	*xcr = XFEATURE_MASK_FP;
	return 0;
}

static int op_set_xcr(struct x86_emulate_ctxt *ctxt, u32 index, u64 xcr)
{
	return 1;
}

static gva_t op_untagged(struct x86_emulate_ctxt *ctxt, gva_t addr,
			 unsigned int flags)
{
	return addr;
}

static bool op_canonical(struct x86_emulate_ctxt *ctxt, gva_t addr,
			 unsigned int flags)
{
	return __is_canonical_address(addr, 48);
}

static bool op_page_valid(struct x86_emulate_ctxt *ctxt, gpa_t gpa)
{
	return !(gpa >> to_v(ctxt)->gpaw) && PAGE_ALIGNED(gpa);
}

/*
 * The rest is intercepted before the emulator sees it (see decode.c), or
 * belongs to modes and CPUs that a TD does not have.
 */
static int not_here(struct x86_emulate_ctxt *ctxt)
{
	struct emu_vcpu *v = to_v(ctxt);

	return to_x86emul(v, emu_dead(v, "the emulator called back for something a TD has not"));
}

static void op_void(struct x86_emulate_ctxt *ctxt)
{
	not_here(ctxt);
}

static int op_in(struct x86_emulate_ctxt *ctxt, int size, unsigned short port,
		 void *val, unsigned int count)
{
	return not_here(ctxt) == X86EMUL_CONTINUE;
}

static int op_out(struct x86_emulate_ctxt *ctxt, int size, unsigned short port,
		  const void *val, unsigned int count)
{
	return not_here(ctxt) == X86EMUL_CONTINUE;
}

static int op_intercept(struct x86_emulate_ctxt *ctxt,
			struct x86_instruction_info *info,
			enum x86_intercept_stage stage)
{
	return X86EMUL_CONTINUE;
}

static void op_nmi_mask(struct x86_emulate_ctxt *ctxt, bool masked)
{
}

const struct x86_emulate_ops emu_ops = {
	.vm_bugged = op_void,
	.read_gpr = op_read_gpr,
	.write_gpr = op_write_gpr,
	.read_std = op_read_std,
	.write_std = op_write_std,
	.fetch = op_fetch,
	.read_emulated = op_read,
	.write_emulated = op_write,
	.cmpxchg_emulated = op_cmpxchg,
	.invlpg = op_invlpg,
	.pio_in_emulated = op_in,
	.pio_out_emulated = op_out,
	.get_segment = op_get_segment,
	.set_segment = op_set_segment,
	.get_cached_segment_base = op_segment_base,
	.get_gdt = op_get_gdt,
	.get_idt = op_get_idt,
	.set_gdt = op_set_gdt,
	.set_idt = op_set_idt,
	.get_cr = op_get_cr,
	.set_cr = op_set_cr,
	.cpl = op_cpl,
	.get_effective_dr7 = op_get_effective_dr7,
	.get_dr = op_get_dr,
	.set_dr = op_set_dr,
	.set_msr_with_filter = op_wrmsr,
	.get_msr_with_filter = op_rdmsr,
	.get_msr = op_get_msr,
	.check_rdpmc_early = op_check_rdpmc,
	.read_pmc = op_read_pmc,
	.halt = op_void,
	.wbinvd = op_void,
	.fix_hypercall = not_here,
	.intercept = op_intercept,
	.is_cpuid_allowed = op_yes,
	.get_cpuid = op_cpuid,
	.guest_has_movbe = op_yes,
	.guest_has_fxsr = op_no,
	.guest_has_rdpid = op_yes,
	.guest_cpuid_is_intel_compatible = op_yes,
	.set_nmi_mask = op_nmi_mask,
	.is_smm = op_no,
	.leave_smm = not_here,
	.triple_fault = op_void,
	.get_xcr = op_xcr,
	.set_xcr = op_set_xcr,
	.get_untagged_addr = op_untagged,
	.is_canonical_addr = op_canonical,
	.page_address_valid = op_page_valid,
};
