// SPDX-License-Identifier: GPL-2.0
/* HKIDs (the KOT), keys, and caches at the end of a TD. */

#include "core.h"

/* KOT entry of a private HKID, NULL if it is none. */
struct kot *kot_of(u32 hkid)
{
	u32 i = hkid - sys->p.first_keyid;

	return i < sys->p.nr_keyids && i < TDXEMU_MAX_KEYIDS ? &sys->kot[i] : NULL;
}

static u64 all_packages(void)
{
	return (1ull << sys->p.nr_packages) - 1;
}

static u64 kot_lock(struct call *c, bool excl)
{
	return call_lock(c, &sys->kot_lock, excl, OP_KOT, ST_OPERAND_BUSY | OP_KOT);
}

u64 mng_key_config(struct call *c)
{
	u64 package = 1ull << sys->p.package(c->cpu);
	u64 s = td_lock(c, c->rcx, OP_RCX, true);
	struct tdxemu_td *td = c->td;

	if (s)
		return s;
	if (td->fatal)
		return ST_TD_FATAL;
	/* Once all packages have the key, there is nothing to configure. */
	if (td->lifecycle != LC_HKID_ASSIGNED)
		return ST_LIFECYCLE_STATE_INCORRECT;
	if (td->key_packages & package)
		return ST_KEY_CONFIGURED;
	/* The package's table of keys, which others may be writing. */
	if (fault_hit(c, TDXEMU_FAULT_BUSY, OP_KET, NULL))
		return ST_OPERAND_BUSY | OP_KET;
	if (fault_hit(c, TDXEMU_FAULT_ENTROPY, 0, NULL))
		return ST_KEY_GENERATION_FAILED;
	td->key_packages |= package;
	if (td->key_packages == all_packages())
		td->lifecycle = LC_KEYS_CONFIGURED;
	return 0;
}

u64 mng_vpflushdone(struct call *c)
{
	u64 s = td_lock(c, c->rcx, OP_RCX, true);
	struct tdxemu_td *td = c->td;
	struct kot *k;

	if (!s)
		s = kot_lock(c, true);
	if (s)
		return s;
	if (td->lifecycle != LC_HKID_ASSIGNED && td->lifecycle != LC_KEYS_CONFIGURED)
		return ST_LIFECYCLE_STATE_INCORRECT;
	if (atomic_get(&td->nr_associated))
		return ST_FLUSHVP_NOT_DONE;
	k = kot_of(td->hkid);
	k->state = KOT_FLUSHED;
	k->wb = k->oracle_wb = all_packages();
	td->lifecycle = LC_BLOCKED;
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

u64 mng_key_freeid(struct call *c)
{
	u64 s = td_lock(c, c->rcx, OP_RCX, true);
	struct tdxemu_td *td = c->td;
	struct kot *k;

	if (!s)
		s = kot_lock(c, true);
	if (s)
		return s;
	if (td->lifecycle != LC_BLOCKED)
		return ST_LIFECYCLE_STATE_INCORRECT;
	k = kot_of(td->hkid);
	if (k->state != KOT_FLUSHED)
		return ST_KEY_STATE_INCORRECT;
	if (k->wb && !fault_hit(c, TDXEMU_FAULT_SKIP_WB, 0, NULL))
		return ST_WBCACHE_NOT_COMPLETE;
	/* oracle_wb stays: whoever takes the key next is told. */
	if (!k->oracle_wb)
		pages_all_written_back(td->hkid);
	k->state = KOT_FREE;
	k->wb = 0;
	k->gen++;
	td->lifecycle = LC_TEARDOWN;
	return 0;
}
