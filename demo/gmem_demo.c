// SPDX-License-Identifier: GPL-2.0
/*
 * What a 4 KiB hole in 2 MiB private memory costs the guest.
 *
 * A software-protected VM fills 16 MiB of private memory, the host punches
 * holes into it, and the guest rereads everything.  The map of leaf SPTEs is
 * replayed from the tracepoint of every SPTE change, and has to agree with
 * KVM's own statistics: nothing shown is computed from what ought to be.
 */
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <linux/falloc.h>
#include <linux/sizes.h>

#include "../bench/figure.h"
#include "kvm_util.h"
#include "processor.h"
#include "test_util.h"

#ifndef GUEST_MEMFD_FLAG_HUGEPAGE
#define GUEST_MEMFD_FLAG_HUGEPAGE	BIT_ULL(16)
#endif

#define SPTE_EVENT	"as id %d gfn %llx level %d old_spte %llx new_spte %llx"

#define DEMO_SLOT	10
#define DEMO_GPA	SZ_4G
#define DEMO_SIZE	SZ_16M
#define DEMO_PAGES	(DEMO_SIZE / PAGE_SIZE)
#define LEAF_PAGES	512
#define NR_LEAVES	(DEMO_PAGES / LEAF_PAGES)
#define PAGE_WORDS	(PAGE_SIZE / sizeof(u64))
#define MAP_CELLS	32
#define CELL_PAGES	(LEAF_PAGES / MAP_CELLS)

#define TRACEFS		"/sys/kernel/tracing"
#define INSTANCE	TRACEFS "/instances/gmem_demo"

/* Two bits of an SPTE that the tracepoint shows as they are. */
#define SPTE_PSE	BIT_ULL(7)
#define SPTE_PRESENT	BIT_ULL(11)

struct hole {
	const char *name;
	u64 first;
	u64 nr;
};

static const struct hole holes[] = {
	{ "first page", 0, 1 },
	{ "last page", DEMO_PAGES - 1, 1 },
	{ "a page in the middle of a leaf", 3 * LEAF_PAGES + 256, 1 },
	{ "3 MiB across two leaves", 5 * LEAF_PAGES + 128, SZ_2M / PAGE_SIZE + 256 },
};

/* Guest and host each have a copy; the host's is written to the guest. */
static u8 punched[DEMO_PAGES];

/* Which leaf maps a page: 0 none, else the level. */
enum { NONE, LEAF_4K, LEAF_2M };
static u8 leaf_of[DEMO_PAGES];
static long vm_4k, vm_2m;

static FILE *trace;
static int errors;

#define CHECK(cond, fmt, ...)						\
do {									\
	if (!(cond)) {							\
		printf("  MISMATCH: " fmt "\n", ##__VA_ARGS__);		\
		errors++;						\
	}								\
} while (0)

static u64 pattern(u64 page, u64 word)
{
	/* The product of an odd and a non-zero factor: never zero. */
	return (page * PAGE_WORDS + word + 1) * 0x9e3779b97f4a7c15ull;
}

static u64 count_wrong_bytes(u64 got, u64 want)
{
	u64 n = 0;

	for (got ^= want; got; got >>= 8)
		n += !!(got & 0xff);
	return n;
}

static void guest_code(void)
{
	u64 *mem = (u64 *)DEMO_GPA;
	u64 page, word;

	for (page = 0; page < DEMO_PAGES; page++) {
		for (word = 0; word < PAGE_WORDS; word++)
			mem[page * PAGE_WORDS + word] = pattern(page, word);
	}
	GUEST_SYNC(0);

	for (;;) {
		u64 wrong_kept = 0, wrong_gone = 0;

		for (page = 0; page < DEMO_PAGES; page++) {
			bool gone = READ_ONCE(punched[page]);

			for (word = 0; word < PAGE_WORDS; word++) {
				u64 want = gone ? 0 : pattern(page, word);
				u64 got = READ_ONCE(mem[page * PAGE_WORDS + word]);

				if (got == want)
					continue;
				if (gone)
					wrong_gone += count_wrong_bytes(got, want);
				else
					wrong_kept += count_wrong_bytes(got, want);
			}
		}
		GUEST_SYNC2(wrong_kept, wrong_gone);
	}
}

static struct ucall run_guest(struct kvm_vcpu *vcpu, u64 *faults)
{
	u64 before = vcpu_get_stat(vcpu, pf_taken);
	struct ucall uc;

	vcpu_run(vcpu);
	switch (get_ucall(vcpu, &uc)) {
	case UCALL_SYNC:
		break;
	case UCALL_ABORT:
		REPORT_GUEST_ASSERT(uc);
	default:
		TEST_FAIL("Unexpected ucall 0x%lx", uc.cmd);
	}
	*faults = vcpu_get_stat(vcpu, pf_taken) - before;
	return uc;
}

static bool put(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY);
	bool ok;

	if (fd < 0)
		return false;
	ok = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return ok;
}

static void trace_remove(void)
{
	if (trace)
		fclose(trace);
	rmdir(INSTANCE);
}

static void trace_open(void)
{
	glob_t splits;
	size_t i;
	int fd;

	if (access(TRACEFS "/instances", F_OK))
		mount("tracefs", TRACEFS, "tracefs", 0, NULL);
	rmdir(INSTANCE);
	TEST_ASSERT(!mkdir(INSTANCE, 0700),
		    "No trace instance: the kernel needs CONFIG_EVENT_TRACING");
	atexit(trace_remove);

	/* A counter orders events for certain; two CPUs' clocks need not. */
	TEST_ASSERT(put(INSTANCE "/trace_clock", "counter") &&
		    put(INSTANCE "/buffer_size_kb", "4096") &&
		    put(INSTANCE "/events/kvmmmu/kvm_tdp_mmu_spte_changed/enable", "1"),
		    "No tracepoint kvmmmu:kvm_tdp_mmu_spte_changed");

	/* Kernels that split leaves of guest_memfd tell which, and what for. */
	put(INSTANCE "/events/kvmmmu/kvm_mmu_split_huge_page/enable", "1");
	if (!glob(INSTANCE "/events/kvm*/kvm_gmem_split*/enable", 0, NULL, &splits)) {
		for (i = 0; i < splits.gl_pathc; i++)
			put(splits.gl_pathv[i], "1");
		globfree(&splits);
	}

	fd = open(INSTANCE "/trace_pipe", O_RDONLY | O_NONBLOCK);
	TEST_ASSERT(fd >= 0, "Cannot read the trace");
	trace = fdopen(fd, "r");
	TEST_ASSERT(trace, "Cannot read the trace");
}

static bool is_leaf(u64 spte, int level)
{
	return (spte & SPTE_PRESENT) && (level == 1 || (spte & SPTE_PSE));
}

static void set_leaf(u64 gfn, int level, int kind)
{
	u64 nr = level == 2 ? LEAF_PAGES : 1;
	u64 page = gfn - DEMO_GPA / PAGE_SIZE;

	/* Memory of the VM outside the range counts, but has no map. */
	if (page < DEMO_PAGES)
		memset(leaf_of + page, kind, nr);
}

static void replay(u64 gfn, int level, u64 old, u64 new)
{
	bool was = is_leaf(old, level), is = is_leaf(new, level);

	TEST_ASSERT(level <= 2 || (!was && !is), "A leaf at level %d", level);
	if (was == is)
		return;

	if (level == 1)
		vm_4k += is ? 1 : -1;
	else
		vm_2m += is ? 1 : -1;

	if (is) {
		set_leaf(gfn, level, level == 2 ? LEAF_2M : LEAF_4K);
	} else if (level == 2 && (new & SPTE_PRESENT)) {
		/*
		 * A leaf that turns into a page table has been split.  The
		 * table is filled before it is linked, without an event.
		 */
		set_leaf(gfn, level, LEAF_4K);
		vm_4k += LEAF_PAGES;
	} else {
		set_leaf(gfn, level, NONE);
	}
}

static void trace_read(void)
{
	unsigned long long gfn, old, new;
	char line[512], *event;
	int as_id, level;

	clearerr(trace);
	while (fgets(line, sizeof(line), trace)) {
		TEST_ASSERT(!strstr(line, "LOST"), "Trace events were lost: %s", line);

		event = strstr(line, ": kvm_");
		if (event && strstr(event, "_split_")) {
			event += 2;
			printf("  %s", event);
			continue;
		}
		event = strstr(line, "kvm_tdp_mmu_spte_changed: ");
		if (!event)
			continue;
		event = strchr(event, ':') + 2;
		TEST_ASSERT(sscanf(event, SPTE_EVENT, &as_id, &gfn, &level,
				   &old, &new) == 5,
			    "Unknown format: %s", event);
		replay(gfn, level, old, new);
	}
}

static void check_stats(struct kvm_vm *vm)
{
	long stat_2m = vm_get_stat(vm, pages_2m), stat_4k = vm_get_stat(vm, pages_4k);

	CHECK(stat_2m == vm_2m && stat_4k == vm_4k,
	      "events say pages_2m %ld, pages_4k %ld; KVM's statistics %ld, %ld",
	      vm_2m, vm_4k, stat_2m, stat_4k);
}

static void draw(char *cells, int leaf)
{
	int cell, i, n[3];

	for (cell = 0; cell < MAP_CELLS; cell++) {
		u8 *page = leaf_of + leaf * LEAF_PAGES + cell * CELL_PAGES;

		memset(n, 0, sizeof(n));
		for (i = 0; i < CELL_PAGES; i++)
			n[page[i]]++;
		if (n[LEAF_2M])
			cells[cell] = '=';
		else if (!n[NONE])
			cells[cell] = '-';
		else
			cells[cell] = n[LEAF_4K] ? 'o' : '.';
	}
	cells[MAP_CELLS] = 0;
	if (leaf_of[leaf * LEAF_PAGES] == LEAF_2M)
		memcpy(cells + MAP_CELLS / 2 - 2, " 2M ", 4);
}

static void draw_all(char cells[][MAP_CELLS + 1])
{
	int leaf;

	for (leaf = 0; leaf < NR_LEAVES; leaf++)
		draw(cells[leaf], leaf);
}

static u64 count(int kind)
{
	u64 page, n = 0;

	for (page = 0; page < DEMO_PAGES; page++)
		n += leaf_of[page] == kind;
	return n;
}

static void print_counts(const char *when)
{
	printf("  %-14s pages_2m %llu, pages_4k %llu, unmapped %llu\n", when,
	       (unsigned long long)count(LEAF_2M) / LEAF_PAGES,
	       (unsigned long long)count(LEAF_4K),
	       (unsigned long long)count(NONE));
}

static void punch(struct kvm_vcpu *vcpu, int fd, const struct hole *hole)
{
	char before[NR_LEAVES][MAP_CELLS + 1], after[NR_LEAVES][MAP_CELLS + 1];
	u64 faults, page, leaf, leaves = count(LEAF_2M) / LEAF_PAGES;
	struct ucall uc;
	char name[64];

	printf("\nHole: %s (%llu KiB at 0x%llx)\n", hole->name,
	       (unsigned long long)hole->nr * PAGE_SIZE / SZ_1K,
	       (unsigned long long)DEMO_GPA + hole->first * PAGE_SIZE);
	draw_all(before);
	print_counts("before:");

	kvm_fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
		      hole->first * PAGE_SIZE, hole->nr * PAGE_SIZE);
	memset(punched + hole->first, 1, hole->nr);
	sync_global_to_guest(vcpu->vm, punched);

	trace_read();
	check_stats(vcpu->vm);
	draw_all(after);
	print_counts("after:");
	for (page = 0; page < DEMO_PAGES; page++) {
		bool inside = page - hole->first < hole->nr;
		bool mapped = leaf_of[page] != NONE;

		if (inside == mapped) {
			CHECK(false, "page %llu is %smapped", (unsigned long long)page,
			      inside ? "still " : "un");
			break;
		}
	}

	for (leaf = 0; leaf < NR_LEAVES; leaf++)
		printf("  0x%llx  [%s]  [%s]\n",
		       (unsigned long long)DEMO_GPA + leaf * SZ_2M,
		       before[leaf], after[leaf]);

	uc = run_guest(vcpu, &faults);
	trace_read();
	check_stats(vcpu->vm);
	printf("  guest rereads: %llu faults; wrong bytes: %llu outside of holes, %llu inside\n",
	       (unsigned long long)faults, (unsigned long long)uc.args[0],
	       (unsigned long long)uc.args[1]);
	snprintf(name, sizeof(name), "hole, %s", hole->name);
	figure(name, "leaves of 2 MiB that are no more",
	       leaves - count(LEAF_2M) / LEAF_PAGES);
	figure(name, "faults to reread 16 MiB", faults);
	figure(name, "wrong bytes", uc.args[0] + uc.args[1]);
	CHECK(!uc.args[0] && !uc.args[1], "contents");
	CHECK(faults == hole->nr, "%llu pages were punched",
	      (unsigned long long)hole->nr);
}

int main(void)
{
	const struct vm_shape shape = {
		.mode = VM_MODE_DEFAULT,
		.type = KVM_X86_SW_PROTECTED_VM,
	};
	u64 faults, refaults, flags = 0, expected_faults, i;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	void *shared;
	int fd;

	TEST_REQUIRE(kvm_check_cap(KVM_CAP_VM_TYPES) & BIT(KVM_X86_SW_PROTECTED_VM));
	TEST_REQUIRE(kvm_is_tdp_enabled());

	setvbuf(stdout, NULL, _IOLBF, 0);
	pin_self_to_any_cpu();
	trace_open();

	vm = vm_create_shape_with_one_vcpu(shape, &vcpu, guest_code);
	if ((u64)vm_check_cap(vm, KVM_CAP_GUEST_MEMFD_FLAGS) & GUEST_MEMFD_FLAG_HUGEPAGE)
		flags = GUEST_MEMFD_FLAG_HUGEPAGE;
	fd = vm_create_guest_memfd(vm, DEMO_SIZE, flags);

	/* Shared memory of the slot, which the guest never touches. */
	shared = kvm_mmap(DEMO_SIZE + SZ_2M, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	vm_set_user_memory_region2(vm, DEMO_SLOT, KVM_MEM_GUEST_MEMFD, DEMO_GPA,
				   DEMO_SIZE, align_ptr_up(shared, SZ_2M), fd, 0);
	virt_map(vm, DEMO_GPA, DEMO_GPA, DEMO_PAGES);
	vm_mem_set_private(vm, DEMO_GPA, DEMO_SIZE);

	printf("\n16 MiB of private guest_memfd, %s\n",
	       flags ? "with GUEST_MEMFD_FLAG_HUGEPAGE" :
		       "in 4 KiB pages: no GUEST_MEMFD_FLAG_HUGEPAGE here");
	run_guest(vcpu, &faults);
	trace_read();
	check_stats(vm);
	printf("  guest fills it: %llu faults\n", (unsigned long long)faults);
	print_counts("mapped:");
	figure("fill 16 MiB", "faults", faults);
	figure("fill 16 MiB", "leaves of 2 MiB", count(LEAF_2M) / LEAF_PAGES);
	figure("fill 16 MiB", "leaves of 4 KiB", count(LEAF_4K));

	/* The code that rereads faults, too, the first time. */
	run_guest(vcpu, &refaults);
	run_guest(vcpu, &refaults);
	trace_read();
	printf("  guest rereads: %llu faults\n", (unsigned long long)refaults);
	CHECK(!refaults, "nothing has been punched yet");
	printf("\nMaps, a line per 2 MiB, before and after a hole:\n"
	       "  [= 2M =] one leaf    - 16 pages of 4 KiB    o some of them gone    . all gone\n");

	/* Code, stack and page tables of the guest fault too, the first time. */
	expected_faults = flags ? NR_LEAVES : DEMO_PAGES;
	CHECK(faults >= expected_faults && faults < expected_faults + 64,
	      "%llu leaves were to be mapped", (unsigned long long)expected_faults);
	CHECK(count(flags ? LEAF_2M : LEAF_4K) == DEMO_PAGES, "leaf size");

	for (i = 0; i < ARRAY_SIZE(holes); i++)
		punch(vcpu, fd, &holes[i]);

	close(fd);
	kvm_vm_free(vm);
	printf("\n%s\n", errors ? "FAILED" : "Every hole was exact.");
	return errors ? 1 : 0;
}
