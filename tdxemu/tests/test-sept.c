// SPDX-License-Identifier: GPL-2.0
/* MEM leaves: operands, and every leaf at every state of an entry. */

#include "unit.h"

static const u8 states[] = {
	S_FREE, S_NL_MAPPED, S_NL_BLOCKED, S_MAPPED, S_BLOCKED, S_PENDING,
	S_PENDING_BLOCKED,
};

#define NR_STATES	(sizeof(states) / sizeof(states[0]))

const char *state_name(u8 state)
{
	switch (state) {
	case S_FREE: return "FREE";
	case S_NL_MAPPED: return "NL_MAPPED";
	case S_NL_BLOCKED: return "NL_BLOCKED";
	case S_MAPPED: return "MAPPED";
	case S_BLOCKED: return "BLOCKED";
	case S_PENDING: return "PENDING";
	case S_PENDING_BLOCKED: return "PENDING_BLOCKED";
	}
	return "?";
}

static u64 accept_rcx, accept_status;
static enum tdxemu_access_result accept_result;
static struct tdxemu_access access_out;

static u64 guest_accept(struct tdxemu_vp *vp, struct tdxemu_args *args)
{
	accept_result = tdxemu_accept(vp, accept_rcx, &access_out);
	accept_status = access_out.status;
	return EXIT_EXTERNAL_INTERRUPT;
}

/* The TD accepts; its status must be as wanted. */
bool accept_page(struct td *td, u64 gpa, unsigned int level, u64 want)
{
	accept_rcx = gpa | level;
	return td_enter(td, 0, guest_accept) == EXIT_EXTERNAL_INTERRUPT &&
	       accept_result == TDXEMU_STATUS && accept_status == want;
}


/*
 * Before the TD runs, a 2 MiB leaf that is MAPPED is made of 512 pages that were
 * added: nothing can be accepted yet.
 */
static bool promote_added(struct td *td, u64 gpa, u64 *hpa)
{
	u64 base = host_page_2m(), table = host_page();
	unsigned int i;

	if (call(MEM_SEPT_ADD, gpa | 1, td->tdr, table, 0))
		return false;
	for (i = 0; i < 512; i++)
		if (call(MEM_PAGE_ADD, gpa + i * PAGE, td->tdr, base + i * PAGE, SCRATCH))
			return false;
	if (call(MEM_PAGE_PROMOTE, gpa | 1, td->tdr, 0, 0) || out.rcx != table ||
	    wbinvd(td->hkid, table))
		return false;
	*hpa = base;
	return true;
}

/**
 * put_state() - an entry in a state
 * @td: the TD, all of the range FREE
 * @gpa, @level: the entry
 * @state: S_*; blocked states are tracked, too
 * @hpa: returns its page or table; may be NULL
 *
 * Return: false if there is no way to that state.
 */
bool put_state(struct td *td, u64 gpa, unsigned int level, u8 state, u64 *hpa)
{
	u64 page = 0, s;
	bool run;

	td_tables(td, gpa, level);
	switch (state) {
	case S_FREE:
		break;
	case S_NL_MAPPED:
	case S_NL_BLOCKED:
		if (!level)
			return false;
		page = host_page();
		CALL(MEM_SEPT_ADD, gpa | level, td->tdr, page, 0);
		break;
	default:
		if (level > 1)
			return false;
		/* PAGE.ADD tells whether the TD runs. */
		s = call(MEM_PAGE_ADD, gpa | 1, td->tdr, 0, SCRATCH);
		run = s == (ST_OP_STATE_INCORRECT | TD_RUNNABLE);
		if (!run && (state == S_MAPPED || state == S_BLOCKED)) {
			if (level) {
				if (!promote_added(td, gpa, &page))
					return false;
			} else {
				page = host_page();
				CALL(MEM_PAGE_ADD, gpa, td->tdr, page, SCRATCH);
			}
			break;
		}
		page = level ? host_page_2m() : host_page();
		CALL(MEM_PAGE_AUG, gpa | level, td->tdr, page, 0);
		if (state == S_MAPPED || state == S_BLOCKED)
			CHECK(accept_page(td, gpa, level, 0));
	}
	if (state == S_NL_BLOCKED || state == S_BLOCKED || state == S_PENDING_BLOCKED) {
		CALL(MEM_RANGE_BLOCK, gpa | level, td->tdr, 0, 0);
		CHECK_EQ(td_track(td), 0);
	}
	if (hpa)
		*hpa = page;
	return true;
}

/* What an answer looks like. */
enum cell {
	__ = 0,		/* no such combination */
	OK,
	ST,		/* EPT_ENTRY_STATE_INCORRECT */
	AL,		/* ALREADY_BLOCKED */
	NB,		/* done before the TD runs, then NOT_BLOCKED */
	PC,		/* EPT_INVALID_PROMOTE_CONDITIONS: no children */
	NP,		/* the same, but NOT_BLOCKED once the TD runs */
	NO,		/* EPT_ENTRY_NOT_PRESENT */
};

#define BUILD	1
#define RUN	2

/* The matrix: FREE NL_MAPPED NL_BLOCKED MAPPED BLOCKED PENDING PENDING_BLOCKED */
static const struct {
	u16 leaf;
	u8 levels, when;
	u8 cell[NR_STATES];
} matrix[] = {
	{ MEM_PAGE_ADD,      0x1, BUILD,       { OK, __, __, ST, ST, ST, ST } },
	{ MEM_SEPT_ADD,      0xe, BUILD | RUN, { OK, ST, ST, ST, ST, ST, ST } },
	{ MEM_PAGE_AUG,      0x3, BUILD | RUN, { OK, ST, ST, ST, ST, ST, ST } },
	{ MEM_RANGE_BLOCK,   0xf, BUILD | RUN, { ST, OK, AL, OK, AL, OK, AL } },
	{ MEM_RANGE_UNBLOCK, 0xf, BUILD | RUN, { ST, ST, OK, ST, OK, ST, OK } },
	{ MEM_PAGE_REMOVE,   0x7, BUILD | RUN, { ST, ST, ST, NB, OK, NB, OK } },
	{ MEM_PAGE_DEMOTE,   0x6, BUILD | RUN, { ST, ST, ST, NB, OK, NB, OK } },
	{ MEM_PAGE_PROMOTE,  0x6, BUILD | RUN, { ST, NP, PC, ST, ST, ST, ST } },
	{ MEM_SEPT_REMOVE,   0xe, BUILD | RUN, { ST, NB, OK, ST, ST, ST, ST } },
	{ MEM_SEPT_RD,       0xf, BUILD | RUN, { OK, OK, OK, OK, OK, OK, OK } },
	{ MEM_PAGE_RELOCATE, 0x1, BUILD | RUN, { ST, __, __, NB, OK, NB, OK } },
	{ MR_EXTEND,         0x1, BUILD,       { NO, __, __, OK, NO, NO, NO } },
};

static u64 cell_status(u8 cell, bool run)
{
	switch (cell) {
	case ST: return ST_EPT_ENTRY_STATE_INCORRECT | OP_RCX;
	case AL: return ST_GPA_RANGE_ALREADY_BLOCKED | OP_RCX;
	case NB: return run ? ST_GPA_RANGE_NOT_BLOCKED | OP_RCX : 0;
	case PC: return ST_EPT_INVALID_PROMOTE_CONDITIONS | OP_RCX;
	case NP: return run ? ST_GPA_RANGE_NOT_BLOCKED | OP_RCX :
			      ST_EPT_INVALID_PROMOTE_CONDITIONS | OP_RCX;
	case NO: return ST_EPT_ENTRY_NOT_PRESENT;
	}
	return 0;
}

/* What a success leaves behind, seen by SEPT.RD. */
static u8 state_after(u16 leaf, u8 state)
{
	switch (leaf) {
	case MEM_PAGE_ADD: return S_MAPPED;
	case MEM_SEPT_ADD: return S_NL_MAPPED;
	case MEM_PAGE_AUG: return S_PENDING;
	case MEM_RANGE_BLOCK:
		return state == S_MAPPED ? S_BLOCKED : state == S_PENDING ?
			S_PENDING_BLOCKED : S_NL_BLOCKED;
	case MEM_PAGE_RELOCATE:
		if (state == S_MAPPED || state == S_PENDING)
			return state;
		/* fallthrough */
	case MEM_RANGE_UNBLOCK:
		return state == S_BLOCKED ? S_MAPPED : state == S_PENDING_BLOCKED ?
			S_PENDING : S_NL_MAPPED;
	case MEM_PAGE_REMOVE:
	case MEM_SEPT_REMOVE: return S_FREE;
	case MEM_PAGE_DEMOTE: return S_NL_MAPPED;
	}
	return state;
}

static void one_cell(u16 leaf, unsigned int level, u8 state, u8 cell, bool run)
{
	u64 want = cell_status(cell, run), r8 = 0, hpa = 0, got;
	bool large = leaf == MEM_PAGE_AUG && level;
	char name[96];
	struct td td;

	snprintf(name, sizeof(name), "%s level %u, %s, %s", tdxemu_leaf_name(leaf), level,
		 state_name(state), run ? "running" : "being built");
	td_new(&td, 1, run);
	test_begin(name);
	if (!put_state(&td, GPA, level, state, &hpa)) {
		test_begin(NULL);
		td_end(&td);
		return;
	}
	r8 = large ? host_page_2m() : host_page();
	got = call(leaf, GPA | level, td.tdr, r8, SCRATCH);
	CHECK_EQ(got, want);
	if (got && cell != NO) {
		CHECK_EQ(out.rdx, (u64)state << 8 | level);
		/* The page, without marks that only the module sees. */
		CHECK_EQ(out.rcx & 0x000ffffffffff000ull, hpa);
		CHECK(!host_owned(r8));
	} else if (!got && (leaf == MEM_PAGE_REMOVE || leaf == MEM_SEPT_REMOVE ||
			    leaf == MEM_PAGE_RELOCATE)) {
		CHECK_EQ(out.rcx, hpa);
		/* Still the module's: not written back. */
		CHECK(host_owned(hpa));
		CHECK_EQ(wbinvd(td.hkid, hpa), 0);
		CHECK(!host_owned(hpa));
	} else if (!got && leaf == MEM_SEPT_RD) {
		/* Not where tables are, nor what is dirty. */
		CHECK_EQ(out.rcx & 0x000ffffffffff000ull,
			 state == S_NL_MAPPED || state == S_NL_BLOCKED ? 0 : hpa);
		CHECK_EQ(out.rcx >> 9 & 1, 0);
		CHECK_EQ(out.rcx & 7, state == S_MAPPED || state == S_NL_MAPPED ? 7 : 0);
		CHECK_EQ(out.rcx >> 63, 1);
	}
	CALL(MEM_SEPT_RD, GPA | level, td.tdr, 0, 0);
	CHECK_EQ(out.rdx, (u64)(got ? state : state_after(leaf, state)) << 8 | level);
	CHECK_EQ(tdxemu_blocked(tdxemu_td_at(td.tdr)),
		 out.rdx >> 8 == S_BLOCKED || out.rdx >> 8 == S_NL_BLOCKED ||
		 out.rdx >> 8 == S_PENDING_BLOCKED);
	CHECK_EQ(tdxemu_check_td(tdxemu_td_at(td.tdr)), 0);
	td_end(&td);
	CHECK_EQ(host.vps, 0);
	test_end();
}

static void test_matrix(void)
{
	unsigned int i, level, s, run;

	for (run = 0; run < 2; run++)
		for (i = 0; i < sizeof(matrix) / sizeof(matrix[0]); i++) {
			if (!(matrix[i].when & (run ? RUN : BUILD)))
				continue;
			for (level = 0; level < 4; level++)
				for (s = 0; s < NR_STATES && matrix[i].levels >> level & 1; s++)
					if (matrix[i].cell[s])
						one_cell(matrix[i].leaf, level, states[s],
							 matrix[i].cell[s], run);
		}
}

/* PAGE.ADD and MR.EXTEND are for a TD that is being built. */
static void test_op_state(void)
{
	static const u16 build_only[] = { MEM_PAGE_ADD, MR_EXTEND };
	struct td td;
	unsigned int i;

	td_new(&td, 1, true);
	test_begin("PAGE.ADD, MR.EXTEND of a TD that runs");
	td_tables(&td, GPA, 0);
	for (i = 0; i < 2; i++)
		CHECK_EQ(call(build_only[i], GPA, td.tdr, host_page(), SCRATCH),
			 ST_OP_STATE_INCORRECT | TD_RUNNABLE);
	td_end(&td);
	test_end();
}

/* gpa|level operands that are wrong in themselves. */
static void test_operands(void)
{
	static const struct {
		u16 leaf;
		u8 min, max;
	} leaf[] = {
		{ MEM_PAGE_ADD, 0, 0 }, { MEM_SEPT_ADD, 1, 3 }, { MEM_PAGE_AUG, 0, 1 },
		{ MEM_RANGE_BLOCK, 0, 3 }, { MEM_RANGE_UNBLOCK, 0, 3 },
		{ MEM_PAGE_REMOVE, 0, 2 }, { MEM_PAGE_DEMOTE, 1, 2 },
		{ MEM_PAGE_PROMOTE, 1, 2 }, { MEM_SEPT_REMOVE, 1, 3 },
		{ MEM_SEPT_RD, 0, 3 }, { MEM_PAGE_RELOCATE, 0, 0 },
	};
	u64 want = ST_OPERAND_INVALID | OP_RCX;
	unsigned int i, level, bit;
	char name[64];
	struct td td;

	td_new(&td, 1, false);
	for (i = 0; i < sizeof(leaf) / sizeof(leaf[0]); i++) {
		u16 l = leaf[i].leaf;

		snprintf(name, sizeof(name), "%s, operands", tdxemu_leaf_name(l));
		test_begin(name);
		for (level = 0; level < 8; level++) {
			u64 s = call(l, level, td.tdr, 0, SCRATCH);

			CHECK_EQ(s == want, level < leaf[i].min || level > leaf[i].max);
			CHECK(!s || s == want || out.rcx || out.rdx || s >> 32 != want >> 32);
		}
		level = leaf[i].min;
		/* Shared, too wide, reserved bits, not aligned to the level. */
		CHECK_EQ(call(l, 1ull << 47 | level, td.tdr, 0, SCRATCH), want);
		for (bit = 48; bit < 64; bit++)
			CHECK_EQ(call(l, 1ull << bit | level, td.tdr, 0, SCRATCH), want);
		for (bit = 3; bit < 12; bit++)
			CHECK_EQ(call(l, 1ull << bit | level, td.tdr, 0, SCRATCH), want);
		for (level = leaf[i].min; level <= leaf[i].max; level++)
			for (bit = 12; bit < 12 + 9 * level; bit++)
				CHECK_EQ(call(l, 1ull << bit | level, td.tdr, 0, SCRATCH), want);
		/* The TD: not aligned, outside, no TDR. */
		level = leaf[i].min;
		want = ST_OPERAND_INVALID | OP_RDX;
		CHECK_EQ(call(l, level, td.tdr + (l == MEM_PAGE_DEMOTE ||
				l == MEM_PAGE_PROMOTE ? 2 : 1), 0, SCRATCH), want);
		CHECK_EQ(call(l, level, 1ull << PHYS_BITS, 0, SCRATCH), want);
		CHECK_EQ(call(l, level, TDMR_SIZE, 0, SCRATCH),
			 ST_OPERAND_ADDR_RANGE_ERROR | OP_RDX);
		CHECK_EQ(call(l, level, td.root, 0, SCRATCH),
			 ST_PAGE_METADATA_INCORRECT | OP_RDX);
		CHECK_EQ(call(l, level, 0, 0, SCRATCH),
			 ST_PAGE_METADATA_INCORRECT | OP_RDX);
		CHECK_EQ(call(l | 2 << 16, level, td.tdr, 0, SCRATCH),
			 ST_OPERAND_INVALID | OP_RAX);
		want = ST_OPERAND_INVALID | OP_RCX;
		test_end();
	}
	test_begin(NULL);
	td_end(&td);
}

/* The page in R8: every way in which it can be wrong. */
static void test_r8(void)
{
	static const struct {
		u16 leaf;
		u8 level, state;
	} leaf[] = {
		{ MEM_PAGE_ADD, 0, S_FREE }, { MEM_SEPT_ADD, 1, S_FREE },
		{ MEM_PAGE_AUG, 0, S_FREE }, { MEM_PAGE_AUG, 1, S_FREE },
		{ MEM_PAGE_DEMOTE, 1, S_PENDING_BLOCKED },
		{ MEM_PAGE_RELOCATE, 0, S_PENDING_BLOCKED },
	};
	unsigned int i;
	struct td td;

	for (i = 0; i < sizeof(leaf) / sizeof(leaf[0]); i++) {
		u64 rcx = GPA | leaf[i].level, part, other = 8 * GB;
		bool large = leaf[i].leaf == MEM_PAGE_AUG && leaf[i].level;
		u16 l = leaf[i].leaf;
		struct {
			u64 hpa, want;
		} bad[] = {
			{ 0x2001, ST_OPERAND_INVALID },
			{ 1ull << PHYS_BITS, ST_OPERAND_INVALID },
			{ TDMR_SIZE, ST_OPERAND_ADDR_RANGE_ERROR },
			{ 0, ST_PAGE_METADATA_INCORRECT },	/* reserved */
			{ 0, ST_OPERAND_BUSY },			/* the TDR, in use by the call */
			{ 0, ST_PAGE_METADATA_INCORRECT },	/* the root */
			{ 0, ST_PAGE_METADATA_INCORRECT },	/* part of a 2 MiB page */
			{ 0, ST_PAGE_METADATA_INCORRECT },	/* not free as a whole */
		};
		unsigned int j, n = sizeof(bad) / sizeof(bad[0]);
		char name[64];

		snprintf(name, sizeof(name), "%s level %u, R8", tdxemu_leaf_name(l),
			 leaf[i].level);
		td_new(&td, 1, false);
		test_begin(name);
		CHECK(put_state(&td, GPA, leaf[i].level, leaf[i].state, NULL));
		td_tables(&td, other, 1);
		part = host_page_2m();
		CALL(MEM_PAGE_AUG, other | 1, td.tdr, part, 0);
		bad[4].hpa = td.tdr;
		bad[5].hpa = td.root;
		bad[6].hpa = part + PAGE;
		bad[7].hpa = part;
		if (large) {
			bad[7].hpa = host_page_2m();
			td_tables(&td, other + 2 * MB, 0);
			CALL(MEM_PAGE_AUG, other + 2 * MB, td.tdr, bad[7].hpa + 5 * PAGE, 0);
		}
		for (j = 0; j < n; j++) {
			u64 want = bad[j].want;

			/* The alignment comes before the PAMT. */
			if (large && bad[j].hpa < TDMR_SIZE && bad[j].hpa % (2 * MB))
				want = ST_OPERAND_INVALID;
			CHECK_EQ(call(l, rcx, td.tdr, bad[j].hpa, SCRATCH), want | OP_R8);
			CHECK_EQ(out.rcx | out.rdx, 0);
		}
		if (large)
			CHECK_EQ(call(l, rcx, td.tdr, host_page_2m() + PAGE, 0),
				 ST_OPERAND_INVALID | OP_R8);
		/* Nothing of that changed the entry. */
		CALL(MEM_SEPT_RD, rcx, td.tdr, 0, 0);
		CHECK_EQ(out.rdx, (u64)leaf[i].state << 8 | leaf[i].level);
		CALL(l, rcx, td.tdr, large ? host_page_2m() : host_page(), SCRATCH);
		td_end(&td);
		test_end();
	}
	td_new(&td, 1, false);
	test_begin("PAGE.ADD, source and contents");
	td_tables(&td, GPA, 0);
	CHECK_EQ(call(MEM_PAGE_ADD, GPA, td.tdr, host_page(), 1), ST_OPERAND_INVALID | OP_R9);
	CHECK_EQ(call(MEM_PAGE_ADD, GPA, td.tdr, host_page(), RAM_SIZE),
		 ST_OPERAND_INVALID | OP_R9);
	{
		u64 page = host_page();

		memset(host_va(SCRATCH + PAGE), 0x5a, PAGE);
		CALL(MEM_PAGE_ADD, GPA, td.tdr, page, SCRATCH + PAGE);
		CHECK(!memcmp(host_va(page), host_va(SCRATCH + PAGE), PAGE));
		CHECK(!host_owned(SCRATCH + PAGE));
		CALL(MR_EXTEND, GPA + 256, td.tdr, 0, 0);
		CHECK_EQ(call(MR_EXTEND, GPA + 128, td.tdr, 0, 0), ST_OPERAND_INVALID | OP_RCX);
	}
	td_end(&td);
	test_end();
}

/* Where a walk stops, and what the host is told about it. */
static void test_walk(void)
{
	static const struct {
		const char *name;
		unsigned int level;	/* of what is there */
		u8 state;
		unsigned int ask;
		u64 want;
		u64 info;
	} t[] = {
		{ "no table at 2M", 1, S_FREE, 0, ST_EPT_WALK_FAILED, S_FREE << 8 | 1 },
		{ "no table at 1G", 2, S_FREE, 0, ST_EPT_WALK_FAILED, S_FREE << 8 | 2 },
		{ "no table at 512G", 3, S_FREE, 1, ST_EPT_WALK_FAILED, S_FREE << 8 | 3 },
		{ "2M leaf, pending", 1, S_PENDING, 0, ST_EPT_WALK_FAILED, S_PENDING << 8 | 1 },
		{ "2M leaf, mapped", 1, S_MAPPED, 0, ST_EPT_WALK_FAILED, S_MAPPED << 8 | 1 },
		{ "2M leaf, blocked", 1, S_BLOCKED, 0, ST_EPT_WALK_FAILED, 0x101 },
		{ "blocked table", 1, S_NL_BLOCKED, 0, ST_EPT_WALK_FAILED, S_NL_BLOCKED << 8 | 1 },
		{ "free entry of a table", 1, S_NL_MAPPED, 0, ST_EPT_ENTRY_STATE_INCORRECT, 0 },
	};
	unsigned int i;
	struct td td;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char name[64];

		snprintf(name, sizeof(name), "walk: %s", t[i].name);
		td_new(&td, 1, true);
		test_begin(name);
		CHECK(put_state(&td, GPA, t[i].level, t[i].state, NULL));
		CHECK_EQ(call(MEM_RANGE_BLOCK, GPA | t[i].ask, td.tdr, 0, 0), t[i].want | OP_RCX);
		CHECK_EQ(out.rdx, t[i].info);
		td_end(&td);
		test_end();
	}
}

static int count_leaf(void *data, u64 gpa, const struct tdxemu_sept_entry *e)
{
	u64 *sum = data;

	CHECK(e->present && e->leaf);
	sum[0]++;
	sum[1] += gpa;
	sum[2] += e->level;
	return 0;
}

static void test_iterate(void)
{
	static const u64 gpas[] = { 0, PAGE, 511 * PAGE, 2 * MB, GB, 511 * GB, 512 * GB,
				    (1ull << 47) - PAGE };
	u64 sum[3] = { 0 }, want = 0, large = 0;
	unsigned int i;
	struct td td;

	td_new(&td, 1, true);
	test_begin("all leaves, in the corners of tables too");
	for (i = 0; i < sizeof(gpas) / sizeof(gpas[0]); i++) {
		unsigned int level = gpas[i] == 2 * MB || gpas[i] == GB;

		td_tables(&td, gpas[i], level);
		CALL(MEM_PAGE_AUG, gpas[i] | level, td.tdr,
		     level ? host_page_2m() : host_page(), 0);
		want += gpas[i];
		large += level;
	}
	CHECK_EQ(tdxemu_for_each_leaf(tdxemu_td_at(td.tdr), count_leaf, sum), 0);
	CHECK_EQ(sum[0], i);
	CHECK_EQ(sum[1], want);
	CHECK_EQ(sum[2], large);
	CHECK_EQ(tdxemu_check_td(tdxemu_td_at(td.tdr)), 0);
	td_end(&td);
	test_end();
}

void test_sept(void)
{
	host_boot(NULL);
	test_matrix();
	test_op_state();
	test_operands();
	test_r8();
	test_walk();
	test_iterate();
}
