// SPDX-License-Identifier: GPL-2.0
/* PHYMEM leaves. */

#include "core.h"

/* RCX of PAMT.ADD and PAMT.REMOVE: 2 MiB of TDX memory, locked for writing. */
static u64 pamt_range(struct call *c, struct page_ref *r)
{
	if (!sys->dynamic_pamt)
		return ST_OPERAND_INVALID | OP_RAX;
	if ((c->rcx & 7) != 1)
		return ST_OPERAND_INVALID | OP_RCX;
	return page_lock(c, c->rcx & ~7ull, OP_RCX, 1, true, r);
}

u64 phymem_pamt_add(struct call *c)
{
	struct page_ref r, pair[2];
	u64 s = pamt_range(c, &r);

	if (s)
		return s;
	if (r.e->type != PT_NDA || ld(&r.e->word))
		return ST_HPA_RANGE_NOT_FREE | OP_RCX;
	s = pair_get(c, c->rdx, OP_RDX, c->r8, OP_R8, pair);
	if (!s)
		pair_attach(r.e, pair);
	return s;
}

u64 phymem_pamt_remove(struct call *c)
{
	struct page_ref r, pair[2];
	u64 s = pamt_range(c, &r);
	u32 i;

	if (s)
		return s;
	if (r.e->type != PT_NDA || !ld(&r.e->word))
		return ST_PAGE_METADATA_INCORRECT | OP_RCX;
	for (i = 0; i < 512; i++) {
		u8 type = pamt_at(r.hpa + i * PAGE, 0)->type;

		/* Pages of a pair need none. */
		if (type != PT_NDA && type != PT_RSVD && type != PT_PAMT)
			return ST_HPA_RANGE_NOT_FREE | OP_RCX;
	}
	s = pair_lock(c, r.hpa, pair);
	if (s)
		return s;
	st(&r.e->word, 0);
	pair_detach(pair);
	c->a->rdx = pair[0].hpa;
	c->a->r8 = pair[1].hpa;
	return 0;
}

u64 phymem_page_rdmd(struct call *c)
{
	unsigned int level = 0;
	struct page_ref r;
	u64 s;

	if (!aligned(c->rcx, PAGE) || c->rcx >> sys->p.phys_bits)
		return ST_OPERAND_INVALID | OP_RCX;
	if (!pamt_find(c->rcx, &level))
		return ST_OPERAND_ADDR_RANGE_ERROR | OP_RCX;
	/* The page around the address, of whatever size. */
	s = page_lock(c, c->rcx & ~(level_size(level) - 1), OP_RCX, level, false, &r);
	if (s)
		return s;
	c->a->rcx = r.e->type;
	c->a->rdx = (u64)r.e->owner * PAGE;
	c->a->r8 = level;
	c->a->r9 = r.e->type == PT_REG || r.e->type == PT_EPT ? bepoch(r.e) : 0;
	c->a->r10 = c->a->r11 = 0;
	return 0;
}

static u64 reclaim_tdr(struct call *c, struct page_ref *r)
{
	struct tdxemu_td *td = va(r->hpa);

	c->td = td;
	/* The order: a TD that is alive has pages, too. */
	if (td->lifecycle != LC_TEARDOWN)
		return ST_LIFECYCLE_STATE_INCORRECT;
	if (td->chldcnt)
		return ST_TD_ASSOCIATED_PAGES_EXIST;
	if (td->pages)
		violation(c, TDXEMU_RULE_CHLDCNT,
			  "TD %0 is gone, %1 of its pages are not given back, CHLDCNT is %2",
			  td->pa, td->pages, td->chldcnt, 0);
	td_unlink(td);
	c->td = NULL;
	td->magic = 0;
	page_release(r, NULL, sys->global_hkid, true);
	return 0;
}

u64 phymem_page_reclaim(struct call *c)
{
	struct tdxemu_td *td;
	struct page_ref r, tdr;
	unsigned int level = 0;
	u64 s, hpa = c->rcx;
	u8 type;

	if (!aligned(hpa, PAGE) || hpa >> sys->p.phys_bits)
		return ST_OPERAND_INVALID | OP_RCX;
	if (!pamt_find(hpa, &level))
		return ST_OPERAND_ADDR_RANGE_ERROR | OP_RCX;
	s = page_lock(c, hpa, OP_RCX, level, true, &r);
	if (s)
		return s;
	type = r.e->type;
	c->a->rcx = type;
	c->a->rdx = (u64)r.e->owner * PAGE;
	c->a->r8 = level;
	if (type == PT_NDA || type == PT_RSVD || type == PT_PAMT)
		return ST_PAGE_METADATA_INCORRECT | OP_RCX;
	if (type == PT_TDR)
		return reclaim_tdr(c, &r);
	s = page_lock(c, (u64)r.e->owner * PAGE, OP_TDR, 0, false, &tdr);
	if (s)
		return s;
	td = va(tdr.hpa);
	if (tdr.e->type != PT_TDR || td->magic != TD_MAGIC) {
		violation(c, TDXEMU_RULE_CONTENTS, "TDR %0 of page %1 is no TDR",
			  tdr.hpa, hpa, 0, 0);
		return ST_PAGE_METADATA_INCORRECT | OP_TDR;
	}
	c->td = td;
	if (td->lifecycle != LC_TEARDOWN)
		return ST_LIFECYCLE_STATE_INCORRECT;
	if (type == PT_TDVPR)
		vp_gone(va(hpa));
	atomic_add(&td->chldcnt, -(s64)level_pages(level));
	page_release(&r, td, td->hkid, false);
	return 0;
}

u64 phymem_page_wbinvd(struct call *c)
{
	u64 hpa = c->rcx & ((1ull << sys->p.phys_bits) - 1);
	u64 hkid = c->rcx >> sys->p.phys_bits, w;
	struct page_ref r;
	u64 s;

	/* The module does not look at the HKID; that it is the right one is our rule. */
	s = page_lock(c, hpa, OP_RCX, 0, false, &r);
	if (s)
		return s;
	if (r.e->type != PT_NDA)
		return ST_PAGE_METADATA_INCORRECT | OP_RCX;
	w = ld(&r.e->word);
	if (!(w & WB_DIRTY))
		return 0;
	if (page_still_dirty(r.e) && WB_HKID(w) != hkid) {
		violation(c, TDXEMU_RULE_WRONG_HKID,
			  "page %0 is written back with HKID %1, it was used with %2",
			  hpa, hkid, WB_HKID(w), 0);
		return 0;
	}
	/* Two at a time: only the one that finds it dirty gives it back. */
	if (__atomic_compare_exchange_n(&r.e->word, &w, 0, false, __ATOMIC_ACQ_REL,
					__ATOMIC_RELAXED)) {
		atomic_add(&kot_of(WB_HKID(w))->dirty, -1);
		page_give_back(hpa, 1);
	}
	return 0;
}

/* The HKIDs, by index, that a CACHE.WB which starts now is for. */
static u64 flushed_keys(void)
{
	u64 keys = 0;
	unsigned int i;

	for (i = 0; i < TDXEMU_MAX_KEYIDS; i++)
		if (sys->kot[i].state == KOT_FLUSHED)
			keys |= 1ull << i;
	return keys;
}

/*
 * Packages don't get in each other's way, and a package may do it again. Real
 * hardware polls for interrupts here. The kernel calls this with interrupts off
 * and gives up after 10000 rounds, so only an ordered fault interrupts it.
 */
u64 phymem_cache_wb(struct call *c)
{
	unsigned int package = sys->p.package(c->cpu), i;
	u64 bit = 1ull << package, keys, s;

	if (c->rcx > 1)
		return ST_OPERAND_INVALID | OP_RCX;
	s = call_lock(c, &sys->wb_lock[package], true, OP_WBCACHE,
		      ST_OPERAND_BUSY | OP_WBCACHE);
	if (!s)
		s = kot_lock(c, false);
	if (s)
		return s;
	keys = c->rcx ? sys->wb_noted[package] : flushed_keys();
	sys->wb_noted[package] = 0;
	if (!keys)
		return c->rcx ? ST_WBCACHE_RESUME_ERROR : ST_NO_HKID_READY_TO_WBCACHE;
	if (fault_hit(c, TDXEMU_FAULT_RESUMABLE, 0, NULL)) {
		sys->wb_noted[package] = keys;
		return ST_INTERRUPTED_RESUMABLE;
	}
	for (i = 0; i < TDXEMU_MAX_KEYIDS; i++) {
		struct kot *k = &sys->kot[i];

		if (!(keys >> i & 1) || k->state != KOT_FLUSHED)
			continue;
		__atomic_and_fetch(&k->wb, ~bit, __ATOMIC_ACQ_REL);
		__atomic_and_fetch(&k->oracle_wb, ~bit, __ATOMIC_ACQ_REL);
	}
	return 0;
}
