// SPDX-License-Identifier: GPL-2.0
/*
 * What a TD's own CPU does: translate; TDCALLs, of which ACCEPT is the one that meets
 * the host.
 */

#include "core.h"

/* The oracle's look at what a walk found. */
static void check_owner(struct tdxemu_td *td, u64 gpa, u64 hpa, unsigned int level)
{
	unsigned int l = 0;
	struct pamt *e = pamt_find(hpa, &l);

	if (!e || e->type != PT_REG || (u64)e->owner * PAGE != td->pa || l != level ||
	    (ld(&e->word) & GPN_MASK) != (gpa & ~(level_size(level) - 1)) / PAGE)
		violation(NULL, TDXEMU_RULE_ALIAS,
			  "TD %0 maps page %1 at %2 level %3, the PAMT says otherwise",
			  td->pa, hpa, gpa, level);
}

static u64 ext_info(u64 type, unsigned int want, const struct sept_ref *r)
{
	return type | (u64)want << 32 | (u64)r->level << 35 |
	       (u64)sept_state(r->e) << 38 | (u64)e_is_leaf(r->e) << 46;
}

static enum tdxemu_access_result exit_at(struct tdxemu_access *a, u64 gpa, u64 qual, u64 ext)
{
	a->gpa = gpa & ~(PAGE - 1);
	a->qual = qual;
	a->ext = ext;
	return TDXEMU_EXIT;
}

/**
 * tdxemu_access() - a vCPU accesses memory
 * @vp: the vCPU, inside the TD, on its own CPU
 * @gpa: guest physical address, with the shared bit if it is shared
 * @access: TDXEMU_READ, TDXEMU_WRITE, TDXEMU_EXEC
 * @a: the outcome
 *
 * Private translations come from the TLB model first: a vCPU that nobody kicked
 * goes on using what it has.
 */
enum tdxemu_access_result tdxemu_access(struct tdxemu_vp *vp, u64 gpa,
					unsigned int access, struct tdxemu_access *a)
{
	struct tdxemu_td *td = tdxemu_vp_td(vp);
	u64 shared = 1ull << (td->gpaw - 1);
	struct sept_ref r;

	memset(a, 0, sizeof(*a));
	if (gpa >= 2 * shared)
		return TDXEMU_PF_RSVD;
	a->gpa = gpa & ~(PAGE - 1);
	a->qual = access;
	if (gpa & shared)
		return TDXEMU_SHARED;
	if (tlb_lookup(vp, gpa, access, a))
		return TDXEMU_OK;
	sept_walk(td, gpa, 0, &r);
	switch (sept_state(r.e)) {
	case S_MAPPED:
		a->level = r.level;
		a->hpa = (r.e & E_ADDR) | (gpa & (level_size(r.level) - 1));
		check_owner(td, gpa, r.e & E_ADDR, r.level);
		tlb_insert(vp, gpa, r.level, a);
		return TDXEMU_OK;
	case S_PENDING:
		if (!pending_ve_off(td))
			return TDXEMU_VE;
		/* Older modules do not say why, and the host cannot tell it from BLOCKED. */
		return exit_at(a, gpa, access,
			       sys->p.features0 & TDXEMU_F0_PENDING_VIOLATION ?
			       EXT_PENDING : 0);
	}
	return exit_at(a, gpa, access, 0);
}

static enum tdxemu_access_result accept_status(struct tdxemu_vp *vp, u64 rcx,
					       struct tdxemu_access *a, u64 status)
{
	trace_guest(vp, TDG_CALL_PAGE_ACCEPT, rcx, status);
	a->status = status;
	return TDXEMU_STATUS;
}

/*
 * Zero a page that is locked; 2 MiB one 4 KiB page after the other. Where it was
 * interrupted is in the entry, which the host's BLOCK, DEMOTE... erase.
 */
static bool zero_page(struct sept_ref *r)
{
	u64 done = r->level ? r->e & E_ACCEPT : 0, hpa;
	u64 end = level_size(r->level);

	hpa = r->e & E_ADDR & ~(end - 1);
	while (done < end) {
		memset(va(hpa + done), 0, PAGE);
		done += PAGE;
		if (done == end)
			break;
		r->e = (r->e & ~E_ACCEPT) | done;
		entry_store(r->p, r->e);
		if (sys->p.irq_pending && sys->p.irq_pending())
			return false;
	}
	return true;
}

/* The guest was refused for the host's sake: since when? */
static bool host_waits_too_long(struct tdxemu_vp *vp)
{
	u64 now = sys->p.tsc ? sys->p.tsc() : 0;

	if (!sys->p.host_priority_ticks)
		return false;
	if (!vp->host_waits) {
		vp->host_waits = now | 1;
		return false;
	}
	if (now - vp->host_waits < sys->p.host_priority_ticks)
		return false;
	vp->host_waits = 0;
	return true;
}

/**
 * tdxemu_accept() - TDG.MEM.PAGE.ACCEPT
 * @vp: the vCPU, inside the TD, on its own CPU
 * @rcx: gpa|level
 * @a: the outcome
 *
 * Takes no tree lock: the walk races with the host, and the entry lock decides.
 * A host that was refused the entry comes first: BUSY until it has had it, and an
 * exit if that takes too long.
 *
 * Return: TDXEMU_STATUS: the guest goes on with @a->status in RAX; TDXEMU_EXIT:
 * leave with an EPT violation, the RIP at the TDCALL; TDXEMU_INTERRUPTED: leave
 * for the interrupt, the RIP at the TDCALL; TDXEMU_LEAVE: the same with @a->status
 * as the status of VP.ENTER.
 */
enum tdxemu_access_result tdxemu_accept(struct tdxemu_vp *vp, u64 rcx,
					struct tdxemu_access *a)
{
	struct tdxemu_td *td = tdxemu_vp_td(vp);
	unsigned int level = rcx & 7;
	u64 gpa = rcx & GPA_MASK, old;
	struct sept_ref r;
	u8 state;
	bool done;

	memset(a, 0, sizeof(*a));
	if ((rcx & ~(GPA_MASK | 7)) || level > 1 || !aligned(gpa, level_size(level)) ||
	    gpa >> (td->gpaw - 1))
		return accept_status(vp, rcx, a, ST_OPERAND_INVALID | OP_RCX);
	if (!sept_walk(td, gpa, level, &r)) {
		/* Larger than asked for, or nothing there. */
		if (sept_state(r.e) == S_MAPPED)
			return accept_status(vp, rcx, a, ST_PAGE_ALREADY_ACCEPTED | r.level);
		goto exit;
	}
	if (!entry_lock_guest(r.p, &old)) {
		if ((old & E_HOST) && host_waits_too_long(vp)) {
			trace_guest(vp, TDG_CALL_PAGE_ACCEPT, rcx, ST_HOST_PRIORITY_BUSY_TIMEOUT);
			a->status = ST_HOST_PRIORITY_BUSY_TIMEOUT;
			return TDXEMU_LEAVE;
		}
		return accept_status(vp, rcx, a, ST_OPERAND_BUSY | OP_RCX);
	}
	vp->host_waits = 0;
	r.e = old;
	state = sept_state(r.e);
	if (state != S_PENDING) {
		__atomic_and_fetch(r.p, ~E_LOCK, __ATOMIC_RELEASE);
		if (state == S_MAPPED)
			return accept_status(vp, rcx, a, ST_PAGE_ALREADY_ACCEPTED | level);
		if (state == S_NL_MAPPED || state == S_NL_BLOCKED)
			return accept_status(vp, rcx, a, ST_PAGE_SIZE_MISMATCH | level);
		goto exit;
	}
	done = zero_page(&r);
	if (done)
		entry_store(r.p, (r.e & ~(E_PENDING | (level ? E_ACCEPT : 0))) | E_RWX);
	__atomic_and_fetch(r.p, ~E_LOCK, __ATOMIC_RELEASE);
	if (!done)
		return TDXEMU_INTERRUPTED;
	return accept_status(vp, rcx, a, 0);
exit:
	trace_guest(vp, TDG_CALL_PAGE_ACCEPT, rcx, EXIT_EPT_VIOLATION);
	return exit_at(a, gpa, TDXEMU_WRITE, ext_info(EXT_ACCEPT, level, &r));
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

/** tdxemu_vp_info() - TDG.VP.INFO; returns RAX */
u64 tdxemu_vp_info(struct tdxemu_vp *vp, u64 gpr[16])
{
	struct tdxemu_td *td = tdxemu_vp_td(vp);

	gpr[1] = td->gpaw;
	gpr[2] = td->attributes;
	gpr[8] = td->nr_vcpus | (u64)td->max_vcpus << 32;
	gpr[9] = vp->index;
	/* TDG.SYS.RD and its kin may be called. */
	gpr[10] = 1;
	gpr[11] = 0;
	return 0;
}

/** tdxemu_vm_rd() - TDG.VM.RD: RDX field, R8 value; returns RAX */
u64 tdxemu_vm_rd(struct tdxemu_vp *vp, u64 gpr[16])
{
	struct tdxemu_td *td = tdxemu_vp_td(vp);

	switch (TDXEMU_FIELD_KEY(gpr[2])) {
	case F_CONFIG_FLAGS:
		gpr[8] = td->config_flags;
		return 0;
	case F_TD_CTLS:
		gpr[8] = ld(&td->td_ctls);
		return 0;
	case F_NOTIFY_ENABLES:
		gpr[8] = ld(&td->notify_enables);
		return 0;
	case F_TOPOLOGY:
		gpr[8] = 0;
		return 0;
	}
	gpr[8] = 0;
	return ST_METADATA_FIELD_ID_INCORRECT;
}

/** tdxemu_vm_wr() - TDG.VM.WR: RDX field, R8 value, R9 mask; returns RAX */
u64 tdxemu_vm_wr(struct tdxemu_vp *vp, u64 gpr[16])
{
	struct tdxemu_td *td = tdxemu_vp_td(vp);
	u64 allowed, *p, old, key = TDXEMU_FIELD_KEY(gpr[2]);

	switch (key) {
	case F_TD_CTLS:
		/* Only what is modelled: the flexible pending #VE. */
		p = &td->td_ctls;
		allowed = td->config_flags & CONFIG_FLEXIBLE_PENDING_VE ?
			TD_CTLS_PENDING_VE_OFF : 0;
		break;
	case F_NOTIFY_ENABLES:
		p = &td->notify_enables;
		allowed = 1;
		break;
	case F_CONFIG_FLAGS:
	case F_TOPOLOGY:
		return ST_METADATA_FIELD_NOT_WRITABLE;
	default:
		return ST_METADATA_FIELD_ID_INCORRECT;
	}
	if (gpr[8] & gpr[9] & ~allowed)
		return ST_OPERAND_INVALID | OP_R8;
	old = ld(p);
	st(p, (old & ~gpr[9]) | (gpr[8] & gpr[9] & allowed));
	gpr[8] = old;
	return 0;
}

/** tdxemu_veinfo_pending() - the guest has not fetched what the last #VE was about */
bool tdxemu_veinfo_pending(struct tdxemu_vp *vp)
{
	return vp->ve.valid;
}

/**
 * tdxemu_veinfo_set() - a #VE is delivered
 *
 * Return: false if the guest has not fetched the last one: deliver #DF.
 */
bool tdxemu_veinfo_set(struct tdxemu_vp *vp, u32 reason, u64 qual, u64 gla,
		       u64 gpa, u32 length, u32 info)
{
	if (vp->ve.valid)
		return false;
	vp->ve.reason = reason;
	vp->ve.qual = qual;
	vp->ve.gla = gla;
	vp->ve.gpa = gpa;
	vp->ve.length = length;
	vp->ve.info = info;
	vp->ve.valid = true;
	return true;
}

/** tdxemu_veinfo_get() - TDG.VP.VEINFO.GET; returns RAX */
u64 tdxemu_veinfo_get(struct tdxemu_vp *vp, u64 gpr[16])
{
	if (!vp->ve.valid)
		return ST_NO_VALID_VE_INFO;
	gpr[1] = vp->ve.reason;
	gpr[2] = vp->ve.qual;
	gpr[8] = vp->ve.gla;
	gpr[9] = vp->ve.gpa;
	gpr[10] = vp->ve.length | (u64)vp->ve.info << 32;
	vp->ve.valid = false;
	return 0;
}
