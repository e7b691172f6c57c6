// SPDX-License-Identifier: GPL-2.0
/*
 * Each rule of the oracle is broken on purpose, by the host where the module
 * cannot refuse it, else by a module that has been told to go wrong; and kept,
 * to see that the rule is silent then.
 */

#include "unit.h"

static const struct boot strict = { .features0 = TDXEMU_F0_DEFAULT, .strict = true };

/* The rule was broken so often, and no other was. */
static void expect(enum tdxemu_rule rule, unsigned int times)
{
	CHECK_EQ(host.violations[rule], times);
	CHECK_EQ(host_violations(), times);
	host_clear_violations();
}

static void fault(enum tdxemu_fault_kind kind, u32 leaf)
{
	struct tdxemu_fault f = {
		.kind = kind, .leaf = leaf, .level = ~0u, .times = 1, .operand = ~0u,
	};

	tdxemu_fault_clear();
	CHECK_EQ(tdxemu_fault_add(&f), 0);
}

static struct td td;
static void (*meanwhile)(void);

static u64 guest(struct tdxemu_vp *vp, struct tdxemu_args *args)
{
	struct tdxemu_access a;

	CHECK_EQ(tdxemu_access(vp, GPA + 5, TDXEMU_READ, &a), TDXEMU_OK);
	host.cpu = 3;
	if (meanwhile)
		meanwhile();
	host.cpu = 0;
	return EXIT_EXTERNAL_INTERRUPT;
}

static u16 stale_leaf;
static u64 stale_level, stale_r8;

static void stale_call(void)
{
	CALL(MEM_RANGE_BLOCK, GPA | stale_level, td.tdr, 0, 0);
	CHECK_EQ(td_track(&td), 0);
	CHECK_EQ(call(stale_leaf, GPA | stale_level, td.tdr, stale_r8, 0),
		 ST_TLB_TRACKING_NOT_DONE | OP_RCX);
	CHECK_EQ(host_violations(), 0);
	fault(TDXEMU_FAULT_SKIP_TRACKING, stale_leaf);
	CALL(stale_leaf, GPA | stale_level, td.tdr, stale_r8, 0);
	expect(TDXEMU_RULE_STALE_TLB, 1);
}

static void test_stale(void)
{
	static const struct {
		u16 leaf;
		u8 level;
	} t[] = {
		{ MEM_PAGE_REMOVE, 0 }, { MEM_PAGE_REMOVE, 1 }, { MEM_PAGE_DEMOTE, 1 },
		{ MEM_PAGE_RELOCATE, 0 },
	};
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char name[80];

		snprintf(name, sizeof(name), "stale-tlb: %s level %u, vCPU not kicked",
			 tdxemu_leaf_name(t[i].leaf), t[i].level);
		host_boot(NULL);
		td_new(&td, 1, true);
		test_begin(name);
		stale_leaf = t[i].leaf;
		stale_level = t[i].level;
		CHECK(put_state(&td, GPA, t[i].level, S_MAPPED, NULL));
		stale_r8 = host_page();
		meanwhile = stale_call;
		CHECK_EQ(td_enter(&td, 0, guest), EXIT_EXTERNAL_INTERRUPT);
		meanwhile = NULL;
		test_end();
	}
	test_begin("stale-tlb: an entry that does not flush");
	host_boot(NULL);
	td_new(&td, 1, true);
	CHECK(put_state(&td, GPA, 0, S_MAPPED, NULL));
	CHECK_EQ(td_enter(&td, 0, guest), EXIT_EXTERNAL_INTERRUPT);
	CALL(MEM_RANGE_BLOCK, GPA, td.tdr, 0, 0);
	CHECK_EQ(td_track(&td), 0);
	fault(TDXEMU_FAULT_SKIP_FLUSH, VP_ENTER);
	CHECK_EQ(td_enter(&td, 0, guest), EXIT_EXTERNAL_INTERRUPT);
	CALL(MEM_PAGE_REMOVE, GPA, td.tdr, 0, 0);
	expect(TDXEMU_RULE_STALE_TLB, 1);
	test_end();
}

static void test_alias(void)
{
	struct td other;
	u64 hpa;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		host_boot(NULL);
		test_begin(i ? "alias: one page in two TDs" : "alias: one page at two addresses");
		td_new(&td, 1, true);
		td_new(&other, 1, true);
		CHECK(put_state(&td, GPA, 0, S_PENDING, &hpa));
		td_tables(&other, GPA, 0);
		fault(TDXEMU_FAULT_ALIAS, MEM_PAGE_AUG);
		CALL(MEM_PAGE_AUG, i ? GPA : GPA + PAGE, i ? other.tdr : td.tdr, hpa, 0);
		expect(TDXEMU_RULE_ALIAS, 1);
		/* The whole TD shows it too. */
		CHECK(tdxemu_check_td(tdxemu_td_at(td.tdr)));
		CHECK(host.violations[TDXEMU_RULE_ALIAS]);
		host_clear_violations();
		/* And so does the guest's access. */
		if (!i) {
			CHECK(accept_page(&td, GPA, 0, 0));
			td_enter(&td, 0, guest);
			expect(TDXEMU_RULE_ALIAS, 1);
		}
		test_end();
	}
}

static void test_blocked(void)
{
	struct tdxemu_td *t;

	host_boot(NULL);
	td_new(&td, 1, true);
	t = tdxemu_td_at(td.tdr);
	test_begin("left-blocked: mmu_lock is released over a blocked entry");
	CHECK(put_state(&td, GPA, 1, S_MAPPED, NULL));
	tdxemu_host_released_mmu_lock(t);
	expect(TDXEMU_RULE_BLOCKED, 0);
	CALL(MEM_RANGE_BLOCK, GPA | 1, td.tdr, 0, 0);
	tdxemu_host_released_mmu_lock(t);
	expect(TDXEMU_RULE_BLOCKED, 1);
	CHECK_EQ(td_track(&td), 0);
	tdxemu_host_released_mmu_lock(t);
	expect(TDXEMU_RULE_BLOCKED, 1);
	CALL(MEM_RANGE_UNBLOCK, GPA | 1, td.tdr, 0, 0);
	tdxemu_host_released_mmu_lock(t);
	expect(TDXEMU_RULE_BLOCKED, 0);
	td_end(&td);
	test_end();
}

static void test_write_back(void)
{
	unsigned int level, skip, i;
	u64 hpa;

	for (level = 0; level < 2; level++)
		for (skip = 0; skip < 3; skip++) {
			unsigned int n = level ? 512 : 1;
			char name[80];

			if (skip > n)
				continue;
			snprintf(name, sizeof(name), "write-back: level %u, %u of %u pages not",
				 level, skip, n);
			host_boot(NULL);
			td_new(&td, 1, true);
			test_begin(name);
			CHECK(put_state(&td, GPA, level, S_PENDING_BLOCKED, &hpa));
			CALL(MEM_PAGE_REMOVE, GPA | level, td.tdr, 0, 0);
			for (i = skip; i < n; i++)
				CHECK_EQ(wbinvd(td.hkid, hpa + i * PAGE), 0);
			for (i = 0; i < n; i++)
				CHECK_EQ(tdxemu_page_owned(hpa + i * PAGE), i < skip);
			CALL(MEM_PAGE_AUG, GPA | level, td.tdr, hpa, 0);
			expect(TDXEMU_RULE_WRITE_BACK, skip);
			td_end(&td);
			test_end();
		}
	test_begin("wrong-hkid: written back with another key");
	host_boot(NULL);
	td_new(&td, 1, true);
	CHECK(put_state(&td, GPA, 0, S_PENDING_BLOCKED, &hpa));
	CALL(MEM_PAGE_REMOVE, GPA, td.tdr, 0, 0);
	CHECK_EQ(wbinvd(GLOBAL_HKID, hpa), 0);
	expect(TDXEMU_RULE_WRONG_HKID, 1);
	CHECK(host_owned(hpa));
	CHECK_EQ(wbinvd(td.hkid, hpa), 0);
	expect(TDXEMU_RULE_WRONG_HKID, 0);
	CHECK(!host_owned(hpa));
	test_end();
	test_begin("write-back: freeing the key has done it");
	CALL(MEM_PAGE_AUG, GPA, td.tdr, hpa, 0);
	CALL(MEM_RANGE_BLOCK, GPA, td.tdr, 0, 0);
	CHECK_EQ(td_track(&td), 0);
	CALL(MEM_PAGE_REMOVE, GPA, td.tdr, 0, 0);
	CHECK(tdxemu_page_owned(hpa));
	CHECK(td_end_key(&td));
	CHECK(!tdxemu_page_owned(hpa));
	CALL(MNG_CREATE, hpa, FIRST_KEYID + 6, 0, 0);
	test_end();
	test_begin("hkid-reuse: a package's caches were not written back");
	host_boot(NULL);
	td_new(&td, 1, true);
	CALL(VP_FLUSH, td.vp[0], 0, 0, 0);
	CALL(MNG_VPFLUSHDONE, td.tdr, 0, 0, 0);
	CALL(PHYMEM_CACHE_WB, 0, 0, 0, 0);
	fault(TDXEMU_FAULT_SKIP_WB, MNG_KEY_FREEID);
	CALL(MNG_KEY_FREEID, td.tdr, 0, 0, 0);
	CALL(MNG_CREATE, host_page(), td.hkid, 0, 0);
	expect(TDXEMU_RULE_HKID_REUSE, 1);
	test_end();
}

static void test_touched(void)
{
	u64 hpa, page;

	host_boot(NULL);
	td_new(&td, 1, true);
	test_begin("touched: pages of the module and pages of the host");
	CHECK(put_state(&td, GPA, 1, S_PENDING_BLOCKED, &hpa));
	page = host_page();
	CHECK(!tdxemu_host_touched(page));
	CHECK(!tdxemu_host_touched(SCRATCH));
	CHECK(!tdxemu_host_touched(0));
	expect(TDXEMU_RULE_TOUCHED, 0);
	CHECK(tdxemu_host_touched(hpa + 3 * PAGE + 5));
	CHECK(tdxemu_host_touched(td.tdr));
	CHECK(tdxemu_host_touched(td.root + 8));
	CHECK(tdxemu_host_touched(td.vp[0]));
	expect(TDXEMU_RULE_TOUCHED, 4);
	CALL(MEM_PAGE_REMOVE, GPA | 1, td.tdr, 0, 0);
	CHECK(tdxemu_host_touched(hpa));
	expect(TDXEMU_RULE_TOUCHED, 1);
	CHECK_EQ(wbinvd(td.hkid, hpa), 0);
	CHECK(!tdxemu_host_touched(hpa));
	CHECK(tdxemu_host_touched(hpa + PAGE));
	expect(TDXEMU_RULE_TOUCHED, 1);
	td_end(&td);
	test_end();
	test_begin("contents: the host writes to TDR, TDVPR, S-EPT");
	host_boot(NULL);
	td_new(&td, 1, true);
	memset(host_va(td.root), 0, 8);
	CHECK_EQ(call(MEM_SEPT_RD, 0, td.tdr, 0, 0), ST_EPT_WALK_FAILED | OP_RCX);
	expect(TDXEMU_RULE_CONTENTS, 1);
	memset(host_va(td.vp[0]), 0, 64);
	CHECK_EQ(td_enter(&td, 0, NULL), ST_PAGE_METADATA_INCORRECT | OP_RCX);
	expect(TDXEMU_RULE_CONTENTS, 1);
	memset(host_va(td.tdr), 0, 64);
	CHECK_EQ(td_track(&td), ST_PAGE_METADATA_INCORRECT | OP_RCX);
	expect(TDXEMU_RULE_CONTENTS, 1);
	test_end();
}

static void test_counts(void)
{
	u64 lost, hpa;

	host_boot(NULL);
	td_new(&td, 1, true);
	test_begin("chldcnt: a page that CHLDCNT does not have");
	td_tables(&td, GPA, 0);
	fault(TDXEMU_FAULT_CHLDCNT, MEM_PAGE_AUG);
	lost = host_page();
	CALL(MEM_PAGE_AUG, GPA, td.tdr, lost, 0);
	CHECK_EQ(tdxemu_check_td(tdxemu_td_at(td.tdr)), 1);
	expect(TDXEMU_RULE_CHLDCNT, 1);
	/* All others are reclaimed: CHLDCNT is 0, and the module lets the TDR go. */
	CHECK(td_end_key(&td));
	for (hpa = 2 * MB; hpa < lost; hpa += PAGE)
		if (hpa != td.tdr && !call(PHYMEM_PAGE_RDMD, hpa, 0, 0, 0) && out.rdx == td.tdr)
			CALL(PHYMEM_PAGE_RECLAIM, hpa, 0, 0, 0);
	CALL(PHYMEM_PAGE_RECLAIM, td.tdr, 0, 0, 0);
	expect(TDXEMU_RULE_CHLDCNT, 1);
	test_end();
}

static void test_children(void)
{
	static const struct {
		enum tdxemu_fault_kind kind;
		u8 state;
	} t[] = {
		{ TDXEMU_FAULT_CHILD_STATE, S_PENDING_BLOCKED },
		{ TDXEMU_FAULT_CHILD_STATE, S_BLOCKED },
		{ TDXEMU_FAULT_CHILD_HPA, S_PENDING_BLOCKED },
		{ TDXEMU_FAULT_CHILD_HPA, S_BLOCKED },
		{ TDXEMU_FAULT_NONE, S_BLOCKED },
	};
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char name[80];

		snprintf(name, sizeof(name), "child-state: after DEMOTE of %s, %s",
			 state_name(t[i].state),
			 t[i].kind == TDXEMU_FAULT_NONE ? "good" :
			 t[i].kind == TDXEMU_FAULT_CHILD_HPA ? "two pages exchanged" :
			 "one child blocked");
		host_boot(NULL);
		td_new(&td, 1, true);
		test_begin(name);
		CHECK(put_state(&td, GPA, 1, t[i].state, NULL));
		fault(t[i].kind, MEM_PAGE_DEMOTE);
		CALL(MEM_PAGE_DEMOTE, GPA | 1, td.tdr, host_page(), 0);
		expect(TDXEMU_RULE_CHILD_STATE, t[i].kind != TDXEMU_FAULT_NONE);
		test_end();
	}
}

/* BUSY: nobody inside may be there at the next try. */
static bool kick;

static void busy_retry(void)
{
	fault(TDXEMU_FAULT_BUSY, MEM_RANGE_BLOCK);
	CHECK_EQ(call(MEM_RANGE_BLOCK, GPA, td.tdr, 0, 0), ST_OPERAND_BUSY | OP_RDX);
	if (kick)
		tdxemu_host_kicked(tdxemu_td_at(td.tdr));
	CALL(MEM_RANGE_BLOCK, GPA, td.tdr, 0, 0);
	expect(TDXEMU_RULE_BUSY, !kick);
}

static void busy_once(void)
{
	fault(TDXEMU_FAULT_BUSY, MEM_RANGE_BLOCK);
	CHECK_EQ(call(MEM_RANGE_BLOCK, GPA, td.tdr, 0, 0), ST_OPERAND_BUSY | OP_RDX);
}

static void test_busy(void)
{
	unsigned int i;

	for (i = 0; i < 3; i++) {
		host_boot(&strict);
		td_new(&td, 1, true);
		test_begin(i == 2 ? "busy-no-kick: the vCPU has left" :
			   i ? "busy-no-kick: kicked, and let in again" : "busy-no-kick");
		CHECK(put_state(&td, GPA, 0, S_MAPPED, NULL));
		host_clear_violations();
		kick = i;
		meanwhile = i == 2 ? busy_once : busy_retry;
		CHECK_EQ(td_enter(&td, 0, guest), EXIT_EXTERNAL_INTERRUPT);
		if (i == 2) {
			CALL(MEM_RANGE_BLOCK, GPA, td.tdr, 0, 0);
			expect(TDXEMU_RULE_BUSY, 0);
		}
		meanwhile = NULL;
		CHECK_EQ(td_track(&td), 0);
		CALL(MEM_RANGE_UNBLOCK, GPA, td.tdr, 0, 0);
		td_end(&td);
		host_clear_violations();
		test_end();
	}
}

static void test_restart(void)
{
	static const struct {
		const char *name;
		bool other_page, other_gpa, unblock;
		unsigned int times;
	} t[] = {
		{ "the same", false, false, false, 0 },
		{ "another page in R8", true, false, false, 1 },
		{ "another address", false, true, false, 1 },
		{ "given up, then another page", true, false, true, 0 },
	};
	u64 page, gpa;
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char name[80];

		snprintf(name, sizeof(name), "restart: after an interrupted DEMOTE, %s", t[i].name);
		host_boot(NULL);
		td_new(&td, 1, true);
		test_begin(name);
		CHECK(put_state(&td, GPA, 1, S_PENDING_BLOCKED, NULL));
		CHECK(put_state(&td, GPA + 2 * MB, 1, S_PENDING_BLOCKED, NULL));
		page = host_page();
		host.irq = true;
		CHECK_EQ(call(MEM_PAGE_DEMOTE, GPA | 1, td.tdr, page, 0),
			 ST_INTERRUPTED_RESTARTABLE);
		host.irq = false;
		if (t[i].unblock) {
			CALL(MEM_RANGE_UNBLOCK, GPA | 1, td.tdr, 0, 0);
			CALL(MEM_RANGE_BLOCK, GPA | 1, td.tdr, 0, 0);
			CHECK_EQ(td_track(&td), 0);
		}
		if (t[i].other_page)
			page = host_page();
		gpa = t[i].other_gpa ? GPA + 2 * MB : GPA;
		CALL(MEM_PAGE_DEMOTE, gpa | 1, td.tdr, page, 0);
		expect(TDXEMU_RULE_RESTART, t[i].times);
		td_end(&td);
		test_end();
	}
}

static void test_strict(void)
{
	static const struct {
		u16 leaf;
		u64 rcx;
		u64 want;
		unsigned int times;
	} t[] = {
		{ MEM_PAGE_REMOVE, GPA, ST_GPA_RANGE_NOT_BLOCKED | OP_RCX, 1 },
		{ MEM_RANGE_BLOCK, GPA + 2 * MB, ST_GPA_RANGE_ALREADY_BLOCKED | OP_RCX, 1 },
		{ MEM_PAGE_REMOVE, GPA + 2 * MB, ST_TLB_TRACKING_NOT_DONE | OP_RCX, 1 },
		{ MEM_RANGE_BLOCK, GPA + 4 * MB, ST_EPT_WALK_FAILED | OP_RCX, 1 },
		{ MEM_PAGE_AUG, GPA, ST_EPT_ENTRY_STATE_INCORRECT | OP_RCX, 1 },
		{ MEM_PAGE_AUG, GPA + PAGE, ST_PAGE_METADATA_INCORRECT | OP_R8, 1 },
		{ MEM_RANGE_BLOCK, GPA + 1, ST_OPERAND_INVALID | OP_RCX, 1 },
		{ MEM_SEPT_RD, GPA, 0, 0 },
		{ MNG_RD, 0, ST_PAGE_METADATA_INCORRECT | OP_RCX, 0 },
	};
	struct tdxemu_trace tr;
	char line[200];
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char name[80];

		host_boot(&strict);
		td_new(&td, 1, true);
		snprintf(name, sizeof(name), "call: %s gives %s", tdxemu_leaf_name(t[i].leaf),
			 tdxemu_status_name(t[i].want));
		test_begin(name);
		CHECK(put_state(&td, GPA, 0, S_MAPPED, NULL));
		CHECK(put_state(&td, GPA + 2 * MB, 0, S_MAPPED, NULL));
		host_clear_violations();
		CALL(MEM_RANGE_BLOCK, GPA + 2 * MB, td.tdr, 0, 0);
		if (t[i].leaf == MEM_RANGE_BLOCK && t[i].rcx == GPA + 1) {
			CHECK_EQ(call(t[i].leaf, GPA | 8, td.tdr, 0, 0), t[i].want);
		} else {
			CHECK_EQ(call(t[i].leaf, t[i].rcx, td.tdr, td.tdr + PAGE, 0), t[i].want);
		}
		expect(TDXEMU_RULE_CALL, t[i].times);
		CHECK(tdxemu_trace_get(0, &tr) && tr.leaf == t[i].leaf && tr.status == t[i].want);
		CHECK(tdxemu_trace_line(&tr, line, sizeof(line)) > 20);
		CHECK(strstr(line, tdxemu_leaf_name(t[i].leaf)) &&
		      strstr(line, tdxemu_status_name(t[i].want)));
		test_end();
	}
	test_begin("call: a vCPU on two CPUs; hkid-leak: VPFLUSHDONE too early");
	host_boot(&strict);
	td_new(&td, 1, true);
	host.cpu = 1;
	CHECK_EQ(call(VP_ENTER, td.vp[0], 0, 0, 0), ST_VCPU_ASSOCIATED);
	host.cpu = 0;
	expect(TDXEMU_RULE_CALL, 1);
	CHECK_EQ(call(MNG_VPFLUSHDONE, td.tdr, 0, 0, 0), ST_FLUSHVP_NOT_DONE);
	expect(TDXEMU_RULE_LEAK, 1);
	/* An injected status is nobody's fault. */
	fault(TDXEMU_FAULT_STATUS, MEM_TRACK);
	CHECK_EQ(td_track(&td), 0);
	expect(TDXEMU_RULE_CALL, 0);
	test_end();
	test_begin("call: blocked twice, after a fault and without");
	host_boot(&strict);
	td_new(&td, 1, true);
	CHECK(put_state(&td, GPA, 0, S_MAPPED, NULL));
	CHECK(put_state(&td, GPA + PAGE, 0, S_MAPPED, NULL));
	host_clear_violations();
	/* Over this one the host gets. */
	fault(TDXEMU_FAULT_BUSY, MEM_RANGE_BLOCK);
	CHECK_EQ(call(MEM_RANGE_BLOCK, GPA, td.tdr, 0, 0) & ST_MASK, ST_OPERAND_BUSY);
	CHECK_EQ(call(MEM_RANGE_BLOCK, GPA, td.tdr, 0, 0), 0);
	CHECK_EQ(call(MEM_RANGE_BLOCK, GPA, td.tdr, 0, 0) & ST_MASK, ST_GPA_RANGE_ALREADY_BLOCKED);
	expect(TDXEMU_RULE_CALL, 1);
	/* What it has begun can't be finished: it has to begin again. */
	fault(TDXEMU_FAULT_EPOCH_BUSY, MEM_TRACK);
	CHECK_EQ(td_track(&td), ST_PREVIOUS_TLB_EPOCH_BUSY);
	CHECK_EQ(call(MEM_RANGE_BLOCK, GPA, td.tdr, 0, 0) & ST_MASK, ST_GPA_RANGE_ALREADY_BLOCKED);
	expect(TDXEMU_RULE_CALL, 0);
	/* But other mistakes are mistakes. */
	CHECK_EQ(call(MEM_PAGE_REMOVE, GPA + PAGE, td.tdr, 0, 0) & ST_MASK, ST_GPA_RANGE_NOT_BLOCKED);
	expect(TDXEMU_RULE_CALL, 1);
	test_end();
	host_boot(NULL);
}

static void test_text(void)
{
	struct tdxemu_violation v = {
		.name = "rule", .what = "page %0 of %1: %2 %3 100%", .v = { 0x1000, 0, ~0ull, 9 },
		.leaf = MEM_PAGE_REMOVE, .cpu = 12,
	};
	char buf[200], small[16];
	u64 failed, n;

	test_begin("text of violations and calls, counters");
	tdxemu_violation_line(&v, buf, sizeof(buf));
	CHECK(!strcmp(buf, "rule: page 0x1000 of 0x0: 0xffffffffffffffff 0x9 100% "
			   "(MEM.PAGE.REMOVE, cpu 12)"));
	CHECK_EQ(tdxemu_violation_line(&v, small, sizeof(small)), 15);
	CHECK(!strcmp(small, "rule: page 0x10"));
	host_boot(NULL);
	td_new(&td, 1, true);
	n = tdxemu_count(MEM_TRACK, &failed);
	CHECK_EQ(n + failed, 0);
	CHECK_EQ(td_track(&td), 0);
	CHECK_EQ(call(MEM_TRACK, 1, 0, 0, 0), ST_OPERAND_INVALID | OP_RCX);
	CHECK_EQ(tdxemu_count(MEM_TRACK, &failed), 2);
	CHECK_EQ(failed, 1);
	td_end(&td);
	test_end();
}

void test_oracle(void)
{
	test_stale();
	test_alias();
	test_blocked();
	test_write_back();
	test_touched();
	test_counts();
	test_children();
	test_busy();
	test_restart();
	test_strict();
	test_text();
}
