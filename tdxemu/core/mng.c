// SPDX-License-Identifier: GPL-2.0
/* MNG and MR leaves: creation, keys, parameters, measurement. */

#include "core.h"

u64 mng_create(struct call *c)
{
	struct tdxemu_td *td;
	struct page_ref r;
	struct kot *k;
	u64 s;

	k = kot_of(c->rdx);
	if (c->rdx >> 16 || !k)
		return ST_OPERAND_INVALID | OP_RDX;
	s = page_free_operand(c, c->rcx, OP_RCX, 0, &r);
	if (s)
		return s;
	s = kot_lock(c, true);
	if (s)
		return s;
	if (k->state != KOT_FREE)
		return ST_HKID_NOT_FREE;
	/* The TDR is cleared before there is a key. */
	if (fault_hit(c, TDXEMU_FAULT_ENTROPY, 0, NULL)) {
		memset(va(c->rcx), 0, PAGE);
		page_written(&r, sys->global_hkid);
		return ST_RND_NO_ENTROPY;
	}
	if (k->oracle_wb)
		violation(c, TDXEMU_RULE_HKID_REUSE,
			  "HKID %0 is used again, packages %1 have not written back its lines",
			  c->rdx, k->oracle_wb, 0, 0);
	k->state = KOT_ASSIGNED;
	k->wb = k->oracle_wb = 0;
	page_assign(&r, PT_TDR, NULL, 0);
	td = va(c->rcx);
	memset(td, 0, PAGE);
	td->magic = TD_MAGIC;
	td->pa = c->rcx;
	td->hkid = c->rdx;
	td->lifecycle = LC_HKID_ASSIGNED;
	td_link(td);
	c->td = td;
	return 0;
}

u64 mng_addcx(struct call *c)
{
	u64 s = td_get(c, c->rdx, OP_RDX, true, ANY_OP_STATE);
	struct tdxemu_td *td = c->td;
	struct page_ref r;

	if (s)
		return s;
	if (td->nr_tdcx == NR_TDCX)
		return ST_TDCX_NUM_INCORRECT;
	s = page_free_operand(c, c->rcx, OP_RCX, 0, &r);
	if (s)
		return s;
	memset(va(c->rcx), 0, PAGE);
	/* With the last page the module draws random numbers for the TD. */
	if (td->nr_tdcx == NR_TDCX - 1 && fault_hit(c, TDXEMU_FAULT_ENTROPY, 0, NULL)) {
		page_written(&r, td->hkid);
		return ST_RND_NO_ENTROPY;
	}
	page_assign(&r, PT_TDCX, td, 0);
	td->tdcx[td->nr_tdcx++] = c->rcx;
	atomic_add(&td->chldcnt, 1);
	return 0;
}

static u64 all_packages(void)
{
	return (1ull << sys->p.nr_packages) - 1;
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

struct td_params {
	u64 attributes, xfam;
	u16 max_vcpus;
	u8 reserved0[6];
	u64 eptp, config_flags;
	u16 tsc_frequency;
	u8 reserved1[38];
	u64 mr[18];
	u64 reserved2[4];
	struct td_cpuid cpuid[TDXEMU_MAX_CPUID];
};

static bool zero(const u8 *p, unsigned int n)
{
	while (n--)
		if (*p++)
			return false;
	return true;
}

/* Bits of the CPUID configuration that are not configurable. */
static u64 check_cpuid(struct call *c, const struct td_params *p)
{
	const struct tdxemu_cpuid_config *cc = sys->p.cpuid_config;
	unsigned int i, j;

	for (i = 0; i < TDXEMU_MAX_CPUID; i++) {
		for (j = 0; j < 4; j++) {
			u32 mask = i < sys->p.nr_cpuid_config ? cc[i].mask[j] : 0;

			if (!(p->cpuid[i].reg[j] & ~mask))
				continue;
			c->a->rcx = i < sys->p.nr_cpuid_config ?
				cc[i].leaf | (u64)cc[i].subleaf << 32 : ~0ull;
			return ST_OPERAND_INVALID | OP_CPUID;
		}
	}
	return 0;
}

/* EPTP controls: memory type WB, levels - 1 in bits 5:3, nothing else. */
static u64 check_params(struct call *c, const struct td_params *p)
{
	u64 flags = CONFIG_MAX_GPAW | CONFIG_FLEXIBLE_PENDING_VE;
	unsigned int levels = p->eptp >> 3 & 7;

	if (p->attributes & ~sys->p.attributes_fixed0)
		return ST_OPERAND_INVALID | OP_ATTRIBUTES;
	if ((p->xfam & ~sys->p.xfam_fixed0) || (p->xfam & 3) != 3)
		return ST_OPERAND_INVALID | OP_XFAM;
	if (!p->max_vcpus || p->max_vcpus > sys->p.max_vcpus ||
	    p->max_vcpus > 2 * PAGE / sizeof(u64))
		return ST_OPERAND_INVALID | OP_MAX_VCPUS;
	if ((p->eptp & 7) != 6 || p->eptp >> 6 || (levels != 3 && levels != 4))
		return ST_OPERAND_INVALID | OP_EPTP;
	if (sys->p.features0 & TDXEMU_F0_NO_RBP_MOD)
		flags |= CONFIG_NO_RBP_MOD;
	/* 52 bits of guest physical address need five levels. */
	if ((p->config_flags & ~flags) ||
	    ((p->config_flags & CONFIG_MAX_GPAW) && levels != 4))
		return ST_OPERAND_INVALID | OP_CONFIG_FLAGS;
	if (p->tsc_frequency < 4 || p->tsc_frequency > 400)
		return ST_OPERAND_INVALID | OP_TSC;
	if (!zero(p->reserved0, sizeof(p->reserved0)) ||
	    !zero(p->reserved1, sizeof(p->reserved1)) ||
	    !zero((const u8 *)p->reserved2, sizeof(p->reserved2)))
		return ST_OPERAND_INVALID | OP_RDX;
	return check_cpuid(c, p);
}

u64 mng_init(struct call *c)
{
	u64 s = td_get(c, c->rcx, OP_RCX, true, STATE(TD_UNINITIALIZED)), *root;
	struct tdxemu_td *td = c->td;
	const struct td_params *p;
	unsigned int i;

	if (s)
		return s;
	if (!aligned(c->rdx, 1024) || c->rdx >> sys->p.phys_bits || !sys->p.page(c->rdx))
		return ST_OPERAND_INVALID | OP_RDX;
	p = va(c->rdx);
	c->a->rcx = 0;
	s = check_params(c, p);
	if (s)
		return s;
	td->attributes = p->attributes;
	td->xfam = p->xfam;
	td->max_vcpus = p->max_vcpus;
	td->eptp = p->eptp;
	td->config_flags = p->config_flags;
	td->tsc_frequency = p->tsc_frequency;
	td->top = p->eptp >> 3 & 7;
	td->gpaw = p->config_flags & CONFIG_MAX_GPAW ? 52 : 48;
	memcpy(td->cpuid, p->cpuid, sizeof(td->cpuid));
	/* The guest may change it later if the pending #VE is flexible. */
	td->td_ctls = td->attributes & ATTR_SEPT_VE_DISABLE ? TD_CTLS_PENDING_VE_OFF : 0;
	td->epoch = 1;
	td->refcount[0] = td->refcount[1] = 0;
	root = sept_root(td);
	for (i = 0; i < 512; i++)
		st(&root[i], E_FREE);
	td->op_state = TD_INITIALIZED;
	return 0;
}

/*
 * CPUID as the TD sees it: what the platform has, the configurable bits as
 * MNG.INIT was given them. Exactly one form of a leaf exists: with a subleaf or
 * without.
 */
static bool td_cpuid(struct tdxemu_td *td, u64 field, u64 *value)
{
	u32 leaf = (field >> 9 & 0x7f) | (field >> 16 & 1) << 31;
	u32 sub = field >> 1 & 0xff, out[4] = { 0 };
	const struct tdxemu_cpuid_config *cc;
	unsigned int i, j;

	if (sub == 0xff)
		sub = ~0u;
	if (!sys->p.cpuid || !sys->p.cpuid(leaf, sub, out))
		return false;
	for (i = 0; i < sys->p.nr_cpuid_config; i++) {
		cc = &sys->p.cpuid_config[i];
		if (cc->leaf != leaf || cc->subleaf != sub)
			continue;
		for (j = 0; j < 4; j++)
			out[j] = (out[j] & ~cc->mask[j]) | td->cpuid[i].reg[j];
	}
	i = field & 1 ? 2 : 0;
	*value = out[i] | (u64)out[i + 1] << 32;
	return true;
}

u64 mng_rd(struct call *c)
{
	u64 s = td_get(c, c->rcx, OP_RCX, false,
		       BUILD_OR_RUN);
	struct tdxemu_td *td = c->td;
	u64 key = TDXEMU_FIELD_KEY(c->rdx), v;

	c->a->r8 = 0;
	if (s)
		return s;
	/* Leaf, subleaf and element are in bits 16:0. */
	if ((key & ~0x1ffffull) == TDXEMU_FIELD_KEY(F_CPUID_VALUES)) {
		if (!td_cpuid(td, c->rdx, &v))
			return ST_METADATA_FIELD_ID_INCORRECT;
	} else if (key == F_TSC_OFFSET) {
		v = 0;
	} else if (key == F_TSC_MULTIPLIER) {
		v = 1ull << 48;	/* one */
	} else {
		return ST_METADATA_FIELD_ID_INCORRECT;
	}
	c->a->r8 = v;
	return 0;
}

u64 mr_extend(struct call *c)
{
	u64 s = td_get(c, c->rdx, OP_RDX, true, STATE(TD_INITIALIZED)), gpa;
	struct sept_ref r;

	c->a->rcx = c->a->rdx = 0;
	if (s)
		return s;
	if (!aligned(c->rcx, 256) || c->rcx >> (c->td->gpaw - 1))
		return ST_OPERAND_INVALID | OP_RCX;
	gpa = c->rcx & GPA_MASK;
	s = sept_lock_tree(c, false);
	if (!s)
		s = sept_find(c, gpa, 0, &r);
	if (s)
		return s;
	if (sept_state(r.e) != S_MAPPED)
		return sept_info(c, &r, ST_EPT_ENTRY_NOT_PRESENT);
	c->td->extended++;
	return 0;
}

u64 mr_finalize(struct call *c)
{
	u64 s = td_get(c, c->rcx, OP_RCX, true, STATE(TD_INITIALIZED));

	if (s)
		return s;
	if (!c->td->nr_vcpus)
		return ST_NO_VCPUS;
	atomic_set_to(&c->td->op_state, TD_RUNNABLE);
	return 0;
}
