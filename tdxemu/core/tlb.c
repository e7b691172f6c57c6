// SPDX-License-Identifier: GPL-2.0
/*
 * The model of a vCPU's TLB, which goes stale unless it is dropped by the rules. It is
 * in the pages of VP.ADDCX.
 */

#include "core.h"

/* Entry of a TLB; the first TLB_4K are for 4 KiB, the rest for larger pages. */
static struct tlb_entry *tlb_at(struct tdxemu_vp *vp, unsigned int i)
{
	return (struct tlb_entry *)va(vp->tdvpx[i / TLB_PER_PAGE]) + i % TLB_PER_PAGE;
}

/* The first of the TLB_WAYS entries that can have an address. They are in one page. */
static struct tlb_entry *tlb_set(struct tdxemu_vp *vp, u64 gpa, bool large)
{
	if (large)
		return tlb_at(vp, TLB_4K + (gpa >> 21) % (TLB_2M / TLB_WAYS) * TLB_WAYS);
	return tlb_at(vp, (gpa >> 12) % (TLB_4K / TLB_WAYS) * TLB_WAYS);
}

/* Forget all translations. */
void tlb_drop(struct tdxemu_vp *vp)
{
	unsigned long flags = core_lock();
	unsigned int i;

	for (i = 0; i < vp->nr_tdvpx; i++)
		memset(va(vp->tdvpx[i]), 0, PAGE);
	vp->tlb_generation++;
	core_unlock(flags);
}

/**
 * tdxemu_tlb_generation() - has the model of a TLB lost a translation?
 * @vp: the vCPU, inside the TD, on its own CPU
 *
 * Return: a number that changes when one goes. While it is the same, what
 * tdxemu_access() said about an address that it could reach is still true, so that
 * a caller may keep it: asking again would find the translation in the TLB.
 */
u64 tdxemu_tlb_generation(struct tdxemu_vp *vp)
{
	return vp->tlb_generation;
}

/** tdxemu_tlb_flush() - as the guest's own flushing; only ever loses entries */
void tdxemu_tlb_flush(struct tdxemu_vp *vp)
{
	tlb_drop(vp);
}

/*
 * Does a vCPU have a translation into a page that it would use again? One that
 * is outside drops everything on its way in when the epoch has changed.
 */
static bool has_stale(struct tdxemu_td *td, struct tdxemu_vp *vp, u64 hpa, u64 size,
		      u64 *gpa)
{
	unsigned int i;

	if (!atomic_get(&vp->inside) && ld(&vp->epoch) != ld(&td->epoch))
		return false;
	if (vp->cpu < 0)
		return false;
	for (i = 0; i < TLB_4K + TLB_2M; i++) {
		struct tlb_entry *t = tlb_at(vp, i);
		u64 have = i < TLB_4K ? PAGE : level_size(1);

		if (!(t->tag & TLB_VALID) || t->hpa >= hpa + size || hpa >= t->hpa + have)
			continue;
		*gpa = t->tag & GPA_MASK;
		return true;
	}
	return false;
}

/* A translation into these pages goes: nobody may still be using it. */
void tlb_stale(struct call *c, struct tdxemu_td *td, u64 hpa, unsigned int level)
{
	unsigned long flags;
	u32 i, n = atomic_get(&td->nr_vcpus);
	u64 gpa = 0;

	for (i = 0; i < n; i++) {
		struct tdxemu_vp *vp = va(*vp_slot(td, i));
		bool stale;

		if (vp->magic != VP_MAGIC || vp->nr_tdvpx != NR_TDVPX)
			continue;
		flags = core_lock();
		stale = has_stale(td, vp, hpa, level_size(level), &gpa);
		core_unlock(flags);
		if (stale)
			violation(c, TDXEMU_RULE_STALE_TLB,
				  "vCPU %0 has a live translation of gpa %1 into page %2, level %3",
				  i, gpa, hpa, level);
	}
}

bool tlb_lookup(struct tdxemu_vp *vp, u64 gpa, unsigned int access,
		struct tdxemu_access *a)
{
	unsigned long flags = core_lock();
	bool large, hit = false;

	for (large = false; ; large = true) {
		u64 size = large ? level_size(1) : PAGE;
		struct tlb_entry *t = tlb_set(vp, gpa, large), *end = t + TLB_WAYS;

		for (; t < end && !hit; t++) {
			hit = (t->tag & TLB_VALID) &&
			      (t->tag & GPA_MASK) == (gpa & ~(size - 1)) &&
			      (t->tag & access) == access;
			if (hit) {
				a->hpa = t->hpa | (gpa & (size - 1));
				a->level = large;
			}
		}
		if (hit || large)
			break;
	}
	core_unlock(flags);
	return hit;
}

/* Where is in @a; what had to make room will be. */
void tlb_insert(struct tdxemu_vp *vp, u64 gpa, unsigned int level, struct tdxemu_access *a)
{
	/* A 1 GiB page is cached as 2 MiB: real hardware may do that. */
	u64 size = level ? level_size(1) : PAGE;
	struct tlb_entry *set = tlb_set(vp, gpa, level), *oldest = set + TLB_WAYS - 1;
	unsigned long flags = core_lock();
	struct tlb_entry *t;

	if (oldest->tag & TLB_VALID) {
		vp->tlb_generation++;
		a->evicted = true;
		a->evicted_gpa = oldest->tag & GPA_MASK;
		a->evicted_level = level ? 1 : 0;
	}
	for (t = oldest; t > set; t--)
		*t = t[-1];
	set->tag = (gpa & ~(size - 1)) | 7 | TLB_VALID;
	set->hpa = a->hpa & ~(size - 1);
	core_unlock(flags);
}
