// SPDX-License-Identifier: GPL-2.0
/* The guest's side: translation, ACCEPT, and the TDCALLs that answer at once. */

#include "unit.h"

static void (*in_guest)(struct tdxemu_vp *vp);

static u64 guest(struct tdxemu_vp *vp, struct tdxemu_args *args)
{
	in_guest(vp);
	return EXIT_EXTERNAL_INTERRUPT;
}

static void run(struct td *td, void (*fn)(struct tdxemu_vp *vp))
{
	in_guest = fn;
	CHECK_EQ(td_enter(td, 0, guest), EXIT_EXTERNAL_INTERRUPT);
}

static u64 gpa, access_bits, rcx;
static struct tdxemu_access a;
static enum tdxemu_access_result result;

static void do_access(struct tdxemu_vp *vp)
{
	result = tdxemu_access(vp, gpa, access_bits, &a);
}

static void do_accept(struct tdxemu_vp *vp)
{
	result = tdxemu_accept(vp, rcx, &a);
}

/* Everything that an entry can be, at both levels. */
static void test_access(void)
{
	static const struct {
		u8 level, state;
		enum tdxemu_access_result want;
		u64 ext;
	} t[] = {
		{ 0, S_FREE, TDXEMU_EXIT }, { 1, S_FREE, TDXEMU_EXIT },
		{ 3, S_FREE, TDXEMU_EXIT }, { 1, S_NL_BLOCKED, TDXEMU_EXIT },
		{ 2, S_NL_BLOCKED, TDXEMU_EXIT }, { 1, S_NL_MAPPED, TDXEMU_EXIT },
		{ 0, S_MAPPED, TDXEMU_OK }, { 1, S_MAPPED, TDXEMU_OK },
		{ 0, S_BLOCKED, TDXEMU_EXIT }, { 1, S_BLOCKED, TDXEMU_EXIT },
		{ 0, S_PENDING, TDXEMU_EXIT, 6 }, { 1, S_PENDING, TDXEMU_EXIT, 6 },
		{ 0, S_PENDING_BLOCKED, TDXEMU_EXIT }, { 1, S_PENDING_BLOCKED, TDXEMU_EXIT },
	};
	unsigned int i;
	u64 hpa = 0;
	struct td td;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char name[80];

		snprintf(name, sizeof(name), "access, level %u %s", t[i].level,
			 state_name(t[i].state));
		td_new(&td, 1, true);
		test_begin(name);
		CHECK(put_state(&td, GPA, t[i].level, t[i].state, &hpa));
		for (access_bits = 1; access_bits < 8; access_bits++) {
			gpa = GPA + (t[i].level ? 5 * PAGE : 0) + 0x123;
			run(&td, do_access);
			CHECK_EQ(result, t[i].want);
			if (t[i].want == TDXEMU_OK) {
				CHECK_EQ(a.hpa, hpa + gpa - GPA);
				CHECK_EQ(a.level, t[i].level);
				continue;
			}
			CHECK_EQ(a.qual, access_bits);
			CHECK_EQ(a.ext, t[i].ext);
			CHECK_EQ(a.gpa, gpa & ~(PAGE - 1));
		}
		td_end(&td);
		test_end();
	}
	test_begin("access to a pending page, on a module that does not say so");
	{
		static const struct boot b = {
			.features0 = TDXEMU_F0_DEFAULT & ~TDXEMU_F0_PENDING_VIOLATION,
		};

		host_boot(&b);
		td_new(&td, 1, true);
		CHECK(put_state(&td, GPA, 0, S_PENDING, NULL));
		gpa = GPA;
		run(&td, do_access);
		CHECK_EQ(result, TDXEMU_EXIT);
		CHECK_EQ(a.ext, 0);
		td_end(&td);
		host_boot(NULL);
	}
	test_end();
	td_new(&td, 1, true);
	test_begin("access to shared addresses, and beyond all");
	access_bits = TDXEMU_READ;
	gpa = 1ull << 47 | GPA;
	run(&td, do_access);
	CHECK_EQ(result, TDXEMU_SHARED);
	gpa = 1ull << 48;
	run(&td, do_access);
	CHECK_EQ(result, TDXEMU_PF_RSVD);
	td_end(&td);
	test_end();
}

static u64 gpr[16];
static u64 tdcall_status;

static void do_vm_wr(struct tdxemu_vp *vp)
{
	tdcall_status = tdxemu_vm_wr(vp, gpr);
}

static void do_vm_rd(struct tdxemu_vp *vp)
{
	tdcall_status = tdxemu_vm_rd(vp, gpr);
}

/* Who decides about #VE for a pending page: ATTRIBUTES, or the guest if it may. */
static void test_pending(void)
{
	static const struct {
		u64 attributes, flags;
		bool guest_disables;
		enum tdxemu_access_result want;
	} t[] = {
		{ 0, 0, false, TDXEMU_VE },
		{ ATTR_SEPT_VE_DISABLE, 0, false, TDXEMU_EXIT },
		{ 0, CONFIG_FLEXIBLE_PENDING_VE, false, TDXEMU_VE },
		{ 0, CONFIG_FLEXIBLE_PENDING_VE, true, TDXEMU_EXIT },
		{ ATTR_SEPT_VE_DISABLE, CONFIG_FLEXIBLE_PENDING_VE, false, TDXEMU_EXIT },
	};
	unsigned int i, j;
	struct td td;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char name[80];
		u64 *p;

		snprintf(name, sizeof(name), "pending page, attributes %#llx flags %#llx%s",
			 t[i].attributes, t[i].flags, t[i].guest_disables ? ", #VE off" : "");
		host_boot(NULL);
		/* td_new() with other parameters */
		memset(&td, 0, sizeof(td));
		test_begin(name);
		td.tdr = host_page();
		td.hkid = FIRST_KEYID + 1;
		CALL(MNG_CREATE, td.tdr, td.hkid, 0, 0);
		CALL(MNG_KEY_CONFIG, td.tdr, 0, 0, 0);
		host.cpu = 2;
		CALL(MNG_KEY_CONFIG, td.tdr, 0, 0, 0);
		host.cpu = 0;
		for (j = 0; j < NR_TDCX; j++)
			CALL(MNG_ADDCX, host_page(), td.tdr, 0, 0);
		p = host_va(td_params());
		p[0] = t[i].attributes;
		p[4] |= t[i].flags;
		CALL(MNG_INIT, td.tdr, SCRATCH + 64 * PAGE, 0, 0);
		td.vp[0] = host_page();
		CALL(VP_CREATE, td.vp[0], td.tdr, 0, 0);
		for (j = 0; j < NR_TDVPX; j++)
			CALL(VP_ADDCX, host_page(), td.vp[0], 0, 0);
		CALL(VP_INIT | 1 << 16, td.vp[0], 0, 0, 0);
		CALL(MR_FINALIZE, td.tdr, 0, 0, 0);
		td_tables(&td, GPA, 0);
		CALL(MEM_PAGE_AUG, GPA, td.tdr, host_page(), 0);
		gpr[2] = 0x1110000300000017;
		gpr[8] = gpr[9] = 1;
		if (t[i].guest_disables) {
			run(&td, do_vm_wr);
			CHECK_EQ(tdcall_status, 0);
			CHECK_EQ(gpr[8], 0);
			run(&td, do_vm_rd);
			CHECK_EQ(gpr[8], 1);
		} else if (!(t[i].flags & CONFIG_FLEXIBLE_PENDING_VE)) {
			run(&td, do_vm_wr);
			CHECK_EQ(tdcall_status, ST_OPERAND_INVALID | OP_R8);
		}
		gpa = GPA;
		access_bits = TDXEMU_WRITE;
		run(&td, do_access);
		CHECK_EQ(result, t[i].want);
		CHECK_EQ(a.qual, TDXEMU_WRITE);
		CHECK_EQ(a.gpa, GPA);
		test_end();
	}
	host_boot(NULL);
}

/* ACCEPT at each level against each state of each level. */
static void test_accept(void)
{
#define EXIT_CELL	~0ull
	static const struct {
		u8 level, state, ask;
		u64 want;		/* EXIT_CELL, or the guest's RAX */
	} t[] = {
		{ 0, S_PENDING, 0, 0 },
		{ 1, S_PENDING, 1, 0 },
		{ 0, S_MAPPED, 0, ST_PAGE_ALREADY_ACCEPTED | 0 },
		{ 1, S_MAPPED, 1, ST_PAGE_ALREADY_ACCEPTED | 1 },
		{ 1, S_MAPPED, 0, ST_PAGE_ALREADY_ACCEPTED | 1 },
		{ 1, S_PENDING, 0, EXIT_CELL },
		{ 0, S_BLOCKED, 0, EXIT_CELL },
		{ 0, S_PENDING_BLOCKED, 0, EXIT_CELL },
		{ 1, S_BLOCKED, 1, EXIT_CELL },
		{ 1, S_PENDING_BLOCKED, 1, EXIT_CELL },
		{ 1, S_BLOCKED, 0, EXIT_CELL },
		{ 1, S_PENDING_BLOCKED, 0, EXIT_CELL },
		{ 0, S_FREE, 0, EXIT_CELL },
		{ 1, S_FREE, 1, EXIT_CELL },
		{ 1, S_FREE, 0, EXIT_CELL },
		{ 2, S_FREE, 1, EXIT_CELL },
		{ 3, S_FREE, 1, EXIT_CELL },
		{ 1, S_NL_MAPPED, 1, ST_PAGE_SIZE_MISMATCH | 1 },
		{ 1, S_NL_BLOCKED, 1, ST_PAGE_SIZE_MISMATCH | 1 },
		{ 1, S_NL_MAPPED, 0, EXIT_CELL },
		{ 1, S_NL_BLOCKED, 0, EXIT_CELL },
		{ 2, S_NL_BLOCKED, 1, EXIT_CELL },
	};
	static const u64 bad[] = { GPA | 2, GPA | 7, GPA | 8, (GPA + PAGE) | 1, 1ull << 47,
				   1ull << 52 };
	unsigned int i;
	struct td td;
	u64 hpa;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		unsigned int found = t[i].state == S_NL_MAPPED ? 0 : t[i].level;
		char name[80];

		snprintf(name, sizeof(name), "ACCEPT level %u at %s level %u", t[i].ask,
			 state_name(t[i].state), t[i].level);
		td_new(&td, 1, true);
		test_begin(name);
		CHECK(put_state(&td, GPA, t[i].level, t[i].state, &hpa));
		if (t[i].state == S_PENDING)
			memset(host_va(hpa), 0x77, t[i].level ? 2 * MB : PAGE);
		rcx = GPA | t[i].ask;
		run(&td, do_accept);
		if (t[i].want != EXIT_CELL) {
			CHECK_EQ(result, TDXEMU_STATUS);
			CHECK_EQ(a.status, t[i].want);
		} else {
			CHECK_EQ(result, TDXEMU_EXIT);
			CHECK_EQ(a.gpa, GPA);
			/* Type, level asked for, level and state found, leaf. */
			CHECK_EQ(a.ext & 15, 1);
			CHECK_EQ(a.ext >> 32 & 7, t[i].ask);
			CHECK_EQ(a.ext >> 35 & 7, found);
			CHECK_EQ(a.ext >> 38 & 0xff, t[i].state == S_NL_MAPPED ? S_FREE : t[i].state);
			CHECK_EQ(a.ext >> 46 & 1, t[i].state < S_NL_BLOCKED && t[i].state != S_FREE);
			CHECK_EQ(a.ext & ~(0x7fffull << 32 | 15), 0);
		}
		if (!t[i].want) {
			u64 *p = host_va(hpa), n = (t[i].level ? 2 * MB : PAGE) / 8, k;

			for (k = 0; k < n && !p[k]; k++)
				;
			CHECK_EQ(k, n);
			rcx = GPA | t[i].ask;
			run(&td, do_accept);
			CHECK_EQ(a.status, ST_PAGE_ALREADY_ACCEPTED | t[i].ask);
		}
		td_end(&td);
		test_end();
	}
	td_new(&td, 1, true);
	test_begin("ACCEPT, operands");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		rcx = bad[i];
		run(&td, do_accept);
		CHECK_EQ(result, TDXEMU_STATUS);
		CHECK_EQ(a.status, ST_OPERAND_INVALID | OP_RCX);
	}
	td_end(&td);
	test_end();
}

/* How many 4 KiB pages of a block are zero. */
static unsigned int zeroed(u64 hpa)
{
	unsigned int i, n = 0;

	for (i = 0; i < 512; i++)
		n += !*(u64 *)host_va(hpa + i * PAGE);
	return n;
}

static void test_interrupted(void)
{
	static const struct {
		const char *name;
		u16 leaf;		/* between two tries */
	} t[] = {
		{ "nothing", 0 }, { "BLOCK and UNBLOCK", MEM_RANGE_UNBLOCK },
		{ "BLOCK, DEMOTE and PROMOTE", MEM_PAGE_DEMOTE },
	};
	unsigned int i;
	struct td td;
	u64 hpa;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		char name[80];

		snprintf(name, sizeof(name), "ACCEPT of 2 MiB is interrupted, then %s", t[i].name);
		td_new(&td, 1, true);
		test_begin(name);
		CHECK(put_state(&td, GPA, 1, S_PENDING, &hpa));
		memset(host_va(hpa), 0x77, 2 * MB);
		rcx = GPA | 1;
		host.irq_after = 10;
		run(&td, do_accept);
		CHECK_EQ(result, TDXEMU_INTERRUPTED);
		CHECK_EQ(zeroed(hpa), 10);
		CALL(MEM_SEPT_RD, GPA | 1, td.tdr, 0, 0);
		CHECK_EQ(out.rdx, S_PENDING << 8 | 1);
		CHECK_EQ(out.rcx & 0x000ffffffffff000ull, hpa);
		host.irq = false;
		if (t[i].leaf) {
			CALL(MEM_RANGE_BLOCK, GPA | 1, td.tdr, 0, 0);
			CHECK_EQ(td_track(&td), 0);
			CALL(t[i].leaf, GPA | 1, td.tdr, host_page(), 0);
			if (t[i].leaf == MEM_PAGE_DEMOTE) {
				CALL(MEM_RANGE_BLOCK, GPA | 1, td.tdr, 0, 0);
				CHECK_EQ(td_track(&td), 0);
				CALL(MEM_PAGE_PROMOTE, GPA | 1, td.tdr, 0, 0);
			}
		}
		/* Where it left off, or from the start: seen by what it zeroes again. */
		memset(host_va(hpa), 0x77, 2 * MB);
		run(&td, do_accept);
		CHECK_EQ(result, TDXEMU_STATUS);
		CHECK_EQ(a.status, 0);
		CHECK_EQ(zeroed(hpa), t[i].leaf ? 512 : 502);
		CHECK_EQ(tdxemu_check_td(tdxemu_td_at(td.tdr)), 0);
		td_end(&td);
		test_end();
	}
}

static void do_calls(struct tdxemu_vp *vp)
{
	CHECK_EQ(tdxemu_vp_info(vp, gpr), 0);
	CHECK_EQ(gpr[1], 48);
	CHECK_EQ(gpr[2], ATTR_SEPT_VE_DISABLE);
	CHECK_EQ(gpr[8], 2 | (u64)MAX_VCPUS << 32);
	CHECK_EQ(gpr[9], 0);
	CHECK_EQ(tdxemu_veinfo_get(vp, gpr), ST_NO_VALID_VE_INFO);
	CHECK(!tdxemu_veinfo_pending(vp));
	CHECK(tdxemu_veinfo_set(vp, 48, 2, 0x1000, 0x2000, 3, 7));
	/* The second is a double fault. */
	CHECK(tdxemu_veinfo_pending(vp));
	CHECK(!tdxemu_veinfo_set(vp, 48, 2, 0x1000, 0x2000, 3, 7));
	CHECK_EQ(tdxemu_veinfo_get(vp, gpr), 0);
	CHECK_EQ(gpr[1], 48);
	CHECK_EQ(gpr[2], 2);
	CHECK_EQ(gpr[8], 0x1000);
	CHECK_EQ(gpr[9], 0x2000);
	CHECK_EQ(gpr[10], 7ull << 32 | 3);
	CHECK_EQ(tdxemu_veinfo_get(vp, gpr), ST_NO_VALID_VE_INFO);
	gpr[2] = 0x1110000300000016;
	CHECK_EQ(tdxemu_vm_rd(vp, gpr), 0);
	CHECK_EQ(gpr[8], CONFIG_NO_RBP_MOD);
	CHECK_EQ(tdxemu_vm_wr(vp, gpr), ST_METADATA_FIELD_NOT_WRITABLE);
	gpr[2] = 0x9100000000000010;
	gpr[8] = gpr[9] = 1;
	CHECK_EQ(tdxemu_vm_wr(vp, gpr), 0);
	CHECK_EQ(gpr[8], 0);
	CHECK_EQ(tdxemu_vm_rd(vp, gpr), 0);
	CHECK_EQ(gpr[8], 1);
	gpr[2] = 0x9100000000000019;
	CHECK_EQ(tdxemu_vm_rd(vp, gpr), 0);
	gpr[2] = 0x9100000000000099;
	CHECK_EQ(tdxemu_vm_rd(vp, gpr), ST_METADATA_FIELD_ID_INCORRECT);
	CHECK_EQ(tdxemu_vm_wr(vp, gpr), ST_METADATA_FIELD_ID_INCORRECT);
}

void test_guest(void)
{
	struct td td;

	host_boot(NULL);
	test_access();
	test_pending();
	test_accept();
	test_interrupted();
	td_new(&td, 2, true);
	test_begin("VP.INFO, VEINFO.GET, VM.RD, VM.WR");
	run(&td, do_calls);
	td_end(&td);
	test_end();
}
