/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A host for the core, in user space: memory, CPUs, and what a host does to boot
 * the module, to make a TD, and to get rid of it.
 */
#ifndef __TDXEMU_TESTS_HOST_H
#define __TDXEMU_TESTS_HOST_H

#include <stdio.h>
#include <stdlib.h>

#include "tdxemu.h"
#include "status.h"

#define PAGE		4096ull
#define MB		(1ull << 20)
#define GB		(1ull << 30)

/* Memory: one TDMR, its first MiB reserved; then what is not TDX memory. */
#define TDMR_SIZE	(2 * GB)
#define RAM_SIZE	(TDMR_SIZE + 64 * MB)
#define RESERVED_SIZE	MB
#define PAIRS_BASE	MB		/* up to 2 MiB: for pairs of a dynamic PAMT */
#define PAMT_BASE	TDMR_SIZE
#define SCRATCH		(TDMR_SIZE + 32 * MB)	/* TDMR_INFO, TD_PARAMS, sources */

#define PHYS_BITS	40
#define FIRST_KEYID	32
#define NR_KEYIDS	8
#define GLOBAL_HKID	FIRST_KEYID
#define NR_CPUS		4
#define NR_PACKAGES	2	/* CPUs 0, 1 and CPUs 2, 3 */

#define MAX_VCPUS	4

struct host {
	struct tdxemu_platform p;
	unsigned int cpu;
	bool irq;			/* irq_pending() */
	unsigned int irq_after;		/* or: from the n'th poll on, 0: never */
	bool refuse_vp;			/* vp_init() fails */
	u64 tsc;
	u64 rip;			/* of the vCPU that leaves */
	u64 next_pair, paired;		/* dynamic PAMT: pairs up to here */
	bool dynamic_pamt;
	u64 next_4k, next_2m;		/* allocators; 4K from below, 2M from above */
	int vps;			/* vp_init() less vp_free() */
	unsigned int violations[TDXEMU_NR_RULES];
	bool verbose;
	/* Runs in VP.ENTER. */
	u64 (*guest)(struct tdxemu_vp *vp, struct tdxemu_args *args);
};

extern struct host host;
extern _Thread_local int host_thread_cpu;	/* -1: host.cpu */
extern struct tdxemu_args out;	/* registers after call() */

struct td {
	u64 tdr, root;
	unsigned int hkid, nr_vcpus;
	u64 vp[MAX_VCPUS];
};

/* Parameters of host_boot() that are not the usual ones. */
struct boot {
	u64 features0;
	enum tdxemu_module module;
	bool strict, fatal_encodings;
	bool dynamic_pamt;	/* needs the bit in features0 */
};

void host_init(const struct boot *b);
void host_boot(const struct boot *b);
void host_boot_platform(void);
u64 *host_tdmr_info(unsigned int n);
void *host_va(u64 hpa);
u64 host_pair_page(void);
u64 host_page(void);
u64 host_page_2m(void);
bool host_owned(u64 hpa);
u64 host_nr_owned(void);
unsigned int host_violations(void);
void host_clear_violations(void);

u64 call(u64 fn, u64 rcx, u64 rdx, u64 r8, u64 r9);
u64 call2(u64 fn, u64 rcx, u64 rdx, u64 r8, u64 r12, u64 r13);
u64 wbinvd(unsigned int hkid, u64 hpa);

void td_new(struct td *td, unsigned int vcpus, bool run);
u64 td_params(void);
void td_tables(struct td *td, u64 gpa, unsigned int level);
u64 td_enter(struct td *td, unsigned int n, u64 (*guest)(struct tdxemu_vp *, struct tdxemu_args *));
u64 td_track(struct td *td);
void td_end(struct td *td);
bool td_end_key(struct td *td);

/* TAP */
void check_at(const char *file, int line, bool ok, const char *what, u64 got, u64 want);
#define CHECK(x)	check_at(__FILE__, __LINE__, (x), #x, 0, 1)
#define CHECK_EQ(x, want) do {							\
	u64 got_ = (x), want_ = (want);						\
	check_at(__FILE__, __LINE__, got_ == want_, #x, got_, want_);		\
} while (0)
#define CALL(...)	CHECK_EQ(call(__VA_ARGS__), 0)
void test_begin(const char *name);
void test_end(void);
int test_summary(void);
unsigned int check_failures(void);

#endif
