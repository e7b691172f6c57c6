// SPDX-License-Identifier: GPL-2.0
/*
 * Rules that hardware does not enforce, or not visibly. Those that belong to one
 * leaf are checked there; here are those that span several calls, and what the
 * embedder sees.
 */

#include "core.h"

/* Leaves that KVM calls for a range under mmu_lock held for writing. */
static bool excludes_vcpus(u16 leaf)
{
	return leaf == MEM_RANGE_BLOCK || leaf == MEM_RANGE_UNBLOCK ||
	       leaf == MEM_TRACK || leaf == MEM_PAGE_REMOVE ||
	       leaf == MEM_PAGE_DEMOTE || leaf == MEM_PAGE_PROMOTE;
}

static struct tdxemu_td *operand_td(struct call *c)
{
	u64 pa = c->leaf == MEM_TRACK ? c->rcx : c->rdx;

	if (!excludes_vcpus(c->leaf) || (pa & ~(PAGE - 1)) >> sys->p.phys_bits)
		return NULL;
	return tdxemu_td_at(pa & ~(PAGE - 1));
}

/* Before a leaf: is this how the last answer had to be taken? */
void oracle_before(struct call *c)
{
	struct tdxemu_td *td = operand_td(c);

	if (!td)
		return;
	if (td->busy.armed && td->busy.leaf == c->leaf && td->busy.rcx == c->rcx) {
		td->busy.armed = false;
		if (sys->p.strict && atomic_get(&td->inside))
			violation(c, TDXEMU_RULE_BUSY,
				  "%0 was BUSY and is tried again with %1 vCPUs in the guest",
				  c->rcx, td->inside, 0, 0);
	}
	if (!td->restart.armed)
		return;
	if (c->leaf == td->restart.leaf) {
		if (c->rcx != td->restart.rcx || c->r8 != td->restart.r8)
			violation(c, TDXEMU_RULE_RESTART,
				  "interrupted with RCX %0 R8 %1, now RCX %2 R8 %3",
				  td->restart.rcx, td->restart.r8, c->rcx, c->r8);
		td->restart.armed = false;
	} else if (c->leaf == MEM_RANGE_UNBLOCK || c->leaf == MEM_PAGE_REMOVE) {
		td->restart.armed = false;	/* given up */
	}
}

/* Statuses that a host does not get if it keeps the rules. */
static bool never(u64 status)
{
	static const u64 list[] = {
		ST_OPERAND_INVALID, ST_OPERAND_ADDR_RANGE_ERROR,
		ST_PAGE_METADATA_INCORRECT, ST_MISSING_PAMT_PAGE_PAIR, ST_PREVIOUS_TLB_EPOCH_BUSY,
		ST_TD_ASSOCIATED_PAGES_EXIST, ST_LIFECYCLE_STATE_INCORRECT,
		ST_OP_STATE_INCORRECT, ST_TDCX_NUM_INCORRECT,
		ST_VCPU_STATE_INCORRECT, ST_VCPU_ASSOCIATED,
		ST_WBCACHE_NOT_COMPLETE, ST_HKID_NOT_FREE, ST_WBCACHE_RESUME_ERROR,
		ST_GPA_RANGE_NOT_BLOCKED, ST_GPA_RANGE_ALREADY_BLOCKED,
		ST_TLB_TRACKING_NOT_DONE, ST_EPT_WALK_FAILED,
		ST_EPT_ENTRY_STATE_INCORRECT, ST_EPT_PAGE_NOT_FREE,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(list); i++)
		if (list[i] == (status & ST_MASK))
			return true;
	return false;
}

/*
 * Refusals that say nothing: the kernel probes, userspace passes what it likes,
 * a guest has died. To enter a vCPU on two CPUs is never right.
 */
static bool probes(struct call *c, u64 status)
{
	if (c->leaf == VP_ENTER)
		return (status & ST_MASK) != ST_VCPU_ASSOCIATED;
	return c->leaf == MNG_RD || c->leaf == SYS_RD ||
	       c->leaf == PHYMEM_PAGE_RDMD || c->leaf == MNG_INIT;
}

/*
 * Faults of what has to succeed for a range to be taken from the TD, or given back
 * to it, and was not done at once when it was tried again. What the host had begun
 * stays as it is.
 */
static void count_unfinished(struct call *c, u64 status)
{
	struct tdxemu_td *td = c->td;

	if (!td || (c->leaf != MEM_RANGE_BLOCK && c->leaf != MEM_RANGE_UNBLOCK &&
		    c->leaf != MEM_TRACK && c->leaf != MEM_PAGE_REMOVE))
		return;
	if (c->injected && status) {
		td->unfinished++;
		td->failed = (struct td_restart){ c->rcx, c->r8, c->leaf, true };
		return;
	}
	if (td->failed.armed && td->failed.leaf == c->leaf &&
	    td->failed.rcx == c->rcx && !status)
		td->unfinished--;
	td->failed.armed = false;
}

/*
 * After such a fault the host may find a range blocked, when it tries to save what
 * it can, and the TD cannot be reclaimed as long as it has pages.
 */
static bool left_by_fault(struct call *c, u64 status)
{
	struct tdxemu_td *td = c->td;

	if (c->leaf == PHYMEM_PAGE_RECLAIM)
		td = tdxemu_td_at(c->rcx & ~(PAGE - 1));
	if (!td || !td->unfinished)
		return false;
	return (c->leaf == MEM_RANGE_BLOCK &&
		(status & ST_MASK) == ST_GPA_RANGE_ALREADY_BLOCKED) ||
	       (c->leaf == PHYMEM_PAGE_RECLAIM &&
		(status & ST_MASK) == ST_TD_ASSOCIATED_PAGES_EXIST);
}

void oracle_after(struct call *c, u64 status)
{
	struct tdxemu_td *td = c->td;

	count_unfinished(c, status);

	if (!sys->p.strict && (status & ST_MASK) != ST_INTERRUPTED_RESTARTABLE)
		return;
	if (td && (status & ST_MASK) == ST_INTERRUPTED_RESTARTABLE)
		td->restart = (struct td_restart){ c->rcx, c->r8, c->leaf, true };
	if (td && (status & ST_MASK) == ST_OPERAND_BUSY && excludes_vcpus(c->leaf))
		td->busy = (struct td_restart){ c->rcx, c->r8, c->leaf, true };
	if (!sys->p.strict || c->injected)
		return;
	if ((status & ST_MASK) == ST_FLUSHVP_NOT_DONE && td)
		violation(c, TDXEMU_RULE_LEAK,
			  "%0 vCPUs of TD %1 are associated, HKID %2 stays assigned",
			  td->nr_associated, td->pa, td->hkid, 0);
	if (never(status) && !probes(c, status) && !left_by_fault(c, status))
		violation(c, TDXEMU_RULE_CALL, "RCX %0 RDX %1 R8 %2 gave status %3",
			  c->rcx, c->rdx, c->r8, status);
}

/**
 * oracle_demoted() - are the children what they must be?
 * @c: the DEMOTE
 * @parent: the entry, locked, still the large leaf
 * @gpa: of the range
 * @table: what is about to take the place of the leaf
 * @state: that all children must have
 */
void oracle_demoted(struct call *c, struct sept_ref *parent, u64 gpa, u64 *table, u8 state)
{
	u64 step = level_size(parent->level - 1), hpa = parent->e & E_ADDR;
	unsigned int i;

	for (i = 0; i < 512; i++) {
		u64 e = ld(&table[i]) & ~(E_LOCK | E_HOST);
		struct pamt *p = pamt_at(hpa + i * step, parent->level - 1);

		if (sept_state(e) != state || (e & E_ADDR) != hpa + i * step ||
		    p->type != PT_REG || (u64)p->owner * PAGE != c->td->pa ||
		    bepoch(p)) {
			violation(c, TDXEMU_RULE_CHILD_STATE,
				  "child %0 of gpa %1 is %2, state %3",
				  i, gpa, e, sept_state(e));
			return;
		}
	}
}

struct check {
	struct tdxemu_td *td;
	s64 pages, blocked;
	int bad;
};

static int check_leaf(void *data, u64 gpa, const struct tdxemu_sept_entry *e)
{
	struct check *k = data;
	unsigned int level = 0;
	struct pamt *p = pamt_find(e->hpa, &level);

	k->pages += level_pages(e->level);
	k->blocked += e->blocked;
	if (p && p->type == PT_REG && (u64)p->owner * PAGE == k->td->pa &&
	    level == e->level && (ld(&p->word) & GPN_MASK) == gpa / PAGE)
		return 0;
	k->bad++;
	violation(NULL, TDXEMU_RULE_ALIAS,
		  "TD %0 maps page %1 at %2 level %3, the PAMT says otherwise",
		  k->td->pa, e->hpa, gpa, e->level);
	return 0;
}

/**
 * tdxemu_check_td() - look at all of a TD
 * @td: the TD; its host holds still, its vCPUs are outside
 *
 * Every leaf against the PAMT, and CHLDCNT against the oracle's count. Costs time
 * in proportion to the TD's mappings.
 *
 * Return: how many violations there were.
 */
int tdxemu_check_td(struct tdxemu_td *td)
{
	struct check k = { .td = td };

	tdxemu_for_each_leaf(td, check_leaf, &k);
	if (atomic_get(&td->chldcnt) != atomic_get(&td->pages)) {
		violation(NULL, TDXEMU_RULE_CHLDCNT, "TD %0: CHLDCNT is %1, its pages are %2",
			  td->pa, td->chldcnt, td->pages, 0);
		k.bad++;
	}
	return k.bad;
}

/**
 * tdxemu_host_released_mmu_lock() - nobody may rely on a blocked entry any more
 * @td: the TD whose mmu_lock, held for writing, the host has released
 *
 * Not for a VM that the host has given up. Costs nothing if nothing is blocked.
 */
void tdxemu_host_released_mmu_lock(struct tdxemu_td *td)
{
	s64 n = atomic_get(&td->blocked);

	if (n)
		violation(NULL, TDXEMU_RULE_BLOCKED,
			  "TD %0 has %1 blocked entries, mmu_lock is free",
			  td->pa, n, 0, 0);
}

/**
 * tdxemu_host_kicked() - the host has sent all vCPUs of a TD out
 * @td: the TD
 *
 * Ends the wait of the BUSY rule, for a host that lets them in again before it
 * retries. Optional: a retry with no vCPU inside needs no such call.
 */
void tdxemu_host_kicked(struct tdxemu_td *td)
{
	td->busy.armed = false;
}

/**
 * tdxemu_page_owned() - does the module own a page?
 * @hpa: any address in it
 *
 * A page that waits for its write-back counts: the host must not use it.
 */
bool tdxemu_page_owned(u64 hpa)
{
	unsigned int level = 0;
	struct pamt *e = pamt_find(hpa, &level);
	struct kot *k;
	u64 w;

	if (!e)
		return false;
	if (e->type != PT_NDA)
		return e->type != PT_RSVD;
	w = ld(&e->word);
	if (!(w & WB_DIRTY))
		return false;
	k = kot_of(WB_HKID(w));
	return k && k->gen == WB_GEN(w);
}

/**
 * tdxemu_host_touched() - the embedder saw the host touch a page
 * @hpa: the address
 *
 * Return: true if it was the module's, and a violation has been reported.
 */
bool tdxemu_host_touched(u64 hpa)
{
	unsigned int level = 0;
	struct pamt *e;

	if (!tdxemu_page_owned(hpa))
		return false;
	e = pamt_find(hpa, &level);
	violation(NULL, TDXEMU_RULE_TOUCHED,
		  "the host touched %0, type %1, of TD %2", hpa, e->type,
		  (u64)e->owner * PAGE, 0);
	return true;
}
