// SPDX-License-Identifier: GPL-2.0
/* Faults to order. A fault is asked for at the place where the real one arises. */

#include "core.h"

#define MAX_FAULTS	16

static struct tdxemu_fault faults[MAX_FAULTS];
static unsigned int nr_faults;

/**
 * tdxemu_fault_add() - order a fault
 * @f: what and when; copied
 *
 * Faults are looked at in the order of their arrival; the first that applies
 * wins, and only that one counts the call.
 *
 * Return: its number, or -1: there are too many.
 */
int tdxemu_fault_add(const struct tdxemu_fault *f)
{
	unsigned long flags = core_lock();
	int id = -1;

	if (nr_faults < MAX_FAULTS) {
		id = nr_faults;
		faults[id] = *f;
		faults[id].hits = 0;
		atomic_set_to(&nr_faults, id + 1);
	}
	core_unlock(flags);
	return id;
}

/**
 * tdxemu_fault_get() - read a fault back
 * @id: its number
 * @f: the fault, with hits, and what is left of skip and times
 */
bool tdxemu_fault_get(int id, struct tdxemu_fault *f)
{
	unsigned long flags = core_lock();
	bool ok = id >= 0 && (unsigned int)id < nr_faults;

	if (ok)
		*f = faults[id];
	core_unlock(flags);
	return ok;
}

/** tdxemu_fault_clear() - forget all faults */
void tdxemu_fault_clear(void)
{
	unsigned long flags = core_lock();

	atomic_set_to(&nr_faults, 0);
	core_unlock(flags);
}

/*
 * Which of a call's locks a BUSY without operand means: the TD if the leaf has
 * one as an operand, else the main one. One place a call, or skip and times lie.
 */
static bool main_lock(struct call *c, u32 operand)
{
	switch (c->leaf) {
	case SYS_INIT: case SYS_LP_INIT: case SYS_CONFIG: case SYS_KEY_CONFIG:
	case SYS_TDMR_INIT: case SYS_SHUTDOWN: case SYS_DISABLE: case MNG_CREATE:
	case PHYMEM_PAGE_RECLAIM: case PHYMEM_PAGE_WBINVD: case PHYMEM_CACHE_WB:
	case PHYMEM_PAMT_ADD: case PHYMEM_PAMT_REMOVE:
		return operand == OP_RCX || operand == OP_WBCACHE || operand == OP_SYS;
	}
	return operand == OP_TDR;
}

static bool matches(const struct tdxemu_fault *f, struct call *c, u32 operand)
{
	u64 gpa = c->rcx & GPA_MASK;

	if (f->leaf != ~0u && f->leaf != c->leaf)
		return false;
	if (f->kind == TDXEMU_FAULT_BUSY &&
	    (f->operand == ~0u ? !main_lock(c, operand) : f->operand != operand))
		return false;
	if (f->size && (!c->memory || gpa - f->gpa >= f->size))
		return false;
	if (f->level != ~0u && (!c->memory || (c->rcx & 7) != f->level))
		return false;
	if (f->until_out && (!c->td || !atomic_get(&c->td->inside)))
		return false;
	return true;
}

/**
 * fault_hit() - is a fault due here?
 * @c: the call
 * @kind: which could happen here
 * @operand: of TDXEMU_FAULT_BUSY: the lock that is about to be taken
 * @status: where to put the fault's status; may be NULL
 *
 * A call is counted once per place that could fail.
 */
bool fault_hit(struct call *c, enum tdxemu_fault_kind kind, u32 operand, u64 *status)
{
	unsigned long flags;
	unsigned int i;
	bool hit = false;

	if (!atomic_get(&nr_faults))
		return false;
	flags = core_lock();
	for (i = 0; i < nr_faults; i++) {
		struct tdxemu_fault *f = &faults[i];

		if (f->kind != kind || !f->times || !matches(f, c, operand))
			continue;
		if (f->skip) {
			f->skip--;
			continue;
		}
		if (f->times != ~0ull)
			f->times--;
		f->hits++;
		if (status)
			*status = f->status;
		c->injected = 1;
		hit = true;
		break;
	}
	core_unlock(flags);
	return hit;
}
