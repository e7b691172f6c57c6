// SPDX-License-Identifier: GPL-2.0
/* The module as a whole: bring-up, metadata, memory regions. */

#include "unit.h"

static void lp_init_all(void)
{
	for (host.cpu = 0; host.cpu < NR_CPUS; host.cpu++)
		CALL(SYS_LP_INIT, 0, 0, 0, 0);
	host.cpu = 0;
}

static u64 config(void)
{
	return call(SYS_CONFIG, SCRATCH, 1, GLOBAL_HKID, 0);
}

static void test_order(void)
{
	static const u16 later[] = {
		VP_ENTER, MNG_CREATE, MNG_INIT, MEM_PAGE_AUG, MEM_TRACK, VP_FLUSH,
		PHYMEM_PAGE_WBINVD, PHYMEM_CACHE_WB, PHYMEM_PAGE_RECLAIM, SYS_TDMR_INIT,
	};
	unsigned int i;

	host_init(NULL);
	test_begin("bring-up: each step before its time, and twice");
	for (i = 0; i < sizeof(later) / sizeof(later[0]); i++)
		CHECK_EQ(call(later[i], 0, 0, 0, 0), ST_SYS_NOT_READY);
	CHECK_EQ(call(SYS_LP_INIT, 0, 0, 0, 0), ST_SYS_LP_INIT_NOT_PENDING);
	CHECK_EQ(call(SYS_RD, 0, 0x0A00000300000008, 0, 0), ST_SYS_LP_INIT_NOT_DONE);
	CHECK_EQ(call(SYS_INIT, 1, 0, 0, 0), ST_OPERAND_INVALID | OP_RCX);
	CALL(SYS_INIT, 0, 5, 6, 7);
	CHECK_EQ(out.rcx | out.rdx | out.r8 | out.r9 | out.r10, 0);
	CHECK_EQ(call(SYS_INIT, 0, 0, 0, 0), ST_SYS_INIT_NOT_PENDING);
	CALL(SYS_LP_INIT, 0, 0, 0, 0);
	CHECK_EQ(call(SYS_LP_INIT, 0, 0, 0, 0), ST_SYS_LP_INIT_DONE);
	host_tdmr_info(0);
	/* Not all CPUs are there. */
	CHECK_EQ(config(), ST_SYS_CONFIG_NOT_PENDING);
	CHECK_EQ(call(SYS_KEY_CONFIG, 0, 0, 0, 0), ST_SYS_KEY_CONFIG_NOT_PENDING);
	for (host.cpu = 1; host.cpu < NR_CPUS; host.cpu++) {
		CHECK_EQ(call(SYS_KEY_CONFIG, 0, 0, 0, 0), ST_SYS_LP_INIT_NOT_DONE);
		CALL(SYS_LP_INIT, 0, 0, 0, 0);
	}
	host.cpu = 0;
	CHECK_EQ(config(), 0);
	CHECK_EQ(config(), ST_SYS_CONFIG_NOT_PENDING);
	CHECK_EQ(call(SYS_TDMR_INIT, 0, 0, 0, 0), ST_SYS_NOT_READY);
	CALL(SYS_KEY_CONFIG, 0, 0, 0, 0);
	host.cpu = 1;
	CHECK_EQ(call(SYS_KEY_CONFIG, 0, 0, 0, 0), ST_KEY_CONFIGURED);
	CHECK_EQ(call(SYS_TDMR_INIT, 0, 0, 0, 0), ST_SYS_NOT_READY);
	host.cpu = 2;
	CALL(SYS_KEY_CONFIG, 0, 0, 0, 0);
	CHECK_EQ(call(SYS_KEY_CONFIG, 0, 0, 0, 0), ST_SYS_KEY_CONFIG_NOT_PENDING);
	host.cpu = 0;
	CHECK_EQ(call(SYS_TDMR_INIT, GB, 0, 0, 0), ST_OPERAND_INVALID | OP_RCX);
	for (i = 1; i <= TDMR_SIZE / (4 * MB); i++) {
		/* A page counts when its GiB is done. */
		if (i == 100)
			CHECK_EQ(call(MNG_CREATE, 2 * MB, 33, 0, 0),
				 ST_OPERAND_ADDR_RANGE_ERROR | OP_RCX);
		CALL(SYS_TDMR_INIT, 0, 0, 0, 0);
		CHECK_EQ(out.rdx, i * 4 * MB & ~(GB - 1));
		if (i == 256) {
			CALL(PHYMEM_PAGE_RDMD, 2 * MB, 0, 0, 0);
			CHECK_EQ(call(PHYMEM_PAGE_RDMD, GB, 0, 0, 0),
				 ST_OPERAND_ADDR_RANGE_ERROR | OP_RCX);
		}
	}
	CHECK_EQ(call(SYS_TDMR_INIT, 0, 0, 0, 0), ST_TDMR_ALREADY_INITIALIZED);
	CALL(MNG_CREATE, 2 * MB, 33, 0, 0);
	CALL(SYS_SHUTDOWN, 0, 0, 0, 0);
	CHECK_EQ(call(MNG_CREATE, 4 * MB, 34, 0, 0), ST_SYS_SHUTDOWN);
	CALL(SYS_DISABLE, 0, 0, 0, 0);
	test_end();
	host_boot(NULL);
	test_begin("SYS.DISABLE");
	CALL(SYS_DISABLE, 0, 0, 0, 0);
	CHECK_EQ(call(MNG_CREATE, 4 * MB, 34, 0, 0), ST_SYS_SHUTDOWN);
	test_end();
}

static void test_leaves(void)
{
	static const u16 none[] = { 12, 13, 14, 27, 32, 37, 42, 44, 51, 60, 79, 80, 0x7fff };
	unsigned int i;

	host_boot(NULL);
	test_begin("leaves and versions that do not exist");
	for (i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		CHECK_EQ(call(none[i], 0, 0, 0, 0), ST_OPERAND_INVALID | OP_RAX);
	for (i = 24; i < 64; i++)
		CHECK_EQ(call(SYS_RD | 1ull << i, 0, 0, 0, 0), ST_OPERAND_INVALID | OP_RAX);
	for (i = 0; i < TDXEMU_NR_LEAVES; i++)
		CHECK_EQ(call(i | 2 << 16, 0, 0, 0, 0), ST_OPERAND_INVALID | OP_RAX);
	CHECK_EQ(call(VP_ENTER | 1 << 16, 0, 0, 0, 0), ST_OPERAND_INVALID | OP_RAX);
	CHECK_EQ(call(SYS_UPDATE, 0, 0, 0, 0), ST_OPERAND_INVALID | OP_RAX);
	test_end();
}

static void test_metadata(void)
{
	static const struct {
		u64 id, value;
	} t[] = {
		{ 0x0A00000300000008, TDXEMU_F0_DEFAULT }, { 0x9100000100000008, 64 },
		{ 0x9100000100000009, 16 }, { 0x9100000100000010, 16 },
		{ 0x9100000100000011, 16 }, { 0x9100000100000012, 16 },
		{ 0x9800000100000000, 4096 }, { 0x9800000100000100, 6 * 4096 },
		{ 0x9800000100000200, 6 * 4096 }, { 0x1900000300000001, 0 },
		{ 0x1900000300000003, 3 }, { 0x9900000100000004, 2 },
		{ 0x9900000100000008, 64 },
		{ 0x9900000300000400, 0xffffffff80000008 },
		{ 0x9900000300000401, 0x100000004 },
		{ 0x9900000300000500, 0xff0000 }, { 0x9900000300000501, 0 },
		{ 0x9900000300000502, 0xff00000000 },
	};
	unsigned int i, n;
	u64 id;

	test_begin("SYS.RD");
	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		CALL(SYS_RD, 0, t[i].id, 0, 0);
		CHECK_EQ(out.r8, t[i].value);
	}
	CHECK_EQ(call(SYS_RD, 0, 0x9900000300000402, 9, 0), ST_METADATA_FIELD_ID_INCORRECT);
	CHECK_EQ(out.r8, 0);
	CHECK_EQ(out.rdx, ~0ull);
	/* The chain of fields has an end. */
	for (n = 0, id = 0x0800000100000003; id != ~0ull && n < 100; n++) {
		CALL(SYS_RD, 0, id, 0, 0);
		id = out.rdx;
	}
	CHECK_EQ(n, 19 + 2 + 4);
	test_end();
	test_begin("features0: bit 51, TOPOLOGY_ENUM");
	for (i = 0; i < 4; i++) {
		struct boot b = { .features0 = (i & 1 ? TDXEMU_F0_ENHANCED_DEMOTE : 0) |
					       (i & 2 ? TDXEMU_F0_TOPOLOGY_ENUM : 0) };

		host_boot(&b);
		CALL(SYS_RD, 0, 0x0A00000300000008, 0, 0);
		CHECK_EQ(out.r8, b.features0);
	}
	test_end();
}

/* SYS.CONFIG with one word of TDMR_INFO changed. */
static void test_config(void)
{
	static const struct {
		const char *name;
		int word;
		u64 value;
		u64 want;
	} t[] = {
		{ "good", -1, 0, 0 },
		{ "base not aligned to 1 GiB", 0, 2 * MB, ST_INVALID_TDMR },
		{ "size not of whole GiB", 1, GB + MB, ST_INVALID_TDMR },
		{ "empty", 1, 0, ST_INVALID_TDMR },
		{ "wider than physical addresses", 0, 1ull << PHYS_BITS, ST_INVALID_TDMR },
		{ "wraps around", 1, -GB, ST_INVALID_TDMR },
		{ "larger than its PAMTs", 1, 3 * GB, ST_INVALID_PAMT },
		{ "PAMT 1G not aligned", 2, PAMT_BASE + 16, ST_INVALID_PAMT },
		{ "PAMT 2M too small", 5, PAGE, ST_INVALID_PAMT },
		{ "PAMT 4K too small", 7, 4 * MB, ST_INVALID_PAMT },
		{ "PAMT in no memory", 6, RAM_SIZE, ST_INVALID_PAMT },
		{ "PAMT in the TDMR", 6, 64 * MB, ST_PAMT_OVERLAP },
		{ "PAMT 1G in its own reserved area", 2, 0, 0 },
		{ "two PAMTs at one place", 2, PAMT_BASE + PAGE, ST_PAMT_OVERLAP },
		{ "reserved area not aligned", 8, 1, ST_INVALID_RESERVED_IN_TDMR },
		{ "reserved area, odd size", 9, MB + 1, ST_INVALID_RESERVED_IN_TDMR },
		{ "reserved area outside", 8, TDMR_SIZE, ST_INVALID_RESERVED_IN_TDMR },
		{ "reserved area wraps around", 8, -PAGE, ST_INVALID_RESERVED_IN_TDMR },
	};
	unsigned int i;
	u64 *info;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char name[80];

		snprintf(name, sizeof(name), "SYS.CONFIG: %s", t[i].name);
		test_begin(name);
		host_init(NULL);
		CALL(SYS_INIT, 0, 0, 0, 0);
		lp_init_all();
		info = host_tdmr_info(0);
		if (t[i].word >= 0)
			info[t[i].word] = t[i].value;
		CHECK_EQ(config(), t[i].want);
		/* A refused configuration may be mended. */
		if (t[i].want) {
			host_tdmr_info(0);
			CHECK_EQ(config(), 0);
		}
		test_end();
	}
	test_begin("SYS.CONFIG: operands, order, CMRs");
	host_init(NULL);
	CALL(SYS_INIT, 0, 0, 0, 0);
	lp_init_all();
	info = host_tdmr_info(0);
	CHECK_EQ(call(SYS_CONFIG, SCRATCH + 8, 1, GLOBAL_HKID, 0), ST_OPERAND_INVALID | OP_RCX);
	CHECK_EQ(call(SYS_CONFIG, RAM_SIZE, 1, GLOBAL_HKID, 0), ST_OPERAND_INVALID | OP_RCX);
	CHECK_EQ(call(SYS_CONFIG, SCRATCH, 0, GLOBAL_HKID, 0), ST_OPERAND_INVALID | OP_RDX);
	CHECK_EQ(call(SYS_CONFIG, SCRATCH, 65, GLOBAL_HKID, 0), ST_OPERAND_INVALID | OP_RDX);
	CHECK_EQ(call(SYS_CONFIG, SCRATCH, 1, FIRST_KEYID - 1, 0), ST_OPERAND_INVALID | OP_R8);
	CHECK_EQ(call(SYS_CONFIG, SCRATCH, 1, FIRST_KEYID | 1 << 16, 0), ST_OPERAND_INVALID | OP_R8);
	info[10] = RESERVED_SIZE / 2;	/* a second area, before the end of the first */
	info[11] = PAGE;
	CHECK_EQ(config(), ST_NON_ORDERED_RESERVED);
	host_tdmr_info(0);
	host_tdmr_info(1);
	CHECK_EQ(call(SYS_CONFIG, SCRATCH, 2, GLOBAL_HKID, 0), ST_NON_ORDERED_TDMR | 1);
	CHECK_EQ(config(), 0);
	test_end();
	test_begin("SYS.CONFIG: memory that no CMR has");
	{
		static const struct tdxemu_range hole[] = {
			{ 0, GB }, { GB + MB, RAM_SIZE - GB - MB },
		};

		host_init(NULL);
		host.p.cmrs = hole;
		host.p.nr_cmrs = 2;
		tdxemu_init(&host.p);
		CALL(SYS_INIT, 0, 0, 0, 0);
		lp_init_all();
		host_tdmr_info(0);
		CHECK_EQ(config(), ST_TDMR_OUTSIDE_CMRS);
		info = host_tdmr_info(0);
		info[10] = GB;
		info[11] = MB;
		CHECK_EQ(config(), 0);
	}
	test_end();
	host_boot(NULL);
}

/* Which module it says it is, and that a later one has lost a promise. */
static void test_modules(void)
{
	static const struct {
		const char *name;
		enum tdxemu_module module;
		u64 major, minor, update;
		bool promise;
	} t[] = {
		{ "module 1.5.28", TDXEMU_MODULE_1_5, 1, 5, 28, true },
		{ "module 2.0.8", TDXEMU_MODULE_2_0, 2, 0, 8, false },
	};
	struct boot b = { .features0 = TDXEMU_F0_DEFAULT | TDXEMU_F0_ENHANCED_DEMOTE };
	unsigned int i;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		b.module = t[i].module;
		host_boot(&b);
		test_begin(t[i].name);
		CALL(SYS_RD, 0, 0x0800000100000003, 0, 0);
		CHECK_EQ(out.r8, t[i].minor);
		CALL(SYS_RD, 0, 0x0800000100000004, 0, 0);
		CHECK_EQ(out.r8, t[i].major);
		CALL(SYS_RD, 0, 0x0800000100000005, 0, 0);
		CHECK_EQ(out.r8, t[i].update);
		CALL(SYS_RD, 0, 0x0A00000300000008, 0, 0);
		CHECK_EQ(out.r8 & TDXEMU_F0_ENHANCED_DEMOTE,
			 t[i].promise ? TDXEMU_F0_ENHANCED_DEMOTE : 0);
		CHECK_EQ(out.r8 & ~TDXEMU_F0_ENHANCED_DEMOTE, TDXEMU_F0_DEFAULT);
		CHECK_EQ(tdxemu_features0(), out.r8);
		test_end();
	}
	host_boot(NULL);
}

void test_sys(void)
{
	test_order();
	test_leaves();
	test_metadata();
	test_config();
	test_modules();
}
