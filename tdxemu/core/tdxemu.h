/* SPDX-License-Identifier: GPL-2.0 */
/*
 * tdxemu: the state machine of a TDX module, in software. Test equipment.
 *
 * The host calls tdxemu_seamcall() where a machine with TDX executes SEAMCALL.
 * The embedder, a kernel or a test program, offers memory, CPUs and a guest
 * through struct tdxemu_platform. The core allocates nothing: TDs, vCPUs, S-EPT
 * and PAMT live in the pages that the host hands over, as they do on hardware.
 *
 * Contexts: every function may be called on several CPUs at once, with
 * interrupts on or off, but not migrated to another CPU meanwhile. Nothing
 * sleeps. The locks of the ABI are tried, never waited for. The callbacks of the
 * platform run with no lock of the core held but those of the ABI, which
 * nobody waits for; between lock() and unlock() the core calls only page().
 */
#ifndef __TDXEMU_H
#define __TDXEMU_H

#include "types.h"

/* As struct tdx_module_args of the kernel, which passes its own. */
struct tdxemu_args {
	u64 rcx, rdx, r8, r9;
	u64 r10, r11;
	u64 r12, r13, r14, r15, rbx, rdi, rsi;
};

/* A TD and a TD vCPU. They live in the TDR and TDVPR pages: opaque. */
struct tdxemu_td;
struct tdxemu_vp;

/* Accesses, as the low bits of an EPT violation's qualification. */
#define TDXEMU_READ	1
#define TDXEMU_WRITE	2
#define TDXEMU_EXEC	4

/* TDCALL leaves */
#define TDG_CALL_VP_VMCALL	0
#define TDG_CALL_VP_INFO	1
#define TDG_CALL_VEINFO_GET	3
#define TDG_CALL_PAGE_ACCEPT	6
#define TDG_CALL_VM_RD		7
#define TDG_CALL_VM_WR		8

/* Metadata fields: what tells one from another; those that an embedder knows. */
#define TDXEMU_FIELD_KEY(id)	((id) & (1ull << 63 | 0x3full << 56 | 0xffffff))
#define TDXEMU_F_STATE_DETAILS	(1ull << 63 | 17ull << 56 | 0x100)
#define TDXEMU_F_POSTED_INTR_DESC 0x2016ull

#define TDXEMU_MAX_CPUS		64
#define TDXEMU_MAX_PACKAGES	8
#define TDXEMU_MAX_KEYIDS	64
#define TDXEMU_MAX_TDMRS	64
#define TDXEMU_MAX_RESERVED	16
#define TDXEMU_MAX_CPUID	48
#define TDXEMU_TRACE		1024	/* entries of the ring */
#define TDXEMU_NR_LEAVES	80

/* Bits of tdxemu_platform.features0. */
#define TDXEMU_F0_PENDING_VIOLATION	(1ull << 16)
#define TDXEMU_F0_NO_RBP_MOD		(1ull << 18)
#define TDXEMU_F0_TOPOLOGY_ENUM		(1ull << 20)
#define TDXEMU_F0_DYNAMIC_PAMT		(1ull << 36)
#define TDXEMU_F0_ENHANCED_DEMOTE	(1ull << 51)
#define TDXEMU_F0_DEFAULT	(TDXEMU_F0_NO_RBP_MOD | TDXEMU_F0_TOPOLOGY_ENUM | \
				 TDXEMU_F0_PENDING_VIOLATION | 1ull << 17 | \
				 0xfull << 8 | 0x7ull << 2)

/*
 * Which module it is, as it tells the host. 2.0 has taken back that DEMOTE is not
 * interrupted (bit 51 of features0, whatever the platform asks for).
 */
enum tdxemu_module {
	TDXEMU_MODULE_1_5,	/* 1.5.28 */
	TDXEMU_MODULE_2_0,	/* 2.0.8 */
};

/* What is wrong: rules of the oracle, see README.md. */
enum tdxemu_rule {
	TDXEMU_RULE_STALE_TLB,		/* a vCPU could still use a translation that goes */
	TDXEMU_RULE_ALIAS,		/* one page at two private addresses */
	TDXEMU_RULE_BLOCKED,		/* entry left blocked when mmu_lock was released */
	TDXEMU_RULE_WRITE_BACK,		/* page reused before its write-back */
	TDXEMU_RULE_WRONG_HKID,		/* written back with another key */
	TDXEMU_RULE_HKID_REUSE,		/* key reused before its caches were written back */
	TDXEMU_RULE_TOUCHED,		/* the host touched a page of the module */
	TDXEMU_RULE_CHLDCNT,		/* wrong number of pages at teardown */
	TDXEMU_RULE_CHILD_STATE,	/* a child of a demotion is not what it must be */
	TDXEMU_RULE_CONTENTS,		/* contents of a module page are not the module's */
	TDXEMU_RULE_BUSY,		/* BUSY, and no kick followed before the next try */
	TDXEMU_RULE_RESTART,		/* other operands after INTERRUPTED_RESTARTABLE */
	TDXEMU_RULE_LEAK,		/* HKID of a TD left assigned by VPFLUSHDONE failing */
	TDXEMU_RULE_CALL,		/* strict: a call that no correct host makes */
	TDXEMU_NR_RULES
};

struct tdxemu_violation {
	enum tdxemu_rule rule;
	const char *name;	/* of the rule */
	const char *what;	/* a sentence, with %0 .. %3 for v[] */
	u64 v[4];
	u16 leaf;		/* during which SEAMCALL, 0xffff: none */
	u32 cpu;
};

/* One SEAMCALL, or one TDG call of a guest (leaf | 0x8000). */
struct tdxemu_trace {
	u64 seq;	/* from 1; 0: entry unused */
	u64 rcx, rdx, r8;	/* in */
	u64 status;
	u64 epoch;	/* of the TD, at the end; 0: none */
	u16 leaf;
	u8 version;
	u8 injected;	/* a fault was */
	u32 cpu;
};

struct tdxemu_cpuid_config {
	u32 leaf, subleaf;	/* subleaf ~0: none */
	u32 mask[4];		/* EAX, EBX, ECX, EDX: bits the host may set */
};

struct tdxemu_range {
	u64 base, size;
};

/* What VP.INIT tells the platform. */
struct tdxemu_vp_init {
	u64 rcx;		/* initial RCX and R8 of the guest */
	u64 attributes, xfam;
	u32 index;		/* of the vCPU */
	u32 apic_id;
	unsigned int gpaw;	/* 48 or 52; the shared bit is gpaw - 1 */
	bool sept_ve_disable;
};

/**
 * struct tdxemu_platform - what the core needs of its embedder
 * @page: 4 KiB of host memory at a physical address of RAM. Always valid, any
 *	context, any CPU. NULL if there is no RAM: the call is refused.
 * @owned: the module takes @nr pages, or gives them back. They are given back
 *	where real hardware would let the host use them: REMOVE and SEPT.REMOVE
 *	when the write-back with the right HKID is done, or else when the key is
 *	freed; control pages at RECLAIM, the TDR at its write-back. Their contents
 *	are garbage then. Optional.
 * @cpu: the current logical processor, below @nr_cpus
 * @package: the package of a logical processor, below @nr_packages
 * @lock: take the core's one spinlock, interrupts off; returns their old state
 * @unlock: release it
 * @irq_pending: whether an interrupt waits for the host on this CPU (DEMOTE,
 *	PROMOTE, ACCEPT poll it). Optional.
 * @tsc: time stamp, for the checks of VP.ENTER and for the guest. Optional.
 * @rip: where a vCPU that has just left the guest will go on: for the zero-step
 *	filter, which is off without it.
 * @run: execute the guest until it leaves. @args: on entry what the host passed;
 *	on return registers of the exit. Returns RAX. A TDVMCALL passes registers
 *	both ways: tdxemu_vmcall() on the way out, tdxemu_vmcall_resume() on the
 *	way in.
 * @vp_init: a vCPU is initialised; may store its own pointer with
 *	tdxemu_vp_set_priv(). False: no memory, VP.INIT answers OPERAND_BUSY.
 *	Optional.
 * @vp_free: TDVPR reclaimed, or the TD destroyed. Optional.
 * @vp_read: VP.RD of a field that the core does not keep. Optional.
 * @cpuid: CPUID of a TD before configuration: false if @sub is no subleaf of
 *	@leaf (~0: leaf without subleaves). Optional.
 * @violation: a rule of the oracle was broken; on the CPU where it was noticed,
 *	possibly with interrupts off. tdxemu_trace_line() gives the last calls.
 * @cmrs: ranges that can be TDX memory, ascending. None: everything.
 * @first_keyid: the first private HKID (the global one is the host's choice)
 * @module: which module it says it is
 * @host_priority_ticks: how long, of @tsc, a guest's ACCEPT gives way to a host call
 *	that was BUSY, before the TD exits; 0: for ever
 * @strict: TDXEMU_RULE_CALL is active: statuses that a correct host never
 *	provokes are violations unless injected
 * @fatal_encodings: statuses of VP.ENTER as the module source has them, not as
 *	the kernel expects them (section 0.2)
 */
struct tdxemu_platform {
	void *(*page)(u64 hpa);
	void (*owned)(u64 hpa, unsigned int nr, bool owned);
	unsigned int (*cpu)(void);
	unsigned int (*package)(unsigned int cpu);
	unsigned long (*lock)(void);
	void (*unlock)(unsigned long flags);
	bool (*irq_pending)(void);
	u64 (*tsc)(void);
	u64 (*rip)(struct tdxemu_vp *vp);
	u64 (*run)(struct tdxemu_vp *vp, struct tdxemu_args *args);
	bool (*vp_init)(struct tdxemu_vp *vp, const struct tdxemu_vp_init *init);
	void (*vp_free)(struct tdxemu_vp *vp);
	bool (*vp_read)(struct tdxemu_vp *vp, u64 field, u64 *value);
	bool (*cpuid)(u32 leaf, u32 sub, u32 out[4]);
	void (*violation)(const struct tdxemu_violation *v);

	const struct tdxemu_range *cmrs;
	unsigned int nr_cmrs;
	const struct tdxemu_cpuid_config *cpuid_config;
	unsigned int nr_cpuid_config;

	unsigned int nr_cpus, nr_packages;
	unsigned int phys_bits;		/* HKID << phys_bits | page in WBINVD */
	unsigned int first_keyid, nr_keyids;
	unsigned int max_vcpus;		/* a TD; 0: 576 */
	u64 host_priority_ticks;
	u64 features0;
	enum tdxemu_module module;
	u64 attributes_fixed0;		/* bits that may be 1; 0: the default */
	u64 xfam_fixed0;		/* bits that may be 1; 0: the default */
	bool strict;
	bool fatal_encodings;
};

/* dispatch.c */
void tdxemu_init(const struct tdxemu_platform *platform);
u64 tdxemu_seamcall(u64 fn, struct tdxemu_args *args);

/* vcpu.c: for platform.run and the hooks */
void tdxemu_vp_set_priv(struct tdxemu_vp *vp, void *priv);
void *tdxemu_vp_priv(struct tdxemu_vp *vp);
struct tdxemu_td *tdxemu_vp_td(struct tdxemu_vp *vp);
u64 tdxemu_vp_pa(struct tdxemu_vp *vp);
struct tdxemu_vp *tdxemu_vp_at(u64 tdvpr_pa);
bool tdxemu_vp_field(struct tdxemu_vp *vp, u64 field, u64 *value);
u64 tdxemu_shared_eptp(struct tdxemu_vp *vp);
bool tdxemu_take_nmi(struct tdxemu_vp *vp);

/* tdg.c: TDVMCALL. gpr[] in the order of instruction encoding. */
u64 tdxemu_vmcall(struct tdxemu_vp *vp, const u64 gpr[16], struct tdxemu_args *exit);
void tdxemu_vmcall_resume(struct tdxemu_vp *vp, u64 gpr[16],
			  const struct tdxemu_args *args);

/* tdg.c: what the guest's CPU does */
enum tdxemu_access_result {
	TDXEMU_OK,	/* hpa, valid for the 4 KiB page of gpa */
	TDXEMU_EXIT,	/* EPT violation: leave the TD with qual, ext, gpa */
	TDXEMU_VE,	/* page pending: #VE with qual and gpa */
	TDXEMU_SHARED,	/* a shared address: the platform's to translate */
	TDXEMU_PF_RSVD,	/* wider than the TD's addresses: #PF, reserved bit */
	TDXEMU_STATUS,	/* accept only: RAX for the guest is in status */
	TDXEMU_INTERRUPTED,	/* accept only: leave for an interrupt, RIP stays */
	TDXEMU_LEAVE,	/* accept only: leave with status, RIP stays */
};

struct tdxemu_access {
	u64 hpa;	/* of the byte at gpa */
	u64 qual;	/* exit qualification, without the fault's own bits 12:7 */
	u64 ext;	/* extended exit qualification */
	u64 gpa;	/* page of the fault */
	u64 status;
	unsigned int level;	/* of the mapping that was used */
	bool evicted;		/* the TLB model has lost a translation for this one: */
	unsigned int evicted_level;	/* 0: 4 KiB, 1: 2 MiB */
	u64 evicted_gpa;
};

enum tdxemu_access_result tdxemu_access(struct tdxemu_vp *vp, u64 gpa,
					unsigned int access, struct tdxemu_access *a);
enum tdxemu_access_result tdxemu_accept(struct tdxemu_vp *vp, u64 rcx,
					struct tdxemu_access *a);
u64 tdxemu_vp_info(struct tdxemu_vp *vp, u64 gpr[16]);
u64 tdxemu_vm_rd(struct tdxemu_vp *vp, u64 gpr[16]);
u64 tdxemu_vm_wr(struct tdxemu_vp *vp, u64 gpr[16]);
u64 tdxemu_veinfo_get(struct tdxemu_vp *vp, u64 gpr[16]);
bool tdxemu_veinfo_pending(struct tdxemu_vp *vp);
bool tdxemu_veinfo_set(struct tdxemu_vp *vp, u32 reason, u64 qual, u64 gla,
		       u64 gpa, u32 length, u32 info);

/* tlb.c */
void tdxemu_tlb_flush(struct tdxemu_vp *vp);
u64 tdxemu_tlb_generation(struct tdxemu_vp *vp);

/* sept.c, td.c: looking at the S-EPT, for the oracle. No lock is taken. */
struct tdxemu_sept_entry {
	u64 raw;	/* the entry */
	u64 hpa;	/* page of a leaf, table of a non-leaf; 0: free */
	u8 state;	/* public state, TDXEMU_S_* */
	u8 level;	/* where the walk ended: the level asked for or above */
	bool present;	/* not free, blocked or pending included */
	bool leaf;
	bool blocked;
};

u64 tdxemu_features0(void);
struct tdxemu_td *tdxemu_td_at(u64 tdr_pa);
u64 tdxemu_td_pa(struct tdxemu_td *td);
bool tdxemu_sept_lookup(struct tdxemu_td *td, u64 gpa, unsigned int level,
			struct tdxemu_sept_entry *e);
unsigned int tdxemu_sept_nr_free(struct tdxemu_td *td, u64 gpa, unsigned int level);
int tdxemu_for_each_leaf(struct tdxemu_td *td,
			 int (*fn)(void *data, u64 gpa, const struct tdxemu_sept_entry *e),
			 void *data);
s64 tdxemu_blocked(struct tdxemu_td *td);
u64 tdxemu_epoch(struct tdxemu_td *td);
u32 tdxemu_vcpus_inside(struct tdxemu_td *td);

/* oracle.c, report.c: events that only the embedder sees */
void tdxemu_host_released_mmu_lock(struct tdxemu_td *td);
void tdxemu_host_kicked(struct tdxemu_td *td);
bool tdxemu_host_touched(u64 hpa);
bool tdxemu_page_owned(u64 hpa);
u64 tdxemu_violations(enum tdxemu_rule rule);
int tdxemu_check_td(struct tdxemu_td *td);

/* trace.c */
u64 tdxemu_count(unsigned int leaf, u64 *failed);
int tdxemu_count_status(unsigned int n, u16 *leaf, u64 *status, u64 *count);
bool tdxemu_trace_get(unsigned int back, struct tdxemu_trace *t);
int tdxemu_trace_line(const struct tdxemu_trace *t, char *buf, unsigned int size);
int tdxemu_violation_line(const struct tdxemu_violation *v, char *buf, unsigned int size);
const char *tdxemu_leaf_name(unsigned int leaf);
const char *tdxemu_status_name(u64 status);

/* fault.c: faults to order */
enum tdxemu_fault_kind {
	TDXEMU_FAULT_NONE,
	TDXEMU_FAULT_BUSY,		/* a lock is held: operand says which, ~0: that of the TD */
	TDXEMU_FAULT_STATUS,		/* fail with status, before any effect */
	TDXEMU_FAULT_EPOCH_BUSY,	/* TRACK: PREVIOUS_TLB_EPOCH_BUSY */
	TDXEMU_FAULT_RESTARTABLE,	/* DEMOTE, PROMOTE: interrupted before the commit */
	TDXEMU_FAULT_RESUMABLE,		/* CACHE.WB, SYS.DISABLE */
	TDXEMU_FAULT_R8,		/* the page in R8: PAGE_METADATA_INCORRECT|R8 */
	TDXEMU_FAULT_ENTROPY,		/* RND_NO_ENTROPY: MNG.CREATE, KEY.CONFIG */
	TDXEMU_FAULT_ZERO_STEP,		/* VP.ENTER: OPERAND_BUSY on the tree */
	TDXEMU_FAULT_MACHINE_CHECK,	/* VP.ENTER: the TD is fatal from then on */
	/* The module itself goes wrong: these show that the oracle sees it. */
	TDXEMU_FAULT_SKIP_TRACKING,	/* accept a range that is not tracked */
	TDXEMU_FAULT_CHILD_STATE,	/* DEMOTE: one child blocked */
	TDXEMU_FAULT_CHILD_HPA,		/* DEMOTE: two children swapped */
	TDXEMU_FAULT_SKIP_FLUSH,	/* VP.ENTER: no TLB flush */
	TDXEMU_FAULT_ALIAS,		/* AUG: PAMT not looked at */
	TDXEMU_FAULT_CHLDCNT,		/* AUG: CHLDCNT not raised */
	TDXEMU_FAULT_SKIP_WB,		/* KEY.FREEID: caches not checked */
};

/**
 * struct tdxemu_fault - when which fault
 * @kind: TDXEMU_FAULT_*
 * @leaf: SEAMCALL leaf, ~0: any
 * @gpa, @size: only calls whose gpa|level operand lies in it; size 0: any call
 * @level: only this level; ~0: any
 * @skip: matching calls that pass first
 * @times: calls that fail then; ~0: for ever
 * @until_out: fails only while a vCPU of the TD is in the guest
 * @operand: of TDXEMU_FAULT_BUSY: OP_* of status.h (OP_TREE, OP_RCX: the entry,
 *	OP_R8, OP_EPOCH, ...); ~0: the TD's, or the first lock of leaves without TD
 * @status: of TDXEMU_FAULT_STATUS
 * @hits: how often it was injected; read it back
 */
struct tdxemu_fault {
	enum tdxemu_fault_kind kind;
	u32 leaf;
	u32 level;
	u64 gpa, size;
	u64 skip, times;
	bool until_out;
	u32 operand;
	u64 status;
	u64 hits;
};

int tdxemu_fault_add(const struct tdxemu_fault *f);
bool tdxemu_fault_get(int id, struct tdxemu_fault *f);
void tdxemu_fault_clear(void);

#endif
