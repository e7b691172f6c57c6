// SPDX-License-Identifier: GPL-2.0
/*
 * A TD's instructions, executed in software by KVM's own emulator. What that
 * does not know, or what a TD does differently, is here: exceptions through the
 * IDT, IRET, #VE, and the walk of the guest's page tables.
 *
 * Nothing here sleeps or takes a lock. An instruction that cannot be executed is
 * an error of this equipment and kills the TD with a message that names it, so
 * that no test takes it for a result. There is no SSE and no x87: the emulator
 * would execute those in the registers of the host.
 */
#include <linux/kernel.h>
#include <linux/string.h>
#include <asm/msr-index.h>
#include <asm/processor-flags.h>
#include <asm/vmx.h>

#include "emu.h"

#define RAX	0
#define RCX	1
#define RDX	2
#define RBX	3
#define RSP	4
#define RSI	6
#define RDI	7

static struct emu_vcpu *to_v(struct x86_emulate_ctxt *ctxt)
{
	return container_of(ctxt, struct emu_vcpu, ctxt);
}

static bool long_mode(struct emu_vcpu *v)
{
	return v->efer & EFER_LMA;
}

static bool code64(struct emu_vcpu *v)
{
	return long_mode(v) && v->seg[VCPU_SREG_CS].desc.l;
}

static int cpl(struct emu_vcpu *v)
{
	return v->seg[VCPU_SREG_CS].sel & 3;
}

static enum emu_result dead(struct emu_vcpu *v, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(v->why, sizeof(v->why), fmt, args);
	va_end(args);
	return EMU_DEAD;
}

/**
 * emu_flush_gtlb() - forget what the guest's page tables said
 * @v: the vCPU
 */
void emu_flush_gtlb(struct emu_vcpu *v)
{
	int i;

	for (i = 0; i < EMU_GTLB; i++) {
		v->gtlb[i].gva = ~0ull;
		v->gtlb[i].hva = NULL;
	}
}

static enum emu_result page_fault(struct emu_vcpu *v, u64 gva, u64 error,
				  struct x86_exception *e)
{
	e->vector = PF_VECTOR;
	e->error_code_valid = true;
	e->error_code = error;
	e->address = gva;
	e->nested_page_fault = false;
	return EMU_FAULT;
}

/*
 * Walk the guest's page tables and set their accessed and dirty bits. Four
 * levels: CR4.LA57 is refused when it is written.
 */
static enum emu_result walk(struct emu_vcpu *v, u64 gva, unsigned int access,
			    bool user, u64 *gpa, struct x86_exception *e)
{
	u64 addr_mask = GENMASK_ULL(51, 12);
	u64 error = (access & TDXEMU_WRITE ? PFERR_WRITE_MASK : 0) |
		    (user ? PFERR_USER_MASK : 0);
	u64 table = v->cr3 & addr_mask, pte, set, size;
	bool writable = true, usermode = true, nx = false;
	enum emu_result r;
	int level;
	u64 *p;

	if (access & TDXEMU_EXEC && v->efer & EFER_NX)
		error |= PFERR_FETCH_MASK;

	for (level = 4; ; level--) {
		unsigned int shift = 12 + 9 * (level - 1);

		r = emu_map(v, table + ((gva >> shift) & 511) * 8,
			    TDXEMU_READ | TDXEMU_WRITE, gva, (void **)&p);
		if (r != EMU_OK)
			return r;
		pte = READ_ONCE(*p);
		if (!(pte & _PAGE_PRESENT))
			return page_fault(v, gva, error, e);
		if ((pte & addr_mask) >> v->gpaw)
			return page_fault(v, gva, error | PFERR_RSVD_MASK |
					  PFERR_PRESENT_MASK, e);
		writable &= !!(pte & _PAGE_RW);
		usermode &= !!(pte & _PAGE_USER);
		nx |= v->efer & EFER_NX && pte >> 63;
		size = BIT_ULL(shift);
		if (level == 1 || (level < 4 && pte & _PAGE_PSE))
			break;
		if (!(pte & _PAGE_ACCESSED))
			cmpxchg64(p, pte, pte | _PAGE_ACCESSED);
		table = pte & addr_mask;
	}

	error |= PFERR_PRESENT_MASK;
	if ((user && !usermode) ||
	    (access & TDXEMU_EXEC && nx) ||
	    (access & TDXEMU_EXEC && !user && usermode && v->cr4 & X86_CR4_SMEP) ||
	    (!(access & TDXEMU_EXEC) && !user && usermode && v->cr4 & X86_CR4_SMAP &&
	     !(v->rflags & X86_EFLAGS_AC)) ||
	    (access & TDXEMU_WRITE && !writable && (user || v->cr0 & X86_CR0_WP)))
		return page_fault(v, gva, error, e);

	set = _PAGE_ACCESSED | (access & TDXEMU_WRITE ? _PAGE_DIRTY : 0);
	if ((pte & set) != set)
		cmpxchg64(p, pte, pte | set);
	*gpa = (pte & addr_mask & ~(size - 1)) | (gva & (size - 1));
	return EMU_OK;
}

/*
 * One page at most. To ask the module again for a page that its TLB model still
 * has gives the same answer, and would take most of a TD's time.
 */
static enum emu_result translate(struct emu_vcpu *v, u64 gva,
				 unsigned int access, bool system,
				 void **hva, struct x86_exception *e)
{
	struct emu_gtlb *t = &v->gtlb[(gva >> 12) % EMU_GTLB];
	bool user = !system && cpl(v) == 3;
	enum emu_result r;
	u64 gpa;

	if (!(v->cr0 & X86_CR0_PG))
		return emu_map(v, (u32)gva, access, gva, hva);

	if (t->gva != gva >> 12 || (t->access & access) != access || t->user != user) {
		r = walk(v, gva, access, user, &gpa, e);
		if (r != EMU_OK)
			return r;
		if (t->gva != gva >> 12 || t->user != user ||
		    t->gpa != gpa >> 12) {
			t->access = 0;
			t->hva = NULL;
		}
		t->gva = gva >> 12;
		t->gpa = gpa >> 12;
		t->user = user;
		t->access |= access;
	}
	if (t->generation != tdxemu_tlb_generation(v->vp))
		t->hva = NULL;
	if (t->hva && (t->mapped & access) == access) {
		*hva = t->hva + offset_in_page(gva);
		return EMU_OK;
	}
	gpa = t->gpa << 12 | offset_in_page(gva);
	r = emu_map(v, gpa, access, gva, hva);
	if (r == EMU_OK && !(gpa & emu_shared_bit(v))) {
		if (!t->hva || t->generation != tdxemu_tlb_generation(v->vp))
			t->mapped = 0;
		t->mapped |= access;
		t->generation = tdxemu_tlb_generation(v->vp);
		t->hva = *hva - offset_in_page(gva);
	}
	return r;
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

/*
 * Both pages are translated before either is written, so that an instruction
 * that has to be repeated has done nothing yet.
 */
static enum emu_result access_mem(struct emu_vcpu *v, u64 gva, void *val,
				  unsigned int bytes, unsigned int access,
				  bool system, struct x86_exception *e)
{
	unsigned int first = min_t(u64, bytes, PAGE_SIZE - offset_in_page(gva));
	enum emu_result r;
	void *a, *b = NULL;

	r = translate(v, gva, access, system, &a, e);
	if (r == EMU_OK && first < bytes)
		r = translate(v, gva + first, access, system, &b, e);
	if (r != EMU_OK)
		return r;

	/* Single accesses where the CPU makes single accesses. */
	if (access & TDXEMU_WRITE) {
		switch (b || gva & (bytes - 1) ? 0 : bytes) {
		case 2: WRITE_ONCE(*(u16 *)a, *(u16 *)val); break;
		case 4: WRITE_ONCE(*(u32 *)a, *(u32 *)val); break;
		case 8: WRITE_ONCE(*(u64 *)a, *(u64 *)val); break;
		default:
			memcpy(a, val, first);
			if (b)
				memcpy(b, val + first, bytes - first);
		}
	} else {
		switch (b || gva & (bytes - 1) ? 0 : bytes) {
		case 2: *(u16 *)val = READ_ONCE(*(u16 *)a); break;
		case 4: *(u32 *)val = READ_ONCE(*(u32 *)a); break;
		case 8: *(u64 *)val = READ_ONCE(*(u64 *)a); break;
		default:
			memcpy(val, a, first);
			if (b)
				memcpy(val + first, b, bytes - first);
		}
	}
	return EMU_OK;
}

static int op_read_std(struct x86_emulate_ctxt *ctxt, unsigned long addr,
		       void *val, unsigned int bytes, struct x86_exception *e,
		       bool system)
{
	struct emu_vcpu *v = to_v(ctxt);

	return to_x86emul(v, access_mem(v, addr, val, bytes, TDXEMU_READ, system, e));
}

static int op_write_std(struct x86_emulate_ctxt *ctxt, unsigned long addr,
			void *val, unsigned int bytes, struct x86_exception *e,
			bool system)
{
	struct emu_vcpu *v = to_v(ctxt);

	return to_x86emul(v, access_mem(v, addr, val, bytes, TDXEMU_WRITE, system, e));
}

static int op_fetch(struct x86_emulate_ctxt *ctxt, unsigned long addr,
		    void *val, unsigned int bytes, struct x86_exception *e)
{
	struct emu_vcpu *v = to_v(ctxt);

	return to_x86emul(v, access_mem(v, addr, val, bytes,
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
		return to_x86emul(v, dead(v, "a locked access across pages"));
	r = translate(v, addr, TDXEMU_READ | TDXEMU_WRITE, false, &p, e);
	if (r != EMU_OK)
		return to_x86emul(v, r);

#define CMPXCHG(t) (cmpxchg((t *)p, *(t *)old, *(t *)new) == *(t *)old)
	switch (bytes) {
	case 1: done = CMPXCHG(u8); break;
	case 2: done = CMPXCHG(u16); break;
	case 4: done = CMPXCHG(u32); break;
	case 8: done = CMPXCHG(u64); break;
	default:
		return to_x86emul(v, dead(v, "a locked access of %u bytes", bytes));
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
		    (long_mode(v) && !(val & X86_CR0_PG)))
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
		    (long_mode(v) && !(val & X86_CR4_PAE)))
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
	return cpl(to_v(ctxt));
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

static enum emu_result virt_exception(struct emu_vcpu *v, u32 reason, u64 qual,
				      u64 gla, u64 gpa)
{
	v->new_ve.reason = reason;
	v->new_ve.qualification = qual;
	v->new_ve.gla = gla;
	v->new_ve.gpa = gpa;
	return EMU_VE;
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
	return to_x86emul(v, virt_exception(v, EXIT_REASON_MSR_READ, 0, 0, 0));
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
	return to_x86emul(v, virt_exception(v, EXIT_REASON_MSR_WRITE, 0, 0, 0));
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
 * The rest is intercepted before the emulator sees it (see special()), or
 * belongs to modes and CPUs that a TD does not have.
 */
static int not_here(struct x86_emulate_ctxt *ctxt)
{
	struct emu_vcpu *v = to_v(ctxt);

	return to_x86emul(v, dead(v, "the emulator called back for something a TD has not"));
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

static const struct x86_emulate_ops ops = {
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

/* Load what a gate or an interrupted frame names; flat, of privilege 0 or 3. */
static enum emu_result load_cs(struct emu_vcpu *v, u16 sel, struct x86_exception *e)
{
	struct emu_segment *s = &v->seg[VCPU_SREG_CS];
	struct desc_struct desc;
	enum emu_result r;

	if ((sel & ~7u) + 7 > v->gdt.size || sel & 4)
		return dead(v, "code segment 0x%x is not in the GDT", sel);
	r = access_mem(v, v->gdt.address + (sel & ~7u), &desc, 8, TDXEMU_READ, true, e);
	if (r != EMU_OK)
		return r;
	if (!desc.p || !desc.s || !(desc.type & 8) || !desc.l)
		return dead(v, "code segment 0x%x is not 64-bit code", sel);
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
	int n = has_error ? 6 : 5, old_cpl = cpl(v), new_cpl;
	enum emu_result r;
	u64 *f = frame;

	if (!long_mode(v))
		return EMU_FAULT;
	if (vector * 16 + 15 > v->idt.size)
		return EMU_FAULT;
	r = access_mem(v, v->idt.address + vector * 16, &gate, 16, TDXEMU_READ, true, &e);
	if (r != EMU_OK)
		return r;
	if (!(gate.type & 0x80) || (gate.type & 0xe) != 0xe)
		return EMU_FAULT;
	new_cpl = gate.sel & 3;
	if (gate.ist & 7 || new_cpl < old_cpl) {
		u64 off = gate.ist & 7 ? 0x24 + ((gate.ist & 7) - 1) * 8 : 4;

		r = access_mem(v, v->seg[VCPU_SREG_TR].base + off, &rsp, 8,
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
	r = access_mem(v, rsp, frame, n * 8, TDXEMU_WRITE, true, &e);
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

static enum emu_result triple_fault(struct emu_vcpu *v)
{
	memset(&v->exit, 0, sizeof(v->exit));
	v->exit_reason = TDX_NON_RECOVERABLE_VCPU | EXIT_REASON_TRIPLE_FAULT;
	return EMU_EXIT;
}

/* An instruction faulted; v->rip is still at it. */
static enum emu_result exception(struct emu_vcpu *v, u8 vector, bool has_error,
				 u64 error)
{
	enum emu_result r = emu_deliver(v, vector, has_error, error);

	if (r == EMU_FAULT)
		r = emu_deliver(v, DF_VECTOR, true, 0);
	return r == EMU_FAULT ? triple_fault(v) : r;
}

static enum emu_result deliver_ve(struct emu_vcpu *v, u32 length)
{
	enum emu_result r;

	/* The guest has not read what the last one was about. */
	if (tdxemu_veinfo_pending(v->vp))
		return exception(v, DF_VECTOR, true, 0);

	r = exception(v, VE_VECTOR, false, 0);
	if (r == EMU_OK)
		tdxemu_veinfo_set(v->vp, v->new_ve.reason, v->new_ve.qualification,
				  v->new_ve.gla, v->new_ve.gpa, length, 0);
	return r;
}

static enum emu_result iret(struct emu_vcpu *v, struct x86_exception *e)
{
	u64 frame[5];
	enum emu_result r;
	u64 keep;

	r = access_mem(v, v->regs[RSP], frame, sizeof(frame), TDXEMU_READ, false, e);
	if (r != EMU_OK)
		return r;
	keep = cpl(v) ? X86_EFLAGS_IF | X86_EFLAGS_IOPL : 0;
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

/*
 * REP MOVS and REP STOS, a page at a time: the emulator would take as long for
 * each byte as for another instruction. Interruptible between pages.
 */
static enum emu_result rep_string(struct emu_vcpu *v, u8 op, unsigned int size,
				  unsigned int length, struct x86_exception *e)
{
	u64 n = v->regs[RCX];
	void *dst, *src;
	enum emu_result r;

	if (n) {
		n = min_t(u64, n, (PAGE_SIZE - offset_in_page(v->regs[RDI])) / size);
		if (!n)
			return EMU_FAULT;	/* one element on two pages */
		r = translate(v, v->regs[RDI], TDXEMU_WRITE, false, &dst, e);
		if (r != EMU_OK)
			return r;
		if ((op & 0xfe) == 0xa4) {
			n = min_t(u64, n, (PAGE_SIZE - offset_in_page(v->regs[RSI])) / size);
			if (!n)
				return EMU_FAULT;
			r = translate(v, v->regs[RSI], TDXEMU_READ, false, &src, e);
			if (r != EMU_OK)
				return r;
			/* Overlapping ranges: byte by byte is what it means. */
			if (v->regs[RDI] - v->regs[RSI] < n * size) {
				n = 1;
				memmove(dst, src, size);
			} else {
				memcpy(dst, src, n * size);
			}
			v->regs[RSI] += n * size;
		} else {
			switch (size) {
			case 1: memset(dst, v->regs[RAX], n); break;
			case 2: memset16(dst, v->regs[RAX], n); break;
			case 4: memset32(dst, v->regs[RAX], n); break;
			case 8: memset64(dst, v->regs[RAX], n); break;
			}
		}
		v->regs[RDI] += n * size;
		v->regs[RCX] -= n;
	}
	if (!v->regs[RCX])
		v->rip += length;
	return EMU_OK;
}

static u64 io_qualification(struct emu_vcpu *v, u8 op, bool op16)
{
	unsigned int size = !(op & 1) ? 1 : op16 ? 2 : 4;
	u64 qual = size - 1;

	if (op == 0xe4 || op == 0xe5 || op == 0xec || op == 0xed ||
	    op == 0x6c || op == 0x6d)
		qual |= BIT(3);
	if (op >= 0x6c && op <= 0x6f)
		qual |= BIT(4);
	return qual;
}

/*
 * What does not reach the emulator, by its bytes: instructions that it does not
 * know or that a TD answers with #VE.
 *
 * Return: true if @r is the outcome.
 */
static bool special(struct emu_vcpu *v, const u8 *insn, int n, enum emu_result *r,
		    struct x86_exception *e)
{
	bool op16 = false, rep = false, repne = false;
	unsigned int rex = 0, length;
	u64 value;
	int i;

	if (!code64(v))
		return false;
	for (i = 0; i < n; i++) {
		if (insn[i] == 0x66)
			op16 = true;
		else if (insn[i] == 0xf3)
			rep = true;
		else if (insn[i] == 0xf2)
			repne = true;
		else if ((insn[i] & 0xf0) == 0x40)
			rex = insn[i];
		else
			break;
	}
	if (i >= n)
		return false;
	length = i + 1;
	*r = EMU_OK;

	switch (insn[i]) {
	case 0xf4:	/* hlt */
		if (cpl(v))
			return false;
		*r = virt_exception(v, EXIT_REASON_HLT, 0, 0, 0);
		goto ve;
	case 0xcf:	/* iretq */
		if (!(rex & 8))
			return false;
		*r = iret(v, e);
		return true;
	case 0xcc:	/* int3 */
	case 0xcd:	/* int n */
		if (insn[i] == 0xcd && i + 1 >= n)
			return false;
		length += insn[i] == 0xcd;
		v->rip += length;
		*r = exception(v, insn[i] == 0xcd ? insn[i + 1] : BP_VECTOR, false, 0);
		if (*r != EMU_OK)
			v->rip -= length;
		return true;
	case 0xa4: case 0xa5: case 0xaa: case 0xab:
		if (!rep || v->rflags & X86_EFLAGS_DF)
			return false;
		v->ve_length = length;
		*r = rep_string(v, insn[i], !(insn[i] & 1) ? 1 : rex & 8 ? 8 :
				op16 ? 2 : 4, length, e);
		/* The emulator does what spans two pages. */
		return *r != EMU_FAULT || e->vector == PF_VECTOR;
	case 0xe4: case 0xe5: case 0xe6: case 0xe7:
		if (i + 1 >= n)
			return false;
		length++;
		*r = virt_exception(v, EXIT_REASON_IO_INSTRUCTION,
				    io_qualification(v, insn[i], op16) | BIT(6) |
				    (u64)insn[i + 1] << 16, 0, 0);
		goto ve;
	case 0xec: case 0xed: case 0xee: case 0xef:
	case 0x6c: case 0x6d: case 0x6e: case 0x6f:
		*r = virt_exception(v, EXIT_REASON_IO_INSTRUCTION,
				    io_qualification(v, insn[i], op16) |
				    (rep || repne ? BIT(5) : 0) |
				    (v->regs[RDX] & 0xffff) << 16, 0, 0);
		goto ve;
	case 0x0f:
		break;
	default:
		return false;
	}

	if (i + 1 >= n)
		return false;
	length++;
	switch (insn[i + 1]) {
	case 0x08:	/* invd */
	case 0x09:	/* wbinvd */
		if (cpl(v))
			return false;
		*r = virt_exception(v, insn[i + 1] == 8 ? EXIT_REASON_INVD :
				    EXIT_REASON_WBINVD, 0, 0, 0);
		goto ve;
	case 0xa2:	/* cpuid */
	{
		u32 out[4];

		if (!emu_cpuid(v, v->regs[RAX], v->regs[RCX], out)) {
			*r = virt_exception(v, EXIT_REASON_CPUID, 0, 0, 0);
			goto ve;
		}
		v->regs[RAX] = out[0];
		v->regs[RBX] = out[1];
		v->regs[RCX] = out[2];
		v->regs[RDX] = out[3];
		v->rip += length;
		return true;
	}
	case 0xae:	/* fences: the host's CPU keeps the order already */
		if (i + 2 >= n || insn[i + 2] < 0xe8 || op16 || rep || repne)
			return false;
		mb();
		v->rip += length + 1;
		return true;
	case 0x01:
		break;
	default:
		return false;
	}

	if (i + 2 >= n)
		return false;
	length++;
	switch (insn[i + 2]) {
	case 0xcc:	/* tdcall */
		if (!op16 || i != 1)
			return false;
		v->rip += length;
		*r = cpl(v) ? EMU_FAULT : emu_tdcall(v);
		if (*r == EMU_FAULT) {
			v->rip -= length;
			e->vector = GP_VECTOR;
			e->error_code_valid = true;
			e->error_code = 0;
		} else if (*r == EMU_REPEAT) {
			v->rip -= length;
			*r = EMU_EXIT;
		}
		return true;
	case 0xc1:	/* vmcall */
		*r = virt_exception(v, EXIT_REASON_VMCALL, 0, 0, 0);
		goto ve;
	case 0xc8:	/* monitor */
		*r = virt_exception(v, EXIT_REASON_MONITOR_INSTRUCTION, 0, 0, 0);
		goto ve;
	case 0xc9:	/* mwait */
		*r = virt_exception(v, EXIT_REASON_MWAIT_INSTRUCTION, 0, 0, 0);
		goto ve;
	case 0xf8:	/* swapgs */
		if (cpl(v))
			return false;
		swap(v->kernel_gs_base, v->seg[VCPU_SREG_GS].base);
		v->rip += length;
		return true;
	case 0xf9:	/* rdtscp */
		value = emu_tsc(v);
		v->regs[RAX] = (u32)value;
		v->regs[RDX] = value >> 32;
		v->regs[RCX] = (u32)v->tsc_aux;
		v->rip += length;
		return true;
	case 0xca:	/* clac, stac */
	case 0xcb:
		v->rflags &= ~X86_EFLAGS_AC;
		if (insn[i + 2] == 0xcb)
			v->rflags |= X86_EFLAGS_AC;
		v->rip += length;
		return true;
	}
	return false;
ve:
	v->ve_length = length;
	return true;
}

static enum x86emul_mode mode(struct emu_vcpu *v)
{
	if (code64(v))
		return X86EMUL_MODE_PROT64;
	return v->seg[VCPU_SREG_CS].desc.d ? X86EMUL_MODE_PROT32 : X86EMUL_MODE_PROT16;
}

static bool host_registers(struct operand *op)
{
	return op->type == OP_XMM || op->type == OP_YMM || op->type == OP_MM;
}

static enum emu_result unknown(struct emu_vcpu *v, const u8 *insn, int n)
{
	return dead(v, "no such instruction here: %*ph at rip 0x%llx", n, insn, v->rip);
}

/**
 * emu_step() - execute one instruction
 * @v: the vCPU
 *
 * Return: EMU_OK; EMU_EXIT, with the outputs of TDH.VP.ENTER in @v; EMU_DEAD,
 * with the reason in @v->why.
 */
enum emu_result emu_step(struct emu_vcpu *v)
{
	struct x86_emulate_ctxt *ctxt = &v->ctxt;
	struct x86_exception e = { .vector = 0 };
	u64 linear = code64(v) ? v->rip : (u32)(v->seg[VCPU_SREG_CS].base + v->rip);
	int n = min_t(u64, X86_MAX_INSTRUCTION_LENGTH, PAGE_SIZE - offset_in_page(linear));
	void *bytes;
	u8 *insn;
	enum emu_result r;
	bool done;
	int rc;

	v->instructions++;
	v->ve_length = 0;
	v->shadow = false;
	r = translate(v, linear, TDXEMU_READ | TDXEMU_EXEC, false, &bytes, &e);
	insn = bytes;
	done = r != EMU_OK || special(v, insn, n, &r, &e);
	if (done && r == EMU_VE)
		return deliver_ve(v, v->ve_length);
	if (done && r == EMU_FAULT)
		goto fault;
	if (done)
		return r;

	ctxt->ops = &ops;
	ctxt->eflags = v->rflags;
	ctxt->eip = v->rip;
	ctxt->tf = false;
	ctxt->mode = mode(v);
	ctxt->gpa_available = false;
	ctxt->interruptibility = 0;
	ctxt->have_exception = false;
	ctxt->exception.vector = 0;
	ctxt->perm_ok = false;
	v->result = EMU_OK;
	emulator_invalidate_register_cache(ctxt);
	init_decode_cache(ctxt);
	rc = x86_decode_insn(ctxt, insn, n, 0);
	if (rc == EMULATION_OK && !ctxt->have_exception) {
		if (host_registers(&ctxt->src) || host_registers(&ctxt->src2) ||
		    host_registers(&ctxt->dst) ||
		    (ctxt->opcode_len == 1 && (ctxt->b == 0x9b ||
					       (ctxt->b & 0xf8) == 0xd8)))
			return unknown(v, insn, n);
		do {
			rc = x86_emulate_insn(ctxt, false);
		} while (rc == EMULATION_RESTART);
	}
	if (v->result == EMU_VE)
		return deliver_ve(v, ctxt->_eip - ctxt->eip);
	if (v->result != EMU_OK)
		return v->result;
	if (ctxt->have_exception) {
		e = ctxt->exception;
		/* UD2, and nothing else, may want its #UD. */
		if (e.vector == UD_VECTOR && !(insn[0] == 0x0f && insn[1] == 0x0b))
			return unknown(v, insn, n);
		goto fault;
	}
	if (rc != EMULATION_OK)
		return unknown(v, insn, n);
	v->rip = ctxt->eip;
	v->rflags = ctxt->eflags;
	v->shadow = ctxt->interruptibility;
	return EMU_OK;

fault:
	if (e.vector == PF_VECTOR)
		v->cr2 = e.address;
	return exception(v, e.vector, e.error_code_valid, e.error_code);
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
