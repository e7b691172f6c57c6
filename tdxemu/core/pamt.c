// SPDX-License-Identifier: GPL-2.0
/* Physical pages: who owns them (PAMT), and what is left of them in caches. */

#include "core.h"

static struct tdmr *tdmr_of(u64 hpa)
{
	unsigned int i;

	for (i = 0; i < sys->nr_tdmr; i++)
		if (hpa - sys->tdmr[i].range.base < sys->tdmr[i].range.size)
			return &sys->tdmr[i];
	return NULL;
}

/**
 * pamt_at() - PAMT entry of a page
 * @hpa: the page, in a TDMR
 * @level: its size
 */
struct pamt *pamt_at(u64 hpa, unsigned int level)
{
	struct tdmr *t = tdmr_of(hpa);

	return va(t->pamt[level].base +
		  (hpa - t->range.base) / level_size(level) * sizeof(struct pamt));
}

static bool usable(u64 hpa)
{
	struct tdmr *t = tdmr_of(hpa);

	/* A page counts when the PAMT of its whole GiB is there. */
	return t && hpa < (ld(&t->next) & ~((1ull << 30) - 1)) && sys->p.page(hpa);
}

/**
 * pamt_find() - PAMT entry of the page, of whatever size, around an address
 * @hpa: the address
 * @level: returns the size
 *
 * No lock is taken. Return: NULL if the address is not TDX memory.
 */
struct pamt *pamt_find(u64 hpa, unsigned int *level)
{
	unsigned int l;

	if (!usable(hpa))
		return NULL;
	for (l = 2; l; l--)
		if (atomic_get(&pamt_at(hpa, l)->type) != PT_NDA)
			break;
	*level = l;
	return pamt_at(hpa, l);
}

/**
 * page_lock() - find and lock a page operand
 * @c: the call
 * @hpa: the operand
 * @op: OP_* for the status
 * @level: size that is expected
 * @excl: for writing
 * @r: the page
 *
 * Entries of larger pages around it are locked for reading: they cannot become
 * one page while the call lasts.
 *
 * Return: OPERAND_INVALID, OPERAND_ADDR_RANGE_ERROR, PAGE_METADATA_INCORRECT
 * (a page of another size), OPERAND_BUSY; 0.
 */
u64 page_lock(struct call *c, u64 hpa, u32 op, unsigned int level, bool excl,
	      struct page_ref *r)
{
	unsigned int l, mark = c->nr_held;
	u64 s;

	if (!aligned(hpa, PAGE) || hpa >> sys->p.phys_bits)
		return ST_OPERAND_INVALID | op;
	if (!usable(hpa))
		return ST_OPERAND_ADDR_RANGE_ERROR | op;
	if (!aligned(hpa, level_size(level)))
		return ST_OPERAND_INVALID | op;
	for (l = 2; l > level; l--) {
		struct pamt *e = pamt_at(hpa, l);

		/* PAMT.ADD may be given a page of the range that it is for. */
		if (!call_has(c, &e->lock)) {
			if (!rw_try(&e->lock, false)) {
				s = ST_OPERAND_BUSY | op;
				goto fail;
			}
			call_hold(c, &e->lock, false);
		}
		if (e->type != PT_NDA) {
			s = ST_PAGE_METADATA_INCORRECT | op;
			goto fail;
		}
	}
	r->e = pamt_at(hpa, level);
	r->hpa = hpa;
	r->level = level;
	if (fault_hit(c, TDXEMU_FAULT_BUSY, op, NULL) || !rw_try(&r->e->lock, excl)) {
		s = ST_OPERAND_BUSY | op;
		goto fail;
	}
	call_hold(c, &r->e->lock, excl);
	return 0;
fail:
	call_unlock_to(c, mark);
	return s;
}

bool page_still_dirty(const struct pamt *e)
{
	u64 w = ld(&e->word);
	struct kot *k;

	if (!(w & WB_DIRTY))
		return false;
	k = kot_of(WB_HKID(w));
	/* The key was freed since, and all its lines with it. */
	return k->gen == WB_GEN(w);
}

/*
 * Has a call that failed left its lines in a page that is now to be written with
 * the same key? Who only repeats the call need not write back in between.
 */
static bool repeated(struct call *c, const struct pamt *e, u32 op)
{
	u32 hkid = c->leaf == MNG_CREATE || !c->td ? sys->global_hkid : c->td->hkid;

	return (ld(&e->word) & WB_FAILED) && WB_HKID(ld(&e->word)) == hkid &&
	       (c->leaf == MNG_CREATE || c->leaf == MNG_ADDCX ||
		(c->leaf == MEM_PAGE_DEMOTE && op == OP_R8));
}

/* Before the host's pages are the module's: were they written back? */
static void check_written_back(struct call *c, u64 hpa, u32 op, u32 n)
{
	for (; n--; hpa += PAGE) {
		struct pamt *e = pamt_at(hpa, 0);

		if (e->type == PT_NDA && page_still_dirty(e) && !repeated(c, e, op))
			violation(c, TDXEMU_RULE_WRITE_BACK,
				  "page %0 is used again, its lines of HKID %1 are not written back",
				  hpa, WB_HKID(e->word), 0, 0);
	}
}

/**
 * page_free_operand() - a page operand that must be free
 *
 * As page_lock(), exclusive; a page that is not NDA, or of which a part is not,
 * is PAGE_METADATA_INCORRECT. With a dynamic PAMT a page of 4 KiB wants a pair,
 * and one of 2 MiB none.
 */
u64 page_free_operand(struct call *c, u64 hpa, u32 op, unsigned int level,
		      struct page_ref *r)
{
	u64 s = page_lock(c, hpa, op, level, true, r);
	bool skip;
	u32 i;

	if (s)
		return s;
	if (sys->dynamic_pamt && !level && !ld(&pamt_at(hpa, 1)->word))
		return ST_MISSING_PAMT_PAGE_PAIR | op;
	if (op == OP_R8 && fault_hit(c, TDXEMU_FAULT_R8, 0, NULL))
		return ST_PAGE_METADATA_INCORRECT | op;
	skip = c->leaf == MEM_PAGE_AUG && fault_hit(c, TDXEMU_FAULT_ALIAS, 0, NULL);
	if ((r->e->type != PT_NDA || (level && ld(&r->e->word))) && !skip)
		return ST_PAGE_METADATA_INCORRECT | op;
	for (i = 0; level && i < level_pages(level); i++)
		if (pamt_at(hpa + i * PAGE, 0)->type != PT_NDA)
			return ST_PAGE_METADATA_INCORRECT | op;
	check_written_back(c, hpa, op, level_pages(level));
	return 0;
}

/**
 * page_assign() - the module takes a page
 * @r: the page, locked for writing
 * @type: PT_*
 * @td: its owner; NULL: none, a TDR or a page of the PAMT
 * @gpn: where it is mapped, or linked: guest page number
 */
void page_assign(struct page_ref *r, u8 type, struct tdxemu_td *td, u64 gpn)
{
	struct pamt *e = r->e;
	u32 i;

	if (td && type == PT_REG && e->type == PT_REG)
		violation(NULL, TDXEMU_RULE_ALIAS,
			  "page %0 of TD %1 is mapped at %2 and now at %3",
			  r->hpa, (u64)e->owner * PAGE,
			  (ld(&e->word) & GPN_MASK) * PAGE, gpn * PAGE);
	for (i = 0; r->level && i < level_pages(r->level); i++)
		st(&pamt_at(r->hpa + i * PAGE, 0)->word, 0);
	e->owner = td ? td->pa / PAGE : 0;
	st(&e->word, gpn & GPN_MASK);
	atomic_set_to(&e->type, type);
	if (td)
		atomic_add(&td->pages, level_pages(r->level));
	if (sys->p.owned)
		sys->p.owned(r->hpa, level_pages(r->level), true);
}

/*
 * The host gets its page back. What it reads there was written with a key that
 * it has not: nothing that it can rely on, and certainly no zeros.
 */
void page_give_back(u64 hpa, u32 nr)
{
	u32 i;

	for (i = 0; i < nr; i++)
		memset(va(hpa + i * PAGE), 0xd1, PAGE);
	if (sys->p.owned)
		sys->p.owned(hpa, nr, false);
}

/**
 * page_release() - a page is free again, for the module
 * @r: the page, locked for writing
 * @td: its owner; NULL: none
 * @hkid: the key it was used with
 * @dirty: the host has to write it back before it uses it
 */
void page_release(struct page_ref *r, struct tdxemu_td *td, u32 hkid, bool dirty)
{
	u64 word = 0;
	u32 i;

	if (dirty) {
		word = WB_DIRTY | (u64)hkid << 32 | kot_of(hkid)->gen;
		atomic_add(&kot_of(hkid)->dirty, level_pages(r->level));
	}
	r->e->owner = 0;
	st(&r->e->word, 0);
	for (i = 0; i < level_pages(r->level); i++)
		st(&pamt_at(r->hpa + i * PAGE, 0)->word, word);
	atomic_set_to(&r->e->type, PT_NDA);
	if (td)
		atomic_add(&td->pages, -(s64)level_pages(r->level));
	if (!dirty)
		page_give_back(r->hpa, level_pages(r->level));
}

/**
 * page_written() - a call fails that has written a page with the TD's key
 * @r: the page, 4 KiB, free, locked for writing; it stays free
 * @hkid: the key
 *
 * The host has to write it back as if the module had owned it.
 */
void page_written(struct page_ref *r, u32 hkid)
{
	bool known = ld(&r->e->word) & WB_DIRTY;

	atomic_add(&kot_of(hkid)->dirty, 1);
	st(&r->e->word, WB_DIRTY | WB_FAILED | (u64)hkid << 32 | kot_of(hkid)->gen);
	if (!known && sys->p.owned)
		sys->p.owned(r->hpa, 1, true);
}

void set_bepoch(struct pamt *e, u64 epoch)
{
	st(&e->word, (ld(&e->word) & GPN_MASK) | epoch << BEPOCH_SHIFT);
}

/**
 * pages_all_written_back() - a key is about to be freed
 * @hkid: the key; the caches of all packages have been written back
 *
 * The host gets back what it never wrote back page by page, there is nothing of it
 * in caches any more. Pages that are mapped stay with the module.
 */
void pages_all_written_back(u32 hkid)
{
	struct kot *k = kot_of(hkid);
	u64 hpa, end, w, dirty = WB_DIRTY | (u64)hkid << 32 | k->gen;
	unsigned int i;

	if (!atomic_get(&k->dirty))
		return;
	atomic_set_to(&k->dirty, 0);
	for (i = 0; i < sys->nr_tdmr; i++) {
		struct tdmr *t = &sys->tdmr[i];

		end = ld(&t->next);
		for (hpa = t->range.base; hpa < end; hpa += PAGE) {
			struct pamt *e = pamt_at(hpa, 0);

			w = ld(&e->word);
			if (atomic_get(&e->type) == PT_NDA && (w & ~WB_FAILED) == dirty &&
			    __atomic_compare_exchange_n(&e->word, &w, 0, false,
							__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
				page_give_back(hpa, 1);
		}
	}
}

/*
 * Dynamic PAMT. 2 MiB of memory have PAMT entries of 4 KiB when the host has given a
 * pair of pages for them. Which pair is noted in the entry of 2 MiB; the entries
 * themselves stay where they are without that, so that the oracle goes on with what
 * it knows of pages: the module says that it wants that much per page.
 */

/* The 2 MiB around a page that comes to a pair, or leaves it: one call at a time. */
static bool pairs_lock(struct call *c, u64 hpa)
{
	u8 *l = &pamt_at(hpa, 1)->pairs;
	unsigned int i;

	for (i = 0; i < c->nr_held; i++)
		if (c->held[i].pairs == l)
			return true;
	if (__atomic_exchange_n(l, 1, __ATOMIC_ACQUIRE))
		return false;
	c->held[c->nr_held++] = (struct held){ .pairs = l };
	return true;
}

static u64 pair_page(struct call *c, u64 hpa, u32 op, u8 type, struct page_ref *r)
{
	u64 s = page_lock(c, hpa, op, 0, true, r);

	if (s)
		return s;
	if (!pairs_lock(c, hpa))
		return ST_OPERAND_BUSY | op;
	return r->e->type == type ? 0 : ST_PAGE_METADATA_INCORRECT | op;
}

/**
 * pair_get() - two free pages for the PAMT
 * @c: the call
 * @p0: the first, @op0 its operand
 * @p1: the second, @op1 its operand
 * @pair: the pages, locked
 *
 * They have no PAMT entries of their own to be found in: they need no pair.
 */
u64 pair_get(struct call *c, u64 p0, u32 op0, u64 p1, u32 op1, struct page_ref pair[2])
{
	u64 s = pair_page(c, p0, op0, PT_NDA, &pair[0]);

	if (!s)
		s = pair_page(c, p1, op1, PT_NDA, &pair[1]);
	if (s)
		return s;
	check_written_back(c, p0, op0, 1);
	check_written_back(c, p1, op1, 1);
	return 0;
}

/**
 * pair_lock() - the pair that there is for 2 MiB
 * @c: the call
 * @hpa: the 2 MiB, locked for writing, no large page
 * @pair: the pages, locked
 */
u64 pair_lock(struct call *c, u64 hpa, struct page_ref pair[2])
{
	u64 word = ld(&pamt_at(hpa, 1)->word);
	u64 s = pair_page(c, (u32)word * PAGE, OP_RCX, PT_PAMT, &pair[0]);

	return s ? s : pair_page(c, (word >> 32) * PAGE, OP_RCX, PT_PAMT, &pair[1]);
}

/* A pair comes to the entry of 2 MiB, which is no large page any more. */
void pair_attach(struct pamt *e, struct page_ref pair[2])
{
	page_assign(&pair[0], PT_PAMT, NULL, 0);
	page_assign(&pair[1], PT_PAMT, NULL, 0);
	st(&e->word, pair[0].hpa / PAGE | pair[1].hpa / PAGE << 32);
}

/* It was written with the module's key, which leaves no lines that hurt. */
void pair_detach(struct page_ref pair[2])
{
	page_release(&pair[0], NULL, 0, false);
	page_release(&pair[1], NULL, 0, false);
}
