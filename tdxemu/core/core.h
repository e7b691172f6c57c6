/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Inside of the core.
 *
 * Locks. Those of the ABI (struct rwtry, bit 11 of an S-EPT entry) are taken by
 * a leaf for its own duration, are only ever tried, and protect what the ABI
 * says they protect; struct call remembers them and seamcall() drops them. The
 * one spinlock, core_lock(), protects what the ABI does not know: TLB models,
 * trace, counters, faults, and the list of TDs. It is innermost.
 */
#ifndef __TDXEMU_CORE_H
#define __TDXEMU_CORE_H

#include "tdxemu.h"
#include "status.h"

#define PAGE		4096ull
#define GPA_MASK	0x000ffffffffff000ull
#define MAX_LOCKS	28

/* Metadata fields that have a meaning here, beside those of tdxemu.h. */
#define F_CPUID_VALUES		0x9410000300000000ull
#define F_TSC_OFFSET		(0x11ull << 56 | 0xa)
#define F_TSC_MULTIPLIER	(0x11ull << 56 | 0xb)
#define F_CONFIG_FLAGS		(0x11ull << 56 | 0x16)
#define F_TD_CTLS		(0x11ull << 56 | 0x17)
#define F_NOTIFY_ENABLES	(0x91ull << 56 | 0x10)
#define F_TOPOLOGY		(0x91ull << 56 | 0x19)
#define F_VMCS(x)		((u64)(x))
#define F_SHARED_EPTP		F_VMCS(0x203c)
#define F_PEND_NMI		(32ull << 56 | 11)

#define ARRAY_LEN(x)	(sizeof(x) / sizeof((x)[0]))

/* A lock that is only tried: 0xffff one writer, else the number of readers. */
struct rwtry {
	u16 v;
};

bool rw_try(struct rwtry *l, bool excl);
void rw_put(struct rwtry *l, bool excl);

static inline u64 level_size(unsigned int level)
{
	return PAGE << (9 * level);
}

static inline u32 level_pages(unsigned int level)
{
	return 1u << (9 * level);
}

/*
 * PAMT entry, 16 bytes. word is, by type of the page: NDA of 4 KiB: what is left
 * to write back, WB_* (WB_FAILED: of a call that failed after it had written); REG and EPT: BEPOCH in bits 63:40, in bits 39:0 the guest
 * page number (of an EPT page: of the entry that links it). NDA of 2 MiB, dynamic PAMT: the
 * pair of pages that is here for the 4 KiB entries, two page numbers; 0: none.
 */
struct pamt {
	struct rwtry lock;
	u8 type;
	u8 pairs;	/* of 2 MiB: pages in it come to a pair, or leave one */
	u32 owner;	/* page number of the TDR */
	u64 word;
};

#define BEPOCH_SHIFT	40
#define GPN_MASK	((1ull << BEPOCH_SHIFT) - 1)
#define EPOCH_MAX	(1ull << (64 - BEPOCH_SHIFT))

#define WB_DIRTY	(1ull << 63)
#define WB_FAILED	(1ull << 62)
#define WB_HKID(w)	((u32)((w) >> 32 & 0xffff))
#define WB_GEN(w)	((u32)(w))

/* S-EPT entry */
#define E_RWX		7ull
#define E_WB		(6ull << 3)
#define E_IPAT		(1ull << 6)
#define E_PS		(1ull << 7)
#define E_D		(1ull << 9)
#define E_LOCK		(1ull << 11)
#define E_HOST		(1ull << 52)
#define E_BLOCKED	(1ull << 55)
#define E_PENDING	(1ull << 56)
#define E_SVE		(1ull << 63)
#define E_ADDR		0x000ffffffffff000ull
#define E_FREE		E_SVE
#define E_LEAF		(E_SVE | E_PS | E_IPAT | E_WB | E_D)
/* 2 MiB, PENDING: 4 KiB pages that an interrupted ACCEPT has zeroed */
#define E_ACCEPT	(0x1ffull << 12)

/*
 * The lock of an S-EPT entry. A host call that finds it taken leaves E_HOST behind,
 * and no guest gets it before a host call has.
 */
static inline bool entry_lock_host(u64 *p, u64 *e)
{
	u64 old = __atomic_fetch_or(p, E_LOCK, __ATOMIC_ACQUIRE);

	*e = old & ~E_HOST;
	if (old & E_LOCK) {
		__atomic_fetch_or(p, E_HOST, __ATOMIC_RELAXED);
		return false;
	}
	__atomic_and_fetch(p, ~E_HOST, __ATOMIC_RELAXED);
	return true;
}

/* *e: what was there, with E_LOCK or E_HOST if that was in the way. */
static inline bool entry_lock_guest(u64 *p, u64 *e)
{
	*e = __atomic_load_n(p, __ATOMIC_ACQUIRE);
	do
		if (*e & (E_LOCK | E_HOST))
			return false;
	while (!__atomic_compare_exchange_n(p, e, *e | E_LOCK, false, __ATOMIC_ACQUIRE,
					    __ATOMIC_ACQUIRE));
	return true;
}

/* Write a locked entry, which stays locked; a host may be waiting for it. */
static inline void entry_store(u64 *p, u64 e)
{
	u64 old = __atomic_load_n(p, __ATOMIC_RELAXED);

	while (!__atomic_compare_exchange_n(p, &old, e | E_LOCK | (old & E_HOST), false,
					    __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
}

struct held {
	u64 *entry;		/* bit 11, or */
	struct rwtry *rw;	/* or */
	u8 *pairs;
	bool excl;
};

/* One SEAMCALL. */
struct call {
	struct tdxemu_args *a;
	u64 rcx, rdx, r8;	/* in */
	struct tdxemu_td *td;	/* known from td_get() on */
	unsigned int cpu;
	u16 leaf;
	u8 version;
	u8 injected;
	bool memory;		/* RCX is gpa|level */
	u8 nr_held;
	struct held held[MAX_LOCKS];
};

struct td_restart {
	u64 rcx, r8;
	u16 leaf;
	bool armed;
};

struct td_cpuid {
	u32 reg[4];
};

#define TD_MAGIC	0x5244545f554d4558ull
#define VP_MAGIC	0x5256505f554d4558ull

/* In the TDR page. Pages tdcx[]: 0 the S-EPT root, 1 and 2 the list of vCPUs. */
struct tdxemu_td {
	u64 magic;
	u64 pa;
	u32 hkid;
	u32 lifecycle;
	u32 fatal;
	u32 op_state;
	u64 key_packages;	/* configured */
	s64 chldcnt;
	s64 pages;		/* the oracle's own count */
	u64 tdcx[NR_TDCX];
	u32 nr_tdcx;

	struct rwtry op_lock, tree_lock, epoch_lock;
	u16 top;		/* level of the root's entries: 3 or 4 */
	u64 epoch;
	s32 refcount[2];

	u32 nr_created, nr_vcpus, nr_associated, inside;
	u32 max_vcpus, gpaw;
	u64 attributes, xfam, eptp, config_flags, td_ctls, notify_enables;
	u32 tsc_frequency;
	s64 blocked;
	u64 extended;		/* chunks measured */
	u64 last_tsc;

	/* oracle */
	struct td_restart restart;
	struct td_restart busy;	/* a BUSY that wants a kick */
	struct td_restart failed;	/* a fault that may be tried again */
	unsigned int unfinished;	/* faults that the host could not get over */
	u64 tdr_next;		/* list of TDs, by address of the TDR */
	struct td_cpuid cpuid[TDXEMU_MAX_CPUID];
};

enum vp_state { VP_UNINIT, VP_READY, VP_ACTIVE, VP_DISABLED };

#define VP_FIELDS	32

/* A guest that faults so often without progress may be single-stepped by its host. */
#define STEP_THRESHOLD	6
#define STEP_LIST	32

struct vp_field {
	u64 id, value;
};

struct tlb_entry {
	u64 tag;	/* gpa of the mapping | perm | valid */
	u64 hpa;
};

#define TLB_VALID	8ull
#define TLB_4K		1024
#define TLB_2M		256
#define TLB_WAYS	8	/* translations that share a place, the youngest first */
#define TLB_PER_PAGE	(PAGE / sizeof(struct tlb_entry))

/* In the TDVPR page; the TLB model in tdvpx[]. */
struct tdxemu_vp {
	u64 magic;
	u64 pa, td_pa;
	u64 tdvpx[NR_TDVPX];
	u32 nr_tdvpx;
	u32 state;
	u32 index, apic_id;
	s32 cpu;		/* associated with, -1: none */
	struct rwtry lock;	/* of the TDVPS: excludes two at a time */
	bool inside;
	bool fresh;		/* newly associated: flush everything */
	u64 epoch;		/* VCPU_EPOCH */
	u64 entered;		/* epoch whose REFCOUNT it holds */
	u64 vmcall_mask;	/* the last exit was a TDVMCALL */
	u64 tlb_generation;	/* the model of its TLB has lost an entry */
	u64 last_tsc;
	void *priv;
	u64 shared_eptp;
	bool pend_nmi;
	bool initialized;	/* platform.vp_init() was called */
	struct vp_field field[VP_FIELDS];
	u32 nr_fields;
	u64 host_waits;		/* since then ACCEPT is BUSY for a host's sake */
	/* Private EPT violations in a row at one RIP. */
	struct {
		u64 rip;
		u32 nr;
		u64 gpa[STEP_LIST];
	} step;
	struct {
		u64 qual, gla, gpa;
		u32 reason, length, info;
		bool valid;
	} ve;
};

/* Where an S-EPT walk ended. */
struct sept_ref {
	u64 *p;
	u64 e;			/* without the lock bit */
	unsigned int level;
};

/* A page operand: PAMT entry of the page at the size asked for, locked. */
struct page_ref {
	struct pamt *e;
	u64 hpa;
	unsigned int level;
};

enum sys_state {
	SYSINIT_PENDING, SYSINIT_DONE, SYSCONFIG_DONE, SYS_READY, SYS_DOWN,
};

struct tdmr {
	struct tdxemu_range range, pamt[3];	/* 1G, 2M, 4K */
	struct tdxemu_range reserved[TDXEMU_MAX_RESERVED];
	u32 nr_reserved;
	struct rwtry lock;
	u64 next;		/* not initialised from here on */
};

enum kot_state { KOT_FREE, KOT_ASSIGNED, KOT_FLUSHED, KOT_RESERVED };

struct kot {
	enum kot_state state;
	u32 gen;		/* raised when the key is freed */
	u64 wb;			/* packages that are not written back */
	u64 oracle_wb;		/* the same, for the oracle */
	u64 dirty;		/* pages that may be without their write-back */
};

struct module_state {
	struct tdxemu_platform p;
	struct rwtry lock;	/* SYS_BUSY */
	enum sys_state state;
	bool lp_done[TDXEMU_MAX_CPUS];
	u64 last_vp[TDXEMU_MAX_CPUS];	/* TDVPR that ran last */
	u64 key_packages;
	u32 global_hkid;
	struct tdmr tdmr[TDXEMU_MAX_TDMRS];
	unsigned int nr_tdmr;
	struct rwtry kot_lock, wb_lock[TDXEMU_MAX_PACKAGES];
	struct kot kot[TDXEMU_MAX_KEYIDS];	/* by HKID - first_keyid */
	u64 wb_noted[TDXEMU_MAX_PACKAGES];	/* an interrupted CACHE.WB is for these */
	u64 tds;		/* first of the list, 0: none */
	bool dynamic_pamt;	/* as SYS.CONFIG chose */
};

extern struct module_state tdxemu_sys;
#define sys (&tdxemu_sys)

static inline unsigned long core_lock(void)
{
	return sys->p.lock ? sys->p.lock() : 0;
}

static inline void core_unlock(unsigned long flags)
{
	if (sys->p.unlock)
		sys->p.unlock(flags);
}

static inline void *va(u64 hpa)
{
	return (char *)sys->p.page(hpa & ~(PAGE - 1)) + (hpa & (PAGE - 1));
}

static inline bool aligned(u64 v, u64 size)
{
	return !(v & (size - 1));
}

static inline u64 ld(const u64 *p)
{
	return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void st(u64 *p, u64 v)
{
	__atomic_store_n(p, v, __ATOMIC_RELEASE);
}

#define atomic_add(p, v)	__atomic_add_fetch(p, v, __ATOMIC_ACQ_REL)
#define atomic_get(p)		__atomic_load_n(p, __ATOMIC_ACQUIRE)
#define atomic_set_to(p, v)	__atomic_store_n(p, v, __ATOMIC_RELEASE)

/*
 * From here on in layers: a file uses those above it, no other (tests/check-layers).
 * First what a call is, and what is said of it.
 */

/* report.c */
void violation(struct call *c, enum tdxemu_rule rule, const char *what,
	       u64 v0, u64 v1, u64 v2, u64 v3);
void report_reset(void);

/* trace.c */
void trace_call(struct call *c, u64 status);
void trace_guest(struct tdxemu_vp *vp, u16 leaf, u64 rcx, u64 status);
void trace_reset(void);

/* fault.c */
bool fault_hit(struct call *c, enum tdxemu_fault_kind kind, u32 operand, u64 *status);

/* call.c */
u64 call_lock(struct call *c, struct rwtry *l, bool excl, u32 which, u64 busy);
void call_hold(struct call *c, struct rwtry *l, bool excl);
bool call_has(struct call *c, struct rwtry *l);
void call_unlock_to(struct call *c, unsigned int mark);

/* Objects: their state and locks. */

/* key.c */
struct kot *kot_of(u32 hkid);
u64 kot_lock(struct call *c, bool excl);

/* pamt.c */
struct pamt *pamt_at(u64 hpa, unsigned int level);
struct pamt *pamt_find(u64 hpa, unsigned int *level);
u64 page_lock(struct call *c, u64 hpa, u32 op, unsigned int level, bool excl,
	      struct page_ref *r);
u64 page_free_operand(struct call *c, u64 hpa, u32 op, unsigned int level,
		      struct page_ref *r);
void page_assign(struct page_ref *r, u8 type, struct tdxemu_td *td, u64 gpn);
void page_release(struct page_ref *r, struct tdxemu_td *td, u32 hkid, bool dirty);
void page_written(struct page_ref *r, u32 hkid);
void page_give_back(u64 hpa, u32 nr);
bool page_still_dirty(const struct pamt *e);
void pages_all_written_back(u32 hkid);
u64 pair_get(struct call *c, u64 p0, u32 op0, u64 p1, u32 op1, struct page_ref pair[2]);
u64 pair_lock(struct call *c, u64 hpa, struct page_ref pair[2]);
void pair_attach(struct pamt *e, struct page_ref pair[2]);
void pair_detach(struct page_ref pair[2]);
void set_bepoch(struct pamt *e, u64 epoch);
static inline u64 bepoch(const struct pamt *e)
{
	return ld(&e->word) >> BEPOCH_SHIFT;
}

/* td.c */
#define STATE(x)	(1u << (x))
#define ANY_OP_STATE	0u
#define BUILD_OR_RUN	(STATE(TD_INITIALIZED) | STATE(TD_RUNNABLE))
u64 td_lock(struct call *c, u64 pa, u32 op, bool excl);
u64 td_check(struct call *c, unsigned int op_states);
u64 td_get(struct call *c, u64 pa, u32 op, bool excl, unsigned int op_states);
void td_link(struct tdxemu_td *td);
void td_unlink(struct tdxemu_td *td);
bool pending_ve_off(struct tdxemu_td *td);

/* vcpu.c */
#define NO_CPU		(-1)
u64 *vp_slot(struct tdxemu_td *td, u32 index);
u64 vp_get(struct call *c, u64 pa, unsigned int op_states, struct tdxemu_vp **vp);
u64 vp_associate(struct call *c, struct tdxemu_vp *vp);
struct vp_field *vp_field_of(struct tdxemu_vp *vp, u64 key, bool make);
void vp_gone(struct tdxemu_vp *vp);

/* sept.c */
u8 sept_state(u64 e);
u64 *sept_root(struct tdxemu_td *td);
bool sept_walk(struct tdxemu_td *td, u64 gpa, unsigned int level, struct sept_ref *r);
u64 sept_operand(struct call *c, u64 operand, unsigned int min, unsigned int max,
		 u64 *gpa, unsigned int *level);
u64 sept_find(struct call *c, u64 gpa, unsigned int level, struct sept_ref *r);
u64 sept_info(struct call *c, const struct sept_ref *r, u64 status);
u64 sept_wrong_state(struct call *c, const struct sept_ref *r);
u64 sept_lock_tree(struct call *c, bool excl);
u64 sept_check_blocked(struct call *c, const struct sept_ref *r, struct pamt *e,
		       u64 hpa, u64 gpa, u32 op);
void sept_set(struct tdxemu_td *td, struct sept_ref *r, u64 e);
u64 sept_unblocked(u64 e);
u64 sept_without_progress(u64 e, unsigned int level);
struct pamt *sept_target(const struct sept_ref *r);
static inline bool e_is_leaf(u64 e)
{
	return e & E_PS;
}

static inline bool entry_blocked(u64 e)
{
	return e & E_BLOCKED;
}

/* tlb.c */
void tlb_drop(struct tdxemu_vp *vp);
void tlb_stale(struct call *c, struct tdxemu_td *td, u64 hpa, unsigned int level);
bool tlb_lookup(struct tdxemu_vp *vp, u64 gpa, unsigned int access,
		struct tdxemu_access *a);
void tlb_insert(struct tdxemu_vp *vp, u64 gpa, unsigned int level, struct tdxemu_access *a);

/* oracle.c */
void oracle_before(struct call *c);
void oracle_after(struct call *c, u64 status);
void oracle_demoted(struct call *c, struct sept_ref *parent, u64 gpa, u64 *table, u8 state);

/* Leaves, by family: none uses another. tdg.c has none that dispatch.c calls. */

/* sys.c */
u64 sys_init(struct call *c);
u64 sys_lp_init(struct call *c);
u64 sys_rd(struct call *c);
u64 sys_config(struct call *c);
u64 sys_key_config(struct call *c);
u64 sys_tdmr_init(struct call *c);
u64 sys_shutdown(struct call *c);
u64 sys_update(struct call *c);
u64 sys_disable(struct call *c);

/* phymem.c */
u64 phymem_page_rdmd(struct call *c);
u64 phymem_page_reclaim(struct call *c);
u64 phymem_page_wbinvd(struct call *c);
u64 phymem_cache_wb(struct call *c);
u64 phymem_pamt_add(struct call *c);
u64 phymem_pamt_remove(struct call *c);

/* mng.c */
u64 mng_create(struct call *c);
u64 mng_addcx(struct call *c);
u64 mng_key_config(struct call *c);
u64 mng_init(struct call *c);
u64 mng_rd(struct call *c);
u64 mng_vpflushdone(struct call *c);
u64 mng_key_freeid(struct call *c);
u64 mr_extend(struct call *c);
u64 mr_finalize(struct call *c);

/* vp.c */
u64 vp_create(struct call *c);
u64 vp_addcx(struct call *c);
u64 vp_init(struct call *c);
u64 vp_rd(struct call *c);
u64 vp_wr(struct call *c);
u64 vp_enter(struct call *c);
u64 vp_flush(struct call *c);

/* mem.c */
u64 mem_sept_add(struct call *c);
u64 mem_page_add(struct call *c);
u64 mem_page_aug(struct call *c);
u64 mem_range_block(struct call *c);
u64 mem_range_unblock(struct call *c);
u64 mem_track(struct call *c);
u64 mem_page_remove(struct call *c);
u64 mem_sept_remove(struct call *c);
u64 mem_sept_rd(struct call *c);
u64 mem_page_relocate(struct call *c);

/* resize.c */
u64 mem_page_demote(struct call *c);
u64 mem_page_promote(struct call *c);

#endif
