// SPDX-License-Identifier: GPL-2.0
/*
 * A module that can be interrupted in DEMOTE for ever: KVM keeps to pages of 4 KiB.
 *
 * The file has folios of 2 MiB, and everything invites KVM to map them as such: the
 * guest's ACCEPT of 2 MiB, and faulting in beforehand.  Neither KVM nor the S-EPT
 * may have a page of 2 MiB at any time, holes and conversions are exact, and DEMOTE
 * is never called.
 *
 * With APPEND=tdxemu_module=2.0.  With any other module it fails: there it would
 * show nothing.
 *
 * Linked with the library of the KVM selftests, as a test of theirs.
 */

#include "test_util.h"
#include "kvm_util.h"
#include "processor.h"
#include "tdx_agent.h"

#define TDXEMU		"/sys/kernel/debug/tdxemu/"
#define LEAF		TD_PAGES_2M
#define NR_LEAVES	4

/* Bit 51 of TDX_FEATURES0: nothing interrupts DEMOTE. */
#define UNINTERRUPTED	(1ull << 51)

/* A line "NAME NUMBER..." of the counters: the number, or -1. */
static s64 counter(const char *name)
{
	const size_t len = strlen(name);
	char line[200];
	s64 n = -1;
	FILE *f;

	f = fopen(TDXEMU "counters", "r");
	TEST_ASSERT(f, "No " TDXEMU "counters, errno %d", errno);
	while (n < 0 && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, name, len) && line[len] == ' ')
			n = strtoull(line + len, NULL, 0);
	}
	fclose(f);
	return n;
}

/* Leaves of the S-EPT that are not of 4 KiB; @small is the number of the others. */
static u64 huge_leaves(u64 *small)
{
	unsigned int level;
	char line[200];
	u64 huge = 0;
	FILE *f;

	f = fopen(TDXEMU "sept", "r");
	TEST_ASSERT(f, "No " TDXEMU "sept, errno %d", errno);
	*small = 0;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "0x%*x level %u", &level) != 1)
			continue;
		if (level)
			huge++;
		else
			(*small)++;
	}
	fclose(f);
	return huge;
}

static void check_small(struct td_agent *a)
{
	u64 small, huge, demotes;

	TEST_ASSERT_EQ(vm_get_stat(a->vm, pages_2m), 0);
	huge = huge_leaves(&small);
	TEST_ASSERT(!huge && small, "The S-EPT has %lu huge leaves, and %lu small ones",
		    huge, small);
	demotes = counter("MEM.PAGE.DEMOTE");
	TEST_ASSERT(demotes == -1ul, "%lu DEMOTEs", demotes);
}

int main(int argc, char *argv[])
{
	struct kvm_pre_fault_memory range = {
		.gpa = TD_AGENT_GPA + 2 * SZ_2M,
		.size = SZ_2M,
	};
	struct td_agent a;
	struct td_mem mem;
	u64 status;

	TEST_REQUIRE(td_is_supported());
	TEST_REQUIRE(td_has_gmem_flags(GUEST_MEMFD_FLAG_HUGEPAGE));
	TEST_ASSERT(!(counter("features0") & UNINTERRUPTED),
		    "This module does not interrupt DEMOTE: boot with tdxemu_module=2.0");
	TEST_ASSERT(!get_kvm_intel_param_bool("tdx_huge_page"),
		    "KVM thinks that it can use huge pages");

	td_agent_init(&a, TD_ATTR_SEPT_VE_DISABLE, NR_LEAVES * LEAF);
	td_mem_add(a.vm, &mem, TD_SLOT_TEST, TD_AGENT_GPA, NR_LEAVES * LEAF,
		   GUEST_MEMFD_FLAG_HUGEPAGE);
	td_mem_fill(&mem, 0, NR_LEAVES * LEAF);

	/* What maps memory: both sizes of ACCEPT, and faulting in beforehand. */
	status = td_accept(&a, 0, 1);
	TEST_ASSERT(TDG_STATUS(status) == TDG_SIZE_MISMATCH,
		    "ACCEPT of 2 MiB says 0x%lx", status);
	check_small(&a);
	td_accept_all(&a, 0, 2 * LEAF, 0, TDG_SUCCESS);
	check_small(&a);
	while (range.size)
		vcpu_ioctl(a.vcpu, KVM_PRE_FAULT_MEMORY, &range);
	check_small(&a);
	td_accept_all(&a, 2 * LEAF, LEAF, 0, TDG_SUCCESS);

	/* What would have to split: a hole, and a conversion across two folios. */
	td_write(&a, 0, 3 * LEAF, 1, false);
	td_mem_punch(&mem, 200, 1);
	td_mem_convert(&mem, 2 * LEAF - 3, 7, true);
	check_small(&a);
	td_check(&a, 0, 200, 1, false);
	td_check(&a, 201, 2 * LEAF - 3 - 201, 1, false);
	td_check(&a, 2 * LEAF + 4, LEAF - 4, 1, false);
	td_accept_all(&a, 0, 200, 0, TDG_ALREADY_ACCEPTED);
	td_accept_all(&a, 200, 1, 0, TDG_SUCCESS);
	td_accept_all(&a, 201, 2 * LEAF - 3 - 201, 0, TDG_ALREADY_ACCEPTED);
	td_accept_all(&a, 2 * LEAF + 4, LEAF - 4, 0, TDG_ALREADY_ACCEPTED);
	td_check_zero(&a, 200, 1, false);
	td_write(&a, 2 * LEAF - 3, 7, 2, true);
	td_host_check(&mem, 2 * LEAF - 3, 7, 2);

	/* And back. */
	td_mem_convert(&mem, 2 * LEAF - 3, 7, false);
	td_accept_all(&a, 2 * LEAF - 3, 7, 0, TDG_SUCCESS);
	td_check_zero(&a, 2 * LEAF - 3, 7, false);
	/* A whole folio's worth of them goes, and comes back no larger. */
	td_mem_punch(&mem, LEAF, LEAF);
	td_mem_fill(&mem, LEAF, LEAF);
	status = td_accept(&a, LEAF, 1);
	TEST_ASSERT(TDG_STATUS(status) == TDG_SIZE_MISMATCH,
		    "ACCEPT of 2 MiB after a hole says 0x%lx", status);
	check_small(&a);

	td_agent_free(&a);
	td_mem_free(&mem);
	TEST_ASSERT(counter("MEM.PAGE.DEMOTE") == -1, "There were DEMOTEs");
	return 0;
}
