// SPDX-License-Identifier: GPL-2.0
/* Dynamic PAMT: pairs of pages, who wants them, who takes and returns them. */

#include "unit.h"

#define FEATURES	(TDXEMU_F0_DEFAULT | TDXEMU_F0_DYNAMIC_PAMT)

static const struct boot dynamic = { .features0 = FEATURES, .dynamic_pamt = true };

static u64 type_of(u64 hpa, u64 *size)
{
	CALL(PHYMEM_PAGE_RDMD, hpa, 0, 0, 0);
	*size = out.r8;
	return out.rcx;
}

static u64 add(u64 range, u64 p0, u64 p1)
{
	return call(PHYMEM_PAMT_ADD, range | 1, p0, p1, 0);
}

static u64 take_away(u64 range)
{
	return call(PHYMEM_PAMT_REMOVE, range | 1, 0, 0, 0);
}

/* A pair for a range that has none. */
static void add_pair(u64 range)
{
	u64 p0 = host_pair_page();

	CHECK_EQ(add(range, p0, host_pair_page()), 0);
}

static void test_off(void)
{
	static const struct boot boots[] = {
		{ .features0 = TDXEMU_F0_DEFAULT }, { .features0 = FEATURES },
	};
	unsigned int i;

	for (i = 0; i < 2; i++) {
		u64 hpa;

		host_boot(&boots[i]);
		test_begin(i ? "dynamic PAMT: not asked for" : "dynamic PAMT: there is none");
		hpa = host_page_2m();
		CHECK_EQ(add(hpa, host_page(), host_page()), ST_OPERAND_INVALID | OP_RAX);
		CHECK_EQ(take_away(hpa), ST_OPERAND_INVALID | OP_RAX);
		CHECK_EQ(call(SYS_RD, 0, F_PAMT_PAGE_BITS, 0, 0),
			 i ? 0 : ST_METADATA_FIELD_ID_INCORRECT);
		CHECK_EQ(out.r8, i ? 128 : 0);
		CHECK_EQ(out.rdx, ~0ull);
		test_end();
	}
	host_init(NULL);
	test_begin("SYS.CONFIG: dynamic PAMT without the feature");
	CALL(SYS_INIT, 0, 0, 0, 0);
	for (host.cpu = 0; host.cpu < NR_CPUS; host.cpu++)
		CALL(SYS_LP_INIT, 0, 0, 0, 0);
	host.cpu = 0;
	host_tdmr_info(0);
	CHECK_EQ(call(SYS_CONFIG, SCRATCH, 1, GLOBAL_HKID | CONFIG_DYNAMIC_PAMT, 0),
		 ST_OPERAND_INVALID | OP_R8);
	CALL(SYS_CONFIG, SCRATCH, 1, GLOBAL_HKID, 0);
	test_end();
}

static void test_add(void)
{
	u64 r = host_page_2m(), r2 = host_page_2m(), p0 = host_pair_page(), size;
	u64 p1 = host_pair_page(), p2 = host_pair_page(), p3 = host_pair_page();
	u64 bad = ST_OPERAND_INVALID, range = ST_OPERAND_ADDR_RANGE_ERROR, i;
	struct td td;

	td_new(&td, 1, true);
	test_begin("PAMT.ADD");
	for (i = 0; i < 8; i++)
		if (i != 1)
			CHECK_EQ(call(PHYMEM_PAMT_ADD, r | i, p0, p1, 0), bad | OP_RCX);
	for (i = 3; i < 21; i++)
		CHECK_EQ(call(PHYMEM_PAMT_ADD, r | 1 | 1ull << i, p0, p1, 0), bad | OP_RCX);
	CHECK_EQ(add(r | 1ull << PHYS_BITS, p0, p1), bad | OP_RCX);
	CHECK_EQ(add(TDMR_SIZE, p0, p1), range | OP_RCX);
	CHECK_EQ(add(r, p0 + 8, p1), bad | OP_RDX);
	CHECK_EQ(add(r, p0, p1 | 1), bad | OP_R8);
	CHECK_EQ(add(r, SCRATCH, p1), range | OP_RDX);
	CHECK_EQ(add(r, p0, SCRATCH), range | OP_R8);
	/* Reserved, and a page of a TD. */
	CHECK_EQ(add(r, 0, p1), ST_PAGE_METADATA_INCORRECT | OP_RDX);
	CHECK_EQ(add(r, p0, td.tdr), ST_PAGE_METADATA_INCORRECT | OP_R8);
	CHECK_EQ(add(r, p0, p0), ST_OPERAND_BUSY | OP_R8);
	/* None of these has taken anything. */
	CHECK(!host_owned(p0) && !host_owned(p1));
	CHECK_EQ(type_of(p0, &size), PT_NDA);
	CHECK_EQ(take_away(r), ST_PAGE_METADATA_INCORRECT | OP_RCX);
	CHECK_EQ(add(r, p0, p1), 0);
	CHECK(host_owned(p0) && host_owned(p1));
	CHECK(tdxemu_page_owned(p0) && tdxemu_page_owned(p1));
	CHECK_EQ(type_of(p0, &size), PT_PAMT);
	CHECK_EQ(call(PHYMEM_PAGE_RECLAIM, p1, 0, 0, 0), ST_PAGE_METADATA_INCORRECT | OP_RCX);
	CHECK_EQ(wbinvd(GLOBAL_HKID, p0), ST_PAGE_METADATA_INCORRECT | OP_RCX);
	/* It has one; a page of a pair is no page for another. */
	CHECK_EQ(add(r, p2, p3), ST_HPA_RANGE_NOT_FREE | OP_RCX);
	CHECK_EQ(add(r2, p0, p2), ST_PAGE_METADATA_INCORRECT | OP_RDX);
	CHECK_EQ(add(r2, p2, p1), ST_PAGE_METADATA_INCORRECT | OP_R8);
	/* A large page has none, and gets none. */
	td_tables(&td, GPA, 1);
	CALL(MEM_PAGE_AUG, GPA | 1, td.tdr, r2, 0);
	CHECK_EQ(add(r2, p2, p3), ST_HPA_RANGE_NOT_FREE | OP_RCX);
	/* The host does not touch what is the module's. */
	CHECK(tdxemu_host_touched(p1));
	CHECK_EQ(host.violations[TDXEMU_RULE_TOUCHED], 1);
	host_clear_violations();
	td_end(&td);
	CHECK_EQ(take_away(r), 0);
	CHECK_EQ(out.rdx, p0);
	CHECK_EQ(out.r8, p1);
	test_end();
}

static void test_remove(void)
{
	u64 r = host_page_2m(), r2 = host_page_2m(), p0 = host_pair_page(), size, i;
	u64 p1 = host_pair_page();
	struct td td;

	td_new(&td, 1, true);
	test_begin("PAMT.REMOVE");
	for (i = 0; i < 8; i++)
		if (i != 1)
			CHECK_EQ(call(PHYMEM_PAMT_REMOVE, r | i, 0, 0, 0),
				 ST_OPERAND_INVALID | OP_RCX);
	CHECK_EQ(take_away(r + PAGE), ST_OPERAND_INVALID | OP_RCX);
	CHECK_EQ(take_away(TDMR_SIZE), ST_OPERAND_ADDR_RANGE_ERROR | OP_RCX);
	CHECK_EQ(add(r, p0, p1), 0);
	td_tables(&td, GPA, 0);
	/* One page of the range is in use: the first, one, the last. */
	for (i = 0; i < 3; i++) {
		u64 hpa = r + (i == 2 ? 511 : i * 77) * PAGE;

		CALL(MEM_PAGE_AUG, GPA, td.tdr, hpa, 0);
		CHECK_EQ(take_away(r), ST_HPA_RANGE_NOT_FREE | OP_RCX);
		CHECK(host_owned(p0) && host_owned(p1));
		CALL(MEM_RANGE_BLOCK, GPA, td.tdr, 0, 0);
		CHECK_EQ(td_track(&td), 0);
		CALL(MEM_PAGE_REMOVE, GPA, td.tdr, 0, 0);
		/* The last one is written back when the pair is gone. */
		if (i < 2)
			CHECK_EQ(wbinvd(td.hkid, hpa), 0);
	}
	/* Pages of another's pair are no hindrance. */
	CHECK_EQ(add(r2, r + 5 * PAGE, r + 6 * PAGE), 0);
	memset(host_va(p0), 0, PAGE);
	CHECK_EQ(take_away(r), 0);
	CHECK_EQ(out.rdx, p0);
	CHECK_EQ(out.r8, p1);
	CHECK(!host_owned(p0) && !host_owned(p1));
	CHECK(!tdxemu_page_owned(p0));
	CHECK_EQ(type_of(p0, &size), PT_NDA);
	/* What is in it is no zeros that the host could count on. */
	CHECK(*(u64 *)host_va(p0));
	CHECK_EQ(take_away(r), ST_PAGE_METADATA_INCORRECT | OP_RCX);
	CHECK(host_owned(r + 511 * PAGE));
	CHECK_EQ(wbinvd(td.hkid, r + 511 * PAGE), 0);
	CHECK(!host_owned(r + 511 * PAGE));
	/* Not a large page as long as another's pair is in it. */
	td_tables(&td, GPA + 2 * MB, 1);
	CHECK_EQ(call(MEM_PAGE_AUG, (GPA + 2 * MB) | 1, td.tdr, r, 0),
		 ST_PAGE_METADATA_INCORRECT | OP_R8);
	CHECK_EQ(take_away(r2), 0);
	CALL(MEM_PAGE_AUG, (GPA + 2 * MB) | 1, td.tdr, r, 0);
	CHECK_EQ(take_away(r), ST_PAGE_METADATA_INCORRECT | OP_RCX);
	td_end(&td);
	test_end();
}

/* A pair may lie in the range that it is for. */
static void test_own_range(void)
{
	u64 r = host_page_2m();
	struct td td;

	td_new(&td, 1, true);
	test_begin("PAMT.ADD: pages of the range itself");
	CHECK_EQ(add(r, r + PAGE, r + 9 * PAGE), 0);
	td_tables(&td, GPA, 0);
	CALL(MEM_PAGE_AUG, GPA, td.tdr, r, 0);
	CHECK_EQ(call(MEM_PAGE_AUG, GPA + PAGE, td.tdr, r + PAGE, 0),
		 ST_PAGE_METADATA_INCORRECT | OP_R8);
	td_end(&td);
	CHECK_EQ(take_away(r), 0);
	CHECK_EQ(out.rdx, r + PAGE);
	CHECK_EQ(out.r8, r + 9 * PAGE);
	test_end();
}

/* Who takes a page of 4 KiB says that its pair is missing, and can be tried again. */
static void test_missing(void)
{
	u64 r = host_page_2m(), large, want = ST_MISSING_PAMT_PAGE_PAIR;
	u64 tdvpr, i;
	struct td td;

	td_new(&td, 0, false);
	test_begin("MISSING_PAMT_PAGE_PAIR: a TD that is built");
	CHECK_EQ(call(MNG_CREATE, r, FIRST_KEYID + NR_KEYIDS - 1, 0, 0), want | OP_RCX);
	CHECK_EQ(call(VP_CREATE, r, td.tdr, 0, 0), want | OP_RCX);
	tdvpr = host_page();
	CALL(VP_CREATE, tdvpr, td.tdr, 0, 0);
	CHECK_EQ(call(VP_ADDCX, r, tdvpr, 0, 0), want | OP_RCX);
	td_tables(&td, GPA, 0);
	CHECK_EQ(call(MEM_PAGE_ADD, GPA, td.tdr, r, SCRATCH), want | OP_R8);
	CHECK(!host_owned(r));
	add_pair(r);
	CALL(VP_ADDCX, r, tdvpr, 0, 0);
	CALL(MEM_PAGE_ADD, GPA, td.tdr, r + PAGE, SCRATCH);
	td_end(&td);
	CHECK_EQ(take_away(r), 0);
	test_end();

	td_new(&td, 1, true);
	test_begin("MISSING_PAMT_PAGE_PAIR: a TD that runs");
	r = host_page_2m();
	large = host_page_2m();
	td_tables(&td, GPA, 1);
	CHECK_EQ(call(MEM_SEPT_ADD, GPA | 1, td.tdr, r, 0), want | OP_R8);
	CHECK_EQ(out.rcx | out.rdx, 0);
	CALL(MEM_SEPT_ADD, GPA | 1, td.tdr, host_page(), 0);
	for (i = 0; i < 512; i += 511)
		CHECK_EQ(call(MEM_PAGE_AUG, GPA, td.tdr, r + i * PAGE, 0), want | OP_R8);
	CHECK_EQ(out.rcx | out.rdx, 0);
	CALL(MEM_SEPT_RD, GPA, td.tdr, 0, 0);
	CHECK_EQ(out.rdx, S_FREE << 8);
	CALL(MEM_PAGE_AUG, GPA, td.tdr, host_page(), 0);
	CALL(MEM_RANGE_BLOCK, GPA, td.tdr, 0, 0);
	CHECK_EQ(td_track(&td), 0);
	CHECK_EQ(call(MEM_PAGE_RELOCATE, GPA, td.tdr, r, 0), want | OP_R8);
	/* 2 MiB want none; their table does, and so does that of DEMOTE. */
	td_tables(&td, GPA + 2 * MB, 1);
	CALL(MEM_PAGE_AUG, (GPA + 2 * MB) | 1, td.tdr, large, 0);
	CALL(MEM_RANGE_BLOCK, (GPA + 2 * MB) | 1, td.tdr, 0, 0);
	CHECK_EQ(td_track(&td), 0);
	CHECK_EQ(call2(MEM_PAGE_DEMOTE, (GPA + 2 * MB) | 1, td.tdr, r, host_pair_page(),
		       host_pair_page()), want | OP_R8);
	CHECK(!host_owned(r));
	add_pair(r);
	CALL(MEM_PAGE_RELOCATE, GPA, td.tdr, r, 0);
	/* With a pair a range is no large page. */
	CALL(MEM_RANGE_BLOCK, GPA, td.tdr, 0, 0);
	CHECK_EQ(td_track(&td), 0);
	CALL(MEM_PAGE_REMOVE, GPA, td.tdr, 0, 0);
	CHECK_EQ(wbinvd(td.hkid, r), 0);
	CHECK_EQ(call(MEM_PAGE_AUG, (GPA + 4 * MB) | 1, td.tdr, r, 0),
		 ST_PAGE_METADATA_INCORRECT | OP_R8);
	CHECK_EQ(take_away(r), 0);
	CALL(MEM_PAGE_AUG, (GPA + 4 * MB) | 1, td.tdr, r, 0);
	td_end(&td);
	test_end();
}

/* MNG.ADDCX wants a TD that has not got its pages yet. */
static void test_missing_addcx(void)
{
	u64 r = host_page_2m(), tdr = host_page();
	struct td td = { .tdr = tdr, .hkid = FIRST_KEYID + NR_KEYIDS - 1 };

	test_begin("MISSING_PAMT_PAGE_PAIR: MNG.ADDCX");
	CALL(MNG_CREATE, tdr, td.hkid, 0, 0);
	for (host.cpu = 0; host.cpu < NR_CPUS; host.cpu += NR_CPUS / NR_PACKAGES)
		CALL(MNG_KEY_CONFIG, tdr, 0, 0, 0);
	host.cpu = 0;
	CHECK_EQ(call(MNG_ADDCX, r, tdr, 0, 0), ST_MISSING_PAMT_PAGE_PAIR | OP_RCX);
	CALL(MNG_ADDCX, host_page(), tdr, 0, 0);
	CHECK(td_end_key(&td));
	test_end();
}

/* Everything that is wrong with R12 and R13 is found when the new page is filled. */
static void test_demote_refused(void)
{
	u64 p0 = host_pair_page(), p1 = host_pair_page(), hpa = 0, table, size;
	unsigned int i;
	struct td td;

	for (i = 0; i < 8; i++) {
		u64 r12 = p0, r13 = p1, want = 0;
		char name[64];

		snprintf(name, sizeof(name), "DEMOTE: a pair that cannot be, %u", i);
		td_new(&td, 1, true);
		test_begin(name);
		CHECK(put_state(&td, GPA, 1, S_PENDING_BLOCKED, &hpa));
		table = host_page();
		switch (i) {
		case 0:
			r12 = 1;
			want = ST_OPERAND_INVALID | OP_R12;
			break;
		case 1:
			r13 = ~0ull;
			want = ST_OPERAND_INVALID | OP_R13;
			break;
		case 2:
			r12 = SCRATCH;
			want = ST_OPERAND_ADDR_RANGE_ERROR | OP_R12;
			break;
		case 3:
			r12 = td.vp[0];
			want = ST_PAGE_METADATA_INCORRECT | OP_R12;
			break;
		case 4:
			/* In the large page itself. */
			r13 = hpa + 3 * PAGE;
			want = ST_PAGE_METADATA_INCORRECT | OP_R13;
			break;
		case 5:
			r13 = p0;
			want = ST_OPERAND_BUSY | OP_R13;
			break;
		case 6:
			r12 = table;
			want = ST_OPERAND_BUSY | OP_R12;
			break;
		case 7:
			/* An interrupt comes before the pair is looked at. */
			r12 = 1;
			host.irq = true;
			want = ST_INTERRUPTED_RESTARTABLE;
			break;
		}
		CHECK_EQ(call2(MEM_PAGE_DEMOTE, GPA | 1, td.tdr, table, r12, r13), want);
		CHECK_EQ(out.rcx, i == 7 ? GPA | 1 : 0);
		CHECK_EQ(out.rdx, i == 7 ? td.tdr : 0);
		host.irq = false;
		CHECK(!host_owned(p0) && !host_owned(p1));
		CHECK_EQ(type_of(p0, &size), PT_NDA);
		CHECK_EQ(type_of(p1, &size), PT_NDA);
		/* The new page is the host's, but has the TD's lines. */
		CHECK_EQ(type_of(table, &size), PT_NDA);
		CHECK(host_owned(table));
		CALL(MEM_SEPT_RD, GPA | 1, td.tdr, 0, 0);
		CHECK_EQ(out.rdx, S_PENDING_BLOCKED << 8 | 1);
		CHECK_EQ(call2(MEM_PAGE_DEMOTE, GPA | 1, td.tdr, table, p0, p1), 0);
		CHECK_EQ(take_away(hpa), ST_HPA_RANGE_NOT_FREE | OP_RCX);
		td_end(&td);
		CHECK_EQ(take_away(hpa), 0);
		CHECK_EQ(out.rdx, p0);
		CHECK_EQ(out.r8, p1);
		test_end();
	}
}

/* The pair goes with DEMOTE, and comes back with PROMOTE. */
static void test_round_trip(void)
{
	u64 p0 = host_pair_page(), p1 = host_pair_page(), hpa = 0, table, size, i;
	struct td td;

	td_new(&td, 1, true);
	test_begin("DEMOTE takes a pair, PROMOTE returns it");
	CHECK(put_state(&td, GPA, 1, S_BLOCKED, &hpa));
	for (i = 0; i < 3; i++) {
		u64 first = i & 1 ? p1 : p0, second = i & 1 ? p0 : p1;

		table = host_page();
		CHECK_EQ(call2(MEM_PAGE_DEMOTE, GPA | 1, td.tdr, table, first, second), 0);
		CHECK(host_owned(p0) && host_owned(p1));
		CHECK_EQ(type_of(first, &size), PT_PAMT);
		CHECK_EQ(type_of(hpa + 9 * PAGE, &size), PT_REG);
		CHECK_EQ(size, 0);
		CHECK_EQ(take_away(hpa), ST_HPA_RANGE_NOT_FREE | OP_RCX);
		CHECK_EQ(add(hpa, host_page(), host_page()), ST_HPA_RANGE_NOT_FREE | OP_RCX);
		/* A page goes, and another comes: the pair stays. */
		CALL(MEM_RANGE_BLOCK, GPA + PAGE, td.tdr, 0, 0);
		CHECK_EQ(td_track(&td), 0);
		CALL(MEM_PAGE_REMOVE, GPA + PAGE, td.tdr, 0, 0);
		CHECK_EQ(wbinvd(td.hkid, hpa + PAGE), 0);
		CALL(MEM_PAGE_AUG, GPA + PAGE, td.tdr, hpa + PAGE, 0);
		CHECK(accept_page(&td, GPA + PAGE, 0, 0));
		CALL(MEM_RANGE_BLOCK, GPA | 1, td.tdr, 0, 0);
		CHECK_EQ(td_track(&td), 0);
		CHECK_EQ(call2(MEM_PAGE_PROMOTE, GPA | 1, td.tdr, 0, 7, 8), 0);
		CHECK_EQ(out.rcx, table);
		CHECK_EQ(out.r12, first);
		CHECK_EQ(out.r13, second);
		CHECK(!host_owned(p0) && !host_owned(p1));
		CHECK_EQ(type_of(first, &size), PT_NDA);
		CHECK_EQ(wbinvd(td.hkid, table), 0);
		CHECK_EQ(take_away(hpa), ST_PAGE_METADATA_INCORRECT | OP_RCX);
		CALL(MEM_RANGE_BLOCK, GPA | 1, td.tdr, 0, 0);
		CHECK_EQ(td_track(&td), 0);
	}
	/* 512 write-backs of what has no pair. */
	CALL(MEM_PAGE_REMOVE, GPA | 1, td.tdr, 0, 0);
	for (i = 0; i < 512; i++) {
		CHECK(host_owned(hpa + i * PAGE));
		CHECK_EQ(wbinvd(td.hkid, hpa + i * PAGE), 0);
		CHECK(!host_owned(hpa + i * PAGE));
	}
	CHECK_EQ(tdxemu_check_td(tdxemu_td_at(td.tdr)), 0);
	td_end(&td);
	test_end();
}

/* 1 GiB is split into 2 MiB, which want no pairs, and merged again. */
static void test_1g(void)
{
	u64 hpa = GB, table, size, i;
	struct td td;

	td_new(&td, 1, false);
	test_begin("dynamic PAMT: 1 GiB wants no pair");
	table = host_page();
	td_tables(&td, GPA, 2);
	CALL(MEM_SEPT_ADD, GPA | 2, td.tdr, table, 0);
	for (i = 0; i < 512; i++)
		CALL(MEM_PAGE_AUG, (GPA + i * 2 * MB) | 1, td.tdr, hpa + i * 2 * MB, 0);
	CHECK_EQ(call2(MEM_PAGE_PROMOTE, GPA | 2, td.tdr, 0, 12, 13), 0);
	CHECK_EQ(out.r12, 12);
	CHECK_EQ(out.r13, 13);
	CHECK_EQ(wbinvd(td.hkid, table), 0);
	CHECK_EQ(call(PHYMEM_PAMT_ADD, hpa | 1, host_page(), host_page(), 0),
		 ST_PAGE_METADATA_INCORRECT | OP_RCX);
	CHECK_EQ(call2(MEM_PAGE_DEMOTE, GPA | 2, td.tdr, table, 1, 1), 0);
	CHECK_EQ(type_of(hpa + 2 * MB, &size), PT_REG);
	CHECK_EQ(size, 1);
	for (i = 0; i < 512; i++)
		CALL(MEM_PAGE_REMOVE, (GPA + i * 2 * MB) | 1, td.tdr, 0, 0);
	add_pair(hpa);
	CHECK_EQ(take_away(hpa), 0);
	td_end(&td);
	test_end();
}

/*
 * Pages of a pair: only one call at a time in 2 MiB of them. A call is looked at when it
 * is at the first page of its pair.
 */
static u64 meets, met_rdx, met_r8, met_status;
static void (*owned)(u64 hpa, unsigned int nr, bool owned);

static void meet(u64 hpa, unsigned int nr, bool own)
{
	owned(hpa, nr, own);
	if (hpa != meets)
		return;
	meets = 0;
	host.cpu = 3;
	met_status = tdxemu_seamcall(PHYMEM_PAMT_ADD, &(struct tdxemu_args){
		.rcx = host.next_2m | 1, .rdx = met_rdx, .r8 = met_r8 });
	host.cpu = 0;
}

static void test_contention(void)
{
	static const char *const names[] = { "PAMT.ADD", "PAMT.REMOVE", "DEMOTE", "PROMOTE" };
	u64 hpa = 0, other, p[4], elsewhere[2], i, j;
	char name[80];
	struct td td;

	host_boot(&dynamic);
	owned = host.p.owned;
	host.p.owned = meet;
	host_boot_platform();
	for (i = 0; i < 4; i++)
		p[i] = host_pair_page();
	for (i = 0; i < 4; i++)
		for (j = 0; j < 3; j++) {
			bool resize = i > 1;

			snprintf(name, sizeof(name), "pages of pairs: PAMT.ADD meets %s, %llu",
				 names[i], j);
			td_new(&td, 1, false);
			test_begin(name);
			elsewhere[0] = host_page();
			elsewhere[1] = host_page();
			if (resize)
				CHECK(put_state(&td, GPA, 1, S_PENDING, &hpa));
			else
				hpa = host_page_2m();
			other = host_page_2m();
			CHECK_EQ(other, host.next_2m);
			if (i == 1)
				CHECK_EQ(add(hpa, p[0], p[1]), 0);
			if (i == 3)
				CHECK_EQ(call2(MEM_PAGE_DEMOTE, GPA | 1, td.tdr, host_page(),
					       p[0], p[1]), 0);
			/* Both there, one there, none there. */
			met_rdx = j ? elsewhere[0] : p[2];
			met_r8 = j == 2 ? elsewhere[1] : p[3];
			meets = p[0];
			met_status = 1;
			switch (i) {
			case 0:
				CHECK_EQ(add(hpa, p[0], p[1]), 0);
				break;
			case 1:
				CHECK_EQ(take_away(hpa), 0);
				break;
			case 2:
				CHECK_EQ(call2(MEM_PAGE_DEMOTE, GPA | 1, td.tdr, host_page(),
					       p[0], p[1]), 0);
				break;
			case 3:
				CALL(MEM_PAGE_PROMOTE, GPA | 1, td.tdr, 0, 0);
				break;
			}
			CHECK_EQ(met_status, j == 2 ? 0 :
				 ST_OPERAND_BUSY | (j ? OP_R8 : OP_RDX));
			if (j == 2)
				CHECK_EQ(take_away(other), 0);
			else
				CHECK_EQ(add(other, p[2], p[3]) | take_away(other), 0);
			td_end(&td);
			if (i == 0 || i == 2)
				CHECK_EQ(take_away(hpa), 0);
			test_end();
		}
	host_boot(&dynamic);
}

/* Faults name the locks of a pair as they name others. */
static void test_faults(void)
{
	static const struct {
		const char *name;
		u16 leaf;
		u32 operand;
	} t[] = {
		{ "PAMT.ADD, range", PHYMEM_PAMT_ADD, OP_RCX },
		{ "PAMT.ADD, first page", PHYMEM_PAMT_ADD, OP_RDX },
		{ "PAMT.ADD, second page", PHYMEM_PAMT_ADD, OP_R8 },
		{ "PAMT.REMOVE, range", PHYMEM_PAMT_REMOVE, OP_RCX },
		{ "DEMOTE, first page", MEM_PAGE_DEMOTE, OP_R12 },
		{ "DEMOTE, second page", MEM_PAGE_DEMOTE, OP_R13 },
	};
	u64 p0 = host_pair_page(), p1 = host_pair_page(), hpa = 0, s, table;
	unsigned int i;
	struct td td;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		struct tdxemu_fault f = {
			.kind = TDXEMU_FAULT_BUSY, .leaf = t[i].leaf, .level = ~0u,
			.operand = t[i].operand, .times = 1,
		};
		bool demote = t[i].leaf == MEM_PAGE_DEMOTE, remove = t[i].leaf == PHYMEM_PAMT_REMOVE;
		char name[80];
		int n;

		snprintf(name, sizeof(name), "faults: %s", t[i].name);
		td_new(&td, 1, true);
		test_begin(name);
		if (demote)
			CHECK(put_state(&td, GPA, 1, S_PENDING_BLOCKED, &hpa));
		else
			hpa = host_page_2m();
		if (remove)
			CHECK_EQ(add(hpa, p0, p1), 0);
		table = host_page();
		tdxemu_fault_add(&f);
		for (n = 0; n < 2; n++) {
			s = demote ? call2(MEM_PAGE_DEMOTE, GPA | 1, td.tdr, table, p0, p1) :
			    remove ? take_away(hpa) : add(hpa, p0, p1);
			CHECK_EQ(s, n ? 0 : ST_OPERAND_BUSY | t[i].operand);
			if (!n)
				CHECK_EQ(host_owned(p0), remove);
		}
		tdxemu_fault_clear();
		td_end(&td);
		if (!remove)
			CHECK_EQ(take_away(hpa), 0);
		test_end();
	}
}

/* What the oracle says of pairs. */
static void test_oracle_pairs(void)
{
	static const struct boot strict = {
		.features0 = FEATURES, .dynamic_pamt = true, .strict = true,
	};
	u64 r, hpa;
	struct td td;

	td_new(&td, 1, true);
	test_begin("write-back: a page of a pair was not written back");
	td_tables(&td, GPA, 0);
	hpa = host_page();
	CALL(MEM_PAGE_AUG, GPA, td.tdr, hpa, 0);
	CALL(MEM_RANGE_BLOCK, GPA, td.tdr, 0, 0);
	CHECK_EQ(td_track(&td), 0);
	CALL(MEM_PAGE_REMOVE, GPA, td.tdr, 0, 0);
	r = host_page_2m();
	CHECK_EQ(add(r, hpa, host_pair_page()), 0);
	CHECK_EQ(host.violations[TDXEMU_RULE_WRITE_BACK], 1);
	host_clear_violations();
	CHECK_EQ(take_away(r), 0);
	td_end(&td);
	test_end();

	host_boot(&strict);
	td_new(&td, 1, true);
	test_begin("call: a host that forgets the pair");
	td_tables(&td, GPA, 0);
	r = host_page_2m();
	CHECK_EQ(call(MEM_PAGE_AUG, GPA, td.tdr, r, 0), ST_MISSING_PAMT_PAGE_PAIR | OP_R8);
	CHECK_EQ(host.violations[TDXEMU_RULE_CALL], 1);
	host_clear_violations();
	/* Two may find out at once that a range wants a pair. */
	add_pair(r);
	CHECK_EQ(add(r, host_pair_page(), host_pair_page()), ST_HPA_RANGE_NOT_FREE | OP_RCX);
	host_boot(&dynamic);
	test_end();
}

void test_dpamt(void)
{
	test_off();
	host_boot(&dynamic);
	test_add();
	test_remove();
	test_own_range();
	test_missing();
	test_missing_addcx();
	host_boot(&dynamic);
	test_demote_refused();
	test_round_trip();
	test_1g();
	test_contention();
	test_faults();
	test_oracle_pairs();
	host_boot(NULL);
}
