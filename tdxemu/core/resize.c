// SPDX-License-Identifier: GPL-2.0
/* MEM leaves that make one large leaf into 512 small ones, and back. */

#include "core.h"

/*
 * Bit 51 of features0 promises that DEMOTE is not interrupted while the TD has no
 * L2 VMs, and there are none here. PROMOTE makes no such promise.
 */
static bool interrupted(struct call *c)
{
	if (fault_hit(c, TDXEMU_FAULT_RESTARTABLE, 0, NULL))
		return true;
	if (c->leaf == MEM_PAGE_DEMOTE && (sys->p.features0 & TDXEMU_F0_ENHANCED_DEMOTE))
		return false;
	return sys->p.irq_pending && sys->p.irq_pending();
}

static u64 restart(struct call *c)
{
	c->a->rcx = c->rcx;
	c->a->rdx = c->rdx;
	return ST_INTERRUPTED_RESTARTABLE;
}

static u64 begin(struct call *c, u64 *gpa, struct sept_ref *r)
{
	/* Bit 0 of DEMOTE: where L2 pages go. There are none, so it has no effect. */
	u64 flags = c->rdx & (PAGE - 1) & ~(c->leaf == MEM_PAGE_DEMOTE ? 1ull : 0);
	unsigned int level;
	u64 s;

	c->a->rcx = c->a->rdx = 0;
	if (flags)
		return ST_OPERAND_INVALID | OP_RDX;
	s = td_get(c, c->rdx & ~(PAGE - 1), OP_RDX, false, BUILD_OR_RUN);
	if (s)
		return s;
	s = sept_operand(c, c->rcx, 1, 2, gpa, &level);
	/* PROMOTE takes a table out of the tree. */
	if (!s)
		s = sept_lock_tree(c, c->leaf == MEM_PAGE_PROMOTE);
	if (!s)
		s = sept_find(c, *gpa, level, r);
	return s;
}

/* The large PAMT entry is locked for writing: nobody else is at the small ones. */
static void pamt_demote(struct tdxemu_td *td, u64 hpa, unsigned int level, u64 gpa)
{
	u64 step = level_size(level - 1);
	unsigned int i;

	for (i = 0; i < 512; i++) {
		struct pamt *e = pamt_at(hpa + i * step, level - 1);

		e->owner = td->pa / PAGE;
		st(&e->word, (gpa + i * step) / PAGE);
		atomic_set_to(&e->type, PT_REG);
	}
	pamt_at(hpa, level)->owner = 0;
	st(&pamt_at(hpa, level)->word, 0);
	atomic_set_to(&pamt_at(hpa, level)->type, PT_NDA);
}

/* Does it need a pair of pages to be 4 KiB pages? */
static bool small_entries(const struct sept_ref *r)
{
	return sys->dynamic_pamt && r->level == 1;
}

u64 mem_page_demote(struct call *c)
{
	u64 gpa, hpa, s, e, *table, step;
	struct page_ref page, large, pair[2];
	struct tdxemu_td *td;
	struct sept_ref r;
	unsigned int i;

	s = begin(c, &gpa, &r);
	if (s)
		return s;
	td = c->td;
	if (!e_is_leaf(r.e))
		return sept_wrong_state(c, &r);
	if (r.level == 1)
		r.e &= ~E_ACCEPT;
	hpa = r.e & E_ADDR;
	s = sept_check_blocked(c, &r, pamt_at(hpa, r.level), hpa, gpa, OP_RCX);
	if (s)
		return s;
	s = page_free_operand(c, c->r8, OP_R8, 0, &page);
	if (s)
		return s;
	/* From here on the new page is scribbled on, even if the call fails. */
	step = level_size(r.level - 1);
	table = va(c->r8);
	e = sept_unblocked(r.e);
	for (i = 0; i < 512; i++)
		st(&table[i], e + i * step);
	if (interrupted(c)) {
		page_written(&page, td->hkid);
		return restart(c);
	}
	/* 2 MiB come to have entries of 4 KiB. */
	if (small_entries(&r)) {
		s = pair_get(c, c->a->r12, OP_R12, c->a->r13, OP_R13, pair);
		if (s) {
			page_written(&page, td->hkid);
			return s;
		}
	}
	s = page_lock(c, hpa, OP_RCX, r.level, true, &large);
	if (s) {
		page_written(&page, td->hkid);
		return sept_info(c, &r, s);
	}
	tlb_stale(c, td, hpa, r.level);
	pamt_demote(td, hpa, r.level, gpa);
	if (small_entries(&r))
		pair_attach(large.e, pair);
	page_assign(&page, PT_EPT, td, gpa / PAGE);
	atomic_add(&td->chldcnt, 1);
	if (fault_hit(c, TDXEMU_FAULT_CHILD_STATE, 0, NULL))
		st(&table[7], (table[7] & ~E_RWX) | E_BLOCKED);
	if (fault_hit(c, TDXEMU_FAULT_CHILD_HPA, 0, NULL)) {
		e = table[3];
		st(&table[3], table[4]);
		st(&table[4], e);
	}
	/* Before guests get at them: they ACCEPT children at once. */
	oracle_demoted(c, &r, gpa, table, sept_state(sept_unblocked(e)));
	sept_set(td, &r, E_SVE | E_RWX | c->r8);
	return 0;
}

/*
 * Do the children make one leaf? They are not locked: the range is blocked and tracked,
 * no ACCEPT can be among them. One that is locked, or waited for, differs.
 */
static bool mergeable(struct tdxemu_td *td, u64 *table, unsigned int level, u64 *first)
{
	u64 e = ld(&table[0]), step = level_size(level - 1);
	unsigned int i;
	u8 state = sept_state(e);

	*first = e;
	if ((state != S_MAPPED && state != S_PENDING) || (e & (E_LOCK | E_HOST)) ||
	    !aligned(e & E_ADDR, level_size(level)))
		return false;
	for (i = 0; i < 512; i++) {
		struct pamt *p;

		if (ld(&table[i]) != e + i * step)
			return false;
		p = pamt_at((e & E_ADDR) + i * step, level - 1);
		if (p->type != PT_REG || p->owner != td->pa / PAGE)
			return false;
	}
	return true;
}

static void pamt_promote(struct tdxemu_td *td, u64 hpa, unsigned int level, u64 gpa)
{
	u64 step = level_size(level - 1);
	unsigned int i;

	pamt_at(hpa, level)->owner = td->pa / PAGE;
	st(&pamt_at(hpa, level)->word, gpa / PAGE);
	atomic_set_to(&pamt_at(hpa, level)->type, PT_REG);
	for (i = 0; i < 512; i++) {
		struct pamt *e = pamt_at(hpa + i * step, level - 1);

		e->owner = 0;
		st(&e->word, 0);
		atomic_set_to(&e->type, PT_NDA);
	}
}

u64 mem_page_promote(struct call *c)
{
	u64 gpa, s, hpa, e, *table;
	struct page_ref page, large, pair[2];
	struct tdxemu_td *td;
	struct sept_ref r;

	s = begin(c, &gpa, &r);
	if (s)
		return s;
	td = c->td;
	if (e_is_leaf(r.e) || sept_state(r.e) == S_FREE)
		return sept_wrong_state(c, &r);
	hpa = r.e & E_ADDR;
	s = page_lock(c, hpa, OP_RCX, 0, true, &page);
	if (!s)
		s = sept_check_blocked(c, &r, pamt_at(hpa, 0), hpa, gpa, OP_RCX);
	if (s)
		return s;
	table = va(hpa);
	if (!mergeable(td, table, r.level, &e))
		return sept_info(c, &r, ST_EPT_INVALID_PROMOTE_CONDITIONS | OP_RCX);
	if (interrupted(c))
		return restart(c);
	s = page_lock(c, e & E_ADDR, OP_RCX, r.level, true, &large);
	if (!s && small_entries(&r))
		s = pair_lock(c, e & E_ADDR, pair);
	if (s)
		return sept_info(c, &r, s);
	tlb_stale(c, td, e & E_ADDR, r.level);
	pamt_promote(td, e & E_ADDR, r.level, gpa);
	sept_set(td, &r, e);
	page_release(&page, td, td->hkid, true);
	atomic_add(&td->chldcnt, -1);
	c->a->rcx = hpa;
	if (small_entries(&r)) {
		pair_detach(pair);
		c->a->r12 = pair[0].hpa;
		c->a->r13 = pair[1].hpa;
	}
	/* Tables of L2 VMs. */
	if (c->version)
		c->a->r9 = c->a->r10 = c->a->r11 = ~0ull;
	return 0;
}
