// SPDX-License-Identifier: GPL-2.0
/*
 * The S-EPT: entries in the format of an EPT, in the pages that the host handed
 * over, with what the module adds in bits that hardware ignores.
 */

#include "core.h"

u8 sept_state(u64 e)
{
	if (!(e & E_PS)) {
		if (e & E_BLOCKED)
			return S_NL_BLOCKED;
		return e & E_RWX ? S_NL_MAPPED : S_FREE;
	}
	if (e & E_PENDING)
		return e & E_BLOCKED ? S_PENDING_BLOCKED : S_PENDING;
	return e & E_BLOCKED ? S_BLOCKED : S_MAPPED;
}

u64 *sept_root(struct tdxemu_td *td)
{
	return va(td->tdcx[0]);
}

static unsigned int index_of(u64 gpa, unsigned int level)
{
	return gpa >> (12 + 9 * level) & 511;
}

/**
 * sept_walk() - to the entry of an address at a level
 * @td: the TD
 * @gpa: the address
 * @level: the level
 * @r: where the walk ended, without the lock bit
 *
 * No lock is taken. Return: false if the walk ended above @level, at a leaf or
 * at an entry that hardware does not go through.
 */
bool sept_walk(struct tdxemu_td *td, u64 gpa, unsigned int level, struct sept_ref *r)
{
	u64 *table = sept_root(td);

	for (r->level = td->top; ; r->level--) {
		r->p = table + index_of(gpa, r->level);
		r->e = ld(r->p) & ~(E_LOCK | E_HOST);
		if (!(r->e & E_SVE)) {
			/* The module sets it in every entry. */
			violation(NULL, TDXEMU_RULE_CONTENTS,
				  "the host wrote to the S-EPT of TD %0: entry of %1 at level %2 is %3",
				  td->pa, gpa, r->level, r->e);
			r->e = E_FREE;
		}
		if (r->level == level)
			return true;
		if (e_is_leaf(r->e) || !(r->e & E_RWX))
			return false;
		table = va(r->e & E_ADDR);
	}
}

/**
 * sept_operand() - check gpa|level
 * @c: the call, with its TD
 * @operand: RCX
 * @min: lowest level allowed
 * @max: highest; that of the root's entries if it is lower
 * @gpa: returns the address
 * @level: returns the level
 */
u64 sept_operand(struct call *c, u64 operand, unsigned int min, unsigned int max,
		 u64 *gpa, unsigned int *level)
{
	*level = operand & 7;
	*gpa = operand & GPA_MASK;
	if (operand & ~(GPA_MASK | 7) || *level < min || *level > max ||
	    *level > c->td->top || !aligned(*gpa, level_size(*level)) ||
	    *gpa >> (c->td->gpaw - 1))
		return ST_OPERAND_INVALID | OP_RCX;
	return 0;
}

/* Without what an interrupted ACCEPT has noted in the address of a 2 MiB page. */
static u64 without_progress(u64 e, unsigned int level)
{
	return e_is_leaf(e) && level == 1 ? e & ~E_ACCEPT : e;
}

/* Entry and state for the host, in RCX and RDX. */
u64 sept_info(struct call *c, const struct sept_ref *r, u64 status)
{
	c->a->rcx = without_progress(r->e, r->level) & ~(E_LOCK | E_HOST | E_BLOCKED | E_PENDING);
	c->a->rdx = (u64)sept_state(r->e) << 8 | r->level;
	return status;
}

u64 sept_lock_tree(struct call *c, bool excl)
{
	return call_lock(c, &c->td->tree_lock, excl, OP_TREE, ST_OPERAND_BUSY | OP_TREE);
}

/**
 * sept_find() - walk to an entry and lock it for the rest of the call
 * @c: the call; RCX and RDX describe the entry where the walk failed
 * @gpa: the address
 * @level: the level
 * @r: the entry
 */
u64 sept_find(struct call *c, u64 gpa, unsigned int level, struct sept_ref *r)
{
	bool fault;
	u64 old;

	if (!sept_walk(c->td, gpa, level, r))
		return sept_info(c, r, ST_EPT_WALK_FAILED | OP_RCX);
	fault = c->nr_held == MAX_LOCKS || fault_hit(c, TDXEMU_FAULT_BUSY, OP_RCX, NULL);
	if (fault || !entry_lock_host(r->p, &old))
		return sept_info(c, r, ST_OPERAND_BUSY | OP_RCX);
	c->held[c->nr_held++] = (struct held){ .entry = r->p };
	r->e = old;
	return 0;
}

static bool blocked(u64 e)
{
	return e & E_BLOCKED;
}

/* Write a locked entry; it stays locked. Keeps the count of blocked ones. */
void sept_set(struct tdxemu_td *td, struct sept_ref *r, u64 e)
{
	int change = blocked(e) - blocked(r->e);

	if (change)
		atomic_add(&td->blocked, change);
	r->e = e;
	entry_store(r->p, e);
}

static bool tracked(struct tdxemu_td *td, u64 b)
{
	u64 epoch = ld(&td->epoch);

	return b + 1 < epoch || (b + 1 == epoch && !atomic_get(&td->refcount[b & 1]));
}

/**
 * sept_check_blocked() - may an entry go, as far as vCPUs are concerned?
 * @c: the call
 * @r: the entry, locked
 * @e: PAMT entry with its BEPOCH
 * @hpa: what the entry maps; of a non-leaf its table
 * @gpa: for the oracle
 * @op: operand of TLB_TRACKING_NOT_DONE
 *
 * Not enforced before the TD is RUNNABLE: no vCPU can have run.
 */
u64 sept_check_blocked(struct call *c, const struct sept_ref *r, struct pamt *e,
		       u64 hpa, u64 gpa, u32 op)
{
	if (atomic_get(&c->td->op_state) != TD_RUNNABLE)
		return 0;
	if (!blocked(r->e))
		return sept_info(c, r, ST_GPA_RANGE_NOT_BLOCKED | OP_RCX);
	if (!tracked(c->td, bepoch(e)) &&
	    !fault_hit(c, TDXEMU_FAULT_SKIP_TRACKING, 0, NULL))
		return ST_TLB_TRACKING_NOT_DONE | op;
	return 0;
}

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

#define BUILD_OR_RUN	(STATE(TD_INITIALIZED) | STATE(TD_RUNNABLE))

static u64 wrong_state(struct call *c, const struct sept_ref *r)
{
	return sept_info(c, r, ST_EPT_ENTRY_STATE_INCORRECT | OP_RCX);
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
		return wrong_state(c, &r);
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
		return wrong_state(c, &r);
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
		return wrong_state(c, &r);
	s = page_free_operand(c, c->r8, OP_R8, r.level, &page);
	if (s)
		return s;
	page_assign(&page, PT_REG, c->td, gpa / PAGE);
	if (!fault_hit(c, TDXEMU_FAULT_CHLDCNT, 0, NULL))
		atomic_add(&c->td->chldcnt, level_pages(r.level));
	sept_set(c->td, &r, E_LEAF | E_PENDING | c->r8);
	return 0;
}

/* PAMT entry of what an entry points to: BEPOCH lives there. */
static struct pamt *target(const struct sept_ref *r)
{
	return pamt_at(r->e & E_ADDR, e_is_leaf(r->e) ? r->level : 0);
}

u64 mem_range_block(struct call *c)
{
	struct sept_ref r;
	u64 gpa, s;

	s = mem_begin(c, false, BUILD_OR_RUN, 0, 4, true, &gpa, &r);
	if (s)
		return s;
	if (sept_state(r.e) == S_FREE)
		return wrong_state(c, &r);
	if (blocked(r.e))
		return sept_info(c, &r, ST_GPA_RANGE_ALREADY_BLOCKED | OP_RCX);
	r.e = without_progress(r.e, r.level);
	/* The entry first: a vCPU that is counted in this epoch may still use it. */
	sept_set(c->td, &r, (r.e & ~E_RWX) | E_BLOCKED);
	set_bepoch(target(&r), ld(&c->td->epoch));
	return 0;
}

static u64 unblocked(u64 e)
{
	e &= ~E_BLOCKED;
	return e & E_PENDING ? e : e | E_RWX;
}

u64 mem_range_unblock(struct call *c)
{
	struct sept_ref r;
	u64 gpa, s;

	s = mem_begin(c, false, BUILD_OR_RUN, 0, 4, true, &gpa, &r);
	if (s)
		return s;
	if (!blocked(r.e))
		return wrong_state(c, &r);
	s = sept_check_blocked(c, &r, target(&r), r.e & E_ADDR, gpa, OP_RCX);
	if (s)
		return s;
	sept_set(c->td, &r, unblocked(r.e));
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
		return wrong_state(c, &r);
	r.e = without_progress(r.e, r.level);
	hpa = r.e & E_ADDR;
	s = page_lock(c, hpa, OP_RCX, r.level, true, &page);
	if (!s)
		s = sept_check_blocked(c, &r, target(&r), hpa, gpa, OP_RCX);
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
		return wrong_state(c, &r);
	hpa = r.e & E_ADDR;
	s = page_lock(c, hpa, OP_RCX, 0, true, &page);
	if (!s)
		s = sept_check_blocked(c, &r, target(&r), hpa, gpa, OP_RCX);
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
		return wrong_state(c, &r);
	hpa = r.e & E_ADDR;
	s = sept_check_blocked(c, &r, target(&r), hpa, gpa, OP_RCX);
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
	sept_set(td, &r, unblocked((r.e & ~E_ADDR) | c->r8));
	page_release(&old, td, td->hkid, true);
	c->a->rcx = hpa;
	return 0;
}

/**
 * tdxemu_sept_lookup() - look at an entry
 * @td: the TD
 * @gpa: guest physical address, private
 * @level: 0 4K, 1 2M, ...
 * @e: where the walk ended
 *
 * Return: true if that is at @level.
 */
bool tdxemu_sept_lookup(struct tdxemu_td *td, u64 gpa, unsigned int level,
			struct tdxemu_sept_entry *e)
{
	struct sept_ref r;
	bool found;

	memset(e, 0, sizeof(*e));
	/* No S-EPT before MNG.INIT. */
	if (!atomic_get(&td->epoch))
		return false;
	found = sept_walk(td, gpa, level > td->top ? td->top : level, &r);
	e->raw = r.e;
	e->level = r.level;
	e->leaf = e_is_leaf(r.e);
	e->hpa = without_progress(r.e, r.level) & E_ADDR;
	e->state = sept_state(r.e);
	e->present = e->state != S_FREE;
	e->blocked = blocked(r.e);
	return found && level <= td->top;
}

/**
 * tdxemu_sept_nr_free() - how many entries are FREE, from one on
 * @td: the TD; its host holds still
 * @gpa: of the first one
 * @level: 0 for 4 KiB and so on
 *
 * To be quick with what needs no look.  Return: of this table, 0 if there is none.
 */
unsigned int tdxemu_sept_nr_free(struct tdxemu_td *td, u64 gpa, unsigned int level)
{
	struct sept_ref r;
	unsigned int n = 0;

	if (!atomic_get(&td->epoch) || level > td->top || !sept_walk(td, gpa, level, &r))
		return 0;
	while ((ld(r.p + n) & ~E_HOST) == E_FREE && ++n + index_of(gpa, level) < 512)
		;
	return n;
}

/**
 * tdxemu_for_each_leaf() - all leaves of a TD's S-EPT, by address
 * @td: the TD; its host holds still
 * @fn: called for each; anything but 0 ends the walk
 * @data: for @fn
 *
 * Leaves below a blocked non-leaf are shown too. Return: what @fn returned last.
 */
int tdxemu_for_each_leaf(struct tdxemu_td *td,
			 int (*fn)(void *data, u64 gpa, const struct tdxemu_sept_entry *e),
			 void *data)
{
	unsigned int level = td->top, i;
	u64 *table[5], gpa = 0;
	int ret;

	if (!atomic_get(&td->epoch))
		return 0;
	table[level] = sept_root(td);
	for (;;) {
		u64 e;

		i = index_of(gpa, level);
		e = ld(&table[level][i]) & ~(E_LOCK | E_HOST);
		if (e_is_leaf(e)) {
			struct tdxemu_sept_entry x = {
				.raw = e, .hpa = without_progress(e, level) & E_ADDR,
				.state = sept_state(e), .level = level,
				.present = true, .leaf = true, .blocked = blocked(e),
			};

			ret = fn(data, gpa, &x);
			if (ret)
				return ret;
		} else if (sept_state(e) != S_FREE) {
			level--;
			table[level] = va(e & E_ADDR);
			continue;
		}
		/* Most of them are FREE: be quick. */
		while (i < 511 && (ld(&table[level][i + 1]) & ~E_HOST) == E_FREE) {
			gpa += level_size(level);
			i++;
		}
		/* Next entry; upwards while it is the last of its table. */
		gpa += level_size(level);
		while (!index_of(gpa, level)) {
			if (level == td->top)
				return 0;
			level++;
		}
		if (gpa >> (td->gpaw - 1))
			return 0;
	}
}
