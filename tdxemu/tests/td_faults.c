// SPDX-License-Identifier: GPL-2.0
/*
 * The TDX module fails while KVM splits huge pages of a TD and takes memory away:
 * each SEAMCALL that this needs, once with each status that the host may see.
 *
 *	td_faults [build|absorbed|refused|fatal|convert]...
 *
 * build: a TD cannot be created, for want of entropy, until there is some.
 * absorbed: KVM copes with it, and the result is exact.
 * refused: a page is not split.  Nothing has changed, and the VM runs on.
 * fatal: the VM is bugged.  What the module may still have is not used for anything
 *	else until the TD has ended, and comes back then.
 * convert: all of these, of conversions to shared.
 *
 * Linked with the library of the KVM selftests, as a test of theirs.
 */
#include <fcntl.h>
#include <linux/falloc.h>

#include "test_util.h"
#include "kvm_util.h"
#include "processor.h"
#include "tdx_agent.h"

#define TDXEMU		"/sys/kernel/debug/tdxemu/"
#define LEAF		TD_PAGES_2M
#define PAGE		200		/* the one that goes */
#define NR_LEAVES	12		/* of a TD, before there is another one */

/* Statuses, and locks as operands of BUSY. */
#define EVER		"times=0xffffffffffffffff"
#define TDR		"operand=0x80"
#define TREE		"operand=0x92"
#define EPOCH		"operand=0xa9"
#define OP_STATE	"operand=0xac"
#define ENTRY		"operand=1"
#define R8		"operand=8"

/* "level" is of the operand: 0 for 4 KiB, 1 for 2 MiB. */
#define BLOCK_2M	"leaf=7 level=1 "
#define BLOCK_4K	"leaf=7 level=0 "
#define DEMOTE		"leaf=15 level=1 "
#define UNBLOCK		"leaf=39 level=1 "
#define REMOVE_2M	"leaf=29 level=1 "
#define REMOVE_4K	"leaf=29 level=0 "
#define TRACK_1		"leaf=38 "
#define TRACK_2		"leaf=38 skip=1 "
#define WBINVD		"leaf=41 "
#define SEPT_ADD	"leaf=3 level=1 "
#define AUG_4K		"leaf=6 level=0 "
#define AUG_2M		"leaf=6 level=1 "

#define BUSY		"kind=busy "
#define STATUS(s)	"kind=status status=" #s " "
#define WALK_FAILED	STATUS(0xc0000b0000000001)
#define NOT_BLOCKED	STATUS(0xc0000b0600000001)
#define ALREADY_BLOCKED	STATUS(0x00000b0700000001)
#define NOT_TRACKED	STATUS(0xc0000b0800000001)
#define WRONG_STATE	STATUS(0xc0000b0d00000001)
#define WRONG_OP_STATE	STATUS(0xc000060800000000)
#define WRONG_PAGE	STATUS(0xc000030000000001)
#define WRONG_R8	STATUS(0xc000030000000008)
#define BUSY_PAGE	STATUS(0x8000020000000001)
#define FATAL		STATUS(0xe000060400000000)

enum op {
	PUNCH,		/* one page of a leaf */
	CONVERT,	/* the same, to shared */
	PUNCH_LEAF,	/* all of it */
	ACCEPT,		/* the guest accepts one page of a pending leaf */
	FAULT,		/* the guest accepts one page, and nothing is mapped yet */
	FAULT_LEAF,	/* the same with a leaf */
};

static const char *const op_names[] = {
	[PUNCH] = "punch a page",
	[CONVERT] = "convert a page",
	[PUNCH_LEAF] = "punch a leaf",
	[ACCEPT] = "accept a page",
	[FAULT] = "map and accept a page",
	[FAULT_LEAF] = "map and accept a leaf",
};

struct fault_case {
	const char *faults[2];
	int error;		/* of a refused split */
	bool filled;		/* the module has written the page table by then */
	unsigned int lost;	/* pages that the module keeps until the TD ends */
};

/* A lock is held, by a vCPU say.  KVM kicks all of them, and tries again. */
static const struct fault_case absorbed_split[] = {
	{ { BUSY BLOCK_2M TDR } },
	{ { BUSY BLOCK_2M OP_STATE } },
	{ { BUSY BLOCK_2M TREE } },
	{ { BUSY BLOCK_2M ENTRY } },
	{ { BUSY TRACK_1 TDR } },
	{ { BUSY TRACK_1 OP_STATE } },
	{ { BUSY TRACK_1 EPOCH } },
	{ { BUSY DEMOTE TDR } },
	{ { BUSY DEMOTE OP_STATE } },
	{ { BUSY DEMOTE TREE } },
	{ { BUSY DEMOTE ENTRY } },
	{ { BUSY DEMOTE R8 } },
	/* The page of the entry is locked last, after the new table has been filled. */
	{ { BUSY DEMOTE ENTRY " skip=1" } },
};

static const struct fault_case absorbed_zap[] = {
	{ { BUSY BLOCK_4K TREE } },
	{ { BUSY BLOCK_4K ENTRY } },
	{ { BUSY TRACK_2 EPOCH } },
	{ { BUSY REMOVE_4K TDR } },
	{ { BUSY REMOVE_4K OP_STATE } },
	{ { BUSY REMOVE_4K TREE } },
	{ { BUSY REMOVE_4K ENTRY } },
};

static const struct fault_case absorbed_zap_leaf[] = {
	{ { BUSY BLOCK_2M TREE } },
	{ { BUSY TRACK_1 EPOCH } },
	{ { BUSY REMOVE_2M TREE } },
	{ { BUSY REMOVE_2M ENTRY } },
};

/* The vCPU goes back to the guest, and faults again. */
static const struct fault_case absorbed_fault[] = {
	{ { BUSY SEPT_ADD TDR } },
	{ { BUSY SEPT_ADD OP_STATE } },
	{ { BUSY SEPT_ADD TREE } },
	{ { BUSY SEPT_ADD ENTRY } },
	{ { BUSY SEPT_ADD R8 } },
	{ { BUSY AUG_4K TDR } },
	{ { BUSY AUG_4K OP_STATE } },
	{ { BUSY AUG_4K TREE } },
	{ { BUSY AUG_4K ENTRY } },
	{ { BUSY AUG_4K R8 } },
	{ { BUSY SEPT_ADD TREE " times=20", BUSY AUG_4K TREE " times=20" } },
};

static const struct fault_case absorbed_fault_leaf[] = {
	{ { BUSY AUG_2M TREE } },
	{ { BUSY AUG_2M ENTRY } },
	{ { BUSY AUG_2M R8 } },
	{ { BUSY AUG_2M TREE " times=20" } },
};

/* All that DEMOTE may say.  What has been blocked is unblocked. */
static const struct fault_case refused_split[] = {
	{ { BUSY DEMOTE TREE " " EVER }, EBUSY },
	{ { BUSY DEMOTE ENTRY " " EVER }, EBUSY },
	{ { BUSY DEMOTE R8 " " EVER }, EBUSY },
	{ { BUSY DEMOTE TDR " " EVER }, EBUSY },
	{ { BUSY DEMOTE OP_STATE " " EVER }, EBUSY },
	/* Filled, and given back: it has to be written back. */
	{ { BUSY DEMOTE ENTRY " skip=1 " EVER }, EBUSY, .filled = true },
	{ { "kind=r8 " DEMOTE }, EPROTO },
	{ { "kind=restartable " DEMOTE }, EPROTO },
	{ { WALK_FAILED DEMOTE }, EPROTO },
	{ { NOT_BLOCKED DEMOTE }, EPROTO },
	{ { NOT_TRACKED DEMOTE }, EPROTO },
	{ { WRONG_STATE DEMOTE }, EPROTO },
	{ { WRONG_OP_STATE DEMOTE }, EPROTO },
	{ { FATAL DEMOTE }, EPROTO },
	{ { "kind=r8 " DEMOTE, BUSY UNBLOCK TREE }, EPROTO },
	{ { "kind=r8 " DEMOTE, BUSY UNBLOCK ENTRY }, EPROTO },
	{ { "kind=r8 " DEMOTE, BUSY UNBLOCK TDR }, EPROTO },
	{ { "kind=r8 " DEMOTE, BUSY UNBLOCK OP_STATE }, EPROTO },
};

/*
 * As long as the leaf has its place in the S-EPT it can be removed later, when the
 * TD ends: nothing is lost.
 */
static const struct fault_case fatal_split[] = {
	{ { BUSY BLOCK_2M TREE " " EVER } },
	{ { ALREADY_BLOCKED BLOCK_2M } },
	{ { WALK_FAILED BLOCK_2M } },
	{ { WRONG_STATE BLOCK_2M } },
	{ { FATAL BLOCK_2M } },
	{ { BUSY TRACK_1 EPOCH " " EVER } },
	{ { "kind=epoch-busy " TRACK_1 } },
	{ { WRONG_OP_STATE TRACK_1 } },
	{ { FATAL TRACK_1 } },
	{ { "kind=r8 " DEMOTE, NOT_TRACKED UNBLOCK } },
	{ { "kind=r8 " DEMOTE, WRONG_STATE UNBLOCK } },
	{ { "kind=r8 " DEMOTE, WALK_FAILED UNBLOCK } },
	{ { "kind=r8 " DEMOTE, FATAL UNBLOCK } },
	{ { "kind=r8 " DEMOTE, BUSY UNBLOCK TREE " " EVER } },
	{ { "kind=r8 " DEMOTE, WRONG_PAGE WBINVD } },
};

static const struct fault_case fatal_zap[] = {
	{ { BUSY BLOCK_4K TREE " " EVER }, .lost = 1 },
	{ { WRONG_STATE BLOCK_4K }, .lost = 1 },
	{ { ALREADY_BLOCKED BLOCK_4K }, .lost = 1 },
	{ { WALK_FAILED BLOCK_4K }, .lost = 1 },
	{ { FATAL BLOCK_4K }, .lost = 1 },
	{ { "kind=epoch-busy " TRACK_2 }, .lost = 1 },
	{ { BUSY REMOVE_4K TREE " " EVER }, .lost = 1 },
	{ { BUSY REMOVE_4K ENTRY " " EVER }, .lost = 1 },
	{ { NOT_TRACKED REMOVE_4K }, .lost = 1 },
	{ { NOT_BLOCKED REMOVE_4K }, .lost = 1 },
	{ { WALK_FAILED REMOVE_4K }, .lost = 1 },
	{ { WRONG_STATE REMOVE_4K }, .lost = 1 },
	{ { WRONG_PAGE REMOVE_4K }, .lost = 1 },
	{ { FATAL REMOVE_4K }, .lost = 1 },
	{ { WRONG_PAGE WBINVD }, .lost = 1 },
	{ { BUSY_PAGE WBINVD }, .lost = 1 },
};

static const struct fault_case fatal_zap_leaf[] = {
	{ { NOT_TRACKED REMOVE_2M }, .lost = LEAF },
	{ { WRONG_PAGE WBINVD "skip=100" }, .lost = LEAF },
};

/* Nothing has been given to the module, or was taken back: nothing is lost. */
static const struct fault_case fatal_fault[] = {
	{ { WALK_FAILED SEPT_ADD } },
	{ { WRONG_STATE SEPT_ADD } },
	{ { WRONG_R8 SEPT_ADD } },
	{ { FATAL SEPT_ADD } },
	{ { WALK_FAILED AUG_4K } },
	{ { WRONG_STATE AUG_4K } },
	{ { WRONG_R8 AUG_4K } },
	{ { FATAL AUG_4K } },
};

static const struct fault_case fatal_fault_leaf[] = {
	{ { WRONG_STATE AUG_2M } },
	{ { WRONG_R8 AUG_2M } },
};

static struct td_agent agent;
static struct td_mem mem;
static u64 next_leaf, nr_leaves;
static unsigned int nr_run;

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	TEST_ASSERT(fd >= 0, "No %s, errno %d", path, errno);
	TEST_ASSERT(write(fd, text, strlen(text)) == strlen(text),
		    "Writing '%s' to %s failed, errno %d", text, path, errno);
	close(fd);
}

/* What follows is complaints that are to be expected of this file, see lab/checks/check-console. */
static void provoke(bool begin)
{
	write_file("/dev/kmsg", begin ? "report: provoked arch/x86/kvm/vmx/tdx.c" :
					"report: provoked no more");
}

static void inject(const struct fault_case *c, u64 leaf)
{
	char text[200];
	int i;

	for (i = 0; i < ARRAY_SIZE(c->faults) && c->faults[i]; i++) {
		const bool memory = strstr(c->faults[i], "level=");

		/* Nothing but this leaf. */
		snprintf(text, sizeof(text), memory ? "%s gpa=0x%lx size=0x%lx" : "%s",
			 c->faults[i], TD_AGENT_GPA + leaf * SZ_2M, (u64)SZ_2M);
		write_file(TDXEMU "faults", text);
	}
}

/* Ends the faults.  All of them have been there, or the test has tested nothing. */
static void end_faults(void)
{
	static char text[8192];
	char *line, *hits;
	ssize_t len;
	int fd;

	fd = open(TDXEMU "faults", O_RDONLY);
	TEST_ASSERT(fd >= 0, "errno %d", errno);
	len = read(fd, text, sizeof(text) - 1);
	TEST_ASSERT(len > 0, "No faults");
	text[len] = '\0';
	close(fd);
	write_file(TDXEMU "faults", "clear");
	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		hits = strstr(line, "hits=");
		TEST_ASSERT(hits && strcmp(hits, "hits=0"), "Not injected: %s", line);
	}
}

static void check_model(void)
{
	char n[16] = {};
	int fd;

	write_file(TDXEMU "check", "1");
	fd = open(TDXEMU "violations", O_RDONLY);
	TEST_ASSERT(fd >= 0 && read(fd, n, sizeof(n) - 1) > 0, "errno %d", errno);
	close(fd);
	TEST_ASSERT(n[0] == '0', "The software TDX module has seen violations");
}

static void create(u64 leaves)
{
	td_agent_init(&agent, TD_ATTR_SEPT_VE_DISABLE, leaves * LEAF);
	td_mem_add(agent.vm, &mem, TD_SLOT_TEST, TD_AGENT_GPA, leaves * LEAF,
		   GUEST_MEMFD_FLAG_HUGEPAGE);
	nr_leaves = leaves;
	next_leaf = 0;
}

static void destroy(void)
{
	td_agent_free(&agent);
	td_mem_free(&mem);
}

static s64 pages_2m, pages_4k;

static void count_pages(void)
{
	pages_2m = vm_get_stat(agent.vm, pages_2m);
	pages_4k = vm_get_stat(agent.vm, pages_4k);
}

static void assert_pages(s64 more_2m, s64 more_4k)
{
	s64 now_2m = vm_get_stat(agent.vm, pages_2m);
	s64 now_4k = vm_get_stat(agent.vm, pages_4k);

	TEST_ASSERT(now_2m - pages_2m == more_2m && now_4k - pages_4k == more_4k,
		    "2 MiB mappings: %+ld, expected %+ld; 4 KiB: %+ld, expected %+ld",
		    now_2m - pages_2m, more_2m, now_4k - pages_4k, more_4k);
}

/* A leaf that is mapped as such; returns its first page. */
static u64 fresh_leaf(enum op op)
{
	struct kvm_pre_fault_memory range = { .size = SZ_2M };
	u64 first;

	/* One that has been split stays so. */
	if (next_leaf == nr_leaves) {
		destroy();
		create(nr_leaves);
	}
	first = next_leaf++ * LEAF;
	range.gpa = TD_AGENT_GPA + first * PAGE_SIZE;

	TEST_ASSERT(!fallocate(mem.fd, FALLOC_FL_KEEP_SIZE, first * PAGE_SIZE, SZ_2M),
		    "errno %d", errno);
	count_pages();
	if (op == FAULT || op == FAULT_LEAF)
		return first;
	if (op == ACCEPT) {
		while (range.size)
			vcpu_ioctl(agent.vcpu, KVM_PRE_FAULT_MEMORY, &range);
	} else {
		td_accept_all(&agent, first, LEAF, 1, TDG_SUCCESS);
	}
	assert_pages(1, 0);
	if (op != ACCEPT) {
		td_write(&agent, first, 2, 1, false);
		td_write(&agent, first + PAGE - 1, 3, 1, false);
		td_write(&agent, first + LEAF - 2, 2, 1, false);
	}
	count_pages();
	return first;
}

static void check_intact(u64 first, u64 nr)
{
	td_check(&agent, first, nr, 1, false);
	td_accept_all(&agent, first, nr, 0, TDG_ALREADY_ACCEPTED);
}

static void check_neighbours(u64 first)
{
	check_intact(first, 2);
	check_intact(first + PAGE - 1, 1);
	check_intact(first + PAGE + 1, 1);
	check_intact(first + LEAF - 2, 2);
}

/* Returns -1 with errno, as system calls do. */
static int do_op(enum op op, u64 first)
{
	switch (op) {
	case PUNCH:
		return __td_mem_punch(&mem, first + PAGE, 1);
	case CONVERT:
		return __td_mem_convert(&mem, first + PAGE, 1, true);
	case PUNCH_LEAF:
		return __td_mem_punch(&mem, first, LEAF);
	case FAULT_LEAF:
		return __td_accept(&agent, first, 1);
	default:
		return __td_accept(&agent, first + PAGE, 0);
	}
}

/* It was done, and nothing else. */
static void check_done(enum op op, u64 first)
{
	switch (op) {
	case PUNCH_LEAF:
		assert_pages(-1, 0);
		td_accept_all(&agent, first, LEAF, 1, TDG_SUCCESS);
		td_check_zero(&agent, first + PAGE, 1, false);
		break;
	case FAULT:
		assert_pages(0, 1);
		td_check_zero(&agent, first + PAGE, 1, false);
		td_accept_all(&agent, first + PAGE, 1, 0, TDG_ALREADY_ACCEPTED);
		td_accept_all(&agent, first + PAGE + 1, 1, 0, TDG_SUCCESS);
		break;
	case FAULT_LEAF:
		assert_pages(1, 0);
		td_check_zero(&agent, first, LEAF, false);
		break;
	case ACCEPT:
		assert_pages(-1, LEAF);
		td_check_zero(&agent, first + PAGE, 1, false);
		td_accept_all(&agent, first + PAGE - 1, 1, 0, TDG_SUCCESS);
		td_accept_all(&agent, first + PAGE, 1, 0, TDG_ALREADY_ACCEPTED);
		td_accept_all(&agent, first + PAGE + 1, 1, 0, TDG_SUCCESS);
		break;
	default:
		assert_pages(-1, LEAF - 1);
		check_neighbours(first);
		if (op == CONVERT) {
			td_write(&agent, first + PAGE, 1, 2, true);
			td_check(&agent, first + PAGE, 1, 2, true);
			td_mem_convert(&mem, first + PAGE, 1, false);
		}
		td_accept_all(&agent, first + PAGE, 1, 0, TDG_SUCCESS);
		td_check_zero(&agent, first + PAGE, 1, false);
	}
}

static void absorbed(enum op op, const struct fault_case *c)
{
	u64 first = fresh_leaf(op);
	int r;

	inject(c, first / LEAF);
	r = do_op(op, first);
	TEST_ASSERT(!r, "Failed with errno %d", errno);
	end_faults();
	check_done(op, first);
	check_model();
}

static unsigned int owned_pages(void)
{
	unsigned long start, end;
	unsigned int pages = 0;
	FILE *f = fopen(TDXEMU "owned", "r");

	TEST_ASSERT(f, "errno %d", errno);
	while (fscanf(f, "%lx-%lx%*[^\n]", &start, &end) == 2)
		pages += (end - start) / PAGE_SIZE;
	fclose(f);
	return pages;
}

static void refused(enum op op, const struct fault_case *c)
{
	u64 first = fresh_leaf(op);
	unsigned int owned = c->filled ? owned_pages() : 0;
	int r;

	inject(c, first / LEAF);
	r = do_op(op, first);
	TEST_ASSERT(r == -1 && errno == c->error, "Returned %d, errno %d, not %d", r,
		    errno, c->error);
	end_faults();

	/*
	 * A page that is not written back counts as the module's.  To ask for it later
	 * would be too late: DEMOTE takes it again as it is.
	 */
	if (c->filled)
		TEST_ASSERT(owned_pages() == owned, "%d pages are not written back",
			    owned_pages() - owned);

	/* Nothing happened. */
	assert_pages(0, 0);
	check_model();
	if (op != ACCEPT) {
		check_neighbours(first);
		check_intact(first + PAGE, 1);
		assert_pages(0, 0);
	}

	/* And it can be done now. */
	r = do_op(op, first);
	TEST_ASSERT(!r, "The second time: errno %d", errno);
	check_done(op, first);
	check_model();
}

/* Without any TD. */
static unsigned int idle_pages;

static void check_nothing_lost(void)
{
	unsigned int now = owned_pages();

	TEST_ASSERT(now == idle_pages, "The module has %u pages without a TD, and had %u",
		    now, idle_pages);
}

static void fatal(enum op op, const struct fault_case *c)
{
	u64 first;
	int r;

	create(1);
	first = fresh_leaf(op);
	provoke(true);
	inject(c, 0);
	r = do_op(op, first);
	TEST_ASSERT(r == -1 && errno == EIO, "Returned %d, errno %d, not EIO", r, errno);
	end_faults();
	/* What is lost keeps its folio from being split: not for now, but for good. */
	if (op == PUNCH_LEAF && c->lost) {
		r = do_op(PUNCH, first);
		TEST_ASSERT(r == -1 && errno == EIO, "Part of it: %d, errno %d", r, errno);
	}

	r = __td_touch(&agent, first);
	TEST_ASSERT(r == -1 && errno == EIO, "KVM_RUN: %d, errno %d", r, errno);
	check_model();
	destroy();
	check_model();
	if (c->lost)
		check_nothing_lost();
	provoke(false);
}

/* Free, or in the lists of free pages that each CPU has. */
static long free_kb(void)
{
	long kb = 0, pages;
	char line[128];
	FILE *f;

	write_file("/proc/sys/vm/drop_caches", "3");
	f = fopen("/proc/meminfo", "r");
	TEST_ASSERT(f, "errno %d", errno);
	while (fgets(line, sizeof(line), f) && sscanf(line, "MemFree: %ld", &kb) != 1)
		;
	fclose(f);
	f = fopen("/proc/zoneinfo", "r");
	TEST_ASSERT(f, "errno %d", errno);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, " count: %ld", &pages) == 1)
			kb += pages * (PAGE_SIZE / 1024);
	}
	fclose(f);
	return kb;
}

#define DEAD_LEAVES	8
/* What is on its way to be free: slabs, RCU. */
#define SLACK_KB	2048

/*
 * A machine check in the guest: the TD is dead, and so says the TDX module to whatever
 * KVM asks of its memory.  KVM can take none of it away, but all that the TD had is
 * the host's again when it has ended: huge pages, small ones, and control pages.
 */
static void fatal_td(void)
{
	const u64 small = (DEAD_LEAVES - 1) * LEAF;
	unsigned int owned;
	long before, now;
	int i, r;

	nr_run++;
	printf("# %u fatal: a TD that is dead\n", nr_run);
	/* What the first one needs, and leaves in caches. */
	create(1);
	destroy();
	before = free_kb();

	create(DEAD_LEAVES);
	for (i = 0; i < DEAD_LEAVES - 1; i++)
		fresh_leaf(PUNCH);
	td_accept_all(&agent, small, LEAF / 2, 0, TDG_SUCCESS);
	owned = owned_pages();

	provoke(true);
	write_file(TDXEMU "faults", "kind=machine-check leaf=0");
	r = __td_touch(&agent, 0);
	TEST_ASSERT(r == 1, "KVM_RUN: %d, errno %d", r, errno);
	end_faults();
	TEST_ASSERT_KVM_EXIT_REASON(agent.vcpu, KVM_EXIT_INTERNAL_ERROR);

	r = do_op(PUNCH, 0);
	TEST_ASSERT(r == -1 && errno == EIO, "Returned %d, errno %d, not EIO", r, errno);
	r = __td_touch(&agent, 0);
	TEST_ASSERT(r == -1 && errno == EIO, "KVM_RUN: %d, errno %d", r, errno);
	TEST_ASSERT_EQ(owned_pages(), owned);
	destroy();
	provoke(false);
	check_model();
	check_nothing_lost();

	for (i = 0; i < 50; i++) {
		now = free_kb();
		if (now + SLACK_KB >= before)
			break;
		usleep(100000);
	}
	printf("# %u pages were the module's, %ld KiB are free, %ld were\n", owned, now,
	       before);
	TEST_ASSERT(now + SLACK_KB >= before, "%ld KiB are lost", before - now);
}

/*
 * The TDX module runs out of entropy.  The kernel calls ten times before it gives up.
 */
static const struct {
	const char *fault;
	int error;
} no_entropy[] = {
	{ "kind=entropy leaf=9 times=9" },			/* MNG.CREATE */
	{ "kind=entropy leaf=9 times=10", EAGAIN },
	{ "kind=entropy leaf=8 times=9" },			/* MNG.KEY.CONFIG */
	{ "kind=entropy leaf=8 times=10", EAGAIN },
	{ "kind=entropy leaf=1 times=9" },			/* MNG.ADDCX, last page */
	{ "kind=entropy leaf=1 times=10", EAGAIN },
};

static int init_td(void)
{
	struct kvm_vm *vm = vm_create_barebones_type(KVM_X86_TDX_VM);
	struct {
		struct kvm_tdx_init_vm vm;
		struct kvm_cpuid_entry2 entry;
	} init = {
		.vm.attributes = TD_ATTR_SEPT_VE_DISABLE,
		.vm.xfam = 3,
		.vm.cpuid.nent = 1,
		.entry.function = 0x80000008,
		.entry.eax = 48 << 16,
	};
	int r = __td_vm_ioctl(vm, KVM_TDX_INIT_VM, 0, &init, NULL) ? errno : 0;

	kvm_vm_free(vm);
	return r;
}

static void build(void)
{
	unsigned int owned = owned_pages(), i;
	int r;

	for (i = 0; i < ARRAY_SIZE(no_entropy); i++) {
		nr_run++;
		printf("# %u build: %s\n", nr_run, no_entropy[i].fault);
		write_file(TDXEMU "faults", no_entropy[i].fault);
		r = init_td();
		TEST_ASSERT(r == no_entropy[i].error, "KVM_TDX_INIT_VM: errno %d, not %d",
			    r, no_entropy[i].error);
		end_faults();
		/* It was a lack of entropy, nothing else. */
		r = init_td();
		TEST_ASSERT(!r, "KVM_TDX_INIT_VM after it: errno %d", r);
		check_model();
		TEST_ASSERT(owned_pages() == owned, "%d pages are with the module still",
			    owned_pages() - owned);
	}
}

static void run(const char *name, void (*fn)(enum op, const struct fault_case *),
		enum op op, const struct fault_case *cases, unsigned int nr)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		nr_run++;
		printf("# %u %s: %s: %s%s%s\n", nr_run, name, op_names[op],
		       cases[i].faults[0], cases[i].faults[1] ? " and " : "",
		       cases[i].faults[1] ?: "");
		fn(op, &cases[i]);
	}
}

#define RUN(fn, op, cases)	run(#fn, fn, op, cases, ARRAY_SIZE(cases))

static bool chosen(int argc, char *argv[], const char *name)
{
	int i;

	for (i = 1; i < argc; i++)
		if (!strcmp(argv[i], name))
			return true;
	return argc == 1;
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(td_is_supported());
	TEST_REQUIRE(td_has_gmem_flags(GUEST_MEMFD_FLAG_HUGEPAGE));
	TEST_REQUIRE(get_kvm_intel_param_bool("tdx_huge_page"));
	TEST_REQUIRE(!access(TDXEMU "faults", W_OK));

	write_file(TDXEMU "faults", "clear");
	idle_pages = owned_pages();
	if (chosen(argc, argv, "build"))
		build();
	if (chosen(argc, argv, "absorbed")) {
		create(NR_LEAVES);
		RUN(absorbed, PUNCH, absorbed_split);
		RUN(absorbed, PUNCH, absorbed_zap);
		RUN(absorbed, PUNCH_LEAF, absorbed_zap_leaf);
		RUN(absorbed, ACCEPT, absorbed_split);
		RUN(absorbed, FAULT, absorbed_fault);
		RUN(absorbed, FAULT_LEAF, absorbed_fault_leaf);
		destroy();
	}
	if (chosen(argc, argv, "refused")) {
		create(NR_LEAVES);
		RUN(refused, PUNCH, refused_split);
		RUN(refused, ACCEPT, refused_split);
		destroy();
	}
	if (chosen(argc, argv, "convert")) {
		create(NR_LEAVES);
		RUN(absorbed, CONVERT, absorbed_zap);
		RUN(refused, CONVERT, refused_split);
		destroy();
		RUN(fatal, CONVERT, fatal_zap);
	}
	if (chosen(argc, argv, "fatal")) {
		RUN(fatal, PUNCH, fatal_split);
		RUN(fatal, ACCEPT, fatal_split);
		RUN(fatal, PUNCH, fatal_zap);
		RUN(fatal, PUNCH_LEAF, fatal_zap_leaf);
		RUN(fatal, FAULT, fatal_fault);
		RUN(fatal, FAULT_LEAF, fatal_fault_leaf);
		fatal_td();
	}
	printf("# %u faults, all as expected\n", nr_run);
	return nr_run ? 0 : KSFT_SKIP;
}
