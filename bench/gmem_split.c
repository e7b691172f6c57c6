// SPDX-License-Identifier: GPL-2.0
/*
 * SPTEs that the split step looks at to punch a hole with both ends in the middle of a
 * leaf, for each of three ways to find what has to be split (bench/designs/split.patch).
 * Prints figures for bench/figures.
 *
 *	gmem_split DESIGN
 *
 * Run with kvm.gmem_in_place_conversion=1: the VM's own attributes would need memory for
 * each page of the file.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/sizes.h>
#include <sys/mman.h>

#include "figure.h"
#include "param.h"
#include "test_util.h"
#include "kvm_util.h"
#include "processor.h"

#ifndef GUEST_MEMFD_FLAG_HUGEPAGE
#define GUEST_MEMFD_FLAG_HUGEPAGE 0
#endif

#define BENCH_SLOT	10
#define BENCH_GPA	SZ_4G

static const struct {
	const char *name;
	u64 size;
	bool sparse;		/* Only the leaves at the ends are mapped. */
} holes[] = {
	{ "4 KiB", SZ_4K, false },
	{ "2 MiB", SZ_2M, false },
	{ "16 MiB", SZ_16M, false },
	{ "128 MiB", SZ_128M, false },
	{ "1 GiB", SZ_1G, false },
	{ "1 GiB, sparse", SZ_1G, true },
	{ "256 GiB, sparse", 256ull * SZ_1G, true },
};

static void pre_fault(struct kvm_vcpu *vcpu, u64 offset, u64 size)
{
	struct kvm_pre_fault_memory range = { .gpa = BENCH_GPA + offset, .size = size };
	int r;

	do {
		r = __vcpu_ioctl(vcpu, KVM_PRE_FAULT_MEMORY, &range);
	} while ((!r && range.size) || (r && errno == EINTR));
	TEST_ASSERT(!r, "0x%lx bytes at 0x%lx: %s", size, offset, strerror(errno));
}

static u64 measure(u64 size, bool sparse)
{
	const struct vm_shape shape = {
		.mode = VM_MODE_DEFAULT,
		.type = KVM_X86_SW_PROTECTED_VM,
	};
	/* From the middle of the first leaf to the middle of the last. */
	const u64 offset = SZ_1M, end = offset + size;
	const u64 file_size = align_up(end, SZ_2M) + SZ_2M;
	struct kvm_vcpu *vcpu;
	struct kvm_vm *vm;
	void *shared;
	u64 visited;
	int fd, r;

	vm = vm_create_shape_with_one_vcpu(shape, &vcpu, NULL);
	fd = vm_create_guest_memfd(vm, file_size, GUEST_MEMFD_FLAG_HUGEPAGE);
	shared = mmap(NULL, file_size, PROT_NONE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	TEST_ASSERT(shared != MAP_FAILED, "mmap(): %s", strerror(errno));
	vm_set_user_memory_region2(vm, BENCH_SLOT, KVM_MEM_GUEST_MEMFD, BENCH_GPA,
				   file_size, shared, fd, 0);

	if (sparse) {
		pre_fault(vcpu, 0, SZ_2M);
		pre_fault(vcpu, align_down(end, SZ_2M), SZ_2M);
	} else {
		pre_fault(vcpu, 0, file_size);
	}

	set_param("split_visited", 0);
	r = fallocate(fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, offset, size);
	visited = get_param("split_visited");
	TEST_ASSERT(!r, "A hole of 0x%lx bytes: %s", size, strerror(errno));

	close(fd);
	kvm_vm_free(vm);
	munmap(shared, file_size);
	return visited;
}

int main(int argc, char *argv[])
{
	char name[64];
	int i;

	TEST_REQUIRE(kvm_check_cap(KVM_CAP_VM_TYPES) & BIT(KVM_X86_SW_PROTECTED_VM));
	TEST_REQUIRE(kvm_is_tdp_enabled());
	TEST_REQUIRE(GUEST_MEMFD_FLAG_HUGEPAGE);
	TEST_ASSERT(argc == 2, "Usage: %s DESIGN", argv[0]);
	set_param("split_design", atoi(argv[1]));

	for (i = 0; i < ARRAY_SIZE(holes); i++) {
		snprintf(name, sizeof(name), "hole of %s", holes[i].name);
		figure(name, "SPTEs", measure(holes[i].size, holes[i].sparse));
	}
	return 0;
}
