// SPDX-License-Identifier: GPL-2.0
/*
 * A TD's memory as its instructions see it: its own page tables, and accesses through
 * them.
 */
#include <linux/kernel.h>
#include <linux/string.h>
#include <asm/processor-flags.h>

#include "interp.h"

/**
 * emu_dead() - this equipment cannot go on
 * @v: the vCPU
 * @fmt: why
 */
enum emu_result emu_dead(struct emu_vcpu *v, const char *fmt, ...)
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
enum emu_result emu_translate(struct emu_vcpu *v, u64 gva,
			      unsigned int access, bool system,
				 void **hva, struct x86_exception *e)
{
	struct emu_gtlb *t = &v->gtlb[(gva >> 12) % EMU_GTLB];
	bool user = !system && emu_cpl(v) == 3;
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

/*
 * Both pages are translated before either is written, so that an instruction
 * that has to be repeated has done nothing yet.
 */
enum emu_result emu_access(struct emu_vcpu *v, u64 gva, void *val,
			   unsigned int bytes, unsigned int access,
				  bool system, struct x86_exception *e)
{
	unsigned int first = min_t(u64, bytes, PAGE_SIZE - offset_in_page(gva));
	enum emu_result r;
	void *a, *b = NULL;

	r = emu_translate(v, gva, access, system, &a, e);
	if (r == EMU_OK && first < bytes)
		r = emu_translate(v, gva + first, access, system, &b, e);
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
