// SPDX-License-Identifier: GPL-2.0
/*
 * What KVM does to map private memory and to take some of it away, in instructions
 * of the host's kernel: to be run where the TSC counts those (QEMU -icount shift=0).
 * Prints figures for bench/figures.
 *
 *	gmem_insns 4k|2m	size of the file's folios
 *	gmem_insns pool		2 MiB of the HugeTLB pool, of which no less can be punched
 *
 * Each is measured ROUNDS times in a VM of its own and the least is printed: a timer
 * interrupt in between is not what is to be known.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/sizes.h>
#include <sys/mman.h>

#include "figure.h"
#include "test_util.h"
#include "kvm_util.h"
#include "processor.h"

#ifndef GUEST_MEMFD_FLAG_HUGEPAGE
#define GUEST_MEMFD_FLAG_HUGEPAGE 0
#endif
#ifndef GUEST_MEMFD_FLAG_HUGETLB
#define GUEST_MEMFD_FLAG_HUGETLB 0
#endif

#define BENCH_SLOT	10
#define BENCH_GPA	SZ_4G
#define BENCH_SIZE	SZ_16M
#define ROUNDS		7

static struct kvm_vm *vm;
static struct kvm_vcpu *vcpu;
static int fd;

/* System calls and nothing else: what TEST_ASSERT() does to be ready counts, too. */
static int pre_fault(u64 offset, u64 size)
{
	struct kvm_pre_fault_memory range = { .gpa = BENCH_GPA + offset, .size = size };
	int r;

	do {
		r = __vcpu_ioctl(vcpu, KVM_PRE_FAULT_MEMORY, &range);
	} while (!r && range.size);

	return r;
}

static int allocate(u64 offset, u64 size)
{
	return fallocate(fd, FALLOC_FL_KEEP_SIZE, offset, size);
}

static int punch(u64 offset, u64 size)
{
	return fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, offset, size);
}

static int convert(u64 offset, u64 size)
{
	struct kvm_memory_attributes range = { .address = BENCH_GPA + offset, .size = size };

	return __vm_ioctl(vm, KVM_SET_MEMORY_ATTRIBUTES, &range);
}

static void must(int (*op)(u64 offset, u64 size), u64 offset, u64 size)
{
	int r = op(offset, size);

	TEST_ASSERT(!r, "0x%lx bytes at 0x%lx: %s", size, offset, strerror(errno));
}

static const struct {
	const char *name;
	int (*op)(u64 offset, u64 size);
	u64 offset, size;
	bool mapped;		/* before */
} steps[] = {
	{ "allocate 16 MiB", allocate, 0, SZ_16M, false },
	{ "map 16 MiB", pre_fault, 0, SZ_16M, false },
	{ "hole of 4 KiB", punch, SZ_2M + SZ_4K * 100, SZ_4K, true },
	{ "hole of 2 MiB", punch, SZ_2M * 3, SZ_2M, true },
	{ "hole of 3 MiB in two leaves", punch, SZ_2M * 4 + SZ_512K, SZ_2M + SZ_1M, true },
	{ "hole of 16 MiB", punch, 0, SZ_16M, true },
	{ "to shared, 4 KiB", convert, SZ_2M + SZ_4K * 100, SZ_4K, true },
	{ "to shared, 2 MiB", convert, SZ_2M * 3, SZ_2M, true },
	{ "to shared, 16 MiB", convert, 0, SZ_16M, true },
};

static u64 now(void)
{
	u32 low, high;

	asm volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high) :: "memory");
	return low | (u64)high << 32;
}

static u64 measure(int step, u64 flags, void *shared)
{
	const struct vm_shape shape = {
		.mode = VM_MODE_DEFAULT,
		.type = KVM_X86_SW_PROTECTED_VM,
	};
	u64 t;
	int r;

	vm = vm_create_shape_with_one_vcpu(shape, &vcpu, NULL);
	fd = vm_create_guest_memfd(vm, BENCH_SIZE, flags);
	vm_set_user_memory_region2(vm, BENCH_SLOT, KVM_MEM_GUEST_MEMFD, BENCH_GPA,
				   BENCH_SIZE, shared, fd, 0);
	vm_mem_set_private(vm, BENCH_GPA, BENCH_SIZE);
	/* Tables that the VM needs for anything at all. */
	must(pre_fault, 0, SZ_2M);
	must(punch, 0, SZ_2M);
	if (steps[step].op != allocate)
		must(allocate, 0, BENCH_SIZE);
	if (steps[step].mapped)
		must(pre_fault, 0, BENCH_SIZE);

	/*
	 * New pages wait for an LRU list, up to 31 of them, and the next who needs
	 * them there does the work for all, e.g. a hole.  How many there are is up
	 * to what the library and the kernel allocate: none, from here on.
	 */
	r = madvise(shared, getpagesize(), MADV_COLD);
	TEST_ASSERT(!r, "MADV_COLD: %s", strerror(errno));

	t = now();
	r = steps[step].op(steps[step].offset, steps[step].size);
	t = now() - t;
	TEST_ASSERT(!r, "%s: %s", steps[step].name, strerror(errno));

	close(fd);
	kvm_vm_free(vm);
	return t;
}

int main(int argc, char *argv[])
{
	u64 flags = 0, least, t;
	bool pool = false;
	void *shared;
	int i, round;

	TEST_REQUIRE(kvm_check_cap(KVM_CAP_VM_TYPES) & BIT(KVM_X86_SW_PROTECTED_VM));
	TEST_REQUIRE(kvm_is_tdp_enabled());
	TEST_ASSERT(argc == 2, "Usage: %s 4k|2m|pool", argv[0]);
	if (!strcmp(argv[1], "2m")) {
		flags = GUEST_MEMFD_FLAG_HUGEPAGE;
		TEST_REQUIRE(flags);
	} else if (!strcmp(argv[1], "pool")) {
		flags = GUEST_MEMFD_FLAG_HUGETLB;
		TEST_REQUIRE(flags);
		pool = true;
	}
	pin_self_to_any_cpu();

	/* Shared memory of the slot, aligned like the private, and never touched. */
	shared = kvm_mmap(BENCH_SIZE + SZ_2M, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);

	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		if (pool && steps[i].op == punch &&
		    (steps[i].offset | steps[i].size) % SZ_2M)
			continue;
		for (least = -1ull, round = 0; round < ROUNDS; round++) {
			t = measure(i, flags, align_ptr_up(shared, SZ_2M));
			least = min(least, t);
		}
		figure(steps[i].name, "instructions", least);
	}
	return 0;
}
