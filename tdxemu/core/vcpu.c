// SPDX-License-Identifier: GPL-2.0
/* vCPUs: life cycle, association, entry and exit, epochs. */

#include "core.h"

#define NONE	(-1)

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
static u64 vp_get(struct call *c, u64 pa, unsigned int op_states, struct tdxemu_vp **vp)
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
		if (c->leaf != VP_INIT && atomic_get(&v->cpu) != NONE &&
		    atomic_get(&v->cpu) != (s32)c->cpu)
			return ST_VCPU_ASSOCIATED;
	}
	return call_lock(c, &v->lock, true, OP_TDVPS, ST_OPERAND_BUSY | OP_RCX);
}

/*
 * Associate with this LP. Locks of the vCPU are held, so the field is stable,
 * except that another vCPU's leaf may read it.
 */
static u64 associate(struct call *c, struct tdxemu_vp *vp)
{
	if (vp->cpu == (s32)c->cpu)
		return 0;
	if (vp->cpu != NONE)
		return ST_VCPU_ASSOCIATED;
	atomic_set_to(&vp->cpu, (s32)c->cpu);
	vp->fresh = true;
	atomic_add(&c->td->nr_associated, 1);
	return 0;
}

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
	vp->cpu = NONE;
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
	associate(c, vp);
	vp->state = VP_READY;
	return 0;
}

#define FIELD_KEY(id)	((id) & (1ull << 63 | 0x3full << 56 | 0xffffff))
#define F_VMCS(x)	((u64)(x))
#define F_PEND_NMI	(32ull << 56 | 11)
#define F_STATE_DETAILS	(1ull << 63 | 17ull << 56 | 0x100)
#define F_SHARED_EPTP	F_VMCS(0x203c)

/* What the host may write, and the bits it may. */
static const struct {
	u64 key, mask;
} writable[] = {
	{ F_VMCS(0x0002), 0xffff },	/* posted-interrupt notification vector */
	{ F_VMCS(0x2016), ~0ull },	/* posted-interrupt descriptor address */
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

static struct vp_field *field_of(struct tdxemu_vp *vp, u64 key, bool make)
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
	struct vp_field *f = field_of(vp, FIELD_KEY(field), false);

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
	struct vp_field *f = field_of(vp, F_PEND_NMI, false);

	return f && __atomic_exchange_n(&f->value, 0, __ATOMIC_ACQ_REL);
}

u64 vp_wr(struct call *c)
{
	u64 key = FIELD_KEY(c->rdx), mask = c->a->r9, s, old = 0;
	struct tdxemu_vp *vp;
	struct vp_field *f;
	u64 allowed;

	s = vp_get(c, c->rcx, STATE(TD_INITIALIZED) | STATE(TD_RUNNABLE), &vp);
	if (s)
		return s;
	if (vp->state == VP_UNINIT || vp->state == VP_DISABLED)
		return ST_VCPU_STATE_INCORRECT;
	s = associate(c, vp);
	if (s)
		return s;
	if (key == F_STATE_DETAILS)
		return ST_METADATA_FIELD_NOT_WRITABLE;
	allowed = writable_bits(key);
	if (!allowed)
		return ST_METADATA_FIELD_ID_INCORRECT;
	if (mask & ~allowed & c->r8)
		return ST_METADATA_FIELD_NOT_WRITABLE;
	mask &= allowed;
	f = field_of(vp, key, true);
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
	u64 s, v = 0;

	c->a->r8 = 0;
	s = vp_get(c, c->rcx, STATE(TD_INITIALIZED) | STATE(TD_RUNNABLE), &vp);
	if (s)
		return s;
	if (vp->state == VP_UNINIT)
		return ST_VCPU_STATE_INCORRECT;
	s = associate(c, vp);
	if (s)
		return s;
	if (!tdxemu_vp_field(vp, c->rdx, &v) &&
	    !(sys->p.vp_read && sys->p.vp_read(vp, c->rdx, &v)) &&
	    FIELD_KEY(c->rdx) != F_STATE_DETAILS && !writable_bits(FIELD_KEY(c->rdx)))
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
	atomic_set_to(&vp->cpu, NONE);
	atomic_add(&c->td->nr_associated, -1);
	return 0;
}

/* The TDVPR is reclaimed, or about to be. */
void vp_gone(struct tdxemu_vp *vp)
{
	if (vp->initialized && sys->p.vp_free)
		sys->p.vp_free(vp);
	vp->initialized = false;
	vp->magic = 0;
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
	s = associate(c, vp);
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

/* Register n of an exit; NULL for RAX, RCX, RSP and RBP, which are not passed. */
static u64 *exit_reg(struct tdxemu_args *a, unsigned int n)
{
	u64 *const reg[16] = {
		[2] = &a->rdx, [3] = &a->rbx, [6] = &a->rsi, [7] = &a->rdi,
		[8] = &a->r8, [9] = &a->r9, [10] = &a->r10, [11] = &a->r11,
		[12] = &a->r12, [13] = &a->r13, [14] = &a->r14, [15] = &a->r15,
	};

	return reg[n];
}

/**
 * tdxemu_vmcall() - TDCALL leaf 0
 * @vp: the vCPU that runs
 * @gpr: its registers; RCX says which of them the host gets
 * @exit: registers of the exit
 *
 * Return: 0: leave the TD with exit reason 77, the RIP after the TDCALL. Else the
 * guest stays, with this in RAX.
 */
u64 tdxemu_vmcall(struct tdxemu_vp *vp, const u64 gpr[16], struct tdxemu_args *exit)
{
	struct tdxemu_td *td = tdxemu_vp_td(vp);
	u64 allowed = 0xffffffec, mask = gpr[1];
	unsigned int i;

	/*
	 * Bits 0, 1, 4 never. Those above 15 are for XMM registers, which are not
	 * passed here, nor is RBP: the host's side of the call has neither.
	 */
	if (td->config_flags & CONFIG_NO_RBP_MOD)
		allowed &= ~(1ull << 5);
	if (mask & ~allowed) {
		trace_guest(vp, TDG_CALL_VP_VMCALL, mask, ST_OPERAND_INVALID | OP_RCX);
		return ST_OPERAND_INVALID | OP_RCX;
	}
	memset(exit, 0, sizeof(*exit));
	exit->rcx = mask;
	for (i = 0; i < 16; i++)
		if ((mask >> i & 1) && exit_reg(exit, i))
			*exit_reg(exit, i) = gpr[i];
	vp->vmcall_mask = mask | 1ull << 63;
	return 0;
}

/**
 * tdxemu_vmcall_resume() - take the host's answer to a TDVMCALL
 * @vp: the vCPU that is entered
 * @gpr: its registers
 * @args: what the host passed to VP.ENTER
 *
 * Does nothing if the last exit was none.
 */
void tdxemu_vmcall_resume(struct tdxemu_vp *vp, u64 gpr[16],
			  const struct tdxemu_args *args)
{
	unsigned int i;

	if (!(vp->vmcall_mask >> 63))
		return;
	for (i = 0; i < 16; i++)
		if ((vp->vmcall_mask >> i & 1) && exit_reg((struct tdxemu_args *)args, i))
			gpr[i] = *exit_reg((struct tdxemu_args *)args, i);
	gpr[0] = 0;
	vp->vmcall_mask = 0;
}
