// SPDX-License-Identifier: GPL-2.0
/* TDs: as an operand, their state, the list of them. */

#include "core.h"

/**
 * td_lock() - a TD as an operand
 * @c: the call; c->td is set
 * @pa: address of the TDR
 * @op: OP_* for the status
 * @excl: lock it for writing
 */
u64 td_lock(struct call *c, u64 pa, u32 op, bool excl)
{
	struct page_ref r;
	struct tdxemu_td *td;
	u64 s;

	s = page_lock(c, pa, op, 0, excl, &r);
	if (s)
		return s;
	if (r.e->type != PT_TDR)
		return ST_PAGE_METADATA_INCORRECT | op;
	td = va(pa);
	if (td->magic != TD_MAGIC || td->pa != pa) {
		violation(c, TDXEMU_RULE_CONTENTS, "the host wrote to TDR %0", pa, 0, 0, 0);
		return ST_PAGE_METADATA_INCORRECT | op;
	}
	c->td = td;
	/* Faults name the lock, whichever register the TD came in. */
	if (fault_hit(c, TDXEMU_FAULT_BUSY, OP_TDR, NULL))
		return ST_OPERAND_BUSY | op;
	return 0;
}

/**
 * td_check() - the state of c->td: fatal, keys, TDCS, op_state
 * @c: the call
 * @op_states: those allowed, STATE() of each
 */
u64 td_check(struct call *c, unsigned int op_states)
{
	struct tdxemu_td *td = c->td;
	u64 s;

	if (td->fatal)
		return ST_TD_FATAL;
	if (td->lifecycle != LC_KEYS_CONFIGURED)
		return ST_TD_KEYS_NOT_CONFIGURED;
	if (op_states == ANY_OP_STATE)
		goto out;
	if (td->nr_tdcx != NR_TDCX)
		return ST_TDCS_NOT_ALLOCATED;
	s = call_lock(c, &td->op_lock, c->leaf == MR_FINALIZE || c->leaf == MNG_INIT,
		      OP_STATE, ST_OPERAND_BUSY | OP_STATE);
	if (s)
		return s;
	if (!(STATE(td->op_state) & op_states))
		return ST_OP_STATE_INCORRECT | td->op_state;
out:
	if (fault_hit(c, TDXEMU_FAULT_STATUS, 0, &s))
		return s;
	return 0;
}

u64 td_get(struct call *c, u64 pa, u32 op, bool excl, unsigned int op_states)
{
	u64 s = td_lock(c, pa, op, excl);

	return s ? s : td_check(c, op_states);
}

void td_link(struct tdxemu_td *td)
{
	unsigned long flags = core_lock();

	td->tdr_next = sys->tds;
	sys->tds = td->pa;
	core_unlock(flags);
}

void td_unlink(struct tdxemu_td *td)
{
	unsigned long flags = core_lock();
	u64 *p = &sys->tds;

	while (*p && *p != td->pa)
		p = &((struct tdxemu_td *)va(*p))->tdr_next;
	if (*p)
		*p = td->tdr_next;
	core_unlock(flags);
}

bool pending_ve_off(struct tdxemu_td *td)
{
	return ld(&td->td_ctls) & TD_CTLS_PENDING_VE_OFF;
}

/**
 * tdxemu_td_at() - a TD by its TDR
 * @tdr_pa: address of the TDR
 *
 * Return: NULL if no TD lives there.
 */
struct tdxemu_td *tdxemu_td_at(u64 tdr_pa)
{
	unsigned int level = 0;
	struct pamt *e = pamt_find(tdr_pa, &level);
	struct tdxemu_td *td;

	if (!e || level || e->type != PT_TDR)
		return NULL;
	td = va(tdr_pa);
	return td->magic == TD_MAGIC ? td : NULL;
}

u64 tdxemu_td_pa(struct tdxemu_td *td)
{
	return td->pa;
}

/** tdxemu_blocked() - number of S-EPT entries of a TD that are blocked now */
s64 tdxemu_blocked(struct tdxemu_td *td)
{
	return atomic_get(&td->blocked);
}

u64 tdxemu_epoch(struct tdxemu_td *td)
{
	return ld(&td->epoch);
}

/** tdxemu_vcpus_inside() - number of vCPUs of a TD that execute the guest */
u32 tdxemu_vcpus_inside(struct tdxemu_td *td)
{
	return atomic_get(&td->inside);
}
