// SPDX-License-Identifier: GPL-2.0
/* MEM leaves, less those that change the size of a page. */

#include "core.h"

/* TD, operand, tree lock, entry lock: how all MEM leaves begin. */
static u64 mem_begin(struct call *c, bool td_excl, unsigned int op_states,
		     unsigned int min, unsigned int max, bool tree_excl,
		     u64 *gpa, struct sept_ref *r)
{
	u64 s;
	unsigned int level;

	s = td_get(c, c->rdx, OP_RDX, td_excl, op_states);
	c->a->rcx = c->a->rdx = 0;
	if (s)
		return s;
	s = sept_operand(c, c->rcx, min, max, gpa, &level);
	if (!s)
		s = sept_lock_tree(c, tree_excl);
	if (!s)
		s = sept_find(c, *gpa, level, r);
	return s;
}

u64 mem_sept_add(struct call *c)
{
	struct sept_ref r;
	struct page_ref page;
	u64 gpa, s, *table;
	unsigned int i;

	s = mem_begin(c, false, BUILD_OR_RUN, 1, 4, false, &gpa, &r);
	if (s)
		return s;
	/* Version 1 allows NL_MAPPED for L2 VMs, which are not modelled. */
	if (sept_state(r.e) != S_FREE)
		return sept_wrong_state(c, &r);
	s = page_free_operand(c, c->r8, OP_R8, 0, &page);
	if (s)
		return s;
	page_assign(&page, PT_EPT, c->td, gpa / PAGE);
	table = va(c->r8);
	for (i = 0; i < 512; i++)
		st(&table[i], E_FREE);
	atomic_add(&c->td->chldcnt, 1);
	sept_set(c->td, &r, E_SVE | E_RWX | c->r8);
	return 0;
}

u64 mem_page_add(struct call *c)
{
	struct sept_ref r;
	struct page_ref page;
	u64 gpa, s, src = c->a->r9;

	s = mem_begin(c, true, STATE(TD_INITIALIZED), 0, 0, false, &gpa, &r);
	if (s)
		return s;
	if (!aligned(src, PAGE) || src >> sys->p.phys_bits || !sys->p.page(src))
		return ST_OPERAND_INVALID | OP_R9;
	if (sept_state(r.e) != S_FREE)
		return sept_wrong_state(c, &r);
	s = page_free_operand(c, c->r8, OP_R8, 0, &page);
	if (s)
		return s;
	/* Source and target may be one page: ADD then encrypts it in place. */
	page_assign(&page, PT_REG, c->td, gpa / PAGE);
	memmove(va(c->r8), va(src), PAGE);
	atomic_add(&c->td->chldcnt, 1);
	sept_set(c->td, &r, E_LEAF | E_RWX | c->r8);
	return 0;
}

u64 mem_page_aug(struct call *c)
{
	struct sept_ref r;
	struct page_ref page;
	u64 gpa, s;

	s = mem_begin(c, false, BUILD_OR_RUN, 0, 1, false, &gpa, &r);
	if (s)
		return s;
	if (sept_state(r.e) != S_FREE)
		return sept_wrong_state(c, &r);
	s = page_free_operand(c, c->r8, OP_R8, r.level, &page);
	if (s)
		return s;
	page_assign(&page, PT_REG, c->td, gpa / PAGE);
	if (!fault_hit(c, TDXEMU_FAULT_CHLDCNT, 0, NULL))
		atomic_add(&c->td->chldcnt, level_pages(r.level));
	sept_set(c->td, &r, E_LEAF | E_PENDING | c->r8);
	return 0;
}

u64 mem_range_block(struct call *c)
{
	struct sept_ref r;
	u64 gpa, s;

	s = mem_begin(c, false, BUILD_OR_RUN, 0, 4, true, &gpa, &r);
	if (s)
		return s;
	if (sept_state(r.e) == S_FREE)
		return sept_wrong_state(c, &r);
	if (entry_blocked(r.e))
		return sept_info(c, &r, ST_GPA_RANGE_ALREADY_BLOCKED | OP_RCX);
	r.e = sept_without_progress(r.e, r.level);
	/* The entry first: a vCPU that is counted in this epoch may still use it. */
	sept_set(c->td, &r, (r.e & ~E_RWX) | E_BLOCKED);
	set_bepoch(sept_target(&r), ld(&c->td->epoch));
	return 0;
}

u64 mem_range_unblock(struct call *c)
{
	struct sept_ref r;
	u64 gpa, s;

	s = mem_begin(c, false, BUILD_OR_RUN, 0, 4, true, &gpa, &r);
	if (s)
		return s;
	if (!entry_blocked(r.e))
		return sept_wrong_state(c, &r);
	s = sept_check_blocked(c, &r, sept_target(&r), r.e & E_ADDR, gpa, OP_RCX);
	if (s)
		return s;
	sept_set(c->td, &r, sept_unblocked(r.e));
	return 0;
}

u64 mem_track(struct call *c)
{
	u64 s = td_get(c, c->rcx, OP_RCX, false, BUILD_OR_RUN);
	struct tdxemu_td *td = c->td;

	if (s)
		return s;
	s = call_lock(c, &td->epoch_lock, true, OP_EPOCH, ST_OPERAND_BUSY | OP_EPOCH);
	if (s)
		return s;
	if (fault_hit(c, TDXEMU_FAULT_EPOCH_BUSY, 0, NULL) ||
	    atomic_get(&td->refcount[1 - (td->epoch & 1)]))
		return ST_PREVIOUS_TLB_EPOCH_BUSY;
	if (td->epoch + 1 == EPOCH_MAX) {
		/* The model packs BEPOCH into 24 bits. */
		violation(c, TDXEMU_RULE_CONTENTS, "TD %0: more epochs than are modelled",
			  td->pa, 0, 0, 0);
		return ST_OPERAND_BUSY | OP_EPOCH;
	}
	st(&td->epoch, td->epoch + 1);
	return 0;
}

u64 mem_page_remove(struct call *c)
{
	struct sept_ref r;
	struct page_ref page;
	struct tdxemu_td *td;
	u64 gpa, s, hpa;

	s = mem_begin(c, false, BUILD_OR_RUN, 0, 2, false, &gpa, &r);
	if (s)
		return s;
	td = c->td;
	if (!e_is_leaf(r.e))
		return sept_wrong_state(c, &r);
	r.e = sept_without_progress(r.e, r.level);
	hpa = r.e & E_ADDR;
	s = page_lock(c, hpa, OP_RCX, r.level, true, &page);
	if (!s)
		s = sept_check_blocked(c, &r, sept_target(&r), hpa, gpa, OP_RCX);
	if (s)
		return s;
	tlb_stale(c, td, hpa, r.level);
	sept_set(td, &r, E_FREE);
	atomic_add(&td->chldcnt, -(s64)level_pages(r.level));
	page_release(&page, td, td->hkid, true);
	c->a->rcx = hpa;
	return 0;
}

u64 mem_sept_remove(struct call *c)
{
	struct sept_ref r;
	struct page_ref page;
	struct tdxemu_td *td;
	u64 gpa, s, hpa, *table;
	unsigned int i;

	s = mem_begin(c, false, BUILD_OR_RUN, 1, 4, true, &gpa, &r);
	if (s)
		return s;
	td = c->td;
	if (e_is_leaf(r.e) || sept_state(r.e) == S_FREE)
		return sept_wrong_state(c, &r);
	hpa = r.e & E_ADDR;
	s = page_lock(c, hpa, OP_RCX, 0, true, &page);
	if (!s)
		s = sept_check_blocked(c, &r, sept_target(&r), hpa, gpa, OP_RCX);
	if (s)
		return s;
	table = va(hpa);
	for (i = 0; i < 512; i++)
		if ((ld(&table[i]) & ~E_HOST) != E_FREE)
			return ST_EPT_PAGE_NOT_FREE | OP_RCX;
	sept_set(td, &r, E_FREE);
	atomic_add(&td->chldcnt, -1);
	page_release(&page, td, td->hkid, true);
	c->a->rcx = hpa;
	return 0;
}

u64 mem_sept_rd(struct call *c)
{
	struct sept_ref r;
	u64 gpa, s;

	s = mem_begin(c, false, BUILD_OR_RUN, 0, 4, false, &gpa, &r);
	if (s)
		return s;
	s = sept_info(c, &r, 0);
	/* Where tables are, and what is dirty, is the module's own affair. */
	c->a->rcx &= ~(e_is_leaf(r.e) ? E_D : E_ADDR);
	return s;
}

u64 mem_page_relocate(struct call *c)
{
	struct sept_ref r;
	struct page_ref old, page;
	struct tdxemu_td *td;
	u64 gpa, s, hpa;

	s = mem_begin(c, false, BUILD_OR_RUN, 0, 0, false, &gpa, &r);
	if (s)
		return s;
	td = c->td;
	if (!e_is_leaf(r.e))
		return sept_wrong_state(c, &r);
	hpa = r.e & E_ADDR;
	s = sept_check_blocked(c, &r, sept_target(&r), hpa, gpa, OP_RCX);
	if (s)
		return s;
	s = page_free_operand(c, c->r8, OP_R8, 0, &page);
	if (s)
		return s;
	s = page_lock(c, hpa, OP_RCX, 0, true, &old);
	if (s)
		return sept_info(c, &r, s);
	tlb_stale(c, td, hpa, 0);
	page_assign(&page, PT_REG, td, gpa / PAGE);
	memcpy(va(c->r8), va(hpa), PAGE);
	sept_set(td, &r, sept_unblocked((r.e & ~E_ADDR) | c->r8));
	page_release(&old, td, td->hkid, true);
	c->a->rcx = hpa;
	return 0;
}
