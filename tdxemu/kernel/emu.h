/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel's side of the software TDX module: what a TD vCPU is to the
 * interpreter, and what the backend and the interpreter offer each other.
 */
#ifndef __TDXEMU_EMU_H
#define __TDXEMU_EMU_H

#include <linux/kvm_host.h>
#include <asm/desc_defs.h>
#include <asm/tdx.h>

#include "kvm_emulate.h"
#include "core/tdxemu.h"

/* What an instruction, or a part of it, came to. */
enum emu_result {
	EMU_OK,
	EMU_EXIT,	/* leave the TD with emu_vcpu.exit */
	EMU_REPEAT,	/* the same, with the RIP back at the instruction */
	EMU_FAULT,	/* a page fault, described in a struct x86_exception */
	EMU_VE,		/* deliver a #VE, described in emu_vcpu.new_ve */
	EMU_DEAD,	/* the TD must not run any more, emu_vcpu.why says why */
};

struct emu_segment {
	struct desc_struct desc;
	u64 base;
	u16 sel;
};

/* A #VE that is to be delivered. */
struct emu_ve_info {
	u64 qualification;
	u64 gla;
	u64 gpa;
	u32 reason;
};

/*
 * A translation of the guest's own page tables, dropped on every entry, and where
 * the host has the page if it is private.
 */
struct emu_gtlb {
	u64 gva;	/* page, or ~0 */
	u64 gpa;	/* page, with the shared bit */
	void *hva;	/* start of the page, or NULL */
	u64 generation;	/* of the TLB model: @hva is good while that has it */
	u8 access;
	u8 mapped;	/* the accesses that @hva was given for */
	bool user;
};

#define EMU_GTLB	64

/**
 * struct emu_vcpu - a TD vCPU as the interpreter sees it
 * @ctxt: KVM's emulator; it is not reentrant, hence one a vCPU
 * @regs: in the order of instruction encoding
 * @exit: what TDH.VP.ENTER is about to return, in the places of the registers
 * @exit_reason: RAX of that
 * @why: reason of EMU_DEAD
 *
 * Whoever runs the vCPU owns it; TDH.VP.ENTER excludes two at a time.
 */
struct emu_vcpu {
	struct x86_emulate_ctxt ctxt;
	u64 regs[16];
	u64 rip;
	u64 rflags;
	u64 cr0, cr2, cr3, cr4, cr8, efer;
	u64 dr[8];
	struct emu_segment seg[8];
	struct desc_ptr gdt, idt;
	u64 star, lstar, sfmask, kernel_gs_base, tsc_aux, pat;
	u64 sysenter[3];

	/* Interrupts: the virtual APIC, and where the host posts to. */
	u32 irr[8], isr[8];
	struct pi_desc *pi;
	bool nmi;		/* one is pending */
	bool nmi_blocked;	/* until IRET */
	bool shadow;		/* of STI or MOV SS: none before the next instruction */

	struct emu_ve_info new_ve;	/* of EMU_VE, not delivered yet */
	u32 ve_length;
	enum emu_result result;		/* of a callback of the emulator */
	struct emu_gtlb gtlb[EMU_GTLB];

	struct tdxemu_args exit;
	u64 exit_reason;
	char why[128];

	u64 id;			/* of no other vCPU, ever */
	u32 apic_id;
	u64 xfam;
	void *vmcs;		/* of the engine vmx, and in the page after it, the FPU */
	void *fpu;
	u64 xcr0;
	bool invept;		/* the CPU may know translations that have gone */
	u64 evicted_rip;	/* whose instruction made room in the TLB model last, */
	unsigned int evictions;	/* and how often */

	u64 instructions;
	struct list_head all;	/* of platform.c */
	u32 index;
	struct tdxemu_td *td;
	struct tdxemu_vp *vp;
	unsigned int gpaw;	/* width of a guest physical address */
	bool sept_ve_disable;
};

static inline u64 emu_shared_bit(struct emu_vcpu *v)
{
	return BIT_ULL(v->gpaw - 1);
}

/**
 * struct emu_engine - what executes the instructions of TDs
 * @name: value of the kernel parameter tdxemu_engine=
 * @fpu: TDs can use x87, SSE, and of XSAVE and what it saves what the CPU has
 * @init: make ready for TDs, once, before the first; 0 or an errno, after which no TD's
 *	vCPU can be initialised. May sleep. Optional.
 * @vcpu_init: a vCPU is initialised, its state is that of reset. Does not sleep; false:
 *	no memory. Optional.
 * @vcpu_free: it goes, and is not running. Optional.
 * @enter: execute the TD until it leaves, interrupts off, on the CPU that the vCPU is
 *	associated with. The state is in struct emu_vcpu before and after. EMU_EXIT or
 *	EMU_REPEAT with the outputs of TDH.VP.ENTER there; anything else is fatal to the TD.
 *	Leaves for each interrupt of the host, so that an IPI is all that a kick takes.
 * @evicted: the TLB model has made room: this one translation (level 0: 4 KiB, 1: 2 MiB)
 *	is gone. Called within @enter, after the generation was raised by one. Optional.
 */
struct emu_engine {
	const char *name;
	bool fpu;
	int (*init)(void);
	bool (*vcpu_init)(struct emu_vcpu *v);
	void (*vcpu_free)(struct emu_vcpu *v);
	enum emu_result (*enter)(struct emu_vcpu *v);
	void (*evicted)(struct emu_vcpu *v, u64 gpa, unsigned int level);
};

/* engine.c */
extern const struct emu_engine *emu_engine;
bool emu_engine_ready(void);

/* interp.c */
extern const struct emu_engine emu_interp;
enum emu_result emu_leave(struct emu_vcpu *v, u64 reason);

/* vmx.c */
extern const struct emu_engine emu_vmx;
#define EMU_VMX_REASONS	80	/* more than VMX has */
u64 emu_vmx_exits(unsigned int reason);

/* events.c */
enum emu_result emu_deliver(struct emu_vcpu *v, u8 vector, bool has_error, u64 error);
void emu_vcpu_reset(struct emu_vcpu *v, u64 rcx, u32 index, unsigned int gpaw);

/* paging.c */
void emu_flush_gtlb(struct emu_vcpu *v);

/* decode.c */
enum emu_result emu_step(struct emu_vcpu *v);

/* apic.c */
bool emu_irq_pending(struct emu_vcpu *v);
enum emu_result emu_irq_deliver(struct emu_vcpu *v);
bool emu_x2apic_read(struct emu_vcpu *v, u32 index, u64 *data);
bool emu_x2apic_write(struct emu_vcpu *v, u32 index, u64 data);

/* memory.c */
void *emu_va(u64 pa);
void emu_page_owned(u64 pa, unsigned int nr, bool owned);
enum emu_result emu_ept_exit(struct emu_vcpu *v, u64 gpa, u64 qual, u64 ext);
enum emu_result emu_map_shared(struct emu_vcpu *v, u64 gpa, unsigned int access,
			       u64 gla, void **hva);

/* backend.c */
u64 emu_tsc(struct emu_vcpu *v);
bool emu_host_interrupt(void);
u64 emu_instructions(void);
u64 emu_run(struct tdxemu_vp *vp, struct tdxemu_args *args);
enum emu_result emu_map(struct emu_vcpu *v, u64 gpa, unsigned int access,
			u64 gla, void **hva);
enum emu_result emu_map_private(struct emu_vcpu *v, u64 gpa, unsigned int access,
				u64 gla, struct tdxemu_access *a);
enum emu_result emu_tdcall(struct emu_vcpu *v);

/* platform.c */
bool emu_drop(u64 fn);
bool emu_cpuid(struct emu_vcpu *v, u32 leaf, u32 sub, u32 *out);
__printf(1, 2) void emu_violation(const char *fmt, ...);

/* platform.c, for KVM: see hooks.patch */
bool tdxemu_host_flush(struct pt_regs *regs, unsigned long address);
void tdxemu_count_request(bool leave);
void tdxemu_count_ipis(unsigned int nr);
unsigned int tdxemu_present_cpus(void);

/* oracle.c */
void emu_oracle_call(u64 fn, u64 rcx, u64 rdx, u64 status);
void emu_oracle_enter(struct tdxemu_td *td, struct kvm *kvm);
void emu_oracle_check_all(void);
void emu_oracle_show(struct seq_file *m);

#endif
