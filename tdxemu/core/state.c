// SPDX-License-Identifier: GPL-2.0
/* The state of the module, and what a lock is. */

#include "core.h"

struct module_state tdxemu_sys;

bool rw_try(struct rwtry *l, bool excl)
{
	u16 old = atomic_get(&l->v);

	if (excl) {
		old = 0;
		return __atomic_compare_exchange_n(&l->v, &old, 0xffff, false,
						   __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
	}
	while (old < 0xfffe)
		if (__atomic_compare_exchange_n(&l->v, &old, (u16)(old + 1), false,
						__ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return true;
	return false;
}

void rw_put(struct rwtry *l, bool excl)
{
	if (excl)
		__atomic_store_n(&l->v, 0, __ATOMIC_RELEASE);
	else
		__atomic_sub_fetch(&l->v, 1, __ATOMIC_RELEASE);
}
