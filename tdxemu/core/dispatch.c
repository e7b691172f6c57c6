// SPDX-License-Identifier: GPL-2.0
/* A SEAMCALL finds its leaf. */

#include "core.h"

/* When a leaf may be called. */
enum phase { EARLY, READY };

#define MEM	1	/* RCX is gpa|level */
#define TD	2	/* td_check() asks for TDXEMU_FAULT_STATUS */

static const struct leaf {
	u64 (*fn)(struct call *c);
	u8 phase, flags, max_version;
} leaves[TDXEMU_NR_LEAVES] = {
	[SYS_INIT]		= { sys_init, EARLY },
	[SYS_LP_INIT]		= { sys_lp_init, EARLY },
	[SYS_RD]		= { sys_rd, EARLY },
	[SYS_CONFIG]		= { sys_config, EARLY },
	[SYS_KEY_CONFIG]	= { sys_key_config, EARLY },
	[SYS_TDMR_INIT]		= { sys_tdmr_init, READY },
	[SYS_SHUTDOWN]		= { sys_shutdown, EARLY },
	[SYS_UPDATE]		= { sys_update, EARLY },
	[SYS_DISABLE]		= { sys_disable, EARLY },
	[PHYMEM_PAGE_RDMD]	= { phymem_page_rdmd, READY },
	[PHYMEM_PAGE_RECLAIM]	= { phymem_page_reclaim, READY },
	[PHYMEM_PAGE_WBINVD]	= { phymem_page_wbinvd, READY },
	[PHYMEM_PAMT_ADD]	= { phymem_pamt_add, READY },
	[PHYMEM_PAMT_REMOVE]	= { phymem_pamt_remove, READY },
	[PHYMEM_CACHE_WB]	= { phymem_cache_wb, READY },
	[MNG_CREATE]		= { mng_create, READY },
	[MNG_KEY_CONFIG]	= { mng_key_config, READY },
	[MNG_ADDCX]		= { mng_addcx, READY, TD },
	[MNG_INIT]		= { mng_init, READY, TD },
	[MNG_RD]		= { mng_rd, READY, TD, 1 },
	[MNG_VPFLUSHDONE]	= { mng_vpflushdone, READY },
	[MNG_KEY_FREEID]	= { mng_key_freeid, READY },
	[MR_EXTEND]		= { mr_extend, READY, TD },
	[MR_FINALIZE]		= { mr_finalize, READY, TD },
	[VP_CREATE]		= { vp_create, READY, TD },
	[VP_ADDCX]		= { vp_addcx, READY, TD },
	[VP_INIT]		= { vp_init, READY, TD, 1 },
	[VP_RD]			= { vp_rd, READY, TD, 1 },
	[VP_WR]			= { vp_wr, READY, TD },
	[VP_ENTER]		= { vp_enter, READY, TD },
	[VP_FLUSH]		= { vp_flush, READY },
	[MEM_PAGE_ADD]		= { mem_page_add, READY, MEM | TD },
	[MEM_SEPT_ADD]		= { mem_sept_add, READY, MEM | TD, 1 },
	[MEM_PAGE_AUG]		= { mem_page_aug, READY, MEM | TD },
	[MEM_RANGE_BLOCK]	= { mem_range_block, READY, MEM | TD },
	[MEM_RANGE_UNBLOCK]	= { mem_range_unblock, READY, MEM | TD },
	[MEM_TRACK]		= { mem_track, READY, TD },
	[MEM_PAGE_REMOVE]	= { mem_page_remove, READY, MEM | TD },
	[MEM_SEPT_REMOVE]	= { mem_sept_remove, READY, MEM | TD, 1 },
	[MEM_SEPT_RD]		= { mem_sept_rd, READY, MEM | TD },
	[MEM_PAGE_DEMOTE]	= { mem_page_demote, READY, MEM | TD },
	[MEM_PAGE_PROMOTE]	= { mem_page_promote, READY, MEM | TD, 1 },
	[MEM_PAGE_RELOCATE]	= { mem_page_relocate, READY, MEM | TD },
};

static u64 dispatch(struct call *c, u64 fn)
{
	const struct leaf *l;
	enum sys_state state = atomic_get(&sys->state);
	u64 status;

	if (fn >> 24 || c->leaf >= TDXEMU_NR_LEAVES || !leaves[c->leaf].fn)
		return ST_OPERAND_INVALID | OP_RAX;
	l = &leaves[c->leaf];
	if (c->version > l->max_version)
		return ST_OPERAND_INVALID | OP_RAX;
	c->memory = l->flags & MEM;
	if (state == SYS_DOWN && c->leaf != SYS_UPDATE && c->leaf != SYS_DISABLE)
		return ST_SYS_SHUTDOWN;
	if (l->phase == READY && state != SYS_READY)
		return ST_SYS_NOT_READY;
	if (c->leaf != SYS_INIT && c->leaf != SYS_LP_INIT && c->leaf != SYS_DISABLE &&
	    !sys->lp_done[c->cpu])
		return ST_SYS_LP_INIT_NOT_DONE;
	if (!(l->flags & TD) && fault_hit(c, TDXEMU_FAULT_STATUS, 0, &status))
		return status;
	oracle_before(c);
	return l->fn(c);
}

/**
 * tdxemu_seamcall() - what SEAMCALL does on a machine with TDX
 * @fn: RAX: leaf in bits 15:0, version in 23:16
 * @args: the other registers, in and out. RCX and RDX are out only for leaves
 *	that define them; others keep what was put in.
 *
 * Return: RAX.
 */
u64 tdxemu_seamcall(u64 fn, struct tdxemu_args *args)
{
	struct call c = {
		.a = args, .rcx = args->rcx, .rdx = args->rdx, .r8 = args->r8,
		.cpu = sys->p.cpu(), .leaf = fn, .version = fn >> 16,
	};
	u64 status;

	status = dispatch(&c, fn);
	call_unlock_to(&c, 0);
	trace_call(&c, status);
	oracle_after(&c, status);
	return status;
}

/**
 * tdxemu_init() - a module as it is just loaded
 * @platform: copied. Everything that the module knew is forgotten, faults and
 *	counters too; nobody may be calling it.
 */
void tdxemu_init(const struct tdxemu_platform *platform)
{
	memset(sys, 0, sizeof(*sys));
	sys->p = *platform;
	if (!sys->p.max_vcpus)
		sys->p.max_vcpus = 576;
	if (!sys->p.attributes_fixed0)
		sys->p.attributes_fixed0 = 1ull << 63 | 7ull << 28 | ATTR_DEBUG;
	if (!sys->p.xfam_fixed0)
		sys->p.xfam_fixed0 = 0x6dbe7;
	if (sys->p.module == TDXEMU_MODULE_2_0)
		sys->p.features0 &= ~TDXEMU_F0_ENHANCED_DEMOTE;
	trace_reset();
	report_reset();
	tdxemu_fault_clear();
}
