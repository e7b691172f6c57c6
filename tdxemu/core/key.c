// SPDX-License-Identifier: GPL-2.0
/* HKIDs: the KOT. */

#include "core.h"

/* KOT entry of a private HKID, NULL if it is none. */
struct kot *kot_of(u32 hkid)
{
	u32 i = hkid - sys->p.first_keyid;

	return i < sys->p.nr_keyids && i < TDXEMU_MAX_KEYIDS ? &sys->kot[i] : NULL;
}

u64 kot_lock(struct call *c, bool excl)
{
	return call_lock(c, &sys->kot_lock, excl, OP_KOT, ST_OPERAND_BUSY | OP_KOT);
}
