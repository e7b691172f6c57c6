// SPDX-License-Identifier: GPL-2.0
/* vCPUs: life cycle, fields, entry, exits, TDVMCALL. */

#include "unit.h"

static void test_build(void)
{
	u64 vp, page, i;
	struct td td, other;

	host_boot(NULL);
	td_new(&td, 1, false);
	td_new(&other, 1, true);
	test_begin("VP.CREATE, ADDCX, INIT");
	vp = host_page();
	page = host_page();
	CHECK_EQ(call(VP_CREATE, vp + 1, td.tdr, 0, 0), ST_OPERAND_INVALID | OP_RCX);
	CHECK_EQ(call(VP_CREATE, td.root, td.tdr, 0, 0), ST_PAGE_METADATA_INCORRECT | OP_RCX);
	CHECK_EQ(call(VP_CREATE, vp, other.tdr, 0, 0), ST_OP_STATE_INCORRECT | TD_RUNNABLE);
	CALL(VP_CREATE, vp, td.tdr, 0, 0);
	CHECK_EQ(call(VP_INIT | 1 << 16, vp, 0, 5, 0), ST_TDCX_NUM_INCORRECT);
	CHECK_EQ(call(VP_ADDCX, page, td.root, 0, 0), ST_PAGE_METADATA_INCORRECT | OP_RDX);
	CHECK_EQ(call(VP_ADDCX, td.root, vp, 0, 0), ST_PAGE_METADATA_INCORRECT | OP_RCX);
	for (i = 0; i < NR_TDVPX; i++)
		CALL(VP_ADDCX, i ? host_page() : page, vp, 0, 0);
	CHECK_EQ(call(VP_ADDCX, host_page(), vp, 0, 0), ST_TDCX_NUM_INCORRECT);
	CHECK_EQ(call(VP_INIT | 1 << 16, vp, 0, 0, 0), ST_X2APIC_ID_NOT_UNIQUE | 0);
	CHECK_EQ(call(VP_INIT | 1 << 16, vp, 0, 1ull << 32, 0), ST_OPERAND_INVALID | OP_R8);
	CHECK_EQ(call(VP_RD, vp, 0x203c, 0, 0), ST_VCPU_STATE_INCORRECT);
	CHECK_EQ(call(VP_WR, vp, 0x203c, 0, ~0ull), ST_VCPU_STATE_INCORRECT);
	CALL(VP_INIT | 1 << 16, vp, 0, 5, 0);
	CHECK_EQ(call(VP_INIT | 1 << 16, vp, 0, 6, 0), ST_VCPU_STATE_INCORRECT);
	CHECK_EQ(call(VP_ADDCX, host_page(), vp, 0, 0), ST_VCPU_STATE_INCORRECT);
	CHECK_EQ(call(VP_ENTER, vp, 0, 0, 0), ST_OP_STATE_INCORRECT | TD_INITIALIZED);
	CHECK_EQ(host.vps, 3);
	/* It is associated with the CPU that initialised it. */
	host.cpu = 1;
	CHECK_EQ(call(VP_WR, vp, 0x203c, 0, ~0ull), ST_VCPU_ASSOCIATED);
	host.cpu = 0;
	td.vp[td.nr_vcpus++] = vp;
	td_end(&td);
	td_end(&other);
	CHECK_EQ(host.vps, 0);
	CHECK_EQ(host_nr_owned(), 0);
	test_end();

	test_begin("VP.INIT: more vCPUs than the TD may have; no memory for one");
	td_new(&td, MAX_VCPUS, false);
	vp = host_page();
	CALL(VP_CREATE, vp, td.tdr, 0, 0);
	for (i = 0; i < NR_TDVPX; i++)
		CALL(VP_ADDCX, host_page(), vp, 0, 0);
	CHECK_EQ(call(VP_INIT | 1 << 16, vp, 0, 77, 0), ST_MAX_VCPUS_EXCEEDED);
	td_end(&td);
	td_new(&td, 0, false);
	CHECK_EQ(call(MR_FINALIZE, td.tdr, 0, 0, 0), ST_NO_VCPUS);
	vp = host_page();
	CALL(VP_CREATE, vp, td.tdr, 0, 0);
	for (i = 0; i < NR_TDVPX; i++)
		CALL(VP_ADDCX, host_page(), vp, 0, 0);
	host.refuse_vp = true;
	CHECK_EQ(call(VP_INIT | 1 << 16, vp, 0, 77, 0), ST_OPERAND_BUSY | OP_RCX);
	host.refuse_vp = false;
	CHECK_EQ(call(VP_INIT | 1 << 16, vp, 0, 77, 0), ST_VCPU_STATE_INCORRECT);
	td_end(&td);
	CHECK_EQ(host.vps, 0);
	test_end();
}

static void test_fields(void)
{
	static const struct {
		const char *name;
		u64 field, value, mask, want, kept;
	} t[] = {
		{ "notification vector", 0x0002, 0xf2, 0xffff, 0, 0xf2 },
		{ "notification vector, too wide", 0x0002, 0x1f2f2, ~0ull, ST_METADATA_FIELD_NOT_WRITABLE },
		{ "descriptor", 0x2016, 0x123456789ac0, ~0ull, 0, 0x123456789ac0 },
		{ "posted interrupts", 0x4000, 1 << 7, 1 << 7, 0, 1 << 7 },
		{ "other pin-based control", 0x4000, 1, 1, ST_METADATA_FIELD_NOT_WRITABLE },
		{ "shared EPT", 0x203c, 0x555000, ~0ull, 0, 0x555000 },
		{ "shared EPT, half of it", 0x203c, ~0ull, 0xff000, 0, 0xff000 },
		{ "NMI", 32ull << 56 | 11, 1, 1, 0, 1 },
		{ "NMI, with type bits", 0x2000000000000000ull | 11, 1, 0xff, 0, 1 },
		{ "unknown", 0x6000, 1, 1, ST_METADATA_FIELD_ID_INCORRECT },
		{ "state details", 1ull << 63 | 17ull << 56 | 0x100, 1, 1, ST_METADATA_FIELD_NOT_WRITABLE },
	};
	unsigned int i;
	char name[64];
	struct td td;
	u64 v;

	for (i = 0; i < sizeof(t) / sizeof(t[0]); i++) {
		snprintf(name, sizeof(name), "VP.WR: %s", t[i].name);
		td_new(&td, 1, true);
		test_begin(name);
		if (!t[i].want) {
			CALL(VP_RD, td.vp[0], t[i].field, 9, 0);
			CHECK_EQ(out.r8, 0);
		}
		CHECK_EQ(call(VP_WR, td.vp[0], t[i].field, t[i].value, t[i].mask), t[i].want);
		if (!t[i].want) {
			CHECK_EQ(out.r8, 0);
			CALL(VP_RD, td.vp[0], t[i].field, 0, 0);
			CHECK_EQ(out.r8, t[i].kept);
			CHECK(tdxemu_vp_field(tdxemu_vp_at(td.vp[0]), t[i].field, &v) && v == t[i].kept);
			CALL(VP_WR, td.vp[0], t[i].field, 0, t[i].mask);
			CHECK_EQ(out.r8, t[i].kept);
		}
		td_end(&td);
		test_end();
	}
	td_new(&td, 1, true);
	test_begin("VP.RD, NMI, shared EPT");
	CALL(VP_RD, td.vp[0], 1ull << 63 | 17ull << 56 | 0x100, 0, 0);
	CHECK_EQ(out.r8, 0);
	CHECK_EQ(call(VP_RD, td.vp[0], 0x6000, 0, 0), ST_METADATA_FIELD_ID_INCORRECT);
	CALL(VP_WR, td.vp[0], 32ull << 56 | 11, 1, 1);
	CHECK(tdxemu_take_nmi(tdxemu_vp_at(td.vp[0])));
	CHECK(!tdxemu_take_nmi(tdxemu_vp_at(td.vp[0])));
	CALL(VP_WR, td.vp[0], 0x203c, 0x777000, ~0ull);
	CHECK_EQ(tdxemu_shared_eptp(tdxemu_vp_at(td.vp[0])), 0x777000);
	td_end(&td);
	test_end();
}

static u64 exit_rax;
static struct tdxemu_args exit_args;

static u64 guest_exit(struct tdxemu_vp *vp, struct tdxemu_args *args)
{
	*args = exit_args;
	return exit_rax;
}

static void test_exits(void)
{
	struct td td;
	u64 all = 0xdeadbeefdeadbfff;

	host_boot(NULL);
	td_new(&td, 2, true);
	test_begin("registers of an exit");
	memset(&exit_args, 0xa5, sizeof(exit_args));
	exit_args.rcx = exit_args.r8 = all;
	exit_rax = EXIT_EPT_VIOLATION;
	CHECK_EQ(td_enter(&td, 0, guest_exit), EXIT_EPT_VIOLATION);
	CHECK_EQ(out.rcx, all & ~0x1f80ull);
	CHECK_EQ(out.r8, all & ~0xfffull);
	CHECK_EQ(out.rdx, exit_args.rdx);
	CHECK_EQ(out.r9, exit_args.r9);
	CHECK_EQ(out.r10 | out.r11 | out.r12 | out.r13 | out.r14 | out.r15, 0);
	CHECK_EQ(out.rbx | out.rsi | out.rdi, 0);
	exit_rax = EXIT_EXTERNAL_INTERRUPT;
	CHECK_EQ(td_enter(&td, 0, guest_exit), EXIT_EXTERNAL_INTERRUPT);
	CHECK_EQ(out.rcx, all);
	test_end();
	test_begin("triple fault: this vCPU is done, the other is not");
	exit_rax = ST_NON_RECOVERABLE_VCPU | EXIT_TRIPLE_FAULT;
	CHECK_EQ(td_enter(&td, 0, guest_exit), exit_rax);
	CHECK_EQ(td_enter(&td, 0, NULL), ST_VCPU_STATE_INCORRECT);
	CHECK_EQ(td_enter(&td, 1, NULL), EXIT_EXTERNAL_INTERRUPT);
	test_end();
	test_begin("fatal to the TD");
	exit_rax = ST_NON_RECOVERABLE_TD | 48;
	CHECK_EQ(td_enter(&td, 1, guest_exit), exit_rax);
	CHECK_EQ(td_enter(&td, 1, NULL), ST_TD_FATAL);
	CHECK_EQ(call(MEM_SEPT_RD, GPA | 3, td.tdr, 0, 0), ST_TD_FATAL);
	td_end(&td);
	test_end();
	test_begin("entry, operands");
	td_new(&td, 1, true);
	CHECK_EQ(call(VP_ENTER, td.vp[0] | 1, 0, 0, 0), ST_OPERAND_INVALID | OP_RCX);
	CHECK_EQ(call(VP_ENTER, td.tdr, 0, 0, 0), ST_PAGE_METADATA_INCORRECT | OP_RCX);
	CHECK_EQ(call(VP_ENTER, TDMR_SIZE, 0, 0, 0), ST_OPERAND_ADDR_RANGE_ERROR | OP_RCX);
	host.tsc = 5;
	CHECK_EQ(td_enter(&td, 0, NULL), EXIT_EXTERNAL_INTERRUPT);
	host.tsc = 1;
	CHECK_EQ(td_enter(&td, 0, NULL), ST_TSC_ROLLBACK);
	host.tsc = 9;
	CHECK_EQ(td_enter(&td, 0, NULL), EXIT_EXTERNAL_INTERRUPT);
	td_end(&td);
	test_end();
	test_begin("fatal statuses as the module source has them");
	{
		static const struct boot b = {
			.features0 = TDXEMU_F0_DEFAULT, .fatal_encodings = true,
		};

		host_boot(&b);
		td_new(&td, 1, true);
		exit_rax = ST_NON_RECOVERABLE_TD | 48;
		CHECK_EQ(td_enter(&td, 0, guest_exit), ST_NON_RECOVERABLE_TD_MODULE | 48);
		CHECK_EQ(td_enter(&td, 0, NULL), ST_TD_FATAL);
		td_end(&td);
	}
	test_end();
}

/* A vCPU is in the guest; the same one is asked for again. */
static struct td twice;

static u64 guest_again(struct tdxemu_vp *vp, struct tdxemu_args *args)
{
	host.guest = NULL;
	CHECK_EQ(call(VP_ENTER, twice.vp[0], 0, 0, 0), ST_VCPU_STATE_INCORRECT);
	CHECK_EQ(call(VP_FLUSH, twice.vp[0], 0, 0, 0), ST_OPERAND_BUSY | OP_RCX);
	host.cpu = 1;
	CHECK_EQ(call(VP_ENTER, twice.vp[0], 0, 0, 0), ST_VCPU_STATE_INCORRECT);
	CHECK_EQ(call(VP_RD, twice.vp[0], 0x203c, 0, 0), ST_VCPU_STATE_INCORRECT);
	CHECK_EQ(call(VP_FLUSH, twice.vp[0], 0, 0, 0), ST_OPERAND_BUSY | OP_RCX);
	CHECK_EQ(call(VP_ENTER, twice.vp[1], 0, 0, 0), EXIT_EXTERNAL_INTERRUPT);
	host.cpu = 0;
	return EXIT_EXTERNAL_INTERRUPT;
}

static u64 vmcall_mask;

static u64 guest_vmcall(struct tdxemu_vp *vp, struct tdxemu_args *args)
{
	u64 gpr[16], s;
	unsigned int i;

	for (i = 0; i < 16; i++)
		gpr[i] = 0x1000 + i;
	gpr[1] = vmcall_mask;
	s = tdxemu_vmcall(vp, gpr, args);
	return s ? s : EXIT_TDCALL;
}

static u64 resumed[16];

static u64 guest_resume(struct tdxemu_vp *vp, struct tdxemu_args *args)
{
	unsigned int i;

	for (i = 0; i < 16; i++)
		resumed[i] = 0x2000 + i;
	tdxemu_vmcall_resume(vp, resumed, args);
	return EXIT_EXTERNAL_INTERRUPT;
}

static u64 reg(const struct tdxemu_args *a, unsigned int i)
{
	const u64 r[16] = { 0, 0, a->rdx, a->rbx, 0, 0, a->rsi, a->rdi, a->r8, a->r9,
			    a->r10, a->r11, a->r12, a->r13, a->r14, a->r15 };

	return r[i];
}

static void test_vmcall(void)
{
	static const u64 bad[] = { 1, 2, 1 << 4, 1 << 5, 1ull << 32, 1ull << 63 };
	unsigned int i, j;
	char name[64];
	struct td td;

	td_new(&td, 1, true);
	for (i = 0; i < 18; i++) {
		/* Each register alone; all; none. */
		vmcall_mask = i == 16 ? 0xffcc : i == 17 ? 0 : 1ull << i & 0xffcc;
		if (i < 16 && !vmcall_mask)
			continue;
		snprintf(name, sizeof(name), "TDVMCALL, registers %#llx", vmcall_mask);
		test_begin(name);
		CHECK_EQ(td_enter(&td, 0, guest_vmcall), EXIT_TDCALL);
		CHECK_EQ(out.rcx, vmcall_mask);
		for (j = 2; j < 16; j++)
			if (j != 4 && j != 5)
				CHECK_EQ(reg(&out, j), vmcall_mask >> j & 1 ? 0x1000 + j : 0);
		CHECK_EQ(td_enter(&td, 0, guest_resume), EXIT_EXTERNAL_INTERRUPT);
		CHECK_EQ(resumed[0], 0);
		for (j = 1; j < 16; j++)
			if (j != 2 && j != 8 && j != 9)
				CHECK_EQ(resumed[j], vmcall_mask >> j & 1 ? 0 : 0x2000 + j);
		/* Only once. */
		CHECK_EQ(td_enter(&td, 0, guest_resume), EXIT_EXTERNAL_INTERRUPT);
		for (j = 0; j < 16; j++)
			CHECK_EQ(resumed[j], 0x2000 + j);
		test_end();
	}
	test_begin("TDVMCALL, registers that cannot be passed");
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		vmcall_mask = bad[i];
		CHECK_EQ(td_enter(&td, 0, guest_vmcall), ST_OPERAND_INVALID | OP_RCX);
	}
	/* XMM registers may be asked for. */
	vmcall_mask = 0xffff0000;
	CHECK_EQ(td_enter(&td, 0, guest_vmcall), EXIT_TDCALL);
	CHECK_EQ(out.rcx, vmcall_mask);
	td_end(&td);
	test_end();
}

/* A TD whose x2APIC IDs are being changed lets nobody else in, and the other way. */
static struct td list;
static u64 list_vp;

static bool refuse_all(struct tdxemu_vp *vp, const struct tdxemu_vp_init *init)
{
	host.cpu = 3;
	CHECK_EQ(call(MEM_SEPT_RD, GPA | 3, list.tdr, 0, 0), ST_OPERAND_BUSY | OP_RDX);
	CHECK_EQ(call(PHYMEM_PAGE_RDMD, list_vp, 0, 0, 0), ST_OPERAND_BUSY | OP_RCX);
	host.cpu = 0;
	return true;
}

static u64 guest_list(struct tdxemu_vp *vp, struct tdxemu_args *args)
{
	host.cpu = 3;
	CHECK_EQ(call(VP_INIT | 1 << 16, list_vp, 0, 9, 0), ST_OPERAND_BUSY | OP_TDR);
	host.cpu = 0;
	return EXIT_EXTERNAL_INTERRUPT;
}

static void test_init_lock(void)
{
	bool (*vp_init)(struct tdxemu_vp *, const struct tdxemu_vp_init *) = host.p.vp_init;
	unsigned int i, version;

	for (version = 0; version < 2; version++) {
		test_begin(version ? "VP.INIT version 1 is alone at the TD" :
			   "VP.INIT version 0 is not");
		host.p.vp_init = version ? refuse_all : NULL;
		host_boot_platform();
		td_new(&list, 0, false);
		list_vp = host_page();
		CALL(VP_CREATE, list_vp, list.tdr, 0, 0);
		for (i = 0; i < NR_TDVPX; i++)
			CALL(VP_ADDCX, host_page(), list_vp, 0, 0);
		CALL(VP_INIT | version << 16, list_vp, 0, 5, 0);
		test_end();
	}
	host.p.vp_init = vp_init;
	host_boot(NULL);
	/* A vCPU that runs keeps the TDR, which is seen before the wrong op_state. */
	test_begin("VP.INIT finds the TD in use");
	td_new(&list, 2, true);
	list_vp = list.vp[1];
	td_enter(&list, 0, guest_list);
	td_end(&list);
	test_end();
}

void test_vcpu(void)
{
	test_build();
	test_fields();
	test_exits();
	test_init_lock();
	td_new(&twice, 2, true);
	test_begin("a vCPU that runs is entered again");
	CHECK_EQ(td_enter(&twice, 0, guest_again), EXIT_EXTERNAL_INTERRUPT);
	/* Outside it is a matter of the CPU that it is associated with. */
	host.cpu = 1;
	CHECK_EQ(call(VP_ENTER, twice.vp[0], 0, 0, 0), ST_VCPU_ASSOCIATED);
	CHECK_EQ(call(VP_RD, twice.vp[0], 0x203c, 0, 0), ST_VCPU_ASSOCIATED);
	CHECK_EQ(call(VP_FLUSH, twice.vp[0], 0, 0, 0), ST_VCPU_NOT_ASSOCIATED);
	host.cpu = 0;
	CALL(VP_FLUSH, twice.vp[0], 0, 0, 0);
	CHECK_EQ(call(VP_FLUSH, twice.vp[0], 0, 0, 0), ST_VCPU_NOT_ASSOCIATED);
	host.cpu = 1;
	CALL(VP_FLUSH, twice.vp[1], 0, 0, 0);
	CALL(MNG_VPFLUSHDONE, twice.tdr, 0, 0, 0);
	CHECK_EQ(call(VP_FLUSH, twice.vp[1], 0, 0, 0), ST_TD_KEYS_NOT_CONFIGURED);
	host_boot(NULL);
	test_end();
	test_vmcall();
}
