// SPDX-License-Identifier: GPL-2.0
/* Faults to order: which call fails, how, and that nothing else has changed. */

#include "unit.h"

static struct td td;
static u64 page_4k;

static int add(enum tdxemu_fault_kind kind, u32 leaf, u32 operand, u64 times)
{
	struct tdxemu_fault f = {
		.kind = kind, .leaf = leaf, .level = ~0u, .operand = operand, .times = times,
	};

	tdxemu_fault_clear();
	return tdxemu_fault_add(&f);
}

static u64 hits(int id)
{
	struct tdxemu_fault f;

	return tdxemu_fault_get(id, &f) ? f.hits : ~0ull;
}

/* BUSY on each lock of each leaf; then, without a fault, the call succeeds. */
static void test_busy(void)
{
#define B(op)	(ST_OPERAND_BUSY | (op))
	static const struct {
		u16 leaf;
		u32 lock;
		u64 want;
		u8 level, state;	/* of the entry before */
		bool info;		/* RCX and RDX describe it */
	} t[] = {
		{ MEM_PAGE_AUG, ~0u, B(OP_RDX), 0, S_FREE },
		{ MEM_PAGE_AUG, OP_TDR, B(OP_RDX), 0, S_FREE },
		{ MEM_PAGE_AUG, OP_STATE, B(OP_STATE), 0, S_FREE },
		{ MEM_PAGE_AUG, OP_TREE, B(OP_TREE), 0, S_FREE },
		{ MEM_PAGE_AUG, OP_RCX, B(OP_RCX), 0, S_FREE, true },
		{ MEM_PAGE_AUG, OP_R8, B(OP_R8), 0, S_FREE },
		{ MEM_PAGE_AUG, OP_R8, B(OP_R8), 1, S_FREE },
		{ MEM_SEPT_ADD, OP_TREE, B(OP_TREE), 1, S_FREE },
		{ MEM_SEPT_ADD, OP_RCX, B(OP_RCX), 1, S_FREE, true },
		{ MEM_SEPT_ADD, OP_R8, B(OP_R8), 1, S_FREE },
		{ MEM_RANGE_BLOCK, OP_TREE, B(OP_TREE), 0, S_MAPPED },
		{ MEM_RANGE_BLOCK, OP_RCX, B(OP_RCX), 1, S_MAPPED, true },
		{ MEM_RANGE_UNBLOCK, OP_TREE, B(OP_TREE), 1, S_BLOCKED },
		{ MEM_RANGE_UNBLOCK, OP_RCX, B(OP_RCX), 0, S_PENDING_BLOCKED, true },
		{ MEM_PAGE_REMOVE, OP_TREE, B(OP_TREE), 0, S_BLOCKED },
		{ MEM_PAGE_REMOVE, OP_RCX, B(OP_RCX), 1, S_BLOCKED, true },
		{ MEM_PAGE_DEMOTE, OP_TDR, B(OP_RDX), 1, S_BLOCKED },
		{ MEM_PAGE_DEMOTE, OP_STATE, B(OP_STATE), 1, S_BLOCKED },
		{ MEM_PAGE_DEMOTE, OP_TREE, B(OP_TREE), 1, S_BLOCKED },
		{ MEM_PAGE_DEMOTE, OP_RCX, B(OP_RCX), 1, S_PENDING_BLOCKED, true },
		{ MEM_PAGE_DEMOTE, OP_R8, B(OP_R8), 1, S_BLOCKED },
		{ MEM_SEPT_REMOVE, OP_TREE, B(OP_TREE), 1, S_NL_BLOCKED },
		{ MEM_SEPT_REMOVE, OP_RCX, B(OP_RCX), 1, S_NL_BLOCKED, true },
		{ MEM_SEPT_RD, OP_TREE, B(OP_TREE), 1, S_PENDING },
		{ MEM_SEPT_RD, OP_RCX, B(OP_RCX), 1, S_PENDING, true },
		{ MEM_PAGE_RELOCATE, OP_RCX, B(OP_RCX), 0, S_BLOCKED, true },
		{ MEM_PAGE_RELOCATE, OP_R8, B(OP_R8), 0, S_BLOCKED },
	};
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		u64 rcx = GPA | t[i].level, r8;
		char name[80];
		int id;

		snprintf(name, sizeof(name), "BUSY: %s level %u, lock %#x",
			 tdxemu_leaf_name(t[i].leaf), t[i].level, t[i].lock);
		td_new(&td, 1, true);
		test_begin(name);
		CHECK(put_state(&td, GPA, t[i].level, t[i].state, NULL));
		r8 = t[i].leaf == MEM_PAGE_AUG && t[i].level ? host_page_2m() : host_page();
		id = add(TDXEMU_FAULT_BUSY, t[i].leaf, t[i].lock, 2);
		CHECK_EQ(call(t[i].leaf, rcx, td.tdr, r8, 0), t[i].want);
		CHECK_EQ(out.rdx, t[i].info ? (u64)t[i].state << 8 | t[i].level : 0);
		CHECK_EQ(call(t[i].leaf, rcx, td.tdr, r8, 0), t[i].want);
		CHECK_EQ(hits(id), 2);
		CHECK(!host_owned(r8));
		tdxemu_fault_clear();
		CALL(MEM_SEPT_RD, rcx, td.tdr, 0, 0);
		CHECK_EQ(out.rdx, (u64)t[i].state << 8 | t[i].level);
		CALL(t[i].leaf, rcx, td.tdr, r8, 0);
		td_end(&td);
		test_end();
	}
}

/* Leaves of one operand, and their own faults. */
static void test_others(void)
{
	static const struct {
		const char *name;
		u16 leaf;
		enum tdxemu_fault_kind kind;
		u32 lock;
		u64 want;
	} t[] = {
		{ "TRACK, TD", MEM_TRACK, TDXEMU_FAULT_BUSY, OP_TDR, B(OP_RCX) },
		{ "TRACK, epoch", MEM_TRACK, TDXEMU_FAULT_BUSY, OP_EPOCH, B(OP_EPOCH) },
		{ "TRACK, previous epoch", MEM_TRACK, TDXEMU_FAULT_EPOCH_BUSY, 0,
		  ST_PREVIOUS_TLB_EPOCH_BUSY },
		{ "VP.ENTER, vCPU", VP_ENTER, TDXEMU_FAULT_BUSY, OP_TDVPS, B(OP_RCX) },
		{ "VP.ENTER, epoch", VP_ENTER, TDXEMU_FAULT_BUSY, OP_EPOCH, B(OP_EPOCH) },
		{ "VP.ENTER, TD", VP_ENTER, TDXEMU_FAULT_BUSY, OP_TDR, B(OP_TDR) },
		{ "VP.ENTER, zero-step", VP_ENTER, TDXEMU_FAULT_ZERO_STEP, 0, B(OP_TREE) },
		{ "VP.FLUSH, vCPU", VP_FLUSH, TDXEMU_FAULT_BUSY, OP_TDVPS, B(OP_RCX) },
		{ "WBINVD, page", PHYMEM_PAGE_WBINVD, TDXEMU_FAULT_BUSY, OP_RCX, B(OP_RCX) },
		{ "CREATE, entropy", MNG_CREATE, TDXEMU_FAULT_ENTROPY, 0, ST_RND_NO_ENTROPY },
		{ "CREATE, page", MNG_CREATE, TDXEMU_FAULT_BUSY, ~0u, B(OP_RCX) },
		{ "CREATE, keys", MNG_CREATE, TDXEMU_FAULT_BUSY, OP_KOT, B(OP_KOT) },
		{ "CACHE.WB", PHYMEM_CACHE_WB, TDXEMU_FAULT_BUSY, OP_WBCACHE, B(OP_WBCACHE) },
	};
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		u64 rcx, free_page, rdx, good = 0;
		char name[80];

		snprintf(name, sizeof(name), "fault: %s", t[i].name);
		td_new(&td, 1, true);
		free_page = host_page();
		test_begin(name);
		rcx = t[i].leaf == MEM_TRACK ? td.tdr :
			t[i].leaf == VP_ENTER || t[i].leaf == VP_FLUSH ? td.vp[0] :
			t[i].leaf == PHYMEM_PAGE_WBINVD ? (u64)td.hkid << PHYS_BITS | free_page :
			t[i].leaf == MNG_CREATE ? free_page : 0;
		rdx = td.hkid == FIRST_KEYID + 3 ? FIRST_KEYID + 4 : FIRST_KEYID + 3;
		add(t[i].kind, t[i].leaf, t[i].lock, 1);
		CHECK_EQ(call(t[i].leaf, rcx, rdx, 0, 0), t[i].want);
		if (t[i].leaf == VP_ENTER)
			good = EXIT_EXTERNAL_INTERRUPT;
		if (t[i].leaf == PHYMEM_CACHE_WB)
			good = ST_NO_HKID_READY_TO_WBCACHE;
		CHECK_EQ(tdxemu_vcpus_inside(tdxemu_td_at(td.tdr)), 0);
		CHECK_EQ(call(t[i].leaf, rcx, rdx, 0, 0), good);
		host_boot(NULL);
		test_end();
	}
	test_begin("fault: CACHE.WB interrupted and resumed");
	td_new(&td, 1, true);
	CALL(VP_FLUSH, td.vp[0], 0, 0, 0);
	CALL(MNG_VPFLUSHDONE, td.tdr, 0, 0, 0);
	add(TDXEMU_FAULT_RESUMABLE, PHYMEM_CACHE_WB, 0, 2);
	CHECK_EQ(call(PHYMEM_CACHE_WB, 0, 0, 0, 0), ST_INTERRUPTED_RESUMABLE);
	CHECK_EQ(call(MNG_KEY_FREEID, td.tdr, 0, 0, 0), ST_WBCACHE_NOT_COMPLETE);
	CHECK_EQ(call(PHYMEM_CACHE_WB, 1, 0, 0, 0), ST_INTERRUPTED_RESUMABLE);
	CALL(PHYMEM_CACHE_WB, 1, 0, 0, 0);
	CHECK_EQ(call(PHYMEM_CACHE_WB, 1, 0, 0, 0), ST_WBCACHE_RESUME_ERROR);
	test_end();
	host_boot(NULL);
}

static void test_demote(void)
{
	u64 page, hpa;

	td_new(&td, 1, true);
	test_begin("fault: DEMOTE interrupted, R8 refused, a status of one's own");
	CHECK(put_state(&td, GPA, 1, S_PENDING_BLOCKED, &hpa));
	page = host_page();
	add(TDXEMU_FAULT_RESTARTABLE, MEM_PAGE_DEMOTE, 0, 2);
	CHECK_EQ(call(MEM_PAGE_DEMOTE, GPA | 1, td.tdr, page, 0), ST_INTERRUPTED_RESTARTABLE);
	CHECK_EQ(out.rcx, GPA | 1);
	CHECK_EQ(out.rdx, td.tdr);
	CHECK_EQ(call(MEM_PAGE_DEMOTE, GPA | 1, td.tdr, page, 0), ST_INTERRUPTED_RESTARTABLE);
	add(TDXEMU_FAULT_R8, MEM_PAGE_DEMOTE, 0, 1);
	CHECK_EQ(call(MEM_PAGE_DEMOTE, GPA | 1, td.tdr, page, 0),
		 ST_PAGE_METADATA_INCORRECT | OP_R8);
	CHECK_EQ(out.rcx | out.rdx, 0);
	{
		struct tdxemu_fault f = {
			.kind = TDXEMU_FAULT_STATUS, .leaf = MEM_PAGE_DEMOTE, .level = ~0u,
			.times = 1, .status = 0xC0FFEE0000000000,
		};

		tdxemu_fault_clear();
		tdxemu_fault_add(&f);
	}
	CHECK_EQ(call(MEM_PAGE_DEMOTE, GPA | 1, td.tdr, page, 0), 0xC0FFEE0000000000);
	CALL(MEM_SEPT_RD, GPA | 1, td.tdr, 0, 0);
	CHECK_EQ(out.rdx, S_PENDING_BLOCKED << 8 | 1);
	/* The host gives up, and the VM runs on. */
	CALL(MEM_RANGE_UNBLOCK, GPA | 1, td.tdr, 0, 0);
	CHECK(accept_page(&td, GPA, 1, 0));
	td_end(&td);
	test_end();
}

/* Which call it hits. */
static void test_selectors(void)
{
	static const struct {
		const char *name;
		struct tdxemu_fault f;
		char want[9];		/* of eight BLOCKs: x fails */
	} t[] = {
		{ "once", { .level = ~0u, .times = 1 }, "x......." },
		{ "three times", { .level = ~0u, .times = 3 }, "xxx....." },
		{ "for ever", { .level = ~0u, .times = ~0ull }, "xxxxxxxx" },
		{ "from the third on, twice", { .level = ~0u, .skip = 2, .times = 2 }, "..xx...." },
		{ "pages 2 to 4", { .level = ~0u, .gpa = GPA + 2 * PAGE, .size = 3 * PAGE,
				    .times = ~0ull }, "..xxx..." },
		{ "level 1", { .level = 1, .times = ~0ull }, "........" },
		{ "level 0", { .level = 0, .times = 2 }, "xx......" },
		{ "another leaf", { .leaf = MEM_PAGE_AUG, .level = ~0u, .times = 1 }, "........" },
		{ "until vCPUs are out, and they are", { .level = ~0u, .times = ~0ull,
							 .until_out = true }, "........" },
	};
	unsigned int i, j;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct tdxemu_fault f = t[i].f;
		char got[9] = "........", name[80];

		snprintf(name, sizeof(name), "selector: %s", t[i].name);
		td_new(&td, 1, true);
		test_begin(name);
		td_tables(&td, GPA, 0);
		for (j = 0; j < 8; j++)
			CALL(MEM_PAGE_AUG, GPA + j * PAGE, td.tdr, host_page(), 0);
		f.kind = TDXEMU_FAULT_BUSY;
		f.operand = OP_TREE;
		if (!f.leaf)
			f.leaf = MEM_RANGE_BLOCK;
		tdxemu_fault_clear();
		CHECK_EQ(tdxemu_fault_add(&f), 0);
		for (j = 0; j < 8; j++)
			if (call(MEM_RANGE_BLOCK, GPA + j * PAGE, td.tdr, 0, 0))
				got[j] = 'x';
		CHECK(!strcmp(got, t[i].want));
		tdxemu_fault_clear();
		td_end(&td);
		test_end();
	}
}

static u64 guest_busy(struct tdxemu_vp *vp, struct tdxemu_args *args)
{
	int i;

	host.cpu = 3;
	for (i = 0; i < 5; i++)
		CHECK_EQ(call(MEM_RANGE_BLOCK, GPA, td.tdr, 0, 0), ST_OPERAND_BUSY | OP_TREE);
	host.cpu = 0;
	return EXIT_EXTERNAL_INTERRUPT;
}

static void test_until_out(void)
{
	struct tdxemu_fault f = {
		.kind = TDXEMU_FAULT_BUSY, .leaf = MEM_RANGE_BLOCK, .level = ~0u,
		.operand = OP_TREE, .times = ~0ull, .until_out = true,
	};
	unsigned int i;

	td_new(&td, 1, true);
	test_begin("selector: until vCPUs are out");
	CHECK(put_state(&td, GPA, 0, S_MAPPED, NULL));
	tdxemu_fault_clear();
	tdxemu_fault_add(&f);
	CHECK_EQ(td_enter(&td, 0, guest_busy), EXIT_EXTERNAL_INTERRUPT);
	CALL(MEM_RANGE_BLOCK, GPA, td.tdr, 0, 0);
	tdxemu_fault_clear();
	CHECK(!tdxemu_fault_get(0, &f));
	for (i = 0; i < 16; i++)
		CHECK_EQ(tdxemu_fault_add(&f), i);
	CHECK_EQ(tdxemu_fault_add(&f), -1);
	tdxemu_fault_clear();
	td_end(&td);
	test_end();
}

/* A guest that sits in ACCEPT holds the entry: a real lock, no injection. */
static u64 accept_hpa;
static unsigned int polls;

static bool poll_and_call(void)
{
	host.cpu = 3;
	polls++;
	CHECK_EQ(call(MEM_RANGE_BLOCK, GPA | 1, td.tdr, 0, 0), ST_OPERAND_BUSY | OP_RCX);
	CHECK_EQ(out.rdx, S_PENDING << 8 | 1);
	CHECK_EQ(call(MEM_PAGE_DEMOTE, GPA | 1, td.tdr, page_4k, 0), ST_OPERAND_BUSY | OP_RCX);
	CHECK_EQ(call(MEM_PAGE_REMOVE, GPA | 1, td.tdr, 0, 0), ST_OPERAND_BUSY | OP_RCX);
	CHECK_EQ(call(MEM_SEPT_RD, GPA | 1, td.tdr, 0, 0), ST_OPERAND_BUSY | OP_RCX);
	host.cpu = 0;
	return polls == 3;
}

static u64 guest_accept(struct tdxemu_vp *vp, struct tdxemu_args *args)
{
	struct tdxemu_access a;

	CHECK_EQ(tdxemu_accept(vp, GPA | 1, &a), TDXEMU_INTERRUPTED);
	return EXIT_EXTERNAL_INTERRUPT;
}

/* The host was refused: the guest gives way until it has been there. */
static u64 guest_gives_way(struct tdxemu_vp *vp, struct tdxemu_args *args)
{
	u64 now = host.tsc;
	struct tdxemu_access a;

	CHECK_EQ(tdxemu_accept(vp, GPA | 1, &a), TDXEMU_STATUS);
	CHECK_EQ(a.status, ST_OPERAND_BUSY | OP_RCX);
	host.tsc = now + 999;
	CHECK_EQ(tdxemu_accept(vp, GPA | 1, &a), TDXEMU_STATUS);
	CHECK_EQ(a.status, ST_OPERAND_BUSY | OP_RCX);
	host.tsc = now + 1002;
	CHECK_EQ(tdxemu_accept(vp, GPA | 1, &a), TDXEMU_LEAVE);
	CHECK_EQ(a.status, ST_HOST_PRIORITY_BUSY_TIMEOUT);
	memset(args, 0xa5, sizeof(*args));
	return a.status;
}

/* Another page is another entry. */
static u64 guest_elsewhere(struct tdxemu_vp *vp, struct tdxemu_args *args)
{
	struct tdxemu_access a;

	CHECK_EQ(tdxemu_accept(vp, GPA + 2 * MB, &a), TDXEMU_EXIT);
	CHECK_EQ(tdxemu_accept(vp, GPA | 1, &a), TDXEMU_STATUS);
	CHECK_EQ(a.status, ST_OPERAND_BUSY | OP_RCX);
	return EXIT_EXTERNAL_INTERRUPT;
}

static void test_accept_lock(void)
{
	test_begin("ACCEPT holds the entry");
	host_boot(NULL);
	host.p.irq_pending = poll_and_call;
	host_boot_platform();
	td_new(&td, 1, true);
	page_4k = host_page();
	polls = 0;
	CHECK(put_state(&td, GPA, 1, S_PENDING, &accept_hpa));
	CHECK_EQ(td_enter(&td, 0, guest_accept), EXIT_EXTERNAL_INTERRUPT);
	CHECK_EQ(polls, 3);
	test_end();
	test_begin("a host that was refused has priority");
	CHECK_EQ(td_enter(&td, 0, guest_gives_way), ST_HOST_PRIORITY_BUSY_TIMEOUT);
	CHECK_EQ(out.r10 | out.rbx, 0);
	CHECK_EQ(td_enter(&td, 0, guest_elsewhere), EXIT_EXTERNAL_INTERRUPT);
	/* Whatever the host does with the entry. */
	CALL(MEM_SEPT_RD, GPA | 1, td.tdr, 0, 0);
	polls = 2;
	CHECK_EQ(td_enter(&td, 0, guest_accept), EXIT_EXTERNAL_INTERRUPT);
	CHECK_EQ(polls, 3);
	CHECK_EQ(td_enter(&td, 0, guest_gives_way), ST_HOST_PRIORITY_BUSY_TIMEOUT);
	CALL(MEM_RANGE_BLOCK, GPA | 1, td.tdr, 0, 0);
	test_end();
	host_boot(NULL);
}

/* A vCPU that faults at one RIP again and again. */
static u64 fault_gpa;
static unsigned int entered;

static u64 guest_fault(struct tdxemu_vp *vp, struct tdxemu_args *args)
{
	struct tdxemu_access a;

	entered++;
	memset(args, 0, sizeof(*args));
	if (tdxemu_access(vp, fault_gpa, TDXEMU_READ, &a) != TDXEMU_EXIT)
		return EXIT_EXTERNAL_INTERRUPT;
	args->rcx = a.qual;
	args->rdx = a.ext;
	args->r8 = a.gpa;
	return EXIT_EPT_VIOLATION;
}

static u64 guest_call(struct tdxemu_vp *vp, struct tdxemu_args *args)
{
	memset(args, 0, sizeof(*args));
	return EXIT_TDCALL;
}

/* ACCEPT, which leaves with a violation of its own if there is no page. */
static u64 guest_accept_fault(struct tdxemu_vp *vp, struct tdxemu_args *args)
{
	struct tdxemu_access a;

	entered++;
	memset(args, 0, sizeof(*args));
	if (tdxemu_accept(vp, fault_gpa, &a) != TDXEMU_EXIT)
		return EXIT_EXTERNAL_INTERRUPT;
	args->rcx = a.qual;
	args->rdx = a.ext;
	args->r8 = a.gpa;
	return EXIT_EPT_VIOLATION;
}

/* Enter, and say whether the guest was: 'g', 'e' a violation without it, 'b' BUSY. */
static char enter_once(u64 rip, u64 (*guest)(struct tdxemu_vp *, struct tdxemu_args *))
{
	unsigned int before = entered;
	u64 s;

	host.rip = rip;
	s = td_enter(&td, 0, guest);
	if (s == (ST_OPERAND_BUSY | OP_TREE))
		return 'b';
	if (entered != before)
		return 'g';
	CHECK_EQ(s, EXIT_EPT_VIOLATION);
	CHECK_EQ(out.rcx, TDXEMU_WRITE);
	return 'e';
}

static void test_zero_step(void)
{
	unsigned int i;
	char got[10] = "";

	host_boot(NULL);
	td_new(&td, 2, true);
	td_tables(&td, GPA, 0);
	test_begin("zero-step: six violations at one RIP");
	fault_gpa = GPA + 5 * PAGE;
	for (i = 0; i < 9; i++)
		got[i] = enter_once(0x1234, guest_fault);
	CHECK(!strcmp(got, "ggggggeee"));
	CHECK_EQ(out.r8, fault_gpa);
	/* Nobody was counted as being inside. */
	CHECK_EQ(td_track(&td), 0);
	CHECK_EQ(td_track(&td), 0);
	/* The page is pending, and the guest has no #VE: it would fault again. */
	CALL(MEM_PAGE_AUG, fault_gpa, td.tdr, host_page(), 0);
	CHECK_EQ(enter_once(0x1234, guest_fault), 'e');
	add(TDXEMU_FAULT_BUSY, VP_ENTER, OP_TREE, 1);
	CHECK_EQ(enter_once(0x1234, guest_fault), 'b');
	CHECK_EQ(enter_once(0x1234, guest_fault), 'e');
	/* Another vCPU accepts it. */
	CHECK_EQ(td_enter(&td, 1, guest_accept_fault), EXIT_EXTERNAL_INTERRUPT);
	CHECK_EQ(enter_once(0x1234, guest_fault), 'g');
	/* The lock is asked for until it faults elsewhere. */
	add(TDXEMU_FAULT_BUSY, VP_ENTER, OP_TREE, 1);
	CHECK_EQ(enter_once(0x1234, guest_fault), 'b');
	fault_gpa = GPA + 6 * PAGE;
	CHECK_EQ(enter_once(0x5678, guest_fault), 'g');
	add(TDXEMU_FAULT_BUSY, VP_ENTER, OP_TREE, 1);
	CHECK_EQ(enter_once(0x5678, guest_fault), 'g');
	tdxemu_fault_clear();
	td_end(&td);
	test_end();
	test_begin("zero-step: other RIPs, TDVMCALLs, exits of ACCEPT");
	td_new(&td, 1, true);
	td_tables(&td, GPA, 0);
	for (i = 0; i < 20; i++)
		CHECK_EQ(enter_once(0x1000 + i % 2, guest_fault), 'g');
	for (i = 0; i < 5; i++)
		CHECK_EQ(enter_once(0x1234, guest_fault), 'g');
	CHECK_EQ(td_enter(&td, 0, guest_call), EXIT_TDCALL);
	for (i = 0; i < 6; i++)
		CHECK_EQ(enter_once(0x1234, guest_fault), 'g');
	CHECK_EQ(enter_once(0x1234, guest_fault), 'e');
	td_end(&td);
	td_new(&td, 1, true);
	td_tables(&td, GPA, 0);
	for (i = 0; i < 20; i++)
		CHECK_EQ(enter_once(0x1234, guest_accept_fault), 'g');
	td_end(&td);
	test_end();
}

void test_fault(void)
{
	host_boot(NULL);
	test_busy();
	test_others();
	test_demote();
	test_selectors();
	test_until_out();
	test_accept_lock();
	test_zero_step();
}
