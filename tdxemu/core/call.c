// SPDX-License-Identifier: GPL-2.0
/* One SEAMCALL: the locks of the ABI that it holds. */

#include "core.h"

/* Remember a lock that is held already, to drop it when the call ends. */
void call_hold(struct call *c, struct rwtry *l, bool excl)
{
	c->held[c->nr_held++] = (struct held){ .rw = l, .excl = excl };
}

/**
 * call_lock() - try a lock of the ABI for the rest of a call
 * @c: the call
 * @l: the lock
 * @excl: for writing
 * @which: OP_*, for faults
 * @busy: status if somebody holds it
 */
u64 call_lock(struct call *c, struct rwtry *l, bool excl, u32 which, u64 busy)
{
	if (c->nr_held == MAX_LOCKS || fault_hit(c, TDXEMU_FAULT_BUSY, which, NULL) ||
	    !rw_try(l, excl))
		return busy;
	call_hold(c, l, excl);
	return 0;
}

/* Does the call have a lock for writing? */
bool call_has(struct call *c, struct rwtry *l)
{
	unsigned int i;

	for (i = 0; i < c->nr_held; i++)
		if (c->held[i].rw == l && c->held[i].excl)
			return true;
	return false;
}

/* Drop the locks taken since there were @mark of them. */
void call_unlock_to(struct call *c, unsigned int mark)
{
	while (c->nr_held > mark) {
		struct held *h = &c->held[--c->nr_held];

		if (h->entry)
			__atomic_and_fetch(h->entry, ~E_LOCK, __ATOMIC_RELEASE);
		else if (h->pairs)
			__atomic_store_n(h->pairs, 0, __ATOMIC_RELEASE);
		else
			rw_put(h->rw, h->excl);
	}
}
