// SPDX-License-Identifier: GPL-2.0
/* SYS leaves: bring-up, metadata, memory regions. */

#include "core.h"

static u64 sys_lock(struct call *c)
{
	return call_lock(c, &sys->lock, true, OP_SYS, ST_SYS_BUSY);
}

u64 sys_init(struct call *c)
{
	u64 s = sys_lock(c);

	if (s)
		return s;
	if (c->rcx)
		return ST_OPERAND_INVALID | OP_RCX;
	if (sys->state != SYSINIT_PENDING)
		return ST_SYS_INIT_NOT_PENDING;
	sys->state = SYSINIT_DONE;
	c->a->rcx = c->a->rdx = c->a->r8 = c->a->r9 = c->a->r10 = 0;
	return 0;
}

u64 sys_lp_init(struct call *c)
{
	u64 s = sys_lock(c);

	if (s)
		return s;
	if (sys->state != SYSINIT_DONE)
		return ST_SYS_LP_INIT_NOT_PENDING;
	if (sys->lp_done[c->cpu])
		return ST_SYS_LP_INIT_DONE;
	sys->lp_done[c->cpu] = true;
	return 0;
}

#define FIELDS_FIXED	19

struct sys_field {
	u64 id, value;
};

/** tdxemu_features0() - TDX_FEATURES0, as the host reads it */
u64 tdxemu_features0(void)
{
	return sys->p.features0;
}

/* The i'th metadata field of the module, false beyond the last. */
static bool sys_field(unsigned int i, struct sys_field *f)
{
	const struct tdxemu_cpuid_config *cc = sys->p.cpuid_config;
	unsigned int n = sys->p.nr_cpuid_config;
	bool v2 = sys->p.module == TDXEMU_MODULE_2_0;
	const struct sys_field fixed[FIELDS_FIXED] = {
		{ 0x0800000100000003, v2 ? 0 : 5 },	/* minor, major, update */
		{ 0x0800000100000004, v2 ? 2 : 1 },
		{ 0x0800000100000005, v2 ? 8 : 28 },
		{ 0x0A00000300000008, sys->p.features0 },
		{ 0x9100000100000008, TDXEMU_MAX_TDMRS },
		{ 0x9100000100000009, TDXEMU_MAX_RESERVED },
		{ 0x9100000100000010, sizeof(struct pamt) },
		{ 0x9100000100000011, sizeof(struct pamt) },
		{ 0x9100000100000012, sizeof(struct pamt) },
		{ 0x9800000100000000, PAGE },
		{ 0x9800000100000100, NR_TDCX * PAGE },
		{ 0x9800000100000200, (NR_TDVPX + 1) * PAGE },
		{ 0x1900000300000000, sys->p.attributes_fixed0 },
		{ 0x1900000300000001, 0 },
		{ 0x1900000300000002, sys->p.xfam_fixed0 },
		{ 0x1900000300000003, 3 },
		{ 0x9900000100000004, n },
		{ 0x9900000100000008, sys->p.max_vcpus },
		{ 0x8900000100000000, 0 },	/* handoff version */
	};

	if (i < FIELDS_FIXED) {
		*f = fixed[i];
		return true;
	}
	i -= FIELDS_FIXED;
	if (i < n) {
		f->id = 0x9900000300000400 + i;
		f->value = cc[i].leaf | (u64)cc[i].subleaf << 32;
		return true;
	}
	i -= n;
	if (i < 2 * n) {
		const u32 *m = cc[i / 2].mask + i % 2 * 2;

		f->id = 0x9900000300000500 + i;
		f->value = m[0] | (u64)m[1] << 32;
		return true;
	}
	i -= 2 * n;
	f->id = F_PAMT_PAGE_BITS;
	f->value = 8 * sizeof(struct pamt);
	return !i && (sys->p.features0 & TDXEMU_F0_DYNAMIC_PAMT);
}

u64 sys_rd(struct call *c)
{
	struct sys_field f;
	unsigned int i;

	for (i = 0; sys_field(i, &f); i++) {
		if (TDXEMU_FIELD_KEY(f.id) != TDXEMU_FIELD_KEY(c->rdx))
			continue;
		c->a->r8 = f.value;
		c->a->rdx = sys_field(i + 1, &f) ? f.id : ~0ull;
		return 0;
	}
	c->a->r8 = 0;
	c->a->rdx = ~0ull;
	return ST_METADATA_FIELD_ID_INCORRECT;
}

static bool overlap(const struct tdxemu_range *a, u64 base, u64 size)
{
	return size && a->size && base < a->base + a->size && a->base < base + size;
}

static bool in_cmrs(u64 base, u64 size)
{
	unsigned int i;

	if (!sys->p.nr_cmrs)
		return true;
	for (i = 0; i < sys->p.nr_cmrs; i++)
		if (base >= sys->p.cmrs[i].base &&
		    base + size <= sys->p.cmrs[i].base + sys->p.cmrs[i].size)
			return true;
	return false;
}

/* In the order of the ABI: offset, size pairs after the PAMT ranges. */
static u64 check_reserved(struct tdmr *t, const u64 *info)
{
	u64 end = 0;
	unsigned int i;

	for (i = 0; i < TDXEMU_MAX_RESERVED; i++) {
		u64 offset = info[8 + 2 * i], size = info[9 + 2 * i];

		if (!size)
			break;
		if (!aligned(offset | size, PAGE) || offset + size < size ||
		    offset + size > t->range.size)
			return ST_INVALID_RESERVED_IN_TDMR;
		if (offset < end)
			return ST_NON_ORDERED_RESERVED;
		end = offset + size;
		t->reserved[i].base = t->range.base + offset;
		t->reserved[i].size = size;
	}
	t->nr_reserved = i;
	return 0;
}

/* Walk the parts of a TDMR that are not reserved. */
static bool usable_part(const struct tdmr *t, unsigned int i, u64 *base, u64 *size)
{
	u64 end = t->range.base + t->range.size;

	if (i > t->nr_reserved)
		return false;
	*base = i ? t->reserved[i - 1].base + t->reserved[i - 1].size : t->range.base;
	if (i < t->nr_reserved)
		end = t->reserved[i].base;
	*size = end - *base;
	return true;
}

static u64 check_pamt(unsigned int n, u64 op)
{
	struct tdmr *t = &sys->tdmr[n];
	unsigned int i, j, k, level;
	u64 base, size;

	for (level = 0; level < 3; level++) {
		struct tdxemu_range *p = &t->pamt[level];
		u64 need = t->range.size / level_size(level) * sizeof(struct pamt);

		if (!aligned(p->base | p->size, PAGE) || p->size < need ||
		    p->base + p->size < p->base || !in_cmrs(p->base, p->size) ||
		    !sys->p.page(p->base) || !sys->p.page(p->base + p->size - PAGE))
			return ST_INVALID_PAMT | op;
		for (i = 0; i <= n; i++) {
			struct tdmr *o = &sys->tdmr[i];

			for (k = 0; usable_part(o, k, &base, &size); k++)
				if (overlap(p, base, size))
					return ST_PAMT_OVERLAP | op;
			for (k = 0; usable_part(t, k, &base, &size); k++)
				for (j = 0; j < 3; j++)
					if (overlap(&o->pamt[j], base, size))
						return ST_PAMT_OVERLAP | op;
			for (j = 0; j < 3; j++)
				if ((i < n || j < level) &&
				    overlap(p, o->pamt[j].base, o->pamt[j].size))
					return ST_PAMT_OVERLAP | op;
		}
	}
	return 0;
}

static u64 add_tdmr(unsigned int n, const u64 *info)
{
	struct tdmr *t = &sys->tdmr[n];
	u64 base, size, s;
	unsigned int i;

	memset(t, 0, sizeof(*t));
	t->range.base = info[0];
	t->range.size = info[1];
	if (!aligned(info[0] | info[1], 1ull << 30) || !info[1] ||
	    info[0] + info[1] < info[0] ||
	    (info[0] + info[1] - 1) >> sys->p.phys_bits)
		return ST_INVALID_TDMR | n;
	if (n && info[0] < sys->tdmr[n - 1].range.base + sys->tdmr[n - 1].range.size)
		return ST_NON_ORDERED_TDMR | n;
	s = check_reserved(t, info);
	if (s)
		return s | n;
	/* pamt_1g, pamt_2m, pamt_4k */
	for (i = 0; i < 3; i++) {
		t->pamt[2 - i].base = info[2 + 2 * i];
		t->pamt[2 - i].size = info[3 + 2 * i];
	}
	s = check_pamt(n, n);
	if (s)
		return s;
	for (i = 0; usable_part(t, i, &base, &size); i++)
		if (size && !in_cmrs(base, size))
			return ST_TDMR_OUTSIDE_CMRS | n;
	t->next = t->range.base;
	return 0;
}

u64 sys_config(struct call *c)
{
	u64 s = sys_lock(c), *array, hkid = c->r8;
	bool dynamic = false;
	unsigned int i;

	if (s)
		return s;
	if (sys->state != SYSINIT_DONE)
		return ST_SYS_CONFIG_NOT_PENDING;
	for (i = 0; i < sys->p.nr_cpus; i++)
		if (!sys->lp_done[i])
			return ST_SYS_CONFIG_NOT_PENDING;
	if (!aligned(c->rcx, 512) || !sys->p.page(c->rcx))
		return ST_OPERAND_INVALID | OP_RCX;
	if (!c->rdx || c->rdx > TDXEMU_MAX_TDMRS)
		return ST_OPERAND_INVALID | OP_RDX;
	if (sys->p.features0 & TDXEMU_F0_DYNAMIC_PAMT) {
		dynamic = hkid & CONFIG_DYNAMIC_PAMT;
		hkid &= ~CONFIG_DYNAMIC_PAMT;
	}
	if (hkid >> 16 || !kot_of(hkid))
		return ST_OPERAND_INVALID | OP_R8;
	array = va(c->rcx);
	for (i = 0; i < c->rdx; i++) {
		if (!aligned(array[i], 512) || !sys->p.page(array[i]))
			return ST_OPERAND_INVALID | OP_RCX;
		s = add_tdmr(i, va(array[i]));
		if (s)
			return s;
	}
	sys->nr_tdmr = c->rdx;
	sys->global_hkid = hkid;
	sys->dynamic_pamt = dynamic;
	kot_of(hkid)->state = KOT_RESERVED;
	sys->state = SYSCONFIG_DONE;
	return 0;
}

u64 sys_key_config(struct call *c)
{
	u64 s = sys_lock(c), package = 1ull << sys->p.package(c->cpu);

	if (s)
		return s;
	if (sys->state != SYSCONFIG_DONE)
		return ST_SYS_KEY_CONFIG_NOT_PENDING;
	if (sys->key_packages & package)
		return ST_KEY_CONFIGURED;
	if (fault_hit(c, TDXEMU_FAULT_ENTROPY, 0, NULL))
		return ST_KEY_GENERATION_FAILED;
	sys->key_packages |= package;
	if (sys->key_packages == (1ull << sys->p.nr_packages) - 1)
		atomic_set_to(&sys->state, SYS_READY);
	return 0;
}

/* Fill the PAMT entries of 4 MiB. */
static void init_block(struct tdmr *t, u64 base)
{
	u64 end = base + (4ull << 20), hpa;
	unsigned int level, i;

	for (level = 0; level < 3; level++) {
		for (hpa = base; hpa < end; hpa += level_size(level)) {
			struct pamt *e;

			if (!aligned(hpa, level_size(level)))
				break;
			e = pamt_at(hpa, level);
			memset(e, 0, sizeof(*e));
			if (level)
				continue;
			for (i = 0; i < t->nr_reserved; i++)
				if (hpa >= t->reserved[i].base &&
				    hpa < t->reserved[i].base + t->reserved[i].size)
					e->type = PT_RSVD;
		}
	}
}

u64 sys_tdmr_init(struct call *c)
{
	struct tdmr *t = NULL;
	unsigned int i;
	u64 s;

	for (i = 0; i < sys->nr_tdmr; i++)
		if (sys->tdmr[i].range.base == c->rcx)
			t = &sys->tdmr[i];
	if (!t)
		return ST_OPERAND_INVALID | OP_RCX;
	s = call_lock(c, &t->lock, true, OP_RCX, ST_OPERAND_BUSY | OP_RCX);
	if (s)
		return s;
	if (t->next == t->range.base + t->range.size)
		return ST_TDMR_ALREADY_INITIALIZED;
	init_block(t, t->next);
	st(&t->next, t->next + (4ull << 20));
	c->a->rdx = t->next & ~((1ull << 30) - 1);
	return 0;
}

u64 sys_shutdown(struct call *c)
{
	u64 s = sys_lock(c);

	if (s)
		return s;
	if (sys->state != SYS_READY)
		return ST_SYS_NOT_READY;
	atomic_set_to(&sys->state, SYS_DOWN);
	return 0;
}

u64 sys_update(struct call *c)
{
	/* Runtime update is not modelled, and features0 bit 1 says so. */
	return ST_OPERAND_INVALID | OP_RAX;
}

u64 sys_disable(struct call *c)
{
	u64 s = sys_lock(c);

	if (s)
		return s;
	if (fault_hit(c, TDXEMU_FAULT_RESUMABLE, 0, NULL))
		return ST_INTERRUPTED_RESUMABLE;
	atomic_set_to(&sys->state, SYS_DOWN);
	return 0;
}
