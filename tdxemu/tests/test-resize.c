// SPDX-License-Identifier: GPL-2.0
/* DEMOTE and PROMOTE: states, contents, counts, round trips, interruption. */

#include "unit.h"

static u64 rdmd(u64 hpa, u64 *size)
{
	CALL(PHYMEM_PAGE_RDMD, hpa, 0, 0, 0);
	*size = out.r8;
	return out.rcx;
}

static void fill(u64 hpa)
{
	u64 i, *p = host_va(hpa);

	for (i = 0; i < 2 * MB / 8; i++)
		p[i] = hpa + i * 0x9e3779b97f4a7c15;
}

static bool filled(u64 hpa)
{
	u64 i, *p = host_va(hpa);

	for (i = 0; i < 2 * MB / 8; i++)
		if (p[i] != hpa + i * 0x9e3779b97f4a7c15)
			return false;
	return true;
}

/* All 512 children of a 2 MiB range. */
static void check_children(struct td *td, u64 hpa, u8 state)
{
	unsigned int i;
	u64 size, type;

	for (i = 0; i < 512; i++) {
		CALL(MEM_SEPT_RD, GPA + i * PAGE, td->tdr, 0, 0);
		CHECK_EQ(out.rdx, (u64)state << 8);
		CHECK_EQ(out.rcx & 0x000ffffffffff000ull, hpa + i * PAGE);
		CHECK_EQ(out.rcx & 7, state == S_MAPPED ? 7 : 0);
		type = rdmd(hpa + i * PAGE, &size);
		CHECK_EQ(type, PT_REG);
		CHECK_EQ(size, 0);
		CHECK_EQ(out.rdx, td->tdr);
		CHECK_EQ(out.r9, 0);
	}
}

static u64 nr_pages(struct td *td)
{
	u64 n = 0, hpa;

	for (hpa = 2 * MB; hpa < host.next_4k; hpa += PAGE)
		if (!call(PHYMEM_PAGE_RDMD, hpa, 0, 0, 0) && out.rdx == td->tdr)
			n++;
	return n;
}

/* From a state, at a time, and back. */
static void round_trip(u8 state, bool run)
{
	bool blocked = state == S_BLOCKED || state == S_PENDING_BLOCKED;
	u8 small = state == S_BLOCKED || state == S_MAPPED ? S_MAPPED : S_PENDING;
	u64 hpa = 0, table, size, pages;
	char name[80];
	struct td td;
	int round;

	snprintf(name, sizeof(name), "DEMOTE and PROMOTE, %s, %s", state_name(state),
		 run ? "running" : "being built");
	td_new(&td, 1, run);
	test_begin(name);
	CHECK(put_state(&td, GPA, 1, state, &hpa));
	fill(hpa);
	for (round = 0; round < 3; round++) {
		table = host_page();
		pages = nr_pages(&td);
		if (run && !blocked) {
			CALL(MEM_RANGE_BLOCK, GPA | 1, td.tdr, 0, 0);
			CHECK_EQ(td_track(&td), 0);
		}
		CALL(MEM_PAGE_DEMOTE, GPA | 1, td.tdr, table, 0);
		CHECK_EQ(out.rcx | out.rdx, 0);
		CHECK(host_owned(table));
		CHECK_EQ(nr_pages(&td), pages + 1);
		check_children(&td, hpa, small);
		CALL(MEM_SEPT_RD, GPA | 1, td.tdr, 0, 0);
		CHECK_EQ(out.rdx, S_NL_MAPPED << 8 | 1);
		CHECK_EQ(out.rcx & 0x000ffffffffff000ull, 0);
		CHECK_EQ(rdmd(table, &size), PT_EPT);
		CHECK_EQ(tdxemu_check_td(tdxemu_td_at(td.tdr)), 0);
		if (run) {
			CHECK_EQ(call(MEM_PAGE_PROMOTE, GPA | 1, td.tdr, 0, 0),
				 ST_GPA_RANGE_NOT_BLOCKED | OP_RCX);
			CALL(MEM_RANGE_BLOCK, GPA | 1, td.tdr, 0, 0);
			CHECK_EQ(call(MEM_PAGE_PROMOTE, GPA | 1, td.tdr, 0, 0),
				 ST_TLB_TRACKING_NOT_DONE | OP_RCX);
			CHECK_EQ(out.rcx | out.rdx, 0);
			CHECK_EQ(td_track(&td), 0);
		}
		CALL(MEM_PAGE_PROMOTE, GPA | 1, td.tdr, 0, 0);
		CHECK_EQ(out.rcx, table);
		CHECK(host_owned(table));
		CHECK_EQ(wbinvd(td.hkid, table), 0);
		CHECK(!host_owned(table));
		CHECK_EQ(nr_pages(&td), pages);
		CALL(MEM_SEPT_RD, GPA | 1, td.tdr, 0, 0);
		CHECK_EQ(out.rdx, (u64)small << 8 | 1);
		CHECK_EQ(out.rcx & 0x000ffffffffff000ull, hpa);
		CHECK_EQ(rdmd(hpa, &size), PT_REG);
		CHECK_EQ(size, 1);
		CHECK_EQ(tdxemu_check_td(tdxemu_td_at(td.tdr)), 0);
		blocked = false;
	}
	CHECK(filled(hpa));
	td_end(&td);
	test_end();
}

/* After DEMOTE one page goes, and its 511 neighbours stay. */
static void test_hole(void)
{
	unsigned int i;
	u64 hpa = 0;
	struct td td;

	td_new(&td, 1, true);
	test_begin("one page out of 2 MiB");
	CHECK(put_state(&td, GPA, 1, S_BLOCKED, &hpa));
	fill(hpa);
	CALL(MEM_PAGE_DEMOTE, GPA | 1, td.tdr, host_page(), 0);
	CALL(MEM_RANGE_BLOCK, GPA + 7 * PAGE, td.tdr, 0, 0);
	CHECK_EQ(call(MEM_PAGE_REMOVE, GPA + 7 * PAGE, td.tdr, 0, 0),
		 ST_TLB_TRACKING_NOT_DONE | OP_RCX);
	CHECK_EQ(td_track(&td), 0);
	CALL(MEM_PAGE_REMOVE, GPA + 7 * PAGE, td.tdr, 0, 0);
	CHECK_EQ(out.rcx, hpa + 7 * PAGE);
	CHECK_EQ(wbinvd(td.hkid, hpa + 7 * PAGE), 0);
	for (i = 0; i < 512; i++) {
		u64 *p = host_va(hpa + i * PAGE);

		CHECK_EQ(host_owned(hpa + i * PAGE), i != 7);
		CHECK_EQ(*p == hpa + i * 512 * 0x9e3779b97f4a7c15, i != 7);
	}
	/* 511 children make no large page; nor do 512 with a stranger. */
	CALL(MEM_RANGE_BLOCK, GPA | 1, td.tdr, 0, 0);
	CHECK_EQ(td_track(&td), 0);
	CHECK_EQ(call(MEM_PAGE_PROMOTE, GPA | 1, td.tdr, 0, 0),
		 ST_EPT_INVALID_PROMOTE_CONDITIONS | OP_RCX);
	CHECK_EQ(out.rdx, S_NL_BLOCKED << 8 | 1);
	CALL(MEM_RANGE_UNBLOCK, GPA | 1, td.tdr, 0, 0);
	CALL(MEM_PAGE_AUG, GPA + 7 * PAGE, td.tdr, hpa + 7 * PAGE, 0);
	CALL(MEM_RANGE_BLOCK, GPA | 1, td.tdr, 0, 0);
	CHECK_EQ(td_track(&td), 0);
	/* One of them is pending. */
	CHECK_EQ(call(MEM_PAGE_PROMOTE, GPA | 1, td.tdr, 0, 0),
		 ST_EPT_INVALID_PROMOTE_CONDITIONS | OP_RCX);
	CALL(MEM_RANGE_UNBLOCK, GPA | 1, td.tdr, 0, 0);
	CHECK(accept_page(&td, GPA + 7 * PAGE, 0, 0));
	CALL(MEM_RANGE_BLOCK, GPA | 1, td.tdr, 0, 0);
	CHECK_EQ(td_track(&td), 0);
	CALL(MEM_PAGE_PROMOTE, GPA | 1, td.tdr, 0, 0);
	td_end(&td);
	test_end();
}

/* Ways in which the children of a range do not fit together. */
static void test_promote_conditions(void)
{
	static const struct {
		const char *name;
		u64 offset;	/* of the first page, from 2 MiB */
		int swap;	/* exchange this page and the next */
	} t[] = {
		{ "not aligned", PAGE, -1 }, { "two exchanged", 0, 9 },
		{ "the first two exchanged", 0, 0 }, { "the last two exchanged", 0, 510 },
	};
	unsigned int i, j;
	struct td td;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		u64 base;
		char name[64];

		snprintf(name, sizeof(name), "PROMOTE: %s", t[i].name);
		td_new(&td, 1, false);
		test_begin(name);
		td_tables(&td, GPA, 0);
		host_page_2m();
		base = host_page_2m() + t[i].offset;
		for (j = 0; j < 512; j++) {
			unsigned int k = j;

			if (t[i].swap == (int)j)
				k++;
			else if (t[i].swap + 1 == (int)j && t[i].swap >= 0)
				k--;
			CALL(MEM_PAGE_AUG, GPA + j * PAGE, td.tdr, base + k * PAGE, 0);
		}
		CHECK_EQ(call(MEM_PAGE_PROMOTE, GPA | 1, td.tdr, 0, 0),
			 ST_EPT_INVALID_PROMOTE_CONDITIONS | OP_RCX);
		/* Nothing is left locked. */
		CALL(MEM_RANGE_BLOCK, GPA | 1, td.tdr, 0, 0);
		CALL(MEM_RANGE_UNBLOCK, GPA | 1, td.tdr, 0, 0);
		for (j = 0; j < 512; j++)
			CALL(MEM_PAGE_REMOVE, GPA + j * PAGE, td.tdr, 0, 0);
		td_end(&td);
		test_end();
	}
}

static void test_interrupt(void)
{
	static const struct boot boots[] = {
		{ .features0 = TDXEMU_F0_DEFAULT },
		{ .features0 = TDXEMU_F0_DEFAULT | TDXEMU_F0_ENHANCED_DEMOTE },
		{ .features0 = TDXEMU_F0_DEFAULT | TDXEMU_F0_ENHANCED_DEMOTE,
		  .module = TDXEMU_MODULE_2_0 },
	};
	static const char *const names[] = {
		"interrupt at DEMOTE", "interrupt at DEMOTE, features0 bit 51",
		"interrupt at DEMOTE, module 2.0",
	};
	bool promise;
	u64 table, hpa = 0, size;
	unsigned int i, n;
	struct td td;

	for (i = 0; i < 3; i++) {
		promise = i == 1;
		host_boot(&boots[i]);
		td_new(&td, 1, true);
		test_begin(names[i]);
		CHECK(put_state(&td, GPA, 1, S_PENDING_BLOCKED, &hpa));
		table = host_page();
		host.irq = true;
		for (n = 0; n < 3 && !promise; n++) {
			CHECK_EQ(call(MEM_PAGE_DEMOTE, GPA | 1, td.tdr, table, 0),
				 ST_INTERRUPTED_RESTARTABLE);
			CHECK_EQ(out.rcx, GPA | 1);
			CHECK_EQ(out.rdx, td.tdr);
			/* Nothing is committed, but the page has been written. */
			CHECK(host_owned(table));
			CHECK_EQ(rdmd(table, &size), PT_NDA);
			CALL(MEM_SEPT_RD, GPA | 1, td.tdr, 0, 0);
			CHECK_EQ(out.rdx, S_PENDING_BLOCKED << 8 | 1);
		}
		if (!promise)
			host.irq = false;
		CALL(MEM_PAGE_DEMOTE, GPA | 1, td.tdr, table, 0);
		check_children(&td, hpa, S_PENDING);
		/* PROMOTE makes no promise. */
		CALL(MEM_RANGE_BLOCK, GPA | 1, td.tdr, 0, 0);
		CHECK_EQ(td_track(&td), 0);
		host.irq = true;
		CHECK_EQ(call(MEM_PAGE_PROMOTE, GPA | 1, td.tdr, 0, 0),
			 ST_INTERRUPTED_RESTARTABLE);
		CHECK_EQ(out.rcx, GPA | 1);
		host.irq = false;
		CALL(MEM_PAGE_PROMOTE, GPA | 1, td.tdr, 0, 0);
		td_end(&td);
		test_end();
	}
	host_boot(NULL);
}

/*
 * A DEMOTE that fails after it has filled the new page leaves the TD's lines there,
 * though the page is not the module's: the host writes back before it uses it.
 */
static void test_fail_after_fill(void)
{
	static const struct {
		const char *name;
		enum tdxemu_fault_kind kind;
		u32 operand;
		u64 skip, want;
	} t[] = {
		{ "interrupted", TDXEMU_FAULT_RESTARTABLE, 0, 0, ST_INTERRUPTED_RESTARTABLE },
		/* The entry is the first that RCX stands for, its page the second. */
		{ "page busy", TDXEMU_FAULT_BUSY, OP_RCX, 1, ST_OPERAND_BUSY | OP_RCX },
	};
	unsigned int i, how;
	u64 table, size;
	struct td td;

	for (i = 0; i < 2; i++)
		for (how = 0; how < 3; how++) {
			struct tdxemu_fault f = {
				.kind = t[i].kind, .leaf = MEM_PAGE_DEMOTE, .level = ~0u,
				.operand = t[i].operand, .skip = t[i].skip, .times = 1,
			};
			static const char *const then[] = {
				"tried again", "written back", "used as it is"
			};
			char name[80];

			snprintf(name, sizeof(name), "DEMOTE fails after the fill: %s, %s",
				 t[i].name, then[how]);
			td_new(&td, 1, true);
			test_begin(name);
			CHECK(put_state(&td, GPA, 1, S_PENDING_BLOCKED, NULL));
			table = host_page();
			tdxemu_fault_clear();
			tdxemu_fault_add(&f);
			CHECK_EQ(call(MEM_PAGE_DEMOTE, GPA | 1, td.tdr, table, 0), t[i].want);
			tdxemu_fault_clear();
			CHECK(host_owned(table));
			CHECK_EQ(rdmd(table, &size), PT_NDA);
			CHECK(tdxemu_page_owned(table));
			if (!how) {
				CALL(MEM_PAGE_DEMOTE, GPA | 1, td.tdr, table, 0);
				CHECK_EQ(rdmd(table, &size), PT_EPT);
				CHECK_EQ(host_violations(), 0);
			} else {
				CALL(MEM_RANGE_UNBLOCK, GPA | 1, td.tdr, 0, 0);
			}
			if (how == 1) {
				CHECK_EQ(wbinvd(td.hkid, table), 0);
				CHECK(!host_owned(table));
				CHECK(!tdxemu_page_owned(table));
			}
			/* As anything but the page of the DEMOTE. */
			if (how) {
				td_tables(&td, GPA + 2 * MB, 0);
				CALL(MEM_PAGE_AUG, GPA + 2 * MB, td.tdr, table, 0);
				CHECK_EQ(host.violations[TDXEMU_RULE_WRITE_BACK], how == 2);
			}
			host_clear_violations();
			td_end(&td);
			test_end();
		}
}

/* RDX is checked before anything else; PROMOTE has no flags in it. */
static void test_flags(void)
{
	struct td td;

	td_new(&td, 1, true);
	test_begin("DEMOTE and PROMOTE: bits of RDX");
	CHECK_EQ(call(MEM_PAGE_DEMOTE, GPA | 1, td.root | 2, host_page(), 0),
		 ST_OPERAND_INVALID | OP_RDX);
	CHECK_EQ(call(MEM_PAGE_DEMOTE, GPA | 1, td.root | 1, host_page(), 0),
		 ST_PAGE_METADATA_INCORRECT | OP_RDX);
	CHECK_EQ(call(MEM_PAGE_PROMOTE, GPA | 1, td.root | 1, 0, 0),
		 ST_OPERAND_INVALID | OP_RDX);
	td_end(&td);
	test_end();
}

/* PROMOTE has the tree to itself: it takes a table away. */
static u64 tree_tdr;

static bool poll_tree(void)
{
	static bool busy;

	if (busy)
		return false;
	busy = true;
	host.cpu = 3;
	CHECK_EQ(call(MEM_SEPT_RD, GPA + 4 * MB, tree_tdr, 0, 0), ST_OPERAND_BUSY | OP_TREE);
	host.cpu = 0;
	busy = false;
	return false;
}

static void test_tree_lock(void)
{
	bool (*irq_pending)(void) = host.p.irq_pending;
	unsigned int j;
	struct td td;
	u64 base;

	host.p.irq_pending = poll_tree;
	host_boot_platform();
	td_new(&td, 1, false);
	test_begin("PROMOTE locks the tree for writing");
	tree_tdr = td.tdr;
	td_tables(&td, GPA, 0);
	base = host_page_2m();
	for (j = 0; j < 512; j++)
		CALL(MEM_PAGE_AUG, GPA + j * PAGE, td.tdr, base + j * PAGE, 0);
	CALL(MEM_PAGE_PROMOTE, GPA | 1, td.tdr, 0, 0);
	td_end(&td);
	test_end();
	host.p.irq_pending = irq_pending;
	host_boot(NULL);
}

/* 512 pending pages that make a leaf of 2 MiB; their table, and where they are. */
static u64 *small_pages(struct td *td, u64 *table)
{
	u64 base = host_page_2m();
	unsigned int j;

	td_tables(td, GPA, 1);
	*table = host_page();
	CALL(MEM_SEPT_ADD, GPA | 1, td->tdr, *table, 0);
	for (j = 0; j < 512; j++)
		CALL(MEM_PAGE_AUG, GPA + j * PAGE, td->tdr, base + j * PAGE, 0);
	return host_va(*table);
}

#define ENTRY_LOCK	(1ull << 11)
#define HOST_WAITS	(1ull << 52)

static u64 *child;
static u64 locked_children;

static bool poll_children(void)
{
	unsigned int i;

	for (i = 0; i < 512; i++)
		locked_children += !!(child[i] & ENTRY_LOCK);
	return false;
}

/*
 * The children are compared as they are, and not locked. One that an ACCEPT has, or
 * that a host is waiting for, is not like the others.
 */
static void test_children_as_they_are(void)
{
	bool (*irq_pending)(void) = host.p.irq_pending;
	static const struct {
		const char *name;
		unsigned int i;
		u64 bit;
	} t[] = {
		{ "an ACCEPT has the first", 0, ENTRY_LOCK },
		{ "an ACCEPT has one", 77, ENTRY_LOCK },
		{ "a host waits for the first", 0, HOST_WAITS },
		{ "a host waits for one", 511, HOST_WAITS },
	};
	unsigned int i;
	u64 table;
	struct td td;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char name[64];

		snprintf(name, sizeof(name), "PROMOTE: %s", t[i].name);
		td_new(&td, 1, false);
		test_begin(name);
		child = small_pages(&td, &table);
		child[t[i].i] |= t[i].bit;
		CHECK_EQ(call(MEM_PAGE_PROMOTE, GPA | 1, td.tdr, 0, 0),
			 ST_EPT_INVALID_PROMOTE_CONDITIONS | OP_RCX);
		CHECK_EQ(out.rdx, S_NL_MAPPED << 8 | 1);
		CHECK(child[t[i].i] & t[i].bit);
		child[t[i].i] &= ~t[i].bit;
		CALL(MEM_PAGE_PROMOTE, GPA | 1, td.tdr, 0, 0);
		td_end(&td);
		test_end();
	}
	host.p.irq_pending = poll_children;
	host_boot_platform();
	td_new(&td, 1, false);
	test_begin("PROMOTE locks no child");
	child = small_pages(&td, &table);
	CALL(MEM_PAGE_PROMOTE, GPA | 1, td.tdr, 0, 0);
	CHECK_EQ(locked_children, 0);
	td_end(&td);
	test_end();
	host.p.irq_pending = irq_pending;
	host_boot(NULL);
}

/* Version 1 returns the tables of L2 VMs, too, of which there are none. */
static void test_promote_version(void)
{
	struct tdxemu_args a;
	unsigned int version;
	u64 table;
	struct td td;

	for (version = 0; version < 2; version++) {
		td_new(&td, 1, false);
		test_begin(version ? "PROMOTE, version 1" : "PROMOTE, version 0");
		small_pages(&td, &table);
		a = (struct tdxemu_args){
			.rcx = GPA | 1, .rdx = td.tdr, .r9 = 9, .r10 = 10, .r11 = 11,
		};
		CHECK_EQ(tdxemu_seamcall(MEM_PAGE_PROMOTE | version << 16, &a), 0);
		CHECK_EQ(a.rcx, table);
		CHECK_EQ(a.r9, version ? ~0ull : 9);
		CHECK_EQ(a.r10, version ? ~0ull : 10);
		CHECK_EQ(a.r11, version ? ~0ull : 11);
		td_end(&td);
		test_end();
	}
}

/* 1 GiB, made of 512 x 2 MiB that are pending: no memory is touched. */
static void test_1g(void)
{
	u64 hpa = GB, table = 0, size;
	unsigned int i;
	struct td td;

	td_new(&td, 1, true);
	test_begin("1 GiB: PROMOTE, DEMOTE, REMOVE");
	table = host_page();
	td_tables(&td, GPA, 2);
	CALL(MEM_SEPT_ADD, GPA | 2, td.tdr, table, 0);
	for (i = 0; i < 512; i++)
		CALL(MEM_PAGE_AUG, (GPA + i * 2 * MB) | 1, td.tdr, hpa + i * 2 * MB, 0);
	CALL(MEM_RANGE_BLOCK, GPA | 2, td.tdr, 0, 0);
	CHECK_EQ(td_track(&td), 0);
	CALL(MEM_PAGE_PROMOTE, GPA | 2, td.tdr, 0, 0);
	CHECK_EQ(out.rcx, table);
	CHECK_EQ(wbinvd(td.hkid, table), 0);
	CHECK_EQ(rdmd(hpa + 5 * PAGE, &size), PT_REG);
	CHECK_EQ(size, 2);
	CHECK_EQ(call(MEM_PAGE_DEMOTE, GPA | 2, td.tdr, table, 0),
		 ST_GPA_RANGE_NOT_BLOCKED | OP_RCX);
	CHECK_EQ(call(MEM_PAGE_REMOVE, GPA | 2, td.tdr, table, 0),
		 ST_GPA_RANGE_NOT_BLOCKED | OP_RCX);
	CHECK_EQ(out.rdx, S_PENDING << 8 | 2);
	CALL(MEM_RANGE_BLOCK, GPA | 2, td.tdr, 0, 0);
	CHECK_EQ(td_track(&td), 0);
	CALL(MEM_PAGE_DEMOTE, GPA | 2, td.tdr, table, 0);
	for (i = 0; i < 512; i++) {
		CALL(MEM_SEPT_RD, (GPA + i * 2 * MB) | 1, td.tdr, 0, 0);
		CHECK_EQ(out.rdx, S_PENDING << 8 | 1);
		CHECK_EQ(out.rcx & 0x000ffffffffff000ull, hpa + i * 2 * MB);
		CHECK_EQ(rdmd(hpa + i * 2 * MB, &size), PT_REG);
		CHECK_EQ(size, 1);
	}
	CHECK_EQ(tdxemu_check_td(tdxemu_td_at(td.tdr)), 0);
	CALL(MEM_RANGE_BLOCK, GPA | 2, td.tdr, 0, 0);
	CHECK_EQ(td_track(&td), 0);
	CALL(MEM_PAGE_PROMOTE, GPA | 2, td.tdr, 0, 0);
	CALL(MEM_RANGE_BLOCK, GPA | 2, td.tdr, 0, 0);
	CHECK_EQ(td_track(&td), 0);
	CALL(MEM_PAGE_REMOVE, GPA | 2, td.tdr, 0, 0);
	CHECK_EQ(out.rcx, hpa);
	CHECK_EQ(tdxemu_check_td(tdxemu_td_at(td.tdr)), 0);
	td_end(&td);
	test_end();
}

void test_resize(void)
{
	static const u8 from[] = { S_MAPPED, S_BLOCKED, S_PENDING, S_PENDING_BLOCKED };
	unsigned int i;

	host_boot(NULL);
	for (i = 0; i < 8; i++)
		round_trip(from[i / 2], i & 1);
	test_hole();
	test_promote_conditions();
	test_interrupt();
	test_fail_after_fill();
	test_flags();
	test_tree_lock();
	test_children_as_they_are();
	test_promote_version();
	test_1g();
}
