// SPDX-License-Identifier: GPL-2.0
/* VP leaves: creation, fields, entry and exit with their epochs. */

#include "core.h"

u64 vp_create(struct call *c)
{
	u64 s = td_get(c, c->rdx, OP_RDX, false, STATE(TD_INITIALIZED));
	struct tdxemu_td *td = c->td;
	struct tdxemu_vp *vp;
	struct page_ref r;

	if (s)
		return s;
	s = page_free_operand(c, c->rcx, OP_RCX, 0, &r);
	if (s)
		return s;
	page_assign(&r, PT_TDVPR, td, 0);
	vp = va(c->rcx);
	memset(vp, 0, PAGE);
	vp->magic = VP_MAGIC;
	vp->pa = c->rcx;
	vp->td_pa = td->pa;
	vp->cpu = NO_CPU;
	atomic_add(&td->chldcnt, 1);
	atomic_add(&td->nr_created, 1);
	return 0;
}

u64 vp_addcx(struct call *c)
{
	struct tdxemu_vp *vp;
	struct page_ref r;
	u64 s;

	/* RCX is the new page; the vCPU is RDX. */
	s = page_lock(c, c->rdx, OP_RDX, 0, false, &r);
	if (s)
		return s;
	if (r.e->type != PT_TDVPR)
		return ST_PAGE_METADATA_INCORRECT | OP_RDX;
	vp = va(c->rdx);
	s = td_get(c, (u64)r.e->owner * PAGE, OP_TDR, false, STATE(TD_INITIALIZED));
	if (!s)
		s = call_lock(c, &vp->lock, true, OP_TDVPS, ST_OPERAND_BUSY | OP_RDX);
	if (s)
		return s;
	if (vp->state != VP_UNINIT)
		return ST_VCPU_STATE_INCORRECT;
	if (vp->nr_tdvpx == NR_TDVPX)
		return ST_TDCX_NUM_INCORRECT;
	s = page_free_operand(c, c->rcx, OP_RCX, 0, &r);
	if (s)
		return s;
	page_assign(&r, PT_TDCX, c->td, 0);
	memset(va(c->rcx), 0, PAGE);
	vp->tdvpx[vp->nr_tdvpx++] = c->rcx;
	atomic_add(&c->td->chldcnt, 1);
	return 0;
}

static bool apic_id_taken(struct tdxemu_td *td, u32 apic_id)
{
	u32 i;

	for (i = 0; i < td->nr_vcpus; i++)
		if (((struct tdxemu_vp *)va(*vp_slot(td, i)))->apic_id == apic_id)
			return true;
	return false;
}

/* The core's own lock guards the list of vCPUs against VP.INIT of version 0. */
u64 vp_init(struct call *c)
{
	struct tdxemu_vp_init init;
	struct tdxemu_td *td;
	struct tdxemu_vp *vp;
	unsigned long flags;
	u64 s;

	s = vp_get(c, c->rcx, STATE(TD_INITIALIZED), &vp);
	if (s)
		return s;
	td = c->td;
	if (vp->state != VP_UNINIT)
		return ST_VCPU_STATE_INCORRECT;
	if (vp->nr_tdvpx != NR_TDVPX)
		return ST_TDCX_NUM_INCORRECT;
	if (c->version && c->r8 >> 32)
		return ST_OPERAND_INVALID | OP_R8;
	flags = core_lock();
	vp->apic_id = c->version ? c->r8 : td->nr_vcpus;
	if (td->nr_vcpus == td->max_vcpus)
		s = ST_MAX_VCPUS_EXCEEDED;
	else if (apic_id_taken(td, vp->apic_id))
		s = ST_X2APIC_ID_NOT_UNIQUE | vp->apic_id;
	if (!s) {
		vp->index = td->nr_vcpus;
		st(vp_slot(td, vp->index), vp->pa);
		atomic_set_to(&td->nr_vcpus, td->nr_vcpus + 1);
	}
	core_unlock(flags);
	if (s)
		return s;
	init = (struct tdxemu_vp_init){
		.rcx = c->rdx, .attributes = td->attributes, .xfam = td->xfam,
		.index = vp->index, .apic_id = vp->apic_id, .gpaw = td->gpaw,
		.sept_ve_disable = td->attributes & ATTR_SEPT_VE_DISABLE,
	};
	if (sys->p.vp_init && !sys->p.vp_init(vp, &init)) {
		/* Its number is used up: it can neither run nor be tried again. */
		vp->state = VP_DISABLED;
		return ST_OPERAND_BUSY | OP_RCX;
	}
	vp->initialized = true;
	vp_associate(c, vp);
	vp->state = VP_READY;
	return 0;
}

/* What the host may write, and the bits it may. */
static const struct {
	u64 key, mask;
} writable[] = {
	{ F_VMCS(0x0002), 0xffff },	/* posted-interrupt notification vector */
	{ TDXEMU_F_POSTED_INTR_DESC, ~0ull },	/* posted-interrupt descriptor address */
	{ F_VMCS(0x4000), 1ull << 7 },	/* pin-based: process posted interrupts */
	{ F_VMCS(0x401e), 1ull << 30 | 1ull << 31 }, /* bus lock, notification exits */
	{ F_VMCS(0x4024), ~0ull >> 32 },	/* notification window */
	{ F_SHARED_EPTP, ~0ull },
	{ F_PEND_NMI, 1 },
};

/* The bits, 0: none. */
static u64 writable_bits(u64 key)
{
	unsigned int i;

	for (i = 0; i < ARRAY_LEN(writable); i++)
		if (writable[i].key == key)
			return writable[i].mask;
	return 0;
}

u64 vp_wr(struct call *c)
{
	u64 key = TDXEMU_FIELD_KEY(c->rdx), mask = c->a->r9, s, old = 0;
	struct tdxemu_vp *vp;
	struct vp_field *f;
	u64 allowed;

	s = vp_get(c, c->rcx, BUILD_OR_RUN, &vp);
	if (s)
		return s;
	if (vp->state == VP_UNINIT || vp->state == VP_DISABLED)
		return ST_VCPU_STATE_INCORRECT;
	s = vp_associate(c, vp);
	if (s)
		return s;
	if (key == TDXEMU_F_STATE_DETAILS)
		return ST_METADATA_FIELD_NOT_WRITABLE;
	allowed = writable_bits(key);
	if (!allowed)
		return ST_METADATA_FIELD_ID_INCORRECT;
	if (mask & ~allowed & c->r8)
		return ST_METADATA_FIELD_NOT_WRITABLE;
	mask &= allowed;
	f = vp_field_of(vp, key, true);
	old = f->value;
	st(&f->value, (old & ~mask) | (c->r8 & mask));
	if (key == F_SHARED_EPTP)
		st(&vp->shared_eptp, f->value);
	c->a->r8 = old;
	return 0;
}

u64 vp_rd(struct call *c)
{
	struct tdxemu_vp *vp;
	u64 key = TDXEMU_FIELD_KEY(c->rdx), s, v = 0;

	c->a->r8 = 0;
	s = vp_get(c, c->rcx, BUILD_OR_RUN, &vp);
	if (s)
		return s;
	if (vp->state == VP_UNINIT)
		return ST_VCPU_STATE_INCORRECT;
	s = vp_associate(c, vp);
	if (s)
		return s;
	if (!tdxemu_vp_field(vp, c->rdx, &v) &&
	    !(sys->p.vp_read && sys->p.vp_read(vp, c->rdx, &v)) &&
	    key != TDXEMU_F_STATE_DETAILS && !writable_bits(key))
		return ST_METADATA_FIELD_ID_INCORRECT;
	c->a->r8 = v;
	return 0;
}

u64 vp_flush(struct call *c)
{
	struct tdxemu_vp *vp;
	u64 s = vp_get(c, c->rcx, 0, &vp);

	if (s)
		return s;
	/* Not with this CPU; with another one is no different. */
	if (vp->cpu != (s32)c->cpu)
		return ST_VCPU_NOT_ASSOCIATED;
	tlb_drop(vp);
	atomic_set_to(&vp->cpu, NO_CPU);
	atomic_add(&c->td->nr_associated, -1);
	return 0;
}

/*
 * Sample the epoch, and drop what could be stale. TRACK holds the epoch lock
 * meanwhile, or sees the raised count.
 */
static u64 enter_epoch(struct call *c, struct tdxemu_vp *vp)
{
	struct tdxemu_td *td = c->td;
	unsigned int mark = c->nr_held;
	bool flush;
	u64 s, e;

	s = call_lock(c, &td->epoch_lock, false, OP_EPOCH, ST_OPERAND_BUSY | OP_EPOCH);
	if (s)
		return s;
	e = ld(&td->epoch);
	atomic_add(&td->refcount[e & 1], 1);
	flush = vp->epoch != e || vp->fresh || sys->last_vp[c->cpu] != vp->pa;
	if (flush && !fault_hit(c, TDXEMU_FAULT_SKIP_FLUSH, 0, NULL))
		tlb_drop(vp);
	sys->last_vp[c->cpu] = vp->pa;
	vp->fresh = false;
	vp->entered = e;
	/* Before the epoch: the oracle takes it for one that keeps its TLB. */
	atomic_set_to(&vp->inside, true);
	st(&vp->epoch, e);
	atomic_add(&td->inside, 1);
	call_unlock_to(c, mark);
	return 0;
}

static void leave(struct tdxemu_td *td, struct tdxemu_vp *vp)
{
	/* Who sees nobody inside must not find anybody counted, nor a live TLB. */
	atomic_set_to(&vp->inside, false);
	atomic_add(&td->refcount[vp->entered & 1], -1);
	atomic_add(&td->inside, -1);
}

/* RAX and registers of an exit by the rules of section D.1. */
static u64 epilogue(struct call *c, struct tdxemu_vp *vp, u64 rax)
{
	u32 reason = rax;
	struct tdxemu_args *a = c->a;

	if (reason != EXIT_TDCALL || rax >> 32) {
		a->r10 = a->r11 = a->r12 = a->r13 = a->r14 = a->r15 = 0;
		a->rbx = a->rsi = a->rdi = 0;
		vp->vmcall_mask = 0;
	}
	if (reason == EXIT_EPT_VIOLATION && !(rax >> 32)) {
		a->rcx &= ~0x1f80ull;
		a->r8 &= ~0xfffull;
	}
	if ((rax & ST_MASK) == ST_NON_RECOVERABLE_VCPU)
		vp->state = VP_DISABLED;
	if ((rax & ST_MASK) == ST_NON_RECOVERABLE_TD ||
	    (rax & ST_MASK) == ST_NON_RECOVERABLE_TD_MODULE ||
	    (rax & ST_MASK) == ST_TD_NON_ACCESSIBLE)
		atomic_set_to(&c->td->fatal, 1);
	if ((rax & ST_MASK) == ST_NON_RECOVERABLE_TD && sys->p.fatal_encodings)
		rax |= ST_NON_RECOVERABLE_TD_MODULE;
	return rax;
}

/*
 * Violations of private memory at one and the same RIP: a host may be making
 * the guest repeat an instruction. ACCEPT's exits don't count: it is repeated at
 * one RIP for page after page, and no page would be mapped for it otherwise.
 */
static void note_violation(struct tdxemu_vp *vp, u64 rax, const struct tdxemu_args *a)
{
	struct tdxemu_td *td = tdxemu_vp_td(vp);
	u64 rip;

	/* The guest has got on. */
	if (rax == EXIT_TDCALL)
		vp->step.nr = 0;
	if (rax != EXIT_EPT_VIOLATION || !sys->p.rip || a->r8 >> (td->gpaw - 1) ||
	    (a->rdx & EXT_TYPE) == EXT_ACCEPT)
		return;
	rip = sys->p.rip(vp);
	if (vp->step.rip != rip) {
		vp->step.rip = rip;
		vp->step.nr = 0;
	}
	if (vp->step.nr < STEP_LIST)
		vp->step.gpa[vp->step.nr++] = a->r8;
}

/* Would the guest fault at an address, whatever it does there? */
static bool would_fault(struct tdxemu_td *td, u64 gpa)
{
	struct sept_ref r;

	sept_walk(td, gpa, 0, &r);
	switch (sept_state(r.e)) {
	case S_MAPPED:
		return false;
	case S_PENDING:
		return pending_ve_off(td);
	}
	return true;
}

/*
 * Once there were too many violations: as long as a page that the guest wanted is
 * not there, it is not entered, and the host sees the violation again.
 *
 * Return: 0 to enter the guest, else what VP.ENTER returns.
 */
static u64 zero_step(struct call *c, struct tdxemu_vp *vp)
{
	unsigned int mark = c->nr_held, i;
	u64 s;

	if (fault_hit(c, TDXEMU_FAULT_ZERO_STEP, 0, NULL))
		return ST_OPERAND_BUSY | OP_TREE;
	if (vp->step.nr < STEP_THRESHOLD)
		return 0;
	s = sept_lock_tree(c, false);
	if (s)
		return s;
	for (i = 0; i < vp->step.nr && !s; i++) {
		if (!would_fault(c->td, vp->step.gpa[i]))
			continue;
		memset(c->a, 0, sizeof(*c->a));
		c->a->rcx = TDXEMU_WRITE;
		c->a->r8 = vp->step.gpa[i];
		s = EXIT_EPT_VIOLATION;
	}
	call_unlock_to(c, mark);
	return s;
}

u64 vp_enter(struct call *c)
{
	struct tdxemu_vp *vp;
	u64 s, now;

	s = vp_get(c, c->rcx & ~3ull, STATE(TD_RUNNABLE), &vp);
	if (s)
		return s;
	if (c->rcx & 3)
		return ST_OPERAND_INVALID | OP_RCX;
	if (vp->state == VP_UNINIT || vp->state == VP_DISABLED)
		return ST_VCPU_STATE_INCORRECT;
	s = vp_associate(c, vp);
	if (s)
		return s;
	if (sys->p.tsc) {
		now = sys->p.tsc();
		if (now < vp->last_tsc)
			return ST_TSC_ROLLBACK;
		vp->last_tsc = now;
	}
	s = zero_step(c, vp);
	if (s)
		return s;
	s = enter_epoch(c, vp);
	if (s)
		return s;
	vp->state = VP_ACTIVE;
	if (fault_hit(c, TDXEMU_FAULT_MACHINE_CHECK, 0, NULL)) {
		memset(c->a, 0, sizeof(*c->a));
		s = epilogue(c, vp, ST_NON_RECOVERABLE_TD | EXIT_EXCEPTION);
	} else {
		s = epilogue(c, vp, sys->p.run(vp, c->a));
		note_violation(vp, s, c->a);
	}
	leave(c->td, vp);
	return s;
}
