// SPDX-License-Identifier: GPL-2.0
/* vCPUs: as an operand, association, what the host wrote to them. */

#include "core.h"

/* Where a TD notes the TDVPR of its n'th vCPU. */
u64 *vp_slot(struct tdxemu_td *td, u32 index)
{
	u32 per_page = PAGE / sizeof(u64);

	return (u64 *)va(td->tdcx[1 + index / per_page]) + index % per_page;
}

/*
 * A vCPU as an operand, and its TD. Two leaves at one vCPU exclude each other: the
 * real module needs no lock for that, as both would be on one LP.
 *
 * VP.INIT of version 1 adds to the list of the TD's x2APIC IDs: it is alone at
 * the TD, and at the vCPU.
 */
u64 vp_get(struct call *c, u64 pa, unsigned int op_states, struct tdxemu_vp **vp)
{
	bool excl = c->leaf == VP_INIT && c->version;
	struct page_ref r;
	struct tdxemu_vp *v;
	u64 s;

	/* The PAMT entry: nobody reclaims it. */
	s = page_lock(c, pa, OP_RCX, 0, excl, &r);
	if (s)
		return s;
	if (r.e->type != PT_TDVPR)
		return ST_PAGE_METADATA_INCORRECT | OP_RCX;
	v = va(pa);
	if (v->magic != VP_MAGIC || v->pa != pa || v->td_pa != (u64)r.e->owner * PAGE) {
		violation(c, TDXEMU_RULE_CONTENTS, "the host wrote to TDVPR %0", pa, 0, 0, 0);
		return ST_PAGE_METADATA_INCORRECT | OP_RCX;
	}
	*vp = v;
	s = td_lock(c, v->td_pa, OP_TDR, excl);
	if (s)
		return s;
	if (c->leaf == VP_FLUSH) {
		/* Of a TD that is fatal, too. */
		if (c->td->lifecycle != LC_KEYS_CONFIGURED)
			return ST_TD_KEYS_NOT_CONFIGURED;
	} else {
		s = td_check(c, op_states);
		if (s)
			return s;
		/* The state comes before the association. */
		if (atomic_get(&v->state) == VP_ACTIVE && atomic_get(&v->inside))
			return ST_VCPU_STATE_INCORRECT;
		if (c->leaf != VP_INIT && atomic_get(&v->cpu) != NO_CPU &&
		    atomic_get(&v->cpu) != (s32)c->cpu)
			return ST_VCPU_ASSOCIATED;
	}
	return call_lock(c, &v->lock, true, OP_TDVPS, ST_OPERAND_BUSY | OP_RCX);
}

/*
 * Associate with this LP. Locks of the vCPU are held, so the field is stable,
 * except that another vCPU's leaf may read it.
 */
u64 vp_associate(struct call *c, struct tdxemu_vp *vp)
{
	if (vp->cpu == (s32)c->cpu)
		return 0;
	if (vp->cpu != NO_CPU)
		return ST_VCPU_ASSOCIATED;
	atomic_set_to(&vp->cpu, (s32)c->cpu);
	vp->fresh = true;
	atomic_add(&c->td->nr_associated, 1);
	return 0;
}

struct vp_field *vp_field_of(struct tdxemu_vp *vp, u64 key, bool make)
{
	u32 i;

	for (i = 0; i < vp->nr_fields; i++)
		if (vp->field[i].id == key)
			return &vp->field[i];
	if (!make || vp->nr_fields == VP_FIELDS)
		return NULL;
	vp->field[i] = (struct vp_field){ .id = key };
	vp->nr_fields++;
	return &vp->field[i];
}

/**
 * tdxemu_vp_field() - what the host wrote with VP.WR
 * @vp: the vCPU
 * @field: class and code as VP.WR has them
 * @value: what it wrote
 *
 * Return: false if it never did.
 */
bool tdxemu_vp_field(struct tdxemu_vp *vp, u64 field, u64 *value)
{
	struct vp_field *f = vp_field_of(vp, TDXEMU_FIELD_KEY(field), false);

	if (f)
		*value = ld(&f->value);
	return f;
}

u64 tdxemu_shared_eptp(struct tdxemu_vp *vp)
{
	return ld(&vp->shared_eptp);
}

/** tdxemu_take_nmi() - has the host asked for an NMI? It is taken by this call. */
bool tdxemu_take_nmi(struct tdxemu_vp *vp)
{
	struct vp_field *f = vp_field_of(vp, F_PEND_NMI, false);

	return f && __atomic_exchange_n(&f->value, 0, __ATOMIC_ACQ_REL);
}

/* The TDVPR is reclaimed, or about to be. */
void vp_gone(struct tdxemu_vp *vp)
{
	if (vp->initialized && sys->p.vp_free)
		sys->p.vp_free(vp);
	vp->initialized = false;
	vp->magic = 0;
}

void tdxemu_vp_set_priv(struct tdxemu_vp *vp, void *priv)
{
	vp->priv = priv;
}

void *tdxemu_vp_priv(struct tdxemu_vp *vp)
{
	return vp->priv;
}

/** tdxemu_vp_td() - the TD of a vCPU; it lives while the vCPU's TDVPR does */
struct tdxemu_td *tdxemu_vp_td(struct tdxemu_vp *vp)
{
	return va(vp->td_pa);
}

u64 tdxemu_vp_pa(struct tdxemu_vp *vp)
{
	return vp->pa;
}

/**
 * tdxemu_vp_at() - a vCPU by its TDVPR
 * @tdvpr_pa: address of the TDVPR
 *
 * Return: NULL if no vCPU lives there.
 */
struct tdxemu_vp *tdxemu_vp_at(u64 tdvpr_pa)
{
	unsigned int level = 0;
	struct pamt *e = pamt_find(tdvpr_pa, &level);
	struct tdxemu_vp *vp;

	if (!e || level || e->type != PT_TDVPR)
		return NULL;
	vp = va(tdvpr_pa);
	return vp->magic == VP_MAGIC ? vp : NULL;
}
