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
u64 sept_without_progress(u64 e, unsigned int level)
{
	return e_is_leaf(e) && level == 1 ? e & ~E_ACCEPT : e;
}

/* Entry and state for the host, in RCX and RDX. */
u64 sept_info(struct call *c, const struct sept_ref *r, u64 status)
{
	c->a->rcx = sept_without_progress(r->e, r->level) & ~(E_LOCK | E_HOST | E_BLOCKED | E_PENDING);
	c->a->rdx = (u64)sept_state(r->e) << 8 | r->level;
	return status;
}

u64 sept_wrong_state(struct call *c, const struct sept_ref *r)
{
	return sept_info(c, r, ST_EPT_ENTRY_STATE_INCORRECT | OP_RCX);
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

/* Whole again after BLOCK: what the entry was before. */
u64 sept_unblocked(u64 e)
{
	e &= ~E_BLOCKED;
	return e & E_PENDING ? e : e | E_RWX;
}

/* PAMT entry of what an entry points to: BEPOCH lives there. */
struct pamt *sept_target(const struct sept_ref *r)
{
	return pamt_at(r->e & E_ADDR, e_is_leaf(r->e) ? r->level : 0);
}

/* Write a locked entry; it stays locked. Keeps the count of blocked ones. */
void sept_set(struct tdxemu_td *td, struct sept_ref *r, u64 e)
{
	int change = entry_blocked(e) - entry_blocked(r->e);

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
	if (!entry_blocked(r->e))
		return sept_info(c, r, ST_GPA_RANGE_NOT_BLOCKED | OP_RCX);
	if (!tracked(c->td, bepoch(e)) &&
	    !fault_hit(c, TDXEMU_FAULT_SKIP_TRACKING, 0, NULL))
		return ST_TLB_TRACKING_NOT_DONE | op;
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
	e->hpa = sept_without_progress(r.e, r.level) & E_ADDR;
	e->state = sept_state(r.e);
	e->present = e->state != S_FREE;
	e->blocked = entry_blocked(r.e);
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
				.raw = e, .hpa = sept_without_progress(e, level) & E_ADDR,
				.state = sept_state(e), .level = level,
				.present = true, .leaf = true, .blocked = entry_blocked(e),
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
