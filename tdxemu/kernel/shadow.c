// SPDX-License-Identifier: GPL-2.0
/*
 * The EPT that a CPU uses for a TD when VMX executes it: what the model of the vCPU's
 * TLB holds, and nothing else.
 *
 * The S-EPT itself cannot be used: its pages have key IDs and states that the CPU does
 * not know. And it is the model that says when a translation may go stale. So an entry is
 * made when the CPU misses it and tdxemu_access() finds the page, which puts it into the
 * model as well; and goes when the model loses it. What the host does to the S-EPT while
 * the vCPU is inside changes nothing here, as it does not change a TLB.
 *
 * One for each CPU, as a CPU has one TLB: the model is dropped when another vCPU has
 * been on the CPU since. Interrupts are off whenever it is touched, so no lock.
 */
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/string.h>
#include <asm/vmx.h>

#include "shadow.h"

/* A root, and what maps 60 MiB page by page; the model has room for 4 MiB of such. */
#define TABLES	32
#define ENTRIES	512

#define LEVEL_SHIFT(level)	(12 + 9 * (level))
#define ADDR			GENMASK_ULL(51, 12)
#define LARGE			BIT_ULL(7)

struct shadow {
	u64 owner;	/* emu_vcpu.id of whom it is, 0: nobody */
	u64 generation;	/* of the TLB model that it agrees with */
	unsigned int used;
	bool stale;	/* the CPU may know what has been taken away */
	u64 *table[TABLES];	/* the first is the root */
};

static DEFINE_PER_CPU(struct shadow, shadow);

/**
 * emu_shadow_init() - allocate the tables of all CPUs
 *
 * Return: 0 or -ENOMEM. What was allocated stays.
 */
int emu_shadow_init(void)
{
	int cpu, i;

	for_each_possible_cpu(cpu) {
		struct shadow *s = per_cpu_ptr(&shadow, cpu);

		for (i = 0; i < TABLES; i++) {
			s->table[i] = (u64 *)get_zeroed_page(GFP_KERNEL);
			if (!s->table[i])
				return -ENOMEM;
		}
		s->used = 1;
	}
	return 0;
}

static void drop(struct shadow *s)
{
	memset(s->table[0], 0, PAGE_SIZE);
	s->used = 1;
	s->stale = true;
}

/* The entry that maps @gpa at @level, with tables down to it; NULL: none are left. */
static u64 *walk(struct shadow *s, u64 gpa, unsigned int level)
{
	u64 *table = s->table[0], *e;
	unsigned int l;

	for (l = 3; ; l--) {
		e = table + (gpa >> LEVEL_SHIFT(l)) % ENTRIES;
		if (l == level)
			return e;
		if (!(*e & VMX_EPT_RWX_MASK) || *e & LARGE) {
			if (s->used == TABLES)
				return NULL;
			table = s->table[s->used++];
			memset(table, 0, PAGE_SIZE);
			*e = __pa(table) | VMX_EPT_RWX_MASK;
		}
		table = __va(*e & ADDR);
	}
}

/**
 * emu_shadow_map() - let the CPU use what the TLB model has
 * @v: the vCPU, inside its TD on this CPU, after emu_shadow_sync()
 * @gpa: a private address
 * @hpa: where it is
 * @level: of the mapping: 0 for 4 KiB, above for 2 MiB
 */
void emu_shadow_map(struct emu_vcpu *v, u64 gpa, u64 hpa, unsigned int level)
{
	struct shadow *s = this_cpu_ptr(&shadow);
	u64 *e, leaf = VMX_EPT_RWX_MASK | X86_MEMTYPE_WB << VMX_EPT_MT_EPTE_SHIFT;

	level = min(level, 1u);
	if (level)
		leaf |= LARGE;
	hpa &= ~(BIT_ULL(LEVEL_SHIFT(level)) - 1);
	e = walk(s, gpa, level);
	if (!e) {
		drop(s);
		e = walk(s, gpa, level);
	}
	*e = hpa | leaf;
}

/**
 * emu_shadow_evicted() - the TLB model has lost one translation
 * @v: the vCPU, inside its TD on this CPU
 * @gpa: the address
 * @level: 0: 4 KiB, 1: 2 MiB
 *
 * A page that is part of a larger one here goes with all of it.
 */
void emu_shadow_evicted(struct emu_vcpu *v, u64 gpa, unsigned int level)
{
	struct shadow *s = this_cpu_ptr(&shadow);
	u64 *table = s->table[0], *e;
	unsigned int l;

	/* Else the next sync drops all of it. */
	if (s->owner != v->id || s->generation + 1 != tdxemu_tlb_generation(v->vp))
		return;
	s->generation++;
	for (l = 3; ; l--) {
		e = table + (gpa >> LEVEL_SHIFT(l)) % ENTRIES;
		if (!(*e & VMX_EPT_RWX_MASK))
			return;
		if (!l || *e & LARGE)
			break;
		if (l == level)
			return;	/* pages of 4 KiB: the model has them by themselves */
		table = __va(*e & ADDR);
	}
	*e = 0;
	s->stale = true;
}

/**
 * emu_shadow_sync() - forget what the TLB model has not got any more
 * @v: the vCPU that is about to run on this CPU
 * @stale: whether the CPU may hold translations that are gone since the last call
 *
 * Return: the EPT pointer.
 */
u64 emu_shadow_sync(struct emu_vcpu *v, bool *stale)
{
	struct shadow *s = this_cpu_ptr(&shadow);
	u64 generation = tdxemu_tlb_generation(v->vp);

	if (s->owner != v->id || s->generation != generation) {
		drop(s);
		s->owner = v->id;
		s->generation = generation;
	}
	*stale = s->stale;
	s->stale = false;
	return __pa(s->table[0]) | VMX_EPTP_MT_WB | VMX_EPTP_PWL_4;
}
