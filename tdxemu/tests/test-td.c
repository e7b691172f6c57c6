// SPDX-License-Identifier: GPL-2.0
/* TDs: life cycle, parameters, keys, reclaim. */

#include "unit.h"

/* A TD stops being built after so many steps. */
enum step { CREATED, HALF_KEYED, KEYED, FIVE_TDCX, HAVE_TDCX, INITIALIZED, RUNNABLE };

static u64 tdcx[NR_TDCX];

static void build(struct td *td, enum step until)
{
	unsigned int i;

	memset(td, 0, sizeof(*td));
	td->tdr = host_page();
	td->hkid = FIRST_KEYID + 1;
	CALL(MNG_CREATE, td->tdr, td->hkid, 0, 0);
	host.cpu = 0;
	if (until >= HALF_KEYED)
		CALL(MNG_KEY_CONFIG, td->tdr, 0, 0, 0);
	host.cpu = 2;
	if (until >= KEYED)
		CALL(MNG_KEY_CONFIG, td->tdr, 0, 0, 0);
	host.cpu = 0;
	for (i = 0; i < NR_TDCX; i++) {
		tdcx[i] = host_page();
		if (until >= HAVE_TDCX || (until == FIVE_TDCX && i < 5))
			CALL(MNG_ADDCX, tdcx[i], td->tdr, 0, 0);
	}
	if (until >= INITIALIZED)
		CALL(MNG_INIT, td->tdr, td_params(), 0, 0);
	if (until < RUNNABLE)
		return;
	td->nr_vcpus = 1;
	td->vp[0] = host_page();
	CALL(VP_CREATE, td->vp[0], td->tdr, 0, 0);
	for (i = 0; i < NR_TDVPX; i++)
		CALL(VP_ADDCX, host_page(), td->vp[0], 0, 0);
	CALL(VP_INIT | 1 << 16, td->vp[0], 0, 0, 0);
	CALL(MR_FINALIZE, td->tdr, 0, 0, 0);
}

/*
 * Each TD leaf at each step of a TD's life: the status that comes from the step
 * alone. 0: it gets past those checks.
 */
static void test_steps(void)
{
	static const struct {
		u16 leaf;
		bool rcx_is_td;
		u64 want[RUNNABLE + 1];
	} t[] = {
#define TDCX	ST_TDCS_NOT_ALLOCATED
#define KEYS	ST_TD_KEYS_NOT_CONFIGURED
#define OPS	ST_OP_STATE_INCORRECT
#define NOX	ST_TDCX_NUM_INCORRECT
		{ MNG_ADDCX, false,	{ KEYS, KEYS, 0, 0, NOX, NOX, NOX } },
		{ MNG_INIT, true,	{ KEYS, KEYS, TDCX, TDCX, 0, OPS, OPS } },
		{ MNG_RD, true,		{ KEYS, KEYS, TDCX, TDCX, OPS, 0, 0 } },
		{ MR_EXTEND, false,	{ KEYS, KEYS, TDCX, TDCX, OPS, 0, OPS } },
		{ MR_FINALIZE, true,	{ KEYS, KEYS, TDCX, TDCX, OPS, 0, OPS } },
		{ VP_CREATE, false,	{ KEYS, KEYS, TDCX, TDCX, OPS, 0, OPS } },
		{ MEM_PAGE_ADD, false,	{ KEYS, KEYS, TDCX, TDCX, OPS, 0, OPS } },
		{ MEM_SEPT_ADD, false,	{ KEYS, KEYS, TDCX, TDCX, OPS, 0, 0 } },
		{ MEM_PAGE_AUG, false,	{ KEYS, KEYS, TDCX, TDCX, OPS, 0, 0 } },
		{ MEM_RANGE_BLOCK, false, { KEYS, KEYS, TDCX, TDCX, OPS, 0, 0 } },
		{ MEM_RANGE_UNBLOCK, false, { KEYS, KEYS, TDCX, TDCX, OPS, 0, 0 } },
		{ MEM_TRACK, true,	{ KEYS, KEYS, TDCX, TDCX, OPS, 0, 0 } },
		{ MEM_PAGE_REMOVE, false, { KEYS, KEYS, TDCX, TDCX, OPS, 0, 0 } },
		{ MEM_SEPT_REMOVE, false, { KEYS, KEYS, TDCX, TDCX, OPS, 0, 0 } },
		{ MEM_PAGE_DEMOTE, false, { KEYS, KEYS, TDCX, TDCX, OPS, 0, 0 } },
		{ MEM_PAGE_PROMOTE, false, { KEYS, KEYS, TDCX, TDCX, OPS, 0, 0 } },
		{ MEM_PAGE_RELOCATE, false, { KEYS, KEYS, TDCX, TDCX, OPS, 0, 0 } },
		{ MEM_SEPT_RD, false,	{ KEYS, KEYS, TDCX, TDCX, OPS, 0, 0 } },
	};
	static const u8 op_state[] = {
		[INITIALIZED] = TD_INITIALIZED, [RUNNABLE] = TD_RUNNABLE,
	};
	unsigned int i, step;
	char name[80];
	struct td td;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		snprintf(name, sizeof(name), "%s at each step of a TD", tdxemu_leaf_name(t[i].leaf));
		test_begin(name);
		for (step = CREATED; step <= RUNNABLE; step++) {
			u64 s;

			host_boot(NULL);
			build(&td, step);
			/* Operands that are wrong: what gets past must fail later. */
			s = t[i].rcx_is_td ? call(t[i].leaf, td.tdr, 1, 0, 0) :
				call(t[i].leaf, 0x13, td.tdr, 0, 0);
			if (t[i].want[step] == OPS)
				CHECK_EQ(s, OPS | op_state[step]);
			else if (t[i].want[step])
				CHECK_EQ(s, t[i].want[step]);
			else
				CHECK(s == 0 || s == ST_NO_VCPUS || s >> 40 == ST_OPERAND_INVALID >> 40 ||
				      s == ST_METADATA_FIELD_ID_INCORRECT);
			CHECK(s || t[i].leaf == MEM_TRACK);
		}
		test_end();
	}
	host_boot(NULL);
}

static void test_params(void)
{
	static const struct {
		const char *name;
		unsigned int offset, size;
		u64 value;
		u64 want;
	} t[] = {
		{ "attributes, reserved bit", 0, 8, 1ull << 40, ST_OPERAND_INVALID | OP_ATTRIBUTES },
		{ "attributes, DEBUG", 0, 8, ATTR_DEBUG, 0 },
		{ "XFAM without x87", 8, 8, 2, ST_OPERAND_INVALID | OP_XFAM },
		{ "XFAM, reserved bit", 8, 8, 3 | 1ull << 40, ST_OPERAND_INVALID | OP_XFAM },
		{ "no vCPUs", 16, 2, 0, ST_OPERAND_INVALID | OP_MAX_VCPUS },
		{ "too many vCPUs", 16, 2, 65, ST_OPERAND_INVALID | OP_MAX_VCPUS },
		{ "EPTP, uncached", 24, 8, 3 << 3, ST_OPERAND_INVALID | OP_EPTP },
		{ "EPTP, three levels", 24, 8, 6 | 2 << 3, ST_OPERAND_INVALID | OP_EPTP },
		{ "EPTP, five levels", 24, 8, 6 | 4 << 3, 0 },
		{ "EPTP, reserved bit", 24, 8, 6 | 3 << 3 | 1 << 6, ST_OPERAND_INVALID | OP_EPTP },
		{ "52 bits with four levels", 32, 8, CONFIG_MAX_GPAW, ST_OPERAND_INVALID | OP_CONFIG_FLAGS },
		{ "config flags, reserved bit", 32, 8, 1 << 9, ST_OPERAND_INVALID | OP_CONFIG_FLAGS },
		{ "TSC too slow", 40, 2, 3, ST_OPERAND_INVALID | OP_TSC },
		{ "TSC at its lowest", 40, 2, 4, 0 },
		{ "TSC at its highest", 40, 2, 400, 0 },
		{ "TSC too fast", 40, 2, 401, ST_OPERAND_INVALID | OP_TSC },
		{ "reserved byte after max_vcpus", 18, 1, 1, ST_OPERAND_INVALID | OP_RDX },
		{ "reserved byte after TSC", 50, 1, 1, ST_OPERAND_INVALID | OP_RDX },
		{ "reserved bytes before CPUID", 248, 8, 1, ST_OPERAND_INVALID | OP_RDX },
		{ "CPUID 0x80000008, configurable", 256, 8, 48 << 16, 0 },
		{ "CPUID 0x80000008, fixed", 256, 8, 1, ST_OPERAND_INVALID | OP_CPUID },
		{ "CPUID beyond the list", 256 + 16 * 2, 8, 1, ST_OPERAND_INVALID | OP_CPUID },
	};
	unsigned int i;
	char name[80];
	struct td td;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		u64 p;

		snprintf(name, sizeof(name), "MNG.INIT: %s", t[i].name);
		test_begin(name);
		host_boot(NULL);
		build(&td, HAVE_TDCX);
		p = td_params();
		memcpy((char *)host_va(p) + t[i].offset, &t[i].value, t[i].size);
		CHECK_EQ(call(MNG_INIT, td.tdr, p, 0, 0), t[i].want);
		if (t[i].want == (ST_OPERAND_INVALID | OP_CPUID))
			CHECK_EQ(out.rcx, t[i].offset == 256 ? 0xffffffff80000008 : ~0ull);
		/* A refusal leaves the TD as it was. */
		if (t[i].want)
			CALL(MNG_INIT, td.tdr, td_params(), 0, 0);
		CHECK_EQ(call(MNG_INIT, td.tdr, p, 0, 0),
			 ST_OP_STATE_INCORRECT | TD_INITIALIZED);
		test_end();
	}
	test_begin("MNG.INIT: where the parameters are");
	host_boot(NULL);
	build(&td, HAVE_TDCX);
	CHECK_EQ(call(MNG_INIT, td.tdr, td_params() + 512, 0, 0), ST_OPERAND_INVALID | OP_RDX);
	CHECK_EQ(call(MNG_INIT, td.tdr, RAM_SIZE, 0, 0), ST_OPERAND_INVALID | OP_RDX);
	CHECK_EQ(call(MNG_INIT, td.tdr, 1ull << PHYS_BITS, 0, 0), ST_OPERAND_INVALID | OP_RDX);
	test_end();
	/* Without the feature, the flag is reserved. */
	test_begin("MNG.INIT: NO_RBP_MOD without the feature");
	{
		static const struct boot b = { .features0 = TDXEMU_F0_TOPOLOGY_ENUM };

		host_boot(&b);
		build(&td, HAVE_TDCX);
		CHECK_EQ(call(MNG_INIT, td.tdr, td_params(), 0, 0),
			 ST_OPERAND_INVALID | OP_CONFIG_FLAGS);
	}
	test_end();
	host_boot(NULL);
}

static void test_create(void)
{
	struct td td, other;
	u64 page;

	test_begin("MNG.CREATE");
	host_boot(NULL);
	page = host_page();
	CHECK_EQ(call(MNG_CREATE, page + 1, 33, 0, 0), ST_OPERAND_INVALID | OP_RCX);
	CHECK_EQ(call(MNG_CREATE, TDMR_SIZE, 33, 0, 0), ST_OPERAND_ADDR_RANGE_ERROR | OP_RCX);
	CHECK_EQ(call(MNG_CREATE, PAGE, 33, 0, 0), ST_PAGE_METADATA_INCORRECT | OP_RCX);
	CHECK_EQ(call(MNG_CREATE, page, FIRST_KEYID - 1, 0, 0), ST_OPERAND_INVALID | OP_RDX);
	CHECK_EQ(call(MNG_CREATE, page, FIRST_KEYID + NR_KEYIDS, 0, 0), ST_OPERAND_INVALID | OP_RDX);
	CHECK_EQ(call(MNG_CREATE, page, 33 | 1 << 16, 0, 0), ST_OPERAND_INVALID | OP_RDX);
	CHECK_EQ(call(MNG_CREATE, page, GLOBAL_HKID, 0, 0), ST_HKID_NOT_FREE);
	CHECK(!host_owned(page));
	td_new(&td, 1, false);
	CHECK_EQ(call(MNG_CREATE, page, td.hkid, 0, 0), ST_HKID_NOT_FREE);
	CHECK_EQ(call(MNG_CREATE, td.tdr, 36, 0, 0), ST_PAGE_METADATA_INCORRECT | OP_RCX);
	td_new(&other, 1, false);
	td_end(&td);
	/* The key is free, and so is the page. */
	CALL(MNG_CREATE, td.tdr, td.hkid, 0, 0);
	test_end();
	test_begin("MNG.KEY.CONFIG");
	CHECK_EQ(call(MNG_KEY_CONFIG, other.tdr, 0, 0, 0), ST_LIFECYCLE_STATE_INCORRECT);
	CALL(MNG_KEY_CONFIG, td.tdr, 0, 0, 0);
	host.cpu = 1;
	CHECK_EQ(call(MNG_KEY_CONFIG, td.tdr, 0, 0, 0), ST_KEY_CONFIGURED);
	CHECK_EQ(call(MNG_ADDCX, page, td.tdr, 0, 0), ST_TD_KEYS_NOT_CONFIGURED);
	host.cpu = 3;
	CALL(MNG_KEY_CONFIG, td.tdr, 0, 0, 0);
	CALL(MNG_ADDCX, page, td.tdr, 0, 0);
	CHECK_EQ(call(MNG_ADDCX, page, td.tdr, 0, 0), ST_PAGE_METADATA_INCORRECT | OP_RCX);
	CHECK_EQ(call(MNG_KEY_CONFIG, page, 0, 0, 0), ST_PAGE_METADATA_INCORRECT | OP_RCX);
	test_end();
	host_boot(NULL);
}

/* What a TD is built with can fail for want of entropy, late. */
static void test_entropy(void)
{
	struct tdxemu_fault f = { .kind = TDXEMU_FAULT_ENTROPY, .level = ~0u, .times = 2 };
	unsigned int hkid = FIRST_KEYID + 1, i;
	struct td td;
	u64 page;

	test_begin("no entropy: CREATE");
	page = host_page();
	f.leaf = MNG_CREATE;
	tdxemu_fault_clear();
	tdxemu_fault_add(&f);
	memset(host_va(page), 0x77, PAGE);
	CHECK_EQ(call(MNG_CREATE, page, hkid, 0, 0), ST_RND_NO_ENTROPY);
	/* The TDR has been cleared, with the global key. */
	CHECK(host_owned(page));
	CHECK_EQ(*(u8 *)host_va(page), 0);
	CHECK_EQ(call(MNG_CREATE, page, hkid, 0, 0), ST_RND_NO_ENTROPY);
	CHECK_EQ(wbinvd(GLOBAL_HKID, page), 0);
	CHECK(!host_owned(page));
	CALL(MNG_CREATE, page, hkid, 0, 0);
	CHECK_EQ(host_violations(), 0);
	test_end();
	test_begin("no entropy, or a busy table: KEY.CONFIG");
	f.leaf = MNG_KEY_CONFIG;
	f.times = 1;
	tdxemu_fault_clear();
	tdxemu_fault_add(&f);
	CHECK_EQ(call(MNG_KEY_CONFIG, page, 0, 0, 0), ST_KEY_GENERATION_FAILED);
	f.kind = TDXEMU_FAULT_BUSY;
	f.operand = OP_KET;
	tdxemu_fault_clear();
	tdxemu_fault_add(&f);
	CHECK_EQ(call(MNG_KEY_CONFIG, page, 0, 0, 0), ST_OPERAND_BUSY | OP_KET);
	CALL(MNG_KEY_CONFIG, page, 0, 0, 0);
	host.cpu = 2;
	CALL(MNG_KEY_CONFIG, page, 0, 0, 0);
	CHECK_EQ(call(MNG_KEY_CONFIG, page, 0, 0, 0), ST_LIFECYCLE_STATE_INCORRECT);
	host.cpu = 0;
	test_end();
	test_begin("no entropy: ADDCX of the last page");
	f.kind = TDXEMU_FAULT_ENTROPY;
	f.leaf = MNG_ADDCX;
	tdxemu_fault_clear();
	tdxemu_fault_add(&f);
	td.tdr = page;
	td.hkid = hkid;
	for (i = 0; i < NR_TDCX - 1; i++)
		CALL(MNG_ADDCX, host_page(), td.tdr, 0, 0);
	page = host_page();
	CHECK_EQ(call(MNG_ADDCX, page, td.tdr, 0, 0), ST_RND_NO_ENTROPY);
	CHECK(host_owned(page));
	CHECK_EQ(call(MNG_INIT, td.tdr, td_params(), 0, 0), ST_TDCS_NOT_ALLOCATED);
	CALL(MNG_ADDCX, page, td.tdr, 0, 0);
	CHECK_EQ(host_violations(), 0);
	test_end();
	test_begin("no entropy: the page of a failed CREATE is used as it is");
	host_boot(NULL);
	page = host_page();
	f.leaf = MNG_CREATE;
	tdxemu_fault_add(&f);
	CHECK_EQ(call(MNG_CREATE, page, hkid, 0, 0), ST_RND_NO_ENTROPY);
	td_new(&td, 1, false);
	td_tables(&td, GPA, 0);
	CALL(MEM_PAGE_AUG, GPA, td.tdr, page, 0);
	CHECK_EQ(host.violations[TDXEMU_RULE_WRITE_BACK], 1);
	host_boot(NULL);
	test_end();
}

static void test_rd(void)
{
	static const struct {
		u64 field, want, status;
	} t[] = {
		{ 17ull << 56 | 10, 0 },
		{ 17ull << 56 | 11, 1ull << 48 },
		{ 17ull << 56 | 12, 0, ST_METADATA_FIELD_ID_INCORRECT },
		/* CPUID 0x80000008: element 0 with the address width of TD_PARAMS */
		{ 0x9410000300000000 | 1 << 16 | 8 << 9 | 0xff << 1, 0x111100343028 },
		{ 0x9410000300000000 | 1 << 16 | 8 << 9 | 0xff << 1 | 1, 0x333300002222 },
		{ 0x9410000300000000 | 1 << 16 | 8 << 9, 0, ST_METADATA_FIELD_ID_INCORRECT },
		{ 0x9410000300000000 | 4 << 9 | 1 << 1, 0x112200000004 },
		{ 0x9410000300000000 | 4 << 9 | 2 << 1, 0x111100000004 },
		{ 0x9410000300000000 | 4 << 9 | 0xff << 1, 0, ST_METADATA_FIELD_ID_INCORRECT },
		{ 0x9410000300000000 | 5 << 9 | 0xff << 1, 0, ST_METADATA_FIELD_ID_INCORRECT },
		{ 0x9410000300000000 | 0xff << 1, 0x111100000000 },
	};
	unsigned int i;
	struct td td;
	u64 p;

	test_begin("MNG.RD");
	build(&td, HAVE_TDCX);
	p = td_params();
	((u32 *)((char *)host_va(p) + 256))[0] = 52 << 16;
	((u32 *)((char *)host_va(p) + 256 + 16))[1] = 0x22;
	CALL(MNG_INIT, td.tdr, p, 0, 0);
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		u64 want = t[i].want;

		CHECK_EQ(call(MNG_RD, td.tdr, t[i].field, 5, 0), t[i].status);
		CHECK_EQ(out.r8, want);
	}
	test_end();
	host_boot(NULL);
}

static void test_teardown(void)
{
	u64 hpa, pages[64];
	unsigned int n = 0, i;
	struct td td, other;

	td_new(&td, 2, true);
	td_new(&other, 1, true);
	test_begin("teardown: each step before its time");
	CHECK(put_state(&td, GPA, 0, S_MAPPED, NULL));
	CHECK(put_state(&td, GPA + 2 * MB, 1, S_PENDING, &hpa));
	CHECK_EQ(call(MNG_KEY_FREEID, td.tdr, 0, 0, 0), ST_LIFECYCLE_STATE_INCORRECT);
	CHECK_EQ(call(PHYMEM_CACHE_WB, 0, 0, 0, 0), ST_NO_HKID_READY_TO_WBCACHE);
	CHECK_EQ(call(PHYMEM_CACHE_WB, 1, 0, 0, 0), ST_WBCACHE_RESUME_ERROR);
	CHECK_EQ(call(PHYMEM_CACHE_WB, 2, 0, 0, 0), ST_OPERAND_INVALID | OP_RCX);
	CHECK_EQ(call(PHYMEM_PAGE_RECLAIM, td.tdr, 0, 0, 0), ST_LIFECYCLE_STATE_INCORRECT);
	CHECK_EQ(call(PHYMEM_PAGE_RECLAIM, td.root, 0, 0, 0), ST_LIFECYCLE_STATE_INCORRECT);
	CHECK_EQ(out.rcx, PT_TDCX);
	CHECK_EQ(out.rdx, td.tdr);
	CHECK_EQ(call(MNG_VPFLUSHDONE, td.tdr, 0, 0, 0), ST_FLUSHVP_NOT_DONE);
	CALL(VP_FLUSH, td.vp[0], 0, 0, 0);
	CHECK_EQ(call(MNG_VPFLUSHDONE, td.tdr, 0, 0, 0), ST_FLUSHVP_NOT_DONE);
	host.cpu = 1;
	CALL(VP_FLUSH, td.vp[1], 0, 0, 0);
	CALL(MNG_VPFLUSHDONE, td.tdr, 0, 0, 0);
	CHECK_EQ(call(MNG_VPFLUSHDONE, td.tdr, 0, 0, 0), ST_LIFECYCLE_STATE_INCORRECT);
	/* No vCPU runs, no memory changes, from here on. */
	CHECK_EQ(call(VP_ENTER, td.vp[0], 0, 0, 0), ST_TD_KEYS_NOT_CONFIGURED);
	CHECK_EQ(call(MEM_PAGE_AUG, GPA + PAGE, td.tdr, host_page(), 0), ST_TD_KEYS_NOT_CONFIGURED);
	CHECK_EQ(call(MNG_KEY_CONFIG, td.tdr, 0, 0, 0), ST_LIFECYCLE_STATE_INCORRECT);
	CHECK_EQ(call(MNG_KEY_FREEID, td.tdr, 0, 0, 0), ST_WBCACHE_NOT_COMPLETE);
	host.cpu = 0;
	CALL(PHYMEM_CACHE_WB, 0, 0, 0, 0);
	/* Once more does no harm, on another CPU of the package either. */
	host.cpu = 1;
	CALL(PHYMEM_CACHE_WB, 0, 0, 0, 0);
	CHECK_EQ(call(MNG_KEY_FREEID, td.tdr, 0, 0, 0), ST_WBCACHE_NOT_COMPLETE);
	CHECK_EQ(call(MNG_CREATE, host_page(), td.hkid, 0, 0), ST_HKID_NOT_FREE);
	CHECK_EQ(call(PHYMEM_PAGE_RECLAIM, td.root, 0, 0, 0), ST_LIFECYCLE_STATE_INCORRECT);
	host.cpu = 2;
	CALL(PHYMEM_CACHE_WB, 0, 0, 0, 0);
	CALL(MNG_KEY_FREEID, td.tdr, 0, 0, 0);
	CHECK_EQ(call(PHYMEM_PAGE_RECLAIM, td.tdr, 0, 0, 0), ST_TD_ASSOCIATED_PAGES_EXIST);
	CHECK_EQ(call(PHYMEM_PAGE_RECLAIM, hpa + PAGE, 0, 0, 0), ST_OPERAND_INVALID | OP_RCX);
	CHECK_EQ(wbinvd(td.hkid, hpa), ST_PAGE_METADATA_INCORRECT | OP_RCX);
	CALL(PHYMEM_PAGE_RECLAIM, hpa, 0, 0, 0);
	CHECK_EQ(out.rcx, PT_REG);
	CHECK_EQ(out.r8, 1);
	CHECK(!host_owned(hpa + 511 * PAGE));
	for (hpa = 2 * MB; hpa < host.next_4k; hpa += PAGE)
		if (hpa != td.tdr && !call(PHYMEM_PAGE_RDMD, hpa, 0, 0, 0) && out.rdx == td.tdr)
			pages[n++] = hpa;
	CHECK(n > 20 && n < 64);
	for (i = 0; i < n; i++) {
		CHECK_EQ(call(PHYMEM_PAGE_RECLAIM, td.tdr, 0, 0, 0), ST_TD_ASSOCIATED_PAGES_EXIST);
		CALL(PHYMEM_PAGE_RECLAIM, pages[i], 0, 0, 0);
		CHECK(!host_owned(pages[i]));
		CHECK_EQ(call(PHYMEM_PAGE_RECLAIM, pages[i], 0, 0, 0),
			 ST_PAGE_METADATA_INCORRECT | OP_RCX);
	}
	CALL(PHYMEM_PAGE_RECLAIM, td.tdr, 0, 0, 0);
	CHECK_EQ(out.rcx, PT_TDR);
	/* The TDR was written with the global key. */
	CHECK(host_owned(td.tdr));
	CHECK(tdxemu_page_owned(td.tdr));
	CHECK_EQ(wbinvd(GLOBAL_HKID, td.tdr), 0);
	CHECK(!host_owned(td.tdr));
	CHECK(!tdxemu_page_owned(td.tdr));
	CHECK_EQ(host.vps, 1);
	CHECK_EQ(td_enter(&other, 0, NULL), EXIT_EXTERNAL_INTERRUPT);
	test_end();
	test_begin("PHYMEM leaves, operands");
	CHECK_EQ(call(PHYMEM_PAGE_RECLAIM, 0x1001, 0, 0, 0), ST_OPERAND_INVALID | OP_RCX);
	CHECK_EQ(call(PHYMEM_PAGE_RECLAIM, TDMR_SIZE, 0, 0, 0), ST_OPERAND_ADDR_RANGE_ERROR | OP_RCX);
	CHECK_EQ(call(PHYMEM_PAGE_RECLAIM, PAGE, 0, 0, 0), ST_PAGE_METADATA_INCORRECT | OP_RCX);
	CHECK_EQ(out.rcx, PT_RSVD);
	/* The HKID is not looked at. */
	CHECK_EQ(wbinvd(FIRST_KEYID - 1, host_page()), 0);
	CHECK_EQ(wbinvd(FIRST_KEYID + NR_KEYIDS, host_page()), 0);
	CHECK_EQ(wbinvd(34, TDMR_SIZE), ST_OPERAND_ADDR_RANGE_ERROR | OP_RCX);
	CHECK_EQ(wbinvd(34, other.tdr), ST_PAGE_METADATA_INCORRECT | OP_RCX);
	CHECK_EQ(wbinvd(34, 1), ST_OPERAND_INVALID | OP_RCX);
	CHECK_EQ(wbinvd(34, host_page()), 0);
	CHECK_EQ(call(PHYMEM_PAGE_RDMD, 1, 0, 0, 0), ST_OPERAND_INVALID | OP_RCX);
	CHECK_EQ(call(PHYMEM_PAGE_RDMD, TDMR_SIZE, 0, 0, 0), ST_OPERAND_ADDR_RANGE_ERROR | OP_RCX);
	CHECK_EQ(call(PHYMEM_PAGE_RDMD, 0, 0, 0, 0), 0);
	CHECK_EQ(out.rcx, PT_RSVD);
	test_end();
	host_boot(NULL);
	/* A TD that never got its keys goes, too. */
	test_begin("teardown of a TD without keys");
	build(&td, HALF_KEYED);
	CHECK(td_end_key(&td));
	CALL(PHYMEM_PAGE_RECLAIM, td.tdr, 0, 0, 0);
	CHECK_EQ(wbinvd(GLOBAL_HKID, td.tdr), 0);
	CHECK_EQ(host_nr_owned(), 0);
	test_end();
}

/*
 * The host can take nothing from a TD that is fatal. It gets all of it back once the
 * key is free, what it has taken before and not written back without being asked.
 */
static void test_fatal_teardown(void)
{
	static const struct tdxemu_fault machine_check = {
		.kind = TDXEMU_FAULT_MACHINE_CHECK, .leaf = VP_ENTER, .level = ~0u, .times = 1,
	};
	u64 small, huge, gone, pages, hpa, i;
	struct td td;

	host_boot(NULL);
	test_begin("teardown of a fatal TD");
	td_new(&td, 1, true);
	CHECK(put_state(&td, GPA, 0, S_MAPPED, &small));
	CHECK(put_state(&td, GPA + 2 * MB, 1, S_MAPPED, &huge));
	CHECK(put_state(&td, GPA + 4 * MB, 1, S_BLOCKED, &gone));
	CHECK_EQ(td_track(&td), 0);
	CALL(MEM_PAGE_REMOVE, (GPA + 4 * MB) | 1, td.tdr, 0, 0);
	for (i = 0; i < 10; i++)
		CHECK_EQ(wbinvd(td.hkid, gone + i * PAGE), 0);
	CHECK(!host_owned(gone + 9 * PAGE));
	CHECK(host_owned(gone + 10 * PAGE));

	CHECK_EQ(tdxemu_fault_add(&machine_check), 0);
	CHECK_EQ(td_enter(&td, 0, NULL), ST_NON_RECOVERABLE_TD);
	CHECK_EQ(out.rcx | out.rdx | out.r8, 0);
	tdxemu_fault_clear();
	CHECK_EQ(td_enter(&td, 0, NULL), ST_TD_FATAL);
	CHECK_EQ(call(MEM_RANGE_BLOCK, GPA, td.tdr, 0, 0), ST_TD_FATAL);
	CHECK_EQ(call(PHYMEM_PAGE_RECLAIM, small, 0, 0, 0), ST_LIFECYCLE_STATE_INCORRECT);
	CHECK(host_owned(gone + 10 * PAGE));

	CHECK(td_end_key(&td));
	CHECK(!host_owned(gone + 10 * PAGE));
	CHECK(!host_owned(gone + 511 * PAGE));
	CHECK(!tdxemu_page_owned(gone + 511 * PAGE));
	CHECK_EQ(call(PHYMEM_PAGE_RECLAIM, gone, 0, 0, 0), ST_PAGE_METADATA_INCORRECT | OP_RCX);
	/* Nothing else was given back, but for the asking. */
	CHECK(host_owned(small));
	CHECK(host_owned(huge + 511 * PAGE));
	pages = host_nr_owned();
	CALL(PHYMEM_PAGE_RECLAIM, small, 0, 0, 0);
	CHECK_EQ(out.r8, 0);
	CALL(PHYMEM_PAGE_RECLAIM, huge, 0, 0, 0);
	CHECK_EQ(out.r8, 1);
	CHECK_EQ(host_nr_owned(), pages - 513);
	for (hpa = 2 * MB; hpa < host.next_4k; hpa += PAGE)
		if (hpa != td.tdr && host_owned(hpa))
			CALL(PHYMEM_PAGE_RECLAIM, hpa, 0, 0, 0);
	CALL(PHYMEM_PAGE_RECLAIM, td.tdr, 0, 0, 0);
	CHECK_EQ(wbinvd(GLOBAL_HKID, td.tdr), 0);
	CHECK_EQ(host_nr_owned(), 0);
	host_boot(NULL);
	test_end();
}

/* Many TDs at once and one after another: nothing is left of any. */
static void test_many(void)
{
	struct td td[NR_KEYIDS - 1];
	unsigned int round, i;

	test_begin("as many TDs as there are keys, three times");
	host_boot(NULL);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < NR_KEYIDS - 1; i++) {
			td_new(&td[i], 1 + i % 2, true);
			CHECK(put_state(&td[i], GPA, i % 2, S_MAPPED, NULL));
		}
		for (i = 0; i < NR_KEYIDS - 1; i++)
			td_end(&td[(i * 3 + round) % (NR_KEYIDS - 1)]);
		CHECK_EQ(host_nr_owned(), 0);
		CHECK_EQ(host.vps, 0);
	}
	test_end();
}

void test_td(void)
{
	host_boot(NULL);
	test_steps();
	test_params();
	test_create();
	test_entropy();
	test_rd();
	test_teardown();
	test_fatal_teardown();
	test_many();
}
