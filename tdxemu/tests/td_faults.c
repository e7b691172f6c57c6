// SPDX-License-Identifier: GPL-2.0
/*
 * The TDX module fails while KVM splits huge pages of a TD and takes memory away:
 * each SEAMCALL that this needs, once with each status that the host may see.
 *
 *	td_faults [absorbed|refused|fatal]...
 *
 * absorbed: KVM copes with it, and the result is exact.
 * refused: a page is not split.  Nothing has changed, and the VM runs on.
 * fatal: the VM is bugged.  What the module may still have is never used again.
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
#define NR_LEAVES	64

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

#define BUSY		"kind=busy "
#define STATUS(s)	"kind=status status=" #s " "
#define WALK_FAILED	STATUS(0xc0000b0000000001)
#define NOT_BLOCKED	STATUS(0xc0000b0600000001)
#define ALREADY_BLOCKED	STATUS(0x00000b0700000001)
#define NOT_TRACKED	STATUS(0xc0000b0800000001)
#define WRONG_STATE	STATUS(0xc0000b0d00000001)
#define WRONG_OP_STATE	STATUS(0xc000060800000000)
#define WRONG_PAGE	STATUS(0xc000030000000001)
#define BUSY_PAGE	STATUS(0x8000020000000001)

enum op {
	PUNCH,		/* one page of a leaf */
	CONVERT,	/* the same, to shared */
	PUNCH_LEAF,	/* all of it */
	ACCEPT,		/* the guest accepts one page of a pending leaf */
};

static const char *const op_names[] = {
	[PUNCH] = "punch a page",
	[CONVERT] = "convert a page",
	[PUNCH_LEAF] = "punch a leaf",
	[ACCEPT] = "accept a page",
};

struct fault_case {
	const char *faults[2];
	int error;		/* of a refused split */
	unsigned int lost;	/* pages that the module keeps */
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
};

static const struct fault_case absorbed_zap[] = {
	{ { BUSY BLOCK_4K TREE } },
	{ { BUSY BLOCK_4K ENTRY } },
	{ { BUSY TRACK_2 EPOCH } },
	{ { BUSY REMOVE_4K TDR } },
	{ { BUSY REMOVE_4K TREE } },
	{ { BUSY REMOVE_4K ENTRY } },
};

static const struct fault_case absorbed_zap_leaf[] = {
	{ { BUSY BLOCK_2M TREE } },
	{ { BUSY TRACK_1 EPOCH } },
	{ { BUSY REMOVE_2M TREE } },
	{ { BUSY REMOVE_2M ENTRY } },
};

/* All that DEMOTE may say.  What has been blocked is unblocked. */
static const struct fault_case refused_split[] = {
	{ { BUSY DEMOTE TREE " " EVER }, EBUSY },
	{ { BUSY DEMOTE ENTRY " " EVER }, EBUSY },
	{ { BUSY DEMOTE R8 " " EVER }, EBUSY },
	{ { "kind=r8 " DEMOTE }, EIO },
	{ { "kind=restartable " DEMOTE }, EIO },
	{ { WALK_FAILED DEMOTE }, EIO },
	{ { NOT_BLOCKED DEMOTE }, EIO },
	{ { NOT_TRACKED DEMOTE }, EIO },
	{ { WRONG_STATE DEMOTE }, EIO },
	{ { WRONG_OP_STATE DEMOTE }, EIO },
	{ { "kind=r8 " DEMOTE, BUSY UNBLOCK TREE }, EIO },
	{ { "kind=r8 " DEMOTE, BUSY UNBLOCK ENTRY }, EIO },
};

/*
 * As long as the leaf has its place in the S-EPT it can be removed later, when the
 * TD ends: nothing is lost.
 */
static const struct fault_case fatal_split[] = {
	{ { BUSY BLOCK_2M TREE " " EVER } },
	{ { ALREADY_BLOCKED BLOCK_2M } },
	{ { WALK_FAILED BLOCK_2M } },
	{ { BUSY TRACK_1 EPOCH " " EVER } },
	{ { "kind=epoch-busy " TRACK_1 } },
	{ { "kind=r8 " DEMOTE, NOT_TRACKED UNBLOCK } },
	{ { "kind=r8 " DEMOTE, BUSY UNBLOCK TREE " " EVER } },
	{ { "kind=r8 " DEMOTE, WRONG_PAGE WBINVD } },
};

static const struct fault_case fatal_zap[] = {
	{ { BUSY BLOCK_4K TREE " " EVER }, .lost = 1 },
	{ { WRONG_STATE BLOCK_4K }, .lost = 1 },
	{ { "kind=epoch-busy " TRACK_2 }, .lost = 1 },
	{ { BUSY REMOVE_4K TREE " " EVER }, .lost = 1 },
	{ { NOT_TRACKED REMOVE_4K }, .lost = 1 },
	{ { WRONG_PAGE WBINVD }, .lost = 1 },
	{ { BUSY_PAGE WBINVD }, .lost = 1 },
};

static const struct fault_case fatal_zap_leaf[] = {
	{ { NOT_TRACKED REMOVE_2M }, .lost = LEAF },
	{ { WRONG_PAGE WBINVD "skip=100" }, .lost = LEAF },
};

static struct td_agent agent;
static struct td_mem mem;
static u64 next_leaf;
static unsigned int nr_run;

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	TEST_ASSERT(fd >= 0, "No %s, errno %d", path, errno);
	TEST_ASSERT(write(fd, text, strlen(text)) == strlen(text),
		    "Writing '%s' to %s failed, errno %d", text, path, errno);
	close(fd);
}

/* What follows is complaints that are to be expected of this file, see lab/check-console. */
static void provoke(bool begin)
{
	write_file("/dev/kmsg", begin ? "lab: provoked arch/x86/kvm/vmx/tdx.c" :
					"lab: provoked no more");
}

/* The lab looks for leaks, and is told what this test has lost. */
static void add_lost(unsigned int pages)
{
	static unsigned int total;
	char text[16];
	int fd;

	total += pages;
	snprintf(text, sizeof(text), "%u\n", total * 4);
	fd = open("/tmp/lost-kb", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	TEST_ASSERT(fd >= 0 && write(fd, text, strlen(text)) == strlen(text),
		    "/tmp/lost-kb: errno %d", errno);
	close(fd);
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

static void create(u64 nr_leaves)
{
	td_agent_init(&agent, TD_ATTR_SEPT_VE_DISABLE, nr_leaves * LEAF);
	td_mem_add(agent.vm, &mem, TD_SLOT_TEST, TD_AGENT_GPA, nr_leaves * LEAF,
		   GUEST_MEMFD_FLAG_HUGEPAGE);
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
	u64 first = next_leaf++ * LEAF;
	struct kvm_pre_fault_memory range = {
		.gpa = TD_AGENT_GPA + first * PAGE_SIZE,
		.size = SZ_2M,
	};

	TEST_ASSERT(!fallocate(mem.fd, FALLOC_FL_KEEP_SIZE, first * PAGE_SIZE, SZ_2M),
		    "errno %d", errno);
	count_pages();
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
	struct kvm_memory_attributes attr = {
		.address = TD_AGENT_GPA + (first + PAGE) * PAGE_SIZE,
		.size = PAGE_SIZE,
	};

	switch (op) {
	case PUNCH:
		return __td_mem_punch(&mem, first + PAGE, 1);
	case CONVERT:
		return __vm_ioctl(agent.vm, KVM_SET_MEMORY_ATTRIBUTES, &attr);
	case PUNCH_LEAF:
		return __td_mem_punch(&mem, first, LEAF);
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
			vm_mem_set_private(agent.vm,
					   TD_AGENT_GPA + (first + PAGE) * PAGE_SIZE,
					   PAGE_SIZE);
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

static void refused(enum op op, const struct fault_case *c)
{
	u64 first = fresh_leaf(op);
	int r;

	inject(c, first / LEAF);
	r = do_op(op, first);
	TEST_ASSERT(r == -1 && errno == c->error, "Returned %d, errno %d, not %d", r,
		    errno, c->error);
	end_faults();

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
	/*
	 * Only a hole splits the folio, otherwise a reference to one page keeps all
	 * of them.  The TD is lost, too, if the module still counts pages of it.
	 */
	if (c->lost)
		add_lost((op == PUNCH ? c->lost : LEAF) + 1);

	r = __td_touch(&agent, first);
	TEST_ASSERT(r == -1 && errno == EIO, "KVM_RUN: %d, errno %d", r, errno);
	check_model();
	destroy();
	check_model();
	provoke(false);
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
	if (chosen(argc, argv, "absorbed")) {
		create(NR_LEAVES);
		RUN(absorbed, PUNCH, absorbed_split);
		RUN(absorbed, PUNCH, absorbed_zap);
		RUN(absorbed, CONVERT, absorbed_zap);
		RUN(absorbed, PUNCH_LEAF, absorbed_zap_leaf);
		RUN(absorbed, ACCEPT, absorbed_split);
		destroy();
	}
	if (chosen(argc, argv, "refused")) {
		create(NR_LEAVES);
		RUN(refused, PUNCH, refused_split);
		RUN(refused, CONVERT, refused_split);
		RUN(refused, ACCEPT, refused_split);
		destroy();
	}
	if (chosen(argc, argv, "fatal")) {
		RUN(fatal, PUNCH, fatal_split);
		RUN(fatal, ACCEPT, fatal_split);
		RUN(fatal, PUNCH, fatal_zap);
		RUN(fatal, CONVERT, fatal_zap);
		RUN(fatal, PUNCH_LEAF, fatal_zap_leaf);
	}
	printf("# %u faults, all as expected\n", nr_run);
	return nr_run ? 0 : KSFT_SKIP;
}
